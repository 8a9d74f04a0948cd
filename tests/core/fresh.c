/* tests/core/fresh: how old a list of an aggregate view may be, and who is told when it is another. */
#include <stdio.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{}}"
#define TOOLS(name) "[{\"name\":\"" name "\"}]"
#define CHANGES "{\"tools\":{\"listChanged\":true}}"
#define CHANGED "notifications/tools/list_changed"

/* Lists through the gateway; how often server 0 was asked for its tools meanwhile. */
static int asked(struct core_rig *r, struct mg_ctx *ctx, const char *part) {
  struct core_sink *s = core_sink(r);
  struct core_port *p = core_port(r, 0);
  size_t before = p->n;
  int n = 0;
  if (ctx) core_say(r, ctx, s, mg_ctx_view(ctx), LIST);
  else core_modern(s, MODERN("1", "tools/list", ""));
  core_settle(r);
  for (size_t i = before; i < p->n; i++) n += strstr(p->v[i].text, "\"tools/list\"") != NULL;
  core_has(core_final(s), part);
  return n;
}

START_TEST(a_legacy_server_that_tells_is_asked_once) {
  for (int closes = 0; closes < 2; closes++) {
    struct core_rig r;
    core_up(&r, TWO, NULL);
    r.closes = closes;
    r.servers[0].caps = CHANGES;
    r.servers[0].tools = TOOLS("x");
    struct mg_ctx *ctx = core_session(&r, 0, 2);
    ck_assert_int_eq(asked(&r, ctx, "a__x"), 1);
    core_tick(&r, 1000);
    ck_assert_int_eq(asked(&r, ctx, "a__x"), closes); /* over HTTP the channel may be gone without a word */
    r.servers[0].tools = TOOLS("y");
    core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"" CHANGED "\"}");
    ck_assert_int_eq(asked(&r, ctx, "a__y"), 1);
    core_tick(&r, 300000); /* a cap, should the word be lost */
    ck_assert_int_eq(asked(&r, ctx, "a__y"), 1);
    core_down(&r);
  }
}
END_TEST

START_TEST(one_that_does_not_tell_is_asked_each_time) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = TOOLS("x");
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  for (int i = 0; i < 3; i++) {
    core_tick(&r, 1);
    ck_assert_int_eq(asked(&r, ctx, "a__x"), 1);
  }
  core_down(&r);
}
END_TEST

START_TEST(a_difference_is_told_when_the_server_did_not) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.closes = 1;
  r.servers[0].tools = TOOLS("x");
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *channel = core_sink(&r);
  mg_ctx_set_channel(ctx, &channel->sink);
  asked(&r, ctx, "a__x");
  core_tick(&r, 1);
  asked(&r, ctx, "a__x");
  ck_assert_uint_eq(channel->n, 0);
  r.servers[0].tools = TOOLS("y");
  core_tick(&r, 1);
  asked(&r, ctx, "a__y");
  ck_assert_uint_eq(channel->n, 1);
  core_has(core_text(channel, 0), CHANGED);
  r.servers[0].tools = TOOLS("z"); /* a list that is never twice the same does not chase its readers */
  core_tick(&r, 1);
  asked(&r, ctx, "a__z");
  ck_assert_uint_eq(channel->n, 1);
  r.servers[0].tools = TOOLS("x");
  core_tick(&r, 10000);
  asked(&r, ctx, "a__x");
  ck_assert_uint_eq(channel->n, 2);
  /* it tells itself: once is enough */
  r.servers[0].tools = TOOLS("y");
  core_tick(&r, 20000);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"" CHANGED "\"}");
  ck_assert_uint_eq(channel->n, 3);
  asked(&r, ctx, "a__y");
  ck_assert_uint_eq(channel->n, 3);
  mg_ctx_set_channel(ctx, NULL);
  core_down(&r);
}
END_TEST

START_TEST(listeners_hear_it_too) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  for (int i = 0; i < 2; i++) r.servers[i].modern = 1;
  r.servers[0].tools = TOOLS("x");
  struct core_sink *listener = core_sink(&r), *other = core_sink(&r);
  core_modern(core_sink(&r), MODERN("0", "tools/list", "")); /* the links open */
  core_settle(&r);
  core_tick(&r, 1);
  asked(&r, NULL, "a__x");
  core_modern(listener, MODERN("7", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},"));
  core_modern(other, MODERN("8", "subscriptions/listen", "\"notifications\":{\"promptsListChanged\":true},"));
  core_settle(&r);
  for (size_t i = 0; i < 2; i++) {
    struct core_sent *m = core_sent(core_port(&r, i), "subscriptions/listen", 0);
    ck_assert_ptr_nonnull(m);
    core_hear(core_port(&r, i), m->call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{\"" MCP_NS
              "subscriptionId\":%d},\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":true}}}", (int)m->call);
  }
  core_settle(&r);
  size_t before = listener->n, others = other->n;
  r.servers[0].tools = TOOLS("y");
  core_tick(&r, 1);
  asked(&r, NULL, "a__y");
  ck_assert_uint_eq(listener->n, before + 1);
  core_has(core_text(listener, before), CHANGED);
  ck_assert_uint_eq(other->n, others);
  core_sink_gone(listener);
  core_sink_gone(other);
  core_down(&r);
}
END_TEST

START_TEST(a_list_that_fails_is_shown_for_a_while_and_marked) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = TOOLS("x");
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  asked(&r, ctx, "a__x");
  r.servers[0].tools = NULL; /* an error from here on */
  core_tick(&r, 2000);
  asked(&r, ctx, "\"a__x\"");
  core_tick(&r, 500);
  asked(&r, ctx, "\"_meta\":{\"dev.mcpgw/stale\":{\"a\":2500}}");
  core_tick(&r, 599999 - 2500);
  asked(&r, ctx, "\"a__x\"");
  core_tick(&r, 1);
  asked(&r, ctx, "{\"tools\":[],\"_meta\":{\"dev.mcpgw/unavailable\":{\"a\":\"its list could not be fetched");
  r.servers[0].tools = TOOLS("y");
  core_tick(&r, 1);
  asked(&r, ctx, "{\"tools\":[{\"name\":\"a__y\"}],\"_meta\":{}}");
  core_down(&r);
}
END_TEST

static struct core_sink *wants(struct core_rig *r, struct mg_ctx *ctx) {
  static int id = 100;
  struct core_sink *s = core_sink(r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/list\"}", id++);
  return s;
}

static void lists(struct core_rig *r, const char *tools) {
  core_hear(core_port(r, 0), 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"tools\":%s}}",
            (unsigned long long)core_sent(core_port(r, 0), "tools/list", 0)->call, tools);
}

/* A walk may take long: who comes while it lasts, or after word of a change, is not shown what is older than that.
 * _i 0: a moment later; 1: in the same moment, after the change. */
START_TEST(a_fetch_under_way_is_not_for_who_comes_later) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  if (_i) r.servers[0].caps = CHANGES;
  r.servers[1].caps = "{}";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *first = wants(&r, ctx), *late[3];
  if (_i) core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"" CHANGED "\"}");
  else core_tick(&r, 5);
  for (int i = 0; i < 3; i++) late[i] = wants(&r, ctx);
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/list", 1)); /* one at a time */
  lists(&r, TOOLS("old"));
  if (!_i) core_has(core_final(first), "a__old");
  for (int i = 0; i < 3; i++) ck_assert_int_eq(late[i]->finals, 0);
  r.servers[0].tools = TOOLS("new");
  core_settle(&r);
  for (int i = 0; i < 3; i++) core_has(core_final(late[i]), "a__new");
  ck_assert_int_eq(first->finals, 1);
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/list", 2)); /* and one for all of them */
  core_down(&r);
}
END_TEST

/* A list that passes by is kept for the other views, but not when it may be older than a change. */
START_TEST(what_passes_by_after_a_change_is_not_kept) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  for (int i = 0; i < 2; i++) {
    r.servers[i].modern = 1;
    r.servers[i].hints = ",\"ttlMs\":60000,\"cacheScope\":\"public\"";
  }
  r.servers[0].tools = TOOLS("old");
  core_modern(core_sink(&r), MODERN("0", "server/discover", "")); /* the links open */
  core_settle(&r);
  core_tick(&r, 1);
  ck_assert_int_eq(asked(&r, NULL, "a__old"), 1);
  core_tick(&r, 60000);
  struct core_sink *s = core_sink(&r);
  core_say(&r, NULL, s, (struct mg_view){0, 1, 0}, MODERN("1", "tools/list", ""));
  uint64_t call = core_last(core_port(&r, 0))->call;
  core_tick(&r, 1);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"" CHANGED "\"}");
  core_tick(&r, 1);
  core_result(core_port(&r, 0), call, "{\"tools\":" TOOLS("old") ",\"resultType\":\"complete\",\"ttlMs\":60000,\"cacheScope\":\"public\"}");
  core_has(core_final(s), "\"old\"");
  r.servers[0].tools = TOOLS("new");
  ck_assert_int_eq(asked(&r, NULL, "a__new"), 1);
  core_down(&r);
}
END_TEST

START_TEST(a_private_list_is_one_callers_own) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  for (int i = 0; i < 2; i++) {
    r.servers[i].modern = 1;
    r.servers[i].hints = ",\"ttlMs\":60000,\"cacheScope\":\"private\"";
  }
  core_modern(core_sink(&r), MODERN("0", "server/discover", "")); /* the links open */
  core_settle(&r);
  r.servers[0].tools = TOOLS("ann");
  r.principal = "ann";
  ck_assert_int_eq(asked(&r, NULL, "\"a__ann\""), 1);
  ck_assert_int_eq(asked(&r, NULL, "\"a__ann\""), 0);
  r.servers[0].tools = TOOLS("bob");
  r.principal = "bob";
  ck_assert_int_eq(asked(&r, NULL, "\"a__bob\""), 1);
  r.principal = "ann";
  ck_assert_int_eq(asked(&r, NULL, "\"a__ann\"}],\"resultType\":\"complete\",\"ttlMs\":60000,\"cacheScope\":\"private\""), 0);
  /* nor is it a way to what the other may call */
  struct core_sink *s = core_sink(&r);
  core_modern(s, MODERN("2", "tools/call", "\"name\":\"a__bob\","));
  core_settle(&r);
  core_has(core_final(s), "unknown tool");
  s = core_sink(&r);
  core_modern(s, MODERN("3", "tools/call", "\"name\":\"a__ann\","));
  core_settle(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{\"content\":[]}");
  core_has(core_final(s), "\"content\":[]");
  /* a change is everybody's */
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"" CHANGED "\"}");
  ck_assert_int_eq(asked(&r, NULL, "\"a__bob\""), 1); /* what the server says to ann now */
  r.principal = "bob";
  ck_assert_int_eq(asked(&r, NULL, "\"a__bob\""), 1);
  r.servers[0].hints = ",\"ttlMs\":60000,\"cacheScope\":\"public\""; /* and public again */
  core_tick(&r, 60000);
  ck_assert_int_eq(asked(&r, NULL, "\"a__bob\""), 1);
  r.principal = "ann";
  ck_assert_int_eq(asked(&r, NULL, "\"a__bob\""), 0);
  core_down(&r);
}
END_TEST

START_TEST(callers_who_ask_at_once_get_each_his_own) {
  struct core_rig r;
  struct core_sink *s[8];
  static const char *const who[] = {"p0", "p1", "p2", "p3"};
  core_up(&r, TWO, NULL);
  for (int i = 0; i < 2; i++) {
    r.servers[i].modern = 1;
    r.servers[i].hints = ",\"ttlMs\":60000,\"cacheScope\":\"private\"";
  }
  core_modern(core_sink(&r), MODERN("0", "server/discover", ""));
  core_settle(&r);
  for (int i = 0; i < 8; i++) {
    r.principal = who[i % 4];
    core_modern(s[i] = core_sink(&r), MODERN("1", "tools/list", ""));
  }
  core_sink_gone(s[0]); /* who asked first does not wait for it */
  core_settle(&r);
  for (int i = 1; i < 8; i++) ck_assert_int_eq(s[i]->finals, 1);
  core_down(&r);
}
END_TEST

Suite *core_fresh_suite(void) {
  Suite *s = suite_create("core/fresh");
  TCase *t = tcase_create("fresh");
  tcase_add_test(t, a_legacy_server_that_tells_is_asked_once);
  tcase_add_test(t, one_that_does_not_tell_is_asked_each_time);
  tcase_add_test(t, a_difference_is_told_when_the_server_did_not);
  tcase_add_test(t, listeners_hear_it_too);
  tcase_add_test(t, a_list_that_fails_is_shown_for_a_while_and_marked);
  tcase_add_loop_test(t, a_fetch_under_way_is_not_for_who_comes_later, 0, 2);
  tcase_add_test(t, what_passes_by_after_a_change_is_not_kept);
  tcase_add_test(t, a_private_list_is_one_callers_own);
  tcase_add_test(t, callers_who_ask_at_once_get_each_his_own);
  suite_add_tcase(s, t);
  return s;
}
