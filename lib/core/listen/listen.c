/* core/listen/listen: owns the client's side of subscriptions/listen (2026-07-28, patterns/subscriptions): one
 * long-lived request, with a part in a feed (feed.c) of each upstream of its view. The acknowledgement comes
 * first; every message carries the subscription's id in the client's own spelling. A view of one upstream hears
 * what that says, its refusals included; where there are several, one that is not there is waited for. */
#include "core/listen/feed.h"
#include "core/reload.h"

#define TEXT_MAX ((size_t)8 << 20)

struct mg_listen {
  struct mg_call *call;
  struct mg_list node; /* in core->listeners */
  struct mg_filter granted;
  size_t waiting_acks;
  int acknowledged, started;
  struct mg_sub subs[]; /* one an upstream of the view */
};

void mg_listen_done(struct mg_call *call) {
  struct mg_listen *s = call->listen;
  for (size_t i = 0; i < call->view.n; i++) mg_feed_leave(&s->subs[i]);
  mg_list_del(&s->node);
  mg_filter_done(&s->granted);
  mg_free(s);
  call->listen = NULL;
}

static int is_alone(const struct mg_call *call) {
  return call->view.n == 1;
}

/* ---- towards the client ---------------------------------------------------------------------------------- */

/* A notification of the gateway's own; ends in _meta, or goes on with more (which begins with a comma). */
static int notify(struct mg_call *call, const char *method, struct mg_slice more) {
  struct mg_buf b;
  mg_buf_init(&b, TEXT_MAX);
  mg_buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"");
  mg_buf_addz(&b, method);
  mg_buf_addz(&b, "\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
  mg_buf_adds(&b, mg_text_slice(&call->id));
  mg_buf_addc(&b, '}');
  mg_buf_adds(&b, more);
  mg_buf_addz(&b, "}}");
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(call->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  mg_call_emit(call, bytes, 0, 200);
  return bytes ? MCPGW_OK : MCPGW_E_NOMEM;
}

/* Says it once. The granted filter is of no use afterwards. */
static int is_first(struct mg_listen *s) {
  if (s->acknowledged) return 0;
  s->acknowledged = 1;
  mg_heap_del(&s->call->core->gathers, &s->call->deadline);
  return 1;
}

/* 0: there was no memory for it, and the call is over: a client may not wait for ever. */
static int acknowledge(struct mg_listen *s) {
  struct mg_buf b;
  if (!is_first(s)) return 1;
  mg_buf_init(&b, TEXT_MAX);
  mg_buf_addz(&b, ",\"notifications\":");
  mg_filter_write(&s->granted, &b);
  int rc = mg_buf_rc(&b);
  if (rc == MCPGW_OK) rc = notify(s->call, "notifications/subscriptions/acknowledged", mg_buf_slice(&b));
  mg_buf_done(&b);
  mg_filter_done(&s->granted);
  if (rc != MCPGW_OK) mg_call_fail_rc(s->call, rc, NULL);
  return rc == MCPGW_OK;
}

static void end(struct mg_call *call) {
  struct mg_buf b;
  mg_buf_init(&b, 4096);
  mg_buf_addz(&b, "{\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":" MG_GATEWAY_INFO
                  ",\"io.modelcontextprotocol/subscriptionId\":");
  mg_buf_adds(&b, mg_text_slice(&call->id));
  mg_buf_addz(&b, "}}");
  mg_call_result(call, mg_buf_slice(&b));
  mg_buf_done(&b);
}

static void pass_on(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_splice sp;
  mg_splice_init(&sp);
  if (m->s[MG_S_META_SUBSCRIPTION].type != MG_JSON_NONE)
    mg_splice_value(&sp, m->s[MG_S_META_SUBSCRIPTION], mg_text_slice(&call->id));
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  mg_call_forward(call, bytes, m->doc, &sp, 0, 200);
}

/* ---- what feeds say ---------------------------------------------------------------------------------------- */

/* Each upstream counts once: when it acknowledges, or when it is not waited for any more. */
static void one_ack_less(struct mg_listen *s) {
  if (s->waiting_acks && --s->waiting_acks == 0) acknowledge(s);
}

void mg_listen_granted(struct mg_sub *sub, const struct mg_filter *granted, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_listen *s = sub->listen;
  if (s->acknowledged) { /* it took longer than we waited */
    mg_listen_changed(sub, granted->flags);
  } else if (is_alone(s->call) && bytes && sub->feed->own) { /* it may speak of things that we do not know */
    is_first(s);
    pass_on(s->call, bytes, m);
  } else {
    mg_filter_add(&s->granted, granted); /* without memory it is told less than it gets */
    one_ack_less(s);
  }
}

void mg_listen_event(struct mg_sub *sub, mg_blob *bytes, const struct mg_msg *m) {
  if (acknowledge(sub->listen)) pass_on(sub->listen->call, bytes, m); /* others may still owe theirs */
}

void mg_listen_changed(struct mg_sub *sub, unsigned flags) {
  static const int method[] = {MG_M_N_TOOLS_CHANGED, MG_M_N_PROMPTS_CHANGED, MG_M_N_RESOURCES_CHANGED};
  if (!flags || !acknowledge(sub->listen)) return;
  for (unsigned i = 0; i < sizeof method / sizeof method[0]; i++)
    if (flags & 1u << i) notify(sub->listen->call, mg_method_name(method[i]), mg_slice(NULL, 0));
}

static int nobody_is_left(const struct mg_listen *s) {
  for (size_t i = 0; i < s->call->view.n; i++)
    if (s->subs[i].feed) return 0;
  return 1;
}

void mg_listen_reply(struct mg_sub *sub, mg_blob *bytes, const struct mg_msg *m, int waited) {
  struct mg_listen *s = sub->listen;
  struct mg_call *call = s->call;
  struct mg_splice sp;
  struct mg_buf text;
  if (is_alone(call)) {
    int64_t code = 0;
    if (m->kind == MG_ERROR) mg_span_i64(m->doc, m->s[MG_S_E_CODE], &code);
    mg_buf_init(&text, 4096);
    mg_reply_edit(call, m, &sp, &text);
    mg_call_forward(call, bytes, m->doc, &sp, 1, m->kind == MG_ERROR ? mg_code_status((int)code, 1) : 200);
    mg_buf_done(&text);
    return;
  }
  if (waited && m->kind == MG_ERROR) mg_feed_leave(sub); /* it has no such thing, and will not be asked again */
  if (s->started && nobody_is_left(s)) {
    if (acknowledge(s)) end(call);
  } else if (waited) {
    one_ack_less(s);
  }
}

void mg_listen_fault(struct mg_sub *sub, const struct mg_fault *f) {
  struct mg_listen *s = sub->listen;
  if (is_alone(s->call)) mg_call_fail(s->call, f);
  else one_ack_less(s); /* it may come back: the feed sees to that */
}

/* ---- the beginning ------------------------------------------------------------------------------------------- */

/* The message as it goes where nobody shares it: private keys gone, and of several upstreams only what is
 * this one's. */
static int own_message(struct mg_call *call, const struct mg_msg *m, const struct mg_filter *wish, mg_blob **out) {
  struct mg_splice sp;
  struct mg_buf filter;
  mg_buf_init(&filter, TEXT_MAX);
  mg_splice_init(&sp);
  if (!is_alone(call)) {
    mg_filter_write(wish, &filter);
    mg_splice_value(&sp, m->s[MG_S_FILTER], mg_buf_slice(&filter));
  }
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  int rc = mg_buf_rc(&filter);
  if (rc == MCPGW_OK) rc = mg_splice_flatten(&sp, m->doc, call->core->budget, out);
  mg_buf_done(&filter);
  return rc;
}

/* odd: what it asks for is not only what we know: its message goes as it is. */
static int join(struct mg_listen *s, size_t i, const struct mg_msg *m, int odd, int late) {
  struct mg_call *call = s->call;
  struct mg_sub *sub = &s->subs[i];
  mg_blob *own = NULL;
  int rc = odd ? own_message(call, m, &sub->wish, &own) : MCPGW_OK;
  sub->listen = s;
  if (!late) s->waiting_acks++;
  if (rc == MCPGW_OK) rc = mg_feed_join(sub, call->core->ups[call->view.first + i], own, late);
  mg_blob_unref(own);
  if (rc != MCPGW_OK && !late) s->waiting_acks--;
  return rc;
}

static void let_go(struct mg_call *call) {
  mg_blob_unref(call->blob);
  call->blob = NULL;
  mg_free(call->waiters); /* it waits for nothing any more, and may last for ever */
  call->waiters = NULL;
  call->n_waiters = 0;
}

static void start_one(struct mg_call *call, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_listen *s = call->listen;
  struct mg_link *l;
  int odd = mg_msg_has(m, MG_S_META_LOG);
  if (mg_request_link(call, call->view.first, &l, now_ms) != MCPGW_OK) return;
  s->started = 1;
  s->waiting_acks = 1; /* nothing is acknowledged before all is done here */
  int rc = mg_filter_read(&s->subs[0].wish, m->doc, m->s[MG_S_FILTER], &odd);
  if (rc == MCPGW_OK) rc = join(s, 0, m, odd, 0);
  if (rc != MCPGW_OK) {
    mg_call_fail_rc(call, rc, l->up->cfg->name);
    return;
  }
  let_go(call);
  one_ack_less(s);
}

/* Links must be open, and lists known when URIs have to find their owners. */
static int gather(struct mg_call *call, int with_uris, uint64_t now_ms) {
  struct mg_fault why;
  for (size_t i = call->view.first; i < call->view.first + call->view.n && !call->gave_up; i++) {
    struct mg_link *l = mg_link_get(call->core, call->ctx, i, now_ms, &why);
    if (!l) continue;
    if (l->state == MG_LINK_OPENING) mg_call_wait(call, &l->waiters);
    for (int k = MG_LIST_RESOURCES; with_uris && k <= MG_LIST_TEMPLATES; k++)
      if (mg_link_has_list(l, k)) mg_catalog_need(l, k, 0, call, now_ms);
  }
  if (!call->waiting) return MCPGW_OK;
  mg_call_wait_until(call, now_ms + MG_FEED_SILENT_MS);
  return MCPGW_E_AGAIN;
}

/* Each resource is asked for at its owner only: a URI may be a secret. */
static int share_out(struct mg_call *call, const struct mg_filter *all) {
  struct mg_listen *s = call->listen;
  struct mg_slice uri;
  size_t it = 0;
  int rc = MCPGW_OK;
  for (size_t i = 0; i < call->view.n; i++) s->subs[i].wish.flags = all->flags;
  while (rc == MCPGW_OK && all->uris && mg_map_next(all->uris, &it, &uri)) {
    struct mg_link *l = mg_route_uri(call, uri);
    if (l) rc = mg_filter_add_uri(&s->subs[l->up->index - call->view.first].wish, uri);
  }
  return rc;
}

static size_t join_all(struct mg_call *call, const struct mg_msg *m) {
  struct mg_listen *s = call->listen;
  size_t joined = 0;
  s->waiting_acks = 1; /* nobody's acknowledgement is the last one until all have been asked */
  for (size_t i = 0; i < call->view.n; i++) {
    int ready = mg_link_peek(call->core, call->ctx, call->view.first + i) != NULL;
    if (!ready && call->core->ups[call->view.first + i]->speaks_modern < 0) continue;
    if (join(s, i, m, mg_msg_has(m, MG_S_META_LOG), !ready) == MCPGW_OK) joined++;
  }
  return joined;
}

static void start_many(struct mg_call *call, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_listen *s = call->listen;
  struct mg_filter all = {0, NULL};
  size_t ready = 0;
  int rc = mg_filter_read(&all, m->doc, m->s[MG_S_FILTER], NULL);
  if (rc == MCPGW_OK && gather(call, mg_filter_uris(&all) > 0, now_ms) == MCPGW_E_AGAIN) {
    mg_filter_done(&all);
    return;
  }
  s->started = 1;
  for (size_t i = 0; i < call->view.n; i++) ready += mg_link_peek(call->core, call->ctx, call->view.first + i) != NULL;
  if (rc == MCPGW_OK && ready) rc = share_out(call, &all);
  mg_filter_done(&all);
  if (rc != MCPGW_OK) {
    mg_call_fail_rc(call, rc, NULL);
  } else if (!ready) {
    mg_merge_none(call);
  } else if (!join_all(call, m)) {
    mg_call_fail_rc(call, MCPGW_E_NOMEM, NULL);
  } else {
    let_go(call);
    call->gave_up = 0;
    mg_call_wait_until(call, now_ms + MG_FEED_SILENT_MS);
    one_ack_less(s);
  }
}

static int begin(struct mg_call *call) {
  struct mg_listen *s;
  if (call->listen) return MCPGW_OK;
  s = mg_calloc(1, sizeof *s + call->view.n * sizeof s->subs[0]);
  if (!s) return MCPGW_E_NOMEM;
  s->call = call;
  call->listen = s;
  mg_list_add(&call->core->listeners, &s->node);
  call->core->n_calls--; /* it may last for ever: nobody waits for its end */
  return MCPGW_OK;
}

void mg_listen_start(struct mg_call *call, uint64_t now_ms) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (begin(call) != MCPGW_OK) {
    mg_call_fail_rc(call, MCPGW_E_NOMEM, NULL);
  } else if (call->listen->started) { /* the deadline of the acknowledgements */
    acknowledge(call->listen);
  } else if (mg_wire_parse(call->doc, &m, &why) != MCPGW_OK || m.s[MG_S_FILTER].type != MG_JSON_OBJECT) {
    mg_call_error(call, MG_RPC_PARAMS, "params.notifications must be an object", mg_slice(NULL, 0));
  } else if (is_alone(call)) {
    start_one(call, &m, now_ms);
  } else {
    start_many(call, &m, now_ms);
  }
}

/* ---- another configuration ----------------------------------------------------------------------------------- */

struct mg_relist {
  size_t n;
  struct relist_one {
    struct mg_call *call;
    struct mg_listen *to; /* for the view that comes; NULL once it is in use */
    struct mg_view view;
  } v[];
};

int mg_relist_plan(struct mg_core *c, size_t n, struct mg_relist **out) {
  size_t count = 0;
  for (struct mg_list *node = c->listeners.next; node != &c->listeners; node = node->next) count++;
  struct mg_relist *all = mg_calloc(1, sizeof *all + count * sizeof all->v[0]);
  if (!all) return MCPGW_E_NOMEM;
  for (struct mg_list *node = c->listeners.next; node != &c->listeners; node = node->next) {
    struct mg_listen *s = MG_CONTAINER(node, struct mg_listen, node);
    struct relist_one *one = &all->v[all->n++];
    one->call = s->call;
    one->to = mg_calloc(1, sizeof *s + (s->call->view.all ? n : 1) * sizeof s->subs[0]);
    if (one->to) continue;
    mg_relist_free(all);
    return MCPGW_E_NOMEM;
  }
  *out = all;
  return MCPGW_OK;
}

void mg_relist_free(struct mg_relist *all) {
  for (size_t i = 0; all && i < all->n; i++) mg_free(all->v[i].to);
  mg_free(all);
}

void mg_relist_views(struct mg_relist *all, const struct mg_reload *r) {
  for (size_t i = 0; i < all->n; i++) all->v[i].view = mg_reload_view(r, all->v[i].call->view);
}

/* The part moves over as it stands; its feed knows it by its list node. */
static void move_sub(struct mg_sub *to, struct mg_sub *from, struct mg_listen *s) {
  *to = *from;
  to->listen = s;
  if (from->node.next) {
    to->node.next->prev = &to->node;
    to->node.prev->next = &to->node;
  }
  *from = (struct mg_sub){0};
}

/* A server whose entry changed is asked for the same again; a new one for what is asked of all. */
static int rejoin(struct mg_listen *s, size_t i, struct mg_sub *old, unsigned flags) {
  struct mg_sub *sub = &s->subs[i];
  mg_blob *own = NULL;
  if (old) {
    if (old->feed && old->feed->own) own = mg_blob_ref(old->feed->own);
    sub->wish = old->wish;
    old->wish = (struct mg_filter){0, NULL};
  }
  sub->wish.flags |= flags;
  sub->listen = s;
  int rc = mg_feed_join(sub, s->call->core->ups[s->call->view.first + i], own, 1);
  mg_blob_unref(own);
  return rc;
}

/* Old parts that are not moved are left; how many of them still owed their acknowledgement? */
static size_t leave_rest(struct mg_listen *s, size_t n) {
  size_t owed = 0;
  for (size_t i = 0; i < n; i++) {
    owed += s->subs[i].waits != 0;
    mg_feed_leave(&s->subs[i]);
  }
  return owed;
}

static void refit(struct relist_one *one, const struct mg_refit *fit) {
  struct mg_call *call = one->call;
  struct mg_listen *s = call->listen, *to = one->to;
  size_t n_old = call->view.n, owed, base = one->view.first;
  unsigned flags = 0;
  int rc = MCPGW_OK;
  one->to = NULL;
  to->call = call;
  to->granted = s->granted;
  to->waiting_acks = s->waiting_acks;
  to->acknowledged = s->acknowledged;
  to->started = s->started;
  for (size_t i = 0; i < n_old; i++) flags |= s->subs[i].wish.flags;
  call->listen = to;
  call->view = one->view;
  mg_list_del(&s->node);
  mg_list_add(&call->core->listeners, &to->node);
  for (size_t i = 0; i < one->view.n; i++) {
    size_t was = one->view.all ? fit->from[i] : 0;
    if (was < n_old && fit->kept[base + i]) move_sub(&to->subs[i], &s->subs[was], to);
    else if (to->started && rc == MCPGW_OK) rc = rejoin(to, i, was < n_old ? &s->subs[was] : NULL, flags);
  }
  owed = leave_rest(s, n_old);
  mg_free(s);
  if (to->started && (rc != MCPGW_OK || !one->view.n)) end(call); /* the client may listen anew */
  else if (to->acknowledged) mg_listen_changed(&to->subs[0], flags);
  else for (; owed; owed--) one_ack_less(to);
}

static int is_same(const struct relist_one *one, const struct mg_refit *fit) {
  struct mg_view old = one->call->view;
  if (!one->view.all) return one->view.n == 1 && fit->kept[one->view.first];
  for (size_t i = 0; i < fit->n; i++)
    if (!fit->kept[i] || fit->from[i] != i) return 0;
  return old.n == fit->n;
}

void mg_relist_commit(struct mg_relist *all, const struct mg_refit *fit) {
  for (size_t i = 0; i < all->n; i++) {
    if (is_same(&all->v[i], fit)) all->v[i].call->view = all->v[i].view;
    else refit(&all->v[i], fit);
  }
}

/* ---- the end of the gateway --------------------------------------------------------------------------------- */

static struct mg_call *first_of(struct mg_core *c) {
  struct mg_list *node = mg_list_first(&c->listeners);
  return node ? MG_CONTAINER(node, struct mg_listen, node)->call : NULL;
}

void mg_core_drain(struct mg_core *c) {
  struct mg_call *call;
  c->draining = 1;
  while ((call = first_of(c))) end(call);
}

struct mg_ctx *mg_listen_ctx(const struct mg_sub *sub) {
  return sub->listen->call->ctx;
}

void mg_listen_end_of(struct mg_ctx *ctx) {
  struct mg_list *node, *next;
  for (node = ctx->core->listeners.next; node != &ctx->core->listeners; node = next) {
    struct mg_call *call = MG_CONTAINER(node, struct mg_listen, node)->call;
    next = node->next; /* one's end ends no other */
    if (call->ctx == ctx) end(call);
  }
}

void mg_listen_fail_all(struct mg_core *c) {
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = -1, .text = "the gateway is stopping"};
  struct mg_call *call;
  while ((call = first_of(c))) mg_call_fail(call, &f);
}
