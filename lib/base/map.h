/* base/map: byte-string keys to pointers, with a ceiling. Keys are COPIED. Open addressing or chained,
 * seeded hash (an attacker chooses keys). Deleting while iterating the current entry is allowed. */
#ifndef MG_BASE_MAP_H
#define MG_BASE_MAP_H
#include "base/slice.h"

struct mg_map; /* opaque */
struct mg_map *mg_map_new(size_t max); /* NULL: no memory */
void mg_map_free(struct mg_map *m);    /* values are the caller's */
int mg_map_put(struct mg_map *m, struct mg_slice key, void *value); /* EXISTS, LIMIT, NOMEM; value not NULL */
void *mg_map_get(const struct mg_map *m, struct mg_slice key);      /* NULL: none */
void *mg_map_del(struct mg_map *m, struct mg_slice key);            /* the old value or NULL */
void *mg_map_set(struct mg_map *m, struct mg_slice key, void *value); /* of a key that is there: the old value; or NULL */
void mg_map_set_max(struct mg_map *m, size_t max); /* those that are in it stay */
size_t mg_map_count(const struct mg_map *m);
/* Newest first; what is put meanwhile is not met. *key is BORROWED until the map changes.
 * size_t it = 0; while ((v = mg_map_next(m, &it, &key))) …  key may be NULL */
void *mg_map_next(const struct mg_map *m, size_t *it, struct mg_slice *key);
/* The same with integer keys, which must be ours: nobody else may choose them. A map holds either kind, not both. */
int mg_map_putu(struct mg_map *m, uint64_t key, void *value);
void *mg_map_getu(const struct mg_map *m, uint64_t key);
void *mg_map_delu(struct mg_map *m, uint64_t key);
#endif
