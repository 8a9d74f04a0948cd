/* transport/memory.c owns the two queues between a link and a server in the same process. A message never
 * crosses inside the call that sent it: a timer of no delay hands it over. It must never touch a
 * connection after the callback during which the link closed it, hence busy and closed. */
#include "transport/memory.h"

#include <stdio.h>

#include "base/mem.h"

struct item {
  mcpgw_bytes *bytes; /* a reference of ours */
  uint64_t call;      /* to the server: a request's number */
};
struct line { /* a ring, grown up to MG_MEMORY_QUEUE */
  struct item *v;
  size_t head, n, cap;
};
struct memory {
  const struct mg_memory_server *table;
  void *server;
};
struct mg_memory_conn {
  struct memory *t;
  mcpgw_link *link;
  mcpgw_timer *turn;
  struct line in, out; /* in: to the server; out: to the gateway */
  int opened, ended, over, busy, closed;
  char why[128];
  void *user;
};

static int line_push(struct line *l, struct item item) {
  size_t i;
  if (l->n == MG_MEMORY_QUEUE) return MCPGW_E_LIMIT;
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 16;
    struct item *v = mg_alloc(cap * sizeof *v);
    if (!v) return MCPGW_E_NOMEM;
    for (i = 0; i < l->n; i++) v[i] = l->v[(l->head + i) % l->cap];
    mg_free(l->v);
    *l = (struct line){v, 0, l->n, cap};
  }
  l->v[(l->head + l->n++) % l->cap] = item;
  return MCPGW_OK;
}

static struct item line_pop(struct line *l) {
  struct item item = l->v[l->head];
  l->head = (l->head + 1) % l->cap;
  l->n--;
  return item;
}

static void line_done(struct line *l) {
  while (l->n) mcpgw_bytes_unref(line_pop(l).bytes);
  mg_free(l->v);
}

static void destroy(mg_memory_conn *c) {
  line_done(&c->in);
  line_done(&c->out);
  mg_free(c);
}

/* ---- one turn -------------------------------------------------------------------------------------- */

static void to_server(mg_memory_conn *c) {
  size_t n = c->in.n;
  if (!c->opened) {
    c->opened = 1;
    if (c->t->table->opened) c->t->table->opened(c->t->server, c);
  }
  while (n-- && c->in.n && !c->closed && !c->ended) { /* a cancel may have shortened it */
    struct item item = line_pop(&c->in);
    if (item.call) mcpgw_link_sent(c->link, item.call);
    if (!c->closed) c->t->table->message(c->t->server, c, item.bytes);
    mcpgw_bytes_unref(item.bytes);
  }
}

static void to_gateway(mg_memory_conn *c) {
  size_t n = c->out.n;
  while (n-- && !c->closed) mcpgw_link_message(c->link, 0, line_pop(&c->out).bytes, 0);
}

/* As with a process that died: what it never got was not delivered, the rest may have been. */
static void finish(mg_memory_conn *c) {
  mcpgw_failure why = {sizeof why, MCPGW_E_CLOSED, MCPGW_DELIVERED_NO, 0, 0, c->why};
  c->over = 1;
  while (c->in.n && !c->closed) {
    struct item item = line_pop(&c->in);
    mcpgw_bytes_unref(item.bytes);
    if (item.call) mcpgw_link_failed(c->link, item.call, &why);
  }
  why.delivered = MCPGW_DELIVERED_UNKNOWN;
  if (!c->closed) mcpgw_link_closed(c->link, &why);
}

static void on_turn(void *arg) {
  mg_memory_conn *c = arg;
  c->busy = 1;
  if (!c->over) to_server(c);
  if (!c->over) to_gateway(c);
  if (!c->closed && !c->over && c->ended && c->out.n == 0) finish(c);
  c->busy = 0;
  if (c->closed) destroy(c);
  else if (!c->over && (c->in.n || c->out.n)) mcpgw_timer_set(c->turn, 0);
}

/* ---- the server's side ----------------------------------------------------------------------------- */

int mg_memory_reply(mg_memory_conn *c, mcpgw_bytes *bytes) {
  int rc = MCPGW_E_CLOSED;
  if (c->closed || c->ended) goto out;
  rc = MCPGW_E_LIMIT;
  if (mcpgw_bytes_len(bytes) > mcpgw_link_result_bytes(c->link)) goto out;
  if ((rc = line_push(&c->out, (struct item){bytes, 0}))) goto out;
  mcpgw_timer_set(c->turn, 0);
  return MCPGW_OK;
out:
  mcpgw_bytes_unref(bytes);
  return rc;
}

int mg_memory_reply_text(mg_memory_conn *c, const char *text, size_t len) {
  mcpgw_bytes *b;
  if (c->closed || c->ended) return MCPGW_E_CLOSED;
  int rc = mcpgw_bytes_new(c->link, len, &b);
  if (rc) return rc;
  if ((rc = mcpgw_bytes_append(b, text, len))) {
    mcpgw_bytes_unref(b);
    return rc;
  }
  return mg_memory_reply(c, b);
}

void mg_memory_end(mg_memory_conn *c, const char *text) {
  if (c->closed || c->ended) return;
  c->ended = 1;
  (void)snprintf(c->why, sizeof c->why, "%s", text ? text : "the server ended the conversation");
  mcpgw_timer_set(c->turn, 0);
}

void mg_memory_set_user(mg_memory_conn *c, void *user) {
  c->user = user;
}

void *mg_memory_user(const mg_memory_conn *c) {
  return c->user;
}

/* ---- the vtable ------------------------------------------------------------------------------------ */

static int memory_open(void *transport, mcpgw_link *link, void **impl) {
  mg_memory_conn *c = mg_calloc(1, sizeof *c);
  if (!c) return MCPGW_E_NOMEM;
  c->t = transport;
  c->link = link;
  int rc = mcpgw_timer_new(link, on_turn, c, &c->turn);
  if (rc) {
    mg_free(c);
    return rc;
  }
  mcpgw_timer_set(c->turn, 0);
  *impl = c;
  return MCPGW_OK;
}

static int memory_send(void *impl, const mcpgw_message *msg) {
  mg_memory_conn *c = impl;
  if (c->closed || c->ended) return MCPGW_E_CLOSED;
  uint64_t call = msg->kind == MCPGW_SEND_REQUEST ? msg->call : 0;
  int rc = line_push(&c->in, (struct item){msg->bytes, call});
  if (rc) return rc;
  (void)mcpgw_bytes_ref(msg->bytes);
  mcpgw_timer_set(c->turn, 0);
  return MCPGW_OK;
}

/* One that is still queued is never sent; its place in the ring stays in order. */
static void memory_cancel(void *impl, uint64_t call) {
  mg_memory_conn *c = impl;
  size_t n = c->in.n;
  while (call && n--) {
    struct item item = line_pop(&c->in);
    if (item.call == call) mcpgw_bytes_unref(item.bytes);
    else (void)line_push(&c->in, item); /* has room: one was just taken out */
  }
}

static void memory_close(void *impl, uint32_t flags) {
  mg_memory_conn *c = impl;
  (void)flags;
  mcpgw_timer_free(c->turn);
  c->turn = NULL;
  c->closed = 1;
  if (c->t->table->closed) c->t->table->closed(c->t->server, c);
  if (!c->busy) destroy(c);
}

const mcpgw_transport_ops mg_transport_memory_ops = {
    .struct_size = sizeof(mcpgw_transport_ops),
    .name = "memory",
    .open = memory_open,
    .send = memory_send,
    .cancel = memory_cancel,
    .close = memory_close,
};

int mg_transport_memory_new(const struct mg_memory_server *table, void *server, void **transport) {
  if (!table || !table->message) return MCPGW_E_INVALID;
  struct memory *t = mg_alloc(sizeof *t);
  if (!t) return MCPGW_E_NOMEM;
  *t = (struct memory){table, server};
  *transport = t;
  return MCPGW_OK;
}

void mg_transport_memory_free(void *transport) {
  mg_free(transport);
}
