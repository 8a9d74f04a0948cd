/* core/list/pin: owns what becomes of definitions that are not as somebody accepted them (config/pin): said in the
 * log, or also left out of lists and refused. Without a lock file nothing here costs anything. */
#include <stdio.h>

#include "core/brain.h"

static int pin_kind(int list_kind) {
  return list_kind == MG_LIST_TOOLS ? MG_PIN_TOOL : list_kind == MG_LIST_PROMPTS ? MG_PIN_PROMPT : 0;
}

static int blocks(const struct mg_link *l) {
  return l->core->config->pin.mode == MG_PIN_BLOCK;
}

/* The same definition was looked at before: it has been said. */
static int said_before(struct mg_link *l, int kind, struct mg_slice name, struct mg_slice raw) {
  const struct mg_item *known = mg_catalog_find(l, kind, name, NULL);
  return known && mg_slice_eq(known->raw, raw);
}

static void say(struct mg_link *l, int kind, struct mg_slice name, int verdict, const struct mg_buf *changed) {
  char text[400];
  snprintf(text, sizeof text, "%s %.*s: %s%.*s%s", kind == MG_LIST_TOOLS ? "tool" : "prompt",
           (int)(name.len < 100 ? name.len : 100), name.ptr, verdict == MG_PIN_ADDED ? "is not pinned" : "changed since it was pinned: ",
           (int)(changed->len < 180 ? changed->len : 180), changed->len ? changed->ptr : "",
           blocks(l) ? " (blocked; mcpgw pin accepts it)" : "; mcpgw pin accepts it");
  mg_log(l->core->log, MG_LOG_WARN, "pin.differs", "upstream", l->up->cfg->name, "text", text, (char *)0);
}

int mg_pin_blocks(struct mg_link *l, int kind, struct mg_slice name, struct mg_slice raw) {
  const struct mg_config *config = l->core->config;
  struct mg_buf changed;
  if (config->pin.mode == MG_PIN_OFF || !pin_kind(kind)) return 0;
  mg_buf_init(&changed, 65536);
  int verdict = mg_config_pinned(config, mg_slice_z(l->up->cfg->name), pin_kind(kind), name, raw, &changed);
  int differs = verdict == MG_PIN_CHANGED || verdict == MG_PIN_ADDED;
  if (differs) {
    l->core->stats.pins_differ++;
    if (!said_before(l, kind, name, raw)) say(l, kind, name, verdict, &changed);
  }
  mg_buf_done(&changed);
  return differs && blocks(l);
}

static void judge(struct mg_link *l, int kind, struct mg_table *t) {
  for (size_t i = 0; t && i < t->n; i++) t->items[i].blocked = mg_pin_blocks(l, kind, mg_slice_z(t->items[i].key), t->items[i].raw);
}

/* Other pins, or another mode: what was listed before is judged by them, too. */
void mg_pin_again(struct mg_link *l) {
  for (int kind = MG_LIST_TOOLS; kind <= MG_LIST_PROMPTS && l->lists; kind++) {
    struct mg_list *at = NULL;
    struct mg_table *t;
    while ((t = mg_audience_next(l, kind, &at))) judge(l, kind, t);
    mg_catalog_stale(l, kind); /* a load under way may have been judged by the old ones */
  }
  mg_cache_drop(l, -1);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static int is_pinned(const struct mg_link *l) {
  return mg_config_pinned(l->core->config, mg_slice_z(l->up->cfg->name), MG_PIN_TOOL, mg_slice(NULL, 0), MG_LIT("{}"), NULL) !=
         MG_PIN_FREE;
}

static int deny(struct mg_call *call, const struct mg_link *l, const char *why) {
  struct mg_fault f = {.reason = MG_WHY_POLICY_DENIED, .delivered = MCPGW_DELIVERED_NO, .upstream = l->up->cfg->name, .text = why};
  call->core->stats.pins_denied++;
  mg_call_fail(call, &f);
  return MCPGW_E_DENIED;
}

static struct mg_item *named(struct mg_call *call, struct mg_link *l, int kind, const struct mg_msg *m) {
  struct mg_buf text;
  struct mg_slice name;
  struct mg_item *item = NULL;
  mg_buf_init(&text, 65536);
  if (mg_msg_text(m, MG_S_NAME, &text, &name) == MCPGW_OK) item = mg_catalog_find(l, kind, name, call);
  mg_buf_done(&text);
  return item;
}

/* Blocking has no gaps: what a server does not list, or lists too late, was never accepted either. */
int mg_pin_check(struct mg_call *call, struct mg_link *l, const struct mg_msg *m, const struct mg_item *item,
                 uint64_t now_ms) {
  int kind = m->method == MG_M_TOOLS_CALL ? MG_LIST_TOOLS : m->method == MG_M_PROMPTS_GET ? MG_LIST_PROMPTS : -1;
  if (kind < 0 || !blocks(l) || !is_pinned(l)) return MCPGW_OK;
  if (!l->lists && !(l->lists = mg_tables_new())) return deny(call, l, "out of memory"); /* a session of this server alone */
  if (!item && mg_link_has_list(l, kind)) {
    if (mg_catalog_need(l, kind, 0, call, now_ms) == MCPGW_E_AGAIN) return MCPGW_E_AGAIN;
    item = named(call, l, kind, m);
  }
  if (!item) return deny(call, l, "this server is pinned, and does not list what was asked for");
  if (!item->blocked) return MCPGW_OK;
  return deny(call, l, "its definition is not the one that was pinned; the log says what changed, mcpgw pin accepts it");
}
