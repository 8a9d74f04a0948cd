#include <string.h>

#include "transport/test_http.h"

void http_cancel_when_answered(struct mcpgw_link *link, const struct host_event *ev) {
  struct http_fix *f = link->user;
  if (ev->kind != HOST_MESSAGE || !ev->call || link->closed) return;
  if (strstr(ev->text, "\"result\"") || strstr(ev->text, "\"error\""))
    mg_transport_http_ops.cancel(f->impl, ev->call);
}

void http_fix_url(struct http_fix *f, const char *url, const char *const *headers) {
  struct mg_http_transport_config config = {.url = url, .headers = headers, .connect_ms = 2000};
  ck_assert_int_eq(mg_loop_new(&f->loop), MCPGW_OK);
  ck_assert_int_eq(mg_http_client_new(f->loop, NULL, &f->client), MCPGW_OK);
  f->host = fake_host_new(f->loop);
  f->host->user = f;
  f->host->react = http_cancel_when_answered;
  config.client = f->client;
  config.budget = &f->host->budget;
  ck_assert_int_eq(mg_transport_http_new(&config, &f->transport), MCPGW_OK);
  ck_assert_int_eq(mg_transport_http_ops.open(f->transport, f->host, &f->impl), MCPGW_OK);
}

void http_fix_up(struct http_fix *f, raw_script script, void *arg) {
  memset(f, 0, sizeof *f);
  f->up = raw_server_new(script, arg);
  http_fix_url(f, f->up->url, NULL);
}

void http_fix_close(struct http_fix *f, uint32_t flags) {
  mg_transport_http_ops.close(f->impl, flags);
  f->impl = NULL;
  f->host->closed = 1;
}

void http_fix_down(struct http_fix *f) {
  if (f->impl) http_fix_close(f, 0);
  mg_transport_http_free(f->transport);
  mg_http_client_free(f->client);
  fake_host_turn(f->host, 20);
  ck_assert_int_eq(f->host->after_close, 0);
  ck_assert_uint_eq(f->host->budget.used, 0); /* all bytes were let go */
  mg_loop_free(f->loop);
  fake_host_free(f->host);
  if (f->up) raw_server_free(f->up);
}

int http_send_as(struct http_fix *f, const mcpgw_message *like, const char *json) {
  mcpgw_message m = *like;
  int rc;
  m.struct_size = sizeof m;
  m.bytes = fake_host_bytes(f->host, json);
  rc = mg_transport_http_ops.send(f->impl, &m);
  mcpgw_bytes_unref(m.bytes);
  return rc;
}

int http_send(struct http_fix *f, uint64_t call, const char *json) {
  mcpgw_message m = {.kind = MCPGW_SEND_REQUEST, .call = call, .revision = "2025-11-25"};
  return http_send_as(f, &m, json);
}

int http_hello(struct http_fix *f, uint64_t call) {
  mcpgw_message m = {.kind = MCPGW_SEND_REQUEST, .call = call, .revision = "2025-11-25", .handshake = 1};
  return http_send_as(
      f, &m,
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
      "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}");
}

const struct host_event *http_failure(struct http_fix *f, uint64_t call) {
  ck_assert_msg(fake_host_wait(f->host, HOST_FAILED, call, 1, 5000), "call %d did not fail", (int)call);
  return fake_host_event(f->host, HOST_FAILED, call, 0);
}

const struct host_event *http_message(struct http_fix *f, uint64_t call, int n) {
  ck_assert_msg(fake_host_wait(f->host, HOST_MESSAGE, call, n + 1, 5000), "call %d: message %d did not come",
                (int)call, n);
  return fake_host_event(f->host, HOST_MESSAGE, call, n);
}
