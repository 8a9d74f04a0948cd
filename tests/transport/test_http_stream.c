/* Event streams: delivery, draining, resumption by Last-Event-ID, the listening GET. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/test_http.h"

#define SSE "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
static struct http_fix f;

static void chunk(struct raw_conn *c, const char *text) {
  raw_sendf(c, "%zx\r\n%s\r\n", strlen(text), text);
}

/* Streams well-behaved answers over one kept connection. */
static void streamer(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    raw_request_done(&r);
    raw_send(c, SSE "Transfer-Encoding: chunked\r\n\r\n");
    chunk(c, ": hello\n\nid: 1\ndata: \n\n");
    chunk(c, "data: {\"method\":\"notifications/progress\"}\n\nda");
    chunk(c, "ta: {\"result\":\n");
    chunk(c, "data: {\"x\":1}}\n\n");
    raw_sleep(20);
    raw_send(c, "0\r\n\r\n");
  }
}

START_TEST(messages_come_one_by_one_and_the_connection_is_kept) {
  http_fix_up(&f, streamer, NULL);
  for (uint64_t call = 1; call <= 5; call++) {
    ck_assert_int_eq(http_send(&f, call, "{\"id\":1}"), MCPGW_OK);
    http_message(&f, call, 1);
    ck_assert_str_eq(fake_host_event(f.host, HOST_MESSAGE, call, 0)->text,
                     "{\"method\":\"notifications/progress\"}");
    ck_assert_str_eq(fake_host_event(f.host, HOST_MESSAGE, call, 1)->text, "{\"result\":\n{\"x\":1}}");
    ck_assert_int_eq(fake_host_count(f.host, HOST_STREAMING, call), 1);
    ck_assert_int_ge(f.host->alive, 2); /* the head, and what followed */
    ck_assert_uint_eq(f.host->alive_call, call);
    f.host->alive = 0;
    fake_host_turn(f.host, 60);
  }
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  ck_assert_int_eq(f.up->connections, 1);
  http_fix_down(&f);
}
END_TEST

/* Comments are no events, but signs of life. */
static void beats(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, SSE "\r\n");
  for (int i = 0; i < 5; i++) {
    raw_send(c, ": beat\n\n");
    raw_sleep(20);
  }
  raw_send(c, "data: {\"result\":1}\n\n");
}

START_TEST(heartbeats_are_signs_of_life) {
  http_fix_up(&f, beats, NULL);
  ck_assert_int_eq(http_send(&f, 1, "{\"id\":1}"), MCPGW_OK);
  http_message(&f, 1, 0);
  ck_assert_int_ge(f.host->alive, 5);
  ck_assert_int_eq(fake_host_count(f.host, HOST_STREAMING, 0), 0);
  http_fix_down(&f);
}
END_TEST

static void never_ends(struct raw_conn *c, void *arg) {
  struct raw_request r;
  uint64_t start;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, SSE "\r\ndata: {\"result\":1}\n\n");
  start = mg_now_ms();
  if (raw_peer_closed(c, 3000)) *(atomic_int *)arg = (int)(mg_now_ms() - start);
}

START_TEST(an_answered_stream_that_stays_open_is_closed) {
  atomic_int took = 0;
  http_fix_up(&f, never_ends, &took);
  ck_assert_int_eq(http_send(&f, 1, "{\"id\":1}"), MCPGW_OK);
  http_message(&f, 1, 0);
  for (int i = 0; i < 100 && !took; i++) fake_host_turn(f.host, 10);
  ck_assert_int_ge(took, 90);
  ck_assert_int_lt(took, 600);
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  http_fix_down(&f);
}
END_TEST

/* Connection 0: primes and breaks; each GET goes on where Last-Event-ID says. */
struct resume {
  int breaks;   /* GETs that end without the answer */
  int by_reset; /* … or with RST */
  int status;   /* of the GETs; 0: 200 */
  int unpriming;
  atomic_int gets, bad, first_wait;
  uint64_t ended;
};
static void resumable(struct raw_conn *c, void *arg) {
  struct resume *s = arg;
  struct raw_request r;
  char want[64];
  int n;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  if (!strncmp(r.head, "POST", 4)) {
    raw_sendf(c, SSE "\r\n%s", s->unpriming ? "data: {\"m\":0}\n\n" : "id: e0\nretry: 150\ndata: \n\n");
    raw_sleep(10);
    s->ended = mg_now_ms();
    return;
  }
  n = atomic_fetch_add(&s->gets, 1);
  if (!n) s->first_wait = (int)(mg_now_ms() - s->ended);
  snprintf(want, sizeof want, "Last-Event-ID: e%d", n);
  if (!raw_has(&r, want) || !raw_has(&r, "Accept: text/event-stream") ||
      !raw_has(&r, "MCP-Protocol-Version: 2025-11-25"))
    s->bad++;
  if (s->status && n == s->breaks) {
    raw_reply(c, s->status, "", "");
    return;
  }
  if (n < s->breaks) {
    raw_sendf(c, SSE "\r\nid: e%d\ndata: {\"n\":%d}\n\ndata: {\"half", n + 1, n);
    raw_sleep(10);
    if (s->by_reset) raw_reset(c);
    return;
  }
  raw_sendf(c, SSE "\r\nid: last\ndata: {\"result\":2}\n\n");
  raw_peer_closed(c, 500);
}

START_TEST(a_legacy_stream_is_resumed_where_it_broke) {
  struct resume s = {.breaks = 3, .by_reset = _i};
  http_fix_up(&f, resumable, &s);
  ck_assert_int_eq(http_send(&f, 4, "{\"id\":4}"), MCPGW_OK);
  http_message(&f, 4, 3);
  ck_assert_str_eq(fake_host_event(f.host, HOST_MESSAGE, 4, 0)->text, "{\"n\":0}");
  ck_assert_str_eq(fake_host_event(f.host, HOST_MESSAGE, 4, 2)->text, "{\"n\":2}");
  ck_assert_str_eq(fake_host_event(f.host, HOST_MESSAGE, 4, 3)->text, "{\"result\":2}");
  ck_assert_int_eq(s.gets, 4);
  ck_assert_int_eq(s.bad, 0);
  ck_assert_int_ge(s.first_wait, 145); /* the server's retry */
  ck_assert_int_lt(s.first_wait, 600);
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  ck_assert_int_eq(fake_host_count(f.host, HOST_STREAMING, 4), 1);
  http_fix_down(&f);
}
END_TEST

START_TEST(a_stream_that_cannot_be_resumed_fails_its_call) {
  static const int statuses[] = {400, 404, 405};
  struct resume s = {.breaks = 1, .status = statuses[_i]};
  http_fix_up(&f, resumable, &s);
  ck_assert_int_eq(http_send(&f, 4, "{\"id\":4}"), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 4);
  ck_assert_int_eq(ev->why.code, MCPGW_E_CLOSED);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_YES);
  ck_assert_uint_eq(ev->why.http_status, (uint32_t)s.status);
  ck_assert_int_eq(s.gets, 2);
  http_fix_down(&f);
}
END_TEST

START_TEST(what_is_not_resumable_is_not_resumed) {
  struct resume s = {.breaks = 1, .unpriming = _i == 0};
  mcpgw_message modern = {.kind = MCPGW_SEND_REQUEST, .call = 4, .revision = "2026-07-28", .modern = 1};
  http_fix_up(&f, resumable, &s);
  if (_i == 0) ck_assert_int_eq(http_send(&f, 4, "{\"id\":4}"), MCPGW_OK);
  else ck_assert_int_eq(http_send_as(&f, &modern, "{\"id\":4}"), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 4);
  ck_assert_int_eq(ev->why.code, MCPGW_E_CLOSED);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_YES);
  ck_assert_str_eq(ev->text, "stream ended without a response");
  fake_host_turn(f.host, 250);
  ck_assert_int_eq(s.gets, 0);
  http_fix_down(&f);
}
END_TEST

START_TEST(cancel_ends_the_waiting_for_resumption) {
  struct resume s = {.breaks = 1};
  http_fix_up(&f, resumable, &s);
  ck_assert_int_eq(http_send(&f, 4, "{\"id\":4}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, HOST_STREAMING, 4, 1, 5000));
  fake_host_turn(f.host, 40);
  mg_transport_http_ops.cancel(f.impl, 4);
  fake_host_turn(f.host, 300);
  ck_assert_int_eq(s.gets, 0);
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  http_fix_down(&f);
}
END_TEST

/* The server primes each stream and ends it at once, for ever: bounded. */
static void poller(struct raw_conn *c, void *arg) {
  struct raw_request r;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  atomic_fetch_add((atomic_int *)arg, 1);
  raw_send(c, SSE "\r\nid: e\nretry: 1\ndata: \n\n");
}

START_TEST(polling_has_an_end) {
  atomic_int n = 0;
  http_fix_up(&f, poller, &n);
  ck_assert_int_eq(http_send(&f, 4, "{\"id\":4}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, HOST_FAILED, 4, 1, 15000));
  ck_assert_int_eq(n, 101);
  ck_assert(strstr(fake_host_event(f.host, HOST_FAILED, 4, 0)->text, "100 times"));
  http_fix_down(&f);
}
END_TEST

struct listening {
  int status;
  atomic_int gets, with_id, with_session, waited;
  uint64_t ended;
};
static void listened(struct raw_conn *c, void *arg) {
  struct listening *s = arg;
  struct raw_request r;
  int n;
  while (raw_read(c, &r)) {
    raw_request_done(&r);
    if (!strncmp(r.head, "POST", 4)) {
      raw_reply(c, 200, "Content-Type: application/json\r\nMcp-Session-Id: s\r\n", "{\"result\":{}}");
      continue;
    }
    n = atomic_fetch_add(&s->gets, 1);
    s->with_session += raw_has(&r, "Mcp-Session-Id: s");
    if (s->status) {
      raw_reply(c, s->status, "", "");
      continue;
    }
    if (n) s->waited = (int)(mg_now_ms() - s->ended);
    s->with_id += raw_has(&r, "Last-Event-ID: g0");
    raw_sendf(c, SSE "\r\nid: g%d\nretry: 200\ndata: {\"method\":\"notifications/%d\"}\n\n", n, n);
    raw_sleep(10);
    s->ended = mg_now_ms();
    if (n) raw_peer_closed(c, 5000);
    return;
  }
}

START_TEST(the_listening_stream_comes_back_where_it_was) {
  struct listening s = {0};
  http_fix_up(&f, listened, &s);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  mg_transport_http_ops.listen(f.impl, "2025-11-25");
  mg_transport_http_ops.listen(f.impl, "2025-11-25"); /* once is enough */
  ck_assert(fake_host_wait(f.host, HOST_MESSAGE, 0, 3, 5000));
  const struct host_event *ev = fake_host_event(f.host, HOST_MESSAGE, 0, 2);
  ck_assert_uint_eq(ev->call, 0);
  ck_assert_str_eq(ev->text, "{\"method\":\"notifications/1\"}");
  ck_assert_int_eq(s.gets, 2);
  ck_assert_int_eq(s.with_id, 1);
  ck_assert_int_eq(s.with_session, 2);
  ck_assert_int_ge(s.waited, 195);
  ck_assert_int_lt(s.waited, 800);
  ck_assert_int_eq(f.host->gaps, 0); /* it was closed in order, and goes on from where it was */
  ck_assert_int_eq(http_send(&f, 2, "{\"id\":2}"), MCPGW_OK); /* calls go on beside it */
  http_message(&f, 2, 0);
  http_fix_down(&f);
}
END_TEST

START_TEST(no_listening_stream_is_fine) {
  static const int statuses[] = {405, 400};
  struct listening s = {.status = statuses[_i]};
  http_fix_up(&f, listened, &s);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  mg_transport_http_ops.listen(f.impl, "2025-11-25");
  fake_host_turn(f.host, 100);
  mg_transport_http_ops.listen(f.impl, "2025-11-25"); /* remembered */
  fake_host_turn(f.host, 1300);
  ck_assert_int_eq(s.gets, 1);
  ck_assert_int_eq(fake_host_count(f.host, HOST_CLOSED, 0), 0);
  http_fix_down(&f);
}
END_TEST

START_TEST(a_listening_stream_that_finds_no_session_closes_the_link) {
  struct listening s = {.status = 404};
  http_fix_up(&f, listened, &s);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  mg_transport_http_ops.listen(f.impl, "2025-11-25");
  ck_assert(fake_host_wait(f.host, HOST_CLOSED, 0, 1, 5000));
  ck_assert_int_eq(fake_host_event(f.host, HOST_CLOSED, 0, 0)->why.code, MCPGW_E_NOT_FOUND);
  http_fix_down(&f);
}
END_TEST

START_TEST(a_busy_server_is_asked_again_later) {
  struct listening s = {.status = _i ? 409 : 503}; /* 409: it thinks that the old stream is still there */
  http_fix_up(&f, listened, &s);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  mg_transport_http_ops.listen(f.impl, "2025-11-25");
  fake_host_turn(f.host, 900);
  ck_assert_int_eq(s.gets, 1); /* a second at least */
  fake_host_turn(f.host, 1000);
  ck_assert_int_eq(s.gets, 2);
  http_fix_down(&f);
}
END_TEST

enum { NO_IDS, CUT, FORGOTTEN, BUSY, HOLLOW, GAPS };
struct gap {
  int how;
  atomic_int gets, open;
};
static void gapped(struct raw_conn *c, void *arg) {
  struct gap *s = arg;
  struct raw_request r;
  while (raw_read(c, &r)) {
    int with_id = raw_has_name(&r, "Last-Event-ID"), post = !strncmp(r.head, "POST", 4);
    raw_request_done(&r);
    if (post) {
      raw_reply(c, 200, "Content-Type: application/json\r\nMcp-Session-Id: s\r\n", "{\"result\":{}}");
      continue;
    }
    int n = atomic_fetch_add(&s->gets, 1);
    if (s->how == BUSY && !n) {
      raw_reply(c, 503, "", "");
      continue;
    }
    if (s->how == FORGOTTEN && with_id) {
      raw_reply(c, 400, "", "");
      continue;
    }
    if (s->how == HOLLOW && n < 2) {
      raw_sendf(c, SSE "\r\n");
      return;
    }
    int chunked = s->how == CUT; /* an end that comes too soon */
    raw_sendf(c, "%s\r\n", chunked ? SSE "Transfer-Encoding: chunked\r\n" : SSE);
    const char *event = s->how == NO_IDS ? "retry: 100\ndata: {\"n\":1}\n\n" : "id: 7\nretry: 100\ndata: {\"n\":1}\n\n";
    if (chunked) raw_sendf(c, "%zx\r\n%s\r\n", strlen(event), event);
    else raw_sendf(c, "%s", event);
    raw_sleep(20);
    int first = !n || (s->how == BUSY && n == 1);
    if (first && s->how != BUSY) return;
    s->open = 1;
    raw_peer_closed(c, 5000);
    return;
  }
}

/* What the server said while nobody listened is lost, and that is told once the stream is there again. */
START_TEST(gaps_are_told) {
  struct gap s = {.how = _i};
  http_fix_up(&f, gapped, &s);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  mg_transport_http_ops.listen(f.impl, "2025-11-25");
  for (int i = 0; i < 500 && !s.open; i++) fake_host_turn(f.host, 20);
  fake_host_turn(f.host, 50);
  ck_assert_int_eq(s.open, 1);
  ck_assert_int_eq(f.host->gaps, _i != HOLLOW);
  http_fix_down(&f);
}
END_TEST

START_TEST(many_streams_with_cancels_among_them) {
  http_fix_up(&f, streamer, NULL);
  for (uint64_t call = 1; call <= 100; call++) {
    ck_assert_int_eq(http_send(&f, call, "{\"id\":1}"), MCPGW_OK);
    if (call % 4 == 0) fake_host_turn(f.host, 1);
    if (call % 3 == 0) mg_transport_http_ops.cancel(f.impl, call - call % 5);
  }
  fake_host_turn(f.host, 300);
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  for (uint64_t call = 1; call <= 100; call++)
    ck_assert_int_le(fake_host_count(f.host, HOST_MESSAGE, call), 2);
  ck_assert_int_eq(fake_host_count(f.host, HOST_MESSAGE, 99), 2);
  http_fix_down(&f);
}
END_TEST

void http_tests_stream(Suite *s) {
  TCase *t = tcase_create("stream");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, messages_come_one_by_one_and_the_connection_is_kept);
  tcase_add_test(t, heartbeats_are_signs_of_life);
  tcase_add_test(t, an_answered_stream_that_stays_open_is_closed);
  tcase_add_loop_test(t, a_legacy_stream_is_resumed_where_it_broke, 0, 2);
  tcase_add_loop_test(t, a_stream_that_cannot_be_resumed_fails_its_call, 0, 3);
  tcase_add_loop_test(t, what_is_not_resumable_is_not_resumed, 0, 2);
  tcase_add_test(t, cancel_ends_the_waiting_for_resumption);
  tcase_add_test(t, polling_has_an_end);
  tcase_add_test(t, the_listening_stream_comes_back_where_it_was);
  tcase_add_loop_test(t, no_listening_stream_is_fine, 0, 2);
  tcase_add_test(t, a_listening_stream_that_finds_no_session_closes_the_link);
  tcase_add_loop_test(t, a_busy_server_is_asked_again_later, 0, 2);
  tcase_add_loop_test(t, gaps_are_told, 0, GAPS);
  tcase_add_test(t, many_streams_with_cancels_among_them);
  suite_add_tcase(s, t);
}
