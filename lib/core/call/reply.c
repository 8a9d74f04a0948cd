/* core/call/reply: owns the way back: an upstream's reply becomes the client's. Only the envelope changes: the
 * id, private keys, a claimed origin, and what a list or a DiscoverResult may not promise. */
#include <stdio.h>
#include <string.h>

#include "core/brain.h"

#define RESOURCE_NOT_FOUND (-32002) /* up to 2025-11-25 */

static int error_code(const struct mg_msg *m) {
  int64_t code = 0;
  if (m->kind != MG_ERROR || m->s[MG_S_E_CODE].type != MG_JSON_NUMBER) return 0;
  return mg_span_i64(m->doc, m->s[MG_S_E_CODE], &code) == MCPGW_OK ? (int)code : 0;
}

/* The lists that name what a request is about, as bits. */
static unsigned lists_of(int method) {
  const unsigned uris = 1u << MG_LIST_RESOURCES | 1u << MG_LIST_TEMPLATES;
  switch (method) {
  case MG_M_TOOLS_CALL: return 1u << MG_LIST_TOOLS;
  case MG_M_PROMPTS_GET: return 1u << MG_LIST_PROMPTS;
  case MG_M_COMPLETE: return uris | 1u << MG_LIST_PROMPTS;
  case MG_M_RESOURCES_READ:
  case MG_M_SUBSCRIBE: return uris;
  default: return 0;
  }
}

/* An error that a changed list would explain: the list is fetched anew before it is shown again. */
static void suspect_lists(struct mg_call *call, struct mg_link *l, int code, uint64_t now_ms) {
  unsigned kinds = lists_of(call->method);
  if (!l->lists || (code != MG_RPC_METHOD && code != MG_RPC_PARAMS)) return;
  for (int k = 0; k < MG_LIST_KINDS; k++)
    if (kinds & 1u << k) mg_catalog_suspect(l, k, call, now_ms);
}

/* A subscription that did not come about is not one to restore. */
static void unsubscribed(struct mg_call *call, const struct mg_link *l) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (call->method != MG_M_SUBSCRIBE || !call->blob || mg_wire_parse(call->doc, &m, &why) != MCPGW_OK) return;
  struct mg_buf b;
  mg_restore_forget(call->ctx, l->up, mg_restore_uri(&m, &b));
  mg_buf_done(&b);
}

static void learn(struct mg_call *call, struct mg_leg *leg, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  if (m->kind == MG_ERROR) {
    unsubscribed(call, l);
    suspect_lists(call, l, error_code(m), now_ms);
    return;
  }
  if (l->up->cfg->stateful && (call->method == MG_M_TOOLS_CALL || call->method == MG_M_SUBSCRIBE ||
                               call->method == MG_M_SET_LEVEL))
    l->stateful = 1;
  int slot = m->s[MG_S_R_TASK_TASK_ID].type == MG_JSON_STRING ? MG_S_R_TASK_TASK_ID : MG_S_R_TASK_ID;
  if (call->method != MG_M_TOOLS_CALL || m->s[slot].type != MG_JSON_STRING) return;
  mg_task_remember(call, mg_msg_inner(m, slot), l->up);
  mg_tail_keep(l, leg->id, call);
}

/* tasks/list shows the caller's own tasks only, whatever the upstream says. */
static void filter_tasks(struct mg_call *call, const struct mg_msg *m, struct mg_buf *kept, struct mg_splice *sp) {
  struct mg_span item, id;
  size_t pos = 0;
  if (m->s[MG_S_R_TASKS].type != MG_JSON_ARRAY) return;
  mg_buf_addc(kept, '[');
  while (mg_json_item(m->doc, m->s[MG_S_R_TASKS], &pos, &item)) {
    if (item.type != MG_JSON_OBJECT || !mg_json_get(m->doc, item, "taskId", &id)) continue;
    if (!mg_task_owner(call, mg_span_inner(m->doc, id))) continue;
    if (kept->len > 1) mg_buf_addc(kept, ',');
    mg_buf_adds(kept, mg_span_slice(m->doc, item));
  }
  mg_buf_addc(kept, ']');
  mg_splice_value(sp, m->s[MG_S_R_TASKS], mg_buf_rc(kept) == MCPGW_OK ? mg_buf_slice(kept) : MG_LIT("[]"));
}

/* The modern era has no -32002 but -32602, whose data names the resource: the one that was asked for, in the
 * client's own spelling, unless the upstream names it itself. */
static void not_found(struct mg_call *call, const struct mg_msg *m, struct mg_splice *sp, struct mg_buf *text) {
  struct mg_msg asked;
  struct mg_wire_fault why;
  struct mg_span data = m->s[MG_S_E_DATA], uri;
  mg_splice_value(sp, m->s[MG_S_E_CODE], MG_LIT("-32602"));
  if (data.type != MG_JSON_NONE && (data.type != MG_JSON_OBJECT || mg_json_get(m->doc, data, "uri", &uri))) return;
  if (!call->blob || mg_wire_parse(call->doc, &asked, &why) != MCPGW_OK || asked.s[MG_S_URI].type != MG_JSON_STRING) return;
  size_t start = text->len;
  mg_buf_addz(text, data.type == MG_JSON_OBJECT ? "\"uri\":" : "\"data\":{\"uri\":");
  mg_buf_adds(text, mg_msg_raw(&asked, MG_S_URI));
  if (data.type != MG_JSON_OBJECT) mg_buf_addc(text, '}');
  if (mg_buf_rc(text) != MCPGW_OK) return;
  mg_splice_insert(sp, m->doc, data.type == MG_JSON_OBJECT ? data : m->s[MG_S_ERROR], mg_slice_sub(mg_buf_slice(text), start, text->len));
}

static void edit_error(struct mg_call *call, const struct mg_msg *m, struct mg_splice *sp, struct mg_buf *text) {
  /* codes that a revision forbids (DESIGN §6) */
  if (call->modern && error_code(m) == RESOURCE_NOT_FOUND) not_found(call, m, sp, text);
  if (m->s[MG_S_E_ORIGIN].type == MG_JSON_STRING && mg_span_streq(m->doc, m->s[MG_S_E_ORIGIN], MG_LIT("gateway")))
    mg_splice_value(sp, m->s[MG_S_E_ORIGIN], MG_LIT("\"upstream\""));
}

/* The context's handle goes into the result's _meta. */
static void hand_out(struct mg_call *call, const struct mg_msg *m, struct mg_splice *sp) {
  int has_meta = m->s[MG_S_R_META].type == MG_JSON_OBJECT;
  if (!has_meta && m->s[MG_S_R_META].type != MG_JSON_NONE) return;
  struct mg_slice member = mg_handle_member(call->ctx, !has_meta);
  if (member.len) mg_splice_insert(sp, m->doc, m->s[has_meta ? MG_S_R_META : MG_S_RESULT], member);
}

void mg_reply_edit(struct mg_call *call, const struct mg_msg *m, struct mg_splice *sp, struct mg_buf *text) {
  mg_splice_init(sp);
  if (m->kind == MG_ERROR) mg_buf_reserve(text, 2 * MG_ID_MAX + (call->blob ? call->doc.len : 0)); /* it may not move */
  if (m->s[MG_S_ID].type != MG_JSON_NONE) {
    mg_splice_value(sp, m->s[MG_S_ID], mg_text_slice(&call->id));
  } else { /* an error of the modern era may lack its id; the client gets it back */
    mg_buf_addz(text, "\"id\":");
    mg_buf_adds(text, mg_text_slice(&call->id));
    mg_splice_insert(sp, m->doc, mg_json_whole(m->doc), mg_buf_slice(text));
  }
  if (m->kind == MG_ERROR) {
    edit_error(call, m, sp, text);
    return;
  }
  mg_strip_private(sp, m->doc, m->s[MG_S_R_META]);
  if (call->hands_out) hand_out(call, m, sp);
  if (m->s[MG_S_R_META_SUBSCRIPTION].type != MG_JSON_NONE)
    mg_splice_value(sp, m->s[MG_S_R_META_SUBSCRIPTION], mg_text_slice(&call->id));
  if (call->method == MG_M_DISCOVER && m->s[MG_S_R_SUPPORTED].type == MG_JSON_ARRAY) {
    mg_core_supported(call->core, call->view, text);
    mg_splice_value(sp, m->s[MG_S_R_SUPPORTED], mg_buf_slice(text));
  }
  if (call->method == MG_M_TASKS_LIST) filter_tasks(call, m, text, sp);
}

/* The upstream did not run it and says that the mirrored headers were wrong: our list was old. */
static int retries_headers(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms) {
  if (error_code(m) != MG_RPC_HEADERS || call->refreshed || !call->blob) return 0;
  if (!l->modern || call->method != MG_M_TOOLS_CALL || !mg_link_has_list(l, MG_LIST_TOOLS)) return 0;
  call->refreshed = 1;
  call->created_ms = now_ms + 1; /* a list settled before now does not count as fetched for it */
  mg_catalog_stale(l, MG_LIST_TOOLS);
  return mg_catalog_need(l, MG_LIST_TOOLS, 1, call, now_ms) == MCPGW_E_AGAIN;
}

static void on_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  mg_once_again(leg->call, f->delivered);
  if (mg_retry(leg->call, leg->link, f, now_ms)) return;
  unsubscribed(leg->call, leg->link);
  mg_once_failed(leg->call, mg_call_delivered(leg->call, f->delivered));
  mg_call_fail(leg->call, f);
}

/* A tool's own limits.result_bytes; the server's is kept by the transport. */
static int too_long(struct mg_leg *leg, const struct mg_msg *m, uint64_t now_ms) {
  const struct mg_cfg_tool *tool = mg_limits_tool(leg->call);
  char text[200];
  if (!tool || !tool->limits.result_bytes || m->doc.len <= tool->limits.result_bytes) return 0;
  snprintf(text, sizeof text, "upstream \"%.80s\": the answer is longer than the %llu bytes of its tool's limits.result_bytes",
           leg->link->up->cfg->name, (unsigned long long)tool->limits.result_bytes);
  struct mg_fault f = {.reason = MG_WHY_PAYLOAD_TOO_LARGE, .delivered = MCPGW_DELIVERED_YES, .upstream = leg->link->up->cfg->name, .text = text};
  on_fail(leg, &f, now_ms);
  return 1;
}

static void on_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int http_status, uint64_t now_ms) {
  struct mg_call *call = leg->call;
  struct mg_splice sp;
  struct mg_buf text;
  int code = error_code(m);
  (void)http_status; /* the code decides, not what the upstream made of it */
  if (retries_headers(call, leg->link, m, now_ms) || too_long(leg, m, now_ms)) return;
  learn(call, leg, m, now_ms);
  if (mg_once_reply(call, bytes, m)) return;
  mg_buf_init(&text, MG_MAX_LIST_BYTES * 4);
  mg_reply_edit(call, m, &sp, &text);
  if ((call->method == MG_M_TOOLS_LIST || call->method == MG_M_PROMPTS_LIST) && m->kind == MG_RESULT)
    mg_catalog_learn(leg->link, mg_list_kind(call->method), call, bytes, m, !call->paged, &text, &sp, now_ms);
  mg_blob *kept = mg_cache_keep(call, leg->link, m, &sp, now_ms);
  if (kept) mg_call_emit(call, kept, 1, 200);
  else mg_call_forward(call, bytes, m->doc, &sp, 1, m->kind == MG_ERROR ? mg_code_status(code, call->modern) : 200);
  mg_buf_done(&text);
}

const struct mg_leg_ops mg_reply_ops = {on_reply, on_fail};
