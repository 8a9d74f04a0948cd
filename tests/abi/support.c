/* support: the loop of a host that does just what the manual says, and the tally of checks. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "guest.h"

static int failed;

void check(int good, const char *what) {
  printf("%s - %s\n", good ? "ok" : "not ok", what);
  fflush(stdout);
  if (!good) failed++;
}

int checks_failed(void) {
  return failed;
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

mcpgw_event *next_event(mcpgw_gateway *gateway) {
  int64_t until = now_ms() + PATIENCE_MS, left;
  mcpgw_event *event = NULL;
  while (mcpgw_gateway_next_event(gateway, &event) == MCPGW_E_AGAIN && (left = until - now_ms()) > 0) {
    struct pollfd fd = {mcpgw_gateway_fd(gateway), POLLIN, 0};
    int timeout = mcpgw_gateway_timeout_ms(gateway);
    int due = timeout >= 0 && timeout <= left;
    int n = poll(&fd, 1, due ? timeout : (int)left);
    if (n < 0 && errno != EINTR) return NULL;
    if ((n > 0 || (n == 0 && due)) && mcpgw_gateway_dispatch(gateway) != MCPGW_OK) return NULL;
  }
  return event;
}

const char *reply_to(mcpgw_gateway *gateway, uint64_t request_id) {
  static char text[65536];
  for (;;) {
    mcpgw_event *event = next_event(gateway);
    int ours = event && mcpgw_event_kind(event) == MCPGW_EVENT_REPLY && mcpgw_event_request_id(event) == request_id;
    int over = !event || mcpgw_event_kind(event) == MCPGW_EVENT_CLOSED;
    size_t len = event ? mcpgw_event_len(event) : 0;
    if (event) snprintf(text, sizeof text, "%s", mcpgw_event_data(event));
    int whole = event && (len >= sizeof text || strlen(text) == len);
    mcpgw_event_free(event);
    if (ours) return whole ? text : NULL;
    if (over) return NULL;
  }
}

const char *ask(mcpgw_gateway *gateway, mcpgw_client *client, const char *method, const char *params) {
  uint64_t id = 0;
  if (mcpgw_client_request(client, method, strlen(method), params, params ? strlen(params) : 0, &id) != MCPGW_OK)
    return NULL;
  return reply_to(gateway, id);
}
