/* The jansson fence: what it reads, what it refuses and in which words. */
#include "base/mem.h"
#include "mcpgw/types.h"
#include "json/json_suites.h"

static struct mg_doc *doc;
static struct mg_err err;

static int parse(const char *text) {
  mg_err_clear(&err);
  return mg_doc_parse(&doc, mg_slice_z(text), &err);
}

static void setup(void) {
  doc = NULL;
}

static void teardown(void) {
  mg_doc_free(doc);
}

START_TEST(reads_every_type) {
  ck_assert_int_eq(parse("{\"o\":{\"x\":1},\"a\":[1,2,3],\"s\":\"\\u00e9\\n\",\"i\":-5,\"r\":1.5,\"t\":true,"
                         "\"f\":false,\"n\":null}"),
                   MCPGW_OK);
  const struct mg_node *root = mg_doc_root(doc);
  struct mg_slice text;
  int64_t i;
  double r;
  int b;
  ck_assert_int_eq(mg_node_type(root), MG_JSON_OBJECT);
  ck_assert_uint_eq(mg_node_count(root), 8);
  ck_assert_int_eq(mg_node_type(mg_node_get(root, "a")), MG_JSON_ARRAY);
  ck_assert_uint_eq(mg_node_count(mg_node_get(root, "a")), 3);
  ck_assert_int_eq(mg_node_i64(mg_node_at(mg_node_get(root, "a"), 2), &i), MCPGW_OK);
  ck_assert_int_eq(i, 3);
  ck_assert_ptr_null(mg_node_at(mg_node_get(root, "a"), 3));
  ck_assert_int_eq(mg_node_str(mg_node_get(root, "s"), &text), MCPGW_OK);
  ck_assert(mg_slice_eqz(text, "\xc3\xa9\n"));
  ck_assert_int_eq(text.ptr[text.len], 0);
  ck_assert_int_eq(mg_node_i64(mg_node_get(root, "i"), &i), MCPGW_OK);
  ck_assert_int_eq(i, -5);
  ck_assert_int_eq(mg_node_real(mg_node_get(root, "r"), &r), MCPGW_OK);
  ck_assert(r == 1.5);
  ck_assert_int_eq(mg_node_real(mg_node_get(root, "i"), &r), MCPGW_OK);
  ck_assert(r == -5);
  ck_assert_int_eq(mg_node_bool(mg_node_get(root, "t"), &b), MCPGW_OK);
  ck_assert_int_eq(b, 1);
  ck_assert_int_eq(mg_node_bool(mg_node_get(root, "f"), &b), MCPGW_OK);
  ck_assert_int_eq(b, 0);
  ck_assert_int_eq(mg_node_type(mg_node_get(root, "n")), MG_JSON_NULL);
  ck_assert_int_eq(mg_node_type(mg_node_get(root, "r")), MG_JSON_NUMBER);
  ck_assert_ptr_null(mg_node_get(root, "none"));
}
END_TEST

START_TEST(other_types_are_invalid) {
  ck_assert_int_eq(parse("[\"1\",1,1.0,true,null,{},[]]"), MCPGW_OK);
  const struct mg_node *root = mg_doc_root(doc);
  static const int is_str[] = {1, 0, 0, 0, 0, 0, 0, 0}, is_int[] = {0, 1, 0, 0, 0, 0, 0, 0},
                   is_real[] = {0, 1, 1, 0, 0, 0, 0, 0}, is_bool[] = {0, 0, 0, 1, 0, 0, 0, 0};
  for (size_t i = 0; i < 8; i++) { /* the eighth is not there */
    const struct mg_node *v = mg_node_at(root, i);
    struct mg_slice text = {"?", 1};
    int64_t n = 77;
    double r = 77;
    int b = 77;
    ck_assert_int_eq(mg_node_str(v, &text), is_str[i] ? MCPGW_OK : MCPGW_E_INVALID);
    ck_assert_int_eq(mg_node_i64(v, &n), is_int[i] ? MCPGW_OK : MCPGW_E_INVALID);
    ck_assert_int_eq(mg_node_real(v, &r), is_real[i] ? MCPGW_OK : MCPGW_E_INVALID);
    ck_assert_int_eq(mg_node_bool(v, &b), is_bool[i] ? MCPGW_OK : MCPGW_E_INVALID);
    ck_assert(is_str[i] || mg_slice_eqz(text, "?"));
    ck_assert(n == (is_int[i] ? 1 : 77) && r == (is_real[i] ? 1 : 77) && b == (is_bool[i] ? 1 : 77));
    ck_assert_uint_eq(mg_node_count(v), 0);
    ck_assert_ptr_null(mg_node_get(v, "x"));
    ck_assert_ptr_null(mg_node_at(v, 0));
  }
}
END_TEST

START_TEST(members_in_the_order_of_the_text) {
  ck_assert_int_eq(parse("{\"z\":0,\"a\":1,\"\":2,\"m\":3,\"b\":4,\"y\":5}"), MCPGW_OK);
  static const char *const keys[] = {"z", "a", "", "m", "b", "y"};
  const struct mg_node *value = NULL;
  struct mg_slice key;
  void *it = NULL;
  int64_t n = 0;
  for (int round = 0; round < 2; round++) { /* the iterator starts again by itself */
    for (int k = 0; k < 6; k++) {
      ck_assert_int_eq(mg_node_next(mg_doc_root(doc), &it, &key, &value), 1);
      ck_assert(mg_slice_eqz(key, keys[k]));
      ck_assert_int_eq(mg_node_i64(value, &n), MCPGW_OK);
      ck_assert_int_eq(n, k);
    }
    ck_assert_int_eq(mg_node_next(mg_doc_root(doc), &it, &key, &value), 0);
    ck_assert_ptr_null(it);
  }
  ck_assert_int_eq(mg_node_next(value, &it, &key, &value), 0); /* an integer */
  ck_assert_int_eq(mg_node_next(NULL, &it, &key, &value), 0);
}
END_TEST

static const struct {
  const char *text, *message;
} wrong[] = {
    {"", "line 1, column 1: the text ends too early"},
    {"{\n  \"a\": 1,\n  b: 2\n}", "line 3, column 3: not valid JSON"},
    {"{\"a\": 'secret'}", "line 1, column 7: not valid JSON"},
    {"{}\n\n x", "line 3, column 2: not valid JSON"},
    {"7", "line 1, column 1: not valid JSON"},
    {"[\"\n\"]", "line 1, column 3: not valid JSON"},
    {"[\"ab\xff\"]", "line 1, column 5: not valid UTF-8"},
    {"{\"a\":1,\n \"a\":2}", "line 2, column 4: this key occurs twice in its object; remove one"},
    {"{\"x\":{\"a\":1,\"\\u0061\":2}}", "line 1, column 20: this key occurs twice in its object; remove one"},
    {"[1,\n9223372036854775808 ]", "line 2, column 19: number out of range"},
    {"[1E400]", "line 1, column 6: number out of range"},
    {"[\"a\\u0000\"]", "line 1, column 10: a string must not contain \\u0000"},
    {"{\"a\\u0000\":1}", "line 1, column 10: a string must not contain \\u0000"},
    {"[\"\\ud800\"]", "line 1, column 9: not valid JSON"},
};

START_TEST(says_where_and_what) {
  ck_assert_int_eq(parse(wrong[_i].text), MCPGW_E_PARSE);
  ck_assert_str_eq(mg_err_text(&err), wrong[_i].message);
  ck_assert_ptr_null(doc);
  ck_assert_int_eq(mg_doc_parse(&doc, mg_slice_z(wrong[_i].text), NULL), MCPGW_E_PARSE);
}
END_TEST

/* jansson 2.14 alone would take it for [1]. */
START_TEST(a_nul_behind_a_number) {
  static const char text[] = "[1\0]";
  ck_assert_int_eq(mg_doc_parse(&doc, mg_slice(text, sizeof text - 1), NULL), MCPGW_E_PARSE);
}
END_TEST

START_TEST(ceilings) {
  char *deep = json_nested("[", "", "]", MG_JSON_DEPTH + 1);
  ck_assert_int_eq(parse(deep), MCPGW_E_PARSE);
  ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "nested too deeply"));
  free(deep);
  char *long_one = malloc(MG_DOC_MAX + 1);
  ck_assert_ptr_nonnull(long_one);
  memset(long_one, ' ', MG_DOC_MAX + 1);
  memcpy(long_one, "{}", 2);
  ck_assert_int_eq(mg_doc_parse(&doc, mg_slice(long_one, MG_DOC_MAX + 1), &err), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_doc_parse(&doc, mg_slice(long_one, MG_DOC_MAX), &err), MCPGW_OK);
  free(long_one);
}
END_TEST

START_TEST(no_memory_of_ours) {
  mg_mem_fail_after(1, 0);
  ck_assert_int_eq(parse("{}"), MCPGW_E_NOMEM);
  mg_mem_fail_after(0, 0);
  ck_assert_ptr_null(doc);
  mg_doc_free(NULL);
  ck_assert_ptr_null(mg_doc_root(NULL));
  ck_assert_int_eq(mg_node_type(NULL), MG_JSON_NONE);
}
END_TEST

/* The host's jansson is the host's: its allocator must be what it was. */
START_TEST(leaves_the_host_its_allocator) {
  int64_t live = mg_mem_live();
  ck_assert_int_eq(parse("{\"a\":[1,2,3,{\"b\":\"text\"}]}"), MCPGW_OK);
  ck_assert_int_eq(mg_mem_live(), live + 1); /* the handle alone */
}
END_TEST

Suite *json_doc_suite(void) {
  Suite *s = suite_create("json doc");
  TCase *c = tcase_create("doc");
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_test(c, reads_every_type);
  tcase_add_test(c, other_types_are_invalid);
  tcase_add_test(c, members_in_the_order_of_the_text);
  tcase_add_loop_test(c, says_where_and_what, 0, (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(c, a_nul_behind_a_number);
  tcase_add_test(c, ceilings);
  tcase_add_test(c, no_memory_of_ours);
  tcase_add_test(c, leaves_the_host_its_allocator);
  suite_add_tcase(s, c);
  return s;
}
