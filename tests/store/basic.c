/* tests/store/basic: each operation and its refusals; long keys; versions; what is not ours; expiry and clocks. */
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "suites.h"

#define K MCPGW_KIND_HOST

START_TEST(what_is_put_is_got_also_after_reopening) {
  const char *dir = scratch();
  char text[256];
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(get_text(s, K, "a", text), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(put_d(s, K, "a", "one"), MCPGW_OK);
  ck_assert_int_eq(put_d(s, K + 1, "a", "other kind"), MCPGW_OK);
  ck_assert_int_eq(get_text(s, K, "a", text), MCPGW_OK);
  ck_assert_str_eq(text, "one");
  ck_assert_int_eq(put_d(s, K, "a", ""), MCPGW_OK);
  mcpgw_store_unref(s);
  s = open_store(dir, 0);
  ck_assert_int_eq(get_text(s, K, "a", text), MCPGW_OK);
  ck_assert_str_eq(text, "");
  ck_assert_int_eq(get_text(s, K + 1, "a", text), MCPGW_OK);
  ck_assert_str_eq(text, "other kind");
  ck_assert_int_eq(delete_d(s, K, "a"), MCPGW_OK);
  ck_assert_int_eq(delete_d(s, K, "a"), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(get_text(s, K, "a", text), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(queued_puts_are_there_after_closing) {
  const char *dir = scratch();
  char key[32], text[256];
  mcpgw_store *s = open_store(dir, 0);
  for (int i = 0; i < 500; i++) {
    snprintf(key, sizeof key, "k%d", i);
    mcpgw_record r = rec(K, key, key);
    ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_OK);
  }
  mcpgw_store_unref(s);
  s = open_store(dir, 0);
  ck_assert_int_eq(get_text(s, K, "k499", text), MCPGW_OK);
  ck_assert_int_eq(stat_of(s, "records"), 500);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(insert_tells_what_is_there) {
  const char *dir = scratch();
  struct told t;
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(insert_d(s, K, "a", "first", &t), MCPGW_OK);
  uint64_t version = t.version;
  ck_assert_uint_gt(version, 0);
  ck_assert_int_eq(insert_d(s, K, "a", "second", &t), MCPGW_E_EXISTS);
  ck_assert_str_eq(t.value, "first");
  ck_assert_uint_eq(t.version, version);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

static int replace_d(mcpgw_store *s, const char *key, const char *value, uint64_t version, struct told *t) {
  mcpgw_record r = rec(K, key, value);
  r.version = version;
  told_init(t);
  int rc = mcpgw_store_replace_if(s, &r, 0, told_cb, t);
  return rc == MCPGW_OK ? wait_for(t) : rc;
}

START_TEST(replace_wants_the_version) {
  const char *dir = scratch();
  struct told t;
  char text[256];
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(replace_d(s, "a", "x", 1, &t), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(insert_d(s, K, "a", "one", &t), MCPGW_OK);
  uint64_t one = t.version;
  ck_assert_int_eq(replace_d(s, "a", "two", one, &t), MCPGW_OK);
  ck_assert_uint_gt(t.version, one);
  ck_assert_int_eq(replace_d(s, "a", "three", one, &t), MCPGW_E_EXISTS);
  ck_assert_str_eq(t.value, "two");
  mcpgw_record r = rec(K, "a", NULL);
  r.version = one;
  told_init(&t);
  ck_assert_int_eq(mcpgw_store_delete(s, &r, 0, told_cb, &t), MCPGW_OK);
  ck_assert_int_eq(wait_for(&t), MCPGW_E_EXISTS);
  ck_assert_int_eq(get_text(s, K, "a", text), MCPGW_OK);
  ck_assert_str_eq(text, "two");
  mcpgw_store_unref(s);
  s = open_store(dir, 0); /* versions go on */
  uint64_t before = t.version;
  ck_assert_int_eq(insert_d(s, K, "b", "", &t), MCPGW_OK);
  ck_assert_uint_gt(t.version, before);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

struct seen {
  int n, stop_at;
  char keys[1024];
};

static int see(void *arg, int rc, const mcpgw_record *r) {
  struct seen *s = arg;
  ck_assert_int_eq(rc, MCPGW_OK);
  if (strlen(s->keys) + r->key_len < sizeof s->keys) strncat(s->keys, r->key, r->key_len);
  return ++s->n == s->stop_at;
}

START_TEST(long_keys_are_keys_like_others) {
  const char *dir = scratch();
  char text[256], *a = malloc(60001), *b = malloc(60001);
  struct seen seen = {0};
  memset(a, 'x', 60000), memset(b, 'x', 60000);
  a[60000] = b[60000] = '\0';
  b[59999] = 'y'; /* the same for 59,999 bytes */
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(put_d(s, K, a, "a"), MCPGW_OK);
  ck_assert_int_eq(put_d(s, K, b, "b"), MCPGW_OK);
  ck_assert_int_eq(get_text(s, K, a, text), MCPGW_OK);
  ck_assert_str_eq(text, "a");
  ck_assert_int_eq(get_text(s, K, b, text), MCPGW_OK);
  ck_assert_str_eq(text, "b");
  for (size_t len = 470; len < 520; len++) { /* around the border of hashing */
    a[len] = '\0';
    ck_assert_int_eq(put_d(s, K, a, "n"), MCPGW_OK);
    ck_assert_int_eq(get_text(s, K, a, text), MCPGW_OK);
    a[len] = 'x';
  }
  ck_assert_int_eq(stat_of(s, "records"), 52);
  b[700] = '\0'; /* a prefix longer than what is kept in the clear */
  ck_assert_int_eq(mcpgw_store_scan(s, K, b, 700, see, &seen), MCPGW_OK);
  ck_assert_int_eq(seen.n, 2);
  mcpgw_record r = rec(K, a, "");
  r.key_len = MCPGW_STORE_KEY_MAX + 1;
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_INVALID);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  free(a), free(b);
  scratch_done();
}
END_TEST

START_TEST(scan_meets_each_record_of_the_prefix_once) {
  const char *dir = scratch();
  char key[32];
  struct seen seen = {0}, two = {.stop_at = 2};
  mcpgw_store *s = open_store(dir, 0);
  for (int i = 0; i < 1000; i++) {
    snprintf(key, sizeof key, "%s%04d", i % 2 ? "odd" : "even", i);
    mcpgw_record r = rec(K, key, "v");
    ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_OK);
  }
  ck_assert_int_eq(put_d(s, K - 1, "odd-but-another-kind", "v"), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_scan(s, K, "odd", 3, see, &seen), MCPGW_OK);
  ck_assert_int_eq(seen.n, 500);
  seen.n = 0;
  ck_assert_int_eq(mcpgw_store_scan(s, K, NULL, 0, see, &seen), MCPGW_OK);
  ck_assert_int_eq(seen.n, 1000);
  ck_assert_int_eq(mcpgw_store_scan(s, K, "even", 4, see, &two), MCPGW_OK);
  ck_assert_int_eq(two.n, 2);
  ck_assert_str_eq(two.keys, "even0000even0002");
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(a_file_is_open_once_in_a_process) {
  const char *dir = scratch();
  char link[300], text[256];
  mcpgw_store *s = open_store(dir, 0), *t, *u;
  mcpgw_store_options o;
  mcpgw_store_options_init(&o);
  ck_assert_int_eq(mcpgw_store_new(&t), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_open(t, dir, strlen(dir), &o), MCPGW_E_EXISTS);
  ck_assert_ptr_nonnull(strstr(mcpgw_store_error(t), "already"));
  snprintf(link, sizeof link, "%s-link", dir);
  ck_assert_int_eq(symlink(dir, link), 0); /* another name of the same */
  ck_assert_int_eq(mcpgw_store_open(t, link, strlen(link), &o), MCPGW_E_EXISTS);
  o.flags = MCPGW_STORE_SHARE;
  ck_assert_int_eq(mcpgw_store_open(t, link, strlen(link), &o), MCPGW_OK);
  unlink(link);
  ck_assert_int_eq(put_d(s, K, "a", "shared"), MCPGW_OK);
  mcpgw_store_unref(s);
  ck_assert_int_eq(get_text(t, K, "a", text), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_open(t, dir, strlen(dir), &o), MCPGW_E_STATE);
  mcpgw_store_unref(t);
  u = open_store(dir, 0);
  mcpgw_store_unref(u);
  scratch_done();
}
END_TEST

START_TEST(a_handle_that_is_not_open_says_so) {
  mcpgw_store *s;
  char *json;
  mcpgw_record r = rec(K, "a", "b");
  mcpgw_store_options o;
  struct told t;
  told_init(&t);
  mcpgw_store_options_init(&o);
  o.flags = MCPGW_STORE_EXISTING;
  ck_assert_int_eq(mcpgw_store_new(&s), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_STATE);
  ck_assert_int_eq(mcpgw_store_get(s, K, "a", 1, told_cb, &t), MCPGW_E_STATE);
  ck_assert_int_eq(mcpgw_store_stats(s, &json), MCPGW_E_STATE);
  const char *dir = scratch();
  ck_assert_int_eq(mcpgw_store_open(s, dir, strlen(dir), &o), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(mcpgw_store_open(s, "/proc/nowhere", 13, NULL), MCPGW_E_IO);
  ck_assert_ptr_nonnull(strstr(mcpgw_store_error(s), "/proc/nowhere"));
  char path[300];
  snprintf(path, sizeof path, "%s/data.mdb", dir);
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 4096; i++) fputs("this is not a store ", f);
  fclose(f);
  ck_assert_int_eq(mcpgw_store_open(s, dir, strlen(dir), NULL), MCPGW_E_PARSE);
  ck_assert_ptr_nonnull(strstr(mcpgw_store_error(s), "not a store"));
  mcpgw_store_unref(s);
  mcpgw_store_unref(NULL);
  scratch_done();
}
END_TEST

START_TEST(bad_arguments_are_returned) {
  const char *dir = scratch();
  mcpgw_store *s = open_store(dir, 0);
  struct told t;
  told_init(&t);
  mcpgw_record r = rec(0, "a", "b");
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_INVALID);
  r = rec(256, "a", "b");
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_INVALID);
  r = rec(K, "", "b");
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_INVALID);
  r = rec(K, "a", "b");
  r.value_len = (size_t)MCPGW_STORE_VALUE_MAX + 1;
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_LIMIT);
  r.value_len = 1;
  ck_assert_int_eq(mcpgw_store_put_durable(s, &r, 0, NULL, NULL), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_store_put_durable(s, &r, 8, told_cb, &t), MCPGW_E_INVALID);
  r.struct_size = 2;
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_store_get(s, K, "a", 0, told_cb, &t), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_store_put(NULL, &r), MCPGW_E_INVALID);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

/* ---- what is not ours, what is damaged ---------------------------------------------------------------------------- */

/* Changes a record's bytes behind the store's back, while it is closed. */
static void tamper(const char *dir, const char *key, size_t at, unsigned char byte) {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi dbi;
  MDB_val k, v;
  unsigned char inner[64], copy[1024];
  inner[0] = K;
  memcpy(inner + 1, key, strlen(key));
  k = (MDB_val){1 + strlen(key), inner};
  ck_assert_int_eq(mdb_env_create(&env), 0);
  mdb_env_set_mapsize(env, 1 << 24);
  mdb_env_set_maxdbs(env, 8);
  ck_assert_int_eq(mdb_env_open(env, dir, 0, 0600), 0);
  ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
  ck_assert_int_eq(mdb_dbi_open(txn, "records", 0, &dbi), 0);
  ck_assert_int_eq(mdb_get(txn, dbi, &k, &v), 0);
  memcpy(copy, v.mv_data, v.mv_size);
  copy[at] = byte;
  v.mv_data = copy;
  ck_assert_int_eq(mdb_put(txn, dbi, &k, &v, 0), 0);
  ck_assert_int_eq(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
}

START_TEST(records_of_another_version_are_passed_over_and_kept) {
  const char *dir = scratch();
  struct told t;
  struct seen seen = {0};
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(put_d(s, K, "future", "value"), MCPGW_OK);
  ck_assert_int_eq(put_d(s, K, "now", "value"), MCPGW_OK);
  mcpgw_store_unref(s);
  tamper(dir, "future", 0, 9);
  s = open_store(dir, 0);
  ck_assert_int_eq(get_text(s, K, "future", NULL), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(mcpgw_store_scan(s, K, NULL, 0, see, &seen), MCPGW_OK);
  ck_assert_str_eq(seen.keys, "now");
  ck_assert_int_eq(insert_d(s, K, "future", "mine", &t), MCPGW_E_EXISTS);
  ck_assert_uint_eq(t.version, 0);
  ck_assert_uint_eq(t.value_len, 0);
  ck_assert_int_ge(stat_of(s, "foreign"), 2);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  ck_assert_int_eq(put_d(s, K, "future", "mine"), MCPGW_OK);
  ck_assert_int_eq(get_text(s, K, "future", NULL), MCPGW_OK);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

START_TEST(rotten_bytes_are_found) {
  const char *dir = scratch();
  struct told t;
  struct seen seen = {0};
  mcpgw_store *s = open_store(dir, 0);
  char *json = NULL;
  ck_assert_int_eq(put_d(s, K, "a", "a value of some length"), MCPGW_OK);
  mcpgw_store_unref(s);
  tamper(dir, "a", 45, '!');
  s = open_store(dir, 0);
  ck_assert_int_eq(get_text(s, K, "a", NULL), MCPGW_E_IO); /* nor are they given out for what was written */
  ck_assert_int_eq(mcpgw_store_scan(s, K, NULL, 0, see, &seen), MCPGW_OK);
  ck_assert_str_eq(seen.keys, "");
  ck_assert_int_eq(insert_d(s, K, "a", "mine", &t), MCPGW_E_EXISTS);
  ck_assert_uint_eq(t.version, 0);
  ck_assert_int_ge(stat_of(s, "damaged"), 2);
  ck_assert_int_eq(mcpgw_store_check(s, &json), MCPGW_E_PARSE);
  ck_assert_int_eq(number_in(json, "damaged"), 1);
  mcpgw_free(json);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

/* Branch pages with one key make LMDB's own assertion fail. */
static void maim(const char *dir) {
  char path[300];
  unsigned char page[4096];
  int maimed = 0;
  snprintf(path, sizeof path, "%s/data.mdb", dir);
  int fd = open(path, O_RDWR);
  for (off_t at = 8192; pread(fd, page, sizeof page, at) == (ssize_t)sizeof page; at += 4096) {
    if (page[10] != 1 || page[11] != 0) continue;
    page[12] = 18, page[13] = 0;
    ck_assert_int_eq(pwrite(fd, page, sizeof page, at), sizeof page);
    maimed++;
  }
  close(fd);
  ck_assert_int_gt(maimed, 0);
}

START_TEST(an_assertion_of_lmdb_ends_nobody) {
  const char *dir = scratch();
  char key[64], *json = NULL;
  mcpgw_store *s = open_store(dir, 0);
  for (int i = 0; i < 500; i++) {
    snprintf(key, sizeof key, "key-%d-with-some-length", i);
    mcpgw_record r = rec(K, key, "0123456789");
    ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_OK);
  }
  mcpgw_store_unref(s);
  maim(dir);
  s = open_store(dir, 0);
  ck_assert_int_eq(mcpgw_store_check(s, &json), MCPGW_E_PARSE);
  mcpgw_free(json);
  int rc = put_d(s, K, "another", "value");
  ck_assert_msg(rc == MCPGW_E_IO, "%d", rc);
  ck_assert_int_eq(put_d(s, K, "another", "value"), MCPGW_E_IO); /* broken, and says so at once */
  ck_assert_int_eq(get_text(s, K, "key-1-with-some-length", NULL), MCPGW_E_IO);
  ck_assert_int_eq(stat_of(s, "broken"), 1);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

/* ---- expiry ------------------------------------------------------------------------------------------------------- */

static _Atomic uint64_t mono_ms, wall_ms;
static uint64_t fake_us(void) {
  return atomic_load(&mono_ms) * 1000;
}
static uint64_t fake_wall(void) {
  return atomic_load(&wall_ms);
}
static void pass(uint64_t mono, int64_t wall) {
  atomic_fetch_add(&mono_ms, mono);
  atomic_store(&wall_ms, atomic_load(&wall_ms) + (uint64_t)wall);
}

static void put_until(mcpgw_store *s, const char *key, uint64_t expires_ms) {
  struct told t;
  mcpgw_record r = rec(K, key, "v");
  r.expires_ms = expires_ms;
  told_init(&t);
  ck_assert_int_eq(mcpgw_store_put_durable(s, &r, 0, told_cb, &t), MCPGW_OK);
  ck_assert_int_eq(wait_for(&t), MCPGW_OK);
}

/* The writer looks at the clock after each batch. */
static int gone(mcpgw_store *s, const char *key) {
  for (int i = 0; i < 50; i++) {
    ck_assert_int_eq(put_d(s, K, "tick", "x"), MCPGW_OK);
    nap(2);
    if (get_text(s, K, key, NULL) == MCPGW_E_NOT_FOUND) return 1;
  }
  return 0;
}

START_TEST(records_expire_when_the_clocks_agree) {
  const char *dir = scratch();
  atomic_store(&mono_ms, 1000000);
  atomic_store(&wall_ms, 1800000000000);
  mg_clock_hooks(fake_us, fake_wall, NULL);
  mcpgw_store *s = open_store(dir, 0);
  put_until(s, "soon", fake_wall() + 5000);
  put_until(s, "later", fake_wall() + 3600000);
  put_until(s, "renewed", fake_wall() + 5000);
  put_until(s, "renewed", fake_wall() + 86400000 * 3LL);
  pass(20000, 20000);
  ck_assert_int_eq(gone(s, "soon"), 1);
  ck_assert_int_eq(get_text(s, K, "later", NULL), MCPGW_OK);
  ck_assert_int_eq(get_text(s, K, "renewed", NULL), MCPGW_OK);
  pass(20000, 86400000 + 20000); /* somebody sets the wall clock a day ahead */
  ck_assert_int_eq(gone(s, "later"), 0);
  pass(1800000, 1800000);
  ck_assert_int_eq(gone(s, "later"), 0);
  pass(1900000, 1900000); /* … and means it: an hour later it counts */
  ck_assert_int_eq(gone(s, "later"), 1);
  put_until(s, "again", fake_wall() + 5000);
  pass(20000, 20000 - 86400000); /* back */
  ck_assert_int_eq(gone(s, "again"), 0);
  pass(20000, 20000 + 86400000); /* and forth within the hour: as if nothing had been */
  ck_assert_int_eq(gone(s, "again"), 1);
  ck_assert_int_eq(get_text(s, K, "renewed", NULL), MCPGW_OK);
  ck_assert_int_eq(stat_of(s, "swept"), 3);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  mg_clock_hooks(NULL, NULL, NULL);
  scratch_done();
}
END_TEST

/* ---- fork, memory ------------------------------------------------------------------------------------------------- */

START_TEST(a_forked_child_may_not_touch_it_but_may_open_it) {
  const char *dir = scratch();
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(put_d(s, K, "a", "parent"), MCPGW_OK);
  pid_t pid = fork();
  if (pid == 0) {
    mcpgw_record r = rec(K, "b", "child");
    char *json;
    int bad = mcpgw_store_put(s, &r) != MCPGW_E_STATE || get_text(s, K, "a", NULL) != MCPGW_E_STATE ||
              mcpgw_store_stats(s, &json) != MCPGW_E_STATE || mcpgw_store_check(s, &json) != MCPGW_E_STATE;
    mcpgw_store_unref(s);
#ifdef __SANITIZE_THREAD__
    _exit(bad); /* TSan knows no threads begun in the fork of a process with threads */
#endif
    mcpgw_store *own = open_store(dir, 0);
    bad = bad || put_d(own, K, "b", "child") != MCPGW_OK || get_text(own, K, "a", NULL) != MCPGW_OK;
    mcpgw_store_unref(own);
    _exit(bad);
  }
  int status;
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_int_eq(status, 0);
#ifndef __SANITIZE_THREAD__
  ck_assert_int_eq(get_text(s, K, "b", NULL), MCPGW_OK);
#endif
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

static int starve(void *arg, int rc, const mcpgw_record *r) {
  told_cb(arg, rc, r);
  mg_mem_fail_after(1, 0); /* in the writer's thread */
  return 0;
}

START_TEST(want_of_memory_is_an_answer) {
  const char *dir = scratch();
  struct told t, u;
  mcpgw_record r = rec(K, "a", "value");
  int64_t before = mg_mem_live();
  mcpgw_store *s = NULL;
  for (uint64_t nth = 1; nth < 50; nth++) {
    mg_mem_fail_after(nth, 0);
    int rc = mcpgw_store_new(&s);
    if (rc == MCPGW_OK) rc = mcpgw_store_open(s, dir, strlen(dir), NULL);
    int failed = mg_mem_failed() != 0;
    mg_mem_fail_after(0, 0);
    ck_assert_int_eq(rc, failed ? MCPGW_E_NOMEM : MCPGW_OK);
    if (!failed) break;
    mcpgw_store_unref(s);
    s = NULL;
    ck_assert_int_eq(mg_mem_live(), before);
  }
  mg_mem_fail_after(1, 0);
  ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_E_NOMEM);
  mg_mem_fail_after(0, 0);
  told_init(&t);
  ck_assert_int_eq(mcpgw_store_insert_durable(s, &r, 0, starve, &t), MCPGW_OK);
  ck_assert_int_eq(wait_for(&t), MCPGW_OK);
  ck_assert_int_eq(insert_d(s, K, "a", "again", &u), MCPGW_E_NOMEM); /* what is there could not be told */
  ck_assert_int_eq(insert_d(s, K, "a", "again", &u), MCPGW_E_EXISTS);
  mcpgw_store_unref(s);
  ck_assert_int_eq(mg_mem_live(), before);
  scratch_done();
}
END_TEST

START_TEST(compact_gives_space_back_and_only_alone) {
  const char *dir = scratch();
  char key[32], *json = NULL, file[300], text[256];
  struct stat before, after;
  struct told t;
  mcpgw_store *s = open_store(dir, 0), *c;
  ck_assert_int_eq(mcpgw_store_new(&c), MCPGW_OK);
  for (int i = 0; i < 4000; i++) {
    snprintf(key, sizeof key, "k%d", i);
    mcpgw_record r = rec(K, key, "0123456789012345678901234567890123456789");
    ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_OK);
  }
  for (int i = 1; i < 4000; i++) {
    snprintf(key, sizeof key, "k%d", i);
    mcpgw_record r = rec(K, key, NULL);
    ck_assert_int_eq(mcpgw_store_delete(s, &r, 0, NULL, NULL), MCPGW_OK);
  }
  ck_assert_int_eq(insert_d(s, K, "last", "", &t), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_compact(c, dir, strlen(dir)), MCPGW_E_STATE);
  mcpgw_store_unref(s);
  snprintf(file, sizeof file, "%s/data.mdb", dir);
  ck_assert_int_eq(stat(file, &before), 0);
  int ready[2], go[2];
  char byte;
  ck_assert_int_eq(pipe(ready) | pipe(go), 0);
  pid_t pid = fork();
  if (pid == 0) { /* another process has it open */
    s = open_store(dir, 0);
    if (write(ready[1], "r", 1) == 1 && read(go[0], &byte, 1) == 1) mcpgw_store_unref(s);
    _exit(0);
  }
  ck_assert_int_eq(read(ready[0], &byte, 1), 1);
  ck_assert_int_eq(mcpgw_store_compact(c, dir, strlen(dir)), MCPGW_E_STATE);
  ck_assert_ptr_nonnull(strstr(mcpgw_store_error(c), "has it open"));
  ck_assert_int_eq(write(go[1], "g", 1), 1);
  waitpid(pid, NULL, 0);
  ck_assert_int_eq(mcpgw_store_compact(c, dir, strlen(dir)), MCPGW_OK);
  mcpgw_store_unref(c);
  ck_assert_int_eq(stat(file, &after), 0);
  ck_assert_int_lt(after.st_size, before.st_size / 2);
  s = open_store(dir, 0);
  ck_assert_int_eq(get_text(s, K, "k0", text), MCPGW_OK);
  uint64_t version = t.version;
  ck_assert_int_eq(insert_d(s, K, "new", "", &t), MCPGW_OK);
  ck_assert_uint_gt(t.version, version); /* versions go on behind it */
  ck_assert_int_eq(mcpgw_store_check(s, &json), MCPGW_OK);
  ck_assert_int_eq(number_in(json, "records"), 3);
  mcpgw_free(json);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

/* ---- a backend of somebody else ------------------------------------------------------------------------------------- */

static int far_get(void *b, uint32_t kind, const char *key, size_t len, mcpgw_store_cb cb, void *arg) {
  (void)kind, (void)key, (void)len, (void)cb, (void)arg;
  ++*(int *)b;
  return MCPGW_STORE_PENDING;
}
static int far_write(void *b, uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg) {
  (void)flags, (void)cb, (void)arg;
  *(int *)b += (int)(op * 10 + r->key_len * 100);
  return MCPGW_OK;
}
static int far_scan(void *b, uint32_t kind, const char *p, size_t n, mcpgw_store_cb cb, void *arg) {
  (void)b, (void)kind, (void)p, (void)n, (void)cb, (void)arg;
  return MCPGW_E_UNSUPPORTED;
}
static void far_close(void *b) {
  *(int *)b = -1;
}

START_TEST(another_backend_stands_behind_the_same_handle) {
  static const mcpgw_store_ops ops = {sizeof ops, "far", far_get, far_write, far_scan, NULL, far_close};
  mcpgw_store *s;
  struct told t;
  char *json;
  int state = 0;
  mcpgw_record r = rec(K, "abc", "");
  told_init(&t);
  ck_assert_int_eq(mcpgw_store_new(&s), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_open_custom(s, &ops, &state), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_get(s, K, "abc", 3, told_cb, &t), MCPGW_STORE_PENDING);
  ck_assert_int_eq(mcpgw_store_insert_durable(s, &r, 0, told_cb, &t), MCPGW_OK);
  ck_assert_int_eq(state, 1 + 20 + 300);
  ck_assert_int_eq(mcpgw_store_stats(s, &json), MCPGW_E_UNSUPPORTED);
  mcpgw_store_unref(mcpgw_store_ref(s));
  ck_assert_int_gt(state, 0);
  mcpgw_store_unref(s);
  ck_assert_int_eq(state, -1);
}
END_TEST

Suite *store_basic_suite(void) {
  Suite *s = suite_create("store");
  TCase *t = tcase_create("basic");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, what_is_put_is_got_also_after_reopening);
  tcase_add_test(t, queued_puts_are_there_after_closing);
  tcase_add_test(t, insert_tells_what_is_there);
  tcase_add_test(t, replace_wants_the_version);
  tcase_add_test(t, long_keys_are_keys_like_others);
  tcase_add_test(t, scan_meets_each_record_of_the_prefix_once);
  tcase_add_test(t, a_file_is_open_once_in_a_process);
  tcase_add_test(t, a_handle_that_is_not_open_says_so);
  tcase_add_test(t, bad_arguments_are_returned);
  tcase_add_test(t, records_of_another_version_are_passed_over_and_kept);
  tcase_add_test(t, rotten_bytes_are_found);
  tcase_add_test(t, an_assertion_of_lmdb_ends_nobody);
  tcase_add_test(t, records_expire_when_the_clocks_agree);
  tcase_add_test(t, a_forked_child_may_not_touch_it_but_may_open_it);
  tcase_add_test(t, want_of_memory_is_an_answer);
  tcase_add_test(t, compact_gives_space_back_and_only_alone);
  tcase_add_test(t, another_backend_stands_behind_the_same_handle);
  suite_add_tcase(s, t);
  return s;
}
