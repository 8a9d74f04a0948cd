/* tests/gateway/rig: the gateway, its servers and its clients, see rig.h. Uses plain malloc on its own side,
 * so that the library's count of allocations stays telling. */
#include "gateway/rig.h"

#include "api/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "wire/message.h"

uint64_t gwt_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- servers ----------------------------------------------------------------------------------------------- */

static void say(struct gwt_server *s, mg_memory_conn *conn, const char *text, size_t len) {
  if (mg_memory_reply_text(conn, text, len) == MCPGW_OK) return;
  s->failed_replies++;
  if (s->g->oom) mg_memory_end(conn, "the server has no memory left"); /* better than silence */
}

static void result(struct gwt_server *s, mg_memory_conn *conn, const char *id, const char *json) {
  size_t cap = strlen(json) + strlen(id) + 64;
  char *text = malloc(cap);
  int n = snprintf(text, cap, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", id, json);
  say(s, conn, text, (size_t)n);
  free(text);
}

static void refuse(struct gwt_server *s, mg_memory_conn *conn, const char *id, int code) {
  char text[256];
  int n = snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":\"no\"}}", id, code);
  say(s, conn, text, (size_t)n);
}

static void hold(struct gwt_server *s, mg_memory_conn *conn, const char *id) {
  ck_assert_uint_lt(s->n_held, GWT_HELD);
  s->held[s->n_held].conn = conn;
  snprintf(s->held[s->n_held++].id, sizeof s->held[0].id, "%s", id);
}

static void big(struct gwt_server *s, mg_memory_conn *conn, const char *id) {
  char *text = malloc(s->big + 200);
  size_t n = (size_t)sprintf(text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":\"", id);
  memset(text + n, 'x', s->big);
  memcpy(text + n + s->big, "\"}}", 3);
  if (mg_memory_reply_text(conn, text, n + s->big + 3) != MCPGW_OK) {
    s->failed_replies++; /* no room: it says so, in few words */
    refuse(s, conn, id, -32603);
  }
  free(text);
}

static void progress(struct gwt_server *s, mg_memory_conn *conn, const struct mg_msg *m, const char *id) {
  char text[512];
  struct mg_slice token = mg_msg_raw(m, MG_S_META_PROGRESS);
  for (int i = 1; i <= 3; i++) {
    int n = snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%.*s,\"progress\":%d}}",
                     (int)token.len, token.ptr, i);
    say(s, conn, text, (size_t)n);
  }
  result(s, conn, id, "{\"content\":[]}");
}

static void call_tool(struct gwt_server *s, mg_memory_conn *conn, const struct mg_msg *m, const char *id) {
  static const char question[] = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"sampling/createMessage\",\"params\":{\"messages\":[]}}";
  struct mg_slice name = mg_msg_inner(m, MG_S_NAME);
  s->calls++;
  free(s->last_call);
  s->last_call = strndup(m->doc.ptr, m->doc.len);
  if (mg_slice_eqz(name, "echo")) result(s, conn, id, "{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}");
  else if (mg_slice_eqz(name, "raw")) result(s, conn, id, s->payload);
  else if (mg_slice_eqz(name, "hold")) hold(s, conn, id);
  else if (mg_slice_eqz(name, "big")) big(s, conn, id);
  else if (mg_slice_eqz(name, "progress")) progress(s, conn, m, id);
  else if (mg_slice_eqz(name, "die")) mg_memory_end(conn, "the tool died");
  else if (mg_slice_eqz(name, "ask")) {
    hold(s, conn, id);
    say(s, conn, question, sizeof question - 1);
  } else refuse(s, conn, id, -32602);
}

static void hello(struct gwt_server *s, mg_memory_conn *conn, const struct mg_msg *m, const char *id) {
  char text[1024];
  struct mg_slice v = mg_msg_inner(m, MG_S_VERSION);
  if (m->method == MG_M_INITIALIZE)
    snprintf(text, sizeof text, "{\"protocolVersion\":\"%.*s\",\"capabilities\":%s,\"serverInfo\":{\"name\":\"m\",\"version\":\"1\"}}", (int)v.len, v.ptr, s->caps);
  else
    snprintf(text, sizeof text, "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":%s,\"ttlMs\":0,\"cacheScope\":\"public\"}", s->caps);
  if (m->method == MG_M_DISCOVER && !s->modern) refuse(s, conn, id, -32601);
  else result(s, conn, id, text);
}

static void list(struct gwt_server *s, mg_memory_conn *conn, const struct mg_msg *m, const char *id) {
  char text[4096];
  if (m->method == MG_M_TOOLS_LIST) snprintf(text, sizeof text, "{\"tools\":%s}", s->tools);
  else if (m->method == MG_M_PROMPTS_LIST) snprintf(text, sizeof text, "{\"prompts\":[]}");
  else if (m->method == MG_M_RESOURCES_LIST) snprintf(text, sizeof text, "{\"resources\":[]}");
  else snprintf(text, sizeof text, "{\"resourceTemplates\":[]}");
  result(s, conn, id, text);
}

static void answered(struct gwt_server *s, const struct mg_msg *m) {
  s->answers++;
  snprintf(s->last_answer, sizeof s->last_answer, "%.*s", (int)m->doc.len, m->doc.ptr);
}

static void on_message(void *server, mg_memory_conn *conn, mcpgw_bytes *bytes) {
  struct gwt_server *s = server;
  struct mg_msg m;
  struct mg_wire_fault why;
  int rc = mg_wire_parse(mg_slice(mcpgw_bytes_data(bytes), mcpgw_bytes_len(bytes)), &m, &why);
  ck_assert_msg(rc == MCPGW_OK, "the gateway sent what is no message: %s", why.text);
  if (s->mute) return;
  if (m.method == MG_M_N_CANCELLED) s->cancelled++;
  else if (m.kind == MG_RESULT || m.kind == MG_ERROR) answered(s, &m);
  else if (m.kind != MG_REQUEST) return;
  else if (m.method == MG_M_TOOLS_CALL) call_tool(s, conn, &m, why.id);
  else if (m.method == MG_M_INITIALIZE || m.method == MG_M_DISCOVER) hello(s, conn, &m, why.id);
  else if (m.method == MG_M_LISTEN) hold(s, conn, why.id);
  else if (mg_method_is_list(m.method)) list(s, conn, &m, why.id);
  else result(s, conn, why.id, "{}");
}

static void on_opened(void *server, mg_memory_conn *conn) {
  struct gwt_server *s = server;
  s->last = conn;
  s->conns++;
}

static void on_closed(void *server, mg_memory_conn *conn) {
  struct gwt_server *s = server;
  if (s->last == conn) s->last = NULL;
  for (size_t i = 0; i < s->n_held; i++)
    if (s->held[i].conn == conn) s->held[i].conn = NULL;
}

static const struct mg_memory_server table = {on_message, on_opened, on_closed};

void gwt_release(struct gwt_server *s, size_t nth, const char *json) {
  ck_assert_uint_lt(nth, s->n_held);
  if (s->held[nth].conn) result(s, s->held[nth].conn, s->held[nth].id, json);
}

void gwt_say(struct gwt_server *s, const char *text) {
  ck_assert_ptr_nonnull(s->last);
  say(s, s->last, text, strlen(text));
}

/* ---- the gateway ---------------------------------------------------------------------------------------------- */

static void on_log(void *data, int level, const char *line, size_t len) {
  struct gwt *g = data;
  size_t have = strlen(g->log);
  (void)level;
  if (have + len + 2 > sizeof g->log) have = 0;
  snprintf(g->log + have, sizeof g->log - have, "%.*s\n", (int)len, line);
}

static int isolation; /* tests run in a process each */

void gwt_isolate(int how) {
  isolation = how;
}

int gwt_transport(struct gwt *g, int i) {
  return mg_transport_memory_new(&table, &g->servers[i], &g->transports[i]);
}

static int add_servers(struct gwt *g) {
  static const char *const names[] = {"a", "b", "c"};
  int rc = MCPGW_OK;
  for (int i = 0; i < g->n_servers && rc == MCPGW_OK; i++) rc = mcpgw_config_add_custom(g->config, names[i], 1);
  /* what the API has no call for yet: as a document would say it */
  for (int i = 0; i < g->n_servers && rc == MCPGW_OK; i++)
    ((struct mg_cfg_server *)(uintptr_t)g->config->snapshot->servers)[i].isolation = isolation;
  if (rc == MCPGW_OK) rc = mcpgw_config_set_listen(g->config, "127.0.0.1:0");
  mcpgw_gateway_options o;
  mcpgw_gateway_options_init(&o);
  o.log = on_log;
  o.log_data = g;
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&g->gw, g->config, &o);
  for (int i = 0; i < g->n_servers && rc == MCPGW_OK; i++) {
    rc = gwt_transport(g, i);
    if (rc == MCPGW_OK) rc = mcpgw_gateway_set_transport(g->gw, names[i], 1, &mg_transport_memory_ops, g->transports[i]);
  }
  return rc;
}

int gwt_try_up(struct gwt *g, const char *gateway, int n_servers) {
  char text[2048];
  int oom = g->oom;
  memset(g, 0, sizeof *g);
  g->oom = oom;
  g->live = mg_mem_live();
  g->n_servers = n_servers;
  for (int i = 0; i < 3; i++) {
    g->servers[i].g = g;
    g->servers[i].caps = "{\"tools\":{},\"logging\":{}}";
    g->servers[i].tools = "[{\"name\":\"echo\"},{\"name\":\"hold\"},{\"name\":\"raw\"},{\"name\":\"big\"}]";
    g->servers[i].payload = "{}";
  }
  snprintf(text, sizeof text, "{\"gateway\":{%s\"log\":{\"level\":\"debug\"}}}", gateway);
  int rc = mcpgw_config_new(&g->config);
  if (rc == MCPGW_OK) rc = mcpgw_config_load_mem(g->config, text, strlen(text), NULL);
  if (rc == MCPGW_OK) rc = add_servers(g);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_listen(g->gw);
  if (rc != MCPGW_OK) return rc;
  const char *url = mcpgw_gateway_endpoint(g->gw, 0);
  g->port = atoi(strrchr(url, ':') + 1);
  return MCPGW_OK;
}

void gwt_up(struct gwt *g, const char *gateway, int n_servers) {
  g->oom = 0;
  int rc = gwt_try_up(g, gateway, n_servers);
  ck_assert_msg(rc == MCPGW_OK, "%s; %s; %s", mcpgw_strerror(rc), mcpgw_config_error(g->config), mcpgw_gateway_error(g->gw));
}

void gwt_down(struct gwt *g) {
  mcpgw_gateway_free(g->gw);
  for (int i = 0; i < 3; i++) {
    mg_transport_memory_free(g->transports[i]);
    free(g->servers[i].last_call);
    ck_assert_ptr_null(g->servers[i].last);
  }
  mcpgw_config_free(g->config);
  ck_assert_int_eq(mg_mem_live(), g->live);
}

void gwt_turn(struct gwt *g, int ms) {
  int rc = mcpgw_gateway_wait(g->gw, ms);
  ck_assert_msg(rc == MCPGW_OK || g->oom, "%s", mcpgw_strerror(rc));
}

int gwt_wait(struct gwt *g, const int *counter, int value, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  while (*counter < value && gwt_ms() < end) gwt_turn(g, 5);
  return *counter >= value;
}

long long gwt_stat(struct gwt *g, const char *name) {
  char *text = NULL, key[64];
  ck_assert_int_eq(mcpgw_gateway_stats(g->gw, &text), MCPGW_OK);
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(text, key);
  ck_assert_msg(at != NULL, "no counter %s in %s", name, text);
  long long v = strtoll(at + strlen(key), NULL, 10);
  mcpgw_free(text);
  return v;
}

mcpgw_event *gwt_event(struct gwt *g, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  mcpgw_event *e = NULL;
  for (;;) {
    int rc = mcpgw_gateway_next_event(g->gw, &e);
    if (rc == MCPGW_OK) return e;
    if (gwt_ms() >= end) return NULL;
    if (rc == MCPGW_E_AGAIN) gwt_turn(g, 5);
  }
}

/* ---- HTTP clients ------------------------------------------------------------------------------------------------ */

static void connect_to(struct gwt *g, struct gwt_http *c, int segment, int window) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g->port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(c, 0, sizeof *c);
  c->g = g;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_ge(c->fd, 0);
  if (segment) ck_assert_int_eq(setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment), 0);
  if (window) ck_assert_int_eq(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
  ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&a, sizeof a), 0); /* the backlog takes it */
  ck_assert_int_eq(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
  int one = 1;
  (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void gwt_connect(struct gwt *g, struct gwt_http *c) {
  connect_to(g, c, 0, 0);
}

void gwt_connect_slow(struct gwt *g, struct gwt_http *c) {
  connect_to(g, c, 1400, 16384); /* small segments keep the other side's send buffer small, too */
}

void gwt_connect_wide(struct gwt *g, struct gwt_http *c) {
  connect_to(g, c, 0, 524288);
}

void gwt_close(struct gwt_http *c) {
  if (c->fd > 0) close(c->fd);
  free(c->buf);
  memset(c, 0, sizeof *c);
}

void gwt_reset(struct gwt_http *c) {
  struct linger l = {1, 0};
  (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  gwt_close(c);
}

void gwt_write(struct gwt_http *c, const void *data, size_t len) {
  const char *p = data;
  uint64_t end = gwt_ms() + 10000;
  while (len && gwt_ms() < end) {
    ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
    if (n > 0) {
      p += n;
      len -= (size_t)n;
    } else if (errno == EAGAIN) {
      gwt_turn(c->g, 5);
    } else {
      c->reset = 1;
      return;
    }
  }
  ck_assert_uint_eq(len, 0);
}

void gwt_request(struct gwt_http *c, const char *method, const char *path, const char *headers, const char *body) {
  size_t n = strlen(body), cap = n + strlen(headers) + strlen(path) + 256;
  char *text = malloc(cap);
  int has = n || !strcmp(method, "POST");
  int at = snprintf(text, cap, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", method, path, c->g->port, headers);
  if (has) at += snprintf(text + at, cap - (size_t)at, "Content-Length: %zu\r\n", n);
  at += snprintf(text + at, cap - (size_t)at, "\r\n%s", body);
  gwt_write(c, text, (size_t)at);
  free(text);
}

void gwt_post(struct gwt_http *c, const char *path, const char *headers, const char *body) {
  char all[2048];
  snprintf(all, sizeof all, "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n%s", headers);
  gwt_request(c, "POST", path, all, body);
}

int gwt_read(struct gwt_http *c, int ms) {
  gwt_turn(c->g, ms);
  int any = 0;
  while (!c->eof && !c->reset) {
    if (c->len + 65537 > c->cap) {
      c->cap = (c->len + 65537) * 2;
      c->buf = realloc(c->buf, c->cap);
      ck_assert_ptr_nonnull(c->buf);
    }
    ssize_t n = recv(c->fd, c->buf + c->len, 65536, 0);
    if (n > 0) {
      c->len += (size_t)n;
      any = 1;
    }
    if (n == 0) c->eof = 1;
    if (n < 0 && errno != EAGAIN) c->reset = 1;
    c->buf[c->len] = 0;
    if (n < 65536) break;
  }
  return any;
}

static int has_text(const struct gwt_http *c, const char *text) {
  return c->buf && memmem(c->buf, c->len, text, strlen(text)) != NULL;
}

int gwt_until(struct gwt_http *c, const char *text, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  while (!has_text(c, text) && gwt_ms() < end && !c->eof && !c->reset) gwt_read(c, 5);
  return has_text(c, text);
}

int gwt_until_eof(struct gwt_http *c, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  while (!c->eof && !c->reset && gwt_ms() < end) gwt_read(c, 5);
  return c->eof || c->reset;
}

void gwt_forget(struct gwt_http *c) {
  c->len = 0;
  if (c->buf) c->buf[0] = 0;
}

int gwt_response(struct gwt_http *c, char **body, char **head, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  if (!gwt_until(c, "\r\n\r\n", ms)) return 0;
  char *split = strstr(c->buf, "\r\n\r\n"), *length = strcasestr(c->buf, "\r\nContent-Length:");
  size_t from = (size_t)(split + 4 - c->buf), n = length && length < split ? strtoul(length + 17, NULL, 10) : 0;
  while (c->len < from + n && gwt_ms() < end && !c->eof && !c->reset) gwt_read(c, 5);
  ck_assert_uint_eq(c->len, from + n);
  int status = atoi(c->buf + 9);
  if (head) *head = strndup(c->buf, from);
  if (body) *body = c->buf + from;
  c->len = 0; /* the bytes stay until something new is read */
  return status;
}

/* Decodes what is there of a chunked body; what follows it, too, is left alone. */
char *gwt_stream(struct gwt_http *c, int *over) {
  char *out = malloc(c->len + 1), *p = c->buf ? strstr(c->buf, "\r\n\r\n") : NULL, *end = c->buf + c->len;
  size_t n = 0;
  *over = 0;
  for (p = p ? p + 4 : end; p < end;) {
    char *line = memmem(p, (size_t)(end - p), "\r\n", 2);
    if (!line) break;
    size_t size = strtoul(p, NULL, 16);
    p = line + 2;
    if (!size) {
      *over = 1;
      break;
    }
    size_t here = size < (size_t)(end - p) ? size : (size_t)(end - p);
    memcpy(out + n, p, here);
    n += here;
    p += here + 2;
  }
  out[n] = 0;
  return out;
}

int gwt_stream_has(struct gwt_http *c, const char *text, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  for (;;) {
    int over;
    char *s = gwt_stream(c, &over);
    int yes = strstr(s, text) != NULL;
    free(s);
    if (yes || gwt_ms() >= end || c->eof || c->reset) return yes;
    gwt_read(c, 5);
  }
}

int gwt_stream_over(struct gwt_http *c, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  for (;;) {
    int over;
    free(gwt_stream(c, &over));
    if (over || gwt_ms() >= end || c->eof || c->reset) return over;
    gwt_read(c, 5);
  }
}

int gwt_ask(struct gwt *g, const char *path, const char *headers, const char *body, char **out) {
  struct gwt_http c;
  char *text = NULL;
  gwt_connect(g, &c);
  gwt_post(&c, path, headers, body);
  int status = gwt_response(&c, &text, NULL, 5000);
  if (out) *out = strdup(text ? text : "");
  gwt_close(&c);
  return status;
}

void gwt_session(struct gwt *g, const char *path, const char *revision, char id[80]) {
  struct gwt_http c;
  char body[512], *head = NULL;
  gwt_connect(g, &c);
  snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\",\"capabilities\":{\"sampling\":{}},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}", revision);
  gwt_post(&c, path, "", body);
  ck_assert_int_eq(gwt_response(&c, NULL, &head, 5000), 200);
  char *at = strcasestr(head, "Mcp-Session-Id: ");
  ck_assert_ptr_nonnull(at);
  snprintf(id, 80, "%.*s\r\n", (int)strcspn(at, "\r"), at);
  free(head);
  gwt_post(&c, path, id, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
  ck_assert_int_eq(gwt_response(&c, NULL, NULL, 5000), 202);
  gwt_close(&c);
}
