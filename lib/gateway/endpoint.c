/* gateway/endpoint: owns the MCP endpoint over HTTP: which path, which era, which session, and the HTTP
 * statuses that are decided before anything is passed on. Both eras are served on one endpoint; the era is
 * judged per request (DESIGN §6). */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/admin.h"

#define BATCH_MAX 64

struct post {
  struct mcpgw_gateway *gw;
  struct mg_exchange *x;
  const struct mg_http_request *r;
  struct mg_view view;
  mcpgw_credential who;
  struct mg_inbound in;
};

/* ---- plain answers ---------------------------------------------------------------------------------------- */

static void reply_with(struct mcpgw_gateway *gw, struct mg_exchange *x, int status, const char *headers,
                       struct mg_slice body) {
  struct mg_buf h;
  struct mg_seg seg = {NULL, NULL, 0};
  mg_buf_init(&h, 8192);
  mg_buf_addz(&h, headers);
  mg_access_cors(gw, x, &h);
  if (body.len && (seg.blob = mg_blob_copy(NULL, body.ptr, body.len))) {
    seg.ptr = mg_blob_slice(seg.blob).ptr;
    seg.len = body.len;
  }
  mg_exchange_reply(x, status, mg_buf_rc(&h) == MCPGW_OK ? mg_buf_slice(&h) : mg_slice(NULL, 0), &seg, seg.blob ? 1 : 0);
  mg_buf_done(&h);
}

static void reply_error(struct mcpgw_gateway *gw, struct mg_exchange *x, int status, struct mg_slice id,
                        const struct mg_fault *f) {
  struct mg_buf b;
  mg_buf_init(&b, 65536);
  mg_build_error(&b, id, f);
  reply_with(gw, x, status, "Content-Type: application/json\r\n", mg_buf_slice(&b));
  mg_buf_done(&b);
}

static void refuse(const struct post *p, int status, struct mg_slice id, int code, const char *text) {
  struct mg_fault f = {.code = code, .delivered = -1, .text = text};
  reply_error(p->gw, p->x, status, id, &f);
}

static void plain(struct mcpgw_gateway *gw, struct mg_exchange *x, int status, const char *headers, const char *text) {
  struct mg_buf h;
  mg_buf_init(&h, 4096);
  mg_buf_addz(&h, "Content-Type: text/plain; charset=utf-8\r\n");
  mg_buf_addz(&h, headers);
  mg_buf_addc(&h, 0);
  if (mg_buf_rc(&h) == MCPGW_OK) reply_with(gw, x, status, h.ptr, mg_slice_z(text));
  else mg_exchange_cut(x);
  mg_buf_done(&h);
}

static void accepted(const struct post *p) {
  reply_with(p->gw, p->x, 202, "", mg_slice(NULL, 0));
}

/* ---- headers ------------------------------------------------------------------------------------------------ */

static struct mg_slice get_header(void *arg, const char *name, size_t *count) {
  return mg_exchange_header(arg, name, count);
}

static int next_header(void *arg, size_t *it, struct mg_slice *name, struct mg_slice *value) {
  const struct mg_http_request *r = mg_exchange_request(arg);
  if (*it >= r->n_headers) return 0;
  *name = r->headers[*it].name;
  *value = r->headers[*it].value;
  (*it)++;
  return 1;
}

static struct mg_slice media_type(struct mg_slice value) {
  struct mg_slice head = value;
  const char *semi = value.len ? memchr(value.ptr, ';', value.len) : NULL;
  if (semi) head = mg_slice(value.ptr, (size_t)(semi - value.ptr));
  return mg_slice_trim(head);
}

/* Do the Accept headers (a list may be spread over several) allow this type? None at all allows any. */
static int accepts(const struct mg_http_request *r, const char *type, const char *wild) {
  struct mg_slice accept, one;
  int any = 0;
  for (size_t i = 0; i < r->n_headers; i++) {
    if (!mg_slice_ieqz(r->headers[i].name, "accept")) continue;
    accept = r->headers[i].value;
    any |= accept.len > 0;
    while (mg_slice_cut(&accept, ',', &one)) {
      struct mg_slice t = media_type(mg_slice_trim(one));
      if (mg_slice_ieqz(t, type) || mg_slice_ieqz(t, wild) || mg_slice_eqz(t, "*/*")) return 1;
    }
  }
  return !any;
}

/* ---- modern --------------------------------------------------------------------------------------------------- */

static int is_modern(const struct post *p, const struct mg_msg *m) {
  struct mg_slice v = mg_exchange_header(p->x, "mcp-protocol-version", NULL);
  if (mg_revision_is_modern(mg_revision_parse(v))) return 1;
  return m->s[MG_S_META_VERSION].type != MG_JSON_NONE || m->s[MG_S_META_CAPABILITIES].type != MG_JSON_NONE;
}

static void refuse_modern(const struct post *p, const struct mg_msg *m, const struct mg_header_fault *why) {
  struct mg_buf data;
  mg_buf_init(&data, 1024);
  if (why->code == MG_RPC_VERSION) {
    mg_buf_addz(&data, "{\"supported\":");
    mg_core_supported(p->gw->core, p->view, &data);
    mg_buf_addz(&data, ",\"requested\":");
    mg_buf_adds(&data, mg_msg_raw(m, MG_S_META_VERSION));
    mg_buf_addc(&data, '}');
  }
  struct mg_fault f = {.code = why->code, .delivered = -1, .text = why->text};
  if (mg_buf_rc(&data) == MCPGW_OK) f.data = mg_buf_slice(&data);
  reply_error(p->gw, p->x, 400, mg_msg_raw(m, MG_S_ID), &f);
  mg_buf_done(&data);
}

static void post_modern(struct post *p, const struct mg_msg *m) {
  struct mg_header_fault why;
  struct mg_stream *st;
  if (m->kind == MG_NOTIFICATION) {
    struct mg_sink none;
    mg_sink_init(&none);
    p->in.sink = &none;
    mg_core_modern(p->gw->core, &p->in);
    accepted(p);
    return;
  }
  if (m->kind != MG_REQUEST) {
    refuse(p, 400, mg_slice(NULL, 0), MG_RPC_REQUEST, "clients of this revision send requests and notifications only");
    return;
  }
  if (mg_headers_check(m, get_header, p->x, &why) != MCPGW_OK) {
    refuse_modern(p, m, &why);
    return;
  }
  if (mg_stream_post(p->gw, p->x, NULL, 0, 1, &st) != MCPGW_OK) {
    plain(p->gw, p->x, 503, "Retry-After: 1\r\n", "out of memory\n");
    return;
  }
  p->in.sink = mg_stream_sink(st);
  mg_core_modern(p->gw->core, &p->in);
}

/* ---- legacy ---------------------------------------------------------------------------------------------------- */

static void session_ended(const struct post *p, struct mg_slice id) {
  struct mg_fault f = {.reason = MG_WHY_CONTEXT_ENDED, .delivered = MCPGW_DELIVERED_NO,
                       .text = "no such session: it ended or never was; send initialize without Mcp-Session-Id"};
  reply_error(p->gw, p->x, 404, id, &f);
}

/* The session that the request names, be it over. Answers itself and returns NULL when there is none. */
static struct mg_ctx *find_any(const struct post *p, struct mg_slice id) {
  size_t count = 0;
  struct mg_slice sid = mg_exchange_header(p->x, "mcp-session-id", &count);
  if (count != 1) {
    refuse(p, 400, id, MG_RPC_REQUEST, count ? "Mcp-Session-Id occurs more than once"
                                             : "Mcp-Session-Id is missing; send initialize first");
    return NULL;
  }
  struct mg_ctx *ctx = mg_core_find(p->gw->core, sid, &p->who, p->in.now_ms);
  struct mg_view v = ctx ? mg_ctx_view(ctx) : p->view;
  int same = (v.all && p->view.all) || (v.first == p->view.first && v.n == p->view.n);
  if (ctx && same && mg_ctx_user(ctx)) return ctx;
  session_ended(p, id);
  return NULL;
}

static struct mg_ctx *find_session(const struct post *p, struct mg_slice id) {
  struct mg_ctx *ctx = find_any(p, id);
  if (!ctx || !mg_ctx_is_over(ctx)) return ctx;
  session_ended(p, id);
  return NULL;
}

static void post_initialize(struct post *p) {
  struct mg_stream *st;
  struct mg_session *s;
  struct mg_ctx *ctx;
  if (mg_stream_post(p->gw, p->x, NULL, 0, 1, &st) != MCPGW_OK) {
    plain(p->gw, p->x, 503, "Retry-After: 1\r\n", "out of memory\n");
    return;
  }
  mg_stream_watch(st, &st);
  p->in.sink = mg_stream_sink(st);
  mg_core_initialize(p->gw->core, &p->in, &ctx);
  if (ctx && mg_session_new(p->gw, ctx, &s) != MCPGW_OK) {
    mg_core_end(p->gw->core, ctx, "out of memory");
    ctx = NULL;
  }
  if (!st) return; /* answered already */
  mg_stream_watch(st, NULL);
  if (ctx) mg_stream_bind(st, s);
}

static struct mg_session *session_of(struct mg_ctx *ctx) {
  return mg_ctx_user(ctx); /* over HTTP it is always a session: peers' contexts are not found by id */
}

static int version_ok(const struct post *p, struct mg_slice id) {
  size_t count = 0;
  struct mg_slice v = mg_exchange_header(p->x, "mcp-protocol-version", &count);
  if (!count || (count == 1 && mg_revision_parse(v))) return 1;
  refuse(p, 400, id, MG_RPC_REQUEST, "MCP-Protocol-Version names a revision that this gateway does not know");
  return 0;
}

static void post_legacy(struct post *p, const struct mg_msg *m) {
  struct mg_slice id = mg_msg_raw(m, MG_S_ID);
  struct mg_stream *st;
  if (!version_ok(p, id)) return;
  if (m->kind == MG_REQUEST && m->method == MG_M_INITIALIZE && !mg_exchange_header(p->x, "mcp-session-id", NULL).len) {
    post_initialize(p);
    return;
  }
  struct mg_ctx *ctx = find_session(p, id);
  if (!ctx) return;
  if (m->kind != MG_REQUEST) {
    int rc = mg_core_legacy(p->gw->core, ctx, &p->in);
    if (rc == MCPGW_OK) accepted(p);
    else refuse(p, 400, mg_slice(NULL, 0), MG_RPC_INTERNAL, mg_rc_name(rc));
    return;
  }
  if (mg_stream_post(p->gw, p->x, session_of(ctx), 0, 1, &st) != MCPGW_OK) {
    plain(p->gw, p->x, 503, "Retry-After: 1\r\n", "out of memory\n");
    return;
  }
  p->in.sink = mg_stream_sink(st);
  mg_core_legacy(p->gw->core, ctx, &p->in);
}

/* ---- batches: accepted from 2025-03-26 alone --------------------------------------------------------------------- */

struct batch {
  size_t n, requests;
  int has_initialize;
};

static int count_batch(struct mg_slice doc, struct batch *b) {
  struct mg_slice member;
  struct mg_msg m;
  struct mg_wire_fault why;
  size_t pos = 0;
  int more;
  while ((more = mg_wire_batch_next(doc, &pos, &member)) > 0) {
    if (++b->n > BATCH_MAX) return MCPGW_E_LIMIT;
    if (mg_wire_parse(member, &m, &why) != MCPGW_OK) {
      b->requests++; /* it gets an error of its own */
      continue;
    }
    if (m.kind == MG_REQUEST) b->requests++;
    if (m.method == MG_M_INITIALIZE) b->has_initialize = 1;
  }
  return more < 0 ? MCPGW_E_PARSE : MCPGW_OK;
}

/* The batch was JSON, so its members are: what is none of ours is no request ("[1,2,3]" in JSON-RPC 2.0). */
static void member_error(struct mg_sink *sink, const struct mg_wire_fault *why) {
  int scalar = why->code == MG_RPC_PARSE;
  struct mg_fault f = {.code = MG_RPC_REQUEST, .delivered = -1, .text = scalar ? "a message is a JSON object" : why->text};
  struct mg_buf b;
  struct mg_seg seg = {NULL, NULL, 0};
  mg_buf_init(&b, 4096);
  mg_build_error(&b, mg_slice_z(why->id), &f);
  seg.blob = mg_blob_copy(NULL, b.ptr, b.len);
  mg_buf_done(&b);
  if (seg.blob) {
    seg.ptr = mg_blob_slice(seg.blob).ptr;
    seg.len = mg_blob_len(seg.blob);
  }
  struct mg_outgoing o = {&seg, 1, 1, 200, NULL};
  mg_gw_ports.sink_message(sink, &o);
}

static void run_batch(struct post *p, struct mg_ctx *ctx, struct mg_slice doc, struct mg_sink *sink) {
  struct mg_slice member;
  struct mg_msg m;
  struct mg_wire_fault why;
  mg_blob *keep = mg_blob_ref(p->in.blob); /* the exchange may let go of it with the first reply */
  size_t pos = 0;
  p->in.sink = sink;
  p->in.msg = &m;
  while (mg_wire_batch_next(doc, &pos, &member) > 0) {
    if (mg_wire_parse(member, &m, &why) == MCPGW_OK) mg_core_legacy(p->gw->core, ctx, &p->in);
    else member_error(sink, &why);
  }
  mg_blob_unref(keep);
}

static void post_batch(struct post *p, struct mg_slice doc) {
  struct mg_slice none = mg_slice(NULL, 0);
  struct batch b = {0, 0, 0};
  struct mg_stream *st;
  int rc = count_batch(doc, &b);
  if (rc == MCPGW_E_PARSE) {
    refuse(p, 400, none, MG_RPC_PARSE, "the batch is no JSON array of messages");
    return;
  }
  if (rc == MCPGW_E_LIMIT || b.has_initialize || !b.n) {
    refuse(p, 400, none, MG_RPC_REQUEST, b.has_initialize ? "initialize may not be part of a batch"
                                                          : "a batch has 1 to 64 members");
    return;
  }
  if (!version_ok(p, none)) return;
  struct mg_ctx *ctx = find_session(p, none);
  if (!ctx) return;
  if (!mg_revision_has_batches(mg_ctx_revision(ctx))) {
    refuse(p, 400, none, MG_RPC_REQUEST, "the revision of this session has no batches");
    return;
  }
  if (!b.requests) {
    struct mg_sink sink;
    mg_sink_init(&sink);
    run_batch(p, ctx, doc, &sink);
    accepted(p);
  } else if (mg_stream_post(p->gw, p->x, session_of(ctx), 1, b.requests, &st) == MCPGW_OK) {
    run_batch(p, ctx, doc, mg_stream_sink(st));
  } else {
    plain(p->gw, p->x, 503, "Retry-After: 1\r\n", "out of memory\n");
  }
}

/* ---- methods ------------------------------------------------------------------------------------------------------ */

static int body_ok(const struct post *p) {
  struct mg_slice type = mg_exchange_header(p->x, "content-type", NULL);
  struct mg_slice coding = mg_exchange_header(p->x, "content-encoding", NULL);
  if (!mg_slice_ieqz(media_type(type), "application/json")) {
    plain(p->gw, p->x, 415, "", "send Content-Type: application/json\n");
  } else if (coding.len && !mg_slice_ieqz(coding, "identity")) {
    plain(p->gw, p->x, 415, "Accept-Encoding: identity\r\n", "send the body without Content-Encoding\n");
  } else if (!accepts(p->r, "application/json", "application/*") || !accepts(p->r, "text/event-stream", "text/*")) {
    plain(p->gw, p->x, 406, "", "send Accept: application/json, text/event-stream\n");
  } else {
    return 1;
  }
  return 0;
}

static void on_post(struct post *p) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (!body_ok(p)) return;
  struct mg_slice doc = p->r->body ? mg_blob_slice(p->r->body) : mg_slice("", 0);
  if (mg_wire_is_batch(doc)) {
    p->in.blob = p->r->body;
    post_batch(p, doc);
    return;
  }
  if (mg_wire_parse(doc, &m, &why) != MCPGW_OK) {
    refuse(p, 400, mg_slice_z(why.id), why.code, why.text);
    return;
  }
  p->in.blob = p->r->body;
  p->in.msg = &m;
  if (is_modern(p, &m)) post_modern(p, &m);
  else post_legacy(p, &m);
}

static int speaks_modern_header(const struct post *p) {
  return mg_revision_is_modern(mg_revision_parse(mg_exchange_header(p->x, "mcp-protocol-version", NULL)));
}

static void on_get(struct post *p) {
  struct mg_slice last = mg_exchange_header(p->x, "last-event-id", NULL);
  if (speaks_modern_header(p)) {
    plain(p->gw, p->x, 405, "Allow: POST\r\n", "this revision has no GET stream; use subscriptions/listen\n");
    return;
  }
  if (!accepts(p->r, "text/event-stream", "text/*")) {
    plain(p->gw, p->x, 406, "", "send Accept: text/event-stream\n");
    return;
  }
  if (!version_ok(p, mg_slice(NULL, 0))) return;
  struct mg_ctx *ctx = last.len ? find_any(p, mg_slice(NULL, 0)) : find_session(p, mg_slice(NULL, 0));
  if (ctx && mg_session_get(session_of(ctx), p->x, last) != MCPGW_OK)
    refuse(p, 400, mg_slice(NULL, 0), MG_RPC_REQUEST, "this Last-Event-ID is not remembered any more");
}

static void on_delete(struct post *p) {
  if (speaks_modern_header(p)) {
    plain(p->gw, p->x, 405, "Allow: POST\r\n", "this revision has no sessions\n");
    return;
  }
  if (!version_ok(p, mg_slice(NULL, 0))) return;
  struct mg_ctx *ctx = find_session(p, mg_slice(NULL, 0));
  if (!ctx) return;
  mg_core_end(p->gw->core, ctx, "the client ended the session");
  reply_with(p->gw, p->x, 204, "", mg_slice(NULL, 0));
}

static int is_param_header(struct mg_slice name) {
  static const char head[] = "mcp-param-", token[] = "!#$%&'*+-.^_`|~";
  if (name.len < sizeof head || !mg_slice_ieqz(mg_slice_sub(name, 0, sizeof head - 1), head)) return 0;
  for (size_t i = 0; i < name.len; i++)
    if (!isalnum((unsigned char)name.ptr[i]) && !memchr(token, name.ptr[i], sizeof token - 1)) return 0;
  return 1;
}

/* Which Mcp-Param-* there are is the tools' matter: those that the browser asks for are allowed. */
static void add_param_headers(const struct post *p, struct mg_buf *h) {
  struct mg_slice asked = mg_exchange_header(p->x, "access-control-request-headers", NULL), one;
  for (int n = 0; n < MG_PARAMS_MAX && mg_slice_cut(&asked, ',', &one);) {
    one = mg_slice_trim(one);
    if (!is_param_header(one)) continue;
    mg_buf_addz(h, ", ");
    mg_buf_adds(h, one);
    n++;
  }
}

static void on_options(struct post *p) {
  struct mg_buf h;
  mg_buf_init(&h, 4096);
  mg_buf_addz(&h, "Allow: GET, POST, DELETE, OPTIONS\r\nAccess-Control-Allow-Methods: GET, POST, DELETE\r\n"
                  "Access-Control-Max-Age: 600\r\nVary: Access-Control-Request-Headers\r\n"
                  "Access-Control-Allow-Headers: Content-Type, Accept, Authorization, Idempotency-Key, Last-Event-ID, "
                  "Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name");
  add_param_headers(p, &h);
  mg_buf_addz(&h, "\r\n");
  mg_buf_addc(&h, 0);
  if (mg_buf_rc(&h) == MCPGW_OK) reply_with(p->gw, p->x, 204, h.ptr, mg_slice(NULL, 0));
  else plain(p->gw, p->x, 431, "", "too many headers are asked for\n");
  mg_buf_done(&h);
}

/* /mcp is everything, /mcp/<server> one upstream. */
static int find_view(struct mcpgw_gateway *gw, struct mg_slice path, struct mg_view *view) {
  struct mg_slice prefix = MG_LIT("/mcp");
  if (!mg_slice_starts(path, prefix)) return 0;
  path = mg_slice_sub(path, prefix.len, path.len);
  if (path.len && path.ptr[0] != '/') return 0;
  if (path.len) path = mg_slice_sub(path, 1, path.len);
  *view = mg_gw_view(gw, path);
  return view->n > 0;
}

static void on_request(void *data, struct mg_exchange *x, const struct mg_http_request *r) {
  struct mcpgw_gateway *gw = data;
  struct post p = {.gw = gw, .x = x, .r = r};
  if (mg_health_is(r)) {
    mg_health_reply(gw, x, r);
    return;
  }
  if (!find_view(gw, r->path, &p.view)) {
    plain(gw, x, 404, "", "the MCP endpoint is /mcp, or /mcp/<server> for one server\n");
  } else {
    mg_access_caller(gw, x, &p.who);
    p.in = (struct mg_inbound){.view = p.view, .who = &p.who, .header = get_header, .next_header = next_header,
                               .header_arg = x, .now_ms = mg_gw_now(gw)};
    if (mg_slice_eqz(r->method, "POST")) on_post(&p);
    else if (mg_slice_eqz(r->method, "GET")) on_get(&p);
    else if (mg_slice_eqz(r->method, "DELETE")) on_delete(&p);
    else if (mg_slice_eqz(r->method, "OPTIONS")) on_options(&p);
    else plain(gw, x, 405, "Allow: GET, POST, DELETE, OPTIONS\r\n", "use POST\n");
  }
  mg_gw_settle(gw);
}

/* Before a body is read: who may not come in need not send it. */
static int on_admit(void *data, struct mg_exchange *x, const struct mg_http_request *r) {
  struct mcpgw_gateway *gw = data;
  const char *why;
  mcpgw_credential who;
  char after[64];
  if (mg_health_is(r)) return 0;
  int status = mg_access_check(gw, x, r, &why);
  if (status) plain(gw, x, status, "", why);
  if (status || !mg_slice_eqz(r->method, "POST")) return 0;
  mg_access_caller(gw, x, &who);
  uint64_t ms = mg_core_rate_wait(gw->core, mg_slice(who.principal, who.principal_len), mg_gw_now(gw));
  if (!ms) return 0;
  snprintf(after, sizeof after, "Retry-After: %llu\r\n", (unsigned long long)((ms + 999) / 1000));
  plain(gw, x, 429, after, "you make more requests than gateway.limits.rate allows\n");
  return 0; /* answered */
}

static void on_gone(void *data, struct mg_exchange *x) {
  struct mg_stream *st = mg_exchange_get(x);
  if (st) mg_stream_gone(st, x);
  mg_gw_settle(data);
}

const struct mg_http_events mg_gw_http_events = {on_admit, on_request, on_gone, NULL};
