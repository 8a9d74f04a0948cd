/* base/heap: a binary min-heap of deadlines. Nodes are embedded in their owners; no allocation per
 * insert beyond the array, which has a ceiling. */
#ifndef MG_BASE_HEAP_H
#define MG_BASE_HEAP_H
#include <stddef.h>
#include <stdint.h>

struct mg_heap_node {
  uint64_t at_ms;
  size_t pos; /* 1-based place in the heap; 0 = not in it */
};
struct mg_heap {
  struct mg_heap_node **v;
  size_t n, cap, max;
};
void mg_heap_init(struct mg_heap *h, size_t max);
void mg_heap_done(struct mg_heap *h);
int mg_heap_set(struct mg_heap *h, struct mg_heap_node *node, uint64_t at_ms); /* inserts or moves */
void mg_heap_del(struct mg_heap *h, struct mg_heap_node *node);                /* fine when not in it */
static inline struct mg_heap_node *mg_heap_top(const struct mg_heap *h) { /* NULL: empty */
  return h->n ? h->v[0] : NULL;
}
#endif
