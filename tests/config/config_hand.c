/* Snapshots made by hand, files, references, and who may be let in. */
#include "config/config_tests.h"
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

static struct mg_config *fresh(void) {
  struct mg_config *c = NULL;
  ck_assert_int_eq(mg_config_new(&c), MCPGW_OK);
  return c;
}

START_TEST(adds) {
  struct mg_config *c = fresh();
  struct mg_err err;
  const char *const argv[] = {"npx", "-y", "x", NULL}, *const env[] = {"A=b", NULL};
  const char *const headers[] = {"X-A:  b ", "X-C: d:e", NULL};
  mg_err_clear(&err);
  ck_assert_int_eq(mg_config_add_stdio(c, MG_LIT("one"), argv, env, "/tmp", &err), MCPGW_OK);
  ck_assert_int_eq(mg_config_add_http(c, MG_LIT("two"), MG_LIT("http://h/"), headers, &err), MCPGW_OK);
  ck_assert_int_eq(mg_config_add_custom(c, MG_LIT("three"), &err), MCPGW_OK);
  ck_assert_int_eq(mg_config_add_stdio(c, MG_LIT("four"), argv, NULL, NULL, &err), MCPGW_OK);
  ck_assert_uint_eq(c->n_servers, 4);
  ck_assert_str_eq(c->servers[0].argv[2], "x");
  ck_assert_str_eq(c->servers[0].env[0], "A=b");
  ck_assert_str_eq(c->servers[0].cwd, "/tmp");
  ck_assert_str_eq(c->servers[1].headers[0], "X-A: b");
  ck_assert_str_eq(c->servers[1].headers[1], "X-C: d:e");
  ck_assert_int_eq(c->servers[2].kind, MG_SERVER_CUSTOM);
  ck_assert_uint_eq(c->servers[2].timeouts.total_ms, 300000);
  ck_assert_ptr_nonnull(c->servers[3].env);
  ck_assert_ptr_null(c->servers[3].env[0]);
  ck_assert_str_eq(mg_err_text(&err), "");
  mg_config_unref(c);
}
END_TEST

static void refuse(struct mg_config *c, int rc, struct mg_err *err, size_t n, const char *text) {
  ck_assert_int_eq(rc, MCPGW_E_CONFIG);
  ck_assert_str_eq(mg_err_text(err), text);
  ck_assert_uint_eq(c->n_servers, n);
  mg_err_clear(err);
}

START_TEST(a_failed_add_leaves_it_as_it_was) {
  struct mg_config *c = fresh();
  struct mg_err err;
  const char *const argv[] = {"x", NULL}, *const none[] = {NULL}, *const bad[] = {"Host: h", NULL};
  const char *const odd[] = {"X", NULL};
  mg_err_clear(&err);
  ck_assert_int_eq(mg_config_add_stdio(c, MG_LIT("a"), argv, NULL, NULL, &err), MCPGW_OK);
  refuse(c, mg_config_add_stdio(c, MG_LIT("b"), none, NULL, NULL, &err), &err, 1, "b: needs a command");
  refuse(c, mg_config_add_custom(c, MG_LIT("a."), &err), &err, 1,
         "[\"a.\"]: the name reduces to \"a\", as that of server \"a\" does; rename one");
  refuse(c, mg_config_add_custom(c, mg_slice(NULL, 0), &err), &err, 1,
         "[\"\"]: the name of a server must be 1 to 128 bytes long");
  refuse(c, mg_config_add_custom(c, MG_LIT("a\xff"), &err), &err, 1,
         "[\"a\xff\"]: the name of a server must be UTF-8");
  refuse(c, mg_config_add_http(c, MG_LIT("b"), MG_LIT("h"), NULL, &err), &err, 1,
         "b: url must be an absolute http or https URL");
  refuse(c, mg_config_add_http(c, MG_LIT("b"), MG_LIT("http://h"), bad, &err), &err, 1,
         "b.Host: is set by the gateway itself; remove it");
  refuse(c, mg_config_add_http(c, MG_LIT("b"), MG_LIT("http://h"), odd, &err), &err, 1,
         "b: header 0 must be \"Name: value\"");
  ck_assert_int_eq(mg_config_add_custom(c, MG_LIT("b"), &err), MCPGW_OK); /* the name is still free */
  ck_assert_ptr_null(c->servers[1].url);
  mg_config_unref(c);
}
END_TEST

START_TEST(many_by_hand) {
  struct mg_config *c = fresh();
  struct mg_err err;
  char name[16];
  mg_err_clear(&err);
  for (int i = 0; i < MG_CFG_SERVERS; i++) {
    int n = snprintf(name, sizeof name, "s%d", i);
    ck_assert_int_eq(mg_config_add_custom(c, mg_slice(name, (size_t)n), &err), MCPGW_OK);
  }
  refuse(c, mg_config_add_custom(c, MG_LIT("more"), &err), &err, MG_CFG_SERVERS,
         "more: more than 1000 servers");
  ck_assert_str_eq(c->servers[0].slug, "s0");
  ck_assert_str_eq(c->servers[999].slug, "s999");
  mg_config_unref(c);
}
END_TEST

START_TEST(set_listen) {
  struct mg_config *c = fresh();
  ck_assert_int_eq(mg_config_set_listen(c, "[::1]:0"), MCPGW_OK);
  ck_assert_str_eq(c->listen[0], "[::1]:0");
  ck_assert_ptr_null(c->listen[1]);
  ck_assert_int_eq(mg_config_set_listen(c, "nonsense"), MCPGW_E_INVALID);
  ck_assert_str_eq(c->listen[0], "[::1]:0");
  ck_assert_int_eq(mg_config_set_listen(c, NULL), MCPGW_OK);
  ck_assert_ptr_null(c->listen[0]);
  mg_config_unref(c);
}
END_TEST

static const struct {
  const char *addr;
  int open;
} addresses[] = {{"127.0.0.1:1", 0},
                 {"127.9.9.9:1", 0},
                 {"[::1]:1", 0},
                 {"localhost:1", 0},
                 {"unix:/x", 0},
                 {"0.0.0.0:1", 1},
                 {"[::]:1", 1},
                 {"192.168.0.1:1", 1},
                 {"128.0.0.1:1", 1},
                 {"[fe80::1]:1", 1},
                 {"[::ffff:10.0.0.1]:1", 1},
                 {"[0:0:0:0:0:0:0:1]:1", 0}};

START_TEST(exposure) {
  struct mg_config *c = fresh();
  struct mg_err err;
  char text[MG_ERR_MAX];
  mg_err_clear(&err);
  ck_assert_int_eq(mg_config_set_listen(c, addresses[_i].addr), MCPGW_OK);
  ck_assert_int_eq(mg_config_check_listen(c, &err), addresses[_i].open ? MCPGW_E_CONFIG : MCPGW_OK);
  snprintf(text, sizeof text,
           "gateway.listen: \"%s\" is open to other machines, which needs auth, and this version has none; "
           "listen on "
           "127.0.0.1, or pass --insecure-plain-http behind a proxy that authenticates",
           addresses[_i].addr);
  ck_assert_str_eq(mg_err_text(&err), addresses[_i].open ? text : "");
  c->insecure_plain_http = 1;
  ck_assert_int_eq(mg_config_check_listen(c, &err), MCPGW_OK);
  mg_config_unref(c);
}
END_TEST

START_TEST(exposure_of_any_listener) {
  struct mg_config *c = config_good("{\"gateway\":{\"listen\":[\"127.0.0.1:1\",\"0.0.0.0:2\"]}}");
  ck_assert_int_eq(mg_config_check_listen(c, NULL), MCPGW_E_CONFIG);
  mg_config_unref(c);
  c = config_good("{\"gateway\":{\"admin\":{\"listen\":\"0.0.0.0:2\",\"token\":\"0123456789abcdef\"}}}");
  ck_assert_int_eq(mg_config_check_listen(c, NULL), MCPGW_E_CONFIG);
  mg_config_unref(c);
  c = config_good("{\"gateway\":{\"listen\":[]}}");
  ck_assert_ptr_null(c->listen[0]);
  ck_assert_int_eq(mg_config_check_listen(c, NULL), MCPGW_OK);
  mg_config_unref(c);
}
END_TEST

static void *hold_and_drop(void *arg) {
  for (int i = 0; i < 20000; i++) mg_config_unref(mg_config_ref(arg));
  mg_config_unref(arg);
  return NULL;
}

START_TEST(references_from_threads) {
  int64_t before = mg_mem_live();
  struct mg_config *c = config_good("{\"mcpServers\":{\"x\":{\"command\":\"c\"}}}");
  pthread_t t[4];
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq(pthread_create(&t[i], NULL, hold_and_drop, mg_config_ref(c)), 0);
  mg_config_unref(c);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  ck_assert_int_eq(mg_mem_live(), before); /* the last one freed it, and only that one */
  mg_config_unref(NULL);
  ck_assert_ptr_null(mg_config_ref(NULL));
}
END_TEST

/* An allocator that looks at what it gets back: expanded secrets must be wiped by then. */
static int seen_secret, released;

static void *plain_alloc(size_t n) {
  return malloc(n);
}

static void *plain_resize(void *p, size_t n) {
  return realloc(p, n);
}

static void inspect(void *p) {
  if (!p) return;
  released++;
  seen_secret += memmem(p, malloc_usable_size(p), "s3cret", 6) != NULL;
  free(p);
}

START_TEST(secrets_are_wiped) {
  mg_mem_hooks(plain_alloc, plain_resize, inspect);
  struct mg_config *c =
      config_good("{\"mcpServers\":{\"x\":{\"url\":\"http://h/\",\"headers\":{\"A\":\"${TOKEN}\"}},"
                  "\"y\":{\"command\":\"c\",\"env\":{\"A\":\"x${TOKEN}\"}}}}");
  mg_config_unref(c);
  ck_assert_int_gt(released, 2);
  ck_assert_int_eq(seen_secret, 0);
}
END_TEST

START_TEST(files) {
  struct mg_config *c = NULL;
  struct mg_err err;
  mg_err_clear(&err);
  ck_assert_int_eq(mg_config_load("no/such.json", config_env, &c, &err), MCPGW_E_IO);
  ck_assert_str_eq(mg_err_text(&err),
                   "the file \"no/such.json\" cannot be opened: No such file or directory");
  mg_err_clear(&err);
  ck_assert_int_eq(mg_config_load("tests", config_env, &c, &err), MCPGW_E_IO);
  ck_assert_str_eq(mg_err_text(&err), "the file \"tests\" is a directory");
  mg_err_clear(&err);
  ck_assert_int_eq(mg_config_load("/dev/zero", config_env, &c, &err), MCPGW_E_CONFIG);
  ck_assert_str_eq(mg_err_text(&err), "the file \"/dev/zero\" is longer than 1048576 bytes");
  ck_assert_ptr_null(c);
  ck_assert_int_eq(mg_config_load("tests/config/data/relative.json", config_env, &c, NULL), MCPGW_OK);
  ck_assert_str_eq(c->servers[0].cwd, "tests/config/data/sub");
  ck_assert_str_eq(mg_config_getenv(c->servers[0].env, MG_LIT("PLAIN")), "one two");
  mg_config_unref(c);
}
END_TEST

START_TEST(examples) {
  static const char *const paths[] = {"examples/desktop.json", "examples/full.json"};
  struct mg_config *c = NULL;
  struct mg_err err;
  mg_err_clear(&err);
  for (size_t i = 0; i < 2; i++) {
    ck_assert_msg(mg_config_load(paths[i], config_env, &c, &err) == MCPGW_OK, "%s: %s", paths[i],
                  mg_err_text(&err));
    ck_assert_int_eq(mg_config_check_listen(c, &err), MCPGW_OK);
    ck_assert_uint_ge(c->n_servers, 2);
    mg_config_unref(c);
  }
}
END_TEST

Suite *config_hand_suite(void) {
  Suite *s = suite_create("config by hand");
  TCase *t = tcase_create("all");
  tcase_add_test(t, adds);
  tcase_add_test(t, a_failed_add_leaves_it_as_it_was);
  tcase_add_test(t, many_by_hand);
  tcase_add_test(t, set_listen);
  tcase_add_loop_test(t, exposure, 0, (int)(sizeof addresses / sizeof *addresses));
  tcase_add_test(t, exposure_of_any_listener);
  tcase_add_test(t, references_from_threads);
  tcase_add_test(t, secrets_are_wiped);
  tcase_add_test(t, files);
  tcase_add_test(t, examples);
  suite_add_tcase(s, t);
  return s;
}
