/* tests/store/crash: kill -9 anywhere: what was acknowledged is there; what holds old pages is cleared away. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites.h"

#define K MCPGW_KIND_HOST

struct ack {
  int fd;
  uint32_t n;
};

static int acknowledge(void *arg, int rc, const mcpgw_record *r) {
  struct ack *a = arg;
  (void)r;
  if (rc == MCPGW_OK && write(a->fd, &a->n, sizeof a->n) != sizeof a->n) _exit(3);
  free(a);
  return 0;
}

/* Writes without end; tells the pipe what was acknowledged. */
static void write_for_ever(const char *dir, int fd, uint32_t from, uint32_t flags) {
  mcpgw_store *s = open_store(dir, 0);
  char key[32], value[300];
  for (uint32_t n = from;; n++) {
    snprintf(key, sizeof key, "r%u", n);
    memset(value, 'a' + (int)(n % 26), sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct ack *a = malloc(sizeof *a);
    *a = (struct ack){fd, n};
    mcpgw_record r = rec(K, key, value);
    r.expires_ms = 4000000000000; /* the index too */
    while (mcpgw_store_insert_durable(s, &r, flags, acknowledge, a) == MCPGW_E_LIMIT) nap(1);
    if (n % 50 == 0) nap(1);
  }
}

/* One round: a writer, killed; every record it acknowledged must be there, whole. Returns how many. */
static uint32_t round_of(const char *dir, uint32_t from, unsigned ms, uint32_t flags) {
  int fds[2];
  uint32_t n, last = from, count = 0;
  ck_assert_int_eq(pipe(fds), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(fds[0]);
    write_for_ever(dir, fds[1], from, flags);
  }
  close(fds[1]);
  nap(ms);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  mcpgw_store *s = open_store(dir, 0);
  while (read(fds[0], &n, sizeof n) == sizeof n) {
    char key[32], text[256];
    snprintf(key, sizeof key, "r%u", n);
    ck_assert_int_eq(get_text(s, K, key, text), MCPGW_OK);
    ck_assert_int_eq(text[0], 'a' + (int)(n % 26));
    last = n + 1;
    count++;
  }
  close(fds[0]);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  ck_assert_uint_ge(last, from);
  return count;
}

static void rounds(uint32_t flags) {
  const char *dir = scratch();
  uint32_t total = 0;
  unsigned seed = 12345;
  for (uint32_t i = 0; i < 12; i++) total += round_of(dir, i * 1000000, 10 + (unsigned)rand_r(&seed) % 90, flags);
  ck_assert_uint_gt(total, 100);
  scratch_done();
}

START_TEST(what_was_acknowledged_survives_kill_9) {
  rounds(0);
}
END_TEST

START_TEST(async_survives_kill_9_too) {
  rounds(MCPGW_STORE_ASYNC);
}
END_TEST

static int park(void *arg, int rc, const mcpgw_record *r) {
  (void)rc, (void)r;
  if (write(*(int *)arg, "p", 1) != 1) _exit(3);
  for (;;) pause();
}

/* A reader that died while reading keeps the pages of its time for ever, until somebody looks. */
START_TEST(dead_readers_are_cleared_away) {
  const char *dir = scratch();
  int fds[2];
  char byte, block[4000];
  memset(block, 'x', sizeof block - 1);
  block[sizeof block - 1] = '\0';
  ck_assert_int_eq(pipe(fds), 0);
  pid_t pid = fork();
  if (pid == 0) {
    mcpgw_store *s = open_store(dir, 1 << 20);
    put_d(s, K, "a", "x");
    mcpgw_store_scan(s, K, NULL, 0, park, &fds[1]);
    _exit(4);
  }
  ck_assert_int_eq(read(fds[0], &byte, 1), 1);
  mcpgw_store *s = open_store(dir, 1 << 20);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  int refused = 0;
  for (int i = 0; i < 3000 && stat_of(s, "stale_readers") == 0; i++)
    if (put_d(s, K, "hot", block) == MCPGW_E_LIMIT) refused++;
  ck_assert_int_gt(stat_of(s, "stale_readers"), 0);
  long long size = stat_of(s, "file_bytes");
  for (int i = 0; i < 300; i++) {
    int rc = put_d(s, K, "hot", block);
    for (int tries = 0; rc == MCPGW_E_LIMIT && tries < 200; tries++) {
      nap(50); /* it tries again once a second */
      rc = put_d(s, K, "hot", block);
    }
    ck_assert_int_eq(rc, MCPGW_OK);
  }
  ck_assert_int_le(stat_of(s, "file_bytes"), size + 65536);
  ck_assert_int_le(size, (1 << 20) + (1 << 18) + (1 << 17));
  ck_assert_int_le(refused, 2);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

/* Killed between begin and commit, with LMDB's lock: the next one gets it. */
START_TEST(a_dead_writer_holds_nobody_up) {
  const char *dir = scratch();
  mcpgw_store *s = open_store(dir, 0);
  for (int i = 0; i < 8; i++) {
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) write_for_ever(dir, fds[1], (uint32_t)i * 1000000, 0);
    close(fds[1]);
    nap(30 + 11 * (unsigned)i);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(put_d(s, K, "mine", "x"), MCPGW_OK);
    close(fds[0]);
  }
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

Suite *store_crash_suite(void) {
  Suite *s = suite_create("store");
  TCase *t = tcase_create("crash");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, what_was_acknowledged_survives_kill_9);
  tcase_add_test(t, async_survives_kill_9_too);
  tcase_add_test(t, dead_readers_are_cleared_away);
  tcase_add_test(t, a_dead_writer_holds_nobody_up);
  suite_add_tcase(s, t);
  return s;
}
