/* base/blob: one message's bytes. Owns the memory and the charge for it: `charged` is at every moment
 * what the budget was asked for and has not got back. Small blobs are one allocation with their header,
 * long ones a page mapping that shrinks from the front as it drains. Must never move bytes another
 * reference can see. Invariant of a mapping: charged = (dead inline bytes) + cap - released. */
#include "base/blob.h"

#include <string.h>
#include <unistd.h>

#include "mcpgw/types.h"

/* Growth doubles up to here, then goes by it. Short of 1 MiB by what else may be held beyond the length:
 * an outgrown inline part and the last page. */
#define STEP ((size_t)(1024 - 128) * 1024)
#define FIRST_CAP ((size_t)512)
#define INLINE_MAX ((size_t)16 * 1024) /* a reserve up to this lies behind the header */

enum where { INLINE, HEAP, PAGES };

struct mcpgw_bytes {
  struct mg_budget *budget; /* BORROWED */
  char *data;
  size_t len, cap, max;
  size_t charged;
  size_t released; /* whole pages from the front given back; PAGES only */
  size_t refs;
  enum where where;
  int sent;
  char in[];
};

/* Most messages fit in one size, which malloc's cache a thread is too small for: a budget that keeps spare
 * blobs gives them out again. Not where AddressSanitizer wants to see each of them die. */
enum { SPARE_FROM = 768, SPARE_CAP = MG_BLOB_SPARE - (int)sizeof(struct mcpgw_bytes) };
#ifdef __SANITIZE_ADDRESS__
enum { SPARES = 0 };
#else
enum { SPARES = 1 };
#endif

static int is_spare_size(const struct mg_budget *budget, size_t inline_cap) {
  return SPARES && budget && budget->keep && inline_cap > SPARE_FROM && inline_cap <= SPARE_CAP;
}

static mg_blob *room_for(struct mg_budget *budget, size_t inline_cap) {
  mg_blob *b = is_spare_size(budget, inline_cap) ? budget->spare : NULL;
  if (!b) return mg_alloc(sizeof *b + inline_cap);
  budget->spare = (mg_blob *)b->data;
  budget->n_spare--;
  return b;
}

static size_t to_pages(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (n + page - 1) / page * page;
}

static mg_blob *make(struct mg_budget *budget, size_t inline_cap, size_t max) {
  if (is_spare_size(budget, inline_cap)) inline_cap = SPARE_CAP;
  if (mg_budget_take(budget, inline_cap) != MCPGW_OK) return NULL;
  mg_blob *b = room_for(budget, inline_cap);
  if (b == NULL) {
    mg_budget_give(budget, inline_cap);
    return NULL;
  }
  *b = (mg_blob){
      .budget = budget, .cap = inline_cap, .max = max, .charged = inline_cap, .refs = 1, .where = INLINE};
  b->data = b->in;
  return b;
}

mg_blob *mg_blob_new(struct mg_budget *budget, size_t reserve, size_t max) {
  if (reserve > max) reserve = max;
  mg_blob *b = make(budget, reserve <= INLINE_MAX ? reserve : 0, max);
  if (b && mg_blob_reserve(b, reserve) != MCPGW_OK) {
    mg_blob_unref(b);
    return NULL;
  }
  return b;
}

mg_blob *mg_blob_copy(struct mg_budget *budget, const void *data, size_t len) {
  mg_blob *b = len < MG_BLOB_MAP ? make(budget, len, len) : mg_blob_new(budget, len, len);
  if (b && len) memcpy(b->data, data, len);
  if (b) b->len = len;
  return b;
}

/* Moves to cap bytes of the kind that suits cap; the budget is asked already. Unchanged on failure. */
static int resize(mg_blob *b, size_t cap) {
  enum where to = cap >= MG_BLOB_MAP ? PAGES : HEAP;
  char *data;
  if (b->where == PAGES) {
    data = mg_pages_resize(b->data, b->cap, cap);
  } else if (to == HEAP && b->where == HEAP) {
    data = mg_realloc(b->data, cap);
  } else {
    data = to == PAGES ? mg_pages_new(cap) : mg_alloc(cap);
    if (data) memcpy(data, b->data, b->len);
    if (data && b->where == HEAP) mg_free(b->data);
  }
  if (data == NULL) return MCPGW_E_NOMEM;
  b->data = data;
  b->cap = cap;
  b->where = to;
  return MCPGW_OK;
}

/* Inline bytes left behind stay charged: they stay allocated. */
static int grow_to(mg_blob *b, size_t cap) {
  if (cap >= MG_BLOB_MAP) cap = to_pages(cap);
  size_t more = b->where == INLINE ? cap : cap - b->cap;
  int rc = mg_budget_take(b->budget, more);
  if (rc != MCPGW_OK) return rc;
  rc = resize(b, cap);
  if (rc != MCPGW_OK) {
    mg_budget_give(b->budget, more);
    return rc;
  }
  b->charged += more;
  return MCPGW_OK;
}

int mg_blob_reserve(mg_blob *b, size_t extra) {
  if (b->refs > 1) return MCPGW_E_STATE; /* others look at it: it must neither move nor change */
  if (extra <= b->cap - b->len && extra <= b->max - b->len) return MCPGW_OK;
  if (extra > b->max - b->len) return MCPGW_E_LIMIT;
  size_t need = b->len + extra;
  if (need > SIZE_MAX / 2) return MCPGW_E_NOMEM;
  size_t want = b->cap < STEP ? b->cap * 2 : b->cap + STEP;
  if (want < FIRST_CAP) want = FIRST_CAP;
  if (want > b->max) want = b->max;
  if (want < need) want = need;
  int rc = grow_to(b, want);
  if (rc == MCPGW_E_LIMIT && want > need) rc = grow_to(b, need); /* the budget's last bytes */
  return rc;
}

int mg_blob_append(mg_blob *b, const void *data, size_t len) {
  int rc = mg_blob_reserve(b, len);
  if (rc != MCPGW_OK || len == 0) return rc;
  memcpy(b->data + b->len, data, len);
  b->len += len;
  return MCPGW_OK;
}

char *mg_blob_tail(mg_blob *b) {
  return b->data + b->len;
}

void mg_blob_commit(mg_blob *b, size_t len) {
  size_t room = (b->cap < b->max ? b->cap : b->max) - b->len;
  b->len += len < room ? len : room;
}

void mg_blob_set_len(mg_blob *b, size_t len) {
  if (len < b->len) b->len = len;
}

char *mg_blob_data(mg_blob *b) {
  return b->data;
}

struct mg_slice mg_blob_slice(const mg_blob *b) {
  return mg_slice(b->data, b->len);
}

size_t mg_blob_len(const mg_blob *b) {
  return b->len;
}

size_t mg_blob_charged(const mg_blob *b) {
  return b->charged;
}

mg_blob *mg_blob_ref(mg_blob *b) {
  b->refs++;
  return b;
}

void mg_blob_disown(mg_blob *b) {
  mg_budget_give(b->budget, b->charged);
  b->budget = NULL;
  b->charged = 0;
}

void mg_blob_mark_sent(mg_blob *b) {
  if (b) b->sent = 1;
}

int mg_blob_was_sent(const mg_blob *b) {
  return b->sent;
}

size_t mg_blob_refs(const mg_blob *b) {
  return b->refs;
}

void mg_blob_unref(mg_blob *b) {
  if (b == NULL || --b->refs > 0) return;
  if (b->where == PAGES) mg_pages_free(b->data, b->cap);
  if (b->where == HEAP) mg_free(b->data);
  struct mg_budget *budget = b->budget;
  mg_budget_give(budget, b->charged);
  if (b->where == INLINE && is_spare_size(budget, b->cap) && budget->n_spare < budget->keep) {
    b->data = (char *)budget->spare;
    budget->spare = b;
    budget->n_spare++;
  } else {
    mg_free(b);
  }
}

void mg_budget_done(struct mg_budget *budget) {
  for (mg_blob *b; (b = budget->spare); mg_free(b)) budget->spare = (mg_blob *)b->data;
  budget->n_spare = 0;
}

/* The addresses stay mapped (a later resize or free still takes the whole), the memory goes. */
void mg_blob_drained(mg_blob *b, size_t upto) {
  if (b->where != PAGES || b->refs != 1) return;
  if (upto > b->len) upto = b->len;
  size_t page = (size_t)sysconf(_SC_PAGESIZE), end = upto / page * page;
  if (end <= b->released) return;
  size_t n = end - b->released;
  if (mg_pages_drop(b->data + b->released, n) != MCPGW_OK) return;
  b->released = end;
  b->charged -= n;
  mg_budget_give(b->budget, n);
}
