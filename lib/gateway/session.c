/* gateway/session: owns the streams of a legacy context over HTTP: one channel for what belongs to no
 * call, and the POST streams that a client may come back to. It ends with its context. */
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"

#define MAX_STREAMS 1024 /* of one session: beyond it none is kept for resumption */

struct mg_session {
  struct mg_owner owner; /* first */
  struct mcpgw_gateway *gw;
  struct mg_ctx *ctx;
  struct mg_stream *channel;
  struct mg_list streams;
  size_t n;
  uint64_t next_number;
};

static void ctx_ended(struct mg_owner *o) {
  mg_session_free((struct mg_session *)o);
}

int mg_session_new(struct mcpgw_gateway *gw, struct mg_ctx *ctx, struct mg_session **out) {
  struct mg_session *s = mg_calloc(1, sizeof *s);
  if (!s) return MCPGW_E_NOMEM;
  s->owner.ctx_ended = ctx_ended;
  s->gw = gw;
  s->ctx = ctx;
  mg_list_init(&s->streams);
  int rc = mg_stream_channel(gw, s, &s->channel);
  if (rc != MCPGW_OK) {
    mg_free(s);
    return rc;
  }
  mg_ctx_set_channel(ctx, mg_stream_sink(s->channel));
  mg_ctx_set_user(ctx, &s->owner);
  *out = s;
  return MCPGW_OK;
}

void mg_session_free(struct mg_session *s) {
  struct mg_list *node;
  mg_ctx_set_channel(s->ctx, NULL);
  while ((node = mg_list_first(&s->streams))) mg_stream_close(mg_stream_of(node));
  mg_free(s);
}

struct mg_ctx *mg_session_ctx(const struct mg_session *s) {
  return s->ctx;
}

/* Streams with a call on them are bounded by the core; of those kept for resumption the oldest goes. */
static void make_room(struct mg_session *s) {
  for (struct mg_list *n = s->streams.next; n != &s->streams; n = n->next) {
    if (!mg_stream_is_over(mg_stream_of(n))) continue;
    mg_stream_close(mg_stream_of(n));
    return;
  }
}

uint64_t mg_session_add(struct mg_session *s, struct mg_stream *st) {
  if (s->n >= MAX_STREAMS) make_room(s);
  mg_list_add(&s->streams, mg_stream_node(st));
  s->n++;
  return s->next_number++;
}

void mg_session_remove(struct mg_session *s, struct mg_stream *st) {
  mg_list_del(mg_stream_node(st));
  s->n--;
}

/* "s<stream>-<event>" */
static int parse_id(struct mg_slice id, uint64_t *number, uint64_t *seq) {
  struct mg_slice head;
  if (!id.len || id.ptr[0] != 's') return MCPGW_E_PARSE;
  id = mg_slice_sub(id, 1, id.len);
  if (!mg_slice_cut(&id, '-', &head)) return MCPGW_E_PARSE;
  return mg_slice_u64(head, number) == MCPGW_OK ? mg_slice_u64(id, seq) : MCPGW_E_PARSE;
}

int mg_session_get(struct mg_session *s, struct mg_exchange *x, struct mg_slice last_event_id) {
  uint64_t number, seq;
  if (!last_event_id.len) return mg_stream_attach(s->channel, x, UINT64_MAX);
  if (parse_id(last_event_id, &number, &seq) != MCPGW_OK) return MCPGW_E_NOT_FOUND;
  for (struct mg_list *n = s->streams.next; n != &s->streams; n = n->next)
    if (mg_stream_number(mg_stream_of(n)) == number) return mg_stream_attach(mg_stream_of(n), x, seq);
  return MCPGW_E_NOT_FOUND;
}
