/* wire/headers: owns the comparison of mirrored headers with the body (2026-07-28,
 * transports/streamable-http, "Server Validation") and the base64 sentinel. It reads arguments only at
 * the paths a tool marks with x-mcp-header and never keeps a value. */
#include "wire/headers.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "mcpgw/types.h"

#define VALUE_MAX 8192 /* bytes of one mirrored value, decoded */
#define SENTINEL "=?base64?"
#define SENTINEL_END "?="

static int fail(struct mg_header_fault *why, int code, const char *what, const char *name) {
  why->code = code;
  snprintf(why->text, sizeof why->text, "%s%s%s", what, name ? ": " : "", name ? name : "");
  return MCPGW_E_INVALID;
}

static int is_sentinel(struct mg_slice v) {
  size_t a = sizeof SENTINEL - 1, b = sizeof SENTINEL_END - 1;
  return v.len >= a + b && !memcmp(v.ptr, SENTINEL, a) && !memcmp(v.ptr + v.len - b, SENTINEL_END, b);
}

/* Both markers, even where they share a byte ("=?base64?="): a value that looks so is never sent plain. */
static int looks_encoded(struct mg_slice v) {
  size_t b = sizeof SENTINEL_END - 1;
  return mg_slice_starts(v, MG_LIT(SENTINEL)) && !memcmp(v.ptr + v.len - b, SENTINEL_END, b);
}

static int plain(struct mg_slice v) {
  if (v.len && (v.ptr[0] == ' ' || v.ptr[0] == '\t' || v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t')) return 0;
  for (size_t i = 0; i < v.len; i++) {
    unsigned char c = (unsigned char)v.ptr[i];
    if ((c < 0x20 && c != '\t') || c > 0x7e) return 0;
  }
  return !looks_encoded(v);
}

int mg_header_encode(struct mg_buf *out, struct mg_slice value) {
  if (plain(value)) return mg_buf_adds(out, value);
  mg_buf_addz(out, SENTINEL);
  mg_base64_encode(out, value, 0);
  return mg_buf_addz(out, SENTINEL_END);
}

/* The text a header value stands for. MCPGW_E_PARSE: invalid characters or base64. */
static int decode(struct mg_slice v, struct mg_buf *scratch, struct mg_slice *out) {
  for (size_t i = 0; i < v.len; i++) {
    unsigned char c = (unsigned char)v.ptr[i];
    if ((c < 0x20 && c != '\t') || c > 0x7e) return MCPGW_E_PARSE;
  }
  if (!is_sentinel(v)) {
    *out = v;
    return MCPGW_OK;
  }
  size_t a = sizeof SENTINEL - 1, from = scratch->len;
  struct mg_slice b64 = mg_slice_sub(v, a, v.len - a - (sizeof SENTINEL_END - 1));
  int rc = mg_base64_decode(scratch, b64, 0);
  if (rc != MCPGW_OK) return rc;
  *out = mg_slice(scratch->ptr + from, scratch->len - from);
  return mg_utf8_valid(*out) ? MCPGW_OK : MCPGW_E_PARSE;
}

int mg_meta_check(const struct mg_msg *m, struct mg_header_fault *why) {
  if (m->s[MG_S_META_VERSION].type != MG_JSON_STRING)
    return fail(why, MG_RPC_PARAMS, "_meta lacks the required string", "io.modelcontextprotocol/protocolVersion");
  if (m->s[MG_S_META_CAPABILITIES].type != MG_JSON_OBJECT)
    return fail(why, MG_RPC_PARAMS, "_meta lacks the required object", "io.modelcontextprotocol/clientCapabilities");
  if (!mg_revision_is_modern(mg_revision_parse(mg_msg_inner(m, MG_S_META_VERSION))))
    return fail(why, MG_RPC_VERSION, "Unsupported protocol version", NULL);
  return MCPGW_OK;
}

/* The header must be there once and stand for exactly this text. */
static int match(mg_header_fn get, void *arg, const char *name, struct mg_slice want, struct mg_header_fault *why) {
  size_t count = 0;
  struct mg_slice v = get(arg, name, &count), got;
  if (count != 1) return fail(why, MG_RPC_HEADERS, count ? "header occurs more than once" : "missing header", name);
  struct mg_buf scratch;
  mg_buf_init(&scratch, VALUE_MAX);
  int rc = decode(v, &scratch, &got);
  if (rc != MCPGW_OK) fail(why, MG_RPC_HEADERS, "header value is malformed", name);
  else if (!mg_slice_eq(got, want)) rc = fail(why, MG_RPC_HEADERS, "header does not match the request body", name);
  mg_buf_done(&scratch);
  return rc == MCPGW_OK ? rc : MCPGW_E_INVALID;
}

/* Mcp-Method is never sentinel-encoded: what is compared is what a proxy in between would read. */
static int match_method(const struct mg_msg *m, mg_header_fn get, void *arg, struct mg_header_fault *why) {
  size_t count = 0;
  struct mg_slice v = get(arg, "Mcp-Method", &count);
  if (count != 1) return fail(why, MG_RPC_HEADERS, count ? "header occurs more than once" : "missing header", "Mcp-Method");
  if (mg_span_streq(m->doc, m->s[MG_S_METHOD], v)) return MCPGW_OK;
  return fail(why, MG_RPC_HEADERS, "header does not match the request body", "Mcp-Method");
}

static int match_slot(const struct mg_msg *m, int slot, mg_header_fn get, void *arg, const char *name,
                      struct mg_header_fault *why) {
  struct mg_buf scratch;
  struct mg_slice want;
  mg_buf_init(&scratch, VALUE_MAX);
  int rc = mg_msg_text(m, slot, &scratch, &want);
  if (rc == MCPGW_E_NOT_FOUND || rc == MCPGW_E_PARSE)
    fail(why, MG_RPC_PARAMS, slot == MG_S_URI ? "params.uri must be a string" : "params.name must be a string", NULL);
  else if (rc != MCPGW_OK) fail(why, MG_RPC_HEADERS, "the value to mirror is too long", name);
  else rc = match(get, arg, name, want, why);
  mg_buf_done(&scratch);
  return rc == MCPGW_OK ? rc : MCPGW_E_INVALID;
}

int mg_headers_check(const struct mg_msg *m, mg_header_fn get, void *arg, struct mg_header_fault *why) {
  struct mg_slice body = mg_msg_inner(m, MG_S_META_VERSION);
  size_t count = 0;
  struct mg_slice v = get(arg, "mcp-protocol-version", &count);
  if (count != 1)
    return fail(why, MG_RPC_HEADERS, count ? "header occurs more than once" : "missing header", "MCP-Protocol-Version");
  if (m->s[MG_S_META_VERSION].type == MG_JSON_STRING && !mg_slice_eq(v, body))
    return fail(why, MG_RPC_HEADERS, "header does not match _meta protocolVersion", "MCP-Protocol-Version");
  int rc = mg_meta_check(m, why);
  if (rc != MCPGW_OK) return rc;
  rc = match_method(m, get, arg, why);
  if (rc != MCPGW_OK) return rc;
  if (m->method == MG_M_TOOLS_CALL || m->method == MG_M_PROMPTS_GET)
    return match_slot(m, MG_S_NAME, get, arg, "Mcp-Name", why);
  if (m->method == MG_M_RESOURCES_READ) return match_slot(m, MG_S_URI, get, arg, "Mcp-Name", why);
  return MCPGW_OK;
}

/* The span of the value at a NUL-joined path inside the arguments; 0 when absent or null. */
static int value_at(const struct mg_msg *m, const char *path, struct mg_span *v) {
  *v = m->s[MG_S_ARGUMENTS];
  for (; *path; path += strlen(path) + 1) {
    if (v->type != MG_JSON_OBJECT) return 0;
    struct mg_span next;
    if (!mg_json_get(m->doc, *v, path, &next)) return 0;
    *v = next;
  }
  return v->type != MG_JSON_NULL;
}

static size_t digits_at(struct mg_slice s, size_t i) {
  size_t n = 0;
  while (i + n < s.len && s.ptr[i + n] >= '0' && s.ptr[i + n] <= '9') n++;
  return n;
}

/* "e-12" at i, or nothing; it must end the text. MCPGW_E_PARSE: no exponent of up to three digits. */
static int exponent_at(struct mg_slice raw, size_t i, int *exponent) {
  int sign = 1;
  *exponent = 0;
  if (i == raw.len) return MCPGW_OK;
  if (raw.ptr[i] != 'e' && raw.ptr[i] != 'E') return MCPGW_E_PARSE;
  if (++i < raw.len && (raw.ptr[i] == '-' || raw.ptr[i] == '+')) sign = raw.ptr[i++] == '-' ? -1 : 1;
  size_t n = digits_at(raw, i);
  if (!n || n > 3 || i + n != raw.len) return MCPGW_E_PARSE;
  for (; n; n--, i++) *exponent = *exponent * 10 + (raw.ptr[i] - '0');
  *exponent *= sign;
  return MCPGW_OK;
}

/* Splits a number (by JSON's grammar: a header may hold anything) into its digits, 40 at most, and the
 * power of ten they are to be scaled by. */
static int number_parts(struct mg_slice raw, char digits[48], size_t *n, int *scale, int *negative) {
  size_t i = raw.len && raw.ptr[0] == '-', whole = digits_at(raw, i), from = i, part = 0;
  *negative = i == 1;
  if (!whole || (whole > 1 && raw.ptr[i] == '0')) return MCPGW_E_PARSE;
  i += whole;
  if (i < raw.len && raw.ptr[i] == '.' && !(part = digits_at(raw, ++i))) return MCPGW_E_PARSE;
  *n = whole + part;
  if (*n > 40 || exponent_at(raw, i + part, scale) != MCPGW_OK) return MCPGW_E_PARSE;
  memcpy(digits, raw.ptr + from, whole);
  memcpy(digits + whole, raw.ptr + i, part);
  *scale -= (int)part;
  return MCPGW_OK;
}

/* An integer in decimal digits: "42" for 42, 42.0 and 4.2e1. MCPGW_E_PARSE: no integer in the safe range
 * (-2^53+1 … 2^53-1). Not by strtod: that reads the host's locale. */
static int integer_text(struct mg_slice raw, char out[32]) {
  char d[48];
  size_t n, from = 0;
  int scale, negative;
  if (number_parts(raw, d, &n, &scale, &negative) != MCPGW_OK) return MCPGW_E_PARSE;
  while (from < n && d[from] == '0') from++;
  if (from == n) scale = 0;
  for (; scale < 0; scale++)
    if (n == from || d[--n] != '0') return MCPGW_E_PARSE;
  for (; scale > 0; scale--) {
    if (n - from >= 16) return MCPGW_E_PARSE;
    d[n++] = '0';
  }
  if (n - from > 16 || (n - from == 16 && memcmp(d + from, "9007199254740991", 16) > 0)) return MCPGW_E_PARSE;
  if (n == from) {
    d[n++] = '0';
    negative = 0;
  }
  snprintf(out, 32, "%s%.*s", negative ? "-" : "", (int)(n - from), d + from);
  return MCPGW_OK;
}

/* The text that the value of a parameter is mirrored as. MCPGW_E_INVALID: not of a primitive type. */
static int value_text(const struct mg_msg *m, struct mg_span v, struct mg_buf *scratch, struct mg_slice *out) {
  size_t from = scratch->len;
  char digits[32];
  switch (v.type) {
  case MG_JSON_STRING: return mg_span_text(m->doc, v, scratch, out);
  case MG_JSON_TRUE: *out = MG_LIT("true"); return MCPGW_OK;
  case MG_JSON_FALSE: *out = MG_LIT("false"); return MCPGW_OK;
  case MG_JSON_NUMBER:
    if (integer_text(mg_span_slice(m->doc, v), digits) == MCPGW_OK) mg_buf_addz(scratch, digits);
    else mg_buf_adds(scratch, mg_span_slice(m->doc, v));
    if (mg_buf_rc(scratch) != MCPGW_OK) return mg_buf_rc(scratch);
    *out = mg_slice(scratch->ptr + from, scratch->len - from);
    return MCPGW_OK;
  default: return MCPGW_E_INVALID;
  }
}

/* The two texts have a scratch each: adding to one may move it. */
static int check_one(const struct mg_param *p, const char *name, const struct mg_msg *m, struct mg_slice header,
                     size_t count, struct mg_buf scratch[2], struct mg_header_fault *why) {
  struct mg_span v;
  struct mg_slice want, got;
  char a[32], b[32];
  int there = value_at(m, p->path, &v);
  if (!there) {
    if (count) return fail(why, MG_RPC_HEADERS, "header stands for no value of the body", name);
    return MCPGW_OK;
  }
  if (count != 1) return fail(why, MG_RPC_HEADERS, count ? "header occurs more than once" : "missing header", name);
  if (decode(header, &scratch[0], &got) != MCPGW_OK) return fail(why, MG_RPC_HEADERS, "header value is malformed", name);
  if (value_text(m, v, &scratch[1], &want) != MCPGW_OK)
    return fail(why, MG_RPC_HEADERS, "the value to mirror is no string, integer or boolean", name);
  if (mg_slice_eq(got, want)) return MCPGW_OK;
  if (v.type == MG_JSON_NUMBER && integer_text(got, a) == MCPGW_OK && integer_text(want, b) == MCPGW_OK &&
      !strcmp(a, b))
    return MCPGW_OK;
  return fail(why, MG_RPC_HEADERS, "header does not match the request body", name);
}

int mg_params_check(const struct mg_params *p, const struct mg_msg *m, mg_header_fn get, void *arg,
                    struct mg_header_fault *why) {
  for (size_t i = 0; i < p->n; i++) {
    char name[160];
    struct mg_buf scratch[2];
    size_t count = 0;
    int n = snprintf(name, sizeof name, "Mcp-Param-%s", p->v[i].header);
    if (n < 0 || (size_t)n >= sizeof name) return fail(why, MG_RPC_HEADERS, "header name is too long", NULL);
    struct mg_slice value = get(arg, name, &count);
    mg_buf_init(&scratch[0], (size_t)1 << 20); /* they grow on use only */
    mg_buf_init(&scratch[1], (size_t)1 << 20);
    int rc = check_one(&p->v[i], name, m, value, count, scratch, why);
    mg_buf_done(&scratch[0]);
    mg_buf_done(&scratch[1]);
    if (rc != MCPGW_OK) return rc;
  }
  return MCPGW_OK;
}

int mg_params_mirror(const struct mg_params *p, const struct mg_msg *m, struct mg_buf *out, size_t *n) {
  struct mg_buf scratch;
  mg_buf_init(&scratch, (size_t)1 << 20);
  *n = 0;
  for (size_t i = 0; i < p->n; i++) {
    struct mg_span v;
    struct mg_slice text;
    mg_buf_reset(&scratch);
    if (!value_at(m, p->v[i].path, &v) || value_text(m, v, &scratch, &text) != MCPGW_OK) continue;
    mg_buf_addz(out, "Mcp-Param-");
    mg_buf_addz(out, p->v[i].header);
    mg_buf_addc(out, 0);
    mg_header_encode(out, text);
    mg_buf_addc(out, 0);
    (*n)++;
  }
  mg_buf_done(&scratch);
  return mg_buf_rc(out);
}
