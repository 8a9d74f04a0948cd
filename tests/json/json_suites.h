/* What the json tests share: the suites, and payloads that a re-encoder would damage. */
#ifndef TESTS_JSON_SUITES_H
#define TESTS_JSON_SUITES_H
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "json/doc.h"
#include "json/scan.h"
#include "json/splice.h"

Suite *json_grammar_suite(void);
Suite *json_scan_suite(void);
Suite *json_member_suite(void);
Suite *json_splice_suite(void);
Suite *json_doc_suite(void);

/* Values, each valid JSON, that must come through byte for byte. NULL-terminated. */
extern const char *const json_nasty[];
/* A copy of exactly len bytes with nothing readable behind it (under ASan); free it. */
char *json_tight(const void *data, size_t len);
/* A document nested depth deep: open repeated, then core, then close repeated; free it. */
char *json_nested(const char *open, const char *core, const char *close, size_t depth);
struct mg_span json_root(struct mg_slice doc); /* of a document that must scan */
#endif
