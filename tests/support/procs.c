/* support/procs.c: see the header. Reads /proc only; kills nothing. */
#include "support/procs.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *procs_launcher(void) {
  static char path[4096];
  const char *env = getenv("MCPGW_LAUNCH");
  if (env) return env;
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
  ck_assert_int_gt((int)n, 0);
  path[n] = 0;
  char *slash = strrchr(path, '/');
  strcpy(slash, "/../../mcpgw-launch");
  ck_assert_msg(access(path, X_OK) == 0, "no launcher at %s; build it or set MCPGW_LAUNCH", path);
  return path;
}

const char *procs_mark(void) {
  static char mark[64];
  static unsigned n;
  (void)snprintf(mark, sizeof mark, "mark-%d-%u-%llu", (int)getpid(), ++n,
                 (unsigned long long)procs_now_ms());
  return mark;
}

/* The command line with its NULs as blanks; empty for zombies. */
static void command_line(const char *pid, char *out, size_t cap) {
  char name[64];
  (void)snprintf(name, sizeof name, "/proc/%.20s/cmdline", pid);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  ssize_t i, n = fd < 0 ? 0 : read(fd, out, cap - 1);
  if (fd >= 0) close(fd);
  if (n < 0) n = 0;
  for (i = 0; i < n; i++) {
    if (out[i] == 0) out[i] = ' ';
  }
  out[n] = 0;
}

int procs_with(const char *word) {
  char line[8192];
  struct dirent *e;
  int n = 0;
  DIR *d = opendir("/proc");
  ck_assert_ptr_nonnull(d);
  while ((e = readdir(d))) {
    int pid = atoi(e->d_name);
    if (!isdigit((unsigned char)e->d_name[0]) || pid == getpid() || pid == getppid()) continue;
    command_line(e->d_name, line, sizeof line);
    n += strstr(line, word) != NULL;
  }
  closedir(d);
  return n;
}

static int wait_for(const char *word, int least, int most, unsigned ms) {
  uint64_t end = procs_now_ms() + ms;
  int n;
  for (;;) {
    n = procs_with(word);
    if ((n >= least && n <= most) || procs_now_ms() >= end) return n;
    procs_sleep_ms(10);
  }
}

int procs_wait_most(const char *word, int n, unsigned ms) {
  return wait_for(word, 0, n, ms);
}

int procs_wait_least(const char *word, int n, unsigned ms) {
  return wait_for(word, n, 1 << 20, ms);
}

int procs_open_fds(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  ck_assert_ptr_nonnull(d);
  while (readdir(d)) n++;
  closedir(d);
  return n - 3; /* ".", ".." and the directory itself */
}

uint64_t procs_now_ms(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void procs_sleep_ms(unsigned ms) {
  struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
  (void)nanosleep(&t, NULL);
}
