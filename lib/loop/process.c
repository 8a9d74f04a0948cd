/* loop/process.c owns the creation of a process together with its pidfd, and what is done to it by that
 * pidfd. The child runs on memory lent by us (as with vfork and posix_spawn, which cannot give a pidfd here)
 * while our thread sleeps: it must never call into libc but for raw system calls, since libc's locks,
 * handlers, cancellation points and the sanitizers' books are the host's. Linux 5.4. */
#include "loop/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define WAIT_PIDFD ((idtype_t)3)  /* P_PIDFD */
#define TO_GROUP 4u               /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */
#define STACK_BYTES (32 * 1024)   /* of the child until it executes */
#define SIGNALS 64                /* the kernel's, libc's own two included */
#define SIGSET_BYTES (SIGNALS / 8) /* the kernel's sigset_t */
#define CLOSE_MOST 65536          /* without close_range: closed one by one up to here */
#define UNTRACED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

struct birth {
  const struct mg_process_start *o;
  int close_most;
  int failed; /* errno, written by the child */
  _Alignas(16) char stack[STACK_BYTES];
};

/* ---- in the child -------------------------------------------------------------------------------- */

UNTRACED static _Noreturn void gone(void) {
  for (;;) (void)syscall(SYS_exit_group, 127);
}

/* All dispositions, for a handler of the host's must not run on the host's memory once signals are open. */
UNTRACED static void default_signals(void) {
  char none[64] = {0}; /* a struct sigaction of the kernel's on any machine: SIG_DFL, no flags, no mask */
  int sig;
  for (sig = 1; sig <= SIGNALS; sig++) (void)syscall(SYS_rt_sigaction, sig, none, NULL, (size_t)SIGSET_BYTES);
}

UNTRACED static int place_descriptors(const struct birth *b) {
  int i, n = b->o->fd[3] >= 0 ? 4 : 3;
  for (i = 0; i < n; i++) {
    if (syscall(SYS_dup3, b->o->fd[i], i, 0) < 0) return -1;
  }
  /* The host's descriptors, which need not be CLOEXEC, are none of the child's business. */
  if (syscall(SYS_close_range, (unsigned)n, ~0u, 0u) < 0) {
    for (i = n; i < b->close_most; i++) (void)syscall(SYS_close, i);
  }
  return 0;
}

UNTRACED static int child_main(void *arg) {
  struct birth *b = arg;
  const struct mg_process_start *o = b->o;
  uint64_t none = 0;
  default_signals();
  if (syscall(SYS_setsid) >= 0 && place_descriptors(b) == 0 && (!o->cwd || syscall(SYS_chdir, o->cwd) == 0)) {
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, (size_t)SIGSET_BYTES);
    (void)syscall(SYS_execve, o->file, o->argv, o->env);
  }
  b->failed = errno;
  gone();
}

/* ---- in the parent ------------------------------------------------------------------------------- */

static int descriptors_most(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur > CLOSE_MOST) return CLOSE_MOST;
  return (int)r.rlim_cur;
}

/* No signal may reach the child before it has its own dispositions, libc's internal ones included. */
static int create(struct birth *b, struct mg_process *p) {
  uint64_t all = ~(uint64_t)0, old;
  if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, (size_t)SIGSET_BYTES) != 0) return errno;
  int pid = clone(child_main, b->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, b,
                  &p->pidfd);
  int sys = pid < 0 ? errno : 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, (size_t)SIGSET_BYTES);
  p->pid = pid;
  if (!sys && p->pidfd < 0) { /* a kernel before 5.2 takes no notice of the flag */
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return ENOSYS;
  }
  return sys;
}

int mg_process_start(const struct mg_process_start *o, struct mg_process *p) {
  struct mg_process born = {-1, -1};
  int sys, status;
  struct birth *b = mg_alloc(sizeof *b);
  if (!b) return ENOMEM;
  b->o = o;
  b->close_most = descriptors_most();
  b->failed = 0;
  sys = create(b, &born);
  if (!sys && (sys = b->failed)) {
    (void)mg_process_reap(&born, &status);
    close(born.pidfd);
  }
  mg_free(b);
  if (!sys) *p = born;
  return sys;
}

/* ---- by the pidfd -------------------------------------------------------------------------------- */

static int send_signal(const struct mg_process *p, int sig, unsigned flags) {
  return (int)syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, flags);
}

void mg_process_signal(const struct mg_process *p, int sig) {
  (void)send_signal(p, sig, 0);
}

/* Before Linux 6.9 there is only the number, which is its own while signal 0 finds even its zombie. */
void mg_process_signal_group(const struct mg_process *p, int sig) {
  if (send_signal(p, sig, TO_GROUP) == 0 || errno != EINVAL) return;
  if (send_signal(p, 0, 0) == 0) (void)kill(-p->pid, sig);
}

int mg_process_ended(const struct mg_process *p) {
  siginfo_t si;
  si.si_pid = 0;
  return waitid(WAIT_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) != 0 || si.si_pid != 0;
}

int mg_process_reap(const struct mg_process *p, int *status) {
  siginfo_t si;
  int rc;
  memset(&si, 0, sizeof si);
  while ((rc = waitid(WAIT_PIDFD, (id_t)p->pidfd, &si, WEXITED)) != 0 && errno == EINTR) {
  }
  if (rc != 0) return -1;
  *status = si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status | (si.si_code == CLD_DUMPED ? 0x80 : 0);
  return 0;
}
