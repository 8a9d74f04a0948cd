/* config/server: one entry of "mcpServers" (or VS Code's "servers"), in the spellings the ecosystem has for
 * it: which kind it is, its command or URL, its slug. Foreign keys are ignored and noted, since the file
 * belongs to other programs too; our own sit under the entry's "gateway", where keys.c is strict. */
#include "base/id.h"
#include "config/build.h"
#include <string.h>

struct entry {
  const struct mg_node *node;
  struct mg_slice name;
  int kind;
};

/* ---- names ------------------------------------------------------------------------------------------ */
static size_t make_slug(struct mg_slice name, char *out) {
  size_t n = 0;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    int keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (keep || c == '_' || c == '-') out[n++] = c;
  }
  return n;
}

/* Whether tools of `longer` could have the names of tools of `shorter`: a__b__x is x of a__b, or b__x of a. */
static int begins(struct mg_slice shorter, struct mg_slice longer, const char *separator) {
  struct mg_slice rest = mg_slice_sub(longer, shorter.len, longer.len);
  return separator && mg_slice_starts(longer, shorter) && mg_slice_starts(rest, mg_slice_z(separator));
}

int mg_config_name_server(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_server *sv,
                          struct mg_slice name) {
  char slug[MG_CFG_NAME_BYTES];
  if (name.len == 0 || name.len > MG_CFG_NAME_BYTES)
    return mg_config_fail(b, at, "the name of a server must be 1 to %d bytes long", MG_CFG_NAME_BYTES);
  if (!mg_utf8_valid(name)) return mg_config_fail(b, at, "the name of a server must be UTF-8");
  struct mg_slice s = mg_slice(slug, make_slug(name, slug));
  if (s.len == 0) return mg_config_fail(b, at, "the name of a server needs at least one of A-Z a-z 0-9 _ -");
  for (size_t i = 0; i < b->snap->pub.n_servers; i++) {
    const struct mg_cfg_server *other = &b->snap->servers[i];
    if (other == sv) continue;
    struct mg_slice o = mg_slice_z(other->slug);
    if (mg_slice_eq(s, o))
      return mg_config_fail(b, at, "the name reduces to \"%s\", as that of server \"%s\" does; rename one",
                            other->slug, other->name);
    if (begins(s, o, b->snap->pub.separator) || begins(o, s, b->snap->pub.separator))
      return mg_config_fail(b, at,
                            "its tools could have the names of those of server \"%s\"; rename one, or choose "
                            "another gateway.separator",
                            other->name);
  }
  sv->name = mg_config_dup(b->snap, name);
  sv->slug = mg_config_dup(b->snap, s);
  return sv->name && sv->slug ? MCPGW_OK : mg_config_fail_mem(b, at);
}

/* ---- kind ------------------------------------------------------------------------------------------- */
/* "streamable-http", "streamableHttp" and "STREAMABLE_HTTP" are one word. 0: none of ours. */
static int kind_of_word(struct mg_slice word) {
  char flat[20];
  size_t n = 0;
  for (size_t i = 0; i < word.len; i++) {
    if (word.ptr[i] == '-' || word.ptr[i] == '_') continue;
    if (n == sizeof flat) return 0;
    flat[n++] = word.ptr[i];
  }
  struct mg_slice f = mg_slice(flat, n);
  if (mg_slice_ieqz(f, "stdio")) return MG_SERVER_STDIO;
  if (mg_slice_ieqz(f, "http") || mg_slice_ieqz(f, "streamablehttp")) return MG_SERVER_HTTP;
  return mg_slice_ieqz(f, "sse") ? MG_SERVER_SSE : 0;
}

/* *out stays 0 when none of the four spellings is there. */
static int named_kind(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *node,
                      int *out) {
  static const char *const keys[] = {"type", "transportType", "transport", "protocol", NULL};
  for (size_t i = 0; keys[i]; i++) {
    struct mg_cfg_at at = mg_config_at_key(up, mg_slice_z(keys[i]));
    const struct mg_node *value = mg_node_get(node, keys[i]);
    struct mg_slice word;
    if (!value) continue;
    int kind = mg_node_str(value, &word) == MCPGW_OK ? kind_of_word(word) : 0;
    if (!kind) return mg_config_fail(b, &at, "must be one of \"stdio\", \"http\" (streamable-http), \"sse\"");
    if (*out && *out != kind)
      return mg_config_fail(b, &at, "contradicts what stands before; keep only \"type\"");
    *out = kind;
  }
  return MCPGW_OK;
}

static const char *url_key(const struct mg_node *node) {
  static const char *const keys[] = {"httpUrl", "url", "serverUrl"};
  for (size_t i = 0; i < 3; i++)
    if (mg_node_get(node, keys[i])) return keys[i];
  return NULL;
}

static int find_kind(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct entry *e) {
  int has_command = mg_node_get(e->node, "command") != NULL, has_url = url_key(e->node) != NULL;
  int rc = named_kind(b, at, e->node, &e->kind);
  if (rc != MCPGW_OK) return rc;
  if (!e->kind && has_command && has_url)
    return mg_config_fail(b, at, "has a command and a URL; say which with \"type\": \"stdio\" or \"http\"");
  if (!e->kind && !has_command && !has_url)
    return mg_config_fail(b, at, "needs a \"command\" (a program to start) or a \"url\"");
  if (!e->kind) e->kind = has_command ? MG_SERVER_STDIO : MG_SERVER_HTTP;
  if (e->kind == MG_SERVER_STDIO && !has_command)
    return mg_config_fail(b, at, "is stdio but has no \"command\"");
  if (e->kind != MG_SERVER_STDIO && !has_url)
    return mg_config_fail(b, at, "is http or sse but has no \"url\"");
  return MCPGW_OK;
}

/* ---- stdio ------------------------------------------------------------------------------------------ */
static int read_argv(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *node,
                     struct mg_cfg_server *sv) {
  struct mg_cfg_at at = mg_config_at_key(up, MG_LIT("command")), args = mg_config_at_key(up, MG_LIT("args"));
  const struct mg_node *list = mg_node_get(node, "args");
  struct mg_cfg_list l = {NULL, 0, 0};
  const char *text = NULL;
  int rc = mg_config_text(b, &at, mg_node_get(node, "command"), &text);
  if (rc != MCPGW_OK) return rc;
  if (!text[0]) return mg_config_fail(b, &at, "must not be empty");
  if (mg_config_list_add(b->snap, &l, text) != MCPGW_OK) return mg_config_fail_mem(b, &at);
  if (list && mg_node_type(list) != MG_JSON_ARRAY)
    return mg_config_fail(b, &args, "must be an array of strings");
  if (mg_node_count(list) > MG_CFG_ARGS)
    return mg_config_fail(b, &args, "must have at most %d items", MG_CFG_ARGS);
  for (size_t i = 0; i < mg_node_count(list); i++) {
    struct mg_cfg_at item = mg_config_at_item(&args, i);
    rc = mg_config_text(b, &item, mg_node_at(list, i), &text);
    if (rc != MCPGW_OK) return rc;
    if (mg_config_list_add(b->snap, &l, text) != MCPGW_OK) return mg_config_fail_mem(b, &item);
  }
  sv->argv = mg_config_list_v(&l);
  return MCPGW_OK;
}

static int read_stdio(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node,
                      struct mg_cfg_server *sv) {
  struct mg_cfg_at cwd = mg_config_at_key(at, MG_LIT("cwd"));
  const struct mg_node *dir = mg_node_get(node, "cwd");
  const char *text = NULL;
  int rc = read_argv(b, at, node, sv);
  if (rc == MCPGW_OK && dir) rc = mg_config_text(b, &cwd, dir, &text);
  if (rc == MCPGW_OK && dir) rc = mg_config_file_name(b, &cwd, text, &sv->cwd);
  if (rc == MCPGW_OK) rc = mg_config_child_env(b, at, node, sv);
  return rc;
}

/* ---- http, sse -------------------------------------------------------------------------------------- */
int mg_config_add_header(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_list *l,
                         struct mg_slice name, struct mg_slice value) {
  const char *bad = mg_config_bad_header(name, value);
  if (bad) return mg_config_fail(b, at, "%s", bad);
  for (size_t i = 0; i < l->n; i++)
    if (mg_slice_ieq(mg_slice(l->v[i], strcspn(l->v[i], ":")), name))
      return mg_config_fail(b, at, "is there twice; header names are the same in any case");
  if (l->n == MG_CFG_HEADERS) return mg_config_fail(b, at, "more than %d headers", MG_CFG_HEADERS);
  const char *line = mg_config_join(b->snap, name, ": ", value);
  if (!line || mg_config_list_add(b->snap, l, line) != MCPGW_OK) return mg_config_fail_mem(b, at);
  return MCPGW_OK;
}

static int read_headers(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *object,
                        struct mg_cfg_server *sv) {
  struct mg_cfg_at headers = mg_config_at_key(up, MG_LIT("headers"));
  struct mg_cfg_list l = {NULL, 0, 0};
  struct mg_slice name;
  const struct mg_node *node;
  const char *value = NULL;
  void *it = NULL;
  if (object && mg_node_type(object) != MG_JSON_OBJECT)
    return mg_config_fail(b, &headers, "must be an object of Name: \"value\"");
  while (mg_node_next(object, &it, &name, &node)) {
    struct mg_cfg_at at = mg_config_at_key(&headers, name);
    int rc = mg_config_text(b, &at, node, &value);
    if (rc == MCPGW_OK) rc = mg_config_add_header(b, &at, &l, name, mg_slice_z(value));
    if (rc != MCPGW_OK) return rc;
  }
  sv->headers = mg_config_list_v(&l);
  return MCPGW_OK;
}

static int read_url(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *node,
                    struct mg_cfg_server *sv) {
  const char *key = url_key(node), *text = NULL;
  struct mg_cfg_at at = mg_config_at_key(up, mg_slice_z(key));
  int rc = mg_config_text(b, &at, mg_node_get(node, key), &text);
  if (rc != MCPGW_OK) return rc;
  const char *bad = mg_config_bad_url(mg_slice_z(text));
  if (bad) return mg_config_fail(b, &at, "%s", bad);
  sv->url = text;
  return read_headers(b, up, mg_node_get(node, "headers"), sv);
}

/* ---- an entry --------------------------------------------------------------------------------------- */
static int is_key(struct mg_slice name, const char *const *keys) {
  for (size_t i = 0; keys[i]; i++)
    if (mg_slice_eqz(name, keys[i])) return 1;
  return 0;
}

static int note_foreign(struct mg_cfg_build *b, const struct mg_cfg_at *at) {
  const char *near = NULL;
  size_t best = SIZE_MAX;
  for (size_t i = 0; mg_config_entry_keys[i]; i++)
    if (mg_config_nearer(at->key, mg_config_entry_keys[i], &best)) near = mg_config_entry_keys[i];
  if (near) return mg_config_note(b, at, "foreign key, ignored; did you mean \"%s\"?", near);
  return mg_config_note(b, at, "foreign key, ignored");
}

/* Notes what is there but has no effect. */
static int note_keys(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct entry *e) {
  static const char *const of_stdio[] = {"command", "args", "env", "envFile", "cwd", NULL};
  static const char *const of_http[] = {"url", "serverUrl", "httpUrl", "headers", NULL};
  const char *used_url = url_key(e->node);
  struct mg_slice name;
  const struct mg_node *value;
  void *it = NULL;
  int rc = MCPGW_OK;
  while (rc == MCPGW_OK && mg_node_next(e->node, &it, &name, &value)) {
    struct mg_cfg_at at = mg_config_at_key(up, name);
    int is_url = is_key(name, of_http) && !mg_slice_eqz(name, "headers");
    if (!is_key(name, mg_config_entry_keys)) rc = note_foreign(b, &at);
    else if (e->kind == MG_SERVER_STDIO && is_key(name, of_http))
      rc = mg_config_note(b, &at, "ignored: the server is stdio");
    else if (e->kind != MG_SERVER_STDIO && is_key(name, of_stdio))
      rc = mg_config_note(b, &at, "ignored: the server is reached by its URL");
    else if (is_url && !mg_slice_eqz(name, used_url))
      rc = mg_config_note(b, &at, "ignored: \"%s\" is used", used_url);
  }
  return rc;
}

/* 1, 0, or an error. Either word can switch the server off. */
static int is_disabled(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *node,
                       int *out) {
  static const char *const keys[] = {"disabled", "enabled"};
  int value[2] = {0, 1};
  for (size_t i = 0; i < 2; i++) {
    struct mg_cfg_at at = mg_config_at_key(up, mg_slice_z(keys[i]));
    const struct mg_node *v = mg_node_get(node, keys[i]);
    if (v && mg_node_bool(v, &value[i]) != MCPGW_OK) return mg_config_fail(b, &at, "must be true or false");
  }
  *out = value[0] || !value[1];
  return MCPGW_OK;
}

static int read_gateway(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *node,
                        struct mg_cfg_server *sv) {
  struct mg_cfg_at at = mg_config_at_key(up, MG_LIT("gateway"));
  const struct mg_node *own = mg_node_get(node, "gateway");
  return own ? mg_config_read(b, &at, &mg_config_server_keys, own, sv) : MCPGW_OK;
}

/* Of a disabled server only our own keys are looked at: its ${VAR}s and files need not be there. */
static int skip_entry(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node) {
  struct mg_cfg_server unused = {0};
  int rc = read_gateway(b, at, node, &unused);
  return rc == MCPGW_OK ? mg_config_note(b, at, "disabled; not started") : rc;
}

static int read_entry(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct entry *e) {
  struct mg_cfg_server *sv = NULL;
  int off = 0, rc = MCPGW_E_INTERNAL;
  if (mg_node_type(e->node) != MG_JSON_OBJECT) return mg_config_fail(b, at, "must be an object");
  rc = is_disabled(b, at, e->node, &off);
  if (rc != MCPGW_OK) return rc;
  if (off) return skip_entry(b, at, e->node);
  rc = find_kind(b, at, e);
  if (rc != MCPGW_OK) return rc;
  rc = mg_config_add_server(b->snap, &sv);
  if (rc == MCPGW_E_LIMIT) return mg_config_fail(b, at, "more than %d servers", MG_CFG_SERVERS);
  if (rc != MCPGW_OK) return mg_config_fail_mem(b, at);
  mg_config_set_kind(sv, e->kind);
  rc = mg_config_name_server(b, at, sv, e->name);
  if (rc == MCPGW_OK) rc = read_gateway(b, at, e->node, sv); /* first: its user decides what is inherited */
  if (rc == MCPGW_OK)
    rc = e->kind == MG_SERVER_STDIO ? read_stdio(b, at, e->node, sv) : read_url(b, at, e->node, sv);
  if (rc == MCPGW_OK && sv->user && e->kind != MG_SERVER_STDIO) {
    struct mg_cfg_at own = mg_config_at_key(at, MG_LIT("gateway")), user = mg_config_at_key(&own, MG_LIT("user"));
    rc = mg_config_note(b, &user, "ignored: the server is reached by its URL");
  }
  if (rc == MCPGW_OK) rc = note_keys(b, at, e);
  return rc;
}

static int read_array(struct mg_cfg_build *b, const struct mg_cfg_at *up, const struct mg_node *array) {
  int rc = MCPGW_OK;
  for (size_t i = 0; i < mg_node_count(array) && rc == MCPGW_OK; i++) {
    struct mg_cfg_at at = mg_config_at_item(up, i);
    struct entry e = {mg_node_at(array, i), {NULL, 0}, 0};
    if (mg_node_str(mg_node_get(e.node, "name"), &e.name) != MCPGW_OK)
      return mg_config_fail(b, &at, "needs a \"name\" (a string), since the servers are an array");
    rc = read_entry(b, &at, &e);
  }
  return rc;
}

/* The table's default of 16 is for one process. A server behind a URL is there for many callers, and a place
 * costs a connection only: it starts with more, and few enough that a stuck one leaves descriptors to others. */
#define HTTP_CONCURRENCY 256
#define HTTP_QUEUE 1024

void mg_config_set_kind(struct mg_cfg_server *sv, int kind) {
  sv->kind = kind;
  if (kind == MG_SERVER_STDIO) return;
  sv->limits.concurrency = HTTP_CONCURRENCY;
  sv->limits.queue = HTTP_QUEUE;
}

int mg_config_read_servers(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node) {
  struct mg_slice name;
  const struct mg_node *value;
  void *it = NULL;
  int rc = MCPGW_OK;
  if (mg_node_type(node) == MG_JSON_ARRAY) return read_array(b, at, node);
  if (mg_node_type(node) != MG_JSON_OBJECT)
    return mg_config_fail(b, at, "must be an object of servers by name, or an array of them");
  while (rc == MCPGW_OK && mg_node_next(node, &it, &name, &value)) {
    struct mg_cfg_at here = mg_config_at_key(at, name);
    struct entry e = {value, name, 0};
    rc = read_entry(b, &here, &e);
  }
  return rc;
}
