/* wire/headers: the mirrored headers of 2026-07-28 (transports/streamable-http, "Request Metadata"):
 * checking them inbound, rebuilding them outbound, the base64 sentinel, x-mcp-header schemas. */
#ifndef MG_WIRE_HEADERS_H
#define MG_WIRE_HEADERS_H
#include "wire/message.h"

/* One annotated parameter of a tool: where its value stands and which header mirrors it. */
struct mg_param {
  char *header; /* the part after Mcp-Param-, as written in the schema */
  char *path;   /* property names joined by NUL, ended by an empty one */
  int type;     /* MG_PARAM_* */
};
enum { MG_PARAM_STRING = 1, MG_PARAM_INTEGER, MG_PARAM_BOOLEAN };
struct mg_params {
  struct mg_param *v;
  size_t n;
};
#define MG_PARAMS_MAX 64
/* Collects the x-mcp-header annotations of an inputSchema. MCPGW_E_INVALID with a reason when one breaks
 * the rules: the tool must then be left out. *out OWNED, done by mg_params_done; n 0 when there is none. */
int mg_params_collect(struct mg_slice doc, struct mg_span schema, struct mg_params *out, const char **why);
void mg_params_done(struct mg_params *p);

/* Looks a request header up: the trimmed value, count = how often it occurs. */
typedef struct mg_slice (*mg_header_fn)(void *arg, const char *name, size_t *count);

/* Validates MCP-Protocol-Version, Mcp-Method, Mcp-Name of a modern request against its body. On failure
 * code is -32020 (or -32602 for missing _meta fields, -32022 for an unknown version). */
struct mg_header_fault {
  int code;
  char text[256];
};
int mg_headers_check(const struct mg_msg *m, mg_header_fn get, void *arg, struct mg_header_fault *why);
/* _meta of a modern request has protocolVersion (known) and clientCapabilities (an object); -32602 / -32022. */
int mg_meta_check(const struct mg_msg *m, struct mg_header_fault *why);
/* Mcp-Param-* against the arguments. */
int mg_params_check(const struct mg_params *p, const struct mg_msg *m, mg_header_fn get, void *arg,
                    struct mg_header_fault *why);

/* Appends the value as a header value, sentinel-encoded where it must be. */
int mg_header_encode(struct mg_buf *out, struct mg_slice value);
/* Appends "Mcp-Param-X\0value\0" pairs for the values present; n counts them. */
int mg_params_mirror(const struct mg_params *p, const struct mg_msg *m, struct mg_buf *out, size_t *n);
#endif
