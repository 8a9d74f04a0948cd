/* core/call/rate: owns how many requests a caller may make: a bucket of tokens a principal, filled at
 * gateway.limits.rate.per_s up to burst. Pings are free, and so are notifications and answers: whoever may not
 * ask may still cancel. */
#include <stdio.h>

#include "core/brain.h"

#define TOKEN 1000   /* in thousandths */
#define PATIENCE 8   /* refusals in a row after which bodies are not read any more */

static void refill(const struct mg_config *cfg, struct mg_principal *p, uint64_t now_ms) {
  uint64_t full = cfg->limits.rate.burst * TOKEN, since = now_ms > p->bucket.at_ms ? now_ms - p->bucket.at_ms : 0;
  int is_new = !p->bucket.at_ms;
  p->bucket.at_ms = now_ms;
  if (is_new || since >= full || p->bucket.milli + since * cfg->limits.rate.per_s > full) p->bucket.milli = full;
  else p->bucket.milli += since * cfg->limits.rate.per_s;
}

static uint64_t wait_of(const struct mg_config *cfg, const struct mg_principal *p) {
  uint64_t per_s = cfg->limits.rate.per_s;
  return p->bucket.milli >= TOKEN ? 0 : (TOKEN - p->bucket.milli + per_s - 1) / per_s;
}

int mg_rate_take(struct mg_core *c, struct mg_principal *p, uint64_t now_ms, struct mg_fault *f) {
  const struct mg_config *cfg = c->config;
  if (!cfg->limits.rate.per_s) return MCPGW_OK;
  refill(cfg, p, now_ms);
  if (p->bucket.milli >= TOKEN) {
    p->bucket.milli -= TOKEN;
    p->bucket.refused = 0;
    return MCPGW_OK;
  }
  c->stats.rate_limited++;
  if (!p->bucket.refused++) mg_log(c->log, MG_LOG_WARN, "rate.limited", "principal", p->name, (char *)0);
  *f = (struct mg_fault){.reason = MG_WHY_OVERLOADED, .delivered = MCPGW_DELIVERED_NO, .retry_after_ms = wait_of(cfg, p),
                         .text = "you make more requests than gateway.limits.rate allows"};
  return MCPGW_E_LIMIT;
}

uint64_t mg_core_rate_wait(struct mg_core *c, struct mg_slice principal, uint64_t now_ms) {
  if (!c->config->limits.rate.per_s) return 0;
  struct mg_principal *p = mg_sessions_principal(c->sessions, principal);
  if (!p || p->bucket.refused < PATIENCE) return 0;
  refill(c->config, p, now_ms);
  uint64_t ms = wait_of(c->config, p);
  if (ms) c->stats.rate_limited++;
  return ms;
}
