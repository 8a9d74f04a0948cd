/* tests/wire/main: runs every suite of lib/wire. */
#include <stdlib.h>
#include <string.h>

#include "mcpgw/types.h"
#include "wire/suites.h"

struct mg_slice wire_get(void *lines, const char *name, size_t *count) {
  struct mg_slice rest = mg_slice_z(lines), line, first = mg_slice(NULL, 0);
  *count = 0;
  while (mg_slice_cut(&rest, '\n', &line)) {
    const char *colon = memchr(line.ptr, ':', line.len);
    ck_assert_ptr_nonnull(colon);
    size_t n = (size_t)(colon - line.ptr);
    if (!mg_slice_ieqz(mg_slice_sub(line, 0, n), name)) continue;
    if (!(*count)++) first = mg_slice_trim(mg_slice_sub(line, n + 1, line.len));
  }
  return first;
}

void wire_must(const char *doc, struct mg_msg *m) {
  struct mg_wire_fault why;
  if (mg_wire_parse(mg_slice_z(doc), m, &why) != MCPGW_OK) ck_abort_msg("%s: %s", doc, why.text);
}

int wire_is_json(struct mg_slice text) {
  struct mg_span root;
  return mg_json_scan(text, NULL, NULL, 0, &root, NULL) == MCPGW_OK && root.type == MG_JSON_OBJECT;
}

int main(void) {
  SRunner *runner = srunner_create(wire_message_suite());
  srunner_add_suite(runner, wire_build_suite());
  srunner_add_suite(runner, wire_headers_suite());
  srunner_add_suite(runner, wire_params_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
