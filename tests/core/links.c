/* tests/core/links: what callers are told when a link fails: delivered or not, whose fault, state that is
 * lost, time-outs, and when a server is asked again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define CALL(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}"
#define LIST(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"}"
#define ONE_TRY "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"retries\":{\"attempts\":1}}}}"
#define READ(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"resources/read\",\"params\":{\"uri\":\"a:1\"}}"

/* ---- failures of one call ------------------------------------------------------------------------------ */

static const struct {
  int code;
  uint32_t delivered, http_status;
  const char *request, *reason, *told;
} failures[] = {
    {MCPGW_E_IO, MCPGW_DELIVERED_NO, 0, CALL("1"), "UPSTREAM_UNAVAILABLE", "no"},
    {MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 0, CALL("1"), "OUTCOME_UNKNOWN", "unknown"},
    {MCPGW_E_IO, MCPGW_DELIVERED_YES, 0, CALL("1"), "OUTCOME_UNKNOWN", "yes"},
    {MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 200, CALL("1"), "OUTCOME_UNKNOWN", "unknown"}, /* a good head, then no more */
    {MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 0, READ("1"), "UPSTREAM_UNAVAILABLE", "unknown"}, /* no effect to be unsure of */
    {MCPGW_E_TIMEOUT, MCPGW_DELIVERED_UNKNOWN, 0, CALL("1"), "UPSTREAM_TIMEOUT", "unknown"},
    {MCPGW_E_LIMIT, MCPGW_DELIVERED_YES, 0, CALL("1"), "PAYLOAD_TOO_LARGE", "yes"},
    {MCPGW_E_NOMEM, MCPGW_DELIVERED_NO, 0, CALL("1"), "OVERLOADED", "no"},
    {MCPGW_E_PARSE, MCPGW_DELIVERED_YES, 200, CALL("1"), "UPSTREAM_PROTOCOL", "yes"},
    {MCPGW_E_DENIED, MCPGW_DELIVERED_YES, 401, CALL("1"), "UPSTREAM_PROTOCOL", "yes"},
    {MCPGW_E_IO, MCPGW_DELIVERED_YES, 503, CALL("1"), "UPSTREAM_UNAVAILABLE", "yes"},
    {MCPGW_E_IO, MCPGW_DELIVERED_NO, 429, CALL("1"), "UPSTREAM_UNAVAILABLE", "no"},
};

START_TEST(a_failure_is_told_for_what_it_is) {
  struct core_rig r;
  char want[100];
  core_up(&r, ONE_TRY, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, "%s", failures[_i].request);
  uint64_t call = core_last(p)->call;
  core_fail(p, call, failures[_i].code, failures[_i].delivered, failures[_i].http_status);
  snprintf(want, sizeof want, "\"reason\":\"%s\",\"upstream\":\"a\",\"delivered\":\"%s\"", failures[_i].reason, failures[_i].told);
  core_has(core_final(s), want);
  core_has(core_final(s), "upstream \\\"a\\\": the wire was cut");
  ck_assert_int_eq(core_status(s), 200);
  core_fail(p, call, MCPGW_E_IO, 0, 0); /* once is enough */
  ck_assert_int_eq(s->finals, 1);
  ck_assert_int_eq(p->closed, 0);
  core_down(&r);
}
END_TEST

static const struct {
  int status;
  const char *text, *told;
} errors[] = {
    {401, "{\"error\":\"invalid_token\"}", "answered http status 401; its credentials go into \\\"headers\\\""},
    {307, "{}", "redirects are not followed: configure the URL it leads to\",\"data\":{\"origin\":\"gateway\",\"reason\":\"UPSTREAM_PROTOCOL\",\"upstream\":\"a\",\"delivered\":\"no\""},
    {302, "{}", "\"upstream\":\"a\",\"delivered\":\"unknown\""},
    {303, "{\"ok\":1}", "\"upstream\":\"a\",\"delivered\":\"unknown\""},
    {404, "{\"detail\":\"Not Found\"}", "answered http status 404; is the path of its URL right?\",\"data\":{\"origin\":\"gateway\",\"reason\":\"UPSTREAM_PROTOCOL\",\"upstream\":\"a\",\"delivered\":\"no\""},
    {500, "{\"error\":\"x\"}", "answered http status 500\",\"data\":{\"origin\":\"gateway\",\"reason\":\"UPSTREAM_PROTOCOL\",\"upstream\":\"a\",\"delivered\":\"yes\""},
    {200, "{\"error\":\"x\"}", "sent a message that is not valid: jsonrpc must be"},
};

/* Not every error is JSON-RPC: what an operator needs is the status then. */
START_TEST(an_http_error_is_told_by_its_status) {
  struct core_rig r;
  core_up(&r, ONE_TRY, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  core_hear_status(p, core_last(p)->call, errors[_i].status, errors[_i].text);
  core_has(core_final(s), errors[_i].told);
  core_down(&r);
}
END_TEST

START_TEST(a_message_that_cannot_be_sent_was_not_delivered) {
  struct core_rig r;
  core_up(&r, ONE_TRY, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  r.send_rc = MCPGW_E_LIMIT;
  core_legacy(ctx, s, CALL("1"));
  core_has(core_final(s), "OVERLOADED");
  core_has(core_final(s), "\"delivered\":\"no\"");
  r.send_rc = MCPGW_E_CLOSED;
  core_legacy(ctx, s, CALL("1"));
  core_has(core_final(s), "UPSTREAM_UNAVAILABLE");
  core_has(core_final(s), "\"delivered\":\"no\"");
  ck_assert_uint_eq(mg_core_calls(r.core), 0);
  core_down(&r);
}
END_TEST

/* ---- time ------------------------------------------------------------------------------------------------ */

START_TEST(a_call_has_a_time_limit) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"timeouts\":{\"total_ms\":7000},"
              "\"tools\":{\"slow_*\":{\"timeouts\":{\"total_ms\":9000}}}}}}", NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *slow = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  uint64_t call = core_last(p)->call;
  core_legacy(ctx, slow, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"slow_x\"}}");
  ck_assert_uint_eq(mg_core_next_ms(r.core), r.now + 7000);
  core_tick(&r, 6999);
  ck_assert_int_eq(s->finals, 0);
  if (_i) mg_link_on_sent(p->link, call);
  core_tick(&r, 1);
  core_has(core_final(s), "UPSTREAM_TIMEOUT");
  core_has(core_final(s), "did not answer tools/call within 7000 ms");
  core_has(core_final(s), _i ? "\"delivered\":\"unknown\"" : "\"delivered\":\"no\"");
  core_has(core_sent(p, "notifications/cancelled", 0)->text, "\"reason\":\"the gateway's time limit was reached\"");
  ck_assert_int_eq(core_cancelled(p, call), 1);
  core_result(p, call, "{}"); /* too late */
  ck_assert_int_eq(s->finals, 1);
  ck_assert_int_eq(slow->finals, 0);
  core_tick(&r, 2000);
  ck_assert_int_eq(slow->finals, 1);
  ck_assert_uint_eq(mg_core_stats(r.core)->timeouts, 2);
  core_down(&r);
}
END_TEST

START_TEST(a_handshake_has_a_time_limit) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].mute = 1;
  struct core_sink *s = core_sink(&r);
  core_initialize(&r, s, 0, 1, NULL);
  core_tick(&r, 19999);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1); /* connect_ms + list_ms */
  core_has(core_final(s), "\"reason\":\"UPSTREAM_TIMEOUT\",\"upstream\":\"a\",\"delivered\":\"no\"");
  core_has(core_final(s), "\"limit\":\"connect_ms + list_ms\",\"limit_ms\":20000");
  core_has(core_final(s), "did not answer initialize within 20000 ms");
  struct core_sink *t = core_sink(&r);
  core_initialize(&r, t, 0, 1, NULL); /* who comes later has not waited: it is left alone for a while */
  core_has(core_final(t), "UPSTREAM_UNAVAILABLE");
  ck_assert_ptr_null(core_sent(r.ports[0], "notifications/cancelled", 0)); /* initialize may not be cancelled */
  core_tick(&r, 1);
  ck_assert_uint_eq(mg_core_contexts(r.core), 0);
  core_down(&r);
}
END_TEST

/* ---- the end of a link --------------------------------------------------------------------------------------- */

START_TEST(a_link_that_dies_fails_its_calls) {
  struct core_rig r;
  core_up(&r, ONE_TRY, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *sent = core_sink(&r), *queued = core_sink(&r), *read = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, sent, CALL("1"));
  mg_link_on_sent(p->link, core_last(p)->call);
  core_legacy(ctx, queued, CALL("2"));
  core_legacy(ctx, read, READ("3"));
  mg_link_on_sent(p->link, core_last(p)->call);
  core_close(p, MCPGW_DELIVERED_UNKNOWN);
  core_has(core_final(sent), "\"reason\":\"OUTCOME_UNKNOWN\",\"upstream\":\"a\",\"delivered\":\"unknown\"");
  ck_assert_uint_eq(queued->n, 0); /* it was not delivered: it goes again */
  core_has(core_final(read), "\"reason\":\"UPSTREAM_UNAVAILABLE\",\"upstream\":\"a\",\"delivered\":\"unknown\"");
  core_has(core_final(sent), "it ended");
  ck_assert_int_eq(p->closed, 1);
  ck_assert_uint_eq(mg_core_next_ms(r.core), 0); /* it waits to be freed */
  mcpgw_failure again = {sizeof again, MCPGW_E_CLOSED, 0, 0, 0, NULL};
  mg_link_on_closed(p->link, &again, r.now); /* what comes late does no harm */
  mg_link_on_failed(p->link, 1, &again, r.now);
  mg_link_on_sent(p->link, 1);
  mg_link_on_streaming(p->link, 1);
  mg_link_on_message(p->link, 0, mg_blob_copy(&r.budget, "{}", 2), 200, r.now);
  core_tick(&r, 0);
  ck_assert_uint_gt(mg_core_next_ms(r.core), r.now);
  core_settle(&r);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO); /* but once only */
  core_has(core_final(queued), "\"reason\":\"UPSTREAM_UNAVAILABLE\",\"upstream\":\"a\",\"delivered\":\"no\"");
  core_down(&r);
}
END_TEST

/* What was not delivered goes again on the next link, once; what may have been is never repeated. */
START_TEST(undelivered_requests_go_again_once) {
  struct core_rig r;
  core_up(&r, ONE_TRY, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("\"k\""));
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  struct core_sent *again = core_sent(p, "tools/call", 0);
  ck_assert_ptr_nonnull(again);
  if (_i == 0) {
    core_result(p, again->call, "{}");
    core_has(core_final(s), "{\"jsonrpc\":\"2.0\",\"id\":\"k\",\"result\":{}}");
  } else {
    core_close(p, MCPGW_DELIVERED_NO);
    core_settle(&r);
    core_has(core_final(s), "UPSTREAM_UNAVAILABLE");
    core_has(core_final(s), "\"delivered\":\"no\"");
  }
  ck_assert_uint_eq(mg_core_calls(r.core), 0);
  core_down(&r);
}
END_TEST

/* A transport that does not tell what it sent leaves everything open: nothing is repeated then. */
START_TEST(a_silent_transport_makes_nothing_happen_twice) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].mute = 1;
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 1, NULL);
  struct core_port *p = core_port(&r, 0);
  core_result(p, core_last(p)->call, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"serverInfo\":{}}");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  core_legacy(ctx, s, CALL("1"));
  if (_i == 0) core_close(p, MCPGW_DELIVERED_UNKNOWN);
  else core_tick(&r, 300000);
  core_has(core_final(s), _i ? "UPSTREAM_TIMEOUT" : "OUTCOME_UNKNOWN");
  core_has(core_final(s), "\"delivered\":\"unknown\"");
  core_down(&r);
}
END_TEST

START_TEST(a_fresh_link_replaces_one_without_state) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *old = core_port(&r, 0);
  core_legacy(ctx, s, READ("1"));
  core_result(old, core_last(old)->call, "{}"); /* reading leaves no state */
  core_close(old, MCPGW_DELIVERED_NO);
  core_legacy(ctx, s, CALL("2"));
  ck_assert_uint_eq(r.n_ports, 2);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  ck_assert_ptr_ne(p, old);
  core_has(p->v[0].text, "\"method\":\"initialize\"");
  core_has(p->v[1].text, "notifications/initialized");
  ck_assert_int_eq(p->listens, 1);
  core_has(p->v[2].text, "tools/call");
  core_result(p, p->v[2].call, "{}");
  core_has(core_final(s), "\"id\":2,\"result\"");
  core_down(&r);
}
END_TEST

static const char *const stateful[] = {
    CALL("1"),
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{\"level\":\"info\"}}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"a:1\"}}",
};

START_TEST(lost_state_is_told_exactly_once) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *old = core_port(&r, 0);
  core_legacy(ctx, s, "%s", stateful[_i]);
  core_result(old, core_last(old)->call, "{}");
  core_close(old, MCPGW_DELIVERED_NO);
  core_tick(&r, 0);
  core_legacy(ctx, s, LIST("2")); /* lists and pings never are told */
  core_settle(&r);
  core_has(core_final(s), "\"id\":2,\"result\"");
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}");
  core_has(core_final(s), "\"id\":3,\"result\"");
  struct core_port *p = core_port(&r, 0);
  size_t sent = p->n;
  core_legacy(ctx, s, CALL("4"));
  core_has(core_final(s), "\"code\":-31007");
  core_has(core_final(s), "\"reason\":\"STATE_LOST\",\"upstream\":\"a\",\"delivered\":\"no\"");
  ck_assert_uint_eq(p->n, sent); /* nothing was sent */
  core_legacy(ctx, s, CALL("5"));
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(s), "\"id\":5,\"result\"");
  core_down(&r);
}
END_TEST

/* An HTTP upstream that forgot the session says 404 to the call that finds out. */
START_TEST(the_call_that_finds_a_session_gone_goes_again_or_is_told_of_lost_state) {
  for (int with_state = 0; with_state < 2; with_state++) {
    struct core_rig r;
    core_up(&r, ONE, NULL);
    struct mg_ctx *ctx = core_session(&r, 0, 1);
    struct core_sink *s = core_sink(&r);
    core_legacy(ctx, s, "%s", with_state ? CALL("1") : READ("1"));
    core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
    core_legacy(ctx, s, CALL("2"));
    mg_link_on_sent(core_port(&r, 0)->link, core_last(core_port(&r, 0))->call);
    core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
    core_settle(&r);
    if (with_state) {
      core_has(core_final(s), "\"id\":2,\"error\":{\"code\":-31007");
      core_legacy(ctx, s, CALL("3"));
      core_settle(&r);
    }
    core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
    core_has(core_final(s), with_state ? "\"id\":3,\"result\"" : "\"id\":2,\"result\"");
    core_down(&r);
  }
}
END_TEST

START_TEST(lost_state_is_a_matter_of_one_context) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  struct mg_ctx *one = core_session(&r, 0, 1), *other = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(one, s, CALL("1"));
  core_result(r.ports[0], core_last(r.ports[0])->call, "{}");
  core_close(r.ports[0], MCPGW_DELIVERED_NO);
  core_legacy(other, s, CALL("2"));
  core_result(r.ports[1], core_last(r.ports[1])->call, "{}");
  core_has(core_final(s), "\"id\":2,\"result\"");
  core_legacy(one, s, CALL("3"));
  core_has(core_final(s), "STATE_LOST");
  core_down(&r);
}
END_TEST

START_TEST(a_stateless_server_loses_no_state) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"stateful\":false}}}", NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("1"));
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_legacy(ctx, s, CALL("2"));
  core_settle(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_has(core_final(s), "\"id\":2,\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(a_failed_call_leaves_no_state) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL("1"));
  core_error(core_port(&r, 0), core_last(core_port(&r, 0))->call, -32602);
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_legacy(ctx, s, CALL("2"));
  core_settle(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_has(core_final(s), "\"id\":2,\"result\"");
  core_down(&r);
}
END_TEST

/* DESIGN §5, "Re-binding is explicit". */
START_TEST(a_new_link_is_asked_again_for_what_the_old_one_kept) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].caps = "{\"tools\":{\"listChanged\":true},\"resources\":{\"subscribe\":true},\"logging\":{}}";
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *channel = core_sink(&r);
  mg_ctx_set_channel(ctx, &channel->sink);
  static const char *const asked[] = {
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{\"level\":\"info\"}}",
      "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"a:1\"}}",
      "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"a:2\"}}",
      "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"resources/unsubscribe\",\"params\":{\"uri\":\"a:1\"}}"};
  for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
    core_legacy(ctx, s, "%s", asked[i]);
    core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  }
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_tick(&r, 0);
  core_legacy(ctx, s, CALL("5"));
  core_has(core_final(s), "STATE_LOST");
  core_lacks(core_text(channel, 0), "list_changed");
  core_legacy(ctx, s, CALL("6"));
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  ck_assert_ptr_nonnull(core_sent(p, "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"info\"}", 0));
  ck_assert_ptr_nonnull(core_sent(p, "\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"a:2\"}", 0));
  ck_assert_ptr_null(core_sent(p, "a:1", 0));
  core_has(core_text(channel, 0), "notifications/tools/list_changed");
  core_lacks(core_text(channel, 1), "list_changed"); /* resources: it has not promised that */
  core_result(p, core_last(p)->call, "{}");
  core_has(core_final(s), "\"id\":6,\"result\"");
  mg_ctx_set_channel(ctx, NULL);
  core_down(&r);
}
END_TEST

START_TEST(lost_state_behind_a_merged_view) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = "[{\"name\":\"t\"}]";
  r.servers[1].tools = "[{\"name\":\"u\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  const char *call = "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\"}}";
  core_legacy(ctx, s, call, 1, "a__t");
  core_serve(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_settle(&r);
  core_legacy(ctx, s, call, 2, "b__u"); /* the other one is not touched */
  core_serve(&r);
  core_result(core_port(&r, 1), core_last(core_port(&r, 1))->call, "{\"of\":\"b\"}");
  core_has(core_final(s), "\"id\":2,\"result\":{\"of\":\"b\"}");
  core_legacy(ctx, s, call, 3, "a__t");
  core_settle(&r);
  core_has(core_final(s), "STATE_LOST");
  core_has(core_final(s), "\"upstream\":\"a\"");
  core_legacy(ctx, s, call, 4, "a__t");
  core_serve(&r);
  core_result(core_port(&r, 0), core_last(core_port(&r, 0))->call, "{}");
  core_has(core_final(s), "\"id\":4,\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(questions_die_with_their_link) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *channel = core_sink(&r);
  mg_ctx_set_channel(ctx, &channel->sink);
  core_hear(core_port(&r, 0), 0, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"roots/list\"}");
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_tick(&r, 0);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
  ck_assert_uint_eq(mg_core_stats(r.core)->unknown_responses, 1);
  core_down(&r);
}
END_TEST

/* ---- when a server is asked again ---------------------------------------------------------------------------- */

START_TEST(a_server_that_fails_is_left_alone_for_a_while) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 2), *alone = core_session(&r, 1, 1);
  struct core_sink *s = core_sink(&r), *one = core_sink(&r);
  core_legacy(ctx, s, LIST("0"));
  core_legacy(alone, one, LIST("0")); /* both links have answered something: they did not just greet and die */
  core_settle(&r);
  core_close(core_port(&r, 1), MCPGW_DELIVERED_NO);
  core_close(core_port(&r, 1), MCPGW_DELIVERED_NO);
  r.open_rc = MCPGW_E_IO;
  uint64_t waited = 0;
  for (int i = 0; i < 8; i++) {
    core_legacy(ctx, s, LIST("1"));
    core_settle(&r);
    core_has(core_final(s), "\"dev.mcpgw/unavailable\":{\"b\":\"upstream \\\"b\\\": the door \\\"is\\\" shut\"}");
    core_legacy(alone, one, READ("1")); /* who wants it alone is told when to come back */
    core_has(core_final(one), "retry_after_ms");
    const char *at = strstr(core_final(one), "\"retry_after_ms\":");
    unsigned long long ms = strtoull(at + 17, NULL, 10);
    ck_assert_uint_le(ms, 30000);
    ck_assert_uint_ge(ms, 250);
    if (i == 7) ck_assert_uint_ge(ms, 15000); /* it grew */
    waited += ms;
    core_tick(&r, ms);
  }
  ck_assert_uint_gt(waited, 30000);
  r.open_rc = MCPGW_OK;
  core_legacy(ctx, s, LIST("2"));
  core_settle(&r);
  core_lacks(core_final(s), "unavailable");
  core_down(&r);
}
END_TEST

START_TEST(many_sessions_that_fall_together_are_one_mishap) {
  struct core_rig r;
  struct mg_ctx *ctx[8];
  core_up(&r, ONE, NULL);
  for (int i = 0; i < 8; i++) ctx[i] = core_session(&r, 0, 1);
  for (int i = 0; i < 8; i++) core_close(r.ports[i], MCPGW_DELIVERED_NO);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx[0], s, LIST("1"));
  core_settle(&r);
  core_has(core_final(s), "\"retry_after_ms\":");
  ck_assert_uint_le(strtoull(strstr(core_final(s), "_ms\":") + 5, NULL, 10), 500);
  core_tick(&r, 500);
  s = core_sink(&r);
  core_legacy(ctx[1], s, LIST("1"));
  core_settle(&r);
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(a_server_that_greets_and_dies_is_not_started_for_ever) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"b__x\"}}");
  for (int i = 0; i < 20; i++) { /* it answers initialize, and dies of tools/list */
    for (size_t k = 0; k < r.n_ports; k++) {
      struct core_port *p = r.ports[k];
      if (p->server != 1 || p->closed) continue;
      if (core_sent(p, "tools/list", 0)) core_close(p, MCPGW_DELIVERED_UNKNOWN);
      else core_result(p, p->v[0].call, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{}}");
    }
    if (core_sent(r.ports[0], "tools/list", 0) && !s->finals) core_result(r.ports[0], core_last(r.ports[0])->call, "{\"tools\":[]}");
    core_tick(&r, 0);
  }
  ck_assert_uint_le(r.n_ports, 4);
  ck_assert_int_eq(s->finals, 1);
  core_down(&r);
}
END_TEST

START_TEST(the_end_answers_everybody) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].modern = r.servers[1].modern = 0;
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *legacy = core_sink(&r), *modern = core_sink(&r), *listen = core_sink(&r), *one = core_sink(&r);
  mg_ctx_set_channel(ctx, NULL);
  core_legacy(ctx, legacy, CALL("1"));
  core_modern(modern, MODERN("1", "tools/list", ""));                                /* waits for links to open */
  core_modern(listen, MODERN("2", "subscriptions/listen", "\"notifications\":{},")); /* so does this */
  core_say(&r, NULL, one, (struct mg_view){1, 1, 0}, MODERN("3", "tools/call", "\"name\":\"t\","));
  size_t ports = r.n_ports;
  mg_core_end_all(r.core);
  core_has(core_final(legacy), "CONTEXT_ENDED");
  ck_assert_int_eq(core_status(legacy), 404);
  ck_assert_int_eq(modern->finals + listen->finals + one->finals, 3);
  ck_assert_uint_eq(r.n_ports, ports); /* nothing new is opened on the way out */
  ck_assert_int_eq(r.ended, 1);
  core_down(&r);
}
END_TEST

START_TEST(draining_refuses_what_is_new) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL("1"));
  mg_core_drain(r.core);
  core_legacy(ctx, t, CALL("2"));
  core_has(core_final(t), "OVERLOADED");
  core_modern(t, MODERN("3", "tools/list", ""));
  core_has(core_final(t), "\"id\":3,\"error\"");
  ck_assert_ptr_null(core_initialize(&r, t, 0, 1, NULL));
  core_has(core_final(t), "the gateway is stopping");
  core_result(p, core_last(p)->call, "{}"); /* what was under way may finish */
  core_has(core_final(s), "\"result\"");
  core_down(&r);
}
END_TEST

Suite *core_links_suite(void) {
  Suite *s = suite_create("core/links");
  TCase *t = tcase_create("failures");
  tcase_add_loop_test(t, a_failure_is_told_for_what_it_is, 0, (int)(sizeof failures / sizeof failures[0]));
  tcase_add_loop_test(t, an_http_error_is_told_by_its_status, 0, (int)(sizeof errors / sizeof errors[0]));
  tcase_add_test(t, a_message_that_cannot_be_sent_was_not_delivered);
  tcase_add_loop_test(t, a_call_has_a_time_limit, 0, 2);
  tcase_add_test(t, a_handshake_has_a_time_limit);
  suite_add_tcase(s, t);
  t = tcase_create("ends");
  tcase_add_test(t, a_link_that_dies_fails_its_calls);
  tcase_add_loop_test(t, undelivered_requests_go_again_once, 0, 2);
  tcase_add_loop_test(t, a_silent_transport_makes_nothing_happen_twice, 0, 2);
  tcase_add_test(t, a_fresh_link_replaces_one_without_state);
  tcase_add_loop_test(t, lost_state_is_told_exactly_once, 0, 3);
  tcase_add_test(t, the_call_that_finds_a_session_gone_goes_again_or_is_told_of_lost_state);
  tcase_add_test(t, lost_state_is_a_matter_of_one_context);
  tcase_add_test(t, a_new_link_is_asked_again_for_what_the_old_one_kept);
  tcase_add_test(t, a_stateless_server_loses_no_state);
  tcase_add_test(t, a_failed_call_leaves_no_state);
  tcase_add_test(t, lost_state_behind_a_merged_view);
  tcase_add_test(t, questions_die_with_their_link);
  tcase_add_test(t, a_server_that_fails_is_left_alone_for_a_while);
  tcase_add_test(t, many_sessions_that_fall_together_are_one_mishap);
  tcase_add_test(t, a_server_that_greets_and_dies_is_not_started_for_ever);
  tcase_add_test(t, the_end_answers_everybody);
  tcase_add_test(t, draining_refuses_what_is_new);
  suite_add_tcase(s, t);
  return s;
}
