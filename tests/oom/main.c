/* tests/oom: the call path under the failure of each allocation in turn. A gateway with one in-process
 * server is made, spoken to in both eras and freed; the nth allocation fails (alone, or with all after it),
 * for every n until none fails any more. Whatever happens, nothing crashes, nothing leaks, and who got a
 * request through hears of it: a reply, an error, or that the client is closed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/mem.h"
#include "mcpgw/gateway.h"
#include "transport/memory.h"
#include "wire/message.h"

#define MAX_N 20000
#define TURNS 400

/* ---- a server that knows one tool, in both eras ------------------------------------------------------------ */

static void say(mg_memory_conn *conn, const char *text) {
  if (mg_memory_reply_text(conn, text, strlen(text)) != MCPGW_OK) mg_memory_end(conn, "the server is out of memory");
}

static void on_message(void *server, mg_memory_conn *conn, mcpgw_bytes *bytes) {
  struct mg_msg m;
  struct mg_wire_fault why;
  char text[600];
  const char *result = "{}";
  (void)server;
  ck_assert_int_eq(mg_wire_parse(mg_slice(mcpgw_bytes_data(bytes), mcpgw_bytes_len(bytes)), &m, &why), MCPGW_OK);
  if (m.kind != MG_REQUEST) return;
  if (m.method == MG_M_LISTEN) {
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":"
             "{\"io.modelcontextprotocol/subscriptionId\":%.*s},\"notifications\":%.*s}}", (int)m.s[MG_S_ID].len,
             m.doc.ptr + m.s[MG_S_ID].off, (int)m.s[MG_S_FILTER].len, m.doc.ptr + m.s[MG_S_FILTER].off);
    say(conn, text);
    return;
  }
  if (m.method == MG_M_INITIALIZE)
    result = "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}";
  if (m.method == MG_M_DISCOVER)
    result = "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,"
             "\"cacheScope\":\"public\"}";
  if (m.method == MG_M_TOOLS_LIST)
    result = "{\"resultType\":\"complete\",\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\",\"properties\":"
             "{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}}],\"ttlMs\":0,\"cacheScope\":\"public\"}";
  if (m.method == MG_M_TOOLS_CALL) result = "{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":\"1.10\"}]}";
  struct mg_slice id = mg_msg_raw(&m, MG_S_ID);
  if (m.s[MG_S_META_PROGRESS].type) {
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%.*s,\"progress\":1}}",
             (int)m.s[MG_S_META_PROGRESS].len, m.doc.ptr + m.s[MG_S_META_PROGRESS].off);
    say(conn, text);
  }
  snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":%s}", (int)id.len, id.ptr, result);
  say(conn, text);
}

static const struct mg_memory_server server = {.message = on_message};

/* ---- a client ---------------------------------------------------------------------------------------------------- */

struct run {
  mcpgw_config *config;
  mcpgw_gateway *gw;
  mcpgw_client *client;
  void *transport;
  int closed, mute; /* mute: no memory is left at all, so silence is allowed */
};

/* Turns until something that ends a request came. 0: a reply or an error, 1: the client is closed. */
static int heard(struct run *r) {
  for (int i = 0; i < (r->mute ? 3 : TURNS); i++) {
    mcpgw_event *e;
    int rc = mcpgw_gateway_next_event(r->gw, &e);
    if (rc == MCPGW_E_AGAIN) {
      (void)mcpgw_gateway_wait(r->gw, 5);
      continue;
    }
    if (rc != MCPGW_OK) continue;
    uint32_t kind = mcpgw_event_kind(e);
    int ends = strstr(mcpgw_event_data(e), "\"result\"") || strstr(mcpgw_event_data(e), "\"error\"") ||
               strstr(mcpgw_event_data(e), "acknowledged");
    mcpgw_event_free(e);
    if (kind == MCPGW_EVENT_CLOSED) return 1;
    if (ends) return 0;
  }
  if (!r->mute) ck_abort_msg("a request was taken and nothing was heard of it");
  return 1;
}

static int ask(struct run *r, const char *message) {
  if (r->closed) return -1;
  int rc = mcpgw_client_send(r->client, message, strlen(message));
  if (rc != MCPGW_OK) return -1; /* told at once */
  r->closed = heard(r);
  return r->closed ? -1 : 0;
}

static int isolation; /* of both servers; tests run in a process each */

static int start(struct run *r) {
  int rc = mcpgw_config_new(&r->config);
  if (rc == MCPGW_OK) rc = mcpgw_config_add_custom(r->config, "srv", 3);
  if (rc == MCPGW_OK) rc = mcpgw_config_add_custom(r->config, "other", 5); /* names need their lists */
  for (size_t i = 0; rc == MCPGW_OK && i < r->config->snapshot->n_servers; i++)
    ((struct mg_cfg_server *)(uintptr_t)r->config->snapshot->servers)[i].isolation = isolation;
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&r->gw, r->config, NULL);
  if (rc == MCPGW_OK) rc = mg_transport_memory_new(&server, NULL, &r->transport);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_set_transport(r->gw, "srv", 3, &mg_transport_memory_ops, r->transport);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_set_transport(r->gw, "other", 5, &mg_transport_memory_ops, r->transport);
  if (rc == MCPGW_OK) rc = mcpgw_client_open(&r->client, r->gw, NULL, 0, MCPGW_CLIENT_RAW);
  return rc;
}

#define META_MEMBERS \
  "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}," \
  "\"progressToken\":\"t\""
#define META "\"_meta\":{" META_MEMBERS "}"

static void speak_legacy(struct run *r) {
  static const char done[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
  if (ask(r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\","
             "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}}") != 0)
    return;
  if (mcpgw_client_send(r->client, done, sizeof done - 1) != MCPGW_OK) return;
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}");
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":\"an id that is longer than what fits inside a call\",\"method\":\"tools/call\","
               "\"params\":{\"name\":\"srv__echo\",\"arguments\":{\"a\":\"1.10\"},\"_meta\":{\"progressToken\":0}}}");
}

static void speak_modern(struct run *r) {
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"server/discover\",\"params\":{" META "}}");
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/call\",\"params\":{\"name\":\"other__echo\",\"arguments\":"
               "{\"a\":\"x\"}," META "}}");
}

/* Workflows by handle, on links of their own. */
static void speak_handles(struct run *r) {
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"srv__echo\",\"arguments\":"
               "{\"a\":\"x\"},\"_meta\":{\"dev.mcpgw/context\":\"new\"," META_MEMBERS "}}}");
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":{\"name\":\"srv__echo\",\"arguments\":"
               "{\"a\":\"x\"},\"_meta\":{\"dev.mcpgw/context\":\"made-up\"," META_MEMBERS "}}}");
  speak_modern(r);
}

/* On a link that the gateway initializes for all: levels, subscriptions, a question. */
static void speak_shared(struct run *r) {
  speak_legacy(r);
  (void)ask(r, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"logging/setLevel\",\"params\":{\"level\":\"debug\"}}");
}

/* Listeners that share, a wider wish, one that shares with nobody, and their ends. */
static void speak_listen(struct run *r) {
  static const char *const wishes[] = {"{\"toolsListChanged\":true}", "{\"promptsListChanged\":true,\"resourceSubscriptions\":[\"a:1\"]}",
                                       "{\"toolsListChanged\":true}", "{\"x\":1}"};
  char text[600];
  for (int i = 0; i < 4; i++) {
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":\"l%d\",\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":%s,%s}}", i, wishes[i], META);
    (void)ask(r, text);
  }
  for (int i = 0; i < 4 && !r->closed; i++) {
    int n = snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"l%d\"}}", i);
    (void)mcpgw_client_send(r->client, text, (size_t)n);
  }
}

static void stop(struct run *r) {
  mcpgw_client_close(r->client);
  mcpgw_gateway_free(r->gw);
  mg_transport_memory_free(r->transport);
  mcpgw_config_free(r->config);
}

/* One life with the nth allocation failing. 1: it did fail. */
static int one(uint64_t nth, int sticky, void (*speak)(struct run *)) {
  struct run r = {.mute = sticky};
  int64_t before = mg_mem_live();
  mg_mem_fail_after(nth, sticky);
  int rc = start(&r);
  if (rc == MCPGW_OK) speak(&r);
  uint64_t failed = mg_mem_failed();
  mg_mem_fail_after(0, 0);
  stop(&r);
  ck_assert_msg(mg_mem_live() == before, "allocation %llu: %lld blocks are left", (unsigned long long)nth,
                (long long)(mg_mem_live() - before));
  return failed != 0;
}

static void all(int sticky, void (*speak)(struct run *)) {
  uint64_t n = 1;
  ck_assert_int_eq(one(MAX_N, 0, speak), 0); /* first once as it should be: what lives as long as the process is made */
  while (n < MAX_N && one(n, sticky, speak)) n++;
  ck_assert_msg(n > 40 && n < MAX_N, "%llu allocations failed: that is not the whole path", (unsigned long long)n);
}

START_TEST(legacy_alone) {
  all(0, speak_legacy);
}
END_TEST

START_TEST(modern_alone) {
  all(0, speak_modern);
}
END_TEST

START_TEST(everything_from_there) {
  all(1, speak_legacy);
}
END_TEST

START_TEST(handles) {
  isolation = MG_ISO_SESSION;
  all(_i, speak_handles);
}
END_TEST

START_TEST(shared) {
  isolation = _i ? MG_ISO_SHARED : MG_ISO_PRINCIPAL;
  all(0, speak_shared);
}
END_TEST

START_TEST(listeners) {
  all(_i, speak_listen);
}
END_TEST

Suite *oom_doors_suite(void); /* doors.c */

int main(void) {
  Suite *s = suite_create("oom");
  TCase *t = tcase_create("the call path");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, legacy_alone);
  tcase_add_test(t, modern_alone);
  tcase_add_loop_test(t, listeners, 0, 2);
  tcase_add_test(t, everything_from_there);
  tcase_add_loop_test(t, handles, 0, 2);
  tcase_add_loop_test(t, shared, 0, 2);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_add_suite(r, oom_doors_suite());
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
