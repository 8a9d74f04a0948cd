/* The fixture of the server's tests: a handler that does what the path says, and raw client sockets. It
 * must never read or write on its own: what goes over the wire is what a test wrote. */
#include "http/server_fix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

struct mg_seg fix_seg(struct mg_budget *b, const char *text) {
  mg_blob *blob = mg_blob_copy(b, text, strlen(text));
  ck_assert_ptr_nonnull(blob);
  return (struct mg_seg){blob, mg_blob_slice(blob).ptr, strlen(text)};
}

static void keep(char *to, size_t cap, struct mg_slice s) {
  snprintf(to, cap, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static void on_big(struct fix *f, struct mg_exchange *x, const struct mg_http_request *r) {
  uint64_t n = 0;
  mg_slice_u64(r->query, &n);
  mg_blob *b = mg_blob_new(&f->budget, n, n);
  if (!b && f->oom) {
    mg_exchange_cut(x);
    return;
  }
  ck_assert_ptr_nonnull(b);
  memset(mg_blob_tail(b), 'x', n);
  mg_blob_commit(b, n);
  struct mg_seg s = {b, mg_blob_slice(b).ptr, n};
  int rc = mg_exchange_reply(x, 200, mg_slice("", 0), &s, 1);
  ck_assert(rc == MCPGW_OK || f->oom);
}

static void on_stream(struct fix *f, struct mg_exchange *x, int end) {
  struct mg_seg s = {NULL, "data: hi\n\n", 10};
  if (f->oom) {
    if (mg_exchange_stream_begin(x, 200, mg_slice("", 0)) != MCPGW_OK) mg_exchange_cut(x);
    else if (mg_exchange_stream_write(x, &s, 1, 65536) != MCPGW_OK) mg_exchange_cut(x);
    else mg_exchange_stream_end(x);
    return;
  }
  ck_assert_int_eq(mg_exchange_stream_begin(x, 200, MG_LIT("Content-Type: text/event-stream\r\n")), MCPGW_OK);
  ck_assert_int_eq(mg_exchange_stream_write(x, &s, 1, 65536), MCPGW_OK);
  if (end) ck_assert_int_eq(mg_exchange_stream_end(x), MCPGW_OK);
}

static void hold(struct fix *f, struct mg_exchange *x) {
  ck_assert_int_lt(f->n_held, FIX_HELD);
  mg_exchange_set(x, &f->held[f->n_held]);
  f->held[f->n_held++] = x;
}

static void on_request(void *data, struct mg_exchange *x, const struct mg_http_request *r) {
  struct fix *f = data;
  f->requests++;
  f->loopback = r->peer_is_loopback;
  keep(f->last_method, sizeof f->last_method, r->method);
  keep(f->last_path, sizeof f->last_path, r->path);
  keep(f->last_query, sizeof f->last_query, r->query);
  keep(f->last_host, sizeof f->last_host, r->host);
  f->last_len = r->body ? mg_blob_len(r->body) : 0;
  keep(f->last_body, sizeof f->last_body, r->body ? mg_blob_slice(r->body) : mg_slice("", 0));
  ck_assert_ptr_eq(mg_exchange_request(x), r);
  if (mg_slice_eqz(r->path, "/smuggled")) f->smuggled++;
  if (mg_slice_eqz(r->path, "/hold")) hold(f, x);
  else if (mg_slice_eqz(r->path, "/sse")) on_stream(f, x, 0), hold(f, x);
  else if (mg_slice_eqz(r->path, "/short")) on_stream(f, x, 1);
  else if (mg_slice_eqz(r->path, "/big")) on_big(f, x, r);
  else if (mg_slice_eqz(r->path, "/none")) mg_exchange_reply(x, 202, mg_slice("", 0), NULL, 0);
  else if (mg_slice_eqz(r->path, "/204")) mg_exchange_reply_text(x, 204, "text/plain", MG_LIT("never sent"));
  else if (mg_slice_eqz(r->path, "/cut")) mg_exchange_cut(x);
  else if (mg_slice_eqz(r->path, "/bad")) mg_exchange_reply(x, 200, MG_LIT("X: no line end"), NULL, 0);
  else if (mg_slice_eqz(r->path, "/header"))
    mg_exchange_reply_text(x, 200, "text/plain", mg_exchange_header(x, "x-test", NULL));
  else mg_exchange_reply_text(x, 200, "text/plain", r->body ? mg_blob_slice(r->body) : r->path);
}

static int on_admit(void *data, struct mg_exchange *x, const struct mg_http_request *r) {
  struct fix *f = data;
  f->admitted++;
  ck_assert_ptr_null(r->body);
  if (f->admit_reply) return mg_exchange_reply(x, 401, MG_LIT("WWW-Authenticate: Bearer\r\n"), NULL, 0), 0;
  return f->admit_status;
}

static void on_gone(void *data, struct mg_exchange *x) {
  struct fix *f = data;
  struct mg_exchange **slot = mg_exchange_get(x);
  f->gone++;
  if (slot) *slot = NULL;
}

static void on_drained(void *data, struct mg_exchange *x) {
  struct fix *f = data;
  (void)x;
  f->drained++;
}

void fix_limits(struct mg_http_limits *l) {
  *l = (struct mg_http_limits){.header_bytes = 32768,
                               .body_bytes = 4194304,
                               .connections = 2000,
                               .header_ms = 10000,
                               .body_ms = 30000,
                               .idle_ms = 75000,
                               .write_ms = 60000};
}

void fix_up(struct fix *f, const struct mg_http_limits *l, size_t budget) {
  static const struct mg_http_events events = {on_admit, on_request, on_gone, on_drained};
  struct mg_buf bound;
  int64_t live = mg_mem_live();
  memset(f, 0, sizeof *f);
  f->live = live;
  if (l) f->limits = *l;
  else fix_limits(&f->limits);
  f->budget.limit = budget;
  ck_assert_int_eq(mg_loop_new(&f->loop), MCPGW_OK);
  ck_assert_int_eq(mg_http_server_new(f->loop, &f->limits, &events, f, NULL, &f->budget, &f->server),
                   MCPGW_OK);
  mg_buf_init(&bound, sizeof f->where - 1);
  ck_assert_int_eq(mg_http_server_listen(f->server, MG_LIT("127.0.0.1:0"), &bound, NULL), MCPGW_OK);
  keep(f->where, sizeof f->where, mg_buf_slice(&bound));
  mg_buf_done(&bound);
  f->port = atoi(strchr(f->where, ':') + 1);
  ck_assert_int_gt(f->port, 0);
}

void fix_down(struct fix *f) {
  mg_http_server_free(f->server);
  for (int i = 0; i < 4; i++) mg_loop_run(f->loop, MG_RUN_NOWAIT);
  mg_loop_free(f->loop);
  ck_assert_uint_eq(f->budget.used, 0);
  ck_assert_int_eq(mg_mem_live(), f->live);
}

uint64_t fix_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void fix_turn(struct fix *f) {
  ck_assert_int_eq(mg_loop_run(f->loop, MG_RUN_NOWAIT), MCPGW_OK);
}

void fix_run(struct fix *f, int ms) {
  uint64_t end = fix_ms() + (uint64_t)ms;
  do {
    fix_turn(f);
    usleep(200);
  } while (fix_ms() < end);
}

int fix_wait(struct fix *f, const int *counter, int value, int ms) {
  uint64_t end = fix_ms() + (uint64_t)ms;
  while (*counter != value && fix_ms() < end) {
    fix_turn(f);
    if (*counter != value) usleep(100);
  }
  return *counter == value;
}

int fix_open(struct fix *f) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  return fd;
}

void fix_send(struct fix *f, int fd, const void *data, size_t len) {
  const char *p = data;
  uint64_t end = fix_ms() + 5000;
  while (len && fix_ms() < end) {
    ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return; /* the server closed: the test sees it by reading */
    if (n > 0) p += n, len -= (size_t)n;
    fix_turn(f);
  }
}

void fix_say(struct fix *f, int fd, const char *text) {
  fix_send(f, fd, text, strlen(text));
}

static int take(int fd, struct got *g) {
  g->text = realloc(g->text, g->len + 65537);
  ssize_t n = recv(fd, g->text + g->len, 65536, 0);
  if (n > 0) g->len += (size_t)n;
  g->text[g->len] = '\0';
  if (n == 0) g->eof = 1;
  if (n < 0 && errno != EAGAIN) g->eof = g->reset = 1;
  return n > 0;
}

void fix_read(struct fix *f, int fd, struct got *g, const char *until, int ms) {
  uint64_t end = fix_ms() + (uint64_t)ms;
  do {
    fix_turn(f);
    if (take(fd, g)) continue;
    if (g->eof || (until && strstr(g->text, until))) return;
    usleep(100);
  } while (fix_ms() < end);
}

void fix_got_done(struct got *g) {
  free(g->text);
  memset(g, 0, sizeof *g);
}

void fix_statuses(const struct got *g, char *out, size_t cap) {
  size_t n = 0;
  out[0] = '\0';
  for (const char *p = g->text; p && (p = strstr(p, "HTTP/1.1 ")); p += 9)
    n += (size_t)snprintf(out + n, cap - n, "%s%.3s", n ? "," : "", p + 9);
}

void fix_reset(int fd) {
  struct linger now = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}
