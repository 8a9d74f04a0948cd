/* core/link/breaker: when an upstream is left alone. One state an upstream:
 *
 *   CLOSED  it is asked as ever
 *   HELD    its last new link failed: links that are ready go on, new ones wait for until_ms
 *   OPEN    too many calls failed, or no link is left and the last one failed: nothing is sent before until_ms
 *   HALF    until_ms has come: it is asked by a handshake, or by ping or server/discover on a link that is
 *           there, never by a tool call; who has a ready link waits for the answer
 *
 * Pauses grow from one to the next (jittered) until a call is answered again. */
#ifndef MG_CORE_BREAKER_H
#define MG_CORE_BREAKER_H
#include "base/list.h"
#include "wire/build.h"

struct mg_call;
struct mg_core;
struct mg_ctx;
struct mg_link;
struct mg_leg;
struct mg_upstream;

enum { MG_BREAKER_CLOSED, MG_BREAKER_HELD, MG_BREAKER_OPEN, MG_BREAKER_HALF };
#define MG_BREAKER_SLOTS 10

struct mg_breaker {
  int state;
  uint64_t until_ms;
  unsigned streak;  /* pauses since a call was last answered */
  unsigned crashes; /* ready links in a row that died before they answered anything */
  unsigned probes;  /* HALF: questions under way */
  uint64_t slot;    /* the newest slot of the window, counted from the clock's zero */
  struct {
    uint32_t good, bad;
  } slots[MG_BREAKER_SLOTS];
  struct mg_list waiters; /* calls that wait for a probe */
  char why[200];          /* OPEN for failed calls: what was counted */
};

void mg_breaker_init(struct mg_breaker *b);
const char *mg_breaker_name(const struct mg_breaker *b); /* "closed" … */

/* ---- what happened ---- */
void mg_breaker_reply(struct mg_upstream *up, uint64_t now_ms); /* to something that a link carried after its handshake */
void mg_breaker_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms); /* counts if it is the upstream's */
void mg_breaker_greeted(struct mg_link *l);                     /* its handshake was answered, be it by a refusal */
void mg_breaker_lost(struct mg_link *l, int was_ready, uint64_t now_ms); /* it died of its own */
void mg_breaker_left(struct mg_link *l);                        /* it was let go before it could tell */
void mg_breaker_pause(struct mg_upstream *up, uint64_t now_ms); /* no link could be opened */
/* No new link for so long, whatever else is known: its processes crash. Those which are ready go on. */
void mg_breaker_hold(struct mg_upstream *up, uint64_t ms, const char *why, uint64_t now_ms);
void mg_breaker_none(struct mg_upstream *up); /* likewise, but the lack is our own (memory, a ceiling) */

/* ---- what may be done ---- */
uint64_t mg_breaker_wait(const struct mg_upstream *up, uint64_t now_ms); /* until it may be asked again; 0: now */
const char *mg_breaker_text(const struct mg_upstream *up);               /* why it is left alone; "": it is not */
/* May a new link be opened? 0: *why has text and retry_after_ms. A link that is opened is to be told of. */
int mg_breaker_may_open(struct mg_upstream *up, uint64_t now_ms, struct mg_fault *why);
void mg_breaker_opened(struct mg_link *l);
/* May something be asked on this context's link? OK; AGAIN: a probe is under way; CLOSED: no, see *why. */
int mg_breaker_ask(struct mg_upstream *up, struct mg_ctx *ctx, uint64_t now_ms, struct mg_fault *why);
#endif
