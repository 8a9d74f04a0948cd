/* tests/store/power: the lights go out. This program puts itself between LMDB and the kernel: it keeps, beside the
 * file, the bytes of it that the disk has for certain (all that was there at the last fdatasync, and what was
 * written through a descriptor with O_DSYNC since). When the store calls back, a store made of those bytes alone
 * must hold the record: it is durable before anybody is told, and so before a byte of a call goes out. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites.h"

#define K MCPGW_KIND_HOST

static char data_path[300], image_path[300];
static atomic_int watching, syncs, dsyncs;
static atomic_int unordered; /* the disk takes the pages that say what counts (0 and 1) before all others */

static int is_data(int fd) {
  struct stat a, b;
  return atomic_load(&watching) && fstat(fd, &a) == 0 && stat(data_path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static void copy_file(const char *from, const char *to) {
  char buf[65536];
  ssize_t n;
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  while ((n = read(in, buf, sizeof buf)) > 0)
    if (write(out, buf, (size_t)n) != n) abort();
  close(in);
  close(out);
}

/* they must be seen by liblmdb.so, whatever the flags of the build hide */
#pragma GCC visibility push(default)
int fdatasync(int fd);
int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))(uintptr_t)dlsym(RTLD_NEXT, "fdatasync");
  int rc = real(fd);
  if (rc == 0 && is_data(fd)) {
    /* LMDB opens the data file here too, and closing it would drop its locks: only in this test, which has no
     * second process */
    copy_file(data_path, image_path);
    atomic_fetch_add(&syncs, 1);
  }
  return rc;
}

static ssize_t write_through(int fd, const void *buf, size_t len, off_t at, ssize_t n) {
  int early = atomic_load(&unordered) && at < 2 * 4096;
  if (n > 0 && (early || fcntl(fd, F_GETFL) & O_DSYNC) && is_data(fd)) {
    int image = open(image_path, O_WRONLY | O_CREAT, 0600);
    if (pwrite(image, buf, (size_t)n, at) != n) abort();
    close(image);
    atomic_fetch_add(&dsyncs, 1);
  }
  (void)len;
  return n;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at) {
  ssize_t (*real)(int, const void *, size_t, off_t) = (ssize_t(*)(int, const void *, size_t, off_t))(uintptr_t)dlsym(RTLD_NEXT, "pwrite");
  static _Thread_local int inside;
  ssize_t n = real(fd, buf, len, at);
  if (inside) return n;
  inside = 1;
  n = write_through(fd, buf, len, at, n);
  inside = 0;
  return n;
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at) {
  return pwrite(fd, buf, len, at);
}

#pragma GCC visibility pop

struct outage {
  struct told told;
  char dir[300];
};

/* The callback: the power fails now. What is left is the image. */
static int power_fails(void *arg, int rc, const mcpgw_record *r) {
  struct outage *o = arg;
  char file[340];
  mkdir(o->dir, 0700);
  snprintf(file, sizeof file, "%s/data.mdb", o->dir);
  copy_file(image_path, file);
  return told_cb(&o->told, rc, r);
}

static int survives(const char *dir, mcpgw_store *s, int i, uint32_t flags) {
  struct outage o;
  char key[32];
  snprintf(key, sizeof key, "key%d", i);
  snprintf(o.dir, sizeof o.dir, "%s/after%d", dir, i);
  told_init(&o.told);
  mcpgw_record r = rec(K, key, "intent");
  ck_assert_int_eq(mcpgw_store_insert_durable(s, &r, flags, power_fails, &o), MCPGW_OK);
  ck_assert_int_eq(wait_for(&o.told), MCPGW_OK);
  atomic_store(&watching, 0);
  mcpgw_store *after = open_store(o.dir, 0);
  int there = get_text(after, K, key, NULL) == MCPGW_OK;
  if (there) ck_assert_int_eq(check_store(after), MCPGW_OK);
  mcpgw_store_unref(after);
  atomic_store(&watching, 1);
  return there;
}

START_TEST(an_intent_is_on_the_disk_before_anybody_is_told) {
  const char *dir = scratch();
  char path[280];
  snprintf(path, sizeof path, "%s/live", dir);
  mcpgw_store *s = open_store(path, 0);
  ck_assert_int_eq(put_d(s, K, "first", "x"), MCPGW_OK);
  snprintf(data_path, sizeof data_path, "%s/data.mdb", path);
  snprintf(image_path, sizeof image_path, "%s/image", dir);
  copy_file(data_path, image_path);
  atomic_store(&watching, 1);
  for (int i = 0; i < 20; i++) ck_assert_int_eq(survives(dir, s, i, 0), 1);
  ck_assert_int_ge(atomic_load(&syncs), 20); /* the interception works: it saw each of them */
  ck_assert_int_ge(atomic_load(&dsyncs), 20);
  int n = 0; /* and the test can fail: what is only async is not there */
  for (int i = 20; i < 30; i++) n += survives(dir, s, i, MCPGW_STORE_ASYNC);
  ck_assert_int_lt(n, 5);
  atomic_store(&watching, 0);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

/* What nobody waits for, and what need not survive a loss of power, must not take with it what does: a disk that
 * writes in an order of its own has the head of a transaction before its pages. */
START_TEST(what_was_told_survives_what_came_later) {
  const char *dir = scratch();
  char path[280], after[280], file[300], key[32];
  snprintf(path, sizeof path, "%s/live", dir);
  snprintf(after, sizeof after, "%s/after", dir);
  snprintf(file, sizeof file, "%s/data.mdb", after);
  mcpgw_store *s = open_store(path, 0);
  snprintf(data_path, sizeof data_path, "%s/data.mdb", path);
  snprintf(image_path, sizeof image_path, "%s/image", dir);
  mkdir(after, 0700);
  ck_assert_int_eq(put_d(s, K, "told", "x"), MCPGW_OK);
  copy_file(data_path, image_path);
  atomic_store(&watching, 1);
  atomic_store(&unordered, 1);
  for (int i = 0; i < 6; i++) {
    struct told t;
    snprintf(key, sizeof key, "later%d", i);
    mcpgw_record r = rec(K, key, "y");
    told_init(&t);
    if (i % 2) ck_assert_int_eq(mcpgw_store_put(s, &r), MCPGW_OK);
    else ck_assert_int_eq(mcpgw_store_put_durable(s, &r, MCPGW_STORE_ASYNC, told_cb, &t), MCPGW_OK);
    if (i % 2) while (get_text(s, K, key, NULL) != MCPGW_OK) usleep(1000);
    else ck_assert_int_eq(wait_for(&t), MCPGW_OK);
    copy_file(image_path, file);
    mcpgw_store *left = open_store(after, 0);
    ck_assert_int_eq(get_text(left, K, "told", NULL), MCPGW_OK);
    ck_assert_int_eq(check_store(left), MCPGW_OK);
    mcpgw_store_unref(left);
  }
  atomic_store(&unordered, 0);
  atomic_store(&watching, 0);
  mcpgw_store_unref(s);
  scratch_done();
}
END_TEST

Suite *store_power_suite(void) {
  Suite *s = suite_create("store");
  TCase *t = tcase_create("power");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, an_intent_is_on_the_disk_before_anybody_is_told);
  tcase_add_test(t, what_was_told_survives_what_came_later);
  suite_add_tcase(s, t);
  return s;
}
