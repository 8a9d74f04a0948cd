/* core/call/retry: owns the question whether a call that failed goes again (DESIGN §8, rule 5): only what provably
 * did not reach the upstream, or may be repeated without harm; within the call's own time, with growing pauses
 * left to chance, as often as the upstream's budget allows. Each attempt is logged under its number. */
#include <stdio.h>

#include "core/brain.h"

#define BUDGET_MAX 10000 /* thousandths of a retry: so much may be saved up */
#define PAUSE_MAX_MS 5000

void mg_retry_init(struct mg_upstream *up) {
  up->budget = BUDGET_MAX;
}

/* ---- what may be repeated ------------------------------------------------------------------------------------ */

static int effect_of_method(int method) {
  switch (method) {
  case MG_M_PING:
  case MG_M_DISCOVER:
  case MG_M_TOOLS_LIST:
  case MG_M_RESOURCES_LIST:
  case MG_M_TEMPLATES_LIST:
  case MG_M_PROMPTS_LIST:
  case MG_M_TASKS_LIST:
  case MG_M_RESOURCES_READ:
  case MG_M_PROMPTS_GET:
  case MG_M_COMPLETE:
  case MG_M_TASKS_GET:
  case MG_M_TASKS_RESULT: return MG_EFFECT_READ;
  case MG_M_SET_LEVEL:
  case MG_M_SUBSCRIBE:
  case MG_M_UNSUBSCRIBE: return MG_EFFECT_IDEMPOTENT;
  default: return MG_EFFECT_ONCE;
  }
}

int mg_effect_noted(struct mg_slice tool) {
  struct mg_span notes, v;
  if (!mg_json_get(tool, mg_json_whole(tool), "annotations", &notes) || notes.type != MG_JSON_OBJECT) return MG_EFFECT_UNSET;
  if (mg_json_get(tool, notes, "readOnlyHint", &v) && v.type == MG_JSON_TRUE) return MG_EFFECT_READ;
  if (mg_json_get(tool, notes, "idempotentHint", &v) && v.type == MG_JSON_TRUE) return MG_EFFECT_IDEMPOTENT;
  return MG_EFFECT_UNSET;
}

/* The config's word, else what the server says where the config trusts it, else once. A tool run as a task makes a
 * task of each run. */
int mg_effect_of(const struct mg_call *call, const struct mg_msg *m, const struct mg_item *item) {
  const struct mg_cfg_tool *tool = mg_limits_tool(call);
  if (m->method != MG_M_TOOLS_CALL) return effect_of_method(m->method);
  if (mg_msg_has(m, MG_S_TASK)) return MG_EFFECT_ONCE;
  if (tool && tool->effect) return tool->effect;
  return item && item->effect ? item->effect : MG_EFFECT_ONCE;
}

/* ---- which failures pass ----------------------------------------------------------------------------------------- */

static int is_passing(const struct mg_fault *f) {
  switch (f->reason) {
  case MG_WHY_UPSTREAM_UNAVAILABLE: return f->code < 300 || f->code == 429 || f->code >= 500;
  case MG_WHY_OUTCOME_UNKNOWN: return 1;
  case MG_WHY_UPSTREAM_TIMEOUT: return 1; /* of its whole time nothing is left, which is looked at below */
  default: return 0;
  }
}

static int may_repeat(const struct mg_call *call, const struct mg_fault *f) {
  if (f->delivered == (int)MCPGW_DELIVERED_NO) return 1;
  return call->effect >= MG_EFFECT_IDEMPOTENT && !call->spoke; /* what the client has heard cannot be taken back */
}

/* ---- again -------------------------------------------------------------------------------------------------------- */

void mg_retry_sent(struct mg_call *call) {
  struct mg_upstream *up = call->up;
  if (call->attempt++) return;
  up->budget += (uint32_t)up->cfg->retries.budget_percent * 10;
  if (up->budget > BUDGET_MAX) up->budget = BUDGET_MAX;
}

static int pay(struct mg_upstream *up) {
  if (up->budget < 1000) {
    up->core->stats.retries_refused++;
    return 0;
  }
  up->budget -= 1000;
  return 1;
}

static void log_again(const struct mg_upstream *up, int method, unsigned attempt, const struct mg_fault *f, uint64_t pause_ms) {
  char n[24], ms[24];
  snprintf(n, sizeof n, "%u", attempt + 1);
  snprintf(ms, sizeof ms, "%llu", (unsigned long long)pause_ms);
  mg_log(up->core->log, MG_LOG_INFO, "call.retry", "upstream", up->cfg->name, "method", mg_method_name(method),
         "attempt", n, "pause_ms", ms, "reason", mg_reason_name(f->reason), (char *)0);
}

/* Full jitter: anything from nothing to the ceiling, which doubles; never before the upstream's Retry-After. */
static uint64_t pause_of(const struct mg_upstream *up, unsigned attempt, const struct mg_fault *f) {
  uint64_t base = up->cfg->retries.base_ms, ceiling = base << (attempt < 8 ? attempt - 1 : 7);
  if (ceiling > PAUSE_MAX_MS) ceiling = base < PAUSE_MAX_MS ? PAUSE_MAX_MS : base;
  return f->retry_after_ms + mg_jitter(ceiling);
}

/* Its link ended (a session that the upstream forgot, mostly) and it never left: the new link takes it at once
 * and for nothing, once. If there was state to lose the new attempt says so instead. */
static int is_moved(const struct mg_call *call, const struct mg_link *l, const struct mg_fault *f) {
  return l->state == MG_LINK_DEAD && f->delivered == (int)MCPGW_DELIVERED_NO && f->reason == MG_WHY_UPSTREAM_UNAVAILABLE &&
         !call->resent;
}

static int goes_later(struct mg_call *call, const struct mg_fault *f, uint64_t now_ms) {
  const struct mg_cfg_retries *cfg = &call->up->cfg->retries;
  if (call->attempt >= cfg->attempts || !is_passing(f) || !may_repeat(call, f)) return 0;
  uint64_t pause = pause_of(call->up, call->attempt, f), at = now_ms + pause;
  if (at >= mg_limits_until(call) || !pay(call->up)) return 0;
  if (mg_heap_set(&call->core->gathers, &call->deadline, at) != MCPGW_OK) return 0;
  log_again(call->up, call->method, call->attempt, f, pause);
  call->pauses = 1;
  return 1;
}

int mg_retry(struct mg_call *call, const struct mg_link *l, const struct mg_fault *f, uint64_t now_ms) {
  if (!call->blob || !call->up || call->core->ending) return 0;
  int moved = is_moved(call, l, f);
  if (!moved && !goes_later(call, f, now_ms)) return 0;
  call->core->stats.retries++;
  if (f->delivered != (int)MCPGW_DELIVERED_NO) call->may_have_run = 1;
  mg_cache_asked(call);
  mg_gate_leave(call);
  if (!moved) return 1;
  log_again(call->up, call->method, call->attempt, f, 0);
  call->resent = 1;
  call->step(call, now_ms);
  return 1;
}

/* A list only reads: it goes again as a call of that kind would. */
int mg_retry_load(struct mg_upstream *up, int method, const struct mg_fault *f, unsigned attempt, uint64_t until_ms, uint64_t now_ms,
                  uint64_t *at_ms) {
  if (attempt >= up->cfg->retries.attempts || !is_passing(f) || up->core->ending) return 0;
  uint64_t pause = pause_of(up, attempt, f);
  if (now_ms + pause >= until_ms || !pay(up)) return 0;
  up->core->stats.retries++;
  log_again(up, method, attempt, f, pause);
  *at_ms = now_ms + pause;
  return 1;
}
