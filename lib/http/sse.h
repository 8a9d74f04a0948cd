/* http/sse: Server-Sent Events (WHATWG HTML §9.2), writing and reading. Pure: bytes in, bytes out. */
#ifndef MG_HTTP_SSE_H
#define MG_HTTP_SSE_H
#include "base/blob.h"
#include "base/buf.h"

/* Lays out one event around a message given as segments: optional `id:`, then the data. LF inside the
 * message becomes a new data line (which the reader joins again with LF); CR becomes a blank (it can
 * only be white space in JSON). out gets segments with references of their own; on success (only) those
 * of segs are given back. *n in: room, out: used. Common case (no line break): n_segs + 2.
 * MCPGW_E_LIMIT: no room, segs are untouched -> caller flattens. MCPGW_E_INVALID: id has CR, LF or NUL. */
int mg_sse_event(struct mg_slice id, struct mg_seg *segs, size_t n_segs, struct mg_seg *out, size_t *n);
/* "id: X\nretry: N\ndata: \n\n": the priming event of 2025-11-25. retry_ms 0 leaves retry out. */
int mg_sse_prime(struct mg_buf *out, struct mg_slice id, uint64_t retry_ms);

struct mg_sse_event_view {
  struct mg_slice id;    /* last event id in force; has_id tells whether this event carried one */
  struct mg_slice type;  /* "" = message */
  int has_id, has_retry;
  uint64_t retry_ms;
  mg_blob *data; /* OWNED by the callee; NULL when the event had no data line; length 0 = empty data */
};
struct mg_sse_reader;
/* max_event: bytes of data one event may have. Returning non-OK from cb stops with that code. Events
 * without a data line are reported too when they carried id or retry. */
typedef int (*mg_sse_cb)(void *arg, struct mg_sse_event_view *ev);
int mg_sse_reader_new(struct mg_budget *budget, size_t max_event, mg_sse_cb cb, void *arg, struct mg_sse_reader **out);
void mg_sse_reader_free(struct mg_sse_reader *r);
/* MCPGW_E_LIMIT: an event, id or name is too large; MCPGW_E_NOMEM: the budget or the heap is used up; the reader
 * stays in that state. It may be freed from inside its callback (then this returns MCPGW_E_CLOSED). An event
 * the stream ends in the middle of is dropped with the reader (§9.2.6).
 * LF, CR and CRLF ends, BOM at the start, comments ignored, fields per the standard; data of one long
 * line goes straight into the blob that is handed over (held once). */
int mg_sse_feed(struct mg_sse_reader *r, const void *data, size_t len);
#endif
