/* curlproxy: the least a proxy on libcurl can cost, as a floor for what the gateway adds: multi_socket in one
 * epoll loop, descriptors left registered when libcurl lets go of them (DESIGN section 16). It owns one easy
 * handle a downstream connection. It looks into no message, enforces no limit and must never face anything
 * but the bench. It never lets libcurl send a body twice, by either of two means:
 *
 *   curlproxy URL [--port N] [--body read|fields]      prints its URL; ends when stdin does
 *
 * read: READFUNCTION and a SEEKFUNCTION that fails; the head and the body leave in two writes, so the
 * upstream is woken twice. fields: POSTFIELDS, one write, and a PREREQFUNCTION that refuses a second attempt.
 */
#include "util.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES 16384
#define OUT_BYTES 65536
#define FILES_MAX 65536

struct conn {
  CURL *easy;
  struct curl_slist *headers; /* of the request under way */
  int fd, busy, gone;         /* gone: freed when the transfer ends */
  int attempts;               /* of the transfer */
  size_t held, body_at, body_len, body_sent, out_len;
  char session[160]; /* of the response: "Mcp-Session-Id: …\r\n" */
  char type[80];     /* of the response */
  char in[IN_BYTES], out[OUT_BYTES];
};

/* What epoll knows of a descriptor that libcurl uses. Forgotten when libcurl closes it, not before: leaving
 * it registered while a connection rests in the pool saves two epoll_ctl a request. */
static struct {
  int registered; /* epoll's events, 0: not in epoll */
  int wanted;     /* 0: libcurl does not look at it now */
} socks[FILES_MAX];

enum {
  LISTENER = 1,
  STDIN_END,
  DOWNSTREAM,
  UPSTREAM
}; /* in the high bits of epoll's data; low: the descriptor */

static CURLM *multi;
static int epoll;
static uint64_t timer_at; /* us; 0: none */
static int by_fields;
static const char *target;
static struct conn *conns[FILES_MAX];

static void watch(int op, int fd, uint64_t kind, int events) {
  struct epoll_event ev = {.events = (uint32_t)events, .data.u64 = kind << 32 | (uint32_t)fd};
  if (epoll_ctl(epoll, op, fd, &ev) != 0 && op == EPOLL_CTL_ADD) die("epoll_ctl: %s", strerror(errno));
}

/* ---- libcurl's callbacks ------------------------------------------------------------------------ */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *per_socket) {
  (void)easy, (void)data, (void)per_socket;
  if (what == CURL_POLL_REMOVE) {
    socks[fd].wanted = 0;
    return 0;
  }
  int events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
  socks[fd].wanted = events;
  if (socks[fd].registered == events) return 0;
  watch(socks[fd].registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, UPSTREAM, events);
  socks[fd].registered = events;
  return 0;
}

static int on_close(void *data, curl_socket_t fd) {
  (void)data;
  socks[fd].registered = socks[fd].wanted = 0;
  return close(fd);
}

static int on_timer(CURLM *m, long timeout_ms, void *data) {
  (void)m, (void)data;
  timer_at = timeout_ms < 0 ? 0 : now_us() + (uint64_t)timeout_ms * 1000;
  return 0;
}

static size_t on_read(char *to, size_t size, size_t n, void *data) {
  struct conn *c = data;
  size_t left = c->body_len - c->body_sent, take = size * n < left ? size * n : left;
  memcpy(to, c->in + c->body_at + c->body_sent, take);
  c->body_sent += take;
  return take;
}

/* A body that was begun is never sent a second time. */
static int on_seek(void *data, curl_off_t offset, int origin) {
  (void)data, (void)offset, (void)origin;
  return CURL_SEEKFUNC_FAIL;
}

/* Called before each attempt at a request, on a new or a pooled connection. */
static int on_attempt(void *data, char *ip, char *local_ip, int port, int local_port) {
  struct conn *c = data;
  (void)ip, (void)local_ip, (void)port, (void)local_port;
  return c->attempts++ > 0 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t on_write(char *from, size_t size, size_t n, void *data) {
  struct conn *c = data;
  if (c->out_len + size * n > OUT_BYTES) return 0;
  memcpy(c->out + c->out_len, from, size * n);
  c->out_len += size * n;
  return size * n;
}

static size_t on_header(char *line, size_t size, size_t n, void *data) {
  struct conn *c = data;
  size_t len = size * n;
  if (len > 15 && len < sizeof c->session && strncasecmp(line, "mcp-session-id:", 15) == 0)
    snprintf(c->session, sizeof c->session, "%.*s", (int)len, line);
  else if (len > 13 && len < sizeof c->type && strncasecmp(line, "content-type:", 13) == 0)
    snprintf(c->type, sizeof c->type, "%.*s", (int)len, line);
  return len;
}

/* ---- exchanges ---------------------------------------------------------------------------------- */

static CURL *new_easy(struct conn *c) {
  CURL *e = curl_easy_init();
  if (e == NULL) die("out of memory");
  curl_easy_setopt(e, CURLOPT_URL, target);
  curl_easy_setopt(e, CURLOPT_PRIVATE, c);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_PROXY, "");
  curl_easy_setopt(e, CURLOPT_POST, 1L);
  if (!by_fields) {
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_READDATA, c);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
  }
  curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_attempt);
  curl_easy_setopt(e, CURLOPT_PREREQDATA, c);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
  curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  return e;
}

/* The client's own headers but for those that belong to one hop. */
static struct curl_slist *copy_headers(const char *p, const struct head *h) {
  static const char *const HOP[] = {
      "host:", "content-length:", "connection:", "expect:", "transfer-encoding:"};
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  const char *line = memchr(p, '\n', h->len), *end = p + h->len;
  while (line != NULL && ++line < end && *line != '\r') {
    const char *eol = memchr(line, '\n', (size_t)(end - line));
    char copy[1024];
    int skip = eol == NULL || (size_t)(eol - line) >= sizeof copy;
    for (size_t i = 0; i < sizeof HOP / sizeof *HOP; i++)
      skip |= strncasecmp(line, HOP[i], strlen(HOP[i])) == 0;
    if (!skip) {
      snprintf(copy, sizeof copy, "%.*s", (int)(eol - line - 1), line);
      list = curl_slist_append(list, copy);
    }
    line = eol;
  }
  return list;
}

static void free_conn(struct conn *c) {
  conns[c->fd] = NULL;
  curl_easy_cleanup(c->easy);
  close(c->fd);
  free(c);
}

static void forward(struct conn *c, const struct head *h) {
  c->busy = 1;
  c->body_at = h->len, c->body_len = h->body;
  c->body_sent = c->out_len = 0;
  c->attempts = 0;
  c->session[0] = c->type[0] = '\0';
  c->headers = copy_headers(c->in, h);
  curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
  curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->body);
  if (by_fields) curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->in + h->len);
  curl_multi_add_handle(multi, c->easy);
}

static void respond(struct conn *c, CURLcode result) {
  char all[OUT_BYTES + 512];
  long status = 502;
  if (result == CURLE_OK) curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
  else c->out_len = 0;
  int n = snprintf(all, sizeof all, "HTTP/1.1 %ld Forwarded\r\n%s%sContent-Length: %zu\r\n\r\n", status,
                   c->type, c->session, c->out_len);
  memcpy(all + n, c->out, c->out_len);
  size_t len = (size_t)n + c->out_len;
  if (send(c->fd, all, len, MSG_NOSIGNAL) != (ssize_t)len) shutdown(c->fd, SHUT_RDWR);
}

static void finish(struct conn *c, CURLcode result) {
  curl_multi_remove_handle(multi, c->easy);
  curl_slist_free_all(c->headers);
  c->busy = 0;
  size_t used = c->body_at + c->body_len;
  c->held -= used;
  memmove(c->in, c->in + used, c->held);
  if (c->gone) free_conn(c);
  else respond(c, result);
}

static void on_downstream(struct conn *c) {
  struct head h;
  ssize_t n = recv(c->fd, c->in + c->held, IN_BYTES - 1 - c->held, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0 && c->busy) {
    watch(EPOLL_CTL_DEL, c->fd, DOWNSTREAM, 0);
    c->gone = 1;
    return;
  }
  if (n <= 0) {
    free_conn(c);
    return;
  }
  c->held += (size_t)n;
  c->in[c->held] = '\0';
  if (!c->busy && parse_head(c->in, c->held, &h) && c->held >= h.len + h.body) forward(c, &h);
}

static void take_in(int listener) {
  for (int fd; (fd = accept_one(listener)) >= 0;) {
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL || fd >= FILES_MAX) die("out of memory or descriptors");
    c->fd = fd;
    c->easy = new_easy(c);
    conns[fd] = c;
    watch(EPOLL_CTL_ADD, fd, DOWNSTREAM, EPOLLIN);
  }
}

/* ---- the loop ----------------------------------------------------------------------------------- */

static void on_upstream(int fd, uint32_t events) {
  int running, what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                      (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
  if (socks[fd].wanted) {
    curl_multi_socket_action(multi, fd, what, &running);
  } else if (socks[fd].registered) { /* a pooled connection speaks or ends: now it is worth a system call */
    watch(EPOLL_CTL_DEL, fd, UPSTREAM, 0);
    socks[fd].registered = 0;
  }
}

static void collect(void) {
  CURLMsg *m;
  int left;
  while ((m = curl_multi_info_read(multi, &left)) != NULL) {
    char *c;
    CURLcode result = m->data.result;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
    finish((struct conn *)(void *)c, result);
  }
}

static int wait_ms(void) {
  if (timer_at == 0) return -1;
  uint64_t now = now_us();
  return timer_at <= now ? 0 : (int)((timer_at - now + 999) / 1000);
}

static void run_timer(void) {
  int running;
  if (timer_at == 0 || now_us() < timer_at) return;
  timer_at = 0;
  curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static void start_multi(void) {
  curl_global_init(CURL_GLOBAL_ALL);
  multi = curl_multi_init();
  if (multi == NULL) die("out of memory");
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 4096L);
}

int main(int argc, char **argv) {
  int port = (int)strtol(option(argc, argv, "port", "0"), NULL, 10);
  if (argc < 2) die("usage: curlproxy URL [--port N] [--body read|fields]");
  target = argv[1];
  by_fields = strcmp(option(argc, argv, "body", "read"), "fields") == 0;
  epoll = epoll_create1(EPOLL_CLOEXEC);
  start_multi();
  int listener = listen_on(&port);
  watch(EPOLL_CTL_ADD, listener, LISTENER, EPOLLIN);
  watch(EPOLL_CTL_ADD, STDIN_FILENO, STDIN_END, EPOLLIN);
  printf("http://127.0.0.1:%d/mcp\n", port);
  fflush(stdout);
  for (;;) {
    struct epoll_event ev[256];
    int n = epoll_wait(epoll, ev, 256, wait_ms());
    for (int i = 0; i < n; i++) {
      int fd = (int)(uint32_t)ev[i].data.u64;
      char byte;
      switch (ev[i].data.u64 >> 32) {
      case LISTENER:
        take_in(fd);
        break;
      case DOWNSTREAM:
        if (conns[fd]) on_downstream(conns[fd]);
        break;
      case UPSTREAM:
        on_upstream(fd, ev[i].events);
        break;
      default:
        if (read(STDIN_FILENO, &byte, 1) == 0) return 0;
      }
    }
    run_timer();
    collect();
  }
}
