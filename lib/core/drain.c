/* core/drain: owns upstreams that a reload has replaced or removed. They take no new request; calls that are
 * under way finish within their own limits, then links end, and with the last of them the object goes. */
#include "core/reload.h"

#define LOOK_MS 50 /* how often it is looked whether a link is idle */

static uint64_t longest_call_ms(const struct mg_cfg_server *cfg) {
  uint64_t ms = cfg->timeouts.total_ms;
  for (size_t i = 0; i < cfg->n_tools; i++)
    if (cfg->tools[i].timeouts.total_ms > ms) ms = cfg->tools[i].timeouts.total_ms;
  return ms;
}

void mg_drain_begin(struct mg_core *c, struct mg_upstream *up, struct mg_upstream *heir, uint64_t now_ms) {
  /* what was learned by asking the old one may still hold for the new one; where it does not, it shows */
  up->retired = 1;
  up->index = SIZE_MAX;
  up->slot = UINT32_MAX;
  up->heir = heir;
  up->shared[0] = up->shared[1] = NULL;
  up->drain_ms = now_ms + longest_call_ms(up->cfg);
  for (struct mg_list *n = c->retired.next; n != &c->retired; n = n->next) {
    struct mg_upstream *older = MG_CONTAINER(n, struct mg_upstream, node);
    if (older->heir == up) older->heir = heir;
  }
  mg_list_add(&c->retired, &up->node);
  mg_log(c->log, MG_LOG_INFO, "upstream.draining", "upstream", up->cfg->name, "text",
         heir ? "its entry changed; new requests go to a fresh one" : "it was removed from the configuration", (char *)0);
}

void mg_drain_feeds(struct mg_core *c) {
  for (struct mg_list *n = c->retired.next; n != &c->retired; n = n->next) mg_feed_drop(MG_CONTAINER(n, struct mg_upstream, node));
}

static int carries_calls(const struct mg_link *l) {
  struct mg_leg *leg;
  size_t it = 0;
  while ((leg = mg_map_next(l->legs, &it, NULL)))
    if (leg->call) return 1;
  return 0;
}

/* Ends those that are idle, or all of them when the time is over. How many are left? */
static size_t end_links(struct mg_upstream *up, uint64_t now_ms) {
  struct mg_core *c = up->core;
  struct mg_list *n = c->links.next;
  size_t left = 0;
  while (n != &c->links) {
    struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    n = n->next;
    if (l->up != up) continue;
    int busy = carries_calls(l);
    if (busy && now_ms < up->drain_ms) {
      left++;
      continue;
    }
    mg_link_retire(l, now_ms);
    if (c->graveyard.prev == &l->node) continue;
    n = c->links.next; /* calls that failed or waited with it have ended other links: n may lie in the graveyard too */
    left = 0;
  }
  for (n = c->graveyard.next; n != &c->graveyard; n = n->next) left += MG_CONTAINER(n, struct mg_link, node)->up == up;
  return left;
}

static void drained(struct mg_upstream *up) {
  struct mg_core *c = up->core;
  for (struct mg_list *n = c->calls.next; n != &c->calls; n = n->next) {
    struct mg_call *call = MG_CONTAINER(n, struct mg_call, in_core);
    if (call->up != up) continue;
    call->up = NULL; /* it goes on elsewhere */
    call->rule = 0;
  }
  mg_log(c->log, MG_LOG_INFO, "upstream.drained", "upstream", up->cfg->name, (char *)0);
  mg_list_del(&up->node);
  mg_upstream_free(up);
}

/* Contexts that had nothing but a server that is gone. */
static void end_contexts(struct mg_core *c) {
  struct mcpgw_session *s;
  size_t it = 0;
  while ((s = mg_map_next(c->sessions->by_id, &it, NULL))) {
    struct mg_ctx *ctx = s->user;
    if (ctx->view.all || ctx->view.n || ctx->n_calls) continue;
    mg_sessions_end(s, "its server was removed from the configuration");
    it = 0;
  }
}

void mg_drain_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_list *n = c->retired.next;
  if (n == &c->retired) return;
  while (n != &c->retired) {
    struct mg_upstream *up = MG_CONTAINER(n, struct mg_upstream, node);
    n = n->next;
    if (!end_links(up, now_ms)) drained(up);
  }
  end_contexts(c);
  c->drain_look_ms = now_ms + LOOK_MS;
}

uint64_t mg_drain_next_ms(const struct mg_core *c) {
  return mg_list_empty(&c->retired) ? UINT64_MAX : c->drain_look_ms;
}

void mg_drain_free_all(struct mg_core *c) {
  struct mg_list *node;
  while (c->retired.next && (node = mg_list_first(&c->retired))) {
    mg_list_del(node);
    mg_upstream_free(MG_CONTAINER(node, struct mg_upstream, node));
  }
}

/* A context is over: so is what it still had there. */
void mg_drain_context(struct mg_ctx *ctx) {
  struct mg_core *c = ctx->core;
  const struct mg_principal *p = ctx->session->principal;
  struct mg_list *n = c->links.next;
  if (mg_list_empty(&c->retired)) return;
  while (n != &c->links) {
    struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    n = n->next;
    if (!l->up->retired || (l->ctx != ctx && !(l->owner && l->owner == p && !p->n))) continue;
    mg_link_bury(l, 1);
    n = c->links.next;
  }
}
