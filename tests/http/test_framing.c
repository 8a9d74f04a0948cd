/* What the server takes for a request and what it refuses: every case goes in whole and byte by byte,
 * and a refused one is followed by a request that must never be seen. */
#include "http/server_fix.h"
#include "http/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define H "Host: a\r\n"
#define GET(extra) "GET /x HTTP/1.1\r\n" H extra "\r\n"
#define CHUNKED "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

struct framing {
  const char *name, *bytes, *expect; /* statuses in order; anything but 200s closes the connection */
  const char *body;                  /* of the last request, when not NULL */
  size_t len;                        /* of bytes, when they hold a NUL */
};
static const struct framing cases[] = {
    {"get", GET(""), "200", "", 0},
    {"post", "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "200", "hello", 0},
    {"post without body", "POST /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "200", "", 0},
    {"lower case names", "GET /x HTTP/1.1\r\nhost:a\r\n\r\n", "200", NULL, 0},
    {"chunked", CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "200", "hello world", 0},
    {"chunked upper case", "POST /x HTTP/1.1\r\n" H "TRANSFER-ENCODING: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
     "200", "a", 0},
    {"chunked, empty", CHUNKED "0\r\n\r\n", "200", "", 0},
    {"chunk size padded a little", CHUNKED "00000005\r\nhello\r\n0\r\n\r\n", "200", "hello", 0},
    {"chunk extension", CHUNKED "5;a=b\r\nhello\r\n0\r\n\r\n", "200", "hello", 0},
    {"chunk extensions", CHUNKED "5;a;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", "200", "hello", 0},
    {"trailers", CHUNKED "5\r\nhello\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", "200", "hello", 0},
    {"chunked, then another", CHUNKED "1\r\na\r\n0\r\n\r\n" GET(""), "200,200", NULL, 0},
    {"trailers, then another", CHUNKED "1\r\na\r\n0\r\nA: b\r\n\r\n" GET(""), "200,200", NULL, 0},
    {"three in one",
     "POST /1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1" GET("") "POST /3 HTTP/1.1\r\n" H
                                                                   "Content-Length: 3\r\n\r\n333",
     "200,200,200", "333", 0},
    {"empty line before", "\r\n" GET(""), "200", NULL, 0},
    {"two empty lines before", "\r\n\r\n" GET(""), "200", NULL, 0},
    {"absolute form", "GET http://a/x?q HTTP/1.1\r\n" H "\r\n", "200", NULL, 0},
    {"host with port", "GET /x HTTP/1.1\r\nHost: a.b:8080\r\n\r\n", "200", NULL, 0},
    {"host v6", "GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200", NULL, 0},
    {"options star", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "200", NULL, 0},
    {"upgrade is ignored", GET("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n") GET(""), "200,200",
     NULL, 0},
    {"upgrade with a body",
     "POST /x HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab" GET(""),
     "200,200", NULL, 0},
    {"tab and obs-text in a value", GET("X: a\tb\xe4\r\n"), "200", NULL, 0},
    {"empty value", GET("X:\r\n"), "200", NULL, 0},
    {"known method nobody wants", "PROPFIND /x HTTP/1.1\r\n" H "\r\n", "200", NULL, 0},

    {"CL and TE", "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "400", NULL, 0},
    {"TE and CL", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
     "400", NULL, 0},
    {"two CL", "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400", NULL,
     0},
    {"two equal CL", "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400",
     NULL, 0},
    {"CL list", "POST /x HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nhello", "400", NULL, 0},
    {"CL +5", "POST /x HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nhello", "400", NULL, 0},
    {"CL -5", "POST /x HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\nhello", "400", NULL, 0},
    {"CL 0x5", "POST /x HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\nhello", "400", NULL, 0},
    {"CL 5 5", "POST /x HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\nhello", "400", NULL, 0},
    {"CL empty", "POST /x HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "400", NULL, 0},
    {"CL over 2^64", "POST /x HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\nhello", "400",
     NULL, 0},
    {"TE unknown", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", "400", NULL, 0},
    {"TE gzip, chunked", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400",
     NULL, 0},
    {"TE chunked, identity", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
     "400", NULL, 0},
    {"TE twice",
     "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "400", NULL, 0},
    {"TE xchunked", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400", NULL, 0},
    {"TE \\vchunked", "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "400", NULL,
     0},
    {"TE on 1.0", "POST /x HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", NULL, 0},
    {"space before colon", "GET /x HTTP/1.1\r\nHost : a\r\n\r\n", "400", NULL, 0},
    {"space before colon, CL", "POST /x HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\nhello", "400", NULL, 0},
    {"tab before colon", GET("X\t: a\r\n"), "400", NULL, 0},
    {"folded", GET("X: a\r\n b\r\n"), "400", NULL, 0},
    {"folded by tab", GET("X: a\r\n\tb\r\n"), "400", NULL, 0},
    {"folded first line", "GET /x HTTP/1.1\r\n X: a\r\n" H "\r\n", "400", NULL, 0},
    {"bare LF after the request line", "GET /x HTTP/1.1\nHost: a\r\n\r\n", "400", NULL, 0},
    {"bare LF after a header", "GET /x HTTP/1.1\r\nHost: a\n\r\n", "400", NULL, 0},
    {"bare LF at the end", "GET /x HTTP/1.1\r\nHost: a\r\n\n", "400", NULL, 0},
    {"bare LF before", "\nGET /x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"bare CR in a value", GET("X: a\rb\r\n"), "400", NULL, 0},
    {"CR CR LF", "GET /x HTTP/1.1\r\r\n" H "\r\n", "400", NULL, 0},
    {"NUL in a value", "GET /x HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", "400", NULL, 36},
    {"NUL in a name", "GET /x HTTP/1.1\r\n" H "X\0Y: b\r\n\r\n", "400", NULL, 36},
    {"control in a value", GET("X: a\x01\r\n"), "400", NULL, 0},
    {"DEL in a value", GET("X: a\x7f\r\n"), "400", NULL, 0},
    {"no name", GET(": a\r\n"), "400", NULL, 0},
    {"no colon", GET("X\r\n"), "400", NULL, 0},
    {"name with a slash", GET("X/Y: a\r\n"), "400", NULL, 0},
    {"no Host", "GET /x HTTP/1.1\r\n\r\n", "400", NULL, 0},
    {"two Hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400", NULL, 0},
    {"two Hosts on 1.0", "GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400", NULL, 0},
    {"empty Host", "GET /x HTTP/1.1\r\nHost:\r\n\r\n", "400", NULL, 0},
    {"Host with a blank", "GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", "400", NULL, 0},
    {"Host with a path", "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", "400", NULL, 0},
    {"Host with a user", "GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n", "400", NULL, 0},
    {"Host list", "GET /x HTTP/1.1\r\nHost: a:80,b\r\n\r\n", "400", NULL, 0},
    {"Host port", "GET /x HTTP/1.1\r\nHost: a:8x\r\n\r\n", "400", NULL, 0},
    {"Host v6 open", "GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n", "400", NULL, 0},
    {"absolute form, no Host", "GET http://a/x HTTP/1.1\r\n\r\n", "400", NULL, 0},
    {"absolute form, other Host", "GET http://b/x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"absolute form, user", "GET http://u@a/x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"absolute form, ftp", "GET ftp://a/x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"relative target", "GET x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"star for GET", "GET * HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"fragment", "GET /x#y HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"raw UTF-8 target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"two blanks", "GET  /x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"two blanks later", "GET /x  HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"blank at the end", "GET /x HTTP/1.1 \r\n" H "\r\n", "400", NULL, 0},
    {"blank in front", " GET /x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"tab", "GET\t/x HTTP/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"HTTP/0.9", "GET /x\r\n\r\n", "400", NULL, 0},
    {"no version", "GET /x HTTP\r\n" H "\r\n", "400", NULL, 0},
    {"lower case version", "GET /x http/1.1\r\n" H "\r\n", "400", NULL, 0},
    {"RTSP", "GET /x RTSP/1.0\r\n" H "\r\n", "400", NULL, 0},
    {"three empty lines before", "\r\n\r\n\r\n" GET(""), "400", NULL, 0},
    {"TLS", "\x16\x03\x01\x02\x01", "400", NULL, 0},
    {"version 2.0", "GET /x HTTP/2.0\r\n" H "\r\n", "505", NULL, 0},
    {"version 1.2", "GET /x HTTP/1.2\r\n" H "\r\n", "505", NULL, 0},
    {"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", NULL, 0},
    {"unknown method", "BREW /x HTTP/1.1\r\n" H "\r\n", "501", NULL, 0},
    {"method in lower case", "get /x HTTP/1.1\r\n" H "\r\n", "501", NULL, 0},
    {"method of RTSP", "DESCRIBE /x HTTP/1.1\r\n" H "\r\n", "501", NULL, 0},
    {"longer than GET", "GETS /x HTTP/1.1\r\n" H "\r\n", "501", NULL, 0},
    {"unknown Expect", "POST /x HTTP/1.1\r\n" H "Expect: money\r\nContent-Length: 1\r\n\r\n", "417", NULL, 0},
    {"chunk bare LF", CHUNKED "5\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"chunk data without CRLF", CHUNKED "5\r\nhelloXX0\r\n\r\n", "400", NULL, 0},
    {"chunk data, bare LF", CHUNKED "5\r\nhello\n0\r\n\r\n", "400", NULL, 0},
    {"chunk size negative", CHUNKED "-5\r\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"chunk size 0x", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"chunk size blank", CHUNKED "5 \r\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"chunk size empty", CHUNKED "\r\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"chunk size over 2^64", CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"chunk size huge", CHUNKED "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "413", NULL, 0},
    {"chunk extension with a bare LF", CHUNKED "5;a\nb\r\nhello\r\n0\r\n\r\n", "400", NULL, 0},
    {"trailer folded", CHUNKED "0\r\nX: a\r\n b\r\n\r\n", "400", NULL, 0},
    {"trailer bare LF", CHUNKED "0\r\nX: a\n\r\n", "400", NULL, 0},
    {"trailer end bare LF", CHUNKED "0\r\n\n", "400", NULL, 0},
    {"trailer CL", CHUNKED "0\r\nContent-Length: 5\r\n\r\n", "400", NULL, 0},
    {"trailer TE", CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", "400", NULL, 0},
    {"trailer Host", CHUNKED "0\r\nHost: b\r\n\r\n", "400", NULL, 0},
    {"CONNECT with a body", "CONNECT a:443 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", "400", NULL, 0},
    {"CONNECT with chunks", "CONNECT a:443 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "400", NULL, 0},
    {"body declared too large", "POST /x HTTP/1.1\r\n" H "Content-Length: 4194305\r\n\r\n", "413", NULL, 0},
};
#define N_CASES ((int)(sizeof cases / sizeof cases[0]))
static const char after[] = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

static void one_case(struct fix *f, const struct framing *c, int bytewise) {
  struct got g = {0};
  char seen[64];
  size_t len = c->len ? c->len : strlen(c->bytes);
  int good = c->expect[0] == '2', fd = fix_open(f);
  f->smuggled = 0;
  for (size_t i = 0; bytewise && i < len; i++) fix_send(f, fd, c->bytes + i, 1);
  if (!bytewise) fix_send(f, fd, c->bytes, len);
  if (!good) fix_say(f, fd, after);
  uint64_t end = fix_ms() + 2000;
  do {
    fix_read(f, fd, &g, NULL, 2);
    fix_statuses(&g, seen, sizeof seen);
  } while (!g.eof && (strlen(seen) < strlen(c->expect) || !good) && fix_ms() < end);
  ck_assert_msg(strcmp(seen, c->expect) == 0, "%s (%s): got \"%s\", not \"%s\"", c->name,
                bytewise ? "bytes" : "whole", seen, c->expect);
  ck_assert_msg(g.eof == !good && !g.reset, "%s: closed %d reset %d", c->name, g.eof, g.reset);
  ck_assert_msg(f->smuggled == 0, "%s: the request behind was seen", c->name);
  ck_assert_msg(good || strstr(g.text, "Connection: close\r\n"), "%s: no Connection: close", c->name);
  if (c->body) ck_assert_msg(strcmp(f->last_body, c->body) == 0, "%s: body \"%s\"", c->name, f->last_body);
  close(fd);
  fix_got_done(&g);
}

START_TEST(framing_table) {
  struct fix f;
  fix_up(&f, NULL, 1u << 26);
  one_case(&f, &cases[_i], 0);
  one_case(&f, &cases[_i], 1);
  fix_down(&f);
}
END_TEST

static void expect_one(struct fix *f, const char *bytes, size_t len, const char *status) {
  struct framing c = {"made", bytes, status, NULL, len};
  one_case(f, &c, 0);
}

START_TEST(framing_header_ceilings) {
  struct fix f;
  static char big[70000];
  fix_up(&f, NULL, 1u << 26);
  for (int n = 99; n <= 100; n++) { /* and Host */
    size_t at = (size_t)sprintf(big, "GET /x HTTP/1.1\r\n" H);
    for (int i = 0; i < n; i++) at += (size_t)sprintf(big + at, "X-%d: y\r\n", i);
    at += (size_t)sprintf(big + at, "\r\n");
    expect_one(&f, big, at, n == 99 ? "200" : "431");
  }
  for (int over = 0; over < 2; over++) {
    int pad = 32768 - (int)strlen("GET /x HTTP/1.1\r\n" H "X: \r\n\r\n") + over;
    size_t at = (size_t)sprintf(big, "GET /x HTTP/1.1\r\n" H "X: %0*d\r\n\r\n", pad, 0);
    ck_assert_uint_eq(at, 32768 + (size_t)over);
    expect_one(&f, big, at, over ? "431" : "200");
  }
  memset(big, 'a', sizeof big);
  expect_one(&f, big, sizeof big, "431"); /* no line end at all */
  fix_down(&f);
}
END_TEST

START_TEST(framing_chunk_ceilings) {
  struct fix f;
  static char big[20000];
  fix_up(&f, NULL, 1u << 26);
  size_t at = (size_t)sprintf(big, CHUNKED "5;%0*d\r\nhello\r\n0\r\n\r\n", 256, 0);
  expect_one(&f, big, at, "200");
  at = (size_t)sprintf(big, CHUNKED "5;%0*d\r\nhello\r\n0\r\n\r\n", 257, 0);
  expect_one(&f, big, at, "400");
  for (int line = 320; line <= 321; line++) { /* zeros without end before the size */
    at = (size_t)sprintf(big, CHUNKED "%0*d\r\nhello\r\n0\r\n\r\n", line - 2, 5);
    expect_one(&f, big, at, line == 320 ? "200" : "400");
    struct framing bytes = {"padded", big, line == 320 ? "200" : "400", NULL, at};
    one_case(&f, &bytes, 1); /* and the cut of the bytes makes no difference */
  }
  at = (size_t)sprintf(big, CHUNKED "0\r\nX: %0*d\r\n\r\n", 9000, 5);
  expect_one(&f, big, at, "431"); /* trailers over 8 KiB */
  fix_down(&f);
}
END_TEST

START_TEST(framing_body_ceiling_chunked) {
  struct fix f;
  struct mg_http_limits l;
  struct got g = {0};
  static char chunk[1100];
  fix_limits(&l);
  l.body_bytes = 10000;
  fix_up(&f, &l, 1u << 26);
  int fd = fix_open(&f);
  size_t at = (size_t)sprintf(chunk, "3e8\r\n");
  memset(chunk + at, 'x', 1000);
  memcpy(chunk + at + 1000, "\r\n", 2);
  fix_say(&f, fd, CHUNKED);
  for (int i = 0; i < 10; i++) fix_send(&f, fd, chunk, at + 1002);
  fix_read(&f, fd, &g, "413", 30);
  ck_assert_uint_eq(g.len, 0); /* exactly the ceiling is fine */
  fix_say(&f, fd, "1\r\nx\r\n");
  fix_read(&f, fd, &g, NULL, 2000);
  ck_assert_ptr_nonnull(strstr(g.text, "HTTP/1.1 413 "));
  ck_assert(g.eof && !g.reset);
  ck_assert_int_eq(f.requests, 0);
  close(fd);
  fix_got_done(&g);
  fix_down(&f);
}
END_TEST

START_TEST(framing_target_parts) {
  struct fix f;
  struct got g = {0};
  fix_up(&f, NULL, 1u << 26);
  int fd = fix_open(&f);
  fix_say(&f, fd, "GET http://Ex.org:80?q=1&r HTTP/1.1\r\nHost: ex.org:80\r\n\r\n");
  fix_read(&f, fd, &g, "\r\n\r\n/", 1000);
  ck_assert_str_eq(f.last_path, "/");
  ck_assert_str_eq(f.last_query, "q=1&r");
  ck_assert_str_eq(f.last_host, "ex.org:80");
  ck_assert_int_eq(f.loopback, 1);
  fix_say(&f, fd, "DELETE /a/b?c?d HTTP/1.1\r\nHost: h\r\n\r\n");
  fix_wait(&f, &f.requests, 2, 1000);
  ck_assert_str_eq(f.last_method, "DELETE");
  ck_assert_str_eq(f.last_path, "/a/b");
  ck_assert_str_eq(f.last_query, "c?d");
  close(fd);
  fix_got_done(&g);
  fix_down(&f);
}
END_TEST

void http_server_add_framing(Suite *s) {
  TCase *t = tcase_create("framing");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, framing_table, 0, N_CASES);
  tcase_add_test(t, framing_header_ceilings);
  tcase_add_test(t, framing_chunk_ceilings);
  tcase_add_test(t, framing_body_ceiling_chunked);
  tcase_add_test(t, framing_target_parts);
  suite_add_tcase(s, t);
}
