/* core/once/once: a keyed tools/call runs once (DESIGN §8): the call path's part of the delivery contract. A call
 * without a key pays for looking whether there is one, and nothing else. */
#ifndef MG_CORE_ONCE_H
#define MG_CORE_ONCE_H
#include "core/core.h"
#include "core/once/idem.h"

enum { MG_ONCE_UNSEEN, MG_ONCE_NONE, MG_ONCE_WAITS, MG_ONCE_RUNS, MG_ONCE_STORES };
struct mg_once { /* of a call */
  int stage;
  mcpgw_operation *op; /* NULL: it has no key */
  mg_blob *reply;      /* held back until it is stored */
  struct mg_slice reply_doc;
  struct mg_list followers; /* calls of this gateway that joined it */
  struct mg_list in_leader;
  int leads; /* it is in core->leaders */
  int asks;  /* 1: its server is away: it only asks what became of an earlier one; 2: it has */
};

struct mg_call;
struct mg_item;
struct mg_leg;
struct mg_upstream;

/* OK: it has no key, or it is the one that runs it. AGAIN: it waits. CLOSED: it has been answered. item may be NULL. */
int mg_once_enter(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, const struct mg_item *item,
                  uint64_t now_ms);
/* Its server is not there: is there an answer from before? OK: none, or it has no key; AGAIN, CLOSED: as above. */
int mg_once_ask(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, struct mg_slice tool, uint64_t now_ms);
void mg_once_sent(struct mg_call *call); /* from here on bytes may leave */
/* 1: the reply is kept and goes on when it is stored. */
int mg_once_reply(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m);
int mg_once_late(struct mg_call *call); /* its time is over; 1: its reply is here, the store has it still, the client was told */
void mg_once_again(struct mg_call *call, int delivered);  /* its leg failed, and it goes again */
void mg_once_failed(struct mg_call *call, int delivered); /* its leg failed; the client is told by somebody else */
int mg_once_detach(struct mg_call *call, int only_for_others); /* its client is gone; 1: it runs on, for whoever asks again */
void mg_once_progress(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m); /* to those who joined */
void mg_once_leave(struct mg_call *call);
/* What the upstream is given in the place of the client's key, in quotes; empty: nothing. */
struct mg_slice mg_once_key(const struct mg_call *call);
void mg_once_tick(struct mg_core *c, uint64_t now_ms);
uint64_t mg_once_next_ms(const struct mg_core *c);
void mg_once_free(struct mg_core *c);
#endif
