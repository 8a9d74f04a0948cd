/* fuzz_scan: any bytes into the scanner. It must judge them as jansson does (json/json_agree.h says where
 * the two may differ), with a shape as without, and every span it yields must lie in the text and read
 * back as what it claims to be. A fault is a trap. Build with clang -fsanitize=fuzzer,address, or with
 * replay.c over corpus/scan. */
#include <stdlib.h>

#include "json/json_agree.h"

#define F(k, s, in) \
  { (k), sizeof(k) - 1, (s), (in) }
enum { S_ID, S_METHOD, S_PARAMS, S_NAME, S_META, S_TOKEN, S_N };

static const struct mg_field meta_f[] = {F("progressToken", S_TOKEN, NULL)};
static const struct mg_shape meta = {meta_f, 1};
static const struct mg_field params_f[] = {F("name", S_NAME, NULL), F("_meta", S_META, &meta)};
static const struct mg_shape params = {params_f, 2};
static const struct mg_field root_f[] = {F("id", S_ID, NULL), F("method", S_METHOD, NULL),
                                         F("params", S_PARAMS, &params)};
static const struct mg_shape shape = {root_f, 3};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int ok) {
  if (!ok) __builtin_trap();
}

/* Unescaping and comparing must agree on what the text of a string is. */
static void read_string(struct mg_slice doc, struct mg_span s) {
  struct mg_slice text;
  struct mg_buf b;
  mg_buf_init(&b, doc.len + 1);
  int rc = mg_span_text(doc, s, &b, &text);
  if (rc == MCPGW_OK) must(mg_span_streq(doc, s, text) && (s.escaped || text.len == s.len - 2));
  if (rc == MCPGW_E_PARSE) must(s.escaped && json_has_surrogate(mg_span_slice(doc, s)) && b.len == 0);
  must(rc == MCPGW_OK || rc == MCPGW_E_PARSE);
  mg_buf_done(&b);
}

static void check_value(struct mg_slice doc, struct mg_span v, unsigned depth);

static void check_members(struct mg_slice doc, struct mg_span v, unsigned depth) {
  struct mg_span key, child;
  size_t pos = 0, last = v.off;
  while (mg_json_member(doc, v, &pos, &key, &child)) {
    must(key.type == MG_JSON_STRING && key.off > last && child.key_off == key.off);
    must(child.off > key.off + key.len && pos == child.off + child.len && pos < v.off + v.len);
    last = pos;
    read_string(doc, key);
    check_value(doc, child, depth + 1);
  }
  pos = 0;
  while (mg_json_item(doc, v, &pos, &child)) {
    must(child.off > last && pos == child.off + child.len && pos < v.off + v.len && child.key_off == 0);
    last = pos;
    check_value(doc, child, depth + 1);
  }
}

static void check_value(struct mg_slice doc, struct mg_span v, unsigned depth) {
  int64_t n;
  must(depth <= MG_JSON_DEPTH && v.type != MG_JSON_NONE && v.off < doc.len && v.len <= doc.len - v.off);
  struct mg_slice raw = mg_span_slice(doc, v);
  struct mg_span whole = mg_json_whole(raw);
  must(whole.type == v.type && whole.off == 0 && whole.len == v.len && whole.escaped == v.escaped);
  if (v.type == MG_JSON_STRING) read_string(doc, v);
  if (v.type != MG_JSON_NUMBER) must(mg_span_i64(doc, v, &n) == MCPGW_E_PARSE);
  check_members(doc, v, depth);
}

/* A shape adds one rule to the grammar and takes none away. */
static void check_shaped(struct mg_slice doc, int rc, const struct mg_scan_result *plain) {
  struct mg_span spans[S_N], root, again;
  struct mg_scan_result why;
  int with = mg_json_scan(doc, &shape, spans, S_N, &root, &why);
  if (why.error == MG_SCAN_DUPLICATE) return;
  must(with == rc && why.error == plain->error && why.at == plain->at);
  for (int i = 0; i < S_N; i++)
    if (spans[i].type != MG_JSON_NONE) check_value(doc, spans[i], 0);
  if (spans[S_ID].type != MG_JSON_NONE)
    must(mg_json_get(doc, root, "id", &again) && again.off == spans[S_ID].off &&
         again.len == spans[S_ID].len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct mg_slice doc = mg_slice(data, len);
  struct mg_scan_result why;
  struct mg_span root;
  int rc = mg_json_scan(doc, NULL, NULL, 0, &root, &why);
  must(json_disagree(doc, rc, &why) == NULL);
  check_shaped(doc, rc, &why);
  if (rc == MCPGW_OK) check_value(doc, root, 0);
  return 0;
}
