/* wire/message: bytes <-> small structs for JSON-RPC and MCP. Pure functions: no state, no clock, no I/O.
 * A message is scanned once; what the gateway may read (DESIGN §1 "envelope") is then known as spans. */
#ifndef MG_WIRE_MESSAGE_H
#define MG_WIRE_MESSAGE_H
#include "json/scan.h"
#include "wire/era.h"

enum mg_kind { MG_REQUEST = 1, MG_NOTIFICATION, MG_RESULT, MG_ERROR };

enum mg_method {
  MG_M_OTHER = 0,
  MG_M_INITIALIZE, MG_M_DISCOVER, MG_M_PING, MG_M_LISTEN,
  MG_M_TOOLS_LIST, MG_M_TOOLS_CALL,
  MG_M_RESOURCES_LIST, MG_M_TEMPLATES_LIST, MG_M_RESOURCES_READ, MG_M_SUBSCRIBE, MG_M_UNSUBSCRIBE,
  MG_M_PROMPTS_LIST, MG_M_PROMPTS_GET, MG_M_COMPLETE, MG_M_SET_LEVEL,
  MG_M_TASKS_GET, MG_M_TASKS_RESULT, MG_M_TASKS_CANCEL, MG_M_TASKS_UPDATE, MG_M_TASKS_LIST,
  MG_M_CREATE_MESSAGE, MG_M_ELICIT, MG_M_ROOTS_LIST,
  MG_M_N_INITIALIZED, MG_M_N_CANCELLED, MG_M_N_PROGRESS, MG_M_N_MESSAGE, MG_M_N_ROOTS_CHANGED,
  MG_M_N_TOOLS_CHANGED, MG_M_N_PROMPTS_CHANGED, MG_M_N_RESOURCES_CHANGED, MG_M_N_UPDATED,
  MG_M_N_ACKNOWLEDGED, MG_M_COUNT
};

/* Span slots. The names say where the member stands. */
enum mg_slot {
  MG_S_JSONRPC, MG_S_ID, MG_S_METHOD, MG_S_PARAMS, MG_S_RESULT, MG_S_ERROR,
  MG_S_NAME, MG_S_URI, MG_S_CURSOR, MG_S_REF, MG_S_REF_TYPE, MG_S_REF_NAME, MG_S_REF_URI, MG_S_ARGUMENTS,
  MG_S_TASK_ID, MG_S_TASK, MG_S_REQUEST_ID, MG_S_PROGRESS_TOKEN, MG_S_LEVEL, MG_S_VERSION, MG_S_CAPABILITIES,
  MG_S_CLIENT_INFO, MG_S_FILTER, MG_S_IDEMPOTENCY, MG_S_INPUT_RESPONSES, MG_S_REQUEST_STATE,
  MG_S_META, MG_S_META_PROGRESS, MG_S_META_VERSION, MG_S_META_CLIENT_INFO, MG_S_META_CAPABILITIES,
  MG_S_META_LOG, MG_S_META_SUBSCRIPTION, MG_S_META_CONTEXT, MG_S_META_IDEMPOTENCY,
  MG_S_R_TYPE, MG_S_R_CURSOR, MG_S_R_META, MG_S_R_META_SUBSCRIPTION, MG_S_R_VERSION, MG_S_R_CAPABILITIES,
  MG_S_R_SERVER_INFO, MG_S_R_INSTRUCTIONS, MG_S_R_TOOLS, MG_S_R_PROMPTS, MG_S_R_RESOURCES, MG_S_R_TEMPLATES,
  MG_S_R_TASKS, MG_S_R_TTL, MG_S_R_SCOPE, MG_S_R_SUPPORTED, MG_S_R_TASK, MG_S_R_TASK_TASK_ID, MG_S_R_TASK_ID,
  MG_S_E_CODE, MG_S_E_MESSAGE, MG_S_E_DATA, MG_S_E_ORIGIN, MG_S_E_SUPPORTED,
  MG_S_COUNT
};

struct mg_msg {
  struct mg_slice doc; /* BORROWED: lives as long as the blob it was scanned from */
  int kind;            /* mg_kind */
  int method;          /* mg_method; MG_M_OTHER for replies and unknown ones */
  struct mg_slice method_name; /* without quotes; of a MG_M_OTHER as sent: its text is mg_msg_text's */
  struct mg_span s[MG_S_COUNT];
};

/* Why a message was refused. code is -32700 or -32600; id is what could be read of it (may be empty). */
struct mg_wire_fault {
  int code;
  char text[160];
  char id[260]; /* NUL-terminated raw id, "" when unreadable */
};

#define MG_ID_MAX 256 /* bytes of an id or progress token as written, quotes included */

int mg_wire_parse(struct mg_slice doc, struct mg_msg *m, struct mg_wire_fault *fault);
/* 1 when the first byte that is not white space opens an array: a batch of revision 2025-03-26. */
int mg_wire_is_batch(struct mg_slice doc);
/* Walks a batch: pos starts at 0; 1 and the next member, 0 at the end, MCPGW_E_PARSE when malformed. */
int mg_wire_batch_next(struct mg_slice doc, size_t *pos, struct mg_slice *member);

struct mg_slice mg_msg_raw(const struct mg_msg *m, int slot);   /* as written; empty when absent */
struct mg_slice mg_msg_inner(const struct mg_msg *m, int slot); /* a string without quotes, still escaped */
int mg_msg_has(const struct mg_msg *m, int slot);               /* present and not null */
/* The unescaped text of a string; a view into doc or into scratch. MCPGW_E_NOT_FOUND, MCPGW_E_PARSE (no string). */
int mg_msg_text(const struct mg_msg *m, int slot, struct mg_buf *scratch, struct mg_slice *out);
int mg_msg_bool(const struct mg_msg *m, int slot);

const char *mg_method_name(int method);
int mg_method_is_list(int method);
#endif
