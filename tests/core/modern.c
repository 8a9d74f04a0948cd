/* tests/core/modern: 2026-07-28: the probe of an upstream's era, requests that stand alone, mirrored headers,
 * tasks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define CALL(id, name) MODERN(id, "tools/call", "\"name\":\"" name "\",\"arguments\":{\"x\":1.10},")
#define TOOLS "[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}]"
#define MARKED "[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"r\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"}}}}]"

static void up(struct core_rig *r, const char *servers) {
  core_up(r, servers, NULL);
  for (size_t i = 0; i < CORE_SERVERS; i++) {
    r->servers[i].modern = 1;
    r->servers[i].tools = TOOLS;
  }
}

static struct core_sink *ask(struct core_rig *r, const char *text) {
  struct core_sink *s = core_sink(r);
  core_modern(s, text);
  core_settle(r);
  return s;
}

/* ---- what an upstream is ---------------------------------------------------------------------------------- */

enum { RESULT, NO_MODERN, ERROR, SILENT, STATUS };
static const struct {
  int kind, code, closes;
  int modern; /* 1 yes, -1 no, 0: not to be had just now */
} probes[] = {
    {RESULT, 0, 1, 1},       {RESULT, 0, 0, 1},      {NO_MODERN, 0, 1, -1},   {ERROR, -32601, 1, -1}, {ERROR, -32602, 0, -1},
    {ERROR, -32600, 1, -1},  {ERROR, -32022, 1, -1}, {ERROR, -32020, 1, 0},   {ERROR, -32021, 1, 0},  {ERROR, 1, 0, -1},
    {SILENT, 0, 0, -1},      {SILENT, 0, 1, 0},      {STATUS, 400, 1, -1},    {STATUS, 404, 1, -1},   {STATUS, 405, 1, -1},
    {STATUS, 415, 1, -1},    {STATUS, 401, 1, 0},    {STATUS, 403, 1, 0},     {STATUS, 429, 1, 0},    {STATUS, 500, 1, 0},
    {STATUS, 503, 1, 0},     {STATUS, 0, 1, 0},
};

static void probe_answers(struct core_rig *r, struct core_port *p, uint64_t call, int row) {
  switch (probes[row].kind) {
  case RESULT:
    core_result(p, call, "{\"resultType\":\"complete\",\"supportedVersions\":[\"1999-01-01\",\"2026-07-28\"],\"capabilities\":{\"tools\":{}}}");
    break;
  case NO_MODERN:
    core_result(p, call, "{\"supportedVersions\":[\"2025-11-25\"],\"capabilities\":{}}");
    break;
  case ERROR: core_error(p, call, probes[row].code); break;
  case SILENT: core_tick(r, 20000); break;
  default: core_fail(p, call, MCPGW_E_IO, MCPGW_DELIVERED_YES, (uint32_t)probes[row].code);
  }
}

START_TEST(an_upstream_is_what_its_answer_says) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = probes[_i].closes;
  struct core_sink *s = core_sink(&r);
  core_modern(s, CALL("1", "t"));
  struct core_port *p = core_port(&r, 0);
  struct core_sent *m = core_last(p);
  core_has(m->text, "\"method\":\"server/discover\"");
  core_has(m->headers, "Mcp-Method: server/discover\n");
  ck_assert_uint_eq(m->modern, 1);
  ck_assert_uint_eq(m->handshake, 0);
  ck_assert_str_eq(p->revision, "2026-07-28");
  probe_answers(&r, p, m->call, _i);
  core_settle(&r);
  if (probes[_i].modern == 1) {
    ck_assert_ptr_nonnull(core_sent(p, "tools/call", 0));
    core_result(p, core_last(p)->call, "{}");
    core_has(core_final(s), "\"result\"");
  } else if (probes[_i].modern < 0) {
    core_has(core_final(s), "\"code\":-32022");
    core_has(core_final(s), "\"data\":{\"supported\":[\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\"2024-11-05\"],\"requested\":\"2026-07-28\"}");
    ck_assert_int_eq(core_status(s), 400);
    ck_assert_int_eq(p->closed, 1);
    r.servers[0].tools = TOOLS; /* and in its own era it is served at once */
    core_session(&r, 0, 1);
  } else {
    core_has(core_final(s), probes[_i].kind == SILENT ? "UPSTREAM_TIMEOUT" : "UPSTREAM_UNAVAILABLE");
    core_has(core_final(s), "\"delivered\":\"no\"");
  }
  core_down(&r);
}
END_TEST

START_TEST(a_legacy_upstream_is_not_probed_for_every_call) {
  struct core_rig r;
  up(&r, ONE);
  r.servers[0].modern = -32601;
  for (int i = 0; i < 5; i++) core_has(core_final(ask(&r, CALL("1", "t"))), "-32022");
  ck_assert_uint_eq(r.n_ports, 1);
  r.servers[0].modern = 1; /* one day it is replaced by a newer one */
  core_tick(&r, 3600001);
  struct core_sink *s = ask(&r, CALL("1", "t"));
  ck_assert_uint_eq(r.n_ports, 2);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(the_configured_era_is_not_probed) {
  struct core_rig r;
  up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"era\":\"legacy\"}},\"b\":{\"url\":\"http://b/mcp\",\"gateway\":{\"era\":\"modern\"}}}");
  struct core_sink *s = core_sink(&r);
  core_say(&r, NULL, s, (struct mg_view){0, 1, 0}, CALL("1", "t"));
  core_has(core_final(s), "-32022");
  ck_assert_uint_eq(r.n_ports, 0);
  core_initialize(&r, s, 1, 1, NULL);
  core_has(core_final(s), "connect with a client of that revision");
  ck_assert_uint_eq(r.n_ports, 0);
  core_down(&r);
}
END_TEST

START_TEST(discover_passes_through_or_is_put_together) {
  struct core_rig r;
  struct mg_buf b;
  up(&r, THREE);
  r.servers[0].hello = ",\"instructions\":\"one\",\"ttlMs\":99000,\"cacheScope\":\"public\",\"_meta\":{\"dev.mcpgw/x\":1,\"io.modelcontextprotocol/serverInfo\":{\"name\":\"s\"}}";
  r.servers[1].hello = ",\"instructions\":\"two\",\"ttlMs\":7000,\"cacheScope\":\"private\"";
  r.servers[0].caps = "{\"tools\":{},\"prompts\":{}}";
  r.servers[1].caps = "{\"tools\":{\"listChanged\":true},\"resources\":{\"subscribe\":true}}";
  r.servers[2].modern = -32601;
  struct core_sink *s = core_sink(&r);
  core_say(&r, NULL, s, (struct mg_view){0, 1, 0}, MODERN("\"d\"", "server/discover", ""));
  core_settle(&r);
  core_has(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":\"d\",\"result\":{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],");
  core_has(core_final(s), "\"instructions\":\"one\",\"ttlMs\":99000,\"cacheScope\":\"public\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"s\"}}");
  const char *text = core_final(ask(&r, MODERN("2", "server/discover", "")));
  core_has(text, "\"resultType\":\"complete\"");
  core_has(text, "\"supportedVersions\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\"2024-11-05\"]");
  core_has(text, "\"capabilities\":{\"tools\":{\"listChanged\":true},\"prompts\":{},\"resources\":{\"subscribe\":true}}"); /* as they say */
  core_has(text, "\"instructions\":\"one\\n\\ntwo\"");
  core_has(text, "\"ttlMs\":7000");
  core_has(text, "\"cacheScope\":\"private\"");
  core_has(text, "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"mcpgw\"");
  core_has(text, "\"dev.mcpgw/unavailable\":{\"c\":\"it speaks no revision of this client's era\"}");
  mg_buf_init(&b, 200);
  ck_assert_int_eq(mg_core_supported(r.core, (struct mg_view){2, 1, 0}, &b), MCPGW_OK);
  ck_assert(!memmem(b.ptr, b.len, "2026", 4));
  mg_buf_done(&b);
  core_down(&r);
}
END_TEST

/* ---- requests -------------------------------------------------------------------------------------------------- */

START_TEST(requests_share_one_link_and_do_not_meet) {
  struct core_rig r;
  char want[200];
  up(&r, ONE);
  r.closes = 1;
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  core_modern(s, MODERN("1", "tools/call", "\"name\":\"t\","));
  core_modern(t, MODERN("1", "tools/call", "\"name\":\"t\",\"arguments\":{\"dev.mcpgw/k\":1},"));
  core_settle(&r);
  ck_assert_uint_eq(r.n_ports, 1);
  struct core_port *p = core_port(&r, 0);
  ck_assert_int_eq(p->listens, 0);
  struct core_sent *b = core_sent(p, "tools/call", 1), *a = core_sent(p, "tools/call", 0);
  core_has(b->headers, "Mcp-Method: tools/call\nMcp-Name: t\n");
  core_has(b->text, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
  core_hear(p, b->call, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{\"q\":{\"method\":\"x\"}}}}", (unsigned long long)b->call);
  snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{\"q\":{\"method\":\"x\"}}}}");
  ck_assert_str_eq(core_final(t), want);
  ck_assert_int_eq(s->finals, 0);
  core_result(p, a->call, "{}");
  ck_assert_int_eq(s->finals, 1);
  core_down(&r);
}
END_TEST

START_TEST(names_are_mirrored_as_the_server_knows_them) {
  struct core_rig r;
  up(&r, TWO);
  r.closes = 1;
  r.servers[1].tools = "[{\"name\":\"\\u4e16\"}]";
  r.servers[1].resources = "[{\"uri\":\"b:\\u00e9\"}]";
  struct core_sink *s = ask(&r, MODERN("1", "tools/call", "\"name\":\"b__\\u4e16\","));
  core_has(core_last(core_port(&r, 1))->headers, "Mcp-Name: =?base64?5LiW?=\n");
  core_has(core_last(core_port(&r, 1))->text, "\"name\":\"\\u4e16\"");
  core_result(core_port(&r, 1), core_last(core_port(&r, 1))->call, "{}");
  core_modern(s, MODERN("1", "resources/read", "\"uri\":\"b:\xc3\xa9\","));
  core_settle(&r);
  core_has(core_last(core_port(&r, 1))->headers, "Mcp-Method: resources/read\nMcp-Name: =?base64?YjrDqQ==?=\n");
  core_result(core_port(&r, 1), core_last(core_port(&r, 1))->call, "{}");
  core_down(&r);
}
END_TEST

static const struct {
  const char *method;
  int refused; /* as removed */
} methods[] = {
    {"initialize", 1},          {"ping", 1},           {"logging/setLevel", 1}, {"resources/subscribe", 1}, {"resources/unsubscribe", 1},
    {"tasks/list", 1},          {"tasks/result", 1},   {"resources/read", 0},   {"prompts/get", 0},         {"completion/complete", 0},
    {"vendor/own", 0},
};

START_TEST(removed_methods_are_unknown) {
  struct core_rig r;
  char text[500];
  up(&r, ONE);
  struct core_sink *s = core_sink(&r);
  snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{" MODERN_META "}}", methods[_i].method);
  core_modern(s, text);
  core_settle(&r);
  ck_assert_int_eq(s->finals, methods[_i].refused);
  if (methods[_i].refused) {
    core_has(core_final(s), "\"code\":-32601,\"message\":\"Method not found\"");
    ck_assert_int_eq(core_status(s), 404);
    ck_assert_uint_eq(r.n_ports, 0);
  } else {
    core_error(core_port(&r, 0), core_last(core_port(&r, 0))->call, -32601);
    ck_assert_int_eq(core_status(s), 404);
  }
  core_down(&r);
}
END_TEST

START_TEST(old_codes_become_new_ones) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *s = ask(&r, MODERN("1", "resources/read", "\"uri\":\"a:1\","));
  core_error(core_port(&r, 0), core_last(core_port(&r, 0))->call, -32002);
  core_has(core_final(s), "\"code\":-32602");
  core_has(core_final(s), "\"error\":{\"data\":{\"uri\":\"a:1\"},\"code\""); /* the schema's ResourceNotFound names it */
  static const struct {
    const char *said, *want;
  } v[] = {{"{\"uri\":\"a:2\"}", "\"data\":{\"uri\":\"a:2\"}"},
           {"{\"x\":1.0}", "\"data\":{\"uri\":\"a:\\u0031\",\"x\":1.0}"},
           {"\"text\"", "\"data\":\"text\""}};
  for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
    s = ask(&r, MODERN("1", "resources/read", "\"uri\":\"a:\\u0031\","));
    core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":%s}}",
              (unsigned long long)core_last(core_port(&r, 0))->call, v[i].said);
    core_has(core_final(s), v[i].want);
  }
  core_down(&r);
}
END_TEST

START_TEST(an_error_without_id_gets_it_back) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = 1;
  struct core_sink *s = ask(&r, MODERN("\"q\"", "resources/read", "\"uri\":\"a:1\","));
  struct core_port *p = core_port(&r, 0);
  core_hear_status(p, core_last(p)->call, 400, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"no\"}}");
  ck_assert_str_eq(core_final(s), "{\"id\":\"q\",\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"no\"}}");
  core_modern(s, MODERN("\"r\"", "resources/read", "\"uri\":\"a:1\","));
  core_hear_status(p, core_last(p)->call, 400, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32602,\"message\":\"no\"}}");
  ck_assert_str_eq(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":\"r\",\"error\":{\"code\":-32602,\"message\":\"no\"}}");
  core_down(&r);
}
END_TEST

START_TEST(cancelling_is_closing_or_telling) {
  for (int closes = 0; closes < 2; closes++) {
    struct core_rig r;
    up(&r, ONE);
    r.closes = closes;
    struct core_sink *s = ask(&r, CALL("5", "t")), *t = ask(&r, CALL("5", "t"));
    struct core_port *p = core_port(&r, 0);
    uint64_t a = core_sent(p, "tools/call", 0)->call, b = core_sent(p, "tools/call", 1)->call;
    core_modern(s, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"5\"}}");
    ck_assert_int_eq(s->drops, 0);
    core_modern(s, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":5}}");
    ck_assert_int_eq(s->drops, 1);
    ck_assert_int_eq(core_cancelled(p, a), 1);
    core_sink_gone(t);
    ck_assert_int_eq(core_cancelled(p, b), 1);
    ck_assert_int_eq(core_sent(p, "notifications/cancelled", 1) != NULL, !closes);
    ck_assert_uint_eq(mg_core_calls(r.core), 0);
    core_down(&r);
  }
}
END_TEST

START_TEST(clients_of_this_era_send_no_responses) {
  struct core_rig r;
  up(&r, ONE);
  ck_assert_int_eq(core_say(&r, NULL, NULL, core_all(&r), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"), MCPGW_E_INVALID);
  core_settle(&r);
  core_down(&r);
}
END_TEST

START_TEST(servers_of_this_era_ask_no_questions) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *s = ask(&r, CALL("1", "t"));
  struct core_port *p = core_port(&r, 0);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"sampling/createMessage\"}");
  core_has(core_last(p)->text, "\"id\":4,\"error\":{\"code\":-32601");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}");
  core_has(core_last(p)->text, "\"id\":5,\"result\":{}");
  ck_assert_uint_eq(s->n, 0);
  core_result(p, core_sent(p, "tools/call", 0)->call, "{}");
  core_down(&r);
}
END_TEST

START_TEST(progress_and_logs_find_their_request) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  core_modern(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"_meta\":{\"progressToken\":\"p\",\"" MCP_NS
                 "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{},\"" MCP_NS "logLevel\":\"info\"}}}");
  core_modern(t, CALL("2", "t"));
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  unsigned long long a = core_sent(p, "tools/call", 0)->call;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":1}}", a);
  core_has(core_text(s, 0), "\"progressToken\":\"p\"");
  const char *log = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}";
  core_hear_status(p, 0, 200, log); /* only one asked for logs */
  ck_assert_str_eq(core_text(s, 1), log);
  core_hear_status(p, a, 200, log); /* on its own exchange */
  ck_assert_uint_eq(s->n, 3);
  ck_assert_uint_eq(t->n, 0);
  core_result(p, a, "{}");
  uint64_t before = mg_core_stats(r.core)->dropped_notifications;
  core_hear_status(p, 0, 200, log); /* the other one did not ask */
  ck_assert_uint_eq(mg_core_stats(r.core)->dropped_notifications, before + 1);
  core_result(p, core_sent(p, "tools/call", 1)->call, "{}");
  core_down(&r);
}
END_TEST

/* ---- mirrored arguments ------------------------------------------------------------------------------------------ */

static struct core_sink *with(struct core_rig *r, const char *headers, const char *text) {
  struct core_sink *s = core_sink(r);
  s->headers = headers;
  core_modern(s, text);
  core_settle(r);
  return s;
}

#define REGION(value) MODERN("1", "tools/call", "\"name\":\"t\",\"arguments\":{\"r\":" value "},")

START_TEST(mirrored_arguments_are_checked_and_rebuilt) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = 1;
  r.servers[0].tools = MARKED;
  struct core_sink *s = with(&r, "Mcp-Param-Region: eu\nMcp-Param-Other: 1\nX: y\n", REGION("\"eu\""));
  struct core_port *p = core_port(&r, 0);
  ck_assert_ptr_nonnull(core_sent(p, "tools/list", 0)); /* an unknown list is fetched once, before the call */
  ck_assert_str_eq(core_last(p)->headers, "Mcp-Method: tools/call\nMcp-Name: t\nMcp-Param-Region: eu\nMcp-Param-Other: 1\n");
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(s), "\"result\"");
  s = with(&r, "Mcp-Param-Region: =?base64?ZXU=?=\n", REGION("\"eu\""));
  core_has(core_last(p)->headers, "Mcp-Param-Region: eu\n"); /* not as it came, but as it should be */
  core_result(p, core_last(p)->call, "{}");
  s = with(&r, NULL, REGION("\"eu\"")); /* no header layer: in-process or stdio */
  core_has(core_last(p)->headers, "Mcp-Param-Region: eu\n");
  core_result(p, core_last(p)->call, "{}");
  ck_assert_ptr_null(core_sent(p, "tools/list", 1));
  core_down(&r);
}
END_TEST

START_TEST(a_mismatch_is_refused_after_one_look_at_the_list) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = 1;
  r.servers[0].tools = MARKED;
  struct core_sink *s = with(&r, "Mcp-Param-Region: eu\n", REGION("\"eu\""));
  struct core_port *p = core_port(&r, 0);
  core_result(p, core_last(p)->call, "{}");
  core_tick(&r, 20000);
  s = with(&r, "Mcp-Param-Region: us\n", REGION("\"eu\""));
  core_has(core_final(s), "\"code\":-32020");
  core_has(core_final(s), "Mcp-Param-Region");
  ck_assert_int_eq(core_status(s), 400);
  ck_assert_ptr_nonnull(core_sent(p, "tools/list", 1));
  s = with(&r, "X: y\n", REGION("\"eu\"")); /* nor is it looked at again so soon */
  core_has(core_final(s), "-32020");
  ck_assert_ptr_null(core_sent(p, "tools/list", 2));
  core_tick(&r, 20000);
  r.servers[0].tools = TOOLS; /* the server has changed its mind: no mark any more */
  s = with(&r, "X: y\n", REGION("\"eu\""));
  ck_assert_int_eq(s->finals, 0);
  core_result(p, core_last(p)->call, "{}");
  core_down(&r);
}
END_TEST

START_TEST(an_upstream_that_refuses_headers_is_asked_once_more) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = 1;
  struct core_sink *s = with(&r, "X: y\n", REGION("\"eu\""));
  struct core_port *p = core_port(&r, 0);
  core_lacks(core_last(p)->headers, "Mcp-Param");
  r.servers[0].tools = MARKED;
  core_hear_status(p, core_last(p)->call, 400, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32020,\"message\":\"m\"}}");
  if (_i == 0) {
    core_serve(&r); /* the new list says which header: the client did not send it */
    core_has(core_final(s), "-32020");
    ck_assert_ptr_null(core_sent(p, "tools/call", 1));
  } else if (_i == 1) { /* the list is the same as before: sent once more, and then believed */
    r.servers[0].tools = TOOLS;
    core_serve(&r);
    ck_assert_ptr_nonnull(core_sent(p, "tools/call", 1));
    core_hear_status(p, core_last(p)->call, 400, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32020,\"message\":\"again\"}}");
    core_serve(&r);
    core_has(core_final(s), "again");
    ck_assert_int_eq(core_status(s), 400);
    ck_assert_ptr_null(core_sent(p, "tools/call", 2));
  } else if (_i == 2) { /* the list is refused: the error is passed on or the call sent once more, never lost */
    r.servers[0].tools = NULL;
    core_serve(&r);
    if (!s->finals) core_result(p, core_last(p)->call, "{}");
    ck_assert_int_eq(s->finals, 1);
  } else { /* the client goes meanwhile */
    core_sink_gone(s);
    core_serve(&r);
    ck_assert_ptr_null(core_sent(p, "tools/call", 1));
  }
  core_down(&r);
}
END_TEST

START_TEST(a_client_without_headers_profits_from_the_retry) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = 1;
  struct core_sink *s = with(&r, NULL, REGION("\"eu\""));
  struct core_port *p = core_port(&r, 0);
  r.servers[0].tools = MARKED;
  core_hear_status(p, core_last(p)->call, 400, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32020,\"message\":\"m\"}}");
  core_serve(&r);
  core_has(core_last(p)->headers, "Mcp-Param-Region: eu\n");
  core_has(core_last(p)->text, "\"arguments\":{\"r\":\"eu\"}");
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(tools_that_break_the_rules_are_left_out) {
  struct core_rig r;
  up(&r, TWO);
  r.servers[0].tools = "[{\"name\":\"good\"},{\"name\":\"bad\",\"inputSchema\":{\"properties\":{\"x\":{\"type\":\"number\",\"x-mcp-header\":\"N\"}}}},{\"name\":\"fine\"}]";
  r.servers[1].tools = "[]";
  const char *text = core_final(ask(&r, MODERN("1", "tools/list", "")));
  core_has(text, "\"tools\":[{\"name\":\"a__good\"},{\"name\":\"a__fine\"}]");
  ck_assert_uint_eq(mg_core_stats(r.core)->tools_refused, 1);
  struct core_sink *s = core_sink(&r);
  core_say(&r, NULL, s, (struct mg_view){0, 1, 0}, MODERN("1", "tools/list", "")); /* passing by, alone */
  core_settle(&r);
  core_has(core_final(s), "\"tools\":[{\"name\":\"good\"},{\"name\":\"fine\"}]");
  struct mg_ctx *ctx = core_session(&r, 0, 1); /* in the legacy era the mark means nothing */
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}");
  core_settle(&r);
  core_has(core_final(s), "bad");
  core_down(&r);
}
END_TEST

START_TEST(lists_carry_what_is_left_of_their_time) {
  struct core_rig r;
  up(&r, TWO);
  r.servers[0].hints = ",\"ttlMs\":50000,\"cacheScope\":\"public\"";
  r.servers[1].hints = ",\"ttlMs\":90000,\"cacheScope\":\"private\"";
  core_has(core_final(ask(&r, MODERN("1", "tools/list", ""))), "\"resultType\":\"complete\",\"ttlMs\":50000,\"cacheScope\":\"private\"");
  core_tick(&r, 20000);
  core_has(core_final(ask(&r, MODERN("1", "tools/list", ""))), "\"ttlMs\":30000");
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/list", 1));
  core_down(&r);
}
END_TEST

START_TEST(with_nobody_there_the_error_says_which) {
  struct core_rig r;
  up(&r, TWO);
  r.open_rc = MCPGW_E_IO;
  core_has(core_final(ask(&r, MODERN("1", "tools/list", ""))), "UPSTREAM_UNAVAILABLE");
  core_tick(&r, 60000);
  r.open_rc = MCPGW_OK;
  r.servers[0].modern = r.servers[1].modern = -32601;
  core_has(core_final(ask(&r, MODERN("1", "tools/list", ""))), "-32022");
  core_has(core_final(ask(&r, MODERN("1", "server/discover", ""))), "-32022");
  core_down(&r);
}
END_TEST

/* ---- tasks --------------------------------------------------------------------------------------------------------- */

static const char *const task_results[] = {"{\"task\":{\"taskId\":\"T1\",\"status\":\"working\"}}", "{\"taskId\":\"T1\",\"resultType\":\"task\"}"};

START_TEST(tasks_are_their_makers) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[1].tools = TOOLS;
  struct mg_ctx *ctx = core_session(&r, 0, 2), *other = core_session(&r, 0, 2), *alone = core_session(&r, 1, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = r.ports[1];
  ck_assert_uint_eq(p->server, 1);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"b__t\",\"task\":{}}}");
  core_serve(&r);
  core_result(p, core_last(p)->call, task_results[_i]);
  ck_assert_int_eq(s->finals, 1);
  static const char *const methods_of_tasks[] = {"tasks/get", "tasks/result", "tasks/cancel"};
  const char *text = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"%s\",\"params\":{\"taskId\":\"%s\"}}";
  for (size_t i = 0; i < 3; i++) {
    core_legacy(ctx, s, text, methods_of_tasks[i], "T1");
    core_has(core_last(p)->text, methods_of_tasks[i]);
    core_result(p, core_last(p)->call, "{\"n\":1}");
    core_has(core_final(s), "\"n\":1");
    size_t sent = p->n;
    core_legacy(ctx, s, text, methods_of_tasks[i], "T2");
    core_has(core_final(s), "\"code\":-32602,\"message\":\"unknown task\"");
    core_legacy(other, s, text, methods_of_tasks[i], "T1");
    core_has(core_final(s), "unknown task");
    core_legacy(alone, s, text, methods_of_tasks[i], "T1");
    core_has(core_final(s), "unknown task");
    ck_assert_uint_eq(p->n, sent);
  }
  core_down(&r);
}
END_TEST

START_TEST(tasks_of_others_are_not_listed) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"task\":{}}}");
  core_result(p, core_last(p)->call, "{\"task\":{\"taskId\":\"mine\"}}");
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tasks/list\"}");
  core_result(p, core_last(p)->call, "{\"tasks\":[{\"taskId\":\"theirs\"},{ \"taskId\" : \"mine\",\"x\":1.0},{},7],\"z\":1.50}");
  ck_assert_str_eq(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tasks\":[{ \"taskId\" : \"mine\",\"x\":1.0}],\"z\":1.50}}");
  core_down(&r);
}
END_TEST

START_TEST(modern_tasks_find_their_upstream) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = core_sink(&r);
  core_modern(s, CALL("1", "b__t"));
  core_settle(&r);
  struct core_port *p = core_port(&r, 1);
  core_result(p, core_last(p)->call, "{\"resultType\":\"task\",\"taskId\":\"T1\"}");
  core_modern(s, MODERN("2", "tasks/get", "\"taskId\":\"T1\","));
  core_has(core_last(p)->text, "tasks/get");
  core_result(p, core_last(p)->call, "{}");
  core_modern(s, MODERN("3", "tasks/get", "\"taskId\":\"T9\","));
  core_has(core_final(s), "unknown task");
  core_down(&r);
}
END_TEST

Suite *core_modern_suite(void) {
  Suite *s = suite_create("core/modern");
  TCase *t = tcase_create("era");
  tcase_add_loop_test(t, an_upstream_is_what_its_answer_says, 0, (int)(sizeof probes / sizeof probes[0]));
  tcase_add_test(t, a_legacy_upstream_is_not_probed_for_every_call);
  tcase_add_test(t, the_configured_era_is_not_probed);
  tcase_add_test(t, discover_passes_through_or_is_put_together);
  suite_add_tcase(s, t);
  t = tcase_create("requests");
  tcase_add_test(t, requests_share_one_link_and_do_not_meet);
  tcase_add_test(t, names_are_mirrored_as_the_server_knows_them);
  tcase_add_loop_test(t, removed_methods_are_unknown, 0, (int)(sizeof methods / sizeof methods[0]));
  tcase_add_test(t, old_codes_become_new_ones);
  tcase_add_test(t, an_error_without_id_gets_it_back);
  tcase_add_test(t, cancelling_is_closing_or_telling);
  tcase_add_test(t, clients_of_this_era_send_no_responses);
  tcase_add_test(t, servers_of_this_era_ask_no_questions);
  tcase_add_test(t, progress_and_logs_find_their_request);
  suite_add_tcase(s, t);
  t = tcase_create("headers");
  tcase_add_test(t, mirrored_arguments_are_checked_and_rebuilt);
  tcase_add_test(t, a_mismatch_is_refused_after_one_look_at_the_list);
  tcase_add_loop_test(t, an_upstream_that_refuses_headers_is_asked_once_more, 0, 4);
  tcase_add_test(t, a_client_without_headers_profits_from_the_retry);
  tcase_add_test(t, tools_that_break_the_rules_are_left_out);
  tcase_add_test(t, lists_carry_what_is_left_of_their_time);
  tcase_add_test(t, with_nobody_there_the_error_says_which);
  suite_add_tcase(s, t);
  t = tcase_create("tasks");
  tcase_add_loop_test(t, tasks_are_their_makers, 0, 2);
  tcase_add_test(t, tasks_of_others_are_not_listed);
  tcase_add_test(t, modern_tasks_find_their_upstream);
  suite_add_tcase(s, t);
  return s;
}
