/* tests/http/main: runs every suite of lib/http. */
#include "http/suites.h"

#include <stdlib.h>

int main(void) {
  SRunner *runner = srunner_create(http_server_suite());
  srunner_add_suite(runner, http_sse_suite());
  srunner_add_suite(runner, http_client_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
