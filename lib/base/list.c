/* base/list: links nodes embedded in their owners. Owns nothing, allocates nothing; the head points to
 * itself when empty and a node out of any list is all zero. */
#include "base/list.h"

void mg_list_init(struct mg_list *head) {
  head->next = head->prev = head;
}

void mg_list_add(struct mg_list *head, struct mg_list *node) {
  node->prev = head->prev;
  node->next = head;
  head->prev->next = node;
  head->prev = node;
}

void mg_list_del(struct mg_list *node) {
  if (node->next == NULL) return;
  node->next->prev = node->prev;
  node->prev->next = node->next;
  node->next = node->prev = NULL;
}

int mg_list_empty(const struct mg_list *head) {
  return head->next == NULL || head->next == head;
}

struct mg_list *mg_list_first(const struct mg_list *head) {
  return mg_list_empty(head) ? NULL : head->next;
}

struct mg_list *mg_list_last(const struct mg_list *head) {
  return mg_list_empty(head) ? NULL : head->prev;
}
