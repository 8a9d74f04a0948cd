/* transport/http_call: one POST a message and what comes back of it: a JSON body, an event stream, or a
 * refusal. It judges framing, content type and status, never the JSON-RPC inside. Must deliver a failure
 * or a message for each awaited call, once, and say of a failure what is known of its delivery. */
#include <string.h>

#include "base/clock.h"
#include "transport/http_priv.h"

/* ---- sending ------------------------------------------------------------------------------------ */
/* Streams and DELETE belong to no message: they speak the last one's revision with its credential. */
static int remember(struct http_link *l, const mcpgw_message *m) {
  size_t n = m->revision ? strlen(m->revision) : 0;
  if (m->modern) return MCPGW_OK;
  if (n >= sizeof l->revision) return MCPGW_E_INVALID;
  if (n && !m->handshake) memcpy(l->revision, m->revision, n + 1);
  for (size_t i = 0; i < m->n_headers; i++) {
    if (!mg_slice_ieqz(mg_slice_z(m->headers[i].name), "authorization")) continue;
    if (l->authorization.len) explicit_bzero(l->authorization.ptr, l->authorization.len);
    mg_buf_reset(&l->authorization);
    (void)mg_buf_addz(&l->authorization, m->headers[i].value);
    if (mg_buf_addc(&l->authorization, '\0') != MCPGW_OK) mg_buf_reset(&l->authorization);
  }
  return MCPGW_OK;
}

static int post_lines(struct http_exchange *x, const mcpgw_message *m) {
  struct mg_http_transport *t = x->l->t;
  mg_http_lines_begin(t);
  mg_http_line(t, "Content-Type", "application/json");
  mg_http_line(t, "Accept", "application/json, text/event-stream");
  if (!m->handshake && m->revision && m->revision[0]) mg_http_line(t, "MCP-Protocol-Version", m->revision);
  if (x->with_session) mg_http_line(t, "Mcp-Session-Id", x->l->session);
  for (size_t i = 0; i < m->n_headers; i++) mg_http_line(t, m->headers[i].name, m->headers[i].value);
  return mg_http_lines_end(t, m->headers, m->n_headers);
}

/* Streams that stay open slow the lookups of short requests down: they live apart. */
static int is_lasting(const mcpgw_message *m) {
  for (size_t i = 0; i < m->n_headers; i++)
    if (mg_slice_ieqz(mg_slice_z(m->headers[i].name), "mcp-method"))
      return !strcmp(m->headers[i].value, "subscriptions/listen");
  return 0;
}

int mg_http_send(void *impl, const mcpgw_message *m) {
  struct http_link *l = impl;
  struct http_exchange *x;
  int rc;
  if (l->ended || l->closed) return MCPGW_E_CLOSED;
  if (m->kind == MCPGW_SEND_REQUEST && !m->call) return MCPGW_E_INVALID;
  if ((rc = remember(l, m)) != MCPGW_OK) return rc;
  if (!(x = mg_http_exchange_new(l, (int)m->kind))) return MCPGW_E_NOMEM;
  x->modern = !!m->modern;
  x->handshake = !!m->handshake;
  x->lasting = is_lasting(m);
  x->connect_ms = m->connect_ms;
  x->with_session = l->session && !m->modern && !m->handshake;
  if (m->kind == MCPGW_SEND_REQUEST) {
    if ((rc = mg_map_putu(l->calls, m->call, x)) != MCPGW_OK) goto out;
    x->call = m->call;
  }
  if ((rc = post_lines(x, m)) != MCPGW_OK) goto out;
  rc = mg_http_start(x, "POST", m->bytes);
out:
  mg_http_lines_wipe(l->t);
  if (rc != MCPGW_OK) mg_http_exchange_drop(x);
  return rc;
}

/* ---- the head of a reply ------------------------------------------------------------------------ */
static unsigned two_digits(const char *p) {
  return p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9' ? 255
                                                              : (unsigned)((p[0] - '0') * 10 + p[1] - '0');
}

/* "Wed, 21 Oct 2026 07:28:00 GMT" as seconds since 1970; 0 when it is none. */
static uint64_t http_date(struct mg_slice s) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  static const unsigned before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  unsigned m = 0, day, year, h, min, sec, leaps;
  if (s.len != 29 || memcmp(s.ptr + 25, " GMT", 4)) return 0;
  while (m < 12 && memcmp(months + (size_t)m * 3, s.ptr + 8, 3)) m++;
  day = two_digits(s.ptr + 5), h = two_digits(s.ptr + 17);
  min = two_digits(s.ptr + 20), sec = two_digits(s.ptr + 23);
  year = two_digits(s.ptr + 14);
  if (m == 12 || memcmp(s.ptr + 12, "20", 2) || day < 1 || day > 31 || year > 99 || h > 23 || min > 59 ||
      sec > 60)
    return 0;
  leaps = 7 + (year + 3) / 4 + (year % 4 == 0 && m > 1); /* leap days since 1970; 2000 was a leap year */
  return ((uint64_t)(30 + year) * 365 + leaps + before[m] + day - 1) * 86400 + h * 3600u + min * 60u + sec;
}

static uint64_t retry_after_ms(struct mg_slice s) {
  uint64_t n = 0, now = mg_unix_ms();
  if (mg_slice_u64(s, &n) == MCPGW_OK) return n > 86400 ? 86400000 : n * 1000;
  n = http_date(s) * 1000;
  if (n <= now) return 0;
  return n - now > 86400000 ? 86400000 : n - now;
}

static const char *session_fault(const struct mg_http_response *r) {
  if (r->count_session_id > 1) return "upstream sent more than one mcp-session-id";
  if (r->session_id.len > SESSION_MAX) return "upstream sent an mcp-session-id longer than 1024 bytes";
  if (r->count_session_id && !r->session_id.len) return "upstream sent an empty mcp-session-id";
  for (size_t i = 0; i < r->session_id.len; i++)
    if (r->session_id.ptr[i] < 0x21 || r->session_id.ptr[i] > 0x7e)
      return "upstream sent an mcp-session-id with characters that are not visible ascii";
  return NULL;
}

static int refuse(struct http_exchange *x, int code, uint32_t delivered, const char *text) {
  mg_http_fail(x, code, delivered, text);
  return code;
}

static int session_take(struct http_exchange *x, const struct mg_http_response *r) {
  const char *fault = session_fault(r);
  if (fault) return refuse(x, MCPGW_E_PARSE, MCPGW_DELIVERED_YES, fault);
  mg_free(x->l->session);
  x->l->session = NULL;
  if (!r->session_id.len) return MCPGW_OK;
  x->l->session = mg_memdup(r->session_id.ptr, r->session_id.len);
  return x->l->session ? MCPGW_OK : refuse(x, MCPGW_E_NOMEM, MCPGW_DELIVERED_YES, "out of memory");
}

static int is_json(struct mg_slice type) {
  struct mg_slice tail = type.len > 5 ? mg_slice_sub(type, type.len - 5, 5) : mg_slice(NULL, 0);
  return mg_slice_ieqz(type, "application/json") || mg_slice_ieqz(tail, "+json");
}

static int request_head(struct http_exchange *x, const struct mg_http_response *r) {
  if (x->status < 200 || x->status > 299) {
    int words = x->status == 400 && x->with_session && mg_slice_ieqz(r->content_type, "text/plain");
    x->mode = !r->content_type.len || is_json(r->content_type) || words ? MODE_BODY : MODE_SKIP;
    return MCPGW_OK;
  }
  if (x->handshake && !x->modern) {
    int rc = session_take(x, r);
    if (rc != MCPGW_OK) return rc;
  }
  if (x->status == 202 || x->status == 204)
    return refuse(x, MCPGW_E_PARSE, MCPGW_DELIVERED_YES,
                  "upstream accepted the request without answering it");
  if (is_json(r->content_type)) {
    x->mode = MODE_BODY;
    return MCPGW_OK;
  }
  if (!mg_slice_ieqz(r->content_type, "text/event-stream"))
    return refuse(x, MCPGW_E_PARSE, MCPGW_DELIVERED_YES,
                  "upstream answered with neither json nor an event stream");
  if (mg_http_events_begin(x) == MCPGW_OK) return MCPGW_OK;
  return refuse(x, MCPGW_E_NOMEM, MCPGW_DELIVERED_YES, "out of memory");
}

static void alive(struct http_exchange *x) {
  if (x->call && !x->draining && !x->gone && !x->l->closed) mcpgw_link_alive(x->l->link, x->call);
}

static int head(void *arg, const struct mg_http_response *r) {
  struct http_exchange *x = arg;
  int rc = MCPGW_OK;
  x->busy++;
  alive(x);
  x->status = r->status;
  x->retry_after_ms = r->retry_after.len ? retry_after_ms(r->retry_after) : 0;
  if (r->status == 404 && x->with_session) {
    mg_http_session_gone(x->l, x);
    rc = MCPGW_E_NOT_FOUND;
  } else if (x->kind == KIND_LISTEN) {
    rc = mg_http_listen_head(x, r);
  } else if (x->kind != MCPGW_SEND_REQUEST) {
    x->mode = MODE_SKIP;
  } else {
    rc = x->resumed ? mg_http_resume_head(x, r) : request_head(x, r);
  }
  mg_http_exchange_leave(x);
  return rc;
}

/* ---- its body ----------------------------------------------------------------------------------- */
/* Refusals by rule or form were not carried out, nor was what should be sent elsewhere as it is. Any other redirect may
 * be the way of a server to say that it did it, and where its answer lies (303, and often 302). */
static int is_refusal(int status) {
  return (status >= 400 && status < 500 && status != 408 && status != 409) || status == 307 || status == 308;
}

/* What a status without a JSON-RPC answer says. */
static void fail_by_status(struct http_exchange *x) {
  char text[] = "upstream answered http status 000";
  int code = MCPGW_E_IO, s = x->status;
  uint32_t delivered = MCPGW_DELIVERED_UNKNOWN;
  for (int i = 0, d = s; i < 3; i++, d /= 10) text[sizeof text - 2 - (size_t)i] = (char)('0' + d % 10);
  if (s == 401 || s == 403) code = MCPGW_E_DENIED;
  if (s == 413) code = MCPGW_E_LIMIT;
  if (s == 408 || s == 504) code = MCPGW_E_TIMEOUT;
  if (is_refusal(s)) delivered = MCPGW_DELIVERED_NO;
  mg_http_fail(x, code, delivered, text);
}

static int body_add(struct http_exchange *x, const void *data, size_t len) {
  mcpgw_link *link = x->l->link;
  size_t ceiling = mcpgw_link_result_bytes(link), have = x->body ? mcpgw_bytes_len(x->body) : 0;
  int rc = MCPGW_OK;
  if (len > ceiling - have)
    return refuse(x, MCPGW_E_LIMIT, MCPGW_DELIVERED_YES, "upstream's answer is larger than limits.result_bytes");
  if (!x->body) rc = mcpgw_bytes_new(link, ceiling, &x->body);
  if (rc == MCPGW_OK) rc = mcpgw_bytes_append(x->body, data, len);
  if (rc == MCPGW_OK) return rc;
  return refuse(x, MCPGW_E_NOMEM, MCPGW_DELIVERED_YES,
                rc == MCPGW_E_LIMIT ? "limits.memory_bytes leaves no room for the answer" : "out of memory");
}

/* Reading a little of what nobody wants keeps the connection; much of it is not worth that. */
static int body_skip(struct http_exchange *x, size_t len) {
  if ((x->skipped += len) <= SKIP_MAX) return MCPGW_OK;
  if (x->kind == MCPGW_SEND_REQUEST && !x->draining && !x->resumed) fail_by_status(x);
  else if (x->kind == MCPGW_SEND_REQUEST && !x->draining)
    return MCPGW_E_LIMIT; /* done follows and decides on another attempt */
  else mg_http_exchange_drop(x);
  return MCPGW_E_LIMIT;
}

static int body(void *arg, const void *data, size_t len) {
  struct http_exchange *x = arg;
  int rc = MCPGW_OK;
  x->busy++;
  alive(x);
  if (x->draining || x->mode == MODE_SKIP) rc = body_skip(x, len);
  else if (x->mode == MODE_BODY) rc = body_add(x, data, len);
  else if (x->mode == MODE_EVENTS) rc = mg_http_events_feed(x, data, len);
  mg_http_exchange_leave(x);
  return rc;
}

/* ---- its end ------------------------------------------------------------------------------------ */
static struct mg_slice blank_trim(const mcpgw_bytes *b) {
  const char *p = b ? mcpgw_bytes_data(b) : NULL;
  size_t n = b ? mcpgw_bytes_len(b) : 0;
  while (n && memchr(" \t\r\n", p[0], 4)) p++, n--;
  while (n && memchr(" \t\r\n", p[n - 1], 4)) n--;
  return mg_slice(p, n);
}

/* The exchange is over before the gateway sees the message: it may do what it likes meanwhile. */
static void deliver_body(struct http_exchange *x) {
  mcpgw_link *link = x->l->link;
  mcpgw_bytes *b = x->body;
  uint64_t call = x->call;
  uint32_t status = (uint32_t)x->status;
  x->body = NULL;
  mg_http_exchange_drop(x);
  mcpgw_link_message(link, call, b, status);
}

static void request_done(struct http_exchange *x, const struct mg_http_fault *fault) {
  int ok = x->status >= 200 && x->status <= 299;
  struct mg_slice text = blank_trim(x->body);
  if (!x->status) {
    mg_http_fail(x, fault ? fault->rc : MCPGW_E_PARSE,
                 fault ? (uint32_t)fault->delivered : MCPGW_DELIVERED_UNKNOWN,
                 fault ? fault->text : "upstream sent no status");
    return;
  }
  if (x->mode == MODE_EVENTS) mg_http_stream_ended(x);
  else if (!fault && x->with_session && mg_http_says_lost(x->status, text)) mg_http_session_gone(x->l, x);
  else if (!ok && (fault || x->mode != MODE_BODY || !text.len || text.ptr[0] != '{' ||
                   text.ptr[text.len - 1] != '}'))
    fail_by_status(x);
  else if (fault) mg_http_fail(x, fault->rc, MCPGW_DELIVERED_YES, fault->text);
  else if (!text.len)
    mg_http_fail(x, MCPGW_E_PARSE, MCPGW_DELIVERED_YES, "upstream answered with an empty body");
  else deliver_body(x);
}

/* Notifications and responses: nobody waits, but an operator wants to know. */
static void oneway_done(struct http_exchange *x, const struct mg_http_fault *fault) {
  const char *text = fault ? fault->text : "upstream refused a notification or response";
  if (!x->status || x->status < 200 || x->status > 299)
    mcpgw_link_log(x->l->link, MCPGW_LOG_WARN, "upstream.oneway_lost", text, strlen(text));
  mg_http_exchange_drop(x);
}

static void done(void *arg, const struct mg_http_fault *fault) {
  struct http_exchange *x = arg;
  x->busy++;
  x->http = NULL;
  if (x->draining) mg_http_exchange_drop(x);
  else if (x->kind == KIND_LISTEN) mg_http_listen_done(x, fault);
  else if (x->kind != MCPGW_SEND_REQUEST) oneway_done(x, fault);
  else if (x->resumed) mg_http_resume_done(x, fault);
  else request_done(x, fault);
  mg_http_exchange_leave(x);
}

static void sent(void *arg) {
  struct http_exchange *x = arg;
  x->busy++;
  if (x->kind == MCPGW_SEND_REQUEST) mcpgw_link_sent(x->l->link, x->call);
  mg_http_exchange_leave(x);
}

const struct mg_http_call_events mg_http_exchange_events = {
    .sent = sent, .head = head, .body = body, .done = done};

/* ---- cancelling --------------------------------------------------------------------------------- */
static void drain_due(void *arg) {
  struct http_link *l = arg;
  uint64_t now = mg_now_ms();
  struct mg_list *n;
  while ((n = mg_list_first(&l->draining))) {
    struct http_exchange *x = MG_CONTAINER(n, struct http_exchange, node);
    if (x->drain_until_ms > now) {
      mcpgw_timer_set(l->drain_timer, x->drain_until_ms - now);
      return;
    }
    mg_http_exchange_drop(x);
  }
}

/* The gateway has its answer and the server is about to end the stream: that keeps the connection. */
static int drain(struct http_exchange *x) {
  struct http_link *l = x->l;
  if (l->n_draining == DRAIN_MAX) return MCPGW_E_LIMIT;
  if (!l->drain_timer && mcpgw_timer_new(l->link, drain_due, l, &l->drain_timer) != MCPGW_OK)
    return MCPGW_E_NOMEM;
  if (mg_list_empty(&l->draining)) mcpgw_timer_set(l->drain_timer, DRAIN_MS);
  x->draining = 1;
  x->drain_until_ms = mg_now_ms() + DRAIN_MS;
  x->skipped = 0;
  mg_list_del(&x->node);
  mg_list_add(&l->draining, &x->node);
  l->n_draining++;
  return MCPGW_OK;
}

void mg_http_cancel(void *impl, uint64_t call) {
  struct http_link *l = impl;
  struct http_exchange *x = mg_map_delu(l->calls, call);
  if (!x || (x->delivering && x->http && drain(x) == MCPGW_OK)) return;
  mg_http_exchange_drop(x);
}
