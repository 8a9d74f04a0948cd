/* json/scan: one pass over a message along a tree of shapes. It validates everything (by lex), notes
 * where the named members stand and refuses a named one that occurs twice. It must never allocate,
 * copy, or look at a value nobody named. Recursion follows shapes only and ends at MG_JSON_DEPTH. */
#include "json/lex.h"

#include <string.h>

#include "mcpgw/types.h"

struct scan {
  struct mg_lex x;
  struct mg_slice doc;
  struct mg_span *spans;
  size_t n_slots;
  int bad_shape; /* the caller's fault, not the document's */
};

static struct mg_span make_span(const struct scan *s, const char *key, const char *from, const char *to,
                                int escaped) {
  struct mg_span out;
  out.off = (size_t)(from - s->x.base);
  out.len = (size_t)(to - from);
  out.key_off = (size_t)(key - s->x.base);
  out.type = (uint8_t)mg_lex_type(*from);
  out.escaped = (uint8_t)(out.type == MG_JSON_STRING && escaped);
  return out;
}

/* Whether the key at [from, to), quotes included, is f's. */
static int key_is(const struct scan *s, const struct mg_field *f, const char *from, const char *to,
                  int escaped) {
  size_t len = (size_t)(to - from) - 2;
  if (!escaped) return len == f->key_len && memcmp(from + 1, f->key, len) == 0;
  return mg_span_streq(s->doc, make_span(s, from, from, to, 1), mg_slice(f->key, f->key_len));
}

/* The index of the field that the key names; n: none. */
static size_t find_field(const struct scan *s, const struct mg_shape *shape, const char *from, const char *to,
                         int escaped) {
  size_t i = 0;
  while (i < shape->n && !key_is(s, &shape->fields[i], from, to, escaped)) i++;
  return i;
}

static const char *scan_object(struct scan *s, const char *p, const struct mg_shape *shape, unsigned depth);

/* The value at p, of the field f (NULL: of nobody's). */
static const char *scan_member(struct scan *s, const char *p, const struct mg_field *f, const char *key,
                               unsigned depth) {
  const char *from = p;
  s->x.escaped = 0;
  if (f && f->inner && *p == '{') p = scan_object(s, p, f->inner, depth);
  else p = mg_lex_value(&s->x, p, depth);
  if (p && f && f->slot >= 0 && (size_t)f->slot < s->n_slots)
    s->spans[f->slot] = make_span(s, key, from, p, s->x.escaped);
  return p;
}

/* One `"key": value`; seen has a bit a field. */
static const char *scan_pair(struct scan *s, const char *p, const struct mg_shape *shape, uint64_t *seen,
                             unsigned depth) {
  const char *from = p;
  s->x.escaped = 0;
  p = mg_lex_string(&s->x, p);
  if (!p) return NULL;
  size_t i = find_field(s, shape, from, p, s->x.escaped);
  if (i < shape->n) {
    if (*seen >> i & 1) return mg_lex_fail(&s->x, from, MG_SCAN_DUPLICATE);
    *seen |= UINT64_C(1) << i;
  }
  p = mg_lex_colon(&s->x, p);
  return p ? scan_member(s, p, i < shape->n ? &shape->fields[i] : NULL, from, depth) : NULL;
}

/* The object at p, inside `depth` others, along a shape. */
static const char *scan_object(struct scan *s, const char *p, const struct mg_shape *shape, unsigned depth) {
  uint64_t seen = 0;
  if (shape->n > MG_SHAPE_FIELDS) {
    s->bad_shape = 1;
    return NULL;
  }
  if (depth >= MG_JSON_DEPTH) return mg_lex_fail(&s->x, p, MG_SCAN_DEPTH);
  p = mg_lex_blank(&s->x, p + 1);
  if (p && *p == '}') return p + 1;
  while (p) {
    p = scan_pair(s, p, shape, &seen, depth + 1);
    if (p) p = mg_lex_blank(&s->x, p);
    if (!p) break;
    if (*p == '}') return p + 1;
    p = *p == ',' ? mg_lex_blank(&s->x, p + 1) : mg_lex_fail(&s->x, p, MG_SCAN_SYNTAX);
  }
  return NULL;
}

static const char *scan_root(struct scan *s, const struct mg_shape *shape, struct mg_span *root) {
  const char *from = mg_lex_blank(&s->x, s->x.base);
  if (!from) return NULL;
  if (*from != '{' && *from != '[') return mg_lex_fail(&s->x, from, MG_SCAN_SYNTAX);
  const char *p = shape && *from == '{' ? scan_object(s, from, shape, 0) : mg_lex_value(&s->x, from, 0);
  if (!p) return NULL;
  const char *rest = mg_lex_blank(&s->x, p);
  if (rest) return mg_lex_fail(&s->x, rest, MG_SCAN_SYNTAX);
  if (root) *root = make_span(s, s->x.base, from, p, 0);
  return p;
}

static void clear(struct mg_span *spans, size_t n_slots, struct mg_span *root) {
  if (n_slots) memset(spans, 0, n_slots * sizeof *spans);
  if (root) memset(root, 0, sizeof *root);
}

int mg_json_scan(struct mg_slice doc, const struct mg_shape *shape, struct mg_span *spans, size_t n_slots,
                 struct mg_span *root, struct mg_scan_result *why) {
  struct scan s = {.doc = doc, .spans = spans, .n_slots = n_slots};
  int rc = MCPGW_OK;
  clear(spans, n_slots, root);
  mg_lex_init(&s.x, doc);
  if (!scan_root(&s, shape, root)) {
    rc = s.bad_shape ? MCPGW_E_INVALID : MCPGW_E_PARSE;
    clear(spans, n_slots, root); /* half a scan is no ground to act on */
  }
  if (why) {
    why->error = rc == MCPGW_E_PARSE ? s.x.error : MG_SCAN_OK;
    why->at = rc == MCPGW_E_PARSE ? (size_t)(s.x.at - s.x.base) : 0;
  }
  return rc;
}

const char *mg_scan_strerror(int error) {
  switch (error) {
  case MG_SCAN_OK:
    return "ok";
  case MG_SCAN_SYNTAX:
    return "not valid JSON";
  case MG_SCAN_UTF8:
    return "not valid UTF-8";
  case MG_SCAN_DEPTH:
    return "nested too deeply";
  case MG_SCAN_DUPLICATE:
    return "a member occurs twice";
  case MG_SCAN_TRUNCATED:
    return "the text ends too early";
  default:
    return "unknown error";
  }
}
