/* tests/gateway/reload: another configuration while everything runs: what is the same is left alone, what is not
 * drains, nothing is lost that was acknowledged, and a configuration that cannot be had changes nothing. */
#include <stdio.h>
#include <unistd.h>

#include "api/api.h"
#include "base/mem.h"
#include "gateway/rig.h"
#include "gateway/suites.h"

static struct gwt g;

/* A configuration with these servers ("ab"); an upper-case letter is a server whose entry is different. */
static mcpgw_config *config_of(const char *servers, const char *gateway, const char *listen) {
  mcpgw_config *c = NULL;
  char text[512], name[2] = "";
  snprintf(text, sizeof text, "{\"gateway\":{%s\"log\":{\"level\":\"debug\"}}}", gateway);
  ck_assert_int_eq(mcpgw_config_new(&c), MCPGW_OK);
  ck_assert_int_eq(mcpgw_config_load_mem(c, text, strlen(text), NULL), MCPGW_OK);
  for (const char *p = servers; *p; p++) {
    name[0] = (char)(*p | 32);
    ck_assert_int_eq(mcpgw_config_add_custom(c, name, 1), MCPGW_OK);
    struct mg_cfg_server *s = (struct mg_cfg_server *)(uintptr_t)&c->snapshot->servers[c->snapshot->n_servers - 1];
    if (*p < 'a') s->timeouts.list_ms++;
  }
  ck_assert_int_eq(mcpgw_config_set_listen(c, listen ? listen : "127.0.0.1:0"), MCPGW_OK);
  return c;
}

static int try_reload(const char *servers, const char *gateway, const char *listen) {
  mcpgw_config *c = config_of(servers, gateway, listen);
  int rc = mcpgw_gateway_reload(g.gw, c);
  mcpgw_config_free(c);
  return rc;
}

static void reload(const char *servers) {
  ck_assert_msg(try_reload(servers, "", NULL) == MCPGW_OK, "%s", mcpgw_gateway_error(g.gw));
}

/* Gives a server that came later the transport of its letter. */
static void attach(int i) {
  static const char *const names[] = {"a", "b", "c"};
  if (!g.transports[i]) ck_assert_int_eq(gwt_transport(&g, i), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_set_transport(g.gw, names[i], 1, &mg_transport_memory_ops, g.transports[i]), MCPGW_OK);
}

static void call_is(const char *session, const char *path, const char *body, const char *part) {
  char *text = NULL;
  gwt_ask(&g, path, session, body, &text);
  gwt_has(text, part);
  free(text);
}

static void settle(int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  while (gwt_ms() < end) gwt_turn(&g, 5);
}

#define LIST "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"tools/list\"}"

START_TEST(the_same_configuration_changes_nothing) {
  char id[80];
  gwt_up(&g, "", 2);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  call_is(id, "/mcp", GWT_CALL("1", "a__echo"), "\"hi\"");
  int a = g.servers[0].conns, b = g.servers[1].conns;
  for (int i = 0; i < 20; i++) reload("ab");
  call_is(id, "/mcp", GWT_CALL("2", "a__echo"), "\"hi\"");
  call_is(id, "/mcp", GWT_CALL("3", "b__echo"), "\"hi\"");
  ck_assert_int_eq(g.servers[0].conns, a);
  ck_assert_int_eq(g.servers[1].conns, b);
  ck_assert_int_eq(gwt_stat(&g, "reloads"), 20);
  gwt_has(g.log, "\"kept\":\"2\",\"added\":\"0\",\"changed\":\"0\",\"removed\":\"0\"");
  gwt_down(&g);
}
END_TEST

/* Before (_i 0) or behind (1) what is there: names, not places, say what is what. */
START_TEST(a_server_comes) {
  struct gwt_http channel;
  char id[80];
  gwt_up(&g, "", 2);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  call_is(id, "/mcp", GWT_CALL("1", "b__echo"), "\"hi\"");
  gwt_connect(&g, &channel);
  char headers[160];
  snprintf(headers, sizeof headers, "Accept: text/event-stream\r\n%s", id);
  gwt_request(&channel, "GET", "/mcp", headers, "");
  ck_assert_int_eq(gwt_until(&channel, "\r\n\r\n", 3000), 1);
  int b = g.servers[1].conns;
  reload(_i ? "abc" : "cab");
  attach(2);
  ck_assert_int_eq(gwt_stream_has(&channel, "notifications/tools/list_changed", 3000), 1);
  call_is(id, "/mcp", LIST, "c__echo");
  call_is(id, "/mcp", GWT_CALL("2", "c__echo"), "\"hi\"");
  call_is(id, "/mcp", GWT_CALL("3", "b__echo"), "\"hi\"");
  ck_assert_int_eq(g.servers[1].conns, b);
  gwt_close(&channel);
  gwt_down(&g);
}
END_TEST

/* What was acknowledged is answered; then the server's link goes, and its names with it. */
START_TEST(a_server_goes) {
  struct gwt_http c;
  char id[80], *text;
  gwt_up(&g, "", 3);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", id, GWT_CALL("7", "b__hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[1].calls, 1, 3000), 1);
  reload("ca"); /* and the rest in another order */
  settle(200);
  ck_assert_ptr_nonnull(g.servers[1].last); /* it is waited for */
  call_is(id, "/mcp", GWT_CALL("8", "b__echo"), "unknown tool");
  call_is(id, "/mcp", GWT_CALL("9", "c__echo"), "\"hi\"");
  call_is(id, "/mcp", GWT_CALL("10", "a__echo"), "\"hi\"");
  gwt_release(&g.servers[1], 0, "{\"content\":[{\"type\":\"text\",\"text\":\"late\"}]}");
  ck_assert_int_eq(gwt_response(&c, &text, NULL, 3000), 200);
  gwt_has(text, "late");
  for (int i = 0; i < 400 && g.servers[1].last; i++) gwt_turn(&g, 5);
  ck_assert_ptr_null(g.servers[1].last);
  settle(150);
  gwt_has(g.log, "upstream.drained");
  ck_assert_int_eq(g.servers[0].conns + g.servers[2].conns, 2);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* Calls under way finish at the old one. State is gone: that is said once, and then the fresh one is used. */
START_TEST(a_server_changes) {
  struct gwt_http c;
  char id[80], *text;
  gwt_up(&g, "", 2);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  call_is(id, "/mcp", GWT_CALL("1", "b__echo"), "\"hi\"");
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", id, GWT_CALL("7", "b__hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[1].calls, 2, 3000), 1);
  reload("aB");
  call_is(id, "/mcp", GWT_CALL("8", "b__echo"), "STATE_LOST");
  settle(60);
  call_is(id, "/mcp", GWT_CALL("9", "b__echo"), "\"hi\"");
  ck_assert_int_eq(g.servers[1].conns, 2);
  ck_assert_int_eq(g.servers[0].conns, 1);
  gwt_release(&g.servers[1], 0, "{\"content\":[{\"type\":\"text\",\"text\":\"late\"}]}");
  ck_assert_int_eq(gwt_response(&c, &text, NULL, 3000), 200);
  gwt_has(text, "late");
  settle(150);
  gwt_has(g.log, "upstream.drained");
  call_is(id, "/mcp", GWT_CALL("10", "b__echo"), "\"hi\"");
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* A call that waits for a server which does not even greet is looked at again: it goes to the fresh one. */
START_TEST(who_waits_is_served_by_the_new_one) {
  struct gwt_http c;
  char *text;
  gwt_up(&g, "", 1);
  g.servers[0].mute = 1;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", GWT_CALL_HEADERS("echo"), GWT_MODERN_CALL("1", "echo"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[0].conns, 1, 3000), 1);
  settle(20);
  g.servers[0].mute = 0;
  g.servers[0].modern = 1;
  reload("A");
  ck_assert_int_eq(gwt_response(&c, &text, NULL, 3000), 200);
  gwt_has(text, "\"hi\"");
  ck_assert_int_eq(g.servers[0].conns, 2);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* One server alone becomes one of two: its tools get their prefix, sessions go on. */
START_TEST(one_becomes_many_and_one_again) {
  char id[80];
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  call_is(id, "/mcp", GWT_CALL("1", "echo"), "\"hi\"");
  reload("ab");
  attach(1);
  call_is(id, "/mcp", GWT_CALL("2", "a__echo"), "\"hi\"");
  call_is(id, "/mcp", GWT_CALL("3", "b__echo"), "\"hi\"");
  call_is(id, "/mcp", GWT_CALL("4", "echo"), "unknown tool");
  ck_assert_int_eq(g.servers[0].conns, 1);
  reload("b");
  call_is(id, "/mcp", GWT_CALL("5", "echo"), "\"hi\"");
  reload("");
  ck_assert_int_eq(gwt_ask(&g, "/mcp", id, GWT_CALL("6", "echo"), NULL), 404);
  reload("b");
  attach(1);
  call_is(id, "/mcp", GWT_CALL("7", "echo"), "\"hi\"");
  gwt_down(&g);
}
END_TEST

START_TEST(a_session_of_a_server_that_goes) {
  struct gwt_http c;
  char b[80], all[80], *text;
  mcpgw_client *client;
  gwt_up(&g, "", 2);
  g.servers[1].modern = 1;
  gwt_session(&g, "/mcp/b", "2025-11-25", b);
  gwt_session(&g, "/mcp", "2025-11-25", all);
  ck_assert_int_eq(mcpgw_client_open(&client, g.gw, "b", 1, MCPGW_CLIENT_RAW), MCPGW_OK);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp/b", b, GWT_CALL("7", "hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[1].calls, 1, 3000), 1);
  reload("a");
  ck_assert_int_eq(gwt_ask(&g, "/mcp/b", b, GWT_CALL("8", "echo"), NULL), 404);
  mcpgw_event *e = gwt_event(&g, 3000);
  ck_assert_ptr_nonnull(e);
  ck_assert_uint_eq(mcpgw_event_kind(e), MCPGW_EVENT_CLOSED);
  gwt_has(mcpgw_event_data(e), "removed");
  mcpgw_event_free(e);
  gwt_release(&g.servers[1], 0, "{\"content\":[]}");
  ck_assert_int_eq(gwt_response(&c, &text, NULL, 3000), 200); /* its call was still answered */
  gwt_has(text, "\"id\":7");
  settle(200);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 1);
  call_is(all, "/mcp", GWT_CALL("9", "echo"), "\"hi\"");
  mcpgw_client_close(client);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* subscriptions/listen goes on over another set of servers; it hears that lists changed. */
START_TEST(listeners_stay) {
  struct gwt_http c;
  int over = 0;
  gwt_up(&g, "", 2);
  for (int i = 0; i < 3; i++) g.servers[i].modern = 1;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", GWT_MODERN_HEADERS("subscriptions/listen"),
           GWT_MODERN("\"L\"", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},"));
  ck_assert_int_eq(gwt_stream_has(&c, "subscriptions/acknowledged", 8000), 1); /* these servers never do it themselves */
  reload("cab");
  attach(2);
  ck_assert_int_eq(gwt_wait(&g, &g.servers[2].conns, 1, 6000), 1); /* it is asked, too */
  reload("cB");
  settle(100);
  reload("c");
  settle(100);
  ck_assert_int_eq(gwt_stream_has(&c, "list_changed", 3000), 1);
  char *stream = gwt_stream(&c, &over);
  ck_assert_int_eq(over, 0);
  int told = 0;
  for (const char *p = stream; (p = strstr(p, "notifications/tools/list_changed")); p++) told++;
  ck_assert_int_ge(told, 3);
  free(stream);
  reload("");
  ck_assert_int_eq(gwt_stream_over(&c, 3000), 1); /* nothing is left to hear of: a proper end */
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(addresses_move) {
  struct gwt_http old;
  char id[80], path[48], listen[80], *text;
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  gwt_connect(&g, &old);
  gwt_post(&old, "/mcp", id, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
  ck_assert_int_eq(gwt_response(&old, NULL, NULL, 3000), 200);
  ck_assert_int_eq(try_reload("a", "\"admin\":{\"listen\":\"unix:/nonexistent/dir/x\"},", "localhost:0"), MCPGW_E_IO);
  ck_assert_uint_eq(mcpgw_gateway_endpoints(g.gw), 1); /* the new address was given back */
  gwt_has(g.log, "config.refused");
  ck_assert_int_eq(try_reload("a", "", "0.0.0.0:0"), MCPGW_E_CONFIG);
  snprintf(path, sizeof path, "/tmp/mcpgw-reload-%d.sock", (int)getpid());
  snprintf(listen, sizeof listen, "\"admin\":{\"listen\":\"unix:%s\"},", path);
  ck_assert_int_eq(try_reload("a", listen, "localhost:0"), MCPGW_OK);
  int before = g.port;
  g.port = atoi(strrchr(mcpgw_gateway_endpoint(g.gw, 0), ':') + 1);
  ck_assert_int_ne(before, g.port);
  ck_assert_int_eq(access(path, F_OK), 0);
  gwt_post(&old, "/mcp", id, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}"); /* connections stay */
  ck_assert_int_eq(gwt_response(&old, &text, NULL, 3000), 200);
  call_is(id, "/mcp", "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}", "\"id\":3");
  ck_assert_int_eq(try_reload("a", "\"limits\":{\"body_bytes\":1024},\"state_dir\":\"/x\",", "localhost:0"), MCPGW_OK);
  ck_assert_int_ne(access(path, F_OK), 0); /* the door is gone with its key */
  gwt_has(g.log, "config.needs_restart");
  char *big = malloc(3000);
  memset(big, ' ', 2999);
  big[2999] = 0;
  ck_assert_int_eq(gwt_ask(&g, "/mcp", id, big, NULL), 413);
  free(big);
  gwt_close(&old);
  gwt_down(&g);
}
END_TEST

/* Whatever allocation fails, a reload is whole or has not happened. */
START_TEST(no_memory_changes_nothing) {
  struct gwt_http c;
  char id[80];
  int rc = MCPGW_E_NOMEM;
  uint64_t n = 1;
  gwt_up(&g, "", 2);
  for (int i = 0; i < 3; i++) g.servers[i].modern = 1;
  gwt_session(&g, "/mcp", "2025-11-25", id);
  call_is(id, "/mcp", GWT_CALL("1", "b__echo"), "\"hi\"");
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", GWT_MODERN_HEADERS("subscriptions/listen"),
           GWT_MODERN("\"L\"", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},"));
  ck_assert_int_eq(gwt_until(&c, "text/event-stream", 3000), 1);
  settle(100);
  int conns = g.servers[0].conns + g.servers[1].conns;
  for (; rc != MCPGW_OK && n < 500; n++) {
    mcpgw_config *next = config_of("caB", "", "localhost:0");
    int64_t live = mg_mem_live();
    mg_mem_fail_after(n, _i); /* that one alone, or all from then on */
    rc = mcpgw_gateway_reload(g.gw, next);
    mg_mem_fail_after(0, 0);
    ck_assert_msg(rc == MCPGW_OK || rc == MCPGW_E_NOMEM, "%s", mcpgw_strerror(rc));
    if (rc != MCPGW_OK) {
      settle(0);
      call_is(id, "/mcp", GWT_CALL("2", "b__echo"), "\"hi\"");
      ck_assert_int_eq(g.servers[0].conns + g.servers[1].conns, conns);
      ck_assert_int_eq(gwt_stat(&g, "reloads"), 0);
      (void)live;
    }
    mcpgw_config_free(next);
  }
  ck_assert_int_eq(rc, MCPGW_OK);
  ck_assert_uint_gt(n, 15);
  attach(2);
  g.port = atoi(strrchr(mcpgw_gateway_endpoint(g.gw, 0), ':') + 1);
  call_is(id, "/mcp", GWT_CALL("3", "b__echo"), "STATE_LOST");
  settle(60);
  call_is(id, "/mcp", GWT_CALL("4", "b__echo"), "\"hi\"");
  call_is(id, "/mcp", GWT_CALL("5", "c__echo"), "\"hi\"");
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* Parallel callers and a hundred reloads in a row: every call is answered by its result, or by an error that says
 * that nothing was done. */
START_TEST(a_hundred_reloads_under_load) {
  static const char *const sets[] = {"abc", "aBc", "ca", "Abc", "bca", "ab", "cB", "abC"};
  struct gwt_http c[8];
  char id[8][80], body[512], *text;
  int answered = 0, refused = 0;
  gwt_up(&g, "", 3);
  for (int i = 0; i < 3; i++) g.servers[i].modern = 1;
  for (int i = 0; i < 8; i++) {
    gwt_connect(&g, &c[i]);
    if (i < 4) gwt_session(&g, "/mcp", "2025-11-25", id[i]);
  }
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 8; i++) {
      const char *tool = (const char *[]){"a__echo", "b__echo", "c__echo"}[(round + i) % 3];
      if (i < 4) {
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"arguments\":{}}}", round, tool);
        gwt_post(&c[i], "/mcp", id[i], body);
      } else {
        char headers[200];
        snprintf(headers, sizeof headers, "%sMcp-Name: %s\r\n", GWT_MODERN_HEADERS("tools/call"), tool);
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"arguments\":{}," GWT_META "}}", round, tool);
        gwt_post(&c[i], "/mcp", headers, body);
      }
    }
    if (round % 2) settle(2); /* half of the reloads meet calls that have been sent, half meet the bytes */
    const char *set = sets[round % 8];
    reload(set);
    for (int i = 0; i < 3; i++)
      if (strchr(set, 'a' + i) || strchr(set, 'A' + i)) (void)mcpgw_gateway_set_transport(g.gw, (const char *[]){"a", "b", "c"}[i], 1, &mg_transport_memory_ops, g.transports[i]);
    for (int i = 0; i < 8; i++) {
      int status = gwt_response(&c[i], &text, NULL, 10000);
      ck_assert_msg(status == 200 || status == 400 || status == 404, "round %d, client %d: %d %s", round, i, status, status ? text : "no answer");
      snprintf(body, sizeof body, "\"id\":%d", round);
      gwt_has(text, body);
      if (strstr(text, "\"hi\"")) answered++;
      else if (strstr(text, "unknown tool") || strstr(text, "STATE_LOST") || strstr(text, "removed") || strstr(text, "no transport")) refused++;
      else ck_abort_msg("round %d: %s", round, text);
    }
  }
  ck_assert_int_eq(answered + refused, 800);
  ck_assert_int_gt(answered, 300);
  for (int i = 0; i < 8; i++) gwt_close(&c[i]);
  settle(300);
  text = NULL;
  ck_assert_int_eq(mcpgw_gateway_report(g.gw, "links", 5, NULL, 0, &text), MCPGW_OK);
  ck_assert_msg(strtol(strstr(text, "\"total\":") + 8, NULL, 10) <= 15, "%s", text); /* 4 sessions and the modern one, 3 servers */
  mcpgw_free(text);
  gwt_down(&g);
}
END_TEST

Suite *gateway_reload_suite(void) {
  Suite *s = suite_create("gateway/reload");
  TCase *t = tcase_create("all");
  tcase_add_test(t, the_same_configuration_changes_nothing);
  tcase_add_loop_test(t, a_server_comes, 0, 2);
  tcase_add_test(t, a_server_goes);
  tcase_add_test(t, a_server_changes);
  tcase_add_test(t, who_waits_is_served_by_the_new_one);
  tcase_add_test(t, one_becomes_many_and_one_again);
  tcase_add_test(t, a_session_of_a_server_that_goes);
  tcase_add_test(t, listeners_stay);
  tcase_add_test(t, addresses_move);
  tcase_add_loop_test(t, no_memory_changes_nothing, 0, 2);
  tcase_add_test(t, a_hundred_reloads_under_load);
  tcase_set_timeout(t, 120);
  suite_add_tcase(s, t);
  return s;
}
