/* core/reload: what reload.c, drain.c and listen.c share. */
#ifndef MG_CORE_RELOAD_H
#define MG_CORE_RELOAD_H
#include "core/brain.h"

struct mg_refit { /* of a view of everything: by new index */
  const size_t *from;        /* the old index of the server of this name; SIZE_MAX: it is new */
  const unsigned char *kept; /* it is the very same object */
  size_t n;
};

/* ---- listen.c: subscriptions go on over another set of servers ---- */
struct mg_relist; /* one for each listener */
int mg_relist_plan(struct mg_core *c, size_t n, struct mg_relist **out);
void mg_relist_views(struct mg_relist *all, const struct mg_reload *r); /* before the switch */
void mg_relist_commit(struct mg_relist *all, const struct mg_refit *fit); /* after it */
void mg_relist_free(struct mg_relist *all);

/* ---- drain.c: servers that are not configured any more, or not like that ---- */
void mg_drain_begin(struct mg_core *c, struct mg_upstream *up, struct mg_upstream *heir, uint64_t now_ms);
void mg_drain_feeds(struct mg_core *c); /* nobody listens there any more */
#endif
