/* core/reverse: owns the questions that legacy servers ask clients (sampling, elicitation, roots): they
 * travel under a number of the gateway's own, on the stream of the call they belong to, and the answer
 * goes back under the id the server gave. */
#include <stdio.h>

#include "core/brain.h"

static void reverse_free(struct mg_ctx *ctx, struct mg_reverse *r) {
  mg_map_delu(ctx->reverse, r->number);
  mg_text_done(&r->id);
  mg_text_done(&r->token);
  mg_free(r);
}

void mg_reverse_free(struct mg_ctx *ctx) {
  struct mg_reverse *r;
  size_t it = 0;
  while (ctx->reverse && (r = mg_map_next(ctx->reverse, &it, NULL))) {
    reverse_free(ctx, r);
    it = 0;
  }
}

void mg_reverse_drop_link(struct mg_link *l) {
  struct mg_reverse *r;
  size_t it = 0;
  if (!l->ctx || !l->ctx->reverse) return;
  while ((r = mg_map_next(l->ctx->reverse, &it, NULL))) {
    if (r->link != l) continue;
    reverse_free(l->ctx, r);
    it = 0;
  }
}

/* The gateway answers in the client's place. code 0: an empty result. */
static void answer(struct mg_link *l, const struct mg_msg *m, int code, const char *text) {
  struct mg_buf b;
  struct mg_slice id = mg_msg_raw(m, MG_S_ID);
  struct mg_fault f = {.code = code, .delivered = -1, .text = text};
  mg_buf_init(&b, 4096);
  if (code) mg_build_error(&b, id, &f);
  else mg_build_result(&b, id, MG_LIT("{}"));
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(l->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  if (bytes) mg_link_respond(l, bytes);
  mg_blob_unref(bytes);
}

/* The stream a question is put on: that of its call, else of the oldest call on this link; NULL: the
 * context's own channel. */
static struct mg_call *call_for(struct mg_link *l, uint64_t call) {
  struct mg_leg *leg = call ? mg_leg_find(l, call) : NULL, *best = NULL, *next;
  size_t it = 0;
  if (leg) return leg->call;
  while ((next = mg_map_next(l->legs, &it, NULL)))
    if (next->call && (!best || next->id < best->id)) best = next;
  return best ? best->call : NULL;
}

static int remember(struct mg_link *l, const struct mg_msg *m, struct mg_reverse **out) {
  struct mg_ctx *ctx = l->ctx;
  if (!ctx->reverse) ctx->reverse = mg_map_new(MG_MAX_REVERSE);
  struct mg_reverse *r = ctx->reverse ? mg_calloc(1, sizeof *r) : NULL;
  if (!r) return MCPGW_E_NOMEM;
  r->link = l;
  r->number = ++ctx->next_reverse;
  int rc = mg_text_set(&r->id, mg_msg_raw(m, MG_S_ID));
  if (rc == MCPGW_OK) rc = mg_text_set(&r->token, mg_msg_raw(m, MG_S_META_PROGRESS));
  if (rc == MCPGW_OK) rc = mg_map_putu(ctx->reverse, r->number, r);
  if (rc == MCPGW_OK) {
    *out = r;
    return rc;
  }
  mg_text_done(&r->id);
  mg_text_done(&r->token);
  mg_free(r);
  return rc;
}

/* Puts an edited message of the server on the stream it belongs to. */
static int emit(struct mg_link *l, struct mg_call *to, const struct mg_msg *m, struct mg_splice *sp) {
  mg_blob *copy;
  mg_strip_private(sp, m->doc, m->s[MG_S_META]);
  int rc = mg_splice_flatten(sp, m->doc, l->core->budget, &copy);
  if (rc != MCPGW_OK) return rc;
  if (to) mg_call_emit(to, copy, 0, 200);
  else mg_ctx_emit(l->ctx, copy);
  return MCPGW_OK;
}

void mg_reverse_request(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_reverse *r;
  struct mg_splice sp;
  char number[24];
  (void)bytes;
  if (m->method == MG_M_PING) {
    answer(l, m, 0, NULL);
    return;
  }
  if (!l->ctx) { /* the modern era knows no such requests */
    l->core->stats.upstream_protocol++;
    answer(l, m, MG_RPC_METHOD, "this revision knows no requests from servers");
    return;
  }
  struct mg_call *to = call_for(l, call);
  if (!to && !l->ctx->channel) { /* better than to let the server wait for ever */
    answer(l, m, MG_RPC_INTERNAL, "the client has no stream to be asked on");
    return;
  }
  if (remember(l, m, &r) != MCPGW_OK) {
    l->core->stats.overloaded++;
    answer(l, m, MG_RPC_INTERNAL, "too many questions wait for this client");
    return;
  }
  int n = snprintf(number, sizeof number, "%llu", (unsigned long long)r->number);
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_ID], mg_slice(number, (size_t)n));
  if (r->token.len) mg_splice_value(&sp, m->s[MG_S_META_PROGRESS], mg_slice(number, (size_t)n));
  if (emit(l, to, m, &sp) == MCPGW_OK) return;
  reverse_free(l->ctx, r);
  answer(l, m, MG_RPC_INTERNAL, "out of memory");
}

void mg_reverse_cancelled(struct mg_link *l, const struct mg_msg *m) {
  struct mg_slice id = mg_msg_raw(m, MG_S_REQUEST_ID);
  struct mg_reverse *r, *hit = NULL;
  struct mg_splice sp;
  char number[24];
  size_t it = 0;
  while (l->ctx && l->ctx->reverse && (r = mg_map_next(l->ctx->reverse, &it, NULL)))
    if (r->link == l && mg_slice_eq(mg_text_slice(&r->id), id)) hit = r;
  if (!hit) {
    l->core->stats.unknown_ids++;
    return;
  }
  int n = snprintf(number, sizeof number, "%llu", (unsigned long long)hit->number);
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_REQUEST_ID], mg_slice(number, (size_t)n));
  reverse_free(l->ctx, hit);
  if (emit(l, call_for(l, 0), m, &sp) != MCPGW_OK) l->core->stats.dropped_notifications++;
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
  reverse_free(ctx, r);
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
