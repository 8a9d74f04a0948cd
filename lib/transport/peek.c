/* transport/peek.c finds "id" and the kind among a message's top-level members without parsing the rest.
 * It must never be used to accept or refuse a message: on text that is not JSON its answer is any. Keys
 * written with escapes are not recognised; such a message counts as unknown, which is the safe side. */
#include "transport/peek.h"

#include <string.h>

#define ID_MAX 300 /* longer tokens at the tail are not looked through */

static int blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_blanks(const char *p, const char *end) {
  while (p < end && blank(*p)) p++;
  return p;
}

/* p is at the opening quote; the answer is behind the closing one, NULL when the text ends before. */
static const char *skip_string(const char *p, const char *end) {
  for (p++; p < end; p++) {
    if (*p == '\\') p++;
    else if (*p == '"') return p + 1;
  }
  return NULL;
}

static const char *skip_container(const char *p, const char *end) {
  size_t depth = 0;
  while (p && p < end) {
    if (*p == '"') {
      p = skip_string(p, end);
      continue;
    }
    if (*p == '{' || *p == '[') depth++;
    else if ((*p == '}' || *p == ']') && --depth == 0) return p + 1;
    p++;
  }
  return NULL;
}

static const char *skip_value(const char *p, const char *end) {
  if (p == end) return NULL;
  if (*p == '"') return skip_string(p, end);
  if (*p == '{' || *p == '[') return skip_container(p, end);
  while (p < end && *p != ',' && *p != '}' && !blank(*p)) p++;
  return p < end ? p : NULL; /* a number may go on behind the end */
}

/* ---- the tail: `… ,"id":7}` ------------------------------------------------------------------------ */

static const char *back_blanks(const char *start, const char *p) {
  while (p > start && blank(p[-1])) p--;
  return p;
}

static const char *back_scalar(const char *start, const char *p) {
  const char *stop = p - start > ID_MAX ? p - ID_MAX : start, *at = p;
  if (at > stop && at[-1] == '"') {
    for (at--; at > stop && at[-1] != '"'; at--) {
      if (at[-1] == '\\') return NULL;
    }
    return at > stop + 1 && at[-2] != '\\' ? at - 1 : NULL;
  }
  while (at > stop && ((at[-1] >= '0' && at[-1] <= '9') || memchr("+-.eE", at[-1], 5))) at--;
  return at < p ? at : NULL;
}

/* The last brace of a whole message closes the message, so a scalar before it is a top-level value, and
 * quotes met on the way back without a backslash are structure. */
static struct mg_slice tail_id(struct mg_slice text) {
  static const struct mg_slice none = {NULL, 0};
  const char *start = text.ptr, *p = back_blanks(start, start + text.len), *from, *to;
  if (p == start || *--p != '}') return none;
  to = back_blanks(start, p);
  from = back_scalar(start, to);
  if (!from) return none;
  p = back_blanks(start, from);
  if (p == start || *--p != ':') return none;
  p = back_blanks(start, p);
  if (p - start < 4 || memcmp(p - 4, "\"id\"", 4) != 0) return none;
  p = back_blanks(start, p - 4);
  if (p == start || (p[-1] != ',' && p[-1] != '{')) return none;
  return mg_slice(from, (size_t)(to - from));
}

/* ---- the members ----------------------------------------------------------------------------------- */

static int key_is(const char *from, const char *to, const char *name) {
  size_t n = strlen(name);
  return (size_t)(to - from) == n + 2 && memcmp(from + 1, name, n) == 0;
}

static int enough(const struct mg_peek *k, int want_id) {
  return k->kind != MG_PEEK_UNKNOWN && (k->id.ptr || (k->kind == MG_PEEK_OTHER && !want_id));
}

/* One member from its key on; the answer is behind its value, NULL: stop looking. */
static const char *member(const char *p, const char *end, struct mg_slice whole, int want_id,
                          struct mg_peek *k) {
  const char *key = p, *key_end, *value;
  if (*p != '"' || !(key_end = skip_string(p, end))) return NULL;
  p = skip_blanks(key_end, end);
  if (p == end || *p != ':') return NULL;
  value = skip_blanks(p + 1, end);
  if (key_is(key, key_end, "jsonrpc")) k->rpc = 1;
  if (key_is(key, key_end, "method")) k->kind = MG_PEEK_OTHER;
  if (key_is(key, key_end, "result") || key_is(key, key_end, "error")) k->kind = MG_PEEK_REPLY;
  if (enough(k, want_id)) return NULL;
  if (value < end && (*value == '{' || *value == '[') && !k->id.ptr && whole.ptr) {
    k->id = tail_id(whole); /* cheaper than walking through a long value */
    if (enough(k, want_id)) return NULL;
  }
  p = skip_value(value, end);
  if (p && key_is(key, key_end, "id")) k->id = mg_slice(value, (size_t)(p - value));
  return enough(k, want_id) ? NULL : p;
}

void mg_peek(struct mg_slice text, int whole, int want_id, struct mg_peek *out) {
  const char *end = text.ptr + text.len, *p = skip_blanks(text.ptr, end);
  struct mg_slice all = whole ? text : mg_slice(NULL, 0);
  *out = (struct mg_peek){MG_PEEK_UNKNOWN, 0, {NULL, 0}};
  if (p == end || *p != '{') return;
  do {
    p = skip_blanks(p + 1, end);
    if (p == end || !(p = member(p, end, all, want_id, out))) return;
    p = skip_blanks(p, end);
  } while (p < end && *p == ',');
}
