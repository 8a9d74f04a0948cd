/* core/link/handshake: owns the first exchange of a link: `initialize` for a legacy one, with the client's own
 * words; `server/discover` for a modern one, which is also the probe of the upstream's era. A tool is never
 * called to find out anything. */
#include <stdio.h>
#include <string.h>

#include "core/listen/feed.h"

#define PROBE_SURE_MS 3600000 /* an upstream that is legacy by its own word is asked again after so long */
#define PROBE_SILENT_MS 60000 /* one that merely said nothing */

/* Of a link that several clients use: the gateway can be asked whatever any of them could. */
#define COMMON_HELLO                                                                                       \
  "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"roots\":{\"listChanged\":true},\"sampling\":{}," \
  "\"elicitation\":{\"form\":{},\"url\":{}}},\"clientInfo\":" MG_GATEWAY_INFO "}"

#define REFUSED_MS 30000 /* until a context asks a server again that refused its initialize */

static uint32_t capabilities_of(const struct mg_msg *m) {
  static const struct {
    const char *key;
    uint32_t bit;
  } known[] = {{"tools", MG_CAP_TOOLS},         {"prompts", MG_CAP_PROMPTS}, {"resources", MG_CAP_RESOURCES},
               {"completions", MG_CAP_COMPLETIONS}, {"logging", MG_CAP_LOGGING}, {"tasks", MG_CAP_TASKS}};
  uint32_t caps = 0;
  struct mg_span v, flag;
  if (m->s[MG_S_R_CAPABILITIES].type != MG_JSON_OBJECT) return 0;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (!mg_json_get(m->doc, m->s[MG_S_R_CAPABILITIES], known[i].key, &v) || v.type != MG_JSON_OBJECT) continue;
    caps |= known[i].bit;
    if (mg_json_get(m->doc, v, "listChanged", &flag) && flag.type == MG_JSON_TRUE) caps |= known[i].bit * MG_CAP_CHANGES;
  }
  return caps;
}

/* Alone an upstream has spoken for itself: it may not have promised the notification. */
void mg_link_tell_changed(struct mg_link *l, struct mg_ctx *ctx) {
  static const struct {
    uint32_t cap;
    int kind;
  } lists[] = {{MG_CAP_TOOLS, MG_LIST_TOOLS}, {MG_CAP_PROMPTS, MG_LIST_PROMPTS}, {MG_CAP_RESOURCES, MG_LIST_RESOURCES}};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
    if (l->caps & lists[i].cap && (ctx->view.n > 1 || l->caps & lists[i].cap * MG_CAP_CHANGES))
      mg_ctx_emit_changed(ctx, lists[i].kind);
}

void mg_link_on_gap(struct mg_link *l) {
  if (l->state != MG_LINK_READY || l->modern || !l->hello) return;
  l->core->stats.listen_gaps++;
  mg_log(l->core->log, MG_LOG_INFO, "listen.back", "upstream", l->up->cfg->name, "context", mg_ctx_tag(l->ctx), "text",
         "list_changed was sent; updates of resources meanwhile are lost", (char *)0);
  for (int k = 0; k < MG_LIST_KINDS; k++) mg_catalog_stale(l, k);
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next) mg_link_tell_changed(l, mg_bind_of(n)->ctx);
}

void mg_link_joined(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms) {
  if (!ctx->answered) return;
  mg_restore_ctx(l, ctx, now_ms);
  mg_link_tell_changed(l, ctx);
}

static void ready(struct mg_link *l, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_slice said = mg_blob_slice(bytes);
  l->hello = mg_blob_copy(l->core->budget, said.ptr, said.len); /* kept long: without the room it grew into */
  if (!l->hello) l->hello = mg_blob_ref(bytes);
  l->caps = capabilities_of(m);
  mg_link_set_state(l, MG_LINK_READY);
  mg_breaker_greeted(l);
  l->up->error[0] = 0;
  mg_log(l->core->log, MG_LOG_INFO, "link.ready", "upstream", l->up->cfg->name, "revision",
         mg_revision_name(l->revision), "context", mg_ctx_tag(l->ctx), (char *)0);
  if (mg_link_is_common(l) || (l->ctx && l->ctx->initialized)) mg_link_initialized(l, now_ms);
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next)
    mg_link_joined(l, mg_bind_of(n)->ctx, now_ms); /* it comes late, or replaces another */
  mg_wake(&l->waiters, now_ms);
  if (!l->modern || l->state != MG_LINK_READY) return;
  mg_catalog_verify(l, now_ms);
  mg_known_save(l, now_ms);
}

static void refused(struct mg_link *l, const struct mg_msg *m, const char *what, uint64_t now_ms) {
  char text[MG_ERR_MAX];
  struct mg_slice said = mg_msg_inner(m, MG_S_E_MESSAGE);
  int n = said.len < 200 ? (int)said.len : 200;
  snprintf(text, sizeof text, "%s: it says \"%.*s\"", what, n, n ? said.ptr : "");
  for (char *p = text; *p; p++)
    if ((unsigned char)*p < 0x20) *p = ' ';
  mg_link_die(l, text, MCPGW_DELIVERED_YES, 1, now_ms);
}

static void on_initialize(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  (void)status;
  if (m->kind == MG_ERROR && !l->ctx) {
    refused(l, m, "it refused initialize", now_ms);
    return;
  }
  if (m->kind == MG_ERROR) {
    struct mg_bind *b = mg_bind_find(l->ctx, l->up);
    mg_blob_unref(l->ctx->refusal);
    l->ctx->refusal = mg_blob_ref(bytes); /* a client of this upstream alone is told in its own words */
    if (b) b->refused_ms = now_ms + REFUSED_MS;
    mg_breaker_greeted(l); /* it is there: other callers may ask, what one was told is its own matter */
    l->forgiven = 1;
    refused(l, m, "it refused initialize", now_ms);
    return;
  }
  int revision = mg_revision_parse(mg_msg_inner(m, MG_S_R_VERSION));
  if (!revision || mg_revision_is_modern(revision)) {
    mg_link_die(l, "it negotiated a revision that this gateway does not know", MCPGW_DELIVERED_YES, 1, now_ms);
    return;
  }
  l->revision = revision;
  ready(l, bytes, m, now_ms);
}

/* A DiscoverResult or an error that only a modern server gives: modern. Anything else: legacy (2026-07-28,
 * versioning, "Backward Compatibility"). */
static void not_modern(struct mg_link *l, int sure, uint64_t now_ms) {
  l->up->speaks_modern = -1;
  l->up->probe_ms = now_ms + (sure ? PROBE_SURE_MS : PROBE_SILENT_MS); /* servers are replaced by newer ones */
  mg_log(l->core->log, MG_LOG_INFO, "upstream.legacy", "upstream", l->up->cfg->name, (char *)0);
  mg_breaker_greeted(l);
  l->forgiven = 1;
  mg_link_die(l, "it speaks no revision with per-request metadata", MCPGW_DELIVERED_YES, 1, now_ms);
}

static int lists_modern(const struct mg_msg *m) {
  struct mg_span item;
  size_t pos = 0;
  if (m->s[MG_S_R_SUPPORTED].type != MG_JSON_ARRAY) return 0;
  while (mg_json_item(m->doc, m->s[MG_S_R_SUPPORTED], &pos, &item))
    if (item.type == MG_JSON_STRING && mg_revision_is_modern(mg_revision_parse(mg_span_inner(m->doc, item)))) return 1;
  return 0;
}

/* The link was taken for ready by what was written down of its server, which has now spoken for itself. */
static void verified(struct mg_link *l, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_msg was;
  struct mg_wire_fault why;
  int same = mg_wire_parse(mg_blob_slice(l->hello), &was, &why) == MCPGW_OK &&
             mg_json_same(mg_msg_raw(&was, MG_S_RESULT), mg_msg_raw(m, MG_S_RESULT));
  mg_blob_unref(l->hello);
  l->hello = mg_blob_ref(bytes);
  l->caps = capabilities_of(m);
  mg_breaker_greeted(l);
  if (!same) mg_feed_changed(l->up, MG_WANT_TOOLS | MG_WANT_PROMPTS | MG_WANT_RESOURCES);
  mg_catalog_verify(l, now_ms);
  mg_known_save(l, now_ms);
}

/* Calls need not wait for the probe of an upstream that is known: it is under way. */
static void take_for_ready(struct mg_link *l) {
  struct mg_msg m;
  struct mg_wire_fault why;
  mg_blob *hello = l->state == MG_LINK_OPENING ? mg_known_hello(l) : NULL;
  if (hello && mg_wire_parse(mg_blob_slice(hello), &m, &why) == MCPGW_OK && m.kind == MG_RESULT && lists_modern(&m)) {
    l->hello = mg_blob_ref(hello);
    l->caps = capabilities_of(&m);
    mg_link_set_state(l, MG_LINK_READY);
  }
  mg_blob_unref(hello);
}

static void on_discover(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  int64_t code = 0;
  (void)status;
  if (m->kind == MG_RESULT) {
    if (lists_modern(m)) {
      l->up->speaks_modern = 1;
      if (l->state == MG_LINK_READY) verified(l, bytes, m, now_ms);
      else ready(l, bytes, m, now_ms);
    } else {
      not_modern(l, 1, now_ms);
    }
    return;
  }
  if (m->s[MG_S_E_CODE].type == MG_JSON_NUMBER) mg_span_i64(m->doc, m->s[MG_S_E_CODE], &code);
  if (code == MG_RPC_HEADERS || code == MG_RPC_CAPABILITY) refused(l, m, "it refused server/discover", now_ms);
  else not_modern(l, 1, now_ms);
}

static void on_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  if (l->state == MG_LINK_DEAD) return;
  /* a server that stays silent on stdio, or that answers HTTP 4xx without a modern error, is a legacy one */
  int silent = f->reason == MG_WHY_UPSTREAM_TIMEOUT && !l->cancel_closes;
  int http_4xx = f->code >= 400 && f->code < 500 && f->code != 401 && f->code != 403 && f->code != 429;
  if (l->modern && (silent || http_4xx)) {
    not_modern(l, http_4xx, now_ms);
    return;
  }
  struct mg_upstream *up = l->up;
  up->late = f->limit;
  up->late_ms = f->limit_ms;
  mg_link_die(l, f->text ? f->text : "no answer to the handshake", MCPGW_DELIVERED_YES, 1, now_ms);
  up->late = NULL;
}

static const struct mg_leg_ops initialize_ops = {on_initialize, on_fail};
static const struct mg_leg_ops discover_ops = {on_discover, on_fail};

static int build(struct mg_link *l, int method, uint64_t id, struct mg_buf *b) {
  if (method == MG_M_PING) return mg_build_request(b, id, "ping", mg_slice(NULL, 0));
  if (!l->modern) return mg_build_request(b, id, "initialize", l->ctx ? mg_blob_slice(l->ctx->hello) : MG_LIT(COMMON_HELLO));
  mg_buf_addz(b, "{\"jsonrpc\":\"2.0\",\"id\":");
  mg_buf_addu(b, id);
  mg_buf_addz(b, ",\"method\":\"server/discover\",\"params\":{\"_meta\":{");
  mg_build_modern_meta(b, MG_LIT(MG_GATEWAY_INFO), mg_slice(NULL, 0));
  mg_buf_addz(b, "}}}");
  return mg_buf_rc(b);
}

static int send(struct mg_link *l, int method, const struct mg_leg_ops *ops, uint64_t now_ms) {
  const struct mg_cfg_timeouts *t = &l->up->cfg->timeouts;
  static const mcpgw_header discover[] = {{"Mcp-Method", "server/discover"}};
  struct mg_leg *leg;
  struct mg_buf b;
  int rc = mg_leg_new(l, NULL, method, ops, NULL, t->connect_ms + t->list_ms, now_ms, &leg);
  if (rc != MCPGW_OK) return rc;
  mg_buf_init(&b, (size_t)1 << 20);
  rc = build(l, method, leg->id, &b);
  mg_blob *bytes = rc == MCPGW_OK ? mg_blob_copy(l->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  if (!bytes) rc = MCPGW_E_NOMEM;
  if (rc == MCPGW_OK) rc = mg_leg_send(leg, bytes, discover, l->modern ? 1 : 0);
  mg_blob_unref(bytes);
  if (rc != MCPGW_OK) mg_leg_free(leg);
  return rc;
}

int mg_handshake_start(struct mg_link *l, uint64_t now_ms) {
  if (!l->modern) return send(l, MG_M_INITIALIZE, &initialize_ops, now_ms);
  int rc = send(l, MG_M_DISCOVER, &discover_ops, now_ms);
  if (rc == MCPGW_OK) take_for_ready(l);
  return rc;
}

int mg_handshake_probe(struct mg_link *l, const struct mg_leg_ops *ops, uint64_t now_ms) {
  return send(l, l->modern ? MG_M_DISCOVER : MG_M_PING, ops, now_ms);
}

void mg_link_initialized(struct mg_link *l, uint64_t now_ms) {
  static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
  if (l->modern || l->initialized || l->state != MG_LINK_READY) return;
  l->initialized = 1;
  mg_blob *bytes = mg_blob_copy(l->core->budget, text, sizeof text - 1);
  if (bytes) mg_link_notify(l, bytes);
  mg_blob_unref(bytes);
  l->core->ports->link_listen(l->port, mg_revision_name(l->revision));
  mg_catalog_verify(l, now_ms);
}
