/* base/err: text of a failure, made where the fact is known. One line, lower case, no trailing stop,
 * no secret, and it says what to do. The first (most specific) text wins until cleared. */
#ifndef MG_BASE_ERR_H
#define MG_BASE_ERR_H
#include "base/slice.h"
#include "mcpgw/types.h"

#define MG_ERR_MAX 512
struct mg_err {
  char text[MG_ERR_MAX];
};
void mg_err_clear(struct mg_err *e);
/* Keeps the first text; returns rc so that `return mg_err_set(e, MCPGW_E_X, "…")` reads well. e may be
 * NULL. printf-like; control bytes in the result are replaced by '?'. */
int mg_err_set(struct mg_err *e, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *mg_err_text(const struct mg_err *e);
const char *mg_rc_name(int rc); /* "out of memory" … for every MCPGW_E_ code */
#endif
