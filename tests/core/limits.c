/* tests/core/limits: what keeps calls from waiting for ever. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define TOOL(id, name) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name "\",\"_meta\":{\"progressToken\":\"p\"}}}"
#define LIST(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"}"
#define R(settings) "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{" settings "}}}"
#define A(settings) R("\"retries\":{\"attempts\":1}," settings)

/* ---- time --------------------------------------------------------------------------------------------------- */

static void expect_timeout(const struct core_sink *s, const char *limit, const char *delivered) {
  char want[100];
  core_has(core_final(s), "\"reason\":\"UPSTREAM_TIMEOUT\",\"upstream\":\"a\"");
  core_has(core_final(s), limit);
  snprintf(want, sizeof want, "\"delivered\":\"%s\"", delivered);
  core_has(core_final(s), want);
}

START_TEST(the_first_byte_may_be_waited_for) {
  struct core_rig r;
  core_up(&r, A("\"timeouts\":{\"first_byte_ms\":3000,\"total_ms\":60000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, TOOL("1", "t"));
  core_legacy(ctx, t, TOOL("2", "t"));
  uint64_t answered = core_last(p)->call, silent = answered - 1;
  mg_link_on_sent(p->link, silent);
  core_tick(&r, 2999);
  mg_link_on_alive(p->link, answered, r.now);
  core_tick(&r, 1);
  expect_timeout(s, "\"limit\":\"first_byte_ms\",\"limit_ms\":3000", "unknown");
  core_has(core_final(s), "did not answer tools/call within 3000 ms (first_byte_ms)");
  ck_assert_int_eq(core_cancelled(p, silent), 1);
  core_has(core_sent(p, "notifications/cancelled", 0)->text, "requestId\":");
  core_tick(&r, 50000); /* its first byte came: it has its whole time */
  ck_assert_int_eq(t->finals, 0);
  core_tick(&r, 7000);
  expect_timeout(t, "\"limit\":\"total_ms\",\"limit_ms\":60000", "yes");
  core_down(&r);
}
END_TEST

/* What counts as a sign of life: 0 bytes on the call's exchange, 1 progress for it, 2 a message on its exchange. */
START_TEST(silence_has_a_limit_that_signs_of_life_move) {
  struct core_rig r;
  core_up(&r, A("\"timeouts\":{\"idle_ms\":1000,\"total_ms\":10000}"), NULL);
  r.closes = 1;
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, TOOL("1", "t"));
  uint64_t call = core_last(p)->call;
  for (int i = 0; i < 5; i++) {
    core_tick(&r, 900);
    if (_i == 0) mg_link_on_alive(p->link, call, r.now);
    if (_i == 1)
      core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":%d}}",
                (unsigned long long)call, i);
    if (_i == 2) core_hear(p, call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}");
  }
  mg_link_on_alive(p->link, call + 1, r.now); /* another's, long gone */
  core_tick(&r, 999);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1);
  expect_timeout(s, "\"limit\":\"idle_ms\",\"limit_ms\":1000", "yes");
  core_down(&r);
}
END_TEST

START_TEST(signs_of_life_never_move_the_total) {
  struct core_rig r;
  core_up(&r, A("\"timeouts\":{\"idle_ms\":1000,\"total_ms\":5000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, TOOL("1", "t"));
  for (int i = 0; i < 9; i++) {
    core_tick(&r, 500);
    mg_link_on_alive(p->link, core_last(p)->call, r.now);
  }
  core_tick(&r, 499);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1);
  expect_timeout(s, "\"limit\":\"total_ms\",\"limit_ms\":5000", "yes");
  ck_assert_uint_eq(mg_core_stats(r.core)->timeouts, 1);
  core_down(&r);
}
END_TEST

/* The first pattern that fits wins, however the name is spelt; what it leaves out is as the server has it. */
START_TEST(a_tool_has_limits_of_its_own) {
  static const struct {
    const char *tool, *limit;
    uint64_t ms;
  } rows[] = {{"slow_one", "\"limit\":\"idle_ms\",\"limit_ms\":4000", 4000},
              {"slow_two", "\"limit\":\"total_ms\",\"limit_ms\":2500", 2500},
              {"sl\\u006fw_two", "\"limit\":\"total_ms\",\"limit_ms\":2500", 2500},
              {"slow_three", "\"limit\":\"idle_ms\",\"limit_ms\":2000", 2000},
              {"other", "\"limit\":\"idle_ms\",\"limit_ms\":2000", 2000}};
  struct core_rig r;
  core_up(&r, A("\"timeouts\":{\"idle_ms\":2000,\"total_ms\":60000},\"tools\":{\"slow_one\":{\"timeouts\":{\"idle_ms\":4000}},"
                "\"*_two\":{\"timeouts\":{\"idle_ms\":9000,\"total_ms\":2500}},\"slow_*\":{\"effect\":\"read\"},"
                "\"slow_three\":{\"timeouts\":{\"idle_ms\":1}}}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  char text[300];
  snprintf(text, sizeof text, TOOL("1", "%s"), rows[_i].tool);
  core_legacy(ctx, s, "%s", text);
  ck_assert_uint_eq(mg_core_next_ms(r.core), r.now + rows[_i].ms);
  core_tick(&r, rows[_i].ms - 1);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1);
  expect_timeout(s, rows[_i].limit, "no");
  core_down(&r);
}
END_TEST

/* In a merged view the limits are those of the tool's own name, and a list is under list_ms. */
START_TEST(limits_behind_a_merged_view) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"timeouts\":{\"list_ms\":700},\"tools\":{\"t\":{\"timeouts\":{\"total_ms\":900}}}}},"
              "\"b\":{\"url\":\"http://b/mcp\"}}", NULL);
  r.servers[0].tools = "[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, TOOL("1", "a__t"));
  core_settle(&r);
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "\"name\":\"t\"", 0));
  core_tick(&r, 900);
  expect_timeout(s, "\"limit\":\"total_ms\",\"limit_ms\":900", "no");
  core_down(&r);
}
END_TEST

/* The handshake takes its time, but no call waits for it longer than it may live. */
START_TEST(waiting_for_a_connection_counts) {
  struct core_rig r;
  core_up(&r, A("\"timeouts\":{\"total_ms\":4000}"), NULL);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  core_modern(s, MODERN("1", "tools/call", "\"name\":\"t\","));
  core_tick(&r, 1000);
  core_modern(t, MODERN("2", "tools/call", "\"name\":\"t\","));
  core_tick(&r, 2999);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1);
  expect_timeout(s, "\"limit\":\"total_ms\",\"limit_ms\":4000", "no");
  core_has(core_final(s), "for a connection");
  ck_assert_int_eq(t->finals, 0);
  r.servers[0].modern = 1;
  core_settle(&r);
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "tools/call", 0));
  core_tick(&r, 1000); /* 4000 since it came, 1000 since it was sent */
  expect_timeout(t, "\"limit\":\"total_ms\",\"limit_ms\":4000", "no");
  core_down(&r);
}
END_TEST

/* The transport's own verdict names its limit too. */
START_TEST(a_connection_has_a_limit) {
  struct core_rig r;
  core_up(&r, A("\"timeouts\":{\"connect_ms\":1234},\"tools\":{\"far\":{\"timeouts\":{\"connect_ms\":77}}}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, TOOL("1", "t"));
  core_fail(p, core_last(p)->call, MCPGW_E_TIMEOUT, MCPGW_DELIVERED_NO, 0);
  expect_timeout(s, "\"limit\":\"connect_ms\",\"limit_ms\":1234", "no");
  core_legacy(ctx, s, TOOL("2", "far"));
  core_fail(p, core_last(p)->call, MCPGW_E_TIMEOUT, MCPGW_DELIVERED_NO, 0);
  expect_timeout(s, "\"limit\":\"connect_ms\",\"limit_ms\":77", "no");
  core_legacy(ctx, s, TOOL("3", "t"));
  core_fail(p, core_last(p)->call, MCPGW_E_TIMEOUT, MCPGW_DELIVERED_UNKNOWN, 504);
  core_lacks(core_final(s), "limit_ms");
  core_down(&r);
}
END_TEST

/* ---- places --------------------------------------------------------------------------------------------------- */

#define STDIO(settings) "{\"a\":{\"command\":\"a\",\"gateway\":{" settings "}},\"b\":{\"url\":\"http://b/mcp\"}}"

static struct core_sink *ask(struct mg_ctx *ctx, struct core_rig *r, int id, const char *tool) {
  struct core_sink *s = core_sink(r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\"}}", id, tool);
  return s;
}

static size_t sent_calls(struct core_port *p) {
  size_t n = 0;
  while (core_sent(p, "tools/call", n)) n++;
  return n;
}

START_TEST(so_many_run_so_many_wait_the_rest_is_refused) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":2,\"queue\":3}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  struct core_sink *s[8];
  for (int i = 0; i < 6; i++) s[i] = ask(ctx, &r, i, "t");
  ck_assert_uint_eq(sent_calls(p), 2);
  ck_assert_uint_eq(mg_core_queued(r.core), 3);
  core_has(core_final(s[5]), "\"reason\":\"OVERLOADED\",\"upstream\":\"a\",\"delivered\":\"no\",\"retry_after_ms\":");
  core_has(core_final(s[5]), "2 calls run (limits.concurrency) and 3 wait (limits.queue)");
  ck_assert_int_eq(core_status(s[5]), 200);
  core_has(r.last_log, "gate.full");
  s[6] = core_sink(&r); /* what steers is never held up */
  core_legacy(ctx, s[6], LIST("6"));
  core_serve(&r);
  ck_assert_int_eq(s[6]->finals, 1);
  for (size_t i = 0; i < 5; i++) { /* in the order they came */
    ck_assert_uint_eq(sent_calls(p), i + 2 > 5 ? 5 : i + 2);
    core_result(p, core_sent(p, "tools/call", i)->call, "{}");
    core_has(core_final(s[i]), "\"result\"");
    if (i < 3) ck_assert_uint_eq(mg_core_next_ms(r.core), 0);
    core_tick(&r, 0);
  }
  ck_assert_uint_eq(mg_core_queued(r.core), 0);
  ck_assert_uint_eq(mg_core_stats(r.core)->queued, 3);
  ck_assert_uint_eq(mg_core_stats(r.core)->queue_full, 1);
  s[7] = ask(ctx, &r, 7, "t");
  ck_assert_uint_eq(sent_calls(p), 6);
  core_result(p, core_last(p)->call, "{}");
  core_down(&r);
}
END_TEST

START_TEST(the_wait_for_a_place_counts) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":1},\"timeouts\":{\"total_ms\":5000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  struct core_sink *a = ask(ctx, &r, 1, "t"), *b, *c;
  core_tick(&r, 1000);
  b = ask(ctx, &r, 2, "t");
  core_tick(&r, 2000);
  core_result(p, core_last(p)->call, "{}");
  core_tick(&r, 0);
  ck_assert_int_eq(a->finals, 1);
  c = ask(ctx, &r, 3, "t");
  ck_assert_uint_eq(sent_calls(p), 2);
  core_tick(&r, 3000); /* five since b came, three since it was sent */
  expect_timeout(b, "\"limit\":\"total_ms\",\"limit_ms\":5000", "no");
  ck_assert_uint_eq(sent_calls(p), 3); /* c has its place */
  core_down(&r);
  (void)c;
}
END_TEST

START_TEST(who_waits_in_vain_is_told) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":1},\"timeouts\":{\"total_ms\":9000},\"tools\":{\"q\":{\"timeouts\":{\"total_ms\":500}}}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  ask(ctx, &r, 1, "t");
  struct core_sink *b = ask(ctx, &r, 2, "q");
  core_tick(&r, 500);
  expect_timeout(b, "\"limit\":\"total_ms\",\"limit_ms\":500", "no");
  core_has(core_final(b), "for a free place (limits.concurrency)");
  ck_assert_uint_eq(sent_calls(core_port(&r, 0)), 1);
  ck_assert_uint_eq(mg_core_queued(r.core), 0);
  core_down(&r);
}
END_TEST

/* 0 by notification, 1 its client goes, 2 its context ends: it leaves the queue and nobody sends it. */
START_TEST(a_queued_call_can_be_taken_back) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":1}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1), *other = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0); /* the newest: other's */
  ask(other, &r, 1, "holder");
  struct core_sink *b = ask(ctx, &r, 2, "gone"), *c = ask(other, &r, 3, "next");
  ck_assert_uint_eq(mg_core_queued(r.core), 2);
  if (_i == 0) core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":2}}");
  if (_i == 1) core_sink_gone(b);
  if (_i == 2) mg_core_end(r.core, ctx, "revoked");
  ck_assert_uint_eq(mg_core_queued(r.core), 1);
  core_result(p, core_sent(p, "holder", 0)->call, "{}");
  core_tick(&r, 0);
  for (size_t i = 0; i < r.n_ports; i++) ck_assert_ptr_null(core_sent(r.ports[i], "gone", 0));
  core_result(p, core_sent(p, "next", 0)->call, "{}");
  core_has(core_final(c), "\"result\"");
  core_down(&r);
}
END_TEST

/* The place was handed on, and its new holder goes away before its turn: the next one gets it. */
START_TEST(a_place_on_its_way_is_not_lost) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":1}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  ask(ctx, &r, 1, "holder");
  struct core_sink *b = ask(ctx, &r, 2, "gone"), *c = ask(ctx, &r, 3, "next");
  core_result(p, core_last(p)->call, "{}");
  core_sink_gone(b);
  core_tick(&r, 0);
  ck_assert_ptr_null(core_sent(p, "gone", 0));
  ck_assert_ptr_nonnull(core_sent(p, "next", 0));
  ck_assert_int_eq(c->finals, 0);
  core_down(&r);
}
END_TEST

START_TEST(tools_have_places_of_their_own) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":3,\"queue\":1},\"tools\":{\"slow_*\":{\"limits\":{\"concurrency\":1,\"queue\":2}}}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  struct core_sink *s[6];
  for (int i = 0; i < 4; i++) s[i] = ask(ctx, &r, i, i % 2 ? "slow_a" : "slow_b");
  core_has(core_final(s[3]), "upstream \\\"a\\\", tools \\\"slow_*\\\", is busy: 1 calls run");
  ck_assert_uint_eq(sent_calls(p), 1);
  s[4] = ask(ctx, &r, 4, "fast"); /* one slow tool holds up none of the rest */
  s[5] = ask(ctx, &r, 5, "fast");
  ck_assert_uint_eq(sent_calls(p), 3);
  ask(ctx, &r, 6, "fast"); /* waits for the server */
  core_result(p, core_sent(p, "slow_", 0)->call, "{}");
  core_tick(&r, 0); /* the server's place goes to who waited for it, the tool's to a slow one, which is refused there */
  ck_assert_uint_eq(sent_calls(p), 4);
  core_has(core_final(s[0]), "\"result\"");
  ck_assert_uint_eq(mg_core_queued(r.core), 2);
  core_down(&r);
}
END_TEST

START_TEST(a_tool_has_a_longest_answer) {
  struct core_rig r;
  core_up(&r, A("\"tools\":{\"short_*\":{\"limits\":{\"result_bytes\":1024}}}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  char text[1200];
  memset(text, 'x', sizeof text);
  for (int i = 0; i < 2; i++) {
    struct core_sink *s = ask(ctx, &r, i, i ? "long" : "short_one");
    core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"c\":\"%.*s\"}}", (unsigned long long)core_last(p)->call, (int)sizeof text, text);
    if (i) core_has(core_final(s), "\"result\":{\"c\":\"xxx");
    else core_has(core_final(s), "\"reason\":\"PAYLOAD_TOO_LARGE\",\"upstream\":\"a\",\"delivered\":\"yes\"");
  }
  core_down(&r);
}
END_TEST

/* Sessions with a process each do not share places; sessions at one URL do. */
START_TEST(a_process_has_its_own_places) {
  struct core_rig r;
  core_up(&r, STDIO("\"limits\":{\"concurrency\":1}"), NULL);
  struct mg_ctx *one = core_session(&r, 0, 1), *two = core_session(&r, 0, 1);
  ask(one, &r, 1, "t");
  ask(two, &r, 1, "t");
  ck_assert_uint_eq(mg_core_queued(r.core), 0);
  struct core_sink *s = ask(two, &r, 2, "second");
  ck_assert_uint_eq(mg_core_queued(r.core), 1);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO); /* its process dies: it goes to the next one */
  core_settle(&r);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  while (!core_sent(p, "second", 0)) { /* the first of two goes again before it */
    core_result(p, core_last(p)->call, "{}");
    core_tick(&r, 0);
  }
  core_result(p, core_sent(p, "second", 0)->call, "{}");
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(the_end_of_the_gateway_finds_those_that_wait) {
  struct core_rig r;
  core_up(&r, A("\"limits\":{\"concurrency\":1}"), NULL);
  r.servers[0].modern = 1;
  struct core_sink *a = core_sink(&r), *b = core_sink(&r);
  core_modern(a, MODERN("1", "tools/call", "\"name\":\"t\","));
  core_modern(b, MODERN("2", "tools/call", "\"name\":\"t\","));
  core_settle(&r);
  core_settle(&r);
  ck_assert_uint_eq(mg_core_queued(r.core), 1);
  mg_core_end_all(r.core);
  core_has(core_final(b), "the gateway is stopping");
  core_has(core_final(b), "\"delivered\":\"no\"");
  ck_assert_uint_eq(mg_core_calls(r.core), 0);
  core_down(&r);
}
END_TEST

/* ---- the breaker ------------------------------------------------------------------------------------------------ */

#define BREAKER "\"breaker\":{\"window_ms\":10000,\"min_calls\":4,\"failure_percent\":50,\"open_ms\":5000}"

static struct core_sink *call_that_fails(struct core_rig *r, struct mg_ctx *ctx, int id, int code, uint32_t status) {
  struct core_sink *s = ask(ctx, r, id, "t");
  struct core_port *p = core_port(r, 0);
  if (!s->finals) core_fail(p, core_last(p)->call, code, MCPGW_DELIVERED_YES, status);
  return s;
}

static unsigned long long retry_in(const struct core_sink *s) {
  const char *at = strstr(core_final(s), "\"retry_after_ms\":");
  ck_assert_msg(at != NULL, "%s", core_final(s));
  return strtoull(at + 17, NULL, 10);
}

static struct mg_ctx *broken(struct core_rig *r, const char *servers, struct core_sink **refused) {
  core_up(r, servers, NULL);
  struct mg_ctx *ctx = core_session(r, 0, 1);
  for (int i = 0; i < 4; i++) {
    struct core_sink *s = call_that_fails(r, ctx, i, MCPGW_E_IO, 503);
    core_has(core_final(s), "the wire was cut");
  }
  ck_assert_uint_eq(mg_core_breakers(r->core), 1);
  *refused = ask(ctx, r, 9, "t");
  core_has(core_final(*refused), "\"reason\":\"UPSTREAM_UNAVAILABLE\",\"upstream\":\"a\",\"delivered\":\"no\",\"retry_after_ms\":");
  core_has(core_final(*refused), "4 of its last 4 calls failed");
  return ctx;
}

START_TEST(failed_calls_open_it_and_a_ping_closes_it) {
  struct core_rig r;
  struct core_sink *s;
  struct mg_ctx *ctx = broken(&r, A(BREAKER), &s);
  struct core_port *p = core_port(&r, 0);
  size_t calls = sent_calls(p);
  ck_assert_uint_ge(retry_in(s), 2500);
  ck_assert_uint_le(retry_in(s), 5000);
  core_tick(&r, retry_in(s) - 1);
  core_has(core_final(ask(ctx, &r, 10, "t")), "UNAVAILABLE");
  core_tick(&r, 1);
  struct core_sink *one = ask(ctx, &r, 11, "t"), *two = ask(ctx, &r, 12, "t");
  ck_assert_int_eq(one->finals + two->finals, 0); /* they wait for the probe */
  ck_assert_uint_eq(sent_calls(p), calls);        /* which is no tool call */
  ck_assert_uint_eq(mg_core_breakers(r.core), 1);
  core_has(core_last(p)->text, "\"method\":\"ping\"");
  if (_i == 0) core_result(p, core_last(p)->call, "{}");
  else core_error(p, core_last(p)->call, -32601); /* whoever says that is there */
  core_tick(&r, 0);
  ck_assert_uint_eq(sent_calls(p), calls + 2);
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  core_has(r.last_log, "breaker.closed");
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(two), "\"result\"");
  ck_assert_uint_eq(mg_core_stats(r.core)->breaker_opened, 1);
  ck_assert_uint_eq(mg_core_stats(r.core)->breaker_refused, 2);
  core_down(&r);
}
END_TEST

START_TEST(a_probe_that_fails_makes_the_pause_longer) {
  struct core_rig r;
  struct core_sink *s;
  struct mg_ctx *ctx = broken(&r, A(BREAKER ",\"timeouts\":{\"connect_ms\":1000,\"list_ms\":1000}"), &s);
  struct core_port *p = core_port(&r, 0);
  unsigned long long ms = retry_in(s), longest = 0;
  for (int i = 0; i < 6; i++) {
    core_tick(&r, ms);
    s = ask(ctx, &r, 20 + i, "t");
    ck_assert_int_eq(s->finals, 0);
    core_has(core_last(p)->text, "\"method\":\"ping\"");
    if (i % 2) core_tick(&r, 2000); /* it stays silent */
    else core_fail(p, core_last(p)->call, MCPGW_E_IO, MCPGW_DELIVERED_NO, 0);
    core_tick(&r, 0);
    core_has(core_final(s), "left alone for a while");
    ms = retry_in(s);
    if (ms > longest) longest = ms;
  }
  ck_assert_uint_ge(longest, 30000);
  ck_assert_uint_le(longest, 60000);
  ck_assert_uint_eq(sent_calls(p), 4);
  core_down(&r);
}
END_TEST

START_TEST(what_does_not_count) {
  struct core_rig r;
  core_up(&r, A(BREAKER ",\"limits\":{\"concurrency\":1},\"timeouts\":{\"total_ms\":1000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < 5; i++) { /* its own errors, refusals by status, our own lack of room, cancels */
    ask(ctx, &r, 1, "t");
    core_error(p, core_last(p)->call, -32603);
    call_that_fails(&r, ctx, 1, MCPGW_E_DENIED, 401);
    call_that_fails(&r, ctx, 1, MCPGW_E_LIMIT, 0);
    call_that_fails(&r, ctx, 1, MCPGW_E_NOMEM, 0);
    struct core_sink *s = ask(ctx, &r, 1, "t");
    core_sink_gone(s);
    core_tick(&r, 0);
  }
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  core_down(&r);
}
END_TEST

/* Time-outs, lost calls and broken replies do; but not those that only waited for a place. */
START_TEST(what_counts) {
  struct core_rig r;
  core_up(&r, A(BREAKER ",\"timeouts\":{\"total_ms\":1000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  if (_i == 0) {
    for (int i = 0; i < 4; i++) ask(ctx, &r, i, "t");
    core_tick(&r, 1000);
  }
  for (int i = 0; _i == 1 && i < 4; i++) call_that_fails(&r, ctx, i, MCPGW_E_CLOSED, 0);
  for (int i = 0; _i == 2 && i < 4; i++) call_that_fails(&r, ctx, i, MCPGW_E_PARSE, 200);
  ck_assert_uint_eq(mg_core_breakers(r.core), 1);
  core_has(r.last_log, "breaker.open");
  core_down(&r);
}
END_TEST

START_TEST(calls_that_waited_for_a_place_prove_nothing) {
  struct core_rig r;
  core_up(&r, A(BREAKER ",\"limits\":{\"concurrency\":1},\"timeouts\":{\"total_ms\":1000}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < 8; i++) {
    ask(ctx, &r, 2 * i, "t");
    ask(ctx, &r, 2 * i + 1, "t");
    core_tick(&r, 900);
    core_result(p, core_last(p)->call, "{}");
    core_tick(&r, 0);
    core_tick(&r, 100); /* the second had 100 of its 1000 ms at the server */
  }
  ck_assert_uint_eq(mg_core_stats(r.core)->timeouts, 8);
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  core_down(&r);
}
END_TEST

START_TEST(old_failures_are_forgotten_and_good_calls_weigh) {
  struct core_rig r;
  core_up(&r, A(BREAKER), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < 12; i++) { /* three in ten seconds, for ever */
    call_that_fails(&r, ctx, i, MCPGW_E_IO, 503);
    core_tick(&r, 4000);
  }
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  core_tick(&r, 10000);
  for (int i = 0; i < 5; i++) {
    ask(ctx, &r, 1, "t");
    core_result(p, core_last(p)->call, "{}");
  }
  for (int i = 0; i < 3; i++) call_that_fails(&r, ctx, i, MCPGW_E_IO, 503);
  ck_assert_uint_eq(mg_core_breakers(r.core), 0); /* less than a half */
  for (int i = 0; i < 2; i++) call_that_fails(&r, ctx, i, MCPGW_E_IO, 503);
  ck_assert_uint_eq(mg_core_breakers(r.core), 1);
  core_down(&r);
}
END_TEST

START_TEST(it_can_be_switched_off) {
  struct core_rig r;
  core_up(&r, A("\"breaker\":{\"enabled\":false,\"min_calls\":2}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  for (int i = 0; i < 50; i++) core_has(core_final(call_that_fails(&r, ctx, i, MCPGW_E_IO, 503)), "the wire was cut");
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  core_down(&r);
}
END_TEST

/* Modern: the probe is server/discover on the shared link. */
START_TEST(a_modern_server_is_discovered_again) {
  struct core_rig r;
  core_up(&r, A(BREAKER), NULL);
  r.servers[0].modern = 1;
  r.closes = 1;
  struct core_sink *s = core_sink(&r);
  for (int i = 0; i < 4; i++) {
    core_modern(s, MODERN("1", "tools/call", "\"name\":\"t\","));
    core_settle(&r);
    core_settle(&r);
    core_fail(core_port(&r, 0), core_last(core_port(&r, 0))->call, MCPGW_E_IO, MCPGW_DELIVERED_UNKNOWN, 0);
  }
  ck_assert_uint_eq(mg_core_breakers(r.core), 1);
  size_t finals = (size_t)s->finals;
  core_tick(&r, 5000);
  core_modern(s, MODERN("2", "tools/call", "\"name\":\"t\","));
  ck_assert_uint_eq((size_t)s->finals, finals);
  core_has(core_last(core_port(&r, 0))->text, "\"method\":\"server/discover\"");
  core_has(core_last(core_port(&r, 0))->headers, "Mcp-Method: server/discover");
  for (int i = 0; i < 3; i++) core_settle(&r); /* it answers, and the call goes */
  core_has(core_last(core_port(&r, 0))->text, "tools/call");
  core_down(&r);
}
END_TEST

/* Who waits for a place at a server that is given up is told at once. */
START_TEST(it_empties_the_queue) {
  struct core_rig r;
  core_up(&r, A(BREAKER ",\"limits\":{\"concurrency\":4}"), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  struct core_sink *s[10];
  for (int i = 0; i < 10; i++) s[i] = ask(ctx, &r, i, "t");
  for (size_t i = 0; i < 4; i++) core_fail(p, core_sent(p, "tools/call", i)->call, MCPGW_E_IO, MCPGW_DELIVERED_YES, 503);
  core_tick(&r, 0);
  for (int i = 4; i < 10; i++) core_has(core_final(s[i]), "\"reason\":\"UPSTREAM_UNAVAILABLE\",\"upstream\":\"a\",\"delivered\":\"no\"");
  ck_assert_uint_eq(sent_calls(p), 4);
  ck_assert_uint_eq(mg_core_queued(r.core), 0);
  core_down(&r);
}
END_TEST

/* The prober's context ends before the answer: another one asks. */
START_TEST(a_probe_may_be_orphaned) {
  struct core_rig r;
  struct core_sink *s;
  struct mg_ctx *ctx = broken(&r, A(BREAKER), &s), *other;
  core_tick(&r, 5000);
  other = core_session(&r, 0, 1); /* its handshake is a probe, and closes it */
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  for (int i = 0; i < 4; i++) {
    ask(other, &r, i, "t");
    core_fail(core_port(&r, 0), core_last(core_port(&r, 0))->call, MCPGW_E_IO, MCPGW_DELIVERED_YES, 503);
  }
  ck_assert_uint_eq(mg_core_breakers(r.core), 1);
  core_tick(&r, 20000);
  struct core_sink *a = ask(other, &r, 10, "t"), *b = ask(ctx, &r, 11, "t");
  ck_assert_int_eq(a->finals + b->finals, 0);
  mg_core_end(r.core, other, "revoked");
  core_has(core_final(a), "CONTEXT_ENDED");
  core_tick(&r, 0);
  core_has(core_last(r.ports[0])->text, "\"method\":\"ping\"");
  core_result(r.ports[0], core_last(r.ports[0])->call, "{}");
  core_tick(&r, 0);
  core_result(r.ports[0], core_last(r.ports[0])->call, "{}");
  core_has(core_final(b), "\"result\"");
  core_down(&r);
}
END_TEST

/* A child that cannot be started, or dies at once: nobody is left to ask, and its restarts are ever rarer. */
START_TEST(a_crash_loop_opens_it) {
  struct core_rig r;
  core_up(&r, STDIO(""), NULL);
  unsigned long long last = 0;
  for (int i = 0; i < 8; i++) {
    struct core_sink *s = core_sink(&r);
    core_initialize(&r, s, 0, 1, NULL);
    core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
    core_tick(&r, 0);
    ck_assert_uint_eq(mg_core_breakers(r.core), 1);
    s = core_sink(&r);
    core_initialize(&r, s, 0, 1, NULL);
    core_has(core_final(s), "it ended");
    last = retry_in(s);
    core_tick(&r, last);
  }
  ck_assert_uint_ge(last, 15000);
  ck_assert_uint_eq(r.n_ports, 8);
  core_session(&r, 0, 1);
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  core_down(&r);
}
END_TEST

/* With a session that works, a new one that fails holds up new ones only. */
START_TEST(a_failed_start_holds_up_only_starts) {
  struct core_rig r;
  core_up(&r, STDIO(""), NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_initialize(&r, s, 0, 1, NULL);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  ck_assert_uint_eq(mg_core_breakers(r.core), 0);
  struct core_sink *t = core_sink(&r), *u = ask(ctx, &r, 1, "t");
  core_initialize(&r, t, 0, 1, NULL);
  ck_assert_uint_le(retry_in(t), 500);
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(u), "\"result\"");
  core_down(&r);
}
END_TEST

/* ---- requests a principal ------------------------------------------------------------------------------------------- */

START_TEST(a_caller_has_a_rate) {
  struct core_rig r;
  core_up(&r, A("\"era\":\"auto\""), "{\"limits\":{\"rate\":{\"burst\":5,\"per_s\":2}}}");
  struct mg_ctx *ctx = core_session(&r, 0, 1); /* initialize is the first of five */
  struct core_port *p = core_port(&r, 0);
  struct core_sink *s = NULL;
  for (int i = 0; i < 5; i++) s = ask(ctx, &r, i, "t");
  ck_assert_uint_eq(sent_calls(p), 4);
  core_has(core_final(s), "\"reason\":\"OVERLOADED\",\"delivered\":\"no\",\"retry_after_ms\":500");
  ck_assert_int_eq(core_status(s), 200);
  s = core_sink(&r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}"); /* free */
  core_has(core_final(s), "\"result\"");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":0}}");
  ck_assert_ptr_nonnull(core_sent(p, "notifications/cancelled", 0));
  r.principal = "another"; /* has a bucket of its own */
  struct mg_ctx *other = core_session(&r, 0, 1);
  ask(other, &r, 1, "t");
  ck_assert_uint_eq(sent_calls(core_port(&r, 0)), 1);
  r.principal = "local";
  core_tick(&r, 499);
  core_has(core_final(ask(ctx, &r, 10, "t")), "OVERLOADED");
  core_tick(&r, 1);
  ask(ctx, &r, 11, "t");
  ck_assert_uint_eq(sent_calls(p), 5);
  core_tick(&r, 100000); /* no more than the burst is saved up */
  size_t before = sent_calls(p);
  for (int i = 20; i < 30; i++) ask(ctx, &r, i, "t");
  ck_assert_uint_eq(sent_calls(p), before + 5);
  core_down(&r);
}
END_TEST

START_TEST(who_goes_on_regardless_is_known) {
  struct core_rig r;
  core_up(&r, A("\"era\":\"auto\""), "{\"limits\":{\"rate\":{\"burst\":1,\"per_s\":1}}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  for (int i = 0; i < 8; i++) {
    ck_assert_uint_eq(mg_core_rate_wait(r.core, MG_LIT("local"), r.now), 0);
    core_modern(s, MODERN("1", "prompts/get", "\"name\":\"t\","));
  }
  ck_assert_uint_eq(mg_core_rate_wait(r.core, MG_LIT("local"), r.now), 0);
  core_modern(s, MODERN("1", "prompts/get", "\"name\":\"t\","));
  ck_assert_uint_eq(mg_core_rate_wait(r.core, MG_LIT("local"), r.now), 1000);
  ck_assert_uint_eq(mg_core_rate_wait(r.core, MG_LIT("somebody"), r.now), 0);
  core_tick(&r, 1000);
  ck_assert_uint_eq(mg_core_rate_wait(r.core, MG_LIT("local"), r.now), 0);
  ck_assert_uint_eq(mg_core_stats(r.core)->rate_limited, 9);
  core_down(&r);
}
END_TEST

Suite *core_limits_suite(void) {
  Suite *s = suite_create("core/limits");
  TCase *t = tcase_create("time");
  tcase_add_test(t, the_first_byte_may_be_waited_for);
  tcase_add_loop_test(t, silence_has_a_limit_that_signs_of_life_move, 0, 3);
  tcase_add_test(t, signs_of_life_never_move_the_total);
  tcase_add_loop_test(t, a_tool_has_limits_of_its_own, 0, 5);
  tcase_add_test(t, limits_behind_a_merged_view);
  tcase_add_test(t, waiting_for_a_connection_counts);
  tcase_add_test(t, a_connection_has_a_limit);
  suite_add_tcase(s, t);
  t = tcase_create("places");
  tcase_add_test(t, so_many_run_so_many_wait_the_rest_is_refused);
  tcase_add_test(t, the_wait_for_a_place_counts);
  tcase_add_test(t, who_waits_in_vain_is_told);
  tcase_add_loop_test(t, a_queued_call_can_be_taken_back, 0, 3);
  tcase_add_test(t, a_place_on_its_way_is_not_lost);
  tcase_add_test(t, tools_have_places_of_their_own);
  tcase_add_test(t, a_tool_has_a_longest_answer);
  tcase_add_test(t, a_process_has_its_own_places);
  tcase_add_test(t, the_end_of_the_gateway_finds_those_that_wait);
  suite_add_tcase(s, t);
  t = tcase_create("breaker");
  tcase_add_loop_test(t, failed_calls_open_it_and_a_ping_closes_it, 0, 2);
  tcase_add_test(t, a_probe_that_fails_makes_the_pause_longer);
  tcase_add_test(t, what_does_not_count);
  tcase_add_loop_test(t, what_counts, 0, 3);
  tcase_add_test(t, calls_that_waited_for_a_place_prove_nothing);
  tcase_add_test(t, old_failures_are_forgotten_and_good_calls_weigh);
  tcase_add_test(t, it_can_be_switched_off);
  tcase_add_test(t, a_modern_server_is_discovered_again);
  tcase_add_test(t, it_empties_the_queue);
  tcase_add_test(t, a_probe_may_be_orphaned);
  tcase_add_test(t, a_crash_loop_opens_it);
  tcase_add_test(t, a_failed_start_holds_up_only_starts);
  suite_add_tcase(s, t);
  t = tcase_create("rate");
  tcase_add_test(t, a_caller_has_a_rate);
  tcase_add_test(t, who_goes_on_regardless_is_known);
  suite_add_tcase(s, t);
  return s;
}
