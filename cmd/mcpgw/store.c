/* store.c owns `mcpgw store`: what is in a store, whether it is sound, and writing it anew without holes. Must never
 * change a record. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

#define PATH_CAP 4096

static int is_store(const char *dir) {
  char file[PATH_CAP + 16];
  struct stat st;
  snprintf(file, sizeof file, "%s/data.mdb", dir);
  return stat(file, &st) == 0;
}

int state_home(char *out, size_t cap, const char *name) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *slash = name ? "/" : "";
  int n = -1;
  if (name == NULL) name = "";
  if (state && *state == '/') n = snprintf(out, cap, "%s/mcpgw%s%s", state, slash, name);
  else if (home && *home == '/') n = snprintf(out, cap, "%s/.local/state/mcpgw%s%s", home, slash, name);
  return n > 0 && (size_t)n < cap ? EXIT_OK : EXIT_USAGE;
}

/* The operand names the state directory or the store in it; without one, the user's own state directory. */
static int find_store(const struct args *a, char *out, size_t cap) {
  int n = a->n_operands > 1 ? snprintf(out, cap, "%s", a->operands[1]) : 0;
  if (!n && state_home(out, cap, NULL) != EXIT_OK) return say_fail(EXIT_USAGE, "which store? give its directory");
  if (!n) n = (int)strlen(out);
  if (n < 0 || (size_t)n + sizeof "/store" > cap) return say_fail(EXIT_USAGE, "the directory's name is too long");
  if (is_store(out)) return EXIT_OK;
  memcpy(out + n, "/store", sizeof "/store");
  if (is_store(out)) return EXIT_OK;
  out[n] = '\0';
  return say_fail(EXIT_CONFIG, "%s: no store there", out);
}

static int fault(const mcpgw_store *s, int rc) {
  const char *why = mcpgw_store_error(s);
  return say_fail(rc == MCPGW_E_STATE || rc == MCPGW_E_EXISTS ? EXIT_UPSTREAM : EXIT_IO, "%s", *why ? why : mcpgw_strerror(rc));
}

/* One line a member, nested ones behind their parent's name. */
static void show(struct json object, const char *prefix) {
  struct json key, value;
  for (size_t pos = 0; json_next(object, &pos, &key, &value);) {
    char *name = json_text(key, NULL);
    if (json_is(value, '{')) {
      show(value, name ? name : "");
    } else {
      printf("%s%s%s: ", prefix, *prefix ? " " : "", name ? name : "?");
      char *text = json_is(value, '"') ? json_text(value, NULL) : NULL;
      put_clean(stdout, text ? text : value.ptr, text ? strlen(text) : value.len, 0);
      putchar('\n');
      free(text);
    }
    free(name);
  }
}

static void report(const struct args *a, const char *text) {
  struct json whole;
  size_t at;
  if (a->given & OPT_JSON) puts(text);
  else if (json_read(text, strlen(text), &whole, &at)) show(whole, "");
}

static int look(const struct args *a, mcpgw_store *s, const char *dir, int (*ask)(mcpgw_store *, char **)) {
  mcpgw_store_options o;
  char *text = NULL;
  mcpgw_store_options_init(&o);
  o.flags = MCPGW_STORE_EXISTING;
  int rc = mcpgw_store_open(s, dir, strlen(dir), &o);
  if (rc == MCPGW_OK) rc = ask(s, &text);
  if (text) report(a, text);
  mcpgw_free(text);
  return rc == MCPGW_OK ? EXIT_OK : fault(s, rc);
}

static int compact(mcpgw_store *s, const char *dir) {
  struct stat before, after;
  char file[PATH_CAP + 16];
  snprintf(file, sizeof file, "%s/data.mdb", dir);
  int known = stat(file, &before) == 0;
  int rc = mcpgw_store_compact(s, dir, strlen(dir));
  if (rc != MCPGW_OK) return fault(s, rc);
  if (known && stat(file, &after) == 0) printf("%lld bytes, were %lld\n", (long long)after.st_size, (long long)before.st_size);
  return EXIT_OK;
}

int cmd_store(const struct args *a) {
  char dir[PATH_CAP];
  mcpgw_store *s;
  const char *what = a->n_operands ? a->operands[0] : "";
  int stat_it = strcmp(what, "stat") == 0, check_it = strcmp(what, "check") == 0, compact_it = strcmp(what, "compact") == 0;
  if (a->command || a->n_operands > 2 || !(stat_it || check_it || compact_it))
    return say_fail(EXIT_USAGE, "mcpgw store stat | check | compact, then the directory");
  int rc = find_store(a, dir, sizeof dir);
  if (rc != EXIT_OK) return rc;
  if (mcpgw_store_new(&s) != MCPGW_OK) return say_fail(EXIT_IO, "out of memory");
  rc = compact_it ? compact(s, dir) : look(a, s, dir, stat_it ? mcpgw_store_stats : mcpgw_store_check);
  mcpgw_store_unref(s);
  return rc == EXIT_OK ? finish_stdout(rc) : rc;
}
