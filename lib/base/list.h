/* base/list: intrusive doubly linked list: links nodes embedded in their owners, owns nothing, allocates
 * nothing. An empty head points to itself, or is zeroed; a zeroed node is "not in a list". */
#ifndef MG_BASE_LIST_H
#define MG_BASE_LIST_H
#include <stddef.h>

struct mg_list {
  struct mg_list *next, *prev;
};
#define MG_CONTAINER(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))

static inline void mg_list_init(struct mg_list *head) {
  head->next = head->prev = head;
}

/* At the end. */
static inline void mg_list_add(struct mg_list *head, struct mg_list *node) {
  node->prev = head->prev;
  node->next = head;
  head->prev->next = node;
  head->prev = node;
}

/* Zeroes the node; fine when it is in no list. */
static inline void mg_list_del(struct mg_list *node) {
  if (node->next == NULL) return;
  node->next->prev = node->prev;
  node->prev->next = node->next;
  node->next = node->prev = NULL;
}

static inline int mg_list_empty(const struct mg_list *head) {
  return head->next == NULL || head->next == head;
}

/* NULL: empty. */
static inline struct mg_list *mg_list_first(const struct mg_list *head) {
  return mg_list_empty(head) ? NULL : head->next;
}

static inline struct mg_list *mg_list_last(const struct mg_list *head) {
  return mg_list_empty(head) ? NULL : head->prev;
}
#endif
