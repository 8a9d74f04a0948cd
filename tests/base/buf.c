/* tests/base/buf: the ceiling, the sticky failure, numbers, JSON strings, every allocation failing. */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "mcpgw/types.h"
#include "suites.h"

START_TEST(fills_to_the_ceiling_exactly) {
  for (size_t max = 0; max < 1200; max += 37) {
    struct mg_buf b;
    mg_buf_init(&b, max);
    for (size_t i = 0; i < max; i++) ck_assert_int_eq(mg_buf_addc(&b, (char)i), MCPGW_OK);
    ck_assert_uint_le(b.cap, max);
    ck_assert_int_eq(mg_buf_addc(&b, 'x'), MCPGW_E_LIMIT);
    ck_assert_uint_eq(b.len, max);
    for (size_t i = 0; i < max; i++) ck_assert_int_eq(b.ptr[i], (char)i);
    mg_buf_done(&b);
    char all[1200] = {0};
    ck_assert_int_eq(mg_buf_add(&b, all, max), MCPGW_OK); /* done keeps the ceiling; at one blow */
    ck_assert_uint_le(b.cap, max);
    ck_assert_int_eq(mg_buf_add(&b, all, 1), MCPGW_E_LIMIT);
    mg_buf_done(&b);
  }
}
END_TEST

START_TEST(the_first_failure_sticks) {
  struct mg_buf b;
  mg_buf_init(&b, 4);
  ck_assert_int_eq(mg_buf_addz(&b, "ab"), MCPGW_OK);
  ck_assert_int_eq(mg_buf_addz(&b, "cde"), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_buf_addc(&b, 'c'), MCPGW_E_LIMIT); /* it would fit */
  ck_assert_int_eq(mg_buf_reserve(&b, 0), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_buf_rc(&b), MCPGW_E_LIMIT);
  ck_assert(mg_slice_eqz(mg_buf_slice(&b), "ab"));
  mg_buf_reset(&b);
  ck_assert_int_eq(mg_buf_addz(&b, "wxyz"), MCPGW_OK);
  ck_assert_int_eq(mg_buf_reserve(&b, SIZE_MAX), MCPGW_E_LIMIT);
  mg_buf_done(&b);
  mg_buf_done(NULL);
  struct mg_buf zero = {0};
  ck_assert_int_eq(mg_buf_add(&zero, NULL, 0), MCPGW_OK);
  ck_assert_uint_eq(mg_buf_slice(&zero).len, 0);
  ck_assert_ptr_nonnull(mg_buf_slice(&zero).ptr);
  mg_buf_done(&zero);
}
END_TEST

START_TEST(numbers_as_text) {
  static const int64_t n[] = {0, 7, -1, 10, -100, INT64_MAX, INT64_MIN};
  struct mg_buf b;
  char want[32];
  mg_buf_init(&b, 64);
  for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
    mg_buf_reset(&b);
    mg_buf_addi(&b, n[i]);
    snprintf(want, sizeof want, "%lld", (long long)n[i]);
    ck_assert_msg(mg_slice_eqz(mg_buf_slice(&b), want), "%s", want);
  }
  mg_buf_reset(&b);
  mg_buf_addu(&b, UINT64_MAX);
  ck_assert(mg_slice_eqz(mg_buf_slice(&b), "18446744073709551615"));
  mg_buf_done(&b);
}
END_TEST

START_TEST(json_strings_are_escaped) {
  static const struct {
    const char *in, *out;
  } t[] = {{"", "\"\""},
           {"plain \xC3\xA4 \x7F/", "\"plain \xC3\xA4 \x7F/\""},
           {"\"\\", "\"\\\"\\\\\""},
           {"a\nb\r\t\b\f", "\"a\\nb\\r\\t\\b\\f\""},
           {"\x01\x1F", "\"\\u0001\\u001f\""}};
  struct mg_buf b;
  mg_buf_init(&b, 256);
  for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
    mg_buf_reset(&b);
    ck_assert_int_eq(mg_buf_json_str(&b, mg_slice_z(t[i].in)), MCPGW_OK);
    ck_assert_msg(mg_slice_eqz(mg_buf_slice(&b), t[i].out), "row %zu: %.*s", i, (int)b.len, b.ptr);
  }
  mg_buf_reset(&b);
  mg_buf_json_str(&b, mg_slice("a\0b", 3));
  ck_assert(mg_slice_eqz(mg_buf_slice(&b), "\"a\\u0000b\""));
  mg_buf_done(&b);
  mg_buf_init(&b, 5);
  ck_assert_int_eq(mg_buf_json_str(&b, mg_slice_z("abcd")), MCPGW_E_LIMIT);
  ck_assert_uint_le(b.len, 5);
  mg_buf_done(&b);
}
END_TEST

START_TEST(drops_from_the_front) {
  struct mg_buf b;
  mg_buf_init(&b, 64);
  mg_buf_addz(&b, "hello world");
  mg_buf_drop(&b, 6);
  ck_assert(mg_slice_eqz(mg_buf_slice(&b), "world"));
  mg_buf_drop(&b, 0);
  ck_assert_uint_eq(b.len, 5);
  mg_buf_drop(&b, 99);
  ck_assert_uint_eq(b.len, 0);
  mg_buf_done(&b);
}
END_TEST

START_TEST(steady_state_allocates_nothing) {
  struct mg_buf b;
  mg_buf_init(&b, 1 << 20);
  mg_buf_reserve(&b, 5000);
  uint64_t made = mg_mem_count();
  for (int round = 0; round < 100; round++) {
    mg_buf_reset(&b);
    while (b.len < 5000) mg_buf_addc(&b, 'x');
  }
  ck_assert_uint_eq(mg_mem_count(), made);
  mg_buf_done(&b);
}
END_TEST

START_TEST(every_allocation_fails_in_turn) {
  int64_t before = mg_mem_live();
  uint64_t nth = 1;
  for (int over = 0; !over; nth++) {
    struct mg_buf b;
    mg_buf_init(&b, 1 << 20);
    mg_mem_fail_after(nth, 0);
    for (int i = 0; i < 100000; i++) mg_buf_addc(&b, (char)i);
    over = mg_mem_failed() == 0;
    ck_assert_int_eq(mg_buf_rc(&b), over ? MCPGW_OK : MCPGW_E_NOMEM);
    if (over) ck_assert_uint_eq(b.len, 100000);
    for (size_t i = 0; i < b.len; i++) ck_assert_int_eq(b.ptr[i], (char)i);
    mg_buf_done(&b);
    base_no_leak(before);
  }
  ck_assert_uint_gt(nth, 8);
}
END_TEST

Suite *base_buf_suite(void) {
  Suite *s = suite_create("base/buf");
  TCase *t = tcase_create("buf");
  tcase_add_test(t, fills_to_the_ceiling_exactly);
  tcase_add_test(t, the_first_failure_sticks);
  tcase_add_test(t, numbers_as_text);
  tcase_add_test(t, json_strings_are_escaped);
  tcase_add_test(t, drops_from_the_front);
  tcase_add_test(t, steady_state_allocates_nothing);
  tcase_add_test(t, every_allocation_fails_in_turn);
  suite_add_tcase(s, t);
  return s;
}
