/* tests/store: one suite a question. rig.c has what they share: waiting for callbacks, shorthands. */
#ifndef TESTS_STORE_H
#define TESTS_STORE_H
#include <check.h>
#include <pthread.h>

#include "mcpgw/mcpgw.h"
#include "support/scratch.h"

Suite *store_basic_suite(void);
Suite *store_threads_suite(void);
Suite *store_full_suite(void);
Suite *store_crash_suite(void);
Suite *store_power_suite(void);

mcpgw_store *open_store(const char *dir, uint64_t quota);
mcpgw_record rec(uint32_t kind, const char *key, const char *value);

/* What a callback was told; wait_for gives its rc. */
struct told {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int done, rc;
  uint64_t version;
  char value[256];
  size_t value_len;
  int has_record;
};
void told_init(struct told *t);
int told_cb(void *told, int rc, const mcpgw_record *r);
int wait_for(struct told *t);

/* The durable writes, waited for. */
int put_d(mcpgw_store *s, uint32_t kind, const char *key, const char *value);
int insert_d(mcpgw_store *s, uint32_t kind, const char *key, const char *value, struct told *t);
int delete_d(mcpgw_store *s, uint32_t kind, const char *key);
/* rc of get; the value as text in out (256 bytes). */
int get_text(mcpgw_store *s, uint32_t kind, const char *key, char *out);
/* A number out of the stats or a check report. */
long long number_in(const char *json, const char *name);
long long stat_of(mcpgw_store *s, const char *name);
int check_store(mcpgw_store *s);
#endif
