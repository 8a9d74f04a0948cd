/* base/mem: the only door to the heap. Every allocation of the library goes through here so that a
 * test can fail the Nth one and a host can bring its own allocator. Never aborts. */
#ifndef MG_BASE_MEM_H
#define MG_BASE_MEM_H
#include <stddef.h>
#include <stdint.h>

/* All return NULL when memory is out (or when the fail-point fires). mg_alloc(0) returns a unique
 * pointer. mg_realloc(NULL, n) allocates. mg_free takes NULL. */
void *mg_alloc(size_t size);
void *mg_calloc(size_t count, size_t size); /* zeroed; overflow of count*size returns NULL */
void *mg_realloc(void *ptr, size_t size);
void mg_free(void *ptr);
char *mg_strdup(const char *text);
char *mg_memdup(const void *data, size_t len); /* NUL-terminated copy */

/* Page mappings (sizes: multiples of the page size), counted and failed like the heap; base/blob's.
 * mg_pages_drop gives the memory behind the pages back and keeps the addresses (they read as zero). */
void *mg_pages_new(size_t size);
void *mg_pages_resize(void *pages, size_t size, size_t new_size); /* may move; NULL: unchanged */
int mg_pages_drop(void *pages, size_t size);                      /* MCPGW_E_IO: still held */
void mg_pages_free(void *pages, size_t size);

/* Replaces the allocator. Only before the first allocation; [any] one thread. NULLs restore libc's. */
void mg_mem_hooks(void *(*alloc)(size_t), void *(*resize)(void *, size_t), void (*release)(void *));

/* Test fail-point: the nth allocation from now (1 = next) returns NULL, and all later ones too when
 * sticky. 0 disarms. mg_mem_failed() tells how often it fired since it was armed. Thread-local. */
void mg_mem_fail_after(uint64_t nth, int sticky);
uint64_t mg_mem_failed(void);

/* Allocations currently alive / ever made in this process (relaxed atomics; for tests and stats). */
int64_t mg_mem_live(void);
uint64_t mg_mem_count(void);

/* A ceiling shared by many owners (bytes). Not thread-safe: one owner thread. */
struct mg_budget {
  size_t used, limit; /* limit 0 = none */
  struct mcpgw_bytes *spare; /* base/blob's: of one size, used again, not charged; `keep` at most */
  unsigned n_spare, keep;    /* keep 0: none; else mg_budget_done must be called once all its blobs are gone */
};
int mg_budget_take(struct mg_budget *b, size_t n); /* MCPGW_OK or MCPGW_E_LIMIT; b may be NULL */
void mg_budget_give(struct mg_budget *b, size_t n);
void mg_budget_done(struct mg_budget *b);
#endif
