/* The json room's tests: one Check program, forked a case. It owns nothing but the list of suites. */
#include "json/json_suites.h"

int main(void) {
  SRunner *r = srunner_create(json_grammar_suite());
  srunner_add_suite(r, json_scan_suite());
  srunner_add_suite(r, json_member_suite());
  srunner_add_suite(r, json_splice_suite());
  srunner_add_suite(r, json_doc_suite());
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
