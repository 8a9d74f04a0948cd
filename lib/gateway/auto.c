/* gateway/auto: owns the client that negotiates by itself: it asks server/discover, falls back to
 * initialize, and wraps requests in the envelope of the era it found. It talks to the gateway as any client
 * would. Steps run in a turn of their own: the core may be on the stack when a message arrives. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"
#include "json/splice.h"

#define CLIENT_INFO "{\"name\":\"mcpgw-client\",\"version\":\"0.1.0\"}"
#define PARAMS_MAX ((size_t)64 << 20)

enum { DISCOVERING, INITIALIZING, READY_MODERN, READY_LEGACY, FAILED };

static void step(void *arg);

static void step_later(struct mcpgw_client *c) {
  if (!c->deferred) c->deferred = mg_loop_defer(c->gw->loop, step, c) == MCPGW_OK;
}

static void send_text(struct mcpgw_client *c, const struct mg_buf *b) {
  if (mg_buf_rc(b) != MCPGW_OK || mg_peer_send(c, mg_buf_slice(b)) != MCPGW_OK) mg_peer_fail(c, "out of memory");
}

static void discover(struct mcpgw_client *c) {
  struct mg_buf b;
  mg_buf_init(&b, 4096);
  c->stage = DISCOVERING;
  mg_buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"server/discover\",\"params\":{\"_meta\":{");
  mg_build_modern_meta(&b, MG_LIT(CLIENT_INFO), mg_slice(NULL, 0));
  mg_buf_addz(&b, "}}}");
  send_text(c, &b);
  mg_buf_done(&b);
}

static void initialize(struct mcpgw_client *c) {
  struct mg_buf b;
  mg_buf_init(&b, 4096);
  c->stage = INITIALIZING;
  mg_buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"");
  mg_buf_addz(&b, mg_revision_name(MG_REV_LATEST_LEGACY));
  mg_buf_addz(&b, "\",\"capabilities\":{},\"clientInfo\":" CLIENT_INFO "}}");
  send_text(c, &b);
  mg_buf_done(&b);
}

void mg_auto_start(struct mcpgw_client *c) {
  if (c->mode == MCPGW_CLIENT_LEGACY) initialize(c);
  else discover(c);
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

static int write_request(struct mcpgw_client *c, uint64_t id, struct mg_slice method, struct mg_slice params, struct mg_buf *b) {
  struct mg_span whole = mg_json_whole(params);
  struct mg_splice sp;
  struct mg_buf meta;
  mg_buf_init(&meta, 8192);
  mg_buf_addz(&meta, "\"_meta\":{");
  if (c->stage == READY_MODERN) {
    mg_build_modern_meta(&meta, MG_LIT(CLIENT_INFO), mg_slice(NULL, 0));
    mg_buf_addc(&meta, ',');
  }
  mg_buf_addz(&meta, "\"progressToken\":");
  mg_buf_addu(&meta, id);
  mg_buf_addc(&meta, '}');
  mg_splice_init(&sp);
  mg_splice_insert(&sp, params, whole, mg_buf_slice(&meta));
  mg_buf_addz(b, "{\"jsonrpc\":\"2.0\",\"id\":");
  mg_buf_addu(b, id);
  mg_buf_addz(b, ",\"method\":");
  mg_buf_json_str(b, method);
  mg_buf_addz(b, ",\"params\":");
  int rc = mg_buf_rc(&meta) == MCPGW_OK ? mg_splice_append(&sp, params, b) : mg_buf_rc(&meta);
  mg_buf_addc(b, '}');
  mg_buf_done(&meta);
  return rc == MCPGW_OK ? mg_buf_rc(b) : rc;
}

static int send_request(struct mcpgw_client *c, uint64_t id, struct mg_slice method, struct mg_slice params) {
  struct mg_buf b;
  mg_buf_init(&b, PARAMS_MAX + 65536);
  int rc = write_request(c, id, method, params, &b);
  if (rc == MCPGW_OK) rc = mg_peer_send(c, mg_buf_slice(&b));
  mg_buf_done(&b);
  return rc;
}

int mg_auto_request(struct mcpgw_client *c, struct mg_slice method, struct mg_slice params, uint64_t *id) {
  static const struct mg_shape none = {NULL, 0};
  struct mg_scan_result why;
  struct mg_span root;
  if (c->closed) return MCPGW_E_CLOSED;
  if (c->mode == MCPGW_CLIENT_RAW || !method.len || memchr(method.ptr, 0, method.len)) return MCPGW_E_INVALID;
  if (!params.len) params = MG_LIT("{}");
  if (params.len > PARAMS_MAX) return MCPGW_E_LIMIT;
  if (mg_json_scan(params, &none, NULL, 0, &root, &why) != MCPGW_OK || root.type != MG_JSON_OBJECT) return MCPGW_E_PARSE;
  if (mg_json_get(params, root, "_meta", &root)) return MCPGW_E_INVALID; /* that member is the era's: written here */
  int rc = MCPGW_OK;
  uint64_t number = c->next_id + 1;
  if ((c->stage == READY_MODERN || c->stage == READY_LEGACY) && !c->deferred) { /* initialized goes first, what waits too */
    rc = send_request(c, number, method, params);
  } else {
    size_t mark = c->waiting.len;
    mg_buf_addu(&c->waiting, number);
    mg_buf_addc(&c->waiting, 0);
    mg_buf_adds(&c->waiting, method);
    mg_buf_addc(&c->waiting, 0);
    mg_buf_adds(&c->waiting, params); /* JSON text has no NUL */
    mg_buf_addc(&c->waiting, 0);
    rc = mg_buf_rc(&c->waiting);
    if (rc != MCPGW_OK) {
      c->waiting.len = mark;
      c->waiting.rc = MCPGW_OK;
    }
  }
  if (rc != MCPGW_OK) return rc;
  c->next_id = number;
  *id = number;
  return MCPGW_OK;
}

struct waiting { /* one request in c->waiting */
  uint64_t id;
  struct mg_slice method, params;
};

/* The request that starts at p; returns where the next one does. */
static const char *next_waiting(const char *p, struct waiting *w) {
  w->id = strtoull(p, NULL, 10);
  w->method = mg_slice_z(p + strlen(p) + 1);
  w->params = mg_slice_z(w->method.ptr + w->method.len + 1);
  return w->params.ptr + w->params.len + 1;
}

static void flush(struct mcpgw_client *c) {
  struct mg_buf b = c->waiting;
  struct waiting w;
  mg_buf_init(&c->waiting, b.max);
  for (const char *p = b.ptr, *end = b.ptr + b.len; p < end && !c->closed;) {
    p = next_waiting(p, &w);
    if (send_request(c, w.id, w.method, w.params) != MCPGW_OK) mg_peer_fail(c, "a request could not be sent");
  }
  mg_buf_done(&b);
}

/* A request that has not been sent yet is simply forgotten. 1: it was one. */
static int forget_waiting(struct mcpgw_client *c, uint64_t id) {
  char *p = c->waiting.ptr, *end = p + c->waiting.len;
  struct waiting w;
  while (p < end) {
    char *next = p + (next_waiting(p, &w) - p);
    if (w.id == id) {
      memmove(p, next, (size_t)(end - next));
      c->waiting.len -= (size_t)(next - p);
      return 1;
    }
    p = next;
  }
  return 0;
}

int mg_auto_cancel(struct mcpgw_client *c, uint64_t id) {
  struct mg_buf b;
  if (c->mode == MCPGW_CLIENT_RAW || !id || id > c->next_id) return MCPGW_E_INVALID;
  if (forget_waiting(c, id)) return MCPGW_OK;
  mg_buf_init(&b, 4096);
  mg_buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":");
  mg_buf_addu(&b, id);
  if (c->stage == READY_MODERN) {
    mg_buf_addz(&b, ",\"_meta\":{");
    mg_build_modern_meta(&b, MG_LIT(CLIENT_INFO), mg_slice(NULL, 0));
    mg_buf_addc(&b, '}');
  }
  mg_buf_addz(&b, "}}");
  int rc = mg_buf_rc(&b) == MCPGW_OK ? mg_peer_send(c, mg_buf_slice(&b)) : mg_buf_rc(&b);
  mg_buf_done(&b);
  return rc;
}

int mg_auto_send(struct mcpgw_client *c, struct mg_slice message) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (mg_wire_parse(message, &m, &why) != MCPGW_OK) return MCPGW_E_PARSE;
  return m.kind == MG_REQUEST ? MCPGW_E_INVALID : mg_peer_send(c, message);
}

/* ---- replies ------------------------------------------------------------------------------------------------ */

static void hand_shaken(struct mcpgw_client *c, const struct mg_msg *m) {
  if (m->kind == MG_RESULT) {
    c->stage = c->stage == DISCOVERING ? READY_MODERN : READY_LEGACY;
    mg_peer_event_text(c, MCPGW_EVENT_READY, 0, m->doc);
    step_later(c);
  } else if (c->stage == DISCOVERING) { /* no modern upstream, or none that answers: ask in the old way */
    c->stage = INITIALIZING;
    step_later(c);
  } else {
    struct mg_buf text;
    mg_buf_init(&text, 4096);
    if (m->s[MG_S_E_MESSAGE].type == MG_JSON_STRING) mg_span_unescape(m->doc, m->s[MG_S_E_MESSAGE], &text);
    mg_buf_addc(&text, 0);
    c->stage = FAILED;
    mg_peer_fail(c, mg_buf_rc(&text) == MCPGW_OK && text.len > 1 ? text.ptr : "no server answered");
    mg_buf_done(&text);
  }
}

/* Which request a message answers: its number, or 0 when it is none of ours. -1: not a reply. */
static int64_t answers(struct mg_slice doc, struct mg_msg *m) {
  struct mg_wire_fault why;
  int64_t id = 0;
  if (mg_wire_parse(doc, m, &why) != MCPGW_OK || (m->kind != MG_RESULT && m->kind != MG_ERROR)) return -1;
  if (m->s[MG_S_ID].type == MG_JSON_NUMBER) mg_span_i64(m->doc, m->s[MG_S_ID], &id);
  return id;
}

void mg_auto_name(struct mcpgw_event *e) {
  struct mg_msg m;
  int64_t id = answers(mg_blob_slice(e->bytes), &m);
  e->unread = 0;
  e->kind = id > 0 ? MCPGW_EVENT_REPLY : MCPGW_EVENT_MESSAGE;
  e->request_id = id > 0 ? (uint64_t)id : 0;
}

/* Until the hands are shaken each message is looked at as it comes: it may be the handshake's reply. */
void mg_auto_message(struct mcpgw_client *c, struct mg_seg *segs, size_t n) {
  struct mg_msg m;
  mg_blob *bytes;
  if (c->stage >= READY_MODERN) {
    if (mg_peer_event(c, MCPGW_EVENT_MESSAGE, 0, segs, n) == MCPGW_OK)
      ((struct mcpgw_event *)c->gw->events.prev)->unread = 1;
    return;
  }
  if (mg_segs_join(&c->gw->budget, segs, n, &bytes) != MCPGW_OK) {
    mg_peer_fail(c, "out of memory");
    return;
  }
  if (answers(mg_blob_slice(bytes), &m) == 0) hand_shaken(c, &m);
  else mg_peer_event_text(c, MCPGW_EVENT_MESSAGE, 0, mg_blob_slice(bytes));
  mg_blob_unref(bytes);
}

static void step(void *arg) {
  struct mcpgw_client *c = arg;
  c->deferred = 0;
  if (c->dead) {
    mg_free(c);
    return;
  }
  if (c->closed) return;
  if (c->stage == INITIALIZING) {
    initialize(c);
  } else if (c->stage == READY_LEGACY) {
    mg_peer_send(c, MG_LIT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"));
    flush(c);
  } else if (c->stage == READY_MODERN) {
    flush(c);
  }
}
