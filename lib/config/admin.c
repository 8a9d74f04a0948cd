/* config/admin: owns what is special about gateway.admin: where its token comes from, and that a listener
 * which other users can reach has one. The token's text reaches no message. */
#include <string.h>

#include "config/build.h"

#define TOKEN_FILE_BYTES ((size_t)4096)

const char *mg_config_bad_token(struct mg_slice token) {
  if (token.len < 16 || token.len > 512) return "must be 16 to 512 bytes long; openssl rand -hex 32 makes a good one";
  for (size_t i = 0; i < token.len; i++)
    if (token.ptr[i] <= ' ' || token.ptr[i] > '~') return "must be visible ASCII without blanks";
  return NULL;
}

/* Editors and echo(1) leave a newline behind. */
static struct mg_slice first_line(struct mg_slice text) {
  while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) text.len--;
  return text;
}

static int read_token(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_config *c) {
  struct mg_buf text;
  char why[128] = "";
  const char *path;
  int rc = mg_config_file_name(b, at, c->admin_token_file, &path);
  if (rc != MCPGW_OK) return rc;
  c->admin_token_file = path;
  mg_buf_init(&text, TOKEN_FILE_BYTES);
  rc = mg_config_slurp(path, TOKEN_FILE_BYTES, 1, &text, why);
  struct mg_slice token = first_line(mg_buf_slice(&text));
  const char *bad = rc == MCPGW_OK ? mg_config_bad_token(token) : NULL;
  if (rc == MCPGW_E_NOMEM) rc = mg_config_fail_mem(b, at);
  else if (rc != MCPGW_OK) rc = mg_config_fail(b, at, "the file %s", why);
  else if (bad) rc = mg_config_fail(b, at, "what the file holds %s", bad);
  else if (!(c->admin_token = mg_config_dup(b->snap, token))) rc = mg_config_fail_mem(b, at);
  if (text.ptr) explicit_bzero(text.ptr, text.cap);
  mg_buf_done(&text);
  return rc;
}

int mg_config_settle_admin(struct mg_cfg_build *b, const struct mg_cfg_at *gateway) {
  struct mg_config *c = &b->snap->pub;
  struct mg_cfg_at admin = mg_config_at_key(gateway, MG_LIT("admin"));
  struct mg_cfg_at file = mg_config_at_key(&admin, MG_LIT("token_file"));
  struct mg_cfg_at listen = mg_config_at_key(&admin, MG_LIT("listen"));
  if (c->admin_token && c->admin_token_file) return mg_config_fail(b, &admin, "has token and token_file; keep one");
  if (c->admin_token_file) {
    int rc = read_token(b, &file, c);
    if (rc != MCPGW_OK) return rc;
  }
  if (c->admin_token && !c->admin_listen) return mg_config_note(b, &admin, "without listen there is no admin door");
  if (!c->admin_listen || c->admin_token || mg_slice_starts(mg_slice_z(c->admin_listen), MG_LIT("unix:"))) return MCPGW_OK;
  return mg_config_fail(b, &listen, "any user of this machine could connect: it needs token or token_file, or be unix:/path");
}
