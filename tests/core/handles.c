/* tests/core/handles: which context a modern request belongs to: by sealed handle, fresh, or its principal's own;
 * links of a context or a principal; what is forged, another's or over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/brain.h"
#include "core/rig.h"
#include "core/suites.h"
#include "crypt/seal.h"
#include "mcpgw/types.h"

#define ISO(how) "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"isolation\":\"" how "\"}}}"
#define CTX(value) "\"_meta\":{\"dev.mcpgw/context\":" value ",\"" MCP_NS "protocolVersion\":\"2026-07-28\",\"" MCP_NS "clientCapabilities\":{}}"

/* One tools/call under a handle (a JSON value; NULL: none), answered at once. The final message. */
static const char *call(struct core_rig *r, struct core_sink *s, const char *handle) {
  char text[2048];
  if (handle)
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," CTX("%s") "}}", handle);
  size_t ports = r->n_ports, before = s->n;
  core_modern(s, handle ? text : MODERN("1", "tools/call", "\"name\":\"t\","));
  core_settle(r);
  core_settle(r);
  (void)ports;
  for (size_t i = 0; i < r->n_ports && s->n == before; i++) {
    struct core_port *p = r->ports[i];
    struct core_sent *m = p->closed || !p->n ? NULL : core_last(p);
    if (m && strstr(m->text, "tools/call") && m->call) core_result(p, m->call, "{\"resultType\":\"complete\",\"content\":[]}");
  }
  return core_final(s);
}

/* The handle of a result as a JSON string; "" when there is none. */
static void handle_of(const char *text, char out[300]) {
  const char *at = strstr(text, "\"dev.mcpgw/context\":");
  out[0] = 0;
  if (!at) return;
  at += strlen("\"dev.mcpgw/context\":");
  const char *end = strchr(at + 1, '"') + 1;
  snprintf(out, 300, "%.*s", (int)(end - at), at);
}

START_TEST(without_a_handle_all_is_the_principals) {
  struct core_rig r;
  char h[300];
  core_up(&r, ONE, NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  handle_of(call(&r, s, NULL), h);
  ck_assert_str_eq(h, ""); /* nothing to hold on to: the upstream keeps nothing for it */
  call(&r, s, NULL);
  ck_assert_uint_eq(mg_core_contexts(r.core), 1);
  ck_assert_uint_eq(r.n_ports, 1);
  r.principal = "bob";
  call(&r, s, NULL);
  ck_assert_uint_eq(mg_core_contexts(r.core), 2);
  ck_assert_uint_eq(r.n_ports, 1); /* stateless by contract: one link for all */
  core_down(&r);
}
END_TEST

START_TEST(new_opens_a_workflow_and_its_handle_stays_in_it) {
  struct core_rig r;
  char h[300], again[300];
  core_up(&r, ISO("session"), NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  const char *first = call(&r, s, "\"new\"");
  core_has(first, "\"_meta\":{\"dev.mcpgw/context\":\"");
  handle_of(first, h);
  ck_assert_uint_gt(strlen(h), 60);
  ck_assert_ptr_null(strstr(h, mcpgw_session_id(mg_map_next(r.core->sessions->by_id, &(size_t){0}, NULL))));
  handle_of(call(&r, s, h), again);
  ck_assert_str_eq(h, again);
  ck_assert_uint_eq(mg_core_contexts(r.core), 1);
  ck_assert_uint_eq(r.n_ports, 1);
  handle_of(call(&r, s, "\"new\""), again);
  ck_assert_str_ne(h, again);
  ck_assert_uint_eq(mg_core_contexts(r.core), 2);
  ck_assert_uint_eq(r.n_ports, 2); /* a link each */
  call(&r, s, NULL);
  ck_assert_uint_eq(mg_core_contexts(r.core), 3);
  ck_assert_uint_eq(r.n_ports, 3);
  call(&r, s, again);
  ck_assert_uint_eq(r.n_ports, 3);
  core_lacks(core_last(r.ports[1])->text, "dev.mcpgw/"); /* never passed upstream */
  core_down(&r);
}
END_TEST

START_TEST(the_handle_stands_beside_what_meta_had) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  core_modern(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," CTX("\"new\"") "}}");
  core_settle(&r);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  core_result(p, core_last(p)->call, "{ \"content\" : [ 1.10 ], \"_meta\" : { \"dev.mcpgw/context\" : \"planted\", \"own\" : 1e400 } }");
  core_has(core_final(s), "\"own\" : 1e400");
  core_has(core_final(s), "\"content\" : [ 1.10 ]");
  core_lacks(core_final(s), "planted");
  core_has(core_final(s), "{\"dev.mcpgw/context\":\"");
  core_down(&r);
}
END_TEST

START_TEST(a_principal_has_one_link_whatever_its_workflows) {
  struct core_rig r;
  core_up(&r, ISO("principal"), NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  call(&r, s, NULL);
  call(&r, s, "\"new\"");
  ck_assert_uint_eq(r.n_ports, 1);
  r.principal = "bob";
  call(&r, s, NULL);
  ck_assert_uint_eq(r.n_ports, 2);
  size_t n = 0;
  mg_core_revoke(r.core, MG_REVOKE_PRINCIPAL, MG_LIT("local"), &n);
  ck_assert_uint_eq(n, 2);
  ck_assert_int_eq(r.ports[0]->closed, 1); /* with its last context */
  ck_assert_int_eq(r.ports[0]->graceful, 1);
  ck_assert_int_eq(r.ports[1]->closed, 0);
  core_down(&r);
}
END_TEST

/* ---- what is no handle -------------------------------------------------------------------------------------- */

static void refused(struct core_rig *r, struct core_sink *s, const char *handle) {
  size_t contexts = mg_core_contexts(r->core), ports = r->n_ports;
  core_has(call(r, s, handle), "\"reason\":\"CONTEXT_ENDED\"");
  core_has(core_final(s), "\"delivered\":\"no\"");
  ck_assert_int_eq(core_status(s), 200);
  ck_assert_uint_eq(mg_core_contexts(r->core), contexts);
  ck_assert_uint_eq(r->n_ports, ports);
}

START_TEST(forged_foreign_expired_and_ended_are_told_alike) {
  struct core_rig r;
  char h[300], bad[300];
  core_up(&r, ONE, "{\"contexts\":{\"idle_ms\":600000}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  handle_of(call(&r, s, "\"new\""), h);
  size_t len = strlen(h);
  for (size_t i = 1; i + 1 < len; i += 7) { /* any byte of it */
    memcpy(bad, h, len + 1);
    bad[i] = bad[i] == 'A' ? 'B' : 'A';
    refused(&r, s, bad);
  }
  memcpy(bad, h, len + 1);
  memcpy(bad + len - 5, "\"", 2); /* cut short */
  refused(&r, s, bad);
  refused(&r, s, "\"\"");
  refused(&r, s, "\"NEW\"");
  refused(&r, s, "\"new \"");
  refused(&r, s, "\"\\u006eew\""); /* told in one spelling */
  char raw[64];
  snprintf(raw, sizeof raw, "\"%s\"", mcpgw_session_id(mg_map_next(r.core->sessions->by_id, &(size_t){0}, NULL)));
  refused(&r, s, raw);
  core_has(call(&r, s, "7"), "\"code\":-32602");
  core_has(call(&r, s, "null"), "\"code\":-32602");
  r.principal = "mallory";
  refused(&r, s, h);
  r.principal = "local";
  core_has(call(&r, s, h), "\"result\"");
  core_tick(&r, 600001);
  refused(&r, s, h);
  handle_of(call(&r, s, "\"new\""), h);
  size_t n;
  mg_core_revoke(r.core, MG_REVOKE_PRINCIPAL, MG_LIT("local"), &n);
  refused(&r, s, h);
  ck_assert_uint_gt(mg_core_stats(r.core)->handles_refused, 10);
  core_down(&r);
}
END_TEST

/* A legacy session's id is not a handle, and a modern context is no legacy session. */
START_TEST(the_eras_do_not_meet) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct core_sink *s = core_sink(&r);
  char sealed[300];
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  snprintf(sealed, sizeof sealed, "\"%s\"", mg_ctx_id(ctx));
  refused(&r, s, sealed);
  struct mg_slice member = mg_handle_member(ctx, 0); /* even well sealed */
  snprintf(sealed, sizeof sealed, "%.*s", (int)member.len - 20, member.ptr + 20);
  refused(&r, s, sealed);
  core_down(&r);
}
END_TEST

START_TEST(keys_change_and_two_are_alive) {
  struct core_rig r;
  struct mg_seal_key *k[3];
  char h[300], next[300];
  for (int i = 0; i < 3; i++) ck_assert_int_eq(mg_seal_key_generate(&k[i]), MCPGW_OK);
  core_up(&r, ONE, NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  mg_core_set_keys(r.core, k[0], NULL);
  handle_of(call(&r, s, "\"new\""), h);
  mg_core_set_keys(r.core, k[1], k[0]);
  handle_of(call(&r, s, h), next); /* known still, and handed out anew */
  ck_assert_str_ne(h, next);
  handle_of(call(&r, s, h), next);
  mg_core_set_keys(r.core, k[2], k[1]);
  refused(&r, s, h);
  core_has(call(&r, s, next), "\"result\"");
  ck_assert_uint_eq(mg_core_contexts(r.core), 1);
  core_down(&r);
  for (int i = 0; i < 3; i++) mg_seal_key_free(k[i]);
}
END_TEST

/* ---- no_handle ------------------------------------------------------------------------------------------------- */

START_TEST(fresh_gives_each_call_its_own) {
  struct core_rig r;
  char h[300], other[300];
  core_up(&r, ISO("session"), "{\"contexts\":{\"no_handle\":\"fresh\"}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  handle_of(call(&r, s, NULL), h);
  handle_of(call(&r, s, NULL), other);
  ck_assert_str_ne(h, "");
  ck_assert_str_ne(h, other);
  ck_assert_uint_eq(r.n_ports, 2);
  core_has(call(&r, s, h), "\"result\"");
  ck_assert_uint_eq(r.n_ports, 2);
  core_modern(s, MODERN("1", "tools/list", "")); /* looking needs no workflow */
  core_settle(&r);
  core_settle(&r);
  core_lacks(core_final(s), "dev.mcpgw/context");
  core_tick(&r, 600000); /* people think */
  core_has(call(&r, s, other), "\"result\"");
  core_down(&r);
}
END_TEST

START_TEST(a_workflow_whose_handle_nobody_got_ends_with_its_call) {
  struct core_rig r;
  core_up(&r, ISO("session"), NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  core_modern(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," CTX("\"new\"") "}}");
  core_settle(&r);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  core_error(p, core_last(p)->call, -32603);
  core_lacks(core_final(s), "dev.mcpgw/context");
  core_settle(&r);
  ck_assert_uint_eq(mg_core_contexts(r.core), 0);
  ck_assert_int_eq(p->closed, 1);
  core_down(&r);
}
END_TEST

START_TEST(who_is_refused_leaves_no_workflow) {
  struct core_rig r;
  core_up(&r, ISO("session"), "{\"limits\":{\"rate\":{\"per_s\":1,\"burst\":2}}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  for (int i = 0; i < 20; i++)
    core_modern(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," CTX("\"new\"") "}}");
  core_settle(&r);
  ck_assert_uint_eq(mg_core_contexts(r.core), 2); /* of the two that were let in */
  core_down(&r);
}
END_TEST

START_TEST(who_never_comes_back_makes_room) {
  struct core_rig r;
  char h[300], lost[300];
  core_up(&r, ISO("session"), "{\"contexts\":{\"no_handle\":\"fresh\",\"max_per_principal\":3}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  handle_of(call(&r, s, NULL), h);
  core_has(call(&r, s, h), "\"result\""); /* this one is kept */
  handle_of(call(&r, s, NULL), lost);
  for (int i = 0; i < 10; i++) core_has(call(&r, s, NULL), "\"result\"");
  ck_assert_uint_eq(mg_core_contexts(r.core), 3);
  core_has(call(&r, s, h), "\"result\"");
  refused(&r, s, lost);
  core_down(&r);
}
END_TEST

START_TEST(refuse_wants_a_handle) {
  struct core_rig r;
  char h[300];
  core_up(&r, ONE, "{\"contexts\":{\"no_handle\":\"refuse\"}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  core_has(call(&r, s, NULL), "\"code\":-32602");
  core_has(core_final(s), "dev.mcpgw/context");
  ck_assert_uint_eq(r.n_ports, 0);
  handle_of(call(&r, s, "\"new\""), h);
  core_has(call(&r, s, h), "\"result\"");
  core_modern(s, MODERN("1", "server/discover", ""));
  core_settle(&r);
  core_has(core_final(s), "\"supportedVersions\"");
  core_down(&r);
}
END_TEST

START_TEST(a_callers_workflows_have_a_ceiling) {
  struct core_rig r;
  core_up(&r, ONE, "{\"contexts\":{\"max\":10,\"max_per_principal\":2}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  call(&r, s, "\"new\"");
  call(&r, s, "\"new\"");
  core_has(call(&r, s, "\"new\""), "OVERLOADED");
  core_has(core_final(s), "contexts.max_per_principal");
  r.principal = "bob";
  core_has(call(&r, s, "\"new\""), "\"result\"");
  core_down(&r);
}
END_TEST

/* ---- what is private stays so ------------------------------------------------------------------------------------ */

START_TEST(a_kept_list_carries_no_handle_and_a_handle_is_not_kept) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  r.servers[0].modern = 1;
  r.servers[0].hints = ",\"resultType\":\"complete\",\"ttlMs\":60000,\"cacheScope\":\"public\"";
  struct core_sink *s = core_sink(&r);
  core_modern(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" CTX("\"new\"") "}}");
  core_settle(&r);
  core_settle(&r);
  core_has(core_final(s), "dev.mcpgw/context");
  for (int i = 0; i < 2; i++) {
    r.principal = i ? "bob" : "local";
    core_modern(s, MODERN("2", "tools/list", ""));
    core_settle(&r);
    core_lacks(core_final(s), "dev.mcpgw/context");
    core_has(core_final(s), "\"tools\"");
  }
  core_down(&r);
}
END_TEST

/* Tasks are their context's, and so are their ids. */
START_TEST(tasks_are_the_contexts) {
  struct core_rig r;
  char h[300], text[1000];
  core_up(&r, ONE, NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  core_modern(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," CTX("\"new\"") "}}");
  core_settle(&r);
  core_settle(&r);
  struct core_port *p = core_port(&r, 0);
  core_result(p, core_last(p)->call, "{\"resultType\":\"task\",\"taskId\":\"T1\"}");
  handle_of(core_final(s), h);
  const char *get = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/get\",\"params\":{\"taskId\":\"T1\"," CTX("%s") "}}";
  core_modern(s, MODERN("2", "tasks/get", "\"taskId\":\"T1\","));
  core_has(core_final(s), "unknown task");
  snprintf(text, sizeof text, get, "\"new\"");
  core_modern(s, text);
  core_has(core_final(s), "unknown task");
  snprintf(text, sizeof text, get, h);
  core_modern(s, text);
  core_result(p, core_last(p)->call, "{\"resultType\":\"complete\",\"status\":\"mine\"}");
  core_has(core_final(s), "\"status\":\"mine\"");
  core_down(&r);
}
END_TEST

/* ---- ends ---------------------------------------------------------------------------------------------------------- */

START_TEST(revoking_cuts_calls_and_listeners) {
  struct core_rig r;
  core_up(&r, ISO("session"), NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r), *l = core_sink(&r), *other = core_sink(&r);
  core_modern(s, MODERN("1", "tools/call", "\"name\":\"t\","));
  core_modern(l, MODERN("2", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},"));
  r.principal = "bob";
  core_modern(other, MODERN("3", "tools/call", "\"name\":\"t\","));
  core_settle(&r);
  core_settle(&r);
  ck_assert_uint_eq(r.n_ports, 2);
  mg_link_on_sent(r.ports[0]->link, core_sent(r.ports[0], "tools/call", 0)->call);
  size_t n = 0;
  mg_core_revoke(r.core, MG_REVOKE_PRINCIPAL, MG_LIT("local"), &n);
  ck_assert_uint_eq(n, 1);
  core_has(core_final(s), "CONTEXT_ENDED");
  core_has(core_final(s), "\"delivered\":\"unknown\"");
  core_has(core_final(l), "CONTEXT_ENDED");
  ck_assert_int_eq(r.ports[0]->closed, 1);
  ck_assert_ptr_nonnull(core_sent(r.ports[0], "notifications/cancelled", 0));
  ck_assert_int_eq(r.ports[1]->closed, 0);
  ck_assert_int_eq(other->finals, 0);
  core_result(r.ports[1], core_last(r.ports[1])->call, "{\"resultType\":\"complete\"}");
  core_down(&r);
}
END_TEST

/* A caller that is always busy is not cut off after twelve hours: what comes then has a new default context. */
START_TEST(a_default_context_retires) {
  struct core_rig r;
  core_up(&r, ONE, "{\"contexts\":{\"absolute_ms\":100000,\"idle_ms\":50000}}");
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r), *l = core_sink(&r), *after = core_sink(&r);
  core_modern(l, MODERN("2", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},"));
  core_settle(&r);
  core_settle(&r);
  for (int i = 0; i < 9; i++) core_tick(&r, 10000);
  core_modern(s, MODERN("1", "tools/call", "\"name\":\"t\","));
  core_settle(&r);
  uint64_t id = core_sent(core_port(&r, 0), "tools/call", 0)->call;
  core_tick(&r, 10000);
  ck_assert_int_eq(s->finals, 0);
  core_has(core_final(l), "\"resultType\":\"complete\""); /* come again, please */
  core_modern(after, MODERN("3", "tools/call", "\"name\":\"t\","));
  core_settle(&r);
  ck_assert_uint_eq(mg_core_contexts(r.core), 2);
  core_result(core_port(&r, 0), id, "{\"resultType\":\"complete\"}");
  core_has(core_final(s), "\"result\"");
  core_tick(&r, 2000);
  ck_assert_uint_eq(mg_core_contexts(r.core), 1);
  core_down(&r);
}
END_TEST

START_TEST(lost_state_of_a_modern_server_is_told) {
  struct core_rig r;
  core_up(&r, ISO("session"), NULL);
  r.servers[0].modern = 1;
  struct core_sink *s = core_sink(&r);
  core_has(call(&r, s, NULL), "\"result\"");
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  core_settle(&r);
  core_has(call(&r, s, NULL), "STATE_LOST");
  core_has(call(&r, s, NULL), "\"result\"");
  core_down(&r);
}
END_TEST

Suite *core_handles_suite(void) {
  Suite *s = suite_create("core/handles");
  TCase *t = tcase_create("contexts");
  tcase_add_test(t, without_a_handle_all_is_the_principals);
  tcase_add_test(t, new_opens_a_workflow_and_its_handle_stays_in_it);
  tcase_add_test(t, the_handle_stands_beside_what_meta_had);
  tcase_add_test(t, a_principal_has_one_link_whatever_its_workflows);
  tcase_add_test(t, forged_foreign_expired_and_ended_are_told_alike);
  tcase_add_test(t, the_eras_do_not_meet);
  tcase_add_test(t, keys_change_and_two_are_alive);
  tcase_add_test(t, fresh_gives_each_call_its_own);
  tcase_add_test(t, a_workflow_whose_handle_nobody_got_ends_with_its_call);
  tcase_add_test(t, who_is_refused_leaves_no_workflow);
  tcase_add_test(t, who_never_comes_back_makes_room);
  tcase_add_test(t, refuse_wants_a_handle);
  tcase_add_test(t, a_callers_workflows_have_a_ceiling);
  tcase_add_test(t, a_kept_list_carries_no_handle_and_a_handle_is_not_kept);
  tcase_add_test(t, tasks_are_the_contexts);
  tcase_add_test(t, revoking_cuts_calls_and_listeners);
  tcase_add_test(t, a_default_context_retires);
  tcase_add_test(t, lost_state_of_a_modern_server_is_told);
  suite_add_tcase(s, t);
  return s;
}
