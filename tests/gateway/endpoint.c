/* tests/gateway/endpoint: HTTP statuses and headers: which path, which era, which session, who may come in. */
#include <stdio.h>
#include <sys/resource.h>

#include "gateway/rig.h"
#include "gateway/suites.h"

#define JSON "Content-Type: application/json\r\n"
#define BOTH "Accept: application/json, text/event-stream\r\n"
#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"

static int status_of(struct gwt *g, const char *method, const char *path, const char *headers, const char *body, char **head) {
  struct gwt_http c;
  gwt_connect(g, &c);
  gwt_request(&c, method, path, headers, body);
  int status = gwt_response(&c, NULL, head, 3000);
  gwt_close(&c);
  return status;
}

static const struct {
  const char *method, *path, *headers, *body;
  int status;
} rows[] = {
    {"POST", "/mcp", JSON BOTH, PING, 400}, /* no session */
    {"POST", "/mcp", JSON BOTH "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\n", PING, 404},
    {"POST", "/mcp", JSON BOTH "Mcp-Session-Id: x\r\nMcp-Session-Id: y\r\n", PING, 400},
    {"POST", "/nope", JSON BOTH, PING, 404},
    {"POST", "/mcpx", JSON BOTH, PING, 404},
    {"POST", "/mcp/nobody", JSON BOTH, PING, 404},
    {"POST", "/mcp/a", JSON BOTH, PING, 400},
    {"POST", "/mcp/a/b", JSON BOTH, PING, 404},
    {"POST", "/mcp", BOTH, PING, 415},
    {"POST", "/mcp", "Content-Type: text/plain\r\n" BOTH, PING, 415},
    {"POST", "/mcp", "Content-Type: application/json; charset=utf-8\r\n" BOTH, PING, 400},
    {"POST", "/mcp", JSON BOTH "Content-Encoding: gzip\r\n", PING, 415},
    {"POST", "/mcp", JSON "Accept: application/json\r\n", PING, 406},
    {"POST", "/mcp", JSON "Accept: text/html\r\n", PING, 406},
    {"POST", "/mcp", JSON "Accept: */*\r\n", PING, 400},
    {"POST", "/mcp", JSON "Accept: application/json\r\nAccept: text/event-stream;q=0.1\r\n", PING, 400},
    {"POST", "/mcp", JSON, PING, 400},
    {"POST", "/mcp", JSON BOTH, "", 400},
    {"POST", "/mcp", JSON BOTH, "{", 400},
    {"POST", "/mcp", JSON BOTH, "[]", 400},
    {"POST", "/mcp", JSON BOTH "MCP-Protocol-Version: 1999-01-01\r\n", PING, 400},
    {"POST", "/mcp", JSON BOTH "Origin: http://evil.example\r\n", PING, 403},
    {"POST", "/mcp", JSON BOTH "Origin: http://localhost:x@evil.example\r\n", PING, 403},
    {"POST", "/mcp", JSON BOTH "Origin: http://127.evil.example\r\n", PING, 403},
    {"POST", "/mcp", JSON BOTH "Origin: http://127.0.0.1:99\r\n", PING, 400},
    {"POST", "/mcp", JSON BOTH "Origin: null\r\n", PING, 403},
    {"POST", "/mcp", JSON BOTH "Origin: http://localhost.evil.example\r\n", PING, 403},
    {"PUT", "/mcp", JSON BOTH, PING, 405},
    {"GET", "/mcp", "Accept: text/event-stream\r\n", "", 400},
    {"GET", "/mcp", "Accept: application/json\r\n", "", 406},
    {"GET", "/mcp", "Accept: text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n", "", 405},
    {"GET", "/", "Accept: text/event-stream\r\n", "", 404},
    {"DELETE", "/mcp", "", "", 400},
    {"DELETE", "/mcp", "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\n", "", 404},
    {"DELETE", "/mcp", "MCP-Protocol-Version: 2026-07-28\r\n", "", 405},
    {"DELETE", "/mcp", "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nMCP-Protocol-Version: 1999-01-01\r\n", "", 400},
    {"GET", "/mcp", "Accept: text/event-stream\r\nMcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nMCP-Protocol-Version: 1999-01-01\r\n", "", 400},
    {"POST", "/mcp", JSON BOTH "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nMCP-Protocol-Version: 1999-01-01\r\n", "[" PING "]", 400},
    {"OPTIONS", "/mcp", "", "", 204},
    /* modern */
    {"POST", "/mcp", JSON BOTH GWT_MODERN_HEADERS("server/discover"), GWT_MODERN("1", "server/discover", ""), 200},
    {"POST", "/mcp", JSON BOTH GWT_CALL_HEADERS("echo"), GWT_MODERN_CALL("1", "echo"), 200},
    {"POST", "/mcp", JSON BOTH GWT_CALL_HEADERS("other"), GWT_MODERN_CALL("1", "echo"), 400},
    {"POST", "/mcp", JSON BOTH, GWT_MODERN_CALL("1", "echo"), 400}, /* the body alone makes it modern */
    {"POST", "/mcp", JSON BOTH GWT_MODERN_HEADERS("tools/list"), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", 400},
    {"POST", "/mcp", JSON BOTH GWT_MODERN_HEADERS("ping"), GWT_MODERN("1", "ping", ""), 404},
    {"POST", "/mcp", JSON BOTH GWT_MODERN_HEADERS("x/y"), GWT_MODERN("1", "x/y", ""), 200},
    {"POST", "/mcp", JSON BOTH GWT_MODERN_HEADERS("notifications/x"), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{" GWT_META "}}", 202},
    {"POST", "/mcp", JSON BOTH GWT_MODERN_HEADERS("x"), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 400},
    {"POST", "/mcp", JSON BOTH "MCP-Protocol-Version: 2027-01-01\r\nMcp-Method: tools/list\r\n",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" GWT_NS "protocolVersion\":\"2027-01-01\",\"" GWT_NS "clientCapabilities\":{}}}}", 400},
};

/* What clients cannot take is there for servers, and for whoever is let in. */
START_TEST(clients_do_not_take_all_descriptors) {
  struct gwt g;
  struct gwt_http c[128], last;
  struct rlimit r, before;
  int open = 0;
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
  r = before;
  r.rlim_cur = 256;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0); /* as it is when the gateway begins to listen */
  gwt_up(&g, "", 1);
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (int i = 0; i < 128; i++) {
    gwt_connect(&g, &c[i]);
    open++;
  }
  for (int k = 0; k < 100 && gwt_stat(&g, "connections") < open; k++) gwt_turn(&g, 5);
  ck_assert_int_eq(gwt_stat(&g, "connections"), 128);
  gwt_connect(&g, &last);
  ck_assert(gwt_until(&last, "503 ", 2000));
  gwt_close(&last);
  while (open) gwt_close(&c[--open]);
  gwt_down(&g);
}
END_TEST

START_TEST(statuses) {
  struct gwt g;
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  int status = status_of(&g, rows[_i].method, rows[_i].path, rows[_i].headers, rows[_i].body, NULL);
  ck_assert_msg(status == rows[_i].status, "%s %s\n%s%s\n%d, not %d", rows[_i].method, rows[_i].path, rows[_i].headers, rows[_i].body, status, rows[_i].status);
  gwt_down(&g);
}
END_TEST

static const struct {
  const char *host;
  int ok;
} hosts[] = {
    {"127.0.0.1", 1}, {"localhost:1234", 1}, {"[::1]:80", 1}, {"evil.example", 0}, {"127.0.0.1.evil.example", 0},
    {"127.0.0.2", 1}, {"127.1.2.3:80", 1}, {"127.evil.example", 0}, {"127.0.0", 0}, {"127.0.0.1.", 0},
    {"mine.example", 1}, {"mine.example:8080", 1}, {"pub.example", 1}, {"192.168.0.1", 0}, {"localhost.evil.example", 0},
};

START_TEST(hosts_are_checked) {
  struct gwt g;
  struct gwt_http c;
  char text[600];
  gwt_up(&g, "\"allowed_hosts\":[\"mine.example\"],\"public_url\":\"https://pub.example/mcp\",", 1);
  gwt_connect(&g, &c);
  snprintf(text, sizeof text, "DELETE /mcp HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[_i].host);
  gwt_write(&c, text, strlen(text));
  char *body, *head;
  ck_assert_int_eq(gwt_response(&c, &body, &head, 3000), hosts[_i].ok ? 400 : 403);
  if (!hosts[_i].ok) gwt_has(body, "add it to gateway.allowed_hosts"); /* a refusal says what to do */
  free(head); /* body is in it */
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(cors_for_allowed_origins_only) {
  struct gwt g;
  char *head;
  gwt_up(&g, "\"allowed_origins\":[\"https://app.example\"],", 1);
  ck_assert_int_eq(status_of(&g, "OPTIONS", "/mcp", "Origin: https://app.example\r\n", "", &head), 204);
  gwt_has(head, "Access-Control-Allow-Origin: https://app.example\r\n");
  gwt_has(head, "Access-Control-Expose-Headers: Mcp-Session-Id, WWW-Authenticate\r\n");
  gwt_has(head, "Vary: Origin\r\n");
  gwt_has(head, "Mcp-Method, Mcp-Name\r\n");
  free(head);
  /* a tool's mirrored arguments: whatever the browser asks for, as long as it is that */
  ck_assert_int_eq(status_of(&g, "OPTIONS", "/mcp", "Origin: https://app.example\r\nAccess-Control-Request-Headers: content-type,mcp-param-region , x-evil,Mcp-Param-,mcp-param-a b,mcp-param-tenant\r\n", "", &head), 204);
  gwt_has(head, "Mcp-Method, Mcp-Name, mcp-param-region, mcp-param-tenant\r\n");
  free(head);
  ck_assert_int_eq(status_of(&g, "OPTIONS", "/mcp", "Origin: http://localhost:5\r\n", "", &head), 204);
  gwt_lacks(head, "Access-Control-Allow-Origin");
  gwt_has(head, "Vary: Origin\r\n");
  free(head);
  ck_assert_int_eq(status_of(&g, "OPTIONS", "/mcp", "Origin: https://app.example.evil\r\n", "", &head), 403);
  free(head);
  gwt_down(&g);
}
END_TEST

START_TEST(a_session_from_first_to_last) {
  struct gwt g;
  char sid[80], *body;
  gwt_up(&g, "", 2);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", &body), 200);
  gwt_has(body, "{\"name\":\"a__echo\"}");
  gwt_has(body, "{\"name\":\"b__echo\"}");
  free(body);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, GWT_CALL("\"z\"", "b__echo"), &body), 200);
  ck_assert_str_eq(body, "{\"jsonrpc\":\"2.0\",\"id\":\"z\",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}}");
  free(body);
  ck_assert_int_eq(g.servers[0].calls, 0);
  ck_assert_int_eq(g.servers[1].calls, 1);
  ck_assert_int_eq(gwt_ask(&g, "/mcp/a", sid, PING, NULL), 404); /* its own resource */
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}", NULL), 400);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}", NULL), 202);
  ck_assert_int_eq(gwt_stat(&g, "unknown_responses"), 1);
  ck_assert_int_eq(status_of(&g, "DELETE", "/mcp", sid, "", NULL), 204);
  ck_assert_int_eq(status_of(&g, "DELETE", "/mcp", sid, "", NULL), 404);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, PING, &body), 404);
  gwt_has(body, "CONTEXT_ENDED");
  free(body);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 0);
  gwt_down(&g);
}
END_TEST

START_TEST(ending_a_session_ends_its_calls_and_streams) {
  struct gwt g;
  struct gwt_http call, channel;
  char sid[80], headers[200], *body;
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &call);
  gwt_post(&call, "/mcp", sid, GWT_CALL("1", "hold"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  gwt_connect(&g, &channel);
  snprintf(headers, sizeof headers, "Accept: text/event-stream\r\n%s", sid);
  gwt_request(&channel, "GET", "/mcp", headers, "");
  ck_assert(gwt_until(&channel, "\r\n\r\n", 2000));
  ck_assert_int_eq(status_of(&g, "DELETE", "/mcp", sid, "", NULL), 204);
  ck_assert_int_eq(gwt_response(&call, &body, NULL, 2000), 404);
  gwt_has(body, "CONTEXT_ENDED");
  ck_assert(gwt_stream_over(&channel, 2000));
  ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 1, 2000));
  gwt_close(&call);
  gwt_close(&channel);
  gwt_down(&g);
}
END_TEST

START_TEST(a_session_may_not_be_opened_twice_over) {
  struct gwt g;
  char one[80], two[80];
  gwt_up(&g, "\"contexts\":{\"max\":2},", 1);
  gwt_session(&g, "/mcp", "2025-11-25", one);
  gwt_session(&g, "/mcp", "2025-11-25", two);
  ck_assert_str_ne(one, two);
  char *body;
  gwt_ask(&g, "/mcp", "", "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}", &body);
  gwt_has(body, "OVERLOADED");
  free(body);
  gwt_down(&g);
}
END_TEST

START_TEST(modern_errors_carry_what_the_specification_says) {
  struct gwt g;
  char *body;
  gwt_up(&g, "", 1); /* its server speaks the old eras only */
  ck_assert_int_eq(gwt_ask(&g, "/mcp", GWT_CALL_HEADERS("echo"), GWT_MODERN_CALL("\"m\"", "echo"), &body), 400);
  gwt_has(body, "{\"jsonrpc\":\"2.0\",\"id\":\"m\",\"error\":{\"code\":-32022");
  gwt_has(body, "\"data\":{\"supported\":[\"2025-11-25\",");
  free(body);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", GWT_MODERN_HEADERS("tools/call"), GWT_MODERN_CALL("9", "echo"), &body), 400);
  gwt_has(body, "\"id\":9,\"error\":{\"code\":-32020,\"message\":\"missing header: Mcp-Name\"");
  free(body);
  gwt_down(&g);
}
END_TEST

/* A stream that has not begun cannot be resumed: neither request may be left without an answer. */
START_TEST(resuming_what_has_not_begun) {
  struct gwt g;
  struct gwt_http call, get;
  char sid[80], headers[300];
  gwt_up(&g, "\"sse_after_ms\":60000,", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &call);
  gwt_post(&call, "/mcp", sid, GWT_CALL("1", "hold"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  for (int n = 0; n < 5; n++) { /* one of these numbers is the stream's */
    gwt_connect(&g, &get);
    snprintf(headers, sizeof headers, "Accept: text/event-stream\r\nLast-Event-ID: s%d-0\r\n%s", n, sid);
    gwt_request(&get, "GET", "/mcp", headers, "");
    ck_assert(gwt_until(&get, "\r\n\r\n", 2000));
    gwt_close(&get);
  }
  gwt_release(&g.servers[0], 0, "{}");
  ck_assert(gwt_until(&call, "\r\n\r\n", 2000)); /* its answer, or that another connection took it over */
  gwt_close(&call);
  gwt_down(&g);
}
END_TEST

/* Refused in words first; who goes on regardless gets the status, and its body is not read. */
START_TEST(too_many_requests) {
  struct gwt g;
  struct gwt_http c;
  char *head = NULL, *body = NULL;
  int status = 200, told = 0;
  gwt_up(&g, "\"limits\":{\"rate\":{\"burst\":2,\"per_s\":1}},", 1);
  g.servers[0].modern = 1;
  for (int i = 0; i < 200 && status == 200; i++) { /* a slow machine earns a token now and then */
    status = gwt_ask(&g, "/mcp", GWT_CALL_HEADERS("echo"), GWT_MODERN_CALL("1", "echo"), &body);
    told += status == 200 && strstr(body, "\"reason\":\"OVERLOADED\"") && strstr(body, "\"retry_after_ms\":");
    free(body);
  }
  ck_assert_int_eq(status, 429);
  ck_assert_int_ge(told, 8);
  gwt_connect(&g, &c);
  const char *big = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n" JSON BOTH "Content-Length: 1000000\r\n\r\n";
  gwt_write(&c, big, strlen(big));
  ck_assert_int_eq(gwt_response(&c, NULL, &head, 3000), 429);
  gwt_has(head, "Retry-After: 1\r\n");
  free(head);
  gwt_close(&c);
  ck_assert_int_eq(status_of(&g, "GET", "/livez", "", "", NULL), 200);
  gwt_down(&g);
}
END_TEST

Suite *gateway_endpoint_suite(void) {
  Suite *s = suite_create("gateway/endpoint");
  TCase *t = tcase_create("endpoint");
  tcase_add_test(t, clients_do_not_take_all_descriptors);
  tcase_add_loop_test(t, statuses, 0, (int)(sizeof rows / sizeof rows[0]));
  tcase_add_loop_test(t, hosts_are_checked, 0, (int)(sizeof hosts / sizeof hosts[0]));
  tcase_add_test(t, cors_for_allowed_origins_only);
  tcase_add_test(t, a_session_from_first_to_last);
  tcase_add_test(t, ending_a_session_ends_its_calls_and_streams);
  tcase_add_test(t, a_session_may_not_be_opened_twice_over);
  tcase_add_test(t, modern_errors_carry_what_the_specification_says);
  tcase_add_test(t, resuming_what_has_not_begun);
  tcase_add_test(t, too_many_requests);
  suite_add_tcase(s, t);
  return s;
}
