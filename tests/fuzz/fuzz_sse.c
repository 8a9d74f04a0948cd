/* fuzz_sse: bytes into the reader, whole and cut as the input itself says, must give the same events;
 * what the reader gave is written by the writer and must be read back as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/sse.h"
#include "mcpgw/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MAX_EVENT 5000
#define MAX_OUT 12000

struct reading {
  uint64_t hash;
  int events, rc, again;
};

static void check(int ok) {
  if (!ok) abort();
}

static void mix(struct reading *r, const void *data, size_t len) {
  const unsigned char *p = data;
  for (size_t i = 0; i < len; i++) r->hash = (r->hash ^ p[i]) * 0x100000001b3u;
  r->hash = (r->hash ^ len) * 0x100000001b3u;
}

struct back {
  struct mg_slice want;
  int seen;
};

static int on_back(void *arg, struct mg_sse_event_view *ev) {
  struct back *b = arg;
  check(ev->data != NULL);
  struct mg_slice got = mg_blob_slice(ev->data);
  check(got.len == b->want.len);
  for (size_t i = 0; i < got.len; i++) check(got.ptr[i] == (b->want.ptr[i] == '\r' ? ' ' : b->want.ptr[i]));
  b->seen++;
  mg_blob_unref(ev->data);
  return MCPGW_OK;
}

/* Writes the event and reads it back. */
static void there_and_back(const struct mg_sse_event_view *ev) {
  static struct mg_seg out[MAX_OUT];
  struct back b = {mg_blob_slice(ev->data), 0};
  struct mg_sse_reader *r;
  size_t n = MAX_OUT, half = b.want.len / 2;
  struct mg_seg in[2] = {{mg_blob_ref(ev->data), b.want.ptr, half},
                         {mg_blob_ref(ev->data), b.want.ptr + half, b.want.len - half}};
  int rc = mg_sse_event(ev->id, in, 2, out, &n);
  if (rc != MCPGW_OK) {
    check(rc == MCPGW_E_NOMEM);
    mg_blob_unref(ev->data);
    mg_blob_unref(ev->data);
    return;
  }
  check(mg_sse_reader_new(NULL, MAX_EVENT, on_back, &b, &r) == MCPGW_OK);
  for (size_t i = 0; i < n; i++) {
    check(mg_sse_feed(r, out[i].ptr, out[i].len) == MCPGW_OK);
    mg_blob_unref(out[i].blob);
  }
  mg_sse_reader_free(r);
  check(b.seen == 1);
}

static int on_event(void *arg, struct mg_sse_event_view *ev) {
  struct reading *r = arg;
  check(ev->data || ev->has_id || ev->has_retry);
  check(!memchr(ev->id.len ? ev->id.ptr : "x", 0, ev->id.len));
  mix(r, ev->id.ptr, ev->id.len);
  mix(r, ev->type.ptr, ev->type.len);
  mix(r, &ev->retry_ms, sizeof ev->retry_ms);
  mix(r, ev->data ? "d" : "n", 1);
  if (ev->data) {
    struct mg_slice d = mg_blob_slice(ev->data);
    check(d.len <= MAX_EVENT);
    mix(r, d.ptr, d.len);
    if (r->again) there_and_back(ev);
  }
  r->events++;
  mg_blob_unref(ev->data);
  return MCPGW_OK;
}

static struct reading read_all(const uint8_t *data, size_t len, size_t cut) {
  struct mg_budget budget = {0, 100000};
  struct reading r = {.hash = 0xcbf29ce484222325u, .again = cut == 0};
  struct mg_sse_reader *s;
  check(mg_sse_reader_new(&budget, MAX_EVENT, on_event, &r, &s) == MCPGW_OK);
  for (size_t at = 0; at < len && r.rc == MCPGW_OK;) {
    size_t n = cut ? 1 + data[(at * 5 + cut) % len] % cut : len;
    if (n > len - at) n = len - at;
    char *copy = malloc(n);
    memcpy(copy, data + at, n);
    r.rc = mg_sse_feed(s, copy, n);
    free(copy);
    at += n;
  }
  mg_sse_reader_free(s);
  check(budget.used == 0);
  return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static const size_t cuts[] = {1, 2, 7, 300};
  struct reading whole = read_all(data, len, 0);
  for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
    struct reading cut = read_all(data, len, cuts[i]);
    check(cut.hash == whole.hash && cut.events == whole.events && cut.rc == whole.rc);
  }
  return 0;
}
