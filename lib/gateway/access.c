/* gateway/access: owns who may talk to us at all: the Host a request was sent to (DNS rebinding) and the
 * Origin of the page that sent it (2026-07-28, transports/streamable-http, "Security & Endpoint"), and who
 * the caller is. Without authentication everybody on loopback is the one local principal. */
#include <string.h>

#include "gateway/gateway.h"

/* Host without its port, brackets kept off. */
static struct mg_slice bare_host(struct mg_slice host) {
  if (host.len && host.ptr[0] == '[') {
    const char *end = memchr(host.ptr, ']', host.len);
    return end ? mg_slice(host.ptr + 1, (size_t)(end - host.ptr - 1)) : host;
  }
  const char *colon = host.len ? memchr(host.ptr, ':', host.len) : NULL;
  return colon ? mg_slice(host.ptr, (size_t)(colon - host.ptr)) : host;
}

/* An address is no name: nobody can point it elsewhere. */
static int is_address(struct mg_slice host) {
  int dots = 0;
  if (host.len && host.ptr[0] == '[') return 1;
  host = bare_host(host);
  for (size_t i = 0; i < host.len; i++) {
    if (host.ptr[i] == '.') dots++;
    else if (host.ptr[i] < '0' || host.ptr[i] > '9') return 0;
  }
  return dots == 3;
}

/* All of 127/8 is this machine. */
static int is_loopback(struct mg_slice host) {
  struct mg_slice bare = bare_host(host);
  if (mg_slice_ieqz(bare, "localhost") || mg_slice_eqz(bare, "::1")) return 1;
  return mg_slice_starts(bare, MG_LIT("127.")) && is_address(host);
}

/* "https://a.example:8443/mcp" -> "https://a.example:8443" */
static struct mg_slice origin_of(const char *url) {
  const char *host = url ? strstr(url, "://") : NULL;
  if (!host) return mg_slice(NULL, 0);
  return mg_slice(url, (size_t)(host + 3 - url) + strcspn(host + 3, "/?#"));
}

static struct mg_slice host_of(struct mg_slice origin) {
  for (size_t i = 0; i + 2 < origin.len; i++)
    if (!memcmp(origin.ptr + i, "://", 3)) return mg_slice_sub(origin, i + 3, origin.len);
  return mg_slice(NULL, 0);
}

static int listed(const char *const *list, struct mg_slice value) {
  for (; list && *list; list++)
    if (mg_slice_ieqz(value, *list)) return 1;
  return 0;
}

static int host_ok(const struct mg_config *c, struct mg_slice host) {
  if (is_loopback(host)) return 1;
  if (listed(c->allowed_hosts, host) || listed(c->allowed_hosts, bare_host(host))) return 1;
  struct mg_slice ours = host_of(origin_of(c->public_url));
  if (ours.len && (mg_slice_ieq(host, ours) || mg_slice_ieq(bare_host(host), bare_host(ours)))) return 1;
  return c->insecure_plain_http && is_address(host);
}

static int origin_ok(const struct mg_config *c, struct mg_slice origin) {
  struct mg_slice ours = origin_of(c->public_url);
  if (listed(c->allowed_origins, origin)) return 1;
  if (ours.len && mg_slice_ieq(origin, ours)) return 1;
  return !(origin.len && memchr(origin.ptr, '@', origin.len)) && is_loopback(host_of(origin)); /* no browser names a user */
}

int mg_access_check(struct mcpgw_gateway *gw, struct mg_exchange *x, const struct mg_http_request *r, const char **why) {
  size_t count = 0;
  struct mg_slice origin = mg_exchange_header(x, "origin", &count);
  if (!host_ok(gw->config, r->host)) {
    *why = "this Host is not served here; add it to gateway.allowed_hosts or set gateway.public_url\n";
    return 403;
  }
  if (count > 1 || (count && !origin_ok(gw->config, origin))) {
    *why = "this Origin may not call the gateway; add it to gateway.allowed_origins\n";
    return 403;
  }
  return 0;
}

void mg_access_cors(struct mcpgw_gateway *gw, struct mg_exchange *x, struct mg_buf *out) {
  if (!gw->config->allowed_origins || !gw->config->allowed_origins[0]) return;
  struct mg_slice origin = mg_exchange_header(x, "origin", NULL);
  mg_buf_addz(out, "Vary: Origin\r\n");
  if (!origin.len || !listed(gw->config->allowed_origins, origin)) return;
  mg_buf_addz(out, "Access-Control-Allow-Origin: ");
  mg_buf_adds(out, origin);
  mg_buf_addz(out, "\r\nAccess-Control-Expose-Headers: Mcp-Session-Id, WWW-Authenticate\r\n");
}

void mg_access_caller(struct mcpgw_gateway *gw, struct mg_exchange *x, mcpgw_credential *who) {
  (void)gw, (void)x;
  *who = (mcpgw_credential){.struct_size = sizeof *who, .principal = "local", .principal_len = 5};
}
