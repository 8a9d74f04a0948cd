/* tests/base/blob: growth from inline to heap to pages, the budget at every step, draining, sharing,
 * every allocation failing. */
#include "base/blob.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mcpgw/types.h"
#include "suites.h"

#define MIB ((size_t)1024 * 1024)

static char pattern(size_t i) {
  return (char)(i * 31 + (i >> 8) * 7);
}

/* Appends until b is len long; the first failure ends it. */
static int fill(mg_blob *b, size_t len, size_t piece) {
  char part[8192];
  while (mg_blob_len(b) < len) {
    size_t at = mg_blob_len(b), n = len - at < piece ? len - at : piece;
    for (size_t i = 0; i < n; i++) part[i] = pattern(at + i);
    int rc = mg_blob_append(b, part, n);
    if (rc != MCPGW_OK) return rc;
  }
  return MCPGW_OK;
}

static void holds_pattern(const mg_blob *b, size_t from) {
  struct mg_slice s = mg_blob_slice(b);
  for (size_t i = from; i < s.len; i++)
    if (s.ptr[i] != pattern(i)) ck_abort_msg("byte %zu of %zu differs", i, s.len);
}

START_TEST(grows_and_keeps_its_bytes) {
  static const size_t reserves[] = {0, 1, 500, 16 * 1024, 16 * 1024 + 1, 300 * 1024, 3 * MIB};
  int64_t before = mg_mem_live();
  for (size_t r = 0; r < sizeof reserves / sizeof *reserves; r++) {
    struct mg_budget budget = {.limit = 64 * MIB};
    mg_blob *b = mg_blob_new(&budget, reserves[r], 32 * MIB);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_nonnull(mg_blob_data(b));
    for (size_t len = 100; len < 6 * MIB; len += len / 2 + 777) {
      ck_assert_int_eq(fill(b, len, 8000), MCPGW_OK);
      ck_assert_uint_eq(budget.used, mg_blob_charged(b));
      ck_assert_uint_ge(budget.used, len);
      if (len > reserves[r]) ck_assert_uint_le(budget.used, len + MIB);
    }
    holds_pattern(b, 0);
    mg_blob_unref(b);
    ck_assert_uint_eq(budget.used, 0);
    base_no_leak(before);
  }
}
END_TEST

START_TEST(never_more_than_a_mebibyte_ahead) {
  struct mg_budget budget = {0};
  mg_blob *b = mg_blob_new(&budget, 16 * 1024, 32 * MIB);
  for (size_t len = 16 * 1024; len < 6 * MIB; len += 1000) {
    ck_assert_int_eq(fill(b, len, 1000), MCPGW_OK);
    ck_assert_uint_le(budget.used, len + MIB);
  }
  mg_blob_unref(b);
  ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(an_outgrown_inline_part_stays_charged) {
  int64_t before = mg_mem_live();
  struct mg_budget budget = {0};
  mg_blob *b = mg_blob_new(&budget, 4096, MIB);
  ck_assert_uint_eq(budget.used, 4096);
  ck_assert_int_eq(fill(b, 4097, 1000), MCPGW_OK);
  ck_assert_uint_ge(budget.used, 4096 + 4097);
  holds_pattern(b, 0);
  mg_blob_unref(b); /* while on the heap */
  ck_assert_uint_eq(budget.used, 0);
  base_no_leak(before);
}
END_TEST

START_TEST(small_ones_are_one_allocation) {
  uint64_t made = mg_mem_count();
  mg_blob *a = mg_blob_new(NULL, 4096, MIB), *b = mg_blob_copy(NULL, "hello", 5);
  ck_assert_int_eq(fill(a, 4096, 1000), MCPGW_OK);
  ck_assert_uint_eq(mg_mem_count(), made + 2);
  ck_assert(mg_slice_eqz(mg_blob_slice(b), "hello"));
  ck_assert_int_eq(mg_blob_append(b, "!", 1), MCPGW_E_LIMIT);
  mg_blob_unref(a);
  mg_blob_unref(b);
  mg_blob_unref(NULL);
}
END_TEST

START_TEST(copies_of_any_size) {
  static char source[MG_BLOB_MAP + 4096];
  int64_t before = mg_mem_live();
  struct mg_budget budget = {0};
  for (size_t i = 0; i < sizeof source; i++) source[i] = pattern(i);
  static const size_t lens[] = {0, 1, MG_BLOB_MAP - 1, MG_BLOB_MAP, sizeof source};
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
    mg_blob *b = mg_blob_copy(&budget, source, lens[i]);
    ck_assert_uint_eq(mg_blob_len(b), lens[i]);
    holds_pattern(b, 0);
    mg_blob_unref(b);
  }
  mg_blob_unref(mg_blob_copy(&budget, NULL, 0));
  ck_assert_uint_eq(budget.used, 0);
  base_no_leak(before);
}
END_TEST

START_TEST(max_is_exact) {
  static const size_t maxes[] = {0, 1, 511, 513, 16 * 1024 + 5, MG_BLOB_MAP + 5, 2 * MIB + 1};
  for (size_t i = 0; i < sizeof maxes / sizeof *maxes; i++) {
    mg_blob *b = mg_blob_new(NULL, 0, maxes[i]);
    ck_assert_int_eq(fill(b, maxes[i], 8000), MCPGW_OK);
    ck_assert_int_eq(mg_blob_append(b, "x", 1), MCPGW_E_LIMIT);
    ck_assert_int_eq(mg_blob_reserve(b, SIZE_MAX), MCPGW_E_LIMIT);
    mg_blob_commit(b, 1); /* a mapping has room behind max: it must not count */
    ck_assert_uint_eq(mg_blob_len(b), maxes[i]);
    holds_pattern(b, 0);
    mg_blob_unref(b);
  }
  mg_blob *b = mg_blob_new(NULL, 100, 10); /* the reserve is clamped */
  ck_assert_int_eq(mg_blob_append(b, "0123456789", 10), MCPGW_OK);
  ck_assert_int_eq(mg_blob_append(b, "x", 1), MCPGW_E_LIMIT);
  mg_blob_unref(b);
  b = mg_blob_new(NULL, 0, SIZE_MAX);
  ck_assert_int_eq(mg_blob_reserve(b, SIZE_MAX - 10), MCPGW_E_NOMEM);
  mg_blob_unref(b);
}
END_TEST

START_TEST(tail_and_commit) {
  mg_blob *b = mg_blob_new(NULL, 0, MIB);
  ck_assert_int_eq(mg_blob_reserve(b, 600), MCPGW_OK);
  memcpy(mg_blob_tail(b), "hello", 5);
  mg_blob_commit(b, 5);
  memcpy(mg_blob_tail(b), " world", 6);
  mg_blob_commit(b, 6);
  ck_assert(mg_slice_eqz(mg_blob_slice(b), "hello world"));
  mg_blob_set_len(b, 5);
  mg_blob_set_len(b, 50); /* never longer */
  ck_assert(mg_slice_eqz(mg_blob_slice(b), "hello"));
  mg_blob_data(b)[0] = 'J';
  ck_assert(mg_slice_eqz(mg_blob_slice(b), "Jello"));
  mg_blob_unref(b);
}
END_TEST

START_TEST(the_budget_ends_it) {
  struct mg_budget budget = {.limit = 700};
  mg_blob *b = mg_blob_new(&budget, 0, MIB);
  ck_assert_int_eq(fill(b, 700, 1), MCPGW_OK); /* doubling would not fit, the last bytes do */
  ck_assert_uint_eq(budget.used, 700);
  ck_assert_int_eq(mg_blob_append(b, "x", 1), MCPGW_E_LIMIT);
  ck_assert_uint_eq(mg_blob_len(b), 700);
  holds_pattern(b, 0);
  ck_assert_ptr_null(mg_blob_new(&budget, 1, 10));
  ck_assert_ptr_null(mg_blob_copy(&budget, "x", 1));
  ck_assert_uint_eq(budget.used, 700);
  mg_blob_unref(b);
  ck_assert_uint_eq(budget.used, 0);
  budget.limit = MIB;
  ck_assert_ptr_null(mg_blob_new(&budget, 2 * MIB, 2 * MIB));
  ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(shared_bytes_stand_still) {
  mg_blob *b = mg_blob_copy(NULL, "abc", 3);
  const char *where = mg_blob_data(b);
  ck_assert_ptr_eq(mg_blob_ref(b), b);
  ck_assert_int_eq(mg_blob_append(b, "d", 1), MCPGW_E_STATE);
  mg_blob_unref(b);
  ck_assert_ptr_eq(mg_blob_slice(b).ptr, where);
  ck_assert(mg_slice_eqz(mg_blob_slice(b), "abc"));
  mg_blob_unref(b);
}
END_TEST

static size_t resident(const char *page_start, size_t len, size_t page) {
  unsigned char map[4096];
  size_t n = 0, pages = len / page;
  ck_assert_uint_le(pages, sizeof map);
  ck_assert_int_eq(mincore((void *)(uintptr_t)page_start, len, map), 0);
  for (size_t i = 0; i < pages; i++) n += map[i] & 1;
  return n;
}

START_TEST(draining_gives_back_once) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), len = 2 * MIB + 123;
  struct mg_budget budget = {.limit = 64 * MIB};
  mg_blob *b = mg_blob_new(&budget, len, len);
  ck_assert_int_eq(fill(b, len, 8000), MCPGW_OK);
  size_t full = mg_blob_charged(b), at = 0;
  uint64_t state = 99;
  ck_assert_uint_eq(full, (len + page - 1) / page * page);
  while (at < len) {
    mg_blob_drained(b, at);
    mg_blob_drained(b, at);     /* again */
    mg_blob_drained(b, at / 2); /* and backwards: no double credit */
    ck_assert_uint_eq(mg_blob_charged(b), full - at / page * page);
    ck_assert_uint_eq(budget.used, mg_blob_charged(b));
    at += base_next(&state) % (5 * page);
  }
  mg_blob_drained(b, SIZE_MAX); /* clamped to the length */
  ck_assert_uint_eq(mg_blob_charged(b), page);
  ck_assert_uint_eq(resident(mg_blob_data(b), len / page * page, page), 0);
  ck_assert_int_eq(mg_blob_data(b)[len - 1], pattern(len - 1));
  mg_blob_unref(b);
  ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(draining_waits_for_the_last_reader) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct mg_budget budget = {0};
  mg_blob *b = mg_blob_new(&budget, MIB, MIB);
  ck_assert_int_eq(fill(b, MIB, 8000), MCPGW_OK);
  mg_blob_ref(b);
  mg_blob_drained(b, MIB / 2);
  ck_assert_uint_eq(budget.used, MIB);
  holds_pattern(b, 0); /* the other reader still sees all of it */
  mg_blob_unref(b);
  mg_blob_drained(b, MIB / 2 + 1);
  ck_assert_uint_eq(budget.used, MIB / 2);
  holds_pattern(b, MIB / 2);
  ck_assert_uint_eq(resident(mg_blob_data(b), MIB / 2, page), 0);
  mg_blob_unref(b);
  ck_assert_uint_eq(budget.used, 0);
  b = mg_blob_new(&budget, 0, MIB); /* not a mapping: nothing to give back */
  ck_assert_int_eq(fill(b, 100 * 1024, 8000), MCPGW_OK);
  size_t held = budget.used;
  mg_blob_drained(b, 90 * 1024);
  ck_assert_uint_eq(budget.used, held);
  holds_pattern(b, 0);
  mg_blob_unref(b);
}
END_TEST

START_TEST(drains_while_it_fills) {
  struct mg_budget budget = {0};
  mg_blob *b = mg_blob_new(&budget, 0, 16 * MIB);
  for (size_t len = MIB; len <= 8 * MIB; len += MIB / 2) {
    ck_assert_int_eq(fill(b, len, 8000), MCPGW_OK);
    mg_blob_drained(b, len - MIB / 4);
    holds_pattern(b, len - MIB / 4);
    ck_assert_uint_le(budget.used, MIB / 4 + MIB + 8192);
    ck_assert_uint_eq(budget.used, mg_blob_charged(b));
  }
  mg_blob_unref(b);
  ck_assert_uint_eq(budget.used, 0);
}
END_TEST

/* One life of a blob; after a failure everything is as before the step and the step works again. */
static void live_once(struct mg_budget *budget, size_t reserve) {
  mg_blob *b = mg_blob_new(budget, reserve, 8 * MIB);
  if (b == NULL) {
    ck_assert_uint_eq(budget->used, 0);
    return;
  }
  while (mg_blob_len(b) < 3 * MIB) {
    size_t was = mg_blob_len(b), held = budget->used;
    int rc = fill(b, was + 8192, 8192);
    if (rc == MCPGW_OK) continue;
    ck_assert_int_eq(rc, MCPGW_E_NOMEM);
    ck_assert_uint_eq(mg_blob_len(b), was);
    ck_assert_uint_eq(budget->used, held);
    ck_assert_uint_eq(mg_blob_charged(b), held);
  }
  holds_pattern(b, 0);
  mg_blob_unref(b);
  ck_assert_uint_eq(budget->used, 0);
}

START_TEST(every_allocation_fails_in_turn) {
  static const size_t reserves[] = {0, 100, 20 * 1024, 300 * 1024};
  int64_t before = mg_mem_live();
  for (size_t r = 0; r < sizeof reserves / sizeof *reserves; r++) {
    uint64_t nth = 1;
    for (int over = 0; !over; nth++) {
      struct mg_budget budget = {.limit = 16 * MIB};
      mg_mem_fail_after(nth, 0);
      live_once(&budget, reserves[r]);
      over = mg_mem_failed() == 0;
      base_no_leak(before);
    }
    ck_assert_uint_gt(nth, 4);
  }
  mg_mem_fail_after(1, 0);
  ck_assert_ptr_null(mg_blob_copy(NULL, "x", 1));
}
END_TEST

/* Two are kept, a third goes; none is charged while it rests, and what a last user left does not show. */
START_TEST(spare_ones_are_used_again) {
  struct mg_budget budget = {.keep = 2};
  mg_blob *b[3];
  int64_t live = mg_mem_live();
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 3; i++) {
      b[i] = mg_blob_new(&budget, 1000, MIB);
      ck_assert_uint_eq(mg_blob_len(b[i]), 0);
      ck_assert_int_eq(fill(b[i], i ? 1500 : 5000, 700), MCPGW_OK); /* one outgrows it */
      holds_pattern(b[i], 0);
    }
    ck_assert_uint_ge(budget.used, 8000);
    for (int i = 0; i < 3; i++) mg_blob_unref(b[i]);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_uint_le(budget.n_spare, 2);
    ck_assert_int_eq(mg_mem_live(), live + (int64_t)budget.n_spare);
  }
  mg_budget_done(&budget);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

Suite *base_blob_suite(void) {
  Suite *s = suite_create("base/blob");
  TCase *t = tcase_create("blob");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, grows_and_keeps_its_bytes);
  tcase_add_test(t, never_more_than_a_mebibyte_ahead);
  tcase_add_test(t, an_outgrown_inline_part_stays_charged);
  tcase_add_test(t, small_ones_are_one_allocation);
  tcase_add_test(t, copies_of_any_size);
  tcase_add_test(t, max_is_exact);
  tcase_add_test(t, tail_and_commit);
  tcase_add_test(t, the_budget_ends_it);
  tcase_add_test(t, shared_bytes_stand_still);
  tcase_add_test(t, draining_gives_back_once);
  tcase_add_test(t, draining_waits_for_the_last_reader);
  tcase_add_test(t, drains_while_it_fills);
  tcase_add_test(t, every_allocation_fails_in_turn);
  tcase_add_test(t, spare_ones_are_used_again);
  suite_add_tcase(s, t);
  return s;
}
