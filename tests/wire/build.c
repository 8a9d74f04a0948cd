/* tests/wire/build: what the gateway writes itself is valid JSON whatever it is told, and says what the
 * tables of revisions, reasons and statuses promise. */
#include <stdio.h>
#include <string.h>

#include "mcpgw/types.h"
#include "wire/build.h"
#include "wire/suites.h"

static void is(const struct mg_buf *b, const char *text) {
  ck_assert_int_eq(mg_buf_rc(b), MCPGW_OK);
  ck_assert_msg(mg_slice_eqz(mg_buf_slice(b), text), "%.*s", (int)b->len, b->ptr);
}

START_TEST(errors_of_json_rpc) {
  struct mg_buf b;
  struct mg_fault f = {.code = -32601, .delivered = -1, .text = "Method not found"};
  mg_buf_init(&b, 1000);
  mg_build_error(&b, MG_LIT("\"a\\u0001\""), &f);
  is(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0001\",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}");
  mg_buf_reset(&b);
  f.data = MG_LIT("{\"uri\":\"x\"}");
  mg_build_error(&b, mg_slice(NULL, 0), &f);
  is(&b, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32601,\"message\":\"Method not found\",\"data\":{\"uri\":\"x\"}}}");
  mg_buf_done(&b);
}
END_TEST

START_TEST(errors_of_our_own) {
  struct mg_buf b;
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_TIMEOUT, .delivered = 2, .retry_after_ms = 18446744073709551615u,
                       .upstream = "a\"b", .text = "late"};
  mg_buf_init(&b, 1000);
  mg_build_error(&b, MG_LIT("7"), &f);
  is(&b, "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-31003,\"message\":\"late\",\"data\":{\"origin\":\"gateway\","
         "\"reason\":\"UPSTREAM_TIMEOUT\",\"upstream\":\"a\\\"b\",\"delivered\":\"unknown\",\"retry_after_ms\":18446744073709551615}}}");
  mg_buf_reset(&b);
  f = (struct mg_fault){.reason = MG_WHY_STATE_LOST, .delivered = 0};
  mg_build_error(&b, MG_LIT("7"), &f); /* no text: the name stands in */
  is(&b, "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-31007,\"message\":\"STATE_LOST\",\"data\":{\"origin\":\"gateway\","
         "\"reason\":\"STATE_LOST\",\"delivered\":\"no\"}}}");
  mg_buf_done(&b);
}
END_TEST

/* Any bytes but NUL may end up in a text: names cut in the middle of a character, what an upstream said. */
START_TEST(any_text_makes_valid_json) {
  struct mg_buf b;
  char text[64];
  uint32_t seed = 12345;
  mg_buf_init(&b, 4096);
  for (int i = 0; i < 20000; i++) {
    size_t n = (seed >> 8) % (sizeof text - 1);
    for (size_t k = 0; k < n; k++) {
      seed = seed * 1664525u + 1013904223u;
      text[k] = (char)(1 + (seed >> 16) % 255);
    }
    text[n] = 0;
    struct mg_fault f = {.reason = i % MG_WHY_COUNT, .code = i, .delivered = i % 4 - 1, .upstream = text, .text = text};
    mg_buf_reset(&b);
    ck_assert_int_eq(mg_build_error(&b, MG_LIT("1"), &f), MCPGW_OK);
    ck_assert_msg(wire_is_json(mg_buf_slice(&b)), "%.*s", (int)b.len, b.ptr);
  }
  mg_buf_done(&b);
}
END_TEST

/* Whole characters survive; only what is none is replaced. */
START_TEST(whole_characters_survive) {
  static const struct {
    const char *text, *json;
  } rows[] = {
      {"a\xc3\xa9", "a\xc3\xa9"}, {"\xe4\xb8\x96\xe7\x95\x8c", "\xe4\xb8\x96\xe7\x95\x8c"}, {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
      {"a\xc3", "a?"}, {"\xe4\xb8", "??"}, {"\xed\xa0\x80", "???"}, {"\xc3(", "?("}, {"\x80x", "?x"}, {"\xff\"", "?\\\""},
      {"\xe4\xb8\x96\xe4", "\xe4\xb8\x96?"},
  };
  struct mg_buf b;
  char want[64];
  mg_buf_init(&b, 1000);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mg_buf_reset(&b);
    mg_buf_json_str(&b, mg_slice_z(rows[i].text));
    snprintf(want, sizeof want, "\"%s\"", rows[i].json);
    is(&b, want);
  }
  mg_buf_done(&b);
}
END_TEST

START_TEST(other_messages) {
  struct mg_buf b;
  mg_buf_init(&b, 1000);
  mg_build_result(&b, MG_LIT("3"), MG_LIT("{}"));
  is(&b, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}");
  mg_buf_reset(&b);
  mg_build_notification(&b, "notifications/initialized", mg_slice(NULL, 0));
  is(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  mg_buf_reset(&b);
  mg_build_request(&b, 18446744073709551615u, "tools/list", MG_LIT("{\"a\":1}"));
  is(&b, "{\"jsonrpc\":\"2.0\",\"id\":18446744073709551615,\"method\":\"tools/list\",\"params\":{\"a\":1}}");
  mg_buf_reset(&b);
  mg_build_cancelled(&b, 4, MG_LIT("\"why\\n\""));
  is(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":4,\"reason\":\"why\\n\"}}");
  mg_buf_reset(&b);
  mg_build_cancelled(&b, 4, mg_slice(NULL, 0));
  is(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":4}}");
  mg_buf_done(&b);
}
END_TEST

START_TEST(our_modern_requests_pass_our_own_check) {
  struct mg_buf b;
  struct mg_msg m;
  struct mg_header_fault why;
  mg_buf_init(&b, 1000);
  mg_buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{\"_meta\":{");
  mg_build_modern_meta(&b, MG_LIT("{\"name\":\"x\",\"version\":\"1\"}"), mg_slice(NULL, 0));
  mg_buf_addz(&b, "}}}");
  mg_buf_addc(&b, 0);
  wire_must(b.ptr, &m);
  ck_assert_int_eq(mg_meta_check(&m, &why), MCPGW_OK);
  ck_assert(mg_slice_eqz(mg_msg_raw(&m, MG_S_META_CAPABILITIES), "{}"));
  mg_buf_done(&b);
}
END_TEST

START_TEST(a_full_buffer_is_told) {
  struct mg_buf b;
  struct mg_fault f = {.reason = MG_WHY_OVERLOADED, .text = "x"};
  mg_buf_init(&b, 40);
  ck_assert_int_eq(mg_build_error(&b, MG_LIT("1"), &f), MCPGW_E_LIMIT);
  mg_buf_done(&b);
}
END_TEST

/* ---- the tables of era.c ----------------------------------------------------------------------------- */

static const struct {
  const char *name;
  int revision, modern, batches, resumes;
} revisions[] = {
    {"2024-11-05", MG_REV_2024_11_05, 0, 0, 0}, {"2025-03-26", MG_REV_2025_03_26, 0, 1, 0},
    {"2025-06-18", MG_REV_2025_06_18, 0, 0, 0}, {"2025-11-25", MG_REV_2025_11_25, 0, 0, 1},
    {"2026-07-28", MG_REV_2026_07_28, 1, 0, 0},
};

START_TEST(revisions_table) {
  int r = revisions[_i].revision;
  ck_assert_int_eq(mg_revision_parse(mg_slice_z(revisions[_i].name)), r);
  ck_assert_str_eq(mg_revision_name(r), revisions[_i].name);
  ck_assert_int_eq(!!mg_revision_is_modern(r), revisions[_i].modern);
  ck_assert_int_eq(!!mg_revision_has_batches(r), revisions[_i].batches);
  ck_assert_int_eq(!!mg_revision_resumes(r), revisions[_i].resumes);
}
END_TEST

START_TEST(unknown_revisions) {
  static const char *const not[] = {"", "2025-11-26", "2025-11-25 ", " 2025-11-25", "2026-07-2", "2026-07-280", "DRAFT-2026-v1", "latest"};
  for (size_t i = 0; i < sizeof not/ sizeof not[0]; i++) ck_assert_int_eq(mg_revision_parse(mg_slice_z(not[i])), MG_REV_NONE);
  ck_assert_str_eq(mg_revision_name(0), "");
  ck_assert_str_eq(mg_revision_name(6), "");
  ck_assert_str_eq(mg_revision_name(-1), "");
}
END_TEST

START_TEST(revisions_are_listed_newest_first) {
  static const char *const want[] = {"[]", "[\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\"2024-11-05\"]", "[\"2026-07-28\"]",
                                     "[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\"2024-11-05\"]"};
  for (int i = 0; i < 4; i++) {
    struct mg_buf b;
    mg_buf_init(&b, 200);
    ck_assert_int_eq(mg_revision_list(&b, i & 2, i & 1), MCPGW_OK);
    is(&b, want[i]);
    mg_buf_done(&b);
  }
}
END_TEST

START_TEST(reasons_have_a_name_and_a_code) {
  ck_assert_int_eq(mg_reason_code(_i), -31000 - _i); /* DESIGN §14 */
  ck_assert_uint_gt(strlen(mg_reason_name(_i)), 5);
  for (int other = 1; other < _i; other++) ck_assert_str_ne(mg_reason_name(other), mg_reason_name(_i));
}
END_TEST

START_TEST(no_reason_is_internal) {
  static const int none[] = {0, -1, MG_WHY_COUNT, 1000};
  for (size_t i = 0; i < 4; i++) {
    ck_assert_int_eq(mg_reason_code(none[i]), MG_RPC_INTERNAL);
    ck_assert_str_eq(mg_reason_name(none[i]), "INTERNAL");
  }
}
END_TEST

START_TEST(statuses_by_era) {
  static const struct {
    int code, legacy, modern;
  } rows[] = {{-32700, 400, 400}, {-32600, 400, 400}, {-32601, 200, 404}, {-32602, 200, 200}, {-32603, 200, 200},
              {-32020, 200, 400}, {-32021, 200, 400}, {-32022, 200, 400}, {-32002, 200, 200}, {-31002, 200, 200}, {0, 200, 200}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    ck_assert_int_eq(mg_code_status(rows[i].code, 0), rows[i].legacy);
    ck_assert_int_eq(mg_code_status(rows[i].code, 1), rows[i].modern);
  }
}
END_TEST

Suite *wire_build_suite(void) {
  Suite *s = suite_create("wire/build");
  TCase *t = tcase_create("build");
  tcase_add_test(t, errors_of_json_rpc);
  tcase_add_test(t, errors_of_our_own);
  tcase_add_test(t, any_text_makes_valid_json);
  tcase_add_test(t, whole_characters_survive);
  tcase_add_test(t, other_messages);
  tcase_add_test(t, our_modern_requests_pass_our_own_check);
  tcase_add_test(t, a_full_buffer_is_told);
  suite_add_tcase(s, t);
  t = tcase_create("era");
  tcase_add_loop_test(t, revisions_table, 0, 5);
  tcase_add_test(t, unknown_revisions);
  tcase_add_test(t, revisions_are_listed_newest_first);
  tcase_add_loop_test(t, reasons_have_a_name_and_a_code, 1, MG_WHY_COUNT);
  tcase_add_test(t, no_reason_is_internal);
  tcase_add_test(t, statuses_by_era);
  suite_add_tcase(s, t);
  return s;
}
