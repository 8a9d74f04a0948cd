/* loop: the libuv fence. One loop has one owner thread at a time; all callbacks run in it, from
 * mg_loop_run. Only mg_loop_wakeup may be called from elsewhere. SIGPIPE is blocked in the calling
 * thread for the length of each entry and one that we caused is drained. */
#ifndef MG_LOOP_LOOP_H
#define MG_LOOP_LOOP_H
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

struct mg_loop;
int mg_loop_new(struct mg_loop **out);
void mg_loop_free(struct mg_loop *l); /* all watches, timers and children must have been freed */
int mg_loop_fd(const struct mg_loop *l);         /* one pollable descriptor (readable = call run) */
int mg_loop_timeout_ms(struct mg_loop *l);       /* until the next timer; -1 none, 0 at once */
enum { MG_RUN_ONCE = 0, MG_RUN_NOWAIT = 1 };
int mg_loop_run(struct mg_loop *l, int mode);    /* one turn; MCPGW_E_STATE in a forked child */
void mg_loop_wakeup(struct mg_loop *l);          /* [any] makes a waiting run return / fd readable */
int mg_loop_forked(const struct mg_loop *l);     /* 1: this process is a fork of the one that made it */
uint64_t mg_loop_now_ms(struct mg_loop *l);      /* monotonic, cached once a turn (mg_now_ms clock) */

/* Runs cb later in this turn or the next one, never inside this call. [owner] */
int mg_loop_defer(struct mg_loop *l, void (*cb)(void *arg), void *arg);
/* The same from any thread; wakes the loop. Bounded queue: MCPGW_E_LIMIT. */
int mg_loop_post(struct mg_loop *l, void (*cb)(void *arg), void *arg);

/* The same without memory that could be out: the task lives in its owner, who fills in cb and arg, and is
 * run once, behind what was deferred. Queued already: it stays where it is. Queued while it runs: next turn. */
struct mg_soon {
  struct mg_list node;
  void (*cb)(void *arg);
  void *arg;
};
void mg_soon(struct mg_loop *l, struct mg_soon *s); /* [owner] */
void mg_soon_off(struct mg_soon *s);                /* takes it back; fine when it is not queued */

enum { MG_READ = 1, MG_WRITE = 2, MG_HUP = 4 }; /* HUP: the peer closed its side (EPOLLRDHUP) */
struct mg_watch;
typedef void (*mg_watch_cb)(void *arg, int events); /* events may include MG_HUP; level-triggered */
int mg_watch_new(struct mg_loop *l, int fd, mg_watch_cb cb, void *arg, struct mg_watch **out);
int mg_watch_set(struct mg_watch *w, int events); /* 0 pauses; cheap when unchanged */
void mg_watch_free(struct mg_watch *w); /* NULL fine; no callback after it; [cb]; does not close fd */

struct mg_timer;
int mg_timer_new(struct mg_loop *l, void (*cb)(void *arg), void *arg, struct mg_timer **out);
void mg_timer_set(struct mg_timer *t, uint64_t delay_ms); /* once; replaces; UINT64_MAX stops */
void mg_timer_free(struct mg_timer *t);                   /* [cb] */
#endif
