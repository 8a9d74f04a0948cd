/* core/once/once: owns what a key does to a call: it waits until its intent is durable, is told what became of an earlier
 * one, or joins it; its reply is held back until it is stored. Must never send a byte of a keyed call whose
 * operation is not NEW, nor show a result that is not STORED. */
#include "core/once/once.h"

#include <stdio.h>

#include "core/brain.h"
#include "core/once/once_key.h"

#define MAX_LEADERS 65536

/* ---- telling the client ------------------------------------------------------------------------------------------ */

static void tell(struct mg_call *call, int reason, int delivered, const char *limit, const char *text) {
  struct mg_fault f = {.reason = reason, .delivered = delivered, .upstream = call->up ? call->up->cfg->name : NULL, .limit = limit, .text = text};
  mg_log(call->core->log, MG_LOG_WARN, "once.refused", "upstream", f.upstream ? f.upstream : "", "context", mg_ctx_tag(call->ctx),
         "reason", mg_reason_name(reason), "text", text, (char *)0);
  mg_call_fail(call, &f);
}

static void tell_refused(struct mg_call *call, int rc) {
  call->core->stats.keyed_refused++;
  if (rc == MCPGW_E_LIMIT)
    tell(call, MG_WHY_OVERLOADED, MCPGW_DELIVERED_NO, "store_full",
         "store_full: the store has no room for new keyed calls; raise store.quota_bytes, or free the disk");
  else if (rc == MCPGW_E_NOMEM) tell(call, MG_WHY_OVERLOADED, MCPGW_DELIVERED_NO, NULL, "out of memory");
  else if (rc == MCPGW_E_TIMEOUT)
    tell(call, MG_WHY_OVERLOADED, MCPGW_DELIVERED_NO, "store_slow", "store_slow: the store did not take the call in time");
  else tell(call, MG_WHY_OVERLOADED, MCPGW_DELIVERED_NO, "store_failed", "store_failed: the store cannot be written; see the log");
}

static void tell_unknown(struct mg_call *call, int rc) {
  call->core->stats.keyed_unknown++;
  if (rc == MCPGW_E_TIMEOUT)
    tell(call, MG_WHY_UPSTREAM_TIMEOUT, MCPGW_DELIVERED_UNKNOWN, "total_ms",
         "the call with this key still runs; ask again with the same key");
  else
    tell(call, MG_WHY_OUTCOME_UNKNOWN, MCPGW_DELIVERED_UNKNOWN, NULL,
         "a call with this key was begun and its end is not known: it may have run; look before you use a new key");
}

/* ---- replies --------------------------------------------------------------------------------------------------- */

static int parse(struct mg_slice doc, struct mg_msg *m) {
  struct mg_wire_fault why;
  return mg_wire_parse(doc, m, &why);
}

static int status_of(const struct mg_call *call, const struct mg_msg *m) {
  int64_t code = 0;
  if (m->kind != MG_ERROR || m->s[MG_S_E_CODE].type != MG_JSON_NUMBER) return 200;
  return mg_span_i64(m->doc, m->s[MG_S_E_CODE], &code) == MCPGW_OK ? mg_code_status((int)code, call->modern) : 200;
}

/* Says in _meta that these bytes were there before, besides the context's handle. */
static void mark(struct mg_call *call, const struct mg_msg *m, struct mg_splice *sp, struct mg_buf *text) {
  struct mg_slice handle = call->hands_out ? mg_handle_member(call->ctx, 0) : mg_slice(NULL, 0);
  int has_meta = m->s[MG_S_R_META].type == MG_JSON_OBJECT;
  if (m->kind != MG_RESULT || (!has_meta && m->s[MG_S_R_META].type != MG_JSON_NONE)) return;
  size_t start = text->len;
  if (!has_meta) mg_buf_addz(text, "\"_meta\":{");
  mg_buf_addz(text, "\"dev.mcpgw/replayed\":true");
  if (handle.len) mg_buf_addc(text, ',');
  mg_buf_adds(text, handle);
  if (!has_meta) mg_buf_addc(text, '}');
  mg_splice_insert(sp, m->doc, m->s[has_meta ? MG_S_R_META : MG_S_RESULT], mg_slice_sub(mg_buf_slice(text), start, text->len));
}

static void remember_task(struct mg_call *call, const struct mg_msg *m) {
  int slot = m->s[MG_S_R_TASK_TASK_ID].type == MG_JSON_STRING ? MG_S_R_TASK_TASK_ID : MG_S_R_TASK_ID;
  if (call->up && m->kind == MG_RESULT && m->s[slot].type == MG_JSON_STRING) mg_task_remember(call, mg_msg_inner(m, slot), call->up);
}

/* The reply as the upstream gave it, in the shape of this client's; ends the call. */
static void pass(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m, int replayed) {
  struct mg_splice sp;
  struct mg_buf text;
  int hands_out = call->hands_out;
  mg_buf_init(&text, (size_t)1 << 20);
  mg_buf_reserve(&text, 65536); /* it may not move */
  if (replayed) call->hands_out = 0;
  mg_reply_edit(call, m, &sp, &text);
  call->hands_out = hands_out;
  if (replayed) mark(call, m, &sp, &text);
  mg_call_forward(call, bytes, m->doc, &sp, 1, status_of(call, m));
  mg_buf_done(&text);
}

static mg_blob *message_of(struct mg_call *call, uint32_t outcome, struct mg_slice value) {
  mg_blob *b = mg_blob_new(call->core->budget, value.len + 64, value.len + 64);
  const char *head = outcome == MCPGW_OUTCOME_ERROR ? "{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":" : "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":";
  struct mg_slice h = mg_slice_z(head);
  int rc = b ? mg_blob_append(b, h.ptr, h.len) : MCPGW_E_NOMEM;
  if (rc == MCPGW_OK) rc = mg_blob_append(b, value.ptr, value.len);
  if (rc == MCPGW_OK) rc = mg_blob_append(b, "}", 1);
  if (rc == MCPGW_OK) return b;
  mg_blob_unref(b);
  return NULL;
}

static void replay(struct mg_call *call, mcpgw_operation *op) {
  uint32_t outcome;
  struct mg_msg m;
  struct mg_slice value = mg_op_result(op, &outcome);
  mg_blob *bytes = message_of(call, outcome, value);
  call->core->stats.keyed_replayed++;
  if (!bytes) tell(call, MG_WHY_OVERLOADED, MCPGW_DELIVERED_YES, NULL, "no memory for the stored reply; ask again");
  else if (parse(mg_blob_slice(bytes), &m) != MCPGW_OK) tell_unknown(call, MCPGW_OK);
  else {
    remember_task(call, &m);
    pass(call, bytes, &m, 1);
  }
  mg_blob_unref(bytes);
}

static void release(struct mg_call *call) {
  struct mg_msg m;
  mg_blob *bytes = call->once.reply;
  call->once.reply = NULL;
  if (parse(call->once.reply_doc, &m) == MCPGW_OK) pass(call, bytes, &m, 0);
  else tell_unknown(call, MCPGW_OK); /* it was valid when it came */
  mg_blob_unref(bytes);
}

/* ---- leaders and followers ---------------------------------------------------------------------------------------- */

static void lead(struct mg_call *call) {
  struct mg_core *c = call->core;
  if (!c->leaders) c->leaders = mg_map_new(MAX_LEADERS);
  call->once.leads = c->leaders && mg_map_put(c->leaders, mg_op_scope(call->once.op), call) == MCPGW_OK;
}

static void follow(struct mg_call *call) {
  struct mg_call *leader = call->core->leaders ? mg_map_get(call->core->leaders, mg_op_scope(call->once.op)) : NULL;
  call->core->stats.keyed_joined++;
  if (leader) mg_list_add(&leader->once.followers, &call->once.in_leader);
}

void mg_once_progress(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_list *head = &call->once.followers, *next;
  if (!call->once.op) return;
  for (struct mg_list *at = head->next; at != head; at = next) {
    struct mg_call *f = MG_CONTAINER(at, struct mg_call, once.in_leader);
    struct mg_splice sp;
    next = at->next;
    if (!f->token.len) continue;
    mg_splice_init(&sp);
    mg_splice_value(&sp, m->s[MG_S_PROGRESS_TOKEN], mg_text_slice(&f->token));
    mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
    mg_call_forward(f, bytes, m->doc, &sp, 0, 200);
  }
}

void mg_once_leave(struct mg_call *call) {
  struct mg_once *o = &call->once;
  struct mg_list *at;
  if (!o->op) return;
  mg_list_del(&o->in_leader);
  while ((at = mg_list_first(&o->followers))) mg_list_del(at);
  if (o->leads) mg_map_del(call->core->leaders, mg_op_scope(o->op));
  mg_op_free(o->op);
  o->op = NULL;
  mg_blob_unref(o->reply);
  o->reply = NULL;
}

/* ---- the way in --------------------------------------------------------------------------------------------------------- */

/* The store is opened by the first call that has a key. */
static mcpgw_idempotency *contract(struct mg_call *call) {
  struct mg_core *c = call->core;
  const char *why = NULL;
  int rc = c->idem ? MCPGW_OK : MCPGW_E_UNSUPPORTED;
  if (!c->idem && c->once_port.open) rc = c->once_port.open(c->once_port.arg, &c->idem, &why);
  if (rc == MCPGW_OK) return c->idem;
  if (rc != MCPGW_E_UNSUPPORTED) {
    tell_refused(call, rc);
    return NULL;
  }
  call->core->stats.keyed_refused++;
  mg_call_error(call, MG_RPC_REQUEST, "this gateway keeps nothing (no state_dir): it cannot honour an idempotency key; send the call without one",
                MG_LIT("{\"origin\":\"gateway\",\"reason\":\"NO_STORE\"}"));
  return NULL;
}

static int start(struct mg_call *call, const struct mg_msg *m, struct mg_slice tool, struct mg_slice key, uint64_t now_ms) {
  const char *who = mg_call_principal(call), *up = call->up->cfg->name;
  struct mg_slice args = mg_msg_raw(m, MG_S_ARGUMENTS), principal = mg_slice_z(who), upstream = mg_slice_z(up);
  mcpgw_idempotency *idem = contract(call);
  if (!idem) return MCPGW_E_CLOSED;
  mcpgw_idempotency_request rq = {.struct_size = sizeof rq, .effect = (uint32_t)(call->effect - MG_EFFECT_ONCE),
    .flags = mg_msg_has(m, MG_S_INPUT_RESPONSES) || mg_msg_has(m, MG_S_REQUEST_STATE) ? MCPGW_CALL_CONTINUES : 0,
    .principal = principal.ptr, .principal_len = principal.len, .upstream = upstream.ptr, .upstream_len = upstream.len,
    .tool = tool.ptr, .tool_len = tool.len, .key = key.ptr, .key_len = key.len, .arguments = args.ptr, .arguments_len = args.len,
    .now_ms = now_ms, .unix_ms = call->core->once_port.unix_ms(call->core->once_port.arg)};
  uint64_t until = mg_limits_until(call);
  rq.deadline_ms = until == UINT64_MAX ? 0 : until;
  int rc = mg_idem_begin(idem, &rq, call, &call->once.op);
  if (rc == MCPGW_OK) {
    mg_list_init(&call->once.followers);
    call->once.stage = MG_ONCE_WAITS;
    call->core->stats.keyed++;
    call->waits_for = "the store";
    return MCPGW_E_AGAIN;
  }
  call->once.stage = MG_ONCE_NONE;
  tell_refused(call, rc);
  return MCPGW_E_CLOSED;
}

/* tool: its own name, where the message has another and no item is at hand. */
static int begin(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, const struct mg_item *item,
                 struct mg_slice tool, uint64_t now_ms) {
  struct mg_buf key_text, name_text;
  struct mg_slice key;
  const char *why = NULL;
  mg_buf_init(&key_text, 8192);
  mg_buf_init(&name_text, 65536);
  int rc = mg_once_find_key(call, m, &key_text, &key, &why);
  call->once.stage = MG_ONCE_NONE;
  if (rc == MCPGW_E_INVALID) {
    mg_call_error(call, MG_RPC_REQUEST, why, mg_slice(NULL, 0));
    rc = MCPGW_E_CLOSED;
  } else if (rc == MCPGW_OK) {
    if (item) tool = mg_slice_z(item->key);
    else if (!tool.len) mg_msg_text(m, MG_S_NAME, &name_text, &tool);
    struct mg_link *l = item ? NULL : mg_link_peek(call->core, call->ctx, up->index);
    if (l && l->lists) item = mg_catalog_find(l, MG_LIST_TOOLS, tool, call);
    mg_limits_set(call, up, m, item); /* and with them its effect */
    rc = start(call, m, tool, key, now_ms);
  } else {
    rc = MCPGW_OK;
  }
  mg_buf_done(&key_text);
  mg_buf_done(&name_text);
  return rc;
}

int mg_once_enter(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, const struct mg_item *item,
                  uint64_t now_ms) {
  if (m->method != MG_M_TOOLS_CALL) return MCPGW_OK;
  switch (call->once.stage) {
  case MG_ONCE_UNSEEN:
    return begin(call, up, m, item, mg_slice(NULL, 0), now_ms);
  case MG_ONCE_WAITS:
  case MG_ONCE_STORES:
    return MCPGW_E_AGAIN;
  default:
    return MCPGW_OK;
  }
}

int mg_once_ask(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, struct mg_slice tool, uint64_t now_ms) {
  if (m->method != MG_M_TOOLS_CALL || call->once.stage != MG_ONCE_UNSEEN || call->once.asks) return MCPGW_OK;
  call->once.asks = 1;
  return begin(call, up, m, NULL, tool, now_ms);
}

/* Nothing is kept under its key, and it cannot be run: the key is free again, and its client is told why. */
static void asked(struct mg_call *call, uint64_t now_ms) {
  mg_once_leave(call);
  call->once.asks = 2;
  call->once.stage = MG_ONCE_UNSEEN;
  call->step(call, now_ms);
}

/* ---- the way back ------------------------------------------------------------------------------------------------------- */

void mg_once_sent(struct mg_call *call) {
  if (call->once.op) mg_op_sent(call->once.op);
}

struct mg_slice mg_once_key(const struct mg_call *call) {
  return call->once.op ? mg_slice_z(mg_op_upstream_key(call->once.op)) : mg_slice(NULL, 0);
}

int mg_once_reply(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_once *o = &call->once;
  if (!o->op || o->stage != MG_ONCE_RUNS) return 0;
  uint32_t outcome = m->kind == MG_ERROR ? MCPGW_OUTCOME_ERROR : MCPGW_OUTCOME_RESULT;
  if (m->kind == MG_RESULT && m->s[MG_S_R_TYPE].type == MG_JSON_STRING && mg_slice_eqz(mg_msg_inner(m, MG_S_R_TYPE), "input_required"))
    outcome = MCPGW_OUTCOME_INPUT;
  struct mg_slice value = mg_msg_raw(m, m->kind == MG_ERROR ? MG_S_ERROR : MG_S_RESULT);
  uint64_t unix_ms = call->core->once_port.unix_ms(call->core->once_port.arg);
  if (mg_op_finish(o->op, outcome, value, unix_ms) != MCPGW_OK) return 0;
  o->stage = MG_ONCE_STORES;
  o->reply = mg_blob_ref(bytes);
  o->reply_doc = m->doc;
  mg_limits_wait(call, "the store");
  return 1;
}

int mg_once_late(struct mg_call *call) {
  if (call->once.stage != MG_ONCE_STORES) return 0;
  call->core->stats.keyed_unstored++;
  tell(call, MG_WHY_OUTCOME_UNKNOWN, MCPGW_DELIVERED_YES, "store_slow",
       "the call ran, but the store did not take its result in time; ask again with the same key");
  return 1;
}

void mg_once_again(struct mg_call *call, int delivered) {
  if (call->once.op && delivered == (int)MCPGW_DELIVERED_NO && call->effect == MG_EFFECT_ONCE) mg_op_unsent(call->once.op);
}

void mg_once_failed(struct mg_call *call, int delivered) {
  if (call->once.op && call->once.stage == MG_ONCE_RUNS) mg_op_abandon(call->once.op, delivered != (int)MCPGW_DELIVERED_NO);
}

int mg_once_detach(struct mg_call *call, int only_for_others) {
  struct mg_once *o = &call->once;
  int under_way = o->op && ((o->stage == MG_ONCE_RUNS && call->attempt) || o->stage == MG_ONCE_STORES);
  if (!under_way || (only_for_others && mg_list_empty(&o->followers))) return 0;
  mg_list_del(&call->in_sink);
  call->sink = &call->core->nowhere;
  mg_list_add(&call->sink->calls, &call->in_sink);
  call->header = NULL; /* they go with the exchange */
  call->next_header = NULL;
  return 1;
}

/* ---- what the contract says ------------------------------------------------------------------------------------------------ */

static void changed(struct mg_call *call, mcpgw_operation *op, uint64_t now_ms) {
  switch (mg_op_state(op)) {
  case MCPGW_OPERATION_NEW:
    if (call->once.asks == 1) {
      asked(call, now_ms);
      break;
    }
    mg_list_del(&call->once.in_leader);
    call->once.stage = MG_ONCE_RUNS;
    lead(call);
    call->step(call, now_ms);
    break;
  case MCPGW_OPERATION_JOINED:
    follow(call);
    break;
  case MCPGW_OPERATION_DONE:
    replay(call, op);
    break;
  case MCPGW_OPERATION_STORED:
    release(call);
    break;
  case MCPGW_OPERATION_CONFLICT:
    call->core->stats.keyed_conflicts++;
    tell(call, MG_WHY_IDEMPOTENCY_CONFLICT, MCPGW_DELIVERED_NO, NULL, "this key was used for a call with other arguments; a new call needs a new key");
    break;
  case MCPGW_OPERATION_UNKNOWN:
    tell_unknown(call, mg_op_error(op));
    break;
  case MCPGW_OPERATION_NOT_KEPT:
    call->core->stats.keyed_unknown++;
    tell(call, MG_WHY_OUTCOME_UNKNOWN, MCPGW_DELIVERED_YES, "max_bytes", "the call with this key ran; its result was longer than idempotency.max_bytes and was not kept");
    break;
  case MCPGW_OPERATION_UNSTORED:
    call->core->stats.keyed_unstored++;
    tell(call, MG_WHY_OUTCOME_UNKNOWN, MCPGW_DELIVERED_YES, "store_full", "the call ran, but the store could not take its result; it will not be run again under this key");
    break;
  case MCPGW_OPERATION_REFUSED:
    tell_refused(call, mg_op_error(op));
    break;
  default:
    break;
  }
}

void mg_once_tick(struct mg_core *c, uint64_t now_ms) {
  mcpgw_operation *op;
  while (c->idem && mg_idem_next(c->idem, now_ms, &op) == MCPGW_OK) changed(mg_op_user(op), op, now_ms);
}

void mg_core_once(struct mg_core *c, uint64_t now_ms) {
  mg_once_tick(c, now_ms);
}

uint64_t mg_once_next_ms(const struct mg_core *c) {
  return c->idem ? mg_idem_alarm_ms(c->idem) : UINT64_MAX;
}

void mg_core_set_once(struct mg_core *c, const struct mg_once_port *port) {
  c->once_port = *port;
}

void mg_once_free(struct mg_core *c) {
  mg_idem_free(c->idem);
  c->idem = NULL;
  mg_map_free(c->leaders);
  c->leaders = NULL;
}
