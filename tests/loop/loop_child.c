/* tests/loop/loop_child: starting, talking to, and ending real processes, each with and without launcher. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/loop_tests.h"
#include "support/procs.h"

/* _i: 0 directly, 1 under the launcher. */

START_TEST(cat_round_trip) {
  struct mg_loop *l = loop_new();
  struct kid k;
  kid_sh(&k, l, _i, "cat; echo done >&2; exit 7", "x");
  ck_assert_int_eq(mg_child_count(l), 1);
  ck_assert_int_eq((int)write(k.in, "hello\n", 6), 6);
  ck_assert(kid_wait_text(&k, "hello\n", 5000));
  kid_close(&k, &k.in);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(k.status, 7 << 8);
  ck_assert_str_eq(k.text, "hello\ndone\n");
  ck_assert_int_eq(mg_child_count(l), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(status_of_a_signal) {
  struct mg_loop *l = loop_new();
  struct kid k;
  kid_sh(&k, l, _i, "kill -SEGV $$", "x");
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert(WIFSIGNALED(k.status));
  ck_assert_int_eq(WTERMSIG(k.status), SIGSEGV);
  kid_done(&k);
  kid_sh(&k, l, _i, "kill -KILL $$", "x");
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(WTERMSIG(k.status), SIGKILL);
  kid_done(&k);
  loop_free(l);
}
END_TEST

static int fails(struct mg_loop *l, const struct mg_child_opts *o, struct mg_err *err) {
  struct mg_child *c = (struct mg_child *)l;
  int in = -7, out = -7, e = -7, fds = procs_open_fds();
  mg_err_clear(err);
  int rc = mg_child_spawn(l, o, NULL, NULL, &c, &in, &out, &e, err);
  ck_assert_int_lt(rc, 0);
  ck_assert(c == (struct mg_child *)l && in == -7 && out == -7 && e == -7);
  ck_assert_int_eq(procs_open_fds(), fds);
  ck_assert_int_eq(mg_child_count(l), 0);
  return rc;
}

START_TEST(what_cannot_be_started_says_why) {
  struct mg_loop *l = loop_new();
  struct mg_err err;
  const char *argv[] = {"no-such-command", NULL}, *env[] = {"A=b", "PATH=/one:/two", NULL}, *none[] = {NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.env = env;
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_NOT_FOUND);
  ck_assert_str_eq(mg_err_text(&err), "command \"no-such-command\" not found in PATH (/one:/two)");
  argv[0] = "sh"; /* in our PATH, but not in its own */
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_NOT_FOUND);
  argv[0] = "/etc/passwd";
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_NOT_FOUND);
  ck_assert_str_eq(mg_err_text(&err), "command \"/etc/passwd\" does not exist or is not executable");
  argv[0] = "/bin/sh";
  o.cwd = "/no/such/place";
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_NOT_FOUND);
  ck_assert_str_eq(mg_err_text(&err), "working directory \"/no/such/place\" does not exist");
  o.cwd = NULL;
  o.launcher = "/no/launcher";
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_NOT_FOUND);
  ck_assert_str_eq(mg_err_text(&err), "launcher \"/no/launcher\" is not an executable file");
  o.argv = none;
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_INVALID);
  loop_free(l);
}
END_TEST

static void make_script(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fputs(text, f);
  fclose(f);
  ck_assert_int_eq(chmod(path, 0755), 0);
}

START_TEST(the_childs_own_path_and_directory) {
  struct mg_loop *l = loop_new();
  struct kid k;
  char dir[] = "/tmp/loop-child-XXXXXX", path[128], tool[128];
  ck_assert_ptr_nonnull(mkdtemp(dir));
  (void)snprintf(path, sizeof path, "PATH=/nowhere:%s:/bin:/usr/bin", dir);
  (void)snprintf(tool, sizeof tool, "%s/mytool", dir);
  make_script(tool, "#!/bin/sh\necho tool $0 in $(pwd) with \"$@\"\n");
  const char *argv[] = {"mytool", "a b", "", "-x", NULL}, *env[] = {path, NULL};
  const char *rel[] = {"./mytool", NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.env = env;
  o.cwd = "/usr";
  kid_spawn(&k, l, &o);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_ptr_nonnull(strstr(k.text, "in /usr with a b  -x\n"));
  kid_done(&k);
  o.argv = rel;
  o.cwd = dir;
  kid_spawn(&k, l, &o);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_ptr_nonnull(strstr(k.text, dir));
  kid_done(&k);
  unlink(tool), rmdir(dir);
  loop_free(l);
}
END_TEST

static void say(struct kid *k, struct mg_loop *l, int launcher, const char *const *argv) {
  static const char *const env[] = {"PATH=/usr/bin:/bin", "ONE=1", NULL};
  struct mg_child_opts o = kid_opts(argv, launcher);
  o.env = env;
  kid_spawn(k, l, &o);
  ck_assert_int_eq(kid_wait_end(k, 5000), 1);
  ck_assert_ptr_nonnull(k->text);
}

START_TEST(a_clean_start_for_the_child) {
  struct mg_loop *l = loop_new();
  struct kid k;
  int leak = open("/etc/passwd", O_RDONLY); /* without CLOEXEC, as hosts do */
  const char *env[] = {"env", NULL}, *fds[] = {"ls", "/proc/self/fd", NULL};
  const char *state[] = {"grep", "-E", "Sig(Blk|Ign)|NoNewPrivs", "/proc/self/status", NULL};
  (void)signal(SIGPIPE, SIG_IGN), (void)signal(SIGINT, SIG_IGN);
  say(&k, l, _i, env);
  ck_assert_str_eq(k.text, "PATH=/usr/bin:/bin\nONE=1\n");
  kid_done(&k);
  say(&k, l, _i, fds);
  ck_assert_str_eq(k.text, "0\n1\n2\n3\n"); /* 3 is the directory itself */
  kid_done(&k);
  say(&k, l, _i, state);
  ck_assert_msg(strstr(k.text, "SigBlk:\t0000000000000000\n"), "%s", k.text);
  char *ign = strstr(k.text, "SigIgn:\t"); /* glibc itself ignores 32 and 33 in what it spawns */
  ck_assert_msg(ign && (strtoull(ign + 8, NULL, 16) & ~0x180000000ull) == 0, "%s", k.text);
  ck_assert_msg(!_i || strstr(k.text, "NoNewPrivs:\t1\n"), "%s", k.text);
  kid_done(&k);
  close(leak);
  loop_free(l);
}
END_TEST

START_TEST(starts_with_low_descriptors_closed) {
  struct mg_loop *l = loop_new();
  struct kid k;
  int saved = dup(1);
  close(0), close(1);
  kid_sh(&k, l, _i, "cat; echo err >&2", "x");
  dup2(saved, 77);
  ck_assert_int_eq((int)write(k.in, "out\n", 4), 4);
  kid_close(&k, &k.in);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_str_eq(k.text, "out\nerr\n");
  kid_done(&k);
  close(saved);
  loop_free(l);
}
END_TEST

START_TEST(ends_by_itself_when_stdin_closes) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *argv[] = {"cat", NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.term_ms = 20000;
  kid_spawn(&k, l, &o);
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 3000), 1);
  ck_assert_int_eq(k.status, 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(term_comes_after_term_ms) {
  struct mg_loop *l = loop_new();
  struct kid k;
  kid_sh(&k, l, _i, "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done", "x");
  ck_assert(kid_wait_text(&k, "ready", 5000));
  uint64_t start = procs_now_ms();
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_uint_ge(procs_now_ms() - start, 100);
  ck_assert_ptr_nonnull(strstr(k.text, "term"));
  ck_assert_int_eq(k.status, 3 << 8);
  kid_done(&k);
  loop_free(l);
}
END_TEST

/* Everything a child can do to stay: the whole family is gone after term_ms + kill_ms. */
static const char *const stubborn[] = {
    "trap '' TERM; sleep 1000 & sleep 1000",
    "trap '' TERM; echo ready; while :; do sleep 1000; done",
    "trap '' TERM; (trap '' TERM; sh -c 'sleep 1000' deep-$0 & sleep 1000) & sleep 1000",
    "kill -STOP $$; sleep 1000",
    "kill -STOP 0; sleep 1000",
    "trap '' TERM HUP INT QUIT PIPE USR1; exec python3 -c 'import time; time.sleep(1000)' $0",
    "trap '' TERM; while :; do sleep 1000 & wait $!; done",
};
#define N_STUBBORN ((int)(sizeof stubborn / sizeof *stubborn))

START_TEST(stubborn_children_end) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, _i & 1, stubborn[_i / 2], mark);
  ck_assert_int_ge(procs_wait_least(mark, 1, 3000), 1);
  procs_sleep_ms(100);
  uint64_t start = procs_now_ms();
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 8000), 1);
  ck_assert_uint_le(procs_now_ms() - start, 2500);
  ck_assert_int_eq(procs_wait_most(mark, 0, 1000), 0);
  ck_assert_int_eq(procs_with("deep-"), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(stopped_from_outside_ends_too) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, _i, "echo ready; sleep 1000", mark);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  ck_assert_int_eq(kill(mg_child_pid(k.child), SIGSTOP), 0); /* the launcher, where there is one */
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 6000), 1);
  ck_assert_int_eq(procs_wait_most(mark, 0, 1000), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

/* TERM reaches one that had stopped itself while it can still act on it, not only the KILL behind. */
START_TEST(a_stopped_child_hears_term) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *argv[] = {"sh", "-c", "trap 'echo term; exit 3' TERM; echo ready; kill -STOP $$; sleep 1000",
                        NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.kill_ms = 5000;
  kid_spawn(&k, l, &o);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  loop_turn_for(l, 50);
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 4000), 1);
  ck_assert_ptr_nonnull(strstr(k.text, "term"));
  ck_assert_int_eq(k.status, 3 << 8);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(free_kills_at_once) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, _i, "trap '' TERM; sh -c 'sleep 1000; :' $0 & echo ready; sleep 1000; :", mark);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  kid_done(&k); /* mg_child_free while it runs */
  ck_assert_int_eq(procs_wait_most(mark, 0, 1000), 0);
  ck_assert_int_eq(mg_child_drain(l, 3000), MCPGW_OK);
  ck_assert_int_eq(mg_child_count(l), 0);
  ck_assert_int_eq(k.ended, 0);
  loop_free(l);
}
END_TEST

/* End, then change of mind: free must still reach everybody. */
START_TEST(free_after_end) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark(),
             *argv[] = {"sh", "-c", "trap '' TERM; echo ready; sleep 1000; :", mark, NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.term_ms = 10;
  o.kill_ms = 60000;
  kid_spawn(&k, l, &o);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  loop_turn_for(l, 100);
  ck_assert_int_eq(k.ended, 0);
  kid_done(&k);
  ck_assert_int_eq(procs_wait_most(mark, 0, 1000), 0);
  ck_assert_int_eq(mg_child_drain(l, 3000), MCPGW_OK);
  loop_free(l);
}
END_TEST

START_TEST(release_lets_it_finish) {
  struct mg_loop *l = loop_new();
  struct kid k;
  char file[64];
  (void)snprintf(file, sizeof file, "/tmp/loop-release-%d-%d", (int)getpid(), _i);
  const char *argv[] = {
      "sh", "-c",
      "echo ready; cat >/dev/null; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo 'a rather long line of "
      "farewell that fills any buffer which nobody empties, sooner or later' || exit 1; "
      "echo bye >&2 || exit 1; done; echo fine >$0",
      file, NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.term_ms = 10000;
  kid_spawn(&k, l, &o);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  kid_close(&k, &k.in);
  mg_child_release(k.child, k.out, k.err);
  k.out = k.err = -1;
  k.child = NULL;
  ck_assert_int_eq(mg_child_drain(l, 9000), MCPGW_OK);
  ck_assert_int_eq(access(file, F_OK), 0);
  unlink(file);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(drain_has_an_end) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark(), *argv[] = {"sh", "-c", "trap '' TERM; sleep 1000; :", mark, NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  o.term_ms = 60000;
  kid_spawn(&k, l, &o);
  ck_assert_int_eq(mg_child_drain(l, 5000), MCPGW_OK); /* it runs and nobody asked it to end */
  kid_close(&k, &k.in);
  mg_child_release(k.child, k.out, k.err);
  k.out = k.err = -1;
  k.child = NULL;
  uint64_t start = procs_now_ms();
  ck_assert_int_eq(mg_child_drain(l, 150), MCPGW_E_TIMEOUT);
  ck_assert_uint_ge(procs_now_ms() - start, 140);
  ck_assert_uint_le(procs_now_ms() - start, 1000);
  kid_done(&k);
  loop_free(l); /* ends the rest */
  ck_assert_int_eq(procs_wait_most(mark, 0, 100), 0);
  ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no zombie either */
}
END_TEST

START_TEST(the_rest_of_the_group_goes_with_it) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, _i, "sh -c 'trap \"\" TERM; sleep 1000; :' $0 & sleep 0.1; exit 5", mark);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(k.status, 5 << 8);
  ck_assert_int_eq(procs_wait_most(mark, 0, 500), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(thirty_at_once) {
  struct mg_loop *l = loop_new();
  struct kid k[30];
  int i;
  for (i = 0; i < 30; i++) kid_sh(&k[i], l, _i, "read x; echo got $x; exit 4", "x");
  ck_assert_int_eq(mg_child_count(l), 30);
  for (i = 0; i < 30; i++) ck_assert_int_eq((int)write(k[i].in, "it\n", 3), 3);
  for (i = 0; i < 30; i++) {
    ck_assert_int_eq(kid_wait_end(&k[i], 10000), 1);
    ck_assert_str_eq(k[i].text, "got it\n");
    ck_assert_int_eq(k[i].status, 4 << 8);
    kid_done(&k[i]);
  }
  ck_assert_int_eq(mg_child_count(l), 0);
  loop_free(l);
}
END_TEST

START_TEST(two_hundred_leave_nothing) {
  struct mg_loop *l = loop_new();
  struct kid k;
  int i, fds = procs_open_fds();
  for (i = 0; i < 200; i++) {
    const char *argv[] = {"sh", "-c", i % 3 ? "exit 0" : "sleep 100", NULL};
    struct mg_child_opts o = kid_opts(argv, _i);
    kid_spawn(&k, l, &o);
    if (i % 3) ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
    kid_done(&k);
  }
  ck_assert_int_eq(mg_child_drain(l, 5000), MCPGW_OK);
  ck_assert_int_eq(procs_open_fds(), fds);
  ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
  loop_free(l);
}
END_TEST

/* The kernel then reaps at once, and the number may be anybody's before we have looked: the pidfd has to
 * come with the process. */
START_TEST(a_host_that_ignores_sigchld) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark(), *script[] = {"exit 5", "sh -c 'sleep 20; :' $0 & exit 5"};
  int i, fds = procs_open_fds();
  (void)signal(SIGCHLD, SIG_IGN);
  for (i = 0; i < 50; i++) {
    kid_sh(&k, l, _i, script[i % 2], mark);
    ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
    ck_assert_int_eq(k.status, MG_CHILD_STOLEN);
    kid_done(&k);
  }
  if (_i) ck_assert_int_eq(procs_wait_most(mark, 0, 3000), 0); /* alone we reach them from Linux 6.9 on */
  ck_assert_int_eq(procs_open_fds(), fds);
  loop_free(l);
}
END_TEST

/* What cannot be executed is seen as an error, however fast the host reaps. */
START_TEST(a_host_that_reaps_and_a_bad_program) {
  struct mg_loop *l = loop_new();
  struct mg_err err;
  char file[64];
  (void)snprintf(file, sizeof file, "/tmp/loop-bad-%d-%d", (int)getpid(), _i);
  make_script(file, "#!/no/such/interpreter\n");
  const char *argv[] = {file, NULL};
  struct mg_child_opts o = kid_opts(argv, 0);
  if (_i) (void)signal(SIGCHLD, SIG_IGN);
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_IO);
  ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "its interpreter is missing"));
  make_script(file, "no program\n");
  ck_assert_int_eq(fails(l, &o, &err), MCPGW_E_IO);
  ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "not a program"));
  ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
  unlink(file);
  loop_free(l);
}
END_TEST

START_TEST(spawn_out_of_memory_or_descriptors) {
  struct mg_loop *l = loop_new();
  const char *argv[] = {"cat", NULL};
  struct mg_child_opts o = kid_opts(argv, _i);
  struct mg_child *c = NULL;
  struct mg_err err;
  int in, out, e, n, rc = -1, fds = procs_open_fds();
  for (n = 1; rc && n < 30; n++) {
    mg_err_clear(&err);
    mg_mem_fail_after((uint64_t)n, 1);
    rc = mg_child_spawn(l, &o, NULL, NULL, &c, &in, &out, &e, &err);
    mg_mem_fail_after(0, 0);
    if (!rc) break;
    ck_assert_int_eq(rc, MCPGW_E_NOMEM);
    ck_assert_int_eq(procs_open_fds(), fds);
  }
  ck_assert_int_eq(rc, 0);
  ck_assert_int_ge(n, 3);
  mg_child_free(c);
  close(in), close(out), close(e);
  ck_assert_int_eq(mg_child_drain(l, 3000), MCPGW_OK);
  struct rlimit few = {64, 64};
  int hold[64], h = 0;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
  while (h < 64 && (hold[h] = dup(2)) >= 0) h++;
  for (n = 0; n < 12; n++) {
    close(hold[--h]);
    mg_err_clear(&err);
    rc = mg_child_spawn(l, &o, NULL, NULL, &c, &in, &out, &e, &err);
    if (!rc) break;
    ck_assert_msg(rc == MCPGW_E_LIMIT || rc == MCPGW_E_IO, "%d %s", rc, mg_err_text(&err));
  }
  ck_assert_int_eq(rc, 0);
  while (h) close(hold[--h]);
  mg_child_free(c);
  close(in), close(out), close(e);
  ck_assert_int_eq(mg_child_drain(l, 3000), MCPGW_OK);
  ck_assert_int_eq(procs_open_fds(), fds);
  loop_free(l);
}
END_TEST

Suite *loop_child_suite(void) {
  const TTest *const tests[] = {cat_round_trip,
                                status_of_a_signal,
                                what_cannot_be_started_says_why,
                                the_childs_own_path_and_directory,
                                a_clean_start_for_the_child,
                                starts_with_low_descriptors_closed,
                                ends_by_itself_when_stdin_closes,
                                term_comes_after_term_ms,
                                stopped_from_outside_ends_too,
                                a_stopped_child_hears_term,
                                free_kills_at_once,
                                free_after_end,
                                release_lets_it_finish,
                                drain_has_an_end,
                                the_rest_of_the_group_goes_with_it,
                                thirty_at_once,
                                two_hundred_leave_nothing,
                                spawn_out_of_memory_or_descriptors};
  Suite *s = suite_create("loop/child");
  TCase *c = tcase_create("child");
  size_t i;
  tcase_set_timeout(c, 60);
  for (i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_loop_test(c, tests[i], 0, 2);
  tcase_add_loop_test(c, stubborn_children_end, 0, N_STUBBORN * 2);
  suite_add_tcase(s, c);
  c = tcase_create("reaping-host");
  tcase_set_timeout(c, 60);
  tcase_add_loop_test(c, a_host_that_ignores_sigchld, 0, 2);
  tcase_add_loop_test(c, a_host_that_reaps_and_a_bad_program, 0, 2);
  suite_add_tcase(s, c);
  return s;
}
