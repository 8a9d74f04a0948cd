/* Walking scanned documents, and strings and integers as text and numbers. */
#include <jansson.h>

#include "base/mem.h"
#include "mcpgw/types.h"
#include "json/json_suites.h"

START_TEST(walks_members_in_order) {
  struct mg_slice doc = mg_slice_z(" { \"a\" : 1 ,\"b\":[2,{\"c\":3}]\n,\"a\":\"x\\ty\"} ");
  static const char *const keys[] = {"\"a\"", "\"b\"", "\"a\""}, *const values[] = {"1", "[2,{\"c\":3}]",
                                                                                    "\"x\\ty\""};
  struct mg_span root = json_root(doc), key, value;
  size_t pos = 0, n = 0;
  for (; mg_json_member(doc, root, &pos, &key, &value); n++) {
    ck_assert_uint_lt(n, 3);
    ck_assert(mg_slice_eqz(mg_span_slice(doc, key), keys[n]));
    ck_assert(mg_slice_eqz(mg_span_slice(doc, value), values[n]));
    ck_assert_uint_eq(value.key_off, key.off);
    ck_assert_int_eq(value.escaped, n == 2);
  }
  ck_assert_uint_eq(n, 3);
  ck_assert_int_eq(mg_json_member(doc, root, &pos, &key, &value), 0); /* stays at the end */
}
END_TEST

START_TEST(walks_items_in_order) {
  struct mg_slice doc = mg_slice_z("{\"x\":[ 1,\"]\" , [ ] ,{\"k\":[5]}, null ]}");
  static const char *const items[] = {"1", "\"]\"", "[ ]", "{\"k\":[5]}", "null"};
  struct mg_span array, item;
  size_t pos = 0, n = 0;
  ck_assert_int_eq(mg_json_get(doc, json_root(doc), "x", &array), 1);
  for (; mg_json_item(doc, array, &pos, &item); n++) {
    ck_assert_uint_lt(n, 5);
    ck_assert(mg_slice_eqz(mg_span_slice(doc, item), items[n]));
    ck_assert_uint_eq(item.key_off, 0);
  }
  ck_assert_uint_eq(n, 5);
}
END_TEST

START_TEST(nothing_to_walk) {
  static const char *const texts[] = {"{}", "{ \n}", "[]", "[ ]"};
  struct mg_span value, none = {0};
  for (size_t i = 0; i < 4; i++) {
    struct mg_slice doc = mg_slice_z(texts[i]);
    struct mg_span root = json_root(doc);
    size_t pos = 0;
    ck_assert_int_eq(mg_json_member(doc, root, &pos, NULL, &value), 0);
    ck_assert_int_eq(mg_json_item(doc, root, &pos, &value), 0);
    ck_assert_int_eq(mg_json_member(doc, none, &pos, NULL, &value), 0);
    ck_assert_int_eq(mg_json_item(doc, none, &pos, &value), 0);
  }
}
END_TEST

/* Spans that do not belong to the document, and text nobody scanned, end the walk and read nothing. */
START_TEST(walks_of_rubbish_end) {
  static const char *const texts[] = {"{",   "{\"",   "{\"a",      "{\"a\"", "{\"a\":", "{\"a\":1", "{,",
                                      "{,}", "{1:2}", "{\"a\" 1}", "[",      "[1",      "[,"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    size_t len = strlen(texts[i]), pos = 0, n = 0;
    char *copy = json_tight(texts[i], len);
    struct mg_slice doc = mg_slice(copy, len);
    struct mg_span o = {.len = len, .type = MG_JSON_OBJECT}, a = {.len = len, .type = MG_JSON_ARRAY}, out,
                   key;
    struct mg_span far = {.off = 3, .len = SIZE_MAX, .type = MG_JSON_OBJECT};
    while (n < 9 && mg_json_member(doc, o, &pos, &key, &out)) n++;
    pos = 0;
    while (n < 9 && mg_json_item(doc, a, &pos, &out)) n++;
    ck_assert_uint_le(n, 2);
    pos = 0;
    ck_assert_int_eq(mg_json_member(doc, far, &pos, &key, &out), 0);
    pos = 99;
    ck_assert_int_eq(mg_json_member(doc, o, &pos, &key, &out), 0);
    ck_assert_uint_eq(mg_span_slice(doc, far).len, 0);
    free(copy);
  }
}
END_TEST

START_TEST(gets_the_first_of_a_name) {
  struct mg_slice doc = mg_slice_z("{\"a\":1,\"\\u0062\":2,\"a\":3,\"c\":{\"d\":4}}");
  struct mg_span root = json_root(doc), v = {0};
  int64_t n = 0;
  ck_assert_int_eq(mg_json_get(doc, root, "a", &v), 1);
  ck_assert_int_eq(mg_span_i64(doc, v, &n), MCPGW_OK);
  ck_assert_int_eq(n, 1);
  ck_assert_int_eq(mg_json_get(doc, root, "b", &v), 1);
  ck_assert_uint_eq(v.key_off, 7);
  ck_assert_int_eq(mg_json_get(doc, root, "d", &v), 0);
  ck_assert_uint_eq(v.key_off, 7); /* untouched */
}
END_TEST

START_TEST(the_whole_of_a_document) {
  static const struct {
    const char *text;
    int type, escaped;
    size_t off, len;
  } w[] = {{" {} ", MG_JSON_OBJECT, 0, 1, 2},
           {"[1]\n", MG_JSON_ARRAY, 0, 0, 3},
           {"\t\"a\\n\" ", MG_JSON_STRING, 1, 1, 5},
           {"\"a\"", MG_JSON_STRING, 0, 0, 3},
           {" -1.5 ", MG_JSON_NUMBER, 0, 1, 4},
           {"true", MG_JSON_TRUE, 0, 0, 4},
           {"false", MG_JSON_FALSE, 0, 0, 5},
           {"null ", MG_JSON_NULL, 0, 0, 4},
           {"", MG_JSON_NONE, 0, 0, 0},
           {" \n", MG_JSON_NONE, 0, 0, 0},
           {"[\"\\n\"]", MG_JSON_ARRAY, 0, 0, 6}};
  struct mg_span s = mg_json_whole(mg_slice_z(w[_i].text));
  ck_assert_int_eq(s.type, w[_i].type);
  ck_assert_int_eq(s.escaped, w[_i].escaped);
  ck_assert_uint_eq(s.off, w[_i].off);
  ck_assert_uint_eq(s.len, w[_i].len);
}
END_TEST

START_TEST(slices_of_spans) {
  struct mg_slice doc = mg_slice_z(" \"a\\nb\" ");
  struct mg_span s = mg_json_whole(doc);
  ck_assert(mg_slice_eqz(mg_span_slice(doc, s), "\"a\\nb\""));
  ck_assert(mg_slice_eqz(mg_span_inner(doc, s), "a\\nb"));
  doc = mg_slice_z("12");
  ck_assert_uint_eq(mg_span_inner(doc, mg_json_whole(doc)).len, 0);
}
END_TEST

/* text NULL: an escape in it stands for no text */
static const struct {
  const char *json;
  const char *text;
  size_t len;
} strings[] = {{"\"\"", "", 0},
               {"\"abc\"", "abc", 3},
               {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
               {"\"\\u0000\"", "\0", 1},
               {"\"a\\u0041b\"", "aAb", 3},
               {"\"\\u007f\\u0080\"", "\x7f\xc2\x80", 3},
               {"\"\\u07ff\\u0800\"", "\xdf\xbf\xe0\xa0\x80", 5},
               {"\"\\uFFFF\"", "\xef\xbf\xbf", 3},
               {"\"\\uD7FF\\ue000\"", "\xed\x9f\xbf\xee\x80\x80", 6},
               {"\"\\ud800\\udc00\"", "\xf0\x90\x80\x80", 4},
               {"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4},
               {"\"x\\ud83d\\ude00y\"", "x\xf0\x9f\x98\x80y", 6},
               {"\"\xc3\xa9\\u00e9\"", "\xc3\xa9\xc3\xa9", 4},
               {"\"\\\\u0041\"", "\\u0041", 6},
               {"\"\\ud800\"", NULL, 0},
               {"\"\\udc00\"", NULL, 0},
               {"\"\\ud800x\"", NULL, 0},
               {"\"\\ud800\\n\"", NULL, 0},
               {"\"\\ud800\\ud800\"", NULL, 0},
               {"\"\\udc00\\ud800\"", NULL, 0},
               {"\"\\ud800\\u0041\"", NULL, 0},
               {"\"ok\\udfff\"", NULL, 0}};
#define N_STRINGS ((int)(sizeof strings / sizeof strings[0]))

START_TEST(unescapes) {
  struct mg_slice doc = mg_slice_z(strings[_i].json), view = mg_slice("?", 1);
  struct mg_span s = mg_json_whole(doc);
  struct mg_buf b;
  mg_buf_init(&b, 64);
  ck_assert_int_eq(mg_buf_addz(&b, "pre"), MCPGW_OK);
  int rc = mg_span_unescape(doc, s, &b);
  if (strings[_i].text) {
    ck_assert_int_eq(rc, MCPGW_OK);
    ck_assert_uint_eq(b.len, 3 + strings[_i].len);
    ck_assert_mem_eq(b.ptr + 3, strings[_i].text, strings[_i].len);
    ck_assert_int_eq(mg_span_text(doc, s, &b, &view), MCPGW_OK);
    ck_assert_int_eq(mg_slice_eq(view, mg_slice(strings[_i].text, strings[_i].len)), 1);
    if (!s.escaped) ck_assert_ptr_eq(view.ptr, doc.ptr + 1); /* no copy */
  } else {
    ck_assert_int_eq(rc, MCPGW_E_PARSE);
    ck_assert_int_eq(mg_span_text(doc, s, &b, &view), MCPGW_E_PARSE);
    ck_assert_uint_eq(b.len, 3);
    ck_assert(mg_slice_eqz(view, "?"));
  }
  mg_buf_done(&b);
}
END_TEST

START_TEST(compares_after_unescaping) {
  struct mg_slice doc = mg_slice_z(strings[_i].json);
  struct mg_span s = mg_json_whole(doc);
  for (int k = 0; k < N_STRINGS; k++) {
    if (!strings[k].text) continue;
    struct mg_slice text = mg_slice(strings[k].text, strings[k].len);
    int same = strings[_i].text && mg_slice_eq(text, mg_slice(strings[_i].text, strings[_i].len));
    ck_assert_int_eq(mg_span_streq(doc, s, text), same);
    if (!same || !text.len) continue;
    ck_assert_int_eq(mg_span_streq(doc, s, mg_slice(text.ptr, text.len - 1)), 0);
    ck_assert_int_eq(mg_span_streq(doc, s, mg_slice(text.ptr, text.len + 1)), 0);
  }
}
END_TEST

/* Every code point by \u, against jansson's decoder. */
START_TEST(every_code_point) {
  for (unsigned c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
    char json[32];
    if (c >= 0xD800 && c < 0xE000) continue;
    if (c < 0x10000) snprintf(json, sizeof json, "\"\\u%04X\"", c);
    else
      snprintf(json, sizeof json, "\"\\u%04x\\u%04x\"", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF));
    json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(v);
    struct mg_slice doc = mg_slice_z(json);
    ck_assert_int_eq(
        mg_span_streq(doc, mg_json_whole(doc), mg_slice(json_string_value(v), json_string_length(v))), 1);
    json_decref(v);
  }
}
END_TEST

START_TEST(only_strings_have_text) {
  static const char *const texts[] = {"{}", "[]", "1", "true", "null", ""};
  struct mg_slice doc = mg_slice_z(texts[_i]), view;
  struct mg_buf b;
  mg_buf_init(&b, 64);
  ck_assert_int_eq(mg_span_unescape(doc, mg_json_whole(doc), &b), MCPGW_E_PARSE);
  ck_assert_int_eq(mg_span_text(doc, mg_json_whole(doc), &b, &view), MCPGW_E_PARSE);
  ck_assert_int_eq(mg_span_streq(doc, mg_json_whole(doc), doc), 0);
  ck_assert_int_eq(mg_span_streq(doc, mg_json_whole(doc), mg_slice("", 0)), 0);
  mg_buf_done(&b);
}
END_TEST

START_TEST(the_buffer_has_the_last_word) {
  struct mg_slice doc = mg_slice_z("\"abc\\ndef\"");
  struct mg_buf b;
  mg_buf_init(&b, 5);
  ck_assert_int_eq(mg_span_unescape(doc, mg_json_whole(doc), &b), MCPGW_E_LIMIT);
  ck_assert_uint_eq(b.len, 0);
  mg_buf_done(&b);
  mg_buf_init(&b, 64);
  mg_mem_fail_after(1, 0);
  ck_assert_int_eq(mg_span_unescape(doc, mg_json_whole(doc), &b), MCPGW_E_NOMEM);
  mg_mem_fail_after(0, 0);
  mg_buf_done(&b);
}
END_TEST

START_TEST(integers) {
  static const struct {
    const char *text;
    int rc;
    int64_t value;
  } ints[] = {{"0", MCPGW_OK, 0},
              {"-0", MCPGW_OK, 0},
              {"7", MCPGW_OK, 7},
              {"-7", MCPGW_OK, -7},
              {"9223372036854775807", MCPGW_OK, INT64_MAX},
              {"-9223372036854775808", MCPGW_OK, INT64_MIN},
              {"9223372036854775808", MCPGW_E_LIMIT, 0},
              {"-9223372036854775809", MCPGW_E_LIMIT, 0},
              {"18446744073709551616", MCPGW_E_LIMIT, 0},
              {"99999999999999999999999999", MCPGW_E_LIMIT, 0},
              {"1.0", MCPGW_E_PARSE, 0},
              {"1e3", MCPGW_E_PARSE, 0},
              {"99999999999999999999.5", MCPGW_E_PARSE, 0},
              {"\"1\"", MCPGW_E_PARSE, 0},
              {"true", MCPGW_E_PARSE, 0},
              {"null", MCPGW_E_PARSE, 0},
              {"", MCPGW_E_PARSE, 0},
              {"-", MCPGW_E_PARSE, 0}};
  struct mg_slice doc = mg_slice_z(ints[_i].text);
  int64_t n = 77;
  ck_assert_int_eq(mg_span_i64(doc, mg_json_whole(doc), &n), ints[_i].rc);
  ck_assert_int_eq(n, ints[_i].rc == MCPGW_OK ? ints[_i].value : 77);
}
END_TEST

Suite *json_member_suite(void) {
  Suite *s = suite_create("json member");
  TCase *c = tcase_create("walk");
  tcase_add_test(c, walks_members_in_order);
  tcase_add_test(c, walks_items_in_order);
  tcase_add_test(c, nothing_to_walk);
  tcase_add_test(c, walks_of_rubbish_end);
  tcase_add_test(c, gets_the_first_of_a_name);
  tcase_add_loop_test(c, the_whole_of_a_document, 0, 11);
  suite_add_tcase(s, c);
  c = tcase_create("text");
  tcase_add_test(c, slices_of_spans);
  tcase_add_loop_test(c, unescapes, 0, N_STRINGS);
  tcase_add_loop_test(c, compares_after_unescaping, 0, N_STRINGS);
  tcase_add_test(c, every_code_point);
  tcase_add_loop_test(c, only_strings_have_text, 0, 6);
  tcase_add_test(c, the_buffer_has_the_last_word);
  tcase_add_loop_test(c, integers, 0, 18);
  suite_add_tcase(s, c);
  return s;
}
