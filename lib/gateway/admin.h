/* gateway/admin: the admin door and the answers to probes. */
#ifndef MG_GATEWAY_ADMIN_H
#define MG_GATEWAY_ADMIN_H
#include "gateway/gateway.h"
#include "json/scan.h"

/* ---- admin.c -------------------------------------------------------------------------------------------- */
/* Opens gateway.admin.listen of a configuration; *out is untouched when it has none. On failure gw->err says why. */
int mg_admin_open(struct mcpgw_gateway *gw, const struct mg_config *config, struct mg_http_server **out);

/* ---- health.c: /livez and /readyz, alike on both listeners, without detail --------------------------------- */
int mg_health_is(const struct mg_http_request *r);
void mg_health_reply(struct mcpgw_gateway *gw, struct mg_exchange *x, const struct mg_http_request *r);
#endif
