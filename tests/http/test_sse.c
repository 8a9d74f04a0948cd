/* SSE both ways: the reader cut at every byte, the standard's own examples, and what the writer laid out
 * read back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/sse.h"
#include "http/suites.h"
#include "mcpgw/types.h"

struct log {
  char text[8192];
  size_t len;
  int events, fail_at;
  struct mg_sse_reader *free_me;
};

/* "[type|id|retry|data]": '-' where there is none; id is followed by '!' when this event carried it. */
static int on_event(void *arg, struct mg_sse_event_view *ev) {
  struct log *l = arg;
  char retry[32] = "-";
  struct mg_slice d = ev->data ? mg_blob_slice(ev->data) : MG_LIT("-");
  if (ev->has_retry) snprintf(retry, sizeof retry, "%llu", (unsigned long long)ev->retry_ms);
  l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "[%.*s|%.*s%s|%s|", (int)ev->type.len,
                             ev->type.ptr ? ev->type.ptr : "", (int)ev->id.len, ev->id.ptr ? ev->id.ptr : "",
                             ev->has_id ? "!" : "", retry);
  for (size_t i = 0; i < d.len && l->len < sizeof l->text - 8; i++) {
    if (d.ptr[i] == '\n') l->text[l->len++] = '/';
    else l->text[l->len++] = d.ptr[i] ? d.ptr[i] : '0';
  }
  l->text[l->len++] = ']';
  l->text[l->len] = '\0';
  mg_blob_unref(ev->data);
  if (l->free_me) mg_sse_reader_free(l->free_me);
  return ++l->events == l->fail_at ? MCPGW_E_DENIED : MCPGW_OK;
}

struct reading {
  const char *in, *out;
  size_t len; /* of in, when it holds a NUL */
};
static const struct reading readings[] = {
    {"data: a\n\n", "[||-|a]", 0},
    {"data:a\n\n", "[||-|a]", 0},
    {"data:  a\n\n", "[||-| a]", 0},
    {"data\n\n", "[||-|]", 0},
    {"data:\n\n", "[||-|]", 0},
    {"data: a\ndata: b\n\n", "[||-|a/b]", 0},
    {"data\ndata\n\n", "[||-|/]", 0},
    {"data: a\ndata\ndata: c\n\n", "[||-|a//c]", 0},
    {"data: a\r\n\r\ndata: b\r\n\r\n", "[||-|a][||-|b]", 0},
    {"id: 1\r\ndata: a\r\ndata: b\r\n\r\n", "[|1!|-|a/b]", 0},
    {"id: 1\rdata: a\rdata: b\r\r", "[|1!|-|a/b]", 0},
    {"data: a\r\rdata: b\r\r", "[||-|a][||-|b]", 0},
    {"data: a\n\r\ndata: b\r\n\n", "[||-|a][||-|b]", 0},
    {"data: a\r\n\rdata: b\r\r\n", "[||-|a][||-|b]", 0},
    {"\xef\xbb\xbf"
     "data: a\n\n",
     "[||-|a]", 0},
    {"\xef\xbb\xbf\xef\xbb\xbf"
     "data: a\n\n",
     "", 0}, /* only one BOM is one */
    {"\xef\xbb"
     "data: a\n\n",
     "", 0},
    {"data: a\xef\xbb\xbf\n\n", "[||-|a\xef\xbb\xbf]", 0},
    {": comment\n\n: x\ndata: a\n: y\n\n", "[||-|a]", 0},
    {":\n\n\n\ndata: a\n\n", "[||-|a]", 0},
    {"event: ping\ndata: a\n\ndata: b\n\n", "[ping||-|a][||-|b]", 0},
    {"event: one\nevent: two\ndata: a\n\n", "[two||-|a]", 0},
    {"event: x\n\ndata: a\n\n", "[||-|a]", 0}, /* no data: the type is forgotten */
    {"id: 7\ndata: a\n\ndata: b\n\n", "[|7!|-|a][|7|-|b]", 0},
    {"id: 7\n\ndata: b\n\n", "[|7!|-|-][|7|-|b]", 0},
    {"id: 7\ndata: a\n\nid\ndata: b\n\n", "[|7!|-|a][|!|-|b]", 0},
    {"id: a\0b\ndata: x\n\n", "[||-|x]", 17},
    {"id: 7\n\nid: a\0b\ndata: x\n\n", "[|7!|-|-][|7|-|x]", 24},
    {"retry: 1500\n\n", "[||1500|-]", 0},
    {"retry: 15x\ndata: a\n\n", "[||-|a]", 0},
    {"retry: -1\ndata: a\n\n", "[||-|a]", 0},
    {"retry:\ndata: a\n\n", "[||-|a]", 0},
    {"retry: 99999999999999999999999\ndata: a\n\n", "[||-|a]", 0},
    {"retry: 5\nid: 1\ndata: a\n\ndata: b\n\n", "[|1!|5|a][|1|-|b]", 0},
    {"Data: a\ndat: b\ndatas: c\nbogus\neventx: y\nidd: 1\n\n", "", 0},
    {" data: a\n\n", "", 0}, /* a blank in front makes another name */
    {"data: a\n", "", 0},    /* unfinished: not an event */
    {"data: a\n\ndata: b", "[||-|a]", 0},
    {"data: \0\n\n", "[||-|0]", 9},
    {"data: a:b: c\n\n", "[||-|a:b: c]", 0},
    {"\n\n\r\r\r\n\r\n", "", 0},
    /* the examples of WHATWG HTML §9.2.6 */
    {"data: YHOO\ndata: +2\ndata: 10\n\n", "[||-|YHOO/+2/10]", 0},
    {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
     "[|1!|-|first event][|!|-|second event][||-| third event]", 0},
    {"data\n\ndata\ndata\n\ndata:", "[||-|][||-|/]", 0},
    {"data:test\n\ndata: test\n\n", "[||-|test][||-|test]", 0},
};
#define N_READINGS ((int)(sizeof readings / sizeof readings[0]))

static void read_cut(const struct reading *c, size_t len, size_t a, size_t b) {
  struct mg_budget budget = {.limit = 1 << 20};
  struct log l = {.len = 0};
  struct mg_sse_reader *r;
  ck_assert_int_eq(mg_sse_reader_new(&budget, 1000, on_event, &l, &r), MCPGW_OK);
  ck_assert_int_eq(mg_sse_feed(r, c->in, a), MCPGW_OK);
  ck_assert_int_eq(mg_sse_feed(r, c->in + a, b - a), MCPGW_OK);
  ck_assert_int_eq(mg_sse_feed(r, c->in + b, len - b), MCPGW_OK);
  mg_sse_reader_free(r);
  ck_assert_msg(strcmp(l.text, c->out) == 0, "\"%s\" cut at %zu, %zu gave %s", c->in, a, b, l.text);
  ck_assert_uint_eq(budget.used, 0);
}

START_TEST(sse_read_cut_everywhere) {
  const struct reading *c = &readings[_i];
  size_t len = c->len ? c->len : strlen(c->in);
  for (size_t a = 0; a <= len; a++)
    for (size_t b = a; b <= len; b++) read_cut(c, len, a, b);
}
END_TEST

START_TEST(sse_read_bytewise) {
  const struct reading *c = &readings[_i];
  size_t len = c->len ? c->len : strlen(c->in);
  struct log l = {.len = 0};
  struct mg_sse_reader *r;
  ck_assert_int_eq(mg_sse_reader_new(NULL, 1000, on_event, &l, &r), MCPGW_OK);
  for (size_t i = 0; i < len; i++) ck_assert_int_eq(mg_sse_feed(r, c->in + i, 1), MCPGW_OK);
  mg_sse_reader_free(r);
  ck_assert_str_eq(l.text, c->out);
}
END_TEST

/* One event of n data bytes, in lines of `line`. */
static int feed_data(struct mg_sse_reader *r, size_t n, size_t line) {
  static char x[4096];
  int rc = MCPGW_OK;
  memset(x, 'x', sizeof x);
  for (size_t i = 0; rc == MCPGW_OK && i < n; i += line + 1) {
    size_t len = n - i < line ? n - i : line;
    rc = mg_sse_feed(r, "data:", 5);
    if (rc == MCPGW_OK) rc = mg_sse_feed(r, x, len);
    if (rc == MCPGW_OK) rc = mg_sse_feed(r, "\n", 1);
  }
  return rc == MCPGW_OK ? mg_sse_feed(r, "\n", 1) : rc;
}

START_TEST(sse_read_ceilings) {
  struct log l = {.len = 0};
  struct mg_sse_reader *r;
  static const size_t lines[] = {15, 150, 1001}; /* none plus its LF divides 1000 or 1001 */
  for (int i = 0; i < 3; i++) {
    for (int over = 0; over < 2; over++) {
      ck_assert_int_eq(mg_sse_reader_new(NULL, 1000, on_event, &l, &r), MCPGW_OK);
      l.len = 0;
      ck_assert_int_eq(feed_data(r, 1000 + (size_t)over, lines[i]), over ? MCPGW_E_LIMIT : MCPGW_OK);
      if (over) ck_assert_int_eq(mg_sse_feed(r, "\n", 1), MCPGW_E_LIMIT); /* and it stays so */
      mg_sse_reader_free(r);
    }
  }
  char *big = malloc(8000);
  memset(big, 'i', 8000);
  memcpy(big, "id:", 3);
  ck_assert_int_eq(mg_sse_reader_new(NULL, 1000, on_event, &l, &r), MCPGW_OK);
  ck_assert_int_eq(mg_sse_feed(r, big, 8000), MCPGW_E_LIMIT);
  mg_sse_reader_free(r);
  memcpy(big, ":::", 3);
  ck_assert_int_eq(mg_sse_reader_new(NULL, 1000, on_event, &l, &r), MCPGW_OK);
  for (int i = 0; i < 1000; i++)
    ck_assert_int_eq(mg_sse_feed(r, big, 8000), MCPGW_OK); /* a comment costs nothing */
  mg_sse_reader_free(r);
  free(big);
}
END_TEST

START_TEST(sse_read_budget_and_hold_once) {
  struct mg_budget budget = {.limit = 3 << 20};
  struct log l = {.len = 0};
  struct mg_sse_reader *r;
  static char block[65536];
  memset(block, 'x', sizeof block);
  ck_assert_int_eq(mg_sse_reader_new(&budget, 1 << 30, on_event, &l, &r), MCPGW_OK);
  ck_assert_int_eq(mg_sse_feed(r, "data:", 5), MCPGW_OK);
  for (int i = 0; i < 32; i++) ck_assert_int_eq(mg_sse_feed(r, block, sizeof block), MCPGW_OK);
  ck_assert_uint_le(budget.used, (2 << 20) + (1 << 20) + 8192); /* size + 1 MiB */
  int rc = MCPGW_OK;
  for (int i = 0; i < 32 && rc == MCPGW_OK; i++) rc = mg_sse_feed(r, block, sizeof block);
  ck_assert_int_eq(rc, MCPGW_E_NOMEM);
  mg_sse_reader_free(r);
  ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(sse_read_callback_stops_and_frees) {
  struct log l = {.fail_at = 2};
  struct mg_sse_reader *r;
  int64_t live = mg_mem_live();
  ck_assert_int_eq(mg_sse_reader_new(NULL, 1000, on_event, &l, &r), MCPGW_OK);
  ck_assert_int_eq(mg_sse_feed(r, "data:1\n\ndata:2\n\ndata:3\n\n", 24), MCPGW_E_DENIED);
  ck_assert_int_eq(l.events, 2);
  mg_sse_reader_free(r);
  ck_assert_int_eq(mg_sse_reader_new(NULL, 1000, on_event, &l, &r), MCPGW_OK);
  l.free_me = r;
  ck_assert_int_eq(mg_sse_feed(r, "data:1\n\ndata:2\n\n", 16), MCPGW_E_CLOSED);
  ck_assert_int_eq(l.events, 3);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

/* ---- writing
 * ----------------------------------------------------------------------------------------------------- */

static size_t flatten(const struct mg_seg *s, size_t n, char *to, size_t cap) {
  size_t len = 0;
  for (size_t i = 0; i < n && len + s[i].len < cap; i++) {
    memcpy(to + len, s[i].ptr, s[i].len);
    len += s[i].len;
  }
  to[len] = '\0';
  return len;
}

static void done(struct mg_seg *s, size_t n) {
  for (size_t i = 0; i < n; i++) mg_blob_unref(s[i].blob);
}

static struct mg_seg seg(const char *text) {
  mg_blob *b = mg_blob_copy(NULL, text, strlen(text));
  return (struct mg_seg){b, mg_blob_slice(b).ptr, strlen(text)};
}

struct writing {
  const char *id, *parts[3], *bytes, *back;
  size_t segs;
};
static const struct writing writings[] = {
    {"", {"{}"}, "data: {}\n\n", "[||-|{}]", 3},
    {"7", {"{}"}, "id: 7\ndata: {}\n\n", "[|7!|-|{}]", 3},
    {"", {"{\"a\":", "1", "}"}, "data: {\"a\":1}\n\n", "[||-|{\"a\":1}]", 5},
    {"", {"a\nb"}, "data: a\ndata: b\n\n", "[||-|a/b]", 5},
    {"", {"a\r\nb"}, "data: a \ndata: b\n\n", "[||-|a /b]", 7},
    {"", {"a\rb\r"}, "data: a b \n\n", "[||-|a b ]", 6},
    {"", {"\n"}, "data: \ndata: \n\n", "[||-|/]", 4},
    {"", {"a\n", "\nb"}, "data: a\ndata: \ndata: b\n\n", "[||-|a//b]", 7},
    {"", {" x"}, "data:  x\n\n", "[||-| x]", 3},
    {"", {NULL}, "data: \n\n", "[||-|]", 2},
    {"i:d", {": not a comment"}, "id: i:d\ndata: : not a comment\n\n", "[|i:d!|-|: not a comment]", 3},
};

START_TEST(sse_write_and_read_back) {
  const struct writing *w = &writings[_i];
  struct mg_seg in[3], out[8];
  size_t n_in = 0, n = 8;
  char bytes[256];
  int64_t live = mg_mem_live();
  while (n_in < 3 && w->parts[n_in]) in[n_in] = seg(w->parts[n_in]), n_in++;
  for (size_t room = 0; room < w->segs; room++) { /* too little room: nothing is taken */
    n = room;
    ck_assert_int_eq(mg_sse_event(mg_slice_z(w->id), in, n_in, out, &n), MCPGW_E_LIMIT);
  }
  n = 8;
  ck_assert_int_eq(mg_sse_event(mg_slice_z(w->id), in, n_in, out, &n), MCPGW_OK);
  ck_assert_uint_eq(n, w->segs);
  flatten(out, n, bytes, sizeof bytes);
  ck_assert_str_eq(bytes, w->bytes);
  done(out, n);
  struct reading back = {bytes, w->back, 0};
  for (size_t a = 0; a <= strlen(bytes); a++) read_cut(&back, strlen(bytes), a, a);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

START_TEST(sse_write_refuses_and_fails_clean) {
  struct mg_seg in = seg("x"), out[3];
  size_t n = 3;
  ck_assert_int_eq(mg_sse_event(MG_LIT("a\nb"), &in, 1, out, &n), MCPGW_E_INVALID);
  ck_assert_int_eq(mg_sse_event(MG_LIT("a\rb"), &in, 1, out, &n), MCPGW_E_INVALID);
  ck_assert_int_eq(mg_sse_event(mg_slice("a\0b", 3), &in, 1, out, &n), MCPGW_E_INVALID);
  mg_mem_fail_after(1, 0);
  ck_assert_int_eq(mg_sse_event(MG_LIT("7"), &in, 1, out, &n), MCPGW_E_NOMEM);
  mg_mem_fail_after(0, 0);
  ck_assert_uint_eq(n, 3);
  mg_blob_unref(in.blob); /* still ours */
}
END_TEST

START_TEST(sse_prime) {
  struct mg_buf b;
  mg_buf_init(&b, 100);
  ck_assert_int_eq(mg_sse_prime(&b, MG_LIT("9"), 250), MCPGW_OK);
  ck_assert_int_eq(mg_slice_eqz(mg_buf_slice(&b), "id: 9\nretry: 250\ndata: \n\n"), 1);
  mg_buf_reset(&b);
  ck_assert_int_eq(mg_sse_prime(&b, MG_LIT("9"), 0), MCPGW_OK);
  ck_assert_int_eq(mg_slice_eqz(mg_buf_slice(&b), "id: 9\ndata: \n\n"), 1);
  ck_assert_int_eq(mg_sse_prime(&b, MG_LIT("9\n"), 0), MCPGW_E_INVALID);
  mg_buf_done(&b);
}
END_TEST

/* Any bytes but CR go there and back, however they are cut into segments and feeds. */
START_TEST(sse_round_trip_random) {
  static const char alphabet[] = "ab:\n \ndi{\"";
  unsigned seed = (unsigned)_i * 2654435761u + 1;
  char text[65], want[200];
  struct mg_seg in[3], out[300];
  size_t len = (seed >> 8) % 64, n = 300, at = 0;
  for (size_t i = 0; i < len; i++) text[i] = alphabet[(seed = seed * 1103515245 + 12345) >> 16 & 7];
  text[len] = '\0';
  mg_blob *b = mg_blob_copy(NULL, text, len);
  for (int i = 0; i < 3; i++) {
    size_t part = i == 2 ? len - at : (len - at) / 2;
    in[i] = (struct mg_seg){i ? mg_blob_ref(b) : b, mg_blob_slice(b).ptr + at, part};
    at += part;
  }
  ck_assert_int_eq(mg_sse_event(mg_slice("", 0), in, 3, out, &n), MCPGW_OK);
  char bytes[4096];
  size_t m = flatten(out, n, bytes, sizeof bytes);
  done(out, n);
  snprintf(want, sizeof want, "[||-|%s]", text);
  for (char *p = want; *p; p++)
    if (*p == '\n') *p = '/';
  struct reading back = {bytes, want, m};
  read_cut(&back, m, m / 3, m / 2);
}
END_TEST

Suite *http_sse_suite(void) {
  Suite *s = suite_create("http/sse");
  TCase *t = tcase_create("sse");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, sse_read_cut_everywhere, 0, N_READINGS);
  tcase_add_loop_test(t, sse_read_bytewise, 0, N_READINGS);
  tcase_add_test(t, sse_read_ceilings);
  tcase_add_test(t, sse_read_budget_and_hold_once);
  tcase_add_test(t, sse_read_callback_stops_and_frees);
  tcase_add_loop_test(t, sse_write_and_read_back, 0, (int)(sizeof writings / sizeof writings[0]));
  tcase_add_test(t, sse_write_refuses_and_fails_clean);
  tcase_add_test(t, sse_prime);
  tcase_add_loop_test(t, sse_round_trip_random, 0, 300);
  suite_add_tcase(s, t);
  return s;
}
