/* tests/base/text: error texts and log lines. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "suites.h"

START_TEST(the_first_text_wins) {
  struct mg_err e;
  mg_err_clear(&e);
  ck_assert_str_eq(mg_err_text(&e), "");
  ck_assert_int_eq(mg_err_set(&e, MCPGW_E_IO, "upstream \"%s\": %d\n\x01", "a", 7), MCPGW_E_IO);
  ck_assert_str_eq(mg_err_text(&e), "upstream \"a\": 7??");
  ck_assert_int_eq(mg_err_set(&e, MCPGW_E_NOMEM, "generic"), MCPGW_E_NOMEM);
  ck_assert_str_eq(mg_err_text(&e), "upstream \"a\": 7??");
  mg_err_clear(&e);
  mg_err_set(&e, MCPGW_E_IO, "other");
  ck_assert_str_eq(mg_err_text(&e), "other");
  ck_assert_int_eq(mg_err_set(NULL, MCPGW_E_IO, "x"), MCPGW_E_IO);
  ck_assert_str_eq(mg_err_text(NULL), "");
  mg_err_clear(NULL);
}
END_TEST

START_TEST(a_cut_text_is_still_utf8) {
  static const char *const runs[] = {"\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  for (size_t shift = 0; shift < 4; shift++) {
    for (size_t r = 0; r < 3; r++) {
      char text[1024] = {0};
      struct mg_err e;
      memset(text, 'a', shift);
      while (strlen(text) < 1000) strcat(text, runs[r]);
      mg_err_clear(&e);
      mg_err_set(&e, -1, "%s", text);
      size_t len = strlen(e.text);
      ck_assert(mg_utf8_valid(mg_slice_z(e.text)));
      ck_assert_uint_gt(len, MG_ERR_MAX - 1 - strlen(runs[r])); /* and no more is lost than must be */
    }
  }
}
END_TEST

START_TEST(every_code_has_a_name) {
  for (int a = 0; a >= -15; a--) {
    ck_assert_str_ne(mg_rc_name(a), mg_rc_name(-999));
    for (int b = 0; b > a; b--) ck_assert_str_ne(mg_rc_name(a), mg_rc_name(b));
  }
  ck_assert_str_eq(mg_rc_name(MCPGW_E_NOMEM), "out of memory");
  ck_assert_str_eq(mg_rc_name(-16), mg_rc_name(1));
}
END_TEST

static char last_line[32 * 1024];
static int last_level, lines;
static uint64_t fake_now;

static void keep(void *data, int level, const char *line, size_t len) {
  ck_assert_ptr_eq(data, &lines);
  ck_assert_uint_lt(len, sizeof last_line);
  ck_assert_ptr_null(memchr(line, '\n', len));
  memcpy(last_line, line, len);
  last_line[len] = '\0';
  last_level = level;
  lines++;
}

static uint64_t fake_ms(void *data) {
  (void)data;
  return fake_now;
}

static struct mg_log a_log(int level) {
  return (struct mg_log){.level = level, .write = keep, .data = &lines, .unix_ms = fake_ms};
}

static json_t *parsed(void) {
  json_error_t error;
  json_t *doc = json_loads(last_line, JSON_REJECT_DUPLICATES, &error);
  ck_assert_msg(doc != NULL, "%s in %s", error.text, last_line);
  return doc;
}

START_TEST(a_line_is_one_object) {
  struct mg_log l = a_log(MG_LOG_INFO);
  mg_log(&l, MG_LOG_WARN, "upstream.closed", "upstream", "a\"b\\\n", "reason", NULL, (char *)0);
  ck_assert_int_eq(lines, 1);
  ck_assert_int_eq(last_level, MG_LOG_WARN);
  json_t *doc = parsed();
  ck_assert_str_eq(json_string_value(json_object_get(doc, "time")), "1970-01-01T00:00:00.000Z");
  ck_assert_str_eq(json_string_value(json_object_get(doc, "level")), "warn");
  ck_assert_str_eq(json_string_value(json_object_get(doc, "event")), "upstream.closed");
  ck_assert_str_eq(json_string_value(json_object_get(doc, "upstream")), "a\"b\\\n");
  ck_assert_str_eq(json_string_value(json_object_get(doc, "reason")), "");
  json_decref(doc);
}
END_TEST

START_TEST(levels_filter) {
  struct mg_log l = a_log(MG_LOG_WARN);
  mg_log(&l, MG_LOG_INFO, "x", (char *)0);
  mg_log(&l, MG_LOG_DEBUG, "x", (char *)0);
  ck_assert_int_eq(lines, 0);
  mg_log(&l, MG_LOG_ERROR, "x", (char *)0);
  ck_assert_int_eq(lines, 1);
  mg_log(NULL, MG_LOG_ERROR, "x", (char *)0);
  l.write = NULL;
  mg_log(&l, MG_LOG_ERROR, "x", (char *)0);
  ck_assert_uint_eq(l.dropped, 0);
}
END_TEST

START_TEST(time_is_utc_whatever_tz) {
  static const struct {
    uint64_t ms;
    const char *text;
  } t[] = {{951782400000u, "2000-02-29T00:00:00.000Z"},  {951868799999u, "2000-02-29T23:59:59.999Z"},
           {951868800000u, "2000-03-01T00:00:00.000Z"},  {1767225599999u, "2025-12-31T23:59:59.999Z"},
           {1767225600000u, "2026-01-01T00:00:00.000Z"}, {4107542400000u, "2100-03-01T00:00:00.000Z"}};
  struct mg_log l = a_log(MG_LOG_INFO);
  setenv("TZ", "Asia/Tokyo", 1);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    fake_now = t[i].ms;
    mg_log(&l, MG_LOG_INFO, "x", (char *)0);
    json_t *doc = parsed();
    ck_assert_str_eq(json_string_value(json_object_get(doc, "time")), t[i].text);
    json_decref(doc);
  }
}
END_TEST

START_TEST(values_are_cut_and_cleaned) {
  struct mg_log l = a_log(MG_LOG_INFO);
  char text[2000] = "a";
  while (strlen(text) < 1900) strcat(text, "\xC3\xA4");
  mg_log(&l, MG_LOG_INFO, "x", "long", text, "bad", "a\xFF\xC3z", (char *)0);
  json_t *doc = parsed();
  ck_assert_uint_eq(strlen(json_string_value(json_object_get(doc, "long"))), 1023);
  ck_assert_str_eq(json_string_value(json_object_get(doc, "bad")), "a??z");
  json_decref(doc);
}
END_TEST

START_TEST(what_cannot_be_built_is_counted) {
  struct mg_log l = a_log(MG_LOG_INFO);
  char wide[1025];
  memset(wide, 0x01, 1024); /* six bytes each when escaped */
  wide[1024] = '\0';
  mg_log(&l, MG_LOG_INFO, "x", "a", wide, "b", wide, "c", wide, (char *)0);
  ck_assert_uint_eq(l.dropped, 1);
  int64_t before = mg_mem_live();
  mg_mem_fail_after(1, 1);
  mg_log(&l, MG_LOG_INFO, "x", (char *)0);
  ck_assert_uint_eq(l.dropped, 2);
  mg_mem_fail_after(2, 1);
  mg_log(&l, MG_LOG_INFO, "x", "a", wide, (char *)0);
  ck_assert_uint_eq(l.dropped, 3);
  base_no_leak(before);
  ck_assert_int_eq(lines, 0);
}
END_TEST

Suite *base_text_suite(void) {
  Suite *s = suite_create("base/err and log");
  TCase *t = tcase_create("text");
  tcase_add_test(t, the_first_text_wins);
  tcase_add_test(t, a_cut_text_is_still_utf8);
  tcase_add_test(t, every_code_has_a_name);
  tcase_add_test(t, a_line_is_one_object);
  tcase_add_test(t, levels_filter);
  tcase_add_test(t, time_is_utc_whatever_tz);
  tcase_add_test(t, values_are_cut_and_cleaned);
  tcase_add_test(t, what_cannot_be_built_is_counted);
  suite_add_tcase(s, t);
  return s;
}
