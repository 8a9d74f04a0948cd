/* Many exchanges at once, with cancels and deaths among them; nothing may leak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/client_fix.h"

static struct client_fix f;

/* Answers, dawdles, breaks off or resets, by a number in the body. */
static void mixed(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    int n = atoi(r.body + 1);
    raw_request_done(&r);
    if (n % 7 == 3) raw_sleep(5);
    if (n % 11 == 5) {
      raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
      return;
    }
    if (n % 13 == 6) {
      raw_reset(c);
      return;
    }
    raw_sendf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%04d\r\n0\r\n\r\n", n % 10000);
  }
}

static int breaks(int n) {
  return n % 11 == 5 || n % 13 == 6;
}

START_TEST(sixty_four_at_once) {
  enum { N = 64, ROUNDS = 3 };
  static struct got g[N];
  client_fix_up(&f, mixed, NULL);
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < N; i++) {
      char body[32];
      memset(&g[i], 0, sizeof g[i]);
      snprintf(body, sizeof body, "[%d]", i);
      ck_assert_int_eq(client_start(&f, &g[i], "POST", NULL, NULL, body), MCPGW_OK);
    }
    for (int i = 0; i < N; i++) {
      char want[16];
      client_wait(&f, &g[i].dones, 1, 5000);
      snprintf(want, sizeof want, "%04d", i);
      ck_assert_int_eq(g[i].faulty, breaks(i));
      if (!breaks(i)) ck_assert_str_eq(g[i].body, want);
      got_done(&g[i]);
    }
  }
  ck_assert_int_le(f.up->connections, N + 3 * 16);
  client_fix_down(&f);
}
END_TEST

START_TEST(cancels_among_parallel_calls) {
  enum { N = 200 };
  static struct got g[N];
  unsigned seed = 7;
  client_fix_up(&f, mixed, NULL);
  for (int round = 0; round < 3; round++) {
    memset(g, 0, sizeof g);
    for (int i = 0; i < N; i++) {
      char body[32];
      snprintf(body, sizeof body, "[%d]", i);
      g[i].cancel_in = i % 17 == 0 ? 'h' : i % 19 == 0 ? 'b' : 0;
      ck_assert_int_eq(client_start(&f, &g[i], "POST", NULL, NULL, body), MCPGW_OK);
      if (i % 3 == 0) client_turn(&f, 1);
      int victim = (int)(rand_r(&seed) % (unsigned)(i + 1));
      if (i % 5 == 0 && !g[victim].dones && !g[victim].cancel_in) {
        mg_http_call_cancel(g[victim].call);
        g[victim].cancel_in = 'x';
        g[victim].sents = -1000;
      }
    }
    client_turn(&f, 300);
    for (int i = 0; i < N; i++) {
      ck_assert_int_le(g[i].dones, 1);
      if (!g[i].cancel_in) ck_assert_int_eq(g[i].dones, 1);
      if (g[i].cancel_in == 'x') ck_assert_int_eq(g[i].sents, -1000);
      got_done(&g[i]);
    }
  }
  client_fix_down(&f);
}
END_TEST

START_TEST(nothing_leaks) {
  enum { N = 100 };
  static struct got g[N];
  client_fix_up(&f, mixed, NULL); /* what libuv and OpenSSL keep for the process */
  client_fix_down(&f);
  int fds = raw_open_fds();
  int64_t live = mg_mem_live();
  for (int round = 0; round < 2; round++) {
    memset(g, 0, sizeof g);
    client_fix_up(&f, mixed, NULL);
    for (int i = 0; i < N; i++) {
      char body[32];
      snprintf(body, sizeof body, "[%d]", i);
      ck_assert_int_eq(client_start(&f, &g[i], "POST", NULL, NULL, body), MCPGW_OK);
    }
    client_turn(&f, round ? 3 : 200); /* the second time all is cut off in the middle */
    client_fix_down(&f);
    for (int i = 0; i < N; i++) free(g[i].body);
    ck_assert_int_eq(raw_open_fds(), fds);
    ck_assert_int_eq(mg_mem_live(), live);
  }
}
END_TEST

START_TEST(every_allocation_may_fail) {
  for (uint64_t n = 1; n < 60; n++) {
    struct got g = {0};
    int rc = MCPGW_E_NOMEM;
    struct mg_loop *loop;
    memset(&f, 0, sizeof f);
    f.up = raw_server_new(client_echo, NULL);
    ck_assert_int_eq(mg_loop_new(&loop), MCPGW_OK);
    mg_mem_fail_after(n, 0);
    f.loop = loop;
    if (mg_http_client_new(loop, NULL, &f.client) == MCPGW_OK) {
      rc = client_start(&f, &g, "POST", NULL, NULL, "{}");
      for (int i = 0; rc == MCPGW_OK && !g.dones && i < 5000; i++) {
        ck_assert_int_eq(mg_loop_run(loop, MG_RUN_NOWAIT), MCPGW_OK);
        raw_sleep(1);
      }
      if (rc == MCPGW_OK) ck_assert_int_eq(g.dones, 1);
    }
    uint64_t fired = mg_mem_failed();
    mg_mem_fail_after(0, 0);
    if (!fired) ck_assert(rc == MCPGW_OK && !g.faulty);
    mg_http_client_free(f.client);
    mg_loop_free(loop);
    raw_server_free(f.up);
    free(g.body);
    if (!fired) return;
  }
  ck_abort_msg("never got through");
}
END_TEST

static void idle_stream(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    int get = !strncmp(r.head, "GET", 3);
    raw_request_done(&r);
    if (get) {
      raw_send(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n");
      raw_peer_closed(c, 10000);
      return;
    }
    raw_reply(c, 200, "", "{}");
  }
}

START_TEST(idle_streams_do_not_slow_requests) {
  enum { N = 200, CALLS = 300 };
  static struct got g[N];
  client_fix_up(&f, idle_stream, NULL);
  for (int i = 0; i < N; i++) {
    memset(&g[i], 0, sizeof g[i]);
    ck_assert_int_eq(client_start(&f, &g[i], "GET", NULL, NULL, NULL), MCPGW_OK);
  }
  for (int i = 0; i < N; i++) client_wait(&f, &g[i].heads, 1, 5000);
  for (int i = 0; i < CALLS; i++) {
    struct got one = {0};
    client_post(&f, &one, "{}");
    ck_assert(!one.faulty);
    got_done(&one);
  }
  ck_assert_int_eq(f.up->connections, N + 1);
  for (int i = 0; i < N; i++) mg_http_call_cancel(g[i].call);
  for (int i = 0; i < N; i++) got_done(&g[i]);
  client_fix_down(&f);
}
END_TEST

void client_tests_load(Suite *s) {
  TCase *t = tcase_create("load");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, sixty_four_at_once);
  tcase_add_test(t, cancels_among_parallel_calls);
  tcase_add_test(t, nothing_leaks);
  tcase_add_test(t, every_allocation_may_fail);
  tcase_add_test(t, idle_streams_do_not_slow_requests);
  suite_add_tcase(s, t);
}
