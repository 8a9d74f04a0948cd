/* tests/gateway/streams: JSON or SSE, heartbeats, resuming, the session's own channel, batches, and whose
 * disappearance cancels what. */
#include <linux/filter.h>
#include <stdio.h>
#include <sys/socket.h>

#include "gateway/rig.h"
#include "gateway/suites.h"

#define QUICK "\"sse_after_ms\":40,\"heartbeat_ms\":60,\"resume_ms\":400,"
#define NOTE(n) "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"n:" n "\"}}"

static void get(struct gwt_http *c, const char *sid, const char *last) {
  char headers[300];
  snprintf(headers, sizeof headers, "Accept: text/event-stream\r\n%s%s%s%s", last ? "Last-Event-ID: " : "", last ? last : "", last ? "\r\n" : "", sid);
  gwt_request(c, "GET", "/mcp", headers, "");
}

/* The id of the last event in a stream; "" when there is none. */
static void last_id(struct gwt_http *c, char out[40]) {
  int over;
  char *s = gwt_stream(c, &over), *p = s, *at = NULL;
  while ((p = strstr(p, "id: "))) at = p++;
  snprintf(out, 40, "%.*s", at ? (int)strcspn(at + 4, "\n") : 0, at ? at + 4 : "");
  free(s);
}

/* ---- JSON or SSE ------------------------------------------------------------------------------------------ */

START_TEST(a_quick_reply_is_json) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *body, *head;
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  for (int i = 0; i < 3; i++) { /* several on one connection */
    gwt_post(&c, "/mcp", i == 1 ? GWT_CALL_HEADERS("echo") : sid, i == 1 ? GWT_MODERN_CALL("5", "echo") : GWT_CALL("5", "echo"));
    ck_assert_int_eq(gwt_response(&c, &body, &head, 2000), 200);
    gwt_has(head, "Content-Type: application/json\r\n");
    gwt_lacks(head, "chunked");
    ck_assert_str_eq(body, "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}}");
    free(head);
  }
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

static const char *const revisions[] = {"2025-11-25", "2025-06-18", "2025-03-26", NULL};

START_TEST(a_slow_reply_becomes_a_stream) {
  struct gwt g;
  struct gwt_http c;
  char sid[80] = "", *s;
  int over, legacy = revisions[_i] != NULL;
  gwt_up(&g, QUICK, 1);
  g.servers[0].modern = !legacy;
  if (legacy) gwt_session(&g, "/mcp", revisions[_i], sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", legacy ? sid : GWT_CALL_HEADERS("hold"), legacy ? GWT_CALL("\"q\"", "hold") : GWT_MODERN_CALL("\"q\"", "hold"));
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000)); /* the first byte comes long before the reply */
  gwt_has(c.buf, "HTTP/1.1 200 OK");
  gwt_has(c.buf, "Content-Type: text/event-stream\r\n");
  gwt_has(c.buf, "Cache-Control: no-store\r\n");
  gwt_has(c.buf, "X-Accel-Buffering: no\r\n");
  ck_assert(gwt_stream_has(&c, "\n\n", 500));
  s = gwt_stream(&c, &over);
  if (_i == 0) ck_assert_int_eq(strncmp(s, "id: s2-0\nretry: 1000\ndata: \n\n", 30), 0); /* 2025-11-25 primes */
  else ck_assert_int_eq(strncmp(s, ": \n\n", 4), 0);
  free(s);
  gwt_release(&g.servers[0], 0, "{\"late\":true}");
  ck_assert(gwt_stream_over(&c, 2000));
  s = gwt_stream(&c, &over);
  gwt_has(s, "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{\"late\":true}}\n\n");
  if (!legacy) gwt_lacks(s, "id: "); /* nothing to resume there */
  free(s);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(what_precedes_the_reply_makes_it_a_stream) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *s;
  int over;
  gwt_up(&g, "\"sse_after_ms\":60000,", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"progress\",\"_meta\":{\"progressToken\":\"t\\u0031\"}}}");
  ck_assert(gwt_stream_over(&c, 2000));
  s = gwt_stream(&c, &over);
  const char *p = s;
  for (int i = 1; i <= 3; i++) {
    char want[200];
    snprintf(want, sizeof want, "id: s2-%d\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\\u0031\",\"progress\":%d}}\n\n", i, i);
    p = strstr(p, want);
    ck_assert_msg(p != NULL, "%s\nis not in order in\n%s", want, s);
  }
  gwt_has(p, "id: s2-4\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":");
  free(s);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(questions_travel_on_the_stream_of_their_call) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *body;
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, GWT_CALL("1", "ask"));
  ck_assert(gwt_stream_has(&c, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\"", 2000));
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"role\":\"assistant\",\"n\":1.0}}", &body), 202);
  ck_assert_str_eq(body, "");
  free(body);
  ck_assert(gwt_wait(&g, &g.servers[0].answers, 1, 2000));
  ck_assert_str_eq(g.servers[0].last_answer, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"role\":\"assistant\",\"n\":1.0}}");
  gwt_release(&g.servers[0], 0, "{}");
  ck_assert(gwt_stream_over(&c, 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

#define LISTEN GWT_MODERN("\"L\"", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},")

/* POST and GET of a legacy session; POST and subscriptions/listen of the modern era. */
START_TEST(streams_have_a_heart) {
  struct gwt g;
  struct gwt_http c, channel;
  char sid[80];
  gwt_up(&g, QUICK, 1);
  g.servers[0].modern = _i;
  if (!_i) gwt_session(&g, "/mcp", "2025-06-18", sid);
  gwt_connect(&g, &c);
  gwt_connect(&g, &channel);
  gwt_post(&c, "/mcp", _i ? GWT_CALL_HEADERS("hold") : sid, _i ? GWT_MODERN_CALL("1", "hold") : GWT_CALL("1", "hold"));
  if (_i) gwt_post(&channel, "/mcp", GWT_MODERN_HEADERS("subscriptions/listen"), LISTEN);
  else get(&channel, sid, NULL);
  ck_assert(gwt_stream_has(&c, ": \n\n: \n\n: \n\n", 2000)); /* the first byte and two beats */
  ck_assert(gwt_stream_has(&channel, ": \n\n: \n\n: \n\n", 2000));
  if (!_i) {
    gwt_release(&g.servers[0], 0, "{}");
    ck_assert(gwt_stream_over(&c, 2000));
  }
  gwt_close(&c);
  gwt_close(&channel);
  gwt_down(&g);
}
END_TEST

START_TEST(a_cancelled_request_ends_without_a_reply) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *s;
  int over;
  gwt_up(&g, _i ? QUICK : "", 1);
  gwt_session(&g, "/mcp", "2025-06-18", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, GWT_CALL("1", "hold"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  if (_i) ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}", NULL), 202);
  ck_assert(gwt_stream_over(&c, 2000));
  s = gwt_stream(&c, &over);
  gwt_lacks(s, "data: {");
  free(s);
  ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 1, 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* ---- disconnects ------------------------------------------------------------------------------------------------- */

START_TEST(who_goes_in_the_modern_era_cancels) {
  struct gwt g;
  struct gwt_http c;
  gwt_up(&g, _i & 1 ? QUICK : "", 1);
  g.servers[0].modern = 1;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", GWT_CALL_HEADERS("hold"), GWT_MODERN_CALL("1", "hold"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  if (_i & 1) ck_assert(gwt_until(&c, "\r\n\r\n", 2000)); /* it streams already */
  if (_i & 2 || !(_i & 1)) gwt_reset(&c);
  else gwt_close(&c);
  uint64_t start = gwt_ms();
  ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 1, 2000));
  ck_assert_uint_lt(gwt_ms() - start, 1000);
  ck_assert_int_eq(gwt_stat(&g, "calls"), 0);
  gwt_down(&g);
}
END_TEST

START_TEST(who_goes_in_the_legacy_eras_may_come_back) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], id[40];
  gwt_up(&g, "\"sse_after_ms\":20,\"resume_ms\":5000,", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, GWT_CALL("\"back\"", "hold"));
  ck_assert(gwt_stream_has(&c, "retry: ", 2000));
  last_id(&c, id);
  ck_assert_str_eq(id, "s2-0");
  gwt_reset(&c);
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(g.servers[0].cancelled, 0);
  if (_i) gwt_release(&g.servers[0], 0, "{\"n\":1.0}"); /* the reply comes while nobody is there, or later */
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  gwt_connect(&g, &c);
  get(&c, sid, id);
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  if (!_i) gwt_release(&g.servers[0], 0, "{\"n\":1.0}");
  ck_assert(gwt_stream_has(&c, "id: s2-1\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"back\",\"result\":{\"n\":1.0}}\n\n", 2000));
  ck_assert(gwt_stream_over(&c, 2000));
  gwt_close(&c);
  gwt_connect(&g, &c); /* and once more: the last bytes may not have arrived */
  get(&c, sid, id);
  ck_assert(gwt_stream_has(&c, "id: s2-1\n", 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(who_does_not_come_back_in_time_cancels) {
  struct gwt g;
  struct gwt_http c;
  char sid[80];
  gwt_up(&g, QUICK, 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, GWT_CALL("1", "hold"));
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  gwt_reset(&c);
  uint64_t start = gwt_ms();
  ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 1, 3000));
  ck_assert_uint_ge(gwt_ms() - start, 300); /* resume_ms is 400 */
  ck_assert_int_eq(gwt_stat(&g, "calls"), 0);
  gwt_connect(&g, &c);
  get(&c, sid, "s2-0");
  ck_assert_int_eq(gwt_response(&c, NULL, NULL, 2000), 400); /* not remembered any more */
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* An initialize that fails while its client is away, or whose last bytes are lost: the error can be fetched, and
 * nothing else can be done with the session. */
START_TEST(a_failed_initialize_may_be_fetched) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], id[40], *at;
  const char *hello = "{\"jsonrpc\":\"2.0\",\"id\":\"h\",\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                      "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}";
  gwt_up(&g, "\"sse_after_ms\":20,\"resume_ms\":800,", 1);
  g.servers[0].mute = 1;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", "", hello);
  ck_assert(gwt_stream_has(&c, "retry: ", 2000));
  last_id(&c, id);
  ck_assert_ptr_nonnull(at = strstr(c.buf, "Mcp-Session-Id: "));
  snprintf(sid, sizeof sid, "%.*s\r\n", (int)strcspn(at, "\r"), at);
  if (_i == 0) gwt_reset(&c);
  gwt_turn(&g, 20);
  mg_memory_end(g.servers[0].last, "it fell over");
  if (_i) ck_assert(gwt_stream_has(&c, "UPSTREAM_UNAVAILABLE", 2000));
  if (_i) gwt_close(&c);
  for (int i = 0; i < 10; i++) gwt_turn(&g, 5);
  for (int i = 0; i < 2; i++) { /* as often as it takes */
    gwt_connect(&g, &c);
    get(&c, sid, id);
    ck_assert(gwt_stream_has(&c, "\"id\":\"h\",\"error\":", 2000));
    ck_assert(gwt_stream_has(&c, "UPSTREAM_UNAVAILABLE", 2000));
    ck_assert(gwt_stream_over(&c, 2000));
    gwt_close(&c);
  }
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, GWT_CALL("1", "echo"), NULL), 404);
  gwt_connect(&g, &c);
  get(&c, sid, NULL);
  ck_assert_int_eq(gwt_response(&c, NULL, NULL, 2000), 404);
  gwt_close(&c);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 1);
  for (uint64_t end = gwt_ms() + 3000; gwt_stat(&g, "contexts") && gwt_ms() < end;) gwt_turn(&g, 20);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 0); /* resume_ms later it is gone */
  gwt_down(&g);
}
END_TEST

/* Polling (2025-11-25): the connection is closed, the stream is not, and the client comes back for the rest. */
START_TEST(a_stream_may_be_polled) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], id[40], *s;
  int over, channel = _i == 1, old = _i == 2;
  gwt_up(&g, "\"sse_after_ms\":20,\"sse_poll_ms\":150,\"resume_ms\":5000,", 1);
  gwt_session(&g, "/mcp", old ? "2025-06-18" : "2025-11-25", sid);
  gwt_connect(&g, &c);
  if (channel) get(&c, sid, NULL);
  else gwt_post(&c, "/mcp", sid, GWT_CALL("\"p\"", "hold"));
  if (old) { /* that revision knows of no polling */
    ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
    for (int i = 0; i < 60; i++) gwt_turn(&g, 10);
    free(gwt_stream(&c, &over));
    ck_assert_int_eq(over, 0);
    gwt_release(&g.servers[0], 0, "{}");
    ck_assert(gwt_stream_over(&c, 2000));
  }
  for (int i = 0; i < 3 && !old; i++) {
    ck_assert(gwt_stream_over(&c, 3000)); /* in due form: the connection could serve another request */
    s = gwt_stream(&c, &over);
    gwt_has(s, "retry: 1000\n\n");
    gwt_lacks(s, "\"result\"");
    if (i == 2 && channel) gwt_has(s, NOTE("1"));
    free(s);
    last_id(&c, id);
    gwt_forget(&c);
    ck_assert_int_eq(g.servers[0].cancelled, 0);
    if (i == 1) gwt_say(&g.servers[0], NOTE("1")); /* while nobody is connected */
    if (i == 2 && !channel) gwt_release(&g.servers[0], 0, "{\"n\":1.0}");
    gwt_turn(&g, 5);
    get(&c, sid, id);
  }
  if (_i == 0) ck_assert(gwt_stream_has(&c, "\"id\":\"p\",\"result\":{\"n\":1.0}", 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* The machine at the other end has lost its network: nothing it is sent is acknowledged, and nothing comes. A
 * filter that drops all packets does that to one socket. */
static void vanish(struct gwt_http *c) {
  struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {1, &nothing};
  ck_assert_int_eq(setsockopt(c->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

/* 0: a legacy call, whose client may come back; 1: a modern call; 2: a modern listener; 3: a session's channel. */
START_TEST(who_vanishes_is_noticed) {
  struct gwt g;
  struct gwt_http c, slow;
  char sid[80] = "";
  int modern = _i == 1 || _i == 2;
  gwt_up(&g, "\"sse_after_ms\":40,\"heartbeat_ms\":150,\"resume_ms\":60000,", 1);
  g.servers[0].modern = modern;
  if (!modern) gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_connect(&g, &slow);
  if (_i == 0) gwt_post(&c, "/mcp", sid, GWT_CALL("1", "hold"));
  else if (_i == 1) gwt_post(&c, "/mcp", GWT_CALL_HEADERS("hold"), GWT_MODERN_CALL("1", "hold"));
  else if (_i == 2) gwt_post(&c, "/mcp", GWT_MODERN_HEADERS("subscriptions/listen"), LISTEN);
  else get(&c, sid, NULL);
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  for (int i = 0; i < 60; i++) gwt_turn(&g, 10); /* one that reads nothing is there all the same: it acknowledges */
  ck_assert_int_eq(gwt_stat(&g, "streams_cut"), 0);
  vanish(&c);
  uint64_t start = gwt_ms();
  for (int i = 0; i < 500 && !gwt_stat(&g, "streams_cut"); i++) gwt_turn(&g, 10);
  ck_assert_int_eq(gwt_stat(&g, "streams_cut"), 1);
  ck_assert_uint_ge(gwt_ms() - start, 140);
  if (_i == 1) ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 1, 2000));
  if (_i == 0) ck_assert_int_eq(g.servers[0].cancelled, 0);
  ck_assert_int_eq(gwt_stat(&g, "calls"), _i == 0);
  gwt_reset(&c);
  gwt_close(&slow);
  gwt_down(&g);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_who_cannot_come_back) {
  struct gwt g;
  struct gwt_http c;
  char sid[80];
  gwt_up(&g, "\"sse_after_ms\":20,\"resume_ms\":60000,", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, GWT_CALL("1", "hold"));
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  if (_i) gwt_reset(&c);
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(gwt_stat(&g, "calls"), 1);
  ck_assert_int_eq(mcpgw_gateway_stop(g.gw, 30000), MCPGW_OK);
  if (!_i) gwt_reset(&c); /* it goes while the gateway stops */
  uint64_t end = gwt_ms() + 10000;
  while (!mcpgw_gateway_stopped(g.gw) && gwt_ms() < end) gwt_turn(&g, 10);
  ck_assert_int_eq(mcpgw_gateway_stopped(g.gw), 1);
  if (_i) ck_assert_int_eq(g.servers[0].cancelled, 1); /* else its link's end says it */
  gwt_down(&g);
}
END_TEST

/* FIN after the body is no good-bye: half-closed clients wait for their answer. */
START_TEST(a_half_closed_client_is_not_gone) {
  struct gwt g;
  struct gwt_http c;
  char *body;
  gwt_up(&g, "\"sse_after_ms\":60000,", 1);
  g.servers[0].modern = 1;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", GWT_CALL_HEADERS("hold"), GWT_MODERN_CALL("1", "hold"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  ck_assert_int_eq(shutdown(c.fd, SHUT_WR), 0);
  for (int i = 0; i < 10; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(g.servers[0].cancelled, 0);
  gwt_release(&g.servers[0], 0, "{}");
  ck_assert_int_eq(gwt_response(&c, &body, NULL, 2000), 200);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* ---- the session's channel ------------------------------------------------------------------------------------------ */

START_TEST(the_channel_keeps_what_came_before) {
  struct gwt g;
  struct gwt_http c, d;
  char sid[80], id[40];
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_say(&g.servers[0], NOTE("1"));
  gwt_say(&g.servers[0], NOTE("2"));
  for (int i = 0; i < 5; i++) gwt_turn(&g, 5);
  gwt_connect(&g, &c);
  get(&c, sid, NULL);
  ck_assert(gwt_stream_has(&c, "id: s0-1\ndata: " NOTE("1") "\n\nid: s0-2\ndata: " NOTE("2") "\n\n", 2000));
  gwt_say(&g.servers[0], NOTE("3"));
  ck_assert(gwt_stream_has(&c, "id: s0-3\ndata: " NOTE("3"), 2000));
  gwt_connect(&g, &d); /* a newer one takes over */
  get(&d, sid, NULL);
  ck_assert(gwt_stream_over(&c, 2000));
  gwt_say(&g.servers[0], NOTE("4"));
  ck_assert(gwt_stream_has(&d, "id: s0-4\n", 2000));
  int over;
  char *s = gwt_stream(&d, &over);
  gwt_lacks(s, NOTE("3")); /* it was received: nothing is said twice */
  free(s);
  last_id(&d, id);
  gwt_close(&c);
  gwt_close(&d);
  gwt_say(&g.servers[0], NOTE("5"));
  for (int i = 0; i < 5; i++) gwt_turn(&g, 5);
  gwt_connect(&g, &c);
  get(&c, sid, "s0-3"); /* it missed the fourth, too */
  ck_assert(gwt_stream_has(&c, NOTE("4"), 2000));
  ck_assert(gwt_stream_has(&c, NOTE("5"), 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(the_channel_remembers_so_much) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], text[200];
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  for (int i = 1; i <= 300; i++) {
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"n:%d.\"}}", i);
    gwt_say(&g.servers[0], text);
  }
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  gwt_connect(&g, &c);
  get(&c, sid, NULL);
  ck_assert(gwt_stream_has(&c, "n:300.", 2000));
  int over;
  char *s = gwt_stream(&c, &over);
  gwt_lacks(s, "n:44.");
  gwt_has(s, "n:45."); /* 256 events */
  free(s);
  gwt_close(&c);
  ck_assert_int_eq(gwt_stat(&g, "connections") <= 1, 1);
  gwt_down(&g);
}
END_TEST

START_TEST(an_answer_too_long_to_be_kept_is_told) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], id[40], *text = malloc(2 << 20);
  snprintf(text, 2 << 20, "{\"x\":\"%01200000d\"}", 7);
  gwt_up(&g, "\"sse_after_ms\":20,\"resume_ms\":5000,", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, GWT_CALL("\"back\"", "hold"));
  ck_assert(gwt_stream_has(&c, "retry: ", 2000));
  last_id(&c, id);
  gwt_reset(&c);
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  gwt_release(&g.servers[0], 0, text);
  for (int i = 0; i < 20; i++) gwt_turn(&g, 5);
  gwt_connect(&g, &c);
  get(&c, sid, id);
  ck_assert(gwt_stream_has(&c, "\"reason\":\"PAYLOAD_TOO_LARGE\",\"delivered\":\"yes\"", 2000));
  ck_assert(gwt_stream_has(&c, "\"id\":\"back\",\"error\":", 2000));
  ck_assert(gwt_stream_over(&c, 2000));
  ck_assert_int_eq(gwt_stat(&g, "replays_dropped"), 0); /* counted with the stream's end */
  gwt_close(&c);
  free(text);
  gwt_down(&g);
}
END_TEST

/* What is kept for clients that may ask again has a ceiling of its own: it takes no room from calls. */
START_TEST(what_is_remembered_leaves_room) {
  struct gwt g;
  struct gwt_http c;
  static char long_result[20100], call[200], first[40];
  char sid[80], id[40];
  int n = snprintf(long_result, sizeof long_result, "{\"x\":\"%020000d\"}", 7);
  ck_assert_int_lt(n, (int)sizeof long_result);
  gwt_up(&g, "\"limits\":{\"memory_bytes\":1048576},", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  for (int i = 0; i < 80; i++) {
    snprintf(call, sizeof call, GWT_CALL("%d", "hold"), i);
    gwt_post(&c, "/mcp", sid, call);
    for (int k = 0; k < 400 && g.servers[0].n_held <= (size_t)i; k++) gwt_turn(&g, 5);
    gwt_say(&g.servers[0], "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}");
    gwt_release(&g.servers[0], (size_t)i, long_result);
    ck_assert(gwt_stream_over(&c, 2000));
    ck_assert_msg(gwt_stream_has(&c, "\"result\":{\"x\":", 100), "call %d: %.400s", i, c.buf);
    last_id(&c, i ? id : first);
    gwt_forget(&c);
    ck_assert_int_le(gwt_stat(&g, "memory_bytes"), 1048576 / 4);
  }
  gwt_close(&c);
  ck_assert_int_gt(gwt_stat(&g, "replays_dropped"), 100);
  gwt_connect(&g, &c);
  first[strlen(first) - 1] = '1'; /* all but the last event of it is there */
  get(&c, sid, first);
  ck_assert_int_eq(gwt_response(&c, NULL, NULL, 2000), 400); /* not remembered any more */
  id[strlen(id) - 1] = '1';
  get(&c, sid, id);
  ck_assert(gwt_stream_has(&c, "\"id\":79,\"result\":{\"x\":", 2000)); /* the newest is */
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

static const char *const bad_ids[] = {"", "x", "s1", "s1-", "s-1", "s99-0", "s0-x", "1-1", "s18446744073709551616-0", "s0-1 "};

START_TEST(strange_event_ids) {
  struct gwt g;
  struct gwt_http c;
  char sid[80];
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  get(&c, sid, bad_ids[_i]);
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  int fine = !*bad_ids[_i] || !strcmp(bad_ids[_i], "s0-1 "); /* none at all; blanks around it are HTTP's */
  ck_assert_int_eq(atoi(c.buf + 9), fine ? 200 : 400);
  gwt_close(&c);
  gwt_connect(&g, &c);
  get(&c, sid, "s0-18446744073709551615"); /* from the future */
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  gwt_say(&g.servers[0], NOTE("1"));
  ck_assert(gwt_stream_has(&c, NOTE("1"), 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* ---- batches -------------------------------------------------------------------------------------------------------------- */

START_TEST(batches_are_answered_as_batches) {
  struct gwt g;
  char sid[80], *body;
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-03-26", sid);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "[" GWT_CALL("1", "echo") ",{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"},"
                                            "{\"id\":3},{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}},1]", &body), 200);
  ck_assert_int_eq(body[0], '[');
  ck_assert_int_eq(body[strlen(body) - 1], ']');
  gwt_has(body, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
  gwt_has(body, "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32600");
  gwt_has(body, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600");
  gwt_has(body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":");
  int n = 0;
  for (char *p = body; (p = strstr(p, "\"jsonrpc\"")); p++) n++;
  ck_assert_int_eq(n, 4);
  free(body);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"},{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}]", NULL), 202);
  gwt_down(&g);
}
END_TEST

START_TEST(a_batch_may_become_a_stream) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *s;
  int over;
  gwt_up(&g, "\"sse_after_ms\":40,", 1);
  gwt_session(&g, "/mcp", "2025-03-26", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, "[" GWT_CALL("1", "echo") "," GWT_CALL("2", "hold") "," GWT_CALL("3", "hold") "]");
  ck_assert(gwt_stream_has(&c, "data: [{\"jsonrpc\":\"2.0\",\"id\":1,\"result\"", 2000)); /* what there is when it begins */
  gwt_release(&g.servers[0], 1, "{}");
  ck_assert(gwt_stream_has(&c, "data: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\"", 2000));
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":2}}]", NULL), 202);
  ck_assert(gwt_stream_over(&c, 2000));
  s = gwt_stream(&c, &over);
  gwt_lacks(s, "\"id\":2,");
  free(s);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* The whole batch is over within it: a request and its own cancellation. */
START_TEST(a_batch_that_cancels_itself) {
  struct gwt g;
  struct gwt_http c;
  char sid[80];
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-03-26", sid);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", sid, "[" GWT_CALL("1", "hold") ",{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}},"
                            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"},{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}]");
  ck_assert(gwt_stream_over(&c, 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(batches_that_are_refused) {
  struct gwt g;
  char sid[80], other[80], *many = malloc(65 * 64);
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-03-26", sid);
  gwt_session(&g, "/mcp", "2025-06-18", other);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", other, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}]", NULL), 400);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", "", "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}]", NULL), 400);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "[]", NULL), 400);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", NULL), 400);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{}}]", NULL), 400);
  for (int n = 64; n <= 65; n++) {
    size_t at = 0;
    for (int i = 0; i < n; i++) at += (size_t)sprintf(many + at, "%c{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}", i ? ',' : '[', i);
    strcpy(many + at, "]");
    ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, many, NULL), n == 64 ? 200 : 400);
  }
  free(many);
  gwt_down(&g);
}
END_TEST

Suite *gateway_streams_suite(void) {
  Suite *s = suite_create("gateway/streams");
  TCase *t = tcase_create("answers");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, a_quick_reply_is_json);
  tcase_add_loop_test(t, a_slow_reply_becomes_a_stream, 0, 4);
  tcase_add_test(t, what_precedes_the_reply_makes_it_a_stream);
  tcase_add_test(t, questions_travel_on_the_stream_of_their_call);
  tcase_add_loop_test(t, streams_have_a_heart, 0, 2);
  tcase_add_loop_test(t, a_cancelled_request_ends_without_a_reply, 0, 2);
  suite_add_tcase(s, t);
  t = tcase_create("disconnects");
  tcase_set_timeout(t, 30);
  tcase_add_loop_test(t, who_goes_in_the_modern_era_cancels, 0, 4);
  tcase_add_loop_test(t, who_goes_in_the_legacy_eras_may_come_back, 0, 2);
  tcase_add_test(t, who_does_not_come_back_in_time_cancels);
  tcase_add_loop_test(t, a_failed_initialize_may_be_fetched, 0, 2);
  tcase_add_loop_test(t, a_stream_may_be_polled, 0, 3);
  tcase_add_loop_test(t, who_vanishes_is_noticed, 0, 4);
  tcase_add_loop_test(t, a_stop_does_not_wait_for_who_cannot_come_back, 0, 2);
  tcase_add_test(t, a_half_closed_client_is_not_gone);
  suite_add_tcase(s, t);
  t = tcase_create("channel");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, the_channel_keeps_what_came_before);
  tcase_add_test(t, the_channel_remembers_so_much);
  tcase_add_test(t, an_answer_too_long_to_be_kept_is_told);
  tcase_add_test(t, what_is_remembered_leaves_room);
  tcase_add_loop_test(t, strange_event_ids, 0, (int)(sizeof bad_ids / sizeof bad_ids[0]));
  suite_add_tcase(s, t);
  t = tcase_create("batches");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, batches_are_answered_as_batches);
  tcase_add_test(t, a_batch_may_become_a_stream);
  tcase_add_test(t, a_batch_that_cancels_itself);
  tcase_add_test(t, batches_that_are_refused);
  suite_add_tcase(s, t);
  return s;
}
