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
  memset(o, 0, sizeof *o);
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

int out_line(struct out *o, const char *message, size_t len) {
  if (reserve(o, len + 1) != 0) return -1;
  char *to = o->buf + o->len;
  memcpy(to, message, len);
  for (char *p = to; (p = memchr(p, '\n', (size_t)(to + len - p))) != NULL;) *p = ' ';
  for (char *p = to; (p = memchr(p, '\r', (size_t)(to + len - p))) != NULL;) *p = ' ';
  to[len] = '\n';
  o->len += len + 1;
  return 0;
}

int out_flush(struct out *o) {
  while (o->len) {
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
