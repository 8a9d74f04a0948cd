/* tests/base/mem: accounting, the fail-point, foreign allocators, budgets. */
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mcpgw/types.h"
#include "suites.h"

START_TEST(zero_bytes_are_unique) {
  int64_t before = mg_mem_live();
  void *a = mg_alloc(0), *b = mg_alloc(0);
  ck_assert_ptr_nonnull(a);
  ck_assert_ptr_nonnull(b);
  ck_assert_ptr_ne(a, b);
  mg_free(a);
  mg_free(b);
  mg_free(NULL);
  base_no_leak(before);
}
END_TEST

START_TEST(calloc_zeroes_and_refuses_overflow) {
  volatile size_t many = SIZE_MAX / 2;
  ck_assert_ptr_null(mg_calloc(many, 3));
  ck_assert_ptr_null(mg_calloc(3, many));
  unsigned char *p = mg_alloc(4096);
  memset(p, 0xAA, 4096);
  mg_free(p);
  p = mg_calloc(64, 64);
  for (size_t i = 0; i < 4096; i++) ck_assert_uint_eq(p[i], 0);
  mg_free(p);
}
END_TEST

START_TEST(copies_end_in_nul) {
  char *a = mg_strdup("abc"), *b = mg_memdup("a\0b", 3), *c = mg_memdup(NULL, 0);
  ck_assert_str_eq(a, "abc");
  ck_assert_mem_eq(b, "a\0b\0", 4);
  ck_assert_str_eq(c, "");
  ck_assert_ptr_null(mg_memdup("x", SIZE_MAX));
  mg_free(a);
  mg_free(b);
  mg_free(c);
}
END_TEST

START_TEST(counters_follow) {
  int64_t live = mg_mem_live();
  uint64_t made = mg_mem_count();
  char *a = mg_alloc(10), *b = mg_calloc(2, 5), *c = mg_realloc(NULL, 7);
  ck_assert_int_eq(mg_mem_live(), live + 3);
  a = mg_realloc(a, 100);
  ck_assert_int_eq(mg_mem_live(), live + 3);
  ck_assert_uint_eq(mg_mem_count(), made + 4);
  mg_free(a);
  mg_free(b);
  mg_free(c);
  ck_assert_int_eq(mg_mem_live(), live);
  ck_assert_uint_eq(mg_mem_count(), made + 4);
}
END_TEST

START_TEST(fail_point_fires_once) {
  mg_mem_fail_after(3, 0);
  void *a = mg_alloc(1), *b = mg_calloc(1, 1);
  ck_assert_ptr_nonnull(a);
  ck_assert_ptr_nonnull(b);
  ck_assert_uint_eq(mg_mem_failed(), 0);
  ck_assert_ptr_null(mg_realloc(a, 50)); /* a stays alive */
  ck_assert_uint_eq(mg_mem_failed(), 1);
  a = mg_realloc(a, 50);
  ck_assert_ptr_nonnull(a);
  ck_assert_uint_eq(mg_mem_failed(), 1);
  mg_free(a);
  mg_free(b);
}
END_TEST

START_TEST(fail_point_sticks) {
  mg_mem_fail_after(2, 1);
  void *a = mg_alloc(1);
  ck_assert_ptr_nonnull(a);
  for (int i = 0; i < 5; i++) ck_assert_ptr_null(mg_alloc(1));
  ck_assert_ptr_null(mg_pages_new(4096));
  ck_assert_ptr_null(mg_strdup("x"));
  mg_mem_fail_after(0, 0);
  ck_assert_uint_eq(mg_mem_failed(), 7); /* readable after disarming */
  void *b = mg_alloc(1);
  ck_assert_ptr_nonnull(b);
  mg_free(a);
  mg_free(b);
}
END_TEST

static void *allocate_elsewhere(void *arg) {
  void *p = mg_alloc(1);
  mg_free(p);
  *(int *)arg = p != NULL && mg_mem_failed() == 0;
  return NULL;
}

START_TEST(fail_point_is_thread_local) {
  pthread_t other;
  int fine = 0;
  mg_mem_fail_after(1, 1);
  ck_assert_int_eq(pthread_create(&other, NULL, allocate_elsewhere, &fine), 0);
  pthread_join(other, NULL);
  ck_assert_int_eq(fine, 1);
  ck_assert_ptr_null(mg_alloc(1));
}
END_TEST

static void *churn(void *arg) {
  for (int i = 0; i < 20000; i++) mg_free(mg_alloc(16));
  return arg;
}

START_TEST(counters_survive_threads) {
  pthread_t t[4];
  int64_t live = mg_mem_live();
  uint64_t made = mg_mem_count();
  for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, churn, NULL), 0);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  ck_assert_int_eq(mg_mem_live(), live);
  ck_assert_uint_eq(mg_mem_count(), made + 80000);
}
END_TEST

static int host_allocs, host_resizes, host_frees;

static void *host_alloc(size_t n) {
  host_allocs++;
  void *p = malloc(n);
  return p ? memset(p, 0xEE, n) : NULL;
}

static void *host_resize(void *p, size_t n) {
  host_resizes++;
  return realloc(p, n);
}

static void host_free(void *p) {
  host_frees++;
  free(p);
}

START_TEST(a_host_brings_its_allocator) {
  mg_mem_hooks(host_alloc, host_resize, host_free);
  char *a = mg_alloc(8), *b = mg_calloc(4, 4);
  for (int i = 0; i < 16; i++) ck_assert_int_eq(b[i], 0);
  a = mg_realloc(a, 80);
  mg_free(a);
  mg_free(b);
  ck_assert_int_eq(host_allocs, 2);
  ck_assert_int_eq(host_resizes, 1);
  ck_assert_int_eq(host_frees, 2);
  mg_mem_hooks(host_alloc, NULL, NULL); /* not whole: libc's again */
  mg_free(mg_alloc(8));
  ck_assert_int_eq(host_allocs, 2);
}
END_TEST

START_TEST(pages_come_and_go) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  int64_t before = mg_mem_live();
  char *p = mg_pages_new(2 * page);
  ck_assert_ptr_nonnull(p);
  memset(p, 'x', 2 * page);
  mg_mem_fail_after(1, 0);
  ck_assert_ptr_null(mg_pages_resize(p, 2 * page, 64 * page));
  p = mg_pages_resize(p, 2 * page, 64 * page);
  ck_assert_ptr_nonnull(p);
  ck_assert_int_eq(p[2 * page - 1], 'x');
  ck_assert_int_eq(mg_pages_drop(p, page), MCPGW_OK);
  ck_assert_int_eq(p[0], 0);
  ck_assert_int_eq(p[page], 'x');
  mg_pages_free(p, 64 * page);
  mg_pages_free(NULL, 0);
  base_no_leak(before);
}
END_TEST

START_TEST(a_budget_has_an_end) {
  struct mg_budget b = {.limit = 100};
  ck_assert_int_eq(mg_budget_take(&b, 60), MCPGW_OK);
  ck_assert_int_eq(mg_budget_take(&b, 41), MCPGW_E_LIMIT);
  ck_assert_uint_eq(b.used, 60);
  ck_assert_int_eq(mg_budget_take(&b, 40), MCPGW_OK);
  ck_assert_int_eq(mg_budget_take(&b, 1), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_budget_take(&b, SIZE_MAX), MCPGW_E_LIMIT);
  mg_budget_give(&b, 100);
  ck_assert_uint_eq(b.used, 0);
  b.limit = 0;
  ck_assert_int_eq(mg_budget_take(&b, SIZE_MAX), MCPGW_OK);
  ck_assert_int_eq(mg_budget_take(&b, 1), MCPGW_E_LIMIT); /* it would wrap */
  ck_assert_int_eq(mg_budget_take(NULL, 1), MCPGW_OK);
  mg_budget_give(NULL, 1);
}
END_TEST

Suite *base_mem_suite(void) {
  Suite *s = suite_create("base/mem");
  TCase *t = tcase_create("mem");
  tcase_add_test(t, zero_bytes_are_unique);
  tcase_add_test(t, calloc_zeroes_and_refuses_overflow);
  tcase_add_test(t, copies_end_in_nul);
  tcase_add_test(t, counters_follow);
  tcase_add_test(t, fail_point_fires_once);
  tcase_add_test(t, fail_point_sticks);
  tcase_add_test(t, fail_point_is_thread_local);
  tcase_add_test(t, counters_survive_threads);
  tcase_add_test(t, a_host_brings_its_allocator);
  tcase_add_test(t, pages_come_and_go);
  tcase_add_test(t, a_budget_has_an_end);
  suite_add_tcase(s, t);
  return s;
}
