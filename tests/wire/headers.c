/* tests/wire/headers: mirrored headers against the body (2026-07-28, transports/streamable-http, "Request
 * Metadata" and "Server Validation"), and the base64 sentinel. */
#include <stdio.h>
#include <string.h>

#include "mcpgw/types.h"
#include "wire/suites.h"

#define MCP "io.modelcontextprotocol/"
#define META "\"_meta\":{\"" MCP "protocolVersion\":\"2026-07-28\",\"" MCP "clientCapabilities\":{}}"
#define REQ(method, members) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" members META "}}"
#define PV "MCP-Protocol-Version: 2026-07-28\n"
#define CALL REQ("tools/call", "\"name\":\"get_weather\",")
#define READ REQ("resources/read", "\"uri\":\"file:///a b\",")

static const struct {
  const char *doc, *headers;
  int code; /* 0: fine */
} checks[] = {
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: get_weather\n", 0},
    {CALL, "mcp-protocol-version: 2026-07-28\nMCP-METHOD: tools/call\nmcp-name:get_weather\n", 0},
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: =?base64?Z2V0X3dlYXRoZXI=?=\n", 0},
    {READ, PV "Mcp-Method: resources/read\nMcp-Name: file:///a b\n", 0},
    {REQ("prompts/get", "\"name\":\"p\","), PV "Mcp-Method: prompts/get\nMcp-Name: p\n", 0},
    {REQ("prompts/get", "\"name\":\"\\u4e16\\u754c\","), PV "Mcp-Method: prompts/get\nMcp-Name: =?base64?5LiW55WM?=\n", 0},
    {REQ("tools/list", ""), PV "Mcp-Method: tools/list\n", 0},
    {REQ("tools/list", ""), PV "Mcp-Method: tools/list\nMcp-Name: whatever\n", 0}, /* of no use, no harm */
    {REQ("a/b", ""), PV "Mcp-Method: a/b\n", 0},
    {REQ("tools\\/list", ""), PV "Mcp-Method: tools/list\n", 0}, /* as PHP writes it */
    {REQ("a\\/b", ""), PV "Mcp-Method: a/b\n", 0},
    {REQ("a\\/b", ""), PV "Mcp-Method: a\\/b\n", -32020},
    /* missing */
    {CALL, "Mcp-Method: tools/call\nMcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Method: tools/call\n", -32020},
    {READ, PV "Mcp-Method: resources/read\n", -32020},
    /* twice */
    {CALL, PV PV "Mcp-Method: tools/call\nMcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Method: tools/call\nMcp-Method: tools/call\nMcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: get_weather\nMcp-Name: get_weather\n", -32020},
    /* other values */
    {CALL, "MCP-Protocol-Version: 2025-11-25\nMcp-Method: tools/call\nMcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Method: Tools/Call\nMcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Method: tools/list\nMcp-Name: get_weather\n", -32020},
    {CALL, PV "Mcp-Method: =?base64?dG9vbHMvY2FsbA==?=\nMcp-Name: get_weather\n", -32020}, /* never encoded */
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: get_Weather\n", -32020},
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name:\n", -32020},
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: get_weathe\n", -32020},
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: get_weather\xc3\xa9\n", -32020},
    {REQ("prompts/get", "\"name\":\"\xc3\xa9\","), PV "Mcp-Method: prompts/get\nMcp-Name: \xc3\xa9\n", -32020}, /* not ASCII */
    {CALL, PV "Mcp-Method: tools/call\nMcp-Name: get\x01weather\n", -32020},
    /* the body is at fault */
    {REQ("tools/call", ""), PV "Mcp-Method: tools/call\nMcp-Name: x\n", -32602},
    {REQ("tools/call", "\"name\":7,"), PV "Mcp-Method: tools/call\nMcp-Name: 7\n", -32602},
    {REQ("resources/read", ""), PV "Mcp-Method: resources/read\nMcp-Name: x\n", -32602},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", PV "Mcp-Method: tools/list\n", -32602},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP "protocolVersion\":\"2026-07-28\"}}}",
     PV "Mcp-Method: tools/list\n", -32602},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP
     "protocolVersion\":\"2030-01-01\",\"" MCP "clientCapabilities\":{}}}}",
     "MCP-Protocol-Version: 2030-01-01\nMcp-Method: tools/list\n", -32022},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP
     "protocolVersion\":\"2025-11-25\",\"" MCP "clientCapabilities\":{}}}}",
     "MCP-Protocol-Version: 2025-11-25\nMcp-Method: tools/list\n", -32022},
};

START_TEST(standard_headers) {
  struct mg_msg m;
  struct mg_header_fault why = {0, ""};
  char headers[512];
  wire_must(checks[_i].doc, &m);
  snprintf(headers, sizeof headers, "%s", checks[_i].headers);
  int rc = mg_headers_check(&m, wire_get, headers, &why);
  ck_assert_msg((rc == MCPGW_OK) == (checks[_i].code == 0), "row %d: %d %s", _i, rc, why.text);
  if (rc == MCPGW_OK) return;
  ck_assert_int_eq(rc, MCPGW_E_INVALID);
  ck_assert_msg(why.code == checks[_i].code, "row %d: %d %s", _i, why.code, why.text);
  ck_assert_uint_gt(strlen(why.text), 5);
}
END_TEST

static const struct {
  const char *meta;
  int code;
} metas[] = {
    {"\"" MCP "protocolVersion\":\"2026-07-28\",\"" MCP "clientCapabilities\":{}", 0},
    {"\"" MCP "protocolVersion\":\"2026-07-28\",\"" MCP "clientCapabilities\":{\"roots\":{}},\"" MCP "clientInfo\":{}", 0},
    {"\"" MCP "clientCapabilities\":{}", -32602},
    {"\"" MCP "protocolVersion\":\"2026-07-28\"", -32602},
    {"\"" MCP "protocolVersion\":20260728,\"" MCP "clientCapabilities\":{}", -32602},
    {"\"" MCP "protocolVersion\":\"2026-07-28\",\"" MCP "clientCapabilities\":[]", -32602},
    {"\"" MCP "protocolVersion\":\"2026-07-28\",\"" MCP "clientCapabilities\":null", -32602},
    {"\"" MCP "protocolVersion\":\"2027-01-01\",\"" MCP "clientCapabilities\":{}", -32022},
    {"\"" MCP "protocolVersion\":\"\",\"" MCP "clientCapabilities\":{}", -32022},
};

START_TEST(required_meta) {
  char doc[512];
  struct mg_msg m;
  struct mg_header_fault why;
  snprintf(doc, sizeof doc, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{%s}}}", metas[_i].meta);
  wire_must(doc, &m);
  int rc = mg_meta_check(&m, &why);
  ck_assert_int_eq(rc, metas[_i].code ? MCPGW_E_INVALID : MCPGW_OK);
  if (rc != MCPGW_OK) ck_assert_int_eq(why.code, metas[_i].code);
}
END_TEST

/* ---- the sentinel ---------------------------------------------------------------------------------------- */

static const struct {
  const char *value, *encoded;
} values[] = {
    {"us-west1", "us-west1"},
    {"", ""},
    {"a b\tc", "a b\tc"},
    {"Hello, \xe4\xb8\x96\xe7\x95\x8c", "=?base64?SGVsbG8sIOS4lueVjA==?="}, /* the specification's examples */
    {" padded ", "=?base64?IHBhZGRlZCA=?="},
    {"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
    {"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
    {"\tx", "=?base64?CXg=?="},
    {"x\t", "=?base64?eAk=?="},
    {"a\rb", "=?base64?YQ1i?="},
    {"\x7f", "=?base64?fw==?="},
    {"~!", "~!"},
    {"=?base64?x", "=?base64?x"},
    {"x=?base64?y?=", "x=?base64?y?="},
    {"=?Base64?x?=", "=?Base64?x?="},
    {"=?base64?" "?=", "=?base64?PT9iYXNlNjQ/Pz0=?="},
    {"=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="}, /* starts and ends so, though both share a byte */
};

START_TEST(values_are_encoded) {
  struct mg_buf b;
  mg_buf_init(&b, 1000);
  ck_assert_int_eq(mg_header_encode(&b, mg_slice_z(values[_i].value)), MCPGW_OK);
  ck_assert_msg(mg_slice_eqz(mg_buf_slice(&b), values[_i].encoded), "%s: %.*s", values[_i].value, (int)b.len, b.ptr);
  mg_buf_done(&b);
}
END_TEST

/* What we encode we also read back; the body says it with JSON escapes or without. */
START_TEST(encoded_values_match) {
  struct mg_buf h, d;
  struct mg_msg m;
  struct mg_header_fault why = {0, ""};
  mg_buf_init(&h, 1000);
  mg_buf_init(&d, 2000);
  mg_buf_addz(&d, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/get\",\"params\":{\"name\":");
  mg_buf_json_str(&d, mg_slice_z(values[_i].value));
  mg_buf_addz(&d, "," META "}}");
  mg_buf_addc(&d, 0);
  mg_buf_addz(&h, PV "Mcp-Method: prompts/get\nMcp-Name: ");
  mg_header_encode(&h, mg_slice_z(values[_i].value));
  mg_buf_addc(&h, '\n');
  mg_buf_addc(&h, 0);
  wire_must(d.ptr, &m);
  ck_assert_msg(mg_headers_check(&m, wire_get, h.ptr, &why) == MCPGW_OK, "%s: %s", values[_i].value, why.text);
  mg_buf_done(&h);
  mg_buf_done(&d);
}
END_TEST

static const struct {
  const char *header; /* against the body's "Hi" (SGk=) */
  int ok;
} sentinels[] = {
    {"Hi", 1},
    {"=?base64?SGk=?=", 1},
    {"=?base64?SGk?=", 0},    /* padding is not optional */
    {"=?base64?SGk==?=", 0},
    {"=?base64?SGl=?=", 0},   /* bits behind the end */
    {"=?base64?S Gk=?=", 0},
    {"=?base64?SGk=\t?=", 0},
    {"=?base64?SG-=?=", 0},   /* the URL alphabet */
    {"=?base64?" "?=", 0},
    {"=?base64?=", 0},
    {"=?BASE64?SGk=?=", 0},   /* markers are case-sensitive: this is a literal */
    {"=?base64?SGk=", 0},
    {"=?base64?/w==?=", 0},   /* decodes to no UTF-8 */
    {" =?base64?SGk=?= ", 1}, /* the blanks are HTTP's */
};

START_TEST(the_sentinel_is_strict) {
  char headers[256];
  struct mg_msg m;
  struct mg_header_fault why = {0, ""};
  wire_must(REQ("prompts/get", "\"name\":\"Hi\","), &m);
  snprintf(headers, sizeof headers, PV "Mcp-Method: prompts/get\nMcp-Name: %s\n", sentinels[_i].header);
  int rc = mg_headers_check(&m, wire_get, headers, &why);
  ck_assert_msg((rc == MCPGW_OK) == sentinels[_i].ok, "%s: %d %s", sentinels[_i].header, rc, why.text);
  if (rc != MCPGW_OK) ck_assert_int_eq(why.code, MG_RPC_HEADERS);
}
END_TEST

Suite *wire_headers_suite(void) {
  Suite *s = suite_create("wire/headers");
  TCase *t = tcase_create("headers");
  wire_rows(t, standard_headers, checks);
  wire_rows(t, required_meta, metas);
  wire_rows(t, values_are_encoded, values);
  wire_rows(t, encoded_values_match, values);
  wire_rows(t, the_sentinel_is_strict, sentinels);
  suite_add_tcase(s, t);
  return s;
}
