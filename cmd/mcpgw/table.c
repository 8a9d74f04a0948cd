/* table.c owns rows and columns on stdout. Must never let a cell's text move the cursor. */
#include <stdlib.h>
#include <string.h>

#include "door.h"

#define COLUMNS_MAX 16

void table_init(struct table *t, const char *const *heads, size_t columns) {
  memset(t, 0, sizeof *t);
  t->heads = heads;
  t->columns = columns;
}

void table_done(struct table *t) {
  for (size_t i = 0; i < t->n; i++) free(t->cells[i]);
  free(t->cells);
  memset(t, 0, sizeof *t);
}

void table_add(struct table *t, const char *text, size_t len) {
  if (t->n == t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 64;
    char **cells = realloc(t->cells, cap * sizeof *cells);
    if (cells == NULL) {
      t->failed = 1;
      return;
    }
    t->cells = cells;
    t->cap = cap;
  }
  char *copy = malloc(len + 1);
  if (copy == NULL) {
    t->failed = 1;
    return;
  }
  memcpy(copy, text, len);
  copy[len] = '\0';
  t->cells[t->n++] = copy;
}

void table_add_json(struct table *t, struct json v) {
  size_t len = v.len;
  char *text = json_is(v, '"') ? json_text(v, &len) : NULL;
  if (text) table_add(t, text, len);
  else if (v.ptr == NULL || json_is(v, 'n')) table_add(t, "-", 1);
  else table_add(t, v.ptr, v.len);
  free(text);
}

void table_add_ms(struct table *t, struct json v) {
  char text[48];
  long long s = json_int(v, 0) / 1000;
  if (!on_terminal(stdout)) {
    table_add_json(t, v);
    return;
  }
  int n = s < 60 ? snprintf(text, sizeof text, "%llds", s)
          : s < 3600 ? snprintf(text, sizeof text, "%lldm%02llds", s / 60, s % 60)
                     : snprintf(text, sizeof text, "%lldh%02lldm", s / 3600, s / 60 % 60);
  table_add(t, text, (size_t)n);
}

/* Characters, not bytes; wide ones count as one. */
static size_t width(const char *text) {
  size_t n = 0;
  for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
  return n;
}

static void put_padded(const char *text, size_t to) {
  size_t have = width(text);
  put_clean(stdout, text, strlen(text), 0);
  for (; have < to; have++) putchar(' ');
}

/* Of the last column nothing is known: it ends its line. */
static void measure(const struct table *t, size_t *to) {
  for (size_t c = 0; c < t->columns; c++) to[c] = strlen(t->heads[c]);
  for (size_t i = 0; i < t->n; i++) {
    size_t n = width(t->cells[i]), c = i % t->columns;
    if (n > to[c]) to[c] = n;
  }
  for (size_t c = 0; c + 1 < t->columns; c++) to[c] += 2;
  to[t->columns - 1] = 0;
}

static void print_columns(const struct table *t) {
  size_t to[COLUMNS_MAX];
  int colour = colours(stdout);
  measure(t, to);
  if (colour) fputs("\033[1m", stdout);
  for (size_t c = 0; c < t->columns; c++) put_padded(t->heads[c], to[c]);
  puts(colour ? "\033[0m" : "");
  for (size_t i = 0; i < t->n; i++) {
    put_padded(t->cells[i], to[i % t->columns]);
    if ((i + 1) % t->columns == 0) putchar('\n');
  }
}

void table_print(const struct table *t) {
  if (on_terminal(stdout) && t->columns <= COLUMNS_MAX) {
    print_columns(t);
    return;
  }
  for (size_t i = 0; i < t->n; i++) {
    put_clean(stdout, t->cells[i], strlen(t->cells[i]), 0);
    putchar((i + 1) % t->columns ? '\t' : '\n');
  }
}
