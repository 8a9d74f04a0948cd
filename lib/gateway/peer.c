/* gateway/peer: owns in-process clients: whole messages in, events out. A client is one context (legacy)
 * or none (modern), judged per message like everywhere. Results are pulled: nothing of the host's is ever
 * called. */
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"

#define FAREWELL_BYTES ((size_t)200)
#define ANYBODY "in-process" /* a principal that no listener's caller can be */

/* ---- events ------------------------------------------------------------------------------------------------ */

void mg_peer_event_free(struct mcpgw_event *e) {
  if (!e) return;
  if (e->segs) mg_segs_unref(e->segs, e->n_segs);
  mg_free(e->segs);
  mg_blob_unref(e->bytes);
  mg_free(e);
}

static int add_event(struct mcpgw_client *c, unsigned kind, uint64_t id, struct mg_seg *segs, size_t n) {
  struct mcpgw_event *e = mg_calloc(1, sizeof *e);
  if (!e) return MCPGW_E_NOMEM;
  e->segs = mg_alloc(n ? n * sizeof *segs : 1);
  if (!e->segs) {
    mg_free(e);
    return MCPGW_E_NOMEM;
  }
  memcpy(e->segs, segs, n * sizeof *segs);
  e->n_segs = n;
  e->kind = kind;
  e->client = c;
  e->request_id = id;
  e->len = mg_segs_len(segs, n);
  mg_list_add(&c->gw->events, &e->node);
  c->gw->n_events++;
  return MCPGW_OK;
}

int mg_peer_event(struct mcpgw_client *c, unsigned kind, uint64_t id, struct mg_seg *segs, size_t n) {
  struct mcpgw_gateway *gw = c->gw;
  int rc = gw->n_events >= MG_MAX_EVENTS && kind != MCPGW_EVENT_CLOSED ? MCPGW_E_LIMIT : add_event(c, kind, id, segs, n);
  if (rc == MCPGW_OK) return rc;
  mg_segs_unref(segs, n);
  gw->events_dropped++;
  if (kind != MCPGW_EVENT_CLOSED) mg_peer_fail(c, "too many events wait to be read; read them sooner");
  return rc;
}

int mg_peer_event_text(struct mcpgw_client *c, unsigned kind, uint64_t id, struct mg_slice text) {
  struct mg_seg seg = {mg_blob_copy(NULL, text.ptr, text.len), NULL, text.len};
  if (!seg.blob) {
    c->gw->events_dropped++;
    return MCPGW_E_NOMEM;
  }
  seg.ptr = mg_blob_slice(seg.blob).ptr;
  return mg_peer_event(c, kind, id, &seg, 1);
}

/* The event that was set aside when the client was opened: its end can be told without memory. */
static void say_farewell(struct mcpgw_client *c, const char *why) {
  struct mcpgw_event *e = c->farewell;
  size_t n = strlen(why);
  if (!e) return;
  c->farewell = NULL;
  mg_blob_append(e->bytes, why, n < FAREWELL_BYTES ? n : FAREWELL_BYTES - 1);
  *mg_blob_tail(e->bytes) = 0;
  e->len = mg_blob_len(e->bytes);
  mg_list_add(&c->gw->events, &e->node);
  c->gw->n_events++;
}

static int keep_farewell(struct mcpgw_client *c) {
  struct mcpgw_event *e = c->farewell = mg_calloc(1, sizeof *e);
  if (!e) return MCPGW_E_NOMEM;
  e->kind = MCPGW_EVENT_CLOSED;
  e->client = c;
  e->bytes = mg_blob_new(NULL, FAREWELL_BYTES, FAREWELL_BYTES);
  return e->bytes ? MCPGW_OK : MCPGW_E_NOMEM;
}

void mg_peer_fail(struct mcpgw_client *c, const char *why) {
  if (c->closed) return;
  c->closed = 1;
  if (mg_peer_event_text(c, MCPGW_EVENT_CLOSED, 0, mg_slice_z(why)) != MCPGW_OK) say_farewell(c, why);
}

int mg_peer_next(struct mcpgw_gateway *gw, struct mcpgw_event **out) {
  struct mg_list *node = mg_list_first(&gw->events);
  if (!node) return MCPGW_E_AGAIN;
  struct mcpgw_event *e = (struct mcpgw_event *)node;
  mg_list_del(node);
  gw->n_events--;
  for (size_t i = 0; i < e->n_segs; i++) mg_blob_mark_sent(e->segs[i].blob); /* the host has it now */
  int rc = e->bytes ? MCPGW_OK : mg_segs_join(&gw->budget, e->segs, e->n_segs, &e->bytes);
  mg_free(e->segs);
  e->segs = NULL;
  if (rc != MCPGW_OK) {
    gw->events_dropped++;
    if (e->kind == MCPGW_EVENT_CLOSED) say_farewell(e->client, "out of memory");
    else mg_peer_fail(e->client, "out of memory");
    mg_peer_event_free(e);
    return rc;
  }
  if (e->unread) mg_auto_name(e);
  mg_blob_disown(e->bytes); /* it is the host's memory now, and may outlive the gateway */
  *out = e;
  return MCPGW_OK;
}

static void drop_events(struct mcpgw_client *c) {
  struct mg_list *head = &c->gw->events, *node = head->next;
  while (node != head) {
    struct mcpgw_event *e = (struct mcpgw_event *)node;
    node = node->next;
    if (e->client != c) continue;
    mg_list_del(&e->node);
    c->gw->n_events--;
    mg_peer_event_free(e);
  }
}

/* ---- what the core says -------------------------------------------------------------------------------------- */

static void on_message(struct mg_out *o, struct mg_outgoing *m) {
  struct mcpgw_client *c = MG_CONTAINER(o, struct mcpgw_client, out);
  if (m->final && !m->segs[0].blob) mg_peer_fail(c, "out of memory"); /* an error that cannot name its request */
  if (c->mode == MCPGW_CLIENT_RAW) mg_peer_event(c, MCPGW_EVENT_MESSAGE, 0, m->segs, m->n);
  else mg_auto_message(c, m->segs, m->n);
}

static void ctx_ended(struct mg_owner *o) {
  struct mcpgw_client *c = MG_CONTAINER(o, struct mcpgw_client, owner);
  int was_open = c->ctx && mg_ctx_answered(c->ctx);
  c->ctx = NULL;
  if (c->gw->stopping) mg_peer_fail(c, "the gateway is stopping");
  else if (was_open && !c->closed) mg_peer_fail(c, "the session was ended"); /* one whose initialize failed may try again */
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

int mg_peer_open(struct mcpgw_gateway *gw, struct mg_slice server, unsigned mode, struct mg_slice principal,
                 struct mcpgw_client **out) {
  struct mg_view view = mg_gw_view(gw, server);
  if (!view.n) return MCPGW_E_NOT_FOUND;
  if (gw->stopping) return MCPGW_E_STATE;
  if (gw->n_clients >= MG_MAX_CLIENTS) return MCPGW_E_LIMIT;
  struct mcpgw_client *c = mg_calloc(1, sizeof *c);
  if (!c) return MCPGW_E_NOMEM;
  if (!principal.len) principal = mg_slice_z(ANYBODY);
  c->principal = mg_memdup(principal.ptr, principal.len);
  if (!c->principal || keep_farewell(c) != MCPGW_OK) {
    mg_peer_event_free(c->farewell);
    mg_free(c->principal);
    mg_free(c);
    return MCPGW_E_NOMEM;
  }
  mg_sink_init(&c->out.sink);
  c->out.message = on_message;
  c->owner.ctx_ended = ctx_ended;
  c->gw = gw;
  c->view = view;
  c->mode = mode;
  mg_buf_init(&c->waiting, (size_t)8 << 20);
  mg_list_add(&gw->clients, &c->node);
  gw->n_clients++;
  *out = c;
  if (mode != MCPGW_CLIENT_RAW) mg_auto_start(c);
  mg_gw_settle(gw);
  return MCPGW_OK;
}

/* One process on stdio is one caller: when it has gone, so has what it left with the servers. */
static void leave(struct mcpgw_client *c) {
  for (struct mg_list *n = c->gw->clients.next; n != &c->gw->clients; n = n->next)
    if (!strcmp(((struct mcpgw_client *)n)->principal, c->principal)) return;
  mg_core_leave(c->gw->core, mg_slice_z(c->principal));
}

void mg_peer_close(struct mcpgw_client *c) {
  struct mcpgw_gateway *gw = c->gw;
  c->closed = 1;
  mg_core_sink_gone(gw->core, &c->out.sink);
  if (c->ctx) mg_core_end(gw->core, c->ctx, "the client closed");
  drop_events(c);
  mg_list_del(&c->node);
  gw->n_clients--;
  leave(c);
  mg_free(c->principal);
  c->principal = NULL;
  mg_buf_done(&c->waiting);
  mg_peer_event_free(c->farewell);
  c->farewell = NULL;
  c->dead = 1;
  if (!c->deferred) mg_free(c);
  mg_gw_settle(gw);
}

/* ---- what the client says -------------------------------------------------------------------------------------- */

static void own_message(struct mcpgw_client *c, struct mg_slice text) {
  struct mg_seg seg = {mg_blob_copy(NULL, text.ptr, text.len), NULL, text.len};
  if (!seg.blob) {
    mg_peer_fail(c, "out of memory");
    return;
  }
  seg.ptr = mg_blob_slice(seg.blob).ptr;
  struct mg_outgoing o = {&seg, 1, 1, 200, NULL};
  c->out.message(&c->out, &o);
}

static void own_error(struct mcpgw_client *c, struct mg_slice id, const struct mg_fault *f) {
  struct mg_buf b;
  mg_buf_init(&b, 65536);
  if (mg_build_error(&b, id, f) == MCPGW_OK) own_message(c, mg_buf_slice(&b));
  mg_buf_done(&b);
}

static void refuse(struct mcpgw_client *c, struct mg_slice id, int code, const char *text) {
  struct mg_fault f = {.code = code, .delivered = -1, .text = text};
  own_error(c, id, &f);
}

static int modern(struct mcpgw_client *c, const struct mg_inbound *in) {
  const struct mg_msg *m = in->msg;
  struct mg_header_fault why;
  struct mg_buf data;
  if (m->kind != MG_REQUEST || mg_meta_check(m, &why) == MCPGW_OK) return mg_core_modern(c->gw->core, in);
  struct mg_fault f = {.code = why.code, .delivered = -1, .text = why.text};
  mg_buf_init(&data, 1024);
  if (why.code == MG_RPC_VERSION) {
    mg_buf_addz(&data, "{\"supported\":");
    mg_core_supported(c->gw->core, c->view, &data);
    mg_buf_addz(&data, ",\"requested\":");
    mg_buf_adds(&data, mg_msg_raw(m, MG_S_META_VERSION));
    mg_buf_addc(&data, '}');
    f.data = mg_buf_slice(&data);
  }
  own_error(c, mg_msg_raw(m, MG_S_ID), &f);
  mg_buf_done(&data);
  return MCPGW_OK;
}

static int legacy(struct mcpgw_client *c, const struct mg_inbound *in) {
  struct mg_ctx *ctx = NULL;
  if (c->ctx) return mg_core_legacy(c->gw->core, c->ctx, in);
  if (in->msg->kind != MG_REQUEST) return MCPGW_OK; /* before initialize: belongs to nothing */
  if (in->msg->method == MG_M_PING) {
    struct mg_buf b;
    mg_buf_init(&b, 1024);
    mg_build_result(&b, mg_msg_raw(in->msg, MG_S_ID), MG_LIT("{}"));
    if (mg_buf_rc(&b) == MCPGW_OK) own_message(c, mg_buf_slice(&b));
    mg_buf_done(&b);
    return MCPGW_OK;
  }
  if (in->msg->method != MG_M_INITIALIZE) {
    refuse(c, mg_msg_raw(in->msg, MG_S_ID), MG_RPC_REQUEST, "send initialize first, or the _meta of a modern request");
    return MCPGW_OK;
  }
  mg_core_initialize(c->gw->core, in, &ctx);
  if (!ctx) return MCPGW_OK;
  c->ctx = ctx;
  mg_ctx_set_user(ctx, &c->owner);
  mg_ctx_set_channel(ctx, &c->out.sink);
  mg_ctx_pin(ctx);
  return MCPGW_OK;
}

static int one(struct mcpgw_client *c, mg_blob *blob, struct mg_slice doc) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (mg_wire_parse(doc, &m, &why) != MCPGW_OK) {
    refuse(c, mg_slice_z(why.id), why.code, why.text);
    return MCPGW_OK;
  }
  const mcpgw_credential who = {.struct_size = sizeof who, .principal = c->principal, .principal_len = strlen(c->principal)};
  struct mg_inbound in = {.blob = blob, .msg = &m, .view = c->view, .who = &who,
                          .sink = &c->out.sink, .one_context = 1, .now_ms = mg_gw_now(c->gw)};
  int is_modern = m.s[MG_S_META_VERSION].type != MG_JSON_NONE || m.s[MG_S_META_CAPABILITIES].type != MG_JSON_NONE ||
                  (!c->ctx && m.method == MG_M_N_CANCELLED);
  return is_modern || m.method == MG_M_DISCOVER ? modern(c, &in) : legacy(c, &in);
}

int mg_peer_send(struct mcpgw_client *c, struct mg_slice message) {
  struct mg_slice member;
  size_t pos = 0;
  int rc = MCPGW_OK, more = 0;
  if (c->closed) return MCPGW_E_CLOSED;
  mg_blob *blob = mg_blob_copy(&c->gw->budget, message.ptr, message.len);
  if (!blob) return MCPGW_E_LIMIT;
  struct mg_slice doc = mg_blob_slice(blob);
  if (!mg_wire_is_batch(doc)) {
    rc = one(c, blob, doc);
  } else if (!c->ctx || !mg_revision_has_batches(mg_ctx_revision(c->ctx))) {
    refuse(c, mg_slice(NULL, 0), MG_RPC_REQUEST, "the revision spoken here has no batches");
  } else {
    for (int left = 64; left && (more = mg_wire_batch_next(doc, &pos, &member)) > 0; left--) one(c, blob, member);
    if (more) refuse(c, mg_slice(NULL, 0), MG_RPC_REQUEST, "a batch is a JSON array of 64 messages at most");
  }
  mg_blob_unref(blob);
  mg_gw_settle(c->gw);
  return rc;
}
