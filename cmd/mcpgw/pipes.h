/* The two ends of `mcpgw stdio`: lines in, with a ceiling, and a bounded queue out. */
#ifndef MCPGW_PIPES_H
#define MCPGW_PIPES_H
#include <mcpgw/gateway.h>
#include <stddef.h>

#define LINE_MAX_BYTES ((size_t)32 << 20) /* the gateway's own limits.body_bytes is usually lower */

struct lines {
  char *buf;
  size_t from, len, cap; /* unread bytes are [from, from+len) */
  size_t looked;         /* so many of them hold no newline */
  int fd, skipping, too_long, eof;
};
int lines_open(struct lines *l, int fd);
void lines_done(struct lines *l);
/* One read. 0, or -1 when fd fails or there is no memory. Sets eof. */
int lines_fill(struct lines *l);
/* 1: a line, BORROWED until the next fill; 0: none yet; -1: a line was too long and is skipped (once a line).
 */
int lines_next(struct lines *l, const char **line, size_t *len);
int lines_left(const struct lines *l); /* next may have something without another fill */

struct out {
  char *buf;
  size_t from, len, cap;
  mcpgw_event *event;     /* a long message, written piece by piece from where it lies, after buf */
  size_t at;              /* bytes of it that went into buf */
  int fd, flags, changed; /* the descriptor's flags before we came */
};
void out_open(struct out *o, int fd);
void out_done(struct out *o); /* gives the flags back; what is queued is lost */
/* A message as one line: CR and LF in it, blanks of JSON, become spaces. -1: no memory. */
int out_line(struct out *o, const char *message, size_t len);
/* The same for an event's message, which is taken over; a long one only when none is under way. */
int out_event(struct out *o, mcpgw_event *e);
int out_is_busy(const struct out *o); /* something is still to be written */
int out_flush(struct out *o);         /* as much as goes without waiting; -1: nobody reads any more */
#endif
