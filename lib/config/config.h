/* config: documents -> an immutable, refcounted snapshot. The environment comes in as an array; nothing
 * here reads the process's own, opens a socket or starts anything. Names are DESIGN §15's. */
#ifndef MG_CONFIG_CONFIG_H
#define MG_CONFIG_CONFIG_H
#include "base/buf.h"
#include "base/err.h"

enum mg_server_kind { MG_SERVER_STDIO = 1, MG_SERVER_HTTP, MG_SERVER_SSE, MG_SERVER_CUSTOM };
enum mg_cfg_era { MG_ERA_AUTO = 0, MG_ERA_LEGACY, MG_ERA_MODERN };
enum mg_cfg_isolation { MG_ISO_DEFAULT = 0, MG_ISO_SESSION, MG_ISO_PRINCIPAL, MG_ISO_SHARED };
enum mg_cfg_effect { MG_EFFECT_UNSET = 0, MG_EFFECT_ONCE, MG_EFFECT_IDEMPOTENT, MG_EFFECT_READ };
enum mg_cfg_pin_mode { MG_PIN_OFF = 0, MG_PIN_WARN, MG_PIN_BLOCK };
enum mg_cfg_no_handle { MG_NO_HANDLE_PRINCIPAL = 0, MG_NO_HANDLE_FRESH, MG_NO_HANDLE_REFUSE };

struct mg_cfg_timeouts {
  uint64_t connect_ms, list_ms, first_byte_ms, idle_ms, total_ms; /* 0 = none (first_byte, idle) */
};
struct mg_cfg_breaker {
  int enabled;
  uint64_t window_ms, min_calls, failure_percent, open_ms;
};
struct mg_cfg_retries {
  uint64_t attempts, budget_percent, base_ms;
};
struct mg_cfg_limits {
  uint64_t concurrency, queue, children, links, result_bytes;
  uint64_t memory_bytes, cpu_s, files; /* stdio: of each process; 0 = as ours */
};
struct mg_cfg_tool { /* one glob of "tools"; the first that matches wins */
  const char *glob;
  int effect;
  struct mg_cfg_timeouts timeouts; /* 0 members inherit */
  struct mg_cfg_limits limits;
};
struct mg_cfg_server {
  const char *name; /* the key, as written */
  const char *slug; /* reduced to [A-Za-z0-9_-]: the prefix and the path segment; unique */
  int kind;
  const char *const *argv; /* stdio: command and args, NULL-terminated */
  const char *const *env;  /* stdio: complete environment of the child, NAME=value, NULL-terminated:
                              the inherited few of DESIGN §11, then envFile, then env; with a
                              user the launcher adds HOME LOGNAME SHELL USER where they are missing */
  const char *cwd;         /* or NULL */
  const char *user;        /* stdio: who runs it, a name or "UID:GID"; NULL: as we are */
  const char *url;         /* http, sse */
  const char *const *headers; /* "Name: value", NULL-terminated; no Authorization passthrough implied */
  int era, isolation;
  int stateful;          /* 1 unless the config says false */
  int trust_annotations; /* 0 */
  struct mg_cfg_timeouts timeouts;
  struct mg_cfg_limits limits;
  struct mg_cfg_breaker breaker;
  struct mg_cfg_retries retries;
  const struct mg_cfg_tool *tools;
  size_t n_tools;
};
struct mg_cfg_note { /* what `mcpgw check` tells: foreign keys ignored, servers disabled, unset ${VAR}s */
  const char *path;    /* "mcpServers.files.autoApprove" */
  const char *text;
};
struct mg_config {
  const struct mg_cfg_server *servers; /* enabled ones, in the order of the file */
  size_t n_servers;
  const struct mg_cfg_note *notes;
  size_t n_notes;
  const char *const *listen; /* NULL-terminated; default "127.0.0.1:8808" */
  const char *public_url, *state_dir; /* or NULL */
  const char *separator;              /* "__" */
  const char *const *allowed_hosts, *const *allowed_origins; /* NULL-terminated, may be empty */
  uint64_t heartbeat_ms, sse_after_ms, sse_poll_ms, resume_ms;
  struct {
    uint64_t body_bytes, header_bytes, connections, memory_bytes;
    struct {
      uint64_t burst, per_s; /* per_s 0: no limit */
    } rate;
  } limits;
  struct {
    uint64_t idle_ms, absolute_ms, max, max_per_principal;
    int no_handle;
  } contexts;
  struct {
    int sync;
    uint64_t ttl_ms, max_bytes;
  } idempotency;
  uint64_t store_quota_bytes;
  struct {
    const char *file; /* or NULL: nothing is pinned */
    int mode;         /* MG_PIN_* */
  } pin;
  const char *admin_listen; /* or NULL */
  const char *admin_token;  /* or NULL: then listen is a unix socket; read from admin_token_file when that is set */
  const char *admin_token_file;
  int log_level;            /* MG_LOG_* */
  int insecure_plain_http;  /* 0; set by --insecure-plain-http, never by a document */
  /* The objects auth, policy and trace (and a server's auth) belong to later versions: accepted empty; a
   * non-empty one is an error that says so. */
};

/* text: JSON (strict; a byte order mark is tolerated). env: NULL-terminated NAME=value array for ${VAR}.
 * base_dir: where relative cwd and envFile start (NULL: as they are). On failure err has
 * "path: what; nearest known name", and the code is MCPGW_E_CONFIG (or NOMEM). *out starts with one
 * reference. env and text may go once it returns. */
int mg_config_parse(struct mg_slice text, const char *const *env, const char *base_dir, struct mg_config **out,
                    struct mg_err *err);
/* MCPGW_E_IO: the file cannot be read. Relative cwd and envFile start at the file's directory. */
int mg_config_load(const char *path, const char *const *env, struct mg_config **out, struct mg_err *err);
struct mg_config *mg_config_ref(struct mg_config *c); /* [any]: the count is atomic */
void mg_config_unref(struct mg_config *c);            /* [any]; NULL is fine; the last one wipes it */
/* Call when all flags were applied: MCPGW_E_CONFIG when listen (or admin_listen) is open to other machines
 * and insecure_plain_http is not set. */
int mg_config_check_listen(const struct mg_config *c, struct mg_err *err);
/* Do both say the same about a server: every key of it, what it inherits included? 1 or 0. */
int mg_config_same_server(const struct mg_cfg_server *a, const struct mg_cfg_server *b);
/* The same of one key of the gateway object: "separator", "limits" … */
int mg_config_same_key(const struct mg_config *a, const struct mg_config *b, const char *name);
/* A config made by hand (CLI and API): the defaults, no servers; then add. A failed add leaves it as it
 * was. argv, env and headers are COPIED; env is all the child gets (NULL: nothing). */
int mg_config_new(struct mg_config **out);
int mg_config_add_stdio(struct mg_config *c, struct mg_slice name, const char *const *argv, const char *const *env,
                        const char *cwd, struct mg_err *err);
int mg_config_add_http(struct mg_config *c, struct mg_slice name, struct mg_slice url, const char *const *headers,
                       struct mg_err *err);
int mg_config_add_custom(struct mg_config *c, struct mg_slice name, struct mg_err *err); /* MG_SERVER_CUSTOM */

/* ---- pinned definitions: what `mcpgw pin` wrote down ---------------------------------------------------- */
enum mg_pin_kind { MG_PIN_TOOL = 't', MG_PIN_PROMPT = 'p' };
enum mg_pin_verdict {
  MG_PIN_FREE = 0, /* the server is not in the lock file: nothing of it is pinned */
  MG_PIN_SAME,     /* as written down, white space apart */
  MG_PIN_CHANGED,
  MG_PIN_ADDED     /* the server is in the lock file, this is not */
};
/* Reads the lock file that pin.file names, if any; once, after a parse. Until then nothing is pinned. */
int mg_config_lock(struct mg_config *c, struct mg_err *err);
/* How a definition as a server lists it compares. changed: gets the names of the members that differ, with a
 * + or - for those that came or went, comma-separated ("description, +annotations"); may be NULL. */
int mg_config_pinned(const struct mg_config *c, struct mg_slice server, int kind, struct mg_slice name,
                     struct mg_slice definition, struct mg_buf *changed);

int mg_config_set_state_dir(struct mg_config *c, const char *path); /* NULL: none */
int mg_config_set_listen(struct mg_config *c, const char *addr); /* replaces all; NULL: none; else INVALID */
#endif
