/* config/config: a snapshot's life: born with the defaults, counted, wiped when the last one lets go; filled
 * by hand for the API and the command line; asked who may reach its listeners. Once it is shared nothing here
 * changes it; a failed add leaves it as it was. */
#include "base/mem.h"
#include "config/build.h"
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

/* ---- by hand ---------------------------------------------------------------------------------------- */
/* The next server, named; on failure the caller takes it off again by n_servers. */
static int add_named(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice name, int kind,
                     struct mg_cfg_server **out) {
  int rc = mg_config_add_server(b->snap, out);
  if (rc == MCPGW_E_LIMIT) return mg_config_fail(b, at, "more than %d servers", MG_CFG_SERVERS);
  if (rc != MCPGW_OK) return mg_config_fail_mem(b, at);
  mg_config_set_kind(*out, kind);
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
  mg_config_build_init(&b, c, err);
  int rc = add_named(&b, &at, name, h->kind, &sv);
  if (rc == MCPGW_OK && h->kind == MG_SERVER_STDIO) rc = fill_stdio(&b, &at, sv, h->argv, h->env, h->cwd);
  if (rc == MCPGW_OK && h->kind == MG_SERVER_HTTP) rc = fill_http(&b, &at, sv, h->url, h->headers);
  if (rc != MCPGW_OK && c->n_servers > before) {
    memset(&b.snap->servers[before], 0, sizeof *sv);
    c->n_servers = before;
  }
  mg_config_build_done(&b);
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

int mg_config_set_state_dir(struct mg_config *c, const char *path) {
  if (path && !*path) return MCPGW_E_INVALID;
  const char *copy = path ? mg_config_dup(mg_config_snap(c), mg_slice_z(path)) : NULL;
  if (path && !copy) return MCPGW_E_NOMEM;
  c->state_dir = copy;
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
