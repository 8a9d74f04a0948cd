/* tests/core/sharing: legacy links that several contexts use, ceilings on links, and lost state until it was told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/brain.h"
#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define ISO(how) "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"isolation\":\"" how "\"}}}"
#define REQUEST(id, method, params) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"
#define CALL(id) REQUEST(id, "tools/call", "{\"name\":\"t\"}")
#define SUBSCRIBE(id, uri) REQUEST(id, "resources/subscribe", "{\"uri\":\"" uri "\"}")
#define UNSUBSCRIBE(id, uri) REQUEST(id, "resources/unsubscribe", "{\"uri\":\"" uri "\"}")
#define LEVEL(id, level) REQUEST(id, "logging/setLevel", "{\"level\":\"" level "\"}")

struct client {
  struct mg_ctx *ctx;
  struct core_sink *channel, *posts;
};

static struct client client(struct core_rig *r, const char *capabilities) {
  struct client c = {NULL, core_sink(r), core_sink(r)};
  char params[300];
  struct core_sink *s = core_sink(r);
  snprintf(params, sizeof params, "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":%s,\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}",
           capabilities);
  c.ctx = core_initialize(r, s, 0, 1, params);
  core_settle(r);
  core_has(core_final(s), "\"result\"");
  mg_ctx_set_channel(c.ctx, &c.channel->sink);
  core_legacy(c.ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  core_settle(r);
  return c;
}

static void answer(struct core_rig *r, struct client *c, const char *request, const char *result) {
  struct core_port *p = core_port(r, 0);
  size_t n = p->n;
  core_legacy(c->ctx, c->posts, "%s", request);
  ck_assert_uint_eq(p->n, n + 1);
  core_result(p, core_last(p)->call, result);
  core_has(core_final(c->posts), "\"result\"");
}

/* Answered without the upstream. */
static void answered_here(struct core_rig *r, struct client *c, const char *request) {
  struct core_port *p = core_port(r, 0);
  size_t n = p->n;
  core_legacy(c->ctx, c->posts, "%s", request);
  ck_assert_uint_eq(p->n, n);
  core_has(core_final(c->posts), "\"result\":{}");
}

static size_t heard(const struct client *c, const char *part) {
  size_t n = 0;
  for (size_t i = 0; i < c->channel->n; i++) n += strstr(c->channel->v[i].text, part) != NULL;
  return n;
}

/* ---- who shares ----------------------------------------------------------------------------------------- */

static const struct {
  const char *how;
  size_t same, other; /* links after a second context of one caller; after one of another's */
} modes[] = {{"session", 2, 3}, {"principal", 1, 2}, {"shared", 1, 1}};

START_TEST(a_link_is_whose_the_mode_says) {
  struct core_rig r;
  char servers[200];
  snprintf(servers, sizeof servers, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"isolation\":\"%s\"}}}", modes[_i].how);
  core_up(&r, servers, NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  ck_assert_uint_eq(r.n_ports, modes[_i].same);
  r.principal = "bob";
  struct client c = client(&r, "{}");
  ck_assert_uint_eq(r.n_ports, modes[_i].other);
  mg_core_end(r.core, a.ctx, "x");
  ck_assert_int_eq(r.ports[0]->closed, modes[_i].same == 2);
  mg_core_end(r.core, b.ctx, "x");
  ck_assert_int_eq(r.ports[0]->closed, modes[_i].other > 1); /* the caller's last one */
  mg_core_end(r.core, c.ctx, "x");
  ck_assert_int_eq(r.ports[r.n_ports - 1]->closed, modes[_i].other > 1);
  core_down(&r);
}
END_TEST

START_TEST(the_gateway_speaks_for_all_on_a_common_link) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 1, "{\"protocolVersion\":\"2025-03-26\",\"capabilities\":{},\"clientInfo\":{\"name\":\"spy\",\"version\":\"1\"}}");
  struct core_port *p = core_port(&r, 0);
  core_has(core_last(p)->text, "\"elicitation\":{\"form\":{},\"url\":{}}");
  core_has(core_last(p)->text, "\"sampling\":{}");
  core_has(core_last(p)->text, "\"roots\":{\"listChanged\":true}");
  core_lacks(core_last(p)->text, "spy");
  core_settle(&r);
  core_has(core_final(s), "\"protocolVersion\":\"2025-03-26\""); /* each client in its own revision */
  ck_assert_ptr_nonnull(core_sent(p, "notifications/initialized", 0));
  ck_assert_int_eq(p->listens, 1);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  client(&r, "{}");
  ck_assert_ptr_null(core_sent(p, "notifications/initialized", 1));
  core_down(&r);
}
END_TEST

/* A server may say what changed on the stream of whichever call it is busy with. */
START_TEST(changes_are_for_those_who_follow_them) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  answer(&r, &a, SUBSCRIBE("1", "x://1"), "{}");
  core_legacy(b.ctx, b.posts, CALL("7"));
  core_settle(&r);
  uint64_t call = core_last(p)->call;
  core_hear(p, call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"x://1\"}}");
  ck_assert_uint_eq(b.posts->n, 0); /* what others follow is not his to hear */
  ck_assert_uint_eq(heard(&b, "x://1"), 0);
  ck_assert_uint_eq(heard(&a, "x://1"), 1);
  core_hear(p, call, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  core_has(core_text(b.posts, 0), "list_changed"); /* each on one stream */
  ck_assert_uint_eq(heard(&b, "list_changed"), 0);
  ck_assert_uint_eq(heard(&a, "list_changed"), 1);
  core_result(p, call, "{\"content\":[]}");
  core_down(&r);
}
END_TEST

/* ---- what is counted for all --------------------------------------------------------------------------------- */

START_TEST(subscriptions_are_counted) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}"), c = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  answer(&r, &a, SUBSCRIBE("1", "x://1"), "{}");
  answered_here(&r, &b, SUBSCRIBE("1", "x://1"));
  answer(&r, &b, SUBSCRIBE("2", "x://2"), "{}");
  const char *updated = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"%s\"}}";
  core_hear(p, 0, updated, "x://1");
  core_hear(p, 0, updated, "x://2");
  core_hear(p, 0, updated, "x://1/part");
  core_hear(p, 0, updated, "x://11");
  ck_assert_uint_eq(heard(&a, "x://1\""), 1);
  ck_assert_uint_eq(heard(&a, "x://2"), 0); /* what others follow is not his to hear */
  ck_assert_uint_eq(heard(&a, "x://1/part"), 1);
  ck_assert_uint_eq(heard(&b, "x://1\"") + heard(&b, "x://2"), 2);
  ck_assert_uint_eq(heard(&c, "updated") + heard(&a, "x://11") + heard(&b, "x://11"), 0);
  answered_here(&r, &a, UNSUBSCRIBE("3", "x://1")); /* b still wants it */
  core_hear(p, 0, updated, "x://1");
  ck_assert_uint_eq(heard(&a, "x://1\""), 1);
  ck_assert_uint_eq(heard(&b, "x://1\""), 2);
  answer(&r, &b, UNSUBSCRIBE("4", "x://1"), "{}");
  mg_core_end(r.core, b.ctx, "gone"); /* and with it the last wish for 2 */
  ck_assert_ptr_nonnull(core_sent(p, "\"resources/unsubscribe\",\"params\":{\"uri\":\"x://2\"}", 0));
  core_down(&r);
}
END_TEST

/* PHP escapes slashes, others do not: it is the same resource. */
START_TEST(a_uri_is_the_same_however_it_is_written) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  answer(&r, &a, SUBSCRIBE("1", "x:\\/\\/1"), "{}");
  answered_here(&r, &b, SUBSCRIBE("1", "x://1"));
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"x:/\\/\\u0031\"}}");
  ck_assert_uint_eq(heard(&a, "updated"), 1);
  ck_assert_uint_eq(heard(&b, "updated"), 1);
  answered_here(&r, &b, UNSUBSCRIBE("2", "x:\\/\\/1"));
  answer(&r, &a, UNSUBSCRIBE("2", "x://1"), "{}");
  core_down(&r);
}
END_TEST

START_TEST(what_is_remembered_of_a_client_has_a_ceiling) {
  struct core_rig r;
  char text[9000], uri[8200];
  core_up(&r, _i ? ISO("session") : ISO("shared"), NULL);
  struct client a = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < 1024; i++) {
    snprintf(text, sizeof text, SUBSCRIBE("1", "x://%d"), i);
    answer(&r, &a, text, "{}");
  }
  size_t n = p->n;
  core_legacy(a.ctx, a.posts, "%s", SUBSCRIBE("2", "x://one-more"));
  core_has(core_final(a.posts), "OVERLOADED");
  core_has(core_final(a.posts), "1,024 resources");
  memset(uri, 'u', sizeof uri - 1);
  uri[sizeof uri - 1] = 0;
  snprintf(text, sizeof text, SUBSCRIBE("3", "%s"), uri);
  core_legacy(a.ctx, a.posts, "%s", text);
  core_has(core_final(a.posts), "OVERLOADED");
  ck_assert_uint_eq(p->n, n); /* nothing was sent */
  snprintf(text, sizeof text, LEVEL("4", "%s"), uri);
  core_legacy(a.ctx, a.posts, "%s", text);
  ck_assert_uint_eq(a.ctx->level.len, 0);
  if (_i) core_error(p, core_last(p)->call, -32602); /* of its own it is the server's to refuse */
  core_has(core_final(a.posts), "-32602");
  answer(&r, &a, UNSUBSCRIBE("5", "x://7"), "{}");
  answer(&r, &a, SUBSCRIBE("6", "x://one-more"), "{}");
  core_down(&r);
}
END_TEST

START_TEST(a_refused_subscription_is_nobodys) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  core_legacy(a.ctx, a.posts, SUBSCRIBE("1", "x://no"));
  core_error(p, core_last(p)->call, -32602);
  size_t n = p->n;
  core_legacy(b.ctx, b.posts, SUBSCRIBE("1", "x://no"));
  ck_assert_uint_eq(p->n, n + 1); /* asked again, not taken for granted */
  core_error(p, core_last(p)->call, -32602);
  core_has(core_final(b.posts), "-32602");
  core_down(&r);
}
END_TEST

START_TEST(the_most_verbose_level_is_kept_and_each_hears_its_own) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}"), c = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  const char *log = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"%s\",\"data\":1}}";
  core_hear(p, 0, log, "debug"); /* nobody has said anything: what the server thinks right */
  ck_assert_uint_eq(heard(&a, "debug") + heard(&b, "debug") + heard(&c, "debug"), 3);
  core_legacy(a.ctx, a.posts, LEVEL("1", "warning"));
  core_has(core_final(a.posts), "\"result\":{}");
  core_has(core_last(p)->text, "\"level\":\"warning\"");
  core_result(p, core_last(p)->call, "{}");
  core_legacy(b.ctx, b.posts, LEVEL("1", "debug"));
  core_has(core_last(p)->text, "\"level\":\"debug\"");
  core_result(p, core_last(p)->call, "{}");
  answered_here(&r, &a, LEVEL("2", "error"));
  core_hear(p, 0, log, "debug");
  core_hear(p, 0, log, "info");
  core_hear(p, 0, log, "warning");
  core_hear(p, 0, log, "error");
  ck_assert_uint_eq(heard(&a, "debug") + heard(&a, "info") + heard(&a, "warning"), 1);
  ck_assert_uint_eq(heard(&a, "\"error\""), 1);
  ck_assert_uint_eq(heard(&b, "debug"), 2);
  ck_assert_uint_eq(heard(&c, "debug"), 1);
  ck_assert_uint_eq(heard(&c, "info"), 1);
  core_legacy(a.ctx, a.posts, LEVEL("3", "loud"));
  core_has(core_final(a.posts), "\"code\":-32602");
  mg_core_end(r.core, b.ctx, "gone");
  core_has(core_last(p)->text, "\"level\":\"error\""); /* nobody wants more now */
  core_result(p, core_last(p)->call, "{}");
  core_down(&r);
}
END_TEST

/* Of several servers, one is common: its level is told once, and nothing else is asked again. */
START_TEST(a_level_behind_a_merged_view) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"isolation\":\"shared\"}},\"b\":{\"url\":\"http://b/mcp\"}}", NULL);
  r.servers[0].resources = "[{\"uri\":\"x://1\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, SUBSCRIBE("1", "x://1"));
  core_settle(&r);
  core_result(core_port(&r, 0), core_sent(core_port(&r, 0), "resources/subscribe", 0)->call, "{}");
  core_has(core_final(s), "\"id\":1,\"result\"");
  core_legacy(ctx, s, LEVEL("2", "warning"));
  core_result(core_port(&r, 0), core_sent(core_port(&r, 0), "setLevel", 0)->call, "{}");
  core_result(core_port(&r, 1), core_sent(core_port(&r, 1), "setLevel", 0)->call, "{}");
  core_has(core_final(s), "\"id\":2,\"result\"");
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "resources/subscribe", 1));
  core_down(&r);
}
END_TEST

START_TEST(list_changes_are_for_all) {
  struct core_rig r;
  core_up(&r, ISO("principal"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  r.principal = "bob";
  struct client c = client(&r, "{}");
  core_hear(r.ports[0], 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  ck_assert_uint_eq(heard(&a, "list_changed") + heard(&b, "list_changed"), 2);
  ck_assert_uint_eq(heard(&c, "list_changed"), 0);
  core_hear(r.ports[0], 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/secret\",\"params\":{\"of\":\"whom\"}}");
  ck_assert_uint_eq(heard(&a, "secret") + heard(&b, "secret"), 0); /* whose it is cannot be told */
  core_hear(r.ports[1], 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/secret\",\"params\":{\"of\":\"whom\"}}");
  ck_assert_uint_eq(heard(&c, "secret"), 1);
  core_down(&r);
}
END_TEST

/* ---- questions of servers ---------------------------------------------------------------------------------------- */

#define ASK(id, method) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{}}"

START_TEST(a_question_goes_where_it_belongs_or_nowhere) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  r.closes = 1; /* HTTP: messages come on their call's own exchange */
  struct client a = client(&r, "{\"sampling\":{}}"), b = client(&r, "{\"roots\":{}}");
  struct core_port *p = core_port(&r, 0);
  core_legacy(a.ctx, a.posts, CALL("1"));
  uint64_t of_a = core_last(p)->call;
  core_legacy(b.ctx, b.posts, CALL("1"));
  uint64_t of_b = core_last(p)->call;
  core_hear(p, of_a, ASK("7", "sampling/createMessage"));
  core_has(core_text(a.posts, a.posts->n - 1), "sampling/createMessage");
  core_legacy(a.ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"by\":\"a\"}}");
  core_has(core_last(p)->text, "\"id\":7,\"result\":{\"by\":\"a\"}");
  size_t before = b.posts->n;
  core_hear(p, of_b, ASK("8", "sampling/createMessage")); /* b cannot do that, and is not asked */
  ck_assert_uint_eq(b.posts->n, before);
  core_has(core_last(p)->text, "\"id\":8,\"error\":{\"code\":-32601");
  core_hear(p, 0, ASK("9", "roots/list")); /* of no call: for whom? */
  core_has(core_last(p)->text, "\"id\":9,\"error\":{\"code\":-32601");
  core_result(p, of_a, "{}");
  core_result(p, of_b, "{}");
  mg_core_end(r.core, a.ctx, "x");
  core_hear(p, 0, ASK("10", "roots/list")); /* only b is there now */
  ck_assert_uint_eq(heard(&b, "roots/list"), 1);
  mg_core_end(r.core, b.ctx, "x"); /* and the server does not wait for it any more */
  core_has(core_last(p)->text, "\"id\":10,\"error\":{\"code\":-32603");
  core_down(&r);
}
END_TEST

START_TEST(a_question_nobody_answers_gives_its_place_back) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"timeouts\":{\"total_ms\":5000}}}}", NULL);
  struct client a = client(&r, "{\"roots\":{}}");
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < MG_MAX_REVERSE; i++) core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"roots/list\"}", i);
  core_tick(&r, 4999);
  core_hear(p, 0, ASK("\"full\"", "roots/list"));
  core_has(core_last(p)->text, "\"full\",\"error\"");
  core_tick(&r, 1);
  core_has(core_last(p)->text, "did not answer in time");
  ck_assert_uint_eq(heard(&a, "notifications/cancelled"), MG_MAX_REVERSE);
  core_hear(p, 0, ASK("\"again\"", "roots/list"));
  ck_assert_uint_eq(heard(&a, "roots/list"), MG_MAX_REVERSE + 1);
  core_down(&r);
}
END_TEST

/* ---- lost state ------------------------------------------------------------------------------------------------------ */

START_TEST(lost_state_is_told_until_it_was_written) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct client a = client(&r, "{}");
  struct core_port *p = core_port(&r, 0);
  answer(&r, &a, SUBSCRIBE("1", "x://1"), "{}");
  answer(&r, &a, LEVEL("2", "error"), "{}");
  core_close(p, MCPGW_DELIVERED_NO);
  core_settle(&r);
  ck_assert_uint_eq(r.n_ports, 1); /* nothing is opened yet */
  a.posts->deaf = 1;
  for (int i = 0; i < 6; i++) { /* in parallel, none of them written yet */
    char text[200];
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}", 10 + i);
    core_legacy(a.ctx, a.posts, "%s", text);
    core_has(core_final(a.posts), "STATE_LOST");
    core_tick(&r, 25);
  }
  ck_assert_uint_eq(r.n_ports, 1);
  core_sink_hears(a.posts, 0); /* the connection is lost with all of them */
  core_tick(&r, 2000);
  core_legacy(a.ctx, a.posts, CALL("20"));
  core_has(core_final(a.posts), "\"id\":20,\"error\":{\"code\":-31007"); /* so it is told again */
  core_tick(&r, 30);
  ck_assert_uint_eq(r.n_ports, 2); /* that one was written: what it follows is asked for at once */
  core_settle(&r);
  p = core_port(&r, 0);
  ck_assert_ptr_nonnull(core_sent(p, "\"resources/subscribe\",\"params\":{\"uri\":\"x://1\"}", 0));
  ck_assert_ptr_nonnull(core_sent(p, "\"logging/setLevel\",\"params\":{\"level\":\"error\"}", 0));
  core_legacy(a.ctx, a.posts, CALL("21"));
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(a.posts), "\"id\":21,\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(an_error_written_late_counts_too) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct client a = client(&r, "{}");
  answer(&r, &a, CALL("1"), "{}");
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_settle(&r);
  a.posts->deaf = 1;
  core_legacy(a.ctx, a.posts, CALL("2"));
  core_legacy(a.ctx, a.posts, CALL("3"));
  core_has(core_final(a.posts), "\"id\":3,\"error\":{\"code\":-31007");
  core_sink_hears(a.posts, 1); /* replayed to a client that came back */
  core_legacy(a.ctx, a.posts, CALL("4"));
  core_settle(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_has(core_final(a.posts), "\"id\":4,\"result\"");
  core_down(&r);
}
END_TEST

/* Each context that shared the session is told for itself. */
START_TEST(all_who_shared_it_are_told) {
  struct core_rig r;
  core_up(&r, ISO("shared"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  answer(&r, &a, SUBSCRIBE("1", "x://1"), "{}");
  answered_here(&r, &b, SUBSCRIBE("1", "x://1"));
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_settle(&r);
  core_legacy(a.ctx, a.posts, CALL("2"));
  core_has(core_final(a.posts), "STATE_LOST");
  core_tick(&r, 30);
  core_settle(&r);
  ck_assert_uint_eq(r.n_ports, 2);
  core_legacy(b.ctx, b.posts, CALL("2"));
  core_has(core_final(b.posts), "STATE_LOST"); /* although the link is there again */
  core_tick(&r, 30);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  ck_assert_uint_eq(r.n_ports, 2);
  ck_assert_ptr_nonnull(core_sent(p, "\"resources/subscribe\"", 0));
  ck_assert_ptr_null(core_sent(p, "\"resources/subscribe\"", 1)); /* once for both */
  answer(&r, &b, CALL("3"), "{}");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"x://1\"}}");
  ck_assert_uint_eq(heard(&a, "updated") + heard(&b, "updated"), 2);
  core_down(&r);
}
END_TEST

/* ---- ceilings ------------------------------------------------------------------------------------------------------------ */

#define CAPPED(n) "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"limits\":{\"links\":" n "}}}}"

START_TEST(the_longest_unused_link_makes_room) {
  struct core_rig r;
  core_up(&r, CAPPED("2"), NULL);
  struct client a = client(&r, "{}");
  core_tick(&r, 1000);
  struct client b = client(&r, "{}");
  core_tick(&r, 1000);
  core_legacy(a.ctx, a.posts, REQUEST("1", "tools/list", "{}")); /* a is the newer one now */
  core_settle(&r);
  struct client c = client(&r, "{}");
  ck_assert_int_eq(r.ports[1]->closed, 1);
  ck_assert_int_eq(r.ports[1]->graceful, 1);
  ck_assert_int_eq(r.ports[0]->closed, 0);
  core_tick(&r, 1000);
  core_legacy(b.ctx, b.posts, CALL("1")); /* it had no state: a fresh one opens silently */
  core_settle(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_has(core_final(b.posts), "\"result\"");
  ck_assert_uint_eq(mg_core_stats(r.core)->links_reaped, 2);
  (void)c;
  core_down(&r);
}
END_TEST

START_TEST(what_is_in_use_or_holds_state_is_not_taken_lightly) {
  struct core_rig r;
  core_up(&r, CAPPED("2"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  core_legacy(a.ctx, a.posts, CALL("1"));
  core_result(r.ports[0], core_last(r.ports[0])->call, "{}"); /* a has state */
  core_legacy(b.ctx, b.posts, CALL("1"));                    /* b is busy */
  struct core_sink *s = core_sink(&r);
  core_initialize(&r, s, 0, 1, NULL);
  core_settle(&r);
  core_has(core_final(s), "limits.links");
  core_tick(&r, 0);
  core_tick(&r, 10000); /* but state that nobody touches makes room in the end */
  client(&r, "{}");
  ck_assert_int_eq(r.ports[0]->closed, 1);
  ck_assert_int_eq(r.ports[1]->closed, 0);
  core_legacy(a.ctx, a.posts, CALL("2"));
  core_has(core_final(a.posts), "STATE_LOST");
  core_result(r.ports[1], core_last(r.ports[1])->call, "{}");
  core_has(core_final(b.posts), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(who_has_left_makes_room_at_once) {
  struct core_rig r;
  core_up(&r, CAPPED("2"), NULL);
  struct client a = client(&r, "{}"), b = client(&r, "{}");
  core_legacy(a.ctx, a.posts, CALL("1")); /* both have state, touched just now */
  core_result(r.ports[0], core_last(r.ports[0])->call, "{}");
  answer(&r, &b, CALL("1"), "{}");
  mg_ctx_set_left(a.ctx, 1, r.now);
  mg_ctx_set_left(b.ctx, 1, r.now);
  mg_ctx_set_left(b.ctx, 0, r.now); /* it came back */
  client(&r, "{}");
  ck_assert_int_eq(r.ports[0]->closed, 1);
  ck_assert_int_eq(r.ports[1]->closed, 0);
  mg_ctx_set_left(a.ctx, 0, r.now);
  core_legacy(a.ctx, a.posts, CALL("2")); /* and so may the other, who is told */
  core_has(core_final(a.posts), "STATE_LOST");
  core_down(&r);
}
END_TEST

START_TEST(processes_have_a_ceiling_of_their_own) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"command\":\"x\",\"gateway\":{\"limits\":{\"children\":2}}}}", NULL);
  for (int i = 0; i < 5; i++) {
    client(&r, "{}");
    core_tick(&r, 1);
  }
  size_t open = 0;
  for (size_t i = 0; i < r.n_ports; i++) open += !r.ports[i]->closed;
  ck_assert_uint_eq(open, 2);
  core_down(&r);
}
END_TEST

/* Opened and ended in a loop: nothing is left of them. */
START_TEST(many_come_and_go) {
  static const char *const how[] = {ISO("session"), ISO("principal"), ISO("shared")};
  struct core_rig r;
  core_up(&r, how[_i], NULL);
  for (int i = 0; i < 15; i++) {
    struct client a = client(&r, "{}");
    answer(&r, &a, CALL("1"), "{}");
    mg_core_end(r.core, a.ctx, "done");
    core_tick(&r, 1);
    ck_assert_uint_eq(mg_core_contexts(r.core), 0);
  }
  size_t open = 0;
  for (size_t i = 0; i < r.n_ports; i++) open += !r.ports[i]->closed;
  ck_assert_uint_eq(open, _i == 2);
  core_down(&r);
}
END_TEST

Suite *core_sharing_suite(void) {
  Suite *s = suite_create("core/sharing");
  TCase *t = tcase_create("links");
  tcase_add_loop_test(t, a_link_is_whose_the_mode_says, 0, 3);
  tcase_add_test(t, the_gateway_speaks_for_all_on_a_common_link);
  tcase_add_test(t, subscriptions_are_counted);
  tcase_add_test(t, a_uri_is_the_same_however_it_is_written);
  tcase_add_test(t, changes_are_for_those_who_follow_them);
  tcase_add_loop_test(t, what_is_remembered_of_a_client_has_a_ceiling, 0, 2);
  tcase_add_test(t, a_refused_subscription_is_nobodys);
  tcase_add_test(t, the_most_verbose_level_is_kept_and_each_hears_its_own);
  tcase_add_test(t, a_level_behind_a_merged_view);
  tcase_add_test(t, list_changes_are_for_all);
  tcase_add_test(t, a_question_goes_where_it_belongs_or_nowhere);
  tcase_add_test(t, a_question_nobody_answers_gives_its_place_back);
  suite_add_tcase(s, t);
  t = tcase_create("lost");
  tcase_add_test(t, lost_state_is_told_until_it_was_written);
  tcase_add_test(t, an_error_written_late_counts_too);
  tcase_add_test(t, all_who_shared_it_are_told);
  suite_add_tcase(s, t);
  t = tcase_create("ceilings");
  tcase_add_test(t, the_longest_unused_link_makes_room);
  tcase_add_test(t, what_is_in_use_or_holds_state_is_not_taken_lightly);
  tcase_add_test(t, who_has_left_makes_room_at_once);
  tcase_add_test(t, processes_have_a_ceiling_of_their_own);
  tcase_add_loop_test(t, many_come_and_go, 0, 3);
  suite_add_tcase(s, t);
  return s;
}
