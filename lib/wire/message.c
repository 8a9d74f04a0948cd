/* wire/message: owns the shape of an MCP message, i.e. which members the gateway may look at, and the
 * table of methods. It must never look at payload (arguments, content, contents): those are skipped by
 * the scanner. */
#include "wire/message.h"

#include <string.h>

#include "mcpgw/types.h"

#define F(k, slot) {k, sizeof(k) - 1, slot, NULL}
#define FI(k, slot, shape) {k, sizeof(k) - 1, slot, &shape}
#define SHAPE(name, fields) static const struct mg_shape name = {fields, sizeof fields / sizeof fields[0]}
#define MCP "io.modelcontextprotocol/"

static const struct mg_field meta_fields[] = {
    F("progressToken", MG_S_META_PROGRESS),
    F(MCP "protocolVersion", MG_S_META_VERSION),
    F(MCP "clientInfo", MG_S_META_CLIENT_INFO),
    F(MCP "clientCapabilities", MG_S_META_CAPABILITIES),
    F(MCP "logLevel", MG_S_META_LOG),
    F(MCP "subscriptionId", MG_S_META_SUBSCRIPTION),
    F("dev.mcpgw/context", MG_S_META_CONTEXT),
    F("dev.mcpgw/idempotency-key", MG_S_META_IDEMPOTENCY),
};
SHAPE(meta_shape, meta_fields);

static const struct mg_field ref_fields[] = {
    F("type", MG_S_REF_TYPE),
    F("name", MG_S_REF_NAME),
    F("uri", MG_S_REF_URI),
};
SHAPE(ref_shape, ref_fields);

static const struct mg_field params_fields[] = {
    F("name", MG_S_NAME),
    F("uri", MG_S_URI),
    F("cursor", MG_S_CURSOR),
    FI("ref", MG_S_REF, ref_shape),
    F("arguments", MG_S_ARGUMENTS),
    F("taskId", MG_S_TASK_ID),
    F("task", MG_S_TASK),
    F("requestId", MG_S_REQUEST_ID),
    F("progressToken", MG_S_PROGRESS_TOKEN),
    F("level", MG_S_LEVEL),
    F("protocolVersion", MG_S_VERSION),
    F("capabilities", MG_S_CAPABILITIES),
    F("clientInfo", MG_S_CLIENT_INFO),
    F("notifications", MG_S_FILTER),
    F("idempotencyKey", MG_S_IDEMPOTENCY),
    F("inputResponses", MG_S_INPUT_RESPONSES),
    F("requestState", MG_S_REQUEST_STATE),
    FI("_meta", MG_S_META, meta_shape),
};
SHAPE(params_shape, params_fields);

static const struct mg_field result_meta_fields[] = {F(MCP "subscriptionId", MG_S_R_META_SUBSCRIPTION)};
SHAPE(result_meta_shape, result_meta_fields);
static const struct mg_field task_fields[] = {F("taskId", MG_S_R_TASK_TASK_ID)};
SHAPE(task_shape, task_fields);

static const struct mg_field result_fields[] = {
    F("resultType", MG_S_R_TYPE),
    F("nextCursor", MG_S_R_CURSOR),
    FI("_meta", MG_S_R_META, result_meta_shape),
    F("protocolVersion", MG_S_R_VERSION),
    F("capabilities", MG_S_R_CAPABILITIES),
    F("serverInfo", MG_S_R_SERVER_INFO),
    F("instructions", MG_S_R_INSTRUCTIONS),
    F("tools", MG_S_R_TOOLS),
    F("prompts", MG_S_R_PROMPTS),
    F("resources", MG_S_R_RESOURCES),
    F("resourceTemplates", MG_S_R_TEMPLATES),
    F("tasks", MG_S_R_TASKS),
    F("ttlMs", MG_S_R_TTL),
    F("cacheScope", MG_S_R_SCOPE),
    F("supportedVersions", MG_S_R_SUPPORTED),
    FI("task", MG_S_R_TASK, task_shape),
    F("taskId", MG_S_R_TASK_ID),
};
SHAPE(result_shape, result_fields);

static const struct mg_field data_fields[] = {
    F("origin", MG_S_E_ORIGIN),
    F("supported", MG_S_E_SUPPORTED),
};
SHAPE(data_shape, data_fields);
static const struct mg_field error_fields[] = {
    F("code", MG_S_E_CODE),
    F("message", MG_S_E_MESSAGE),
    FI("data", MG_S_E_DATA, data_shape),
};
SHAPE(error_shape, error_fields);

static const struct mg_field root_fields[] = {
    F("jsonrpc", MG_S_JSONRPC),
    F("id", MG_S_ID),
    F("method", MG_S_METHOD),
    FI("params", MG_S_PARAMS, params_shape),
    FI("result", MG_S_RESULT, result_shape),
    FI("error", MG_S_ERROR, error_shape),
};
SHAPE(root_shape, root_fields);

static const char *const method_names[MG_M_COUNT] = {
    [MG_M_OTHER] = "",
    [MG_M_INITIALIZE] = "initialize",
    [MG_M_DISCOVER] = "server/discover",
    [MG_M_PING] = "ping",
    [MG_M_LISTEN] = "subscriptions/listen",
    [MG_M_TOOLS_LIST] = "tools/list",
    [MG_M_TOOLS_CALL] = "tools/call",
    [MG_M_RESOURCES_LIST] = "resources/list",
    [MG_M_TEMPLATES_LIST] = "resources/templates/list",
    [MG_M_RESOURCES_READ] = "resources/read",
    [MG_M_SUBSCRIBE] = "resources/subscribe",
    [MG_M_UNSUBSCRIBE] = "resources/unsubscribe",
    [MG_M_PROMPTS_LIST] = "prompts/list",
    [MG_M_PROMPTS_GET] = "prompts/get",
    [MG_M_COMPLETE] = "completion/complete",
    [MG_M_SET_LEVEL] = "logging/setLevel",
    [MG_M_TASKS_GET] = "tasks/get",
    [MG_M_TASKS_RESULT] = "tasks/result",
    [MG_M_TASKS_CANCEL] = "tasks/cancel",
    [MG_M_TASKS_UPDATE] = "tasks/update",
    [MG_M_TASKS_LIST] = "tasks/list",
    [MG_M_CREATE_MESSAGE] = "sampling/createMessage",
    [MG_M_ELICIT] = "elicitation/create",
    [MG_M_ROOTS_LIST] = "roots/list",
    [MG_M_N_INITIALIZED] = "notifications/initialized",
    [MG_M_N_CANCELLED] = "notifications/cancelled",
    [MG_M_N_PROGRESS] = "notifications/progress",
    [MG_M_N_MESSAGE] = "notifications/message",
    [MG_M_N_ROOTS_CHANGED] = "notifications/roots/list_changed",
    [MG_M_N_TOOLS_CHANGED] = "notifications/tools/list_changed",
    [MG_M_N_PROMPTS_CHANGED] = "notifications/prompts/list_changed",
    [MG_M_N_RESOURCES_CHANGED] = "notifications/resources/list_changed",
    [MG_M_N_UPDATED] = "notifications/resources/updated",
    [MG_M_N_ACKNOWLEDGED] = "notifications/subscriptions/acknowledged",
};

const char *mg_method_name(int method) {
  return method > 0 && method < MG_M_COUNT ? method_names[method] : "";
}

int mg_method_is_list(int method) {
  return method == MG_M_TOOLS_LIST || method == MG_M_RESOURCES_LIST || method == MG_M_TEMPLATES_LIST ||
         method == MG_M_PROMPTS_LIST;
}

static int method_of(struct mg_slice name) {
  for (int i = 1; i < MG_M_COUNT; i++) {
    const char *known = method_names[i];
    if (known[0] == name.ptr[0] && mg_slice_eqz(name, known)) return i;
  }
  return MG_M_OTHER;
}

/* PHP writes "tools\/call"; nobody has reason to escape anything else in a method. */
static int only_slashes_escaped(struct mg_slice raw) {
  for (size_t i = 0; i < raw.len; i++)
    if (raw.ptr[i] == '\\' && (++i == raw.len || raw.ptr[i] != '/')) return 0;
  return 1;
}

static int escaped_method_of(const struct mg_msg *m) {
  int i = MG_M_COUNT;
  while (--i > 0 && !mg_span_streq(m->doc, m->s[MG_S_METHOD], mg_slice_z(method_names[i]))) continue;
  return i;
}

struct mg_slice mg_msg_raw(const struct mg_msg *m, int slot) {
  return mg_span_slice(m->doc, m->s[slot]);
}

struct mg_slice mg_msg_inner(const struct mg_msg *m, int slot) {
  return mg_span_inner(m->doc, m->s[slot]);
}

int mg_msg_has(const struct mg_msg *m, int slot) {
  return m->s[slot].type != MG_JSON_NONE && m->s[slot].type != MG_JSON_NULL;
}

int mg_msg_bool(const struct mg_msg *m, int slot) {
  return m->s[slot].type == MG_JSON_TRUE;
}

int mg_msg_text(const struct mg_msg *m, int slot, struct mg_buf *scratch, struct mg_slice *out) {
  if (m->s[slot].type == MG_JSON_NONE) return MCPGW_E_NOT_FOUND;
  if (m->s[slot].type != MG_JSON_STRING) return MCPGW_E_PARSE;
  return mg_span_text(m->doc, m->s[slot], scratch, out);
}

static int refuse(struct mg_wire_fault *f, int code, const char *text) {
  f->code = code;
  size_t n = strlen(text);
  if (n >= sizeof f->text) n = sizeof f->text - 1;
  memcpy(f->text, text, n);
  f->text[n] = 0;
  return MCPGW_E_PARSE;
}

/* An id is a string or an integer (any size) of at most MG_ID_MAX bytes as written. */
static int id_ok(const struct mg_msg *m) {
  const struct mg_span *s = &m->s[MG_S_ID];
  if (s->len > MG_ID_MAX) return 0;
  if (s->type == MG_JSON_STRING) return 1;
  if (s->type != MG_JSON_NUMBER) return 0;
  struct mg_slice raw = mg_msg_raw(m, MG_S_ID);
  return !memchr(raw.ptr, '.', raw.len) && !memchr(raw.ptr, 'e', raw.len) && !memchr(raw.ptr, 'E', raw.len);
}

static int classify_request(struct mg_msg *m, struct mg_wire_fault *f, int bad_id) {
  const struct mg_span *method = &m->s[MG_S_METHOD];
  struct mg_slice name = mg_msg_inner(m, MG_S_METHOD);
  if (method->type != MG_JSON_STRING || !name.len || (method->escaped && !only_slashes_escaped(name)))
    return refuse(f, MG_RPC_REQUEST, "method must be a non-empty string in which no more than slashes are escaped");
  if (m->s[MG_S_PARAMS].type != MG_JSON_NONE && m->s[MG_S_PARAMS].type != MG_JSON_OBJECT)
    return refuse(f, MG_RPC_REQUEST, "params must be an object");
  if (m->s[MG_S_META].type != MG_JSON_NONE && m->s[MG_S_META].type != MG_JSON_OBJECT)
    return refuse(f, MG_RPC_REQUEST, "params._meta must be an object");
  if (m->s[MG_S_META_PROGRESS].len > MG_ID_MAX)
    return refuse(f, MG_RPC_REQUEST, "params._meta.progressToken is longer than 256 bytes");
  if (bad_id) return refuse(f, MG_RPC_REQUEST, "id must be a string or an integer of at most 256 bytes");
  m->method = method->escaped ? escaped_method_of(m) : method_of(name);
  m->method_name = method->escaped && m->method ? mg_slice_z(method_names[m->method]) : name;
  m->kind = m->s[MG_S_ID].type == MG_JSON_NONE ? MG_NOTIFICATION : MG_REQUEST;
  return MCPGW_OK;
}

static int classify_reply(struct mg_msg *m, struct mg_wire_fault *f, int bad_id) {
  int has_error = m->s[MG_S_ERROR].type != MG_JSON_NONE;
  if (has_error && m->s[MG_S_RESULT].type != MG_JSON_NONE)
    return refuse(f, MG_RPC_REQUEST, "a response has either result or error");
  if (has_error && m->s[MG_S_ERROR].type != MG_JSON_OBJECT)
    return refuse(f, MG_RPC_REQUEST, "error must be an object");
  if (!has_error && m->s[MG_S_RESULT].type != MG_JSON_OBJECT)
    return refuse(f, MG_RPC_REQUEST, "a message has a method, a result object or an error object");
  int no_id = m->s[MG_S_ID].type == MG_JSON_NONE || m->s[MG_S_ID].type == MG_JSON_NULL;
  if (bad_id && !(has_error && no_id))
    return refuse(f, MG_RPC_REQUEST, "id must be a string or an integer of at most 256 bytes");
  m->kind = has_error ? MG_ERROR : MG_RESULT;
  return MCPGW_OK;
}

int mg_wire_parse(struct mg_slice doc, struct mg_msg *m, struct mg_wire_fault *f) {
  struct mg_scan_result why;
  struct mg_span root;
  f->id[0] = 0;
  m->doc = doc;
  m->kind = 0;
  m->method = MG_M_OTHER;
  m->method_name = mg_slice(NULL, 0);
  if (mg_json_scan(doc, &root_shape, m->s, MG_S_COUNT, &root, &why) != MCPGW_OK) {
    int code = why.error == MG_SCAN_DUPLICATE || why.error == MG_SCAN_DEPTH ? MG_RPC_REQUEST : MG_RPC_PARSE;
    return refuse(f, code, mg_scan_strerror(why.error));
  }
  int bad_id = m->s[MG_S_ID].type != MG_JSON_NONE && !id_ok(m);
  if (!bad_id && m->s[MG_S_ID].type != MG_JSON_NONE) {
    struct mg_slice id = mg_msg_raw(m, MG_S_ID);
    memcpy(f->id, id.ptr, id.len);
    f->id[id.len] = 0;
  }
  if (m->s[MG_S_JSONRPC].type != MG_JSON_STRING || !mg_slice_eqz(mg_msg_inner(m, MG_S_JSONRPC), "2.0"))
    return refuse(f, MG_RPC_REQUEST, "jsonrpc must be \"2.0\"");
  if (m->s[MG_S_METHOD].type == MG_JSON_NONE) {
    if (m->s[MG_S_ID].type == MG_JSON_NONE) bad_id = 1;
    return classify_reply(m, f, bad_id);
  }
  if (m->s[MG_S_RESULT].type != MG_JSON_NONE || m->s[MG_S_ERROR].type != MG_JSON_NONE)
    return refuse(f, MG_RPC_REQUEST, "a message is either a request or a response");
  return classify_request(m, f, bad_id);
}

int mg_wire_is_batch(struct mg_slice doc) {
  for (size_t i = 0; i < doc.len; i++) {
    char c = doc.ptr[i];
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return c == '[';
  }
  return 0;
}

int mg_wire_batch_next(struct mg_slice doc, size_t *pos, struct mg_slice *member) {
  struct mg_span root, item;
  if (*pos == 0) {
    struct mg_scan_result why;
    static const struct mg_shape none = {NULL, 0};
    if (mg_json_scan(doc, &none, NULL, 0, &root, &why) != MCPGW_OK || root.type != MG_JSON_ARRAY)
      return MCPGW_E_PARSE;
  }
  root = mg_json_whole(doc);
  if (!mg_json_item(doc, root, pos, &item)) return 0;
  *member = mg_span_slice(doc, item);
  return 1;
}
