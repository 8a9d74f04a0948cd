/* idle: what streams cost that say nothing. Opens many SSE streams to a gateway, weighs its process before
 * and after, looks at its CPU for a while, then drops some of them and waits until the process has closed
 * their descriptors. It owns its ends of the streams and reads nothing from them but their beginning.
 *
 *   idle URL --pid P [--streams N] [--drop N (a ninth)] [--seconds S] [--mode get|listen]
 *
 * get: a legacy session each, then its GET stream. listen: a modern subscriptions/listen each.
 * Prints `key=value …`: streams, rss_kib pss_kib (a stream), cpu_percent, dropped_ms (-1: not within 10 s).
 */
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAMS_MAX 20000
#define FIRST 200 /* streams opened before the first weighing: they pay for what is needed once */

static struct url url;
static int streams[STREAMS_MAX], legacy;

static void open_stream(int i) {
  static char request[2048], in[65536];
  char session[128];
  struct head h;
  int fd = streams[i] = connect_to(&url), n;
  size_t len = 0;
  if (legacy) {
    open_session(fd, &url, session);
    n = snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n"
                 "MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: %s\r\n\r\n",
                 url.path, url.host, url.port, session);
  } else {
    char body[512];
    int body_len = snprintf(body, sizeof body,
                            "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"subscriptions/listen\",\"params\":"
                            "{\"notifications\":{\"toolsListChanged\":true},\"_meta\":"
                            "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                            "\"io.modelcontextprotocol/clientCapabilities\":{}}}}",
                            i + 1);
    n = snprintf(request, sizeof request,
                 "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
                 "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
                 "Mcp-Method: subscriptions/listen\r\nContent-Length: %d\r\n\r\n%s",
                 url.path, url.host, url.port, body_len, body);
  }
  ask_head(fd, request, (size_t)n, in, sizeof in, &h);
  const char *type = find_header(in, &h, "content-type", &len);
  if (h.status != 200 || type == NULL || len < 17 || memcmp(type, "text/event-stream", 17) != 0)
    die("stream %d was refused: %.600s", i + 1, strstr(in, "\r\n\r\n") ? strstr(in, "\r\n\r\n") + 4 : in);
}

/* Half of them say goodbye, half vanish with a reset. */
static void drop(int i) {
  struct linger at_once = {.l_onoff = 1};
  char waste[65536];
  while (recv(streams[i], waste, sizeof waste, MSG_DONTWAIT) > 0) {
  } /* what is unread would turn FIN into RST */
  if (i % 2) setsockopt(streams[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(streams[i]);
}

/* Milliseconds until the process holds `goal` descriptors or fewer; -1: it did not happen in 10 seconds. */
static double wait_for_fds(int pid, size_t goal) {
  uint64_t began = now_us();
  while (now_us() - began < 10000000) {
    if (count_fds(pid) <= goal) return (double)(now_us() - began) / 1000;
    usleep(1000);
  }
  return -1;
}

int main(int argc, char **argv) {
  int pid = (int)strtol(option(argc, argv, "pid", "0"), NULL, 10);
  int n = (int)strtol(option(argc, argv, "streams", "9000"), NULL, 10);
  int gone = (int)strtol(option(argc, argv, "drop", "0"), NULL, 10);
  if (gone == 0) gone = n / 9;
  double seconds = strtod(option(argc, argv, "seconds", "5"), NULL);
  if (argc < 2 || argv[1][0] == '-' || pid == 0)
    die("usage: idle URL --pid P [--streams N] [--drop N] [--mode get]");
  if (n <= FIRST || n > STREAMS_MAX || gone < 1 || gone > n)
    die("%d to %d streams, and no more dropped than there are", FIRST + 1, STREAMS_MAX);
  legacy = strcmp(option(argc, argv, "mode", "get"), "get") == 0;
  parse_url(argv[1], &url);
  raise_files();

  for (int i = 0; i < FIRST; i++) open_stream(i);
  uint64_t rss = memory_kib(pid, "VmRSS"), pss = memory_kib(pid, "Pss");
  for (int i = FIRST; i < n; i++) open_stream(i);
  usleep(500000);
  double more = n - FIRST;
  double rss_each = (double)(int64_t)(memory_kib(pid, "VmRSS") - rss) / more;
  double pss_each = (double)(int64_t)(memory_kib(pid, "Pss") - pss) / more;

  uint64_t cpu = cpu_us(pid);
  usleep((useconds_t)(seconds * 1e6));
  double percent = (double)(cpu_us(pid) - cpu) / (seconds * 1e6) * 100;

  size_t held = count_fds(pid);
  for (int i = 0; i < gone; i++) drop(i);
  double took = wait_for_fds(pid, held - (size_t)gone);
  printf("streams=%d rss_kib=%.2f pss_kib=%.2f cpu_percent=%.1f dropped_ms=%.0f\n", n, rss_each, pss_each,
         percent, took);
  return 0;
}
