/* load: keep-alive connections, each with one tools/call in flight, for a fixed time. It owns the requests
 * (one buffer a connection, of which only the id's digits change) and checks every answer: status, id and
 * length. One wrong answer ends it. One thread.
 *
 *   load URL [--connections N] [--seconds S] [--warmup S] [--era legacy|modern] [--pid P] [--calls N] [--keyed N] [--list] [--rate R]
 *
 * --calls: so many instead of so long, and no warm-up (for counting what each costs).
 * --keyed N: each call has an idempotency key, N calls the same one; N over 1: their answers may differ in length.
 * --list: tools/list in place of tools/call; answers may differ in length (what is left of ttlMs).
 * --rate R: no more than R calls a second, evenly; a call that is due waits for a free connection, and its wait counts.
 * Prints `key=value …`: calls, rps, p50_us p90_us p99_us, and with --pid cpu_us (a call) of that process.
 */
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define IN_BYTES 16384
#define BODY_BYTES 1024       /* of a request */
#define LIST_BYTES 320        /* of a list request */
#define FIRST_ID 1000000000ul /* all ids have ten digits */
#define ID_DIGITS 10
#define HISTOGRAM_US 200000 /* what took longer counts as this */

struct conn {
  int fd;
  unsigned long id;
  uint64_t sent_at;
  size_t out_len, id_at, key_at, got; /* key_at: 0 without a key */
  char out[4096], in[IN_BYTES];
};

static struct {
  struct url url;
  int connections, modern, pid, list;
  uint64_t warmup_us, run_us, calls; /* calls: 0 none given */
  unsigned long keyed;               /* calls a key; 0: no keys */
  double gap_us;                     /* from one call to the next; 0: as soon as a connection is free */
  char session[128];
} opt;
static unsigned long next_id = FIRST_ID;
static size_t body_len; /* of every answer; 0: none has come yet */
static uint64_t calls, histogram[HISTOGRAM_US + 1];
static struct conn *idle[CONNECTIONS_MAX]; /* with --rate: those that wait for their turn */
static int n_idle;
static double due_us; /* when the next call is due */

/* ---- requests ----------------------------------------------------------------------------------- */

static const char LEGACY_TAIL[] = "\"}}}";
static const char MODERN_TAIL[] =
    "\"},\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"bench\",\"version\":\"1\"},"
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";

static void build_list(struct conn *c, size_t at) {
  int n = snprintf(c->out + at, sizeof c->out - at, "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"method\":\"tools/list\",\"params\":{%s", FIRST_ID,
                   opt.modern ? MODERN_TAIL + 3 : "}}");
  c->id_at = at + (size_t)((const char *)memmem(c->out + at, (size_t)n, "1000000000", ID_DIGITS) - (c->out + at));
  memset(c->out + at + n, ' ', LIST_BYTES - (size_t)n);
  c->out_len = at + LIST_BYTES;
}

/* Writes the request once; its body is BODY_BYTES long, filled up inside the arguments. */
static void build(struct conn *c) {
  const char *tail = opt.modern ? MODERN_TAIL : LEGACY_TAIL;
  char headers[384], key[64] = "";
  if (opt.keyed) snprintf(key, sizeof key, "Idempotency-Key: \"%d-1000000000\"\r\n", (int)getpid());
  if (opt.modern)
    snprintf(headers, sizeof headers, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s",
             opt.list ? "tools/list\r\n" : "tools/call\r\nMcp-Name: echo\r\n");
  else
    snprintf(headers, sizeof headers, "MCP-Protocol-Version: 2025-11-25\r\n%s%s%s",
             *opt.session ? "Mcp-Session-Id: " : "", opt.session, *opt.session ? "\r\n" : "");
  int n = snprintf(c->out, sizeof c->out,
                   "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
                   "Accept: application/json, text/event-stream\r\n%s%sContent-Length: %d\r\n\r\n",
                   opt.url.path, opt.url.host, opt.url.port, headers, key, opt.list ? LIST_BYTES : BODY_BYTES);
  size_t at = (size_t)n;
  if (opt.list) {
    build_list(c, at);
    return;
  }
  if (opt.keyed) c->key_at = (size_t)(strstr(c->out, "-1000000000\"") + 1 - c->out);
  n = snprintf(c->out + at, sizeof c->out - at,
               "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\","
               "\"arguments\":{\"text\":\"",
               FIRST_ID);
  size_t fill = BODY_BYTES - (size_t)n - strlen(tail);
  c->id_at =
      at + (size_t)((const char *)memmem(c->out + at, (size_t)n, "1000000000", ID_DIGITS) - (c->out + at));
  memset(c->out + at + n, 'x', fill);
  memcpy(c->out + at + (size_t)n + fill, tail, strlen(tail));
  c->out_len = at + BODY_BYTES;
}

static void send_next(struct conn *c) {
  char digits[32];
  c->id = next_id++;
  snprintf(digits, sizeof digits, "%lu", c->id);
  memcpy(c->out + c->id_at, digits, ID_DIGITS);
  if (opt.keyed) {
    snprintf(digits, sizeof digits, "%lu", FIRST_ID + (c->id - FIRST_ID) / opt.keyed);
    memcpy(c->out + c->key_at, digits, ID_DIGITS);
  }
  c->got = 0;
  c->sent_at = opt.gap_us > 0 ? (uint64_t)due_us : now_us();
  if (send(c->fd, c->out, c->out_len, MSG_NOSIGNAL) != (ssize_t)c->out_len) die("send: %s", strerror(errno));
}

/* Sends what is due, as far as connections are free; how long nothing will be, in us. */
static uint64_t send_due(void) {
  for (; n_idle > 0 && due_us <= (double)now_us(); due_us += opt.gap_us) send_next(idle[--n_idle]);
  double left = due_us - (double)now_us();
  return n_idle == 0 ? 20000000 : left > 0 ? (uint64_t)left : 0;
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void verify(const struct conn *c, const struct head *h) {
  const char *body = c->in + h->len, *id = find_key(body, h->body, "id");
  if (h->status != 200 || h->chunked) die("HTTP %d: %.600s", h->status, c->in);
  if (id == NULL || strtoul(id, NULL, 10) != c->id) die("id %lu was answered with %.600s", c->id, body);
  if (memmem(body, h->body, "\"isError\":true", 14) || memmem(body, h->body, "\"error\":", 8))
    die("%.600s", body);
  if (opt.keyed > 1 || opt.list) return;
  if (body_len == 0) body_len = h->body;
  if (h->body != body_len) die("an answer of %zu bytes after one of %zu: %.600s", h->body, body_len, body);
}

static void on_readable(struct conn *c, int counted) {
  struct head h;
  ssize_t n = recv(c->fd, c->in + c->got, IN_BYTES - 1 - c->got, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) die("a connection ended: %s", n == 0 ? "closed" : strerror(errno));
  c->in[c->got += (size_t)n] = '\0';
  if (!parse_head(c->in, c->got, &h) || c->got < h.len + h.body) {
    if (c->got == IN_BYTES - 1) die("an answer over %d bytes", IN_BYTES);
    return;
  }
  verify(c, &h);
  uint64_t took = now_us() - c->sent_at;
  if (counted) {
    calls++;
    histogram[took < HISTOGRAM_US ? took : HISTOGRAM_US]++;
  }
  if (opt.gap_us > 0) idle[n_idle++] = c;
  else send_next(c);
}

static uint64_t percentile(unsigned percent) {
  uint64_t seen = 0, at = 0;
  while (at < HISTOGRAM_US && (seen += histogram[at]) * 100 < calls * percent) at++;
  return at;
}

/* ---- all ---------------------------------------------------------------------------------------- */

static void read_options(int argc, char **argv) {
  if (argc < 2 || argv[1][0] == '-')
    die("usage: load URL [--connections N] [--seconds S] [--warmup S] [--era legacy|modern] [--pid P] [--calls N] [--keyed N] [--list] [--rate R]");
  parse_url(argv[1], &opt.url);
  opt.connections = (int)strtol(option(argc, argv, "connections", "32"), NULL, 10);
  opt.modern = strcmp(option(argc, argv, "era", "legacy"), "modern") == 0;
  opt.pid = (int)strtol(option(argc, argv, "pid", "0"), NULL, 10);
  opt.warmup_us = (uint64_t)(strtod(option(argc, argv, "warmup", "0.5"), NULL) * 1e6);
  opt.run_us = (uint64_t)(strtod(option(argc, argv, "seconds", "3"), NULL) * 1e6);
  opt.calls = strtoull(option(argc, argv, "calls", "0"), NULL, 10);
  opt.keyed = strtoul(option(argc, argv, "keyed", "0"), NULL, 10);
  double rate = strtod(option(argc, argv, "rate", "0"), NULL);
  opt.gap_us = rate > 0 ? 1e6 / rate : 0;
  for (int i = 2; i < argc; i++) opt.list |= strcmp(argv[i], "--list") == 0;
  if (opt.calls) opt.warmup_us = 0;
  if (opt.connections < 1 || opt.connections > CONNECTIONS_MAX) die("1 to %d connections", CONNECTIONS_MAX);
}

static void open_connections(int epoll) {
  for (int i = 0; i < opt.connections; i++) {
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) die("out of memory");
    c->fd = connect_to(&opt.url);
    if (i == 0 && !opt.modern) open_session(c->fd, &opt.url, opt.session);
    set_nonblocking(c->fd);
    build(c);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) die("epoll_ctl: %s", strerror(errno));
    if (opt.gap_us > 0) idle[n_idle++] = c;
    else send_next(c);
  }
}

static void turn(int epoll, int counted) {
  struct epoll_event ev[256];
  uint64_t us = opt.gap_us > 0 ? send_due() : 20000000;
  struct timespec wait = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  int n = epoll_pwait2(epoll, ev, 256, &wait, NULL);
  if (n == 0 && us >= 20000000) die("nothing came for 20 seconds");
  for (int i = 0; i < n; i++) on_readable(ev[i].data.ptr, counted);
}

int main(int argc, char **argv) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  read_options(argc, argv);
  raise_files();
  open_connections(epoll);
  due_us = (double)now_us();
  uint64_t begin = now_us() + opt.warmup_us, now;
  while (now_us() < begin) turn(epoll, 0);
  uint64_t cpu = opt.pid ? cpu_us(opt.pid) : 0;
  begin = now_us();
  while ((now = now_us()) && (opt.calls ? calls < opt.calls : now < begin + opt.run_us)) turn(epoll, 1);
  cpu = opt.pid ? cpu_us(opt.pid) - cpu : 0;
  if (calls == 0) die("no call was answered");
  printf("calls=%llu rps=%.0f p50_us=%llu p90_us=%llu p99_us=%llu", (unsigned long long)calls,
         (double)calls * 1e6 / (double)(now - begin), (unsigned long long)percentile(50),
         (unsigned long long)percentile(90), (unsigned long long)percentile(99));
  if (opt.pid) printf(" cpu_us=%.2f", (double)cpu / (double)calls);
  printf("\n");
  return 0;
}
