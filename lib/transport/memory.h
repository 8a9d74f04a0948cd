/* transport/memory: an upstream inside the process, for tests and embedders. The server is a table of
 * callbacks; each message crosses in a turn of the loop of its own, so that neither side re-enters the
 * other. Everything is [owner]. */
#ifndef MG_TRANSPORT_MEMORY_H
#define MG_TRANSPORT_MEMORY_H
#include <mcpgw/transport.h>

#define MG_MEMORY_QUEUE 4096 /* messages under way in each direction */

typedef struct mg_memory_conn mg_memory_conn; /* the server's end of one link */
struct mg_memory_server {
  /* Mandatory. One message from the gateway. bytes BORROWED: take a reference to keep it. */
  void (*message)(void *server, mg_memory_conn *conn, mcpgw_bytes *bytes);
  /* Optional. A link was opened; before its first message. */
  void (*opened)(void *server, mg_memory_conn *conn);
  /* Optional. The link is gone, and conn with it when this returns. Exactly once for each conn. It may run
   * inside the gateway's close, and comes even if opened did not have the time to. */
  void (*closed)(void *server, mg_memory_conn *conn);
};
/* table and server BORROWED until the transport is freed. */
int mg_transport_memory_new(const struct mg_memory_server *table, void *server, void **transport);
void mg_transport_memory_free(void *transport); /* all links must have been closed; NULL is fine */
extern const mcpgw_transport_ops mg_transport_memory_ops;

/* One message to the gateway. bytes OWNED by conn, even on failure. MCPGW_E_LIMIT: too many or too long;
 * MCPGW_E_CLOSED after mg_memory_end. */
int mg_memory_reply(mg_memory_conn *conn, mcpgw_bytes *bytes);
int mg_memory_reply_text(mg_memory_conn *conn, const char *text, size_t len); /* COPIED */
/* The server ends the conversation: what was replied before still arrives, then the link is closed. */
void mg_memory_end(mg_memory_conn *conn, const char *text); /* text COPIED, cut at 127 bytes */
void mg_memory_set_user(mg_memory_conn *conn, void *user);
void *mg_memory_user(const mg_memory_conn *conn);
#endif
