/* support/scratch: directories of tests. Removes nothing but what mkdtemp has made here. */
#include "support/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char dir[256];

const char *scratch(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(dir, sizeof dir, "%s/mcpgw-test-XXXXXX", tmp ? tmp : "/tmp");
  return mkdtemp(dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
  (void)st, (void)type, (void)at;
  return remove(path);
}

void scratch_done(void) {
  if (strstr(dir, "/mcpgw-test-")) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  dir[0] = '\0';
}

void nap(unsigned ms) {
  nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}
