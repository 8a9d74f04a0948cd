/* tests/core/legacy: a legacy session: initialize, and how ids, tokens, cancellations, questions of servers
 * and private keys cross the gateway in both directions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define CALL(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{\"x\":1.10}}}"
#define TOOL "[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}]"

/* ---- initialize ------------------------------------------------------------------------------------------ */

START_TEST(one_server_speaks_for_itself) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].revision = "2025-06-18"; /* it negotiates down */
  r.servers[0].hello = ",\"instructions\":\"be \\u006bind\",\"future\":[1.0]";
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 1,
                                       "{ \"protocolVersion\" : \"2025-11-25\",\"capabilities\":{\"sampling\":{}},\"extra\":1e0,"
                                       "\"_meta\":{\"progressToken\":1,\"dev.mcpgw/x\":1},\"clientInfo\":{\"name\":\"c\",\"version\":\"1\"}}");
  struct core_sent *m = core_last(core_port(&r, 0));
  ck_assert_uint_eq(m->handshake, 1);
  core_has(m->text, "\"params\":{ \"protocolVersion\" : \"2025-11-25\",\"capabilities\":{\"sampling\":{}},\"extra\":1e0,\"clientInfo\":");
  core_lacks(m->text, "_meta");
  core_settle(&r);
  ck_assert_str_eq(core_final(s),
                   "{\"jsonrpc\":\"2.0\",\"id\":\"init\",\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{},"
                   "\"prompts\":{},\"resources\":{\"subscribe\":true},\"logging\":{}},\"serverInfo\":{\"name\":\"s0\",\"version\":\"1\"},"
                   "\"instructions\":\"be \\u006bind\",\"future\":[1.0]}}");
  ck_assert_str_eq(s->v[0].session, mg_ctx_id(ctx));
  ck_assert_int_eq(mg_ctx_revision(ctx), MG_REV_2025_06_18);
  ck_assert_int_eq(core_port(&r, 0)->listens, 0);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  core_has(core_last(core_port(&r, 0))->text, "notifications/initialized");
  ck_assert_int_eq(core_port(&r, 0)->listens, 1);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"); /* again: nothing */
  ck_assert_int_eq(core_port(&r, 0)->listens, 1);
  core_down(&r);
}
END_TEST

START_TEST(an_unknown_revision_becomes_the_latest) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  core_initialize(&r, core_sink(&r), 0, 1, "{\"protocolVersion\":\"2027-01-01\",\"capabilities\":{},\"clientInfo\":{}}");
  core_has(core_last(core_port(&r, 0))->text, "\"protocolVersion\":\"2025-11-25\"");
  core_initialize(&r, core_sink(&r), 0, 1, "{\"protocolVersion\":\"2026-07-28\",\"capabilities\":{},\"clientInfo\":{}}");
  core_has(core_last(core_port(&r, 0))->text, "\"protocolVersion\":\"2025-11-25\"");
  core_initialize(&r, core_sink(&r), 0, 1, "{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{},\"clientInfo\":{}}");
  core_has(core_last(core_port(&r, 0))->text, "\"protocolVersion\":\"2024-11-05\"");
  core_settle(&r);
  core_down(&r);
}
END_TEST

START_TEST(initialize_without_a_version_is_refused) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct core_sink *s = core_sink(&r);
  ck_assert_ptr_null(core_initialize(&r, s, 0, 1, "{\"capabilities\":{}}"));
  core_has(core_final(s), "-32602");
  ck_assert_ptr_null(core_initialize(&r, s, 0, 1, "{\"protocolVersion\":7}"));
  ck_assert_int_eq(s->finals, 2);
  ck_assert_uint_eq(mg_core_contexts(r.core), 0);
  core_down(&r);
}
END_TEST

START_TEST(a_refusal_is_passed_on_in_its_own_words) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].mute = 1;
  struct core_sink *s = core_sink(&r);
  core_initialize(&r, s, 0, 1, NULL);
  struct core_port *p = core_port(&r, 0);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32001,\"message\":\"come back\\ntomorrow\",\"data\":{\"d\":1}}}",
            (unsigned long long)core_last(p)->call);
  ck_assert_str_eq(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":\"init\",\"error\":{\"code\":-32001,\"message\":\"come back\\ntomorrow\",\"data\":{\"d\":1}}}");
  ck_assert_ptr_null(s->v[0].session);
  core_tick(&r, 1);
  ck_assert_uint_eq(mg_core_contexts(r.core), 0); /* it is of no use to anybody */
  ck_assert_int_eq(r.ended, 1);
  core_down(&r);
}
END_TEST

START_TEST(several_servers_speak_together) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\"},\"b\":{\"url\":\"http://b/mcp\"},\"c\":{\"url\":\"http://c/mcp\",\"gateway\":{\"era\":\"modern\"}}}", NULL);
  r.servers[0].caps = "{\"tools\":{},\"extensions\":{\"x/y\":{\"v\":1}}}";
  r.servers[0].hello = ",\"instructions\":\"one\"";
  r.servers[1].caps = "{\"resources\":{\"subscribe\":true},\"completions\":{},\"extensions\":{\"x/y\":{\"v\":2},\"z/z\":{}}}";
  r.servers[1].hello = ",\"instructions\":\"t\\u0077o\"";
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 3, NULL); /* the third is never to come: it is of the other era */
  core_serve(&r);
  const char *text = core_final(s);
  core_has(text, "\"protocolVersion\":\"2025-11-25\"");
  core_has(text, "\"tools\":{\"listChanged\":true}");
  core_has(text, "\"resources\":{\"subscribe\":true,\"listChanged\":true}");
  core_has(text, "\"completions\":{}");
  core_lacks(text, "\"prompts\"");
  core_lacks(text, "\"logging\"");
  core_has(text, "\"extensions\":{\"x/y\":{\"v\":1},\"z/z\":{}}");
  core_has(text, "\"instructions\":\"one\\n\\nt\\u0077o\"");
  core_has(text, "\"serverInfo\":{\"name\":\"mcpgw\"");
  core_has(text, "\"dev.mcpgw/unavailable\":{\"c\":\"");
  ck_assert_str_eq(s->v[0].session, mg_ctx_id(ctx));
  core_down(&r);
}
END_TEST

START_TEST(who_comes_late_joins_and_says_so) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].caps = "{\"tools\":{}}";
  r.servers[1].mute = 1;
  struct core_sink *s = core_sink(&r), *channel = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 2, NULL);
  mg_ctx_set_channel(ctx, &channel->sink);
  core_serve(&r);
  core_tick(&r, 4999);
  ck_assert_uint_eq(s->n, 0); /* connect_ms, then the session opens without it */
  core_tick(&r, 1);
  core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"b\":\"");
  core_has(core_final(s), "\"prompts\":{\"listChanged\":true}"); /* it may bring some */
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  ck_assert_uint_eq(channel->n, 0);
  struct core_port *late = core_port(&r, 1);
  core_result(late, core_last(late)->call, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{}}");
  core_has(core_last(late)->text, "notifications/initialized");
  core_has(core_text(channel, 0), "notifications/tools/list_changed");
  core_down(&r);
}
END_TEST

START_TEST(no_server_at_all_is_still_an_answer) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.open_rc = MCPGW_E_IO;
  struct core_sink *s = core_sink(&r);
  core_initialize(&r, s, 0, 2, NULL);
  core_has(core_final(s), "\"capabilities\":{\"tools\":{\"listChanged\":true}"); /* what they may bring when they come */
  core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"a\":\"");
  core_has(core_final(s), ",\"b\":\"");
  struct core_sink *one = core_sink(&r);
  core_initialize(&r, one, 1, 1, NULL);
  core_has(core_final(one), "UPSTREAM_UNAVAILABLE");
  core_has(core_final(one), "\"upstream\":\"b\"");
  core_has(core_final(one), "\"delivered\":\"no\"");
  core_down(&r);
}
END_TEST

START_TEST(requests_before_initialized_are_refused) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 1, NULL);
  core_settle(&r);
  struct core_sink *t = core_sink(&r);
  core_legacy(ctx, t, CALL("1"));
  core_has(core_final(t), "-32600");
  ck_assert_int_eq(core_status(t), 400);
  core_legacy(ctx, t, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}");
  ck_assert_str_eq(core_final(t), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
  core_legacy(ctx, t, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}");
  core_has(core_final(t), "-32600");
  ck_assert_uint_eq(core_port(&r, 0)->n, 1);
  core_down(&r);
}
END_TEST

/* ---- ids, tokens, bytes -------------------------------------------------------------------------------------- */

static const char *const spellings[] = {"0", "-1", "\"0\"", "\"a\\u0062\\\"\"", "18446744073709551616", "\"\"", "7"};

START_TEST(ids_are_given_back_as_they_were_spelled) {
  struct core_rig r;
  char want[300];
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, "{ \"id\" : %s , \"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"arguments\":{\"x\":1.10,\"id\":5},\"name\":\"t\"}}", spellings[_i]);
  struct core_sent *m = core_last(p);
  snprintf(want, sizeof want, "{ \"id\" : %llu , \"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"arguments\":{\"x\":1.10,\"id\":5},\"name\":\"t\"}}",
           (unsigned long long)m->call);
  ck_assert_str_eq(m->text, want); /* nothing but the id has changed */
  core_hear(p, 0, " {\"result\":{\"content\":[{\"n\":0.10}],\"id\":9},\"id\" :%llu,\"jsonrpc\":\"2.0\"}\n", (unsigned long long)m->call);
  snprintf(want, sizeof want, " {\"result\":{\"content\":[{\"n\":0.10}],\"id\":9},\"id\" :%s,\"jsonrpc\":\"2.0\"}\n", spellings[_i]);
  ck_assert_str_eq(core_final(s), want);
  ck_assert_int_eq(core_status(s), 200);
  ck_assert_int_eq(core_cancelled(p, m->call), 1); /* its exchange is no longer wanted */
  core_down(&r);
}
END_TEST

START_TEST(long_results_cross_in_pieces_unchanged) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  size_t len = 100000;
  char *big = malloc(len + 1), *want = malloc(len + 200);
  memset(big, 'x', len);
  big[len] = 0;
  core_legacy(ctx, s, CALL("\"k\""));
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"result\":{\"content\":\"%s\",\"_meta\":{\"dev.mcpgw/x\":1,\"y\":2}},\"id\":%llu}", big,
            (unsigned long long)core_last(p)->call);
  snprintf(want, len + 200, "{\"jsonrpc\":\"2.0\",\"result\":{\"content\":\"%s\",\"_meta\":{\"y\":2}},\"id\":\"k\"}", big);
  ck_assert_str_eq(core_final(s), want);
  free(big);
  free(want);
  core_down(&r);
}
END_TEST

START_TEST(equal_ids_of_two_sessions_do_not_meet) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *a = core_session(&r, 0, 1), *b = core_session(&r, 0, 1);
  struct core_sink *sa = core_sink(&r), *sb = core_sink(&r);
  ck_assert_uint_eq(r.n_ports, 2); /* a link each */
  core_legacy(a, sa, CALL("1"));
  core_legacy(b, sb, CALL("1"));
  struct core_port *pa = r.ports[0], *pb = r.ports[1];
  core_result(pb, core_last(pb)->call, "{\"of\":\"b\"}");
  core_result(pa, core_last(pa)->call, "{\"of\":\"a\"}");
  core_has(core_final(sa), "\"of\":\"a\"");
  core_has(core_final(sb), "\"of\":\"b\"");
  core_down(&r);
}
END_TEST

START_TEST(an_id_in_flight_is_refused_until_it_is_over) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  size_t sent = p->n;
  core_legacy(ctx, t, CALL("1"));
  ck_assert_str_eq(core_final(t), "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":\"a request with this id is in flight\"}}");
  ck_assert_int_eq(core_status(t), 400);
  ck_assert_uint_eq(p->n, sent);
  core_legacy(ctx, t, CALL("\"1\"")); /* a string is another id */
  core_result(p, core_last(p)->call, "{}");
  ck_assert_int_eq(t->finals, 2);
  core_result(p, p->v[sent - 1].call, "{}");
  core_legacy(ctx, t, CALL("1"));
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(t), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(replies_nobody_asked_for_are_counted) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  unsigned long long call = core_last(p)->call;
  uint64_t before = mg_core_stats(r.core)->unknown_ids;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", call + 1);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":\"%llu\",\"result\":{}}", call); /* we never use strings */
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":-%llu,\"result\":{}}", call);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999999,\"result\":{}}");
  core_hear(p, call + 7, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", call); /* on another call's exchange */
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"?\"}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_ids, before + 6);
  ck_assert_uint_eq(s->n, 0);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", call);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", call); /* twice */
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_ids, before + 7);
  ck_assert_int_eq(s->finals, 1);
  core_down(&r);
}
END_TEST

START_TEST(what_is_no_message_fails_only_its_own_call) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.closes = 1;
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  core_hear(p, 0, "not json");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->upstream_protocol, 2);
  ck_assert_uint_eq(s->n, 0);
  core_hear(p, core_last(p)->call, "<html>");
  core_has(core_final(s), "UPSTREAM_PROTOCOL");
  core_has(core_final(s), "\"delivered\":\"yes\"");
  core_down(&r);
}
END_TEST

START_TEST(batches_of_a_server_are_taken_apart) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  core_legacy(ctx, t, CALL("2"));
  unsigned long long b = core_last(p)->call, a = b - 1;
  core_hear(p, 0, "[{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"n\":2}}, {\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"n\":1}}]", b, a);
  core_has(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"n\":1}}");
  core_has(core_final(t), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"n\":2}}");
  core_hear(p, 0, "[{]");
  ck_assert_uint_eq(mg_core_stats(r.core)->upstream_protocol, 1);
  core_down(&r);
}
END_TEST

START_TEST(progress_finds_its_token_again) {
  struct core_rig r;
  char want[200];
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"_meta\":{\"progressToken\":%s}}}", spellings[_i]);
  core_legacy(ctx, t, CALL("6")); /* it wants no progress */
  unsigned long long with = core_last(p)->call - 1, without = core_last(p)->call;
  snprintf(want, sizeof want, "\"progressToken\":%llu}", with);
  core_has(core_sent(p, "progressToken", 0)->text, want);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":0.50,\"progressToken\":%llu}}", with);
  snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":0.50,\"progressToken\":%s}}", spellings[_i]);
  ck_assert_str_eq(core_text(s, 0), want);
  ck_assert_int_eq(s->v[0].final, 0);
  uint64_t before = mg_core_stats(r.core)->unknown_tokens;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1,\"progressToken\":%llu}}", without);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1,\"progressToken\":\"x\"}}");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_tokens, before + 3);
  ck_assert_uint_eq(t->n, 0);
  core_result(p, with, "{}");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1,\"progressToken\":%llu}}", with);
  ck_assert_uint_eq(s->n, 2); /* nothing after the reply */
  core_result(p, without, "{}");
  core_down(&r);
}
END_TEST

START_TEST(private_keys_stop_here) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{\"dev.mcpgw/x\":1},"
                      "\"_meta\":{\"dev.mcpgw/a\":1,\"keep\":2,\"dev.mcpg\\u0077/b\":{\"c\":[]},\"dev.mcpgw\":3}}}");
  core_has(core_last(p)->text, "\"arguments\":{\"dev.mcpgw/x\":1}"); /* payload is payload */
  core_has(core_last(p)->text, "\"_meta\":{\"keep\":2,\"dev.mcpgw\":3}");
  unsigned long long call = core_last(p)->call;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\",\"_meta\":{\"dev.mcpgw/a\":1}}}");
  core_has(core_text(s, 0), "\"_meta\":{}");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":[],\"_meta\":{\"dev.mcpgw/unavailable\":{},\"k\":1,\"dev.mcpgw\\/z\":0}}}", call);
  core_has(core_final(s), "\"_meta\":{\"k\":1}");
  core_down(&r);
}
END_TEST

START_TEST(the_gateways_name_cannot_be_borrowed) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  static const char *const origin[] = {"gateway", "gate\\u0077ay", "upstream", "Gateway"};
  for (size_t i = 0; i < 4; i++) {
    core_legacy(ctx, s, CALL("1"));
    core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-31007,\"message\":\"m\",\"data\":{\"reason\":\"STATE_LOST\",\"origin\":\"%s\"}}}",
              (unsigned long long)core_last(p)->call, origin[i]);
    core_has(core_final(s), i < 3 ? "\"origin\":\"upstream\"" : "\"origin\":\"Gateway\"");
    core_has(core_final(s), "\"code\":-31007"); /* all else passes */
  }
  core_down(&r);
}
END_TEST

/* ---- cancelling ------------------------------------------------------------------------------------------------ */

START_TEST(a_cancelled_request_gets_no_reply) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("\"x\""));
  unsigned long long call = core_last(p)->call;
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"x\",\"reason\":\"no \\\"more\\\"\"}}");
  char want[200];
  snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%llu,\"reason\":\"no \\\"more\\\"\"}}", call);
  ck_assert_str_eq(core_last(p)->text, want);
  ck_assert_int_eq(s->drops, 1);
  ck_assert_int_eq(core_cancelled(p, call), 1);
  core_result(p, call, "{}"); /* it came too late */
  ck_assert_uint_eq(s->n, 0);
  ck_assert_uint_eq(mg_core_stats(r.core)->cancelled, 1);
  core_legacy(ctx, s, CALL("\"x\"")); /* its id is free again */
  core_result(p, core_last(p)->call, "{}");
  ck_assert_int_eq(s->finals, 1);
  core_down(&r);
}
END_TEST

START_TEST(cancelling_what_is_not_there_is_counted) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1), *other = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("1"));
  uint64_t before = mg_core_stats(r.core)->unknown_ids;
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":2}}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"1\"}}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}");
  core_legacy(other, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_ids, before + 4);
  ck_assert_int_eq(s->drops, 0);
  core_result(r.ports[0], core_last(r.ports[0])->call, "{}");
  core_down(&r);
}
END_TEST

START_TEST(initialize_cannot_be_cancelled) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 1, NULL);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"init\"}}");
  core_settle(&r);
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(a_waiting_request_can_be_cancelled) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = TOOL;
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a__t\"}}"); /* waits for both lists */
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 0), "tools/list", 0));
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
  ck_assert_int_eq(s->drops, 1);
  core_serve(&r);
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/call", 0));
  core_down(&r);
}
END_TEST

START_TEST(a_sink_that_goes_takes_its_calls_along) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  core_legacy(ctx, s, CALL("2"));
  ck_assert_uint_eq(mg_core_calls(r.core), 2);
  core_sink_gone(s);
  ck_assert_uint_eq(mg_core_calls(r.core), 0);
  ck_assert_ptr_nonnull(core_sent(p, "notifications/cancelled", 1));
  ck_assert_uint_eq(mg_core_stats(r.core)->cancelled, 2);
  core_down(&r);
}
END_TEST

/* ---- questions of servers ---------------------------------------------------------------------------------------- */

START_TEST(questions_travel_under_numbers_of_our_own) {
  struct core_rig r;
  char want[400];
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  core_hear(p, core_last(p)->call, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"sampling/createMessage\",\"params\":{\"messages\":[{\"id\":0}],"
                                   "\"_meta\":{\"progressToken\":%s,\"dev.mcpgw/q\":1}}}", spellings[_i], spellings[_i]);
  ck_assert_str_eq(core_text(s, 0), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{\"messages\":[{\"id\":0}],"
                                    "\"_meta\":{\"progressToken\":1}}}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":0.5}}");
  snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s,\"progress\":0.5}}", spellings[_i]);
  ck_assert_str_eq(core_last(p)->text, want);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"role\":\"assistant\",\"_meta\":{\"dev.mcpgw/x\":1,\"k\":2}}}");
  snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"role\":\"assistant\",\"_meta\":{\"k\":2}}}", spellings[_i]);
  ck_assert_str_eq(core_last(p)->text, want);
  ck_assert_uint_eq(core_last(p)->kind, MCPGW_SEND_RESPONSE);
  size_t sent = p->n;
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"); /* a second answer */
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":1,\"message\":\"\"}}");
  ck_assert_uint_eq(p->n, sent);
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_responses, 3);
  core_result(p, core_sent(p, "tools/call", 0)->call, "{}");
  core_down(&r);
}
END_TEST

START_TEST(questions_of_two_servers_do_not_meet) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *channel = core_sink(&r);
  mg_ctx_set_channel(ctx, &channel->sink);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"roots/list\"}");
  core_hear(core_port(&r, 1), 0, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"roots/list\"}");
  ck_assert_str_eq(core_text(channel, 0), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}");
  ck_assert_str_eq(core_text(channel, 1), "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"roots/list\"}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"roots\":[2]}}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}");
  core_has(core_last(core_port(&r, 0))->text, "\"id\":0,\"error\"");
  core_has(core_last(core_port(&r, 1))->text, "\"id\":0,\"result\":{\"roots\":[2]}");
  core_down(&r);
}
END_TEST

START_TEST(a_server_may_take_its_question_back) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *channel = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  mg_ctx_set_channel(ctx, &channel->sink);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\",\"params\":{}}");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"q\",\"reason\":\"r\"}}");
  ck_assert_str_eq(core_text(channel, 1), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1,\"reason\":\"r\"}}");
  size_t sent = p->n;
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
  ck_assert_uint_eq(p->n, sent);
  uint64_t before = mg_core_stats(r.core)->unknown_ids;
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"q\"}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_ids, before + 1);
  core_down(&r);
}
END_TEST

START_TEST(pings_of_servers_are_answered_here) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":\"p\\n\",\"method\":\"ping\"}");
  ck_assert_str_eq(core_last(p)->text, "{\"jsonrpc\":\"2.0\",\"id\":\"p\\n\",\"result\":{}}");
  core_down(&r);
}
END_TEST

/* With nobody there to be asked, the server is told so instead of being left to wait. */
START_TEST(a_question_nobody_hears_is_answered_here) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_port *p = core_port(&r, 0);
  mg_ctx_set_channel(ctx, NULL);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"roots/list\"}");
  core_has(core_last(p)->text, "\"id\":9,\"error\":{\"code\":-32603");
  core_down(&r);
}
END_TEST

/* ---- notifications of clients ---------------------------------------------------------------------------------------- */

START_TEST(notifications_reach_their_servers) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  struct mg_ctx *all = core_session(&r, 0, 2), *one = core_session(&r, 1, 1);
  core_legacy(all, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\",\"params\":{\"_meta\":{\"dev.mcpgw/x\":1}}}");
  ck_assert_str_eq(core_last(r.ports[0])->text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\",\"params\":{\"_meta\":{}}}");
  ck_assert_str_eq(core_last(r.ports[1])->text, core_last(r.ports[0])->text);
  size_t sent = r.ports[2]->n;
  core_legacy(one, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/own\",\"params\":{\"x\":1.0}}");
  ck_assert_uint_eq(r.ports[2]->n, sent + 1);
  core_has(core_last(r.ports[2])->text, "{\"x\":1.0}");
  uint64_t before = mg_core_stats(r.core)->dropped_notifications;
  core_legacy(all, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/own\"}"); /* whose would it be? */
  ck_assert_uint_eq(mg_core_stats(r.core)->dropped_notifications, before + 1);
  core_down(&r);
}
END_TEST

START_TEST(notifications_of_servers_find_their_stream) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r), *channel = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  mg_ctx_set_channel(ctx, &channel->sink);
  const char *log = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}";
  const char *changed = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"u:1\"}}";
  core_hear_status(p, 0, 0, log); /* no call: the channel */
  core_legacy(ctx, s, CALL("1"));
  core_legacy(ctx, t, CALL("2"));
  core_hear_status(p, 0, 0, log);     /* the oldest call */
  core_hear_status(p, 0, 0, changed); /* never a call's business on a shared channel */
  core_hear_status(p, core_last(p)->call, 0, changed);
  ck_assert_uint_eq(channel->n, 2);
  ck_assert_uint_eq(s->n, 1);
  ck_assert_uint_eq(t->n, 1);
  ck_assert_str_eq(core_text(channel, 0), log);
  ck_assert_str_eq(core_text(channel, 1), changed);
  ck_assert_str_eq(core_text(s, 0), log);
  ck_assert_str_eq(core_text(t, 0), changed);
  mg_ctx_set_channel(ctx, NULL);
  uint64_t before = mg_core_stats(r.core)->dropped_notifications;
  core_hear_status(p, 0, 0, changed);
  ck_assert_uint_eq(mg_core_stats(r.core)->dropped_notifications, before + 1);
  core_result(p, core_last(p)->call, "{}");
  core_result(p, core_last(p)->call - 1, "{}");
  core_down(&r);
}
END_TEST

START_TEST(streaming_is_passed_on) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  mg_link_on_streaming(p->link, core_last(p)->call + 1);
  ck_assert_int_eq(s->streaming, 0);
  mg_link_on_streaming(p->link, core_last(p)->call);
  ck_assert_int_eq(s->streaming, 1);
  core_result(p, core_last(p)->call, "{}");
  core_down(&r);
}
END_TEST

Suite *core_legacy_suite(void) {
  Suite *s = suite_create("core/legacy");
  TCase *t = tcase_create("initialize");
  tcase_add_test(t, one_server_speaks_for_itself);
  tcase_add_test(t, an_unknown_revision_becomes_the_latest);
  tcase_add_test(t, initialize_without_a_version_is_refused);
  tcase_add_test(t, a_refusal_is_passed_on_in_its_own_words);
  tcase_add_test(t, several_servers_speak_together);
  tcase_add_test(t, who_comes_late_joins_and_says_so);
  tcase_add_test(t, no_server_at_all_is_still_an_answer);
  tcase_add_test(t, requests_before_initialized_are_refused);
  suite_add_tcase(s, t);
  t = tcase_create("messages");
  tcase_add_loop_test(t, ids_are_given_back_as_they_were_spelled, 0, 7);
  tcase_add_test(t, long_results_cross_in_pieces_unchanged);
  tcase_add_test(t, equal_ids_of_two_sessions_do_not_meet);
  tcase_add_test(t, an_id_in_flight_is_refused_until_it_is_over);
  tcase_add_test(t, replies_nobody_asked_for_are_counted);
  tcase_add_test(t, what_is_no_message_fails_only_its_own_call);
  tcase_add_test(t, batches_of_a_server_are_taken_apart);
  tcase_add_loop_test(t, progress_finds_its_token_again, 0, 7);
  tcase_add_test(t, private_keys_stop_here);
  tcase_add_test(t, the_gateways_name_cannot_be_borrowed);
  tcase_add_test(t, a_cancelled_request_gets_no_reply);
  tcase_add_test(t, cancelling_what_is_not_there_is_counted);
  tcase_add_test(t, initialize_cannot_be_cancelled);
  tcase_add_test(t, a_waiting_request_can_be_cancelled);
  tcase_add_test(t, a_sink_that_goes_takes_its_calls_along);
  suite_add_tcase(s, t);
  t = tcase_create("questions");
  tcase_add_loop_test(t, questions_travel_under_numbers_of_our_own, 0, 7);
  tcase_add_test(t, questions_of_two_servers_do_not_meet);
  tcase_add_test(t, a_server_may_take_its_question_back);
  tcase_add_test(t, pings_of_servers_are_answered_here);
  tcase_add_test(t, a_question_nobody_hears_is_answered_here);
  tcase_add_test(t, notifications_reach_their_servers);
  tcase_add_test(t, notifications_of_servers_find_their_stream);
  tcase_add_test(t, streaming_is_passed_on);
  suite_add_tcase(s, t);
  return s;
}
