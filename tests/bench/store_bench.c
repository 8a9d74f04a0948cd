/* store_bench DIR SECONDS: the store by itself over <mcpgw/store.h>: 64 callers that each wait for their commit, sync
 * and async, queued puts, and readers beside a full writer. Prints `key=value …` lines. */
#include <mcpgw/store.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util.h"

#define CALLERS 64
#define READS_MAX 4000000

static mcpgw_store *store;
static atomic_ulong done, next_key;
static atomic_int stop, under_way;
static char value[300];

static void make(mcpgw_record *r, char key[33], unsigned long n) {
  mcpgw_record_init(r);
  snprintf(key, 33, "%032lx", n * 2654435761u);
  r->kind = MCPGW_KIND_HOST;
  r->key = key;
  r->key_len = 32;
  r->value = value;
  r->value_len = sizeof value;
  r->expires_ms = 4000000000000;
}

static int again(void *arg, int rc, const mcpgw_record *was);

static void insert(uint32_t flags) {
  char key[33];
  mcpgw_record r;
  make(&r, key, atomic_fetch_add(&next_key, 1));
  atomic_fetch_add(&under_way, 1);
  if (mcpgw_store_insert_durable(store, &r, flags, again, (void *)(uintptr_t)flags) != MCPGW_OK) die("insert");
}

/* A caller hears of its commit and makes its next one. */
static int again(void *arg, int rc, const mcpgw_record *was) {
  (void)was;
  if (rc != MCPGW_OK) die("write: %d", rc);
  atomic_fetch_add(&done, 1);
  if (!atomic_load(&stop)) insert((uint32_t)(uintptr_t)arg);
  atomic_fetch_sub(&under_way, 1);
  return 0;
}

static long long commits(void) {
  char *json = NULL;
  if (mcpgw_store_stats(store, &json) != MCPGW_OK) die("stats");
  long long n = atoll(strstr(json, "\"commits\":") + 10);
  free(json);
  return n;
}

static void wait_us(uint64_t us) {
  for (uint64_t end = now_us() + us; now_us() < end;) {
    struct timespec ts = {0, 1000000};
    nanosleep(&ts, NULL);
  }
}

static void waited(const char *name, uint32_t flags, uint64_t us) {
  atomic_store(&stop, 0);
  atomic_store(&done, 0);
  long long before = commits();
  uint64_t begin = now_us();
  for (int i = 0; i < CALLERS; i++) insert(flags);
  wait_us(us);
  unsigned long n = atomic_load(&done);
  double secs = (double)(now_us() - begin) / 1e6;
  long long c = commits() - before;
  atomic_store(&stop, 1);
  while (atomic_load(&under_way)) wait_us(1000);
  printf("%s_rps=%.0f %s_commits=%.0f/s (%d callers that wait)\n", name, (double)n / secs, name, (double)c / secs, CALLERS);
}

static void queued(uint64_t us) {
  unsigned long n = 0;
  uint64_t begin = now_us();
  while (now_us() < begin + us) {
    char key[33];
    mcpgw_record r;
    make(&r, key, atomic_fetch_add(&next_key, 1));
    if (mcpgw_store_put(store, &r) == MCPGW_OK) n++;
    else wait_us(1000);
  }
  printf("queued_rps=%.0f\n", (double)n * 1e6 / (double)(now_us() - begin));
}

struct reads {
  uint32_t *ns;
  size_t n;
};

static int seen(void *arg, int rc, const mcpgw_record *r) {
  *(size_t *)arg += r->value_len;
  return rc;
}

static uint64_t now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *read_on(void *arg) {
  struct reads *x = arg;
  size_t bytes = 0;
  unsigned seed = 1;
  while (!atomic_load(&stop) && x->n < READS_MAX) {
    char key[33];
    mcpgw_record r;
    make(&r, key, (unsigned long)rand_r(&seed) % 1000);
    uint64_t at = now_ns();
    if (mcpgw_store_get(store, r.kind, r.key, r.key_len, seen, &bytes) != MCPGW_OK) die("get");
    x->ns[x->n++] = (uint32_t)(now_ns() - at);
  }
  return NULL;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void reading(uint64_t us) {
  struct reads x = {malloc(READS_MAX * sizeof *x.ns), 0};
  pthread_t t;
  atomic_store(&stop, 0);
  for (int i = 0; i < CALLERS; i++) insert(0);
  pthread_create(&t, NULL, read_on, &x);
  wait_us(us);
  atomic_store(&stop, 1);
  pthread_join(t, NULL);
  while (atomic_load(&under_way)) wait_us(1000);
  if (!x.n) die("nothing was read");
  qsort(x.ns, x.n, sizeof *x.ns, compare);
  printf("read_p50_us=%.2f read_p99_us=%.2f (%zu reads beside a full writer)\n", x.ns[x.n / 2] / 1e3, x.ns[x.n / 100 * 99] / 1e3, x.n);
  free(x.ns);
}

int main(int argc, char **argv) {
  if (argc < 3) die("usage: store_bench DIR SECONDS");
  uint64_t us = (uint64_t)(strtod(argv[2], NULL) * 1e6);
  memset(value, 'v', sizeof value);
  if (mcpgw_store_new(&store) != MCPGW_OK || mcpgw_store_open(store, argv[1], strlen(argv[1]), NULL) != MCPGW_OK)
    die("%s", mcpgw_store_error(store));
  waited("waited", 0, us);
  waited("async", MCPGW_STORE_ASYNC, us);
  reading(us);
  queued(us);
  mcpgw_store_unref(store);
  return 0;
}
