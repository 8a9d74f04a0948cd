/* base/blob: one message's bytes, contiguous, refcounted, charged to a budget. It grows while its one
 * owner fills it and is constant from the first mg_blob_ref on. From MG_BLOB_MAP bytes it lives in its
 * own mapping, so that a long message is given back to the system page by page as it drains.
 * Not thread-safe: one owner thread. `mcpgw_bytes` of <mcpgw/transport.h> is this type. */
#ifndef MG_BASE_BLOB_H
#define MG_BASE_BLOB_H
#include "base/mem.h"
#include "base/slice.h"

#define MG_BLOB_MAP ((size_t)256 * 1024)
enum { MG_BLOB_SPARE = 2048 }; /* a spare blob, its header included; see struct mg_budget */

typedef struct mcpgw_bytes mg_blob;

/* max: the largest length it may grow to (bytes). budget may be NULL; BORROWED, must outlive the blob. */
mg_blob *mg_blob_new(struct mg_budget *budget, size_t reserve, size_t max);
mg_blob *mg_blob_copy(struct mg_budget *budget, const void *data, size_t len);
/* MCPGW_E_LIMIT at max or at the budget's end, MCPGW_E_NOMEM. MCPGW_E_STATE while shared. Growth:
 * doubling, then by just under 1 MiB, so that never more than the size + 1 MiB is held. */
int mg_blob_append(mg_blob *b, const void *data, size_t len);
int mg_blob_reserve(mg_blob *b, size_t extra);
char *mg_blob_tail(mg_blob *b);              /* where the next byte goes; valid after reserve */
void mg_blob_commit(mg_blob *b, size_t len); /* tells how many bytes were put at the tail */
void mg_blob_set_len(mg_blob *b, size_t len); /* shortens; keeps memory */
char *mg_blob_data(mg_blob *b); /* writable for the one owner before sharing */
struct mg_slice mg_blob_slice(const mg_blob *b);
size_t mg_blob_len(const mg_blob *b);
mg_blob *mg_blob_ref(mg_blob *b);
void mg_blob_unref(mg_blob *b); /* NULL is fine */
/* The reader will not look at bytes before `upto` again. Pages wholly before it go back to the system
 * and to the budget when the caller holds the only reference and the blob has its own mapping. */
void mg_blob_drained(mg_blob *b, size_t upto);
/* The bytes leave the budget, which may now go before them. */
void mg_blob_disown(mg_blob *b);
/* Whoever writes bytes out says that they are on their way: some errors are told until one was (core/bind). */
void mg_blob_mark_sent(mg_blob *b); /* NULL is fine */
int mg_blob_was_sent(const mg_blob *b);
size_t mg_blob_refs(const mg_blob *b); /* how many references there are */
size_t mg_blob_charged(const mg_blob *b); /* bytes charged to the budget now */

/* A piece of an outgoing message: bytes inside a blob (which it references) or static bytes (blob NULL). */
struct mg_seg {
  mg_blob *blob;
  const char *ptr;
  size_t len;
};
size_t mg_segs_len(const struct mg_seg *segs, size_t n);
void mg_segs_unref(struct mg_seg *segs, size_t n);
/* One blob with the bytes of all pieces and a NUL behind them. Takes the references over, on failure too.
 * When one blob makes up most of it and nobody else refers to that, its bytes are moved inside it: a long
 * message is never held twice. Else they are copied. *out OWNED. */
int mg_segs_join(struct mg_budget *budget, struct mg_seg *segs, size_t n, mg_blob **out);
#endif
