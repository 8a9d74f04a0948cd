/* Editing by spans: every set of members may go, come or change, in any order of calls, and what is not
 * edited stays byte for byte. Checked against a model of the members and against jansson's tree. */
#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "mcpgw/types.h"
#include "json/json_suites.h"

#define ROOM (2 * MG_SPLICE_MAX + 1)

static struct mg_splice s;
static struct mg_buf out;

static void setup(void) {
  mg_splice_init(&s);
  mg_buf_init(&out, (size_t)4 << 20);
}

static void teardown(void) {
  mg_buf_done(&out);
}

static void check_segs(struct mg_slice doc) {
  struct mg_seg segs[ROOM];
  size_t n = 2 * s.n + 1, at = 0;
  mg_blob *src = mg_blob_copy(NULL, doc.ptr, doc.len);
  ck_assert_int_eq(mg_splice_segs(&s, src, segs, &n), MCPGW_OK);
  ck_assert_uint_le(n, 2 * s.n + 1);
  mg_blob_unref(src); /* the segments hold on to it */
  for (size_t i = 0; i < n; i++) {
    ck_assert_uint_gt(segs[i].len, 0);
    ck_assert_uint_le(at + segs[i].len, out.len);
    ck_assert_mem_eq(segs[i].ptr, out.ptr + at, segs[i].len);
    at += segs[i].len;
  }
  for (size_t i = 0; i < n; i++) mg_blob_unref(segs[i].blob);
  ck_assert_uint_eq(at, out.len);
}

/* Applies in all three ways, which must agree; the result is in out. */
static void apply(struct mg_slice doc) {
  mg_blob *flat = NULL;
  mg_buf_reset(&out);
  ck_assert_int_eq(mg_splice_append(&s, doc, &out), MCPGW_OK);
  ck_assert_uint_eq(mg_splice_len(&s, doc.len), out.len);
  ck_assert_int_eq(mg_splice_flatten(&s, doc, NULL, &flat), MCPGW_OK);
  ck_assert_int_eq(mg_slice_eq(mg_blob_slice(flat), mg_buf_slice(&out)), 1);
  mg_blob_unref(flat);
  check_segs(doc);
}

static void refused(struct mg_slice doc, int rc) {
  struct mg_seg segs[ROOM];
  size_t n = ROOM;
  mg_blob *src = mg_blob_copy(NULL, doc.ptr, doc.len), *flat = NULL;
  ck_assert_int_eq(mg_splice_append(&s, doc, &out), rc);
  ck_assert_uint_eq(out.len, 0);
  ck_assert_int_eq(mg_splice_flatten(&s, doc, NULL, &flat), rc);
  ck_assert_ptr_null(flat);
  ck_assert_int_eq(mg_splice_segs(&s, src, segs, &n), rc);
  ck_assert_uint_eq(n, ROOM);
  ck_assert_uint_eq(mg_splice_len(&s, doc.len), 0);
  mg_blob_unref(src);
}

static struct mg_span get(struct mg_slice doc, struct mg_span object, const char *key) {
  struct mg_span v = {0};
  ck_assert_msg(mg_json_get(doc, object, key, &v), "no %s", key);
  return v;
}

static void expect(struct mg_slice doc, const char *text) {
  apply(doc);
  ck_assert_msg(mg_slice_eqz(mg_buf_slice(&out), text), "got  %.*s\nwant %s", (int)out.len, out.ptr, text);
}

/* ---- by hand ------------------------------------------------------------------------------------------- */

START_TEST(no_edit_changes_nothing) {
  struct mg_slice doc = mg_slice_z(" {\"a\" : 0.10 }\n");
  expect(doc, " {\"a\" : 0.10 }\n");
}
END_TEST

START_TEST(replaces_values) {
  struct mg_slice doc = mg_slice_z("{\"id\": 1 ,\"x\":1.10,\"b\":\"\"}");
  struct mg_span root = json_root(doc);
  mg_splice_value(&s, get(doc, root, "b"), mg_slice_z("[1,2]"));
  mg_splice_value(&s, get(doc, root, "id"), mg_slice_z("\"a-long-one\""));
  expect(doc, "{\"id\": \"a-long-one\" ,\"x\":1.10,\"b\":[1,2]}");
}
END_TEST

START_TEST(replaces_at_the_edges) {
  struct mg_slice doc = mg_slice_z("[1,2,3]");
  mg_splice_replace(&s, 0, 1, mg_slice_z("{\"a\":["));
  mg_splice_replace(&s, 6, 1, mg_slice_z("]}"));
  mg_splice_replace(&s, 7, 0, mg_slice_z("\n"));
  mg_splice_replace(&s, 0, 0, mg_slice_z(" "));
  expect(doc, " {\"a\":[1,2,3]}\n");
}
END_TEST

START_TEST(neighbouring_edits) {
  struct mg_slice doc = mg_slice_z("abcdef");
  mg_splice_replace(&s, 2, 2, mg_slice_z("CD"));
  mg_splice_replace(&s, 0, 2, mg_slice_z("AB"));
  mg_splice_replace(&s, 4, 2, mg_slice_z(""));
  mg_splice_replace(&s, 2, 0, mg_slice_z("1"));
  mg_splice_replace(&s, 2, 0, mg_slice_z("2"));
  expect(doc, "AB12CD");
}
END_TEST

START_TEST(the_whole_text) {
  struct mg_slice doc = mg_slice_z("{\"a\":1}");
  mg_splice_replace(&s, 0, 7, mg_slice_z(""));
  expect(doc, "");
}
END_TEST

START_TEST(edits_of_objects_in_each_other) {
  struct mg_slice doc = mg_slice_z("{\"r\":{\"_meta\":{\"a\":1,\"b\":2},\"c\":3},\"id\":4}");
  struct mg_span root = json_root(doc), r = get(doc, root, "r"), meta = get(doc, r, "_meta");
  mg_splice_remove(&s, doc, get(doc, meta, "a"));
  mg_splice_insert(&s, doc, meta, mg_slice_z("\"x\":0"));
  mg_splice_remove(&s, doc, get(doc, meta, "b"));
  mg_splice_remove(&s, doc, get(doc, r, "c"));
  mg_splice_insert(&s, doc, r, mg_slice_z("\"y\":0"));
  mg_splice_value(&s, get(doc, root, "id"), mg_slice_z("5"));
  expect(doc, "{\"r\":{\"y\":0,\"_meta\":{\"x\":0}},\"id\":5}");
}
END_TEST

/* The removed member's own value must not be taken for a neighbour. */
START_TEST(neighbours_at_other_levels) {
  struct mg_slice doc = mg_slice_z("{\"a\":{\"x\":1},\"b\":{\"y\":2,\"z\":3},\"c\":4}");
  struct mg_span root = json_root(doc), a = get(doc, root, "a"), b = get(doc, root, "b");
  mg_splice_remove(&s, doc, get(doc, a, "x"));
  mg_splice_remove(&s, doc, get(doc, b, "z"));
  mg_splice_remove(&s, doc, get(doc, root, "c"));
  expect(doc, "{\"a\":{},\"b\":{\"y\":2}}");
}
END_TEST

START_TEST(strings_full_of_punctuation) {
  struct mg_slice doc = mg_slice_z("{\",}\":\"{,\" , \"\\\",\":\",\" ,\"}\":\"}\"}");
  mg_splice_remove(&s, doc, get(doc, json_root(doc), "\","));
  expect(doc, "{\",}\":\"{,\" , \"}\":\"}\"}");
}
END_TEST

START_TEST(overlaps_are_refused) {
  struct mg_slice doc = mg_slice_z("{\"a\":{\"b\":1},\"c\":2,\"d\":3}");
  struct mg_span root = json_root(doc), a = get(doc, root, "a"), c = get(doc, root, "c"),
                 d = get(doc, root, "d");
  if (_i == 0) mg_splice_value(&s, a, mg_slice_z("0")), mg_splice_value(&s, a, mg_slice_z("1"));
  if (_i == 1)
    mg_splice_value(&s, a, mg_slice_z("0")), mg_splice_value(&s, get(doc, a, "b"), mg_slice_z("1"));
  if (_i == 2)
    mg_splice_value(&s, get(doc, a, "b"), mg_slice_z("1")), mg_splice_value(&s, a, mg_slice_z("0"));
  if (_i == 3) mg_splice_remove(&s, doc, c), mg_splice_remove(&s, doc, c);
  if (_i == 4) mg_splice_remove(&s, doc, c), mg_splice_remove(&s, doc, d), mg_splice_remove(&s, doc, c);
  if (_i == 5) mg_splice_remove(&s, doc, c), mg_splice_remove(&s, doc, d), mg_splice_remove(&s, doc, d);
  if (_i == 6) mg_splice_remove(&s, doc, c), mg_splice_value(&s, c, mg_slice_z("0"));
  if (_i == 7) mg_splice_value(&s, a, mg_slice_z("0")), mg_splice_insert(&s, doc, a, mg_slice_z("\"x\":1"));
  if (_i == 8) mg_splice_insert(&s, doc, a, mg_slice_z("\"x\":1")), mg_splice_remove(&s, doc, a);
  if (_i == 9) mg_splice_replace(&s, 3, SIZE_MAX, mg_slice_z(""));
  if (_i == 10) mg_splice_replace(&s, doc.len, 1, mg_slice_z(""));
  if (_i == 11) mg_splice_replace(&s, doc.len + 1, 0, mg_slice_z("x"));
  refused(doc, MCPGW_E_INTERNAL);
}
END_TEST

START_TEST(only_members_and_objects) {
  struct mg_slice doc = mg_slice_z("[{\"a\":1},2]");
  struct mg_span root = json_root(doc), item = {0}, none = {0},
                 beyond = {.off = 99, .len = 1, .type = MG_JSON_NUMBER};
  size_t pos = 0;
  ck_assert_int_eq(mg_json_item(doc, root, &pos, &item), 1);
  if (_i == 0) mg_splice_remove(&s, doc, item);
  if (_i == 1) mg_splice_remove(&s, doc, root);
  if (_i == 2) mg_splice_remove(&s, doc, none);
  if (_i == 3) mg_splice_value(&s, none, mg_slice_z("1"));
  if (_i == 4) mg_splice_insert(&s, doc, root, mg_slice_z("\"a\":1"));
  if (_i == 5) mg_splice_insert(&s, doc, none, mg_slice_z("\"a\":1"));
  if (_i == 6) mg_splice_remove(&s, doc, beyond);
  mg_splice_insert(&s, doc, item, mg_slice_z("\"ok\":1")); /* the first failure sticks */
  refused(doc, MCPGW_E_INTERNAL);
}
END_TEST

START_TEST(too_many_edits) {
  char text[MG_SPLICE_MAX + 2];
  memset(text, 'x', sizeof text);
  struct mg_slice doc = mg_slice(text, sizeof text);
  for (size_t i = 0; i < MG_SPLICE_MAX; i++) mg_splice_replace(&s, i, 1, mg_slice_z("y"));
  apply(doc);
  mg_buf_reset(&out);
  mg_splice_replace(&s, MG_SPLICE_MAX, 1, mg_slice_z("y"));
  refused(doc, MCPGW_E_LIMIT);
}
END_TEST

/* More members than edits: neighbours join, so that all may go. */
START_TEST(more_removals_than_edits) {
  char text[4096];
  size_t len = 1, pos = 0;
  text[0] = '{';
  for (int i = 0; i < 200; i++)
    len += (size_t)snprintf(text + len, sizeof text - len, "%s\"k%d\":%d", i ? "," : "", i, i);
  text[len++] = '}';
  struct mg_slice doc = mg_slice(text, len);
  struct mg_span root = json_root(doc), v;
  mg_splice_insert(&s, doc, root, mg_slice_z("\"x\":0"));
  while (mg_json_member(doc, root, &pos, NULL, &v)) mg_splice_remove(&s, doc, v);
  expect(doc, "{\"x\":0}");
}
END_TEST

START_TEST(room_for_segments) {
  struct mg_slice doc = mg_slice_z("{\"a\":1,\"b\":2}");
  struct mg_span root = json_root(doc);
  mg_splice_value(&s, get(doc, root, "a"), mg_slice_z("3"));
  mg_splice_value(&s, get(doc, root, "b"), mg_slice_z("4"));
  int64_t live = mg_mem_live();
  mg_blob *src = mg_blob_copy(NULL, doc.ptr, doc.len);
  for (size_t room = 0; room <= 5; room++) {
    struct mg_seg segs[5];
    size_t n = room;
    ck_assert_int_eq(mg_splice_segs(&s, src, segs, &n), room < 5 ? MCPGW_E_LIMIT : MCPGW_OK);
    ck_assert_uint_eq(n, room);
    for (size_t i = 0; room == 5 && i < n; i++) mg_blob_unref(segs[i].blob);
  }
  mg_blob_unref(src);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

START_TEST(no_memory) {
  struct mg_slice doc = mg_slice_z("{\"a\":1}");
  struct mg_seg segs[3];
  size_t n = 3;
  mg_blob *src = mg_blob_copy(NULL, doc.ptr, doc.len), *flat = NULL;
  struct mg_budget small = {.used = 0, .limit = 4};
  mg_splice_value(&s, get(doc, json_root(doc), "a"), mg_slice_z("2"));
  ck_assert_int_eq(mg_splice_flatten(&s, doc, &small, &flat), MCPGW_E_LIMIT);
  ck_assert_uint_eq(small.used, 0);
  mg_mem_fail_after(1, 1);
  ck_assert_int_eq(mg_splice_append(&s, doc, &out), MCPGW_E_NOMEM);
  ck_assert_int_eq(mg_splice_flatten(&s, doc, NULL, &flat), MCPGW_E_NOMEM);
  ck_assert_int_eq(mg_splice_segs(&s, src, segs, &n), MCPGW_E_NOMEM);
  mg_mem_fail_after(0, 0);
  ck_assert_ptr_null(flat);
  mg_blob_unref(src);
}
END_TEST

START_TEST(append_leaves_what_was_there) {
  struct mg_slice doc = mg_slice_z("{\"a\":1}");
  struct mg_buf small;
  mg_buf_init(&small, 12);
  mg_buf_addz(&small, "data: ");
  mg_splice_value(&s, get(doc, json_root(doc), "a"), mg_slice_z("2"));
  ck_assert_int_eq(mg_splice_append(&s, doc, &small), MCPGW_E_LIMIT);
  ck_assert(mg_slice_eqz(mg_buf_slice(&small), "data: "));
  mg_buf_done(&small);
}
END_TEST

/* ---- every combination against a model of the members ---------------------------------------------------
 */

enum { KEEP, REMOVE, CHANGE };
#define MOST 4
static const char *const values[MOST] = {"1E400", "{\"a\":0.10,\"a\":[ ]}", "\"\\ud800,}\"", "-0"};
static const char *const inserted[] = {"\"n0\":{}", "\"n1\":[1]"};
/* before a key, behind it, behind the colon, behind the value, before the closing brace of none */
static const char *const blanks[][5] = {{"", "", "", "", ""}, {" ", " ", "\t", "\r\n", "\n"}};

struct model {
  struct mg_buf text;
  size_t n, inserts;
  int act[MOST];
};

static void build(struct model *m, const char *const *w) {
  char key[32];
  mg_buf_reset(&m->text);
  mg_buf_addz(&m->text, "{");
  for (size_t i = 0; i < m->n; i++) {
    snprintf(key, sizeof key, "\"k%zu\"", i);
    const char *const parts[] = {i ? "," : "", w[0], key, w[1], ":", w[2], values[i], w[3]};
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) mg_buf_addz(&m->text, parts[k]);
  }
  if (!m->n) mg_buf_addz(&m->text, w[4]);
  ck_assert_int_eq(mg_buf_addz(&m->text, "}"), MCPGW_OK);
}

/* order: bit 0 backwards, bit 1 inserts first, bit 2 odd members before even ones */
static void edit(const struct model *m, struct mg_slice doc, struct mg_span root, int order) {
  struct mg_span v[MOST];
  size_t pos = 0, n = 0;
  while (mg_json_member(doc, root, &pos, NULL, &v[n])) n++;
  ck_assert_uint_eq(n, m->n);
  for (size_t i = 0; (order & 2) && i < m->inserts; i++)
    mg_splice_insert(&s, doc, root, mg_slice_z(inserted[i]));
  for (size_t k = 0; k < 2 * n; k++) {
    size_t i = order & 1 ? n - 1 - k % n : k % n;
    if ((order & 4) ? (k < n) != (i & 1) : k >= n) continue;
    if (m->act[i] == REMOVE) mg_splice_remove(&s, doc, v[i]);
    if (m->act[i] == CHANGE) mg_splice_value(&s, v[i], mg_slice_z("\"new\""));
  }
  for (size_t i = 0; !(order & 2) && i < m->inserts; i++)
    mg_splice_insert(&s, doc, root, mg_slice_z(inserted[i]));
}

/* The members of the result are the inserted ones, then those that stayed, with their bytes. */
static void verify(const struct model *m, const char *const *w) {
  struct mg_slice got = mg_buf_slice(&out);
  struct mg_span root = json_root(got), v;
  size_t pos = 0;
  for (size_t i = 0; i < m->inserts; i++) {
    ck_assert_int_eq(mg_json_member(got, root, &pos, NULL, &v), 1);
    ck_assert(mg_slice_eqz(mg_slice_sub(got, v.key_off, pos - v.key_off), inserted[i]));
  }
  for (size_t i = 0; i < m->n; i++) {
    char want[64];
    if (m->act[i] == REMOVE) continue;
    snprintf(want, sizeof want, "\"k%zu\"%s:%s%s", i, w[1], w[2],
             m->act[i] == CHANGE ? "\"new\"" : values[i]);
    ck_assert_msg(mg_json_member(got, root, &pos, NULL, &v), "%.*s lacks %s", (int)got.len, got.ptr, want);
    ck_assert_msg(mg_slice_eqz(mg_slice_sub(got, v.key_off, pos - v.key_off), want), "%.*s", (int)got.len,
                  got.ptr);
  }
  ck_assert_msg(!mg_json_member(got, root, &pos, NULL, &v), "too much: %.*s", (int)got.len, got.ptr);
}

static void run_model(struct model *m, const char *const *w) {
  build(m, w);
  struct mg_slice doc = mg_buf_slice(&m->text);
  struct mg_span root = json_root(doc);
  for (int order = 0; order < 8; order++) {
    mg_splice_init(&s);
    edit(m, doc, root, order);
    apply(doc);
    verify(m, w);
  }
}

/* The loop variable is the number of members. */
START_TEST(every_combination) {
  struct model m = {.n = (size_t)_i};
  int combinations = 1;
  mg_buf_init(&m.text, 4096);
  for (int i = 0; i < _i; i++) combinations *= 3;
  for (int c = 0; c < combinations; c++) {
    for (int i = 0, rest = c; i < _i; i++, rest /= 3) m.act[i] = rest % 3;
    for (m.inserts = 0; m.inserts <= 2; m.inserts++)
      for (int style = 0; style < 2; style++) run_model(&m, blanks[style]);
  }
  mg_buf_done(&m.text);
}
END_TEST

/* ---- random trees against jansson -----------------------------------------------------------------------
 */

static uint64_t seed;
static unsigned chance(unsigned n) { /* 0 .. n-1; splitmix64 */
  uint64_t z = (seed += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return (unsigned)((z ^ z >> 31) % n);
}

static void blank(struct mg_buf *b) {
  static const char *const some[] = {"", "", "", " ", "\n", "\t ", "\r\n        "};
  mg_buf_addz(b, some[chance(7)]);
}

static void random_value(struct mg_buf *b, unsigned depth) {
  static const char *const scalars[] = {
      "0", "-1.5", "true", "false", "null", "\"\"", "\"a,}b\"", "\"\\\"\\u00e9{\"", "12345", "[]", "{}"};
  unsigned kind = depth ? chance(4) : 0, n = chance(5);
  if (kind < 1) {
    mg_buf_addz(b, scalars[chance(11)]);
    return;
  }
  mg_buf_addc(b, kind == 1 ? '[' : '{');
  blank(b);
  for (unsigned i = 0; i < n; i++) {
    char key[16];
    snprintf(key, sizeof key, "\"k%u\"", i);
    if (i) mg_buf_addc(b, ','), blank(b);
    if (kind > 1) mg_buf_addz(b, key), blank(b), mg_buf_addc(b, ':'), blank(b);
    random_value(b, depth - 1);
    blank(b);
  }
  mg_buf_addc(b, kind == 1 ? ']' : '}');
}

struct todo {
  int kind; /* KEEP: an insert */
  struct mg_span at;
};
static struct todo todos[64];
static size_t n_todos;

static void plan(int kind, struct mg_span at) {
  if (n_todos < 40) todos[n_todos++] = (struct todo){kind, at};
}

/* Decides the edits of an object and does them to jansson's tree on the way. */
static void plan_object(struct mg_slice doc, struct mg_span object, json_t *tree) {
  struct mg_span key, v;
  size_t pos = 0;
  if (chance(3) == 0 && n_todos < 40) {
    plan(KEEP, object);
    json_object_set_new(tree, "new", json_integer(7));
  }
  while (mg_json_member(doc, object, &pos, &key, &v)) {
    char name[16] = {0};
    struct mg_slice inner = mg_span_inner(doc, key);
    memcpy(name, inner.ptr, inner.len);
    unsigned act = n_todos < 40 ? chance(4) : 3;
    if (act <= 1) json_object_del(tree, name), plan(REMOVE, v);
    if (act == 2) json_object_set_new(tree, name, json_string("x")), plan(CHANGE, v);
    if (act == 3 && v.type == MG_JSON_OBJECT) plan_object(doc, v, json_object_get(tree, name));
  }
}

static void shuffle(void) {
  for (size_t i = n_todos; i > 1; i--) {
    size_t k = chance((unsigned)i);
    struct todo t = todos[k];
    todos[k] = todos[i - 1];
    todos[i - 1] = t;
  }
}

static void one_random_tree(struct mg_buf *b) {
  mg_buf_reset(b);
  blank(b);
  do b->len = 0, random_value(b, 4);
  while (b->ptr[0] != '{');
  blank(b);
  struct mg_slice doc = mg_buf_slice(b);
  json_t *tree = json_loadb(doc.ptr, doc.len, 0, NULL), *got;
  ck_assert_ptr_nonnull(tree);
  n_todos = 0;
  plan_object(doc, json_root(doc), tree);
  shuffle();
  mg_splice_init(&s);
  for (size_t i = 0; i < n_todos; i++) {
    if (todos[i].kind == KEEP) mg_splice_insert(&s, doc, todos[i].at, mg_slice_z("\"new\":7"));
    if (todos[i].kind == REMOVE) mg_splice_remove(&s, doc, todos[i].at);
    if (todos[i].kind == CHANGE) mg_splice_value(&s, todos[i].at, mg_slice_z("\"x\""));
  }
  apply(doc);
  got = json_loadb(out.ptr, out.len, JSON_REJECT_DUPLICATES, NULL);
  ck_assert_msg(json_equal(got, tree), "from %.*s\ncame %.*s", (int)doc.len, doc.ptr, (int)out.len, out.ptr);
  json_decref(got);
  json_decref(tree);
}

START_TEST(random_trees) {
  struct mg_buf b;
  mg_buf_init(&b, 1 << 20);
  seed = (uint64_t)_i;
  for (int i = 0; i < 2000; i++) one_random_tree(&b);
  mg_buf_done(&b);
}
END_TEST

/* ---- payload --------------------------------------------------------------------------------------------
 */

/* Edits all around the payload; it must come out as it went in. */
static void edit_around(struct mg_slice payload) {
  struct mg_buf b;
  struct mg_span spans[4], root, v;
  mg_buf_init(&b, payload.len + 256);
  mg_buf_addz(&b, "{\"id\":1, \"dev\":{\"drop\":1} ,\"payload\" :\t");
  mg_buf_adds(&b, payload);
  ck_assert_int_eq(mg_buf_addz(&b, " , \"last\":0}"), MCPGW_OK);
  struct mg_slice doc = mg_buf_slice(&b);
  root = json_root(doc);
  spans[0] = get(doc, root, "id"), spans[1] = get(doc, root, "dev");
  spans[2] = get(doc, root, "payload"), spans[3] = get(doc, root, "last");
  ck_assert(mg_slice_eq(mg_span_slice(doc, spans[2]), payload));
  mg_splice_init(&s);
  mg_splice_remove(&s, doc, spans[1]);
  mg_splice_remove(&s, doc, spans[3]);
  mg_splice_value(&s, spans[0], mg_slice_z("\"sub-17\""));
  mg_splice_insert(&s, doc, root, mg_slice_z("\"_meta\":{}"));
  apply(doc);
  v = get(mg_buf_slice(&out), json_root(mg_buf_slice(&out)), "payload");
  ck_assert(mg_slice_eq(mg_span_slice(mg_buf_slice(&out), v), payload));
  static const char head[] = "{\"_meta\":{},\"id\":\"sub-17\", \"payload\" :\t", tail[] = " }";
  ck_assert_uint_eq(out.len, sizeof head - 1 + payload.len + sizeof tail - 1);
  ck_assert_mem_eq(out.ptr, head, sizeof head - 1);
  ck_assert_mem_eq(out.ptr + out.len - 2, tail, 2);
  mg_buf_done(&b);
}

START_TEST(nasty_payload_stays) {
  for (size_t k = 0; json_nasty[k]; k++) edit_around(mg_slice_z(json_nasty[k]));
}
END_TEST

START_TEST(deep_and_long_payload_stays) {
  static const char *const opens[] = {"[", "{\"a\": "}, *const closes[] = {"]", " }"};
  for (int i = 0; i < 2; i++) {
    char *text = json_nested(opens[i], "-0.0", closes[i], 100);
    edit_around(mg_slice_z(text));
    free(text);
  }
  size_t len = (size_t)1 << 20;
  char *text = malloc(len);
  ck_assert_ptr_nonnull(text);
  seed = 1;
  for (size_t i = 0; i + 2 <= len; i += 2) memcpy(text + i, &"ab\\/\\n\xc3\xa9  "[2 * chance(5)], 2);
  text[0] = text[len - 1] = '"';
  text[1] = text[len - 2] = 'x';
  edit_around(mg_slice(text, len));
  free(text);
}
END_TEST

Suite *json_splice_suite(void) {
  Suite *suite = suite_create("json splice");
  TCase *c = tcase_create("by hand");
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_test(c, no_edit_changes_nothing);
  tcase_add_test(c, replaces_values);
  tcase_add_test(c, replaces_at_the_edges);
  tcase_add_test(c, neighbouring_edits);
  tcase_add_test(c, the_whole_text);
  tcase_add_test(c, edits_of_objects_in_each_other);
  tcase_add_test(c, neighbours_at_other_levels);
  tcase_add_test(c, strings_full_of_punctuation);
  tcase_add_loop_test(c, overlaps_are_refused, 0, 12);
  tcase_add_loop_test(c, only_members_and_objects, 0, 7);
  tcase_add_test(c, too_many_edits);
  tcase_add_test(c, more_removals_than_edits);
  tcase_add_test(c, room_for_segments);
  tcase_add_test(c, no_memory);
  tcase_add_test(c, append_leaves_what_was_there);
  suite_add_tcase(suite, c);
  c = tcase_create("properties");
  tcase_set_timeout(c, 60);
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_loop_test(c, every_combination, 0, MOST + 1);
  tcase_add_loop_test(c, random_trees, 0, 4);
  tcase_add_test(c, nasty_payload_stays);
  tcase_add_test(c, deep_and_long_payload_stays);
  suite_add_tcase(suite, c);
  return suite;
}
