/* The suites of room wire; main.c runs them all. */
#ifndef TEST_WIRE_SUITES_H
#define TEST_WIRE_SUITES_H
#include <check.h>

#include "wire/headers.h"

Suite *wire_message_suite(void);
Suite *wire_build_suite(void);
Suite *wire_headers_suite(void);
Suite *wire_params_suite(void);

/* One test for each row of a table. */
#define wire_rows(tcase, test, table) \
  tcase_add_loop_test(tcase, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

/* Request headers as "Name: value\n" lines, given to the library the way HTTP gives them. */
struct mg_slice wire_get(void *lines, const char *name, size_t *count);
/* Parses or fails the test. */
void wire_must(const char *doc, struct mg_msg *m);
/* 1 when text is one valid JSON object. */
int wire_is_json(struct mg_slice text);
#endif
