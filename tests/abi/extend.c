/* extend: a transport of somebody else, written against <mcpgw/transport.h> and nothing more. Its server is a
 * thread that answers by mcpgw_link_post; a pipe of its own is watched and a timer of its own delays, so that
 * every host service is used as a foreign transport would. It must never touch the link from its thread. */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ECHO "{\"name\":\"echo\",\"arguments\":{\"n\":0.10,\"s\":\"\\u00e9\"}}"
#define LATE "{\"name\":\"late\",\"arguments\":{}}"
#define GONE "{\"name\":\"gone\",\"arguments\":{}}"

static struct {
  int opened, closed, posted, watched, fired, handshakes, cancelled, buffers;
  uint64_t last_call;
} seen;

struct peer { /* one conversation: the transport's impl */
  mcpgw_link *link;
  mcpgw_watch *watch;
  mcpgw_timer *timer;
  mcpgw_bytes *late; /* OWNED: what the timer will deliver */
  uint64_t late_call;
  int pipe[2];
};

struct errand { /* from the helper thread back to the owner */
  struct peer *peer;
  uint64_t call;
  char text[1024];
};

static void deliver(struct peer *p, uint64_t call, mcpgw_bytes *bytes) {
  mcpgw_link_message(p->link, call, bytes, 0);
}

static mcpgw_bytes *bytes_of(struct peer *p, const char *text) {
  mcpgw_bytes *b = NULL;
  if (mcpgw_bytes_new(p->link, mcpgw_link_result_bytes(p->link), &b) != MCPGW_OK) return NULL;
  if (mcpgw_bytes_append(b, text, strlen(text)) == MCPGW_OK) return b;
  mcpgw_bytes_unref(b);
  return NULL;
}

static void on_post(void *arg) {
  struct errand *e = arg;
  mcpgw_bytes *b = bytes_of(e->peer, e->text);
  seen.posted++;
  if (b) deliver(e->peer, e->call, b);
  mcpgw_free(e);
}

static void *helper(void *arg) {
  struct errand *e = arg;
  if (mcpgw_link_post(e->peer->link, on_post, e) != MCPGW_OK) mcpgw_free(e);
  return NULL;
}

/* A thread answers. It is joined at once: the post then waits in the gateway's queue. */
static int answer(struct peer *p, uint64_t call, const char *id, const char *result) {
  pthread_t thread;
  struct errand *e = mcpgw_alloc(sizeof *e);
  if (!e) return MCPGW_E_NOMEM;
  e->peer = p;
  e->call = call;
  snprintf(e->text, sizeof e->text, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id, result);
  if (pthread_create(&thread, NULL, helper, e) != 0) {
    mcpgw_free(e);
    return MCPGW_E_IO;
  }
  pthread_join(thread, NULL);
  return MCPGW_OK;
}

static void on_pipe(void *arg, int events) {
  struct peer *p = arg;
  char byte;
  if ((events & MCPGW_READ) && read(p->pipe[0], &byte, 1) == 1) seen.watched++;
  mcpgw_timer_set(p->timer, 20);
}

static void on_timer(void *arg) {
  struct peer *p = arg;
  mcpgw_bytes *b = p->late;
  seen.fired++;
  p->late = NULL;
  if (b) deliver(p, p->late_call, b);
}

/* Inside open, where a link is at hand. */
static int buffers_keep_their_word(mcpgw_link *link) {
  mcpgw_bytes *b = NULL;
  int good = mcpgw_bytes_new(link, 4, &b) == MCPGW_OK && mcpgw_bytes_append(b, "abc", 3) == MCPGW_OK &&
             mcpgw_bytes_append(b, "de", 2) == MCPGW_E_LIMIT && mcpgw_bytes_len(b) == 3 &&
             memcmp(mcpgw_bytes_data(b), "abc", 3) == 0 && mcpgw_bytes_ref(b) == b &&
             mcpgw_bytes_append(b, "d", 1) == MCPGW_E_STATE;
  mcpgw_bytes_unref(b);
  if (good) good = mcpgw_bytes_append(b, "d", 1) == MCPGW_OK && mcpgw_bytes_len(b) == 4;
  mcpgw_bytes_unref(b);
  return good;
}

static int extend_open(void *transport, mcpgw_link *link, void **impl) {
  struct peer *p = mcpgw_alloc(sizeof *p);
  if (!p || transport != &seen) return MCPGW_E_NOMEM;
  memset(p, 0, sizeof *p);
  p->link = link;
  if (pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK) != 0 ||
      mcpgw_watch_new(link, p->pipe[0], on_pipe, p, &p->watch) != MCPGW_OK ||
      mcpgw_watch_set(p->watch, MCPGW_READ) != MCPGW_OK || mcpgw_timer_new(link, on_timer, p, &p->timer) != MCPGW_OK)
    return MCPGW_E_IO;
  seen.buffers = buffers_keep_their_word(link) && strcmp(mcpgw_link_name(link), "mine") == 0;
  mcpgw_link_log(link, MCPGW_LOG_INFO, "extend.open", "hello", 5);
  seen.opened++;
  *impl = p;
  return MCPGW_OK;
}

/* The text of the id of a request, as it was written. */
static const char *id_of(const mcpgw_message *m) {
  static char id[64];
  char text[4096];
  size_t n = mcpgw_bytes_len(m->bytes);
  snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), mcpgw_bytes_data(m->bytes));
  char *at = strstr(text, "\"id\":");
  snprintf(id, sizeof id, "%.*s", at ? (int)strcspn(at + 5, ",}") : 0, at ? at + 5 : "");
  return id;
}

static int has(const mcpgw_message *m, const char *what) {
  return memmem(mcpgw_bytes_data(m->bytes), mcpgw_bytes_len(m->bytes), what, strlen(what)) != NULL;
}

static int send_late(struct peer *p, const mcpgw_message *m) {
  char text[512];
  snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"late\"}]}}",
           id_of(m));
  p->late = bytes_of(p, text);
  p->late_call = m->call;
  return p->late && write(p->pipe[1], "x", 1) == 1 ? MCPGW_OK : MCPGW_E_IO;
}

static void on_gone(void *arg) {
  struct errand *e = arg;
  mcpgw_failure why;
  memset(&why, 0, sizeof why);
  why.struct_size = sizeof why;
  why.code = MCPGW_E_CLOSED;
  why.delivered = MCPGW_DELIVERED_UNKNOWN;
  why.text = "the peer went away";
  mcpgw_link_failed(e->peer->link, e->call, &why);
  mcpgw_free(e);
}

static int send_gone(struct peer *p, const mcpgw_message *m) {
  struct errand *e = mcpgw_alloc(sizeof *e);
  if (!e) return MCPGW_E_NOMEM;
  e->peer = p;
  e->call = m->call;
  int rc = mcpgw_link_post(p->link, on_gone, e);
  if (rc != MCPGW_OK) mcpgw_free(e);
  return rc;
}

static int extend_send(void *impl, const mcpgw_message *m) {
  struct peer *p = impl;
  if (m->kind != MCPGW_SEND_REQUEST) return MCPGW_OK;
  seen.last_call = m->call;
  if (m->handshake) seen.handshakes++;
  mcpgw_link_sent(p->link, m->call);
  if (m->modern) return answer(p, m->call, id_of(m), "\"error\":{\"code\":-32601,\"message\":\"what?\"}");
  if (has(m, "\"initialize\""))
    return answer(p, m->call, id_of(m),
                  "\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},"
                  "\"serverInfo\":{\"name\":\"extend\",\"version\":\"1\"}}");
  if (has(m, "\"tools/list\""))
    return answer(p, m->call, id_of(m),
                  "\"result\":{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"late\","
                  "\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"gone\",\"inputSchema\":{\"type\":\"object\"}}]}");
  if (has(m, "\"late\"")) return send_late(p, m);
  if (has(m, "\"gone\"")) return send_gone(p, m);
  return answer(p, m->call, id_of(m),
                has(m, "{\"n\":0.10,\"s\":\"\\u00e9\"}") ? "\"result\":{\"content\":[],\"same\":true}"
                                                         : "\"result\":{\"content\":[],\"same\":false}");
}

static void extend_cancel(void *impl, uint64_t call) {
  struct peer *p = impl;
  seen.cancelled++;
  if (p->late && p->late_call == call) {
    mcpgw_bytes_unref(p->late);
    p->late = NULL;
  }
}

static void extend_close(void *impl, uint32_t flags) {
  struct peer *p = impl;
  (void)flags;
  seen.closed++;
  mcpgw_watch_free(p->watch);
  mcpgw_timer_free(p->timer);
  mcpgw_bytes_unref(p->late);
  close(p->pipe[0]);
  close(p->pipe[1]);
  mcpgw_free(p);
}

static const mcpgw_transport_ops OPS = {.struct_size = sizeof OPS,
                                        .name = "extend",
                                        .open = extend_open,
                                        .send = extend_send,
                                        .cancel = extend_cancel,
                                        .close = extend_close};

static void test_calls(mcpgw_gateway *gateway, mcpgw_client *client) {
  const char *reply = ask(gateway, client, "tools/list", NULL);
  check(reply && strstr(reply, "\"echo\""), "a foreign transport's tools are listed");
  check(seen.buffers, "buffers keep to their ceiling, and do not change when shared");
  check(seen.handshakes == 1, "it is told which request is the handshake");
  reply = ask(gateway, client, "tools/call", ECHO);
  check(reply && strstr(reply, "\"same\":true"), "arguments reach it byte for byte");
  reply = ask(gateway, client, "tools/call", LATE);
  check(reply && strstr(reply, "\"late\"") && seen.watched == 1 && seen.fired == 1, "its watch and its timer work");
  check(seen.posted > 2, "its threads answer by mcpgw_link_post");
  reply = ask(gateway, client, "tools/call", GONE);
  check(reply && strstr(reply, "\"error\"") && strstr(reply, "\"delivered\":\"unknown\""),
        "its failure becomes an error that says what is known of the delivery");
}

int main(void) {
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;
  mcpgw_transport_ops half = OPS;
  int rc = mcpgw_config_new(&config);
  half.send = NULL;
  if (rc == MCPGW_OK) rc = mcpgw_config_add_custom(config, "mine", 4);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&gateway, config, NULL);
  check(mcpgw_gateway_set_transport(gateway, "mine", 4, &half, &seen) < 0, "a table without a mandatory slot is refused");
  check(mcpgw_gateway_set_transport(gateway, "yours", 5, &OPS, &seen) == MCPGW_E_NOT_FOUND, "and so is an unknown name");
  if (rc == MCPGW_OK) rc = mcpgw_gateway_set_transport(gateway, "mine", 4, &OPS, &seen);
  if (rc == MCPGW_OK) rc = mcpgw_client_open(&client, gateway, NULL, 0, MCPGW_CLIENT_AUTO);
  check(rc == MCPGW_OK, "a transport of one's own is set");
  if (rc == MCPGW_OK) test_calls(gateway, client);
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway);
  mcpgw_config_free(config);
  check(seen.opened > 0 && seen.closed == seen.opened, "close comes exactly once for each open");
  return checks_failed() != 0;
}
