/* guest: what the programs of tests/abi share. Each check prints `ok - …` or `not ok - …`; run.sh counts. */
#ifndef TESTS_ABI_GUEST_H
#define TESTS_ABI_GUEST_H
#include <mcpgw/mcpgw.h>

#define PATIENCE_MS 20000

void check(int good, const char *what);
int checks_failed(void);

/* Turns the loop as a host does: only when the fd is readable or the time-out is over. The next event, or
 * NULL after PATIENCE_MS. */
mcpgw_event *next_event(mcpgw_gateway *gateway);
/* Waits for the reply to one request; other events are dropped. Its text (static), or NULL. */
const char *reply_to(mcpgw_gateway *gateway, uint64_t request_id);
/* One request and its reply; NULL when either failed. */
const char *ask(mcpgw_gateway *gateway, mcpgw_client *client, const char *method, const char *params);
#endif
