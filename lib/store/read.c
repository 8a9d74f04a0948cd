/* store/read: owns reader transactions and what is told without writing: get, scan, check, stats. Must never take
 * a lock that a writer holds, and never keep a transaction longer than the call. A reader's slot in the lock file
 * stays tied to its transaction, so used ones are put back and renewed: that takes no lock either. */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/priv.h"

#define SCAN_CHUNK 256 /* records a transaction: a long scan does not keep old pages alive */

/* ---- reader transactions ----------------------------------------------------------------------------------- */

struct begin {
  MDB_env *mdb;
  MDB_txn *txn;
};

static int begin(void *arg) {
  struct begin *b = arg;
  return b->txn ? mdb_txn_renew(b->txn) : mdb_txn_begin(b->mdb, NULL, MDB_RDONLY, &b->txn);
}

MDB_txn *mg_reader_take(struct mg_env *e, int *mdb_rc) {
  struct begin b = {e->mdb, NULL};
  for (size_t i = 0; i < READERS && !b.txn; i++)
    if (atomic_load_explicit(&e->readers[i], memory_order_relaxed))
      b.txn = atomic_exchange_explicit(&e->readers[i], NULL, memory_order_acquire);
  int fresh = !b.txn;
  *mdb_rc = mg_trap_call(begin, &b);
  if (*mdb_rc == MDB_READERS_FULL) {
    mg_env_check_readers(e);
    *mdb_rc = mg_trap_call(begin, &b);
  }
  if (!*mdb_rc) return b.txn;
  if (!fresh) mdb_txn_abort(b.txn);
  return NULL;
}

void mg_reader_give(struct mg_env *e, MDB_txn *txn, int sound) {
  if (sound) {
    mdb_txn_reset(txn);
    for (size_t i = 0; i < READERS; i++) {
      MDB_txn *none = NULL;
      if (!atomic_load_explicit(&e->readers[i], memory_order_relaxed) &&
          atomic_compare_exchange_strong_explicit(&e->readers[i], &none, txn, memory_order_release, memory_order_relaxed))
        return;
    }
  }
  mdb_txn_abort(txn);
}

void mg_env_readers_done(struct mg_env *e) {
  for (size_t i = 0; i < READERS; i++) {
    MDB_txn *txn = atomic_exchange(&e->readers[i], NULL);
    if (txn) mdb_txn_abort(txn);
  }
}

static void bump(atomic_uint_fast64_t *n) {
  atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* A record that cannot be read is no record of ours (another version) or a fault that is told. */
static int decode(struct mg_env *e, MDB_val key, MDB_val value, mcpgw_record *out) {
  int rc = mg_record_decode(key, value, out);
  if (rc == MCPGW_OK && !mg_record_intact(value)) rc = MCPGW_E_PARSE; /* no bytes are better than wrong ones */
  if (rc == MCPGW_E_UNSUPPORTED) {
    bump(&e->n_foreign);
    return MCPGW_E_NOT_FOUND;
  }
  if (rc == MCPGW_E_PARSE) {
    bump(&e->n_damaged);
    return MCPGW_E_IO;
  }
  return rc;
}

/* ---- get ------------------------------------------------------------------------------------------------------ */

struct lookup {
  MDB_txn *txn;
  MDB_dbi dbi;
  MDB_val key, value;
};

static int lookup(void *arg) {
  struct lookup *l = arg;
  return mdb_get(l->txn, l->dbi, &l->key, &l->value);
}

int mg_env_get(void *env, uint32_t kind, const char *key, size_t key_len, mcpgw_store_cb cb, void *arg) {
  struct mg_env *e = env;
  struct mg_inner_key inner;
  mcpgw_record r;
  int mdb_rc, rc = mg_env_usable(e);
  if (rc != MCPGW_OK) return rc;
  MDB_txn *txn = mg_reader_take(e, &mdb_rc);
  if (!txn) return mg_mdb_rc(mdb_rc);
  mg_inner_key(&inner, kind, mg_slice(key, key_len));
  struct lookup l = {txn, e->records, {inner.len, inner.bytes}, {0, NULL}};
  mdb_rc = mg_trap_call(lookup, &l);
  if (mdb_rc && mdb_rc != MDB_NOTFOUND) mg_env_break(e, "reading", mdb_rc);
  rc = mdb_rc ? mg_mdb_rc(mdb_rc) : decode(e, l.key, l.value, &r);
  if (rc == MCPGW_OK && !mg_slice_eq(mg_slice(r.key, r.key_len), mg_slice(key, key_len))) rc = MCPGW_E_NOT_FOUND;
  if (rc == MCPGW_OK) cb(arg, rc, &r);
  mg_reader_give(e, txn, mdb_rc != MDB_PANIC);
  bump(&e->n_gets);
  return rc;
}

/* ---- scan ----------------------------------------------------------------------------------------------------- */

struct walk {
  struct mg_env *e;
  MDB_txn *txn;
  MDB_cursor *cursor;
  MDB_val key, value;
  unsigned char at[KEY_INNER_MAX]; /* where the next transaction goes on: behind this key */
  size_t at_len;
  int behind; /* at itself has been met */
};

static int walk_open(void *arg) {
  struct walk *w = arg;
  int rc = mdb_cursor_open(w->txn, w->e->records, &w->cursor);
  if (rc) return rc;
  w->key = (MDB_val){w->at_len, w->at};
  rc = mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_SET_RANGE);
  if (!rc && w->behind && w->key.mv_size == w->at_len && memcmp(w->key.mv_data, w->at, w->at_len) == 0)
    rc = mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_NEXT);
  return rc;
}

static int walk_next(void *arg) {
  struct walk *w = arg;
  return mdb_cursor_get(w->cursor, &w->key, &w->value, MDB_NEXT);
}

static int begins_with(MDB_val key, const struct mg_inner_key *p, size_t len) {
  return key.mv_size >= len && memcmp(key.mv_data, p->bytes, len) == 0;
}

/* One transaction's worth. 1: there is more; 0: the end; else a failure. */
static int scan_chunk(struct walk *w, const struct mg_inner_key *from, size_t from_len, struct mg_slice prefix,
                      mcpgw_store_cb cb, void *arg) {
  int left = SCAN_CHUNK, more = 1, mdb_rc = mg_trap_call(walk_open, w);
  for (; !mdb_rc && more && begins_with(w->key, from, from_len); mdb_rc = mg_trap_call(walk_next, w)) {
    mcpgw_record r;
    int rc = decode(w->e, w->key, w->value, &r);
    if (rc == MCPGW_OK && mg_slice_starts(mg_slice(r.key, r.key_len), prefix) && cb(arg, MCPGW_OK, &r) != 0) break;
    if (--left) continue;
    memcpy(w->at, w->key.mv_data, w->at_len = w->key.mv_size);
    w->behind = 1;
    break;
  }
  if (w->cursor) mdb_cursor_close(w->cursor);
  w->cursor = NULL;
  if (!mdb_rc || mdb_rc == MDB_NOTFOUND) return !mdb_rc && left == 0;
  mg_env_break(w->e, "scanning", mdb_rc);
  return mg_mdb_rc(mdb_rc);
}

int mg_env_scan(void *env, uint32_t kind, const char *prefix, size_t prefix_len, mcpgw_store_cb cb, void *arg) {
  struct mg_inner_key from;
  struct walk w = {.e = env};
  int mdb_rc, rc = mg_env_usable(w.e);
  if (rc != MCPGW_OK) return rc;
  size_t shown = prefix_len < KEY_INNER_MAX - 33 ? prefix_len : KEY_INNER_MAX - 33; /* what hashed keys show of theirs */
  from.bytes[0] = (unsigned char)kind;
  if (shown) memcpy(from.bytes + 1, prefix, shown);
  memcpy(w.at, from.bytes, w.at_len = 1 + shown);
  do {
    w.txn = mg_reader_take(w.e, &mdb_rc);
    if (!w.txn) return mg_mdb_rc(mdb_rc);
    rc = scan_chunk(&w, &from, 1 + shown, mg_slice(prefix, prefix_len), cb, arg);
    mg_reader_give(w.e, w.txn, rc >= 0);
  } while (rc == 1);
  return rc;
}

/* ---- check and stats -------------------------------------------------------------------------------------------- */

struct tally {
  struct mg_env *e;
  MDB_txn *txn;
  MDB_cursor *cursor; /* here, so that it is closed whatever LMDB finds */
  uint64_t records, bytes, foreign, damaged, unindexed, dangling, kinds[256];
};

static int check_record(struct tally *t, MDB_val key, MDB_val value) {
  unsigned char index[16];
  mcpgw_record r;
  MDB_val k = {sizeof index, index}, v;
  int rc = mg_record_decode(key, value, &r);
  t->records++;
  t->bytes += key.mv_size + value.mv_size;
  t->kinds[((unsigned char *)key.mv_data)[0]]++;
  if (rc == MCPGW_E_UNSUPPORTED) {
    t->foreign++;
  } else if (rc != MCPGW_OK || !mg_record_intact(value)) {
    t->damaged++;
  } else if (r.expires_ms) {
    mg_expiry_key(index, r.expires_ms, r.version);
    if (mdb_get(t->txn, t->e->expiry, &k, &v) != 0) t->unindexed++;
  }
  return 0;
}

static int check_index(struct tally *t, MDB_val key, MDB_val value) {
  unsigned char index[16];
  mcpgw_record r;
  MDB_val v;
  int rc = mdb_get(t->txn, t->e->records, &value, &v);
  if (rc && rc != MDB_NOTFOUND) return rc;
  if (rc || mg_record_decode(value, v, &r) != MCPGW_OK || key.mv_size != sizeof index) {
    t->dangling++;
    return 0;
  }
  mg_expiry_key(index, r.expires_ms, r.version);
  if (memcmp(index, key.mv_data, sizeof index) != 0) t->dangling++;
  return 0;
}

static int check_all(struct tally *t, MDB_dbi dbi, int (*each)(struct tally *, MDB_val, MDB_val)) {
  MDB_val key, value;
  int rc = mdb_cursor_open(t->txn, dbi, &t->cursor);
  if (rc) return rc;
  while ((rc = mdb_cursor_get(t->cursor, &key, &value, MDB_NEXT)) == 0 && (rc = each(t, key, value)) == 0) {}
  mdb_cursor_close(t->cursor);
  t->cursor = NULL;
  return rc == MDB_NOTFOUND ? 0 : rc;
}

static int check_body(void *arg) {
  struct tally *t = arg;
  int rc = check_all(t, t->e->records, check_record);
  return rc ? rc : check_all(t, t->e->expiry, check_index);
}

static void add(struct mg_buf *b, const char *name, uint64_t n) {
  mg_buf_addz(b, b->len > 1 ? ",\"" : "\"");
  mg_buf_addz(b, name);
  mg_buf_addz(b, "\":");
  mg_buf_addu(b, n);
}

/* *out takes the buffer over. */
static int hand_over(struct mg_buf *b, char **out) {
  mg_buf_addz(b, "}");
  int rc = mg_buf_add(b, "", 1);
  if (rc == MCPGW_OK) *out = b->ptr;
  else mg_buf_done(b);
  return rc;
}

int mg_env_check(struct mg_env *e, char **out) {
  struct tally *t = mg_calloc(1, sizeof *t);
  struct mg_buf b;
  char kind[4] = {0};
  int mdb_rc, rc = t ? mg_env_usable(e) : MCPGW_E_NOMEM;
  if (rc != MCPGW_OK) goto out;
  t->e = e;
  t->txn = mg_reader_take(e, &mdb_rc);
  if (!t->txn) {
    rc = mg_mdb_rc(mdb_rc);
    goto out;
  }
  mdb_rc = mg_trap_call(check_body, t);
  if (t->cursor) mdb_cursor_close(t->cursor);
  mg_reader_give(e, t->txn, !mdb_rc);
  mg_buf_init(&b, 16384);
  mg_buf_addz(&b, "{");
  add(&b, "records", t->records);
  add(&b, "bytes", t->bytes);
  add(&b, "foreign", t->foreign);
  add(&b, "damaged", t->damaged);
  add(&b, "unindexed", t->unindexed);
  add(&b, "dangling", t->dangling);
  add(&b, "unreadable", mdb_rc != 0);
  mg_buf_addz(&b, ",\"kinds\":{");
  for (unsigned i = 0, first = 1; i < 256; i++) {
    if (!t->kinds[i]) continue;
    kind[0] = (char)('0' + i / 100), kind[1] = (char)('0' + i / 10 % 10), kind[2] = (char)('0' + i % 10);
    mg_buf_addz(&b, first ? "\"" : ",\"");
    mg_buf_addz(&b, kind + (i < 100) + (i < 10));
    mg_buf_addz(&b, "\":");
    mg_buf_addu(&b, t->kinds[i]);
    first = 0;
  }
  mg_buf_addz(&b, "}");
  rc = hand_over(&b, out);
  if (rc == MCPGW_OK && (mdb_rc || t->damaged || t->unindexed || t->dangling)) rc = MCPGW_E_PARSE;
out:
  mg_free(t);
  return rc;
}

static uint64_t see(atomic_uint_fast64_t *n) {
  return atomic_load_explicit(n, memory_order_relaxed);
}

struct sizes {
  struct mg_env *e;
  MDB_txn *txn;
  MDB_stat records;
  MDB_envinfo info;
  uint64_t used;
};

static int measure(void *arg) {
  struct sizes *s = arg;
  mdb_env_info(s->e->mdb, &s->info);
  s->used = mg_pages_used(s->e, s->txn);
  return mdb_stat(s->txn, s->e->records, &s->records);
}

static void add_counters(struct mg_env *e, struct mg_buf *b) {
  add(b, "commits", see(&e->n_commits));
  add(b, "writes", see(&e->n_writes));
  add(b, "reads", see(&e->n_gets));
  add(b, "existed", see(&e->n_exists));
  add(b, "failed", see(&e->n_failed));
  add(b, "refused_full", see(&e->n_full));
  add(b, "refused_queue", see(&e->n_refused_queue));
  add(b, "shed", see(&e->n_shed));
  add(b, "swept", see(&e->n_swept));
  add(b, "stale_readers", see(&e->n_stale_readers));
  add(b, "foreign", see(&e->n_foreign));
  add(b, "damaged", see(&e->n_damaged));
  add(b, "broken", (uint64_t)atomic_load(&e->broken));
  pthread_mutex_lock(&e->lock);
  add(b, "queued", e->queued);
  add(b, "queued_bytes", e->queued_bytes);
  pthread_mutex_unlock(&e->lock);
}

int mg_env_stats(void *env, char **out) {
  struct sizes s = {.e = env};
  struct mg_buf b;
  int mdb_rc, rc = mg_env_usable(s.e);
  if (rc != MCPGW_OK) return rc;
  s.txn = mg_reader_take(s.e, &mdb_rc);
  if (!s.txn) return mg_mdb_rc(mdb_rc);
  mdb_rc = mg_trap_call(measure, &s);
  mg_reader_give(s.e, s.txn, !mdb_rc);
  if (mdb_rc) return mg_mdb_rc(mdb_rc);
  mg_buf_init(&b, 16384);
  mg_buf_addz(&b, "{\"path\":");
  mg_buf_json_str(&b, mg_slice_z(s.e->path));
  add(&b, "quota_bytes", s.e->quota);
  add(&b, "used_bytes", s.used);
  add(&b, "file_bytes", (s.info.me_last_pgno + 1) * s.e->page_bytes);
  add(&b, "map_bytes", s.info.me_mapsize);
  add(&b, "records", s.records.ms_entries);
  add(&b, "transactions", s.info.me_last_txnid); /* ever committed, by whomever */
  add(&b, "readers", s.info.me_numreaders);
  add_counters(s.e, &b);
  return hand_over(&b, out);
}
