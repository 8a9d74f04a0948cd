/* bench/util: see util.h. Owns nothing but what its callers pass in. Must never be measured itself: what is
 * called per message here runs on the load's core, not on the proxy's. */
#include "util.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("bench: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(2);
}

uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void raise_files(void) {
  struct rlimit l;
  if (getrlimit(RLIMIT_NOFILE, &l) != 0) return;
  l.rlim_cur = l.rlim_max;
  setrlimit(RLIMIT_NOFILE, &l);
}

const char *option(int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i++)
    if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) return argv[i + 1];
  return otherwise;
}

/* ---- sockets ------------------------------------------------------------------------------------ */

void set_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void without_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int listen_on(int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
  socklen_t len = sizeof a;
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0)
    die("cannot listen on port %d: %s", *port, strerror(errno));
  getsockname(fd, (struct sockaddr *)&a, &len);
  *port = ntohs(a.sin_port);
  return fd;
}

int accept_one(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) without_delay(fd);
  else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) die("accept: %s", strerror(errno));
  return fd;
}

void parse_url(const char *text, struct url *u) {
  u->path[0] = '/', u->path[1] = '\0';
  if (sscanf(text, "http://%63[0-9.]:%d%191s", u->host, &u->port, u->path) < 2)
    die("\"%s\" is not like http://127.0.0.1:8808/mcp", text);
}

int connect_to(const struct url *u) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)u->port)};
  struct timeval limit = {.tv_sec = 10};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || inet_pton(AF_INET, u->host, &a.sin_addr) != 1) die("socket: %s", strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) die("%s:%d: %s", u->host, u->port, strerror(errno));
  without_delay(fd);
  return fd;
}

/* ---- messages ----------------------------------------------------------------------------------- */

const char *find_header(const char *p, const struct head *h, const char *name, size_t *len) {
  size_t n = strlen(name);
  const char *end = p + h->len, *line = memchr(p, '\n', h->len);
  while (line != NULL && ++line + n < end) {
    const char *eol = memchr(line, '\n', (size_t)(end - line));
    if (eol == NULL) return NULL;
    if (line[n] == ':' && strncasecmp(line, name, n) == 0) {
      const char *from = line + n + 1;
      while (*from == ' ' || *from == '\t') from++;
      while (eol > from && (eol[-1] == '\r' || eol[-1] == ' ')) eol--;
      *len = (size_t)(eol - from);
      return from;
    }
    line = eol;
  }
  return NULL;
}

int parse_head(const char *p, size_t n, struct head *h) {
  const char *end = memmem(p, n, "\r\n\r\n", 4), *value;
  size_t len;
  if (end == NULL) return 0;
  *h = (struct head){.len = (size_t)(end - p) + 4};
  if (n > 12 && memcmp(p, "HTTP/1.", 7) == 0) h->status = (int)strtol(p + 9, NULL, 10);
  if ((value = find_header(p, h, "content-length", &len)) != NULL) h->body = strtoul(value, NULL, 10);
  value = find_header(p, h, "transfer-encoding", &len);
  h->chunked = value != NULL && len == 7 && strncasecmp(value, "chunked", 7) == 0;
  return 1;
}

const char *find_key(const char *p, size_t n, const char *key) {
  char quoted[128];
  int len = snprintf(quoted, sizeof quoted, "\"%s\"", key);
  const char *end = p + n, *at = memmem(p, n, quoted, (size_t)len);
  if (at == NULL) return NULL;
  for (at += len; at < end && (*at == ' ' || *at == ':'); at++) {
  }
  return at < end ? at : NULL;
}

static void send_all(int fd, const char *p, size_t len) {
  while (len > 0) {
    ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
    if (n <= 0) die("send: %s", strerror(errno));
    p += n, len -= (size_t)n;
  }
}

/* Reads until the head is whole; returns the bytes that are in buf then. */
static size_t read_head(int fd, char *buf, size_t room, struct head *h) {
  size_t got = 0;
  do {
    ssize_t n = recv(fd, buf + got, room - 1 - got, 0);
    if (n <= 0) die("no answer: %s", n == 0 ? "the connection was closed" : strerror(errno));
    buf[got += (size_t)n] = '\0';
  } while (!parse_head(buf, got, h));
  return got;
}

void ask_head(int fd, const char *request, size_t len, char *buf, size_t room, struct head *h) {
  send_all(fd, request, len);
  read_head(fd, buf, room, h);
}

const char *ask(int fd, const char *request, size_t len, char *buf, size_t room, struct head *h) {
  send_all(fd, request, len);
  size_t got = read_head(fd, buf, room, h);
  if (h->chunked || h->len + h->body >= room) die("an answer of another shape was expected: %.300s", buf);
  while (got < h->len + h->body) {
    ssize_t n = recv(fd, buf + got, room - 1 - got, 0);
    if (n <= 0) die("half an answer: %s", n == 0 ? "the connection was closed" : strerror(errno));
    buf[got += (size_t)n] = '\0';
  }
  return buf + h->len;
}

/* One POST of a legacy client. */
static void post(int fd, const struct url *u, const char *session, const char *body, char *buf, size_t room,
                 struct head *h) {
  char request[2048];
  int len = snprintf(request, sizeof request,
                     "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
                     "Accept: application/json, text/event-stream\r\n%s%s%sContent-Length: %zu\r\n\r\n%s",
                     u->path, u->host, u->port,
                     *session ? "MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: " : "", session,
                     *session ? "\r\n" : "", strlen(body), body);
  ask(fd, request, (size_t)len, buf, room, h);
}

void open_session(int fd, const struct url *u, char session[128]) {
  static char buf[65536];
  struct head h;
  size_t len = 0;
  post(fd, u, "",
       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-"
       "25\","
       "\"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}",
       buf, sizeof buf, &h);
  if (h.status != 200) die("initialize: HTTP %d: %.300s", h.status, buf + h.len);
  const char *id = find_header(buf, &h, "mcp-session-id", &len);
  snprintf(session, 128, "%.*s", id ? (int)len : 0, id ? id : "");
  post(fd, u, session, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", buf, sizeof buf, &h);
  if (h.status != 202) die("notifications/initialized: HTTP %d: %.300s", h.status, buf + h.len);
}

/* ---- a process ---------------------------------------------------------------------------------- */

static size_t read_proc(int pid, const char *name, char *buf, size_t room) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, buf, room - 1);
  if (n < 0) die("%s: %s", path, strerror(errno));
  close(fd);
  buf[n] = '\0';
  return (size_t)n;
}

/* All its threads, to the nanosecond: the ticks of /proc/P/stat are too coarse for short rounds. */
uint64_t cpu_us(int pid) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) die("no CPU clock of process %d", pid);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t memory_kib(int pid, const char *field) {
  char buf[8192], label[32];
  snprintf(label, sizeof label, "\n%s:", field);
  read_proc(pid, strcmp(field, "Pss") == 0 ? "smaps_rollup" : "status", buf, sizeof buf);
  const char *at = strstr(buf, label);
  if (at == NULL) die("no %s of process %d", field, pid);
  return strtoull(at + strlen(label), NULL, 10);
}

size_t count_fds(int pid) {
  char path[64];
  size_t n = 0;
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *d = opendir(path);
  if (d == NULL) die("%s: %s", path, strerror(errno));
  while (readdir(d) != NULL) n++;
  closedir(d);
  return n - 2;
}
