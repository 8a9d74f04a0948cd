/* ${VAR}, envFile, and what a child inherits: nothing that was not named. */
#include "config/config_tests.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVER(members) "{\"mcpServers\":{\"x\":{\"command\":\"c\"," members "}}}"

static const struct {
  const char *text, *want;
} expansions[] = {{"plain", "plain"},
                  {"", ""},
                  {"${TOKEN}", "s3cret"},
                  {"a${TOKEN}b${USER}c", "as3cretbuc"},
                  {"${env:TOKEN}", "s3cret"},
                  {"${EMPTY}", ""},
                  {"${EMPTY:-d}", "d"},
                  {"${NO_SUCH:-}", ""},
                  {"${NO_SUCH:-a:-b c}", "a:-b c"},
                  {"${env:NO_SUCH:-d}", "d"},
                  {"${TOKEN:-d}", "s3cret"},
                  {"${TOKEN2}", "second"},
                  {"${NESTED}", "${TOKEN}"}, /* a value is never expanded again */
                  {"$TOKEN $$ $ {TOKEN} }", "$TOKEN $$ $ {TOKEN} }"},
                  {"$${TOKEN}", "$s3cret"},
                  {"${NO_SUCH:-$}{TOKEN}", "${TOKEN}"}, /* how to write a literal one */
                  /* shells have more forms, which are theirs */
                  {"${", "${"},
                  {"${}", "${}"},
                  {"${1}", "${1}"},
                  {"${TOKEN", "${TOKEN"},
                  {"${TOKEN:-x", "${TOKEN:-x"},
                  {"${TOKEN-x}", "${TOKEN-x}"},
                  {"${a.b}", "${a.b}"},
                  {"${file:x}", "${file:x}"},
                  {"${${TOKEN}}", "${s3cret}"},
                  {"x${#}y${TOKEN}", "x${#}ys3cret"}};

START_TEST(expands) {
  char text[256];
  snprintf(text, sizeof text, SERVER("\"args\":[\"%s\"]"), expansions[_i].text);
  struct mg_config *c = config_good(text);
  ck_assert_str_eq(c->servers[0].argv[1], expansions[_i].want);
  mg_config_unref(c);
}
END_TEST

START_TEST(expands_everywhere) {
  struct mg_config *c = config_good(
      "{\"mcpServers\":{\"s\":{\"command\":\"${USER}1\",\"args\":[\"${USER}2\"],\"env\":{\"K\":\"${USER}3\"},"
      "\"cwd\":\"/${USER}4\"},\"h\":{\"url\":\"http://${USER}5/\",\"headers\":{\"A\":\"${USER}6\"}}}}");
  const struct mg_cfg_server *s = &c->servers[0], *h = &c->servers[1];
  ck_assert_str_eq(s->argv[0], "u1");
  ck_assert_str_eq(s->argv[1], "u2");
  ck_assert_str_eq(mg_config_getenv(s->env, MG_LIT("K")), "u3");
  ck_assert_str_eq(s->cwd, "/u4");
  ck_assert_str_eq(h->url, "http://u5/");
  ck_assert_str_eq(h->headers[0], "A: u6");
  mg_config_unref(c);
}
END_TEST

START_TEST(defaults_and_foreign_forms_are_noted) {
  struct mg_config *c = config_good(SERVER("\"args\":[\"${NO_SUCH:-d}\",\"${1%.*}\",\"${TOKEN:-d}\"]"));
  ck_assert_str_eq(config_find_note(c, "mcpServers.x.args[0]"), "${NO_SUCH} is not set; its default is used");
  ck_assert_str_eq(config_find_note(c, "mcpServers.x.args[1]"),
                   "a ${ that is not ${NAME}, ${NAME:-default} or ${env:NAME} is left as it is");
  ck_assert_uint_eq(c->n_notes, 2);
  mg_config_unref(c);
}
END_TEST

START_TEST(no_environment_at_all) {
  struct mg_config *c = NULL;
  const char *text = SERVER("\"args\":[\"${HOME:-none}\"]");
  ck_assert_int_eq(mg_config_parse(mg_slice(text, strlen(text)), NULL, NULL, &c, NULL), MCPGW_OK);
  ck_assert_str_eq(c->servers[0].argv[1], "none");
  ck_assert_ptr_null(c->servers[0].env[0]);
  mg_config_unref(c);
}
END_TEST

static const char *value(const struct mg_config *c, const char *name) {
  return mg_config_getenv(c->servers[0].env, mg_slice(name, strlen(name)));
}

static size_t count(const char *const *list) {
  size_t n = 0;
  while (list[n]) n++;
  return n;
}

START_TEST(inherits_the_few) {
  struct mg_config *c = config_good(SERVER("\"args\":[]"));
  static const char *const few[] = {"HOME",  "LANG", "LC_ALL", "LC_TIME", "LOGNAME", "PATH",
                                    "SHELL", "TERM", "TMPDIR", "TZ",      "USER"};
  for (size_t i = 0; i < sizeof few / sizeof *few; i++) ck_assert_msg(value(c, few[i]) != NULL, "%s", few[i]);
  ck_assert_uint_eq(count(c->servers[0].env), sizeof few / sizeof *few);
  ck_assert_ptr_null(value(c, "AWS_SECRET"));
  ck_assert_ptr_null(value(c, "LANGUAGE"));
  ck_assert_ptr_null(value(c, "TOKEN"));
  mg_config_unref(c);
}
END_TEST

START_TEST(env_wins_and_null_takes_away) {
  struct mg_config *c =
      config_good(SERVER("\"env\":{\"PATH\":\"/mine\",\"HOME\":null,\"NOT_THERE\":null,\"NEW\":\"1\"}"));
  ck_assert_str_eq(value(c, "PATH"), "/mine");
  ck_assert_ptr_null(value(c, "HOME"));
  ck_assert_str_eq(value(c, "NEW"), "1");
  ck_assert_str_eq(value(c, "USER"), "u");
  ck_assert_uint_eq(count(c->servers[0].env), 11);
  mg_config_unref(c);
}
END_TEST

START_TEST(scalars_become_text) {
  struct mg_config *c = config_good(SERVER("\"env\":{\"A\":1,\"B\":-9223372036854775808,\"C\":0.1,\"D\":true,"
                                           "\"E\":false,\"F\":1e300,\"G\":2.5,\"H\":3.0,\"I\":\"a=b\"}"));
  ck_assert_str_eq(value(c, "A"), "1");
  ck_assert_str_eq(value(c, "B"), "-9223372036854775808");
  ck_assert_str_eq(value(c, "C"), "0.1");
  ck_assert_str_eq(value(c, "D"), "true");
  ck_assert_str_eq(value(c, "E"), "false");
  ck_assert_str_eq(value(c, "F"), "1e+300");
  ck_assert_str_eq(value(c, "G"), "2.5");
  ck_assert_str_eq(value(c, "H"), "3");
  ck_assert_str_eq(value(c, "I"), "a=b");
  mg_config_unref(c);
}
END_TEST

START_TEST(env_file) {
  struct mg_config *c = NULL;
  char *text = config_read_file("tests/config/data/cursor.json", NULL);
  ck_assert_int_eq(mg_config_parse(mg_slice(text, strlen(text)), config_env, NULL, &c, NULL), MCPGW_OK);
  ck_assert_str_eq(value(c, "PLAIN"), "one two");
  ck_assert_str_eq(value(c, "EXPORTED"), "yes");
  ck_assert_str_eq(value(c, "HASH"), "a#b");
  ck_assert_str_eq(value(c, "SINGLE"), "a # b \\n $TOKEN");
  ck_assert_str_eq(value(c, "DOUBLE"), "x\ty\\z\"q\n\\k${TOKEN}");
  ck_assert_str_eq(value(c, "EMPTY_VALUE"), "");
  ck_assert_str_eq(value(c, "PATH"), "/from/file"); /* over what is inherited */
  ck_assert_str_eq(value(c, "API_KEY"), "s3cret");  /* and under env */
  ck_assert_str_eq(value(c, "URL"), "a=b=c");
  mg_config_unref(c);
  mg_free(text);
}
END_TEST

static const struct {
  const char *file, *error;
} bad_files[] = {{"A=1\nB\n", "line 2 of the file: must be NAME=value"},
                 {"=1\n", "line 1 of the file: what stands before = is not a name"},
                 {"A B=1", "line 1 of the file: what stands before = is not a name"},
                 {"\n\nA=\"x\n", "line 3 of the file: the quote is not closed on its line"},
                 {"A='x' y", "line 1 of the file: there is text after the closing quote"},
                 {"A=\"x\\\"", "line 1 of the file: the quote is not closed on its line"},
                 {"A", "line 1 of the file: must be NAME=value"}};

START_TEST(bad_env_files) {
  char path[] = "/tmp/mcpgw-envfile-XXXXXX", text[256], error[256];
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(write(fd, bad_files[_i].file, strlen(bad_files[_i].file)),
                   (ssize_t)strlen(bad_files[_i].file));
  close(fd);
  snprintf(text, sizeof text, SERVER("\"envFile\":\"%s\""), path);
  snprintf(error, sizeof error, "mcpServers.x.envFile: %s", bad_files[_i].error);
  config_bad(text, error);
  unlink(path);
}
END_TEST

START_TEST(long_env_file) {
  char path[] = "/tmp/mcpgw-envfile-XXXXXX", text[256];
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  for (size_t i = 0; i < MG_CFG_ENVFILE_BYTES; i++) ck_assert_int_eq(write(fd, "#", 1), 1);
  snprintf(text, sizeof text, SERVER("\"envFile\":\"%s\""), path);
  mg_config_unref(config_good(text));
  ck_assert_int_eq(write(fd, "#", 1), 1);
  config_bad(text, "mcpServers.x.envFile: the file is longer than 65536 bytes");
  ck_assert_int_eq(ftruncate(fd, 0), 0);
  ck_assert_int_eq(pwrite(fd, "A=\0b\n", 5, 0), 5);
  config_bad(text, "mcpServers.x.envFile: line 1 of the file: must not hold a NUL byte");
  close(fd);
  unlink(path);
}
END_TEST

/* Nobody writes into the pipe: opening it must not wait. */
START_TEST(an_env_file_is_no_pipe) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/tmp/mcpgw-envfile-%ld", (long)getpid());
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  snprintf(text, sizeof text, SERVER("\"envFile\":\"%s\""), path);
  config_bad(text, "mcpServers.x.envFile: the file is not a regular file");
  unlink(path);
}
END_TEST

Suite *config_env_suite(void) {
  Suite *s = suite_create("config env");
  TCase *t = tcase_create("expansion");
  tcase_add_loop_test(t, expands, 0, (int)(sizeof expansions / sizeof *expansions));
  tcase_add_test(t, expands_everywhere);
  tcase_add_test(t, defaults_and_foreign_forms_are_noted);
  tcase_add_test(t, no_environment_at_all);
  suite_add_tcase(s, t);
  t = tcase_create("child");
  tcase_add_test(t, inherits_the_few);
  tcase_add_test(t, env_wins_and_null_takes_away);
  tcase_add_test(t, scalars_become_text);
  tcase_add_test(t, env_file);
  tcase_add_loop_test(t, bad_env_files, 0, (int)(sizeof bad_files / sizeof *bad_files));
  tcase_add_test(t, long_env_file);
  tcase_add_test(t, an_env_file_is_no_pipe);
  suite_add_tcase(s, t);
  return s;
}
