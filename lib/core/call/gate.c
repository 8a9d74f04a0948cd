/* core/call/gate: owns the places that calls take at an upstream: so many run at once, so many wait in order, the
 * rest is refused at once. One stuck server then holds its own places and nobody else's. What comes free is
 * handed on in a turn of its own (mg_gate_run): nobody is stepped while another call is on the stack. */
#include <stdio.h>

#include "core/brain.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 10000

static void gate_init(struct mg_gate *g, const struct mg_cfg_limits *own, uint64_t queue) {
  g->limit = (size_t)own->concurrency;
  g->room = (size_t)(own->queue ? own->queue : queue);
  mg_list_init(&g->holders);
  mg_list_init(&g->waiting);
}

int mg_gates_init(struct mg_gates *gs, struct mg_core *c, const struct mg_cfg_server *cfg) {
  size_t n = 0;
  gs->core = c;
  gate_init(&gs->all, &cfg->limits, 0);
  for (size_t i = 0; i < cfg->n_tools; i++)
    if (cfg->tools[i].limits.concurrency) n = cfg->n_tools;
  if (!n) return MCPGW_OK;
  gs->tools = mg_calloc(n, sizeof *gs->tools);
  if (!gs->tools) return MCPGW_E_NOMEM;
  gs->n_tools = n;
  for (size_t i = 0; i < n; i++) gate_init(&gs->tools[i], &cfg->tools[i].limits, cfg->limits.queue);
  return MCPGW_OK;
}

/* ---- places ------------------------------------------------------------------------------------------------ */

static void take(struct mg_gate *g, struct mg_place *p) {
  p->gate = g;
  p->held = 1;
  g->running++;
  mg_list_add(&g->holders, &p->node);
}

static struct mg_call *call_of(struct mg_place *p) {
  return p->is_tool ? MG_CONTAINER(p, struct mg_call, place[0]) : MG_CONTAINER(p, struct mg_call, place[1]);
}

static void now_ready(struct mg_call *call) {
  if (!call->ready.next) mg_list_add(&call->core->ready, &call->ready);
}

void mg_wake_later(struct mg_list *waiters) {
  struct mg_list *node;
  while ((node = mg_list_first(waiters))) {
    struct mg_waiter *w = MG_CONTAINER(node, struct mg_waiter, node);
    struct mg_call *call = w->call;
    mg_list_del(node);
    w->call = NULL;
    if (--call->waiting == 0) now_ready(call);
  }
}

/* A place came free: the one that has waited longest gets it. */
static void hand_on(struct mg_gate *g) {
  struct mg_list *node;
  while ((!g->limit || g->running < g->limit) && (node = mg_list_first(&g->waiting))) {
    struct mg_place *p = MG_CONTAINER(node, struct mg_place, node);
    mg_list_del(node);
    g->queued--;
    call_of(p)->core->n_queued--;
    take(g, p);
    now_ready(call_of(p));
  }
  if (!g->queued) g->told = 0;
}

static void give_back(struct mg_call *call, struct mg_place *p) {
  struct mg_gate *g = p->gate;
  if (!g) return;
  mg_list_del(&p->node);
  p->gate = NULL;
  if (p->held) {
    p->held = 0;
    g->running--;
    hand_on(g);
  } else {
    g->queued--;
    call->core->n_queued--;
  }
}

void mg_gate_leave(struct mg_call *call) {
  give_back(call, &call->place[1]);
  give_back(call, &call->place[0]);
  mg_list_del(&call->ready);
}

/* ---- the end of a gate --------------------------------------------------------------------------------------- */

static void flush(struct mg_gate *g) {
  struct mg_list *node;
  while ((node = mg_list_first(&g->waiting))) {
    struct mg_call *call = call_of(MG_CONTAINER(node, struct mg_place, node));
    mg_gate_leave(call);
    now_ready(call);
  }
}

void mg_gates_flush(struct mg_gates *gs) {
  for (size_t i = 0; i < gs->n_tools; i++) flush(&gs->tools[i]);
  if (gs->core) flush(&gs->all);
}

static void forget(struct mg_gate *g) {
  struct mg_list *node;
  while ((node = mg_list_first(&g->holders))) {
    struct mg_place *p = MG_CONTAINER(node, struct mg_place, node);
    mg_list_del(node);
    p->gate = NULL;
    p->held = 0;
  }
}

void mg_gates_done(struct mg_gates *gs) {
  if (!gs->core) return;
  mg_gates_flush(gs);
  for (size_t i = 0; i < gs->n_tools; i++) forget(&gs->tools[i]);
  forget(&gs->all);
  mg_free(gs->tools);
  *gs = (struct mg_gates){0};
}

/* ---- entering ------------------------------------------------------------------------------------------------- */

/* Work takes a place. What is needed to see, steer and stop work does not: pings, handshakes, lists (bounded by
 * list_ms), listen streams, subscriptions, the log level, and all about tasks, whose work was let in before. */
static int needs_place(int method) {
  switch (method) {
  case MG_M_TOOLS_CALL:
  case MG_M_RESOURCES_READ:
  case MG_M_PROMPTS_GET:
  case MG_M_COMPLETE:
  case MG_M_OTHER: return 1;
  default: return 0;
  }
}

/* As long as the head of the queue has waited: that is how fast the queue moves. */
static uint64_t retry_after(const struct mg_gate *g, uint64_t now_ms) {
  struct mg_list *head = mg_list_first(&g->waiting);
  uint64_t ms = head ? now_ms - call_of(MG_CONTAINER(head, struct mg_place, node))->queued_ms : 10 * RETRY_MIN_MS;
  if (ms < RETRY_MIN_MS) ms = RETRY_MIN_MS;
  if (ms > RETRY_MAX_MS) ms = RETRY_MAX_MS;
  return ms + mg_jitter(ms / 2);
}

static int refuse(struct mg_call *call, struct mg_gate *g, int is_tool, uint64_t now_ms) {
  const struct mg_cfg_server *cfg = call->up->cfg;
  const char *glob = is_tool ? mg_limits_tool(call)->glob : "";
  char text[300];
  snprintf(text, sizeof text, "upstream \"%.80s\"%s%.80s%s is busy: %zu calls run (limits.concurrency) and %zu wait (limits.queue)",
           cfg->name, is_tool ? ", tools \"" : "", glob, is_tool ? "\"," : "", g->running, g->queued);
  struct mg_fault f = {.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .upstream = cfg->name, .text = text,
                       .retry_after_ms = retry_after(g, now_ms)};
  call->core->stats.queue_full++;
  if (!g->told) mg_log(call->core->log, MG_LOG_WARN, "gate.full", "upstream", cfg->name, "text", text, (char *)0);
  g->told = 1; /* once, until the queue has been empty again */
  mg_call_fail(call, &f);
  return MCPGW_E_CLOSED;
}

static int enter(struct mg_call *call, struct mg_gate *g, int is_tool, uint64_t now_ms) {
  struct mg_place *p = &call->place[!is_tool];
  if (p->gate && p->gate != g) give_back(call, p); /* its link was replaced meanwhile */
  if (!g || (p->gate && p->held)) return MCPGW_OK;
  if (p->gate) return MCPGW_E_AGAIN;
  p->is_tool = is_tool;
  if (!g->limit || (g->running < g->limit && mg_list_empty(&g->waiting))) {
    take(g, p);
    return MCPGW_OK;
  }
  if (g->queued >= g->room) return refuse(call, g, is_tool, now_ms);
  p->gate = g;
  mg_list_add(&g->waiting, &p->node);
  g->queued++;
  call->core->n_queued++;
  call->core->stats.queued++;
  call->queued_ms = now_ms;
  mg_limits_wait(call, is_tool ? "a free place among its tools (limits.concurrency)" : "a free place (limits.concurrency)");
  return MCPGW_E_AGAIN;
}

int mg_gate_enter(struct mg_call *call, struct mg_link *l, uint64_t now_ms) {
  if (!needs_place(call->method)) return MCPGW_OK;
  const struct mg_cfg_tool *tool = mg_limits_tool(call);
  struct mg_gates *gs = l->gates;
  int rc = enter(call, tool && tool->limits.concurrency ? &gs->tools[call->rule - 1] : NULL, 1, now_ms);
  return rc == MCPGW_OK ? enter(call, &gs->all, 0, now_ms) : rc;
}

void mg_gate_run(struct mg_core *c, uint64_t now_ms) {
  struct mg_list *node;
  while ((node = mg_list_first(&c->ready))) {
    struct mg_call *call = MG_CONTAINER(node, struct mg_call, ready);
    mg_list_del(node);
    call->step(call, now_ms);
  }
}
