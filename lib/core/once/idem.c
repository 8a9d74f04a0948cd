/* core/once/idem: owns an instance: its operations, its inbox, its alarms and the key from which upstream keys are made.
 * What becomes of one operation is idem_op.c's. Must never block, but in free, which waits for the store's thread. */
#include "core/once/idem.h"

#include <string.h>

#include "base/clock.h"
#include "base/buf.h"
#include "base/id.h"
#include "core/once/idem_op.h"
#include "core/once/idem_priv.h"

#define KEY_NAME "idempotency"

void mg_payload_unref(struct mg_payload *p) {
  if (p && atomic_fetch_sub(&p->refs, 1) == 1) mg_free(p);
}

void mg_op_post_held(mcpgw_operation *op, unsigned events) {
  mcpgw_idempotency *i = op->idem;
  if (op->freed) return;
  op->events |= events;
  if (!op->in_inbox.next) mg_list_add(&i->inbox, &op->in_inbox);
  if (!i->closed && i->options.wake) i->options.wake(i->options.wake_data);
}

void mg_op_post(mcpgw_operation *op, unsigned events) {
  pthread_mutex_lock(&op->idem->lock);
  mg_op_post_held(op, events);
  pthread_mutex_unlock(&op->idem->lock);
}

/* ---- the key of upstream keys: made once a store, kept in it ------------------------------------------------------ */

static void key_settled(mcpgw_idempotency *i, int rc, const mcpgw_record *r) {
  pthread_mutex_lock(&i->lock);
  int have = r && r->value_len == MG_HASH_LEN && (rc == MCPGW_OK || rc == MCPGW_E_EXISTS);
  if (have) memcpy(i->hmac_key, r->value, MG_HASH_LEN);
  i->key_state = have ? KEY_READY : KEY_NONE;
  i->key_rc = have ? MCPGW_OK : rc == MCPGW_OK || rc == MCPGW_E_EXISTS ? MCPGW_E_PARSE : rc;
  i->key_event = 1;
  if (!i->closed && i->options.wake) i->options.wake(i->options.wake_data);
  pthread_mutex_unlock(&i->lock);
}

static int on_key(void *arg, int rc, const mcpgw_record *r) {
  mcpgw_idempotency *i = arg;
  key_settled(i, rc, r);
  mg_idem_quiet(i);
  return 0;
}

static void key_asked(mcpgw_idempotency *i, int asked) {
  pthread_mutex_lock(&i->lock);
  i->key_state = asked ? KEY_ASKED : KEY_NONE;
  i->pending += asked ? 1 : (size_t)-1;
  pthread_mutex_unlock(&i->lock);
}

static int make_key(mcpgw_idempotency *i) {
  unsigned char fresh[MG_HASH_LEN];
  int rc = mg_random(fresh, sizeof fresh);
  if (rc != MCPGW_OK) return rc;
  mcpgw_record r = {.struct_size = sizeof r, .kind = MCPGW_KIND_SECRET, .key = KEY_NAME, .key_len = sizeof KEY_NAME - 1,
                    .value = (char *)fresh, .value_len = sizeof fresh};
  key_asked(i, 1);
  rc = mg_store_write(i->store, MCPGW_STORE_INSERT, 0, &r, on_key, i);
  mg_secret_wipe(fresh, sizeof fresh);
  if (rc != MCPGW_OK) key_asked(i, 0);
  return rc;
}

int mg_idem_ask_key(mcpgw_idempotency *i) {
  key_asked(i, 1);
  int rc = mg_store_get(i->store, MCPGW_KIND_SECRET, MG_LIT(KEY_NAME), on_key, i);
  if (rc >= 0) return MCPGW_OK;
  key_asked(i, 0);
  return rc == MCPGW_E_NOT_FOUND ? make_key(i) : rc;
}

void mg_idem_quiet(mcpgw_idempotency *i) {
  pthread_mutex_lock(&i->lock);
  if (--i->pending == 0) pthread_cond_broadcast(&i->quiet);
  pthread_mutex_unlock(&i->lock);
}

/* ---- instances ------------------------------------------------------------------------------------------------------ */

static void destroy(mcpgw_idempotency *i) {
  if (!i) return;
  mg_heap_done(&i->alarms);
  mg_secret_free(i->hmac_key);
  pthread_mutex_destroy(&i->lock);
  pthread_cond_destroy(&i->quiet);
  mg_store_unref(i->store);
  mg_free(i);
}

static void defaults(mcpgw_idempotency_options *o) {
  if (!o->ttl_ms) o->ttl_ms = 86400000;
  if (!o->max_bytes) o->max_bytes = (uint64_t)1 << 20;
  if (!o->max_open) o->max_open = 65536;
}

int mg_idem_new(mcpgw_store *store, const mcpgw_idempotency_options *o, mcpgw_idempotency **out) {
  mcpgw_idempotency *i = mg_calloc(1, sizeof *i);
  if (!i) return MCPGW_E_NOMEM;
  int rc = MCPGW_E_NOMEM;
  pthread_mutex_init(&i->lock, NULL);
  pthread_cond_init(&i->quiet, NULL);
  i->store = mg_store_ref(store);
  i->options = *o;
  defaults(&i->options);
  mg_list_init(&i->all);
  mg_list_init(&i->held);
  mg_list_init(&i->inbox);
  mg_heap_init(&i->alarms, (size_t)i->options.max_open);
  if (!(i->hmac_key = mg_secret_alloc(MG_HASH_LEN))) goto out;
  if ((rc = mg_random(&i->instance, sizeof i->instance)) != MCPGW_OK) goto out;
  if ((rc = mg_owner_self(&i->self)) != MCPGW_OK) goto out;
  if ((rc = mg_idem_ask_key(i)) != MCPGW_OK) goto out;
  *out = i;
  i = NULL;
out:
  destroy(i);
  return rc;
}

void mg_idem_free(mcpgw_idempotency *i) {
  struct mg_list *at;
  if (!i) return;
  pthread_mutex_lock(&i->lock);
  i->closed = 1;
  pthread_mutex_unlock(&i->lock);
  while ((at = mg_list_first(&i->all))) mg_op_free(MG_CONTAINER(at, mcpgw_operation, in_all));
  pthread_mutex_lock(&i->lock);
  while (i->pending) pthread_cond_wait(&i->quiet, &i->lock);
  pthread_mutex_unlock(&i->lock);
  destroy(i);
}

/* ---- begin, next ------------------------------------------------------------------------------------------------------ */

static int op_new(mcpgw_idempotency *i, const mcpgw_idempotency_request *rq, void *user, mcpgw_operation **out) {
  mcpgw_operation *op = mg_calloc(1, sizeof *op);
  int rc = MCPGW_E_NOMEM;
  if (!op) return rc;
  op->idem = i;
  op->user = user;
  op->effect = (int)rq->effect;
  op->continues = (rq->flags & MCPGW_CALL_CONTINUES) != 0;
  op->unix_ms = rq->unix_ms;
  op->deadline_ms = rq->deadline_ms ? rq->deadline_ms : UINT64_MAX;
  mg_sha256(mg_slice(rq->arguments, rq->arguments_len), op->print);
  mg_idem_scope(rq, op->scope, &rc);
  if (rc == MCPGW_OK) rc = mg_hub_enter(op);
  if (rc == MCPGW_OK && (rc = mg_heap_set(&i->alarms, &op->alarm, op->deadline_ms)) != MCPGW_OK) mg_hub_leave(op);
  if (rc != MCPGW_OK) {
    mg_free(op);
    return rc;
  }
  mg_list_add(&i->all, &op->in_all);
  i->open_ops++;
  *out = op;
  return rc;
}

int mg_idem_begin(mcpgw_idempotency *i, const mcpgw_idempotency_request *rq, void *user, mcpgw_operation **out) {
  if (i->open_ops >= i->options.max_open) return MCPGW_E_LIMIT;
  int rc = op_new(i, rq, user, out);
  if (rc != MCPGW_OK) return rc;
  pthread_mutex_lock(&i->lock);
  int key = i->key_state;
  pthread_mutex_unlock(&i->lock);
  if (key == KEY_READY) {
    mg_op_insert(*out);
    return MCPGW_OK;
  }
  (*out)->stage = STAGE_HELD;
  mg_list_add(&i->held, &(*out)->in_held);
  if (key == KEY_NONE && (rc = mg_idem_ask_key(i)) != MCPGW_OK) {
    pthread_mutex_lock(&i->lock);
    i->key_rc = rc;
    i->key_event = 1;
    pthread_mutex_unlock(&i->lock);
  }
  return MCPGW_OK;
}

/* The key is there, or cannot be had: those who wait for it go on. */
static void release_held(mcpgw_idempotency *i, int rc) {
  struct mg_list *at;
  while ((at = mg_list_first(&i->held))) {
    mcpgw_operation *op = MG_CONTAINER(at, mcpgw_operation, in_held);
    mg_list_del(at);
    if (rc == MCPGW_OK) mg_op_insert(op);
    else mg_op_refuse(op, rc);
  }
}

static mcpgw_operation *take(mcpgw_idempotency *i, unsigned *events) {
  pthread_mutex_lock(&i->lock);
  struct mg_list *at = mg_list_first(&i->inbox);
  mcpgw_operation *op = at ? MG_CONTAINER(at, mcpgw_operation, in_inbox) : NULL;
  if (op) {
    mg_list_del(at);
    *events = op->events;
    op->events = 0;
  }
  pthread_mutex_unlock(&i->lock);
  return op;
}

static void ring_alarms(mcpgw_idempotency *i, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&i->alarms)) && top->at_ms <= now_ms)
    mg_op_alarm(MG_CONTAINER(top, mcpgw_operation, alarm), now_ms);
}

int mg_idem_next(mcpgw_idempotency *i, uint64_t now_ms, mcpgw_operation **out) {
  unsigned events;
  pthread_mutex_lock(&i->lock);
  int key_event = i->key_event, key_rc = i->key_rc;
  i->key_event = 0;
  pthread_mutex_unlock(&i->lock);
  if (key_event && key_rc == MCPGW_E_NOT_FOUND) key_rc = make_key(i); /* told by a store that is far away */
  else if (key_event) release_held(i, key_rc);
  if (key_event && key_rc != MCPGW_OK) release_held(i, key_rc);
  ring_alarms(i, now_ms);
  for (mcpgw_operation *op; (op = take(i, &events));) {
    mg_op_events(op, events, now_ms);
    if (op->state == op->told) continue;
    op->told = op->state;
    *out = op;
    return MCPGW_OK;
  }
  return MCPGW_E_AGAIN;
}

uint64_t mg_idem_alarm_ms(const mcpgw_idempotency *i) {
  struct mg_heap_node *top = mg_heap_top(&i->alarms);
  return top ? top->at_ms : UINT64_MAX;
}

int mg_idem_timeout_ms(mcpgw_idempotency *i, uint64_t now_ms) {
  pthread_mutex_lock(&i->lock);
  int now = i->key_event || !mg_list_empty(&i->inbox);
  pthread_mutex_unlock(&i->lock);
  if (now) return 0;
  uint64_t at = mg_idem_alarm_ms(i);
  if (at == UINT64_MAX) return -1;
  if (at <= now_ms) return 0;
  return at - now_ms > 86400000 ? 86400000 : (int)(at - now_ms);
}

int mg_idem_stats(mcpgw_idempotency *i, char **out) {
  const struct {
    const char *name;
    uint64_t n;
  } all[] = {{"open", i->open_ops},       {"new", i->n_new},         {"joined", i->n_joined},   {"replayed", i->n_done},
             {"conflicts", i->n_conflict}, {"unknown", i->n_unknown}, {"not_kept", i->n_not_kept}, {"refused", i->n_refused},
             {"stored", i->n_stored},     {"unstored", i->n_unstored}, {"abandoned", i->n_abandoned}};
  struct mg_buf b;
  mg_buf_init(&b, 4096);
  for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
    mg_buf_addz(&b, k ? ",\"" : "{\"");
    mg_buf_addz(&b, all[k].name);
    mg_buf_addz(&b, "\":");
    mg_buf_addu(&b, all[k].n);
  }
  mg_buf_add(&b, "}", 2); /* and the NUL */
  int rc = mg_buf_rc(&b);
  if (rc == MCPGW_OK) *out = b.ptr;
  else mg_buf_done(&b);
  return rc;
}
