/* base/slice: borrowed bytes (ptr,len), never NUL-terminated by promise. */
#ifndef MG_BASE_SLICE_H
#define MG_BASE_SLICE_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mg_slice {
  const char *ptr;
  size_t len;
};
#define MG_LIT(s) ((struct mg_slice){(s), sizeof(s) - 1})

/* The smallest ones are here: they are called some hundred times a message, mostly with constants. */
static inline struct mg_slice mg_slice(const void *ptr, size_t len) {
  return (struct mg_slice){(const char *)ptr, len};
}
static inline struct mg_slice mg_slice_z(const char *text) { /* NULL gives the empty slice */
  return (struct mg_slice){text ? text : "", text ? strlen(text) : 0};
}
static inline struct mg_slice mg_slice_sub(struct mg_slice s, size_t from, size_t len) { /* clamped to s */
  if (from > s.len) from = s.len;
  if (len > s.len - from) len = s.len - from;
  return (struct mg_slice){s.ptr ? s.ptr + from : NULL, len};
}
static inline int mg_slice_eq(struct mg_slice a, struct mg_slice b) { /* 1 or 0 */
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline int mg_slice_eqz(struct mg_slice a, const char *b) { /* 1 or 0 */
  return mg_slice_eq(a, mg_slice_z(b));
}
int mg_same_folded(const char *a, const char *b, size_t len); /* the same bytes but for ASCII case; 1 or 0 */
static inline int mg_slice_ieq(struct mg_slice a, struct mg_slice b) { /* ASCII case folded */
  if (a.len != b.len) return 0;
  return a.len == 0 || (!((a.ptr[0] ^ b.ptr[0]) & ~0x20) && mg_same_folded(a.ptr, b.ptr, a.len));
}
static inline int mg_slice_ieqz(struct mg_slice a, const char *b) {
  return mg_slice_ieq(a, mg_slice_z(b));
}
int mg_slice_starts(struct mg_slice a, struct mg_slice prefix);
int mg_slice_cmp(struct mg_slice a, struct mg_slice b);     /* memcmp order, shorter first */
struct mg_slice mg_slice_trim(struct mg_slice s);           /* blanks and tabs off both ends */
/* Splits at the first sep: *head gets what is before, s what is after; returns 0 when s is used up
 * (empty on entry, so a trailing sep adds no empty piece). */
int mg_slice_cut(struct mg_slice *s, char sep, struct mg_slice *head);
int mg_slice_is_line(struct mg_slice s); /* no control byte but tab in it: may be a header's value; 1 or 0 */
int mg_slice_u64(struct mg_slice s, uint64_t *out); /* decimal, whole slice; MCPGW_E_PARSE else */
#define MG_U64_TEXT 20
struct mg_slice mg_u64_text(char out[MG_U64_TEXT], uint64_t n); /* decimal; a view into out */
int mg_glob(struct mg_slice pattern, struct mg_slice text); /* '*' and '?' (a byte); at most |pattern| x |text| steps; 1 or 0 */
#endif
