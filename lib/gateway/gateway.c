/* gateway/gateway: owns the gateway object: what it is made of, its clock, its stop. It knows no
 * protocol. */
#include "gateway/gateway.h"
#include "transport/stdio.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "gateway/admin.h"

#define AFTER_STOP_MS 6000 /* children and farewells get so long once the last call is over */
#define STOP_LOOK_MS 20    /* how often a stopping gateway looks whether it is done */
#define FAREWELL_MS 200    /* after the last link was closed: time for DELETEs to leave */
#define FILES_KEPT 64      /* besides a quarter of all descriptors, from clients' connections */
#define MAX_ALARMS ((size_t)1 << 20)
#define SPARE_BLOBS 64         /* 2 KiB each */

uint64_t mg_gw_now(struct mcpgw_gateway *gw) {
  return mg_loop_now_ms(gw->loop);
}

int mg_gw_guard(const struct mcpgw_gateway *gw) {
  return mg_loop_forked(gw->loop) ? MCPGW_E_STATE : MCPGW_OK;
}

/* ---- time ----------------------------------------------------------------------------------------------- */

void mg_gw_alarm(struct mcpgw_gateway *gw, struct mg_alarm *a, uint64_t at_ms) {
  mg_heap_set(&gw->alarms, &a->node, at_ms); /* without memory it does not ring: the stream lives a little longer */
}

void mg_gw_alarm_off(struct mcpgw_gateway *gw, struct mg_alarm *a) {
  mg_heap_del(&gw->alarms, &a->node);
}

static uint64_t next_ms(struct mcpgw_gateway *gw) {
  uint64_t at = mg_core_next_ms(gw->core);
  struct mg_heap_node *top = mg_heap_top(&gw->alarms);
  if (top && top->at_ms < at) at = top->at_ms;
  if (gw->stopping && !gw->stopped && mg_gw_now(gw) + STOP_LOOK_MS < at) at = mg_gw_now(gw) + STOP_LOOK_MS;
  return at;
}

/* The timer only ever moves to an earlier time here; most deadlines are met long before it fires. */
void mg_gw_settle(struct mcpgw_gateway *gw) {
  uint64_t at = next_ms(gw), now = mg_gw_now(gw);
  if (at >= gw->armed_ms) return;
  gw->armed_ms = at;
  mg_timer_set(gw->timer, at > now ? at - now : 0);
}

static void ring(struct mcpgw_gateway *gw, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&gw->alarms)) && top->at_ms <= now_ms) {
    struct mg_alarm *a = MG_CONTAINER(top, struct mg_alarm, node);
    mg_heap_del(&gw->alarms, top);
    a->fire(a, now_ms);
  }
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

/* Those of the modern era have no context whose end would tell them. */
static void close_clients(struct mcpgw_gateway *gw) {
  for (struct mg_list *n = gw->clients.next; n != &gw->clients; n = n->next)
    mg_peer_fail((struct mcpgw_client *)n, "the gateway is stopping");
}

/* What a stop waits for, or had to cut. */
static void log_stop(struct mcpgw_gateway *gw, int level, const char *event) {
  char calls[24], conns[24], children[24];
  snprintf(calls, sizeof calls, "%zu", mg_core_calls(gw->core));
  snprintf(conns, sizeof conns, "%zu", gw->server ? mg_http_server_connections(gw->server) : 0);
  snprintf(children, sizeof children, "%d", mg_child_count(gw->loop));
  mg_log(&gw->log, level, event, "calls", calls, "connections", conns, "children", children, (char *)0);
}

static void step_stop(struct mcpgw_gateway *gw, uint64_t now_ms) {
  if (gw->stopping == 1 && (mg_core_calls(gw->core) == 0 || now_ms >= gw->stop_ms)) {
    log_stop(gw, mg_core_calls(gw->core) ? MG_LOG_WARN : MG_LOG_INFO, "gateway.ending");
    gw->stopping = 2;
    gw->stop_ms = now_ms + AFTER_STOP_MS;
    mg_core_end_all(gw->core);
    close_clients(gw);
    mg_gw_close_links(gw);
    if (gw->server) mg_http_server_stop_accepting(gw->server);
    if (gw->admin) mg_http_server_stop_accepting(gw->admin); /* until now it could be watched */
  }
  if (gw->stopping != 2 || gw->stopped) return;
  int children = mg_child_count(gw->loop);
  size_t conns = gw->server ? mg_http_server_connections(gw->server) : 0;
  int said_farewell = now_ms + AFTER_STOP_MS >= gw->stop_ms + FAREWELL_MS;
  if ((children || conns || !said_farewell) && now_ms < gw->stop_ms) return;
  gw->stopped = 1;
  log_stop(gw, children || conns ? MG_LOG_WARN : MG_LOG_INFO, "gateway.stopped");
}

int mg_gw_stop(struct mcpgw_gateway *gw, uint64_t deadline_ms) {
  uint64_t now = mg_gw_now(gw);
  if (gw->stopping) {
    if (now + deadline_ms < gw->stop_ms) gw->stop_ms = now + deadline_ms;
  } else {
    log_stop(gw, MG_LOG_INFO, "gateway.stopping");
    gw->stopping = 1;
    gw->stop_ms = now + deadline_ms;
    if (gw->server) mg_http_server_stop_accepting(gw->server);
    mg_core_drain(gw->core);
    mg_streams_stop(gw);
  }
  mg_gw_settle(gw);
  return MCPGW_OK;
}

static void on_timer(void *arg) {
  struct mcpgw_gateway *gw = arg;
  uint64_t now = mg_gw_now(gw);
  gw->armed_ms = UINT64_MAX;
  mg_core_tick(gw->core, now);
  ring(gw, now);
  if (gw->stopping) step_stop(gw, now);
  mg_gw_settle(gw);
}

/* ---- making and unmaking ------------------------------------------------------------------------------------ */

static void nothing(void *arg) {
  (void)arg;
}

static int make_parts(struct mcpgw_gateway *gw) {
  int rc = mg_loop_new(&gw->loop);
  if (rc == MCPGW_OK) rc = mg_timer_new(gw->loop, on_timer, gw, &gw->timer);
  if (rc == MCPGW_OK) rc = mg_timer_new(gw->loop, nothing, NULL, &gw->limit);
  if (rc == MCPGW_OK) rc = mg_core_new(gw->config, &mg_gw_ports, gw, &gw->budget, &gw->log, &gw->core);
  if (rc == MCPGW_OK) mg_state_offer(gw);
  if (rc == MCPGW_OK) mg_known_offer(gw);
  if (rc == MCPGW_OK) rc = mg_gw_upstreams_new(gw);
  if (rc == MCPGW_OK) mg_keys_start(gw);
  return rc;
}

int mg_gw_new(struct mg_config *config, const mcpgw_gateway_options *o, struct mcpgw_gateway **out) {
  struct mcpgw_gateway *gw = mg_calloc(1, sizeof *gw);
  if (!gw) return MCPGW_E_NOMEM;
  int rc = MCPGW_E_NOMEM;
  gw->config = mg_config_ref(config);
  gw->armed_ms = UINT64_MAX;
  gw->budget.limit = (size_t)config->limits.memory_bytes;
  gw->budget.keep = SPARE_BLOBS;
  gw->log.level = config->log_level;
  gw->log.write = o->log;
  gw->log.data = o->log_data;
  mg_heap_init(&gw->alarms, MAX_ALARMS);
  mg_list_init(&gw->orphans);
  mg_list_init(&gw->over);
  mg_list_init(&gw->old_ups);
  mg_list_init(&gw->closing);
  mg_list_init(&gw->clients);
  mg_list_init(&gw->events);
  mg_state_init(gw, o->store);
  if (o->launcher && !(gw->launcher = mg_strdup(o->launcher))) goto out;
  if ((rc = make_parts(gw)) != MCPGW_OK) goto out;
  if (o->subreaper && (rc = mg_loop_adopts(gw->loop)) != MCPGW_OK) goto out;
  *out = gw;
  gw = NULL;
  rc = MCPGW_OK;
out:
  mg_gw_free(gw);
  return rc;
}

static void free_clients(struct mcpgw_gateway *gw) {
  struct mg_list *node;
  while ((node = mg_list_first(&gw->clients))) mg_peer_close((struct mcpgw_client *)node);
  while ((node = mg_list_first(&gw->events))) {
    mg_list_del(node);
    mg_peer_event_free((struct mcpgw_event *)node);
  }
}

void mg_gw_free(struct mcpgw_gateway *gw) {
  if (!gw) return;
  free_clients(gw);
  if (gw->server) mg_http_server_free(gw->server);
  if (gw->admin) mg_http_server_free(gw->admin);
  mg_core_free(gw->core);
  mg_keys_done(gw);
  mg_gw_close_links(gw);
  mg_gw_upstreams_free(gw);
  if (gw->loop) mg_child_drain(gw->loop, 0);
  if (gw->http) mg_http_client_free(gw->http);
  mg_timer_free(gw->timer);
  mg_timer_free(gw->limit);
  mg_state_done(gw);
  if (gw->loop) mg_loop_free(gw->loop);
  mg_gw_endpoints_free(gw->endpoints, gw->n_endpoints);
  mg_heap_done(&gw->alarms);
  mg_free(gw->launcher);
  mg_config_unref(gw->config);
  mg_budget_done(&gw->budget);
  mg_free(gw);
}

/* ---- listening ------------------------------------------------------------------------------------------------ */

static char *url_of(const struct mg_buf *bound) {
  struct mg_buf url;
  mg_buf_init(&url, 512);
  int unix_socket = mg_slice_starts(mg_buf_slice(bound), MG_LIT("unix:"));
  if (!unix_socket) mg_buf_addz(&url, "http://");
  mg_buf_adds(&url, mg_buf_slice(bound));
  if (!unix_socket) mg_buf_addz(&url, "/mcp");
  mg_buf_addc(&url, 0);
  if (mg_buf_rc(&url) == MCPGW_OK) return url.ptr; /* the buffer's memory is the URL's now */
  mg_buf_done(&url);
  return NULL;
}

int mg_gw_open_endpoint(struct mcpgw_gateway *gw, const char *addr, struct mg_endpoint *out) {
  struct mg_buf bound;
  mg_buf_init(&bound, 300);
  int rc = mg_http_server_listen(gw->server, mg_slice_z(addr), &bound, &gw->err);
  if (rc == MCPGW_OK && (!(out->url = url_of(&bound)) || !(out->addr = mg_strdup(addr)))) {
    mg_http_server_unlisten(gw->server, mg_slice_z(addr));
    mg_free(out->url);
    out->url = NULL;
    rc = MCPGW_E_NOMEM;
  }
  mg_buf_done(&bound);
  return rc;
}

int mg_gw_endpoint_copy(const struct mg_endpoint *from, struct mg_endpoint *out) {
  out->addr = mg_strdup(from->addr);
  out->url = mg_strdup(from->url);
  return out->addr && out->url ? MCPGW_OK : MCPGW_E_NOMEM;
}

void mg_gw_endpoints_free(struct mg_endpoint *v, size_t n) {
  for (size_t i = 0; v && i < n; i++) {
    mg_free(v[i].addr);
    mg_free(v[i].url);
  }
  mg_free(v);
}

/* Clients may not take all the descriptors that this process can have: servers and processes need some, and so does
 * whoever asks whether we live. A few beyond the ceiling are accepted to be told that there is no room. */
static size_t connections(const struct mg_config *c) {
  struct rlimit r;
  size_t want = (size_t)c->limits.connections, room;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY || r.rlim_cur / 2 > want) return want;
  room = (size_t)r.rlim_cur / 4 * 3;
  room = room > 4 * FILES_KEPT ? room - FILES_KEPT : (size_t)r.rlim_cur / 2;
  return room < want ? room : want;
}

void mg_gw_http_limits(const struct mg_config *c, struct mg_http_limits *out) {
  *out = (struct mg_http_limits){.header_bytes = (size_t)c->limits.header_bytes,
                                 .body_bytes = (size_t)c->limits.body_bytes,
                                 .connections = connections(c),
                                 .header_ms = 10000,
                                 .body_ms = 30000,
                                 .idle_ms = 75000,
                                 .write_ms = 60000};
}

static int open_server(struct mcpgw_gateway *gw) {
  struct mg_http_limits limits;
  mg_gw_http_limits(gw->config, &limits);
  if (gw->server) return MCPGW_OK;
  return mg_http_server_new(gw->loop, &limits, &mg_gw_http_events, gw, &gw->log, &gw->budget, &gw->server);
}

static int open_endpoints(struct mcpgw_gateway *gw) {
  size_t n = 0;
  int rc = MCPGW_OK;
  while (gw->config->listen[n]) n++;
  gw->endpoints = mg_calloc(n + 1, sizeof *gw->endpoints);
  if (!gw->endpoints) return MCPGW_E_NOMEM;
  for (size_t i = 0; rc == MCPGW_OK && i < n; i++) {
    rc = mg_gw_open_endpoint(gw, gw->config->listen[i], &gw->endpoints[i]);
    if (rc == MCPGW_OK) gw->n_endpoints++;
  }
  return rc;
}

int mg_gw_listen(struct mcpgw_gateway *gw) {
  mg_err_clear(&gw->err);
  if (gw->stopping) return mg_err_set(&gw->err, MCPGW_E_STATE, "the gateway is stopping");
  if (gw->endpoints) return mg_err_set(&gw->err, MCPGW_E_STATE, "it listens already; mcpgw_gateway_reload changes where");
  int rc = mg_config_check_listen(gw->config, &gw->err);
  if (rc == MCPGW_OK) rc = open_server(gw);
  if (rc == MCPGW_OK) rc = open_endpoints(gw);
  if (rc == MCPGW_OK) rc = mg_admin_open(gw, gw->config, &gw->admin);
  if (rc != MCPGW_OK) return mg_err_set(&gw->err, rc, "cannot listen: %s", mg_rc_name(rc));
  gw->listening = 1;
  return rc;
}

/* ---- turning ---------------------------------------------------------------------------------------------------- */

int mg_gw_timeout_ms(struct mcpgw_gateway *gw) {
  if (!mg_list_empty(&gw->events)) return 0;
  mg_gw_settle(gw);
  return mg_loop_timeout_ms(gw->loop);
}

int mg_gw_turn(struct mcpgw_gateway *gw, int timeout_ms) {
  int mode = timeout_ms == 0 || !mg_list_empty(&gw->events) ? MG_RUN_NOWAIT : MG_RUN_ONCE;
  mg_gw_settle(gw);
  int limited = mode == MG_RUN_ONCE && timeout_ms > 0;
  if (limited) mg_timer_set(gw->limit, (uint64_t)timeout_ms);
  int rc = mg_loop_run(gw->loop, mode);
  if (limited) mg_timer_set(gw->limit, UINT64_MAX);
  if (rc == MCPGW_OK) mg_gw_settle(gw);
  return rc;
}

struct counter {
  const char *name;
  uint64_t value;
};

static int write_counters(const struct counter *v, size_t n, char **out) {
  struct mg_buf b;
  mg_buf_init(&b, 8192);
  for (size_t i = 0; i < n; i++) {
    mg_buf_addc(&b, i ? ',' : '{');
    mg_buf_json_str(&b, mg_slice_z(v[i].name));
    mg_buf_addc(&b, ':');
    mg_buf_addu(&b, v[i].value);
  }
  mg_buf_addc(&b, '}');
  mg_buf_addc(&b, 0);
  if (mg_buf_rc(&b) != MCPGW_OK) {
    mg_buf_done(&b);
    return MCPGW_E_NOMEM;
  }
  *out = b.ptr; /* OWNED by the caller now */
  return MCPGW_OK;
}

int mg_gw_stats(struct mcpgw_gateway *gw, char **out) {
  const struct mg_stats *s = mg_core_stats(gw->core);
  struct mg_stdio_stats kids;
  mg_gw_children_stats(gw, &kids);
  const struct counter v[] = {
      {"requests", s->requests},
      {"replies", s->replies},
      {"errors", s->errors},
      {"cancelled", s->cancelled},
      {"timeouts", s->timeouts},
      {"overloaded", s->overloaded},
      {"queued", s->queued},
      {"queue_full", s->queue_full},
      {"breaker_opened", s->breaker_opened},
      {"breaker_refused", s->breaker_refused},
      {"retries", s->retries},
      {"retries_refused", s->retries_refused},
      {"rate_limited", s->rate_limited},
      {"unknown_ids", s->unknown_ids},
      {"unknown_tokens", s->unknown_tokens},
      {"unknown_responses", s->unknown_responses},
      {"dropped_notifications", s->dropped_notifications},
      {"filtered_logs", s->filtered_logs},
      {"upstream_protocol", s->upstream_protocol},
      {"links_opened", s->links_opened},
      {"links_lost", s->links_lost},
      {"links_reaped", s->links_reaped},
      {"links_deaf", s->links_deaf},
      {"crash_loops", s->crash_loops},
      {"listens_lost", s->listens_lost},
      {"listen_gaps", s->listen_gaps},
      {"contexts_opened", s->contexts_opened},
      {"contexts_ended", s->contexts_ended},
      {"contexts_revoked", s->contexts_revoked},
      {"handles_refused", s->handles_refused},
      {"lists_fetched", s->lists_fetched},
      {"lists_cached", s->lists_cached},
      {"pins_differ", s->pins_differ},
      {"pins_denied", s->pins_denied},
      {"tools_refused", s->tools_refused},
      {"keyed", s->keyed},
      {"keyed_replayed", s->keyed_replayed},
      {"keyed_joined", s->keyed_joined},
      {"keyed_conflicts", s->keyed_conflicts},
      {"keyed_unknown", s->keyed_unknown},
      {"keyed_unstored", s->keyed_unstored},
      {"keyed_refused", s->keyed_refused},
      {"reloads", gw->reloads},
      {"streams_cut", gw->streams_cut},
      {"replays_dropped", gw->replays_dropped},
      {"events_dropped", gw->events_dropped},
      {"log_lines_dropped", gw->log.dropped},
      {"contexts", mg_core_contexts(gw->core)},
      {"calls", mg_core_calls(gw->core)},
      {"breakers_open", mg_core_breakers(gw->core)},
      {"calls_queued", mg_core_queued(gw->core)},
      {"children_started", kids.started},
      {"children_refused", kids.refused},
      {"children_dropped_messages", kids.dropped},
      {"children_noise_lines", kids.noise_lines},
      {"children_stderr_lines", kids.stderr_lines},
      {"children_hidden_lines", kids.hidden_lines},
      {"children_held_back", kids.held},
      {"children", (uint64_t)mg_child_count(gw->loop)},
      {"connections", gw->server ? mg_http_server_connections(gw->server) : 0},
      {"memory_bytes", gw->budget.used},
  };
  return write_counters(v, sizeof v / sizeof v[0], out);
}
