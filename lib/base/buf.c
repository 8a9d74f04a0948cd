/* base/buf: a growing byte buffer that cannot pass its ceiling. The first failure sticks, what was in
 * it before stays readable. Must never grow past max and never write a NUL the caller did not ask for. */
#include "base/buf.h"

#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "mcpgw/types.h"

#define FIRST_CAP ((size_t)256)

void mg_buf_init(struct mg_buf *b, size_t max) {
  *b = (struct mg_buf){.max = max};
}

void mg_buf_done(struct mg_buf *b) {
  if (b == NULL) return;
  mg_free(b->ptr);
  *b = (struct mg_buf){.max = b->max};
}

void mg_buf_reset(struct mg_buf *b) {
  b->len = 0;
  b->rc = MCPGW_OK;
}

static int grow(struct mg_buf *b, size_t extra) {
  if (extra > b->max - b->len) return b->rc = MCPGW_E_LIMIT;
  size_t need = b->len + extra;
  size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
  if (cap < FIRST_CAP) cap = b->max < FIRST_CAP ? b->max : FIRST_CAP;
  if (cap < need) cap = need;
  char *p = mg_realloc(b->ptr, cap);
  if (p == NULL) return b->rc = MCPGW_E_NOMEM;
  b->ptr = p;
  b->cap = cap;
  return MCPGW_OK;
}

int mg_buf_reserve(struct mg_buf *b, size_t extra) {
  if (b->rc != MCPGW_OK) return b->rc;
  return extra <= b->cap - b->len ? MCPGW_OK : grow(b, extra);
}

int mg_buf_add(struct mg_buf *b, const void *data, size_t len) {
  int rc = mg_buf_reserve(b, len);
  if (rc != MCPGW_OK || len == 0) return rc;
  memcpy(b->ptr + b->len, data, len);
  b->len += len;
  return MCPGW_OK;
}

int mg_buf_addc(struct mg_buf *b, char c) {
  int rc = mg_buf_reserve(b, 1);
  if (rc == MCPGW_OK) b->ptr[b->len++] = c;
  return rc;
}

int mg_buf_addu(struct mg_buf *b, uint64_t n) {
  char text[MG_U64_TEXT];
  return mg_buf_adds(b, mg_u64_text(text, n));
}

int mg_buf_addi(struct mg_buf *b, int64_t n) {
  if (n >= 0) return mg_buf_addu(b, (uint64_t)n);
  mg_buf_addc(b, '-');
  return mg_buf_addu(b, -(uint64_t)n);
}

static int add_escape(struct mg_buf *b, unsigned char c) {
  static const char hex[] = "0123456789abcdef";
  switch (c) {
  case '"':
    return mg_buf_add(b, "\\\"", 2);
  case '\\':
    return mg_buf_add(b, "\\\\", 2);
  case '\n':
    return mg_buf_add(b, "\\n", 2);
  case '\r':
    return mg_buf_add(b, "\\r", 2);
  case '\t':
    return mg_buf_add(b, "\\t", 2);
  case '\b':
    return mg_buf_add(b, "\\b", 2);
  case '\f':
    return mg_buf_add(b, "\\f", 2);
  default:
    return mg_buf_add(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
  }
}

/* Bytes of the character at s that needs no escape; 0: it needs one, or is no UTF-8. */
static size_t plain_char(struct mg_slice s) {
  unsigned char c = (unsigned char)s.ptr[0];
  if (c < 0x80) return c >= 0x20 && c != '"' && c != '\\';
  size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  return n <= s.len && mg_utf8_valid(mg_slice(s.ptr, n)) ? n : 0;
}

int mg_buf_json_str(struct mg_buf *b, struct mg_slice s) {
  size_t from = 0, n;
  mg_buf_addc(b, '"');
  for (size_t i = 0; i < s.len; i += n) {
    if ((n = plain_char(mg_slice(s.ptr + i, s.len - i)))) continue;
    unsigned char c = (unsigned char)s.ptr[i];
    mg_buf_add(b, s.ptr + from, i - from);
    if ((c < 0x80 ? add_escape(b, c) : mg_buf_addc(b, '?')) != MCPGW_OK) return b->rc;
    from = i + (n = 1);
  }
  mg_buf_adds(b, mg_slice_sub(s, from, s.len));
  return mg_buf_addc(b, '"');
}

int mg_buf_rc(const struct mg_buf *b) {
  return b->rc;
}

void mg_buf_drop(struct mg_buf *b, size_t n) {
  if (n > b->len) n = b->len;
  b->len -= n;
  if (b->len && n) memmove(b->ptr, b->ptr + n, b->len);
}

struct mg_slice mg_buf_slice(const struct mg_buf *b) {
  return mg_slice(b->ptr ? b->ptr : "", b->len);
}
