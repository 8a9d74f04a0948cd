/* core/link/share: owns what several contexts have in common on one legacy link (isolation `principal`, `shared`): the
 * log level, subscriptions, and whom a message of the server that belongs to no call is for. What is for one is
 * told to no other (DESIGN §5). */
#include "core/brain.h"

static const char *const levels[] = {"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"};
#define N_LEVELS ((int)(sizeof levels / sizeof levels[0]))
#define UNSET_LEVEL 1 /* who never said what it wants gets info and up, once others have asked for more */

int mg_share_level(struct mg_slice name) {
  for (int i = 0; i < N_LEVELS; i++)
    if (mg_slice_eqz(name, levels[i])) return i;
  return -1;
}

int mg_link_is_common(const struct mg_link *l) {
  return !l->modern && l->scope != MG_ISO_SESSION;
}

/* ---- the log level ---------------------------------------------------------------------------------------- */

/* The most verbose one that any context asked for; -1: none did. */
static int wanted_level(const struct mg_link *l) {
  int best = -1;
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next) {
    const struct mg_ctx *ctx = mg_bind_of(n)->ctx;
    int level = ctx->level.len > 2 ? mg_share_level(mg_slice_sub(mg_text_slice(&ctx->level), 1, ctx->level.len - 2)) : -1;
    if (level >= 0 && (best < 0 || level < best)) best = level;
  }
  return best;
}

void mg_share_keep_level(struct mg_link *l, uint64_t now_ms) {
  int level = wanted_level(l);
  char text[16] = "\"";
  if (level < 0 || level == l->level || l->state != MG_LINK_READY || !(l->caps & MG_CAP_LOGGING)) return;
  size_t n = 1;
  for (const char *p = levels[level]; *p; p++) text[n++] = *p;
  text[n++] = '"';
  if (mg_restore_send(l, MG_M_SET_LEVEL, "{\"level\":", mg_slice(text, n), now_ms) == MCPGW_OK) l->level = level;
}

static int may_hear(const struct mg_link *l, const struct mg_ctx *ctx, const struct mg_msg *m) {
  int said = mg_share_level(mg_msg_inner(m, MG_S_LEVEL)), wants = UNSET_LEVEL;
  if (l->level < 0 || said < 0) return 1; /* nobody has asked for anything yet */
  if (ctx->level.len > 2) wants = mg_share_level(mg_slice_sub(mg_text_slice(&ctx->level), 1, ctx->level.len - 2));
  return said >= wants;
}

/* ---- requests that are answered for all -------------------------------------------------------------------- */

static int others_subscribed(const struct mg_link *l, const struct mg_ctx *but, struct mg_slice uri) {
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next) {
    const struct mg_ctx *ctx = mg_bind_of(n)->ctx;
    if (ctx != but && mg_restore_has(ctx, l->up, uri)) return 1;
  }
  return 0;
}

static int set_level(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms) {
  if (!(l->caps & MG_CAP_LOGGING)) return 0; /* let it say so itself */
  if (mg_share_level(mg_msg_inner(m, MG_S_LEVEL)) < 0) {
    mg_call_error(call, MG_RPC_PARAMS, "unknown log level", mg_slice(NULL, 0));
    return 1;
  }
  mg_restore_note(call->ctx, m, l->up);
  mg_share_keep_level(l, now_ms);
  mg_call_result(call, MG_LIT("{}"));
  return 1;
}

int mg_share_request(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, uint64_t now_ms) {
  if (!mg_link_is_common(l)) return 0;
  if (m->method == MG_M_SET_LEVEL) return set_level(call, l, m, now_ms);
  if (m->method != MG_M_SUBSCRIBE && m->method != MG_M_UNSUBSCRIBE) return 0;
  struct mg_buf b;
  int others = others_subscribed(l, call->ctx, mg_restore_uri(m, &b));
  mg_buf_done(&b);
  if (!others) return 0; /* the first, or the last */
  mg_restore_note(call->ctx, m, l->up);
  mg_call_result(call, MG_LIT("{}"));
  return 1;
}

/* ---- coming and going ------------------------------------------------------------------------------------------ */

void mg_share_left(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms) {
  struct mg_slice uri;
  size_t it = 0;
  if (l->modern || l->state != MG_LINK_READY) return;
  while (mg_restore_next(ctx, l->up, &it, &uri))
    if (!others_subscribed(l, ctx, uri)) mg_restore_send(l, MG_M_UNSUBSCRIBE, "{\"uri\":", uri, now_ms);
  mg_share_keep_level(l, now_ms);
}

static int subscribed_before(const struct mg_link *l, const struct mg_ctx *than, struct mg_slice uri) {
  for (struct mg_list *n = l->binds.next; n != &l->binds && mg_bind_of(n)->ctx != than; n = n->next)
    if (mg_restore_has(mg_bind_of(n)->ctx, l->up, uri)) return 1;
  return 0;
}

/* Each thing is asked for once, by the first who wants it. */
void mg_share_restore(struct mg_link *l, struct mg_ctx *ctx, uint64_t now_ms) {
  struct mg_slice uri;
  size_t it = 0;
  while (mg_restore_next(ctx, l->up, &it, &uri))
    if (!subscribed_before(l, ctx, uri)) mg_restore_send(l, MG_M_SUBSCRIBE, "{\"uri\":", uri, now_ms);
  mg_share_keep_level(l, now_ms);
}

/* ---- what belongs to no call ------------------------------------------------------------------------------------- */

struct mg_ctx *mg_share_only(const struct mg_link *l) {
  return l->n_binds == 1 ? mg_bind_of(l->binds.next)->ctx : NULL;
}

static int concerns(const struct mg_link *l, const struct mg_ctx *ctx, const struct mg_msg *m) {
  struct mg_buf b;
  int yes = mg_restore_concerns(ctx, l->up, mg_restore_uri(m, &b));
  mg_buf_done(&b);
  return yes;
}

static int is_for(const struct mg_link *l, const struct mg_ctx *ctx, const struct mg_msg *m) {
  switch (m->method) {
  case MG_M_N_MESSAGE: return may_hear(l, ctx, m);
  case MG_M_N_UPDATED: return concerns(l, ctx, m);
  case MG_M_N_TOOLS_CHANGED:
  case MG_M_N_PROMPTS_CHANGED:
  case MG_M_N_RESOURCES_CHANGED: return 1;
  default: break;
  }
  if (m->s[MG_S_TASK_ID].type == MG_JSON_STRING) /* notifications/tasks/status */
    return ctx->tasks && mg_map_get(ctx->tasks, mg_msg_inner(m, MG_S_TASK_ID)) != NULL;
  return l->n_binds == 1; /* whose it is cannot be told */
}

static int to_context(struct mg_ctx *ctx, const struct mg_msg *m) {
  struct mg_splice sp;
  mg_blob *copy;
  mg_splice_init(&sp);
  mg_strip_private(&sp, m->doc, m->s[MG_S_META]);
  int rc = mg_splice_flatten(&sp, m->doc, ctx->core->budget, &copy);
  if (rc == MCPGW_OK) mg_ctx_emit(ctx, copy);
  return rc;
}

void mg_share_notification(struct mg_link *l, const struct mg_msg *m, const struct mg_ctx *but) {
  size_t told = but != NULL;
  for (struct mg_list *n = l->binds.next; n != &l->binds; n = n->next) {
    struct mg_ctx *ctx = mg_bind_of(n)->ctx;
    if (ctx == but) continue;
    if (mg_link_is_common(l) && (!ctx->answered || !is_for(l, ctx, m))) continue;
    if (to_context(ctx, m) == MCPGW_OK) told++;
  }
  if (!told) l->core->stats.dropped_notifications++;
}

/* Of changes: whichever stream they came on, they are for those who follow what changed. */
int mg_share_is_for_all(const struct mg_link *l, const struct mg_msg *m) {
  return mg_link_is_common(l) && (m->method == MG_M_N_UPDATED || mg_list_kind(m->method) >= 0);
}

int mg_share_may_hear(const struct mg_link *l, const struct mg_ctx *ctx, const struct mg_msg *m) {
  return !mg_link_is_common(l) || (m->method != MG_M_N_MESSAGE && m->method != MG_M_N_UPDATED) || is_for(l, ctx, m);
}

/* ---- what a client can be asked ------------------------------------------------------------------------------------- */

int mg_share_can_answer(const struct mg_link *l, const struct mg_ctx *ctx, int method) {
  if (!mg_link_is_common(l)) return 1; /* the server was told the client's own capabilities */
  if (method == MG_M_CREATE_MESSAGE) return ctx->can & MG_CAN_SAMPLE;
  if (method == MG_M_ELICIT) return ctx->can & MG_CAN_ELICIT;
  if (method == MG_M_ROOTS_LIST) return ctx->can & MG_CAN_ROOTS;
  return 1;
}
