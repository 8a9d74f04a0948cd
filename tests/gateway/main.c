/* tests/gateway/main: runs every suite of lib/gateway and lib/api. */
#include "gateway/suites.h"

#include <stdlib.h>

int main(void) {
  SRunner *runner = srunner_create(gateway_endpoint_suite());
  srunner_add_suite(runner, gateway_streams_suite());
  srunner_add_suite(runner, gateway_bytes_suite());
  srunner_add_suite(runner, gateway_clients_suite());
  srunner_add_suite(runner, gateway_guest_suite());
  srunner_add_suite(runner, gateway_admin_suite());
  srunner_add_suite(runner, gateway_contexts_suite());
  srunner_add_suite(runner, gateway_many_suite());
  srunner_add_suite(runner, gateway_keyed_suite());
  srunner_add_suite(runner, gateway_reload_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
