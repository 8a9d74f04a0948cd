/* api/idempotency: the doors of <mcpgw/idempotency.h>. */
#include "mcpgw/idempotency.h"

#include <string.h>

#include "core/once/idem.h"

void mcpgw_idempotency_options_init(mcpgw_idempotency_options *options) {
  if (!options) return;
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
}

void mcpgw_idempotency_request_init(mcpgw_idempotency_request *request) {
  if (!request) return;
  memset(request, 0, sizeof *request);
  request->struct_size = sizeof *request;
}

int mcpgw_idempotency_new(mcpgw_idempotency **out, mcpgw_store *store, const mcpgw_idempotency_options *options) {
  mcpgw_idempotency_options o;
  if (!out || !store) return MCPGW_E_INVALID;
  mcpgw_idempotency_options_init(&o);
  if (options) {
    if (options->struct_size < sizeof o.struct_size) return MCPGW_E_INVALID;
    memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
  }
  return o.flags > MCPGW_IDEMPOTENCY_ASYNC ? MCPGW_E_INVALID : mg_idem_new(store, &o, out);
}

void mcpgw_idempotency_free(mcpgw_idempotency *idempotency) {
  mg_idem_free(idempotency);
}

static int missing(const char *text, size_t len) {
  return len && !text;
}

int mcpgw_idempotency_begin(mcpgw_idempotency *idempotency, const mcpgw_idempotency_request *request, void *user,
                            mcpgw_operation **out) {
  mcpgw_idempotency_request rq;
  if (!idempotency || !request || !out || request->struct_size < sizeof rq.struct_size) return MCPGW_E_INVALID;
  mcpgw_idempotency_request_init(&rq);
  memcpy(&rq, request, request->struct_size < sizeof rq ? request->struct_size : sizeof rq);
  if (!rq.key || !rq.key_len || rq.key_len > MCPGW_IDEMPOTENCY_KEY_MAX) return MCPGW_E_INVALID;
  if (rq.effect > MCPGW_EFFECT_READ || rq.flags > MCPGW_CALL_CONTINUES) return MCPGW_E_INVALID;
  if (missing(rq.principal, rq.principal_len) || missing(rq.upstream, rq.upstream_len) || missing(rq.tool, rq.tool_len) ||
      missing(rq.arguments, rq.arguments_len))
    return MCPGW_E_INVALID;
  return mg_idem_begin(idempotency, &rq, user, out);
}

int mcpgw_idempotency_next(mcpgw_idempotency *idempotency, uint64_t now_ms, mcpgw_operation **out) {
  return idempotency && out ? mg_idem_next(idempotency, now_ms, out) : MCPGW_E_INVALID;
}

int mcpgw_idempotency_timeout_ms(mcpgw_idempotency *idempotency, uint64_t now_ms) {
  return idempotency ? mg_idem_timeout_ms(idempotency, now_ms) : -1;
}

int mcpgw_idempotency_stats(mcpgw_idempotency *idempotency, char **out) {
  return idempotency && out ? mg_idem_stats(idempotency, out) : MCPGW_E_INVALID;
}

uint32_t mcpgw_operation_state(const mcpgw_operation *operation) {
  return operation ? mg_op_state(operation) : MCPGW_OPERATION_REFUSED;
}

int mcpgw_operation_error(const mcpgw_operation *operation) {
  return operation ? mg_op_error(operation) : MCPGW_E_INVALID;
}

void *mcpgw_operation_user(const mcpgw_operation *operation) {
  return operation ? mg_op_user(operation) : NULL;
}

const char *mcpgw_operation_upstream_key(const mcpgw_operation *operation) {
  return operation ? mg_op_upstream_key(operation) : "";
}

int mcpgw_operation_continued(const mcpgw_operation *operation) {
  return operation ? mg_op_continued(operation) : 0;
}

const char *mcpgw_operation_result(const mcpgw_operation *operation, size_t *len, uint32_t *outcome) {
  uint32_t kind = 0;
  struct mg_slice s = {NULL, 0};
  if (operation && mg_op_state(operation) == MCPGW_OPERATION_DONE) s = mg_op_result(operation, &kind);
  if (len) *len = s.len;
  if (outcome) *outcome = kind;
  return s.ptr;
}

void mcpgw_operation_sent(mcpgw_operation *operation) {
  if (operation) mg_op_sent(operation);
}

int mcpgw_operation_finish(mcpgw_operation *operation, uint32_t outcome, const char *bytes, size_t len, uint64_t unix_ms) {
  if (!operation || missing(bytes, len) || outcome < MCPGW_OUTCOME_RESULT || outcome > MCPGW_OUTCOME_INPUT) return MCPGW_E_INVALID;
  if (len > MCPGW_STORE_VALUE_MAX) return MCPGW_E_LIMIT;
  return mg_op_finish(operation, outcome, mg_slice(bytes, len), unix_ms);
}

int mcpgw_operation_abandon(mcpgw_operation *operation, int32_t ran) {
  if (!operation || mg_op_state(operation) != MCPGW_OPERATION_NEW) return operation ? MCPGW_E_STATE : MCPGW_E_INVALID;
  return mg_op_abandon(operation, ran != 0);
}

void mcpgw_operation_free(mcpgw_operation *operation) {
  mg_op_free(operation);
}
