/* json/splice: the list of edits to one message and its application. It owns the rule that an object is
 * still an object afterwards, whatever members go and come. It must never change a byte outside an edit,
 * never look inside a value, and never keep a replacement after it was applied. */
#include "json/splice.h"

#include <string.h>

#include "mcpgw/types.h"

enum { REPLACE = 0, REMOVE, INSERT };

void mg_splice_init(struct mg_splice *s) {
  s->n = 0;
  s->rc = MCPGW_OK;
}

static void fail(struct mg_splice *s, int rc) {
  if (s->rc == MCPGW_OK) s->rc = rc;
}

/* Whether a must stand before b, which is being added: later ones go behind their equals, but what cuts
 * nothing goes before what cuts at the same place. */
static int before(const struct mg_edit *a, const struct mg_edit *b) {
  return a->off < b->off || (a->off == b->off && (a->cut == 0 || b->cut > 0));
}

static int overlap(const struct mg_edit *a, const struct mg_edit *b) /* a stands before b */
{
  return a->off + a->cut > b->off;
}

static void place(struct mg_splice *s, struct mg_edit e) {
  size_t i = s->n;
  if (s->rc != MCPGW_OK) return;
  while (i > 0 && !before(&s->edits[i - 1], &e)) i--;
  if (e.off + e.cut < e.off || (i > 0 && overlap(&s->edits[i - 1], &e)) ||
      (i < s->n && overlap(&e, &s->edits[i]))) {
    fail(s, MCPGW_E_INTERNAL);
    return;
  }
  if (s->n == MG_SPLICE_MAX) {
    fail(s, MCPGW_E_LIMIT);
    return;
  }
  memmove(&s->edits[i + 1], &s->edits[i], (s->n - i) * sizeof e);
  s->edits[i] = e;
  s->n++;
}

static void drop(struct mg_splice *s, size_t i) {
  s->n--;
  memmove(&s->edits[i], &s->edits[i + 1], (s->n - i) * sizeof s->edits[0]);
}

void mg_splice_replace(struct mg_splice *s, size_t off, size_t cut, struct mg_slice put) {
  place(s, (struct mg_edit){.off = off, .cut = cut, .put = put, .kind = REPLACE});
}

void mg_splice_value(struct mg_splice *s, struct mg_span value, struct mg_slice put) {
  if (value.type == MG_JSON_NONE) fail(s, MCPGW_E_INTERNAL);
  else mg_splice_replace(s, value.off, value.len, put);
}

/* ---- members and commas -------------------------------------------------------------------------------- */

static int is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The first byte from i on that is no white space; doc.len: none. */
static size_t forward(struct mg_slice doc, size_t i) {
  while (i < doc.len && is_blank(doc.ptr[i])) i++;
  return i;
}

/* One past the last byte before i that is no white space; 0: none. Between a member and what stands
 * before it there is only white space and one comma or brace, so this never runs into a string. */
static size_t backward(struct mg_slice doc, size_t i) {
  while (i > 0 && is_blank(doc.ptr[i - 1])) i--;
  return i;
}

static int is_at(struct mg_slice doc, size_t i, char c) {
  return i < doc.len && doc.ptr[i] == c;
}

/* Takes in the removals that touch the run [*off, *end): the edits to its left and right disappear into
 * it. Runs are always as long as they can be, so one of each is all there can be. */
static void join(struct mg_splice *s, struct mg_slice doc, size_t *off, size_t *end) {
  size_t left = backward(doc, *off), right = forward(doc, *end);
  size_t left_end = left && doc.ptr[left - 1] == ',' ? backward(doc, left - 1) : SIZE_MAX;
  size_t right_off = is_at(doc, right, ',') ? forward(doc, right + 1) : SIZE_MAX;
  for (size_t i = s->n; i-- > 0;) {
    struct mg_edit e = s->edits[i];
    if (e.kind != REMOVE || (e.run_end != left_end && e.run_off != right_off)) continue;
    if (e.run_end == left_end) *off = e.run_off;
    else *end = e.run_end;
    drop(s, i);
  }
}

/* The last insert at `at`; NULL: none. */
static struct mg_edit *last_insert(struct mg_splice *s, size_t at) {
  for (size_t i = s->n; i-- > 0;)
    if (s->edits[i].kind == INSERT && s->edits[i].off == at) return &s->edits[i];
  return NULL;
}

static int is_member(struct mg_slice doc, struct mg_span v) /* items have no key */
{
  return v.type != MG_JSON_NONE && v.key_off < v.off && v.off < doc.len && v.len <= doc.len - v.off &&
         doc.ptr[v.key_off] == '"';
}

/* A run goes with the comma behind it; at the object's end with the one before it; and when it is all
 * the object has, the last of the inserts loses its comma instead. */
void mg_splice_remove(struct mg_splice *s, struct mg_slice doc, struct mg_span value) {
  if (!is_member(doc, value)) fail(s, MCPGW_E_INTERNAL);
  if (s->rc != MCPGW_OK) return;
  struct mg_edit e = {.kind = REMOVE, .run_off = value.key_off, .run_end = value.off + value.len};
  join(s, doc, &e.run_off, &e.run_end);
  size_t prev = backward(doc, e.run_off), next = forward(doc, e.run_end), end = e.run_end;
  e.off = e.run_off;
  if (is_at(doc, next, ',')) {
    end = forward(doc, next + 1);
  } else if (prev && doc.ptr[prev - 1] == ',') {
    e.off = prev - 1;
  } else {
    struct mg_edit *last = last_insert(s, prev);
    if (last) last->comma = 0;
  }
  e.cut = end - e.off;
  place(s, e);
}

/* Whether the object whose first key stands at first keeps a member. */
static int keeps_member(const struct mg_splice *s, struct mg_slice doc, size_t first) {
  if (is_at(doc, first, '}')) return 0;
  for (size_t i = 0; i < s->n; i++) {
    const struct mg_edit *e = &s->edits[i];
    if (e->kind == REMOVE && e->run_off == first) return !is_at(doc, forward(doc, e->run_end), '}');
  }
  return 1;
}

void mg_splice_insert(struct mg_splice *s, struct mg_slice doc, struct mg_span object,
                      struct mg_slice member) {
  if (object.type != MG_JSON_OBJECT || !is_at(doc, object.off, '{')) fail(s, MCPGW_E_INTERNAL);
  if (s->rc != MCPGW_OK) return;
  struct mg_edit e = {.off = object.off + 1, .put = member, .kind = INSERT};
  struct mg_edit *last = last_insert(s, e.off);
  e.comma = (uint8_t)keeps_member(s, doc, forward(doc, e.off));
  if (last) last->comma = 1;
  place(s, e);
}

/* ---- applying --------------------------------------------------------------------------------------------
 */

static int check(const struct mg_splice *s, size_t doc_len) {
  if (s->rc != MCPGW_OK || s->n == 0) return s->rc;
  const struct mg_edit *last = &s->edits[s->n - 1];
  return last->off + last->cut <= doc_len ? MCPGW_OK : MCPGW_E_INTERNAL;
}

static size_t put_len(const struct mg_splice *s) {
  size_t sum = 0;
  for (size_t i = 0; i < s->n; i++) sum += s->edits[i].put.len + s->edits[i].comma;
  return sum;
}

size_t mg_splice_len(const struct mg_splice *s, size_t doc_len) {
  if (check(s, doc_len) != MCPGW_OK) return 0;
  size_t len = doc_len + put_len(s);
  for (size_t i = 0; i < s->n; i++) len -= s->edits[i].cut;
  return len;
}

/* Where the bytes that stay before edit i begin; i == n: those after the last. */
static size_t kept_from(const struct mg_splice *s, size_t i) {
  return i ? s->edits[i - 1].off + s->edits[i - 1].cut : 0;
}

static size_t kept_to(const struct mg_splice *s, size_t i, size_t doc_len) {
  return i < s->n ? s->edits[i].off : doc_len;
}

typedef int (*sink)(void *to, const void *data, size_t len);

static int to_blob(void *to, const void *data, size_t len) {
  return mg_blob_append(to, data, len);
}

static int to_buf(void *to, const void *data, size_t len) {
  return mg_buf_add(to, data, len);
}

static int write_put(const struct mg_edit *e, sink out, void *to) {
  int rc = e->put.len ? out(to, e->put.ptr, e->put.len) : MCPGW_OK;
  return rc == MCPGW_OK && e->comma ? out(to, ",", 1) : rc;
}

static int write_all(const struct mg_splice *s, struct mg_slice doc, sink out, void *to) {
  int rc = MCPGW_OK;
  for (size_t i = 0; rc == MCPGW_OK && i <= s->n; i++) {
    size_t from = kept_from(s, i), upto = kept_to(s, i, doc.len);
    if (upto > from) rc = out(to, doc.ptr + from, upto - from);
    if (rc == MCPGW_OK && i < s->n) rc = write_put(&s->edits[i], out, to);
  }
  return rc;
}

int mg_splice_flatten(const struct mg_splice *s, struct mg_slice doc, struct mg_budget *budget,
                      mg_blob **out) {
  int rc = check(s, doc.len);
  if (rc != MCPGW_OK) return rc;
  size_t len = mg_splice_len(s, doc.len);
  mg_blob *blob = mg_blob_new(budget, len, len);
  if (!blob)
    return budget && budget->limit && len > budget->limit - budget->used ? MCPGW_E_LIMIT : MCPGW_E_NOMEM;
  rc = write_all(s, doc, to_blob, blob);
  if (rc == MCPGW_OK) *out = blob;
  else mg_blob_unref(blob);
  return rc;
}

int mg_splice_append(const struct mg_splice *s, struct mg_slice doc, struct mg_buf *out) {
  size_t before_len = out->len;
  int rc = check(s, doc.len);
  if (rc == MCPGW_OK) rc = mg_buf_reserve(out, mg_splice_len(s, doc.len));
  if (rc == MCPGW_OK) rc = write_all(s, doc, to_buf, out);
  if (rc != MCPGW_OK) out->len = before_len;
  return rc;
}

/* All replacement bytes one after the other; *out stays NULL when there are none. */
static int gather_puts(const struct mg_splice *s, mg_blob **out) {
  size_t len = put_len(s);
  if (!len) return MCPGW_OK;
  mg_blob *blob = mg_blob_new(NULL, len, len);
  int rc = blob ? MCPGW_OK : MCPGW_E_NOMEM;
  for (size_t i = 0; rc == MCPGW_OK && i < s->n; i++) rc = write_put(&s->edits[i], to_blob, blob);
  if (rc == MCPGW_OK) *out = blob;
  else mg_blob_unref(blob);
  return rc;
}

struct layout {
  struct mg_seg *segs;
  size_t n, room;
};

/* Appends a piece, to the last one where it continues that. MCPGW_E_LIMIT: no room. */
static int lay(struct layout *l, mg_blob *blob, size_t from, size_t len) {
  if (!len) return MCPGW_OK;
  const char *ptr = mg_blob_slice(blob).ptr + from;
  struct mg_seg *last = l->n ? &l->segs[l->n - 1] : NULL;
  if (last && last->blob == blob && last->ptr + last->len == ptr) {
    last->len += len;
    return MCPGW_OK;
  }
  if (l->n == l->room) return MCPGW_E_LIMIT;
  l->segs[l->n++] = (struct mg_seg){.blob = mg_blob_ref(blob), .ptr = ptr, .len = len};
  return MCPGW_OK;
}

static int lay_all(const struct mg_splice *s, mg_blob *src, mg_blob *puts, struct layout *l) {
  size_t doc_len = mg_blob_len(src), at = 0;
  int rc = MCPGW_OK;
  for (size_t i = 0; rc == MCPGW_OK && i <= s->n; i++) {
    rc = lay(l, src, kept_from(s, i), kept_to(s, i, doc_len) - kept_from(s, i));
    if (rc == MCPGW_OK && i < s->n) {
      size_t len = s->edits[i].put.len + s->edits[i].comma;
      rc = lay(l, puts, at, len);
      at += len;
    }
  }
  return rc;
}

int mg_splice_segs(const struct mg_splice *s, mg_blob *src, struct mg_seg *segs, size_t *n) {
  struct layout l = {.segs = segs, .room = *n};
  mg_blob *puts = NULL;
  int rc = check(s, mg_blob_len(src));
  if (rc == MCPGW_OK) rc = gather_puts(s, &puts);
  if (rc == MCPGW_OK) rc = lay_all(s, src, puts, &l);
  mg_blob_unref(puts); /* the segments hold their own references */
  if (rc == MCPGW_OK) *n = l.n;
  else
    while (l.n > 0) mg_blob_unref(segs[--l.n].blob);
  return rc;
}
