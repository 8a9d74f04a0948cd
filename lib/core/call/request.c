/* core/call/request: owns the decision what becomes of a request: who answers it, which link it takes, what it
 * must wait for. A request that waits is looked at again from the start when what it waited for is there. */
#include "core/brain.h"

/* ---- links ----------------------------------------------------------------------------------------------- */

/* Lists are read again from wherever they come: they have no state to lose. */
static int told_of_loss(struct mg_call *call, size_t upstream, uint64_t now_ms) {
  struct mg_bind *b = mg_bind_find(call->ctx, call->core->ups[upstream]);
  if (mg_method_is_list(call->method) || call->method == MG_M_DISCOVER || !mg_bind_lost(b)) return 0;
  mg_call_fail_lost(call, b, now_ms);
  return 1;
}

static int wait_for(struct mg_call *call, struct mg_list *waiters, const char *what, uint64_t now_ms) {
  if (mg_limits_late(call, now_ms)) return MCPGW_E_CLOSED;
  int rc = mg_call_wait(call, waiters);
  if (rc == MCPGW_OK) {
    mg_limits_wait(call, what);
    return MCPGW_E_AGAIN;
  }
  mg_call_fail_rc(call, rc, call->up ? call->up->cfg->name : NULL);
  return MCPGW_E_CLOSED;
}

int mg_request_link(struct mg_call *call, size_t upstream, struct mg_link **out, uint64_t now_ms) {
  struct mg_fault why;
  if (told_of_loss(call, upstream, now_ms)) return MCPGW_E_CLOSED;
  struct mg_upstream *up = call->core->ups[upstream];
  int asked = mg_breaker_ask(up, call->ctx, now_ms, &why);
  if (asked == MCPGW_E_AGAIN) return wait_for(call, &up->breaker.waiters, "its server to answer a probe", now_ms);
  if (asked != MCPGW_OK) {
    mg_call_fail(call, &why);
    return MCPGW_E_CLOSED;
  }
  struct mg_link *l = mg_link_get(call->core, call->ctx, upstream, now_ms, &why);
  if (!l) {
    if (!why.reason && why.code == MG_RPC_VERSION) mg_merge_none(call);
    else mg_call_fail(call, &why);
    return MCPGW_E_CLOSED;
  }
  *out = l;
  if (l->state == MG_LINK_READY) return MCPGW_OK;
  return wait_for(call, &l->waiters, "a connection", now_ms);
}

/* ---- mirrored arguments (modern) ---------------------------------------------------------------------------- */

/* A list is fetched anew because something does not fit. AGAIN: the call waits. */
static int suspect(struct mg_link *l, struct mg_call *call, uint64_t now_ms) {
  if (mg_catalog_table(l, MG_LIST_TOOLS, call)->settled_ms >= call->created_ms) return MCPGW_OK;
  if (!mg_catalog_suspect(l, MG_LIST_TOOLS, call, now_ms)) return MCPGW_OK;
  return mg_catalog_need(l, MG_LIST_TOOLS, 1, call, now_ms);
}

static const struct mg_item *tool_of(struct mg_call *call, struct mg_link *l, const struct mg_msg *m) {
  struct mg_buf text;
  struct mg_slice name;
  const struct mg_item *item = NULL;
  mg_buf_init(&text, 65536);
  if (mg_msg_text(m, MG_S_NAME, &text, &name) == MCPGW_OK) item = mg_catalog_find(l, MG_LIST_TOOLS, name, call);
  mg_buf_done(&text);
  return item;
}

/* The tool's definition says which headers mirror arguments; a call whose upstream's list is unknown waits
 * for it once. MCPGW_OK: go on; AGAIN: waits; else answered. */
static int check_params(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_item **item,
                        uint64_t now_ms) {
  struct mg_header_fault why;
  if (!mg_link_has_list(l, MG_LIST_TOOLS)) return MCPGW_OK;
  if (mg_catalog_need(l, MG_LIST_TOOLS, 0, call, now_ms) == MCPGW_E_AGAIN) return MCPGW_E_AGAIN;
  if (!*item) *item = tool_of(call, l, m);
  if (!*item) return suspect(l, call, now_ms) == MCPGW_E_AGAIN ? MCPGW_E_AGAIN : MCPGW_OK;
  if (!call->header) return MCPGW_OK;
  if (mg_params_check(&(*item)->params, m, call->header, call->header_arg, &why) == MCPGW_OK) return MCPGW_OK;
  if (suspect(l, call, now_ms) == MCPGW_E_AGAIN) return MCPGW_E_AGAIN;
  mg_call_error(call, why.code, why.text, mg_slice(NULL, 0));
  return MCPGW_E_INVALID;
}

/* ---- routed requests ------------------------------------------------------------------------------------------ */

static int is_task_method(int method) {
  return method == MG_M_TASKS_GET || method == MG_M_TASKS_RESULT || method == MG_M_TASKS_CANCEL ||
         method == MG_M_TASKS_UPDATE;
}

static void run(struct mg_call *call, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_link *l = NULL;
  const struct mg_item *item = NULL;
  if (call->view.n == 1) mg_limits_set(call, call->core->ups[call->view.first], m, NULL);
  if (call->view.n == 1 && mg_once_enter(call, call->core->ups[call->view.first], m, NULL, now_ms) != MCPGW_OK) return;
  int rc = call->view.n == 1 ? mg_request_link(call, call->view.first, &l, now_ms)
                             : mg_route(call, m, &l, &item, now_ms);
  if (rc != MCPGW_OK) return; /* waits, or has been answered */
  if (is_task_method(m->method) && !mg_task_owner(call, mg_msg_inner(m, MG_S_TASK_ID))) {
    mg_call_error(call, MG_RPC_PARAMS, "unknown task", mg_slice(NULL, 0));
    return;
  }
  if (mg_pin_check(call, l, m, item, now_ms) != MCPGW_OK) return;
  if (mg_once_enter(call, l->up, m, item, now_ms) != MCPGW_OK) return;
  if (l->modern && m->method == MG_M_TOOLS_CALL && check_params(call, l, m, &item, now_ms) != MCPGW_OK) return;
  const char *full = l->modern ? NULL : mg_restore_refuses(call->ctx, l->up, m);
  if (full) {
    mg_call_fail(call, &(struct mg_fault){.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .upstream = l->up->cfg->name, .text = full});
    return;
  }
  if (mg_share_request(call, l, m, now_ms) || mg_cache_serve(call, l, m, now_ms)) return;
  if (!item && l->up->cfg->trust_annotations && m->method == MG_M_TOOLS_CALL && l->lists) item = tool_of(call, l, m);
  mg_limits_set(call, l->up, m, item);
  if (mg_limits_late(call, now_ms) || mg_gate_enter(call, l, now_ms) != MCPGW_OK) return;
  mg_request_forward(call, l, m, item, now_ms);
}

void mg_request_run(struct mg_call *call, uint64_t now_ms) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (mg_wire_parse(call->doc, &m, &why) == MCPGW_OK) run(call, &m, now_ms);
  else mg_call_error(call, MG_RPC_INTERNAL, why.text, mg_slice(NULL, 0)); /* it was valid when it came */
}

/* ---- logging/setLevel over several upstreams: told to each that has logging ------------------------------------ */

static void told(struct mg_leg *leg) {
  if (leg->call->n_legs == 0) mg_call_result(leg->call, MG_LIT("{}"));
}

static void level_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  (void)bytes, (void)status, (void)now_ms;
  if (m->kind == MG_RESULT && leg->link->up->cfg->stateful) leg->link->stateful = 1;
  told(leg);
}

static void level_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  (void)f, (void)now_ms; /* it has been logged */
  told(leg);
}

static const struct mg_leg_ops level_ops = {level_reply, level_fail};

static int tell_level(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_leg *leg;
  mg_blob *bytes;
  uint64_t limit = mg_limits_total(l->up->cfg, m->method);
  int rc = mg_leg_new(l, call, m->method, &level_ops, NULL, limit, now_ms, &leg);
  if (rc != MCPGW_OK) return rc;
  rc = mg_request_rewrite(call, m, NULL, leg->id, &bytes);
  if (rc == MCPGW_OK) {
    rc = mg_leg_send(leg, bytes, NULL, 0);
    mg_blob_unref(bytes);
  }
  if (rc != MCPGW_OK) mg_leg_free(leg);
  return rc;
}

static void set_level(struct mg_call *call, const struct mg_msg *m, uint64_t now_ms) {
  size_t sent = 0;
  if (mg_share_level(mg_msg_inner(m, MG_S_LEVEL)) < 0) {
    mg_call_error(call, MG_RPC_PARAMS, "unknown log level", mg_slice(NULL, 0));
    return;
  }
  mg_restore_note(call->ctx, m, call->core->ups[call->view.first]);
  for (size_t i = call->view.first; i < call->view.first + call->view.n; i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    if (l && mg_link_is_common(l)) mg_share_keep_level(l, now_ms); /* the most verbose one counts there */
    else if (l && l->caps & MG_CAP_LOGGING && tell_level(call, l, m, now_ms) == MCPGW_OK) sent++;
  }
  if (!sent) mg_call_result(call, MG_LIT("{}"));
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

void mg_request_start(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in, int hands_out) {
  const struct mg_msg *m = in->msg;
  struct mg_call *call;
  struct mg_fault f = {.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .text = "the gateway is stopping"};
  int limited = m->method != MG_M_PING && !c->draining && mg_rate_take(c, ctx->session->principal, in->now_ms, &f) != MCPGW_OK;
  int rc = c->draining || limited ? MCPGW_E_CLOSED : mg_call_new(c, ctx, in, &call);
  if (rc == MCPGW_E_EXISTS)
    f = (struct mg_fault){.code = MG_RPC_REQUEST, .delivered = -1, .text = "a request with this id is in flight"};
  else if (rc != MCPGW_OK && rc != MCPGW_E_CLOSED) f.text = "too many requests are in flight; try again later";
  if (rc != MCPGW_OK) {
    mg_refuse(c, in, ctx->modern, &f);
    mg_handle_left(ctx);
    return;
  }
  call->hands_out = hands_out;
  if (m->method == MG_M_PING) {
    mg_call_result(call, MG_LIT("{}"));
  } else if (m->method == MG_M_LISTEN && ctx->modern) {
    call->step = mg_listen_start;
    call->step(call, in->now_ms);
  } else if (call->view.n > 1 && (m->method == MG_M_DISCOVER || mg_method_is_list(m->method))) {
    call->step = m->method == MG_M_DISCOVER ? mg_merge_discover : mg_merge_list;
    call->step(call, in->now_ms);
  } else if (call->view.n > 1 && m->method == MG_M_SET_LEVEL) {
    set_level(call, m, in->now_ms);
  } else {
    call->step = mg_request_run;
    run(call, m, in->now_ms);
  }
}
