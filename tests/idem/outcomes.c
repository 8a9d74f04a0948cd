/* tests/idem/outcomes: each answer of begin, and each way out; one owner at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "rig.h"

static mcpgw_store *store;
static struct host h;

static void setup(void) {
  store = host_store(scratch(), 0);
  host_new(&h, store, 1000);
}

static void teardown(void) {
  host_free(&h);
  mcpgw_store_unref(store);
  scratch_done();
}

START_TEST(new_then_the_same_bytes_again) {
  mcpgw_operation *op;
  char key[64];
  ck_assert_uint_eq(begun(&h, "k", "{\"n\":1}", &op), MCPGW_OPERATION_NEW);
  snprintf(key, sizeof key, "%s", mcpgw_operation_upstream_key(op));
  ck_assert_uint_eq(strlen(key), 43);
  ck_assert_int_eq(mcpgw_operation_continued(op), 0);
  finish(&h, op, "{\"content\":[1.0]}");
  for (int i = 0; i < 3; i++) {
    ck_assert_uint_eq(begun(&h, "k", "{\"n\":1}", &op), MCPGW_OPERATION_DONE);
    ck_assert_int_eq(result_is(op, "{\"content\":[1.0]}", MCPGW_OUTCOME_RESULT), 1);
    mcpgw_operation_free(op);
  }
  ck_assert_int_eq(count_of(&h, "new"), 1);
  ck_assert_int_eq(count_of(&h, "replayed"), 3);
  ck_assert_int_eq(count_of(&h, "open"), 0);
}
END_TEST

START_TEST(an_error_is_an_outcome_too) {
  mcpgw_operation *op;
  ck_assert_uint_eq(begun(&h, "k", "", &op), MCPGW_OPERATION_NEW);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_ERROR, "{\"code\":-1}", 11, UNIX0), MCPGW_OK);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_STORED);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_ERROR, "x", 1, UNIX0), MCPGW_E_STATE);
  mcpgw_operation_free(op);
  ck_assert_uint_eq(begun(&h, "k", "", &op), MCPGW_OPERATION_DONE);
  ck_assert_int_eq(result_is(op, "{\"code\":-1}", MCPGW_OUTCOME_ERROR), 1);
  mcpgw_operation_free(op);
}
END_TEST

START_TEST(other_arguments_conflict_at_any_time) {
  mcpgw_operation *op, *other;
  ck_assert_uint_eq(begun(&h, "k", "{\"n\":1}", &op), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&h, "k", "{\"n\": 1}", &other), MCPGW_OPERATION_CONFLICT); /* the bytes count */
  mcpgw_operation_free(other);
  finish(&h, op, "r");
  ck_assert_uint_eq(begun(&h, "k", "{}", &other), MCPGW_OPERATION_CONFLICT);
  mcpgw_operation_free(other);
}
END_TEST

START_TEST(the_scope_is_who_where_and_what) {
  static const char *const scopes[][3] = {{"alice", "crm", "pay"}, {"bob", "crm", "pay"}, {"alice", "erp", "pay"},
                                          {"alice", "crm", "buy"}, {"alic", "ecrm", "pay"}, {"", "", ""}};
  enum { N = sizeof scopes / sizeof *scopes };
  char keys[N][64];
  for (int i = 0; i < N; i++) {
    mcpgw_idempotency_request rq = call_of("k", "x");
    rq.principal = scopes[i][0], rq.principal_len = strlen(scopes[i][0]);
    rq.upstream = scopes[i][1], rq.upstream_len = strlen(scopes[i][1]);
    rq.tool = scopes[i][2], rq.tool_len = strlen(scopes[i][2]);
    mcpgw_operation *op = begin(&h, &rq);
    ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_NEW);
    snprintf(keys[i], sizeof keys[i], "%s", mcpgw_operation_upstream_key(op));
    ck_assert_ptr_null(strstr(keys[i], "alice"));
    for (int j = 0; j < i; j++) ck_assert_str_ne(keys[i], keys[j]);
    finish(&h, op, "r");
  }
}
END_TEST

START_TEST(who_comes_while_it_runs_joins) {
  mcpgw_operation *op, *waits[3], *next;
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  for (int i = 0; i < 3; i++) ck_assert_uint_eq(begun(&h, "k", "a", &waits[i]), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_RESULT, "result", 6, UNIX0), MCPGW_OK);
  for (int i = 0; i < 4; i++) {
    next = host_next(&h, T0, 20000);
    if (next == op) {
      ck_assert_uint_eq(mcpgw_operation_state(op), MCPGW_OPERATION_STORED);
    } else {
      ck_assert_uint_eq(mcpgw_operation_state(next), MCPGW_OPERATION_DONE);
      ck_assert_int_eq(result_is(next, "result", MCPGW_OUTCOME_RESULT), 1);
    }
    mcpgw_operation_free(next);
  }
  ck_assert_int_eq(count_of(&h, "joined"), 3);
}
END_TEST

START_TEST(too_large_reaches_those_who_wait_and_says_so_later) {
  mcpgw_operation *op, *waits;
  char *big = calloc(1, 5001);
  memset(big, 'b', 5000);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&h, "k", "a", &waits), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_RESULT, big, 5000, UNIX0), MCPGW_OK);
  for (int i = 0; i < 2; i++) {
    mcpgw_operation *next = host_next(&h, T0, 20000);
    if (next == waits) ck_assert_int_eq(result_is(next, big, MCPGW_OUTCOME_RESULT), 1);
    else ck_assert_uint_eq(mcpgw_operation_state(next), MCPGW_OPERATION_STORED);
    mcpgw_operation_free(next);
  }
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NOT_KEPT);
  ck_assert_ptr_null(mcpgw_operation_result(op, NULL, NULL));
  mcpgw_operation_free(op);
  free(big);
}
END_TEST

START_TEST(what_did_not_run_frees_the_key) {
  mcpgw_operation *op, *waits;
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&h, "k", "a", &waits), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(mcpgw_operation_abandon(op, 0), MCPGW_OK);
  mcpgw_operation_free(op);
  ck_assert_uint_eq(state_after(&h, waits), MCPGW_OPERATION_NEW); /* who waited runs it */
  mcpgw_operation_free(waits); /* not sent: free again */
  ck_assert_uint_eq(begun(&h, "k", "other arguments", &op), MCPGW_OPERATION_NEW);
  finish(&h, op, "r");
}
END_TEST

START_TEST(what_may_have_run_is_unknown_for_ever) {
  mcpgw_operation *op, *waits;
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&h, "k", "a", &waits), MCPGW_OPERATION_JOINED);
  mcpgw_operation_sent(op);
  mcpgw_operation_free(op); /* sent, and given up */
  ck_assert_uint_eq(state_after(&h, waits), MCPGW_OPERATION_UNKNOWN);
  ck_assert_int_eq(mcpgw_operation_error(waits), MCPGW_OK);
  mcpgw_operation_free(waits);
  for (int i = 0; i < 2; i++) {
    ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_UNKNOWN);
    mcpgw_operation_free(op);
  }
  ck_assert_uint_eq(begun(&h, "k", "b", &op), MCPGW_OPERATION_CONFLICT);
  mcpgw_operation_free(op);
}
END_TEST

START_TEST(what_is_idempotent_or_reads_runs_again) {
  for (uint32_t effect = MCPGW_EFFECT_IDEMPOTENT; effect <= MCPGW_EFFECT_READ; effect++) {
    mcpgw_operation *op;
    char key[16];
    snprintf(key, sizeof key, "k%u", (unsigned)effect);
    ck_assert_uint_eq(begun(&h, key, "a", &op), MCPGW_OPERATION_NEW);
    ck_assert_int_eq(mcpgw_operation_abandon(op, 1), MCPGW_OK);
    mcpgw_operation_free(op);
    mcpgw_idempotency_request rq = call_of(key, "a");
    rq.effect = effect;
    op = begin(&h, &rq);
    ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_NEW);
    finish(&h, op, "r");
    ck_assert_uint_eq(begun(&h, key, "a", &op), MCPGW_OPERATION_DONE);
    mcpgw_operation_free(op);
  }
}
END_TEST

START_TEST(input_required_keeps_the_record_open) {
  mcpgw_operation *op, *waits;
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&h, "k", "a", &waits), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_INPUT, "ask", 3, UNIX0), MCPGW_OK);
  for (int i = 0; i < 2; i++) {
    mcpgw_operation *next = host_next(&h, T0, 20000);
    if (next == waits) ck_assert_int_eq(result_is(next, "ask", MCPGW_OUTCOME_INPUT), 1);
    mcpgw_operation_free(next);
  }
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_DONE); /* the question was lost: here it is again */
  ck_assert_int_eq(result_is(op, "ask", MCPGW_OUTCOME_INPUT), 1);
  mcpgw_operation_free(op);
  mcpgw_idempotency_request rq = call_of("k", "b");
  rq.flags = MCPGW_CALL_CONTINUES;
  op = begin(&h, &rq);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_CONFLICT);
  mcpgw_operation_free(op);
  rq = call_of("k", "a");
  rq.flags = MCPGW_CALL_CONTINUES;
  op = begin(&h, &rq);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_NEW);
  ck_assert_int_eq(mcpgw_operation_continued(op), 1);
  waits = begin(&h, &rq); /* the answer twice: one goes on, one waits */
  ck_assert_uint_eq(state_after(&h, waits), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_RESULT, "end", 3, UNIX0), MCPGW_OK);
  for (int i = 0; i < 2; i++) {
    mcpgw_operation *next = host_next(&h, T0, 20000);
    if (next == waits) ck_assert_int_eq(result_is(next, "end", MCPGW_OUTCOME_RESULT), 1);
    mcpgw_operation_free(next);
  }
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_DONE);
  mcpgw_operation_free(op);
}
END_TEST

START_TEST(a_question_too_long_to_be_kept_can_be_answered) {
  mcpgw_operation *op;
  char *big = calloc(1, 5001);
  memset(big, 'q', 5000);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_INPUT, big, 5000, UNIX0), MCPGW_OK);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_STORED);
  mcpgw_operation_free(op);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NOT_KEPT);
  mcpgw_operation_free(op);
  mcpgw_idempotency_request rq = call_of("k", "a");
  rq.flags = MCPGW_CALL_CONTINUES;
  op = begin(&h, &rq);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_NEW);
  ck_assert_int_eq(mcpgw_operation_continued(op), 1);
  finish(&h, op, "end");
  free(big);
}
END_TEST

START_TEST(an_instance_that_goes_leaves_the_truth) {
  struct host other;
  mcpgw_operation *sent, *unsent, *op, *waits;
  host_new(&other, store, 0);
  ck_assert_uint_eq(begun(&other, "sent", "a", &sent), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&other, "unsent", "a", &unsent), MCPGW_OPERATION_NEW);
  ck_assert_uint_eq(begun(&h, "sent", "a", &waits), MCPGW_OPERATION_JOINED); /* of another instance */
  mcpgw_operation_sent(sent);
  host_free(&other);
  ck_assert_uint_eq(state_after(&h, waits), MCPGW_OPERATION_UNKNOWN);
  mcpgw_operation_free(waits);
  ck_assert_uint_eq(begun(&h, "sent", "a", &op), MCPGW_OPERATION_UNKNOWN);
  mcpgw_operation_free(op);
  ck_assert_uint_eq(begun(&h, "unsent", "a", &op), MCPGW_OPERATION_NEW);
  finish(&h, op, "r");
}
END_TEST

START_TEST(waiting_has_a_deadline) {
  mcpgw_operation *op, *waits;
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_int_eq(mcpgw_idempotency_timeout_ms(h.idem, T0), -1); /* running has none of its own */
  ck_assert_uint_eq(begun(&h, "k", "a", &waits), MCPGW_OPERATION_JOINED);
  ck_assert_int_eq(mcpgw_idempotency_timeout_ms(h.idem, T0), 60000);
  ck_assert_ptr_null(host_next(&h, T0 + 59999, 10));
  ck_assert_ptr_eq(host_next(&h, T0 + 60000, 10), waits);
  ck_assert_uint_eq(mcpgw_operation_state(waits), MCPGW_OPERATION_UNKNOWN);
  ck_assert_int_eq(mcpgw_operation_error(waits), MCPGW_E_TIMEOUT);
  mcpgw_operation_free(waits);
  finish(&h, op, "r");
}
END_TEST

START_TEST(who_leaves_early_leaves_nothing_open) {
  mcpgw_operation *op;
  for (int i = 0; i < 20; i++) {
    mcpgw_idempotency_request rq = call_of("k", "a");
    op = begin(&h, &rq);
    if (i % 2) nap(5); /* freed before and after the store has answered */
    mcpgw_operation_free(op);
  }
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  finish(&h, op, "r");
}
END_TEST

START_TEST(upstream_keys_outlive_the_instance) {
  mcpgw_operation *op;
  char key[64];
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  snprintf(key, sizeof key, "%s", mcpgw_operation_upstream_key(op));
  mcpgw_operation_free(op);
  host_free(&h);
  host_new(&h, store, 0);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_str_eq(mcpgw_operation_upstream_key(op), key);
  mcpgw_operation_free(op);
}
END_TEST

static void file_limit(rlim_t bytes) {
  struct rlimit lim;
  getrlimit(RLIMIT_FSIZE, &lim);
  lim.rlim_cur = bytes ? bytes : lim.rlim_max;
  setrlimit(RLIMIT_FSIZE, &lim);
}

/* A full disk: new calls are refused before anything; a result that cannot be stored is not shown, and stays unknown. */
START_TEST(a_full_store_refuses_first_and_never_lies) {
  mcpgw_operation *ops[200], *op;
  char key[16], big[1000];
  uint32_t state = MCPGW_OPERATION_NEW;
  int n = 0;
  memset(big, 'r', sizeof big);
  file_limit(300000);
  for (; n < 200 && state == MCPGW_OPERATION_NEW; n++) {
    snprintf(key, sizeof key, "k%d", n);
    state = begun(&h, key, "a", &ops[n]);
    mcpgw_operation_sent(ops[n]);
  }
  int unstored = 0, stored = 0;
  for (int i = 0; i < n; i++) {
    if (mcpgw_operation_state(ops[i]) != MCPGW_OPERATION_NEW) continue;
    ck_assert_int_eq(mcpgw_operation_finish(ops[i], MCPGW_OUTCOME_RESULT, big, sizeof big, UNIX0), MCPGW_OK);
    uint32_t s = state_after(&h, ops[i]);
    if (s == MCPGW_OPERATION_STORED) stored++;
    else if (s == MCPGW_OPERATION_UNSTORED) unstored++;
    ck_assert_int_eq(mcpgw_operation_error(ops[i]), s == MCPGW_OPERATION_STORED ? MCPGW_OK : MCPGW_E_LIMIT);
  }
  ck_assert_int_gt(unstored, 0);
  ck_assert_int_gt(stored, 0);
  snprintf(key, sizeof key, "one more");
  uint32_t more = begun(&h, key, "a", &op);
  ck_assert(more == MCPGW_OPERATION_REFUSED || more == MCPGW_OPERATION_NEW);
  if (more == MCPGW_OPERATION_REFUSED) ck_assert_int_eq(mcpgw_operation_error(op), MCPGW_E_LIMIT);
  mcpgw_operation_free(op);
  file_limit(0);
  for (int i = 0; i < n; i++) {
    uint32_t was = mcpgw_operation_state(ops[i]);
    mcpgw_operation_free(ops[i]);
    snprintf(key, sizeof key, "k%d", i);
    uint32_t now = begun(&h, key, "a", &op);
    if (was == MCPGW_OPERATION_STORED) ck_assert_uint_eq(now, MCPGW_OPERATION_DONE);
    if (was == MCPGW_OPERATION_UNSTORED) ck_assert_uint_eq(now, MCPGW_OPERATION_UNKNOWN);
    mcpgw_operation_free(op);
  }
}
END_TEST

START_TEST(bad_arguments_are_returned) {
  mcpgw_idempotency_request rq = call_of("k", "a");
  mcpgw_operation *op;
  rq.key_len = 0;
  ck_assert_int_eq(mcpgw_idempotency_begin(h.idem, &rq, NULL, &op), MCPGW_E_INVALID);
  rq.key_len = MCPGW_IDEMPOTENCY_KEY_MAX + 1;
  ck_assert_int_eq(mcpgw_idempotency_begin(h.idem, &rq, NULL, &op), MCPGW_E_INVALID);
  rq = call_of("k", "a");
  rq.effect = 3;
  ck_assert_int_eq(mcpgw_idempotency_begin(h.idem, &rq, NULL, &op), MCPGW_E_INVALID);
  rq = call_of("k", "a");
  rq.tool = NULL;
  ck_assert_int_eq(mcpgw_idempotency_begin(h.idem, &rq, NULL, &op), MCPGW_E_INVALID);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_NEW);
  ck_assert_int_eq(mcpgw_operation_finish(op, 7, "x", 1, UNIX0), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_operation_abandon(op, 0), MCPGW_OK);
  ck_assert_int_eq(mcpgw_operation_abandon(op, 0), MCPGW_E_STATE);
  mcpgw_operation_free(op);
  mcpgw_operation_free(NULL);
  mcpgw_idempotency_free(NULL);
}
END_TEST

START_TEST(want_of_memory_is_an_answer) {
  mcpgw_idempotency_request rq = call_of("k", "a");
  mcpgw_operation *op;
  int64_t before = mg_mem_live();
  uint64_t nth = 1;
  for (;; nth++) {
    mg_mem_fail_after(nth, 0);
    int rc = mcpgw_idempotency_begin(h.idem, &rq, NULL, &op);
    int failed = mg_mem_failed() != 0;
    mg_mem_fail_after(0, 0);
    if (!failed) break;
    if (rc == MCPGW_OK) { /* it had come as far as the store */
      ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_REFUSED);
      ck_assert_int_eq(mcpgw_operation_error(op), MCPGW_E_NOMEM);
      mcpgw_operation_free(op);
    } else {
      ck_assert_int_eq(rc, MCPGW_E_NOMEM);
    }
    ck_assert_int_eq(mg_mem_live(), before);
  }
  ck_assert_uint_gt(nth, 3);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_NEW);
  mg_mem_fail_after(1, 0);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_RESULT, "r", 1, UNIX0), MCPGW_OK);
  mg_mem_fail_after(0, 0);
  ck_assert_uint_eq(state_after(&h, op), MCPGW_OPERATION_UNSTORED);
  mcpgw_operation_free(op);
  ck_assert_uint_eq(begun(&h, "k", "a", &op), MCPGW_OPERATION_UNKNOWN);
  mcpgw_operation_free(op);
}
END_TEST

Suite *idem_outcomes_suite(void) {
  Suite *s = suite_create("idem");
  TCase *t = tcase_create("outcomes");
  tcase_set_timeout(t, 60);
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, new_then_the_same_bytes_again);
  tcase_add_test(t, an_error_is_an_outcome_too);
  tcase_add_test(t, other_arguments_conflict_at_any_time);
  tcase_add_test(t, the_scope_is_who_where_and_what);
  tcase_add_test(t, who_comes_while_it_runs_joins);
  tcase_add_test(t, too_large_reaches_those_who_wait_and_says_so_later);
  tcase_add_test(t, what_did_not_run_frees_the_key);
  tcase_add_test(t, what_may_have_run_is_unknown_for_ever);
  tcase_add_test(t, what_is_idempotent_or_reads_runs_again);
  tcase_add_test(t, input_required_keeps_the_record_open);
  tcase_add_test(t, a_question_too_long_to_be_kept_can_be_answered);
  tcase_add_test(t, an_instance_that_goes_leaves_the_truth);
  tcase_add_test(t, waiting_has_a_deadline);
  tcase_add_test(t, who_leaves_early_leaves_nothing_open);
  tcase_add_test(t, upstream_keys_outlive_the_instance);
  tcase_add_test(t, a_full_store_refuses_first_and_never_lies);
  tcase_add_test(t, bad_arguments_are_returned);
  tcase_add_test(t, want_of_memory_is_an_answer);
  suite_add_tcase(s, t);
  return s;
}
