/* base/heap: the array of a binary min-heap of deadlines; each node remembers its place, so moving and
 * deleting cost O(log n). Owns the array only, never a node; must never touch a node after mg_heap_del. */
#include "base/heap.h"

#include <string.h>

#include "base/mem.h"
#include "mcpgw/types.h"

void mg_heap_init(struct mg_heap *h, size_t max) {
  *h = (struct mg_heap){.max = max};
}

void mg_heap_done(struct mg_heap *h) {
  if (h == NULL) return;
  for (size_t i = 0; i < h->n; i++) h->v[i]->pos = 0;
  mg_free(h->v);
  *h = (struct mg_heap){.max = h->max};
}

static void place(struct mg_heap *h, size_t i, struct mg_heap_node *node) {
  h->v[i] = node;
  node->pos = i + 1;
}

static void sift_up(struct mg_heap *h, size_t i, struct mg_heap_node *node) {
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (h->v[parent]->at_ms <= node->at_ms) break;
    place(h, i, h->v[parent]);
    i = parent;
  }
  place(h, i, node);
}

static void sift_down(struct mg_heap *h, size_t i, struct mg_heap_node *node) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= h->n) break;
    if (child + 1 < h->n && h->v[child + 1]->at_ms < h->v[child]->at_ms) child++;
    if (h->v[child]->at_ms >= node->at_ms) break;
    place(h, i, h->v[child]);
    i = child;
  }
  place(h, i, node);
}

static void settle(struct mg_heap *h, size_t i, struct mg_heap_node *node) {
  if (i > 0 && h->v[(i - 1) / 2]->at_ms > node->at_ms) sift_up(h, i, node);
  else sift_down(h, i, node);
}

static int grow(struct mg_heap *h) {
  if (h->n >= h->max) return MCPGW_E_LIMIT;
  size_t cap = h->cap ? h->cap * 2 : 16;
  if (cap > h->max) cap = h->max;
  if (cap > SIZE_MAX / sizeof *h->v) return MCPGW_E_NOMEM;
  struct mg_heap_node **v = mg_realloc(h->v, cap * sizeof *v);
  if (v == NULL) return MCPGW_E_NOMEM;
  h->v = v;
  h->cap = cap;
  return MCPGW_OK;
}

int mg_heap_set(struct mg_heap *h, struct mg_heap_node *node, uint64_t at_ms) {
  if (node->pos) { /* it has its place already: moving cannot fail */
    node->at_ms = at_ms;
    settle(h, node->pos - 1, node);
    return MCPGW_OK;
  }
  if (h->n == h->cap) {
    int rc = grow(h);
    if (rc != MCPGW_OK) return rc;
  }
  node->at_ms = at_ms;
  h->n++;
  sift_up(h, h->n - 1, node);
  return MCPGW_OK;
}

void mg_heap_del(struct mg_heap *h, struct mg_heap_node *node) {
  if (node->pos == 0) return;
  size_t i = node->pos - 1;
  struct mg_heap_node *last = h->v[--h->n];
  node->pos = 0;
  if (last != node) settle(h, i, last);
}
