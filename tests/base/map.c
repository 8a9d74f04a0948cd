/* tests/base/map: against a model, iteration with deletes, the ceiling, churn, every allocation failing. */
#include "base/map.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "mcpgw/types.h"
#include "suites.h"

#define KEYS 600

/* Key i: lengths on both sides of the inline limit, a common prefix, a NUL byte inside. */
static struct mg_slice key_at(size_t i, char out[96]) {
  size_t len = 4 + i % 67;
  memset(out, 'k', 96);
  out[0] = (char)i;
  out[1] = '\0';
  out[2] = (char)(i >> 8);
  return mg_slice(out, len);
}

static int values[KEYS];

START_TEST(agrees_with_a_model) {
  int64_t before = mg_mem_live();
  struct mg_map *m = mg_map_new(KEYS);
  unsigned char in[KEYS] = {0};
  size_t n = 0;
  uint64_t state = 7;
  char text[96];
  for (int step = 0; step < 300000; step++) {
    size_t bias = (size_t)step / 30000 % 2; /* phases that mostly fill and mostly empty */
    size_t i = base_next(&state) % KEYS, op = base_next(&state) % 4;
    struct mg_slice key = key_at(i, text);
    if (op == 0) {
      ck_assert_ptr_eq(mg_map_get(m, key), in[i] ? &values[i] : NULL);
    } else if (op == 1 + bias || op == 3) {
      ck_assert_int_eq(mg_map_put(m, key, &values[i]), in[i] ? MCPGW_E_EXISTS : MCPGW_OK);
      n += !in[i];
      in[i] = 1;
    } else {
      ck_assert_ptr_eq(mg_map_del(m, key), in[i] ? &values[i] : NULL);
      n -= in[i];
      in[i] = 0;
    }
    ck_assert_uint_eq(mg_map_count(m), n);
    if (step % 1000) continue;
    for (i = 0; i < KEYS; i++) ck_assert_ptr_eq(mg_map_get(m, key_at(i, text)), in[i] ? &values[i] : NULL);
  }
  mg_map_free(m);
  mg_map_free(NULL);
  base_no_leak(before);
}
END_TEST

static struct mg_map *filled(size_t n) {
  char text[96];
  struct mg_map *m = mg_map_new(n);
  for (size_t i = 0; i < n; i++) ck_assert_int_eq(mg_map_put(m, key_at(i, text), &values[i]), MCPGW_OK);
  return m;
}

START_TEST(iterates_over_each_once) {
  struct mg_map *m = filled(KEYS);
  unsigned char seen[KEYS] = {0};
  char text[96];
  struct mg_slice key;
  size_t it = 0, n = 0;
  for (int *v; (v = mg_map_next(m, &it, &key)) != NULL; n++) {
    size_t i = (size_t)(v - values);
    ck_assert_uint_eq(seen[i]++, 0);
    ck_assert(mg_slice_eq(key, key_at(i, text)));
  }
  ck_assert_uint_eq(n, KEYS);
  ck_assert_ptr_null(mg_map_next(m, &it, NULL)); /* the end stays the end */
  mg_map_free(m);
  m = mg_map_new(1);
  it = 0;
  ck_assert_ptr_null(mg_map_next(m, &it, &key));
  mg_map_free(m);
}
END_TEST

START_TEST(deletes_the_current_while_iterating) {
  for (size_t every = 1; every < 5; every++) {
    struct mg_map *m = filled(KEYS);
    unsigned char seen[KEYS] = {0};
    struct mg_slice key;
    size_t it = 0, n = 0, gone = 0;
    for (int *v; (v = mg_map_next(m, &it, &key)) != NULL; n++) {
      ck_assert_uint_eq(seen[v - values]++, 0);
      if (n % every) continue;
      ck_assert_ptr_eq(mg_map_del(m, key), v); /* by the entry's own key */
      gone++;
    }
    ck_assert_uint_eq(n, KEYS);
    ck_assert_uint_eq(mg_map_count(m), KEYS - gone);
    mg_map_free(m);
  }
}
END_TEST

START_TEST(the_ceiling_holds) {
  char text[96];
  struct mg_map *m = filled(10);
  ck_assert_int_eq(mg_map_put(m, key_at(10, text), text), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_map_put(m, key_at(3, text), text), MCPGW_E_EXISTS);
  ck_assert_ptr_eq(mg_map_get(m, key_at(3, text)), &values[3]);
  ck_assert_ptr_eq(mg_map_del(m, key_at(3, text)), &values[3]);
  ck_assert_int_eq(mg_map_put(m, key_at(10, text), text), MCPGW_OK);
  ck_assert_int_eq(mg_map_put(m, key_at(11, text), NULL), MCPGW_E_INVALID);
  mg_map_free(m);
  m = mg_map_new(0);
  ck_assert_int_eq(mg_map_put(m, key_at(1, text), text), MCPGW_E_LIMIT);
  ck_assert_ptr_null(mg_map_get(m, key_at(1, text)));
  ck_assert_ptr_null(mg_map_del(m, key_at(1, text)));
  mg_map_free(m);
}
END_TEST

START_TEST(odd_keys) {
  struct mg_map *m = mg_map_new(10);
  int a, b, c;
  ck_assert_int_eq(mg_map_put(m, mg_slice(NULL, 0), &a), MCPGW_OK);
  ck_assert_int_eq(mg_map_put(m, mg_slice("", 1), &b), MCPGW_OK);
  ck_assert_int_eq(mg_map_put(m, mg_slice("\0", 2), &c), MCPGW_OK);
  ck_assert_ptr_eq(mg_map_get(m, mg_slice_z("")), &a);
  ck_assert_ptr_eq(mg_map_get(m, mg_slice("\0x", 1)), &b);
  ck_assert_ptr_eq(mg_map_get(m, mg_slice("\0", 2)), &c);
  mg_map_free(m);
}
END_TEST

START_TEST(keys_are_copied) {
  char longer[64], brief[8] = "brief";
  struct mg_map *m = mg_map_new(10);
  memset(longer, 'x', sizeof longer);
  mg_map_put(m, mg_slice(longer, sizeof longer), &values[0]);
  mg_map_put(m, mg_slice_z(brief), &values[1]);
  memset(longer, 'y', sizeof longer);
  brief[0] = 'B';
  ck_assert_ptr_null(mg_map_get(m, mg_slice(longer, sizeof longer)));
  ck_assert_ptr_null(mg_map_get(m, mg_slice_z(brief)));
  ck_assert_ptr_eq(mg_map_get(m, MG_LIT("brief")), &values[1]);
  mg_map_free(m);
}
END_TEST

START_TEST(integer_keys) {
  static char v[100000];
  struct mg_map *m = mg_map_new(sizeof v);
  for (uint64_t i = 0; i < sizeof v; i++) ck_assert_int_eq(mg_map_putu(m, i << 20, &v[i]), MCPGW_OK);
  ck_assert_int_eq(mg_map_putu(m, 0, v), MCPGW_E_EXISTS);
  for (uint64_t i = 0; i < sizeof v; i += 2) ck_assert_ptr_eq(mg_map_delu(m, i << 20), &v[i]);
  for (uint64_t i = 0; i < sizeof v; i++) ck_assert_ptr_eq(mg_map_getu(m, i << 20), i % 2 ? &v[i] : NULL);
  ck_assert_int_eq(mg_map_put(m, mg_slice_z("x"), v), MCPGW_E_INVALID); /* one kind or the other */
  ck_assert_ptr_null(mg_map_get(m, mg_slice_z("x")));
  ck_assert_ptr_null(mg_map_del(m, mg_slice("\0\0\x10\0\0\0\0\0", 8))); /* the bytes of a key that is there */
  ck_assert_ptr_null(mg_map_getu(m, UINT64_MAX));
  for (uint64_t i = 1; i < sizeof v; i += 2) ck_assert_ptr_eq(mg_map_delu(m, i << 20), &v[i]);
  ck_assert_int_eq(mg_map_put(m, mg_slice_z("x"), v), MCPGW_OK); /* empty: it may become the other */
  ck_assert_ptr_eq(mg_map_get(m, mg_slice_z("x")), v);
  mg_map_free(m);
}
END_TEST

/* With tombstones the probe runs would grow until a rehash or for ever; here churn costs nothing. */
START_TEST(churn_leaves_nothing_behind) {
  struct mg_map *m = mg_map_new(8);
  for (uint64_t i = 0; i < 4; i++) mg_map_putu(m, i, m);
  uint64_t made = mg_mem_count();
  for (uint64_t i = 4; i < 1000000; i++) {
    ck_assert_int_eq(mg_map_putu(m, i, m), MCPGW_OK);
    ck_assert_ptr_eq(mg_map_delu(m, i - 4), m);
    ck_assert_ptr_null(mg_map_getu(m, i + 1));
  }
  ck_assert_uint_eq(mg_mem_count(), made);
  ck_assert_uint_eq(mg_map_count(m), 4);
  mg_map_free(m);
}
END_TEST

START_TEST(ids_cost_no_allocation_once_grown) {
  char id[33];
  struct mg_map *m = filled(500);
  char text[96];
  for (size_t i = 0; i < 500; i++) mg_map_del(m, key_at(i, text));
  uint64_t made = mg_mem_count();
  for (unsigned i = 0; i < 300; i++) {
    snprintf(id, sizeof id, "%032x", i);
    ck_assert_int_eq(mg_map_put(m, mg_slice_z(id), m), MCPGW_OK);
  }
  ck_assert_uint_eq(mg_mem_count(), made);
  mg_map_free(m);
}
END_TEST

START_TEST(every_allocation_fails_in_turn) {
  int64_t before = mg_mem_live();
  char text[96];
  uint64_t nth = 1;
  for (int over = 0; !over; nth++) {
    mg_mem_fail_after(nth, 0);
    struct mg_map *m = mg_map_new(KEYS);
    for (size_t i = 0; m && i < KEYS; i++) {
      int rc = mg_map_put(m, key_at(i, text), &values[i]);
      if (rc != MCPGW_OK) {
        ck_assert_int_eq(rc, MCPGW_E_NOMEM);
        ck_assert_uint_eq(mg_map_count(m), i); /* as it was */
        ck_assert_ptr_null(mg_map_get(m, key_at(i, text)));
        ck_assert_int_eq(mg_map_put(m, key_at(i, text), &values[i]), MCPGW_OK);
      }
    }
    over = mg_mem_failed() == 0;
    for (size_t i = 0; m && i < KEYS; i++) ck_assert_ptr_eq(mg_map_get(m, key_at(i, text)), &values[i]);
    ck_assert(m != NULL || nth == 1);
    mg_map_free(m);
    base_no_leak(before);
  }
  ck_assert_uint_gt(nth, 100);
}
END_TEST

Suite *base_map_suite(void) {
  Suite *s = suite_create("base/map");
  TCase *t = tcase_create("map");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, agrees_with_a_model);
  tcase_add_test(t, iterates_over_each_once);
  tcase_add_test(t, deletes_the_current_while_iterating);
  tcase_add_test(t, the_ceiling_holds);
  tcase_add_test(t, odd_keys);
  tcase_add_test(t, keys_are_copied);
  tcase_add_test(t, integer_keys);
  tcase_add_test(t, churn_leaves_nothing_behind);
  tcase_add_test(t, ids_cost_no_allocation_once_grown);
  tcase_add_test(t, every_allocation_fails_in_turn);
  suite_add_tcase(s, t);
  return s;
}
