/* tests/base/slice: comparing, cutting, numbers, globs (against a slow matcher that is plainly right). */
#include "base/slice.h"

#include <stdlib.h>
#include <string.h>

#include "mcpgw/types.h"
#include "suites.h"

#define Z(text) mg_slice_z(text)

START_TEST(equal_and_not) {
  ck_assert(mg_slice_eq(Z("abc"), MG_LIT("abc")));
  ck_assert(!mg_slice_eq(Z("abc"), Z("abd")));
  ck_assert(!mg_slice_eq(Z("abc"), Z("ab")));
  ck_assert(mg_slice_eq(mg_slice(NULL, 0), Z("")));
  ck_assert(mg_slice_eqz(Z(""), NULL));
  ck_assert(mg_slice_eqz(mg_slice("abcd", 3), "abc"));
  ck_assert(!mg_slice_eq(mg_slice("a\0b", 3), mg_slice("a\0c", 3)));
}
END_TEST

START_TEST(case_is_ascii_only) {
  ck_assert(mg_slice_ieqz(Z("Content-LENGTH"), "content-length"));
  ck_assert(!mg_slice_ieqz(Z("content-lengths"), "content-length"));
  ck_assert(!mg_slice_ieqz(Z("[{@`"), "{[`@")); /* the neighbours of the letters do not fold */
  ck_assert(!mg_slice_ieqz(Z("\xC4"), "\xE4"));
}
END_TEST

/* Every pair of bytes at places that are read one, eight and again eight at a time, against tolower's rule. */
START_TEST(case_of_every_byte) {
  static const size_t places[][2] = {{0, 3}, {2, 3}, {0, 8}, {7, 8}, {8, 11}, {3, 11}, {10, 11}, {15, 16}};
  for (size_t k = 0; k < sizeof places / sizeof *places; k++)
    for (int x = 0; x < 256; x++)
      for (int y = 0; y < 256; y++) {
        char a[16] = "ZZZZZZZZZZZZZZZZ", b[16] = "zzzzzzzzzzzzzzzz";
        int fx = x >= 'A' && x <= 'Z' ? x + 32 : x, fy = y >= 'A' && y <= 'Z' ? y + 32 : y;
        a[places[k][0]] = (char)x;
        b[places[k][0]] = (char)y;
        if (mg_slice_ieq(mg_slice(a, places[k][1]), mg_slice(b, places[k][1])) != (fx == fy))
          ck_abort_msg("0x%02x and 0x%02x at %zu of %zu", x, y, places[k][0], places[k][1]);
      }
}
END_TEST

/* Every byte at every place among eight at a time, against the rule spelled out. */
START_TEST(lines_have_no_control_byte) {
  char text[19];
  for (size_t at = 0; at < sizeof text; at++)
    for (int c = 0; c < 256; c++) {
      memset(text, ' ', sizeof text);
      text[at] = (char)c;
      int ok = (c >= 0x20 || c == '\t') && c != 0x7f;
      ck_assert_int_eq(mg_slice_is_line(mg_slice(text, sizeof text)), ok);
      if (at) text[at - 1] = (char)(c == '\t' ? 0x1f : '\t'); /* a flagged byte must not hide its neighbour */
      ck_assert_int_eq(mg_slice_is_line(mg_slice(text, sizeof text)), ok && !(at && c == '\t'));
    }
  ck_assert_int_eq(mg_slice_is_line(mg_slice(NULL, 0)), 1);
}
END_TEST

START_TEST(order) {
  ck_assert_int_lt(mg_slice_cmp(Z("a"), Z("b")), 0);
  ck_assert_int_lt(mg_slice_cmp(Z("a"), Z("aa")), 0);
  ck_assert_int_gt(mg_slice_cmp(Z("\xFF"), Z("a")), 0); /* unsigned bytes */
  ck_assert_int_eq(mg_slice_cmp(Z("ab"), Z("ab")), 0);
  ck_assert_int_eq(mg_slice_cmp(mg_slice(NULL, 0), Z("")), 0);
}
END_TEST

START_TEST(sub_is_clamped) {
  struct mg_slice s = Z("hello");
  ck_assert(mg_slice_eqz(mg_slice_sub(s, 1, 3), "ell"));
  ck_assert(mg_slice_eqz(mg_slice_sub(s, 1, SIZE_MAX), "ello"));
  ck_assert(mg_slice_eqz(mg_slice_sub(s, 9, 2), ""));
  ck_assert(mg_slice_eqz(mg_slice_sub(mg_slice(NULL, 0), 1, 1), ""));
  ck_assert(mg_slice_starts(s, Z("hell")) && mg_slice_starts(s, Z("")) && mg_slice_starts(s, s));
  ck_assert(!mg_slice_starts(s, Z("hello!")) && !mg_slice_starts(s, Z("el")));
}
END_TEST

START_TEST(trim_blanks) {
  ck_assert(mg_slice_eqz(mg_slice_trim(Z(" \t a b\t ")), "a b"));
  ck_assert(mg_slice_eqz(mg_slice_trim(Z(" \t ")), ""));
  ck_assert(mg_slice_eqz(mg_slice_trim(Z("a\n")), "a\n")); /* a line end is no blank */
}
END_TEST

START_TEST(cut_pieces) {
  struct mg_slice s = Z("a,,bc"), head;
  ck_assert_int_eq(mg_slice_cut(&s, ',', &head), 1);
  ck_assert(mg_slice_eqz(head, "a"));
  ck_assert_int_eq(mg_slice_cut(&s, ',', &head), 1);
  ck_assert(mg_slice_eqz(head, ""));
  ck_assert_int_eq(mg_slice_cut(&s, ',', &head), 1);
  ck_assert(mg_slice_eqz(head, "bc"));
  ck_assert_int_eq(mg_slice_cut(&s, ',', &head), 0);
  s = Z("x,");
  ck_assert_int_eq(mg_slice_cut(&s, ',', &head), 1);
  ck_assert_int_eq(mg_slice_cut(&s, ',', &head), 0);
}
END_TEST

START_TEST(numbers) {
  uint64_t n = 7;
  ck_assert_int_eq(mg_slice_u64(Z("18446744073709551615"), &n), MCPGW_OK);
  ck_assert(n == UINT64_MAX);
  ck_assert_int_eq(mg_slice_u64(Z("007"), &n), MCPGW_OK);
  ck_assert_uint_eq(n, 7);
  static const char *const bad[] = {
      "", " 1", "1 ", "+1", "-1", "1x", "18446744073709551616", "99999999999999999999", "0x10", "1.0"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ck_assert_msg(mg_slice_u64(Z(bad[i]), &n) == MCPGW_E_PARSE && n == 7, "\"%s\"", bad[i]);
}
END_TEST

static int slow_glob(const char *p, const char *t) {
  if (*p == '\0') return *t == '\0';
  if (*p == '*') return slow_glob(p + 1, t) || (*t && slow_glob(p, t + 1));
  return *t && (*p == '?' || *p == *t) && slow_glob(p + 1, t + 1);
}

START_TEST(glob_agrees_with_the_slow_one) {
  uint64_t state = 42;
  int hits = 0;
  for (int round = 0; round < 200000; round++) {
    char p[8] = {0}, t[10] = {0};
    for (size_t i = 0, n = base_next(&state) % 8; i < n; i++) p[i] = "ab**?"[base_next(&state) % 5];
    for (size_t i = 0, n = base_next(&state) % 10; i < n; i++) t[i] = "ab"[base_next(&state) % 2];
    int want = slow_glob(p, t);
    hits += want;
    ck_assert_msg(mg_glob(Z(p), Z(t)) == want, "pattern %s text %s", p, t);
  }
  ck_assert_int_gt(hits, 10000);
}
END_TEST

START_TEST(glob_never_explodes) {
  static char text[20000];
  memset(text, 'a', sizeof text);
  ck_assert(!mg_glob(Z("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), mg_slice(text, sizeof text)));
  ck_assert(mg_glob(Z("*a*a*a*a*a*a*a*a*a*a*a*a*a*a"), mg_slice(text, sizeof text)));
  ck_assert(mg_glob(Z("delete_*"), Z("delete_file")));
  ck_assert(!mg_glob(Z("delete_*"), Z("undelete_file")));
  ck_assert(mg_glob(mg_slice(NULL, 0), Z("")) && !mg_glob(mg_slice(NULL, 0), Z("a")));
}
END_TEST

Suite *base_slice_suite(void) {
  Suite *s = suite_create("base/slice");
  TCase *t = tcase_create("slice");
  tcase_add_test(t, equal_and_not);
  tcase_add_test(t, case_is_ascii_only);
  tcase_add_test(t, case_of_every_byte);
  tcase_add_test(t, lines_have_no_control_byte);
  tcase_add_test(t, order);
  tcase_add_test(t, sub_is_clamped);
  tcase_add_test(t, trim_blanks);
  tcase_add_test(t, cut_pieces);
  tcase_add_test(t, numbers);
  tcase_add_test(t, glob_agrees_with_the_slow_one);
  tcase_add_test(t, glob_never_explodes);
  suite_add_tcase(s, t);
  return s;
}
