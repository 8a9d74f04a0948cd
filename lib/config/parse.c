/* config/parse: a document or a file becomes a snapshot: what the root object holds, and what no single key
 * can tell. A failed parse leaves nothing behind but its error text. */
#include "base/mem.h"
#include "config/build.h"
#include <string.h>

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
  struct mg_cfg_at pin = mg_config_at_key(gateway, MG_LIT("pin")), file = mg_config_at_key(&pin, MG_LIT("file"));
  int rc = c->state_dir ? mg_config_file_name(b, &dir, c->state_dir, &c->state_dir) : MCPGW_OK;
  if (rc == MCPGW_OK && c->pin.file) rc = mg_config_file_name(b, &file, c->pin.file, &c->pin.file);
  return rc == MCPGW_OK ? mg_config_settle_admin(b, gateway) : rc;
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

int mg_config_parse(struct mg_slice text, const char *const *env, const char *base_dir,
                    struct mg_config **out, struct mg_err *err) {
  struct mg_cfg_build b;
  struct mg_config *c = NULL;
  int rc = mg_config_new(&c);
  if (rc != MCPGW_OK) return mg_err_set(err, rc, "out of memory");
  mg_config_build_init(&b, c, err);
  b.env = env;
  b.base_dir = base_dir;
  rc = parse_doc(&b, text);
  mg_config_build_done(&b);
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
