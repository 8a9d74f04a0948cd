/* stdio.c owns `mcpgw stdio`: the front for desktop agents, one message a line. Nothing but messages may
 * ever reach stdout. It stops reading while too much is under way or stdout is full. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "pipes.h"

#define PENDING_MAX 1024             /* requests without a reply; then stdin waits */
#define READ_BYTES ((size_t)1 << 20) /* on the way to stdout; then stdin waits */
#define EVENT_BYTES \
  ((size_t)16 << 20)   /* then events wait too, in the gateway, which has ceilings of its own */
#define ID_MAX 256    /* bytes of a request's id; longer ones are refused anyway */
#define DRAIN_MS 10000 /* after the end of stdin, for what is under way */
#define GRACE_MS 1500  /* agents kill two seconds after TERM */

struct front {
  mcpgw_gateway *gw;
  struct target *target;
  const struct args *args;
  mcpgw_client *client;
  struct lines in;
  struct out out;
  size_t pending; /* a lower bound: whatever may have no reply is taken off early */
  int took;       /* events were taken in this round */
  int closed;     /* the client cannot go on */
  int ending;     /* because we want it to */
};

static const char *const parse_error = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
                                       "\"message\":\"Parse error: a line is one JSON-RPC "
                                       "message\",\"data\":{\"origin\":\"gateway\"}}}";
static const char *const too_large =
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-31009,\"message\":\"the message is too large and "
    "was "
    "skipped\",\"data\":{\"origin\":\"gateway\",\"reason\":\"PAYLOAD_TOO_LARGE\",\"delivered\":\"no\"}}}";

static int put(struct front *f, const char *text) {
  return out_line(&f->out, text, strlen(text)) == 0 ? EXIT_OK : say_fail(EXIT_IO, "out of memory");
}

/* A request that there is no room for is answered under its own id: nobody waits in vain. */
static int overloaded(struct front *f, const char *line, size_t len) {
  struct json message = {NULL, 0}, id = {NULL, 0};
  char text[ID_MAX + 300];
  if (json_read(line, len, &message, NULL) && json_get(message, "method").ptr) id = json_get(message, "id");
  if (id.ptr == NULL || id.len > ID_MAX) id = (struct json){"null", 4};
  (void)snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-31006,\"message\":\"no room for the message "
                 "(limits.memory_bytes); send it again later\",\"data\":{\"origin\":\"gateway\",\"reason\":\"OVERLOADED\","
                 "\"delivered\":\"no\"}}}",
                 (int)id.len, id.ptr);
  return put(f, text);
}

/* ---- in -------------------------------------------------------------------------------------- */

static void count_in(struct front *f, const char *line, size_t len) {
  struct json message = {NULL, 0}, method;
  if (!json_read(line, len, &message, NULL)) return;
  method = json_get(message, "method");
  if (method.ptr == NULL) return;
  if (json_get(message, "id").ptr) f->pending++;
  else if (f->pending && memmem(method.ptr, method.len, "cancelled", 9)) f->pending--;
}

static int is_blank(const char *line, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return 0;
  return 1;
}

static int on_line(struct front *f, const char *line, size_t len) {
  if (is_blank(line, len)) return EXIT_OK;
  int rc = mcpgw_client_send(f->client, line, len);
  switch (rc) {
  case MCPGW_OK:
    count_in(f, line, len);
    return EXIT_OK;
  case MCPGW_E_PARSE:
  case MCPGW_E_INVALID:
    return put(f, parse_error);
  case MCPGW_E_LIMIT:
  case MCPGW_E_AGAIN:
  case MCPGW_E_NOMEM:
    return overloaded(f, line, len);
  default:
    f->closed = 1;
    return EXIT_OK;
  }
}

/* Not while a long message is on its way: an answer of ours would come into the middle of it. */
static int may_read(const struct front *f) {
  return !f->closed && !f->out.event && f->pending < PENDING_MAX && f->out.len < READ_BYTES;
}

static int take_lines(struct front *f) {
  const char *line;
  size_t len;
  int got = 0, rc = EXIT_OK;
  while (rc == EXIT_OK && may_read(f) && (got = lines_next(&f->in, &line, &len)) != 0)
    rc = got < 0 ? put(f, too_large) : on_line(f, line, len);
  return rc;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void count_out(struct front *f, const char *text, size_t len) {
  struct json message = {text, len};
  if (f->pending && json_is(message, '{') && json_get(message, "method").ptr == NULL) f->pending--;
}

static int is_full(const struct front *f) {
  return f->out.event || f->out.len >= EVENT_BYTES;
}

static int take_events(struct front *f) {
  mcpgw_event *e;
  int rc = EXIT_OK;
  f->took = 0;
  while (rc == EXIT_OK && !is_full(f) && mcpgw_gateway_next_event(f->gw, &e) == MCPGW_OK) {
    const char *data = mcpgw_event_data(e);
    size_t len = mcpgw_event_len(e);
    f->took = 1;
    if (mcpgw_event_kind(e) == MCPGW_EVENT_CLOSED) {
      if (len && !f->closed && !f->ending) say("the conversation is over: %s", data);
      f->closed = 1;
    } else if (mcpgw_event_kind(e) == MCPGW_EVENT_MESSAGE) {
      count_out(f, data, len);
      if (out_event(&f->out, e) != 0) rc = say_fail(EXIT_IO, "out of memory");
      continue;
    }
    mcpgw_event_free(e);
  }
  return rc;
}

/* Everything that can be done without waiting: replies make room for lines that have been read already, a
 * long message that has left for the events behind it, and nothing would wake us for those. */
static int work(struct front *f) {
  int rc;
  do {
    rc = take_lines(f);
    if (rc == EXIT_OK) rc = take_events(f);
    if (rc == EXIT_OK && out_flush(&f->out) != 0) rc = say_fail(EXIT_IO, "stdout is closed");
  } while (rc == EXIT_OK && !is_full(f) && (f->took || (may_read(f) && lines_left(&f->in))));
  return rc;
}

static int turn(struct front *f, int timeout_ms) {
  struct pollfd p[2] = {{f->out.fd, out_is_busy(&f->out) ? POLLOUT : 0, 0}, {f->in.fd, POLLIN, 0}};
  nfds_t n = may_read(f) && !f->in.eof ? 2 : 1;
  int rc = loop_turn_full(f->gw, p, n, timeout_ms, is_full(f));
  if (rc != MCPGW_OK && rc != MCPGW_E_AGAIN)
    return say_fail(EXIT_IO, "the gateway failed: %s", mcpgw_strerror(rc));
  if (p[0].revents & (POLLERR | POLLNVAL)) return say_fail(EXIT_IO, "stdout is closed");
  if (n == 2 && p[1].revents && lines_fill(&f->in) != 0)
    return say_fail(EXIT_IO, "cannot read stdin: %s", strerror(errno));
  return EXIT_OK;
}

/* After the end of stdin: replies under way may still come. */
static int idle(const struct front *f) {
  return f->in.eof && f->in.len == 0 && f->pending == 0 && !out_is_busy(&f->out);
}

static int run(struct front *f) {
  uint64_t until = 0;
  int rc = work(f);
  while (rc == EXIT_OK && !f->closed && !idle(f) && loop_interrupts() == 0) {
    if (f->in.eof && until == 0) until = clock_ms() + DRAIN_MS;
    if (until && clock_ms() >= until) break;
    if (loop_reload_wanted()) target_reload(f->target, f->args);
    rc = turn(f, until ? 100 : -1);
    if (rc == EXIT_OK) rc = work(f);
  }
  return rc;
}

/* Ends the gateway, still writing what comes, as long as somebody reads. */
static int finish(struct front *f) {
  uint64_t until = clock_ms() + GRACE_MS + 1500;
  unsigned before = loop_interrupts();
  int rc = EXIT_OK;
  f->in.eof = f->ending = 1;
  (void)mcpgw_gateway_stop(f->gw, GRACE_MS);
  while (rc == EXIT_OK && clock_ms() < until && loop_interrupts() == before &&
         (!mcpgw_gateway_stopped(f->gw) || out_is_busy(&f->out))) {
    rc = turn(f, 50);
    if (rc == EXIT_OK) rc = take_events(f);
    if (rc == EXIT_OK && out_flush(&f->out) != 0) rc = EXIT_IO;
  }
  return rc;
}

static int serve_pipes(struct target *t, const struct args *a) {
  struct front f = {.gw = t->gateway, .target = t, .args = a};
  if (lines_open(&f.in, STDIN_FILENO) != 0) return say_fail(EXIT_IO, "out of memory");
  out_open(&f.out, STDOUT_FILENO);
  int rc = EXIT_OK, lib = mcpgw_client_open(&f.client, t->gateway, NULL, 0, MCPGW_CLIENT_RAW);
  if (lib != MCPGW_OK) rc = say_fail(EXIT_IO, "cannot begin: %s", mcpgw_strerror(lib));
  if (rc == EXIT_OK) rc = run(&f);
  if (rc == EXIT_OK) rc = finish(&f);
  if (f.client) mcpgw_client_close(f.client);
  out_done(&f.out);
  lines_done(&f.in);
  return rc;
}

int cmd_stdio(const struct args *a) {
  struct target t;
  loop_hup_reloads();
  int rc = target_load_only(&t, a);
  if (rc == EXIT_OK) rc = target_has_servers(&t);
  if (rc == EXIT_OK) rc = target_start(&t, a, 0);
  if (rc == EXIT_OK) rc = serve_pipes(&t, a);
  target_done(&t);
  return rc;
}
