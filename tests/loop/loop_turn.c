/* tests/loop/loop_turn: turns, queues, watches, timers, SIGPIPE, fork, nesting in a foreign loop. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/loop_tests.h"
#include "loop/sigpipe.h"
#include "support/procs.h"

/* ---- timers ---- */

struct tick {
  struct mg_timer *timer;
  uint64_t delay;
  int fired;
  uint64_t at_ms;
};

static void on_tick(void *arg) {
  struct tick *t = arg;
  t->fired++;
  t->at_ms = mg_now_ms();
}

static void on_again(void *arg) {
  struct tick *t = arg;
  t->fired++;
  mg_timer_set(t->timer, t->delay);
}

START_TEST(timer_never_early) {
  struct mg_loop *l = loop_new();
  struct tick t = {NULL, 0, 0, 0};
  ck_assert_int_eq(mg_timer_new(l, on_tick, &t, &t.timer), MCPGW_OK);
  loop_turn_for(l, 0); /* a new loop wants one turn before it can wait */
  procs_sleep_ms(60);  /* the loop's cached time lies far back now */
  uint64_t set = mg_now_ms();
  mg_timer_set(t.timer, 40);
  int wait = mg_loop_timeout_ms(l);
  ck_assert_int_gt(wait, 20);
  ck_assert_int_le(wait, 40);
  while (!t.fired) ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_uint_ge(t.at_ms - set, 40);
  ck_assert_uint_le(t.at_ms - set, 200);
  mg_timer_set(t.timer, 5);
  mg_timer_set(t.timer, UINT64_MAX);
  ck_assert_int_eq(mg_loop_timeout_ms(l), -1);
  loop_turn_for(l, 20);
  ck_assert_int_eq(t.fired, 1);
  mg_timer_set(t.timer, UINT64_MAX - 1); /* no overflow: never, not at once */
  loop_turn_for(l, 5);
  ck_assert_int_eq(t.fired, 1);
  mg_timer_free(t.timer);
  loop_free(l);
}
END_TEST

/* libuv 1.44 would walk its heap for ever. */
START_TEST(timer_zero_again_is_one_a_turn) {
  struct mg_loop *l = loop_new();
  struct tick t = {NULL, 0, 0, 0};
  ck_assert_int_eq(mg_timer_new(l, on_again, &t, &t.timer), MCPGW_OK);
  mg_timer_set(t.timer, 0);
  ck_assert_int_eq(mg_loop_timeout_ms(l), 0);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_int_ge(t.fired, 1);
  ck_assert_int_le(t.fired, 3);
  loop_turn_for(l, 30);
  ck_assert_int_ge(t.fired, 5);
  mg_timer_free(t.timer);
  loop_free(l);
}
END_TEST

static void on_free_self(void *arg) {
  struct tick *t = arg;
  t->fired++;
  mg_timer_free(t->timer);
}

START_TEST(timer_freed_in_its_callback) {
  struct mg_loop *l = loop_new();
  struct tick t = {NULL, 0, 0, 0}, u = {NULL, 0, 0, 0};
  ck_assert_int_eq(mg_timer_new(l, on_free_self, &t, &t.timer), MCPGW_OK);
  ck_assert_int_eq(mg_timer_new(l, on_tick, &u, &u.timer), MCPGW_OK);
  mg_timer_set(t.timer, 1);
  mg_timer_set(u.timer, 3);
  loop_turn_for(l, 20);
  ck_assert_int_eq(t.fired, 1);
  ck_assert_int_eq(u.fired, 1);
  mg_timer_set(u.timer, 0);
  mg_timer_free(u.timer); /* due, but freed: silent */
  loop_turn_for(l, 5);
  ck_assert_int_eq(u.fired, 1);
  loop_free(l);
}
END_TEST

static uint64_t fake_us;
static uint64_t fake_now(void) {
  return fake_us;
}

START_TEST(now_is_mg_now) {
  struct mg_loop *l = loop_new();
  uint64_t a = mg_now_ms();
  uint64_t b = mg_loop_now_ms(l);
  ck_assert_uint_ge(b, a);
  ck_assert_uint_le(b, mg_now_ms());
  fake_us = 5000000;
  mg_clock_hooks(fake_now, NULL, NULL);
  ck_assert_uint_eq(mg_loop_now_ms(l), 5000);
  fake_us = 6000000;
  ck_assert_uint_eq(mg_loop_now_ms(l), 6000);
  mg_clock_hooks(NULL, NULL, NULL);
  loop_free(l);
}
END_TEST

/* ---- queues ---- */

struct order {
  struct mg_loop *loop;
  int n, seen[8], inside;
};
static struct order order;

static void mark1(void *arg) {
  ck_assert_int_eq(order.inside, 0);
  order.seen[order.n++] = (int)(intptr_t)arg;
}

static void mark_and_defer(void *arg) {
  mark1(arg);
  order.inside = 1;
  ck_assert_int_eq(mg_loop_defer(order.loop, mark1, (void *)(intptr_t)9), MCPGW_OK);
  order.inside = 0;
}

START_TEST(defer_keeps_order_and_never_nests) {
  struct mg_loop *l = loop_new();
  order = (struct order){l, 0, {0}, 0};
  loop_turn_for(l, 0);
  ck_assert_int_eq(mg_loop_timeout_ms(l), -1);
  ck_assert_int_eq(mg_loop_defer(l, mark_and_defer, (void *)(intptr_t)1), MCPGW_OK);
  ck_assert_int_eq(mg_loop_defer(l, mark1, (void *)(intptr_t)2), MCPGW_OK);
  ck_assert_int_eq(order.n, 0);
  ck_assert_int_eq(mg_loop_timeout_ms(l), 0);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK); /* must not wait */
  ck_assert_int_eq(order.n, 2);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_int_eq(order.n, 3);
  ck_assert_int_eq(order.seen[0] * 100 + order.seen[1] * 10 + order.seen[2], 129);
  loop_free(l);
}
END_TEST

static int counted;
static void count(void *arg) {
  (void)arg;
  counted++;
}

static void on_defer(void *arg) {
  ck_assert_int_eq(mg_loop_defer(arg, count, NULL), MCPGW_OK);
}

/* libuv runs its timers before it waits: the wait behind them must not hold up what they deferred. */
START_TEST(defer_from_a_timer_does_not_wait) {
  struct mg_loop *l = loop_new();
  struct tick t = {NULL, 0, 0, 0};
  struct mg_timer *d;
  counted = 0;
  ck_assert_int_eq(mg_timer_new(l, on_defer, l, &d), MCPGW_OK);
  ck_assert_int_eq(mg_timer_new(l, on_tick, &t, &t.timer), MCPGW_OK);
  loop_turn_for(l, 0);
  mg_timer_set(d, 0);
  mg_timer_set(t.timer, 3000);
  uint64_t start = procs_now_ms();
  while (!counted) ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_uint_le(procs_now_ms() - start, 1000);
  ck_assert_int_eq(t.fired, 0);
  mg_timer_free(d);
  mg_timer_free(t.timer);
  loop_free(l);
}
END_TEST

static struct mg_soon again;

static void mark_and_soon(void *arg) {
  mark1(arg);
  mg_soon(order.loop, &again);
}

static void soon_from_defer(void *arg) {
  mark1((void *)(intptr_t)5);
  mg_soon(order.loop, arg);
}

/* Behind what was deferred, in the same turn, once, without a wait; again from inside is the next turn. */
START_TEST(soon_is_once_and_can_be_taken_back) {
  struct mg_loop *l = loop_new();
  struct mg_soon off = {.cb = mark1, .arg = (void *)(intptr_t)7}, late = {.cb = mark1, .arg = (void *)(intptr_t)6};
  order = (struct order){l, 0, {0}, 0};
  again = (struct mg_soon){.cb = mark_and_soon, .arg = (void *)(intptr_t)1};
  loop_turn_for(l, 0);
  mg_soon(l, &again);
  mg_soon(l, &again);
  mg_soon(l, &off);
  mg_soon_off(&off);
  mg_soon_off(&off);
  ck_assert_int_eq(mg_loop_defer(l, soon_from_defer, &late), MCPGW_OK);
  ck_assert_int_eq(mg_loop_timeout_ms(l), 0);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_int_eq(order.n, 3);
  ck_assert_int_eq(order.seen[0] * 100 + order.seen[1] * 10 + order.seen[2], 516);
  ck_assert_int_eq(mg_loop_timeout_ms(l), 0);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_int_eq(order.n, 4);
  ck_assert_int_eq(order.seen[3], 1);
  mg_soon_off(&again);
  ck_assert_int_eq(mg_loop_timeout_ms(l), -1);
  loop_free(l);
}
END_TEST

static void on_soon(void *arg) {
  mg_soon(arg, &again);
}

START_TEST(soon_from_a_timer_does_not_wait) {
  struct mg_loop *l = loop_new();
  struct mg_timer *t;
  counted = 0;
  again = (struct mg_soon){.cb = count};
  ck_assert_int_eq(mg_timer_new(l, on_soon, l, &t), MCPGW_OK);
  loop_turn_for(l, 0);
  mg_timer_set(t, 0);
  while (!counted) ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK); /* there is nothing else to wake it */
  mg_timer_free(t);
  loop_free(l);
}
END_TEST

START_TEST(queues_have_a_ceiling) {
  struct mg_loop *l = loop_new();
  int i;
  counted = 0;
  for (i = 0; i < 65536; i++) ck_assert_int_eq(mg_loop_defer(l, count, NULL), MCPGW_OK);
  ck_assert_int_eq(mg_loop_defer(l, count, NULL), MCPGW_E_LIMIT);
  for (i = 0; i < 65536; i++) ck_assert_int_eq(mg_loop_post(l, count, NULL), MCPGW_OK);
  ck_assert_int_eq(mg_loop_post(l, count, NULL), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
  ck_assert_int_eq(counted, 2 * 65536);
  ck_assert_int_eq(mg_loop_defer(l, count, NULL), MCPGW_OK);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
  loop_free(l);
}
END_TEST

static void *poster(void *arg) {
  int i;
  for (i = 0; i < 2000; i++) {
    while (mg_loop_post(arg, count, NULL) != MCPGW_OK) sched_yield();
  }
  return NULL;
}

START_TEST(post_from_threads) {
  struct mg_loop *l = loop_new();
  pthread_t t[4];
  int i;
  counted = 0;
  for (i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, poster, l), 0);
  while (counted < 8000) ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  for (i = 0; i < 4; i++) pthread_join(t[i], NULL);
  ck_assert_int_eq(counted, 8000);
  loop_free(l);
}
END_TEST

static void *waker(void *arg) {
  procs_sleep_ms(30);
  mg_loop_wakeup(arg);
  return NULL;
}

START_TEST(wakeup_ends_a_wait_and_makes_the_fd_readable) {
  struct mg_loop *l = loop_new();
  pthread_t t;
  uint64_t start = procs_now_ms();
  struct pollfd p = {mg_loop_fd(l), POLLIN, 0};
  ck_assert_int_eq(pthread_create(&t, NULL, waker, l), 0);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_ONCE), MCPGW_OK);
  ck_assert_uint_ge(procs_now_ms() - start, 25);
  pthread_join(t, NULL);
  ck_assert_int_eq(poll(&p, 1, 0), 0);
  mg_loop_wakeup(l);
  ck_assert_int_eq(poll(&p, 1, 0), 1);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
  ck_assert_int_eq(poll(&p, 1, 0), 0);
  loop_free(l);
}
END_TEST

/* ---- watches ---- */

struct eye {
  struct mg_watch *watch, *other;
  int fd, calls, events, close_it;
  ssize_t got;
  int err;
};

static void on_see(void *arg, int events) {
  struct eye *e = arg;
  char buf[16];
  e->calls++;
  e->events |= events;
  if (events & MG_READ) {
    e->got = read(e->fd, buf, sizeof buf);
    e->err = e->got < 0 ? errno : 0;
  }
  if (e->close_it) {
    mg_watch_free(e->watch);
    e->watch = NULL;
    close(e->fd);
  }
  if (e->other) {
    mg_watch_free(e->other);
    e->other = NULL;
  }
}

static void see(struct mg_loop *l, struct eye *e, int fd, int events) {
  memset(e, 0, sizeof *e);
  e->fd = fd;
  ck_assert_int_eq(mg_watch_new(l, fd, on_see, e, &e->watch), MCPGW_OK);
  ck_assert_int_eq(mg_watch_set(e->watch, events), MCPGW_OK);
}

/* As a host would: poll on our one descriptor for our timeout, dispatch. */
static void host_turn(struct mg_loop *l, int most_ms) {
  int due = mg_loop_timeout_ms(l);
  struct pollfd p = {mg_loop_fd(l), POLLIN, 0};
  (void)poll(&p, 1, due >= 0 && due < most_ms ? due : most_ms);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
}

START_TEST(nested_in_a_foreign_loop) {
  struct mg_loop *l = loop_new();
  struct eye e;
  struct tick t = {NULL, 0, 0, 0};
  int fd[2], i;
  ck_assert_int_eq(pipe(fd), 0);
  see(l, &e, fd[0], MG_READ);
  for (i = 0; i < 5 && mg_loop_timeout_ms(l) == 0; i++) host_turn(l, 1000);
  ck_assert_int_eq(mg_loop_timeout_ms(l), -1);
  ck_assert_int_eq(write(fd[1], "x", 1), 1);
  host_turn(l, 2000);
  ck_assert_int_eq(e.calls, 1);
  ck_assert_int_eq((int)e.got, 1);
  ck_assert_int_eq(mg_timer_new(l, on_tick, &t, &t.timer), MCPGW_OK);
  mg_timer_set(t.timer, 30);
  uint64_t start = procs_now_ms();
  while (!t.fired && procs_now_ms() - start < 1000) host_turn(l, 5000);
  ck_assert_int_eq(t.fired, 1);
  mg_timer_free(t.timer);
  mg_watch_free(e.watch);
  close(fd[0]);
  close(fd[1]);
  loop_free(l);
}
END_TEST

START_TEST(level_triggered_and_pause) {
  struct mg_loop *l = loop_new();
  struct eye e;
  int fd[2], before;
  ck_assert_int_eq(pipe(fd), 0);
  see(l, &e, fd[1], MG_WRITE);
  loop_turn_for(l, 5);
  ck_assert_int_ge(e.calls, 2);
  ck_assert_int_eq(mg_watch_set(e.watch, 0), MCPGW_OK);
  before = e.calls;
  loop_turn_for(l, 5);
  ck_assert_int_eq(e.calls, before);
  ck_assert_int_eq(mg_watch_set(e.watch, MG_WRITE), MCPGW_OK);
  loop_turn_for(l, 5);
  ck_assert_int_gt(e.calls, before);
  ck_assert_int_eq(mg_watch_set(e.watch, 64), MCPGW_E_INVALID);
  mg_watch_free(e.watch);
  close(fd[0]);
  close(fd[1]);
  loop_free(l);
}
END_TEST

START_TEST(error_of_a_pipe_is_told_again_and_again) {
  struct mg_loop *l = loop_new();
  struct eye e;
  int fd[2];
  ck_assert_int_eq(pipe(fd), 0);
  see(l, &e, fd[1], MG_WRITE);
  loop_turn_for(l, 2);
  close(fd[0]); /* EPOLLERR on the writing end */
  e.calls = e.events = 0;
  loop_turn_for(l, 10);
  ck_assert_int_ge(e.calls, 2);
  ck_assert_int_eq(e.events, MG_WRITE | MG_HUP);
  mg_watch_free(e.watch);
  close(fd[1]);
  loop_free(l);
}
END_TEST

START_TEST(peer_gone_is_hup) {
  struct mg_loop *l = loop_new();
  struct eye e, h;
  int fd[2], other[2];
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
  see(l, &e, fd[0], MG_READ | MG_HUP);
  see(l, &h, other[0], MG_HUP); /* an idle stream: nothing else is wanted */
  loop_turn_for(l, 5);
  ck_assert_int_eq(e.calls + h.calls, 0);
  ck_assert_int_eq(shutdown(fd[1], SHUT_WR), 0);
  close(other[1]);
  loop_turn_for(l, 5);
  ck_assert_int_eq(e.events, MG_READ | MG_HUP);
  ck_assert_int_eq((int)e.got, 0);
  ck_assert_int_eq(h.events, MG_HUP);
  mg_watch_free(e.watch);
  mg_watch_free(h.watch);
  close(fd[0]);
  close(fd[1]);
  close(other[0]);
  loop_free(l);
}
END_TEST

/* The owner frees and closes at once, another descriptor takes the number, in the same turn. */
START_TEST(close_after_free_is_safe) {
  struct mg_loop *l = loop_new();
  struct eye e, f;
  int fd[2], next[2], i;
  for (i = 0; i < 50; i++) {
    ck_assert_int_eq(pipe(fd), 0);
    see(l, &e, fd[0], MG_READ);
    if (i % 2) loop_turn_for(l, 0);
    e.close_it = 1;
    ck_assert_int_eq(write(fd[1], "x", 1), 1);
    loop_turn_for(l, 1);
    ck_assert_int_eq(e.calls, 1);
    ck_assert_int_eq(pipe(next), 0);
    ck_assert_int_eq(next[0], fd[0]);
    see(l, &f, next[0], MG_READ);
    ck_assert_int_eq(write(next[1], "yy", 2), 2);
    loop_turn_for(l, 1);
    ck_assert_int_eq((int)f.got, 2);
    mg_watch_free(f.watch);
    close(next[0]); /* with no turn between free and close */
    close(next[1]);
    close(fd[1]);
  }
  loop_free(l);
}
END_TEST

START_TEST(no_callback_after_free_in_the_same_batch) {
  struct mg_loop *l = loop_new();
  struct eye a, b;
  int p[2], q[2];
  ck_assert_int_eq(pipe(p), 0);
  ck_assert_int_eq(pipe(q), 0);
  see(l, &a, p[0], MG_READ);
  see(l, &b, q[0], MG_READ);
  a.other = b.watch;
  b.other = a.watch;
  ck_assert_int_eq(write(p[1], "x", 1), 1);
  ck_assert_int_eq(write(q[1], "x", 1), 1);
  loop_turn_for(l, 5);
  ck_assert_int_eq(a.calls + b.calls, 1); /* whoever came first freed the other */
  mg_watch_free(a.calls ? a.watch : b.watch);
  close(p[0]), close(p[1]), close(q[0]), close(q[1]);
  loop_free(l);
}
END_TEST

START_TEST(one_watch_a_descriptor) {
  struct mg_loop *l = loop_new();
  struct eye e;
  struct mg_watch *second = NULL;
  int fd[2], file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  ck_assert_int_eq(pipe(fd), 0);
  see(l, &e, fd[0], MG_READ);
  ck_assert_int_eq(mg_watch_new(l, fd[0], on_see, &e, &second), MCPGW_E_EXISTS);
  ck_assert_ptr_null(second);
  ck_assert_int_eq(mg_watch_new(l, -1, on_see, &e, &second), MCPGW_E_INVALID);
  ck_assert_int_eq(mg_watch_new(l, file, on_see, &e, &second), MCPGW_E_INVALID);
  mg_watch_free(e.watch);
  close(fd[0]), close(fd[1]), close(file);
  loop_free(l);
}
END_TEST

/* ---- a polite guest ---- */

static void on_write_broken(void *arg) {
  ck_assert_int_eq((int)write(*(int *)arg, "x", 1), -1);
  ck_assert_int_eq(errno, EPIPE);
  counted++;
}

static int pipe_pending(void) {
  sigset_t set;
  ck_assert_int_eq(sigpending(&set), 0);
  return sigismember(&set, SIGPIPE);
}

START_TEST(sigpipe_of_ours_is_swallowed) {
  struct mg_loop *l = loop_new();
  int fd[2];
  sigset_t old;
  counted = 0;
  ck_assert_ptr_eq(signal(SIGPIPE, SIG_DFL) == SIG_ERR ? NULL : l, l);
  ck_assert_int_eq(pipe(fd), 0);
  close(fd[0]);
  ck_assert_int_eq(mg_loop_defer(l, on_write_broken, &fd[1]), MCPGW_OK);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK); /* would kill us */
  ck_assert_int_eq(counted, 1);
  ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &old), 0);
  ck_assert_int_eq(sigismember(&old, SIGPIPE), 0);
  ck_assert_int_eq(pipe_pending(), 0);
  close(fd[1]);
  loop_free(l);
}
END_TEST

START_TEST(sigpipe_of_the_host_is_kept) {
  struct mg_loop *l = loop_new();
  int fd[2];
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  ck_assert_int_eq(pipe(fd), 0);
  close(fd[0]);
  counted = 0;
  ck_assert_int_eq(mg_loop_defer(l, on_write_broken, &fd[1]), MCPGW_OK);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
  ck_assert_int_eq(pipe_pending(), 0); /* ours, taken away though the host blocks it */
  pthread_kill(pthread_self(), SIGPIPE);
  ck_assert_int_eq(pipe_pending(), 1);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
  ck_assert_int_eq(pipe_pending(), 1);
  ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
  ck_assert_int_eq(sigismember(&set, SIGPIPE), 1);
  close(fd[1]);
  loop_free(l);
}
END_TEST

START_TEST(no_signal_handler_is_installed) {
  struct sigaction before[65], after;
  int i;
  for (i = 1; i < 65; i++) (void)sigaction(i, NULL, &before[i]);
  struct mg_loop *l = loop_new();
  struct kid k;
  kid_sh(&k, l, 0, "exit 0", "x");
  ck_assert_int_eq(kid_wait_end(&k, 5000), 1);
  kid_done(&k);
  loop_free(l);
  for (i = 1; i < 65; i++) {
    if (sigaction(i, NULL, &after) != 0) continue;
    ck_assert_msg(after.sa_handler == before[i].sa_handler, "signal %d has a handler now", i);
  }
}
END_TEST

START_TEST(a_forked_child_may_not_turn_it) {
  struct mg_loop *l = loop_new();
  struct eye e;
  int fd[2], status;
  ck_assert_int_eq(pipe(fd), 0);
  see(l, &e, fd[0], MG_READ);
  loop_turn_for(l, 2);
  pid_t pid = fork();
  if (pid == 0) {
    int ok = mg_loop_run(l, MG_RUN_NOWAIT) == MCPGW_E_STATE && mg_loop_post(l, count, NULL) == MCPGW_E_STATE;
    mg_watch_free(e.watch); /* must not touch the epoll set it shares with us */
    mg_loop_free(l);
    _exit(ok ? 0 : 1);
  }
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_int_eq(status, 0);
  ck_assert_int_eq(write(fd[1], "x", 1), 1);
  loop_turn_for(l, 5);
  ck_assert_int_eq((int)e.got, 1);
  mg_watch_free(e.watch);
  close(fd[0]), close(fd[1]);
  loop_free(l);
}
END_TEST

static void on_run_inside(void *arg) {
  ck_assert_int_eq(mg_loop_run(arg, MG_RUN_NOWAIT), MCPGW_E_STATE);
  counted++;
}

START_TEST(no_turn_inside_a_turn) {
  struct mg_loop *l = loop_new();
  counted = 0;
  ck_assert_int_eq(mg_loop_defer(l, on_run_inside, l), MCPGW_OK);
  ck_assert_int_eq(mg_loop_run(l, MG_RUN_NOWAIT), MCPGW_OK);
  ck_assert_int_eq(counted, 1);
  loop_free(l);
}
END_TEST

START_TEST(out_of_memory) {
  loop_free(loop_new()); /* libuv makes one pipe for the process, with the first loop */
  int64_t live = mg_mem_live();
  int fds = procs_open_fds(), n, rc = MCPGW_E_NOMEM;
  for (n = 1; rc != MCPGW_OK && n < 20; n++) {
    struct mg_loop *l = NULL;
    struct mg_timer *t = NULL;
    struct mg_watch *w = NULL;
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    mg_mem_fail_after((uint64_t)n, 1);
    rc = mg_loop_new(&l);
    if (!rc) rc = mg_timer_new(l, on_tick, NULL, &t);
    if (!rc) rc = mg_watch_new(l, fd[0], on_see, NULL, &w);
    mg_mem_fail_after(0, 0);
    ck_assert(rc == MCPGW_OK || rc == MCPGW_E_NOMEM);
    mg_timer_free(t);
    mg_watch_free(w);
    mg_loop_free(l);
    close(fd[0]), close(fd[1]);
    ck_assert_int_eq(mg_mem_live(), live);
  }
  ck_assert_int_eq(rc, MCPGW_OK);
  ck_assert_int_gt(n, 3);
  ck_assert_int_eq(procs_open_fds(), fds);
}
END_TEST

Suite *loop_turn_suite(void) {
  const TTest *const tests[] = {timer_never_early,
                                timer_zero_again_is_one_a_turn,
                                timer_freed_in_its_callback,
                                now_is_mg_now,
                                defer_keeps_order_and_never_nests,
                                defer_from_a_timer_does_not_wait,
                                soon_is_once_and_can_be_taken_back,
                                soon_from_a_timer_does_not_wait,
                                queues_have_a_ceiling,
                                post_from_threads,
                                wakeup_ends_a_wait_and_makes_the_fd_readable,
                                nested_in_a_foreign_loop,
                                level_triggered_and_pause,
                                error_of_a_pipe_is_told_again_and_again,
                                peer_gone_is_hup,
                                close_after_free_is_safe,
                                no_callback_after_free_in_the_same_batch,
                                one_watch_a_descriptor,
                                sigpipe_of_ours_is_swallowed,
                                sigpipe_of_the_host_is_kept,
                                no_signal_handler_is_installed,
                                a_forked_child_may_not_turn_it,
                                no_turn_inside_a_turn,
                                out_of_memory};
  Suite *s = suite_create("loop/turn");
  TCase *c = tcase_create("turn");
  size_t i;
  tcase_set_timeout(c, 30);
  for (i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(c, tests[i]);
  suite_add_tcase(s, c);
  return s;
}
