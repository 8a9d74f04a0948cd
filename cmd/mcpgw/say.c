/* say.c owns what people read: errors and hints on stderr, text of strangers made harmless. Must never
 * write to stdout on its own account: that belongs to results. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static void say_v(const char *format, va_list args) {
  char line[2048];
  int n = vsnprintf(line, sizeof line, format, args);
  if (n < 0) return;
  if ((size_t)n >= sizeof line) n = (int)sizeof line - 1;
  for (int i = 0; i < n; i++)
    if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) line[i] = ' ';
  fprintf(stderr, "mcpgw: %.*s\n", n, line);
}

int say_fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  say_v(format, args);
  va_end(args);
  return code;
}

void say(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say_v(format, args);
  va_end(args);
}

int on_terminal(FILE *f) {
  return isatty(fileno(f));
}

int colours(FILE *f) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return on_terminal(f) && (no == NULL || *no == '\0') && term && strcmp(term, "dumb") != 0;
}

/* A lone ESC could repaint the screen; U+0080 to U+009F do the same in some terminals. */
static int harmful(const unsigned char *p, size_t left, int lines) {
  if (*p == '\n' || *p == '\t') return !lines;
  if (*p < ' ' || *p == 0x7f) return 1;
  return *p == 0xC2 && left > 1 && p[1] >= 0x80 && p[1] < 0xA0;
}

void put_clean(FILE *f, const char *text, size_t len, int lines) {
  const unsigned char *p = (const unsigned char *)text;
  if (lines && !on_terminal(f)) {
    fwrite(text, 1, len, f);
    return;
  }
  for (size_t i = 0; i < len; i++) {
    if (!harmful(p + i, len - i, lines)) {
      putc(p[i], f);
      continue;
    }
    if (p[i] == 0xC2) i++;
    putc(lines ? '?' : ' ', f);
  }
}

int finish_stdout(int code) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return code;
  if (errno == EPIPE) return EXIT_IO; /* the reader has had enough: "| head" */
  return say_fail(EXIT_IO, "cannot write to stdout: %s", strerror(errno));
}

uint64_t clock_ms(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
