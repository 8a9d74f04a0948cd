/* config/build: the ground a snapshot stands on: the arena that owns every string and array of it, the
 * lists that grow inside, the place in the document and the texts of errors and notes.
 * It knows no key and no rule, and must never put a value of the document into a text. */
#include "config/build.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_MIN ((size_t)4096)
#define CHUNK_MAX ((size_t)256 * 1024)

struct mg_cfg_chunk {
  struct mg_cfg_chunk *next;
  size_t used, size; /* of data */
  max_align_t data[];
};

static const char *const empty_list[] = {NULL};

struct mg_cfg_snap *mg_config_snap(struct mg_config *c) {
  return (struct mg_cfg_snap *)c;
}

static struct mg_cfg_chunk *chunk_new(struct mg_cfg_snap *s, size_t need) {
  size_t size = s->chunks ? s->chunks->size * 2 : CHUNK_MIN;
  if (size > CHUNK_MAX) size = CHUNK_MAX;
  if (size < need) size = need;
  if (size > MG_CFG_ARENA_BYTES - s->arena_bytes) return NULL;
  struct mg_cfg_chunk *c = mg_calloc(1, sizeof *c + size);
  if (!c) return NULL;
  c->size = size;
  c->next = s->chunks;
  s->chunks = c;
  s->arena_bytes += size;
  return c;
}

void *mg_config_alloc(struct mg_cfg_snap *s, size_t size) {
  const size_t unit = sizeof(max_align_t);
  if (size > MG_CFG_ARENA_BYTES) return NULL;
  size = (size + unit - 1) / unit * unit;
  struct mg_cfg_chunk *c = s->chunks;
  if (!c || c->size - c->used < size) c = chunk_new(s, size);
  if (!c) return NULL;
  void *p = (char *)c->data + c->used;
  c->used += size;
  return p;
}

char *mg_config_dup(struct mg_cfg_snap *s, struct mg_slice text) {
  return mg_config_join(s, text, "", mg_slice_z(NULL));
}

char *mg_config_join(struct mg_cfg_snap *s, struct mg_slice a, const char *mid, struct mg_slice b) {
  size_t n = strlen(mid);
  if (a.len > MG_CFG_ARENA_BYTES || b.len > MG_CFG_ARENA_BYTES) return NULL;
  char *p = mg_config_alloc(s, a.len + n + b.len + 1);
  if (!p) return NULL;
  if (a.len) memcpy(p, a.ptr, a.len);
  memcpy(p + a.len, mid, n);
  if (b.len) memcpy(p + a.len + n, b.ptr, b.len);
  return p; /* the arena is zeroed, so it ends in NUL */
}

void mg_config_release(struct mg_cfg_snap *s) {
  if (!s) return;
  while (s->chunks) {
    struct mg_cfg_chunk *c = s->chunks;
    s->chunks = c->next;
    explicit_bzero(c->data, c->used);
    mg_free(c);
  }
  mg_map_free(s->pins);
  mg_free(s);
}

/* Room for one more of size bytes each: the array doubles inside the arena, the old one stays behind
 * until the snapshot goes (at most as much again as the last one). */
static void *grown(struct mg_cfg_snap *s, void *v, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return v;
  size_t want = *cap ? *cap * 2 : 8;
  void *p = mg_config_alloc(s, want * size);
  if (!p) return NULL;
  if (*cap) memcpy(p, v, *cap * size);
  *cap = want;
  return p;
}

int mg_config_add_server(struct mg_cfg_snap *s, struct mg_cfg_server **out) {
  if (s->pub.n_servers >= MG_CFG_SERVERS) return MCPGW_E_LIMIT;
  struct mg_cfg_server *v = grown(s, s->servers, s->pub.n_servers, &s->cap_servers, sizeof *v);
  if (!v) return MCPGW_E_NOMEM;
  s->pub.servers = s->servers = v;
  v += s->pub.n_servers;
  int rc = mg_config_defaults(s, &mg_config_server_keys, v);
  if (rc != MCPGW_OK) return rc;
  s->pub.n_servers++;
  *out = v;
  return MCPGW_OK;
}

int mg_config_list_add(struct mg_cfg_snap *s, struct mg_cfg_list *l, const char *text) {
  const char **v = grown(s, l->v, l->n + 1, &l->cap, sizeof *v); /* one more, for the NULL at the end */
  if (!v) return MCPGW_E_NOMEM;
  l->v = v;
  v[l->n++] = text;
  v[l->n] = NULL;
  return MCPGW_OK;
}

const char *const *mg_config_list_v(const struct mg_cfg_list *l) {
  return l->v ? (const char *const *)l->v : empty_list;
}

/* ---- one parse ------------------------------------------------------------------------------------------
 */
void mg_config_build_init(struct mg_cfg_build *b, struct mg_config *c, struct mg_err *err) {
  memset(b, 0, sizeof *b);
  b->snap = mg_config_snap(c);
  b->err = err;
  mg_buf_init(&b->scratch, MG_CFG_TEXT_BYTES);
}

void mg_config_build_done(struct mg_cfg_build *b) {
  if (b->scratch.ptr) explicit_bzero(b->scratch.ptr, b->scratch.cap);
  mg_buf_done(&b->scratch);
}

/* ---- where, and what to say ------------------------------------------------------------------------- */
struct mg_cfg_at mg_config_at_key(const struct mg_cfg_at *up, struct mg_slice key) {
  return (struct mg_cfg_at){up, key, 0};
}

struct mg_cfg_at mg_config_at_item(const struct mg_cfg_at *up, size_t index) {
  return (struct mg_cfg_at){up, {NULL, 0}, index};
}

static int plain_key(struct mg_slice key) {
  for (size_t i = 0; i < key.len; i++) {
    char c = key.ptr[i];
    int word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word && c != '_' && c != '-') return 0;
  }
  return key.len > 0;
}

/* The longest prefix of at most max bytes that does not end inside a UTF-8 sequence. */
static size_t cut_utf8(const char *text, size_t len, size_t max) {
  if (len <= max) return len;
  while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80) max--;
  return max;
}

/* Writes at out+used; what does not fit is cut. Returns the new length. */
static size_t print_frame(const struct mg_cfg_at *at, char *out, size_t used) {
  char frame[96];
  int len = (int)cut_utf8(at->key.ptr, at->key.len, 64);
  int n;
  if (!at->key.ptr) n = snprintf(frame, sizeof frame, "[%zu]", at->index);
  else if (plain_key(at->key)) n = snprintf(frame, sizeof frame, "%s%.*s", used ? "." : "", len, at->key.ptr);
  else n = snprintf(frame, sizeof frame, "[\"%.*s\"]", len, at->key.ptr);
  if (n < 0) return used;
  size_t fits = cut_utf8(frame, (size_t)n, MG_CFG_PATH_TEXT - 1 - used);
  memcpy(out + used, frame, fits);
  return used + fits;
}

void mg_config_at_text(const struct mg_cfg_at *at, char out[MG_CFG_PATH_TEXT]) {
  const struct mg_cfg_at *chain[16];
  size_t n = 0, used = 0;
  for (; at && n < sizeof chain / sizeof *chain; at = at->up) chain[n++] = at;
  while (n > 0) used = print_frame(chain[--n], out, used);
  out[used] = '\0';
  for (size_t i = 0; i < used; i++)
    if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f) out[i] = '?';
}

int mg_config_fail(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *format, ...) {
  char path[MG_CFG_PATH_TEXT], text[MG_ERR_MAX];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  mg_config_at_text(at, path);
  return mg_err_set(b->err, MCPGW_E_CONFIG, "%s%s%s", path, path[0] ? ": " : "", text);
}

int mg_config_fail_mem(struct mg_cfg_build *b, const struct mg_cfg_at *at) {
  if (b->snap->arena_bytes > MG_CFG_ARENA_BYTES - CHUNK_MAX)
    return mg_config_fail(b, at, "the configuration needs more than %zu bytes; make it smaller",
                          MG_CFG_ARENA_BYTES);
  return mg_err_set(b->err, MCPGW_E_NOMEM, "out of memory");
}

/* The last of MG_CFG_NOTES notes says that there are more; further ones are not kept. */
int mg_config_note(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *format, ...) {
  struct mg_cfg_snap *s = b->snap;
  char path[MG_CFG_PATH_TEXT], text[MG_ERR_MAX];
  va_list ap;
  if (s->pub.n_notes >= MG_CFG_NOTES) return MCPGW_OK;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  mg_config_at_text(at, path);
  if (s->pub.n_notes == MG_CFG_NOTES - 1) {
    path[0] = '\0';
    snprintf(text, sizeof text, "more than %d notes; the rest is left out", MG_CFG_NOTES);
  }
  struct mg_cfg_note *v = grown(s, s->notes, s->pub.n_notes, &s->cap_notes, sizeof *v);
  if (!v) return mg_config_fail_mem(b, at);
  s->pub.notes = s->notes = v;
  v += s->pub.n_notes;
  v->path = mg_config_dup(s, mg_slice_z(path));
  v->text = mg_config_dup(s, mg_slice_z(text));
  if (!v->path || !v->text) return mg_config_fail_mem(b, at);
  s->pub.n_notes++;
  return MCPGW_OK;
}
