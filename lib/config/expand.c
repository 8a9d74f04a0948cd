/* config/expand: ${VAR}, ${VAR:-default} and ${env:VAR} in the strings of a document, out of the
 * environment that was handed in. A value is never expanded again and never reaches a text; the process's
 * own environment is never looked at. */
#include "config/build.h"
#include <string.h>

struct reference {
  struct mg_slice name, fallback; /* fallback.ptr NULL: none */
  size_t len;                     /* from '$' to '}' */
};

static int name_len(struct mg_slice s) {
  size_t n = 0;
  for (; n < s.len; n++) {
    char c = s.ptr[n];
    int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(n > 0 && c >= '0' && c <= '9')) break;
  }
  return (int)n;
}

/* s begins with "${". 1 when it is one of our three forms; everything else is left as it is. */
static int parse_reference(struct mg_slice s, struct reference *out) {
  size_t n = 2;
  if (mg_slice_starts(mg_slice_sub(s, n, s.len), MG_LIT("env:"))) n += 4;
  size_t len = (size_t)name_len(mg_slice_sub(s, n, s.len));
  if (len == 0) return 0;
  out->name = mg_slice_sub(s, n, len);
  out->fallback = mg_slice(NULL, 0);
  n += len;
  if (mg_slice_starts(mg_slice_sub(s, n, s.len), MG_LIT(":-"))) {
    size_t from = n += 2;
    while (n < s.len && s.ptr[n] != '}') n++;
    out->fallback = mg_slice_sub(s, from, n - from);
  }
  if (n >= s.len || s.ptr[n] != '}') return 0;
  out->len = n + 1;
  return 1;
}

const char *mg_config_getenv(const char *const *env, struct mg_slice name) {
  for (size_t i = 0; env && env[i]; i++)
    if (strncmp(env[i], name.ptr, name.len) == 0 && env[i][name.len] == '=') return env[i] + name.len + 1;
  return NULL;
}

static int add_value(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct reference *r) {
  int len = r->name.len > 64 ? 64 : (int)r->name.len;
  const char *value = mg_config_getenv(b->env, r->name);
  if (value && (value[0] || !r->fallback.ptr)) return mg_buf_addz(&b->scratch, value);
  if (!r->fallback.ptr)
    return mg_config_fail(b, at, "${%.*s} is not set in the environment; set it or write ${%.*s:-default}",
                          len, r->name.ptr, len, r->name.ptr);
  for (size_t i = 0; i + 1 < r->fallback.len; i++)
    if (r->fallback.ptr[i] == '$' && r->fallback.ptr[i + 1] == '{')
      return mg_config_fail(b, at, "the default of ${%.*s} holds another ${; defaults cannot nest", len,
                            r->name.ptr);
  int rc = mg_config_note(b, at, "${%.*s} is not set; its default is used", len, r->name.ptr);
  return rc != MCPGW_OK ? rc : mg_buf_adds(&b->scratch, r->fallback);
}

/* A "${" that is none of ours: shells and editors have more of them. */
static int add_foreign(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice rest) {
  if (mg_slice_starts(rest, MG_LIT("${input:")))
    return mg_config_fail(b, at, "${input:...} asks a person, which a gateway cannot; use ${env:NAME}");
  int rc =
      mg_config_note(b, at, "a ${ that is not ${NAME}, ${NAME:-default} or ${env:NAME} is left as it is");
  return rc != MCPGW_OK ? rc : mg_buf_addz(&b->scratch, "${");
}

static int expand_into_scratch(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice text) {
  int rc = MCPGW_OK;
  mg_buf_reset(&b->scratch);
  while (text.len > 0 && rc == MCPGW_OK) {
    struct reference r;
    const char *hit = memmem(text.ptr, text.len, "${", 2);
    size_t plain = hit ? (size_t)(hit - text.ptr) : text.len, used = 2;
    rc = mg_buf_adds(&b->scratch, mg_slice(text.ptr, plain));
    text = mg_slice_sub(text, plain, text.len);
    if (rc != MCPGW_OK || text.len == 0) break;
    if (parse_reference(text, &r)) {
      rc = add_value(b, at, &r);
      used = r.len;
    } else {
      rc = add_foreign(b, at, text);
    }
    text = mg_slice_sub(text, used, text.len);
  }
  return rc;
}

int mg_config_expand(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice text,
                     const char **out) {
  int rc = expand_into_scratch(b, at, text);
  if (rc == MCPGW_E_CONFIG) return rc;
  if (rc == MCPGW_E_LIMIT)
    return mg_config_fail(b, at, "longer than %zu bytes after expansion; make it shorter", MG_CFG_TEXT_BYTES);
  if (rc != MCPGW_OK) return mg_config_fail_mem(b, at);
  struct mg_slice done = mg_buf_slice(&b->scratch);
  if (done.len && memchr(done.ptr, '\0', done.len)) return mg_config_fail(b, at, "must not hold a NUL byte");
  char *copy = mg_config_dup(b->snap, done);
  if (!copy) return mg_config_fail_mem(b, at);
  *out = copy;
  return MCPGW_OK;
}

int mg_config_text(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node,
                   const char **out) {
  struct mg_slice text;
  if (mg_node_str(node, &text) != MCPGW_OK) return mg_config_fail(b, at, "must be a string");
  return mg_config_expand(b, at, text, out);
}

int mg_config_file_name(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *name,
                        const char **out) {
  const char *bad = mg_config_bad_path(mg_slice_z(name));
  if (bad) return mg_config_fail(b, at, "%s", bad);
  if (name[0] != '/' && b->base_dir && b->base_dir[0]) {
    name = mg_config_join(b->snap, mg_slice_z(b->base_dir), "/", mg_slice_z(name));
    if (!name) return mg_config_fail_mem(b, at);
  }
  *out = name;
  return MCPGW_OK;
}
