/* loop/inside: what loop.c and child.c share. Nobody outside the room includes it. */
#ifndef MG_LOOP_INSIDE_H
#define MG_LOOP_INSIDE_H
#include "base/list.h"
#include "loop/loop.h"

/* Every process of this loop which has not been reaped: struct mg_child by its node. */
struct mg_children {
  struct mg_list all;
  int count;
  struct mg_timer *sweep; /* adopt.c; NULL: we adopt nobody */
  int rounds;             /* of a sweep, still to come */
};
struct mg_children *mg_loop_children(struct mg_loop *l);
/* Called by mg_loop_free while the loop can still turn: no process is left running behind it. */
void mg_children_finish(struct mg_loop *l);
int mg_child_knows(struct mg_loop *l, int pid);
void mg_adopt_sweep(struct mg_loop *l); /* a launcher was killed */
void mg_adopt_finish(struct mg_loop *l);
#endif
