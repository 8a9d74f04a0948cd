/* Peers that are slow, silent, half-closed, gone, or too many. */
#include "http/server_fix.h"
#include "http/suites.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, body) "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " body
#define SOON 1000 /* ms in which a lost peer must be noticed here, where every time-out is longer; `make bench` measures it */

static struct fix f;
static struct got g;
static int fd;

static void up(uint64_t header_ms, uint64_t body_ms, uint64_t idle_ms, uint64_t write_ms) {
  struct mg_http_limits l;
  fix_limits(&l);
  if (header_ms) l.header_ms = header_ms;
  if (body_ms) l.body_ms = body_ms;
  if (idle_ms) l.idle_ms = idle_ms;
  if (write_ms) l.write_ms = write_ms;
  fix_up(&f, &l, 1u << 26);
  memset(&g, 0, sizeof g);
  fd = fix_open(&f);
}

static void down(void) {
  if (fd >= 0) close(fd);
  fix_got_done(&g);
  fix_down(&f);
}

/* Reads until the end; it must come between from and to ms after `since`. */
static void ends_between(uint64_t since, uint64_t from, uint64_t to) {
  fix_read(&f, fd, &g, NULL, (int)to + 500);
  uint64_t took = fix_ms() - since;
  ck_assert_msg(g.eof, "still open after %d ms", (int)took);
  ck_assert_msg(took + 5 >= from && took <= to, "ended after %d ms, not within %d..%d", (int)took, (int)from,
                (int)to);
}

/* ---- clocks
 * ---------------------------------------------------------------------------------------------------- */

START_TEST(peers_slow_header) {
  static const char slow[] = "GET /x HTTP/1.1\r\nHost: a\r\nX-Slow: ";
  up(150, 0, 0, 0);
  fix_run(&f, 200); /* not a byte yet: that is idle, not slow */
  uint64_t since = fix_ms();
  for (size_t i = 0; i < sizeof slow - 1 && i < 20; i++) {
    fix_send(&f, fd, slow + i, 1);
    fix_run(&f, 5); /* each byte is progress; the whole is too slow */
  }
  ends_between(since, 150, 400);
  ck_assert_ptr_nonnull(strstr(g.text, "HTTP/1.1 408 Request Timeout\r\n"));
  ck_assert_int_eq(f.requests, 0);
  down();
}
END_TEST

START_TEST(peers_slow_header_of_the_second) {
  up(150, 0, 0, 0);
  fix_say(&f, fd, GET("/1") "GET /2");
  uint64_t since = fix_ms();
  fix_read(&f, fd, &g, "/1", 1000);
  ends_between(since, 150, 400);
  ck_assert_ptr_nonnull(strstr(g.text, "408"));
  down();
}
END_TEST

START_TEST(peers_slow_body) {
  up(0, 150, 0, 0);
  fix_say(&f, fd, POST("/x", "10\r\n\r\n"));
  for (int i = 0; i < 4; i++) { /* 4 x 80 ms: longer than body_ms, but never a pause as long */
    fix_run(&f, 80);
    fix_say(&f, fd, "x");
  }
  ck_assert_int_eq(f.requests, 0);
  uint64_t since = fix_ms();
  ends_between(since, 150, 400);
  ck_assert_ptr_nonnull(strstr(g.text, "408"));
  down();
}
END_TEST

START_TEST(peers_body_byte_by_byte) { /* never a pause as long as body_ms, and never the end */
  up(0, 40, 0, 0);
  fix_say(&f, fd, POST("/x", "4000\r\n\r\n"));
  uint64_t since = fix_ms();
  while (mg_http_server_connections(f.server) && fix_ms() - since < 5000) {
    fix_run(&f, 10);
    (void)!send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  ck_assert_int_ge(fix_ms() - since, 40);
  ck_assert_int_lt(fix_ms() - since, 5000);
  ck_assert_int_eq(f.requests, 0);
  down();
}
END_TEST

START_TEST(peers_slow_chunk_framing_is_no_progress) {
  up(0, 200, 0, 0);
  fix_say(&f, fd, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  uint64_t since = fix_ms();
  for (int i = 0; i < 12; i++) {
    fix_say(&f, fd, "0");
    fix_run(&f, 15);
  }
  ends_between(since, 200, 450);
  down();
}
END_TEST

START_TEST(peers_idle) {
  up(0, 0, 150, 0);
  fix_say(&f, fd, GET("/x"));
  uint64_t since = fix_ms();
  ends_between(since, 150, 400);
  ck_assert_ptr_null(strstr(g.text, "408")); /* nothing was asked: nothing is answered */
  ck_assert_int_eq(f.requests, 1);
  down();
}
END_TEST

START_TEST(peers_pending_has_no_clock) {
  up(50, 50, 50, 50);
  fix_say(&f, fd, GET("/hold"));
  fix_run(&f, 300);
  ck_assert_int_eq(f.n_held, 1);
  mg_exchange_reply_text(f.held[0], 200, "text/plain", MG_LIT("late"));
  fix_read(&f, fd, &g, "late", 1000);
  ck_assert_ptr_nonnull(strstr(g.text, "late"));
  down();
}
END_TEST

/* ---- leaving
 * ----------------------------------------------------------------------------------------------------- */

START_TEST(peers_half_close_is_answered) {
  up(0, 0, 0, 0);
  fix_say(&f, fd, GET("/hold") GET("/two"));
  shutdown(fd, SHUT_WR);
  fix_run(&f, 200);
  ck_assert_int_eq(f.gone, 0);
  struct timespec a, b;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
  for (int i = 0; i < 20; i++) mg_loop_run(f.loop, MG_RUN_ONCE); /* the FIN is not reported over and over */
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
  ck_assert_int_lt((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 200);
  mg_exchange_reply_text(f.held[0], 200, "text/plain", MG_LIT("one"));
  fix_read(&f, fd, &g, NULL, 1000);
  ck_assert(g.eof && !g.reset);
  ck_assert_ptr_nonnull(strstr(g.text, "\r\n\r\none"));
  ck_assert_ptr_nonnull(strstr(g.text, "\r\n\r\n/two")); /* what lay before the FIN is served too */
  down();
}
END_TEST

START_TEST(peers_half_close_then_stream) {
  up(0, 0, 0, 0);
  fix_say(&f, fd, GET("/hold"));
  shutdown(fd, SHUT_WR);
  fix_run(&f, 30);
  ck_assert_int_eq(mg_exchange_stream_begin(f.held[0], 200, mg_slice("", 0)), MCPGW_OK);
  fix_run(&f, 150);
  ck_assert_int_eq(f.gone, 0);
  struct mg_seg s = {NULL, "event", 5};
  ck_assert_int_eq(mg_exchange_stream_write(f.held[0], &s, 1, 100), MCPGW_OK);
  fix_read(&f, fd, &g, "event", 1000);
  ck_assert_ptr_nonnull(strstr(g.text, "event"));
  uint64_t since = fix_ms();
  fix_reset(fd);
  fd = -1;
  ck_assert_int_eq(fix_wait(&f, &f.gone, 1, 2000), 1);
  ck_assert_int_lt(fix_ms() - since, SOON);
  down();
}
END_TEST

struct leaving {
  const char *name, *request;
  int reset, junk; /* junk: bytes sent behind the request, left in the kernel */
};
static const struct leaving leaving[] = {
    {"RST while pending", GET("/hold"), 1, 0},
    {"RST while pending, 1 request behind", GET("/hold") GET("/x"), 1, 0},
    {"RST while pending, 1 MB behind", GET("/hold"), 1, 1 << 20},
    {"RST on a stream", GET("/sse"), 1, 0},
    {"RST on a stream, 1 MB behind", GET("/sse"), 1, 1 << 20},
    {"FIN on a stream", GET("/sse"), 0, 0},
    {"FIN on a stream, 1 request behind", GET("/sse") GET("/x"), 0, 0},
    {"FIN on a stream, 64 KB behind", GET("/sse"), 0, 1 << 16},
};

START_TEST(peers_leaving_is_noticed) {
  const struct leaving *c = &leaving[_i];
  up(0, 0, 0, 0);
  fix_say(&f, fd, c->request);
  ck_assert_int_eq(fix_wait(&f, &f.n_held, 1, 1000), 1);
  if (c->junk) {
    char *junk = malloc((size_t)c->junk);
    memset(junk, 'J', (size_t)c->junk);
    ck_assert_int_gt(send(fd, junk, (size_t)c->junk, MSG_NOSIGNAL), 60000);
    free(junk);
  }
  fix_run(&f, 30);
  ck_assert_int_eq(f.gone, 0);
  uint64_t since = fix_ms();
  if (c->reset) fix_reset(fd), fd = -1;
  else shutdown(fd, SHUT_WR);
  ck_assert_msg(fix_wait(&f, &f.gone, 1, 1000), "%s: not noticed", c->name);
  ck_assert_msg(fix_ms() - since < SOON, "%s: noticed after %d ms", c->name, (int)(fix_ms() - since));
  ck_assert_ptr_null(f.held[0]);
  ck_assert_uint_eq(mg_http_server_connections(f.server), 0);
  down();
}
END_TEST

START_TEST(peers_half_closed_then_reset_while_pending) {
  up(0, 0, 0, 0);
  fix_say(&f, fd, GET("/big?8000000") GET("/hold")); /* unread bytes make its close an RST */
  shutdown(fd, SHUT_WR);
  fix_run(&f, 50);
  static char sink[16384];
  for (uint64_t end = fix_ms() + 10000; !f.n_held && fix_ms() < end; fix_turn(&f))
    (void)!recv(fd, sink, sizeof sink, 0);
  ck_assert_int_eq(f.n_held, 1);
  int unread = 0;
  ck_assert_int_eq(ioctl(fd, FIONREAD, &unread), 0);
  ck_assert_int_gt(unread, 0); /* without it closing sends nothing at all, and nobody could know */
  fix_run(&f, 100);
  ck_assert_int_eq(f.gone, 0);
  if (_i) mg_exchange_stream_begin(f.held[0], 200, mg_slice("", 0)); /* what stays unread makes the RST */
  fix_run(&f, 20);
  close(fd);
  fd = -1;
  uint64_t since = fix_ms();
  ck_assert_int_eq(fix_wait(&f, &f.gone, 1, 1000), 1);
  ck_assert_int_lt(fix_ms() - since, SOON);
  down();
}
END_TEST

START_TEST(peers_request_and_fin_at_once) {
  up(0, 0, 0, 0);
  ck_assert_int_gt(send(fd, GET("/sse"), strlen(GET("/sse")), 0), 0); /* both lie there before we look */
  shutdown(fd, SHUT_WR);
  usleep(20000);
  ck_assert_int_eq(fix_wait(&f, &f.n_held, 1, 1000), 1);
  fix_run(&f, 150);
  ck_assert_int_eq(f.gone, 0);
  mg_exchange_stream_end(f.held[0]);
  fix_read(&f, fd, &g, NULL, 1000);
  ck_assert(g.eof && !g.reset);
  ck_assert_ptr_nonnull(strstr(g.text, "data: hi\n\n\r\n0\r\n\r\n"));
  down();
}
END_TEST

START_TEST(peers_gone_in_the_body) {
  up(0, 0, 0, 0);
  fix_say(&f, fd, POST("/x", "100\r\n\r\nabc"));
  fix_run(&f, 10);
  shutdown(fd, SHUT_WR);
  fix_read(&f, fd, &g, NULL, 1000);
  ck_assert(g.eof);
  ck_assert_int_eq(f.requests, 0);
  ck_assert_int_eq(f.gone, 0);
  down();
}
END_TEST

/* ---- backpressure
 * --------------------------------------------------------------------------------------------------- */

START_TEST(peers_slow_reader_drains_the_budget) {
  size_t n = 16 << 20, at_first, last, halves = 0;
  up(0, 0, 0, 0);
  fix_say(&f, fd, GET("/big?16777216"));
  ck_assert_int_eq(fix_wait(&f, &f.requests, 1, 1000), 1);
  fix_run(&f, 20);
  at_first = last = f.budget.used;
  ck_assert_uint_gt(at_first, 4 << 20); /* the kernel did not swallow it all */
  while (!g.eof && g.len < n + 150) {
    size_t had = g.len;
    fix_read(&f, fd, &g, NULL, 1);
    ck_assert_uint_le(f.budget.used, last);
    if (f.budget.used < at_first / 2 && f.budget.used > 0) halves++;
    last = f.budget.used;
    if (g.len == had) break;
  }
  ck_assert_uint_gt(g.len, n);
  ck_assert_uint_gt(halves, 0); /* it shrank on the way, not at the end */
  ck_assert_uint_eq(f.budget.used, 0);
  down();
}
END_TEST

START_TEST(peers_reader_that_takes_nothing) {
  up(0, 0, 0, 200);
  fix_say(&f, fd, GET("/big?16777216"));
  uint64_t since = fix_ms();
  ck_assert_int_eq(fix_wait(&f, &f.requests, 1, 1000), 1);
  while (mg_http_server_connections(f.server) && fix_ms() - since < 2000) fix_run(&f, 5);
  ck_assert_int_ge(fix_ms() - since, 195);
  ck_assert_int_lt(fix_ms() - since, 800);
  ck_assert_uint_eq(f.budget.used, 0);
  ck_assert_int_eq(f.gone, 0); /* it was answered already */
  down();
}
END_TEST

START_TEST(peers_stream_reader_that_takes_nothing) {
  static char block[65536];
  up(0, 0, 0, 200);
  fix_say(&f, fd, GET("/sse"));
  ck_assert_int_eq(fix_wait(&f, &f.n_held, 1, 1000), 1);
  int rc = MCPGW_OK;
  size_t wrote = 0;
  memset(block, 'b', sizeof block);
  while (rc == MCPGW_OK && wrote < 64 << 20) {
    struct mg_seg s = {NULL, block, sizeof block};
    rc = mg_exchange_stream_write(f.held[0], &s, 1, 1 << 20);
    wrote += rc == MCPGW_OK ? sizeof block : 0;
    fix_turn(&f);
  }
  ck_assert_int_eq(rc, MCPGW_E_LIMIT);
  ck_assert_uint_le(mg_exchange_queued(f.held[0]), (1 << 20) + 64);
  if (_i == 0) { /* it wakes up */
    size_t had = 0;
    while (!f.drained && had < wrote) {
      fix_read(&f, fd, &g, NULL, 1);
      had = g.len;
    }
    ck_assert_int_eq(f.drained, 1);
    ck_assert_uint_lt(mg_exchange_queued(f.held[0]), 1 << 19);
    mg_exchange_stream_end(f.held[0]);
    fix_read(&f, fd, &g, "\r\n0\r\n\r\n", 3000);
    size_t chunks = 0, body = 0;
    char *p = strstr(g.text, "\r\n\r\n") + 4;
    for (;;) { /* every chunk is whole */
      size_t len = strtoul(p, &p, 16);
      ck_assert_int_eq(memcmp(p, "\r\n", 2), 0);
      p += 2 + len;
      ck_assert_int_eq(memcmp(p, "\r\n", 2), 0);
      p += 2;
      if (len == 0) break;
      body += len;
      chunks++;
    }
    ck_assert_uint_eq(body, wrote + 10);
    ck_assert_uint_gt(chunks, 1);
    ck_assert_ptr_eq(p, g.text + g.len);
  } else { /* it does not */
    ck_assert_int_eq(fix_wait(&f, &f.gone, 1, 1000), 1);
  }
  down();
}
END_TEST

START_TEST(peers_read_ahead_is_bounded) {
  static char flood[1 << 20];
  size_t at = 0;
  up(0, 0, 0, 0);
  while (at + 64 < sizeof flood) at += (size_t)sprintf(flood + at, GET("/none"));
  fix_say(&f, fd, GET("/hold"));
  ck_assert_int_eq(fix_wait(&f, &f.n_held, 1, 1000), 1);
  ssize_t n = send(fd, flood, at, MSG_NOSIGNAL);
  ck_assert_int_gt(n, 100000);
  fix_run(&f, 50);
  ck_assert_uint_lt(f.budget.used, 70000);
  ck_assert_int_eq(f.requests, 1);
  mg_exchange_reply_text(f.held[0], 200, NULL, MG_LIT(""));
  int whole = (int)((size_t)n / strlen(GET("/none"))); /* every one sent whole is served in the end */
  uint64_t end = fix_ms() + 20000;
  while (f.requests < whole + 1 && fix_ms() < end) fix_read(&f, fd, &g, NULL, 5);
  ck_assert_int_eq(f.requests, whole + 1);
  down();
}
END_TEST

/* ---- too many
 * -------------------------------------------------------------------------------------------------------- */

START_TEST(peers_budget_is_used_up) {
  struct mg_http_limits l;
  fix_limits(&l);
  fix_up(&f, &l, 100000);
  memset(&g, 0, sizeof g);
  static char b[200000];
  memset(b, 'b', sizeof b);
  fd = fix_open(&f);
  fix_say(&f, fd,
          _i ? "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n"
             : POST("/x", "200000\r\n\r\n"));
  fix_send(&f, fd, b, sizeof b);
  fix_read(&f, fd, &g, NULL, 2000);
  ck_assert(g.eof && !g.reset);
  ck_assert_ptr_nonnull(strstr(g.text, "HTTP/1.1 503 "));
  ck_assert_ptr_nonnull(strstr(g.text, "Retry-After: 1\r\n"));
  ck_assert_int_eq(f.requests, 0);
  ck_assert_uint_eq(f.budget.used, 0);
  down();
}
END_TEST

START_TEST(peers_connection_ceiling) {
  struct mg_http_limits l;
  int fds[10];
  fix_limits(&l);
  l.connections = 8;
  fix_up(&f, &l, 1u << 26);
  memset(&g, 0, sizeof g);
  for (int i = 0; i < 8; i++) fds[i] = fix_open(&f);
  fix_run(&f, 20);
  fd = fix_open(&f);
  fix_say(&f, fd, GET("/x"));
  fix_read(&f, fd, &g, NULL, 1000);
  ck_assert(g.eof && !g.reset);
  ck_assert_ptr_nonnull(strstr(g.text, "HTTP/1.1 503 "));
  ck_assert_ptr_nonnull(strstr(g.text, "Retry-After: 1\r\n"));
  ck_assert_int_eq(f.requests, 0);
  close(fds[0]);
  close(fd);
  fix_run(&f, 20);
  fix_got_done(&g);
  fd = fix_open(&f);
  fix_say(&f, fd, GET("/x"));
  fix_read(&f, fd, &g, "/x", 1000);
  ck_assert_ptr_nonnull(strstr(g.text, "200 OK"));
  for (int i = 1; i < 8; i++) close(fds[i]);
  down();
}
END_TEST

static size_t heap_bytes(void) {
  return mallinfo2().uordblks;
}

START_TEST(peers_thousand_streams_vanish) {
  enum { N = 1000 };
  static int fds[N];
  struct rlimit r;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
  up(0, 0, 0, 0);
  fix_run(&f, 10);
  size_t before = heap_bytes();
  for (int i = 0; i < N; i++) {
    fds[i] = fix_open(&f);
    fix_say(
        &f, fds[i],
        "GET /sse HTTP/1.1\r\nHost: localhost:8808\r\nAccept: text/event-stream\r\nUser-Agent: test/1.0\r\n"
        "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nMcp-Protocol-Version: 2025-11-25\r\n\r\n");
  }
  ck_assert_int_eq(fix_wait(&f, &f.n_held, N, 5000), 1);
  fix_run(&f, 20);
  size_t each = (heap_bytes() - before) / N;
  ck_assert_msg(each <= 2048, "an idle stream holds %zu bytes", each);
  struct timespec a, b;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
  usleep(200000);
  fix_turn(&f);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
  ck_assert_int_lt((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000,
                   20000); /* silence is free */
  for (int i = 0; i < N; i++) {
    if (i % 2) fix_reset(fds[i]);
    else close(fds[i]);
  }
  uint64_t since = fix_ms();
  ck_assert_int_eq(fix_wait(&f, &f.gone, N, 2000), 1);
  ck_assert_int_lt(fix_ms() - since, SOON);
  ck_assert_uint_eq(mg_http_server_connections(f.server), 1);
  down();
}
END_TEST

START_TEST(peers_many_at_once) {
  enum { N = 100, ROUNDS = 20 };
  static int fds[N];
  up(0, 0, 0, 0);
  for (int i = 0; i < N; i++) fds[i] = fix_open(&f);
  for (int r = 0; r < ROUNDS; r++) {
    char text[128], want[32];
    for (int i = 0; i < N; i++) {
      sprintf(text, POST("/echo", "8\r\n\r\n%08d"), r * N + i);
      ck_assert_int_eq(send(fds[i], text, strlen(text), 0), (int)strlen(text));
    }
    for (int i = 0; i < N; i++) {
      struct got o = {0};
      sprintf(want, "\r\n\r\n%08d", r * N + i);
      fix_read(&f, fds[i], &o, want, 1000);
      ck_assert_ptr_nonnull(strstr(o.text, want));
      fix_got_done(&o);
    }
  }
  ck_assert_int_eq(f.requests, N * ROUNDS);
  for (int i = 0; i < N; i++) close(fds[i]);
  down();
}
END_TEST

void http_server_add_peers(Suite *s) {
  TCase *t = tcase_create("peers");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, peers_slow_header);
  tcase_add_test(t, peers_slow_header_of_the_second);
  tcase_add_test(t, peers_slow_body);
  tcase_add_test(t, peers_body_byte_by_byte);
  tcase_add_test(t, peers_slow_chunk_framing_is_no_progress);
  tcase_add_test(t, peers_idle);
  tcase_add_test(t, peers_pending_has_no_clock);
  tcase_add_test(t, peers_half_close_is_answered);
  tcase_add_test(t, peers_half_close_then_stream);
  tcase_add_loop_test(t, peers_leaving_is_noticed, 0, (int)(sizeof leaving / sizeof leaving[0]));
  tcase_add_loop_test(t, peers_half_closed_then_reset_while_pending, 0, 2);
  tcase_add_test(t, peers_request_and_fin_at_once);
  tcase_add_test(t, peers_gone_in_the_body);
  tcase_add_test(t, peers_slow_reader_drains_the_budget);
  tcase_add_test(t, peers_reader_that_takes_nothing);
  tcase_add_loop_test(t, peers_stream_reader_that_takes_nothing, 0, 2);
  tcase_add_test(t, peers_read_ahead_is_bounded);
  tcase_add_loop_test(t, peers_budget_is_used_up, 0, 2);
  tcase_add_test(t, peers_connection_ceiling);
  tcase_add_test(t, peers_thousand_streams_vanish);
  tcase_add_test(t, peers_many_at_once);
  suite_add_tcase(s, t);
}
