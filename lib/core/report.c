/* core/report: owns what people and monitors are told about contexts, links and upstreams: JSON, a page at
 * a time. It changes nothing, and never tells a session id: a tag names a context but cannot open it. */
#include <string.h>

#include "core/brain.h"

/* ---- writing ------------------------------------------------------------------------------------------- */

static void key(struct mg_buf *b, const char *name) {
  if (b->len && b->ptr[b->len - 1] != '{') mg_buf_addc(b, ',');
  mg_buf_addc(b, '"');
  mg_buf_addz(b, name);
  mg_buf_addz(b, "\":");
}

static void add_text(struct mg_buf *b, const char *name, const char *text) {
  key(b, name);
  if (text) mg_buf_json_str(b, mg_slice_z(text));
  else mg_buf_addz(b, "null");
}

static void add_number(struct mg_buf *b, const char *name, uint64_t v) {
  key(b, name);
  mg_buf_addu(b, v);
}

static void add_truth(struct mg_buf *b, const char *name, int v) {
  key(b, name);
  mg_buf_addz(b, v ? "true" : "false");
}

/* "17-3fa9c2d1": a number of this process and the tag of the log. */
static void add_id(struct mg_buf *b, const char *name, const struct mg_ctx *ctx) {
  key(b, name);
  if (!ctx) {
    mg_buf_addz(b, "null");
    return;
  }
  mg_buf_addc(b, '"');
  mg_buf_addu(b, ctx->number);
  mg_buf_addc(b, '-');
  mg_buf_addz(b, mg_ctx_tag(ctx));
  mg_buf_addc(b, '"');
}

static uint64_t since(uint64_t then, uint64_t now_ms) {
  return then && now_ms > then ? now_ms - then : 0;
}

/* ---- pages: the entries with the smallest numbers beyond `after` ---------------------------------------- */

struct picked {
  uint64_t number;
  const void *what;
};
struct pick {
  const struct mg_page *page;
  struct picked v[MG_PAGE_MAX + 1]; /* one more than is shown tells that there are more */
  size_t n, total;
};

/* A heap while entries are offered: the greatest number, the first to go, is at its root. */
static void sift(struct pick *p, size_t i, size_t n) {
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && p->v[child + 1].number > p->v[child].number) child++;
    if (p->v[child].number <= p->v[i].number) return;
    struct picked swap = p->v[i];
    p->v[i] = p->v[child];
    p->v[child] = swap;
  }
}

static void offer(struct pick *p, uint64_t number, const void *what) {
  size_t i = p->n;
  p->total++;
  if (number <= p->page->after) return;
  if (p->n == p->page->limit + 1) { /* full */
    if (number >= p->v[0].number) return;
    p->v[0] = (struct picked){number, what};
    sift(p, 0, p->n);
    return;
  }
  p->n++;
  for (; i && p->v[(i - 1) / 2].number < number; i = (i - 1) / 2) p->v[i] = p->v[(i - 1) / 2];
  p->v[i] = (struct picked){number, what};
}

static void sort(struct pick *p) {
  for (size_t n = p->n; n > 1; n--) {
    struct picked last = p->v[n - 1];
    p->v[n - 1] = p->v[0];
    p->v[0] = last;
    sift(p, 0, n - 1);
  }
}

/* {"items":[ … ],"total":n,"next":n or null}: next goes into `after` for the page behind this one. */
static int write_page(struct pick *p, void (*write)(const struct mg_page *page, const void *what), struct mg_buf *b) {
  size_t n = p->n > p->page->limit ? p->page->limit : p->n;
  sort(p);
  mg_buf_addz(b, "{\"items\":[");
  for (size_t i = 0; i < n; i++) {
    mg_buf_addz(b, i ? ",{" : "{");
    write(p->page, p->v[i].what);
    mg_buf_addc(b, '}');
  }
  mg_buf_addz(b, "],\"total\":");
  mg_buf_addu(b, p->total);
  mg_buf_addz(b, ",\"next\":");
  if (p->n > n) mg_buf_addu(b, p->v[n - 1].number);
  else mg_buf_addz(b, "null");
  mg_buf_addc(b, '}');
  return mg_buf_rc(b);
}

static int wanted(struct mg_slice filter, const char *text) {
  return !filter.len || (text && mg_slice_eqz(filter, text));
}

/* ---- contexts -------------------------------------------------------------------------------------------- */

static int speaks_to(const struct mg_ctx *ctx, struct mg_slice upstream) {
  for (uint32_t i = 0; i < ctx->session->n_bound; i++) {
    const struct mg_bind *b = ctx->session->bound[i];
    if (b && b->link && mg_slice_eqz(upstream, b->up->cfg->name)) return 1;
  }
  return !upstream.len;
}

static void one_context(const struct mg_page *page, const void *what) {
  const struct mg_ctx *ctx = what;
  struct mg_buf *b = page->out;
  size_t links = 0;
  for (uint32_t i = 0; i < ctx->session->n_bound; i++) {
    const struct mg_bind *bind = ctx->session->bound[i];
    links += bind && bind->link;
  }
  add_id(b, "id", ctx);
  add_text(b, "principal", ctx->session->principal->name);
  add_text(b, "revision", mg_revision_name(ctx->revision));
  add_truth(b, "initialized", ctx->initialized);
  add_number(b, "links", links);
  add_number(b, "in_flight", ctx->n_calls);
  add_number(b, "age_ms", since(ctx->session->created_ms, page->now_ms));
  add_number(b, "idle_ms", since(ctx->session->used_ms, page->now_ms));
}

int mg_core_report_contexts(const struct mg_core *c, const struct mg_page *page) {
  struct pick p;
  struct mcpgw_session *s;
  size_t it = 0;
  p.page = page;
  p.n = p.total = 0;
  while ((s = mg_map_next(c->sessions->by_id, &it, NULL))) {
    const struct mg_ctx *ctx = s->user;
    if (wanted(page->principal, ctx->session->principal->name) && speaks_to(ctx, page->upstream)) offer(&p, ctx->number, ctx);
  }
  return write_page(&p, one_context, page->out);
}

/* ---- links ------------------------------------------------------------------------------------------------- */

static const char *link_state(const struct mg_link *l) {
  return l->state == MG_LINK_READY ? "ready" : l->state == MG_LINK_OPENING ? "opening" : "dead";
}

static const char *owner_of(const struct mg_link *l) {
  if (l->ctx) return l->ctx->session->principal->name;
  return l->owner ? l->owner->name : NULL;
}

static void one_link(const struct mg_page *page, const void *what) {
  static const char *const isolation[] = {"", "session", "principal", "shared"};
  const struct mg_link *l = what;
  struct mg_buf *b = page->out;
  add_number(b, "number", l->number);
  add_text(b, "upstream", l->up->cfg->name);
  add_id(b, "session", l->ctx);
  add_text(b, "principal", owner_of(l));
  add_text(b, "isolation", isolation[l->scope]);
  add_number(b, "sessions", l->n_binds);
  add_text(b, "era", l->modern ? "modern" : "legacy");
  add_text(b, "revision", mg_revision_name(l->revision));
  add_text(b, "state", link_state(l));
  add_truth(b, "stateful", l->stateful);
  add_number(b, "in_flight", mg_map_count(l->legs));
  add_number(b, "age_ms", since(l->opened_ms, page->now_ms));
  if (page->pid_of && page->pid_of(l->port) > 0) add_number(b, "pid", (uint64_t)page->pid_of(l->port));
}

int mg_core_report_links(const struct mg_core *c, const struct mg_page *page, int children) {
  struct pick p;
  p.page = page;
  p.n = p.total = 0;
  for (struct mg_list *n = c->links.next; n != &c->links; n = n->next) {
    const struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    if (!wanted(page->upstream, l->up->cfg->name) || !wanted(page->principal, owner_of(l))) continue;
    if (!children || (page->pid_of && page->pid_of(l->port) > 0)) offer(&p, l->number, l);
  }
  return write_page(&p, one_link, page->out);
}

/* ---- upstreams ----------------------------------------------------------------------------------------------- */

struct tally {
  size_t links, in_flight;
};

static struct tally count_links(const struct mg_upstream *up) {
  struct tally t = {0, 0};
  for (struct mg_list *n = up->core->links.next; n != &up->core->links; n = n->next) {
    const struct mg_link *l = MG_CONTAINER(n, struct mg_link, node);
    if (l->up != up) continue;
    t.links++;
    t.in_flight += mg_map_count(l->legs);
  }
  return t;
}

/* Down: it failed, and would be refused without being asked until its pause is over. */
static int is_down(const struct mg_upstream *up, uint64_t now_ms) {
  return up->breaker.streak && now_ms < up->breaker.until_ms && (!up->n_ready || up->breaker.state == MG_BREAKER_OPEN);
}

static const char *upstream_state(const struct mg_upstream *up, size_t links, uint64_t now_ms) {
  if (is_down(up, now_ms)) return "down";
  if (up->n_ready) return "up";
  if (links) return "opening";
  return up->breaker.streak ? "failing" : "idle"; /* failing: the next call will try again */
}

static void one_upstream(const struct mg_page *page, const void *what) {
  static const char *const kinds[] = {"", "stdio", "http", "sse", "custom"};
  const struct mg_upstream *up = what;
  struct mg_buf *b = page->out;
  struct tally t = count_links(up);
  const struct mg_upstream_stats *s = &up->stats;
  add_text(b, "name", up->cfg->name);
  add_text(b, "slug", up->cfg->slug);
  add_text(b, "transport", kinds[up->cfg->kind]);
  add_text(b, "state", upstream_state(up, t.links, page->now_ms));
  add_text(b, "era", up->speaks_modern > 0 ? "modern" : up->speaks_modern < 0 ? "legacy" : "unknown");
  add_text(b, "error", up->error[0] ? up->error : NULL);
  add_number(b, "retry_in_ms", up->breaker.until_ms > page->now_ms ? up->breaker.until_ms - page->now_ms : 0);
  add_text(b, "breaker", mg_breaker_name(&up->breaker));
  add_number(b, "failures", up->breaker.streak);
  add_number(b, "links", t.links);
  add_number(b, "links_ready", up->n_ready);
  add_number(b, "in_flight", t.in_flight);
  key(b, "counters");
  mg_buf_addc(b, '{');
  add_number(b, "requests", s->requests);
  add_number(b, "replies", s->replies);
  add_number(b, "failed", s->failed);
  add_number(b, "timeouts", s->timeouts);
  add_number(b, "links_opened", s->links_opened);
  add_number(b, "links_lost", s->links_lost);
  mg_buf_addc(b, '}');
}

int mg_core_report_upstreams(const struct mg_core *c, const struct mg_page *page) {
  struct pick p;
  p.page = page;
  p.n = p.total = 0;
  for (size_t i = 0; i < c->n_ups; i++)
    if (wanted(page->upstream, c->ups[i]->cfg->name)) offer(&p, i + 1, c->ups[i]);
  return write_page(&p, one_upstream, page->out);
}

size_t mg_core_report_down(const struct mg_core *c, uint64_t now_ms, struct mg_buf *out) {
  size_t n = 0;
  if (out) mg_buf_addc(out, '{');
  for (size_t i = 0; i < c->n_ups; i++) {
    if (!is_down(c->ups[i], now_ms)) continue;
    n++;
    if (out) {
      if (n > 1) mg_buf_addc(out, ',');
      mg_buf_json_str(out, mg_slice_z(c->ups[i]->cfg->name));
      mg_buf_addc(out, ':');
      mg_buf_json_str(out, mg_slice_z(c->ups[i]->error));
    }
  }
  if (out) mg_buf_addc(out, '}');
  return n;
}

size_t mg_core_upstreams(const struct mg_core *c) {
  return c->n_ups;
}

/* ---- revocation ------------------------------------------------------------------------------------------------ */

/* What listings call it: its number in this process before its tag. */
static struct mg_slice tag_of(struct mg_slice name) {
  struct mg_slice tag = name, head;
  uint64_t number;
  return mg_slice_cut(&tag, '-', &head) && mg_slice_u64(head, &number) == MCPGW_OK ? tag : name;
}

int mg_core_revoke(struct mg_core *c, int what, struct mg_slice value, size_t *n) {
  *n = 0;
  int rc = mg_sessions_revoke(c->sessions, (uint32_t)what, what == MG_REVOKE_SESSION ? tag_of(value) : value, n);
  c->stats.contexts_revoked += *n;
  return rc;
}
