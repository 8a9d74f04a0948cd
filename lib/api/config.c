/* api/config: the doors for configurations. A handle holds one snapshot and the text of its last failure;
 * a snapshot that a gateway has taken is never changed: the handle gets one of its own. */
#include <string.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/mem.h"
#include "json/scan.h"

int mcpgw_config_new(mcpgw_config **out) {
  if (!out) return MCPGW_E_INVALID;
  mcpgw_config *c = mg_calloc(1, sizeof *c);
  if (!c) return MCPGW_E_NOMEM;
  int rc = mg_config_new(&c->snapshot);
  if (rc != MCPGW_OK) {
    mg_free(c);
    return rc;
  }
  *out = c;
  return MCPGW_OK;
}

void mcpgw_config_free(mcpgw_config *config) {
  if (!config) return;
  mg_config_unref(config->snapshot);
  mg_buf_done(&config->note);
  mg_free(config);
}

/* Takes next over. */
static int replace(mcpgw_config *config, struct mg_config *next) {
  int rc = config->pins == MCPGW_PINS_IGNORE ? MCPGW_OK : mg_config_lock(next, &config->err);
  if (rc != MCPGW_OK) {
    mg_config_unref(next);
    return rc;
  }
  if (config->pins != MCPGW_PINS_OBEY) next->pin.mode = MG_PIN_OFF;
  mg_config_unref(config->snapshot);
  config->snapshot = next;
  config->taken = 0;
  return MCPGW_OK;
}

int mcpgw_config_load_file(mcpgw_config *config, const char *path, size_t path_len, const char *const *env) {
  static const char *const nothing[] = {NULL};
  struct mg_config *next;
  if (!config || !path) return MCPGW_E_INVALID;
  mg_err_clear(&config->err);
  char *z = mg_memdup(path, path_len);
  if (!z) return MCPGW_E_NOMEM;
  int rc = mg_config_load(z, env ? env : nothing, &next, &config->err);
  mg_free(z);
  return rc == MCPGW_OK ? replace(config, next) : rc;
}

int mcpgw_config_load_mem(mcpgw_config *config, const char *text, size_t text_len, const char *const *env) {
  static const char *const nothing[] = {NULL};
  struct mg_config *next;
  if (!config || !text) return MCPGW_E_INVALID;
  mg_err_clear(&config->err);
  int rc = mg_config_parse(mg_slice(text, text_len), env ? env : nothing, NULL, &next, &config->err);
  return rc == MCPGW_OK ? replace(config, next) : rc;
}

/* A change is made to a snapshot that is ours alone. */
static int writable(mcpgw_config *config) {
  if (!config) return MCPGW_E_INVALID;
  mg_err_clear(&config->err);
  if (!config->taken) return MCPGW_OK;
  return mg_err_set(&config->err, MCPGW_E_STATE, "a gateway was made from this configuration; make a new one to change it");
}

int mcpgw_config_add_stdio(mcpgw_config *config, const char *name, size_t name_len, const char *const *argv,
                           const char *const *env, const char *cwd) {
  int rc = writable(config);
  if (rc != MCPGW_OK) return rc;
  if (!name || !argv || !argv[0]) return mg_err_set(&config->err, MCPGW_E_INVALID, "a stdio server needs a name and a command");
  return mg_config_add_stdio(config->snapshot, mg_slice(name, name_len), argv, env, cwd, &config->err);
}

int mcpgw_config_add_http(mcpgw_config *config, const char *name, size_t name_len, const char *url, size_t url_len,
                          const char *const *headers) {
  int rc = writable(config);
  if (rc != MCPGW_OK) return rc;
  if (!name || !url) return mg_err_set(&config->err, MCPGW_E_INVALID, "an http server needs a name and a url");
  return mg_config_add_http(config->snapshot, mg_slice(name, name_len), mg_slice(url, url_len), headers, &config->err);
}

int mcpgw_config_add_custom(mcpgw_config *config, const char *name, size_t name_len) {
  int rc = writable(config);
  if (rc != MCPGW_OK) return rc;
  if (!name) return mg_err_set(&config->err, MCPGW_E_INVALID, "a server needs a name");
  return mg_config_add_custom(config->snapshot, mg_slice(name, name_len), &config->err);
}

int mcpgw_config_set_listen(mcpgw_config *config, const char *addr) {
  int rc = writable(config);
  if (rc == MCPGW_OK) rc = mg_config_set_listen(config->snapshot, addr);
  if (rc == MCPGW_E_INVALID && config)
    mg_err_set(&config->err, rc, "an address is HOST:PORT, [IPV6]:PORT or unix:/path");
  return rc;
}

int mcpgw_config_set_state_dir(mcpgw_config *config, const char *path) {
  int rc = writable(config);
  if (rc == MCPGW_OK) rc = mg_config_set_state_dir(config->snapshot, path);
  if (rc == MCPGW_E_INVALID && config) mg_err_set(&config->err, rc, "a state directory has a name");
  return rc;
}

const char *mcpgw_config_state_dir(const mcpgw_config *config) {
  return config ? config->snapshot->state_dir : NULL;
}

int mcpgw_config_set_insecure_plain_http(mcpgw_config *config, int32_t yes) {
  int rc = writable(config);
  if (rc == MCPGW_OK) config->snapshot->insecure_plain_http = yes != 0;
  return rc;
}

int mcpgw_config_set_log_level(mcpgw_config *config, int32_t level) {
  int rc = writable(config);
  if (rc != MCPGW_OK) return rc;
  if (level < MCPGW_LOG_ERROR || level > MCPGW_LOG_DEBUG) return MCPGW_E_INVALID;
  config->snapshot->log_level = level;
  return MCPGW_OK;
}

/* ---- pinned definitions ------------------------------------------------------------------------------- */

int mcpgw_config_set_pins(mcpgw_config *config, uint32_t use) {
  if (!config || use > MCPGW_PINS_IGNORE) return MCPGW_E_INVALID;
  config->pins = use;
  return MCPGW_OK;
}

const char *mcpgw_config_pin_file(const mcpgw_config *config) {
  return config ? config->snapshot->pin.file : NULL;
}

int mcpgw_config_pinned(const mcpgw_config *config, const char *server, size_t server_len, uint32_t kind, const char *name,
                        size_t name_len, const char *definition, size_t definition_len, uint32_t *verdict, char **changed) {
  static const struct mg_shape any = {NULL, 0};
  struct mg_slice doc = mg_slice(definition, definition_len);
  struct mg_scan_result why;
  struct mg_span root;
  struct mg_buf text;
  if (!config || !server || !name || !definition || !verdict || !changed) return MCPGW_E_INVALID;
  if (kind != MCPGW_PIN_TOOL && kind != MCPGW_PIN_PROMPT) return MCPGW_E_INVALID;
  if (mg_json_scan(doc, &any, NULL, 0, &root, &why) != MCPGW_OK || root.type != MG_JSON_OBJECT) return MCPGW_E_PARSE;
  mg_buf_init(&text, 65536);
  int found = mg_config_pinned(config->snapshot, mg_slice(server, server_len), (int)kind, mg_slice(name, name_len), doc, &text);
  mg_buf_addc(&text, 0);
  int rc = mg_buf_rc(&text);
  if (rc != MCPGW_OK) {
    mg_buf_done(&text);
    return rc;
  }
  *verdict = (uint32_t)found;
  *changed = text.ptr; /* the buffer's memory is the caller's now */
  return MCPGW_OK;
}

const char *mcpgw_config_admin_listen(const mcpgw_config *config) {
  return config ? config->snapshot->admin_listen : NULL;
}

const char *mcpgw_config_admin_token(const mcpgw_config *config) {
  return config ? config->snapshot->admin_token : NULL;
}

const char *mcpgw_config_no_handle(const mcpgw_config *config) {
  if (!config) return NULL;
  switch (config->snapshot->contexts.no_handle) {
  case MG_NO_HANDLE_FRESH: return "fresh";
  case MG_NO_HANDLE_REFUSE: return "refuse";
  default: return "principal";
  }
}

int mcpgw_config_check_listen(mcpgw_config *config) {
  if (!config) return MCPGW_E_INVALID;
  mg_err_clear(&config->err);
  return mg_config_check_listen(config->snapshot, &config->err);
}

const char *mcpgw_config_error(const mcpgw_config *config) {
  return config ? mg_err_text(&config->err) : "";
}

size_t mcpgw_config_servers(const mcpgw_config *config) {
  return config ? config->snapshot->n_servers : 0;
}

const char *mcpgw_config_server_name(const mcpgw_config *config, size_t index) {
  return index < mcpgw_config_servers(config) ? config->snapshot->servers[index].name : NULL;
}

const char *mcpgw_config_server_slug(const mcpgw_config *config, size_t index) {
  return index < mcpgw_config_servers(config) ? config->snapshot->servers[index].slug : NULL;
}

size_t mcpgw_config_notes(const mcpgw_config *config) {
  return config ? config->snapshot->n_notes : 0;
}

const char *mcpgw_config_note(const mcpgw_config *config, size_t index) {
  if (index >= mcpgw_config_notes(config)) return NULL;
  struct mg_buf *b = &((mcpgw_config *)(uintptr_t)config)->note; /* a cache: the handle is not changed */
  if (!b->max) mg_buf_init(b, 65536);
  mg_buf_reset(b);
  mg_buf_addz(b, config->snapshot->notes[index].path);
  mg_buf_addz(b, ": ");
  mg_buf_addz(b, config->snapshot->notes[index].text);
  mg_buf_addc(b, 0);
  return mg_buf_rc(b) == MCPGW_OK ? b->ptr : NULL;
}
