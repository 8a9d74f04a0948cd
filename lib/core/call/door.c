/* core/call/door: owns the entrance for messages from downstream: by era, then by kind. */
#include "core/brain.h"

void mg_core_initialize(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out) {
  struct mg_fault f = {.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .text = "the gateway is stopping"};
  struct mg_ctx *ctx = NULL;
  struct mg_call *call;
  const struct mg_msg *m = in->msg;
  *out = NULL;
  int rc = c->draining ? MCPGW_E_CLOSED : MCPGW_OK;
  if (rc == MCPGW_OK && (m->s[MG_S_PARAMS].type != MG_JSON_OBJECT || m->s[MG_S_VERSION].type != MG_JSON_STRING)) {
    rc = MCPGW_E_PARSE;
    f = (struct mg_fault){.code = MG_RPC_PARAMS, .delivered = -1,
                          .text = "initialize needs params with protocolVersion, capabilities and clientInfo"};
  }
  if (rc == MCPGW_OK && (rc = mg_ctx_new(c, in, &ctx)) != MCPGW_OK)
    f.text = mg_ctx_refusal(c, rc);
  if (rc == MCPGW_OK) rc = mg_rate_take(c, ctx->session->principal, in->now_ms, &f);
  if (rc == MCPGW_OK && (rc = mg_call_new(c, ctx, in, &call)) != MCPGW_OK) f.text = "out of memory";
  if (rc != MCPGW_OK) {
    mg_refuse(c, in, 0, &f);
    if (ctx) mg_core_end(c, ctx, f.text);
    return;
  }
  *out = ctx;
  call->step = mg_merge_initialize;
  call->step(call, in->now_ms);
}

/* ---- notifications ---------------------------------------------------------------------------------------- */

static void initialized(struct mg_ctx *ctx, uint64_t now_ms) {
  ctx->initialized = 1;
  mg_sessions_confirm(ctx->session, now_ms);
  for (size_t i = ctx->view.first; i < ctx->view.first + ctx->view.n; i++) {
    struct mg_bind *b = mg_bind_find(ctx, ctx->core->ups[i]);
    if (b && b->link && b->link->ctx) mg_link_initialized(b->link, now_ms);
  }
}

static void cancelled(struct mg_ctx *ctx, const struct mg_msg *m) {
  struct mg_call *call = ctx->calls ? mg_map_get(ctx->calls, mg_msg_raw(m, MG_S_REQUEST_ID)) : NULL;
  struct mg_span reason;
  struct mg_slice why = mg_slice(NULL, 0);
  if (!call || call->method == MG_M_INITIALIZE) {
    ctx->core->stats.unknown_ids++;
    return;
  }
  if (mg_json_get(m->doc, m->s[MG_S_PARAMS], "reason", &reason) && reason.type == MG_JSON_STRING)
    why = mg_span_slice(m->doc, reason);
  mg_call_cancel(call, why);
}

/* Passed on as it came, but for private keys. */
static void pass(struct mg_link *l, const struct mg_inbound *in) {
  struct mg_splice sp;
  mg_blob *copy;
  mg_splice_init(&sp);
  mg_strip_private(&sp, in->msg->doc, in->msg->s[MG_S_META]);
  if (mg_splice_flatten(&sp, in->msg->doc, l->core->budget, &copy) != MCPGW_OK) {
    l->core->stats.dropped_notifications++;
    return;
  }
  if (mg_link_notify(l, copy) != MCPGW_OK) l->core->stats.dropped_notifications++;
  mg_blob_unref(copy);
}

static void pass_to_all(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in) {
  for (size_t i = 0; i < ctx->view.n; i++) {
    struct mg_link *l = mg_link_peek(c, ctx, ctx->view.first + i);
    if (l) pass(l, in);
  }
}

static int legacy_notification(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in) {
  struct mg_link *only = ctx->view.n == 1 ? mg_link_peek(c, ctx, ctx->view.first) : NULL;
  switch (in->msg->method) {
  case MG_M_N_INITIALIZED: initialized(ctx, in->now_ms); break;
  case MG_M_N_CANCELLED: cancelled(ctx, in->msg); break;
  case MG_M_N_PROGRESS: return mg_reverse_progress(ctx, in->msg);
  case MG_M_N_ROOTS_CHANGED: pass_to_all(c, ctx, in); break;
  default:
    if (only) pass(only, in);
    else c->stats.dropped_notifications++;
  }
  return MCPGW_OK;
}

int mg_core_legacy(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in) {
  const struct mg_msg *m = in->msg;
  struct mg_fault f = {.code = MG_RPC_REQUEST, .delivered = -1};
  mg_sessions_touch(ctx->session, in->now_ms);
  if (m->kind == MG_NOTIFICATION) return legacy_notification(c, ctx, in);
  if (m->kind != MG_REQUEST) return mg_reverse_response(ctx, m);
  if (m->method == MG_M_INITIALIZE)
    f.text = "this session has been initialized already; open a new one without Mcp-Session-Id";
  else if (!ctx->initialized && m->method != MG_M_PING)
    f.text = "send notifications/initialized before the first request";
  if (f.text) mg_refuse(c, in, 0, &f);
  else mg_request_start(c, ctx, in, 0);
  return MCPGW_OK;
}

/* ---- modern -------------------------------------------------------------------------------------------------- */

static void modern_cancelled(struct mg_core *c, const struct mg_inbound *in) {
  struct mg_slice id = mg_msg_raw(in->msg, MG_S_REQUEST_ID);
  struct mg_list *head = &in->sink->calls;
  for (struct mg_list *n = head->next; n != head; n = n->next) {
    struct mg_call *call = MG_CONTAINER(n, struct mg_call, in_sink);
    if (!call->modern || !mg_slice_eq(mg_text_slice(&call->id), id)) continue;
    mg_call_cancel(call, mg_slice(NULL, 0));
    return;
  }
  c->stats.unknown_ids++;
}

/* Methods of the legacy eras that 2026-07-28 has removed. */
static int is_removed(int method) {
  return method == MG_M_INITIALIZE || method == MG_M_PING || method == MG_M_SET_LEVEL || method == MG_M_SUBSCRIBE ||
         method == MG_M_UNSUBSCRIBE || method == MG_M_TASKS_LIST || method == MG_M_TASKS_RESULT;
}

int mg_core_modern(struct mg_core *c, const struct mg_inbound *in) {
  const struct mg_msg *m = in->msg;
  struct mg_ctx *ctx;
  int hands_out;
  struct mg_fault why, gone = {.code = MG_RPC_METHOD, .delivered = -1, .text = "Method not found"};
  if (m->kind == MG_NOTIFICATION) {
    struct mg_link *only = in->view.n == 1 ? mg_link_peek(c, mg_handle_peek(c, in), in->view.first) : NULL;
    if (m->method == MG_M_N_CANCELLED) modern_cancelled(c, in);
    else if (only) pass(only, in);
    else c->stats.dropped_notifications++;
    return MCPGW_OK;
  }
  if (m->kind != MG_REQUEST) return MCPGW_E_INVALID; /* clients of this era send no responses */
  if (is_removed(m->method)) mg_refuse(c, in, 1, &gone);
  else if (mg_handle_context(c, in, &ctx, &hands_out, &why) != MCPGW_OK) mg_refuse(c, in, 1, &why);
  else mg_request_start(c, ctx, in, hands_out);
  return MCPGW_OK;
}
