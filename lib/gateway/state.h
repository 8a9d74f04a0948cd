/* gateway/state: what of a gateway outlives it. */
#ifndef MG_GATEWAY_STATE_H
#define MG_GATEWAY_STATE_H
#include <pthread.h>

#include "base/buf.h"
#include "store/store.h"

struct mcpgw_gateway;
struct mg_state {
  mcpgw_store *store; /* NULL: not opened yet, or there is none */
  int failed;         /* why it could not be opened; not tried before retry_ms */
  uint64_t retry_ms;
  int posted;            /* atomic: the owner has been called already */
  pthread_mutex_t lock;  /* guards the two below */
  struct mg_buf lines;   /* of the store's log, on their way to the owner */
  uint64_t lines_dropped;
};
void mg_state_init(struct mcpgw_gateway *gw, mcpgw_store *store); /* store: the host's own, referenced; or NULL */
void mg_state_offer(struct mcpgw_gateway *gw);                    /* to the core, once there is one */
void mg_state_done(struct mcpgw_gateway *gw);                     /* after the core, before the loop */
void mg_state_flush_log(struct mcpgw_gateway *gw);
/* The store, opened if need be. MCPGW_E_UNSUPPORTED: there is none, the gateway keeps nothing. BORROWED. */
int mg_state_store(struct mcpgw_gateway *gw, mcpgw_store **out);
#endif
