/* json/member: what can be asked of a scanned message: walking an object or array, and reading one
 * string or integer. It never trusts a span further than the document's end, never caches a position,
 * and allocates only into the buffer it is given. */
#include <string.h>

#include "mcpgw/types.h"
#include "json/lex.h"

struct mg_slice mg_span_slice(struct mg_slice doc, struct mg_span s) {
  if (s.type == MG_JSON_NONE || s.off > doc.len || s.len > doc.len - s.off) return mg_slice("", 0);
  return mg_slice(doc.ptr + s.off, s.len);
}

struct mg_slice mg_span_inner(struct mg_slice doc, struct mg_span s) {
  struct mg_slice raw = mg_span_slice(doc, s);
  if (s.type != MG_JSON_STRING || raw.len < 2) return mg_slice("", 0);
  return mg_slice(raw.ptr + 1, raw.len - 2);
}

static struct mg_span span_of(const char *base, const char *key, const char *from, const char *to,
                              int escaped) {
  struct mg_span out;
  out.off = (size_t)(from - base);
  out.len = (size_t)(to - from);
  out.key_off = (size_t)(key - base);
  out.type = (uint8_t)mg_lex_type(*from);
  out.escaped = (uint8_t)(out.type == MG_JSON_STRING && escaped);
  return out;
}

/* To the next key or item of a container, or NULL at its end. pos: where the last one ended. */
static const char *advance(struct mg_lex *x, struct mg_slice body, size_t offset, size_t pos) {
  mg_lex_init(x, body);
  if (pos == 0) pos = offset + 1;
  if (pos <= offset || pos - offset > body.len) return NULL;
  const char *from = body.ptr + (pos - offset), *p = mg_lex_blank(x, from);
  if (!p || *p == '}' || *p == ']') return NULL;
  return *p == ',' ? mg_lex_blank(x, p + 1) : p;
}

/* Reads the value at p and moves pos beyond it. key NULL: an item. */
static int take(struct mg_lex *x, struct mg_slice doc, const char *key, const char *p, size_t *pos,
                struct mg_span *value) {
  const char *from = p;
  x->escaped = 0;
  p = mg_lex_value(x, from, 0);
  if (!p) return 0;
  *value = span_of(doc.ptr, key ? key : doc.ptr, from, p, x->escaped);
  *pos = (size_t)(p - doc.ptr);
  return 1;
}

int mg_json_member(struct mg_slice doc, struct mg_span object, size_t *pos, struct mg_span *key,
                   struct mg_span *value) {
  struct mg_lex x;
  if (object.type != MG_JSON_OBJECT) return 0;
  const char *at = advance(&x, mg_span_slice(doc, object), object.off, *pos), *p = NULL;
  if (!at) return 0;
  p = mg_lex_string(&x, at);
  if (!p) return 0;
  struct mg_span name = span_of(doc.ptr, at, at, p, x.escaped);
  p = mg_lex_colon(&x, p);
  if (!p || !take(&x, doc, at, p, pos, value)) return 0;
  if (key) *key = name;
  return 1;
}

int mg_json_item(struct mg_slice doc, struct mg_span array, size_t *pos, struct mg_span *item) {
  struct mg_lex x;
  if (array.type != MG_JSON_ARRAY) return 0;
  const char *p = advance(&x, mg_span_slice(doc, array), array.off, *pos);
  return p && take(&x, doc, NULL, p, pos, item);
}

int mg_json_get(struct mg_slice doc, struct mg_span object, const char *key, struct mg_span *value) {
  struct mg_span name, found;
  struct mg_slice text = mg_slice_z(key);
  size_t pos = 0;
  while (mg_json_member(doc, object, &pos, &name, &found))
    if (mg_span_streq(doc, name, text)) {
      *value = found;
      return 1;
    }
  return 0;
}

static int is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

struct mg_span mg_json_whole(struct mg_slice doc) {
  struct mg_span out = {0};
  size_t from = 0, to = doc.len;
  while (from < to && is_blank(doc.ptr[from])) from++;
  while (to > from && is_blank(doc.ptr[to - 1])) to--;
  if (from == to) return out;
  const char *p = doc.ptr + from;
  return span_of(doc.ptr, doc.ptr, p, doc.ptr + to, *p == '"' && memchr(p, '\\', to - from) != NULL);
}

/* ---- the text of a string ------------------------------------------------------------------------------ */

static unsigned hex_digit(char c) /* 16: none */
{
  if (c >= '0' && c <= '9') return (unsigned)(c - '0');
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* Four hex digits, which a scanned string has where it says \u; 0xFFFFFFFF when it has not. */
static uint32_t hex4(const char *p, const char *end) {
  uint32_t out = 0;
  if (end - p < 4) return UINT32_MAX;
  for (int i = 0; i < 4; i++) {
    unsigned d = hex_digit(p[i]);
    if (d > 15) return UINT32_MAX;
    out = out << 4 | d;
  }
  return out;
}

static size_t utf8_encode(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)((0xF00 >> n & 0xFF) | c);
  return n;
}

/* \uXXXX at p (on the backslash), a pair of surrogates as one. 0: a lone surrogate. */
static size_t decode_u(const char **p, const char *end, char out[4]) {
  uint32_t c = hex4(*p + 2, end), low = 0;
  if (c == UINT32_MAX || (c >= 0xDC00 && c <= 0xDFFF)) return 0;
  *p += 6;
  if (c < 0xD800 || c > 0xDFFF) return utf8_encode(c, out);
  if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') return 0;
  low = hex4(*p + 2, end);
  if (low < 0xDC00 || low > 0xDFFF) return 0;
  *p += 6;
  return utf8_encode(0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00), out);
}

/* One escape at p (on the backslash) to bytes; moves p beyond it. 0: it stands for no text. */
static size_t decode_escape(const char **p, const char *end, char out[4]) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (end - *p < 2) return 0;
  if ((*p)[1] == 'u') return decode_u(p, end, out);
  const char *hit = memchr(from, (*p)[1], sizeof from - 1);
  if (!hit) return 0;
  out[0] = to[hit - from];
  *p += 2;
  return 1;
}

/* The bytes before the next backslash. */
static size_t run(const char *p, const char *end) {
  const char *hit = memchr(p, '\\', (size_t)(end - p));
  return (size_t)((hit ? hit : end) - p);
}

static int take_prefix(struct mg_slice *text, const char *data, size_t len) {
  if (len > text->len || memcmp(text->ptr, data, len) != 0) return 0;
  text->ptr += len;
  text->len -= len;
  return 1;
}

static int streq_escaped(struct mg_slice raw, struct mg_slice text) {
  const char *p = raw.ptr, *end = raw.ptr + raw.len;
  char piece[4];
  while (p < end) {
    size_t n = run(p, end);
    if (n && !take_prefix(&text, p, n)) return 0;
    p += n;
    if (p == end) break;
    n = decode_escape(&p, end, piece);
    if (!n || !take_prefix(&text, piece, n)) return 0;
  }
  return text.len == 0;
}

int mg_span_streq(struct mg_slice doc, struct mg_span s, struct mg_slice text) {
  if (s.type != MG_JSON_STRING) return 0;
  struct mg_slice raw = mg_span_inner(doc, s);
  return s.escaped ? streq_escaped(raw, text) : mg_slice_eq(raw, text);
}

int mg_span_unescape(struct mg_slice doc, struct mg_span s, struct mg_buf *out) {
  struct mg_slice raw = mg_span_inner(doc, s);
  const char *p = raw.ptr, *end = raw.ptr + raw.len;
  size_t before = out->len;
  char piece[4];
  int rc = s.type == MG_JSON_STRING ? MCPGW_OK : MCPGW_E_PARSE;
  while (rc == MCPGW_OK && p < end) {
    size_t n = run(p, end);
    rc = mg_buf_add(out, p, n);
    p += n;
    if (rc != MCPGW_OK || p == end) break;
    n = decode_escape(&p, end, piece);
    rc = n ? mg_buf_add(out, piece, n) : MCPGW_E_PARSE;
  }
  if (rc != MCPGW_OK) out->len = before;
  return rc;
}

int mg_span_text(struct mg_slice doc, struct mg_span s, struct mg_buf *scratch, struct mg_slice *out) {
  if (s.type == MG_JSON_STRING && !s.escaped) {
    *out = mg_span_inner(doc, s);
    return MCPGW_OK;
  }
  size_t before = scratch->len;
  int rc = mg_span_unescape(doc, s, scratch);
  if (rc == MCPGW_OK)
    *out = scratch->len > before ? mg_slice(scratch->ptr + before, scratch->len - before) : mg_slice("", 0);
  return rc;
}

int mg_span_i64(struct mg_slice doc, struct mg_span s, int64_t *out) {
  struct mg_slice raw = mg_span_slice(doc, s);
  size_t i = raw.len > 0 && raw.ptr[0] == '-';
  const uint64_t max = i ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  uint64_t sum = 0;
  int over = 0;
  if (s.type != MG_JSON_NUMBER || raw.len == i) return MCPGW_E_PARSE;
  for (size_t k = i; k < raw.len; k++) {
    unsigned d = (unsigned char)raw.ptr[k] - (unsigned)'0';
    if (d > 9) return MCPGW_E_PARSE;
    over = over || sum > (max - d) / 10;
    sum = over ? sum : sum * 10 + d;
  }
  if (over) return MCPGW_E_LIMIT;
  *out = i ? (int64_t)(0 - sum) : (int64_t)sum;
  return MCPGW_OK;
}
