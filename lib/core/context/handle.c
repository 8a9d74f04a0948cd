/* core/context/handle: owns the question which context a modern request belongs to: that of the sealed handle it echoes in
 * _meta["dev.mcpgw/context"], a fresh one, or its principal's default one (DESIGN §5). A handle that is forged,
 * another's or over is CONTEXT_ENDED; it must never lead to the default context. */
#include <string.h>

#include "core/brain.h"
#include "crypt/seal.h"

#define META "\"_meta\":{"
#define MEMBER "\"dev.mcpgw/context\":\""
#define HANDLE_MAX 256
#define VERSION '1' /* of what is sealed: this, then the session's id */

void mg_core_set_keys(struct mg_core *c, const struct mg_seal_key *newest, const struct mg_seal_key *before) {
  c->handle_keys[0] = newest;
  c->handle_keys[1] = before;
  c->handle_generation++;
}

/* What a handle is bound to besides its bytes: whose it is. */
static int bound_to(struct mg_buf *b, struct mg_slice principal) {
  mg_buf_init(b, 1024);
  mg_buf_addz(b, "dev.mcpgw/context");
  mg_buf_addc(b, 0);
  mg_buf_adds(b, principal);
  return mg_buf_rc(b);
}

/* ---- out -------------------------------------------------------------------------------------------------- */

static int seal(struct mg_ctx *ctx) {
  const struct mg_principal *p = ctx->session->principal;
  char plain[1 + MG_ID_LEN];
  struct mg_buf ad, text;
  plain[0] = VERSION;
  memcpy(plain + 1, ctx->session->id, MG_ID_LEN);
  mg_buf_init(&text, HANDLE_MAX + sizeof META + sizeof MEMBER);
  int rc = bound_to(&ad, mg_slice(p->name, p->name_len));
  mg_buf_addz(&text, META MEMBER);
  if (rc == MCPGW_OK) rc = mg_seal_new(ctx->core->handle_keys[0], mg_slice(plain, sizeof plain), mg_buf_slice(&ad), &text);
  if (rc == MCPGW_OK) rc = mg_buf_addz(&text, "\"}");
  if (rc == MCPGW_OK) {
    mg_text_done(&ctx->handle);
    rc = mg_text_set(&ctx->handle, mg_buf_slice(&text));
  }
  if (rc == MCPGW_OK) ctx->handle_keys = ctx->core->handle_generation;
  mg_buf_done(&ad);
  mg_buf_done(&text);
  return rc;
}

struct mg_slice mg_handle_member(struct mg_ctx *ctx, int whole) {
  if (ctx->handle_keys != ctx->core->handle_generation && seal(ctx) != MCPGW_OK) return mg_slice(NULL, 0);
  struct mg_slice all = mg_text_slice(&ctx->handle);
  return whole ? all : mg_slice_sub(all, sizeof META - 1, all.len - sizeof META);
}

void mg_handle_left(struct mg_ctx *ctx) {
  if (ctx->modern && !ctx->is_home && !ctx->handle_keys && !ctx->n_calls && !ctx->ended) mg_sessions_hurry(ctx->session, 0);
}

/* ---- in --------------------------------------------------------------------------------------------------- */

static struct mg_slice principal_of(const struct mg_inbound *in) {
  return mg_slice(in->who->principal, in->who->principal_len);
}

static int open_with_any(struct mg_core *c, struct mg_slice text, struct mg_slice ad, struct mg_buf *plain) {
  int rc = mg_seal_open(c->handle_keys[0], text, ad, plain);
  if (rc == MCPGW_E_DENIED && c->handle_keys[1]) rc = mg_seal_open(c->handle_keys[1], text, ad, plain);
  return rc;
}

/* The session of a handle; NULL: it is none of ours, not this principal's, or over. */
static struct mg_ctx *unseal(struct mg_core *c, const struct mg_inbound *in, struct mg_slice text) {
  struct mg_buf ad, plain;
  struct mcpgw_session *s = NULL;
  int rc = text.len <= HANDLE_MAX ? bound_to(&ad, principal_of(in)) : MCPGW_E_LIMIT;
  if (text.len > HANDLE_MAX) return NULL;
  mg_buf_init(&plain, HANDLE_MAX);
  if (rc == MCPGW_OK) rc = open_with_any(c, text, mg_buf_slice(&ad), &plain);
  if (rc == MCPGW_E_DENIED && c->ports->keys_changed && c->ports->keys_changed(c->ports_arg, in->now_ms))
    rc = open_with_any(c, text, mg_buf_slice(&ad), &plain);
  if (rc == MCPGW_OK && plain.len == 1 + MG_ID_LEN && plain.ptr[0] == VERSION)
    s = mg_sessions_find(c->sessions, mg_slice(plain.ptr + 1, MG_ID_LEN), in->who, in->now_ms);
  mg_buf_done(&ad);
  mg_buf_done(&plain);
  struct mg_ctx *ctx = s ? s->user : NULL;
  return ctx && ctx->modern ? ctx : NULL;
}

static int by_handle(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out, struct mg_fault *why) {
  struct mg_ctx *ctx = unseal(c, in, mg_msg_inner(in->msg, MG_S_META_CONTEXT));
  if (!ctx) {
    *why = (struct mg_fault){.reason = MG_WHY_CONTEXT_ENDED, .delivered = MCPGW_DELIVERED_NO,
                             .text = "no such context: it ended or never was; send \"new\" for a fresh one"};
    c->stats.handles_refused++;
    return MCPGW_E_NOT_FOUND;
  }
  ctx->unclaimed = 0; /* somebody keeps it */
  *out = ctx;
  return MCPGW_OK;
}

/* Of the contexts that were made for calls without a handle, the oldest that nobody came back to makes room. */
static int evict(struct mg_core *c, const struct mg_inbound *in) {
  struct mg_principal *p = mg_sessions_principal(c->sessions, principal_of(in));
  for (struct mg_list *n = p ? p->sessions.next : NULL; p && n != &p->sessions; n = n->next) {
    struct mcpgw_session *s = MG_CONTAINER(n, struct mcpgw_session, node);
    const struct mg_ctx *ctx = s->user;
    if (!ctx->unclaimed || ctx->n_calls) continue;
    mg_sessions_end(s, "its handle never came back, and its place was needed");
    return 1;
  }
  return 0;
}

static int fresh(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out, struct mg_fault *why) {
  int rc = mg_ctx_new_modern(c, in, out);
  if (rc == MCPGW_E_LIMIT && evict(c, in)) rc = mg_ctx_new_modern(c, in, out);
  if (rc == MCPGW_OK) {
    mg_sessions_confirm((*out)->session, in->now_ms);
    return rc;
  }
  *why = (struct mg_fault){.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .text = mg_ctx_refusal(c, rc)};
  return rc;
}

/* The principal's own: where its requests without a handle belong. */
static int home(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out, struct mg_fault *why) {
  struct mg_principal *p = mg_sessions_principal(c->sessions, principal_of(in));
  struct mg_ctx *ctx = p ? p->home : NULL;
  if (ctx && mg_sessions_extend(ctx->session, in->who, in->now_ms) == MCPGW_OK) {
    ctx->session->used_ms = in->now_ms;
    *out = ctx;
    return MCPGW_OK;
  }
  int rc = fresh(c, in, out, why);
  if (rc != MCPGW_OK) return rc;
  (*out)->is_home = 1;
  (*out)->session->principal->home = *out;
  return MCPGW_OK;
}

/* What looks, but leaves nothing behind in a workflow: it needs none. */
static int only_looks(int method) {
  return method == MG_M_DISCOVER || mg_method_is_list(method);
}

int mg_handle_context(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out, int *hands_out,
                      struct mg_fault *why) {
  const struct mg_msg *m = in->msg;
  int mode = in->one_context ? MG_NO_HANDLE_PRINCIPAL : c->config->contexts.no_handle;
  *hands_out = 1;
  if (m->s[MG_S_META_CONTEXT].type == MG_JSON_STRING)
    return mg_slice_eqz(mg_msg_inner(m, MG_S_META_CONTEXT), "new") ? fresh(c, in, out, why) : by_handle(c, in, out, why);
  *why = (struct mg_fault){.code = MG_RPC_PARAMS, .delivered = -1,
                           .text = "params._meta[\"dev.mcpgw/context\"] must be \"new\", or the handle of an earlier result"};
  if (m->s[MG_S_META_CONTEXT].type != MG_JSON_NONE) return MCPGW_E_INVALID;
  if (mode == MG_NO_HANDLE_FRESH && !only_looks(m->method) && m->method != MG_M_LISTEN) {
    int rc = fresh(c, in, out, why);
    if (rc == MCPGW_OK) (*out)->unclaimed = 1;
    return rc;
  }
  if (mode == MG_NO_HANDLE_REFUSE && !only_looks(m->method)) return MCPGW_E_DENIED;
  *hands_out = 0;
  return home(c, in, out, why);
}

struct mg_ctx *mg_handle_peek(struct mg_core *c, const struct mg_inbound *in) {
  struct mg_principal *p = mg_sessions_principal(c->sessions, principal_of(in));
  if (in->msg->s[MG_S_META_CONTEXT].type == MG_JSON_STRING) return unseal(c, in, mg_msg_inner(in->msg, MG_S_META_CONTEXT));
  return p ? p->home : NULL;
}
