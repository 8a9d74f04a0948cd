/* transport/http_priv: what http.c (transport, link, header lines), http_call.c (POST) and http_stream.c
 * (event streams, resumption, the listening GET) share; http_bye.c says good-bye to sessions. Included by these only. */
#ifndef MG_TRANSPORT_HTTP_PRIV_H
#define MG_TRANSPORT_HTTP_PRIV_H
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "http/sse.h"
#include "transport/http.h"

enum {
  LINK_CALLS_MAX = 65536,
  LINES_MAX = 192,      /* header lines of one request */
  SESSION_MAX = 1024,   /* bytes of Mcp-Session-Id and of an event id */
  SKIP_MAX = 64 * 1024, /* bytes of an unwanted body we read to keep its connection */
  DRAIN_MS = 100,       /* how long an answered stream may take to end by itself */
  DRAIN_MAX = 1024,     /* such streams at once */
  RESUME_MS = 1000, /* when the server names no retry */
  RESUME_MAX_MS = 30000,
  RESUME_ATTEMPTS = 100,  /* in a row without a message */
  RETRY_MAX_MS = 3600000, /* of a server's retry */
  LISTEN_AGAIN_MS = 100,  /* a listening stream is not reopened sooner, whatever the retry */
  LISTEN_MIN_MS = 1000,
  LISTEN_MAX_MS = 30000
};

struct mg_http_transport {
  struct mg_http_client *client;
  struct mg_budget *budget;
  char *url;
  char **headers; /* from the config, n_headers of them */
  size_t n_headers;
  uint64_t connect_ms;
  int insecure_tls;
  struct mg_log *log; /* BORROWED; may be NULL */
  char *name;
  struct mg_list farewells, waiting; /* of http_bye.c: on their way, and before that */
  size_t n_farewells, n_waiting, n_left; /* n_left: that came to nothing, and have not been told */
  unsigned bye_faults;                   /* in a row */
  /* the header lines being put together; between send and call_start only */
  struct mg_buf text;
  size_t at[LINES_MAX];
  const char *line[LINES_MAX + 1];
  size_t n_lines;
};

struct http_link {
  struct mg_http_transport *t;
  mcpgw_link *link;
  struct mg_map *calls;     /* call number -> exchange that is awaited */
  struct mg_list exchanges; /* all, the draining ones excepted */
  struct mg_list draining;  /* oldest first */
  size_t n_draining;
  mcpgw_timer *drain_timer;
  char *session;              /* NULL: the server gave none */
  char revision[32];           /* of the last legacy message: streams and DELETE speak it too */
  struct mg_buf authorization; /* of the last message, for the same; wiped */
  struct http_exchange *listener;
  int no_listener; /* the server said 405 */
  int ended;       /* the session is gone and was reported */
  int closed;      /* close was called: nothing may reach the gateway */
  size_t refs;     /* the gateway's and one an exchange */
};

enum { KIND_LISTEN = 4 }; /* beside MCPGW_SEND_* */
enum { MODE_NONE, MODE_BODY, MODE_EVENTS, MODE_SKIP };

struct http_exchange {
  struct mg_list node;
  struct http_link *l;
  struct mg_http_call *http; /* NULL between two connections of a stream */
  uint64_t call;
  int kind, mode, status;
  int modern, handshake, with_session;
  int lasting;    /* expected to stay open: goes with the streams */
  int resumed;    /* what runs is a GET with Last-Event-ID */
  int busy;       /* callbacks of it on the stack */
  int delivering; /* one of them is the gateway looking at an event */
  int draining;   /* answered; its stream may end by itself */
  int gone;       /* nobody wants it: freed when not busy */
  int missed;     /* listening: the server may have spoken while nobody listened */
  int heard;      /* an event came on this connection */
  uint64_t drain_until_ms, connect_ms, opened_ms;
  mcpgw_bytes *body;
  size_t skipped;
  uint64_t retry_after_ms;
  struct mg_sse_reader *events;
  char *last_id; /* of the last event that carried one; NULL: none yet */
  uint64_t retry_ms; /* the server's; UINT64_MAX: none named */
  unsigned attempts, failures;
  mcpgw_timer *timer;
};

/* http.c */
void mg_http_lines_begin(struct mg_http_transport *t);
void mg_http_line(struct mg_http_transport *t, const char *name, const char *value);
int mg_http_lines_end(struct mg_http_transport *t, const mcpgw_header *own,
                      size_t n_own); /* adds the config's */
void mg_http_lines_wipe(struct mg_http_transport *t);
struct http_exchange *mg_http_exchange_new(struct http_link *l, int kind);
void mg_http_exchange_drop(struct http_exchange *x); /* no event after it; frees when it may */
void mg_http_exchange_leave(struct http_exchange *x);
void mg_http_fail(struct http_exchange *x, int code, uint32_t delivered, const char *text);
void mg_http_session_gone(struct http_link *l, struct http_exchange *x);
int mg_http_start(struct http_exchange *x, const char *method,
                  mcpgw_bytes *body); /* with the lines put together */

/* http_bye.c */
void mg_http_bye(struct http_link *l); /* its session is to be ended at the server; takes the session over */
void mg_http_byes_drop(struct mg_http_transport *t);

/* lost.c: 1: the server says by this that it does not know the session id it was sent. */
int mg_http_says_lost(int status, struct mg_slice text);

/* http_call.c */
extern const struct mg_http_call_events mg_http_exchange_events;
int mg_http_send(void *impl, const mcpgw_message *m);
void mg_http_cancel(void *impl, uint64_t call);

/* http_stream.c */
int mg_http_events_begin(struct http_exchange *x);
int mg_http_events_feed(struct http_exchange *x, const void *data, size_t len);
void mg_http_stream_ended(struct http_exchange *x);
int mg_http_resume_head(struct http_exchange *x, const struct mg_http_response *r);
void mg_http_resume_done(struct http_exchange *x, const struct mg_http_fault *fault);
int mg_http_listen_head(struct http_exchange *x, const struct mg_http_response *r);
void mg_http_listen_done(struct http_exchange *x, const struct mg_http_fault *fault);
void mg_http_listen(void *impl, const char *revision);
#endif
