/* consumer: a program that knows nothing but what `make install` put there and what pkg-config says. */
#include <mcpgw/mcpgw.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  int rc = mcpgw_config_new(&config);
  if (rc == MCPGW_OK) rc = mcpgw_config_load_mem(config, "{}", 2, NULL);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&gateway, config, NULL);
  mcpgw_gateway_free(gateway);
  mcpgw_config_free(config);
  if (rc != MCPGW_OK || mcpgw_version_number() != MCPGW_VERSION_NUMBER) {
    fprintf(stderr, "consumer: %s, version %s\n", mcpgw_strerror(rc), mcpgw_version());
    return 1;
  }
  puts(mcpgw_version());
  return strncmp(mcpgw_version(), MCPGW_VERSION, strlen(MCPGW_VERSION)) != 0;
}
