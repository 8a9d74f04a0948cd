/* tests/core/retry: what goes again, how often, when; and what never does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define R(settings) "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"tools\":{\"look\":{\"effect\":\"read\"},\"set\":{\"effect\":\"idempotent\"}}" settings "}}}"

static struct core_sink *say(struct core_rig *r, struct mg_ctx *ctx, int id, const char *method, const char *params) {
  struct core_sink *s = core_sink(r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":{%s}}", id, method, params);
  return s;
}

static size_t times_sent(struct core_rig *r, const char *method) {
  char part[100];
  size_t all = 0;
  snprintf(part, sizeof part, "\"method\":\"%s\"", method);
  for (size_t i = 0; i < r->n_ports; i++)
    for (size_t n = 0; core_sent(r->ports[i], part, n); n++) all++;
  return all;
}

static void cut(struct core_rig *r, uint32_t delivered, uint32_t status, uint64_t retry_after_ms) {
  struct core_port *p = core_port(r, 0);
  mcpgw_failure f = {sizeof f, MCPGW_E_CLOSED, delivered, status, retry_after_ms, "the wire was cut"};
  mg_link_on_failed(p->link, core_last(p)->call, &f, r->now);
}

/* Time passes until something was sent anew; at most so long. */
static uint64_t until_sent(struct core_rig *r, const char *method, size_t n, uint64_t most_ms) {
  uint64_t ms = 0;
  for (; ms <= most_ms && times_sent(r, method) < n; ms++) core_tick(r, 1);
  return ms;
}

/* ---- what may go again -------------------------------------------------------------------------------------- */

static const struct {
  const char *method, *params;
  uint32_t delivered;
  int again;
} rows[] = {
    {"tools/call", "\"name\":\"t\"", MCPGW_DELIVERED_NO, 1}, /* it provably did not run */
    {"tools/call", "\"name\":\"t\"", MCPGW_DELIVERED_UNKNOWN, 0},
    {"tools/call", "\"name\":\"t\"", MCPGW_DELIVERED_YES, 0},
    {"tools/call", "\"name\":\"look\"", MCPGW_DELIVERED_UNKNOWN, 1},
    {"tools/call", "\"name\":\"look\"", MCPGW_DELIVERED_YES, 1},
    {"tools/call", "\"name\":\"set\"", MCPGW_DELIVERED_UNKNOWN, 1},
    {"tools/call", "\"name\":\"look\",\"task\":{\"ttl\":1}", MCPGW_DELIVERED_UNKNOWN, 0}, /* each run makes a task */
    {"resources/read", "\"uri\":\"a:1\"", MCPGW_DELIVERED_UNKNOWN, 1},
    {"prompts/get", "\"name\":\"p\"", MCPGW_DELIVERED_UNKNOWN, 1},
    {"completion/complete", "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"}", MCPGW_DELIVERED_UNKNOWN, 1},
    {"tools/list", "", MCPGW_DELIVERED_UNKNOWN, 1},
    {"prompts/list", "", MCPGW_DELIVERED_UNKNOWN, 1},
    {"logging/setLevel", "\"level\":\"info\"", MCPGW_DELIVERED_UNKNOWN, 1},
    {"resources/subscribe", "\"uri\":\"a:1\"", MCPGW_DELIVERED_UNKNOWN, 1},
    {"x/unknown", "", MCPGW_DELIVERED_UNKNOWN, 0},
    {"x/unknown", "", MCPGW_DELIVERED_NO, 1},
};

START_TEST(what_goes_again) {
  struct core_rig r;
  core_up(&r, R(""), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, rows[_i].method, rows[_i].params);
  cut(&r, rows[_i].delivered, 0, 0);
  ck_assert_int_eq(s->finals, !rows[_i].again);
  until_sent(&r, rows[_i].method, 2, 300);
  ck_assert_uint_eq(times_sent(&r, rows[_i].method), rows[_i].again ? 2 : 1);
  ck_assert_uint_eq(mg_core_stats(r.core)->retries, (uint64_t)rows[_i].again);
  if (rows[_i].again) {
    core_has(r.last_log, "\"event\":\"call.retry\"");
    core_has(r.last_log, "\"attempt\":\"2\"");
    core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
    core_has(core_final(s), "\"id\":1,\"result\":{}");
  }
  core_down(&r);
}
END_TEST

/* Which failures are worth another attempt: the tool may be repeated in each case. */
static const struct {
  int code;
  uint32_t status;
  int again;
} faults[] = {
    {MCPGW_E_IO, 0, 1},    {MCPGW_E_CLOSED, 200, 1}, {MCPGW_E_IO, 503, 1},  {MCPGW_E_IO, 429, 1},     {MCPGW_E_TIMEOUT, 504, 1},
    {MCPGW_E_IO, 404, 0},  {MCPGW_E_DENIED, 401, 0}, {MCPGW_E_LIMIT, 0, 0}, {MCPGW_E_PARSE, 200, 0},  {MCPGW_E_NOMEM, 0, 0},
};

START_TEST(which_failures_pass) {
  struct core_rig r;
  core_up(&r, R(""), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\"");
  core_fail(core_port(&r, 0), core_last(core_port(&r, 0))->call, faults[_i].code, MCPGW_DELIVERED_UNKNOWN, faults[_i].status);
  ck_assert_int_eq(s->finals, !faults[_i].again);
  core_down(&r);
}
END_TEST

START_TEST(an_answer_is_never_retried) {
  struct core_rig r;
  core_up(&r, R(""), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\"");
  core_error(core_port(&r, 0), core_last(core_port(&r, 0))->call, -32603);
  core_has(core_final(s), "-32603");
  core_down(&r);
}
END_TEST

/* What the client has heard on the way cannot be taken back: progress would start anew. */
START_TEST(a_call_that_has_spoken_is_not_repeated) {
  struct core_rig r;
  core_up(&r, R(""), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\",\"_meta\":{\"progressToken\":7}");
  struct core_port *p = core_port(&r, 0);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":1}}",
            (unsigned long long)core_last(p)->call);
  cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
  core_has(core_final(s), "OUTCOME_UNKNOWN");
  core_down(&r);
}
END_TEST

/* Annotations count where the config trusts them, and the config's own word counts more. */
START_TEST(annotations_count_where_they_are_trusted) {
  static const char tools[] = "[{\"name\":\"seen\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":{\"readOnlyHint\":true}},"
                              "{\"name\":\"same\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":{\"idempotentHint\":true}},"
                              "{\"name\":\"plain\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":{\"readOnlyHint\":false}},"
                              "{\"name\":\"no\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":{\"readOnlyHint\":true}}]";
  static const struct {
    const char *tool;
    int again;
  } want[] = {{"seen", 1}, {"same", 1}, {"plain", 0}, {"no", 0}};
  int trusted = _i < 4, modern = _i % 2;
  struct core_rig r;
  core_up(&r, trusted ? "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"trust_annotations\":true,\"tools\":{\"no\":{\"effect\":\"once\"}}}}}"
                      : "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"tools\":{\"no\":{\"effect\":\"once\"}}}}}", NULL);
  r.servers[0].tools = tools;
  r.servers[0].modern = modern ? 1 : -32601;
  r.closes = modern;
  struct mg_ctx *ctx = modern ? NULL : core_session(&r, 0, 1);
  if (ctx) {
    say(&r, ctx, 1, "tools/list", "");
    core_settle(&r);
  }
  for (size_t i = 0; i < 4; i++) {
    struct core_sink *s;
    char text[500];
    if (ctx) {
      snprintf(text, sizeof text, "\"name\":\"%s\"", want[i].tool);
      s = say(&r, ctx, 2, "tools/call", text);
    } else {
      s = core_sink(&r);
      snprintf(text, sizeof text, MODERN("2", "tools/call", "\"name\":\"%s\","), want[i].tool);
      core_modern(s, text);
      for (int k = 0; k < 3; k++) core_settle(&r);
    }
    cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
    ck_assert_msg(s->finals == !(trusted && want[i].again), "%s: %d", want[i].tool, s->finals);
    if (!s->finals) core_sink_gone(s);
  }
  core_down(&r);
}
END_TEST

/* ---- how often, and when ----------------------------------------------------------------------------------------- */

START_TEST(attempts_are_counted_and_pauses_grow) {
  struct core_rig r;
  core_up(&r, R(",\"retries\":{\"attempts\":4,\"base_ms\":1000},\"breaker\":{\"enabled\":false}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\"");
  for (size_t i = 1; i < 4; i++) {
    cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
    ck_assert_int_eq(s->finals, 0);
    until_sent(&r, "tools/call", i + 1, (uint64_t)1000 << (i - 1));
    ck_assert_uint_eq(times_sent(&r, "tools/call"), i + 1);
  }
  core_has(r.last_log, "\"attempt\":\"4\"");
  cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
  core_has(core_final(s), "\"reason\":\"OUTCOME_UNKNOWN\",\"upstream\":\"a\",\"delivered\":\"unknown\"");
  core_down(&r);
}
END_TEST

START_TEST(the_upstream_says_when) {
  struct core_rig r;
  core_up(&r, R(",\"timeouts\":{\"total_ms\":60000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"t\"");
  cut(&r, MCPGW_DELIVERED_NO, 429, 20000);
  core_tick(&r, 19999);
  ck_assert_uint_eq(times_sent(&r, "tools/call"), 1);
  until_sent(&r, "tools/call", 2, 200);
  ck_assert_uint_eq(times_sent(&r, "tools/call"), 2);
  cut(&r, MCPGW_DELIVERED_NO, 429, 50000); /* it would come too late: the client is told when, and decides */
  core_has(core_final(s), "\"reason\":\"UPSTREAM_UNAVAILABLE\",\"upstream\":\"a\",\"delivered\":\"no\",\"retry_after_ms\":50000");
  core_down(&r);
}
END_TEST

START_TEST(all_attempts_share_the_time) {
  struct core_rig r;
  core_up(&r, R(",\"timeouts\":{\"total_ms\":1000},\"retries\":{\"attempts\":10,\"base_ms\":1}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\"");
  core_tick(&r, 900);
  cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
  until_sent(&r, "tools/call", 2, 10);
  ck_assert_uint_eq(times_sent(&r, "tools/call"), 2);
  core_tick(&r, 1001000 - r.now);
  core_has(core_final(s), "\"reason\":\"UPSTREAM_TIMEOUT\"");
  core_has(core_final(s), "\"limit\":\"total_ms\",\"limit_ms\":1000");
  core_down(&r);
}
END_TEST

START_TEST(a_silent_server_may_be_asked_twice) {
  struct core_rig r;
  core_up(&r, R(",\"timeouts\":{\"first_byte_ms\":500,\"total_ms\":10000},\"retries\":{\"attempts\":2}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\"");
  uint64_t first = core_last(core_port(&r, 0))->call;
  mg_link_on_sent(core_port(&r, 0)->link, first);
  core_tick(&r, 500);
  ck_assert_int_eq(core_cancelled(core_port(&r, 0), first), 1);
  until_sent(&r, "tools/call", 2, 200);
  core_tick(&r, 500);
  core_has(core_final(s), "first_byte_ms");
  core_down(&r);
}
END_TEST

/* Ten at once, then one for every five calls. */
START_TEST(a_budget_bounds_them) {
  struct core_rig r;
  core_up(&r, R(",\"breaker\":{\"enabled\":false},\"retries\":{\"base_ms\":1}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  int told = 0;
  for (int i = 0; i < 40; i++) {
    struct core_sink *s = say(&r, ctx, i, "tools/call", "\"name\":\"look\"");
    cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
    told += s->finals;
    if (!s->finals) {
      until_sent(&r, "tools/call", times_sent(&r, "tools/call") + 1, 5);
      core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
      ck_assert_int_eq(s->finals, 1);
    }
  }
  ck_assert_int_ge(told, 40 - 18);
  ck_assert_int_le(told, 40 - 16);
  ck_assert_uint_eq(mg_core_stats(r.core)->retries_refused, (uint64_t)told);
  core_down(&r);
}
END_TEST

/* 0 by notification, 1 its client goes, 2 its context ends, 3 the gateway ends: between two attempts. */
START_TEST(a_pausing_call_can_be_taken_back) {
  struct core_rig r;
  core_up(&r, R(",\"retries\":{\"base_ms\":60000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = say(&r, ctx, 1, "tools/call", "\"name\":\"look\"");
  cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
  if (_i == 0) core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
  if (_i == 1) core_sink_gone(s);
  if (_i == 2) mg_core_end(r.core, ctx, "revoked");
  if (_i == 3) mg_core_end_all(r.core);
  ck_assert_uint_eq(mg_core_calls(r.core), 0);
  if (_i == 2) core_has(core_final(s), "CONTEXT_ENDED");
  core_tick(&r, 61000);
  ck_assert_uint_eq(times_sent(&r, "tools/call"), 1);
  core_down(&r);
}
END_TEST

/* It waits outside of its place, and takes a new one. */
START_TEST(a_pause_takes_no_place) {
  struct core_rig r;
  core_up(&r, R(",\"limits\":{\"concurrency\":1},\"retries\":{\"base_ms\":100}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *a = say(&r, ctx, 1, "tools/call", "\"name\":\"look\""), *b = say(&r, ctx, 2, "tools/call", "\"name\":\"t\"");
  cut(&r, MCPGW_DELIVERED_UNKNOWN, 0, 0);
  core_tick(&r, 0);
  ck_assert_uint_eq(times_sent(&r, "tools/call"), 2);
  core_tick(&r, 200);
  ck_assert_uint_eq(mg_core_queued(r.core), 1);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_tick(&r, 0);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{\"second\":1}");
  core_has(core_final(a), "second");
  core_has(core_final(b), "\"result\":{}");
  core_down(&r);
}
END_TEST

Suite *core_retry_suite(void) {
  Suite *s = suite_create("core/retry");
  TCase *t = tcase_create("retry");
  tcase_add_loop_test(t, what_goes_again, 0, (int)(sizeof rows / sizeof rows[0]));
  tcase_add_loop_test(t, which_failures_pass, 0, (int)(sizeof faults / sizeof faults[0]));
  tcase_add_test(t, an_answer_is_never_retried);
  tcase_add_test(t, a_call_that_has_spoken_is_not_repeated);
  tcase_add_loop_test(t, annotations_count_where_they_are_trusted, 0, 6);
  tcase_add_test(t, attempts_are_counted_and_pauses_grow);
  tcase_add_test(t, the_upstream_says_when);
  tcase_add_test(t, all_attempts_share_the_time);
  tcase_add_test(t, a_silent_server_may_be_asked_twice);
  tcase_add_test(t, a_budget_bounds_them);
  tcase_add_loop_test(t, a_pausing_call_can_be_taken_back, 0, 4);
  tcase_add_test(t, a_pause_takes_no_place);
  suite_add_tcase(s, t);
  return s;
}
