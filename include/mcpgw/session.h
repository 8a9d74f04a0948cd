/* <mcpgw/session.h>: sessions that hold, end and never leak. A registry of them, usable without a gateway
 * (which keeps its own contexts in the very same one).
 *
 * A session is the state of one workflow of one caller, the principal. It is found by its id, which is 128
 * random bits, and only by its principal: whoever else asks is told MCPGW_E_NOT_FOUND. It ends by idleness,
 * by its absolute age, when the newest credential it has seen runs out, by mcpgw_session_end or by
 * revocation; `ended` is then called, once.
 *
 * A registry does no I/O and reads no clock: now_ms is any monotonic clock of yours, in milliseconds. It
 * belongs to one thread at a time. Functions marked [cb] may be called from inside `ended` and `in_use`. */
#ifndef MCPGW_SESSION_H
#define MCPGW_SESSION_H
#include <mcpgw/types.h>

MCPGW_BEGIN

typedef struct mcpgw_sessions mcpgw_sessions; /* the registry */
typedef struct mcpgw_session mcpgw_session;   /* BORROWED from it until `ended` has returned */

#define MCPGW_SESSION_ID_LEN 32u  /* lower-case hex digits */
#define MCPGW_SESSION_TAG_LEN 16u /* likewise: names a session in logs and lists, and opens nothing */

typedef struct mcpgw_sessions_options {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t max;               /* sessions in all (100,000) */
  uint64_t max_per_principal; /* (20,000) */
  uint64_t idle_ms;           /* without use (30 min) */
  uint64_t absolute_ms;       /* since it was created; nothing extends it (12 h) */
  uint64_t pending_ms;        /* until mcpgw_session_confirm, however it is used meanwhile (60 s) */
  /* Optional. The session has ended and is found no more; it is freed when this returns. What is still
   * bound is to be let go of here. why: one line. */
  void (*ended)(void *data, mcpgw_session *session, const char *why);
  /* Optional. Asked before a session ends for idleness; 1: it is in use, its idle time starts anew. */
  int (*in_use)(void *data, mcpgw_session *session);
  void *data;
} mcpgw_sessions_options;

/* Who is calling, and by which credential: as authenticated, not as claimed. */
typedef struct mcpgw_credential {
  uint32_t struct_size;
  uint32_t reserved;
  const char *principal; /* 1 to 512 bytes; COPIED */
  size_t principal_len;
  const char *token_id; /* what mcpgw_sessions_revoke can name (a jti, a key's id); may be NULL. Kept hashed */
  size_t token_id_len;
  uint64_t expires_ms; /* on the clock of now_ms; 0: never */
} mcpgw_credential;

/* [any] Fill in defaults and struct_size. */
MCPGW_API void mcpgw_sessions_options_init(mcpgw_sessions_options *options);
MCPGW_API void mcpgw_credential_init(mcpgw_credential *credential);

/* options may be NULL. *out OWNED: mcpgw_sessions_free, which ends every session first. */
MCPGW_API int mcpgw_sessions_new(mcpgw_sessions **out, const mcpgw_sessions_options *options);
MCPGW_API void mcpgw_sessions_free(mcpgw_sessions *sessions); /* NULL is fine */
MCPGW_API size_t mcpgw_sessions_count(const mcpgw_sessions *sessions);                  /* [cb] */
MCPGW_API size_t mcpgw_sessions_count_of(const mcpgw_sessions *sessions, const char *principal, size_t len); /* [cb] */
/* Walks all, newest first: *it starts at 0; NULL at the end. No session may be created or ended meanwhile
 * but the one just met. */
MCPGW_API mcpgw_session *mcpgw_sessions_next(const mcpgw_sessions *sessions, size_t *it); /* [cb] */
/* When tick has something to do; UINT64_MAX: nothing. */
MCPGW_API uint64_t mcpgw_sessions_next_ms(const mcpgw_sessions *sessions);
MCPGW_API void mcpgw_sessions_tick(mcpgw_sessions *sessions, uint64_t now_ms); /* ends what has run out */

#define MCPGW_REVOKE_SESSION 1u   /* value: an id or a tag */
#define MCPGW_REVOKE_PRINCIPAL 2u /* value: its name */
#define MCPGW_REVOKE_TOKEN 3u     /* value: a token id that one of the newest 8 credentials of a session had */
/* Ends what is named, at once. *count (may be NULL) gets how many ended; none is no failure. */
MCPGW_API int mcpgw_sessions_revoke(mcpgw_sessions *sessions, uint32_t what, const char *value, size_t len, size_t *count);

/* A new session, pending until it is confirmed. MCPGW_E_LIMIT: a ceiling; mcpgw_sessions_count tells which.
 * MCPGW_E_DENIED: the credential has run out. *out BORROWED until it ends. [cb] */
MCPGW_API int mcpgw_session_create(mcpgw_session **out, mcpgw_sessions *sessions, const mcpgw_credential *who,
                                   uint64_t now_ms);
/* The session of this id, if it is this principal's; it is touched, and extended by the credential if that is
 * newer. MCPGW_E_NOT_FOUND: there is none, or it is another's: nobody can tell which. [cb] */
MCPGW_API int mcpgw_session_find(mcpgw_session **out, mcpgw_sessions *sessions, const char *id, size_t id_len,
                                 const mcpgw_credential *who, uint64_t now_ms);
MCPGW_API void mcpgw_session_touch(mcpgw_session *session, uint64_t now_ms);   /* it is being used [cb] */
MCPGW_API void mcpgw_session_confirm(mcpgw_session *session, uint64_t now_ms); /* pending no more [cb] */
/* A newer credential of the same principal: the session lives as long as it does, never past absolute_ms.
 * One that expires sooner changes nothing but is remembered. MCPGW_E_NOT_FOUND: another principal's. [cb] */
MCPGW_API int mcpgw_session_extend(mcpgw_session *session, const mcpgw_credential *who, uint64_t now_ms);
/* Its owner lives in this process and ends it: neither idleness nor age does. */
MCPGW_API void mcpgw_session_pin(mcpgw_session *session, uint64_t now_ms); /* [cb] */
MCPGW_API void mcpgw_session_end(mcpgw_session *session, const char *why); /* calls `ended`, frees */

/* Bindings: what a session has at one of your upstreams (a connection, a child). slot < 65536 names the
 * upstream; link is yours. MCPGW_E_EXISTS: bound already. unbind and bound: NULL when nothing is. [cb] */
MCPGW_API int mcpgw_session_bind(mcpgw_session *session, uint32_t slot, void *link);
MCPGW_API void *mcpgw_session_unbind(mcpgw_session *session, uint32_t slot);
MCPGW_API void *mcpgw_session_bound(const mcpgw_session *session, uint32_t slot);

/* What is known of it; texts are NUL-terminated and BORROWED until it ends. [cb] */
MCPGW_API const char *mcpgw_session_id(const mcpgw_session *session); /* a secret: whoever has it may try it */
MCPGW_API const char *mcpgw_session_tag(const mcpgw_session *session);
MCPGW_API const char *mcpgw_session_principal(const mcpgw_session *session);
MCPGW_API uint64_t mcpgw_session_created_ms(const mcpgw_session *session);
MCPGW_API uint64_t mcpgw_session_used_ms(const mcpgw_session *session);
MCPGW_API uint64_t mcpgw_session_ends_ms(const mcpgw_session *session); /* unless it is used; UINT64_MAX: pinned */
MCPGW_API void mcpgw_session_set_user(mcpgw_session *session, void *user); /* a pointer of yours */
MCPGW_API void *mcpgw_session_user(const mcpgw_session *session);

MCPGW_END
#endif
