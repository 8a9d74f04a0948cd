/* faultproxy: a TCP proxy between any two parties that breaks things on demand. It owns its connections and
 * their queues; it never looks into what it carries, but for the events that `dup` sends twice.
 *
 *   faultproxy --to http://HOST:PORT[/PATH] [--port N] [--seed N] [--plan cut=50,rst=20,…] [--span N] [--ms N]
 *              [--match TEXT] [--hold MS]
 *
 * A fault is for one exchange: it begins with the first byte a client sends after an answer (or at all). What
 * happens is ordered on standard input or drawn from the plan (weights of 1,000; plan.h has the names):
 *   next FAULT [A [B]]   for the next exchange (they queue)        always FAULT [A [B]]   for each one; "always pass": the plan
 *   plan SPEC            other weights                             match TEXT             only for those whose first bytes hold TEXT
 *   last                 what became of the last exchange it was for          pairs    the state of all connections
 *   tally                counts so far      reset    RST to all    down / up              refuses connections / serves again
 * Each is answered by one line: "ok …" or "bad …". The first line printed is the URL to use. Ends when standard
 * input does. --hold MS: what is swallowed (drop, mute, halfopen) is reset on both sides MS after it began, as by a
 * middlebox that forgets; without it nobody is told. --log prints a line an exchange: "did NTH FAULT A B asked=BYTES passed=BYTES fired=0|1". */
#include "../../bench/util.h"
#include "frames.h"
#include "plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENT, SERVER };
#define PAIRS 4096
#define QUEUE (256 * 1024) /* a side that does not read stops the other at about so much */

struct queue { /* bytes on their way to one side; malloc */
  char *p;
  size_t at, len, cap;
};
struct pair {
  int fd[2], eof[2], shut[2];
  struct queue to[2];
  uint64_t nth; /* of its exchange; 0: none yet, or none that matters */
  struct fault fault;
  size_t asked, passed; /* bytes of the request, bytes of the response handed on */
  int answering, fired, frozen, closing, dead;
  uint64_t hold_until_us; /* nothing is written to the client before */
  uint64_t reset_at_us;   /* it swallows, and is forgotten then; 0: never */
  struct frames frames;
};

static struct pair *pairs[PAIRS];
static size_t n_pairs;
static struct plan plan = {.span = 700, .ms = 1500};
static struct url target;
static const char *match = "";
static char match_buf[256];
static int listener = -1, port, log_all;
static uint64_t hold_us; /* 0: what is swallowed stays */
static uint64_t exchanges, mattered, accepted, fired[F_KINDS], doubled, forgotten;
static char last[160] = "none";

/* ---- ends ------------------------------------------------------------------------------------------------ */

static void tell(struct pair *p) {
  if (p->nth == 0) return;
  snprintf(last, sizeof last, "%llu %s %ld %ld asked=%zu passed=%zu fired=%d", (unsigned long long)p->nth,
           fault_names[p->fault.kind], p->fault.a, p->fault.b, p->asked, p->passed, p->fired);
  if (log_all) printf("did %s\n", last);
}

static void destroy(struct pair *p, int with_reset) {
  struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
  tell(p);
  for (int side = CLIENT; side <= SERVER; side++) {
    if (with_reset) setsockopt(p->fd[side], SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it);
    close(p->fd[side]);
    free(p->to[side].p);
  }
  frames_reset(&p->frames);
  p->dead = 1;
}

static int swallows(const struct pair *p) {
  return p->fault.kind == F_DROP || p->fault.kind == F_MUTE || p->fault.kind == F_HALFOPEN;
}

static void fire(struct pair *p) {
  if (!p->fired) {
    fired[p->fault.kind]++;
    if (hold_us > 0 && swallows(p)) p->reset_at_us = now_us() + hold_us;
  }
  p->fired = 1;
}

/* 1: its time is up, and the pair is gone. */
static int forget(struct pair *p, uint64_t now) {
  if (p->reset_at_us == 0 || now < p->reset_at_us) return 0;
  forgotten++;
  destroy(p, 1);
  return 1;
}

/* ---- queues ---------------------------------------------------------------------------------------------- */

static void push(struct queue *q, const char *p, size_t n) {
  if (q->len + n > q->cap) {
    q->cap = (q->len + n) * 2;
    if ((q->p = realloc(q->p, q->cap)) == NULL) die("out of memory");
  }
  memcpy(q->p + q->len, p, n);
  q->len += n;
}

static int empty(const struct queue *q) {
  return q->at == q->len;
}

/* Writes what may be written now; when a side has said all, its end goes on too. 0: the pair is gone. */
static int flush_to(struct pair *p, int side, uint64_t now) {
  struct queue *q = &p->to[side];
  int drip = side == CLIENT && p->fault.kind == F_DRIP && p->answering;
  if (side == CLIENT && now < p->hold_until_us && !empty(q)) return 1; /* an end alone is not held */
  while (!empty(q)) {
    size_t n = q->len - q->at;
    if (drip && n > (size_t)p->fault.a) n = (size_t)p->fault.a;
    ssize_t w = send(p->fd[side], q->p + q->at, n, MSG_NOSIGNAL);
    if (w < 0 && (errno == EAGAIN || errno == ENOTCONN)) return 1;
    if (w < 0) {
      destroy(p, errno == ECONNRESET);
      return 0;
    }
    q->at += (size_t)w;
    if (drip) {
      p->hold_until_us = now + (uint64_t)p->fault.b * 1000;
      break;
    }
  }
  if (!empty(q)) return 1;
  q->at = q->len = 0;
  if (p->closing && empty(&p->to[CLIENT]) && empty(&p->to[SERVER])) {
    destroy(p, p->closing == 2);
    return 0;
  }
  if (p->eof[!side] && !p->shut[side]) {
    shutdown(p->fd[side], SHUT_WR);
    p->shut[side] = 1;
  }
  if (p->shut[CLIENT] && p->shut[SERVER]) {
    destroy(p, 0);
    return 0;
  }
  return 1;
}

/* ---- the exchange ---------------------------------------------------------------------------------------- */

static void begin(struct pair *p, const char *data, size_t n) {
  tell(p);
  p->asked = p->passed = 0;
  p->answering = p->fired = 0;
  p->nth = 0;
  p->hold_until_us = 0;
  p->fault = (struct fault){F_PASS, 0, 0};
  frames_reset(&p->frames);
  exchanges++;
  if (*match != '\0' && memmem(data, n, match, strlen(match)) == NULL) return;
  p->nth = ++mattered;
  plan_draw(&plan, p->nth, &p->fault);
  if (p->fault.kind == F_PASS) fired[F_PASS]++;
}

/* What the client sent. 0: the pair is gone. */
static int from_client(struct pair *p, const char *data, size_t n, uint64_t now) {
  if (p->answering || p->asked == 0) begin(p, data, n);
  size_t before = p->asked;
  p->asked += n;
  switch (p->fault.kind) {
  case F_EARLY:
    fire(p);
    destroy(p, 0);
    return 0;
  case F_DROP: fire(p); return 1;
  case F_CUTREQ: {
    size_t at = (size_t)p->fault.a;
    if (p->asked < at) break;
    if (at > before) push(&p->to[SERVER], data, at - before);
    fire(p);
    p->closing = 1;
    return flush_to(p, SERVER, now);
  }
  default: break;
  }
  push(&p->to[SERVER], data, n);
  return flush_to(p, SERVER, now);
}

static void push_client(void *arg, const char *p, size_t n) {
  push(&((struct pair *)arg)->to[CLIENT], p, n);
}

/* The faults that let `a` bytes pass. 0: the pair is gone. */
static int at_place(struct pair *p, const char *data, size_t n, uint64_t now) {
  size_t room = (size_t)p->fault.a - p->passed, pass = n < room ? n : room;
  if (p->fired) return 1;
  push(&p->to[CLIENT], data, pass);
  p->passed += pass;
  if (p->passed == (size_t)p->fault.a) {
    fire(p);
    if (p->fault.kind == F_HALFOPEN) p->frozen = 1;
    else p->closing = p->fault.kind == F_RST ? 2 : 1;
  }
  return flush_to(p, CLIENT, now);
}

static int from_server(struct pair *p, const char *data, size_t n, uint64_t now) {
  int first = !p->answering;
  p->answering = 1;
  switch (p->fault.kind) {
  case F_LATE:
    fire(p);
    destroy(p, 0);
    return 0;
  case F_MUTE: fire(p); return 1;
  case F_CUT:
  case F_RST:
  case F_HALFOPEN: return at_place(p, data, n, now);
  case F_DUP: {
    int twice = frames_double(&p->frames, data, n, push_client, p);
    p->passed += n;
    if (twice > 0) fire(p);
    doubled += (uint64_t)twice;
    return flush_to(p, CLIENT, now);
  }
  case F_DELAY:
    if (first) p->hold_until_us = now + (uint64_t)p->fault.a * 1000;
    fire(p);
    break;
  case F_DRIP: fire(p); break;
  default: break;
  }
  push(&p->to[CLIENT], data, n);
  p->passed += n;
  return flush_to(p, CLIENT, now);
}

/* Reads once from a side. 0: the pair is gone. */
static int pump(struct pair *p, int side, uint64_t now) {
  static char buf[65536];
  ssize_t n = recv(p->fd[side], buf, sizeof buf, 0);
  if (n > 0 && p->closing) return 1;
  if (n > 0) return side == CLIENT ? from_client(p, buf, (size_t)n, now) : from_server(p, buf, (size_t)n, now);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
  if (n < 0) {
    destroy(p, errno == ECONNRESET);
    return 0;
  }
  p->eof[side] = 1;
  /* A side that is gone ends an exchange that would never end: there is nobody to hold it open for. */
  if (p->fault.kind == F_DROP || p->fault.kind == F_MUTE) {
    if (side == SERVER) return 1;
    destroy(p, 0);
    return 0;
  }
  return flush_to(p, !side, now);
}

/* ---- connections ----------------------------------------------------------------------------------------- */

static void welcome(void) {
  int fd, on = 1;
  while (listener >= 0 && n_pairs < PAIRS && (fd = accept_one(listener)) >= 0) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)target.port)};
    int up = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pair *p = calloc(1, sizeof *p);
    if (up < 0 || p == NULL || inet_pton(AF_INET, target.host, &a.sin_addr) != 1) die("socket: %s", strerror(errno));
    setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(up, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS) {
      close(up), close(fd), free(p);
      continue;
    }
    p->fd[CLIENT] = fd, p->fd[SERVER] = up;
    pairs[n_pairs++] = p;
    accepted++;
  }
}

static void sweep(void) {
  size_t kept = 0;
  for (size_t i = 0; i < n_pairs; i++)
    if (pairs[i]->dead) free(pairs[i]);
    else pairs[kept++] = pairs[i];
  n_pairs = kept;
}

static short wants(const struct pair *p, int side, uint64_t now) {
  short events = 0;
  int held = side == CLIENT && now < p->hold_until_us;
  if (p->frozen) return side == CLIENT ? POLLRDHUP : 0;
  if (!p->eof[side] && !p->closing && p->to[!side].len - p->to[!side].at < QUEUE) events |= POLLIN;
  if (!empty(&p->to[side]) && !held) events |= POLLOUT;
  return events;
}

static void serve(struct pair *p, const struct pollfd *at, uint64_t now) {
  if (p->dead || forget(p, now)) return;
  if (p->frozen) {
    if (at[CLIENT].revents & (POLLRDHUP | POLLHUP | POLLERR)) destroy(p, 0);
    return;
  }
  for (int side = CLIENT; side <= SERVER; side++) {
    short got = at[side].revents;
    if (got & POLLOUT && !flush_to(p, side, now)) return;
    if (got & (POLLIN | POLLHUP | POLLERR) && !p->eof[side] && !pump(p, side, now)) return;
    if (got & POLLERR && p->eof[side]) {
      destroy(p, 1);
      return;
    }
  }
  if (!empty(&p->to[CLIENT]) && p->hold_until_us > 0 && now >= p->hold_until_us) flush_to(p, CLIENT, now);
}

/* ---- control --------------------------------------------------------------------------------------------- */

static void tally(void) {
  printf("ok {\"exchanges\":%llu,\"mattered\":%llu,\"accepted\":%llu,\"open\":%zu,\"doubled\":%llu,"
         "\"forgotten\":%llu",
         (unsigned long long)exchanges, (unsigned long long)mattered, (unsigned long long)accepted, n_pairs,
         (unsigned long long)doubled, (unsigned long long)forgotten);
  for (int k = 0; k < F_KINDS; k++) printf(",\"%s\":%llu", fault_names[k], (unsigned long long)fired[k]);
  printf("}\n");
}

static void show_pairs(void) {
  printf("ok");
  for (size_t i = 0; i < n_pairs; i++) {
    const struct pair *p = pairs[i];
    printf(" [%s %ld eof=%d%d shut=%d%d to=%zu,%zu answering=%d fired=%d frozen=%d closing=%d asked=%zu passed=%zu]",
           fault_names[p->fault.kind], p->fault.a, p->eof[CLIENT], p->eof[SERVER], p->shut[CLIENT], p->shut[SERVER],
           p->to[CLIENT].len - p->to[CLIENT].at, p->to[SERVER].len - p->to[SERVER].at, p->answering, p->fired, p->frozen,
           p->closing, p->asked, p->passed);
  }
  printf("\n");
}

static void up_or_down(int up) {
  if (!up && listener >= 0) {
    close(listener);
    listener = -1;
  } else if (up && listener < 0) listener = listen_on(&port);
}

static void command(char *line) {
  struct fault f;
  char *rest = strchr(line, ' ');
  rest = rest == NULL ? line + strlen(line) : rest + 1;
  int ok = 1;
  if (strncmp(line, "next ", 5) == 0) ok = plan_fault(rest, &f) && plan_order(&plan, &f);
  else if (strncmp(line, "always ", 7) == 0) ok = plan_fault(rest, &plan.always);
  else if (strncmp(line, "plan", 4) == 0) ok = plan_weights(&plan, rest);
  else if (strncmp(line, "match", 5) == 0) match = snprintf(match_buf, sizeof match_buf, "%s", rest) > 0 ? match_buf : "";
  else if (strcmp(line, "last") == 0) {
    for (size_t i = 0; i < n_pairs; i++)
      if (pairs[i]->nth == mattered && !pairs[i]->dead) tell(pairs[i]);
    printf("ok %s\n", last);
    return;
  } else if (strcmp(line, "pairs") == 0) {
    show_pairs();
    return;
  } else if (strcmp(line, "tally") == 0) {
    tally();
    return;
  } else if (strcmp(line, "reset") == 0)
    for (size_t i = 0; i < n_pairs; i++) {
      if (!pairs[i]->dead) destroy(pairs[i], 1);
    }
  else if (strcmp(line, "down") == 0 || strcmp(line, "up") == 0) up_or_down(line[0] == 'u');
  else ok = 0;
  printf("%s %s\n", ok ? "ok" : "bad", line);
}

/* 0: standard input has ended. */
static int control(void) {
  static char text[8192];
  static size_t held;
  ssize_t n = read(STDIN_FILENO, text + held, sizeof text - held - 1);
  if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
  held += (size_t)n;
  text[held] = '\0';
  char *line = text, *lf;
  for (; (lf = strchr(line, '\n')) != NULL; line = lf + 1) {
    *lf = '\0';
    command(line);
  }
  held -= (size_t)(line - text);
  memmove(text, line, held);
  if (held == sizeof text - 1) held = 0;
  return 1;
}

/* Until the first byte that is held back may go or the first pair is to be forgotten, or for ever. */
static int patience(uint64_t now) {
  int ms = -1;
  for (size_t i = 0; i < n_pairs; i++) {
    struct pair *p = pairs[i];
    uint64_t at = p->frozen || empty(&p->to[CLIENT]) || p->hold_until_us <= now ? UINT64_MAX : p->hold_until_us;
    if (p->reset_at_us > 0 && p->reset_at_us < at) at = p->reset_at_us;
    if (at == UINT64_MAX) continue;
    int wait = at <= now ? 0 : (int)((at - now + 999) / 1000);
    if (ms < 0 || wait < ms) ms = wait;
  }
  return ms;
}

static int turn(void) {
  static struct pollfd fds[2 + 2 * PAIRS];
  uint64_t now = now_us();
  size_t n = n_pairs; /* those accepted in this turn have no place in fds */
  fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
  fds[1] = (struct pollfd){.fd = listener, .events = n_pairs < PAIRS ? POLLIN : 0};
  for (size_t i = 0; i < n; i++)
    for (int side = CLIENT; side <= SERVER; side++) {
      short events = wants(pairs[i], side, now);
      /* An end that has been passed on is not to be told again and again. */
      int fd = pairs[i]->eof[side] && events == 0 ? -1 : pairs[i]->fd[side];
      fds[2 + 2 * i + (size_t)side] = (struct pollfd){.fd = fd, .events = events};
    }
  if (poll(fds, 2 + 2 * n, patience(now)) < 0 && errno != EINTR) die("poll: %s", strerror(errno));
  now = now_us();
  for (size_t i = 0; i < n; i++) serve(pairs[i], &fds[2 + 2 * i], now);
  if (fds[1].revents) welcome();
  int go_on = fds[0].revents ? control() : 1;
  sweep();
  return go_on;
}

int main(int argc, char **argv) {
  const char *to = option(argc, argv, "to", NULL);
  if (to == NULL) die("usage: faultproxy --to http://HOST:PORT [--port N] [--seed N] [--plan SPEC] [--match TEXT] [--hold MS]");
  parse_url(to, &target);
  port = (int)strtol(option(argc, argv, "port", "0"), NULL, 10);
  plan.seed = strtoull(option(argc, argv, "seed", "1"), NULL, 10);
  plan.span = strtol(option(argc, argv, "span", "700"), NULL, 10);
  plan.ms = strtol(option(argc, argv, "ms", "1500"), NULL, 10);
  long hold_ms = strtol(option(argc, argv, "hold", "0"), NULL, 10);
  if (plan.span < 0 || plan.ms < 1 || hold_ms < 0) die("--span, --ms and --hold are positive");
  hold_us = (uint64_t)hold_ms * 1000;
  if (!plan_weights(&plan, option(argc, argv, "plan", ""))) die("no such plan");
  match = option(argc, argv, "match", "");
  for (int i = 1; i < argc; i++) log_all |= strcmp(argv[i], "--log") == 0;
  signal(SIGPIPE, SIG_IGN);
  raise_files();
  listener = listen_on(&port);
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("http://127.0.0.1:%d%s\n", port, target.path);
  while (turn()) {}
  for (size_t i = 0; i < n_pairs; i++)
    if (!pairs[i]->dead) destroy(pairs[i], 0);
  sweep();
  return 0;
}
