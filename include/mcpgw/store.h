/* <mcpgw/store.h>: records that outlive the process: small, typed, versioned, with an expiry.
 *
 * new -> open -> get, put, insert_durable … -> unref. All functions are [any]: any number of threads and
 * gateways share one handle, any number of processes one directory. What must be durable is written by one
 * thread of the store (SCHED_BATCH), which commits all that waits at once and calls back afterwards; readers never wait.
 * A store is not usable in a forked child: calls return MCPGW_E_STATE there.
 * DESIGN §9; mcpgw_store(3). */
#ifndef MCPGW_STORE_H
#define MCPGW_STORE_H
#include <mcpgw/types.h>

MCPGW_BEGIN

typedef struct mcpgw_store mcpgw_store;

/* ---- records --------------------------------------------------------------------------------------------- */
/* Kinds: 1 to 255. From 1 to 127 the library's own, from 128 a host's. Those with bit 64 set are caches: they
 * go first when the store fills. All others are kept until they expire. */
#define MCPGW_KIND_IDEMPOTENCY 1u
#define MCPGW_KIND_SECRET 2u /* keys that the library has made for itself */
#define MCPGW_KIND_CACHE_BIT 64u
#define MCPGW_KIND_CATALOG 65u /* what upstreams said of themselves */
#define MCPGW_KIND_HOST 128u                              /* the first of a host's own, kept */
#define MCPGW_KIND_HOST_CACHE (128u | MCPGW_KIND_CACHE_BIT) /* the first of a host's own caches */

#define MCPGW_STORE_KEY_MAX 65536u        /* bytes; over 477 it is kept under its hash */
#define MCPGW_STORE_VALUE_MAX 67108864u   /* bytes */

typedef struct mcpgw_record {
  uint32_t struct_size;
  uint32_t kind;
  const char *key; /* 1 to MCPGW_STORE_KEY_MAX bytes */
  size_t key_len;
  const char *value;
  size_t value_len;
  uint64_t version;    /* given by the store with each write; never twice */
  uint64_t expires_ms; /* Unix time from which it may be swept; until then, and until it is swept, it lives. 0: never */
  uint64_t written_ms; /* Unix time of the write */
} mcpgw_record;
MCPGW_API void mcpgw_record_init(mcpgw_record *record);

/* rc: what became of it. record BORROWED until it returns; may be NULL. Must not block. Returns 0; another value
 * ends a scan. Reads call it in the calling thread before they return (unless PENDING); writes call it exactly
 * once, in the store's own thread after the commit; it may read and write the store, but not close it. */
typedef int (*mcpgw_store_cb)(void *arg, int rc, const mcpgw_record *record);
#define MCPGW_STORE_PENDING 1 /* no failure: the callback comes later, from another thread */

/* ---- opening ---------------------------------------------------------------------------------------------- */
#define MCPGW_STORE_SHARE 1u /* it is open in this process already: have another handle on the same */
#define MCPGW_STORE_EXISTING 2u /* do not make one where there is none: MCPGW_E_NOT_FOUND */

typedef struct mcpgw_store_options {
  uint32_t struct_size;
  uint32_t flags;        /* MCPGW_STORE_SHARE, _EXISTING */
  uint64_t quota_bytes;  /* what the records may take on disk; 0: 4 GiB; at least 256 KiB */
  uint64_t queue_bytes;  /* what may wait to be written; 0: 64 MiB */
  /* One JSON object a line; [any] thread, the store's own included; NULL: silent. */
  void (*log)(void *data, int level, const char *line, size_t len);
  void *log_data;
} mcpgw_store_options;
MCPGW_API void mcpgw_store_options_init(mcpgw_store_options *options);

/* *out OWNED: mcpgw_store_unref. */
MCPGW_API int mcpgw_store_new(mcpgw_store **out);
MCPGW_API mcpgw_store *mcpgw_store_ref(mcpgw_store *store);
/* The last one writes what waits, calls back, and closes. NULL is fine. */
MCPGW_API void mcpgw_store_unref(mcpgw_store *store);
/* path: a directory, made (0700) when it is not there. MCPGW_E_EXISTS: this process has it open; _IO, _LIMIT (no
 * room), _UNSUPPORTED (no store of this version): mcpgw_store_error says why. Once a handle. */
MCPGW_API int mcpgw_store_open(mcpgw_store *store, const char *path, size_t path_len, const mcpgw_store_options *options);
/* Why open, check or compact failed; "" when it did not. BORROWED until the next call of these. [one thread] */
MCPGW_API const char *mcpgw_store_error(const mcpgw_store *store);

/* ---- reading ---------------------------------------------------------------------------------------------- */
/* MCPGW_OK: cb was called. MCPGW_E_NOT_FOUND: it was not. MCPGW_E_IO: damaged, or the store is broken. */
MCPGW_API int mcpgw_store_get(mcpgw_store *store, uint32_t kind, const char *key, size_t key_len, mcpgw_store_cb cb,
                              void *arg);
/* Every record of this kind whose key begins with prefix, in no promised order; what is written meanwhile may be
 * met or not. */
MCPGW_API int mcpgw_store_scan(mcpgw_store *store, uint32_t kind, const char *prefix, size_t prefix_len,
                               mcpgw_store_cb cb, void *arg);

/* ---- writing ---------------------------------------------------------------------------------------------- */
/* Records are COPIED. A failure that is returned means that cb is not called. What cb can be told:
 * MCPGW_OK with the record as written (its version) · MCPGW_E_EXISTS with the record that is there ·
 * MCPGW_E_NOT_FOUND · MCPGW_E_LIMIT: no room (quota or disk) · MCPGW_E_IO · MCPGW_E_NOMEM. */
#define MCPGW_STORE_ASYNC 1u /* call back once it survives this process, not only once it survives the machine */
/* Written some time soon; nobody waits. MCPGW_E_LIMIT: the queue is full, or the store is filling. */
MCPGW_API int mcpgw_store_put(mcpgw_store *store, const mcpgw_record *record);
MCPGW_API int mcpgw_store_put_durable(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb,
                                      void *arg);
/* Only when the key is free. EXISTS with value NULL and version 0: a record that this version cannot read. */
MCPGW_API int mcpgw_store_insert_durable(mcpgw_store *store, const mcpgw_record *record, uint32_t flags,
                                         mcpgw_store_cb cb, void *arg);
/* Only when record->version is the one that is there; EXISTS: it is another. */
MCPGW_API int mcpgw_store_replace_if(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb,
                                     void *arg);
/* Kind, key and version of record count; version 0: whichever. cb may be NULL. */
MCPGW_API int mcpgw_store_delete(mcpgw_store *store, const mcpgw_record *record, uint32_t flags, mcpgw_store_cb cb,
                                 void *arg);

/* ---- care ------------------------------------------------------------------------------------------------- */
/* Counters and sizes as one JSON object. *out OWNED: mcpgw_free. */
MCPGW_API int mcpgw_store_stats(mcpgw_store *store, char **out);
/* Reads every record: MCPGW_E_PARSE when one is damaged or its expiry is not in the index. *out: a JSON report, on
 * that failure too. OWNED: mcpgw_free. */
MCPGW_API int mcpgw_store_check(mcpgw_store *store, char **out);
/* Writes the store at path anew without its holes. Nobody may have it open: MCPGW_E_STATE. store: a handle that
 * was never opened; it takes the error text. */
MCPGW_API int mcpgw_store_compact(mcpgw_store *store, const char *path, size_t path_len);

/* ---- other backends (extender tier) ------------------------------------------------------------------------- */
#define MCPGW_STORE_PUT 1u
#define MCPGW_STORE_INSERT 2u
#define MCPGW_STORE_REPLACE 3u
#define MCPGW_STORE_DELETE 4u
typedef struct mcpgw_store_ops {
  uint32_t struct_size;
  const char *name; /* "lmdb" */
  /* Mandatory. May answer MCPGW_STORE_PENDING. */
  int (*get)(void *backend, uint32_t kind, const char *key, size_t key_len, mcpgw_store_cb cb, void *arg);
  /* Mandatory. op: MCPGW_STORE_PUT …; cb NULL: nobody waits, may be refused when there is much to do. */
  int (*write)(void *backend, uint32_t op, uint32_t flags, const mcpgw_record *record, mcpgw_store_cb cb, void *arg);
  /* Mandatory. PENDING: cb is called for each record, then once with record NULL. */
  int (*scan)(void *backend, uint32_t kind, const char *prefix, size_t prefix_len, mcpgw_store_cb cb, void *arg);
  /* Optional. As mcpgw_store_stats; mcpgw_alloc. */
  int (*stats)(void *backend, char **out);
  /* Mandatory, exactly once: what waits is written and called back before it returns; no callback after it. */
  void (*close)(void *backend);
} mcpgw_store_ops;
/* ops BORROWED for as long as the handle lives; backend OWNED by the handle from success on. */
MCPGW_API int mcpgw_store_open_custom(mcpgw_store *store, const mcpgw_store_ops *ops, void *backend);

MCPGW_END
#endif
