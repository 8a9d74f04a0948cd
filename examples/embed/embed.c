/* embed: a gateway as a guest in a poll(2) loop that has work of its own (here a timer).
 *
 * The MCP server is a child process; this program is its client without any socket. Calls may start
 * anywhere in the thread that owns the gateway, not only in its dispatch: below, in the timer's handler.
 *
 *   cc -o embed embed.c $(pkg-config --cflags --libs mcpgw) && ./embed build/examples/notes
 */
#include <mcpgw/mcpgw.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ADD_NOTE "{\"name\":\"add_note\",\"arguments\":{\"text\":\"from a guest\"}}"

static uint64_t list_id, add_id;
static int answers;

/* The host's own work, ten times a second: at first two calls, and after ten seconds no more patience. */
static int on_tick(int tick, mcpgw_client *client) {
  static uint64_t ticks;
  uint64_t n;
  int rc = MCPGW_OK;
  if (read(tick, &n, sizeof n) != sizeof n || (ticks += n) > 100) return MCPGW_E_TIMEOUT;
  if (list_id == 0) rc = mcpgw_client_request(client, "tools/list", 10, NULL, 0, &list_id);
  if (rc == MCPGW_OK && add_id == 0)
    rc = mcpgw_client_request(client, "tools/call", 10, ADD_NOTE, strlen(ADD_NOTE), &add_id);
  return rc;
}

/* A reply is the whole JSON-RPC response, byte for byte what the server wrote but for its id. */
static int on_event(mcpgw_event *event) {
  int kind = (int)mcpgw_event_kind(event), rc = MCPGW_OK;
  if (kind == MCPGW_EVENT_REPLY) {
    printf("%s: %s\n", mcpgw_event_request_id(event) == list_id ? "tools" : "add_note", mcpgw_event_data(event));
    answers++;
  } else if (kind == MCPGW_EVENT_CLOSED) {
    fprintf(stderr, "embed: %s\n", mcpgw_event_data(event));
    rc = MCPGW_E_CLOSED;
  }
  mcpgw_event_free(event);
  return rc;
}

static int loop(mcpgw_gateway *gateway, mcpgw_client *client, int tick) {
  mcpgw_event *event;
  int rc = MCPGW_OK;
  while (rc == MCPGW_OK && answers < 2) {
    struct pollfd fds[2] = {{mcpgw_gateway_fd(gateway), POLLIN, 0}, {tick, POLLIN, 0}};
    poll(fds, 2, mcpgw_gateway_timeout_ms(gateway)); /* both read anew in every turn */
    if ((rc = mcpgw_gateway_dispatch(gateway)) != MCPGW_OK) break;
    while (rc == MCPGW_OK && mcpgw_gateway_next_event(gateway, &event) == MCPGW_OK) rc = on_event(event);
    if (rc == MCPGW_OK && fds[1].revents) rc = on_tick(tick, client);
  }
  return rc;
}

int main(int argc, char **argv) {
  const char *const server[] = {argc > 1 ? argv[1] : "build/examples/notes", NULL}, *const env[] = {NULL};
  struct itimerspec every = {{0, 100000000}, {0, 1}};
  int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), rc;
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;

  timerfd_settime(tick, 0, &every, NULL);
  if ((rc = mcpgw_config_new(&config)) == MCPGW_OK &&
      (rc = mcpgw_config_add_stdio(config, "notes", 5, server, env, NULL)) == MCPGW_OK &&
      (rc = mcpgw_gateway_new(&gateway, config, NULL)) == MCPGW_OK &&
      (rc = mcpgw_client_open(&client, gateway, NULL, 0, MCPGW_CLIENT_AUTO)) == MCPGW_OK)
    rc = loop(gateway, client, tick);
  if (rc != MCPGW_OK) fprintf(stderr, "embed: %s\n", mcpgw_strerror(rc));
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway); /* ends the child */
  mcpgw_config_free(config);
  close(tick);
  return rc == MCPGW_OK ? 0 : 1;
}
