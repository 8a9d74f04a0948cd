/* upstream: the fastest MCP server that will do as the far end of a bench: one thread, epoll, no JSON parser.
 * It owns its connections' input buffers and answers each request with one write. It trusts its peers: never
 * let anything but the bench talk to it.
 *
 *   upstream [--era legacy|modern|dual] [--port N]      prints its URL; ends when stdin does
 */
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES 16384 /* the longest request */
#define TEXT_BYTES 900 /* of the tool's answer, which makes the whole reply about 1 KiB */

struct conn {
  int fd;
  size_t held;
  char in[IN_BYTES];
};

/* One request; all pointers reach into the connection's buffer. */
struct request {
  const char *head, *body;
  size_t body_len;
  const char *id; /* NULL: a notification */
  int id_len;
  const char *method;
  int modern;
};

static int legacy_served = 1, modern_served = 1;
static char text[TEXT_BYTES + 1];

/* ---- answers ------------------------------------------------------------------------------------ */

static void send_response(struct conn *c, int status, const char *headers, const char *body, size_t len) {
  char out[8192];
  int n = snprintf(out, sizeof out, "HTTP/1.1 %d %s\r\n%sContent-Length: %zu\r\n\r\n", status,
                   status < 300 ? "OK" : "Refused", headers, len);
  memcpy(out + n, body, len);
  size_t all = (size_t)n + len;
  if (send(c->fd, out, all, MSG_NOSIGNAL) != (ssize_t)all) shutdown(c->fd, SHUT_RDWR); /* too slow a reader */
}

static void answer(struct conn *c, const struct request *rq, int status, const char *headers,
                   const char *member) {
  static char body[4096];
  char all[256];
  int n = snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s}", rq->id_len, rq->id, member);
  snprintf(all, sizeof all, "Content-Type: application/json\r\n%s", headers);
  send_response(c, status, all, body, (size_t)n);
}

/* members: those of the result, each followed by a comma. */
static void answer_result(struct conn *c, const struct request *rq, const char *headers,
                          const char *members) {
  char member[3072];
  snprintf(member, sizeof member, "\"result\":{%s%s}", members,
           rq->modern ? "\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":"
                        "{\"name\":\"upstream\",\"version\":\"1\"}}"
                      : "\"_meta\":{}");
  answer(c, rq, 200, headers, member);
}

static void answer_error(struct conn *c, const struct request *rq, int status, int code, const char *more) {
  char member[512];
  snprintf(member, sizeof member, "\"error\":{\"code\":%d,\"message\":\"refused\"%s}", code, more);
  answer(c, rq, status, "", member);
}

static void initialize(struct conn *c, const struct request *rq) {
  static unsigned sessions;
  const char *asked = find_key(rq->body, rq->body_len, "protocolVersion");
  char session[64], members[256];
  if (!legacy_served) {
    answer_error(c, rq, 400, -32022,
                 ",\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"2025-11-25\"}");
    return;
  }
  snprintf(session, sizeof session, "Mcp-Session-Id: upstream-%08x\r\n", ++sessions);
  snprintf(members, sizeof members,
           "\"protocolVersion\":\"%.10s\",\"capabilities\":{\"tools\":{}},\"serverInfo\":"
           "{\"name\":\"upstream\",\"version\":\"1\"},",
           asked ? asked + 1 : "2025-11-25");
  answer_result(c, rq, session, members);
}

static void discover(struct conn *c, const struct request *rq) {
  if (!modern_served) answer_error(c, rq, 400, -32000, "");
  else
    answer_result(c, rq, "",
                  "\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},"
                  "\"ttlMs\":3600000,\"cacheScope\":\"public\",");
}

static void list_tools(struct conn *c, const struct request *rq) {
  answer_result(c, rq, "",
                rq->modern ? "\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}],"
                             "\"ttlMs\":3600000,\"cacheScope\":\"public\","
                           : "\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}],");
}

static void call_tool(struct conn *c, const struct request *rq) {
  char members[1024];
  snprintf(members, sizeof members, "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],", text);
  answer_result(c, rq, "", members);
}

static void ping(struct conn *c, const struct request *rq) {
  answer_result(c, rq, "", "");
}

/* A stream that says it is there and then nothing more. */
static void hold_stream(struct conn *c, const struct request *rq) {
  char event[512], out[1024];
  int n = snprintf(
      event, sizeof event,
      "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":"
      "{\"notifications\":{},\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%.*s}}}\n\n",
      rq->id_len, rq->id);
  n = snprintf(
      out, sizeof out,
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
      (unsigned)n, event);
  if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n) shutdown(c->fd, SHUT_RDWR);
}

static const struct {
  const char *name;
  void (*run)(struct conn *c, const struct request *rq);
} METHODS[] = {{"tools/call", call_tool},
               {"tools/list", list_tools},
               {"initialize", initialize},
               {"server/discover", discover},
               {"subscriptions/listen", hold_stream},
               {"ping", ping}};

/* ---- requests ----------------------------------------------------------------------------------- */

static void on_post(struct conn *c, struct request *rq) {
  const char *end = rq->body + rq->body_len;
  rq->method = find_key(rq->body, rq->body_len, "method");
  rq->id = find_key(rq->body, rq->body_len, "id");
  rq->modern =
      modern_served && find_key(rq->body, rq->body_len, "io.modelcontextprotocol/protocolVersion") != NULL;
  if (rq->id == NULL || rq->method == NULL) {
    send_response(c, 202, "", "", 0);
    return;
  }
  const char *stop = *rq->id == '"' ? memchr(rq->id + 1, '"', (size_t)(end - rq->id - 1)) : NULL;
  rq->id_len = stop ? (int)(stop + 1 - rq->id) : (int)strspn(rq->id, "-0123456789");
  for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
    size_t n = strlen(METHODS[i].name);
    if ((size_t)(end - rq->method) < n + 2 || rq->method[n + 1] != '"') continue;
    if (memcmp(rq->method + 1, METHODS[i].name, n) != 0) continue;
    METHODS[i].run(c, rq);
    return;
  }
  answer_error(c, rq, rq->modern ? 404 : 200, -32601, "");
}

static void on_request(struct conn *c, const char *p, const struct head *h) {
  struct request rq = {.head = p, .body = p + h->len, .body_len = h->body};
  if (memcmp(p, "POST ", 5) == 0) on_post(c, &rq);
  else if (memcmp(p, "DELETE ", 7) == 0) send_response(c, 200, "", "", 0);
  else send_response(c, 405, "Allow: POST, DELETE\r\n", "", 0);
}

/* Returns 0 when the connection is over. */
static int on_readable(struct conn *c) {
  ssize_t n = recv(c->fd, c->in + c->held, IN_BYTES - 1 - c->held, 0);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) return 0;
  c->held += (size_t)n;
  c->in[c->held] = '\0';
  size_t done = 0;
  struct head h;
  while (parse_head(c->in + done, c->held - done, &h)) {
    if (h.chunked || h.len + h.body >= IN_BYTES) return 0;
    if (c->held - done < h.len + h.body) break;
    on_request(c, c->in + done, &h);
    done += h.len + h.body;
  }
  c->held -= done;
  if (c->held > 0) memmove(c->in, c->in + done, c->held);
  return c->held < IN_BYTES - 1;
}

static void watch(int epoll, int fd, void *ptr) {
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) != 0) die("epoll_ctl: %s", strerror(errno));
}

static void take_in(int epoll, int listener) {
  for (int fd; (fd = accept_one(listener)) >= 0;) {
    struct conn *c = malloc(sizeof *c);
    if (c == NULL) die("out of memory");
    c->fd = fd, c->held = 0;
    watch(epoll, fd, c);
  }
}

int main(int argc, char **argv) {
  const char *era = option(argc, argv, "era", "dual");
  int port = (int)strtol(option(argc, argv, "port", "0"), NULL, 10), epoll = epoll_create1(EPOLL_CLOEXEC);
  legacy_served = strcmp(era, "modern") != 0;
  modern_served = strcmp(era, "legacy") != 0;
  memset(text, 'y', TEXT_BYTES);
  raise_files();
  int listener = listen_on(&port), stdin_mark, listener_mark;
  watch(epoll, listener, &listener_mark);
  watch(epoll, STDIN_FILENO, &stdin_mark);
  printf("http://127.0.0.1:%d/mcp\n", port);
  fflush(stdout);
  for (;;) {
    struct epoll_event ev[256];
    int n = epoll_wait(epoll, ev, 256, -1);
    for (int i = 0; i < n; i++) {
      struct conn *c = ev[i].data.ptr;
      char byte;
      if (ev[i].data.ptr == &listener_mark) take_in(epoll, listener);
      else if (ev[i].data.ptr == &stdin_mark) {
        if (read(STDIN_FILENO, &byte, 1) == 0) return 0;
      } else if (!on_readable(c)) {
        close(c->fd);
        free(c);
      }
    }
  }
}
