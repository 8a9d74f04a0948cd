/* api/client: the doors of in-process clients and their events. */
#include "gateway/gateway.h"

#include <string.h>

void mcpgw_client_options_init(mcpgw_client_options *options) {
  if (!options) return;
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
}

int mcpgw_client_open(mcpgw_client **out, mcpgw_gateway *gateway, const char *server, size_t server_len, uint32_t mode) {
  mcpgw_client_options o;
  mcpgw_client_options_init(&o);
  o.mode = mode;
  o.server = server;
  o.server_len = server_len;
  return mcpgw_client_open_with(out, gateway, &o);
}

int mcpgw_client_open_with(mcpgw_client **out, mcpgw_gateway *gateway, const mcpgw_client_options *options) {
  mcpgw_client_options o;
  if (!out || !gateway || !options) return MCPGW_E_INVALID;
  mcpgw_client_options_init(&o);
  size_t n = options->struct_size < sizeof o ? options->struct_size : sizeof o;
  if (n < offsetof(mcpgw_client_options, server)) return MCPGW_E_INVALID;
  memcpy(&o, options, n); /* an older caller's struct is shorter: the rest keeps its default */
  struct mg_slice slug = mg_slice(o.server, o.server ? o.server_len : 0);
  struct mg_slice principal = mg_slice(o.principal, o.principal ? o.principal_len : 0);
  if (o.mode > MCPGW_CLIENT_LEGACY || (o.principal && !principal.len) || principal.len > MG_PRINCIPAL_MAX) return MCPGW_E_INVALID;
  int rc = mg_gw_guard(gateway);
  if (rc != MCPGW_OK) return rc;
  mg_err_clear(&gateway->err);
  rc = mg_peer_open(gateway, slug, o.mode, principal, out);
  if (rc == MCPGW_E_NOT_FOUND)
    mg_err_set(&gateway->err, rc, "no server is called \"%.*s\"", (int)(slug.len < 100 ? slug.len : 100), slug.ptr ? slug.ptr : "");
  return rc == MCPGW_OK ? rc : mg_err_set(&gateway->err, rc, "the client could not be opened: %s", mg_rc_name(rc));
}

void mcpgw_client_close(mcpgw_client *client) {
  if (client && mg_gw_guard(client->gw) == MCPGW_OK) mg_peer_close(client);
}

int mcpgw_client_send(mcpgw_client *client, const char *message, size_t len) {
  if (!client || !message) return MCPGW_E_INVALID;
  int rc = mg_gw_guard(client->gw);
  if (rc != MCPGW_OK) return rc;
  struct mg_slice text = mg_slice(message, len);
  return client->mode == MCPGW_CLIENT_RAW ? mg_peer_send(client, text) : mg_auto_send(client, text);
}

int mcpgw_client_request(mcpgw_client *client, const char *method, size_t method_len, const char *params,
                         size_t params_len, uint64_t *request_id) {
  if (!client || !method || !request_id) return MCPGW_E_INVALID;
  int rc = mg_gw_guard(client->gw);
  if (rc != MCPGW_OK) return rc;
  return mg_auto_request(client, mg_slice(method, method_len), mg_slice(params, params ? params_len : 0), request_id);
}

int mcpgw_client_cancel(mcpgw_client *client, uint64_t request_id) {
  if (!client) return MCPGW_E_INVALID;
  int rc = mg_gw_guard(client->gw);
  return rc == MCPGW_OK ? mg_auto_cancel(client, request_id) : rc;
}

int mcpgw_gateway_next_event(mcpgw_gateway *gateway, mcpgw_event **out) {
  if (!gateway || !out) return MCPGW_E_INVALID;
  int rc = mg_gw_guard(gateway);
  return rc == MCPGW_OK ? mg_peer_next(gateway, out) : rc;
}

void mcpgw_event_free(mcpgw_event *event) {
  mg_peer_event_free(event);
}

uint32_t mcpgw_event_kind(const mcpgw_event *event) {
  return event ? event->kind : 0;
}

mcpgw_client *mcpgw_event_client(const mcpgw_event *event) {
  return event ? event->client : NULL;
}

uint64_t mcpgw_event_request_id(const mcpgw_event *event) {
  return event ? event->request_id : 0;
}

const char *mcpgw_event_data(const mcpgw_event *event) {
  return event ? mg_blob_slice(event->bytes).ptr : NULL;
}

size_t mcpgw_event_len(const mcpgw_event *event) {
  return event ? event->len : 0;
}
