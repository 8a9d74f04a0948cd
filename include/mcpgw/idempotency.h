/* <mcpgw/idempotency.h>: an effect happens once. The delivery contract of DESIGN §8 without a gateway around it: for
 * a host that has a proxy of its own.
 *
 * begin -> next: NEW: you run it: … sent … finish -> next: STORED: now tell the client
 *          next: JOINED: somebody runs it -> next: DONE: here are the bytes
 *          next: DONE, CONFLICT, UNKNOWN, NOT_KEPT, REFUSED: tell the client
 *
 * One handle has one owner thread; handles in any number of threads and processes share a store. Nothing here
 * blocks; results are pulled with next. mcpgw_idempotency(3). */
#ifndef MCPGW_IDEMPOTENCY_H
#define MCPGW_IDEMPOTENCY_H
#include <mcpgw/store.h>
#include <mcpgw/types.h>

MCPGW_BEGIN

typedef struct mcpgw_idempotency mcpgw_idempotency;
typedef struct mcpgw_operation mcpgw_operation;

#define MCPGW_IDEMPOTENCY_ASYNC 1u /* records survive the process, not a loss of power; faster */

typedef struct mcpgw_idempotency_options {
  uint32_t struct_size;
  uint32_t flags;     /* MCPGW_IDEMPOTENCY_ASYNC */
  uint64_t ttl_ms;    /* how long a record is kept after it was written; 0: 24 h */
  uint64_t max_bytes; /* longest result that is kept; 0: 1 MiB */
  uint64_t max_open;  /* operations at once; 0: 65536 */
  /* [any] thread, the store's too: next has something. Must not call the library. NULL: poll. */
  void (*wake)(void *data);
  void *wake_data;
} mcpgw_idempotency_options;
MCPGW_API void mcpgw_idempotency_options_init(mcpgw_idempotency_options *options);

/* store: the handle is referenced. *out OWNED: mcpgw_idempotency_free. */
MCPGW_API int mcpgw_idempotency_new(mcpgw_idempotency **out, mcpgw_store *store, const mcpgw_idempotency_options *options);
/* Operations that are left are abandoned: those that were sent become UNKNOWN. NULL is fine. */
MCPGW_API void mcpgw_idempotency_free(mcpgw_idempotency *idempotency);

/* ---- one call ---------------------------------------------------------------------------------------------- */
#define MCPGW_EFFECT_ONCE 0u       /* running it twice is wrong */
#define MCPGW_EFFECT_IDEMPOTENT 1u /* twice is like once: what was left open is run again */
#define MCPGW_EFFECT_READ 2u       /* it has no effect: likewise */
#define MCPGW_CALL_CONTINUES 1u    /* it brings what an input_required result asked for */

#define MCPGW_IDEMPOTENCY_KEY_MAX 255u /* bytes */

typedef struct mcpgw_idempotency_request { /* everything is COPIED or hashed */
  uint32_t struct_size;
  uint32_t effect; /* MCPGW_EFFECT_* */
  uint32_t flags;  /* MCPGW_CALL_CONTINUES */
  uint32_t reserved;
  const char *principal, *upstream, *tool, *key; /* together the scope; key: 1 to 255 bytes */
  size_t principal_len, upstream_len, tool_len, key_len;
  const char *arguments; /* the bytes as the client sent them: the fingerprint */
  size_t arguments_len;
  uint64_t now_ms;      /* monotonic */
  uint64_t unix_ms;     /* wall clock */
  uint64_t deadline_ms; /* monotonic: until when to wait for a call that was joined; 0: for ever */
} mcpgw_idempotency_request;
MCPGW_API void mcpgw_idempotency_request_init(mcpgw_idempotency_request *request);

/* *out OWNED: mcpgw_operation_free. MCPGW_E_INVALID; MCPGW_E_LIMIT: max_open. */
MCPGW_API int mcpgw_idempotency_begin(mcpgw_idempotency *idempotency, const mcpgw_idempotency_request *request, void *user,
                                      mcpgw_operation **out);
/* The next operation whose state has changed. MCPGW_E_AGAIN: none now. *out BORROWED: it is the one of begin. */
MCPGW_API int mcpgw_idempotency_next(mcpgw_idempotency *idempotency, uint64_t now_ms, mcpgw_operation **out);
/* Call next at the latest after so many ms, woken or not; -1: only when woken. */
MCPGW_API int mcpgw_idempotency_timeout_ms(mcpgw_idempotency *idempotency, uint64_t now_ms);

#define MCPGW_OPERATION_PENDING 0u  /* wait for next */
#define MCPGW_OPERATION_NEW 1u      /* the intent is durable: run it, then finish or abandon */
#define MCPGW_OPERATION_JOINED 2u   /* it runs already, somewhere: wait for next */
#define MCPGW_OPERATION_DONE 3u     /* it ran: its result's bytes are here */
#define MCPGW_OPERATION_CONFLICT 4u /* the key was used with other arguments */
#define MCPGW_OPERATION_UNKNOWN 5u  /* it was begun and nobody knows how it ended: it may have run */
#define MCPGW_OPERATION_NOT_KEPT 6u /* it ran; its result was too large to be kept */
#define MCPGW_OPERATION_REFUSED 7u  /* nothing was begun: mcpgw_operation_error; MCPGW_E_LIMIT: the store is full */
#define MCPGW_OPERATION_STORED 8u   /* finish is durable: tell the client */
#define MCPGW_OPERATION_UNSTORED 9u /* finish failed: it ran and will be UNKNOWN; do not show the result */
MCPGW_API uint32_t mcpgw_operation_state(const mcpgw_operation *operation);
MCPGW_API int mcpgw_operation_error(const mcpgw_operation *operation); /* of REFUSED, UNSTORED; else MCPGW_OK */
MCPGW_API void *mcpgw_operation_user(const mcpgw_operation *operation);
/* NEW: what the upstream may be given as its idempotency key: it tells nothing of the client's. 43 characters, NUL
 * follows. BORROWED until the operation is freed. */
MCPGW_API const char *mcpgw_operation_upstream_key(const mcpgw_operation *operation);
/* NEW: 1: it goes on with a call that asked for input. */
MCPGW_API int mcpgw_operation_continued(const mcpgw_operation *operation);

#define MCPGW_OUTCOME_RESULT 1u
#define MCPGW_OUTCOME_ERROR 2u /* an error object of the upstream's */
#define MCPGW_OUTCOME_INPUT 3u /* input_required: no result; the record stays open */
/* DONE: what finish was given, and its kind. BORROWED until the operation is freed. */
MCPGW_API const char *mcpgw_operation_result(const mcpgw_operation *operation, size_t *len, uint32_t *outcome);

/* NEW. From here on bytes may have left. */
MCPGW_API void mcpgw_operation_sent(mcpgw_operation *operation);
/* NEW. bytes COPIED; unix_ms: from where its time to live counts. next says STORED or UNSTORED. */
MCPGW_API int mcpgw_operation_finish(mcpgw_operation *operation, uint32_t outcome, const char *bytes, size_t len,
                                     uint64_t unix_ms);
/* NEW. It will have no result. ran 0: it provably did not run: the key is free again. ran 1: nobody knows. No next. */
MCPGW_API int mcpgw_operation_abandon(mcpgw_operation *operation, int32_t ran);
/* NULL is fine. A NEW one that was not finished is abandoned: it ran if it was sent. */
MCPGW_API void mcpgw_operation_free(mcpgw_operation *operation);

/* Counters as one JSON object. *out OWNED: mcpgw_free. */
MCPGW_API int mcpgw_idempotency_stats(mcpgw_idempotency *idempotency, char **out);

MCPGW_END
#endif
