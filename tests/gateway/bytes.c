/* tests/gateway/bytes: payload crosses untouched whatever it holds; long results to slow readers; memory has
 * a ceiling and every byte that is charged is given back. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "gateway/rig.h"
#include "gateway/suites.h"
#include "json/scan.h"

#define MIB (1024u * 1024u)

static const char *const nasty[] = {
    "{\"content\":[]}",
    "{ \"content\" : [ 1.10 , 0.1e1, -0, -0.0, 1E400, 1e-400, 123456789012345678901234567890 ] }",
    "{\"a\":1,\"a\":2,\"\\u0061\":3,\"content\":{\"id\":1,\"jsonrpc\":\"x\",\"method\":\"tools/call\"}}",
    "{\"t\":\"\\ud800\\udfff\\u0000\\/\\b\\f\\n\\r\\t\\\"\\\\\"}",
    "{\"lone\":\"\\ud800 \\udc00\",\"\\ud800\":1}",
    "{\"u\":\"\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\x7f\"}",
    "{\"\":\"\",\" \":[[[[[[[[[[[[]]]]]]]]]]]],\"n\":null,\"t\":true,\"f\":false}",
    "{\"data: x\":\"id: 5\",\"event\":\": comment\",\"retry: 1\":\"\\n\\n\"}",
    "{\"io.modelcontextprotocol/x\":{\"dev.mcpgw/deep\":1},\"structuredContent\":{\"_meta\":{\"dev.mcpgw/x\":1}}}",
    "{\"_meta\":{\"dev.mcpgwx/not\":1,\"x/dev.mcpgw/\":2},\"progressToken\":7,\"nextCursor\":\"c\",\"resultType\":\"complete\"}",
    "{\"\t\":1}",
};

/* As the gateway gives it back: the tab of the last row is no JSON, so it must be refused. */
static int is_json(const char *text) {
  return mg_json_scan(mg_slice_z(text), NULL, NULL, 0, NULL, NULL) == MCPGW_OK;
}

/* A call that is answered with this payload, at once or when its stream has begun. */
static void send_raw(struct gwt_http *c, const char *sid, const char *payload, int streamed, const char *call) {
  gwt_post(c, "/mcp", sid, call);
  ck_assert(gwt_wait(c->g, &c->g->servers[0].calls, 1, 2000));
  if (streamed) ck_assert(gwt_until(c, "\r\n\r\n", 2000));
  gwt_release(&c->g->servers[0], 0, payload);
}

START_TEST(results_cross_untouched) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *body, want[2000];
  gwt_up(&g, _i & 1 ? "\"sse_after_ms\":10," : "", 1);
  gwt_session(&g, "/mcp", "2025-06-18", sid);
  gwt_connect(&g, &c);
  send_raw(&c, sid, nasty[_i / 2], _i & 1, GWT_CALL("\"i\\u0064\"", "hold"));
  snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"id\":\"i\\u0064\",\"result\":%s}", nasty[_i / 2]);
  if (!is_json(want)) { /* upstream protocol error: the message cannot be told from noise */
    for (int i = 0; i < 50 && gwt_stat(&g, "upstream_protocol") == 0; i++) gwt_turn(&g, 5);
    ck_assert_int_eq(gwt_stat(&g, "upstream_protocol"), 1);
  } else if (_i & 1) {
    char event[2100];
    snprintf(event, sizeof event, "data: %s\n\n", want);
    ck_assert(gwt_stream_has(&c, event, 2000));
  } else {
    ck_assert_int_eq(gwt_response(&c, &body, NULL, 2000), 200);
    ck_assert_str_eq(body, want);
  }
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

START_TEST(arguments_cross_untouched) {
  struct gwt g;
  char sid[80], body[2000], want[2000];
  gwt_up(&g, "", 2);
  gwt_session(&g, "/mcp", "2025-06-18", sid);
  if (!is_json(nasty[_i])) {
    snprintf(body, sizeof body, "{\"method\":\"tools/call\",\"params\":{\"arguments\":%s,\"name\":\"a__echo\"},\"id\":1,\"jsonrpc\":\"2.0\"}", nasty[_i]);
    ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, body, NULL), 400);
    ck_assert_int_eq(g.servers[0].calls, 0);
    gwt_down(&g);
    return;
  }
  snprintf(body, sizeof body, " {\"method\" :\"tools/call\",\"params\": {\"arguments\" : %s ,\"name\":\"a__echo\"} , \"id\":41,\"jsonrpc\":\"2.0\" }\n", nasty[_i]);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, body, NULL), 200);
  snprintf(want, sizeof want, "\"params\": {\"arguments\" : %s ,\"name\":\"echo\"} , \"id\":", nasty[_i]);
  gwt_has(g.servers[0].last_call, want);
  gwt_has(g.servers[0].last_call, ",\"jsonrpc\":\"2.0\" }\n");
  gwt_down(&g);
}
END_TEST

/* Line breaks between tokens are what SSE would stumble over. */
START_TEST(white_space_survives_a_stream) {
  struct gwt g;
  struct gwt_http c;
  char sid[80];
  gwt_up(&g, "\"sse_after_ms\":10,", 1);
  gwt_session(&g, "/mcp", "2025-06-18", sid);
  gwt_connect(&g, &c);
  send_raw(&c, sid, "{\n\"a\" :\r\n[1,\n\n2]\r}", 1, GWT_CALL("1", "hold"));
  ck_assert(gwt_stream_has(&c, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\ndata: \"a\" : \ndata: [1,\ndata: \ndata: 2] }}\n\n", 2000));
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* So many line breaks that the pieces of an event run out. */
START_TEST(many_lines_in_a_stream) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], *payload = malloc(20000), *p = payload;
  gwt_up(&g, "\"sse_after_ms\":10,", 1);
  p += sprintf(p, "{\"a\":[0");
  for (int i = 1; i <= 1000; i++) p += sprintf(p, ",\n%d", i);
  strcpy(p, "]}");
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &c);
  send_raw(&c, sid, payload, 1, GWT_CALL("1", "hold"));
  ck_assert(gwt_stream_has(&c, "\ndata: 999,\ndata: 1000]}}\n\n", 2000));
  ck_assert(gwt_stream_has(&c, "id: s2-1\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[0,\ndata: 1,\n", 100));
  gwt_close(&c);
  free(payload);
  gwt_down(&g);
}
END_TEST

/* ---- slow readers ------------------------------------------------------------------------------------------- */

static size_t drain(struct gwt_http *c, size_t want, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  size_t total = 0;
  while (total < want && gwt_ms() < end && !c->eof && !c->reset) {
    gwt_forget(c);
    gwt_read(c, 1);
    total += c->len;
  }
  return total;
}

START_TEST(a_long_result_to_a_slow_reader) {
  struct gwt g;
  struct gwt_http slow;
  char sid[80];
  size_t size = 16 * MIB;
  gwt_up(&g, _i ? "\"sse_after_ms\":0," : "", 1);
  g.servers[0].big = size;
  gwt_session(&g, "/mcp", "2025-06-18", sid);
  long long before = gwt_stat(&g, "memory_bytes");
  gwt_connect_wide(&g, &slow);
  gwt_post(&slow, "/mcp", sid, GWT_CALL("1", "big"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  long long most = 0;
  for (int i = 0; i < 20; i++) { /* it does not read; others are served meanwhile */
    ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, GWT_CALL("2", "echo"), NULL), 200);
    long long now = gwt_stat(&g, "memory_bytes");
    if (now > most) most = now;
  }
  ck_assert_int_ge(most, (long long)size / 2);
  ck_assert_int_le(most - before, (long long)(size + 2 * MIB)); /* held once, DESIGN §4 */
  size_t first = drain(&slow, 8 * MIB, 20000);
  ck_assert_uint_ge(first, 8 * MIB);
  gwt_turn(&g, 5);
  ck_assert_int_le(gwt_stat(&g, "memory_bytes") - before, (long long)(10 * MIB)); /* what has left is given back */
  ck_assert_uint_ge(first + drain(&slow, size - first, 20000), size);
  for (int i = 0; i < 200 && gwt_stat(&g, "memory_bytes") > before; i++) gwt_read(&slow, 5);
  ck_assert_int_le(gwt_stat(&g, "memory_bytes"), before);
  gwt_close(&slow);
  gwt_down(&g);
}
END_TEST

START_TEST(a_slow_reader_that_goes_leaves_nothing) {
  struct gwt g;
  struct gwt_http slow;
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  g.servers[0].big = 4 * MIB;
  long long before = gwt_stat(&g, "memory_bytes");
  gwt_connect_slow(&g, &slow);
  gwt_post(&slow, "/mcp", GWT_CALL_HEADERS("big"), GWT_MODERN_CALL("1", "big"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  for (int i = 0; i < 10; i++) gwt_turn(&g, 5);
  ck_assert_int_gt(gwt_stat(&g, "memory_bytes"), before + (long long)MIB);
  gwt_reset(&slow);
  for (int i = 0; i < 100 && gwt_stat(&g, "connections"); i++) gwt_turn(&g, 5);
  ck_assert_int_le(gwt_stat(&g, "memory_bytes"), before + 4096); /* the shared link's list may be known now */
  gwt_down(&g);
}
END_TEST

/* A stream whose reader lags too far behind is cut; its session and its server live on. */
START_TEST(a_stream_that_lags_is_cut) {
  struct gwt g;
  struct gwt_http c;
  char sid[80], headers[200], *note = malloc(MIB + 200);
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-06-18", sid);
  gwt_connect_slow(&g, &c);
  snprintf(headers, sizeof headers, "Accept: text/event-stream\r\n%s", sid);
  gwt_request(&c, "GET", "/mcp", headers, "");
  ck_assert(gwt_until(&c, "\r\n\r\n", 2000));
  size_t at = (size_t)sprintf(note, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"");
  memset(note + at, 'x', MIB);
  strcpy(note + at + MIB, "\"}}");
  for (int i = 0; i < 40 && !gwt_stat(&g, "streams_cut"); i++) {
    gwt_say(&g.servers[0], note);
    gwt_turn(&g, 5);
    ck_assert_int_le(gwt_stat(&g, "memory_bytes"), 16 * (long long)MIB);
  }
  ck_assert_int_eq(gwt_stat(&g, "streams_cut"), 1);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, GWT_CALL("2", "echo"), NULL), 200);
  free(note);
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

static void more_files(rlim_t n) {
  struct rlimit l;
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
  if (l.rlim_cur >= n) return;
  l.rlim_cur = n < l.rlim_max ? n : l.rlim_max;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
}

START_TEST(a_thousand_slow_readers) {
  enum { READERS = 1000 };
  struct gwt g;
  static struct gwt_http c[READERS];
  long long limit = 24 * (long long)MIB, most = 0;
  more_files(4096);
  gwt_up(&g, "\"limits\":{\"memory_bytes\":25165824},", 1);
  g.servers[0].modern = 1;
  g.servers[0].big = MIB / 4;
  long long before = gwt_stat(&g, "memory_bytes");
  for (int i = 0; i < READERS; i++) {
    gwt_connect_slow(&g, &c[i]);
    gwt_post(&c[i], "/mcp", GWT_CALL_HEADERS("big"), GWT_MODERN_CALL("1", "big"));
    if (i % 20) continue;
    gwt_turn(&g, 0);
    long long now = gwt_stat(&g, "memory_bytes");
    if (now > most) most = now;
  }
  for (int i = 0; i < 100; i++) {
    gwt_turn(&g, 5);
    long long now = gwt_stat(&g, "memory_bytes");
    if (now > most) most = now;
  }
  ck_assert_int_le(most, limit);
  ck_assert_int_ge(most, limit / 2); /* it was tried hard */
  ck_assert_int_gt(gwt_stat(&g, "overloaded") + g.servers[0].failed_replies, 0); /* some were told so */
  ck_assert_int_eq(gwt_stat(&g, "connections"), READERS);
  for (int i = 0; i < READERS; i++) gwt_reset(&c[i]);
  for (int i = 0; i < 400 && gwt_stat(&g, "connections"); i++) gwt_turn(&g, 5);
  ck_assert_int_eq(gwt_stat(&g, "connections"), 0);
  ck_assert_int_le(gwt_stat(&g, "memory_bytes"), before + 4096);
  g.servers[0].big = 10; /* and all is as before */
  ck_assert_int_eq(gwt_ask(&g, "/mcp", GWT_CALL_HEADERS("big"), GWT_MODERN_CALL("1", "big"), NULL), 200);
  gwt_down(&g);
}
END_TEST

START_TEST(a_body_too_long_is_refused) {
  struct gwt g;
  struct gwt_http c;
  gwt_up(&g, "\"limits\":{\"body_bytes\":2048},", 1);
  char *body = malloc(5000);
  memset(body, ' ', 4999);
  body[4999] = 0;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", "", body);
  ck_assert_int_eq(gwt_response(&c, NULL, NULL, 2000), 413);
  gwt_close(&c);
  free(body);
  gwt_down(&g);
}
END_TEST

Suite *gateway_bytes_suite(void) {
  Suite *s = suite_create("gateway/bytes");
  TCase *t = tcase_create("identity");
  tcase_set_timeout(t, 30);
  tcase_add_loop_test(t, results_cross_untouched, 0, 2 * (int)(sizeof nasty / sizeof nasty[0]));
  tcase_add_loop_test(t, arguments_cross_untouched, 0, (int)(sizeof nasty / sizeof nasty[0]));
  tcase_add_test(t, white_space_survives_a_stream);
  tcase_add_test(t, many_lines_in_a_stream);
  suite_add_tcase(s, t);
  t = tcase_create("memory");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, a_long_result_to_a_slow_reader, 0, 2);
  tcase_add_test(t, a_slow_reader_that_goes_leaves_nothing);
  tcase_add_test(t, a_stream_that_lags_is_cut);
  tcase_add_test(t, a_thousand_slow_readers);
  tcase_add_test(t, a_body_too_long_is_refused);
  suite_add_tcase(s, t);
  return s;
}
