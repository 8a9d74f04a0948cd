/* base/log: builds one JSON object a line and hands it to whoever embeds us. Must never write anywhere
 * itself and never keep a line; one that cannot be built is counted in `dropped`, not half written. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "mcpgw/types.h"

#define VALUE_MAX ((size_t)1024)
#define LINE_MAX_BYTES ((size_t)16 * 1024)

/* Unix ms to RFC 3339 in UTC. Not gmtime_r: that one reads TZ from the environment. */
static void add_time(struct mg_buf *b, uint64_t unix_ms) {
  uint64_t days = unix_ms / 86400000u, ms = unix_ms % 86400000u;
  /* a year begins on 1 March, an era is 400 of them: the leap day is then the last */
  uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
  uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9), day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
  unsigned year = (unsigned)(yoe + era * 400 + (month <= 2));
  char text[64];
  int n = snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day,
                   (unsigned)(ms / 3600000), (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60),
                   (unsigned)(ms % 1000));
  if (n > 0) mg_buf_add(b, text, (size_t)n);
}

/* Cut at VALUE_MAX on a character's border; bytes that are no UTF-8 become '?'. */
static void add_value(struct mg_buf *b, const char *text) {
  struct mg_slice s = mg_slice_z(text ? text : "");
  char clean[VALUE_MAX];
  if (s.len > VALUE_MAX) {
    s.len = VALUE_MAX;
    while (s.len && ((unsigned char)s.ptr[s.len] & 0xC0) == 0x80) s.len--;
  }
  if (!mg_utf8_valid(s)) {
    for (size_t i = 0; i < s.len; i++) clean[i] = (unsigned char)s.ptr[i] < 0x80 ? s.ptr[i] : '?';
    s.ptr = clean;
  }
  mg_buf_json_str(b, s);
}

static void add_pair(struct mg_buf *b, const char *key, const char *value) {
  mg_buf_addc(b, ',');
  add_value(b, key);
  mg_buf_addc(b, ':');
  add_value(b, value);
}

void mg_log(struct mg_log *l, int level, const char *event, ...) {
  static const char *const names[] = {"error", "warn", "info", "debug"};
  if (l == NULL || l->write == NULL || level > l->level || level < MG_LOG_ERROR) return;
  struct mg_buf b;
  mg_buf_init(&b, LINE_MAX_BYTES);
  mg_buf_reserve(&b, 512);
  mg_buf_addz(&b, "{\"time\":\"");
  add_time(&b, l->unix_ms ? l->unix_ms(l->data) : mg_unix_ms());
  mg_buf_addc(&b, '"');
  add_pair(&b, "level", names[level > MG_LOG_DEBUG ? MG_LOG_DEBUG : level]);
  add_pair(&b, "event", event);
  va_list args;
  va_start(args, event);
  for (const char *key; (key = va_arg(args, const char *)) != NULL;)
    add_pair(&b, key, va_arg(args, const char *));
  va_end(args);
  if (mg_buf_addc(&b, '}') == MCPGW_OK) l->write(l->data, level, b.ptr, b.len);
  else l->dropped++;
  mg_buf_done(&b);
}
