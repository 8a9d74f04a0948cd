/* The admin door of a running gateway, and tables of what it tells. */
#ifndef MCPGW_DOOR_H
#define MCPGW_DOOR_H
#include "cli.h"

struct door {
  mcpgw_config *config; /* where address and token come from; NULL with --admin */
  const char *address, *token; /* BORROWED; token may be NULL */
  uint64_t timeout_ms;
};
/* Finds the door: --admin ADDRESS (and MCPGW_ADMIN_TOKEN), or CONFIG, which is then operand number `at`.
 * Operands left begin at *next. Returns an exit code. */
int door_find(struct door *d, const struct args *a, size_t at, size_t *next);
void door_done(struct door *d);

struct door_reply {
  int status;
  char *text; /* the body; free it with door_reply_done */
  size_t len;
};
/* One request. body NULL: GET, else POST. Failures are said; 401 and 403 too. */
int door_ask(const struct door *d, const char *path, const char *body, struct door_reply *r);
void door_reply_done(struct door_reply *r);
/* All pages of a listing; each is called with every item. filter: "&name=value", or "". */
int door_list(const struct door *d, const char *kind, const char *filter, void (*each)(void *arg, struct json item), void *arg);
/* Appends &name=value, value percent-encoded. 0, or -1: no room. */
int door_filter(char *to, size_t cap, const char *name, const char *value);

/* Rows of cells: on a terminal in columns under a heading, elsewhere one row a line with tabs. */
struct table {
  const char *const *heads;
  size_t columns, n, cap; /* n: cells so far */
  char **cells;           /* OWNED */
  int failed;             /* out of memory */
};
void table_init(struct table *t, const char *const *heads, size_t columns);
void table_add(struct table *t, const char *text, size_t len);
void table_add_json(struct table *t, struct json v);                     /* a string's text, or the value as it is */
void table_add_ms(struct table *t, struct json v);                       /* "3m12s" on a terminal, else the number */
void table_print(const struct table *t);
void table_done(struct table *t);
#endif
