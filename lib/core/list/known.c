/* core/list/known: owns what an upstream was when this gateway last ran: its era, its DiscoverResult, its public lists.
 * A cold start routes by it before the first probe has answered; the server is asked in the background, and its
 * answers replace it. It is never shown: what clients list is fetched first. Nothing private is written down. */
#include <string.h>

#include "core/listen/feed.h"
#include "crypt/seal.h"

#define MAGIC "mgk1"
#define SAVE_MS 10000 /* at most so often an upstream */
#define VALUE_MAX ((size_t)16 << 20)

/* The value: MAGIC, then parts: a letter, a length of 8 bytes in this machine's order, the bytes.
 *   e  era: "m" or "l"     h  the DiscoverResult message     0-3  one page of that list */

static void add_part(struct mg_buf *b, char letter, struct mg_slice bytes) {
  uint64_t len = bytes.len;
  mg_buf_addc(b, letter);
  mg_buf_add(b, &len, sizeof len);
  mg_buf_adds(b, bytes);
}

/* The part at *pos; 0 at the end, or where it makes no sense. */
static int next_part(struct mg_slice value, size_t *pos, char *letter, struct mg_slice *bytes) {
  uint64_t len;
  if (value.len - *pos < 1 + sizeof len) return 0;
  *letter = value.ptr[*pos];
  memcpy(&len, value.ptr + *pos + 1, sizeof len);
  *pos += 1 + sizeof len;
  if (len > value.len - *pos) return 0;
  *bytes = mg_slice_sub(value, *pos, (size_t)len);
  *pos += (size_t)len;
  return 1;
}

/* Which server it is: name and whereabouts, hashed; not its environment or headers, which hold secrets. */
static void key_of(const struct mg_upstream *up, unsigned char out[MG_HASH_LEN]) {
  struct mg_buf b;
  mg_buf_init(&b, (size_t)1 << 20);
  mg_buf_addz(&b, up->cfg->name);
  mg_buf_addc(&b, 0);
  if (up->cfg->url) mg_buf_addz(&b, up->cfg->url);
  for (const char *const *a = up->cfg->argv; a && *a; a++) {
    mg_buf_addc(&b, 0);
    mg_buf_addz(&b, *a);
  }
  mg_buf_addc(&b, 0);
  if (up->cfg->cwd) mg_buf_addz(&b, up->cfg->cwd);
  mg_sha256(mg_buf_slice(&b), out);
  mg_buf_done(&b);
}

void mg_core_set_known(struct mg_core *c, const struct mg_known_port *port) {
  c->known = *port;
}

/* ---- recalling ------------------------------------------------------------------------------------------ */

void mg_known_recall(struct mg_upstream *up) {
  unsigned char key[MG_HASH_LEN];
  struct mg_slice bytes;
  size_t pos = sizeof MAGIC - 1;
  char letter;
  if (up->known.asked || !up->core->known.recall) return;
  up->known.asked = 1;
  key_of(up, key);
  mg_blob *value = up->core->known.recall(up->core->known.arg, mg_slice(key, sizeof key));
  if (!value) return;
  struct mg_slice v = mg_blob_slice(value);
  if (!mg_slice_starts(v, MG_LIT(MAGIC)) || !next_part(v, &pos, &letter, &bytes) || letter != 'e' ||
      (up->cfg->era == MG_ERA_LEGACY && mg_slice_eqz(bytes, "m"))) {
    mg_blob_unref(value);
    return;
  }
  up->known.value = value;
  mg_log(up->core->log, MG_LOG_DEBUG, "upstream.known", "upstream", up->cfg->name, (char *)0);
}

void mg_known_drop(struct mg_upstream *up) {
  mg_blob_unref(up->known.value);
  up->known.value = NULL;
}

/* Pages become tables that are good for routing and stale for anything else. The message is parsed from a blob of
 * its own: what the table keeps of it must not keep all of the value. */
static void add_page(struct mg_link *l, int kind, struct mg_slice bytes, uint64_t now_ms) {
  struct mg_table *t = &l->lists[kind];
  struct mg_wire_fault why;
  struct mg_msg m;
  mg_blob *page = mg_blob_copy(l->core->budget, bytes.ptr, bytes.len);
  if (page && mg_wire_parse(mg_blob_slice(page), &m, &why) == MCPGW_OK && mg_table_add_page(l, kind, t, page, &m) == MCPGW_OK) {
    t->state = MG_TABLE_READY;
    t->stale = 1;
    t->fetched_ms = now_ms;
    t->is_private = 0;
  }
  mg_blob_unref(page);
}

void mg_known_lists(struct mg_link *l, uint64_t now_ms) {
  struct mg_slice bytes;
  size_t pos = sizeof MAGIC - 1;
  char letter;
  if (!l->up->known.value || !l->lists) return;
  struct mg_slice v = mg_blob_slice(l->up->known.value);
  while (next_part(v, &pos, &letter, &bytes))
    if (letter >= '0' && letter < '0' + MG_LIST_KINDS) add_page(l, letter - '0', bytes, now_ms);
}

mg_blob *mg_known_hello(const struct mg_link *l) {
  struct mg_slice bytes;
  size_t pos = sizeof MAGIC - 1;
  char letter;
  if (!l->up->known.value || !l->modern) return NULL;
  struct mg_slice v = mg_blob_slice(l->up->known.value);
  while (next_part(v, &pos, &letter, &bytes))
    if (letter == 'h') return mg_blob_copy(l->core->budget, bytes.ptr, bytes.len);
  return NULL;
}

/* ---- keeping --------------------------------------------------------------------------------------------- */

static void add_lists(struct mg_buf *b, const struct mg_link *l) {
  for (int k = 0; l->lists && k < MG_LIST_KINDS; k++) {
    const struct mg_table *t = &l->lists[k];
    if (t->state != MG_TABLE_READY || !t->generation || (t->is_private && l->modern)) continue;
    for (size_t i = 0; i < t->n_pages; i++) add_part(b, (char)('0' + k), mg_blob_slice(t->pages[i]));
  }
}

void mg_known_save(struct mg_link *l, uint64_t now_ms) {
  struct mg_upstream *up = l->up;
  unsigned char key[MG_HASH_LEN], digest[MG_HASH_LEN];
  struct mg_buf b;
  if (!l->core->known.keep || (up->known.saved_ms && now_ms - up->known.saved_ms < SAVE_MS)) return;
  if (l->modern && !mg_audience_is_common(l)) return;
  mg_buf_init(&b, VALUE_MAX);
  mg_buf_addz(&b, MAGIC);
  add_part(&b, 'e', l->modern ? MG_LIT("m") : MG_LIT("l"));
  if (l->modern && l->hello) add_part(&b, 'h', mg_blob_slice(l->hello));
  add_lists(&b, l);
  if (mg_buf_rc(&b) == MCPGW_OK) {
    mg_sha256(mg_buf_slice(&b), digest);
    key_of(up, key);
    if (memcmp(digest, up->known.saved, sizeof digest) != 0)
      l->core->known.keep(l->core->known.arg, mg_slice(key, sizeof key), mg_buf_slice(&b));
    memcpy(up->known.saved, digest, sizeof digest);
    up->known.saved_ms = now_ms;
  }
  mg_buf_done(&b);
}
