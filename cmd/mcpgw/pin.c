/* pin.c owns `mcpgw pin`: writes down what the servers define, and tells later what has changed since. A lock
 * file is replaced whole or not at all, and never while a server is silent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define TIMEOUT_MS 60000
#define KINDS (1u << PROBE_TOOLS | 1u << PROBE_PROMPTS)
#define SUFFIX ".lock.json"

struct pin {
  const struct args *args;
  struct target target;
  struct probes probes;
  char *file;
  size_t differences, seen;
  FILE *out;
  char **names; /* of the definitions of one list met so far */
  size_t n_names;
  const char *wanted; /* a search: for this name */
  int found;
};

typedef void each_fn(struct pin *pin, const struct probe *p, int kind, struct json definition);

static void walk(struct pin *pin, const struct probe *p, int kind, each_fn *each) {
  const struct probe_list *l = &p->lists[kind];
  for (size_t i = 0; i < l->n_pages; i++) {
    struct json whole, item;
    size_t pos = 0;
    if (!json_read(l->pages[i], strlen(l->pages[i]), &whole, NULL)) continue;
    while (json_next(json_get(json_get(whole, "result"), probe_kind_names[kind]), &pos, NULL, &item))
      each(pin, p, kind, item);
  }
}

/* As the gateway does: what has no name, or one that was listed before, does not count. name OWNED, taken over. */
static int counts(struct pin *pin, char *name) {
  size_t i = 0;
  if (name == NULL) return 0;
  while (i < pin->n_names && strcmp(pin->names[i], name) != 0) i++;
  char **grown = i < pin->n_names ? NULL : realloc(pin->names, (i + 1) * sizeof *grown);
  if (grown == NULL) {
    free(name);
    return 0;
  }
  pin->names = grown;
  pin->names[pin->n_names++] = name;
  return 1;
}

static void forget_names(struct pin *pin) {
  while (pin->n_names) free(pin->names[--pin->n_names]);
  free(pin->names);
  pin->names = NULL;
}

/* ---- the file's name --------------------------------------------------------------------------- */

/* The one that the configuration names, else mcp.json -> mcp.lock.json. */
static char *lock_file(const struct target *t, const struct args *a) {
  const char *named = a->file ? a->file : mcpgw_config_pin_file(t->config);
  if (named) return strdup(named);
  size_t len = strlen(t->what);
  if (len > 5 && strcmp(t->what + len - 5, ".json") == 0) len -= 5;
  char *file = malloc(len + sizeof SUFFIX);
  if (file == NULL) return NULL;
  memcpy(file, t->what, len);
  memcpy(file + len, SUFFIX, sizeof SUFFIX);
  return file;
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void put_definition(struct pin *pin, const struct probe *p, int kind, struct json definition) {
  (void)p, (void)kind;
  if (!counts(pin, json_text(json_get(definition, "name"), NULL))) return;
  fputs(pin->seen++ ? ",\n        " : "\n        ", pin->out);
  for (size_t i = 0; i < definition.len; i++) { /* one line each: outside of strings only blanks can be breaks */
    char c = definition.ptr[i];
    putc(c == '\n' || c == '\r' ? ' ' : c, pin->out);
  }
}

static void put_server(struct pin *pin, const struct probe *p, int last) {
  static const int kinds[] = {PROBE_TOOLS, PROBE_PROMPTS};
  fputs("    ", pin->out);
  json_quote(pin->out, p->name, strlen(p->name));
  fputs(": {", pin->out);
  for (size_t k = 0; k < 2; k++) {
    fprintf(pin->out, "%s\n      \"%s\": [", k ? "," : "", probe_kind_names[kinds[k]]);
    pin->seen = 0;
    walk(pin, p, kinds[k], put_definition);
    forget_names(pin);
    putc(']', pin->out);
  }
  fputs(last ? "\n    }\n" : "\n    },\n", pin->out);
}

static int write_lock(struct pin *pin) {
  size_t len = strlen(pin->file);
  char *temporary = malloc(len + sizeof ".XXXXXX");
  if (temporary == NULL) return say_fail(EXIT_IO, "out of memory");
  memcpy(temporary, pin->file, len);
  memcpy(temporary + len, ".XXXXXX", sizeof ".XXXXXX");
  int fd = mkstemp(temporary), rc = EXIT_OK;
  pin->out = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (pin->out == NULL) {
    rc = say_fail(EXIT_IO, "%s cannot be written: %s", pin->file, strerror(errno));
    if (fd >= 0) close(fd);
  } else {
    fputs("{\n  \"mcpgw_lock\": 1,\n  \"servers\": {\n", pin->out);
    for (size_t i = 0; i < pin->probes.n; i++) put_server(pin, &pin->probes.items[i], i + 1 == pin->probes.n);
    fputs("  }\n}\n", pin->out);
    int failed = fflush(pin->out) != 0 || fsync(fd) != 0;
    if (fclose(pin->out) != 0 || failed || rename(temporary, pin->file) != 0)
      rc = say_fail(EXIT_IO, "%s cannot be written: %s", pin->file, strerror(errno));
  }
  if (rc != EXIT_OK && fd >= 0) unlink(temporary);
  free(temporary);
  return rc;
}

static void tell(const struct pin *pin) {
  for (size_t i = 0; i < pin->probes.n; i++) {
    const struct probe *p = &pin->probes.items[i];
    printf("pinned\t%s\t%zu tools\t%zu prompts\n", p->name, p->lists[PROBE_TOOLS].n_items, p->lists[PROBE_PROMPTS].n_items);
  }
  printf("wrote\t%s\n", pin->file);
  if (mcpgw_config_pin_file(pin->target.config) == NULL)
    say("to use it, add \"pin\": {\"file\": \"%s\", \"mode\": \"block\"} to \"gateway\" in %s", pin->file, pin->target.what);
}

/* ---- comparing ----------------------------------------------------------------------------------- */

static void difference(struct pin *pin, const char *what, const struct probe *p, int kind, const char *name, const char *more) {
  pin->differences++;
  printf("%s\t%s\t%.*s\t", what, p->name, (int)strlen(probe_kind_names[kind]) - 1, probe_kind_names[kind]);
  put_clean(stdout, name, strlen(name), 0);
  putchar('\t');
  put_clean(stdout, more, strlen(more), 0);
  putchar('\n');
}

static void compare_definition(struct pin *pin, const struct probe *p, int kind, struct json definition) {
  size_t len;
  char *name = json_text(json_get(definition, "name"), &len), *changed = NULL;
  uint32_t verdict;
  if (!counts(pin, name)) return;
  int rc = mcpgw_config_pinned(pin->target.config, p->name, strlen(p->name),
                               kind == PROBE_TOOLS ? MCPGW_PIN_TOOL : MCPGW_PIN_PROMPT, name, len, definition.ptr,
                               definition.len, &verdict, &changed);
  if (rc != MCPGW_OK) difference(pin, "unreadable", p, kind, name, mcpgw_strerror(rc));
  else if (verdict == MCPGW_PIN_CHANGED) difference(pin, "changed", p, kind, name, changed);
  else if (verdict != MCPGW_PIN_SAME) difference(pin, "added", p, kind, name, "");
  mcpgw_free(changed);
}

static void find_definition(struct pin *pin, const struct probe *p, int kind, struct json definition) {
  size_t len;
  char *name = json_text(json_get(definition, "name"), &len);
  (void)p, (void)kind;
  if (name && strcmp(name, pin->wanted) == 0) pin->found = 1;
  free(name);
}

/* What is written down and no longer there. */
static void find_removed(struct pin *pin, const struct probe *p, struct json lock) {
  static const int kinds[] = {PROBE_TOOLS, PROBE_PROMPTS};
  for (size_t k = 0; k < 2; k++) {
    struct json item, list = json_get(json_get(json_get(lock, "servers"), p->name), probe_kind_names[kinds[k]]);
    size_t pos = 0, len;
    while (json_next(list, &pos, NULL, &item)) {
      char *name = json_text(json_get(item, "name"), &len);
      pin->wanted = name ? name : "";
      pin->found = 0;
      walk(pin, p, kinds[k], find_definition);
      if (name && !pin->found) difference(pin, "removed", p, kinds[k], name, "");
      free(name);
    }
  }
}

/* OWNED, NUL-terminated; NULL: it cannot be read. */
static char *slurp(const char *name, size_t *len) {
  FILE *in = fopen(name, "re"), *out;
  char *text = NULL, piece[65536];
  size_t n;
  if (in == NULL) return NULL;
  if ((out = open_memstream(&text, len)) != NULL) {
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) fwrite(piece, 1, n, out);
    if (fclose(out) != 0 || ferror(in)) {
      free(text);
      text = NULL;
    }
  }
  fclose(in);
  return text;
}

static int compare(struct pin *pin) {
  struct json lock = {NULL, 0};
  size_t len = 0;
  char *text = slurp(pin->file, &len);
  if (text == NULL || !json_read(text, len, &lock, NULL)) {
    free(text);
    return say_fail(EXIT_CONFIG, "%s cannot be read", pin->file);
  }
  for (size_t i = 0; i < pin->probes.n; i++) {
    const struct probe *p = &pin->probes.items[i];
    walk(pin, p, PROBE_TOOLS, compare_definition);
    forget_names(pin);
    walk(pin, p, PROBE_PROMPTS, compare_definition);
    forget_names(pin);
    find_removed(pin, p, lock);
  }
  free(text);
  if (pin->differences == 0) return EXIT_OK;
  say("%zu definition%s differ%s from %s; look at them, then accept them with mcpgw pin %s", pin->differences,
      pin->differences == 1 ? "" : "s", pin->differences == 1 ? "s" : "", pin->file, pin->target.what);
  return EXIT_TOOL;
}

/* ---- the command ---------------------------------------------------------------------------------- */

static int run(struct pin *pin) {
  const struct args *a = pin->args;
  uint64_t timeout = a->given & OPT_TIMEOUT ? a->timeout_ms : TIMEOUT_MS;
  int rc = probes_run(&pin->probes, &pin->target, NULL, KINDS, timeout, on_terminal(stderr));
  for (size_t i = 0; rc != EXIT_INTERRUPTED && i < pin->probes.n; i++)
    if (pin->probes.items[i].error)
      rc = say_fail(EXIT_UPSTREAM, "%s: %s", pin->probes.items[i].name, pin->probes.items[i].error);
  if (rc == EXIT_OK && a->given & OPT_CHECK) {
    rc = compare(pin);
  } else if (rc == EXIT_OK && (rc = write_lock(pin)) == EXIT_OK) {
    tell(pin);
  }
  probes_done(&pin->probes);
  loop_end(pin->target.gateway, 1000);
  return rc;
}

int cmd_pin(const struct args *a) {
  struct pin pin = {.args = a};
  int rc;
  if (a->command || (a->n_operands && target_is_url(a->operands[0])))
    return say_fail(EXIT_USAGE, "pin works on a configuration file");
  rc = target_load_pins(&pin.target, a, a->given & OPT_CHECK ? MCPGW_PINS_COMPARE : MCPGW_PINS_IGNORE);
  if (rc == EXIT_OK && !(a->given & OPT_CHECK)) rc = target_has_servers(&pin.target);
  if (rc == EXIT_OK && a->given & OPT_CHECK && mcpgw_config_pin_file(pin.target.config) == NULL)
    rc = say_fail(EXIT_CONFIG, "%s names no lock file: gateway.pin.file", pin.target.what);
  if (rc == EXIT_OK && (pin.file = lock_file(&pin.target, a)) == NULL) rc = say_fail(EXIT_IO, "out of memory");
  if (rc == EXIT_OK) rc = target_start(&pin.target, a, 1);
  if (rc == EXIT_OK) rc = run(&pin);
  free(pin.file);
  target_done(&pin.target);
  return finish_stdout(rc);
}
