/* tests/store/full: what gives way, in which order, when the quota, the map or the disk is full; and that it comes
 * back. The disk is full by RLIMIT_FSIZE: a write beyond it fails as one on a full disk does, for root too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites.h"

#define K MCPGW_KIND_HOST
#define CACHE MCPGW_KIND_HOST_CACHE

static char block[8000];

static void fill_block(void) {
  memset(block, 'b', sizeof block - 1);
}

/* Inserts durable records of 8 kB until one is refused; how many went in. */
static int fill(mcpgw_store *s, const char *prefix, int most, int *rc) {
  char key[32];
  int n = 0;
  for (*rc = MCPGW_OK; n < most; n++) {
    snprintf(key, sizeof key, "%s%d", prefix, n);
    if ((*rc = insert_d(s, K, key, block, NULL)) != MCPGW_OK) break;
  }
  return n;
}

START_TEST(the_quota_is_kept_and_what_is_kept_stays) {
  const char *dir = scratch();
  struct told t;
  char key[32];
  int rc;
  fill_block();
  mcpgw_store *s = open_store(dir, 1 << 20);
  ck_assert_int_eq(insert_d(s, K, "intent", "open", &t), MCPGW_OK);
  uint64_t version = t.version;
  int n = fill(s, "k", 10000, &rc);
  ck_assert_int_eq(rc, MCPGW_E_LIMIT);
  ck_assert_int_gt(n, 80);
  ck_assert_int_le(stat_of(s, "used_bytes"), 1 << 20);
  ck_assert_int_le(stat_of(s, "file_bytes"), (1 << 20) + (1 << 18));
  ck_assert_int_gt(stat_of(s, "refused_full"), 0);
  mcpgw_record r = rec(K, "async", block);
  told_init(&t);
  ck_assert_int_eq(mcpgw_store_put_durable(s, &r, MCPGW_STORE_ASYNC, told_cb, &t), MCPGW_OK);
  ck_assert_int_eq(wait_for(&t), MCPGW_E_LIMIT);
  r = rec(K, "intent", block); /* what completes a record that is there may use the reserve */
  r.version = version;
  told_init(&t);
  ck_assert_int_eq(mcpgw_store_replace_if(s, &r, 0, told_cb, &t), MCPGW_OK);
  ck_assert_int_eq(wait_for(&t), MCPGW_OK);
  for (int i = 0; i < n; i++) { /* nothing was dropped */
    snprintf(key, sizeof key, "k%d", i);
    ck_assert_int_eq(get_text(s, K, key, NULL), MCPGW_OK);
  }
  for (int i = 0; i < n; i++) {
    snprintf(key, sizeof key, "k%d", i);
    ck_assert_int_eq(delete_d(s, K, key), MCPGW_OK);
  }
  ck_assert_int_ge(fill(s, "again", 80, &rc), 80); /* room again, in the same file */
  ck_assert_int_le(stat_of(s, "file_bytes"), (1 << 20) + (1 << 18));
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(caches_go_first) {
  const char *dir = scratch();
  char key[32];
  int rc;
  fill_block();
  mcpgw_store *s = open_store(dir, 1 << 20);
  for (int i = 0; i < 50; i++) {
    snprintf(key, sizeof key, "c%d", i);
    ck_assert_int_eq(put_d(s, CACHE, key, block), MCPGW_OK);
  }
  int n = 0;
  for (int round = 0; round < 40 && n < 90; round++) { /* the caches leave between two batches */
    char prefix[16];
    snprintf(prefix, sizeof prefix, "r%d-", round);
    n += fill(s, prefix, 90 - n, &rc);
    if (rc != MCPGW_OK) nap(200);
  }
  ck_assert_int_eq(n, 90);
  ck_assert_int_gt(stat_of(s, "shed"), 0);
  ck_assert_int_eq(get_text(s, CACHE, "c1", NULL), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(get_text(s, K, "r0-1", NULL), MCPGW_OK);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(near_the_quota_what_has_expired_goes) {
  const char *dir = scratch();
  char key[32];
  struct told t;
  int rc, n = 0;
  fill_block();
  mcpgw_store *s = open_store(dir, 1 << 20);
  for (int i = 0; i < 60; i++) {
    snprintf(key, sizeof key, "old%d", i);
    mcpgw_record r = rec(K, key, block);
    r.expires_ms = 1000; /* long ago */
    told_init(&t);
    ck_assert_int_eq(mcpgw_store_put_durable(s, &r, 0, told_cb, &t), MCPGW_OK);
    ck_assert_int_eq(wait_for(&t), MCPGW_OK);
  }
  for (int round = 0; round < 40 && n < 100; round++) {
    char prefix[16];
    snprintf(prefix, sizeof prefix, "r%d-", round);
    n += fill(s, prefix, 100 - n, &rc);
    if (rc != MCPGW_OK) nap(200);
  }
  ck_assert_int_eq(n, 100);
  ck_assert_int_eq(stat_of(s, "swept"), 60);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

static void file_limit(rlim_t bytes) {
  struct rlimit lim;
  ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &lim), 0);
  lim.rlim_cur = bytes ? bytes : lim.rlim_max;
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
}

START_TEST(a_full_disk_is_an_answer_and_passes) {
  const char *dir = scratch();
  char key[32];
  int rc;
  fill_block();
  mcpgw_store *s = open_store(dir, (uint64_t)1 << 30);
  ck_assert_int_eq(insert_d(s, K, "before", "x", NULL), MCPGW_OK);
  file_limit(1 << 20); /* SIGXFSZ ends a process that has not blocked it: the writer has */
  int n = fill(s, "k", 10000, &rc);
  ck_assert_int_eq(rc, MCPGW_E_LIMIT);
  ck_assert_int_gt(n, 50);
  for (int i = 0; i < n; i++) {
    snprintf(key, sizeof key, "k%d", i);
    ck_assert_int_eq(get_text(s, K, key, NULL), MCPGW_OK);
  }
  ck_assert_int_eq(stat_of(s, "broken"), 0);
  file_limit(0);
  ck_assert_int_eq(insert_d(s, K, "after", block, NULL), MCPGW_OK);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  s = open_store(dir, 0);
  ck_assert_int_eq(stat_of(s, "records"), n + 2);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(one_that_does_not_fit_takes_no_other_with_it) {
  const char *dir = scratch();
  struct told small[20], big;
  char key[32], *huge = calloc(1, 3 << 20);
  mcpgw_store *s = open_store(dir, (uint64_t)1 << 30);
  file_limit(2 << 20);
  mcpgw_record r = rec(K, "huge", "");
  r.value = huge;
  r.value_len = 3 << 20;
  told_init(&big);
  for (int i = 0; i < 20; i++) { /* in one batch, most likely */
    snprintf(key, sizeof key, "s%d", i);
    mcpgw_record q = rec(K, key, "small");
    told_init(&small[i]);
    ck_assert_int_eq(mcpgw_store_insert_durable(s, &q, 0, told_cb, &small[i]), MCPGW_OK);
    if (i == 10) ck_assert_int_eq(mcpgw_store_insert_durable(s, &r, 0, told_cb, &big), MCPGW_OK);
  }
  ck_assert_int_eq(wait_for(&big), MCPGW_E_LIMIT);
  for (int i = 0; i < 20; i++) ck_assert_int_eq(wait_for(&small[i]), MCPGW_OK);
  file_limit(0);
  mcpgw_store_unref(s);
  free(huge);
  scratch_done();
}
END_TEST

Suite *store_full_suite(void) {
  Suite *s = suite_create("store");
  TCase *t = tcase_create("full");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, the_quota_is_kept_and_what_is_kept_stays);
  tcase_add_test(t, caches_go_first);
  tcase_add_test(t, near_the_quota_what_has_expired_goes);
  tcase_add_test(t, a_full_disk_is_an_answer_and_passes);
  tcase_add_test(t, one_that_does_not_fit_takes_no_other_with_it);
  suite_add_tcase(s, t);
  return s;
}
