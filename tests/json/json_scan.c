/* The envelope: which spans a tree of shapes yields, keys in disguise, keys twice. */
#include "mcpgw/types.h"
#include "json/json_suites.h"

#define F(k, s, in) \
  { (k), sizeof(k) - 1, (s), (in) }
enum { ID, METHOD, PARAMS, NAME, META, TOKEN, EMPTY, N };

static const struct mg_field meta_f[] = {F("progressToken", TOKEN, NULL)};
static const struct mg_shape meta = {meta_f, 1};
static const struct mg_field params_f[] = {F("name", NAME, NULL), F("_meta", META, &meta),
                                           F("uri", -1, NULL)};
static const struct mg_shape params = {params_f, 3};
static const struct mg_field root_f[] = {F("id", ID, NULL), F("method", METHOD, NULL),
                                         F("params", PARAMS, &params), F("", EMPTY, NULL)};
static const struct mg_shape shape = {root_f, 4};

static struct mg_span spans[N];
static struct mg_span root;
static struct mg_scan_result why;
static struct mg_slice doc;

static int scan(const char *text) {
  doc = mg_slice_z(text);
  memset(spans, 0xEE, sizeof spans);
  memset(&root, 0xEE, sizeof root);
  return mg_json_scan(doc, &shape, spans, N, &root, &why);
}

static void expect(int slot, int type, const char *text) {
  struct mg_slice got = mg_span_slice(doc, spans[slot]);
  ck_assert_int_eq(spans[slot].type, type);
  ck_assert_msg(mg_slice_eqz(got, text), "slot %d is %.*s, not %s", slot, (int)got.len, got.ptr, text);
}

START_TEST(finds_what_is_named) {
  ck_assert_int_eq(scan(" {\"id\" : 12, \"method\":\"tools/call\",\"params\":{\"name\":\"a\\nb\",\"_meta\": "
                        "{\"progressToken\""
                        ":null,\"x\":1 },\"arguments\":{\"id\":1,\"id\":2,\"name\":0}}} "),
                   MCPGW_OK);
  expect(ID, MG_JSON_NUMBER, "12");
  expect(METHOD, MG_JSON_STRING, "\"tools/call\"");
  expect(NAME, MG_JSON_STRING, "\"a\\nb\"");
  expect(META, MG_JSON_OBJECT, "{\"progressToken\":null,\"x\":1 }");
  expect(TOKEN, MG_JSON_NULL, "null");
  expect(EMPTY, MG_JSON_NONE, "");
  ck_assert_int_eq(spans[METHOD].escaped, 0);
  ck_assert_int_eq(spans[NAME].escaped, 1);
  ck_assert_int_eq(spans[META].escaped, 0);
  ck_assert_int_eq(root.type, MG_JSON_OBJECT);
  ck_assert_uint_eq(root.off, 1);
  ck_assert_uint_eq(root.len, doc.len - 2);
  ck_assert_int_eq(why.error, MG_SCAN_OK);
}
END_TEST

START_TEST(tells_where_the_key_is) {
  ck_assert_int_eq(scan("{\"x\":1 , \"id\"\t:\n3,\"params\":{ \"name\":4}}"), MCPGW_OK);
  ck_assert_uint_eq(spans[ID].key_off, 9);
  ck_assert_uint_eq(spans[ID].off, 16);
  ck_assert_uint_eq(spans[NAME].key_off, 29);
  ck_assert_uint_eq(root.key_off, 0);
}
END_TEST

START_TEST(every_type) {
  static const struct {
    const char *text;
    int type;
  } values[] = {{"{}", MG_JSON_OBJECT}, {"[]", MG_JSON_ARRAY},    {"\"\"", MG_JSON_STRING},
                {"-1", MG_JSON_NUMBER}, {"0", MG_JSON_NUMBER},    {"9e9", MG_JSON_NUMBER},
                {"true", MG_JSON_TRUE}, {"false", MG_JSON_FALSE}, {"null", MG_JSON_NULL}};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    char text[64] = "{\"id\":";
    memcpy(text + 6, values[i].text, strlen(values[i].text));
    text[6 + strlen(values[i].text)] = '}';
    ck_assert_int_eq(scan(text), MCPGW_OK);
    expect(ID, values[i].type, values[i].text);
  }
}
END_TEST

/* A shape to look inside meets a value that is no object: reported, not entered. */
START_TEST(inner_of_another_type) {
  static const char *const texts[] = {"{\"params\":[{\"name\":1}]}", "{\"params\":\"{\\\"name\\\":1}\"}",
                                      "{\"params\":null}", "{\"params\":7}"};
  ck_assert_int_eq(scan(texts[_i]), MCPGW_OK);
  ck_assert_int_ne(spans[PARAMS].type, MG_JSON_NONE);
  ck_assert_int_eq(spans[NAME].type, MG_JSON_NONE);
}
END_TEST

START_TEST(keys_in_disguise) {
  static const char *const texts[] = {"{\"params\":{\"na\\u006de\":5}}",
                                      "{\"params\":{\"\\u006e\\u0061\\u006D\\u0065\":5}}",
                                      "{\"\\u0070arams\":{\"nam\\u0065\":5}}"};
  ck_assert_int_eq(scan(texts[_i]), MCPGW_OK);
  expect(NAME, MG_JSON_NUMBER, "5");
  ck_assert_int_eq(spans[NAME].escaped, 0); /* the key was, the value is not */
}
END_TEST

START_TEST(keys_that_only_look_alike) {
  static const char *const texts[] = {
      "{\"Id\":5}",           "{\"id \":5}",       "{\" id\":5}",           "{\"i\":5}",
      "{\"idd\":5}",          "{\"i\\u0044\":5}",  "{\"id\\u0000\":5}",     "{\"\\ud800id\":5}",
      "{\"id\\ud800\":5}",    "{\"id\\udc00\":5}", "{\"\\\\u0069d\":5}",    "{\"x\":{\"id\":5}}",
      "{\"x\":[{\"id\":5}]}", "{\"x\":\"id\"}",    "{\"\\ud83d\\ude00\":5}"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    ck_assert_int_eq(scan(texts[i]), MCPGW_OK);
    ck_assert_msg(spans[ID].type == MG_JSON_NONE && spans[EMPTY].type == MG_JSON_NONE, "%s", texts[i]);
  }
}
END_TEST

START_TEST(the_empty_key) {
  ck_assert_int_eq(scan("{\"\":5,\"x\":6}"), MCPGW_OK);
  expect(EMPTY, MG_JSON_NUMBER, "5");
}
END_TEST

START_TEST(a_named_key_twice) {
  static const struct {
    const char *text;
    size_t at;
  } twice[] = {{"{\"id\":1,\"id\":1}", 8},
               {"{\"id\":1,\"x\":{},\"\\u0069d\":1}", 15},
               {"{\"\\u0069d\":1,\"id\":1}", 13},
               {"{\"params\":{\"name\":1,\"a\":0,\"name\":2}}", 26},
               {"{\"params\":{\"uri\":1,\"uri\":2}}", 19}, /* named without a slot */
               {"{\"params\":{\"_meta\":{\"progressToken\":1,\"progressToken\":1}}}", 38},
               {"{\"params\":[],\"params\":{}}", 13},
               {"{\"\":1,\"\":1}", 6}};
  for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
    ck_assert_msg(scan(twice[i].text) == MCPGW_E_PARSE, "accepted: %s", twice[i].text);
    ck_assert_int_eq(why.error, MG_SCAN_DUPLICATE);
    ck_assert_uint_eq(why.at, twice[i].at);
  }
}
END_TEST

START_TEST(payload_may_repeat_itself) {
  static const char *const texts[] = {"{\"x\":1,\"x\":1,\"id\":3}", "{\"x\":{\"id\":1,\"id\":2},\"id\":3}",
                                      "{\"x\":[{\"id\":1},{\"id\":1,\"id\":2}],\"id\":3}",
                                      "{\"params\":{\"id\":1,\"id\":2},\"id\":3}",
                                      "{\"name\":1,\"name\":2,\"id\":3}"};
  ck_assert_int_eq(scan(texts[_i]), MCPGW_OK);
  expect(ID, MG_JSON_NUMBER, "3");
}
END_TEST

START_TEST(an_array_root) {
  ck_assert_int_eq(scan(" [ {\"id\":1,\"id\":1} ] "), MCPGW_OK);
  ck_assert_int_eq(root.type, MG_JSON_ARRAY);
  ck_assert_int_eq(spans[ID].type, MG_JSON_NONE);
}
END_TEST

START_TEST(failure_leaves_nothing_behind) {
  static const struct mg_span none[N];
  ck_assert_int_eq(scan("{\"id\":1,\"params\":{\"name\":2},\"x\":tru}"), MCPGW_E_PARSE);
  for (int i = 0; i < N; i++) ck_assert_int_eq(spans[i].type, MG_JSON_NONE);
  ck_assert_mem_eq(spans, none, sizeof none);
  ck_assert_int_eq(root.type, MG_JSON_NONE);
}
END_TEST

START_TEST(slots_beyond_the_array) {
  struct mg_span few[2] = {{0}}; /* the second is a guard */
  doc = mg_slice_z("{\"id\":1,\"method\":2,\"params\":{\"name\":3}}");
  ck_assert_int_eq(mg_json_scan(doc, &shape, few, 1, NULL, NULL), MCPGW_OK);
  ck_assert_int_eq(few[ID].type, MG_JSON_NUMBER);
  ck_assert_int_eq(few[1].type, MG_JSON_NONE);
}
END_TEST

START_TEST(a_shape_too_wide) {
  static struct mg_field many[MG_SHAPE_FIELDS + 1];
  struct mg_shape wide = {many, MG_SHAPE_FIELDS + 1};
  char names[MG_SHAPE_FIELDS + 1];
  for (int i = 0; i <= MG_SHAPE_FIELDS; i++) {
    names[i] = (char)('0' + i);
    many[i] = (struct mg_field){&names[i], 1, -1, NULL};
  }
  many[MG_SHAPE_FIELDS - 1].slot = 0;
  doc = mg_slice_z("{\"o\":1}"); /* '0' + 63 */
  ck_assert_int_eq(mg_json_scan(doc, &wide, spans, N, NULL, &why), MCPGW_E_INVALID);
  wide.n--;
  ck_assert_int_eq(mg_json_scan(doc, &wide, spans, N, NULL, &why), MCPGW_OK);
  expect(0, MG_JSON_NUMBER, "1");
  doc = mg_slice_z("{\"o\":1,\"o\":1}");
  ck_assert_int_eq(mg_json_scan(doc, &wide, spans, N, NULL, &why), MCPGW_E_PARSE);
  ck_assert_int_eq(why.error, MG_SCAN_DUPLICATE);
}
END_TEST

/* A shape that contains itself follows the text to the depth ceiling and no further. */
START_TEST(depth_along_shapes) {
  static struct mg_shape self;
  static struct mg_field field = {"a", 1, 0, &self};
  self = (struct mg_shape){&field, 1};
  for (size_t n = MG_JSON_DEPTH - 2; n <= MG_JSON_DEPTH + 1; n++) {
    char *text = json_nested("{\"a\":", "[]", "}", n);
    int rc = mg_json_scan(mg_slice_z(text), &self, spans, 1, NULL, &why);
    ck_assert_int_eq(rc, n < MG_JSON_DEPTH ? MCPGW_OK : MCPGW_E_PARSE);
    if (rc != MCPGW_OK) ck_assert_int_eq(why.error, MG_SCAN_DEPTH);
    free(text);
  }
}
END_TEST

/* With a shape and without, the same texts are JSON; only a named key twice may make a difference. */
START_TEST(a_shape_does_not_change_the_grammar) {
  static const char text[] =
      "{\"id\":1,\"params\":{\"name\":\"a\\u0041\",\"_meta\":{\"progressToken\":[1]},\"u\":{}},\"\":2} ";
  char copy[sizeof text];
  memcpy(copy, text, sizeof text);
  for (size_t i = 0; i < sizeof text - 1; i++, copy[i - 1] = text[i - 1])
    for (int c = 0; c < 256; c++) {
      struct mg_scan_result plain;
      copy[i] = (char)c;
      doc = mg_slice(copy, sizeof text - 1);
      int with = mg_json_scan(doc, &shape, spans, N, NULL, &why);
      int without = mg_json_scan(doc, NULL, NULL, 0, NULL, &plain);
      if (why.error == MG_SCAN_DUPLICATE) continue;
      ck_assert_int_eq(with, without);
      ck_assert_int_eq(why.error, plain.error);
      ck_assert_uint_eq(why.at, plain.at);
    }
}
END_TEST

Suite *json_scan_suite(void) {
  Suite *s = suite_create("json scan");
  TCase *c = tcase_create("spans");
  tcase_add_test(c, finds_what_is_named);
  tcase_add_test(c, tells_where_the_key_is);
  tcase_add_test(c, every_type);
  tcase_add_loop_test(c, inner_of_another_type, 0, 4);
  tcase_add_test(c, an_array_root);
  tcase_add_test(c, failure_leaves_nothing_behind);
  tcase_add_test(c, slots_beyond_the_array);
  tcase_add_test(c, a_shape_too_wide);
  tcase_add_test(c, depth_along_shapes);
  tcase_add_test(c, a_shape_does_not_change_the_grammar);
  suite_add_tcase(s, c);
  c = tcase_create("keys");
  tcase_add_loop_test(c, keys_in_disguise, 0, 3);
  tcase_add_test(c, keys_that_only_look_alike);
  tcase_add_test(c, the_empty_key);
  tcase_add_test(c, a_named_key_twice);
  tcase_add_loop_test(c, payload_may_repeat_itself, 0, 5);
  suite_add_tcase(s, c);
  return s;
}
