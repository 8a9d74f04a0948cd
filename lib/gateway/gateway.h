/* gateway: the glue between listeners, the brain and the transports. What is declared here is shared by
 * the files of this room and by api/. */
#ifndef MG_GATEWAY_GATEWAY_H
#define MG_GATEWAY_GATEWAY_H
#include "base/err.h"
#include "base/heap.h"
#include "base/map.h"
#include "config/config.h"
#include "core/core.h"
#include "core/context/session.h"
#include "gateway/state.h"
#include "http/client.h"
#include "http/server.h"
#include "loop/child.h"
#include "loop/loop.h"
#include "mcpgw/gateway.h"
#include "transport/stdio.h"

#define MG_MAX_EVENTS 65536
#define MG_MAX_CLIENTS 4096

struct mg_alarm { /* a deadline */
  struct mg_heap_node node; /* first */
  void (*fire)(struct mg_alarm *a, uint64_t now_ms);
};

/* How links to one server are made. Held by gw->ups and by each link; it outlives a reload that removes or
 * replaces its server, until the last link is closed and has said goodbye. */
struct mg_gw_upstream {
  struct mg_alarm last; /* first */
  struct mg_list node;  /* in gw->old_ups, once gw->ups lets go of it */
  struct mcpgw_gateway *gw;
  size_t refs;
  struct mg_config *config; /* a reference: cfg lies in it */
  const struct mg_cfg_server *cfg;
  const mcpgw_transport_ops *ops;
  void *transport;
  void (*transport_free)(void *);
  size_t leaving; /* links in gw->closing */
};

struct mcpgw_link { /* the public link: a core link and its transport */
  struct mcpgw_gateway *gw;
  struct mg_link *core; /* NULL once the core has let go of it */
  const mcpgw_transport_ops *ops;
  void *impl;
  int graceful;
  int inside; /* slots of the transport on the stack: it may not report from inside one */
  struct mg_gw_upstream *up; /* a reference */
  struct mg_err *why;  /* while it is being opened: gets the text of the first error that is logged */
  struct mg_list node; /* in gw->closing */
};

struct mg_owner { /* what a context's user pointer points to: first in a session and in a client */
  void (*ctx_ended)(struct mg_owner *o);
};

struct mg_endpoint { /* an address that is served */
  char *addr, *url; /* as it was configured, and what it became */
};

struct mcpgw_gateway {
  struct mg_config *config;
  struct mg_loop *loop;
  struct mg_http_server *server, *admin; /* admin: NULL without gateway.admin.listen */
  struct mg_http_client *http;
  struct mg_core *core;
  struct mg_budget budget;
  struct mg_log log;
  struct mg_err err;
  struct mg_state state;
  struct mg_gw_upstream **ups; /* as config->servers */
  struct mg_stdio_stats past_children; /* of transports that are gone */
  struct mg_list old_ups;      /* no longer configured; links of theirs are still ending */
  char *launcher;

  struct mg_timer *timer, *limit; /* limit: of one turn that may block for a while */
  uint64_t armed_ms;
  struct mg_heap alarms;
  struct mg_list orphans; /* legacy streams whose client may come back */
  struct mg_list over;    /* those that are finished and kept, oldest first */
  size_t replay_bytes;    /* what all streams remember */
  struct mg_list closing; /* links whose transport is to be closed in a turn of its own */
  int closing_posted;

  struct mg_endpoint *endpoints;
  size_t n_endpoints;
  struct mg_seal_key *keys[2]; /* of state_dir: newest first; NULL: the core's own are in use */
  uint64_t keys_made_ms, keys_looked_ms;
  struct mg_alarm keys_alarm;
  struct mg_list clients, events;
  size_t n_events, n_clients;
  uint64_t streams_cut, replays_dropped, events_dropped;
  int listening, stopping, stopped, woken; /* stopping: 1 calls may finish, 2 everything is being ended */
  uint64_t stop_ms, reloads;
};

/* ---- gateway.c ---------------------------------------------------------------------------------------- */
int mg_gw_new(struct mg_config *config, const mcpgw_gateway_options *o, struct mcpgw_gateway **out);
void mg_gw_free(struct mcpgw_gateway *gw);
int mg_gw_listen(struct mcpgw_gateway *gw);
void mg_gw_http_limits(const struct mg_config *c, struct mg_http_limits *out);
int mg_gw_open_endpoint(struct mcpgw_gateway *gw, const char *addr, struct mg_endpoint *out); /* listens; gw->err */
int mg_gw_endpoint_copy(const struct mg_endpoint *from, struct mg_endpoint *out);
void mg_gw_endpoints_free(struct mg_endpoint *v, size_t n);
int mg_gw_turn(struct mcpgw_gateway *gw, int timeout_ms); /* 0: does not block; -1: no limit */
int mg_gw_timeout_ms(struct mcpgw_gateway *gw);
int mg_gw_stop(struct mcpgw_gateway *gw, uint64_t deadline_ms);
int mg_gw_stats(struct mcpgw_gateway *gw, char **out);
int mg_gw_guard(const struct mcpgw_gateway *gw); /* MCPGW_E_STATE in a forked child */
void mg_gw_alarm(struct mcpgw_gateway *gw, struct mg_alarm *a, uint64_t at_ms); /* sets or moves */
void mg_gw_alarm_off(struct mcpgw_gateway *gw, struct mg_alarm *a);
void mg_gw_settle(struct mcpgw_gateway *gw); /* after anything happened: is the timer early enough? */
uint64_t mg_gw_now(struct mcpgw_gateway *gw);

/* ---- reload.c ----------------------------------------------------------------------------------------- */
int mg_gw_reload(struct mcpgw_gateway *gw, struct mg_config *config); /* on failure nothing changed, and gw->err says why */

/* ---- report.c, admin.c ---------------------------------------------------------------------------------- */
/* kind: contexts, links, children, upstreams, stats or ready; NOT_FOUND: another. query: as in a URL, or empty.
 * *out OWNED, NUL follows. */
int mg_gw_report(struct mcpgw_gateway *gw, struct mg_slice kind, struct mg_slice query, char **out, size_t *len);
const char *mg_gw_unready(struct mcpgw_gateway *gw); /* why it should get no new clients; NULL: it is ready */
int mg_gw_revoke(struct mcpgw_gateway *gw, int what, struct mg_slice value, size_t *n); /* MG_REVOKE_* */

/* ---- keys.c --------------------------------------------------------------------------------------------- */
void mg_keys_start(struct mcpgw_gateway *gw); /* once there is a core */
int mg_keys_look(struct mcpgw_gateway *gw, uint64_t now_ms); /* 1: another process has made new ones, which are in use now */
void mg_keys_done(struct mcpgw_gateway *gw);  /* after the core */

/* ---- known.c ------------------------------------------------------------------------------------------- */
void mg_known_offer(struct mcpgw_gateway *gw); /* to the core, once there is one */

/* ---- link.c ------------------------------------------------------------------------------------------- */
extern const struct mg_ports mg_gw_ports;
void mg_gw_close_links(struct mcpgw_gateway *gw);

/* ---- children.c ------------------------------------------------------------------------------------------ */
/* MCPGW_E_CONFIG with a text: a server asks for what cannot be had. Before a gateway is made of it. */
int mg_gw_check_children(const struct mg_config *c, const char *launcher, struct mg_err *err);
int mg_gw_make_stdio(struct mcpgw_gateway *gw, const struct mg_cfg_server *s, struct mg_gw_upstream *up);
void mg_gw_children_stats(const struct mcpgw_gateway *gw, struct mg_stdio_stats *sum);
void mg_gw_children_keep(const struct mg_gw_upstream *up); /* it goes: what its processes did still counts */

/* ---- upstream.c --------------------------------------------------------------------------------------- */
int mg_gw_upstream_new(struct mcpgw_gateway *gw, struct mg_config *config, size_t i, struct mg_gw_upstream **out);
void mg_gw_upstream_ref(struct mg_gw_upstream *up);
void mg_gw_upstream_unref(struct mg_gw_upstream *up); /* NULL is fine; the last one frees it a little later */
int mg_gw_upstreams_new(struct mcpgw_gateway *gw); /* one for each configured server */
void mg_gw_upstreams_free(struct mcpgw_gateway *gw); /* when there are no links any more */
int mg_gw_set_transport(struct mcpgw_gateway *gw, struct mg_slice name, const mcpgw_transport_ops *ops, void *transport);
/* The view a path segment or slug names; n 0: no such server. Empty: everything. */
struct mg_view mg_gw_view(const struct mcpgw_gateway *gw, struct mg_slice slug);

/* A sink of this room: what the core hands it goes through these. */
struct mg_out {
  struct mg_sink sink; /* first */
  void (*message)(struct mg_out *o, struct mg_outgoing *m); /* consumes m->segs */
  void (*streaming)(struct mg_out *o);
  void (*drop)(struct mg_out *o);
};

/* ---- endpoint.c, access.c ------------------------------------------------------------------------------- */
extern const struct mg_http_events mg_gw_http_events;
int mg_access_check(struct mcpgw_gateway *gw, struct mg_exchange *x, const struct mg_http_request *r, const char **why);
/* Appends the CORS response headers an allowed origin gets. */
void mg_access_cors(struct mcpgw_gateway *gw, struct mg_exchange *x, struct mg_buf *out);
/* Who sent this request, as far as it has been authenticated; texts BORROWED for the call. */
void mg_access_caller(struct mcpgw_gateway *gw, struct mg_exchange *x, mcpgw_credential *who);

/* ---- replay.c: what a legacy stream remembers, so that a client may resume it ------------------------------ */
struct mg_replay_event {
  uint64_t seq;
  struct mg_seg *segs;
  size_t n, len;
};
struct mg_replay {
  struct mg_replay_event *v;
  size_t n, cap, bytes, max_events, max_bytes;
  size_t *all; /* BORROWED: what this one and its like hold together */
  uint64_t dropped;
};
void mg_replay_init(struct mg_replay *r, size_t max_events, size_t max_bytes, size_t *all);
void mg_replay_done(struct mg_replay *r);
/* Takes references of its own. Beyond a ceiling the oldest go, and are counted. room: for all of them together. */
int mg_replay_add(struct mg_replay *r, uint64_t seq, const struct mg_seg *segs, size_t n, size_t room);
void mg_replay_drop_to(struct mg_replay *r, uint64_t seq); /* events up to seq were received */

/* ---- stream.c: the answer to one POST, or a session's own channel ------------------------------------------- */
struct mg_stream;
struct mg_session;
/* The answer to a POST of n requests. session NULL: modern (or an initialize). */
int mg_stream_post(struct mcpgw_gateway *gw, struct mg_exchange *x, struct mg_session *s, int batch, size_t requests,
                   struct mg_stream **out);
int mg_stream_channel(struct mcpgw_gateway *gw, struct mg_session *s, struct mg_stream **out); /* no exchange yet */
struct mg_sink *mg_stream_sink(struct mg_stream *st);
uint64_t mg_stream_number(const struct mg_stream *st);
int mg_stream_is_over(const struct mg_stream *st); /* all is said; only kept for a client that may come back */
/* A GET takes the stream over from where the client lost it. */
int mg_stream_attach(struct mg_stream *st, struct mg_exchange *x, uint64_t after_seq);
void mg_stream_gone(struct mg_stream *st, struct mg_exchange *x); /* the client's connection is gone */
/* initialize: the session that it makes. *self is set to NULL when the stream goes away before. */
void mg_stream_watch(struct mg_stream *st, struct mg_stream **self);
void mg_stream_bind(struct mg_stream *st, struct mg_session *s);
void mg_stream_close(struct mg_stream *st); /* ends it, whatever was pending; frees */
void mg_streams_stop(struct mcpgw_gateway *gw); /* nobody can come back any more: their calls are cancelled */
struct mg_list *mg_stream_node(struct mg_stream *st);
struct mg_stream *mg_stream_of(struct mg_list *node);

/* ---- session.c: the streams of a legacy context -------------------------------------------------------------- */
int mg_session_new(struct mcpgw_gateway *gw, struct mg_ctx *ctx, struct mg_session **out);
void mg_session_free(struct mg_session *s); /* closes its streams */
struct mg_ctx *mg_session_ctx(const struct mg_session *s);
uint64_t mg_session_add(struct mg_session *s, struct mg_stream *st); /* gives it its number */
void mg_session_remove(struct mg_session *s, struct mg_stream *st);
/* A GET: attaches it to the channel, or to the stream that Last-Event-ID names. MCPGW_E_NOT_FOUND: none. */
int mg_session_get(struct mg_session *s, struct mg_exchange *x, struct mg_slice last_event_id);

/* ---- peer.c, auto.c: in-process clients ------------------------------------------------------------------------ */
struct mcpgw_event {
  struct mg_list node; /* first */
  unsigned kind;
  struct mcpgw_client *client;
  uint64_t request_id;
  struct mg_seg *segs; /* as they came; put together when the host takes the event (a long one in place) */
  size_t n_segs, len;
  mg_blob *bytes;      /* then: the message and a NUL */
  int unread;          /* AUTO: what it is has not been looked at yet */
};
struct mcpgw_client {
  struct mg_list node; /* first; in gw->clients */
  struct mg_owner owner;
  struct mg_out out;
  struct mcpgw_gateway *gw;
  struct mg_ctx *ctx;
  struct mg_view view;
  char *principal;       /* OWNED */
  unsigned mode;
  int closed;            /* CLOSED was told */
  struct mcpgw_event *farewell; /* to tell it with when there is no memory; NULL once it is on its way */
  int stage;             /* AUTO: see auto.c */
  int deferred, dead;    /* AUTO: a step is posted; closed meanwhile, the step frees it */
  uint64_t next_id;
  struct mg_buf waiting; /* AUTO: requests before the client is ready: "id\0method\0params\0" each */
};
/* principal empty: the one of all in-process clients that name none. */
int mg_peer_open(struct mcpgw_gateway *gw, struct mg_slice server, unsigned mode, struct mg_slice principal,
                 struct mcpgw_client **out);
void mg_peer_close(struct mcpgw_client *c);
int mg_peer_send(struct mcpgw_client *c, struct mg_slice message); /* whole messages, of either era */
int mg_peer_next(struct mcpgw_gateway *gw, struct mcpgw_event **out);
void mg_peer_event_free(struct mcpgw_event *e);
/* Takes the references of segs over, on failure too. */
int mg_peer_event(struct mcpgw_client *c, unsigned kind, uint64_t id, struct mg_seg *segs, size_t n);
int mg_peer_event_text(struct mcpgw_client *c, unsigned kind, uint64_t id, struct mg_slice text); /* COPIED */
void mg_peer_fail(struct mcpgw_client *c, const char *why); /* CLOSED, once */

void mg_auto_start(struct mcpgw_client *c);
/* A message for an AUTO client: handshakes are its own, replies get their request's id. Consumes segs. */
void mg_auto_message(struct mcpgw_client *c, struct mg_seg *segs, size_t n);
void mg_auto_name(struct mcpgw_event *e); /* finds out what an unread message is */
int mg_auto_request(struct mcpgw_client *c, struct mg_slice method, struct mg_slice params, uint64_t *id);
int mg_auto_send(struct mcpgw_client *c, struct mg_slice message); /* no requests: those have their own door */
int mg_auto_cancel(struct mcpgw_client *c, uint64_t id);
#endif
