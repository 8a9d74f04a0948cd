/* loop/spawn.c owns the start of a process: looking up the command in the PATH it will see itself, the
 * socketpairs, the launcher's command line, and undoing it all. It must never look at our own
 * environment. The process itself is process.c's. */
#include "loop/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin" /* when the child's env names none */
#define LIFELINE_FD 3                               /* where the launcher finds it */
#define LOW_FD 10 /* child ends are kept at or above, so that dup2 to 0..3 cannot hit one of them */
#define MAX_ARGS 4096

/* Child ends (c_) close after the spawn; ours go to the caller. -1 is none. */
struct ends {
  int in[2], out[2], err[2], life[2]; /* [0] ours, [1] the child's */
};

/* ---- finding the command ------------------------------------------------------------------------- */

/* Judged from where the child will stand. */
static int runnable(const char *path, const char *cwd) {
  char full[PATH_MAX];
  struct stat st;
  if (path[0] != '/' && cwd) {
    int n = snprintf(full, sizeof full, "%s/%s", cwd, path);
    if (n < 0 || (size_t)n >= sizeof full) return 0;
    path = full;
  }
  return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static const char *path_of(const char *const *env) {
  size_t i;
  for (i = 0; env && env[i]; i++) {
    if (strncmp(env[i], "PATH=", 5) == 0) return env[i] + 5;
  }
  return DEFAULT_PATH;
}

static int put_path(char *out, size_t cap, const char *dir, size_t dir_len, const char *name) {
  int n = dir_len ? snprintf(out, cap, "%.*s/%s", (int)dir_len, dir, name) : snprintf(out, cap, "./%s", name);
  return n > 0 && (size_t)n < cap;
}

int mg_spawn_find(const char *argv0, const char *const *env, const char *cwd, char *out, size_t cap,
                  struct mg_err *err) {
  const char *path = path_of(env), *at = path;
  if (!argv0[0]) return mg_err_set(err, MCPGW_E_INVALID, "the command is empty; name a program");
  if (strchr(argv0, '/')) {
    int n = snprintf(out, cap, "%s", argv0);
    if (n > 0 && (size_t)n < cap && runnable(out, cwd)) return MCPGW_OK;
    return mg_err_set(err, MCPGW_E_NOT_FOUND, "command \"%.200s\" does not exist or is not executable",
                      argv0);
  }
  for (;;) {
    size_t len = strcspn(at, ":");
    if (len < INT_MAX && put_path(out, cap, at, len, argv0) && runnable(out, cwd)) return MCPGW_OK;
    if (!at[len]) break;
    at += len + 1;
  }
  return mg_err_set(err, MCPGW_E_NOT_FOUND, "command \"%.120s\" not found in PATH (%.300s)", argv0, path);
}

static int check_cwd(const char *cwd, struct mg_err *err) {
  struct stat st;
  if (!cwd || (stat(cwd, &st) == 0 && S_ISDIR(st.st_mode))) return MCPGW_OK;
  return mg_err_set(err, MCPGW_E_NOT_FOUND, "working directory \"%.300s\" does not exist", cwd);
}

/* ---- descriptors --------------------------------------------------------------------------------- */

static void close_pair(int fd[2]) {
  int i;
  for (i = 0; i < 2; i++) {
    if (fd[i] >= 0) close(fd[i]);
    fd[i] = -1;
  }
}

static void ends_close(struct ends *e) {
  close_pair(e->in);
  close_pair(e->out);
  close_pair(e->err);
  close_pair(e->life);
}

/* Only our end is non-blocking: the flag belongs to the end, and programs expect blocking stdio. */
static int finish_pair(int fd[2]) {
  if (fd[1] < LOW_FD) {
    int high = fcntl(fd[1], F_DUPFD_CLOEXEC, LOW_FD);
    if (high < 0) return -1;
    close(fd[1]);
    fd[1] = high;
  }
  int flags = fcntl(fd[0], F_GETFL);
  return flags < 0 ? -1 : fcntl(fd[0], F_SETFL, flags | O_NONBLOCK);
}

static int pair(int fd[2], int shut) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0) {
    fd[0] = fd[1] = -1;
    return -1;
  }
  if (shut >= 0 && shutdown(fd[0], shut) != 0) return -1;
  return finish_pair(fd);
}

static int ends_open(struct ends *e, int launcher) {
  if (pair(e->in, SHUT_RD) || pair(e->out, SHUT_WR)) return -1;
  if (pipe2(e->err, O_CLOEXEC) != 0) {
    e->err[0] = e->err[1] = -1;
    return -1;
  }
  if (finish_pair(e->err)) return -1;
  return launcher ? pair(e->life, -1) : 0;
}

/* ---- the launcher's command line ----------------------------------------------------------------- */

struct args {
  const char *v[MAX_ARGS + 16];
  size_t n;
  char kill[40], data[40], cpu[40], files[40];
};

static void option(struct args *a, char *text, size_t cap, char letter, uint64_t value) {
  if (!value) return;
  (void)snprintf(text, cap, "-%c%llu", letter, (unsigned long long)value);
  a->v[a->n++] = text;
}

static int args_make(struct args *a, const struct mg_child_opts *o, const char *path) {
  size_t i;
  a->n = 0;
  if (o->launcher) {
    a->v[a->n++] = "mcpgw-launch";
    a->v[a->n++] = "-f3";
    (void)snprintf(a->kill, sizeof a->kill, "-k%llu", (unsigned long long)o->kill_ms);
    a->v[a->n++] = a->kill;
    option(a, a->data, sizeof a->data, 'd', o->memory_bytes);
    option(a, a->cpu, sizeof a->cpu, 'c', o->cpu_s);
    option(a, a->files, sizeof a->files, 'n', o->files);
    if (o->user) {
      a->v[a->n++] = "-u";
      a->v[a->n++] = o->user;
    }
    a->v[a->n++] = "-x";
    a->v[a->n++] = path;
    a->v[a->n++] = "--";
  }
  for (i = 0; o->argv[i]; i++) {
    if (i == MAX_ARGS) return MCPGW_E_LIMIT;
    a->v[a->n++] = o->argv[i];
  }
  a->v[a->n] = NULL;
  return MCPGW_OK;
}

/* ---- the start ----------------------------------------------------------------------------------- */

static int start_failed(int sys, const char *file, struct mg_err *err) {
  int rc = sys == ENOMEM ? MCPGW_E_NOMEM : sys == EAGAIN || sys == E2BIG || sys == EMFILE || sys == ENFILE ? MCPGW_E_LIMIT : MCPGW_E_IO;
  const char *why = sys == ENOENT    ? "its interpreter is missing"
                    : sys == ENOEXEC ? "not a program: it needs a #! line"
                    : sys == EACCES  ? "permission denied"
                    : sys == EAGAIN  ? "too many processes"
                    : sys == EMFILE  ? "no descriptor left to watch it by; raise the open files limit"
                    : sys == ENOSYS  ? "Linux 5.4 or later is needed"
                    : sys == E2BIG   ? "its arguments and environment are too large"
                    : sys == ENOMEM  ? "out of memory"
                                     : "the system refused";
  return mg_err_set(err, rc, "cannot start \"%.300s\": %s (errno %d)", file, why, sys);
}

void mg_spawn_undo(struct mg_spawned *s) {
  int fds[] = {s->process.pidfd, s->lifeline, s->in_fd, s->out_fd, s->err_fd}, status;
  size_t i;
  mg_process_signal_group(&s->process, SIGKILL);
  (void)mg_process_reap(&s->process, &status);
  for (i = 0; i < sizeof fds / sizeof *fds; i++) {
    if (fds[i] >= 0) close(fds[i]);
  }
}

static int start(const struct mg_child_opts *o, const char *path, const struct args *a, struct ends *e,
                 struct mg_spawned *out, struct mg_err *err) {
  static const char *const no_env[] = {NULL};
  struct mg_process_start p = {o->launcher ? o->launcher : path,
                               a->v,
                               o->env ? o->env : no_env,
                               o->cwd,
                               {e->in[1], e->out[1], e->err[1], e->life[1]}};
  int sys = mg_process_start(&p, &out->process);
  if (sys) return start_failed(sys, p.file, err);
  out->lifeline = e->life[0];
  out->in_fd = e->in[0];
  out->out_fd = e->out[0];
  out->err_fd = e->err[0];
  e->life[0] = e->in[0] = e->out[0] = e->err[0] = -1;
  return MCPGW_OK;
}

int mg_spawn(const struct mg_child_opts *o, struct mg_spawned *out, struct mg_err *err) {
  struct ends e = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
  char path[PATH_MAX];
  int rc;
  struct args *a = mg_alloc(sizeof *a);
  if (!a) return mg_err_set(err, MCPGW_E_NOMEM, "out of memory starting a command");
  rc = MCPGW_E_INVALID;
  if (!o->argv || !o->argv[0]) goto out;
  if ((rc = check_cwd(o->cwd, err))) goto out;
  if ((rc = mg_spawn_find(o->argv[0], o->env, o->cwd, path, sizeof path, err))) goto out;
  if (o->user && !o->launcher) {
    rc = mg_err_set(err, MCPGW_E_STATE, "only the launcher can run a command as another user");
    goto out;
  }
  if (o->launcher && !runnable(o->launcher, NULL)) {
    rc = mg_err_set(err, MCPGW_E_NOT_FOUND, "launcher \"%.300s\" is not an executable file", o->launcher);
    goto out;
  }
  if ((rc = args_make(a, o, path))) goto out;
  if (ends_open(&e, o->launcher != NULL)) {
    rc = errno == EMFILE || errno == ENFILE ? MCPGW_E_LIMIT : MCPGW_E_IO;
    (void)mg_err_set(err, rc, "no descriptors for a child process (errno %d); raise the open files limit",
                     errno);
    goto out;
  }
  rc = start(o, path, a, &e, out, err);
out:
  ends_close(&e);
  mg_free(a);
  return rc;
}
