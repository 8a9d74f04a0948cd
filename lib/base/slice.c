/* base/slice: reads borrowed bytes: compare, cut, trim, parse a number, match a glob. Owns nothing and
 * must never allocate, never look past len and never depend on the locale. */
#include "base/slice.h"

#include <string.h>

#include "mcpgw/types.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

/* Eight bytes with their ASCII capitals folded: adding makes a byte's high bit tell whether it is that large. */
static inline uint64_t folded8(const char *p) {
  uint64_t w, low, capital;
  memcpy(&w, p, sizeof w);
  low = w & ~HIGH;
  capital = (low + ONES * (0x80 - 'A')) & ~(low + ONES * (0x80 - 'Z' - 1)) & ~w & HIGH;
  return w | capital >> 2;
}

static unsigned char folded(char c) {
  unsigned char u = (unsigned char)c;
  return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

int mg_same_folded(const char *a, const char *b, size_t len) {
  size_t i = 0;
  for (; len - i >= 8; i += 8)
    if (folded8(a + i) != folded8(b + i)) return 0;
  if (i && i < len) return folded8(a + len - 8) == folded8(b + len - 8);
  for (; i < len; i++)
    if (folded(a[i]) != folded(b[i])) return 0;
  return 1;
}

int mg_slice_starts(struct mg_slice a, struct mg_slice prefix) {
  return a.len >= prefix.len && mg_slice_eq(mg_slice_sub(a, 0, prefix.len), prefix);
}

int mg_slice_cmp(struct mg_slice a, struct mg_slice b) {
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
  if (c != 0) return c;
  return (a.len > b.len) - (a.len < b.len);
}

static int blank(char c) {
  return c == ' ' || c == '\t';
}

struct mg_slice mg_slice_trim(struct mg_slice s) {
  while (s.len && blank(s.ptr[0])) s.ptr++, s.len--;
  while (s.len && blank(s.ptr[s.len - 1])) s.len--;
  return s;
}

int mg_slice_cut(struct mg_slice *s, char sep, struct mg_slice *head) {
  if (s->len == 0) return 0;
  const char *at = memchr(s->ptr, sep, s->len);
  size_t n = at ? (size_t)(at - s->ptr) : s->len;
  *head = mg_slice_sub(*s, 0, n);
  *s = mg_slice_sub(*s, at ? n + 1 : n, s->len);
  return 1;
}

static int is_control(unsigned char c) {
  return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Eight bytes at a time: a flag for each that is below 0x20 or 0x7f, and perhaps for one behind such a byte. */
int mg_slice_is_line(struct mg_slice s) {
  size_t i = 0;
  for (uint64_t w; s.len - i >= sizeof w; i += sizeof w) {
    memcpy(&w, s.ptr + i, sizeof w);
    uint64_t flags = ((w - ONES * 0x20) | ((w ^ ONES * 0x7f) - ONES)) & ~w & HIGH;
    for (size_t k = i; flags && k < i + sizeof w; k++)
      if (is_control((unsigned char)s.ptr[k])) return 0;
  }
  for (; i < s.len; i++)
    if (is_control((unsigned char)s.ptr[i])) return 0;
  return 1;
}

int mg_slice_u64(struct mg_slice s, uint64_t *out) {
  uint64_t n = 0;
  if (s.len == 0) return MCPGW_E_PARSE;
  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] < '0' || s.ptr[i] > '9') return MCPGW_E_PARSE;
    if (__builtin_mul_overflow(n, 10u, &n)) return MCPGW_E_PARSE;
    if (__builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n)) return MCPGW_E_PARSE;
  }
  *out = n;
  return MCPGW_OK;
}

struct mg_slice mg_u64_text(char out[MG_U64_TEXT], uint64_t n) {
  size_t at = MG_U64_TEXT;
  do out[--at] = (char)('0' + n % 10);
  while (n /= 10);
  return mg_slice(out + at, MG_U64_TEXT - at);
}

/* Only the last star is ever retried: an earlier one that matched as little as possible never needs to
 * match more, so there is no exponential case. */
int mg_glob(struct mg_slice pattern, struct mg_slice text) {
  size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
  while (t < text.len) {
    if (p < pattern.len && pattern.ptr[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
      p++;
      t++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++mark;
    } else {
      return 0;
    }
  }
  while (p < pattern.len && pattern.ptr[p] == '*') p++;
  return p == pattern.len;
}
