/* loop/process: one process, known by its pidfd. A number can change hands as soon as a process has been
 * reaped, and a host that ignores SIGCHLD (or waits for any child) reaps behind our back; the pidfd, which
 * comes with the process, stays ours. Only spawn.c and child.c include it. */
#ifndef MG_LOOP_PROCESS_H
#define MG_LOOP_PROCESS_H
#include <sys/types.h>

struct mg_process {
  pid_t pid;
  int pidfd; /* CLOEXEC; readable once it has ended */
};
struct mg_process_start {
  const char *file; /* what to execute; a path */
  const char *const *argv, *const *env;
  const char *cwd; /* NULL: ours */
  int fd[4];       /* become its 0..3, each at 4 or above; fd[3] -1: none. It has no other descriptor. */
};
/* The new process leads a session and a group, with no signal blocked or ignored. 0, or the errno of what
 * failed, the execution included. On success p->pidfd is OWNED by the caller. */
int mg_process_start(const struct mg_process_start *o, struct mg_process *p);
/* To the process alone, or to its whole group, which may outlive it. Never to a stranger. */
void mg_process_signal(const struct mg_process *p, int sig);
void mg_process_signal_group(const struct mg_process *p, int sig);
/* Its zombie, which keeps its number from being given away, stays. 1: it has ended (or was reaped). */
int mg_process_ended(const struct mg_process *p);
/* Waits for its end if need be. 0 and *status as of waitpid; -1: somebody else has reaped it. */
int mg_process_reap(const struct mg_process *p, int *status);
#endif
