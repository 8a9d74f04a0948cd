/* mcpgw-launch: stands between the gateway and one command, so that nothing of the command outlives it or
 * the gateway. It leads a session and a process group of its own with the command in it, adopts what the
 * command's processes leave behind (child subreaper), and holds the lifeline: a socket from the gateway.
 * When that closes, or brings 't', everything gets TERM and, -k milliseconds later, KILL; 'k' is KILL at
 * once. When the command ends, what it left behind is ended likewise, and we end as it did.
 * It never reads or writes the command's stdin, stdout and stderr, and needs nothing but libc. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef __linux__
#error "mcpgw-launch needs Linux (child subreaper, signalfd)"
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_OURS 125    /* we failed */
#define EXIT_CANNOT 126  /* the command cannot be run */
#define EXIT_MISSING 127 /* it is not there */
#define KILL_MS 2000     /* default of -k */
#define GIVE_UP_MS 2000  /* after KILL: then the whole group, ourselves included */
#define AGAIN_MS 20      /* between two rounds of KILL */
#define TERMED_MAX 256   /* adopted processes remembered as TERMed; others wait for KILL */

enum phase { RUNNING, ENDING, KILLING };

struct launch {
  int lifeline;
  uint64_t kill_ms, data_bytes, cpu_s, files;
  const char *user; /* whom the command runs as; NULL: as we do */
  const char *path; /* what to execute; NULL: argv[0] by PATH */
  char **argv;
  sigset_t mask; /* to be restored in the command */
  pid_t self, parent, command;
  int signals; /* signalfd */
  enum phase phase;
  uint64_t due_ms; /* of the next phase */
  int ended, status;
  pid_t termed[TERMED_MAX];
  size_t n_termed;
};

static uint64_t now_ms(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void complain(const char *what, const char *name, int err) {
  (void)dprintf(2, "mcpgw-launch: %s%s%s%s%s\n", what, name ? " " : "", name ? name : "", err ? ": " : "",
                err ? strerror(err) : "");
}

/* ---- the command line ---------------------------------------------------------------------------- */

static int number(const char *text, uint64_t *out) {
  char *end;
  errno = 0;
  if (text[0] < '0' || text[0] > '9') return -1;
  unsigned long long n = strtoull(text, &end, 10);
  if (errno || *end) return -1;
  *out = n;
  return 0;
}

static int usage(void) {
  complain("usage: mcpgw-launch [-f lifeline-fd] [-k kill-ms] [-d data-bytes] [-c cpu-seconds] [-n files] "
           "[-u user] [-x path] [--] command [argument ...]",
           NULL, 0);
  return -1;
}

static int options(struct launch *l, int argc, char **argv) {
  uint64_t fd;
  int c, bad = 0;
  while (!bad && (c = getopt(argc, argv, "+f:k:d:c:n:u:x:")) != -1) {
    switch (c) {
    case 'f':
      bad = number(optarg, &fd) || fd < 3 || fd > INT32_MAX;
      if (!bad) l->lifeline = (int)fd;
      break;
    case 'k':
      bad = number(optarg, &l->kill_ms);
      break;
    case 'd':
      bad = number(optarg, &l->data_bytes);
      break;
    case 'c':
      bad = number(optarg, &l->cpu_s);
      break;
    case 'n':
      bad = number(optarg, &l->files);
      break;
    case 'u':
      l->user = optarg;
      break;
    case 'x':
      l->path = optarg;
      break;
    default:
      bad = 1;
    }
  }
  l->argv = argv + optind;
  if (bad || !l->argv[0]) return usage();
  if (l->lifeline >= 0 && fcntl(l->lifeline, F_SETFD, FD_CLOEXEC) != 0) {
    complain("the lifeline is not an open descriptor", NULL, errno);
    return -1;
  }
  return 0;
}

/* ---- the command's process ----------------------------------------------------------------------- */

static int limit(int what, uint64_t soft, uint64_t hard) {
  struct rlimit r, now;
  if (!soft) return 0;
  if (getrlimit(what, &now) != 0) return -1;
  r.rlim_max = hard < now.rlim_max ? hard : now.rlim_max;
  r.rlim_cur = soft < r.rlim_max ? soft : r.rlim_max;
  return setrlimit(what, &r);
}

struct user {
  uid_t uid;
  gid_t gid;
  const struct passwd *entry; /* NULL: only the numbers are known */
};

/* A name, or "UID:GID", which need not be in the password file. */
static int find_user(const char *text, struct user *u) {
  char *end;
  unsigned long uid = strtoul(text, &end, 10), gid;
  errno = 0;
  if (end != text && *end == ':' && end[1]) {
    gid = strtoul(end + 1, &end, 10);
    if (*end || uid >= UINT32_MAX || gid >= UINT32_MAX) return -1;
    *u = (struct user){(uid_t)uid, (gid_t)gid, getpwuid((uid_t)uid)};
    return 0;
  }
  const struct passwd *p = getpwnam(text);
  if (!p) return -1;
  *u = (struct user){p->pw_uid, p->pw_gid, p};
  return 0;
}

/* Nothing of ours stays: groups, ids, and with the uid the capabilities. Then it is looked at. */
static int be_user(const struct user *u) {
  uid_t r, e, s;
  gid_t rg, eg, sg;
  if (u->entry ? initgroups(u->entry->pw_name, u->gid) != 0 : setgroups(0, NULL) != 0) return -1;
  (void)fchown(2, u->uid, u->gid); /* a pipe: it may open /dev/stderr */
  if (setresgid(u->gid, u->gid, u->gid) != 0 || setresuid(u->uid, u->uid, u->uid) != 0) return -1;
  if (getresuid(&r, &e, &s) != 0 || r != u->uid || e != u->uid || s != u->uid) return -1;
  if (getresgid(&rg, &eg, &sg) != 0 || rg != u->gid || eg != u->gid || sg != u->gid) return -1;
  return u->uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0 ? -1 : 0;
}

static int home_of(const struct passwd *p) {
  return setenv("HOME", p->pw_dir, 0) || setenv("LOGNAME", p->pw_name, 0) || setenv("USER", p->pw_name, 0) ||
                 setenv("SHELL", p->pw_shell[0] ? p->pw_shell : "/bin/sh", 0)
             ? -1
             : 0;
}

static void change_user(const char *text) {
  struct user u;
  if (geteuid() != 0) complain("cannot run as another user: that takes root", text, 0);
  else if (find_user(text, &u) != 0) complain("no such user:", text, 0);
  else if (be_user(&u) != 0 || (u.entry && home_of(u.entry) != 0)) complain("cannot become user", text, errno);
  else return;
  _exit(EXIT_OURS);
}

/* In the forked child, which has one thread and shares nothing with anybody. KILL if the launcher dies:
 * it is our parent and has one thread, so this means its process and not some thread of it. */
static void become(const struct launch *l) {
  if (l->user) change_user(l->user); /* first: it takes the death signal away */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != l->self) _exit(EXIT_OURS);
  if (limit(RLIMIT_DATA, l->data_bytes, l->data_bytes) || limit(RLIMIT_NOFILE, l->files, l->files) ||
      limit(RLIMIT_CPU, l->cpu_s, l->cpu_s + 1)) {
    complain("cannot set a limit", NULL, errno);
    _exit(EXIT_OURS);
  }
  (void)syscall(SYS_close_range, 3u, ~0u, 0u); /* before Linux 5.9 CLOEXEC has to do */
  (void)sigprocmask(SIG_SETMASK, &l->mask, NULL);
  if (l->path) (void)execv(l->path, l->argv);
  else (void)execvp(l->argv[0], l->argv);
  int err = errno;
  complain("cannot run", l->path ? l->path : l->argv[0], err);
  _exit(err == ENOENT || err == ENOTDIR ? EXIT_MISSING : EXIT_CANNOT);
}

/* ---- who is left --------------------------------------------------------------------------------- */

typedef void (*child_fn)(struct launch *l, pid_t pid);

/* "12 34 56 " : our children, the adopted ones included. Needs CONFIG_PROC_CHILDREN. */
static int each_listed(struct launch *l, child_fn fn) {
  char name[64], buf[4096];
  ssize_t n, i;
  long pid = 0;
  (void)snprintf(name, sizeof name, "/proc/self/task/%ld/children", (long)l->self);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  while ((n = read(fd, buf, sizeof buf)) > 0) {
    for (i = 0; i < n; i++) {
      if (buf[i] >= '0' && buf[i] <= '9') {
        pid = pid * 10 + (buf[i] - '0');
      } else {
        if (pid > 1) fn(l, (pid_t)pid);
        pid = 0;
      }
    }
  }
  close(fd);
  return 0;
}

/* The parent is the second field after the name, which is in parentheses and may hold anything. */
static long parent_of(const char *pid) {
  char name[64], buf[512];
  (void)snprintf(name, sizeof name, "/proc/%.20s/stat", pid);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, buf, sizeof buf - 1);
  close(fd);
  if (n <= 0) return -1;
  buf[n] = 0;
  const char *at = strrchr(buf, ')');
  return at && strlen(at) > 4 ? strtol(at + 4, NULL, 10) : -1;
}

static void each_scanned(struct launch *l, child_fn fn) {
  struct dirent *e;
  DIR *d = opendir("/proc");
  if (!d) return;
  while ((e = readdir(d))) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    if (parent_of(e->d_name) == (long)l->self) fn(l, (pid_t)strtol(e->d_name, NULL, 10));
  }
  closedir(d);
}

/* No stranger can be hit: a child's number stays its own until we reap it, and we are not reaping now. */
static void each_child(struct launch *l, child_fn fn) {
  if (each_listed(l, fn) != 0) each_scanned(l, fn);
}

static void kill_one(struct launch *l, pid_t pid) {
  (void)l;
  (void)kill(pid, SIGKILL);
}

/* Those which left the group, once each. */
static void term_one(struct launch *l, pid_t pid) {
  size_t i;
  if (getpgid(pid) == l->self || l->n_termed == TERMED_MAX) return;
  for (i = 0; i < l->n_termed; i++) {
    if (l->termed[i] == pid) return;
  }
  l->termed[l->n_termed++] = pid;
  (void)kill(pid, SIGTERM);
  (void)kill(pid, SIGCONT);
}

/* 0: nobody is left. */
static int reap(struct launch *l) {
  int status;
  for (;;) {
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0) return 1;
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return 0;
    if (pid == l->command) {
      l->ended = 1;
      l->status = status;
    }
  }
}

/* ---- the end ------------------------------------------------------------------------------------- */

/* The group is ours: our own TERM and CONT are blocked and read from the signalfd. */
static void begin_end(struct launch *l) {
  if (l->phase != RUNNING) return;
  l->phase = ENDING;
  l->due_ms = now_ms() + (l->kill_ms > UINT32_MAX ? UINT32_MAX : l->kill_ms);
  (void)kill(0, SIGTERM);
  (void)kill(0, SIGCONT);
}

static void begin_kill(struct launch *l) {
  if (l->phase == KILLING) return;
  l->phase = KILLING;
  l->due_ms = now_ms() + GIVE_UP_MS;
}

/* Each round can bring new children (a killed one's, adopted), hence again until nobody is left. */
static void step(struct launch *l) {
  if (l->phase == RUNNING && l->ended) begin_end(l);
  if (l->phase == ENDING && now_ms() >= l->due_ms) begin_kill(l);
  if (l->phase == ENDING) each_child(l, term_one);
  if (l->phase == KILLING) {
    if (now_ms() >= l->due_ms) (void)kill(0, SIGKILL); /* it forks faster than we kill: go with it */
    each_child(l, kill_one);
  }
}

static int wait_ms(const struct launch *l) {
  uint64_t now = now_ms();
  if (l->phase == RUNNING) return -1;
  if (l->phase == KILLING) return AGAIN_MS;
  uint64_t left = l->due_ms > now ? l->due_ms - now : 0;
  return left > 60000 ? 60000 : (int)left;
}

static void hear(struct launch *l) {
  char what = 0;
  ssize_t n = read(l->lifeline, &what, 1);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n == 1) {
    if (what == 'k') begin_kill(l);
    else begin_end(l);
    return;
  }
  close(l->lifeline);
  l->lifeline = -1;
  begin_end(l);
}

/* CONT is our death signal from the gateway's thread: harmless if only that thread ended, and it wakes us
 * if somebody had stopped us. A lifeline that a forked copy of the gateway holds open is then moot. */
static void read_signals(struct launch *l) {
  struct signalfd_siginfo si;
  while (read(l->signals, &si, sizeof si) == (ssize_t)sizeof si) {
    if (si.ssi_signo == SIGTERM) begin_end(l);
    if (si.ssi_signo == SIGCONT && l->lifeline >= 0 && getppid() != l->parent) begin_end(l);
  }
}

static void attend(struct launch *l) {
  while (reap(l)) {
    step(l);
    struct pollfd p[2] = {{l->signals, POLLIN, 0}, {l->lifeline, POLLIN, 0}};
    if (poll(p, 2, wait_ms(l)) <= 0) continue;
    if (p[0].revents) read_signals(l);
    if (p[1].revents) hear(l);
  }
}

/* ---- main ---------------------------------------------------------------------------------------- */

/* The ends of the command's stdio are the command's alone, or their other sides would not see it close. */
static int let_go_of_stdio(void) {
  int i, fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  for (i = 0; i < 3; i++) {
    if (dup2(fd, i) < 0) return -1;
  }
  if (fd > 2) close(fd);
  return 0;
}

static int prepare(struct launch *l) {
  sigset_t all;
  sigfillset(&all);
  l->self = getpid();
  l->parent = getppid();
  if (setsid() < 0 && getpgrp() != l->self && setpgid(0, 0) != 0) return -1;
  (void)signal(SIGCHLD, SIG_DFL);
  if (sigprocmask(SIG_BLOCK, &all, &l->mask) != 0) return -1;
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
  if (prctl(PR_SET_PDEATHSIG, SIGCONT) != 0) return -1;
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core of ours when we end by the command's signal */
  l->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
  return l->signals < 0 ? -1 : 0;
}

/* As the command ended, so do we: whoever waits for us sees its status. */
static int end_like(int status) {
  sigset_t set;
  if (!WIFSIGNALED(status)) return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_OURS;
  int sig = WTERMSIG(status);
  (void)signal(sig, SIG_DFL);
  sigemptyset(&set);
  sigaddset(&set, sig);
  (void)raise(sig);
  (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
  return 128 + sig;
}

int main(int argc, char **argv) {
  struct launch l;
  memset(&l, 0, sizeof l);
  l.lifeline = l.signals = -1;
  l.kill_ms = KILL_MS;
  if (options(&l, argc, argv) != 0) return EXIT_OURS;
  if (prepare(&l) != 0) {
    complain("cannot set up", NULL, errno);
    return EXIT_OURS;
  }
  l.command = fork();
  if (l.command == 0) become(&l);
  if (l.command < 0) {
    complain("cannot fork", NULL, errno);
    return EXIT_OURS;
  }
  if (let_go_of_stdio() != 0) begin_kill(&l);
  attend(&l);
  return end_like(l.status);
}
