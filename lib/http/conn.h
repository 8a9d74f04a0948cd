/* http/conn: what server, conn, response and out share. Private to the room.
 * A connection handles one request at a time: READ -> PENDING -> (STREAM ->) DRAIN -> READ … -> closed.
 * It is freed when closed and not busy; every function that may run a callback is called with busy > 0
 * and its caller looks at `closed` before touching the connection again. */
#ifndef MG_HTTP_CONN_H
#define MG_HTTP_CONN_H
#include "base/heap.h"
#include "base/list.h"
#include "http/parse.h"
#include <sys/uio.h>

#define MG_HTTP_SCRATCH (64 * 1024)      /* one read; also the read-ahead ceiling of a connection */
#define MG_HTTP_MAX_SEGS 65536           /* pieces one response may have waiting */
#define MG_HTTP_MAX_HEAD (64 * 1024)     /* bytes of a response head */
#define MG_HTTP_LINGER_MS 1000           /* how long a refused peer may take to read why */
#define MG_HTTP_LINGER_BYTES (16u << 20) /* and how much it may still send meanwhile */
#define MG_HTTP_PEEK_MS 50               /* how often a half-closed peer is looked at */
#define MG_HTTP_NEVER_MS 3600000         /* a deadline that only keeps its place in the heap */

/* Bytes on their way out: a head, then segments, as one chunk per send when chunked. */
struct mg_http_out {
  struct mg_slice head; /* what is left of it; BORROWED for one call, or inside head_blob */
  mg_blob *head_blob;
  struct mg_seg *segs;         /* few, or an array of its own */
  size_t first, n, cap, off;   /* segs[first..n); off: bytes of segs[first] already sent */
  size_t queued;               /* body bytes left */
  size_t chunk_left;           /* of the chunk on its way (body bytes) */
  struct mg_slice frame, tail; /* what is left of the chunk's size line and of what ends it */
  char frame_text[20];
  struct mg_seg few[2];
  unsigned char chunked, ended; /* ended: the last chunk is due */
};
void mg_http_out_init(struct mg_http_out *o);
void mg_http_out_done(struct mg_http_out *o);                      /* drops what waits; usable again */
int mg_http_out_head(struct mg_http_out *o, struct mg_slice head); /* BORROWED till out_keep */
int mg_http_out_keep(struct mg_http_out *o);                       /* copies what is still borrowed */
int mg_http_out_push(struct mg_http_out *o, struct mg_seg *segs, size_t n); /* takes references, always */
int mg_http_out_empty(const struct mg_http_out *o);
/* OK: nothing left; AGAIN: wait for MG_WRITE; CLOSED: the peer is gone. *sent: bytes the kernel took. */
int mg_http_out_send(struct mg_http_out *o, int fd, size_t *sent);

enum { MG_CONN_READ, MG_CONN_PENDING, MG_CONN_STREAM, MG_CONN_DRAIN, MG_CONN_LINGER };

struct mg_exchange {
  struct mg_conn *c;
  void *user;
  size_t mark;                                    /* max_queued of the last write */
  unsigned char delivered, is_head, minor, above; /* above: `drained` is owed */
};

struct mg_conn {
  struct mg_list node, dirty;
  struct mg_heap_node timer; /* at_ms <= due: moved only when it fires, or when due comes nearer */
  uint64_t due;
  uint64_t body_by; /* when the body must be there, but for what its length grants; see body_goes_on */
  struct mg_http_server *s;
  struct mg_watch *w;
  int fd, want, busy;
  unsigned serial; /* exchanges ended so far */
  unsigned char state, closed, loopback;
  unsigned char keep_alive; /* may the connection serve another request after this one */
  unsigned char linger;     /* the peer may still be sending: close gently */
  unsigned char half;       /* its FIN was seen (for good); what it asked before is still answered */
  struct mg_exchange *x;    /* OWNED; NULL between exchanges and once the caller has ended it */
  mg_blob *in;              /* OWNED: bytes behind the current request */
  size_t in_off, linger_left;
  struct mg_http_parser parser;
  struct mg_http_out out;
};

struct mg_flush { /* outlives the server by the one deferred call it may be waiting for */
  struct mg_http_server *s;
  int armed;
};

struct mg_http_server {
  struct mg_loop *loop;
  struct mg_http_limits limits;
  struct mg_http_events ev;
  void *data;
  struct mg_log *log;
  struct mg_budget *budget;
  struct mg_list conns, dirty, listeners;
  struct mg_heap timers;
  struct mg_timer *timer;
  uint64_t armed_at; /* when `timer` fires */
  struct mg_flush *flush;
  char *scratch;
  struct mg_buf head; /* where a response head is made */
  size_t n_conns, n_listeners;
  int stopping, starved; /* starved: out of descriptors, accepting pauses */
  uint64_t starved_till;
  uint64_t date_s;
  char date[40];
};

/* server.c */
void mg_http_server_due(struct mg_conn *c, uint64_t delay_ms); /* replaces the deadline */
void mg_http_server_dirty(struct mg_conn *c);                  /* flush it in this turn */
struct mg_slice mg_http_server_date(struct mg_http_server *s); /* "Date: …\r\n" */

/* conn.c */
int mg_conn_new(struct mg_http_server *s, int fd, int loopback,
                struct mg_conn **out); /* takes fd on success */
void mg_conn_close(struct mg_conn *c); /* silently */
void mg_conn_cut(struct mg_conn *c);   /* the same with RST */
void mg_conn_gone(struct mg_conn *c);  /* tells `gone` if somebody waits, and closes */
void mg_conn_timeout(struct mg_conn *c);
void mg_conn_turn(struct mg_conn *c); /* the deferred work: flush, resume */
int mg_conn_flush(struct mg_conn *c); /* tries to write; CLOSED: the caller must end the connection */
void mg_conn_after_flush(struct mg_conn *c, int rc);
void mg_conn_refuse(struct mg_conn *c, int status, const char *reason);
int mg_conn_idle(const struct mg_conn *c);
void mg_conn_release(struct mg_conn *c);      /* busy--, frees when closed */
void mg_conn_end_exchange(struct mg_conn *c); /* the caller is done with x: frees it and the request */

/* response.c: the head of a response into s->head; length UINT64_MAX = none given */
enum { MG_BODY_NONE, MG_BODY_LENGTH, MG_BODY_CHUNKED, MG_BODY_CLOSE };
int mg_http_head_text(struct mg_http_server *s, int status, struct mg_slice headers, int body,
                      uint64_t length, int minor, int keep_alive);
#endif
