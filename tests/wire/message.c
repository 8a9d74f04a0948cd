/* tests/wire/message: what is a message, what is refused and how, what is read of it. */
#include <stdio.h>
#include <string.h>

#include "mcpgw/types.h"
#include "wire/suites.h"

#define V "\"jsonrpc\":\"2.0\""

/* ---- kinds and refusals ----------------------------------------------------------------------------- */

static const struct {
  const char *doc;
  int kind; /* mg_kind, or the code it is refused with */
} messages[] = {
    {"{" V ",\"id\":1,\"method\":\"ping\"}", MG_REQUEST},
    {" \t\r\n{" V ",\"id\":1,\"method\":\"ping\"} \n", MG_REQUEST},
    {"{\"method\":\"ping\",\"id\":\"x\"," V "}", MG_REQUEST},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":{},\"extra\":[{}]}", MG_REQUEST},
    {"{" V ",\"method\":\"notifications/initialized\"}", MG_NOTIFICATION},
    {"{" V ",\"id\":1,\"result\":{}}", MG_RESULT},
    {"{" V ",\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}", MG_ERROR},
    {"{" V ",\"error\":{\"code\":1,\"message\":\"\"}}", MG_ERROR},
    {"{" V ",\"id\":null,\"error\":{}}", MG_ERROR},
    {"{\"\\u006asonrpc\":\"2.0\",\"id\":1,\"m\\u0065thod\":\"ping\"}", MG_REQUEST},
    /* unnamed members may repeat: they are payload */
    {"{" V ",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":{\"x\":1,\"x\":2}}}", MG_REQUEST},
    /* not JSON */
    {"", -32700},
    {"{", -32700},
    {"x", -32700},
    {"{" V ",\"id\":1,\"method\":\"ping\"}}", -32700},
    {"{" V ",\"id\":01,\"method\":\"ping\"}", -32700},
    {"{" V ",\"id\":1,\"method\":\"pi\nng\"}", -32700},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":{\"x\":\"\xff\"}}", -32700},
    {"{" V ",\"id\":1,\"method\":\"ping\",}", -32700},
    {"null", -32700},
    {"1", -32700},
    /* JSON, but no message */
    {"{}", -32600},
    {"{\"id\":1,\"method\":\"ping\"}", -32600},
    {"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}", -32600},
    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", -32600},
    {"{" V "}", -32600},
    {"{" V ",\"id\":1}", -32600},
    {"{" V ",\"id\":1,\"method\":7}", -32600},
    {"{" V ",\"id\":1,\"method\":\"\"}", -32600},
    {"{" V ",\"id\":1,\"method\":null}", -32600},
    {"{" V ",\"id\":1,\"method\":\"p\\u0069ng\"}", -32600},
    {"{" V ",\"id\":1,\"method\":\"a\\/b\\n\"}", -32600},
    {"{" V ",\"id\":1,\"method\":\"a\\\\/b\"}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":[]}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":null}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":1}}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":null}}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"result\":{}}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"error\":{}}", -32600},
    {"{" V ",\"id\":1,\"result\":{},\"error\":{}}", -32600},
    {"{" V ",\"id\":1,\"result\":1}", -32600},
    {"{" V ",\"id\":1,\"error\":\"x\"}", -32600},
    {"{" V ",\"result\":{}}", -32600},
    {"{" V ",\"id\":null,\"result\":{}}", -32600},
    /* what the envelope names may stand there once */
    {"{" V ",\"id\":1,\"id\":2,\"method\":\"ping\"}", -32600},
    {"{" V ",\"id\":1,\"i\\u0064\":2,\"method\":\"ping\"}", -32600},
    {"{" V "," V ",\"id\":1,\"method\":\"ping\"}", -32600},
    {"{" V ",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"na\\u006de\":\"b\"}}", -32600},
    {"{" V ",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"progressToken\":1,\"progressToken\":2}}}", -32600},
    {"{" V ",\"id\":1,\"result\":{\"nextCursor\":\"a\",\"nextCursor\":\"b\"}}", -32600},
};

START_TEST(each_message_is_what_it_is) {
  struct mg_msg m;
  struct mg_wire_fault why;
  const char *doc = messages[_i].doc;
  int rc = mg_wire_parse(mg_slice_z(doc), &m, &why);
  if (messages[_i].kind > 0) {
    ck_assert_msg(rc == MCPGW_OK, "%s: %s", doc, why.text);
    ck_assert_msg(m.kind == messages[_i].kind, "%s is of kind %d", doc, m.kind);
  } else {
    ck_assert_msg(rc == MCPGW_E_PARSE, "%s was taken", doc);
    ck_assert_msg(why.code == messages[_i].kind, "%s: code %d", doc, why.code);
    ck_assert_uint_gt(strlen(why.text), 5);
  }
}
END_TEST

/* ---- ids ----------------------------------------------------------------------------------------------- */

static char long_id[3][400]; /* 256, 257 bytes of string as written, 257 digits */

static void make_ids(void) {
  for (int i = 0; i < 2; i++) {
    memset(long_id[i], 'a', 256 + (size_t)i);
    long_id[i][0] = long_id[i][255 + i] = '"';
  }
  memset(long_id[2], '9', 257);
}

static const struct {
  const char *id;
  int ok;
} ids[] = {
    {"0", 1},      {"-1", 1},        {"42", 1},  {"9007199254740993", 1}, {"123456789012345678901234567890123456789", 1},
    {"\"\"", 1},   {"\"0\"", 1},     {"\"a\\u0062\\\"\"", 1}, {"\"\xc3\xa9\"", 1}, {"-0", 1},
    {long_id[0], 1}, {long_id[1], 0}, {long_id[2], 0},
    {"null", 0},   {"1.5", 0},       {"1.0", 0}, {"1e3", 0}, {"1E3", 0}, {"true", 0}, {"false", 0}, {"[]", 0}, {"{}", 0},
};

START_TEST(ids_are_strings_or_integers) {
  char doc[700];
  struct mg_msg m;
  struct mg_wire_fault why;
  make_ids();
  snprintf(doc, sizeof doc, "{" V ",\"id\":%s,\"method\":\"ping\"}", ids[_i].id);
  int rc = mg_wire_parse(mg_slice_z(doc), &m, &why);
  ck_assert_msg((rc == MCPGW_OK) == ids[_i].ok, "id %s: %d", ids[_i].id, rc);
  if (rc == MCPGW_OK) {
    ck_assert(mg_slice_eqz(mg_msg_raw(&m, MG_S_ID), ids[_i].id));
    ck_assert_str_eq(why.id, ids[_i].id); /* should something be wrong later */
  } else {
    ck_assert_int_eq(why.code, MG_RPC_REQUEST);
    ck_assert_str_eq(why.id, "");
  }
}
END_TEST

START_TEST(a_bad_request_still_tells_its_id) {
  struct mg_msg m;
  struct mg_wire_fault why;
  const char *doc = "{" V ",\"id\":\"q\\n7\",\"method\":\"ping\",\"params\":[]}";
  ck_assert_int_eq(mg_wire_parse(mg_slice_z(doc), &m, &why), MCPGW_E_PARSE);
  ck_assert_str_eq(why.id, "\"q\\n7\"");
}
END_TEST

START_TEST(progress_tokens_have_a_ceiling_too) {
  char doc[1400];
  struct mg_msg m;
  struct mg_wire_fault why;
  make_ids();
  for (int i = 0; i < 2; i++) {
    snprintf(doc, sizeof doc, "{" V ",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":{\"progressToken\":%s}}}", long_id[i]);
    ck_assert_int_eq(mg_wire_parse(mg_slice_z(doc), &m, &why), i ? MCPGW_E_PARSE : MCPGW_OK);
  }
}
END_TEST

/* ---- methods ------------------------------------------------------------------------------------------------ */

START_TEST(every_method_is_known_by_its_name) {
  char doc[256];
  struct mg_msg m;
  const char *name = mg_method_name(_i);
  ck_assert_uint_gt(strlen(name), 3);
  snprintf(doc, sizeof doc, "{" V ",\"id\":1,\"method\":\"%s\"}", name);
  wire_must(doc, &m);
  ck_assert_int_eq(m.method, _i);
  ck_assert(mg_slice_eqz(m.method_name, name));
  int is_list = strlen(name) > 5 && !strcmp(name + strlen(name) - 5, "/list") && strncmp(name, "tasks", 5) &&
                strncmp(name, "roots", 5);
  ck_assert_int_eq(mg_method_is_list(_i), is_list);
  for (int other = 1; other < _i; other++) ck_assert_str_ne(mg_method_name(other), name);
}
END_TEST

START_TEST(other_methods_are_other) {
  static const char *const names[] = {"x", "PING", "ping ", "tools/callx", "tools", "tools/cal", "notifications/"};
  char doc[256];
  struct mg_msg m;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(doc, sizeof doc, "{" V ",\"id\":1,\"method\":\"%s\"}", names[i]);
    wire_must(doc, &m);
    ck_assert_msg(m.method == MG_M_OTHER, "%s", names[i]);
    ck_assert(mg_slice_eqz(m.method_name, names[i]));
  }
  ck_assert_str_eq(mg_method_name(0), "");
  ck_assert_str_eq(mg_method_name(-1), "");
  ck_assert_str_eq(mg_method_name(MG_M_COUNT), "");
}
END_TEST

/* PHP's json_encode writes them so; the official PHP SDK sends all its messages that way. */
START_TEST(slashes_of_a_method_may_be_escaped) {
  struct mg_msg m;
  wire_must("{" V ",\"id\":1,\"method\":\"tools\\/call\"}", &m);
  ck_assert_int_eq(m.method, MG_M_TOOLS_CALL);
  ck_assert(mg_slice_eqz(m.method_name, "tools/call"));
  wire_must("{" V ",\"method\":\"notifications\\/tools\\/list_changed\"}", &m);
  ck_assert_int_eq(m.method, MG_M_N_TOOLS_CHANGED);
  ck_assert_int_eq(m.kind, MG_NOTIFICATION);
  wire_must("{" V ",\"id\":1,\"method\":\"skills\\/list\"}", &m);
  ck_assert_int_eq(m.method, MG_M_OTHER);
  struct mg_buf b;
  struct mg_slice text;
  mg_buf_init(&b, 64);
  ck_assert_int_eq(mg_msg_text(&m, MG_S_METHOD, &b, &text), MCPGW_OK);
  ck_assert(mg_slice_eqz(text, "skills/list"));
  mg_buf_done(&b);
}
END_TEST

/* ---- slots --------------------------------------------------------------------------------------------------- */

static const struct {
  int slot;
  const char *doc, *raw;
} slots[] = {
#define P(member) "{" V ",\"id\":1,\"method\":\"m/m\",\"params\":{\"z\":0," member "}}"
#define M(member) P("\"_meta\":{\"z\":0," member "}")
#define R(member) "{" V ",\"id\":1,\"result\":{\"z\":0," member "}}"
#define E(member) "{" V ",\"id\":1,\"error\":{\"z\":0," member "}}"
#define MCP "io.modelcontextprotocol/"
    {MG_S_JSONRPC, P("\"y\":1"), "\"2.0\""},
    {MG_S_ID, P("\"y\":1"), "1"},
    {MG_S_METHOD, P("\"y\":1"), "\"m/m\""},
    {MG_S_PARAMS, P("\"y\":1"), "{\"z\":0,\"y\":1}"},
    {MG_S_RESULT, R("\"y\":1"), "{\"z\":0,\"y\":1}"},
    {MG_S_ERROR, E("\"y\":1"), "{\"z\":0,\"y\":1}"},
    {MG_S_NAME, P("\"name\":\"a\""), "\"a\""},
    {MG_S_URI, P("\"uri\":\"a:b\""), "\"a:b\""},
    {MG_S_CURSOR, P("\"cursor\":\"c\""), "\"c\""},
    {MG_S_REF, P("\"ref\":{\"q\":1}"), "{\"q\":1}"},
    {MG_S_REF_TYPE, P("\"ref\":{\"type\":\"ref/prompt\"}"), "\"ref/prompt\""},
    {MG_S_REF_NAME, P("\"ref\":{\"name\":\"n\"}"), "\"n\""},
    {MG_S_REF_URI, P("\"ref\":{\"uri\":\"u\"}"), "\"u\""},
    {MG_S_ARGUMENTS, P("\"arguments\":{\"name\":\"no\"}"), "{\"name\":\"no\"}"},
    {MG_S_TASK_ID, P("\"taskId\":\"t\""), "\"t\""},
    {MG_S_TASK, P("\"task\":{\"ttl\":1}"), "{\"ttl\":1}"},
    {MG_S_REQUEST_ID, P("\"requestId\":7"), "7"},
    {MG_S_PROGRESS_TOKEN, P("\"progressToken\":\"p\""), "\"p\""},
    {MG_S_LEVEL, P("\"level\":\"info\""), "\"info\""},
    {MG_S_VERSION, P("\"protocolVersion\":\"2025-11-25\""), "\"2025-11-25\""},
    {MG_S_CAPABILITIES, P("\"capabilities\":{}"), "{}"},
    {MG_S_CLIENT_INFO, P("\"clientInfo\":{\"name\":\"c\"}"), "{\"name\":\"c\"}"},
    {MG_S_FILTER, P("\"notifications\":{\"toolsListChanged\":true}"), "{\"toolsListChanged\":true}"},
    {MG_S_IDEMPOTENCY, P("\"idempotencyKey\":\"k\""), "\"k\""},
    {MG_S_INPUT_RESPONSES, P("\"inputResponses\":{\"a\":1}"), "{\"a\":1}"},
    {MG_S_REQUEST_STATE, P("\"requestState\":\"s\""), "\"s\""},
    {MG_S_META, P("\"_meta\":{\"a\":1}"), "{\"a\":1}"},
    {MG_S_META_PROGRESS, M("\"progressToken\":3"), "3"},
    {MG_S_META_VERSION, M("\"" MCP "protocolVersion\":\"v\""), "\"v\""},
    {MG_S_META_CLIENT_INFO, M("\"" MCP "clientInfo\":{}"), "{}"},
    {MG_S_META_CAPABILITIES, M("\"io.modelcontextprotocol\\/clientCapabilities\":{}"), "{}"},
    {MG_S_META_LOG, M("\"" MCP "logLevel\":\"debug\""), "\"debug\""},
    {MG_S_META_SUBSCRIPTION, M("\"" MCP "subscriptionId\":\"s\""), "\"s\""},
    {MG_S_META_CONTEXT, M("\"dev.mcpgw/context\":\"new\""), "\"new\""},
    {MG_S_META_IDEMPOTENCY, M("\"dev.mcpgw/idempotency-key\":\"k\""), "\"k\""},
    {MG_S_R_TYPE, R("\"resultType\":\"complete\""), "\"complete\""},
    {MG_S_R_CURSOR, R("\"nextCursor\":\"c\""), "\"c\""},
    {MG_S_R_META, R("\"_meta\":{}"), "{}"},
    {MG_S_R_META_SUBSCRIPTION, R("\"_meta\":{\"" MCP "subscriptionId\":5}"), "5"},
    {MG_S_R_VERSION, R("\"protocolVersion\":\"v\""), "\"v\""},
    {MG_S_R_CAPABILITIES, R("\"capabilities\":{}"), "{}"},
    {MG_S_R_SERVER_INFO, R("\"serverInfo\":{}"), "{}"},
    {MG_S_R_INSTRUCTIONS, R("\"instructions\":\"do\""), "\"do\""},
    {MG_S_R_TOOLS, R("\"tools\":[{\"name\":\"x\"}]"), "[{\"name\":\"x\"}]"},
    {MG_S_R_PROMPTS, R("\"prompts\":[]"), "[]"},
    {MG_S_R_RESOURCES, R("\"resources\":[]"), "[]"},
    {MG_S_R_TEMPLATES, R("\"resourceTemplates\":[]"), "[]"},
    {MG_S_R_TASKS, R("\"tasks\":[]"), "[]"},
    {MG_S_R_TTL, R("\"ttlMs\":5000"), "5000"},
    {MG_S_R_SCOPE, R("\"cacheScope\":\"private\""), "\"private\""},
    {MG_S_R_SUPPORTED, R("\"supportedVersions\":[]"), "[]"},
    {MG_S_R_TASK, R("\"task\":{\"q\":0}"), "{\"q\":0}"},
    {MG_S_R_TASK_TASK_ID, R("\"task\":{\"taskId\":\"t\"}"), "\"t\""},
    {MG_S_R_TASK_ID, R("\"taskId\":\"t\""), "\"t\""},
    {MG_S_E_CODE, E("\"code\":-32000"), "-32000"},
    {MG_S_E_MESSAGE, E("\"message\":\"no\""), "\"no\""},
    {MG_S_E_DATA, E("\"data\":[1]"), "[1]"},
    {MG_S_E_ORIGIN, E("\"data\":{\"origin\":\"gateway\"}"), "\"gateway\""},
    {MG_S_E_SUPPORTED, E("\"data\":{\"supported\":[]}"), "[]"},
};

START_TEST(every_slot_is_found) {
  struct mg_msg m;
  ck_assert_uint_eq(sizeof slots / sizeof slots[0], MG_S_COUNT); /* a slot without a row is a slot untested */
  ck_assert_int_eq(slots[_i].slot, _i);
  wire_must(slots[_i].doc, &m);
  struct mg_slice raw = mg_msg_raw(&m, slots[_i].slot);
  ck_assert_msg(mg_slice_eqz(raw, slots[_i].raw), "slot %d: %.*s", _i, (int)raw.len, raw.ptr);
  ck_assert(mg_msg_has(&m, slots[_i].slot));
}
END_TEST

START_TEST(text_of_a_slot) {
  struct mg_msg m;
  struct mg_buf b;
  struct mg_slice text;
  mg_buf_init(&b, 100);
  wire_must(P("\"name\":\"a\\u00e9\\/b\",\"uri\":7,\"level\":null,\"task\":true"), &m);
  ck_assert_int_eq(mg_msg_text(&m, MG_S_NAME, &b, &text), MCPGW_OK);
  ck_assert(mg_slice_eqz(text, "a\xc3\xa9/b"));
  ck_assert(mg_slice_eqz(mg_msg_inner(&m, MG_S_NAME), "a\\u00e9\\/b"));
  ck_assert_int_eq(mg_msg_text(&m, MG_S_URI, &b, &text), MCPGW_E_PARSE);
  ck_assert_int_eq(mg_msg_text(&m, MG_S_CURSOR, &b, &text), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(mg_msg_has(&m, MG_S_LEVEL), 0);
  ck_assert_int_eq(mg_msg_has(&m, MG_S_CURSOR), 0);
  ck_assert_int_eq(mg_msg_bool(&m, MG_S_TASK), 1);
  ck_assert_int_eq(mg_msg_bool(&m, MG_S_URI), 0);
  wire_must(P("\"name\":\"\\ud800\""), &m); /* a lone surrogate is no text */
  ck_assert_int_eq(mg_msg_text(&m, MG_S_NAME, &b, &text), MCPGW_E_PARSE);
  mg_buf_done(&b);
}
END_TEST

/* ---- batches ---------------------------------------------------------------------------------------------------- */

static const struct {
  const char *doc;
  int is_batch, members; /* -1: malformed */
} batches[] = {
    {"[]", 1, 0},       {" \n[ ] ", 1, 0},   {"[1]", 1, 1},      {"[{},[],\"x\" , null]", 1, 4}, {"{}", 0, 0},
    {"", 0, 0},         {"  ", 0, 0},        {"x[", 0, 0},       {"[1", 1, -1},                  {"[1,]", 1, -1},
    {"[1]]", 1, -1},    {"[1]x", 1, -1},     {"[", 1, -1},       {"[,1]", 1, -1},                {"[\"\xff\"]", 1, -1},
};

START_TEST(batches_are_walked) {
  struct mg_slice doc = mg_slice_z(batches[_i].doc), member;
  size_t pos = 0;
  int n = 0, more = 0;
  ck_assert_int_eq(mg_wire_is_batch(doc), batches[_i].is_batch);
  if (!batches[_i].is_batch) return;
  while (n < 10 && (more = mg_wire_batch_next(doc, &pos, &member)) > 0) n++;
  ck_assert_int_eq(more < 0 ? -1 : n, batches[_i].members);
  if (more < 0) ck_assert_int_eq(more, MCPGW_E_PARSE);
}
END_TEST

START_TEST(batch_members_are_messages) {
  const char *text = " [ {" V ",\"id\":1,\"method\":\"ping\"} ,{" V ",\"method\":\"notifications/x\"},7 ]";
  struct mg_slice doc = mg_slice_z(text), member;
  struct mg_msg m;
  struct mg_wire_fault why;
  size_t pos = 0;
  ck_assert_int_eq(mg_wire_batch_next(doc, &pos, &member), 1);
  ck_assert_int_eq(mg_wire_parse(member, &m, &why), MCPGW_OK);
  ck_assert_int_eq(m.method, MG_M_PING);
  ck_assert_int_eq(mg_wire_batch_next(doc, &pos, &member), 1);
  ck_assert_int_eq(mg_wire_parse(member, &m, &why), MCPGW_OK);
  ck_assert_int_eq(m.kind, MG_NOTIFICATION);
  ck_assert_int_eq(mg_wire_batch_next(doc, &pos, &member), 1);
  ck_assert_int_eq(mg_wire_parse(member, &m, &why), MCPGW_E_PARSE);
  ck_assert_int_eq(mg_wire_batch_next(doc, &pos, &member), 0);
}
END_TEST


Suite *wire_message_suite(void) {
  Suite *s = suite_create("wire/message");
  TCase *t = tcase_create("parse");
  wire_rows(t, each_message_is_what_it_is, messages);
  wire_rows(t, ids_are_strings_or_integers, ids);
  tcase_add_test(t, a_bad_request_still_tells_its_id);
  tcase_add_test(t, progress_tokens_have_a_ceiling_too);
  tcase_add_loop_test(t, every_method_is_known_by_its_name, 1, MG_M_COUNT);
  tcase_add_test(t, other_methods_are_other);
  tcase_add_test(t, slashes_of_a_method_may_be_escaped);
  wire_rows(t, every_slot_is_found, slots);
  tcase_add_test(t, text_of_a_slot);
  wire_rows(t, batches_are_walked, batches);
  tcase_add_test(t, batch_members_are_messages);
  suite_add_tcase(s, t);
  return s;
}
