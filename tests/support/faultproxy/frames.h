/* faultproxy/frames: finds the events of a chunked SSE response, so that each can be sent twice. */
#ifndef FAULTPROXY_FRAMES_H
#define FAULTPROXY_FRAMES_H
#include <stddef.h>

#define FRAMES_HEAD 16384   /* a longer head is passed on without a look */
#define FRAMES_EVENT 262144 /* a longer event is not doubled */

struct frames {
  int state;
  size_t left, line; /* of the chunk: bytes to come; of its size line: bytes seen */
  char head[FRAMES_HEAD];
  size_t head_len;
  char *event; /* what came since the last blank line; malloc */
  size_t event_len;
};
void frames_reset(struct frames *f); /* a response begins; frees what was held */
/* Takes the next n bytes and calls out with what is to be sent, in order. Returns how many events were
 * sent a second time. A response that is no chunked event stream goes through as it is. */
int frames_double(struct frames *f, const char *p, size_t n, void (*out)(void *arg, const char *p, size_t n), void *arg);
#endif
