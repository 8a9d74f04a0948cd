/* transport/stdio_in.c owns the way from a child's stdout (messages, a line each) and stderr (log lines). A
 * long message is collected once, in the mcpgw_bytes that is handed over; a line that is no message goes
 * to the log. What a child writes must never be fatal to the link but for a reply that had to be dropped
 * and could be anybody's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "transport/peek.h"
#include "transport/stdio_priv.h"

#define CHUNK ((size_t)64 * 1024)
#define CHUNKS_A_TURN 8 /* then others get their turn: a babbling child is one of many */
#define LAST_BYTES \
  ((size_t)16 * 1024 * 1024) /* read after the end; a process that left the group may go on */
#define NOISE_PER_S 10
#define ERR_PER_S 50

static int quiet(const struct stdio *s) {
  return s->closed || s->over;
}

/* A second begins when the first thing is counted, and then takes its time whatever comes. */
static void second_begin(struct stdio *s) {
  if (s->ticking || !s->second) return;
  s->ticking = 1;
  mcpgw_timer_set(s->second, 1000);
}

/* ---- lines for the log ----------------------------------------------------------------------------- */

static void note_tell_dropped(struct stdio *s, struct stdio_note *n) {
  char text[64];
  if (!n->dropped) return;
  int len = snprintf(text, sizeof text, "%llu more lines not shown", (unsigned long long)n->dropped);
  n->dropped = 0;
  mcpgw_link_log(s->link, n->level, n->event, text, (size_t)len);
}

static void note_add(struct stdio_note *n, const char *p, size_t len) {
  size_t room = sizeof n->text - n->len;
  if (len > room) len = room;
  memcpy(n->text + n->len, p, len);
  n->len += len;
}

static void note_end(struct stdio *s, struct stdio_note *n) {
  size_t len = n->len;
  n->len = 0;
  if (len && n->text[len - 1] == '\r') len--;
  if (len == 0) return;
  ++*n->lines;
  second_begin(s);
  if (n->n == n->per_s) {
    n->dropped++;
    s->transport->stats.hidden_lines++;
    return;
  }
  n->n++;
  mcpgw_link_log(s->link, n->level, n->event, n->text, len);
}

/* The child is not read until the second is over; when its pipe is full it has to wait. */
static void hold_back(struct stdio *s, mcpgw_watch *w, size_t bytes) {
  if (!w || bytes < MG_STDIO_FLOOD || mcpgw_watch_set(w, 0) != MCPGW_OK) return;
  s->transport->stats.held++;
  second_begin(s);
}

void mg_stdio_tell_hidden(struct stdio *s) {
  note_tell_dropped(s, &s->noise);
  note_tell_dropped(s, &s->err);
}

void mg_stdio_second_over(struct stdio *s) {
  s->ticking = 0;
  s->noise.n = s->err.n = 0;
  s->noise_bytes = s->err_bytes = 0;
  mg_stdio_tell_hidden(s);
  if (s->out_watch) (void)mcpgw_watch_set(s->out_watch, MCPGW_READ);
  if (s->err_watch) (void)mcpgw_watch_set(s->err_watch, MCPGW_READ);
}

/* ---- messages -------------------------------------------------------------------------------------- */

static void drop_line(struct stdio *s) {
  mcpgw_bytes_unref(s->line);
  s->line = NULL;
}

/* The message cannot be held. Its beginning often tells whose it was. */
static void cannot_hold(struct stdio *s, int rc, struct mg_slice begin) {
  size_t ceiling = mcpgw_link_result_bytes(s->link);
  int limit = rc == MCPGW_E_LIMIT && begin.len >= ceiling;
  char text[128];
  struct mg_peek k;
  mg_peek(begin, 0, 0, &k);
  size_t i, id_len = k.kind == MG_PEEK_REPLY && k.id.len <= MG_STDIO_ID ? k.id.len : 0;
  char id[MG_STDIO_ID];
  for (i = 0; i < id_len; i++) id[i] = k.id.ptr[i];
  drop_line(s);
  s->transport->stats.dropped++;
  s->mode = STDIO_SKIP;
  s->cr = 0;
  int len = limit
                ? snprintf(text, sizeof text,
                           "a message longer than %zu bytes was dropped; raise limits.result_bytes", ceiling)
                : snprintf(text, sizeof text, "a message was dropped: no memory left for it (limits.memory_bytes)");
  mcpgw_link_log(s->link, MCPGW_LOG_WARN, "stdio.limit", text, (size_t)len);
  if (k.kind == MG_PEEK_OTHER || quiet(s)) return; /* a notification or question: no call waits for it */
  mg_stdio_lost(s, limit ? MCPGW_E_LIMIT : MCPGW_E_NOMEM, mg_slice(id_len ? id : NULL, id_len), text);
}

/* Whether it is JSON at all the gateway judges. If it is not, it can fail the call that we name here: what
 * looks like a reply, or begins like one, is not log noise. An object that says nothing of JSON-RPC is. */
static uint64_t whose(struct stdio *s, const struct mg_peek *k, size_t len) {
  int no_id = !k->id.ptr || mg_slice_eqz(k->id, "null");
  if (k->kind == MG_PEEK_OTHER) return 0;
  if (k->kind == MG_PEEK_UNKNOWN && !k->rpc) s->noise_bytes += len;
  if (k->kind == MG_PEEK_UNKNOWN && no_id && !k->rpc) return 0;
  return mg_stdio_answered(s, no_id ? mg_slice(NULL, 0) : k->id);
}

static void deliver(struct stdio *s) {
  mcpgw_bytes *b = s->line;
  struct mg_peek k;
  s->line = NULL;
  mg_peek(mg_slice(mcpgw_bytes_data(b), mcpgw_bytes_len(b)), 1, 0, &k);
  mcpgw_link_message(s->link, whose(s, &k, mcpgw_bytes_len(b)), b, 0);
}

static void append(struct stdio *s, const char *p, size_t len) {
  size_t have = mcpgw_bytes_len(s->line), ceiling = mcpgw_link_result_bytes(s->link);
  int rc = len > ceiling - have ? MCPGW_E_LIMIT : mcpgw_bytes_append(s->line, p, len);
  if (rc == MCPGW_OK) return;
  if (len > ceiling - have && have < ceiling) (void)mcpgw_bytes_append(s->line, p, ceiling - have);
  struct mg_slice begin = mg_slice(mcpgw_bytes_data(s->line), mcpgw_bytes_len(s->line));
  cannot_hold(s, rc, begin);
}

/* The first bytes of a line which are not blank. whole: the line ends behind them, so the buffer can have
 * the right size at once. */
static void begin(struct stdio *s, const char *p, size_t len, int whole) {
  size_t ceiling = mcpgw_link_result_bytes(s->link);
  int rc;
  if (*p != '{' && *p != '[') {
    s->mode = STDIO_NOISE;
    note_add(&s->noise, p, len);
    return;
  }
  s->mode = STDIO_MESSAGE;
  rc = len > ceiling ? MCPGW_E_LIMIT : mcpgw_bytes_new(s->link, whole ? len : ceiling, &s->line);
  if (rc) {
    s->line = NULL;
    cannot_hold(s, rc, mg_slice(p, len));
    return;
  }
  append(s, p, len);
}

/* A piece of a line, without its LF. whole: the LF follows. */
static void piece(struct stdio *s, const char *p, size_t len, int whole) {
  if (s->cr && len && s->mode == STDIO_MESSAGE) { /* it was not at the end of the line after all */
    s->cr = 0;
    append(s, "\r", 1);
  }
  if (s->mode == STDIO_START) {
    while (len && (*p == ' ' || *p == '\t' || *p == '\r')) p++, len--;
  }
  if (len == 0) return;
  if (s->mode != STDIO_NOISE && p[len - 1] == '\r') {
    s->cr = !whole;
    len--;
    if (len == 0) return;
  }
  if (s->mode == STDIO_START) begin(s, p, len, whole);
  else if (s->mode == STDIO_MESSAGE) append(s, p, len);
  else if (s->mode == STDIO_NOISE) note_add(&s->noise, p, len);
}

static void line_end(struct stdio *s) {
  enum stdio_mode mode = s->mode;
  s->mode = STDIO_START;
  s->cr = 0;
  if (mode == STDIO_MESSAGE) deliver(s);
  else if (mode == STDIO_NOISE) note_end(s, &s->noise);
}

static void feed_out(struct stdio *s, const char *p, size_t n) {
  while (n && !quiet(s)) {
    const char *lf = memchr(p, '\n', n);
    size_t len = lf ? (size_t)(lf - p) : n;
    piece(s, p, len, lf != NULL);
    if (s->mode == STDIO_NOISE || s->mode == STDIO_SKIP) s->noise_bytes += len;
    if (!lf || quiet(s)) return;
    line_end(s);
    p += len + 1;
    n -= len + 1;
  }
}

/* A last line without LF: taken for whole if it looks so; what it is, its reader decides. */
static void feed_out_end(struct stdio *s) {
  if (s->mode == STDIO_MESSAGE && s->line) {
    const char *p = mcpgw_bytes_data(s->line);
    size_t len = mcpgw_bytes_len(s->line);
    if (p[len - 1] != '}' && p[len - 1] != ']') {
      static const char text[] = "the output ended within a message";
      drop_line(s);
      s->mode = STDIO_START;
      mcpgw_link_log(s->link, MCPGW_LOG_WARN, "stdio.cut", text, sizeof text - 1);
    }
  }
  if (!quiet(s)) line_end(s);
  if (!quiet(s)) note_tell_dropped(s, &s->noise);
}

static void feed_err(struct stdio *s, const char *p, size_t n) {
  while (n && !quiet(s)) {
    const char *lf = memchr(p, '\n', n);
    size_t len = lf ? (size_t)(lf - p) : n;
    note_add(&s->err, p, len);
    s->err_bytes += len;
    if (!lf) return;
    note_end(s, &s->err);
    p += len + 1;
    n -= len + 1;
  }
}

static void feed_err_end(struct stdio *s) {
  if (!quiet(s)) note_end(s, &s->err);
  if (!quiet(s)) note_tell_dropped(s, &s->err);
}

/* ---- reading --------------------------------------------------------------------------------------- */

/* 1: more may come, 0: it ended. */
static int pump(struct stdio *s, int fd, size_t most, void (*feed)(struct stdio *, const char *, size_t)) {
  char chunk[CHUNK];
  size_t sum = 0;
  while (sum < most && !quiet(s)) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return 1;
    if (n <= 0) return 0;
    feed(s, chunk, (size_t)n);
    sum += (size_t)n;
    if ((size_t)n < sizeof chunk && most != LAST_BYTES) return 1; /* mostly empty now: spare a read */
  }
  return 1;
}

void mg_stdio_read_out(struct stdio *s, int last) {
  if (s->out_fd < 0 || quiet(s)) return;
  int more = s->out_watch ? pump(s, s->out_fd, last ? LAST_BYTES : CHUNK * CHUNKS_A_TURN, feed_out) : 0;
  if (quiet(s)) return;
  if (!last) hold_back(s, s->out_watch, s->noise_bytes);
  if (more && !last) return;
  if (s->out_watch) feed_out_end(s);
  if (quiet(s)) return;
  mcpgw_watch_free(s->out_watch);
  s->out_watch = NULL;
  if (!last) mg_stdio_half_closed(s, "child closed its stdout");
}

void mg_stdio_read_err(struct stdio *s, int last) {
  if (s->err_fd < 0 || quiet(s) || !s->err_watch) return;
  int more = pump(s, s->err_fd, last ? LAST_BYTES : CHUNK, feed_err);
  if (quiet(s)) return;
  if (!last) hold_back(s, s->err_watch, s->err_bytes);
  if (more && !last) return;
  feed_err_end(s);
  if (quiet(s)) return;
  mcpgw_watch_free(s->err_watch);
  s->err_watch = NULL;
}

void mg_stdio_in_init(struct stdio *s) {
  s->noise.event = "stdio.noise";
  s->noise.level = MCPGW_LOG_WARN;
  s->noise.per_s = NOISE_PER_S;
  s->noise.lines = &s->transport->stats.noise_lines;
  s->err.event = "stdio.stderr";
  s->err.level = MCPGW_LOG_INFO;
  s->err.per_s = ERR_PER_S;
  s->err.lines = &s->transport->stats.stderr_lines;
}

void mg_stdio_in_done(struct stdio *s) {
  drop_line(s);
}
