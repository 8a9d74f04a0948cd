/* json/same: owns the question whether two JSON texts are the same but for white space between tokens. It
 * compares spellings, not values: 1.0 is not 1, and "\u0061" is not "a". */
#include "json/scan.h"

struct reader {
  const char *p, *end;
  int quoted; /* inside a string */
};

/* The next byte that counts; -1 at the end. */
static int next(struct reader *r) {
  while (!r->quoted && r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) r->p++;
  if (r->p == r->end) return -1;
  unsigned char c = (unsigned char)*r->p++;
  if (c == '"') r->quoted = !r->quoted;
  return c;
}

int mg_json_same(struct mg_slice a, struct mg_slice b) {
  struct reader x = {a.ptr, a.ptr + a.len, 0}, y = {b.ptr, b.ptr + b.len, 0};
  for (;;) {
    int c = next(&x);
    if (c != next(&y)) return 0;
    if (c < 0) return 1;
    if (c != '\\' || x.p == x.end || y.p == y.end) continue;
    if (*x.p++ != *y.p++) return 0; /* what is escaped ends no string */
  }
}
