/* tests/core/cache: replies to list requests that are served again while their ttlMs lasts. */
#include <stdio.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define LIST(id, more) MODERN(id, "tools/list", more)
#define REPLY "{\"resultType\":\"complete\", \"tools\":[ {\"name\":\"t\", \"n\":1.10} ],\"x\":[0.1],\"ttlMs\":5000,\"cacheScope\":\"public\"}"

static void up(struct core_rig *r) {
  core_up(r, ONE, NULL);
  r->servers[0].modern = 1;
  struct core_sink *s = core_sink(r); /* the link is there, and its list known for routing */
  core_modern(s, MODERN("0", "prompts/get", "\"name\":\"p\","));
  core_settle(r);
  core_result(core_port(r, 0), core_last(core_port(r, 0))->call, "{}");
}

/* A list request that goes upstream: answered with result. */
static struct core_sink *fetch(struct core_rig *r, const char *text, const char *result) {
  struct core_sink *s = core_sink(r);
  size_t before = core_port(r, 0)->n;
  core_modern(s, text);
  core_tick(r, 0);
  ck_assert_uint_eq(core_port(r, 0)->n, before + 1);
  core_result(core_port(r, 0), core_last(core_port(r, 0))->call, result);
  ck_assert_int_eq(s->finals, 1);
  return s;
}

/* One that does not. */
static struct core_sink *kept(struct core_rig *r, const char *text) {
  struct core_sink *s = core_sink(r);
  size_t before = core_port(r, 0)->n;
  core_modern(s, text);
  core_tick(r, 0);
  ck_assert_uint_eq(core_port(r, 0)->n, before);
  ck_assert_int_eq(s->finals, 1);
  return s;
}

START_TEST(a_reply_is_served_again_while_it_is_fresh) {
  struct core_rig r;
  up(&r);
  core_has(core_final(fetch(&r, LIST("1", ""), REPLY)), "\"id\":1,");
  core_tick(&r, 2000);
  struct core_sink *s = kept(&r, LIST("\"two\"", ""));
  core_has(core_final(s), "\"id\":\"two\",");
  core_has(core_final(s), "\"tools\":[ {\"name\":\"t\", \"n\":1.10} ],\"x\":[0.1],\"ttlMs\":3000,");
  core_tick(&r, 2999);
  core_has(core_final(kept(&r, LIST("3", ""))), "\"ttlMs\":1,");
  core_tick(&r, 1);
  fetch(&r, LIST("4", ""), REPLY);
  ck_assert_uint_eq(mg_core_stats(r.core)->lists_cached, 2);
  core_down(&r);
}
END_TEST

START_TEST(the_key_is_method_and_parameters) {
  struct core_rig r;
  up(&r);
  fetch(&r, LIST("1", ""), REPLY);
  fetch(&r, LIST("2", "\"cursor\":\"c\","), REPLY);
  fetch(&r, LIST("3", "\"x\":1,"), REPLY);
  fetch(&r, MODERN("4", "prompts/list", ""), "{\"resultType\":\"complete\",\"prompts\":[],\"ttlMs\":5000,\"cacheScope\":\"public\"}");
  kept(&r, LIST("5", "\"cursor\":\"c\","));
  core_has(core_final(kept(&r, MODERN("6", "prompts/list", ""))), "\"prompts\":[]");
  /* members of _meta that change nothing, and one that might */
  kept(&r, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"progressToken\":1,\"traceparent\":\"00-1-1-00\",\"" MCP_NS
           "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{},\"" MCP_NS "clientInfo\":{\"name\":\"n\",\"version\":\"1\"}}}}");
  fetch(&r, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"com.example/x\":1,\"" MCP_NS
            "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{}}}}", REPLY);
  fetch(&r, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP_NS
            "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{\"elicitation\":{}}}}}", REPLY);
  core_down(&r);
}
END_TEST

/* Or somebody's _meta would decide what others see. */
START_TEST(a_member_of_meta_is_no_parameter) {
  struct core_rig r;
  up(&r);
  fetch(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP_NS
            "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{},\"cursor\":\"c\"}}}", REPLY);
  fetch(&r, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP_NS
            "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{}},\"cursor\":\"c\"}}", REPLY);
  core_down(&r);
}
END_TEST

START_TEST(what_may_not_be_kept_is_not) {
  static const char *const replies[] = {
      "{\"resultType\":\"complete\",\"tools\":[],\"ttlMs\":0,\"cacheScope\":\"public\"}",
      "{\"resultType\":\"complete\",\"tools\":[]}",
      "{\"resultType\":\"complete\",\"tools\":[],\"ttlMs\":-5,\"cacheScope\":\"public\"}",
      "{\"resultType\":\"complete\",\"tools\":[],\"ttlMs\":1.5,\"cacheScope\":\"public\"}",
      "{\"resultType\":\"input_required\",\"inputRequests\":{},\"requestState\":\"s\",\"ttlMs\":5000,\"cacheScope\":\"public\"}",
  };
  struct core_rig r;
  up(&r);
  for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
    fetch(&r, LIST("1", ""), replies[i]);
    fetch(&r, LIST("2", ""), replies[i]);
  }
  core_down(&r);
}
END_TEST

START_TEST(a_log_level_asks_for_more_than_the_reply) {
  struct core_rig r;
  const char *wants = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"" MCP_NS "logLevel\":\"info\",\"" MCP_NS
                      "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{}}}}";
  up(&r);
  fetch(&r, wants, REPLY);
  fetch(&r, wants, REPLY);
  core_down(&r);
}
END_TEST

START_TEST(a_change_drops_it_at_once) {
  struct core_rig r;
  up(&r);
  fetch(&r, LIST("1", ""), REPLY);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}");
  kept(&r, LIST("2", ""));
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  /* what was asked for before the change may be older than it */
  struct core_sink *early = core_sink(&r);
  core_modern(early, LIST("3", ""));
  uint64_t call = core_last(core_port(&r, 0))->call;
  core_tick(&r, 10);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  core_result(core_port(&r, 0), call, REPLY);
  ck_assert_int_eq(early->finals, 1);
  core_tick(&r, 10);
  fetch(&r, LIST("4", ""), REPLY);
  kept(&r, LIST("5", ""));
  core_down(&r);
}
END_TEST

/* Expires what is kept, then three clients ask. */
static void three(struct core_rig *r, struct core_sink *s[3], uint64_t *call) {
  up(r);
  fetch(r, LIST("1", ""), REPLY);
  core_tick(r, 6000);
  size_t before = core_port(r, 0)->n;
  for (int i = 0; i < 3; i++) {
    s[i] = core_sink(r);
    core_modern(s[i], LIST("9", ""));
  }
  ck_assert_uint_eq(core_port(r, 0)->n, before + 1); /* one refresh at a time */
  *call = core_last(core_port(r, 0))->call;
}

START_TEST(one_refresh_at_a_time) {
  struct core_rig r;
  struct core_sink *s[3];
  uint64_t call;
  three(&r, s, &call);
  core_result(core_port(&r, 0), call, REPLY);
  core_tick(&r, 0);
  for (int i = 0; i < 3; i++) core_has(core_final(s[i]), "\"ttlMs\":5000");
  core_down(&r);
}
END_TEST

START_TEST(who_waited_asks_himself_when_it_came_to_nothing) {
  for (int how = 0; how < 3; how++) {
    struct core_rig r;
    struct core_sink *s[3];
    uint64_t call;
    three(&r, s, &call);
    size_t before = core_port(&r, 0)->n;
    if (how == 0) core_sink_gone(s[0]);
    if (how == 1) core_error(core_port(&r, 0), call, -32603);
    if (how == 2) core_result(core_port(&r, 0), call, "{\"resultType\":\"complete\",\"tools\":[],\"ttlMs\":0,\"cacheScope\":\"public\"}");
    core_tick(&r, 0);
    ck_assert_msg(core_port(&r, 0)->n >= before + 2, "%d", how);
    for (int i = 1; i < 3; i++) core_sink_gone(s[i]);
    core_down(&r);
  }
}
END_TEST

START_TEST(a_waiter_may_go_and_the_link_may_die) {
  struct core_rig r;
  struct core_sink *s[3];
  uint64_t call;
  three(&r, s, &call);
  core_sink_gone(s[1]);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_UNKNOWN);
  core_settle(&r);
  core_tick(&r, 60000);
  core_settle(&r);
  ck_assert_int_eq(s[0]->finals, 1);
  core_sink_gone(s[2]);
  core_down(&r);
}
END_TEST

START_TEST(there_is_a_ceiling) {
  struct core_rig r;
  char text[400];
  up(&r);
  struct core_sink *s = core_sink(&r);
  for (int i = 0; i < 400; i++) {
    snprintf(text, sizeof text, MODERN("1", "tools/list", "\"cursor\":\"%d\","), i);
    core_modern(s, text);
    core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, REPLY);
    ck_assert_int_eq(s->finals, i + 1);
    if (i == 300) kept(&r, MODERN("1", "tools/list", "\"cursor\":\"100\","));
  }
  kept(&r, MODERN("1", "tools/list", "\"cursor\":\"100\",")); /* it was used since */
  fetch(&r, MODERN("1", "tools/list", "\"cursor\":\"101\","), REPLY);
  core_down(&r);
}
END_TEST

Suite *core_cache_suite(void) {
  Suite *s = suite_create("core/cache");
  TCase *t = tcase_create("cache");
  tcase_add_test(t, a_reply_is_served_again_while_it_is_fresh);
  tcase_add_test(t, the_key_is_method_and_parameters);
  tcase_add_test(t, a_member_of_meta_is_no_parameter);
  tcase_add_test(t, what_may_not_be_kept_is_not);
  tcase_add_test(t, a_log_level_asks_for_more_than_the_reply);
  tcase_add_test(t, a_change_drops_it_at_once);
  tcase_add_test(t, one_refresh_at_a_time);
  tcase_add_test(t, who_waited_asks_himself_when_it_came_to_nothing);
  tcase_add_test(t, a_waiter_may_go_and_the_link_may_die);
  tcase_add_test(t, there_is_a_ceiling);
  suite_add_tcase(s, t);
  return s;
}
