/* config/check: what a URL, a header, an address, a name may look like. Pure functions over bytes: each
 * returns NULL when all is well, else a constant that says what is wrong and what to write instead, and
 * that never repeats the value (it may hold a secret). */
#include "config/build.h"
#include <arpa/inet.h>
#include <string.h>

#define URL_MAX 8192
#define UNIX_PATH_MAX 107 /* sun_path less its NUL */

static int is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int all_in(struct mg_slice s, const char *more) {
  for (size_t i = 0; i < s.len; i++)
    if (!is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || !strchr(more, s.ptr[i]))) return 0;
  return 1;
}

static int has_byte(struct mg_slice s, char c) {
  return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

/* Printable ASCII without blanks. */
static int is_visible(struct mg_slice s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f) return 0;
  return 1;
}

static int parse_ip(int family, struct mg_slice host, unsigned char out[16]) {
  char text[64];
  if (host.len >= sizeof text || has_byte(host, '\0')) return 0;
  memcpy(text, host.ptr, host.len);
  text[host.len] = '\0';
  return inet_pton(family, text, out) == 1;
}

/* "host", "host:port", "[v6]" or "[v6]:port"; port is empty (NULL ptr) when there is none. 1 or 0. */
static int split_authority(struct mg_slice in, struct mg_slice *host, struct mg_slice *port) {
  size_t n = 0;
  if (in.len == 0) return 0;
  if (in.ptr[0] == '[') {
    while (n < in.len && in.ptr[n] != ']') n++;
    if (n++ == in.len) return 0;
  } else {
    while (n < in.len && in.ptr[n] != ':') n++;
  }
  *host = mg_slice(in.ptr, n);
  *port = mg_slice(NULL, 0);
  if (n == in.len) return n > 0;
  if (in.ptr[n] != ':') return 0;
  *port = mg_slice(in.ptr + n + 1, in.len - n - 1);
  return n > 0;
}

static int good_host(struct mg_slice host) {
  unsigned char ip[16];
  if (host.len > 2 && host.ptr[0] == '[')
    return host.ptr[host.len - 1] == ']' && parse_ip(AF_INET6, mg_slice_sub(host, 1, host.len - 2), ip);
  return host.len > 0 && host.len <= 253 && all_in(host, "-._") && host.ptr[0] != '.' && host.ptr[0] != '-';
}

static int good_port(struct mg_slice port, uint64_t min) {
  uint64_t n = 0;
  return port.len <= 5 && mg_slice_u64(port, &n) == MCPGW_OK && n >= min && n <= 65535;
}

static int good_authority(struct mg_slice in) {
  struct mg_slice host, port;
  if (!split_authority(in, &host, &port) || !good_host(host)) return 0;
  return !port.ptr || good_port(port, 1);
}

/* What stands between "://" and the first of "/?#". 0: there is no such thing. */
static int authority(struct mg_slice url, struct mg_slice *scheme, struct mg_slice *out,
                     struct mg_slice *rest) {
  size_t n = 0, end;
  while (n < url.len && url.ptr[n] != ':') n++;
  if (url.len - n < 3 || memcmp(url.ptr + n, "://", 3) != 0) return 0;
  *scheme = mg_slice(url.ptr, n);
  for (end = n += 3; end < url.len && !strchr("/?#", url.ptr[end]); end++) {
  }
  *out = mg_slice(url.ptr + n, end - n);
  *rest = mg_slice(url.ptr + end, url.len - end);
  return 1;
}

const char *mg_config_bad_url(struct mg_slice url) {
  struct mg_slice scheme, host, rest;
  if (url.len > URL_MAX) return "must be at most 8192 bytes long";
  if (!is_visible(url)) return "must be printable ASCII without blanks; percent-encode the rest";
  if (!authority(url, &scheme, &host, &rest)) return "must be an absolute http or https URL";
  if (!mg_slice_ieqz(scheme, "http") && !mg_slice_ieqz(scheme, "https"))
    return "must begin with http:// or https://";
  if (has_byte(host, '@')) return "must not hold a user or password; put secrets in headers";
  if (host.len == 0) return "must name a host";
  if (!good_authority(host)) return "must name a valid host and, if any, a port from 1 to 65535";
  if (has_byte(rest, '#')) return "must not have a fragment (#...)";
  return NULL;
}

const char *mg_config_bad_public_url(struct mg_slice url) {
  const char *bad = mg_config_bad_url(url);
  if (bad) return bad;
  return has_byte(url, '?') ? "must not have a query (?...)" : NULL;
}

static const char *bad_unix(struct mg_slice path) {
  if (path.len == 0 || path.ptr[0] != '/') return "must give an absolute path after unix:";
  if (path.len > UNIX_PATH_MAX) return "must give a path of at most 107 bytes after unix:";
  return has_byte(path, '\0') ? "must not hold a NUL byte" : NULL;
}

const char *mg_config_bad_listen(struct mg_slice addr) {
  static const char text[] =
      "must be an IP address with a port, as 127.0.0.1:8808 or [::1]:8808, or unix:/path";
  struct mg_slice host, port;
  unsigned char ip[16];
  if (mg_slice_starts(addr, MG_LIT("unix:"))) return bad_unix(mg_slice_sub(addr, 5, addr.len));
  if (!split_authority(addr, &host, &port) || !port.ptr || !good_port(port, 0)) return text;
  if (host.ptr[0] == '[') return good_host(host) ? NULL : text;
  return parse_ip(AF_INET, host, ip) || mg_slice_eqz(host, "localhost") ? NULL : text;
}

int mg_config_loopback(struct mg_slice addr) {
  static const unsigned char one[16] = {[15] = 1};
  struct mg_slice host, port;
  unsigned char ip[16];
  if (mg_slice_starts(addr, MG_LIT("unix:"))) return 1;
  if (!split_authority(addr, &host, &port)) return 0;
  if (mg_slice_eqz(host, "localhost")) return 1;
  if (parse_ip(AF_INET, host, ip)) return ip[0] == 127;
  if (host.len < 2 || !parse_ip(AF_INET6, mg_slice_sub(host, 1, host.len - 2), ip)) return 0;
  return memcmp(ip, one, sizeof one) == 0;
}

const char *mg_config_bad_host(struct mg_slice host) {
  return good_authority(host) ? NULL : "must be a host, as example.com, example.com:8443 or [::1]";
}

const char *mg_config_bad_origin(struct mg_slice origin) {
  static const char text[] = "must be an origin, as https://app.example.com (scheme, host, no path)";
  struct mg_slice scheme, host, rest;
  if (mg_slice_eqz(origin, "*")) return "must name each origin; * would let every web site in";
  if (!is_visible(origin) || !authority(origin, &scheme, &host, &rest)) return text;
  if (scheme.len == 0 || !all_in(scheme, "+-.") || rest.len > 0) return text;
  return good_authority(host) ? NULL : text;
}

const char *mg_config_bad_separator(struct mg_slice text) {
  if (text.len >= 1 && text.len <= 8 && all_in(text, "_-.")) return NULL;
  return "must be 1 to 8 of A-Z a-z 0-9 _ - .";
}

static int is_number(struct mg_slice s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.ptr[i] < '0' || s.ptr[i] > '9') return 0;
  return s.len > 0 && s.len <= 10;
}

const char *mg_config_bad_user(struct mg_slice user) {
  struct mg_slice uid, gid = user;
  if (user.len >= 1 && user.len <= 64 && user.ptr[0] != '-' && all_in(user, "_-.")) return NULL;
  if (has_byte(user, ':')) {
    mg_slice_cut(&gid, ':', &uid);
    if (is_number(uid) && is_number(gid)) return NULL;
  }
  return "must be the name of a user, or UID:GID in numbers";
}

const char *mg_config_bad_path(struct mg_slice path) {
  if (path.len == 0) return "must not be empty; leave the key out instead";
  if (path.len > 4095) return "must be at most 4095 bytes long";
  return has_byte(path, '\0') ? "must not hold a NUL byte" : NULL;
}

/* What the gateway writes itself, and what would break the framing or the identity encoding it relies on. */
static int is_reserved(struct mg_slice name) {
  static const char *const names[] = {"host",
                                      "content-length",
                                      "transfer-encoding",
                                      "connection",
                                      "mcp-session-id",
                                      "mcp-method",
                                      "mcp-protocol-version",
                                      "mcp-name",
                                      "accept",
                                      "content-type",
                                      "upgrade",
                                      "te",
                                      "trailer",
                                      "keep-alive",
                                      "proxy-connection",
                                      "expect",
                                      "last-event-id",
                                      "accept-encoding",
                                      "content-encoding",
                                      NULL};
  if (name.len >= 10 && mg_slice_ieqz(mg_slice_sub(name, 0, 10), "mcp-param-")) return 1;
  for (size_t i = 0; names[i]; i++)
    if (mg_slice_ieqz(name, names[i])) return 1;
  return 0;
}

const char *mg_config_bad_header(struct mg_slice name, struct mg_slice value) {
  if (name.len == 0 || name.len > 128 || !all_in(name, "!#$%&'*+-.^_`|~"))
    return "is not a header name; use letters, digits and -";
  if (is_reserved(name)) return "is set by the gateway itself; remove it";
  for (size_t i = 0; i < value.len; i++)
    if ((unsigned char)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
      return "holds a control byte (a line break at its end?); remove it";
  return NULL;
}
