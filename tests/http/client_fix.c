#include "http/client_fix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void client_fix_up(struct client_fix *f, raw_script script, void *arg) {
  memset(f, 0, sizeof *f);
  if (script) f->up = raw_server_new(script, arg);
  ck_assert_int_eq(mg_loop_new(&f->loop), MCPGW_OK);
  ck_assert_int_eq(mg_http_client_new(f->loop, NULL, &f->client), MCPGW_OK);
}

void client_fix_down(struct client_fix *f) {
  mg_http_client_free(f->client);
  mg_loop_free(f->loop);
  if (f->up) raw_server_free(f->up);
}

static void keep(char *to, size_t cap, struct mg_slice s) {
  snprintf(to, cap, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static void on_sent(void *arg) {
  struct got *g = arg;
  g->sents++;
  if (g->cancel_in == 's') mg_http_call_cancel(g->call);
}

static int on_head(void *arg, const struct mg_http_response *r) {
  struct got *g = arg;
  g->heads++;
  g->status = r->status;
  keep(g->type, sizeof g->type, r->content_type);
  keep(g->session, sizeof g->session, r->session_id);
  keep(g->retry_after, sizeof g->retry_after, r->retry_after);
  keep(g->www, sizeof g->www, r->www_authenticate);
  g->n_session = r->count_session_id;
  if (g->cancel_in == 'h') mg_http_call_cancel(g->call);
  return g->head_rc;
}

static int on_body(void *arg, const void *data, size_t len) {
  struct got *g = arg;
  if (g->cancel_in == 'b') mg_http_call_cancel(g->call);
  if (g->pause_times > 0) {
    g->pause_times--;
    return MCPGW_E_AGAIN;
  }
  if (g->body_rc) return g->body_rc;
  if (g->len + len + 1 > g->cap) g->body = realloc(g->body, g->cap = (g->len + len + 1) * 2);
  memcpy(g->body + g->len, data, len);
  g->len += len;
  g->body[g->len] = '\0';
  if (len > g->seen_max) g->seen_max = len;
  return MCPGW_OK;
}

static struct client_fix *the_fix; /* for chains started from done */

static void on_done(void *arg, const struct mg_http_fault *fault) {
  struct got *g = arg;
  g->dones++;
  if (fault) {
    g->faulty = 1;
    g->fault = *fault;
  }
  if (g->cancel_in == 'd') mg_http_call_cancel(g->call);
  if (g->then)
    ck_assert_int_eq(client_start(the_fix, g->then, "POST", NULL, NULL, "{\"chained\":1}"), MCPGW_OK);
}

int client_start(struct client_fix *f, struct got *g, const char *method, const char *url,
                 const char *const *headers, const char *body) {
  static const struct mg_http_call_events ev = {
      .sent = on_sent, .head = on_head, .body = on_body, .done = on_done};
  mg_blob *b = body ? mg_blob_copy(NULL, body, strlen(body)) : NULL;
  struct mg_http_call_opts o = {.method = method,
                                .url = url ? url : f->up->url,
                                .headers = headers,
                                .body = b,
                                .connect_ms = 2000,
                                .stream = !strcmp(method, "GET")};
  int rc;
  the_fix = f;
  rc = mg_http_call_start(f->client, &o, &ev, g, &g->call);
  mg_blob_unref(b);
  return rc;
}

static void nothing(void *arg) {
  (void)arg;
}

void client_wait(struct client_fix *f, const int *flag, int want, int ms) {
  struct mg_timer *t;
  uint64_t end = mg_now_ms() + (uint64_t)ms;
  ck_assert_int_eq(mg_timer_new(f->loop, nothing, NULL, &t), MCPGW_OK);
  while ((!flag || *flag < want) && mg_now_ms() < end) {
    mg_timer_set(t, 5); /* a turn may wait on after what it was waited for */
    ck_assert_int_eq(mg_loop_run(f->loop, MG_RUN_ONCE), MCPGW_OK);
  }
  mg_timer_free(t);
  if (flag) ck_assert_int_ge(*flag, want);
}

void client_turn(struct client_fix *f, int ms) {
  client_wait(f, NULL, 1, ms);
}

void client_post(struct client_fix *f, struct got *g, const char *body) {
  static const char *const headers[] = {"Content-Type: application/json", NULL};
  ck_assert_int_eq(client_start(f, g, "POST", NULL, headers, body), MCPGW_OK);
  client_wait(f, &g->dones, 1, 5000);
}

void got_done(struct got *g) {
  free(g->body);
  memset(g, 0, sizeof *g);
}
