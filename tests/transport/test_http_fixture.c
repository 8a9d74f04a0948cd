/* The same transport against the official SDK's server (tests/conformance/fixture.mjs), both eras. Left
 * out, and said so, where the fixture's node_modules are not installed. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/test_http.h"

#define NODE "tests/conformance/node_modules/node/bin/node"
static struct http_fix f;
static pid_t node;

extern char **environ;

static void fixture_up(const char *era) {
  char *argv[] = {NODE, "tests/conformance/fixture.mjs", "--era", (char *)era, "--http", "0", NULL};
  posix_spawn_file_actions_t fa;
  char url[256];
  int p[2];
  FILE *in;
  ck_assert_int_eq(pipe(p), 0);
  posix_spawn_file_actions_init(&fa);
  posix_spawn_file_actions_adddup2(&fa, p[1], 1);
  posix_spawn_file_actions_addclose(&fa, p[0]);
  ck_assert_int_eq(posix_spawn(&node, NODE, &fa, NULL, argv, environ), 0);
  posix_spawn_file_actions_destroy(&fa);
  close(p[1]);
  in = fdopen(p[0], "r");
  ck_assert_ptr_nonnull(fgets(url, sizeof url, in));
  url[strcspn(url, "\r\n")] = '\0';
  memset(&f, 0, sizeof f);
  http_fix_url(&f, url, NULL);
}

static void fixture_down(void) {
  http_fix_down(&f);
  kill(node, SIGKILL);
  waitpid(node, NULL, 0);
}

static void hello(void) {
  mcpgw_message m = {.kind = MCPGW_SEND_NOTIFICATION, .revision = "2025-11-25"};
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  ck_assert(strstr(http_message(&f, 1, 0)->text, "conformance-fixture"));
  ck_assert_int_eq(http_send_as(&f, &m, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"),
                   MCPGW_OK);
  fake_host_turn(f.host, 50);
  ck_assert_int_eq(f.host->logs, 0);
}

START_TEST(a_stream_closed_by_the_server_is_resumed) {
  fixture_up("legacy");
  hello();
  for (uint64_t call = 2; call < 5; call++) {
    char body[256];
    snprintf(
        body, sizeof body,
        "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"test_reconnection\","
        "\"arguments\":{}}}",
        (int)call);
    ck_assert_int_eq(http_send(&f, call, body), MCPGW_OK);
    ck_assert(strstr(http_message(&f, call, 0)->text, "Answered after the stream was closed."));
    ck_assert_int_eq(fake_host_count(f.host, HOST_STREAMING, call), 1);
  }
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  fixture_down();
}
END_TEST

START_TEST(sessions_listen_and_end) {
  fixture_up("legacy");
  hello();
  mg_transport_http_ops.listen(f.impl, "2025-11-25");
  ck_assert_int_eq(http_send(&f, 2, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}"), MCPGW_OK);
  ck_assert(strstr(http_message(&f, 2, 0)->text, "test_reconnection"));
  fake_host_turn(f.host, 100);
  ck_assert_int_eq(f.host->logs, 0); /* the GET stream was granted */
  http_fix_close(&f, MCPGW_CLOSE_GRACEFUL);
  fake_host_turn(f.host, 200);
  fixture_down();
}
END_TEST

START_TEST(modern_requests_stand_alone) {
  static const mcpgw_header list[] = {{"Mcp-Method", "tools/list"}};
  mcpgw_message m = {.kind = MCPGW_SEND_REQUEST,
                     .call = 7,
                     .revision = "2026-07-28",
                     .modern = 1,
                     .headers = list,
                     .n_headers = 1};
  const char *body = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
                     "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                     "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"t\",\"version\":\"1\"},"
                     "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";
  fixture_up("modern");
  ck_assert_int_eq(http_send_as(&f, &m, body), MCPGW_OK);
  const struct host_event *ev = http_message(&f, 7, 0);
  ck_assert_uint_eq(ev->status, 200);
  ck_assert(strstr(ev->text, "test_simple_text") || strstr(ev->text, "\"tools\""));
  m.n_headers = 0; /* a header that must be there: 400 with a JSON-RPC error, handed on as it is */
  m.call = 8;
  ck_assert_int_eq(http_send_as(&f, &m, body), MCPGW_OK);
  ev = http_message(&f, 8, 0);
  ck_assert_uint_eq(ev->status, 400);
  ck_assert(strstr(ev->text, "-32020"));
  fixture_down();
}
END_TEST

void http_tests_fixture(Suite *s) {
  TCase *t = tcase_create("fixture");
  if (access(NODE, X_OK)) {
    printf("transport/http: no %s here, the official server is not tried\n", NODE);
    return;
  }
  tcase_set_timeout(t, 60);
  tcase_add_test(t, a_stream_closed_by_the_server_is_resumed);
  tcase_add_test(t, sessions_listen_and_end);
  tcase_add_test(t, modern_requests_stand_alone);
  suite_add_tcase(s, t);
}
