/* gateway/children: owns what a configured command becomes: the transport that starts it, with its limits and
 * its user, what of that cannot be had here, and the sums of what its processes did. */
#include <unistd.h>

#include "gateway/gateway.h"
#include "transport/stdio.h"

#define TERM_MS 2000 /* after stdin was closed */
#define KILL_MS 2000 /* after TERM */

/* A command that was to run as somebody else must never run as us. */
int mg_gw_check_children(const struct mg_config *c, const char *launcher, struct mg_err *err) {
  for (size_t i = 0; i < c->n_servers; i++) {
    const struct mg_cfg_server *s = &c->servers[i];
    if (s->kind != MG_SERVER_STDIO || !s->user) continue;
    const char *why = !launcher ? "mcpgw-launch, which is not there" : geteuid() != 0 ? "a gateway that runs as root" : NULL;
    if (why)
      return mg_err_set(err, MCPGW_E_CONFIG, "mcpServers.%.128s.gateway.user: needs %s; nothing was started", s->name, why);
  }
  return MCPGW_OK;
}

static void say_unlimited(struct mcpgw_gateway *gw, const struct mg_cfg_server *s) {
  const struct mg_cfg_limits *l = &s->limits;
  if (gw->launcher) return;
  mg_log(&gw->log, MG_LOG_WARN, "children.no_launcher", "server", s->name, "text",
         l->memory_bytes || l->cpu_s || l->files
             ? "without mcpgw-launch its memory_bytes, cpu_s and files are not applied, and processes may outlive the gateway"
             : "without mcpgw-launch processes that it starts may outlive the gateway",
         (char *)0);
}

int mg_gw_make_stdio(struct mcpgw_gateway *gw, const struct mg_cfg_server *s, struct mg_gw_upstream *up) {
  struct mg_stdio_config c = {.loop = gw->loop,
                              .argv = s->argv,
                              .env = s->env,
                              .cwd = s->cwd,
                              .launcher = gw->launcher,
                              .term_ms = TERM_MS,
                              .kill_ms = KILL_MS,
                              .memory_bytes = s->limits.memory_bytes,
                              .cpu_s = s->limits.cpu_s,
                              .files = s->limits.files,
                              .user = s->user,
                              .children = s->limits.children,
                              .leaving = &up->leaving};
  say_unlimited(gw, s);
  up->ops = &mg_transport_stdio_ops;
  up->transport_free = mg_transport_stdio_free;
  return mg_transport_stdio_new(&c, &up->transport);
}

static void add_stats(struct mg_stdio_stats *sum, const struct mg_stdio_stats *s) {
  sum->started += s->started;
  sum->refused += s->refused;
  sum->noise_lines += s->noise_lines;
  sum->stderr_lines += s->stderr_lines;
  sum->hidden_lines += s->hidden_lines;
  sum->dropped += s->dropped;
  sum->held += s->held;
}

static void add_up(struct mg_stdio_stats *sum, const struct mg_gw_upstream *up) {
  if (up->ops == &mg_transport_stdio_ops && up->transport) add_stats(sum, mg_transport_stdio_stats(up->transport));
}

void mg_gw_children_keep(const struct mg_gw_upstream *up) {
  add_up(&up->gw->past_children, up);
}

void mg_gw_children_stats(const struct mcpgw_gateway *gw, struct mg_stdio_stats *sum) {
  *sum = gw->past_children;
  for (size_t i = 0; i < gw->config->n_servers; i++) add_up(sum, gw->ups[i]);
  for (struct mg_list *n = gw->old_ups.next; n != &gw->old_ups; n = n->next)
    add_up(sum, MG_CONTAINER(n, struct mg_gw_upstream, node));
}
