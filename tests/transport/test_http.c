/* The http transport over single replies: what it sends, and what it makes of each kind of answer. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <string.h>

#include "transport/suites.h"
#include "transport/test_http.h"

static struct http_fix f;

/* A legacy server: keeps the heads of what it was sent, answers by fixed texts. */
static struct raw_request seen[16];
static atomic_int n_seen;
static void note(const struct raw_request *r) {
  int i = atomic_fetch_add(&n_seen, 1);
  if (i >= 16) return;
  seen[i] = *r;
  seen[i].body = r->body ? strdup(r->body) : NULL;
}

static void legacy(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    note(&r);
    if (!strncmp(r.head, "DELETE", 6)) raw_reply(c, 200, "", "");
    else if (strstr(r.body, "\"initialize\""))
      raw_reply(c, 200, "Content-Type: application/json\r\nMcp-Session-Id: s-1~!\r\n", "{\"result\":{}}");
    else if (strstr(r.body, "\"id\""))
      raw_reply(c, 200, "Content-Type: application/json\r\n", " {\"result\":{\"n\":0.10}}\n");
    else raw_reply(c, 202, "", "");
    raw_request_done(&r);
  }
}

START_TEST(the_session_id_travels_from_the_handshake_on) {
  mcpgw_message note_msg = {.kind = MCPGW_SEND_NOTIFICATION, .revision = "2025-11-25"};
  http_fix_up(&f, legacy, NULL);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  ck_assert_int_eq(http_send_as(&f, &note_msg, "{\"method\":\"notifications/initialized\"}"), MCPGW_OK);
  ck_assert_int_eq(http_send(&f, 2, "{\"id\":2}"), MCPGW_OK);
  const struct host_event *m = http_message(&f, 2, 0);
  ck_assert_str_eq(m->text, " {\"result\":{\"n\":0.10}}\n"); /* the bytes as they are */
  ck_assert_uint_eq(m->status, 200);
  http_fix_close(&f, MCPGW_CLOSE_GRACEFUL);
  for (int i = 0; i < 100 && n_seen < 4; i++) fake_host_turn(f.host, 10);
  ck_assert_int_eq(n_seen, 4);
  ck_assert(raw_has(&seen[0], "Content-Type: application/json"));
  ck_assert(raw_has(&seen[0], "Accept: application/json, text/event-stream"));
  ck_assert(!raw_has_name(&seen[0], "Mcp-Session-Id"));
  ck_assert(!raw_has_name(&seen[0], "MCP-Protocol-Version"));
  for (int i = 1; i < 4; i++) {
    ck_assert(raw_has(&seen[i], "Mcp-Session-Id: s-1~!"));
    ck_assert(raw_has(&seen[i], "MCP-Protocol-Version: 2025-11-25"));
  }
  int deletes = 0; /* notification and request may swap places, the farewell comes last */
  for (int i = 0; i < 4; i++) deletes += !strncmp(seen[i].head, "DELETE", 6);
  ck_assert_int_eq(deletes, 1);
  ck_assert(!strncmp(seen[3].head, "DELETE /mcp ", 12));
  ck_assert_int_eq(fake_host_count(f.host, HOST_SENT, 2), 1);
  ck_assert_int_eq(f.host->logs, 0);
  http_fix_down(&f);
}
END_TEST

/* ---- many sessions end at once ---- */
static atomic_int byes, at_once, most_at_once;

static void slow_to_part(struct raw_conn *c, void *arg) {
  struct raw_request r;
  while (raw_read(c, &r)) {
    int bye = !strncmp(r.head, "DELETE", 6), n = bye ? atomic_fetch_add(&at_once, 1) + 1 : 0;
    if (n > most_at_once) most_at_once = n;
    raw_request_done(&r);
    if (bye) {
      usleep(20000);
      atomic_fetch_add(&byes, 1);
      atomic_fetch_sub(&at_once, 1);
      if (*(int *)arg) return; /* it dies of each */
    }
    raw_reply(c, 200, "Content-Type: application/json\r\nMcp-Session-Id: s\r\n", "{\"result\":{}}");
  }
}

START_TEST(farewells_leave_room_for_others) {
  enum { LINKS = 200 };
  void *impl[LINKS];
  int deadly = _i;
  byes = at_once = most_at_once = 0;
  http_fix_up(&f, slow_to_part, &deadly);
  for (int i = 0; i < LINKS; i++) {
    if (i) ck_assert_int_eq(mg_transport_http_ops.open(f.transport, f.host, &f.impl), MCPGW_OK);
    ck_assert_int_eq(http_hello(&f, (uint64_t)i + 1), MCPGW_OK);
    http_message(&f, (uint64_t)i + 1, 0);
    impl[i] = f.impl;
  }
  for (int i = 0; i < LINKS; i++) mg_transport_http_ops.close(impl[i], MCPGW_CLOSE_GRACEFUL);
  f.impl = NULL;
  f.host->closed = 1;
  for (int i = 0; i < (deadly ? 60 : 500) && byes < LINKS; i++) fake_host_turn(f.host, 10);
  ck_assert_int_le(most_at_once, 64);
  if (deadly) ck_assert_int_le(byes, 70); /* after the third failure the rest is let go */
  else ck_assert_int_eq(byes, LINKS);
  http_fix_down(&f);
}
END_TEST

START_TEST(headers_of_message_and_config_meet) {
  static const char *const config[] = {
      "X-Team: a",         "authorization: Bearer config", "Accept: text/plain",
      "MCP-SESSION-ID: x", "Mcp-Param-Region: no",         NULL};
  static const mcpgw_header own[] = {{"Mcp-Method", "tools/call"}, {"Authorization", "Bearer hop"}};
  mcpgw_message m = {.kind = MCPGW_SEND_REQUEST,
                     .call = 5,
                     .revision = "2026-07-28",
                     .modern = 1,
                     .headers = own,
                     .n_headers = 2};
  memset(&f, 0, sizeof f);
  f.up = raw_server_new(legacy, NULL);
  http_fix_url(&f, f.up->url, config);
  ck_assert_int_eq(http_send_as(&f, &m, "{\"id\":5}"), MCPGW_OK);
  http_message(&f, 5, 0);
  ck_assert(raw_has(&seen[0], "MCP-Protocol-Version: 2026-07-28"));
  ck_assert(raw_has(&seen[0], "Mcp-Method: tools/call"));
  ck_assert(raw_has(&seen[0], "Authorization: Bearer hop"));
  ck_assert(raw_has(&seen[0], "X-Team: a"));
  ck_assert(raw_has(&seen[0], "Accept: application/json, text/event-stream"));
  ck_assert(!strstr(seen[0].head, "Bearer config"));
  ck_assert(!raw_has_name(&seen[0], "Mcp-Session-Id"));
  ck_assert(!raw_has_name(&seen[0], "Mcp-Param-Region"));
  http_fix_close(&f, MCPGW_CLOSE_GRACEFUL); /* no session: no DELETE */
  fake_host_turn(f.host, 50);
  ck_assert_int_eq(n_seen, 1);
  http_fix_down(&f);
}
END_TEST

/* One reply to whatever comes. */
struct answer {
  const char *reply; /* raw bytes; then the connection is closed */
  int kind;          /* what the gateway shall hear */
  int code;
  uint32_t delivered, status;
  uint64_t retry_ms;
  const char *text;
};
static void answer_script(struct raw_conn *c, void *arg) {
  const struct answer *a = arg;
  struct raw_request r;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, a->reply);
}
#define JSON "Content-Type: application/json\r\n"
static const struct answer answers[] = {
    {"HTTP/1.1 200 OK\r\n" JSON "Content-Length: 13\r\n\r\n{\"result\":{}}", HOST_MESSAGE, 0, 0, 200, 0,
     "{\"result\":{}}"},
    {"HTTP/1.1 200 OK\r\n" JSON "Content-Length: 3\r\n\r\n[1]", HOST_MESSAGE, 0, 0, 200, 0, "[1]"},
    {"HTTP/1.1 400 No\r\n" JSON "Content-Length: 12\r\n\r\n{\"error\":{}}", HOST_MESSAGE, 0, 0, 400, 0,
     "{\"error\":{}}"},
    {"HTTP/1.1 404 No\r\n" JSON "Content-Length: 12\r\n\r\n{\"error\":{}}", HOST_MESSAGE, 0, 0, 404, 0,
     "{\"error\":{}}"},
    {"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", HOST_FAILED, MCPGW_E_IO, MCPGW_DELIVERED_NO, 404, 0,
     "upstream answered http status 404"},
    {"HTTP/1.1 401 No\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}", HOST_FAILED, MCPGW_E_DENIED,
     MCPGW_DELIVERED_NO, 401, 0, "upstream answered http status 401"},
    {"HTTP/1.1 429 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", HOST_FAILED, MCPGW_E_IO,
     MCPGW_DELIVERED_NO, 429, 3000, NULL},
    {"HTTP/1.1 503 No\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
     HOST_FAILED, MCPGW_E_IO, MCPGW_DELIVERED_UNKNOWN, 503, 0, NULL},
    {"HTTP/1.1 503 No\r\nRetry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
     HOST_FAILED, MCPGW_E_IO, MCPGW_DELIVERED_UNKNOWN, 503, 86400000, NULL},
    {"HTTP/1.1 303 See\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n", HOST_FAILED, MCPGW_E_IO,
     MCPGW_DELIVERED_UNKNOWN, 303, 0, NULL},
    {"HTTP/1.1 302 Found\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n", HOST_FAILED, MCPGW_E_IO,
     MCPGW_DELIVERED_UNKNOWN, 302, 0, NULL},
    {"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", HOST_FAILED,
     MCPGW_E_IO, MCPGW_DELIVERED_NO, 307, 0, NULL},
    {"HTTP/1.1 500 No\r\n" JSON "Content-Length: 100\r\n\r\n{\"er", HOST_FAILED, MCPGW_E_IO,
     MCPGW_DELIVERED_UNKNOWN, 500, 0, NULL},
    {"HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", HOST_FAILED, MCPGW_E_PARSE, MCPGW_DELIVERED_YES, 202, 0,
     "upstream accepted the request without answering it"},
    {"HTTP/1.1 200 OK\r\n" JSON "Content-Length: 2\r\n\r\n \n", HOST_FAILED, MCPGW_E_PARSE,
     MCPGW_DELIVERED_YES, 200, 0, "upstream answered with an empty body"},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}", HOST_FAILED, MCPGW_E_PARSE,
     MCPGW_DELIVERED_YES, 200, 0, "upstream answered with neither json nor an event stream"},
    {"HTTP/1.1 200 OK\r\n" JSON "Content-Length: 100\r\n\r\n{\"resu", HOST_FAILED, MCPGW_E_CLOSED,
     MCPGW_DELIVERED_YES, 200, 0, NULL}, /* the reply had begun */
    {"", HOST_FAILED, MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN, 0, 0, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: \n\n", HOST_STREAMING, 0, 0, 0,
     0, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"method\":\"x\"}\n\n", HOST_FAILED,
     MCPGW_E_CLOSED, MCPGW_DELIVERED_YES, 200, 0, "stream ended without a response"},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: ping\ndata: {}\n\n", HOST_FAILED,
     MCPGW_E_CLOSED, MCPGW_DELIVERED_YES, 200, 0, "stream ended without a response"},
};

START_TEST(each_answer_has_its_meaning) {
  const struct answer *a = &answers[_i];
  const struct host_event *ev;
  http_fix_up(&f, answer_script, (void *)a);
  ck_assert_int_eq(http_send(&f, 9, "{\"id\":9}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, a->kind, 9, 1, 5000));
  ev = fake_host_event(f.host, a->kind, 9, 0);
  if (a->kind == HOST_MESSAGE) {
    ck_assert_uint_eq(ev->status, a->status);
    ck_assert_str_eq(ev->text, a->text);
    ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 9), 0);
  } else if (a->kind == HOST_FAILED) {
    ck_assert_int_eq(ev->why.code, a->code);
    ck_assert_uint_eq(ev->why.delivered, a->delivered);
    ck_assert_uint_eq(ev->why.http_status, a->status);
    ck_assert_uint_eq(ev->why.retry_after_ms, a->retry_ms);
    if (a->text) ck_assert_str_eq(ev->text, a->text);
    ck_assert(ev->text[0]);
  }
  ck_assert_int_eq(f.up->requests, 1);
  http_fix_down(&f);
}
END_TEST

/* What each end of a request proves. 0 nobody listens, 1 gone before a byte was read, 2 gone in the middle of
 * the body, 3 gone when it had been read whole, 4 gone when the reply had begun. */
static void goes_at(struct raw_conn *c, void *arg) {
  struct raw_request r;
  int stage = *(int *)arg;
  if (stage == 2) {
    if (!raw_read_head(c, &r)) return;
    raw_sleep(100);
    raw_reset(c);
    return;
  }
  if (stage < 3 || !raw_read(c, &r)) return;
  raw_request_done(&r);
  if (stage == 4) raw_send(c, "HTTP/1.1 200 OK\r\n" JSON "Content-Length: 100\r\n\r\n{\"re");
  raw_sleep(50);
  raw_reset(c);
}

START_TEST(what_each_end_proves) {
  static const uint32_t proves[] = {MCPGW_DELIVERED_NO, MCPGW_DELIVERED_UNKNOWN, MCPGW_DELIVERED_UNKNOWN, MCPGW_DELIVERED_UNKNOWN,
                                    MCPGW_DELIVERED_YES};
  int stage = _i;
  size_t size = stage == 2 ? (size_t)8 << 20 : 100;
  char *text = malloc(size + 1);
  memset(text, ' ', size);
  memcpy(text, "{\"id\":9}", 8);
  text[size] = 0;
  http_fix_up(&f, goes_at, &stage);
  if (stage == 0) {
    raw_server_free(f.up);
    f.up = NULL;
  }
  f.host->budget.limit = (size_t)64 << 20;
  ck_assert_int_eq(http_send(&f, 9, text), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 9);
  ck_assert_msg(ev->why.delivered == proves[stage], "stage %d: %u, %s", stage, ev->why.delivered, ev->text);
  ck_assert_int_eq(fake_host_count(f.host, HOST_SENT, 9), stage > 0); /* the first byte tells, not the last */
  http_fix_down(&f);
  free(text);
}
END_TEST

static void bad_session(struct raw_conn *c, void *arg) {
  static char longest[1200];
  struct raw_request r;
  int which = *(int *)arg;
  memset(longest, 'a', 1025);
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  if (which == 0) raw_reply(c, 200, JSON "Mcp-Session-Id: a\r\nmcp-session-id: a\r\n", "{\"result\":{}}");
  if (which == 1) raw_reply(c, 200, JSON "Mcp-Session-Id: a b\r\n", "{\"result\":{}}");
  if (which == 2) raw_reply(c, 200, JSON "Mcp-Session-Id: caf\xc3\xa9\r\n", "{\"result\":{}}");
  if (which == 4) raw_reply(c, 200, JSON "Mcp-Session-Id: \r\n", "{\"result\":{}}");
  if (which == 3)
    raw_sendf(c, "HTTP/1.1 200 OK\r\n" JSON "Mcp-Session-Id: %s\r\nContent-Length: 13\r\n\r\n{\"result\":{}}",
              longest);
}

START_TEST(a_bad_session_id_fails_the_handshake) {
  int which = _i;
  http_fix_up(&f, bad_session, &which);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 1);
  ck_assert_int_eq(ev->why.code, MCPGW_E_PARSE);
  ck_assert(strstr(ev->text, "mcp-session-id"));
  ck_assert_int_eq(fake_host_count(f.host, HOST_MESSAGE, 1), 0);
  http_fix_down(&f);
}
END_TEST

static void forgets(struct raw_conn *c, void *arg) {
  struct raw_request r;
  while (raw_read(c, &r)) {
    int hang = r.body && strstr(r.body, "hang") != NULL;
    if (strstr(r.body, "\"initialize\"")) raw_reply(c, 200, JSON "Mcp-Session-Id: s\r\n", "{\"result\":{}}");
    else if (!hang) raw_reply(c, 404, JSON, "{\"error\":{\"code\":-32001}}");
    raw_request_done(&r);
    if (hang && raw_peer_closed(c, 3000)) {
      atomic_fetch_add((atomic_int *)arg, 1);
      return;
    }
  }
}

START_TEST(a_forgotten_session_closes_the_link) {
  atomic_int hung_up = 0;
  http_fix_up(&f, forgets, &hung_up);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  ck_assert_int_eq(http_send(&f, 2, "{\"id\":2,\"method\":\"hang\"}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, HOST_SENT, 2, 1, 5000));
  fake_host_turn(f.host, 20);
  ck_assert_int_eq(http_send(&f, 3, "{\"id\":3}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, HOST_CLOSED, 0, 1, 5000));
  const struct host_event *ev = fake_host_event(f.host, HOST_CLOSED, 0, 0);
  ck_assert_int_eq(ev->why.code, MCPGW_E_NOT_FOUND);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_NO);
  ck_assert_str_eq(ev->text, "upstream session is gone");
  ev = fake_host_event(f.host, HOST_FAILED, 2, 0); /* the other call had been delivered, perhaps */
  ck_assert_ptr_nonnull(ev);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_UNKNOWN);
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 3), 0);
  ck_assert_int_eq(http_send(&f, 4, "{\"id\":4}"), MCPGW_E_CLOSED);
  fake_host_turn(f.host, 50);
  ck_assert_int_eq(hung_up, 1);
  ck_assert_int_eq(fake_host_count(f.host, HOST_CLOSED, 0), 1);
  http_fix_close(&f, MCPGW_CLOSE_GRACEFUL); /* nothing to delete any more */
  http_fix_down(&f);
}
END_TEST

/* How servers in the wild say it; and what only looks like it. */
static const struct {
  int status, events, lost;
  const char *type, *body;
} strangers[] = {
    {404, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32001,\"message\":\"Session not found\"},\"id\":null}"},
    {400, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Bad Request: No valid session ID provided\"},\"id\":null}"},
    {400, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Bad Request: Unknown Mcp-Session-Id header\"},\"id\":2}"},
    {400, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Bad Request: Server not initialized\"},\"id\":null}"},
    {400, 0, 1, "Content-Type: text/plain; charset=utf-8\r\n", "Invalid session ID\n"},
    {200, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"id\":\"server-error\",\"error\":{\"code\":-32600,\"message\":\"Session not found\"}}"},
    {200, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32600,\"message\":\"missing or invalid Mcp-Session-Id\"}}"},
    {200, 1, 1, "", "{\"error\":\"Session not found\"}"},
    {200, 1, 1, "", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"session expired\"}}"},
    {400, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Bad Request: Server not initialized\"},\"id\":null}"},
    {200, 0, 1, JSON, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,\"message\":\"Session not found\"}}"},
    {200, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32000,\"message\":\"database session expired\"}}"},
    {200, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32001,\"message\":\"Session not found\"}}"},
    {200, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32603,\"message\":\"server not initialized\"}}"},
    {200, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32600,\"message\":\"name not found\"}}"},
    {200, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"error\":\"session not found, code -32600\"}}"},
    {400, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"unsupported protocol version\"}}"},
    {503, 0, 0, JSON, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"session not found\"}}"},
};

static void strange(struct raw_conn *c, void *arg) {
  struct raw_request r;
  int i = *(int *)arg;
  while (raw_read(c, &r)) {
    if (strstr(r.body, "\"initialize\"")) raw_reply(c, 200, JSON "Mcp-Session-Id: s\r\n", "{\"result\":{}}");
    else if (!strangers[i].events) raw_reply(c, strangers[i].status, strangers[i].type, strangers[i].body);
    else {
      raw_sendf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: message\ndata: %s\n\n", strangers[i].body);
      raw_request_done(&r);
      return;
    }
    raw_request_done(&r);
  }
}

START_TEST(a_lost_session_is_known_by_what_servers_say) {
  int which = _i;
  http_fix_up(&f, strange, &which);
  ck_assert_int_eq(http_hello(&f, 1), MCPGW_OK);
  http_message(&f, 1, 0);
  ck_assert_int_eq(http_send(&f, 2, "{\"id\":2}"), MCPGW_OK);
  if (strangers[_i].lost) {
    ck_assert(fake_host_wait(f.host, HOST_CLOSED, 0, 1, 5000));
    const struct host_event *ev = fake_host_event(f.host, HOST_CLOSED, 0, 0);
    ck_assert_int_eq(ev->why.code, MCPGW_E_NOT_FOUND);
    ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_NO);
    ck_assert_int_eq(fake_host_count(f.host, HOST_MESSAGE, 2) + fake_host_count(f.host, HOST_FAILED, 2), 0);
  } else {
    ck_assert(fake_host_wait(f.host, HOST_MESSAGE, 2, 1, 5000));
    ck_assert_str_eq(fake_host_event(f.host, HOST_MESSAGE, 2, 0)->text, strangers[_i].body);
    ck_assert_int_eq(fake_host_count(f.host, HOST_CLOSED, 0), 0);
  }
  http_fix_down(&f);
}
END_TEST

static void large(struct raw_conn *c, void *arg) {
  struct raw_request r;
  char piece[1001];
  int as_events = *(int *)arg;
  memset(piece, 'z', 1000);
  piece[1000] = '\0';
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_sendf(c, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n%s",
            as_events ? "text/event-stream" : "application/json", as_events ? "data: " : "");
  for (int i = 0; i < 3000 && raw_send(c, piece); i++) {
  }
}

START_TEST(an_answer_beyond_result_bytes_is_cut_off) {
  int as_events = _i;
  http_fix_up(&f, large, &as_events);
  ck_assert_int_eq(http_send(&f, 1, "{\"id\":1}"), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 1);
  ck_assert_int_eq(ev->why.code, MCPGW_E_LIMIT);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_YES);
  ck_assert_int_eq(fake_host_count(f.host, HOST_MESSAGE, 0), 0);
  http_fix_down(&f);
}
END_TEST

START_TEST(an_answer_without_room_is_our_want) {
  int as_events = 0;
  http_fix_up(&f, large, &as_events);
  f.host->budget.limit = 20000; /* limits.memory_bytes */
  ck_assert_int_eq(http_send(&f, 1, "{\"id\":1}"), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 1);
  ck_assert_int_eq(ev->why.code, MCPGW_E_NOMEM);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_YES);
  ck_assert_ptr_nonnull(strstr(ev->text, "limits.memory_bytes"));
  http_fix_down(&f);
}
END_TEST

static void hold(struct raw_conn *c, void *arg) {
  struct raw_request r;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  if (raw_peer_closed(c, 3000)) atomic_fetch_add((atomic_int *)arg, 1);
}

START_TEST(cancelling_closes_the_exchange_silently) {
  atomic_int closed = 0;
  http_fix_up(&f, hold, &closed);
  for (uint64_t call = 1; call <= 8; call++) ck_assert_int_eq(http_send(&f, call, "{\"id\":1}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, HOST_SENT, 0, 8, 5000));
  fake_host_turn(f.host, 20);
  for (uint64_t call = 1; call <= 8; call++) mg_transport_http_ops.cancel(f.impl, call);
  mg_transport_http_ops.cancel(f.impl, 99); /* unknown: nothing */
  for (int i = 0; i < 100 && closed < 8; i++) fake_host_turn(f.host, 10);
  ck_assert_int_eq(closed, 8);
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 0);
  ck_assert_int_eq(mg_transport_http_ops.cancel_closes(f.impl), 1);
  http_fix_down(&f);
}
END_TEST

START_TEST(refused_connections_and_notifications) {
  mcpgw_message lost = {.kind = MCPGW_SEND_NOTIFICATION, .revision = "2025-11-25"};
  memset(&f, 0, sizeof f);
  http_fix_url(&f, "http://127.0.0.1:1/mcp", NULL);
  ck_assert_int_eq(http_send(&f, 1, "{\"id\":1}"), MCPGW_OK);
  const struct host_event *ev = http_failure(&f, 1);
  ck_assert_int_eq(ev->why.code, MCPGW_E_IO);
  ck_assert_uint_eq(ev->why.delivered, MCPGW_DELIVERED_NO);
  ck_assert_uint_eq(ev->why.http_status, 0);
  ck_assert_int_eq(http_send_as(&f, &lost, "{}"), MCPGW_OK);
  for (int i = 0; i < 100 && !f.host->logs; i++) fake_host_turn(f.host, 10);
  ck_assert_int_eq(f.host->logs, 1);
  ck_assert(!strncmp(f.host->last_log, "upstream.oneway_lost", 20));
  ck_assert_int_eq(fake_host_count(f.host, HOST_FAILED, 0), 1);
  http_fix_down(&f);
}
END_TEST

START_TEST(bad_configs_are_refused) {
  static const char *const split[] = {"X: a\r\nY: b", NULL}, *const nameless[] = {": a", NULL};
  struct mg_http_transport_config c = {.url = "ws://x/"};
  void *t = &c;
  ck_assert_int_eq(mg_transport_http_new(&c, &t), MCPGW_E_CONFIG);
  c.url = "http://x/";
  c.headers = split;
  ck_assert_int_eq(mg_transport_http_new(&c, &t), MCPGW_E_CONFIG);
  c.headers = nameless;
  ck_assert_int_eq(mg_transport_http_new(&c, &t), MCPGW_E_CONFIG);
  ck_assert_ptr_eq(t, &c);
}
END_TEST

/* The gateway may close the link from inside any event. */
static void close_inside(struct mcpgw_link *link, const struct host_event *ev) {
  struct http_fix *fix = link->user;
  if (ev->kind != *(int *)fix->up->arg || !fix->impl) return;
  mg_transport_http_ops.close(fix->impl, MCPGW_CLOSE_GRACEFUL);
  fix->impl = NULL;
  link->closed = 1;
}

static void streams_two(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: \n\ndata: {\"a\":1}\n\ndata: "
              "{\"b\":1}\n\n");
}

START_TEST(close_from_inside_an_event_is_the_last_word) {
  static const int kinds[] = {HOST_SENT, HOST_STREAMING, HOST_MESSAGE, HOST_FAILED};
  int kind = kinds[_i];
  http_fix_up(&f, streams_two, &kind);
  f.host->react = close_inside;
  ck_assert_int_eq(http_send(&f, 1, "{\"id\":1}"), MCPGW_OK);
  ck_assert_int_eq(http_send(&f, 2, "{\"id\":2}"), MCPGW_OK);
  ck_assert(fake_host_wait(f.host, kind, 0, 1, 5000));
  fake_host_turn(f.host, 50);
  ck_assert_int_eq(fake_host_count(f.host, kind, 0), 1);
  http_fix_down(&f);
}
END_TEST

START_TEST(every_allocation_may_fail) {
  for (uint64_t n = 1; n < 80; n++) {
    int rc, done = 0;
    uint64_t fired;
    n_seen = 0;
    http_fix_up(&f, streams_two, NULL);
    mg_mem_fail_after(n, 0);
    rc = http_send(&f, 1, "{\"id\":1}"); /* the fixture's copy may fail: then bytes are NULL */
    for (int i = 0; rc == MCPGW_OK && !done && i < 3000; i++) {
      ck_assert_int_eq(mg_loop_run(f.loop, MG_RUN_NOWAIT), MCPGW_OK);
      raw_sleep(1);
      done = fake_host_count(f.host, HOST_FAILED, 1);
    }
    fired = mg_mem_failed();
    mg_mem_fail_after(0, 0);
    ck_assert(rc != MCPGW_OK || done == 1);
    ck_assert(fired || rc == MCPGW_OK);
    http_fix_down(&f);
    if (!fired) return;
  }
  ck_abort_msg("never got through");
}
END_TEST

Suite *transport_http_suite(void) {
  Suite *s = suite_create("transport/http");
  TCase *t = tcase_create("exchange");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, the_session_id_travels_from_the_handshake_on);
  tcase_add_loop_test(t, farewells_leave_room_for_others, 0, 2);
  tcase_add_test(t, headers_of_message_and_config_meet);
  tcase_add_loop_test(t, each_answer_has_its_meaning, 0, (int)(sizeof answers / sizeof *answers));
  tcase_add_loop_test(t, what_each_end_proves, 0, 5);
  tcase_add_loop_test(t, a_bad_session_id_fails_the_handshake, 0, 5);
  tcase_add_test(t, a_forgotten_session_closes_the_link);
  tcase_add_loop_test(t, a_lost_session_is_known_by_what_servers_say, 0, (int)(sizeof strangers / sizeof *strangers));
  tcase_add_loop_test(t, an_answer_beyond_result_bytes_is_cut_off, 0, 2);
  tcase_add_test(t, an_answer_without_room_is_our_want);
  tcase_add_test(t, cancelling_closes_the_exchange_silently);
  tcase_add_test(t, refused_connections_and_notifications);
  tcase_add_test(t, bad_configs_are_refused);
  tcase_add_loop_test(t, close_from_inside_an_event_is_the_last_word, 0, 4);
  tcase_add_test(t, every_allocation_may_fail);
  suite_add_tcase(s, t);
  http_tests_stream(s);
  http_tests_fixture(s);
  return s;
}
