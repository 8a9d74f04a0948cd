/* What the http transport's tests share. */
#ifndef TEST_TRANSPORT_TEST_HTTP_H
#define TEST_TRANSPORT_TEST_HTTP_H
#include <check.h>

#include "support/rawhttp.h"
#include "transport/fake_host.h"
#include "transport/http.h"

struct http_fix {
  struct mg_loop *loop;
  struct mg_http_client *client;
  struct raw_server *up;
  struct mcpgw_link *host;
  void *transport, *impl;
};
void http_fix_up(struct http_fix *f, raw_script script, void *arg);
void http_fix_url(struct http_fix *f, const char *url, const char *const *headers);
void http_fix_close(struct http_fix *f, uint32_t flags);
void http_fix_down(struct http_fix *f);
int http_send(struct http_fix *f, uint64_t call, const char *json); /* a legacy request */
int http_send_as(struct http_fix *f, const mcpgw_message *like, const char *json);
int http_hello(struct http_fix *f, uint64_t call); /* initialize */
/* Cancels a call inside the message that answers it (has "result" or "error"), as the gateway does. */
void http_cancel_when_answered(struct mcpgw_link *link, const struct host_event *ev);
const struct host_event *http_failure(struct http_fix *f, uint64_t call);        /* waits for it */
const struct host_event *http_message(struct http_fix *f, uint64_t call, int n); /* waits for the nth */
void http_tests_stream(Suite *s);
void http_tests_fixture(Suite *s);
#endif
