/* RFC 8259 by tables: what the scanner must accept and refuse, where it puts the fault, and that a text
 * cut or changed at any byte is judged as jansson judges it. */
#include "json/json_agree.h"
#include "json/json_suites.h"

#define L(s) \
  { s, sizeof(s) - 1 }

static const char *const good[] = {"0",
                                   "-0",
                                   "1",
                                   "-1",
                                   "10",
                                   "1.5",
                                   "-1.5e10",
                                   "1E+2",
                                   "1e-2",
                                   "0e0",
                                   "0E+00",
                                   "1.000",
                                   "0.0e-0",
                                   "123456789012345678901234567890",
                                   "1e999999999",
                                   "-1E-999999999",
                                   "\"\"",
                                   "\"a\"",
                                   "\" \"",
                                   "\"\\\"\"",
                                   "\"\\\\\"",
                                   "\"\\\\\\\"\"",
                                   "\"\\/\\b\\f\\n\\r\\t\"",
                                   "\"\\u0000\"",
                                   "\"\\uABCD\\uabcd\\u0123\"",
                                   "\"\\ud800\"",
                                   "\"\\uDFFF\\uD800\"",
                                   "\"\\ud800\\u0041\"",
                                   "\"\x7f\"",
                                   "\"\xc2\x80\"",
                                   "\"\xdf\xbf\"",
                                   "\"\xe0\xa0\x80\"",
                                   "\"\xed\x9f\xbf\"",
                                   "\"\xee\x80\x80\"",
                                   "\"\xef\xbf\xbf\"",
                                   "\"\xf0\x90\x80\x80\"",
                                   "\"\xf4\x8f\xbf\xbf\"",
                                   "\"1234567\"",
                                   "\"12345678\"",
                                   "\"123456789\"",
                                   "\"1234567\\n\"",
                                   "\"12345678\\n\"",
                                   "\"1234567\xc3\xa9\"",
                                   "\"abcdefghijklmnopqrstuvwxyz0123456789\"",
                                   "\"// no comment /* */\"",
                                   "\"'\"",
                                   "\"[]{}:,\"",
                                   "true",
                                   "false",
                                   "null",
                                   "[]",
                                   "{}",
                                   "[ ]",
                                   "{ }",
                                   "[[]]",
                                   "[{}]",
                                   "{\"a\":{}}",
                                   "{\"\":\"\"}",
                                   "{\"a\":1,\"a\":2}",
                                   "{\"a\":1,\"\\u0061\":2}",
                                   "[1,2,3]",
                                   "[null,true,false,\"\",0,{},[]]",
                                   "{\"a\":[{\"b\":[{\"c\":[]}]}]}",
                                   "[\n1\r,\t2 ]",
                                   "{\t\"a\"\n:\r1 , \"b\":2}",
                                   "[                                 1                 ]",
                                   "\"\\ud83d\\ude00\"",
                                   "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"",
                                   NULL};

/* Each must fail as the value in an array and as the value of a member. */
static const struct mg_slice bad[] = {L(""),
                                      L("+1"),
                                      L("-"),
                                      L("--1"),
                                      L("01"),
                                      L("-01"),
                                      L("00"),
                                      L("1."),
                                      L(".1"),
                                      L("-.1"),
                                      L("1.e1"),
                                      L("1e"),
                                      L("1e+"),
                                      L("1e-"),
                                      L("1E+-1"),
                                      L("1.2.3"),
                                      L("1e1.5"),
                                      L("1e1e1"),
                                      L("0x10"),
                                      L("0b1"),
                                      L("1_000"),
                                      L("1 000"),
                                      L("1a"),
                                      L("1f"),
                                      L("- 1"),
                                      L("1,"),
                                      L(",1"),
                                      L("1,,2"),
                                      L("Infinity"),
                                      L("-Infinity"),
                                      L("NaN"),
                                      L("-NaN"),
                                      L("nan"),
                                      L("inf"),
                                      L("\xef\xbc\x91"),
                                      L("0\x00"),
                                      L("tru"),
                                      L("truE"),
                                      L("True"),
                                      L("TRUE"),
                                      L("truee"),
                                      L("fals"),
                                      L("falsE"),
                                      L("nul"),
                                      L("nuLL"),
                                      L("nulll"),
                                      L("none"),
                                      L("undefined"),
                                      L("t"),
                                      L("f"),
                                      L("n"),
                                      L("a"),
                                      L("true false"),
                                      L("\""),
                                      L("\"a"),
                                      L("a\""),
                                      L("'a'"),
                                      L("`a`"),
                                      L("\"\\\""),
                                      L("\"\\x41\""),
                                      L("\"\\a\""),
                                      L("\"\\v\""),
                                      L("\"\\0\""),
                                      L("\"\\'\""),
                                      L("\"\\ \""),
                                      L("\"\\U0041\""),
                                      L("\"\\u\""),
                                      L("\"\\u0\""),
                                      L("\"\\u00\""),
                                      L("\"\\u000\""),
                                      L("\"\\u000g\""),
                                      L("\"\\u+123\""),
                                      L("\"\\u 123\""),
                                      L("\"\\u-123\""),
                                      L("\"\\u00\\n\""),
                                      L("\"\\u004`\""),
                                      L("\"\\u004@\""),
                                      L("\"\\u004G\""),
                                      L("\"\\u004/\""),
                                      L("\"\\u004:\""),
                                      L("\"\\\xc3\xa9\""),
                                      L("\"\\\""),
                                      L("\"\x00\""),
                                      L("\"\x01\""),
                                      L("\"\t\""),
                                      L("\"\n\""),
                                      L("\"\r\""),
                                      L("\"\x1f\""),
                                      L("\"1234567\x1f\""),
                                      L("\"12345678\x00\""),
                                      L("\"\x80\""),
                                      L("\"\xbf\""),
                                      L("\"\xc0\x80\""),
                                      L("\"\xc1\xbf\""),
                                      L("\"\xc2\""),
                                      L("\"\xc2\x41\""),
                                      L("\"\xc2\xc2\""),
                                      L("\"\xe0\x9f\xbf\""),
                                      L("\"\xe0\x80\x80\""),
                                      L("\"\xed\xa0\x80\""),
                                      L("\"\xed\xbf\xbf\""),
                                      L("\"\xe1\x80\""),
                                      L("\"\xe1\x80\x41\""),
                                      L("\"\xf0\x8f\xbf\xbf\""),
                                      L("\"\xf0\x80\x80\x80\""),
                                      L("\"\xf4\x90\x80\x80\""),
                                      L("\"\xf5\x80\x80\x80\""),
                                      L("\"\xf8\x88\x80\x80\x80\""),
                                      L("\"\xfe\""),
                                      L("\"\xff\""),
                                      L("\"\xf1\x80\x80\""),
                                      L("\"\xf1\x80\x80\x41\""),
                                      L("\"\xc3\xa9\xa9\""),
                                      L("\"1234567\xff\""),
                                      L("["),
                                      L("]"),
                                      L("{"),
                                      L("}"),
                                      L("[1"),
                                      L("1]"),
                                      L("[,]"),
                                      L("[1,]"),
                                      L("[,1]"),
                                      L("[1,,2]"),
                                      L("[1 2]"),
                                      L("[1:2]"),
                                      L("[1;2]"),
                                      L("[}"),
                                      L("{]"),
                                      L("[1}"),
                                      L("{\"a\":1]"),
                                      L("[[]"),
                                      L("[]]"),
                                      L("[\"a\"\"b\"]"),
                                      L("[]1"),
                                      L("[] []"),
                                      L("{,}"),
                                      L("{\"a\"}"),
                                      L("{\"a\":}"),
                                      L("{:1}"),
                                      L("{1:1}"),
                                      L("{a:1}"),
                                      L("{'a':1}"),
                                      L("{\"a\" 1}"),
                                      L("{\"a\",1}"),
                                      L("{\"a\"::1}"),
                                      L("{\"a\":1,}"),
                                      L("{\"a\":1,,\"b\":2}"),
                                      L("{\"a\":1 \"b\":2}"),
                                      L("{\"a\":1;\"b\":2}"),
                                      L("{\"a\":1:\"b\":2}"),
                                      L("{\"a\":1,2}"),
                                      L("{\"a\":1,\"b\"}"),
                                      L("{null:1}"),
                                      L("{[]:1}"),
                                      L("{{}:1}"),
                                      L("{\"a\\\":1}"),
                                      L("{\"a\\x\":1}"),
                                      L("{\"\xff\":1}"),
                                      L("{\"a\"=1}"),
                                      L("/**/1"),
                                      L("1/**/"),
                                      L("//1"),
                                      L("#1"),
                                      L("1;"),
                                      L("\x0b"
                                        "1"),
                                      L("\x0c"
                                        "1"),
                                      L("\xc2\xa0"
                                        "1"),
                                      L("\xe2\x80\xa8"
                                        "1"),
                                      L("\xef\xbb\xbf"
                                        "1"),
                                      L("\x00"),
                                      L("\x1a"),
                                      L("*"),
                                      L("&"),
                                      L("<1>"),
                                      L("(1)"),
                                      L("\\u0031"),
                                      L("\x7f"),
                                      L("\x80"),
                                      L("\xff")};

static const struct {
  struct mg_slice text;
  int error;
  size_t at;
} faults[] = {
    {L(""), MG_SCAN_TRUNCATED, 0},
    {L("  \n"), MG_SCAN_TRUNCATED, 3},
    {L("1"), MG_SCAN_SYNTAX, 0},
    {L(" \"a\""), MG_SCAN_SYNTAX, 1},
    {L("null"), MG_SCAN_SYNTAX, 0},
    {L("\xef\xbb\xbf{}"), MG_SCAN_SYNTAX, 0},
    {L("{} x"), MG_SCAN_SYNTAX, 3},
    {L("{}{}"), MG_SCAN_SYNTAX, 2},
    {L("[] ]"), MG_SCAN_SYNTAX, 3},
    {L("{}\0"), MG_SCAN_SYNTAX, 2},
    {L("{\"a\":01}"), MG_SCAN_SYNTAX, 6},
    {L("{\"a\":nulx}"), MG_SCAN_SYNTAX, 8},
    {L("[\"ab\ncd\"]"), MG_SCAN_SYNTAX, 4},
    {L("[\"\\q\"]"), MG_SCAN_SYNTAX, 3},
    {L("[\"\\u12x4\"]"), MG_SCAN_SYNTAX, 6},
    {L("[\"ab\xff\"]"), MG_SCAN_UTF8, 4},
    {L("[\"\xed\xa0\x80\"]"), MG_SCAN_UTF8, 2},
    {L("[\"\xed\xa0"), MG_SCAN_UTF8, 2},
    {L("[\"\xed"), MG_SCAN_TRUNCATED, 3},
    {L("[\"\xf4\x8f"), MG_SCAN_TRUNCATED, 4},
    {L("[\"\xf4\x90"), MG_SCAN_UTF8, 2},
    {L("[\"\xe0\xa0"), MG_SCAN_TRUNCATED, 4},
    {L("[\"\xe0\x9f"), MG_SCAN_UTF8, 2},
    {L("[\"\xc1"), MG_SCAN_UTF8, 2},
    {L("[1,2"), MG_SCAN_TRUNCATED, 4},
    {L("{\"a\":tru"), MG_SCAN_TRUNCATED, 8},
};

/* Scans a tight copy, so that a read past the end shows. */
static int judge(struct mg_slice doc, struct mg_scan_result *why) {
  char *copy = json_tight(doc.ptr, doc.len);
  int rc = mg_json_scan(mg_slice(copy, doc.len), NULL, NULL, 0, NULL, why);
  free(copy);
  return rc;
}

/* head, value and tail in one; free ptr. */
static struct mg_slice wrap(const char *head, struct mg_slice value, const char *tail) {
  size_t h = strlen(head), t = strlen(tail);
  char *out = malloc(h + value.len + t + 1);
  ck_assert_ptr_nonnull(out);
  memcpy(out, head, h);
  memcpy(out + h, value.ptr, value.len);
  memcpy(out + h + value.len, tail, t + 1);
  return mg_slice(out, h + value.len + t);
}

static const char *const heads[] = {"[", "{\"k\":", " \t\r\n[ \n", "[[1],", "{\"a\":{\"b\": "};
static const char *const tails[] = {"]", "}", " ]\n", ",{}]", " }\n}"};

START_TEST(accepts) {
  for (size_t k = 0; good[k]; k++) {
    struct mg_scan_result why;
    struct mg_slice doc = wrap(heads[_i], mg_slice_z(good[k]), tails[_i]);
    ck_assert_msg(judge(doc, &why) == MCPGW_OK, "%s: %s at %zu", doc.ptr, mg_scan_strerror(why.error),
                  why.at);
    ck_assert_int_eq(why.error, MG_SCAN_OK);
    free((char *)(uintptr_t)doc.ptr);
  }
}
END_TEST

START_TEST(refuses) {
  for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
    struct mg_scan_result why;
    struct mg_slice doc = wrap(heads[_i], bad[k], tails[_i]);
    if (bad[k].len == 0) doc.len -= strlen(tails[_i]); /* [] would be fine */
    ck_assert_msg(judge(doc, &why) == MCPGW_E_PARSE, "accepted: %.*s", (int)doc.len, doc.ptr);
    ck_assert_int_ne(why.error, MG_SCAN_OK);
    ck_assert_int_ne(why.error, MG_SCAN_DUPLICATE);
    free((char *)(uintptr_t)doc.ptr);
  }
}
END_TEST

START_TEST(names_the_fault) {
  struct mg_scan_result why;
  ck_assert_int_eq(judge(faults[_i].text, &why), MCPGW_E_PARSE);
  ck_assert_int_eq(why.error, faults[_i].error);
  ck_assert_uint_eq(why.at, faults[_i].at);
}
END_TEST

START_TEST(every_fault_has_a_text) {
  for (int a = MG_SCAN_OK; a <= MG_SCAN_TRUNCATED + 1; a++)
    for (int b = MG_SCAN_OK; b < a; b++) ck_assert_str_ne(mg_scan_strerror(a), mg_scan_strerror(b));
}
END_TEST

static const char sample[] =
    " {\"jsonrpc\" : \"2.0\",\"id\":-12.5e+3,\"p\":[true,false,null,{},[ ]],\n"
    "\"t\":\"a\\\"\\\\\\/\\u00e9\\ud83d\\ude00 \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 plain text of some "
    "length\",\"n\":{\"x\":{\"y\":[0,0.1,1E5]}}}";

/* A text cut anywhere is cut short: that, at its end, and nothing else. */
START_TEST(cut_at_each_byte) {
  struct mg_scan_result why;
  ck_assert_int_eq(judge(mg_slice_z(sample), &why), MCPGW_OK);
  for (size_t n = 0; n < sizeof sample - 1; n++) {
    ck_assert_int_eq(judge(mg_slice(sample, n), &why), MCPGW_E_PARSE);
    ck_assert_msg(why.error == MG_SCAN_TRUNCATED && why.at == n, "cut at %zu: %s at %zu", n,
                  mg_scan_strerror(why.error), why.at);
  }
}
END_TEST

static void must_agree(struct mg_slice doc) {
  struct mg_scan_result why;
  int rc = judge(doc, &why);
  const char *fault = json_disagree(doc, rc, &why);
  ck_assert_msg(fault == NULL, "%s: %.*s", fault, (int)doc.len, doc.ptr);
}

START_TEST(change_each_byte) {
  char text[sizeof sample];
  memcpy(text, sample, sizeof sample);
  for (size_t i = 0; i < sizeof sample - 1; i++) {
    for (int c = 0; c < 256; c++) {
      text[i] = (char)c;
      must_agree(mg_slice(text, sizeof sample - 1));
    }
    text[i] = sample[i];
  }
}
END_TEST

START_TEST(drop_and_double_each_byte) {
  char text[sizeof sample + 1];
  size_t len = sizeof sample - 1;
  for (size_t i = 0; i < len; i++) {
    memcpy(text, sample, i);
    memcpy(text + i, sample + i + 1, len - i - 1);
    must_agree(mg_slice(text, len - 1));
    memcpy(text + i, sample + i, 1);
    memcpy(text + i + 1, sample + i, len - i);
    must_agree(mg_slice(text, len + 1));
  }
}
END_TEST

/* Every two-byte and every three-byte start of a sequence, complete with fixed tails. */
START_TEST(utf8_as_jansson) {
  for (unsigned a = 0x80; a < 0x100; a++)
    for (unsigned b = 0x7F; b < 0x100; b++)
      for (unsigned n = 2; n <= 5; n++) {
        char text[] = {'[', '"', (char)a, (char)b, (char)0x80, (char)0x80, (char)0x80, 0, 0};
        text[2 + n] = '"';
        text[3 + n] = ']';
        must_agree(mg_slice(text, 4 + n));
      }
}
END_TEST

/* A byte that ends plain text is found at every distance from the start and from the end. */
START_TEST(strings_of_every_length) {
  static const struct {
    struct mg_slice piece;
    int ok;
  } pieces[] = {{L(""), 1},  {L("\\n"), 1},  {L("\xc3\xa9"), 1}, {L("\x7f"), 1},
                {L("!"), 1}, {L("\x1f"), 0}, {L("\xff"), 0},     {L("\\"), 0}};
  char text[80];
  struct mg_scan_result why;
  for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++)
    for (size_t a = 0; a <= 24; a++)
      for (size_t b = 0; b <= 24; b++) {
        size_t n = 0;
        memcpy(text, "[\"", 2);
        memset(text + 2, 'x', a);
        n = 2 + a;
        memcpy(text + n, pieces[k].piece.ptr, pieces[k].piece.len);
        n += pieces[k].piece.len;
        memset(text + n, 'y', b);
        n += b;
        memcpy(text + n, "\"]", 2);
        ck_assert_int_eq(judge(mg_slice(text, n + 2), &why), pieces[k].ok ? MCPGW_OK : MCPGW_E_PARSE);
      }
}
END_TEST

START_TEST(depth_has_a_ceiling) {
  static const char *const kinds[][3] = {
      {"[", "", "]"}, {"[", "{}", "]"}, {"{\"a\":", "[]", "}"}, {"[{\"a\":", "0", "}]"}};
  static const size_t per[] = {1, 1, 1, 2}, core[] = {0, 1, 1, 0};
  size_t most = (MG_JSON_DEPTH - core[_i]) / per[_i];
  struct mg_scan_result why;
  for (size_t n = most - 1; n <= most + 2; n++) {
    char *text = json_nested(kinds[_i][0], kinds[_i][1], kinds[_i][2], n);
    ck_assert_int_eq(judge(mg_slice_z(text), &why), n <= most ? MCPGW_OK : MCPGW_E_PARSE);
    if (n > most) ck_assert_int_eq(why.error, MG_SCAN_DEPTH);
    free(text);
  }
}
END_TEST

START_TEST(depth_of_a_hostile_text) {
  struct mg_scan_result why;
  size_t n = (size_t)1 << 20;
  char *text = malloc(n);
  ck_assert_ptr_nonnull(text);
  memset(text, '[', n);
  ck_assert_int_eq(mg_json_scan(mg_slice(text, n), NULL, NULL, 0, NULL, &why), MCPGW_E_PARSE);
  ck_assert_int_eq(why.error, MG_SCAN_DEPTH);
  ck_assert_uint_eq(why.at, MG_JSON_DEPTH);
  free(text);
}
END_TEST

START_TEST(nasty_payload_scans) {
  for (size_t k = 0; json_nasty[k]; k++) {
    struct mg_scan_result why;
    struct mg_slice doc = wrap("[", mg_slice_z(json_nasty[k]), "]");
    ck_assert_msg(judge(doc, &why) == MCPGW_OK, "%s", doc.ptr);
    must_agree(doc);
    free((char *)(uintptr_t)doc.ptr);
  }
}
END_TEST

Suite *json_grammar_suite(void) {
  Suite *s = suite_create("json grammar");
  TCase *c = tcase_create("tables");
  tcase_add_loop_test(c, accepts, 0, 5);
  tcase_add_loop_test(c, refuses, 0, 5);
  tcase_add_loop_test(c, names_the_fault, 0, (int)(sizeof faults / sizeof faults[0]));
  tcase_add_test(c, every_fault_has_a_text);
  tcase_add_test(c, nasty_payload_scans);
  suite_add_tcase(s, c);
  c = tcase_create("damage");
  tcase_set_timeout(c, 60);
  tcase_add_test(c, cut_at_each_byte);
  tcase_add_test(c, change_each_byte);
  tcase_add_test(c, drop_and_double_each_byte);
  tcase_add_test(c, utf8_as_jansson);
  tcase_add_test(c, strings_of_every_length);
  suite_add_tcase(s, c);
  c = tcase_create("depth");
  tcase_add_loop_test(c, depth_has_a_ceiling, 0, 4);
  tcase_add_test(c, depth_of_a_hostile_text);
  suite_add_tcase(s, c);
  return s;
}
