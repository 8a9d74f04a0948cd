/* A server in this process and raw clients beside it: the loop is turned between the client's steps. */
#ifndef TEST_HTTP_SERVER_FIX_H
#define TEST_HTTP_SERVER_FIX_H
#include <check.h>

#include "http/server.h"

#define FIX_HELD 2048
struct fix {
  struct mg_loop *loop;
  struct mg_http_server *server;
  struct mg_http_limits limits;
  struct mg_budget budget;
  int64_t live; /* allocations before */
  int port, no_admit;
  char where[64];
  int requests, gone, drained, admitted, smuggled, loopback;
  int admit_status, admit_reply, oom; /* oom: a failed allocation is part of the test */
  int n_held;
  struct mg_exchange *held[FIX_HELD]; /* answered later by the test; NULL when gone */
  char last_method[32], last_path[64], last_query[64], last_host[64], last_body[256];
  size_t last_len;
};
void fix_limits(struct mg_http_limits *l);
void fix_up(struct fix *f, const struct mg_http_limits *l, size_t budget);
void fix_down(struct fix *f); /* checks that nothing is left: memory, budget, connections */
void fix_turn(struct fix *f); /* the loop, without waiting */
void fix_run(struct fix *f, int ms);
uint64_t fix_ms(void);
int fix_open(struct fix *f); /* a non-blocking client socket */
void fix_send(struct fix *f, int fd, const void *data, size_t len);
void fix_say(struct fix *f, int fd, const char *text);

struct got {
  char *text; /* NUL-terminated */
  size_t len;
  int eof, reset;
};
/* Reads for at most ms, until the peer closes or `until` (when not NULL) is in the text. */
void fix_read(struct fix *f, int fd, struct got *g, const char *until, int ms);
void fix_got_done(struct got *g);
/* "200,404" … of all responses in the text. */
void fix_statuses(const struct got *g, char *out, size_t cap);
int fix_wait(struct fix *f, const int *counter, int value, int ms); /* 1: *counter got there; else 0 */
void fix_reset(int fd);                                             /* closes with RST */
struct mg_seg fix_seg(struct mg_budget *b, const char *text);
/* test_server.c gathers these into http_server_suite. */
void http_server_add_framing(Suite *s);
void http_server_add_clients(Suite *s);
void http_server_add_peers(Suite *s);
#endif
