/* config/pin: owns the lock file: definitions of tools and prompts as an operator saw and accepted them.
 * `mcpgw pin` writes it; here it is read and compared with what servers list. Definitions are compared whole,
 * as text, white space apart: a digest could tell that one changed, but not how. */
#include "base/map.h"
#include "base/mem.h"
#include "config/build.h"

#define KEY_BYTES ((size_t)65536)

static const struct {
  const char *list;
  int kind;
} LISTS[] = {{"tools", MG_PIN_TOOL}, {"prompts", MG_PIN_PROMPT}};
#define N_LISTS (sizeof LISTS / sizeof *LISTS)

struct pinned { /* in the arena, as is the text it points into */
  struct mg_slice definition;
};

/* server, NUL, kind, name. Without kind and name: the server itself. */
static int key_of(struct mg_buf *b, struct mg_slice server, int kind, struct mg_slice name) {
  mg_buf_reset(b);
  mg_buf_adds(b, server);
  mg_buf_addc(b, 0);
  if (kind) mg_buf_addc(b, (char)kind);
  mg_buf_adds(b, name);
  return mg_buf_rc(b);
}

/* ---- reading ---------------------------------------------------------------------------------------- */
struct lock {
  struct mg_cfg_build *b;
  const struct mg_cfg_at *at;
  struct mg_slice text;
  struct mg_buf key, name, server;
};

static int put(struct lock *l, int kind, struct mg_slice name, struct mg_slice definition) {
  struct mg_cfg_snap *s = l->b->snap;
  struct pinned *p = mg_config_alloc(s, sizeof *p);
  if (!p) return mg_config_fail_mem(l->b, l->at);
  p->definition = definition;
  int rc = key_of(&l->key, mg_buf_slice(&l->server), kind, name);
  if (rc == MCPGW_OK) rc = mg_map_put(s->pins, mg_buf_slice(&l->key), p);
  if (rc == MCPGW_E_EXISTS) return mg_config_fail(l->b, l->at, "the lock file names something twice; run mcpgw pin again");
  if (rc == MCPGW_E_LIMIT) return mg_config_fail(l->b, l->at, "the lock file holds more than %d definitions", MG_CFG_PINS);
  return rc == MCPGW_OK ? rc : mg_config_fail_mem(l->b, l->at);
}

static int not_ours(struct lock *l) {
  return mg_config_fail(l->b, l->at, "is no lock file of this version; mcpgw pin writes one");
}

/* The text of a name; what is no string, or nobody could ask for, is not ours. */
static int read_name(struct lock *l, struct mg_span span, struct mg_buf *out) {
  mg_buf_reset(out);
  int rc = mg_span_unescape(l->text, span, out);
  return rc == MCPGW_OK ? rc : rc == MCPGW_E_NOMEM ? mg_config_fail_mem(l->b, l->at) : not_ours(l);
}

static int read_list(struct lock *l, struct mg_span list, int kind) {
  struct mg_span item, name;
  size_t pos = 0;
  int rc = list.type == MG_JSON_ARRAY ? MCPGW_OK : not_ours(l);
  while (rc == MCPGW_OK && mg_json_item(l->text, list, &pos, &item)) {
    if (item.type != MG_JSON_OBJECT || !mg_json_get(l->text, item, "name", &name)) return not_ours(l);
    rc = read_name(l, name, &l->name);
    if (rc == MCPGW_OK) rc = put(l, kind, mg_buf_slice(&l->name), mg_span_slice(l->text, item));
  }
  return rc;
}

static int read_server(struct lock *l, struct mg_span name, struct mg_span lists) {
  struct mg_span list;
  if (lists.type != MG_JSON_OBJECT) return not_ours(l);
  int rc = read_name(l, name, &l->server);
  if (rc == MCPGW_OK) rc = put(l, 0, mg_slice(NULL, 0), mg_slice(NULL, 0));
  for (size_t i = 0; rc == MCPGW_OK && i < N_LISTS; i++)
    if (mg_json_get(l->text, lists, LISTS[i].list, &list)) rc = read_list(l, list, LISTS[i].kind);
  return rc;
}

static int read_lock(struct lock *l) {
  static const struct mg_shape any = {NULL, 0};
  struct mg_scan_result why;
  struct mg_span root, servers, version, name, lists;
  int64_t number = 0;
  size_t pos = 0;
  if (mg_json_scan(l->text, &any, NULL, 0, &root, &why) != MCPGW_OK)
    return mg_config_fail(l->b, l->at, "the lock file is no valid JSON (%s at byte %zu)", mg_scan_strerror(why.error), why.at);
  if (root.type != MG_JSON_OBJECT || !mg_json_get(l->text, root, "mcpgw_lock", &version) ||
      mg_span_i64(l->text, version, &number) != MCPGW_OK || number != 1 ||
      !mg_json_get(l->text, root, "servers", &servers) || servers.type != MG_JSON_OBJECT)
    return not_ours(l);
  int rc = MCPGW_OK;
  while (rc == MCPGW_OK && mg_json_member(l->text, servers, &pos, &name, &lists)) rc = read_server(l, name, lists);
  return rc;
}

static int read_file(struct lock *l) {
  struct mg_cfg_snap *s = l->b->snap;
  struct mg_buf text;
  char why[128] = "", *kept = NULL;
  mg_buf_init(&text, MG_CFG_LOCK_BYTES + 1);
  int rc = mg_config_slurp(s->pub.pin.file, MG_CFG_LOCK_BYTES, 1, &text, why);
  if (rc == MCPGW_OK && (kept = mg_config_dup(s, mg_buf_slice(&text))) && (s->pins = mg_map_new(MG_CFG_PINS))) {
    l->text = mg_slice(kept, text.len); /* pins point into it */
    rc = read_lock(l);
  } else {
    rc = rc == MCPGW_OK || rc == MCPGW_E_NOMEM ? mg_config_fail_mem(l->b, l->at)
                                               : mg_config_fail(l->b, l->at, "the lock file %s; mcpgw pin writes it", why);
  }
  mg_buf_done(&text);
  return rc;
}

int mg_config_lock(struct mg_config *c, struct mg_err *err) {
  struct mg_cfg_at gateway = mg_config_at_key(NULL, MG_LIT("gateway")), pin = mg_config_at_key(&gateway, MG_LIT("pin"));
  struct mg_cfg_at file = mg_config_at_key(&pin, MG_LIT("file"));
  struct mg_cfg_build b;
  struct lock l = {.b = &b, .at = &file};
  if (!c->pin.file || c->pin.mode == MG_PIN_OFF) return MCPGW_OK;
  mg_config_build_init(&b, c, err);
  mg_buf_init(&l.key, 2 * KEY_BYTES);
  mg_buf_init(&l.name, KEY_BYTES);
  mg_buf_init(&l.server, KEY_BYTES);
  int rc = read_file(&l);
  mg_buf_done(&l.key);
  mg_buf_done(&l.name);
  mg_buf_done(&l.server);
  mg_config_build_done(&b);
  return rc;
}

/* ---- comparing ---------------------------------------------------------------------------------------- */
static void say(struct mg_buf *out, const char *sign, struct mg_slice key) {
  if (out->len) mg_buf_addz(out, ", ");
  mg_buf_addz(out, sign);
  mg_buf_adds(out, key);
}

static int find(struct mg_slice doc, struct mg_slice key, struct mg_span *value) {
  struct mg_span k;
  size_t pos = 0;
  while (mg_json_member(doc, mg_json_whole(doc), &pos, &k, value))
    if (mg_slice_eq(mg_span_inner(doc, k), key)) return 1;
  return 0;
}

static void compare(struct mg_slice was, struct mg_slice is, struct mg_buf *out) {
  struct mg_span key, value, other;
  size_t pos = 0;
  while (mg_json_member(is, mg_json_whole(is), &pos, &key, &value)) {
    struct mg_slice name = mg_span_inner(is, key);
    if (!find(was, name, &other)) say(out, "+", name);
    else if (!mg_json_same(mg_span_slice(was, other), mg_span_slice(is, value))) say(out, "", name);
  }
  pos = 0;
  while (mg_json_member(was, mg_json_whole(was), &pos, &key, &value))
    if (!find(is, mg_span_inner(was, key), &other)) say(out, "-", mg_span_inner(was, key));
  if (!out->len) mg_buf_addz(out, "the order of its members");
}

int mg_config_pinned(const struct mg_config *c, struct mg_slice server, int kind, struct mg_slice name,
                     struct mg_slice definition, struct mg_buf *changed) {
  const struct mg_map *pins = ((const struct mg_cfg_snap *)c)->pins;
  struct mg_buf key;
  int verdict = MG_PIN_FREE;
  if (!pins) return verdict;
  mg_buf_init(&key, 2 * KEY_BYTES);
  if (key_of(&key, server, 0, mg_slice(NULL, 0)) == MCPGW_OK && mg_map_get(pins, mg_buf_slice(&key))) {
    /* a name too long to look up is none that was pinned */
    const struct pinned *p =
        key_of(&key, server, kind, name) == MCPGW_OK ? mg_map_get(pins, mg_buf_slice(&key)) : NULL;
    verdict = !p ? MG_PIN_ADDED : mg_json_same(p->definition, definition) ? MG_PIN_SAME : MG_PIN_CHANGED;
    if (verdict == MG_PIN_CHANGED && changed) compare(p->definition, definition, changed);
  }
  mg_buf_done(&key);
  return verdict;
}
