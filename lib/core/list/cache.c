/* core/list/cache: owns replies to list requests that an upstream lets us keep (2026-07-28, "Caching"): a reply is
 * served again, byte for byte, to a request of the same method and parameters while its ttlMs lasts. What is
 * private is kept for one principal. Only lists: what tools and resources say is payload, and never kept. */
#include <string.h>

#include "core/brain.h"
#include "crypt/seal.h"

#define MAX_ENTRIES 256
#define MAX_BYTES ((size_t)16 << 20) /* of one link */
#define TTL_CAP_MS 300000
#define KEY_BYTES ((size_t)65536)

struct mg_cached {
  struct mg_list node; /* in the cache: least recently used first */
  unsigned char key[MG_HASH_LEN];
  mg_blob *reply;              /* as a client gets it; NULL: none */
  struct mg_span id, ttl;      /* in it */
  uint64_t fetched_ms, ttl_ms; /* ttl_ms 0: it may not be kept */
  int kind;
  struct mg_call *asker; /* a call that is fetching it anew */
  struct mg_list waiters;
};

struct mg_cache {
  struct mg_map *entries; /* by key */
  struct mg_list used;
  size_t bytes;
};

static struct mg_slice key_slice(const struct mg_cached *e) {
  return mg_slice(e->key, sizeof e->key);
}

/* ---- keys --------------------------------------------------------------------------------------------- */

/* Members of _meta that do not change what is listed. */
static int is_neutral(struct mg_slice key) {
  static const char *const names[] = {"progressToken", "io.modelcontextprotocol/clientInfo", "traceparent", "tracestate",
                                      "baggage"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (mg_slice_eqz(key, names[i])) return 1;
  return mg_slice_starts(key, MG_LIT("dev.mcpgw/"));
}

static void add_meta(struct mg_buf *b, struct mg_slice doc, struct mg_span meta) {
  struct mg_span key, value;
  size_t pos = 0;
  if (meta.type != MG_JSON_OBJECT) return;
  while (mg_json_member(doc, meta, &pos, &key, &value)) {
    if (is_neutral(mg_span_inner(doc, key))) continue;
    mg_buf_adds(b, mg_span_slice(doc, key));
    mg_buf_adds(b, mg_span_slice(doc, value));
  }
}

/* Whose a private reply is: nobody else's request has this key. */
static void add_owner(struct mg_buf *b, const struct mg_call *call, int is_private) {
  mg_buf_addc(b, 0);
  if (is_private) mg_buf_addz(b, mg_call_principal(call));
}

static int key_of(const struct mg_call *call, const struct mg_msg *m, int is_private, unsigned char out[MG_HASH_LEN]) {
  struct mg_span key, value;
  struct mg_buf b;
  size_t pos = 0;
  mg_buf_init(&b, KEY_BYTES);
  mg_buf_adds(&b, m->method_name);
  while (m->s[MG_S_PARAMS].type == MG_JSON_OBJECT && mg_json_member(m->doc, m->s[MG_S_PARAMS], &pos, &key, &value)) {
    mg_buf_adds(&b, mg_span_slice(m->doc, key));
    if (mg_span_streq(m->doc, key, MG_LIT("_meta"))) add_meta(&b, m->doc, value);
    else mg_buf_adds(&b, mg_span_slice(m->doc, value));
    mg_buf_addc(&b, ','); /* what stands in _meta is no parameter */
  }
  add_owner(&b, call, is_private);
  if (mg_buf_rc(&b) == MCPGW_OK) mg_sha256(mg_buf_slice(&b), out);
  mg_buf_done(&b);
  return mg_buf_rc(&b);
}

/* ---- entries ------------------------------------------------------------------------------------------ */

/* Who waited for the asker looks again, at the next tick. */
static void release(struct mg_cached *e) {
  struct mg_list *node;
  if (e->asker) e->asker->asks = NULL;
  e->asker = NULL;
  while ((node = mg_list_first(&e->waiters))) {
    mg_list_del(node);
    struct mg_call *call = MG_CONTAINER(node, struct mg_waiter, node)->call;
    mg_heap_set(&call->core->gathers, &call->deadline, 0); /* a move: cannot fail */
  }
}

static void forget_reply(struct mg_cache *c, struct mg_cached *e) {
  if (!e->reply) return;
  c->bytes -= mg_blob_len(e->reply);
  mg_blob_unref(e->reply);
  e->reply = NULL;
}

static void entry_free(struct mg_cache *c, struct mg_cached *e) {
  release(e);
  forget_reply(c, e);
  mg_list_del(&e->node);
  mg_map_del(c->entries, key_slice(e));
  mg_free(e);
}

/* Makes room: those that nobody waits for, least recently used first. */
static int make_room(struct mg_cache *c, size_t bytes) {
  struct mg_list *node = c->used.next, *next;
  if (bytes > MAX_BYTES / 2) return MCPGW_E_LIMIT;
  for (; node != &c->used && (mg_map_count(c->entries) >= MAX_ENTRIES || c->bytes + bytes > MAX_BYTES); node = next) {
    struct mg_cached *e = MG_CONTAINER(node, struct mg_cached, node);
    next = node->next;
    if (mg_list_empty(&e->waiters) && !e->asker) entry_free(c, e);
  }
  return mg_map_count(c->entries) < MAX_ENTRIES && c->bytes + bytes <= MAX_BYTES ? MCPGW_OK : MCPGW_E_LIMIT;
}

static struct mg_cache *cache_of(struct mg_link *l) {
  if (l->cache) return l->cache;
  struct mg_cache *c = mg_calloc(1, sizeof *c);
  if (!c) return NULL;
  mg_list_init(&c->used);
  c->entries = mg_map_new(MAX_ENTRIES);
  if (!c->entries) {
    mg_free(c);
    return NULL;
  }
  return l->cache = c;
}

static struct mg_cached *entry_new(struct mg_cache *c, const unsigned char key[MG_HASH_LEN]) {
  struct mg_cached *e = mg_calloc(1, sizeof *e);
  if (!e) return NULL;
  memcpy(e->key, key, sizeof e->key);
  mg_list_init(&e->waiters);
  if (mg_map_put(c->entries, key_slice(e), e) != MCPGW_OK) {
    mg_free(e);
    return NULL;
  }
  mg_list_add(&c->used, &e->node);
  return e;
}

static struct mg_cached *find(struct mg_link *l, const struct mg_call *call, const struct mg_msg *m) {
  unsigned char key[MG_HASH_LEN];
  struct mg_cached *e = NULL;
  for (int is_private = 0; l->cache && !e && is_private < 2; is_private++)
    if (key_of(call, m, is_private, key) == MCPGW_OK) e = mg_map_get(l->cache->entries, mg_slice(key, sizeof key));
  return e;
}

void mg_cache_drop(struct mg_link *l, int kind) {
  struct mg_list *node, *next;
  for (node = l->cache ? l->cache->used.next : NULL; node && node != &l->cache->used; node = next) {
    struct mg_cached *e = MG_CONTAINER(node, struct mg_cached, node);
    next = node->next;
    if (kind >= 0 && e->kind != kind) continue;
    forget_reply(l->cache, e);
    release(e); /* what the asker brings may be older than the change */
  }
}

void mg_cache_done(struct mg_link *l) {
  struct mg_list *node;
  while (l->cache && (node = mg_list_first(&l->cache->used))) entry_free(l->cache, MG_CONTAINER(node, struct mg_cached, node));
  if (l->cache) mg_map_free(l->cache->entries);
  mg_free(l->cache);
  l->cache = NULL;
}

/* ---- serving -------------------------------------------------------------------------------------------- */

static int is_fresh(const struct mg_cached *e, uint64_t now_ms) {
  return e->reply && now_ms < e->fetched_ms + e->ttl_ms;
}

/* ttlMs downstream is what is left of it. */
static void serve(struct mg_call *call, struct mg_cached *e, uint64_t now_ms) {
  struct mg_splice sp;
  struct mg_buf left;
  mg_buf_init(&left, 32);
  mg_buf_addu(&left, e->fetched_ms + e->ttl_ms - now_ms);
  mg_splice_init(&sp);
  mg_splice_value(&sp, e->id, mg_text_slice(&call->id));
  mg_splice_value(&sp, e->ttl, mg_buf_slice(&left));
  call->core->stats.lists_cached++;
  mg_blob *reply = mg_blob_ref(e->reply);
  mg_call_forward(call, reply, mg_blob_slice(reply), &sp, 1, 200);
  mg_blob_unref(reply);
  mg_buf_done(&left);
}

static int may_be_cached(const struct mg_link *l, const struct mg_msg *m) {
  return l->modern && mg_method_is_list(m->method) && mg_list_kind(m->method) >= 0 && !mg_msg_has(m, MG_S_META_LOG);
}

static int wait_for(struct mg_call *call, struct mg_cached *e, uint64_t until_ms) {
  if (mg_heap_set(&call->core->gathers, &call->deadline, until_ms) != MCPGW_OK) return 0;
  return mg_call_wait(call, &e->waiters) == MCPGW_OK;
}

/* One refresh at a time: whoever comes while a reply that may be kept is fetched anew waits for that, once. */
int mg_cache_serve(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms) {
  if (!may_be_cached(l, m) || call->hands_out) return 0; /* a handle is for one context alone */
  struct mg_cached *e = find(l, call, m);
  if (!e || !e->ttl_ms) return 0;
  mg_list_del(&e->node);
  mg_list_add(&l->cache->used, &e->node);
  if (is_fresh(e, now_ms)) {
    serve(call, e, now_ms);
    return 1;
  }
  if (!e->asker) {
    e->asker = call;
    call->asks = e;
  } else if (e->asker != call && !call->refreshed) {
    call->refreshed = 1;
    return wait_for(call, e, now_ms + l->up->cfg->timeouts.list_ms);
  }
  return 0;
}

void mg_cache_asked(struct mg_call *call) {
  if (call->asks) release(call->asks);
}

/* ---- keeping -------------------------------------------------------------------------------------------- */

static uint64_t ttl_of(const struct mg_msg *m) {
  int64_t ttl = 0;
  struct mg_slice type = mg_msg_inner(m, MG_S_R_TYPE);
  if (m->kind != MG_RESULT || (type.len && !mg_slice_eqz(type, "complete"))) return 0;
  if (m->s[MG_S_R_TTL].type != MG_JSON_NUMBER || mg_span_i64(m->doc, m->s[MG_S_R_TTL], &ttl) != MCPGW_OK || ttl <= 0) return 0;
  return (uint64_t)ttl < TTL_CAP_MS ? (uint64_t)ttl : TTL_CAP_MS;
}

static void install(struct mg_cache *c, struct mg_cached *e, mg_blob *reply, const struct mg_msg *m, uint64_t now_ms) {
  forget_reply(c, e);
  e->reply = mg_blob_ref(reply);
  e->id = m->s[MG_S_ID];
  e->ttl = m->s[MG_S_R_TTL];
  e->ttl_ms = ttl_of(m);
  e->fetched_ms = now_ms;
  c->bytes += mg_blob_len(reply);
}

static void keep(struct mg_call *call, struct mg_link *l, const struct mg_msg *asked, mg_blob *reply, uint64_t now_ms) {
  unsigned char key[MG_HASH_LEN];
  struct mg_wire_fault why;
  struct mg_msg m;
  struct mg_cache *c = cache_of(l);
  if (!c || mg_wire_parse(mg_blob_slice(reply), &m, &why) != MCPGW_OK) return;
  int is_private = !mg_slice_eqz(mg_msg_inner(&m, MG_S_R_SCOPE), "public");
  if (key_of(call, asked, is_private, key) != MCPGW_OK) return;
  struct mg_cached *e = mg_map_get(c->entries, mg_slice(key, sizeof key));
  if (make_room(c, mg_blob_len(reply)) != MCPGW_OK) return;
  e = mg_map_get(c->entries, mg_slice(key, sizeof key)); /* room may have been made of it */
  if (!e && !(e = entry_new(c, key))) return;
  e->kind = mg_list_kind(asked->method);
  install(c, e, reply, &m, now_ms);
}

mg_blob *mg_cache_keep(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_splice *edits,
                       uint64_t now_ms) {
  struct mg_wire_fault why;
  struct mg_msg asked;
  mg_blob *reply;
  if (!mg_method_is_list(call->method) || !l->modern || !call->blob || call->hands_out || !ttl_of(m)) return NULL;
  if (call->created_ms <= l->changed_ms || mg_wire_parse(call->doc, &asked, &why) != MCPGW_OK || !may_be_cached(l, &asked))
    return NULL;
  if (mg_splice_flatten(edits, m->doc, NULL, &reply) != MCPGW_OK) return NULL;
  keep(call, l, &asked, reply, now_ms);
  return reply;
}
