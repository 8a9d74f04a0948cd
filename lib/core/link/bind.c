/* core/link/bind: owns who uses which link: a context's own (isolation `session`), its principal's, or everybody's.
 * A bind is a context at one upstream; it outlives the links it uses, and knows whether state was lost with the
 * last one (DESIGN §5, "Re-binding is explicit"). It must never give a context another one's link. */
#include <string.h>

#include "core/brain.h"

#define LOOK_MS 20 /* how soon, and how rarely at most, it is looked whether an error was written */
#define LOOK_MAX_MS 1000
#define REAP_IDLE_MS 10000 /* a stateful link is not taken from its context sooner */

int mg_scope(const struct mg_upstream *up, int modern) {
  if (up->cfg->isolation != MG_ISO_DEFAULT) return up->cfg->isolation;
  return modern ? MG_ISO_SHARED : MG_ISO_SESSION;
}

/* ---- binds ---------------------------------------------------------------------------------------------- */

struct mg_bind *mg_bind_find(const struct mg_ctx *ctx, const struct mg_upstream *up) {
  return ctx ? mg_sessions_bound(ctx->session, up->slot) : NULL;
}

struct mg_bind *mg_bind_make(struct mg_ctx *ctx, struct mg_upstream *up) {
  struct mg_bind *b = mg_bind_find(ctx, up);
  if (b) return b;
  b = mg_calloc(1, sizeof *b);
  if (!b) return NULL;
  b->ctx = ctx;
  b->up = up;
  if (mg_sessions_bind(ctx->session, up->slot, b) == MCPGW_OK) return b;
  mg_free(b);
  return NULL;
}

void mg_bind_join(struct mg_bind *b, struct mg_link *l) {
  b->link = l;
  mg_list_add(&l->binds, &b->in_link);
  l->n_binds++;
}

void mg_bind_part(struct mg_bind *b) {
  if (!b->link) return;
  mg_list_del(&b->in_link);
  b->link->n_binds--;
  b->link = NULL;
}

struct mg_bind *mg_bind_of(struct mg_list *in_link) {
  return MG_CONTAINER(in_link, struct mg_bind, in_link);
}

static void drop_notices(struct mg_bind *b) {
  for (size_t i = 0; i < MG_NOTICES; i++) {
    mg_blob_unref(b->notices[i]);
    b->notices[i] = NULL;
  }
  mg_list_del(&b->in_notices);
}

/* The context is over: what is its own ends, what it shares goes on without it. */
static void bind_end(struct mg_bind *b, uint64_t now_ms) {
  struct mg_link *l = b->link;
  if (l && l->scope == MG_ISO_SESSION) {
    mg_link_bury(l, 1);
  } else if (l) {
    mg_bind_part(b);
    mg_share_left(l, b->ctx, now_ms);
  }
  drop_notices(b);
  mg_free(b);
}

void mg_bind_end_all(struct mg_ctx *ctx, uint64_t now_ms) {
  struct mcpgw_session *s = ctx->session;
  struct mg_principal *p = s->principal;
  for (uint32_t slot = 0; slot < s->n_bound; slot++) {
    struct mg_bind *b = mg_sessions_unbind(s, slot);
    if (b) bind_end(b, now_ms);
  }
  for (size_t i = 0; !p->n && i < p->n_links; i++)
    if (p->links[i]) mg_link_bury(p->links[i], 1);
  mg_drain_context(ctx);
}

/* ---- places ------------------------------------------------------------------------------------------------- */

/* Where a link that several may use is kept. NULL: no memory. */
static struct mg_link **place(struct mg_upstream *up, struct mg_principal *p, int modern) {
  size_t i = 2 * (size_t)up->slot + (size_t)modern;
  if (!p) return &up->shared[modern];
  if (i >= p->n_links) {
    struct mg_link **grown = mg_realloc(p->links, (i + 1) * sizeof *grown);
    if (!grown) return NULL;
    memset(grown + p->n_links, 0, (i + 1 - p->n_links) * sizeof *grown);
    p->links = grown;
    p->n_links = i + 1;
  }
  return &p->links[i];
}

int mg_place_put(struct mg_link *l) {
  struct mg_link **at = l->scope == MG_ISO_SESSION ? NULL : place(l->up, l->owner, l->modern);
  if (l->scope == MG_ISO_SESSION) return MCPGW_OK;
  if (!at) return MCPGW_E_NOMEM;
  *at = l;
  return MCPGW_OK;
}

/* The link a context, or nobody in particular (NULL), would use now; NULL: there is none. */
struct mg_link *mg_place_get(struct mg_upstream *up, const struct mg_ctx *ctx) {
  int modern = !ctx || ctx->modern, scope = mg_scope(up, modern);
  struct mg_bind *b = mg_bind_find(ctx, up);
  if (b && b->link) return b->link;
  if (scope == MG_ISO_SHARED) return up->shared[modern];
  struct mg_principal *p = ctx && scope == MG_ISO_PRINCIPAL ? ctx->session->principal : NULL;
  size_t i = 2 * (size_t)up->slot + (size_t)modern;
  return p && i < p->n_links ? p->links[i] : NULL;
}

/* It is in nobody's hands any more. lost: those who used it are to be told. */
void mg_place_clear(struct mg_link *l, int lost) {
  struct mg_list *node;
  if (l->scope == MG_ISO_SHARED) {
    if (l->up->shared[l->modern] == l) l->up->shared[l->modern] = NULL;
  } else if (l->scope == MG_ISO_PRINCIPAL && !l->up->retired) {
    struct mg_link **at = place(l->up, l->owner, l->modern);
    if (at && *at == l) *at = NULL;
  }
  while ((node = mg_list_first(&l->binds))) {
    struct mg_bind *b = mg_bind_of(node);
    mg_bind_part(b);
    if (lost) b->lost = 1;
  }
}

/* ---- what was lost ---------------------------------------------------------------------------------------------- */

static int was_written(const struct mg_bind *b) {
  for (size_t i = 0; i < MG_NOTICES; i++)
    if (b->notices[i] && mg_blob_was_sent(b->notices[i])) return 1;
  return 0;
}

int mg_bind_lost(struct mg_bind *b) {
  if (!b || !b->lost) return 0;
  if (!was_written(b)) return 1;
  b->lost = 0;
  drop_notices(b);
  return 0;
}

void mg_bind_noticed(struct mg_bind *b, mg_blob *error, uint64_t now_ms) {
  struct mg_core *c = b->ctx->core;
  size_t i = 0;
  while (i < MG_NOTICES - 1 && b->notices[i]) i++;
  mg_blob_unref(b->notices[i]);
  b->notices[i] = error;
  if (!b->in_notices.next) mg_list_add(&c->notices, &b->in_notices);
  c->notice_wait_ms = LOOK_MS;
  c->notice_ms = now_ms + LOOK_MS;
}

/* Those nobody but us holds were dropped with their connection: they will not be written any more. */
static int may_be_written(struct mg_bind *b) {
  int left = 0;
  for (size_t i = 0; i < MG_NOTICES; i++) {
    if (!b->notices[i]) continue;
    if (mg_blob_refs(b->notices[i]) > 1) {
      left = 1;
    } else {
      mg_blob_unref(b->notices[i]);
      b->notices[i] = NULL;
    }
  }
  return left;
}

/* The client knows: if it had asked the upstream to remember something, a fresh link is opened for that now. */
static void told(struct mg_bind *b, uint64_t now_ms) {
  struct mg_fault why;
  mg_bind_lost(b);
  if (mg_restore_wanted(b->ctx, b->up)) mg_link_get(b->ctx->core, b->ctx, b->up->index, now_ms, &why);
}

void mg_bind_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_list look, *node;
  if (mg_list_empty(&c->notices) || now_ms < c->notice_ms) return;
  mg_list_init(&look);
  while ((node = mg_list_first(&c->notices))) {
    mg_list_del(node);
    mg_list_add(&look, node);
  }
  while ((node = mg_list_first(&look))) {
    struct mg_bind *b = MG_CONTAINER(node, struct mg_bind, in_notices);
    mg_list_del(node);
    if (was_written(b)) told(b, now_ms);
    else if (may_be_written(b)) mg_list_add(&c->notices, &b->in_notices);
  }
  c->notice_wait_ms = c->notice_wait_ms * 2 < LOOK_MAX_MS ? c->notice_wait_ms * 2 : LOOK_MAX_MS;
  c->notice_ms = now_ms + c->notice_wait_ms;
}

uint64_t mg_bind_next_ms(const struct mg_core *c) {
  return mg_list_empty(&c->notices) ? UINT64_MAX : c->notice_ms;
}

/* ---- a reload replaces or removes an upstream ---------------------------------------------------------------- */

int mg_bind_has_state(const struct mg_bind *b) {
  return b->lost || (b->link && b->link->state == MG_LINK_READY && b->link->stateful);
}

/* What was lost with the old one is told of the new one, for which a bind was made before if it is needed. */
void mg_bind_retire(struct mg_ctx *ctx, struct mg_upstream *old, struct mg_upstream *heir) {
  struct mg_bind *b = mg_sessions_unbind(ctx->session, old->slot);
  struct mg_bind *next = heir ? mg_bind_find(ctx, heir) : NULL;
  if (!b) return;
  if (next && mg_bind_has_state(b)) {
    next->lost = 1;
    memcpy(next->notices, b->notices, sizeof next->notices);
    memset(b->notices, 0, sizeof b->notices);
    if (b->in_notices.next) mg_list_add(&ctx->core->notices, &next->in_notices);
  }
  mg_bind_part(b);
  drop_notices(b);
  mg_free(b);
}

/* The links that a principal shares there are nobody's from now on. */
void mg_place_forget(struct mg_principal *p, const struct mg_upstream *up) {
  for (size_t i = 2 * (size_t)up->slot; i < 2 * (size_t)up->slot + 2 && i < p->n_links; i++) p->links[i] = NULL;
}

/* ---- ceilings ------------------------------------------------------------------------------------------------------- */

static uint64_t most_links(const struct mg_upstream *up) {
  const struct mg_cfg_limits *l = &up->cfg->limits;
  return up->cfg->kind == MG_SERVER_STDIO && l->children < l->links ? l->children : l->links;
}

static int has_subscriptions(const struct mg_link *l) {
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next)
    if (mg_restore_subscribed(mg_bind_of(n)->ctx, l->up)) return 1;
  return 0;
}

/* What would be missed if it went: nothing but time; state; state and what somebody listens to. -1: it is in use.
 * Few clients end their sessions: what one that has left would have missed counts for nothing. */
static int worth(const struct mg_link *l, uint64_t now_ms) {
  if (l->state != MG_LINK_READY || mg_map_count(l->legs) || !mg_list_empty(&l->waiters) || mg_reverse_waits(l)) return -1;
  if (l->ctx && l->ctx->left) return 0;
  if (has_subscriptions(l)) return now_ms < l->used_ms + REAP_IDLE_MS ? -1 : 2;
  if (l->stateful) return now_ms < l->used_ms + REAP_IDLE_MS ? -1 : 1;
  return 0;
}

static struct mg_link *least_missed(const struct mg_upstream *up, uint64_t now_ms) {
  struct mg_link *best = NULL;
  int best_worth = 0;
  for (struct mg_list *n = up->core->links.next; n != &up->core->links; n = n->next) {
    struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    int w = l->up == up ? worth(l, now_ms) : -1;
    if (w < 0 || (best && (w > best_worth || (w == best_worth && l->used_ms >= best->used_ms)))) continue;
    best = l;
    best_worth = w;
  }
  return best;
}

int mg_place_room(struct mg_upstream *up, uint64_t now_ms, struct mg_fault *why) {
  if (up->n_links < most_links(up)) return 1;
  struct mg_link *victim = least_missed(up, now_ms);
  if (victim) {
    mg_link_reap(victim, now_ms);
    return 1;
  }
  why->reason = MG_WHY_OVERLOADED;
  why->retry_after_ms = REAP_IDLE_MS;
  why->text = up->cfg->kind == MG_SERVER_STDIO ? "limits.children processes of this upstream are in use; try again later"
                                               : "limits.links conversations with this upstream are in use; try again later";
  return 0;
}
