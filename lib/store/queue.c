/* store/queue: owns the writes that wait and the one thread that writes: it takes all that is there, does it in one
 * transaction, commits, and calls back. While it commits the next batch gathers: that is the whole of group commit.
 * Must never call back with a lock held, nor before the commit. A batch that fails is done again one by one, so that
 * each learns its own fate. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/priv.h"

#define BATCH_OPS 4096
#define BATCH_BYTES ((size_t)32 << 20)

void mg_write_free(struct mg_op *op) {
  if (!op) return;
  mg_free(op->found);
  mg_free(op);
}

static int op_new(uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg, struct mg_op **out) {
  size_t value_len = op == MCPGW_STORE_DELETE ? 0 : r->value_len;
  struct mg_op *o = mg_alloc(sizeof *o + r->key_len + value_len);
  if (!o) return MCPGW_E_NOMEM;
  memset(o, 0, sizeof *o);
  char *bytes = (char *)(o + 1);
  o->op = op;
  o->flags = flags;
  o->cb = cb;
  o->arg = arg;
  o->record = *r;
  o->wanted = r->version;
  memcpy(bytes, r->key, r->key_len);
  if (value_len) memcpy(bytes + r->key_len, r->value, value_len);
  o->record.struct_size = sizeof o->record;
  o->record.key = bytes;
  o->record.value = bytes + r->key_len;
  o->record.value_len = value_len;
  o->cost = sizeof *o + r->key_len + value_len;
  *out = o;
  return MCPGW_OK;
}

/* What nobody waits for may fill half of the queue, caches a quarter. Under the lock. */
static int queue_full(const struct mg_env *e, const struct mg_op *op) {
  uint64_t max = e->queue_max;
  if (!op->cb && op->op == MCPGW_STORE_PUT) max = mg_care_is_cache(op->record.kind) ? max / 4 : max / 2;
  return e->queued_bytes + op->cost > max;
}

int mg_env_write(void *env, uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg) {
  struct mg_env *e = env;
  struct mg_op *o;
  int rc = mg_env_usable(e);
  if (rc == MCPGW_OK && atomic_load(&e->broken)) rc = MCPGW_E_IO;
  if (rc == MCPGW_OK) rc = op_new(op, flags, r, cb, arg, &o);
  if (rc != MCPGW_OK) return rc;
  pthread_mutex_lock(&e->lock);
  if (e->closing) rc = MCPGW_E_STATE;
  else if (queue_full(e, o)) rc = MCPGW_E_LIMIT;
  int first = mg_list_empty(&e->queue);
  if (rc == MCPGW_OK) {
    mg_list_add(&e->queue, &o->node);
    e->queued++;
    e->queued_bytes += o->cost;
    if (first) pthread_cond_signal(&e->wake);
  }
  pthread_mutex_unlock(&e->lock);
  if (rc == MCPGW_OK) return rc;
  if (rc == MCPGW_E_LIMIT) atomic_fetch_add_explicit(&e->n_refused_queue, 1, memory_order_relaxed);
  mg_write_free(o);
  return rc;
}

/* ---- the writer ------------------------------------------------------------------------------------------------ */

static int must_sync(const struct mg_op *op) {
  return op->cb && !(op->flags & MCPGW_STORE_ASYNC);
}

struct batch {
  struct mg_env *e;
  struct mg_op *only; /* this one alone; NULL: all */
  struct mg_list *ops;
  MDB_txn *txn;
  int written, sync;
};

static int apply_one(struct batch *b, struct mg_op *op) {
  int rc = mg_apply(b->e, b->txn, op);
  if (!rc && op->rc == MCPGW_OK) {
    b->written = 1;
    b->sync |= must_sync(op);
  }
  return rc;
}

/* What need not survive a loss of power still must not take with it what does: its pages are on the disk before the
 * head that points to them (MDB_NOSYNC would leave their order to the kernel); only the head itself may wait. */
static void set_sync(struct mg_env *e, int sync) {
  if (e->lazy == !sync) return;
  mdb_env_set_flags(e->mdb, MDB_NOMETASYNC, !sync);
  e->lazy = !sync;
}

static int batch_body(void *arg) {
  struct batch *b = arg;
  struct mg_env *e = b->e;
  int rc = mdb_txn_begin(e->mdb, NULL, 0, &b->txn);
  if (rc) return rc;
  rc = mg_versions_load(e, b->txn);
  if (!rc) mg_care_measure(e, b->txn);
  if (!rc && b->only) rc = apply_one(b, b->only);
  for (struct mg_list *at = b->ops->next; !rc && !b->only && at != b->ops; at = at->next)
    rc = apply_one(b, MG_CONTAINER(at, struct mg_op, node));
  if (!rc && b->written) rc = mg_versions_save(e, b->txn);
  if (rc || !b->written) { /* nothing to write: all were told what is there */
    mdb_txn_abort(b->txn);
    b->txn = NULL;
    return rc;
  }
  set_sync(e, b->sync);
  MDB_txn *txn = b->txn;
  b->txn = NULL; /* whatever commit says, it is gone */
  return mdb_txn_commit(txn);
}

static int abort_body(void *arg) {
  mdb_txn_abort(arg);
  return 0;
}

/* 0, or LMDB's code: then nothing of it happened. */
static int run_transaction(struct mg_env *e, struct mg_list *ops, struct mg_op *only) {
  struct batch b = {.e = e, .ops = ops, .only = only};
  if (atomic_load(&e->broken)) return EIO;
  int rc = mg_trap_call(batch_body, &b);
  if (rc == MDB_PANIC && b.txn) mg_trap_call(abort_body, b.txn); /* others wait for its lock */
  if (rc == MDB_MAP_FULL || rc == ENOSPC) mg_env_check_readers(e);
  if (rc == MDB_PANIC || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND) mg_env_break(e, "writing", rc);
  if (rc || !b.written) return rc;
  atomic_fetch_add_explicit(&e->n_commits, 1, memory_order_relaxed);
  if (b.sync) e->unsynced = 0;
  else if (!e->unsynced) {
    e->unsynced = 1;
    e->async_at_ms = mg_now_ms();
  }
  mg_care_committed(e);
  return 0;
}

static void count(atomic_uint_fast64_t *n) {
  atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void settle(struct mg_env *e, struct mg_op *op) {
  count(&e->n_writes);
  if (op->rc == MCPGW_E_EXISTS) count(&e->n_exists);
  else if (op->rc == MCPGW_E_LIMIT) count(&e->n_full);
  else if (op->rc != MCPGW_OK && op->rc != MCPGW_E_NOT_FOUND) count(&e->n_failed);
  const mcpgw_record *r = op->rc == MCPGW_OK ? &op->record : op->rc == MCPGW_E_EXISTS ? &op->there : NULL;
  if (op->cb) op->cb(op->arg, op->rc, r);
  mg_write_free(op);
}

static void run_batch(struct mg_env *e, struct mg_list *ops) {
  int rc = run_transaction(e, ops, NULL);
  for (struct mg_list *at = ops->next; rc && at != ops; at = at->next) {
    struct mg_op *op = MG_CONTAINER(at, struct mg_op, node);
    int own = run_transaction(e, ops, op);
    if (own) op->rc = own == EIO && mg_disk_full(e, op->cost) ? MCPGW_E_LIMIT : mg_mdb_rc(own);
  }
  while (!mg_list_empty(ops)) {
    struct mg_list *at = mg_list_first(ops);
    mg_list_del(at);
    settle(e, MG_CONTAINER(at, struct mg_op, node));
  }
}

/* Under the lock. */
static size_t take(struct mg_env *e, struct mg_list *ops) {
  size_t n = 0, bytes = 0;
  mg_list_init(ops);
  while (n < BATCH_OPS && bytes < BATCH_BYTES && !mg_list_empty(&e->queue)) {
    struct mg_list *at = mg_list_first(&e->queue);
    mg_list_del(at);
    mg_list_add(ops, at);
    bytes += MG_CONTAINER(at, struct mg_op, node)->cost;
    n++;
  }
  e->queued -= n;
  e->queued_bytes -= bytes;
  return n;
}

static void wait_for_work(struct mg_env *e) {
  while (mg_list_empty(&e->queue) && !e->closing) {
    uint64_t now = mg_now_ms(), at = mg_care_next_ms(e);
    if (at <= now) return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)((at - now) / 1000);
    until.tv_nsec += (long)((at - now) % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    if (pthread_cond_timedwait(&e->wake, &e->lock, &until) == ETIMEDOUT) return;
  }
}

static void *writer(void *arg) {
  struct sched_param none = {0};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none); /* it runs beside the loops, never before them */
  struct mg_env *e = arg;
  struct mg_list ops;
  for (;;) {
    pthread_mutex_lock(&e->lock);
    wait_for_work(e);
    size_t n = take(e, &ops);
    int end = !n && e->closing;
    pthread_mutex_unlock(&e->lock);
    if (end) break;
    if (n) run_batch(e, &ops);
    uint64_t now = mg_now_ms();
    if (mg_care_next_ms(e) <= now) mg_care_tick(e, now);
  }
  if (e->unsynced && !atomic_load(&e->broken)) mdb_env_sync(e->mdb, 1);
  return NULL;
}

int mg_writer_start(struct mg_env *e) {
  pthread_condattr_t attr;
  sigset_t all, before;
  pthread_mutex_init(&e->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&e->wake, &attr);
  pthread_condattr_destroy(&attr);
  sigfillset(&all); /* the host's signals are not for this thread; XFSZ is an error code here */
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int rc = pthread_create(&e->writer, NULL, writer, e);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc == 0 ? MCPGW_OK : MCPGW_E_NOMEM;
}

void mg_writer_stop(struct mg_env *e) {
  pthread_mutex_lock(&e->lock);
  e->closing = 1;
  pthread_cond_signal(&e->wake);
  pthread_mutex_unlock(&e->lock);
  pthread_join(e->writer, NULL);
  pthread_cond_destroy(&e->wake);
  pthread_mutex_destroy(&e->lock);
}
