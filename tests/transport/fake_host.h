/* A gateway's end of links for tests of transports: all functions of <mcpgw/transport.h> over one mg_loop.
 * What a transport tells is written down as events; a hook may react from inside, as the gateway does. */
#ifndef TEST_TRANSPORT_FAKE_HOST_H
#define TEST_TRANSPORT_FAKE_HOST_H
#include <mcpgw/transport.h>

#include "base/blob.h"
#include "loop/loop.h"

enum { HOST_SENT = 1, HOST_STREAMING, HOST_MESSAGE, HOST_FAILED, HOST_CLOSED };
enum { HOST_EVENTS = 4096 };
struct host_event {
  int kind;
  uint64_t call;
  char *text; /* MESSAGE: its bytes, NUL-terminated; FAILED, CLOSED: the failure's text */
  size_t len;
  uint32_t status;   /* of a message */
  mcpgw_failure why; /* FAILED, CLOSED; its text is NULL, see above */
};
struct mcpgw_link {
  struct mg_loop *loop;
  struct mg_budget budget;
  size_t result_bytes; /* 1 MiB unless set */
  struct host_event ev[HOST_EVENTS];
  int n;
  int after_close; /* events that came although the link had been closed: must stay 0 */
  int closed;      /* set by the test when it has called close */
  int alive; /* signs of life reported, and for which call the last one */
  uint64_t alive_call;
  int gaps;
  int logs;
  char last_log[256];
  void (*on_log)(struct mcpgw_link *link, int level, const char *event, const char *text,
                 size_t len); /* or NULL */
  void (*react)(struct mcpgw_link *link,
                const struct host_event *ev); /* from inside the event; may be NULL */
  void *user;
};
struct mcpgw_link *fake_host_new(struct mg_loop *loop);
void fake_host_free(struct mcpgw_link *link);
/* Turns the loop until n events of this kind (and this call, 0 any) are there; 1 or 0 (too late). */
int fake_host_wait(struct mcpgw_link *link, int kind, uint64_t call, int n, int ms);
void fake_host_turn(struct mcpgw_link *link, int ms);
int fake_host_count(const struct mcpgw_link *link, int kind, uint64_t call);
/* The nth (0 …) event of this kind and call; NULL when there is none. */
const struct host_event *fake_host_event(const struct mcpgw_link *link, int kind, uint64_t call, int n);
mcpgw_bytes *fake_host_bytes(struct mcpgw_link *link, const char *text);
#endif
