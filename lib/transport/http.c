/* transport/http: the transport (one an upstream), the link (one conversation), header lines, and the
 * rules of life and death of exchanges. Must never free an exchange or a link that has a callback of its
 * own on the stack, nor let an event reach a link that was closed. */
#include "transport/http_priv.h"

#include <string.h>
#include <strings.h>

/* ---- header lines ------------------------------------------------------------------------------- */
/* The protocol's own, and those that frame the message: a config may not speak for them. */
static int is_reserved(struct mg_slice name) {
  static const char *const names[] = {
      "accept",        "accept-encoding",   "connection", "content-length", "content-type",         "expect",
      "last-event-id", "mcp-method",        "mcp-name",   "mcp-session-id", "mcp-protocol-version", "te",
      "trailer",       "transfer-encoding", "upgrade",    "keep-alive",     "proxy-connection"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (mg_slice_ieqz(name, names[i])) return 1;
  return name.len >= 10 && !strncasecmp(name.ptr, "mcp-param-", 10);
}

static struct mg_slice line_name(const char *line) {
  return mg_slice(line, strcspn(line, ":"));
}

void mg_http_lines_begin(struct mg_http_transport *t) {
  mg_buf_reset(&t->text);
  t->n_lines = 0;
}

static void line_end(struct mg_http_transport *t, size_t at) {
  (void)mg_buf_addc(&t->text, '\0');
  if (t->n_lines == LINES_MAX) t->text.rc = t->text.rc != MCPGW_OK ? t->text.rc : MCPGW_E_LIMIT;
  else t->at[t->n_lines++] = at;
}

void mg_http_line(struct mg_http_transport *t, const char *name, const char *value) {
  size_t at = t->text.len;
  (void)mg_buf_addz(&t->text, name);
  (void)mg_buf_add(&t->text, ": ", 2);
  (void)mg_buf_addz(&t->text, value);
  line_end(t, at);
}

static int is_own(struct mg_slice name, const mcpgw_header *own, size_t n_own) {
  for (size_t i = 0; i < n_own; i++)
    if (mg_slice_ieqz(name, own[i].name)) return 1;
  return 0;
}

int mg_http_lines_end(struct mg_http_transport *t, const mcpgw_header *own, size_t n_own) {
  for (size_t i = 0; i < t->n_headers; i++) {
    size_t at = t->text.len;
    if (is_own(line_name(t->headers[i]), own, n_own)) continue;
    (void)mg_buf_addz(&t->text, t->headers[i]);
    line_end(t, at);
  }
  if (mg_buf_rc(&t->text) != MCPGW_OK) return mg_buf_rc(&t->text);
  for (size_t i = 0; i < t->n_lines; i++) t->line[i] = t->text.ptr + t->at[i];
  t->line[t->n_lines] = NULL;
  return MCPGW_OK;
}

void mg_http_lines_wipe(struct mg_http_transport *t) {
  if (t->text.len) explicit_bzero(t->text.ptr, t->text.len);
  mg_http_lines_begin(t);
}

/* ---- the transport ------------------------------------------------------------------------------ */
static int line_ok(const char *line) {
  struct mg_slice name = line_name(line);
  if (!name.len || !line[name.len]) return 0;
  for (const char *p = line; *p; p++)
    if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) return 0;
  return !memchr(name.ptr, ' ', name.len) && !memchr(name.ptr, '\t', name.len);
}

static int headers_copy(struct mg_http_transport *t, const char *const *headers) {
  size_t n = 0;
  while (headers && headers[n]) n++;
  if (n > LINES_MAX / 2) return MCPGW_E_LIMIT;
  if (!(t->headers = mg_calloc(n + 1, sizeof *t->headers))) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < n; i++) {
    if (!line_ok(headers[i])) return MCPGW_E_CONFIG;
    if (is_reserved(line_name(headers[i]))) continue;
    if (!(t->headers[t->n_headers] = mg_strdup(headers[i]))) return MCPGW_E_NOMEM;
    t->n_headers++;
  }
  return MCPGW_OK;
}

int mg_transport_http_new(const struct mg_http_transport_config *config, void **transport) {
  struct mg_http_transport *t;
  int rc = MCPGW_E_NOMEM;
  if (strncasecmp(config->url, "http://", 7) && strncasecmp(config->url, "https://", 8))
    return MCPGW_E_CONFIG;
  if (!(t = mg_calloc(1, sizeof *t))) return MCPGW_E_NOMEM;
  t->client = config->client;
  t->budget = config->budget;
  t->connect_ms = config->connect_ms;
  t->insecure_tls = config->insecure_tls;
  t->log = config->log;
  mg_list_init(&t->farewells);
  mg_list_init(&t->waiting);
  mg_buf_init(&t->text, (size_t)64 * 1024);
  if (!(t->url = mg_strdup(config->url)) || (config->name && !(t->name = mg_strdup(config->name)))) goto out;
  if ((rc = headers_copy(t, config->headers)) != MCPGW_OK) goto out;
  *transport = t;
out:
  if (rc != MCPGW_OK) mg_transport_http_free(t);
  return rc;
}

void mg_transport_http_free(void *transport) {
  struct mg_http_transport *t = transport;
  if (!t) return;
  mg_http_byes_drop(t);
  for (size_t i = 0; i < t->n_headers; i++) {
    explicit_bzero(t->headers[i], strlen(t->headers[i])); /* it may be a credential */
    mg_free(t->headers[i]);
  }
  mg_free(t->headers);
  mg_free(t->url);
  mg_free(t->name);
  mg_http_lines_wipe(t);
  mg_buf_done(&t->text);
  mg_free(t);
}

/* ---- links and exchanges ------------------------------------------------------------------------ */
static void link_unref(struct http_link *l) {
  if (--l->refs) return;
  if (l->authorization.len) explicit_bzero(l->authorization.ptr, l->authorization.len);
  mg_buf_done(&l->authorization);
  mg_map_free(l->calls);
  mg_free(l->session);
  mg_free(l);
}

struct http_exchange *mg_http_exchange_new(struct http_link *l, int kind) {
  struct http_exchange *x = mg_calloc(1, sizeof *x);
  if (!x) return NULL;
  x->l = l;
  x->kind = kind;
  x->retry_ms = UINT64_MAX;
  l->refs++;
  mg_list_add(&l->exchanges, &x->node);
  return x;
}

static void exchange_free(struct http_exchange *x) {
  struct http_link *l = x->l;
  mg_sse_reader_free(x->events);
  mcpgw_bytes_unref(x->body);
  mg_free(x->last_id);
  mg_free(x);
  link_unref(l);
}

void mg_http_exchange_drop(struct http_exchange *x) {
  struct http_link *l = x->l;
  if (x->gone) return;
  x->gone = 1;
  if (x->draining) l->n_draining--;
  if (x->call && !x->draining && mg_map_getu(l->calls, x->call) == x) (void)mg_map_delu(l->calls, x->call);
  if (l->listener == x) l->listener = NULL;
  mg_list_del(&x->node);
  if (x->http) mg_http_call_cancel(x->http);
  x->http = NULL;
  if (x->timer) mcpgw_timer_free(x->timer);
  x->timer = NULL;
  if (!x->busy) exchange_free(x);
}

void mg_http_exchange_leave(struct http_exchange *x) {
  if (--x->busy == 0 && x->gone) exchange_free(x);
}

void mg_http_fail(struct http_exchange *x, int code, uint32_t delivered, const char *text) {
  mcpgw_failure why = {.struct_size = sizeof why,
                       .code = code,
                       .delivered = delivered,
                       .http_status = (uint32_t)x->status,
                       .retry_after_ms = x->retry_after_ms,
                       .text = text};
  mcpgw_link *link = x->l->link;
  uint64_t call = x->call;
  int tell = x->kind == MCPGW_SEND_REQUEST && !x->gone && !x->draining && !x->l->closed;
  mg_http_exchange_drop(x);
  if (tell) mcpgw_link_failed(link, call, &why);
}

/* Only the request that was told so was certainly not carried out; of the others nothing is known. */
void mg_http_session_gone(struct http_link *l, struct http_exchange *x) {
  mcpgw_failure why = {.struct_size = sizeof why,
                       .code = MCPGW_E_NOT_FOUND,
                       .delivered = MCPGW_DELIVERED_NO,
                       .http_status = 404,
                       .text = "upstream session is gone"};
  struct mg_list *n;
  if (l->ended || l->closed) return;
  l->ended = 1;
  l->refs++;
  mg_http_exchange_drop(x);
  while (!l->closed && (n = mg_list_first(&l->exchanges)))
    mg_http_fail(MG_CONTAINER(n, struct http_exchange, node), MCPGW_E_CLOSED, MCPGW_DELIVERED_UNKNOWN,
                 why.text);
  if (!l->closed) mcpgw_link_closed(l->link, &why);
  link_unref(l);
}

int mg_http_start(struct http_exchange *x, const char *method, mcpgw_bytes *body) {
  struct mg_http_transport *t = x->l->t;
  struct mg_http_call_opts o = {.method = method,
                                .url = t->url,
                                .headers = t->line,
                                .body = body,
                                .connect_ms = x->connect_ms ? x->connect_ms : t->connect_ms,
                                .stream = x->lasting,
                                .insecure_tls = t->insecure_tls};
  x->mode = MODE_NONE;
  x->status = 0;
  x->skipped = 0;
  return mg_http_call_start(t->client, &o, &mg_http_exchange_events, x, &x->http);
}

static int link_open(void *transport, mcpgw_link *link, void **impl) {
  struct http_link *l = mg_calloc(1, sizeof *l);
  if (!l) return MCPGW_E_NOMEM;
  if (!(l->calls = mg_map_new(LINK_CALLS_MAX))) {
    mg_free(l);
    return MCPGW_E_NOMEM;
  }
  l->t = transport;
  l->link = link;
  l->refs = 1;
  mg_list_init(&l->exchanges);
  mg_list_init(&l->draining);
  mg_buf_init(&l->authorization, (size_t)16 * 1024);
  *impl = l;
  return MCPGW_OK;
}

static void drop_all(struct mg_list *head) {
  struct mg_list *n;
  while ((n = mg_list_first(head))) mg_http_exchange_drop(MG_CONTAINER(n, struct http_exchange, node));
}

static void link_close(void *impl, uint32_t flags) {
  struct http_link *l = impl;
  l->closed = 1;
  drop_all(&l->exchanges);
  drop_all(&l->draining);
  if (l->drain_timer) mcpgw_timer_free(l->drain_timer);
  l->drain_timer = NULL;
  if ((flags & MCPGW_CLOSE_GRACEFUL) && l->session && !l->ended) mg_http_bye(l);
  link_unref(l);
}

static int link_cancel_closes(void *impl) {
  (void)impl;
  return 1; /* a legacy server is told besides: there a lost stream is no cancellation */
}

const mcpgw_transport_ops mg_transport_http_ops = {
    .struct_size = sizeof mg_transport_http_ops,
    .name = "http",
    .open = link_open,
    .send = mg_http_send,
    .cancel = mg_http_cancel,
    .listen = mg_http_listen,
    .cancel_closes = link_cancel_closes,
    .close = link_close,
};
