/* args.c owns the command line: options before or after operands, and "--", behind which a command
 * stands. Must never decide what an operand means. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct option {
  const char *name;
  unsigned bit;
  int has_value;
} OPTIONS[] = {
    {"--listen", OPT_LISTEN, 1},
    {"--ephemeral", OPT_EPHEMERAL, 0},
    {"--json", OPT_JSON, 0},
    {"--insecure-plain-http", OPT_INSECURE, 0},
    {"--hints", OPT_HINTS, 0},
    {"--log-level", OPT_LOG_LEVEL, 1},
    {"--offline", OPT_OFFLINE, 0},
    {"--log-format", OPT_LOG_FORMAT, 1},
    {"--server", OPT_SERVER, 1},
    {"--timeout", OPT_TIMEOUT, 1},
    {"--check", OPT_CHECK, 0},
    {"--file", OPT_FILE, 1},
    {"--progress", OPT_PROGRESS, 0},
    {"--admin", OPT_ADMIN, 1},
    {"--principal", OPT_PRINCIPAL, 1},
    {"--token", OPT_TOKEN, 1},
    {"--help", OPT_HELP, 0},
    {"-h", OPT_HELP, 0},
};
#define OPTION_COUNT (sizeof OPTIONS / sizeof *OPTIONS)

/* The option that word begins with; *value is what follows its '=', or NULL. */
static const struct option *find(const char *word, const char **value) {
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    size_t len = strlen(OPTIONS[i].name);
    if (strncmp(word, OPTIONS[i].name, len) != 0 || (word[len] != '\0' && word[len] != '=')) continue;
    *value = word[len] ? word + len + 1 : NULL;
    return &OPTIONS[i];
  }
  return NULL;
}

static int read_level(const char *value, int *level) {
  static const char *const names[] = {"error", "warn", "info", "debug"};
  for (int i = 0; i < 4; i++) {
    if (strcmp(value, names[i]) != 0) continue;
    *level = i;
    return EXIT_OK;
  }
  return say_fail(EXIT_USAGE, "--log-level is error, warn, info or debug, not \"%s\"", value);
}

static int read_format(const char *value, int *json) {
  *json = strcmp(value, "json") == 0;
  if (*json || strcmp(value, "text") == 0) return EXIT_OK;
  return say_fail(EXIT_USAGE, "--log-format is json or text, not \"%s\"", value);
}

static int read_timeout(const char *value, uint64_t *ms) {
  char *end;
  errno = 0;
  unsigned long long n = strtoull(value, &end, 10);
  if (errno || end == value || *end || *value < '0' || *value > '9' || n == 0 || n > 86400000)
    return say_fail(EXIT_USAGE, "--timeout is a number of milliseconds from 1 to 86400000, not \"%s\"",
                    value);
  *ms = n;
  return EXIT_OK;
}

static int apply(struct args *a, const struct option *o, const char *value) {
  a->given |= o->bit;
  switch (o->bit) {
  case OPT_LISTEN:
    a->listen = value;
    return EXIT_OK;
  case OPT_SERVER:
    a->server = value;
    return EXIT_OK;
  case OPT_ADMIN:
    a->admin = value;
    return EXIT_OK;
  case OPT_TOKEN:
    a->token = value;
    return EXIT_OK;
  case OPT_PRINCIPAL:
    a->principal = value;
    return EXIT_OK;
  case OPT_FILE:
    a->file = value;
    return EXIT_OK;
  case OPT_LOG_LEVEL:
    return read_level(value, &a->log_level);
  case OPT_LOG_FORMAT:
    return read_format(value, &a->log_json);
  case OPT_TIMEOUT:
    return read_timeout(value, &a->timeout_ms);
  default:
    return EXIT_OK;
  }
}

/* *argv is an option; moves on to its last word. */
static int read_option(struct args *a, unsigned takes, const char *const **argv) {
  const char *word = **argv, *value = NULL;
  const struct option *o = find(word, &value);
  if (o == NULL || !((takes | OPT_HELP) & o->bit))
    return say_fail(EXIT_USAGE, "unknown option %s; see mcpgw help", word);
  if (value && !o->has_value) return say_fail(EXIT_USAGE, "%s takes no value", o->name);
  if (o->has_value && value == NULL) {
    value = (*argv)[1];
    if (value == NULL || strcmp(value, "--") == 0) return say_fail(EXIT_USAGE, "%s needs a value", o->name);
    ++*argv;
  }
  return apply(a, o, value);
}

int args_read(struct args *a, unsigned takes, const char *const *argv) {
  for (; *argv; argv++) {
    if (strcmp(*argv, "--") == 0) {
      a->command = argv + 1;
      return EXIT_OK;
    }
    if ((*argv)[0] == '-' && (*argv)[1] != '\0') {
      int rc = read_option(a, takes, &argv);
      if (rc != EXIT_OK) return rc;
    } else if (a->n_operands == OPERANDS_MAX) {
      return say_fail(EXIT_USAGE, "one operand too many: \"%s\"; a command is written behind --", *argv);
    } else {
      a->operands[a->n_operands++] = *argv;
    }
  }
  return EXIT_OK;
}
