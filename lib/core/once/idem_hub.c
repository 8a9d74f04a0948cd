/* core/once/idem_hub: owns what the instances of one process must know of each other: which operation runs a key, and
 * who waits for it. Waiters are woken by the store's thread, straight after the commit. Must never call out of the
 * room with its lock held, but for an instance's wake. */
#include <string.h>

#include "base/map.h"
#include "core/once/idem_priv.h"

#define SPOTS_MAX ((size_t)1 << 20)

static pthread_mutex_t hub_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mg_map *spots; /* NULL while there are none */

static void spot_key(const mcpgw_operation *op, unsigned char out[8 + MG_HASH_LEN]) {
  uint64_t store = (uint64_t)(uintptr_t)mg_store_identity(op->idem->store);
  memcpy(out, &store, 8);
  memcpy(out + 8, op->scope, MG_HASH_LEN);
}

static int spot_get(mcpgw_operation *op, struct mg_spot **out) {
  unsigned char key[8 + MG_HASH_LEN];
  struct mg_slice k = mg_slice(key, sizeof key);
  spot_key(op, key);
  if (!spots && !(spots = mg_map_new(SPOTS_MAX))) return MCPGW_E_NOMEM;
  struct mg_spot *s = mg_map_get(spots, k);
  if (!s) {
    if (!(s = mg_calloc(1, sizeof *s))) return MCPGW_E_NOMEM;
    memcpy(s->key, key, sizeof key);
    mg_list_init(&s->waiters);
    int rc = mg_map_put(spots, k, s);
    if (rc != MCPGW_OK) {
      mg_free(s);
      return rc;
    }
  }
  s->refs++;
  *out = s;
  return MCPGW_OK;
}

static void tidy(void) {
  if (!spots || mg_map_count(spots)) return;
  mg_map_free(spots);
  spots = NULL;
}

int mg_hub_enter(mcpgw_operation *op) {
  pthread_mutex_lock(&hub_lock);
  int rc = spot_get(op, &op->spot);
  if (rc != MCPGW_OK) tidy();
  pthread_mutex_unlock(&hub_lock);
  return rc;
}

/* Those who wait look for themselves, or are given the bytes. Under the lock. */
static void tell_waiters(struct mg_spot *s, struct mg_payload *payload) {
  struct mg_list *at;
  while ((at = mg_list_first(&s->waiters))) {
    mcpgw_operation *w = MG_CONTAINER(at, mcpgw_operation, in_spot);
    mg_list_del(at);
    if (payload) {
      atomic_fetch_add(&payload->refs, 1);
      w->payload = payload; /* it has none: it waits */
    }
    mg_op_post(w, payload ? EVENT_PAYLOAD : EVENT_LOOK);
  }
}

void mg_hub_leave(mcpgw_operation *op) {
  struct mg_spot *s = op->spot;
  if (!s) return;
  pthread_mutex_lock(&hub_lock);
  mg_list_del(&op->in_spot);
  if (s->running == op) {
    s->running = NULL;
    tell_waiters(s, NULL);
  }
  op->spot = NULL;
  if (--s->refs == 0) {
    mg_map_del(spots, mg_slice(s->key, sizeof s->key));
    mg_free(s);
    tidy();
  }
  pthread_mutex_unlock(&hub_lock);
}

int mg_hub_claim(mcpgw_operation *op) {
  pthread_mutex_lock(&hub_lock);
  pthread_mutex_lock(&op->idem->lock);
  int wanted = !op->freed;
  pthread_mutex_unlock(&op->idem->lock);
  if (wanted) op->spot->running = op;
  pthread_mutex_unlock(&hub_lock);
  return wanted;
}

int mg_hub_join(mcpgw_operation *op, uint64_t instance) {
  pthread_mutex_lock(&hub_lock);
  const mcpgw_operation *running = op->spot->running;
  int runs = running && running->idem->instance == instance;
  if (runs) mg_list_add(&op->spot->waiters, &op->in_spot);
  pthread_mutex_unlock(&hub_lock);
  return runs;
}

int mg_hub_waited_for(mcpgw_operation *op) {
  pthread_mutex_lock(&hub_lock);
  int yes = !mg_list_empty(&op->spot->waiters);
  pthread_mutex_unlock(&hub_lock);
  return yes;
}

void mg_hub_end(mcpgw_operation *op, struct mg_payload *payload) {
  pthread_mutex_lock(&hub_lock);
  if (op->spot->running == op) op->spot->running = NULL;
  tell_waiters(op->spot, payload);
  pthread_mutex_unlock(&hub_lock);
}
