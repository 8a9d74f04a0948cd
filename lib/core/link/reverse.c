/* core/link/reverse: owns the questions that legacy servers ask clients (sampling, elicitation, roots): they
 * travel under a number of the gateway's own, on the stream of the call they belong to, and the answer
 * goes back under the id the server gave. */
#include <stdio.h>

#include "core/brain.h"

static void reverse_free(struct mg_reverse *r) {
  mg_map_delu(r->ctx->reverse, r->number);
  mg_list_del(&r->in_link);
  mg_heap_del(&r->link->core->questions, &r->deadline);
  mg_text_done(&r->id);
  mg_text_done(&r->token);
  mg_free(r);
}

static struct mg_reverse *first_of(const struct mg_link *l) {
  struct mg_list *node = mg_list_first(&l->questions);
  return node ? MG_CONTAINER(node, struct mg_reverse, in_link) : NULL;
}

void mg_reverse_drop_link(struct mg_link *l) {
  struct mg_reverse *r;
  while ((r = first_of(l))) reverse_free(r);
}

int mg_reverse_waits(const struct mg_link *l) {
  return first_of(l) != NULL;
}

/* The gateway answers in the client's place. code 0: an empty result. id: as the server wrote it. */
static void answer(struct mg_link *l, struct mg_slice id, int code, const char *text) {
  struct mg_buf b;
  struct mg_fault f = {.code = code, .delivered = -1, .text = text};
  mg_buf_init(&b, 4096);
  if (code) mg_build_error(&b, id, &f);
  else mg_build_result(&b, id, MG_LIT("{}"));
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(l->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  if (bytes) mg_link_respond(l, bytes);
  mg_blob_unref(bytes);
}

/* A server on a link that goes on is not left waiting for somebody who is gone. */
void mg_reverse_free(struct mg_ctx *ctx) {
  struct mg_reverse *r;
  size_t it = 0;
  while (ctx->reverse && (r = mg_map_next(ctx->reverse, &it, NULL))) {
    if (mg_link_is_common(r->link)) answer(r->link, mg_text_slice(&r->id), MG_RPC_INTERNAL, "the client has gone");
    reverse_free(r);
    it = 0;
  }
}

/* The stream a question is put on: that of its call, else of the oldest call on this link where all of them are
 * one context's; NULL: the context's own channel. */
static struct mg_call *call_for(struct mg_link *l, uint64_t call) {
  struct mg_leg *leg = call ? mg_leg_find(l, call) : NULL, *best = NULL, *next;
  size_t it = 0;
  if (leg) return leg->call;
  while (l->n_binds == 1 && (next = mg_map_next(l->legs, &it, NULL)))
    if (next->call && (!best || next->id < best->id)) best = next;
  return best ? best->call : NULL;
}

/* Whom a question is for; NULL: it cannot be told, or nobody is there. */
static struct mg_ctx *context_for(const struct mg_link *l, const struct mg_call *to) {
  return to ? to->ctx : mg_share_only(l);
}

static int remember(struct mg_link *l, struct mg_ctx *ctx, const struct mg_msg *m, uint64_t now_ms, struct mg_reverse **out) {
  if (!ctx->reverse) ctx->reverse = mg_map_new(MG_MAX_REVERSE);
  struct mg_reverse *r = ctx->reverse ? mg_calloc(1, sizeof *r) : NULL;
  if (!r) return MCPGW_E_NOMEM;
  r->link = l;
  r->ctx = ctx;
  r->number = ++ctx->next_reverse;
  int rc = mg_text_set(&r->id, mg_msg_raw(m, MG_S_ID));
  if (rc == MCPGW_OK) rc = mg_text_set(&r->token, mg_msg_raw(m, MG_S_META_PROGRESS));
  if (rc == MCPGW_OK) rc = mg_heap_set(&l->core->questions, &r->deadline, now_ms + l->up->cfg->timeouts.total_ms);
  if (rc == MCPGW_OK) rc = mg_map_putu(ctx->reverse, r->number, r);
  if (rc == MCPGW_OK) {
    mg_list_add(&l->questions, &r->in_link);
    *out = r;
    return rc;
  }
  mg_heap_del(&l->core->questions, &r->deadline);
  mg_text_done(&r->id);
  mg_text_done(&r->token);
  mg_free(r);
  return rc;
}

/* Puts an edited message of the server on the stream it belongs to. */
static int emit(struct mg_link *l, struct mg_ctx *ctx, struct mg_call *to, const struct mg_msg *m, struct mg_splice *sp) {
  mg_blob *copy;
  mg_strip_private(sp, m->doc, m->s[MG_S_META]);
  int rc = mg_splice_flatten(sp, m->doc, l->core->budget, &copy);
  if (rc != MCPGW_OK) return rc;
  if (to) mg_call_emit(to, copy, 0, 200);
  else mg_ctx_emit(ctx, copy);
  return MCPGW_OK;
}

static void refuse(struct mg_link *l, const struct mg_msg *m, int code, const char *text) {
  answer(l, mg_msg_raw(m, MG_S_ID), code, text);
}

/* Who is to be asked, and on which stream. NULL: the server has been told why nobody is. */
static struct mg_ctx *addressee(struct mg_link *l, uint64_t call, const struct mg_msg *m, struct mg_call **to) {
  if (l->modern) { /* the modern era knows no such requests */
    l->core->stats.upstream_protocol++;
    refuse(l, m, MG_RPC_METHOD, "this revision knows no requests from servers");
    return NULL;
  }
  *to = call_for(l, call);
  struct mg_ctx *ctx = context_for(l, *to);
  if (!ctx || !mg_share_can_answer(l, ctx, m->method)) {
    refuse(l, m, MG_RPC_METHOD, ctx ? "the client cannot do this" : "several clients use this session: whom this is for cannot be told");
    return NULL;
  }
  if (*to || ctx->channel) return ctx;
  refuse(l, m, MG_RPC_INTERNAL, "the client has no stream to be asked on"); /* better than to let the server wait for ever */
  return NULL;
}

void mg_reverse_request(struct mg_link *l, uint64_t call, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_reverse *r;
  struct mg_splice sp;
  struct mg_call *to = NULL;
  char number[24];
  if (m->method == MG_M_PING) {
    refuse(l, m, 0, NULL);
    return;
  }
  struct mg_ctx *ctx = addressee(l, call, m, &to);
  if (!ctx) return;
  if (remember(l, ctx, m, now_ms, &r) != MCPGW_OK) {
    l->core->stats.overloaded++;
    refuse(l, m, MG_RPC_INTERNAL, "too many questions wait for this client");
    return;
  }
  int n = snprintf(number, sizeof number, "%llu", (unsigned long long)r->number);
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_ID], mg_slice(number, (size_t)n));
  if (r->token.len) mg_splice_value(&sp, m->s[MG_S_META_PROGRESS], mg_slice(number, (size_t)n));
  if (emit(l, ctx, to, m, &sp) == MCPGW_OK) return;
  reverse_free(r);
  refuse(l, m, MG_RPC_INTERNAL, "out of memory");
}

void mg_reverse_cancelled(struct mg_link *l, const struct mg_msg *m) {
  struct mg_slice id = mg_msg_raw(m, MG_S_REQUEST_ID);
  struct mg_reverse *hit = NULL;
  struct mg_splice sp;
  char number[24];
  for (struct mg_list *node = l->questions.next; node != &l->questions; node = node->next) {
    struct mg_reverse *r = MG_CONTAINER(node, struct mg_reverse, in_link);
    if (mg_slice_eq(mg_text_slice(&r->id), id)) hit = r;
  }
  if (!hit) {
    l->core->stats.unknown_ids++;
    return;
  }
  struct mg_ctx *ctx = hit->ctx;
  int n = snprintf(number, sizeof number, "%llu", (unsigned long long)hit->number);
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_REQUEST_ID], mg_slice(number, (size_t)n));
  reverse_free(hit);
  if (emit(l, ctx, call_for(l, 0), m, &sp) != MCPGW_OK) l->core->stats.dropped_notifications++;
}

/* Nobody has answered for as long as a call may take: the slot is given up, and both sides are told. */
static void time_out(struct mg_reverse *r) {
  struct mg_core *c = r->link->core;
  struct mg_ctx *ctx = r->ctx;
  struct mg_buf b;
  mg_buf_init(&b, 1024);
  mg_build_cancelled(&b, r->number, MG_LIT("\"the gateway's time limit was reached\""));
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(c->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  c->stats.timeouts++;
  mg_log(c->log, MG_LOG_WARN, "question.timeout", "upstream", r->link->up->cfg->name, "context", mg_ctx_tag(ctx), (char *)0);
  answer(r->link, mg_text_slice(&r->id), MG_RPC_INTERNAL, "the client did not answer in time");
  reverse_free(r);
  if (bytes) mg_ctx_emit(ctx, bytes);
}

void mg_reverse_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&c->questions)) && top->at_ms <= now_ms)
    time_out(MG_CONTAINER(top, struct mg_reverse, deadline));
}

static struct mg_reverse *find(struct mg_ctx *ctx, const struct mg_msg *m, int slot) {
  int64_t n;
  if (!ctx->reverse || m->s[slot].type != MG_JSON_NUMBER || mg_span_i64(m->doc, m->s[slot], &n) != MCPGW_OK) return NULL;
  return n > 0 ? mg_map_getu(ctx->reverse, (uint64_t)n) : NULL;
}

static int pass(struct mg_ctx *ctx, struct mg_reverse *r, const struct mg_msg *m, struct mg_splice *sp, int response) {
  mg_blob *copy;
  int rc = mg_splice_flatten(sp, m->doc, ctx->core->budget, &copy);
  if (rc != MCPGW_OK) return rc;
  rc = response ? mg_link_respond(r->link, copy) : mg_link_notify(r->link, copy);
  mg_blob_unref(copy);
  return rc;
}

int mg_reverse_response(struct mg_ctx *ctx, const struct mg_msg *m) {
  struct mg_reverse *r = find(ctx, m, MG_S_ID);
  struct mg_splice sp;
  if (!r) {
    ctx->core->stats.unknown_responses++;
    return MCPGW_OK; /* 202, counted (DESIGN §5) */
  }
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_ID], mg_text_slice(&r->id));
  mg_strip_private(&sp, m->doc, m->s[MG_S_R_META]);
  int rc = pass(ctx, r, m, &sp, 1);
  reverse_free(r);
  return rc;
}

int mg_reverse_progress(struct mg_ctx *ctx, const struct mg_msg *m) {
  struct mg_reverse *r = find(ctx, m, MG_S_PROGRESS_TOKEN);
  struct mg_splice sp;
  if (!r || !r->token.len) {
    ctx->core->stats.unknown_tokens++;
    return MCPGW_OK;
  }
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_PROGRESS_TOKEN], mg_text_slice(&r->token));
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  return pass(ctx, r, m, &sp, 0);
}
