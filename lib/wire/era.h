/* wire/era: revisions, what each knows, and the table of codes and statuses by era (DESIGN §6, §14). */
#ifndef MG_WIRE_ERA_H
#define MG_WIRE_ERA_H
#include "base/buf.h"

enum mg_revision {
  MG_REV_NONE = 0, MG_REV_2024_11_05, MG_REV_2025_03_26, MG_REV_2025_06_18, MG_REV_2025_11_25, MG_REV_2026_07_28
};
#define MG_REV_LATEST_LEGACY MG_REV_2025_11_25
#define MG_REV_LATEST_MODERN MG_REV_2026_07_28

int mg_revision_parse(struct mg_slice text); /* MG_REV_NONE: unknown */
const char *mg_revision_name(int revision);  /* "2025-11-25" */
int mg_revision_is_modern(int revision);
int mg_revision_has_batches(int revision);     /* 2025-03-26 alone */
int mg_revision_resumes(int revision);         /* priming events and retry: 2025-11-25 */
/* Appends ["2026-07-28","2025-11-25",…]: modern ones if modern, then legacy ones if legacy. */
int mg_revision_list(struct mg_buf *out, int modern, int legacy);

/* JSON-RPC and MCP codes. */
#define MG_RPC_PARSE (-32700)
#define MG_RPC_REQUEST (-32600)
#define MG_RPC_METHOD (-32601)
#define MG_RPC_PARAMS (-32602)
#define MG_RPC_INTERNAL (-32603)
#define MG_RPC_HEADERS (-32020)
#define MG_RPC_CAPABILITY (-32021)
#define MG_RPC_VERSION (-32022)

/* What the gateway itself raises. */
enum mg_reason {
  MG_WHY_POLICY_DENIED = 1, MG_WHY_UPSTREAM_UNAVAILABLE, MG_WHY_UPSTREAM_TIMEOUT, MG_WHY_OUTCOME_UNKNOWN,
  MG_WHY_IDEMPOTENCY_CONFLICT, MG_WHY_OVERLOADED, MG_WHY_STATE_LOST, MG_WHY_CONTEXT_ENDED,
  MG_WHY_PAYLOAD_TOO_LARGE, MG_WHY_UPSTREAM_PROTOCOL, MG_WHY_COUNT
};
int mg_reason_code(int reason);          /* -31001 … -31010 */
const char *mg_reason_name(int reason);  /* "POLICY_DENIED" … */
/* HTTP status of a JSON-RPC error that ends a request before a stream has begun (§14): by code. */
int mg_code_status(int code, int modern);
#endif
