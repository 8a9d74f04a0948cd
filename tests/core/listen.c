/* tests/core/listen: subscriptions/listen towards one upstream and several: the acknowledgement first, every
 * message under the client's own subscription id, and proper ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define LISTEN(id, filter) MODERN(id, "subscriptions/listen", "\"notifications\":" filter ",")
#define SUB "\"" MCP_NS "subscriptionId\":"

static void up(struct core_rig *r, const char *servers) {
  core_up(r, servers, NULL);
  for (size_t i = 0; i < CORE_SERVERS; i++) r->servers[i].modern = 1;
}

static struct core_sink *listen_to(struct core_rig *r, const char *text) {
  struct core_sink *s = core_sink(r);
  core_modern(s, text);
  core_settle(r);
  return s;
}

static void ack(struct core_port *p, const char *filter) {
  unsigned long long call = core_sent(p, "subscriptions/listen", 0)->call;
  core_hear(p, call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{" SUB "%llu},\"notifications\":%s}}", call, filter);
}

static void tell(struct core_port *p, const char *method) {
  unsigned long long call = core_sent(p, "subscriptions/listen", 0)->call;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s\",\"params\":{\"_meta\":{" SUB "%llu,\"dev.mcpgw/x\":1}}}", method, call);
}

START_TEST(one_upstream_is_passed_through) {
  struct core_rig r;
  up(&r, ONE);
  r.closes = 1;
  struct core_sink *s = listen_to(&r, LISTEN("\"s\\u0031\"", "{\"toolsListChanged\":true,\"x\":1.0}"));
  struct core_port *p = core_port(&r, 0);
  struct core_sent *m = core_last(p);
  core_has(m->text, "\"notifications\":{\"toolsListChanged\":true,\"x\":1.0}");
  ck_assert_uint_eq(m->long_lived, 1);
  core_has(m->headers, "Mcp-Method: subscriptions/listen\n");
  ck_assert_uint_eq(mg_core_calls(r.core), 0); /* nobody waits for its end */
  ack(p, "{\"toolsListChanged\":true}");
  ck_assert_str_eq(core_text(s, 0), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{" SUB "\"s\\u0031\"},\"notifications\":{\"toolsListChanged\":true}}}");
  tell(p, "tools/list_changed");
  ck_assert_str_eq(core_text(s, 1), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{" SUB "\"s\\u0031\"}}}");
  core_tick(&r, 36000000); /* hours later */
  ck_assert_int_eq(s->finals, 0);
  core_hear(p, m->call, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"_meta\":{" SUB "%llu}}}", (unsigned long long)m->call, (unsigned long long)m->call);
  ck_assert_str_eq(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":\"s\\u0031\",\"result\":{\"resultType\":\"complete\",\"_meta\":{" SUB "\"s\\u0031\"}}}");
  core_down(&r);
}
END_TEST

START_TEST(a_filter_must_be_there) {
  struct core_rig r;
  up(&r, ONE);
  core_has(core_final(listen_to(&r, MODERN("1", "subscriptions/listen", ""))), "-32602");
  core_has(core_final(listen_to(&r, LISTEN("1", "[]"))), "-32602");
  ck_assert_uint_eq(r.n_ports, 0);
  ck_assert_uint_eq(mg_core_calls(r.core), 0);
  core_down(&r);
}
END_TEST

START_TEST(several_acknowledge_together) {
  struct core_rig r;
  up(&r, TWO);
  r.servers[0].resources = "[{\"uri\":\"a:1\"}]";
  r.servers[1].resources = "[{\"uri\":\"b:1\"}]";
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourceSubscriptions\":[\"b:1\",\"a:1\",\"c:1\",5]}"));
  core_has(core_sent(core_port(&r, 0), "subscriptions/listen", 0)->text, "\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourceSubscriptions\":[\"a:1\"]}");
  core_has(core_sent(core_port(&r, 1), "subscriptions/listen", 0)->text, "\"resourceSubscriptions\":[\"b:1\"]}"); /* each only its own: a URI may be a secret */
  ack(core_port(&r, 1), "{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"b:1\"]}");
  ck_assert_uint_eq(s->n, 0);
  ack(core_port(&r, 0), "{\"promptsListChanged\":true,\"resourceSubscriptions\":[\"a:1\"]}");
  ck_assert_str_eq(core_text(s, 0), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{" SUB "7},\"notifications\":"
                                    "{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourceSubscriptions\":[\"a:1\",\"b:1\"]}}}");
  ck_assert_uint_eq(s->n, 1);
  ack(core_port(&r, 0), "{}"); /* again: nothing */
  ck_assert_uint_eq(s->n, 1);
  tell(core_port(&r, 1), "tools/list_changed");
  core_has(core_text(s, 1), SUB "7}");
  core_lacks(core_text(s, 1), "dev.mcpgw");
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

START_TEST(the_acknowledgement_comes_first) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true}"));
  ack(core_port(&r, 0), "{\"toolsListChanged\":true}");
  tell(core_port(&r, 0), "tools/list_changed"); /* before the other one has acknowledged */
  core_has(core_text(s, 0), "subscriptions/acknowledged");
  core_has(core_text(s, 1), "tools/list_changed");
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

START_TEST(who_does_not_acknowledge_is_not_waited_for) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true,\"promptsListChanged\":true}"));
  ack(core_port(&r, 0), "{\"toolsListChanged\":true}");
  core_tick(&r, 4999);
  ck_assert_uint_eq(s->n, 0);
  core_tick(&r, 1);
  core_has(core_text(s, 0), "\"notifications\":{\"toolsListChanged\":true}");
  ack(core_port(&r, 1), "{\"promptsListChanged\":true}");
  ck_assert_uint_eq(s->n, 2); /* no second acknowledgement: what may have changed before it came */
  core_has(core_text(s, 1), "notifications/prompts/list_changed");
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

/* One that acknowledged and then left is not taken for the other's acknowledgement. */
START_TEST(who_leaves_does_not_answer_for_the_other) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true,\"promptsListChanged\":true}"));
  ack(core_port(&r, 0), "{\"toolsListChanged\":true}");
  ack(core_port(&r, 0), "{\"toolsListChanged\":true}"); /* twice: still one */
  ck_assert_uint_eq(s->n, 0);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_UNKNOWN);
  ck_assert_uint_eq(s->n, 0);
  ack(core_port(&r, 1), "{\"promptsListChanged\":true}");
  core_has(core_text(s, 0), "\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":true}");
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

/* Upstreams come and go; the subscription stays, and whoever comes back is listened to again. */
START_TEST(it_outlives_its_upstreams) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true}"));
  struct core_port *a = core_port(&r, 0), *b = core_port(&r, 1);
  core_close(a, MCPGW_DELIVERED_UNKNOWN);
  ck_assert_int_eq(s->finals, 0);
  if (_i) core_close(b, MCPGW_DELIVERED_UNKNOWN);
  else core_hear(b, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%llu}}",
                 (unsigned long long)core_sent(b, "subscriptions/listen", 0)->call); /* the server tears it down */
  core_has(core_text(s, 0), "subscriptions/acknowledged");
  core_tick(&r, 1000);
  core_settle(&r);
  core_tick(&r, 1000);
  core_settle(&r);
  ck_assert_ptr_ne(core_port(&r, 0), a);
  core_has(core_sent(core_port(&r, 0), "subscriptions/listen", 0)->text, "\"toolsListChanged\":true");
  ck_assert_uint_eq(s->n, 1);
  ack(core_port(&r, 0), "{\"toolsListChanged\":true}");
  core_has(core_text(s, 1), "tools/list_changed"); /* it may have changed meanwhile */
  core_has(core_text(s, 1), SUB "7}");
  ck_assert_int_eq(s->finals, 0);
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

START_TEST(it_ends_when_all_refuse_it) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true}"));
  core_error(core_port(&r, 0), core_sent(core_port(&r, 0), "subscriptions/listen", 0)->call, -32601);
  ck_assert_uint_eq(s->n, 0);
  core_error(core_port(&r, 1), core_sent(core_port(&r, 1), "subscriptions/listen", 0)->call, -32601);
  core_has(core_text(s, 0), "\"notifications\":{}");
  core_has(core_final(s), "\"id\":7,\"result\":{\"resultType\":\"complete\"");
  core_has(core_final(s), SUB "7}");
  core_down(&r);
}
END_TEST

START_TEST(a_single_upstream_that_leaves_is_an_error) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{}"));
  core_close(core_port(&r, 0), MCPGW_DELIVERED_UNKNOWN);
  core_has(core_final(s), "UPSTREAM_UNAVAILABLE");
  core_down(&r);
}
END_TEST

START_TEST(leaving_cancels_it_everywhere) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true}"));
  core_sink_gone(s);
  core_tick(&r, 0);
  core_tick(&r, 4999);
  core_lacks(core_last(core_port(&r, 0))->text, "notifications/cancelled"); /* somebody may come */
  core_tick(&r, 1);
  for (size_t i = 0; i < 2; i++) {
    struct core_port *p = core_port(&r, i);
    char want[100];
    snprintf(want, sizeof want, "\"requestId\":%llu", (unsigned long long)core_sent(p, "subscriptions/listen", 0)->call);
    core_has(core_last(p)->text, "notifications/cancelled");
    core_has(core_last(p)->text, want);
  }
  uint64_t before = mg_core_stats(r.core)->dropped_notifications;
  tell(core_port(&r, 0), "tools/list_changed");
  ck_assert_uint_eq(mg_core_stats(r.core)->dropped_notifications, before + 1);
  core_down(&r);
}
END_TEST

START_TEST(draining_ends_them_properly) {
  struct core_rig r;
  up(&r, TWO);
  struct core_sink *many = listen_to(&r, LISTEN("7", "{\"toolsListChanged\":true}"));
  struct core_sink *one = core_sink(&r), *call = core_sink(&r);
  core_say(&r, NULL, one, (struct mg_view){0, 1, 0}, LISTEN("\"x\"", "{}"));
  core_say(&r, NULL, call, (struct mg_view){0, 1, 0}, MODERN("9", "prompts/get", "\"name\":\"p\","));
  core_settle(&r);
  mg_core_drain(r.core);
  core_has(core_final(many), "\"id\":7,\"result\":{\"resultType\":\"complete\"");
  core_has(core_final(one), "\"id\":\"x\",\"result\":{\"resultType\":\"complete\"");
  ck_assert_int_eq(call->finals, 0); /* it may finish */
  core_result(core_port(&r, 0), core_sent(core_port(&r, 0), "prompts/get", 0)->call, "{}");
  ck_assert_int_eq(call->finals, 1);
  core_down(&r);
}
END_TEST

START_TEST(notifications_of_foreign_subscriptions_are_dropped) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *s = listen_to(&r, LISTEN("7", "{}"));
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{" SUB "999}}}");
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{" SUB "\"7\"}}}");
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  ck_assert_uint_eq(s->n, 0);
  ck_assert_uint_eq(mg_core_stats(r.core)->dropped_notifications, 3);
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

START_TEST(with_nobody_there_it_is_refused) {
  struct core_rig r;
  up(&r, TWO);
  r.open_rc = MCPGW_E_IO;
  core_has(core_final(listen_to(&r, LISTEN("7", "{}"))), "UPSTREAM_UNAVAILABLE");
  core_down(&r);
}
END_TEST

Suite *core_listen_suite(void) {
  Suite *s = suite_create("core/listen");
  TCase *t = tcase_create("listen");
  tcase_add_test(t, one_upstream_is_passed_through);
  tcase_add_test(t, a_filter_must_be_there);
  tcase_add_test(t, several_acknowledge_together);
  tcase_add_test(t, the_acknowledgement_comes_first);
  tcase_add_test(t, who_does_not_acknowledge_is_not_waited_for);
  tcase_add_test(t, who_leaves_does_not_answer_for_the_other);
  tcase_add_loop_test(t, it_outlives_its_upstreams, 0, 2);
  tcase_add_test(t, it_ends_when_all_refuse_it);
  tcase_add_test(t, a_single_upstream_that_leaves_is_an_error);
  tcase_add_test(t, leaving_cancels_it_everywhere);
  tcase_add_test(t, draining_ends_them_properly);
  tcase_add_test(t, notifications_of_foreign_subscriptions_are_dropped);
  tcase_add_test(t, with_nobody_there_it_is_refused);
  suite_add_tcase(s, t);
  return s;
}
