/* tests/base/heap: order against a model, moving, deleting anywhere, the ceiling, allocation failures;
 * and the intrusive list beside it. */
#include "base/heap.h"

#include "base/list.h"
#include "base/mem.h"
#include "mcpgw/types.h"
#include "suites.h"

#define NODES 300

/* The heap's own order and every node's place. */
static void is_sound(const struct mg_heap *h) {
  for (size_t i = 0; i < h->n; i++) {
    ck_assert_uint_eq(h->v[i]->pos, i + 1);
    if (i) ck_assert_uint_le(h->v[(i - 1) / 2]->at_ms, h->v[i]->at_ms);
  }
}

START_TEST(stays_a_heap) {
  static struct mg_heap_node node[NODES];
  struct mg_heap h;
  uint64_t state = 3;
  size_t n = 0;
  mg_heap_init(&h, NODES);
  for (int step = 0; step < 100000; step++) {
    struct mg_heap_node *x = &node[base_next(&state) % NODES];
    if (base_next(&state) % 3) {
      n += x->pos == 0;
      ck_assert_int_eq(mg_heap_set(&h, x, base_next(&state) % 1000), MCPGW_OK);
    } else {
      n -= x->pos != 0;
      mg_heap_del(&h, x);
      ck_assert_uint_eq(x->pos, 0);
    }
    ck_assert_uint_eq(h.n, n);
    if (step % 97 == 0) is_sound(&h);
  }
  uint64_t last = 0;
  for (struct mg_heap_node *top; (top = mg_heap_top(&h)) != NULL; mg_heap_del(&h, top)) {
    ck_assert_uint_ge(top->at_ms, last);
    last = top->at_ms;
    n--;
  }
  ck_assert_uint_eq(n, 0);
  mg_heap_done(&h);
}
END_TEST

START_TEST(ceiling_and_end) {
  struct mg_heap_node node[4] = {{0}};
  struct mg_heap h;
  int64_t before = mg_mem_live();
  mg_heap_init(&h, 3);
  ck_assert_ptr_null(mg_heap_top(&h));
  for (uint64_t i = 0; i < 3; i++) ck_assert_int_eq(mg_heap_set(&h, &node[i], 9 - i), MCPGW_OK);
  ck_assert_int_eq(mg_heap_set(&h, &node[3], 0), MCPGW_E_LIMIT);
  ck_assert_uint_eq(node[3].pos, 0);
  ck_assert_int_eq(mg_heap_set(&h, &node[0], 1), MCPGW_OK); /* moving needs no room */
  ck_assert_ptr_eq(mg_heap_top(&h), &node[0]);
  ck_assert_int_eq(mg_heap_set(&h, &node[0], UINT64_MAX), MCPGW_OK);
  ck_assert_ptr_eq(mg_heap_top(&h), &node[2]);
  mg_heap_del(&h, &node[3]); /* not in it */
  ck_assert_uint_eq(h.n, 3);
  mg_heap_done(&h);
  for (int i = 0; i < 4; i++) ck_assert_uint_eq(node[i].pos, 0);
  mg_heap_done(&h);
  mg_heap_done(NULL);
  base_no_leak(before);
}
END_TEST

START_TEST(every_allocation_fails_in_turn) {
  int64_t before = mg_mem_live();
  uint64_t nth = 1;
  for (int over = 0; !over; nth++) {
    struct mg_heap_node node[NODES] = {{0}};
    struct mg_heap h;
    mg_heap_init(&h, NODES);
    mg_mem_fail_after(nth, 0);
    for (size_t i = 0; i < NODES; i++) {
      int rc = mg_heap_set(&h, &node[i], NODES - i);
      if (rc == MCPGW_OK) continue;
      ck_assert_int_eq(rc, MCPGW_E_NOMEM);
      ck_assert_uint_eq(node[i].pos, 0);
      ck_assert_uint_eq(h.n, i);
      is_sound(&h);
      ck_assert_int_eq(mg_heap_set(&h, &node[i], NODES - i), MCPGW_OK);
    }
    over = mg_mem_failed() == 0;
    is_sound(&h);
    mg_heap_done(&h);
    base_no_leak(before);
  }
  ck_assert_uint_gt(nth, 4);
}
END_TEST

struct item {
  int n;
  struct mg_list link;
};

START_TEST(a_list_keeps_order) {
  struct mg_list head, zero = {0};
  struct item item[3] = {{.n = 0}, {.n = 1}, {.n = 2}};
  mg_list_init(&head);
  ck_assert(mg_list_empty(&head) && mg_list_empty(&zero));
  ck_assert_ptr_null(mg_list_first(&head));
  for (int i = 0; i < 3; i++) mg_list_add(&head, &item[i].link);
  ck_assert(!mg_list_empty(&head));
  mg_list_del(&item[1].link);
  ck_assert(item[1].link.next == NULL && item[1].link.prev == NULL);
  mg_list_del(&item[1].link); /* fine when not in a list */
  ck_assert_int_eq(MG_CONTAINER(mg_list_first(&head), struct item, link)->n, 0);
  mg_list_del(&item[0].link);
  ck_assert_int_eq(MG_CONTAINER(mg_list_first(&head), struct item, link)->n, 2);
  mg_list_add(&head, &item[0].link);
  ck_assert_ptr_eq(head.prev, &item[0].link);
  mg_list_del(&item[2].link);
  mg_list_del(&item[0].link);
  ck_assert(mg_list_empty(&head));
}
END_TEST

Suite *base_heap_suite(void) {
  Suite *s = suite_create("base/heap and list");
  TCase *t = tcase_create("heap");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, stays_a_heap);
  tcase_add_test(t, ceiling_and_end);
  tcase_add_test(t, every_allocation_fails_in_turn);
  tcase_add_test(t, a_list_keeps_order);
  suite_add_tcase(s, t);
  return s;
}
