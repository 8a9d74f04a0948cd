/* http/client: the two multis and what they need of the loop: sockets, timers, the pool of exchanges.
 * libcurl is driven by multi_socket only. A watch outlives CURL_POLL_REMOVE with nothing wanted, because
 * the next request on the connection wants the same again; it goes right before the descriptor is closed.
 * Must never enter libcurl's API from inside one of its callbacks: such work waits on todo. */
#include "http/client_priv.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct http_socket {
  struct mg_http_client *client;
  struct http_multi *multi;
  struct mg_watch *watch;
  int fd;
  int want;  /* MG_READ | MG_WRITE as libcurl asks */
  int owned; /* opened by us; else libcurl's own (the resolver's), which it closes without telling */
  int up;    /* a request went over it: when libcurl closes it, it tells */
};

enum { SETTLE_ROUNDS = 8 };

/* ---- turning the crank -------------------------------------------------------------------------- */
static void reap(struct http_multi *m) {
  CURLMsg *msg;
  int left;
  while ((msg = curl_multi_info_read(m->handle, &left))) {
    if (msg->msg != CURLMSG_DONE) continue;
    CURLcode rc = msg->data.result; /* msg dies with the handle's removal */
    struct mg_http_call *call = NULL;
    if (curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK && call)
      mg_http_call_end(call, rc);
  }
}

static void turn(struct http_multi *m, curl_socket_t fd, int mask) {
  int running;
  m->due = 0;
  m->client->depth++;
  curl_multi_socket_action(m->handle, fd, mask, &running);
  m->client->depth--;
}

/* What was started meanwhile is set going at once instead of after another round through the loop. When
 * there is no end to it the next turn goes on. */
static void settle(struct mg_http_client *c) {
  struct mg_list *n;
  if (c->depth) return;
  for (int round = 0; round < SETTLE_ROUNDS; round++) {
    reap(&c->multi[0]);
    reap(&c->multi[1]);
    while ((n = mg_list_first(&c->todo))) {
      mg_list_del(n);
      mg_http_call_work(MG_CONTAINER(n, struct mg_http_call, todo));
    }
    if (!c->multi[0].due && !c->multi[1].due) return;
    for (int i = 0; i < 2; i++)
      if (c->multi[i].due) turn(&c->multi[i], CURL_SOCKET_TIMEOUT, 0);
  }
  mg_soon(c->loop, &c->kick); /* look for what the last round finished */
}

static void kicked(void *arg) {
  settle(arg);
}

static void drive(struct http_multi *m, curl_socket_t fd, int mask) {
  turn(m, fd, mask);
  settle(m->client);
}

/* ---- sockets ------------------------------------------------------------------------------------ */
/* An idle connection stirs. libcurl looks at it before the next use, but by a peek that only an orderly end
 * fails: one that was reset would be used, and its request lost. With the error taken off it reads as ended. */
static void idle_stirs(struct http_socket *s) {
  int error = 0;
  socklen_t len = sizeof error;
  mg_watch_set(s->watch, 0);
  (void)getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
}

static void socket_event(void *arg, int events) {
  struct http_socket *s = arg;
  int mask = 0;
  if (!s->want || !s->multi) {
    idle_stirs(s);
    return;
  }
  if (events & (MG_READ | MG_HUP)) mask |= CURL_CSELECT_IN;
  if (events & MG_WRITE) mask |= CURL_CSELECT_OUT;
  drive(s->multi, s->fd, mask);
}

void mg_http_client_socket_forget(struct mg_http_client *c, int fd) {
  struct http_socket *s = mg_map_delu(c->sockets, (uint64_t)fd);
  if (!s) return;
  mg_watch_free(s->watch);
  mg_free(s);
}

static struct http_socket *socket_new(struct mg_http_client *c, int fd, int owned) {
  struct http_socket *s;
  mg_http_client_socket_forget(c, fd); /* a number that came back without our closing it */
  if (!(s = mg_calloc(1, sizeof *s))) return NULL;
  s->client = c;
  s->fd = fd;
  s->owned = owned;
  if (mg_watch_new(c->loop, fd, socket_event, s, &s->watch) != MCPGW_OK) {
    mg_free(s);
    return NULL;
  }
  if (mg_map_putu(c->sockets, (uint64_t)fd, s) != MCPGW_OK) {
    mg_watch_free(s->watch);
    mg_free(s);
    return NULL;
  }
  return s;
}

void mg_http_client_patience(struct mg_http_client *c, uint64_t ms) {
  uint64_t s = (ms + 999) / 1000;
  c->patience_s = s < 1 ? 1 : s < 3600 ? (unsigned)s : 3600;
}

int mg_http_client_socket_open(struct mg_http_client *c, struct curl_sockaddr *a) {
  unsigned int ms = 2000 * c->patience_s; /* bytes and probes may stay unacknowledged for so long */
  int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
  if (fd < 0) return -1;
  if (a->family != AF_UNIX) (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
  if (!socket_new(c, fd, 1)) {
    close(fd);
    return -1;
  }
  return fd;
}

static int port_of(int fd) {
  struct sockaddr_storage a;
  socklen_t len = sizeof a;
  if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) return 0;
  return a.ss_family == AF_INET    ? ntohs(((struct sockaddr_in *)&a)->sin_port)
         : a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port)
                                   : 0;
}

/* What libcurl does not look at now may rest in its pool, or be closed already: one that was still connecting
 * is closed without a word (7.88), and a watch of a closed descriptor would be the end of libuv. That a request
 * went over a connection says nothing of the next one that libcurl opens for the same call. */
static void socket_rests(struct http_socket *s, CURL *easy) {
  struct mg_http_call *call = NULL;
  if (!s->up && s->owned && curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK && call && call->port)
    s->up = port_of(s->fd) == call->port;
  s->want = 0;
  if (!s->up) mg_http_client_socket_forget(s->client, s->fd);
}

/* Never fails towards libcurl: that would end the whole multi. Without a watch the deadline ends the call. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp) {
  struct http_multi *m = userp;
  struct http_socket *s = mg_map_getu(m->client->sockets, (uint64_t)fd);
  (void)socketp;
  if (what == CURL_POLL_REMOVE) {
    if (s) socket_rests(s, easy);
    return 0;
  }
  if (!s && !(s = socket_new(m->client, fd, 0))) return 0;
  s->multi = m;
  s->want = (what & CURL_POLL_IN ? MG_READ : 0) | (what & CURL_POLL_OUT ? MG_WRITE : 0);
  (void)mg_watch_set(s->watch, s->want);
  return 0;
}

/* ---- timers ------------------------------------------------------------------------------------- */
static int on_timeout_change(CURLM *handle, long ms, void *userp) {
  struct http_multi *m = userp;
  (void)handle;
  m->due = ms == 0;
  if (!m->due) mg_timer_set(m->timer, ms < 0 ? UINT64_MAX : (uint64_t)ms);
  else if (!m->client->depth) mg_soon(m->client->loop, &m->client->kick);
  return 0;
}

static void timeout_due(void *arg) {
  drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void clock_at(struct mg_http_client *c, uint64_t at_ms) {
  uint64_t now = mg_loop_now_ms(c->loop);
  if (at_ms >= c->clock_ms) return; /* it fires earlier anyway, and looks again then */
  c->clock_ms = at_ms;
  mg_timer_set(c->clock, at_ms > now ? at_ms - now : 0);
}

/* Deadlines come and go with every request; the timer is only moved when the earliest comes nearer. */
static void clock_due(void *arg) {
  struct mg_http_client *c = arg;
  struct mg_heap_node *top;
  uint64_t now = mg_loop_now_ms(c->loop);
  c->clock_ms = UINT64_MAX;
  while ((top = mg_heap_top(&c->deadlines)) && top->at_ms <= now) {
    mg_heap_del(&c->deadlines, top);
    mg_http_call_late(MG_CONTAINER(top, struct mg_http_call, deadline));
  }
  settle(c);
  if ((top = mg_heap_top(&c->deadlines))) clock_at(c, top->at_ms);
}

int mg_http_client_deadline(struct mg_http_call *call, uint64_t at_ms) {
  struct mg_http_client *c = call->client;
  int rc = MCPGW_OK;
  if (!at_ms) mg_heap_del(&c->deadlines, &call->deadline);
  else if ((rc = mg_heap_set(&c->deadlines, &call->deadline, at_ms)) == MCPGW_OK) clock_at(c, at_ms);
  return rc;
}

void mg_http_client_later(struct mg_http_call *call) {
  if (!call->todo.next) mg_list_add(&call->client->todo, &call->todo);
  if (!call->client->depth) mg_soon(call->client->loop, &call->client->kick);
}

/* ---- birth and death ---------------------------------------------------------------------------- */
static int multi_init(struct mg_http_client *c, struct http_multi *m) {
  int rc;
  m->client = c;
  if ((rc = mg_timer_new(c->loop, timeout_due, m, &m->timer)) != MCPGW_OK) return rc;
  if (!(m->handle = curl_multi_init())) return MCPGW_E_NOMEM;
  curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m);
  curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, on_timeout_change);
  curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m);
  curl_multi_setopt(m->handle, CURLMOPT_MAXCONNECTS, (long)HTTP_CONNS_KEPT);
  curl_multi_setopt(m->handle, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
  return MCPGW_OK;
}

int mg_http_client_new(struct mg_loop *l, struct mg_log *log, struct mg_http_client **out) {
  struct mg_http_client *c;
  int rc = MCPGW_E_NOMEM;
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return MCPGW_E_NOMEM;
  if (!(c = mg_calloc(1, sizeof *c))) {
    curl_global_cleanup();
    return MCPGW_E_NOMEM;
  }
  c->loop = l;
  c->log = log;
  c->clock_ms = UINT64_MAX;
  c->patience_s = 15;
  c->kick = (struct mg_soon){.cb = kicked, .arg = c};
  mg_list_init(&c->live);
  mg_list_init(&c->idle);
  mg_list_init(&c->todo);
  mg_heap_init(&c->deadlines, HTTP_CALLS_MAX);
  if (!(c->sockets = mg_map_new(HTTP_SOCKETS_MAX))) goto out;
  if ((rc = mg_timer_new(l, clock_due, c, &c->clock)) != MCPGW_OK) goto out;
  if ((rc = multi_init(c, &c->multi[0])) != MCPGW_OK) goto out;
  if ((rc = multi_init(c, &c->multi[1])) != MCPGW_OK) goto out;
  *out = c;
out:
  if (rc != MCPGW_OK) mg_http_client_free(c);
  return rc;
}

static void destroy_all(struct mg_list *head) {
  struct mg_list *n;
  while ((n = mg_list_first(head))) mg_http_call_destroy(MG_CONTAINER(n, struct mg_http_call, node));
}

static void sockets_free(struct mg_map *sockets) {
  struct http_socket *s;
  size_t it = 0;
  if (!sockets) return;
  while ((s = mg_map_next(sockets, &it, NULL))) { /* none is left unless libcurl kept one to itself */
    mg_watch_free(s->watch);
    mg_free(s);
  }
  mg_map_free(sockets);
}

/* Closing TLS connections writes to them, here perhaps outside of the loop, which else holds SIGPIPE back. */
static void multis_free(struct mg_http_client *c) {
  struct timespec none = {0, 0};
  sigset_t pipe, old, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigemptyset(&pending);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &old);
  destroy_all(&c->live);
  destroy_all(&c->idle);
  for (int i = 0; i < 2; i++) {
    if (c->multi[i].handle) curl_multi_cleanup(c->multi[i].handle);
    if (c->multi[i].timer) mg_timer_free(c->multi[i].timer);
  }
  if (!sigismember(&pending, SIGPIPE))
    while (sigtimedwait(&pipe, NULL, &none) > 0) {
    }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void mg_http_client_free(struct mg_http_client *c) {
  if (!c) return;
  multis_free(c);
  mg_soon_off(&c->kick);
  if (c->clock) mg_timer_free(c->clock);
  sockets_free(c->sockets);
  mg_heap_done(&c->deadlines);
  mg_free(c);
  curl_global_cleanup();
}
