/* <mcpgw/mcpgw.h>: everything. */
#ifndef MCPGW_MCPGW_H
#define MCPGW_MCPGW_H
#include <mcpgw/gateway.h>
#include <mcpgw/idempotency.h>
#include <mcpgw/session.h>
#include <mcpgw/store.h>
#include <mcpgw/transport.h>
#include <mcpgw/types.h>
#include <mcpgw/version.h>
#endif
