/* tests/oom/doors: the other ways in, with each allocation failing in turn: HTTP through real sockets (both
 * eras, streams, batches, the session's channel) and clients that negotiate by themselves. Nothing crashes,
 * nothing leaks, and who sent a request is answered or finds the connection closed. */
#include <stdio.h>

#include "base/mem.h"
#include "gateway/rig.h"

#define MAX_N 20000

Suite *oom_doors_suite(void);

struct life {
  struct gwt g;
  uint64_t nth;
  int sticky; /* no memory is left at all: silence is allowed then */
  uint64_t failed;
};

/* ---- HTTP ----------------------------------------------------------------------------------------------------- */

/* One whole response, JSON or stream, or the end of the connection. The status; 0: closed. */
static int answer(struct life *l, struct gwt_http *c) {
  uint64_t end = gwt_ms() + (l->sticky ? 20 : 4000);
  for (;;) {
    int over = 0;
    char *split = c->buf ? strstr(c->buf, "\r\n\r\n") : NULL, *length = split ? strcasestr(c->buf, "\r\nContent-Length:") : NULL;
    if (split && strcasestr(c->buf, "chunked")) free(gwt_stream(c, &over));
    else if (split) over = c->len >= (size_t)(split + 4 - c->buf) + (length && length < split ? strtoul(length + 17, NULL, 10) : 0);
    if (over) return atoi(c->buf + 9);
    if (c->eof || c->reset) return 0;
    if (gwt_ms() >= end) {
      ck_assert_msg(l->sticky, "allocation %llu: a request was neither answered nor its connection closed:\n%.1000s\n%s",
                    (unsigned long long)l->nth, c->buf ? c->buf : "", l->g.log);
      return 0;
    }
    gwt_read(c, 2);
  }
}

static int post(struct life *l, const char *headers, const char *body, char session[80]) {
  struct gwt_http c;
  gwt_connect(&l->g, &c);
  gwt_post(&c, "/mcp", headers, body);
  int status = answer(l, &c);
  char *at = status == 200 && session ? strcasestr(c.buf, "Mcp-Session-Id: ") : NULL;
  if (at) snprintf(session, 80, "%.*s\r\n", (int)strcspn(at, "\r"), at);
  gwt_close(&c);
  return status;
}

#define INIT(v) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"" v "\",\"capabilities\":{},\"clientInfo\":{}}}"

static void http_legacy(struct life *l) {
  char sid[80] = "";
  if (post(l, "", INIT("2025-11-25"), sid) != 200 || !*sid) return;
  if (post(l, sid, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", NULL) != 202) return;
  post(l, sid, GWT_CALL("2", "a__echo"), NULL);
  post(l, sid, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"a__progress\",\"_meta\":{\"progressToken\":1}}}", NULL);
  post(l, sid, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/list\"}", NULL);
  post(l, sid, GWT_CALL("5", "nope"), NULL);
}

static void http_batch(struct life *l) {
  char sid[80] = "";
  if (post(l, "", INIT("2025-03-26"), sid) != 200 || !*sid) return;
  if (post(l, sid, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", NULL) != 202) return;
  post(l, sid, "[" GWT_CALL("1", "a__echo") "," GWT_CALL("2", "b__echo") ",{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"},{\"id\":4}]", NULL);
}

static void http_modern(struct life *l) {
  l->g.servers[0].modern = l->g.servers[1].modern = 1;
  post(l, GWT_MODERN_HEADERS("server/discover"), GWT_MODERN("1", "server/discover", ""), NULL);
  post(l, GWT_CALL_HEADERS("a__echo") "Mcp-Param-X: 1\r\n", GWT_MODERN_CALL("2", "a__echo"), NULL);
  post(l, GWT_CALL_HEADERS("a__progress"), GWT_MODERN_CALL("3", "a__progress"), NULL);
  post(l, GWT_CALL_HEADERS("x"), GWT_MODERN_CALL("4", "a__echo"), NULL); /* refused with 400 */
}

/* The session's channel: a notification that came before, one that comes after, taken over by a second GET. */
static void http_channel(struct life *l) {
  char sid[80] = "", headers[200];
  struct gwt_http c, d;
  if (post(l, "", INIT("2025-11-25"), sid) != 200 || !*sid || !l->g.servers[0].last) return;
  const char *note = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"n:1\"}}";
  gwt_say(&l->g.servers[0], note);
  snprintf(headers, sizeof headers, "Accept: text/event-stream\r\n%s", sid);
  gwt_connect(&l->g, &c);
  gwt_request(&c, "GET", "/mcp", headers, "");
  for (int i = 0; i < 5; i++) gwt_read(&c, 1);
  if (l->g.servers[0].last) gwt_say(&l->g.servers[0], note);
  for (int i = 0; i < 5; i++) gwt_read(&c, 1);
  gwt_connect(&l->g, &d);
  gwt_request(&d, "GET", "/mcp", headers, "");
  for (int i = 0; i < 5; i++) gwt_read(&d, 1);
  gwt_close(&c);
  gwt_request(&d, "DELETE", "/mcp", sid, "");
  gwt_close(&d);
  for (int i = 0; i < 5; i++) gwt_turn(&l->g, 1);
}

/* ---- clients that negotiate by themselves ------------------------------------------------------------------------ */

/* Until nobody waits, the client is closed, or time is over. What is left of waiting; 0 when closed. */
static int hear(struct life *l, int waiting, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  while (waiting && gwt_ms() < end) {
    mcpgw_event *e;
    int rc = mcpgw_gateway_next_event(l->g.gw, &e);
    if (rc == MCPGW_E_AGAIN) gwt_turn(&l->g, 2);
    if (rc != MCPGW_OK) continue;
    waiting -= mcpgw_event_kind(e) == MCPGW_EVENT_REPLY;
    if (mcpgw_event_kind(e) == MCPGW_EVENT_CLOSED) waiting = 0;
    mcpgw_event_free(e);
  }
  return waiting;
}

static void client(struct life *l) {
  mcpgw_client *c;
  uint64_t id[2] = {0, 0};
  int waiting = 0;
  if (mcpgw_client_open(&c, l->g.gw, NULL, 0, MCPGW_CLIENT_AUTO) != MCPGW_OK) return;
  const char *params = "{\"name\":\"a__progress\"}";
  waiting += mcpgw_client_request(c, "tools/call", 10, params, strlen(params), &id[0]) == MCPGW_OK;
  waiting += mcpgw_client_request(c, "tools/list", 10, NULL, 0, &id[1]) == MCPGW_OK;
  if (l->sticky) waiting = hear(l, waiting, 20);
  l->failed = mg_mem_failed();
  if (l->sticky) mg_mem_fail_after(0, 0); /* there is memory again: now everybody must be told */
  waiting = hear(l, waiting, 4000);
  ck_assert_msg(!waiting, "allocation %llu: %d requests were never answered\n%s", (unsigned long long)l->nth, waiting, l->g.log);
  mcpgw_client_close(c);
}

static void client_modern(struct life *l) {
  l->g.servers[0].modern = l->g.servers[1].modern = 1;
  client(l);
}

static void client_legacy(struct life *l) {
  client(l);
}

/* ---- one life after the other --------------------------------------------------------------------------------------- */

static int one(struct life *l, void (*speak)(struct life *)) {
  memset(l->g.log, 0, sizeof l->g.log);
  l->g.oom = 1;
  l->failed = 0;
  mg_mem_fail_after(l->nth, l->sticky);
  if (gwt_try_up(&l->g, "\"sse_after_ms\":20000,", 2) == MCPGW_OK) speak(l);
  if (!l->failed) l->failed = mg_mem_failed();
  mg_mem_fail_after(0, 0);
  gwt_down(&l->g);
  return l->failed != 0;
}

static void (*const ways[])(struct life *) = {http_legacy, http_batch, http_modern, http_channel, client_modern, client_legacy};

START_TEST(each_allocation_fails_once) {
  static struct life l;
  l.nth = MAX_N;
  ck_assert_int_eq(one(&l, ways[_i]), 0); /* first as it should be: what lives as long as the process is made */
  for (l.nth = 1; l.nth < MAX_N && one(&l, ways[_i]); l.nth++) {
  }
  ck_assert_msg(l.nth > 100 && l.nth < MAX_N, "%llu allocations failed: that is not the whole path", (unsigned long long)l.nth);
}
END_TEST

START_TEST(each_allocation_and_all_after_it_fail) {
  static struct life l;
  l.nth = MAX_N;
  ck_assert_int_eq(one(&l, ways[_i]), 0);
  l.sticky = 1;
  for (l.nth = 1; l.nth < MAX_N && one(&l, ways[_i]); l.nth += 3) {
  }
  ck_assert(l.nth > 100 && l.nth < MAX_N);
}
END_TEST

Suite *oom_doors_suite(void) {
  Suite *s = suite_create("oom/doors");
  TCase *t = tcase_create("doors");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, each_allocation_fails_once, 0, (int)(sizeof ways / sizeof ways[0]));
  tcase_add_loop_test(t, each_allocation_and_all_after_it_fail, 0, (int)(sizeof ways / sizeof ways[0]));
  suite_add_tcase(s, t);
  return s;
}
