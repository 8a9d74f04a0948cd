/* probe.c owns asking several servers at once who they are and what they list. What a server does wrong
 * stays with it: one that fails never keeps the others from being asked. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define PAGES_MAX 1000

const char *const probe_kind_names[PROBE_KINDS] = {"tools", "prompts", "resources"};
static const char *const methods[PROBE_KINDS] = {"tools/list", "prompts/list", "resources/list"};

struct run {
  struct probes *ps;
  unsigned want;
  int progress; /* a line on a terminal */
};

static void end_probe(struct run *r, struct probe *p, const char *error) {
  if (p->done) return;
  p->done = 1;
  r->ps->n_done++;
  if (error) p->error = strdup(error);
}

static void ask(struct run *r, struct probe *p, int kind, struct json cursor) {
  struct probe_list *l = &p->lists[kind];
  char *params = NULL;
  size_t len = 0;
  if (cursor.ptr) {
    FILE *f = open_memstream(&params, &len);
    if (f == NULL) {
      end_probe(r, p, "out of memory");
      return;
    }
    fputs("{\"cursor\":", f);
    json_write(f, cursor);
    putc('}', f);
    if (fclose(f) != 0) len = 0;
  }
  int rc = mcpgw_client_request(p->client, methods[kind], strlen(methods[kind]), params, len, &l->request);
  free(params);
  if (rc != MCPGW_OK) end_probe(r, p, mcpgw_strerror(rc));
}

static void done_if_idle(struct run *r, struct probe *p) {
  for (int k = 0; k < PROBE_KINDS; k++)
    if (p->lists[k].request) return;
  end_probe(r, p, NULL);
}

static void on_ready(struct run *r, struct probe *p, const mcpgw_event *e) {
  struct json whole, caps, none = {NULL, 0};
  free(p->hello);
  p->hello = strndup(mcpgw_event_data(e), mcpgw_event_len(e));
  if (p->hello == NULL || !json_read(p->hello, strlen(p->hello), &whole, NULL)) {
    end_probe(r, p, "the handshake's reply cannot be kept");
    return;
  }
  caps = json_get(json_get(whole, "result"), "capabilities");
  for (int k = 0; k < PROBE_KINDS && !p->done; k++)
    if (r->want & 1u << k && json_is(json_get(caps, probe_kind_names[k]), '{')) ask(r, p, k, none);
  done_if_idle(r, p);
}

static int keep_page(struct probe_list *l, const mcpgw_event *e) {
  char **pages = realloc(l->pages, (l->n_pages + 1) * sizeof *pages);
  if (pages == NULL) return -1;
  l->pages = pages;
  char *page = strndup(mcpgw_event_data(e), mcpgw_event_len(e));
  if (page == NULL) return -1;
  l->pages[l->n_pages++] = page;
  return 0;
}

static void on_page(struct run *r, struct probe *p, int kind, const mcpgw_event *e) {
  struct probe_list *l = &p->lists[kind];
  struct json whole, result, cursor;
  l->request = 0;
  if (keep_page(l, e) != 0 || !json_read(l->pages[l->n_pages - 1], mcpgw_event_len(e), &whole, NULL)) {
    end_probe(r, p, "a list cannot be kept");
    return;
  }
  result = json_get(whole, "result");
  if (!json_is(result, '{')) {
    char *text = rpc_error_text(json_get(whole, "error"));
    end_probe(r, p, text ? text : "out of memory");
    free(text);
    return;
  }
  l->n_items += json_count(json_get(result, probe_kind_names[kind]));
  cursor = json_get(result, "nextCursor");
  if (json_is(cursor, '"') && l->n_pages < PAGES_MAX) ask(r, p, kind, cursor);
  else done_if_idle(r, p);
}

static void on_reply(struct run *r, struct probe *p, const mcpgw_event *e) {
  for (int k = 0; k < PROBE_KINDS; k++)
    if (p->lists[k].request && p->lists[k].request == mcpgw_event_request_id(e)) {
      on_page(r, p, k, e);
      return;
    }
}

static void on_event(struct run *r, mcpgw_event *e) {
  struct probe *p = NULL;
  for (size_t i = 0; i < r->ps->n; i++)
    if (r->ps->items[i].client == mcpgw_event_client(e)) p = &r->ps->items[i];
  if (p == NULL || p->done) return;
  switch (mcpgw_event_kind(e)) {
  case MCPGW_EVENT_READY:
    on_ready(r, p, e);
    break;
  case MCPGW_EVENT_REPLY:
    on_reply(r, p, e);
    break;
  case MCPGW_EVENT_MESSAGE:
    answer_server(p->client, e);
    break;
  case MCPGW_EVENT_CLOSED:
    end_probe(r, p, mcpgw_event_len(e) ? mcpgw_event_data(e) : "closed");
    break;
  default:
    break;
  }
}

static void show_progress(const struct run *r) {
  int shown = 0;
  if (!r->progress) return;
  fprintf(stderr, "\r\033[Kmcpgw: %zu of %zu servers answered", r->ps->n_done, r->ps->n);
  for (size_t i = 0; i < r->ps->n && shown < 4; i++) {
    if (r->ps->items[i].done) continue;
    fputs(shown++ ? ", " : "; waiting for ", stderr);
    put_clean(stderr, r->ps->items[i].name, strlen(r->ps->items[i].name), 0);
  }
  fflush(stderr);
}

static int drive(struct run *r, struct target *t, uint64_t timeout_ms) {
  uint64_t now = clock_ms(), until = now + timeout_ms;
  mcpgw_event *e;
  size_t told = (size_t)-1;
  for (; r->ps->n_done < r->ps->n && now < until; now = clock_ms()) {
    if (told != r->ps->n_done) show_progress(r);
    told = r->ps->n_done;
    if (loop_interrupts()) return EXIT_INTERRUPTED;
    int rc = loop_turn(t->gateway, NULL, 0, (int)(until - now));
    if (rc != MCPGW_OK && rc != MCPGW_E_AGAIN)
      return say_fail(EXIT_IO, "the gateway failed: %s", mcpgw_strerror(rc));
    while (mcpgw_gateway_next_event(t->gateway, &e) == MCPGW_OK) {
      on_event(r, e);
      mcpgw_event_free(e);
    }
  }
  return EXIT_OK;
}

static void open_one(struct run *r, struct target *t, struct probe *p) {
  int rc = mcpgw_client_open(&p->client, t->gateway, p->slug, strlen(p->slug), MCPGW_CLIENT_AUTO);
  if (rc != MCPGW_OK) end_probe(r, p, mcpgw_strerror(rc));
}

int probes_run(struct probes *ps, struct target *t, const char *slug, unsigned want, uint64_t timeout_ms,
               int progress) {
  struct run r = {ps, want, progress};
  size_t n = mcpgw_config_servers(t->config);
  char late[64];
  memset(ps, 0, sizeof *ps);
  ps->items = calloc(n ? n : 1, sizeof *ps->items);
  if (ps->items == NULL) return say_fail(EXIT_IO, "out of memory");
  for (size_t i = 0; i < n; i++) {
    const char *own = mcpgw_config_server_slug(t->config, i);
    if (slug && strcmp(slug, own) != 0) continue;
    struct probe *p = &ps->items[ps->n++];
    p->name = mcpgw_config_server_name(t->config, i);
    p->slug = own;
  }
  for (size_t i = 0; i < ps->n; i++) open_one(&r, t, &ps->items[i]);
  int rc = drive(&r, t, timeout_ms);
  if (progress) fputs("\r\033[K", stderr);
  snprintf(late, sizeof late, "no answer within %llu ms", (unsigned long long)timeout_ms);
  for (size_t i = 0; i < ps->n; i++) end_probe(&r, &ps->items[i], late);
  return rc;
}

void probes_done(struct probes *ps) {
  for (size_t i = 0; i < ps->n; i++) {
    struct probe *p = &ps->items[i];
    if (p->client) mcpgw_client_close(p->client);
    for (int k = 0; k < PROBE_KINDS; k++) {
      for (size_t j = 0; j < p->lists[k].n_pages; j++) free(p->lists[k].pages[j]);
      free(p->lists[k].pages);
    }
    free(p->hello);
    free(p->error);
  }
  free(ps->items);
  memset(ps, 0, sizeof *ps);
}

size_t probes_failed(const struct probes *ps) {
  size_t n = 0;
  for (size_t i = 0; i < ps->n; i++) n += ps->items[i].error != NULL;
  return n;
}
