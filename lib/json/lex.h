/* json/lex: the tokens of RFC 8259, private to lib/json. Every function takes where it stands and gives
 * back where the token ended, or NULL with the fault noted; none reads at or beyond end. */
#ifndef MG_JSON_LEX_H
#define MG_JSON_LEX_H
#include "json/scan.h"

struct mg_lex {
  const char *base, *end;
  int error;      /* enum mg_scan_error, of the first fault */
  const char *at; /* where the fault is */
  int escaped;    /* set, never cleared, when a string with a backslash went by */
};
void mg_lex_init(struct mg_lex *x, struct mg_slice doc);
const char *mg_lex_fail(struct mg_lex *x, const char *at, int error); /* always NULL */

/* To the next byte that is not white space; the end of the text is a fault (MG_SCAN_TRUNCATED). */
const char *mg_lex_blank_slow(struct mg_lex *x, const char *p);
static inline const char *mg_lex_blank(struct mg_lex *x, const char *p) {
  return p < x->end && (unsigned char)*p > ' ' ? p : mg_lex_blank_slow(x, p);
}
const char *mg_lex_string(struct mg_lex *x, const char *p); /* p < end; must stand on the quote */
const char *mg_lex_colon(struct mg_lex *x, const char *p);  /* over `:` to the first byte of the value */
/* Over one whole value of any kind, validating it. p < end, on its first byte; depth: containers
 * already open around it. Iterative. */
const char *mg_lex_value(struct mg_lex *x, const char *p, unsigned depth);
int mg_lex_type(char first); /* mg_json_type by a value's first byte; MG_JSON_NONE: none begins so */
#endif
