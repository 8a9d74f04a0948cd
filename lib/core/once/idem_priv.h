/* core/once/idem_priv: what the idem files share. Nobody else includes it.
 *
 * Locks, in this order: the hub's (spots of the whole process), then an instance's (its inbox, and the fields of an
 * operation that completions write). The owner thread reads those fields only after it took the operation out of
 * the inbox. At most one store operation is under way for an operation at a time. */
#ifndef MG_CORE_IDEM_PRIV_H
#define MG_CORE_IDEM_PRIV_H
#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "core/once/idem.h"
#include "crypt/seal.h"
#include "store/owner.h"
#include "store/store.h"

#define MG_IDEM_POLL_MS 50 /* how often a call of another process is looked at */
#define MG_IDEM_HEAD 96    /* bytes of a record before the result's */
#define MG_IDEM_KEY_TEXT 43

/* ---- idem_record.c: the record's bytes ------------------------------------------------------------------- */
enum { MG_REC_RUNNING = 1, MG_REC_DONE, MG_REC_UNKNOWN, MG_REC_INPUT, MG_REC_NOT_KEPT };
struct mg_idem_record {
  int state;
  uint32_t outcome; /* MCPGW_OUTCOME_*; 0 while it runs */
  struct mg_owner owner;
  uint64_t instance; /* the owner's instance inside its process */
  uint64_t begun_ms; /* Unix */
  unsigned char print[MG_HASH_LEN];
  struct mg_slice bytes; /* BORROWED */
};
void mg_idem_encode(const struct mg_idem_record *r, unsigned char out[MG_IDEM_HEAD]); /* without bytes */
int mg_idem_decode(struct mg_slice value, struct mg_idem_record *out); /* MCPGW_E_PARSE: of another version */
void mg_idem_scope(const mcpgw_idempotency_request *rq, unsigned char out[MG_HASH_LEN], int *rc);

/* ---- operations ---------------------------------------------------------------------------------------------- */
struct mg_payload { /* a result on its way to those who joined, in any thread */
  atomic_uint refs;
  uint32_t outcome;
  size_t len;
  char bytes[];
};
void mg_payload_unref(struct mg_payload *p);

struct mg_spot { /* one key that somebody in this process is concerned with; guarded by the hub */
  unsigned char key[8 + MG_HASH_LEN];
  unsigned refs;
  mcpgw_operation *running;
  struct mg_list waiters;
};

enum { STAGE_IDLE, STAGE_HELD, STAGE_INSERT, STAGE_TAKE, STAGE_LOOK, STAGE_WAIT, STAGE_RUN, STAGE_FINISH, STAGE_ABANDON };
enum { EVENT_STORE = 1, EVENT_PAYLOAD = 2, EVENT_LOOK = 4 }; /* 0: its state alone has changed */

struct mcpgw_operation {
  mcpgw_idempotency *idem;
  struct mg_list in_all, in_inbox, in_spot, in_held;
  struct mg_spot *spot;
  struct mg_heap_node alarm;
  void *user;
  unsigned char scope[MG_HASH_LEN], print[MG_HASH_LEN];
  int effect, continues, continued;
  uint64_t unix_ms, deadline_ms, look_ms; /* look_ms: the next look at another process's call; 0: none */
  uint32_t state, told; /* told: the last one that next gave out */
  int error, stage, sent;
  char upstream_key[MG_IDEM_KEY_TEXT + 1];
  uint32_t outcome;
  struct mg_slice result; /* inside found or payload */

  /* Guarded by the instance's lock. */
  int pending, freed, writing; /* writing: the stage that the store is at work for */
  int open;                    /* the record is ours and says that it runs */
  uint64_t version;            /* of that record */
  unsigned events;
  int rc; /* what the store said */
  uint64_t seen_version, doubted; /* doubted: of a record that runs, but nobody runs it … */
  int doubts;                     /* … and how often that was so */
  char *found; /* the record that is there, OWNED */
  size_t found_len;
  struct mg_payload *payload;
};

struct mcpgw_idempotency {
  mcpgw_store *store;
  mcpgw_idempotency_options options;
  struct mg_owner self;
  uint64_t instance;
  struct mg_list all, held;
  struct mg_heap alarms;
  size_t open_ops;
  uint64_t n_new, n_joined, n_done, n_conflict, n_unknown, n_not_kept, n_refused, n_stored, n_unstored, n_abandoned;

  pthread_mutex_t lock;
  pthread_cond_t quiet; /* nothing is under way in the store any more */
  struct mg_list inbox;
  size_t pending;
  int closed;
  int key_state, key_rc, key_event;
  unsigned char *hmac_key; /* MG_HASH_LEN bytes in secret memory */
};
enum { KEY_NONE, KEY_ASKED, KEY_READY };

void mg_op_post(mcpgw_operation *op, unsigned events);      /* [any] into its instance's inbox, and wake */
void mg_op_post_held(mcpgw_operation *op, unsigned events); /* the same, with the instance's lock held */

/* ---- idem_hub.c: who runs what in this process ------------------------------------------------------------------ */
int mg_hub_enter(mcpgw_operation *op); /* op gets its spot; NOMEM, LIMIT */
void mg_hub_leave(mcpgw_operation *op);
int mg_hub_claim(mcpgw_operation *op); /* op runs it from here on; 0: it was freed meanwhile */
int mg_hub_join(mcpgw_operation *op, uint64_t instance); /* 1: that instance runs it, op will be told; 0: nobody runs it */
int mg_hub_waited_for(mcpgw_operation *op);
void mg_hub_end(mcpgw_operation *op, struct mg_payload *payload); /* tells the waiters; payload NULL: they look for themselves */
#endif
