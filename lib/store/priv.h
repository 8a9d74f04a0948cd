/* store/priv: what the files of the LMDB backend share. Nobody outside the room includes it.
 *
 * Threads: `lock` guards the queue and the counters; everything of LMDB's that writes is the writer thread's
 * alone; readers take a reader transaction out of `readers` and put it back. */
#ifndef MG_STORE_PRIV_H
#define MG_STORE_PRIV_H
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "store/store.h"

#define KEY_PLAIN_MAX 477 /* longer keys are kept under prefix and hash: KEY_INNER_MAX bytes, exactly */
#define KEY_INNER_MAX 511
#define HEAD_LEN 40
#define MIN_QUOTA ((uint64_t)256 * 1024)
#define READERS 32

/* ---- record.c: bytes of keys and values ---------------------------------------------------------------- */
struct mg_inner_key {
  unsigned char bytes[KEY_INNER_MAX];
  size_t len;
  int hashed;
};
void mg_inner_key(struct mg_inner_key *out, uint32_t kind, struct mg_slice key);
size_t mg_record_len(const mcpgw_record *r); /* bytes of its value in the database */
void mg_record_encode(const mcpgw_record *r, unsigned char *out);
/* MCPGW_OK; _UNSUPPORTED: a version we do not know; _PARSE: damaged. *out BORROWS from key and value. */
int mg_record_decode(MDB_val key, MDB_val value, mcpgw_record *out);
int mg_record_intact(MDB_val value); /* 1: the checksum holds. decode does not look at it: who reads for others does */
void mg_expiry_key(unsigned char out[16], uint64_t expires_ms, uint64_t version);
uint64_t mg_be64(const unsigned char *p);

/* ---- one write that waits ---------------------------------------------------------------------------------- */
struct mg_op {
  struct mg_list node;
  uint32_t op, flags;
  uint64_t wanted;     /* the version to be replaced or deleted; a batch that fails is done again */
  mcpgw_record record; /* key and value point behind the struct */
  mcpgw_store_cb cb;
  void *arg;
  size_t cost; /* bytes charged to the queue */
  int rc;
  char *found; /* EXISTS: a copy of the record that is there, OWNED; key in front */
  mcpgw_record there;
};

enum { LEVEL_OK, LEVEL_SWEEP, LEVEL_SHED, LEVEL_NO_ASYNC, LEVEL_FULL };

struct mg_env {
  struct mg_list node; /* in the registry */
  pid_t pid;
  dev_t dev;
  ino_t ino;
  unsigned refs; /* guarded by the registry */
  char *path;
  MDB_env *mdb;
  MDB_dbi records, expiry, meta;
  size_t page_bytes;
  uint64_t quota, queue_max;
  struct mg_log log;
  pthread_mutex_t log_lock; /* guards host_log: whose it is may go before us */
  void (*host_log)(void *data, int level, const char *line, size_t len);
  void *host_data;
  _Atomic(MDB_txn *) readers[READERS];
  atomic_int broken; /* it cannot be written any more: the disk failed, or LMDB found a fault of its own */

  pthread_t writer;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct mg_list queue;
  size_t queued, queued_bytes;
  int closing, orphan; /* orphan: closed from inside a callback: the writer frees it */

  /* The writer's own. */
  uint64_t version, used, file_bytes; /* used: bytes of pages that hold something */
  int level, pinned, unsynced, lazy; /* pinned: the file grows beyond its quota, somebody reads old pages */
  uint64_t async_at_ms, swept_ms, checked_ms, told_full_ms, pinned_ms, pinned_at_ms; /* pinned: how long; since */
  int64_t clock_base, clock_seen; /* wall minus monotonic time, ms: when they last agreed; when last looked at */
  uint64_t clock_jump_ms; /* when they were seen apart; 0: they agree */

  /* Counters, relaxed. */
  atomic_uint_fast64_t n_commits, n_writes, n_gets, n_exists, n_full, n_shed, n_swept, n_refused_queue, n_stale_readers,
      n_foreign, n_damaged, n_failed;
};

/* ---- env.c ------------------------------------------------------------------------------------------------- */
int mg_env_open(struct mg_slice path, const mcpgw_store_options *o, struct mg_env **out, int *first, struct mg_err *err);
void mg_env_quiet(struct mg_env *e); /* its host's log is no longer there */
void mg_env_close(struct mg_env *e);
int mg_env_compact(struct mg_slice path, struct mg_err *err);
int mg_env_usable(const struct mg_env *e); /* MCPGW_OK, or _STATE in a forked child */
int mg_mdb_rc(int rc);                     /* LMDB's codes and errno to ours */
void mg_env_break(struct mg_env *e, const char *why, int mdb_rc);
void mg_env_check_readers(struct mg_env *e);
int mg_disk_full(const struct mg_env *e, size_t need); /* 1: that is why a write was cut short (LMDB says EIO then) */

/* LMDB ends the process after its assert hook returns. Ours does not return: it jumps back here, and the call
 * gives MDB_PANIC. Every entry into LMDB that an unsound file could upset goes through it; body holds no lock of
 * ours and owns nothing that it would have to free. */
int mg_trap_call(int (*body)(void *arg), void *arg);
void mg_trap_install(MDB_env *mdb);

/* ---- short.c: a data file that ends too early. 0, LMDB's code or errno ------------------------------------------ */
int mg_short_fill_live(MDB_env *mdb);    /* of a store that others may have open */
int mg_short_fill(MDB_env *mdb, int fd); /* nobody writes meanwhile; fd: of its data file, to write */

/* ---- read.c ------------------------------------------------------------------------------------------------ */
int mg_env_get(void *env, uint32_t kind, const char *key, size_t key_len, mcpgw_store_cb cb, void *arg);
int mg_env_scan(void *env, uint32_t kind, const char *prefix, size_t prefix_len, mcpgw_store_cb cb, void *arg);
int mg_env_check(struct mg_env *e, char **out);
int mg_env_stats(void *env, char **out);
MDB_txn *mg_reader_take(struct mg_env *e, int *mdb_rc); /* NULL: *mdb_rc says why */
void mg_reader_give(struct mg_env *e, MDB_txn *txn, int sound);
void mg_env_readers_done(struct mg_env *e);

/* ---- queue.c: the writer thread ------------------------------------------------------------------------------ */
int mg_env_write(void *env, uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg);
int mg_writer_start(struct mg_env *e);
void mg_writer_stop(struct mg_env *e); /* writes what waits, calls back, ends the thread */
void mg_write_free(struct mg_op *op);

/* ---- apply.c: in a write transaction ----------------------------------------------------------------------- */
int mg_apply(struct mg_env *e, MDB_txn *txn, struct mg_op *op); /* sets op->rc; not 0: LMDB's, the txn is lost */
int mg_versions_load(struct mg_env *e, MDB_txn *txn);
int mg_versions_save(struct mg_env *e, MDB_txn *txn);
int mg_remove(struct mg_env *e, MDB_txn *txn, MDB_val key, const mcpgw_record *r);

/* ---- care.c: expiry, pressure, stale readers ----------------------------------------------------------------- */
void mg_care_start(struct mg_env *e);
void mg_care_measure(struct mg_env *e, MDB_txn *txn); /* used and level, from inside a transaction */
void mg_care_committed(struct mg_env *e);             /* how large the file is now */
void mg_care_tick(struct mg_env *e, uint64_t now_ms); /* between batches; its transactions are its own */
uint64_t mg_care_next_ms(const struct mg_env *e);
int mg_care_room(struct mg_env *e, const struct mg_op *op); /* 1: there is room for what op writes */
int mg_care_is_cache(uint32_t kind);
uint64_t mg_pages_used(struct mg_env *e, MDB_txn *txn); /* bytes of the pages that hold something */
#endif
