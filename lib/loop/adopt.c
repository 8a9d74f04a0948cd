/* loop/adopt.c owns what falls to a child subreaper when a launcher was killed: processes of its command in
 * sessions of their own, which nobody else can find any more. They are ours then, and are KILLed and reaped.
 * It must only run where the host said that it starts no processes itself: what is not ours is theirs. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/child.h"
#include "loop/inside.h"

#define AGAIN_MS 20 /* the children of what was killed come next */
#define ROUNDS 250

/* Safe by number: a child's stays its own until we reap it, and only this thread reaps. */
static int end_one(struct mg_loop *l, pid_t pid) {
  if (pid <= 1 || mg_child_knows(l, pid)) return 0;
  (void)kill(pid, SIGKILL);
  (void)waitpid(pid, NULL, WNOHANG);
  return 1;
}

/* "12 34 56 ": the children of one thread; an adopted one may be given to any of ours. */
static int end_listed(struct mg_loop *l, const char *thread) {
  char name[64], buf[4096];
  ssize_t n, i;
  long pid = 0;
  int ended = 0;
  (void)snprintf(name, sizeof name, "/proc/self/task/%.20s/children", thread);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  while ((n = read(fd, buf, sizeof buf)) > 0) {
    for (i = 0; i < n; i++) {
      if (buf[i] >= '0' && buf[i] <= '9') {
        pid = pid * 10 + (buf[i] - '0');
      } else {
        ended += end_one(l, (pid_t)pid);
        pid = 0;
      }
    }
  }
  close(fd);
  return ended;
}

static int end_all(struct mg_loop *l) {
  struct dirent *e;
  int ended = 0;
  DIR *d = opendir("/proc/self/task");
  if (!d) return 0;
  while ((e = readdir(d))) {
    if (e->d_name[0] >= '1' && e->d_name[0] <= '9') ended += end_listed(l, e->d_name);
  }
  closedir(d);
  return ended;
}

static void on_due(void *arg) {
  struct mg_loop *l = arg;
  struct mg_children *c = mg_loop_children(l);
  if (!end_all(l) && c->rounds > 2) c->rounds = 2; /* once more: one may be changing hands right now */
  if (--c->rounds > 0) mg_timer_set(c->sweep, AGAIN_MS);
}

int mg_loop_adopts(struct mg_loop *l) {
  struct mg_children *c = mg_loop_children(l);
  return c->sweep ? MCPGW_OK : mg_timer_new(l, on_due, l, &c->sweep);
}

void mg_adopt_sweep(struct mg_loop *l) {
  struct mg_children *c = mg_loop_children(l);
  if (!c->sweep) return;
  c->rounds = ROUNDS;
  mg_timer_set(c->sweep, 0);
}

/* Before the loop goes: without timers, what is left in its rounds. */
void mg_adopt_finish(struct mg_loop *l) {
  struct mg_children *c = mg_loop_children(l);
  while (c->rounds > 0 && end_all(l)) {
    c->rounds--;
    (void)usleep(1000);
  }
  mg_timer_free(c->sweep);
  c->sweep = NULL;
}
