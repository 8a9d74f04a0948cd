/* core/brain: owns the core itself: its upstreams, its maps and heaps, and the passing of time. What
 * becomes of messages is decided in the other files of the room. */
#include "core/brain.h"

#include <string.h>

#include "crypt/seal.h"

#define MAX_DEADLINES ((size_t)1 << 20)

int mg_text_set(struct mg_text *t, struct mg_slice s) {
  char *to = t->small;
  if (s.len >= sizeof t->small) {
    to = mg_alloc(s.len + 1);
    if (!to) return MCPGW_E_NOMEM;
  }
  if (s.len) memcpy(to, s.ptr, s.len);
  to[s.len] = 0;
  t->ptr = to;
  t->len = s.len;
  return MCPGW_OK;
}

void mg_text_done(struct mg_text *t) {
  if (t->ptr && t->ptr != t->small) mg_free(t->ptr);
  t->ptr = NULL;
  t->len = 0;
}

struct mg_slice mg_text_slice(const struct mg_text *t) {
  return mg_slice(t->ptr == NULL ? "" : t->ptr, t->len);
}

void mg_sink_init(struct mg_sink *s) {
  mg_list_init(&s->calls);
}

int mg_upstream_new(struct mg_core *c, struct mg_config *config, size_t i, uint32_t slot, struct mg_upstream **out) {
  struct mg_upstream *u = mg_calloc(1, sizeof *u);
  if (!u) return MCPGW_E_NOMEM;
  u->core = c;
  u->index = i;
  u->slot = slot;
  u->config = mg_config_ref(config);
  u->cfg = &config->servers[i];
  mg_list_init(&u->feeds);
  mg_breaker_init(&u->breaker);
  mg_retry_init(u);
  u->speaks_modern = u->cfg->era == MG_ERA_LEGACY ? -1 : 0;
  if (mg_gates_init(&u->gates, c, u->cfg) == MCPGW_OK) {
    *out = u;
    return MCPGW_OK;
  }
  mg_upstream_free(u);
  return MCPGW_E_NOMEM;
}

void mg_upstream_free(struct mg_upstream *up) {
  if (!up) return;
  mg_gates_done(&up->gates);
  mg_known_drop(up);
  mg_config_unref(up->config);
  mg_free(up);
}

static int new_upstreams(struct mg_core *c) {
  int rc = MCPGW_OK;
  c->n_ups = c->config->n_servers;
  c->ups = mg_calloc(c->n_ups ? c->n_ups : 1, sizeof *c->ups);
  if (!c->ups) return MCPGW_E_NOMEM;
  for (size_t i = 0; i < c->n_ups && rc == MCPGW_OK; i++) rc = mg_upstream_new(c, c->config, i, (uint32_t)i, &c->ups[i]);
  return rc;
}

int mg_core_new(struct mg_config *config, const struct mg_ports *ports, void *ports_arg, struct mg_budget *budget,
                struct mg_log *log, struct mg_core **out) {
  struct mg_core *c = mg_calloc(1, sizeof *c);
  if (!c) return MCPGW_E_NOMEM;
  int rc = MCPGW_E_NOMEM;
  c->config = mg_config_ref(config);
  c->ports = ports;
  c->ports_arg = ports_arg;
  c->budget = budget;
  c->log = log;
  mg_sink_init(&c->nowhere);
  mg_list_init(&c->links);
  mg_list_init(&c->retired);
  mg_list_init(&c->calls);
  mg_list_init(&c->ready);
  mg_list_init(&c->notices);
  mg_list_init(&c->graveyard);
  mg_list_init(&c->listeners);
  mg_heap_init(&c->deadlines, MAX_DEADLINES);
  mg_heap_init(&c->gathers, MAX_DEADLINES);
  mg_heap_init(&c->loads, MAX_DEADLINES);
  mg_heap_init(&c->feeds, MAX_DEADLINES);
  mg_heap_init(&c->questions, MAX_DEADLINES);
  mg_buf_init(&c->scratch, (size_t)256 << 10);
  c->spare = mg_blob_new(NULL, MG_SPARE_BYTES, MG_SPARE_BYTES);
  if (!c->spare || new_upstreams(c) != MCPGW_OK || (rc = mg_contexts_new(c)) != MCPGW_OK) goto out;
  if ((rc = mg_crypt_init()) != MCPGW_OK || (rc = mg_seal_key_generate(&c->cursor_key)) != MCPGW_OK) goto out;
  mg_core_set_keys(c, c->cursor_key, NULL);
  *out = c;
  c = NULL;
  rc = MCPGW_OK;
out:
  mg_core_free(c);
  return rc;
}

static void bury(struct mg_core *c) {
  struct mg_list *node;
  while ((node = mg_list_first(&c->graveyard))) mg_link_free(MG_CONTAINER(node, struct mg_link, node));
}

void mg_core_end_all(struct mg_core *c) {
  struct mg_list *node;
  struct mcpgw_session *s;
  size_t it = 0;
  c->ending = 1;
  while (c->sessions && (s = mg_map_next(c->sessions->by_id, &it, NULL))) {
    mg_sessions_end(s, "the gateway is stopping");
    it = 0;
  }
  mg_listen_fail_all(c);
  while ((node = mg_list_first(&c->links))) mg_link_bury(MG_CONTAINER(node, struct mg_link, node), 1);
  for (size_t i = 0; c->ups && i < c->n_ups; i++)
    if (c->ups[i]) mg_gates_flush(&c->ups[i]->gates);
  mg_gate_run(c, 0); /* who waited for a place is told the end */
}

void mg_core_free(struct mg_core *c) {
  if (!c) return;
  mg_core_end_all(c);
  mg_feed_free_all(c);
  bury(c);
  mg_once_free(c);
  mg_sessions_free(c->sessions);
  mg_heap_done(&c->deadlines);
  mg_heap_done(&c->gathers);
  mg_heap_done(&c->loads);
  mg_heap_done(&c->feeds);
  mg_heap_done(&c->questions);
  mg_buf_done(&c->scratch);
  mg_blob_unref(c->spare);
  mg_seal_key_free(c->cursor_key);
  mg_drain_free_all(c);
  for (size_t i = 0; c->ups && i < c->n_ups; i++) mg_upstream_free(c->ups[i]);
  mg_free(c->ups);
  mg_config_unref(c->config);
  mg_free(c);
}

const struct mg_stats *mg_core_stats(const struct mg_core *c) {
  return &c->stats;
}

size_t mg_core_calls(const struct mg_core *c) {
  return c->n_calls;
}

size_t mg_core_queued(const struct mg_core *c) {
  return c->n_queued;
}

size_t mg_core_breakers(const struct mg_core *c) {
  size_t n = 0;
  for (size_t i = 0; i < c->n_ups; i++) n += c->ups[i]->breaker.state >= MG_BREAKER_OPEN;
  return n;
}

size_t mg_core_contexts(const struct mg_core *c) {
  return mg_map_count(c->sessions->by_id);
}

int mg_core_supported(const struct mg_core *c, struct mg_view view, struct mg_buf *out) {
  int modern = 0, legacy = 0;
  for (size_t i = view.first; i < view.first + view.n; i++) {
    if (c->ups[i]->speaks_modern >= 0) modern = 1;
    else legacy = 1;
  }
  return mg_revision_list(out, modern, legacy);
}

static uint64_t top_ms(const struct mg_heap *h) {
  struct mg_heap_node *n = mg_heap_top(h);
  return n ? n->at_ms : UINT64_MAX;
}

uint64_t mg_core_next_ms(const struct mg_core *c) {
  if (!mg_list_empty(&c->graveyard) || !mg_list_empty(&c->ready)) return 0;
  const struct mg_heap *heaps[] = {&c->deadlines, &c->gathers, &c->loads, &c->feeds, &c->questions};
  uint64_t at = mg_sessions_next_ms(c->sessions);
  if (mg_bind_next_ms(c) < at) at = mg_bind_next_ms(c);
  if (mg_once_next_ms(c) < at) at = mg_once_next_ms(c);
  if (mg_drain_next_ms(c) < at) at = mg_drain_next_ms(c);
  for (size_t i = 0; i < sizeof heaps / sizeof heaps[0]; i++)
    if (top_ms(heaps[i]) < at) at = top_ms(heaps[i]);
  return at;
}

void mg_core_tick(struct mg_core *c, uint64_t now_ms) {
  bury(c);
  mg_leg_tick(c, now_ms);
  mg_call_tick(c, now_ms);
  mg_catalog_tick(c, now_ms);
  mg_reverse_tick(c, now_ms);
  mg_feed_tick(c, now_ms);
  mg_sessions_tick(c->sessions, now_ms);
  mg_once_tick(c, now_ms);
  mg_gate_run(c, now_ms);
  mg_bind_tick(c, now_ms);
  mg_drain_tick(c, now_ms);
}
