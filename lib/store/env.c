/* store/env: owns LMDB environments: one a file in this process (LMDB does not notice a second and loses its
 * locks with it), the trap for its assertions, its codes in our words. Must never open the data or the lock file
 * by another way while an environment on it is open: closing that descriptor would drop LMDB's locks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "crypt/seal.h"
#include "store/priv.h"

#define MAP_BYTES ((uint64_t)64 << 30)
#define MAX_READERS 1024
#define OPEN_TRIES 20 /* while another process is just opening or closing it; 25 ms apart */

/* ---- assertions ------------------------------------------------------------------------------------------- */

struct trap {
  jmp_buf at;
  struct trap *outer;
};
static _Thread_local struct trap *trap_top;

static void on_assert(MDB_env *mdb, const char *text) {
  (void)mdb, (void)text;
  if (trap_top) longjmp(trap_top->at, 1);
}

void mg_trap_install(MDB_env *mdb) {
  mdb_env_set_assert(mdb, on_assert);
}

int mg_trap_call(int (*body)(void *arg), void *arg) {
  struct trap t;
  t.outer = trap_top;
  trap_top = &t;
  int rc = setjmp(t.at) ? MDB_PANIC : body(arg);
  trap_top = t.outer;
  return rc;
}

int mg_mdb_rc(int rc) {
  switch (rc) {
  case 0:
    return MCPGW_OK;
  case MDB_NOTFOUND:
    return MCPGW_E_NOT_FOUND;
  case MDB_MAP_FULL:
  case MDB_TXN_FULL:
  case MDB_READERS_FULL:
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
    return MCPGW_E_LIMIT;
  case ENOMEM:
    return MCPGW_E_NOMEM;
  case MDB_VERSION_MISMATCH:
  case MDB_INCOMPATIBLE:
    return MCPGW_E_UNSUPPORTED;
  case MDB_INVALID:
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
    return MCPGW_E_PARSE;
  case EACCES:
  case EPERM:
    return MCPGW_E_DENIED;
  default:
    return MCPGW_E_IO;
  }
}

void mg_env_break(struct mg_env *e, const char *why, int mdb_rc) {
  if (atomic_exchange(&e->broken, 1)) return;
  mg_log(&e->log, MG_LOG_ERROR, "store.broken", "path", e->path, "while", why, "text",
         mdb_rc == MDB_PANIC ? "LMDB found a fault of its own or of the file: run mcpgw store check" : mdb_strerror(mdb_rc),
         "then", "nothing is written any more until it is opened again", (char *)0);
}

int mg_disk_full(const struct mg_env *e, size_t need) {
  struct statvfs fs;
  struct rlimit lim;
  uint64_t wanted = need + ((uint64_t)1 << 20);
  if (getrlimit(RLIMIT_FSIZE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY && e->file_bytes + wanted > lim.rlim_cur) return 1;
  return statvfs(e->path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < wanted;
}

int mg_env_usable(const struct mg_env *e) {
  return getpid() == e->pid ? MCPGW_OK : MCPGW_E_STATE;
}

void mg_env_check_readers(struct mg_env *e) {
  int dead = 0;
  if (mdb_reader_check(e->mdb, &dead) != 0 || !dead) return;
  atomic_fetch_add_explicit(&e->n_stale_readers, (unsigned)dead, memory_order_relaxed);
  mg_log(&e->log, MG_LOG_INFO, "store.stale_readers", "path", e->path, "text", "readers that died were cleared away", (char *)0);
}

/* ---- registry: who is open in this process ------------------------------------------------------------------ */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mg_list registry = {&registry, &registry};
static _Atomic pid_t registry_pid;

/* A forked child has neither its parent's environments nor the threads that may hold the lock. */
static void registry_enter(void) {
  pid_t me = getpid(), was = atomic_exchange(&registry_pid, me);
  if (was && was != me) {
    pthread_mutex_init(&registry_lock, NULL);
    mg_list_init(&registry);
  }
  pthread_mutex_lock(&registry_lock);
}

static struct mg_env *registry_find(dev_t dev, ino_t ino) {
  for (struct mg_list *at = registry.next; at != &registry; at = at->next) {
    struct mg_env *e = MG_CONTAINER(at, struct mg_env, node);
    if (e->dev == dev && e->ino == ino) return e;
  }
  return NULL;
}

static int file_in(const char *dir, const char *name, char *out, size_t cap) {
  int n = snprintf(out, cap, "%s/%s", dir, name);
  return n > 0 && (size_t)n < cap ? MCPGW_OK : MCPGW_E_INVALID;
}

/* ---- open ---------------------------------------------------------------------------------------------------- */

static int open_dbis_in(struct mg_env *e, unsigned txn_flags) {
  MDB_txn *txn;
  unsigned make = txn_flags & MDB_RDONLY ? 0 : MDB_CREATE;
  int rc = mdb_txn_begin(e->mdb, NULL, txn_flags, &txn);
  if (rc) return rc;
  rc = mdb_dbi_open(txn, "records", make, &e->records);
  if (!rc) rc = mdb_dbi_open(txn, "expiry", make, &e->expiry);
  if (!rc) rc = mdb_dbi_open(txn, "meta", make, &e->meta);
  if (!rc) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

/* Reading first: a write transaction would wait for whoever writes. */
static int open_dbis(void *arg) {
  struct mg_env *e = arg;
  int rc = mg_short_fill_live(e->mdb);
  if (!rc) rc = open_dbis_in(e, MDB_RDONLY);
  return rc == MDB_NOTFOUND ? open_dbis_in(e, 0) : rc;
}

static int open_mdb_once(void *arg) {
  struct mg_env *e = arg;
  uint64_t map = MAP_BYTES, least = 2 * e->quota;
  for (;; map /= 2) {
    int rc = mdb_env_create(&e->mdb);
    if (rc) return rc;
    mg_trap_install(e->mdb);
    mdb_env_set_mapsize(e->mdb, (size_t)(map > least ? map : least));
    mdb_env_set_maxdbs(e->mdb, 8);
    mdb_env_set_maxreaders(e->mdb, MAX_READERS);
    rc = mdb_env_open(e->mdb, e->path, MDB_NOTLS, 0600);
    if (!rc) return 0;
    mdb_env_close(e->mdb);
    e->mdb = NULL;
    /* less address space, then: RLIMIT_AS says the first, valgrind the second */
    if ((rc != ENOMEM && rc != EINVAL) || map <= least) return rc;
  }
}

static int open_mdb(struct mg_env *e, struct mg_err *err) {
  int rc = 0;
  for (int i = 0; i < OPEN_TRIES; i++) {
    rc = mg_trap_call(open_mdb_once, e);
    if (rc != EAGAIN && rc != EBUSY && rc != EINTR && rc != ENOENT) break;
    nanosleep(&(struct timespec){0, 25000000}, NULL);
  }
  if (!rc) rc = mg_trap_call(open_dbis, e);
  if (!rc && mdb_env_get_maxkeysize(e->mdb) < KEY_INNER_MAX) rc = MDB_INCOMPATIBLE;
  if (!rc) return MCPGW_OK;
  return mg_err_set(err, mg_mdb_rc(rc), "store %s: %s", e->path,
                    rc == ENOSPC || rc == EFBIG ? "the disk is full"
                    : rc == MDB_INVALID         ? "data.mdb is not a store"
                                                : mdb_strerror(rc));
}

/* The identity of what was opened, and its size of pages. */
static int identify(struct mg_env *e, struct mg_err *err) {
  char file[4096];
  struct stat st;
  MDB_stat ms;
  if (file_in(e->path, "data.mdb", file, sizeof file) != MCPGW_OK || stat(file, &st) != 0)
    return mg_err_set(err, MCPGW_E_IO, "store %s: data.mdb: %s", e->path, strerror(errno));
  e->dev = st.st_dev;
  e->ino = st.st_ino;
  mdb_env_stat(e->mdb, &ms);
  e->page_bytes = ms.ms_psize;
  return MCPGW_OK;
}

static void env_free(struct mg_env *e) {
  if (!e) return;
  if (e->mdb) {
    mg_env_readers_done(e);
    mdb_env_close(e->mdb);
  }
  pthread_mutex_destroy(&e->log_lock);
  mg_free(e->path);
  mg_free(e);
}

static void write_log(void *env, int level, const char *line, size_t len) {
  struct mg_env *e = env;
  pthread_mutex_lock(&e->log_lock);
  if (e->host_log) e->host_log(e->host_data, level, line, len);
  pthread_mutex_unlock(&e->log_lock);
}

void mg_env_quiet(struct mg_env *e) {
  if (mg_env_usable(e) != MCPGW_OK) return;
  pthread_mutex_lock(&e->log_lock);
  e->host_log = NULL;
  pthread_mutex_unlock(&e->log_lock);
}

static int env_new(char *path, const mcpgw_store_options *o, struct mg_env **out, struct mg_err *err) {
  struct mg_env *e = mg_calloc(1, sizeof *e);
  if (!e) return MCPGW_E_NOMEM;
  int rc = MCPGW_E_NOMEM;
  e->pid = getpid();
  e->refs = 1;
  e->quota = o->quota_bytes ? o->quota_bytes : (uint64_t)4 << 30;
  if (e->quota < MIN_QUOTA) e->quota = MIN_QUOTA;
  e->queue_max = o->queue_bytes ? o->queue_bytes : (uint64_t)64 << 20;
  e->host_log = o->log;
  e->host_data = o->log_data;
  e->log = (struct mg_log){.level = MG_LOG_DEBUG, .write = o->log ? write_log : NULL, .data = e};
  pthread_mutex_init(&e->log_lock, NULL);
  mg_list_init(&e->queue);
  if (!(e->path = mg_strdup(path))) goto out;
  if ((rc = open_mdb(e, err)) != MCPGW_OK) goto out;
  if ((rc = identify(e, err)) != MCPGW_OK) goto out;
  mg_env_check_readers(e);
  mg_care_start(e);
  if ((rc = mg_writer_start(e)) != MCPGW_OK) goto out;
  *out = e;
  e = NULL;
out:
  env_free(e);
  return rc;
}

/* Under the registry's lock. */
static int open_or_share(char *path, const mcpgw_store_options *o, struct mg_env **out, int *first, struct mg_err *err) {
  char file[4096];
  struct stat st;
  if (file_in(path, "data.mdb", file, sizeof file) != MCPGW_OK) return mg_err_set(err, MCPGW_E_INVALID, "the path is too long");
  if (stat(file, &st) == 0) {
    struct mg_env *e = registry_find(st.st_dev, st.st_ino);
    if (e && !(o->flags & MCPGW_STORE_SHARE))
      return mg_err_set(err, MCPGW_E_EXISTS, "store %s: this process has it open already: share the handle", path);
    if (e) {
      e->refs++;
      *out = e;
      return MCPGW_OK;
    }
  } else if (o->flags & MCPGW_STORE_EXISTING) {
    return mg_err_set(err, MCPGW_E_NOT_FOUND, "store %s: there is none", path);
  }
  if (mkdir(path, 0700) != 0 && errno != EEXIST)
    return mg_err_set(err, MCPGW_E_IO, "store %s: cannot be made: %s", path, strerror(errno));
  int rc = env_new(path, o, out, err);
  *first = rc == MCPGW_OK;
  if (rc == MCPGW_OK) mg_list_add(&registry, &(*out)->node);
  return rc;
}

int mg_env_open(struct mg_slice path, const mcpgw_store_options *o, struct mg_env **out, int *first, struct mg_err *err) {
  *first = 0;
  int rc = mg_crypt_init();
  if (rc != MCPGW_OK) return rc;
  char *z = mg_memdup(path.ptr, path.len);
  if (!z) return MCPGW_E_NOMEM;
  registry_enter();
  rc = open_or_share(z, o, out, first, err);
  pthread_mutex_unlock(&registry_lock);
  mg_free(z);
  return rc;
}

void mg_env_close(struct mg_env *e) {
  if (mg_env_usable(e) != MCPGW_OK) return; /* the parent's: nothing of it may be touched here */
  registry_enter();
  int last = --e->refs == 0;
  if (last && pthread_equal(pthread_self(), e->writer)) {
    e->orphan = 1; /* from inside a callback, against the rules: the file stays open, nothing breaks */
    last = 0;
  }
  if (last) {
    mg_writer_stop(e); /* the lock is held: nobody can open the file before it is closed */
    mg_list_del(&e->node);
    env_free(e);
  }
  pthread_mutex_unlock(&registry_lock);
}

/* ---- compact ------------------------------------------------------------------------------------------------- */

static int sync_dir(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int rc = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
  if (fd >= 0) close(fd);
  return rc;
}

struct copy {
  const char *path, *data, *to;
};

static int fill(MDB_env *mdb, const char *data) {
  int fd = open(data, O_RDWR | O_CLOEXEC);
  int rc = fd >= 0 ? mg_short_fill(mdb, fd) : errno;
  if (fd >= 0) close(fd);
  return rc;
}

/* LMDB's code or errno. Nobody else is there, so LMDB need not lock. */
static int copy_env(void *arg) {
  const struct copy *c = arg;
  MDB_env *mdb;
  int rc = mdb_env_create(&mdb), fd = -1;
  if (rc) return rc;
  mg_trap_install(mdb);
  mdb_env_set_mapsize(mdb, (size_t)MAP_BYTES);
  mdb_env_set_maxdbs(mdb, 8);
  rc = mdb_env_open(mdb, c->path, MDB_NOLOCK | MDB_RDONLY, 0600);
  if (!rc) rc = fill(mdb, c->data);
  if (!rc && (fd = open(c->to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0) rc = errno;
  if (!rc) rc = mdb_env_copyfd2(mdb, fd, MDB_CP_COMPACT);
  if (!rc && fsync(fd) != 0) rc = errno;
  if (fd >= 0) close(fd);
  mdb_env_close(mdb);
  return rc;
}

/* Every environment holds a shared lock on the lock file's first byte: an exclusive one proves that we are alone
 * and keeps others waiting at their open until we are done. */
static int compact_locked(const char *path, int lock_fd, struct mg_err *err) {
  struct flock alone = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  char data[4096], fresh[4096];
  if (file_in(path, "data.mdb", data, sizeof data) != MCPGW_OK || file_in(path, "data.new", fresh, sizeof fresh) != MCPGW_OK)
    return mg_err_set(err, MCPGW_E_INVALID, "the path is too long");
  if (fcntl(lock_fd, F_SETLK, &alone) != 0)
    return mg_err_set(err, MCPGW_E_STATE, "store %s: a process has it open; stop the gateway first", path);
  struct copy c = {path, data, fresh};
  int rc = mg_trap_call(copy_env, &c);
  if (!rc && rename(fresh, data) != 0) rc = errno;
  if (rc) unlink(fresh);
  else rc = sync_dir(path);
  return rc ? mg_err_set(err, mg_mdb_rc(rc), "store %s: %s; it is as it was", path, mdb_strerror(rc)) : MCPGW_OK;
}

static int compact(const char *path, struct mg_err *err) {
  char file[4096];
  struct stat st;
  if (file_in(path, "data.mdb", file, sizeof file) != MCPGW_OK) return mg_err_set(err, MCPGW_E_INVALID, "the path is too long");
  if (stat(file, &st) != 0) return mg_err_set(err, MCPGW_E_NOT_FOUND, "store %s: there is none", path);
  if (registry_find(st.st_dev, st.st_ino))
    return mg_err_set(err, MCPGW_E_STATE, "store %s: this process has it open; close it first", path);
  file_in(path, "lock.mdb", file, sizeof file);
  int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return mg_err_set(err, MCPGW_E_IO, "store %s: lock.mdb: %s", path, strerror(errno));
  int rc = compact_locked(path, fd, err);
  close(fd); /* and the lock with it */
  return rc;
}

int mg_env_compact(struct mg_slice path, struct mg_err *err) {
  char *z = mg_memdup(path.ptr, path.len);
  if (!z) return MCPGW_E_NOMEM;
  registry_enter();
  int rc = compact(z, err);
  pthread_mutex_unlock(&registry_lock);
  mg_free(z);
  return rc;
}
