/* api/store: the doors of <mcpgw/store.h>: arguments are checked here, once. */
#include "store/store.h"

#include <string.h>

#include "api/api.h"

void mcpgw_record_init(mcpgw_record *record) {
  if (!record) return;
  memset(record, 0, sizeof *record);
  record->struct_size = sizeof *record;
}

void mcpgw_store_options_init(mcpgw_store_options *options) {
  if (!options) return;
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
}

int mcpgw_store_new(mcpgw_store **out) {
  return out ? mg_store_new(out) : MCPGW_E_INVALID;
}

mcpgw_store *mcpgw_store_ref(mcpgw_store *store) {
  return store ? mg_store_ref(store) : NULL;
}

void mcpgw_store_unref(mcpgw_store *store) {
  mg_store_unref(store);
}

int mcpgw_store_open(mcpgw_store *store, const char *path, size_t path_len, const mcpgw_store_options *options) {
  mcpgw_store_options o;
  if (!store || !path || !path_len || memchr(path, 0, path_len)) return MCPGW_E_INVALID;
  mcpgw_store_options_init(&o);
  if (options) {
    size_t n = options->struct_size < sizeof o ? options->struct_size : sizeof o;
    if (n < sizeof o.struct_size) return MCPGW_E_INVALID;
    memcpy(&o, options, n);
  }
  return mg_store_open(store, mg_slice(path, path_len), &o);
}

int mcpgw_store_open_custom(mcpgw_store *store, const mcpgw_store_ops *ops, void *backend) {
  if (!store || !ops || ops->struct_size < sizeof *ops || !ops->get || !ops->write || !ops->scan || !ops->close)
    return MCPGW_E_INVALID;
  return mg_store_open_custom(store, ops, backend);
}

const char *mcpgw_store_error(const mcpgw_store *store) {
  return store ? mg_store_error(store) : "";
}

static int bad_key(uint32_t kind, const char *key, size_t len) {
  return !kind || kind > 255 || !key || !len || len > MCPGW_STORE_KEY_MAX;
}

int mcpgw_store_get(mcpgw_store *store, uint32_t kind, const char *key, size_t key_len, mcpgw_store_cb cb, void *arg) {
  if (!store || !cb || bad_key(kind, key, key_len)) return MCPGW_E_INVALID;
  return mg_store_get(store, kind, mg_slice(key, key_len), cb, arg);
}

int mcpgw_store_scan(mcpgw_store *store, uint32_t kind, const char *prefix, size_t prefix_len, mcpgw_store_cb cb, void *arg) {
  if (!store || !cb || !kind || kind > 255 || (prefix_len && !prefix) || prefix_len > MCPGW_STORE_KEY_MAX) return MCPGW_E_INVALID;
  return mg_store_scan(store, kind, mg_slice(prefix, prefix_len), cb, arg);
}

static int write(mcpgw_store *s, uint32_t op, uint32_t flags, const mcpgw_record *record, mcpgw_store_cb cb, void *arg) {
  mcpgw_record r;
  if (!s || !record || record->struct_size < sizeof record->struct_size || flags > MCPGW_STORE_ASYNC) return MCPGW_E_INVALID;
  mcpgw_record_init(&r);
  memcpy(&r, record, record->struct_size < sizeof r ? record->struct_size : sizeof r);
  if (bad_key(r.kind, r.key, r.key_len) || (r.value_len && !r.value)) return MCPGW_E_INVALID;
  if (r.value_len > MCPGW_STORE_VALUE_MAX) return MCPGW_E_LIMIT;
  return mg_store_write(s, op, flags, &r, cb, arg);
}

int mcpgw_store_put(mcpgw_store *store, const mcpgw_record *record) {
  return write(store, MCPGW_STORE_PUT, 0, record, NULL, NULL);
}

int mcpgw_store_put_durable(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb, void *arg) {
  return cb ? write(store, MCPGW_STORE_PUT, flags, record, cb, arg) : MCPGW_E_INVALID;
}

int mcpgw_store_insert_durable(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb, void *arg) {
  return cb ? write(store, MCPGW_STORE_INSERT, flags, record, cb, arg) : MCPGW_E_INVALID;
}

int mcpgw_store_replace_if(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb, void *arg) {
  return cb ? write(store, MCPGW_STORE_REPLACE, flags, record, cb, arg) : MCPGW_E_INVALID;
}

int mcpgw_store_delete(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb, void *arg) {
  return write(store, MCPGW_STORE_DELETE, flags, record, cb, arg);
}

int mcpgw_store_stats(mcpgw_store *store, char **out) {
  return store && out ? mg_store_stats(store, out) : MCPGW_E_INVALID;
}

int mcpgw_store_check(mcpgw_store *store, char **out) {
  return store && out ? mg_store_check(store, out) : MCPGW_E_INVALID;
}

int mcpgw_store_compact(mcpgw_store *store, const char *path, size_t path_len) {
  if (!store || !path || !path_len || memchr(path, 0, path_len)) return MCPGW_E_INVALID;
  return mg_store_compact(store, mg_slice(path, path_len));
}
