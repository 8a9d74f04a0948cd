/* tests/core/suspect: processes that crash in a loop, that hear nothing any more, that babble. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define STDIO "{\"a\":{\"command\":\"a\",\"gateway\":{\"timeouts\":{\"connect_ms\":1000,\"list_ms\":2000,\"total_ms\":4000}," \
              "\"limits\":{\"children\":30}}}}"
#define HTTP "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"timeouts\":{\"total_ms\":4000}}}}"
#define CALL(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}"

static unsigned long long retry_in(const struct core_sink *s) {
  const char *at = strstr(core_final(s), "\"retry_after_ms\":");
  ck_assert_msg(at != NULL, "%s", core_final(s));
  return strtoull(at + 17, NULL, 10);
}

/* A session whose process answers one call and dies in the next, ms after its start. */
static void poisoned(struct core_rig *r, uint64_t ms) {
  struct mg_ctx *ctx = core_session(r, 0, 1);
  struct core_port *p = core_port(r, 0);
  struct core_sink *good = core_sink(r), *bad = core_sink(r);
  core_legacy(ctx, good, CALL("1"));
  core_result(p, core_last(p)->call, "{}");
  core_tick(r, ms);
  core_legacy(ctx, bad, CALL("2"));
  mg_link_on_sent(p->link, core_last(p)->call);
  core_close(p, MCPGW_DELIVERED_UNKNOWN);
  core_has(core_final(bad), "OUTCOME_UNKNOWN");
  mg_core_end(r->core, ctx, "test");
  core_tick(r, 0);
}

static struct core_sink *refused(struct core_rig *r) {
  struct core_sink *s = core_sink(r);
  size_t ports = r->n_ports;
  core_initialize(r, s, 0, 1, NULL);
  core_has(core_final(s), "UPSTREAM_UNAVAILABLE");
  ck_assert_uint_eq(r->n_ports, ports);
  return s;
}

START_TEST(a_loop_of_crashes_is_held_up) {
  struct core_rig r;
  core_up(&r, STDIO, NULL);
  for (int i = 0; i < 5; i++) poisoned(&r, 100); /* each of them had greeted and answered */
  struct core_sink *s = refused(&r);
  core_has(core_final(s), "5 processes of it ended within 10 s of their start, one after the other; the last: upstream \\\"a\\\": it ended");
  unsigned long long first = retry_in(s), last = first;
  ck_assert_uint_le(first, 1000);
  ck_assert_uint_ge(first, 500);
  for (int i = 0; i < 6; i++) { /* one may try, and the pause grows */
    core_tick(&r, last);
    poisoned(&r, 100);
    last = retry_in(refused(&r));
  }
  ck_assert_uint_ge(last, 30000);
  ck_assert_uint_eq(mg_core_stats(r.core)->crash_loops, 7);
  core_tick(&r, last);
  poisoned(&r, 10000); /* that one lived: all is forgiven */
  for (int i = 0; i < 4; i++) poisoned(&r, 100);
  core_session(&r, 0, 1);
  core_down(&r);
}
END_TEST

START_TEST(who_has_a_process_goes_on) {
  struct core_rig r;
  core_up(&r, STDIO, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < 5; i++) poisoned(&r, 100);
  (void)refused(&r);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("1"));
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(who_dies_together_is_no_loop) {
  struct core_rig r;
  struct mg_ctx *ctx[8];
  core_up(&r, STDIO, NULL);
  for (int i = 0; i < 8; i++) {
    ctx[i] = core_session(&r, 0, 1);
    core_legacy(ctx[i], core_sink(&r), CALL("1"));
    core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
    core_tick(&r, 10);
  }
  for (size_t i = 0; i < 8; i++) {
    core_close(r.ports[i], MCPGW_DELIVERED_NO);
    core_tick(&r, 10);
  }
  for (int i = 0; i < 8; i++) mg_core_end(r.core, ctx[i], "test");
  for (int i = 0; i < 2; i++) poisoned(&r, 100);
  core_session(&r, 0, 1);
  ck_assert_uint_eq(mg_core_stats(r.core)->crash_loops, 0);
  core_down(&r);
}
END_TEST

START_TEST(rare_deaths_are_no_loop) {
  struct core_rig r;
  core_up(&r, STDIO, NULL);
  for (int i = 0; i < 12; i++) {
    poisoned(&r, 100);
    core_tick(&r, 121000);
  }
  core_session(&r, 0, 1);
  ck_assert_uint_eq(mg_core_stats(r.core)->crash_loops, 0);
  core_down(&r);
}
END_TEST

/* ---- deaf ------------------------------------------------------------------------------------------------------ */

static struct mg_ctx *timed_out(struct core_rig *r, const char *servers, int word) {
  core_up(r, servers, NULL);
  struct mg_ctx *ctx = core_session(r, 0, 1);
  struct core_port *p = core_port(r, 0);
  struct core_sink *s = core_sink(r);
  core_legacy(ctx, s, CALL("1"));
  core_result(p, core_last(p)->call, "{}");
  core_tick(r, 50);
  core_legacy(ctx, s, CALL("2"));
  mg_link_on_sent(p->link, core_last(p)->call);
  core_tick(r, 2000);
  if (word) core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  core_tick(r, 2000);
  core_has(core_final(s), "UPSTREAM_TIMEOUT");
  core_has(core_final(s), "\"delivered\":\"unknown\"");
  return ctx;
}

START_TEST(a_deaf_process_is_killed) {
  struct core_rig r;
  struct mg_ctx *ctx = timed_out(&r, STDIO, 0);
  struct core_port *p = core_port(&r, 0);
  core_has(core_last(p)->text, "\"method\":\"ping\"");
  core_tick(&r, 2999); /* connect_ms + list_ms */
  ck_assert_int_eq(p->closed, 0);
  core_tick(&r, 1);
  ck_assert_int_eq(p->closed, 1);
  ck_assert_int_eq(p->graceful, 0);
  ck_assert_uint_eq(mg_core_stats(r.core)->links_deaf, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("3"));
  core_has(core_final(s), "STATE_LOST");
  core_down(&r);
}
END_TEST

START_TEST(a_slow_process_is_not) {
  struct core_rig r;
  struct mg_ctx *ctx = timed_out(&r, STDIO, 0);
  struct core_port *p = core_port(&r, 0);
  struct core_sink *s = core_sink(&r);
  core_tick(&r, 2900);
  if (_i) core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  else core_result(p, core_last(p)->call, "{}");
  core_tick(&r, 1000);
  ck_assert_int_eq(p->closed, 0);
  core_legacy(ctx, s, CALL("3"));
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

/* Something came meanwhile, or each call has its own exchange: there is nothing to ask. */
START_TEST(nobody_is_asked_without_need) {
  struct core_rig r;
  (void)timed_out(&r, _i ? HTTP : STDIO, !_i);
  struct core_port *p = core_port(&r, 0);
  core_tick(&r, 60000);
  ck_assert_ptr_null(core_sent(p, "\"ping\"", 0));
  ck_assert_int_eq(p->closed, 0);
  core_down(&r);
}
END_TEST

START_TEST(two_late_calls_ask_once) {
  struct core_rig r;
  core_up(&r, STDIO, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  core_tick(&r, 10);
  core_legacy(ctx, core_sink(&r), CALL("1"));
  core_legacy(ctx, core_sink(&r), CALL("2"));
  core_tick(&r, 4000);
  ck_assert_ptr_nonnull(core_sent(p, "\"ping\"", 0));
  ck_assert_ptr_null(core_sent(p, "\"ping\"", 1));
  mg_core_end(r.core, ctx, "test"); /* while it is being asked */
  core_tick(&r, 4000);
  core_down(&r);
}
END_TEST

/* ---- babble ---------------------------------------------------------------------------------------------------- */

static void count(void *data, int level, const char *line, size_t len) {
  (void)level;
  if (memmem(line, len, "upstream.protocol", 17) || memmem(line, len, "upstream.unknown_id", 19)) ++*(int *)data;
}

START_TEST(babble_is_counted_and_not_logged_whole) {
  struct core_rig r;
  int lines = 0;
  core_up(&r, STDIO, NULL);
  core_session(&r, 0, 1);
  core_tick(&r, 5000);
  r.log.write = count;
  r.log.data = &lines;
  for (int i = 0; i < 1000; i++) core_hear(core_port(&r, 0), 0, i & 1 ? "{ a: 1 }" : "{\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":{}}");
  ck_assert_int_eq(lines, 10);
  ck_assert_uint_eq(mg_core_stats(r.core)->upstream_protocol, 500);
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_ids, 500);
  core_tick(&r, 1000);
  core_hear(core_port(&r, 0), 0, "{ a: 1 }");
  ck_assert_int_eq(lines, 12); /* the line, and how many were not shown */
  r.log.write = NULL;
  core_down(&r);
}
END_TEST

Suite *core_suspect_suite(void) {
  Suite *s = suite_create("core/suspect");
  TCase *t = tcase_create("suspect");
  tcase_add_test(t, a_loop_of_crashes_is_held_up);
  tcase_add_test(t, who_has_a_process_goes_on);
  tcase_add_test(t, who_dies_together_is_no_loop);
  tcase_add_test(t, rare_deaths_are_no_loop);
  tcase_add_test(t, a_deaf_process_is_killed);
  tcase_add_loop_test(t, a_slow_process_is_not, 0, 2);
  tcase_add_loop_test(t, nobody_is_asked_without_need, 0, 2);
  tcase_add_test(t, two_late_calls_ask_once);
  tcase_add_test(t, babble_is_counted_and_not_logged_whole);
  suite_add_tcase(s, t);
  return s;
}
