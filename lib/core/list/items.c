/* core/list/items: owns the tables that lists become: each entry as the bytes that came, found by its own name
 * and by the one an aggregate view gives it. */
#include <stdio.h>
#include <string.h>

#include "core/brain.h"

#define EXPOSED_MAX 64  /* bytes of a prefixed name; longer ones end in a digest */
#define EXPOSED_HEAD 55

static const int list_slot[MG_LIST_KINDS] = {MG_S_R_TOOLS, MG_S_R_PROMPTS, MG_S_R_RESOURCES, MG_S_R_TEMPLATES};

static void item_done(struct mg_item *it) {
  mg_free(it->key);
  mg_free(it->exposed);
  mg_params_done(&it->params);
}

void mg_table_clear(struct mg_table *t) {
  for (size_t i = 0; i < t->n; i++) item_done(&t->items[i]);
  for (size_t i = 0; i < t->n_pages; i++) mg_blob_unref(t->pages[i]);
  mg_free(t->items);
  mg_free(t->pages);
  mg_map_free(t->by_key);
  mg_map_free(t->by_exposed);
  t->items = NULL;
  t->pages = NULL;
  t->by_key = t->by_exposed = NULL;
  t->n = t->cap = t->n_pages = t->bytes = 0;
}

static struct mg_item *lookup(struct mg_table *t, struct mg_map *map, struct mg_slice key) {
  uintptr_t i = map ? (uintptr_t)mg_map_get(map, key) : 0;
  return i ? &t->items[i - 1] : NULL;
}

struct mg_item *mg_catalog_find(struct mg_link *l, int kind, struct mg_slice key, const struct mg_call *call) {
  if (!l->lists) return NULL;
  struct mg_table *t = call ? mg_catalog_table(l, kind, call) : &l->lists[kind];
  return lookup(t, t->by_key, key);
}

struct mg_item *mg_catalog_exposed(struct mg_link *l, int kind, struct mg_slice name, const struct mg_call *call) {
  if (!l->lists) return NULL;
  struct mg_table *t = mg_catalog_table(l, kind, call);
  return lookup(t, t->by_exposed, name);
}

void mg_tool_refused(struct mg_link *l, struct mg_slice name, const char *why) {
  char text[300];
  snprintf(text, sizeof text, "%.*s: %s", (int)(name.len < 100 ? name.len : 100), name.ptr, why ? why : "");
  l->core->stats.tools_refused++;
  mg_log(l->core->log, MG_LOG_WARN, "tool.refused", "upstream", l->up->cfg->name, "text", text, (char *)0);
}

/* Keeps the head of a long name and ends it in eight base32 digits of its hash. */
static void shorten(struct mg_buf *b) {
  static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < b->len; i++) h = (h ^ (unsigned char)b->ptr[i]) * 1099511628211u;
  h ^= h >> 29;
  b->len = EXPOSED_HEAD;
  while (b->len && ((unsigned char)b->ptr[b->len] & 0xc0) == 0x80) b->len--; /* not inside a UTF-8 sequence */
  mg_buf_addc(b, '_');
  for (int i = 0; i < 8; i++, h >>= 5) mg_buf_addc(b, digits[h & 31]);
}

/* <server>__<name>. OWNED; NULL: no memory. */
static char *expose(const struct mg_link *l, const char *name) {
  struct mg_buf b;
  mg_buf_init(&b, 65536);
  mg_buf_addz(&b, l->up->cfg->slug);
  mg_buf_addz(&b, l->core->config->separator);
  mg_buf_addz(&b, name);
  if (mg_buf_rc(&b) == MCPGW_OK && b.len > EXPOSED_MAX) shorten(&b);
  mg_buf_addc(&b, 0);
  if (mg_buf_rc(&b) == MCPGW_OK) return b.ptr; /* the buffer's memory is the name's now */
  mg_buf_done(&b);
  return NULL;
}

static int room_for_item(struct mg_table *t) {
  if (t->n < t->cap) return MCPGW_OK;
  if (t->n == MG_MAX_ITEMS) return MCPGW_E_LIMIT;
  size_t cap = t->cap ? t->cap * 2 : 16;
  struct mg_item *items = mg_realloc(t->items, cap * sizeof *items);
  if (!items) return MCPGW_E_NOMEM;
  t->items = items;
  t->cap = cap;
  return MCPGW_OK;
}

/* The name as text. MCPGW_E_PARSE: nobody could ask for it (a lone surrogate, a NUL). */
static int item_key(struct mg_item *it) {
  struct mg_buf key;
  mg_buf_init(&key, 16384);
  int rc = mg_span_unescape(it->raw, it->name, &key);
  if (rc == MCPGW_OK) rc = mg_buf_addc(&key, 0);
  if (rc == MCPGW_OK && strlen(key.ptr) + 1 != key.len) rc = MCPGW_E_PARSE;
  if (rc == MCPGW_OK) it->key = key.ptr;
  else mg_buf_done(&key);
  return rc;
}

/* MCPGW_E_INVALID: this tool must be left out (2026-07-28, "Schema Extension"). */
static int item_params(struct mg_link *l, struct mg_item *it) {
  struct mg_span schema;
  const char *why = NULL;
  if (!mg_json_get(it->raw, mg_json_whole(it->raw), "inputSchema", &schema)) return MCPGW_OK;
  int rc = mg_params_collect(it->raw, schema, &it->params, &why);
  if (rc != MCPGW_E_INVALID) return rc;
  if (!l->modern) return MCPGW_OK; /* the annotation means nothing there */
  mg_tool_refused(l, mg_slice_z(it->key), why);
  return rc;
}

static int index_item(struct mg_link *l, struct mg_table *t, struct mg_item *it) {
  void *place = (void *)(uintptr_t)(t->n + 1);
  int rc = room_for_item(t);
  if (rc == MCPGW_OK) rc = mg_map_put(t->by_key, mg_slice_z(it->key), place);
  if (rc == MCPGW_OK && it->exposed) {
    rc = mg_map_put(t->by_exposed, mg_slice_z(it->exposed), place);
    if (rc != MCPGW_OK) mg_map_del(t->by_key, mg_slice_z(it->key));
  }
  if (rc == MCPGW_OK) t->items[t->n++] = *it;
  else if (rc == MCPGW_E_EXISTS) mg_tool_refused(l, mg_slice_z(it->key), "listed twice; the first one counts");
  return rc;
}

static int add_item(struct mg_link *l, int kind, struct mg_table *t, struct mg_slice raw) {
  static const char *const key_of[MG_LIST_KINDS] = {"name", "name", "uri", "uriTemplate"};
  struct mg_item it = {.raw = raw};
  int named = kind == MG_LIST_TOOLS || kind == MG_LIST_PROMPTS;
  if (!mg_json_get(raw, mg_json_whole(raw), key_of[kind], &it.name) || it.name.type != MG_JSON_STRING) return MCPGW_OK;
  int rc = item_key(&it);
  if (rc == MCPGW_OK && kind == MG_LIST_TOOLS && l->up->cfg->trust_annotations) it.effect = mg_effect_noted(raw);
  if (rc == MCPGW_OK && kind == MG_LIST_TOOLS) it.rule = mg_limits_rule(l->up->cfg, mg_slice_z(it.key));
  if (rc == MCPGW_OK && kind == MG_LIST_TOOLS) rc = item_params(l, &it);
  if (rc == MCPGW_OK) it.blocked = mg_pin_blocks(l, kind, mg_slice_z(it.key), raw);
  if (rc == MCPGW_OK && named && !(it.exposed = expose(l, it.key))) rc = MCPGW_E_NOMEM;
  if (rc == MCPGW_OK) rc = index_item(l, t, &it);
  if (rc == MCPGW_OK) return rc;
  item_done(&it);
  return rc == MCPGW_E_NOMEM || (rc == MCPGW_E_LIMIT && t->n == MG_MAX_ITEMS) ? rc : MCPGW_OK; /* else: left out */
}

static int keep_page(struct mg_table *t, mg_blob *bytes, size_t len) {
  if (t->n_pages == MG_MAX_PAGES || t->bytes + len > MG_MAX_LIST_BYTES) return MCPGW_E_LIMIT;
  if (!t->by_key) t->by_key = mg_map_new(MG_MAX_ITEMS);
  if (!t->by_exposed) t->by_exposed = mg_map_new(MG_MAX_ITEMS);
  mg_blob **pages = mg_realloc(t->pages, (t->n_pages + 1) * sizeof *pages);
  if (pages) t->pages = pages;
  if (!pages || !t->by_key || !t->by_exposed) return MCPGW_E_NOMEM;
  t->pages[t->n_pages++] = mg_blob_ref(bytes);
  t->bytes += len;
  return MCPGW_OK;
}

static void note_hints(struct mg_table *t, const struct mg_msg *m) {
  int64_t ttl;
  if (m->s[MG_S_R_TTL].type == MG_JSON_NUMBER && mg_span_i64(m->doc, m->s[MG_S_R_TTL], &ttl) == MCPGW_OK) {
    uint64_t ms = ttl > 0 ? (uint64_t)ttl : 0;
    t->ttl_ms = t->has_ttl && t->ttl_ms < ms ? t->ttl_ms : ms;
    t->has_ttl = 1;
  }
  if (!mg_slice_eqz(mg_msg_inner(m, MG_S_R_SCOPE), "public")) t->is_private = 1; /* who says nothing may mean it */
}

int mg_table_add_page(struct mg_link *l, int kind, struct mg_table *t, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_span item;
  size_t pos = 0;
  if (m->s[list_slot[kind]].type != MG_JSON_ARRAY) return MCPGW_E_PARSE;
  int rc = keep_page(t, bytes, m->doc.len);
  if (rc != MCPGW_OK) return rc;
  note_hints(t, m);
  while (rc == MCPGW_OK && mg_json_item(m->doc, m->s[list_slot[kind]], &pos, &item))
    if (item.type == MG_JSON_OBJECT) rc = add_item(l, kind, t, mg_span_slice(m->doc, item));
  return rc;
}
