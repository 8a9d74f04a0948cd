/* Server-Sent Events, both ways (WHATWG HTML §9.2). The writer lays segments around a message and copies
 * nothing of it; the reader takes pieces as they come and holds one event's data once, in the blob it
 * hands over. It must never look into the data. */
#include "http/sse.h"
#include "mcpgw/types.h"
#include <string.h>

#define MAX_ID 4096  /* bytes of an event id */
#define MAX_TYPE 256 /* of an event's name */
#define MAX_RETRY 20 /* digits */

/* ---- writing
 * ------------------------------------------------------------------------------------------------ */

/* The next CR or LF in s from `from`, or s.len. */
static size_t next_break(const struct mg_seg *s, size_t from, size_t *lf, size_t *cr) {
  if (*lf < from || *lf == SIZE_MAX) {
    const char *p = memchr(s->ptr + from, '\n', s->len - from);
    *lf = p ? (size_t)(p - s->ptr) : s->len;
  }
  if (*cr < from || *cr == SIZE_MAX) {
    const char *p = memchr(s->ptr + from, '\r', s->len - from);
    *cr = p ? (size_t)(p - s->ptr) : s->len;
  }
  return *lf < *cr ? *lf : *cr;
}

struct layout {
  struct mg_seg *out; /* NULL while counting */
  size_t n;
};

static void emit(struct layout *l, mg_blob *blob, const char *ptr, size_t len) {
  if (len == 0) return;
  if (l->out) l->out[l->n] = (struct mg_seg){blob ? mg_blob_ref(blob) : NULL, ptr, len};
  l->n++;
}

static void emit_segment(struct layout *l, const struct mg_seg *s) {
  size_t lf = SIZE_MAX, cr = SIZE_MAX, from = 0;
  while (from < s->len) {
    size_t at = next_break(s, from, &lf, &cr);
    if (at == s->len) {
      emit(l, s->blob, s->ptr + from, at - from);
      return;
    }
    if (s->ptr[at] == '\n') {
      emit(l, s->blob, s->ptr + from, at + 1 - from);
      emit(l, NULL, "data: ", 6);
    } else {
      emit(l, s->blob, s->ptr + from, at - from);
      emit(l, NULL, " ", 1);
    }
    from = at + 1;
  }
}

static void emit_event(struct layout *l, mg_blob *head, const struct mg_seg *segs, size_t n) {
  if (head) emit(l, head, mg_blob_slice(head).ptr, mg_blob_len(head));
  else emit(l, NULL, "data: ", 6);
  for (size_t i = 0; i < n; i++) emit_segment(l, &segs[i]);
  emit(l, NULL, "\n\n", 2);
}

static int bad_id(struct mg_slice id) {
  return id.len > MAX_ID || memchr(id.ptr, '\n', id.len) || memchr(id.ptr, '\r', id.len) ||
         memchr(id.ptr, 0, id.len);
}

static mg_blob *make_head(struct mg_slice id) {
  mg_blob *b = mg_blob_new(NULL, id.len + 11, id.len + 11);
  if (!b) return NULL;
  mg_blob_append(b, "id: ", 4); /* all reserved above */
  mg_blob_append(b, id.ptr, id.len);
  mg_blob_append(b, "\ndata: ", 7);
  return b;
}

int mg_sse_event(struct mg_slice id, struct mg_seg *segs, size_t n_segs, struct mg_seg *out, size_t *n) {
  struct layout count = {NULL, 0}, made = {out, 0};
  mg_blob *head = NULL;
  if (id.len && bad_id(id)) return MCPGW_E_INVALID;
  emit_event(&count, NULL, segs, n_segs);
  if (count.n > *n) return MCPGW_E_LIMIT;
  if (id.len && !(head = make_head(id))) return MCPGW_E_NOMEM;
  emit_event(&made, head, segs, n_segs);
  *n = made.n;
  mg_blob_unref(head);
  for (size_t i = 0; i < n_segs; i++) mg_blob_unref(segs[i].blob);
  return MCPGW_OK;
}

int mg_sse_prime(struct mg_buf *out, struct mg_slice id, uint64_t retry_ms) {
  if (id.len && bad_id(id)) return MCPGW_E_INVALID;
  if (id.len) {
    mg_buf_addz(out, "id: ");
    mg_buf_adds(out, id);
    mg_buf_addz(out, "\n");
  }
  if (retry_ms) {
    mg_buf_addz(out, "retry: ");
    mg_buf_addu(out, retry_ms);
    mg_buf_addz(out, "\n");
  }
  return mg_buf_addz(out, "data: \n\n");
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------- */

enum { AT_BOM, AT_NAME, AT_BLANK, AT_VALUE }; /* where in a line */
enum { F_DATA, F_EVENT, F_ID, F_RETRY, F_OTHER };

struct mg_sse_reader {
  struct mg_budget *budget;
  size_t max_event;
  mg_sse_cb cb;
  void *arg;
  int rc; /* sticky */
  int busy, doomed;
  int at, field, after_cr;
  char name[6]; /* the longest known name is 5 bytes */
  size_t name_len, bom_len;
  char digits[MAX_RETRY + 1];
  size_t n_digits;
  struct mg_buf id, next_id, type; /* id: in force; next_id, type: of the event being read */
  int has_id, has_retry, bad_value;
  uint64_t retry_ms;
  mg_blob *data;
};

int mg_sse_reader_new(struct mg_budget *budget, size_t max_event, mg_sse_cb cb, void *arg,
                      struct mg_sse_reader **out) {
  struct mg_sse_reader *r = mg_calloc(1, sizeof *r);
  if (!r) return MCPGW_E_NOMEM;
  r->budget = budget;
  r->max_event = max_event;
  r->cb = cb;
  r->arg = arg;
  mg_buf_init(&r->id, MAX_ID);
  mg_buf_init(&r->next_id, MAX_ID);
  mg_buf_init(&r->type, MAX_TYPE);
  *out = r;
  return MCPGW_OK;
}

void mg_sse_reader_free(struct mg_sse_reader *r) {
  if (!r) return;
  if (r->busy) { /* from inside its own callback */
    r->doomed = 1;
    return;
  }
  mg_buf_done(&r->id);
  mg_buf_done(&r->next_id);
  mg_buf_done(&r->type);
  mg_blob_unref(r->data);
  mg_free(r);
}

static int field_of(const struct mg_sse_reader *r) {
  static const struct {
    const char *name;
    size_t len;
  } known[] = {
      [F_DATA] = {"data", 4}, [F_EVENT] = {"event", 5}, [F_ID] = {"id", 2}, [F_RETRY] = {"retry", 5}};
  for (int i = 0; i < F_OTHER; i++)
    if (known[i].len == r->name_len && memcmp(known[i].name, r->name, r->name_len) == 0) return i;
  return F_OTHER;
}

/* The event's own ceiling was looked at before: this is the budget's end. */
static int or_nomem(int rc) {
  return rc == MCPGW_E_LIMIT ? MCPGW_E_NOMEM : rc;
}

/* A second data line continues the first behind one LF. */
static int start_data(struct mg_sse_reader *r, size_t hint) {
  if (r->data) {
    if (mg_blob_len(r->data) >= r->max_event) return MCPGW_E_LIMIT;
    return or_nomem(mg_blob_append(r->data, "\n", 1));
  }
  r->data = mg_blob_new(r->budget, hint < r->max_event ? hint : r->max_event, r->max_event);
  return r->data ? MCPGW_OK : MCPGW_E_NOMEM;
}

/* The name of a field is complete; hint: bytes of its value that may follow at once. */
static int start_value(struct mg_sse_reader *r, size_t hint) {
  r->field = field_of(r);
  r->bad_value = 0;
  r->n_digits = 0;
  switch (r->field) {
  case F_DATA: return start_data(r, hint);
  case F_EVENT: mg_buf_reset(&r->type); return MCPGW_OK;
  case F_ID: mg_buf_reset(&r->next_id); return MCPGW_OK;
  default: return MCPGW_OK;
  }
}

static void add_digits(struct mg_sse_reader *r, const char *p, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (p[i] < '0' || p[i] > '9' || r->n_digits >= MAX_RETRY) r->bad_value = 1;
    else r->digits[r->n_digits++] = p[i];
  }
}

static int add_value(struct mg_sse_reader *r, const char *p, size_t len) {
  switch (r->field) {
  case F_DATA:
    if (len > r->max_event - mg_blob_len(r->data)) return MCPGW_E_LIMIT;
    return or_nomem(mg_blob_append(r->data, p, len));
  case F_EVENT: return mg_buf_add(&r->type, p, len);
  case F_ID:
    if (memchr(p, 0, len)) r->bad_value = 1; /* §9.2.6: an id with NUL is ignored */
    return mg_buf_add(&r->next_id, p, len);
  case F_RETRY: add_digits(r, p, len); return MCPGW_OK;
  default: return MCPGW_OK;
  }
}

static int end_value(struct mg_sse_reader *r) {
  uint64_t ms;
  if (r->field == F_ID && !r->bad_value) {
    struct mg_buf old = r->id;
    r->id = r->next_id;
    r->next_id = old;
    r->has_id = 1;
  } else if (r->field == F_RETRY && !r->bad_value &&
             mg_slice_u64(mg_slice(r->digits, r->n_digits), &ms) == MCPGW_OK) {
    r->retry_ms = ms;
    r->has_retry = 1;
  }
  return MCPGW_OK;
}

/* The empty line: hands the event over. */
static int dispatch(struct mg_sse_reader *r) {
  struct mg_sse_event_view ev = {.id = mg_buf_slice(&r->id),
                                 .type = mg_buf_slice(&r->type),
                                 .has_id = r->has_id,
                                 .has_retry = r->has_retry,
                                 .retry_ms = r->has_retry ? r->retry_ms : 0,
                                 .data = r->data};
  int rc = MCPGW_OK, report = r->data || r->has_id || r->has_retry;
  r->data = NULL;
  r->has_id = r->has_retry = 0;
  if (report) rc = r->cb(r->arg, &ev);
  mg_buf_reset(&r->type);
  return rc;
}

static int end_line(struct mg_sse_reader *r) {
  int rc = MCPGW_OK, at = r->at;
  size_t name_len = r->name_len;
  r->at = AT_NAME;
  if (at == AT_NAME && name_len == 0) return dispatch(r);
  if (at == AT_NAME) rc = start_value(r, 0); /* a name alone: an empty value */
  r->name_len = 0;
  return rc == MCPGW_OK ? end_value(r) : rc;
}

/* Names longer than any known one only need to be told apart from them. */
static void add_name(struct mg_sse_reader *r, char c) {
  if (r->name_len < sizeof r->name) r->name[r->name_len++] = c;
}

/* Bytes up to the end of the line (or of what we have) that belong to the value. */
static size_t value_span(const char *p, size_t len) {
  const char *lf = memchr(p, '\n', len);
  size_t n = lf ? (size_t)(lf - p) : len;
  const char *cr = memchr(p, '\r', n);
  return cr ? (size_t)(cr - p) : n;
}

/* Takes one step; *used tells how many bytes it took (at least one, or the state moved on). */
static int step(struct mg_sse_reader *r, const char *p, size_t len, size_t *used) {
  static const char bom[3] = {(char)0xef, (char)0xbb, (char)0xbf};
  char c = *p;
  *used = 1;
  if (r->at == AT_BOM) {
    if (r->bom_len < 3 && c == bom[r->bom_len]) {
      if (++r->bom_len == 3) r->at = AT_NAME;
      return MCPGW_OK;
    }
    r->at = AT_NAME; /* the start of a BOM that was none is the start of a name */
    for (size_t i = 0; i < r->bom_len; i++) add_name(r, bom[i]);
    *used = 0;
    return MCPGW_OK;
  }
  if (c == '\n' && r->after_cr) {
    r->after_cr = 0;
    return MCPGW_OK;
  }
  r->after_cr = c == '\r';
  if (c == '\r' || c == '\n') return end_line(r);
  if (r->at == AT_NAME) {
    if (c != ':') return add_name(r, c), MCPGW_OK;
    r->at = AT_BLANK;
    return start_value(r, value_span(p, len));
  }
  if (r->at == AT_BLANK) {
    r->at = AT_VALUE;
    if (c == ' ') return MCPGW_OK;
  }
  *used = value_span(p, len);
  return add_value(r, p, *used);
}

int mg_sse_feed(struct mg_sse_reader *r, const void *data, size_t len) {
  const char *p = data;
  size_t used;
  if (r->busy) return MCPGW_E_STATE;
  r->busy = 1;
  while (len && r->rc == MCPGW_OK && !r->doomed) {
    r->rc = step(r, p, len, &used);
    p += used;
    len -= used;
  }
  r->busy = 0;
  if (!r->doomed) return r->rc;
  mg_sse_reader_free(r);
  return MCPGW_E_CLOSED;
}
