/* core/context/session: the registry behind <mcpgw/session.h>, and the records of principals. It knows nothing of
 * links, messages or gateways: a session is an id, an owner, times, and what others bound to it. */
#ifndef MG_CORE_SESSION_H
#define MG_CORE_SESSION_H
#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "mcpgw/session.h"

#define MG_PRINCIPAL_MAX 512 /* bytes of a principal's name */
#define MG_TOKENS_KEPT 8 /* of the newest credentials of a session */

/* A caller. It outlives its last session for a while, so that a rate limit cannot be washed off by ending
 * and opening sessions. */
struct mg_principal {
  char *name; /* NUL-terminated copy; name_len bytes */
  size_t name_len;
  struct mg_list sessions; /* its own, oldest first */
  size_t n;
  struct mg_list node; /* in lingering, while n is 0 */
  uint64_t empty_ms;   /* since when n is 0 */
  /* Of the gateway's brain; a registry alone leaves them zero. */
  struct mg_ctx *home;    /* where its modern requests without a handle belong */
  struct mg_link **links; /* of isolation `principal`: two an upstream (core/bind) */
  size_t n_links;
  struct {
    uint64_t milli, at_ms; /* thousandths of a call that are left, and when that was reckoned; at_ms 0: full */
    uint64_t refused;      /* requests since the last one that was let in */
  } bucket;
};

struct mcpgw_session {
  struct mcpgw_sessions *all;
  char id[MG_ID_LEN + 1], tag[MCPGW_SESSION_TAG_LEN + 1];
  unsigned char pending, pinned, ended;
  struct mg_principal *principal;
  struct mg_list node; /* in the principal */
  uint64_t created_ms, used_ms, credential_ms; /* credential_ms: when the newest one runs out; UINT64_MAX: never */
  struct mg_heap_node expiry;                  /* rings at the earliest; looked at anew then */
  uint64_t *tokens;                            /* MG_TOKENS_KEPT hashes, a ring; NULL: none seen */
  uint32_t n_tokens, n_bound;                  /* n_tokens: ever seen in a row */
  void **bound;                                /* n_bound slots */
  void *user;
};

struct mcpgw_sessions {
  struct mcpgw_sessions_options o;
  struct mg_map *by_id, *principals;
  struct mg_heap expiries;
  struct mg_list lingering; /* principals without sessions, longest first */
  size_t n_lingering;
  /* Optional, the brain's own: at the greatest age, how many ms more it may live. 0: none. */
  uint64_t (*overdue)(void *data, struct mcpgw_session *s);
};

int mg_sessions_new(const mcpgw_sessions_options *o, struct mcpgw_sessions **out);
/* Other ceilings and times, for those that are there too; nobody ends because there are too many. */
void mg_sessions_limits(struct mcpgw_sessions *all, uint64_t max, uint64_t per_principal, uint64_t idle_ms, uint64_t absolute_ms);
void mg_sessions_free(struct mcpgw_sessions *all);
void mg_sessions_tick(struct mcpgw_sessions *all, uint64_t now_ms);
uint64_t mg_sessions_next_ms(const struct mcpgw_sessions *all);
int mg_sessions_revoke(struct mcpgw_sessions *all, uint32_t what, struct mg_slice value, size_t *count);
struct mg_principal *mg_sessions_principal(const struct mcpgw_sessions *all, struct mg_slice name); /* NULL: unknown */

int mg_sessions_create(struct mcpgw_sessions *all, const mcpgw_credential *who, uint64_t now_ms,
                       struct mcpgw_session **out);
struct mcpgw_session *mg_sessions_find(struct mcpgw_sessions *all, struct mg_slice id, const mcpgw_credential *who,
                                       uint64_t now_ms);
int mg_sessions_extend(struct mcpgw_session *s, const mcpgw_credential *who, uint64_t now_ms);
void mg_sessions_touch(struct mcpgw_session *s, uint64_t now_ms); /* it is being used */
void mg_sessions_confirm(struct mcpgw_session *s, uint64_t now_ms);
void mg_sessions_pin(struct mcpgw_session *s, uint64_t now_ms);
void mg_sessions_hurry(struct mcpgw_session *s, uint64_t now_ms); /* it is to end at the next tick */
void mg_sessions_linger(struct mcpgw_session *s, uint64_t until_ms); /* one that was told to hurry: not before this */
void mg_sessions_end(struct mcpgw_session *s, const char *why);
uint64_t mg_sessions_ends_ms(const struct mcpgw_session *s);
int mg_sessions_bind(struct mcpgw_session *s, uint32_t slot, void *link);
void *mg_sessions_unbind(struct mcpgw_session *s, uint32_t slot);
void *mg_sessions_bound(const struct mcpgw_session *s, uint32_t slot);
#endif
