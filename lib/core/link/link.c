/* core/link/link: owns live conversations with upstreams: when one is opened and how it ends. Whose it is, and who
 * else may use it, is core/bind's. A dead link is freed only when nobody can be on the stack (mg_core_tick). */
#include <stdio.h>
#include <string.h>

#include "core/brain.h"

size_t mg_link_index(const struct mg_link *l) {
  return l->up->index;
}

int mg_link_has_list(const struct mg_link *l, int kind) {
  static const uint32_t cap[MG_LIST_KINDS] = {MG_CAP_TOOLS, MG_CAP_PROMPTS, MG_CAP_RESOURCES, MG_CAP_RESOURCES};
  return l->lists && l->state == MG_LINK_READY && (l->caps & cap[kind]);
}

void mg_link_set_state(struct mg_link *l, int state) {
  if (l->state == MG_LINK_READY) l->up->n_ready--;
  if (state == MG_LINK_READY) l->up->n_ready++;
  l->state = state;
}

void mg_link_free(struct mg_link *l) {
  mg_list_del(&l->node);
  mg_gates_done(&l->own);
  mg_catalog_done(l);
  mg_cache_done(l);
  mg_map_free(l->legs);
  mg_tail_done(l);
  mg_blob_unref(l->hello);
  mg_free(l);
}

static struct mg_link *link_new(struct mg_upstream *up, struct mg_ctx *ctx) {
  struct mg_link *l = mg_calloc(1, sizeof *l);
  if (!l) return NULL;
  l->core = up->core;
  l->up = up;
  l->modern = !ctx || ctx->modern;
  l->scope = mg_scope(up, l->modern);
  l->ctx = l->scope == MG_ISO_SESSION ? ctx : NULL;
  l->owner = l->scope == MG_ISO_PRINCIPAL && ctx ? ctx->session->principal : NULL;
  l->revision = l->modern ? MG_REV_LATEST_MODERN : l->ctx ? ctx->revision : MG_REV_LATEST_LEGACY;
  l->level = -1;
  mg_list_init(&l->binds);
  mg_list_init(&l->questions);
  l->legs = mg_map_new(MG_MAX_LEGS);
  mg_list_init(&l->waiters);
  /* pins ask for them when they must */
  int needs_lists = l->modern || !l->ctx || ctx->view.n > 1 || up->cfg->trust_annotations;
  if (needs_lists) l->lists = mg_tables_new();
  mg_list_init(&l->audience);
  /* each process is a server of its own: sixteen busy sessions must not hold up the seventeenth's */
  int own = up->cfg->kind == MG_SERVER_STDIO;
  l->gates = own ? &l->own : &up->gates;
  int rc = own ? mg_gates_init(&l->own, up->core, up->cfg) : MCPGW_OK;
  if (rc == MCPGW_OK && l->legs && (l->lists || !needs_lists)) return l;
  mg_gates_done(&l->own);
  mg_map_free(l->legs);
  mg_free(l->lists);
  mg_free(l);
  return NULL;
}

static struct mg_link *link_open(struct mg_upstream *up, struct mg_ctx *ctx, struct mg_bind *b, uint64_t now_ms,
                                 struct mg_fault *why) {
  struct mg_core *c = up->core;
  up->error[0] = 0;
  up->crowded = 0;
  mg_known_recall(up);
  struct mg_link *l = link_new(up, ctx);
  struct mg_err said;
  mg_err_clear(&said);
  int rc = l ? c->ports->link_open(c->ports_arg, l, &l->port, &l->cancel_closes, &said) : MCPGW_E_NOMEM;
  if (rc != MCPGW_OK) {
    int ours = rc == MCPGW_E_NOMEM || rc == MCPGW_E_LIMIT; /* our want, which may pass any moment */
    if (ours) {
      up->crowded = 1;
      why->reason = MG_WHY_OVERLOADED;
      why->retry_after_ms = 1000;
    }
    const char *text = mg_err_text(&said);
    snprintf(up->error, sizeof up->error, "upstream \"%s\": %s", up->cfg->name, *text ? text : mg_rc_name(rc));
    why->text = up->error;
    if (ours) mg_breaker_none(up);
    else mg_breaker_pause(up, now_ms);
    if (l) mg_link_free(l);
    return NULL;
  }
  mg_list_add(&c->links, &l->node);
  up->n_links++;
  l->number = ++c->numbers;
  l->opened_ms = l->used_ms = now_ms;
  if (b) mg_bind_join(b, l);
  c->stats.links_opened++;
  up->stats.links_opened++;
  mg_breaker_opened(l);
  mg_known_lists(l, now_ms);
  if (mg_place_put(l) == MCPGW_OK && mg_handshake_start(l, now_ms) == MCPGW_OK) return l;
  mg_link_die(l, "the handshake could not be sent", MCPGW_DELIVERED_NO, 0, now_ms);
  why->text = up->error;
  return NULL;
}

static int may_open(struct mg_upstream *up, int modern, const struct mg_bind *b, uint64_t now_ms, struct mg_fault *why) {
  if (up->core->ending) {
    why->text = "the gateway is stopping";
    return 0;
  }
  if (modern && up->speaks_modern < 0 && up->cfg->era != MG_ERA_LEGACY && now_ms >= up->probe_ms) up->speaks_modern = 0;
  if (modern && up->speaks_modern < 0) {
    why->reason = 0;
    why->code = MG_RPC_VERSION;
    why->text = "Unsupported protocol version";
    return 0;
  }
  if (!modern && up->cfg->era == MG_ERA_MODERN) {
    why->text = "this upstream speaks 2026-07-28 only; connect with a client of that revision";
    return 0;
  }
  if (b && now_ms < b->refused_ms) {
    why->text = "this upstream refused the session's initialize";
    return 0;
  }
  return mg_breaker_may_open(up, now_ms, why);
}

/* Contexts are bound to what they use, so that its end can be told to them; a shared modern link, stateless by
 * contract, has none of them. */
static int needs_bind(const struct mg_upstream *up, const struct mg_ctx *ctx) {
  return ctx && (!ctx->modern || mg_scope(up, 1) != MG_ISO_SHARED);
}

struct mg_link *mg_link_get(struct mg_core *c, struct mg_ctx *ctx, size_t upstream, uint64_t now_ms,
                            struct mg_fault *why) {
  struct mg_upstream *up = c->ups[upstream];
  struct mg_bind *b = needs_bind(up, ctx) ? mg_bind_make(ctx, up) : NULL;
  struct mg_link *l = mg_place_get(up, ctx);
  *why = (struct mg_fault){
      .reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO, .upstream = up->cfg->name};
  if (!b && needs_bind(up, ctx)) {
    why->reason = MG_WHY_OVERLOADED;
    why->text = "out of memory";
    return NULL;
  }
  if (l && b && !b->link) {
    mg_bind_join(b, l);
    if (l->state == MG_LINK_READY) mg_link_joined(l, ctx, now_ms);
  }
  if (l) return l;
  if (!may_open(up, !ctx || ctx->modern, b, now_ms, why)) return NULL;
  if (!mg_place_room(up, now_ms, why)) {
    up->crowded = 1;
    snprintf(up->error, sizeof up->error, "upstream \"%s\": %s", up->cfg->name, why->text);
    return NULL;
  }
  return link_open(up, ctx, b, now_ms, why);
}

struct mg_link *mg_link_peek(struct mg_core *c, struct mg_ctx *ctx, size_t upstream) {
  struct mg_upstream *up = c->ups[upstream];
  const struct mg_bind *b = mg_bind_find(ctx, up);
  struct mg_link *l = needs_bind(up, ctx) ? (b ? b->link : NULL) : up->shared[1];
  return l && l->state == MG_LINK_READY ? l : NULL;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* The text is kept apart: what fails may open the upstream's next link, which has no error yet. */
static void fail_legs(struct mg_link *l, struct mg_fault *f, uint32_t delivered, uint64_t now_ms) {
  struct mg_leg *leg;
  size_t it = 0;
  int reason = f->reason;
  char text[MG_ERR_MAX];
  snprintf(text, sizeof text, "%s", f->text);
  f->text = text;
  while ((leg = mg_map_next(l->legs, &it, NULL))) {
    int unknown = delivered != MCPGW_DELIVERED_NO && mg_leg_delivered(leg) != (int)MCPGW_DELIVERED_NO;
    f->delivered = unknown ? mg_leg_delivered(leg) : (int)MCPGW_DELIVERED_NO;
    f->reason = unknown && leg->method == MG_M_TOOLS_CALL && reason == MG_WHY_UPSTREAM_UNAVAILABLE ? MG_WHY_OUTCOME_UNKNOWN : reason;
    mg_leg_fail(leg, f, now_ms);
    it = 0;
  }
}

static void to_graveyard(struct mg_link *l, int graceful, int lost) {
  mg_place_clear(l, lost);
  l->up->n_links--;
  mg_list_del(&l->node);
  mg_list_add(&l->core->graveyard, &l->node);
  l->core->ports->link_close(l->port, graceful);
  l->port = NULL;
  mg_gates_flush(&l->own);
}

static void wake_all(struct mg_link *l, uint64_t now_ms) {
  for (int k = 0; k < MG_LIST_KINDS; k++) {
    struct mg_list *at = NULL;
    for (struct mg_table *t; (t = mg_audience_next(l, k, &at));) mg_wake(&t->waiters, now_ms);
  }
  mg_wake(&l->waiters, now_ms);
}

void mg_link_die(struct mg_link *l, const char *why, uint32_t delivered, int graceful, uint64_t now_ms) {
  struct mg_upstream *up = l->up;
  int was_ready = l->state == MG_LINK_READY;
  if (l->state == MG_LINK_DEAD) return;
  mg_link_set_state(l, MG_LINK_DEAD);
  if (mg_slice_starts(mg_slice_z(why), MG_LIT("upstream \""))) snprintf(up->error, sizeof up->error, "%s", why);
  else snprintf(up->error, sizeof up->error, "upstream \"%s\": %s", up->cfg->name, why);
  mg_log(l->core->log, MG_LOG_WARN, "link.lost", "upstream", up->cfg->name, "reason", why, "context",
         mg_ctx_tag(l->ctx), (char *)0);
  up->crowded = 0;
  l->core->stats.links_lost++;
  up->stats.links_lost++;
  if (!l->forgiven) mg_breaker_lost(l, was_ready, now_ms);
  if (!l->forgiven && !graceful) mg_suspect_death(l, now_ms);
  to_graveyard(l, graceful, was_ready && l->stateful);
  mg_reverse_drop_link(l);
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .upstream = up->cfg->name, .text = up->error};
  fail_legs(l, &f, delivered, now_ms);
  wake_all(l, now_ms);
}

/* The least missed one, without a call in flight: its contexts get a fresh link when they need one. */
void mg_link_reap(struct mg_link *l, uint64_t now_ms) {
  mg_log(l->core->log, MG_LOG_INFO, "link.reaped", "upstream", l->up->cfg->name, "context", mg_ctx_tag(l->ctx),
         "text", l->stateful ? "its state is lost" : "it had no state", (char *)0);
  l->core->stats.links_reaped++;
  mg_link_set_state(l, MG_LINK_DEAD);
  to_graveyard(l, 1, l->stateful);
  mg_reverse_drop_link(l);
  wake_all(l, now_ms);
}

/* The end that we want: what is under way is told so. */
void mg_link_bury(struct mg_link *l, int graceful) {
  struct mg_fault f = {.reason = MG_WHY_CONTEXT_ENDED, .upstream = l->up->cfg->name, .text = "the conversation was ended"};
  if (l->core->ending) {
    f.reason = MG_WHY_UPSTREAM_UNAVAILABLE;
    f.text = "the gateway is stopping";
  }
  if (l->state == MG_LINK_DEAD) return;
  mg_link_set_state(l, MG_LINK_DEAD);
  mg_breaker_left(l);
  mg_reverse_drop_link(l);
  to_graveyard(l, graceful, 0);
  fail_legs(l, &f, MCPGW_DELIVERED_UNKNOWN, 0);
  wake_all(l, 0); /* who waited for a shared link finds no other: the gateway is ending */
}

void mg_link_retire(struct mg_link *l, uint64_t now_ms) {
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .upstream = l->up->cfg->name,
                       .text = "the server was removed from the configuration, or its entry there changed"};
  if (l->state == MG_LINK_DEAD) return;
  mg_link_set_state(l, MG_LINK_DEAD);
  mg_breaker_left(l);
  mg_reverse_drop_link(l);
  to_graveyard(l, 1, 0);
  fail_legs(l, &f, MCPGW_DELIVERED_UNKNOWN, now_ms);
  wake_all(l, now_ms);
}

/* ---- sending --------------------------------------------------------------------------------------------- */

static mcpgw_message message(struct mg_link *l, uint32_t kind, uint64_t call, mg_blob *bytes) {
  return (mcpgw_message){.struct_size = sizeof(mcpgw_message),
                         .kind = kind,
                         .call = call,
                         .bytes = bytes,
                         .revision = mg_revision_name(l->revision),
                         .modern = (uint32_t)l->modern,
                         .connect_ms = l->up->cfg->timeouts.connect_ms};
}

int mg_link_send(struct mg_link *l, const struct mg_leg *leg, mg_blob *bytes, const mcpgw_header *headers, size_t n) {
  if (l->state == MG_LINK_DEAD) return MCPGW_E_CLOSED;
  mcpgw_message m = message(l, MCPGW_SEND_REQUEST, leg->id, bytes);
  m.handshake = leg->method == MG_M_INITIALIZE;
  m.long_lived = leg->method == MG_M_LISTEN;
  if (leg->connect_ms) m.connect_ms = leg->connect_ms;
  m.headers = headers;
  m.n_headers = n;
  return l->core->ports->link_send(l->port, &m);
}

int mg_link_notify(struct mg_link *l, mg_blob *bytes) {
  if (l->state == MG_LINK_DEAD) return MCPGW_E_CLOSED;
  mcpgw_message m = message(l, MCPGW_SEND_NOTIFICATION, 0, bytes);
  return l->core->ports->link_send(l->port, &m);
}

int mg_link_respond(struct mg_link *l, mg_blob *bytes) {
  if (l->state == MG_LINK_DEAD) return MCPGW_E_CLOSED;
  mcpgw_message m = message(l, MCPGW_SEND_RESPONSE, 0, bytes);
  return l->core->ports->link_send(l->port, &m);
}
