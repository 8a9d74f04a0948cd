/* tests/core/main: runs every suite of lib/core. */
#include "core/suites.h"

#include <stdlib.h>

int main(void) {
  SRunner *runner = srunner_create(core_legacy_suite());
  srunner_add_suite(runner, core_links_suite());
  srunner_add_suite(runner, core_lists_suite());
  srunner_add_suite(runner, core_cache_suite());
  srunner_add_suite(runner, core_known_suite());
  srunner_add_suite(runner, core_fresh_suite());
  srunner_add_suite(runner, core_modern_suite());
  srunner_add_suite(runner, core_listen_suite());
  srunner_add_suite(runner, core_feeds_suite());
  srunner_add_suite(runner, core_contexts_suite());
  srunner_add_suite(runner, core_limits_suite());
  srunner_add_suite(runner, core_retry_suite());
  srunner_add_suite(runner, core_keyed_suite());
  srunner_add_suite(runner, core_registry_suite());
  srunner_add_suite(runner, core_handles_suite());
  srunner_add_suite(runner, core_sharing_suite());
  srunner_add_suite(runner, core_suspect_suite());
  srunner_add_suite(runner, core_random_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
