/* store/care: owns what keeps the store within its bounds: how full it is, what goes when it fills, what has expired,
 * which readers are dead. Runs in the writer thread between batches. Must never remove an unexpired record that is
 * not a cache, whatever the pressure. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "store/priv.h"

#define SWEEP_MS 10000u
#define SWEEP_PRESSED_MS 1000u
#define SYNC_MS 1000u /* an async commit is on the disk after this long */
#define READERS_MS 60000u
#define APART_MS 60000 /* wall and monotonic time: further apart, nothing is taken for expired */
#define AGREE_MS 3600000u /* … until they have gone together again for so long */
#define PINNED_MS 1000u
#define PINNED_MAX_MS 64000u
#define SWEEP_BATCH 512
#define KINDS 256

int mg_care_is_cache(uint32_t kind) {
  return (kind & MCPGW_KIND_CACHE_BIT) != 0;
}

/* ---- pressure --------------------------------------------------------------------------------------------------- */

static const struct {
  unsigned percent;
} levels[] = {{0}, {80}, {85}, {90}, {95}}; /* LEVEL_* */

static uint64_t share(const struct mg_env *e, unsigned percent) {
  return e->quota / 100 * percent;
}

uint64_t mg_pages_used(struct mg_env *e, MDB_txn *txn) {
  const MDB_dbi all[] = {0, 1, e->records, e->expiry, e->meta}; /* 0: the free list, 1: the list of databases */
  MDB_stat st;
  uint64_t pages = 2;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (mdb_stat(txn, all[i], &st) == 0) pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
  return pages * e->page_bytes;
}

static int level_of(const struct mg_env *e, uint64_t used) {
  int level = LEVEL_OK;
  for (int i = LEVEL_SWEEP; i <= LEVEL_FULL; i++)
    if (used >= share(e, levels[i].percent)) level = i;
  return e->pinned ? LEVEL_FULL : level;
}

void mg_care_measure(struct mg_env *e, MDB_txn *txn) {
  e->used = mg_pages_used(e, txn);
  e->level = level_of(e, e->used);
}

/* The file may outgrow the quota by an eighth while somebody reads old pages; then only what completes or frees is
 * written, but for one try after 1 s, 2 s … 64 s whether the file still grows. */
void mg_care_committed(struct mg_env *e) {
  MDB_envinfo info;
  mdb_env_info(e->mdb, &info);
  uint64_t bytes = (info.me_last_pgno + 1) * e->page_bytes;
  e->pinned = bytes > e->file_bytes && bytes > e->quota + e->quota / 8;
  e->file_bytes = bytes;
  if (!e->pinned) {
    e->pinned_ms = 0;
    return;
  }
  e->pinned_at_ms = mg_now_ms();
  e->pinned_ms = e->pinned_ms && e->pinned_ms < PINNED_MAX_MS ? 2 * e->pinned_ms : e->pinned_ms ? e->pinned_ms : PINNED_MS;
  mg_env_check_readers(e);
}

static void tell_full(struct mg_env *e) {
  uint64_t now = mg_now_ms();
  if (e->told_full_ms && now - e->told_full_ms < 60000) return;
  e->told_full_ms = now;
  mg_log(&e->log, MG_LOG_WARN, "store.full", "path", e->path, "text",
         e->pinned ? "the file is beyond its quota: a reader holds old pages" : "the quota is nearly used up: raise store.quota_bytes",
         (char *)0);
}

int mg_care_room(struct mg_env *e, const struct mg_op *op) {
  if (op->op == MCPGW_STORE_DELETE) return 1;
  uint64_t need = e->used + mg_record_len(&op->record) + op->record.key_len;
  int nobody = !op->cb, async = nobody || op->flags & MCPGW_STORE_ASYNC;
  unsigned percent = levels[async ? LEVEL_NO_ASYNC : LEVEL_FULL].percent;
  if (op->op == MCPGW_STORE_REPLACE) percent = 100; /* the reserve is for what completes */
  if (mg_care_is_cache(op->record.kind)) percent = levels[LEVEL_SHED].percent;
  if (need < share(e, percent) && (!e->pinned || op->op == MCPGW_STORE_REPLACE)) return 1;
  tell_full(e);
  return 0;
}

/* ---- one small write transaction of our own ------------------------------------------------------------------------ */

struct work {
  struct mg_env *e;
  int (*each)(struct work *w);
  MDB_txn *txn;
  uint64_t now_ms; /* wall */
  unsigned done;
};

static int work_body(void *arg) {
  struct work *w = arg;
  int rc = mdb_txn_begin(w->e->mdb, NULL, 0, &w->txn);
  if (rc) return rc;
  rc = w->each(w);
  MDB_txn *txn = w->txn;
  w->txn = NULL;
  if (!rc && w->done) {
    mg_care_measure(w->e, txn);
    return mdb_txn_commit(txn);
  }
  mdb_txn_abort(txn);
  return rc;
}

static int abort_body(void *arg) {
  mdb_txn_abort(arg);
  return 0;
}

/* How many it removed; 0 on failure too, which the next batch will meet as well. */
static unsigned work(struct mg_env *e, int (*each)(struct work *), uint64_t now_ms) {
  struct work w = {.e = e, .each = each, .now_ms = now_ms};
  if (e->lazy) { /* it counts as a sync for those before it */
    mdb_env_set_flags(e->mdb, MDB_NOMETASYNC, 0);
    e->lazy = 0;
  }
  int rc = mg_trap_call(work_body, &w);
  if (rc == MDB_PANIC && w.txn) mg_trap_call(abort_body, w.txn);
  if (rc == MDB_PANIC) mg_env_break(e, "sweeping", rc);
  if (rc) return 0;
  if (w.done) {
    atomic_fetch_add_explicit(&e->n_commits, 1, memory_order_relaxed);
    e->unsynced = 0;
    mg_care_committed(e);
  }
  return w.done;
}

/* ---- expiry ------------------------------------------------------------------------------------------------------- */

static int first_expired(struct mg_env *e, MDB_txn *txn, uint64_t now_ms, MDB_val *index, MDB_val *key) {
  MDB_cursor *c;
  int rc = mdb_cursor_open(txn, e->expiry, &c);
  if (rc) return rc;
  rc = mdb_cursor_get(c, index, key, MDB_FIRST);
  mdb_cursor_close(c);
  if (rc) return rc;
  return index->mv_size == 16 && mg_be64(index->mv_data) > now_ms ? MDB_NOTFOUND : 0;
}

static int sweep_each(struct work *w) {
  struct mg_env *e = w->e;
  MDB_val index, key, value;
  int rc = 0;
  while (w->done < SWEEP_BATCH && (rc = first_expired(e, w->txn, w->now_ms, &index, &key)) == 0) {
    unsigned char ours[16], inner[KEY_INNER_MAX];
    mcpgw_record r;
    if (key.mv_size > sizeof inner) return MDB_CORRUPTED;
    key.mv_data = memcpy(inner, key.mv_data, key.mv_size); /* pages move when something is deleted */
    int found = mdb_get(w->txn, e->records, &key, &value) == 0 && mg_record_decode(key, value, &r) == MCPGW_OK;
    if (found) mg_expiry_key(ours, r.expires_ms, r.version);
    if (found && index.mv_size == 16 && memcmp(ours, index.mv_data, 16) == 0) rc = mg_remove(e, w->txn, key, &r);
    else rc = mdb_del(w->txn, e->expiry, &index, NULL); /* it leads nowhere */
    if (rc) return rc;
    w->done++;
  }
  return rc == MDB_NOTFOUND ? 0 : rc;
}

struct peek {
  struct mg_env *e;
  MDB_txn *txn;
  uint64_t now_ms;
};

static int peek_body(void *arg) {
  struct peek *p = arg;
  MDB_val index, key;
  return first_expired(p->e, p->txn, p->now_ms, &index, &key);
}

/* Looks with a reader first: mostly there is nothing, and other processes write too. */
static int any_expired(struct mg_env *e, uint64_t now_ms) {
  int rc;
  struct peek p = {e, mg_reader_take(e, &rc), now_ms};
  if (!p.txn) return 0;
  rc = mg_trap_call(peek_body, &p);
  mg_reader_give(e, p.txn, rc != MDB_PANIC);
  return rc == 0;
}

static int64_t wall_minus_monotonic(void) {
  return (int64_t)mg_unix_ms() - (int64_t)mg_now_ms();
}

static int64_t distance(int64_t a, int64_t b) {
  return a > b ? a - b : b - a;
}

/* 1: the clocks can be believed. A leap pauses the sweeps: a record swept too early is an effect done twice. */
static int clocks_agree(struct mg_env *e, uint64_t now_ms) {
  int64_t apart = wall_minus_monotonic();
  int leapt = distance(apart, e->clock_base) > APART_MS;
  if (leapt && (!e->clock_jump_ms || distance(apart, e->clock_seen) > APART_MS)) {
    e->clock_jump_ms = now_ms ? now_ms : 1;
    e->clock_seen = apart;
    mg_log(&e->log, MG_LOG_WARN, "store.clock_jump", "path", e->path, "text",
           "wall and monotonic time are over 60 s apart: nothing expires until they have agreed for an hour", (char *)0);
  }
  if (leapt && now_ms - e->clock_jump_ms < AGREE_MS) return 0;
  if (e->clock_jump_ms) mg_log(&e->log, MG_LOG_INFO, "store.clock_agrees", "path", e->path, "text", "records expire again", (char *)0);
  if (leapt) e->clock_base = apart;
  e->clock_jump_ms = 0;
  return 1;
}

static void sweep(struct mg_env *e, uint64_t now_ms) {
  uint64_t wall = mg_unix_ms();
  e->swept_ms = now_ms;
  if (!clocks_agree(e, now_ms) || !any_expired(e, wall)) return;
  unsigned n = work(e, sweep_each, wall);
  atomic_fetch_add_explicit(&e->n_swept, n, memory_order_relaxed);
  if (n == SWEEP_BATCH) e->swept_ms = 0; /* more: at once, after those who wait */
}

/* ---- caches go --------------------------------------------------------------------------------------------------- */

static int shed_each(struct work *w) {
  MDB_cursor *c;
  int rc = mdb_cursor_open(w->txn, w->e->records, &c);
  for (unsigned kind = MCPGW_KIND_CACHE_BIT; !rc && kind < KINDS && w->done < SWEEP_BATCH; kind++) {
    unsigned char first = (unsigned char)kind, inner[KEY_INNER_MAX];
    MDB_val key = {1, &first}, value;
    mcpgw_record r;
    if (!mg_care_is_cache(kind)) continue;
    while (w->done < SWEEP_BATCH && (rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE)) == 0) {
      if (((unsigned char *)key.mv_data)[0] != kind || key.mv_size > sizeof inner) break;
      key.mv_data = memcpy(inner, key.mv_data, key.mv_size);
      if (mg_record_decode(key, value, &r) != MCPGW_OK) r.expires_ms = 0;
      if ((rc = mg_remove(w->e, w->txn, key, &r))) break;
      w->done++;
      key = (MDB_val){1, &first};
    }
    if (rc == MDB_NOTFOUND) rc = 0;
  }
  if (c) mdb_cursor_close(c);
  return rc;
}

static void shed(struct mg_env *e) {
  unsigned n;
  while (e->level >= LEVEL_SHED && (n = work(e, shed_each, 0)) > 0) {
    atomic_fetch_add_explicit(&e->n_shed, n, memory_order_relaxed);
    mg_log(&e->log, MG_LOG_INFO, "store.shed", "path", e->path, "text", "caches were dropped to make room", (char *)0);
  }
}

/* ---- the clockwork ----------------------------------------------------------------------------------------------- */

void mg_care_start(struct mg_env *e) {
  e->checked_ms = e->swept_ms = mg_now_ms();
  e->clock_base = e->clock_seen = wall_minus_monotonic();
}

static uint64_t sweep_at(const struct mg_env *e) {
  return e->swept_ms + (!e->swept_ms ? 0 : e->level >= LEVEL_SWEEP ? SWEEP_PRESSED_MS : SWEEP_MS);
}

uint64_t mg_care_next_ms(const struct mg_env *e) {
  uint64_t at = e->checked_ms + READERS_MS;
  if (atomic_load(&e->broken)) return UINT64_MAX;
  if (sweep_at(e) < at) at = sweep_at(e);
  if (e->unsynced && e->async_at_ms + SYNC_MS < at) at = e->async_at_ms + SYNC_MS;
  if (e->pinned && e->pinned_at_ms + e->pinned_ms < at) at = e->pinned_at_ms + e->pinned_ms;
  return at;
}

static int sync_body(void *arg) {
  return mdb_env_sync(arg, 1);
}

void mg_care_tick(struct mg_env *e, uint64_t now_ms) {
  if (e->unsynced && e->async_at_ms + SYNC_MS <= now_ms) {
    int rc = mg_trap_call(sync_body, e->mdb);
    if (rc) mg_env_break(e, "syncing", rc);
    e->unsynced = 0;
  }
  if (e->pinned && e->pinned_at_ms + e->pinned_ms <= now_ms) e->pinned = 0;
  if (sweep_at(e) <= now_ms) {
    if (e->level >= LEVEL_SHED) shed(e);
    sweep(e, now_ms);
  }
  if (e->checked_ms + READERS_MS <= now_ms) {
    mg_env_check_readers(e);
    e->checked_ms = now_ms;
  }
}
