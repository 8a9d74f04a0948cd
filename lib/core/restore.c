/* core/restore: owns what a context asked its upstreams to remember (the log level, subscriptions) and asks it
 * anew of a link that replaces another (DESIGN §5). It never answers a client: that was done the first time. */
#include "core/brain.h"

#define MAX_SUBSCRIPTIONS 1024 /* of one context; further ones are not asked for anew */

static struct mg_slice uri_of(const struct mg_msg *m) {
  return mg_msg_raw(m, MG_S_URI);
}

void mg_restore_note(struct mg_ctx *ctx, const struct mg_msg *m, size_t upstream) {
  int rc = MCPGW_OK;
  if (m->method == MG_M_SET_LEVEL && m->s[MG_S_LEVEL].type == MG_JSON_STRING) {
    mg_text_done(&ctx->level);
    rc = mg_text_set(&ctx->level, mg_msg_raw(m, MG_S_LEVEL));
  } else if (m->method == MG_M_SUBSCRIBE && m->s[MG_S_URI].type == MG_JSON_STRING) {
    if (!ctx->subscriptions) ctx->subscriptions = mg_map_new(MAX_SUBSCRIPTIONS);
    rc = ctx->subscriptions ? mg_map_put(ctx->subscriptions, uri_of(m), (void *)(uintptr_t)(upstream + 1)) : MCPGW_E_NOMEM;
  } else if (m->method == MG_M_UNSUBSCRIBE && ctx->subscriptions) {
    mg_map_del(ctx->subscriptions, uri_of(m));
  }
  if (rc != MCPGW_OK && rc != MCPGW_E_EXISTS)
    mg_log(ctx->core->log, MG_LOG_WARN, "restore.not_kept", "upstream", ctx->core->ups[upstream]->cfg->name, "method",
           mg_method_name(m->method), "context", mg_ctx_tag(ctx), (char *)0);
}

static void failed(struct mg_leg *leg, const char *why) {
  mg_log(leg->link->core->log, MG_LOG_WARN, "restore.failed", "upstream", leg->link->up->cfg->name, "method",
         mg_method_name(leg->method), "text", why, (char *)0);
}

static void on_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  (void)bytes, (void)status, (void)now_ms;
  if (m->kind == MG_ERROR) failed(leg, "the upstream refused it");
  else if (leg->link->up->cfg->stateful) leg->link->stateful = 1;
}

static void on_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  (void)now_ms;
  failed(leg, f->text ? f->text : "no answer");
}

static const struct mg_leg_ops ops = {on_reply, on_fail};

static int send_again(struct mg_link *l, int method, const char *member, struct mg_slice value, uint64_t now_ms) {
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

void mg_restore_link(struct mg_link *l, uint64_t now_ms) {
  struct mg_ctx *ctx = l->ctx;
  struct mg_slice uri;
  size_t it = 0;
  void *owner;
  if (ctx->level.len && l->caps & MG_CAP_LOGGING) send_again(l, MG_M_SET_LEVEL, "{\"level\":", mg_text_slice(&ctx->level), now_ms);
  while (ctx->subscriptions && (owner = mg_map_next(ctx->subscriptions, &it, &uri)))
    if ((uintptr_t)owner == l->up->index + 1) send_again(l, MG_M_SUBSCRIBE, "{\"uri\":", uri, now_ms);
}
