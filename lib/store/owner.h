/* store/owner: which process wrote something, and whether it still lives. A pid alone says nothing: it is used again. */
#ifndef MG_STORE_OWNER_H
#define MG_STORE_OWNER_H
#include <stdint.h>

#define MG_OWNER_LEN 36

struct mg_owner {
  unsigned char boot[16]; /* the machine's boot id */
  uint64_t space;         /* the pid's name space; 0: unknown */
  uint64_t start;         /* ticks after boot at which the process began */
  uint32_t pid;
};
/* This process. MCPGW_E_IO: no /proc. */
int mg_owner_self(struct mg_owner *out);
/* 1: it lives, or nobody can tell from here (another pid name space); 0: it is gone, for certain. */
int mg_owner_alive(const struct mg_owner *o, const struct mg_owner *self);
int mg_owner_same(const struct mg_owner *a, const struct mg_owner *b);
void mg_owner_encode(const struct mg_owner *o, unsigned char out[MG_OWNER_LEN]);
void mg_owner_decode(const unsigned char in[MG_OWNER_LEN], struct mg_owner *out);
#endif
