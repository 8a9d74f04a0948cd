/* mcpgw, the program: a client of <mcpgw/mcpgw.h> and of nothing else of the library. One file a command;
 * what they share is declared here. Errors are said where they are known; functions that can fail return
 * an exit code, EXIT_OK when all is well. */
#ifndef MCPGW_CLI_H
#define MCPGW_CLI_H
#include <mcpgw/mcpgw.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
  EXIT_OK = 0,
  EXIT_TOOL = 1, /* the tool said isError */
  EXIT_USAGE = 2,
  EXIT_CONFIG = 3,
  EXIT_UPSTREAM = 4, /* unavailable, or too slow */
  EXIT_RPC = 5,      /* a JSON-RPC error */
  EXIT_IO = 6,
  EXIT_INTERRUPTED = 130
};

/* ---- args: the command line ------------------------------------------------------------------ */
enum { /* options, as bits: which a command takes, and which were given */
       OPT_LISTEN = 1 << 0,
       OPT_EPHEMERAL = 1 << 1,
       OPT_INSECURE = 1 << 2,
       OPT_LOG_LEVEL = 1 << 3,
       OPT_LOG_FORMAT = 1 << 4,
       OPT_HINTS = 1 << 5,
       OPT_JSON = 1 << 6,
       OPT_OFFLINE = 1 << 7,
       OPT_SERVER = 1 << 8,
       OPT_TIMEOUT = 1 << 9,
       OPT_PROGRESS = 1 << 10,
       OPT_HELP = 1 << 11,
       OPT_CHECK = 1 << 12,
       OPT_FILE = 1 << 13,
       OPT_ADMIN = 1 << 14,
       OPT_PRINCIPAL = 1 << 15,
       OPT_TOKEN = 1 << 16
};

#define OPERANDS_MAX 3
struct args { /* everything BORROWED from argv */
  const char *program;
  unsigned given; /* OPT_* */
  const char *operands[OPERANDS_MAX];
  size_t n_operands;
  const char *const *command; /* what follows "--", NULL-terminated; NULL: no "--" */
  const char *listen, *server, *file, *admin, *principal, *token;
  int log_level, log_json;
  uint64_t timeout_ms;
};
/* takes: OPT_* allowed. argv starts behind the command's name. */
int args_read(struct args *a, unsigned takes, const char *const *argv);

/* ---- say: one line on stderr ----------------------------------------------------------------- */
/* "mcpgw: …", control bytes replaced. Returns code. */
int say_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int on_terminal(FILE *f);
int colours(FILE *f); /* a terminal, and NO_COLOR does not forbid it */
/* Text of strangers for people: on a terminal control bytes become '?', but '\n' and '\t' if lines is set. */
void put_clean(FILE *f, const char *text, size_t len, int lines);
int finish_stdout(int code); /* flushes; EXIT_IO when stdout took not all of it */
uint64_t clock_ms(void);     /* monotonic */

/* ---- json: looking into valid JSON ----------------------------------------------------------- */
struct json { /* one value as written, BORROWED; ptr NULL: there is none */
  const char *ptr;
  size_t len;
};
/* The whole of text must be one value, blank around it. On failure *at is the offset of the fault. */
int json_read(const char *text, size_t len, struct json *out, size_t *at);
int json_is(struct json v, char kind); /* one of { [ " 0 t f n; true and false are both 't' */
int json_true(struct json v);
struct json json_get(struct json object, const char *key);
/* Walks members or elements; *pos starts at 0. key may be NULL. Returns 0 at the end. */
int json_next(struct json container, size_t *pos, struct json *key, struct json *value);
size_t json_count(struct json container);
char *json_text(struct json string,
                size_t *len); /* unescaped, NUL follows; free it. NULL: no string, or no memory */
long long json_int(struct json number, long long otherwise);
void json_quote(FILE *f, const char *text, size_t len);
void json_write(FILE *f, struct json v); /* its bytes; null when there is none */

/* ---- loop: signals and turns ----------------------------------------------------------------- */
int loop_signals(void);         /* INT, TERM and HUP are counted from here on, PIPE is harmless */
unsigned loop_interrupts(void); /* how often */
void loop_wakes(mcpgw_gateway *gw); /* a signal wakes this gateway from here on; NULL: none */
void loop_hup_reloads(void);    /* from here on HUP is counted apart, unless it means that our terminal is gone */
int loop_reload_wanted(void);   /* 1, once for each HUP or few of them */
/* One turn: waits until the gateway, a signal or one of more has something to do, at most so long (-1: for
 * ever), and lets the gateway work. Returns what the library does. */
int loop_turn(mcpgw_gateway *gw, struct pollfd *more, nfds_t n_more, int timeout_ms);
/* The same. full: we cannot take events now, so those that wait are no reason to come back at once. */
int loop_turn_full(mcpgw_gateway *gw, struct pollfd *more, nfds_t n_more, int timeout_ms, int full);
/* Ends the gateway gracefully, within about so long. A signal meanwhile hurries. */
void loop_end(mcpgw_gateway *gw, uint64_t grace_ms);

/* ---- target: CONFIG, URL or -- COMMAND ------------------------------------------------------- */
struct target {
  mcpgw_config *config;
  mcpgw_gateway *gateway;
  char *launcher;   /* path of mcpgw-launch, or NULL */
  const char *what; /* as the user named it */
};
/* Loads what the arguments name: the first operand, or the command behind "--". Operands left begin at
 * *next. */
int target_load(struct target *t, const struct args *a, size_t *next);
int target_load_only(struct target *t, const struct args *a); /* no operand may follow */
int target_load_pins(struct target *t, const struct args *a, uint32_t pins); /* the same; MCPGW_PINS_* */
int target_is_url(const char *s);
int target_start(struct target *t, const struct args *a, int quiet); /* makes the gateway */
int target_may_listen(struct target *t);        /* EXIT_CONFIG, said: an address that serve would refuse */
int target_has_servers(const struct target *t); /* EXIT_CONFIG, said: there is none */
/* Where a user's state is kept: name, or when that is NULL nothing, is added to it. EXIT_USAGE: nobody knows where. */
int state_home(char *out, size_t cap, const char *name);
/* Loads CONFIG again and gives it to the gateway; what is wrong goes to the log, and everything stays. */
void target_reload(struct target *t, const struct args *a);
void target_done(struct target *t);
/* The slug of the server that --server names, or NULL with an error said. */
const char *target_server(const struct target *t, const char *name);

/* ---- log: the library's lines to stderr ------------------------------------------------------ */
struct log_style {
  int json;
};
void log_line(void *style, int level, const char *line, size_t len);
/* A line of our own among the library's. */
void log_own(struct log_style *style, const char *level, const char *event, const char *file, const char *text);

/* ---- probe: asking several servers at once --------------------------------------------------- */
enum { PROBE_TOOLS, PROBE_PROMPTS, PROBE_RESOURCES, PROBE_KINDS };
extern const char *const probe_kind_names[PROBE_KINDS]; /* "tools", … */

struct probe_list {
  char **pages; /* replies, whole, OWNED */
  size_t n_pages, n_items;
  uint64_t request; /* under way; 0: none */
};
struct probe {
  const char *name, *slug; /* BORROWED from the config */
  mcpgw_client *client;
  char *hello; /* the reply to the handshake; NULL: not yet, or failed */
  char *error; /* why it failed, one line; NULL: it did not */
  struct probe_list lists[PROBE_KINDS];
  int done;
};
struct probes {
  struct probe *items;
  size_t n, n_done;
};
/* Asks all servers (or the one with this slug) for the kinds in want (bits). Failures are kept in the
 * probes; the exit code is EXIT_OK, EXIT_INTERRUPTED or EXIT_IO. progress: a line on stderr. */
int probes_run(struct probes *ps, struct target *t, const char *slug, unsigned want, uint64_t timeout_ms,
               int progress);
void probes_done(struct probes *ps);
size_t probes_failed(const struct probes *ps);

/* ---- show: results and errors for people ----------------------------------------------------- */
void show_content(struct json result);
int show_rpc_error(const char *what, struct json error); /* says it; returns the exit code it deserves */
char *rpc_error_text(struct json error);                 /* one line; free it; NULL: no memory */
/* Answers a message of a server if it is a request: pings, and everything else with a polite no. */
void answer_server(mcpgw_client *client, const mcpgw_event *e);

/* ---- commands -------------------------------------------------------------------------------- */
int cmd_serve(const struct args *a);
int cmd_stdio(const struct args *a);
int cmd_check(const struct args *a);
int cmd_tools(const struct args *a);
int cmd_call(const struct args *a);
int cmd_sessions(const struct args *a);
int cmd_upstreams(const struct args *a);
int cmd_pin(const struct args *a);
int cmd_store(const struct args *a);
#endif
