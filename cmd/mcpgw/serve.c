/* serve.c owns `mcpgw serve`: it listens, says where on stdout, and runs until it is told to stop. Must
 * never print anything but the endpoints' URLs on stdout. */
#include <string.h>

#include "cli.h"

#define GRACE_MS 10000

static void hints(const struct args *a, const char *url) {
  if (strncmp(url, "http", 4) != 0) return;
  fprintf(stderr,
          "\nTry it from another terminal:\n"
          "  curl -sS %s -H 'Content-Type: application/json' -H 'Accept: application/json, "
          "text/event-stream' \\\n"
          "    -d "
          "'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-"
          "11-25\","
          "\"capabilities\":{},\"clientInfo\":{\"name\":\"curl\",\"version\":\"1\"}}}'\n"
          "  %s tools %s\n"
          "  %s call %s TOOL '{\"argument\": \"value\"}'\n"
          "In the configuration of an agent:\n"
          "  {\"mcpServers\": {\"mcpgw\": {\"type\": \"http\", \"url\": \"%s\"}}}\n"
          "Ctrl-C stops it.\n",
          url, a->program, url, a->program, url, url);
}

static int announce(const struct target *t, const struct args *a) {
  size_t n = mcpgw_gateway_endpoints(t->gateway);
  for (size_t i = 0; i < n; i++) puts(mcpgw_gateway_endpoint(t->gateway, i));
  int rc = finish_stdout(EXIT_OK);
  if (rc == EXIT_OK && n && (a->given & OPT_HINTS || on_terminal(stderr)))
    hints(a, mcpgw_gateway_endpoint(t->gateway, 0));
  return rc;
}

static int run(struct target *t, const struct args *a) {
  mcpgw_gateway *gw = t->gateway;
  int rc = MCPGW_OK;
  while (loop_interrupts() == 0 && !mcpgw_gateway_stopped(gw) && (rc == MCPGW_OK || rc == MCPGW_E_AGAIN)) {
    if (loop_reload_wanted()) target_reload(t, a);
    else rc = loop_turn(gw, NULL, 0, -1);
  }
  if (rc != MCPGW_OK && rc != MCPGW_E_AGAIN)
    return say_fail(EXIT_IO, "the gateway failed: %s", mcpgw_strerror(rc));
  loop_end(gw, GRACE_MS);
  return EXIT_OK;
}

int cmd_serve(const struct args *a) {
  struct target t;
  loop_hup_reloads();
  int rc = target_load_only(&t, a);
  if (rc == EXIT_OK) rc = target_has_servers(&t);
  if (rc == EXIT_OK) rc = target_start(&t, a, 0);
  if (rc == EXIT_OK) {
    int lib = mcpgw_gateway_listen(t.gateway);
    if (lib != MCPGW_OK) {
      const char *why = mcpgw_gateway_error(t.gateway);
      rc = say_fail(lib == MCPGW_E_CONFIG ? EXIT_CONFIG : EXIT_IO, "%s",
                    why && *why ? why : mcpgw_strerror(lib));
    }
  }
  if (rc == EXIT_OK) rc = announce(&t, a);
  if (rc == EXIT_OK) rc = run(&t, a);
  target_done(&t);
  return rc;
}
