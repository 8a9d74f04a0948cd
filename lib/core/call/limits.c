/* core/call/limits: owns which settings of the config a call is under: the first tool pattern that fits, and the
 * time limits that follow. Each limit has the name of its key, so that whoever is cut off knows what to change. */
#include <stdio.h>

#include "core/brain.h"

size_t mg_limits_rule(const struct mg_cfg_server *cfg, struct mg_slice tool) {
  for (size_t i = 0; i < cfg->n_tools; i++)
    if (mg_glob(mg_slice_z(cfg->tools[i].glob), tool)) return i + 1;
  return 0;
}

const struct mg_cfg_tool *mg_limits_tool(const struct mg_call *call) {
  return call->rule ? &call->up->cfg->tools[call->rule - 1] : NULL;
}

/* Patterns are matched against the tool's own name, however the client spelt it ("na\u006de"). */
static size_t rule_of(const struct mg_cfg_server *cfg, const struct mg_msg *m, const struct mg_item *item) {
  struct mg_buf text;
  struct mg_slice name;
  if (m->method != MG_M_TOOLS_CALL || !cfg->n_tools) return 0;
  if (item) return item->rule;
  mg_buf_init(&text, 65536);
  size_t rule = mg_msg_text(m, MG_S_NAME, &text, &name) == MCPGW_OK ? mg_limits_rule(cfg, name) : 0;
  mg_buf_done(&text);
  return rule;
}

static uint64_t of_tool(uint64_t own, uint64_t server) {
  return own ? own : server;
}

void mg_limits_set(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, const struct mg_item *item) {
  if (call->up == up && (!item || (call->rule == item->rule && !item->effect))) return;
  call->up = up;
  call->rule = rule_of(up->cfg, m, item);
  const struct mg_cfg_tool *tool = mg_limits_tool(call);
  call->total_ms = mg_limits_total(up->cfg, call->method);
  if (tool && tool->timeouts.total_ms) call->total_ms = tool->timeouts.total_ms;
  call->effect = mg_effect_of(call, m, item);
}

uint64_t mg_limits_total(const struct mg_cfg_server *cfg, int method) {
  if (method == MG_M_LISTEN) return 0;
  return mg_method_is_list(method) ? cfg->timeouts.list_ms : cfg->timeouts.total_ms;
}

uint64_t mg_limits_until(const struct mg_call *call) {
  return call->total_ms ? call->came_ms + call->total_ms : UINT64_MAX;
}

void mg_limits_leg(struct mg_leg *leg) {
  const struct mg_call *call = leg->call;
  const struct mg_cfg_timeouts *t = &call->up->cfg->timeouts;
  const struct mg_cfg_tool *tool = mg_limits_tool(call);
  leg->connect_ms = of_tool(tool ? tool->timeouts.connect_ms : 0, t->connect_ms);
  if (!call->total_ms) return; /* a listen stream: quiet as long as it likes */
  leg->limit_ms = call->total_ms;
  leg->until_ms = mg_limits_until(call);
  leg->first_byte_ms = of_tool(tool ? tool->timeouts.first_byte_ms : 0, t->first_byte_ms);
  leg->idle_ms = of_tool(tool ? tool->timeouts.idle_ms : 0, t->idle_ms);
}

/* ---- which limit is next ----------------------------------------------------------------------------------- */

/* How long the leg may be silent now; 0: as long as it likes. */
static uint64_t patience(const struct mg_leg *leg) {
  uint64_t first = leg->heard ? 0 : leg->first_byte_ms;
  return first && (!leg->idle_ms || first < leg->idle_ms) ? first : leg->idle_ms;
}

uint64_t mg_limits_next(const struct mg_leg *leg) {
  uint64_t quiet = patience(leg), at = quiet ? leg->heard_ms + quiet : UINT64_MAX;
  return leg->until_ms && leg->until_ms < at ? leg->until_ms : at;
}

static const char *whole_limit(const struct mg_leg *leg) {
  if (leg->method == MG_M_INITIALIZE || leg->method == MG_M_DISCOVER || leg->method == MG_M_PING) return leg->call ? "total_ms" : "connect_ms + list_ms";
  return mg_method_is_list(leg->method) ? "list_ms" : "total_ms";
}

void mg_limits_why(const struct mg_leg *leg, uint64_t now_ms, struct mg_fault *f) {
  uint64_t quiet = patience(leg);
  f->reason = MG_WHY_UPSTREAM_TIMEOUT;
  if (leg->until_ms && now_ms >= leg->until_ms) {
    f->limit = whole_limit(leg);
    f->limit_ms = leg->limit_ms;
  } else {
    f->limit = !leg->heard && quiet == leg->first_byte_ms ? "first_byte_ms" : "idle_ms";
    f->limit_ms = quiet;
  }
}

/* ---- calls that wait inside the gateway ----------------------------------------------------------------------- */

void mg_limits_wait(struct mg_call *call, const char *what) {
  call->waits_for = what;
  if (call->total_ms) mg_heap_set(&call->core->gathers, &call->deadline, mg_limits_until(call)); /* without memory: other deadlines remain */
}

int mg_limits_late(struct mg_call *call, uint64_t now_ms) {
  char text[200];
  if (!call->up || now_ms < mg_limits_until(call)) return 0;
  if (mg_once_late(call)) return 1;
  const char *name = mg_method_is_list(call->method) ? "list_ms" : "total_ms";
  snprintf(text, sizeof text, "upstream \"%.80s\": %s waited all of its %llu ms (%s) for %s", call->up->cfg->name,
           call->method ? mg_method_name(call->method) : "the request", (unsigned long long)call->total_ms, name,
           call->waits_for ? call->waits_for : "its turn");
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_TIMEOUT, .delivered = MCPGW_DELIVERED_NO, .upstream = call->up->cfg->name,
                       .text = text, .limit = name, .limit_ms = call->total_ms};
  call->core->stats.timeouts++;
  mg_log(call->core->log, MG_LOG_WARN, "call.timeout", "upstream", call->up->cfg->name, "limit", name, "text", text, (char *)0);
  mg_call_fail(call, &f);
  return 1;
}
