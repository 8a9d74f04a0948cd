/* core/context/context: owns what the gateway keeps beside a session of its registry (core/session): the calls, the
 * links, the questions servers asked. When the session ends, all of that ends too. */
#include <string.h>

#include "core/brain.h"

#define INITIALIZED_MS 60000 /* a context that never sent `initialized` ends after this */
#define RETIRED_MS 300000    /* what is in flight in a principal's default context at its end may take so long */
#define RETIRED_LOOK_MS 1000

/* The client's initialize params as they go upstream: a revision that we do not know becomes the latest
 * legacy one; the caller's _meta (its progress token, our private keys) stays here. */
static int keep_hello(struct mg_ctx *ctx, const struct mg_msg *m) {
  struct mg_slice doc = mg_msg_raw(m, MG_S_PARAMS);
  struct mg_span whole = mg_json_whole(doc), v;
  struct mg_splice sp;
  char version[16];
  size_t n = strlen(mg_revision_name(ctx->revision));
  version[0] = '"';
  memcpy(version + 1, mg_revision_name(ctx->revision), n);
  version[n + 1] = '"';
  mg_splice_init(&sp);
  if (mg_json_get(doc, whole, "protocolVersion", &v)) mg_splice_value(&sp, v, mg_slice(version, n + 2));
  if (mg_json_get(doc, whole, "_meta", &v)) mg_splice_remove(&sp, doc, v);
  return mg_splice_flatten(&sp, doc, ctx->core->budget, &ctx->hello);
}

static void ctx_free(struct mg_ctx *ctx) {
  if (!ctx) return;
  mg_map_free(ctx->calls);
  mg_map_free(ctx->reverse);
  mg_map_free(ctx->tasks);
  mg_map_free(ctx->subscriptions);
  mg_text_done(&ctx->level);
  mg_blob_unref(ctx->hello);
  mg_blob_unref(ctx->refusal);
  mg_text_done(&ctx->handle);
  mg_free(ctx);
}

/* What a server on a common link may ask of this client. */
static unsigned abilities(const struct mg_msg *m) {
  static const struct {
    const char *key;
    unsigned bit;
  } known[] = {{"sampling", MG_CAN_SAMPLE}, {"elicitation", MG_CAN_ELICIT}, {"roots", MG_CAN_ROOTS}};
  unsigned can = 0;
  struct mg_span v;
  for (size_t i = 0; m->s[MG_S_CAPABILITIES].type == MG_JSON_OBJECT && i < sizeof known / sizeof known[0]; i++)
    if (mg_json_get(m->doc, m->s[MG_S_CAPABILITIES], known[i].key, &v) && v.type == MG_JSON_OBJECT) can |= known[i].bit;
  return can;
}

static int ctx_open(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in) {
  ctx->core = c;
  mg_list_init(&ctx->in_flight);
  int rc = mg_sessions_create(c->sessions, in->who, in->now_ms, &ctx->session);
  if (rc != MCPGW_OK) return rc;
  ctx->session->user = ctx;
  ctx->number = ++c->numbers;
  c->stats.contexts_opened++;
  return MCPGW_OK;
}

int mg_ctx_new(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out) {
  struct mg_ctx *ctx = mg_calloc(1, sizeof *ctx);
  if (!ctx) return MCPGW_E_NOMEM;
  ctx->core = c;
  ctx->view = in->view;
  ctx->revision = mg_revision_parse(mg_msg_inner(in->msg, MG_S_VERSION));
  if (!ctx->revision || mg_revision_is_modern(ctx->revision)) ctx->revision = MG_REV_LATEST_LEGACY;
  ctx->can = abilities(in->msg);
  int rc = keep_hello(ctx, in->msg);
  if (rc == MCPGW_OK) rc = ctx_open(c, ctx, in);
  if (rc == MCPGW_OK) *out = ctx;
  else ctx_free(ctx);
  return rc;
}

int mg_ctx_new_modern(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out) {
  struct mg_ctx *ctx = mg_calloc(1, sizeof *ctx);
  if (!ctx) return MCPGW_E_NOMEM;
  ctx->modern = 1;
  ctx->view = (struct mg_view){0, c->n_ups, 1};
  ctx->revision = MG_REV_LATEST_MODERN;
  int rc = ctx_open(c, ctx, in);
  if (rc == MCPGW_OK) *out = ctx;
  else ctx_free(ctx);
  return rc;
}

const char *mg_ctx_refusal(const struct mg_core *c, int rc) {
  if (rc == MCPGW_E_DENIED) return "the credential has run out";
  if (rc != MCPGW_E_LIMIT) return "out of memory";
  return mg_map_count(c->sessions->by_id) >= c->config->contexts.max
             ? "too many sessions (contexts.max); try again later"
             : "too many sessions of this caller (contexts.max_per_principal); end some, or try again later";
}

struct mg_ctx *mg_core_find(struct mg_core *c, struct mg_slice id, const mcpgw_credential *who, uint64_t now_ms) {
  struct mcpgw_session *s = mg_sessions_find(c->sessions, id, who, now_ms);
  return s ? s->user : NULL;
}

static int delivered(const struct mg_call *call) {
  int worst = MCPGW_DELIVERED_NO;
  for (const struct mg_list *n = call->legs.next; n != &call->legs; n = n->next) {
    int d = mg_leg_delivered(MG_CONTAINER(n, struct mg_leg, in_call));
    if (d != (int)MCPGW_DELIVERED_NO) worst = d;
  }
  return worst;
}

/* The caller is told that its context is over; when everything is, that is not what matters to a modern one. */
static void end_calls(struct mg_ctx *ctx, const char *why) {
  struct mg_list *node;
  while ((node = mg_list_first(&ctx->in_flight))) {
    struct mg_call *call = MG_CONTAINER(node, struct mg_call, in_ctx);
    struct mg_fault f = {.reason = MG_WHY_CONTEXT_ENDED, .delivered = delivered(call), .text = why};
    if (ctx->modern && ctx->core->ending)
      f.reason = f.delivered != (int)MCPGW_DELIVERED_NO && call->method == MG_M_TOOLS_CALL ? MG_WHY_OUTCOME_UNKNOWN
                                                                                           : MG_WHY_UPSTREAM_UNAVAILABLE;
    mg_call_fail(call, &f);
  }
}

void mg_core_end(struct mg_core *c, struct mg_ctx *ctx, const char *why) {
  (void)c;
  mg_sessions_end(ctx->session, why);
}

void mg_core_leave(struct mg_core *c, struct mg_slice principal) {
  struct mg_principal *p = mg_sessions_principal(c->sessions, principal);
  if (p && p->home) mg_sessions_end(p->home->session, "its last client has gone");
}

/* The session is over and found no more. */
static void on_ended(void *data, struct mcpgw_session *s, const char *why) {
  struct mg_core *c = data;
  struct mg_ctx *ctx = s->user;
  if (!ctx) return; /* it never became one */
  ctx->ended = 1;
  if (s->principal->home == ctx) s->principal->home = NULL;
  end_calls(ctx, why);
  mg_reverse_free(ctx);
  mg_bind_end_all(ctx, s->used_ms);
  c->stats.contexts_ended++;
  mg_log(c->log, MG_LOG_INFO, "context.ended", "context", mg_ctx_tag(ctx), "reason", why, (char *)0);
  c->ports->ctx_ended(ctx, ctx->user);
  ctx_free(ctx);
}

/* A call in flight is use, and so is an open stream of the client's own, once it is initialized: somebody is there. */
static int on_in_use(void *data, struct mcpgw_session *s) {
  struct mg_ctx *ctx = s->user;
  (void)data;
  return ctx->n_calls > 0 || (ctx->listens && ctx->initialized);
}

/* A principal's requests without a handle are no workflow that could come to its end: at the greatest age new ones
 * get a new context, those in flight may finish, and listeners are asked to come again. */
static uint64_t on_overdue(void *data, struct mcpgw_session *s) {
  struct mg_core *c = data;
  struct mg_ctx *ctx = s->user;
  uint64_t end = s->created_ms + c->config->contexts.absolute_ms + RETIRED_MS;
  if (!ctx->is_home || !ctx->n_calls || s->expiry.at_ms >= end) return 0;
  if (s->principal->home == ctx) {
    s->principal->home = NULL;
    mg_listen_end_of(ctx);
  }
  return ctx->n_calls ? RETIRED_LOOK_MS : 0;
}

int mg_contexts_new(struct mg_core *c) {
  const struct mg_config *cfg = c->config;
  mcpgw_sessions_options o = {.struct_size = sizeof o,
                              .max = cfg->contexts.max,
                              .max_per_principal = cfg->contexts.max_per_principal,
                              .idle_ms = cfg->contexts.idle_ms,
                              .absolute_ms = cfg->contexts.absolute_ms,
                              .pending_ms = INITIALIZED_MS,
                              .ended = on_ended,
                              .in_use = on_in_use,
                              .data = c};
  int rc = mg_sessions_new(&o, &c->sessions);
  if (rc == MCPGW_OK) c->sessions->overdue = on_overdue;
  return rc;
}

void mg_contexts_limits(struct mg_core *c) {
  const struct mg_config *cfg = c->config;
  mg_sessions_limits(c->sessions, cfg->contexts.max, cfg->contexts.max_per_principal, cfg->contexts.idle_ms,
                     cfg->contexts.absolute_ms);
}

void mg_ctx_emit(struct mg_ctx *ctx, mg_blob *bytes) {
  if (ctx->channel) {
    mg_send_blob(ctx->core, ctx->channel, bytes, 0, 200);
    return;
  }
  ctx->core->stats.dropped_notifications++;
  mg_blob_unref(bytes);
}

void mg_ctx_emit_changed(struct mg_ctx *ctx, int kind) {
  static const int method[MG_LIST_KINDS] = {MG_M_N_TOOLS_CHANGED, MG_M_N_PROMPTS_CHANGED, MG_M_N_RESOURCES_CHANGED,
                                            MG_M_N_RESOURCES_CHANGED};
  struct mg_buf b;
  mg_buf_init(&b, 256);
  mg_build_notification(&b, mg_method_name(method[kind]), mg_slice(NULL, 0));
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(ctx->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  if (bytes) mg_ctx_emit(ctx, bytes);
  else ctx->core->stats.dropped_notifications++;
}

void mg_ctx_pin(struct mg_ctx *ctx) {
  mg_sessions_pin(ctx->session, ctx->session->used_ms);
}

const char *mg_ctx_tag(const struct mg_ctx *ctx) {
  return ctx ? ctx->session->tag : "shared";
}

const char *mg_ctx_id(const struct mg_ctx *ctx) {
  return ctx->session->id;
}

int mg_ctx_answered(const struct mg_ctx *ctx) {
  return ctx->answered;
}

int mg_ctx_is_over(const struct mg_ctx *ctx) {
  return !ctx->session->created_ms;
}

void mg_ctx_linger(struct mg_ctx *ctx, uint64_t until_ms) {
  mg_sessions_linger(ctx->session, until_ms);
}

int mg_ctx_revision(const struct mg_ctx *ctx) {
  return ctx->revision;
}

struct mg_view mg_ctx_view(const struct mg_ctx *ctx) {
  return ctx->view;
}

void mg_ctx_set_user(struct mg_ctx *ctx, void *user) {
  ctx->user = user;
}

void *mg_ctx_user(const struct mg_ctx *ctx) {
  return ctx->user;
}

void mg_ctx_set_left(struct mg_ctx *ctx, int left, uint64_t now_ms) {
  ctx->left = left;
  ctx->listens = !left;
  mg_sessions_touch(ctx->session, now_ms); /* idleness begins with its end */
}

void mg_ctx_set_channel(struct mg_ctx *ctx, struct mg_sink *channel) {
  ctx->channel = channel;
}
