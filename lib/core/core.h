/* core: the brain. It decides what becomes of each message and asks for what it wants done through a
 * small table of ports. It sees no descriptor, no loop, no transport and no clock: time is a parameter.
 * One owner thread. */
#ifndef MG_CORE_CORE_H
#define MG_CORE_CORE_H
#include "base/blob.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "config/config.h"
#include "mcpgw/session.h"
#include "mcpgw/transport.h"
#include "wire/build.h"
#include "wire/headers.h"
#include "wire/message.h"

struct mg_core;
struct mg_ctx;
struct mg_link;
struct mg_seal_key;
struct mcpgw_idempotency;

/* Where the messages for one downstream exchange go: a POST, a batch, a GET stream, an in-process client.
 * The gateway embeds it; the core keeps the calls that will still speak on it. */
struct mg_sink {
  struct mg_list calls;
};
void mg_sink_init(struct mg_sink *s);

struct mg_outgoing {
  /* References are taken over by sink_message, even when it drops them. Bytes that did get to the client are
   * marked (mg_blob_mark_sent): some errors are told until one was. */
  struct mg_seg *segs;
  size_t n;
  int final;           /* the reply to one request of the sink */
  int status;          /* the HTTP status it deserves if no byte has been sent yet */
  const char *session; /* the id that a successful initialize gives the client; else NULL */
};

/* What the core asks of its surroundings. None may call back into the core before it returns. port is what
 * link_open gave. */
struct mg_ports {
  int (*link_open)(void *arg, struct mg_link *l, void **port, int *cancel_closes, struct mg_err *why);
  int (*link_send)(void *port, const mcpgw_message *m);
  void (*link_cancel)(void *port, uint64_t call);
  void (*link_listen)(void *port, const char *revision);
  void (*link_close)(void *port, int graceful); /* no event about this link after it returns */
  void (*sink_message)(struct mg_sink *s, struct mg_outgoing *o);
  void (*sink_streaming)(struct mg_sink *s); /* upstream has begun to stream: answer as a stream too */
  void (*sink_drop)(struct mg_sink *s);      /* one request of the sink will never be answered (cancelled) */
  void (*ctx_ended)(struct mg_ctx *c, void *user); /* its streams are to be closed; user of mg_ctx_set_user */
  /* Optional. A handle does not open: are there other keys (mg_core_set_keys has been called with them)? */
  int (*keys_changed)(void *arg, uint64_t now_ms);
};

struct mg_stats { /* counters; every drop and every failure has one */
  uint64_t requests, replies, errors, cancelled, timeouts, overloaded, queued, queue_full, breaker_opened, breaker_refused, retries, retries_refused, rate_limited;
  uint64_t unknown_ids, unknown_tokens, unknown_responses, dropped_notifications, filtered_logs, upstream_protocol;
  uint64_t links_opened, links_lost, links_reaped, links_deaf, crash_loops, contexts_opened, contexts_ended, contexts_revoked, handles_refused;
  uint64_t lists_fetched, lists_cached, tools_refused;
  uint64_t listens_lost, listen_gaps;
  uint64_t pins_differ, pins_denied;
  uint64_t keyed, keyed_replayed, keyed_joined, keyed_conflicts, keyed_unknown, keyed_unstored, keyed_refused;
};

/* budget and log are BORROWED and must outlive the core; the config is referenced. */
int mg_core_new(struct mg_config *config, const struct mg_ports *ports, void *ports_arg, struct mg_budget *budget,
                struct mg_log *log, struct mg_core **out);
/* The keys that seal handles: the newest, and the one before it (or NULL) for those that are still about.
 * BORROWED until the next call. Without them handles end with the process. */
void mg_core_set_keys(struct mg_core *c, const struct mg_seal_key *newest, const struct mg_seal_key *before);
/* What outlives the process of what upstreams said (known.c). recall: the value kept under a key, OWNED, or NULL.
 * keep: some time soon; nobody waits for it. Without a port nothing is kept. */
struct mg_known_port {
  mg_blob *(*recall)(void *arg, struct mg_slice key);
  void (*keep)(void *arg, struct mg_slice key, struct mg_slice value);
  void *arg;
};
void mg_core_set_known(struct mg_core *c, const struct mg_known_port *port);
void mg_core_free(struct mg_core *c);    /* as mg_core_end_all, then frees */
void mg_core_end_all(struct mg_core *c); /* ends contexts and links, fails calls */
/* The delivery contract for keyed calls (once.h). open is asked when the first one comes: MCPGW_E_UNSUPPORTED: there
 * is no store and there will be none. *out is the core's from then on. Without a port keyed calls are refused. */
struct mg_once_port {
  int (*open)(void *arg, struct mcpgw_idempotency **out, const char **why);
  uint64_t (*unix_ms)(void *arg);
  void *arg;
};
void mg_core_set_once(struct mg_core *c, const struct mg_once_port *port);
void mg_core_once(struct mg_core *c, uint64_t now_ms); /* the contract has something to say (its wake) */
const struct mg_stats *mg_core_stats(const struct mg_core *c);
size_t mg_core_calls(const struct mg_core *c); /* downstream requests in flight, listen streams not counted */
size_t mg_core_queued(const struct mg_core *c); /* of them, those that wait for a place at their upstream */
/* This principal goes on asking although it was refused time and again: how long until it may; 0: it may, or has
 * not been told often enough. For whoever need not read a request to refuse it. */
uint64_t mg_core_rate_wait(struct mg_core *c, struct mg_slice principal, uint64_t now_ms);
size_t mg_core_breakers(const struct mg_core *c); /* upstreams that are left alone now: open or half-open */
size_t mg_core_contexts(const struct mg_core *c);
/* Finishes what lives long by design (listen streams) with a proper end; new requests are refused. */
void mg_core_drain(struct mg_core *c);

/* The upstreams a request may see: [first, first+n). Names carry a prefix when n > 1. */
struct mg_view {
  size_t first, n;
  int all; /* whatever is configured: a reload may change first and n of it */
};

struct mg_inbound { /* one message from downstream */
  mg_blob *blob;            /* BORROWED: the core takes a reference where it must keep it */
  const struct mg_msg *msg; /* scanned; its doc lies inside blob */
  struct mg_view view;
  const mcpgw_credential *who; /* BORROWED for the call */
  struct mg_sink *sink; /* for requests: gets exactly one final message or one drop */
  mg_header_fn header;  /* NULL where there is no header layer (stdio, in-process) */
  /* Walks the request's headers: it starts at 0; 1 and the next, 0 at the end. */
  int (*next_header)(void *arg, size_t *it, struct mg_slice *name, struct mg_slice *value);
  void *header_arg; /* valid as long as the sink is */
  int one_context;  /* modern: the caller is one process, hence one workflow: contexts.no_handle is not for it */
  uint64_t now_ms;
};

/* ---- legacy: sessions are contexts ------------------------------------------------------------------ */
/* An initialize request. *out is the new context, or NULL when it was refused (an error went to the sink). */
void mg_core_initialize(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out);
/* Compares the principal on every use. NULL: not found (or another's). Touches it. */
struct mg_ctx *mg_core_find(struct mg_core *c, struct mg_slice id, const mcpgw_credential *who, uint64_t now_ms);
/* Any message of a context but its initialize. For requests the sink is answered. For notifications and
 * responses: MCPGW_OK (also when dropped and counted), or an error to be told. */
int mg_core_legacy(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in);
void mg_core_end(struct mg_core *c, struct mg_ctx *ctx, const char *why);
/* The last client of this caller has gone for good: what its requests without a handle left ends. */
void mg_core_leave(struct mg_core *c, struct mg_slice principal);

const char *mg_ctx_id(const struct mg_ctx *ctx);
int mg_ctx_revision(const struct mg_ctx *ctx);
int mg_ctx_answered(const struct mg_ctx *ctx); /* its initialize was answered well */
/* Its initialize failed: it is there only for what was said to be fetched, and ends at the next tick or, when somebody
 * may come back for that, after until_ms. */
int mg_ctx_is_over(const struct mg_ctx *ctx);
void mg_ctx_linger(struct mg_ctx *ctx, uint64_t until_ms); /* of no effect on others */
struct mg_view mg_ctx_view(const struct mg_ctx *ctx);
void mg_ctx_set_user(struct mg_ctx *ctx, void *user);
void *mg_ctx_user(const struct mg_ctx *ctx);
/* It does not expire: its owner is in this process and ends it. */
void mg_ctx_pin(struct mg_ctx *ctx);
/* The client's own stream has gone (1), or is there again (0): a context that was left is the first to lose its links
 * when they become scarce. Clients that never had one are taken for present. While it is
 * there the context is in use. */
void mg_ctx_set_left(struct mg_ctx *ctx, int left, uint64_t now_ms);
/* Where messages go that belong to no call; NULL: none (they are dropped and counted). */
void mg_ctx_set_channel(struct mg_ctx *ctx, struct mg_sink *channel);

/* ["2026-07-28",…]: what the upstreams of a view can be spoken to in, as far as it is known. */
int mg_core_supported(const struct mg_core *c, struct mg_view view, struct mg_buf *out);

/* ---- modern: each request stands alone ---------------------------------------------------------------- */
/* A request or notification whose standard headers and _meta have been checked. MCPGW_E_INVALID: it is
 * neither. */
int mg_core_modern(struct mg_core *c, const struct mg_inbound *in);

/* The sink is gone: its calls are cancelled, nothing is sent to it any more. */
void mg_core_sink_gone(struct mg_core *c, struct mg_sink *s);

/* ---- what links report (mcpgw_link_* of transport.h end here) --------------------------------------------- */
void mg_link_on_sent(struct mg_link *l, uint64_t call);
void mg_link_on_streaming(struct mg_link *l, uint64_t call);
void mg_link_on_alive(struct mg_link *l, uint64_t call, uint64_t now_ms);
void mg_link_on_message(struct mg_link *l, uint64_t call, mg_blob *bytes, int http_status, uint64_t now_ms);
void mg_link_on_gap(struct mg_link *l); /* what the server said of its own accord may be lost */
void mg_link_on_failed(struct mg_link *l, uint64_t call, const mcpgw_failure *why, uint64_t now_ms);
void mg_link_on_closed(struct mg_link *l, const mcpgw_failure *why, uint64_t now_ms);
size_t mg_link_index(const struct mg_link *l); /* of its upstream, in config order */

/* ---- report.c: what there is, for people and monitors ------------------------------------------------------ */
#define MG_PAGE_MAX 1000
struct mg_page {
  uint64_t after; /* entries have numbers; those beyond this one, smallest first */
  size_t limit;   /* 1 to MG_PAGE_MAX */
  struct mg_slice principal, upstream; /* filters; empty: all */
  uint64_t now_ms;
  struct mg_buf *out;                  /* {"items":[…],"total":n,"next":number of the last item, or null} */
  int (*pid_of)(void *port);           /* of a link's child process; 0: it has none. May be NULL */
};
int mg_core_report_contexts(const struct mg_core *c, const struct mg_page *page);
int mg_core_report_links(const struct mg_core *c, const struct mg_page *page, int children); /* 1: only those with a process */
int mg_core_report_upstreams(const struct mg_core *c, const struct mg_page *page);
/* How many upstreams are down; out, when not NULL, gets {"name":"why",…}. */
size_t mg_core_report_down(const struct mg_core *c, uint64_t now_ms, struct mg_buf *out);
size_t mg_core_upstreams(const struct mg_core *c);
/* Ends contexts. Sessions are named by id, by what the listing calls "id", or by the tag of the log. *n: how
 * many ended. */
enum { MG_REVOKE_SESSION = MCPGW_REVOKE_SESSION, MG_REVOKE_PRINCIPAL, MG_REVOKE_TOKEN };
int mg_core_revoke(struct mg_core *c, int what, struct mg_slice value, size_t *n);

/* ---- reload.c: another configuration, while everything runs ------------------------------------------------ */
struct mg_reload;
struct mg_changes {
  size_t kept, added, changed, removed;
};
/* Has all the memory that is needed and changes nothing. *out OWNED: commit or drop, in the same turn. */
int mg_reload_plan(struct mg_core *c, struct mg_config *next, struct mg_reload **out);
const struct mg_changes *mg_reload_changes(const struct mg_reload *r);
struct mg_view mg_reload_view(const struct mg_reload *r, struct mg_view old); /* what it becomes; n 0: its server goes */
void mg_reload_commit(struct mg_reload *r, uint64_t now_ms); /* cannot fail; frees r. Ports see the new order from here on */
void mg_reload_drop(struct mg_reload *r);

/* ---- time ---------------------------------------------------------------------------------------------- */
uint64_t mg_core_next_ms(const struct mg_core *c); /* when tick has something to do; UINT64_MAX: nothing */
void mg_core_tick(struct mg_core *c, uint64_t now_ms);
#endif
