/* <mcpgw/version.h>: which library this is. */
#ifndef MCPGW_VERSION_H
#define MCPGW_VERSION_H
#include <mcpgw/types.h>

#define MCPGW_VERSION "0.1.0"
#define MCPGW_VERSION_NUMBER 0x000100 /* 0xMMmmpp */

MCPGW_BEGIN
/* [any] The version that is running, e.g. "0.1.0". BORROWED for ever. */
MCPGW_API const char *mcpgw_version(void);
MCPGW_API uint32_t mcpgw_version_number(void);
MCPGW_END
#endif
