/* tests/transport/stdio_rig.c: see the header. */
#include "transport/stdio_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/procs.h"

const mcpgw_transport_ops *const stdio_ops = &mg_transport_stdio_ops;
static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", NULL};

static void on_log(struct mcpgw_link *link, int level, const char *event, const char *text, size_t len) {
  struct stdio_rig *r = link->user;
  r->log = realloc(r->log, r->log_len + len + 128);
  r->log_len += (size_t)sprintf(r->log + r->log_len, "%d %s %.*s\n", level, event, (int)len, text);
  ck_assert_msg(!link->closed, "a log line after close: %s", r->log);
}

void stdio_rig_init(struct stdio_rig *r) {
  memset(r, 0, sizeof *r);
  r->live = mg_mem_live();
  ck_assert_int_eq(mg_loop_new(&r->loop), MCPGW_OK);
  r->link = fake_host_new(r->loop);
  r->link->user = r;
  r->link->on_log = on_log;
  r->config = (struct mg_stdio_config){
      .loop = r->loop, .env = env, .launcher = procs_launcher(), .term_ms = 100, .kill_ms = 200};
}

int stdio_rig_open(struct stdio_rig *r, const char *const *argv) {
  r->config.argv = argv;
  ck_assert_int_eq(mg_transport_stdio_new(&r->config, &r->transport), MCPGW_OK);
  return stdio_ops->open(r->transport, r->link, &r->impl);
}

void stdio_rig_sh(struct stdio_rig *r, const char *script) {
  const char *argv[] = {"sh", "-c", script, "stdio-test", NULL};
  stdio_rig_init(r);
  ck_assert_int_eq(stdio_rig_open(r, argv), MCPGW_OK);
}

void stdio_rig_py(struct stdio_rig *r, const char *script) {
  const char *argv[] = {"python3", "-u", "-c", script, NULL};
  stdio_rig_init(r);
  ck_assert_int_eq(stdio_rig_open(r, argv), MCPGW_OK);
}

void stdio_rig_says(struct stdio_rig *r, const char *bytes) {
  const char *argv[] = {"sh", "-c", "read x; printf '%s' \"$1\"; cat >/dev/null", "stdio-test", bytes, NULL};
  stdio_rig_init(r);
  ck_assert_int_eq(stdio_rig_open(r, argv), MCPGW_OK);
}

int stdio_rig_send(struct stdio_rig *r, uint64_t call, const char *text) {
  mcpgw_bytes *b = fake_host_bytes(r->link, text);
  mcpgw_message m = {.struct_size = sizeof m, .call = call, .bytes = b, .revision = "2025-11-25"};
  m.kind = call ? MCPGW_SEND_REQUEST : MCPGW_SEND_NOTIFICATION;
  int n = r->link->n, rc = stdio_ops->send(r->impl, &m);
  ck_assert_int_eq(r->link->n, n); /* no event from inside send */
  mcpgw_bytes_unref(b);
  return rc;
}

void stdio_rig_close(struct stdio_rig *r, unsigned flags) {
  int n = r->link->n;
  stdio_ops->close(r->impl, flags);
  ck_assert_int_eq(r->link->n, n);
  r->link->closed = 1;
  r->impl = NULL;
}

void stdio_rig_down(struct stdio_rig *r) {
  if (r->impl) stdio_rig_close(r, 0);
  r->link->closed = 1;
  ck_assert_int_eq(mg_child_drain(r->loop, 10000), MCPGW_OK);
  ck_assert_int_eq(r->link->after_close, 0);
  ck_assert_uint_eq(r->link->budget.used, 0);
  mg_transport_stdio_free(r->transport);
  fake_host_free(r->link);
  mg_loop_free(r->loop);
  ck_assert_int_eq(mg_mem_live(), r->live);
  free(r->log);
}

int stdio_rig_logged(const struct stdio_rig *r, const char *part) {
  int n = 0;
  const char *at = r->log;
  for (; at && (at = strstr(at, part)); at++) n++;
  return n;
}
