/* http/client_priv: what client.c (multis, sockets, timers) and call.c (one exchange) share. Included by
 * these two only: it is the one place where libcurl's types are named. */
#ifndef MG_HTTP_CLIENT_PRIV_H
#define MG_HTTP_CLIENT_PRIV_H
#include <curl/curl.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "http/client.h"

enum {
  HTTP_CALLS_MAX = 65536, /* exchanges alive at once */
  HTTP_IDLE_MAX = 64,     /* easy handles kept for reuse */
  HTTP_SOCKETS_MAX = 65536,
  /* Connections per multi, busy ones counted: beyond it libcurl closes an idle one for each that is used, whoever
     it belongs to. One stuck upstream must not reach it. */
  HTTP_CONNS_KEPT = 8192,
  HTTP_HEADERS_OUT = 64 * 1024, /* request header bytes */
  HTTP_HEADERS_OUT_N = 256,
  HTTP_HEADERS_IN = 64 * 1024, /* response header bytes */
  HTTP_CONNECT_MS = 30000,
  /* A body up to this goes out with its head in one write: a fifth less CPU a request, measured. A longer
     one is read piece by piece and given back to the system as it goes. 0: all are read. */
  HTTP_INLINE_BODY = 16 * 1024
};

struct http_multi {
  CURLM *handle;
  struct mg_timer *timer; /* libcurl's own deadline */
  struct mg_http_client *client;
  int due; /* libcurl asked to be called at once: settle does */
};

struct mg_http_client {
  struct mg_loop *loop;
  struct mg_log *log;
  struct http_multi multi[2]; /* short requests, long streams */
  struct mg_map *sockets;     /* fd -> struct http_socket */
  struct mg_list live, idle, todo;
  size_t n_live, n_idle;
  struct mg_heap deadlines;
  struct mg_timer *clock; /* wakes for the earliest deadline */
  struct mg_soon kick;    /* what was asked for outside of libcurl is set going before the turn ends */
  uint64_t clock_ms;      /* when clock will fire; UINT64_MAX: never */
  unsigned patience_s;    /* a silent connection is probed after so long */
  int depth;              /* inside libcurl: its API may not be entered again */
};

/* Response headers we keep, as places in call->head. */
enum { HEAD_TYPE, HEAD_SESSION, HEAD_AUTHENTICATE, HEAD_RETRY_AFTER, HEAD_LOCATION, HEAD_N };
struct head_span {
  size_t from, len;
};

struct mg_http_call {
  struct mg_list node; /* in client->live or ->idle */
  struct mg_list todo; /* in client->todo while something waits for libcurl to be left */
  struct mg_heap_node deadline;
  struct mg_http_client *client;
  struct http_multi *multi; /* where it was added; NULL: nowhere */
  CURL *easy;
  struct mg_http_call_events ev;
  void *arg;
  /* request */
  mg_blob *body;
  size_t sent;        /* bytes of body that libcurl took */
  int whole;          /* it takes the body at once, with the head */
  struct mg_buf text; /* header lines, NUL-terminated one after another; kept for the next use */
  struct curl_slist *lines;
  size_t n_lines, lines_cap;
  char *url;    /* as last set on easy … */
  CURLU *parts; /* … which looks at these */
  int method; /* as last set on easy */
  int insecure;
  uint64_t connect_ms, end_ms; /* for the deadline's text; end on the loop's clock, 0 none */
  /* reply */
  struct mg_buf head;
  struct head_span span[HEAD_N];
  size_t head_bytes;
  int status, n_session, head_done, coded;
  /* state */
  int want_stream, starting, resuming;
  int connected; /* the request was let out at least once */
  int port;      /* our end of the connection its request went over last; 0: none yet */
  int dead;      /* no callback any more */
  int abort_rc;  /* why a callback of ours stopped the transfer */
  struct mg_err abort_text;
  char curl_text[CURL_ERROR_SIZE];
};

/* client.c */
int mg_http_client_socket_open(struct mg_http_client *c, struct curl_sockaddr *a); /* fd or -1 */
void mg_http_client_socket_forget(struct mg_http_client *c, int fd);
int mg_http_client_deadline(struct mg_http_call *call, uint64_t at_ms); /* 0: none */
void mg_http_client_later(struct mg_http_call *call); /* puts it on todo and sees that it is looked at */

/* call.c */
void mg_http_call_work(struct mg_http_call *call);             /* what waited on todo */
void mg_http_call_end(struct mg_http_call *call, CURLcode rc); /* libcurl is done with it */
void mg_http_call_late(struct mg_http_call *call);             /* its deadline passed */
void mg_http_call_destroy(struct mg_http_call *call);
#endif
