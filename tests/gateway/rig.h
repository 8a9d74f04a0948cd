/* A whole gateway in this process over <mcpgw/gateway.h>: servers behind the memory transport, raw HTTP
 * clients on loopback sockets, in-process clients. One thread: the gateway turns while a client waits.
 * tests/oom uses it too. */
#ifndef TEST_GATEWAY_RIG_H
#define TEST_GATEWAY_RIG_H
#include <check.h>
#include <mcpgw/mcpgw.h>
#include <stdlib.h>
#include <string.h>

#include "transport/memory.h"

#define GWT_HELD 4096
struct gwt_held { /* a call that waits for gwt_release */
  mg_memory_conn *conn;
  char id[64];
};
struct gwt_server {
  struct gwt *g;
  const char *caps, *tools, *payload; /* payload: what the tool "raw" returns, a result object */
  size_t big;                         /* bytes of content the tool "big" returns */
  int modern;                         /* 1: speaks 2026-07-28 too */
  int mute;                           /* answers nothing */
  struct gwt_held held[GWT_HELD];
  size_t n_held;
  mg_memory_conn *last;               /* the newest link, NULL when it is gone */
  int conns, calls, cancelled, answers, failed_replies;
  char *last_call; /* the bytes of the last tools/call; malloc */
  char last_answer[512];
};
struct gwt {
  mcpgw_config *config;
  mcpgw_gateway *gw;
  int port, n_servers;
  int64_t live;
  struct gwt_server servers[3];
  void *transports[3];
  char log[4096]; /* the last lines */
  int oom;        /* allocations are being failed: want of memory is no fault of the test */
};
struct gwt_http { /* one client connection */
  struct gwt *g;
  int fd, eof, reset;
  char *buf; /* what came and has not been consumed; NUL-terminated */
  size_t len, cap;
};

/* gateway: members of the gateway object ("\"sse_after_ms\":20,"), or "". Servers are a, b, c; it listens. */
void gwt_up(struct gwt *g, const char *gateway, int n_servers);
int gwt_try_up(struct gwt *g, const char *gateway, int n_servers); /* as above; a result code. Set g->oom first */
int gwt_transport(struct gwt *g, int i); /* makes that of server i, which was not there at first */
void gwt_down(struct gwt *g); /* checks that memory is as before */
/* The isolation of all servers of the gateways that are brought up from here on; 0: the default. */
void gwt_isolate(int isolation);
void gwt_turn(struct gwt *g, int ms);
int gwt_wait(struct gwt *g, const int *counter, int value, int ms); /* 1: it got there */
long long gwt_stat(struct gwt *g, const char *name);
uint64_t gwt_ms(void);

void gwt_release(struct gwt_server *s, size_t nth, const char *result); /* answers a held call */
void gwt_say(struct gwt_server *s, const char *text);                   /* on the newest link */

/* ---- HTTP ------------------------------------------------------------------------------------------------- */
void gwt_connect(struct gwt *g, struct gwt_http *c);
void gwt_connect_slow(struct gwt *g, struct gwt_http *c); /* little fits between it and the gateway */
void gwt_connect_wide(struct gwt *g, struct gwt_http *c); /* a few MiB fit, no more */
void gwt_close(struct gwt_http *c); /* frees; NULL-safe twice */
void gwt_reset(struct gwt_http *c); /* closes with RST */
void gwt_write(struct gwt_http *c, const void *data, size_t len);
/* A request line, Host, the headers given ("A: b\r\n"…), and the body with its length. */
void gwt_request(struct gwt_http *c, const char *method, const char *path, const char *headers, const char *body);
void gwt_post(struct gwt_http *c, const char *path, const char *headers, const char *body); /* with Accept and Content-Type */
int gwt_read(struct gwt_http *c, int ms);                                  /* what is there now; 1: something came */
int gwt_until(struct gwt_http *c, const char *text, int ms);               /* 1: text is in buf */
int gwt_until_eof(struct gwt_http *c, int ms);
/* Waits for one whole response with Content-Length; *body points into buf until the next call. The status,
 * 0 when none came. *head, when not NULL, gets a malloc'ed copy of the head. */
int gwt_response(struct gwt_http *c, char **body, char **head, int ms);
/* The decoded body of the chunked response in buf so far (malloc'ed); *over: its last chunk is there. */
char *gwt_stream(struct gwt_http *c, int *over);
int gwt_stream_has(struct gwt_http *c, const char *text, int ms); /* waits until the stream holds text */
int gwt_stream_over(struct gwt_http *c, int ms);
void gwt_forget(struct gwt_http *c); /* drops what is in buf */
/* One request on a connection of its own, answered with Content-Length: the status; *body malloc'ed. */
int gwt_ask(struct gwt *g, const char *path, const char *headers, const char *body, char **out);
/* A legacy session; id gets "Mcp-Session-Id: …\r\n". */
void gwt_session(struct gwt *g, const char *path, const char *revision, char id[80]);

#define GWT_NS "io.modelcontextprotocol/"
#define GWT_META "\"_meta\":{\"" GWT_NS "protocolVersion\":\"2026-07-28\",\"" GWT_NS "clientCapabilities\":{}}"
#define GWT_MODERN(id, method, members) \
  "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{" members GWT_META "}}"
#define GWT_MODERN_CALL(id, tool) GWT_MODERN(id, "tools/call", "\"name\":\"" tool "\",\"arguments\":{},")
#define GWT_MODERN_HEADERS(method) "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: " method "\r\n"
#define GWT_CALL_HEADERS(tool) GWT_MODERN_HEADERS("tools/call") "Mcp-Name: " tool "\r\n"
#define GWT_CALL(id, tool) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" tool "\",\"arguments\":{}}}"

#define gwt_has(text, part) ck_assert_msg(strstr((text), (part)) != NULL, "%s\nis not in\n%.3000s", (part), (text))
#define gwt_lacks(text, part) ck_assert_msg(strstr((text), (part)) == NULL, "%s\nis in\n%.3000s", (part), (text))

/* ---- in-process clients -------------------------------------------------------------------------------------- */
/* The next event within ms; NULL: none. To be freed with mcpgw_event_free. */
mcpgw_event *gwt_event(struct gwt *g, int ms);
#endif
