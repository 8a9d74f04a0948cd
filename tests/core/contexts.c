/* tests/core/contexts: whose a context is, how long it lives, what ends with it, and the ceilings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/brain.h"
#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define CALL "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}"
#define HOUR 3600000u

static struct mg_ctx *find(struct core_rig *r, const char *id, const char *principal) {
  mcpgw_credential who = core_who(principal);
  return mg_core_find(r->core, mg_slice_z(id), &who, r->now);
}

START_TEST(a_context_is_found_by_its_principal_only) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, NULL);
  r.principal = "ann";
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  snprintf(id, sizeof id, "%s", mg_ctx_id(ctx));
  ck_assert_uint_eq(strlen(id), 32);
  ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
  ck_assert_ptr_eq(find(&r, id, "ann"), ctx);
  ck_assert_ptr_null(find(&r, id, "bob"));
  ck_assert_ptr_null(find(&r, id, "an"));
  ck_assert_ptr_null(find(&r, id, "anna"));
  ck_assert_ptr_null(find(&r, id, ""));
  id[5] ^= 1;
  ck_assert_ptr_null(find(&r, id, "ann"));
  ck_assert_ptr_null(find(&r, "", "ann"));
  id[31] = 0;
  ck_assert_ptr_null(find(&r, id, "ann"));
  struct mg_ctx *other = core_session(&r, 0, 1);
  ck_assert_str_ne(mg_ctx_id(ctx), mg_ctx_id(other));
  core_down(&r);
}
END_TEST

START_TEST(another_principals_looking_keeps_nothing_alive) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, "{\"contexts\":{\"idle_ms\":60000}}");
  snprintf(id, sizeof id, "%s", mg_ctx_id(core_session(&r, 0, 1)));
  for (int i = 0; i < 7; i++) {
    find(&r, id, "mallory");
    core_tick(&r, 10000);
  }
  ck_assert_ptr_null(find(&r, id, "local"));
  core_down(&r);
}
END_TEST

START_TEST(an_idle_context_ends) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, "{\"contexts\":{\"idle_ms\":100000}}");
  snprintf(id, sizeof id, "%s", mg_ctx_id(core_session(&r, 0, 1)));
  core_tick(&r, 99000);
  ck_assert_ptr_nonnull(find(&r, id, "local")); /* looking is use */
  core_tick(&r, 99000);
  ck_assert_int_eq(r.ended, 0);
  core_tick(&r, 1000);
  ck_assert_int_eq(r.ended, 1);
  ck_assert_ptr_null(find(&r, id, "local"));
  ck_assert_int_eq(r.ports[0]->closed, 1);
  ck_assert_int_eq(r.ports[0]->graceful, 1);
  core_down(&r);
}
END_TEST

START_TEST(a_call_in_flight_is_use) {
  struct core_rig r;
  core_up(&r, "{\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"timeouts\":{\"total_ms\":7200000}}}}", "{\"contexts\":{\"idle_ms\":100000,\"absolute_ms\":3600000}}");
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, CALL, 1);
  for (int i = 0; i < 35; i++) core_tick(&r, 100000);
  ck_assert_int_eq(r.ended, 0);
  core_tick(&r, 100000); /* but nothing outlives absolute_ms */
  ck_assert_int_eq(r.ended, 1);
  core_has(core_final(s), "CONTEXT_ENDED");
  ck_assert_int_eq(core_status(s), 404);
  core_down(&r);
}
END_TEST

START_TEST(an_open_stream_is_use) {
  struct core_rig r;
  core_up(&r, ONE, "{\"contexts\":{\"idle_ms\":100000,\"absolute_ms\":3600000}}");
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  mg_ctx_set_left(ctx, 0, r.now); /* somebody listens */
  for (int i = 0; i < 10; i++) core_tick(&r, 70000);
  mg_ctx_set_left(ctx, 1, r.now); /* and has gone: from here on it is idle */
  core_tick(&r, 99999);
  ck_assert_int_eq(r.ended, 0);
  core_tick(&r, 1);
  ck_assert_int_eq(r.ended, 1);
  ctx = core_session(&r, 0, 1);
  mg_ctx_set_left(ctx, 0, r.now);
  for (int i = 0; i < 35; i++) core_tick(&r, 100000);
  ck_assert_int_eq(r.ended, 1);
  core_tick(&r, 100000); /* but nothing outlives absolute_ms */
  ck_assert_int_eq(r.ended, 2);
  core_down(&r);
}
END_TEST

START_TEST(the_absolute_end_comes_however_busy) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, NULL);
  snprintf(id, sizeof id, "%s", mg_ctx_id(core_session(&r, 0, 1)));
  for (int i = 0; i < 47; i++) {
    core_tick(&r, HOUR / 4);
    ck_assert_msg(find(&r, id, "local") != NULL, "after %d quarters of an hour", i + 1);
  }
  core_tick(&r, HOUR / 4);
  ck_assert_ptr_null(find(&r, id, "local"));
  core_down(&r);
}
END_TEST

START_TEST(never_initialized_is_ended_early) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, NULL);
  struct core_sink *s = core_sink(&r);
  snprintf(id, sizeof id, "%s", mg_ctx_id(core_initialize(&r, s, 0, 1, NULL)));
  core_settle(&r);
  core_tick(&r, 59999);
  ck_assert_int_eq(r.ended, 0);
  core_tick(&r, 1);
  ck_assert_int_eq(r.ended, 1);
  ck_assert_ptr_null(find(&r, id, "local"));
  core_down(&r);
}
END_TEST

START_TEST(use_does_not_replace_initialized) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx = core_initialize(&r, s, 0, 1, NULL);
  core_settle(&r);
  mg_ctx_set_left(ctx, 0, r.now); /* it listens already */
  for (int i = 0; i < 5; i++) {
    core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}", i + 1);
    core_tick(&r, 11999);
    ck_assert_int_eq(r.ended, 0);
  }
  core_tick(&r, 5);
  ck_assert_int_eq(r.ended, 1);
  core_down(&r);
}
END_TEST

/* Initialized in time, it lives on although nobody has looked at it since. */
START_TEST(initialized_is_as_good_as_used) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, NULL);
  snprintf(id, sizeof id, "%s", mg_ctx_id(core_session(&r, 0, 1)));
  core_tick(&r, 60001);
  core_tick(&r, 60001);
  ck_assert_ptr_nonnull(find(&r, id, "local"));
  core_down(&r);
}
END_TEST

START_TEST(a_pinned_context_does_not_expire) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  mg_ctx_pin(ctx);
  core_tick(&r, 100u * HOUR);
  ck_assert_int_eq(r.ended, 0);
  ck_assert_uint_eq(mg_core_next_ms(r.core), UINT64_MAX);
  core_down(&r);
}
END_TEST

START_TEST(ending_ends_everything) {
  struct core_rig r;
  core_up(&r, TWO, NULL);
  r.servers[0].tools = "[{\"name\":\"t\"}]";
  struct mg_ctx *ctx = core_session(&r, 0, 2), *other = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r), *waits = core_sink(&r), *channel = core_sink(&r);
  mg_ctx_set_channel(ctx, &channel->sink);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a__t\"}}");
  core_serve(&r);
  core_hear(r.ports[0], 0, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"roots/list\"}");
  core_legacy(ctx, waits, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"prompts/list\"}");
  mg_core_end(r.core, ctx, "deleted");
  core_has(core_final(s), "\"reason\":\"CONTEXT_ENDED\"");
  core_has(core_final(waits), "\"reason\":\"CONTEXT_ENDED\"");
  ck_assert_ptr_nonnull(core_sent(r.ports[0], "notifications/cancelled", 0));
  ck_assert_int_eq(r.ports[0]->closed + r.ports[1]->closed, 2);
  ck_assert_int_eq(r.ports[0]->graceful + r.ports[1]->graceful, 2);
  ck_assert_int_eq(r.ports[2]->closed + r.ports[3]->closed, 0); /* the other's live on */
  ck_assert_int_eq(r.ended, 1);
  core_legacy(other, s, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}");
  core_down(&r);
}
END_TEST

/* ---- ceilings ------------------------------------------------------------------------------------------------ */

START_TEST(contexts_have_a_ceiling) {
  struct core_rig r;
  core_up(&r, ONE, "{\"contexts\":{\"max\":3}}");
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *first = core_session(&r, 0, 1);
  core_session(&r, 0, 1);
  core_session(&r, 0, 1);
  ck_assert_ptr_null(core_initialize(&r, s, 0, 1, NULL));
  core_has(core_final(s), "OVERLOADED");
  core_has(core_final(s), "too many sessions");
  ck_assert_uint_eq(mg_core_stats(r.core)->overloaded, 1);
  mg_core_end(r.core, first, "room");
  core_session(&r, 0, 1);
  core_down(&r);
}
END_TEST

START_TEST(calls_of_a_context_have_a_ceiling) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1), *other = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r), *t = core_sink(&r);
  for (int i = 0; i < MG_MAX_CTX_CALLS; i++) core_legacy(ctx, s, CALL, i);
  ck_assert_uint_eq(s->n, 0);
  core_legacy(ctx, t, CALL, 5000);
  core_has(core_final(t), "OVERLOADED");
  core_has(core_final(t), "too many requests");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}");
  core_legacy(ctx, t, CALL, 5001);
  core_legacy(other, t, CALL, 1); /* and it is each context's own */
  ck_assert_int_eq(t->finals, 1);
  mg_core_end(r.core, ctx, "x");
  ck_assert_int_eq(s->finals, MG_MAX_CTX_CALLS - 1);
  core_down(&r);
}
END_TEST

START_TEST(questions_of_a_context_have_a_ceiling) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *channel = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  mg_ctx_set_channel(ctx, &channel->sink);
  for (int i = 0; i < MG_MAX_REVERSE; i++) core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"roots/list\"}", i);
  ck_assert_uint_eq(channel->n, MG_MAX_REVERSE);
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":\"over\",\"method\":\"roots/list\"}");
  ck_assert_uint_eq(channel->n, MG_MAX_REVERSE);
  core_has(core_last(p)->text, "\"id\":\"over\",\"error\":{\"code\":-32603");
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}");
  core_hear(p, 0, "{\"jsonrpc\":\"2.0\",\"id\":\"fits\",\"method\":\"roots/list\"}");
  ck_assert_uint_eq(channel->n, MG_MAX_REVERSE + 1);
  core_down(&r);
}
END_TEST

START_TEST(tasks_of_a_context_have_a_ceiling) {
  struct core_rig r;
  char id[64];
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  for (int i = 0; i < MG_MAX_TASKS + 50; i++) {
    snprintf(id, sizeof id, "{\"task\":{\"taskId\":\"t%d\"}}", i);
    core_legacy(ctx, s, CALL, 1);
    core_result(p, core_last(p)->call, id);
  }
  const char *get = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/get\",\"params\":{\"taskId\":\"t%d\"}}";
  core_legacy(ctx, s, get, MG_MAX_TASKS + 49); /* the newest is known */
  core_result(p, core_last(p)->call, "{\"new\":1}");
  core_has(core_final(s), "\"new\":1");
  core_down(&r);
}
END_TEST

START_TEST(memory_has_a_ceiling) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  r.budget.limit = r.budget.used + 210; /* room for the message that comes, none for a second one */
  core_legacy(ctx, s, CALL, 1);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{\"xxxxxxx\":1}}}");
  core_has(core_final(s), "\"id\":2,\"error\":{\"code\":-31006");
  core_has(core_final(s), "\"delivered\":\"no\"");
  r.budget.limit = 0;
  core_result(core_port(&r, 0), core_sent(core_port(&r, 0), "tools/call", 0)->call, "{}");
  core_down(&r);
}
END_TEST

START_TEST(a_reply_without_room_is_an_error_of_its_call) {
  struct core_rig r;
  core_up(&r, ONE, NULL);
  struct mg_ctx *ctx = core_session(&r, 0, 1);
  struct core_sink *s = core_sink(&r);
  struct core_port *p = core_port(&r, 0);
  core_legacy(ctx, s, CALL, 77);
  const char *text = "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"content\":\"0123456789012345678901234567890123456789\"}}";
  char reply[300];
  int n = snprintf(reply, sizeof reply, text, (unsigned long long)core_last(p)->call);
  mg_blob *b = mg_blob_copy(&r.budget, reply, (size_t)n);
  r.budget.limit = r.budget.used + 10;
  mg_link_on_message(p->link, 0, b, 200, r.now);
  core_has(core_final(s), "\"id\":77,\"error\":{\"code\":-31006");
  core_has(core_final(s), "\"delivered\":\"yes\"");
  r.budget.limit = 0;
  core_down(&r);
}
END_TEST

Suite *core_contexts_suite(void) {
  Suite *s = suite_create("core/contexts");
  TCase *t = tcase_create("life");
  tcase_add_test(t, a_context_is_found_by_its_principal_only);
  tcase_add_test(t, another_principals_looking_keeps_nothing_alive);
  tcase_add_test(t, an_idle_context_ends);
  tcase_add_test(t, a_call_in_flight_is_use);
  tcase_add_test(t, an_open_stream_is_use);
  tcase_add_test(t, the_absolute_end_comes_however_busy);
  tcase_add_test(t, never_initialized_is_ended_early);
  tcase_add_test(t, use_does_not_replace_initialized);
  tcase_add_test(t, initialized_is_as_good_as_used);
  tcase_add_test(t, a_pinned_context_does_not_expire);
  tcase_add_test(t, ending_ends_everything);
  suite_add_tcase(s, t);
  t = tcase_create("ceilings");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, contexts_have_a_ceiling);
  tcase_add_test(t, calls_of_a_context_have_a_ceiling);
  tcase_add_test(t, questions_of_a_context_have_a_ceiling);
  tcase_add_test(t, tasks_of_a_context_have_a_ceiling);
  tcase_add_test(t, memory_has_a_ceiling);
  tcase_add_test(t, a_reply_without_room_is_an_error_of_its_call);
  suite_add_tcase(s, t);
  return s;
}
