/* wire/params: collects the x-mcp-header annotations of a tool's inputSchema and judges them
 * (2026-07-28, transports/streamable-http, "Schema Extension"). A schema is walked once when its list is
 * read, never on a call. */
#include <string.h>

#include "base/mem.h"
#include "mcpgw/types.h"
#include "wire/headers.h"

#define WALK_DEPTH 64

struct walk {
  struct mg_slice doc;
  struct mg_params *out;
  const char *why;
  struct mg_buf path; /* property names joined by NUL */
};

static int tchar(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c && strchr("!#$%&'*+-.^_`|~", c));
}

void mg_params_done(struct mg_params *p) {
  if (!p) return;
  for (size_t i = 0; i < p->n; i++) {
    mg_free(p->v[i].header);
    mg_free(p->v[i].path);
  }
  mg_free(p->v);
  p->v = NULL;
  p->n = 0;
}

static int bad(struct walk *w, const char *why) {
  w->why = why;
  return MCPGW_E_INVALID;
}

static int param_type(struct walk *w, struct mg_span schema) {
  struct mg_span type;
  if (!mg_json_get(w->doc, schema, "type", &type) || type.type != MG_JSON_STRING) return 0;
  struct mg_slice t = mg_span_inner(w->doc, type);
  if (mg_slice_eqz(t, "string")) return MG_PARAM_STRING;
  if (mg_slice_eqz(t, "integer")) return MG_PARAM_INTEGER;
  if (mg_slice_eqz(t, "boolean")) return MG_PARAM_BOOLEAN;
  return 0;
}

static int add(struct walk *w, struct mg_span schema, struct mg_span mark) {
  if (mark.type != MG_JSON_STRING || mark.escaped) return bad(w, "x-mcp-header must be a plain string");
  struct mg_slice name = mg_span_inner(w->doc, mark);
  if (!name.len || name.len > 128) return bad(w, "x-mcp-header is empty or longer than 128 bytes");
  for (size_t i = 0; i < name.len; i++)
    if (!tchar((unsigned char)name.ptr[i])) return bad(w, "x-mcp-header is not a header name");
  int type = param_type(w, schema);
  if (!type) return bad(w, "x-mcp-header marks a property that is no string, integer or boolean");
  for (size_t i = 0; i < w->out->n; i++)
    if (mg_slice_ieqz(name, w->out->v[i].header)) return bad(w, "x-mcp-header names one header twice");
  if (w->out->n == MG_PARAMS_MAX) return bad(w, "more than 64 x-mcp-header annotations");
  struct mg_param *v = mg_realloc(w->out->v, (w->out->n + 1) * sizeof *v);
  if (!v) return MCPGW_E_NOMEM;
  w->out->v = v;
  struct mg_param *p = &v[w->out->n];
  p->header = mg_memdup(name.ptr, name.len);
  p->path = mg_alloc(w->path.len + 1);
  p->type = type;
  if (!p->header || !p->path) {
    mg_free(p->header);
    mg_free(p->path);
    return MCPGW_E_NOMEM;
  }
  if (w->path.len) memcpy(p->path, w->path.ptr, w->path.len);
  p->path[w->path.len] = 0;
  w->out->n++;
  return MCPGW_OK;
}

/* No annotation may stand anywhere but on the chain of `properties`: looks for stray ones. */
static int stray(struct walk *w, struct mg_span v, int depth) {
  struct mg_span key, item;
  size_t pos = 0;
  if (depth > WALK_DEPTH) return bad(w, "inputSchema is nested too deeply");
  if (v.type == MG_JSON_ARRAY) {
    while (mg_json_item(w->doc, v, &pos, &item)) {
      int rc = stray(w, item, depth + 1);
      if (rc != MCPGW_OK) return rc;
    }
  }
  if (v.type != MG_JSON_OBJECT) return MCPGW_OK;
  while (mg_json_member(w->doc, v, &pos, &key, &item)) {
    if (mg_span_streq(w->doc, key, MG_LIT("x-mcp-header")))
      return bad(w, "x-mcp-header stands where it is not reachable through properties alone");
    int rc = stray(w, item, depth + 1);
    if (rc != MCPGW_OK) return rc;
  }
  return MCPGW_OK;
}

static int schema(struct walk *w, struct mg_span s, int depth);

static int properties(struct walk *w, struct mg_span props, int depth) {
  struct mg_span key, value;
  size_t pos = 0;
  if (props.type != MG_JSON_OBJECT) return MCPGW_OK;
  while (mg_json_member(w->doc, props, &pos, &key, &value)) {
    size_t mark = w->path.len;
    int rc = mg_span_unescape(w->doc, key, &w->path);
    /* a path is names joined by NUL: one that is empty or holds NUL cannot be told, so nothing is marked there */
    int usable = rc == MCPGW_OK && w->path.len > mark && !memchr(w->path.ptr + mark, 0, w->path.len - mark);
    mg_buf_addc(&w->path, 0);
    if (rc == MCPGW_OK) rc = mg_buf_rc(&w->path);
    if (rc == MCPGW_OK && !usable) rc = stray(w, value, depth + 1);
    else if (rc == MCPGW_OK && value.type == MG_JSON_OBJECT) rc = schema(w, value, depth + 1);
    w->path.len = mark;
    if (rc != MCPGW_OK) return rc;
  }
  return MCPGW_OK;
}

static int schema(struct walk *w, struct mg_span s, int depth) {
  struct mg_span key, value;
  size_t pos = 0;
  if (depth > WALK_DEPTH) return bad(w, "inputSchema is nested too deeply");
  while (mg_json_member(w->doc, s, &pos, &key, &value)) {
    int rc;
    if (mg_span_streq(w->doc, key, MG_LIT("x-mcp-header")))
      rc = depth ? add(w, s, value) : bad(w, "x-mcp-header stands at the root of inputSchema");
    else if (mg_span_streq(w->doc, key, MG_LIT("properties"))) rc = properties(w, value, depth);
    else rc = stray(w, value, depth + 1);
    if (rc != MCPGW_OK) return rc;
  }
  return MCPGW_OK;
}

int mg_params_collect(struct mg_slice doc, struct mg_span s, struct mg_params *out, const char **why) {
  struct walk w = {.doc = doc, .out = out};
  out->v = NULL;
  out->n = 0;
  if (s.type != MG_JSON_OBJECT || !memmem(doc.ptr + s.off, s.len, "x-mcp-h", 7)) {
    /* no annotation, unless it is written with escapes */
    if (s.type != MG_JSON_OBJECT || !memmem(doc.ptr + s.off, s.len, "\\u00", 4)) return MCPGW_OK;
  }
  mg_buf_init(&w.path, 4096);
  int rc = schema(&w, s, 0);
  mg_buf_done(&w.path);
  if (rc != MCPGW_OK) {
    mg_params_done(out);
    if (rc == MCPGW_E_LIMIT || rc == MCPGW_E_PARSE) {
      w.why = "inputSchema has unusable property names";
      rc = MCPGW_E_INVALID;
    }
    if (why) *why = w.why;
  }
  return rc;
}
