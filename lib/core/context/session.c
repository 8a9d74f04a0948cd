/* core/context/session: owns sessions and principals: who may find which, and when they end. It must never tell a
 * session that is another's from one that is not there, and never let one outlive absolute_ms. */
#include "core/context/session.h"

#include <string.h>

#include "base/mem.h"
#include "crypt/seal.h"

#define TOKEN_MAX 4096
#define SLOT_MAX 65536
#define LINGER_MS 600000 /* how long a principal without sessions is remembered */

/* ---- principals ----------------------------------------------------------------------------------------- */

static void principal_free(struct mcpgw_sessions *all, struct mg_principal *p) {
  mg_map_del(all->principals, mg_slice(p->name, p->name_len));
  if (p->node.next) all->n_lingering--;
  mg_list_del(&p->node);
  mg_free(p->links);
  mg_free(p->name);
  mg_free(p);
}

struct mg_principal *mg_sessions_principal(const struct mcpgw_sessions *all, struct mg_slice name) {
  return mg_map_get(all->principals, name);
}

static int principal_new(struct mcpgw_sessions *all, struct mg_slice name, struct mg_principal **out) {
  struct mg_list *oldest = mg_list_first(&all->lingering);
  if (all->n_lingering >= all->o.max && oldest) principal_free(all, MG_CONTAINER(oldest, struct mg_principal, node));
  struct mg_principal *p = mg_calloc(1, sizeof *p);
  if (!p) return MCPGW_E_NOMEM;
  int rc = MCPGW_E_NOMEM;
  mg_list_init(&p->sessions);
  p->name_len = name.len;
  if (!(p->name = mg_memdup(name.ptr, name.len)) || (rc = mg_map_put(all->principals, name, p)) != MCPGW_OK) {
    mg_free(p->name);
    mg_free(p);
    return rc;
  }
  *out = p;
  return MCPGW_OK;
}

/* No session of its own any more: it is forgotten after a while. */
static void linger(struct mcpgw_sessions *all, struct mg_principal *p, uint64_t now_ms) {
  if (p->n || p->node.next) return;
  p->empty_ms = now_ms;
  mg_list_add(&all->lingering, &p->node);
  all->n_lingering++;
}

static void forget(struct mcpgw_sessions *all, uint64_t now_ms) {
  struct mg_list *node;
  while ((node = mg_list_first(&all->lingering))) {
    struct mg_principal *p = MG_CONTAINER(node, struct mg_principal, node);
    if (now_ms < p->empty_ms + LINGER_MS) break;
    principal_free(all, p);
  }
}

/* ---- credentials ------------------------------------------------------------------------------------------- */

static struct mg_slice principal_of(const mcpgw_credential *who) {
  return mg_slice(who->principal, who->principal ? who->principal_len : 0);
}

static uint64_t token_hash(struct mg_slice token) {
  unsigned char digest[MG_HASH_LEN];
  uint64_t h;
  mg_sha256(token, digest);
  memcpy(&h, digest, sizeof h);
  return h;
}

static int has_token(const struct mcpgw_session *s, uint64_t hash) {
  uint32_t n = s->n_tokens < MG_TOKENS_KEPT ? s->n_tokens : MG_TOKENS_KEPT;
  for (uint32_t i = 0; i < n; i++)
    if (s->tokens[i] == hash) return 1;
  return 0;
}

/* The token ids that opened or extended a session end it when they are revoked. */
static int keep_token(struct mcpgw_session *s, const mcpgw_credential *who) {
  if (!who->token_id || !who->token_id_len) return MCPGW_OK;
  uint64_t hash = token_hash(mg_slice(who->token_id, who->token_id_len));
  if (has_token(s, hash)) return MCPGW_OK;
  if (!s->tokens && !(s->tokens = mg_calloc(MG_TOKENS_KEPT, sizeof *s->tokens))) return MCPGW_E_NOMEM;
  s->tokens[s->n_tokens++ % MG_TOKENS_KEPT] = hash;
  return MCPGW_OK;
}

static uint64_t runs_out_ms(const mcpgw_credential *who) {
  return who->expires_ms ? who->expires_ms : UINT64_MAX;
}

/* ---- how long ------------------------------------------------------------------------------------------------ */

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t after(uint64_t at_ms, uint64_t wait_ms) {
  return wait_ms > UINT64_MAX - at_ms ? UINT64_MAX : at_ms + wait_ms;
}

uint64_t mg_sessions_ends_ms(const struct mcpgw_session *s) {
  const mcpgw_sessions_options *o = &s->all->o;
  if (s->pinned) return s->credential_ms;
  uint64_t idle = after(s->used_ms, s->pending ? o->pending_ms : o->idle_ms);
  return earlier(earlier(idle, after(s->created_ms, o->absolute_ms)), s->credential_ms);
}

/* The alarm is only ever moved to an earlier time; use moves none (it is looked at again when it rings). */
static void set_alarm(struct mcpgw_session *s) {
  uint64_t at = mg_sessions_ends_ms(s);
  if (at < s->expiry.at_ms) mg_heap_set(&s->all->expiries, &s->expiry, at); /* a move: cannot fail */
}

static const char *why_ended(const struct mcpgw_session *s, uint64_t now_ms) {
  if (now_ms >= s->credential_ms) return "its newest credential has run out";
  if (now_ms >= after(s->created_ms, s->all->o.absolute_ms)) return "the session reached its greatest age";
  return s->pending ? "the session was never initialized" : "the session expired";
}

static void ring(struct mcpgw_session *s, uint64_t now_ms) {
  struct mcpgw_sessions *all = s->all;
  uint64_t last = earlier(s->pinned ? UINT64_MAX : after(s->created_ms, all->o.absolute_ms), s->credential_ms);
  if (now_ms < last && mg_sessions_ends_ms(s) <= now_ms && s->created_ms && all->o.in_use && all->o.in_use(all->o.data, s))
    s->used_ms = now_ms;
  uint64_t at = s->created_ms ? mg_sessions_ends_ms(s) : now_ms; /* created_ms 0: it was told to hurry */
  uint64_t more = at <= now_ms && s->created_ms && now_ms < s->credential_ms && all->overdue ? all->overdue(all->o.data, s) : 0;
  if (at > now_ms || more) mg_heap_set(&all->expiries, &s->expiry, at > now_ms ? at : now_ms + more);
  else mg_sessions_end(s, s->created_ms ? why_ended(s, now_ms) : "nobody can come back to it");
}

void mg_sessions_tick(struct mcpgw_sessions *all, uint64_t now_ms) {
  struct mg_heap_node *top;
  while ((top = mg_heap_top(&all->expiries)) && top->at_ms <= now_ms)
    ring(MG_CONTAINER(top, struct mcpgw_session, expiry), now_ms);
  forget(all, now_ms);
}

uint64_t mg_sessions_next_ms(const struct mcpgw_sessions *all) {
  struct mg_heap_node *top = mg_heap_top(&all->expiries);
  return top ? top->at_ms : UINT64_MAX;
}

void mg_sessions_confirm(struct mcpgw_session *s, uint64_t now_ms) {
  s->pending = 0;
  s->used_ms = now_ms;
  set_alarm(s);
}

void mg_sessions_pin(struct mcpgw_session *s, uint64_t now_ms) {
  if (!s->created_ms) return; /* it is to end anyway */
  s->pinned = 1;
  s->pending = 0;
  s->used_ms = now_ms;
  mg_heap_set(&s->all->expiries, &s->expiry, mg_sessions_ends_ms(s));
}

void mg_sessions_hurry(struct mcpgw_session *s, uint64_t now_ms) {
  s->created_ms = 0;
  mg_heap_set(&s->all->expiries, &s->expiry, now_ms);
}

void mg_sessions_linger(struct mcpgw_session *s, uint64_t until_ms) {
  if (!s->created_ms && !s->ended) mg_heap_set(&s->all->expiries, &s->expiry, until_ms); /* a move: cannot fail */
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int make_id(struct mcpgw_session *s) {
  static const char hex[] = "0123456789abcdef";
  unsigned char digest[MG_HASH_LEN];
  int rc = mg_id_new(s->id);
  if (rc != MCPGW_OK) return rc;
  mg_sha256(mg_slice(s->id, MG_ID_LEN), digest);
  for (size_t i = 0; i < MCPGW_SESSION_TAG_LEN; i++) s->tag[i] = hex[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
  return MCPGW_OK;
}

static int enlist(struct mcpgw_session *s) {
  int rc = mg_heap_set(&s->all->expiries, &s->expiry, mg_sessions_ends_ms(s));
  if (rc != MCPGW_OK) return rc;
  rc = mg_map_put(s->all->by_id, mg_slice(s->id, MG_ID_LEN), s);
  if (rc != MCPGW_OK) mg_heap_del(&s->all->expiries, &s->expiry);
  return rc;
}

static void session_free(struct mcpgw_session *s) {
  mg_free(s->tokens);
  mg_free(s->bound);
  mg_free(s);
}

int mg_sessions_create(struct mcpgw_sessions *all, const mcpgw_credential *who, uint64_t now_ms,
                       struct mcpgw_session **out) {
  struct mg_slice name = principal_of(who);
  struct mg_principal *p = NULL;
  if (!name.len || name.len > MG_PRINCIPAL_MAX || who->token_id_len > TOKEN_MAX) return MCPGW_E_INVALID;
  if (runs_out_ms(who) <= now_ms) return MCPGW_E_DENIED;
  if (mg_map_count(all->by_id) >= all->o.max) return MCPGW_E_LIMIT;
  struct mcpgw_session *s = mg_calloc(1, sizeof *s);
  if (!s) return MCPGW_E_NOMEM;
  int rc = MCPGW_E_NOMEM;
  s->all = all;
  s->pending = 1;
  s->created_ms = s->used_ms = now_ms ? now_ms : 1;
  s->credential_ms = runs_out_ms(who);
  if ((rc = keep_token(s, who)) != MCPGW_OK || (rc = make_id(s)) != MCPGW_OK) goto out;
  if (!(p = mg_sessions_principal(all, name)) && (rc = principal_new(all, name, &p)) != MCPGW_OK) goto out;
  rc = p->n >= all->o.max_per_principal ? MCPGW_E_LIMIT : enlist(s);
  if (rc != MCPGW_OK) goto out;
  if (p->node.next) all->n_lingering--;
  mg_list_del(&p->node);
  s->principal = p;
  mg_list_add(&p->sessions, &s->node);
  p->n++;
  *out = s;
  s = NULL;
out:
  if (s && p) linger(all, p, now_ms);
  if (s) session_free(s);
  return rc;
}

void mg_sessions_end(struct mcpgw_session *s, const char *why) {
  struct mcpgw_sessions *all = s->all;
  struct mg_principal *p = s->principal;
  if (s->ended) return;
  s->ended = 1;
  mg_map_del(all->by_id, mg_slice(s->id, MG_ID_LEN));
  mg_heap_del(&all->expiries, &s->expiry);
  mg_list_del(&s->node);
  p->n--;
  if (all->o.ended) all->o.ended(all->o.data, s, why);
  linger(all, p, s->used_ms);
  session_free(s);
}

/* ---- use ---------------------------------------------------------------------------------------------------------- */

int mg_sessions_extend(struct mcpgw_session *s, const mcpgw_credential *who, uint64_t now_ms) {
  if (!mg_secret_eq(principal_of(who), mg_slice(s->principal->name, s->principal->name_len))) return MCPGW_E_NOT_FOUND;
  uint64_t until = runs_out_ms(who);
  if (until <= now_ms || who->token_id_len > TOKEN_MAX) return MCPGW_E_DENIED;
  if (until > s->credential_ms) s->credential_ms = until; /* the alarm finds out when it rings */
  return keep_token(s, who);
}

struct mcpgw_session *mg_sessions_find(struct mcpgw_sessions *all, struct mg_slice id, const mcpgw_credential *who,
                                       uint64_t now_ms) {
  struct mcpgw_session *s = id.len == MG_ID_LEN ? mg_map_get(all->by_id, id) : NULL;
  if (!s || s->ended || (!s->created_ms && s->expiry.at_ms <= now_ms) || mg_sessions_extend(s, who, now_ms) != MCPGW_OK) return NULL;
  mg_sessions_touch(s, now_ms);
  return s;
}

/* Use is no substitute for being confirmed. */
void mg_sessions_touch(struct mcpgw_session *s, uint64_t now_ms) {
  if (!s->pending) s->used_ms = now_ms;
}

/* ---- bindings --------------------------------------------------------------------------------------------------------- */

int mg_sessions_bind(struct mcpgw_session *s, uint32_t slot, void *link) {
  if (!link || slot >= SLOT_MAX) return MCPGW_E_INVALID;
  if (slot >= s->n_bound) {
    void **grown = mg_realloc(s->bound, (slot + 1) * sizeof *grown);
    if (!grown) return MCPGW_E_NOMEM;
    memset(grown + s->n_bound, 0, (slot + 1 - s->n_bound) * sizeof *grown);
    s->bound = grown;
    s->n_bound = slot + 1;
  }
  if (s->bound[slot]) return MCPGW_E_EXISTS;
  s->bound[slot] = link;
  return MCPGW_OK;
}

void *mg_sessions_unbind(struct mcpgw_session *s, uint32_t slot) {
  void *link = mg_sessions_bound(s, slot);
  if (link) s->bound[slot] = NULL;
  return link;
}

void *mg_sessions_bound(const struct mcpgw_session *s, uint32_t slot) {
  return slot < s->n_bound ? s->bound[slot] : NULL;
}

/* ---- revocation --------------------------------------------------------------------------------------------------------- */

static int is_named(const struct mcpgw_session *s, uint32_t what, struct mg_slice value, uint64_t hash) {
  if (what == MCPGW_REVOKE_TOKEN) return has_token(s, hash);
  return mg_slice_eq(value, mg_slice(s->id, MG_ID_LEN)) || mg_slice_eq(value, mg_slice(s->tag, MCPGW_SESSION_TAG_LEN));
}

static size_t revoke_principal(struct mcpgw_sessions *all, struct mg_slice name) {
  struct mg_principal *p = mg_sessions_principal(all, name);
  size_t count = 0;
  for (struct mg_list *node; p && (node = mg_list_first(&p->sessions)); count++)
    mg_sessions_end(MG_CONTAINER(node, struct mcpgw_session, node), "its principal was revoked");
  return count;
}

int mg_sessions_revoke(struct mcpgw_sessions *all, uint32_t what, struct mg_slice value, size_t *count) {
  struct mcpgw_session *s;
  size_t it = 0, n = 0;
  char name[MG_ID_LEN]; /* value may be the id inside a session that goes */
  if (!value.len || what < MCPGW_REVOKE_SESSION || what > MCPGW_REVOKE_TOKEN) return MCPGW_E_INVALID;
  uint64_t hash = what == MCPGW_REVOKE_TOKEN ? token_hash(value) : 0;
  char id[MG_ID_LEN + 1]; /* value may be borrowed from the session that is about to go */
  if (what == MCPGW_REVOKE_SESSION) {
    if (value.len > MG_ID_LEN) value.len = 0; /* names none */
    memcpy(id, value.ptr, value.len);
    value.ptr = id;
  }
  if (what == MCPGW_REVOKE_PRINCIPAL) {
    n = revoke_principal(all, value);
  } else {
    if (what == MCPGW_REVOKE_SESSION && value.len <= sizeof name) value = mg_slice(memcpy(name, value.ptr, value.len), value.len);
    while ((s = mg_map_next(all->by_id, &it, NULL))) {
      if (!is_named(s, what, value, hash)) continue;
      mg_sessions_end(s, what == MCPGW_REVOKE_TOKEN ? "its token was revoked" : "the session was revoked");
      it = 0; /* whatever `ended` did: from the start */
      n++;
    }
  }
  if (count) *count = n;
  return MCPGW_OK;
}

/* ---- the registry ---------------------------------------------------------------------------------------------------------- */

int mg_sessions_new(const mcpgw_sessions_options *o, struct mcpgw_sessions **out) {
  struct mcpgw_sessions *all = mg_calloc(1, sizeof *all);
  if (!all) return MCPGW_E_NOMEM;
  int rc = mg_crypt_init();
  all->o = *o;
  mg_heap_init(&all->expiries, (size_t)o->max + 1);
  mg_list_init(&all->lingering);
  all->by_id = mg_map_new((size_t)o->max);
  all->principals = mg_map_new(2 * (size_t)o->max + 1); /* those that linger included */
  if (rc == MCPGW_OK && (!all->by_id || !all->principals)) rc = MCPGW_E_NOMEM;
  if (rc == MCPGW_OK) *out = all;
  else mg_sessions_free(all);
  return rc;
}

void mg_sessions_limits(struct mcpgw_sessions *all, uint64_t max, uint64_t per_principal, uint64_t idle_ms, uint64_t absolute_ms) {
  struct mcpgw_session *s;
  size_t it = 0, most = (size_t)max > mg_map_count(all->by_id) ? (size_t)max : mg_map_count(all->by_id);
  all->o.max = max;
  all->o.max_per_principal = per_principal;
  all->o.idle_ms = idle_ms;
  all->o.absolute_ms = absolute_ms;
  mg_map_set_max(all->by_id, most);
  mg_map_set_max(all->principals, 2 * most + 1);
  all->expiries.max = most + 1;
  while ((s = mg_map_next(all->by_id, &it, NULL))) set_alarm(s); /* some may end sooner now */
}

void mg_sessions_free(struct mcpgw_sessions *all) {
  struct mcpgw_session *s;
  struct mg_list *node;
  size_t it = 0;
  if (!all) return;
  while (all->by_id && (s = mg_map_next(all->by_id, &it, NULL))) {
    mg_sessions_end(s, "the registry was freed");
    it = 0;
  }
  while ((node = mg_list_first(&all->lingering))) principal_free(all, MG_CONTAINER(node, struct mg_principal, node));
  mg_map_free(all->by_id);
  mg_map_free(all->principals);
  mg_heap_done(&all->expiries);
  mg_free(all);
}
