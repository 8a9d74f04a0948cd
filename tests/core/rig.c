/* tests/core/rig: the ports, sinks and servers of rig.h. Everything the core sends is checked to be one JSON
 * message. Uses plain malloc, so that the library's own count stays telling. */
#include "core/rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static char *copy(const char *ptr, size_t len) {
  char *z = malloc(len + 1);
  ck_assert_ptr_nonnull(z);
  if (len && ptr) memcpy(z, ptr, len);
  z[len] = 0;
  return z;
}

static void *more(void *v, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return v;
  *cap = *cap ? *cap * 2 : 16;
  v = realloc(v, *cap * size);
  ck_assert_ptr_nonnull(v);
  return v;
}

static void must_be_message(const char *text) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (mg_wire_parse(mg_slice_z(text), &m, &why) != MCPGW_OK) ck_abort_msg("no message: %s\n%s", why.text, text);
}

/* ---- ports ---------------------------------------------------------------------------------------------- */

static int port_open(void *arg, struct mg_link *l, void **port, int *cancel_closes, struct mg_err *why) {
  struct core_rig *r = arg;
  if (r->open_rc != MCPGW_OK) return mg_err_set(why, r->open_rc, "the door \"is\" shut");
  ck_assert_uint_lt(r->n_ports, CORE_PORTS);
  struct core_port *p = calloc(1, sizeof *p);
  p->rig = r;
  p->link = l;
  p->server = mg_link_index(l);
  r->ports[r->n_ports++] = p;
  *port = p;
  *cancel_closes = r->closes;
  return MCPGW_OK;
}

static char *headers_of(const mcpgw_message *m) {
  char *z = copy(NULL, 8191);
  size_t at = 0;
  z[0] = 0;
  for (size_t i = 0; i < m->n_headers; i++)
    at += (size_t)snprintf(z + at, 8192 - at, "%s: %s\n", m->headers[i].name, m->headers[i].value);
  return z;
}

static int port_send(void *port, const mcpgw_message *m) {
  struct core_port *p = port;
  ck_assert_int_eq(p->closed, 0);
  ck_assert_uint_eq(m->struct_size, sizeof *m);
  ck_assert_int_eq(m->kind == MCPGW_SEND_REQUEST, m->call != 0);
  if (p->rig->send_rc != MCPGW_OK) return p->rig->send_rc;
  p->v = more(p->v, p->n, &p->cap, sizeof *p->v);
  struct mg_slice s = mg_blob_slice(m->bytes);
  p->v[p->n++] = (struct core_sent){m->kind, m->modern, m->handshake, m->long_lived, m->call, copy(s.ptr, s.len), headers_of(m)};
  must_be_message(p->v[p->n - 1].text);
  snprintf(p->revision, sizeof p->revision, "%s", m->revision);
  return MCPGW_OK;
}

static void port_cancel(void *port, uint64_t call) {
  struct core_port *p = port;
  ck_assert_int_eq(p->closed, 0);
  if (p->n_gone < sizeof p->gone / sizeof p->gone[0]) p->gone[p->n_gone++] = call;
}

static void port_listen(void *port, const char *revision) {
  struct core_port *p = port;
  ck_assert_int_eq(p->closed, 0);
  ck_assert_str_eq(revision, p->revision);
  p->listens++;
}

static void port_close(void *port, int graceful) {
  struct core_port *p = port;
  ck_assert_int_eq(p->closed++, 0);
  p->graceful = graceful;
}

/* ---- sinks -------------------------------------------------------------------------------------------------- */

static void sink_message(struct mg_sink *sink, struct mg_outgoing *o) {
  struct core_sink *s = (struct core_sink *)sink;
  size_t len = 0;
  ck_assert_int_eq(s->gone, 0);
  for (size_t i = 0; i < o->n; i++) len += o->segs[i].len;
  char *text = copy(NULL, len);
  len = 0;
  for (size_t i = 0; i < o->n; i++) {
    memcpy(text + len, o->segs[i].ptr, o->segs[i].len);
    len += o->segs[i].len;
    if (s->deaf && o->segs[i].blob && s->n_kept < 8) s->kept[s->n_kept++] = mg_blob_ref(o->segs[i].blob);
    else mg_blob_mark_sent(o->segs[i].blob);
    mg_blob_unref(o->segs[i].blob);
  }
  must_be_message(text);
  s->v = more(s->v, s->n, &s->cap, sizeof *s->v);
  s->v[s->n++] = (struct core_got){text, o->session ? copy(o->session, strlen(o->session)) : NULL, o->final, o->status};
  s->finals += o->final;
}

static void sink_streaming(struct mg_sink *sink) {
  struct core_sink *s = (struct core_sink *)sink;
  ck_assert_int_eq(s->gone, 0);
  s->streaming++;
}

static void sink_drop(struct mg_sink *sink) {
  struct core_sink *s = (struct core_sink *)sink;
  ck_assert_int_eq(s->gone, 0);
  s->drops++;
}

static void ctx_ended(struct mg_ctx *ctx, void *user) {
  (void)ctx;
  if (user) ((struct core_rig *)user)->ended++;
}

static const struct mg_ports ports = {port_open,    port_send,      port_cancel, port_listen, port_close,
                                      sink_message, sink_streaming, sink_drop,   ctx_ended, NULL};

/* ---- up and down ---------------------------------------------------------------------------------------------- */

static void on_log(void *data, int level, const char *line, size_t len) {
  struct core_rig *r = data;
  (void)level;
  snprintf(r->last_log, sizeof r->last_log, "%.*s", (int)len, line);
  ck_assert_msg(mg_json_scan(mg_slice(line, len), NULL, NULL, 0, NULL, NULL) == MCPGW_OK, "%s", r->last_log);
}

void core_up(struct core_rig *r, const char *servers, const char *gateway) {
  static const char *const no_env[] = {NULL};
  struct mg_err err;
  struct mg_buf b;
  memset(r, 0, sizeof *r);
  mg_err_clear(&err);
  r->live = mg_mem_live();
  r->now = 1000000;
  r->principal = "local";
  r->log = (struct mg_log){.level = MG_LOG_DEBUG, .write = on_log, .data = r};
  mg_buf_init(&b, 65536);
  mg_buf_addz(&b, "{\"mcpServers\":");
  mg_buf_addz(&b, servers);
  mg_buf_addz(&b, ",\"gateway\":");
  mg_buf_addz(&b, gateway ? gateway : "{}");
  mg_buf_addz(&b, "}");
  int rc = mg_config_parse(mg_buf_slice(&b), no_env, NULL, &r->config, &err);
  ck_assert_msg(rc == MCPGW_OK, "%s", mg_err_text(&err));
  mg_buf_done(&b);
  for (size_t i = 0; i < CORE_SERVERS; i++)
    r->servers[i] = (struct core_server){.modern = -32601,
                                         .revision = "2025-11-25",
                                         .caps = "{\"tools\":{},\"prompts\":{},\"resources\":{\"subscribe\":true},\"logging\":{}}",
                                         .hello = "",
                                         .tools = "[]",
                                         .prompts = "[]",
                                         .resources = "[]",
                                         .templates = "[]",
                                         .hints = ""};
  ck_assert_int_eq(mg_core_new(r->config, &ports, r, &r->budget, &r->log, &r->core), MCPGW_OK);
}

static void port_free(struct core_port *p) {
  ck_assert_int_eq(p->closed, 1);
  for (size_t i = 0; i < p->n; i++) {
    free(p->v[i].text);
    free(p->v[i].headers);
  }
  free(p->v);
  free(p);
}

void core_sink_clear(struct core_sink *s) {
  for (size_t i = 0; i < s->n; i++) {
    free(s->v[i].text);
    free(s->v[i].session);
  }
  s->n = 0;
}

void core_sink_hears(struct core_sink *s, int written) {
  s->deaf = 0;
  while (s->n_kept) {
    mg_blob *b = s->kept[--s->n_kept];
    if (written) mg_blob_mark_sent(b);
    mg_blob_unref(b);
  }
}

static void sink_free(struct core_sink *s) {
  if (!s->gone) {
    ck_assert_msg(s->finals + s->drops == s->requests, "%d requests, %d final, %d dropped", s->requests, s->finals, s->drops);
    ck_assert(mg_list_empty(&s->sink.calls));
  }
  core_sink_hears(s, 0);
  core_sink_clear(s);
  free(s->v);
  free(s);
}

void core_down(struct core_rig *r) {
  mg_core_end_all(r->core);
  mg_core_free(r->core);
  for (size_t i = 0; i < r->n_ports; i++) port_free(r->ports[i]);
  for (size_t i = 0; i < r->n_sinks; i++) sink_free(r->sinks[i]);
  mg_config_unref(r->config);
  ck_assert_uint_eq(r->budget.used, 0);
  ck_assert_int_eq(mg_mem_live(), r->live);
}

void core_tick(struct core_rig *r, uint64_t ms) {
  r->now += ms;
  mg_core_tick(r->core, r->now);
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

struct core_sink *core_sink(struct core_rig *r) {
  ck_assert_uint_lt(r->n_sinks, CORE_SINKS);
  struct core_sink *s = calloc(1, sizeof *s);
  mg_sink_init(&s->sink);
  s->rig = r;
  r->sinks[r->n_sinks++] = s;
  return s;
}

void core_sink_gone(struct core_sink *s) {
  mg_core_sink_gone(s->rig->core, &s->sink);
  s->gone = 1;
}

static int next_line(const char *lines, size_t *at, struct mg_slice *name, struct mg_slice *value) {
  const char *p = lines ? lines + *at : "", *colon = strchr(p, ':'), *end = strchr(p, '\n');
  if (!colon || !end) return 0;
  *name = mg_slice(p, (size_t)(colon - p));
  *value = mg_slice_trim(mg_slice(colon + 1, (size_t)(end - colon - 1)));
  *at += (size_t)(end + 1 - p);
  return 1;
}

static struct mg_slice get_header(void *arg, const char *want, size_t *count) {
  struct core_sink *s = arg;
  struct mg_slice name, value, first = mg_slice(NULL, 0);
  size_t at = 0;
  *count = 0;
  while (next_line(s->headers, &at, &name, &value))
    if (mg_slice_ieqz(name, want) && !(*count)++) first = value;
  return first;
}

static int next_header(void *arg, size_t *it, struct mg_slice *name, struct mg_slice *value) {
  return next_line(((struct core_sink *)arg)->headers, it, name, value);
}

mcpgw_credential core_who(const char *principal) {
  mcpgw_credential who = {.struct_size = sizeof who, .principal = principal, .principal_len = strlen(principal)};
  return who;
}

static struct mg_inbound inbound(struct core_rig *r, struct core_sink *s, struct mg_view view, mg_blob *blob, struct mg_msg *m) {
  struct mg_wire_fault why;
  if (mg_wire_parse(mg_blob_slice(blob), m, &why) != MCPGW_OK) ck_abort_msg("%s", why.text);
  if (s && m->kind == MG_REQUEST) s->requests++;
  r->who = core_who(r->principal);
  return (struct mg_inbound){.blob = blob, .msg = m, .view = view, .who = &r->who,
                             .sink = s ? &s->sink : NULL,
                             .header = s && s->headers ? get_header : NULL,
                             .next_header = s && s->headers ? next_header : NULL,
                             .header_arg = s, .now_ms = r->now};
}

int core_say(struct core_rig *r, struct mg_ctx *ctx, struct core_sink *s, struct mg_view view, const char *text) {
  struct mg_msg m;
  struct core_sink none = {.rig = r};
  mg_sink_init(&none.sink);
  mg_blob *blob = mg_blob_copy(&r->budget, text, strlen(text));
  ck_assert_ptr_nonnull(blob);
  struct mg_inbound in = inbound(r, s ? s : &none, view, blob, &m);
  int rc = ctx ? mg_core_legacy(r->core, ctx, &in) : mg_core_modern(r->core, &in);
  mg_blob_unref(blob);
  return rc;
}

int core_legacy(struct mg_ctx *ctx, struct core_sink *s, const char *format, ...) {
  char text[65536];
  va_list ap;
  va_start(ap, format);
  int n = vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  ck_assert_int_lt(n, (int)sizeof text);
  struct core_rig *r = s ? s->rig : mg_ctx_user(ctx);
  return core_say(r, ctx, s, mg_ctx_view(ctx), text);
}

struct mg_view core_all(struct core_rig *r) {
  return (struct mg_view){0, r->config->n_servers, 1};
}

int core_modern(struct core_sink *s, const char *text) {
  return core_say(s->rig, NULL, s, core_all(s->rig), text);
}

struct mg_ctx *core_initialize(struct core_rig *r, struct core_sink *s, size_t first, size_t n, const char *params) {
  struct mg_ctx *ctx = NULL;
  struct mg_msg m;
  char text[4096];
  snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":\"init\",\"method\":\"initialize\",\"params\":%s}",
           params ? params : "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"sampling\":{}},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}");
  mg_blob *blob = mg_blob_copy(&r->budget, text, strlen(text));
  struct mg_inbound in = inbound(r, s, (struct mg_view){first, n, 0}, blob, &m);
  mg_core_initialize(r->core, &in, &ctx);
  mg_blob_unref(blob);
  if (ctx) mg_ctx_set_user(ctx, r);
  return ctx;
}

struct mg_ctx *core_session(struct core_rig *r, size_t first, size_t n) {
  struct core_sink *s = core_sink(r);
  struct mg_ctx *ctx = core_initialize(r, s, first, n, NULL);
  ck_assert_ptr_nonnull(ctx);
  core_settle(r);
  core_has(core_final(s), "\"result\":");
  ck_assert_ptr_nonnull(s->v[s->n - 1].session);
  core_legacy(ctx, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  core_settle(r);
  return ctx;
}

const char *core_text(const struct core_sink *s, size_t nth) {
  return nth < s->n ? s->v[nth].text : "";
}

static const struct core_got *last_final(const struct core_sink *s) {
  for (size_t i = s->n; i--;)
    if (s->v[i].final) return &s->v[i];
  return NULL;
}

const char *core_final(const struct core_sink *s) {
  const struct core_got *g = last_final(s);
  return g ? g->text : "";
}

int core_status(const struct core_sink *s) {
  const struct core_got *g = last_final(s);
  return g ? g->status : 0;
}

/* ---- servers ------------------------------------------------------------------------------------------------------- */

struct core_port *core_port(struct core_rig *r, size_t server) {
  for (size_t i = r->n_ports; i--;)
    if (r->ports[i]->server == server && !r->ports[i]->closed) return r->ports[i];
  ck_abort_msg("no open link to server %zu", server);
  return NULL;
}

struct core_sent *core_sent(struct core_port *p, const char *part, size_t nth) {
  for (size_t i = 0; i < p->n; i++)
    if (strstr(p->v[i].text, part) && !nth--) return &p->v[i];
  return NULL;
}

struct core_sent *core_last(struct core_port *p) {
  ck_assert_uint_gt(p->n, 0);
  return &p->v[p->n - 1];
}

void core_hear_status(struct core_port *p, uint64_t call, int status, const char *text) {
  mg_blob *b = mg_blob_copy(&p->rig->budget, text, strlen(text));
  ck_assert_int_eq(p->closed, 0);
  mg_link_on_message(p->link, call, b, status, p->rig->now);
}

void core_hear(struct core_port *p, uint64_t call, const char *format, ...) {
  size_t cap = (size_t)16 << 20;
  char *text = malloc(cap);
  va_list ap;
  va_start(ap, format);
  int n = vsnprintf(text, cap, format, ap);
  va_end(ap);
  ck_assert_int_lt(n, (int)cap);
  core_hear_status(p, call, 200, text);
  free(text);
}

void core_result(struct core_port *p, uint64_t call, const char *result) {
  core_hear(p, p->rig->closes ? call : 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}", (unsigned long long)call, result);
}

void core_error(struct core_port *p, uint64_t call, int code) {
  core_hear(p, p->rig->closes ? call : 0, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":%d,\"message\":\"no\"}}",
            (unsigned long long)call, code);
}

void core_fail(struct core_port *p, uint64_t call, int code, uint32_t delivered, uint32_t http_status) {
  mcpgw_failure f = {sizeof f, code, delivered, http_status, 0, "the wire was cut"};
  mg_link_on_failed(p->link, call, &f, p->rig->now);
}

void core_close(struct core_port *p, uint32_t delivered) {
  mcpgw_failure f = {sizeof f, MCPGW_E_CLOSED, delivered, 0, 0, "it ended"};
  mg_link_on_closed(p->link, &f, p->rig->now);
}

int core_cancelled(const struct core_port *p, uint64_t call) {
  int n = 0;
  for (size_t i = 0; i < p->n_gone; i++) n += p->gone[i] == call;
  return n;
}

static void serve_list(struct core_port *p, uint64_t call, const char *member, const char *items) {
  if (!items) {
    core_error(p, call, -32603);
    return;
  }
  size_t cap = strlen(items) + 1000;
  char *text = malloc(cap);
  snprintf(text, cap, "{\"%s\":%s%s}", member, items, p->rig->servers[p->server].hints);
  core_result(p, call, text);
  free(text);
}

static void serve_hello(struct core_port *p, const struct core_server *s, uint64_t call, int modern) {
  char text[8192];
  mg_link_on_sent(p->link, call); /* as transports do */
  if (modern && s->modern == 1)
    snprintf(text, sizeof text, "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":%s%s}", s->caps, s->hello);
  else if (modern && !s->modern) return;
  else if (modern) {
    core_error(p, call, s->modern);
    return;
  } else if (s->mute) return;
  else
    snprintf(text, sizeof text, "{\"protocolVersion\":\"%s\",\"capabilities\":%s,\"serverInfo\":{\"name\":\"s%zu\",\"version\":\"1\"}%s}",
             s->revision, s->caps, p->server, s->hello);
  core_result(p, call, text);
}

static int is(const char *text, const char *method) {
  char part[128];
  snprintf(part, sizeof part, "\"method\":\"%s\"", method);
  return strstr(text, part) != NULL;
}

static void serve_one(struct core_port *p, struct core_sent *m) {
  const struct core_server *s = &p->rig->servers[p->server];
  uint64_t call = m->call;
  const char *text = m->text;
  if (m->kind != MCPGW_SEND_REQUEST) return;
  if (is(text, "initialize")) serve_hello(p, s, call, 0);
  else if (is(text, "server/discover")) serve_hello(p, s, call, 1);
  else if (is(text, "tools/list")) serve_list(p, call, "tools", s->tools);
  else if (is(text, "prompts/list")) serve_list(p, call, "prompts", s->prompts);
  else if (is(text, "resources/list")) serve_list(p, call, "resources", s->resources);
  else if (is(text, "resources/templates/list")) serve_list(p, call, "resourceTemplates", s->templates);
}

void core_serve(struct core_rig *r) {
  for (int busy = 1, left = 1000; busy && left--;) {
    busy = 0;
    for (size_t i = 0; i < r->n_ports; i++) {
      struct core_port *p = r->ports[i];
      if (p->closed || p->served == p->n) continue;
      busy = 1;
      struct core_sent one = p->v[p->served++]; /* a copy: the table may move */
      serve_one(p, &one);
    }
  }
}

void core_settle(struct core_rig *r) {
  core_serve(r);
  core_tick(r, 0);
}
