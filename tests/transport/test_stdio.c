/* tests/transport/test_stdio: lines in and out: framing, noise, ceilings, whose reply was lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/procs.h"
#include "transport/stdio_rig.h"
#include "transport/suites.h"

static const char *said(struct stdio_rig *r, int n) {
  const struct host_event *e = fake_host_event(r->link, HOST_MESSAGE, 0, n);
  ck_assert_msg(e != NULL, "there is no message %d", n);
  return e->text;
}

START_TEST(echo) {
  struct stdio_rig r;
  char text[64];
  int i;
  stdio_rig_sh(&r, "cat");
  for (i = 1; i <= 200; i++) {
    (void)snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"x\"}", i);
    ck_assert_int_eq(stdio_rig_send(&r, (uint64_t)i, text), MCPGW_OK);
  }
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 200, 5000));
  for (i = 1; i <= 200; i++) {
    (void)snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"x\"}", i);
    ck_assert_str_eq(said(&r, i - 1), text);
    ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, (uint64_t)i), 1);
  }
  stdio_rig_close(&r, MCPGW_CLOSE_GRACEFUL);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(line_ends_inside_a_message_leave_as_blanks) {
  struct stdio_rig r;
  stdio_rig_sh(&r, "cat");
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\n  \"id\": 1,\r\n  \"method\": \"a\\nb\"\n}\n"), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 2, "{\"id\":2}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 2, 5000));
  ck_assert_str_eq(said(&r, 0), "{   \"id\": 1,    \"method\": \"a\\nb\" } ");
  ck_assert_str_eq(said(&r, 1), "{\"id\":2}");
  stdio_rig_down(&r);
}
END_TEST

/* The same bytes, however they are cut. */
static const char mixed[] = "\n\r\n  \t\r\n{\"a\":1}\r\nnoise here\n  {\"a\":2}\n[3]\n\n{\"a\":\r4}\r\nDEBUG "
                            "{\"no\":1}\n{\"a\":5} \n";

static void check_mixed(struct stdio_rig *r) {
  ck_assert(fake_host_wait(r->link, HOST_MESSAGE, 0, 5, 8000));
  fake_host_turn(r->link, 30);
  ck_assert_int_eq(fake_host_count(r->link, HOST_MESSAGE, 0), 5);
  ck_assert_str_eq(said(r, 0), "{\"a\":1}");
  ck_assert_str_eq(said(r, 1), "{\"a\":2}");
  ck_assert_str_eq(said(r, 2), "[3]");
  ck_assert_str_eq(said(r, 3), "{\"a\":\r4}");
  ck_assert_str_eq(said(r, 4), "{\"a\":5} ");
  ck_assert_int_eq(stdio_rig_logged(r, "1 stdio.noise noise here\n"), 1);
  ck_assert_int_eq(stdio_rig_logged(r, "1 stdio.noise DEBUG {\"no\":1}\n"), 1);
  ck_assert_int_eq(stdio_rig_logged(r, "stdio.noise"), 2);
}

START_TEST(crlf_blank_lines_and_noise) {
  struct stdio_rig r;
  stdio_rig_says(&r, mixed);
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{}"), MCPGW_OK);
  check_mixed(&r);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(byte_by_byte) {
  struct stdio_rig r;
  const char *argv[] = {
      "python3",
      "-u",
      "-c",
      "import sys,time\nfor b in sys.argv[1].encode():\n  sys.stdout.buffer.write(bytes([b])); "
      "sys.stdout.flush(); time.sleep(0.002)\nsys.stdin.read()",
      mixed,
      NULL};
  stdio_rig_init(&r);
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  check_mixed(&r);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(a_long_line_comes_whole) {
  struct stdio_rig r;
  size_t i;
  stdio_rig_init(&r);
  r.link->result_bytes = 8 << 20;
  const char *argv[] = {"python3", "-c",
                        "import "
                        "sys\nsys.stdin.readline()\nprint('{\"id\":1,\"result\":\"'+'x'*(8*1024*1024-20)+'\"}"
                        "')\nprint('{\"n\":2}',flush=True)\nsys.stdin.read()",
                        NULL};
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":1}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 2, 8000));
  const struct host_event *e = fake_host_event(r.link, HOST_MESSAGE, 0, 0);
  ck_assert_uint_eq(e->len, 8 << 20); /* the ceiling itself */
  for (i = 18; i < e->len - 2; i++) ck_assert(e->text[i] == 'x');
  ck_assert_str_eq(said(&r, 1), "{\"n\":2}");
  stdio_rig_down(&r);
}
END_TEST

/* ---- a message over the ceiling -------------------------------------------------------------------- */

struct giant {
  const char *before, *after; /* around 100,000 bytes; the ceiling is 50,000 */
  int calls;                  /* in flight: 1 … calls */
  uint64_t failed;            /* this call fails, 0 none */
  int closed;
};
static const struct giant giants[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"", "\"}", 1, 1, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"", "\"}", 3, 2, 0},  /* its id tells */
    {"{\"result\":\"", "\",\"id\":1}", 1, 1, 0},                      /* the only candidate */
    {"{\"result\":\"", "\",\"id\":1}", 2, 0, 1},                      /* nobody can know */
    {"{\"result\":\"", "\",\"id\":1}", 0, 0, 0},                      /* nobody waits */
    {"{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":\"", "\"}", 2, 0, 0}, /* nobody's */
    {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"", "\"}", 2, 0, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ask\",\"params\":\"", "\"}", 2, 0, 0},
    {"[\"", "\"]", 2, 0, 1},
};
#define N_GIANTS ((int)(sizeof giants / sizeof *giants))

START_TEST(a_giant_line) {
  static const char script[] = "import sys,time\n"
                               "for i in range(int(sys.argv[3])+1): sys.stdin.readline()\n"
                               "if int(sys.argv[4]):\n"
                               "  s=sys.argv[1]+'g'*100000+sys.argv[2]+'\\n'\n"
                               "  for i in range(0,len(s),7000): sys.stdout.write(s[i:i+7000]); "
                               "sys.stdout.flush(); time.sleep(0.001)\n"
                               "else: sys.stdout.write(sys.argv[1]+'g'*100000+sys.argv[2]+'\\n')\n"
                               "print('{\"then\":1}',flush=True)\nsys.stdin.read()";
  const struct giant *g = &giants[_i / 2];
  struct stdio_rig r;
  char n[8], text[64];
  int i;
  (void)snprintf(n, sizeof n, "%d", g->calls);
  const char *argv[] = {"python3", "-c", script, g->before, g->after, n, _i & 1 ? "1" : "0", NULL};
  stdio_rig_init(&r);
  r.link->result_bytes = 50000;
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  for (i = 1; i <= g->calls; i++) {
    (void)snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"m\",\"params\":{}}", i);
    ck_assert_int_eq(stdio_rig_send(&r, (uint64_t)i, text), MCPGW_OK);
  }
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, g->closed ? HOST_CLOSED : HOST_MESSAGE, 0, 1, 5000));
  ck_assert_int_eq(fake_host_count(r.link, HOST_CLOSED, 0), g->closed);
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 0), g->failed ? 1 : 0);
  if (g->failed) {
    const struct host_event *e = fake_host_event(r.link, HOST_FAILED, g->failed, 0);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(e->why.code, MCPGW_E_LIMIT);
    ck_assert_uint_eq(e->why.delivered, MCPGW_DELIVERED_YES);
  }
  if (g->closed) ck_assert_int_eq(fake_host_event(r.link, HOST_CLOSED, 0, 0)->why.code, MCPGW_E_LIMIT);
  else ck_assert_str_eq(said(&r, 0), "{\"then\":1}");
  ck_assert_int_eq(stdio_rig_logged(&r, "1 stdio.limit a message longer than 50000 bytes"), 1);
  ck_assert_uint_le(r.link->budget.used, 100000);
  stdio_rig_down(&r);
}
END_TEST

/* An answered call is no candidate any more. */
START_TEST(candidates_are_those_who_wait) {
  struct stdio_rig r;
  stdio_rig_init(&r);
  r.link->result_bytes = 1000;
  const char *argv[] = {
      "python3", "-u", "-c",
      "import sys\nfor i in range(3): sys.stdin.readline()\n"
      "print('{\"result\":{},\"jsonrpc\":\"2.0\",\"id\":\"a-1\"}')\nsys.stdin.readline()\n"
      "print('{\"result\":\"'+'g'*200000+'\",\"id\":\"a-2\"}')\nprint('{\"then\":1}')\n"
      "sys.stdin.readline()\nprint('{\"result\":\"'+'g'*200000+'\",\"id\":\"a-3\"}')\nprint('"
      "{\"then\":2}')\nsys.stdin.read()",
      NULL};
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":\"a-1\",\"method\":\"m\"}"), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 2, "{\"method\":\"m\",\"params\":{\"id\":3},\"id\":\"a-2\"}"),
                   MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 1, 5000));
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 2, 5000));
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 2), 1);
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 0), 1);
  ck_assert_int_eq(stdio_rig_send(&r, 3, "{\"id\":\"a-3\",\"method\":\"m\"}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 3, 5000));
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 3), 1);
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 0), 2);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(a_cancelled_call_stays_silent) {
  struct stdio_rig r;
  stdio_rig_init(&r);
  r.link->result_bytes = 1000;
  const char *argv[] = {"python3", "-u", "-c",
                        "import "
                        "sys\nsys.stdin.readline()\nsys.stdin.readline()\nprint('{\"result\":\"'+'g'*200000+'"
                        "\",\"id\":1}')\nprint('{\"then\":1}')\nsys.stdin.read()",
                        NULL};
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":1,\"method\":\"m\"}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_SENT, 1, 1, 5000));
  stdio_ops->cancel(r.impl, 1);
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{\"method\":\"notifications/cancelled\"}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 1, 5000));
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 0) + fake_host_count(r.link, HOST_CLOSED, 0), 0);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(no_memory_for_a_message) {
  struct stdio_rig r;
  stdio_rig_init(&r);
  r.link->budget.limit = 20000; /* limits.memory_bytes of all messages together */
  const char *argv[] = {"python3", "-u", "-c",
                        "import "
                        "sys\nsys.stdin.readline()\nprint('{\"id\":1,\"result\":\"'+'g'*300000+'\"}')\nprint("
                        "'{\"then\":1}')\nsys.stdin.read()",
                        NULL};
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":1,\"method\":\"m\"}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 1, 5000));
  const struct host_event *e = fake_host_event(r.link, HOST_FAILED, 1, 0);
  ck_assert_ptr_nonnull(e);
  ck_assert_int_eq(e->why.code, MCPGW_E_NOMEM); /* our want, not the server's fault */
  ck_assert_int_eq(stdio_rig_logged(&r, "no memory left"), 1);
  stdio_rig_down(&r);
}
END_TEST

/* ---- log lines ------------------------------------------------------------------------------------- */

START_TEST(stderr_goes_to_the_log_in_measure) {
  struct stdio_rig r;
  int shown;
  stdio_rig_sh(&r, "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo line-$i >&2; done; printf "
                   "'a\\r\\n\\nlast' >&2; exec 2>&-; sleep 0.2; echo '{}'; exit 0");
  ck_assert(fake_host_wait(r.link, HOST_CLOSED, 0, 1, 8000));
  shown = stdio_rig_logged(&r, "2 stdio.stderr line-");
  ck_assert_int_ge(shown, 50);
  ck_assert_int_le(shown, 150); /* two or three seconds' worth on a very slow machine */
  ck_assert_int_ge(stdio_rig_logged(&r, " more lines not shown\n"), 1);
  ck_assert_int_eq(stdio_rig_logged(&r, "line-50\n"), 1);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(long_stderr_lines_are_cut) {
  struct stdio_rig r;
  stdio_rig_sh(&r, "printf 'first\\r\\n\\n' >&2; head -c 300000 /dev/zero | tr '\\0' e >&2; printf '\\nthe "
                   "end' >&2; sleep 0.1; exit 0");
  ck_assert(fake_host_wait(r.link, HOST_CLOSED, 0, 1, 8000));
  ck_assert_int_eq(stdio_rig_logged(&r, "2 stdio.stderr first\n"), 1);
  ck_assert_int_eq(stdio_rig_logged(&r, "2 stdio.stderr the end\n"), 1);
  ck_assert_int_eq(stdio_rig_logged(&r, "stdio.stderr"), 3);
  ck_assert_uint_le(r.log_len, 1024 + 200);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(a_babbling_child_stalls_nobody) {
  struct stdio_rig r;
  struct mcpgw_link *other;
  void *impl;
  uint64_t worst = 0, at;
  int i;
  stdio_rig_sh(&r, "yes 'this is not a message and goes on and on, as long as anybody listens'");
  const char *argv[] = {"cat", NULL};
  void *transport;
  struct mg_stdio_config config = r.config;
  config.argv = argv;
  ck_assert_int_eq(mg_transport_stdio_new(&config, &transport), MCPGW_OK);
  other = fake_host_new(r.loop);
  ck_assert_int_eq(stdio_ops->open(transport, other, &impl), MCPGW_OK);
  for (i = 1; i <= 100; i++) {
    mcpgw_bytes *b = fake_host_bytes(other, "{\"id\":1}");
    mcpgw_message m = {
        .struct_size = sizeof m, .kind = MCPGW_SEND_REQUEST, .call = (uint64_t)i, .bytes = b, .revision = ""};
    at = procs_now_ms();
    ck_assert_int_eq(stdio_ops->send(impl, &m), MCPGW_OK);
    mcpgw_bytes_unref(b);
    ck_assert(fake_host_wait(other, HOST_MESSAGE, 0, i, 5000));
    if (procs_now_ms() - at > worst) worst = procs_now_ms() - at;
  }
  ck_assert_uint_le(worst, 500);
  ck_assert_int_eq(fake_host_count(r.link, HOST_MESSAGE, 0), 0);
  ck_assert_int_le(r.link->logs, 100); /* 10 a second */
  stdio_ops->close(impl, 0);
  mg_transport_stdio_free(transport);
  fake_host_free(other);
  stdio_rig_down(&r);
}
END_TEST

Suite *transport_stdio_suite(void) {
  Suite *s = suite_create("transport/stdio");
  TCase *c = tcase_create("lines");
  tcase_set_timeout(c, 40);
  tcase_add_test(c, echo);
  tcase_add_test(c, line_ends_inside_a_message_leave_as_blanks);
  tcase_add_test(c, crlf_blank_lines_and_noise);
  tcase_add_test(c, byte_by_byte);
  tcase_add_test(c, a_long_line_comes_whole);
  tcase_add_loop_test(c, a_giant_line, 0, N_GIANTS * 2);
  tcase_add_test(c, candidates_are_those_who_wait);
  tcase_add_test(c, a_cancelled_call_stays_silent);
  tcase_add_test(c, no_memory_for_a_message);
  tcase_add_test(c, stderr_goes_to_the_log_in_measure);
  tcase_add_test(c, long_stderr_lines_are_cut);
  tcase_add_test(c, a_babbling_child_stalls_nobody);
  suite_add_tcase(s, c);
  return s;
}
