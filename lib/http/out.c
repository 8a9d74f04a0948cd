/* The way out: queues segments without copying them and hands as much as possible to one sendmsg. Owns
 * the references it was given until their bytes are taken. It must never block, never copy a body, and
 * never call back. Chunk framing is made at send time, one chunk for all that waits. */
#include "http/conn.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define IOVS 64

void mg_http_out_init(struct mg_http_out *o) {
  memset(o, 0, sizeof *o);
  o->segs = o->few;
  o->cap = sizeof o->few / sizeof o->few[0];
}

void mg_http_out_done(struct mg_http_out *o) {
  for (size_t i = o->first; i < o->n; i++) mg_blob_unref(o->segs[i].blob);
  if (o->segs != o->few) mg_free(o->segs);
  mg_blob_unref(o->head_blob);
  mg_http_out_init(o);
}

int mg_http_out_empty(const struct mg_http_out *o) {
  return o->head.len == 0 && o->frame.len == 0 && o->queued == 0 && o->tail.len == 0 &&
         !(o->chunked && o->ended);
}

int mg_http_out_keep(struct mg_http_out *o) {
  if (o->head.len == 0 || o->head_blob) return MCPGW_OK;
  o->head_blob = mg_blob_copy(NULL, o->head.ptr, o->head.len);
  if (!o->head_blob) return MCPGW_E_NOMEM;
  o->head = mg_blob_slice(o->head_blob);
  return MCPGW_OK;
}

/* A head behind an unsent one (100 Continue that the kernel did not take) joins it. */
int mg_http_out_head(struct mg_http_out *o, struct mg_slice head) {
  if (o->head.len == 0) {
    o->head = head;
    return MCPGW_OK;
  }
  mg_blob *both = mg_blob_new(NULL, o->head.len + head.len, o->head.len + head.len);
  if (!both) return MCPGW_E_NOMEM;
  mg_blob_append(both, o->head.ptr, o->head.len); /* reserved above */
  mg_blob_append(both, head.ptr, head.len);
  mg_blob_unref(o->head_blob);
  o->head_blob = both;
  o->head = mg_blob_slice(both);
  return MCPGW_OK;
}

static int make_room(struct mg_http_out *o, size_t n) {
  if (n > MG_HTTP_MAX_SEGS || o->n - o->first + n > MG_HTTP_MAX_SEGS) return MCPGW_E_LIMIT;
  if (o->first && o->n + n > o->cap) {
    memmove(o->segs, o->segs + o->first, (o->n - o->first) * sizeof *o->segs);
    o->n -= o->first;
    o->first = 0;
  }
  if (o->n + n <= o->cap) return MCPGW_OK;
  size_t cap = o->cap * 2 > o->n + n ? o->cap * 2 : o->n + n;
  struct mg_seg *grown = mg_realloc(o->segs == o->few ? NULL : o->segs, cap * sizeof *grown);
  if (!grown) return MCPGW_E_NOMEM;
  if (o->segs == o->few) memcpy(grown, o->few, o->n * sizeof *grown);
  o->segs = grown;
  o->cap = cap;
  return MCPGW_OK;
}

int mg_http_out_push(struct mg_http_out *o, struct mg_seg *segs, size_t n) {
  int rc = make_room(o, n);
  for (size_t i = 0; i < n; i++) {
    if (rc != MCPGW_OK || segs[i].len == 0) {
      mg_blob_unref(segs[i].blob);
    } else {
      o->segs[o->n++] = segs[i];
      o->queued += segs[i].len;
    }
  }
  return rc;
}

/* Opens the next chunk over everything that waits, when none is on its way. */
static void next_chunk(struct mg_http_out *o) {
  static const char hex[] = "0123456789abcdef";
  if (o->chunk_left || o->frame.len || o->tail.len) return;
  if (o->queued == 0) {
    if (o->ended) o->tail = MG_LIT("0\r\n\r\n");
    o->ended = 0;
    return;
  }
  char *at = o->frame_text + sizeof o->frame_text;
  *--at = '\n';
  *--at = '\r';
  for (size_t v = o->queued; v; v >>= 4) *--at = hex[v & 15];
  o->frame = mg_slice(at, (size_t)(o->frame_text + sizeof o->frame_text - at));
  o->chunk_left = o->queued;
  o->tail = o->ended ? MG_LIT("\r\n0\r\n\r\n") : MG_LIT("\r\n");
  o->ended = 0;
}

static size_t put(struct iovec *v, size_t k, const char *ptr, size_t len) {
  if (len == 0) return k;
  v[k].iov_base = (void *)(uintptr_t)ptr;
  v[k].iov_len = len;
  return k + 1;
}

/* Lays out what goes next; *total gets its length. */
static size_t lay_out(struct mg_http_out *o, struct iovec *v, size_t *total) {
  size_t k = put(v, 0, o->head.ptr, o->head.len), body = o->chunked ? o->chunk_left : o->queued, i = o->first;
  k = put(v, k, o->frame.ptr, o->frame.len);
  for (size_t off = o->off; body && k < IOVS - 1; off = 0, i++) {
    size_t len = o->segs[i].len - off < body ? o->segs[i].len - off : body;
    k = put(v, k, o->segs[i].ptr + off, len);
    body -= len;
  }
  if (body == 0) k = put(v, k, o->tail.ptr, o->tail.len);
  *total = 0;
  for (size_t j = 0; j < k; j++) *total += v[j].iov_len;
  return k;
}

static size_t eat(struct mg_slice *s, size_t n) {
  if (n > s->len) n = s->len;
  s->ptr += n;
  s->len -= n;
  return n;
}

/* Takes n body bytes off the queue; a blob whose end is still to come gives back what was read. */
static void eat_body(struct mg_http_out *o, size_t n) {
  o->queued -= n;
  if (o->chunked) o->chunk_left -= n;
  while (n) {
    struct mg_seg *g = &o->segs[o->first];
    size_t left = g->len - o->off;
    if (n < left) {
      o->off += n;
      if (g->blob) mg_blob_drained(g->blob, (size_t)(g->ptr - mg_blob_slice(g->blob).ptr) + o->off);
      return;
    }
    n -= left;
    o->off = 0;
    mg_blob_mark_sent(g->blob);
    mg_blob_unref(g->blob);
    o->first++;
  }
  if (o->first == o->n) o->first = o->n = 0;
}

static void advance(struct mg_http_out *o, size_t n) {
  n -= eat(&o->head, n);
  if (o->head.len == 0 && o->head_blob) {
    mg_blob_unref(o->head_blob);
    o->head_blob = NULL;
  }
  n -= eat(&o->frame, n);
  size_t body = o->chunked ? o->chunk_left : o->queued;
  if (body > n) body = n;
  eat_body(o, body);
  eat(&o->tail, n - body);
}

int mg_http_out_send(struct mg_http_out *o, int fd, size_t *sent) {
  struct iovec v[IOVS];
  *sent = 0;
  while (!mg_http_out_empty(o)) {
    size_t total;
    if (o->chunked) next_chunk(o);
    struct msghdr m = {.msg_iov = v};
    m.msg_iovlen = lay_out(o, v, &total);
    ssize_t r = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? MCPGW_E_AGAIN : MCPGW_E_CLOSED;
    advance(o, (size_t)r);
    *sent += (size_t)r;
    if ((size_t)r < total) return MCPGW_E_AGAIN;
  }
  if (o->segs != o->few) {
    mg_free(o->segs);
    o->segs = o->few;
    o->cap = sizeof o->few / sizeof o->few[0];
    o->first = o->n = 0;
  }
  return MCPGW_OK;
}
