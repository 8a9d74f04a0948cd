/* gateway/state: owns what of this gateway outlives it: its store, opened in state_dir when first something needs it
 * (or the host's own), and the contract made of it. The store's thread reaches the owner's by a post only: it wakes
 * the contract and leaves its log lines here, for the host's log belongs to the owner's thread. */
#include "gateway/state.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "core/once/idem.h"
#include "gateway/gateway.h"

#define RETRY_MS 5000            /* a store that could not be opened is not tried before */
#define LOG_BYTES ((size_t)65536) /* of lines that wait; more are counted as dropped */

static void on_post(void *arg) {
  struct mcpgw_gateway *gw = arg;
  __atomic_store_n(&gw->state.posted, 0, __ATOMIC_RELEASE);
  mg_state_flush_log(gw);
  mg_core_once(gw->core, mg_gw_now(gw));
  mg_gw_settle(gw);
}

/* [any] */
static void on_wake(void *data) {
  struct mcpgw_gateway *gw = data;
  if (__atomic_exchange_n(&gw->state.posted, 1, __ATOMIC_ACQ_REL)) return;
  if (mg_loop_post(gw->loop, on_post, gw) != MCPGW_OK) __atomic_store_n(&gw->state.posted, 0, __ATOMIC_RELEASE);
}

/* ---- the store's log lines ---------------------------------------------------------------------------------- */

/* [any]: level, length, line; whole or not at all. */
static void on_log(void *data, int level, const char *line, size_t len) {
  struct mcpgw_gateway *gw = data;
  uint32_t head[2] = {(uint32_t)level, (uint32_t)len};
  pthread_mutex_lock(&gw->state.lock);
  struct mg_buf *b = &gw->state.lines;
  if (b->len + sizeof head + len > LOG_BYTES || mg_buf_reserve(b, sizeof head + len) != MCPGW_OK) {
    gw->state.lines_dropped++;
  } else {
    mg_buf_add(b, head, sizeof head);
    mg_buf_add(b, line, len);
  }
  pthread_mutex_unlock(&gw->state.lock);
  on_wake(gw);
}

void mg_state_flush_log(struct mcpgw_gateway *gw) {
  struct mg_buf lines;
  uint32_t head[2];
  pthread_mutex_lock(&gw->state.lock);
  lines = gw->state.lines;
  mg_buf_init(&gw->state.lines, LOG_BYTES);
  gw->log.dropped += gw->state.lines_dropped;
  gw->state.lines_dropped = 0;
  pthread_mutex_unlock(&gw->state.lock);
  for (size_t at = 0; at + sizeof head <= lines.len; at += sizeof head + head[1]) {
    memcpy(head, lines.ptr + at, sizeof head);
    if (gw->log.write && (int)head[0] <= gw->log.level) gw->log.write(gw->log.data, (int)head[0], lines.ptr + at + sizeof head, head[1]);
  }
  mg_buf_done(&lines);
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* The directory and those above it; what is made is the user's alone. */
static int make_dirs(char *path) {
  for (char *p = path + 1; *p; p++) {
    if (*p != '/') continue;
    *p = '\0';
    int rc = mkdir(path, 0700);
    int why = errno;
    *p = '/';
    if (rc != 0 && why != EEXIST) return why;
  }
  return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

static int open_at(struct mcpgw_gateway *gw, mcpgw_store *s) {
  struct mg_buf path;
  mcpgw_store_options o = {.struct_size = sizeof o, .flags = MCPGW_STORE_SHARE, .quota_bytes = gw->config->store_quota_bytes, .log = on_log, .log_data = gw};
  mg_buf_init(&path, 8192);
  mg_buf_addz(&path, gw->config->state_dir);
  mg_buf_addc(&path, 0);
  int rc = mg_buf_rc(&path), why = rc == MCPGW_OK ? make_dirs(path.ptr) : 0;
  if (why) {
    mg_log(&gw->log, MG_LOG_ERROR, "state.no_directory", "state_dir", gw->config->state_dir, "text", strerror(why), (char *)0);
    rc = why == ENOSPC || why == EDQUOT ? MCPGW_E_LIMIT : MCPGW_E_IO;
  }
  if (path.len) path.len--;
  mg_buf_addz(&path, "/store");
  if (rc == MCPGW_OK) rc = mg_buf_rc(&path);
  if (rc == MCPGW_OK && (rc = mg_store_open(s, mg_buf_slice(&path), &o)) != MCPGW_OK)
    mg_log(&gw->log, MG_LOG_ERROR, "store.not_opened", "text", mg_store_error(s), (char *)0);
  mg_buf_done(&path);
  return rc;
}

int mg_state_store(struct mcpgw_gateway *gw, mcpgw_store **out) {
  struct mg_state *st = &gw->state;
  mcpgw_store *s = NULL;
  if (st->store) {
    *out = st->store;
    return MCPGW_OK;
  }
  if (!gw->config->state_dir) return MCPGW_E_UNSUPPORTED;
  if (st->failed != MCPGW_OK && mg_gw_now(gw) < st->retry_ms) return st->failed;
  int rc = mg_store_new(&s);
  if (rc == MCPGW_OK) rc = open_at(gw, s);
  if (rc != MCPGW_OK) {
    mg_store_unref(s);
    if (rc == MCPGW_E_UNSUPPORTED) rc = MCPGW_E_IO; /* a store of another version is not "no store" */
    st->failed = rc;
    st->retry_ms = mg_gw_now(gw) + RETRY_MS;
    return rc;
  }
  *out = st->store = s;
  return MCPGW_OK;
}

static int open_contract(void *arg, struct mcpgw_idempotency **out, const char **why) {
  struct mcpgw_gateway *gw = arg;
  mcpgw_store *s;
  (void)why;
  int rc = mg_state_store(gw, &s);
  if (rc != MCPGW_OK) return rc;
  mcpgw_idempotency_options o = {.struct_size = sizeof o, .flags = gw->config->idempotency.sync ? 0 : MCPGW_IDEMPOTENCY_ASYNC,
    .ttl_ms = gw->config->idempotency.ttl_ms, .max_bytes = gw->config->idempotency.max_bytes ? gw->config->idempotency.max_bytes : 1,
    .wake = on_wake, .wake_data = gw};
  rc = mg_idem_new(s, &o, out);
  return rc == MCPGW_E_UNSUPPORTED ? MCPGW_E_IO : rc;
}

static uint64_t unix_ms(void *arg) {
  (void)arg;
  return mg_unix_ms();
}

void mg_state_init(struct mcpgw_gateway *gw, mcpgw_store *store) {
  pthread_mutex_init(&gw->state.lock, NULL);
  mg_buf_init(&gw->state.lines, LOG_BYTES);
  gw->state.store = store ? mg_store_ref(store) : NULL;
}

void mg_state_offer(struct mcpgw_gateway *gw) {
  mg_core_set_once(gw->core, &(struct mg_once_port){open_contract, unix_ms, gw});
}

void mg_state_done(struct mcpgw_gateway *gw) {
  mg_store_unref(gw->state.store); /* waits for what is to be written; its lines come here until then */
  gw->state.store = NULL;
  mg_state_flush_log(gw);
  mg_buf_done(&gw->state.lines);
  pthread_mutex_destroy(&gw->state.lock);
}
