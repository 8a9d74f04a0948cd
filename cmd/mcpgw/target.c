/* target.c owns what a command works on: a configuration file, a URL, or a command behind "--"; and the
 * gateway made from it. Must never start anything before the whole configuration is understood. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#ifndef MCPGW_LIBEXEC
#define MCPGW_LIBEXEC "/usr/local/libexec/mcpgw" /* a directory */
#endif
#define INSTALLED MCPGW_LIBEXEC "/mcpgw-launch"
#define NAME "server" /* the key of an upstream that has no configuration */

extern char **environ;
static struct log_style style;

int target_is_url(const char *s) {
  return strncasecmp(s, "http://", 7) == 0 || strncasecmp(s, "https://", 8) == 0;
}

static int config_fault(const struct target *t, int rc) {
  const char *why = mcpgw_config_error(t->config);
  if (why == NULL || *why == '\0') why = mcpgw_strerror(rc);
  int code = rc == MCPGW_E_NOMEM ? EXIT_IO : EXIT_CONFIG;
  if (strstr(why, t->what)) return say_fail(code, "%s", why);
  return say_fail(code, "%s: %s", t->what, why);
}

static int load_named(struct target *t, const char *name) {
  struct stat st;
  int rc;
  if (target_is_url(name)) {
    rc = mcpgw_config_add_http(t->config, NAME, strlen(NAME), name, strlen(name), NULL);
  } else if (stat(name, &st) != 0) {
    return say_fail(EXIT_CONFIG, "%s: %s; give a configuration file, a URL, or a command behind --", name,
                    strerror(errno));
  } else {
    rc = mcpgw_config_load_file(t->config, name, strlen(name), (const char *const *)environ);
  }
  return rc == MCPGW_OK ? EXIT_OK : config_fault(t, rc);
}

static int load_command(struct target *t, const char *const *command) {
  if (command[0] == NULL) return say_fail(EXIT_USAGE, "write the command behind --");
  t->what = command[0];
  int rc = mcpgw_config_add_stdio(t->config, NAME, strlen(NAME), command, (const char *const *)environ, NULL);
  return rc == MCPGW_OK ? EXIT_OK : config_fault(t, rc);
}

static int load(struct target *t, const struct args *a, uint32_t pins, size_t *next) {
  memset(t, 0, sizeof *t);
  *next = 0;
  if (a->command == NULL && a->n_operands == 0)
    return say_fail(EXIT_USAGE,
                    "nothing to work on: give a configuration file, a URL, or a command behind --");
  if (mcpgw_config_new(&t->config) != MCPGW_OK) return say_fail(EXIT_IO, "out of memory");
  (void)mcpgw_config_set_pins(t->config, pins);
  if (a->command) return load_command(t, a->command);
  *next = 1;
  t->what = a->operands[0];
  return load_named(t, a->operands[0]);
}

int target_load(struct target *t, const struct args *a, size_t *next) {
  return load(t, a, MCPGW_PINS_OBEY, next);
}

int target_load_only(struct target *t, const struct args *a) {
  return target_load_pins(t, a, MCPGW_PINS_OBEY);
}

int target_load_pins(struct target *t, const struct args *a, uint32_t pins) {
  size_t next;
  int rc = load(t, a, pins, &next);
  if (rc != EXIT_OK || a->n_operands <= next) return rc;
  return say_fail(EXIT_USAGE, "one operand too many: \"%s\"; a command is written behind --",
                  a->operands[next]);
}

/* Beside this program first, so that a build tree needs no installation. */
static char *find_launcher(void) {
  char self[4096], *found = NULL;
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - sizeof "/mcpgw-launch");
  if (n > 0) {
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    size_t dir = slash ? (size_t)(slash - self) : 0;
    memcpy(self + dir, "/mcpgw-launch", sizeof "/mcpgw-launch");
    if (access(self, X_OK) == 0) found = strdup(self);
  }
  if (found == NULL && access(INSTALLED, X_OK) == 0) found = strdup(INSTALLED);
  if (found == NULL)
    say("warning: mcpgw-launch is neither beside mcpgw nor at " INSTALLED
        "; grandchildren of servers may outlive the gateway");
  return found;
}

/* What a launcher that was killed leaves behind then falls to us. Not where we have children already, which a
 * shell that became us by exec had started: they are none of the gateway's. */
static int be_subreaper(void) {
  siginfo_t si;
  int childless = waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
  return childless && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

/* A target without a configuration is called "server" whatever it is: its state is kept apart from others'. */
static void own_name(const struct args *a, char out[32]) {
  uint64_t h = 14695981039346656037u;
  const char *const *words = a->command ? a->command : a->operands;
  size_t n = a->command ? 0 : 1;
  for (size_t i = 0; a->command ? words[i] != NULL : i < n; i++)
    for (const char *p = words[i];; p++) {
      h = (h ^ (unsigned char)*p) * 1099511628211u;
      if (*p == '\0') break;
    }
  snprintf(out, 32, "server-%016llx", (unsigned long long)h);
}

/* What serves keeps its state where the configuration says, else where the user keeps such things. */
static int set_state_dir(struct target *t, const struct args *a) {
  char path[4096], name[32];
  if (a->given & OPT_EPHEMERAL) return mcpgw_config_set_state_dir(t->config, NULL);
  if (mcpgw_config_state_dir(t->config)) return MCPGW_OK;
  int has_file = a->command == NULL && !target_is_url(a->operands[0]);
  if (!has_file) own_name(a, name);
  if (state_home(path, sizeof path, has_file ? NULL : name) != EXIT_OK) return MCPGW_OK; /* keyed calls will be told */
  return mcpgw_config_set_state_dir(t->config, path);
}

static int set_options(struct target *t, const struct args *a, int quiet) {
  int rc = MCPGW_OK;
  if (a->given & OPT_INSECURE) rc = mcpgw_config_set_insecure_plain_http(t->config, 1);
  if (rc == MCPGW_OK && a->listen) {
    rc = mcpgw_config_set_listen(t->config, a->listen);
    if (rc != MCPGW_OK)
      return say_fail(EXIT_USAGE, "--listen is HOST:PORT, [IPV6]:PORT or unix:PATH, not \"%s\"", a->listen);
  }
  if (rc == MCPGW_OK && a->given & OPT_LOG_LEVEL) rc = mcpgw_config_set_log_level(t->config, a->log_level);
  else if (rc == MCPGW_OK && quiet) rc = mcpgw_config_set_log_level(t->config, MCPGW_LOG_ERROR);
  if (rc == MCPGW_OK && !quiet) rc = set_state_dir(t, a);
  return rc == MCPGW_OK ? EXIT_OK : config_fault(t, rc);
}

int target_start(struct target *t, const struct args *a, int quiet) {
  mcpgw_gateway_options options;
  int rc = set_options(t, a, quiet);
  if (rc != EXIT_OK) return rc;
  t->launcher = find_launcher();
  style.json = a->given & OPT_LOG_FORMAT ? a->log_json : !quiet && !on_terminal(stderr);
  mcpgw_gateway_options_init(&options);
  options.log = log_line;
  options.log_data = &style;
  options.launcher = t->launcher;
  options.subreaper = t->launcher && be_subreaper();
  rc = mcpgw_gateway_new(&t->gateway, t->config, &options);
  loop_wakes(t->gateway);
  if (rc == MCPGW_OK) return EXIT_OK;
  if (rc == MCPGW_E_CONFIG) return config_fault(t, rc);
  return say_fail(EXIT_IO, "%s: cannot make the gateway: %s", t->what, mcpgw_strerror(rc));
}

int target_may_listen(struct target *t) {
  int rc = mcpgw_config_check_listen(t->config);
  return rc == MCPGW_OK ? EXIT_OK : config_fault(t, rc);
}

int target_has_servers(const struct target *t) {
  if (mcpgw_config_servers(t->config)) return EXIT_OK;
  const char *why = mcpgw_config_notes(t->config) ? "; mcpgw check tells what was ignored" : "";
  return say_fail(EXIT_CONFIG, "%s: no server is configured%s", t->what, why);
}

/* The flags of the command line stand above whatever the file says. */
static int load_again(struct target *next, const struct args *a) {
  int rc = mcpgw_config_load_file(next->config, next->what, strlen(next->what), (const char *const *)environ);
  if (rc == MCPGW_OK && a->given & OPT_INSECURE) rc = mcpgw_config_set_insecure_plain_http(next->config, 1);
  if (rc == MCPGW_OK && a->listen) rc = mcpgw_config_set_listen(next->config, a->listen);
  if (rc == MCPGW_OK && a->given & OPT_LOG_LEVEL) rc = mcpgw_config_set_log_level(next->config, a->log_level);
  return rc;
}

void target_reload(struct target *t, const struct args *a) {
  struct target next = {.what = t->what};
  const char *why = "";
  if (a->command || target_is_url(t->what)) {
    log_own(&style, "warn", "config.not_reloaded", t->what, "there is no file to load again");
    return;
  }
  int rc = mcpgw_config_new(&next.config);
  if (rc == MCPGW_OK) {
    rc = load_again(&next, a);
    why = mcpgw_config_error(next.config);
  }
  if (rc == MCPGW_OK) {
    rc = mcpgw_gateway_reload(t->gateway, next.config);
    why = mcpgw_gateway_error(t->gateway);
  }
  if (rc == MCPGW_OK) {
    mcpgw_config_free(t->config);
    t->config = next.config;
    return;
  }
  log_own(&style, "error", "config.not_reloaded", t->what, why && *why ? why : mcpgw_strerror(rc));
  mcpgw_config_free(next.config);
}

void target_done(struct target *t) {
  loop_wakes(NULL);
  mcpgw_gateway_free(t->gateway);
  mcpgw_config_free(t->config);
  free(t->launcher);
  memset(t, 0, sizeof *t);
}

const char *target_server(const struct target *t, const char *name) {
  size_t n = mcpgw_config_servers(t->config);
  for (size_t i = 0; i < n; i++) {
    const char *slug = mcpgw_config_server_slug(t->config, i);
    if (strcmp(name, slug) == 0 || strcmp(name, mcpgw_config_server_name(t->config, i)) == 0) return slug;
  }
  say("%s: no server \"%s\"; mcpgw check lists them", t->what, name);
  return NULL;
}
