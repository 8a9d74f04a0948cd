/* base/segs: pieces of a message, and how they become one again. Must never hold a long message twice
 * when it can be put together where it lies. */
#include <string.h>

#include "base/blob.h"
#include "mcpgw/types.h"

#define MAX_PIECES 256

size_t mg_segs_len(const struct mg_seg *segs, size_t n) {
  size_t len = 0;
  for (size_t i = 0; i < n; i++) len += segs[i].len;
  return len;
}

void mg_segs_unref(struct mg_seg *segs, size_t n) {
  for (size_t i = 0; i < n; i++) mg_blob_unref(segs[i].blob);
}

static int copy(struct mg_budget *budget, struct mg_seg *segs, size_t n, mg_blob **out) {
  size_t len = mg_segs_len(segs, n);
  mg_blob *b = mg_blob_new(budget, len + 1, len + 1);
  if (!b) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < n; i++) {
    memcpy(mg_blob_tail(b), segs[i].ptr, segs[i].len);
    mg_blob_commit(b, segs[i].len);
  }
  *mg_blob_tail(b) = 0;
  *out = b;
  return MCPGW_OK;
}

/* The blob that holds most of the bytes, when its pieces stand in it in order and all references to it are
 * theirs; else NULL. */
static mg_blob *host_of(const struct mg_seg *segs, size_t n) {
  mg_blob *host = NULL;
  size_t most = 0, refs = 0;
  const char *last = NULL;
  for (size_t i = 0; i < n; i++)
    if (segs[i].blob && segs[i].len > most) {
      most = segs[i].len;
      host = segs[i].blob;
    }
  if (!host || most < MG_BLOB_MAP) return NULL;
  for (size_t i = 0; i < n; i++) {
    if (segs[i].blob != host) continue;
    if (segs[i].ptr < last) return NULL;
    last = segs[i].ptr + segs[i].len;
    refs++;
  }
  return mg_blob_refs(host) == refs ? host : NULL;
}

/* Left-movers from the front, then right-movers from the back: none treads on bytes that are still to move.
 * Then what comes from elsewhere is put between them. */
static void move(char *data, mg_blob *host, const struct mg_seg *segs, const size_t *from, size_t n) {
  size_t to[MAX_PIECES], at = 0;
  for (size_t i = 0; i < n; i++) {
    to[i] = at;
    at += segs[i].len;
  }
  for (size_t i = 0; i < n; i++)
    if (segs[i].blob == host && to[i] < from[i]) memmove(data + to[i], data + from[i], segs[i].len);
  for (size_t i = n; i-- > 0;)
    if (segs[i].blob == host && to[i] > from[i]) memmove(data + to[i], data + from[i], segs[i].len);
  for (size_t i = 0; i < n; i++)
    if (segs[i].blob != host) memcpy(data + to[i], segs[i].ptr, segs[i].len);
  data[at] = 0;
}

static int in_place(struct mg_seg *segs, size_t n, mg_blob *host) {
  size_t from[MAX_PIECES], total = mg_segs_len(segs, n), len = mg_blob_len(host);
  int kept = 0;
  for (size_t i = 0; i < n; i++) from[i] = segs[i].blob == host ? (size_t)(segs[i].ptr - mg_blob_slice(host).ptr) : 0;
  for (size_t i = 0; i < n; i++) /* one reference stays, so that it may grow */
    if (segs[i].blob == host && kept++) mg_blob_unref(host);
  int rc = mg_blob_reserve(host, total + 1 > len ? total + 1 - len : 0);
  if (rc != MCPGW_OK) { /* at its ceiling: as before */
    for (int i = 1; i < kept; i++) mg_blob_ref(host);
    return rc;
  }
  move(mg_blob_data(host), host, segs, from, n);
  if (total > len) mg_blob_commit(host, total - len);
  else mg_blob_set_len(host, total);
  for (size_t i = 0; i < n; i++)
    if (segs[i].blob != host) mg_blob_unref(segs[i].blob);
  return MCPGW_OK;
}

int mg_segs_join(struct mg_budget *budget, struct mg_seg *segs, size_t n, mg_blob **out) {
  mg_blob *host = n <= MAX_PIECES ? host_of(segs, n) : NULL;
  if (host && in_place(segs, n, host) == MCPGW_OK) {
    *out = host;
    return MCPGW_OK;
  }
  int rc = copy(budget, segs, n, out);
  mg_segs_unref(segs, n);
  return rc;
}
