/* tests/store/main: runs every suite of lib/store. */
#include <stdlib.h>

#include "suites.h"

/* These tests fork processes that open a store of their own, which is what they are about. */
#pragma GCC visibility push(default)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
  return "die_after_fork=0";
}
#pragma GCC visibility pop

int main(void) {
  SRunner *runner = srunner_create(store_basic_suite());
  srunner_add_suite(runner, store_threads_suite());
  srunner_add_suite(runner, store_full_suite());
  srunner_add_suite(runner, store_crash_suite());
  srunner_add_suite(runner, store_power_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
