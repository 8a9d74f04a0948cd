/* core/link/breaker: owns the decision to leave an upstream alone, and to ask it again. It counts what links and
 * legs report and never sends a tool call to find out. */
#include "core/link/breaker.h"

#include <stdio.h>
#include <string.h>

#include "core/brain.h"

#define PAUSE_MS 500 /* after a link that could not be opened */
#define PAUSE_MAX_MS 30000
#define OPEN_MAX_MS 60000

void mg_breaker_init(struct mg_breaker *b) {
  mg_list_init(&b->waiters);
}

const char *mg_breaker_name(const struct mg_breaker *b) {
  static const char *const names[] = {"closed", "held", "open", "half-open"};
  return names[b->state];
}

/* ---- changes of state ---------------------------------------------------------------------------------------- */

static void log_state(struct mg_upstream *up, int level, const char *event, const char *text, uint64_t pause_ms) {
  char ms[24];
  snprintf(ms, sizeof ms, "%llu", (unsigned long long)pause_ms);
  mg_log(up->core->log, level, event, "upstream", up->cfg->name, "text", text, "pause_ms", ms, (char *)0);
}

/* Twice as long as the last one, half of it by chance: who was refused together does not come back together. */
static uint64_t next_pause(struct mg_breaker *b, uint64_t base, uint64_t max) {
  unsigned shift = b->streak < 6 ? b->streak : 6;
  uint64_t ms = base << shift;
  if (max < base) max = base;
  if (ms > max) ms = max;
  b->streak++;
  return ms / 2 + mg_jitter(ms / 2);
}

static void mend(struct mg_upstream *up) {
  struct mg_breaker *b = &up->breaker;
  if (b->state == MG_BREAKER_HALF || b->state == MG_BREAKER_OPEN)
    log_state(up, MG_LOG_INFO, "breaker.closed", "it answers again", 0);
  b->state = MG_BREAKER_CLOSED;
  b->until_ms = 0;
  b->probes = 0;
  b->why[0] = 0;
  memset(b->slots, 0, sizeof b->slots);
  mg_wake_later(&b->waiters);
}

/* Who waits for a place will not be served soon either: it is told now. */
static void trip(struct mg_upstream *up, uint64_t until_ms, uint64_t now_ms) {
  struct mg_breaker *b = &up->breaker;
  b->state = MG_BREAKER_OPEN;
  b->until_ms = until_ms;
  b->probes = 0;
  up->core->stats.breaker_opened++;
  log_state(up, MG_LOG_WARN, "breaker.open", b->why[0] ? b->why : up->error, until_ms - now_ms);
  mg_gates_flush(&up->gates);
  for (struct mg_list *n = up->core->links.next; n != &up->core->links; n = n->next) {
    struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    if (l->up == up) mg_gates_flush(&l->own);
  }
  mg_wake_later(&b->waiters);
}

/* ---- counting ------------------------------------------------------------------------------------------------ */

static void turn_window(struct mg_upstream *up, uint64_t now_ms) {
  struct mg_breaker *b = &up->breaker;
  uint64_t slot = now_ms / (up->cfg->breaker.window_ms / MG_BREAKER_SLOTS + 1);
  uint64_t steps = slot > b->slot ? slot - b->slot : 0;
  if (!steps) return;
  if (steps > MG_BREAKER_SLOTS) steps = MG_BREAKER_SLOTS;
  for (uint64_t i = 0; i < steps; i++) memset(&b->slots[(slot - i) % MG_BREAKER_SLOTS], 0, sizeof b->slots[0]);
  b->slot = slot;
}

void mg_breaker_reply(struct mg_upstream *up, uint64_t now_ms) {
  struct mg_breaker *b = &up->breaker;
  b->crashes = 0;
  if (b->state != MG_BREAKER_CLOSED) return; /* a late answer to what was asked before */
  b->streak = 0;
  turn_window(up, now_ms);
  b->slots[b->slot % MG_BREAKER_SLOTS].good++;
}

/* An error of the upstream's own is an answer; a cancel, an end that we want, or want of our own memory says
 * nothing about it; nor does a call that had spent most of its time waiting for a place. */
static int is_its_fault(const struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  int hello = !leg->call && (leg->method == MG_M_INITIALIZE || leg->method == MG_M_DISCOVER || leg->method == MG_M_PING);
  if (hello || leg->method == MG_M_LISTEN || leg->link->core->ending) return 0;
  switch (f->reason) {
  case MG_WHY_UPSTREAM_TIMEOUT: return !leg->limit_ms || now_ms - leg->since_ms >= leg->limit_ms / 2 || leg->until_ms > now_ms;
  case MG_WHY_UPSTREAM_PROTOCOL: return f->code < 400 || f->code >= 500; /* a refusal by status is an answer too */
  case MG_WHY_UPSTREAM_UNAVAILABLE: return f->code != 429;
  case MG_WHY_OUTCOME_UNKNOWN: return 1;
  default: return 0;
  }
}

void mg_breaker_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  struct mg_upstream *up = leg->link->up;
  struct mg_breaker *b = &up->breaker;
  const struct mg_cfg_breaker *cfg = &up->cfg->breaker;
  uint64_t good = 0, bad = 0;
  if (!cfg->enabled || !is_its_fault(leg, f, now_ms) || b->state == MG_BREAKER_OPEN || b->state == MG_BREAKER_HALF) return;
  if (leg->link->state == MG_LINK_DEAD && leg->link->counted++) return; /* one death, however many calls it takes along */
  turn_window(up, now_ms);
  b->slots[b->slot % MG_BREAKER_SLOTS].bad++;
  for (int i = 0; i < MG_BREAKER_SLOTS; i++) {
    good += b->slots[i].good;
    bad += b->slots[i].bad;
  }
  if (good + bad < cfg->min_calls || bad * 100 < (good + bad) * cfg->failure_percent) return;
  snprintf(b->why, sizeof b->why, "upstream \"%.80s\" is left alone for a while: %llu of its last %llu calls failed", up->cfg->name,
           (unsigned long long)bad, (unsigned long long)(good + bad));
  trip(up, now_ms + next_pause(b, cfg->open_ms, OPEN_MAX_MS), now_ms);
}

/* ---- links ----------------------------------------------------------------------------------------------------- */

void mg_breaker_none(struct mg_upstream *up) {
  struct mg_breaker *b = &up->breaker;
  if (b->state == MG_BREAKER_HALF && !b->probes) b->state = MG_BREAKER_OPEN;
}

void mg_breaker_pause(struct mg_upstream *up, uint64_t now_ms) {
  struct mg_breaker *b = &up->breaker;
  /* of the same mishap, or one that was being opened before: the links of many sessions die together */
  if (b->state == MG_BREAKER_OPEN || (b->state == MG_BREAKER_HELD && now_ms < b->until_ms)) return;
  uint64_t base = b->why[0] ? up->cfg->breaker.open_ms : PAUSE_MS; /* calls failed, and so did the probe */
  uint64_t until = now_ms + next_pause(b, base, b->why[0] ? OPEN_MAX_MS : PAUSE_MAX_MS);
  if (b->state == MG_BREAKER_HALF || (up->cfg->breaker.enabled && !up->n_ready)) {
    trip(up, until, now_ms);
  } else {
    b->state = MG_BREAKER_HELD;
    b->until_ms = until;
  }
}

void mg_breaker_hold(struct mg_upstream *up, uint64_t ms, const char *why, uint64_t now_ms) {
  struct mg_breaker *b = &up->breaker;
  if (b->state == MG_BREAKER_OPEN && b->until_ms >= now_ms + ms) return;
  snprintf(b->why, sizeof b->why, "%s", why);
  if (up->cfg->breaker.enabled && !up->n_ready) {
    trip(up, now_ms + ms, now_ms);
  } else {
    b->state = MG_BREAKER_HELD;
    b->until_ms = now_ms + ms;
  }
}

void mg_breaker_opened(struct mg_link *l) {
  struct mg_breaker *b = &l->up->breaker;
  if (b->state != MG_BREAKER_HALF) return;
  l->probes = 1;
  b->probes++;
}

static void half(struct mg_upstream *up) {
  up->breaker.state = MG_BREAKER_HALF;
  log_state(up, MG_LOG_INFO, "breaker.half_open", "it is asked again", 0);
}

void mg_breaker_greeted(struct mg_link *l) {
  struct mg_upstream *up = l->up;
  l->probes = 0;
  if (up->breaker.state == MG_BREAKER_HELD || up->breaker.state == MG_BREAKER_HALF) mend(up);
}

/* A server that greets and dies before its first answer, time and again (on tools/list, say), would be
 * started for ever by the call that waits for the answer. Once is forgiven: links are replaced silently. */
void mg_breaker_lost(struct mg_link *l, int was_ready, uint64_t now_ms) {
  struct mg_breaker *b = &l->up->breaker;
  if (!was_ready || (!l->answered && b->crashes++ > 0)) mg_breaker_pause(l->up, now_ms);
  else mg_breaker_left(l);
  l->probes = 0;
}

void mg_breaker_left(struct mg_link *l) {
  struct mg_breaker *b = &l->up->breaker;
  if (!l->probes || b->state != MG_BREAKER_HALF) return;
  l->probes = 0;
  if (--b->probes) return;
  b->state = MG_BREAKER_OPEN; /* its time has come already: the next call asks */
  mg_wake_later(&b->waiters);
}

uint64_t mg_breaker_wait(const struct mg_upstream *up, uint64_t now_ms) {
  return up->breaker.until_ms > now_ms ? up->breaker.until_ms - now_ms : 0;
}

const char *mg_breaker_text(const struct mg_upstream *up) {
  return up->breaker.why[0] ? up->breaker.why : up->error;
}

static int refused(struct mg_upstream *up, uint64_t now_ms, struct mg_fault *why) {
  *why = (struct mg_fault){.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO, .upstream = up->cfg->name};
  const char *text = mg_breaker_text(up);
  why->text = *text ? text : "the upstream failed a moment ago";
  why->retry_after_ms = mg_breaker_wait(up, now_ms);
  if (up->late) { /* it was asked, and this call has waited for it */
    why->reason = MG_WHY_UPSTREAM_TIMEOUT;
    why->limit = up->late;
    why->limit_ms = up->late_ms;
  }
  up->core->stats.breaker_refused++;
  return 0;
}

int mg_breaker_may_open(struct mg_upstream *up, uint64_t now_ms, struct mg_fault *why) {
  struct mg_breaker *b = &up->breaker;
  if (b->state == MG_BREAKER_CLOSED || b->state == MG_BREAKER_HALF) return 1;
  if (now_ms < b->until_ms) return refused(up, now_ms, why);
  if (b->state == MG_BREAKER_OPEN) half(up);
  return 1;
}

/* ---- asking on a link that is there --------------------------------------------------------------------------------- */

static void on_answer(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  (void)bytes, (void)m, (void)status, (void)now_ms; /* an error is an answer too */
  mg_breaker_greeted(leg->link);
}

static void on_silence(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  if (!l->probes) return;
  if (f->reason == MG_WHY_CONTEXT_ENDED || l->core->ending) mg_breaker_left(l);
  else mg_breaker_pause(l->up, now_ms);
  l->probes = 0;
}

static const struct mg_leg_ops probe_ops = {on_answer, on_silence};

static void probe(struct mg_link *l, uint64_t now_ms) {
  half(l->up);
  mg_breaker_opened(l);
  if (mg_handshake_probe(l, &probe_ops, now_ms) == MCPGW_OK) return;
  l->probes = 0;
  mg_breaker_pause(l->up, now_ms);
}

int mg_breaker_ask(struct mg_upstream *up, struct mg_ctx *ctx, uint64_t now_ms, struct mg_fault *why) {
  struct mg_breaker *b = &up->breaker;
  if (b->state == MG_BREAKER_CLOSED || b->state == MG_BREAKER_HELD) return MCPGW_OK;
  struct mg_link *l = mg_link_peek(up->core, ctx, up->index);
  if (b->state == MG_BREAKER_OPEN && now_ms >= b->until_ms && l) probe(l, now_ms);
  if (b->state == MG_BREAKER_OPEN && now_ms < b->until_ms) {
    refused(up, now_ms, why);
    return MCPGW_E_CLOSED;
  }
  return l && b->state == MG_BREAKER_HALF ? MCPGW_E_AGAIN : MCPGW_OK; /* without one its handshake asks */
}
