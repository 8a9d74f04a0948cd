/* <mcpgw/transport.h>: the extender tier. A transport carries messages between the gateway and one kind
 * of upstream. http, stdio and memory are written against this header and nothing else of the gateway.
 * All functions and callbacks here are [owner] unless marked [any]. */
#ifndef MCPGW_TRANSPORT_H
#define MCPGW_TRANSPORT_H
#include <mcpgw/types.h>

MCPGW_BEGIN

typedef struct mcpgw_bytes mcpgw_bytes; /* one message's bytes, refcounted, charged to limits.memory_bytes */
typedef struct mcpgw_link mcpgw_link;   /* the gateway's end of one live conversation with one upstream */
typedef struct mcpgw_watch mcpgw_watch;
typedef struct mcpgw_timer mcpgw_timer;

/* ---- messages ---------------------------------------------------------------------------------- */
/* A new buffer that may grow to max bytes by append. *out OWNED. append: MCPGW_E_LIMIT at max, or when
 * limits.memory_bytes is used up; MCPGW_E_STATE once it is shared. */
MCPGW_API int mcpgw_bytes_new(mcpgw_link *link, size_t max, mcpgw_bytes **out);
MCPGW_API int mcpgw_bytes_append(mcpgw_bytes *bytes, const void *data, size_t len);
MCPGW_API const char *mcpgw_bytes_data(const mcpgw_bytes *bytes);
MCPGW_API size_t mcpgw_bytes_len(const mcpgw_bytes *bytes);
MCPGW_API mcpgw_bytes *mcpgw_bytes_ref(mcpgw_bytes *bytes);
MCPGW_API void mcpgw_bytes_unref(mcpgw_bytes *bytes);

/* ---- what the gateway tells a transport -------------------------------------------------------- */
#define MCPGW_SEND_REQUEST 1      /* a reply with this call number is awaited */
#define MCPGW_SEND_NOTIFICATION 2
#define MCPGW_SEND_RESPONSE 3     /* the client's answer to a request of the server */

typedef struct mcpgw_header {
  const char *name, *value; /* NUL-terminated, safe to put on the wire; BORROWED until send returns */
} mcpgw_header;

typedef struct mcpgw_message {
  uint32_t struct_size;
  uint32_t kind;      /* MCPGW_SEND_* */
  uint64_t call;      /* unique on the link for requests; 0 for the others */
  mcpgw_bytes *bytes; /* one JSON-RPC message; BORROWED: take a reference to keep it */
  const char *revision; /* protocol revision the message is written in, e.g. "2025-11-25" */
  uint32_t modern;    /* 1: per-request metadata era (2026-07-28 and later), no session */
  uint32_t handshake; /* 1: an initialize request: a session id in the reply is to be kept */
  uint32_t long_lived; /* 1: a subscriptions/listen: its exchange stays open */
  uint32_t reserved;
  const mcpgw_header *headers; /* Mcp-Method, Mcp-Name, Mcp-Param-* …; n_headers of them */
  size_t n_headers;
  uint64_t connect_ms; /* longest time to reach the upstream, 0 = the transport's default */
} mcpgw_message;

#define MCPGW_CLOSE_GRACEFUL 1u /* tell the upstream (HTTP: DELETE the session; stdio: close stdin, TERM, KILL) */

/* A slot must not report (mcpgw_link_message, _failed, _closed) before it returns: what comes at once waits
 * for a timer of no delay, or a post. A report from inside a slot is dropped and logged as an error. */
typedef struct mcpgw_transport_ops {
  uint32_t struct_size;
  const char *name; /* "http" */
  /* Mandatory. Makes a conversation for link; *impl OWNED by the link until close. What is slow (connect,
   * spawn) may fail later by mcpgw_link_closed. */
  int (*open)(void *transport, mcpgw_link *link, void **impl);
  /* Mandatory. Queues one message. On failure nothing was sent and no event follows for it. */
  int (*send)(void *impl, const mcpgw_message *msg);
  /* Mandatory. The gateway no longer wants this call: close its exchange where it has one of its own. No
   * event for it after this returns. Where calls share a channel it only forgets. */
  void (*cancel)(void *impl, uint64_t call);
  /* Optional. The legacy handshake is complete: open the channel on which the upstream may speak unasked
   * (HTTP: the GET stream; 405 is fine). */
  void (*listen)(void *impl, const char *revision);
  /* Optional. 1: messages on calls have exchanges of their own (HTTP), so cancelling needs no message. */
  int (*cancel_closes)(void *impl);
  /* Mandatory, exactly once, nothing after it: no event may reach the link any more. */
  void (*close)(void *impl, uint32_t flags);
} mcpgw_transport_ops;

/* ---- what a transport tells the gateway -------------------------------------------------------- */
#define MCPGW_DELIVERED_NO 0u
#define MCPGW_DELIVERED_YES 1u
#define MCPGW_DELIVERED_UNKNOWN 2u

typedef struct mcpgw_failure {
  uint32_t struct_size;
  int32_t code;          /* MCPGW_E_IO, _TIMEOUT, _CLOSED, _PARSE, _LIMIT, _DENIED, _NOT_FOUND (session is gone) */
  uint32_t delivered;    /* MCPGW_DELIVERED_* */
  uint32_t http_status;  /* 0 when none */
  uint64_t retry_after_ms;
  const char *text;      /* one line; BORROWED until the call returns; may be NULL */
} mcpgw_failure;

/* A first byte of the call's message, or all of it, was handed to the system: from here on it may have been
 * delivered. Optional but wanted: without it a call that ends in silence is told as delivered "unknown". */
MCPGW_API void mcpgw_link_sent(mcpgw_link *link, uint64_t call);
/* The upstream answers this call with a stream that has begun before its reply (an SSE priming event). */
MCPGW_API void mcpgw_link_streaming(mcpgw_link *link, uint64_t call);
/* Bytes came on this call's own exchange: the head of a reply, a part of it, a heartbeat. Optional; cheap enough
 * for every read. It ends first_byte_ms and restarts idle_ms; mcpgw_link_message does so too. */
MCPGW_API void mcpgw_link_alive(mcpgw_link *link, uint64_t call);
/* One message. call: the call on whose own stream it came, 0 when the channel is shared. bytes OWNED by
 * the gateway from here, even when it drops them. http_status: of the reply it came in, 0 when none. */
MCPGW_API void mcpgw_link_message(mcpgw_link *link, uint64_t call, mcpgw_bytes *bytes, uint32_t http_status);
/* The stream for messages of the server's own (call 0) was away for a time and is there again: what the server
 * said meanwhile is lost. Clients are told that lists may have changed. Optional. */
MCPGW_API void mcpgw_link_gap(mcpgw_link *link);
/* This call will get no reply. */
MCPGW_API void mcpgw_link_failed(mcpgw_link *link, uint64_t call, const mcpgw_failure *why);
/* The whole conversation is over (child ended, session gone). Every call on it fails with why; the
 * gateway will call close in its own time. */
MCPGW_API void mcpgw_link_closed(mcpgw_link *link, const mcpgw_failure *why);

/* ---- host services ----------------------------------------------------------------------------- */
#define MCPGW_READ 1
#define MCPGW_WRITE 2
#define MCPGW_HUP 4
MCPGW_API int mcpgw_watch_new(mcpgw_link *link, int fd, void (*cb)(void *arg, int events), void *arg, mcpgw_watch **out);
MCPGW_API int mcpgw_watch_set(mcpgw_watch *watch, int events);
MCPGW_API void mcpgw_watch_free(mcpgw_watch *watch);
MCPGW_API int mcpgw_timer_new(mcpgw_link *link, void (*cb)(void *arg), void *arg, mcpgw_timer **out);
MCPGW_API void mcpgw_timer_set(mcpgw_timer *timer, uint64_t delay_ms); /* UINT64_MAX stops it */
MCPGW_API void mcpgw_timer_free(mcpgw_timer *timer);
/* [any] Runs cb in the owner thread. The link must outlive it: post only between open and close. */
MCPGW_API int mcpgw_link_post(mcpgw_link *link, void (*cb)(void *arg), void *arg);
#define MCPGW_LOG_ERROR 0
#define MCPGW_LOG_WARN 1
#define MCPGW_LOG_INFO 2
#define MCPGW_LOG_DEBUG 3
/* A log line under the upstream's name. event: a dotted constant; text is cut at 1 KiB. */
MCPGW_API void mcpgw_link_log(mcpgw_link *link, int level, const char *event, const char *text, size_t len);
MCPGW_API const char *mcpgw_link_name(const mcpgw_link *link); /* the upstream's key; BORROWED */
MCPGW_API size_t mcpgw_link_result_bytes(const mcpgw_link *link); /* ceiling of one message from upstream */
MCPGW_API void *mcpgw_alloc(size_t size); /* the library's allocator */
MCPGW_API void mcpgw_free(void *ptr);

MCPGW_END
#endif
