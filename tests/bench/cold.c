/* cold: how long from exec to the first answer. Starts a command that prints its URL as the first line on
 * stdout, asks it to `initialize`, stops the watch and ends it with SIGTERM. It owns that child and reaps it.
 *
 *   cold [--times N] -- COMMAND [ARGUMENT...]      prints `cold_ms=…`, the median
 */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define TIMES_MAX 101

static pid_t child; /* 0: none runs */

static void kill_child(void) { /* at exit: after a fault of ours it must not stay behind */
  if (child > 0) kill(child, SIGKILL);
}

static pid_t start(char **command, int out) {
  posix_spawn_file_actions_t files;
  pid_t pid;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  int rc = posix_spawnp(&pid, command[0], &files, NULL, command, environ);
  posix_spawn_file_actions_destroy(&files);
  if (rc != 0) die("%s: %s", command[0], strerror(rc));
  return pid;
}

static void stop(void) {
  kill(child, SIGTERM);
  for (int i = 0; i < 500 && child > 0; i++) {
    if (waitpid(child, NULL, WNOHANG) == child) child = 0;
    else usleep(10000);
  }
  if (child > 0) die("it did not end within 5 s of SIGTERM");
}

static uint64_t once(char **command) {
  int pipe_fds[2];
  char line[512], session[128];
  struct url url;
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) die("pipe: %s", strerror(errno));
  uint64_t began = now_us();
  child = start(command, pipe_fds[1]);
  close(pipe_fds[1]);
  FILE *in = fdopen(pipe_fds[0], "r");
  if (in == NULL || fgets(line, sizeof line, in) == NULL) die("%s printed no URL", command[0]);
  line[strcspn(line, "\r\n")] = '\0';
  parse_url(line, &url);
  int fd = connect_to(&url);
  open_session(fd, &url, session);
  uint64_t took = now_us() - began;
  close(fd);
  stop();
  fclose(in);
  return took;
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  uint64_t took[TIMES_MAX];
  int times = (int)strtol(option(argc, argv, "times", "11"), NULL, 10), at = 1;
  while (at < argc && strcmp(argv[at], "--") != 0) at++;
  if (at + 1 >= argc || times < 1 || times > TIMES_MAX)
    die("usage: cold [--times N] -- COMMAND [ARGUMENT...]");
  atexit(kill_child);
  for (int i = 0; i < times; i++) took[i] = once(argv + at + 1);
  qsort(took, (size_t)times, sizeof *took, by_size);
  printf("cold_ms=%.1f\n", (double)took[times / 2] / 1000);
  return 0;
}
