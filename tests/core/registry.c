/* tests/core/registry: <mcpgw/session.h> without a gateway: who finds what, what ends when, what is left. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/rig.h"
#include "core/suites.h"
#include "mcpgw/session.h"

struct ends { /* what `ended` was told */
  int n, in_use;
  char why[64], tag[20];
  void *user, *bound;
};

static void on_ended(void *data, mcpgw_session *s, const char *why) {
  struct ends *e = data;
  e->n++;
  snprintf(e->why, sizeof e->why, "%s", why);
  snprintf(e->tag, sizeof e->tag, "%s", mcpgw_session_tag(s));
  e->user = mcpgw_session_user(s);
  e->bound = mcpgw_session_bound(s, 3);
}

static int on_in_use(void *data, mcpgw_session *s) {
  (void)s;
  return ((struct ends *)data)->in_use;
}

static mcpgw_sessions *registry(struct ends *e, uint64_t max, uint64_t max_per_principal) {
  mcpgw_sessions_options o;
  mcpgw_sessions *all = NULL;
  memset(e, 0, sizeof *e);
  mcpgw_sessions_options_init(&o);
  ck_assert_uint_eq(o.struct_size, sizeof o);
  o.idle_ms = 1000;
  o.absolute_ms = 10000;
  o.pending_ms = 100;
  o.max = max;
  o.max_per_principal = max_per_principal;
  o.ended = on_ended;
  o.in_use = on_in_use;
  o.data = e;
  ck_assert_int_eq(mcpgw_sessions_new(&all, &o), MCPGW_OK);
  return all;
}

static mcpgw_credential who(const char *principal, const char *token, uint64_t expires_ms) {
  mcpgw_credential c;
  mcpgw_credential_init(&c);
  c.principal = principal;
  c.principal_len = strlen(principal);
  c.token_id = token;
  c.token_id_len = token ? strlen(token) : 0;
  c.expires_ms = expires_ms;
  return c;
}

static mcpgw_session *create(mcpgw_sessions *all, const char *principal, uint64_t now) {
  mcpgw_credential c = who(principal, NULL, 0);
  mcpgw_session *s = NULL;
  ck_assert_int_eq(mcpgw_session_create(&s, all, &c, now), MCPGW_OK);
  mcpgw_session_confirm(s, now);
  return s;
}

static int find_as(mcpgw_sessions *all, const char *id, const char *principal, uint64_t now, mcpgw_session **out) {
  mcpgw_credential c = who(principal, NULL, 0);
  return mcpgw_session_find(out, all, id, strlen(id), &c, now);
}

START_TEST(it_is_found_by_its_principal_only) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 10, 10);
  mcpgw_session *ann = create(all, "ann", 1), *bob = create(all, "bob", 1), *got = NULL;
  char id[40];
  snprintf(id, sizeof id, "%s", mcpgw_session_id(ann));
  ck_assert_uint_eq(strlen(id), MCPGW_SESSION_ID_LEN);
  ck_assert_uint_eq(strlen(mcpgw_session_tag(ann)), MCPGW_SESSION_TAG_LEN);
  ck_assert_ptr_null(strstr(id, mcpgw_session_tag(ann)));
  ck_assert_str_ne(id, mcpgw_session_id(bob));
  ck_assert_int_eq(find_as(all, id, "ann", 2, &got), MCPGW_OK);
  ck_assert_ptr_eq(got, ann);
  ck_assert_str_eq(mcpgw_session_principal(got), "ann");
  got = NULL;
  const char *others[] = {"bob", "an", "anna", "ann ", "Ann"};
  for (size_t i = 0; i < 5; i++) ck_assert_int_eq(find_as(all, id, others[i], 2, &got), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(find_as(all, id, "", 2, &got), MCPGW_E_NOT_FOUND);
  id[3] ^= 1;
  ck_assert_int_eq(find_as(all, id, "ann", 2, &got), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(find_as(all, mcpgw_session_tag(ann), "ann", 2, &got), MCPGW_E_NOT_FOUND);
  ck_assert_ptr_null(got); /* outputs untouched */
  ck_assert_uint_eq(mcpgw_sessions_count(all), 2);
  ck_assert_uint_eq(mcpgw_sessions_count_of(all, "ann", 3), 1);
  ck_assert_uint_eq(mcpgw_sessions_count_of(all, "eve", 3), 0);
  mcpgw_sessions_free(all);
  ck_assert_int_eq(e.n, 2);
}
END_TEST

START_TEST(it_ends_when_nobody_uses_it) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 10, 10);
  mcpgw_session *s = create(all, "ann", 1000), *got;
  char id[40];
  snprintf(id, sizeof id, "%s", mcpgw_session_id(s));
  mcpgw_session_set_user(s, &e);
  ck_assert_int_eq(mcpgw_session_bind(s, 3, id), MCPGW_OK);
  for (uint64_t now = 1900; now < 6000; now += 900) { /* each find is a use */
    mcpgw_sessions_tick(all, now);
    ck_assert_int_eq(find_as(all, id, "ann", now, &got), MCPGW_OK);
  }
  uint64_t last = mcpgw_session_used_ms(s);
  ck_assert_uint_eq(mcpgw_session_ends_ms(s), last + 1000);
  ck_assert_uint_le(mcpgw_sessions_next_ms(all), last + 1000);
  e.in_use = 1;
  mcpgw_sessions_tick(all, last + 1000);
  ck_assert_int_eq(e.n, 0);
  e.in_use = 0;
  mcpgw_sessions_tick(all, last + 1999);
  ck_assert_int_eq(e.n, 0);
  mcpgw_sessions_tick(all, last + 2000);
  ck_assert_int_eq(e.n, 1);
  ck_assert_str_eq(e.why, "the session expired");
  ck_assert_ptr_eq(e.user, &e);
  ck_assert_ptr_eq(e.bound, id);
  ck_assert_int_eq(find_as(all, id, "ann", last + 2000, &got), MCPGW_E_NOT_FOUND);
  ck_assert_uint_eq(mcpgw_sessions_next_ms(all), UINT64_MAX);
  mcpgw_sessions_free(all);
}
END_TEST

START_TEST(nothing_outlives_its_greatest_age) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 10, 10);
  mcpgw_session *s = create(all, "ann", 1000), *pinned = create(all, "ann", 1000);
  mcpgw_session_pin(pinned, 1000);
  e.in_use = 1;
  for (uint64_t now = 1500; now < 11000; now += 500) {
    mcpgw_session_touch(s, now);
    mcpgw_credential c = who("ann", "t", now + 100000);
    ck_assert_int_eq(mcpgw_session_extend(s, &c, now), MCPGW_OK);
    mcpgw_sessions_tick(all, now);
    ck_assert_int_eq(e.n, 0);
  }
  mcpgw_sessions_tick(all, 11000);
  ck_assert_int_eq(e.n, 1);
  ck_assert_str_eq(e.why, "the session reached its greatest age");
  mcpgw_sessions_tick(all, 1000000000);
  ck_assert_int_eq(e.n, 1); /* but what its owner keeps stays */
  ck_assert_uint_eq(mcpgw_session_ends_ms(pinned), UINT64_MAX);
  mcpgw_session_end(pinned, "done");
  ck_assert_str_eq(e.why, "done");
  mcpgw_sessions_free(all);
  ck_assert_int_eq(e.n, 2);
}
END_TEST

START_TEST(unconfirmed_it_ends_early) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 10, 10);
  mcpgw_credential c = who("ann", NULL, 0);
  mcpgw_session *s;
  ck_assert_int_eq(mcpgw_session_create(&s, all, &c, 1000), MCPGW_OK);
  ck_assert_int_eq(find_as(all, mcpgw_session_id(s), "ann", 1050, &s), MCPGW_OK);
  mcpgw_session_touch(s, 1060); /* use is no substitute */
  mcpgw_sessions_tick(all, 1099);
  ck_assert_int_eq(e.n, 0);
  mcpgw_sessions_tick(all, 1100);
  ck_assert_int_eq(e.n, 1);
  ck_assert_str_eq(e.why, "the session was never initialized");
  mcpgw_sessions_free(all);
}
END_TEST

START_TEST(it_lives_as_long_as_its_newest_credential) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 10, 10);
  mcpgw_credential first = who("ann", "a", 1500), second = who("ann", "b", 1900), short_one = who("ann", "c", 1600);
  mcpgw_credential foreign = who("bob", "d", 9000), stale = who("ann", "e", 1400);
  mcpgw_session *s, *got;
  ck_assert_int_eq(mcpgw_session_create(&s, all, &stale, 1400), MCPGW_E_DENIED);
  ck_assert_int_eq(mcpgw_session_create(&s, all, &first, 1000), MCPGW_OK);
  mcpgw_session_confirm(s, 1000);
  ck_assert_uint_eq(mcpgw_session_ends_ms(s), 1500);
  ck_assert_int_eq(mcpgw_session_find(&got, all, mcpgw_session_id(s), 32, &second, 1400), MCPGW_OK);
  ck_assert_int_eq(mcpgw_session_extend(s, &short_one, 1450), MCPGW_OK);
  ck_assert_int_eq(mcpgw_session_extend(s, &foreign, 1450), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(mcpgw_session_extend(s, &stale, 1450), MCPGW_E_DENIED);
  mcpgw_sessions_tick(all, 1899);
  ck_assert_int_eq(e.n, 0);
  e.in_use = 1; /* use does not make a credential longer */
  mcpgw_sessions_tick(all, 1900);
  ck_assert_int_eq(e.n, 1);
  ck_assert_str_eq(e.why, "its newest credential has run out");
  mcpgw_sessions_free(all);
}
END_TEST

START_TEST(ceilings_in_all_and_of_one) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 5, 3);
  mcpgw_credential ann = who("ann", NULL, 0), bob = who("bob", NULL, 0);
  mcpgw_session *s = NULL, *first = create(all, "ann", 1);
  create(all, "ann", 1);
  create(all, "ann", 1);
  ck_assert_int_eq(mcpgw_session_create(&s, all, &ann, 1), MCPGW_E_LIMIT);
  ck_assert_ptr_null(s);
  create(all, "bob", 1);
  create(all, "bob", 1);
  ck_assert_int_eq(mcpgw_session_create(&s, all, &bob, 1), MCPGW_E_LIMIT);
  mcpgw_session_end(first, "room");
  ck_assert_int_eq(mcpgw_session_create(&s, all, &bob, 1), MCPGW_OK);
  ck_assert_uint_eq(mcpgw_sessions_count(all), 5);
  mcpgw_sessions_free(all);
  ck_assert_int_eq(e.n, 6);
}
END_TEST

START_TEST(revoked_by_session_principal_and_token) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 100, 100);
  mcpgw_credential c = who("ann", "token-1", 0), newer = who("ann", "token-2", 0);
  mcpgw_session *s, *got;
  size_t n = 99;
  ck_assert_int_eq(mcpgw_session_create(&s, all, &c, 1), MCPGW_OK);
  mcpgw_session *other = create(all, "ann", 1), *tagged = create(all, "ann", 1);
  create(all, "bob", 1);
  ck_assert_int_eq(mcpgw_session_find(&got, all, mcpgw_session_id(s), 32, &newer, 2), MCPGW_OK);
  ck_assert_int_eq(mcpgw_sessions_revoke(all, MCPGW_REVOKE_TOKEN, "token-3", 7, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 0);
  ck_assert_int_eq(mcpgw_sessions_revoke(all, MCPGW_REVOKE_TOKEN, "token-1", 7, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 1);
  ck_assert_str_eq(e.why, "its token was revoked");
  ck_assert_int_eq(mcpgw_sessions_revoke(all, MCPGW_REVOKE_SESSION, mcpgw_session_id(other), 32, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 1);
  ck_assert_int_eq(mcpgw_sessions_revoke(all, MCPGW_REVOKE_SESSION, mcpgw_session_tag(tagged), 16, NULL), MCPGW_OK);
  ck_assert_uint_eq(mcpgw_sessions_count(all), 1);
  create(all, "ann", 3);
  create(all, "ann", 3);
  ck_assert_int_eq(mcpgw_sessions_revoke(all, MCPGW_REVOKE_PRINCIPAL, "ann", 3, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 2);
  ck_assert_uint_eq(mcpgw_sessions_count_of(all, "bob", 3), 1);
  ck_assert_int_eq(mcpgw_sessions_revoke(all, 4, "ann", 3, &n), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_sessions_revoke(all, MCPGW_REVOKE_TOKEN, "", 0, &n), MCPGW_E_INVALID);
  mcpgw_sessions_free(all);
}
END_TEST

START_TEST(bindings_are_kept_apart) {
  struct ends e;
  mcpgw_sessions *all = registry(&e, 10, 10);
  mcpgw_session *s = create(all, "ann", 1), *t = create(all, "bob", 1);
  int a, b;
  ck_assert_int_eq(mcpgw_session_bind(s, 7, &a), MCPGW_OK);
  ck_assert_int_eq(mcpgw_session_bind(s, 0, &b), MCPGW_OK);
  ck_assert_int_eq(mcpgw_session_bind(s, 7, &b), MCPGW_E_EXISTS);
  ck_assert_int_eq(mcpgw_session_bind(s, 1, NULL), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_session_bind(s, 65536, &a), MCPGW_E_INVALID);
  ck_assert_ptr_eq(mcpgw_session_bound(s, 7), &a);
  ck_assert_ptr_null(mcpgw_session_bound(s, 6));
  ck_assert_ptr_null(mcpgw_session_bound(s, 8));
  ck_assert_ptr_null(mcpgw_session_bound(t, 7));
  ck_assert_ptr_eq(mcpgw_session_unbind(s, 7), &a);
  ck_assert_ptr_null(mcpgw_session_unbind(s, 7));
  ck_assert_int_eq(mcpgw_session_bind(s, 7, &b), MCPGW_OK);
  mcpgw_sessions_free(all);
}
END_TEST

START_TEST(a_shorter_older_struct_is_understood) {
  mcpgw_sessions_options o;
  mcpgw_sessions *all = NULL;
  mcpgw_session *s = NULL;
  memset(&o, 0xff, sizeof o);
  o.struct_size = 24; /* up to and with max_per_principal */
  o.max = 2;
  o.max_per_principal = 1;
  ck_assert_int_eq(mcpgw_sessions_new(&all, &o), MCPGW_OK);
  mcpgw_credential c = who("ann", NULL, 0);
  c.struct_size = 24; /* up to and with principal_len */
  c.token_id = (const char *)(uintptr_t)8;
  ck_assert_int_eq(mcpgw_session_create(&s, all, &c, 1), MCPGW_OK);
  ck_assert_int_eq(mcpgw_session_create(&s, all, &c, 1), MCPGW_E_LIMIT);
  c.struct_size = 2;
  ck_assert_int_eq(mcpgw_session_create(&s, all, &c, 1), MCPGW_E_INVALID);
  mcpgw_sessions_free(all);
  o.struct_size = sizeof o;
  o.max = 0;
  ck_assert_int_eq(mcpgw_sessions_new(&all, &o), MCPGW_E_INVALID);
  mcpgw_sessions_free(NULL);
}
END_TEST

/* Each allocation fails in turn: an error, nothing half made, nothing lost. */
START_TEST(without_memory_nothing_is_half_made) {
  struct ends e;
  int64_t live = mg_mem_live();
  mcpgw_sessions *all = registry(&e, 100, 100);
  int made = 0;
  for (uint64_t nth = 1; made < 2; nth++) {
    mcpgw_credential c = who(nth % 2 ? "ann" : "bob", "t", 0);
    mcpgw_session *s = NULL;
    size_t before = mcpgw_sessions_count(all);
    mg_mem_fail_after(nth, 0);
    int rc = mcpgw_session_create(&s, all, &c, nth);
    if (rc == MCPGW_OK) rc = mcpgw_session_bind(s, 40, &e);
    int failed = mg_mem_failed() > 0;
    mg_mem_fail_after(0, 0);
    if (!failed) made++;
    ck_assert_int_eq(rc, failed ? MCPGW_E_NOMEM : MCPGW_OK);
    ck_assert_int_eq(s == NULL, mcpgw_sessions_count(all) == before);
    if (s) mcpgw_session_end(s, "x");
    ck_assert_uint_lt(nth, 100);
  }
  ck_assert_uint_eq(mcpgw_sessions_count(all), 0);
  mcpgw_sessions_free(all);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

/* ---- numbers (printed, not judged by the clock) ------------------------------------------------------------ */

#define MANY 10000

START_TEST(ten_thousand_are_small_and_quick) {
  struct ends e;
  static char ids[MANY][33];
  mcpgw_session *got;
  mcpgw_sessions *all = registry(&e, MANY, MANY);
  mcpgw_credential c = who("https://issuer.example/|subject|client", NULL, 0);
  struct mallinfo2 before = mallinfo2();
  for (int i = 0; i < MANY; i++) {
    ck_assert_int_eq(mcpgw_session_create(&got, all, &c, 1), MCPGW_OK);
    snprintf(ids[i], sizeof ids[i], "%s", mcpgw_session_id(got));
  }
  struct mallinfo2 after = mallinfo2();
  size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / MANY;
  uint64_t best = UINT64_MAX, found = 0;
  for (int round = 0; round < 20; round++) { /* the best one: the others shared the processor */
    uint64_t start = mg_now_us();
    for (int i = 0; i < MANY; i++) /* not in the order of creation */
      found += mcpgw_session_find(&got, all, ids[i * 7919 % MANY], 32, &c, 2) == MCPGW_OK;
    if (mg_now_us() - start < best) best = mg_now_us() - start;
  }
  ck_assert_uint_eq(found, 20 * MANY);
  printf("registry: %d sessions, %zu bytes each; find + touch %llu ns\n", MANY, each,
         (unsigned long long)(best * 1000 / MANY));
  ck_assert_uint_le(each, 4096);
  mcpgw_sessions_free(all);
}
END_TEST

/* The gateway's own, initialized, over servers that are not there. */
START_TEST(ten_thousand_contexts_are_small) {
  struct core_rig r;
  mcpgw_credential c = core_who("local");
  core_up(&r, TWO, "{\"contexts\":{\"max\":20000}}");
  r.open_rc = MCPGW_E_IO;
  struct core_sink *s = core_sink(&r);
  struct mg_ctx *ctx;
  char first[40] = "";
  struct mallinfo2 before = mallinfo2();
  for (int i = 0; i < MANY; i++) {
    ck_assert_ptr_nonnull(ctx = core_initialize(&r, s, 0, 2, NULL));
    core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    if (!i) snprintf(first, sizeof first, "%s", mg_ctx_id(ctx));
    core_sink_clear(s);
  }
  struct mallinfo2 after = mallinfo2();
  size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / MANY;
  printf("core: %d contexts without links, %zu bytes each\n", MANY, each);
  ck_assert_uint_le(each, 4096);
  ck_assert_uint_eq(mg_core_contexts(r.core), MANY);
  ck_assert_ptr_nonnull(mg_core_find(r.core, mg_slice_z(first), &c, r.now));
  core_down(&r);
}
END_TEST

Suite *core_registry_suite(void) {
  Suite *s = suite_create("core/registry");
  TCase *t = tcase_create("sessions");
  tcase_add_test(t, it_is_found_by_its_principal_only);
  tcase_add_test(t, it_ends_when_nobody_uses_it);
  tcase_add_test(t, nothing_outlives_its_greatest_age);
  tcase_add_test(t, unconfirmed_it_ends_early);
  tcase_add_test(t, it_lives_as_long_as_its_newest_credential);
  tcase_add_test(t, ceilings_in_all_and_of_one);
  tcase_add_test(t, revoked_by_session_principal_and_token);
  tcase_add_test(t, bindings_are_kept_apart);
  tcase_add_test(t, a_shorter_older_struct_is_understood);
  tcase_add_test(t, without_memory_nothing_is_half_made);
  suite_add_tcase(s, t);
  t = tcase_create("numbers");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, ten_thousand_are_small_and_quick);
  tcase_add_test(t, ten_thousand_contexts_are_small);
  suite_add_tcase(s, t);
  return s;
}
