/* out.c owns what is on its way to stdout: whole lines, in order, as fast as they are taken. The caller
 * keeps the queue short by not adding to a long one. Must never block. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipes.h"

#define KEEP_BYTES ((size_t)256 << 10) /* an empty buffer larger than this is given back */
#define LONG_BYTES ((size_t)256 << 10) /* a message from here on is not copied whole */
#define PIECE ((size_t)64 << 10)

/* Files and terminals stay as they are: others may share them, and they take what they get. */
void out_open(struct out *o, int fd) {
  struct stat st;
  memset(o, 0, sizeof *o);
  o->fd = fd;
  o->flags = fcntl(fd, F_GETFL);
  if (o->flags >= 0 && !(o->flags & O_NONBLOCK) && fstat(fd, &st) == 0 &&
      (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
    o->changed = fcntl(fd, F_SETFL, o->flags | O_NONBLOCK) == 0;
}

void out_done(struct out *o) {
  if (o->changed) (void)fcntl(o->fd, F_SETFL, o->flags);
  free(o->buf);
  mcpgw_event_free(o->event);
  memset(o, 0, sizeof *o);
}

int out_is_busy(const struct out *o) {
  return o->len != 0 || o->event != NULL;
}

static int reserve(struct out *o, size_t more) {
  if (o->from && o->len) memmove(o->buf, o->buf + o->from, o->len);
  o->from = 0;
  if (o->cap - o->len >= more) return 0;
  size_t cap = o->cap ? o->cap : 4096;
  while (cap - o->len < more) cap *= 2;
  char *buf = realloc(o->buf, cap);
  if (buf == NULL) return -1;
  o->buf = buf;
  o->cap = cap;
  return 0;
}

static int add(struct out *o, const char *text, size_t len, int ends_line) {
  if (reserve(o, len + 1) != 0) return -1;
  char *to = o->buf + o->len;
  memcpy(to, text, len);
  for (char *p = to; (p = memchr(p, '\n', (size_t)(to + len - p))) != NULL;) *p = ' ';
  for (char *p = to; (p = memchr(p, '\r', (size_t)(to + len - p))) != NULL;) *p = ' ';
  if (ends_line) to[len++] = '\n';
  o->len += len;
  return 0;
}

int out_line(struct out *o, const char *message, size_t len) {
  return add(o, message, len, 1);
}

int out_event(struct out *o, mcpgw_event *e) {
  if (o->event == NULL && mcpgw_event_len(e) >= LONG_BYTES) {
    o->event = e;
    o->at = 0;
    return 0;
  }
  int rc = out_line(o, mcpgw_event_data(e), mcpgw_event_len(e));
  mcpgw_event_free(e);
  return rc;
}

/* The next piece of a long message goes into the empty buffer. */
static int stage(struct out *o) {
  size_t left = mcpgw_event_len(o->event) - o->at, n = left < PIECE ? left : PIECE;
  if (add(o, mcpgw_event_data(o->event) + o->at, n, n == left) != 0) return -1;
  o->at += n;
  if (n < left) return 0;
  mcpgw_event_free(o->event);
  o->event = NULL;
  return 0;
}

int out_flush(struct out *o) {
  while (out_is_busy(o)) {
    if (!o->len && stage(o) != 0) return -1;
    ssize_t n = write(o->fd, o->buf + o->from, o->len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    o->from += (size_t)n;
    o->len -= (size_t)n;
  }
  o->from = 0;
  if (o->cap > KEEP_BYTES) {
    free(o->buf);
    o->buf = NULL;
    o->cap = 0;
  }
  return 0;
}
