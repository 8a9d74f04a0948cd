/* tests/crypt/main: runs every suite of lib/crypt. */
#include <stdlib.h>

#include "suites.h"

int main(void) {
  SRunner *runner = srunner_create(crypt_seal_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
