/* tests/idem/races: one key, many who want it: threads, instances, processes, some of them killed. One effect, always. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

#define THREADS 6
#define KEYS 60

static uint64_t real_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct ledger {
  atomic_int effects[KEYS], answers, wrong, unknown;
};

/* Calls one key and follows it to its end, as a client that never gives up on an answer would see it. */
static void call_once(struct host *h, struct ledger *l, int k) {
  char key[32], result[32];
  mcpgw_operation *op;
  snprintf(key, sizeof key, "key%d", k);
  snprintf(result, sizeof result, "result%d", k);
  mcpgw_idempotency_request rq = call_of(key, key);
  rq.now_ms = real_ms();
  rq.deadline_ms = rq.now_ms + 30000;
  op = begin(h, &rq);
  for (;;) {
    int wait = mcpgw_idempotency_timeout_ms(h->idem, real_ms());
    mcpgw_operation *next = host_next(h, real_ms(), wait < 0 || wait > 1000 ? 1000 : (unsigned)wait);
    if (!next) continue;
    switch (mcpgw_operation_state(op)) {
    case MCPGW_OPERATION_NEW:
      mcpgw_operation_sent(op);
      atomic_fetch_add(&l->effects[k], 1);
      if (k % 3 == 0) nap(3);
      mcpgw_operation_finish(op, MCPGW_OUTCOME_RESULT, result, strlen(result), UNIX0);
      continue;
    case MCPGW_OPERATION_JOINED:
      continue;
    case MCPGW_OPERATION_DONE:
      if (!result_is(op, result, MCPGW_OUTCOME_RESULT)) atomic_fetch_add(&l->wrong, 1);
      break;
    case MCPGW_OPERATION_STORED:
      break;
    case MCPGW_OPERATION_UNKNOWN:
      atomic_fetch_add(&l->unknown, 1);
      break;
    default:
      atomic_fetch_add(&l->wrong, 1);
    }
    break;
  }
  atomic_fetch_add(&l->answers, 1);
  mcpgw_operation_free(op);
}

struct runner {
  mcpgw_store *store;
  struct ledger *ledger;
};

static void *run_all(void *arg) {
  struct runner *r = arg;
  struct host h;
  host_new(&h, r->store, 0);
  for (int k = 0; k < KEYS; k++) call_once(&h, r->ledger, k);
  host_free(&h);
  return NULL;
}

static void judge(const struct ledger *l, int callers) {
  for (int k = 0; k < KEYS; k++) ck_assert_int_eq(l->effects[k], 1);
  ck_assert_int_eq(l->answers, callers * KEYS);
  ck_assert_int_eq(l->wrong, 0);
}

START_TEST(instances_in_threads_do_it_once) {
  static struct ledger l;
  pthread_t threads[THREADS];
  struct runner r = {host_store(scratch(), 0), &l};
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, run_all, &r);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  judge(&l, THREADS);
  ck_assert_int_eq(l.unknown, 0);
  mcpgw_store_unref(r.store);
  scratch_done();
}
END_TEST

/* Who runs it gives up before a byte has left, time and again: those who wait take it over, and none of them is ever
 * told that nobody knows. */
static void *hand_on(void *arg) {
  struct runner *r = arg;
  struct host h;
  host_new(&h, r->store, 0);
  for (int k = 0; k < KEYS; k++) {
    char key[32];
    snprintf(key, sizeof key, "pass%d", k);
    for (int over = 0; !over;) {
      mcpgw_idempotency_request rq = call_of(key, key);
      rq.now_ms = real_ms();
      rq.deadline_ms = rq.now_ms + 30000;
      mcpgw_operation *op = begin(&h, &rq);
      uint32_t state;
      do {
        host_next(&h, real_ms(), 100);
        state = mcpgw_operation_state(op);
      } while (state == MCPGW_OPERATION_PENDING || state == MCPGW_OPERATION_JOINED);
      if (state == MCPGW_OPERATION_NEW && atomic_fetch_add(&r->ledger->effects[k], 1) == 20) {
        finish(&h, op, "done");
        break;
      }
      if (state == MCPGW_OPERATION_UNKNOWN) atomic_fetch_add(&r->ledger->unknown, 1);
      else if (state != MCPGW_OPERATION_NEW && state != MCPGW_OPERATION_DONE) atomic_fetch_add(&r->ledger->wrong, 1);
      over = state != MCPGW_OPERATION_NEW;
      mcpgw_operation_free(op); /* a new one was not sent: it did not run */
    }
  }
  host_free(&h);
  return NULL;
}

START_TEST(what_did_not_run_is_handed_on) {
  static struct ledger l;
  pthread_t threads[THREADS];
  struct runner r = {host_store(scratch(), 0), &l};
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, hand_on, &r);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int k = 0; k < KEYS; k++) ck_assert_int_eq(l.effects[k], 21);
  ck_assert_int_eq(l.wrong, 0);
  ck_assert_int_eq(l.unknown, 0);
  mcpgw_store_unref(r.store);
  scratch_done();
}
END_TEST

START_TEST(processes_do_it_once) {
  const char *dir = scratch();
  struct ledger *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  enum { PROCESSES = 5 };
  for (int p = 0; p < PROCESSES; p++) {
    if (fork()) continue;
    struct runner r = {host_store(dir, 0), l};
    run_all(&r);
    mcpgw_store_unref(r.store);
    _exit(0);
  }
  for (int p = 0, status; p < PROCESSES; p++) {
    ck_assert_int_gt(wait(&status), 0);
    ck_assert_int_eq(status, 0);
  }
  judge(l, PROCESSES);
  ck_assert_int_eq(l->unknown, 0);
  scratch_done();
}
END_TEST

/* A process holds the intent and dies; another waits for it and must learn that nobody knows. */
START_TEST(killed_with_the_intent_in_its_hand) {
  const char *dir = scratch();
  int fds[2];
  char byte;
  ck_assert_int_eq(pipe(fds), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct host h;
    mcpgw_operation *op;
    host_new(&h, host_store(dir, 0), 0);
    if (begun(&h, "k", "a", &op) != MCPGW_OPERATION_NEW || begun(&h, "read", "a", &op) != MCPGW_OPERATION_NEW) _exit(3);
    if (write(fds[1], "i", 1) != 1) _exit(4);
    for (;;) pause();
  }
  ck_assert_int_eq(read(fds[0], &byte, 1), 1);
  mcpgw_store *store = host_store(dir, 0);
  struct host h;
  mcpgw_operation *op, *again;
  host_new(&h, store, 0);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_JOINED); /* its owner lives */
  int wait = mcpgw_idempotency_timeout_ms(h.idem, T0);
  ck_assert_int_gt(wait, 0);
  ck_assert_int_le(wait, 50);
  for (int i = 1; i < 10; i++) ck_assert_ptr_null(host_next(&h, T0 + 50u * (unsigned)i, 10)); /* still */
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  mcpgw_operation *next = NULL;
  for (unsigned i = 10; i < 100 && !next; i++) next = host_next(&h, T0 + 50 * i, 20);
  ck_assert_ptr_eq(next, op);
  ck_assert_uint_eq(mcpgw_operation_state(op), MCPGW_OPERATION_UNKNOWN);
  ck_assert_int_eq(mcpgw_operation_error(op), MCPGW_OK);
  mcpgw_operation_free(op);
  ck_assert_uint_eq(begun(&h, "k", "a", &again), MCPGW_OPERATION_UNKNOWN);
  mcpgw_operation_free(again);
  mcpgw_idempotency_request rq = call_of("read", "a");
  rq.effect = MCPGW_EFFECT_READ;
  op = begin(&h, &rq);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_NEW); /* what only reads is run again */
  mcpgw_operation_free(op);
  host_free(&h);
  mcpgw_store_unref(store);
  scratch_done();
}
END_TEST

/* Another process finishes while this one waits: its bytes arrive here. */
START_TEST(joined_across_processes) {
  const char *dir = scratch();
  int up[2], down[2];
  char byte;
  ck_assert_int_eq(pipe(up) | pipe(down), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct host h;
    mcpgw_operation *op;
    host_new(&h, host_store(dir, 0), 0);
    if (begun(&h, "k", "a", &op) != MCPGW_OPERATION_NEW) _exit(3);
    if (write(up[1], "i", 1) != 1 || read(down[0], &byte, 1) != 1) _exit(4);
    finish(&h, op, "theirs");
    _exit(0);
  }
  ck_assert_int_eq(read(up[0], &byte, 1), 1);
  mcpgw_store *store = host_store(dir, 0);
  struct host h;
  mcpgw_operation *op, *next = NULL;
  host_new(&h, store, 0);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(write(down[1], "g", 1), 1);
  for (unsigned i = 1; i < 400 && !next; i++) next = host_next(&h, T0 + 50 * i, 20);
  ck_assert_ptr_eq(next, op);
  ck_assert_int_eq(result_is(op, "theirs", MCPGW_OUTCOME_RESULT), 1);
  mcpgw_operation_free(op);
  host_free(&h);
  mcpgw_store_unref(store);
  waitpid(pid, NULL, 0);
  scratch_done();
}
END_TEST

/* Workers are killed at random while they run everything; the keys are called until each has an answer. */
START_TEST(kill_9_anywhere_and_still_at_most_once) {
  const char *dir = scratch();
  struct ledger *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  unsigned seed = 4711;
  for (int round = 0; round < 10; round++) {
    pid_t pids[3];
    for (int p = 0; p < 3; p++) {
      if ((pids[p] = fork())) continue;
      struct runner r = {host_store(dir, 0), l};
      run_all(&r);
      _exit(0);
    }
    nap(20 + (unsigned)rand_r(&seed) % 60);
    for (int p = 0; p < 3; p++) kill(pids[p], SIGKILL);
    for (int p = 0; p < 3; p++) waitpid(pids[p], NULL, 0);
  }
  struct runner last = {host_store(dir, 0), l};
  int before = l->unknown;
  run_all(&last);
  int unknown = l->unknown - before, once = 0;
  for (int k = 0; k < KEYS; k++) {
    ck_assert_int_le(l->effects[k], 1);
    once += l->effects[k];
  }
  ck_assert_int_eq(l->wrong, 0);
  ck_assert_int_ge(once + unknown, KEYS); /* none is lost in silence */
  mcpgw_store_unref(last.store);
  scratch_done();
}
END_TEST

Suite *idem_races_suite(void) {
  Suite *s = suite_create("idem");
  TCase *t = tcase_create("races");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, instances_in_threads_do_it_once);
  tcase_add_test(t, what_did_not_run_is_handed_on);
  tcase_add_test(t, processes_do_it_once);
  tcase_add_test(t, killed_with_the_intent_in_its_hand);
  tcase_add_test(t, joined_across_processes);
  tcase_add_test(t, kill_9_anywhere_and_still_at_most_once);
  suite_add_tcase(s, t);
  return s;
}
