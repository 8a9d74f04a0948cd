/* call.c owns `mcpgw call`: one call of one tool, its progress, its result, its cancellation. What the
 * server returns is printed; what it asks for on the way is politely declined. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define STDIN_MAX ((size_t)32 << 20)
#define LIST_MS 60000

struct call {
  struct target t;
  mcpgw_client *client;
  uint64_t request;
  const char *tool;
  char *own_name;  /* OWNED: the tool's name at its server, when the name given had a prefix */
  char *arguments; /* OWNED; NULL: none */
  size_t arguments_len;
  int json, progress, shown; /* shown: a progress line stands on the terminal */
  int done, rc;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static int read_stdin(struct call *c) {
  char *text = NULL;
  size_t len = 0;
  ssize_t n;
  char part[4096];
  FILE *f = open_memstream(&text, &len);
  size_t total = 0;
  if (f == NULL) return say_fail(EXIT_IO, "out of memory");
  while ((n = read(STDIN_FILENO, part, sizeof part)) > 0 && (total += (size_t)n) <= STDIN_MAX)
    fwrite(part, 1, (size_t)n, f);
  int bad = fclose(f) != 0 || n < 0;
  c->arguments = text;
  c->arguments_len = len;
  if (bad) return say_fail(EXIT_IO, "cannot read the arguments from stdin");
  return total > STDIN_MAX ? say_fail(EXIT_USAGE, "the arguments on stdin are larger than 32 MiB") : EXIT_OK;
}

static int read_arguments(struct call *c, const char *operand) {
  struct json v;
  size_t at = 0;
  int rc = EXIT_OK;
  if (operand && strcmp(operand, "-") == 0) {
    rc = read_stdin(c);
  } else {
    c->arguments = strdup(operand ? operand : "{}");
    if (c->arguments == NULL) return say_fail(EXIT_IO, "out of memory");
    c->arguments_len = strlen(c->arguments);
  }
  if (rc != EXIT_OK) return rc;
  if (!json_read(c->arguments, c->arguments_len, &v, &at))
    return say_fail(EXIT_USAGE,
                    "the arguments are no JSON: fault at byte %zu; quote them for the shell: '{\"name\": 1}'",
                    at + 1);
  return json_is(v, '{') ? EXIT_OK
                         : say_fail(EXIT_USAGE, "the arguments must be a JSON object: '{\"name\": 1}'");
}

/* ---- what comes back ------------------------------------------------------------------------- */

static void wipe_progress(struct call *c) {
  if (c->shown) fputs("\r\033[K", stderr);
  c->shown = 0;
}

static void show_progress(struct call *c, struct json params) {
  int terminal = on_terminal(stderr);
  size_t len;
  char *text = json_text(json_get(params, "message"), &len);
  struct json done = json_get(params, "progress"), total = json_get(params, "total");
  fputs(terminal ? "\r\033[Kmcpgw: progress " : "mcpgw: progress ", stderr);
  if (json_is(done, '0')) json_write(stderr, done);
  if (json_is(total, '0')) {
    putc('/', stderr);
    json_write(stderr, total);
  }
  if (text) {
    putc(' ', stderr);
    put_clean(stderr, text, len, 0);
  }
  free(text);
  if (!terminal) putc('\n', stderr);
  c->shown = terminal;
  fflush(stderr);
}

static void on_message(struct call *c, const mcpgw_event *e) {
  struct json message;
  answer_server(c->client, e);
  if (!c->progress || !json_read(mcpgw_event_data(e), mcpgw_event_len(e), &message, NULL)) return;
  char *method = json_text(json_get(message, "method"), NULL);
  if (method && strcmp(method, "notifications/progress") == 0) show_progress(c, json_get(message, "params"));
  free(method);
}

static int wants_input(struct json result) {
  char *type = json_text(json_get(result, "resultType"), NULL);
  int yes = type && strcmp(type, "input_required") == 0;
  free(type);
  return yes;
}

static int on_reply(struct call *c, const mcpgw_event *e) {
  struct json message, result;
  if (!json_read(mcpgw_event_data(e), mcpgw_event_len(e), &message, NULL))
    return say_fail(EXIT_RPC, "%s: the reply is no JSON", c->tool);
  result = json_get(message, "result");
  if (!json_is(result, '{')) return show_rpc_error(c->tool, json_get(message, "error"));
  if (c->json) {
    json_write(stdout, result);
    putchar('\n');
  } else if (!wants_input(result)) {
    show_content(result);
  }
  if (wants_input(result))
    return say_fail(EXIT_RPC,
                    "%s: the tool asks for input, which a command line cannot give; call it from an agent",
                    c->tool);
  return json_true(json_get(result, "isError")) ? EXIT_TOOL : EXIT_OK;
}

static void on_event(struct call *c, const mcpgw_event *e) {
  uint32_t kind = mcpgw_event_kind(e);
  if (kind == MCPGW_EVENT_MESSAGE) {
    on_message(c, e);
  } else if (kind == MCPGW_EVENT_REPLY && mcpgw_event_request_id(e) == c->request && !c->done) {
    wipe_progress(c);
    c->done = 1;
    c->rc = on_reply(c, e);
  } else if (kind == MCPGW_EVENT_CLOSED && !c->done) {
    wipe_progress(c);
    c->done = 1;
    c->rc = say_fail(EXIT_UPSTREAM, "%s: %s", c->t.what, mcpgw_event_len(e) ? mcpgw_event_data(e) : "closed");
  }
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void give_up(struct call *c, int code, const char *why) {
  wipe_progress(c);
  (void)mcpgw_client_cancel(c->client, c->request);
  c->done = 1;
  c->rc = say_fail(code, "%s: %s", c->tool, why);
}

static int drive(struct call *c, uint64_t timeout_ms) {
  uint64_t until = timeout_ms ? clock_ms() + timeout_ms : 0;
  mcpgw_event *e;
  while (!c->done) {
    uint64_t now = clock_ms();
    if (loop_interrupts()) {
      give_up(c, EXIT_INTERRUPTED, "cancelled");
    } else if (until && now >= until) {
      give_up(c, EXIT_UPSTREAM, "no result in time, cancelled; allow more with --timeout");
    } else {
      int rc = loop_turn(c->t.gateway, NULL, 0, until ? (int)(until - now) : -1);
      if (rc != MCPGW_OK && rc != MCPGW_E_AGAIN)
        return say_fail(EXIT_IO, "the gateway failed: %s", mcpgw_strerror(rc));
      while (mcpgw_gateway_next_event(c->t.gateway, &e) == MCPGW_OK) {
        on_event(c, e);
        mcpgw_event_free(e);
      }
    }
  }
  return c->rc;
}

/* ---- SERVER__TOOL ---------------------------------------------------------------------------- */

/* Is name the slug, a separator of "_", "-" and ".", and own? A separator with letters is left to the
 * gateway. */
static int is_made_of(const char *name, const char *slug, const char *own, size_t own_len) {
  size_t len = strlen(name), prefix = strlen(slug);
  if (own_len == 0 || prefix + own_len >= len || strcmp(name + len - own_len, own) != 0) return 0;
  return strspn(name + prefix, "_-.") >= len - own_len - prefix;
}

/* The one tool of p that the name means, OWNED. NULL: none, or not just one. */
static char *match(const struct probe *p, const char *name) {
  const struct probe_list *l = &p->lists[PROBE_TOOLS];
  char *found = NULL;
  int n = 0;
  for (size_t i = 0; i < l->n_pages; i++) {
    struct json whole, tool;
    size_t pos = 0, own_len = 0;
    if (!json_read(l->pages[i], strlen(l->pages[i]), &whole, NULL)) continue;
    while (json_next(json_get(json_get(whole, "result"), "tools"), &pos, NULL, &tool)) {
      char *own = json_text(json_get(tool, "name"), &own_len);
      if (own && is_made_of(name, p->slug, own, own_len) && n++ == 0) found = own;
      else free(own);
    }
  }
  if (n == 1) return found;
  free(found);
  return NULL;
}

static const char *longest_slug(const struct target *t, const char *name) {
  const char *best = NULL;
  for (size_t i = 0; i < mcpgw_config_servers(t->config); i++) {
    const char *slug = mcpgw_config_server_slug(t->config, i);
    size_t len = strlen(slug);
    if (strncmp(name, slug, len) == 0 && name[len] && (best == NULL || len > strlen(best))) best = slug;
  }
  return best;
}

/* Of several servers only the one that the tool's name begins with is started, and spoken to in its own
 * era. When the name is not clear, the gateway decides, with all servers. */
static int resolve(struct call *c, uint64_t timeout_ms) {
  struct probes ps;
  const char *slug = mcpgw_config_servers(c->t.config) > 1 ? longest_slug(&c->t, c->tool) : NULL;
  if (slug == NULL) return EXIT_OK;
  int rc = probes_run(&ps, &c->t, slug, 1u << PROBE_TOOLS, timeout_ms ? timeout_ms : LIST_MS, 0);
  if (rc == EXIT_OK && ps.items[0].error) rc = say_fail(EXIT_UPSTREAM, "%s: %s", slug, ps.items[0].error);
  if (rc == EXIT_OK && (c->own_name = match(&ps.items[0], c->tool)) != NULL) {
    c->tool = c->own_name;
    c->client = ps.items[0].client;
    ps.items[0].client = NULL;
  }
  probes_done(&ps);
  return rc;
}

/* ---- the call -------------------------------------------------------------------------------- */

static int request(struct call *c) {
  static const char method[] = "tools/call";
  char *params = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&params, &len);
  if (f == NULL) return say_fail(EXIT_IO, "out of memory");
  fputs("{\"name\":", f);
  json_quote(f, c->tool, strlen(c->tool));
  fputs(",\"arguments\":", f);
  fwrite(c->arguments, 1, c->arguments_len, f);
  putc('}', f);
  int rc = fclose(f) == 0 ? MCPGW_OK : MCPGW_E_NOMEM;
  if (rc == MCPGW_OK)
    rc = mcpgw_client_request(c->client, method, sizeof method - 1, params, len, &c->request);
  free(params);
  if (rc == MCPGW_OK) return EXIT_OK;
  int theirs = rc == MCPGW_E_PARSE || rc == MCPGW_E_INVALID || rc == MCPGW_E_LIMIT;
  return say_fail(theirs ? EXIT_USAGE : EXIT_IO, "%s: the arguments are refused: %s", c->tool,
                  mcpgw_strerror(rc));
}

static int perform(struct call *c, const struct args *a, const char *slug) {
  uint64_t timeout = a->given & OPT_TIMEOUT ? a->timeout_ms : 0;
  int rc = slug ? EXIT_OK : resolve(c, timeout);
  if (rc == EXIT_OK && c->client == NULL) {
    int lib = mcpgw_client_open(&c->client, c->t.gateway, slug, slug ? strlen(slug) : 0, MCPGW_CLIENT_AUTO);
    if (lib == MCPGW_E_NOT_FOUND) rc = say_fail(EXIT_CONFIG, "%s: no server is configured", c->t.what);
    else if (lib != MCPGW_OK) rc = say_fail(EXIT_IO, "%s: cannot begin: %s", c->t.what, mcpgw_strerror(lib));
  }
  if (rc == EXIT_OK) rc = request(c);
  if (rc == EXIT_OK) rc = drive(c, timeout);
  wipe_progress(c);
  if (c->client) mcpgw_client_close(c->client);
  loop_end(c->t.gateway, 1000);
  return rc;
}

int cmd_call(const struct args *a) {
  struct call c;
  size_t next;
  const char *slug = NULL;
  memset(&c, 0, sizeof c);
  int rc = target_load(&c.t, a, &next);
  if (rc == EXIT_OK && a->n_operands <= next) rc = say_fail(EXIT_USAGE, "which tool? mcpgw tools lists them");
  if (rc == EXIT_OK && a->n_operands > next + 2)
    rc = say_fail(EXIT_USAGE, "one operand too many: \"%s\"; arguments are one JSON object",
                  a->operands[next + 2]);
  if (rc == EXIT_OK && a->server && (slug = target_server(&c.t, a->server)) == NULL) rc = EXIT_USAGE;
  if (rc == EXIT_OK) rc = read_arguments(&c, a->n_operands > next + 1 ? a->operands[next + 1] : NULL);
  if (rc == EXIT_OK) {
    c.tool = a->operands[next];
    c.json = (a->given & OPT_JSON) != 0;
    c.progress = a->given & OPT_PROGRESS || on_terminal(stderr);
    rc = target_start(&c.t, a, 1);
  }
  if (rc == EXIT_OK) rc = perform(&c, a, slug);
  target_done(&c.t);
  free(c.arguments);
  free(c.own_name);
  return finish_stdout(rc);
}
