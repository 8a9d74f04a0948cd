/* tests/gateway/keyed: calls with idempotency keys through a whole gateway: once, replayed, joined, refused; over a
 * restart; and that calls without a key see nothing of it. */
#include <stdio.h>

#include "gateway/rig.h"
#include "base/mem.h"
#include "gateway/suites.h"
#include "support/scratch.h"

#define KEY(k) "Idempotency-Key: " k "\r\n"
#define MODERN(key, tool) GWT_CALL_HEADERS(tool) key

static struct gwt g;
static char state[300];

static void up(int servers) {
  char more[400];
  snprintf(more, sizeof more, "\"state_dir\":\"%s\",\"sse_after_ms\":20000,", state);
  gwt_up(&g, more, servers);
  for (int i = 0; i < servers; i++) g.servers[i].modern = 1;
}

static void setup(void) {
  snprintf(state, sizeof state, "%s", scratch());
  up(1);
}

static void teardown(void) {
  gwt_down(&g);
  scratch_done();
}

static char *ask(const char *headers, const char *body, int status) {
  char *out = NULL;
  int got = gwt_ask(&g, "/mcp", headers, body, &out);
  ck_assert_msg(got == status, "%d, not %d: %s", got, status, out ? out : "");
  return out;
}

static void says(const char *headers, const char *body, int status, const char *part) {
  char *out = ask(headers, body, status);
  gwt_has(out, part);
  free(out);
}

static void replayed(const char *headers, const char *body, const char *part) {
  char *out = ask(headers, body, 200);
  gwt_has(out, part);
  gwt_has(out, "\"dev.mcpgw/replayed\":true");
  free(out);
}

START_TEST(once_and_the_same_bytes_again) {
  g.servers[0].payload = "{\"content\":[ 1.0, 10000000000000000000000 ],\"_meta\":{\"a\":1,\"dev.mcpgw/x\":2}}";
  char *out = ask(MODERN(KEY("\"k-1\""), "raw"), GWT_MODERN_CALL("1", "raw"), 200);
  gwt_has(out, "{\"content\":[ 1.0, 10000000000000000000000 ],\"_meta\":{\"a\":1");
  gwt_lacks(out, "dev.mcpgw/");
  free(out);
  for (int i = 0; i < 3; i++) {
    out = ask(MODERN(KEY("k-1"), "raw"), GWT_MODERN_CALL("\"other id\"", "raw"), 200); /* a bare token is the same key */
    ck_assert_str_eq(out, "{\"jsonrpc\":\"2.0\",\"id\":\"other id\",\"result\":{\"content\":[ 1.0, 10000000000000000000000 ],"
                          "\"_meta\":{\"dev.mcpgw/replayed\":true,\"a\":1}}}");
    free(out);
  }
  ck_assert_int_eq(g.servers[0].calls, 1);
  says(MODERN("", "raw"), GWT_MODERN_CALL("1", "raw"), 200, "\"content\"");
  ck_assert_int_eq(g.servers[0].calls, 2);
  says(MODERN(KEY("\"k-2\""), "raw"), GWT_MODERN_CALL("1", "raw"), 200, "\"content\"");
  ck_assert_int_eq(g.servers[0].calls, 3);
  ck_assert_int_eq(gwt_stat(&g, "keyed"), 5);
  ck_assert_int_eq(gwt_stat(&g, "keyed_replayed"), 3);
}
END_TEST

START_TEST(a_key_may_stand_in_three_places) {
  static const char in_params[] = GWT_MODERN("1", "tools/call", "\"name\":\"echo\",\"arguments\":{},\"idempotencyKey\":\"same\\u0020key\",");
  static const char in_meta[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{},\"_meta\":{\"dev.mcpgw/idempotency-key\":"
                                "\"same key\",\"" GWT_NS "protocolVersion\":\"2026-07-28\",\"" GWT_NS "clientCapabilities\":{}}}}";
  says(MODERN("", "echo"), in_params, 200, "\"hi\"");
  gwt_lacks(g.servers[0].last_call, "same");
  gwt_has(g.servers[0].last_call, "\"idempotencyKey\":\"");
  const char *sent = strstr(g.servers[0].last_call, "\"idempotencyKey\":\"") + 18;
  ck_assert_uint_eq(strcspn(sent, "\""), 43);
  replayed(MODERN("", "echo"), in_meta, "\"hi\"");
  replayed(MODERN(KEY("\"same key\""), "echo"), GWT_MODERN_CALL("3", "echo"), "\"hi\"");
  replayed(MODERN(KEY("\"same key\""), "echo"), in_params, "\"hi\"");
  ck_assert_int_eq(g.servers[0].calls, 1);
  says(MODERN(KEY("\"another\""), "echo"), in_params, 400, "differ");
  says(MODERN(KEY("\"another\""), "echo"), in_meta, 400, "differ");
  says(MODERN(KEY("\"a\"") KEY("\"a\""), "echo"), GWT_MODERN_CALL("1", "echo"), 400, "twice");
  says(MODERN(KEY("\"a"), "echo"), GWT_MODERN_CALL("1", "echo"), 400, "structured-field");
  says(MODERN(KEY("a b"), "echo"), GWT_MODERN_CALL("1", "echo"), 400, "structured-field");
  says(MODERN(KEY("\"\""), "echo"), GWT_MODERN_CALL("1", "echo"), 400, "1 to 255");
  says(MODERN("", "echo"), GWT_MODERN("1", "tools/call", "\"name\":\"echo\",\"idempotencyKey\":7,"), 400, "a string");
  enum { LONG = 10240 };
  char *long_key = calloc(1, 6 * LONG + 1), *text = malloc(6 * LONG + 1000);
  for (int escaped = 0; escaped < 2; escaped++) {
    for (int i = 0; i < LONG; i++) memcpy(long_key + i * (escaped ? 6 : 1), "\\u0041" + (escaped ? 0 : 5), escaped ? 6 : 1);
    sprintf(text, GWT_MODERN("1", "tools/call", "\"name\":\"echo\",\"idempotencyKey\":\"%s\","), long_key);
    says(MODERN("", "echo"), text, 400, "1 to 255");
  }
  free(long_key);
  free(text);
  ck_assert_int_eq(g.servers[0].calls, 1);
}
END_TEST

START_TEST(other_arguments_are_a_conflict) {
  says(MODERN(KEY("k"), "echo"), GWT_MODERN_CALL("1", "echo"), 200, "\"hi\"");
  says(MODERN(KEY("k"), "echo"), GWT_MODERN("2", "tools/call", "\"name\":\"echo\",\"arguments\":{\"a\":1},"), 200, "-31005");
  says(MODERN(KEY("k"), "raw"), GWT_MODERN_CALL("3", "raw"), 200, "\"result\""); /* another tool: another scope */
  ck_assert_int_eq(g.servers[0].calls, 2);
  ck_assert_int_eq(gwt_stat(&g, "keyed_conflicts"), 1);
}
END_TEST

START_TEST(errors_of_the_server_are_outcomes) {
  says(MODERN(KEY("k"), "nope"), GWT_MODERN_CALL("1", "nope"), 200, "-32602");
  says(MODERN(KEY("k"), "nope"), GWT_MODERN_CALL("2", "nope"), 200, "\"id\":2,\"error\":{\"code\":-32602");
  ck_assert_int_eq(g.servers[0].calls, 1);
}
END_TEST

START_TEST(in_flight_is_joined_and_all_get_it) {
  struct gwt_http c[3];
  for (int i = 0; i < 3; i++) {
    gwt_connect(&g, &c[i]);
    gwt_post(&c[i], "/mcp", MODERN(KEY("k"), "hold"),
             i == 0   ? "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"hold\",\"arguments\":{},\"_meta\":{\"progressToken\":\"p0\",\"" GWT_NS "protocolVersion\":\"2026-07-28\",\"" GWT_NS "clientCapabilities\":{}}}}"
             : i == 1 ? "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"hold\",\"arguments\":{},\"_meta\":{\"progressToken\":\"p1\",\"" GWT_NS "protocolVersion\":\"2026-07-28\",\"" GWT_NS "clientCapabilities\":{}}}}"
                      : GWT_MODERN_CALL("1", "hold"));
    if (i == 0) ck_assert_int_eq(gwt_wait(&g, &g.servers[0].calls, 1, 10000), 1);
    for (int t = 0; t < 200 && gwt_stat(&g, "keyed") < i + 1; t++) gwt_turn(&g, 5);
  }
  for (int t = 0; t < 1000 && gwt_stat(&g, "keyed_joined") < 2; t++) gwt_turn(&g, 5);
  const char *token = strstr(g.servers[0].last_call, "\"progressToken\":");
  char note[256];
  snprintf(note, sizeof note, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%d,\"progress\":0.5}}", atoi(token + 16));
  gwt_say(&g.servers[0], note);
  ck_assert_int_eq(gwt_stream_has(&c[0], "\"progressToken\":\"p0\"", 10000), 1);
  ck_assert_int_eq(gwt_stream_has(&c[1], "\"progressToken\":\"p1\"", 10000), 1);
  gwt_release(&g.servers[0], 0, "{\"content\":[\"the one\"]}");
  for (int i = 0; i < 2; i++) ck_assert_int_eq(gwt_stream_has(&c[i], "the one", 10000), 1);
  ck_assert_int_eq(gwt_until(&c[2], "the one", 10000), 1);
  for (int i = 0; i < 3; i++) gwt_close(&c[i]);
  ck_assert_int_eq(g.servers[0].calls, 1);
}
END_TEST

START_TEST(a_client_that_vanishes_finds_its_result) {
  struct gwt_http c;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", MODERN(KEY("k"), "hold"), GWT_MODERN_CALL("1", "hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[0].calls, 1, 10000), 1);
  gwt_reset(&c);
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(g.servers[0].cancelled, 0);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", MODERN(KEY("k"), "hold"), GWT_MODERN_CALL("2", "hold")); /* it still runs */
  for (int t = 0; t < 1000 && gwt_stat(&g, "keyed_joined") < 1; t++) gwt_turn(&g, 5);
  gwt_reset(&c); /* and gone again */
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  gwt_release(&g.servers[0], 0, "{\"content\":[\"found\"]}");
  replayed(MODERN(KEY("k"), "hold"), GWT_MODERN_CALL("3", "hold"), "found");
  ck_assert_int_eq(g.servers[0].calls, 1);
  gwt_connect(&g, &c); /* without a key the lost connection is a cancellation, as before */
  gwt_post(&c, "/mcp", MODERN("", "hold"), GWT_MODERN_CALL("1", "hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[0].calls, 2, 10000), 1);
  gwt_reset(&c);
  ck_assert_int_eq(gwt_wait(&g, &g.servers[0].cancelled, 1, 10000), 1);
}
END_TEST

START_TEST(a_lost_reply_is_unknown_and_stays_so) {
  says(MODERN(KEY("k"), "die"), GWT_MODERN_CALL("1", "die"), 200, "OUTCOME_UNKNOWN");
  for (int i = 0; i < 2; i++) says(MODERN(KEY("k"), "die"), GWT_MODERN_CALL("2", "die"), 200, "OUTCOME_UNKNOWN");
  ck_assert_int_eq(g.servers[0].calls, 1);
}
END_TEST

START_TEST(over_a_restart) {
  struct gwt_http c;
  says(MODERN(KEY("done"), "echo"), GWT_MODERN_CALL("1", "echo"), 200, "\"hi\"");
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", MODERN(KEY("open"), "hold"), GWT_MODERN_CALL("1", "hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[0].calls, 2, 10000), 1);
  gwt_close(&c);
  gwt_down(&g);
  up(1);
  replayed(MODERN(KEY("done"), "echo"), GWT_MODERN_CALL("1", "echo"), "\"hi\"");
  says(MODERN(KEY("open"), "hold"), GWT_MODERN_CALL("1", "hold"), 200, "OUTCOME_UNKNOWN");
  ck_assert_int_eq(g.servers[0].calls, 0);
}
END_TEST

START_TEST(legacy_and_many_servers) {
  char session[80], headers[200];
  gwt_down(&g);
  up(2);
  g.servers[0].modern = g.servers[1].modern = 0;
  gwt_session(&g, "/mcp", "2025-06-18", session);
  snprintf(headers, sizeof headers, "%sIdempotency-Key: \"k\"\r\n", session);
  says(headers, GWT_CALL("1", "a__echo"), 200, "\"hi\"");
  replayed(headers, GWT_CALL("2", "a__echo"), "\"hi\"");
  says(headers, GWT_CALL("3", "b__echo"), 200, "\"hi\"");
  ck_assert_int_eq(g.servers[0].calls, 1);
  ck_assert_int_eq(g.servers[1].calls, 1);
  gwt_session(&g, "/mcp/a", "2025-06-18", session); /* the server alone: the same tool, the same scope */
  snprintf(headers, sizeof headers, "%sIdempotency-Key: \"k\"\r\n", session);
  char *out = NULL;
  ck_assert_int_eq(gwt_ask(&g, "/mcp/a", headers, GWT_CALL("1", "echo"), &out), 200);
  gwt_has(out, "replayed");
  free(out);
  ck_assert_int_eq(g.servers[0].calls, 1);
}
END_TEST

START_TEST(a_question_keeps_the_record_open) {
  g.servers[0].payload = "{\"resultType\":\"input_required\",\"inputRequests\":{\"q\":{}},\"requestState\":\"s\"}";
  says(MODERN(KEY("k"), "raw"), GWT_MODERN_CALL("1", "raw"), 200, "input_required");
  replayed(MODERN(KEY("k"), "raw"), GWT_MODERN_CALL("2", "raw"), "input_required"); /* it got lost: here it is again */
  ck_assert_int_eq(g.servers[0].calls, 1);
  g.servers[0].payload = "{\"content\":[\"after all\"]}";
  static const char answer[] = GWT_MODERN("3", "tools/call", "\"name\":\"raw\",\"arguments\":{},\"requestState\":\"s\",\"inputResponses\":{\"q\":{}},");
  says(MODERN(KEY("k"), "raw"), answer, 200, "after all");
  ck_assert_int_eq(g.servers[0].calls, 2);
  replayed(MODERN(KEY("k"), "raw"), answer, "after all");
  replayed(MODERN(KEY("k"), "raw"), GWT_MODERN_CALL("4", "raw"), "after all");
  ck_assert_int_eq(g.servers[0].calls, 2);
}
END_TEST

START_TEST(without_a_store_a_key_is_refused_by_name) {
  gwt_down(&g);
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  says(MODERN(KEY("k"), "echo"), GWT_MODERN_CALL("1", "echo"), 400, "NO_STORE");
  ck_assert_int_eq(g.servers[0].calls, 0);
  says(MODERN("", "echo"), GWT_MODERN_CALL("1", "echo"), 200, "\"hi\"");
  gwt_down(&g);
  gwt_up(&g, "\"state_dir\":\"/proc/nowhere/at/all\",", 1);
  g.servers[0].modern = 1;
  says(MODERN(KEY("k"), "echo"), GWT_MODERN_CALL("1", "echo"), 200, "store_failed");
  says(MODERN("", "echo"), GWT_MODERN_CALL("1", "echo"), 200, "\"hi\"");
  ck_assert_int_eq(g.servers[0].calls, 1);
}
END_TEST

START_TEST(two_gateways_in_one_process_do_it_once) {
  struct gwt other;
  char more[400];
  snprintf(more, sizeof more, "\"state_dir\":\"%s\",\"sse_after_ms\":20000,", state);
  says(MODERN(KEY("k"), "echo"), GWT_MODERN_CALL("1", "echo"), 200, "\"hi\"");
  gwt_up(&other, more, 1);
  other.servers[0].modern = 1;
  char *out = NULL;
  ck_assert_int_eq(gwt_ask(&other, "/mcp", MODERN(KEY("k"), "echo"), GWT_MODERN_CALL("2", "echo"), &out), 200);
  gwt_has(out, "replayed");
  free(out);
  ck_assert_int_eq(other.servers[0].calls, 0);
  gwt_down(&other);
}
END_TEST

/* Each allocation of a keyed call fails in turn: whatever the client hears, asking again is answered, and it ran once
 * at most. */
START_TEST(want_of_memory_breaks_no_promise) {
  int replayed_or_done = 0, unknown = 0;
  uint64_t nth = 1;
  for (int fired = 1; fired && nth < 2000; nth++) {
    char headers[200], *out = NULL;
    snprintf(headers, sizeof headers, MODERN("Idempotency-Key: \"n%d\"\r\n", "echo"), (int)nth);
    int before = g.servers[0].calls;
    struct gwt_http c;
    g.oom = 1;
    gwt_connect(&g, &c);
    gwt_post(&c, "/mcp", headers, GWT_MODERN_CALL("1", "echo"));
    mg_mem_fail_after(nth, 0);
    for (int t = 0; t < 2000 && !c.eof && !c.reset && !(c.buf && strstr(c.buf, "}")); t++) gwt_read(&c, 2);
    fired = mg_mem_failed() != 0;
    mg_mem_fail_after(0, 0);
    gwt_close(&c);
    g.oom = 0;
    int status = gwt_ask(&g, "/mcp", headers, GWT_MODERN_CALL("2", "echo"), &out);
    ck_assert_msg(status == 200, "%d at %d: %s", status, (int)nth, out ? out : "");
    if (strstr(out, "\"hi\"")) replayed_or_done++;
    else if (strstr(out, "OUTCOME_UNKNOWN")) unknown++;
    else ck_abort_msg("at %d: %s", (int)nth, out);
    free(out);
    ck_assert_int_le(g.servers[0].calls - before, 1);
  }
  ck_assert_uint_gt(nth, 20);
  ck_assert_uint_lt(nth, 2000);
  ck_assert_int_gt(replayed_or_done, 20);
  ck_assert_uint_eq((uint64_t)(replayed_or_done + unknown), nth - 1);
}
END_TEST

Suite *gateway_keyed_suite(void) {
  Suite *s = suite_create("gateway/keyed");
  TCase *t = tcase_create("keyed");
  tcase_set_timeout(t, 60);
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, once_and_the_same_bytes_again);
  tcase_add_test(t, a_key_may_stand_in_three_places);
  tcase_add_test(t, other_arguments_are_a_conflict);
  tcase_add_test(t, errors_of_the_server_are_outcomes);
  tcase_add_test(t, in_flight_is_joined_and_all_get_it);
  tcase_add_test(t, a_client_that_vanishes_finds_its_result);
  tcase_add_test(t, a_lost_reply_is_unknown_and_stays_so);
  tcase_add_test(t, over_a_restart);
  tcase_add_test(t, legacy_and_many_servers);
  tcase_add_test(t, a_question_keeps_the_record_open);
  tcase_add_test(t, without_a_store_a_key_is_refused_by_name);
  tcase_add_test(t, two_gateways_in_one_process_do_it_once);
  tcase_add_test(t, want_of_memory_breaks_no_promise);
  suite_add_tcase(s, t);
  return s;
}
