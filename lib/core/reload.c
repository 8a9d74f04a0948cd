/* core/reload: owns the change from one configuration to another while everything runs. What is the same stays
 * as it is: links, lists, contexts. What is new or different gets an object of its own; what it replaces takes
 * no new requests and drains (drain.c). All memory is had before anything is changed. */
#include "core/reload.h"

#include <string.h>

#define NONE SIZE_MAX

struct mg_reload {
  struct mg_core *c;
  struct mg_config *next;   /* a reference */
  struct mg_upstream **ups; /* n of them, in the new order; those that are not kept are ours until the switch */
  unsigned char *kept;      /* by new index: the core's own, untouched */
  size_t n, *from, *to;     /* new index -> old one of the same name, old -> new; or NONE */
  size_t *leaving, n_leaving; /* old indexes of those that are replaced or removed */
  struct mg_relist *relists;
  struct mg_list relinks;   /* struct relink */
  struct mg_changes changes;
};

struct relink { /* a link whose context will see several servers: its lists matter from then on */
  struct mg_list node;
  struct mg_link *link;
  struct mg_table *lists;
};

/* ---- what becomes of each ------------------------------------------------------------------------------ */

static size_t find_old(const struct mg_core *c, const char *name) {
  for (size_t i = 0; i < c->n_ups; i++)
    if (!strcmp(c->ups[i]->cfg->name, name)) return i;
  return NONE;
}

/* The first number that no binding can have. */
static uint32_t free_slot(const struct mg_reload *r) {
  for (uint32_t slot = 0;; slot++) {
    size_t i = 0, k = 0;
    while (i < r->c->n_ups && r->c->ups[i]->slot != slot) i++;
    while (k < r->n && (!r->ups[k] || r->ups[k]->slot != slot)) k++;
    if (i == r->c->n_ups && k == r->n) return slot;
  }
}

static int match_one(struct mg_reload *r, size_t i) {
  struct mg_core *c = r->c;
  const struct mg_cfg_server *cfg = &r->next->servers[i];
  size_t old = find_old(c, cfg->name);
  int alike = mg_config_same_key(c->config, r->next, "separator"); /* it is part of every name that a list shows */
  r->from[i] = old;
  if (old != NONE) r->to[old] = i;
  if (old != NONE && alike && mg_config_same_server(c->ups[old]->cfg, cfg)) {
    r->ups[i] = c->ups[old];
    r->kept[i] = 1;
    r->changes.kept++;
    return MCPGW_OK;
  }
  if (old == NONE) r->changes.added++;
  else r->changes.changed++;
  return mg_upstream_new(c, r->next, i, free_slot(r), &r->ups[i]);
}

static int match(struct mg_reload *r) {
  size_t n_old = r->c->n_ups;
  int rc = MCPGW_OK;
  r->ups = mg_calloc(r->n + 1, sizeof *r->ups);
  r->kept = mg_calloc(r->n + 1, 1);
  r->from = mg_calloc(r->n + 1, sizeof *r->from);
  r->to = mg_calloc(n_old + 1, sizeof *r->to);
  r->leaving = mg_calloc(n_old + 1, sizeof *r->leaving);
  if (!r->ups || !r->kept || !r->from || !r->to || !r->leaving) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < n_old; i++) r->to[i] = NONE;
  for (size_t i = 0; i < r->n && rc == MCPGW_OK; i++) rc = match_one(r, i);
  for (size_t i = 0; i < n_old && rc == MCPGW_OK; i++) {
    r->changes.removed += r->to[i] == NONE;
    if (r->to[i] == NONE || !r->kept[r->to[i]]) r->leaving[r->n_leaving++] = i;
  }
  return rc;
}

static struct mg_upstream *heir_of(const struct mg_reload *r, size_t old) {
  return r->to[old] == NONE ? NULL : r->ups[r->to[old]];
}

/* Is what a view shows another thing now? */
static int is_affected(const struct mg_reload *r, struct mg_view v) {
  if (v.all) return r->n_leaving + r->changes.added > 0;
  return !v.n || r->to[v.first] == NONE || !r->kept[r->to[v.first]];
}

struct mg_view mg_reload_view(const struct mg_reload *r, struct mg_view v) {
  if (v.all) return (struct mg_view){0, r->n, 1};
  if (!v.n || v.first >= r->c->n_ups || r->to[v.first] == NONE) return (struct mg_view){0, 0, 0};
  return (struct mg_view){r->to[v.first], 1, 0};
}

/* ---- memory first ----------------------------------------------------------------------------------------- */

static int plan_context(struct mg_reload *r, struct mg_ctx *ctx) {
  for (size_t i = 0; i < r->n_leaving; i++) {
    struct mg_upstream *heir = heir_of(r, r->leaving[i]);
    struct mg_bind *b = mg_bind_find(ctx, r->c->ups[r->leaving[i]]);
    if (heir && b && mg_bind_has_state(b) && !mg_bind_make(ctx, heir)) return MCPGW_E_NOMEM;
  }
  return MCPGW_OK;
}

static int plan_contexts(struct mg_reload *r) {
  struct mcpgw_session *s;
  size_t it = 0;
  int rc = MCPGW_OK;
  while (rc == MCPGW_OK && (s = mg_map_next(r->c->sessions->by_id, &it, NULL))) rc = plan_context(r, s->user);
  return rc;
}

static int plan_links(struct mg_reload *r) {
  for (struct mg_list *n = r->c->links.next; n != &r->c->links; n = n->next) {
    struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    if (l->lists || r->n < 2 || !l->ctx || !l->ctx->view.all) continue;
    struct relink *one = mg_calloc(1, sizeof *one);
    if (!one) return MCPGW_E_NOMEM;
    mg_list_add(&r->relinks, &one->node);
    one->link = l;
    one->lists = mg_calloc(MG_LIST_KINDS, sizeof *one->lists);
    if (!one->lists) return MCPGW_E_NOMEM;
    for (int k = 0; k < MG_LIST_KINDS; k++) mg_list_init(&one->lists[k].waiters);
  }
  return MCPGW_OK;
}

int mg_reload_plan(struct mg_core *c, struct mg_config *next, struct mg_reload **out) {
  struct mg_reload *r = mg_calloc(1, sizeof *r);
  if (!r) return MCPGW_E_NOMEM;
  r->c = c;
  r->next = mg_config_ref(next);
  r->n = next->n_servers;
  mg_list_init(&r->relinks);
  int rc = match(r);
  if (rc == MCPGW_OK) rc = plan_contexts(r);
  if (rc == MCPGW_OK) rc = plan_links(r);
  if (rc == MCPGW_OK) rc = mg_relist_plan(c, r->n, &r->relists);
  if (rc == MCPGW_OK) *out = r;
  else mg_reload_drop(r);
  return rc;
}

static void free_relinks(struct mg_reload *r) {
  struct mg_list *node;
  while ((node = mg_list_first(&r->relinks))) {
    struct relink *one = MG_CONTAINER(node, struct relink, node);
    mg_list_del(node);
    mg_free(one->lists);
    mg_free(one);
  }
}

static void reload_free(struct mg_reload *r) {
  free_relinks(r);
  mg_relist_free(r->relists);
  mg_config_unref(r->next);
  mg_free(r->ups);
  mg_free(r->kept);
  mg_free(r->from);
  mg_free(r->to);
  mg_free(r->leaving);
  mg_free(r);
}

void mg_reload_drop(struct mg_reload *r) {
  struct mcpgw_session *s;
  if (!r) return;
  for (size_t i = 0; r->ups && i < r->n; i++) {
    size_t it = 0;
    if (!r->ups[i] || r->kept[i]) continue;
    while ((s = mg_map_next(r->c->sessions->by_id, &it, NULL))) mg_free(mg_sessions_unbind(s, r->ups[i]->slot));
    mg_upstream_free(r->ups[i]);
  }
  reload_free(r);
}

const struct mg_changes *mg_reload_changes(const struct mg_reload *r) {
  return &r->changes;
}

/* ---- the switch: nothing below can fail --------------------------------------------------------------------- */

/* Before views change: whether the notification was promised hangs on what was shown till now. */
static void tell_context(const struct mg_reload *r, struct mg_ctx *ctx) {
  if (ctx->modern || !ctx->answered || !is_affected(r, ctx->view)) return;
  if (ctx->view.n > 1) {
    for (int kind = MG_LIST_TOOLS; kind <= MG_LIST_RESOURCES; kind++) mg_ctx_emit_changed(ctx, kind);
    return;
  }
  struct mg_bind *b = ctx->view.n ? mg_bind_find(ctx, r->c->ups[ctx->view.first]) : NULL;
  if (b && b->link) mg_link_tell_changed(b->link, ctx);
}

/* What points to an object that leaves points to its heir, or is forgotten. */
static void pass_on(struct mg_map *owners, const struct mg_upstream *old, struct mg_upstream *heir) {
  struct mg_slice key;
  size_t it = 0;
  void *owner;
  while (owners && (owner = mg_map_next(owners, &it, &key))) {
    if (owner != old) continue;
    if (heir) mg_map_set(owners, key, heir);
    else mg_map_del(owners, key);
  }
}

static void move_context(const struct mg_reload *r, struct mg_ctx *ctx) {
  for (size_t i = 0; i < r->n_leaving; i++) {
    struct mg_upstream *old = r->c->ups[r->leaving[i]], *heir = heir_of(r, r->leaving[i]);
    pass_on(ctx->tasks, old, heir);
    pass_on(ctx->subscriptions, old, heir);
    mg_bind_retire(ctx, old, heir);
  }
  ctx->view = mg_reload_view(r, ctx->view);
}

static void move_contexts(const struct mg_reload *r) {
  struct mcpgw_session *s;
  struct mg_principal *p;
  size_t it = 0;
  while ((s = mg_map_next(r->c->sessions->by_id, &it, NULL))) {
    tell_context(r, s->user);
    move_context(r, s->user);
  }
  for (it = 0; (p = mg_map_next(r->c->sessions->principals, &it, NULL));)
    for (size_t i = 0; i < r->n_leaving; i++) mg_place_forget(p, r->c->ups[r->leaving[i]]);
}

static void is_gone(struct mg_call *call, uint64_t now_ms) {
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO,
                       .text = "the server was removed from the configuration"};
  (void)now_ms;
  mg_call_fail(call, &f);
}

/* A call that has not been sent is looked at from its start again, with new eyes. */
static void review(const struct mg_reload *r, struct mg_call *call) {
  call->view = mg_reload_view(r, call->view);
  if (!call->view.n && !call->view.all) call->step = is_gone;
  if (call->n_legs || !call->step) return; /* it is under way, and may finish where it is */
  if (call->pauses) return;                /* its next attempt is one at what is there then */
  if (call->once.stage == MG_ONCE_WAITS || call->once.stage == MG_ONCE_STORES) return; /* the store will wake it */
  for (size_t i = 0; i < call->n_waiters; i++) mg_list_del(&call->waiters[i].node);
  mg_free(call->waiters); /* as many as the old view needed */
  call->waiters = NULL;
  call->n_waiters = call->waiting = 0;
  mg_gate_leave(call);
  mg_cache_asked(call);
  call->up = NULL;
  call->rule = 0;
  mg_list_add(&call->core->ready, &call->ready);
}

static void review_calls(const struct mg_reload *r) {
  for (struct mg_list *n = r->c->calls.next; n != &r->c->calls; n = n->next) {
    struct mg_call *call = MG_CONTAINER(n, struct mg_call, in_core);
    if (!call->listen) review(r, call);
  }
}

static void move_links(struct mg_reload *r) {
  for (struct mg_list *n = r->relinks.next; n != &r->relinks; n = n->next) {
    struct relink *one = MG_CONTAINER(n, struct relink, node);
    one->link->lists = one->lists;
    one->lists = NULL;
    for (int k = 0; k < MG_LIST_KINDS; k++) mg_list_init(&one->link->lists[k].waiters); /* heads point to themselves */
  }
}

static void install(struct mg_reload *r, uint64_t now_ms) {
  struct mg_core *c = r->c;
  struct mg_upstream **old = c->ups;
  for (size_t i = 0; i < r->n_leaving; i++) mg_drain_begin(c, old[r->leaving[i]], heir_of(r, r->leaving[i]), now_ms);
  for (size_t i = 0; i < r->n; i++) {
    r->ups[i]->index = i;
    r->ups[i]->cfg = &r->next->servers[i];
    mg_config_ref(r->next);
    mg_config_unref(r->ups[i]->config);
    r->ups[i]->config = r->next;
  }
  c->ups = r->ups;
  c->n_ups = r->n;
  c->epoch++;
  r->ups = NULL;
  mg_free(old);
  mg_config_unref(c->config);
  c->config = mg_config_ref(r->next);
}

/* Whatever the file of pins held before: it has been read again. */
static void judge_lists(struct mg_core *c, int had_pins) {
  if (!had_pins && c->config->pin.mode == MG_PIN_OFF) return;
  for (struct mg_list *n = c->links.next; n != &c->links; n = n->next) mg_pin_again(MG_CONTAINER(n, struct mg_link, node));
}

void mg_reload_commit(struct mg_reload *r, uint64_t now_ms) {
  struct mg_core *c = r->c;
  int had_pins = c->config->pin.mode != MG_PIN_OFF;
  struct mg_refit fit = {r->from, r->kept, r->n};
  review_calls(r);
  move_contexts(r);
  move_links(r);
  /* views by the old indexes, while those still count */
  mg_relist_views(r->relists, r);
  install(r, now_ms);
  judge_lists(c, had_pins);
  mg_relist_commit(r->relists, &fit);
  mg_drain_feeds(c);
  mg_contexts_limits(c);
  mg_drain_tick(c, now_ms);
  reload_free(r);
}
