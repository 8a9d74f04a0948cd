/* tests/loop/main: the loop room's tests and the child they share. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/loop_tests.h"
#include "support/procs.h"

static int64_t live_before;

struct mg_loop *loop_new(void) {
  struct mg_loop *l = NULL;
  live_before = mg_mem_live();
  ck_assert_int_eq(mg_loop_new(&l), MCPGW_OK);
  return l;
}

void loop_free(struct mg_loop *l) {
  mg_loop_free(l);
  ck_assert_int_eq(mg_mem_live(), live_before);
}

static void on_end(void *arg, int status) {
  struct kid *k = arg;
  k->ended++;
  k->status = status;
}

struct mg_child_opts kid_opts(const char *const *argv, int launcher) {
  static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", NULL};
  struct mg_child_opts o = {.argv = argv,
                            .env = env,
                            .launcher = launcher ? procs_launcher() : NULL,
                            .term_ms = 100,
                            .kill_ms = 200};
  return o;
}

void kid_spawn(struct kid *k, struct mg_loop *l, const struct mg_child_opts *o) {
  struct mg_err err;
  mg_err_clear(&err);
  memset(k, 0, sizeof *k);
  k->loop = l;
  k->in = k->out = k->err = -1;
  int rc = mg_child_spawn(l, o, on_end, k, &k->child, &k->in, &k->out, &k->err, &err);
  ck_assert_msg(rc == MCPGW_OK, "spawn: %d %s", rc, mg_err_text(&err));
}

void kid_sh(struct kid *k, struct mg_loop *l, int launcher, const char *script, const char *mark) {
  const char *argv[] = {"sh", "-c", script, mark, NULL};
  struct mg_child_opts o = kid_opts(argv, launcher);
  kid_spawn(k, l, &o);
}

void kid_close(struct kid *k, int *fd) {
  (void)k;
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void read_one(struct kid *k, int fd) {
  char buf[65536];
  ssize_t n;
  while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0) {
    k->text = realloc(k->text, k->len + (size_t)n + 1);
    memcpy(k->text + k->len, buf, (size_t)n);
    k->len += (size_t)n;
    k->text[k->len] = 0;
  }
}

void kid_read(struct kid *k) {
  read_one(k, k->out);
  read_one(k, k->err);
}

static int has_text(struct kid *k, const char *text) {
  kid_read(k);
  return k->text && strstr(k->text, text);
}

int kid_wait_text(struct kid *k, const char *text, unsigned ms) {
  uint64_t end = procs_now_ms() + ms;
  while (!has_text(k, text) && procs_now_ms() < end) loop_turn_for(k->loop, 10);
  return has_text(k, text);
}

int kid_wait_end(struct kid *k, unsigned ms) {
  uint64_t end = procs_now_ms() + ms;
  while (!k->ended && procs_now_ms() < end) {
    kid_read(k);
    loop_turn_for(k->loop, 5);
  }
  kid_read(k);
  ck_assert_int_le(k->ended, 1);
  return k->ended;
}

void kid_done(struct kid *k) {
  mg_child_free(k->child);
  kid_close(k, &k->in);
  kid_close(k, &k->out);
  kid_close(k, &k->err);
  free(k->text);
  k->text = NULL;
}

void loop_turn_for(struct mg_loop *l, unsigned ms) {
  uint64_t end = procs_now_ms() + ms;
  do {
    ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
    if (procs_now_ms() < end) procs_sleep_ms(1);
  } while (procs_now_ms() < end);
}

int main(void) {
  SRunner *runner = srunner_create(loop_turn_suite());
  srunner_add_suite(runner, loop_child_suite());
  srunner_add_suite(runner, loop_launch_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
