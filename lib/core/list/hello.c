/* core/list/hello: owns the answers to `initialize` and `server/discover`. One upstream alone speaks for
 * itself, word for word; several are put together: what any of them can do, the gateway offers, and what
 * one that is still to come might. */
#include <stdio.h>
#include <string.h>

#include "core/brain.h"

#define TTL_MAX_MS 60000 /* of a put-together DiscoverResult: an upstream may come or go */
#define TEXT_MAX ((size_t)4 << 20)
/* Clients ask once what there is: without these they would never look at what a late server brings. */
#define LATE_CAPS (MG_CAP_TOOLS | MG_CAP_PROMPTS | MG_CAP_RESOURCES | MG_CAP_LOGGING)

struct hello {
  uint32_t caps;
  int subscribe, ready, is_private, late; /* late: one that is not there may join */
  uint64_t ttl_ms;
  struct mg_buf extensions, instructions;
  struct mg_map *seen; /* extension names */
};

static void add_extensions(struct hello *h, const struct mg_msg *m) {
  struct mg_span ext, key, value;
  size_t pos = 0;
  if (!mg_json_get(m->doc, m->s[MG_S_R_CAPABILITIES], "extensions", &ext) || ext.type != MG_JSON_OBJECT) return;
  while (mg_json_member(m->doc, ext, &pos, &key, &value)) {
    if (!h->seen || mg_map_put(h->seen, mg_span_slice(m->doc, key), h) != MCPGW_OK) continue;
    if (h->extensions.len) mg_buf_addc(&h->extensions, ',');
    mg_buf_adds(&h->extensions, mg_span_slice(m->doc, key));
    mg_buf_addc(&h->extensions, ':');
    mg_buf_adds(&h->extensions, mg_span_slice(m->doc, value));
  }
}

static void add_declared(struct hello *h, const struct mg_msg *m) {
  struct mg_span res, sub;
  if (m->s[MG_S_R_CAPABILITIES].type != MG_JSON_OBJECT) return;
  if (mg_json_get(m->doc, m->s[MG_S_R_CAPABILITIES], "resources", &res) && res.type == MG_JSON_OBJECT &&
      mg_json_get(m->doc, res, "subscribe", &sub) && sub.type == MG_JSON_TRUE)
    h->subscribe = 1;
  add_extensions(h, m);
}

static void add_link(struct hello *h, const struct mg_link *l) {
  struct mg_msg m;
  struct mg_wire_fault why;
  int64_t ttl = 0;
  if (!l->hello || mg_wire_parse(mg_blob_slice(l->hello), &m, &why) != MCPGW_OK) return;
  h->ready++;
  h->caps |= l->caps;
  add_declared(h, &m);
  if (m.s[MG_S_R_TTL].type == MG_JSON_NUMBER) mg_span_i64(m.doc, m.s[MG_S_R_TTL], &ttl);
  if (h->ready == 1 || (uint64_t)ttl < h->ttl_ms) h->ttl_ms = ttl > 0 ? (uint64_t)ttl : 0;
  if (mg_slice_eqz(mg_msg_inner(&m, MG_S_R_SCOPE), "private")) h->is_private = 1;
  if (m.s[MG_S_R_INSTRUCTIONS].type == MG_JSON_STRING && m.s[MG_S_R_INSTRUCTIONS].len > 2) {
    if (h->instructions.len) mg_buf_addz(&h->instructions, "\\n\\n");
    mg_buf_adds(&h->instructions, mg_msg_inner(&m, MG_S_R_INSTRUCTIONS));
  }
}

/* May this upstream, which is not there, join later? */
static int may_come(const struct mg_call *call, const struct mg_upstream *up) {
  return call->modern ? up->speaks_modern >= 0 : up->cfg->era != MG_ERA_MODERN;
}

static void collect(struct mg_call *call, struct hello *h) {
  memset(h, 0, sizeof *h);
  h->seen = mg_map_new(256);
  mg_buf_init(&h->extensions, TEXT_MAX);
  mg_buf_init(&h->instructions, TEXT_MAX);
  for (size_t i = call->view.first; i < call->view.first + call->view.n; i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    if (l) add_link(h, l);
    else h->late |= may_come(call, call->core->ups[i]);
  }
  if (!h->late) return;
  h->caps |= LATE_CAPS;
  h->ttl_ms = 0;
}

static void hello_done(struct hello *h) {
  mg_map_free(h->seen);
  mg_buf_done(&h->extensions);
  mg_buf_done(&h->instructions);
}

static void member(struct mg_buf *b, const char *text) {
  if (b->len && b->ptr[b->len - 1] != '{') mg_buf_addc(b, ',');
  mg_buf_addz(b, text);
}

/* A legacy client hears of changes from the gateway itself; a modern one on the streams that upstreams grant. */
static void add_list(struct mg_buf *b, const struct hello *h, int modern, uint32_t cap, const char *name) {
  const char *subscribe = cap == MG_CAP_RESOURCES && h->subscribe ? "\"subscribe\":true" : "";
  int changes = !modern || h->late || h->caps & cap * MG_CAP_CHANGES;
  if (!(h->caps & cap)) return;
  member(b, name);
  mg_buf_addz(b, subscribe);
  if (changes) mg_buf_addz(b, *subscribe ? ",\"listChanged\":true" : "\"listChanged\":true");
  mg_buf_addc(b, '}');
}

static void add_capabilities(struct mg_buf *b, const struct hello *h, int modern) {
  mg_buf_addz(b, "\"capabilities\":{");
  add_list(b, h, modern, MG_CAP_TOOLS, "\"tools\":{");
  add_list(b, h, modern, MG_CAP_PROMPTS, "\"prompts\":{");
  add_list(b, h, modern, MG_CAP_RESOURCES, "\"resources\":{");
  if (h->caps & MG_CAP_COMPLETIONS) member(b, "\"completions\":{}");
  if (h->caps & MG_CAP_LOGGING) member(b, "\"logging\":{}");
  if (h->caps & MG_CAP_TASKS && !modern) member(b, "\"tasks\":{\"cancel\":{},\"requests\":{\"tools\":{\"call\":{}}}}");
  if (h->extensions.len) {
    member(b, "\"extensions\":{");
    mg_buf_adds(b, mg_buf_slice(&h->extensions));
    mg_buf_addc(b, '}');
  }
  mg_buf_addc(b, '}');
}

static void add_tail(struct mg_call *call, struct mg_buf *b, const struct hello *h) {
  if (h->instructions.len) {
    mg_buf_addz(b, ",\"instructions\":\"");
    mg_buf_adds(b, mg_buf_slice(&h->instructions));
    mg_buf_addc(b, '"');
  }
  mg_merge_meta(call, -1, b, 0);
}

/* Waits for links that are opening; those that take longer than connect_ms are left out and join later. *why: what
 * the last one that is not to be had says; its text is NULL when there is none. */
static int gather(struct mg_call *call, struct mg_fault *why, uint64_t now_ms) {
  struct mg_fault one;
  uint64_t longest = 0;
  why->text = NULL;
  for (size_t i = call->view.first; i < call->view.first + call->view.n && !call->gave_up; i++) {
    struct mg_link *l = mg_link_get(call->core, call->ctx, i, now_ms, &one);
    if (!l) *why = one;
    if (!l || l->state != MG_LINK_OPENING) continue;
    mg_call_wait(call, &l->waiters);
    if (l->up->cfg->timeouts.connect_ms > longest) longest = l->up->cfg->timeouts.connect_ms;
  }
  if (!call->waiting) return MCPGW_OK;
  if (call->view.n > 1) mg_call_wait_until(call, now_ms + longest);
  return MCPGW_E_AGAIN;
}

/* ---- server/discover ---------------------------------------------------------------------------------------- */

void mg_merge_none(struct mg_call *call) {
  struct mg_core *c = call->core;
  struct mg_buf b;
  int legacy = 0;
  for (size_t i = call->view.first; i < call->view.first + call->view.n; i++)
    if (c->ups[i]->speaks_modern < 0) legacy = 1; /* an older client would be served */
  if (!legacy) {
    struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO,
                         .text = "no upstream is available; mcpgw check tells which and why"};
    mg_call_fail(call, &f);
    return;
  }
  mg_buf_init(&b, 512);
  mg_buf_addz(&b, "{\"supported\":");
  mg_revision_list(&b, 0, 1); /* what was asked for is not to be had, whoever may come back */
  mg_buf_addz(&b, ",\"requested\":\"2026-07-28\"}");
  mg_call_error(call, MG_RPC_VERSION, "Unsupported protocol version", mg_buf_slice(&b));
  mg_buf_done(&b);
}

static void discovered(struct mg_call *call, const struct hello *h) {
  struct mg_buf b;
  mg_buf_init(&b, TEXT_MAX * 3);
  mg_buf_addz(&b, "{\"resultType\":\"complete\",\"supportedVersions\":");
  mg_core_supported(call->core, call->view, &b);
  mg_buf_addc(&b, ',');
  add_capabilities(&b, h, 1);
  mg_buf_addz(&b, ",\"ttlMs\":");
  mg_buf_addu(&b, h->ttl_ms < TTL_MAX_MS ? h->ttl_ms : TTL_MAX_MS);
  mg_buf_addz(&b, h->is_private ? ",\"cacheScope\":\"private\"" : ",\"cacheScope\":\"public\"");
  add_tail(call, &b, h);
  if (mg_buf_rc(&b) == MCPGW_OK) mg_call_result(call, mg_buf_slice(&b));
  else mg_call_fail_rc(call, mg_buf_rc(&b), NULL);
  mg_buf_done(&b);
}

void mg_merge_discover(struct mg_call *call, uint64_t now_ms) {
  struct hello h;
  struct mg_fault why;
  if (gather(call, &why, now_ms) == MCPGW_E_AGAIN) return;
  collect(call, &h);
  if (h.ready) discovered(call, &h);
  else mg_merge_none(call);
  hello_done(&h);
}

/* ---- initialize ------------------------------------------------------------------------------------------------ */

/* A context whose initialize failed is of no use: it ends at the next tick, after the reply has left,
 * or when nobody can come back any more for a reply that was lost on its way (mg_ctx_linger). */
static void doom(struct mg_ctx *ctx, uint64_t now_ms) {
  mg_sessions_hurry(ctx->session, now_ms);
}

/* version: a JSON string to put in the place of the upstream's, or empty. */
static void forward_hello(struct mg_call *call, mg_blob *hello, struct mg_slice version) {
  struct mg_msg m;
  struct mg_wire_fault why;
  struct mg_splice sp;
  struct mg_buf text;
  mg_buf_init(&text, 4096);
  if (mg_wire_parse(mg_blob_slice(hello), &m, &why) == MCPGW_OK) {
    mg_reply_edit(call, &m, &sp, &text);
    if (version.len && m.s[MG_S_R_VERSION].type == MG_JSON_STRING) mg_splice_value(&sp, m.s[MG_S_R_VERSION], version);
    mg_call_forward(call, hello, m.doc, &sp, 1, 200);
  } else {
    mg_call_fail_rc(call, MCPGW_E_INTERNAL, NULL);
  }
  mg_buf_done(&text);
}

static void initialize_one(struct mg_call *call, struct mg_fault *why, uint64_t now_ms) {
  struct mg_ctx *ctx = call->ctx;
  struct mg_link *l = mg_link_peek(call->core, ctx, call->view.first);
  if (l) {
    char version[24];
    int n = snprintf(version, sizeof version, "\"%s\"", mg_revision_name(ctx->revision));
    int common = mg_link_is_common(l); /* the gateway negotiated for itself; else the two have for themselves */
    if (!common) ctx->revision = l->revision;
    ctx->answered = 1;
    forward_hello(call, l->hello, common ? mg_slice(version, (size_t)n) : mg_slice(NULL, 0));
    return;
  }
  doom(ctx, now_ms);
  if (ctx->refusal) {
    forward_hello(call, ctx->refusal, mg_slice(NULL, 0));
    return;
  }
  if (!why->text) /* it was there, and is gone again */
    *why = (struct mg_fault){.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO,
                             .upstream = call->core->ups[call->view.first]->cfg->name, .text = "the upstream is not available"};
  mg_call_fail(call, why);
}

static void initialize_many(struct mg_call *call, uint64_t now_ms) {
  struct hello h;
  struct mg_buf b;
  collect(call, &h);
  mg_buf_init(&b, TEXT_MAX * 3);
  mg_buf_addz(&b, "{\"protocolVersion\":\"");
  mg_buf_addz(&b, mg_revision_name(call->ctx->revision));
  mg_buf_addz(&b, "\",");
  add_capabilities(&b, &h, 0);
  mg_buf_addz(&b, ",\"serverInfo\":" MG_GATEWAY_INFO);
  add_tail(call, &b, &h);
  hello_done(&h);
  if (mg_buf_rc(&b) == MCPGW_OK) {
    call->ctx->answered = 1;
    mg_call_result(call, mg_buf_slice(&b));
  } else {
    doom(call->ctx, now_ms);
    mg_call_fail_rc(call, mg_buf_rc(&b), NULL);
  }
  mg_buf_done(&b);
}

void mg_merge_initialize(struct mg_call *call, uint64_t now_ms) {
  struct mg_fault why;
  if (gather(call, &why, now_ms) == MCPGW_E_AGAIN) return;
  if (call->view.n == 1) initialize_one(call, &why, now_ms);
  else initialize_many(call, now_ms);
}
