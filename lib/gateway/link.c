/* gateway/link: owns the seam between the brain's links and the transports that carry them. A transport is
 * closed in a turn of its own: it may be on the stack when the brain lets go of it. */
#include "base/mem.h"
#include "gateway/gateway.h"

/* ---- ports -------------------------------------------------------------------------------------------- */

static int port_open(void *arg, struct mg_link *core, void **port, int *cancel_closes, struct mg_err *why) {
  struct mcpgw_gateway *gw = arg;
  struct mg_gw_upstream *up = gw->ups[mg_link_index(core)];
  if (!up->ops)
    return mg_err_set(why, MCPGW_E_NOT_FOUND, up->cfg->kind == MG_SERVER_SSE
                                                  ? "HTTP+SSE servers (2024-11-05) are not supported by this version; "
                                                    "has it a streamable HTTP URL, of type http?"
                                                  : "no transport carries it; see mcpgw_gateway_set_transport");
  struct mcpgw_link *l = mg_calloc(1, sizeof *l);
  if (!l) return MCPGW_E_NOMEM;
  l->gw = gw;
  l->core = core;
  l->ops = up->ops;
  l->up = up;
  l->why = why;
  l->inside = 1;
  int rc = l->ops->open(up->transport, l, &l->impl);
  l->inside = 0;
  l->why = NULL;
  if (rc != MCPGW_OK) {
    mg_free(l);
    return rc;
  }
  mg_gw_upstream_ref(up);
  *port = l;
  *cancel_closes = l->ops->cancel_closes ? l->ops->cancel_closes(l->impl) : 0;
  return MCPGW_OK;
}

static int port_send(void *port, const mcpgw_message *m) {
  struct mcpgw_link *l = port;
  l->inside++;
  int rc = l->ops->send(l->impl, m);
  l->inside--;
  return rc;
}

static void port_cancel(void *port, uint64_t call) {
  struct mcpgw_link *l = port;
  l->inside++;
  l->ops->cancel(l->impl, call);
  l->inside--;
}

static void port_listen(void *port, const char *revision) {
  struct mcpgw_link *l = port;
  l->inside++;
  if (l->ops->listen) l->ops->listen(l->impl, revision);
  l->inside--;
}

void mg_gw_close_links(struct mcpgw_gateway *gw) {
  struct mg_list *node;
  while ((node = mg_list_first(&gw->closing))) {
    struct mcpgw_link *l = MG_CONTAINER(node, struct mcpgw_link, node);
    mg_list_del(node);
    l->up->leaving--;
    l->ops->close(l->impl, l->graceful ? MCPGW_CLOSE_GRACEFUL : 0);
    mg_gw_upstream_unref(l->up);
    mg_free(l);
  }
}

static void close_later(void *arg) {
  struct mcpgw_gateway *gw = arg;
  gw->closing_posted = 0;
  mg_gw_close_links(gw);
}

static void port_close(void *port, int graceful) {
  struct mcpgw_link *l = port;
  l->core = NULL; /* nothing it says matters any more */
  l->graceful = graceful;
  l->up->leaving++;
  mg_list_add(&l->gw->closing, &l->node);
  if (!l->gw->closing_posted) l->gw->closing_posted = mg_loop_defer(l->gw->loop, close_later, l->gw) == MCPGW_OK;
}

static void sink_message(struct mg_sink *s, struct mg_outgoing *m) {
  struct mg_out *o = (struct mg_out *)s;
  o->message(o, m);
}

static void sink_streaming(struct mg_sink *s) {
  struct mg_out *o = (struct mg_out *)s;
  if (o->streaming) o->streaming(o);
}

static void sink_drop(struct mg_sink *s) {
  struct mg_out *o = (struct mg_out *)s;
  if (o->drop) o->drop(o);
}

static void ctx_ended(struct mg_ctx *ctx, void *user) {
  struct mg_owner *owner = user;
  (void)ctx;
  if (owner) owner->ctx_ended(owner);
}

static int keys_changed(void *arg, uint64_t now_ms) {
  return mg_keys_look(arg, now_ms);
}

const struct mg_ports mg_gw_ports = {port_open,    port_send,      port_cancel, port_listen, port_close,
                                     sink_message, sink_streaming, sink_drop,   ctx_ended, keys_changed};
