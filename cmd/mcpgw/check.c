/* check.c owns `mcpgw check`: is the configuration right, what was understood of it, and do its servers
 * answer. Must never call a tool. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define TIMEOUT_MS 60000
#define ALL_KINDS ((1u << PROBE_KINDS) - 1)
#define SERVER_INFO "io.modelcontextprotocol/serverInfo"

/* DESIGN section 5, in these words, and what stands in their place when contexts.no_handle says otherwise. */
static const char *boundary(const struct target *t) {
  const char *mode = mcpgw_config_no_handle(t->config);
  if (strcmp(mode, "fresh") == 0)
    return "Without a handle each modern call has a context of its own and is given its handle (contexts.no_handle is fresh).";
  if (strcmp(mode, "refuse") == 0)
    return "Without a handle modern calls are refused; \"new\" opens a context (contexts.no_handle is refuse).";
  return "Without a handle the boundary is the principal (no SDK echoes ours today): its "
         "default context holds quotas and, for `session` upstreams, one link.";
}

struct hello { /* what a server said of itself */
  const char *era;
  struct json revision, info;
};

static struct hello read_hello(const struct probe *p) {
  struct hello h = {"", {NULL, 0}, {NULL, 0}};
  struct json whole, result;
  size_t pos = 0;
  if (p->hello == NULL || !json_read(p->hello, strlen(p->hello), &whole, NULL)) return h;
  result = json_get(whole, "result");
  h.revision = json_get(result, "protocolVersion");
  h.era = h.revision.ptr ? "legacy" : "modern";
  if (h.revision.ptr == NULL) json_next(json_get(result, "supportedVersions"), &pos, NULL, &h.revision);
  h.info = json_get(result, "serverInfo");
  if (h.info.ptr == NULL) h.info = json_get(json_get(result, "_meta"), SERVER_INFO);
  return h;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void put_text(struct json string) {
  size_t len;
  char *text = json_text(string, &len);
  if (text) put_clean(stdout, text, len, 0);
  free(text);
}

static void print_server(const struct probe *p, int width, int colour) {
  struct hello h = read_hello(p);
  printf("  %-*s  ", width, p->slug);
  if (p->error) {
    fputs(colour ? "\033[31mfailed\033[0m  " : "failed  ", stdout);
    put_clean(stdout, p->error, strlen(p->error), 0);
    putchar('\n');
    return;
  }
  fputs(colour ? "\033[32mok\033[0m  " : "ok  ", stdout);
  put_text(h.revision);
  printf(" (%s)  ", h.era);
  put_text(json_get(h.info, "name"));
  putchar(' ');
  put_text(json_get(h.info, "version"));
  fputs("  ", stdout);
  for (int k = 0; k < PROBE_KINDS; k++) {
    size_t n = p->lists[k].n_items;
    const char *name = probe_kind_names[k];
    printf("%s%zu %.*s", k ? ", " : "", n, (int)strlen(name) - (n == 1), name);
  }
  putchar('\n');
}

static int name_width(const struct target *t) {
  size_t width = 4, n = mcpgw_config_servers(t->config);
  for (size_t i = 0; i < n; i++) {
    size_t len = strlen(mcpgw_config_server_slug(t->config, i));
    if (len > width) width = len;
  }
  return width > 32 ? 32 : (int)width;
}

static void print_config(const struct target *t) {
  size_t servers = mcpgw_config_servers(t->config), notes = mcpgw_config_notes(t->config);
  printf("%s: the configuration is right, %zu server%s\n", t->what, servers, servers == 1 ? "" : "s");
  for (size_t i = 0; i < notes; i++) printf("  note: %s\n", mcpgw_config_note(t->config, i));
}

static void print_report(const struct target *t, const struct probes *ps) {
  int width = name_width(t), colour = colours(stdout);
  print_config(t);
  for (size_t i = 0; ps && i < ps->n; i++) print_server(&ps->items[i], width, colour);
  for (size_t i = 0; !ps && i < mcpgw_config_servers(t->config); i++)
    printf("  %-*s  not started\n", width, mcpgw_config_server_slug(t->config, i));
  printf("%s\n", boundary(t));
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void quote(const char *text) {
  json_quote(stdout, text, strlen(text));
}

static void member(const char *key, const char *text) {
  printf(",\"%s\":", key);
  quote(text);
}

static void json_server(const char *name, const char *slug, const struct probe *p) {
  fputs("{\"name\":", stdout);
  quote(name);
  member("slug", slug);
  if (p && p->error) {
    fputs(",\"ok\":false", stdout);
    member("error", p->error);
  } else if (p) {
    struct hello h = read_hello(p);
    fputs(",\"ok\":true", stdout);
    member("era", h.era);
    fputs(",\"revision\":", stdout);
    json_write(stdout, h.revision);
    fputs(",\"serverInfo\":", stdout);
    json_write(stdout, h.info);
    for (int k = 0; k < PROBE_KINDS; k++) printf(",\"%s\":%zu", probe_kind_names[k], p->lists[k].n_items);
  }
  putchar('}');
}

static void json_report(const struct target *t, const struct probes *ps) {
  size_t n = mcpgw_config_servers(t->config), notes = mcpgw_config_notes(t->config);
  printf("{\"ok\":%s", ps && probes_failed(ps) ? "false" : "true");
  member("config", t->what);
  fputs(",\"servers\":[", stdout);
  for (size_t i = 0; i < n; i++) {
    if (i) putchar(',');
    json_server(mcpgw_config_server_name(t->config, i), mcpgw_config_server_slug(t->config, i),
                ps ? &ps->items[i] : NULL);
  }
  fputs("],\"notes\":[", stdout);
  for (size_t i = 0; i < notes; i++) {
    if (i) putchar(',');
    quote(mcpgw_config_note(t->config, i));
  }
  putchar(']');
  member("contexts", boundary(t));
  puts("}");
}

static void json_refusal(const struct target *t) {
  const char *why = t->config ? mcpgw_config_error(t->config) : NULL;
  fputs("{\"ok\":false", stdout);
  member("config", t->what ? t->what : "");
  member("error", why && *why ? why : "the configuration cannot be read");
  puts("}");
}

/* ---- the command ----------------------------------------------------------------------------- */

static int check_servers(struct target *t, const struct args *a) {
  struct probes ps;
  uint64_t timeout = a->given & OPT_TIMEOUT ? a->timeout_ms : TIMEOUT_MS;
  int rc = probes_run(&ps, t, NULL, ALL_KINDS, timeout, on_terminal(stderr));
  if (rc == EXIT_OK) {
    if (a->given & OPT_JSON) json_report(t, &ps);
    else print_report(t, &ps);
    rc = probes_failed(&ps) ? EXIT_UPSTREAM : EXIT_OK;
  }
  probes_done(&ps);
  loop_end(t->gateway, 1000);
  return rc;
}

int cmd_check(const struct args *a) {
  struct target t;
  int rc = target_load_only(&t, a);
  if (rc == EXIT_OK) rc = target_start(&t, a, 1);
  if (rc == EXIT_OK) rc = target_may_listen(&t);
  if (rc != EXIT_OK) {
    if (a->given & OPT_JSON && rc == EXIT_CONFIG) json_refusal(&t);
  } else if (!(a->given & OPT_OFFLINE)) {
    rc = check_servers(&t, a);
  } else if (a->given & OPT_JSON) {
    json_report(&t, NULL);
  } else {
    print_report(&t, NULL);
  }
  target_done(&t);
  return finish_stdout(rc);
}
