/* Listeners, the one timer and the one deferred flush of all connections. Owns the listening sockets and
 * the connections. It must never block, and never hold a connection over a callback without asking the
 * flush token whether the server is still there. */
#include "base/clock.h"
#include "http/conn.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_LISTENERS 16
#define MAX_ACCEPTS 64 /* of one event */
#define SPARE_CONNS 64 /* beyond the ceiling: refused ones that may still read why */
#define STARVED_MS 100 /* pause of accepting when descriptors or memory are out */

struct listener {
  struct mg_list node;
  struct mg_http_server *s;
  struct mg_watch *w;
  int fd;
  char *addr; /* as it was asked for */
  char *path; /* of a unix socket: removed with it */
};

union addr {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_un un;
};

/* ---- deadlines
 * ---------------------------------------------------------------------------------------------- */

static void arm(struct mg_http_server *s, uint64_t now, uint64_t at) {
  if (at >= s->armed_at) return;
  s->armed_at = at;
  mg_timer_set(s->timer, at > now ? at - now : 0);
}

void mg_http_server_due(struct mg_conn *c, uint64_t delay_ms) {
  struct mg_http_server *s = c->s;
  if (c->closed) return;
  uint64_t now = mg_loop_now_ms(s->loop);
  c->due = now + (delay_ms < MG_HTTP_NEVER_MS ? delay_ms : MG_HTTP_NEVER_MS);
  if (c->timer.at_ms <= c->due) return; /* looked at again when it fires: most deadlines only move away */
  (void)mg_heap_set(&s->timers, &c->timer, c->due); /* it is in the heap: moving cannot fail */
  arm(s, now, c->due);
}

static void set_listening(struct mg_http_server *s, int events) {
  for (struct mg_list *n = s->listeners.next; n != &s->listeners; n = n->next)
    (void)mg_watch_set(MG_CONTAINER(n, struct listener, node)->w, events);
}

static void flush_all(struct mg_flush *f);

static void on_timer(void *arg) {
  struct mg_flush *f = arg;
  struct mg_http_server *s = f->s;
  uint64_t now = mg_loop_now_ms(s->loop);
  struct mg_heap_node *top;
  s->armed_at = UINT64_MAX;
  if (s->starved && now >= s->starved_till) {
    s->starved = 0;
    set_listening(s, MG_READ);
  }
  while ((top = mg_heap_top(&s->timers)) && top->at_ms <= now) {
    struct mg_conn *c = MG_CONTAINER(top, struct mg_conn, timer);
    if (c->due > now) {
      (void)mg_heap_set(&s->timers, top, c->due);
      continue;
    }
    (void)mg_heap_set(&s->timers, top, now + 1); /* behind us, whatever the time-out does */
    f->armed++;
    mg_conn_timeout(c);
    f->armed--;
    if (f->s != s) {
      if (!f->armed) mg_free(f);
      return;
    }
  }
  if (top) arm(s, now, top->at_ms);
  if (s->starved) arm(s, now, s->starved_till);
  if (!mg_list_empty(&s->dirty) && !f->armed) flush_all(f);
}

/* ---- the flush of a turn
 * ------------------------------------------------------------------------------------- */

static void flush_all(struct mg_flush *f) {
  struct mg_http_server *s = f->s;
  struct mg_list now, *n;
  if (!s) {
    mg_free(f);
    return;
  }
  f->armed = 1; /* holds the token while callbacks run */
  mg_list_init(&now);
  while ((n = mg_list_first(&s->dirty))) { /* those dirtied meanwhile wait for the next turn */
    mg_list_del(n);
    mg_list_add(&now, n);
  }
  while ((n = mg_list_first(&now))) {
    mg_list_del(n);
    mg_conn_turn(MG_CONTAINER(n, struct mg_conn, dirty));
  }
  f->armed = 0;
  if (f->s == NULL) mg_free(f);
  else if (!mg_list_empty(&s->dirty))
    mg_http_server_dirty(MG_CONTAINER(mg_list_first(&s->dirty), struct mg_conn, dirty));
}

static void on_flush(void *arg) {
  flush_all(arg);
}

void mg_http_server_dirty(struct mg_conn *c) {
  struct mg_http_server *s = c->s;
  struct mg_flush *f = s->flush;
  if (c->closed) return;
  if (!c->dirty.next) mg_list_add(&s->dirty, &c->dirty);
  if (f->armed) return;
  if (mg_loop_defer(s->loop, on_flush, f) == MCPGW_OK) f->armed = 1;
  else arm(s, 0, 0); /* no memory to defer with: the timer does it */
}

struct mg_slice mg_http_server_date(struct mg_http_server *s) {
  static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  uint64_t now = mg_unix_ms() / 1000;
  if (now != s->date_s) {
    time_t t = (time_t)now;
    struct tm tm;
    s->date_s = now;
    s->date[0] = 0;
    if (gmtime_r(&t, &tm)) { /* strftime would speak the host's language */
      memcpy(s->date, "Date: ", 6);
      memcpy(s->date + 6, days[tm.tm_wday], 3);
      if (!strftime(s->date + 9, sizeof s->date - 9, ", %d     %Y %H:%M:%S GMT\r\n", &tm)) s->date[0] = 0;
      else memcpy(s->date + 14, months[tm.tm_mon], 3);
    }
  }
  return mg_slice_z(s->date);
}

/* ---- accepting
 * ------------------------------------------------------------------------------------------------- */

static int is_loopback(const union addr *a) {
  if (a->any.sa_family == AF_INET) return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
  if (a->any.sa_family == AF_INET6) {
    const struct in6_addr *ip = &a->v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
  }
  return 1; /* AF_UNIX (or unnamed): a process of this machine */
}

/* The mode of the socket file keeps others out; this holds even where somebody changed it. */
static int is_our_user(int fd) {
  struct ucred peer;
  socklen_t len = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof peer) return 0;
  return peer.uid == 0 || peer.uid == geteuid();
}

static void starve(struct mg_http_server *s) {
  uint64_t now = mg_loop_now_ms(s->loop);
  mg_log(s->log, MG_LOG_WARN, "http.accept_paused", "reason", "out of descriptors or memory", (char *)0);
  s->starved = 1;
  s->starved_till = now + STARVED_MS;
  set_listening(s, 0);
  arm(s, now, s->starved_till);
}

static void refuse_stranger(struct mg_conn *c) {
  mg_log(c->s->log, MG_LOG_WARN, "http.stranger", "reason", "a process of another user connected", (char *)0);
  mg_conn_refuse(c, 403, "this socket serves its own user and root alone");
}

/* 1: there may be more to accept. */
static int accept_one(struct listener *l) {
  struct mg_http_server *s = l->s;
  union addr a;
  socklen_t len = sizeof a;
  struct mg_conn *c;
  memset(&a, 0, sizeof a);
  int fd = accept4(l->fd, &a.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) starve(s);
    return errno == ECONNABORTED || errno == EINTR;
  }
  if (s->n_conns >= s->limits.connections + SPARE_CONNS ||
      mg_conn_new(s, fd, is_loopback(&a), &c) != MCPGW_OK) {
    close(fd);
    return 1;
  }
  if (s->n_conns > s->limits.connections) mg_conn_refuse(c, 503, "too many connections");
  else if (s->limits.private_sockets && l->path && !is_our_user(fd)) refuse_stranger(c);
  return 1;
}

static void on_accept(void *arg, int events) {
  struct listener *l = arg;
  (void)events;
  for (int i = 0; i < MAX_ACCEPTS && !l->s->starved; i++)
    if (!accept_one(l)) break;
}

/* ---- listening
 * --------------------------------------------------------------------------------------------------- */

static int parse_inet(struct mg_slice host, uint64_t port, union addr *a, socklen_t *len) {
  char text[INET6_ADDRSTRLEN];
  int v6 = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
  if (v6) host = mg_slice_sub(host, 1, host.len - 2);
  if (mg_slice_eqz(host, "localhost")) host = MG_LIT("127.0.0.1");
  if (host.len >= sizeof text) return MCPGW_E_INVALID;
  memcpy(text, host.ptr, host.len);
  text[host.len] = 0;
  if (v6) {
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons((uint16_t)port);
    *len = sizeof a->v6;
    return inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1 ? MCPGW_OK : MCPGW_E_INVALID;
  }
  a->v4.sin_family = AF_INET;
  a->v4.sin_port = htons((uint16_t)port);
  *len = sizeof a->v4;
  return inet_pton(AF_INET, text, &a->v4.sin_addr) == 1 ? MCPGW_OK : MCPGW_E_INVALID;
}

static int parse_addr(struct mg_slice addr, union addr *a, socklen_t *len) {
  uint64_t port;
  size_t colon = addr.len;
  memset(a, 0, sizeof *a);
  if (mg_slice_starts(addr, MG_LIT("unix:"))) {
    struct mg_slice path = mg_slice_sub(addr, 5, addr.len);
    if (path.len == 0 || path.len >= sizeof a->un.sun_path || memchr(path.ptr, 0, path.len))
      return MCPGW_E_INVALID;
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path.ptr, path.len);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return MCPGW_OK;
  }
  while (colon > 0 && addr.ptr[colon - 1] != ':') colon--;
  if (colon == 0 || mg_slice_u64(mg_slice_sub(addr, colon, addr.len), &port) != MCPGW_OK || port > 65535)
    return MCPGW_E_INVALID;
  return parse_inet(mg_slice_sub(addr, 0, colon - 1), port, a, len);
}

/* A socket file nobody listens on any more is in the way of the next start. Any other file stays. */
static void remove_stale(const union addr *a, socklen_t len) {
  struct stat st;
  if (lstat(a->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  if (connect(fd, &a->any, len) < 0 && errno == ECONNREFUSED) unlink(a->un.sun_path);
  close(fd);
}

static void set_int(int fd, int level, int name, int value) {
  (void)setsockopt(fd, level, name, &value, sizeof value); /* a socket without the option works too */
}

/* Accepted sockets inherit these on Linux: no system call a connection. */
static void tune(const struct mg_http_server *s, int fd, int family) {
  if (family == AF_UNIX) return;
  uint64_t user = s->limits.write_ms;
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, user < INT32_MAX ? (int)user : INT32_MAX);
  if (family == AF_INET6) set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

static int open_listener(struct mg_http_server *s, const union addr *a, socklen_t len, struct listener *l) {
  int family = a->any.sa_family;
  if (family == AF_UNIX) remove_stale(a, len);
  l->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (l->fd < 0) return MCPGW_E_IO;
  tune(s, l->fd, family);
  /* before bind: the file is made with this mode, so there is no moment in which it is open to others */
  if (family == AF_UNIX && s->limits.private_sockets && fchmod(l->fd, 0600) < 0) return MCPGW_E_IO;
  if (bind(l->fd, &a->any, len) < 0) return MCPGW_E_IO;
  if (family == AF_UNIX && !(l->path = mg_strdup(a->un.sun_path))) {
    unlink(a->un.sun_path);
    return MCPGW_E_NOMEM;
  }
  if (listen(l->fd, 4096) < 0) return MCPGW_E_IO;
  int rc = mg_watch_new(s->loop, l->fd, on_accept, l, &l->w);
  return rc == MCPGW_OK ? mg_watch_set(l->w, MG_READ) : rc;
}

static int tell_bound(int fd, struct mg_slice addr, struct mg_buf *bound) {
  union addr a;
  socklen_t len = sizeof a;
  char text[INET6_ADDRSTRLEN];
  if (!bound) return MCPGW_OK;
  if (getsockname(fd, &a.any, &len) < 0) return MCPGW_E_IO;
  if (a.any.sa_family == AF_UNIX) return mg_buf_adds(bound, addr);
  int v6 = a.any.sa_family == AF_INET6;
  const void *ip = v6 ? (const void *)&a.v6.sin6_addr : (const void *)&a.v4.sin_addr;
  if (!inet_ntop(a.any.sa_family, ip, text, sizeof text)) return MCPGW_E_IO;
  mg_buf_addz(bound, v6 ? "[" : "");
  mg_buf_addz(bound, text);
  mg_buf_addz(bound, v6 ? "]:" : ":");
  return mg_buf_addu(bound, ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port));
}

static void free_listener(struct listener *l) {
  mg_list_del(&l->node);
  mg_watch_free(l->w);
  if (l->fd >= 0) close(l->fd);
  if (l->path) unlink(l->path);
  mg_free(l->path);
  mg_free(l->addr);
  mg_free(l);
}

int mg_http_server_listen(struct mg_http_server *s, struct mg_slice addr, struct mg_buf *bound,
                          struct mg_err *err) {
  union addr a;
  socklen_t len;
  int n = addr.len < 200 ? (int)addr.len : 200;
  if (parse_addr(addr, &a, &len) != MCPGW_OK)
    return mg_err_set(err, MCPGW_E_CONFIG, "listen \"%.*s\": write 127.0.0.1:8808, [::1]:8808 or unix:/path",
                      n, addr.ptr);
  if (s->stopping)
    return mg_err_set(err, MCPGW_E_STATE, "listen \"%.*s\": the server is stopping", n, addr.ptr);
  if (s->n_listeners >= MAX_LISTENERS)
    return mg_err_set(err, MCPGW_E_LIMIT, "listen \"%.*s\": no more than 16 addresses", n, addr.ptr);
  struct listener *l = mg_calloc(1, sizeof *l);
  if (!l) return MCPGW_E_NOMEM;
  l->s = s;
  l->fd = -1;
  errno = 0;
  l->addr = mg_memdup(addr.ptr, addr.len);
  int rc = l->addr ? open_listener(s, &a, len, l) : MCPGW_E_NOMEM;
  if (rc == MCPGW_OK) rc = tell_bound(l->fd, addr, bound);
  if (rc == MCPGW_OK) {
    mg_list_add(&s->listeners, &l->node);
    s->n_listeners++;
    return MCPGW_OK;
  }
  mg_err_set(err, rc, "listen \"%.*s\": %s", n, addr.ptr,
             errno == EADDRINUSE      ? "address in use, choose another or stop who uses it"
             : errno == EACCES        ? "permission denied, choose a port from 1024 or another directory"
             : errno == EADDRNOTAVAIL ? "this machine has no such address"
             : errno == ENOENT        ? "the directory does not exist, create it"
                                      : mg_rc_name(rc));
  free_listener(l);
  return rc;
}

int mg_http_server_unlisten(struct mg_http_server *s, struct mg_slice addr) {
  for (struct mg_list *n = s->listeners.next; n != &s->listeners; n = n->next) {
    struct listener *l = MG_CONTAINER(n, struct listener, node);
    if (!mg_slice_eqz(addr, l->addr)) continue;
    free_listener(l);
    s->n_listeners--;
    return MCPGW_OK;
  }
  return MCPGW_E_NOT_FOUND;
}

void mg_http_server_set_limits(struct mg_http_server *s, const struct mg_http_limits *limits) {
  size_t need = limits->connections + SPARE_CONNS + 1;
  int private_sockets = s->limits.private_sockets;
  s->limits = *limits;
  s->limits.private_sockets = private_sockets;
  s->timers.max = need > s->n_conns ? need : s->n_conns; /* those that are there may be more than the new ceiling */
}

/* ---- the server
 * ---------------------------------------------------------------------------------------------------- */

int mg_http_server_new(struct mg_loop *l, const struct mg_http_limits *limits,
                       const struct mg_http_events *ev, void *data, struct mg_log *log,
                       struct mg_budget *budget, struct mg_http_server **out) {
  int rc = MCPGW_E_NOMEM;
  if (!ev->request || !ev->gone || !limits->header_bytes || !limits->body_bytes) return MCPGW_E_INVALID;
  struct mg_http_server *s = mg_calloc(1, sizeof *s);
  if (!s) return rc;
  s->loop = l;
  s->limits = *limits;
  s->ev = *ev;
  s->data = data;
  s->log = log;
  s->budget = budget;
  s->armed_at = UINT64_MAX;
  mg_list_init(&s->conns);
  mg_list_init(&s->dirty);
  mg_list_init(&s->listeners);
  mg_heap_init(&s->timers, limits->connections + SPARE_CONNS + 1);
  mg_buf_init(&s->head, MG_HTTP_MAX_HEAD);
  s->scratch = mg_alloc(MG_HTTP_SCRATCH);
  s->flush = mg_calloc(1, sizeof *s->flush);
  if (!s->scratch || !s->flush) goto out;
  s->flush->s = s;
  if ((rc = mg_timer_new(l, on_timer, s->flush, &s->timer)) != MCPGW_OK) goto out;
  *out = s;
  return MCPGW_OK;
out:
  mg_free(s->scratch);
  mg_free(s->flush);
  mg_free(s);
  return rc;
}

void mg_http_server_stop_accepting(struct mg_http_server *s) {
  struct mg_list *n, *next;
  s->stopping = 1;
  while ((n = mg_list_first(&s->listeners))) free_listener(MG_CONTAINER(n, struct listener, node));
  s->n_listeners = 0;
  for (n = s->conns.next; n != &s->conns; n = next) {
    next = n->next;
    struct mg_conn *c = MG_CONTAINER(n, struct mg_conn, node);
    if (mg_conn_idle(c)) mg_conn_close(c);
  }
}

size_t mg_http_server_connections(const struct mg_http_server *s) {
  return s->n_conns;
}

void mg_http_server_free(struct mg_http_server *s) {
  struct mg_list *n;
  if (!s) return;
  mg_http_server_stop_accepting(s);
  while ((n = mg_list_first(&s->conns))) mg_conn_gone(MG_CONTAINER(n, struct mg_conn, node));
  mg_timer_free(s->timer);
  mg_heap_done(&s->timers);
  mg_buf_done(&s->head);
  mg_free(s->scratch);
  if (s->flush->armed) s->flush->s = NULL;
  else mg_free(s->flush);
  mg_free(s);
}
