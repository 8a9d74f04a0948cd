/* tests/base/id: clock and chance under hooks, ids, base64, UTF-8 against a decoder that spells it out. */
#include "base/id.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mcpgw/types.h"
#include "suites.h"

static uint64_t seven_s(void) {
  return 7000999;
}
static uint64_t some_ms(void) {
  return 1234;
}
static int no_chance(void *out, size_t len) {
  (void)out;
  (void)len;
  return MCPGW_E_IO;
}
static int all_ones(void *out, size_t len) {
  memset(out, 0xFF, len);
  return MCPGW_OK;
}

START_TEST(time_stands_still_when_hooked) {
  uint64_t a = mg_now_us(), wall = mg_unix_ms();
  ck_assert_uint_ge(mg_now_us(), a);
  ck_assert_uint_gt(wall, 1577836800000u); /* 2020 */
  mg_clock_hooks(seven_s, some_ms, no_chance);
  ck_assert_uint_eq(mg_now_us(), 7000999);
  ck_assert_uint_eq(mg_now_ms(), 7000);
  ck_assert_uint_eq(mg_unix_ms(), 1234);
  ck_assert_uint_eq(mg_jitter(100), 50);
  mg_clock_hooks(NULL, NULL, NULL);
  ck_assert_uint_ge(mg_unix_ms(), wall);
}
END_TEST

START_TEST(jitter_stays_inside) {
  int low = 0, high = 0;
  ck_assert_uint_eq(mg_jitter(0), 0);
  for (int i = 0; i < 2000; i++) {
    uint64_t j = mg_jitter(3);
    ck_assert_uint_le(j, 3);
    low += j == 0;
    high += j == 3;
  }
  ck_assert(low > 0 && high > 0);
  mg_clock_hooks(NULL, NULL, all_ones);
  ck_assert(mg_jitter(UINT64_MAX) == UINT64_MAX);
}
END_TEST

START_TEST(ids_are_hex_and_differ) {
  char a[MG_ID_LEN + 1], b[MG_ID_LEN + 1];
  ck_assert_int_eq(mg_id_new(a), MCPGW_OK);
  ck_assert_int_eq(mg_id_new(b), MCPGW_OK);
  ck_assert_uint_eq(strspn(a, "0123456789abcdef"), MG_ID_LEN);
  ck_assert_uint_eq(strlen(a), MG_ID_LEN);
  ck_assert_str_ne(a, b);
  mg_clock_hooks(NULL, NULL, no_chance);
  strcpy(b, "untouched");
  ck_assert_int_eq(mg_id_new(b), MCPGW_E_IO);
  ck_assert_str_eq(b, "untouched");
}
END_TEST

START_TEST(base64_vectors) {
  static const char *const rows[][3] = {
      {"", "", ""},
      {"f", "Zg==", "Zg"},
      {"fo", "Zm8=", "Zm8"},
      {"foo", "Zm9v", "Zm9v"},
      {"foob", "Zm9vYg==", "Zm9vYg"},
      {"fooba", "Zm9vYmE=", "Zm9vYmE"},
      {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
      {"\xFB\xFF\xBF", "+/+/", "-_-_"},
  };
  struct mg_buf b;
  mg_buf_init(&b, 64);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    for (int url = 0; url < 2; url++) {
      mg_buf_reset(&b);
      ck_assert_int_eq(mg_base64_encode(&b, mg_slice_z(rows[i][0]), url), MCPGW_OK);
      ck_assert(mg_slice_eqz(mg_buf_slice(&b), rows[i][1 + url]));
      mg_buf_reset(&b);
      ck_assert_int_eq(mg_base64_decode(&b, mg_slice_z(rows[i][1 + url]), url), MCPGW_OK);
      ck_assert(mg_slice_eqz(mg_buf_slice(&b), rows[i][0]));
    }
  }
  mg_buf_done(&b);
}
END_TEST

START_TEST(base64_round_trips) {
  unsigned char raw[260];
  uint64_t state = 5;
  for (size_t len = 0; len < sizeof raw; len++) {
    struct mg_buf text, back;
    int url = (int)(len / 3 % 2);
    mg_buf_init(&text, 1024);
    mg_buf_init(&back, 1024);
    for (size_t i = 0; i < len; i++) raw[i] = (unsigned char)base_next(&state);
    mg_buf_addz(&text, "keep");
    ck_assert_int_eq(mg_base64_encode(&text, mg_slice(raw, len), url), MCPGW_OK);
    ck_assert(mg_slice_starts(mg_buf_slice(&text), MG_LIT("keep")));
    mg_buf_drop(&text, 4);
    ck_assert_int_eq(mg_base64_decode(&back, mg_buf_slice(&text), url), MCPGW_OK);
    ck_assert(mg_slice_eq(mg_buf_slice(&back), mg_slice(raw, len)));
    mg_buf_done(&text);
    mg_buf_done(&back);
  }
}
END_TEST

START_TEST(base64_is_strict) {
  static const char *const plain[] = {"Z",    "Zg",       "Zg=",   "Zg===", "Z===",  "====", "Zh==",  "Zm9=",
                                      "Zg=A", "Zg==Zg==", "Zm9v ", " Zm9",  "Zm\n9", "-_-_", "Zm9v=", "="};
  static const char *const url[] = {"A",     "AAAAA", "Z",      "Zg==", "Zh",         "Zm9",
                                    "Zm9vY", "+/+/",  "Zm9v\n", "Zg=",  "Zm9vYmG\xC3"};
  struct mg_buf b;
  mg_buf_init(&b, 64);
  mg_buf_addz(&b, "keep");
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    ck_assert_msg(mg_base64_decode(&b, mg_slice_z(plain[i]), 0) == MCPGW_E_PARSE, "\"%s\"", plain[i]);
  for (size_t i = 0; i < sizeof url / sizeof *url; i++)
    ck_assert_msg(mg_base64_decode(&b, mg_slice_z(url[i]), 1) == MCPGW_E_PARSE, "\"%s\"", url[i]);
  ck_assert_int_eq(mg_base64_decode(&b, mg_slice("Zm\0v", 4), 1), MCPGW_E_PARSE);
  ck_assert(mg_slice_eqz(mg_buf_slice(&b), "keep"));
  mg_buf_done(&b);
  mg_buf_init(&b, 3);
  ck_assert_int_eq(mg_base64_encode(&b, MG_LIT("abc"), 1), MCPGW_E_LIMIT);
  mg_buf_reset(&b);
  ck_assert_int_eq(mg_base64_decode(&b, MG_LIT("YWJj"), 1), MCPGW_OK); /* fits exactly */
  mg_buf_done(&b);
  mg_buf_init(&b, 64);
  mg_mem_fail_after(1, 0);
  ck_assert_int_eq(mg_base64_decode(&b, MG_LIT("YWJj"), 1), MCPGW_E_NOMEM);
  mg_buf_done(&b);
}
END_TEST

/* Whether p..p+n is exactly one code point in its only allowed form. */
static int one_point(const unsigned char *p, size_t n) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  uint32_t cp = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
  if (n == 1) return p[0] < 0x80;
  if ((p[0] & (0xFFu << (7 - n) & 0xFF)) != (0xFFu << (8 - n) & 0xFF)) return 0;
  for (size_t i = 1; i < n; i++) {
    if (p[i] >> 6 != 2) return 0;
    cp = cp << 6 | (p[i] & 0x3F);
  }
  return cp >= least[n] && cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF);
}

/* Every way to cut up to four bytes into code points. */
static int slow_utf8(const unsigned char *p, size_t n) {
  if (n == 0) return 1;
  for (size_t k = 1; k <= n; k++)
    if (one_point(p, k) && slow_utf8(p + k, n - k)) return 1;
  return 0;
}

START_TEST(utf8_agrees_with_the_slow_one) {
  static const unsigned char tails[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
  int valid = 0;
  for (unsigned a = 0; a < 256; a++)
    for (unsigned b = 0; b < 256; b++)
      for (size_t c = 0; c < 10; c++)
        for (size_t d = 0; d < 10; d++) {
          unsigned char p[4] = {(unsigned char)a, (unsigned char)b, tails[c], tails[d]};
          for (size_t n = 1; n <= 4; n++) {
            int want = slow_utf8(p, n);
            valid += want;
            if (mg_utf8_valid(mg_slice(p, n)) != want)
              ck_abort_msg("%02x%02x%02x%02x/%zu", a, b, p[2], p[3], n);
          }
        }
  ck_assert_int_gt(valid, 1000);
}
END_TEST

START_TEST(utf8_anywhere_in_a_long_text) {
  char text[64];
  ck_assert(mg_utf8_valid(mg_slice(NULL, 0)));
  for (size_t at = 0; at < 60; at++) {
    memset(text, 'a', sizeof text);
    memcpy(text + at, "\xF0\x9F\x98\x80", 4);
    ck_assert(mg_utf8_valid(mg_slice(text, sizeof text)));
    ck_assert(!mg_utf8_valid(mg_slice(text, at + 3)));
    text[at + 3] = 'a';
    ck_assert(!mg_utf8_valid(mg_slice(text, sizeof text)));
  }
}
END_TEST

Suite *base_id_suite(void) {
  Suite *s = suite_create("base/id and clock");
  TCase *t = tcase_create("id");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, time_stands_still_when_hooked);
  tcase_add_test(t, jitter_stays_inside);
  tcase_add_test(t, ids_are_hex_and_differ);
  tcase_add_test(t, base64_vectors);
  tcase_add_test(t, base64_round_trips);
  tcase_add_test(t, base64_is_strict);
  tcase_add_test(t, utf8_agrees_with_the_slow_one);
  tcase_add_test(t, utf8_anywhere_in_a_long_text);
  suite_add_tcase(s, t);
  return s;
}
