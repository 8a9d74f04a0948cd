/* The caller's side of an exchange: replies, streams, and the head in front of them. Owns nothing: bytes
 * go to the connection's way out, which takes the references. It must never call back into the caller
 * about the exchange it is called for. */
#include "http/conn.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define RESENT 3 /* times, the pauses doubling */

struct status_text {
  int status;
  const char *text;
};
static const struct status_text texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *status_text(int status) {
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (texts[i].status == status) return texts[i].text;
  return "Status";
}

static int is_bodyless(int status) {
  return status < 200 || status == 204 || status == 304;
}

int mg_http_head_text(struct mg_http_server *s, int status, struct mg_slice headers, int body,
                      uint64_t length, int minor, int keep_alive) {
  struct mg_buf *b = &s->head;
  if (status < 200 || status > 599) return MCPGW_E_INVALID;
  if (headers.len && (headers.len < 2 || memcmp(headers.ptr + headers.len - 2, "\r\n", 2) != 0))
    return MCPGW_E_INVALID;
  mg_buf_reset(b);
  mg_buf_addz(b, "HTTP/1.1 ");
  mg_buf_addu(b, (uint64_t)status);
  mg_buf_addc(b, ' ');
  mg_buf_addz(b, status_text(status));
  mg_buf_addz(b, "\r\n");
  mg_buf_adds(b, headers);
  mg_buf_adds(b, mg_http_server_date(s));
  if (body == MG_BODY_LENGTH) {
    mg_buf_addz(b, "Content-Length: ");
    mg_buf_addu(b, length);
    mg_buf_addz(b, "\r\n");
  } else if (body == MG_BODY_CHUNKED) {
    mg_buf_addz(b, "Transfer-Encoding: chunked\r\n");
  }
  if (!keep_alive) mg_buf_addz(b, "Connection: close\r\n");
  else if (minor == 0) mg_buf_addz(b, "Connection: keep-alive\r\n");
  mg_buf_addz(b, "\r\n");
  return mg_buf_rc(b);
}

/* ---- what the caller may ask
 * ------------------------------------------------------------------------------- */

const struct mg_http_request *mg_exchange_request(struct mg_exchange *x) {
  static const struct mg_http_request none;
  const struct mg_http_head *h = x->c->parser.head;
  return h ? &h->req : &none;
}

struct mg_slice mg_exchange_header(struct mg_exchange *x, const char *name, size_t *count) {
  const struct mg_http_request *r = mg_exchange_request(x);
  struct mg_slice found = {NULL, 0}, want = mg_slice_z(name);
  size_t n = 0;
  for (size_t i = 0; i < r->n_headers; i++) {
    const struct mg_header *f = &r->headers[i];
    if (f->name.len != want.len || !mg_slice_ieq(f->name, want)) continue;
    if (n++ == 0) found = f->value;
  }
  if (count) *count = n;
  return found;
}

void *mg_exchange_get(struct mg_exchange *x) {
  return x->user;
}

void mg_exchange_set(struct mg_exchange *x, void *user) {
  x->user = user;
}

void mg_exchange_drop_body(struct mg_exchange *x) {
  struct mg_http_parser *p = &x->c->parser;
  if (!x->delivered) return; /* it is still coming in */
  mg_blob_unref(p->body);
  p->body = NULL;
  if (p->head) p->head->req.body = NULL;
}

void mg_exchange_compact(struct mg_exchange *x) {
  if (x->delivered) mg_http_parser_done(&x->c->parser);
}

/* What was written a moment ago, after a long silence, is not acknowledged yet either: only bytes that had to be sent
 * again and again tell. */
uint64_t mg_exchange_silent_ms(const struct mg_exchange *x) {
  struct tcp_info info;
  socklen_t len = sizeof info;
  memset(&info, 0, sizeof info);
  if (x->c->closed || getsockopt(x->c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0) return 0; /* no TCP at all */
  return info.tcpi_unacked && info.tcpi_retransmits >= RESENT ? info.tcpi_last_ack_recv : 0;
}

size_t mg_exchange_queued(const struct mg_exchange *x) {
  return x->c->out.queued + x->c->out.head.len;
}

/* ---- answering
 * ------------------------------------------------------------------------------------------------- */

/* Answered from `admit` with a body still to come: that body will not be read. */
static void settle_early(struct mg_conn *c) {
  const struct mg_http_parser *p = &c->parser;
  if (c->state != MG_CONN_READ || p->done) return;
  c->keep_alive = 0;
  c->linger = 1;
}

static void drop(struct mg_seg *segs, size_t n) {
  for (size_t i = 0; i < n; i++) mg_blob_unref(segs[i].blob);
}

static uint64_t total(const struct mg_seg *segs, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += segs[i].len;
  return sum;
}

static int begun(const struct mg_conn *c) {
  return c->state != MG_CONN_READ && c->state != MG_CONN_PENDING;
}

int mg_exchange_reply(struct mg_exchange *x, int status, struct mg_slice headers, struct mg_seg *segs,
                      size_t n) {
  struct mg_conn *c = x->c;
  int bodyless = is_bodyless(status), silent = bodyless || x->is_head, minor = x->minor;
  if (begun(c)) {
    drop(segs, n);
    return MCPGW_E_STATE;
  }
  c->busy++;
  settle_early(c);
  int rc = mg_http_head_text(c->s, status, headers, bodyless ? MG_BODY_NONE : MG_BODY_LENGTH, total(segs, n),
                             minor, c->keep_alive && !c->s->stopping);
  if (rc == MCPGW_OK) rc = mg_http_out_head(&c->out, mg_buf_slice(&c->s->head));
  if (rc != MCPGW_OK || silent) drop(segs, n);
  else rc = mg_http_out_push(&c->out, segs, n);
  mg_conn_end_exchange(c);
  c->state = MG_CONN_DRAIN;
  if (rc == MCPGW_OK) mg_conn_after_flush(c, mg_conn_flush(c));
  else mg_conn_cut(c);
  mg_conn_release(c);
  return rc;
}

int mg_exchange_reply_text(struct mg_exchange *x, int status, const char *type, struct mg_slice body) {
  char line[160];
  struct mg_buf b;
  struct mg_seg seg = {NULL, "", 0};
  int rc;
  if (!type) return mg_exchange_reply(x, status, mg_slice("", 0), NULL, 0);
  mg_buf_init(&b, sizeof line);
  mg_buf_addz(&b, "Content-Type: ");
  mg_buf_addz(&b, type);
  mg_buf_addz(&b, "\r\n");
  if ((seg.blob = mg_blob_copy(x->c->s->budget, body.ptr, body.len))) {
    seg.ptr = mg_blob_slice(seg.blob).ptr;
    seg.len = body.len;
  }
  if (mg_buf_rc(&b) == MCPGW_OK && seg.blob) {
    rc = mg_exchange_reply(x, status, mg_buf_slice(&b), &seg, 1);
  } else {
    rc = begun(x->c) ? MCPGW_E_STATE : MCPGW_E_NOMEM;
    mg_blob_unref(seg.blob);
    if (rc != MCPGW_E_STATE) mg_exchange_cut(x);
  }
  mg_buf_done(&b);
  return rc;
}

int mg_exchange_stream_begin(struct mg_exchange *x, int status, struct mg_slice headers) {
  struct mg_conn *c = x->c;
  if (begun(c) || !x->delivered || is_bodyless(status)) return MCPGW_E_STATE;
  if (x->minor == 0) c->keep_alive = 0;
  int rc = mg_http_head_text(c->s, status, headers, x->minor ? MG_BODY_CHUNKED : MG_BODY_CLOSE, 0, x->minor,
                             c->keep_alive && !c->s->stopping);
  if (rc == MCPGW_OK) rc = mg_http_out_head(&c->out, mg_buf_slice(&c->s->head));
  if (rc == MCPGW_OK) rc = mg_http_out_keep(&c->out);
  if (rc != MCPGW_OK) {
    mg_http_out_done(&c->out); /* nothing was kept: the caller may still reply */
    return rc;
  }
  c->state = MG_CONN_STREAM;
  c->out.chunked = x->minor && !x->is_head;
  mg_http_server_dirty(c);
  return MCPGW_OK;
}

int mg_exchange_stream_write(struct mg_exchange *x, struct mg_seg *segs, size_t n, size_t max_queued) {
  struct mg_conn *c = x->c;
  uint64_t len = total(segs, n);
  int rc = MCPGW_E_STATE;
  if (c->state != MG_CONN_STREAM) goto out;
  rc = MCPGW_OK;
  if (x->is_head) goto out;
  x->mark = max_queued;
  rc = MCPGW_E_LIMIT;
  if (c->out.queued > max_queued || len > max_queued - c->out.queued) {
    x->above = 1;
    goto out;
  }
  rc = mg_http_out_push(&c->out, segs, n);
  n = 0;
  if (c->out.queued >= max_queued / 2) x->above = 1;
  mg_http_server_dirty(c);
out:
  drop(segs, n);
  return rc;
}

int mg_exchange_stream_end(struct mg_exchange *x) {
  struct mg_conn *c = x->c;
  if (c->state != MG_CONN_STREAM) return MCPGW_E_STATE;
  c->out.ended = c->out.chunked;
  mg_conn_end_exchange(c);
  c->state = MG_CONN_DRAIN;
  mg_http_server_due(c, c->s->limits.write_ms);
  mg_http_server_dirty(c);
  return MCPGW_OK;
}

void mg_exchange_cut(struct mg_exchange *x) {
  mg_conn_cut(x->c);
}
