/* gateway/upstream: owns how links to each configured server are made: its transport, and how long that lives. A
 * reload takes a server away while links of it still end; the transport goes after the last of them. */
#include "base/mem.h"
#include "gateway/gateway.h"
#include "transport/http.h"

#define PATIENCE_MIN_MS 3000 /* with a silent connection to a server, however fast our own heart beats */
#define PATIENCE_MAX_MS 15000
#define GOODBYE_MS 5000 /* after the last link: time for a DELETE to leave */

/* libcurl is only brought up where there is an http server: it costs a few descriptors. */
static int make_http(struct mcpgw_gateway *gw, const struct mg_cfg_server *s, struct mg_gw_upstream *up) {
  uint64_t beat = gw->config->heartbeat_ms;
  int rc = gw->http ? MCPGW_OK : mg_http_client_new(gw->loop, &gw->log, &gw->http);
  if (rc != MCPGW_OK) return rc;
  mg_http_client_patience(gw->http, beat < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : beat < PATIENCE_MAX_MS ? beat : PATIENCE_MAX_MS);
  struct mg_http_transport_config c = {.client = gw->http,
                                       .budget = &gw->budget,
                                       .log = &gw->log,
                                       .name = s->name,
                                       .url = s->url,
                                       .headers = s->headers,
                                       .connect_ms = s->timeouts.connect_ms};
  up->ops = &mg_transport_http_ops;
  up->transport_free = mg_transport_http_free;
  return mg_transport_http_new(&c, &up->transport);
}

static int make_transport(struct mg_gw_upstream *up) {
  struct mcpgw_gateway *gw = up->gw;
  const struct mg_cfg_server *s = up->cfg;
  int rc = MCPGW_OK;
  if (s->kind == MG_SERVER_STDIO) rc = mg_gw_make_stdio(gw, s, up);
  else if (s->kind == MG_SERVER_HTTP) rc = make_http(gw, s, up);
  else if (s->kind == MG_SERVER_SSE)
    mg_log(&gw->log, MG_LOG_ERROR, "config.unsupported", "server", s->name, "text",
           "HTTP+SSE servers (2024-11-05) are not supported by this version: it stays away", (char *)0);
  if (rc == MCPGW_OK) return rc;
  up->transport_free = NULL;
  mg_log(&gw->log, MG_LOG_ERROR, "config.server", "server", s->name, "text", mg_rc_name(rc), (char *)0);
  return rc;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void up_free(struct mg_gw_upstream *up) {
  mg_gw_alarm_off(up->gw, &up->last);
  mg_list_del(&up->node);
  mg_gw_children_keep(up);
  if (up->transport_free) up->transport_free(up->transport);
  mg_config_unref(up->config);
  mg_free(up);
}

static void on_last(struct mg_alarm *a, uint64_t now_ms) {
  (void)now_ms;
  up_free((struct mg_gw_upstream *)a);
}

int mg_gw_upstream_new(struct mcpgw_gateway *gw, struct mg_config *config, size_t i, struct mg_gw_upstream **out) {
  struct mg_gw_upstream *up = mg_calloc(1, sizeof *up);
  if (!up) return MCPGW_E_NOMEM;
  up->last.fire = on_last;
  up->gw = gw;
  up->refs = 1;
  up->config = mg_config_ref(config);
  up->cfg = &config->servers[i];
  int rc = make_transport(up);
  if (rc == MCPGW_OK) *out = up;
  else up_free(up);
  return rc;
}

void mg_gw_upstream_ref(struct mg_gw_upstream *up) {
  up->refs++;
}

void mg_gw_upstream_unref(struct mg_gw_upstream *up) {
  if (!up || --up->refs) return;
  if (!up->node.next) mg_list_add(&up->gw->old_ups, &up->node);
  mg_gw_alarm(up->gw, &up->last, mg_gw_now(up->gw) + GOODBYE_MS); /* without memory it stays till the end */
}

int mg_gw_upstreams_new(struct mcpgw_gateway *gw) {
  size_t n = gw->config->n_servers;
  int rc = MCPGW_OK;
  gw->ups = mg_calloc(n ? n : 1, sizeof *gw->ups);
  if (!gw->ups) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < n && rc == MCPGW_OK; i++) rc = mg_gw_upstream_new(gw, gw->config, i, &gw->ups[i]);
  return rc;
}

void mg_gw_upstreams_free(struct mcpgw_gateway *gw) {
  struct mg_list *node;
  for (size_t i = 0; gw->ups && i < gw->config->n_servers; i++)
    if (gw->ups[i]) up_free(gw->ups[i]);
  while ((node = mg_list_first(&gw->old_ups))) up_free(MG_CONTAINER(node, struct mg_gw_upstream, node));
  mg_free(gw->ups);
}

/* ---- by name --------------------------------------------------------------------------------------------- */

int mg_gw_set_transport(struct mcpgw_gateway *gw, struct mg_slice name, const mcpgw_transport_ops *ops, void *transport) {
  for (size_t i = 0; i < gw->config->n_servers; i++) {
    if (!mg_slice_eqz(name, gw->config->servers[i].name)) continue;
    if (gw->config->servers[i].kind != MG_SERVER_CUSTOM || gw->ups[i]->ops) return MCPGW_E_STATE;
    gw->ups[i]->ops = ops;
    gw->ups[i]->transport = transport;
    return MCPGW_OK;
  }
  return MCPGW_E_NOT_FOUND;
}

struct mg_view mg_gw_view(const struct mcpgw_gateway *gw, struct mg_slice slug) {
  struct mg_view all = {0, gw->config->n_servers, 1}, none = {0, 0, 0};
  if (!slug.len) return all;
  for (size_t i = 0; i < gw->config->n_servers; i++)
    if (mg_slice_eqz(slug, gw->config->servers[i].slug)) return (struct mg_view){i, 1, 0};
  return none;
}
