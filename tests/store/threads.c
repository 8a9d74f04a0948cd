/* tests/store/threads: many threads and several processes on one store; group commit; readers under load. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites.h"

#define K MCPGW_KIND_HOST
#define THREADS 8
#define KEYS 200

struct racer {
  mcpgw_store *s;
  atomic_int *won;
  atomic_int ok, exists, bad;
};

static void *race(void *arg) {
  struct racer *r = arg;
  char key[32];
  struct told t;
  for (int i = 0; i < KEYS; i++) {
    snprintf(key, sizeof key, "key%d", i);
    int rc = insert_d(r->s, K, key, "v", &t);
    if (rc == MCPGW_OK && r->won[i]++ == 0) r->ok++;
    else if (rc == MCPGW_E_EXISTS && t.value_len == 1) r->exists++;
    else r->bad++;
  }
  return NULL;
}

START_TEST(one_of_many_inserts_wins) {
  const char *dir = scratch();
  static atomic_int won[KEYS];
  pthread_t threads[THREADS];
  struct racer r = {.s = open_store(dir, 0), .won = won};
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, race, &r);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  ck_assert_int_eq(r.bad, 0);
  ck_assert_int_eq(r.ok, KEYS);
  ck_assert_int_eq(r.exists, KEYS * (THREADS - 1));
  for (int i = 0; i < KEYS; i++) ck_assert_int_eq(won[i], 1);
  mcpgw_store_unref(r.s);
  scratch_done();
}
END_TEST

static int count_cb(void *arg, int rc, const mcpgw_record *r) {
  (void)r;
  atomic_fetch_add((atomic_int *)arg, rc == MCPGW_OK ? 1 : 1000000);
  return 0;
}

START_TEST(what_waits_is_committed_together) {
  const char *dir = scratch();
  atomic_int done = 0;
  char key[32];
  mcpgw_store *s = open_store(dir, 0);
  for (int i = 0; i < 2000; i++) {
    snprintf(key, sizeof key, "k%d", i);
    mcpgw_record r = rec(K, key, "0123456789");
    ck_assert_int_eq(mcpgw_store_insert_durable(s, &r, 0, count_cb, &done), MCPGW_OK);
  }
  for (int i = 0; i < 3000 && atomic_load(&done) < 2000; i++) nap(10);
  ck_assert_int_eq(done, 2000);
  ck_assert_int_lt(stat_of(s, "commits"), 1000);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(the_queue_has_a_ceiling_and_gives_way_in_order) {
  const char *dir = scratch();
  mcpgw_store *s;
  mcpgw_store_options o;
  struct told t;
  char *big = calloc(1, 40000);
  atomic_int done = 0;
  mcpgw_store_options_init(&o);
  o.queue_bytes = 400000;
  ck_assert_int_eq(mcpgw_store_new(&s), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_open(s, dir, strlen(dir), &o), MCPGW_OK);
  /* a callback that does not return holds the writer: what comes now waits */
  told_init(&t);
  pthread_mutex_lock(&t.lock);
  mcpgw_record first = rec(K, "first", "x");
  ck_assert_int_eq(mcpgw_store_insert_durable(s, &first, 0, told_cb, &t), MCPGW_OK);
  nap(100); /* it stands in told_cb now */
  mcpgw_record r = rec(K, "k", "");
  r.value = big;
  r.value_len = 40000;
  int puts = 0, durables = 0, caches = 0;
  r.kind = MCPGW_KIND_HOST_CACHE;
  while (mcpgw_store_put(s, &r) == MCPGW_OK) caches++;
  r.kind = K;
  while (mcpgw_store_put(s, &r) == MCPGW_OK) puts++;
  while (mcpgw_store_put_durable(s, &r, 0, count_cb, &done) == MCPGW_OK) durables++;
  ck_assert_int_eq(caches, 2);
  ck_assert_int_eq(puts, 2);
  ck_assert_int_eq(durables, 5);
  t.done = 0;
  pthread_mutex_unlock(&t.lock);
  ck_assert_int_eq(wait_for(&t), MCPGW_OK);
  for (int i = 0; i < 1000 && atomic_load(&done) < durables; i++) nap(10);
  ck_assert_int_eq(done, durables);
  ck_assert_int_eq(stat_of(s, "refused_queue"), 3);
  mcpgw_store_unref(s);
  free(big);
  scratch_done();
}
END_TEST

struct readers {
  mcpgw_store *s;
  atomic_int stop, bad;
  atomic_long reads;
};

static int same_digits(void *arg, int rc, const mcpgw_record *r) {
  struct readers *x = arg;
  for (size_t i = 1; i < r->value_len; i++)
    if (rc != MCPGW_OK || r->value[i] != r->value[0]) atomic_fetch_add(&x->bad, 1);
  return 0;
}

static void *read_all(void *arg) {
  struct readers *x = arg;
  while (!atomic_load(&x->stop)) {
    int rc = mcpgw_store_get(x->s, K, "hot", 3, same_digits, x);
    if (rc != MCPGW_OK && rc != MCPGW_E_NOT_FOUND) atomic_fetch_add(&x->bad, 1);
    rc = mcpgw_store_scan(x->s, K, "h", 1, same_digits, x);
    if (rc != MCPGW_OK) atomic_fetch_add(&x->bad, 1);
    atomic_fetch_add(&x->reads, 1);
  }
  return NULL;
}

START_TEST(readers_see_whole_records_while_one_writes) {
  const char *dir = scratch();
  pthread_t threads[4];
  char value[3000];
  struct readers x = {.s = open_store(dir, 0)};
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, read_all, &x);
  for (int i = 0; i < 400; i++) {
    memset(value, '0' + i % 10, sizeof value - 1);
    value[sizeof value - 1] = '\0';
    mcpgw_record r = rec(K, "hot", value);
    ck_assert_int_eq(mcpgw_store_put(x.s, &r), MCPGW_OK);
    if (i % 20 == 0) ck_assert_int_eq(put_d(x.s, K, "hotter", value), MCPGW_OK);
  }
  atomic_store(&x.stop, 1);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  ck_assert_int_eq(x.bad, 0);
  ck_assert_int_gt(x.reads, 10);
  mcpgw_store_unref(x.s);
  scratch_done();
}
END_TEST

START_TEST(one_of_many_processes_wins) {
  const char *dir = scratch();
  enum { PROCESSES = 5 };
  int out[2], total = 0;
  ck_assert_int_eq(pipe(out), 0);
  for (int p = 0; p < PROCESSES; p++) {
    if (fork()) continue;
    static atomic_int won[KEYS];
    struct racer r = {.s = open_store(dir, 0), .won = won};
    race(&r);
    int n = r.bad ? -100000 : atomic_load(&r.ok);
    mcpgw_store_unref(r.s);
    _exit(write(out[1], &n, sizeof n) != sizeof n);
  }
  for (int p = 0, status; p < PROCESSES; p++) {
    ck_assert_int_gt(wait(&status), 0);
    ck_assert_int_eq(status, 0);
  }
  for (int p = 0, n; p < PROCESSES && read(out[0], &n, sizeof n) == sizeof n; p++) total += n;
  ck_assert_int_eq(total, KEYS);
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(stat_of(s, "records"), KEYS);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

Suite *store_threads_suite(void) {
  Suite *s = suite_create("store");
  TCase *t = tcase_create("threads");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, one_of_many_inserts_wins);
  tcase_add_test(t, what_waits_is_committed_together);
  tcase_add_test(t, the_queue_has_a_ceiling_and_gives_way_in_order);
  tcase_add_test(t, readers_see_whole_records_while_one_writes);
  tcase_add_test(t, one_of_many_processes_wins);
  suite_add_tcase(s, t);
  return s;
}
