/* core/link/restore: owns what a context asked its upstreams to remember (the log level, subscriptions) and asks it
 * anew of a link that replaces another (DESIGN §5). It never answers a client: that was done the first time. */
#include "core/brain.h"

#define TEXT_MAX ((size_t)65536)
#define MAX_SUBSCRIPTIONS 1024 /* of one context */
#define MAX_URI 8192           /* bytes, as JSON */

struct mg_slice mg_restore_uri(const struct mg_msg *m, struct mg_buf *b) {
  struct mg_buf text;
  struct mg_slice uri;
  mg_buf_init(b, TEXT_MAX);
  if (m->s[MG_S_URI].type != MG_JSON_STRING || !m->s[MG_S_URI].escaped) return mg_msg_raw(m, MG_S_URI);
  mg_buf_init(&text, TEXT_MAX);
  int rc = mg_msg_text(m, MG_S_URI, &text, &uri);
  if (rc == MCPGW_OK) rc = mg_buf_json_str(b, uri);
  mg_buf_done(&text);
  return rc == MCPGW_OK ? mg_buf_slice(b) : mg_msg_raw(m, MG_S_URI);
}

const char *mg_restore_refuses(const struct mg_ctx *ctx, const struct mg_upstream *up, const struct mg_msg *m) {
  struct mg_buf b;
  if (m->method != MG_M_SUBSCRIBE || m->s[MG_S_URI].type != MG_JSON_STRING) return NULL;
  struct mg_slice uri = mg_restore_uri(m, &b);
  size_t len = uri.len;
  int has = mg_restore_has(ctx, up, uri);
  mg_buf_done(&b);
  if (has) return NULL;
  if (len > MAX_URI) return "a URI of more than 8,192 bytes cannot be followed";
  return ctx->subscriptions && mg_map_count(ctx->subscriptions) >= MAX_SUBSCRIPTIONS
             ? "1,024 resources are followed in this session already; unsubscribe from some"
             : NULL;
}

void mg_restore_note(struct mg_ctx *ctx, const struct mg_msg *m, struct mg_upstream *up) {
  struct mg_buf b;
  struct mg_slice uri = mg_restore_uri(m, &b);
  int rc = MCPGW_OK;
  if (m->method == MG_M_SET_LEVEL) {
    if (mg_share_level(mg_msg_inner(m, MG_S_LEVEL)) < 0) return; /* it may be of any length; the upstream will refuse it */
    mg_text_done(&ctx->level);
    rc = mg_text_set(&ctx->level, mg_msg_raw(m, MG_S_LEVEL));
  } else if (m->method == MG_M_SUBSCRIBE && m->s[MG_S_URI].type == MG_JSON_STRING) {
    if (!ctx->subscriptions) ctx->subscriptions = mg_map_new(MAX_SUBSCRIPTIONS);
    rc = ctx->subscriptions ? mg_map_put(ctx->subscriptions, uri, up) : MCPGW_E_NOMEM;
  } else if (m->method == MG_M_UNSUBSCRIBE) {
    mg_restore_forget(ctx, up, uri);
  }
  mg_buf_done(&b);
  if (rc != MCPGW_OK && rc != MCPGW_E_EXISTS)
    mg_log(ctx->core->log, MG_LOG_WARN, "restore.not_kept", "upstream", up->cfg->name, "method",
           mg_method_name(m->method), "context", mg_ctx_tag(ctx), (char *)0);
}

/* ---- what is remembered: raw URI -> upstream ------------------------------------------------------------- */

int mg_restore_has(const struct mg_ctx *ctx, const struct mg_upstream *up, struct mg_slice uri) {
  return ctx->subscriptions && mg_map_get(ctx->subscriptions, uri) == up;
}

void mg_restore_forget(struct mg_ctx *ctx, const struct mg_upstream *up, struct mg_slice uri) {
  if (mg_restore_has(ctx, up, uri)) mg_map_del(ctx->subscriptions, uri);
}

int mg_restore_next(const struct mg_ctx *ctx, const struct mg_upstream *up, size_t *it, struct mg_slice *uri) {
  void *owner;
  while (ctx->subscriptions && (owner = mg_map_next(ctx->subscriptions, it, uri)))
    if (owner == up) return 1;
  return 0;
}

int mg_restore_subscribed(const struct mg_ctx *ctx, const struct mg_upstream *up) {
  struct mg_slice uri;
  size_t it = 0;
  return mg_restore_next(ctx, up, &it, &uri);
}

int mg_restore_wanted(const struct mg_ctx *ctx, const struct mg_upstream *up) {
  return ctx->level.len || mg_restore_subscribed(ctx, up);
}

/* An update may be of a part of what was subscribed to (2025-11-25, resources/updated). */
int mg_restore_concerns(const struct mg_ctx *ctx, const struct mg_upstream *up, struct mg_slice uri) {
  struct mg_slice whole;
  size_t it = 0;
  if (mg_restore_has(ctx, up, uri)) return 1;
  while (mg_restore_next(ctx, up, &it, &whole)) {
    struct mg_slice head = mg_slice_sub(whole, 0, whole.len - 1); /* without the closing quote */
    if (whole.len < 3 || uri.len <= whole.len || !mg_slice_starts(uri, head)) continue;
    char next = uri.ptr[head.len], last = head.ptr[head.len - 1];
    if (last == '/' || next == '/' || next == '#' || next == '?') return 1;
  }
  return 0;
}

/* ---- asking again -------------------------------------------------------------------------------------------- */

static void failed(struct mg_leg *leg, const char *why) {
  mg_log(leg->link->core->log, MG_LOG_WARN, "restore.failed", "upstream", leg->link->up->cfg->name, "method",
         mg_method_name(leg->method), "text", why, (char *)0);
}

static void on_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  (void)bytes, (void)status, (void)now_ms;
  if (m->kind == MG_ERROR) failed(leg, "the upstream refused it");
  else if (leg->link->up->cfg->stateful && leg->method != MG_M_UNSUBSCRIBE) leg->link->stateful = 1;
}

static void on_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  (void)now_ms;
  failed(leg, f->text ? f->text : "no answer");
}

static const struct mg_leg_ops ops = {on_reply, on_fail};

int mg_restore_send(struct mg_link *l, int method, const char *member, struct mg_slice value, uint64_t now_ms) {
  struct mg_leg *leg;
  struct mg_buf params, b;
  int rc = mg_leg_new(l, NULL, method, &ops, NULL, l->up->cfg->timeouts.total_ms, now_ms, &leg);
  if (rc != MCPGW_OK) return rc;
  mg_buf_init(&params, (size_t)1 << 20);
  mg_buf_init(&b, (size_t)2 << 20);
  mg_buf_addz(&params, member);
  mg_buf_adds(&params, value);
  mg_buf_addc(&params, '}');
  rc = mg_buf_rc(&params);
  if (rc == MCPGW_OK) rc = mg_build_request(&b, leg->id, mg_method_name(method), mg_buf_slice(&params));
  mg_blob *bytes = rc == MCPGW_OK ? mg_blob_copy(l->core->budget, b.ptr, b.len) : NULL;
  rc = bytes ? mg_leg_send(leg, bytes, NULL, 0) : MCPGW_E_NOMEM;
  mg_blob_unref(bytes);
  mg_buf_done(&params);
  mg_buf_done(&b);
  if (rc != MCPGW_OK) {
    failed(leg, mg_rc_name(rc));
    mg_leg_free(leg);
  }
  return rc;
}

void mg_restore_ctx(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms) {
  struct mg_slice uri;
  size_t it = 0;
  if (mg_link_is_common(l)) {
    mg_share_restore(l, ctx, now_ms);
    return;
  }
  if (ctx->level.len && l->caps & MG_CAP_LOGGING) mg_restore_send(l, MG_M_SET_LEVEL, "{\"level\":", mg_text_slice(&ctx->level), now_ms);
  while (mg_restore_next(ctx, l->up, &it, &uri)) mg_restore_send(l, MG_M_SUBSCRIBE, "{\"uri\":", uri, now_ms);
}
