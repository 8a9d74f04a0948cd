/* Every allocation fails in turn: the code is NOMEM, the outputs are untouched, nothing stays alive. */
#include "config/config_tests.h"

#define ROUNDS 100000

static void fails_cleanly(const char *text, const char *base, int sticky) {
  int rc = MCPGW_E_NOMEM;
  uint64_t n = 1, failures = 0;
  for (; n < ROUNDS && rc != MCPGW_OK; n++) {
    struct mg_config *c = NULL;
    struct mg_err err;
    int64_t before = mg_mem_live();
    mg_err_clear(&err);
    mg_mem_fail_after(n, sticky);
    rc = mg_config_parse(mg_slice(text, strlen(text)), config_env, base, &c, &err);
    uint64_t fired = mg_mem_failed();
    mg_mem_fail_after(0, 0);
    ck_assert_msg(fired ? rc == MCPGW_E_NOMEM : rc == MCPGW_OK, "allocation %llu: rc %d",
                  (unsigned long long)n, rc);
    failures += fired;
    if (rc == MCPGW_OK) {
      mg_config_unref(c);
    } else {
      ck_assert_ptr_null(c);
      ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "out of memory"));
    }
    ck_assert_int_eq(mg_mem_live(), before);
  }
  ck_assert_int_eq(rc, MCPGW_OK);
  ck_assert_uint_gt(failures, 3); /* there was something to fail */
}

static const char *const files[] = {"examples/full.json",           "examples/desktop.json",
                                    "tests/config/data/cline.json", "tests/config/data/cursor.json",
                                    "tests/config/data/array.json", "tests/config/data/vscode.json"};

START_TEST(parse) {
  char *text = config_read_file(files[_i], NULL);
  fails_cleanly(text, NULL, 0);
  fails_cleanly(text, NULL, 1);
  fails_cleanly(text, ".", 0);
  mg_free(text);
}
END_TEST

/* Large enough that every kind of array grows more than once. */
START_TEST(parse_large) {
  struct mg_buf b;
  mg_buf_init(&b, 1024 * 1024);
  mg_buf_addz(&b, "{\"mcpServers\":{\"s\":{\"command\":\"c\",\"foreign\":1}");
  for (uint64_t i = 1; i < 120; i++) {
    mg_buf_addz(&b, ",\"s");
    mg_buf_addu(&b, i);
    mg_buf_addz(
        &b,
        "\":{\"command\":\"c\",\"foreign\":1,\"args\":[\"${USER}\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\","
        "\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}");
  }
  mg_buf_add(&b, "}}", 3);
  fails_cleanly(b.ptr, NULL, 0);
  mg_buf_done(&b);
}
END_TEST

START_TEST(load) {
  int rc = MCPGW_E_NOMEM;
  for (uint64_t n = 1; n < ROUNDS && rc != MCPGW_OK; n++) {
    struct mg_config *c = NULL;
    int64_t before = mg_mem_live();
    mg_mem_fail_after(n, 0);
    rc = mg_config_load("tests/config/data/relative.json", config_env, &c, NULL);
    mg_mem_fail_after(0, 0);
    ck_assert(rc == MCPGW_OK || rc == MCPGW_E_NOMEM);
    mg_config_unref(c);
    ck_assert_int_eq(mg_mem_live(), before);
  }
  ck_assert_int_eq(rc, MCPGW_OK);
}
END_TEST

static int build_by_hand(struct mg_config *c) {
  static const char *const argv[] = {"a", "b", "c", NULL}, *const headers[] = {"X: y", NULL};
  int rc = MCPGW_OK;
  char name[16];
  for (int i = 0; i < 40 && rc == MCPGW_OK; i++) {
    size_t n = (size_t)snprintf(name, sizeof name, "s%d", i);
    if (i % 3 == 0) rc = mg_config_add_stdio(c, mg_slice(name, n), argv, argv, "/", NULL);
    else if (i % 3 == 1) rc = mg_config_add_http(c, mg_slice(name, n), MG_LIT("http://h/"), headers, NULL);
    else rc = mg_config_add_custom(c, mg_slice(name, n), NULL);
    ck_assert_uint_eq(c->n_servers, (size_t)i + (rc == MCPGW_OK));
  }
  return rc == MCPGW_OK ? mg_config_set_listen(c, "127.0.0.1:1") : rc;
}

START_TEST(by_hand) {
  int rc = MCPGW_E_NOMEM;
  for (uint64_t n = 1; n < ROUNDS && rc != MCPGW_OK; n++) {
    struct mg_config *c = NULL;
    int64_t before = mg_mem_live();
    mg_mem_fail_after(n, 0);
    rc = mg_config_new(&c);
    if (rc == MCPGW_OK) rc = build_by_hand(c);
    mg_mem_fail_after(0, 0);
    ck_assert(rc == MCPGW_OK || rc == MCPGW_E_NOMEM);
    mg_config_unref(c);
    ck_assert_int_eq(mg_mem_live(), before);
  }
  ck_assert_int_eq(rc, MCPGW_OK);
}
END_TEST

Suite *config_oom_suite(void) {
  Suite *s = suite_create("config oom");
  TCase *t = tcase_create("all");
  tcase_add_loop_test(t, parse, 0, (int)(sizeof files / sizeof *files));
  tcase_add_test(t, parse_large);
  tcase_add_test(t, load);
  tcase_add_test(t, by_hand);
  tcase_set_timeout(t, 60);
  suite_add_tcase(s, t);
  return s;
}
