/* The core with nothing around it: ports that write down what was asked of them, sinks that write down what
 * they got, servers that answer when a test says so, and a clock that only a test moves. */
#ifndef TEST_CORE_RIG_H
#define TEST_CORE_RIG_H
#include <check.h>

#include "core/core.h"

#define CORE_PORTS 64
#define CORE_SINKS 64
#define CORE_SERVERS 8

struct core_sent { /* one message that went to an upstream */
  uint32_t kind, modern, handshake, long_lived;
  uint64_t call;
  char *text, *headers; /* headers: "Name: value\n"… */
};
struct core_port { /* one link, seen from the outside */
  struct core_rig *rig;
  struct mg_link *link;
  size_t server; /* index of its upstream */
  int closed, graceful, listens;
  char revision[16];
  struct core_sent *v;
  size_t n, cap, served; /* served: what core_serve has looked at */
  uint64_t gone[256];    /* calls that were cancelled */
  size_t n_gone;
};
struct core_got { /* one message that went to a client */
  char *text, *session;
  int final, status;
};
struct core_sink {
  struct mg_sink sink; /* first */
  struct core_rig *rig;
  struct core_got *v;
  size_t n, cap;
  int requests, finals, drops, streaming, gone;
  const char *headers; /* of the request: "Name: value\n"… */
  int deaf;            /* 1: what comes is held back, and not written yet */
  mg_blob *kept[8];
  int n_kept;
};
struct core_server { /* how an upstream answers handshakes and lists; all of it may be changed between */
  int modern;        /* 1 DiscoverResult, -32601 …: that error, 0: silence */
  int mute;          /* 1: does not answer initialize */
  const char *revision, *caps, *hello; /* hello: further members of the result, with a leading comma */
  const char *tools, *prompts, *resources, *templates; /* JSON arrays; NULL: answered with an error */
  const char *hints;                                   /* further members of lists, with a leading comma */
};
struct core_rig {
  struct mg_core *core;
  struct mg_config *config;
  struct mg_budget budget;
  struct mg_log log;
  uint64_t now;
  int64_t live;
  int closes;  /* calls have exchanges of their own (HTTP) */
  int open_rc; /* what link_open gives */
  int send_rc; /* what link_send gives */
  struct core_port *ports[CORE_PORTS];
  size_t n_ports;
  struct core_sink *sinks[CORE_SINKS];
  size_t n_sinks;
  struct core_server servers[CORE_SERVERS];
  int ended; /* contexts that were told to have ended */
  const char *principal;
  mcpgw_credential who; /* of the last message */
  char last_log[1024];
};

/* servers: the mcpServers object, e.g. {"a":{"url":"http://a/mcp"}}; gateway: that object, or NULL. */
void core_up(struct core_rig *r, const char *servers, const char *gateway);
void core_down(struct core_rig *r); /* checks that nothing is left and every request was answered once */
void core_tick(struct core_rig *r, uint64_t ms); /* time passes, in one leap */
void core_serve(struct core_rig *r);             /* servers answer handshakes and lists until there is nothing to do */
void core_settle(struct core_rig *r);            /* serve and tick, no time passes */

mcpgw_credential core_who(const char *principal);
struct core_sink *core_sink(struct core_rig *r);
void core_sink_gone(struct core_sink *s);
void core_sink_hears(struct core_sink *s, int written); /* what was held back is written now, or lost */
void core_sink_clear(struct core_sink *s); /* forgets the messages, not the counts */
/* One message of a client. ctx NULL: modern. */
int core_say(struct core_rig *r, struct mg_ctx *ctx, struct core_sink *s, struct mg_view view, const char *text);
int core_legacy(struct mg_ctx *ctx, struct core_sink *s, const char *format, ...) __attribute__((format(printf, 3, 4)));
int core_modern(struct core_sink *s, const char *text); /* to all servers */
/* A legacy session over these servers: initialized, links ready. */
struct mg_ctx *core_session(struct core_rig *r, size_t first, size_t n);
struct mg_ctx *core_initialize(struct core_rig *r, struct core_sink *s, size_t first, size_t n, const char *params);
struct mg_view core_all(struct core_rig *r);

/* The open port of a server (the newest one); fails the test when there is none. */
struct core_port *core_port(struct core_rig *r, size_t server);
/* The nth (0 …) message to a server that holds this text; NULL when there is none. */
struct core_sent *core_sent(struct core_port *p, const char *part, size_t nth);
struct core_sent *core_last(struct core_port *p);
/* What a server says. call: on whose exchange; 0 a shared channel. */
void core_hear(struct core_port *p, uint64_t call, const char *format, ...) __attribute__((format(printf, 3, 4)));
void core_hear_status(struct core_port *p, uint64_t call, int status, const char *text);
void core_result(struct core_port *p, uint64_t call, const char *result);
void core_error(struct core_port *p, uint64_t call, int code);
void core_fail(struct core_port *p, uint64_t call, int code, uint32_t delivered, uint32_t http_status);
void core_close(struct core_port *p, uint32_t delivered);
int core_cancelled(const struct core_port *p, uint64_t call); /* times that link_cancel named it */

const char *core_text(const struct core_sink *s, size_t nth); /* "" when there is no such message */
const char *core_final(const struct core_sink *s);            /* the last final message; "" */
int core_status(const struct core_sink *s);                   /* of it */
#define core_has(text, part) \
  ck_assert_msg(strstr((text), (part)) != NULL, "%s\nis not in\n%.3000s", (part), (text))
#define core_lacks(text, part) \
  ck_assert_msg(strstr((text), (part)) == NULL, "%s\nis in\n%.3000s", (part), (text))

#define MCP_NS "io.modelcontextprotocol/"
#define MODERN_META "\"_meta\":{\"" MCP_NS "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{}}"
/* A modern request; members end in a comma. */
#define MODERN(id, method, members) \
  "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{" members MODERN_META "}}"
#define ONE "{\"a\":{\"url\":\"http://a/mcp\"}}"
#define TWO "{\"a\":{\"url\":\"http://a/mcp\"},\"b\":{\"url\":\"http://b/mcp\"}}"
#define THREE "{\"a\":{\"url\":\"http://a/mcp\"},\"b\":{\"url\":\"http://b/mcp\"},\"c\":{\"url\":\"http://c/mcp\"}}"
#endif
