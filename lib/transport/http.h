/* transport/http: Streamable HTTP towards an upstream, both eras: a POST a message, replies as JSON or as
 * an event stream, legacy sessions with their GET stream, resumption and DELETE. Plugs into the gateway by
 * mg_transport_http_ops; the transport value (one an upstream) is what mg_transport_http_new makes. */
#ifndef MG_TRANSPORT_HTTP_H
#define MG_TRANSPORT_HTTP_H
#include <mcpgw/transport.h>

#include "http/client.h"

struct mg_http_transport_config {
  struct mg_http_client *client; /* BORROWED; outlives the transport */
  struct mg_budget *budget;   /* limits.memory_bytes, charged for streamed messages; may be NULL; BORROWED */
  struct mg_log *log;         /* BORROWED; may be NULL */
  const char *name;           /* of the server, for the log; may be NULL; COPIED */
  const char *url;            /* COPIED */
  const char *const *headers; /* "Name: value" from the config, NULL-terminated or NULL; COPIED. What the
                                 protocol sets itself is left out; a message's own header wins. */
  uint64_t connect_ms;        /* used when a message names none; 0 = the client's default */
  int insecure_tls;           /* only for tests */
};
/* MCPGW_E_CONFIG: the url is neither http nor https, or a header line is malformed. */
int mg_transport_http_new(const struct mg_http_transport_config *config, void **transport);
/* All links must have been closed. Farewells (DELETE) still under way are dropped. NULL is fine. */
void mg_transport_http_free(void *transport);
extern const mcpgw_transport_ops mg_transport_http_ops;
#endif
