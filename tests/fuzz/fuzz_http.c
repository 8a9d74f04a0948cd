/* fuzz_http: bytes into the parser glue, whole and cut as the input itself says. Both readings must agree
 * in everything: statuses, heads, bodies and where each request ended, else a peer could make two of us
 * see two different requests. It must leave the budget at zero. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MOST_REQUESTS 64
struct reading {
  uint64_t hash;
  int requests, status;
  size_t used; /* bytes of whole requests */
};

static void mix(struct reading *r, const void *data, size_t len) {
  const unsigned char *p = data;
  for (size_t i = 0; i < len; i++) r->hash = (r->hash ^ p[i]) * 0x100000001b3u;
  r->hash = (r->hash ^ len) * 0x100000001b3u;
}

static void check(int ok) {
  if (!ok) abort();
}

/* What a head promises to the rest of the gateway. */
static void check_head(const struct mg_http_head *h) {
  const struct mg_http_request *q = &h->req;
  check(q->n_headers <= MG_HTTP_MAX_HEADERS && q->method.len && q->target.len && q->path.len);
  check(h->minor == 0 || q->host.len);
  check(!(h->chunked && h->has_length) && !(h->chunked && h->minor == 0));
  for (size_t i = 0; i < q->n_headers; i++) {
    struct mg_slice n = q->headers[i].name, v = q->headers[i].value;
    check(n.len && !memchr(n.ptr, ' ', n.len) && !memchr(n.ptr, ':', n.len));
    check(!memchr(v.ptr, '\r', v.len) && !memchr(v.ptr, '\n', v.len) && !memchr(v.ptr, 0, v.len));
  }
}

static void take(struct reading *r, struct mg_http_parser *p) {
  const struct mg_http_request *q = &p->head->req;
  check_head(p->head);
  mix(r, q->method.ptr, q->method.len);
  mix(r, q->path.ptr, q->path.len);
  mix(r, q->query.ptr, q->query.len);
  mix(r, &q->keep_alive, sizeof q->keep_alive);
  for (size_t i = 0; i < q->n_headers; i++) {
    mix(r, q->headers[i].name.ptr, q->headers[i].name.len);
    mix(r, q->headers[i].value.ptr, q->headers[i].value.len);
  }
  struct mg_slice body = p->body ? mg_blob_slice(p->body) : mg_slice("", 0);
  check(!p->head->has_length || p->head->length == body.len);
  check(body.len <= p->limits->body_bytes);
  mix(r, body.ptr, body.len);
}

/* A piece in memory of its own, so that a read beyond it shows under ASan. */
static int feed(struct mg_http_parser *p, const uint8_t *data, size_t len, size_t *used) {
  char *copy = malloc(len ? len : 1), *at;
  if (len) memcpy(copy, data, len);
  size_t room = mg_http_parser_room(p, &at);
  int r;
  if (room && len) {
    *used = len < room ? len : room;
    memcpy(at, copy, *used);
    r = mg_http_parser_filled(p, *used);
  } else {
    r = mg_http_parser_feed(p, copy, len, used);
  }
  check(*used <= len);
  free(copy);
  return r;
}

static struct reading read_all(const uint8_t *data, size_t len, size_t cut) {
  static const struct mg_http_limits limits = {.header_bytes = 2048, .body_bytes = 40000};
  struct mg_budget budget = {0, 200000};
  struct reading r = {.hash = 0xcbf29ce484222325u};
  struct mg_http_parser p;
  size_t at = 0, used, piece = cut ? 0 : len, left = 0;
  mg_http_parser_init(&p, &limits, &budget);
  while (r.requests < MOST_REQUESTS) {
    if (left == 0) {
      if (at == len) break;
      piece = cut ? 1 + data[(at * 7 + cut) % len] % cut : len - at;
      left = piece < len - at ? piece : len - at;
    }
    int what = feed(&p, data + at, left, &used);
    at += used;
    left -= used;
    if (what == MG_PARSE_HEAD) what = feed(&p, data + at, 0, &used);
    if (what == MG_PARSE_REFUSED) {
      r.status = p.status;
      check(p.status >= 400 && p.status <= 505 && p.reason && p.reason[0]);
      break;
    }
    if (what != MG_PARSE_DONE) continue;
    take(&r, &p);
    r.requests++;
    r.used = at;
    mg_http_parser_done(&p);
    check(budget.used == 0);
    mg_http_parser_init(&p, &limits, &budget);
  }
  mg_http_parser_done(&p);
  check(budget.used == 0);
  return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static const size_t cuts[] = {1, 3, 40, 4000};
  struct reading whole = read_all(data, len, 0);
  for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
    struct reading cut = read_all(data, len, cuts[i]);
    check(cut.hash == whole.hash && cut.requests == whole.requests && cut.used == whole.used);
    check((cut.status != 0) == (whole.status != 0));
  }
  return 0;
}
