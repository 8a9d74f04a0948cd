/* tests/transport/test_memory: an upstream inside the process. */
#include <stdio.h>
#include <string.h>

#include "transport/fake_host.h"
#include "transport/memory.h"
#include "transport/suites.h"

/* Echoes each message and adds one for good measure; counts what it is told. */
struct echo {
  int opened, closed, messages, inside, end_after;
  mg_memory_conn *conn;
};

static void on_opened(void *arg, mg_memory_conn *c) {
  struct echo *e = arg;
  e->opened++;
  e->conn = c;
  mg_memory_set_user(c, e);
}

static void on_message(void *arg, mg_memory_conn *c, mcpgw_bytes *b) {
  struct echo *e = arg;
  ck_assert_ptr_eq(mg_memory_user(c), e);
  ck_assert_int_eq(e->inside, 0);
  e->inside = 1;
  e->messages++;
  ck_assert_int_eq(mg_memory_reply(c, mcpgw_bytes_ref(b)), MCPGW_OK);
  ck_assert_int_eq(mg_memory_reply_text(c, "{\"more\":1}", 10), MCPGW_OK);
  if (e->messages == e->end_after) mg_memory_end(c, "enough");
  e->inside = 0;
}

static void on_closed(void *arg, mg_memory_conn *c) {
  struct echo *e = arg;
  ck_assert_int_eq(mg_memory_reply_text(c, "x", 1), MCPGW_E_CLOSED);
  e->closed++;
}

static const struct mg_memory_server table = {on_message, on_opened, on_closed};
static const mcpgw_transport_ops *const ops = &mg_transport_memory_ops;

struct rig {
  struct mg_loop *loop;
  struct mcpgw_link *link;
  struct echo echo;
  void *transport, *impl;
  int64_t live;
};

static void rig_up(struct rig *r) {
  memset(r, 0, sizeof *r);
  r->live = mg_mem_live();
  ck_assert_int_eq(mg_loop_new(&r->loop), MCPGW_OK);
  r->link = fake_host_new(r->loop);
  r->link->user = r;
  ck_assert_int_eq(mg_transport_memory_new(&table, &r->echo, &r->transport), MCPGW_OK);
  ck_assert_int_eq(ops->open(r->transport, r->link, &r->impl), MCPGW_OK);
}

static void rig_close(struct rig *r) {
  ops->close(r->impl, 0);
  r->link->closed = 1;
}

static void rig_down(struct rig *r) {
  if (!r->link->closed) rig_close(r);
  fake_host_turn(r->link, 5);
  ck_assert_int_eq(r->link->after_close, 0);
  ck_assert_int_eq(r->echo.closed, 1);
  ck_assert_uint_eq(r->link->budget.used, 0);
  mg_transport_memory_free(r->transport);
  fake_host_free(r->link);
  mg_loop_free(r->loop);
  ck_assert_int_eq(mg_mem_live(), r->live);
}

static int put(struct rig *r, uint64_t call, const char *text) {
  mcpgw_bytes *b = fake_host_bytes(r->link, text);
  mcpgw_message m = {.struct_size = sizeof m, .call = call, .bytes = b, .revision = "2025-11-25"};
  m.kind = call ? MCPGW_SEND_REQUEST : MCPGW_SEND_NOTIFICATION;
  int rc = ops->send(r->impl, &m);
  mcpgw_bytes_unref(b);
  return rc;
}

START_TEST(messages_cross_in_order_and_never_inside_send) {
  struct rig r;
  char text[32];
  int i;
  rig_up(&r);
  for (i = 1; i <= 100; i++) {
    (void)snprintf(text, sizeof text, "{\"n\":%d}", i);
    ck_assert_int_eq(put(&r, (uint64_t)i, text), MCPGW_OK);
  }
  ck_assert_int_eq(r.echo.messages + r.echo.opened + r.link->n, 0);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 200, 2000));
  ck_assert_int_eq(r.echo.opened, 1);
  for (i = 1; i <= 100; i++) {
    (void)snprintf(text, sizeof text, "{\"n\":%d}", i);
    ck_assert_str_eq(fake_host_event(r.link, HOST_MESSAGE, 0, (i - 1) * 2)->text, text);
    ck_assert_int_eq(fake_host_count(r.link, HOST_SENT, (uint64_t)i), 1);
  }
  rig_down(&r);
}
END_TEST

START_TEST(the_server_ends_it) {
  struct rig r;
  rig_up(&r);
  r.echo.end_after = 1;
  ck_assert_int_eq(put(&r, 1, "{\"a\":1}"), MCPGW_OK);
  ck_assert_int_eq(put(&r, 2, "{\"a\":2}"), MCPGW_OK);
  ck_assert(fake_host_wait(r.link, HOST_CLOSED, 0, 1, 2000));
  ck_assert_int_eq(fake_host_count(r.link, HOST_MESSAGE, 0), 2); /* what it said before arrives */
  const struct host_event *no = fake_host_event(r.link, HOST_FAILED, 2, 0),
                          *end = fake_host_event(r.link, HOST_CLOSED, 0, 0);
  ck_assert_ptr_nonnull(no);
  ck_assert_uint_eq(no->why.delivered, MCPGW_DELIVERED_NO);
  ck_assert_int_eq(fake_host_count(r.link, HOST_FAILED, 1), 0);
  ck_assert_uint_eq(end->why.delivered, MCPGW_DELIVERED_UNKNOWN);
  ck_assert_int_eq(end->why.code, MCPGW_E_CLOSED);
  ck_assert_str_eq(end->text, "enough");
  ck_assert_int_eq(put(&r, 3, "{}"), MCPGW_E_CLOSED);
  rig_down(&r);
}
END_TEST

static void close_now(struct mcpgw_link *link, const struct host_event *ev) {
  (void)ev;
  if (!link->closed) rig_close(link->user);
}

/* From inside each kind of event. */
START_TEST(closed_from_inside_an_event) {
  struct rig r;
  rig_up(&r);
  if (_i == 0) {
    ck_assert_int_eq(put(&r, 1, "{\"a\":1}"), MCPGW_OK);
    r.link->react = close_now; /* at SENT */
  } else {
    r.echo.end_after = 1;
    ck_assert_int_eq(put(&r, 0, "{\"a\":1}"), MCPGW_OK);
    if (_i == 1) r.link->react = close_now; /* at MESSAGE */
    else fake_host_wait(r.link, HOST_MESSAGE, 0, 2, 1000), r.link->react = close_now;
  }
  fake_host_turn(r.link, 20);
  rig_down(&r);
}
END_TEST

START_TEST(cancel_and_ceilings) {
  struct rig r;
  int i;
  rig_up(&r);
  ck_assert_int_eq(put(&r, 1, "{\"a\":1}"), MCPGW_OK);
  ck_assert_int_eq(put(&r, 2, "{\"a\":2}"), MCPGW_OK);
  ck_assert_int_eq(put(&r, 3, "{\"a\":3}"), MCPGW_OK);
  ops->cancel(r.impl, 2);
  ops->cancel(r.impl, 99);
  ck_assert(fake_host_wait(r.link, HOST_MESSAGE, 0, 4, 2000));
  ck_assert_int_eq(r.echo.messages, 2);
  ck_assert_str_eq(fake_host_event(r.link, HOST_MESSAGE, 0, 2)->text, "{\"a\":3}");
  for (i = 0; i < MG_MEMORY_QUEUE; i++) ck_assert_int_eq(put(&r, 0, "{}"), MCPGW_OK);
  ck_assert_int_eq(put(&r, 0, "{}"), MCPGW_E_LIMIT);
  for (i = 0; i < MG_MEMORY_QUEUE; i++)
    ck_assert_int_eq(mg_memory_reply_text(r.echo.conn, "{}", 2), MCPGW_OK);
  ck_assert_int_eq(mg_memory_reply_text(r.echo.conn, "{}", 2), MCPGW_E_LIMIT);
  r.link->result_bytes = 3;
  ck_assert_int_eq(mg_memory_reply_text(r.echo.conn, "[12]", 4), MCPGW_E_LIMIT);
  rig_down(&r); /* with both queues full */
}
END_TEST

Suite *transport_memory_suite(void) {
  Suite *s = suite_create("transport/memory");
  TCase *c = tcase_create("memory");
  tcase_set_timeout(c, 20);
  tcase_add_test(c, messages_cross_in_order_and_never_inside_send);
  tcase_add_test(c, the_server_ends_it);
  tcase_add_loop_test(c, closed_from_inside_an_event, 0, 3);
  tcase_add_test(c, cancel_and_ceilings);
  suite_add_tcase(s, c);
  return s;
}
