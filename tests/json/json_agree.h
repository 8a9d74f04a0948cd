/* Whether the scanner and jansson judge a text alike, for tests and fuzzers. They may differ only where
 * RFC 8259 leaves room or jansson has a limit of its own: numbers outside double or int64, NUL in
 * strings, lone surrogates, depth. All static, so that a fuzzer needs no second file. */
#ifndef TESTS_JSON_AGREE_H
#define TESTS_JSON_AGREE_H
#include <jansson.h>
#include <string.h>

#include "mcpgw/types.h"
#include "json/scan.h"

/* Whether the text has an escape of a surrogate, paired or not. */
static inline int json_has_surrogate(struct mg_slice doc) {
  for (size_t i = 0; i + 3 < doc.len; i++) {
    const char *p = doc.ptr + i;
    if (p[0] == '\\' && p[1] == 'u' && (p[2] | 0x20) == 'd' && p[3] > '7') return 1;
  }
  return 0;
}

static inline int json_excused(struct mg_slice doc, const json_error_t *e) {
  switch (json_error_code(e)) {
  case json_error_numeric_overflow:
  case json_error_null_character:
  case json_error_null_byte_in_key:
    return 1;
  default:
    return json_has_surrogate(doc);
  }
}

/* NULL when they agree, else what is wrong. rc and why are the scanner's, without a shape. */
static inline const char *json_disagree(struct mg_slice doc, int rc, const struct mg_scan_result *why) {
  json_error_t e;
  json_t *v = json_loadb(doc.ptr, doc.len, 0, &e);
  int ok = v != NULL;
  json_decref(v);
  if (rc == MCPGW_OK) return ok || json_excused(doc, &e) ? NULL : "the scanner accepts what jansson refuses";
  if (why->at > doc.len) return "the fault lies outside the text";
  if (why->error == MG_SCAN_TRUNCATED && why->at != doc.len) return "cut short, but not at the end";
  if (!ok || why->error == MG_SCAN_DEPTH) return NULL;
  /* jansson 2.14 overlooks a NUL byte right behind a number. */
  return memchr(doc.ptr, 0, doc.len) ? NULL : "the scanner refuses what jansson accepts";
}
#endif
