/* tests/gateway/clients: clients inside the process: RAW, AUTO and LEGACY, the events they get, and what
 * becomes of them when they, their server or the gateway end. */
#include <stdio.h>

#include "gateway/gateway.h"
#include "gateway/rig.h"
#include "gateway/suites.h"

static mcpgw_client *open_client(struct gwt *g, const char *server, uint32_t mode) {
  mcpgw_client *c = NULL;
  int rc = mcpgw_client_open(&c, g->gw, server, server ? strlen(server) : 0, mode);
  ck_assert_msg(rc == MCPGW_OK, "%s", mcpgw_gateway_error(g->gw));
  return c;
}

static uint64_t request(mcpgw_client *c, const char *method, const char *params) {
  uint64_t id = 0;
  ck_assert_int_eq(mcpgw_client_request(c, method, strlen(method), params, params ? strlen(params) : 0, &id), MCPGW_OK);
  ck_assert_uint_gt(id, 0);
  return id;
}

/* The next event must be of this client and kind; its data is copied (free it). */
static char *expect(struct gwt *g, mcpgw_client *c, uint32_t kind, uint64_t id) {
  mcpgw_event *e = gwt_event(g, 3000);
  ck_assert_msg(e != NULL, "no event; the log says\n%s", g->log);
  ck_assert_msg(mcpgw_event_kind(e) == kind, "kind %u: %s", mcpgw_event_kind(e), mcpgw_event_data(e));
  ck_assert_ptr_eq(mcpgw_event_client(e), c);
  ck_assert_uint_eq(mcpgw_event_request_id(e), id);
  ck_assert_uint_eq(strlen(mcpgw_event_data(e)), mcpgw_event_len(e)); /* a NUL follows */
  char *text = strdup(mcpgw_event_data(e));
  mcpgw_event_free(e);
  return text;
}

static void expect_text(struct gwt *g, mcpgw_client *c, uint32_t kind, uint64_t id, const char *part) {
  char *text = expect(g, c, kind, id);
  gwt_has(text, part);
  free(text);
}

static void no_event(struct gwt *g, int ms) {
  mcpgw_event *e = gwt_event(g, ms);
  ck_assert_msg(e == NULL, "%s", mcpgw_event_data(e));
}

static void raw(mcpgw_client *c, const char *text) {
  ck_assert_int_eq(mcpgw_client_send(c, text, strlen(text)), MCPGW_OK);
}

/* ---- AUTO and LEGACY ---------------------------------------------------------------------------------------- */

/* mode, does the server speak modern, what it is ready with */
static const struct {
  uint32_t mode;
  int modern;
  const char *ready;
} ways[] = {
    {MCPGW_CLIENT_AUTO, 1, "\"supportedVersions\":[\"2026-07-28\""},
    {MCPGW_CLIENT_AUTO, 0, "\"protocolVersion\":\"2025-11-25\""},
    {MCPGW_CLIENT_LEGACY, 1, "\"protocolVersion\":\"2025-11-25\""},
    {MCPGW_CLIENT_LEGACY, 0, "\"protocolVersion\":\"2025-11-25\""},
};

START_TEST(a_client_negotiates_by_itself) {
  for (int n = 1; n <= 2; n++) { /* one server, or two put together */
    struct gwt g;
    gwt_up(&g, "", n);
    for (int i = 0; i < n; i++) g.servers[i].modern = ways[_i].modern;
    const char *tool = n == 1 ? "{\"name\":\"echo\",\"arguments\":{\"x\":1.10}}" : "{\"name\":\"b__echo\",\"arguments\":{\"x\":1.10}}";
    mcpgw_client *c = open_client(&g, NULL, ways[_i].mode);
    uint64_t early = request(c, "tools/call", tool); /* before it is ready: it waits */
    uint64_t list = request(c, "tools/list", NULL);
    expect_text(&g, c, MCPGW_EVENT_READY, 0, ways[_i].ready);
    int both = 0;
    for (int i = 0; i < 2; i++) { /* in either order */
      mcpgw_event *e = gwt_event(&g, 3000);
      ck_assert_ptr_nonnull(e);
      ck_assert_uint_eq(mcpgw_event_kind(e), MCPGW_EVENT_REPLY);
      if (mcpgw_event_request_id(e) == early) gwt_has(mcpgw_event_data(e), "\"text\":\"hi\"");
      if (mcpgw_event_request_id(e) == list) gwt_has(mcpgw_event_data(e), n == 1 ? "{\"name\":\"echo\"}" : "{\"name\":\"b__echo\"}");
      both += mcpgw_event_request_id(e) == early ? 1 : 10;
      mcpgw_event_free(e);
    }
    ck_assert_int_eq(both, 11);
    gwt_has(g.servers[n - 1].last_call, "\"arguments\":{\"x\":1.10}");
    uint64_t later = request(c, "tools/call", tool);
    ck_assert_uint_gt(later, list);
    free(expect(&g, c, MCPGW_EVENT_REPLY, later));
    mcpgw_client_close(c);
    gwt_down(&g);
  }
}
END_TEST

/* Nobody is there to wait for: initialize is answered while the client is being opened. */
START_TEST(a_request_at_once_after_a_quick_hello_waits_its_turn) {
  struct gwt g;
  memset(&g, 0, sizeof g);
  ck_assert_int_eq(mcpgw_config_new(&g.config), MCPGW_OK);
  ck_assert_int_eq(mcpgw_config_add_custom(g.config, "a", 1), MCPGW_OK);
  ck_assert_int_eq(mcpgw_config_add_custom(g.config, "b", 1), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_new(&g.gw, g.config, NULL), MCPGW_OK);
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_LEGACY);
  uint64_t first = request(c, "tools/list", NULL), second = request(c, "ping", NULL);
  expect_text(&g, c, MCPGW_EVENT_READY, 0, "2025-11-25");
  expect_text(&g, c, MCPGW_EVENT_REPLY, first, "\"dev.mcpgw/unavailable\"");
  expect_text(&g, c, MCPGW_EVENT_REPLY, second, "\"result\"");
  mcpgw_client_close(c);
  mcpgw_gateway_free(g.gw);
  mcpgw_config_free(g.config);
}
END_TEST

START_TEST(messages_before_the_reply) {
  struct gwt g;
  gwt_up(&g, "", 1);
  g.servers[0].modern = _i;
  mcpgw_client *c = open_client(&g, "a", MCPGW_CLIENT_AUTO);
  uint64_t id = request(c, "tools/call", "{\"name\":\"progress\"}");
  free(expect(&g, c, MCPGW_EVENT_READY, 0));
  char token[64];
  snprintf(token, sizeof token, "\"progressToken\":%llu,\"progress\":", (unsigned long long)id); /* the request's number */
  for (int i = 0; i < 3; i++) expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, token);
  expect_text(&g, c, MCPGW_EVENT_REPLY, id, "\"result\"");
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(cancelling_a_request) {
  struct gwt g;
  gwt_up(&g, "", 1);
  g.servers[0].modern = _i;
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_AUTO);
  uint64_t id = request(c, "tools/call", "{\"name\":\"hold\"}");
  free(expect(&g, c, MCPGW_EVENT_READY, 0));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  ck_assert_int_eq(mcpgw_client_cancel(c, id + 1), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_client_cancel(c, 0), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_client_cancel(c, id), MCPGW_OK);
  ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 1, 2000));
  gwt_release(&g.servers[0], 0, "{}");
  no_event(&g, 30);
  ck_assert_int_eq(gwt_stat(&g, "calls"), 0);
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

/* A request that still waits for the handshake is cancelled, too: it is never sent. */
START_TEST(cancelling_before_ready) {
  struct gwt g;
  gwt_up(&g, "", 1);
  g.servers[0].modern = _i;
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_AUTO);
  uint64_t first = request(c, "tools/call", "{\"name\":\"hold\"}"), second = request(c, "tools/call", "{\"name\":\"echo\"}");
  ck_assert_int_eq(mcpgw_client_cancel(c, first), MCPGW_OK);
  free(expect(&g, c, MCPGW_EVENT_READY, 0));
  free(expect(&g, c, MCPGW_EVENT_REPLY, second));
  no_event(&g, 30);
  ck_assert_int_eq(g.servers[0].calls, 1);
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(questions_reach_the_client) {
  struct gwt g;
  gwt_up(&g, "", 1);
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_LEGACY);
  uint64_t id = request(c, "tools/call", "{\"name\":\"ask\"}");
  free(expect(&g, c, MCPGW_EVENT_READY, 0));
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":1,\"method\":\"sampling/createMessage\"");
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"role\":\"user\"}}");
  ck_assert(gwt_wait(&g, &g.servers[0].answers, 1, 2000));
  gwt_has(g.servers[0].last_answer, "\"id\":0,\"result\":{\"role\":\"user\"}");
  gwt_release(&g.servers[0], 0, "{\"done\":1}");
  expect_text(&g, c, MCPGW_EVENT_REPLY, id, "\"done\":1");
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(errors_are_replies) {
  struct gwt g;
  gwt_up(&g, "", 1);
  g.servers[0].modern = _i;
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_AUTO);
  free(expect(&g, c, MCPGW_EVENT_READY, 0));
  expect_text(&g, c, MCPGW_EVENT_REPLY, request(c, "tools/call", "{\"name\":\"nope\"}"), "\"code\":-32602");
  expect_text(&g, c, MCPGW_EVENT_REPLY, request(c, "tools/call", "{\"name\":\"die\"}"), "OUTCOME_UNKNOWN");
  expect_text(&g, c, MCPGW_EVENT_REPLY, request(c, "a\"b", NULL), "\"error\"");
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(nobody_there_closes_the_client) {
  struct gwt g;
  memset(&g, 0, sizeof g);
  ck_assert_int_eq(mcpgw_config_new(&g.config), MCPGW_OK);
  ck_assert_int_eq(mcpgw_config_add_custom(g.config, "lonely", 6), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_new(&g.gw, g.config, NULL), MCPGW_OK);
  mcpgw_client *c = open_client(&g, NULL, _i ? MCPGW_CLIENT_LEGACY : MCPGW_CLIENT_AUTO);
  uint64_t id;
  (void)mcpgw_client_request(c, "tools/list", 10, NULL, 0, &id);
  expect_text(&g, c, MCPGW_EVENT_CLOSED, 0, "lonely");
  ck_assert_int_eq(mcpgw_client_request(c, "tools/list", 10, NULL, 0, &id), MCPGW_E_CLOSED);
  const char *note = "{\"jsonrpc\":\"2.0\",\"method\":\"x/y\"}";
  ck_assert_int_eq(mcpgw_client_send(c, note, strlen(note)), MCPGW_E_CLOSED);
  no_event(&g, 20); /* told once */
  mcpgw_client_close(c);
  mcpgw_gateway_free(g.gw);
  mcpgw_config_free(g.config);
}
END_TEST

START_TEST(wrong_arguments) {
  struct gwt g;
  mcpgw_client *c = NULL;
  uint64_t id = 7;
  gwt_up(&g, "", 2);
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, "zz", 2, MCPGW_CLIENT_AUTO), MCPGW_E_NOT_FOUND);
  gwt_has(mcpgw_gateway_error(g.gw), "zz");
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, 9), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_client_open(NULL, g.gw, NULL, 0, 0), MCPGW_E_INVALID);
  ck_assert_ptr_null(c);
  c = open_client(&g, "b", MCPGW_CLIENT_AUTO);
  static const char *const bad[] = {"[]", "{", "1", "{}x", "{\"a\":\xff}", "{\"_meta\":{}}", "{\"_m\\u0065ta\":{}}"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    ck_assert_msg(mcpgw_client_request(c, "tools/list", 10, bad[i], strlen(bad[i]), &id) != MCPGW_OK, "%s was taken", bad[i]);
  ck_assert_int_eq(mcpgw_client_request(c, "", 0, NULL, 0, &id), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_client_request(c, "a\0b", 3, NULL, 0, &id), MCPGW_E_INVALID);
  const char *own = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}";
  ck_assert_int_eq(mcpgw_client_send(c, own, strlen(own)), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_client_send(c, "nonsense", 8), MCPGW_E_PARSE);
  ck_assert_uint_eq(id, 7); /* outputs are untouched on failure */
  mcpgw_client *r = open_client(&g, NULL, MCPGW_CLIENT_RAW);
  ck_assert_int_eq(mcpgw_client_request(r, "tools/list", 10, NULL, 0, &id), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_client_cancel(r, 1), MCPGW_E_INVALID);
  mcpgw_client_close(r);
  mcpgw_client_close(c);
  mcpgw_client_close(NULL);
  gwt_down(&g);
}
END_TEST

/* ---- RAW ------------------------------------------------------------------------------------------------------- */

START_TEST(a_raw_client_speaks_for_itself) {
  struct gwt g;
  gwt_up(&g, "", 1);
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_RAW);
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":1,\"error\":{\"code\":-32600");
  raw(c, "nonsense");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":null,\"error\":{\"code\":-32700");
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":\"k\",\"method\":7}");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":\"k\",\"error\":{\"code\":-32600");
  raw(c, "[]");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":null,\"error\":{\"code\":-32600");
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-03-26\",\"capabilities\":{},\"clientInfo\":{}}}");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"protocolVersion\":\"2025-03-26\"");
  raw(c, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  raw(c, "[" GWT_CALL("3", "echo") ",{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"ping\"},{\"id\":5}]"); /* its revision has batches */
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":4,\"result\"");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":5,\"error\"");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":3,\"result\"");
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-03-26\"}}");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":2,\"error\":{\"code\":-32600");
  g.servers[0].modern = 1;
  raw(c, GWT_MODERN_CALL("3", "echo")); /* the era is judged for each message */
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"id\":3,\"result\"");
  raw(c, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" GWT_NS "protocolVersion\":\"2030-01-01\",\"" GWT_NS "clientCapabilities\":{}}}}");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"code\":-32022");
  no_event(&g, 20);
  mcpgw_client_close(c);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 0);
  gwt_down(&g);
}
END_TEST

START_TEST(a_raw_client_may_initialize_again_after_a_refusal) {
  struct gwt g;
  static const char init[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{}}}";
  gwt_up(&g, "", 1);
  g.servers[0].caps = "]"; /* its answer is no JSON: it cannot be had */
  g.servers[0].mute = 1;
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_RAW);
  raw(c, init);
  for (int i = 0; i < 5; i++) gwt_turn(&g, 2);
  mg_memory_end(g.servers[0].last, "it fell over");
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "UPSTREAM_UNAVAILABLE");
  g.servers[0].mute = 0;
  g.servers[0].caps = "{}";
  for (int i = 0; i < 300 && gwt_stat(&g, "contexts"); i++) gwt_turn(&g, 5);
  for (uint64_t end = gwt_ms() + 600; gwt_ms() < end;) gwt_turn(&g, 20); /* it is left alone for so long */
  raw(c, init);
  expect_text(&g, c, MCPGW_EVENT_MESSAGE, 0, "\"protocolVersion\":\"2025-06-18\"");
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

/* ---- events ----------------------------------------------------------------------------------------------------- */

START_TEST(events_have_a_ceiling) {
  struct gwt g;
  mcpgw_event *e;
  int n = 0, closed = 0;
  gwt_up(&g, "", 1);
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_RAW);
  const char *ping = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
  int rc = MCPGW_OK;
  for (int i = 0; i < MG_MAX_EVENTS + 10 && rc == MCPGW_OK; i++) rc = mcpgw_client_send(c, ping, strlen(ping));
  ck_assert_int_eq(rc, MCPGW_E_CLOSED);
  while (mcpgw_gateway_next_event(g.gw, &e) == MCPGW_OK) {
    closed = mcpgw_event_kind(e) == MCPGW_EVENT_CLOSED;
    n++;
    mcpgw_event_free(e);
  }
  ck_assert_int_eq(closed, 1); /* the last one says why */
  ck_assert_int_eq(n, MG_MAX_EVENTS + 1);
  ck_assert_int_gt(gwt_stat(&g, "events_dropped"), 0);
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(events_are_one_clients_own) {
  struct gwt g;
  gwt_up(&g, "", 1);
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_RAW), *d = open_client(&g, NULL, MCPGW_CLIENT_RAW);
  for (int i = 0; i < 3; i++) {
    raw(c, "{\"jsonrpc\":\"2.0\",\"id\":\"c\",\"method\":\"ping\"}");
    raw(d, "{\"jsonrpc\":\"2.0\",\"id\":\"d\",\"method\":\"ping\"}");
  }
  mcpgw_client_close(c); /* its events go with it */
  for (int i = 0; i < 3; i++) expect_text(&g, d, MCPGW_EVENT_MESSAGE, 0, "\"id\":\"d\"");
  no_event(&g, 10);
  raw(d, "{\"jsonrpc\":\"2.0\",\"id\":\"late\",\"method\":\"ping\"}");
  mcpgw_event *e = gwt_event(&g, 1000);
  mcpgw_client_close(d);
  mcpgw_gateway_free(g.gw); /* an event is the host's: it outlives the gateway */
  g.gw = NULL;
  gwt_has(mcpgw_event_data(e), "late");
  mcpgw_event_free(e);
  mcpgw_event_free(NULL);
  gwt_down(&g);
}
END_TEST

START_TEST(long_messages_are_charged_until_they_are_read) {
  struct gwt g;
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  g.servers[0].big = 4 << 20;
  mcpgw_client *c = open_client(&g, NULL, MCPGW_CLIENT_AUTO);
  free(expect(&g, c, MCPGW_EVENT_READY, 0));
  uint64_t id = request(c, "tools/call", "{\"name\":\"echo\"}"); /* the tool list is known after this */
  free(expect(&g, c, MCPGW_EVENT_REPLY, id));
  long long before = gwt_stat(&g, "memory_bytes");
  id = request(c, "tools/call", "{\"name\":\"big\"}");
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 2, 2000));
  for (int i = 0; i < 5; i++) gwt_turn(&g, 2);
  long long now = gwt_stat(&g, "memory_bytes") - before;
  ck_assert_int_ge(now, 4 << 20);
  ck_assert_int_le(now, (4 << 20) + (2 << 20));
  char *text = expect(&g, c, MCPGW_EVENT_REPLY, id);
  ck_assert_uint_gt(strlen(text), 4 << 20);
  free(text);
  ck_assert_int_le(gwt_stat(&g, "memory_bytes"), before);
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(clients_have_a_ceiling) {
  struct gwt g;
  mcpgw_client *one = NULL;
  gwt_up(&g, "", 1);
  for (int i = 0; i < MG_MAX_CLIENTS; i++) one = open_client(&g, NULL, MCPGW_CLIENT_RAW);
  mcpgw_client *over = NULL;
  ck_assert_int_eq(mcpgw_client_open(&over, g.gw, NULL, 0, MCPGW_CLIENT_RAW), MCPGW_E_LIMIT);
  mcpgw_client_close(one);
  open_client(&g, NULL, MCPGW_CLIENT_RAW);
  gwt_down(&g); /* the gateway closes those that are left */
}
END_TEST

/* Whatever stage a client is in, closing it or freeing the gateway leaves nothing behind. */
START_TEST(ends_at_any_moment) {
  for (int turns = 0; turns < 12; turns++)
    for (int how = 0; how < 3; how++) {
      struct gwt g;
      gwt_up(&g, "", 2);
      g.servers[0].modern = g.servers[1].modern = _i & 1;
      mcpgw_client *c = open_client(&g, NULL, _i & 2 ? MCPGW_CLIENT_LEGACY : MCPGW_CLIENT_AUTO);
      request(c, "tools/call", "{\"name\":\"a__hold\"}");
      request(c, "tools/call", "{\"name\":\"b__echo\"}");
      for (int i = 0; i < turns; i++) gwt_turn(&g, 0);
      if (how) mcpgw_client_close(c);
      if (how == 2) gwt_turn(&g, 0);
      gwt_down(&g);
    }
}
END_TEST

Suite *gateway_clients_suite(void) {
  Suite *s = suite_create("gateway/clients");
  TCase *t = tcase_create("auto");
  tcase_set_timeout(t, 30);
  tcase_add_loop_test(t, a_client_negotiates_by_itself, 0, (int)(sizeof ways / sizeof ways[0]));
  tcase_add_test(t, a_request_at_once_after_a_quick_hello_waits_its_turn);
  tcase_add_loop_test(t, messages_before_the_reply, 0, 2);
  tcase_add_loop_test(t, cancelling_a_request, 0, 2);
  tcase_add_loop_test(t, cancelling_before_ready, 0, 2);
  tcase_add_test(t, questions_reach_the_client);
  tcase_add_loop_test(t, errors_are_replies, 0, 2);
  tcase_add_loop_test(t, nobody_there_closes_the_client, 0, 2);
  tcase_add_test(t, wrong_arguments);
  suite_add_tcase(s, t);
  t = tcase_create("raw");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, a_raw_client_speaks_for_itself);
  tcase_add_test(t, a_raw_client_may_initialize_again_after_a_refusal);
  suite_add_tcase(s, t);
  t = tcase_create("events");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, events_have_a_ceiling);
  tcase_add_test(t, events_are_one_clients_own);
  tcase_add_test(t, long_messages_are_charged_until_they_are_read);
  tcase_add_test(t, clients_have_a_ceiling);
  tcase_add_loop_test(t, ends_at_any_moment, 0, 4);
  suite_add_tcase(s, t);
  return s;
}
