/* The JSON Schema, the manual and the example with every key say what the code's table says, both ways. */
#include "config/config_tests.h"

struct walk { /* a schema, and how many of its keys were looked at */
  const struct mg_node *root;
  size_t seen;
};

static struct mg_doc *parse_file(const char *path) {
  struct mg_doc *d = NULL;
  struct mg_err err;
  size_t len = 0;
  char *text = config_read_file(path, &len);
  mg_err_clear(&err);
  ck_assert_msg(mg_doc_parse(&d, mg_slice(text, len), &err) == MCPGW_OK, "%s: %s", path, mg_err_text(&err));
  mg_free(text);
  return d;
}

static const struct mg_node *def(const struct mg_doc *d, const char *name) {
  const struct mg_node *n = mg_node_get(mg_node_get(mg_doc_root(d), "$defs"), name);
  ck_assert_msg(n != NULL, "the schema has no $defs/%s", name);
  return n;
}

static struct mg_slice text_of(const struct mg_node *node, const char *key) {
  struct mg_slice s = {NULL, 0};
  mg_node_str(mg_node_get(node, key), &s);
  return s;
}

static void number_is(const struct mg_node *prop, const char *word, uint64_t want, const char *name) {
  int64_t n = -1;
  ck_assert_msg(mg_node_i64(mg_node_get(prop, word), &n) == MCPGW_OK && (uint64_t)n == want,
                "%s: %s is %lld in the schema, %llu in the code", name, word, (long long)n,
                (unsigned long long)want);
}

static void words_are(const struct mg_node *prop, const struct mg_cfg_key *k) {
  const struct mg_node *list = mg_node_get(prop, "enum");
  const char *standard = NULL;
  size_t n = 0;
  for (; k->words[n].text; n++) {
    struct mg_slice s = {NULL, 0};
    mg_node_str(mg_node_at(list, n), &s);
    ck_assert_msg(mg_slice_eqz(s, k->words[n].text), "%s: word %zu", k->name, n);
    if ((uint64_t)k->words[n].value == k->def) standard = k->words[n].text;
  }
  ck_assert_uint_eq(mg_node_count(list), n);
  struct mg_slice d = text_of(prop, "default");
  ck_assert_msg(standard ? mg_slice_eqz(d, standard) : d.ptr == NULL, "%s: default", k->name);
}

static void table_is(const struct mg_cfg_table *t, const struct mg_node *object, struct walk *w);

static void value_is(const struct mg_node *prop, const struct mg_cfg_key *k, int inherits, struct walk *w) {
  int truth = -1;
  struct mg_slice d = text_of(prop, "default");
  switch (k->kind) {
  case MG_KEY_UINT:
    ck_assert(mg_slice_eqz(text_of(prop, "type"), "integer"));
    number_is(prop, "minimum", k->min, k->name);
    number_is(prop, "maximum", k->max, k->name);
    if (inherits) ck_assert_msg(!mg_node_get(prop, "default"), "%s inherits", k->name);
    else number_is(prop, "default", k->def, k->name);
    break;
  case MG_KEY_BOOL:
    ck_assert_int_eq(mg_node_bool(mg_node_get(prop, "default"), &truth), MCPGW_OK);
    ck_assert_msg((uint64_t)truth == k->def, "%s: default", k->name);
    break;
  case MG_KEY_WORD:
    words_are(prop, k);
    break;
  case MG_KEY_TEXT:
    ck_assert_msg(mg_slice_eqz(text_of(prop, "type"), "string"), "%s", k->name);
    ck_assert_msg(k->text ? mg_slice_eqz(d, k->text) : d.ptr == NULL, "%s: default", k->name);
    break;
  case MG_KEY_LIST:
    number_is(prop, "maxItems", k->max, k->name);
    mg_node_str(mg_node_at(mg_node_get(prop, "default"), 0), &d);
    ck_assert_msg(k->text ? mg_slice_eqz(d, k->text) : d.ptr == NULL, "%s: default", k->name);
    break;
  case MG_KEY_OBJECT:
    table_is(k->inner, prop, w);
    break;
  case MG_KEY_TOOLS:
    number_is(prop, "maxProperties", MG_CFG_TOOLS, k->name);
    table_is(k->inner, mg_node_get(mg_node_get(w->root, "$defs"), "tool"), w);
    break;
  default:
    number_is(prop, "maxProperties", 0, k->name);
  }
}

static void table_is(const struct mg_cfg_table *t, const struct mg_node *object, struct walk *w) {
  const struct mg_node *props = mg_node_get(object, "properties"), *prop;
  struct mg_slice name;
  void *it = NULL;
  int more = 1;
  int inherits = t->n > 0 && t->keys[0].kind == MG_KEY_UINT && t->keys[0].def == 0; /* a tool's */
  ck_assert_int_eq(mg_node_bool(mg_node_get(object, "additionalProperties"), &more), MCPGW_OK);
  ck_assert_int_eq(more, 0);
  for (size_t i = 0; i < t->n; i++, w->seen++) {
    prop = mg_node_get(props, t->keys[i].name);
    ck_assert_msg(prop != NULL, "%s is not in the schema", t->keys[i].name);
    ck_assert_msg(text_of(prop, "description").len > 0, "%s has no description", t->keys[i].name);
    value_is(prop, &t->keys[i], inherits, w);
  }
  while (mg_node_next(props, &it, &name, &prop))
    ck_assert_msg(mg_config_find(t, name) != NULL, "the schema has %.*s, the code has not", (int)name.len,
                  name.ptr);
}

START_TEST(schema_of_gateway_objects) {
  struct mg_doc *d = parse_file("cmd/mcpgw/mcpgw.schema.json");
  struct walk w = {mg_doc_root(d), 0};
  table_is(&mg_config_gateway_keys, def(d, "gateway"), &w);
  table_is(&mg_config_server_keys, def(d, "serverGateway"), &w);
  ck_assert_uint_ge(w.seen, 50);
  mg_doc_free(d);
}
END_TEST

START_TEST(schema_of_entries) {
  struct mg_doc *d = parse_file("cmd/mcpgw/mcpgw.schema.json");
  const struct mg_node *entry = def(d, "entry"), *props = mg_node_get(entry, "properties"), *prop;
  struct mg_slice name;
  void *it = NULL;
  size_t n = 0;
  ck_assert_ptr_null(mg_node_get(entry, "additionalProperties")); /* foreign keys are welcome */
  for (; mg_config_entry_keys[n]; n++)
    ck_assert_msg(mg_node_get(props, mg_config_entry_keys[n]) != NULL, "%s", mg_config_entry_keys[n]);
  ck_assert_uint_eq(mg_node_count(props), n);
  while (mg_node_next(props, &it, &name, &prop))
    ck_assert_msg(text_of(prop, "description").len > 0 || mg_slice_eqz(name, "gateway"), "%s", name.ptr);
  ck_assert_ptr_nonnull(mg_node_get(mg_node_get(mg_doc_root(d), "properties"), "mcpServers"));
  ck_assert_ptr_nonnull(mg_node_get(mg_node_get(mg_doc_root(d), "properties"), "servers"));
  ck_assert_ptr_nonnull(mg_node_get(mg_node_get(mg_doc_root(d), "properties"), "gateway"));
  mg_doc_free(d);
}
END_TEST

/* ---- the example ------------------------------------------------------------------------------------ */
static void all_there(const struct mg_cfg_table *t, const struct mg_node *object) {
  for (size_t i = 0; i < t->n; i++) {
    const struct mg_node *v = mg_node_get(object, t->keys[i].name);
    if (!v && strncmp(t->keys[i].name, "token", 5) == 0) continue; /* a secret has no default worth showing */
    ck_assert_msg(v != NULL, "examples/full.json lacks %s", t->keys[i].name);
    if (t->keys[i].kind == MG_KEY_OBJECT) all_there(t->keys[i].inner, v);
    if (t->keys[i].kind == MG_KEY_TOOLS) all_there(t->keys[i].inner, mg_node_get(v, "delete_*"));
  }
}

START_TEST(example_has_every_key) {
  struct mg_doc *d = parse_file("examples/full.json");
  const struct mg_node *root = mg_doc_root(d), *files = mg_node_get(mg_node_get(root, "mcpServers"), "files");
  all_there(&mg_config_gateway_keys, mg_node_get(root, "gateway"));
  all_there(&mg_config_server_keys, mg_node_get(files, "gateway"));
  mg_doc_free(d);
}
END_TEST

/* ---- the manual ------------------------------------------------------------------------------------- */
/* The manual lists a key as `.It Ic name` (later words of the line are free), in the order of nothing in
 * particular, under a heading of its object: `.Ss heading`. What follows up to the next .It or .Ss is its
 * text. */
static const char *section(const char *man, const char *heading) {
  char line[128];
  snprintf(line, sizeof line, "\n.Ss %s\n", heading);
  const char *at = strstr(man, line);
  ck_assert_msg(at != NULL, "the manual has no section %s", heading);
  return at + 1;
}

static size_t section_len(const char *s) {
  const char *a = strstr(s, "\n.Ss "), *b = strstr(s, "\n.Sh ");
  size_t n = strlen(s);
  if (a && (size_t)(a - s) < n) n = (size_t)(a - s);
  if (b && (size_t)(b - s) < n) n = (size_t)(b - s);
  return n;
}

/* The text of one key, or fails. */
static char *item(const char *sec, const char *name) {
  char head[128];
  size_t end = section_len(sec);
  snprintf(head, sizeof head, "\n.It Ic %s", name);
  for (const char *p = sec; (p = strstr(p, head)) && (size_t)(p - sec) < end; p++) {
    char c = p[strlen(head)];
    if (c != '\n' && c != ' ') continue;
    const char *next = strstr(p + 1, "\n.It "), *stop = strstr(p + 1, "\n.El");
    if (!next || (stop && stop < next)) next = stop;
    ck_assert_ptr_nonnull(next);
    char *text = mg_memdup(p, (size_t)(next - p));
    for (char *q = text; q && *q; q++)
      if (*q == '\n') *q = ' '; /* lines break where they like */
    return text;
  }
  ck_abort_msg("the manual's %.40s has no %s", sec, name);
  return NULL;
}

static void says(const char *text, const char *name, const char *what) {
  ck_assert_msg(strstr(text, what) != NULL, "the manual's %s does not say %s:%s", name, what, text);
}

static void key_is_described(const char *sec, const struct mg_cfg_key *k, int inherits) {
  char *text = item(sec, k->name), number[64];
  if (k->kind == MG_KEY_UINT) {
    snprintf(number, sizeof number, "%llu to %llu", (unsigned long long)k->min, (unsigned long long)k->max);
    says(text, k->name, number);
    snprintf(number, sizeof number, "default %llu", (unsigned long long)k->def);
    if (!inherits) says(text, k->name, number);
  }
  if (k->kind == MG_KEY_BOOL) says(text, k->name, k->def ? "default true" : "default false");
  for (const struct mg_cfg_word *w = k->words; k->kind == MG_KEY_WORD && w->text; w++)
    says(text, k->name, w->text);
  if (k->text) says(text, k->name, k->text);
  mg_free(text);
}

static size_t table_is_described(const char *man, const char *heading, const struct mg_cfg_table *t,
                                 int inherits) {
  const char *sec = section(man, heading);
  size_t items = 0, end = section_len(sec);
  for (size_t i = 0; i < t->n; i++) key_is_described(sec, &t->keys[i], inherits);
  for (const char *p = sec; (p = strstr(p, "\n.It Ic ")) && (size_t)(p - sec) < end; p++) items++;
  ck_assert_msg(items == t->n, "the manual's %s has %zu keys, the code %zu", heading, items, t->n);
  return items;
}

static void inner_tables(const char *man, const char *prefix, const struct mg_cfg_table *t, int inherits) {
  char heading[96];
  for (size_t i = 0; i < t->n; i++) {
    if (t->keys[i].kind != MG_KEY_OBJECT) continue;
    snprintf(heading, sizeof heading, "%s.%s", prefix, t->keys[i].name);
    table_is_described(man, heading, t->keys[i].inner, inherits);
  }
}

START_TEST(manual_has_every_key) {
  char *man = config_read_file("man/mcpgw.conf.5", NULL);
  table_is_described(man, "gateway", &mg_config_gateway_keys, 0);
  inner_tables(man, "gateway", &mg_config_gateway_keys, 0);
  table_is_described(man, "mcpServers.NAME.gateway", &mg_config_server_keys, 0);
  inner_tables(man, "mcpServers.NAME.gateway", &mg_config_server_keys, 0);
  table_is_described(man, "mcpServers.NAME.gateway.tools.PATTERN", &mg_config_tool_keys, 1);
  inner_tables(man, "mcpServers.NAME.gateway.tools.PATTERN", &mg_config_tool_keys, 1);
  const char *sec = section(man, "mcpServers.NAME");
  for (size_t i = 0; mg_config_entry_keys[i]; i++) mg_free(item(sec, mg_config_entry_keys[i]));
  mg_free(man);
}
END_TEST

/* ---- sameness --------------------------------------------------------------------------------------- */
static size_t differs(const struct mg_cfg_table *t, char *base, const struct mg_cfg_server *a, const struct mg_cfg_server *b) {
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++) {
    const struct mg_cfg_key *k = &t->keys[i];
    char *at = base + k->off, keep[8];
    if (k->kind == MG_KEY_OBJECT) n += differs(k->inner, at, a, b);
    if (k->kind != MG_KEY_UINT && k->kind != MG_KEY_BOOL && k->kind != MG_KEY_WORD) continue;
    size_t size = k->kind == MG_KEY_UINT ? 8 : sizeof(int);
    memcpy(keep, at, size);
    at[0] ^= 1;
    ck_assert_msg(!mg_config_same_server(a, b), "%s makes no difference", k->name);
    memcpy(at, keep, size);
    ck_assert_int_eq(mg_config_same_server(a, b), 1);
    n++;
  }
  return n;
}

/* Whatever key is changed, the server is another one. */
START_TEST(every_key_makes_a_server_another) {
  static const char text[] = "{\"mcpServers\":{\"s\":{\"command\":\"%s\",\"args\":[\"%s\"],\"env\":{\"K\":\"%s\"},\"cwd\":\"/%s\","
                             "\"gateway\":{\"tools\":{\"%s\":{\"timeouts\":{\"total_ms\":7}}}}}}}";
  static const char *const words[6] = {"a", "b", "c", "d", "e", "f"};
  char doc[512];
  snprintf(doc, sizeof doc, text, "a", "b", "c", "d", "e");
  struct mg_config *one = config_good(doc), *two = config_good(doc);
  struct mg_cfg_server *s = (struct mg_cfg_server *)(uintptr_t)&two->servers[0];
  ck_assert_int_eq(mg_config_same_server(&one->servers[0], s), 1);
  ck_assert_uint_ge(differs(&mg_config_server_keys, (char *)s, &one->servers[0], s), 12);
  ck_assert_uint_ge(differs(&mg_config_tool_keys, (char *)(uintptr_t)&s->tools[0], &one->servers[0], s), 8);
  mg_config_unref(two);
  for (int i = 0; i < 5; i++) {
    snprintf(doc, sizeof doc, text, i == 0 ? "x" : words[0], i == 1 ? "x" : words[1], i == 2 ? "x" : words[2],
             i == 3 ? "x" : words[3], i == 4 ? "x" : words[4]);
    two = config_good(doc);
    ck_assert_msg(!mg_config_same_server(&one->servers[0], &two->servers[0]), "%s", doc);
    mg_config_unref(two);
  }
  mg_config_unref(one);
  one = config_good("{\"mcpServers\":{\"s\":{\"url\":\"http://127.0.0.1/a\",\"headers\":{\"X\":\"1\"}}}}");
  two = config_good("{\"mcpServers\":{\"s\":{\"url\":\"http://127.0.0.1/a\",\"headers\":{\"X\":\"2\"}}}}");
  ck_assert(!mg_config_same_server(&one->servers[0], &two->servers[0]));
  ck_assert_int_eq(mg_config_same_key(one, two, "listen"), 1);
  mg_config_unref(two);
  two = config_good("{\"gateway\":{\"listen\":[\"127.0.0.1:1\"],\"limits\":{\"connections\":5}}}");
  ck_assert(!mg_config_same_key(one, two, "listen"));
  ck_assert(!mg_config_same_key(one, two, "limits"));
  ck_assert_int_eq(mg_config_same_key(one, two, "contexts"), 1);
  mg_config_unref(two);
  mg_config_unref(one);
}
END_TEST

/* ---- nearness --------------------------------------------------------------------------------------- */
START_TEST(distance) {
  static const struct {
    const char *a, *b;
    size_t want;
  } c[] = {{"", "", 0},       {"", "abc", 3},     {"abc", "", 3},
           {"abc", "abc", 0}, {"abc", "acb", 1},  {"ABC", "abc", 0},
           {"abc", "abd", 1}, {"abcd", "abd", 1}, {"kitten", "sitting", 3},
           {"ca", "abc", 3},  {"lgo", "log", 1}};
  for (size_t i = 0; i < sizeof c / sizeof *c; i++)
    ck_assert_msg(mg_config_distance(mg_slice(c[i].a, strlen(c[i].a)), c[i].b) == c[i].want, "%s %s", c[i].a,
                  c[i].b);
  char wide[100];
  memset(wide, 'x', sizeof wide);
  ck_assert_uint_eq(mg_config_distance(mg_slice(wide, sizeof wide), "x"), 100);
}
END_TEST

Suite *config_table_suite(void) {
  Suite *s = suite_create("config tables");
  TCase *t = tcase_create("all");
  tcase_add_test(t, schema_of_gateway_objects);
  tcase_add_test(t, schema_of_entries);
  tcase_add_test(t, example_has_every_key);
  tcase_add_test(t, manual_has_every_key);
  tcase_add_test(t, every_key_makes_a_server_another);
  tcase_add_test(t, distance);
  suite_add_tcase(s, t);
  return s;
}
