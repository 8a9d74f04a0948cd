/* core/list/merge: owns the lists of an aggregate view: every upstream's items in config order, tools and
 * prompts under their exposed names, schemas verbatim; an upstream that is down is left out and named. */
#include <string.h>

#include "core/brain.h"
#include "crypt/seal.h"

#define PAGE_ITEMS 1000
#define PAGE_BYTES ((size_t)4 << 20)

static const char *const member_of[MG_LIST_KINDS] = {"tools", "prompts", "resources", "resourceTemplates"};

/* ---- cursors: kind, how far, and of which state of the lists; sealed, so that only ours come back ------ */

struct cursor {
  uint64_t kind, skip, generation;
};

static int cursor_out(struct mg_core *c, const struct cursor *cur, struct mg_buf *out) {
  return mg_seal_new(c->cursor_key, mg_slice(cur, sizeof *cur), MG_LIT("cursor"), out);
}

static int cursor_in(struct mg_core *c, struct mg_slice text, struct cursor *cur) {
  struct mg_buf plain;
  mg_buf_init(&plain, 256);
  int rc = mg_seal_open(c->cursor_key, text, MG_LIT("cursor"), &plain);
  if (rc == MCPGW_OK && plain.len != sizeof *cur) rc = MCPGW_E_DENIED;
  if (rc == MCPGW_OK) memcpy(cur, plain.ptr, sizeof *cur);
  mg_buf_done(&plain);
  return rc;
}

static int read_cursor(struct mg_call *call, int kind, struct cursor *cur) {
  struct mg_msg m;
  struct mg_wire_fault why;
  if (!call->paged) return MCPGW_OK;
  if (mg_wire_parse(call->doc, &m, &why) != MCPGW_OK || m.s[MG_S_CURSOR].type != MG_JSON_STRING) return MCPGW_E_PARSE;
  int rc = cursor_in(call->core, mg_msg_inner(&m, MG_S_CURSOR), cur);
  return rc == MCPGW_OK && cur->kind != (uint64_t)kind ? MCPGW_E_DENIED : rc;
}

/* ---- what is missing -------------------------------------------------------------------------------------- */

static const char *absence(const struct mg_call *call, const struct mg_upstream *up) {
  if (mg_link_peek(call->core, call->ctx, up->index)) return "its list could not be fetched, or not in time";
  if (call->modern && up->speaks_modern < 0) return "it speaks no revision of this client's era";
  const struct mg_bind *b = mg_bind_find(call->ctx, up);
  if (b && b->refused_ms) return "it refused initialize";
  return up->error[0] ? up->error : "not ready yet";
}

/* A list that could not be fetched anew is shown for a while, and marked. */
static int is_too_old(const struct mg_table *t, uint64_t now_ms) {
  return t->failed && now_ms - t->fetched_ms >= MG_STALE_MS;
}

static int is_there(const struct mg_call *call, size_t upstream, int kind, uint64_t now_ms) {
  struct mg_link *l = mg_link_peek(call->core, call->ctx, upstream);
  if (!l || kind < 0 || !mg_link_has_list(l, kind)) return l != NULL;
  const struct mg_table *t = mg_catalog_table(l, kind, call);
  return t->state == MG_TABLE_READY && !is_too_old(t, now_ms);
}

/* "dev.mcpgw/stale":{"name":age in ms}: lists whose upstream fails just now. Returns how many. */
static int mark_stale(struct mg_call *call, int kind, struct mg_buf *b, const char *sep, uint64_t now_ms) {
  int n = 0;
  for (size_t i = call->view.first; kind >= 0 && i < call->view.first + call->view.n; i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    const struct mg_table *t = l && mg_link_has_list(l, kind) ? mg_catalog_table(l, kind, call) : NULL;
    if (!t || !t->failed || !is_there(call, i, kind, now_ms)) continue;
    mg_buf_addz(b, n ? "," : sep);
    if (!n++) mg_buf_addz(b, "\"dev.mcpgw/stale\":{");
    mg_buf_json_str(b, mg_slice_z(call->core->ups[i]->cfg->name));
    mg_buf_addc(b, ':');
    mg_buf_addu(b, now_ms - t->fetched_ms);
  }
  if (n) mg_buf_addc(b, '}');
  return n;
}

void mg_merge_meta(struct mg_call *call, int kind, struct mg_buf *b, uint64_t now_ms) {
  const char *sep = "";
  int n = 0;
  mg_buf_addz(b, ",\"_meta\":{");
  if (call->modern) {
    mg_buf_addz(b, "\"io.modelcontextprotocol/serverInfo\":" MG_GATEWAY_INFO);
    sep = ",";
    struct mg_slice handle = call->hands_out ? mg_handle_member(call->ctx, 0) : mg_slice(NULL, 0);
    if (handle.len) mg_buf_addc(b, ',');
    mg_buf_adds(b, handle);
  }
  if (mark_stale(call, kind, b, sep, now_ms)) sep = ",";
  for (size_t i = call->view.first; i < call->view.first + call->view.n; i++) {
    struct mg_upstream *up = call->core->ups[i];
    if (is_there(call, i, kind, now_ms)) continue;
    mg_buf_addz(b, n ? "," : sep);
    if (!n++) mg_buf_addz(b, "\"dev.mcpgw/unavailable\":{");
    mg_buf_json_str(b, mg_slice_z(up->cfg->name));
    mg_buf_addc(b, ':');
    mg_buf_json_str(b, mg_slice_z(absence(call, up)));
  }
  mg_buf_addz(b, n ? "}}}" : "}}");
}

/* ---- gathering ----------------------------------------------------------------------------------------------- */

static int gather(struct mg_call *call, int kind, uint64_t now_ms) {
  struct mg_fault why;
  uint64_t longest = 0;
  for (size_t i = call->view.first; i < call->view.first + call->view.n && !call->gave_up; i++) {
    struct mg_link *l = mg_link_get(call->core, call->ctx, i, now_ms, &why);
    uint64_t may_take = 0;
    if (!l) continue;
    if (l->state == MG_LINK_OPENING && mg_call_wait(call, &l->waiters) == MCPGW_OK)
      may_take = l->up->cfg->timeouts.connect_ms;
    else if (mg_link_has_list(l, kind) && mg_catalog_need(l, kind, !call->paged, call, now_ms) == MCPGW_E_AGAIN)
      may_take = l->up->cfg->timeouts.list_ms;
    if (may_take > longest) longest = may_take;
  }
  if (!call->waiting) return MCPGW_OK;
  mg_call_wait_until(call, now_ms + longest);
  return MCPGW_E_AGAIN;
}

/* ---- putting together -------------------------------------------------------------------------------------------- */

struct page {
  struct mg_buf out;
  uint64_t seen, skip, taken, ttl_ms, generation, now_ms;
  int more, has_ttl, is_private, ready;
};

static void add_item(struct page *p, const struct mg_item *it) {
  struct mg_span name = it->name;
  if (p->taken++) mg_buf_addc(&p->out, ',');
  if (!it->exposed) {
    mg_buf_adds(&p->out, it->raw);
    return;
  }
  mg_buf_adds(&p->out, mg_slice_sub(it->raw, 0, name.off));
  mg_buf_json_str(&p->out, mg_slice_z(it->exposed));
  mg_buf_adds(&p->out, mg_slice_sub(it->raw, name.off + name.len, it->raw.len));
}

static void add_table(struct page *p, const struct mg_link *l, int kind, const struct mg_table *t) {
  uint64_t ttl = mg_catalog_left(l, kind, t, p->now_ms);
  p->ttl_ms = p->has_ttl && p->ttl_ms < ttl ? p->ttl_ms : ttl;
  p->has_ttl = 1;
  p->is_private |= t->is_private;
  p->generation = p->generation * 31 + t->generation;
  for (size_t i = 0; i < t->n; i++) {
    if (t->items[i].blocked || p->seen++ < p->skip) continue;
    if (p->taken == PAGE_ITEMS || (p->taken && p->out.len + t->items[i].raw.len > PAGE_BYTES)) p->more = 1;
    if (!p->more) add_item(p, &t->items[i]);
  }
}

static void finish(struct mg_call *call, struct page *p, int kind) {
  struct mg_buf *b = &p->out;
  mg_buf_addc(b, ']');
  if (p->more) {
    struct cursor cur = {(uint64_t)kind, p->skip + p->taken, p->generation};
    mg_buf_addz(b, ",\"nextCursor\":\"");
    cursor_out(call->core, &cur, b);
    mg_buf_addc(b, '"');
  }
  if (call->modern) {
    mg_buf_addz(b, ",\"resultType\":\"complete\",\"ttlMs\":");
    mg_buf_addu(b, p->has_ttl ? p->ttl_ms : 0);
    mg_buf_addz(b, p->is_private ? ",\"cacheScope\":\"private\"" : ",\"cacheScope\":\"public\"");
  }
  mg_merge_meta(call, kind, b, p->now_ms);
  if (mg_buf_rc(b) == MCPGW_OK) mg_call_result(call, mg_buf_slice(b));
  else mg_call_fail_rc(call, mg_buf_rc(b), NULL);
}

void mg_merge_list(struct mg_call *call, uint64_t now_ms) {
  int kind = mg_list_kind(call->method);
  struct cursor cur = {0, 0, 0};
  struct page p = {.now_ms = now_ms, .generation = call->core->epoch};
  if (read_cursor(call, kind, &cur) != MCPGW_OK) {
    mg_call_error(call, MG_RPC_PARAMS, "this cursor is not one of ours; list from the start", mg_slice(NULL, 0));
    return;
  }
  if (gather(call, kind, now_ms) == MCPGW_E_AGAIN) return;
  mg_buf_init(&p.out, PAGE_BYTES + MG_MAX_LIST_BYTES);
  p.skip = cur.skip;
  mg_buf_addz(&p.out, "{\"");
  mg_buf_addz(&p.out, member_of[kind]);
  mg_buf_addz(&p.out, "\":[");
  for (size_t i = call->view.first; i < call->view.first + call->view.n; i++) {
    struct mg_link *l = mg_link_peek(call->core, call->ctx, i);
    if (!is_there(call, i, kind, now_ms)) { /* what is missing may come at any time: nobody is to keep the rest */
      p.has_ttl = 1;
      p.ttl_ms = 0;
    }
    if (!l) continue;
    p.ready++;
    const struct mg_table *t = mg_link_has_list(l, kind) ? mg_catalog_table(l, kind, call) : NULL;
    if (t && !is_too_old(t, now_ms)) add_table(&p, l, kind, t);
  }
  if (call->paged && p.generation != cur.generation)
    mg_call_error(call, MG_RPC_PARAMS, "the list changed since this cursor was given; list from the start",
                  mg_slice(NULL, 0));
  else if (!p.ready && call->modern) mg_merge_none(call);
  else finish(call, &p, kind);
  mg_buf_done(&p.out);
}
