/* lines.c owns the bytes from stdin until they are lines. A line that is too long costs no more memory
 * than the ceiling: its rest is read and thrown away. Must never block. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipes.h"

#define FIRST_BYTES ((size_t)64 << 10)

int lines_open(struct lines *l, int fd) {
  memset(l, 0, sizeof *l);
  l->fd = fd;
  l->cap = FIRST_BYTES;
  l->buf = malloc(l->cap);
  return l->buf ? 0 : -1;
}

void lines_done(struct lines *l) {
  free(l->buf);
  l->buf = NULL;
}

/* Room for at least one byte more. The buffer of a long line shrinks again when it is empty. */
static int make_room(struct lines *l) {
  if (l->from) memmove(l->buf, l->buf + l->from, l->len);
  l->from = 0;
  if (l->len == LINE_MAX_BYTES) {
    l->skipping = l->too_long = 1;
    l->len = l->looked = 0;
  }
  size_t cap = l->len == 0 ? FIRST_BYTES : l->len == l->cap ? l->cap * 2 : l->cap;
  if (cap == l->cap) return 0;
  char *buf = realloc(l->buf, cap);
  if (buf == NULL) return -1;
  l->buf = buf;
  l->cap = cap;
  return 0;
}

int lines_fill(struct lines *l) {
  if (make_room(l) != 0) return -1;
  ssize_t n = read(l->fd, l->buf + l->len, l->cap - l->len);
  if (n < 0) return errno == EINTR || errno == EAGAIN ? 0 : -1;
  if (n == 0) l->eof = 1;
  l->len += (size_t)n;
  return 0;
}

static void consume(struct lines *l, size_t n) {
  l->from += n;
  l->len -= n;
  l->looked = 0;
}

int lines_next(struct lines *l, const char **line, size_t *len) {
  if (l->too_long) {
    l->too_long = 0;
    return -1;
  }
  for (;;) {
    const char *at = l->buf + l->from, *eol = memchr(at + l->looked, '\n', l->len - l->looked);
    if (eol == NULL && !(l->eof && l->len && !l->skipping)) {
      l->looked = l->len;
      if (l->skipping) consume(l, l->len);
      return 0;
    }
    size_t n = eol ? (size_t)(eol - at) : l->len; /* the last line may lack its end */
    consume(l, eol ? n + 1 : n);
    if (!l->skipping) {
      *line = at;
      *len = n;
      return 1;
    }
    l->skipping = 0;
  }
}

int lines_left(const struct lines *l) {
  return l->too_long || l->looked < l->len || (l->eof && l->len && !l->skipping);
}
