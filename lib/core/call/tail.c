/* core/call/tail: owns the progress tokens of calls that became tasks: "the progressToken provided in the initial
 * request remains valid throughout the task lifetime" (2025-11-25, Tasks), long after the call was answered. The
 * last ones of a link are kept, and end with it; in the modern era tasks have no progress. */
#include "core/brain.h"

#define KEPT 256

struct mg_tails {
  size_t next; /* where the next one goes; the oldest stands there */
  struct tail {
    uint64_t id;          /* of the request on the link; 0: free */
    uint64_t ctx;         /* number of the context that made the call */
    struct mg_text token; /* as the client wrote it */
  } v[KEPT];
};

void mg_tail_keep(struct mg_link *l, uint64_t id, const struct mg_call *call) {
  if (!call->token.len || l->modern) return;
  if (!l->tails && !(l->tails = mg_calloc(1, sizeof *l->tails))) return; /* its progress is counted as dropped */
  struct tail *t = &l->tails->v[l->tails->next];
  mg_text_done(&t->token);
  t->id = mg_text_set(&t->token, mg_text_slice(&call->token)) == MCPGW_OK ? id : 0;
  t->ctx = call->ctx->number;
  l->tails->next = (l->tails->next + 1) % KEPT;
}

static struct mg_ctx *context_of(const struct mg_link *l, uint64_t number) {
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next)
    if (mg_bind_of(n)->ctx->number == number) return mg_bind_of(n)->ctx;
  return NULL;
}

const struct mg_text *mg_tail_find(const struct mg_link *l, uint64_t id, struct mg_ctx **ctx) {
  for (size_t i = 0; l->tails && i < KEPT; i++) {
    const struct tail *t = &l->tails->v[i];
    if (t->id == id && (*ctx = context_of(l, t->ctx))) return &t->token;
  }
  return NULL;
}

void mg_tail_done(struct mg_link *l) {
  for (size_t i = 0; l->tails && i < KEPT; i++) mg_text_done(&l->tails->v[i].token);
  mg_free(l->tails);
  l->tails = NULL;
}
