/* base/clock: the one place where time and chance enter. Owns the test hooks; must never be called by
 * lib/core, which gets time as a parameter. Hooks are for single-threaded tests and are not locked. */
#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "mcpgw/types.h"

static uint64_t (*hook_now_us)(void);
static uint64_t (*hook_unix_ms)(void);
static int (*hook_random)(void *, size_t);

static uint64_t read_us(clockid_t which) {
  struct timespec ts = {0};
  clock_gettime(which, &ts);
  return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t mg_now_us(void) {
  return hook_now_us ? hook_now_us() : read_us(CLOCK_MONOTONIC);
}

uint64_t mg_now_ms(void) {
  return mg_now_us() / 1000u;
}

uint64_t mg_unix_ms(void) {
  return hook_unix_ms ? hook_unix_ms() : read_us(CLOCK_REALTIME) / 1000u;
}

int mg_random(void *out, size_t len) {
  if (hook_random) return hook_random(out, len);
  for (char *p = out; len > 0;) {
    ssize_t n = getrandom(p, len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return MCPGW_E_IO;
    p += n;
    len -= (size_t)n;
  }
  return MCPGW_OK;
}

uint64_t mg_jitter(uint64_t max) {
  uint64_t r;
  if (max == 0) return 0;
  if (mg_random(&r, sizeof r) != MCPGW_OK) return max / 2; /* a backoff without chance still backs off */
  return max == UINT64_MAX ? r : r % (max + 1);
}

void mg_clock_hooks(uint64_t (*now_us)(void), uint64_t (*unix_ms)(void), int (*random)(void *, size_t)) {
  hook_now_us = now_us;
  hook_unix_ms = unix_ms;
  hook_random = random;
}
