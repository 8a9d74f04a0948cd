/* sessions.c owns `mcpgw sessions` and `mcpgw upstreams`: what a running gateway is doing, asked at its admin
 * door, and the end of sessions. Must never start or configure anything. */
#include <stdlib.h>
#include <string.h>

#include "door.h"

/* ---- listings: a table, or the items as the gateway tells them ------------------------------------ */

struct listing {
  struct table table;
  void (*row)(struct table *t, struct json item);
  int json;
  size_t n;
};

static void each_item(void *arg, struct json item) {
  struct listing *l = arg;
  if (!l->json) {
    l->row(&l->table, item);
    return;
  }
  fputs(l->n++ ? "," : "{\"items\":[", stdout);
  json_write(stdout, item);
}

static int list(const struct door *d, const char *kind, const char *filter, struct listing *l) {
  int rc = door_list(d, kind, filter, each_item, l);
  if (l->json && (rc == EXIT_OK || l->n)) puts(l->n ? "]}" : "{\"items\":[]}");
  else if (l->table.failed) rc = say_fail(EXIT_IO, "out of memory");
  else if (rc == EXIT_OK) table_print(&l->table);
  table_done(&l->table);
  return rc;
}

static int filters(const struct args *a, char *to, size_t cap) {
  to[0] = '\0';
  if (a->principal && door_filter(to, cap, "principal", a->principal) != 0) return say_fail(EXIT_USAGE, "--principal is too long");
  if (a->server && door_filter(to, cap, "upstream", a->server) != 0) return say_fail(EXIT_USAGE, "--server is too long");
  return EXIT_OK;
}

static int nothing_behind(const struct args *a, size_t next) {
  if (a->n_operands <= next) return EXIT_OK;
  return say_fail(EXIT_USAGE, "one operand too many: \"%s\"", a->operands[next]);
}

/* ---- upstreams ------------------------------------------------------------------------------------ */

static const char *const upstream_heads[] = {"UPSTREAM", "STATE", "ERA", "LINKS", "IN FLIGHT", "REQUESTS", "FAILED", "ERROR"};

static void upstream_row(struct table *t, struct json item) {
  struct json counters = json_get(item, "counters");
  table_add_json(t, json_get(item, "name"));
  table_add_json(t, json_get(item, "state"));
  table_add_json(t, json_get(item, "era"));
  table_add_json(t, json_get(item, "links"));
  table_add_json(t, json_get(item, "in_flight"));
  table_add_json(t, json_get(counters, "requests"));
  table_add_json(t, json_get(counters, "failed"));
  table_add_json(t, json_get(item, "error"));
}

int cmd_upstreams(const struct args *a) {
  struct listing l = {.row = upstream_row, .json = (a->given & OPT_JSON) != 0};
  struct door d;
  char filter[2048];
  size_t next;
  table_init(&l.table, upstream_heads, sizeof upstream_heads / sizeof *upstream_heads);
  int rc = door_find(&d, a, 0, &next);
  if (rc == EXIT_OK) rc = nothing_behind(a, next);
  if (rc == EXIT_OK) rc = filters(a, filter, sizeof filter);
  if (rc == EXIT_OK) rc = list(&d, "upstreams", filter, &l);
  door_done(&d);
  return finish_stdout(rc);
}

/* ---- sessions ---------------------------------------------------------------------------------------- */

static const char *const session_heads[] = {"SESSION", "PRINCIPAL", "REVISION", "LINKS", "IN FLIGHT", "IDLE", "AGE"};

static void session_row(struct table *t, struct json item) {
  table_add_json(t, json_get(item, "id"));
  table_add_json(t, json_get(item, "principal"));
  table_add_json(t, json_get(item, "revision"));
  table_add_json(t, json_get(item, "links"));
  table_add_json(t, json_get(item, "in_flight"));
  table_add_ms(t, json_get(item, "idle_ms"));
  table_add_ms(t, json_get(item, "age_ms"));
}

static int ls(const struct door *d, const struct args *a, size_t next) {
  struct listing l = {.row = session_row, .json = (a->given & OPT_JSON) != 0};
  char filter[2048];
  table_init(&l.table, session_heads, sizeof session_heads / sizeof *session_heads);
  int rc = nothing_behind(a, next);
  if (rc == EXIT_OK) rc = filters(a, filter, sizeof filter);
  return rc == EXIT_OK ? list(d, "contexts", filter, &l) : rc;
}

static char *order_of(const char *by, const char *value) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  if (f == NULL) return NULL;
  fprintf(f, "{\"%s\":", by);
  json_quote(f, value, strlen(value));
  fputc('}', f);
  if (fclose(f) == 0) return text;
  free(text);
  return NULL;
}

static int tell_revoked(const struct args *a, const char *what, const struct door_reply *r) {
  struct json whole, why;
  if (!json_read(r->text, r->len, &whole, NULL)) return say_fail(EXIT_IO, "the answer cannot be read");
  long long n = json_int(json_get(whole, "ended"), -1);
  if (n < 0) {
    size_t len;
    why = json_get(whole, "error");
    char *text = json_text(why, &len);
    int rc = say_fail(EXIT_TOOL, "\"%s\" was not revoked: %s", what, text ? text : "?");
    free(text);
    return rc;
  }
  if (a->given & OPT_JSON) printf("{\"ended\":%lld}\n", n);
  else if (n) printf("%lld session%s ended\n", n, n == 1 ? "" : "s");
  return n ? EXIT_OK : say_fail(EXIT_TOOL, "nothing was revoked: there is no \"%s\"; mcpgw sessions ls lists them", what);
}

/* What is to be revoked, and by what it is named. */
static int named(const struct args *a, size_t next, const char **by, const char **what) {
  size_t n = (a->principal != NULL) + (a->token != NULL) + (a->n_operands > next);
  if (n == 0) return say_fail(EXIT_USAGE, "what? give a session's id, --principal NAME or --token ID");
  if (n > 1) return say_fail(EXIT_USAGE, "one at a time: a session's id, --principal or --token");
  *by = a->principal ? "principal" : a->token ? "token" : "session";
  *what = a->principal ? a->principal : a->token ? a->token : a->operands[next];
  return nothing_behind(a, next + 1);
}

static int revoke(const struct door *d, const struct args *a, size_t next) {
  const char *by = NULL, *what = NULL;
  struct door_reply r;
  int rc = named(a, next, &by, &what);
  if (rc != EXIT_OK) return rc;
  char *order = order_of(by, what);
  if (order == NULL) return say_fail(EXIT_IO, "out of memory");
  rc = door_ask(d, "/revoke", order, &r);
  free(order);
  if (rc != EXIT_OK) return rc;
  rc = tell_revoked(a, what, &r);
  door_reply_done(&r);
  return rc;
}

int cmd_sessions(const struct args *a) {
  const char *verb = a->n_operands ? a->operands[0] : "";
  struct door d;
  size_t next;
  int ends = strcmp(verb, "revoke") == 0;
  if (!ends && strcmp(verb, "ls") != 0) return say_fail(EXIT_USAGE, "sessions ls or sessions revoke; mcpgw sessions --help tells more");
  int rc = door_find(&d, a, 1, &next);
  if (rc == EXIT_OK) rc = ends ? revoke(&d, a, next) : ls(&d, a, next);
  door_done(&d);
  return finish_stdout(rc);
}
