/* tests/gateway/guest: the gateway as a guest: nested in a loop of the host's, woken from other threads, after
 * a fork, stopped with work under way, and a transport of the host's own. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/rig.h"
#include "gateway/suites.h"

/* ---- three ways in ---------------------------------------------------------------------------------------- */

static mcpgw_event *next_by_poll(struct gwt *g, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  mcpgw_event *e = NULL;
  while (mcpgw_gateway_next_event(g->gw, &e) == MCPGW_E_AGAIN && gwt_ms() < end) {
    struct pollfd p = {mcpgw_gateway_fd(g->gw), POLLIN, 0};
    int timeout = mcpgw_gateway_timeout_ms(g->gw), left = (int)(end - gwt_ms());
    ck_assert_int_ge(poll(&p, 1, timeout < 0 || timeout > left ? left : timeout), 0);
    ck_assert_int_eq(mcpgw_gateway_dispatch(g->gw), MCPGW_OK);
  }
  return e;
}

START_TEST(nested_in_a_loop_of_the_hosts) {
  struct gwt g;
  mcpgw_client *c;
  uint64_t id;
  gwt_up(&g, "", 1);
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_AUTO), MCPGW_OK);
  ck_assert_int_eq(mcpgw_client_request(c, "tools/call", 10, "{\"name\":\"echo\"}", 15, &id), MCPGW_OK);
  mcpgw_event *ready = next_by_poll(&g, 2000), *reply = next_by_poll(&g, 2000);
  ck_assert_uint_eq(mcpgw_event_kind(ready), MCPGW_EVENT_READY);
  ck_assert_uint_eq(mcpgw_event_request_id(reply), id);
  mcpgw_event_free(ready);
  mcpgw_event_free(reply);
  ck_assert_ptr_null(next_by_poll(&g, 50)); /* and it does not spin when there is nothing to do */
  ck_assert_int_ne(mcpgw_gateway_timeout_ms(g.gw), 0);
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

static void *wake_soon(void *gateway) {
  for (int i = 0; i < 20; i++) {
    usleep(3000);
    mcpgw_gateway_wakeup(gateway);
  }
  return NULL;
}

START_TEST(woken_from_another_thread) {
  struct gwt g;
  pthread_t t;
  gwt_up(&g, "", 1);
  ck_assert_int_eq(pthread_create(&t, NULL, wake_soon, g.gw), 0);
  ck_assert_int_eq(mcpgw_gateway_run(g.gw), MCPGW_E_AGAIN);
  ck_assert_int_eq(mcpgw_gateway_run(g.gw), MCPGW_E_AGAIN);
  uint64_t start = gwt_ms();
  ck_assert_int_eq(mcpgw_gateway_wait(g.gw, 5000), MCPGW_OK);
  ck_assert_uint_lt(gwt_ms() - start, 4000);
  pthread_join(t, NULL);
  gwt_down(&g);
}
END_TEST

START_TEST(run_returns_for_events) {
  struct gwt g;
  mcpgw_client *c;
  mcpgw_event *e;
  gwt_up(&g, "", 1);
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_AUTO), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_run(g.gw), MCPGW_E_AGAIN);
  ck_assert_int_eq(mcpgw_gateway_next_event(g.gw, &e), MCPGW_OK);
  mcpgw_event_free(e);
  ck_assert_int_eq(mcpgw_gateway_next_event(g.gw, &e), MCPGW_E_AGAIN);
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

/* A gateway may be handed from thread to thread, one at a time. */
static void *use(void *arg) {
  struct gwt *g = arg;
  char sid[80];
  gwt_session(g, "/mcp", "2025-11-25", sid);
  ck_assert_int_eq(gwt_ask(g, "/mcp", sid, GWT_CALL("1", "echo"), NULL), 200);
  return NULL;
}

START_TEST(used_by_several_threads_in_turn) {
  struct gwt g;
  gwt_up(&g, "", 1);
  for (int i = 0; i < 3; i++) {
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, use, &g), 0);
    pthread_join(t, NULL);
  }
  use(&g);
  gwt_down(&g);
}
END_TEST

/* Two gateways in one process, each in a thread of its own, do not know of each other. */
static void *own_gateway(void *arg) {
  struct gwt *g = arg;
  char sid[80];
  gwt_session(g, "/mcp", "2025-11-25", sid);
  for (int i = 0; i < 20; i++) ck_assert_int_eq(gwt_ask(g, "/mcp", sid, GWT_CALL("1", "echo"), NULL), 200);
  return NULL;
}

START_TEST(two_gateways_side_by_side) {
  static struct gwt g[2];
  pthread_t t[2];
  gwt_up(&g[0], "", 1);
  gwt_up(&g[1], "", 1);
  for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, own_gateway, &g[i]), 0);
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  ck_assert_int_eq(gwt_stat(&g[0], "requests"), gwt_stat(&g[1], "requests"));
  g[1].live = g[0].live;
  mcpgw_gateway_free(g[0].gw);
  mg_transport_memory_free(g[0].transports[0]);
  mcpgw_config_free(g[0].config);
  gwt_down(&g[1]);
}
END_TEST

/* ---- fork ------------------------------------------------------------------------------------------------------- */

static int in_child(struct gwt *g, mcpgw_client *c) {
  mcpgw_client *d = NULL;
  mcpgw_event *e = NULL;
  char *stats = NULL;
  uint64_t id = 0;
  int bad = 0;
  bad += mcpgw_gateway_dispatch(g->gw) != MCPGW_E_STATE;
  bad += mcpgw_gateway_wait(g->gw, 0) != MCPGW_E_STATE;
  bad += mcpgw_gateway_run(g->gw) != MCPGW_E_STATE;
  bad += mcpgw_gateway_stop(g->gw, 0) != MCPGW_E_STATE;
  bad += mcpgw_gateway_listen(g->gw) != MCPGW_E_STATE;
  bad += mcpgw_gateway_fd(g->gw) != MCPGW_E_STATE;
  bad += mcpgw_gateway_stats(g->gw, &stats) != MCPGW_E_STATE;
  bad += mcpgw_gateway_next_event(g->gw, &e) != MCPGW_E_STATE;
  bad += mcpgw_client_open(&d, g->gw, NULL, 0, MCPGW_CLIENT_RAW) != MCPGW_E_STATE;
  bad += mcpgw_client_send(c, "{}", 2) != MCPGW_E_STATE;
  bad += mcpgw_client_request(c, "ping", 4, NULL, 0, &id) != MCPGW_E_STATE;
  bad += mcpgw_client_cancel(c, 1) != MCPGW_E_STATE;
  mcpgw_client_close(c);
  mcpgw_gateway_wakeup(g->gw);
  mcpgw_gateway_free(g->gw); /* takes nothing away from the parent */
  return bad;
}

START_TEST(a_forked_child_is_told) {
  struct gwt g;
  mcpgw_client *c;
  char sid[80];
  int status;
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_RAW), MCPGW_OK);
  pid_t pid = fork();
  if (!pid) _exit(in_child(&g, c));
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert(WIFEXITED(status));
  ck_assert_int_eq(WEXITSTATUS(status), 0);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", sid, GWT_CALL("1", "echo"), NULL), 200); /* the parent's goes on */
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

/* ---- stop --------------------------------------------------------------------------------------------------------- */

static void until_stopped(struct gwt *g, int ms) {
  uint64_t end = gwt_ms() + (uint64_t)ms;
  while (!mcpgw_gateway_stopped(g->gw) && gwt_ms() < end) gwt_turn(g, 10);
  ck_assert_int_eq(mcpgw_gateway_stopped(g->gw), 1);
}

START_TEST(calls_may_finish_before_the_end) {
  struct gwt g;
  struct gwt_http call;
  char sid[80], *body;
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-11-25", sid);
  gwt_connect(&g, &call);
  gwt_post(&call, "/mcp", sid, GWT_CALL("1", "hold"));
  ck_assert(gwt_wait(&g, &g.servers[0].calls, 1, 2000));
  ck_assert_int_eq(mcpgw_gateway_stop(g.gw, 5000), MCPGW_OK);
  for (int i = 0; i < 10; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(mcpgw_gateway_stopped(g.gw), 0);
  mcpgw_client *c = NULL;
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_RAW), MCPGW_E_STATE);
  ck_assert_int_eq(mcpgw_gateway_listen(g.gw), MCPGW_E_STATE);
  gwt_release(&g.servers[0], 0, "{\"in\":\"time\"}");
  ck_assert_int_eq(gwt_response(&call, &body, NULL, 2000), 200);
  gwt_has(body, "\"in\":\"time\"");
  gwt_close(&call);
  uint64_t start = gwt_ms();
  until_stopped(&g, 3000);
  ck_assert_uint_lt(gwt_ms() - start, 2000); /* nobody is left to wait for */
  ck_assert_int_eq(mcpgw_gateway_run(g.gw), MCPGW_OK);
  ck_assert_ptr_null(g.servers[0].last); /* links were closed */
  gwt_down(&g);
}
END_TEST

START_TEST(who_does_not_finish_is_told) {
  struct gwt g;
  struct gwt_http call, modern, channel;
  char sid[80], headers[200], *body;
  gwt_up(&g, "", 2);
  g.servers[0].modern = 1;
  gwt_session(&g, "/mcp/a", "2025-11-25", sid);
  gwt_connect(&g, &call);
  gwt_connect(&g, &modern);
  gwt_connect(&g, &channel);
  gwt_post(&call, "/mcp/a", sid, GWT_CALL("1", "hold"));
  g.servers[1].mute = 1; /* its probe is never answered: this call waits for its link */
  gwt_post(&modern, "/mcp/b", GWT_CALL_HEADERS("x"), GWT_MODERN_CALL("2", "x"));
  snprintf(headers, sizeof headers, "Accept: text/event-stream\r\n%s", sid);
  gwt_request(&channel, "GET", "/mcp/a", headers, "");
  ck_assert(gwt_wait(&g, &g.servers[1].conns, 1, 2000));
  ck_assert(gwt_until(&channel, "\r\n\r\n", 2000));
  uint64_t start = gwt_ms();
  if (_i) ck_assert_int_eq(mcpgw_gateway_stop(g.gw, 60000), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_stop(g.gw, _i ? 0 : 100), MCPGW_OK); /* a second call hurries */
  ck_assert_int_eq(gwt_response(&call, &body, NULL, 2000), 404);
  gwt_has(body, "CONTEXT_ENDED");
  int status = gwt_response(&modern, &body, NULL, 2000);
  ck_assert_int_eq(status, 200);
  gwt_has(body, "\"id\":2,\"error\"");
  ck_assert(gwt_stream_over(&channel, 2000));
  until_stopped(&g, 3000);
  ck_assert_uint_lt(gwt_ms() - start, 3000);
  gwt_close(&call);
  gwt_close(&modern);
  gwt_close(&channel);
  gwt_down(&g);
}
END_TEST

START_TEST(clients_in_the_process_are_told) {
  struct gwt g;
  mcpgw_client *c[3];
  mcpgw_event *e;
  int closed = 0;
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  for (uint32_t i = 0; i < 3; i++) ck_assert_int_eq(mcpgw_client_open(&c[i], g.gw, NULL, 0, i), MCPGW_OK);
  for (int i = 0; i < 10; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(mcpgw_gateway_stop(g.gw, 0), MCPGW_OK);
  until_stopped(&g, 3000);
  while (mcpgw_gateway_next_event(g.gw, &e) == MCPGW_OK) {
    if (mcpgw_event_kind(e) == MCPGW_EVENT_CLOSED) {
      gwt_has(mcpgw_event_data(e), "stopping");
      closed++;
    }
    mcpgw_event_free(e);
  }
  ck_assert_int_eq(closed, 3);
  for (int i = 0; i < 3; i++) mcpgw_client_close(c[i]);
  gwt_down(&g);
}
END_TEST

START_TEST(listeners_end_properly) {
  struct gwt g;
  struct gwt_http c;
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", GWT_MODERN_HEADERS("subscriptions/listen"), GWT_MODERN("\"L\"", "subscriptions/listen", "\"notifications\":{\"toolsListChanged\":true},"));
  for (int i = 0; i < 50 && !g.servers[0].n_held; i++) gwt_turn(&g, 5);
  ck_assert_int_eq(mcpgw_gateway_stop(g.gw, 10000), MCPGW_OK);
  ck_assert(gwt_until(&c, "\"id\":\"L\",\"result\":{\"resultType\":\"complete\"", 2000));
  until_stopped(&g, 3000); /* it did not wait for the stream */
  gwt_close(&c);
  gwt_down(&g);
}
END_TEST

/* ---- a transport of the host's own ---------------------------------------------------------------------------------- */

/* Answers each request from a thread of its own, through mcpgw_link_post. */
struct answer {
  struct own *own;
  char text[512];
};
struct own {
  mcpgw_link *link;
  pthread_t threads[64];
  int n, opened, closed, listened, open_rc;
};

static void deliver(void *arg) {
  struct answer *a = arg;
  mcpgw_bytes *b;
  if (mcpgw_bytes_new(a->own->link, sizeof a->text, &b) == MCPGW_OK) {
    (void)mcpgw_bytes_append(b, a->text, strlen(a->text));
    mcpgw_link_message(a->own->link, 0, b, 0);
  }
  free(a);
}

static void *work(void *arg) {
  struct answer *a = arg;
  usleep(500);
  if (mcpgw_link_post(a->own->link, deliver, a) != MCPGW_OK) free(a);
  return NULL;
}

static int own_open(void *transport, mcpgw_link *link, void **impl) {
  struct own *o = transport;
  if (o->open_rc) {
    mcpgw_link_log(link, MCPGW_LOG_ERROR, "own.failed", "the cable is not plugged in", 28);
    return o->open_rc;
  }
  o->link = link;
  o->opened++;
  *impl = o;
  return MCPGW_OK;
}

static int own_send(void *impl, const mcpgw_message *msg) {
  struct own *o = impl;
  if (msg->kind != MCPGW_SEND_REQUEST || o->n == 64) return MCPGW_OK;
  struct answer *a = malloc(sizeof *a);
  a->own = o;
  snprintf(a->text, sizeof a->text, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{}}}",
           (unsigned long long)msg->call);
  mcpgw_link_sent(o->link, msg->call);
  ck_assert_int_eq(pthread_create(&o->threads[o->n++], NULL, work, a), 0);
  return MCPGW_OK;
}

static void own_cancel(void *impl, uint64_t call) {
  (void)impl, (void)call;
}

static void own_listen(void *impl, const char *revision) {
  ck_assert_str_eq(revision, "2025-11-25");
  ((struct own *)impl)->listened++;
}

static void own_close(void *impl, uint32_t flags) {
  struct own *o = impl;
  (void)flags;
  o->closed++;
}

static const mcpgw_transport_ops own_ops = {sizeof own_ops, "own", own_open, own_send, own_cancel, own_listen, NULL, own_close};

static void own_up(struct gwt *g, struct own *o) {
  memset(g, 0, sizeof *g);
  memset(o, 0, sizeof *o);
  ck_assert_int_eq(mcpgw_config_new(&g->config), MCPGW_OK);
  ck_assert_int_eq(mcpgw_config_add_custom(g->config, "own", 3), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_new(&g->gw, g->config, NULL), MCPGW_OK);
  ck_assert_int_eq(mcpgw_gateway_set_transport(g->gw, "own", 3, &own_ops, o), MCPGW_OK);
}

START_TEST(a_transport_with_threads) {
  struct gwt g;
  struct own o;
  mcpgw_client *c;
  uint64_t id[8];
  own_up(&g, &o);
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_LEGACY), MCPGW_OK);
  for (int i = 0; i < 8; i++) ck_assert_int_eq(mcpgw_client_request(c, "tools/list", 10, NULL, 0, &id[i]), MCPGW_OK);
  for (int i = 0; i < 9; i++) { /* READY and the replies */
    mcpgw_event *e = gwt_event(&g, 3000);
    ck_assert_ptr_nonnull(e);
    mcpgw_event_free(e);
  }
  ck_assert_int_eq(o.opened, 1);
  ck_assert_int_eq(o.listened, 1);
  for (int i = 0; i < o.n; i++) pthread_join(o.threads[i], NULL);
  mcpgw_client_close(c);
  gwt_turn(&g, 5);
  ck_assert_int_eq(o.closed, 1);
  mcpgw_gateway_free(g.gw);
  ck_assert_int_eq(o.closed, 1);
  mcpgw_config_free(g.config);
}
END_TEST

START_TEST(a_transport_that_does_not_open_says_why) {
  struct gwt g;
  struct own o;
  mcpgw_client *c;
  own_up(&g, &o);
  o.open_rc = MCPGW_E_IO;
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_LEGACY), MCPGW_OK);
  mcpgw_event *e = gwt_event(&g, 1000);
  ck_assert_uint_eq(mcpgw_event_kind(e), MCPGW_EVENT_CLOSED);
  gwt_has(mcpgw_event_data(e), "the cable is not plugged in");
  mcpgw_event_free(e);
  mcpgw_gateway_free(g.gw);
  mcpgw_config_free(g.config);
  ck_assert_int_eq(o.closed, 0); /* what was never opened is not closed */
}
END_TEST

START_TEST(doors_take_no_nonsense) {
  struct gwt g;
  struct own o;
  mcpgw_transport_ops ops = own_ops;
  own_up(&g, &o);
  ck_assert_int_eq(mcpgw_gateway_set_transport(g.gw, "own", 3, &own_ops, &o), MCPGW_E_STATE); /* it has one */
  ck_assert_int_eq(mcpgw_gateway_set_transport(g.gw, "nobody", 6, &own_ops, &o), MCPGW_E_NOT_FOUND);
  ops.send = NULL;
  ck_assert_int_eq(mcpgw_gateway_set_transport(g.gw, "own", 3, &ops, &o), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_set_transport(g.gw, "own", 3, NULL, &o), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_new(NULL, g.config, NULL), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_run(NULL), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_fd(NULL), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_stopped(NULL), 0);
  ck_assert_str_eq(mcpgw_gateway_error(NULL), "");
  ck_assert_int_eq(mcpgw_config_add_custom(g.config, "late", 4), MCPGW_E_STATE); /* a gateway has it */
  ck_assert_uint_gt(strlen(mcpgw_config_error(g.config)), 10);
  mcpgw_gateway_wakeup(NULL);
  mcpgw_gateway_free(NULL);
  mcpgw_link_message(NULL, 1, NULL, 0);
  mcpgw_link_failed(NULL, 1, NULL);
  mcpgw_link_closed(NULL, NULL);
  ck_assert_int_eq(mcpgw_bytes_append(NULL, "x", 1), MCPGW_E_INVALID);
  ck_assert_str_eq(mcpgw_link_name(NULL), "");
  mcpgw_gateway_free(g.gw);
  mcpgw_config_free(g.config);
  mcpgw_config_free(NULL);
}
END_TEST

Suite *gateway_guest_suite(void) {
  Suite *s = suite_create("gateway/guest");
  TCase *t = tcase_create("ways in");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, nested_in_a_loop_of_the_hosts);
  tcase_add_test(t, woken_from_another_thread);
  tcase_add_test(t, run_returns_for_events);
  tcase_add_test(t, used_by_several_threads_in_turn);
  tcase_add_test(t, two_gateways_side_by_side);
  tcase_add_test(t, a_forked_child_is_told);
  suite_add_tcase(s, t);
  t = tcase_create("stop");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, calls_may_finish_before_the_end);
  tcase_add_loop_test(t, who_does_not_finish_is_told, 0, 2);
  tcase_add_test(t, clients_in_the_process_are_told);
  tcase_add_test(t, listeners_end_properly);
  suite_add_tcase(s, t);
  t = tcase_create("transport");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, a_transport_with_threads);
  tcase_add_test(t, a_transport_that_does_not_open_says_why);
  tcase_add_test(t, doors_take_no_nonsense);
  suite_add_tcase(s, t);
  return s;
}
