/* json/scan: one pass over a message that validates all of it (RFC 8259, UTF-8, depth and size
 * ceilings) and reports where the few members that a caller named are. It allocates nothing and copies
 * nothing; everything it was not asked about is skipped unread. */
#ifndef MG_JSON_SCAN_H
#define MG_JSON_SCAN_H
#include "base/buf.h"

#define MG_JSON_DEPTH 128 /* deepest nesting accepted (arrays and objects together) */

enum mg_json_type { /* of a span */
  MG_JSON_NONE = 0, MG_JSON_OBJECT, MG_JSON_ARRAY, MG_JSON_STRING, MG_JSON_NUMBER, MG_JSON_TRUE,
  MG_JSON_FALSE, MG_JSON_NULL
};

/* Where a value stands in the document: bytes [off, off+len), strings with their quotes.
 * key_off: where its key's opening quote stands (0 for array items and the root);
 * type NONE: not there. */
struct mg_span {
  size_t off, len, key_off;
  uint8_t type;
  uint8_t escaped; /* a string with at least one backslash */
};

/* What to look for: a static tree. A shape describes an object; each field names a member, the slot its
 * span goes to (-1: none) and, when the member is an object, the shape to look for inside it. */
struct mg_shape;
struct mg_field {
  const char *key;
  uint8_t key_len;
  int8_t slot;                  /* index into the caller's span array; must be < MG_SCAN_SLOTS */
  const struct mg_shape *inner; /* NULL: do not look inside */
};
struct mg_shape {
  const struct mg_field *fields;
  size_t n;
};
#define MG_SCAN_SLOTS 64
#define MG_SHAPE_FIELDS 64 /* of one shape; more is MCPGW_E_INVALID */

enum mg_scan_error {
  MG_SCAN_OK = 0, MG_SCAN_SYNTAX, MG_SCAN_UTF8, MG_SCAN_DEPTH, MG_SCAN_DUPLICATE, MG_SCAN_TRUNCATED
};
struct mg_scan_result {
  int error;  /* mg_scan_error */
  size_t at;  /* byte offset of the fault */
};

/* The root must be an object or an array (root->type tells which; of an array, and with shape NULL, nothing
 * is looked for); white space around it is fine, anything else after it is not.
 * Named keys match after unescaping ("na\u006de" is name); a named key that occurs twice in one object is
 * MG_SCAN_DUPLICATE (unnamed ones may repeat: they are payload). Lone surrogates in escapes: accepted in
 * payload, never matching a key. spans[slot] is filled for what was found, zeroed otherwise (all of them on
 * failure); root gets the whole value. root and why are NULL-able. A slot at or beyond n_slots is not
 * reported. Returns MCPGW_OK or MCPGW_E_PARSE. */
int mg_json_scan(struct mg_slice doc, const struct mg_shape *shape, struct mg_span *spans, size_t n_slots,
                 struct mg_span *root, struct mg_scan_result *why);
const char *mg_scan_strerror(int error);

/* Walks the members of an object or the items of an array in a document that has been scanned. pos
 * starts at 0. Returns 1 and the next span(s), or 0 at the end. key is NULL-able; its span includes the
 * quotes. key_off of value is set for members. Offsets are relative to doc. */
int mg_json_member(struct mg_slice doc, struct mg_span object, size_t *pos, struct mg_span *key,
                   struct mg_span *value);
int mg_json_item(struct mg_slice doc, struct mg_span array, size_t *pos, struct mg_span *item);
/* The first member called key (compared after unescaping); 1 or 0. */
int mg_json_get(struct mg_slice doc, struct mg_span object, const char *key, struct mg_span *value);
/* The span of the single value that doc is (which has been scanned before). */
struct mg_span mg_json_whole(struct mg_slice doc);

struct mg_slice mg_span_slice(struct mg_slice doc, struct mg_span s); /* raw, with quotes; empty: NONE */
struct mg_slice mg_span_inner(struct mg_slice doc, struct mg_span s); /* a string, raw, no quotes */
/* Compares a string span with text after unescaping. 1 or 0. */
int mg_span_streq(struct mg_slice doc, struct mg_span s, struct mg_slice text);
/* Appends the unescaped UTF-8 of a string span. MCPGW_E_PARSE on a lone surrogate or when it
 * is no string (out stays as it was), else mg_buf_rc. */
int mg_span_unescape(struct mg_slice doc, struct mg_span s, struct mg_buf *out);
/* The text of a string span: a view into doc when there is no escape, else unescaped into scratch
 * (appended; the view stays valid until scratch changes). */
int mg_span_text(struct mg_slice doc, struct mg_span s, struct mg_buf *scratch, struct mg_slice *out);
/* Two valid texts: the same bytes but for white space between tokens? 1 or 0. */
int mg_json_same(struct mg_slice a, struct mg_slice b);
/* An integer without fraction or exponent; MCPGW_E_LIMIT outside int64, MCPGW_E_PARSE when none. */
int mg_span_i64(struct mg_slice doc, struct mg_span s, int64_t *out);
#endif
