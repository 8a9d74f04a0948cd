/* core/once/idem_op: owns one call's way through the contract: insert decides; who finds a record judges it, joins, waits,
 * takes over or tells; who runs it finishes or abandons. Must never let a call run whose intent is not durable, nor
 * say that one is stored that is not. */
#include "core/once/idem_op.h"

#include <string.h>

#include "base/buf.h"
#include "base/id.h"

static void destroy(mcpgw_operation *op) {
  mg_hub_leave(op);
  mg_payload_unref(op->payload);
  mg_free(op->found);
  mg_free(op);
}

/* ---- to the store and back -------------------------------------------------------------------------------------- */

/* What is there is kept with the operation. In whatever thread. */
static int keep_found(mcpgw_operation *op, const mcpgw_record *r) {
  mg_free(op->found);
  op->found = mg_memdup(r->value ? r->value : "", r->value ? r->value_len : 0);
  op->found_len = op->found && r->value ? r->value_len : 0;
  op->seen_version = r->version;
  return op->found ? MCPGW_OK : MCPGW_E_NOMEM;
}

/* A record that nobody will run: its caller went away while it was being written. */
static void take_back(mcpgw_operation *op, const mcpgw_record *r) {
  mcpgw_record gone = *r;
  gone.value = NULL;
  gone.value_len = 0;
  mg_store_write(op->idem->store, MCPGW_STORE_DELETE, 0, &gone, NULL, NULL);
}

/* The store has answered. Either the operation is destroyed here, or it is in the inbox and its owner may free it. */
static void complete(mcpgw_operation *op, int rc, const mcpgw_record *r) {
  mcpgw_idempotency *i = op->idem;
  pthread_mutex_lock(&i->lock);
  int begins = op->writing == STAGE_INSERT || op->writing == STAGE_TAKE, freed = op->freed;
  op->pending = 0;
  op->rc = rc;
  if (rc == MCPGW_OK && begins) {
    op->open = !freed;
    op->version = r->version;
  }
  if ((rc == MCPGW_E_EXISTS && begins) || (rc == MCPGW_OK && op->writing == STAGE_LOOK))
    if (keep_found(op, r) != MCPGW_OK) op->rc = MCPGW_E_NOMEM;
  mg_op_post_held(op, EVENT_STORE);
  pthread_mutex_unlock(&i->lock);
  if (freed) destroy(op);
  mg_idem_quiet(i); /* only now may the instance go */
}

/* [the store's thread] The hub is told before the owner: who joins from now on finds what is true. */
static int on_written(void *arg, int rc, const mcpgw_record *r) {
  mcpgw_operation *op = arg;
  int begins = op->writing == STAGE_INSERT || op->writing == STAGE_TAKE;
  if (begins && rc == MCPGW_OK && !mg_hub_claim(op)) take_back(op, r);
  if (op->writing == STAGE_FINISH && rc == MCPGW_OK) mg_hub_end(op, op->payload);
  if (op->writing == STAGE_ABANDON) mg_hub_end(op, NULL);
  complete(op, rc, r);
  return 0;
}

static int on_looked(void *arg, int rc, const mcpgw_record *r) {
  complete(arg, rc, r);
  return 0;
}

static void under_way(mcpgw_operation *op, int stage) {
  op->stage = stage;
  pthread_mutex_lock(&op->idem->lock);
  op->writing = stage;
  op->pending = 1;
  op->idem->pending++;
  pthread_mutex_unlock(&op->idem->lock);
}

static void not_under_way(mcpgw_operation *op, int rc) {
  pthread_mutex_lock(&op->idem->lock);
  op->pending = 0;
  op->rc = rc;
  op->idem->pending--;
  pthread_mutex_unlock(&op->idem->lock);
}

/* Writes the record in this state; version 0: inserts. */
static int write_record(mcpgw_operation *op, int stage, int state, uint64_t version, struct mg_slice bytes, uint64_t unix_ms) {
  mcpgw_idempotency *i = op->idem;
  struct mg_idem_record rec = {.state = state, .outcome = op->outcome, .owner = i->self, .instance = i->instance, .begun_ms = op->unix_ms};
  unsigned char head[MG_IDEM_HEAD];
  char *value = (char *)head;
  memcpy(rec.print, op->print, MG_HASH_LEN);
  mg_idem_encode(&rec, head);
  if (bytes.len) {
    if (!(value = mg_alloc(sizeof head + bytes.len))) return MCPGW_E_NOMEM;
    memcpy(value, head, sizeof head);
    memcpy(value + sizeof head, bytes.ptr, bytes.len);
  }
  mcpgw_record r = {.struct_size = sizeof r, .kind = MCPGW_KIND_IDEMPOTENCY, .key = (char *)op->scope, .key_len = MG_HASH_LEN,
                    .value = value, .value_len = sizeof head + bytes.len, .version = version, .expires_ms = unix_ms + i->options.ttl_ms};
  uint32_t flags = i->options.flags & MCPGW_IDEMPOTENCY_ASYNC ? MCPGW_STORE_ASYNC : 0;
  under_way(op, stage);
  int rc = mg_store_write(i->store, version ? MCPGW_STORE_REPLACE : MCPGW_STORE_INSERT, flags, &r, on_written, op);
  if (rc != MCPGW_OK) not_under_way(op, rc);
  if (value != (char *)head) mg_free(value);
  return rc;
}

static void settle(mcpgw_operation *op, uint32_t state, int error) {
  op->state = state;
  op->error = error;
  op->look_ms = 0;
}

void mg_op_refuse(mcpgw_operation *op, int rc) {
  op->stage = STAGE_IDLE;
  settle(op, MCPGW_OPERATION_REFUSED, rc);
  op->idem->n_refused++;
  mg_op_post(op, 0);
}

void mg_op_insert(mcpgw_operation *op) {
  int rc = write_record(op, STAGE_INSERT, MG_REC_RUNNING, 0, mg_slice(NULL, 0), op->unix_ms);
  if (rc != MCPGW_OK) mg_op_refuse(op, rc);
}

static void take_over(mcpgw_operation *op, uint64_t version) {
  int rc = write_record(op, STAGE_TAKE, MG_REC_RUNNING, version, mg_slice(NULL, 0), op->unix_ms);
  if (rc != MCPGW_OK) mg_op_refuse(op, rc);
}

static void look(mcpgw_operation *op) {
  under_way(op, STAGE_LOOK);
  int rc = mg_store_get(op->idem->store, MCPGW_KIND_IDEMPOTENCY, mg_slice(op->scope, MG_HASH_LEN), on_looked, op);
  if (rc == MCPGW_OK || rc == MCPGW_STORE_PENDING) return;
  not_under_way(op, rc);
  mg_op_post(op, EVENT_STORE);
}

/* ---- a record that is there ------------------------------------------------------------------------------------------ */

static void give(mcpgw_operation *op, uint32_t outcome, struct mg_slice bytes) {
  op->stage = STAGE_IDLE;
  op->outcome = outcome;
  op->result = bytes;
  settle(op, MCPGW_OPERATION_DONE, MCPGW_OK);
  op->idem->n_done++;
}

static void unknown(mcpgw_operation *op, int why) {
  op->stage = STAGE_IDLE;
  settle(op, MCPGW_OPERATION_UNKNOWN, why);
  op->idem->n_unknown++;
}

static void left_open(mcpgw_operation *op) {
  if (op->effect == (int)MCPGW_EFFECT_ONCE) unknown(op, MCPGW_OK);
  else take_over(op, op->seen_version);
}

/* Who ran it is gone, or so it seems. It may have been read before the writer told the hub whose it is: the writer is
 * asked, and once it answers, all that it wrote before has been told. And it was read before nobody was seen to run
 * it, so it may have ended meanwhile: the writer is asked again. */
static void owner_gone(mcpgw_operation *op) {
  if (op->doubted != op->seen_version) op->doubts = 0;
  op->doubted = op->seen_version;
  if (op->doubts++ < 2) mg_op_insert(op);
  else left_open(op);
}

static void wait_for_it(mcpgw_operation *op) {
  op->stage = STAGE_WAIT;
  if (op->state == MCPGW_OPERATION_JOINED) return;
  op->state = MCPGW_OPERATION_JOINED;
  op->idem->n_joined++;
}

static void judge_running(mcpgw_operation *op, const struct mg_idem_record *r, uint64_t now_ms) {
  mcpgw_idempotency *i = op->idem;
  if (mg_owner_same(&r->owner, &i->self)) {
    if (mg_hub_join(op, r->instance)) wait_for_it(op);
    else owner_gone(op);
  } else if (mg_owner_alive(&r->owner, &i->self)) {
    wait_for_it(op);
    op->look_ms = now_ms + MG_IDEM_POLL_MS;
    mg_heap_set(&i->alarms, &op->alarm, op->look_ms < op->deadline_ms ? op->look_ms : op->deadline_ms); /* a move */
  } else {
    owner_gone(op);
  }
}

static void judge(mcpgw_operation *op, uint64_t now_ms) {
  struct mg_idem_record r;
  if (mg_idem_decode(mg_slice(op->found, op->found_len), &r) != MCPGW_OK) {
    unknown(op, MCPGW_E_UNSUPPORTED); /* of another version: it may have run */
    return;
  }
  if (memcmp(r.print, op->print, MG_HASH_LEN) != 0) {
    op->stage = STAGE_IDLE;
    settle(op, MCPGW_OPERATION_CONFLICT, MCPGW_OK);
    op->idem->n_conflict++;
    return;
  }
  switch (r.state) {
  case MG_REC_DONE:
    give(op, r.outcome, r.bytes);
    break;
  case MG_REC_INPUT:
    op->continued = op->continues;
    if (op->continues) take_over(op, op->seen_version);
    else give(op, r.outcome, r.bytes);
    break;
  case MG_REC_NOT_KEPT:
    if (r.outcome == MCPGW_OUTCOME_INPUT && op->continues) { /* a question too long to be kept can be answered, too */
      op->continued = 1;
      take_over(op, op->seen_version);
      break;
    }
    op->stage = STAGE_IDLE;
    op->outcome = r.outcome;
    settle(op, MCPGW_OPERATION_NOT_KEPT, MCPGW_OK);
    op->idem->n_not_kept++;
    break;
  case MG_REC_RUNNING:
    judge_running(op, &r, now_ms);
    break;
  default:
    left_open(op);
  }
}

/* ---- what happened --------------------------------------------------------------------------------------------------- */

static void run(mcpgw_operation *op) {
  unsigned char mac[MG_HASH_LEN];
  struct mg_buf b;
  op->stage = STAGE_RUN;
  op->outcome = 0;
  mg_hash(mg_slice(op->idem->hmac_key, MG_HASH_LEN), mg_slice(op->scope, MG_HASH_LEN), mac);
  mg_buf_init(&b, 64);
  if (mg_base64_encode(&b, mg_slice(mac, sizeof mac), 1) == MCPGW_OK && b.len == MG_IDEM_KEY_TEXT)
    memcpy(op->upstream_key, b.ptr, MG_IDEM_KEY_TEXT);
  int made = b.len == MG_IDEM_KEY_TEXT;
  mg_buf_done(&b);
  if (!made) { /* out of memory: it has not run, and will not */
    mg_op_abandon(op, 0);
    mg_op_refuse(op, MCPGW_E_NOMEM);
    return;
  }
  mg_heap_set(&op->idem->alarms, &op->alarm, UINT64_MAX); /* the deadline is its caller's now */
  settle(op, MCPGW_OPERATION_NEW, MCPGW_OK);
  op->idem->n_new++;
}

static void stored(mcpgw_operation *op, int rc) {
  op->stage = STAGE_IDLE;
  op->open = op->open && rc != MCPGW_OK && rc != MCPGW_E_EXISTS && rc != MCPGW_E_NOT_FOUND;
  settle(op, rc == MCPGW_OK ? MCPGW_OPERATION_STORED : MCPGW_OPERATION_UNSTORED, rc);
  *(rc == MCPGW_OK ? &op->idem->n_stored : &op->idem->n_unstored) += 1;
}

static void on_store(mcpgw_operation *op, uint64_t now_ms) {
  int rc = op->rc;
  switch (op->stage) {
  case STAGE_INSERT:
  case STAGE_TAKE:
    if (rc == MCPGW_OK) run(op);
    else if (rc == MCPGW_E_EXISTS) judge(op, now_ms);
    else if (rc == MCPGW_E_NOT_FOUND) mg_op_insert(op);
    else mg_op_refuse(op, rc);
    break;
  case STAGE_LOOK:
    if (rc == MCPGW_OK) judge(op, now_ms);
    else if (rc == MCPGW_E_NOT_FOUND) mg_op_insert(op); /* it did not run: the key is free again */
    else unknown(op, rc);
    break;
  case STAGE_FINISH:
    stored(op, rc);
    break;
  case STAGE_IDLE: /* it was refused meanwhile: nothing has run */
    if (op->open) mg_op_abandon(op, 0);
    break;
  default:
    break;
  }
}

void mg_op_events(mcpgw_operation *op, unsigned events, uint64_t now_ms) {
  if (events & EVENT_STORE) on_store(op, now_ms);
  if (op->stage != STAGE_WAIT) return;
  if (events & EVENT_PAYLOAD) give(op, op->payload->outcome, mg_slice(op->payload->bytes, op->payload->len));
  else if (events & EVENT_LOOK) look(op);
}

void mg_op_alarm(mcpgw_operation *op, uint64_t now_ms) {
  mg_heap_set(&op->idem->alarms, &op->alarm, op->deadline_ms <= now_ms ? UINT64_MAX : op->deadline_ms);
  if (op->deadline_ms <= now_ms) {
    int waits = op->state == MCPGW_OPERATION_JOINED;
    if (!waits && op->state != MCPGW_OPERATION_PENDING) return;
    if (op->stage == STAGE_FINISH || op->stage == STAGE_RUN) return;
    mg_list_del(&op->in_held);
    if (!waits) {
      mg_op_refuse(op, MCPGW_E_TIMEOUT);
      return;
    }
    unknown(op, MCPGW_E_TIMEOUT);
    mg_op_post(op, 0);
  } else if (op->look_ms && op->stage == STAGE_WAIT) {
    op->look_ms = 0;
    look(op);
  }
}

/* ---- who runs it -------------------------------------------------------------------------------------------------------- */

void mg_op_sent(mcpgw_operation *op) {
  op->sent = 1;
}

void mg_op_unsent(mcpgw_operation *op) {
  op->sent = 0;
}

/* For those who wait in this process: also what is too large to be kept reaches them. NULL: nobody, or no memory,
 * then they look for themselves. */
static struct mg_payload *payload_for(mcpgw_operation *op, uint32_t outcome, struct mg_slice bytes) {
  if (!mg_hub_waited_for(op)) return NULL;
  struct mg_payload *p = mg_alloc(sizeof *p + bytes.len);
  if (!p) return NULL;
  atomic_init(&p->refs, 1);
  p->outcome = outcome;
  p->len = bytes.len;
  if (bytes.len) memcpy(p->bytes, bytes.ptr, bytes.len);
  return p;
}

int mg_op_finish(mcpgw_operation *op, uint32_t outcome, struct mg_slice bytes, uint64_t unix_ms) {
  if (op->state != MCPGW_OPERATION_NEW || op->stage != STAGE_RUN) return MCPGW_E_STATE;
  int fits = bytes.len <= op->idem->options.max_bytes;
  int state = !fits ? MG_REC_NOT_KEPT : outcome == MCPGW_OUTCOME_INPUT ? MG_REC_INPUT : MG_REC_DONE;
  op->sent = 1;
  op->payload = payload_for(op, outcome, bytes);
  op->outcome = outcome;
  op->state = MCPGW_OPERATION_PENDING;
  int rc = write_record(op, STAGE_FINISH, state, op->version, fits ? bytes : mg_slice(NULL, 0), unix_ms);
  if (rc == MCPGW_OK) return rc;
  stored(op, rc);
  mg_op_post(op, 0);
  return MCPGW_OK;
}

/* Whatever becomes of the write: one that is lost leaves the record open, and its owner is soon gone. */
int mg_op_abandon(mcpgw_operation *op, int ran) {
  if (!op->open) return MCPGW_E_STATE;
  op->open = 0;
  op->idem->n_abandoned++;
  op->outcome = 0;
  if (ran) return write_record(op, STAGE_ABANDON, MG_REC_UNKNOWN, op->version, mg_slice(NULL, 0), op->unix_ms);
  mcpgw_record r = {.struct_size = sizeof r, .kind = MCPGW_KIND_IDEMPOTENCY, .key = (char *)op->scope, .key_len = MG_HASH_LEN,
                    .version = op->version};
  under_way(op, STAGE_ABANDON);
  int rc = mg_store_write(op->idem->store, MCPGW_STORE_DELETE, 0, &r, on_written, op);
  if (rc != MCPGW_OK) not_under_way(op, rc);
  return rc;
}

void mg_op_free(mcpgw_operation *op) {
  if (!op) return;
  mcpgw_idempotency *i = op->idem;
  pthread_mutex_lock(&i->lock);
  int left = op->open && !op->pending; /* nothing more will be heard of it otherwise */
  pthread_mutex_unlock(&i->lock);
  if (left) mg_op_abandon(op, op->sent);
  mg_list_del(&op->in_all);
  mg_list_del(&op->in_held);
  mg_heap_del(&i->alarms, &op->alarm);
  i->open_ops--;
  pthread_mutex_lock(&i->lock);
  mg_list_del(&op->in_inbox);
  op->freed = 1;
  int pending = op->pending;
  pthread_mutex_unlock(&i->lock);
  if (!pending) destroy(op);
}

/* ---- what it is ---------------------------------------------------------------------------------------------------------- */

uint32_t mg_op_state(const mcpgw_operation *op) {
  return op->state;
}

int mg_op_error(const mcpgw_operation *op) {
  return op->error;
}

struct mg_slice mg_op_scope(const mcpgw_operation *op) {
  return mg_slice(op->scope, MG_HASH_LEN);
}

void *mg_op_user(const mcpgw_operation *op) {
  return op->user;
}

const char *mg_op_upstream_key(const mcpgw_operation *op) {
  return op->upstream_key;
}

int mg_op_continued(const mcpgw_operation *op) {
  return op->continued;
}

struct mg_slice mg_op_result(const mcpgw_operation *op, uint32_t *outcome) {
  *outcome = op->outcome;
  return op->result;
}
