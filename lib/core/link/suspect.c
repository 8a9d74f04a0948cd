/* core/link/suspect: owns what an upstream is suspected of: that its processes die as fast as they are started, that
 * one of them hears nothing any more, that it babbles. What follows is the breaker's, the link's and the log's. */
#include <stdio.h>
#include <string.h>

#include "core/brain.h"

#define YOUNG_MS 10000       /* who dies within this after its start, dies young */
#define FAR_APART_MS 120000  /* such deaths so far apart are no loop */
#define LOOP 5               /* young deaths that make one */
#define HOLD_MS 1000         /* no process is started for so long, then twice as long … */
#define HOLD_MAX_MS 60000
#define TOLD_PER_S 10

/* ---- crash loops --------------------------------------------------------------------------------------------- */

static void hold(struct mg_upstream *up, uint64_t now_ms) {
  struct mg_suspicion *s = &up->suspicion;
  uint64_t ms = (uint64_t)HOLD_MS << (s->loops < 6 ? s->loops : 6);
  char why[MG_ERR_MAX];
  if (ms > HOLD_MAX_MS) ms = HOLD_MAX_MS;
  s->loops++;
  ms = ms / 2 + mg_jitter(ms / 2);
  snprintf(why, sizeof why, "%u processes of it ended within %d s of their start, one after the other; the last: %.120s", s->young,
           YOUNG_MS / 1000, up->error);
  up->core->stats.crash_loops++;
  mg_log(up->core->log, MG_LOG_ERROR, "upstream.crash_loop", "upstream", up->cfg->name, "text", why, (char *)0);
  mg_breaker_hold(up, ms, why, now_ms);
}

/* Only who was started after the last death counts: many that die together are one mishap. */
void mg_suspect_death(struct mg_link *l, uint64_t now_ms) {
  struct mg_suspicion *s = &l->up->suspicion;
  if (l->up->cfg->kind != MG_SERVER_STDIO || l->core->ending) return;
  if (now_ms - l->opened_ms >= YOUNG_MS || now_ms - s->died_ms > FAR_APART_MS) s->young = s->loops = 0;
  if (now_ms - l->opened_ms >= YOUNG_MS || (s->young && l->opened_ms < s->died_ms)) return;
  s->died_ms = now_ms;
  if (++s->young >= LOOP) hold(l->up, now_ms);
}

/* ---- deaf processes ---------------------------------------------------------------------------------------------- */

static void on_answer(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int status, uint64_t now_ms) {
  (void)bytes, (void)m, (void)status, (void)now_ms; /* an error is an answer too */
  leg->link->asked = 0;
}

static void on_silence(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms) {
  struct mg_link *l = leg->link;
  l->asked = 0;
  if (f->reason != MG_WHY_UPSTREAM_TIMEOUT || l->heard_ms >= leg->since_ms) return;
  l->core->stats.links_deaf++;
  mg_link_die(l, "it answers nothing any more, not even a ping; its process is killed", MCPGW_DELIVERED_UNKNOWN, 0, now_ms);
}

static const struct mg_leg_ops ask_ops = {on_answer, on_silence};

/* A call timed out. A process from which nothing at all has come since it was sent may be stopped or stuck:
 * every further call would only wait its time out. So it is asked; one that is merely slow has as long to
 * answer as for its greeting. */
void mg_suspect_silence(struct mg_link *l, uint64_t since_ms, uint64_t now_ms) {
  if (l->up->cfg->kind != MG_SERVER_STDIO || l->state != MG_LINK_READY || l->asked || l->heard_ms > since_ms) return;
  l->asked = mg_handshake_probe(l, &ask_ops, now_ms) == MCPGW_OK;
}

/* ---- babble ---------------------------------------------------------------------------------------------------- */

int mg_suspect_babble(struct mg_upstream *up, uint64_t now_ms) {
  struct mg_suspicion *s = &up->suspicion;
  char n[24];
  if (now_ms - s->told_ms >= 1000) {
    snprintf(n, sizeof n, "%llu", (unsigned long long)s->untold);
    if (s->untold) mg_log(up->core->log, MG_LOG_WARN, "upstream.protocol", "upstream", up->cfg->name, "not_shown", n, (char *)0);
    s->told_ms = now_ms;
    s->told = 0;
    s->untold = 0;
  }
  if (s->told++ < TOLD_PER_S) return 1;
  s->untold++;
  return 0;
}
