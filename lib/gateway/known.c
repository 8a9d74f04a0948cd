/* gateway/known: owns the way from the brain to the store for what upstreams were when this gateway last ran. The
 * records are caches: they go first when the store fills, and a store that cannot be had is as good as an empty one. */
#include <stdatomic.h>

#include "base/mem.h"
#include "gateway/gateway.h"

#define VALUE_MAX ((size_t)32 << 20)

enum { ASKING, ANSWERED, ABANDONED };
struct question { /* of a read; a backend that answers later finds that nobody waits any more */
  atomic_int state;
  mg_blob *value;
};

static int on_record(void *arg, int rc, const mcpgw_record *r) {
  struct question *q = arg;
  if (atomic_load(&q->state) == ASKING) {
    if (rc == MCPGW_OK && r && r->value_len <= VALUE_MAX) q->value = mg_blob_copy(NULL, r->value, r->value_len);
    int expected = ASKING;
    if (atomic_compare_exchange_strong(&q->state, &expected, ANSWERED)) return 0;
    mg_blob_unref(q->value);
  }
  mg_free(q);
  return 0;
}

static mg_blob *recall(void *arg, struct mg_slice key) {
  struct question *q = mg_calloc(1, sizeof *q);
  mcpgw_store *store;
  if (!q || mg_state_store(arg, &store) != MCPGW_OK) {
    mg_free(q);
    return NULL;
  }
  int expected = ASKING, rc = mg_store_get(store, MCPGW_KIND_CATALOG, key, on_record, q);
  if (rc == MCPGW_STORE_PENDING && atomic_compare_exchange_strong(&q->state, &expected, ABANDONED)) return NULL; /* not in time */
  mg_blob *value = q->value;
  mg_free(q);
  return value;
}

static void keep(void *arg, struct mg_slice key, struct mg_slice value) {
  mcpgw_record r = {.struct_size = sizeof r, .kind = MCPGW_KIND_CATALOG, .key = key.ptr, .key_len = key.len,
                    .value = value.ptr, .value_len = value.len};
  struct mcpgw_gateway *gw = arg;
  mcpgw_store *store;
  int rc = mg_state_store(gw, &store);
  if (rc == MCPGW_OK) rc = mg_store_write(store, MCPGW_STORE_PUT, 0, &r, NULL, NULL);
  if (rc != MCPGW_OK && rc != MCPGW_E_UNSUPPORTED) mg_log(&gw->log, MG_LOG_DEBUG, "known.not_kept", "reason", mg_rc_name(rc), (char *)0);
}

void mg_known_offer(struct mcpgw_gateway *gw) {
  mg_core_set_known(gw->core, &(struct mg_known_port){recall, keep, gw});
}
