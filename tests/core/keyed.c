/* tests/core/keyed: keyed calls where a step of their way fails: a message that the link does not take, a store that
 * does not answer. (The contract itself: tests/idem; through a whole gateway: tests/gateway/keyed.) */
#include <stdio.h>
#include <string.h>

#include "core/once/idem.h"
#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/mcpgw.h"
#include "support/scratch.h"

/* A store that hands on to another, but for results while it is told to hold them. */
static struct slow {
  mcpgw_store *real;
  int holds, held;
  mcpgw_record record;
  char key[64], value[1024];
  mcpgw_store_cb cb;
  void *arg;
} slow;

static int slow_get(void *b, uint32_t kind, const char *key, size_t key_len, mcpgw_store_cb cb, void *arg) {
  (void)b;
  return mcpgw_store_get(slow.real, kind, key, key_len, cb, arg);
}

static int slow_write(void *b, uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg) {
  (void)b;
  if (op == MCPGW_STORE_INSERT) return mcpgw_store_insert_durable(slow.real, r, flags, cb, arg);
  if (op == MCPGW_STORE_DELETE) return mcpgw_store_delete(slow.real, r, flags, cb, arg);
  if (!slow.holds) return mcpgw_store_replace_if(slow.real, r, flags, cb, arg);
  slow.held = 1;
  slow.record = *r;
  slow.record.key = memcpy(slow.key, r->key, r->key_len);
  slow.record.value = memcpy(slow.value, r->value, r->value_len);
  slow.cb = cb;
  slow.arg = arg;
  return MCPGW_OK;
}

static void let_go(void) {
  slow.holds = 0;
  if (slow.held) mcpgw_store_replace_if(slow.real, &slow.record, 0, slow.cb, slow.arg);
  slow.held = 0;
}

static int slow_scan(void *b, uint32_t kind, const char *prefix, size_t len, mcpgw_store_cb cb, void *arg) {
  (void)b;
  return mcpgw_store_scan(slow.real, kind, prefix, len, cb, arg);
}

static void slow_close(void *b) {
  (void)b;
  mcpgw_store_unref(slow.real);
}

static const mcpgw_store_ops slow_ops = {sizeof slow_ops, "slow", slow_get, slow_write, slow_scan, NULL, slow_close};

static int open_contract(void *arg, struct mcpgw_idempotency **out, const char **why) {
  const mcpgw_idempotency_options o = {.struct_size = sizeof o};
  mcpgw_store *s = NULL;
  (void)arg, (void)why;
  ck_assert_int_eq(mcpgw_store_new(&s), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_open_custom(s, &slow_ops, &slow), MCPGW_OK);
  int rc = mg_idem_new(s, &o, out);
  mcpgw_store_unref(s); /* the contract holds it */
  return rc;
}

static uint64_t unix_ms(void *arg) {
  (void)arg;
  return 1900000000000u;
}

static struct core_rig r;
static struct mg_ctx *ctx;

#define SERVER "\"a\":{\"url\":\"http://a/mcp\",\"gateway\":{\"tools\":{\"set\":{\"effect\":\"idempotent\"}},\"timeouts\":{\"total_ms\":20000}}}"

static void up(size_t servers) {
  const char *dir = scratch();
  core_up(&r, servers == 1 ? "{" SERVER "}" : "{" SERVER ",\"b\":{\"url\":\"http://b/mcp\"}}", NULL);
  memset(&slow, 0, sizeof slow);
  ck_assert_int_eq(mcpgw_store_new(&slow.real), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_open(slow.real, dir, strlen(dir), NULL), MCPGW_OK);
  mg_core_set_once(r.core, &(struct mg_once_port){open_contract, unix_ms, NULL});
  r.servers[0].tools = "[{\"name\":\"t\"}]";
  ctx = core_session(&r, 0, servers);
}

static void down(void) {
  core_down(&r);
  scratch_done();
}

static struct core_sink *call_as(const char *tool, const char *key) {
  static int id = 10;
  struct core_sink *s = core_sink(&r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"_meta\":{\"dev.mcpgw/idempotency-key\":\"%s\"}}}",
              id++, tool, key);
  return s;
}

static struct core_sink *call(const char *tool) {
  return call_as(tool, "k");
}

/* The store's thread works meanwhile; no time passes for the gateway. */
static void until(const int *what, int value) {
  for (int t = 0; t < 10000 && *what < value; t++) {
    core_settle(&r);
    nap(1);
  }
  ck_assert_int_ge(*what, value);
}

/* Answers the nth tools/call once it is there. */
static void answer(size_t nth, const char *result) {
  struct core_sent *m = NULL;
  for (int t = 0; t < 10000 && !(m = core_sent(core_port(&r, 0), "tools/call", nth)); t++) {
    core_settle(&r);
    nap(1);
  }
  ck_assert_ptr_nonnull(m);
  core_result(core_port(&r, 0), m->call, result);
}

START_TEST(what_the_link_did_not_take_leaves_the_key_free) {
  up(1);
  r.send_rc = MCPGW_E_LIMIT;
  struct core_sink *s = call("t");
  until(&s->finals, 1);
  core_has(core_final(s), "\"delivered\":\"no\"");
  r.send_rc = MCPGW_OK;
  s = call("t");
  answer(0, "{\"content\":[\"ran\"]}");
  until(&s->finals, 1);
  core_has(core_final(s), "ran");
  down();
}
END_TEST

START_TEST(nobody_waits_for_ever_for_the_store_to_take_a_result) {
  up(1);
  slow.holds = 1;
  struct core_sink *s = call("t");
  answer(0, "{\"content\":[\"ran\"]}");
  until(&slow.held, 1);
  core_tick(&r, 19999);
  ck_assert_int_eq(s->finals, 0);
  core_tick(&r, 1);
  ck_assert_int_eq(s->finals, 1);
  core_has(core_final(s), "OUTCOME_UNKNOWN");
  core_has(core_final(s), "\"delivered\":\"yes\"");
  core_has(core_final(s), "store_slow");
  s = call("t"); /* it is there after all */
  core_tick(&r, 0);
  let_go();
  until(&s->finals, 1);
  core_has(core_final(s), "ran");
  ck_assert_ptr_null(core_sent(core_port(&r, 0), "tools/call", 1));
  down();
}
END_TEST

/* One attempt that may have arrived counts, whatever became of those after it. */
START_TEST(an_attempt_that_may_have_run_is_not_forgotten) {
  up(1);
  struct core_sink *s = call("set");
  for (size_t n = 0; !s->finals; n++) {
    struct core_sent *m = NULL;
    for (int t = 0; t < 10000 && !(m = core_sent(core_port(&r, 0), "tools/call", n)) && !s->finals; t++) {
      core_tick(&r, 1);
      nap(1);
    }
    ck_assert_ptr_nonnull(m);
    core_fail(core_port(&r, 0), m->call, MCPGW_E_CLOSED, n ? MCPGW_DELIVERED_NO : MCPGW_DELIVERED_UNKNOWN, 0);
    ck_assert_uint_lt(n, 10);
  }
  core_has(core_final(s), "\"delivered\":\"unknown\"");
  down();
}
END_TEST

/* Of many servers one is gone: what it did is told all the same, and what it did not do is not begun. */
START_TEST(what_was_done_is_told_without_its_server) {
  up(2);
  struct core_sink *s = call("a__t");
  core_settle(&r);
  answer(0, "{\"content\":[\"ran\"]}");
  until(&s->finals, 1);
  core_has(core_final(s), "ran");
  core_close(core_port(&r, 0), MCPGW_DELIVERED_NO);
  r.open_rc = MCPGW_E_IO;
  for (int i = 0; i < 3; i++) {
    core_tick(&r, 1);
    s = call("a__t");
    until(&s->finals, 1);
    core_has(core_final(s), "ran");
    core_has(core_final(s), "dev.mcpgw/replayed");
  }
  for (int i = 0; i < 2; i++) {
    s = call_as("a__t", "other");
    until(&s->finals, 1);
    core_has(core_final(s), i ? "UPSTREAM_UNAVAILABLE" : "STATE_LOST");
  }
  r.open_rc = MCPGW_OK;
  core_tick(&r, 10000);
  s = call_as("a__t", "other");
  core_settle(&r);
  answer(0, "{\"content\":[\"ran too\"]}");
  until(&s->finals, 1);
  core_has(core_final(s), "ran too");
  down();
}
END_TEST

Suite *core_keyed_suite(void) {
  Suite *s = suite_create("core/keyed");
  TCase *t = tcase_create("keyed");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, what_the_link_did_not_take_leaves_the_key_free);
  tcase_add_test(t, nobody_waits_for_ever_for_the_store_to_take_a_result);
  tcase_add_test(t, what_was_done_is_told_without_its_server);
  tcase_add_test(t, an_attempt_that_may_have_run_is_not_forgotten);
  suite_add_tcase(s, t);
  return s;
}
