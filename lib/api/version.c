/* api/version: the doors of <mcpgw/version.h> and <mcpgw/types.h>. */
#include "mcpgw/version.h"

#include "base/err.h"

const char *mcpgw_version(void) {
  return MCPGW_VERSION;
}

uint32_t mcpgw_version_number(void) {
  return MCPGW_VERSION_NUMBER;
}

const char *mcpgw_strerror(int code) {
  return mg_rc_name(code);
}
