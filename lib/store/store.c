/* store/store: owns the handle: a reference count, a table of operations and the text of the last failure. Must
 * never know what is behind the table, but that open puts LMDB there. */
#include "store/store.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "store/priv.h"

struct mcpgw_store {
  atomic_uint refs;
  const mcpgw_store_ops *ops; /* NULL: not open */
  void *backend;
  int logs;                   /* the backend writes to the log that came with this handle */
  struct mg_err err;
};

static void close_env(void *env) {
  mg_env_close(env);
}

static const mcpgw_store_ops lmdb_ops = {
    sizeof lmdb_ops, "lmdb", mg_env_get, mg_env_write, mg_env_scan, mg_env_stats, close_env,
};

int mg_store_new(mcpgw_store **out) {
  mcpgw_store *s = mg_calloc(1, sizeof *s);
  if (!s) return MCPGW_E_NOMEM;
  atomic_init(&s->refs, 1);
  *out = s;
  return MCPGW_OK;
}

mcpgw_store *mg_store_ref(mcpgw_store *s) {
  atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

void mg_store_unref(mcpgw_store *s) {
  if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
  if (s->logs) mg_env_quiet(s->backend);
  if (s->ops) s->ops->close(s->backend);
  mg_free(s);
}

const char *mg_store_error(const mcpgw_store *s) {
  return mg_err_text(&s->err);
}

int mg_store_open_custom(mcpgw_store *s, const mcpgw_store_ops *ops, void *backend) {
  mg_err_clear(&s->err);
  if (s->ops) return mg_err_set(&s->err, MCPGW_E_STATE, "the handle is open already");
  s->backend = backend;
  s->ops = ops;
  return MCPGW_OK;
}

int mg_store_open(mcpgw_store *s, struct mg_slice path, const mcpgw_store_options *o) {
  struct mg_env *env;
  mg_err_clear(&s->err);
  if (s->ops) return mg_err_set(&s->err, MCPGW_E_STATE, "the handle is open already");
  int rc = mg_env_open(path, o, &env, &s->logs, &s->err);
  if (rc != MCPGW_OK) return mg_err_set(&s->err, rc, "%s", mg_rc_name(rc));
  return mg_store_open_custom(s, &lmdb_ops, env);
}

const void *mg_store_identity(const mcpgw_store *s) {
  return s->backend;
}

int mg_store_get(mcpgw_store *s, uint32_t kind, struct mg_slice key, mcpgw_store_cb cb, void *arg) {
  return s->ops ? s->ops->get(s->backend, kind, key.ptr, key.len, cb, arg) : MCPGW_E_STATE;
}

int mg_store_scan(mcpgw_store *s, uint32_t kind, struct mg_slice prefix, mcpgw_store_cb cb, void *arg) {
  return s->ops ? s->ops->scan(s->backend, kind, prefix.ptr, prefix.len, cb, arg) : MCPGW_E_STATE;
}

int mg_store_write(mcpgw_store *s, uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg) {
  return s->ops ? s->ops->write(s->backend, op, flags, r, cb, arg) : MCPGW_E_STATE;
}

int mg_store_stats(mcpgw_store *s, char **out) {
  if (!s->ops) return MCPGW_E_STATE;
  return s->ops->stats ? s->ops->stats(s->backend, out) : MCPGW_E_UNSUPPORTED;
}

int mg_store_check(mcpgw_store *s, char **out) {
  mg_err_clear(&s->err);
  if (s->ops != &lmdb_ops) return s->ops ? MCPGW_E_UNSUPPORTED : MCPGW_E_STATE;
  int rc = mg_env_check(s->backend, out);
  return rc == MCPGW_OK ? rc : mg_err_set(&s->err, rc, rc == MCPGW_E_PARSE ? "the store is damaged" : "%s", mg_rc_name(rc));
}

int mg_store_compact(mcpgw_store *s, struct mg_slice path) {
  mg_err_clear(&s->err);
  if (s->ops) return mg_err_set(&s->err, MCPGW_E_STATE, "a store is compacted while nobody has it open");
  int rc = mg_env_compact(path, &s->err);
  return rc == MCPGW_OK ? rc : mg_err_set(&s->err, rc, "%s", mg_rc_name(rc));
}
