/* Shared by the config room's tests: the suites, an environment, and parsing that must or must not work. */
#ifndef CONFIG_TESTS_H
#define CONFIG_TESTS_H
#include "base/mem.h"
#include "config/build.h"
#include <check.h>
#include <stdio.h>
#include <string.h>

extern const char *const config_env[]; /* what ${VAR} is looked up in */

struct mg_config *config_good(const char *text);      /* fails the test with the error's text */
void config_bad(const char *text, const char *error); /* exact text, nothing left alive */
const char *config_find_note(const struct mg_config *c, const char *path); /* its text, or NULL */
/* A file of the tree, from the repository's root; NUL-terminated, mg_free it. */
char *config_read_file(const char *path, size_t *len);

Suite *config_good_suite(void);
Suite *config_bad_suite(void);
Suite *config_env_suite(void);
Suite *config_table_suite(void);
Suite *config_hand_suite(void);
Suite *config_oom_suite(void);
Suite *config_pin_suite(void);
#endif
