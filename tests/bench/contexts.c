/* contexts: what a context costs that has no link. It opens many legacy sessions at a gateway whose servers are
 * out of reach and weighs its process; and it times a registry of <mcpgw/session.h> of its own. It owns both
 * ends of what it measures but the gateway's process.
 *
 *   contexts URL --pid P [--contexts N]
 *
 * Prints `key=value …`: contexts, rss_kib (a context, at the gateway), heap_bytes (a session, in a registry of
 * N), find_ns (find by id with the principal compared, and touch; in random order), create_us, end_us.
 */
#include "util.h"

#include <malloc.h>
#include <mcpgw/session.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONTEXTS_MAX = 20000, FIRST = 500, FINDS = 2000000, PRINCIPALS = 100 };

static char ids[CONTEXTS_MAX][MCPGW_SESSION_ID_LEN + 1];
static mcpgw_credential who[PRINCIPALS];
static char names[PRINCIPALS][24];

static double weigh(const char *text, int pid, int n) {
  struct url url;
  char session[128];
  parse_url(text, &url);
  int fd = connect_to(&url);
  for (int i = 0; i < FIRST; i++) open_session(fd, &url, session); /* they pay for what is needed once */
  uint64_t before = memory_kib(pid, "VmRSS");
  for (int i = 0; i < n; i++) open_session(fd, &url, session);
  if (session[0] == '\0') die("the gateway gave no session");
  double kib = (double)(memory_kib(pid, "VmRSS") - before) / n;
  close(fd);
  return kib;
}

static mcpgw_sessions *fill(int n, double *create_us) {
  mcpgw_sessions *all = NULL;
  mcpgw_session *one;
  if (mcpgw_sessions_new(&all, NULL) != MCPGW_OK) die("no registry");
  uint64_t from = now_us();
  for (int i = 0; i < n; i++) {
    if (mcpgw_session_create(&one, all, &who[i % PRINCIPALS], 1) != MCPGW_OK) die("no session");
    mcpgw_session_confirm(one, 1);
    memcpy(ids[i], mcpgw_session_id(one), sizeof ids[i]);
  }
  *create_us = (double)(now_us() - from) / n;
  return all;
}

static size_t in_use(void) {
  struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

static double find_ns(mcpgw_sessions *all, int n) {
  mcpgw_session *one;
  unsigned at = 1;
  uint64_t from = now_us();
  for (int i = 0; i < FINDS; i++) {
    at = at * 1664525u + 1013904223u;
    int k = (int)((at >> 8) % (unsigned)n);
    if (mcpgw_session_find(&one, all, ids[k], MCPGW_SESSION_ID_LEN, &who[k % PRINCIPALS], 2 + (uint64_t)i / 1000) != MCPGW_OK)
      die("session %d is gone", k);
  }
  return (double)(now_us() - from) * 1000 / FINDS;
}

int main(int argc, char **argv) {
  int pid = (int)strtol(option(argc, argv, "pid", "0"), NULL, 10);
  int n = (int)strtol(option(argc, argv, "contexts", "10000"), NULL, 10);
  double create_us = 0;
  if (argc < 2 || pid <= 0 || n < 1 || n > CONTEXTS_MAX) die("usage: contexts URL --pid P [--contexts N]");
  for (int i = 0; i < PRINCIPALS; i++) {
    mcpgw_credential_init(&who[i]);
    who[i].principal = names[i];
    who[i].principal_len = (size_t)snprintf(names[i], sizeof names[i], "https://idp|user-%d", i);
  }
  double rss_kib = weigh(argv[1], pid, n);
  size_t heap = in_use();
  mcpgw_sessions *all = fill(n, &create_us);
  size_t bytes = (in_use() - heap) / (size_t)n;
  double ns = find_ns(all, n);
  uint64_t from = now_us();
  mcpgw_sessions_free(all);
  printf("contexts=%d rss_kib=%.2f heap_bytes=%zu find_ns=%.0f create_us=%.2f end_us=%.2f\n", n, rss_kib, bytes, ns,
         create_us, (double)(now_us() - from) / n);
  return 0;
}
