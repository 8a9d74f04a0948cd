/* core/link/inbound: owns what upstreams say: finds the leg a message belongs to and hands it on. What belongs
 * to nobody is dropped and counted; ids and tokens are given back in the client's own spelling. */
#include <stdio.h>

#include "core/brain.h"

static struct mg_leg *leg_by(struct mg_link *l, const struct mg_msg *m, int slot) {
  int64_t v;
  if (m->s[slot].type != MG_JSON_NUMBER || mg_span_i64(m->doc, m->s[slot], &v) != MCPGW_OK || v < 0) return NULL;
  return mg_leg_find(l, (uint64_t)v);
}

static void on_reply(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m, int status,
                     uint64_t now_ms) {
  struct mg_leg *leg = leg_by(l, m, MG_S_ID);
  /* a refusal that could not name its request came on the request's own exchange */
  if (!leg && call && m->kind == MG_ERROR && !mg_msg_has(m, MG_S_ID)) leg = mg_leg_find(l, call);
  if (!leg || (call && leg->id != call)) {
    l->core->stats.unknown_ids++;
    if (mg_suspect_babble(l->up, now_ms))
      mg_log(l->core->log, MG_LOG_WARN, "upstream.unknown_id", "upstream", l->up->cfg->name, (char *)0);
    return;
  }
  mg_leg_reply(leg, bytes, m, status, now_ms);
}

/* Notifications about one request go where its reply will go, with private keys taken out. */
static void pass_to_call(struct mg_call *call, mg_blob *bytes, const struct mg_msg *m, struct mg_splice *sp) {
  mg_strip_private(sp, m->doc, m->s[MG_S_META]);
  mg_call_forward(call, bytes, m->doc, sp, 0, 200);
}

/* Progress of a call that became a task and has been answered: it travels with the call of the same client on
 * whose stream it came (tasks/result), or on the session's own stream. 0: there is no such task. */
static int task_progress(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_leg *on = call ? mg_leg_find(l, call) : NULL;
  struct mg_ctx *ctx = NULL;
  struct mg_splice sp;
  mg_blob *copy;
  int64_t id;
  if (mg_span_i64(m->doc, m->s[MG_S_PROGRESS_TOKEN], &id) != MCPGW_OK || id <= 0) return 0;
  const struct mg_text *token = mg_tail_find(l, (uint64_t)id, &ctx);
  if (!token) return 0;
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_PROGRESS_TOKEN], mg_text_slice(token));
  if (on && on->call && on->call->ctx == ctx) {
    pass_to_call(on->call, bytes, m, &sp);
    return 1;
  }
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  if (mg_splice_flatten(&sp, m->doc, l->core->budget, &copy) == MCPGW_OK) mg_ctx_emit(ctx, copy);
  else l->core->stats.dropped_notifications++;
  return 1;
}

static void on_progress(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  struct mg_leg *leg = leg_by(l, m, MG_S_PROGRESS_TOKEN);
  if (leg) mg_leg_heard(leg, now_ms);
  if (!leg && task_progress(l, call, bytes, m)) return;
  if (!leg || !leg->call || !leg->call->token.len) {
    l->core->stats.unknown_tokens++;
    return;
  }
  struct mg_splice sp;
  mg_splice_init(&sp);
  mg_splice_value(&sp, m->s[MG_S_PROGRESS_TOKEN], mg_text_slice(&leg->call->token));
  mg_once_progress(leg->call, bytes, m);
  pass_to_call(leg->call, bytes, m, &sp);
}

/* The call that a message without any mark belongs to: the oldest one under way; when only those count
 * that asked for logs, it must be the only one. */
static struct mg_call *oldest_call(struct mg_link *l, int only_logging) {
  struct mg_leg *leg, *best = NULL;
  size_t it = 0, n = 0;
  while ((leg = mg_map_next(l->legs, &it, NULL))) {
    if (!leg->call || (only_logging && !leg->wants_log)) continue;
    n++;
    if (!best || leg->id < best->id) best = leg;
  }
  return best && (n == 1 || !only_logging) ? best->call : NULL;
}

static void legacy_notification(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m) {
  struct mg_leg *leg = call ? mg_leg_find(l, call) : NULL;
  struct mg_call *to = leg ? leg->call : NULL;
  if (m->method == MG_M_N_CANCELLED) {
    mg_reverse_cancelled(l, m);
    return;
  }
  /* logs on a shared channel relate to a call as a rule; changes do not */
  if (!to && m->method == MG_M_N_MESSAGE && l->n_binds == 1) to = oldest_call(l, 0);
  struct mg_ctx *told = to && mg_share_may_hear(l, to->ctx, m) ? to->ctx : NULL;
  if (told) {
    struct mg_splice sp;
    mg_splice_init(&sp);
    pass_to_call(to, bytes, m, &sp);
  }
  if (!to || mg_share_is_for_all(l, m)) mg_share_notification(l, m, told);
  else if (!told) l->core->stats.filtered_logs++;
}

static void modern_notification(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m,
                                uint64_t now_ms) {
  struct mg_leg *leg = leg_by(l, m, m->method == MG_M_N_CANCELLED ? MG_S_REQUEST_ID : MG_S_META_SUBSCRIPTION);
  if (!leg && call) leg = mg_leg_find(l, call);
  if (leg && leg->method == MG_M_LISTEN) {
    mg_feed_notification(leg, bytes, m, now_ms);
    return;
  }
  struct mg_call *to = leg ? leg->call : m->method == MG_M_N_MESSAGE ? oldest_call(l, 1) : NULL;
  if (!to) {
    l->core->stats.dropped_notifications++;
    return;
  }
  struct mg_splice sp;
  mg_splice_init(&sp);
  pass_to_call(to, bytes, m, &sp);
}

static void on_notification(struct mg_link *l, uint64_t call, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms) {
  int kind = mg_list_kind(m->method);
  if (kind >= 0) {
    mg_catalog_changed(l, kind, now_ms);
    if (kind == MG_LIST_RESOURCES) mg_catalog_changed(l, MG_LIST_TEMPLATES, now_ms);
  }
  if (m->method == MG_M_N_PROGRESS) on_progress(l, call, bytes, m, now_ms);
  else if (l->modern) modern_notification(l, call, bytes, m, now_ms);
  else legacy_notification(l, call, bytes, m);
}

/* What an operator can do about an HTTP status. */
static const char *hint(int status) {
  switch (status) {
  case 401:
  case 403: return "; its credentials go into \"headers\" in the configuration";
  case 404:
  case 405: return "; is the path of its URL right?";
  case 301:
  case 302:
  case 303:
  case 307:
  case 308: return "; redirects are not followed: configure the URL it leads to";
  default: return "";
  }
}

/* What an HTTP status says of a body that is no JSON-RPC, as transport/http_call has it where there is none: refusals by
 * rule or form were not carried out, nor was what 307 and 308 send elsewhere; 302 and 303 may say where the answer lies. */
static int delivered_by(int status) {
  if (status == 307 || status == 308) return MCPGW_DELIVERED_NO;
  if (status >= 300 && status < 400) return MCPGW_DELIVERED_UNKNOWN;
  return status >= 400 && status < 500 && status != 408 && status != 409 ? MCPGW_DELIVERED_NO : MCPGW_DELIVERED_YES;
}

/* Not every error over HTTP is JSON-RPC: what counts then is the status ({"error":"invalid_token"} with 401). */
static void malformed(struct mg_link *l, uint64_t call, const struct mg_wire_fault *why, int status, uint64_t now_ms) {
  struct mg_leg *leg = call ? mg_leg_find(l, call) : NULL;
  char text[300];
  if (status >= 300) snprintf(text, sizeof text, "upstream \"%.80s\": upstream answered http status %d%s", l->up->cfg->name, status, hint(status));
  else snprintf(text, sizeof text, "upstream \"%.80s\" sent a message that is not valid: %s", l->up->cfg->name, why->text);
  l->core->stats.upstream_protocol++;
  if (mg_suspect_babble(l->up, now_ms))
    mg_log(l->core->log, MG_LOG_WARN, "upstream.protocol", "upstream", l->up->cfg->name, "text", why->text, (char *)0);
  if (!leg) return;
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_PROTOCOL, .code = status,
                       .delivered = delivered_by(status),
                       .upstream = l->up->cfg->name, .text = text};
  mg_leg_fail(leg, &f, now_ms);
  if (l->state != MG_LINK_DEAD) l->core->ports->link_cancel(l->port, call);
}

static void one_message(struct mg_link *l, uint64_t call, mg_blob *bytes, struct mg_slice doc, int status,
                        uint64_t now_ms) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (mg_wire_parse(doc, &m, &why) != MCPGW_OK) {
    malformed(l, call, &why, status, now_ms);
    return;
  }
  switch (m.kind) {
  case MG_REQUEST: mg_reverse_request(l, call, &m, now_ms); break;
  case MG_NOTIFICATION: on_notification(l, call, bytes, &m, now_ms); break;
  default: on_reply(l, call, bytes, &m, status, now_ms);
  }
}

void mg_link_on_message(struct mg_link *l, uint64_t call, mg_blob *bytes, int http_status, uint64_t now_ms) {
  struct mg_slice doc = mg_blob_slice(bytes), member;
  size_t pos = 0;
  l->heard_ms = now_ms;
  if (call) mg_link_on_alive(l, call, now_ms);
  if (l->state == MG_LINK_DEAD) {
    /* too late */
  } else if (!mg_wire_is_batch(doc)) {
    one_message(l, call, bytes, doc, http_status, now_ms);
  } else { /* a batch of 2025-03-26 */
    int more, left = 64;
    while ((more = mg_wire_batch_next(doc, &pos, &member)) > 0 && left-- && l->state != MG_LINK_DEAD)
      one_message(l, call, bytes, member, http_status, now_ms);
    if (more) l->core->stats.upstream_protocol++;
  }
  mg_blob_unref(bytes);
}

void mg_link_on_sent(struct mg_link *l, uint64_t call) {
  struct mg_leg *leg = mg_leg_find(l, call);
  l->tells_sent = 1;
  if (leg) leg->sent = 1;
}

void mg_link_on_alive(struct mg_link *l, uint64_t call, uint64_t now_ms) {
  struct mg_leg *leg = mg_leg_find(l, call);
  if (leg) mg_leg_heard(leg, now_ms);
}

void mg_link_on_streaming(struct mg_link *l, uint64_t call) {
  struct mg_leg *leg = mg_leg_find(l, call);
  if (leg && leg->call && !leg->call->waiting && leg->call->sink != &l->core->nowhere) l->core->ports->sink_streaming(leg->call->sink);
}

static int reason_of(const mcpgw_failure *why, int method) {
  switch (why->code) {
  case MCPGW_E_TIMEOUT: return MG_WHY_UPSTREAM_TIMEOUT;
  case MCPGW_E_LIMIT: return MG_WHY_PAYLOAD_TOO_LARGE;
  case MCPGW_E_NOMEM: return MG_WHY_OVERLOADED;
  case MCPGW_E_PARSE: return MG_WHY_UPSTREAM_PROTOCOL;
  default: break;
  }
  if (why->http_status == 429) return MG_WHY_UPSTREAM_UNAVAILABLE; /* for now: it says when */
  /* a reply that had begun and broke off; the status may be that of an attempt to resume it */
  if (why->code == MCPGW_E_CLOSED && why->delivered == MCPGW_DELIVERED_YES)
    return method == MG_M_TOOLS_CALL ? MG_WHY_OUTCOME_UNKNOWN : MG_WHY_UPSTREAM_UNAVAILABLE;
  if (why->http_status >= 400 && why->http_status < 500) return MG_WHY_UPSTREAM_PROTOCOL;
  if (why->delivered != MCPGW_DELIVERED_NO && why->http_status < 300 && method == MG_M_TOOLS_CALL) return MG_WHY_OUTCOME_UNKNOWN;
  return MG_WHY_UPSTREAM_UNAVAILABLE;
}

void mg_link_on_failed(struct mg_link *l, uint64_t call, const mcpgw_failure *why, uint64_t now_ms) {
  struct mg_leg *leg = l->state == MG_LINK_DEAD ? NULL : mg_leg_find(l, call);
  char text[MG_ERR_MAX], attempt[24];
  if (!leg) return;
  snprintf(attempt, sizeof attempt, "%u", leg->call ? leg->call->attempt : 1);
  snprintf(text, sizeof text, "upstream \"%.80s\": %s%s", l->up->cfg->name, why->text ? why->text : mg_rc_name(why->code),
           hint((int)why->http_status));
  struct mg_fault f = {.reason = reason_of(why, leg->method), .code = (int)why->http_status,
                       .delivered = (int)why->delivered, .retry_after_ms = why->retry_after_ms,
                       .upstream = l->up->cfg->name, .text = text};
  if (why->code == MCPGW_E_TIMEOUT && !why->http_status && why->delivered == MCPGW_DELIVERED_NO) {
    f.limit = "connect_ms";
    f.limit_ms = leg->connect_ms ? leg->connect_ms : l->up->cfg->timeouts.connect_ms;
  }
  if (f.reason == MG_WHY_UPSTREAM_TIMEOUT) l->core->stats.timeouts++;
  mg_log(l->core->log, MG_LOG_WARN, "call.failed", "upstream", l->up->cfg->name, "reason", mg_reason_name(f.reason),
         "attempt", attempt, "text", text, (char *)0);
  mg_leg_fail(leg, &f, now_ms);
}

void mg_link_on_closed(struct mg_link *l, const mcpgw_failure *why, uint64_t now_ms) {
  if (l->state == MG_LINK_DEAD) return;
  mg_link_die(l, why->text ? why->text : mg_rc_name(why->code), why->delivered, 0, now_ms);
}
