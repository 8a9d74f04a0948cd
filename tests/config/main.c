/* The config room's tests: one Check program, forked a case. Owns the list of suites and what they share. */
#include "config/config_tests.h"
#include <stdio.h>

const char *const config_env[] = {"HOME=/home/u",  "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C",
                                  "LC_TIME=C",     "LANGUAGE=en",        "LOGNAME=u",    "SHELL=/bin/sh",
                                  "TERM=dumb",     "TMPDIR=/tmp",        "TZ=UTC",       "USER=u",
                                  "AWS_SECRET=no", "TOKEN=s3cret",       "EMPTY=",       "NESTED=${TOKEN}",
                                  "LINE=a\nb",     "TOKEN2=second",      "NOEQUALS",     NULL};

static struct mg_slice text_slice(const char *text) {
  return mg_slice(text, strlen(text));
}

struct mg_config *config_good(const char *text) {
  struct mg_config *c = NULL;
  struct mg_err err;
  mg_err_clear(&err);
  int rc = mg_config_parse(text_slice(text), config_env, "/base", &c, &err);
  ck_assert_msg(rc == MCPGW_OK, "rc %d: %s\nin %s", rc, mg_err_text(&err), text);
  ck_assert_str_eq(mg_err_text(&err), "");
  return c;
}

void config_bad(const char *text, const char *error) {
  struct mg_config *c = (struct mg_config *)&c;
  struct mg_err err;
  int64_t before = mg_mem_live();
  mg_err_clear(&err);
  int rc = mg_config_parse(text_slice(text), config_env, "/base", &c, &err);
  ck_assert_msg(rc != MCPGW_OK, "accepted: %s", text);
  ck_assert_str_eq(mg_err_text(&err), error);
  ck_assert_int_eq(rc, MCPGW_E_CONFIG);
  ck_assert_ptr_eq(c, (struct mg_config *)&c); /* outputs are untouched */
  ck_assert_int_eq(mg_mem_live(), before);
}

const char *config_find_note(const struct mg_config *c, const char *path) {
  for (size_t i = 0; i < c->n_notes; i++)
    if (strcmp(c->notes[i].path, path) == 0) return c->notes[i].text;
  return NULL;
}

char *config_read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  size_t cap = 1024 * 1024;
  char *text = mg_alloc(cap + 1);
  ck_assert_msg(f != NULL, "%s: cannot be opened; run from the repository's root", path);
  ck_assert_ptr_nonnull(text);
  size_t n = fread(text, 1, cap, f);
  fclose(f);
  ck_assert_uint_gt(n, 0);
  ck_assert_uint_lt(n, cap);
  text[n] = '\0';
  if (len) *len = n;
  return text;
}

int main(void) {
  SRunner *r = srunner_create(config_good_suite());
  srunner_add_suite(r, config_bad_suite());
  srunner_add_suite(r, config_env_suite());
  srunner_add_suite(r, config_table_suite());
  srunner_add_suite(r, config_hand_suite());
  srunner_add_suite(r, config_oom_suite());
  srunner_add_suite(r, config_pin_suite());
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
