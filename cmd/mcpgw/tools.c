/* tools.c owns `mcpgw tools`: what the servers offer, for people, for pipes (tab-separated) and as JSON
 * (the tools' own bytes). Must never call a tool. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define TIMEOUT_MS 60000

static void put_text(struct json string, int first_line) {
  size_t len;
  char *text = json_text(string, &len);
  if (text == NULL) return;
  char *eol = first_line ? memchr(text, '\n', len) : NULL;
  put_clean(stdout, text, eol ? (size_t)(eol - text) : len, 0);
  free(text);
}

/* ---- arguments: "text:string limit?:integer" ------------------------------------------------- */

static int is_required(struct json schema, struct json name) {
  struct json v;
  size_t pos = 0;
  while (json_next(json_get(schema, "required"), &pos, NULL, &v))
    if (v.len == name.len && memcmp(v.ptr, name.ptr, v.len) == 0) return 1;
  return 0;
}

static void put_type(struct json property) {
  struct json type = json_get(property, "type"), one, items = json_get(json_get(property, "items"), "type");
  size_t pos = 0, n = 0;
  if (json_is(type, '[')) {
    while (json_next(type, &pos, NULL, &one)) {
      if (n++) putchar('|');
      put_text(one, 1);
    }
  } else if (json_is(type, '"') && strncmp(type.ptr, "\"array\"", 7) == 0 && json_is(items, '"')) {
    put_text(items, 1);
    fputs("[]", stdout);
  } else if (json_is(type, '"')) {
    put_text(type, 1);
  } else {
    fputs(json_is(json_get(property, "enum"), '[') ? "enum" : "any", stdout);
  }
}

static void put_arguments(struct json schema) {
  struct json name, property;
  size_t pos = 0, n = 0;
  while (json_next(json_get(schema, "properties"), &pos, &name, &property)) {
    if (n++) putchar(' ');
    put_text(name, 1);
    fputs(is_required(schema, name) ? ":" : "?:", stdout);
    put_type(property);
  }
}

/* ---- the three ways -------------------------------------------------------------------------- */

static void print_row(const struct probe *p, struct json tool) {
  put_text(json_get(tool, "name"), 1);
  putchar('\t');
  put_arguments(json_get(tool, "inputSchema"));
  putchar('\t');
  put_text(json_get(tool, "description"), 1);
  printf("\t%s\n", p->slug);
}

static void print_tool(struct json tool, int colour) {
  fputs(colour ? "  \033[1m" : "  ", stdout);
  put_text(json_get(tool, "name"), 1);
  fputs(colour ? "\033[0m  \033[2m" : "  ", stdout);
  put_arguments(json_get(tool, "inputSchema"));
  fputs(colour ? "\033[0m\n" : "\n", stdout);
  if (!json_is(json_get(tool, "description"), '"')) return;
  fputs("      ", stdout);
  put_text(json_get(tool, "description"), 1);
  putchar('\n');
}

/* Calls each tool of a probe to each. */
static void walk(const struct probe *p, void (*each)(const struct probe *p, struct json tool, size_t i)) {
  const struct probe_list *l = &p->lists[PROBE_TOOLS];
  size_t n = 0;
  for (size_t i = 0; i < l->n_pages; i++) {
    struct json whole, tool;
    size_t pos = 0;
    if (!json_read(l->pages[i], strlen(l->pages[i]), &whole, NULL)) continue;
    while (json_next(json_get(json_get(whole, "result"), "tools"), &pos, NULL, &tool)) each(p, tool, n++);
  }
}

static void each_json(const struct probe *p, struct json tool, size_t i) {
  (void)p;
  if (i) putchar(',');
  json_write(stdout, tool);
}
static void each_row(const struct probe *p, struct json tool, size_t i) {
  (void)i;
  print_row(p, tool);
}
static void each_plain(const struct probe *p, struct json tool, size_t i) {
  (void)p;
  (void)i;
  print_tool(tool, 0);
}
static void each_colour(const struct probe *p, struct json tool, size_t i) {
  (void)p;
  (void)i;
  print_tool(tool, 1);
}

static void print_json(const struct probes *ps) {
  fputs("{\"servers\":[", stdout);
  for (size_t i = 0; i < ps->n; i++) {
    const struct probe *p = &ps->items[i];
    fputs(i ? ",{\"name\":" : "{\"name\":", stdout);
    json_quote(stdout, p->name, strlen(p->name));
    fputs(",\"slug\":", stdout);
    json_quote(stdout, p->slug, strlen(p->slug));
    if (p->error) {
      fputs(",\"error\":", stdout);
      json_quote(stdout, p->error, strlen(p->error));
    }
    fputs(",\"tools\":[", stdout);
    walk(p, each_json);
    fputs("]}", stdout);
  }
  puts("]}");
}

static void print_groups(const struct probes *ps) {
  int colour = colours(stdout);
  for (size_t i = 0; i < ps->n; i++) {
    const struct probe *p = &ps->items[i];
    size_t n = p->lists[PROBE_TOOLS].n_items;
    if (p->error) continue;
    if (ps->n > 1) printf("%s%s: %zu tool%s\n", i ? "\n" : "", p->slug, n, n == 1 ? "" : "s");
    walk(p, colour ? each_colour : each_plain);
  }
}

static void print(const struct probes *ps, const struct args *a) {
  if (a->given & OPT_JSON) {
    print_json(ps);
  } else if (on_terminal(stdout)) {
    print_groups(ps);
  } else {
    for (size_t i = 0; i < ps->n; i++) walk(&ps->items[i], each_row);
  }
}

static int list(struct target *t, const struct args *a, const char *slug) {
  struct probes ps;
  uint64_t timeout = a->given & OPT_TIMEOUT ? a->timeout_ms : TIMEOUT_MS;
  int rc = probes_run(&ps, t, slug, 1u << PROBE_TOOLS, timeout, on_terminal(stderr));
  if (rc == EXIT_OK) {
    print(&ps, a);
    for (size_t i = 0; i < ps.n; i++)
      if (ps.items[i].error) rc = say_fail(EXIT_UPSTREAM, "%s: %s", ps.items[i].slug, ps.items[i].error);
    if (ps.n > 1 && on_terminal(stdout) && on_terminal(stderr))
      say("call one of them: mcpgw call %s --server %s TOOL '{…}'", t->what, ps.items[0].slug);
  }
  probes_done(&ps);
  loop_end(t->gateway, 1000);
  return rc;
}

int cmd_tools(const struct args *a) {
  struct target t;
  const char *slug = NULL;
  int rc = target_load_only(&t, a);
  if (rc == EXIT_OK) rc = target_has_servers(&t);
  if (rc == EXIT_OK && a->server && (slug = target_server(&t, a->server)) == NULL) rc = EXIT_USAGE;
  if (rc == EXIT_OK) rc = target_start(&t, a, 1);
  if (rc == EXIT_OK) rc = list(&t, a, slug);
  target_done(&t);
  return finish_stdout(rc);
}
