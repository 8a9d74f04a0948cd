/* gateway/admin: owns the admin door: a listener of its own, apart from the MCP endpoint, who may come in, and
 * what each path answers. Every request is answered at once; nothing here waits. It tells no secrets and no
 * whole session ids. */
#include "gateway/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "crypt/seal.h"

#define BODY_BYTES 4096
#define CONNECTIONS 64
#define JSON "Content-Type: application/json\r\nCache-Control: no-store\r\n"

/* ---- plain answers --------------------------------------------------------------------------------------- */

/* text BORROWED. */
static void reply(struct mg_exchange *x, int status, const char *headers, struct mg_slice text) {
  struct mg_seg seg = {mg_blob_copy(NULL, text.ptr, text.len), NULL, 0};
  if (!seg.blob) {
    mg_exchange_cut(x);
    return;
  }
  seg.ptr = mg_blob_slice(seg.blob).ptr;
  seg.len = text.len;
  mg_exchange_reply(x, status, mg_slice_z(headers), &seg, 1);
}

static void refuse(struct mg_exchange *x, int status, const char *headers, const char *why) {
  struct mg_buf b;
  char all[200];
  mg_buf_init(&b, 1024);
  mg_buf_addz(&b, "{\"error\":");
  mg_buf_json_str(&b, mg_slice_z(why));
  mg_buf_addz(&b, "}\n");
  snprintf(all, sizeof all, JSON "%s", headers);
  reply(x, status, all, mg_buf_slice(&b));
  mg_buf_done(&b);
}

/* ---- who may come in ---------------------------------------------------------------------------------------- */

static int has_token(const struct mcpgw_gateway *gw, struct mg_exchange *x) {
  static const struct mg_slice scheme = {"Bearer ", 7};
  size_t count = 0;
  struct mg_slice given = mg_exchange_header(x, "authorization", &count);
  if (!gw->config->admin_token) return 1; /* a unix socket: the server looked at the peer's user */
  if (count != 1 || given.len <= scheme.len || !mg_slice_ieq(mg_slice_sub(given, 0, scheme.len), scheme)) return 0;
  return mg_secret_eq(mg_slice_sub(given, scheme.len, given.len), mg_slice_z(gw->config->admin_token));
}

/* A page in somebody's browser has no business here, whatever it knows. */
static int from_browser(struct mg_exchange *x) {
  size_t count = 0;
  mg_exchange_header(x, "origin", &count);
  return count > 0;
}

/* Before a body is read. The health of the gateway is no secret: probes need no token. */
static int on_admit(void *data, struct mg_exchange *x, const struct mg_http_request *r) {
  if (from_browser(x)) return 403;
  if (mg_health_is(r) || has_token(data, x)) return 0;
  refuse(x, 401, "WWW-Authenticate: Bearer\r\n", "send Authorization: Bearer with gateway.admin.token");
  return 401;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static int status_of(int rc) {
  switch (rc) {
  case MCPGW_OK: return 200;
  case MCPGW_E_INVALID:
  case MCPGW_E_PARSE: return 400;
  case MCPGW_E_NOT_FOUND: return 404;
  case MCPGW_E_LIMIT: return 409;
  default: return 503;
  }
}

static void fail(struct mg_exchange *x, int rc) {
  const char *why = rc == MCPGW_E_INVALID     ? "the query takes after, limit (1 to 1000), principal and upstream"
                    : rc == MCPGW_E_NOT_FOUND ? "there are /contexts, /links, /children, /upstreams, /stats, /livez and /readyz"
                                              : mg_rc_name(rc);
  refuse(x, status_of(rc), "", why);
}

static void tell(struct mcpgw_gateway *gw, struct mg_exchange *x, struct mg_slice kind, struct mg_slice query, int status) {
  char *text;
  size_t len;
  int rc = mg_gw_report(gw, kind, query, &text, &len);
  if (rc != MCPGW_OK) {
    fail(x, rc);
    return;
  }
  reply(x, status, JSON, mg_slice(text, len));
  mg_free(text);
}

/* ---- revoking ------------------------------------------------------------------------------------------------------ */

static const struct mg_field fields[] = {{"session", 7, 0, NULL}, {"principal", 9, 1, NULL}, {"token", 5, 2, NULL}};
static const struct mg_shape shape = {fields, 3};

static void revoked(struct mg_exchange *x, size_t n) {
  char text[64];
  int len = snprintf(text, sizeof text, "{\"ended\":%zu}", n);
  reply(x, n ? 200 : 404, JSON, mg_slice(text, (size_t)len));
}

/* {"session": ID}, {"principal": NAME} or {"token": ID}: one of them. */
static int read_order(struct mg_slice doc, int *what, struct mg_buf *value) {
  static const int kinds[] = {MG_REVOKE_SESSION, MG_REVOKE_PRINCIPAL, MG_REVOKE_TOKEN};
  struct mg_span spans[3], root;
  int which = -1, named = 0;
  if (mg_json_scan(doc, &shape, spans, 3, &root, NULL) != MCPGW_OK || root.type != MG_JSON_OBJECT) return MCPGW_E_PARSE;
  for (int i = 0; i < 3; i++)
    if (spans[i].type != MG_JSON_NONE && ++named) which = i;
  if (named != 1) return MCPGW_E_PARSE;
  *what = kinds[which];
  return mg_span_unescape(doc, spans[which], value);
}

static void on_revoke(struct mcpgw_gateway *gw, struct mg_exchange *x, const struct mg_http_request *r) {
  struct mg_buf value;
  size_t n = 0;
  int what = 0;
  mg_buf_init(&value, BODY_BYTES);
  int rc = read_order(r->body ? mg_blob_slice(r->body) : mg_slice("", 0), &what, &value);
  if (rc == MCPGW_OK) rc = mg_gw_revoke(gw, what, mg_buf_slice(&value), &n);
  mg_buf_done(&value);
  if (rc == MCPGW_OK) revoked(x, n);
  else if (rc == MCPGW_E_PARSE) refuse(x, 400, "", "send {\"session\": ID}, {\"principal\": NAME} or {\"token\": ID}");
  else fail(x, rc);
}

int mg_gw_revoke(struct mcpgw_gateway *gw, int what, struct mg_slice value, size_t *n) {
  static const char *const by[] = {"", "session", "principal", "token"};
  char count[24];
  int rc = value.len ? mg_core_revoke(gw->core, what, value, n) : MCPGW_E_PARSE;
  if (rc != MCPGW_OK) return rc;
  snprintf(count, sizeof count, "%zu", *n);
  mg_log(&gw->log, MG_LOG_WARN, "admin.revoked", "by", by[what], "ended", count, (char *)0);
  mg_gw_settle(gw);
  return MCPGW_OK;
}

/* ---- the door --------------------------------------------------------------------------------------------------------- */

static void on_health(struct mcpgw_gateway *gw, struct mg_exchange *x, const struct mg_http_request *r) {
  if (mg_slice_eqz(r->path, "/readyz") && has_token(gw, x)) tell(gw, x, MG_LIT("ready"), r->query, mg_gw_unready(gw) ? 503 : 200);
  else mg_health_reply(gw, x, r);
}

static void on_request(void *data, struct mg_exchange *x, const struct mg_http_request *r) {
  struct mcpgw_gateway *gw = data;
  int reads = mg_slice_eqz(r->method, "GET") || mg_slice_eqz(r->method, "HEAD");
  if (mg_health_is(r)) on_health(gw, x, r);
  else if (mg_slice_eqz(r->path, "/revoke") && mg_slice_eqz(r->method, "POST")) on_revoke(gw, x, r);
  else if (mg_slice_eqz(r->path, "/revoke")) refuse(x, 405, "Allow: POST\r\n", "use POST");
  else if (!reads) refuse(x, 405, "Allow: GET, HEAD\r\n", "use GET; POST /revoke ends sessions");
  else tell(gw, x, mg_slice_sub(r->path, 1, r->path.len), r->query, 200);
}

static void on_gone(void *data, struct mg_exchange *x) {
  (void)data, (void)x; /* every request was answered before we returned: nothing waits for it */
}

int mg_admin_open(struct mcpgw_gateway *gw, const struct mg_config *config, struct mg_http_server **out) {
  static const struct mg_http_events events = {on_admit, on_request, on_gone, NULL};
  static const struct mg_http_limits limits = {.header_bytes = 8192,
                                               .body_bytes = BODY_BYTES,
                                               .connections = CONNECTIONS,
                                               .header_ms = 5000,
                                               .body_ms = 5000,
                                               .idle_ms = 15000,
                                               .write_ms = 15000,
                                               .private_sockets = 1};
  struct mg_http_server *door = NULL;
  struct mg_buf bound;
  if (!config->admin_listen) return MCPGW_OK;
  mg_buf_init(&bound, 300);
  int rc = mg_http_server_new(gw->loop, &limits, &events, gw, &gw->log, NULL, &door);
  if (rc == MCPGW_OK) rc = mg_http_server_listen(door, mg_slice_z(config->admin_listen), &bound, &gw->err);
  if (rc == MCPGW_OK) rc = mg_buf_addc(&bound, 0);
  if (rc == MCPGW_OK) {
    mg_log(&gw->log, MG_LOG_INFO, "admin.listening", "address", bound.ptr, (char *)0);
    *out = door;
    door = NULL;
  }
  mg_buf_done(&bound);
  if (door) mg_http_server_free(door);
  return rc;
}
