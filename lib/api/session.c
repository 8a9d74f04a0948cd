/* api/session: the doors of <mcpgw/session.h>. A registry needs no gateway and has no process of its own to
 * guard: each door checks its arguments and calls the room. */
#include "core/context/session.h"

#include <string.h>

#define MAX_SESSIONS ((uint64_t)1 << 28)

void mcpgw_sessions_options_init(mcpgw_sessions_options *options) {
  if (!options) return;
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->max = 100000;
  options->max_per_principal = 20000;
  options->idle_ms = 1800000;
  options->absolute_ms = 43200000;
  options->pending_ms = 60000;
}

void mcpgw_credential_init(mcpgw_credential *credential) {
  if (!credential) return;
  memset(credential, 0, sizeof *credential);
  credential->struct_size = sizeof *credential;
}

int mcpgw_sessions_new(mcpgw_sessions **out, const mcpgw_sessions_options *options) {
  mcpgw_sessions_options o;
  if (!out) return MCPGW_E_INVALID;
  mcpgw_sessions_options_init(&o);
  if (options) {
    size_t n = options->struct_size < sizeof o ? options->struct_size : sizeof o;
    if (n < sizeof o.struct_size) return MCPGW_E_INVALID;
    memcpy(&o, options, n); /* an older caller's struct is shorter: the rest keeps its default */
  }
  if (!o.max || o.max > MAX_SESSIONS || !o.max_per_principal || !o.idle_ms || !o.absolute_ms || !o.pending_ms)
    return MCPGW_E_INVALID;
  return mg_sessions_new(&o, out);
}

void mcpgw_sessions_free(mcpgw_sessions *sessions) {
  mg_sessions_free(sessions);
}

size_t mcpgw_sessions_count(const mcpgw_sessions *sessions) {
  return sessions ? mg_map_count(sessions->by_id) : 0;
}

size_t mcpgw_sessions_count_of(const mcpgw_sessions *sessions, const char *principal, size_t len) {
  struct mg_principal *p = sessions && principal ? mg_sessions_principal(sessions, mg_slice(principal, len)) : NULL;
  return p ? p->n : 0;
}

mcpgw_session *mcpgw_sessions_next(const mcpgw_sessions *sessions, size_t *it) {
  return sessions && it ? mg_map_next(sessions->by_id, it, NULL) : NULL;
}

uint64_t mcpgw_sessions_next_ms(const mcpgw_sessions *sessions) {
  return sessions ? mg_sessions_next_ms(sessions) : UINT64_MAX;
}

void mcpgw_sessions_tick(mcpgw_sessions *sessions, uint64_t now_ms) {
  if (sessions) mg_sessions_tick(sessions, now_ms);
}

int mcpgw_sessions_revoke(mcpgw_sessions *sessions, uint32_t what, const char *value, size_t len, size_t *count) {
  if (!sessions || !value) return MCPGW_E_INVALID;
  return mg_sessions_revoke(sessions, what, mg_slice(value, len), count);
}

/* A caller's struct of any age, in today's shape. */
static int read_credential(const mcpgw_credential *who, mcpgw_credential *out) {
  mcpgw_credential_init(out);
  size_t n = who->struct_size < sizeof *out ? who->struct_size : sizeof *out;
  if (n < sizeof out->struct_size) return MCPGW_E_INVALID;
  memcpy(out, who, n);
  return MCPGW_OK;
}

int mcpgw_session_create(mcpgw_session **out, mcpgw_sessions *sessions, const mcpgw_credential *who, uint64_t now_ms) {
  mcpgw_credential c;
  if (!out || !sessions || !who) return MCPGW_E_INVALID;
  int rc = read_credential(who, &c);
  return rc == MCPGW_OK ? mg_sessions_create(sessions, &c, now_ms, out) : rc;
}

int mcpgw_session_find(mcpgw_session **out, mcpgw_sessions *sessions, const char *id, size_t id_len,
                       const mcpgw_credential *who, uint64_t now_ms) {
  mcpgw_credential c;
  if (!out || !sessions || !id || !who) return MCPGW_E_INVALID;
  int rc = read_credential(who, &c);
  if (rc != MCPGW_OK) return rc;
  mcpgw_session *s = mg_sessions_find(sessions, mg_slice(id, id_len), &c, now_ms);
  if (!s) return MCPGW_E_NOT_FOUND;
  *out = s;
  return MCPGW_OK;
}

void mcpgw_session_touch(mcpgw_session *session, uint64_t now_ms) {
  if (session) mg_sessions_touch(session, now_ms);
}

void mcpgw_session_confirm(mcpgw_session *session, uint64_t now_ms) {
  if (session && !session->ended) mg_sessions_confirm(session, now_ms);
}

int mcpgw_session_extend(mcpgw_session *session, const mcpgw_credential *who, uint64_t now_ms) {
  mcpgw_credential c;
  if (!session || !who) return MCPGW_E_INVALID;
  int rc = read_credential(who, &c);
  return rc == MCPGW_OK ? mg_sessions_extend(session, &c, now_ms) : rc;
}

void mcpgw_session_pin(mcpgw_session *session, uint64_t now_ms) {
  if (session && !session->ended) mg_sessions_pin(session, now_ms);
}

void mcpgw_session_end(mcpgw_session *session, const char *why) {
  if (session) mg_sessions_end(session, why ? why : "it was ended");
}

int mcpgw_session_bind(mcpgw_session *session, uint32_t slot, void *link) {
  return session ? mg_sessions_bind(session, slot, link) : MCPGW_E_INVALID;
}

void *mcpgw_session_unbind(mcpgw_session *session, uint32_t slot) {
  return session ? mg_sessions_unbind(session, slot) : NULL;
}

void *mcpgw_session_bound(const mcpgw_session *session, uint32_t slot) {
  return session ? mg_sessions_bound(session, slot) : NULL;
}

const char *mcpgw_session_id(const mcpgw_session *session) {
  return session ? session->id : "";
}

const char *mcpgw_session_tag(const mcpgw_session *session) {
  return session ? session->tag : "";
}

const char *mcpgw_session_principal(const mcpgw_session *session) {
  return session ? session->principal->name : "";
}

uint64_t mcpgw_session_created_ms(const mcpgw_session *session) {
  return session ? session->created_ms : 0;
}

uint64_t mcpgw_session_used_ms(const mcpgw_session *session) {
  return session ? session->used_ms : 0;
}

uint64_t mcpgw_session_ends_ms(const mcpgw_session *session) {
  return session ? mg_sessions_ends_ms(session) : 0;
}

void mcpgw_session_set_user(mcpgw_session *session, void *user) {
  if (session) session->user = user;
}

void *mcpgw_session_user(const mcpgw_session *session) {
  return session ? session->user : NULL;
}
