/* tests/transport/test_stdio_life: how a link to a process begins and ends, and who is told what. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/procs.h"
#include "transport/stdio_rig.h"
#include "transport/suites.h"

static const struct host_event *the_end(struct stdio_rig *r) {
  ck_assert(fake_host_wait(r->link, HOST_CLOSED, 0, 1, 8000));
  ck_assert_int_eq(fake_host_count(r->link, HOST_CLOSED, 0), 1);
  return fake_host_event(r->link, HOST_CLOSED, 0, 0);
}

START_TEST(the_text_says_how_it_ended) {
  static const struct {
    const char *script, *text;
  } c[] = {{"exit 1", "child ended with status 1"},
           {"exit 0", "child ended with status 0"},
           {"kill -9 $$", "child killed by signal 9"},
           {"exec >&-; sleep 100", "child closed its stdout"}};
  struct stdio_rig r;
  stdio_rig_sh(&r, c[_i].script);
  const struct host_event *e = the_end(&r);
  ck_assert_str_eq(e->text, c[_i].text);
  ck_assert_int_eq(e->why.code, MCPGW_E_CLOSED);
  ck_assert_uint_eq(e->why.delivered, MCPGW_DELIVERED_UNKNOWN);
  ck_assert_int_eq(stdio_rig_send(&r, 5, "{}"), MCPGW_E_CLOSED);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(what_stdout_holds_is_read_first) {
  struct stdio_rig r;
  stdio_rig_py(&r, "import sys\nsys.stdout.write('{\"n\":1}\\n'*1500+'{\"tail\":1}')\nsys.stderr.write('last "
                   "words')\nsys.exit(3)");
  procs_sleep_ms(500); /* the first turn sees its end and its output together, the end first */
  const struct host_event *e = the_end(&r);
  ck_assert_str_eq(e->text, "child ended with status 3");
  ck_assert_int_eq(fake_host_count(r.link, HOST_MESSAGE, 0), 1501);
  ck_assert_str_eq(fake_host_event(r.link, HOST_MESSAGE, 0, 1500)->text, "{\"tail\":1}");
  ck_assert_ptr_eq(e, &r.link->ev[r.link->n - 1]); /* nothing behind it */
  ck_assert_int_eq(stdio_rig_logged(&r, "stdio.stderr last words\n"), 1);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(a_message_cut_by_the_end_is_dropped) {
  struct stdio_rig r;
  stdio_rig_sh(&r, "printf '{\"n\":1}\\n{\"cut\":\"'");
  (void)the_end(&r);
  ck_assert_int_eq(fake_host_count(r.link, HOST_MESSAGE, 0), 1);
  ck_assert_int_eq(stdio_rig_logged(&r, "1 stdio.cut"), 1);
  stdio_rig_down(&r);
}
END_TEST

/* 64 messages of 64 KiB into a process that reads none, then it is killed: which were begun? Each call
 * gets exactly one verdict, and those told "no" are the last ones, unbroken. */
START_TEST(killed_half_way) {
  struct stdio_rig r;
  char *text = malloc(65536);
  uint64_t i, first_no = 0;
  stdio_rig_sh(&r, "sleep 0.3; kill -9 $$");
  memset(text, ' ', 65535);
  memcpy(text, "{\"id\":1,\"method\":\"m\"}", 21);
  text[65535] = 0;
  for (i = 1; i <= 64; i++) ck_assert_int_eq(stdio_rig_send(&r, i, text), MCPGW_OK);
  const struct host_event *e = the_end(&r);
  ck_assert_str_eq(e->text, "child killed by signal 9");
  for (i = 1; i <= 64; i++) {
    const struct host_event *f = fake_host_event(r.link, HOST_FAILED, i, 0);
    ck_assert_int_le(fake_host_count(r.link, HOST_FAILED, i), 1);
    if (f && !first_no) first_no = i;
    if (f) ck_assert_uint_eq(f->why.delivered, MCPGW_DELIVERED_NO);
    if (first_no) ck_assert_ptr_nonnull(f);
    if (f) ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, i), 0);
  }
  ck_assert_uint_gt(first_no, 2);
  ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, first_no - 2), 1);
  ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, first_no - 1), 1); /* begun, not whole: told, once */
  free(text);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(stdin_closed_by_a_living_child) {
  struct stdio_rig r;
  stdio_rig_sh(&r, "exec <&-; echo '{\"ready\":1}'; sleep 100");
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 1, 5000));
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":1}"), MCPGW_OK);
  const struct host_event *e = the_end(&r);
  ck_assert_str_eq(e->text, "child closed its stdin");
  ck_assert_uint_eq(fake_host_event(r.link, HOST_FAILED, 1, 0)->why.delivered, MCPGW_DELIVERED_NO);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(a_spawn_that_fails_is_told) {
  struct stdio_rig r;
  const char *argv[] = {"no-such-server", NULL};
  int fds;
  stdio_rig_init(&r);
  fds = procs_open_fds();
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_E_IO);
  ck_assert_ptr_null(r.impl);
  ck_assert_str_eq(
      r.log, "0 stdio.spawn command \"no-such-server\" not found in PATH (/usr/local/bin:/usr/bin:/bin)\n");
  ck_assert_int_eq(procs_open_fds(), fds);
  stdio_rig_down(&r);
}
END_TEST

/* ---- cancel and ceilings --------------------------------------------------------------------------- */

START_TEST(a_cancelled_call_that_waits_is_never_sent) {
  struct stdio_rig r;
  char *big = malloc(400001), text[64];
  uint64_t i;
  stdio_rig_sh(&r, "sleep 0.3; exec cat");
  memset(big, ' ', 400000);
  memcpy(big, "{\"id\":1}", 8);
  big[400000] = 0;
  ck_assert_int_eq(stdio_rig_send(&r, 1, big), MCPGW_OK);
  for (i = 2; i <= 9; i++) {
    (void)snprintf(text, sizeof text, "{\"id\":%d}", (int)i);
    ck_assert_int_eq(stdio_rig_send(&r, i, text), MCPGW_OK);
  }
  stdio_ops->cancel(r.impl, 9);
  fake_host_turn(r.link, 50); /* the first one is begun now */
  stdio_ops->cancel(r.impl, 1);
  stdio_ops->cancel(r.impl, 4);
  stdio_ops->cancel(r.impl, 2);
  stdio_ops->cancel(r.impl, 4711);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 6, 8000));
  fake_host_turn(r.link, 50);
  ck_assert_int_eq(fake_host_count(r.link, HOST_MESSAGE, 0), 6);
  static const int seen[] = {3, 5, 6, 7, 8};
  for (i = 0; i < 5; i++) {
    (void)snprintf(text, sizeof text, "{\"id\":%d}", seen[i]);
    ck_assert_str_eq(fake_host_event(r.link, HOST_MESSAGE, 0, (int)i + 1)->text, text);
    ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, (uint64_t)seen[i]), 1);
  }
  ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, 1), 1); /* when it was begun; forgotten since */
  free(big);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(the_queue_has_ceilings) {
  struct stdio_rig r;
  char *big = malloc((1 << 20) + 1);
  int i, rc = 0;
  stdio_rig_sh(&r, "sleep 100");
  memset(big, ' ', 1 << 20);
  memcpy(big, "{}", 2);
  big[1 << 20] = 0;
  for (i = 0; i < 100 && rc == 0; i++) rc = stdio_rig_send(&r, 0, big);
  ck_assert_int_eq(rc, MCPGW_E_LIMIT);
  ck_assert_int_eq(i - 1, 64);
  stdio_rig_down(&r);
  stdio_rig_sh(&r, "sleep 100");
  for (i = 0; i < 4096; i++) ck_assert_int_eq(stdio_rig_send(&r, (uint64_t)i + 1, "{}"), MCPGW_OK);
  ck_assert_int_eq(stdio_rig_send(&r, 5000, "{}"), MCPGW_E_LIMIT);
  fake_host_turn(r.link, 20);
  ck_assert_int_eq(stdio_rig_send(&r, 5001, "{}"), MCPGW_E_LIMIT); /* as many wait for a reply */
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{}"), MCPGW_OK);
  stdio_ops->cancel(r.impl, 7);
  ck_assert_int_eq(stdio_rig_send(&r, 5001, "{}"), MCPGW_OK); /* nobody waits for that one any more */
  ck_assert_int_eq(stdio_rig_send(&r, 5002, "{}"), MCPGW_E_LIMIT);
  free(big);
  stdio_rig_down(&r);
}
END_TEST

/* ---- close ----------------------------------------------------------------------------------------- */

static void close_at(struct mcpgw_link *link, const struct host_event *ev) {
  struct stdio_rig *r = link->user;
  static const int kinds[] = {HOST_SENT, HOST_MESSAGE, HOST_FAILED, HOST_CLOSED};
  int i = (int)(intptr_t)r->config.cwd;
  if (link->closed || ev->kind != kinds[i / 2]) return;
  stdio_ops->close(r->impl, i & 1 ? MCPGW_CLOSE_GRACEFUL : 0);
  r->impl = NULL;
  link->closed = 1;
}

START_TEST(closed_from_inside_an_event) {
  struct stdio_rig r;
  char big[40000];
  int i;
  memset(big, ' ', sizeof big - 1);
  memcpy(big, "{\"id\":1}", 8);
  big[sizeof big - 1] = 0;
  stdio_rig_sh(&r, "read x; echo '{\"a\":1}'; echo '{\"a\":2}'; echo noise; sleep 0.1; exit 1");
  r.config.cwd = (const char *)(intptr_t)_i; /* the copy is made: a place to put the number */
  r.link->react = close_at;
  for (i = 1; i <= 30; i++) ck_assert_int_eq(stdio_rig_send(&r, (uint64_t)i, big), MCPGW_OK);
  for (i = 0; i < 100 && !r.link->closed; i++) fake_host_turn(r.link, 50);
  ck_assert_int_eq(r.link->closed, 1);
  fake_host_turn(r.link, 150);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(graceful_close_sends_what_waits_and_lets_finish) {
  struct stdio_rig r;
  char script[256], file[64];
  (void)snprintf(file, sizeof file, "/tmp/stdio-graceful-%d", (int)getpid());
  (void)snprintf(script, sizeof script, "cat >%s.part; echo '{\"bye\":1}'; echo bye >&2; mv %s.part %s", file,
                 file, file);
  stdio_rig_sh(&r, script);
  ck_assert_int_eq(stdio_rig_send(&r, 0, "{\"method\":\"notifications/cancelled\"}"), MCPGW_OK);
  stdio_rig_close(&r, MCPGW_CLOSE_GRACEFUL); /* before any turn */
  stdio_rig_down(&r);
  FILE *f = fopen(file, "r");
  ck_assert_ptr_nonnull(f);
  ck_assert_ptr_nonnull(fgets(script, sizeof script, f));
  ck_assert_str_eq(script, "{\"method\":\"notifications/cancelled\"}\n");
  fclose(f);
  unlink(file);
}
END_TEST

START_TEST(close_ends_a_stubborn_family) {
  struct stdio_rig r;
  const char *mark = procs_mark();
  const char *argv[] = {
      "sh", "-c",
      "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000; :' $0 & echo '{}'; sleep 1000; :", mark, NULL};
  stdio_rig_init(&r);
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 1, 5000));
  procs_sleep_ms(100);
  uint64_t start = procs_now_ms();
  stdio_rig_close(&r, _i ? MCPGW_CLOSE_GRACEFUL : 0);
  stdio_rig_down(&r);
  ck_assert_uint_le(procs_now_ms() - start, 2000);
  ck_assert_int_eq(procs_with(mark), 0);
}
END_TEST

START_TEST(a_stopped_child_can_be_closed) {
  struct stdio_rig r;
  const char *mark = procs_mark();
  const char *argv[] = {"sh", "-c", "echo '{}'; kill -STOP $$; sleep 1000; :", mark, NULL};
  stdio_rig_init(&r);
  ck_assert_int_eq(stdio_rig_open(&r, argv), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 1, 5000));
  ck_assert_int_eq(stdio_rig_send(&r, 1, "{\"id\":1}"), MCPGW_OK);
  fake_host_turn(r.link, 100);
  ck_assert_int_eq(fake_host_count(r.link, HOST_CLOSED, 0), 0); /* a stopped one is not a dead one */
  stdio_rig_close(&r, MCPGW_CLOSE_GRACEFUL);
  stdio_rig_down(&r);
  ck_assert_int_eq(procs_with(mark), 0);
}
END_TEST

/* ---- many ------------------------------------------------------------------------------------------ */

START_TEST(twenty_links_at_once) {
  enum { N = 20, EACH = 50 };
  struct stdio_rig r;
  struct mcpgw_link *link[N];
  void *impl[N], *transport;
  const char *argv[] = {"cat", NULL};
  char text[64];
  int i, k;
  stdio_rig_init(&r);
  r.config.argv = argv;
  ck_assert_int_eq(mg_transport_stdio_new(&r.config, &transport), MCPGW_OK);
  for (i = 0; i < N; i++) {
    link[i] = fake_host_new(r.loop);
    ck_assert_int_eq(stdio_ops->open(transport, link[i], &impl[i]), MCPGW_OK);
  }
  for (k = 0; k < EACH; k++) {
    for (i = 0; i < N; i++) {
      (void)snprintf(text, sizeof text, "{\"id\":%d,\"link\":%d}", k, i);
      mcpgw_bytes *b = fake_host_bytes(link[i], text);
      mcpgw_message m = {.struct_size = sizeof m,
                         .kind = MCPGW_SEND_REQUEST,
                         .call = (uint64_t)k + 1,
                         .bytes = b,
                         .revision = ""};
      ck_assert_int_eq(stdio_ops->send(impl[i], &m), MCPGW_OK);
      mcpgw_bytes_unref(b);
    }
    fake_host_turn(r.link, 1);
  }
  for (i = 0; i < N; i++) {
    ck_assert(fake_host_wait(link[i], HOST_MESSAGE, 0, EACH, 10000));
    for (k = 0; k < EACH; k++) {
      (void)snprintf(text, sizeof text, "{\"id\":%d,\"link\":%d}", k, i);
      ck_assert_str_eq(fake_host_event(link[i], HOST_MESSAGE, 0, k)->text, text);
    }
    stdio_ops->close(impl[i], i & 1);
    fake_host_free(link[i]);
  }
  ck_assert_int_eq(mg_child_drain(r.loop, 5000), MCPGW_OK);
  mg_transport_stdio_free(transport);
  stdio_rig_down(&r);
}
END_TEST

START_TEST(two_hundred_links_leave_nothing) {
  struct stdio_rig r;
  const char *quick[] = {"sh", "-c", "exit 3", NULL}, *slow[] = {"cat", NULL};
  int i, fds;
  stdio_rig_init(&r);
  fds = procs_open_fds();
  for (i = 0; i < 200; i++) {
    struct mcpgw_link *link = fake_host_new(r.loop);
    void *transport, *impl;
    r.config.argv = i & 1 ? quick : slow;
    ck_assert_int_eq(mg_transport_stdio_new(&r.config, &transport), MCPGW_OK);
    ck_assert_int_eq(stdio_ops->open(transport, link, &impl), MCPGW_OK);
    if (i & 2) ck_assert(fake_host_wait(link, i & 1 ? HOST_CLOSED : 0, 0, i & 1, i & 1 ? 5000 : 2));
    stdio_ops->close(impl, (i & 4) ? MCPGW_CLOSE_GRACEFUL : 0);
    mg_transport_stdio_free(transport);
    fake_host_free(link);
  }
  ck_assert_int_eq(mg_child_drain(r.loop, 5000), MCPGW_OK);
  ck_assert_int_eq(procs_open_fds(), fds);
  ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
  stdio_rig_down(&r);
}
END_TEST

/* Each allocation fails in turn, from the transport to the reply. */
START_TEST(out_of_memory) {
  struct stdio_rig r;
  const char *argv[] = {"cat", NULL};
  int n, done = 0, fds;
  stdio_rig_init(&r);
  r.config.argv = argv;
  fds = procs_open_fds();
  for (n = 1; !done && n < 60; n++) {
    struct mcpgw_link *link = fake_host_new(r.loop);
    void *transport = NULL, *impl = NULL;
    mcpgw_bytes *b = fake_host_bytes(link, "{\"id\":1,\n\"method\":\"m\"}");
    mcpgw_message m = {
        .struct_size = sizeof m, .kind = MCPGW_SEND_REQUEST, .call = 1, .bytes = b, .revision = ""};
    mg_mem_fail_after((uint64_t)n, 0);
    int rc = mg_transport_stdio_new(&r.config, &transport);
    if (!rc) rc = stdio_ops->open(transport, link, &impl);
    if (!rc) rc = stdio_ops->send(impl, &m);
    if (!rc) (void)fake_host_wait(link, HOST_MESSAGE, 0, 1, 300); /* its own timer may be what fails */
    done = mg_mem_failed() == 0;
    mg_mem_fail_after(0, 0);
    if (done) ck_assert_int_eq(fake_host_count(link, HOST_MESSAGE, 0), 1);
    if (impl) stdio_ops->close(impl, MCPGW_CLOSE_GRACEFUL);
    mcpgw_bytes_unref(b);
    mg_transport_stdio_free(transport);
    fake_host_free(link);
    ck_assert_int_eq(mg_child_drain(r.loop, 5000), MCPGW_OK);
    ck_assert_int_eq(procs_open_fds(), fds);
  }
  ck_assert_int_eq(done, 1);
  ck_assert_int_gt(n, 15);
  stdio_rig_down(&r);
}
END_TEST

Suite *transport_stdio_life_suite(void) {
  Suite *s = suite_create("transport/stdio_life");
  TCase *c = tcase_create("life");
  tcase_set_timeout(c, 60);
  tcase_add_loop_test(c, the_text_says_how_it_ended, 0, 4);
  tcase_add_test(c, what_stdout_holds_is_read_first);
  tcase_add_test(c, a_message_cut_by_the_end_is_dropped);
  tcase_add_test(c, killed_half_way);
  tcase_add_test(c, stdin_closed_by_a_living_child);
  tcase_add_test(c, a_spawn_that_fails_is_told);
  tcase_add_test(c, a_cancelled_call_that_waits_is_never_sent);
  tcase_add_test(c, the_queue_has_ceilings);
  tcase_add_loop_test(c, closed_from_inside_an_event, 0, 8);
  tcase_add_test(c, graceful_close_sends_what_waits_and_lets_finish);
  tcase_add_loop_test(c, close_ends_a_stubborn_family, 0, 2);
  tcase_add_test(c, a_stopped_child_can_be_closed);
  tcase_add_test(c, twenty_links_at_once);
  tcase_add_test(c, two_hundred_links_leave_nothing);
  tcase_add_test(c, out_of_memory);
  suite_add_tcase(s, c);
  return s;
}
