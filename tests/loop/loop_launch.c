/* tests/loop/loop_launch: what only the launcher can promise: nothing outlives a gateway that was killed,
 * nor hides from it in a session of its own. */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/loop_tests.h"
#include "support/procs.h"

/* A daemon in a session of its own which ignores TERM, and a command which goes on. */
#define ESCAPE \
  "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1000; done' $0 & echo ready; sleep 1000; :"

static const char *const families[] = {
    "echo ready; sleep 1000; :",
    "trap '' TERM HUP INT; sh -c 'sleep 1000; :' $0 & echo ready; sleep 1000; :",
    ESCAPE,
    "setsid sh -c 'setsid sh -c \"sleep 1000; :\" '$0' & exit 0' $0; sleep 0.1; echo ready; sleep 1000; :",
    "echo ready; exec python3 -c \"import os,time,signal,sys\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "for i in range(5):\n"
    "  if os.fork()==0:\n"
    "    os.setsid()\n"
    "    os.fork()\n"
    "    break\n"
    "time.sleep(1000)\" $0",
};
#define N_FAMILIES ((int)(sizeof families / sizeof *families))

START_TEST(end_reaches_everybody) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, 1, families[_i], mark);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  procs_sleep_ms(150);
  kid_close(&k, &k.in);
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(procs_wait_most(mark, 0, 200), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(free_reaches_everybody) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, 1, families[_i], mark);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  procs_sleep_ms(150);
  kid_done(&k);
  ck_assert_int_eq(procs_wait_most(mark, 0, 1500), 0);
  ck_assert_int_eq(mg_child_drain(l, 3000), MCPGW_OK);
  loop_free(l);
}
END_TEST

/* A parent which spawns, says so, and waits to be killed. */
static pid_t parent_of(const char *script, const char *mark, pid_t *launcher) {
  int fd[2];
  char c = 0;
  ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct mg_loop *l;
    struct kid k;
    if (mg_loop_new(&l)) _exit(1);
    kid_sh(&k, l, 1, script, mark);
    if (!kid_wait_text(&k, "ready", 5000)) _exit(1);
    pid_t me = mg_child_pid(k.child);
    if (write(fd[1], &me, sizeof me) != sizeof me) _exit(1);
    pause();
    _exit(0);
  }
  close(fd[1]);
  ck_assert_int_eq((int)read(fd[0], launcher, sizeof *launcher), (int)sizeof *launcher);
  close(fd[0]);
  (void)c;
  procs_sleep_ms(150);
  return pid;
}

START_TEST(a_killed_parent_leaves_nothing) {
  const char *mark = procs_mark();
  pid_t launcher, pid = parent_of(families[_i], mark, &launcher);
  ck_assert_int_ge(procs_with(mark), 2);
  ck_assert_int_eq(kill(pid, SIGKILL), 0);
  ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
  ck_assert_int_eq(procs_wait_most(mark, 0, 3000), 0);
}
END_TEST

/* Even if somebody had stopped the launcher: the parent's death continues it. */
START_TEST(a_killed_parent_and_a_stopped_launcher) {
  const char *mark = procs_mark();
  pid_t launcher, pid = parent_of(families[_i], mark, &launcher);
  ck_assert_int_eq(kill(launcher, SIGSTOP), 0);
  ck_assert_int_eq(kill(pid, SIGKILL), 0);
  ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
  ck_assert_int_eq(procs_wait_most(mark, 0, 3000), 0);
}
END_TEST

/* A forked copy of the parent holds the lifeline open; the parent's death is seen all the same. */
START_TEST(a_killed_parent_with_a_forked_copy) {
  const char *mark = procs_mark();
  pid_t pid, copy, launcher = 0;
  int fd[2];
  ck_assert_int_eq(pipe(fd), 0);
  pid = fork();
  if (pid == 0) {
    struct mg_loop *l;
    struct kid k;
    if (mg_loop_new(&l)) _exit(1);
    kid_sh(&k, l, 1, ESCAPE, mark);
    if (!kid_wait_text(&k, "ready", 5000)) _exit(1);
    copy = fork();
    if (copy == 0) {
      pause();
      _exit(0);
    }
    if (write(fd[1], &copy, sizeof copy) != sizeof copy) _exit(1);
    pause();
  }
  ck_assert_int_eq((int)read(fd[0], &copy, sizeof copy), (int)sizeof copy);
  (void)launcher;
  ck_assert_int_eq(kill(pid, SIGKILL), 0);
  ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
  int left = procs_wait_most(mark, 0, 3000);
  (void)kill(copy, SIGKILL);
  ck_assert_int_eq(left, 0);
}
END_TEST

START_TEST(a_killed_launcher_leaves_no_group) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, 1, families[_i], mark);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  ck_assert_int_eq(kill(mg_child_pid(k.child), SIGKILL), 0);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(WTERMSIG(k.status), SIGKILL);
  ck_assert_int_eq(procs_wait_most(mark, 0, 500), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

/* Where the process is a subreaper, those in sessions of their own fall to it: also they end, nobody else. */
START_TEST(a_killed_launcher_leaves_nothing_to_a_subreaper) {
  struct mg_loop *l = loop_new();
  struct kid k, other;
  const char *mark = procs_mark();
  ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  ck_assert_int_eq(mg_loop_adopts(l), MCPGW_OK);
  kid_sh(&other, l, 1, "echo ready; sleep 1000; :", "x");
  kid_sh(&k, l, 1, families[_i], mark);
  ck_assert(kid_wait_text(&k, "ready", 5000) && kid_wait_text(&other, "ready", 5000));
  procs_sleep_ms(150);
  ck_assert_int_eq(kill(mg_child_pid(k.child), SIGKILL), 0);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  loop_turn_for(l, 300);
  ck_assert_int_eq(procs_wait_most(mark, 0, 0), 0);
  ck_assert_int_eq(other.ended, 0);
  kid_done(&k);
  kid_done(&other);
  loop_free(l);
  ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no zombie either */
}
END_TEST

START_TEST(what_a_command_leaves_behind_ends) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, 1, "setsid sh -c 'trap \"\" TERM; sleep 1000; :' $0 & sleep 0.2; exit 6", mark);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(k.status, 6 << 8);
  ck_assert_int_eq(procs_wait_most(mark, 0, 100), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

/* TERM sent by the command to its own group (`kill 0`) ends the others, not the launcher's duties. */
START_TEST(a_command_may_signal_its_group) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  kid_sh(&k, l, 1,
         "trap 'exit 9' TERM; setsid sh -c 'sleep 1000; :' $0 & sleep 0.2; kill -HUP -- -$PPID 2>/dev/null; "
         "kill 0; sleep 5",
         mark);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(procs_wait_most(mark, 0, 500), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

/* TERM goes to those in other sessions too: they may end in their own way. */
START_TEST(an_adopted_child_hears_term) {
  struct mg_loop *l = loop_new();
  struct kid k;
  char file[64];
  (void)snprintf(file, sizeof file, "/tmp/loop-adopted-%d", (int)getpid());
  const char *argv[] = {
      "sh", "-c",
      "setsid sh -c 'trap \"echo bye >$0; exit\" TERM; echo up; while :; do sleep 0.05; done' $0 & "
      "sleep 0.3; echo ready; exec cat",
      file, NULL};
  struct mg_child_opts o = kid_opts(argv, 1);
  o.kill_ms = 5000;
  kid_spawn(&k, l, &o);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  kid_close(&k, &k.in); /* cat ends, the other is adopted */
  mg_child_end(k.child);
  ck_assert_int_eq(kid_wait_end(&k, 4000), 1);
  ck_assert_int_eq(access(file, F_OK), 0);
  unlink(file);
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(no_descriptor_but_three_reaches_the_command) {
  char line[4096];
  (void)snprintf(line, sizeof line, "exec 9</etc/passwd; %s ls /proc/self/fd", procs_launcher());
  FILE *p = popen(line, "r");
  ck_assert_ptr_nonnull(p);
  size_t n = fread(line, 1, sizeof line - 1, p);
  line[n] = 0;
  ck_assert_str_eq(line, "0\n1\n2\n3\n"); /* 3 is the directory */
  ck_assert_int_eq(pclose(p), 0);
}
END_TEST

START_TEST(limits_reach_the_command) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *argv[] = {"sh", "-c", "ulimit -n; ulimit -d; ulimit -t", NULL};
  struct mg_child_opts o = kid_opts(argv, 1);
  o.files = 55;
  o.memory_bytes = 64 * 1024 * 1024;
  o.cpu_s = 33;
  kid_spawn(&k, l, &o);
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_str_eq(k.text, "55\n65536\n33\n");
  kid_done(&k);
  loop_free(l);
}
END_TEST

/* ---- another user ---------------------------------------------------------------------------------- */

static void as_user(struct kid *k, struct mg_loop *l, const char *user, const char *script, const char *mark) {
  const char *argv[] = {"sh", "-c", script, mark, NULL};
  static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "SHELL=/own", NULL};
  struct mg_child_opts o = kid_opts(argv, 1);
  o.env = env;
  o.user = user;
  kid_spawn(k, l, &o);
}

START_TEST(another_user) {
  static const char script[] = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL; "
                               "grep -hE 'Cap(Inh|Prm|Eff|Amb)|Groups' /proc/self/status | tr -d ' \t\n'";
  struct mg_loop *l = loop_new();
  struct kid k;
  char want[512];
  const struct passwd *p = getpwnam("nobody");
  gid_t more[] = {0, 4};
  ck_assert_ptr_nonnull(p);
  (void)setgroups(2, more);
  as_user(&k, l, _i ? "4321:8765" : "nobody", script, "x");
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  if (geteuid() != 0) {
    ck_assert_int_eq(k.status, 125 << 8);
    ck_assert_ptr_nonnull(strstr(k.text, "that takes root"));
  } else if (_i) {
    ck_assert_ptr_nonnull(strstr(k.text, "4321\n8765\n8765\n"));
    ck_assert_ptr_nonnull(strstr(k.text, "Groups:CapInh:0000000000000000CapPrm:0000000000000000"));
  } else {
    (void)snprintf(want, sizeof want,
                   "%d\n%d\n%d\n%s nobody nobody /own\nGroups:%dCapInh:0000000000000000CapPrm:0000000000000000"
                   "CapEff:0000000000000000CapAmb:0000000000000000",
                   (int)p->pw_uid, (int)p->pw_gid, (int)p->pw_gid, p->pw_dir, (int)p->pw_gid);
    ck_assert_str_eq(k.text, want);
    kid_done(&k);
    as_user(&k, l, "nobody", "echo opened >/dev/stderr", "x"); /* its pipe, but ours until it was given away */
    ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
    ck_assert_str_eq(k.text, "opened\n");
  }
  kid_done(&k);
  loop_free(l);
}
END_TEST

START_TEST(a_user_that_is_not_there) {
  struct mg_loop *l = loop_new();
  struct kid k;
  struct mg_err err;
  const char *argv[] = {"true", NULL};
  struct mg_child_opts o = kid_opts(argv, 0);
  struct mg_child *c;
  int in, out, e;
  as_user(&k, l, "no-such-user", "echo ran", "x");
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  ck_assert_int_eq(k.status, 125 << 8);
  ck_assert_ptr_null(strstr(k.text, "ran"));
  kid_done(&k);
  o.user = "nobody"; /* never without the launcher, as ourselves */
  mg_err_clear(&err);
  ck_assert_int_eq(mg_child_spawn(l, &o, NULL, NULL, &c, &in, &out, &e, &err), MCPGW_E_STATE);
  loop_free(l);
}
END_TEST

/* The launcher stays what it was: it reaches them all. */
START_TEST(another_users_family_ends) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  if (geteuid() == 0) {
    as_user(&k, l, "nobody", families[_i], mark);
    ck_assert(kid_wait_text(&k, "ready", 5000));
    procs_sleep_ms(150);
    if (_i & 1) {
      ck_assert_int_eq(kill(mg_child_pid(k.child), SIGKILL), 0); /* the death signal outlived the change of uid */
      ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
    } else {
      kid_close(&k, &k.in);
      mg_child_end(k.child);
      ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
    }
    ck_assert_int_eq(procs_wait_most(mark, 0, 500), 0);
    kid_done(&k);
  }
  loop_free(l);
}
END_TEST

static int run(const char *args) {
  char line[4096];
  (void)snprintf(line, sizeof line, "%s %s >/dev/null 2>&1", procs_launcher(), args);
  int status = system(line);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

START_TEST(by_hand) {
  ck_assert_int_eq(run("true"), 0);
  ck_assert_int_eq(run("-- sh -c 'exit 42'"), 42);
  ck_assert_int_eq(run("no-such-command"), 127);
  ck_assert_int_eq(run("/etc/passwd"), 126);
  ck_assert_int_eq(run(""), 125);
  ck_assert_int_eq(run("-k 12x true"), 125);
  ck_assert_int_eq(run("-k -1 true"), 125);
  ck_assert_int_eq(run("-f 99 true"), 125);
  ck_assert_int_eq(run("-f 1 true"), 125);
  ck_assert_int_eq(run("-Q true"), 125);
  ck_assert_int_eq(run("-u no-such-user true"), 125);
  ck_assert_int_eq(run("-x /bin/sh other-name -c '[ $0 = other-name ] || exit 1'"), 0);
}
END_TEST

/* It forks faster than one can look: the launcher takes the group down with itself. */
START_TEST(a_fork_storm_ends) {
  struct mg_loop *l = loop_new();
  struct kid k;
  const char *mark = procs_mark();
  const char *argv[] = {"python3", "-c",
                        "import os,time,signal\n"
                        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                        "print('ready', flush=True)\n"
                        "end=time.time()+12\n"
                        "while time.time()<end:\n"
                        "  p=os.fork()\n"
                        "  if p: os._exit(0)\n"
                        "  time.sleep(0)\n",
                        mark, NULL};
  struct mg_child_opts o = kid_opts(argv, 1);
  kid_spawn(&k, l, &o);
  ck_assert(kid_wait_text(&k, "ready", 5000));
  ck_assert_int_eq(kid_wait_end(&k, 9000), 1);
  ck_assert_int_eq(procs_wait_most(mark, 0, 500), 0);
  kid_done(&k);
  loop_free(l);
}
END_TEST

Suite *loop_launch_suite(void) {
  Suite *s = suite_create("loop/launch");
  TCase *c = tcase_create("launch");
  tcase_set_timeout(c, 60);
  tcase_add_loop_test(c, end_reaches_everybody, 0, N_FAMILIES);
  tcase_add_loop_test(c, free_reaches_everybody, 0, N_FAMILIES);
  tcase_add_loop_test(c, a_killed_parent_leaves_nothing, 0, N_FAMILIES);
  tcase_add_loop_test(c, a_killed_parent_and_a_stopped_launcher, 0, N_FAMILIES);
  tcase_add_test(c, a_killed_parent_with_a_forked_copy);
  tcase_add_loop_test(c, a_killed_launcher_leaves_no_group, 0, 2);
  tcase_add_loop_test(c, a_killed_launcher_leaves_nothing_to_a_subreaper, 0, N_FAMILIES);
  tcase_add_test(c, what_a_command_leaves_behind_ends);
  tcase_add_test(c, a_command_may_signal_its_group);
  tcase_add_test(c, an_adopted_child_hears_term);
  tcase_add_test(c, no_descriptor_but_three_reaches_the_command);
  tcase_add_test(c, limits_reach_the_command);
  tcase_add_loop_test(c, another_user, 0, 2);
  tcase_add_test(c, a_user_that_is_not_there);
  tcase_add_loop_test(c, another_users_family_ends, 0, 3);
  tcase_add_test(c, by_hand);
  tcase_add_test(c, a_fork_storm_ends);
  suite_add_tcase(s, c);
  return s;
}
