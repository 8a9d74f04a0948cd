/* support/rawhttp: a thread accepts, a thread a connection runs the script. Bounded: CONNS connections in a
 * server's life. Never asserts; a script that fails just ends its connection. */
#include "support/rawhttp.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNS = 512 };
struct inside {
  pthread_t accepter, thread[CONNS];
  struct raw_conn *conn[CONNS];
  pthread_mutex_t lock;
  int n;
};

static void *conn_run(void *arg) {
  struct raw_conn *c = arg;
  struct inside *in = c->server->inside;
  c->server->script(c, c->server->arg);
  pthread_mutex_lock(&in->lock);
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  pthread_mutex_unlock(&in->lock);
  return NULL;
}

static void *accept_run(void *arg) {
  struct raw_server *s = arg;
  struct inside *in = s->inside;
  while (!s->stop && in->n < CONNS) {
    int one = 1, fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
    struct raw_conn *c;
    if (fd < 0) break;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!(c = calloc(1, sizeof *c))) break;
    c->server = s;
    c->fd = fd;
    pthread_mutex_lock(&in->lock);
    c->nth = in->n;
    in->conn[in->n] = c;
    atomic_fetch_add(&s->connections, 1);
    if (pthread_create(&in->thread[in->n], NULL, conn_run, c)) {
      close(fd);
      free(c);
    } else {
      in->n++;
    }
    pthread_mutex_unlock(&in->lock);
  }
  return NULL;
}

struct raw_server *raw_server_new(raw_script script, void *arg) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  struct raw_server *s = calloc(1, sizeof *s);
  struct inside *in = calloc(1, sizeof *in);
  if (!s || !in) abort();
  s->script = script;
  s->arg = arg;
  s->inside = in;
  pthread_mutex_init(&in->lock, NULL);
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(s->fd, (struct sockaddr *)&a, sizeof a) || listen(s->fd, 256)) abort();
  getsockname(s->fd, (struct sockaddr *)&a, &len);
  s->port = ntohs(a.sin_port);
  snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/mcp", s->port);
  if (pthread_create(&in->accepter, NULL, accept_run, s)) abort();
  return s;
}

void raw_server_free(struct raw_server *s) {
  struct inside *in = s->inside;
  s->stop = 1;
  shutdown(s->fd, SHUT_RDWR);
  pthread_join(in->accepter, NULL);
  close(s->fd);
  pthread_mutex_lock(&in->lock);
  for (int i = 0; i < in->n; i++)
    if (in->conn[i]->fd >= 0) shutdown(in->conn[i]->fd, SHUT_RDWR);
  pthread_mutex_unlock(&in->lock);
  for (int i = 0; i < in->n; i++) {
    pthread_join(in->thread[i], NULL);
    free(in->conn[i]);
  }
  pthread_mutex_destroy(&in->lock);
  free(in);
  free(s);
}

static int more(struct raw_conn *c) {
  ssize_t n;
  if (c->have == sizeof c->buf - 1) return 0;
  n = recv(c->fd, c->buf + c->have, sizeof c->buf - 1 - c->have, 0);
  if (n <= 0) return 0;
  c->have += (size_t)n;
  c->buf[c->have] = '\0';
  return 1;
}

static void eat(struct raw_conn *c, size_t n) {
  memmove(c->buf, c->buf + n, c->have - n);
  c->have -= n;
  c->buf[c->have] = '\0';
}

int raw_read_head(struct raw_conn *c, struct raw_request *r) {
  char *end;
  size_t n;
  r->body = NULL;
  r->body_len = 0;
  while (!(end = c->have ? strstr(c->buf, "\r\n\r\n") : NULL))
    if (!more(c)) return 0;
  n = (size_t)(end - c->buf) + 4;
  if (n >= sizeof r->head) return 0;
  memcpy(r->head, c->buf, n);
  r->head[n] = '\0';
  eat(c, n);
  return 1;
}

int raw_read(struct raw_conn *c, struct raw_request *r) {
  const char *cl;
  size_t got = 0;
  if (!raw_read_head(c, r)) return 0;
  cl = strcasestr(r->head, "\r\nContent-Length:");
  r->body_len = cl ? strtoul(cl + 17, NULL, 10) : 0;
  if (!(r->body = malloc(r->body_len + 1))) return 0;
  while (got < r->body_len) {
    size_t n = c->have < r->body_len - got ? c->have : r->body_len - got;
    memcpy(r->body + got, c->buf, n);
    eat(c, n);
    got += n;
    if (got < r->body_len && !more(c)) {
      raw_request_done(r);
      return 0;
    }
  }
  r->body[r->body_len] = '\0';
  atomic_fetch_add(&c->server->requests, 1);
  return 1;
}

void raw_request_done(struct raw_request *r) {
  free(r->body);
  r->body = NULL;
}

int raw_has(const struct raw_request *r, const char *line) {
  char want[2048];
  snprintf(want, sizeof want, "\r\n%s\r\n", line);
  return strcasestr(r->head, want) != NULL;
}

int raw_has_name(const struct raw_request *r, const char *name) {
  char want[256];
  snprintf(want, sizeof want, "\r\n%s:", name);
  return strcasestr(r->head, want) != NULL;
}

static int send_all(struct raw_conn *c, const char *p, size_t n) {
  while (n) {
    ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
    if (k <= 0) return 0;
    p += k;
    n -= (size_t)k;
  }
  return 1;
}

int raw_send(struct raw_conn *c, const char *text) {
  return send_all(c, text, strlen(text));
}

int raw_sendf(struct raw_conn *c, const char *format, ...) {
  char text[65536];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  return raw_send(c, text);
}

int raw_reply(struct raw_conn *c, int status, const char *headers, const char *body) {
  int head = raw_sendf(c, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n", status, headers, strlen(body));
  return head && raw_send(c, body);
}

void raw_reset(struct raw_conn *c) {
  struct linger now = {1, 0};
  struct inside *in = c->server->inside;
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  pthread_mutex_lock(&in->lock);
  close(c->fd);
  c->fd = -1;
  pthread_mutex_unlock(&in->lock);
}

void raw_sleep(int ms) {
  poll(NULL, 0, ms);
}

int raw_peer_closed(struct raw_conn *c, int ms) {
  struct pollfd p = {.fd = c->fd, .events = POLLIN};
  char ch;
  return poll(&p, 1, ms) == 1 && recv(c->fd, &ch, 1, MSG_PEEK) <= 0;
}

int raw_open_fds(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  if (!d) return -1;
  while (readdir(d)) n++;
  closedir(d);
  return n - 3; /* . and .. and d itself */
}
