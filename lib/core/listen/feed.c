/* core/listen/feed: owns what the listeners of one modern upstream share: who shares, what all of them wish together,
 * when a stream is opened for it (tap.c) and when it is let go. A wider wish opens the new stream before the
 * old one is closed, so nothing falls between; what comes twice is harmless. */
#include "core/listen/feed.h"

#define WISH_COPIES 3   /* the listener's own; what was asked for; what was granted */
#define LINGER_MS 5000  /* after the last listener has gone */
#define NARROW_MS 30000 /* after one has gone: what nobody wishes any more is then left out */

/* An upstream with isolation is spoken to on the context's link: nobody else may hear what comes there. */
static uint64_t owner_of(const struct mg_sub *sub, const struct mg_upstream *up) {
  return mg_scope(up, 1) == MG_ISO_SHARED ? 0 : mg_listen_ctx(sub)->number;
}

/* Whether a listener may be served by this feed. Modern upstreams are stateless by contract: what one caller's
 * subscription brings is what any other's would bring. Where that is not so (an upstream that is called with
 * its caller's own token, lists of cacheScope "private" that are filtered by policy) this is where to say it. */
static int may_share(const struct mg_feed *f, const struct mg_sub *sub, const mg_blob *own) {
  return !f->own && !own && f->owner == owner_of(sub, f->up) && f->n_uris + mg_filter_uris(&sub->wish) <= MG_FEED_URIS;
}

void mg_feed_look_by(struct mg_feed *f, uint64_t at_ms) {
  if (at_ms < f->due.at_ms) mg_heap_set(&f->up->core->feeds, &f->due, at_ms); /* it stands in the heap: cannot fail */
}

/* ---- joining and leaving ------------------------------------------------------------------------------- */

static void feed_free(struct mg_feed *f) {
  mg_tap_close(f->next);
  mg_tap_close(f->now);
  mg_heap_del(&f->up->core->feeds, &f->due);
  mg_list_del(&f->node);
  mg_blob_unref(f->own);
  mg_free(f);
}

static struct mg_feed *feed_new(struct mg_upstream *up, mg_blob *own) {
  struct mg_feed *f = mg_calloc(1, sizeof *f);
  if (!f) return NULL;
  f->up = up;
  if (mg_heap_set(&up->core->feeds, &f->due, UINT64_MAX) != MCPGW_OK) {
    mg_free(f);
    return NULL;
  }
  mg_list_init(&f->subs);
  mg_list_add(&up->feeds, &f->node);
  f->own = own ? mg_blob_ref(own) : NULL;
  return f;
}

void mg_feed_promote(struct mg_feed *f, struct mg_sub *sub, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_filter share = {0, NULL};
  sub->waits = 0;
  f->n_waiting--;
  if (mg_filter_common(&share, &sub->wish, &f->now->granted) != MCPGW_OK)
    mg_log(f->up->core->log, MG_LOG_WARN, "listen.short", "upstream", f->up->cfg->name, "text",
           "no memory to acknowledge all that was granted", (char *)0);
  mg_listen_granted(sub, &share, bytes, m);
  mg_filter_done(&share);
}

int mg_feed_join(struct mg_sub *sub, struct mg_upstream *up, mg_blob *own, int late) {
  struct mg_feed *f = NULL;
  struct mg_list *node = up->feeds.next;
  for (; node != &up->feeds && !f; node = node->next) {
    struct mg_feed *other = MG_CONTAINER(node, struct mg_feed, node);
    if (may_share(other, sub, own)) f = other;
  }
  size_t bytes = WISH_COPIES * mg_filter_bytes(&sub->wish);
  int rc = mg_budget_take(up->core->budget, bytes);
  if (rc == MCPGW_OK && !f && !(f = feed_new(up, own))) {
    mg_budget_give(up->core->budget, bytes);
    rc = MCPGW_E_NOMEM;
  }
  if (rc != MCPGW_OK) return rc;
  sub->charged = bytes;
  f->owner = owner_of(sub, up);
  sub->feed = f;
  mg_list_add(&f->subs, &sub->node);
  f->n++;
  f->idle_ms = 0;
  f->n_uris += mg_filter_uris(&sub->wish);
  if (late) {
    f->gap = 1;
    if (!f->want_ms) f->want_ms = 1;
  } else {
    sub->waits = 1;
    f->n_waiting++;
  }
  if (sub->waits && f->now && mg_filter_covers(&f->now->asked, &sub->wish)) mg_feed_promote(f, sub, NULL, NULL);
  else mg_feed_look_by(f, f->next ? f->next->since_ms + MG_FEED_SILENT_MS : 0);
  return MCPGW_OK;
}

void mg_feed_leave(struct mg_sub *sub) {
  struct mg_feed *f = sub->feed;
  if (f) {
    mg_list_del(&sub->node);
    mg_budget_give(f->up->core->budget, sub->charged);
    sub->charged = 0;
    f->n--;
    f->n_waiting -= sub->waits != 0;
    f->n_uris -= mg_filter_uris(&sub->wish);
    if (!f->narrow_ms) f->narrow_ms = UINT64_MAX; /* NARROW_MS from the next look on */
    mg_feed_look_by(f, 0);
  }
  mg_filter_done(&sub->wish);
  sub->feed = NULL;
  sub->waits = 0;
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

static int could_be_narrower(struct mg_feed *f) {
  struct mg_filter all = {0, NULL};
  int rc = MCPGW_OK;
  for (struct mg_list *n = f->subs.next; rc == MCPGW_OK && n != &f->subs; n = n->next)
    rc = mg_filter_add(&all, &mg_sub_of(n)->wish);
  int yes = rc == MCPGW_OK && f->now && !mg_filter_covers(&all, &f->now->asked);
  mg_filter_done(&all);
  return yes;
}

/* A stream that stays unacknowledged may not keep those waiting who came after it was opened. */
static int holds_up(struct mg_feed *f, uint64_t now_ms) {
  if (!f->next || !f->n_waiting || now_ms < f->next->since_ms + MG_FEED_SILENT_MS) return 0;
  for (struct mg_list *n = f->subs.next; n != &f->subs; n = n->next)
    if (mg_sub_of(n)->waits && !mg_filter_covers(&f->next->asked, &mg_sub_of(n)->wish)) return 1;
  return 0;
}

static void look(struct mg_feed *f, uint64_t now_ms) {
  mg_heap_set(&f->up->core->feeds, &f->due, UINT64_MAX);
  if (!f->n) {
    if (!f->idle_ms) f->idle_ms = now_ms + LINGER_MS;
    if (f->own || f->owner || !(f->now || f->next) || now_ms >= f->idle_ms || f->up->core->draining) feed_free(f);
    else mg_feed_look_by(f, f->idle_ms);
    return;
  }
  if (f->narrow_ms == UINT64_MAX) f->narrow_ms = now_ms + NARROW_MS;
  if (f->narrow_ms && now_ms >= f->narrow_ms) {
    f->narrow_ms = 0;
    if (!f->next && could_be_narrower(f)) f->want_ms = now_ms ? now_ms : 1;
  }
  if (f->narrow_ms) mg_feed_look_by(f, f->narrow_ms);
  if (holds_up(f, now_ms)) {
    struct mg_tap *silent = f->next;
    f->next = NULL;
    mg_tap_close(silent);
  }
  if (f->next) return;
  if (f->n_waiting || (f->want_ms && now_ms >= f->want_ms)) mg_tap_open(f, now_ms);
  else if (f->want_ms) mg_feed_look_by(f, f->want_ms);
}

void mg_feed_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&c->feeds)) && top->at_ms <= now_ms) look(MG_CONTAINER(top, struct mg_feed, due), now_ms);
}

void mg_feed_drop(struct mg_upstream *up) {
  struct mg_list *node;
  while ((node = mg_list_first(&up->feeds))) feed_free(MG_CONTAINER(node, struct mg_feed, node));
}

void mg_feed_free_all(struct mg_core *c) {
  struct mg_list *node;
  for (size_t i = 0; c->ups && i < c->n_ups; i++)
    while (c->ups[i] && (node = mg_list_first(&c->ups[i]->feeds))) feed_free(MG_CONTAINER(node, struct mg_feed, node));
}

void mg_feed_changed(struct mg_upstream *up, unsigned flags) {
  for (struct mg_list *at = up->feeds.next, *after; at != &up->feeds; at = after) {
    struct mg_feed *f = MG_CONTAINER(at, struct mg_feed, node);
    after = at->next;
    for (struct mg_list *node = f->subs.next, *next; node != &f->subs; node = next) {
      struct mg_sub *sub = mg_sub_of(node);
      next = node->next; /* telling one may end its call, and no other */
      if (f->now && !sub->waits) mg_listen_changed(sub, sub->wish.flags & f->now->granted.flags & flags);
    }
  }
}
