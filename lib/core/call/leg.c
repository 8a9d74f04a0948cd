/* core/call/leg: owns requests under way to upstreams: their ids on the link, their deadlines, their
 * cancellation in the way of the link's era. */
#include <stdio.h>

#include "core/brain.h"

int mg_leg_new(struct mg_link *l, struct mg_call *call, int method, const struct mg_leg_ops *ops, void *arg,
               uint64_t limit_ms, uint64_t now_ms, struct mg_leg **out) {
  struct mg_leg *leg = mg_calloc(1, sizeof *leg);
  if (!leg) return MCPGW_E_NOMEM;
  leg->id = ++l->next_id;
  l->used_ms = now_ms;
  leg->link = l;
  leg->method = method;
  leg->ops = ops;
  leg->arg = arg;
  leg->limit_ms = limit_ms;
  leg->until_ms = limit_ms ? now_ms + limit_ms : 0;
  leg->since_ms = leg->heard_ms = now_ms;
  leg->call = call;
  if (call && call->up && !limit_ms) mg_limits_leg(leg);
  int rc = mg_map_putu(l->legs, leg->id, leg);
  uint64_t at = mg_limits_next(leg);
  if (rc == MCPGW_OK && at != UINT64_MAX) rc = mg_heap_set(&l->core->deadlines, &leg->deadline, at);
  if (rc != MCPGW_OK) {
    mg_map_delu(l->legs, leg->id);
    mg_free(leg);
    return rc;
  }
  if (call) {
    mg_list_add(&call->legs, &leg->in_call);
    call->n_legs++;
  }
  l->up->stats.requests++;
  *out = leg;
  return MCPGW_OK;
}

int mg_leg_send(struct mg_leg *leg, mg_blob *bytes, const mcpgw_header *headers, size_t n) {
  return mg_link_send(leg->link, leg, bytes, headers, n);
}

/* Takes the leg out of everything it is in; it still exists, and still knows its call. */
static void detach(struct mg_leg *leg) {
  mg_map_delu(leg->link->legs, leg->id);
  mg_heap_del(&leg->link->core->deadlines, &leg->deadline);
  if (leg->call && leg->in_call.next) {
    mg_list_del(&leg->in_call);
    leg->call->n_legs--;
  }
}

void mg_leg_free(struct mg_leg *leg) {
  detach(leg);
  mg_free(leg);
}

static void tell_upstream(struct mg_leg *leg, struct mg_slice reason) {
  struct mg_link *l = leg->link;
  if (l->state == MG_LINK_DEAD) return;
  /* the modern era over HTTP: closing the exchange is the cancellation; initialize may not be cancelled */
  if (!(l->modern && l->cancel_closes) && leg->method != MG_M_INITIALIZE) {
    struct mg_buf b;
    mg_buf_init(&b, 8192);
    mg_build_cancelled(&b, leg->id, reason.len <= 4096 ? reason : mg_slice(NULL, 0));
    mg_blob *bytes = mg_buf_rc(&b) == MCPGW_OK ? mg_blob_copy(l->core->budget, b.ptr, b.len) : NULL;
    mg_buf_done(&b);
    if (bytes) mg_link_notify(l, bytes);
    mg_blob_unref(bytes);
  }
  l->core->ports->link_cancel(l->port, leg->id);
}

void mg_leg_cancel(struct mg_leg *leg, struct mg_slice reason) {
  tell_upstream(leg, reason);
  mg_leg_free(leg);
}

void mg_leg_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  detach(leg);
  leg->link->up->stats.failed++;
  mg_breaker_fail(leg, f, now_ms);
  leg->ops->fail(leg, f, now_ms);
  mg_free(leg);
}

void mg_leg_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int http_status, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  uint64_t id = leg->id;
  if (leg->call) leg->call->ctx->session->used_ms = l->used_ms = now_ms; /* idleness begins at the end of the call */
  detach(leg);
  l->up->stats.replies++;
  if (l->state == MG_LINK_READY) {
    l->answered = 1;
    mg_breaker_reply(l->up, now_ms);
  }
  leg->ops->reply(leg, bytes, m, http_status, now_ms);
  mg_free(leg);
  if (l->state != MG_LINK_DEAD) l->core->ports->link_cancel(l->port, id); /* nothing more is wanted of it */
}

struct mg_leg *mg_leg_find(struct mg_link *l, uint64_t id) {
  return mg_map_getu(l->legs, id);
}

void mg_leg_heard(struct mg_leg *leg, uint64_t now_ms) {
  leg->heard = 1;
  leg->heard_ms = now_ms;
}

int mg_leg_delivered(const struct mg_leg *leg) {
  if (leg->heard) return MCPGW_DELIVERED_YES;
  return leg->sent || !leg->link->tells_sent ? (int)MCPGW_DELIVERED_UNKNOWN : (int)MCPGW_DELIVERED_NO;
}

static void time_out(struct mg_leg *leg, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  uint64_t since_ms = leg->since_ms;
  char text[200];
  struct mg_fault f = {.delivered = mg_leg_delivered(leg), .upstream = l->up->cfg->name, .text = text};
  mg_limits_why(leg, now_ms, &f);
  snprintf(text, sizeof text, "upstream \"%.80s\" did not answer %s within %llu ms (%s)", l->up->cfg->name,
           leg->method ? mg_method_name(leg->method) : "the request", (unsigned long long)f.limit_ms, f.limit);
  l->core->stats.timeouts++;
  l->up->stats.timeouts++;
  mg_log(l->core->log, MG_LOG_WARN, "call.timeout", "upstream", l->up->cfg->name, "limit", f.limit, "text", text, (char *)0);
  tell_upstream(leg, MG_LIT("\"the gateway's time limit was reached\""));
  mg_leg_fail(leg, &f, now_ms);
  mg_suspect_silence(l, since_ms, now_ms);
}

void mg_leg_tick(struct mg_core *c, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&c->deadlines)) && top->at_ms <= now_ms) {
    struct mg_leg *leg = MG_CONTAINER(top, struct mg_leg, deadline);
    uint64_t at = mg_limits_next(leg); /* it may have been heard of since the alarm was set */
    if (at > now_ms) mg_heap_set(&c->deadlines, &leg->deadline, at);
    else time_out(leg, now_ms);
  }
}
