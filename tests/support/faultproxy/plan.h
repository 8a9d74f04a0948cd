/* faultproxy/plan: the faults by name, and who gets which: what was ordered, else the dice of the seed. */
#ifndef FAULTPROXY_PLAN_H
#define FAULTPROXY_PLAN_H
#include <stddef.h>
#include <stdint.h>

enum kind {
  F_PASS,     /* no fault */
  F_EARLY,    /* closes at the first byte of the request: nothing is forwarded */
  F_CUTREQ,   /* a bytes of the request are forwarded, then both sides are closed */
  F_DROP,     /* the request is swallowed; the connection stays */
  F_LATE,     /* the whole request is forwarded; closes at the first byte of the response */
  F_CUT,      /* a bytes of the response pass, then FIN */
  F_RST,      /* a bytes of the response pass, then RST to both */
  F_MUTE,     /* the request is forwarded, the response is swallowed; the connection stays */
  F_HALFOPEN, /* a bytes of the response pass, then nothing is read or written any more */
  F_DELAY,    /* the first byte of the response waits a ms */
  F_DRIP,     /* the response comes a bytes at a time, every b ms */
  F_DUP,      /* each event of an SSE response is sent twice */
  F_KINDS
};
extern const char *const fault_names[F_KINDS];
struct fault {
  int kind;
  long a, b;
};

struct plan {
  uint64_t seed;
  long span, ms;           /* places and delays are drawn from 0..span and 1..ms */
  int weights[F_KINDS];    /* of 1,000; what is left is F_PASS */
  struct fault always;     /* while kind is not F_PASS */
  struct fault next[256];  /* first in, first out; comes before all else */
  size_t first, waiting;
};
int plan_weights(struct plan *p, const char *text);        /* "cut=50,rst=20"; 0: it is no plan */
int plan_fault(const char *text, struct fault *f);         /* "cut 17"; 0: no such fault */
int plan_order(struct plan *p, const struct fault *f);     /* 0: too many wait */
void plan_draw(struct plan *p, uint64_t nth, struct fault *f); /* for the nth exchange that matters */
#endif
