/* http/server: a strict HTTP/1.1 listener on loop + llhttp. It frames messages, enforces limits and
 * time-outs, and moves bytes with backpressure; it knows nothing about MCP.
 * Refused with 400 and closed: CL+TE, differing or malformed CL, unknown TE, space before the colon,
 * folded headers, bare LF, NUL, missing, doubled or malformed Host. 413 body too large, 431 headers too
 * large, 408 header or body too slow, 501 unknown method, 505 wrong version, 417 unknown Expect. Pipelined
 * requests are answered in order, one at a time. */
#ifndef MG_HTTP_SERVER_H
#define MG_HTTP_SERVER_H
#include "base/blob.h"
#include "base/buf.h"
#include "loop/loop.h"

struct mg_http_limits {
  size_t header_bytes, body_bytes; /* 32 KiB, 4 MiB */
  size_t connections;              /* beyond it: accept, 503 + Retry-After, close */
  uint64_t header_ms;              /* first byte to end of headers (10,000) */
  uint64_t body_ms;                /* longest pause inside a body (30,000); in all ten of them, and 1 ms for each 16 bytes */
  uint64_t idle_ms;                /* keep-alive without a request (75,000) */
  uint64_t write_ms;               /* a reader that takes nothing for this long is gone (60,000); also TCP_USER_TIMEOUT */
  int private_sockets;             /* unix sockets have mode 0600 and serve our own user and root alone: 403 */
};

struct mg_http_server;
struct mg_exchange; /* one request and its response */

struct mg_header {
  struct mg_slice name, value; /* value trimmed; both BORROWED until the response has been ended */
};
struct mg_http_request {
  struct mg_slice method, target; /* as sent */
  struct mg_slice path, query;    /* target cut at '?'; absolute-form is reduced to its path */
  struct mg_slice host;           /* the Host header */
  const struct mg_header *headers;
  size_t n_headers;
  mg_blob *body; /* whole; NULL when empty. BORROWED; ref it to keep it */
  int peer_is_loopback, keep_alive, accepts_100;
};

struct mg_http_events { /* all run in the loop; data is mg_http_server_new's */
  /* Before the body of a request is read (headers are complete): return 0 to go on, or an HTTP status
   * to refuse with (the server answers and closes; 429 and 503 get Retry-After: 1). Or answer here with
   * mg_exchange_reply, e.g. to add a challenge; the return value is then ignored. Optional. */
  int (*admit)(void *data, struct mg_exchange *x, const struct mg_http_request *r);
  /* A whole request. It must be answered, now or later, by reply or stream_begin…stream_end. */
  void (*request)(void *data, struct mg_exchange *x, const struct mg_http_request *r);
  /* The client is gone (RST, write failure, or FIN on a response stream that had been begun as SSE; a FIN
   * after the request body while the answer is pending is NOT gone) before the response ended. The
   * exchange is freed after this returns. An exchange that admit saw and that never became a request
   * is reported here only if admit gave it a pointer (mg_exchange_set). */
  void (*gone)(void *data, struct mg_exchange *x);
  /* The send queue of x fell below half of its mark. Optional. */
  void (*drained)(void *data, struct mg_exchange *x);
};

/* log and budget are BORROWED. Bodies are charged to budget: at its end 503 + Retry-After. */
int mg_http_server_new(struct mg_loop *l, const struct mg_http_limits *limits, const struct mg_http_events *ev,
                       void *data, struct mg_log *log, struct mg_budget *budget, struct mg_http_server **out);
/* "127.0.0.1:8808", "[::1]:0", "unix:/path". May be called more than once. url gets what it became,
 * e.g. "127.0.0.1:41233". */
int mg_http_server_listen(struct mg_http_server *s, struct mg_slice addr, struct mg_buf *bound, struct mg_err *err);
/* Closes the listener that was opened with this addr, as it was written. Its connections stay. NOT_FOUND. */
int mg_http_server_unlisten(struct mg_http_server *s, struct mg_slice addr);
/* For requests and connections from now on; private_sockets and write_ms of sockets that listen stay as they are. */
void mg_http_server_set_limits(struct mg_http_server *s, const struct mg_http_limits *limits);
void mg_http_server_stop_accepting(struct mg_http_server *s); /* closes listeners and idle connections */
size_t mg_http_server_connections(const struct mg_http_server *s);
void mg_http_server_free(struct mg_http_server *s); /* cuts everything; `gone` is called for open exchanges */

const struct mg_http_request *mg_exchange_request(struct mg_exchange *x); /* headers stay valid till the end */
/* Case-insensitive; the empty slice with NULL ptr when absent. count gets how often it occurs (NULL ok). */
struct mg_slice mg_exchange_header(struct mg_exchange *x, const char *name, size_t *count);
void *mg_exchange_get(struct mg_exchange *x);            /* the caller's pointer, NULL at first */
void mg_exchange_set(struct mg_exchange *x, void *user);
/* Frees the request body now instead of at the end of the response. Headers stay. */
void mg_exchange_drop_body(struct mg_exchange *x);
/* Frees body and headers, for a stream that will be open long: mg_exchange_request is then an empty
 * request, mg_exchange_header finds nothing. */
void mg_exchange_compact(struct mg_exchange *x);

/* A whole response. headers: complete lines "Name: value\r\n"…, may be empty; Content-Length, Date and
 * Connection are the server's. segs are taken over (references) even on failure. After it x is gone for
 * the caller, on failure too (the connection is then cut, without `gone`); only MCPGW_E_STATE, for an x
 * whose stream has begun, leaves x as it was. A HEAD request gets no body. [cb] */
int mg_exchange_reply(struct mg_exchange *x, int status, struct mg_slice headers, struct mg_seg *segs, size_t n);
/* Convenience: text/plain or JSON body COPIED. type NULL = no body. */
int mg_exchange_reply_text(struct mg_exchange *x, int status, const char *type, struct mg_slice body);

/* A streamed response (chunked for HTTP/1.1, until close for 1.0). write takes the references over, on
 * failure too. Writes of one turn of the loop leave in one system call where they fit. MCPGW_E_LIMIT
 * (nothing queued) when queued bytes would pass max_queued. A lost peer is told by `gone`, never from
 * inside these calls. */
int mg_exchange_stream_begin(struct mg_exchange *x, int status, struct mg_slice headers);
int mg_exchange_stream_write(struct mg_exchange *x, struct mg_seg *segs, size_t n, size_t max_queued);
int mg_exchange_stream_end(struct mg_exchange *x); /* x is gone for the caller; queued bytes still leave */
void mg_exchange_cut(struct mg_exchange *x);       /* aborts the connection; no gone callback */
/* How long the peer has acknowledged nothing, not even a probe, while bytes are under way to it. 0: nothing is,
 * or it cannot be told. A slow reader acknowledges; who has vanished does not. */
uint64_t mg_exchange_silent_ms(const struct mg_exchange *x);
size_t mg_exchange_queued(const struct mg_exchange *x); /* bytes not yet taken by the kernel */
#endif
