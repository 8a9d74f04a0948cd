/* core/call/call: owns downstream requests. A call gets exactly one final message, or is dropped because the
 * client asked for that; either way its legs end with it. */
#include <string.h>

#include "core/brain.h"

#define SEGS_FROM ((size_t)16 * 1024) /* shorter messages are cheaper copied than scattered */

#define OOM_HEAD "{\"jsonrpc\":\"2.0\",\"id\":"
#define OOM_TAIL ",\"error\":{\"code\":-31006,\"message\":\"out of memory\",\"data\":{\"origin\":\"gateway\",\"reason\":\"OVERLOADED\"}}}"
static const char oom_reply[] = OOM_HEAD "null" OOM_TAIL;

/* ---- towards the sink ------------------------------------------------------------------------------- */

static const char *session_of(const struct mg_call *call, int final) {
  return final && call->method == MG_M_INITIALIZE && call->ctx->answered ? call->ctx->session->id : NULL;
}

/* What is sent to nobody: its client has gone, and may ask again. */
static int to_nobody(struct mg_core *c, const struct mg_sink *s, struct mg_seg *segs, size_t n) {
  if (s != &c->nowhere) return 0;
  mg_segs_unref(segs, n);
  return 1;
}

static void send(struct mg_core *c, struct mg_sink *s, mg_blob *bytes, int final, int status, const char *session) {
  struct mg_seg seg = {bytes, NULL, 0};
  if (bytes) {
    seg.ptr = mg_blob_slice(bytes).ptr;
    seg.len = mg_blob_len(bytes);
  } else {
    seg.ptr = oom_reply;
    seg.len = sizeof oom_reply - 1;
    status = 503;
  }
  struct mg_outgoing o = {&seg, 1, final, status, session};
  if (!to_nobody(c, s, &seg, 1)) c->ports->sink_message(s, &o);
}

void mg_send_blob(struct mg_core *c, struct mg_sink *s, mg_blob *bytes, int final, int status) {
  send(c, s, bytes, final, status, NULL);
}

/* Not even the error can be written: the bytes kept for this say so under the call's own id. NULL: they are
 * on their way to somebody else. */
static mg_blob *spare_error(struct mg_core *c, struct mg_slice id) {
  if (mg_blob_refs(c->spare) > 1) return NULL;
  mg_blob_set_len(c->spare, 0);
  if (!id.len) id = MG_LIT("null");
  int rc = mg_blob_append(c->spare, OOM_HEAD, sizeof OOM_HEAD - 1);
  if (rc == MCPGW_OK) rc = mg_blob_append(c->spare, id.ptr, id.len);
  if (rc == MCPGW_OK) rc = mg_blob_append(c->spare, OOM_TAIL, sizeof OOM_TAIL - 1);
  return rc == MCPGW_OK ? mg_blob_ref(c->spare) : NULL;
}

static mg_blob *error_blob(struct mg_core *c, struct mg_slice id, const struct mg_fault *f) {
  struct mg_buf b;
  mg_buf_init(&b, 65536);
  mg_build_error(&b, id, f);
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(NULL, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  c->stats.errors++;
  if (f->reason == MG_WHY_OVERLOADED) c->stats.overloaded++;
  return bytes ? bytes : spare_error(c, id);
}

static int fault_status(const struct mg_fault *f, int modern) {
  if (f->reason == MG_WHY_CONTEXT_ENDED && !modern) return 404; /* a legacy client must initialize again (§14) */
  return f->reason ? 200 : mg_code_status(f->code, modern);
}

void mg_refuse(struct mg_core *c, const struct mg_inbound *in, int modern, const struct mg_fault *f) {
  mg_send_blob(c, in->sink, error_blob(c, mg_msg_raw(in->msg, MG_S_ID), f), 1, fault_status(f, modern));
}

/* The call leaves its sink before the final message goes out: the sink may not survive it. */
static void leave_sink(struct mg_call *call, int final) {
  if (!final) return;
  mg_list_del(&call->in_sink);
  call->core->stats.replies++;
}

void mg_call_emit(struct mg_call *call, mg_blob *bytes, int final, int status) {
  if (!bytes && !final) { /* it could not be written: better nothing than an error that ends the call */
    call->core->stats.dropped_notifications++;
    return;
  }
  if (!final) call->spoke = 1;
  leave_sink(call, final);
  send(call->core, call->sink, bytes, final, status, session_of(call, final));
  if (final) mg_call_finish(call);
}

int mg_call_delivered(const struct mg_call *call, int delivered) {
  return call->may_have_run && delivered == (int)MCPGW_DELIVERED_NO ? (int)MCPGW_DELIVERED_UNKNOWN : delivered;
}

void mg_call_fail(struct mg_call *call, const struct mg_fault *f) {
  struct mg_fault told = *f;
  told.delivered = mg_call_delivered(call, f->delivered);
  mg_call_emit(call, error_blob(call->core, mg_text_slice(&call->id), &told), 1, fault_status(f, call->modern));
}

void mg_call_fail_lost(struct mg_call *call, struct mg_bind *b, uint64_t now_ms) {
  struct mg_fault f = {.reason = MG_WHY_STATE_LOST,
                       .delivered = MCPGW_DELIVERED_NO,
                       .upstream = b->up->cfg->name,
                       .text = "the upstream's session ended and what it remembered is gone; the next call starts anew"};
  mg_blob *bytes = error_blob(call->core, mg_text_slice(&call->id), &f);
  if (bytes && bytes != call->core->spare) mg_bind_noticed(b, mg_blob_ref(bytes), now_ms);
  mg_call_emit(call, bytes, 1, 200);
}

void mg_call_error(struct mg_call *call, int code, const char *text, struct mg_slice data) {
  struct mg_fault f = {.code = code, .delivered = -1, .text = text, .data = data};
  mg_call_fail(call, &f);
}

void mg_call_fail_rc(struct mg_call *call, int rc, const char *upstream) {
  struct mg_fault f = {.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .upstream = upstream};
  f.text = rc == MCPGW_E_NOMEM   ? "out of memory"
           : rc == MCPGW_E_LIMIT ? "a ceiling of the gateway was reached; try again later"
                                 : "the message could not be passed on";
  if (rc != MCPGW_E_NOMEM && rc != MCPGW_E_LIMIT) f.reason = MG_WHY_UPSTREAM_UNAVAILABLE;
  mg_call_fail(call, &f);
}

/* The reply is there but cannot be held long enough to be passed on. */
static void no_room(struct mg_call *call, int rc) {
  struct mg_fault f = {.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_YES};
  f.text = rc == MCPGW_E_NOMEM ? "out of memory for the reply" : "limits.memory_bytes leaves no room for the reply; try again later";
  mg_call_fail(call, &f);
}

void mg_call_result(struct mg_call *call, struct mg_slice result) {
  struct mg_buf b;
  mg_buf_init(&b, MG_MAX_LIST_BYTES * 2);
  mg_build_result(&b, mg_text_slice(&call->id), result);
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(call->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  if (bytes) mg_call_emit(call, bytes, 1, 200);
  else no_room(call, MCPGW_E_LIMIT);
}

void mg_call_forward(struct mg_call *call, mg_blob *src, struct mg_slice doc, struct mg_splice *edits, int final,
                     int status) {
  struct mg_seg segs[2 * MG_SPLICE_MAX + 1];
  size_t n = sizeof segs / sizeof segs[0];
  mg_blob *flat = NULL;
  int whole = doc.ptr == mg_blob_slice(src).ptr && doc.len == mg_blob_len(src);
  if (!whole || doc.len < SEGS_FROM || mg_splice_segs(edits, src, segs, &n) != MCPGW_OK) {
    int rc = mg_splice_flatten(edits, doc, call->core->budget, &flat);
    if (rc == MCPGW_OK) mg_call_emit(call, flat, final, status);
    else if (final) no_room(call, rc);
    else call->core->stats.dropped_notifications++;
    return;
  }
  if (!final) call->spoke = 1;
  leave_sink(call, final);
  struct mg_outgoing o = {segs, n, final, status, session_of(call, final)};
  if (!to_nobody(call->core, call->sink, segs, n)) call->core->ports->sink_message(call->sink, &o);
  if (final) mg_call_finish(call);
}

/* ---- life ------------------------------------------------------------------------------------------------ */

/* Ids are unique in a legacy session; modern requests are independent of each other (DESIGN §4). */
static int known_to_context(struct mg_call *call, struct mg_ctx *ctx) {
  if (ctx->modern) return MCPGW_OK;
  if (!ctx->calls) ctx->calls = mg_map_new(MG_MAX_CTX_CALLS);
  return ctx->calls ? mg_map_put(ctx->calls, mg_text_slice(&call->id), call) : MCPGW_E_NOMEM;
}

int mg_call_new(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in, struct mg_call **out) {
  const struct mg_msg *m = in->msg;
  struct mg_call *call = mg_calloc(1, sizeof *call);
  if (!call) return MCPGW_E_NOMEM;
  call->core = c;
  call->view = in->view;
  call->method = m->method;
  call->modern = ctx->modern;
  call->header = in->header;
  call->next_header = in->next_header;
  call->header_arg = in->header_arg;
  call->created_ms = call->came_ms = in->now_ms;
  call->paged = mg_msg_has(m, MG_S_CURSOR);
  call->sink = in->sink;
  mg_list_init(&call->legs);
  int rc = mg_text_set(&call->id, mg_msg_raw(m, MG_S_ID));
  if (rc == MCPGW_OK) rc = mg_text_set(&call->token, mg_msg_raw(m, MG_S_META_PROGRESS));
  if (rc == MCPGW_OK) rc = known_to_context(call, ctx);
  if (rc != MCPGW_OK) {
    mg_text_done(&call->id);
    mg_text_done(&call->token);
    mg_free(call);
    return rc;
  }
  call->ctx = ctx;
  call->blob = mg_blob_ref(in->blob);
  call->doc = m->doc;
  mg_list_add(&in->sink->calls, &call->in_sink);
  mg_list_add(&c->calls, &call->in_core);
  mg_list_add(&ctx->in_flight, &call->in_ctx);
  ctx->n_calls++;
  c->n_calls++;
  c->stats.requests++;
  *out = call;
  return MCPGW_OK;
}

static void cancel_legs(struct mg_call *call, struct mg_slice reason) {
  struct mg_list *node;
  while ((node = mg_list_first(&call->legs))) mg_leg_cancel(MG_CONTAINER(node, struct mg_leg, in_call), reason);
}

void mg_call_finish(struct mg_call *call) {
  struct mg_ctx *ctx = call->ctx;
  mg_list_del(&call->in_sink);
  mg_list_del(&call->in_core);
  mg_list_del(&call->in_ctx);
  ctx->n_calls--;
  if (!call->modern) mg_map_del(ctx->calls, mg_text_slice(&call->id));
  mg_heap_del(&call->core->gathers, &call->deadline);
  for (size_t i = 0; i < call->n_waiters; i++) mg_list_del(&call->waiters[i].node);
  cancel_legs(call, mg_slice(NULL, 0));
  mg_gate_leave(call);
  mg_cache_asked(call);
  mg_once_leave(call);
  if (call->listen) mg_listen_done(call);
  else call->core->n_calls--;
  mg_text_done(&call->id);
  mg_text_done(&call->token);
  mg_blob_unref(call->blob);
  mg_free(call->waiters);
  mg_free(call);
  mg_handle_left(ctx);
}

void mg_call_cancel(struct mg_call *call, struct mg_slice reason) {
  struct mg_core *c = call->core;
  struct mg_sink *sink = call->sink;
  c->stats.cancelled++;
  if (!mg_once_detach(call, 1)) {
    cancel_legs(call, reason);
    mg_call_finish(call);
  }
  if (sink != &c->nowhere) c->ports->sink_drop(sink);
}

void mg_core_sink_gone(struct mg_core *c, struct mg_sink *s) {
  struct mg_list *node;
  while ((node = mg_list_first(&s->calls))) {
    struct mg_call *call = MG_CONTAINER(node, struct mg_call, in_sink);
    if (mg_once_detach(call, 0)) continue;
    c->stats.cancelled++;
    mg_call_finish(call);
  }
}

/* ---- waiting ----------------------------------------------------------------------------------------------- */

int mg_call_wait(struct mg_call *call, struct mg_list *waiters) {
  size_t i = 0;
  if (!call->waiters) {
    size_t n = call->view.n * (MG_LIST_KINDS + 1) + 4;
    call->waiters = mg_calloc(n, sizeof *call->waiters);
    if (!call->waiters) return MCPGW_E_NOMEM;
    call->n_waiters = n;
  }
  while (i < call->n_waiters && call->waiters[i].call) i++;
  if (i == call->n_waiters) return MCPGW_E_LIMIT;
  call->waiters[i].call = call;
  mg_list_add(waiters, &call->waiters[i].node);
  call->waiting++;
  return MCPGW_OK;
}

void mg_call_wait_until(struct mg_call *call, uint64_t at_ms) {
  if (call->deadline.pos || call->gave_up) return;
  mg_heap_set(&call->core->gathers, &call->deadline, at_ms); /* without memory: the links' own deadlines remain */
}

/* Each waiter leaves the list before its call is looked at; who is added meanwhile waits for the next time. */
void mg_wake(struct mg_list *waiters, uint64_t now_ms) {
  struct mg_list ready, *node;
  mg_list_init(&ready);
  while ((node = mg_list_first(waiters))) {
    mg_list_del(node);
    mg_list_add(&ready, node);
  }
  while ((node = mg_list_first(&ready))) {
    struct mg_waiter *w = MG_CONTAINER(node, struct mg_waiter, node);
    struct mg_call *call = w->call;
    mg_list_del(node);
    w->call = NULL;
    if (--call->waiting == 0) call->step(call, now_ms);
  }
}

const char *mg_call_principal(const struct mg_call *call) {
  return call->ctx->session->principal->name;
}

void mg_call_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&c->gathers)) && top->at_ms <= now_ms) {
    struct mg_call *call = MG_CONTAINER(top, struct mg_call, deadline);
    mg_heap_del(&c->gathers, &call->deadline);
    if (mg_limits_late(call, now_ms)) continue;
    if (call->pauses) {
      call->pauses = 0;
      call->step(call, now_ms);
      continue;
    }
    for (size_t i = 0; i < call->n_waiters; i++) {
      mg_list_del(&call->waiters[i].node);
      call->waiters[i].call = NULL;
    }
    call->waiting = 0;
    call->gave_up = 1;
    call->step(call, now_ms);
  }
}
