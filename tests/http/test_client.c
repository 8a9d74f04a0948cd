/* The client's ordinary ways: what goes out, what comes in, reuse, pausing, cancelling. */
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/client_fix.h"
#include "http/suites.h"

static struct client_fix f;

/* Answers each request with its own head and body as text; remembers the last head. */
static char last_head[32768];
static void echo(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    memcpy(last_head, r.head, sizeof last_head);
    raw_reply(c, 200,
              "Content-Type: application/json; charset=utf-8\r\nMcp-Session-Id: abc\r\nRetry-After: 7\r\n"
              "WWW-Authenticate: Bearer x\r\n",
              r.body);
    raw_request_done(&r);
  }
}

START_TEST(post_carries_what_was_given_and_nothing_else) {
  static const char *const headers[] = {"Content-Type: application/json", "X-A: 1", "X-Empty:", NULL};
  struct got g = {0};
  client_fix_up(&f, echo, NULL);
  ck_assert_int_eq(client_start(&f, &g, "POST", NULL, headers, "{\"a\":1}"), MCPGW_OK);
  client_wait(&f, &g.dones, 1, 5000);
  ck_assert(!g.faulty);
  ck_assert_int_eq(g.status, 200);
  ck_assert_str_eq(g.body, "{\"a\":1}");
  ck_assert_str_eq(g.type, "application/json");
  ck_assert_str_eq(g.session, "abc");
  ck_assert_int_eq(g.n_session, 1);
  ck_assert_str_eq(g.retry_after, "7");
  ck_assert_str_eq(g.www, "Bearer x");
  ck_assert_int_eq(g.sents, 1);
  ck_assert_int_eq(g.heads, 1);
  char want[512];
  snprintf(
      want, sizeof want,
      "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nX-A: 1\r\nX-Empty:\r\n"
      "Content-Length: 7\r\n\r\n",
      f.up->port);
  ck_assert_str_eq(last_head, want);
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

START_TEST(methods_alternate_on_one_handle_without_reset) {
  static const char *const methods[] = {"POST", "GET", "DELETE", "POST", "DELETE", "GET", "POST"};
  static const char *const none[] = {NULL};
  client_fix_up(&f, echo, NULL);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    struct got g = {0};
    int post = !strcmp(methods[i], "POST");
    ck_assert_int_eq(client_start(&f, &g, methods[i], NULL, none, post && i ? "{\"n\":2}" : NULL), MCPGW_OK);
    client_wait(&f, &g.dones, 1, 5000);
    ck_assert(!g.faulty);
    ck_assert(!strncmp(last_head, methods[i], strlen(methods[i])));
    ck_assert_int_eq(strstr(last_head, "Content-Length: ") != NULL, post);
    ck_assert_ptr_null(strcasestr(last_head, "Accept:"));
    ck_assert_ptr_null(strcasestr(last_head, "Expect:"));
    ck_assert_ptr_null(strcasestr(last_head, "User-Agent:"));
    ck_assert_ptr_null(strcasestr(last_head, "Content-Type:"));
    got_done(&g);
  }
  client_fix_down(&f);
}
END_TEST

START_TEST(connections_are_kept_and_reused) {
  client_fix_up(&f, echo, NULL);
  int before = raw_open_fds();
  for (int i = 0; i < 200; i++) {
    struct got g = {0};
    client_post(&f, &g, "{}");
    ck_assert(!g.faulty);
    got_done(&g);
  }
  ck_assert_int_eq(f.up->connections, 1);
  ck_assert_int_eq(f.up->requests, 200);
  ck_assert_int_le(raw_open_fds(), before + 2); /* both ends of the one connection */
  client_fix_down(&f);
}
END_TEST

START_TEST(steady_state_allocates_nothing) {
  client_fix_up(&f, echo, NULL);
  struct got g = {0};
  client_post(&f, &g, "{}");
  got_done(&g);
  int64_t live = mg_mem_live();
  for (int i = 0; i < 50; i++) {
    client_post(&f, &g, "{}");
    got_done(&g);
  }
  client_turn(&f, 5);
  ck_assert_int_eq(mg_mem_live(), live);
  client_fix_down(&f);
}
END_TEST

START_TEST(large_bodies_both_ways) {
  size_t n = 4 << 20;
  char *big = malloc(n + 1);
  struct got g = {0};
  memset(big, 'x', n);
  big[n] = '\0';
  client_fix_up(&f, echo, NULL);
  client_post(&f, &g, big);
  ck_assert(!g.faulty);
  ck_assert_uint_eq(g.len, n);
  ck_assert(!memcmp(g.body, big, n));
  ck_assert_int_eq(g.sents, 1);
  ck_assert(strstr(last_head, "Content-Length: 4194304\r\n"));
  got_done(&g);
  free(big);
  client_fix_down(&f);
}
END_TEST

static void big_reply(struct raw_conn *c, void *arg) {
  struct raw_request r;
  char piece[16385];
  memset(piece, 'y', 16384);
  piece[16384] = '\0';
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n");
  for (int i = 0; i < 2048; i++) raw_send(c, piece);
  raw_read(c, &r);
}

START_TEST(a_paused_body_stops_the_upstream_and_resumes_whole) {
  struct got g = {.pause_times = 1 << 30};
  client_fix_up(&f, big_reply, NULL);
  ck_assert_int_eq(client_start(&f, &g, "POST", NULL, NULL, "{}"), MCPGW_OK);
  client_wait(&f, &g.heads, 1, 5000);
  client_turn(&f, 200);
  ck_assert_int_eq((int)g.len, 0);
  ck_assert_int_eq(g.dones, 0);
  mg_http_call_resume(g.call); /* still paused: the piece comes again and is refused again */
  client_turn(&f, 50);
  ck_assert_int_eq((int)g.len, 0);
  g.pause_times = 0;
  mg_http_call_resume(g.call);
  ck_assert_int_eq((int)g.len, 0); /* never from inside the call */
  client_wait(&f, &g.dones, 1, 20000);
  ck_assert(!g.faulty);
  ck_assert_uint_eq(g.len, 33554432);
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

START_TEST(a_call_may_be_cancelled_anywhere) {
  static const char where[] = "shbd";
  for (int i = 0; i < 4; i++) {
    struct got g = {.cancel_in = where[i]}, next = {0};
    client_fix_up(&f, echo, NULL);
    ck_assert_int_eq(client_start(&f, &g, "POST", NULL, NULL, "{}"), MCPGW_OK);
    client_turn(&f, 100);
    ck_assert_int_eq(g.dones, where[i] == 'd');
    ck_assert_int_eq(g.sents, 1);
    ck_assert_int_eq(g.heads, where[i] != 's');
    client_post(&f, &next, "{}"); /* and the client lives on */
    ck_assert(!next.faulty);
    got_done(&g);
    got_done(&next);
    client_fix_down(&f);
  }
}
END_TEST

static void silent(struct raw_conn *c, void *arg) {
  struct raw_request r;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  *(atomic_int *)arg = raw_peer_closed(c, 3000);
}

START_TEST(cancelling_closes_the_connection) {
  atomic_int closed = 0;
  struct got g = {0};
  client_fix_up(&f, silent, &closed);
  ck_assert_int_eq(client_start(&f, &g, "POST", NULL, NULL, "{}"), MCPGW_OK);
  client_wait(&f, &g.sents, 1, 5000);
  client_turn(&f, 20);
  mg_http_call_cancel(g.call);
  for (int i = 0; i < 100 && !closed; i++) raw_sleep(10);
  ck_assert_int_eq(closed, 1);
  client_turn(&f, 20);
  ck_assert_int_eq(g.dones, 0);
  client_fix_down(&f);
}
END_TEST

START_TEST(a_call_may_be_started_from_done_and_cancelled_before_it_began) {
  struct got g = {0}, then = {0}, never = {0};
  g.then = &then;
  client_fix_up(&f, echo, NULL);
  client_post(&f, &g, "{}");
  client_wait(&f, &then.dones, 1, 5000);
  ck_assert_str_eq(then.body, "{\"chained\":1}");
  ck_assert_int_eq(client_start(&f, &never, "POST", NULL, NULL, "{}"), MCPGW_OK);
  mg_http_call_cancel(never.call);
  client_turn(&f, 50);
  ck_assert_int_eq(never.dones + never.sents, 0);
  got_done(&g);
  got_done(&then);
  client_fix_down(&f);
}
END_TEST

/* libcurl 7.88 closes a socket that still connects without telling: nothing of ours may go on watching it. */
START_TEST(a_call_may_be_cancelled_while_it_connects) {
  client_fix_up(&f, echo, NULL);
  for (int i = 0; i < 20; i++) {
    struct got g = {0};
    ck_assert_int_eq(client_start(&f, &g, "POST", NULL, NULL, "{}"), MCPGW_OK);
    ck_assert_int_eq(mg_loop_run(f.loop, MG_RUN_NOWAIT), MCPGW_OK); /* the connect is under way */
    ck_assert_int_eq(g.sents, 0);
    mg_http_call_cancel(g.call);
    if (i % 2) client_turn(&f, 5);
  }
  struct got last = {0};
  client_post(&f, &last, "{}");
  ck_assert(!last.faulty);
  got_done(&last);
  client_fix_down(&f);
}
END_TEST

START_TEST(bad_arguments_are_returned) {
  static const char *const split[] = {"X-A: 1\r\nX-B: 2", NULL};
  static const char *const nameless[] = {"no colon", NULL};
  struct got g = {0};
  client_fix_up(&f, echo, NULL);
  ck_assert_int_eq(client_start(&f, &g, "POST", "ftp://127.0.0.1/x", NULL, "{}"), MCPGW_E_INVALID);
  ck_assert_int_eq(client_start(&f, &g, "POST", "file:///etc/passwd", NULL, "{}"), MCPGW_E_INVALID);
  ck_assert_int_eq(client_start(&f, &g, "PATCH", NULL, NULL, NULL), MCPGW_E_INVALID);
  ck_assert_int_eq(client_start(&f, &g, "GET", NULL, NULL, "{}"), MCPGW_E_INVALID);
  ck_assert_int_eq(client_start(&f, &g, "POST", NULL, split, "{}"), MCPGW_E_INVALID);
  ck_assert_int_eq(client_start(&f, &g, "POST", NULL, nameless, "{}"), MCPGW_E_INVALID);
  client_turn(&f, 20);
  ck_assert_int_eq(f.up->connections, 0);
  client_fix_down(&f);
}
END_TEST

/* A filter that drops all packets: the machine at the other end has lost its network. */
static void vanish(struct raw_conn *c, void *arg) {
  struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {1, &nothing};
  struct raw_request r;
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_sendf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: \n\n");
  raw_sleep(100); /* what was sent is acknowledged */
  setsockopt(c->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  while (!c->server->stop) raw_sleep(20);
}

START_TEST(a_stream_whose_server_vanished_is_noticed) {
  struct got g = {0};
  client_fix_up(&f, vanish, NULL);
  mg_http_client_patience(f.client, 1000);
  ck_assert_int_eq(client_start(&f, &g, "GET", f.up->url, NULL, NULL), MCPGW_OK);
  client_wait(&f, &g.dones, 1, 11000);
  ck_assert_int_eq(g.status, 200);
  ck_assert_int_eq(g.faulty, 1);
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

START_TEST(redirects_and_proxies_are_not_followed) {
  struct got g = {0};
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  client_fix_up(&f, echo, NULL);
  client_post(&f, &g, "{}");
  ck_assert(!g.faulty);
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

static void redirect(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    raw_reply(c, 307, "Location: /other\r\n", "");
    raw_request_done(&r);
  }
}

START_TEST(a_redirect_is_an_answer) {
  struct got g = {0};
  client_fix_up(&f, redirect, NULL);
  client_post(&f, &g, "{}");
  ck_assert(!g.faulty);
  ck_assert_int_eq(g.status, 307);
  ck_assert_int_eq(f.up->requests, 1);
  client_fix_down(&f);
}
END_TEST

static void informed(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, "HTTP/1.1 103 Early Hints\r\nMcp-Session-Id: no\r\nContent-Type: text/html\r\n\r\n");
  raw_send(c,
           "HTTP/1.1 200 OK\r\nMcp-Session-Id: a\r\nMcp-Session-Id: b\r\nTransfer-Encoding: chunked\r\n\r\n");
  raw_send(c, "2\r\nab\r\n1\r\nc\r\n0\r\nContent-Type: trailer/x\r\n\r\n");
  raw_read(c, &r);
}

START_TEST(early_hints_and_trailers_are_no_head) {
  struct got g = {0};
  client_fix_up(&f, informed, NULL);
  client_post(&f, &g, "{}");
  ck_assert(!g.faulty);
  ck_assert_int_eq(g.heads, 1);
  ck_assert_int_eq(g.status, 200);
  ck_assert_int_eq(g.n_session, 2);
  ck_assert_str_eq(g.session, "a");
  ck_assert_str_eq(g.type, "");
  ck_assert_str_eq(g.body, "abc");
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

Suite *http_client_suite(void) {
  Suite *s = suite_create("http/client");
  TCase *t = tcase_create("exchange");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, post_carries_what_was_given_and_nothing_else);
  tcase_add_test(t, methods_alternate_on_one_handle_without_reset);
  tcase_add_test(t, connections_are_kept_and_reused);
  tcase_add_test(t, steady_state_allocates_nothing);
  tcase_add_test(t, large_bodies_both_ways);
  tcase_add_test(t, a_paused_body_stops_the_upstream_and_resumes_whole);
  tcase_add_test(t, a_call_may_be_cancelled_anywhere);
  tcase_add_test(t, cancelling_closes_the_connection);
  tcase_add_test(t, a_call_may_be_cancelled_while_it_connects);
  tcase_add_test(t, a_call_may_be_started_from_done_and_cancelled_before_it_began);
  tcase_add_test(t, bad_arguments_are_returned);
  tcase_add_test(t, a_stream_whose_server_vanished_is_noticed);
  tcase_add_test(t, redirects_and_proxies_are_not_followed);
  tcase_add_test(t, a_redirect_is_an_answer);
  tcase_add_test(t, early_hints_and_trailers_are_no_head);
  suite_add_tcase(s, t);
  client_tests_delivery(s);
  client_tests_load(s);
  return s;
}
