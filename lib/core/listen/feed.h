/* core/listen/feed: what listen.c (the client's side of subscriptions/listen), feed.c (the upstream's side, shared)
 * and filter.c (what is wished for and what is granted) share.
 *
 *   upstream -> feeds -> taps (streams open at the upstream: one in use, one being opened)
 *   listener (a call) -> subs, one an upstream of its view; each is in the list of one feed */
#ifndef MG_CORE_FEED_H
#define MG_CORE_FEED_H
#include "core/brain.h"

#define MG_FEED_URIS 4096 /* resources one feed may be asked for: the next one goes to another feed */

enum { MG_WANT_TOOLS = 1, MG_WANT_PROMPTS = 2, MG_WANT_RESOURCES = 4 };

struct mg_filter { /* what a subscription is about. Zeroed: nothing */
  unsigned flags;      /* MG_WANT_* */
  struct mg_map *uris; /* text -> not NULL; NULL: none */
};

struct mg_listen;
struct mg_sub { /* one listener's part in one feed */
  struct mg_list node; /* in the feed */
  struct mg_feed *feed; /* NULL: it has left, or never came */
  struct mg_listen *listen;
  struct mg_filter wish;
  size_t charged; /* bytes of limits.memory_bytes that the wish takes, here and in the streams opened for it */
  int waits; /* no stream that covers the wish has been acknowledged since it came */
};

#define MG_FEED_SILENT_MS 5000 /* an upstream that has not acknowledged by then holds nobody up */

struct mg_tap { /* one stream at the upstream; freed when its leg is */
  struct mg_feed *feed;
  struct mg_leg *leg;
  struct mg_filter asked, granted;
  uint64_t since_ms; /* opened, later acknowledged */
  int taken_back;    /* the server said so: that is no accident */
};

struct mg_feed {
  struct mg_upstream *up;
  struct mg_list node, subs;
  size_t n, n_waiting, n_uris;
  struct mg_tap *now, *next; /* acknowledged and in use; being opened */
  uint64_t owner;         /* number of the context whose link it is on; 0: the shared one */
  mg_blob *own;           /* not shared: the message as the listener wrote it */
  struct mg_heap_node due;
  uint64_t want_ms, idle_ms, narrow_ms; /* a stream is to be opened; nobody listens; a wish less. 0: no */
  unsigned failures;
  int gap; /* something may have been missed */
};

/* ---- filter.c ----------------------------------------------------------------------------------------- */
/* Reads a `notifications` object; adds to f. *odd (NULL-able) is set when something stands there that this
 * gateway does not know, or that has the wrong type. */
int mg_filter_read(struct mg_filter *f, struct mg_slice doc, struct mg_span object, int *odd);
int mg_filter_add_uri(struct mg_filter *f, struct mg_slice uri);
int mg_filter_add(struct mg_filter *f, const struct mg_filter *more);
/* Adds to f what stands in both a and b. */
int mg_filter_common(struct mg_filter *f, const struct mg_filter *a, const struct mg_filter *b);
int mg_filter_covers(const struct mg_filter *f, const struct mg_filter *part);
int mg_filter_wants(const struct mg_filter *f, struct mg_slice uri); /* 2 by name, 1 as a part of it, 0 */
size_t mg_filter_uris(const struct mg_filter *f);
size_t mg_filter_bytes(const struct mg_filter *f); /* of memory, about */
unsigned mg_filter_flag(int method); /* MG_WANT_* of a list_changed notification; 0: it is none */
void mg_filter_write(const struct mg_filter *f, struct mg_buf *out);
void mg_filter_done(struct mg_filter *f);

/* ---- feed.c ------------------------------------------------------------------------------------------- */
/* The sub (wish set, listen set) joins a feed of the upstream, or makes one. own: a message that must go as it
 * is, so nobody shares; NULL: none (a reference is taken). late: nobody waits for the acknowledgement, and
 * when it comes the listener is told that lists may have changed. */
int mg_feed_join(struct mg_sub *sub, struct mg_upstream *up, mg_blob *own, int late);
void mg_feed_leave(struct mg_sub *sub); /* fine when it is in none; frees the wish */

/* A list of the upstream is not what it was, and the upstream did not say so: its listeners are told. */
void mg_feed_changed(struct mg_upstream *up, unsigned flags);

struct mg_sub *mg_sub_of(struct mg_list *node);
void mg_feed_promote(struct mg_feed *f, struct mg_sub *sub, mg_blob *bytes, const struct mg_msg *m); /* f->now covers it */
void mg_feed_look_by(struct mg_feed *f, uint64_t at_ms); /* the feed's next look is then, or sooner */

/* ---- tap.c -------------------------------------------------------------------------------------------- */
void mg_tap_open(struct mg_feed *f, uint64_t now_ms); /* for what all wish; says itself why it cannot */
void mg_tap_close(struct mg_tap *t);                  /* NULL is fine */

struct mg_ctx *mg_listen_ctx(const struct mg_sub *sub);
/* ---- listen.c: what a feed tells its subs. Any of these may end the sub's call, and no other. ----------- */
void mg_listen_granted(struct mg_sub *sub, const struct mg_filter *granted, mg_blob *bytes, const struct mg_msg *m);
void mg_listen_event(struct mg_sub *sub, mg_blob *bytes, const struct mg_msg *m);
void mg_listen_changed(struct mg_sub *sub, unsigned flags); /* there was a gap: one list_changed for each */
/* The upstream answered the request: a proper end or an error. waited: it had not acknowledged it before. */
void mg_listen_reply(struct mg_sub *sub, mg_blob *bytes, const struct mg_msg *m, int waited);
void mg_listen_fault(struct mg_sub *sub, const struct mg_fault *f); /* it could not be asked, or took it back */
#endif
