/* faultproxy/frames: see frames.h. Owns the copy of one head and one event; never changes a byte that came. */
#include "frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD, SIZE, DATA, AFTER, PLAIN };

void frames_reset(struct frames *f) {
  free(f->event);
  f->event = NULL;
  f->state = HEAD;
  f->left = f->line = f->head_len = f->event_len = 0;
}

/* 1: the head is whole. */
static int head_byte(struct frames *f, char c) {
  if (f->head_len + 1 >= sizeof f->head) {
    f->state = PLAIN;
    return 0;
  }
  f->head[f->head_len++] = c;
  f->head[f->head_len] = '\0';
  return f->head_len >= 4 && memcmp(f->head + f->head_len - 4, "\r\n\r\n", 4) == 0;
}

static void keep(struct frames *f, const char *p, size_t n) {
  if (f->event == NULL && (f->event = malloc(FRAMES_EVENT)) == NULL) return;
  if (n > FRAMES_EVENT - f->event_len) n = FRAMES_EVENT - f->event_len;
  memcpy(f->event + f->event_len, p, n);
  f->event_len += n;
}

/* After a chunk: if an event ended with it, the same bytes once more in a chunk of their own. */
static int again(struct frames *f, void (*out)(void *, const char *, size_t), void *arg) {
  char size[32];
  int twice = 0;
  if (f->event_len < 2 || memcmp(f->event + f->event_len - 2, "\n\n", 2) != 0) return 0;
  if (f->event_len < FRAMES_EVENT && f->event[0] != ':') {
    out(arg, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", f->event_len));
    out(arg, f->event, f->event_len);
    out(arg, "\r\n", 2);
    twice = 1;
  }
  f->event_len = 0;
  return twice;
}

static void size_byte(struct frames *f, char c) {
  static const char digits[] = "0123456789abcdef";
  const char *d = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
  f->line++;
  if (d != NULL) f->left = f->left * 16 + (size_t)(d - digits);
  else if (c == '\n') {
    f->state = f->left == 0 ? PLAIN : DATA; /* the last chunk: what follows is the trailer */
    f->line = 0;
  }
}

int frames_double(struct frames *f, const char *p, size_t n, void (*out)(void *, const char *, size_t), void *arg) {
  size_t sent = 0;
  int twice = 0;
  for (size_t i = 0; i < n && f->state != PLAIN;) {
    if (f->state == HEAD) {
      if (head_byte(f, p[i++]))
        f->state = strcasestr(f->head, "text/event-stream") && strcasestr(f->head, "chunked") ? SIZE : PLAIN;
    } else if (f->state == SIZE) size_byte(f, p[i++]);
    else if (f->state == DATA) {
      size_t take = f->left < n - i ? f->left : n - i;
      keep(f, p + i, take);
      f->left -= take, i += take;
      if (f->left == 0) f->state = AFTER;
    } else if (p[i++] == '\n') {
      out(arg, p + sent, i - sent);
      sent = i;
      twice += again(f, out, arg);
      f->state = SIZE;
    }
  }
  if (n > sent) out(arg, p + sent, n - sent);
  return twice;
}
