/* json/lex: the one place that knows the grammar of RFC 8259 byte by byte: blanks, strings with their
 * escapes and UTF-8, numbers, words, and skipping a value of any depth without recursion. Strings are
 * read 16 bytes at a time where there is SSE2, else eight. It must never allocate, never keep a position between calls, and never
 * read at or beyond the end it was given. */
#include "json/lex.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

void mg_lex_init(struct mg_lex *x, struct mg_slice doc) {
  x->base = doc.len ? doc.ptr : "";
  x->end = x->base + doc.len;
  x->error = MG_SCAN_OK;
  x->at = x->base;
  x->escaped = 0;
}

const char *mg_lex_fail(struct mg_lex *x, const char *at, int error) {
  x->error = error;
  x->at = at;
  return NULL;
}

/* A fault at p, which is plain lack of bytes when p is the end. */
static const char *bad(struct mg_lex *x, const char *p) {
  return mg_lex_fail(x, p, p >= x->end ? MG_SCAN_TRUNCATED : MG_SCAN_SYNTAX);
}

/* Eight bytes, the first in the lowest bits whatever the machine. */
static inline uint64_t load8(const char *p) {
  uint64_t w;
  memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap64(w);
#endif
  return w;
}

/* The high bit of each byte that ends plain text: quote, backslash, control, not ASCII. A borrow can
 * flag a byte too many, but only above one rightly flagged, so the lowest flag is always true. */
static inline uint64_t special(uint64_t w) {
  return (w | (w - ONES * 0x20) | ((w ^ ONES * '"') - ONES) | ((w ^ ONES * '\\') - ONES)) & HIGH;
}

static inline int is_special(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that ends plain text: as signed numbers, control and not ASCII are below 0x20. */
static inline unsigned special16(const char *p) {
  __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
  __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
  return (unsigned)_mm_movemask_epi8(_mm_or_si128(ends, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))));
}
#endif

/* To the first byte of a string that needs a look, or the end. */
static inline const char *plain(const char *p, const char *end) {
#ifdef __SSE2__
  while (end - p >= 16) {
    unsigned m = special16(p);
    if (m) return p + (unsigned)__builtin_ctz(m);
    p += 16;
  }
#endif
  while (end - p >= 8) {
    uint64_t m = special(load8(p));
    if (m) return p + ((unsigned)__builtin_ctzll(m) >> 3);
    p += 8;
  }
  while (p < end && !is_special((unsigned char)*p)) p++;
  return p;
}

const char *mg_lex_blank_slow(struct mg_lex *x, const char *p) {
  for (;; p++) {
    while (x->end - p >= 8) { /* indentation */
      uint64_t other = load8(p) ^ (ONES * ' ');
      if (other) {
        p += (unsigned)__builtin_ctzll(other) >> 3;
        break;
      }
      p += 8;
    }
    if (p >= x->end) return mg_lex_fail(x, p, MG_SCAN_TRUNCATED);
    if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t') return p;
  }
}

static inline int is_hex(char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Over one escape; p on the backslash. */
static inline const char *escape(struct mg_lex *x, const char *p) {
  if (x->end - p < 2) return bad(x, x->end);
  switch (p[1]) {
  case '"':
  case '\\':
  case '/':
  case 'b':
  case 'f':
  case 'n':
  case 'r':
  case 't':
    return p + 2;
  case 'u':
    break;
  default:
    return bad(x, p + 1);
  }
  p += 2;
  for (int i = 0; i < 4; i++, p++)
    if (p >= x->end || !is_hex(*p)) return bad(x, p);
  return p;
}

static inline int is_tail(char c) {
  return ((unsigned char)c & 0xC0) == 0x80;
}

/* The length of the sequence at p when RFC 3629 allows it and n bytes hold it, else 0. */
static inline unsigned sequence(const char *p, size_t n) {
  unsigned c = (unsigned char)p[0], d = n > 1 ? (unsigned char)p[1] : 0;
  if (c >= 0xC2 && c <= 0xDF) return n >= 2 && (d & 0xC0) == 0x80 ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if (n < 3 || (d & 0xC0) != 0x80 || !is_tail(p[2])) return 0;
    return (c == 0xE0 && d < 0xA0) || (c == 0xED && d > 0x9F) ? 0 : 3; /* overlong, surrogate */
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if (n < 4 || (d & 0xC0) != 0x80 || !is_tail(p[2]) || !is_tail(p[3])) return 0;
    return (c == 0xF0 && d < 0x90) || (c == 0xF4 && d > 0x8F) ? 0 : 4; /* overlong, past U+10FFFF */
  }
  return 0;
}

/* What is wrong with a sequence that `sequence` refused: cut short by the end, or not UTF-8 at all. */
static const char *bad_sequence(struct mg_lex *x, const char *p) {
  char whole[4] = {0, 0, 0, 0};
  size_t n = (size_t)(x->end - p);
  if (n >= sizeof whole) return mg_lex_fail(x, p, MG_SCAN_UTF8);
  memcpy(whole, p, n);
  /* Any continuation in range for every lead byte of its kind is one of these two. */
  for (int fill = 0x80; fill <= 0xA0; fill += 0x10) {
    memset(whole + n, fill, sizeof whole - n);
    if (sequence(whole, sizeof whole) > n) return mg_lex_fail(x, x->end, MG_SCAN_TRUNCATED);
  }
  return mg_lex_fail(x, p, MG_SCAN_UTF8);
}

/* Over a run of sequences beyond ASCII. */
static inline const char *beyond_ascii(struct mg_lex *x, const char *p) {
  do {
    unsigned n = sequence(p, (size_t)(x->end - p));
    if (!n) return bad_sequence(x, p);
    p += n;
  } while (p < x->end && (unsigned char)*p >= 0x80);
  return p;
}

static inline const char *string(struct mg_lex *x, const char *p) {
  const char *end = x->end;
  if (*p != '"') return bad(x, p);
  p++;
  while ((p = plain(p, end)) < end) {
    unsigned char c = (unsigned char)*p;
    if (c == '"') return p + 1;
    if (c == '\\') {
      x->escaped = 1;
      p = escape(x, p);
    } else if (c >= 0x80) {
      p = beyond_ascii(x, p);
    } else {
      return bad(x, p);
    }
    if (!p) return NULL;
  }
  return bad(x, end);
}

const char *mg_lex_string(struct mg_lex *x, const char *p) {
  return string(x, p);
}

static inline const char *colon(struct mg_lex *x, const char *p) {
  p = mg_lex_blank(x, p);
  if (!p) return NULL;
  return *p == ':' ? mg_lex_blank(x, p + 1) : bad(x, p);
}

const char *mg_lex_colon(struct mg_lex *x, const char *p) {
  return colon(x, p);
}

static inline int is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* One digit or more. */
static inline const char *digits(struct mg_lex *x, const char *p) {
  if (p >= x->end || !is_digit(*p)) return bad(x, p);
  do p++;
  while (p < x->end && is_digit(*p));
  return p;
}

static inline const char *number(struct mg_lex *x, const char *p) {
  if (*p == '-') p++;
  if (p < x->end && *p == '0')
    p++; /* nothing but `.` or an exponent may follow; a digit is refused where the next token is due */
  else p = digits(x, p);
  if (p && p < x->end && *p == '.') p = digits(x, p + 1);
  if (p && p < x->end && (*p | 0x20) == 'e') {
    p++;
    if (p < x->end && (*p == '+' || *p == '-')) p++;
    p = digits(x, p);
  }
  return p;
}

static const char *word(struct mg_lex *x, const char *p, const char *text, size_t len) {
  if ((size_t)(x->end - p) >= len && memcmp(p, text, len) == 0) return p + len;
  while (p < x->end && *p == *text) { /* ends before the text does: one byte differs or is missing */
    p++;
    text++;
  }
  return bad(x, p);
}

static inline const char *scalar(struct mg_lex *x, const char *p) {
  switch (*p) {
  case '"':
    return string(x, p);
  case 't':
    return word(x, p, "true", 4);
  case 'f':
    return word(x, p, "false", 5);
  case 'n':
    return word(x, p, "null", 4);
  default:
    return is_digit(*p) || *p == '-' ? number(x, p) : bad(x, p);
  }
}

static inline const char *key(struct mg_lex *x, const char *p) {
  p = string(x, p);
  return p ? colon(x, p) : NULL;
}

/* Over the comma and, in an object, the key: to the next value. */
static inline const char *next(struct mg_lex *x, const char *p, char closer) {
  if (*p != ',') return bad(x, p);
  p = mg_lex_blank(x, p + 1);
  return p && closer == '}' ? key(x, p) : p;
}

/* closer[1..top] are the brackets still to come; '{' + 2 is '}' and '[' + 2 is ']'. */
const char *mg_lex_value(struct mg_lex *x, const char *p, unsigned depth) {
  char closer[MG_JSON_DEPTH + 1];
  unsigned top = 0;
  while (p) {
    char c = *p;
    if (c == '{' || c == '[') {
      if (depth + top >= MG_JSON_DEPTH) return mg_lex_fail(x, p, MG_SCAN_DEPTH);
      closer[++top] = (char)(c + 2);
      p = mg_lex_blank(x, p + 1);
      if (p && *p != c + 2) {
        if (c == '{') p = key(x, p);
        continue;
      }
    } else {
      p = scalar(x, p);
      if (p && top) p = mg_lex_blank(x, p);
    }
    for (; p && top && *p == closer[top]; top--) /* close what ends here */
      p = top > 1 ? mg_lex_blank(x, p + 1) : p + 1;
    if (!p || !top) return p;
    p = next(x, p, closer[top]);
  }
  return NULL;
}

int mg_lex_type(char first) {
  switch (first) {
  case '{':
    return MG_JSON_OBJECT;
  case '[':
    return MG_JSON_ARRAY;
  case '"':
    return MG_JSON_STRING;
  case 't':
    return MG_JSON_TRUE;
  case 'f':
    return MG_JSON_FALSE;
  case 'n':
    return MG_JSON_NULL;
  default:
    return is_digit(first) || first == '-' ? MG_JSON_NUMBER : MG_JSON_NONE;
  }
}
