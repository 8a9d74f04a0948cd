/* tests/idem: one instance on one store, turned by hand with a clock of the test's. */
#ifndef TESTS_IDEM_H
#define TESTS_IDEM_H
#include <check.h>
#include <pthread.h>

#include "mcpgw/mcpgw.h"
#include "support/scratch.h"

Suite *idem_outcomes_suite(void);
Suite *idem_races_suite(void);

#define T0 1000000u          /* monotonic */
#define UNIX0 1900000000000u /* wall */

struct host { /* a proxy of somebody's, as small as it can be */
  mcpgw_store *store;
  mcpgw_idempotency *idem;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int woken;
};
mcpgw_store *host_store(const char *dir, uint64_t quota);
void host_new(struct host *h, mcpgw_store *store, uint64_t max_bytes); /* store: referenced */
void host_free(struct host *h);
/* The next change, waited for at most so long; NULL: none came. now_ms is what next is told. */
mcpgw_operation *host_next(struct host *h, uint64_t now_ms, unsigned wait_ms);
mcpgw_idempotency_request call_of(const char *key, const char *arguments);
mcpgw_operation *begin(struct host *h, const mcpgw_idempotency_request *rq);
/* begin, then its next change: the state. */
uint32_t begun(struct host *h, const char *key, const char *arguments, mcpgw_operation **op);
uint32_t state_after(struct host *h, mcpgw_operation *op); /* the next change must be op's */
void finish(struct host *h, mcpgw_operation *op, const char *result); /* until it is STORED; frees it */
int result_is(const mcpgw_operation *op, const char *text, uint32_t outcome);
long long count_of(struct host *h, const char *name);
#endif
