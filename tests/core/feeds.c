/* tests/core/feeds: listeners of one upstream share a stream: each hears what it asked for and was granted,
 * under its own subscription id, through wider and narrower wishes, losses and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define LISTEN(id, filter) MODERN(id, "subscriptions/listen", "\"notifications\":" filter ",")
#define SUB "\"" MCP_NS "subscriptionId\":"
#define TOOLS "{\"toolsListChanged\":true}"
#define PROMPTS "{\"promptsListChanged\":true}"
#define ALL "{\"toolsListChanged\":true,\"promptsListChanged\":true}"

static void up(struct core_rig *r, const char *servers) {
  core_up(r, servers, NULL);
  r->closes = 1;
  for (size_t i = 0; i < CORE_SERVERS; i++) r->servers[i].modern = 1;
}

static struct core_sink *listen_to(struct core_rig *r, const char *text) {
  struct core_sink *s = core_sink(r);
  core_modern(s, text);
  core_settle(r);
  return s;
}

/* The id of the nth stream that the gateway opened at a server. */
static unsigned long long stream(struct core_port *p, size_t nth) {
  struct core_sent *m = core_sent(p, "\"subscriptions/listen\"", nth);
  ck_assert_msg(m != NULL, "there is no stream %zu", nth);
  return m->call;
}

static void ack(struct core_port *p, size_t nth, const char *filter) {
  unsigned long long call = stream(p, nth);
  core_hear(p, call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{" SUB "%llu},\"notifications\":%s}}", call, filter);
  core_settle(p->rig);
}

static void tell(struct core_port *p, size_t nth, const char *method, const char *members) {
  unsigned long long call = stream(p, nth);
  core_hear(p, call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s\",\"params\":{%s\"_meta\":{" SUB "%llu,\"dev.mcpgw/x\":1}}}", method, members, call);
}

static void later(struct core_rig *r, uint64_t ms) {
  core_tick(r, ms);
  core_settle(r);
}

START_TEST(one_stream_serves_all) {
  struct core_rig r;
  struct core_sink *s[5];
  char text[512], want[64];
  up(&r, ONE);
  s[0] = listen_to(&r, LISTEN("\"s0\"", TOOLS));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  for (int i = 1; i < 5; i++) {
    snprintf(text, sizeof text, LISTEN("\"s%d\"", "%s"), i, TOOLS);
    s[i] = listen_to(&r, text);
    ck_assert_uint_eq(s[i]->n, 1); /* nobody has to be asked */
  }
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 1));
  tell(p, 0, "tools/list_changed", "");
  for (int i = 0; i < 5; i++) {
    snprintf(want, sizeof want, SUB "\"s%d\"", i);
    core_has(core_text(s[i], 0), "subscriptions/acknowledged");
    core_has(core_text(s[i], 0), "\"notifications\":" TOOLS);
    core_has(core_text(s[i], 0), want);
    core_has(core_text(s[i], 1), want);
    core_lacks(core_text(s[i], 1), "dev.mcpgw");
    ck_assert_uint_eq(s[i]->n, 2);
  }
  for (int i = 0; i < 4; i++) core_sink_gone(s[i]);
  tell(p, 0, "tools/list_changed", "");
  ck_assert_uint_eq(s[4]->n, 3);
  ck_assert_uint_eq(s[3]->n, 2);
  core_sink_gone(s[4]);
  core_down(&r);
}
END_TEST

START_TEST(a_wider_wish_leaves_no_gap) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  struct core_sink *b = listen_to(&r, LISTEN("2", PROMPTS));
  core_has(core_sent(p, "\"subscriptions/listen\"", 1)->text, "\"notifications\":" ALL);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 0); /* the old one stays until the new one is there */
  tell(p, 0, "tools/list_changed", "");
  ck_assert_uint_eq(a->n, 2);
  ck_assert_uint_eq(b->n, 0);
  ack(p, 1, ALL);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 1);
  core_has(core_text(b, 0), "\"notifications\":" PROMPTS);
  ck_assert_uint_eq(a->n, 2); /* no second acknowledgement, nothing repeated */
  tell(p, 1, "tools/list_changed", "");
  tell(p, 1, "prompts/list_changed", "");
  ck_assert_uint_eq(a->n, 3);
  core_has(core_text(a, 2), "tools/list_changed");
  ck_assert_uint_eq(b->n, 2);
  core_has(core_text(b, 1), "prompts/list_changed");
  core_sink_gone(a);
  core_sink_gone(b);
  core_down(&r);
}
END_TEST

START_TEST(only_what_was_granted_is_acknowledged) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", "{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourceSubscriptions\":[\"a:1\",\"a:2\"]}"));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, "{\"toolsListChanged\":true,\"resourcesListChanged\":true,\"resourceSubscriptions\":[\"a:2\",\"z:9\"]}");
  core_has(core_text(a, 0), "\"notifications\":{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a:2\"]}");
  struct core_sink *b = listen_to(&r, LISTEN("2", PROMPTS)); /* it has been asked, and was not granted */
  core_has(core_text(b, 0), "\"notifications\":{}");
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 1));
  core_sink_gone(a);
  core_sink_gone(b);
  core_down(&r);
}
END_TEST

/* An update goes to whoever asked for that resource, or for what it is a part of; to nobody else. */
START_TEST(updates_find_their_listeners) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", "{\"resourceSubscriptions\":[\"file:///a\",\"file:///ab\"]}"));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, "{\"resourceSubscriptions\":[\"file:///a\",\"file:///ab\"]}");
  struct core_sink *b = listen_to(&r, LISTEN("2", "{\"resourceSubscriptions\":[\"file:\\/\\/\\/b\"]}"));
  core_has(core_sent(p, "\"subscriptions/listen\"", 1)->text, "\"file:///ab\"");
  ack(p, 1, "{\"resourceSubscriptions\":[\"file:///a\",\"file:///ab\",\"file:///b\"]}");
  core_has(core_text(b, 0), "{\"resourceSubscriptions\":[\"file:///b\"]}");
  tell(p, 1, "resources/updated", "\"uri\":\"file:///\\u0062\",");
  ck_assert_uint_eq(a->n, 1);
  ck_assert_uint_eq(b->n, 2);
  core_has(core_text(b, 1), "\"uri\":\"file:///\\u0062\""); /* as it was written */
  tell(p, 1, "resources/updated", "\"uri\":\"file:///a/x\",");
  ck_assert_uint_eq(a->n, 2);
  ck_assert_uint_eq(b->n, 2);
  uint64_t before = mg_core_stats(r.core)->dropped_notifications;
  tell(p, 1, "resources/updated", "\"uri\":\"file:///abc\",");
  tell(p, 1, "resources/list_changed", "");
  tell(p, 1, "message", "\"level\":\"info\",");
  ck_assert_uint_eq(a->n + b->n, 4);
  ck_assert_uint_eq(mg_core_stats(r.core)->dropped_notifications, before + 3);
  core_sink_gone(a);
  core_sink_gone(b);
  core_down(&r);
}
END_TEST

START_TEST(it_lingers_and_grows_narrower) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", ALL));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, ALL);
  struct core_sink *b = listen_to(&r, LISTEN("2", TOOLS));
  core_sink_gone(a);
  later(&r, 0);
  later(&r, 29999);
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 1));
  later(&r, 1);
  core_has(core_sent(p, "\"subscriptions/listen\"", 1)->text, "\"notifications\":" TOOLS);
  ack(p, 1, TOOLS);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 1);
  core_sink_gone(b);
  later(&r, 0);
  later(&r, 4000);
  struct core_sink *c = listen_to(&r, LISTEN("3", TOOLS)); /* in time */
  core_has(core_text(c, 0), "\"notifications\":" TOOLS);
  core_sink_gone(c);
  later(&r, 0);
  later(&r, 4999);
  ck_assert_int_eq(core_cancelled(p, stream(p, 1)), 0);
  later(&r, 1);
  ck_assert_int_eq(core_cancelled(p, stream(p, 1)), 1);
  core_down(&r);
}
END_TEST

/* The stream is lost, again and again: it is opened anew ever more slowly, and all are told what they may have
 * missed. Nobody is told of the loss itself. */
START_TEST(a_lost_stream_is_opened_again) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", ALL)), *b = listen_to(&r, LISTEN("2", TOOLS));
  struct core_sink *c = listen_to(&r, LISTEN("3", "{\"resourceSubscriptions\":[\"a:1\"]}"));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, ALL);
  ack(p, 1, "{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourceSubscriptions\":[\"a:1\"]}");
  ck_assert_uint_eq(a->n + b->n + c->n, 3);
  core_fail(p, stream(p, 1), MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 0);
  core_settle(&r);
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 2));
  later(&r, 500);
  core_fail(p, stream(p, 2), MCPGW_E_IO, MCPGW_DELIVERED_NO, 503);
  later(&r, 499);
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 3));
  later(&r, 501);
  ck_assert_uint_eq(a->n + b->n + c->n, 3);
  ck_assert_uint_eq(mg_core_stats(r.core)->listens_lost, 2);
  ack(p, 3, "{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a:1\"]}");
  ck_assert_uint_eq(mg_core_stats(r.core)->listen_gaps, 1);
  ck_assert_uint_eq(a->n, 2); /* prompts are not granted any more */
  core_has(core_text(a, 1), "tools/list_changed");
  core_has(core_text(a, 1), SUB "1}");
  ck_assert_uint_eq(b->n, 2);
  ck_assert_uint_eq(c->n, 1); /* no update is invented */
  tell(p, 3, "resources/updated", "\"uri\":\"a:1\",");
  ck_assert_uint_eq(c->n, 2);
  core_sink_gone(a);
  core_sink_gone(b);
  core_sink_gone(c);
  core_down(&r);
}
END_TEST

START_TEST(a_lost_link_is_opened_again) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  core_close(p, MCPGW_DELIVERED_UNKNOWN);
  ck_assert_int_eq(a->finals, 0);
  later(&r, 1000); /* the link */
  later(&r, 1000); /* the stream, at the latest */
  struct core_port *q = core_port(&r, 0);
  ck_assert_ptr_ne(p, q);
  ack(q, 0, TOOLS);
  ck_assert_uint_eq(a->n, 2);
  core_has(core_text(a, 1), "tools/list_changed");
  core_sink_gone(a);
  core_down(&r);
}
END_TEST

/* A refusal goes to who asked, word for word; the others stay with the stream they have. */
START_TEST(a_refusal_concerns_the_newcomer) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  struct core_sink *b = listen_to(&r, LISTEN("\"b\"", PROMPTS));
  if (_i) core_error(p, stream(p, 1), -32000);
  else core_fail(p, stream(p, 1), MCPGW_E_IO, MCPGW_DELIVERED_NO, 503);
  core_has(core_final(b), _i ? "{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"error\":{\"code\":-32000,\"message\":\"no\"}}" : "UPSTREAM_UNAVAILABLE");
  ck_assert_int_eq(a->finals, 0);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 0);
  tell(p, 0, "tools/list_changed", "");
  ck_assert_uint_eq(a->n, 2);
  core_sink_gone(a);
  core_down(&r);
}
END_TEST

/* The server's proper end, and its taking back, reach each listener of this server alone. */
START_TEST(the_servers_end_is_everybodys) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS)), *b = listen_to(&r, LISTEN("\"\\u0062\"", TOOLS));
  struct core_port *p = core_port(&r, 0);
  unsigned long long id = stream(p, 0);
  ack(p, 0, TOOLS);
  if (_i) {
    core_hear(p, id, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"_meta\":{" SUB "%llu}}}", id, id);
    ck_assert_str_eq(core_final(a), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"_meta\":{" SUB "1}}}");
    ck_assert_str_eq(core_final(b), "{\"jsonrpc\":\"2.0\",\"id\":\"\\u0062\",\"result\":{\"resultType\":\"complete\",\"_meta\":{" SUB "\"\\u0062\"}}}");
  } else {
    core_hear(p, id, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%llu}}", id);
    core_has(core_final(a), "the upstream ended the subscription");
    core_has(core_final(b), "the upstream ended the subscription");
    ck_assert_int_eq(core_cancelled(p, id), 1);
  }
  later(&r, 60000);
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 1)); /* nobody wants it any more */
  core_down(&r);
}
END_TEST

/* What we do not know we do not read, so it cannot be shared out. */
START_TEST(odd_wishes_are_not_shared) {
  static const char *const odd[] = {
      LISTEN("\"o\"", "{\"toolsListChanged\":true,\"taskIds\":[\"t1\"]}"),
      LISTEN("\"o\"", "{\"toolsListChanged\":1}"),
      "{\"jsonrpc\":\"2.0\",\"id\":\"o\",\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":{},\"_meta\":{\"" MCP_NS "logLevel\":\"info\"}}}",
  };
  static const char *const mark[] = {"\"taskIds\":[\"t1\"]", "\"toolsListChanged\":1", "logLevel"};
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS));
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  struct core_sink *b = listen_to(&r, odd[_i]);
  core_has(core_sent(p, "\"subscriptions/listen\"", 1)->text, mark[_i]);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 0);
  ack(p, 1, "{\"taskIds\":[\"t1\"]}");
  core_has(core_text(b, 0), "\"notifications\":{\"taskIds\":[\"t1\"]}");
  tell(p, 1, "tasks/status", "\"taskId\":\"t1\",");
  core_has(core_text(b, 1), "tasks/status");
  core_has(core_text(b, 1), SUB "\"o\"");
  ck_assert_uint_eq(a->n, 1);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 0);
  struct core_sink *c = listen_to(&r, LISTEN("3", TOOLS));
  ck_assert_uint_eq(c->n, 1);
  core_fail(p, stream(p, 1), MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 0); /* it comes back in its own words */
  later(&r, 500);
  core_has(core_sent(p, "\"subscriptions/listen\"", 2)->text, mark[_i]);
  core_sink_gone(b);
  core_settle(&r);
  ck_assert_int_eq(core_cancelled(p, stream(p, 2)), 1); /* at once */
  core_sink_gone(a);
  core_sink_gone(c);
  core_down(&r);
}
END_TEST

START_TEST(a_silent_upstream_holds_nobody_up) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS)), *b = listen_to(&r, LISTEN("2", PROMPTS));
  struct core_port *p = core_port(&r, 0);
  ck_assert_ptr_null(core_sent(p, "\"subscriptions/listen\"", 1));
  later(&r, 5000);
  core_has(core_sent(p, "\"subscriptions/listen\"", 1)->text, "\"notifications\":" ALL);
  ck_assert_int_eq(core_cancelled(p, stream(p, 0)), 1);
  tell(p, 1, "prompts/list_changed", ""); /* it never says what it grants: this, evidently */
  core_has(core_text(b, 0), "\"notifications\":" PROMPTS);
  core_has(core_text(b, 1), "prompts/list_changed");
  core_has(core_text(a, 0), "\"notifications\":{}");
  core_sink_gone(a);
  core_sink_gone(b);
  core_down(&r);
}
END_TEST

/* An upstream of an aggregate view that was not there joins when it comes, and its lists are new. */
START_TEST(a_late_upstream_joins) {
  struct core_rig r;
  up(&r, TWO);
  r.servers[1].modern = -32020; /* it is there, in a way */
  struct core_sink *s = core_sink(&r);
  core_modern(s, LISTEN("7", ALL));
  core_settle(&r);
  ack(core_port(&r, 0), 0, TOOLS);
  core_has(core_text(s, 0), "\"notifications\":" TOOLS);
  r.servers[1].modern = 1;
  for (int i = 0; i < 40; i++) later(&r, 1000);
  ack(core_port(&r, 1), 0, ALL);
  ck_assert_uint_eq(s->n, 3);
  core_sink_gone(s);
  core_down(&r);
}
END_TEST

/* So many resources that one request cannot name them: another stream takes the rest. */
START_TEST(many_resources_take_several_streams) {
  struct core_rig r;
  struct core_sink *s[3];
  char *text = malloc(200000);
  up(&r, ONE);
  for (int i = 0; i < 3; i++) {
    int n = sprintf(text, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"subscriptions/listen\",\"params\":{" MODERN_META ",\"notifications\":{\"resourceSubscriptions\":[", i);
    for (int k = 0; k < 2000; k++) n += sprintf(text + n, "%s\"r:%d/%d\"", k ? "," : "", i, k);
    sprintf(text + n, "]}}}");
    s[i] = listen_to(&r, text);
  }
  struct core_port *p = core_port(&r, 0);
  core_has(core_sent(p, "\"subscriptions/listen\"", 1)->text, "\"r:2/1999\"");
  core_lacks(core_sent(p, "\"subscriptions/listen\"", 1)->text, "\"r:0/0\"");
  ack(p, 1, "{\"resourceSubscriptions\":[\"r:2/7\"]}");
  core_has(core_text(s[2], 0), "{\"resourceSubscriptions\":[\"r:2/7\"]}");
  ck_assert_uint_eq(s[0]->n, 0);
  for (int i = 0; i < 3; i++) core_sink_gone(s[i]);
  free(text);
  core_down(&r);
}
END_TEST

/* What listeners wish for is held as long as they are: it counts against limits.memory_bytes. */
START_TEST(wishes_have_a_ceiling) {
  struct core_rig r;
  char *text = malloc(400000);
  core_up(&r, ONE, "{\"limits\":{\"memory_bytes\":1048576}}");
  r.closes = 1;
  r.servers[0].modern = 1;
  r.budget.limit = 1048576;
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS)), *refused = NULL;
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  size_t before = r.budget.used, n = 0;
  struct core_sink *s[16];
  for (; n < 16; n++) {
    int len = sprintf(text, "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"subscriptions/listen\",\"params\":{" MODERN_META ",\"notifications\":{\"resourceSubscriptions\":[", n + 2);
    for (int k = 0; k < 500; k++) len += sprintf(text + len, "%s\"r:%zu/%d/%0100d\"", k ? "," : "", n, k, k);
    sprintf(text + len, "]}}}");
    s[n] = listen_to(&r, text);
    if (!s[n]->finals) continue;
    refused = s[n];
    break;
  }
  ck_assert_ptr_nonnull(refused);
  core_has(core_final(refused), "OVERLOADED");
  ck_assert_uint_ge(n, 2);
  tell(p, 0, "tools/list_changed", "");
  ck_assert_uint_eq(a->n, 2); /* nobody else minds */
  for (size_t i = 0; i < n; i++) core_sink_gone(s[i]);
  core_settle(&r);
  core_sink_gone(a);
  later(&r, 0);
  later(&r, 6000);
  ck_assert_uint_le(r.budget.used, before);
  free(text);
  core_down(&r);
}
END_TEST

START_TEST(the_gateways_end_is_told) {
  struct core_rig r;
  up(&r, ONE);
  struct core_sink *a = listen_to(&r, LISTEN("1", TOOLS)), *b;
  struct core_port *p = core_port(&r, 0);
  ack(p, 0, TOOLS);
  core_fail(p, stream(p, 0), MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 0); /* nothing is open just now */
  b = listen_to(&r, LISTEN("2", PROMPTS));
  if (_i) mg_core_drain(r.core);
  else mg_core_end_all(r.core);
  core_has(core_final(a), _i ? "\"resultType\":\"complete\"" : "the gateway is stopping");
  core_has(core_final(b), _i ? "\"resultType\":\"complete\"" : "the gateway is stopping");
  later(&r, 0);
  if (_i) ck_assert_int_eq(core_cancelled(p, stream(p, 1)), 1); /* no lingering */
  core_down(&r);
}
END_TEST

/* The stream of a legacy server's own messages was away: its lists may have changed, as far as it tells at all. */
START_TEST(a_gap_of_a_legacy_stream) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].caps = "{\"tools\":{\"listChanged\":true},\"prompts\":{},\"resources\":{\"listChanged\":true}}";
  r.servers[1].caps = "{\"tools\":{}}";
  struct core_sink *channel = core_sink(&r), *list = core_sink(&r);
  struct mg_ctx *ctx = core_session(&r, 0, _i ? 2 : 1);
  mg_ctx_set_channel(ctx, &channel->sink);
  core_legacy(ctx, list, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
  core_settle(&r);
  mg_link_on_gap(core_port(&r, 0)->link);
  core_has(core_text(channel, 0), "notifications/tools/list_changed");
  core_has(core_text(channel, 1), _i ? "notifications/prompts/list_changed" : "notifications/resources/list_changed");
  ck_assert_uint_eq(channel->n, _i ? 3 : 2); /* alone it has not promised to tell of prompts */
  ck_assert_uint_eq(mg_core_stats(r.core)->listen_gaps, 1);
  core_tick(&r, 10);
  size_t before = core_port(&r, 0)->n;
  core_legacy(ctx, list, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}");
  core_settle(&r);
  ck_assert_uint_gt(core_port(&r, 0)->n, before); /* what was known is not trusted */
  if (!_i) core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{\"tools\":[]}");
  mg_ctx_set_channel(ctx, NULL);
  core_down(&r);
}
END_TEST

/* "The progressToken provided in the initial request remains valid throughout the task lifetime" (2025-11-25). */
START_TEST(progress_of_a_task_outlives_its_call) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.closes = 1;
  struct core_sink *channel = core_sink(&r), *call = core_sink(&r), *result = core_sink(&r);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  mg_ctx_set_channel(ctx, &channel->sink);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, call, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"task\":{},\"_meta\":{\"progressToken\":\"p\\u0031\"}}}");
  unsigned long long id = core_last(p)->call;
  core_result(p, id, "{\"task\":{\"taskId\":\"T\",\"status\":\"working\"}}");
  ck_assert_int_eq(call->finals, 1);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":1}}", id);
  ck_assert_str_eq(core_text(channel, 0), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"p\\u0031\",\"progress\":1}}");
  core_legacy(ctx, result, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tasks/result\",\"params\":{\"taskId\":\"T\"}}");
  core_hear(p, core_last(p)->call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":2}}", id);
  core_has(core_text(result, 0), "\"progressToken\":\"p\\u0031\",\"progress\":2"); /* on whose stream it came */
  ck_assert_uint_eq(channel->n, 1);
  core_result(p, core_last(p)->call, "{}");
  uint64_t before = mg_core_stats(r.core)->unknown_tokens;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":2}}", id + 1);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":0,\"progress\":2}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_tokens, before + 2);
  for (int i = 0; i < 300; i++) { /* so many are kept, no more */
    core_legacy(ctx, call, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"task\":{},\"_meta\":{\"progressToken\":\"a token that is longer than what is kept in place %d\"}}}", i + 10, i);
    core_hear(p, core_last(p)->call, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"task\":{\"taskId\":\"T%d\"}}}", (unsigned long long)core_last(p)->call, i);
  }
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":3}}", id);
  ck_assert_uint_eq(channel->n, 1);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":3}}", (unsigned long long)core_last(p)->call);
  core_has(core_text(channel, 1), "kept in place 299\"");
  mg_ctx_set_channel(ctx, NULL);
  core_down(&r);
}
END_TEST

Suite *core_feeds_suite(void) {
  Suite *s = suite_create("core/feeds");
  TCase *t = tcase_create("feeds");
  tcase_add_test(t, one_stream_serves_all);
  tcase_add_test(t, a_wider_wish_leaves_no_gap);
  tcase_add_test(t, only_what_was_granted_is_acknowledged);
  tcase_add_test(t, updates_find_their_listeners);
  tcase_add_test(t, it_lingers_and_grows_narrower);
  tcase_add_test(t, a_lost_stream_is_opened_again);
  tcase_add_test(t, a_lost_link_is_opened_again);
  tcase_add_loop_test(t, a_refusal_concerns_the_newcomer, 0, 2);
  tcase_add_loop_test(t, the_servers_end_is_everybodys, 0, 2);
  tcase_add_loop_test(t, odd_wishes_are_not_shared, 0, 3);
  tcase_add_test(t, a_silent_upstream_holds_nobody_up);
  tcase_add_test(t, a_late_upstream_joins);
  tcase_add_test(t, many_resources_take_several_streams);
  tcase_add_test(t, wishes_have_a_ceiling);
  tcase_add_loop_test(t, the_gateways_end_is_told, 0, 2);
  tcase_add_loop_test(t, a_gap_of_a_legacy_stream, 0, 2);
  tcase_add_test(t, progress_of_a_task_outlives_its_call);
  suite_add_tcase(s, t);
  return s;
}
