/* json.c owns looking into JSON: it finds values by key and leaves them as they are written. It checks the
 * grammar as it goes and must never trust its input, although the library has validated most of it. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define DEPTH_MAX 256

struct cursor {
  const char *p, *end;
  int depth;
};

static int skip_value(struct cursor *c);

static void skip_blank(struct cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r')) c->p++;
}

static int take(struct cursor *c, char what) {
  if (c->p == c->end || *c->p != what) return 0;
  c->p++;
  return 1;
}

static int hex4(const char *p, const char *end, unsigned *out) {
  unsigned v = 0;
  if (end - p < 4) return 0;
  for (int i = 0; i < 4; i++) {
    char ch = p[i];
    v <<= 4;
    if (ch >= '0' && ch <= '9') v |= (unsigned)(ch - '0');
    else if ((ch | 32) >= 'a' && (ch | 32) <= 'f') v |= (unsigned)((ch | 32) - 'a' + 10);
    else return 0;
  }
  *out = v;
  return 1;
}

static int skip_escape(struct cursor *c) {
  unsigned v;
  if (c->p == c->end) return 0;
  if (*c->p == 'u') {
    if (!hex4(c->p + 1, c->end, &v)) return 0;
    c->p += 5;
    return 1;
  }
  if (*c->p == '\0' || strchr("\"\\/bfnrt", *c->p) == NULL) return 0;
  c->p++;
  return 1;
}

static int skip_string(struct cursor *c) {
  if (!take(c, '"')) return 0;
  while (c->p < c->end) {
    unsigned char ch = (unsigned char)*c->p;
    if (ch < ' ') return 0;
    c->p++;
    if (ch == '"') return 1;
    if (ch == '\\' && !skip_escape(c)) return 0;
  }
  return 0;
}

static int skip_digits(struct cursor *c) {
  const char *from = c->p;
  while (c->p < c->end && *c->p >= '0' && *c->p <= '9') c->p++;
  return c->p > from;
}

static int skip_number(struct cursor *c) {
  take(c, '-');
  if (!take(c, '0') && !skip_digits(c)) return 0;
  if (take(c, '.') && !skip_digits(c)) return 0;
  if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
    c->p++;
    if (!take(c, '+')) take(c, '-');
    return skip_digits(c);
  }
  return 1;
}

static int skip_word(struct cursor *c) {
  static const char *const words[] = {"true", "false", "null"};
  for (size_t i = 0; i < 3; i++) {
    size_t len = strlen(words[i]);
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, words[i], len) != 0) continue;
    c->p += len;
    return 1;
  }
  return 0;
}

static int skip_container(struct cursor *c, char close) {
  c->p++;
  skip_blank(c);
  if (take(c, close)) return 1;
  for (;;) {
    skip_blank(c);
    if (close == '}') {
      if (!skip_string(c)) return 0;
      skip_blank(c);
      if (!take(c, ':')) return 0;
    }
    if (!skip_value(c)) return 0;
    skip_blank(c);
    if (take(c, close)) return 1;
    if (!take(c, ',')) return 0;
  }
}

static int skip_value(struct cursor *c) {
  int ok;
  skip_blank(c);
  if (c->p == c->end || c->depth == DEPTH_MAX) return 0;
  c->depth++;
  switch (*c->p) {
  case '{':
    ok = skip_container(c, '}');
    break;
  case '[':
    ok = skip_container(c, ']');
    break;
  case '"':
    ok = skip_string(c);
    break;
  case 't':
  case 'f':
  case 'n':
    ok = skip_word(c);
    break;
  default:
    ok = skip_number(c);
  }
  c->depth--;
  return ok;
}

int json_read(const char *text, size_t len, struct json *out, size_t *at) {
  struct cursor c = {text, text + len, 0};
  skip_blank(&c);
  const char *from = c.p;
  int ok = skip_value(&c);
  const char *to = c.p;
  if (ok) skip_blank(&c);
  if (at) *at = (size_t)(c.p - text);
  if (!ok || c.p != c.end) return 0;
  out->ptr = from;
  out->len = (size_t)(to - from);
  return 1;
}

int json_is(struct json v, char kind) {
  if (v.ptr == NULL || v.len == 0) return 0;
  char first = *v.ptr == 'f' ? 't' : *v.ptr;
  if (first == '-' || (first >= '0' && first <= '9')) first = '0';
  return first == kind;
}

int json_true(struct json v) {
  return json_is(v, 't') && *v.ptr == 't';
}

int json_next(struct json container, size_t *pos, struct json *key, struct json *value) {
  int object = json_is(container, '{');
  if (!object && !json_is(container, '[')) return 0;
  struct cursor c = {container.ptr + (*pos ? *pos : 1), container.ptr + container.len, 0};
  skip_blank(&c);
  if (*pos && !take(&c, ',')) return 0;
  skip_blank(&c);
  if (object) {
    const char *from = c.p;
    if (!skip_string(&c)) return 0;
    if (key) *key = (struct json){from, (size_t)(c.p - from)};
    skip_blank(&c);
    if (!take(&c, ':')) return 0;
    skip_blank(&c);
  }
  value->ptr = c.p;
  if (!skip_value(&c)) return 0;
  value->len = (size_t)(c.p - value->ptr);
  *pos = (size_t)(c.p - container.ptr);
  return 1;
}

size_t json_count(struct json container) {
  struct json v;
  size_t pos = 0, n = 0;
  while (json_next(container, &pos, NULL, &v)) n++;
  return n;
}

static int key_is(struct json key, const char *name) {
  size_t len = strlen(name);
  if (memchr(key.ptr, '\\', key.len) == NULL)
    return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
  char *text = json_text(key, NULL);
  int same = text && strcmp(text, name) == 0;
  free(text);
  return same;
}

struct json json_get(struct json object, const char *key) {
  struct json k, v;
  size_t pos = 0;
  if (!json_is(object, '{')) return (struct json){NULL, 0};
  while (json_next(object, &pos, &k, &v))
    if (key_is(k, key)) return v;
  return (struct json){NULL, 0};
}

static char *put_utf8(char *to, unsigned u) {
  if (u < 0x80) {
    *to++ = (char)u;
  } else if (u < 0x800) {
    *to++ = (char)(0xC0 | u >> 6);
    *to++ = (char)(0x80 | (u & 63));
  } else if (u < 0x10000) {
    *to++ = (char)(0xE0 | u >> 12);
    *to++ = (char)(0x80 | (u >> 6 & 63));
    *to++ = (char)(0x80 | (u & 63));
  } else {
    *to++ = (char)(0xF0 | u >> 18);
    *to++ = (char)(0x80 | (u >> 12 & 63));
    *to++ = (char)(0x80 | (u >> 6 & 63));
    *to++ = (char)(0x80 | (u & 63));
  }
  return to;
}

/* p stands behind "\u". A half of a pair without the other, and NUL, become U+FFFD. */
static unsigned read_u(const char **p, const char *end) {
  unsigned u = 0, low = 0;
  if (!hex4(*p, end, &u)) return 0xFFFD;
  *p += 4;
  if (u >= 0xD800 && u < 0xDC00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
      hex4(*p + 2, end, &low) && low >= 0xDC00 && low < 0xE000) {
    *p += 6;
    return 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
  }
  return u == 0 || (u >= 0xD800 && u < 0xE000) ? 0xFFFD : u;
}

static char unescape(char c) {
  static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
  const char *at = c ? strchr(from, c) : NULL;
  return at ? to[at - from] : c;
}

char *json_text(struct json string, size_t *len) {
  if (!json_is(string, '"') || string.len < 2) return NULL;
  char *out = malloc(string.len * 3 / 2 + 1), *to = out; /* "\u0000" is six bytes and becomes three */
  if (out == NULL) return NULL;
  for (const char *p = string.ptr + 1, *end = string.ptr + string.len - 1; p < end;) {
    if (*p != '\\') {
      *to++ = *p++;
      continue;
    }
    if (++p == end) break;
    char c = *p++;
    if (c == 'u') to = put_utf8(to, read_u(&p, end));
    else *to++ = unescape(c);
  }
  *to = '\0';
  if (len) *len = (size_t)(to - out);
  return out;
}

long long json_int(struct json number, long long otherwise) {
  char text[32];
  if (!json_is(number, '0') || number.len >= sizeof text) return otherwise;
  memcpy(text, number.ptr, number.len);
  text[number.len] = '\0';
  return strtoll(text, NULL, 10);
}

void json_quote(FILE *f, const char *text, size_t len) {
  putc('"', f);
  for (size_t i = 0; i < len; i++) {
    unsigned char ch = (unsigned char)text[i];
    if (ch == '"' || ch == '\\') fprintf(f, "\\%c", ch);
    else if (ch < ' ') fprintf(f, "\\u%04x", ch);
    else putc(ch, f);
  }
  putc('"', f);
}

void json_write(FILE *f, struct json v) {
  if (v.ptr) fwrite(v.ptr, 1, v.len, f);
  else fputs("null", f);
}
