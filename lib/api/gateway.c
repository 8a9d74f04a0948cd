/* api/gateway: the doors of a gateway. Each checks its handle and its process, then calls the room. */
#include <limits.h>
#include <string.h>

#include "api/api.h"
#include "base/mem.h"
#include "gateway/gateway.h"

void mcpgw_gateway_options_init(mcpgw_gateway_options *options) {
  if (!options) return;
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
}

int mcpgw_gateway_new(mcpgw_gateway **out, const mcpgw_config *config, const mcpgw_gateway_options *options) {
  mcpgw_gateway_options o;
  if (!out || !config) return MCPGW_E_INVALID;
  mcpgw_gateway_options_init(&o);
  if (options) {
    size_t n = options->struct_size < sizeof o ? options->struct_size : sizeof o;
    if (n < sizeof o.struct_size) return MCPGW_E_INVALID;
    memcpy(&o, options, n); /* an older caller's struct is shorter: the rest keeps its default */
  }
  mcpgw_config *c = (mcpgw_config *)(uintptr_t)config;
  mg_err_clear(&c->err);
  int rc = mg_gw_check_children(c->snapshot, o.launcher, &c->err);
  if (rc == MCPGW_OK) rc = mg_gw_new(c->snapshot, &o, out);
  if (rc == MCPGW_OK) c->taken = 1;
  return rc;
}

void mcpgw_gateway_free(mcpgw_gateway *gateway) {
  if (gateway && mg_gw_guard(gateway) == MCPGW_OK) mg_gw_free(gateway);
}

const char *mcpgw_gateway_error(const mcpgw_gateway *gateway) {
  return gateway ? mg_err_text(&gateway->err) : "";
}

static int guard(const mcpgw_gateway *gateway) {
  return gateway ? mg_gw_guard(gateway) : MCPGW_E_INVALID;
}

int mcpgw_gateway_listen(mcpgw_gateway *gateway) {
  int rc = guard(gateway);
  return rc == MCPGW_OK ? mg_gw_listen(gateway) : rc;
}

int mcpgw_gateway_reload(mcpgw_gateway *gateway, const mcpgw_config *config) {
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  if (!config) return MCPGW_E_INVALID;
  rc = mg_gw_reload(gateway, config->snapshot);
  if (rc == MCPGW_OK) ((mcpgw_config *)(uintptr_t)config)->taken = 1;
  return rc;
}

size_t mcpgw_gateway_endpoints(const mcpgw_gateway *gateway) {
  return gateway ? gateway->n_endpoints : 0;
}

const char *mcpgw_gateway_endpoint(const mcpgw_gateway *gateway, size_t index) {
  return gateway && index < gateway->n_endpoints ? gateway->endpoints[index].url : NULL;
}

int mcpgw_gateway_set_transport(mcpgw_gateway *gateway, const char *name, size_t name_len, const mcpgw_transport_ops *ops,
                                void *transport) {
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  if (!name || !ops || ops->struct_size < sizeof *ops || !ops->open || !ops->send || !ops->cancel || !ops->close)
    return MCPGW_E_INVALID;
  return mg_gw_set_transport(gateway, mg_slice(name, name_len), ops, transport);
}

int mcpgw_gateway_fd(const mcpgw_gateway *gateway) {
  int rc = guard(gateway);
  return rc == MCPGW_OK ? mg_loop_fd(gateway->loop) : rc;
}

int mcpgw_gateway_timeout_ms(mcpgw_gateway *gateway) {
  int rc = guard(gateway);
  return rc == MCPGW_OK ? mg_gw_timeout_ms(gateway) : 0; /* dispatch will tell */
}

int mcpgw_gateway_dispatch(mcpgw_gateway *gateway) {
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  __atomic_store_n(&gateway->woken, 0, __ATOMIC_RELEASE); /* this is what the wake-up was for */
  return mg_gw_turn(gateway, 0);
}

int mcpgw_gateway_wait(mcpgw_gateway *gateway, int timeout_ms) {
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  if (__atomic_exchange_n(&gateway->woken, 0, __ATOMIC_ACQ_REL)) timeout_ms = 0;
  return mg_gw_turn(gateway, timeout_ms);
}

int mcpgw_gateway_run(mcpgw_gateway *gateway) {
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  while (!gateway->stopped) {
    if (__atomic_exchange_n(&gateway->woken, 0, __ATOMIC_ACQ_REL)) return MCPGW_E_AGAIN;
    rc = mg_gw_turn(gateway, -1);
    if (rc != MCPGW_OK) return rc;
    if (!mg_list_empty(&gateway->events)) return MCPGW_E_AGAIN; /* somebody has something to read */
  }
  return MCPGW_OK;
}

void mcpgw_gateway_wakeup(mcpgw_gateway *gateway) {
  if (!gateway) return;
  __atomic_store_n(&gateway->woken, 1, __ATOMIC_RELEASE);
  mg_loop_wakeup(gateway->loop);
}

int mcpgw_gateway_stop(mcpgw_gateway *gateway, uint64_t deadline_ms) {
  int rc = guard(gateway);
  return rc == MCPGW_OK ? mg_gw_stop(gateway, deadline_ms) : rc;
}

int mcpgw_gateway_stopped(const mcpgw_gateway *gateway) {
  return gateway && gateway->stopped;
}

int mcpgw_gateway_stats(mcpgw_gateway *gateway, char **out) {
  int rc = guard(gateway);
  if (rc == MCPGW_OK && !out) rc = MCPGW_E_INVALID;
  return rc == MCPGW_OK ? mg_gw_stats(gateway, out) : rc;
}

int mcpgw_gateway_report(mcpgw_gateway *gateway, const char *kind, size_t kind_len, const char *query, size_t query_len,
                         char **out) {
  size_t len;
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  if (!kind || !out) return MCPGW_E_INVALID;
  return mg_gw_report(gateway, mg_slice(kind, kind_len), mg_slice(query, query ? query_len : 0), out, &len);
}

int mcpgw_gateway_revoke(mcpgw_gateway *gateway, const char *by, size_t by_len, const char *value, size_t value_len,
                         size_t *ended) {
  int rc = guard(gateway);
  if (rc != MCPGW_OK) return rc;
  if (!by || !value || !value_len || !ended) return MCPGW_E_INVALID;
  struct mg_slice kind = mg_slice(by, by_len);
  int what = mg_slice_eqz(kind, "session")     ? MG_REVOKE_SESSION
             : mg_slice_eqz(kind, "principal") ? MG_REVOKE_PRINCIPAL
             : mg_slice_eqz(kind, "token")     ? MG_REVOKE_TOKEN
                                               : -1;
  return what < 0 ? MCPGW_E_INVALID : mg_gw_revoke(gateway, what, mg_slice(value, value_len), ended);
}
