/* <mcpgw/gateway.h>: a gateway inside your program.
 *
 * config -> gateway -> (listen) -> fd + timeout + dispatch, or run. All functions are [owner] unless they
 * are marked: one thread owns a gateway at a time. A gateway is not usable in a forked child: calls return
 * MCPGW_E_STATE there. Nothing here installs signal handlers, reads the environment, writes to a
 * descriptor of yours, or ends your process. */
#ifndef MCPGW_GATEWAY_H
#define MCPGW_GATEWAY_H
#include <mcpgw/session.h>
#include <mcpgw/transport.h>
#include <mcpgw/types.h>

MCPGW_BEGIN

typedef struct mcpgw_config mcpgw_config;
typedef struct mcpgw_gateway mcpgw_gateway;
typedef struct mcpgw_client mcpgw_client;
typedef struct mcpgw_event mcpgw_event;

/* ---- configuration (mcpgw.conf(5)) ---------------------------------------------------------------------- */
/* [any], one thread a handle. *out OWNED: mcpgw_config_free. */
MCPGW_API int mcpgw_config_new(mcpgw_config **out);
MCPGW_API void mcpgw_config_free(mcpgw_config *config); /* NULL is fine; gateways made from it live on */
/* Replaces the configuration by a document. env: NULL-terminated array of "NAME=value" for ${VAR} and for
 * what children inherit; NULL: empty. MCPGW_E_CONFIG: see mcpgw_config_error. */
MCPGW_API int mcpgw_config_load_file(mcpgw_config *config, const char *path, size_t path_len, const char *const *env);
MCPGW_API int mcpgw_config_load_mem(mcpgw_config *config, const char *text, size_t text_len, const char *const *env);
/* Adds a server. name: its key, which is the prefix of its tools and its path segment. argv, env, headers
 * ("Name: value"): NULL-terminated, COPIED; env is the child's whole environment. cwd may be NULL. */
MCPGW_API int mcpgw_config_add_stdio(mcpgw_config *config, const char *name, size_t name_len, const char *const *argv,
                                     const char *const *env, const char *cwd);
MCPGW_API int mcpgw_config_add_http(mcpgw_config *config, const char *name, size_t name_len, const char *url,
                                    size_t url_len, const char *const *headers);
/* A server behind a transport of yours: mcpgw_gateway_set_transport before the first message. */
MCPGW_API int mcpgw_config_add_custom(mcpgw_config *config, const char *name, size_t name_len);
/* Replaces all listen addresses: "127.0.0.1:8808", "[::1]:0", "unix:/path". NULL: none. COPIED. */
MCPGW_API int mcpgw_config_set_listen(mcpgw_config *config, const char *addr);
/* Allows an address other machines can reach, without TLS and without authentication. */
MCPGW_API int mcpgw_config_set_insecure_plain_http(mcpgw_config *config, int32_t yes);
MCPGW_API int mcpgw_config_set_log_level(mcpgw_config *config, int32_t level); /* MCPGW_LOG_* */
/* What becomes of the lock file that gateway.pin.file names, for documents loaded afterwards. OBEY (the
 * default): as gateway.pin.mode says. COMPARE: it is read, for mcpgw_config_pinned, and a gateway lets
 * everything pass. IGNORE: it is not even read, and need not be there. */
#define MCPGW_PINS_OBEY 0u
#define MCPGW_PINS_COMPARE 1u
#define MCPGW_PINS_IGNORE 2u
MCPGW_API int mcpgw_config_set_pins(mcpgw_config *config, uint32_t use);
MCPGW_API const char *mcpgw_config_pin_file(const mcpgw_config *config); /* BORROWED until the next load; NULL: none */
/* Compares a definition, as a server lists it, with what was pinned under the server's key. changed names the
 * members that differ ("description, +annotations"), "" when none does; OWNED: mcpgw_free. MCPGW_E_PARSE: it
 * is no JSON object. */
#define MCPGW_PIN_TOOL 0x74u   /* kinds */
#define MCPGW_PIN_PROMPT 0x70u
#define MCPGW_PIN_FREE 0u      /* verdicts: nothing of this server is pinned */
#define MCPGW_PIN_SAME 1u
#define MCPGW_PIN_CHANGED 2u
#define MCPGW_PIN_ADDED 3u     /* the server is pinned, this is new */
MCPGW_API int mcpgw_config_pinned(const mcpgw_config *config, const char *server, size_t server_len, uint32_t kind,
                                  const char *name, size_t name_len, const char *definition, size_t definition_len,
                                  uint32_t *verdict, char **changed);
/* The admin door of this configuration: its address, and the token callers must present. NULL: none. BORROWED
 * until the configuration changes; the token is a secret. */
MCPGW_API const char *mcpgw_config_admin_listen(const mcpgw_config *config);
MCPGW_API const char *mcpgw_config_admin_token(const mcpgw_config *config);
/* Where keys and records are kept; NULL: nowhere. COPIED. */
MCPGW_API int mcpgw_config_set_state_dir(mcpgw_config *config, const char *path);
MCPGW_API const char *mcpgw_config_state_dir(const mcpgw_config *config); /* NULL: none. BORROWED until it changes */
/* gateway.contexts.no_handle: "principal", "fresh" or "refuse". A constant; NULL for NULL. */
MCPGW_API const char *mcpgw_config_no_handle(const mcpgw_config *config);
/* May the addresses be listened on as things stand? MCPGW_E_CONFIG, as mcpgw_gateway_listen would say later: one is
 * open to other machines; see mcpgw_config_error. */
MCPGW_API int mcpgw_config_check_listen(mcpgw_config *config);
/* Why the last call failed; "" when it did not. BORROWED until the next call with this handle. */
MCPGW_API const char *mcpgw_config_error(const mcpgw_config *config);
MCPGW_API size_t mcpgw_config_servers(const mcpgw_config *config);
/* BORROWED until the configuration changes; NULL when index is out of range. */
MCPGW_API const char *mcpgw_config_server_name(const mcpgw_config *config, size_t index);
MCPGW_API const char *mcpgw_config_server_slug(const mcpgw_config *config, size_t index); /* prefix, path */
/* What was ignored or switched off, one line each: "mcpServers.x.autoApprove: ignored …". */
MCPGW_API size_t mcpgw_config_notes(const mcpgw_config *config);
MCPGW_API const char *mcpgw_config_note(const mcpgw_config *config, size_t index);

/* ---- gateway ------------------------------------------------------------------------------------------------ */
typedef struct mcpgw_gateway_options {
  uint32_t struct_size;
  uint32_t subreaper; /* 1: this process is a child subreaper and starts no processes itself (see CAVEATS); 0 */
  /* One JSON object a line, no newline; NULL: silent. [owner] thread; may not call back into the gateway. */
  void (*log)(void *data, int level, const char *line, size_t len);
  void *log_data;
  const char *launcher; /* absolute path of mcpgw-launch; NULL: children are spawned directly (see CAVEATS) */
  /* A store of yours, shared by several gateways perhaps; referenced. NULL: one in the configuration's state_dir. */
  struct mcpgw_store *store;
} mcpgw_gateway_options;
/* [any] Fills in defaults and struct_size. */
MCPGW_API void mcpgw_gateway_options_init(mcpgw_gateway_options *options);
/* options may be NULL. *out OWNED: mcpgw_gateway_free. The config is taken as it is now. */
MCPGW_API int mcpgw_gateway_new(mcpgw_gateway **out, const mcpgw_config *config, const mcpgw_gateway_options *options);
/* Ends everything at once: connections are cut, children killed. NULL is fine. Not from a callback. */
MCPGW_API void mcpgw_gateway_free(mcpgw_gateway *gateway);
MCPGW_API const char *mcpgw_gateway_error(const mcpgw_gateway *gateway); /* BORROWED until the next call */
/* Serves the configured addresses. */
MCPGW_API int mcpgw_gateway_listen(mcpgw_gateway *gateway);
/* Another configuration, while everything runs. Servers whose entry is the same keep their links, lists and
 * contexts; calls under way at the others finish there, new ones go to a fresh server or are refused; clients
 * are told that lists changed. Addresses, limits and the log level follow. On failure nothing changes, and
 * mcpgw_gateway_error says why. The config is taken as it is now. Not from a callback. */
MCPGW_API int mcpgw_gateway_reload(mcpgw_gateway *gateway, const mcpgw_config *config);
MCPGW_API size_t mcpgw_gateway_endpoints(const mcpgw_gateway *gateway);
MCPGW_API const char *mcpgw_gateway_endpoint(const mcpgw_gateway *gateway, size_t index); /* "http://127.0.0.1:8808/mcp" */
/* ops and transport are BORROWED until the gateway is freed. name as in mcpgw_config_add_custom. */
MCPGW_API int mcpgw_gateway_set_transport(mcpgw_gateway *gateway, const char *name, size_t name_len,
                                          const mcpgw_transport_ops *ops, void *transport);

/* Three ways in. 1: your own loop waits until fd is readable or timeout_ms is over (-1: no timeout), then
 * calls dispatch; both values hold only until the next call into the library: read them again after every
 * call. 2: run returns when the gateway has stopped. 3: wakeup, from any thread, makes either return. */
MCPGW_API int mcpgw_gateway_fd(const mcpgw_gateway *gateway);
MCPGW_API int mcpgw_gateway_timeout_ms(mcpgw_gateway *gateway);
MCPGW_API int mcpgw_gateway_dispatch(mcpgw_gateway *gateway);                  /* never blocks */
MCPGW_API int mcpgw_gateway_wait(mcpgw_gateway *gateway, int timeout_ms);      /* one turn that may block so long; -1: for ever */
MCPGW_API int mcpgw_gateway_run(mcpgw_gateway *gateway); /* MCPGW_OK: stopped; MCPGW_E_AGAIN: woken, or an event waits */
MCPGW_API void mcpgw_gateway_wakeup(mcpgw_gateway *gateway);                   /* [any], signal handlers too */
/* Graceful: no new connections, calls in flight may finish for so long, streams end properly, children
 * are ended. A second call with 0 hurries. run and dispatch carry it out. */
MCPGW_API int mcpgw_gateway_stop(mcpgw_gateway *gateway, uint64_t deadline_ms);
MCPGW_API int mcpgw_gateway_stopped(const mcpgw_gateway *gateway); /* 1 or 0 */
/* Counters as one JSON object. *out OWNED: mcpgw_free. */
MCPGW_API int mcpgw_gateway_stats(mcpgw_gateway *gateway, char **out);

/* What the gateway is doing, as the admin door tells it: one JSON object. kind: "contexts", "links", "children",
 * "upstreams", "stats" or "ready"; MCPGW_E_NOT_FOUND: another. query: as in the door's URLs
 * ("limit=100&after=17&principal=a&upstream=files"), or NULL; MCPGW_E_INVALID. *out OWNED: mcpgw_free. */
MCPGW_API int mcpgw_gateway_report(mcpgw_gateway *gateway, const char *kind, size_t kind_len, const char *query,
                                   size_t query_len, char **out);
/* Ends sessions at once: their calls fail, their streams close, their links and children end. by:
 * "session" (value: its id, or what a report calls "id"), "principal" or "token" (value: a token id that one of
 * the newest 8 credentials of a session had). *ended: how many there were. */
MCPGW_API int mcpgw_gateway_revoke(mcpgw_gateway *gateway, const char *by, size_t by_len, const char *value,
                                   size_t value_len, size_t *ended);

/* ---- in-process clients --------------------------------------------------------------------------------------- */
/* A client of this gateway inside the process. server: one server's slug, or NULL for all together.
 * MCPGW_CLIENT_AUTO negotiates by itself: 2026-07-28 where the servers speak it, else initialize; use
 * mcpgw_client_request and read results. MCPGW_CLIENT_RAW sends and receives whole JSON-RPC messages: it is
 * what a stdio front is made of. *out OWNED: mcpgw_client_close. */
#define MCPGW_CLIENT_AUTO 0u
#define MCPGW_CLIENT_RAW 1u
#define MCPGW_CLIENT_LEGACY 2u /* like AUTO, but always with initialize */
MCPGW_API int mcpgw_client_open(mcpgw_client **out, mcpgw_gateway *gateway, const char *server, size_t server_len,
                                uint32_t mode);
typedef struct mcpgw_client_options {
  uint32_t struct_size;
  uint32_t mode; /* MCPGW_CLIENT_* */
  const char *server; /* as above; BORROWED for the call, as all here */
  size_t server_len;
  /* Who the client speaks for, 1 to 512 bytes: contexts, servers' state of isolation `principal` and limits are
   * this caller's. NULL: all such clients are one caller, and never one that came over the network. */
  const char *principal;
  size_t principal_len;
} mcpgw_client_options;
MCPGW_API void mcpgw_client_options_init(mcpgw_client_options *options); /* [any] defaults and struct_size */
MCPGW_API int mcpgw_client_open_with(mcpgw_client **out, mcpgw_gateway *gateway, const mcpgw_client_options *options);
MCPGW_API void mcpgw_client_close(mcpgw_client *client); /* its calls are cancelled; its events are dropped */
/* One JSON-RPC message, COPIED. RAW: whatever a client may say. AUTO: only responses and notifications. */
MCPGW_API int mcpgw_client_send(mcpgw_client *client, const char *message, size_t len);
/* AUTO. params: a JSON object without _meta, or NULL. *request_id names the reply's event. May be called
 * before the client is ready: it waits. */
MCPGW_API int mcpgw_client_request(mcpgw_client *client, const char *method, size_t method_len, const char *params,
                                   size_t params_len, uint64_t *request_id);
MCPGW_API int mcpgw_client_cancel(mcpgw_client *client, uint64_t request_id);

#define MCPGW_EVENT_REPLY 1u   /* AUTO: data is the whole JSON-RPC response to request_id */
#define MCPGW_EVENT_MESSAGE 2u /* any other message: notifications, requests of servers; all of them when RAW */
#define MCPGW_EVENT_READY 3u   /* AUTO: negotiated; data is the DiscoverResult or InitializeResult message */
#define MCPGW_EVENT_CLOSED 4u  /* the client cannot go on; data says why in one line. Close it. */
/* The next event, oldest first. MCPGW_E_AGAIN: none now. *out OWNED: mcpgw_event_free. */
MCPGW_API int mcpgw_gateway_next_event(mcpgw_gateway *gateway, mcpgw_event **out);
MCPGW_API void mcpgw_event_free(mcpgw_event *event); /* NULL is fine */
MCPGW_API uint32_t mcpgw_event_kind(const mcpgw_event *event);
MCPGW_API mcpgw_client *mcpgw_event_client(const mcpgw_event *event);
MCPGW_API uint64_t mcpgw_event_request_id(const mcpgw_event *event);
MCPGW_API const char *mcpgw_event_data(const mcpgw_event *event); /* BORROWED until mcpgw_event_free; NUL follows */
MCPGW_API size_t mcpgw_event_len(const mcpgw_event *event);

MCPGW_END
#endif
