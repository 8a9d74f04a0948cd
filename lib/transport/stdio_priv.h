/* transport/stdio_priv: one link to a child process, shared by stdio.c (life and death), stdio_in.c (its
 * stdout and stderr) and stdio_out.c (its stdin). Nobody else includes it. */
#ifndef MG_TRANSPORT_STDIO_PRIV_H
#define MG_TRANSPORT_STDIO_PRIV_H
#include "base/slice.h"
#include "transport/stdio.h"

#define MG_STDIO_QUEUE 4096                             /* messages waiting for stdin */
#define MG_STDIO_QUEUE_BYTES ((size_t)64 * 1024 * 1024) /* and their bytes, unless it is one alone */
#define MG_STDIO_CALLS 4096 /* requests without a reply, forgotten ones included */
#define MG_STDIO_ID 48      /* longest request id we keep (the gateway's own are short) */
#define MG_STDIO_NOTE 1024  /* a line of stderr or noise is cut here */
#define MG_STDIO_FLOOD ((size_t)16 * 1024 * 1024) /* bytes of noise, or of stderr, taken in a second */

/* ---- stdin: what waits to be written ---- */
struct stdio_out {
  mcpgw_bytes *bytes; /* a reference of ours */
  uint64_t call;      /* 0: not a request */
};
struct stdio_call {
  uint64_t call;
  int forgotten; /* cancelled: no event for it, but its reply may still come */
  int listens;   /* a subscriptions/listen, which stays open */
  size_t id_len; /* 0: unknown */
  char id[MG_STDIO_ID];
};

/* ---- stdout ---- */
enum stdio_mode {
  STDIO_START,   /* at the beginning of a line */
  STDIO_MESSAGE, /* in a message: `line` collects it */
  STDIO_NOISE,   /* in a line which is no message */
  STDIO_SKIP     /* in the rest of a message that was too long */
};

/* Lines which go to the log, so many a second; the others are counted, and the count is told when the
 * second is over. */
struct stdio_note {
  const char *event;
  int level;
  unsigned per_s, n; /* n: shown in this second */
  uint64_t *lines;   /* counts them all */
  uint64_t dropped;
  size_t len;
  char text[MG_STDIO_NOTE];
};

struct stdio_transport {
  struct mg_stdio_config config; /* its pointers are our copies */
  struct mg_stdio_stats stats;
};

struct stdio {
  struct stdio_transport *transport;
  mcpgw_link *link;
  struct mg_child *child;
  int in_fd, out_fd, err_fd;
  mcpgw_watch *in_watch, *out_watch, *err_watch;
  mcpgw_timer *flush;   /* writes once a turn, outside of send */
  mcpgw_timer *second;  /* ends what was counted within a second; runs only while it is needed */
  mcpgw_timer *goodbye; /* the child closed a side: how long we wait to learn how it ended */
  const char *half;     /* which side, for the text */
  int busy;             /* callbacks of ours on the stack */
  int closed;           /* by the gateway: freed when busy is 0 */
  int over;             /* the gateway knows that it is over; nothing more is said */

  struct stdio_out *queue;                    /* from head to n; the first may be partly written */
  size_t head, n, cap, queued_bytes, written; /* written: bytes of the first one, newline included */
  int blocked;                                /* stdin is full: in_watch waits */
  struct stdio_call *calls;
  size_t n_calls, cap_calls;

  enum stdio_mode mode;
  mcpgw_bytes *line;
  int cr; /* a CR held back: it belongs to the line only if no LF follows */
  struct stdio_note noise, err;
  int ticking;                   /* the timer `second` runs */
  size_t noise_bytes, err_bytes; /* in this second; beyond MG_STDIO_FLOOD the child is not read */
};

void mg_stdio_enter(struct stdio *s);
void mg_stdio_leave(struct stdio *s); /* may free s */
/* The conversation is over. Requests of which no byte was written fail with delivered "no", the rest of
 * them by link_closed with "unknown". */
void mg_stdio_over(struct stdio *s, int code, const char *text);
void mg_stdio_half_closed(struct stdio *s, const char *side);

/* stdio_out.c */
int mg_stdio_queue(struct stdio *s, const mcpgw_message *msg);
void mg_stdio_write(struct stdio *s, int tell); /* until done or full; tell: mcpgw_link_sent */
void mg_stdio_forget(struct stdio *s, uint64_t call);
/* Which call a reply with this id (or none) belongs to, as far as it can be told; 0: unknown. It is
 * forgotten. */
uint64_t mg_stdio_answered(struct stdio *s, struct mg_slice id);
void mg_stdio_fail_unsent(struct stdio *s, int code, const char *text);
/* A message that came was dropped: whose reply was it? id.ptr NULL: unknown. May end the link. */
void mg_stdio_lost(struct stdio *s, int code, struct mg_slice id, const char *text);
void mg_stdio_out_done(struct stdio *s);

/* stdio_in.c */
void mg_stdio_in_init(struct stdio *s);
void mg_stdio_read_out(struct stdio *s, int last); /* last: the child ended, read what is left */
void mg_stdio_read_err(struct stdio *s, int last);
void mg_stdio_tell_hidden(struct stdio *s); /* how many lines were not shown */
void mg_stdio_second_over(struct stdio *s); /* tells what was not shown, goes on reading what was held back */
void mg_stdio_in_done(struct stdio *s);
#endif
