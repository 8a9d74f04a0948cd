/* loop/child.c owns the life of a child process: its end is seen through a pidfd, its group is ended
 * (TERM, KILL) and it is reaped, with or without an owner. It must never install a signal handler, wait
 * for a process that is not its own, or signal a group whose leader it has already reaped (the number may
 * be somebody else's by then). How it is started is spawn.c's. */
#include "loop/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/inside.h"
#include "loop/spawn.h"

/* How much longer than kill_ms we wait for the launcher, which does the killing, before we do it. */
#define LAUNCHER_GRACE_MS 3000 /* the launcher's own last resort comes after 2 s */
#define FINISH_MS 5000         /* mg_loop_free: longest wait for processes which were KILLed */
#define DRAIN_BYTES 65536      /* thrown away at a time */

enum stage { RUNNING, ENDING, TERMED, KILLED, REAPED };

struct mg_child {
  struct mg_list node; /* in mg_children.all until reaped */
  struct mg_loop *loop;
  const void *owner;
  struct mg_process process; /* the launcher, or the command itself; leads its session and group */
  int lifeline;              /* -1 without launcher, or once closed */
  struct mg_watch *watch;
  struct mg_timer *timer;
  mg_child_exit_cb cb;
  void *arg;
  uint64_t term_ms, kill_ms;
  enum stage stage;
  int launched; /* it is a launcher */
  int orphan; /* no owner: frees itself when reaped */
  int drain_fd[2];
  struct mg_watch *drain[2];
};

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void drain_done(struct mg_child *c, int i) {
  mg_watch_free(c->drain[i]);
  c->drain[i] = NULL;
  close_fd(&c->drain_fd[i]);
}

static void destroy(struct mg_child *c) {
  if (!c) return;
  mg_list_del(&c->node);
  mg_watch_free(c->watch);
  mg_timer_free(c->timer);
  drain_done(c, 0);
  drain_done(c, 1);
  close_fd(&c->process.pidfd);
  close_fd(&c->lifeline);
  mg_free(c);
}

/* ---- the end ------------------------------------------------------------------------------------- */

/* 1: reaped, *status says how. 0: it still runs. The zombie holds the group's number while the rest of
 * the group is KILLed. */
static int reap(struct mg_child *c, int *status) {
  if (!mg_process_ended(&c->process)) return 0;
  mg_process_signal_group(&c->process, SIGKILL);
  if (mg_process_reap(&c->process, status) != 0) *status = MG_CHILD_STOLEN;
  return 1;
}

static void on_exit_seen(void *arg, int events) {
  struct mg_child *c = arg;
  int status = 0;
  (void)events;
  if (!reap(c, &status)) return;
  c->stage = REAPED;
  mg_list_del(&c->node);
  mg_loop_children(c->loop)->count--;
  mg_watch_free(c->watch);
  c->watch = NULL;
  close_fd(&c->process.pidfd);
  close_fd(&c->lifeline);
  mg_timer_set(c->timer, UINT64_MAX);
  if (c->launched && (status == MG_CHILD_STOLEN || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)))
    mg_adopt_sweep(c->loop);
  if (c->orphan) destroy(c);
  else if (c->cb) c->cb(c->arg, status);
}

/* 't': TERM now, KILL kill_ms later. 'k': KILL now. Its end without a word means 't', so a gateway that
 * is killed need say nothing. CONT, for the launcher might have been stopped. 0: it cannot hear us. */
static int tell_launcher(struct mg_child *c, char what) {
  if (c->lifeline < 0 || send(c->lifeline, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) return 0;
  mg_process_signal(&c->process, SIGCONT);
  return 1;
}

static void term_group(struct mg_child *c) {
  uint64_t grace = c->kill_ms;
  c->stage = TERMED;
  if (tell_launcher(c, 't')) {
    if (grace < UINT64_MAX - LAUNCHER_GRACE_MS) grace += LAUNCHER_GRACE_MS;
  } else {
    mg_process_signal_group(&c->process, SIGTERM);
    mg_process_signal_group(&c->process, SIGCONT);
  }
  mg_timer_set(c->timer, grace);
}

static void on_due(void *arg) {
  struct mg_child *c = arg;
  if (c->stage == ENDING) {
    term_group(c);
  } else if (c->stage == TERMED) {
    mg_process_signal_group(&c->process, SIGKILL);
    c->stage = KILLED;
  }
}

void mg_child_end(struct mg_child *c) {
  if (c->stage != RUNNING) return;
  c->stage = ENDING;
  mg_timer_set(c->timer, c->term_ms);
}

static void kill_now(struct mg_child *c) {
  c->stage = TERMED;
  if (tell_launcher(c, 'k')) {
    mg_timer_set(c->timer, LAUNCHER_GRACE_MS);
    return;
  }
  mg_process_signal_group(&c->process, SIGKILL);
  c->stage = KILLED;
}

void mg_child_free(struct mg_child *c) {
  if (!c) return;
  if (c->stage == REAPED) {
    destroy(c);
    return;
  }
  c->cb = NULL;
  c->orphan = 1;
  kill_now(c);
}

/* ---- an end without owner ------------------------------------------------------------------------ */

static void drain_read(struct mg_child *c, int i) {
  char waste[DRAIN_BYTES];
  ssize_t n = read(c->drain_fd[i], waste, sizeof waste);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) drain_done(c, i);
}

static void on_drain_out(void *arg, int events) {
  (void)events;
  drain_read(arg, 0);
}

static void on_drain_err(void *arg, int events) {
  (void)events;
  drain_read(arg, 1);
}

/* Without memory for a watch the descriptor is closed instead: the child then may see EPIPE. */
static void drain_start(struct mg_child *c, int i, int fd, mg_watch_cb cb) {
  c->drain_fd[i] = fd;
  if (fd < 0) return;
  if (mg_watch_new(c->loop, fd, cb, c, &c->drain[i]) || mg_watch_set(c->drain[i], MG_READ)) drain_done(c, i);
}

void mg_child_release(struct mg_child *c, int out_fd, int err_fd) {
  drain_start(c, 0, out_fd, on_drain_out);
  drain_start(c, 1, err_fd, on_drain_err);
  if (c->stage == REAPED) {
    destroy(c);
    return;
  }
  c->cb = NULL;
  c->orphan = 1;
  mg_child_end(c);
}

/* ---- birth --------------------------------------------------------------------------------------- */

int mg_child_spawn(struct mg_loop *l, const struct mg_child_opts *o, mg_child_exit_cb cb, void *arg,
                   struct mg_child **out, int *in_fd, int *out_fd, int *err_fd, struct mg_err *err) {
  struct mg_spawned s;
  struct mg_children *all = mg_loop_children(l);
  int rc = MCPGW_E_NOMEM;
  struct mg_child *c = mg_calloc(1, sizeof *c);
  if (!c) return mg_err_set(err, rc, "out of memory starting a command");
  c->loop = l;
  c->owner = o->owner;
  c->launched = o->launcher != NULL;
  c->process.pidfd = c->lifeline = c->drain_fd[0] = c->drain_fd[1] = -1;
  c->cb = cb;
  c->arg = arg;
  c->term_ms = o->term_ms;
  c->kill_ms = o->kill_ms;
  if ((rc = mg_timer_new(l, on_due, c, &c->timer))) goto out;
  if ((rc = mg_spawn(o, &s, err))) goto out;
  c->process = s.process;
  c->lifeline = s.lifeline;
  if ((rc = mg_watch_new(l, c->process.pidfd, on_exit_seen, c, &c->watch)) ||
      (rc = mg_watch_set(c->watch, MG_READ))) {
    mg_watch_free(c->watch); /* before its fd is closed */
    c->watch = NULL;
    mg_spawn_undo(&s);
    c->process.pidfd = c->lifeline = -1;
    goto out;
  }
  mg_list_add(&all->all, &c->node);
  all->count++;
  *in_fd = s.in_fd;
  *out_fd = s.out_fd;
  *err_fd = s.err_fd;
  *out = c;
  return MCPGW_OK;
out:
  destroy(c);
  return mg_err_set(err, rc, "cannot start the command: %s", mg_rc_name(rc));
}

int mg_child_pid(const struct mg_child *c) {
  return (int)c->process.pid;
}

/* ---- all of them --------------------------------------------------------------------------------- */

int mg_child_count(struct mg_loop *l) {
  return mg_loop_children(l)->count;
}

int mg_child_knows(struct mg_loop *l, int pid) {
  struct mg_list *head = &mg_loop_children(l)->all, *at;
  for (at = head->next; at != head; at = at->next) {
    if (MG_CONTAINER(at, struct mg_child, node)->process.pid == pid) return 1;
  }
  return 0;
}

int mg_child_count_of(struct mg_loop *l, const void *owner, int *ending) {
  struct mg_list *head = &mg_loop_children(l)->all, *at;
  int n = 0;
  *ending = 0;
  for (at = head->next; at != head; at = at->next) {
    struct mg_child *c = MG_CONTAINER(at, struct mg_child, node);
    if (c->owner != owner) continue;
    n++;
    *ending += c->stage != RUNNING;
  }
  return n;
}

static int leaving(struct mg_loop *l) {
  struct mg_list *head = &mg_loop_children(l)->all, *at;
  for (at = head->next; at != head; at = at->next) {
    if (MG_CONTAINER(at, struct mg_child, node)->stage != RUNNING) return 1;
  }
  return 0;
}

/* Waits on the loop's descriptor itself: it needs no memory and no timer of its own. */
int mg_child_drain(struct mg_loop *l, uint64_t ms) {
  uint64_t start = mg_now_ms(), gone;
  while (leaving(l)) {
    if ((gone = mg_now_ms() - start) >= ms) return MCPGW_E_TIMEOUT;
    uint64_t wait = ms - gone;
    int due = mg_loop_timeout_ms(l);
    if (due >= 0 && (uint64_t)due < wait) wait = (uint64_t)due;
    struct pollfd p = {mg_loop_fd(l), POLLIN, 0};
    (void)poll(&p, 1, wait > 60000 ? 60000 : (int)wait);
    int rc = mg_loop_run(l, MG_RUN_NOWAIT);
    if (rc) return rc;
  }
  return MCPGW_OK;
}

/* KILL and reap whoever is still here. One that even KILL does not end in time (it sleeps in the kernel)
 * is left to whoever reaps for this process. A handle somebody still owns is left to that owner. */
void mg_children_finish(struct mg_loop *l) {
  struct mg_list *head = &mg_loop_children(l)->all, *at;
  for (at = head->next; at != head; at = at->next) {
    struct mg_child *c = MG_CONTAINER(at, struct mg_child, node);
    c->cb = NULL;
    kill_now(c);
  }
  (void)mg_child_drain(l, FINISH_MS);
  while ((at = mg_list_first(head))) {
    struct mg_child *c = MG_CONTAINER(at, struct mg_child, node);
    mg_process_signal_group(&c->process, SIGKILL);
    mg_list_del(&c->node);
    if (c->orphan) destroy(c);
  }
  mg_adopt_finish(l);
}
