/* core/list/route: owns the question which upstream of an aggregate view a message belongs to. Routing is by
 * table, never by splitting names; a URI goes to its one owner and is never tried on several. */
#include <stdio.h>
#include <string.h>

#include "core/brain.h"

#define GATHER_MS 30000
#define TASK_ID_MAX 1024
#define URIS (1u << MG_LIST_RESOURCES | 1u << MG_LIST_TEMPLATES)

/* ---- tasks ----------------------------------------------------------------------------------------------- */

static struct mg_map *task_map(struct mg_call *call) {
  if (!call->ctx->tasks) call->ctx->tasks = mg_map_new(MG_MAX_TASKS);
  return call->ctx->tasks;
}

int mg_task_remember(struct mg_call *call, struct mg_slice task_id, struct mg_upstream *owner) {
  struct mg_map *tasks = task_map(call);
  if (owner->retired) owner = owner->heir; /* a reload replaced it while the call ran */
  if (!tasks) return MCPGW_E_NOMEM;
  if (!owner) return MCPGW_E_NOT_FOUND;
  const char *fault = NULL;
  int rc = task_id.len <= TASK_ID_MAX ? mg_map_put(tasks, task_id, owner) : MCPGW_E_INVALID;
  if (rc == MCPGW_E_INVALID) {
    fault = "its id is longer than 1,024 bytes; it cannot be asked for";
  } else if (rc == MCPGW_E_LIMIT) { /* full: one that comes along makes room */
    struct mg_slice key;
    size_t it = 0;
    if (mg_map_next(tasks, &it, &key)) mg_map_del(tasks, key);
    rc = mg_map_put(tasks, task_id, owner);
    fault = "too many tasks are remembered; one of them cannot be asked for any more";
  } else if (rc == MCPGW_E_EXISTS && mg_map_get(tasks, task_id) != owner) {
    fault = "its new task has the id of another upstream's, which keeps it; the new one cannot be asked for";
  }
  if (fault)
    mg_log(call->core->log, MG_LOG_WARN, "task.lost", "upstream", owner->cfg->name, "text", fault, (char *)0);
  return rc;
}

struct mg_upstream *mg_task_owner(struct mg_call *call, struct mg_slice task_id) {
  struct mg_map *tasks = task_map(call);
  return tasks ? mg_map_get(tasks, task_id) : NULL;
}

/* ---- lists that must be known ----------------------------------------------------------------------------- */

static int in_view(const struct mg_call *call, size_t i) {
  return i - call->view.first < call->view.n;
}

/* Waits for links that are opening and for lists of these kinds (bits). OK: all that can be known is. */
static int gather(struct mg_call *call, unsigned kinds, uint64_t now_ms) {
  struct mg_fault why;
  for (size_t i = call->view.first; in_view(call, i) && !call->gave_up; i++) {
    struct mg_link *l = mg_link_get(call->core, call->ctx, i, now_ms, &why);
    if (!l) continue;
    if (l->state == MG_LINK_OPENING) mg_call_wait(call, &l->waiters);
    for (int k = 0; k < MG_LIST_KINDS; k++)
      if (kinds & 1u << k && mg_link_has_list(l, k)) mg_catalog_need(l, k, call->refreshed, call, now_ms);
  }
  if (!call->waiting) return MCPGW_OK;
  mg_call_wait_until(call, now_ms + GATHER_MS);
  return MCPGW_E_AGAIN;
}

static int may_refresh(struct mg_call *call, unsigned kinds, uint64_t now_ms) {
  int any = 0;
  if (call->refreshed) return 0;
  call->refreshed = 1;
  for (size_t i = call->view.first; in_view(call, i); i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    for (int k = 0; l && k < MG_LIST_KINDS; k++)
      if (kinds & 1u << k) any |= mg_catalog_suspect(l, k, call, now_ms);
  }
  return any;
}

/* ---- names and URIs ------------------------------------------------------------------------------------------ */

static struct mg_link *by_name(struct mg_call *call, int kind, struct mg_slice name, const struct mg_item **item) {
  for (size_t i = call->view.first; in_view(call, i); i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    if (l && (*item = mg_catalog_exposed(l, kind, name, call))) return l;
  }
  return NULL;
}

/* Does uri fit the template? Each {expression} stands for any text. *weight: literal bytes. */
static int fits(const char *template, struct mg_slice uri, size_t *weight) {
  struct mg_buf pattern;
  int in = 0;
  *weight = 0;
  mg_buf_init(&pattern, 8192);
  for (const char *p = template; *p; p++) {
    if (*p == '{' && !in) {
      in = 1;
      mg_buf_addc(&pattern, '*');
    } else if (*p == '}' && in) {
      in = 0;
    } else if (!in) {
      mg_buf_addc(&pattern, *p);
      (*weight)++;
    }
  }
  int yes = uri.len <= 8192 && mg_buf_rc(&pattern) == MCPGW_OK && mg_glob(mg_buf_slice(&pattern), uri);
  mg_buf_done(&pattern);
  return yes;
}

static struct mg_link *by_template(struct mg_call *call, struct mg_slice uri) {
  struct mg_link *best = NULL;
  size_t best_weight = 0, weight;
  for (size_t i = call->view.first; in_view(call, i); i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    struct mg_table *t = l ? mg_catalog_table(l, MG_LIST_TEMPLATES, call) : NULL;
    for (size_t k = 0; t && k < t->n; k++)
      if (fits(t->items[k].key, uri, &weight) && (!best || weight > best_weight)) {
        best = l;
        best_weight = weight;
      }
  }
  return best;
}

/* An upstream that is not there now and may own anything; NULL: all that serve this caller are there. */
static struct mg_upstream *unasked(struct mg_call *call) {
  for (size_t i = call->view.first; in_view(call, i); i++) {
    struct mg_upstream *up = call->core->ups[i];
    const struct mg_bind *b = mg_bind_find(call->ctx, up);
    if (mg_link_peek(call->core, call->ctx, i)) continue;
    if (call->modern ? up->speaks_modern >= 0 : up->cfg->era != MG_ERA_MODERN && !(b && b->refused_ms)) return up;
  }
  return NULL;
}

/* The only one that declares resources gets what nobody lists: but not while one that might own it is away. */
struct mg_link *mg_route_uri(struct mg_call *call, struct mg_slice uri) {
  struct mg_link *only = NULL, *l;
  size_t declaring = 0;
  for (size_t i = call->view.first; in_view(call, i); i++) {
    if (!(l = mg_link_peek(call->core, call->ctx, i))) continue;
    if (mg_catalog_find(l, MG_LIST_RESOURCES, uri, call)) return l;
    if (l->caps & MG_CAP_RESOURCES) {
      only = l;
      declaring++;
    }
  }
  if ((l = by_template(call, uri))) return l;
  return declaring == 1 && !unasked(call) ? only : NULL;
}

static int kinds_of(const struct mg_msg *m, unsigned *kinds, int *slot) {
  *slot = MG_S_NAME;
  switch (m->method) {
  case MG_M_TOOLS_CALL: *kinds = 1u << MG_LIST_TOOLS; return 1;
  case MG_M_PROMPTS_GET: *kinds = 1u << MG_LIST_PROMPTS; return 1;
  case MG_M_RESOURCES_READ:
  case MG_M_SUBSCRIBE:
  case MG_M_UNSUBSCRIBE:
    *kinds = URIS;
    *slot = MG_S_URI;
    return 1;
  case MG_M_COMPLETE:
    *slot = mg_msg_has(m, MG_S_REF_URI) ? MG_S_REF_URI : MG_S_REF_NAME;
    *kinds = *slot == MG_S_REF_URI ? URIS : 1u << MG_LIST_PROMPTS;
    return 1;
  default: return 0;
  }
}

static struct mg_link *find(struct mg_call *call, unsigned kinds, struct mg_slice text, const struct mg_item **item) {
  *item = NULL;
  if (kinds == URIS) return mg_route_uri(call, text);
  return by_name(call, kinds == 1u << MG_LIST_TOOLS ? MG_LIST_TOOLS : MG_LIST_PROMPTS, text, item);
}

static int not_found(struct mg_call *call, const struct mg_msg *m) {
  struct mg_buf b;
  int uri = m->s[MG_S_URI].type == MG_JSON_STRING;
  mg_buf_init(&b, 16384);
  if (uri) {
    mg_buf_addz(&b, "{\"uri\":");
    mg_buf_adds(&b, mg_msg_raw(m, MG_S_URI));
    mg_buf_addc(&b, '}');
  }
  mg_call_error(call, MG_RPC_PARAMS,
                m->method == MG_M_TOOLS_CALL ? "unknown tool"
                : uri                        ? "no upstream owns this resource"
                                             : "unknown prompt or reference",
                mg_buf_rc(&b) == MCPGW_OK ? mg_buf_slice(&b) : mg_slice(NULL, 0));
  mg_buf_done(&b);
  return MCPGW_E_NOT_FOUND;
}

/* The upstream whose prefix the name has and whose list is not to be had now; NULL: none. Never to route by: only
 * to tell a client that its tool is away, not unknown. */
static struct mg_upstream *away(struct mg_call *call, int kind, struct mg_slice name) {
  for (size_t i = call->view.first; in_view(call, i); i++) {
    struct mg_upstream *up = call->core->ups[i];
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    struct mg_slice slug = mg_slice_z(up->cfg->slug);
    if (l && (!mg_link_has_list(l, kind) || mg_catalog_table(l, kind, call)->state != MG_TABLE_FAILED)) continue;
    if (call->modern && up->speaks_modern < 0) continue;
    if (mg_slice_starts(name, slug) &&
        mg_slice_starts(mg_slice_sub(name, slug.len, name.len), mg_slice_z(call->core->config->separator)))
      return up; /* no other has that prefix: see mg_config_name_server */
  }
  return NULL;
}

static int unavailable(struct mg_call *call, const struct mg_upstream *up, const char *what) {
  char text[MG_ERR_MAX];
  snprintf(text, sizeof text, "upstream \"%.80s\" %s", up->cfg->name, what);
  struct mg_fault f = {.reason = MG_WHY_UPSTREAM_UNAVAILABLE, .delivered = MCPGW_DELIVERED_NO, .upstream = up->cfg->name,
                       .text = text};
  mg_call_fail(call, &f);
  return MCPGW_E_NOT_FOUND;
}

/* Nobody who is there has it. */
static int not_there(struct mg_call *call, const struct mg_msg *m, unsigned kinds, struct mg_slice text, uint64_t now_ms) {
  struct mg_upstream *up = kinds == URIS ? unasked(call)
                                         : away(call, kinds == 1u << MG_LIST_TOOLS ? MG_LIST_TOOLS : MG_LIST_PROMPTS, text);
  struct mg_link *l;
  if (!up) return not_found(call, m);
  if (kinds == URIS) return unavailable(call, up, "is not there, and no other owns this resource");
  size_t prefix = strlen(up->cfg->slug) + strlen(call->core->config->separator);
  int rc = mg_once_ask(call, up, m, mg_slice_sub(text, prefix, text.len), now_ms);
  if (rc == MCPGW_OK) rc = mg_request_link(call, up->index, &l, now_ms);
  return rc == MCPGW_OK ? unavailable(call, up, "did not give its list, or not in time") : rc;
}

static int refuse(struct mg_call *call, int code, const char *text) {
  mg_call_error(call, code, text, mg_slice(NULL, 0));
  return MCPGW_E_NOT_FOUND;
}

static int route_text(struct mg_call *call, const struct mg_msg *m, unsigned kinds, struct mg_slice text,
                      struct mg_link **link, const struct mg_item **item, uint64_t now_ms) {
  struct mg_link *l = find(call, kinds, text, item);
  /* a name found is enough; a URI needs all lists known, or a template could win over an exact entry */
  if (!l || kinds == URIS) {
    if (gather(call, kinds, now_ms) == MCPGW_E_AGAIN) return MCPGW_E_AGAIN;
    l = find(call, kinds, text, item);
  }
  if (!l && may_refresh(call, kinds, now_ms)) {
    if (gather(call, kinds, now_ms) == MCPGW_E_AGAIN) return MCPGW_E_AGAIN;
    l = find(call, kinds, text, item);
  }
  if (!l) return not_there(call, m, kinds, text, now_ms);
  int rc = mg_once_enter(call, l->up, m, *item, now_ms); /* what is known already needs no link, nor its state */
  if (rc != MCPGW_OK) return rc;
  return mg_request_link(call, l->up->index, link, now_ms);
}

int mg_route(struct mg_call *call, const struct mg_msg *m, struct mg_link **link, const struct mg_item **item,
             uint64_t now_ms) {
  struct mg_buf scratch;
  struct mg_slice text;
  unsigned kinds;
  int slot;
  if (m->s[MG_S_TASK_ID].type == MG_JSON_STRING && !kinds_of(m, &kinds, &slot)) {
    struct mg_upstream *owner = mg_task_owner(call, mg_msg_inner(m, MG_S_TASK_ID));
    if (owner && in_view(call, owner->index)) return mg_request_link(call, owner->index, link, now_ms);
    return refuse(call, MG_RPC_PARAMS, "unknown task");
  }
  if (!kinds_of(m, &kinds, &slot)) return refuse(call, MG_RPC_METHOD, "Method not found");
  mg_buf_init(&scratch, 65536);
  int rc = mg_msg_text(m, slot, &scratch, &text);
  if (rc == MCPGW_OK) rc = route_text(call, m, kinds, text, link, item, now_ms);
  else rc = refuse(call, MG_RPC_PARAMS, "params name a thing by a string: name, uri or ref");
  mg_buf_done(&scratch);
  return rc;
}
