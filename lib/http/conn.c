/* One connection: reads, lets the parser frame, hands requests over one at a time, notices when the peer
 * leaves, and closes. Owns the descriptor and everything hanging on the connection. It must hold no
 * buffer while it waits (an idle one is this struct alone), and never touch itself after a callback
 * without looking at `closed`. */
#include "http/conn.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_READS 4 /* reads of one event, so that one busy peer does not starve the others */

static void on_event(void *arg, int events);

/* ---- life ------------------------------------------------------------------------------------------------
 */

int mg_conn_new(struct mg_http_server *s, int fd, int loopback, struct mg_conn **out) {
  struct mg_conn *c = mg_calloc(1, sizeof *c);
  if (!c) return MCPGW_E_NOMEM;
  c->s = s;
  c->fd = fd;
  c->loopback = (unsigned char)loopback;
  c->want = MG_READ | MG_HUP;
  mg_http_parser_init(&c->parser, &s->limits, s->budget);
  mg_http_out_init(&c->out);
  int rc = mg_heap_set(&s->timers, &c->timer, mg_loop_now_ms(s->loop) + MG_HTTP_NEVER_MS);
  if (rc == MCPGW_OK) rc = mg_watch_new(s->loop, fd, on_event, c, &c->w);
  if (rc == MCPGW_OK) rc = mg_watch_set(c->w, c->want);
  if (rc != MCPGW_OK) {
    mg_watch_free(c->w);
    mg_heap_del(&s->timers, &c->timer);
    mg_free(c);
    return rc;
  }
  mg_list_add(&s->conns, &c->node);
  s->n_conns++;
  mg_http_server_due(c, s->limits.idle_ms);
  *out = c;
  return MCPGW_OK;
}

void mg_conn_release(struct mg_conn *c) {
  if (--c->busy == 0 && c->closed) mg_free(c);
}

void mg_conn_close(struct mg_conn *c) {
  if (c->closed) return;
  c->closed = 1;
  mg_watch_free(c->w);
  close(c->fd);
  mg_heap_del(&c->s->timers, &c->timer);
  mg_list_del(&c->node);
  mg_list_del(&c->dirty);
  c->s->n_conns--;
  mg_http_parser_done(&c->parser);
  mg_http_out_done(&c->out);
  mg_blob_unref(c->in);
  mg_free(c->x);
  if (c->busy == 0) mg_free(c);
}

void mg_conn_cut(struct mg_conn *c) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (!c->closed) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  mg_conn_close(c);
}

/* Tells whoever holds x that it will never be answered. */
static void tell_gone(struct mg_conn *c) {
  struct mg_exchange *x = c->x;
  if (!x || (!x->delivered && !x->user)) return;
  c->busy++;
  c->s->ev.gone(c->s->data, x);
  mg_conn_release(c);
}

void mg_conn_gone(struct mg_conn *c) {
  c->busy++;
  tell_gone(c);
  mg_conn_close(c);
  mg_conn_release(c);
}

int mg_conn_idle(const struct mg_conn *c) {
  return c->state == MG_CONN_READ && !c->x && !c->in && !mg_http_parser_started(&c->parser);
}

static void want(struct mg_conn *c, int events) {
  if (events == c->want) return;
  if (mg_watch_set(c->w, events) == MCPGW_OK) c->want = events;
  else shutdown(c->fd, SHUT_RDWR); /* no memory to watch it: the old watch will see it end */
}

/* ---- the end of an exchange
 * --------------------------------------------------------------------------------- */

void mg_conn_end_exchange(struct mg_conn *c) {
  mg_free(c->x);
  c->x = NULL;
  c->serial++;
  mg_http_parser_done(&c->parser);
}

/* Says no more, but lets the peer finish reading: closing with unread bytes would send RST, which may
 * destroy the answer on its way. */
static void begin_linger(struct mg_conn *c) {
  c->state = MG_CONN_LINGER;
  c->linger_left = MG_HTTP_LINGER_BYTES;
  mg_blob_unref(c->in);
  c->in = NULL;
  shutdown(c->fd, SHUT_WR);
  want(c, MG_READ | MG_HUP);
  mg_http_server_due(c, MG_HTTP_LINGER_MS);
}

/* The response has left: the next request, or the end. */
static void next_request(struct mg_conn *c) {
  if (!c->keep_alive || c->s->stopping) {
    int paused = !(c->want & MG_READ); /* then unread bytes may lie in the kernel */
    if (c->linger || c->in || paused) begin_linger(c);
    else mg_conn_close(c);
    return;
  }
  mg_http_parser_init(&c->parser, &c->s->limits, c->s->budget);
  c->state = MG_CONN_READ;
  c->out.chunked = 0;
  mg_http_server_due(c, c->s->limits.idle_ms);
  if (c->in) mg_http_server_dirty(c); /* later: the handler must not be entered from inside reply */
  else want(c, MG_READ | MG_HUP);
}

int mg_conn_flush(struct mg_conn *c) {
  size_t sent;
  int rc = mg_http_out_send(&c->out, c->fd, &sent);
  if (rc == MCPGW_E_AGAIN && (sent || !(c->want & MG_WRITE))) mg_http_server_due(c, c->s->limits.write_ms);
  if (rc == MCPGW_E_AGAIN && mg_http_out_keep(&c->out) != MCPGW_OK) rc = MCPGW_E_CLOSED;
  return rc;
}

static void tell_drained(struct mg_conn *c) {
  struct mg_exchange *x = c->x;
  if (!x || !x->above || c->out.queued >= x->mark / 2) return;
  x->above = 0;
  if (c->s->ev.drained) c->s->ev.drained(c->s->data, x);
}

void mg_conn_after_flush(struct mg_conn *c, int rc) {
  if (rc == MCPGW_E_CLOSED) {
    mg_conn_gone(c);
    return;
  }
  if (rc == MCPGW_E_AGAIN) {
    want(c, c->want | MG_WRITE);
  } else {
    want(c, c->want & ~MG_WRITE);
    if (c->state == MG_CONN_STREAM) mg_http_server_due(c, c->half ? MG_HTTP_PEEK_MS : MG_HTTP_NEVER_MS);
    if (c->state == MG_CONN_DRAIN) next_request(c);
  }
  if (!c->closed) tell_drained(c);
}

/* Answers what never became an exchange of the caller's (or no longer is one), and closes gently. */
void mg_conn_refuse(struct mg_conn *c, int status, const char *reason) {
  struct mg_slice retry = status == 503 || status == 429 ? MG_LIT("Retry-After: 1\r\n") : mg_slice("", 0);
  struct mg_seg text[2] = {{NULL, reason, strlen(reason)}, {NULL, "\n", 1}};
  const struct mg_http_head *h = c->parser.head;
  int minor = h ? h->minor : 1, bodyless = h && h->is_head, rc;
  char code[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10), 0};
  mg_log(c->s->log, MG_LOG_DEBUG, "http.refused", "status", code, "reason", reason, (char *)0);
  c->busy++;
  tell_gone(c);
  if (c->closed) goto out;
  mg_conn_end_exchange(c);
  c->state = MG_CONN_DRAIN;
  c->keep_alive = 0;
  c->linger = 1;
  rc = mg_http_head_text(c->s, status, retry, MG_BODY_LENGTH, text[0].len + 1, minor, 0);
  if (rc == MCPGW_OK) rc = mg_http_out_head(&c->out, mg_buf_slice(&c->s->head));
  if (rc == MCPGW_OK && !bodyless) rc = mg_http_out_push(&c->out, text, 2);
  mg_http_server_due(c, c->s->limits.write_ms);
  mg_conn_after_flush(c, rc == MCPGW_OK ? mg_conn_flush(c) : MCPGW_E_CLOSED);
out:
  mg_conn_release(c);
}

/* ---- requests
 * -------------------------------------------------------------------------------------------------- */

static int say_continue(struct mg_conn *c) {
  int rc = mg_http_out_head(&c->out, MG_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
  if (rc == MCPGW_OK) rc = mg_conn_flush(c);
  if (rc == MCPGW_E_AGAIN) return MCPGW_OK; /* it goes with the response then */
  return rc;
}

enum { BODY_PAUSES = 10, BODY_BYTES_MS = 16 };

/* Some of the body came. It may pause for body_ms, and take as long as ten pauses and a millisecond for each 16
 * bytes of it: who sends a byte now and then does not hold a connection for ever. */
static void body_goes_on(struct mg_conn *c) {
  uint64_t now = mg_loop_now_ms(c->s->loop), pause = c->s->limits.body_ms;
  uint64_t by = c->body_by + (c->parser.body ? mg_blob_len(c->parser.body) / BODY_BYTES_MS : 0);
  mg_http_server_due(c, by < now ? 0 : by - now < pause ? by - now : pause);
}

/* The head is complete: asks `admit`, and calls the body in. */
static void on_head(struct mg_conn *c) {
  struct mg_http_head *h = c->parser.head;
  unsigned serial = c->serial;
  struct mg_exchange *x = mg_calloc(1, sizeof *x);
  if (!x) {
    mg_conn_refuse(c, 503, "out of memory");
    return;
  }
  x->c = c;
  x->is_head = (unsigned char)h->is_head;
  x->minor = (unsigned char)h->minor;
  h->req.peer_is_loopback = c->loopback;
  c->x = x;
  c->keep_alive = (unsigned char)h->req.keep_alive;
  c->linger = 0;
  c->body_by = mg_loop_now_ms(c->s->loop) + BODY_PAUSES * c->s->limits.body_ms;
  mg_http_server_due(c, c->s->limits.body_ms);
  int status = c->s->ev.admit ? c->s->ev.admit(c->s->data, x, &h->req) : 0;
  if (c->closed || c->serial != serial || c->state != MG_CONN_READ) return;
  if (status) mg_conn_refuse(c, status, "refused");
  else if (h->req.accepts_100 && (h->chunked || h->length) && say_continue(c) != MCPGW_OK) mg_conn_gone(c);
}

static void on_request(struct mg_conn *c) {
  struct mg_http_request *r = &c->parser.head->req;
  r->body = c->parser.body;
  c->state = MG_CONN_PENDING;
  c->x->delivered = 1;
  mg_http_server_due(c, c->half ? MG_HTTP_PEEK_MS : MG_HTTP_NEVER_MS);
  c->s->ev.request(c->s->data, c->x, r);
}

/* What the parser said. 1: go on with the bytes that are left. */
static int on_parsed(struct mg_conn *c, int r) {
  switch (r) {
  case MG_PARSE_HEAD: on_head(c); break;
  case MG_PARSE_DONE: on_request(c); break;
  case MG_PARSE_REFUSED: mg_conn_refuse(c, c->parser.status, c->parser.reason); break;
  default: return 0;
  }
  return !c->closed && c->state == MG_CONN_READ;
}

/* Runs bytes through the parser while the connection is reading; tells how many were used. */
static size_t pump(struct mg_conn *c, const char *data, size_t len) {
  size_t off = 0, used;
  int go = 1, fresh = !mg_http_parser_started(&c->parser);
  while (go) {
    int r = mg_http_parser_feed(&c->parser, data + off, len - off, &used);
    off += used;
    go = on_parsed(c, r) && (off < len || r == MG_PARSE_HEAD);
    fresh |= r == MG_PARSE_DONE;
  }
  if (!c->closed && c->state == MG_CONN_READ && fresh && mg_http_parser_started(&c->parser) &&
      !c->parser.head)
    mg_http_server_due(c, c->s->limits.header_ms);
  return off;
}

/* Bytes behind a request that is being answered wait here, counted by the budget. Without memory for
 * them the connection ends after this answer. */
static void keep_rest(struct mg_conn *c, const char *data, size_t len) {
  if (c->closed || len == 0 || c->state == MG_CONN_LINGER) return;
  c->in = mg_blob_copy(c->s->budget, data, len);
  c->in_off = 0;
  if (c->in) return;
  c->keep_alive = 0;
  c->linger = 1;
}

static void resume(struct mg_conn *c) {
  mg_blob *in = c->in;
  if (c->state != MG_CONN_READ) return;
  c->in = NULL;
  if (in) {
    c->in_off += pump(c, mg_blob_slice(in).ptr + c->in_off, mg_blob_len(in) - c->in_off);
    if (!c->closed && c->state != MG_CONN_READ && c->state != MG_CONN_LINGER && c->in_off < mg_blob_len(in)) {
      c->in = in;
      return;
    }
    mg_blob_unref(in);
  }
  if (!c->closed && c->state == MG_CONN_READ) want(c, MG_READ | MG_HUP);
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------------ */

/* The peer ended while we expected more. */
static void on_end(struct mg_conn *c) {
  if (c->x) mg_conn_gone(c);
  else mg_conn_close(c);
}

/* One read; 1: there may be more. */
static int read_once(struct mg_conn *c) {
  char *at = NULL;
  size_t room = mg_http_parser_room(&c->parser, &at), cap = room ? room : MG_HTTP_SCRATCH, used;
  uint64_t left = c->parser.body_left;
  ssize_t n = recv(c->fd, room ? at : c->s->scratch, cap, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return errno == EINTR;
  if (n <= 0) {
    on_end(c);
    return 0;
  }
  size_t had = c->parser.body ? mg_blob_len(c->parser.body) : 0;
  if (room) {
    int r = mg_http_parser_filled(&c->parser, (size_t)n);
    on_parsed(c, r);
  } else {
    used = pump(c, c->s->scratch, (size_t)n);
    if (used < (size_t)n) keep_rest(c, c->s->scratch + used, (size_t)n - used);
  }
  if (c->closed || c->state != MG_CONN_READ) return 0;
  if (c->parser.head && (c->parser.body_left < left || (c->parser.body && mg_blob_len(c->parser.body) > had)))
    body_goes_on(c); /* only bytes of the body count as progress */
  return (size_t)n == cap;
}

static void linger_read(struct mg_conn *c) {
  ssize_t n = recv(c->fd, c->s->scratch, MG_HTTP_SCRATCH, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0 || (size_t)n >= c->linger_left) mg_conn_close(c);
  else c->linger_left -= (size_t)n;
}

static void on_readable(struct mg_conn *c) {
  if (c->state == MG_CONN_LINGER) {
    linger_read(c);
    return;
  }
  for (int i = 0; i < MAX_READS; i++)
    if (c->state != MG_CONN_READ || c->in || !read_once(c) || c->closed) break;
}

/* ---- the peer leaves
 * ------------------------------------------------------------------------------------------------- */

/* RST, or a socket closed altogether: poll tells without reading what lies before it. */
static int is_cut(int fd) {
  struct pollfd p = {.fd = fd, .events = 0};
  return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* While a response is pending or under way. A FIN ends a stream that had begun; before an answer it only
 * means that nothing more will be asked, and it must not be reported again and again: from here the peer
 * is looked at by the clock (DESIGN §11: a half-closed client is not gone). */
static void on_hup(struct mg_conn *c) {
  if (is_cut(c->fd) || (c->state == MG_CONN_STREAM && !c->half)) {
    mg_conn_gone(c);
    return;
  }
  c->half = 1;
  want(c, c->want & MG_WRITE);
  if (c->state != MG_CONN_DRAIN && !c->want) mg_http_server_due(c, MG_HTTP_PEEK_MS);
}

static void handle(struct mg_conn *c, int events) {
  if (c->state == MG_CONN_READ || c->state == MG_CONN_LINGER) {
    if (events & MG_HUP) c->half = 1; /* its FIN lies behind the request we are about to read */
    on_readable(c);
    return;
  }
  if (events & MG_HUP) on_hup(c);
  if (c->closed) return;
  if (events & MG_WRITE) mg_conn_after_flush(c, mg_conn_flush(c));
  if (c->closed) return;
  if ((events & MG_READ) && c->state != MG_CONN_READ && c->state != MG_CONN_LINGER)
    want(c, c->want & ~MG_READ);
}

static void on_event(void *arg, int events) {
  struct mg_conn *c = arg;
  c->busy++;
  handle(c, events);
  mg_conn_release(c);
}

void mg_conn_turn(struct mg_conn *c) {
  c->busy++;
  if (!mg_http_out_empty(&c->out) || c->state == MG_CONN_DRAIN) mg_conn_after_flush(c, mg_conn_flush(c));
  if (!c->closed && c->in) resume(c);
  mg_conn_release(c);
}

void mg_conn_timeout(struct mg_conn *c) {
  c->busy++;
  if (c->state == MG_CONN_LINGER || mg_conn_idle(c)) {
    mg_conn_close(c);
  } else if (c->state == MG_CONN_READ) {
    mg_conn_refuse(c, 408, c->x ? "the body came too slowly" : "the headers came too slowly");
  } else if (c->want & MG_WRITE || c->state == MG_CONN_DRAIN) {
    if (c->x) mg_conn_gone(c);
    else mg_conn_cut(c);
  } else if (is_cut(c->fd)) {
    mg_conn_gone(c);
  } else {
    mg_http_server_due(c, c->half ? MG_HTTP_PEEK_MS : MG_HTTP_NEVER_MS);
  }
  mg_conn_release(c);
}
