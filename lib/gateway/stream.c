/* gateway/stream: owns the answer to a POST and a session's own channel: JSON when the reply is whole and
 * alone in time, else Server-Sent Events with heartbeats (DESIGN §4). A legacy stream outlives its
 * connection for resume_ms; a modern one is cancelled with it (§11). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"
#include "http/sse.h"

#define QUEUE_MAX ((size_t)8 << 20)  /* bytes a reader may lag behind, the final message apart */
#define REPLAY_EVENTS 256
#define REPLAY_BYTES ((size_t)1 << 20)
#define EVENT_EXTRA ((size_t)4096)    /* at most, around a message */
#define REPLAY_SHARE 4                /* part of limits.memory_bytes that all streams together may remember */
#define KEEP_BYTES ((size_t)64 << 10) /* a finished stream that remembers more is not kept */
#define RETRY_MS 1000                 /* told to clients that may resume */
#define EVENT_SEGS 64

enum { PENDING, STREAMING, FINISHED };

struct mg_stream {
  struct mg_out out;      /* first */
  struct mg_alarm alarm;
  struct mcpgw_gateway *gw;
  struct mg_exchange *x;  /* NULL: the connection is gone, or was never there (channel) */
  struct mg_session *session; /* NULL: modern */
  struct mg_list node;    /* in the session */
  struct mg_list orphan;  /* in gw->orphans: calls are under way and nobody is connected; or in gw->over */
  struct mg_stream **self;
  uint64_t number, seq, sent_seq, wrote_ms, began_ms; /* began: on this connection */
  int mode, batch, is_channel;
  size_t left;            /* requests still unanswered */
  mg_blob *collected;     /* batch: the replies so far, comma-separated */
  struct mg_replay replay;
};

struct mg_sink *mg_stream_sink(struct mg_stream *st) {
  return &st->out.sink;
}

uint64_t mg_stream_number(const struct mg_stream *st) {
  return st->number;
}

int mg_stream_is_over(const struct mg_stream *st) {
  return st->mode == FINISHED;
}

struct mg_list *mg_stream_node(struct mg_stream *st) {
  return &st->node;
}

struct mg_stream *mg_stream_of(struct mg_list *node) {
  return MG_CONTAINER(node, struct mg_stream, node);
}

void mg_stream_watch(struct mg_stream *st, struct mg_stream **self) {
  st->self = self;
}

void mg_stream_bind(struct mg_stream *st, struct mg_session *s) {
  st->session = s;
  st->number = mg_session_add(s, st);
}

/* Frees the stream; its exchange has been ended, or is the server's alone. */
static void stream_free(struct mg_stream *st) {
  if (st->self) *st->self = NULL;
  if (st->session) mg_session_remove(st->session, st);
  mg_list_del(&st->orphan);
  mg_gw_alarm_off(st->gw, &st->alarm);
  st->gw->replays_dropped += st->replay.dropped;
  mg_replay_done(&st->replay);
  mg_blob_unref(st->collected);
  mg_free(st);
}

static int is_resumable(const struct mg_stream *st) {
  return st->session && mg_revision_resumes(mg_ctx_revision(mg_session_ctx(st->session)));
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static int headers_of(struct mg_stream *st, const char *type, const char *session, struct mg_buf *h) {
  mg_buf_init(h, 8192);
  mg_buf_addz(h, type);
  if (session) {
    mg_buf_addz(h, "Mcp-Session-Id: ");
    mg_buf_addz(h, session);
    mg_buf_addz(h, "\r\n");
  }
  mg_access_cors(st->gw, st->x, h);
  return mg_buf_rc(h);
}

/* Nobody is connected: a legacy client has resume_ms to come back, unless nobody can any more. */
static void wait_for_client(struct mg_stream *st) {
  uint64_t patience = st->session && !st->gw->stopping ? st->gw->config->resume_ms : 0;
  if (st->is_channel) {
    mg_ctx_set_left(mg_session_ctx(st->session), 1, mg_gw_now(st->gw));
    mg_gw_alarm_off(st->gw, &st->alarm);
    return;
  }
  mg_list_add(&st->gw->orphans, &st->orphan);
  mg_gw_alarm(st->gw, &st->alarm, mg_gw_now(st->gw) + patience);
}

/* Cuts a connection that cannot be written to. The core may be on the stack: what follows from it (a modern
 * call is cancelled, a legacy one waits to be resumed) happens when the alarm rings. */
static void cut(struct mg_stream *st, const char *why) {
  struct mg_exchange *x = st->x;
  st->gw->streams_cut++;
  mg_log(&st->gw->log, MG_LOG_WARN, "stream.cut", "reason", why, (char *)0);
  mg_exchange_set(x, NULL);
  mg_exchange_cut(x);
  st->x = NULL;
  wait_for_client(st);
}

static void lose_connection(struct mg_stream *st) {
  cut(st, "the client reads too slowly");
}

static int write_text(struct mg_stream *st, const char *text, size_t len) {
  mg_blob *b = mg_blob_copy(NULL, text, len);
  if (!b) return MCPGW_E_NOMEM;
  struct mg_seg seg = {b, mg_blob_slice(b).ptr, len};
  st->wrote_ms = mg_gw_now(st->gw);
  return mg_exchange_stream_write(st->x, &seg, 1, QUEUE_MAX);
}

/* When the connection is to be closed, so that the client polls. */
static uint64_t poll_at_ms(const struct mg_stream *st) {
  uint64_t after = st->gw->config->sse_poll_ms;
  return after && is_resumable(st) ? st->began_ms + after : UINT64_MAX;
}

static void heartbeat_later(struct mg_stream *st) {
  uint64_t at = st->wrote_ms + st->gw->config->heartbeat_ms, poll = poll_at_ms(st);
  mg_gw_alarm(st->gw, &st->alarm, poll < at ? poll : at);
}

static void event_id(const struct mg_stream *st, uint64_t seq, char out[48]) {
  snprintf(out, 48, "s%llu-%llu", (unsigned long long)st->number, (unsigned long long)seq);
}

/* The first bytes of a stream leave at once: proxies and clients see that it is alive. */
static void first_byte(struct mg_stream *st) {
  struct mg_buf b;
  char id[48];
  mg_buf_init(&b, 256);
  if (is_resumable(st)) {
    event_id(st, st->seq, id);
    mg_sse_prime(&b, mg_slice_z(id), RETRY_MS);
  } else {
    mg_buf_addz(&b, ": \n\n");
  }
  if (mg_buf_rc(&b) == MCPGW_OK) write_text(st, b.ptr, b.len);
  mg_buf_done(&b);
}

static const char sse_type[] = "Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n";

/* From here on the answer is a stream. */
static void begin(struct mg_stream *st) {
  struct mg_buf h;
  if (st->mode != PENDING) return;
  st->mode = STREAMING;
  st->began_ms = mg_gw_now(st->gw);
  if (!st->x) return;
  const char *session = st->session && !st->is_channel ? mg_ctx_id(mg_session_ctx(st->session)) : NULL;
  int rc = headers_of(st, sse_type, session, &h);
  if (rc == MCPGW_OK) rc = mg_exchange_stream_begin(st->x, 200, mg_buf_slice(&h));
  mg_buf_done(&h);
  if (rc != MCPGW_OK) {
    lose_connection(st);
    return;
  }
  mg_exchange_drop_body(st->x);
  first_byte(st);
  heartbeat_later(st);
}

/* The slow way for a message with many line breaks: one copy with a data field a line. */
static int spell_out(struct mg_stream *st, struct mg_slice id, struct mg_seg *segs, size_t n, struct mg_seg *out) {
  size_t len = 64;
  for (size_t i = 0; i < n; i++) {
    len += segs[i].len;
    for (size_t k = 0; k < segs[i].len; k++) len += segs[i].ptr[k] == '\n' ? 6 : 0;
  }
  mg_blob *b = mg_blob_new(&st->gw->budget, len, len);
  int rc = b ? MCPGW_OK : MCPGW_E_NOMEM;
  if (rc == MCPGW_OK && id.len) {
    mg_blob_append(b, "id: ", 4);
    mg_blob_append(b, id.ptr, id.len);
    rc = mg_blob_append(b, "\n", 1);
  }
  if (rc == MCPGW_OK) rc = mg_blob_append(b, "data: ", 6);
  for (size_t i = 0; rc == MCPGW_OK && i < n; i++) {
    struct mg_slice rest = mg_slice(segs[i].ptr, segs[i].len);
    while (rc == MCPGW_OK && rest.len) {
      const char *lf = memchr(rest.ptr, '\n', rest.len);
      size_t piece = lf ? (size_t)(lf - rest.ptr) : rest.len;
      rc = mg_blob_append(b, rest.ptr, piece);
      if (rc == MCPGW_OK && lf) rc = mg_blob_append(b, "\ndata: ", 7);
      rest = mg_slice_sub(rest, piece + (lf != NULL), rest.len);
    }
  }
  if (rc == MCPGW_OK) rc = mg_blob_append(b, "\n\n", 2);
  mg_segs_unref(segs, n);
  if (rc != MCPGW_OK) {
    mg_blob_unref(b);
    return rc;
  }
  for (char *p = mg_blob_data(b); p < mg_blob_data(b) + mg_blob_len(b); p++)
    if (*p == '\r') *p = ' '; /* can only be white space between tokens; SSE would end the line there */
  *out = (struct mg_seg){b, mg_blob_slice(b).ptr, mg_blob_len(b)};
  return MCPGW_OK;
}

/* What is remembered may not crowd out what is under way, so it has a ceiling of its own. Streams that are over make
 * room; who has lost its connection with a call under way may have as much again as those that listen. */
static void remember(struct mg_stream *st, const struct mg_seg *segs, size_t n) {
  struct mcpgw_gateway *gw = st->gw;
  size_t room = (size_t)gw->config->limits.memory_bytes / REPLAY_SHARE, len = mg_segs_len(segs, n);
  struct mg_list *oldest;
  if (st->x || st->is_channel) room /= 2;
  while (len <= room && gw->replay_bytes > room - len && (oldest = mg_list_first(&gw->over))) {
    struct mg_stream *other = MG_CONTAINER(oldest, struct mg_stream, orphan);
    other->replay.dropped += other->replay.n;
    mg_stream_close(other);
  }
  mg_replay_add(&st->replay, st->seq, segs, n, room);
}

/* The answer to a call is too long to be remembered for its client, which is away: an error in its place is not.
 * Consumes segs. 0: not even that can be said, and who comes back finds nothing. */
static size_t in_place_of(struct mg_stream *st, struct mg_seg *segs, size_t n) {
  struct mg_msg m;
  struct mg_wire_fault why;
  struct mg_buf b;
  mg_blob *whole = NULL, *error = NULL;
  struct mg_fault f = {.reason = MG_WHY_PAYLOAD_TOO_LARGE, .delivered = MCPGW_DELIVERED_YES,
                       .text = "the answer came while the connection was lost, and is too long (over 1 MiB) to be kept"};
  mg_buf_init(&b, 4096);
  int rc = mg_segs_join(&st->gw->budget, segs, n, &whole);
  if (rc == MCPGW_OK) rc = mg_wire_parse(mg_blob_slice(whole), &m, &why);
  if (rc == MCPGW_OK) rc = mg_build_error(&b, mg_msg_raw(&m, MG_S_ID), &f);
  if (rc == MCPGW_OK) error = mg_blob_copy(NULL, b.ptr, b.len);
  mg_buf_done(&b);
  mg_blob_unref(whole);
  st->replay.dropped++;
  if (error) segs[0] = (struct mg_seg){error, mg_blob_slice(error).ptr, mg_blob_len(error)};
  else mg_replay_drop_to(&st->replay, st->seq);
  return error != NULL;
}

/* One message as an event: remembered where it may be asked for again, written where somebody listens.
 * Consumes segs. */
static void send_event(struct mg_stream *st, struct mg_seg *segs, size_t n, int final) {
  struct mg_seg out[EVENT_SEGS];
  size_t n_out = EVENT_SEGS;
  char id[48] = "";
  int rc;
  st->seq++;
  if (final && !st->x && mg_segs_len(segs, n) > REPLAY_BYTES - EVENT_EXTRA && !(n = in_place_of(st, segs, n))) return;
  if (st->session) event_id(st, st->seq, id);
  rc = mg_sse_event(mg_slice_z(id), segs, n, out, &n_out);
  if (rc == MCPGW_E_LIMIT) {
    n_out = 1;
    rc = spell_out(st, mg_slice_z(id), segs, n, out);
  } else if (rc != MCPGW_OK) {
    mg_segs_unref(segs, n);
  }
  if (rc != MCPGW_OK) {
    st->replay.dropped++;
    return;
  }
  if (st->session) remember(st, out, n_out);
  if (!st->x) {
    mg_segs_unref(out, n_out);
    return;
  }
  st->wrote_ms = mg_gw_now(st->gw);
  if (mg_exchange_stream_write(st->x, out, n_out, final ? SIZE_MAX : QUEUE_MAX) == MCPGW_OK) st->sent_seq = st->seq;
  else lose_connection(st);
}

/* ---- the end -------------------------------------------------------------------------------------------- */

/* Lets go of the connection. status: for a POST that has not been answered at all. */
static void hang_up(struct mg_stream *st, int status) {
  struct mg_exchange *x = st->x;
  if (!x) return;
  st->x = NULL;
  mg_exchange_set(x, NULL);
  if (st->mode == PENDING) mg_exchange_reply_text(x, status, NULL, mg_slice(NULL, 0));
  else mg_exchange_stream_end(x);
}

/* All is said. What a client without a connection has yet to fetch is kept (DESIGN §11); so is a short
 * stream that it knows how to resume: its last event may not have arrived. */
static void finish(struct mg_stream *st) {
  int keep = st->session && st->replay.n &&
             (!st->x || (is_resumable(st) && st->replay.bytes <= KEEP_BYTES));
  hang_up(st, 404);
  if (!keep) {
    stream_free(st);
    return;
  }
  uint64_t until = mg_gw_now(st->gw) + st->gw->config->resume_ms;
  st->mode = FINISHED;
  mg_list_del(&st->orphan);
  mg_list_add(&st->gw->over, &st->orphan);
  mg_gw_alarm(st->gw, &st->alarm, until);
  mg_ctx_linger(mg_session_ctx(st->session), until);
}

static void reply_json(struct mg_stream *st, struct mg_outgoing *m) {
  struct mg_buf h;
  struct mg_exchange *x = st->x;
  int rc = headers_of(st, "Content-Type: application/json\r\n", m->session, &h);
  mg_exchange_set(x, NULL);
  if (rc == MCPGW_OK) {
    mg_exchange_reply(x, m->status, mg_buf_slice(&h), m->segs, m->n);
  } else {
    mg_segs_unref(m->segs, m->n);
    mg_exchange_cut(x);
  }
  mg_buf_done(&h);
  st->x = NULL;
  stream_free(st);
}

/* ---- batches of 2025-03-26 --------------------------------------------------------------------------------- */

static void collect(struct mg_stream *st, struct mg_outgoing *m) {
  int rc = MCPGW_OK;
  if (!st->collected) {
    st->collected = mg_blob_new(&st->gw->budget, 4096, SIZE_MAX / 2);
    rc = st->collected ? mg_blob_append(st->collected, "[", 1) : MCPGW_E_NOMEM;
  } else {
    rc = mg_blob_append(st->collected, ",", 1);
  }
  for (size_t i = 0; rc == MCPGW_OK && i < m->n; i++) {
    rc = mg_blob_append(st->collected, m->segs[i].ptr, m->segs[i].len);
    if (rc == MCPGW_OK) mg_blob_mark_sent(m->segs[i].blob); /* the copy leaves in its place */
  }
  mg_segs_unref(m->segs, m->n);
  if (rc != MCPGW_OK) st->replay.dropped++;
}

static void reply_batch(struct mg_stream *st) {
  mg_blob *b = st->collected;
  st->collected = NULL;
  if (b) mg_blob_append(b, "]", 1);
  struct mg_seg seg = {b, b ? mg_blob_slice(b).ptr : "[]", b ? mg_blob_len(b) : 2};
  struct mg_outgoing m = {&seg, 1, 1, 200, NULL};
  reply_json(st, &m);
}

/* What was collected leaves as one event: an array is a message of that revision. */
static void flush_batch(struct mg_stream *st) {
  mg_blob *b = st->collected;
  if (!b) return;
  st->collected = NULL;
  if (mg_blob_append(b, "]", 1) != MCPGW_OK) {
    mg_blob_unref(b);
    return;
  }
  struct mg_seg seg = {b, mg_blob_slice(b).ptr, mg_blob_len(b)};
  send_event(st, &seg, 1, 1);
}

/* ---- what the core says ------------------------------------------------------------------------------------ */

static void on_message(struct mg_out *o, struct mg_outgoing *m) {
  struct mg_stream *st = (struct mg_stream *)o;
  if (m->final && st->left) st->left--;
  if (st->mode == PENDING && m->final && st->x) {
    if (!st->batch) {
      reply_json(st, m);
      return;
    }
    collect(st, m);
    if (!st->left) reply_batch(st);
    return;
  }
  if (st->mode == PENDING && !st->x) { /* gone before anything was said: nobody could ask for it again */
    mg_segs_unref(m->segs, m->n);
    st->replay.dropped++;
    if (m->final && !st->left) stream_free(st);
    return;
  }
  begin(st);
  flush_batch(st);
  send_event(st, m->segs, m->n, m->final);
  if (m->final && !st->left && !st->is_channel) finish(st);
}

static void on_streaming(struct mg_out *o) {
  struct mg_stream *st = (struct mg_stream *)o;
  if (st->x) begin(st);
}

static void on_drop(struct mg_out *o) {
  struct mg_stream *st = (struct mg_stream *)o;
  if (st->left) st->left--;
  if (st->left || st->is_channel) return;
  if (st->mode == PENDING && st->batch && st->collected && st->x) {
    reply_batch(st);
    return;
  }
  begin(st); /* a cancelled request has no reply: its stream ends without one */
  finish(st);
}

/* ---- the connection ------------------------------------------------------------------------------------------ */

/* "The server MAY close the connection (without terminating the SSE stream) at any time … it SHOULD send an SSE
 * event with a standard retry field before" (2025-11-25, Transports, Sending Messages to the Server, 6). */
static void let_poll(struct mg_stream *st) {
  char text[48];
  int n = snprintf(text, sizeof text, "retry: %d\n\n", RETRY_MS);
  write_text(st, text, (size_t)n);
  hang_up(st, 200);
  if (st->is_channel) mg_gw_alarm(st->gw, &st->alarm, mg_gw_now(st->gw) + st->gw->config->resume_ms); /* it has not left yet */
  else wait_for_client(st);
}

static void expire(struct mg_stream *st) {
  mg_core_sink_gone(st->gw->core, &st->out.sink);
  stream_free(st);
}

static void on_alarm(struct mg_alarm *a, uint64_t now_ms) {
  struct mg_stream *st = MG_CONTAINER(a, struct mg_stream, alarm);
  if (!st->x) {
    if (st->is_channel) wait_for_client(st);
    else expire(st); /* nobody came back */
  } else if (st->mode == PENDING) {
    begin(st);
    flush_batch(st);
  } else if (now_ms >= poll_at_ms(st)) {
    let_poll(st);
  } else if (mg_exchange_silent_ms(st->x) >= st->gw->config->heartbeat_ms) {
    cut(st, "the client has vanished");
  } else if (now_ms >= st->wrote_ms + st->gw->config->heartbeat_ms) {
    if (write_text(st, ": \n\n", 4) == MCPGW_OK) heartbeat_later(st);
    else lose_connection(st);
  } else {
    heartbeat_later(st);
  }
}

void mg_stream_gone(struct mg_stream *st, struct mg_exchange *x) {
  (void)x;
  st->x = NULL;
  if (st->session) wait_for_client(st);
  else expire(st);
}

void mg_streams_stop(struct mcpgw_gateway *gw) {
  struct mg_list *node;
  while ((node = mg_list_first(&gw->orphans))) expire(MG_CONTAINER(node, struct mg_stream, orphan));
}

static struct mg_stream *stream_new(struct mcpgw_gateway *gw) {
  struct mg_stream *st = mg_calloc(1, sizeof *st);
  if (!st) return NULL;
  mg_sink_init(&st->out.sink);
  st->out.message = on_message;
  st->out.streaming = on_streaming;
  st->out.drop = on_drop;
  st->alarm.fire = on_alarm;
  st->gw = gw;
  mg_replay_init(&st->replay, REPLAY_EVENTS, REPLAY_BYTES, &gw->replay_bytes);
  return st;
}

int mg_stream_post(struct mcpgw_gateway *gw, struct mg_exchange *x, struct mg_session *s, int batch, size_t requests,
                   struct mg_stream **out) {
  struct mg_stream *st = stream_new(gw);
  if (!st) return MCPGW_E_NOMEM;
  st->x = x;
  st->batch = batch;
  st->left = requests;
  if (s) mg_stream_bind(st, s);
  mg_exchange_set(x, st);
  mg_gw_alarm(gw, &st->alarm, mg_gw_now(gw) + gw->config->sse_after_ms);
  *out = st;
  return MCPGW_OK;
}

int mg_stream_channel(struct mcpgw_gateway *gw, struct mg_session *s, struct mg_stream **out) {
  struct mg_stream *st = stream_new(gw);
  if (!st) return MCPGW_E_NOMEM;
  st->is_channel = 1;
  st->mode = STREAMING;
  mg_stream_bind(st, s);
  *out = st;
  return MCPGW_OK;
}

static void replay_after(struct mg_stream *st, uint64_t after) {
  for (size_t i = 0; i < st->replay.n && st->x; i++) {
    struct mg_replay_event *e = &st->replay.v[i];
    struct mg_seg copy[EVENT_SEGS];
    if (e->seq <= after || e->n > EVENT_SEGS) continue;
    memcpy(copy, e->segs, e->n * sizeof *copy);
    for (size_t k = 0; k < e->n; k++)
      if (copy[k].blob) mg_blob_ref(copy[k].blob);
    if (mg_exchange_stream_write(st->x, copy, e->n, SIZE_MAX) == MCPGW_OK) st->sent_seq = e->seq;
    else lose_connection(st);
  }
}

int mg_stream_attach(struct mg_stream *st, struct mg_exchange *x, uint64_t after_seq) {
  hang_up(st, 409); /* the newer connection wins */
  int finished = st->mode == FINISHED;
  if (after_seq == UINT64_MAX) after_seq = st->sent_seq;
  if (after_seq > st->seq) after_seq = st->seq;
  st->x = x;
  st->mode = PENDING;
  mg_list_del(&st->orphan);
  if (st->is_channel) mg_ctx_set_left(mg_session_ctx(st->session), 0, mg_gw_now(st->gw));
  mg_exchange_set(x, st);
  uint64_t seq = st->seq;
  st->seq = after_seq; /* the priming event stands for what the client has already */
  begin(st);
  st->seq = seq;
  mg_replay_drop_to(&st->replay, after_seq);
  replay_after(st, after_seq);
  if (finished) finish(st);
  else if (st->x) mg_exchange_compact(st->x);
  return MCPGW_OK;
}

void mg_stream_close(struct mg_stream *st) {
  mg_core_sink_gone(st->gw->core, &st->out.sink);
  hang_up(st, 404);
  stream_free(st);
}
