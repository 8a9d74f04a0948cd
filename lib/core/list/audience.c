/* core/list/audience: owns whose a list is. What a shared modern link lists is everybody's, until the server calls it
 * private (2026-07-28, "Cache Scope Field"): then each principal has tables of its own on the link, and what one
 * was shown never reaches another. Links that are one caller's anyway have one set of tables. */
#include <string.h>

#include "core/brain.h"

#define MAX_AUDIENCES 256 /* principals of one link with lists of their own */

struct mg_audience {
  struct mg_list node; /* in the link: least recently used first */
  char *principal;
  struct mg_table lists[MG_LIST_KINDS];
};

struct mg_table *mg_tables_new(void) {
  struct mg_table *t = mg_calloc(MG_LIST_KINDS, sizeof *t);
  for (int k = 0; t && k < MG_LIST_KINDS; k++) mg_list_init(&t[k].waiters);
  return t;
}

static void audience_free(struct mg_link *l, struct mg_audience *a) {
  for (int k = 0; k < MG_LIST_KINDS; k++) mg_table_clear(&a->lists[k]);
  mg_map_del(l->audiences, mg_slice_z(a->principal));
  mg_list_del(&a->node);
  mg_free(a->principal);
  mg_free(a);
}

static int is_idle(const struct mg_audience *a) {
  for (int k = 0; k < MG_LIST_KINDS; k++)
    if (a->lists[k].load || !mg_list_empty(&a->lists[k].waiters)) return 0;
  return 1;
}

static int make_room(struct mg_link *l) {
  if (!l->audiences && !(l->audiences = mg_map_new(MAX_AUDIENCES))) return MCPGW_E_NOMEM;
  for (struct mg_list *n = l->audience.next; n != &l->audience && mg_map_count(l->audiences) >= MAX_AUDIENCES;) {
    struct mg_audience *a = MG_CONTAINER(n, struct mg_audience, node);
    n = n->next;
    if (is_idle(a)) audience_free(l, a);
  }
  return mg_map_count(l->audiences) < MAX_AUDIENCES ? MCPGW_OK : MCPGW_E_LIMIT;
}

static struct mg_audience *audience_new(struct mg_link *l, const char *principal) {
  if (make_room(l) != MCPGW_OK) return NULL;
  struct mg_audience *a = mg_calloc(1, sizeof *a);
  if (!a) return NULL;
  a->principal = mg_strdup(principal);
  if (!a->principal || mg_map_put(l->audiences, mg_slice_z(principal), a) != MCPGW_OK) {
    mg_free(a->principal);
    mg_free(a);
    return NULL;
  }
  for (int k = 0; k < MG_LIST_KINDS; k++) mg_list_init(&a->lists[k].waiters);
  mg_list_add(&l->audience, &a->node);
  return a;
}

int mg_audience_is_common(const struct mg_link *l) {
  return l->modern && l->scope == MG_ISO_SHARED;
}

struct mg_table *mg_audience_own(struct mg_link *l, int kind, const char *principal) {
  struct mg_audience *a = l->audiences ? mg_map_get(l->audiences, mg_slice_z(principal)) : NULL;
  if (!a && !(a = audience_new(l, principal))) return NULL;
  mg_list_del(&a->node);
  mg_list_add(&l->audience, &a->node);
  return &a->lists[kind];
}

/* Without memory it is the common table, in which nothing private ever stands. */
struct mg_table *mg_catalog_table(struct mg_link *l, int kind, const struct mg_call *call) {
  struct mg_table *common = &l->lists[kind], *own;
  if (!common->is_private || !mg_audience_is_common(l)) return common;
  own = mg_audience_own(l, kind, mg_call_principal(call));
  return own ? own : common;
}

struct mg_table *mg_audience_next(struct mg_link *l, int kind, struct mg_list **at) {
  if (!l->lists) return NULL;
  if (!*at) {
    *at = &l->audience;
    return &l->lists[kind];
  }
  *at = (*at)->next;
  return *at == &l->audience ? NULL : &MG_CONTAINER(*at, struct mg_audience, node)->lists[kind];
}

void mg_audience_done(struct mg_link *l) {
  struct mg_list *node;
  while (l->audience.next && (node = mg_list_first(&l->audience))) audience_free(l, MG_CONTAINER(node, struct mg_audience, node));
  mg_map_free(l->audiences);
  l->audiences = NULL;
}
