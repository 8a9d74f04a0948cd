/* Runs the suites of room transport. */
#include <stdlib.h>

#include "transport/suites.h"

int main(void) {
  SRunner *r = srunner_create(transport_http_suite());
  int failed;
  srunner_add_suite(r, transport_stdio_suite());
  srunner_add_suite(r, transport_stdio_life_suite());
  srunner_add_suite(r, transport_stdio_flood_suite());
  srunner_add_suite(r, transport_memory_suite());
  srunner_add_suite(r, transport_peek_suite());
  srunner_run_all(r, CK_ENV);
  failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
