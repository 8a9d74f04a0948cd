/* The line guard, and the head of one request made from guarded lines. It refuses what llhttp lets pass
 * even in strict mode and what an intermediary must never be vague about: blanks before a colon, folded
 * lines, bare LF, control bytes, Host, Transfer-Encoding, the form of the target (RFC 9112 §2.2, §3.2,
 * §5, §6.1). It must never mend a message: a doubtful one is refused. */
#include "http/head.h"
#include <string.h>

/* RFC 9110 §5.6.2: tchar, i.e. letters, digits and !#$%&'*+-.^_`|~ as bits. */
static inline int is_token(unsigned char c) {
  static const uint64_t bits[2] = {UINT64_C(0x3ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
  return c < 128 && (bits[c >> 6] >> (c & 63) & 1);
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int refuse(int status, const char *text, const char **why) {
  *why = text;
  return status;
}

int mg_http_check_first_byte(char c) {
  return c == '\r' || is_token((unsigned char)c);
}

/* Cuts the CR off; 0 when the line had none or has another one inside. */
static int cut_cr(struct mg_slice *line) {
  if (line->len == 0 || line->ptr[line->len - 1] != '\r') return 0;
  line->len--;
  return memchr(line->ptr, '\r', line->len) == NULL;
}

static int check_version(struct mg_slice v, const char **why) {
  if (v.len != 8 || memcmp(v.ptr, "HTTP/", 5) != 0 || !is_digit(v.ptr[5]) || v.ptr[6] != '.' ||
      !is_digit(v.ptr[7]))
    return refuse(400, "the request line must end in HTTP/1.1", why);
  if (v.ptr[5] != '1' || (v.ptr[7] != '0' && v.ptr[7] != '1'))
    return refuse(505, "only HTTP 1.0 and 1.1 are spoken here", why);
  return 0;
}

int mg_http_check_request_line(struct mg_slice line, const char **why) {
  if (!cut_cr(&line)) return refuse(400, "a line must end in CR LF", why);
  size_t m = 0, t;
  while (m < line.len && is_token((unsigned char)line.ptr[m])) m++;
  if (m == 0 || m == line.len || line.ptr[m] != ' ') return refuse(400, "malformed request line", why);
  for (t = m + 1; t < line.len && line.ptr[t] != ' '; t++)
    if (line.ptr[t] < 0x21 || line.ptr[t] > 0x7e || line.ptr[t] == '#')
      return refuse(400, "the request target has a byte that must be percent-encoded", why);
  if (t == m + 1 || t == line.len) return refuse(400, "malformed request line", why);
  return check_version(mg_slice_sub(line, t + 1, line.len), why);
}

int mg_http_check_field_line(struct mg_slice line, const char **why) {
  if (!cut_cr(&line)) return refuse(400, "a line must end in CR LF", why);
  if (line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
    return refuse(400, "folded header lines are not accepted", why);
  size_t n = 0;
  while (n < line.len && is_token((unsigned char)line.ptr[n])) n++;
  if (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
    return refuse(400, "no blank may stand before the colon of a header", why);
  if (n == 0 || n == line.len || line.ptr[n] != ':') return refuse(400, "malformed header name", why);
  if (!mg_slice_is_line(mg_slice_sub(line, n + 1, line.len)))
    return refuse(400, "control byte in a header value", why);
  return 0;
}

int mg_http_check_trailer_line(struct mg_slice line, const char **why) {
  int status = mg_http_check_field_line(line, why);
  if (status) return status;
  struct mg_slice name;
  mg_slice_cut(&line, ':', &name);
  if (mg_slice_ieqz(name, "content-length") || mg_slice_ieqz(name, "transfer-encoding") ||
      mg_slice_ieqz(name, "host"))
    return refuse(400, "a trailer may not change the framing", why);
  return 0;
}

static int is_regname(char c) {
  return (c > 0 && (is_token((unsigned char)c) || strchr("(),;=", c))) && !strchr("#^`|", c);
}

/* RFC 9110 §7.2, RFC 3986 §3.2: uri-host [":" port], never empty here. */
static int valid_host(struct mg_slice h) {
  size_t i = 0;
  if (h.len == 0 || h.len > 261) return 0;
  if (h.ptr[0] == '[') {
    for (i = 1; i < h.len && h.ptr[i] != ']'; i++)
      if (!is_digit(h.ptr[i]) && !strchr("abcdefABCDEF:.", h.ptr[i])) return 0;
    if (i < 3 || i == h.len) return 0;
    i++;
  } else {
    while (i < h.len && h.ptr[i] != ':' && h.ptr[i] != 0 && is_regname(h.ptr[i])) i++;
    if (i == 0) return 0;
  }
  if (i == h.len) return 1;
  if (h.ptr[i++] != ':' || h.len - i > 5) return 0;
  while (i < h.len && is_digit(h.ptr[i])) i++;
  return i == h.len;
}

/* Splits what follows the authority (or the whole origin-form) into path and query. */
static void split_path(struct mg_http_request *r, struct mg_slice rest) {
  r->query = rest;
  if (mg_slice_cut(&r->query, '?', &r->path) == 0) r->path = rest, r->query = mg_slice("", 0);
  if (r->path.len == 0) r->path = MG_LIT("/");
}

static int absolute_form(struct mg_http_request *r, size_t scheme, const char **why) {
  struct mg_slice rest = mg_slice_sub(r->target, scheme, r->target.len);
  size_t n = 0;
  while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?') n++;
  struct mg_slice authority = mg_slice_sub(rest, 0, n);
  if (!valid_host(authority)) return refuse(400, "malformed authority in the request target", why);
  if (r->host.ptr && !mg_slice_ieq(authority, r->host))
    return refuse(400, "the request target and Host name different hosts", why);
  split_path(r, mg_slice_sub(rest, n, rest.len));
  return 0;
}

/* RFC 9112 §3.2: which of the four forms it is decides what the path is. */
static int read_target(struct mg_http_request *r, const char **why) {
  struct mg_slice t = r->target;
  r->path = t;
  r->query = mg_slice("", 0);
  if (mg_slice_eqz(r->method, "CONNECT"))
    return valid_host(t) ? 0 : refuse(400, "CONNECT needs host:port as its target", why);
  if (t.ptr[0] == '/') return split_path(r, t), 0;
  if (mg_slice_eqz(t, "*") && mg_slice_eqz(r->method, "OPTIONS")) return 0;
  if (mg_slice_ieqz(mg_slice_sub(t, 0, 7), "http://")) return absolute_form(r, 7, why);
  if (mg_slice_ieqz(mg_slice_sub(t, 0, 8), "https://")) return absolute_form(r, 8, why);
  return refuse(400, "the request target must begin with a slash", why);
}

static int read_length(struct mg_http_head *h, struct mg_slice v, const char **why) {
  if (h->has_length) return refuse(400, "more than one Content-Length", why);
  for (size_t i = 0; i < v.len; i++)
    if (!is_digit(v.ptr[i])) return refuse(400, "malformed Content-Length", why);
  if (mg_slice_u64(v, &h->length) != MCPGW_OK) return refuse(400, "malformed Content-Length", why);
  h->has_length = 1;
  return 0;
}

/* The few headers that decide framing; all others are the caller's. */
static int read_field(struct mg_http_head *h, const struct mg_header *f, const char **why) {
  struct mg_slice n = f->name;
  if (n.len == 4 && mg_slice_ieqz(n, "host")) {
    if (h->req.host.ptr) return refuse(400, "more than one Host header", why);
    if (!valid_host(f->value)) return refuse(400, "malformed Host header", why);
    h->req.host = f->value;
  } else if (n.len == 14 && mg_slice_ieqz(n, "content-length")) {
    return read_length(h, f->value, why);
  } else if (n.len == 17 && mg_slice_ieqz(n, "transfer-encoding")) {
    if (h->chunked || !mg_slice_ieqz(f->value, "chunked"))
      return refuse(400, "the only Transfer-Encoding accepted is one \"chunked\"", why);
    h->chunked = 1;
  } else if (n.len == 6 && mg_slice_ieqz(n, "expect") && h->minor == 1) {
    if (!mg_slice_ieqz(f->value, "100-continue")) return refuse(417, "unknown Expect", why);
    h->req.accepts_100 = 1;
  }
  return 0;
}

static int check_whole(const struct mg_http_head *h, const char **why) {
  if (h->minor == 1 && !h->req.host.ptr) return refuse(400, "no Host header", why);
  if (h->chunked && h->has_length) return refuse(400, "Content-Length and Transfer-Encoding together", why);
  if (h->chunked && h->minor == 0) return refuse(400, "Transfer-Encoding in an HTTP/1.0 request", why);
  return 0;
}

/* The line at *at, without CR LF; the guard has seen that it has both. */
static struct mg_slice next_line(struct mg_slice block, size_t *at) {
  const char *from = block.ptr + *at;
  const char *lf = memchr(from, '\n', block.len - *at);
  if (!lf) return mg_slice("", 0);
  *at = (size_t)(lf - block.ptr) + 1;
  return mg_slice(from, (size_t)(lf - from) - 1);
}

static int fill(struct mg_http_head *h, struct mg_slice block, size_t n_headers, const char **why) {
  size_t at = 0;
  struct mg_slice line = next_line(block, &at), version = line;
  mg_slice_cut(&version, ' ', &h->req.method);
  mg_slice_cut(&version, ' ', &h->req.target);
  h->minor = version.len == 8 && version.ptr[7] == '1';
  h->is_head = mg_slice_eqz(h->req.method, "HEAD");
  for (size_t i = 0; i < n_headers; i++) {
    struct mg_header *f = &h->headers[i];
    f->value = next_line(block, &at);
    mg_slice_cut(&f->value, ':', &f->name);
    f->value = mg_slice_trim(f->value);
    int status = read_field(h, f, why);
    if (status) return status;
  }
  int status = check_whole(h, why);
  return status ? status : read_target(&h->req, why);
}

int mg_http_head_build(struct mg_slice block, size_t n_headers, struct mg_budget *budget,
                       struct mg_http_head **out, const char **why) {
  size_t table = sizeof(struct mg_http_head) + n_headers * sizeof(struct mg_header);
  if (mg_budget_take(budget, table + block.len) != MCPGW_OK) return refuse(503, "out of message memory", why);
  struct mg_http_head *h = mg_alloc(table + block.len);
  if (!h) {
    mg_budget_give(budget, table + block.len);
    return refuse(503, "out of memory", why);
  }
  memset(h, 0, table);
  h->charged = table + block.len;
  char *bytes = (char *)h + table;
  memcpy(bytes, block.ptr, block.len);
  h->req.headers = h->headers;
  h->req.n_headers = n_headers;
  int status = fill(h, mg_slice(bytes, block.len), n_headers, why);
  if (status) mg_http_head_free(h, budget);
  else *out = h;
  return status;
}

void mg_http_head_free(struct mg_http_head *h, struct mg_budget *budget) {
  if (!h) return;
  mg_budget_give(budget, h->charged);
  mg_free(h);
}
