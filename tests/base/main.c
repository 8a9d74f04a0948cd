/* tests/base/main: runs every suite of lib/base and holds the two helpers they share. */
#include "suites.h"

#include <stdlib.h>

#include "base/mem.h"

uint64_t base_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state * 0x2545F4914F6CDD1Du >> 16;
}

void base_no_leak(int64_t before) {
  mg_mem_fail_after(0, 0);
  ck_assert_int_eq(mg_mem_live(), before);
}

int main(void) {
  SRunner *runner = srunner_create(base_mem_suite());
  srunner_add_suite(runner, base_slice_suite());
  srunner_add_suite(runner, base_buf_suite());
  srunner_add_suite(runner, base_blob_suite());
  srunner_add_suite(runner, base_map_suite());
  srunner_add_suite(runner, base_heap_suite());
  srunner_add_suite(runner, base_text_suite());
  srunner_add_suite(runner, base_id_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
