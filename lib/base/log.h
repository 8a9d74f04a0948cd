/* base/log: structured log lines handed to whoever embeds us; the library itself is silent. A line has
 * a level, an event name (dotted, constant) and key/value pairs; never payloads, tokens or prompts. */
#ifndef MG_BASE_LOG_H
#define MG_BASE_LOG_H
#include "base/slice.h"

enum { MG_LOG_ERROR = 0, MG_LOG_WARN = 1, MG_LOG_INFO = 2, MG_LOG_DEBUG = 3 };

struct mg_log {
  int level; /* lines above it are dropped before they are built */
  void (*write)(void *data, int level, const char *line, size_t len); /* one JSON object, no newline */
  void *data;
  uint64_t (*unix_ms)(void *data); /* NULL: the system's clock */
  uint64_t dropped;
};
/* mg_log(l, MG_LOG_WARN, "upstream.closed", "upstream", name, "reason", text, (char *)0);
 * Keys and values are NUL-terminated; values are escaped and cut at 1 KiB. l may be NULL. */
void mg_log(struct mg_log *l, int level, const char *event, ...) __attribute__((sentinel));
#endif
