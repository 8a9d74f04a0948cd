/* base/mem: owns every allocation of the library: the heap, page mappings, the two counters, the test
 * fail-point and byte budgets. Must never abort, never log and never hide a failure: NULL is the answer.
 * The hot path is two relaxed operations; the thread-local fail-point is looked at only while some
 * thread has one armed, because TLS in a shared library costs a call. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mcpgw/types.h"

enum { CACHED = 1024 }; /* up to here glibc's malloc has a cache a thread, which its calloc passes by */

static void *(*hook_alloc)(size_t) = malloc;
static void *(*hook_resize)(void *, size_t) = realloc;
static void (*hook_release)(void *) = free;

static atomic_uint_fast64_t n_made, n_resized, n_released;
static atomic_uint n_armed; /* threads with an armed fail-point */

static _Thread_local struct {
  uint64_t left; /* allocations until it fires; 0 = not armed */
  uint64_t fired;
  int sticky;
} point;

static int point_fires(void) {
  if (point.left == 0) return 0;
  if (point.left > 1) {
    point.left--;
    return 0;
  }
  point.fired++;
  if (!point.sticky) {
    point.left = 0;
    atomic_fetch_sub_explicit(&n_armed, 1, memory_order_relaxed);
  }
  return 1;
}

static inline int must_fail(void) {
  if (atomic_load_explicit(&n_armed, memory_order_relaxed) == 0) return 0;
  return point_fires();
}

static inline void count(atomic_uint_fast64_t *counter) {
  atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *mg_alloc(size_t size) {
  if (must_fail()) return NULL;
  void *p = hook_alloc(size ? size : 1);
  if (p) count(&n_made);
  return p;
}

void *mg_calloc(size_t n, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(n, size, &total)) return NULL;
  if (hook_alloc != malloc || total <= CACHED) {
    void *p = mg_alloc(total);
    return p ? memset(p, 0, total) : NULL;
  }
  if (must_fail()) return NULL;
  void *p = calloc(1, total); /* fresh pages are not zeroed twice */
  if (p) count(&n_made);
  return p;
}

void *mg_realloc(void *ptr, size_t size) {
  if (ptr == NULL) return mg_alloc(size);
  if (must_fail()) return NULL;
  void *p = hook_resize(ptr, size ? size : 1);
  if (p) count(&n_resized);
  return p;
}

void mg_free(void *ptr) {
  if (ptr == NULL) return;
  count(&n_released);
  hook_release(ptr);
}

char *mg_memdup(const void *data, size_t len) {
  if (len == SIZE_MAX) return NULL;
  char *p = mg_alloc(len + 1);
  if (p == NULL) return NULL;
  if (len) memcpy(p, data, len);
  p[len] = '\0';
  return p;
}

char *mg_strdup(const char *text) {
  return mg_memdup(text, strlen(text));
}

/* ---- page mappings: counted and failed like the heap, whatever allocator the host brought ---- */

void *mg_pages_new(size_t size) {
  if (must_fail()) return NULL;
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  count(&n_made);
  return p;
}

void *mg_pages_resize(void *pages, size_t size, size_t new_size) {
  if (must_fail()) return NULL;
  void *p = mremap(pages, size, new_size, MREMAP_MAYMOVE);
  if (p == MAP_FAILED) return NULL;
  count(&n_resized);
  return p;
}

int mg_pages_drop(void *pages, size_t size) {
  return madvise(pages, size, MADV_DONTNEED) == 0 ? MCPGW_OK : MCPGW_E_IO;
}

void mg_pages_free(void *pages, size_t size) {
  if (pages == NULL) return;
  count(&n_released);
  munmap(pages, size);
}

/* ---- hooks, fail-point, counters ---- */

void mg_mem_hooks(void *(*alloc)(size_t), void *(*resize)(void *, size_t), void (*release)(void *)) {
  int whole = alloc && resize && release; /* a mixture would free with the wrong allocator */
  hook_alloc = whole ? alloc : malloc;
  hook_resize = whole ? resize : realloc;
  hook_release = whole ? release : free;
}

void mg_mem_fail_after(uint64_t nth, int sticky) {
  int was = point.left != 0, is = nth != 0;
  if (is && !was) atomic_fetch_add_explicit(&n_armed, 1, memory_order_relaxed);
  if (was && !is) atomic_fetch_sub_explicit(&n_armed, 1, memory_order_relaxed);
  point.left = nth;
  point.sticky = sticky;
  if (is) point.fired = 0; /* disarming keeps the count for mg_mem_failed */
}

uint64_t mg_mem_failed(void) {
  return point.fired;
}

int64_t mg_mem_live(void) {
  /* releases first: one racing in between can then only make the result larger, never negative */
  uint64_t released = atomic_load_explicit(&n_released, memory_order_relaxed);
  return (int64_t)(atomic_load_explicit(&n_made, memory_order_relaxed) - released);
}

uint64_t mg_mem_count(void) {
  return atomic_load_explicit(&n_made, memory_order_relaxed) +
         atomic_load_explicit(&n_resized, memory_order_relaxed);
}

int mg_budget_take(struct mg_budget *b, size_t n) {
  if (b == NULL) return MCPGW_OK;
  if (n > SIZE_MAX - b->used) return MCPGW_E_LIMIT;
  if (b->limit && b->used + n > b->limit) return MCPGW_E_LIMIT;
  b->used += n;
  return MCPGW_OK;
}

void mg_budget_give(struct mg_budget *b, size_t n) {
  if (b == NULL) return;
  b->used = n < b->used ? b->used - n : 0;
}
