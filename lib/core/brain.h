/* core/brain: the structures that the files of this room share. Ownership in one picture:
 *
 *   core -> contexts -> links (legacy, one an upstream)        core -> upstreams -> modern link (shared)
 *   link -> legs (requests under way on it), lists             sink -> calls (downstream requests) -> legs
 *
 * A call lives until its final message; a leg until its reply, failure or cancel. */
#ifndef MG_CORE_BRAIN_H
#define MG_CORE_BRAIN_H
#include "base/clock.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/map.h"
#include "core/link/breaker.h"
#include "core/core.h"
#include "core/once/once.h"
#include "core/context/session.h"
#include "json/splice.h"

/* Ceilings that no config sets. */
#define MG_MAX_LEGS 65536     /* requests in flight on one link */
#define MG_MAX_CTX_CALLS 1024 /* requests in flight in one context */
#define MG_MAX_REVERSE 256    /* questions of servers waiting in one context */
#define MG_MAX_TASKS 4096     /* task ids remembered in a context */
#define MG_MAX_PAGES 1000
#define MG_NOTICES 4           /* errors of one bind whose writing is watched */
#define MG_SPARE_BYTES (MG_ID_MAX + 256)
#define MG_MAX_LIST_BYTES ((size_t)8 << 20)
#define MG_MAX_ITEMS 65536
#define MG_GATEWAY_INFO "{\"name\":\"mcpgw\",\"version\":\"0.1.0\"}"

enum { MG_LIST_TOOLS, MG_LIST_PROMPTS, MG_LIST_RESOURCES, MG_LIST_TEMPLATES, MG_LIST_KINDS };
enum { /* capabilities a server declared */
  MG_CAP_TOOLS = 1, MG_CAP_PROMPTS = 2, MG_CAP_RESOURCES = 4, MG_CAP_COMPLETIONS = 8, MG_CAP_LOGGING = 16,
  MG_CAP_TASKS = 32,
  MG_CAP_CHANGES = 256 /* times MG_CAP_TOOLS, _PROMPTS, _RESOURCES: it says when that list changes */
};

/* One entry of a server's list. raw and the spans point into a page that the table keeps. */
struct mg_item {
  struct mg_slice raw;
  struct mg_span name;     /* of name (tools, prompts) or uri / uriTemplate, relative to raw */
  char *key;               /* its text */
  int blocked;             /* not as it was pinned: neither listed nor called */
  char *exposed;           /* what an aggregate view calls it; NULL for resources */
  struct mg_params params; /* x-mcp-header, tools only */
  int effect;              /* tools: MG_EFFECT_* by its annotations, where the config trusts them */
  size_t rule;             /* tools: 1 + the first pattern of the config that fits its name; 0 none */
};
enum { MG_TABLE_UNKNOWN, MG_TABLE_LOADING, MG_TABLE_READY, MG_TABLE_FAILED };
struct mg_table {
  int state, stale; /* stale: still good for routing, to be fetched anew before it is shown */
  int failed;       /* the last fetch came to nothing: what is there is older than it should be */
  int told;         /* the upstream itself said that this list changes, since it was last fetched */
  mg_blob **pages;
  size_t n_pages, bytes;
  struct mg_item *items;
  size_t n, cap;
  struct mg_map *by_key, *by_exposed; /* to index + 1 */
  uint64_t fetched_ms, ttl_ms, generation;
  int has_ttl, is_private;
  uint64_t asked_ms;                 /* when what is there was asked for: no call that came later takes it for its own */
  uint64_t settled_ms, refreshed_ms; /* last success or failure; last refresh on suspicion */
  uint64_t announced_ms;             /* when clients were last told that it is not what it was */
  struct mg_list waiters;
  struct mg_load *load; /* the fetch under way */
};

struct mg_upstream_stats { /* requests include the gateway's own: lists, handshakes */
  uint64_t requests, replies, failed, timeouts, links_opened, links_lost;
};
/* Places at an upstream, or for the tools of one pattern there. */
struct mg_gate {
  size_t limit, room;     /* places, and how many may wait; limit 0: no end of them */
  size_t running, queued; /* lengths of the two lists */
  struct mg_list holders, waiting; /* mg_place.node; waiting in order of arrival */
  int told;               /* that it is full has been logged */
};
struct mg_gates {
  struct mg_core *core; /* NULL: not in use */
  struct mg_gate all, *tools; /* tools: one for each pattern of the config, or NULL when none has a limit */
  size_t n_tools;
};
struct mg_place { /* of a call: held, or waited for */
  struct mg_list node;
  struct mg_gate *gate; /* NULL: none */
  int held, is_tool;
};

struct mg_suspicion { /* see suspect.c */
  unsigned young, loops; /* deaths soon after the start, one after the other; how often that made a loop */
  uint64_t died_ms;      /* the last of them */
  uint64_t told_ms, untold; /* the second in which log lines are counted */
  unsigned told;
};

struct mg_upstream {
  struct mg_core *core;
  size_t index; /* in core->ups; retired: SIZE_MAX */
  struct mg_config *config; /* a reference: cfg lies in it */
  const struct mg_cfg_server *cfg;
  int retired;               /* not in core->ups any more, but in core->retired: it drains */
  struct mg_upstream *heir;  /* the one that took its place; NULL: none */
  uint64_t drain_ms;         /* when calls that are still under way are ended */
  struct mg_list node;
  uint32_t slot;             /* its number in bindings, for as long as it lives */
  struct mg_link *shared[2]; /* isolation `shared`: the legacy and the modern one; NULL until somebody came */
  size_t n_links;            /* all that are alive */
  int speaks_modern;      /* 0 unknown, 1 yes, -1 no */
  uint64_t probe_ms;      /* not before this time is a server taken for legacy asked again */
  uint32_t budget;        /* of retries, in thousandths */
  struct mg_breaker breaker; /* whether it is asked at all */
  struct mg_suspicion suspicion;
  char error[MG_ERR_MAX]; /* why it is not there */
  int crowded;            /* because of a ceiling, or want of memory, of our own */
  const char *late;       /* while those who waited for it are told: the limit that its handshake passed; else NULL */
  uint64_t late_ms;       /* how long that is */
  size_t n_ready;         /* links that are READY */
  struct mg_upstream_stats stats;
  struct mg_list feeds;   /* what its listeners share, see feed.h */
  struct {
    int asked;        /* it has been looked up */
    mg_blob *value;   /* what was written down the last time, until the server has spoken; or NULL */
    unsigned char saved[32]; /* digest of what is written down now */
    uint64_t saved_ms;
  } known;
  struct mg_gates gates;  /* of all its links, unless each is a process of its own */
};

enum { MG_LINK_OPENING, MG_LINK_READY, MG_LINK_DEAD };
struct mg_link {
  struct mg_core *core;
  struct mg_upstream *up;
  int scope;                  /* MG_ISO_SESSION, _PRINCIPAL or _SHARED: who may use it */
  struct mg_ctx *ctx;         /* the one it belongs to, of scope SESSION; else NULL */
  struct mg_principal *owner; /* of scope PRINCIPAL; else NULL */
  struct mg_list binds;       /* the contexts that use it; of a shared modern one nobody keeps count */
  size_t n_binds;
  struct mg_list questions; /* mg_reverse: what its server asked and nobody has answered */
  void *port;
  int state, modern, revision, cancel_closes;
  int initialized; /* legacy: notifications/initialized has been sent */
  int stateful;    /* a tools/call, subscribe or setLevel succeeded on it */
  int counted;     /* its death has been counted */
  int probes;      /* the breaker waits for what becomes of it */
  int forgiven;    /* it ends because of what was said, not because something broke */
  int asked;       /* whether it is there, and it has not answered yet */
  int answered;    /* one request after the handshake got its reply */
  int tells_sent;  /* its transport says what has been sent: only then does silence mean "not delivered" */
  uint32_t caps;
  int level;           /* a common one: the log level it was told; -1: none */
  uint64_t used_ms;    /* when a request was last sent, or answered */
  uint64_t heard_ms;   /* when anything last came from it */
  uint64_t next_id, number, opened_ms; /* number: of links and contexts, unique in the process */
  struct mg_map *legs; /* id -> leg */
  mg_blob *hello;      /* the InitializeResult or DiscoverResult message */
  struct mg_table *lists; /* MG_LIST_KINDS; NULL: a legacy view of one upstream, which needs none */
  struct mg_map *audiences; /* principals with lists of their own, see audience.c; NULL: none */
  struct mg_list audience;
  struct mg_cache *cache; /* replies that may be served again; NULL: none yet */
  uint64_t changed_ms;    /* when it last said that a list changed */
  struct mg_tails *tails; /* of calls that became tasks; NULL: none */
  struct mg_list waiters;
  struct mg_gates *gates, own; /* a child process has places of its own, other links share their upstream's */
  struct mg_list node; /* in core->links or core->graveyard */
};

struct mg_leg;
struct mg_waiter { /* a call that waits for a link or a list */
  struct mg_list node;
  struct mg_call *call; /* NULL: free */
};

struct mg_text { /* a short string kept with its owner: inline while it fits; not to be copied */
  char *ptr;
  size_t len;
  char small[32];
};

struct mg_ctx {
  struct mg_core *core;
  struct mcpgw_session *session; /* whose, since when, how long */
  uint64_t number; /* unique in the process, for listings */
  struct mg_view view;
  int left;                                   /* its client's own stream was there, and has gone */
  int listens;                                /* it is there */
  int modern, is_home;                        /* is_home: of its principal's requests without a handle */
  int unclaimed;                              /* its handle was given to who had not asked for one, and never came back */
  int revision, initialized, answered, ended; /* answered: the InitializeResult has left */
  unsigned can;                               /* MG_CAN_*: what a legacy client can be asked */
  mg_blob *hello;         /* the client's initialize params, as they go upstream */
  mg_blob *refusal;       /* the error that an upstream gave to initialize */
  struct mg_list in_flight; /* calls */
  size_t n_calls;
  struct mg_map *calls;   /* legacy: raw id -> call */
  struct mg_map *reverse; /* number -> mg_reverse */
  struct mg_map *tasks;   /* task id -> upstream */
  struct mg_text level;   /* of the last logging/setLevel, raw */
  struct mg_map *subscriptions; /* raw uri -> upstream */
  struct mg_text handle;        /* modern: "_meta":{…} with the sealed one, made when it is first wanted */
  uint64_t handle_keys;         /* with which keys it was made */
  uint64_t next_reverse;
  struct mg_sink *channel;
  void *user;
};

/* A context at one upstream. It lives as long as the context. */
struct mg_bind {
  struct mg_ctx *ctx;
  struct mg_upstream *up;
  struct mg_link *link; /* which it uses; NULL: none now */
  struct mg_list in_link, in_notices;
  int lost;                     /* its link ended with state on it, and the client has not been told */
  mg_blob *notices[MG_NOTICES]; /* errors that tell it, on their way */
  uint64_t refused_ms;          /* a server that refused this context's initialize is not asked before; 0: none */
};

enum { MG_CAN_SAMPLE = 1, MG_CAN_ELICIT = 2, MG_CAN_ROOTS = 4 };

struct mg_call { /* one request from downstream */
  struct mg_core *core;
  struct mg_ctx *ctx;
  struct mg_sink *sink;
  struct mg_list in_sink, in_core, in_ctx;
  struct mg_view view;
  struct mg_text id, token; /* as the client wrote them */
  int method, modern, paged, refreshed;
  int hands_out;       /* modern: its result carries the context's handle */
  int resent;          /* it was not delivered and went again on a new link */
  int effect, spoke;   /* MG_EFFECT_*; its client has been told something on the way */
  int pauses;          /* between two attempts: its deadline is the next one */
  unsigned attempt;    /* times it was sent */
  int may_have_run;    /* one of them failed when it may have arrived */
  int gave_up;         /* the gathering's deadline passed: go on with what is there */
  mg_blob *blob;       /* kept until it has been forwarded, or may have to go again; else NULL */
  struct mg_slice doc; /* the message inside blob */
  void (*step)(struct mg_call *, uint64_t now_ms);
  mg_header_fn header; /* valid while the sink is */
  int (*next_header)(void *arg, size_t *it, struct mg_slice *name, struct mg_slice *value);
  void *header_arg;
  uint64_t created_ms;
  struct mg_upstream *up; /* once it is known where it goes: whose limits it is under */
  size_t rule;            /* 1 + index of the pattern in up's config that its tool fits; 0 none */
  uint64_t came_ms, total_ms; /* total_ms counts from came_ms, waiting included; 0: no limit */
  const char *waits_for;      /* what for, while it does; a constant */
  struct mg_place place[2];   /* among its tools, and at the upstream */
  struct mg_list ready;       /* in core->ready: it got its place, or must look again */
  uint64_t queued_ms;         /* when it began to wait for a place */
  struct mg_waiter *waiters;
  size_t n_waiters, waiting;
  struct mg_heap_node deadline; /* of a gathering (initialize, merged lists) */
  struct mg_list legs;
  size_t n_legs;
  struct mg_listen *listen;
  struct mg_cached *asks; /* a kept reply that it fetches anew */
  struct mg_once once;
};

struct mg_leg_ops {
  /* The reply: bytes are borrowed. The leg is freed when it returns. */
  void (*reply)(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int http_status, uint64_t now_ms);
  void (*fail)(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms);
};
struct mg_leg { /* one request to an upstream */
  uint64_t id;
  struct mg_link *link;
  struct mg_call *call; /* NULL: the gateway's own */
  struct mg_list in_call;
  const struct mg_leg_ops *ops;
  void *arg;
  int method, sent, wants_log;
  struct mg_heap_node deadline; /* at mg_limits_next or earlier: what it hears only moves heard_ms */
  uint64_t until_ms, limit_ms;  /* the end of its whole time, and that time as the config gave it; 0: none */
  uint64_t first_byte_ms, idle_ms, connect_ms; /* 0: none; connect_ms: the server's */
  uint64_t since_ms, heard_ms; /* when it was made; likewise, or when it was last heard of */
  int heard;         /* something of a reply came */
};

struct mg_reverse { /* a server's request that waits for the client */
  struct mg_link *link;
  struct mg_ctx *ctx;
  struct mg_list in_link;
  struct mg_heap_node deadline;
  struct mg_text id, token; /* as the server wrote them */
  uint64_t number;
};

struct mg_core {
  struct mg_config *config;
  const struct mg_ports *ports;
  void *ports_arg;
  struct mg_budget *budget;
  struct mg_log *log;
  struct mg_upstream **ups; /* n_ups of them, in config order */
  size_t n_ups;
  struct mg_list retired; /* upstreams that a reload has replaced or removed */
  uint64_t drain_look_ms, epoch; /* epoch: how often the configuration has changed */
  struct mcpgw_sessions *sessions; /* user: the mg_ctx */
  struct mg_heap deadlines; /* of legs */
  struct mg_heap gathers;   /* of calls that wait */
  struct mg_heap loads;     /* fetches of lists that go again */
  struct mg_heap feeds;     /* of feeds that are to be looked at */
  struct mg_heap questions; /* of mg_reverse */
  struct mg_list listeners; /* struct mg_listen: calls that are subscriptions */
  struct mg_list links, graveyard; /* alive; dead and to be freed when nobody is on the stack */
  struct mg_buf scratch;           /* headers of the message being sent */
  mg_blob *spare;                  /* MG_SPARE_BYTES for the error that says that there is no memory */
  struct mg_list notices;          /* binds whose errors are watched */
  uint64_t notice_ms, notice_wait_ms;
  struct mg_seal_key *cursor_key;  /* of this process: list cursors do not outlive it */
  const struct mg_seal_key *handle_keys[2]; /* newest first; BORROWED, or the cursor's */
  uint64_t handle_generation;               /* grows with each change of keys */
  struct mg_list calls;            /* all of them, listen streams too */
  size_t n_calls;                  /* without listen streams */
  uint64_t numbers;                /* given to contexts and links so far */
  uint64_t generations;            /* given to lists so far: no two that differ have the same */
  size_t n_queued;                 /* of them, those that wait for a place */
  struct mg_list ready;            /* calls to be stepped in the next turn */
  int draining, ending; /* no new requests; no new links */
  struct mg_known_port known;
  struct mg_once_port once_port;
  struct mcpgw_idempotency *idem; /* NULL until a call had a key */
  struct mg_map *leaders;         /* scope -> the call that runs it */
  struct mg_sink nowhere;         /* of calls that run on without their client */
  struct mg_stats stats;
};

/* ---- texts ------------------------------------------------------------------------------------------ */
int mg_text_set(struct mg_text *t, struct mg_slice s);
void mg_text_done(struct mg_text *t);
struct mg_slice mg_text_slice(const struct mg_text *t);

/* ---- context.c -------------------------------------------------------------------------------------- */
int mg_contexts_new(struct mg_core *c); /* its registry */
void mg_contexts_limits(struct mg_core *c); /* as the configuration says now */
int mg_ctx_new(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out);
int mg_ctx_new_modern(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out);
const char *mg_ctx_refusal(const struct mg_core *c, int rc); /* why mg_ctx_new failed, in words */
const char *mg_ctx_tag(const struct mg_ctx *ctx); /* for logs: the id itself would open the session */
void mg_ctx_emit(struct mg_ctx *ctx, mg_blob *bytes); /* one message that belongs to no call; takes bytes over */
void mg_ctx_emit_changed(struct mg_ctx *ctx, int list_kind);

/* ---- handle.c: which context a modern request belongs to --------------------------------------------- */
/* OK, or *why is what the client is to be told. *hands_out: its result must carry the handle. */
int mg_handle_context(struct mg_core *c, const struct mg_inbound *in, struct mg_ctx **out, int *hands_out,
                      struct mg_fault *why);
/* A call of it is over. Whose handle nobody was given (the call failed, say) cannot be come back to: it ends. */
void mg_handle_left(struct mg_ctx *ctx);
struct mg_ctx *mg_handle_peek(struct mg_core *c, const struct mg_inbound *in); /* makes none; NULL */
/* "dev.mcpgw/context":"…" for a result's _meta; whole: "_meta":{…} around it. Empty: no memory. BORROWED until the
 * keys change. */
struct mg_slice mg_handle_member(struct mg_ctx *ctx, int whole);

/* ---- bind.c: who uses which link --------------------------------------------------------------------- */
int mg_scope(const struct mg_upstream *up, int modern); /* MG_ISO_*, never DEFAULT */
struct mg_bind *mg_bind_find(const struct mg_ctx *ctx, const struct mg_upstream *up); /* NULL: none */
struct mg_bind *mg_bind_make(struct mg_ctx *ctx, struct mg_upstream *up);             /* finds it, too; NULL: no memory */
void mg_bind_join(struct mg_bind *b, struct mg_link *l);
void mg_bind_part(struct mg_bind *b);
struct mg_bind *mg_bind_of(struct mg_list *in_link);
void mg_bind_end_all(struct mg_ctx *ctx, uint64_t now_ms);
int mg_bind_lost(struct mg_bind *b); /* 1: calls fail with STATE_LOST. b may be NULL */
void mg_bind_noticed(struct mg_bind *b, mg_blob *error, uint64_t now_ms); /* it may get to the client; takes error over */
int mg_bind_has_state(const struct mg_bind *b);
void mg_bind_retire(struct mg_ctx *ctx, struct mg_upstream *old, struct mg_upstream *heir); /* heir may be NULL */
void mg_place_forget(struct mg_principal *p, const struct mg_upstream *up);
void mg_bind_tick(struct mg_core *c, uint64_t now_ms);
uint64_t mg_bind_next_ms(const struct mg_core *c);
struct mg_link *mg_place_get(struct mg_upstream *up, const struct mg_ctx *ctx);
int mg_place_put(struct mg_link *l);
void mg_place_clear(struct mg_link *l, int lost);
/* May one more link be opened? The least missed one is ended for it where the ceiling is reached. */
int mg_place_room(struct mg_upstream *up, uint64_t now_ms, struct mg_fault *why);

/* ---- share.c: legacy links that several contexts use ------------------------------------------------- */
int mg_link_is_common(const struct mg_link *l);
int mg_share_level(struct mg_slice name); /* 0 debug … 7; -1: no level */
int mg_share_request(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms); /* 1: answered */
void mg_share_keep_level(struct mg_link *l, uint64_t now_ms); /* tells it the most verbose level, if that is news */
void mg_share_left(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms);
void mg_share_restore(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms);
struct mg_ctx *mg_share_only(const struct mg_link *l); /* the one context that uses it, or NULL */
void mg_share_notification(struct mg_link *l, const struct mg_msg *m, const struct mg_ctx *but); /* but: was told already; or NULL */
int mg_share_is_for_all(const struct mg_link *l, const struct mg_msg *m); /* also where it came on a call's stream */
int mg_share_may_hear(const struct mg_link *l, const struct mg_ctx *ctx, const struct mg_msg *m);
int mg_share_can_answer(const struct mg_link *l, const struct mg_ctx *ctx, int method);

/* ---- brain.c ----------------------------------------------------------------------------------------- */
int mg_upstream_new(struct mg_core *c, struct mg_config *config, size_t i, uint32_t slot, struct mg_upstream **out);
void mg_upstream_free(struct mg_upstream *up); /* no link, no listener and no call has it any more. NULL is fine */

/* ---- drain.c ------------------------------------------------------------------------------------------ */
void mg_drain_tick(struct mg_core *c, uint64_t now_ms);
uint64_t mg_drain_next_ms(const struct mg_core *c);
void mg_drain_context(struct mg_ctx *ctx); /* it ends: so do its links to what drains */
void mg_drain_free_all(struct mg_core *c);

/* ---- link.c ------------------------------------------------------------------------------------------ */
/* The link that a call of this context to an upstream uses; opened when there is none. ctx NULL: nobody's in
 * particular, the shared modern one. NULL with *why set: not now. The link may still be OPENING. */
struct mg_link *mg_link_get(struct mg_core *c, struct mg_ctx *ctx, size_t upstream, uint64_t now_ms,
                            struct mg_fault *why);
struct mg_link *mg_link_peek(struct mg_core *c, struct mg_ctx *ctx, size_t upstream); /* READY or NULL; never opens */
/* It failed: legs fail, waiters wake, a stateful context will be told. */
void mg_link_die(struct mg_link *l, const char *why, uint32_t delivered, int graceful, uint64_t now_ms);
void mg_link_bury(struct mg_link *l, int graceful); /* it is no longer wanted */
void mg_link_retire(struct mg_link *l, uint64_t now_ms); /* its upstream has been replaced or removed */
void mg_link_reap(struct mg_link *l, uint64_t now_ms); /* it makes room for another */
void mg_link_free(struct mg_link *l);               /* from the graveyard only */
int mg_link_send(struct mg_link *l, const struct mg_leg *leg, mg_blob *bytes, const mcpgw_header *headers, size_t n);
int mg_link_notify(struct mg_link *l, mg_blob *bytes); /* bytes are borrowed */
int mg_link_respond(struct mg_link *l, mg_blob *bytes);
int mg_link_has_list(const struct mg_link *l, int kind);
void mg_link_set_state(struct mg_link *l, int state);

/* ---- handshake.c -------------------------------------------------------------------------------------- */
int mg_handshake_start(struct mg_link *l, uint64_t now_ms);
/* Asks a ready link whether anybody is there: ping, or server/discover in the modern era. */
int mg_handshake_probe(struct mg_link *l, const struct mg_leg_ops *ops, uint64_t now_ms);
void mg_link_tell_changed(struct mg_link *l, struct mg_ctx *ctx); /* list_changed, as far as it was promised */
void mg_link_initialized(struct mg_link *l, uint64_t now_ms); /* sends notifications/initialized once, then listens */
void mg_link_joined(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms); /* a context that lost another, or came late */

/* ---- suspect.c ----------------------------------------------------------------------------------------- */
void mg_suspect_death(struct mg_link *l, uint64_t now_ms); /* it died of its own: is that a crash loop? */
void mg_suspect_silence(struct mg_link *l, uint64_t since_ms, uint64_t now_ms); /* a call sent then timed out: is it deaf? */
int mg_suspect_babble(struct mg_upstream *up, uint64_t now_ms); /* it said what nobody understands; 0: too often to be logged */

/* ---- leg.c -------------------------------------------------------------------------------------------- */
/* A new request on a link; call may be NULL. limit_ms 0: no deadline, or the call's (mg_limits_set). */
int mg_leg_new(struct mg_link *l, struct mg_call *call, int method, const struct mg_leg_ops *ops, void *arg,
               uint64_t limit_ms, uint64_t now_ms, struct mg_leg **out);
int mg_leg_send(struct mg_leg *leg, mg_blob *bytes, const mcpgw_header *headers, size_t n);
void mg_leg_free(struct mg_leg *leg); /* forgets it: no callback */
void mg_leg_cancel(struct mg_leg *leg, struct mg_slice reason); /* tells the upstream, then frees */
void mg_leg_fail(struct mg_leg *leg, const struct mg_fault *f, uint64_t now_ms);
void mg_leg_reply(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, int http_status, uint64_t now_ms);
struct mg_leg *mg_leg_find(struct mg_link *l, uint64_t id);
void mg_leg_heard(struct mg_leg *leg, uint64_t now_ms); /* a sign of life from its upstream */
int mg_leg_delivered(const struct mg_leg *leg); /* as far as we know ourselves */
void mg_leg_tick(struct mg_core *c, uint64_t now_ms);

/* ---- call.c ------------------------------------------------------------------------------------------- */
int mg_call_new(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in, struct mg_call **out);
void mg_call_finish(struct mg_call *call); /* frees; cancels legs that are left. No message. */
void mg_call_cancel(struct mg_call *call, struct mg_slice reason); /* as asked by the client: drop, no reply */
void mg_call_fail(struct mg_call *call, const struct mg_fault *f); /* error to the client, then finish */
int mg_call_delivered(const struct mg_call *call, int delivered); /* of all its attempts, when the last one's is this */
void mg_call_fail_rc(struct mg_call *call, int rc, const char *upstream);
void mg_call_fail_lost(struct mg_call *call, struct mg_bind *b, uint64_t now_ms); /* STATE_LOST */
void mg_call_error(struct mg_call *call, int code, const char *text, struct mg_slice data); /* likewise */
void mg_call_result(struct mg_call *call, struct mg_slice result); /* a result of the gateway's own, then finish */
/* Sends what a splice makes of doc (inside src) to the call's sink; final finishes the call. */
void mg_call_forward(struct mg_call *call, mg_blob *src, struct mg_slice doc, struct mg_splice *edits, int final,
                     int status);
void mg_call_emit(struct mg_call *call, mg_blob *bytes, int final, int status); /* takes bytes over */
int mg_call_wait(struct mg_call *call, struct mg_list *waiters); /* one more thing to wait for, then step */
void mg_call_wait_until(struct mg_call *call, uint64_t at_ms);   /* at the latest */
void mg_wake(struct mg_list *waiters, uint64_t now_ms);
void mg_wake_later(struct mg_list *waiters); /* in the next turn: nobody is stepped from here */
const char *mg_call_principal(const struct mg_call *call); /* BORROWED */
void mg_call_tick(struct mg_core *c, uint64_t now_ms);
void mg_refuse(struct mg_core *c, const struct mg_inbound *in, int modern, const struct mg_fault *f); /* no call yet */
void mg_send_blob(struct mg_core *c, struct mg_sink *s, mg_blob *bytes, int final, int status);

/* ---- request.c: what becomes of a request --------------------------------------------------------------- */
void mg_request_start(struct mg_core *c, struct mg_ctx *ctx, const struct mg_inbound *in, int hands_out);
void mg_request_run(struct mg_call *call, uint64_t now_ms); /* step: a routed request */
/* The link to an upstream: OK, AGAIN (the call waits) or CLOSED (it has been answered). */
int mg_request_link(struct mg_call *call, size_t upstream, struct mg_link **out, uint64_t now_ms);

/* ---- forward.c: the way out ------------------------------------------------------------------------------ */
void mg_request_forward(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_item *item,
                        uint64_t now_ms);
/* The message as it goes upstream: id, progress token, name; private keys gone. */
int mg_request_rewrite(struct mg_call *call, const struct mg_msg *m, const struct mg_item *item, uint64_t id,
                       mg_blob **out);
void mg_strip_private(struct mg_splice *sp, struct mg_slice doc, struct mg_span meta);

/* ---- limits.c: the config's limits for a call ------------------------------------------------------------- */
size_t mg_limits_rule(const struct mg_cfg_server *cfg, struct mg_slice tool); /* 1 + index of the pattern; 0 none */
const struct mg_cfg_tool *mg_limits_tool(const struct mg_call *call);         /* the pattern's settings, or NULL */
/* It goes to this upstream: from here on it is under its limits. item may be NULL. */
void mg_limits_set(struct mg_call *call, struct mg_upstream *up, const struct mg_msg *m, const struct mg_item *item);
uint64_t mg_limits_total(const struct mg_cfg_server *cfg, int method); /* without a tool's own; 0: none */
uint64_t mg_limits_until(const struct mg_call *call); /* when its time is up; UINT64_MAX: never */
void mg_limits_leg(struct mg_leg *leg);               /* gives a leg the limits of its call */
uint64_t mg_limits_next(const struct mg_leg *leg);    /* when it is cut off if it hears nothing more */
void mg_limits_why(const struct mg_leg *leg, uint64_t now_ms, struct mg_fault *f); /* reason, limit, limit_ms */
void mg_limits_wait(struct mg_call *call, const char *what); /* it waits inside the gateway: not past its time */
int mg_limits_late(struct mg_call *call, uint64_t now_ms);   /* 1: its time is up, and it has been told so */

/* ---- gate.c: places at an upstream --------------------------------------------------------------------------- */
int mg_gates_init(struct mg_gates *gs, struct mg_core *c, const struct mg_cfg_server *cfg);
void mg_gates_flush(struct mg_gates *gs); /* whoever waits there looks again from the start */
void mg_gates_done(struct mg_gates *gs);  /* likewise; places that are held are forgotten */
/* OK: it has its places, or needs none. AGAIN: it waits, and is stepped when it has them. CLOSED: refused. */
int mg_gate_enter(struct mg_call *call, struct mg_link *l, uint64_t now_ms);
void mg_gate_leave(struct mg_call *call);
void mg_gate_run(struct mg_core *c, uint64_t now_ms);

/* ---- retry.c: going again ------------------------------------------------------------------------------------- */
void mg_retry_init(struct mg_upstream *up);
int mg_effect_noted(struct mg_slice tool); /* MG_EFFECT_* by the annotations of a tool's definition, or _UNSET */
int mg_effect_of(const struct mg_call *call, const struct mg_msg *m, const struct mg_item *item); /* MG_EFFECT_ONCE … */
void mg_retry_sent(struct mg_call *call); /* one attempt is made */
/* A list that the gateway fetches itself. 1: it goes again, at *at_ms, which is before until_ms. */
int mg_retry_load(struct mg_upstream *up, int method, const struct mg_fault *f, unsigned attempt, uint64_t until_ms, uint64_t now_ms,
                  uint64_t *at_ms);
/* A leg of the call failed. 1: it goes again, now or later; else it is to be told. */
int mg_retry(struct mg_call *call, const struct mg_link *l, const struct mg_fault *f, uint64_t now_ms);

/* ---- rate.c: requests a principal ------------------------------------------------------------------------------ */
int mg_rate_take(struct mg_core *c, struct mg_principal *p, uint64_t now_ms, struct mg_fault *f); /* LIMIT: *f says when */

/* ---- reply.c: the way back -------------------------------------------------------------------------------- */
extern const struct mg_leg_ops mg_reply_ops; /* the reply goes to the call */
/* The edits that make an upstream's reply the client's. text holds replacements: it must outlive sp. */
void mg_reply_edit(struct mg_call *call, const struct mg_msg *m, struct mg_splice *sp, struct mg_buf *text);

/* ---- route.c ---------------------------------------------------------------------------------------------- */
/* Which upstream a message of an aggregate view belongs to. MCPGW_OK with *link (ready) and *item (may be
 * NULL); MCPGW_E_AGAIN: the call waits; else it has been answered. */
int mg_route(struct mg_call *call, const struct mg_msg *m, struct mg_link **link, const struct mg_item **item,
             uint64_t now_ms);
struct mg_link *mg_route_uri(struct mg_call *call, struct mg_slice uri); /* among ready links with known lists */
int mg_task_remember(struct mg_call *call, struct mg_slice task_id, struct mg_upstream *owner);
struct mg_upstream *mg_task_owner(struct mg_call *call, struct mg_slice task_id); /* of a task of this caller, or NULL */

/* ---- catalog.c, items.c ------------------------------------------------------------------------------------ */
/* Makes sure a list is known (fresh: and not stale). MCPGW_OK: it is. MCPGW_E_AGAIN: being fetched, the call
 * waits. Other: it cannot be had. */
int mg_catalog_need(struct mg_link *l, int kind, int fresh, struct mg_call *call, uint64_t now_ms);
void mg_catalog_stale(struct mg_link *l, int kind);
/* Something does not fit what the call's caller is listed: that is fetched anew, but not often. 1: it will be. */
int mg_catalog_suspect(struct mg_link *l, int kind, const struct mg_call *call, uint64_t now_ms);
void mg_catalog_tick(struct mg_core *c, uint64_t now_ms);
void mg_catalog_verify(struct mg_link *l, uint64_t now_ms); /* tables from the last run are fetched anew; nobody waits */
uint64_t mg_catalog_left(const struct mg_link *l, int kind, const struct mg_table *t, uint64_t now_ms); /* fresh for so long, ms */
void mg_catalog_changed(struct mg_link *l, int kind, uint64_t now_ms); /* the upstream said so */
void mg_catalog_done(struct mg_link *l);
/* NULL: it is not there. call: who asks (see audience.c); NULL: what is everybody's. */
struct mg_item *mg_catalog_find(struct mg_link *l, int kind, struct mg_slice key, const struct mg_call *call);
struct mg_item *mg_catalog_exposed(struct mg_link *l, int kind, struct mg_slice name, const struct mg_call *call);
/* A page that passes by on its way to a client: tools with an invalid x-mcp-header are left out, and so is
 * what is blocked. text holds the replacement and must outlive the edits. whole: asked for without a cursor;
 * when the reply has none either, it is the list, and ours is replaced by it. */
void mg_catalog_learn(struct mg_link *l, int kind, const struct mg_call *call, mg_blob *bytes, const struct mg_msg *m, int whole, struct mg_buf *text,
                      struct mg_splice *edits, uint64_t now_ms);
/* Until when a list that could not be fetched anew is still shown, and then only marked. */
#define MG_STALE_MS 600000
int mg_list_kind(int method); /* MG_LIST_* of a list method, or of a list_changed notification; -1 */
int mg_table_add_page(struct mg_link *l, int kind, struct mg_table *t, mg_blob *bytes, const struct mg_msg *m);
void mg_table_clear(struct mg_table *t);
void mg_tool_refused(struct mg_link *l, struct mg_slice name, const char *why);

/* ---- audience.c ------------------------------------------------------------------------------------------- */
struct mg_table *mg_tables_new(void); /* MG_LIST_KINDS of them; OWNED: mg_free, when all are cleared */
/* The table that a call of this caller reads; l->lists is not NULL. */
struct mg_table *mg_catalog_table(struct mg_link *l, int kind, const struct mg_call *call);
int mg_audience_is_common(const struct mg_link *l); /* several principals use it */
struct mg_table *mg_audience_own(struct mg_link *l, int kind, const char *principal); /* made if need be; NULL: no room */
/* Walks all tables of a kind: *at starts as NULL; NULL at the end. */
struct mg_table *mg_audience_next(struct mg_link *l, int kind, struct mg_list **at);
void mg_audience_done(struct mg_link *l);

/* ---- known.c ---------------------------------------------------------------------------------------------- */
void mg_known_recall(struct mg_upstream *up); /* once an upstream: what was written down of it */
void mg_known_drop(struct mg_upstream *up);                    /* it has spoken for itself, or is to go */
void mg_known_lists(struct mg_link *l, uint64_t now_ms);       /* a new link's tables, for routing only */
mg_blob *mg_known_hello(const struct mg_link *l);              /* its DiscoverResult; OWNED, or NULL */
void mg_known_save(struct mg_link *l, uint64_t now_ms);        /* something of it is new */

/* ---- pin.c -------------------------------------------------------------------------------------------------- */
void mg_pin_again(struct mg_link *l); /* the configuration changed */
/* A definition that a server lists: 1: not as it was pinned, and to be left out. Says in the log what differs. */
int mg_pin_blocks(struct mg_link *l, int kind, struct mg_slice name, struct mg_slice raw);
/* A routed request, item: what it names, or NULL. MCPGW_OK: go on; AGAIN: it waits; else answered. */
int mg_pin_check(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_item *item,
                 uint64_t now_ms);

/* ---- cache.c ------------------------------------------------------------------------------------------------ */
/* A list request to one upstream, from a reply that was kept. 1: answered, or waits; 0: to be asked upstream. */
int mg_cache_serve(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms);
/* A reply on its way to a client: kept, if it may be. The message as it was kept (OWNED), or NULL. */
mg_blob *mg_cache_keep(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_splice *edits,
                       uint64_t now_ms);
void mg_cache_asked(struct mg_call *call);         /* the call is over */
void mg_cache_drop(struct mg_link *l, int kind);   /* MG_LIST_*, -1: all */
void mg_cache_done(struct mg_link *l);

/* ---- merge.c, hello.c ---------------------------------------------------------------------------------------- */
void mg_merge_list(struct mg_call *call, uint64_t now_ms);       /* step: merged lists */
void mg_merge_initialize(struct mg_call *call, uint64_t now_ms); /* step: InitializeResult */
void mg_merge_discover(struct mg_call *call, uint64_t now_ms);   /* step: DiscoverResult */
void mg_merge_none(struct mg_call *call); /* modern, and no upstream is there: the error that fits */
/* The last member of a put-together result, its brace included: _meta, which names the upstreams that are
 * missing, or whose list of this kind is (-1: no list). */
void mg_merge_meta(struct mg_call *call, int kind, struct mg_buf *b, uint64_t now_ms);

/* ---- restore.c ------------------------------------------------------------------------------------------------ */
/* Why a subscription cannot be remembered; NULL: it can, or it is none. */
const char *mg_restore_refuses(const struct mg_ctx *ctx, const struct mg_upstream *up, const struct mg_msg *m);
/* A request on its way to an upstream: is it one whose effect a new link must be given again? */
void mg_restore_note(struct mg_ctx *ctx, const struct mg_msg *m, struct mg_upstream *up);
/* The URI of a message as all here spell it: JSON, with no escapes but needed ones, so that one URI is one text
 * ("f:\/\/x" is PHP's). A view into m or b, which is initialized here and is the caller's to empty. */
struct mg_slice mg_restore_uri(const struct mg_msg *m, struct mg_buf *b);
void mg_restore_forget(struct mg_ctx *ctx, const struct mg_upstream *up, struct mg_slice uri);
int mg_restore_has(const struct mg_ctx *ctx, const struct mg_upstream *up, struct mg_slice uri);
int mg_restore_next(const struct mg_ctx *ctx, const struct mg_upstream *up, size_t *it, struct mg_slice *uri);
int mg_restore_subscribed(const struct mg_ctx *ctx, const struct mg_upstream *up);
int mg_restore_wanted(const struct mg_ctx *ctx, const struct mg_upstream *up); /* a new link would be asked for something */
int mg_restore_concerns(const struct mg_ctx *ctx, const struct mg_upstream *up, struct mg_slice uri); /* of an update */
void mg_restore_ctx(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms); /* what it wants, from a ready link */
int mg_restore_send(struct mg_link *l, int method, const char *member, struct mg_slice value, uint64_t now_ms);

/* ---- tail.c --------------------------------------------------------------------------------------------------- */
void mg_tail_keep(struct mg_link *l, uint64_t id, const struct mg_call *call); /* request id of this call is a task now */
/* Its progress token and whose task it is; NULL: no such task. */
const struct mg_text *mg_tail_find(const struct mg_link *l, uint64_t id, struct mg_ctx **ctx);
void mg_tail_done(struct mg_link *l);

/* ---- reverse.c ------------------------------------------------------------------------------------------------ */
void mg_reverse_request(struct mg_link *l, uint64_t call, const struct mg_msg *m, uint64_t now_ms);
void mg_reverse_tick(struct mg_core *c, uint64_t now_ms);
void mg_reverse_cancelled(struct mg_link *l, const struct mg_msg *m); /* the server gave up its question */
int mg_reverse_response(struct mg_ctx *ctx, const struct mg_msg *m);
int mg_reverse_progress(struct mg_ctx *ctx, const struct mg_msg *m);
void mg_reverse_drop_link(struct mg_link *l); /* its questions are void */
int mg_reverse_waits(const struct mg_link *l); /* a question of it waits for a client */
void mg_reverse_free(struct mg_ctx *ctx); /* the servers that still wait are told */

/* ---- listen.c, feed.c, tap.c: see feed.h ------------------------------------------------------------------------- */
void mg_listen_start(struct mg_call *call, uint64_t now_ms); /* step */
void mg_listen_done(struct mg_call *call);
void mg_listen_fail_all(struct mg_core *c);
void mg_listen_end_of(struct mg_ctx *ctx); /* its listeners get a proper end */
/* What comes on a stream that the gateway opened with subscriptions/listen. */
void mg_feed_notification(struct mg_leg *leg, mg_blob *bytes, const struct mg_msg *m, uint64_t now_ms);
void mg_feed_tick(struct mg_core *c, uint64_t now_ms);
void mg_feed_free_all(struct mg_core *c);
void mg_feed_drop(struct mg_upstream *up); /* nobody listens to it, or will */
#endif
