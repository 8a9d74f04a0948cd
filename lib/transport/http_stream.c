/* transport/http_stream: event streams, of a call or of the link. Hands each event's data on as a
 * message, resumes a legacy call's stream by GET with Last-Event-ID, and keeps the listening GET stream
 * of a legacy session alive. Must never resume in the modern era, where a lost stream is a lost call. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "transport/http_priv.h"

/* ---- events ------------------------------------------------------------------------------------- */
static void keep_place(struct http_exchange *x, const struct mg_sse_event_view *ev) {
  size_t n = ev->id.len <= SESSION_MAX ? ev->id.len : 0; /* too long to send back: not resumable */
  if (ev->has_retry) x->retry_ms = ev->retry_ms < RETRY_MAX_MS ? ev->retry_ms : RETRY_MAX_MS;
  if (!ev->has_id) return;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)ev->id.ptr[i] < 0x20 || ev->id.ptr[i] == 0x7f) n = 0;
  mg_free(x->last_id);
  x->last_id = n ? mg_memdup(ev->id.ptr, n) : NULL; /* without memory: not resumable */
}

static int on_event(void *arg, struct mg_sse_event_view *ev) {
  struct http_exchange *x = arg;
  mcpgw_link *link = x->l->link;
  keep_place(x, ev);
  x->failures = 0;
  x->heard = 1;
  if (!ev->data || !mg_blob_len(ev->data) || (ev->type.len && !mg_slice_eqz(ev->type, "message"))) {
    int first = (!ev->data || !mg_blob_len(ev->data)) && x->call; /* else an event that is no message */
    mg_blob_unref(ev->data);
    if (first) mcpgw_link_streaming(link, x->call);
  } else if (x->call && x->with_session && mg_http_says_lost(x->status, mg_blob_slice(ev->data))) {
    mg_blob_unref(ev->data);
    mg_http_session_gone(x->l, x);
  } else {
    x->attempts = 0;
    x->delivering++;
    mcpgw_link_message(link, x->call, ev->data, (uint32_t)x->status);
    x->delivering--;
  }
  return x->gone || x->draining ? MCPGW_E_CLOSED : MCPGW_OK;
}

int mg_http_events_begin(struct http_exchange *x) {
  mg_sse_reader_free(x->events); /* what was half an event on the last connection comes again */
  x->events = NULL;
  x->opened_ms = mg_now_ms();
  x->heard = 0;
  x->mode = MODE_EVENTS;
  return mg_sse_reader_new(x->l->t->budget, mcpgw_link_result_bytes(x->l->link), on_event, x, &x->events);
}

int mg_http_events_feed(struct http_exchange *x, const void *data, size_t len) {
  int rc = mg_sse_feed(x->events, data, len);
  if (x->gone) return MCPGW_E_CLOSED;
  if (x->draining || rc == MCPGW_OK) return MCPGW_OK;
  if (x->kind == MCPGW_SEND_REQUEST)
    mg_http_fail(x, rc, MCPGW_DELIVERED_YES,
                 rc == MCPGW_E_LIMIT   ? "upstream's message is larger than limits.result_bytes"
                 : rc == MCPGW_E_NOMEM ? "limits.memory_bytes leaves no room for the answer"
                                       : "upstream's event stream cannot be read");
  return rc;
}

/* ---- GETs --------------------------------------------------------------------------------------- */
static int get(struct http_exchange *x) {
  struct http_link *l = x->l;
  struct mg_http_transport *t = l->t;
  mcpgw_header own = {"Authorization", l->authorization.ptr};
  int rc;
  x->lasting = 1;
  mg_http_lines_begin(t);
  mg_http_line(t, "Accept", "text/event-stream");
  if (l->revision[0]) mg_http_line(t, "MCP-Protocol-Version", l->revision);
  if ((x->with_session = l->session != NULL)) mg_http_line(t, "Mcp-Session-Id", l->session);
  if (x->last_id) mg_http_line(t, "Last-Event-ID", x->last_id);
  if (l->authorization.len) mg_http_line(t, own.name, own.value);
  rc = mg_http_lines_end(t, &own, l->authorization.len ? 1 : 0);
  if (rc == MCPGW_OK) rc = mg_http_start(x, "GET", NULL);
  mg_http_lines_wipe(t);
  return rc;
}

static uint64_t backoff_ms(unsigned failures, uint64_t from_ms, uint64_t to_ms) {
  uint64_t ms = failures < 8 ? from_ms << failures : to_ms;
  ms += mg_jitter(ms / 2);
  return ms < to_ms ? ms : to_ms;
}

static int wait_then(struct http_exchange *x, void (*cb)(void *), uint64_t ms) {
  int rc = x->timer ? MCPGW_OK : mcpgw_timer_new(x->l->link, cb, x, &x->timer);
  if (rc == MCPGW_OK) mcpgw_timer_set(x->timer, ms);
  return rc;
}

/* ---- resuming a call's stream ------------------------------------------------------------------- */
static void resume_due(void *arg) {
  struct http_exchange *x = arg;
  int rc;
  x->busy++;
  x->resumed = 1;
  if ((rc = get(x)) != MCPGW_OK)
    mg_http_fail(x, rc, MCPGW_DELIVERED_YES, "upstream stream could not be resumed");
  mg_http_exchange_leave(x);
}

/* The server's retry is respected as it is; what fails again and again is asked ever less often. */
static void resume_later(struct http_exchange *x) {
  uint64_t ms = x->retry_ms != UINT64_MAX ? x->retry_ms : RESUME_MS, slow;
  slow = x->failures ? backoff_ms(x->failures - 1, RESUME_MS, RESUME_MAX_MS) : 0;
  if (slow > ms) ms = slow;
  if (++x->attempts > RESUME_ATTEMPTS)
    mg_http_fail(x, MCPGW_E_CLOSED, MCPGW_DELIVERED_YES,
                 "upstream stream was resumed 100 times without a message");
  else if (wait_then(x, resume_due, ms) != MCPGW_OK)
    mg_http_fail(x, MCPGW_E_NOMEM, MCPGW_DELIVERED_YES, "out of memory");
}

void mg_http_stream_ended(struct http_exchange *x) {
  if (!x->modern && x->last_id) resume_later(x);
  else mg_http_fail(x, MCPGW_E_CLOSED, MCPGW_DELIVERED_YES, "stream ended without a response");
}

int mg_http_resume_head(struct http_exchange *x, const struct mg_http_response *r) {
  int rc = MCPGW_E_PARSE;
  if (r->status == 200 && mg_slice_ieqz(r->content_type, "text/event-stream")) {
    if ((rc = mg_http_events_begin(x)) == MCPGW_OK) return rc;
  } else if (r->status >= 500 || r->status == 408 || r->status == 429) {
    x->mode = MODE_SKIP;
    return MCPGW_OK;
  }
  mg_http_fail(x, MCPGW_E_CLOSED, MCPGW_DELIVERED_YES,
               "stream ended without a response and cannot be resumed");
  return rc;
}

void mg_http_resume_done(struct http_exchange *x, const struct mg_http_fault *fault) {
  (void)fault;
  if (x->mode != MODE_EVENTS) x->failures++; /* refused for now, or no connection */
  resume_later(x);
}

/* ---- the listening stream of a legacy session --------------------------------------------------- */
static void listen_due(void *arg) {
  struct http_exchange *x = arg;
  x->busy++;
  if (get(x) != MCPGW_OK) mg_http_listen_done(x, NULL);
  mg_http_exchange_leave(x);
}

/* 409: servers say so while they have not noticed that the old stream is gone. */
static int is_passing(int status) {
  return status >= 500 || status == 408 || status == 409 || status == 429 || status == 401 || status == 403;
}

int mg_http_listen_head(struct http_exchange *x, const struct mg_http_response *r) {
  static const char text[] = "upstream has no stream for messages of its own";
  if (r->status == 200 && mg_slice_ieqz(r->content_type, "text/event-stream")) {
    int missed = x->missed, rc = mg_http_events_begin(x);
    x->missed = 0;
    if (rc == MCPGW_OK && missed) mcpgw_link_gap(x->l->link);
    return x->gone ? MCPGW_E_CLOSED : rc;
  }
  if (x->last_id && r->status >= 400 && r->status < 500 && r->status != 405 && !is_passing(r->status)) { /* it does not know the place any more */
    mg_free(x->last_id);
    x->last_id = NULL;
    x->missed = 1;
    x->mode = MODE_SKIP;
    return MCPGW_OK;
  }
  if (is_passing(r->status)) {
    x->mode = MODE_SKIP;
    return MCPGW_OK;
  }
  x->l->no_listener = 1;
  mcpgw_link_log(x->l->link, r->status == 405 ? MCPGW_LOG_DEBUG : MCPGW_LOG_WARN, "upstream.no_listen_stream",
                 text, sizeof text - 1);
  mg_http_exchange_drop(x);
  return MCPGW_E_UNSUPPORTED;
}

/* Is what ended one more thing to listen to? Some servers answer the GET with a stream that ends at once: nothing
 * is ever said there. One that closes in order knows where we were and goes on from there. */
static int may_miss(const struct http_exchange *x, int orderly) {
  if (!orderly) return 1;
  return !x->last_id && (x->heard || mg_now_ms() - x->opened_ms >= LISTEN_MIN_MS);
}

void mg_http_listen_done(struct http_exchange *x, const struct mg_http_fault *fault) {
  uint64_t ms;
  int orderly = x->mode == MODE_EVENTS && !fault;
  if (may_miss(x, orderly)) x->missed = 1;
  if (x->mode == MODE_EVENTS && mg_now_ms() - x->opened_ms > LISTEN_MAX_MS) x->failures = 0;
  ms = backoff_ms(x->failures, LISTEN_MIN_MS, LISTEN_MAX_MS);
  if (orderly && !x->failures && x->retry_ms != UINT64_MAX)
    ms = x->retry_ms > LISTEN_AGAIN_MS ? x->retry_ms : LISTEN_AGAIN_MS;
  x->failures++; /* an event sets it back */
  if (wait_then(x, listen_due, ms) != MCPGW_OK) mg_http_exchange_drop(x);
}

void mg_http_listen(void *impl, const char *revision) {
  struct http_link *l = impl;
  struct http_exchange *x;
  size_t n = revision ? strlen(revision) : 0;
  if (l->ended || l->closed || l->listener || l->no_listener) return;
  if (n && n < sizeof l->revision) memcpy(l->revision, revision, n + 1);
  if (!(x = mg_http_exchange_new(l, KIND_LISTEN))) return;
  l->listener = x;
  listen_due(x);
}
