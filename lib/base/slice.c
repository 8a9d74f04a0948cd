/* base/slice: reads borrowed bytes: compare, cut, trim, parse a number, match a glob. Owns nothing and
 * must never allocate, never look past len and never depend on the locale. */
#include "base/slice.h"

#include <string.h>

#include "mcpgw/types.h"

static unsigned char fold(char c) {
  unsigned char u = (unsigned char)c;
  return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

struct mg_slice mg_slice(const void *ptr, size_t len) {
  return (struct mg_slice){ptr, len};
}

struct mg_slice mg_slice_z(const char *text) {
  return (struct mg_slice){text ? text : "", text ? strlen(text) : 0};
}

struct mg_slice mg_slice_sub(struct mg_slice s, size_t from, size_t len) {
  if (from > s.len) from = s.len;
  if (len > s.len - from) len = s.len - from;
  return (struct mg_slice){s.ptr ? s.ptr + from : NULL, len};
}

int mg_slice_eq(struct mg_slice a, struct mg_slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

int mg_slice_eqz(struct mg_slice a, const char *b) {
  return mg_slice_eq(a, mg_slice_z(b));
}

int mg_slice_ieq(struct mg_slice a, struct mg_slice b) {
  if (a.len != b.len) return 0;
  for (size_t i = 0; i < a.len; i++)
    if (fold(a.ptr[i]) != fold(b.ptr[i])) return 0;
  return 1;
}

int mg_slice_ieqz(struct mg_slice a, const char *b) {
  return mg_slice_ieq(a, mg_slice_z(b));
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
