/* core/listen/filter: owns the filters of subscriptions: three kinds of list and a set of resources. Pure data. */
#include "core/listen/feed.h"

#define TEXT_MAX ((size_t)64 << 10) /* of one URI */
#define URIS_MAX 65536
#define ENTRY_BYTES 80 /* of the map, for each */

static const char *const flag_names[] = {"toolsListChanged", "promptsListChanged", "resourcesListChanged"};
#define N_FLAGS (sizeof flag_names / sizeof flag_names[0])

int mg_filter_add_uri(struct mg_filter *f, struct mg_slice uri) {
  if (!f->uris && !(f->uris = mg_map_new(URIS_MAX))) return MCPGW_E_NOMEM;
  int rc = mg_map_put(f->uris, uri, f->uris);
  return rc == MCPGW_E_EXISTS ? MCPGW_OK : rc;
}

static int read_uris(struct mg_filter *f, struct mg_slice doc, struct mg_span array, int *odd) {
  struct mg_buf scratch;
  struct mg_span item;
  struct mg_slice uri;
  size_t pos = 0;
  int rc = MCPGW_OK;
  mg_buf_init(&scratch, TEXT_MAX);
  while (rc == MCPGW_OK && mg_json_item(doc, array, &pos, &item)) {
    mg_buf_reset(&scratch);
    if (item.type == MG_JSON_STRING && item.len <= TEXT_MAX && mg_span_text(doc, item, &scratch, &uri) == MCPGW_OK)
      rc = mg_filter_add_uri(f, uri);
    else *odd = 1;
  }
  mg_buf_done(&scratch);
  return rc;
}

static unsigned flag_called(struct mg_slice doc, struct mg_span key) {
  for (unsigned i = 0; i < N_FLAGS; i++)
    if (mg_span_streq(doc, key, mg_slice_z(flag_names[i]))) return 1u << i;
  return 0;
}

int mg_filter_read(struct mg_filter *f, struct mg_slice doc, struct mg_span object, int *odd) {
  struct mg_span key, value;
  size_t pos = 0;
  int rc = MCPGW_OK, strange = 0;
  while (rc == MCPGW_OK && mg_json_member(doc, object, &pos, &key, &value)) {
    unsigned flag = flag_called(doc, key);
    if (flag && value.type == MG_JSON_TRUE) f->flags |= flag;
    else if (!flag && value.type == MG_JSON_ARRAY && mg_span_streq(doc, key, MG_LIT("resourceSubscriptions")))
      rc = read_uris(f, doc, value, &strange);
    else if (!flag || value.type != MG_JSON_FALSE) strange = 1;
  }
  if (odd && strange) *odd = 1;
  return rc;
}

int mg_filter_add(struct mg_filter *f, const struct mg_filter *more) {
  struct mg_slice uri;
  size_t it = 0;
  int rc = MCPGW_OK;
  f->flags |= more->flags;
  while (rc == MCPGW_OK && more->uris && mg_map_next(more->uris, &it, &uri)) rc = mg_filter_add_uri(f, uri);
  return rc;
}

int mg_filter_common(struct mg_filter *f, const struct mg_filter *a, const struct mg_filter *b) {
  struct mg_slice uri;
  size_t it = 0;
  int rc = MCPGW_OK;
  f->flags |= a->flags & b->flags;
  while (rc == MCPGW_OK && a->uris && b->uris && mg_map_next(a->uris, &it, &uri))
    if (mg_map_get(b->uris, uri)) rc = mg_filter_add_uri(f, uri);
  return rc;
}

int mg_filter_covers(const struct mg_filter *f, const struct mg_filter *part) {
  struct mg_slice uri;
  size_t it = 0;
  if (part->flags & ~f->flags) return 0;
  while (part->uris && mg_map_next(part->uris, &it, &uri))
    if (!f->uris || !mg_map_get(f->uris, uri)) return 0;
  return 1;
}

size_t mg_filter_uris(const struct mg_filter *f) {
  return f->uris ? mg_map_count(f->uris) : 0;
}

size_t mg_filter_bytes(const struct mg_filter *f) {
  struct mg_slice uri;
  size_t it = 0, n = 0;
  while (f->uris && mg_map_next(f->uris, &it, &uri)) n += uri.len + ENTRY_BYTES;
  return n;
}

/* "This might be a sub-resource of the one that the client actually subscribed to" (schema, resources/updated):
 * the part of a path, a query, a fragment. */
static int is_part(struct mg_slice whole, struct mg_slice uri) {
  if (!whole.len || uri.len <= whole.len || !mg_slice_starts(uri, whole)) return 0;
  char next = uri.ptr[whole.len], last = whole.ptr[whole.len - 1];
  return last == '/' || next == '/' || next == '#' || next == '?';
}

int mg_filter_wants(const struct mg_filter *f, struct mg_slice uri) {
  struct mg_slice whole;
  size_t it = 0;
  if (!f->uris) return 0;
  if (mg_map_get(f->uris, uri)) return 2;
  while (mg_map_next(f->uris, &it, &whole))
    if (is_part(whole, uri)) return 1;
  return 0;
}

unsigned mg_filter_flag(int method) {
  switch (method) {
  case MG_M_N_TOOLS_CHANGED: return MG_WANT_TOOLS;
  case MG_M_N_PROMPTS_CHANGED: return MG_WANT_PROMPTS;
  case MG_M_N_RESOURCES_CHANGED: return MG_WANT_RESOURCES;
  default: return 0;
  }
}

void mg_filter_write(const struct mg_filter *f, struct mg_buf *b) {
  const char *sep = "";
  struct mg_slice uri;
  size_t it = 0;
  mg_buf_addc(b, '{');
  for (unsigned i = 0; i < N_FLAGS; i++) {
    if (!(f->flags & 1u << i)) continue;
    mg_buf_addz(b, sep);
    mg_buf_addc(b, '"');
    mg_buf_addz(b, flag_names[i]);
    mg_buf_addz(b, "\":true");
    sep = ",";
  }
  for (size_t n = 0; f->uris && mg_map_next(f->uris, &it, &uri); n++) {
    if (!n) mg_buf_addz(b, sep);
    mg_buf_addz(b, n ? "," : "\"resourceSubscriptions\":[");
    mg_buf_json_str(b, uri);
  }
  mg_buf_addz(b, mg_filter_uris(f) ? "]}" : "}");
}

void mg_filter_done(struct mg_filter *f) {
  mg_map_free(f->uris);
  f->uris = NULL;
  f->flags = 0;
}
