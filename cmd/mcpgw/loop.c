/* loop.c owns the program's signals and its one poll: the gateway is nested in it by its descriptor and
 * time-out. The handlers must never do more than count and wake. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define MORE_MAX 4
#define FULL_MS 20 /* how late the gateway's timers may be while nobody takes its events */

static volatile sig_atomic_t interrupts, hangups;
static int hup_reloads, had_terminal;
static int wake[2] = {-1, -1};
static mcpgw_gateway *volatile waiting; /* to be woken by a signal; NULL: there is none yet, or no more */

static void on_signal(int sig) {
  int saved = errno;
  if (sig == SIGHUP && hup_reloads) hangups = 1;
  else if (interrupts < 1000) interrupts = interrupts + 1;
  if (write(wake[1], "", 1) < 0) errno = 0; /* full: it is awake already */
  if (waiting) mcpgw_gateway_wakeup(waiting);
  errno = saved;
}

static void on_pipe(int sig) {
  (void)sig;
}

/* SIGPIPE gets a handler and is not ignored: what is ignored stays so in the children. HUP stays as nohup(1)
 * wants it. */
int loop_signals(void) {
  static const int counted[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction sa, before;
  memset(&sa, 0, sizeof sa);
  sigemptyset(&sa.sa_mask);
  sa.sa_flags = SA_RESTART;
  if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0)
    return say_fail(EXIT_IO, "cannot make a pipe: %s", strerror(errno));
  sa.sa_handler = on_signal;
  for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
    int kept = counted[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
    if (!kept) (void)sigaction(counted[i], &sa, NULL);
  }
  sa.sa_handler = on_pipe;
  (void)sigaction(SIGPIPE, &sa, NULL);
  return EXIT_OK;
}

void loop_wakes(mcpgw_gateway *gw) {
  waiting = gw;
}

unsigned loop_interrupts(void) {
  return (unsigned)interrupts;
}

static int has_terminal(void) {
  return isatty(STDIN_FILENO) || isatty(STDERR_FILENO);
}

void loop_hup_reloads(void) {
  hup_reloads = 1;
  had_terminal = has_terminal();
}

/* A terminal that is closed sends the same signal: then there is nobody left to serve. */
int loop_reload_wanted(void) {
  if (!hangups) return 0;
  hangups = 0;
  if (!had_terminal || has_terminal()) return 1;
  interrupts = 1;
  return 0;
}

static int shorter(int a, int b) {
  if (a < 0) return b;
  return b >= 0 && b < a ? b : a;
}

int loop_turn(mcpgw_gateway *gw, struct pollfd *more, nfds_t n_more, int timeout_ms) {
  if (n_more == 0) return mcpgw_gateway_wait(gw, timeout_ms); /* a poll less a turn */
  return loop_turn_full(gw, more, n_more, timeout_ms, 0);
}

int loop_turn_full(mcpgw_gateway *gw, struct pollfd *more, nfds_t n_more, int timeout_ms, int full) {
  struct pollfd fds[2 + MORE_MAX] = {{wake[0], POLLIN, 0}, {mcpgw_gateway_fd(gw), POLLIN, 0}};
  char drain[64];
  if (n_more > MORE_MAX) return MCPGW_E_INVALID;
  for (nfds_t i = 0; i < n_more; i++) fds[2 + i] = more[i];
  int wait = mcpgw_gateway_timeout_ms(gw);
  if (full && wait >= 0 && wait < FULL_MS) wait = FULL_MS;
  int n = poll(fds, 2 + n_more, shorter(wait, timeout_ms));
  if (n < 0 && errno != EINTR) return MCPGW_E_IO;
  for (nfds_t i = 0; i < n_more; i++) more[i].revents = n > 0 ? fds[2 + i].revents : 0;
  if (n > 0 && fds[0].revents)
    while (read(wake[0], drain, sizeof drain) > 0) {
    }
  return mcpgw_gateway_dispatch(gw);
}

/* The library keeps the deadline; ours is for the case that it does not. */
void loop_end(mcpgw_gateway *gw, uint64_t grace_ms) {
  uint64_t until = clock_ms() + grace_ms + 3000;
  unsigned before = loop_interrupts();
  mcpgw_event *e;
  if (mcpgw_gateway_stop(gw, grace_ms) != MCPGW_OK) return;
  while (!mcpgw_gateway_stopped(gw) && clock_ms() < until && loop_interrupts() == before) {
    while (mcpgw_gateway_next_event(gw, &e) == MCPGW_OK) mcpgw_event_free(e);
    int rc = loop_turn(gw, NULL, 0, 100);
    if (rc != MCPGW_OK && rc != MCPGW_E_AGAIN) return;
  }
}
