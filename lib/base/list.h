/* base/list: intrusive doubly linked list. A zeroed node is "not in a list". */
#ifndef MG_BASE_LIST_H
#define MG_BASE_LIST_H
#include <stddef.h>

struct mg_list {
  struct mg_list *next, *prev;
};
#define MG_CONTAINER(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))

void mg_list_init(struct mg_list *head);
void mg_list_add(struct mg_list *head, struct mg_list *node); /* at the end */
void mg_list_del(struct mg_list *node);                       /* zeroes the node; fine when not in a list */
int mg_list_empty(const struct mg_list *head);
struct mg_list *mg_list_first(const struct mg_list *head); /* NULL: empty */
struct mg_list *mg_list_last(const struct mg_list *head);  /* NULL: empty */
#endif
