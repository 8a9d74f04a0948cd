/* gateway/reload: owns a change of configuration while the gateway runs: everything that can fail is done first,
 * then all is switched at once, then what is no longer wanted goes. A configuration that cannot be had changes
 * nothing. What the brain makes of it is core/reload's. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/admin.h"

struct next { /* what is ready for the switch */
  struct mg_config *config;
  struct mg_gw_upstream **ups; /* references, as config->servers */
  struct mg_endpoint *endpoints;
  size_t n_endpoints, opened; /* opened: how many of config->listen are new, all of them open */
  struct mg_http_server *admin; /* of another address; NULL: none, or the old one */
  struct mg_reload *core;
};

/* Read once, when the process starts. */
static const char *const fixed_keys[] = {"state_dir", "store", "idempotency"};

/* ---- transports ---------------------------------------------------------------------------------------- */

static struct mg_gw_upstream *find_up(struct mcpgw_gateway *gw, const char *name) {
  for (size_t i = 0; i < gw->config->n_servers; i++)
    if (!strcmp(gw->config->servers[i].name, name)) return gw->ups[i];
  return NULL;
}

/* The brain keeps the same ones: it asks the same question. */
static int one_up(struct mcpgw_gateway *gw, struct next *n, size_t i) {
  const struct mg_cfg_server *cfg = &n->config->servers[i];
  struct mg_gw_upstream *old = find_up(gw, cfg->name);
  int alike = mg_config_same_key(gw->config, n->config, "separator");
  if (old && alike && mg_config_same_server(old->cfg, cfg)) {
    mg_gw_upstream_ref(old);
    n->ups[i] = old;
    return MCPGW_OK;
  }
  int rc = mg_gw_upstream_new(gw, n->config, i, &n->ups[i]);
  if (rc == MCPGW_OK && cfg->kind == MG_SERVER_CUSTOM && old && old->cfg->kind == MG_SERVER_CUSTOM) {
    n->ups[i]->ops = old->ops; /* the host's own transport is found by name */
    n->ups[i]->transport = old->transport;
  }
  return rc;
}

static int make_ups(struct mcpgw_gateway *gw, struct next *n) {
  int rc = MCPGW_OK;
  n->ups = mg_calloc(n->config->n_servers + 1, sizeof *n->ups);
  if (!n->ups) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < n->config->n_servers && rc == MCPGW_OK; i++) rc = one_up(gw, n, i);
  return rc;
}

/* ---- listeners ------------------------------------------------------------------------------------------- */

static int lists(const struct mg_config *c, const char *addr) {
  for (size_t i = 0; c->listen[i]; i++)
    if (!strcmp(c->listen[i], addr)) return 1;
  return 0;
}

static int keep_endpoint(struct mcpgw_gateway *gw, struct next *n, const char *addr) {
  for (size_t i = 0; i < gw->n_endpoints; i++)
    if (!strcmp(gw->endpoints[i].addr, addr)) return mg_gw_endpoint_copy(&gw->endpoints[i], &n->endpoints[n->n_endpoints++]);
  return MCPGW_E_INTERNAL;
}

/* New addresses first: an old one is only given up for one that is open. */
static int open_listeners(struct mcpgw_gateway *gw, struct next *n) {
  const struct mg_config *c = n->config;
  size_t count = 0;
  int rc = MCPGW_OK;
  while (c->listen[count]) count++;
  n->endpoints = mg_calloc(count + 1, sizeof *n->endpoints);
  if (!n->endpoints) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < count && rc == MCPGW_OK; i++) {
    if (lists(gw->config, c->listen[i])) {
      rc = keep_endpoint(gw, n, c->listen[i]);
    } else {
      rc = mg_gw_open_endpoint(gw, c->listen[i], &n->endpoints[n->n_endpoints++]);
      if (rc == MCPGW_OK) n->opened++;
    }
  }
  return rc;
}

static int same_admin(const struct mg_config *a, const struct mg_config *b) {
  if (!a->admin_listen || !b->admin_listen) return a->admin_listen == b->admin_listen;
  return !strcmp(a->admin_listen, b->admin_listen);
}

static int open_all(struct mcpgw_gateway *gw, struct next *n) {
  if (!gw->listening) return MCPGW_OK; /* a host that does not listen, or not yet */
  int rc = open_listeners(gw, n);
  if (rc == MCPGW_OK && !same_admin(gw->config, n->config)) rc = mg_admin_open(gw, n->config, &n->admin);
  return rc;
}

/* ---- giving up ---------------------------------------------------------------------------------------------- */

static void close_opened(struct mcpgw_gateway *gw, struct next *n) {
  for (size_t i = 0; n->opened && n->config->listen[i]; i++) {
    if (lists(gw->config, n->config->listen[i])) continue;
    mg_http_server_unlisten(gw->server, mg_slice_z(n->config->listen[i]));
    n->opened--;
  }
}

static void undo(struct mcpgw_gateway *gw, struct next *n) {
  close_opened(gw, n);
  if (n->admin) mg_http_server_free(n->admin);
  mg_gw_endpoints_free(n->endpoints, n->n_endpoints);
  for (size_t i = 0; n->ups && i < n->config->n_servers; i++) mg_gw_upstream_unref(n->ups[i]);
  mg_free(n->ups);
  mg_reload_drop(n->core);
}

/* ---- the switch ------------------------------------------------------------------------------------------------ */

static void switch_listeners(struct mcpgw_gateway *gw, struct next *n) {
  struct mg_http_limits limits;
  if (!gw->listening) return;
  for (size_t i = 0; gw->config->listen[i]; i++)
    if (!lists(n->config, gw->config->listen[i])) mg_http_server_unlisten(gw->server, mg_slice_z(gw->config->listen[i]));
  mg_gw_http_limits(n->config, &limits);
  mg_http_server_set_limits(gw->server, &limits);
  mg_gw_endpoints_free(gw->endpoints, gw->n_endpoints);
  gw->endpoints = n->endpoints;
  gw->n_endpoints = n->n_endpoints;
  if (same_admin(gw->config, n->config)) return;
  if (gw->admin) mg_http_server_free(gw->admin);
  gw->admin = n->admin;
}

static void move_clients(struct mcpgw_gateway *gw, struct next *n) {
  for (struct mg_list *node = gw->clients.next; node != &gw->clients; node = node->next) {
    struct mcpgw_client *c = (struct mcpgw_client *)node;
    c->view = mg_reload_view(n->core, c->view);
  }
}

/* Those of the modern era have no context of their own whose end would tell them. */
static void tell_clients(struct mcpgw_gateway *gw) {
  for (struct mg_list *node = gw->clients.next; node != &gw->clients; node = node->next) {
    struct mcpgw_client *c = (struct mcpgw_client *)node;
    if (!c->view.n && !c->view.all) mg_peer_fail(c, "its server was removed from the configuration");
  }
}

static void say(struct mcpgw_gateway *gw, const struct mg_changes *ch, const struct mg_config *old) {
  char kept[24], added[24], changed[24], removed[24];
  snprintf(kept, sizeof kept, "%zu", ch->kept);
  snprintf(added, sizeof added, "%zu", ch->added);
  snprintf(changed, sizeof changed, "%zu", ch->changed);
  snprintf(removed, sizeof removed, "%zu", ch->removed);
  mg_log(&gw->log, MG_LOG_INFO, "config.reloaded", "kept", kept, "added", added, "changed", changed, "removed", removed,
         (char *)0);
  for (size_t i = 0; i < sizeof fixed_keys / sizeof *fixed_keys; i++)
    if (!mg_config_same_key(old, gw->config, fixed_keys[i]))
      mg_log(&gw->log, MG_LOG_WARN, "config.needs_restart", "key", fixed_keys[i], "text",
             "it changed, but takes effect with the next start only", (char *)0);
}

static void commit(struct mcpgw_gateway *gw, struct next *n) {
  struct mg_gw_upstream **old_ups = gw->ups;
  struct mg_config *old = gw->config;
  struct mg_changes changes = *mg_reload_changes(n->core);
  switch_listeners(gw, n);
  move_clients(gw, n);
  gw->config = mg_config_ref(n->config);
  gw->ups = n->ups;
  gw->budget.limit = (size_t)n->config->limits.memory_bytes;
  gw->log.level = n->config->log_level;
  gw->reloads++;
  for (size_t i = 0; i < n->config->n_servers; i++) { /* what is kept lives in the new document from here on */
    struct mg_gw_upstream *up = gw->ups[i];
    mg_config_ref(n->config);
    mg_config_unref(up->config);
    up->config = n->config;
    up->cfg = &n->config->servers[i];
  }
  mg_reload_commit(n->core, mg_gw_now(gw));
  for (size_t i = 0; i < old->n_servers; i++) mg_gw_upstream_unref(old_ups[i]);
  mg_free(old_ups);
  tell_clients(gw);
  say(gw, &changes, old);
  mg_config_unref(old);
}

int mg_gw_reload(struct mcpgw_gateway *gw, struct mg_config *config) {
  struct next n = {.config = config};
  mg_err_clear(&gw->err);
  if (gw->stopping) return mg_err_set(&gw->err, MCPGW_E_STATE, "the gateway is stopping");
  int rc = mg_config_check_listen(config, &gw->err);
  if (rc == MCPGW_OK) rc = mg_gw_check_children(config, gw->launcher, &gw->err);
  if (rc == MCPGW_OK) rc = make_ups(gw, &n);
  if (rc == MCPGW_OK) rc = open_all(gw, &n);
  if (rc == MCPGW_OK) rc = mg_reload_plan(gw->core, config, &n.core);
  if (rc != MCPGW_OK) {
    undo(gw, &n);
    mg_err_set(&gw->err, rc, "%s", mg_rc_name(rc));
    mg_log(&gw->log, MG_LOG_ERROR, "config.refused", "reason", mg_err_text(&gw->err), "text",
           "everything stays as it was", (char *)0);
    return rc;
  }
  commit(gw, &n);
  mg_gw_settle(gw);
  return MCPGW_OK;
}
