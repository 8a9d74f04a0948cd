/* transport/stdio_out.c owns the way to a child's stdin: the queue, and the table of requests which have
 * no reply yet. It must never write a raw LF or CR inside a message (they end lines), never block, and
 * never claim that a message was not delivered once one byte of it was written. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/mem.h"
#include "transport/peek.h"
#include "transport/stdio_priv.h"

#define BATCH 32 /* messages a system call */

/* ---- requests without a reply ---------------------------------------------------------------------- */

static void call_drop(struct stdio *s, size_t i) {
  s->n_calls--;
  memmove(s->calls + i, s->calls + i + 1, (s->n_calls - i) * sizeof *s->calls);
}

/* Room for one more: a cancelled request need never be answered, so the oldest of those may go. */
static int calls_reserve(struct stdio *s) {
  size_t i;
  if (s->n_calls == MG_STDIO_CALLS) {
    for (i = 0; i < s->n_calls && !s->calls[i].forgotten; i++) {
    }
    if (i == s->n_calls) return MCPGW_E_LIMIT;
    call_drop(s, i);
  }
  if (s->n_calls < s->cap_calls) return MCPGW_OK;
  size_t cap = s->cap_calls ? s->cap_calls * 2 : 16;
  struct stdio_call *grown = mg_realloc(s->calls, cap * sizeof *grown);
  if (!grown) return MCPGW_E_NOMEM;
  s->calls = grown;
  s->cap_calls = cap;
  return MCPGW_OK;
}

static void call_add(struct stdio *s, const mcpgw_message *msg) {
  struct stdio_call *c = &s->calls[s->n_calls++];
  struct mg_peek k;
  mg_peek(mg_slice(mcpgw_bytes_data(msg->bytes), mcpgw_bytes_len(msg->bytes)), 1, 1, &k);
  c->call = msg->call;
  c->forgotten = 0;
  c->listens = (int)msg->long_lived;
  c->id_len = k.id.len <= MG_STDIO_ID ? k.id.len : 0;
  if (c->id_len) memcpy(c->id, k.id.ptr, c->id_len);
}

static size_t call_find(const struct stdio *s, uint64_t call) {
  size_t i;
  for (i = 0; i < s->n_calls && s->calls[i].call != call; i++) {
  }
  return i;
}

static size_t call_find_id(const struct stdio *s, struct mg_slice id) {
  size_t i;
  for (i = 0; i < s->n_calls; i++) {
    if (id.len && mg_slice_eq(mg_slice(s->calls[i].id, s->calls[i].id_len), id)) break;
  }
  return i;
}

/* The only call that waits; what was cancelled does not, and a listen waits for no reply. */
static size_t call_find_only(const struct stdio *s) {
  size_t i, found = s->n_calls;
  for (i = 0; i < s->n_calls; i++) {
    if (s->calls[i].forgotten || s->calls[i].listens) continue;
    if (found < s->n_calls) return s->n_calls;
    found = i;
  }
  return found;
}

uint64_t mg_stdio_answered(struct stdio *s, struct mg_slice id) {
  size_t i = id.ptr ? call_find_id(s, id) : call_find_only(s);
  if (i == s->n_calls) return 0;
  struct stdio_call c = s->calls[i];
  call_drop(s, i);
  return c.forgotten ? 0 : c.call;
}

/* Whose reply was dropped? Its id says so, or there is but one candidate; else every call might wait in
 * vain, and the link ends. */
void mg_stdio_lost(struct stdio *s, int code, struct mg_slice id, const char *text) {
  mcpgw_failure why = {sizeof why, code, MCPGW_DELIVERED_YES, 0, 0, text};
  size_t i = call_find_id(s, id);
  if (i == s->n_calls && (id.ptr || s->n_calls == 0)) return; /* nobody waits for it */
  if (i == s->n_calls && s->n_calls > 1) {
    mg_stdio_over(s, code, text);
    return;
  }
  struct stdio_call c = s->calls[i == s->n_calls ? 0 : i];
  call_drop(s, i == s->n_calls ? 0 : i);
  if (!c.forgotten) mcpgw_link_failed(s->link, c.call, &why);
}

/* ---- the queue ------------------------------------------------------------------------------------- */

static struct stdio_out *at(const struct stdio *s, size_t i) {
  return &s->queue[(s->head + i) % s->cap];
}

static int queue_reserve(struct stdio *s, size_t bytes) {
  size_t i;
  if (s->n == MG_STDIO_QUEUE) return MCPGW_E_LIMIT;
  if (s->n && (bytes > MG_STDIO_QUEUE_BYTES || s->queued_bytes > MG_STDIO_QUEUE_BYTES - bytes))
    return MCPGW_E_LIMIT;
  if (s->n < s->cap) return MCPGW_OK;
  size_t cap = s->cap ? s->cap * 2 : 16;
  struct stdio_out *grown = mg_alloc(cap * sizeof *grown);
  if (!grown) return MCPGW_E_NOMEM;
  for (i = 0; i < s->n; i++) grown[i] = *at(s, i);
  mg_free(s->queue);
  s->queue = grown;
  s->head = 0;
  s->cap = cap;
  return MCPGW_OK;
}

static int has_line_end(const char *p, size_t len) {
  return memchr(p, '\n', len) != NULL || memchr(p, '\r', len) != NULL;
}

/* In JSON a raw LF or CR can only stand between tokens, where a blank does as well. */
static int one_line(struct stdio *s, const char *p, size_t len, mcpgw_bytes **out) {
  char part[4096];
  mcpgw_bytes *copy;
  size_t i, n;
  int rc = mcpgw_bytes_new(s->link, len, &copy);
  for (; rc == MCPGW_OK && len; p += n, len -= n) {
    n = len < sizeof part ? len : sizeof part;
    for (i = 0; i < n; i++) part[i] = p[i] == '\n' || p[i] == '\r' ? ' ' : p[i];
    rc = mcpgw_bytes_append(copy, part, n);
    if (rc) mcpgw_bytes_unref(copy);
  }
  if (rc == MCPGW_OK) *out = copy;
  return rc;
}

int mg_stdio_queue(struct stdio *s, const mcpgw_message *msg) {
  const char *p = mcpgw_bytes_data(msg->bytes);
  size_t len = mcpgw_bytes_len(msg->bytes);
  int rc = queue_reserve(s, len), request = msg->kind == MCPGW_SEND_REQUEST;
  mcpgw_bytes *bytes = NULL;
  if (!rc && request) rc = calls_reserve(s);
  if (!rc && has_line_end(p, len)) rc = one_line(s, p, len, &bytes);
  if (rc) return rc;
  if (request) call_add(s, msg);
  *at(s, s->n++) = (struct stdio_out){bytes ? bytes : mcpgw_bytes_ref(msg->bytes), request ? msg->call : 0};
  s->queued_bytes += len;
  return MCPGW_OK;
}

/* The first one leaves the queue; its bytes are released. */
static uint64_t queue_pop(struct stdio *s) {
  struct stdio_out o = *at(s, 0);
  s->head = (s->head + 1) % s->cap;
  s->n--;
  s->written = 0;
  s->queued_bytes -= mcpgw_bytes_len(o.bytes);
  mcpgw_bytes_unref(o.bytes);
  return o.call;
}

/* A request still unwritten need never be sent. Nothing can be called back after a byte is out. */
void mg_stdio_forget(struct stdio *s, uint64_t call) {
  size_t i = call_find(s, call), q;
  if (call == 0 || i == s->n_calls) return;
  for (q = s->written ? 1 : 0; q < s->n && at(s, q)->call != call; q++) {
  }
  if (q >= s->n) {
    s->calls[i].forgotten = 1;
    return;
  }
  call_drop(s, i);
  s->queued_bytes -= mcpgw_bytes_len(at(s, q)->bytes);
  mcpgw_bytes_unref(at(s, q)->bytes);
  for (; q + 1 < s->n; q++) *at(s, q) = *at(s, q + 1);
  s->n--;
}

void mg_stdio_fail_unsent(struct stdio *s, int code, const char *text) {
  mcpgw_failure why = {sizeof why, code, MCPGW_DELIVERED_NO, 0, 0, text};
  if (s->n && s->written) (void)queue_pop(s); /* begun: the end of the link fails it, with "unknown" */
  while (s->n && !s->closed) {
    uint64_t call = queue_pop(s);
    size_t i = call_find(s, call);
    if (call == 0 || i == s->n_calls) continue;
    call_drop(s, i);
    mcpgw_link_failed(s->link, call, &why);
  }
}

/* ---- writing --------------------------------------------------------------------------------------- */

static ssize_t write_batch(struct stdio *s) {
  struct iovec v[BATCH * 2];
  struct msghdr m;
  size_t i, n = 0, skip = s->written;
  for (i = 0; i < s->n && i < BATCH; i++) {
    mcpgw_bytes *b = at(s, i)->bytes;
    size_t len = mcpgw_bytes_len(b);
    if (skip < len) v[n++] = (struct iovec){(char *)mcpgw_bytes_data(b) + skip, len - skip};
    v[n++] = (struct iovec){"\n", 1};
    skip = 0;
  }
  memset(&m, 0, sizeof m);
  m.msg_iov = v;
  m.msg_iovlen = n;
  ssize_t got;
  while ((got = sendmsg(s->in_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR) {
  }
  return got;
}

/* The books are closed before anybody is told: from inside mcpgw_link_sent the link may send, cancel or
 * close, and none of that may meet a message that is out but still in the queue. */
static void written(struct stdio *s, size_t got, int tell) {
  uint64_t done[BATCH + 1];
  size_t i, n = 0;
  while (got) {
    size_t left = mcpgw_bytes_len(at(s, 0)->bytes) + 1 - s->written;
    if (got < left) { /* the first byte of it tells; the rest tells nothing new */
      if (!s->written) done[n++] = at(s, 0)->call;
      s->written += got;
      break;
    }
    got -= left;
    int told = s->written > 0;
    uint64_t call = queue_pop(s);
    if (!told) done[n++] = call;
  }
  for (i = 0; tell && i < n && !s->closed && !s->over; i++) {
    size_t c = call_find(s, done[i]);
    if (done[i] && c < s->n_calls && !s->calls[c].forgotten) mcpgw_link_sent(s->link, done[i]);
  }
}

static void set_blocked(struct stdio *s, int blocked) {
  if (s->blocked == blocked || !s->in_watch) return;
  if (mcpgw_watch_set(s->in_watch, blocked ? MCPGW_WRITE : 0) == MCPGW_OK) s->blocked = blocked;
  else if (blocked) mcpgw_timer_set(s->flush, 10); /* no memory for the watch: look again soon */
}

void mg_stdio_write(struct stdio *s, int tell) {
  while (s->n && !s->over && (!tell || !s->closed)) {
    ssize_t got = write_batch(s);
    if (got < 0) {
      if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
        set_blocked(s, 1);
      } else {
        set_blocked(s, 0);
        if (tell) mg_stdio_half_closed(s, "child closed its stdin");
      }
      return;
    }
    written(s, (size_t)got, tell);
  }
  if (!s->closed && !s->over) set_blocked(s, 0);
}

void mg_stdio_out_done(struct stdio *s) {
  while (s->n) (void)queue_pop(s);
  mg_free(s->queue);
  mg_free(s->calls);
  s->queue = NULL;
  s->calls = NULL;
  s->n_calls = 0;
}
