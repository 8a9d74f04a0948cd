/* core/listen: owns subscriptions/listen (2026-07-28, patterns/subscriptions): one long-lived request of
 * the client, one towards each upstream of the view. Every message carries the subscription's id in the
 * client's own spelling; the acknowledgement comes first. */
#include <string.h>

#include "core/brain.h"

#define ACK_MS 5000 /* upstreams that have not acknowledged by then are not waited for */
#define TEXT_MAX ((size_t)1 << 20)

static const char *const flag_names[] = {"toolsListChanged", "promptsListChanged", "resourcesListChanged"};
#define N_FLAGS (sizeof flag_names / sizeof flag_names[0])

struct mg_listen {
  size_t waiting_acks;
  unsigned granted;   /* bits of flag_names */
  struct mg_buf uris; /* granted resourceSubscriptions, comma-separated JSON strings */
  int acknowledged, started;
};

void mg_listen_done(struct mg_call *call) {
  mg_buf_done(&call->listen->uris);
  mg_free(call->listen);
  call->listen = NULL;
}

static unsigned flags_of(struct mg_slice doc, struct mg_span filter) {
  unsigned flags = 0;
  struct mg_span v;
  for (unsigned i = 0; i < N_FLAGS; i++)
    if (mg_json_get(doc, filter, flag_names[i], &v) && v.type == MG_JSON_TRUE) flags |= 1u << i;
  return flags;
}

static void write_filter(struct mg_buf *b, unsigned flags, struct mg_slice uris) {
  const char *sep = "";
  mg_buf_addc(b, '{');
  for (unsigned i = 0; i < N_FLAGS; i++) {
    if (!(flags & 1u << i)) continue;
    mg_buf_addz(b, sep);
    mg_buf_addc(b, '"');
    mg_buf_addz(b, flag_names[i]);
    mg_buf_addz(b, "\":true");
    sep = ",";
  }
  if (uris.len) {
    mg_buf_addz(b, sep);
    mg_buf_addz(b, "\"resourceSubscriptions\":[");
    mg_buf_adds(b, uris);
    mg_buf_addc(b, ']');
  }
  mg_buf_addc(b, '}');
}

/* ---- towards the client ---------------------------------------------------------------------------------- */

static void acknowledge(struct mg_call *call) {
  struct mg_listen *s = call->listen;
  struct mg_buf b;
  if (s->acknowledged) return;
  s->acknowledged = 1;
  mg_heap_del(&call->core->gathers, &call->deadline);
  mg_buf_init(&b, 2 * TEXT_MAX);
  mg_buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{"
                  "\"io.modelcontextprotocol/subscriptionId\":");
  mg_buf_adds(&b, mg_text_slice(&call->id));
  mg_buf_addz(&b, "},\"notifications\":");
  write_filter(&b, s->granted, mg_buf_slice(&s->uris));
  mg_buf_addz(&b, "}}");
  mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(call->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  mg_call_emit(call, bytes, 0, 200);
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

/* Each leg counts once: when it acknowledges, or when it is over without having done so. */
static void one_ack_less(struct mg_leg *leg) {
  struct mg_call *call = leg->call;
  if (leg->arg) return;
  leg->arg = call->listen;
  if (call->listen->waiting_acks && --call->listen->waiting_acks == 0) acknowledge(call);
}

static void on_ack(struct mg_leg *leg, const struct mg_msg *m) {
  struct mg_listen *s = leg->call->listen;
  struct mg_span filter, uris, item;
  size_t pos = 0;
  if (s->acknowledged || leg->arg || !mg_json_get(m->doc, m->s[MG_S_PARAMS], "notifications", &filter)) return;
  s->granted |= flags_of(m->doc, filter);
  if (mg_json_get(m->doc, filter, "resourceSubscriptions", &uris) && uris.type == MG_JSON_ARRAY)
    while (mg_json_item(m->doc, uris, &pos, &item)) {
      if (s->uris.len) mg_buf_addc(&s->uris, ',');
      mg_buf_adds(&s->uris, mg_span_slice(m->doc, item));
    }
  one_ack_less(leg);
}

void mg_listen_notification(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_call *call = leg->call;
  struct mg_splice sp;
  if (m->method == MG_M_N_CANCELLED) { /* the server tears this subscription down */
    struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_YES,
                         .upstream = leg->link->up->cfg->name, .text = "the upstream ended the subscription"};
    mg_leg_fail(leg, &f, now_ms);
    return;
  }
  if (m->method == MG_M_N_ACKNOWLEDGED && call->view.n > 1) {
    on_ack(leg, m);
    return;
  }
  if (call->view.n > 1) acknowledge(call);
  mg_splice_init(&sp);
  if (m->s[MG_S_META_SUBSCRIPTION].type != MG_JSON_NONE)
    mg_splice_value(&sp, m->s[MG_S_META_SUBSCRIPTION], mg_text_slice(&call->id));
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  mg_call_forward(call, bytes, m->doc, &sp, 0, 200);
}

/* ---- several upstreams ------------------------------------------------------------------------------------- */

static void leg_over(struct mg_leg *leg) {
  struct mg_call *call = leg->call;
  if (call->n_legs) {
    one_ack_less(leg);
    return;
  }
  acknowledge(call);
  end(call);
}

static void on_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  (void)bytes, (void)m, (void)status, (void)now_ms;
  leg_over(leg);
}

static void on_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  (void)now_ms;
  mg_log(leg->link->core->log, MG_LOG_WARN, "listen.lost", "upstream", leg->link->up->cfg->name, "text",
         f->text ? f->text : "", (char *)0);
  leg_over(leg);
}

static const struct mg_leg_ops many_ops = {on_reply, on_fail};

/* The URIs of the filter that this link owns. */
static void owned_uris(struct mg_call *call, struct mg_link *l, struct mg_slice doc, struct mg_span filter,
                       struct mg_buf *out) {
  struct mg_span uris, item;
  struct mg_buf scratch;
  struct mg_slice uri;
  size_t pos = 0;
  if (!mg_json_get(doc, filter, "resourceSubscriptions", &uris) || uris.type != MG_JSON_ARRAY) return;
  mg_buf_init(&scratch, 65536);
  while (mg_json_item(doc, uris, &pos, &item)) {
    mg_buf_reset(&scratch);
    if (item.type != MG_JSON_STRING || mg_span_text(doc, item, &scratch, &uri) != MCPGW_OK) continue;
    if (mg_route_uri(call, uri) != l) continue;
    if (out->len) mg_buf_addc(out, ',');
    mg_buf_adds(out, mg_span_slice(doc, item));
  }
  mg_buf_done(&scratch);
}

static int leg_message(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t id, mg_blob **out) {
  struct mg_splice sp;
  struct mg_buf filter, uris, number;
  mg_buf_init(&filter, 2 * TEXT_MAX);
  mg_buf_init(&uris, TEXT_MAX);
  mg_buf_init(&number, 32);
  mg_buf_addu(&number, id);
  owned_uris(call, l, m->doc, m->s[MG_S_FILTER], &uris);
  write_filter(&filter, flags_of(m->doc, m->s[MG_S_FILTER]), mg_buf_slice(&uris));
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_ID], mg_buf_slice(&number));
  mg_splice_value(&sp, m->s[MG_S_FILTER], mg_buf_slice(&filter));
  if (call->token.len) mg_splice_value(&sp, m->s[MG_S_META_PROGRESS], mg_buf_slice(&number));
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  int rc = mg_buf_rc(&filter);
  if (rc == MCPGW_OK) rc = mg_splice_flatten(&sp, m->doc, call->core->budget, out);
  mg_buf_done(&filter);
  mg_buf_done(&uris);
  mg_buf_done(&number);
  return rc;
}

static int listen_on(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms) {
  static const mcpgw_header header = {"Mcp-Method", "subscriptions/listen"};
  struct mg_leg *leg;
  mg_blob *bytes = NULL;
  int rc = mg_leg_new(l, call, MG_M_LISTEN, &many_ops, NULL, 0, now_ms, &leg);
  if (rc != MCPGW_OK) return rc;
  rc = leg_message(call, l, m, leg->id, &bytes);
  if (rc == MCPGW_OK) rc = mg_leg_send(leg, bytes, &header, 1);
  mg_blob_unref(bytes);
  if (rc != MCPGW_OK) mg_leg_free(leg);
  return rc;
}

/* Links must be open, and lists known when URIs have to find their owners. */
static int gather(struct mg_call *call, int with_uris, uint64_t now_ms) {
  struct mg_fault why;
  for (size_t i = call->view.first; i < call->view.first + call->view.n && !call->gave_up; i++) {
    struct mg_link *l = mg_link_get(call->core, NULL, i, now_ms, &why);
    if (!l) continue;
    if (l->state == MG_LINK_OPENING) mg_call_wait(call, &l->waiters);
    for (int k = MG_LIST_RESOURCES; with_uris && k <= MG_LIST_TEMPLATES; k++)
      if (mg_link_has_list(l, k)) mg_catalog_need(l, k, 0, call, now_ms);
  }
  if (!call->waiting) return MCPGW_OK;
  mg_call_wait_until(call, now_ms + ACK_MS);
  return MCPGW_E_AGAIN;
}

static void start_many(struct mg_call *call, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_listen *s = call->listen;
  struct mg_span uris;
  size_t ready = 0;
  int with_uris = mg_json_get(m->doc, m->s[MG_S_FILTER], "resourceSubscriptions", &uris);
  if (gather(call, with_uris, now_ms) == MCPGW_E_AGAIN) return;
  s->started = 1;
  for (size_t i = call->view.first; i < call->view.first + call->view.n; i++) {
    struct mg_link *l = mg_link_peek(call->core, NULL, i);
    if (l && ++ready && listen_on(call, l, m, now_ms) == MCPGW_OK) s->waiting_acks++;
  }
  if (!ready) {
    mg_merge_none(call);
  } else if (!call->n_legs) {
    mg_call_fail_rc(call, MCPGW_E_LIMIT, NULL);
  } else {
    call->gave_up = 0;
    mg_call_wait_until(call, now_ms + ACK_MS);
  }
}

static int begin(struct mg_call *call) {
  if (call->listen) return MCPGW_OK;
  call->listen = mg_calloc(1, sizeof *call->listen);
  if (!call->listen) return MCPGW_E_NOMEM;
  mg_buf_init(&call->listen->uris, TEXT_MAX);
  call->is_listen = 1;
  call->core->n_calls--; /* it may last for ever: nobody waits for its end */
  return MCPGW_OK;
}

void mg_listen_start(struct mg_call *call, uint64_t now_ms) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (begin(call) != MCPGW_OK) {
    mg_call_fail_rc(call, MCPGW_E_NOMEM, NULL);
  } else if (call->listen->started) { /* the deadline of the acknowledgements */
    acknowledge(call);
  } else if (mg_wire_parse(call->doc, &m, &why) != MCPGW_OK || m.s[MG_S_FILTER].type != MG_JSON_OBJECT) {
    mg_call_error(call, MG_RPC_PARAMS, "params.notifications must be an object", mg_slice(NULL, 0));
  } else if (call->view.n > 1) {
    start_many(call, &m, now_ms);
  } else {
    mg_request_run(call, now_ms);
  }
}

/* ---- the end of the gateway --------------------------------------------------------------------------------- */

static struct mg_call *next_listener(struct mg_core *c) {
  for (struct mg_list *node = c->links.next; node != &c->links; node = node->next) {
    struct mg_link *l = MG_CONTAINER(node, struct mg_link, node);
    struct mg_leg *leg;
    size_t it = 0;
    while ((leg = mg_map_next(l->legs, &it, NULL)))
      if (leg->call && leg->call->is_listen) return leg->call;
  }
  return NULL;
}

void mg_core_drain(struct mg_core *c) {
  struct mg_call *call;
  c->draining = 1;
  while ((call = next_listener(c))) end(call);
}
