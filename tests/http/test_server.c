/* What a well-behaved client may expect: keep-alive, order, 100-continue, HEAD, streams, refusals that
 * say why, unix sockets, and what the system calls of a request are. */
#include "http/server_fix.h"
#include "http/suites.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

#define POST(path, body) "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " body
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct fix f;
static struct got g;
static int fd;

static void setup(void) {
  fix_up(&f, NULL, 1u << 26);
  memset(&g, 0, sizeof g);
  fd = fix_open(&f);
}

static void teardown(void) {
  if (fd >= 0) close(fd);
  fix_got_done(&g);
  fix_down(&f);
}

static void expect(const char *part) {
  if (!g.text || !strstr(g.text, part)) fix_read(&f, fd, &g, part, 2000);
  ck_assert_msg(g.text && strstr(g.text, part), "no \"%s\" in \"%s\"", part, g.text ? g.text : "");
}

static void expect_end(void) {
  fix_read(&f, fd, &g, NULL, 2000);
  ck_assert(g.eof && !g.reset);
}

START_TEST(server_keep_alive) {
  for (int i = 0; i < 50; i++) {
    fix_say(&f, fd, POST("/echo", "5\r\n\r\nhello"));
    fix_got_done(&g);
    expect("\r\n\r\nhello");
    ck_assert_ptr_nonnull(strstr(g.text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(g.text, "Content-Length: 5\r\n"));
    ck_assert_ptr_null(strstr(g.text, "Connection:"));
  }
  ck_assert_uint_eq(mg_http_server_connections(f.server), 1);
  ck_assert_int_eq(f.requests, 50);
}
END_TEST

START_TEST(server_date) {
  char day[8], month[8];
  int d, y, h, m, s;
  fix_say(&f, fd, GET("/x"));
  expect("\r\n\r\n/x");
  const char *date = strstr(g.text, "Date: ");
  ck_assert_ptr_nonnull(date);
  ck_assert_int_eq(sscanf(date, "Date: %3s, %d %3s %d %d:%d:%d GMT\r\n", day, &d, month, &y, &h, &m, &s), 7);
  ck_assert_uint_eq((size_t)(strstr(date, "\r\n") - date), 35);
  ck_assert_ptr_nonnull(strstr("JanFebMarAprMayJunJulAugSepOctNovDec", month));
}
END_TEST

START_TEST(server_close_when_asked) {
  fix_say(&f, fd, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  expect("Connection: close\r\n");
  expect_end();
}
END_TEST

START_TEST(server_http10) {
  fix_say(&f, fd, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  expect("Connection: keep-alive\r\n");
  expect("\r\n\r\n/x");
  fix_say(&f, fd, "GET /short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  expect("\r\n\r\ndata: hi\n\n"); /* no chunks: until close */
  expect_end();
  ck_assert_ptr_null(strstr(g.text, "chunked"));
}
END_TEST

START_TEST(server_pipeline_in_order) {
  char body[16];
  fix_say(&f, fd, GET("/hold") GET("/a") GET("/hold") POST("/b", "2\r\n\r\nzz"));
  fix_run(&f, 20);
  ck_assert_int_eq(f.requests, 1); /* one at a time */
  ck_assert_int_eq(f.n_held, 1);
  ck_assert_int_eq(mg_exchange_reply_text(f.held[0], 200, "text/plain", MG_LIT("first")), MCPGW_OK);
  ck_assert_int_eq(f.requests, 1); /* and never from inside reply */
  fix_run(&f, 20);
  ck_assert_int_eq(f.requests, 3);
  ck_assert_int_eq(mg_exchange_reply_text(f.held[1], 200, "text/plain", MG_LIT("third")), MCPGW_OK);
  expect("zz");
  const char *at = g.text;
  static const char *const order[] = {"first", "/a", "third", "zz"};
  for (int i = 0; i < 4; i++) {
    snprintf(body, sizeof body, "\r\n\r\n%s", order[i]);
    ck_assert_ptr_nonnull(at = strstr(at, body));
  }
}
END_TEST

START_TEST(server_pipeline_split_anywhere) {
  static const char two[] = POST("/1", "3\r\n\r\nabc") "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                                       "chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n" GET("/3");
  for (size_t cut = 1; cut < sizeof two - 1; cut++) {
    int want = f.requests + 3;
    fix_send(&f, fd, two, cut);
    fix_run(&f, 0);
    fix_send(&f, fd, two + cut, sizeof two - 1 - cut);
    ck_assert_int_eq(fix_wait(&f, &f.requests, want, 1000), 1);
    ck_assert_str_eq(f.last_path, "/3");
  }
}
END_TEST

START_TEST(server_big_body_in) {
  size_t n = 3 * 1024 * 1024 + 17;
  char *b = malloc(n), head[128];
  for (size_t i = 0; i < n; i++) b[i] = (char)('a' + i % 23);
  sprintf(head, POST("/hold", "%zu\r\n\r\n"), n);
  fix_say(&f, fd, head);
  fix_send(&f, fd, b, n / 2);
  ck_assert_uint_lt(f.budget.used, n); /* what came, not what was promised */
  fix_send(&f, fd, b + n / 2, n - n / 2);
  fix_say(&f, fd, GET("/next"));
  ck_assert_int_eq(fix_wait(&f, &f.requests, 1, 2000), 1);
  const struct mg_http_request *r = mg_exchange_request(f.held[0]);
  ck_assert_uint_eq(mg_blob_len(r->body), n);
  ck_assert_int_eq(memcmp(mg_blob_slice(r->body).ptr, b, n), 0);
  mg_exchange_drop_body(f.held[0]);
  ck_assert_ptr_null(r->body);
  ck_assert_uint_lt(f.budget.used, 4096);
  mg_exchange_reply_text(f.held[0], 200, NULL, MG_LIT(""));
  expect("\r\n\r\n/next");
  free(b);
}
END_TEST

START_TEST(server_declared_is_not_allocated) {
  fix_say(&f, fd, POST("/x", "4000000\r\n\r\nabc"));
  fix_run(&f, 20);
  ck_assert_int_eq(f.admitted, 1);
  ck_assert_uint_lt(f.budget.used, 128 * 1024);
}
END_TEST

START_TEST(server_continue) {
  fix_say(&f, fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  expect("HTTP/1.1 100 Continue\r\n\r\n");
  ck_assert_int_eq(f.requests, 0);
  fix_say(&f, fd, "hello");
  expect("\r\n\r\nhello");
  char seen[64];
  fix_statuses(&g, seen, sizeof seen);
  ck_assert_str_eq(seen, "100,200");
}
END_TEST

START_TEST(server_continue_needs_a_body) {
  fix_say(&f, fd, "GET /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
  expect("\r\n\r\n/x");
  ck_assert_ptr_null(strstr(g.text, "100 Continue"));
}
END_TEST

START_TEST(server_continue_refused) {
  f.admit_status = _i == 0 ? 403 : 503;
  fix_say(&f, fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  expect_end();
  char seen[64];
  fix_statuses(&g, seen, sizeof seen);
  ck_assert_str_eq(seen, _i == 0 ? "403" : "503");
  ck_assert_int_eq(strstr(g.text, "Retry-After: 1\r\n") != NULL, _i == 1);
  ck_assert_int_eq(f.requests, 0);
  ck_assert_int_eq(f.gone, 0); /* admit gave it no pointer */
}
END_TEST

START_TEST(server_admit_replies) {
  f.admit_reply = 1;
  fix_say(&f, fd, GET("/x") GET("/x")); /* no body to come: the connection lives on */
  expect("WWW-Authenticate: Bearer\r\n");
  fix_run(&f, 20);
  ck_assert_int_eq(f.admitted, 2);
  f.admit_reply = 0;
  fix_say(&f, fd, GET("/ok"));
  expect("\r\n\r\n/ok");
  f.admit_reply = 1;
  fix_got_done(&g);
  ck_assert_uint_eq(strlen(GET("/smuggled")), 35);
  fix_say(&f, fd, POST("/x", "35\r\n\r\n") GET("/smuggled")); /* a body that looks like a request */
  expect_end();
  char seen[64];
  fix_statuses(&g, seen, sizeof seen);
  ck_assert_str_eq(seen, "401");
  ck_assert_ptr_nonnull(strstr(g.text, "Connection: close\r\n"));
  ck_assert_int_eq(f.requests, 1);
  ck_assert_int_eq(f.gone, 0);
}
END_TEST

START_TEST(server_head) {
  fix_say(&f, fd, "HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  expect("Content-Length: 5\r\n");
  fix_say(&f, fd, "HEAD /short HTTP/1.1\r\nHost: a\r\n\r\n" GET("/end"));
  expect("/end");
  ck_assert_ptr_null(strstr(g.text, "/echo"));
  ck_assert_ptr_null(strstr(g.text, "data:"));
  fix_got_done(&g);
  fix_say(&f, fd, "HEAD /x HTTP/1.1\r\n\r\n"); /* refused: still no body… but the server cannot know yet */
  expect_end();
  ck_assert_ptr_nonnull(strstr(g.text, "400 Bad Request"));
}
END_TEST

START_TEST(server_bodyless_statuses) {
  fix_say(&f, fd, GET("/204") GET("/none") GET("/end"));
  expect("\r\n\r\n/end");
  ck_assert_ptr_null(strstr(g.text, "never"));
  const char *second = strstr(g.text, "HTTP/1.1 202");
  ck_assert_ptr_nonnull(second);
  const char *length = strstr(g.text, "Content-Length");
  ck_assert(length > second); /* 204 has none, 202 says 0 */
  ck_assert_int_eq(strncmp(length, "Content-Length: 0\r\n", 19), 0);
}
END_TEST

START_TEST(server_options_and_header) {
  fix_say(&f, fd, "OPTIONS /header HTTP/1.1\r\nHost: a\r\nX-TEST:  \tv w \t\r\nx-test: second\r\n\r\n");
  expect("\r\n\r\nv w");
  ck_assert_str_eq(f.last_method, "OPTIONS");
  fix_say(&f, fd, "GET /hold HTTP/1.1\r\nHost: a\r\nA: 1\r\na: 2\r\n\r\n");
  ck_assert_int_eq(fix_wait(&f, &f.n_held, 1, 1000), 1);
  size_t n;
  ck_assert_int_eq(mg_slice_eqz(mg_exchange_header(f.held[0], "A", &n), "1"), 1);
  ck_assert_uint_eq(n, 2);
  ck_assert_ptr_null(mg_exchange_header(f.held[0], "b", &n).ptr);
  ck_assert_uint_eq(n, 0);
  mg_exchange_reply_text(f.held[0], 200, NULL, MG_LIT(""));
}
END_TEST

START_TEST(server_stream_chunks) {
  struct mg_seg s[3];
  fix_say(&f, fd, GET("/sse") GET("/after"));
  expect("\r\na\r\ndata: hi\n\n\r\n");
  ck_assert_ptr_nonnull(strstr(g.text, "Transfer-Encoding: chunked\r\n"));
  ck_assert_ptr_nonnull(strstr(g.text, "Content-Type: text/event-stream\r\n"));
  ck_assert_int_eq(mg_exchange_reply(f.held[0], 200, mg_slice("", 0), NULL, 0), MCPGW_E_STATE);
  for (int i = 0; i < 3; i++) { /* one turn: one chunk */
    s[0] = fix_seg(&f.budget, "abc");
    s[1] = (struct mg_seg){NULL, "", 0};
    s[2] = (struct mg_seg){NULL, "-", 1};
    ck_assert_int_eq(mg_exchange_stream_write(f.held[0], s, 3, 1000), MCPGW_OK);
  }
  ck_assert_uint_eq(mg_exchange_queued(f.held[0]), 12);
  expect("c\r\nabc-abc-abc-\r\n");
  ck_assert_int_eq(f.requests, 1);
  ck_assert_int_eq(mg_exchange_stream_end(f.held[0]), MCPGW_OK);
  expect("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n");
  expect("\r\n\r\n/after");
  ck_assert_int_eq(f.gone, 0);
}
END_TEST

START_TEST(server_stream_compact) {
  fix_say(&f, fd, "GET /sse HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 7\r\n\r\n");
  expect("data: hi");
  ck_assert_int_eq(mg_slice_eqz(mg_exchange_header(f.held[0], "last-event-id", NULL), "7"), 1);
  mg_exchange_compact(f.held[0]);
  ck_assert_ptr_null(mg_exchange_header(f.held[0], "last-event-id", NULL).ptr);
  ck_assert_uint_eq(f.budget.used, 0);
  mg_exchange_stream_end(f.held[0]);
  fix_say(&f, fd, GET("/next"));
  expect("/next");
}
END_TEST

START_TEST(server_cut_and_bad_reply) {
  fix_say(&f, fd, GET("/cut"));
  fix_read(&f, fd, &g, NULL, 1000);
  ck_assert(g.eof && g.len == 0);
  close(fd);
  fix_got_done(&g);
  fd = fix_open(&f);
  fix_say(&f, fd, GET("/bad"));
  fix_read(&f, fd, &g, NULL, 1000);
  ck_assert(g.eof && g.len == 0);
  ck_assert_int_eq(f.gone, 0);
}
END_TEST

START_TEST(server_stop_accepting) {
  int busy = fix_open(&f);
  struct got b = {0};
  fix_say(&f, busy, GET("/hold"));
  fix_say(&f, fd, GET("/x"));
  expect("/x");
  ck_assert_uint_eq(mg_http_server_connections(f.server), 2);
  mg_http_server_stop_accepting(f.server);
  expect_end(); /* the idle one */
  ck_assert_int_eq(f.n_held, 1);
  mg_exchange_reply_text(f.held[0], 200, "text/plain", MG_LIT("late"));
  fix_read(&f, busy, &b, NULL, 1000);
  ck_assert_ptr_nonnull(strstr(b.text, "Connection: close\r\n"));
  ck_assert_ptr_nonnull(strstr(b.text, "late"));
  ck_assert(b.eof);
  close(busy);
  fix_got_done(&b);
}
END_TEST

START_TEST(server_listen_errors) {
  struct mg_err err;
  static const char *const bad[] = {"",    "127.0.0.1",      "127.0.0.1:", "127.0.0.1:70000",
                                    ":80", "example.com:80", "[::1:80",    "unix:"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    mg_err_clear(&err);
    ck_assert_int_eq(mg_http_server_listen(f.server, mg_slice_z(bad[i]), NULL, &err), MCPGW_E_CONFIG);
    ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "write 127.0.0.1:8808"));
  }
  mg_err_clear(&err);
  ck_assert_int_eq(mg_http_server_listen(f.server, mg_slice_z(f.where), NULL, &err), MCPGW_E_IO);
  ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "in use"));
  struct mg_buf b;
  mg_buf_init(&b, 100);
  if (mg_http_server_listen(f.server, MG_LIT("[::1]:0"), &b, &err) == MCPGW_OK)
    ck_assert_int_eq(mg_slice_starts(mg_buf_slice(&b), MG_LIT("[::1]:")), 1);
  mg_buf_done(&b);
}
END_TEST

START_TEST(server_unix_socket) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  char where[128];
  struct stat st;
  snprintf(a.sun_path, sizeof a.sun_path, "/tmp/mcpgw-test-%d.sock", (int)getpid());
  snprintf(where, sizeof where, "unix:%s", a.sun_path);
  int stale = socket(AF_UNIX, SOCK_STREAM, 0); /* left over by one that crashed */
  ck_assert_int_eq(bind(stale, (struct sockaddr *)&a, sizeof a), 0);
  close(stale);
  ck_assert_int_eq(mg_http_server_listen(f.server, mg_slice_z(where), NULL, NULL), MCPGW_OK);
  close(fd);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  fix_say(&f, fd, GET("/u") GET("/hold"));
  expect("\r\n\r\n/u");
  ck_assert_int_eq(f.loopback, 1);
  close(fd);
  fd = -1;
  ck_assert_int_eq(fix_wait(&f, &f.gone, 1, 1000), 1); /* closed altogether: no half-close on this one */
  mg_http_server_stop_accepting(f.server);
  ck_assert_int_ne(stat(a.sun_path, &st), 0);
}
END_TEST

/* A listener goes, another comes; whoever is connected stays, under the limits that came meanwhile. */
START_TEST(server_moves) {
  struct mg_buf b;
  struct mg_http_limits l = f.limits;
  mg_buf_init(&b, 100);
  ck_assert_int_eq(mg_http_server_unlisten(f.server, MG_LIT("127.0.0.1:1")), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(mg_http_server_listen(f.server, MG_LIT("localhost:0"), &b, NULL), MCPGW_OK);
  fix_say(&f, fd, GET("/before"));
  expect("/before");
  ck_assert_int_eq(mg_http_server_unlisten(f.server, MG_LIT("127.0.0.1:0")), MCPGW_OK);
  ck_assert_int_eq(mg_http_server_unlisten(f.server, MG_LIT("127.0.0.1:0")), MCPGW_E_NOT_FOUND);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int other = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_ne(connect(other, (struct sockaddr *)&a, sizeof a), 0);
  close(other);
  l.body_bytes = 4;
  l.connections = 1;
  mg_http_server_set_limits(f.server, &l);
  fix_say(&f, fd, POST("/after", "5\r\n\r\nhello"));
  expect("HTTP/1.1 413 ");
  mg_buf_addc(&b, 0);
  f.port = atoi(strrchr(b.ptr, ':') + 1);
  close(fd);
  fix_run(&f, 20);
  fix_got_done(&g);
  fd = fix_open(&f);
  fix_say(&f, fd, POST("/new", "4\r\n\r\nhell"));
  expect("\r\n\r\nhell");
  other = fix_open(&f);
  fix_run(&f, 20);
  struct got h = {0};
  fix_read(&f, other, &h, "too many connections", 2000);
  ck_assert_ptr_nonnull(strstr(h.text, "HTTP/1.1 503 "));
  fix_got_done(&h);
  close(other);
  mg_buf_done(&b);
}
END_TEST

START_TEST(server_socket_options) {
  int found = 0, v;
  fix_say(&f, fd, GET("/x"));
  expect("/x");
  for (int s = 3; s < 64; s++) { /* the accepted one is the connection whose peer is fd */
    struct sockaddr_in me, peer;
    socklen_t a = sizeof me, b = sizeof peer, n = sizeof v;
    if (s == fd || getsockname(fd, (struct sockaddr *)&me, &a) ||
        getpeername(s, (struct sockaddr *)&peer, &b))
      continue;
    if (peer.sin_port != me.sin_port) continue;
    found = 1;
    ck_assert_int_eq(getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, &n), 0);
    ck_assert_int_eq(v, 1);
    ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, &n), 0);
    ck_assert_int_eq(v, 1);
    ck_assert_int_eq(getsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, &v, &n), 0);
    ck_assert_int_eq(v, 15);
    ck_assert_int_eq(getsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, &v, &n), 0);
    ck_assert_int_eq(v, 60000);
  }
  ck_assert_int_eq(found, 1);
}
END_TEST

START_TEST(server_free_with_open_exchanges) {
  fix_say(&f, fd, GET("/hold"));
  int other = fix_open(&f), third = fix_open(&f);
  fix_say(&f, other, GET("/sse"));
  fix_say(&f, third, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
  ck_assert_int_eq(fix_wait(&f, &f.n_held, 2, 1000), 1);
  fix_run(&f, 10);
  mg_exchange_stream_write(f.held[1], NULL, 0, 10);
  mg_http_server_free(f.server);
  ck_assert_int_eq(f.gone, 2);
  f.server = NULL;
  close(other);
  close(third);
}
END_TEST

/* Fails the nth allocation of a whole conversation: nothing leaks, nothing hangs, nothing crashes. */
START_TEST(server_out_of_memory) {
  int hit = 0;
  close(fd);
  fd = -1;
  f.oom = 1;
  for (int nth = 1; nth <= 40; nth++) {
    struct got o = {0};
    int c = fix_open(&f);
    mg_mem_fail_after((uint64_t)nth, 0);
    fix_say(
        &f, c,
        POST("/echo",
             "5\r\n\r\nhello") "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab");
    fix_say(&f, c, "\r\n0\r\n\r\n" GET("/short") GET("/big?300000"));
    for (int i = 0; i < 200 && !o.eof && (!o.text || o.len < 300000); i++) fix_read(&f, c, &o, NULL, 1);
    hit += mg_mem_failed() > 0;
    mg_mem_fail_after(0, 0);
    close(c);
    fix_run(&f, 5);
    fix_got_done(&o);
  }
  ck_assert_int_gt(hit, 15);
  ck_assert_uint_eq(mg_http_server_connections(f.server), 0);
}
END_TEST

void http_server_add_clients(Suite *s) {
  TCase *t = tcase_create("clients");
  tcase_set_timeout(t, 60);
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, server_keep_alive);
  tcase_add_test(t, server_date);
  tcase_add_test(t, server_close_when_asked);
  tcase_add_test(t, server_http10);
  tcase_add_test(t, server_pipeline_in_order);
  tcase_add_test(t, server_pipeline_split_anywhere);
  tcase_add_test(t, server_big_body_in);
  tcase_add_test(t, server_declared_is_not_allocated);
  tcase_add_test(t, server_continue);
  tcase_add_test(t, server_continue_needs_a_body);
  tcase_add_loop_test(t, server_continue_refused, 0, 2);
  tcase_add_test(t, server_admit_replies);
  tcase_add_test(t, server_head);
  tcase_add_test(t, server_bodyless_statuses);
  tcase_add_test(t, server_options_and_header);
  tcase_add_test(t, server_stream_chunks);
  tcase_add_test(t, server_stream_compact);
  tcase_add_test(t, server_cut_and_bad_reply);
  tcase_add_test(t, server_stop_accepting);
  tcase_add_test(t, server_listen_errors);
  tcase_add_test(t, server_unix_socket);
  tcase_add_test(t, server_moves);
  tcase_add_test(t, server_socket_options);
  tcase_add_test(t, server_free_with_open_exchanges);
  tcase_add_test(t, server_out_of_memory);
  suite_add_tcase(s, t);
}

Suite *http_server_suite(void) {
  Suite *s = suite_create("http/server");
  http_server_add_framing(s);
  http_server_add_clients(s);
  http_server_add_peers(s);
  return s;
}
