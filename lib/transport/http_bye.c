/* transport/http_bye: says good-bye to sessions at an upstream: a DELETE for each that its link leaves behind. Many
 * links may end at once (a caller is revoked, a reload): so many leave at a time, the rest waits its turn, and none
 * waits for a server that does not answer. What could not be said is counted and told. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "transport/http_priv.h"

enum {
  BYE_MS = 5000,       /* nobody waits for the answer, and the server may be slow or dead */
  BYES_AT_ONCE = 64,   /* connections that this may take from others */
  BYES_WAITING = 20000,
  BYE_FAULTS = 3 /* in a row: the server is not there, and the rest is let go */
};

struct bye {
  struct mg_list node; /* in t->farewells, or t->waiting */
  struct mg_http_transport *t;
  struct mg_http_call *http; /* NULL while it waits */
  char *session, revision[32];
  struct mg_buf authorization;
};

static void bye_free(struct bye *b) {
  mg_list_del(&b->node);
  if (b->authorization.len) explicit_bzero(b->authorization.ptr, b->authorization.len);
  mg_buf_done(&b->authorization);
  mg_free(b->session);
  mg_free(b);
}

static void tell_left(struct mg_http_transport *t) {
  char n[24];
  (void)snprintf(n, sizeof n, "%zu", t->n_left);
  if (t->n_left && t->log)
    mg_log(t->log, MG_LOG_WARN, "upstream.sessions_left", "upstream", t->name ? t->name : "", "sessions", n, "text",
           "they could not be ended there (DELETE); the server has to let them expire", (char *)0);
  t->n_left = 0;
}

static void let_go(struct mg_http_transport *t) {
  struct mg_list *n;
  for (; (n = mg_list_first(&t->waiting)); t->n_left++) bye_free(MG_CONTAINER(n, struct bye, node));
  t->n_waiting = 0;
}

static void done(void *arg, const struct mg_http_fault *fault);

static int start(struct bye *b) {
  static const struct mg_http_call_events events = {.done = done};
  struct mg_http_transport *t = b->t;
  mcpgw_header own = {"Authorization", b->authorization.ptr};
  size_t n_own = b->authorization.len ? 1 : 0;
  struct mg_http_call_opts o = {.method = "DELETE",
                                .url = t->url,
                                .headers = t->line,
                                .connect_ms = BYE_MS,
                                .total_ms = BYE_MS,
                                .insecure_tls = t->insecure_tls};
  mg_http_lines_begin(t);
  if (b->revision[0]) mg_http_line(t, "MCP-Protocol-Version", b->revision);
  mg_http_line(t, "Mcp-Session-Id", b->session);
  if (n_own) mg_http_line(t, own.name, own.value);
  int rc = mg_http_lines_end(t, &own, n_own);
  if (rc == MCPGW_OK) rc = mg_http_call_start(t->client, &o, &events, b, &b->http);
  mg_http_lines_wipe(t);
  return rc;
}

static void next(struct mg_http_transport *t) {
  struct mg_list *n;
  while (t->n_farewells < BYES_AT_ONCE && (n = mg_list_first(&t->waiting))) {
    struct bye *b = MG_CONTAINER(n, struct bye, node);
    mg_list_del(n);
    t->n_waiting--;
    if (start(b) == MCPGW_OK) {
      mg_list_add(&t->farewells, &b->node);
      t->n_farewells++;
    } else {
      bye_free(b);
      t->n_left++;
    }
  }
  if (!t->n_farewells) tell_left(t);
}

/* Any answer will do: 405 says that the server ends its sessions itself. */
static void done(void *arg, const struct mg_http_fault *fault) {
  struct bye *b = arg;
  struct mg_http_transport *t = b->t;
  bye_free(b);
  t->n_farewells--;
  t->bye_faults = fault ? t->bye_faults + 1 : 0;
  if (fault) t->n_left++;
  if (t->bye_faults >= BYE_FAULTS) let_go(t);
  next(t);
}

void mg_http_bye(struct http_link *l) {
  struct mg_http_transport *t = l->t;
  struct bye *b = t->n_waiting < BYES_WAITING ? mg_calloc(1, sizeof *b) : NULL;
  if (!b) {
    t->n_left++;
    return;
  }
  b->t = t;
  b->session = l->session;
  l->session = NULL;
  memcpy(b->revision, l->revision, sizeof b->revision);
  b->authorization = l->authorization;
  mg_buf_init(&l->authorization, 0);
  if (!t->n_farewells) t->bye_faults = 0; /* another time, perhaps another server */
  mg_list_add(&t->waiting, &b->node);
  t->n_waiting++;
  next(t);
}

void mg_http_byes_drop(struct mg_http_transport *t) {
  struct mg_list *n;
  for (; (n = mg_list_first(&t->farewells)); t->n_left++) {
    struct bye *b = MG_CONTAINER(n, struct bye, node);
    mg_http_call_cancel(b->http);
    bye_free(b);
  }
  t->n_farewells = 0;
  let_go(t);
  tell_left(t);
}
