/* core/once/idem_op: what an instance asks of an operation. Only idem.c includes it. */
#ifndef MG_CORE_IDEM_OP_H
#define MG_CORE_IDEM_OP_H
#include "core/once/idem_priv.h"

void mg_op_insert(mcpgw_operation *op);
void mg_op_refuse(mcpgw_operation *op, int rc);
void mg_op_events(mcpgw_operation *op, unsigned events, uint64_t now_ms);
void mg_op_alarm(mcpgw_operation *op, uint64_t now_ms);
int mg_idem_ask_key(mcpgw_idempotency *i);
void mg_idem_quiet(mcpgw_idempotency *i); /* one thing less is under way in the store */
#endif
