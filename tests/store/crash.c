/* tests/store/crash: kill -9 anywhere: what was acknowledged is there; what holds old pages is cleared away. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* ---- a file that ends too early: reading behind its end would be SIGBUS, the end of the host ----------------------- */

static off_t size_of(const char *file) {
  struct stat st;
  ck_assert_int_eq(stat(file, &st), 0);
  return st.st_size;
}

START_TEST(a_file_that_was_cut_short_is_a_fault_with_a_name) {
  const char *dir = scratch();
  char file[300], key[16], value[251];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  snprintf(file, sizeof file, "%s/data.mdb", dir);
  mcpgw_store *s = open_store(dir, 0), *again;
  for (int i = 0; i < 200; i++) {
    snprintf(key, sizeof key, "k%d", i);
    ck_assert_int_eq(put_d(s, K, key, value), MCPGW_OK);
  }
  mcpgw_store_unref(s);
  for (off_t left = size_of(file) - 4096; left >= 8192; left -= 4096) {
    int bad = 0;
    char *json = NULL;
    ck_assert_int_eq(truncate(file, left), 0);
    ck_assert_int_eq(mcpgw_store_new(&again), MCPGW_OK);
    int rc = mcpgw_store_open(again, dir, strlen(dir), NULL);
    if (rc != MCPGW_OK) ck_assert_str_ne(mcpgw_store_error(again), "");
    for (int i = 0; rc == MCPGW_OK && i < 200; i++) {
      char text[256];
      snprintf(key, sizeof key, "k%d", i);
      if (get_text(again, K, key, text) != MCPGW_OK) bad++;
      else ck_assert_str_eq(text, value); /* what is told is right */
    }
    if (rc == MCPGW_OK && bad) ck_assert_int_eq(mcpgw_store_check(again, &json), MCPGW_E_PARSE);
    mcpgw_free(json);
    mcpgw_store_unref(again);
  }
  ck_assert_int_eq(mcpgw_store_new(&again), MCPGW_OK);
  ck_assert_int_eq(mcpgw_store_compact(again, dir, strlen(dir)), MCPGW_E_PARSE);
  mcpgw_store_unref(again);
  scratch_done();
}
END_TEST

/* The last pages of the file are free here: a transaction that takes and gives back such pages does not write them. */
START_TEST(a_file_that_is_short_and_whole_is_no_fault) {
  const char *dir = scratch();
  char file[300], *big = malloc(300000);
  snprintf(file, sizeof file, "%s/data.mdb", dir);
  memset(big, 'b', 299999);
  big[299999] = '\0';
  mcpgw_store *s = open_store(dir, 0);
  ck_assert_int_eq(put_d(s, K, "big", big), MCPGW_OK);
  ck_assert_int_eq(delete_d(s, K, "big"), MCPGW_OK);
  for (int i = 0; i < 20; i++) ck_assert_int_eq(put_d(s, K, "a", "x"), MCPGW_OK); /* what is used lies in front */
  mcpgw_store_unref(s);
  off_t before = size_of(file);
  ck_assert_int_eq(truncate(file, before - 3 * 4096), 0);
  s = open_store(dir, 0);
  ck_assert_int_eq(size_of(file), before);
  ck_assert_int_eq(get_text(s, K, "a", NULL), MCPGW_OK);
  for (int i = 0; i < 6; i++) ck_assert_int_eq(put_d(s, K, i % 2 ? "b" : "c", big), MCPGW_OK);
  ck_assert_int_eq(check_store(s), MCPGW_OK);
  mcpgw_store_unref(s);
  free(big);
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
  tcase_add_test(t, a_file_that_was_cut_short_is_a_fault_with_a_name);
  tcase_add_test(t, a_file_that_is_short_and_whole_is_no_fault);
  suite_add_tcase(s, t);
  return s;
}
