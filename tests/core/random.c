/* tests/core/random: everything at once, in random order: calls of both eras, cancels, sinks that go, links
 * that close, servers that answer well, badly or never, questions, ticks. Each request's sink must get exactly
 * one final message or one drop, and is freed inside it, as the gateway does; at the end nothing is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/core.h"
#include "core/suites.h"
#include "mcpgw/types.h"

#define STEPS 6000
#define SERVERS 3
#define SESSIONS 6
#define WAITING 32 /* requests a server has not answered */

enum what { INITIALIZE, DISCOVER, LIST, LISTEN, OTHER };
struct asked {
  uint64_t call;
  enum what what;
  char member[20]; /* of a list's result */
};
struct port {
  struct world *w;
  struct mg_list node; /* first among the living */
  struct mg_link *link;
  size_t server;
  struct asked v[WAITING];
  size_t n;
};
struct sink { /* of one POST: some requests */
  struct mg_sink sink; /* first */
  struct world *w;
  int left, channel;
};
struct session {
  struct world *w;
  const char *principal;
  struct mg_ctx *ctx;
  struct sink *channel;
};
struct world {
  struct mg_core *core;
  struct mg_config *config;
  struct mg_budget budget;
  struct mg_log log;
  uint64_t now, seed;
  struct mg_list ports;
  size_t n_ports;
  struct session sessions[SESSIONS];
  struct sink *posts[64]; /* NULL: none, or answered */
  size_t live; /* sinks of requests that are not over */
  uint64_t asked, finals, drops;
  char handles[8][300]; /* as JSON strings, of whomever they are */
  const char *isolation[SERVERS];
  int may_reload;
  unsigned reloads;
};

static unsigned rnd(struct world *w, unsigned n) {
  w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(w->seed >> 33) % n;
}

static const char *pick(struct world *w, const char *const *v, size_t n) {
  return v[rnd(w, (unsigned)n)];
}
#define PICK(w, v) pick(w, v, sizeof(v) / sizeof((v)[0]))

/* ---- ports ------------------------------------------------------------------------------------------------ */

static int port_open(void *arg, struct mg_link *l, void **port, int *cancel_closes, struct mg_err *why) {
  struct world *w = arg;
  (void)why;
  if (!rnd(w, 10)) return MCPGW_E_IO;
  struct port *p = calloc(1, sizeof *p);
  p->w = w;
  p->link = l;
  p->server = mg_link_index(l);
  mg_list_add(&w->ports, &p->node);
  w->n_ports++;
  *port = p;
  *cancel_closes = p->server == 1;
  return MCPGW_OK;
}

static int holds(struct mg_slice text, const char *part) {
  return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static struct asked understand(struct mg_slice text, uint64_t call) {
  static const char *const lists[][2] = {{"\"tools/list\"", "tools"}, {"\"prompts/list\"", "prompts"},
                                         {"\"resources/list\"", "resources"}, {"\"resources/templates/list\"", "resourceTemplates"}};
  struct asked a = {call, OTHER, ""};
  if (holds(text, "\"initialize\"")) a.what = INITIALIZE;
  if (holds(text, "\"server/discover\"")) a.what = DISCOVER;
  if (holds(text, "\"subscriptions/listen\"")) a.what = LISTEN;
  for (size_t i = 0; i < 4; i++)
    if (holds(text, lists[i][0])) {
      a.what = LIST;
      snprintf(a.member, sizeof a.member, "%s", lists[i][1]);
    }
  return a;
}

static int port_send(void *port, const mcpgw_message *m) {
  struct port *p = port;
  struct mg_slice text = mg_blob_slice(m->bytes);
  ck_assert_int_eq(mg_json_scan(text, NULL, NULL, 0, NULL, NULL), MCPGW_OK);
  if (!rnd(p->w, 40)) return MCPGW_E_LIMIT;
  if (m->kind == MCPGW_SEND_REQUEST && p->n < WAITING) p->v[p->n++] = understand(text, m->call);
  return MCPGW_OK;
}

static void forget(struct port *p, size_t i) {
  p->v[i] = p->v[--p->n];
}

static void port_cancel(void *port, uint64_t call) {
  struct port *p = port;
  for (size_t i = 0; i < p->n; i++)
    if (p->v[i].call == call) {
      forget(p, i);
      return;
    }
}

static void port_listen(void *port, const char *revision) {
  (void)port, (void)revision;
}

static void port_close(void *port, int graceful) {
  struct port *p = port;
  (void)graceful;
  mg_list_del(&p->node);
  p->w->n_ports--;
  free(p);
}

/* ---- sinks --------------------------------------------------------------------------------------------------- */

static void one_less(struct sink *s) {
  struct world *w = s->w;
  ck_assert_int_gt(s->left, 0); /* a second answer would be one too many */
  if (--s->left) return;
  ck_assert(mg_list_empty(&s->sink.calls));
  for (size_t i = 0; i < 64; i++)
    if (w->posts[i] == s) w->posts[i] = NULL;
  w->live--;
  memset(s, 0xEE, sizeof *s);
  free(s);
}

static void keep_handle(struct world *w, struct mg_slice text) {
  static const char key[] = "\"dev.mcpgw/context\":";
  const char *at = memmem(text.ptr, text.len, key, sizeof key - 1);
  if (!at) return;
  at += sizeof key - 1;
  const char *end = memchr(at + 1, '"', 200);
  ck_assert_ptr_nonnull(end);
  snprintf(w->handles[rnd(w, 8)], 300, "%.*s", (int)(end + 1 - at), at);
}

static void sink_message(struct mg_sink *sink, struct mg_outgoing *o) {
  struct sink *s = (struct sink *)sink;
  struct mg_buf all;
  mg_buf_init(&all, (size_t)1 << 24);
  for (size_t i = 0; i < o->n; i++) {
    mg_buf_add(&all, o->segs[i].ptr, o->segs[i].len);
    if (rnd(s->w, 4)) mg_blob_mark_sent(o->segs[i].blob); /* else it is lost with its connection */
    mg_blob_unref(o->segs[i].blob);
  }
  ck_assert_int_eq(mg_json_scan(mg_buf_slice(&all), NULL, NULL, 0, NULL, NULL), MCPGW_OK);
  keep_handle(s->w, mg_buf_slice(&all));
  mg_buf_done(&all);
  ck_assert(!o->final || !s->channel);
  if (!o->final) return;
  s->w->finals++;
  one_less(s);
}

static void sink_streaming(struct mg_sink *sink) {
  ck_assert_int_gt(((struct sink *)sink)->left, 0);
}

static void sink_drop(struct mg_sink *sink) {
  struct sink *s = (struct sink *)sink;
  s->w->drops++;
  one_less(s);
}

static void ctx_ended(struct mg_ctx *ctx, void *user) {
  struct session *s = user;
  if (!s) return;
  ck_assert_ptr_eq(s->ctx, ctx);
  free(s->channel);
  memset(s, 0, sizeof *s);
}

static const struct mg_ports ports = {port_open,    port_send,      port_cancel, port_listen, port_close,
                                      sink_message, sink_streaming, sink_drop,   ctx_ended, NULL};

static struct sink *new_sink(struct world *w, int requests) {
  struct sink *s = calloc(1, sizeof *s);
  mg_sink_init(&s->sink);
  s->w = w;
  s->left = requests;
  w->live++;
  w->asked += (uint64_t)requests;
  size_t i = rnd(w, 64);
  if (!w->posts[i]) w->posts[i] = s;
  return s;
}

/* ---- clients --------------------------------------------------------------------------------------------------- */

static const char *const principals[] = {"p", "p", "q"};

static void say(struct world *w, const char *principal, struct mg_ctx *ctx, struct sink *s, struct mg_view view, const char *text,
                struct mg_ctx **opened) {
  struct mg_msg m;
  struct mg_wire_fault why;
  struct sink none = {.w = w};
  mg_sink_init(&none.sink);
  mg_blob *blob = mg_blob_copy(&w->budget, text, strlen(text));
  ck_assert_int_eq(mg_wire_parse(mg_blob_slice(blob), &m, &why), MCPGW_OK);
  mcpgw_credential who = {.struct_size = sizeof who, .principal = principal, .principal_len = strlen(principal)};
  struct mg_inbound in = {.blob = blob, .msg = &m, .view = view, .who = &who, .sink = s ? &s->sink : &none.sink, .now_ms = w->now};
  if (opened) mg_core_initialize(w->core, &in, opened);
  else if (ctx) mg_core_legacy(w->core, ctx, &in);
  else mg_core_modern(w->core, &in);
  mg_blob_unref(blob);
}

static struct mg_view some_view(struct world *w) {
  unsigned n = (unsigned)w->config->n_servers;
  struct mg_view all = {0, n, 1}, one = {rnd(w, n), 1, 0};
  return rnd(w, 2) ? all : one;
}

static void open_session(struct world *w) {
  struct session *s = &w->sessions[rnd(w, SESSIONS)];
  struct mg_ctx *ctx = NULL;
  if (s->ctx) return;
  const char *principal = PICK(w, principals);
  say(w, principal, NULL, new_sink(w, 1), some_view(w),
      "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"sampling\":{}},\"clientInfo\":{}}}", &ctx);
  if (!ctx) return;
  *s = (struct session){w, principal, ctx, calloc(1, sizeof *s->channel)};
  s->channel->w = w;
  s->channel->channel = 1;
  s->channel->left = 1;
  mg_sink_init(&s->channel->sink);
  mg_ctx_set_user(ctx, s);
  mg_ctx_set_channel(ctx, &s->channel->sink);
}

static struct session *some_session(struct world *w) {
  struct session *s = &w->sessions[rnd(w, SESSIONS)];
  return s->ctx ? s : NULL;
}

static const char *const names[] = {"error", "t", "s0__t", "s1__t", "s2__t", "s1__u", "nope"};
static const char *const members[] = {
    "\"method\":\"tools/call\",\"params\":{\"name\":\"%s\"%s}",
    "\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"task\":{}%s}",
    "\"method\":\"prompts/get\",\"params\":{\"name\":\"%s\"%s}",
    "\"method\":\"resources/read\",\"params\":{\"uri\":\"r:%s\"%s}",
    "\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"r:%s\"%s}",
    "\"method\":\"resources/unsubscribe\",\"params\":{\"uri\":\"r:%s\"%s}",
    "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"debug\",\"x\":\"%s\"%s}",
    "\"method\":\"logging/setLevel\",\"params\":{\"level\":\"%s\"%s}",
    "\"method\":\"tools/list\",\"params\":{\"x\":\"%s\"%s}",
    "\"method\":\"resources/list\",\"params\":{\"x\":\"%s\"%s}",
    "\"method\":\"prompts/list\",\"params\":{\"cursor\":\"%s\"%s}",
    "\"method\":\"completion/complete\",\"params\":{\"ref\":{\"type\":\"ref/prompt\",\"name\":\"%s\"}%s}",
    "\"method\":\"tasks/get\",\"params\":{\"taskId\":\"%s\"%s}",
    "\"method\":\"ping\",\"params\":{\"x\":\"%s\"%s}",
};
static const char *const modern_members[] = {
    "\"method\":\"server/discover\",\"params\":{\"x\":\"%s\"%s}",
    "\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"r:%s\"]}%s}",
};

static void write_request(struct world *w, const char *format, const char *meta, char *out, size_t cap) {
  char body[1200];
  snprintf(body, sizeof body, format, PICK(w, names), meta);
  snprintf(out, cap, "{\"jsonrpc\":\"2.0\",\"id\":%u,%s}", rnd(w, 12), body);
}

static void legacy_post(struct world *w) {
  struct session *s = some_session(w);
  char text[900];
  int n = rnd(w, 5) ? 1 : 3; /* some are batches: one sink for all */
  if (!s) return;
  struct sink *post = new_sink(w, n);
  while (n--) {
    write_request(w, PICK(w, members), rnd(w, 3) ? ",\"_meta\":{\"progressToken\":\"tok\"}" : "", text, sizeof text);
    say(w, s->principal, s->ctx, post, mg_ctx_view(s->ctx), text, NULL);
  }
}

static void modern_post(struct world *w) {
  static const char head[] = ",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}";
  char text[1400], meta[700];
  const char *handle = w->handles[rnd(w, 8)];
  switch (rnd(w, 6)) {
  case 0: snprintf(meta, sizeof meta, "%s,\"dev.mcpgw/context\":\"new\"}", head); break;
  case 1: snprintf(meta, sizeof meta, "%s,\"dev.mcpgw/context\":\"%u\"}", head, rnd(w, 1000)); break;
  case 2:
  case 3: snprintf(meta, sizeof meta, *handle ? "%s,\"dev.mcpgw/context\":%s}" : "%s}", head, handle); break;
  default: snprintf(meta, sizeof meta, "%s}", head);
  }
  write_request(w, rnd(w, 3) ? PICK(w, members) : PICK(w, modern_members), meta, text, sizeof text);
  say(w, PICK(w, principals), NULL, new_sink(w, 1), some_view(w), text, NULL);
}

static void client_notifies(struct world *w) {
  static const char *const v[] = {"\"method\":\"notifications/initialized\"", "\"method\":\"notifications/roots/list_changed\"",
                                  "\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%u}",
                                  "\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%u}",
                                  "\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%u,\"progress\":1}",
                                  "\"id\":%u,\"result\":{}", "\"id\":%u,\"error\":{\"code\":1,\"message\":\"\"}"};
  char body[200], text[300];
  struct session *s = some_session(w);
  if (!s) return;
  snprintf(body, sizeof body, rnd(w, 3) ? PICK(w, v) : v[0], rnd(w, 12));
  snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",%s}", body);
  say(w, s->principal, s->ctx, NULL, mg_ctx_view(s->ctx), text, NULL);
}

static void sink_goes(struct world *w) {
  size_t i = rnd(w, 64);
  struct sink *s = w->posts[i];
  if (!s) return;
  size_t n = 0;
  for (struct mg_list *c = s->sink.calls.next; c != &s->sink.calls; c = c->next) n++;
  mg_core_sink_gone(w->core, &s->sink);
  w->drops += n;
  w->asked -= (uint64_t)s->left - n; /* members of a batch that were never said */
  w->posts[i] = NULL;
  w->live--;
  free(s);
}

/* ---- servers ---------------------------------------------------------------------------------------------------- */

static struct port *some_port(struct world *w) {
  if (!w->n_ports) return NULL;
  struct mg_list *node = w->ports.next;
  for (unsigned i = rnd(w, (unsigned)w->n_ports); i; i--) node = node->next;
  return MG_CONTAINER(node, struct port, node);
}

static void hear(struct port *p, uint64_t call, const char *text) {
  struct world *w = p->w;
  mg_blob *b = mg_blob_copy(&w->budget, text, strlen(text));
  mg_link_on_message(p->link, call, b, rnd(w, 20) ? 200 : 400, w->now);
}

static const char *good_result(struct world *w, const struct asked *a, char *out, size_t cap) {
  static const char *const caps = "{\"tools\":{},\"prompts\":{},\"resources\":{\"subscribe\":true},\"logging\":{}}";
  static const char *const items[] = {"[]", "[{\"name\":\"t\"},{\"name\":\"u\"}]", "[{\"uri\":\"r:t\"},{\"uriTemplate\":\"r:{x}\"}]",
                                      "[{\"name\":\"t\",\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}}]"};
  static const char *const others[] = {"{}", "{\"task\":{\"taskId\":\"t\"}}", "{\"content\":[],\"_meta\":{\"dev.mcpgw/x\":1}}"};
  if (a->what == INITIALIZE) snprintf(out, cap, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":%s,\"serverInfo\":{}}", caps);
  else if (a->what == DISCOVER) snprintf(out, cap, "{\"supportedVersions\":[\"%s\"],\"capabilities\":%s}", rnd(w, 5) ? "2026-07-28" : "2025-11-25", caps);
  else if (a->what == LIST)
    snprintf(out, cap, "{\"%s\":%s%s%s}", a->member, PICK(w, items), rnd(w, 4) ? "" : ",\"nextCursor\":\"c\"", rnd(w, 2) ? "" : ",\"ttlMs\":1000");
  else snprintf(out, cap, "%s", PICK(w, others));
  return out;
}

static void answer(struct port *p) {
  struct world *w = p->w;
  char result[600], text[900];
  if (!p->n) return;
  size_t i = rnd(w, (unsigned)p->n);
  struct asked a = p->v[i];
  unsigned long long id = a.call, how = rnd(w, 12);
  forget(p, i);
  if (how == 0) {
    mcpgw_failure f = {sizeof f, rnd(w, 2) ? MCPGW_E_IO : MCPGW_E_TIMEOUT, rnd(w, 3), rnd(w, 2) ? 404 : 0, 0, "cut"};
    mg_link_on_failed(p->link, a.call, &f, w->now);
    return;
  }
  static const int codes[] = {-32601, -32602, -32020, -32022, -32002, 7};
  if (how == 1) snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":%d,\"message\":\"m\"}}", id, codes[rnd(w, 6)]);
  else if (how == 2) snprintf(text, sizeof text, "garbage");
  else snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}", id, good_result(w, &a, result, sizeof result));
  if (!rnd(w, 2)) mg_link_on_sent(p->link, a.call);
  hear(p, rnd(w, 2) ? a.call : 0, text);
}

static void server_speaks(struct port *p) {
  static const char *const v[] = {
      "\"method\":\"notifications/tools/list_changed\"", "\"method\":\"notifications/resources/list_changed\"",
      "\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"r:t\"}", "\"method\":\"notifications/odd\"",
      "\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}",
      "\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":1}",
      "\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%llu,\"progress\":1}",
      "\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":%llu}",
      "\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%llu},\"notifications\":{\"toolsListChanged\":true}}",
      "\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%llu}}",
      "\"id\":%llu,\"method\":\"sampling/createMessage\",\"params\":{\"_meta\":{\"progressToken\":1}}", "\"id\":%llu,\"method\":\"ping\"",
      "\"id\":%llu,\"result\":{}"};
  struct world *w = p->w;
  char body[300], text[400];
  unsigned long long id = p->n ? p->v[rnd(w, (unsigned)p->n)].call : rnd(w, 5);
  snprintf(body, sizeof body, PICK(w, v), id);
  snprintf(text, sizeof text, rnd(w, 10) ? "{\"jsonrpc\":\"2.0\",%s}" : "[{\"jsonrpc\":\"2.0\",%s}]", body);
  port_cancel(p, strstr(body, "result") ? id : 0); /* that was an answer */
  hear(p, rnd(w, 3) ? 0 : id, text);
}

static void link_closes(struct port *p) {
  mcpgw_failure f = {sizeof f, MCPGW_E_CLOSED, rnd(p->w, 3), 0, 0, rnd(p->w, 2) ? "it ended" : NULL};
  mg_link_on_closed(p->link, &f, p->w->now);
}

/* ---- the world --------------------------------------------------------------------------------------------------- */

static void revoke(struct world *w) {
  const char *who = PICK(w, principals);
  size_t n;
  ck_assert_int_eq(mg_core_revoke(w->core, MG_REVOKE_PRINCIPAL, mg_slice_z(who), &n), MCPGW_OK);
}

/* Some of the servers, in any order, some of them not as they were. */
static void write_servers(struct world *w, char *out, size_t cap) {
  static const char *const format[SERVERS] = {
      "\"s0\":{\"url\":\"http://a/mcp\",\"gateway\":{%s\"breaker\":{\"enabled\":false}}}",
      "\"s1\":{\"url\":\"http://b/mcp\",\"gateway\":{%s\"limits\":{\"links\":3,\"concurrency\":2,\"queue\":2},\"breaker\":{\"min_calls\":4,\"open_ms\":200}}}",
      "\"s2\":{\"url\":\"http://c/mcp\",\"gateway\":{%s\"stateful\":false,\"timeouts\":{\"idle_ms\":500},\"tools\":{\"*\":{\"limits\":{\"concurrency\":1}}}}}"};
  static const char *const isolation[] = {"", "\"isolation\":\"principal\",", "\"isolation\":\"shared\",", "\"isolation\":\"session\","};
  unsigned first = rnd(w, SERVERS), n = w->config ? 1 + rnd(w, SERVERS) : SERVERS;
  size_t at = 0;
  out[0] = 0;
  for (unsigned i = 0; i < n; i++) {
    unsigned k = (first + i) % SERVERS;
    if (!w->isolation[k] || !rnd(w, 3)) w->isolation[k] = PICK(w, isolation);
    at += (size_t)snprintf(out + at, cap - at, i ? "," : "");
    at += (size_t)snprintf(out + at, cap - at, format[k], w->isolation[k]);
  }
}

static struct mg_config *some_config(struct world *w) {
  static const char format[] = "{\"mcpServers\":{%s},\"gateway\":{\"contexts\":{\"idle_ms\":60000,\"absolute_ms\":600000,\"max\":%u,"
                               "\"max_per_principal\":6,\"no_handle\":\"%s\"}}}";
  static const char *const no_handle[] = {"principal", "principal", "fresh", "refuse"}, *const no_env[] = {NULL};
  char servers[1200], config[2000];
  struct mg_config *c = NULL;
  write_servers(w, servers, sizeof servers);
  snprintf(config, sizeof config, format, servers, 6 + rnd(w, 4), PICK(w, no_handle));
  ck_assert_int_eq(mg_config_parse(mg_slice_z(config), no_env, NULL, &c, NULL), MCPGW_OK);
  return c;
}

/* Now and then there is no memory for it, or somebody thinks better of it. */
static void reload(struct world *w) {
  struct mg_config *next = some_config(w);
  struct mg_reload *r = NULL;
  if (!rnd(w, 3)) mg_mem_fail_after(1 + rnd(w, 60), 0);
  int rc = mg_reload_plan(w->core, next, &r);
  mg_mem_fail_after(0, 0);
  if (rc == MCPGW_OK && rnd(w, 5)) {
    mg_reload_commit(r, w->now);
    mg_config_unref(w->config);
    w->config = next;
    w->reloads++;
    return;
  }
  if (rc == MCPGW_OK) mg_reload_drop(r);
  else ck_assert_int_eq(rc, MCPGW_E_NOMEM);
  mg_config_unref(next);
}

static void step(struct world *w) {
  unsigned what = rnd(w, 100);
  struct port *p = some_port(w);
  if (what < 6) open_session(w);
  else if (what < 22) legacy_post(w);
  else if (what < 32) modern_post(w);
  else if (what < 42) client_notifies(w);
  else if (what < 45) sink_goes(w);
  else if (what < 46 && !rnd(w, 8)) revoke(w);
  else if (what < 46 && w->may_reload && rnd(w, 2)) reload(w);
  else if (what < 48 && p) link_closes(p);
  else if (what < 49 && some_session(w)) {
    struct session *s = some_session(w);
    if (s) mg_core_end(w->core, s->ctx, "deleted");
  } else if (what < 55) {
    w->now += rnd(w, 50) ? rnd(w, 300) : 40000;
    mg_core_tick(w->core, w->now);
  } else if (what < 65 && p) server_speaks(p);
  else if (p) answer(p);
}

static void world_up(struct world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->seed = seed;
  w->now = 1000000;
  w->log.level = MG_LOG_DEBUG;
  mg_list_init(&w->ports);
  w->config = some_config(w);
  ck_assert_int_eq(mg_core_new(w->config, &ports, w, &w->budget, &w->log, &w->core), MCPGW_OK);
}

static void world_down(struct world *w) {
  mg_core_drain(w->core);
  for (int i = 0; i < 200; i++) { /* what was under way may finish; new requests are refused */
    struct port *p = some_port(w);
    if (p) answer(p);
    if (i % 10 == 0) legacy_post(w);
  }
  mg_core_end_all(w->core);
  ck_assert_uint_eq(w->live, 0);
  ck_assert_uint_eq(mg_core_calls(w->core), 0);
  ck_assert_uint_eq(w->finals + w->drops, w->asked);
  ck_assert_uint_eq(w->n_ports, 0);
  mg_core_free(w->core);
  mg_config_unref(w->config);
  ck_assert_uint_eq(w->budget.used, 0);
}

START_TEST(any_order_of_events) {
  struct world w;
  int64_t live = mg_mem_live();
  const char *more = getenv("MCPGW_RANDOM_SEED");
  world_up(&w, more ? strtoull(more, NULL, 10) : (uint64_t)_i * 7919 + 1);
  w.may_reload = _i % 2;
  for (int i = 0; i < STEPS; i++) step(&w);
  ck_assert(!w.may_reload || w.reloads > 2);
  ck_assert_uint_gt(mg_core_stats(w.core)->replies, 200); /* it did something */
  ck_assert_uint_gt(mg_core_stats(w.core)->contexts_opened, 20);
  ck_assert_uint_gt(mg_core_stats(w.core)->links_lost, 20);
  ck_assert_uint_gt(mg_core_stats(w.core)->lists_fetched, 10);
  world_down(&w);
  ck_assert_int_eq(mg_mem_live(), live);
}
END_TEST

Suite *core_random_suite(void) {
  Suite *s = suite_create("core/random");
  TCase *t = tcase_create("random");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, any_order_of_events, 0, 32);
  suite_add_tcase(s, t);
  return s;
}
