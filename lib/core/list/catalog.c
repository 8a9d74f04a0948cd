/* core/list/catalog: owns when what each link lists is fetched: walked to its end, one fetch at a time, never
 * on the path of a call whose list is known. A list belongs to its link, so one context never sees
 * another's. */
#include <string.h>

#include "core/listen/feed.h"
#include "crypt/seal.h"

#define TTL_CAP_MS 300000
#define ANNOUNCE_MS 10000
#define REFRESH_MS 10000 /* a list is fetched again on suspicion at most this often */
#define CURSOR_MAX ((size_t)65536)

struct mg_load { /* a fetch under way: pages collect here and replace the table at the end */
  struct mg_link *link;
  int kind;
  struct mg_table *table; /* who waits for it waits here; the contents may turn out to belong elsewhere */
  char *principal;        /* for whom it was asked; NULL: the link is one caller's anyway */
  struct mg_table next;
  char *cursor;      /* raw JSON of the last nextCursor */
  struct mg_map *cursors; /* hashes of all so far */
  uint64_t asked_ms, until_ms; /* until: of the whole walk: a server may not drip a thousand pages */
  unsigned attempt;  /* at the page under way */
  struct mg_heap_node again;
  int outdated;      /* the server said meanwhile that the list changes: what comes may be older */
};

static const int list_method[MG_LIST_KINDS] = {MG_M_TOOLS_LIST, MG_M_PROMPTS_LIST, MG_M_RESOURCES_LIST,
                                               MG_M_TEMPLATES_LIST};

static const uint32_t cap_of[MG_LIST_KINDS] = {MG_CAP_TOOLS, MG_CAP_PROMPTS, MG_CAP_RESOURCES, MG_CAP_RESOURCES};

int mg_list_kind(int method) {
  switch (method) {
  case MG_M_TOOLS_LIST:
  case MG_M_N_TOOLS_CHANGED: return MG_LIST_TOOLS;
  case MG_M_PROMPTS_LIST:
  case MG_M_N_PROMPTS_CHANGED: return MG_LIST_PROMPTS;
  case MG_M_RESOURCES_LIST:
  case MG_M_N_RESOURCES_CHANGED: return MG_LIST_RESOURCES;
  case MG_M_TEMPLATES_LIST: return MG_LIST_TEMPLATES;
  default: return -1;
  }
}

static void load_free(struct mg_load *load) {
  if (!load) return;
  mg_table_clear(&load->next);
  mg_heap_del(&load->link->core->loads, &load->again);
  mg_free(load->cursor);
  mg_map_free(load->cursors);
  mg_free(load->principal);
  mg_free(load);
}

void mg_catalog_done(struct mg_link *l) {
  for (int k = 0; k < MG_LIST_KINDS; k++) {
    struct mg_list *at = NULL;
    for (struct mg_table *t; (t = mg_audience_next(l, k, &at));) {
      mg_table_clear(t);
      load_free(t->load);
      t->load = NULL;
    }
  }
  mg_audience_done(l);
  mg_free(l->lists);
  l->lists = NULL;
}

void mg_catalog_stale(struct mg_link *l, int kind) {
  struct mg_list *at = NULL;
  for (struct mg_table *t; (t = mg_audience_next(l, kind, &at));) t->stale = 1;
  mg_cache_drop(l, kind);
}

int mg_catalog_suspect(struct mg_link *l, int kind, const struct mg_call *call, uint64_t now_ms) {
  struct mg_table *t = mg_catalog_table(l, kind, call);
  if (t->state != MG_TABLE_READY || now_ms - t->refreshed_ms < REFRESH_MS) return 0;
  t->refreshed_ms = now_ms;
  mg_catalog_stale(l, kind);
  return 1;
}

void mg_catalog_changed(struct mg_link *l, int kind, uint64_t now_ms) {
  struct mg_list *at = NULL;
  l->changed_ms = now_ms;
  mg_catalog_stale(l, kind);
  for (struct mg_table *t; (t = mg_audience_next(l, kind, &at));) {
    t->told = 1;
    if (t->load) t->load->outdated = 1;
    else t->settled_ms = t->asked_ms = 0; /* no call may take what was fetched in this very millisecond for its own */
  }
}

static int same_items(const struct mg_table *a, const struct mg_table *b) {
  size_t i = 0;
  while (i < a->n && i < b->n && mg_slice_eq(a->items[i].raw, b->items[i].raw)) i++;
  return i == a->n && i == b->n;
}

/* Clients that were not told by the upstream hear it from us; not often, for there are servers whose lists are
 * never twice the same. */
static void announce(struct mg_link *l, int kind, struct mg_table *t, uint64_t now_ms) {
  static const unsigned flag[MG_LIST_KINDS] = {MG_WANT_TOOLS, MG_WANT_PROMPTS, MG_WANT_RESOURCES, MG_WANT_RESOURCES};
  if (t->told || (t->announced_ms && now_ms - t->announced_ms < ANNOUNCE_MS)) return;
  t->announced_ms = now_ms;
  if (l->modern) mg_feed_changed(l->up, flag[kind]);
  for (struct mg_list *n = l->binds.next; !l->modern && n != &l->binds; n = n->next) {
    struct mg_ctx *ctx = mg_bind_of(n)->ctx;
    if (ctx->view.n > 1 || l->caps & cap_of[kind] * MG_CAP_CHANGES) mg_ctx_emit_changed(ctx, kind);
  }
}

/* The new contents replace the old ones; waiters and history stay. Cursors hold as long as nothing changed. */
static void install(struct mg_link *l, int kind, struct mg_table *t, struct mg_table *next, uint64_t asked_ms, uint64_t now_ms) {
  int known = t->generation != 0, changed = !known || !same_items(t, next);
  mg_table_clear(t);
  t->pages = next->pages;
  t->n_pages = next->n_pages;
  t->bytes = next->bytes;
  t->items = next->items;
  t->n = next->n;
  t->cap = next->cap;
  t->by_key = next->by_key;
  t->by_exposed = next->by_exposed;
  t->ttl_ms = next->ttl_ms;
  t->has_ttl = next->has_ttl;
  t->is_private = next->is_private;
  memset(next, 0, sizeof *next);
  t->state = MG_TABLE_READY;
  t->stale = t->failed = 0;
  t->fetched_ms = t->settled_ms = now_ms;
  t->asked_ms = asked_ms;
  if (changed) t->generation = ++l->core->generations;
  if (changed && known) announce(l, kind, t, now_ms);
  t->told = 0;
}

/* ---- fetching ---------------------------------------------------------------------------------------------- */

static int fetch_page(struct mg_load *load, uint64_t now_ms);

/* The table that a fetched list belongs to. NULL: it is private, and there is no room for it. */
static struct mg_table *belongs(struct mg_link *l, int kind, const char *principal, const struct mg_table *next) {
  struct mg_table *common = &l->lists[kind];
  if (!mg_audience_is_common(l)) return common;
  if (next->is_private && !common->is_private) { /* nobody reads the common one from here on */
    mg_table_clear(common);
    common->state = MG_TABLE_UNKNOWN;
    common->settled_ms = common->asked_ms = 0;
  }
  common->is_private = next->is_private;
  return !next->is_private ? common : principal ? mg_audience_own(l, kind, principal) : NULL;
}

static void failed(struct mg_load *load, const char *why, uint64_t now_ms) {
  struct mg_table *t = load->table;
  t->state = t->n ? MG_TABLE_READY : MG_TABLE_FAILED; /* what was known is still good for routing */
  t->stale = t->failed = 1;
  t->settled_ms = now_ms;
  mg_log(load->link->core->log, MG_LOG_WARN, "list.failed", "upstream", load->link->up->cfg->name, "list",
         mg_method_name(list_method[load->kind]), "reason", why, (char *)0);
}

/* Who came after the server had said that the list changes wants one that was asked for after that. */
static uint64_t asked_at(const struct mg_load *load) {
  uint64_t changed = load->link->changed_ms;
  return load->outdated && load->asked_ms >= changed ? changed - 1 : load->asked_ms;
}

static void settle(struct mg_load *load, const char *failure, uint64_t now_ms) {
  struct mg_link *l = load->link;
  struct mg_table *t = load->table, *to;
  t->load = NULL;
  if (failure) {
    failed(load, failure, now_ms);
  } else if ((to = belongs(l, load->kind, load->principal, &load->next))) {
    install(l, load->kind, to, &load->next, asked_at(load), now_ms);
    to->stale = load->outdated;
    if (t != to && t->state == MG_TABLE_LOADING) t->state = MG_TABLE_UNKNOWN;
    l->core->stats.lists_fetched++;
    mg_known_drop(l->up);
    mg_known_save(l, now_ms);
  } else if (load->principal) {
    failed(load, "too many callers have lists of their own", now_ms);
  }
  load_free(load);
  mg_wake(&t->waiters, now_ms);
}

static void next_page(struct mg_load *load, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_slice cursor = mg_msg_raw(m, MG_S_R_CURSOR);
  unsigned char hash[MG_HASH_LEN];
  mg_sha256(cursor, hash);
  if (!load->cursors) load->cursors = mg_map_new(MG_MAX_PAGES);
  int rc = load->cursors ? mg_map_put(load->cursors, mg_slice(hash, sizeof hash), load) : MCPGW_E_NOMEM;
  if (rc == MCPGW_E_EXISTS) {
    settle(load, "the same cursor came twice", now_ms);
    return;
  }
  mg_free(load->cursor);
  load->cursor = rc == MCPGW_OK && cursor.len <= CURSOR_MAX ? mg_memdup(cursor.ptr, cursor.len) : NULL;
  if (!load->cursor || fetch_page(load, now_ms) != MCPGW_OK) settle(load, "the next page could not be asked for", now_ms);
}

static void on_page(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  struct mg_load *load = leg->arg;
  (void)status;
  if (m->kind == MG_ERROR) {
    settle(load, "the upstream refused it", now_ms);
    return;
  }
  load->attempt = 0;
  int rc = mg_table_add_page(load->link, load->kind, &load->next, bytes, m);
  if (rc == MCPGW_E_LIMIT) { /* cut, and said so: the part that fits is served */
    mg_log(load->link->core->log, MG_LOG_WARN, "list.cut", "upstream", load->link->up->cfg->name, "list",
           mg_method_name(list_method[load->kind]), (char *)0);
    settle(load, NULL, now_ms);
  } else if (rc != MCPGW_OK) {
    settle(load, "it is no list", now_ms);
  } else if (m->s[MG_S_R_CURSOR].type != MG_JSON_STRING) {
    settle(load, NULL, now_ms);
  } else {
    next_page(load, m, now_ms);
  }
}

/* Who waits for it waits list_ms at most: it goes again within that, or not. */
static void on_page_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  struct mg_load *load = leg->arg;
  struct mg_link *l = load->link;
  uint64_t at, until = load->asked_ms + l->up->cfg->timeouts.list_ms;
  if (l->state == MG_LINK_READY && mg_retry_load(l->up, list_method[load->kind], f, load->attempt, until, now_ms, &at) &&
      mg_heap_set(&l->core->loads, &load->again, at) == MCPGW_OK)
    return;
  settle(load, f->text ? f->text : "no answer", now_ms);
}

void mg_catalog_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&c->loads)) && top->at_ms <= now_ms) {
    struct mg_load *load = MG_CONTAINER(top, struct mg_load, again);
    mg_heap_del(&c->loads, top);
    if (fetch_page(load, now_ms) != MCPGW_OK) settle(load, "it could not be asked for again", now_ms);
  }
}

static const struct mg_leg_ops page_ops = {on_page, on_page_fail};

static int build_list(struct mg_load *load, uint64_t id, struct mg_buf *b) {
  mg_buf_addz(b, "{\"jsonrpc\":\"2.0\",\"id\":");
  mg_buf_addu(b, id);
  mg_buf_addz(b, ",\"method\":\"");
  mg_buf_addz(b, mg_method_name(list_method[load->kind]));
  mg_buf_addz(b, "\",\"params\":{");
  if (load->link->modern) {
    mg_buf_addz(b, "\"_meta\":{");
    mg_build_modern_meta(b, MG_LIT(MG_GATEWAY_INFO), mg_slice(NULL, 0));
    mg_buf_addz(b, load->cursor ? "}," : "}");
  }
  if (load->cursor) {
    mg_buf_addz(b, "\"cursor\":");
    mg_buf_addz(b, load->cursor);
  }
  mg_buf_addz(b, "}}");
  return mg_buf_rc(b);
}

static int fetch_page(struct mg_load *load, uint64_t now_ms) {
  struct mg_link *l = load->link;
  const mcpgw_header header = {"Mcp-Method", mg_method_name(list_method[load->kind])};
  struct mg_leg *leg;
  struct mg_buf b;
  if (l->state != MG_LINK_READY) return MCPGW_E_CLOSED;
  if (now_ms >= load->until_ms) return MCPGW_E_TIMEOUT;
  int rc = mg_leg_new(l, NULL, list_method[load->kind], &page_ops, load, l->up->cfg->timeouts.list_ms, now_ms, &leg);
  if (rc != MCPGW_OK) return rc;
  mg_buf_init(&b, 2 * CURSOR_MAX);
  rc = build_list(load, leg->id, &b);
  mg_blob *bytes = rc == MCPGW_OK ? mg_blob_copy(l->core->budget, b.ptr, b.len) : NULL;
  mg_buf_done(&b);
  rc = bytes ? mg_leg_send(leg, bytes, &header, l->modern ? 1 : 0) : MCPGW_E_NOMEM;
  mg_blob_unref(bytes);
  if (rc != MCPGW_OK) mg_leg_free(leg);
  load->attempt++;
  return rc;
}

/* ---- asking -------------------------------------------------------------------------------------------------- */

/* A legacy server that says when a list changes, on a channel that cannot be lost without the link, lets us
 * keep it until it does. */
static int is_told(const struct mg_link *l, int kind) {
  return !l->modern && !l->cancel_closes && l->caps & cap_of[kind] * MG_CAP_CHANGES;
}

uint64_t mg_catalog_left(const struct mg_link *l, int kind, const struct mg_table *t, uint64_t now_ms) {
  uint64_t ttl = t->has_ttl ? t->ttl_ms : is_told(l, kind) ? TTL_CAP_MS : 0, age = now_ms - t->fetched_ms;
  if (ttl > TTL_CAP_MS) ttl = TTL_CAP_MS;
  return t->stale || age >= ttl ? 0 : ttl - age;
}

static int fresh_enough(const struct mg_link *l, int kind, const struct mg_table *t, const struct mg_call *call,
                        uint64_t now_ms) {
  uint64_t at = t->failed ? t->settled_ms : t->asked_ms;
  if (at && at >= call->created_ms) return 1; /* fetched for this very call */
  return mg_catalog_left(l, kind, t, now_ms) > 0;
}

/* call: who asks; NULL: the gateway itself, to whom a private list is of no use. */
static int start(struct mg_link *l, int kind, struct mg_table *t, const struct mg_call *call, uint64_t now_ms) {
  struct mg_fault why;
  if (mg_breaker_ask(l->up, l->ctx, now_ms, &why) != MCPGW_OK) return MCPGW_E_CLOSED; /* what was known is served meanwhile */
  struct mg_load *load = mg_calloc(1, sizeof *load);
  if (!load) return MCPGW_E_NOMEM;
  load->link = l;
  if (call && mg_audience_is_common(l) && !(load->principal = mg_strdup(mg_call_principal(call)))) {
    load_free(load);
    return MCPGW_E_NOMEM;
  }
  load->table = t;
  load->kind = kind;
  load->asked_ms = now_ms;
  load->until_ms = now_ms + l->up->cfg->timeouts.total_ms;
  int rc = fetch_page(load, now_ms);
  if (rc != MCPGW_OK) {
    load_free(load);
    return rc;
  }
  t->load = load;
  if (t->state != MG_TABLE_READY) t->state = MG_TABLE_LOADING;
  return MCPGW_OK;
}

void mg_catalog_verify(struct mg_link *l, uint64_t now_ms) {
  for (int k = 0; l->lists && k < MG_LIST_KINDS; k++) {
    struct mg_table *t = &l->lists[k];
    if (t->state == MG_TABLE_READY && !t->generation && !t->load && mg_link_has_list(l, k)) start(l, k, t, NULL, now_ms);
  }
}

int mg_catalog_need(struct mg_link *l, int kind, int fresh, struct mg_call *call, uint64_t now_ms) {
  struct mg_table *t = mg_catalog_table(l, kind, call);
  if (t->state == MG_TABLE_READY && (!fresh || (!t->load && fresh_enough(l, kind, t, call, now_ms)))) return MCPGW_OK;
  if (t->state == MG_TABLE_FAILED && t->settled_ms >= call->created_ms) return MCPGW_E_IO;
  int rc = t->load ? MCPGW_OK : start(l, kind, t, call, now_ms);
  if (rc == MCPGW_OK) rc = mg_call_wait(call, &t->waiters);
  return rc == MCPGW_OK ? MCPGW_E_AGAIN : rc;
}

/* ---- lists that pass by ------------------------------------------------------------------------------------------ */

static int is_invalid(struct mg_link *l, struct mg_slice doc, struct mg_span item, struct mg_slice name) {
  struct mg_params p = {NULL, 0};
  struct mg_span schema;
  const char *why = NULL;
  if (!l->modern || !mg_json_get(doc, item, "inputSchema", &schema)) return 0;
  int bad = mg_params_collect(doc, schema, &p, &why) == MCPGW_E_INVALID;
  mg_params_done(&p);
  if (bad) mg_tool_refused(l, name, why);
  return bad;
}

static int is_left_out(struct mg_link *l, int kind, struct mg_slice doc, struct mg_span item) {
  struct mg_buf text;
  struct mg_span at;
  struct mg_slice name;
  int out = 0;
  if (item.type != MG_JSON_OBJECT || !mg_json_get(doc, item, "name", &at)) return 0;
  mg_buf_init(&text, 65536);
  if (mg_span_text(doc, at, &text, &name) == MCPGW_OK)
    out = (kind == MG_LIST_TOOLS && is_invalid(l, doc, item, name)) || mg_pin_blocks(l, kind, name, mg_span_slice(doc, item));
  mg_buf_done(&text);
  return out;
}

/* Writes the kept items of an array when some are to be left out. */
static void leave_out(struct mg_link *l, int kind, const struct mg_msg *m, int slot, struct mg_buf *text,
                      struct mg_splice *edits) {
  struct mg_span item;
  size_t pos = 0, dropped = 0, kept = 0;
  mg_buf_addc(text, '[');
  while (mg_json_item(m->doc, m->s[slot], &pos, &item)) {
    if (is_left_out(l, kind, m->doc, item)) {
      dropped++;
      continue;
    }
    if (kept++) mg_buf_addc(text, ',');
    mg_buf_adds(text, mg_span_slice(m->doc, item));
  }
  mg_buf_addc(text, ']');
  if (!dropped) return;
  mg_splice_value(edits, m->s[slot], mg_buf_rc(text) == MCPGW_OK ? mg_buf_slice(text) : MG_LIT("[]"));
}

/* Is there anything that could have to be left out? */
static int needs_a_look(const struct mg_link *l, struct mg_slice all) {
  if (l->core->config->pin.mode != MG_PIN_OFF) return 1;
  return l->modern && (memmem(all.ptr, all.len, "x-mcp-h", 7) || memmem(all.ptr, all.len, "\\u00", 4));
}

void mg_catalog_learn(struct mg_link *l, int kind, const struct mg_call *call, mg_blob *bytes, const struct mg_msg *m, int whole,
                      struct mg_buf *text, struct mg_splice *edits, uint64_t now_ms) {
  int slot = kind == MG_LIST_TOOLS ? MG_S_R_TOOLS : MG_S_R_PROMPTS;
  struct mg_table next = {0}, *to;
  if (m->s[slot].type != MG_JSON_ARRAY) return;
  if (needs_a_look(l, mg_msg_raw(m, slot))) leave_out(l, kind, m, slot, text, edits);
  if (!l->lists || !whole || m->s[MG_S_R_CURSOR].type == MG_JSON_STRING || mg_catalog_table(l, kind, call)->load) return;
  if (call->created_ms <= l->changed_ms) return; /* the server has said since that it changes: it may be older */
  if (mg_table_add_page(l, kind, &next, bytes, m) == MCPGW_OK && (to = belongs(l, kind, mg_call_principal(call), &next)))
    install(l, kind, to, &next, call->created_ms, now_ms);
  mg_table_clear(&next);
}
