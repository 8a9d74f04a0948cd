/* fuzz_splice: edits any document in any way and reads the result back member by member. Input: a JSON
 * text, a NUL, then one byte a member in the order of a walk: what becomes of it (low two bits: stay,
 * go, change, get an insert if it is an object) and when its edit is made (the rest). What stayed must
 * be the same bytes; only too many edits may fail. A fault is a trap. Build like fuzz_scan. */
#include <string.h>

#include "mcpgw/types.h"
#include "json/splice.h"

enum { STAY = 0, GO, CHANGE, INSERT };
#define MOST 512 /* members planned for; the others stay */

struct step {
  struct mg_span at;
  uint8_t what, when;
};
struct plan {
  struct mg_slice doc;
  const uint8_t *program;
  size_t n_program;
  struct step steps[MOST];
  size_t n;
};
static const struct mg_slice changed = MG_LIT("[1.0]"), inserted = MG_LIT("\"new\":{}");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int ok) {
  if (!ok) __builtin_trap();
}

/* A step for each member, children of what stays included; the verifier walks in the same order. */
static int next_step(struct plan *p, struct mg_span v) {
  if (p->n == MOST) return STAY;
  uint8_t b = p->n < p->n_program ? p->program[p->n] : 0;
  uint8_t what = b & 3;
  if (what == INSERT && v.type != MG_JSON_OBJECT) what = STAY;
  p->steps[p->n++] = (struct step){v, what, (uint8_t)(b >> 2)};
  return what;
}

static void plan_object(struct plan *p, struct mg_span object) {
  struct mg_span v;
  size_t pos = 0;
  while (mg_json_member(p->doc, object, &pos, NULL, &v)) {
    int what = next_step(p, v);
    if ((what == STAY || what == INSERT) && v.type == MG_JSON_OBJECT) plan_object(p, v);
  }
}

static void do_step(struct mg_splice *s, const struct plan *p, const struct step *step) {
  if (step->what == GO) mg_splice_remove(s, p->doc, step->at);
  if (step->what == CHANGE) mg_splice_value(s, step->at, changed);
  if (step->what == INSERT) mg_splice_insert(s, p->doc, step->at, inserted);
}

static void verify_object(struct plan *p, struct mg_span object, struct mg_slice got, struct mg_span result,
                          int insert);

/* What is left of one member. */
static void verify_member(struct plan *p, struct mg_span v, int what, struct mg_slice got,
                          struct mg_span found) {
  must(found.key_off < found.off);
  must(mg_slice_eq(mg_slice_sub(p->doc, v.key_off, v.off - v.key_off),
                   mg_slice_sub(got, found.key_off, found.off - found.key_off)));
  if (what == CHANGE) must(mg_slice_eq(mg_span_slice(got, found), changed));
  else if (v.type == MG_JSON_OBJECT) verify_object(p, v, got, found, what == INSERT);
  else must(mg_slice_eq(mg_span_slice(got, found), mg_span_slice(p->doc, v)));
}

static void verify_object(struct plan *p, struct mg_span object, struct mg_slice got, struct mg_span result,
                          int insert) {
  struct mg_span v, found;
  size_t pos = 0, at = 0;
  if (insert) {
    must(mg_json_member(got, result, &at, NULL, &found));
    must(mg_slice_eq(mg_slice_sub(got, found.key_off, at - found.key_off), inserted));
  }
  while (mg_json_member(p->doc, object, &pos, NULL, &v)) {
    int what = next_step(p, v);
    if (what == GO) continue;
    must(mg_json_member(got, result, &at, NULL, &found));
    verify_member(p, v, what, got, found);
  }
  must(!mg_json_member(got, result, &at, NULL, &found));
}

static void verify_segs(const struct mg_splice *s, struct mg_slice doc, struct mg_slice got) {
  struct mg_seg segs[2 * MG_SPLICE_MAX + 1];
  size_t n = 2 * s->n + 1, at = 0;
  mg_blob *src = mg_blob_copy(NULL, doc.ptr, doc.len);
  must(src && mg_splice_segs(s, src, segs, &n) == MCPGW_OK);
  mg_blob_unref(src);
  for (size_t i = 0; i < n; i++) {
    must(mg_slice_eq(mg_slice_sub(got, at, segs[i].len), mg_slice(segs[i].ptr, segs[i].len)));
    at += segs[i].len;
    mg_blob_unref(segs[i].blob);
  }
  must(at == got.len);
}

static void run(struct plan *p, struct mg_span root, int insert) {
  struct mg_splice s;
  struct mg_buf out;
  struct mg_span result;
  mg_splice_init(&s);
  mg_buf_init(&out, p->doc.len + (size_t)MG_SPLICE_MAX * 16);
  plan_object(p, root);
  for (unsigned when = 0; when < 64; when++)
    for (size_t i = 0; i < p->n; i++)
      if (p->steps[i].when == when) do_step(&s, p, &p->steps[i]);
  if (insert) mg_splice_insert(&s, p->doc, root, inserted);
  int rc = mg_splice_append(&s, p->doc, &out);
  must(rc == MCPGW_OK || (rc == MCPGW_E_LIMIT && s.n == MG_SPLICE_MAX));
  if (rc == MCPGW_OK) {
    struct mg_slice got = mg_buf_slice(&out);
    must(mg_splice_len(&s, p->doc.len) == got.len);
    must(mg_json_scan(got, NULL, NULL, 0, &result, NULL) == MCPGW_OK);
    verify_segs(&s, p->doc, got);
    p->n = 0;
    verify_object(p, root, got, result, insert);
  }
  mg_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static struct plan p;
  const uint8_t *nul = len ? memchr(data, 0, len) : NULL;
  struct mg_span root;
  if (!nul) return 0;
  p.doc = mg_slice(data, (size_t)(nul - data));
  p.program = nul + 1;
  p.n_program = len - p.doc.len - 1;
  p.n = 0;
  if (mg_json_scan(p.doc, NULL, NULL, 0, &root, NULL) == MCPGW_OK && root.type == MG_JSON_OBJECT)
    run(&p, root, p.n_program & 1);
  return 0;
}
