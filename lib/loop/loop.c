/* loop/loop.c owns the uv_loop_t and every uv handle of it: no uv type leaves this file. A handle's memory
 * belongs to libuv from uv_close to its close callback, so the free functions stop at once (no callback
 * comes after them, the fd is out of epoll) and release later. It must never call uv_spawn or uv_signal
 * (they install signal handlers), nor touch the epoll set in a forked child (the parent shares it). */
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/inside.h"
#include "loop/sigpipe.h"

#define QUEUE_FIRST 64
#define QUEUE_MAX 65536 /* tasks in either queue; a full one is MCPGW_E_LIMIT */

struct task {
  void (*cb)(void *arg);
  void *arg;
};
struct queue { /* a ring; cap is a power of two */
  struct task *v;
  size_t head, n, cap;
};

struct mg_loop {
  uv_loop_t uv;
  uv_async_t async;
  pid_t pid; /* the process that made us: a forked child may not turn us */
  volatile char *ours; /* a page that reads as zero after a fork; NULL: the kernel has no such pages */
  uv_idle_t hurry;     /* active while something is deferred: the poll of that turn does not wait */
  int running, in_timers;
  uint64_t now_ms, now_of; /* mg_now_ms() as read at uv time now_of */
  struct queue deferred;
  struct mg_list soon;
  pthread_mutex_t lock; /* guards posted, nothing else */
  struct queue posted;
  struct mg_children children;
};

struct mg_watch {
  uv_poll_t h;
  struct mg_loop *loop;
  mg_watch_cb cb; /* NULL: freed, waits for libuv to let go */
  void *arg;
  int events;
  int in_cb, refresh;
};

struct mg_timer {
  uv_timer_t h;
  struct mg_loop *loop;
  void (*cb)(void *arg);
  void *arg;
};

static int rc_of(int uv_rc) {
  switch (uv_rc) {
  case 0:
    return MCPGW_OK;
  case UV_ENOMEM:
    return MCPGW_E_NOMEM;
  case UV_EMFILE:
  case UV_ENFILE:
    return MCPGW_E_LIMIT;
  case UV_EEXIST:
    return MCPGW_E_EXISTS;
  case UV_EINVAL:
  case UV_EBADF:
  case UV_EPERM:
    return MCPGW_E_INVALID;
  default:
    return MCPGW_E_IO;
  }
}

/* ---- the two queues ------------------------------------------------------------------------------ */

static int queue_grow(struct queue *q) {
  size_t cap = q->cap ? q->cap * 2 : QUEUE_FIRST, i;
  if (cap > QUEUE_MAX) return MCPGW_E_LIMIT;
  struct task *v = mg_alloc(cap * sizeof *v);
  if (!v) return MCPGW_E_NOMEM;
  for (i = 0; i < q->n; i++) v[i] = q->v[(q->head + i) & (q->cap - 1)];
  mg_free(q->v);
  q->v = v;
  q->head = 0;
  q->cap = cap;
  return MCPGW_OK;
}

static int queue_push(struct queue *q, struct task t) {
  if (q->n == q->cap) {
    int rc = queue_grow(q);
    if (rc) return rc;
  }
  q->v[(q->head + q->n++) & (q->cap - 1)] = t;
  return MCPGW_OK;
}

static struct task queue_pop(struct queue *q) {
  struct task t = q->v[q->head];
  q->head = (q->head + 1) & (q->cap - 1);
  q->n--;
  return t;
}

/* Only those queued when we begin: a task that defers itself again gets its turn in the next turn. */
static void run_deferred(struct mg_loop *l) {
  size_t n = l->deferred.n;
  while (n--) {
    struct task t = queue_pop(&l->deferred);
    t.cb(t.arg);
  }
}

static void run_soon(struct mg_loop *l) {
  struct mg_list now, *n;
  if (mg_list_empty(&l->soon)) return;
  now = l->soon;
  now.next->prev = now.prev->next = &now;
  mg_list_init(&l->soon);
  while ((n = mg_list_first(&now))) {
    struct mg_soon *s = MG_CONTAINER(n, struct mg_soon, node);
    mg_list_del(n);
    s->cb(s->arg);
  }
}

static void run_posted(struct mg_loop *l) {
  size_t n = 1;
  int first = 1;
  while (n) {
    pthread_mutex_lock(&l->lock);
    if (first) n = l->posted.n;
    first = 0;
    struct task t = {NULL, NULL};
    if (n) t = queue_pop(&l->posted);
    pthread_mutex_unlock(&l->lock);
    if (!n) return;
    t.cb(t.arg);
    n--;
  }
}

static void on_idle(uv_idle_t *h) {
  (void)h;
}

/* From a timer's callback, say: uv_run polls after it, and must not wait then. */
static void hurry(struct mg_loop *l) {
  if (l->running) (void)uv_idle_start(&l->hurry, on_idle);
}

int mg_loop_defer(struct mg_loop *l, void (*cb)(void *arg), void *arg) {
  int rc = queue_push(&l->deferred, (struct task){cb, arg});
  if (rc == MCPGW_OK) hurry(l);
  return rc;
}

void mg_soon(struct mg_loop *l, struct mg_soon *s) {
  if (s->node.next) return;
  mg_list_add(&l->soon, &s->node);
  hurry(l);
}

void mg_soon_off(struct mg_soon *s) {
  mg_list_del(&s->node);
}

static int is_pending(const struct mg_loop *l) {
  return l->deferred.n || !mg_list_empty(&l->soon);
}

int mg_loop_post(struct mg_loop *l, void (*cb)(void *arg), void *arg) {
  if (mg_loop_forked(l)) return MCPGW_E_STATE;
  pthread_mutex_lock(&l->lock);
  int rc = queue_push(&l->posted, (struct task){cb, arg});
  pthread_mutex_unlock(&l->lock);
  if (rc == MCPGW_OK) uv_async_send(&l->async);
  return rc;
}

/* ---- the loop ------------------------------------------------------------------------------------ */

/* Asked on every entry, so without a system call where the kernel can wipe a page on fork. */
static volatile char *wiped_on_fork(void) {
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return NULL;
  if (madvise(page, 4096, MADV_WIPEONFORK) != 0) {
    (void)munmap(page, 4096);
    return NULL;
  }
  *(volatile char *)page = 1;
  return page;
}

int mg_loop_forked(const struct mg_loop *l) {
  return l->ours ? !*l->ours : getpid() != l->pid;
}

/* Waking is all it does: posted tasks are run at the end of each turn. */
static void on_async(uv_async_t *h) {
  (void)h;
}

int mg_loop_new(struct mg_loop **out) {
  int rc = MCPGW_E_NOMEM;
  struct mg_loop *l = mg_calloc(1, sizeof *l);
  if (!l || queue_grow(&l->deferred)) goto out;
  mg_list_init(&l->children.all);
  mg_list_init(&l->soon);
  l->pid = getpid();
  l->ours = wiped_on_fork();
  if ((rc = rc_of(uv_loop_init(&l->uv)))) goto out;
  if ((rc = rc_of(uv_async_init(&l->uv, &l->async, on_async)))) {
    (void)uv_loop_close(&l->uv);
    goto out;
  }
  (void)uv_idle_init(&l->uv, &l->hurry); /* cannot fail */
  uv_unref((uv_handle_t *)&l->hurry);
  pthread_mutex_init(&l->lock, NULL); /* cannot fail with default attributes on Linux */
  *out = l;
  return MCPGW_OK;
out:
  if (l) mg_free(l->deferred.v);
  if (l && l->ours) (void)munmap((void *)l->ours, 4096);
  mg_free(l);
  return rc;
}

/* A handle the owner forgot keeps the loop's memory alive: a leak is seen by a test, a dangling pointer
 * in the owner's hands is not. In a forked child everything here is the parent's: only leave it. */
void mg_loop_free(struct mg_loop *l) {
  struct mg_sigpipe sp;
  int i, busy = 1;
  if (!l || mg_loop_forked(l)) return;
  mg_sigpipe_enter(&sp);
  mg_children_finish(l);
  run_deferred(l); /* some only wait to free what they were given */
  uv_close((uv_handle_t *)&l->async, NULL);
  uv_close((uv_handle_t *)&l->hurry, NULL);
  for (i = 0; i < 8 && busy; i++) { /* each pass runs the close callbacks due */
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    busy = uv_loop_close(&l->uv) == UV_EBUSY;
  }
  mg_sigpipe_leave(&sp);
  if (busy) return;
  pthread_mutex_destroy(&l->lock);
  if (l->ours) (void)munmap((void *)l->ours, 4096);
  mg_free(l->posted.v);
  mg_free(l->deferred.v);
  mg_free(l);
}

int mg_loop_fd(const struct mg_loop *l) {
  return uv_backend_fd(&l->uv);
}

int mg_loop_timeout_ms(struct mg_loop *l) {
  if (is_pending(l)) return 0;
  if (!l->running) uv_update_time(&l->uv); /* else a stale time makes the answer too long */
  return uv_backend_timeout(&l->uv);
}

int mg_loop_run(struct mg_loop *l, int mode) {
  struct mg_sigpipe sp;
  if (mg_loop_forked(l) || l->running) return MCPGW_E_STATE;
  mg_sigpipe_enter(&sp);
  l->running = 1;
  l->now_of = UINT64_MAX;
  (void)uv_run(&l->uv, mode == MG_RUN_NOWAIT || is_pending(l) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
  run_posted(l);
  run_deferred(l);
  run_soon(l);
  (void)uv_idle_stop(&l->hurry);
  l->running = 0;
  mg_sigpipe_leave(&sp);
  return MCPGW_OK;
}

void mg_loop_wakeup(struct mg_loop *l) {
  uv_async_send(&l->async);
}

/* uv reads its clock at the start of a turn and after waiting: when its time moved, ours is read anew. */
uint64_t mg_loop_now_ms(struct mg_loop *l) {
  if (!l->running) {
    uv_update_time(&l->uv);
    l->now_of = UINT64_MAX;
  }
  if (l->now_of != uv_now(&l->uv)) {
    l->now_of = uv_now(&l->uv);
    l->now_ms = mg_now_ms();
  }
  return l->now_ms;
}

struct mg_children *mg_loop_children(struct mg_loop *l) {
  return &l->children;
}

/* ---- watches ------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *h, int status, int events);

static int poll_start(struct mg_watch *w) {
  int uv = (w->events & MG_READ ? UV_READABLE : 0) | (w->events & MG_WRITE ? UV_WRITABLE : 0) |
           (w->events & MG_HUP ? UV_DISCONNECT : 0);
  if (uv == 0) return rc_of(uv_poll_stop(&w->h));
  return rc_of(uv_poll_start(&w->h, uv, on_poll));
}

/* On EPOLLERR libuv stops the handle and says UV_EBADF. We promise level-triggered events: the owner is
 * told to read and write (which give it the errno), and is told again if it keeps watching. */
static void on_poll(uv_poll_t *h, int status, int events) {
  struct mg_watch *w = h->data;
  int got;
  if (!w->cb) return;
  if (status < 0) {
    got = (w->events & (MG_READ | MG_WRITE)) | MG_HUP;
    w->refresh = 1;
  } else {
    got = (events & UV_READABLE ? MG_READ : 0) | (events & UV_WRITABLE ? MG_WRITE : 0) |
          (events & UV_DISCONNECT ? MG_HUP : 0);
  }
  w->in_cb = 1;
  w->cb(w->arg, got);
  w->in_cb = 0;
  if (w->cb && w->refresh) {
    w->refresh = 0;
    (void)poll_start(w);
  }
}

/* libuv keeps one watcher an fd: a second watch on a watched fd is MCPGW_E_EXISTS, here or in _set. The
 * fd becomes non-blocking. Regular files cannot be watched (MCPGW_E_INVALID). */
int mg_watch_new(struct mg_loop *l, int fd, mg_watch_cb cb, void *arg, struct mg_watch **out) {
  if (fd < 0 || !cb) return MCPGW_E_INVALID;
  if (mg_loop_forked(l)) return MCPGW_E_STATE;
  struct mg_watch *w = mg_calloc(1, sizeof *w);
  if (!w) return MCPGW_E_NOMEM;
  int rc = rc_of(uv_poll_init(&l->uv, &w->h, fd));
  if (rc) {
    mg_free(w);
    return rc;
  }
  w->h.data = w;
  w->loop = l;
  w->cb = cb;
  w->arg = arg;
  *out = w;
  return MCPGW_OK;
}

int mg_watch_set(struct mg_watch *w, int events) {
  if (events & ~(MG_READ | MG_WRITE | MG_HUP)) return MCPGW_E_INVALID;
  if (events == w->events && !w->refresh) return MCPGW_OK;
  if (mg_loop_forked(w->loop)) return MCPGW_E_STATE;
  int before = w->events;
  w->events = events;
  int rc = poll_start(w);
  if (rc) w->events = before;
  else if (!w->in_cb) w->refresh = 0;
  return rc;
}

static void watch_gone(uv_handle_t *h) {
  mg_free(h->data);
}

/* uv_poll_stop takes the fd out of epoll, and out of the events being handed out, before it returns: the
 * caller may close the fd next. */
void mg_watch_free(struct mg_watch *w) {
  if (!w || mg_loop_forked(w->loop)) return;
  w->cb = NULL;
  (void)uv_poll_stop(&w->h);
  uv_close((uv_handle_t *)&w->h, watch_gone);
}

/* ---- timers -------------------------------------------------------------------------------------- */

int mg_timer_new(struct mg_loop *l, void (*cb)(void *arg), void *arg, struct mg_timer **out) {
  if (!cb) return MCPGW_E_INVALID;
  if (mg_loop_forked(l)) return MCPGW_E_STATE;
  struct mg_timer *t = mg_calloc(1, sizeof *t);
  if (!t) return MCPGW_E_NOMEM;
  (void)uv_timer_init(&l->uv, &t->h); /* never fails */
  t->h.data = t;
  t->loop = l;
  t->cb = cb;
  t->arg = arg;
  *out = t;
  return MCPGW_OK;
}

static void on_timer(uv_timer_t *h) {
  struct mg_timer *t = h->data;
  struct mg_loop *l = t->loop;
  if (!t->cb) return;
  l->in_timers = 1;
  t->cb(t->arg); /* may free t: its memory stays until watch_gone */
  l->in_timers = 0;
}

/* Counted from the true time, not from the turn's cached one, which may lie far back. libuv 1.44 walks
 * its heap until nothing is due: in that walk a new deadline must lie ahead, or it would never end. */
void mg_timer_set(struct mg_timer *t, uint64_t delay_ms) {
  if (delay_ms == UINT64_MAX) {
    (void)uv_timer_stop(&t->h);
    return;
  }
  uint64_t now = uv_hrtime() / 1000000, base = uv_now(&t->loop->uv);
  uint64_t late = now > base ? now - base : 0;
  uint64_t rel = delay_ms > UINT64_MAX / 2 ? UINT64_MAX / 2 : delay_ms + late;
  if (rel == 0 && t->loop->in_timers) rel = 1;
  (void)uv_timer_start(&t->h, on_timer, rel, 0);
}

void mg_timer_free(struct mg_timer *t) {
  if (!t || mg_loop_forked(t->loop)) return;
  t->cb = NULL;
  (void)uv_timer_stop(&t->h);
  uv_close((uv_handle_t *)&t->h, watch_gone);
}
