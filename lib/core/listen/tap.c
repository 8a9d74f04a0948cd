/* core/listen/tap: owns the streams that the gateway itself keeps open with subscriptions/listen at modern upstreams,
 * for a feed: what is sent, what comes, and how one that is lost is opened again (backoff, jitter); who stayed
 * is then told that lists may have changed. */
#include <stdio.h>

#include "core/listen/feed.h"

#define OPENING_MS 200 /* how often a link that is being opened is looked at */
#define BACKOFF_MS 500
#define BACKOFF_MAX_MS 30000
#define TEXT_MAX ((size_t)8 << 20)

struct mg_sub *mg_sub_of(struct mg_list *node) {
  return MG_CONTAINER(node, struct mg_sub, node);
}

static void tap_free(struct mg_tap *t) {
  mg_filter_done(&t->asked);
  mg_filter_done(&t->granted);
  mg_free(t);
}

void mg_tap_close(struct mg_tap *t) {
  if (!t) return;
  mg_leg_cancel(t->leg, mg_slice(NULL, 0));
  tap_free(t);
}

/* Those it concerns: who waits for this stream, and who has no other. What they are told may end them, so
 * each is back in its place before it hears. */
static struct mg_sub *next_concerned(struct mg_feed *f, const struct mg_tap *t, struct mg_list *left) {
  struct mg_list *node;
  while ((node = mg_list_first(left))) {
    struct mg_sub *sub = mg_sub_of(node);
    mg_list_del(node);
    mg_list_add(&f->subs, node);
    if (sub->waits ? !t || mg_filter_covers(&t->asked, &sub->wish) : !f->now) return sub;
  }
  return NULL;
}

static void all_subs(struct mg_feed *f, struct mg_list *out) {
  struct mg_list *node;
  mg_list_init(out);
  while ((node = mg_list_first(&f->subs))) {
    mg_list_del(node);
    mg_list_add(out, node);
  }
}

/* ---- failing --------------------------------------------------------------------------------------------- */

static void again_later(struct mg_feed *f, uint64_t not_before_ms, uint64_t now_ms) {
  unsigned shift = f->failures < 6 ? f->failures : 6;
  uint64_t wait = (uint64_t)BACKOFF_MS << shift;
  if (wait > BACKOFF_MAX_MS) wait = BACKOFF_MAX_MS;
  f->failures++;
  f->gap = 1;
  f->want_ms = now_ms + wait / 2 + mg_jitter(wait / 2);
  if (f->want_ms < not_before_ms) f->want_ms = not_before_ms;
  mg_feed_look_by(f, f->want_ms);
}

/* everybody: those too who had been served, and who stay as long as it is only an accident. */
static void tell_fault(struct mg_feed *f, const struct mg_tap *t, const struct mg_fault *why, int everybody) {
  struct mg_list left;
  struct mg_sub *sub;
  all_subs(f, &left);
  while ((sub = next_concerned(f, t, &left))) {
    if (!sub->waits && !everybody) continue;
    f->n_waiting -= sub->waits != 0;
    sub->waits = 0;
    mg_listen_fault(sub, why);
  }
}

static void forget_tap(struct mg_feed *f, const struct mg_tap *t, uint64_t now_ms) {
  if (f->now == t && now_ms > t->since_ms + BACKOFF_MAX_MS) f->failures = 0; /* it was a good one */
  if (f->now == t) f->now = NULL;
  else f->next = NULL;
}

/* The upstream ended it in due form, or refused it. */
static void on_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  struct mg_tap *t = leg->arg;
  struct mg_feed *f = t->feed;
  struct mg_list left;
  struct mg_sub *sub;
  (void)status;
  forget_tap(f, t, now_ms);
  mg_log(f->up->core->log, MG_LOG_INFO, "listen.ended", "upstream", f->up->cfg->name, "by",
         m->kind == MG_ERROR ? "error" : "result", (char *)0);
  all_subs(f, &left);
  while ((sub = next_concerned(f, t, &left))) {
    int waited = sub->waits;
    f->n_waiting -= waited != 0;
    sub->waits = 0;
    mg_listen_reply(sub, bytes, m, waited);
  }
  tap_free(t);
  again_later(f, 0, now_ms);
}

static void on_fail(struct mg_leg *leg, const struct mg_fault *why, uint64_t now_ms) {
  struct mg_tap *t = leg->arg;
  struct mg_feed *f = t->feed;
  forget_tap(f, t, now_ms);
  if (!f->up->core->ending) {
    if (f->n) {
      f->up->core->stats.listens_lost++;
      mg_log(f->up->core->log, MG_LOG_WARN, "listen.lost", "upstream", f->up->cfg->name, "text",
             why->text ? why->text : "", (char *)0);
    }
    tell_fault(f, t, why, t->taken_back);
    again_later(f, why->retry_after_ms ? now_ms + why->retry_after_ms : 0, now_ms);
  }
  tap_free(t);
}

static const struct mg_leg_ops tap_ops = {on_reply, on_fail};

/* ---- opening ----------------------------------------------------------------------------------------------- */

static int shared_message(const struct mg_tap *t, struct mg_buf *b) {
  mg_buf_addz(b, "{\"jsonrpc\":\"2.0\",\"id\":");
  mg_buf_addu(b, t->leg->id);
  mg_buf_addz(b, ",\"method\":\"subscriptions/listen\",\"params\":{\"_meta\":{");
  mg_build_modern_meta(b, MG_LIT(MG_GATEWAY_INFO), mg_slice(NULL, 0));
  mg_buf_addz(b, "},\"notifications\":");
  mg_filter_write(&t->asked, b);
  mg_buf_addz(b, "}}");
  return mg_buf_rc(b);
}

static int own_message(const struct mg_feed *f, const struct mg_tap *t, struct mg_buf *b) {
  struct mg_msg m;
  struct mg_wire_fault why;
  struct mg_splice sp;
  char number[24];
  struct mg_slice id = mg_slice(number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)t->leg->id));
  if (mg_wire_parse(mg_blob_slice(f->own), &m, &why) != MCPGW_OK) return MCPGW_E_INTERNAL;
  mg_splice_init(&sp);
  mg_splice_value(&sp, m.s[MG_S_ID], id);
  if (m.s[MG_S_META_PROGRESS].type != MG_JSON_NONE) mg_splice_value(&sp, m.s[MG_S_META_PROGRESS], id);
  return mg_splice_append(&sp, m.doc, b);
}

static int send_tap(struct mg_feed *f, struct mg_tap *t) {
  static const mcpgw_header header = {"Mcp-Method", "subscriptions/listen"};
  struct mg_buf b;
  mg_buf_init(&b, TEXT_MAX);
  int rc = f->own ? own_message(f, t, &b) : shared_message(t, &b);
  mg_blob *bytes = rc == MCPGW_OK ? mg_blob_copy(f->up->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  if (rc == MCPGW_OK) rc = bytes ? mg_leg_send(t->leg, bytes, &header, 1) : MCPGW_E_NOMEM;
  mg_blob_unref(bytes);
  return rc;
}

static int tap_open(struct mg_feed *f, struct mg_link *l, uint64_t now_ms) {
  struct mg_tap *t = mg_calloc(1, sizeof *t);
  int rc = t ? MCPGW_OK : MCPGW_E_NOMEM;
  if (!t) return rc;
  t->feed = f;
  t->since_ms = now_ms;
  for (struct mg_list *n = f->subs.next; rc == MCPGW_OK && n != &f->subs; n = n->next)
    rc = mg_filter_add(&t->asked, &mg_sub_of(n)->wish);
  if (rc == MCPGW_OK) rc = mg_leg_new(l, NULL, MG_M_LISTEN, &tap_ops, t, 0, now_ms, &t->leg);
  if (rc == MCPGW_OK) rc = send_tap(f, t);
  if (rc == MCPGW_OK) {
    f->next = t;
    return rc;
  }
  if (t->leg) mg_leg_free(t->leg);
  tap_free(t);
  return rc;
}

static void cannot_open(struct mg_feed *f, const struct mg_fault *why, uint64_t now_ms) {
  int for_good = !why->reason; /* it does not speak this revision any more */
  mg_log(f->up->core->log, MG_LOG_WARN, "listen.failed", "upstream", f->up->cfg->name, "text", why->text ? why->text : "",
         (char *)0);
  tell_fault(f, NULL, why, for_good);
  again_later(f, why->retry_after_ms ? now_ms + why->retry_after_ms : 0, now_ms);
}

void mg_tap_open(struct mg_feed *f, uint64_t now_ms) {
  struct mg_fault why;
  struct mg_ctx *ctx = f->owner ? mg_listen_ctx(mg_sub_of(f->subs.next)) : NULL; /* never empty: it is opened for somebody */
  struct mg_link *l = mg_link_get(f->up->core, ctx, f->up->index, now_ms, &why);
  if (!l) {
    cannot_open(f, &why, now_ms);
    return;
  }
  if (l->state == MG_LINK_OPENING) {
    mg_feed_look_by(f, now_ms + OPENING_MS);
    return;
  }
  f->want_ms = f->narrow_ms = 0;
  int rc = tap_open(f, l, now_ms);
  if (rc == MCPGW_OK) return;
  why = (struct mg_fault){.reason = rc == MCPGW_E_NOMEM || rc == MCPGW_E_LIMIT ? MG_WHY_OVERLOADED : MG_WHY_UPSTREAM_UNAVAILABLE,
                          .delivered = MCPGW_DELIVERED_NO, .upstream = f->up->cfg->name, .text = mg_rc_name(rc)};
  cannot_open(f, &why, now_ms);
}

/* ---- what it says -------------------------------------------------------------------------------------------- */

static void tell_gap(struct mg_feed *f) {
  struct mg_link *l = f->now->leg->link;
  f->gap = 0;
  for (int k = 0; k < MG_LIST_KINDS; k++) mg_catalog_stale(l, k); /* what changed meanwhile was not heard */
  size_t told = 0;
  for (struct mg_list *n = f->subs.next; n != &f->subs; n = n->next) {
    struct mg_sub *sub = mg_sub_of(n);
    if (sub->waits) continue;
    mg_listen_changed(sub, sub->wish.flags & f->now->granted.flags);
    told++;
  }
  if (!told) return;
  f->up->core->stats.listen_gaps++;
  mg_log(f->up->core->log, MG_LOG_INFO, "listen.back", "upstream", f->up->cfg->name, "text",
         "list_changed was sent; updates of resources meanwhile are lost", (char *)0);
}

static void acknowledged(struct mg_feed *f, struct mg_tap *t, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_tap *old = f->now;
  struct mg_list left;
  struct mg_list *node;
  f->now = t;
  f->next = NULL;
  f->want_ms = 0;
  t->since_ms = now_ms;
  mg_tap_close(old);
  if (f->gap) tell_gap(f);
  all_subs(f, &left);
  while ((node = mg_list_first(&left))) {
    struct mg_sub *sub = mg_sub_of(node);
    mg_list_del(node);
    mg_list_add(&f->subs, node);
    if (sub->waits && mg_filter_covers(&t->asked, &sub->wish)) mg_feed_promote(f, sub, bytes, m);
  }
  if (f->n_waiting || f->narrow_ms) mg_feed_look_by(f, 0);
}

static void on_ack(struct mg_feed *f, struct mg_tap *t, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_filter said = {0, NULL};
  struct mg_span filter;
  if (t != f->next) return; /* a second time */
  if (mg_json_get(m->doc, m->s[MG_S_PARAMS], "notifications", &filter) && filter.type == MG_JSON_OBJECT)
    mg_filter_read(&said, m->doc, filter, NULL);
  mg_filter_common(&t->granted, &said, &t->asked);
  mg_filter_done(&said);
  acknowledged(f, t, bytes, m, now_ms);
}

/* Hands it to those who wish for exactly this (2) or for what it is a part of (1). How many there were. */
static size_t hand_out(struct mg_feed *f, unsigned flag, struct mg_slice uri, int how, mg_blob *bytes, const struct mg_msg *m) {
  size_t n = 0;
  for (struct mg_list *node = f->subs.next; node != &f->subs; node = node->next) {
    struct mg_sub *sub = mg_sub_of(node);
    if (sub->waits || !(flag ? (sub->wish.flags & flag) != 0 : mg_filter_wants(&sub->wish, uri) == how)) continue;
    mg_listen_event(sub, bytes, m);
    n++;
  }
  return n;
}

static void deliver(struct mg_feed *f, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_buf scratch;
  struct mg_slice uri = mg_slice(NULL, 0);
  unsigned flag = mg_filter_flag(m->method);
  size_t n = 0;
  mg_buf_init(&scratch, (size_t)64 << 10);
  if (f->own && f->n) { /* alone it hears whatever is said */
    mg_listen_event(mg_sub_of(f->subs.next), bytes, m);
    n = 1;
  } else if (flag) {
    n = hand_out(f, flag, uri, 0, bytes, m);
  } else if (m->method == MG_M_N_UPDATED && mg_msg_text(m, MG_S_URI, &scratch, &uri) == MCPGW_OK) {
    n = hand_out(f, 0, uri, 2, bytes, m);
    if (!n) n = hand_out(f, 0, uri, 1, bytes, m);
  }
  if (!n && f->n) f->up->core->stats.dropped_notifications++; /* nobody asked for it */
  mg_buf_done(&scratch);
}

void mg_feed_notification(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_tap *t = leg->arg;
  struct mg_feed *f = t->feed;
  struct mg_link *l = leg->link;
  if (m->method == MG_M_N_CANCELLED) { /* the server tears this subscription down */
    struct mg_fault why = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_YES,
                           .upstream = f->up->cfg->name, .text = "the upstream ended the subscription"};
    uint64_t id = leg->id;
    t->taken_back = 1;
    mg_leg_fail(leg, &why, now_ms);
    if (l->state != MG_LINK_DEAD) l->core->ports->link_cancel(l->port, id);
    return;
  }
  if (m->method == MG_M_N_ACKNOWLEDGED) {
    on_ack(f, t, bytes, m, now_ms);
    return;
  }
  if (t == f->next) { /* it does not say what it grants: this, evidently */
    t->granted.flags |= mg_filter_flag(m->method) & t->asked.flags;
    acknowledged(f, t, NULL, NULL, now_ms);
  }
  deliver(f, bytes, m);
}
