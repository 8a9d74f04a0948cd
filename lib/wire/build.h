/* wire/build: the few messages that the gateway writes itself. Everything is appended to a buffer whose
 * owner checks mg_buf_rc once. */
#ifndef MG_WIRE_BUILD_H
#define MG_WIRE_BUILD_H
#include "wire/message.h"

struct mg_fault {          /* an error of the gateway's own (§14), or of JSON-RPC when reason is 0 */
  int reason;              /* mg_reason, or 0 */
  int code;                /* used when reason is 0 */
  int delivered;           /* 0 no, 1 yes, 2 unknown; -1 leaves it out */
  uint64_t retry_after_ms; /* 0 leaves it out */
  const char *upstream;    /* NULL leaves it out */
  const char *limit;       /* the config key of the limit that was reached, or what is full; NULL leaves it out */
  uint64_t limit_ms;       /* 0 leaves it out */
  const char *text;        /* one line, says what to do */
  struct mg_slice data;    /* for reason 0: complete JSON put as error.data; may be empty */
};
/* id: raw JSON (empty = null). */
int mg_build_error(struct mg_buf *out, struct mg_slice id, const struct mg_fault *f);
int mg_build_result(struct mg_buf *out, struct mg_slice id, struct mg_slice result); /* result: JSON */
int mg_build_notification(struct mg_buf *out, const char *method, struct mg_slice params); /* params may be empty */
int mg_build_request(struct mg_buf *out, uint64_t id, const char *method, struct mg_slice params);
/* {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":N,"reason":…}}; reason is raw
 * JSON or empty. */
int mg_build_cancelled(struct mg_buf *out, uint64_t id, struct mg_slice reason);
/* The _meta members every modern request must carry: "io.modelcontextprotocol/protocolVersion":…, … */
int mg_build_modern_meta(struct mg_buf *out, struct mg_slice client_info, struct mg_slice capabilities);
#endif
