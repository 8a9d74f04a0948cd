/* api: what the doors share. Every exported function is a few guarded lines here. */
#ifndef MG_API_API_H
#define MG_API_API_H
#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"
#include "mcpgw/gateway.h"

struct mcpgw_config {
  struct mg_config *snapshot;
  uint32_t pins; /* MCPGW_PINS_* */
  int taken; /* a gateway holds the snapshot: it is constant now */
  struct mg_err err;
  struct mg_buf note;
};
#endif
