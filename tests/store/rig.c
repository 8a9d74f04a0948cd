/* tests/store/rig: waiting, shorthands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "suites.h"

static void show(void *data, int level, const char *line, size_t len) {
  (void)data, (void)level;
  if (getenv("STORE_LOG")) fprintf(stderr, "%.*s\n", (int)len, line);
}

mcpgw_store *open_store(const char *path, uint64_t quota) {
  mcpgw_store *s = NULL;
  mcpgw_store_options o;
  mcpgw_store_options_init(&o);
  o.quota_bytes = quota;
  o.log = show;
  ck_assert_int_eq(mcpgw_store_new(&s), MCPGW_OK);
  int rc = mcpgw_store_open(s, path, strlen(path), &o);
  ck_assert_msg(rc == MCPGW_OK, "open: %d %s", rc, mcpgw_store_error(s));
  return s;
}

mcpgw_record rec(uint32_t kind, const char *key, const char *value) {
  mcpgw_record r;
  mcpgw_record_init(&r);
  r.kind = kind;
  r.key = key;
  r.key_len = strlen(key);
  r.value = value;
  r.value_len = value ? strlen(value) : 0;
  return r;
}

void told_init(struct told *t) {
  memset(t, 0, sizeof *t);
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->wake, NULL);
}

int told_cb(void *told, int rc, const mcpgw_record *r) {
  struct told *t = told;
  pthread_mutex_lock(&t->lock);
  t->rc = rc;
  t->has_record = r != NULL;
  if (r) {
    t->version = r->version;
    t->value_len = r->value_len;
    size_t n = r->value_len < sizeof t->value - 1 ? r->value_len : sizeof t->value - 1;
    if (n) memcpy(t->value, r->value, n);
    t->value[n] = '\0';
  }
  t->done++;
  pthread_cond_signal(&t->wake);
  pthread_mutex_unlock(&t->lock);
  return 0;
}

int wait_for(struct told *t) {
  struct timespec until;
  int waited = 0;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 30;
  pthread_mutex_lock(&t->lock);
  while (!t->done && waited == 0) waited = pthread_cond_timedwait(&t->wake, &t->lock, &until);
  int done = t->done, rc = t->rc;
  pthread_mutex_unlock(&t->lock);
  ck_assert_int_eq(done, 1);
  return rc;
}

int put_d(mcpgw_store *s, uint32_t kind, const char *key, const char *value) {
  struct told t;
  mcpgw_record r = rec(kind, key, value);
  told_init(&t);
  int rc = mcpgw_store_put_durable(s, &r, 0, told_cb, &t);
  return rc == MCPGW_OK ? wait_for(&t) : rc;
}

int insert_d(mcpgw_store *s, uint32_t kind, const char *key, const char *value, struct told *t) {
  struct told mine;
  mcpgw_record r = rec(kind, key, value);
  if (!t) t = &mine;
  told_init(t);
  int rc = mcpgw_store_insert_durable(s, &r, 0, told_cb, t);
  return rc == MCPGW_OK ? wait_for(t) : rc;
}

int delete_d(mcpgw_store *s, uint32_t kind, const char *key) {
  struct told t;
  mcpgw_record r = rec(kind, key, NULL);
  told_init(&t);
  int rc = mcpgw_store_delete(s, &r, 0, told_cb, &t);
  return rc == MCPGW_OK ? wait_for(&t) : rc;
}

int get_text(mcpgw_store *s, uint32_t kind, const char *key, char *out) {
  struct told t;
  told_init(&t);
  int rc = mcpgw_store_get(s, kind, key, strlen(key), told_cb, &t);
  if (rc == MCPGW_OK && out) memcpy(out, t.value, sizeof t.value);
  return rc;
}

long long number_in(const char *json, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(json, key);
  ck_assert_msg(at != NULL, "no %s in %s", name, json);
  return atoll(at + strlen(key));
}

long long stat_of(mcpgw_store *s, const char *name) {
  char *json = NULL;
  ck_assert_int_eq(mcpgw_store_stats(s, &json), MCPGW_OK);
  long long n = number_in(json, name);
  mcpgw_free(json);
  return n;
}

int check_store(mcpgw_store *s) {
  char *json = NULL;
  int rc = mcpgw_store_check(s, &json);
  if (rc != MCPGW_OK) fprintf(stderr, "check: %d %s\n", rc, json ? json : "");
  mcpgw_free(json);
  return rc;
}
