/* tests/core/limits: what keeps calls from waiting for ever. */
#include <stdio.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define TOOL(id, name) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" name "\",\"_meta\":{\"progressToken\":\"p\"}}}"
#define LIST(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"}"
#define A(settings) "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{" settings "}}}"

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
  return s;
}
