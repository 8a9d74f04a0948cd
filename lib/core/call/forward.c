/* core/call/forward: owns the way out of a request: the few spans that change (id, progress token, exposed
 * name, private keys) and the headers that mirror it (2026-07-28). The rest of its bytes leaves as it came. */
#include <string.h>

#include "core/brain.h"

#define PRIVATE "dev.mcpgw/"
#define MAX_HEADERS (MG_PARAMS_MAX + 24)
#define MAX_UNEXPLAINED 16       /* Mcp-Param-* that no schema knows */
#define KEEP_BYTES ((size_t)65536) /* longer calls are not kept to be sent again */

static int is_private(struct mg_slice doc, struct mg_span key) {
  struct mg_slice k = mg_span_inner(doc, key);
  struct mg_buf b;
  if (!key.escaped) return mg_slice_starts(k, MG_LIT(PRIVATE));
  if (k.len > 256) return 0; /* "dev.mcpgw\/x" is private too; nothing that long is ours */
  mg_buf_init(&b, 512);
  int yes = mg_span_unescape(doc, key, &b) == MCPGW_OK && mg_slice_starts(mg_buf_slice(&b), MG_LIT(PRIVATE));
  mg_buf_done(&b);
  return yes;
}

void mg_strip_private(struct mg_splice *sp, struct mg_slice doc, struct mg_span meta) {
  struct mg_span key, value;
  size_t pos = 0;
  struct mg_slice raw = mg_span_slice(doc, meta);
  if (meta.type != MG_JSON_OBJECT) return;
  if (!memchr(raw.ptr, '\\', raw.len) && !memmem(raw.ptr, raw.len, PRIVATE, sizeof PRIVATE - 1)) return; /* most */
  while (mg_json_member(doc, meta, &pos, &key, &value))
    if (is_private(doc, key)) mg_splice_remove(sp, doc, value);
}

/* ---- headers (modern) --------------------------------------------------------------------------------- */

struct outbound {
  mcpgw_header v[MAX_HEADERS];
  size_t n;
};

/* Points the table into the text "name\0value\0"…, once the text does not move any more. */
static void lay_out(struct outbound *o, const struct mg_buf *text) {
  const char *p = text->ptr, *end = p + text->len;
  o->n = 0;
  while (p < end && o->n < MAX_HEADERS) {
    const char *value = p + strlen(p) + 1;
    o->v[o->n].name = p;
    o->v[o->n++].value = value;
    p = value + strlen(value) + 1;
  }
}

static void add_header(struct mg_buf *b, const char *name, struct mg_slice value) {
  mg_buf_addz(b, name);
  mg_buf_addc(b, 0);
  mg_header_encode(b, value);
  mg_buf_addc(b, 0);
}

static int explained(const struct mg_params *known, struct mg_slice header) {
  for (size_t i = 0; known && i < known->n; i++)
    if (mg_slice_ieqz(header, known->v[i].header)) return 1;
  return 0;
}

/* Mcp-Param-* that no schema explains leave as they came. */
static void pass_params(struct mg_call *call, const struct mg_params *known, struct mg_buf *b) {
  struct mg_slice name, value;
  size_t it = 0, n = 0, head = sizeof "Mcp-Param-" - 1;
  while (call->next_header && n < MAX_UNEXPLAINED && call->next_header(call->header_arg, &it, &name, &value)) {
    if (name.len <= head || !mg_slice_ieqz(mg_slice_sub(name, 0, head), "Mcp-Param-")) continue;
    if (explained(known, mg_slice_sub(name, head, name.len))) continue;
    n++;
    mg_buf_adds(b, name);
    mg_buf_addc(b, 0);
    mg_buf_adds(b, value);
    mg_buf_addc(b, 0);
  }
}

static int build_headers(struct mg_call *call, const struct mg_msg *m, const struct mg_item *item, struct outbound *o) {
  struct mg_buf *b = &call->core->scratch, text;
  struct mg_slice name = mg_slice(NULL, 0);
  size_t n;
  int rc = MCPGW_OK;
  mg_buf_reset(b);
  mg_buf_init(&text, 65536);
  rc = mg_msg_text(m, MG_S_METHOD, &text, &name);
  if (rc == MCPGW_OK) add_header(b, "Mcp-Method", name);
  name = mg_slice(NULL, 0);
  if (m->method == MG_M_TOOLS_CALL || m->method == MG_M_PROMPTS_GET) rc = mg_msg_text(m, MG_S_NAME, &text, &name);
  if (m->method == MG_M_RESOURCES_READ) rc = mg_msg_text(m, MG_S_URI, &text, &name);
  if (item && item->exposed) name = mg_slice_z(item->key);
  if (rc == MCPGW_OK && name.ptr) add_header(b, "Mcp-Name", name);
  mg_buf_done(&text);
  if (m->method == MG_M_TOOLS_CALL) {
    if (item && item->params.n) mg_params_mirror(&item->params, m, b, &n);
    pass_params(call, item ? &item->params : NULL, b);
  }
  if (mg_buf_rc(b) == MCPGW_OK) lay_out(o, b);
  return mg_buf_rc(b);
}

/* The upstream's own key for a keyed call, in quotes, NUL behind; empty: it has none. */
static struct mg_slice quoted_key(const struct mg_call *call, char text[64]) {
  struct mg_slice key = mg_once_key(call);
  if (!key.len || key.len > 61) return mg_slice(NULL, 0);
  text[0] = '"';
  memcpy(text + 1, key.ptr, key.len);
  text[key.len + 1] = '"';
  text[key.len + 2] = '\0';
  return mg_slice(text, key.len + 2);
}

/* text must live until the message is sent. */
static void add_key(const struct mg_call *call, struct outbound *o, char text[64]) {
  if (o->n == MAX_HEADERS || !quoted_key(call, text).len) return;
  o->v[o->n].name = "Idempotency-Key";
  o->v[o->n++].value = text;
}

/* ---- the message ---------------------------------------------------------------------------------------- */

static int name_slot(const struct mg_msg *m) {
  if (m->method == MG_M_TOOLS_CALL || m->method == MG_M_PROMPTS_GET) return MG_S_NAME;
  return m->method == MG_M_COMPLETE ? MG_S_REF_NAME : -1;
}

int mg_request_rewrite(struct mg_call *call, const struct mg_msg *m, const struct mg_item *item, uint64_t id,
                       mg_blob **out) {
  struct mg_splice sp;
  char number[MG_U64_TEXT];
  struct mg_slice as_text = mg_u64_text(number, id);
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_ID], as_text);
  if (call->token.len) mg_splice_value(&sp, m->s[MG_S_META_PROGRESS], as_text);
  if (item && item->exposed && call->view.n > 1 && name_slot(m) >= 0)
    mg_splice_value(&sp, m->s[name_slot(m)], mg_span_slice(item->raw, item->name));
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  char text[64];
  struct mg_slice key = quoted_key(call, text); /* the upstream never sees the client's */
  if (key.len && m->s[MG_S_IDEMPOTENCY].type != MG_JSON_NONE) mg_splice_value(&sp, m->s[MG_S_IDEMPOTENCY], key);
  return mg_splice_flatten(&sp, m->doc, call->core->budget, out);
}

/* The request's bytes are let go, unless they may have to go again: to a new link when this one dies before
 * they were delivered (DESIGN §5), or with the new list's headers (-32020). */
static void let_go(struct mg_call *call, const struct mg_msg *m) {
  if (m->doc.len <= KEEP_BYTES) return;
  mg_blob *done = call->blob;
  call->blob = NULL;
  mg_blob_unref(done);
}

void mg_request_forward(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_item *item,
                        uint64_t now_ms) {
  struct outbound headers;
  struct mg_leg *leg;
  mg_blob *bytes = NULL;
  char key[64];
  headers.n = 0;
  mg_heap_del(&call->core->gathers, &call->deadline); /* gathered: from here on the leg's deadline counts */
  int rc = mg_leg_new(l, call, m->method, &mg_reply_ops, NULL, 0, now_ms, &leg);
  if (rc != MCPGW_OK) {
    mg_call_fail_rc(call, rc, l->up->cfg->name);
    return;
  }
  if (call->modern && l->scope == MG_ISO_SESSION && m->method == MG_M_TOOLS_CALL) call->hands_out = 1; /* it has state */
  leg->wants_log = mg_msg_has(m, MG_S_META_LOG);
  rc = mg_request_rewrite(call, m, item, leg->id, &bytes);
  if (rc == MCPGW_OK && l->modern) rc = build_headers(call, m, item, &headers);
  if (rc == MCPGW_OK) add_key(call, &headers, key);
  if (rc == MCPGW_OK && !l->modern) mg_restore_note(call->ctx, m, l->up);
  if (rc == MCPGW_OK) {
    let_go(call, m);
    mg_retry_sent(call);
    mg_once_sent(call);
    rc = mg_leg_send(leg, bytes, headers.v, headers.n);
  }
  mg_blob_unref(bytes);
  if (rc == MCPGW_OK) return;
  if (rc == MCPGW_E_CLOSED) { /* its end has not been told yet */
    struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO, .upstream = l->up->cfg->name,
                         .text = "the message could not be passed on"};
    mg_leg_fail(leg, &f, now_ms);
    return;
  }
  mg_leg_free(leg);
  mg_once_failed(call, mg_call_delivered(call, MCPGW_DELIVERED_NO)); /* it was not taken: not a byte has left */
  mg_call_fail_rc(call, rc, l->up->cfg->name);
}
