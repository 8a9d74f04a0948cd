/* tests/transport/test_stdio_flood: a child that prints what it should not: much, long, broken, too often. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/procs.h"
#include "transport/stdio_rig.h"
#include "transport/suites.h"

static void open_py(struct stdio_rig *r, const char *script) {
  const char *argv[] = {"python3", "-u", "-c", script, NULL};
  ck_assert_int_eq(stdio_rig_open(r, argv), MCPGW_OK);
}

/* What is around the one reply; {0} writes, B is a block of 64 KiB. */
static const struct {
  const char *write;
  int lines; /* such noise is counted by lines */
} floods[] = {
    {"for i in range(640): out.write(b'garbage '*8192)", 0}, /* 40 MB, one endless line */
    {"for i in range(1600): out.write(b'DEBUG: here we are\\n'*3449)", 1}, /* 100 MB, 5.5 million lines */
    {"for i in range(640): out.write(b'{ a: 1, '+b'b'*65520+b' }\\n')", 0}, /* looks like JSON, is not */
    {"for i in range(320): err.write(b'stderr '*9362)\nfor i in range(320): err.write(b'at x.js:1\\n'*6553)", 1},
};

START_TEST(a_hundred_megabytes_of_garbage) {
  struct stdio_rig r;
  char script[1024];
  (void)snprintf(script, sizeof script,
                 "import sys\nout=sys.stdout.buffer\nerr=sys.stderr.buffer\nsys.stdin.readline()\n"
                 "%s\nout.write(b'\\n{\"id\":1,\"result\":{}}\\n')\nout.flush()\nsys.stdin.read()",
                 floods[_i].write);
  stdio_rig_init(&r);
  r.link->result_bytes = 32 << 20;
  open_py(&r, script);
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":1,\"method\":\"m\"}"), MCPGW_OK);
  int i = 0;
  uint64_t start = procs_now_ms(), used = 0;
  for (; i < 5000 && fake_host_count(r.link, HOST_MESSAGE, 1) == 0; i++) {
    fake_host_turn(r.link, 20);
    if (r.link->budget.used > used) used = r.link->budget.used;
  }
  uint64_t took = procs_now_ms() - start;
  const struct mg_stdio_stats *s = mg_transport_stdio_stats(r.transport);
  ck_assert_msg(fake_host_count(r.link, HOST_MESSAGE, 1) == 1, "no reply in %llu ms", (unsigned long long)took);
  ck_assert_int_eq(fake_host_count(r.link, HOST_CLOSED, 0), 0);
  ck_assert_uint_ge(s->held, 2); /* 16 MiB a second */
  ck_assert_uint_le(used, 1 << 20);
  fake_host_turn(r.link, 1100);
  int logged = stdio_rig_logged(&r, "stdio.noise") + stdio_rig_logged(&r, "stdio.stderr");
  ck_assert_int_le(logged, (int)(took / 1000 + 4) * 53);
  if (floods[_i].lines) {
    ck_assert_uint_ge(s->noise_lines + s->stderr_lines, 2000000);
    ck_assert_uint_eq(s->hidden_lines + (uint64_t)(logged - stdio_rig_logged(&r, "more lines not shown")),
                      s->noise_lines + s->stderr_lines);
    ck_assert_int_ge(stdio_rig_logged(&r, "more lines not shown"), 1);
  }
  printf("flood %d: over in %llu ms, held back %llu times, %d log lines, %llu bytes held at most\n", _i,
         (unsigned long long)took, (unsigned long long)s->held, logged, (unsigned long long)used);
  stdio_rig_down(&r);
}
END_TEST

/* The count comes when the second is over, not with the next line, which may never come. */
START_TEST(what_was_hidden_is_told_in_time) {
  struct stdio_rig r;
  stdio_rig_sh(&r, "read x; i=0; while [ $i -lt 80 ]; do i=$((i+1)); echo noise-$i; done; cat");
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{\"go\":1}"), MCPGW_OK);
  int i = 0;
  for (; i < 100 && !stdio_rig_logged(&r, "more lines not shown"); i++) fake_host_turn(r.link, 100);
  ck_assert_int_eq(stdio_rig_logged(&r, "1 stdio.noise 70 more lines not shown\n"), 1);
  ck_assert_int_eq(stdio_rig_logged(&r, "noise-"), 10);
  stdio_rig_down(&r);
}
END_TEST

/* Nor is it forgotten when the link ends within that second: here for a long line that is anybody's. */
START_TEST(what_was_hidden_is_told_at_the_end) {
  struct stdio_rig r;
  const char *argv[] = {"sh", "-c",
                        "read x; read y; i=0; while [ $i -lt 80 ]; do i=$((i+1)); echo noise-$i; done; "
                        "printf '{\"x\":%02000d}\\n' 0; sleep 100",
                        NULL};
  stdio_rig_init(&r);
  r.link->result_bytes = 1000;
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  for (uint64_t i = 1; i <= 2; i++) ck_assert_int_eq(stdio_rig_send(&r, i, "{\"id\":1,\"method\":\"m\"}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_CLOSED, 0, 1, 8000));
  ck_assert_int_eq(stdio_rig_logged(&r, "1 stdio.noise 70 more lines not shown\n"), 1);
  stdio_rig_down(&r);
}
END_TEST

/* ---- broken replies -------------------------------------------------------------------------------- */

static const struct {
  const char *line;
  int calls;     /* 1 … calls are under way */
  uint64_t call; /* whose the line is taken for */
} broken[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"x\":NaN}}", 3, 2},
    {"{\"jsonrpc\":\"2.0\",\"result\":{\"x\":Infinity},\"id\":3}", 3, 3},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"text\":\"cut by a raw", 3, 1},
    {"{\"jsonrpc\":\"2.0\",\"id\":2,\"re", 3, 2},
    {"{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{", 1, 0}, /* somebody else's */
    {"{\"jsonrpc\":\"2.0\",\"result\":{\"x\":nan}}", 1, 1},
    {"{\"jsonrpc\":\"2.0\",\"result\":{\"x\":nan}}", 2, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}", 1, 1},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}", 2, 0},
    {"{\"jsonrpc\":\"2.0\",", 1, 1},
    {"{ level: 30, msg: \"hello\" }", 1, 0}, /* console.log of an object: noise */
    {"{\"level\":30,\"msg\":\"hello\"}", 1, 0},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{NaN}}", 1, 0},
    {"[", 1, 0},
    {"{", 1, 0},
};

START_TEST(a_broken_reply_is_tied_to_its_call) {
  struct stdio_rig r;
  char line[512];
  uint64_t i;
  (void)snprintf(line, sizeof line, "%s\n", broken[_i].line);
  stdio_rig_says(&r, line);
  for (i = 1; i <= (uint64_t)broken[_i].calls; i++) {
    char text[64];
    (void)snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"m\"}", (int)i);
    ck_assert_int_eq(stdio_rig_send(&r, i, text), MCPGW_OK);
  }
  for (i = 0; i < 400 && fake_host_count(r.link, HOST_MESSAGE, 0) == 0; i++) fake_host_turn(r.link, 20);
  const struct host_event *e = fake_host_event(r.link, HOST_MESSAGE, 0, 0);
  ck_assert_ptr_nonnull(e);
  ck_assert_uint_eq(e->call, broken[_i].call);
  ck_assert_int_eq(fake_host_count(r.link, HOST_CLOSED, 0), 0);
  stdio_rig_down(&r);
}
END_TEST

/* ---- how many -------------------------------------------------------------------------------------- */

START_TEST(no_more_than_so_many) {
  struct stdio_rig r;
  void *impl[3], *none = NULL;
  const char *argv[] = {"sh", "-c", "trap '' TERM; cat >/dev/null; sleep 1000", NULL};
  int i, fds;
  stdio_rig_init(&r);
  r.config.children = 3;
  r.config.kill_ms = 60000;
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  impl[0] = r.impl;
  for (i = 1; i < 3; i++) ck_assert_int_eq(stdio_ops->open(r.transport, r.link, &impl[i]), MCPGW_OK);
  fds = procs_open_fds();
  ck_assert_int_eq(stdio_ops->open(r.transport, r.link, &none), MCPGW_E_LIMIT);
  ck_assert_ptr_null(none);
  ck_assert_int_eq(procs_open_fds(), fds);
  ck_assert_int_eq(stdio_rig_logged(&r, "3 processes of it run and 0 are ending; limits.children is 3\n"), 1);
  for (i = 0; i < 3; i++) { /* one that is ending leaves its place, up to as many again */
    stdio_ops->close(impl[i], MCPGW_CLOSE_GRACEFUL);
    int rc = stdio_ops->open(r.transport, r.link, &impl[i]);
    ck_assert_int_eq(rc, i < 2 ? MCPGW_OK : MCPGW_E_LIMIT);
  }
  ck_assert_int_eq(mg_child_count(r.loop), 5);
  ck_assert_uint_eq(mg_transport_stdio_stats(r.transport)->started, 5);
  ck_assert_uint_eq(mg_transport_stdio_stats(r.transport)->refused, 2);
  stdio_ops->close(impl[0], 0);
  stdio_ops->close(impl[1], 0);
  r.impl = NULL;
  mg_loop_free(r.loop); /* KILLs those which take their time */
  ck_assert_int_eq(mg_loop_new(&r.loop), MCPGW_OK);
  stdio_rig_down(&r);
}
END_TEST

Suite *transport_stdio_flood_suite(void) {
  Suite *s = suite_create("transport/stdio-flood");
  TCase *c = tcase_create("flood");
  tcase_set_timeout(c, 120);
  tcase_add_loop_test(c, a_hundred_megabytes_of_garbage, 0, (int)(sizeof floods / sizeof *floods));
  tcase_add_test(c, what_was_hidden_is_told_in_time);
  tcase_add_test(c, what_was_hidden_is_told_at_the_end);
  tcase_add_loop_test(c, a_broken_reply_is_tied_to_its_call, 0, (int)(sizeof broken / sizeof *broken));
  tcase_add_test(c, no_more_than_so_many);
  suite_add_tcase(s, c);
  return s;
}
