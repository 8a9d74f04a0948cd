/* base/err: keeps the first, most specific text of a failure, clean enough for any log or header, and
 * the names of the result codes. Must never hold a secret and never allocate: it speaks of lost memory. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mg_err_clear(struct mg_err *e) {
  if (e) e->text[0] = '\0';
}

/* A cut text must not end inside a UTF-8 sequence. */
static void drop_partial(char *text, size_t len) {
  size_t back = 0;
  while (back < len && back < 3 && ((unsigned char)text[len - 1 - back] & 0xC0) == 0x80) back++;
  if (back == len) return;
  unsigned char lead = (unsigned char)text[len - 1 - back];
  size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (want > back + 1) text[len - 1 - back] = '\0';
}

int mg_err_set(struct mg_err *e, int rc, const char *format, ...) {
  if (e == NULL || e->text[0] != '\0') return rc;
  va_list args;
  va_start(args, format);
  int n = vsnprintf(e->text, sizeof e->text, format, args);
  va_end(args);
  if (n < 0) e->text[0] = '\0';
  for (unsigned char *p = (unsigned char *)e->text; *p; p++)
    if (*p < 0x20 || *p == 0x7F) *p = '?';
  if (n >= (int)sizeof e->text) drop_partial(e->text, sizeof e->text - 1);
  return rc;
}

const char *mg_err_text(const struct mg_err *e) {
  return e ? e->text : "";
}

const char *mg_rc_name(int rc) {
  switch (rc) {
  case MCPGW_OK:
    return "success";
  case MCPGW_E_INVALID:
    return "invalid argument";
  case MCPGW_E_NOMEM:
    return "out of memory";
  case MCPGW_E_INTERNAL:
    return "internal error";
  case MCPGW_E_STATE:
    return "not possible in this state";
  case MCPGW_E_CONFIG:
    return "wrong configuration";
  case MCPGW_E_IO:
    return "input or output failed";
  case MCPGW_E_LIMIT:
    return "limit reached";
  case MCPGW_E_NOT_FOUND:
    return "not found";
  case MCPGW_E_EXISTS:
    return "already exists";
  case MCPGW_E_AGAIN:
    return "nothing available yet";
  case MCPGW_E_PARSE:
    return "malformed input";
  case MCPGW_E_TIMEOUT:
    return "timed out";
  case MCPGW_E_CLOSED:
    return "closed by the other side";
  case MCPGW_E_DENIED:
    return "denied";
  case MCPGW_E_UNSUPPORTED:
    return "not supported";
  default:
    return "unknown result code";
  }
}
