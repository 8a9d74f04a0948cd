/* tests/transport/test_peek: whose reply a message is, seen from its edges. */
#include <stdlib.h>
#include <string.h>

#include "transport/peek.h"
#include "transport/suites.h"

struct peek_case {
  const char *text;
  int kind;
  const char *id; /* NULL: not seen */
};

static const struct peek_case whole[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", MG_PEEK_REPLY, "7"},
    {"{\"result\":{\"id\":1,\"a\":[{\"id\":2}]},\"jsonrpc\":\"2.0\",\"id\":8}", MG_PEEK_REPLY, "8"},
    {" { \"result\" : {} , \"id\" : \"ab c\" } \r", MG_PEEK_REPLY, "\"ab c\""},
    {"{\"error\":{\"code\":-1,\"message\":\"\\\"id\\\":5}\"},\"id\":9}", MG_PEEK_REPLY, "9"},
    {"{\"id\":3,\"result\":\"text with \\\" and } and ,\\\"id\\\":4\"}", MG_PEEK_REPLY, "3"},
    {"{\"result\":{},\"id\":\"a\\\\\",\"jsonrpc\":\"2.0\"}", MG_PEEK_REPLY, "\"a\\\\\""},
    {"{\"result\":{},\"id\":\"a\\\"b\"}", MG_PEEK_REPLY, "\"a\\\"b\""}, /* the long way round */
    {"{\"result\":[[],{}],\"id\":-1.5e3,\"x\":{}}", MG_PEEK_REPLY, "-1.5e3"},
    {"{\"result\":{\"x\":\"\\\",\\\"id\\\":5}\"},\"jsonrpc\":\"2.0\"}", MG_PEEK_REPLY, NULL},
    {"{\"result\":{\"x\":1,\"id\":5}}", MG_PEEK_REPLY, NULL},
    {"{\"result\":{},\"xid\":5}", MG_PEEK_REPLY, NULL},
    {"{\"result\":{},\"x\\\"id\":5}", MG_PEEK_REPLY, NULL},
    {"{\"id\":null,\"error\":{}}", MG_PEEK_REPLY, "null"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\"}", MG_PEEK_OTHER, "1"},
    {"{\"method\":\"notifications/progress\",\"params\":{\"result\":1}}", MG_PEEK_OTHER, NULL},
    {"{\"params\":{\"result\":1,\"id\":3},\"method\":\"x\",\"id\":4}", MG_PEEK_OTHER, "4"},
    {"[{\"id\":1,\"result\":{}}]", MG_PEEK_UNKNOWN, NULL},
    {"{}", MG_PEEK_UNKNOWN, NULL},
    {"", MG_PEEK_UNKNOWN, NULL},
    {"{", MG_PEEK_UNKNOWN, NULL},
    {"{\"", MG_PEEK_UNKNOWN, NULL},
    {"{\"id\"", MG_PEEK_UNKNOWN, NULL},
    {"{\"id\":", MG_PEEK_UNKNOWN, NULL},
    {"{\"id\":}", MG_PEEK_UNKNOWN, ""},
    {"{\"id\":1]]]]", MG_PEEK_UNKNOWN, NULL},
    {"}", MG_PEEK_UNKNOWN, NULL},
};

static void check(const struct peek_case *c, int is_whole) {
  struct mg_peek k;
  size_t n = strlen(c->text);
  char *copy = malloc(n ? n : 1); /* the exact size, so that a step outside is seen */
  memcpy(copy, c->text, n);
  mg_peek(mg_slice(copy, n), is_whole, 1, &k);
  ck_assert_msg(k.kind == c->kind, "kind %d of %s", k.kind, c->text);
  if (!c->id)
    ck_assert_msg(k.id.ptr == NULL || k.id.len == 0, "id of %s: %.*s", c->text, (int)k.id.len, k.id.ptr);
  else ck_assert_msg(mg_slice_eqz(k.id, c->id), "id of %s: %.*s", c->text, (int)k.id.len, k.id.ptr);
  free(copy);
}

START_TEST(whole_messages) {
  check(&whole[_i], 1);
}
END_TEST

/* Of a beginning, only what surely stands at the top is told: nothing is read from its end. */
START_TEST(beginnings) {
  static const struct peek_case c[] = {
      {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"text\":\"aaaa", MG_PEEK_REPLY, "7"},
      {"{\"result\":{\"x\":{\"id\":5}", MG_PEEK_REPLY, NULL},
      {"{\"result\":{\"a\":1},\"id\":12", MG_PEEK_REPLY, NULL}, /* 12 might be 123 */
      {"{\"result\":{\"a\":1},\"id\":12,", MG_PEEK_REPLY, "12"},
      {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":\"", MG_PEEK_OTHER, NULL},
  };
  size_t i;
  for (i = 0; i < sizeof c / sizeof *c; i++) check(&c[i], 0);
}
END_TEST

/* Every prefix and every single damaged byte: no step outside (ASan), no endless walk. */
START_TEST(any_bytes) {
  static const char junk[] = "\"\\{}[]:,1 \n\0x";
  struct mg_peek k;
  size_t i, j, n;
  for (i = 0; i < sizeof whole / sizeof *whole; i++) {
    n = strlen(whole[i].text);
    for (j = 0; j < n * (sizeof junk - 1); j++) {
      size_t at = j / (sizeof junk - 1), len = j % 2 ? n : at + 1;
      char *copy = malloc(len);
      memcpy(copy, whole[i].text, len);
      copy[at] = junk[j % (sizeof junk - 1)];
      mg_peek(mg_slice(copy, len), (int)(j & 1), (int)(j & 2), &k);
      ck_assert(!k.id.ptr || (k.id.ptr >= copy && k.id.ptr + k.id.len <= copy + len));
      free(copy);
    }
  }
}
END_TEST

Suite *transport_peek_suite(void) {
  Suite *s = suite_create("transport/peek");
  TCase *c = tcase_create("peek");
  tcase_add_loop_test(c, whole_messages, 0, (int)(sizeof whole / sizeof *whole));
  tcase_add_test(c, beginnings);
  tcase_add_test(c, any_bytes);
  suite_add_tcase(s, c);
  return s;
}
