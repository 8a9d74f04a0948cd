/* tests/core/lists: aggregate views: lists put together, names under prefixes, who owns a resource, our own
 * cursors, and when a server's list is fetched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define REQ(method, members) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" members "}}"
#define LIST(method) REQ(method, "")
#define CALL(name) REQ("tools/call", "\"name\":\"" name "\",\"arguments\":{\"name\":\"" name "\"}")

static struct core_sink *ask(struct core_rig *r, struct mg_ctx *ctx, const char *text) {
  struct core_sink *s = core_sink(r);
  core_say(r, ctx, s, mg_ctx_view(ctx), text);
  core_settle(r);
  return s;
}

/* Where a request went: "a", "b", … or "" when it was answered here. The server's reply is sent. */
static const char *goes_to(struct core_rig *r, struct mg_ctx *ctx, const char *text, struct core_sent *out) {
  static const char *const names[] = {"a", "b", "c", "d"};
  size_t before[CORE_PORTS];
  for (size_t i = 0; i < r->n_ports; i++) before[i] = r->ports[i]->n;
  struct core_sink *s = ask(r, ctx, text);
  for (size_t i = 0; i < r->n_ports && !s->finals; i++) {
    struct core_port *p = r->ports[i];
    size_t k = before[i];
    while (k < p->n && (strstr(p->v[k].text, "/list\"") || p->v[k].kind != MCPGW_SEND_REQUEST)) k++; /* lists were served */
    if (k == p->n || p->closed) continue;
    *out = p->v[k];
    core_result(p, out->call, "{}");
    ck_assert_int_eq(s->finals, 1);
    return names[p->server];
  }
  ck_assert_int_eq(s->finals, 1);
  out->text = s->v[s->n - 1].text;
  return "";
}

/* ---- lists ---------------------------------------------------------------------------------------------- */

START_TEST(lists_are_put_together_in_order) {
  struct core_rig r;
  core_up(&r, THREE, NULL);
  r.servers[0].tools = "[{ \"description\" : \"d\\u0031\" , \"name\" : \"x\",\"inputSchema\":{\"n\":1.10}},{\"title\":\"T\",\"name\":\"y\"}]";
  r.servers[1].tools = "[{\"name\":\"\\u0078\",\"z\":[{\"name\":\"inner\"}]}]";
  r.servers[2].caps = "{\"prompts\":{}}";
  r.servers[2].prompts = "[{\"name\":\"p q\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  ck_assert_str_eq(core_final(ask(&r, ctx, LIST("tools/list"))),
                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{ \"description\" : \"d\\u0031\" , \"name\" : \"a__x\",\"inputSchema\":{\"n\":1.10}},"
                   "{\"title\":\"T\",\"name\":\"a__y\"},{\"name\":\"b__x\",\"z\":[{\"name\":\"inner\"}]}],\"_meta\":{}}}");
  core_has(core_final(ask(&r, ctx, LIST("prompts/list"))), "\"prompts\":[{\"name\":\"c__p q\"}]");
  ck_assert_ptr_null(core_sent(core_port(&r, 2), "tools/list", 0)); /* it declares none */
  core_down(&r);
}
END_TEST

START_TEST(one_server_alone_keeps_its_names) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[1].tools = "[{\"name\":\"x\",\"_meta\":{\"dev.mcpgw/z\":1}}]";
  r.servers[1].hints = ",\"nextCursor\":\"theirs\",\"_meta\":{\"dev.mcpgw/y\":1,\"k\":2}";
  struct mg_ctx *ctx = core_session(&r, 1, 1);
  struct core_sent to;
  ck_assert_str_eq(core_final(ask(&r, ctx, LIST("tools/list"))),
                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"x\",\"_meta\":{\"dev.mcpgw/z\":1}}],\"nextCursor\":\"theirs\",\"_meta\":{\"k\":2}}}");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("x"), &to), "b");
  core_has(to.text, "\"name\":\"x\",\"arguments\":{\"name\":\"x\"}");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("vendor/own", "\"q\":1.0"), &to), "b"); /* whatever it is */
  core_hear(core_port(&r, 1), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  core_down(&r);
}
END_TEST

START_TEST(who_is_down_is_left_out_and_named) {
  struct core_rig r;
  core_up(&r, THREE, NULL);
  for (int i = 0; i < 3; i++) r.servers[i].tools = "[{\"name\":\"t\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  ask(&r, ctx, LIST("tools/list"));
  r.open_rc = MCPGW_E_IO;
  core_close(core_port(&r, 1), MCPGW_DELIVERED_NO);
  r.servers[2].tools = NULL; /* it refuses: what was known is not shown as if it were true */
  const char *text = core_final(ask(&r, ctx, LIST("tools/list")));
  core_has(text, "{\"name\":\"a__t\"}");
  core_lacks(text, "b__t");
  core_has(text, "\"dev.mcpgw/unavailable\":{\"b\":\"");
  core_down(&r);
}
END_TEST

/* "unknown tool" would be a lie: the model would believe that there is none. */
START_TEST(a_tool_of_one_that_is_down_is_away_not_unknown) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\"},\"b\":{\"url\":\"http://b/mcp\"},\"b_c\":{\"url\":\"http://c/mcp\"}}", NULL);
  for (int i = 0; i < 3; i++) r.servers[i].tools = "[{\"name\":\"t\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  ask(&r, ctx, LIST("tools/list"));
  r.open_rc = MCPGW_E_IO;
  core_close(core_port(&r, 1), MCPGW_DELIVERED_NO);
  core_close(core_port(&r, 2), MCPGW_DELIVERED_NO);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("b__t"), &to), "");
  core_has(to.text, "\"code\":-31002");
  core_has(to.text, "\"upstream\":\"b\",\"delivered\":\"no\"");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("b_c__t"), &to), "");
  core_has(to.text, "\"upstream\":\"b_c\"");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("prompts/get", "\"name\":\"b__p\""), &to), "");
  core_has(to.text, "\"code\":-31002");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__u"), &to), "");
  core_has(to.text, "unknown tool");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("bt"), &to), "");
  core_has(to.text, "unknown tool");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__t"), &to), "a");
  core_down(&r);
}
END_TEST

START_TEST(lost_state_is_told_though_the_server_cannot_come_back) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, TWO, NULL);
  for (int i = 0; i < 2; i++) r.servers[i].tools = "[{\"name\":\"t\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("b__t"), &to), "b");
  r.open_rc = MCPGW_E_IO;
  core_close(core_port(&r, 1), MCPGW_DELIVERED_NO);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("b__t"), &to), "");
  core_has(to.text, "STATE_LOST");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("b__t"), &to), "");
  core_has(to.text, "UPSTREAM_UNAVAILABLE");
  core_down(&r);
}
END_TEST

START_TEST(two_that_are_exposed_alike_are_listed_once_each) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = "[{\"name\":\"t\",\"n\":1},{\"name\":\"t\",\"n\":2},{\"name\":\"\\ud800\"},{\"name\":\"a\\u0000b\"},{\"name\":7},{},5]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  const char *text = core_final(ask(&r, ctx, LIST("tools/list")));
  core_has(text, "\"tools\":[{\"name\":\"a__t\",\"n\":1}]");
  ck_assert_uint_eq(mg_core_stats(r.core)->tools_refused, 1);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__t"), &to), "a");
  core_down(&r);
}
END_TEST

/* ---- names -------------------------------------------------------------------------------------------------- */

START_TEST(calls_find_their_server_by_table) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\"},\"a b\":{\"url\":\"http://b/mcp\"}}", NULL);
  r.servers[0].tools = "[{\"name\":\"t\"},{\"name\":\"b__t\"},{\"name\":\"q\\\"\\u00e9\"}]";
  r.servers[1].tools = "[{\"name\":\"t\"}]";
  r.servers[1].prompts = "[{\"name\":\"p\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__t"), &to), "a");
  core_has(to.text, "\"params\":{\"name\":\"t\",\"arguments\":{\"name\":\"a__t\"}}"); /* the argument is payload */
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a\\u005f_t"), &to), "a");                    /* spelled otherwise */
  core_has(to.text, "\"params\":{\"name\":\"t\"");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__b__t"), &to), "a");
  core_has(to.text, "\"name\":\"b__t\"");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__q\\\"\xc3\xa9"), &to), "a");
  core_has(to.text, "\"name\":\"q\\\"\\u00e9\""); /* in the server's own spelling */
  ck_assert_str_eq(goes_to(&r, ctx, CALL("ab__t"), &to), "b"); /* the slug of "a b" is ab */
  ck_assert_str_eq(goes_to(&r, ctx, CALL("t"), &to), "");
  core_has(to.text, "\"code\":-32602,\"message\":\"unknown tool\"");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__nope"), &to), "");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("tools/call", "\"name\":7"), &to), "");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("tools/call", ""), &to), "");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("prompts/get", "\"name\":\"ab__p\""), &to), "b");
  core_has(to.text, "\"name\":\"p\"");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("prompts/get", "\"name\":\"a__t\""), &to), ""); /* a tool is no prompt */
  ck_assert_str_eq(goes_to(&r, ctx, REQ("completion/complete", "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"ab__p\"},\"argument\":{}"), &to), "b");
  core_has(to.text, "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"p\"}");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("vendor/own", ""), &to), "");
  core_has(to.text, "-32601");
  core_down(&r);
}
END_TEST

START_TEST(long_names_are_shortened_and_found_again) {
  struct core_rig r;
  struct core_sent to;
  char tools[1000], call[400], name[200];
  core_up(&r, TWO, NULL);
  const char *head = "0123456789012345678901234567890123456789012345678901234567890"; /* 61: a__ + 61 = 64 */
  snprintf(tools, sizeof tools, "[{\"name\":\"%s\"},{\"name\":\"%sx\"},{\"name\":\"%sy\"},{\"name\":\"%.51s\\u4e16\\u754c0000\"}]", head, head, head, head);
  r.servers[0].tools = tools;
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  char *text = strdup(core_final(ask(&r, ctx, LIST("tools/list"))));
  snprintf(name, sizeof name, "\"a__%s\"", head);
  core_has(text, name); /* 64 exactly: untouched */
  size_t seen = 0;
  for (const char *p = text; (p = strstr(p, "\"name\":\"")); seen++) {
    p += 8;
    size_t n = strcspn(p, "\"");
    ck_assert_uint_le(n, 64);
    snprintf(name, sizeof name, "%.*s", (int)n, p);
    snprintf(call, sizeof call, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\"}}", name);
    ck_assert_str_eq(goes_to(&r, ctx, call, &to), "a");
    static const char *const theirs[] = {"7890\"}", "7890x\"}", "7890y\"}", "\\u4e16\\u754c0000\"}"};
    core_has(to.text, theirs[seen]);
  }
  ck_assert_uint_eq(seen, 4);
  free(text);
  core_down(&r);
}
END_TEST

START_TEST(another_separator) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, TWO, "{\"separator\":\".\"}");
  r.servers[1].tools = "[{\"name\":\"t\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  core_has(core_final(ask(&r, ctx, LIST("tools/list"))), "\"name\":\"b.t\"");
  ck_assert_str_eq(goes_to(&r, ctx, CALL("b.t"), &to), "b");
  core_down(&r);
}
END_TEST

/* A tool that is not in our list may be new: the list is fetched again, but not for every wrong name. */
START_TEST(an_unknown_name_refreshes_once_in_a_while) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = "[{\"name\":\"old\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__old"), &to), "a");
  r.servers[0].tools = "[{\"name\":\"new\"}]";
  core_tick(&r, 20000);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__new"), &to), "a");
  for (int i = 0; i < 10; i++) ck_assert_str_eq(goes_to(&r, ctx, CALL("a__wrong"), &to), "");
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/list", 2));
  core_tick(&r, 10001);
  ck_assert_str_eq(goes_to(&r, ctx, CALL("a__wrong"), &to), "");
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "tools/list", 2));
  core_down(&r);
}
END_TEST

/* ---- resources ------------------------------------------------------------------------------------------------- */

static const struct {
  const char *uri, *to;
} owners[] = {
    {"file:///a.txt", "a"},        {"file:///shared", "a"},  {"file:///b.txt", "b"}, {"file:///b/x", "b"},
    {"file:///b/deep/x", "c"},     {"file:///b/deep/", "c"}, {"mem://1/2", "b"},     {"file:///tpl", "c"},
    {"nobody://x", ""},            {"file:///A.TXT", ""},    {"", ""},               {"file:\\/\\/\\/a.txt", "a"},
};

static void own(struct core_rig *r) {
  r->servers[0].resources = "[{\"uri\":\"file:///a.txt\",\"name\":\"n\"},{\"uri\":\"file:///shared\"}]";
  r->servers[1].resources = "[{\"uri\":\"file:///b.txt\"},{\"uri\":\"file:///shared\"}]";
  r->servers[1].templates = "[{\"uriTemplate\":\"file:///b/{+path}\"},{\"uriTemplate\":\"mem://{a}/{b}\"}]";
  r->servers[2].templates = "[{\"uriTemplate\":\"file:///b/deep/{x}\"},{\"uriTemplate\":\"file:///tpl{?q*}\"}]";
}

START_TEST(a_resource_has_one_owner) {
  struct core_rig r;
  struct core_sent to;
  char text[300];
  static const char *const methods[] = {"resources/read", "resources/subscribe", "resources/unsubscribe"};
  core_up(&r, THREE, NULL);
  own(&r);
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  for (size_t i = 0; i < 3; i++) {
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"uri\":\"%s\"}}", methods[i], owners[_i].uri);
    ck_assert_str_eq(goes_to(&r, ctx, text, &to), owners[_i].to);
    if (*owners[_i].to) continue;
    core_has(to.text, "-32602");
    core_has(to.text, "\"data\":{\"uri\":");
  }
  snprintf(text, sizeof text, REQ("completion/complete", "\"ref\":{\"type\":\"ref/resource\",\"uri\":\"%s\"}"), owners[_i].uri);
  ck_assert_str_eq(goes_to(&r, ctx, text, &to), owners[_i].to);
  core_down(&r);
}
END_TEST

START_TEST(completion_of_a_template_goes_to_its_owner) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, THREE, NULL);
  own(&r);
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  ck_assert_str_eq(goes_to(&r, ctx, REQ("completion/complete", "\"ref\":{\"type\":\"ref/resource\",\"uri\":\"file:///b/deep/{x}\"}"), &to), "c");
  core_down(&r);
}
END_TEST

START_TEST(the_only_server_with_resources_owns_them_all) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, THREE, NULL);
  r.servers[0].caps = r.servers[2].caps = "{\"tools\":{}}";
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  ck_assert_str_eq(goes_to(&r, ctx, REQ("resources/read", "\"uri\":\"any:thing\""), &to), "b");
  core_down(&r);
}
END_TEST

/* A URI may be a secret of the one that is away. */
START_TEST(nobody_is_the_only_owner_while_another_is_away) {
  struct core_rig r;
  struct core_sent to;
  core_up(&r, TWO, NULL);
  for (int i = 0; i < 2; i++) r.servers[i].caps = "{\"resources\":{}}";
  r.servers[0].resources = "[{\"uri\":\"f:/here\",\"name\":\"h\"}]";
  r.servers[1].resources = r.servers[0].templates = r.servers[1].templates = "[]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  r.open_rc = MCPGW_E_IO;
  core_close(core_port(&r, 1), MCPGW_DELIVERED_NO);
  ck_assert_str_eq(goes_to(&r, ctx, REQ("resources/read", "\"uri\":\"f:/secret\""), &to), "");
  core_has(to.text, "\"code\":-31002");
  core_has(to.text, "\"upstream\":\"b\"");
  ck_assert_str_eq(goes_to(&r, ctx, REQ("resources/read", "\"uri\":\"f:/here\""), &to), "a");
  core_down(&r);
}
END_TEST

START_TEST(resources_keep_their_uris) {
  struct core_rig r;
  core_up(&r, THREE, NULL);
  own(&r);
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  core_has(core_final(ask(&r, ctx, LIST("resources/list"))), "\"resources\":[{\"uri\":\"file:///a.txt\",\"name\":\"n\"},{\"uri\":\"file:///shared\"},{\"uri\":\"file:///b.txt\"},{\"uri\":\"file:///shared\"}]");
  core_has(core_final(ask(&r, ctx, LIST("resources/templates/list"))), "\"resourceTemplates\":[{\"uriTemplate\":\"file:///b/{+path}\"}");
  core_down(&r);
}
END_TEST

/* ---- fetching --------------------------------------------------------------------------------------------------- */

/* Answers the tools/list under way at port a with a page. */
static void page(struct core_rig *r, const char *tools, const char *more) {
  struct core_port *p = core_port(r, 0);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"tools\":%s%s}}", (unsigned long long)core_last(p)->call, tools, more);
}

static struct core_sink *begin_list(struct core_rig *r, struct mg_ctx **ctx) {
  core_up(r, TWO, NULL);
  r->servers[1].caps = "{}";
  *ctx = core_session(r, 0, 2);
  struct core_sink *s = core_sink(r);
  core_legacy(*ctx, s, LIST("tools/list"));
  return s;
}

START_TEST(a_list_is_walked_to_its_end) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx), *t = core_sink(&r);
  page(&r, "[{\"name\":\"x\"}]", ",\"nextCursor\":\"c\\u0031\"");
  core_has(core_last(core_port(&r, 0))->text, "\"params\":{\"cursor\":\"c\\u0031\"}");
  core_legacy(ctx, t, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}"); /* joins the walk */
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/list", 2));
  page(&r, "[{\"name\":\"y\"}]", ",\"nextCursor\":null");
  core_has(core_final(s), "\"tools\":[{\"name\":\"a__x\"},{\"name\":\"a__y\"}]");
  core_has(core_final(t), "\"tools\":[{\"name\":\"a__x\"},{\"name\":\"a__y\"}]");
  ck_assert_uint_eq(mg_core_stats(r.core)->lists_fetched, 1);
  core_down(&r);
}
END_TEST

START_TEST(a_walk_in_circles_ends) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx);
  page(&r, "[{\"name\":\"x\"}]", ",\"nextCursor\":\"c\"");
  if (_i) page(&r, "[{\"name\":\"z\"}]", ",\"nextCursor\":\"d\""); /* a wider one */
  page(&r, "[{\"name\":\"y\"}]", ",\"nextCursor\":\"c\"");
  ck_assert_int_eq(s->finals, 1);
  core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"a\":");
  core_down(&r);
}
END_TEST

static size_t pages_asked(struct core_rig *r) {
  size_t n = 0;
  while (core_sent(core_port(r, 0), "tools/list", n)) n++;
  return n;
}

/* A page that was lost is asked for again: a list only reads. _i 0: it comes then; 1: it never does; 2: it was refused. */
START_TEST(a_page_that_was_lost_is_asked_for_again) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx);
  page(&r, "[{\"name\":\"x\"}]", ",\"nextCursor\":\"c\"");
  size_t n = 2;
  do {
    core_fail(core_port(&r, 0), core_last(core_port(&r, 0))->call, MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, _i == 2 ? 404 : 0);
    for (int t = 0; t < 1000 && !s->finals && pages_asked(&r) == n; t++) core_tick(&r, 1);
    if (!s->finals) ck_assert_uint_eq(pages_asked(&r), ++n);
    ck_assert_uint_lt(n, 10);
  } while (_i && !s->finals);
  ck_assert_int_eq(s->finals, _i != 0);
  ck_assert_uint_eq(mg_core_stats(r.core)->retries, n - 2);
  if (!_i) {
    core_has(core_last(core_port(&r, 0))->text, "\"cursor\":\"c\"");
    page(&r, "[{\"name\":\"y\"}]", "");
    core_has(core_final(s), "\"tools\":[{\"name\":\"a__x\"},{\"name\":\"a__y\"}]");
  } else {
    ck_assert_uint_eq(n, _i == 2 ? 2 : 4);
    core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"a\":");
  }
  core_down(&r);
}
END_TEST

/* Its link goes while it waits for its turn. */
START_TEST(a_page_that_waits_for_its_turn_goes_with_its_link) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx);
  core_fail(core_port(&r, 0), core_last(core_port(&r, 0))->call, MCPGW_E_CLOSED, MCPGW_DELIVERED_NO, 0);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  r.servers[0].tools = "[{\"name\":\"new\"}]";
  core_settle(&r);
  core_tick(&r, 2000);
  core_settle(&r);
  ck_assert_int_eq(s->finals, 1);
  core_down(&r);
}
END_TEST

START_TEST(a_walk_has_a_longest_way_and_time) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx);
  char more[64];
  int pages = 0;
  for (; pages < 2000 && !s->finals; pages++) {
    snprintf(more, sizeof more, ",\"nextCursor\":\"%d\"", pages);
    page(&r, "[]", more);
    if (_i) core_tick(&r, 1000);
  }
  ck_assert_int_eq(s->finals, 1);
  if (_i) ck_assert_int_le(pages, 301); /* total_ms */
  else ck_assert_int_eq(pages, 1001);   /* 1,000 pages, and the one that is too many */
  core_down(&r);
}
END_TEST

START_TEST(a_list_has_a_longest_length) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx);
  size_t len = 3 << 20;
  char *tools = malloc(len + 100);
  for (int i = 0; i < 3 && !s->finals; i++) { /* 9 MiB: the third does not fit any more */
    size_t at = (size_t)sprintf(tools, "[{\"name\":\"t%d\",\"d\":\"", i);
    memset(tools + at, 'x', len);
    strcpy(tools + at + len, "\"}]");
    char more[64];
    snprintf(more, sizeof more, ",\"nextCursor\":\"%d\"", i);
    page(&r, tools, more);
  }
  ck_assert_int_eq(s->finals, 1);
  core_has(core_final(s), "a__t0");
  core_lacks(core_final(s), "a__t2");
  core_has(core_final(s), "nextCursor"); /* ours: one page holds 4 MiB */
  free(tools);
  core_down(&r);
}
END_TEST

static const char *const no_lists[] = {"{}", "{\"tools\":{}}", "{\"tools\":null}", "{\"tools\":\"x\"}"};

START_TEST(what_is_no_list_is_not_taken_for_one) {
  struct core_rig r;
  struct mg_ctx *ctx;
  struct core_sink *s = begin_list(&r, &ctx);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, no_lists[_i]);
  core_has(core_final(s), "\"tools\":[]");
  core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"a\":");
  core_down(&r);
}
END_TEST

START_TEST(slow_lists_are_not_waited_for) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"timeouts\":{\"list_ms\":20000}}},\"b\":{\"url\":\"http://b/mcp\"}}", NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, LIST("tools/list"));
  core_result(core_port(&r, 1), core_last(core_port(&r, 1))->call, "{\"tools\":[{\"name\":\"t\"}]}");
  core_tick(&r, 15000);
  page(&r, "[{\"name\":\"x\"}]", ",\"nextCursor\":\"1\"");
  core_tick(&r, 4999);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1);
  core_has(core_final(s), "\"tools\":[{\"name\":\"b__t\"}]");
  core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"a\":");
  core_tick(&r, 100);
  page(&r, "[{\"name\":\"y\"}]", ""); /* it goes on for the next one */
  struct core_sink *next = core_sink(&r);
  core_legacy(ctx, next, CALL("a__y"));
  core_result(core_port(&r, 0), core_sent(core_port(&r, 0), "tools/call", 0)->call, "{}");
  core_down(&r);
}
END_TEST

/* A call that waited for lists and then left must not be stepped again when that waiting would have ended. */
START_TEST(a_call_under_way_has_done_with_waiting) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = "[{\"name\":\"t\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("a__t"));
  core_serve(&r);
  core_tick(&r, 60000);
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/call", 1));
  core_result(core_port(&r, 0), core_sent(core_port(&r, 0), "tools/call", 0)->call, "{}");
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(a_changed_list_is_fetched_again) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = "[{\"name\":\"x\"}]";
  r.servers[0].hints = ",\"ttlMs\":600000";
  r.servers[1].caps = "{}";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *channel = core_sink(&r);
  mg_ctx_set_channel(ctx, &channel->sink);
  ask(&r, ctx, LIST("tools/list"));
  core_tick(&r, 1000);
  ask(&r, ctx, LIST("tools/list"));
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/list", 1)); /* fresh while it says so */
  r.servers[0].tools = "[{\"name\":\"z\"}]";
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  core_has(core_text(channel, 0), "notifications/tools/list_changed");
  core_has(core_final(ask(&r, ctx, LIST("tools/list"))), "a__z");
  core_tick(&r, 300000); /* its word counts for five minutes at most */
  ask(&r, ctx, LIST("tools/list"));
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "tools/list", 2));
  core_down(&r);
}
END_TEST

/* What the upstream does not know, or takes for wrong, may have changed; what the call was not about has not. */
START_TEST(an_error_puts_its_own_list_in_doubt) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].caps = "{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":true}}";
  r.servers[0].tools = "[{\"name\":\"x\"}]";
  r.servers[0].hints = ",\"ttlMs\":600000";
  r.servers[1].caps = "{}";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_port *p = core_port(&r, 0);
  ask(&r, ctx, LIST("tools/list"));
  ask(&r, ctx, LIST("prompts/list"));
  core_tick(&r, 20000);
  for (int i = 0; i < 2; i++) { /* and that not more often than every ten seconds */
    struct core_sink *s = core_sink(&r);
    core_say(&r, ctx, s, mg_ctx_view(ctx), CALL("a__x"));
    core_error(p, core_last(p)->call, -32602);
    core_has(core_final(s), "-32602");
    ask(&r, ctx, LIST("tools/list"));
    ask(&r, ctx, LIST("prompts/list"));
  }
  ck_assert_ptr_nonnull(core_sent(p, "tools/list", 1));
  ck_assert_ptr_null(core_sent(p, "tools/list", 2));
  ck_assert_ptr_null(core_sent(p, "prompts/list", 1));
  core_down(&r);
}
END_TEST

/* ---- cursors ----------------------------------------------------------------------------------------------------- */

static char *many(size_t n) {
  char *tools = malloc(n * 40 + 10), *p = tools;
  *p++ = '[';
  for (size_t i = 0; i < n; i++) p += sprintf(p, "%s{\"name\":\"t%zu\"}", i ? "," : "", i);
  strcpy(p, "]");
  return tools;
}

static char *cursor_of(const char *text) {
  const char *p = strstr(text, "\"nextCursor\":\"");
  ck_assert_ptr_nonnull(p);
  p += 14;
  return strndup(p, strcspn(p, "\""));
}

static struct core_sink *ask_from(struct core_rig *r, struct mg_ctx *ctx, const char *method, const char *cursor) {
  struct core_sink *s = core_sink(r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"cursor\":\"%s\"}}", method, cursor);
  core_settle(r);
  return s;
}

START_TEST(long_lists_come_in_pages_of_ours) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  char *tools = many(1500);
  r.servers[0].tools = tools;
  r.servers[1].tools = tools;
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  const char *text = core_final(ask(&r, ctx, LIST("tools/list")));
  core_has(text, "\"a__t999\"");
  core_lacks(text, "\"a__t1000\"");
  char *one = cursor_of(text);
  text = core_final(ask_from(&r, ctx, "tools/list", one));
  core_lacks(text, "\"a__t999\"");
  core_has(text, "\"a__t1000\"");
  core_has(text, "\"b__t499\"");
  char *two = cursor_of(text);
  text = core_final(ask_from(&r, ctx, "tools/list", two));
  core_has(text, "{\"tools\":[{\"name\":\"b__t500\"}");
  core_has(text, "\"b__t1499\"");
  core_lacks(text, "nextCursor");
  /* refused: forged, of another kind, of a list that has changed */
  core_has(core_final(ask_from(&r, ctx, "prompts/list", one)), "-32602");
  core_has(core_final(ask_from(&r, ctx, "tools/list", "AAAA")), "-32602");
  core_has(core_final(ask_from(&r, ctx, "tools/list", "")), "-32602");
  one[8] = one[8] == 'A' ? 'B' : 'A';
  core_has(core_final(ask_from(&r, ctx, "tools/list", one)), "-32602");
  core_tick(&r, 1);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  r.servers[0].tools = "[]";
  ask(&r, ctx, LIST("tools/list"));
  core_has(core_final(ask_from(&r, ctx, "tools/list", two)), "the list changed");
  free(one);
  free(two);
  free(tools);
  core_down(&r);
}
END_TEST

/* Somebody else's listing does not spoil a walk under way as long as the list is the same. */
START_TEST(a_list_that_did_not_change_keeps_its_cursors) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  char *tools = many(1001);
  r.servers[0].tools = tools;
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  char *cursor = cursor_of(core_final(ask(&r, ctx, LIST("tools/list"))));
  core_tick(&r, 1000);
  ask(&r, ctx, LIST("tools/list"));
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "tools/list", 1)); /* it was fetched anew */
  core_has(core_final(ask_from(&r, ctx, "tools/list", cursor)), "\"a__t1000\"");
  free(cursor);
  free(tools);
  core_down(&r);
}
END_TEST

/* The new link's first list is another, though each is the first of its link. */
START_TEST(a_cursor_does_not_outlive_the_link_whose_list_it_points_into) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  char *tools = many(1001);
  r.servers[0].tools = tools;
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  char *cursor = cursor_of(core_final(ask(&r, ctx, LIST("tools/list"))));
  memcpy(strstr(tools, "\"t0\""), "\"u0\"", 4);
  core_tick(&r, 1);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_tick(&r, 2000);
  core_has(core_final(ask(&r, ctx, LIST("tools/list"))), "\"a__u0\"");
  core_has(core_final(ask_from(&r, ctx, "tools/list", cursor)), "the list changed");
  free(cursor);
  free(tools);
  core_down(&r);
}
END_TEST

START_TEST(cursors_of_another_process_are_refused) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  char *tools = many(1001);
  r.servers[0].tools = tools;
  char *cursor = cursor_of(core_final(ask(&r, core_session(&r, 0, 2), LIST("tools/list"))));
  core_down(&r);
  core_up(&r, TWO, NULL);
  r.servers[0].tools = tools;
  core_has(core_final(ask_from(&r, core_session(&r, 0, 2), "tools/list", cursor)), "-32602");
  free(cursor);
  free(tools);
  core_down(&r);
}
END_TEST

/* ---- setLevel over several ---------------------------------------------------------------------------------------- */

START_TEST(the_level_is_told_to_all_that_log) {
  struct core_rig r;
  core_up(&r, THREE, NULL);
  r.servers[1].caps = "{\"tools\":{}}";
  struct mg_ctx *ctx = core_session(&r, 0, 3);
  struct core_sink *s = core_sink(&r);
  core_has(core_final(ask(&r, ctx, REQ("logging/setLevel", "\"level\":\"loud\""))), "\"code\":-32602");
  core_has(core_final(ask(&r, ctx, REQ("logging/setLevel", ""))), "\"code\":-32602");
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "logging/setLevel", 0));
  core_legacy(ctx, s, REQ("logging/setLevel", "\"level\":\"info\""));
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "logging/setLevel", 0));
  ck_assert_ptr_null(core_sent(core_port(&r, 1), "logging/setLevel", 0));
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  ck_assert_int_eq(s->finals, 0);
  core_close(core_port(&r, 2), MCPGW_DELIVERED_UNKNOWN);
  ck_assert_str_eq(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
  core_down(&r);
}
END_TEST

Suite *core_lists_suite(void) {
  Suite *s = suite_create("core/lists");
  TCase *t = tcase_create("lists");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, lists_are_put_together_in_order);
  tcase_add_test(t, one_server_alone_keeps_its_names);
  tcase_add_test(t, who_is_down_is_left_out_and_named);
  tcase_add_test(t, a_tool_of_one_that_is_down_is_away_not_unknown);
  tcase_add_test(t, lost_state_is_told_though_the_server_cannot_come_back);
  tcase_add_test(t, two_that_are_exposed_alike_are_listed_once_each);
  tcase_add_test(t, a_list_is_walked_to_its_end);
  tcase_add_loop_test(t, a_walk_in_circles_ends, 0, 2);
  tcase_add_loop_test(t, a_page_that_was_lost_is_asked_for_again, 0, 3);
  tcase_add_test(t, a_page_that_waits_for_its_turn_goes_with_its_link);
  tcase_add_loop_test(t, a_walk_has_a_longest_way_and_time, 0, 2);
  tcase_add_test(t, a_list_has_a_longest_length);
  tcase_add_loop_test(t, what_is_no_list_is_not_taken_for_one, 0, 4);
  tcase_add_test(t, slow_lists_are_not_waited_for);
  tcase_add_test(t, a_call_under_way_has_done_with_waiting);
  tcase_add_test(t, a_changed_list_is_fetched_again);
  tcase_add_test(t, an_error_puts_its_own_list_in_doubt);
  tcase_add_test(t, long_lists_come_in_pages_of_ours);
  tcase_add_test(t, a_list_that_did_not_change_keeps_its_cursors);
  tcase_add_test(t, a_cursor_does_not_outlive_the_link_whose_list_it_points_into);
  tcase_add_test(t, cursors_of_another_process_are_refused);
  suite_add_tcase(s, t);
  t = tcase_create("routes");
  tcase_add_test(t, calls_find_their_server_by_table);
  tcase_add_test(t, long_names_are_shortened_and_found_again);
  tcase_add_test(t, another_separator);
  tcase_add_test(t, an_unknown_name_refreshes_once_in_a_while);
  tcase_add_loop_test(t, a_resource_has_one_owner, 0, (int)(sizeof owners / sizeof owners[0]));
  tcase_add_test(t, completion_of_a_template_goes_to_its_owner);
  tcase_add_test(t, the_only_server_with_resources_owns_them_all);
  tcase_add_test(t, nobody_is_the_only_owner_while_another_is_away);
  tcase_add_test(t, resources_keep_their_uris);
  tcase_add_test(t, the_level_is_told_to_all_that_log);
  suite_add_tcase(s, t);
  return s;
}
