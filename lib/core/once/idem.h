/* core/once/idem: the delivery contract (DESIGN §8). The room's functions are <mcpgw/idempotency.h>'s; the doors check
 * arguments. Time is a parameter; the store's thread reaches an instance only through its inbox. */
#ifndef MG_CORE_IDEM_H
#define MG_CORE_IDEM_H
#include "base/slice.h"
#include "mcpgw/idempotency.h"

int mg_idem_new(mcpgw_store *store, const mcpgw_idempotency_options *o, mcpgw_idempotency **out);
void mg_idem_free(mcpgw_idempotency *idem);
int mg_idem_begin(mcpgw_idempotency *idem, const mcpgw_idempotency_request *rq, void *user, mcpgw_operation **out);
int mg_idem_next(mcpgw_idempotency *idem, uint64_t now_ms, mcpgw_operation **out);
uint64_t mg_idem_alarm_ms(const mcpgw_idempotency *idem); /* when next has something to do by itself; UINT64_MAX */
int mg_idem_timeout_ms(mcpgw_idempotency *idem, uint64_t now_ms);
int mg_idem_stats(mcpgw_idempotency *idem, char **out);

uint32_t mg_op_state(const mcpgw_operation *op);
int mg_op_error(const mcpgw_operation *op);
struct mg_slice mg_op_scope(const mcpgw_operation *op); /* the hash that names it; BORROWED */
void *mg_op_user(const mcpgw_operation *op);
const char *mg_op_upstream_key(const mcpgw_operation *op);
int mg_op_continued(const mcpgw_operation *op);
struct mg_slice mg_op_result(const mcpgw_operation *op, uint32_t *outcome);
void mg_op_sent(mcpgw_operation *op);
void mg_op_unsent(mcpgw_operation *op); /* what was sent provably did not arrive */
int mg_op_finish(mcpgw_operation *op, uint32_t outcome, struct mg_slice bytes, uint64_t unix_ms);
int mg_op_abandon(mcpgw_operation *op, int ran);
void mg_op_free(mcpgw_operation *op);
#endif
