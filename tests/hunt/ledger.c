/* tests/hunt/ledger: an MCP server whose tool "effect" has an effect that can be counted: a line appended to a file.
 * Both eras, stdio or HTTP (--http PORT). What the arguments' "fault" names happens around the effect:
 *   die_before, die_after  the process ends before or after the effect, without a reply
 *   cut_before, cut_after  HTTP: the connection is closed without a byte of reply, before or after the effect
 *   cut_mid                half of the reply, then the end
 *   idle                   HTTP: the connection is closed right after the reply (keep-alive is a race)
 * Replies carry a number of their own, so that two runs of one call can be told apart. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int ledger = -1;
static atomic_uint serial;

enum { END_NORMAL, END_CUT, END_MID, END_IDLE };

static void nap_us(long us) {
  nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static void effect(const char *id) {
  char line[256];
  int n = snprintf(line, sizeof line, "%s\n", id);
  if (write(ledger, line, (size_t)n) != n) _exit(9);
}

static json_t *call(json_t *params, int http, int *end) {
  json_t *args = json_object_get(params, "arguments");
  const char *id = json_string_value(json_object_get(args, "id")), *fault = json_string_value(json_object_get(args, "fault"));
  if (!id) return NULL;
  if (!fault) fault = "";
  nap_us((long)(atomic_load(&serial) % 7) * 500);
  if (!strcmp(fault, "die_before")) _exit(7);
  if (!strcmp(fault, "cut_before")) {
    if (!http) _exit(7);
    *end = END_CUT;
    return json_null();
  }
  effect(id);
  if (!strcmp(fault, "die_after") || (!http && !strcmp(fault, "cut_after"))) _exit(7);
  if (!strcmp(fault, "cut_after")) *end = END_CUT;
  if (!strcmp(fault, "cut_mid")) *end = END_MID;
  if (!strcmp(fault, "idle")) *end = END_IDLE;
  return json_pack("{s:s,s:[{s:s,s:s+}],s:{s:s,s:i,s:i}}", "resultType", "complete", "content", "type", "text", "text", "did ", id,
                   "structuredContent", "id", id, "pid", (int)getpid(), "serial", (int)atomic_fetch_add(&serial, 1));
}

static json_t *result_of(const char *method, json_t *params, int http, int *end) {
  if (!strcmp(method, "initialize"))
    return json_pack("{s:O?,s:{s:{}},s:{s:s,s:s}}", "protocolVersion", json_object_get(params, "protocolVersion"), "capabilities", "tools",
                     "serverInfo", "name", "ledger", "version", "1");
  if (!strcmp(method, "server/discover"))
    return json_pack("{s:s,s:[s],s:{s:{}},s:i,s:s}", "resultType", "complete", "supportedVersions", "2026-07-28", "capabilities", "tools",
                     "ttlMs", 60000, "cacheScope", "public");
  if (!strcmp(method, "tools/list"))
    return json_pack("{s:s,s:[{s:s,s:{s:s}}],s:i,s:s}", "resultType", "complete", "tools", "name", "effect", "inputSchema", "type", "object",
                     "ttlMs", 60000, "cacheScope", "public");
  if (!strcmp(method, "tools/call")) return call(params, http, end);
  return json_object();
}

/* The reply to one message, or NULL: none. *end says what becomes of the connection. */
static char *answer(const char *text, size_t len, int http, int *end) {
  json_t *m = json_loadb(text, len, JSON_DECODE_ANY, NULL), *id = json_object_get(m, "id"), *result;
  const char *method = json_string_value(json_object_get(m, "method"));
  char *out = NULL;
  *end = END_NORMAL;
  if (method && id) {
    result = result_of(method, json_object_get(m, "params"), http, end);
    json_t *reply = json_pack("{s:s,s:O,s:o}", "jsonrpc", "2.0", "id", id, "result", result ? result : json_object());
    out = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
  }
  json_decref(m);
  return out;
}

static void serve_stdio(void) {
  char *line = NULL;
  size_t cap = 0;
  ssize_t n;
  while ((n = getline(&line, &cap, stdin)) > 0) {
    int end;
    char *out = answer(line, (size_t)n, 0, &end);
    if (!out) continue;
    if (end == END_MID) {
      fwrite(out, 1, strlen(out) / 2, stdout);
      fflush(stdout);
      _exit(7);
    }
    puts(out);
    fflush(stdout);
    free(out);
  }
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------ */

static int send_all(int fd, const char *p, size_t n) {
  while (n) {
    ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
    if (w <= 0) return 0;
    p += w;
    n -= (size_t)w;
  }
  return 1;
}

static int reply_http(int fd, const char *body, int end) {
  char *all = NULL;
  int n = body ? asprintf(&all, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body)
               : asprintf(&all, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
  if (end == END_MID) n /= 2;
  int ok = send_all(fd, all, (size_t)n) && end == END_NORMAL;
  free(all);
  return ok;
}

/* One request in buf; 0: the peer is gone. *have: bytes in buf. *body, *len: in buf. */
static int read_http(int fd, char *buf, size_t cap, size_t *have, char **body, size_t *len) {
  for (;;) {
    buf[*have] = 0;
    char *split = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "\r\ncontent-length:");
    if (split) {
      *len = length && length < split ? strtoul(length + 17, NULL, 10) : 0;
      *body = split + 4;
      if (*have >= (size_t)(*body - buf) + *len) return 1;
    }
    if (*have + 1 >= cap) return 0;
    ssize_t n = recv(fd, buf + *have, cap - *have - 1, 0);
    if (n <= 0) return 0;
    *have += (size_t)n;
  }
}

static void *connection(void *arg) {
  int fd = (int)(intptr_t)arg, one = 1;
  size_t have = 0, len, cap = 1 << 20;
  char *buf = malloc(cap), *body;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (read_http(fd, buf, cap, &have, &body, &len)) {
    int end, ok;
    if (strncmp(buf, "POST", 4) != 0) {
      ok = send_all(fd, "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", 38);
    } else {
      char *out = answer(body, len, 1, &end);
      ok = end != END_CUT && reply_http(fd, out, end);
      free(out);
    }
    if (!ok) break;
    size_t used = (size_t)(body - buf) + len;
    memmove(buf, buf + used, have - used);
    have -= used;
  }
  free(buf);
  close(fd);
  return NULL;
}

static int serve_http(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (struct sockaddr *)&at, sizeof at) != 0 || listen(s, 256) != 0) return 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    pthread_t t;
    int fd = accept(s, NULL, NULL);
    if (fd < 0 || pthread_create(&t, NULL, connection, (void *)(intptr_t)fd) != 0) continue;
    pthread_detach(t);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  signal(SIGXFSZ, SIG_IGN);
  ledger = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (ledger < 0) return 2;
  if (argc > 3 && !strcmp(argv[2], "--http")) return serve_http(atoi(argv[3]));
  serve_stdio();
  return 0;
}
