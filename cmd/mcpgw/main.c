/* main.c owns the table of commands, the help and the process itself: no core dumps, signals counted.
 * mcpgw is a client of <mcpgw/mcpgw.h>; whatever it needs beyond that is missing there. */
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli.h"

#define FILES_MAX 65536 /* descriptors */
#define SERVICE (OPT_LOG_LEVEL | OPT_LOG_FORMAT | OPT_EPHEMERAL)

static int cmd_version(const struct args *a);
static int cmd_help(const struct args *a);

static const struct command {
  const char *name;
  unsigned takes;
  int (*run)(const struct args *a);
  const char *usage, *about;
} COMMANDS[] = {
    {"serve", SERVICE | OPT_LISTEN | OPT_INSECURE | OPT_HINTS, cmd_serve,
     "mcpgw serve CONFIG | URL | -- COMMAND...",
     "Serve the servers of CONFIG, the server at URL, or COMMAND, over HTTP. The endpoint's URL is\n"
     "printed on stdout once it listens. INT and TERM stop it gracefully, a second one at once; HUP\n"
     "loads CONFIG again and leaves alone what is the same.\n"
     "  --listen HOST:PORT     where (127.0.0.1:8808; port 0 picks one)\n"
     "  --insecure-plain-http  let other machines reach it, without TLS and authentication\n"
     "  --ephemeral            keep nothing on disk\n"
     "  --hints                tell on stderr what to try next, terminal or not"},
    {"stdio", SERVICE, cmd_stdio, "mcpgw stdio CONFIG | URL | -- COMMAND...",
     "Serve one client on stdin and stdout: what desktop agents start.\n"
     "  --ephemeral  keep nothing on disk"},
    {"check", OPT_JSON | OPT_OFFLINE | OPT_TIMEOUT | OPT_LOG_LEVEL | OPT_LOG_FORMAT | OPT_INSECURE, cmd_check,
     "mcpgw check CONFIG | URL | -- COMMAND...",
     "Check the configuration, then start every server and tell what it is, or why it fails.\n"
     "  --offline     start nothing\n"
     "  --json        for programs\n"
     "  --timeout MS  for all of it (60000)\n"
     "  --insecure-plain-http  as serve would be given it"},
    {"tools", OPT_JSON | OPT_SERVER | OPT_TIMEOUT | OPT_LOG_LEVEL | OPT_LOG_FORMAT, cmd_tools,
     "mcpgw tools CONFIG | URL | -- COMMAND...",
     "List the tools. Not on a terminal: tool, arguments, description, server, separated by tabs.\n"
     "  --server NAME  only this one\n"
     "  --json         the tools as the servers describe them\n"
     "  --timeout MS   for all of it (60000)"},
    {"call", OPT_JSON | OPT_SERVER | OPT_TIMEOUT | OPT_PROGRESS | OPT_LOG_LEVEL | OPT_LOG_FORMAT, cmd_call,
     "mcpgw call CONFIG | URL TOOL [JSON | -]\n       mcpgw call TOOL [JSON | -] -- COMMAND...",
     "Call a tool. Its arguments are one JSON object, or \"-\" to read it from stdin.\n"
     "  --server NAME  the server; without it several servers' tools are called SERVER__TOOL\n"
     "  --json         the result as the server sent it\n"
     "  --progress     report progress on stderr, terminal or not\n"
     "  --timeout MS   give up and cancel after so long"},
    {"pin", OPT_CHECK | OPT_FILE | OPT_TIMEOUT | OPT_LOG_LEVEL | OPT_LOG_FORMAT, cmd_pin,
     "mcpgw pin CONFIG",
     "Write down what the servers define, so that a change is reported or blocked (gateway.pin).\n"
     "  --file FILE   where (gateway.pin.file, else CONFIG with .lock.json at its end)\n"
     "  --check       write nothing: list what changed since; exit code 1 if anything did\n"
     "  --timeout MS  for all of it (60000)"},
    {"sessions", OPT_JSON | OPT_ADMIN | OPT_PRINCIPAL | OPT_TOKEN | OPT_SERVER | OPT_TIMEOUT, cmd_sessions,
     "mcpgw sessions ls CONFIG\n       mcpgw sessions revoke CONFIG SESSION\n"
     "       mcpgw sessions revoke CONFIG --principal NAME | --token ID",
     "List or end the sessions of a running gateway. It is asked at its admin door (gateway.admin in CONFIG).\n"
     "Not on a terminal: id, principal, revision, links, calls in flight, idle and age in milliseconds,\n"
     "separated by tabs. revoke takes an id of the list, or the tag of the log.\n"
     "  --admin ADDRESS   the door, instead of CONFIG: unix:PATH or HOST:PORT; MCPGW_ADMIN_TOKEN is its token\n"
     "  --principal NAME  only this one's\n"
     "  --token ID        those that a token of this id has opened or extended: revoke alone\n"
     "  --server NAME     only those with a link to it\n"
     "  --json            as the gateway tells it\n"
     "  --timeout MS      for an answer (10000)"},
    {"upstreams", OPT_JSON | OPT_ADMIN | OPT_SERVER | OPT_TIMEOUT, cmd_upstreams, "mcpgw upstreams CONFIG",
     "Tell how the servers of a running gateway are, and why.\n"
     "They are up, opening, idle (nobody asked yet), down (in a pause after a failure) or failing (the next call\n"
     "tries it again).\n"
     "Not on a terminal: name, state, era, links, calls in flight, requests, failures and error, separated by\n"
     "tabs.\n"
     "  --admin ADDRESS  the door, instead of CONFIG: unix:PATH or HOST:PORT; MCPGW_ADMIN_TOKEN is its token\n"
     "  --server NAME    only this one\n"
     "  --json           as the gateway tells it\n"
     "  --timeout MS     for an answer (10000)"},
    {"store", OPT_JSON, cmd_store, "mcpgw store stat | check | compact [DIRECTORY]",
     "Look after a store: what is in it, whether it is sound, or write it anew without its holes.\n"
     "DIRECTORY is a gateway's state_dir; without it, the user's own state directory.\n"
     "Compacting needs the gateway stopped; the others do not.\n"
     "  --json  for programs"},
    {"version", OPT_JSON, cmd_version, "mcpgw version [--json]", "Print the version."},
    {"help", 0, cmd_help, "mcpgw help [COMMAND]", "Print this."},
};
#define COMMAND_COUNT (sizeof COMMANDS / sizeof *COMMANDS)

static const char exits[] =
    "Exit codes: 0 ok, 1 the tool reports an error, nothing was revoked, or pinned definitions differ,\n"
    "2 usage, 3 configuration, 4 a server or the gateway is unavailable or too slow, 5 a JSON-RPC error,\n"
    "6 input or output, 130 interrupted.\n";

static const struct command *find(const char *name) {
  for (size_t i = 0; name && i < COMMAND_COUNT; i++)
    if (strcmp(COMMANDS[i].name, name) == 0) return &COMMANDS[i];
  return NULL;
}

static int help_on(const struct command *c) {
  printf("usage: %s\n\n%s\n", c->usage, c->about);
  if (c->takes & OPT_LOG_LEVEL)
    puts("  --log-level error|warn|info|debug, --log-format text|json: the log on stderr");
  printf("\n%s", exits);
  return EXIT_OK;
}

static int help_on_all(FILE *f) {
  fputs("mcpgw, a gateway between MCP clients and MCP servers\n\n", f);
  for (size_t i = 0; i < COMMAND_COUNT; i++) {
    const char *about = COMMANDS[i].about;
    size_t first = 0; /* a sentence: "gateway.pin" is none */
    while (about[first] && !(about[first] == '.' && strchr(" \n", about[first + 1]))) first++;
    fprintf(f, "  mcpgw %-9s %.*s\n", COMMANDS[i].name, (int)(first + (about[first] != '\0')), about);
  }
  fprintf(f, "\nmcpgw COMMAND --help tells more. Options may stand anywhere before --.\n\n%s", exits);
  return EXIT_OK;
}

static int cmd_help(const struct args *a) {
  if (a->n_operands == 0) return finish_stdout(help_on_all(stdout));
  const struct command *c = find(a->operands[0]);
  if (c == NULL) return say_fail(EXIT_USAGE, "no command \"%s\"; mcpgw help lists them", a->operands[0]);
  return finish_stdout(help_on(c));
}

static int cmd_version(const struct args *a) {
  const char *library = mcpgw_version();
  if (a->n_operands || a->command) return say_fail(EXIT_USAGE, "version takes no operands");
  if (a->given & OPT_JSON) {
    fputs("{\"version\":\"" MCPGW_VERSION "\",\"library\":", stdout);
    json_quote(stdout, library, strlen(library));
    puts("}");
  } else {
    printf("mcpgw " MCPGW_VERSION " (libmcpgw %s)\n", library);
  }
  return finish_stdout(EXIT_OK);
}

/* Tokens and keys pass through this process. */
static void harden(void) {
  struct rlimit none = {0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Each connection is a descriptor. The soft limit, 1,024 mostly, is meant for programs that use select(2). */
static void more_files(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= FILES_MAX) return;
  r.rlim_cur = r.rlim_max < FILES_MAX ? r.rlim_max : FILES_MAX;
  (void)setrlimit(RLIMIT_NOFILE, &r);
}

static int run(const struct command *c, const char *program, const char *const *argv) {
  struct args a;
  memset(&a, 0, sizeof a);
  a.program = program;
  int rc = args_read(&a, c->takes, argv);
  if (rc != EXIT_OK) return rc;
  if (a.given & OPT_HELP) return finish_stdout(help_on(c));
  rc = loop_signals();
  return rc == EXIT_OK ? c->run(&a) : rc;
}

int main(int argc, char **argv) {
  const char *const *words = (const char *const *)argv;
  harden();
  more_files();
  if (argc < 2) {
    help_on_all(stderr);
    return EXIT_USAGE;
  }
  if (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0)
    return finish_stdout(help_on_all(stdout));
  const struct command *c = find(strcmp(words[1], "--version") == 0 ? "version" : words[1]);
  if (c == NULL) return say_fail(EXIT_USAGE, "no command \"%s\"; mcpgw help lists them", words[1]);
  return run(c, words[0], words + 2);
}
