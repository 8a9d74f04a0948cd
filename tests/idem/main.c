/* tests/idem/main: the delivery contract on its own, as a host with a proxy of its own would use it. */
#include <stdlib.h>

#include "rig.h"

#pragma GCC visibility push(default)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
  return "die_after_fork=0";
}
#pragma GCC visibility pop

int main(void) {
  SRunner *runner = srunner_create(idem_outcomes_suite());
  srunner_add_suite(runner, idem_races_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
