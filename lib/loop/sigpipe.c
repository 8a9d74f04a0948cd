/* loop/sigpipe.c owns the blocking of SIGPIPE around our entries. It must never change a disposition
 * (those are the host's) and never swallow a SIGPIPE that was pending before we came. */
#include "loop/sigpipe.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

static void only_sigpipe(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGPIPE);
}

void mg_sigpipe_enter(struct mg_sigpipe *s) {
  sigset_t set, old, pending;
  only_sigpipe(&set);
  s->was_pending = 0;
  s->was_blocked = pthread_sigmask(SIG_BLOCK, &set, &old) != 0 || sigismember(&old, SIGPIPE) == 1;
  /* Unblocked, none can have been pending: the question is worth its system call only when blocked. */
  if (s->was_blocked && sigpending(&pending) == 0) s->was_pending = sigismember(&pending, SIGPIPE) == 1;
}

void mg_sigpipe_leave(const struct mg_sigpipe *s) {
  static const struct timespec none = {0, 0};
  sigset_t set;
  only_sigpipe(&set);
  if (!s->was_pending) {
    while (sigtimedwait(&set, NULL, &none) < 0 && errno == EINTR) {
    }
  }
  if (!s->was_blocked) (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
