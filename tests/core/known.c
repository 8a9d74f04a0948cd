/* tests/core/known: a cold start with what was written down of upstreams, right, wrong and damaged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define CALL(id, name) MODERN(id, "tools/call", "\"name\":\"" name "\",")
#define LIST(id) MODERN(id, "tools/list", "")

static struct shelf { /* what is kept between two runs, in the test's own memory */
  char *key[8], *value[8];
  size_t key_len[8], len[8], n, keeps, recalls;
} shelf;

static mg_blob *recall(void *arg, struct mg_slice key) {
  (void)arg;
  shelf.recalls++;
  for (size_t i = 0; i < shelf.n; i++)
    if (key.len == shelf.key_len[i] && memcmp(key.ptr, shelf.key[i], key.len) == 0) return mg_blob_copy(NULL, shelf.value[i], shelf.len[i]);
  return NULL;
}

static void keep(void *arg, struct mg_slice key, struct mg_slice value) {
  size_t i = 0;
  (void)arg;
  shelf.keeps++;
  while (i < shelf.n && (key.len != shelf.key_len[i] || memcmp(key.ptr, shelf.key[i], key.len) != 0)) i++;
  if (i == shelf.n) {
    ck_assert_uint_lt(i, 8);
    shelf.n++;
    shelf.key[i] = memcpy(malloc(key.len), key.ptr, key.len);
    shelf.key_len[i] = key.len;
  } else {
    free(shelf.value[i]);
  }
  shelf.value[i] = memcpy(malloc(value.len + 1), value.ptr, value.len);
  shelf.len[i] = value.len;
}

static void up(struct core_rig *r, int modern) {
  static const struct mg_known_port port = {recall, keep, NULL};
  core_up(r, TWO, NULL);
  mg_core_set_known(r->core, &port);
  for (int i = 0; i < 2; i++) {
    r->servers[i].modern = modern ? 1 : -32601;
    r->servers[i].hints = ",\"ttlMs\":1000,\"cacheScope\":\"public\"";
    r->servers[i].caps = "{\"tools\":{}}";
  }
  r->servers[0].tools = "[{\"name\":\"x\"}]";
  r->servers[1].tools = "[{\"name\":\"y\"}]";
}

/* A run that learns all there is. */
static void first_run(int modern) {
  struct core_rig r;
  up(&r, modern);
  if (modern) {
    struct core_sink *s = core_sink(&r);
    core_modern(s, LIST("1"));
    core_settle(&r);
    core_has(core_final(s), "a__x");
    core_tick(&r, 10000);
    core_modern(core_sink(&r), LIST("2")); /* at most so often it is written */
    core_settle(&r);
  } else {
    struct mg_ctx *ctx = core_session(&r, 0, 2);
    struct core_sink *s = core_sink(&r);
    core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}");
    core_settle(&r);
    core_has(core_final(s), "a__x");
  }
  core_down(&r);
  ck_assert_uint_eq(shelf.n, 2);
}

START_TEST(a_known_modern_upstream_is_called_at_once) {
  struct core_rig r;
  first_run(1);
  up(&r, 1);
  struct core_sink *s = core_sink(&r);
  core_modern(s, CALL("1", "b__y")); /* nothing has been served yet */
  struct core_sent *sent = core_sent(core_port(&r, 1), "tools/call", 0);
  ck_assert_ptr_nonnull(sent);
  core_has(sent->text, "\"name\":\"y\"");
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 1), "server/discover", 0)); /* the probe is under way */
  core_result(core_port(&r, 1), sent->call, "{\"content\":[]}");
  core_has(core_final(s), "\"content\":[]");
  core_settle(&r);
  ck_assert_ptr_nonnull(core_sent(core_port(&r, 1), "tools/list", 0)); /* and so is the list */
  core_down(&r);
}
END_TEST

START_TEST(what_was_known_is_never_shown) {
  struct core_rig r;
  first_run(1);
  up(&r, 1);
  r.servers[0].tools = "[{\"name\":\"new\"}]";
  struct core_sink *s = core_sink(&r);
  core_modern(s, LIST("1"));
  ck_assert_int_eq(s->finals, 0);
  core_settle(&r);
  core_has(core_final(s), "a__new");
  core_lacks(core_final(s), "a__x");
  core_down(&r);
}
END_TEST

START_TEST(a_known_legacy_upstream_is_routed_by_what_was_known) {
  struct core_rig r;
  first_run(0);
  up(&r, 0);
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  struct core_sink *s = core_sink(&r);
  size_t asked = 0;
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"a__x\"}}");
  struct core_sent *sent = core_sent(core_port(&r, 0), "tools/call", 0);
  ck_assert_ptr_nonnull(sent);
  core_result(core_port(&r, 0), sent->call, "{\"content\":[]}");
  core_settle(&r);
  while (core_sent(core_port(&r, 0), "tools/list", asked)) asked++;
  ck_assert_uint_eq(asked, 1); /* in the background, once */
  core_down(&r);
}
END_TEST

START_TEST(it_was_modern_and_is_not) {
  struct core_rig r;
  first_run(1);
  up(&r, 0);
  struct core_sink *s = core_sink(&r);
  core_modern(s, CALL("1", "a__x"));
  core_settle(&r);
  ck_assert_int_eq(s->finals, 1);
  core_has(core_final(s), "\"error\"");
  s = core_sink(&r);
  core_modern(s, LIST("2"));
  core_settle(&r);
  core_has(core_final(s), "-32022"); /* from then on it is known for what it is */
  struct mg_ctx *ctx = core_session(&r, 0, 2);
  s = core_sink(&r);
  core_legacy(ctx, s, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}");
  core_settle(&r);
  core_has(core_final(s), "a__x");
  core_down(&r);
}
END_TEST

START_TEST(the_same_is_not_written_twice) {
  struct core_rig r;
  first_run(1);
  size_t before = shelf.keeps;
  first_run(1);
  ck_assert_uint_le(shelf.keeps - before, 4);
  up(&r, 1);
  r.servers[0].hints = r.servers[1].hints = ",\"ttlMs\":1000,\"cacheScope\":\"private\"";
  core_modern(core_sink(&r), LIST("1"));
  core_settle(&r);
  core_tick(&r, 20000);
  core_modern(core_sink(&r), LIST("2"));
  core_settle(&r);
  for (size_t i = 0; i < shelf.n; i++) /* what turned private is not written down */
    ck_assert_ptr_null(memmem(shelf.value[i], shelf.len[i], "\"tools\":[", 9));
  core_down(&r);
}
END_TEST

START_TEST(damaged_values_are_as_none) {
  first_run(1);
  for (int how = 0; how < 60; how++) {
    struct core_rig r;
    size_t n = shelf.len[0];
    char *good = memcpy(malloc(n), shelf.value[0], n);
    if (how < 30) shelf.len[0] = n * (size_t)how / 30;
    else for (int k = 0; k < how - 28; k++) shelf.value[0][(size_t)(how * 7919 + k * 104729) % n] ^= (char)(how + 1);
    up(&r, 1);
    struct core_sink *s = core_sink(&r);
    core_modern(s, LIST("1"));
    core_settle(&r);
    core_tick(&r, 60000);
    core_settle(&r);
    ck_assert_int_eq(s->finals, 1);
    core_down(&r);
    free(shelf.value[0]);
    shelf.value[0] = good;
    shelf.len[0] = n;
  }
}
END_TEST

START_TEST(each_allocation_of_a_cold_start_may_fail) {
  first_run(1);
  for (uint64_t n = 2, fired = 1; fired; n++) { /* the first is the rig's own */
    struct core_rig r;
    up(&r, 1);
    struct core_sink *s = core_sink(&r);
    mg_mem_fail_after(n, 0);
    core_modern(s, CALL("1", "b__y"));
    fired = mg_mem_failed();
    mg_mem_fail_after(0, 0);
    core_settle(&r);
    if (!s->finals) core_sink_gone(s);
    core_down(&r);
    ck_assert_uint_lt(n, 2000);
  }
}
END_TEST

Suite *core_known_suite(void) {
  Suite *s = suite_create("core/known");
  TCase *t = tcase_create("known");
  tcase_add_test(t, a_known_modern_upstream_is_called_at_once);
  tcase_add_test(t, what_was_known_is_never_shown);
  tcase_add_test(t, a_known_legacy_upstream_is_routed_by_what_was_known);
  tcase_add_test(t, it_was_modern_and_is_not);
  tcase_add_test(t, the_same_is_not_written_twice);
  tcase_add_test(t, damaged_values_are_as_none);
  tcase_add_test(t, each_allocation_of_a_cold_start_may_fail);
  suite_add_tcase(s, t);
  return s;
}
