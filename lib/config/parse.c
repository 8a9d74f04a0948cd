/* config/parse: the doors of the room: a document or a file becomes a snapshot, a snapshot is counted, and
 * one can be made by hand. A snapshot that was handed out is never changed by a parse; a failed parse
 * leaves nothing behind but its error text. */
#include "base/mem.h"
#include "config/build.h"
#include <stdio.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------------- */
int mg_config_new(struct mg_config **out) {
  struct mg_cfg_snap *s = mg_calloc(1, sizeof *s);
  if (!s) return MCPGW_E_NOMEM;
  atomic_init(&s->refs, 1);
  int rc = mg_config_defaults(s, &mg_config_gateway_keys, &s->pub);
  if (rc != MCPGW_OK) {
    mg_config_release(s);
    return rc;
  }
  *out = &s->pub;
  return MCPGW_OK;
}

struct mg_config *mg_config_ref(struct mg_config *c) {
  if (c) atomic_fetch_add_explicit(&mg_config_snap(c)->refs, 1, memory_order_relaxed);
  return c;
}

void mg_config_unref(struct mg_config *c) {
  if (c && atomic_fetch_sub_explicit(&mg_config_snap(c)->refs, 1, memory_order_acq_rel) == 1)
    mg_config_release(mg_config_snap(c));
}

/* ---- documents -------------------------------------------------------------------------------------- */
static int note_top(struct mg_cfg_build *b, const struct mg_node *root) {
  static const char *const ours[] = {"mcpServers", "gateway", "servers", NULL};
  struct mg_slice name;
  const struct mg_node *value;
  void *it = NULL;
  int rc = MCPGW_OK;
  while (rc == MCPGW_OK && mg_node_next(root, &it, &name, &value)) {
    struct mg_cfg_at at = mg_config_at_key(NULL, name);
    const char *near = NULL;
    size_t best = SIZE_MAX, same = 0;
    for (size_t i = 0; ours[i]; i++) {
      same += (size_t)mg_slice_eqz(name, ours[i]);
      if (mg_config_nearer(name, ours[i], &best)) near = ours[i];
    }
    if (same || mg_slice_eqz(name, "$schema")) continue;
    rc = near ? mg_config_note(b, &at, "foreign key, ignored; did you mean \"%s\"?", near)
              : mg_config_note(b, &at, "foreign key, ignored");
  }
  return rc;
}

/* What no single key can tell. */
static int settle(struct mg_cfg_build *b, const struct mg_cfg_at *gateway) {
  struct mg_config *c = &b->snap->pub;
  struct mg_cfg_at dir = mg_config_at_key(gateway, MG_LIT("state_dir"));
  struct mg_cfg_at limits = mg_config_at_key(gateway, MG_LIT("limits"));
  struct mg_cfg_at memory = mg_config_at_key(&limits, MG_LIT("memory_bytes"));
  if (c->limits.memory_bytes < c->limits.body_bytes) {
    int rc = mg_config_note(b, &memory, "smaller than body_bytes: messages above it will be refused");
    if (rc != MCPGW_OK) return rc;
  }
  return c->state_dir ? mg_config_file_name(b, &dir, c->state_dir, &c->state_dir) : MCPGW_OK;
}

static int read_root(struct mg_cfg_build *b, const struct mg_node *root) {
  const struct mg_node *own = mg_node_get(root, "gateway"), *servers = mg_node_get(root, "mcpServers");
  const struct mg_node *alias = mg_node_get(root, "servers");
  struct mg_cfg_at gateway = mg_config_at_key(NULL, MG_LIT("gateway"));
  struct mg_cfg_at at = mg_config_at_key(NULL, servers ? MG_LIT("mcpServers") : MG_LIT("servers"));
  int rc = MCPGW_OK;
  if (mg_node_type(root) != MG_JSON_OBJECT)
    return mg_config_fail(b, NULL, "the document must be an object with \"mcpServers\"");
  if (servers && alias)
    return mg_config_fail(b, NULL, "\"mcpServers\" and \"servers\" are both there; keep one");
  if (own) rc = mg_config_read(b, &gateway, &mg_config_gateway_keys, own, &b->snap->pub);
  if (rc == MCPGW_OK) rc = settle(b, &gateway);
  if (rc == MCPGW_OK && (servers || alias)) rc = mg_config_read_servers(b, &at, servers ? servers : alias);
  return rc == MCPGW_OK ? note_top(b, root) : rc;
}

static int parse_doc(struct mg_cfg_build *b, struct mg_slice text) {
  struct mg_doc *doc = NULL;
  if (text.len > MG_CFG_DOC_BYTES)
    return mg_config_fail(b, NULL, "the document is longer than %zu bytes", MG_CFG_DOC_BYTES);
  if (mg_slice_starts(text, MG_LIT("\xef\xbb\xbf"))) text = mg_slice_sub(text, 3, text.len);
  int rc = mg_doc_parse(&doc, text, b->err);
  if (rc == MCPGW_OK) rc = read_root(b, mg_doc_root(doc));
  mg_doc_free(doc);
  return rc == MCPGW_E_PARSE || rc == MCPGW_E_LIMIT ? MCPGW_E_CONFIG : rc;
}

static void build_init(struct mg_cfg_build *b, struct mg_config *c, struct mg_err *err) {
  memset(b, 0, sizeof *b);
  b->snap = mg_config_snap(c);
  b->err = err;
  mg_buf_init(&b->scratch, MG_CFG_TEXT_BYTES);
}

static void build_done(struct mg_cfg_build *b) {
  if (b->scratch.ptr) explicit_bzero(b->scratch.ptr, b->scratch.cap);
  mg_buf_done(&b->scratch);
}

int mg_config_parse(struct mg_slice text, const char *const *env, const char *base_dir,
                    struct mg_config **out, struct mg_err *err) {
  struct mg_cfg_build b;
  struct mg_config *c = NULL;
  int rc = mg_config_new(&c);
  if (rc != MCPGW_OK) return mg_err_set(err, rc, "out of memory");
  build_init(&b, c, err);
  b.env = env;
  b.base_dir = base_dir;
  rc = parse_doc(&b, text);
  build_done(&b);
  if (rc == MCPGW_OK) *out = c;
  else mg_config_unref(c);
  return rc == MCPGW_OK ? rc : mg_err_set(err, rc, "%s", mg_rc_name(rc));
}

int mg_config_load(const char *path, const char *const *env, struct mg_config **out, struct mg_err *err) {
  const char *slash = strrchr(path, '/');
  struct mg_buf text;
  char why[128] = "", *dir = NULL;
  int rc = MCPGW_E_INTERNAL;
  mg_buf_init(&text, MG_CFG_DOC_BYTES + 1);
  if (slash && !(dir = mg_memdup(path, slash == path ? 1 : (size_t)(slash - path)))) {
    rc = mg_err_set(err, MCPGW_E_NOMEM, "out of memory");
    goto out;
  }
  rc = mg_config_slurp(path, MG_CFG_DOC_BYTES, 0, &text, why);
  if (rc == MCPGW_E_NOMEM) mg_err_set(err, rc, "out of memory");
  else if (rc != MCPGW_OK) mg_err_set(err, rc, "the file \"%s\" %s", path, why);
  else rc = mg_config_parse(mg_buf_slice(&text), env, dir, out, err);
  if (rc == MCPGW_E_LIMIT) rc = MCPGW_E_CONFIG;
out:
  if (text.ptr) explicit_bzero(text.ptr, text.cap);
  mg_buf_done(&text);
  mg_free(dir);
  return rc;
}

/* ---- by hand ---------------------------------------------------------------------------------------- */
/* The next server, named; on failure the caller takes it off again by n_servers. */
static int add_named(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice name, int kind,
                     struct mg_cfg_server **out) {
  int rc = mg_config_add_server(b->snap, out);
  if (rc == MCPGW_E_LIMIT) return mg_config_fail(b, at, "more than %d servers", MG_CFG_SERVERS);
  if (rc != MCPGW_OK) return mg_config_fail_mem(b, at);
  (*out)->kind = kind;
  return mg_config_name_server(b, at, *out, name);
}

static int copy_list(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *const *v, size_t max,
                     const char *const **out) {
  struct mg_cfg_list l = {NULL, 0, 0};
  for (size_t i = 0; v && v[i]; i++) {
    if (i == max) return mg_config_fail(b, at, "more than %zu arguments or variables", max);
    const char *copy = mg_config_dup(b->snap, mg_slice_z(v[i]));
    if (!copy || mg_config_list_add(b->snap, &l, copy) != MCPGW_OK) return mg_config_fail_mem(b, at);
  }
  *out = mg_config_list_v(&l);
  return MCPGW_OK;
}

static int fill_stdio(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_server *sv,
                      const char *const *argv, const char *const *env, const char *cwd) {
  if (!argv || !argv[0] || !argv[0][0]) return mg_config_fail(b, at, "needs a command");
  int rc = copy_list(b, at, argv, MG_CFG_ARGS + 1, &sv->argv);
  if (rc == MCPGW_OK) rc = copy_list(b, at, env, MG_CFG_ENV, &sv->env);
  if (rc != MCPGW_OK || !cwd) return rc;
  sv->cwd = mg_config_dup(b->snap, mg_slice_z(cwd));
  return sv->cwd ? MCPGW_OK : mg_config_fail_mem(b, at);
}

static int fill_http(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_server *sv,
                     struct mg_slice url, const char *const *headers) {
  struct mg_cfg_list l = {NULL, 0, 0};
  const char *bad = mg_config_bad_url(url);
  if (bad) return mg_config_fail(b, at, "url %s", bad);
  sv->url = mg_config_dup(b->snap, url);
  if (!sv->url) return mg_config_fail_mem(b, at);
  for (size_t i = 0; headers && headers[i]; i++) {
    struct mg_slice value = mg_slice_z(headers[i]), name;
    if (!strchr(headers[i], ':')) return mg_config_fail(b, at, "header %zu must be \"Name: value\"", i);
    mg_slice_cut(&value, ':', &name);
    struct mg_cfg_at here = mg_config_at_key(at, name);
    int rc = mg_config_add_header(b, &here, &l, name, mg_slice_trim(value));
    if (rc != MCPGW_OK) return rc;
  }
  sv->headers = mg_config_list_v(&l);
  return MCPGW_OK;
}

/* What the two kinds (and custom, with neither) have in common. */
struct by_hand {
  int kind;
  const char *const *argv, *const *env, *cwd;
  struct mg_slice url;
  const char *const *headers;
};

static int add_by_hand(struct mg_config *c, struct mg_slice name, const struct by_hand *h,
                       struct mg_err *err) {
  struct mg_cfg_build b;
  struct mg_cfg_server *sv = NULL;
  struct mg_cfg_at at = mg_config_at_key(NULL, name.ptr ? name : MG_LIT(""));
  size_t before = c->n_servers;
  build_init(&b, c, err);
  int rc = add_named(&b, &at, name, h->kind, &sv);
  if (rc == MCPGW_OK && h->kind == MG_SERVER_STDIO) rc = fill_stdio(&b, &at, sv, h->argv, h->env, h->cwd);
  if (rc == MCPGW_OK && h->kind == MG_SERVER_HTTP) rc = fill_http(&b, &at, sv, h->url, h->headers);
  if (rc != MCPGW_OK && c->n_servers > before) {
    memset(&b.snap->servers[before], 0, sizeof *sv);
    c->n_servers = before;
  }
  build_done(&b);
  return rc;
}

int mg_config_add_stdio(struct mg_config *c, struct mg_slice name, const char *const *argv,
                        const char *const *env, const char *cwd, struct mg_err *err) {
  struct by_hand h = {MG_SERVER_STDIO, argv, env, cwd, {NULL, 0}, NULL};
  return add_by_hand(c, name, &h, err);
}

int mg_config_add_http(struct mg_config *c, struct mg_slice name, struct mg_slice url,
                       const char *const *headers, struct mg_err *err) {
  struct by_hand h = {MG_SERVER_HTTP, NULL, NULL, NULL, url, headers};
  return add_by_hand(c, name, &h, err);
}

int mg_config_add_custom(struct mg_config *c, struct mg_slice name, struct mg_err *err) {
  struct by_hand h = {MG_SERVER_CUSTOM, NULL, NULL, NULL, {NULL, 0}, NULL};
  return add_by_hand(c, name, &h, err);
}

int mg_config_set_listen(struct mg_config *c, const char *addr) {
  struct mg_cfg_snap *s = mg_config_snap(c);
  struct mg_cfg_list l = {NULL, 0, 0};
  if (addr) {
    if (mg_config_bad_listen(mg_slice_z(addr))) return MCPGW_E_INVALID;
    const char *copy = mg_config_dup(s, mg_slice_z(addr));
    if (!copy || mg_config_list_add(s, &l, copy) != MCPGW_OK) return MCPGW_E_NOMEM;
  }
  c->listen = mg_config_list_v(&l);
  return MCPGW_OK;
}

/* ---- exposure --------------------------------------------------------------------------------------- */
static int check_addr(const struct mg_config *c, const char *key, const char *addr, struct mg_err *err) {
  if (c->insecure_plain_http || mg_config_loopback(mg_slice_z(addr))) return MCPGW_OK;
  return mg_err_set(
      err, MCPGW_E_CONFIG,
      "%s: \"%s\" is open to other machines, which needs auth, and this version has none; listen on "
      "127.0.0.1, or pass --insecure-plain-http behind a proxy that authenticates",
      key, addr);
}

int mg_config_check_listen(const struct mg_config *c, struct mg_err *err) {
  int rc = MCPGW_OK;
  for (size_t i = 0; c->listen[i] && rc == MCPGW_OK; i++)
    rc = check_addr(c, "gateway.listen", c->listen[i], err);
  if (rc == MCPGW_OK && c->admin_listen) rc = check_addr(c, "gateway.admin.listen", c->admin_listen, err);
  return rc;
}
