/* principals: many callers inside one process, over servers that remember; nobody may ever read another's. It
 * uses public headers only, as a host would.
 *
 *   principals CONFIG LAUNCHER        prints "# …" with figures a part; exit 0: no leak and no other fault
 *
 * CONFIG has servers session, principal, shared (tests/sdk/peer.mjs, legacy, with these isolations) and notes
 * (examples/servers/notes.c, isolation session, gateway.contexts.no_handle fresh). What a client says carries
 * marks "tok-WHO-N-": WHO is the client, or its principal where the state is the principal's. */
#include <mcpgw/mcpgw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PRINCIPALS = 40, EACH = 5, CLIENTS = PRINCIPALS * EACH, ROUNDS = 12, PATIENCE_S = 60 };

static const char *const kinds[] = {"session", "principal", "shared", "notes"};
enum { SESSION, PRINCIPAL, ANYBODY, HANDLES, KINDS };

struct client {
  mcpgw_client *c;
  int i, kind, rounds, n, stealing;
  uint64_t request;
  char handle[256], sent[256];
};
static struct {
  long calls, answers, leaks, faults, stolen, siblings, cut;
} did;
static struct client clients[CLIENTS];
static mcpgw_gateway *gw;
static unsigned roll_state = 7;

static unsigned roll(unsigned n) {
  roll_state = roll_state * 1103515245u + 12345u;
  return (roll_state >> 16) % n;
}

static void fault(const struct client *cl, const char *what, const char *text) {
  if (did.faults++ < 5) fprintf(stderr, "client %d (%s): %s: %.300s\n", cl->i, kinds[cl->kind], what, text);
}

static int who_is(const struct client *cl) {
  return cl->kind == PRINCIPAL ? cl->i / EACH : cl->i;
}

static void leave(struct client *cl) {
  mcpgw_client_close(cl->c);
  cl->c = NULL;
}

static int come(struct client *cl) {
  char name[32];
  mcpgw_client_options o;
  mcpgw_client_options_init(&o);
  o.mode = cl->kind == HANDLES ? MCPGW_CLIENT_RAW : MCPGW_CLIENT_LEGACY;
  o.server = kinds[cl->kind];
  o.server_len = strlen(o.server);
  o.principal = name;
  o.principal_len = (size_t)snprintf(name, sizeof name, "caller-%d", cl->i / EACH);
  cl->handle[0] = '\0';
  return mcpgw_client_open_with(&cl->c, gw, &o);
}

/* ---- what is said -------------------------------------------------------------------------------------------- */

static int say_legacy(struct client *cl) {
  char params[256];
  const char *tool = cl->kind == ANYBODY ? "echo" : "keep";
  int n = snprintf(params, sizeof params, "{\"name\":\"%s\",\"arguments\":{\"text\":\"tok-%d-%d-\"}}", tool, who_is(cl), ++cl->n);
  snprintf(cl->sent, sizeof cl->sent, "tok-%d-%d-", who_is(cl), cl->n);
  return mcpgw_client_request(cl->c, "tools/call", 10, params, (size_t)n, &cl->request);
}

static int say_modern(struct client *cl) {
  char text[1024], context[300] = "";
  struct client *other = &clients[roll(CLIENTS)];
  const char *handle = cl->handle;
  cl->stealing = other->i / EACH != cl->i / EACH && other->handle[0] && roll(3) == 0;
  if (cl->stealing) handle = other->handle;
  if (!handle[0]) handle = "new"; /* without one, all clients of a principal in one process are one workflow */
  snprintf(context, sizeof context, ",\"dev.mcpgw/context\":\"%s\"", handle);
  const char *tool = cl->stealing ? "list_notes" : "add_note";
  if (!cl->stealing && cl->n > 0 && roll(2)) tool = "list_notes";
  int n = snprintf(text, sizeof text,
                   "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"arguments\":{\"text\":"
                   "\"tok-%d-%d-\"},\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                   "\"io.modelcontextprotocol/clientCapabilities\":{}%s}}}",
                   cl->n + 1, tool, who_is(cl), cl->n + 1, context);
  cl->n++;
  return mcpgw_client_send(cl->c, text, (size_t)n);
}

/* The next thing this client does; once in a while it goes away in the middle of a call and comes back. */
static void act(struct client *cl) {
  did.calls++;
  int rc = cl->kind == HANDLES ? say_modern(cl) : say_legacy(cl);
  if (rc == MCPGW_OK && cl->kind != HANDLES && roll(8) == 0) {
    did.cut++;
    leave(cl);
    rc = come(cl);
    if (rc == MCPGW_OK) rc = say_legacy(cl);
    did.calls++;
  }
  if (rc != MCPGW_OK) fault(cl, "cannot speak", mcpgw_gateway_error(gw));
}

/* ---- what is heard ------------------------------------------------------------------------------------------- */

static void look(const struct client *cl, const char *text) {
  for (const char *p = text; (p = strstr(p, "tok-")) != NULL; p += 4) {
    int who = (int)strtol(p + 4, NULL, 10);
    if (who == who_is(cl)) continue;
    did.leaks++;
    fault(cl, "a leak", p);
  }
}

static void keep_handle(struct client *cl, const char *text) {
  const char *p = strstr(text, "\"dev.mcpgw/context\":\"");
  if (p == NULL) return;
  p += 21;
  size_t n = strcspn(p, "\"");
  if (n < sizeof cl->handle) memcpy(cl->handle, p, n), cl->handle[n] = '\0';
}

static void hear(struct client *cl, const char *text) {
  int is_result = strstr(text, "\"result\"") != NULL;
  did.answers++;
  look(cl, text);
  if (cl->stealing) {
    if (strstr(text, "-31008") != NULL) did.stolen++;
    else fault(cl, "a stolen handle opened something", text);
  } else if (!is_result) fault(cl, "no result", text);
  else if (cl->kind == HANDLES) keep_handle(cl, text);
  else if (strstr(text, cl->sent) == NULL) fault(cl, "not its own answer", text);
  /* five clients of a principal share what it keeps: more marks than one of them ever set */
  if (cl->kind == PRINCIPAL && is_result && strstr(text, "\\n") != NULL) did.siblings++;
  if (--cl->rounds > 0) act(cl);
}

static int turn(void) {
  mcpgw_event *event;
  if (mcpgw_gateway_wait(gw, 1000) < 0) return 0;
  while (mcpgw_gateway_next_event(gw, &event) == MCPGW_OK) {
    struct client *cl = clients;
    while (cl < clients + CLIENTS && cl->c != mcpgw_event_client(event)) cl++;
    uint32_t kind = mcpgw_event_kind(event);
    if (cl == clients + CLIENTS) fprintf(stderr, "an event of nobody: %s\n", mcpgw_event_data(event)), did.faults++;
    else if (kind == MCPGW_EVENT_CLOSED) fault(cl, "closed", mcpgw_event_data(event)), cl->rounds = 0;
    else if (kind == MCPGW_EVENT_REPLY && mcpgw_event_request_id(event) == cl->request) hear(cl, mcpgw_event_data(event));
    else if (kind == MCPGW_EVENT_MESSAGE && cl->kind == HANDLES) hear(cl, mcpgw_event_data(event));
    else look(cl, mcpgw_event_data(event));
    mcpgw_event_free(event);
  }
  return 1;
}

static int left(void) {
  int n = 0;
  for (int i = 0; i < CLIENTS; i++) n += clients[i].rounds > 0;
  return n;
}

static int part(int kind) {
  time_t until = time(NULL) + PATIENCE_S;
  memset(&did, 0, sizeof did);
  for (int i = 0; i < CLIENTS; i++) {
    clients[i] = (struct client){.i = i, .kind = kind, .rounds = ROUNDS};
    if (come(&clients[i]) != MCPGW_OK) fault(&clients[i], "cannot come", mcpgw_gateway_error(gw));
    else act(&clients[i]);
  }
  while (left() > 0 && time(NULL) < until && turn()) {}
  int hangs = left();
  for (int i = 0; i < CLIENTS; i++) leave(&clients[i]);
  printf("# leak, in process, %s: %d clients of %d principals: %ld calls, %ld answers, %ld cut off, %ld stolen handles "
         "refused, %ld answers with what a sibling kept; leaks %ld, other faults %ld, hangs %d\n",
         kinds[kind], CLIENTS, PRINCIPALS, did.calls, did.answers, did.cut, did.stolen, did.siblings, did.leaks,
         did.faults - did.leaks, hangs);
  int enough = (kind != HANDLES || did.stolen > 50) && (kind != PRINCIPAL || did.siblings > 50);
  return did.faults == 0 && hangs == 0 && enough;
}

static void on_log(void *data, int level, const char *line, size_t len) {
  (void)data;
  if (level <= MCPGW_LOG_ERROR) fprintf(stderr, "%.*s\n", (int)len, line);
}

int main(int argc, char **argv) {
  mcpgw_config *config = NULL;
  mcpgw_gateway_options o;
  int ok = 1;
  if (argc < 3) return 2;
  mcpgw_gateway_options_init(&o);
  o.log = on_log;
  o.launcher = argv[2];
  if (mcpgw_config_new(&config) != MCPGW_OK) return 2;
  if (mcpgw_config_load_file(config, argv[1], strlen(argv[1]), NULL) != MCPGW_OK) {
    fprintf(stderr, "%s\n", mcpgw_config_error(config));
    return 2;
  }
  mcpgw_config_set_listen(config, NULL);
  if (mcpgw_gateway_new(&gw, config, &o) != MCPGW_OK) return 2;
  for (int kind = 0; kind < KINDS; kind++) ok &= part(kind);
  mcpgw_gateway_free(gw);
  mcpgw_config_free(config);
  return ok ? 0 : 1;
}
