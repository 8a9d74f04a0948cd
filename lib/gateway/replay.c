/* gateway/replay: owns what a resumable stream remembers: the last events, as references to the bytes that
 * were sent. It has two ceilings; the oldest go first and are counted. */
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"

void mg_replay_init(struct mg_replay *r, size_t max_events, size_t max_bytes, size_t *all) {
  memset(r, 0, sizeof *r);
  r->max_events = max_events;
  r->max_bytes = max_bytes;
  r->all = all;
}

static void event_done(struct mg_replay_event *e) {
  mg_segs_unref(e->segs, e->n);
  mg_free(e->segs);
}

static void drop_first(struct mg_replay *r, size_t n) {
  for (size_t i = 0; i < n; i++) {
    r->bytes -= r->v[i].len;
    *r->all -= r->v[i].len;
    event_done(&r->v[i]);
  }
  r->n -= n;
  if (n) memmove(r->v, r->v + n, r->n * sizeof *r->v);
}

void mg_replay_done(struct mg_replay *r) {
  drop_first(r, r->n);
  mg_free(r->v);
  r->v = NULL;
  r->cap = 0;
}

void mg_replay_drop_to(struct mg_replay *r, uint64_t seq) {
  size_t n = 0;
  while (n < r->n && r->v[n].seq <= seq) n++;
  drop_first(r, n);
}

static int grow(struct mg_replay *r) {
  if (r->n < r->cap) return MCPGW_OK;
  size_t cap = r->cap ? r->cap * 2 : 8;
  struct mg_replay_event *v = mg_realloc(r->v, cap * sizeof *v);
  if (!v) return MCPGW_E_NOMEM;
  r->v = v;
  r->cap = cap;
  return MCPGW_OK;
}

static int is_full(const struct mg_replay *r, size_t len, size_t room) {
  return r->n >= r->max_events || r->bytes + len > r->max_bytes || *r->all + len > room;
}

int mg_replay_add(struct mg_replay *r, uint64_t seq, const struct mg_seg *segs, size_t n, size_t room) {
  struct mg_replay_event e = {.seq = seq, .n = n, .len = mg_segs_len(segs, n)};
  while (r->n && e.len <= r->max_bytes && is_full(r, e.len, room)) {
    drop_first(r, 1);
    r->dropped++;
  }
  if (is_full(r, e.len, room) || grow(r) != MCPGW_OK || !(e.segs = mg_alloc(n * sizeof *segs))) {
    r->dropped++;
    return MCPGW_E_LIMIT;
  }
  memcpy(e.segs, segs, n * sizeof *segs);
  for (size_t i = 0; i < n; i++)
    if (e.segs[i].blob) mg_blob_ref(e.segs[i].blob);
  r->bytes += e.len;
  *r->all += e.len;
  r->v[r->n++] = e;
  return MCPGW_OK;
}
