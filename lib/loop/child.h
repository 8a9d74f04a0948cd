/* loop/child: child processes. Each is started under the launcher (see cmd/mcpgw-launch) when one is
 * known, else directly with posix_spawn. stdin and stdout are one socketpair each (so writing never
 * raises SIGPIPE), stderr a pipe. The end is seen through a pidfd; no signal handler is installed. */
#ifndef MG_LOOP_CHILD_H
#define MG_LOOP_CHILD_H
#include "loop/loop.h"

struct mg_child_opts {
  const char *const *argv;             /* NULL-terminated; argv[0] is looked up in the PATH of env */
  const char *const *env;              /* NULL-terminated NAME=value, exactly what the child gets */
  const char *cwd;                     /* NULL: ours */
  const char *launcher;                /* absolute path of mcpgw-launch; NULL: spawn directly */
  uint64_t term_ms;                    /* after stdin was closed: TERM after this long … */
  uint64_t kill_ms;                    /* … and KILL this long after TERM */
  uint64_t memory_bytes, cpu_s, files; /* rlimits, 0 = inherit (launcher only); memory: RLIMIT_DATA */
  const char *user;                    /* who it runs as, a name or UID:GID (launcher and root only); NULL: us */
  const void *owner;                   /* for mg_child_count_of; never followed */
};
struct mg_child;
/* Called once, when the process has ended and been reaped. status as of waitpid; MG_CHILD_STOLEN when
 * the host reaped it before us (it waits for any child, or ignores SIGCHLD). What is left of its process
 * group has been KILLed. After it the child handle is still the caller's to free. */
#define MG_CHILD_STOLEN (-1)
typedef void (*mg_child_exit_cb)(void *arg, int status);
/* fds: *in_fd to write to its stdin, *out_fd its stdout, *err_fd its stderr: non-blocking, CLOEXEC,
 * OWNED by the caller. On failure err says which command was not found in which PATH. */
int mg_child_spawn(struct mg_loop *l, const struct mg_child_opts *o, mg_child_exit_cb cb, void *arg,
                   struct mg_child **out, int *in_fd, int *out_fd, int *err_fd, struct mg_err *err);
/* This process is a child subreaper (prctl) and has no children but those of this loop: what a launcher that
 * was killed leaves behind is KILLed and reaped too. */
int mg_loop_adopts(struct mg_loop *l);
int mg_child_pid(const struct mg_child *c);
/* Starts the graceful end; the caller has closed in_fd. Idempotent. The exit callback still comes. */
void mg_child_end(struct mg_child *c);
/* KILLs the whole group if it still runs, and frees; the process is reaped in the background by the loop. No
 * callback after. */
void mg_child_free(struct mg_child *c);
/* The graceful end without an owner: mg_child_end, what the child still writes is read and thrown away
 * (so that it can finish in peace), then it is reaped and freed. The caller has closed in_fd; out_fd and
 * err_fd (-1: none) are OWNED by the child from here and not watched by anybody. No callback after. */
void mg_child_release(struct mg_child *c, int out_fd, int err_fd);
/* How many processes spawned by this loop have not been reaped yet. */
int mg_child_count(struct mg_loop *l);
/* The same of one owner; *ending gets how many of them are on their way out. */
int mg_child_count_of(struct mg_loop *l, const void *owner, int *ending);
/* Waits up to ms for all freed, released or ending children to be reaped (graceful stop of the gateway),
 * turning the loop: not from a callback. MCPGW_E_TIMEOUT: some are left. mg_loop_free KILLs those. */
int mg_child_drain(struct mg_loop *l, uint64_t ms);
#endif
