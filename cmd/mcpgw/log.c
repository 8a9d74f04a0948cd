/* log.c owns the library's log on stderr: its JSON lines as they are, or as text for people. Must never
 * block the gateway: what stderr does not take now is dropped and counted. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static unsigned long dropped;

/* A pipe that polls writable takes PIPE_BUF bytes without blocking; files and terminals do as they like. */
static int has_room(size_t len) {
  struct pollfd p = {STDERR_FILENO, POLLOUT, 0};
  return len <= PIPE_BUF && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

static void put(const char *line, size_t len) {
  if (!has_room(len) || write(STDERR_FILENO, line, len) < 0) dropped++;
}

static void tell_dropped(int json) {
  char line[128];
  int n = snprintf(line, sizeof line,
                   json ? "{\"level\":\"warn\",\"event\":\"log.dropped\",\"lines\":%lu}\n"
                        : "warn  log.dropped  %lu lines that stderr did not take\n",
                   dropped);
  if (n < 0 || !has_room((size_t)n)) return;
  dropped = 0;
  put(line, (size_t)n);
}

static void put_value(FILE *f, struct json v) {
  size_t len;
  char *text = json_text(v, &len);
  if (text) put_clean(f, text, len, 0);
  else json_write(f, v);
  free(text);
}

/* "12:00:01 warn  event upstream=notes: text" */
static void put_text(FILE *f, struct json line) {
  struct json key, value, text = json_get(line, "text"), time = json_get(line, "time");
  size_t pos = 0;
  if (json_is(time, '"') && time.len > 20) fprintf(f, "%.8s ", time.ptr + 12);
  put_value(f, json_get(line, "level"));
  putc(' ', f);
  put_value(f, json_get(line, "event"));
  while (json_next(line, &pos, &key, &value)) {
    if (memmem(" \"time\" \"level\" \"event\" \"text\" ", 32, key.ptr, key.len)) continue;
    putc(' ', f);
    put_value(f, key);
    putc('=', f);
    put_value(f, value);
  }
  if (text.ptr) {
    fputs(": ", f);
    put_value(f, text);
  }
  putc('\n', f);
}

void log_line(void *style, int level, const char *line, size_t len) {
  const struct log_style *s = style;
  struct json whole = {line, len};
  char *text = NULL;
  size_t text_len = 0;
  (void)level;
  FILE *f = open_memstream(&text, &text_len);
  if (f == NULL) return;
  if (dropped) tell_dropped(s->json);
  if (s->json || !json_is(whole, '{')) fprintf(f, "%.*s\n", (int)len, line);
  else put_text(f, whole);
  if (fclose(f) == 0) put(text, text_len);
  free(text);
}

void log_own(struct log_style *style, const char *level, const char *event, const char *file, const char *text) {
  char *line = NULL, when[40] = "";
  size_t len = 0;
  time_t now = time(NULL);
  struct tm tm;
  FILE *f = open_memstream(&line, &len);
  if (f == NULL) return;
  if (gmtime_r(&now, &tm)) (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
  fprintf(f, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"file\":", when, level, event);
  json_quote(f, file, strlen(file));
  fputs(",\"text\":", f);
  json_quote(f, text, strlen(text));
  fputc('}', f);
  if (fclose(f) == 0) log_line(style, 0, line, len);
  free(line);
}
