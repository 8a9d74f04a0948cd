/* json/splice: edits a scanned message by cutting spans and putting bytes in their place. What is not
 * inside an edit leaves exactly as it came. */
#ifndef MG_JSON_SPLICE_H
#define MG_JSON_SPLICE_H
#include "base/blob.h"
#include "json/scan.h"

#define MG_SPLICE_MAX 48

struct mg_edit {
  size_t off, cut;     /* replace [off, off+cut) … */
  struct mg_slice put; /* … by these bytes; BORROWED until the splice is applied */
  /* The rest is splice.c's own: how edits of one object find each other. */
  uint8_t kind;
  uint8_t comma;           /* a comma follows put */
  size_t run_off, run_end; /* a removal: from the first removed key to the end of the last removed value */
};
struct mg_splice {
  /* Kept sorted by off, no two overlap. At one off, edits that cut nothing come first, in order of adding. */
  struct mg_edit edits[MG_SPLICE_MAX];
  size_t n;
  int rc;
};
void mg_splice_init(struct mg_splice *s);
/* Overlapping edits, or too many, make rc MCPGW_E_LIMIT / MCPGW_E_INTERNAL. Sticky; check at apply. */
void mg_splice_replace(struct mg_splice *s, size_t off, size_t cut, struct mg_slice put);
void mg_splice_value(struct mg_splice *s, struct mg_span value, struct mg_slice put);
/* Removes a member with its key and exactly one comma, whatever the white space. Removals of neighbours
 * join into one edit, so any set of members may go, in any order of calls, inserts before or after. */
void mg_splice_remove(struct mg_splice *s, struct mg_slice doc, struct mg_span value);
/* Inserts `"key":value` text as the first member of an object ({} included; the comma is added when another
 * insert or a member that stays follows). Of several, the one inserted first stands first. member must be
 * complete, e.g. "\"ttlMs\":0". Only insert into an object that no other edit replaces or removes. */
void mg_splice_insert(struct mg_splice *s, struct mg_slice doc, struct mg_span object, struct mg_slice member);

/* The new length; 0 when rc is not MCPGW_OK. The functions below then return rc. */
size_t mg_splice_len(const struct mg_splice *s, size_t doc_len);
/* Writes the edited message into one new blob of exactly that length. */
int mg_splice_flatten(const struct mg_splice *s, struct mg_slice doc, struct mg_budget *budget, mg_blob **out);
int mg_splice_append(const struct mg_splice *s, struct mg_slice doc, struct mg_buf *out);
/* Lays the edited message out as segments that point into src (each takes a reference) and into one
 * small blob of replacement bytes (charged to no budget: the edits are bounded). *n in: room; out: used (at
 * most 2 * edits + 1). MCPGW_E_LIMIT when that is too little; on failure no reference is taken. */
int mg_splice_segs(const struct mg_splice *s, mg_blob *src, struct mg_seg *segs, size_t *n);
#endif
