/* http/client: the libcurl fence. Requests and streams over keep-alive connections, driven by the
 * loop with multi_socket (see DESIGN §16 for why each option is as it is). It never hands a request body
 * to a connection twice; only what provably carried none of it may go out again on a fresh connection.
 * Short requests and long-lived streams live in two multis. http and https only, no redirects, no proxy
 * from the environment, identity encoding, HTTP/1.1. */
#ifndef MG_HTTP_CLIENT_H
#define MG_HTTP_CLIENT_H
#include "base/blob.h"
#include "loop/loop.h"

struct mg_http_client;
int mg_http_client_new(struct mg_loop *l, struct mg_log *log, struct mg_http_client **out);
/* An upstream whose machine vanished is noticed in twice this time, be its stream ever so silent (whole seconds;
 * 15,000 at first). For connections that are made from now on. */
void mg_http_client_patience(struct mg_http_client *c, uint64_t ms);
void mg_http_client_free(struct mg_http_client *c);

enum { MG_DELIVERED_NO = 0, MG_DELIVERED_YES = 1, MG_DELIVERED_UNKNOWN = 2 };

struct mg_http_fault {
  int rc;          /* MCPGW_E_IO, _TIMEOUT, _LIMIT, _CLOSED, _PARSE, _DENIED … */
  int delivered;   /* MG_DELIVERED_: NO = never connected, or no byte of the body was handed out; UNKNOWN = some or all was */
  char text[256];
};
struct mg_http_response {
  int status;
  struct mg_slice content_type; /* without parameters, as sent; BORROWED until the callback returns */
  struct mg_slice session_id, www_authenticate, retry_after, location; /* empty when absent */
  int count_session_id;
};
struct mg_http_call_opts {
  const char *method;   /* "POST", "GET", "DELETE" */
  const char *url;      /* COPIED */
  const char *const *headers; /* complete "Name: value" lines, NULL-terminated; COPIED. The client adds nothing but Host, Content-Length */
  mg_blob *body;        /* a reference is taken; NULL for none */
  uint64_t connect_ms;  /* TCP + TLS + DNS (own timer, no CURLOPT_TIMEOUT); 0 = 30,000 */
  uint64_t total_ms;    /* start to end of the reply; 0 = the caller cancels in its own time */
  int stream;           /* long-lived: second multi */
  int insecure_tls;     /* only for tests */
};
struct mg_http_call;
struct mg_http_call_events {
  void (*sent)(void *arg);   /* a first piece of the request body, or all of it, is handed to the system; optional */
  /* Status and headers are complete. Return non-OK to abort the transfer (done follows with that rc). */
  int (*head)(void *arg, const struct mg_http_response *r);
  int (*body)(void *arg, const void *data, size_t len); /* a piece; non-OK aborts; MCPGW_E_AGAIN pauses (the piece comes again after mg_http_call_resume) */
  /* Exactly once, unless cancelled; fault NULL: the response ended as it should. The handle is freed after. */
  void (*done)(void *arg, const struct mg_http_fault *fault);
};
int mg_http_call_start(struct mg_http_client *c, const struct mg_http_call_opts *o,
                       const struct mg_http_call_events *ev, void *arg, struct mg_http_call **out);
void mg_http_call_cancel(struct mg_http_call *call); /* closes the exchange; no callback after; [cb] fine */
void mg_http_call_resume(struct mg_http_call *call);
#endif
