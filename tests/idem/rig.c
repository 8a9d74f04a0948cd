/* tests/idem/rig: a host around one instance. */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

mcpgw_store *host_store(const char *dir, uint64_t quota) {
  mcpgw_store *s = NULL;
  mcpgw_store_options o;
  mcpgw_store_options_init(&o);
  o.quota_bytes = quota;
  ck_assert_int_eq(mcpgw_store_new(&s), MCPGW_OK);
  int rc = mcpgw_store_open(s, dir, strlen(dir), &o);
  ck_assert_msg(rc == MCPGW_OK, "%s", mcpgw_store_error(s));
  return s;
}

static void on_wake(void *data) {
  struct host *h = data;
  pthread_mutex_lock(&h->lock);
  h->woken = 1;
  pthread_cond_signal(&h->wake);
  pthread_mutex_unlock(&h->lock);
}

void host_new(struct host *h, mcpgw_store *store, uint64_t max_bytes) {
  mcpgw_idempotency_options o;
  memset(h, 0, sizeof *h);
  pthread_mutex_init(&h->lock, NULL);
  pthread_cond_init(&h->wake, NULL);
  h->store = mcpgw_store_ref(store);
  mcpgw_idempotency_options_init(&o);
  o.max_bytes = max_bytes;
  o.wake = on_wake;
  o.wake_data = h;
  ck_assert_int_eq(mcpgw_idempotency_new(&h->idem, store, &o), MCPGW_OK);
}

void host_free(struct host *h) {
  mcpgw_idempotency_free(h->idem);
  mcpgw_store_unref(h->store);
}

mcpgw_operation *host_next(struct host *h, uint64_t now_ms, unsigned wait_ms) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += wait_ms / 1000;
  until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  for (int waited = 0;;) {
    mcpgw_operation *op;
    int rc = mcpgw_idempotency_next(h->idem, now_ms, &op);
    if (rc == MCPGW_OK) return op;
    ck_assert_int_eq(rc, MCPGW_E_AGAIN);
    if (waited == ETIMEDOUT) return NULL;
    pthread_mutex_lock(&h->lock);
    while (!h->woken && waited == 0) waited = pthread_cond_timedwait(&h->wake, &h->lock, &until);
    h->woken = 0;
    pthread_mutex_unlock(&h->lock);
  }
}

mcpgw_idempotency_request call_of(const char *key, const char *arguments) {
  mcpgw_idempotency_request rq;
  mcpgw_idempotency_request_init(&rq);
  rq.principal = "alice";
  rq.principal_len = 5;
  rq.upstream = "crm";
  rq.upstream_len = 3;
  rq.tool = "pay";
  rq.tool_len = 3;
  rq.key = key;
  rq.key_len = strlen(key);
  rq.arguments = arguments;
  rq.arguments_len = strlen(arguments);
  rq.now_ms = T0;
  rq.unix_ms = UNIX0;
  rq.deadline_ms = T0 + 60000;
  return rq;
}

mcpgw_operation *begin(struct host *h, const mcpgw_idempotency_request *rq) {
  mcpgw_operation *op = NULL;
  ck_assert_int_eq(mcpgw_idempotency_begin(h->idem, rq, h, &op), MCPGW_OK);
  ck_assert_uint_eq(mcpgw_operation_state(op), MCPGW_OPERATION_PENDING);
  ck_assert_ptr_eq(mcpgw_operation_user(op), h);
  return op;
}

uint32_t state_after(struct host *h, mcpgw_operation *op) {
  mcpgw_operation *next = host_next(h, T0, 20000);
  ck_assert_ptr_eq(next, op);
  return mcpgw_operation_state(op);
}

uint32_t begun(struct host *h, const char *key, const char *arguments, mcpgw_operation **op) {
  mcpgw_idempotency_request rq = call_of(key, arguments);
  *op = begin(h, &rq);
  return state_after(h, *op);
}

void finish(struct host *h, mcpgw_operation *op, const char *result) {
  mcpgw_operation_sent(op);
  ck_assert_int_eq(mcpgw_operation_finish(op, MCPGW_OUTCOME_RESULT, result, strlen(result), UNIX0), MCPGW_OK);
  ck_assert_uint_eq(state_after(h, op), MCPGW_OPERATION_STORED);
  mcpgw_operation_free(op);
}

int result_is(const mcpgw_operation *op, const char *text, uint32_t outcome) {
  size_t len;
  uint32_t kind;
  const char *p = mcpgw_operation_result(op, &len, &kind);
  return p && kind == outcome && len == strlen(text) && memcmp(p, text, len) == 0;
}

long long count_of(struct host *h, const char *name) {
  char *json = NULL, key[64];
  ck_assert_int_eq(mcpgw_idempotency_stats(h->idem, &json), MCPGW_OK);
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(json, key);
  ck_assert_ptr_nonnull(at);
  long long n = atoll(at + strlen(key));
  mcpgw_free(json);
  return n;
}
