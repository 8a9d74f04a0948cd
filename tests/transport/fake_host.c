/* fake_host: see the header. It judges nothing; tests read what it wrote down. */
#include "transport/fake_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct mcpgw_link *fake_host_new(struct mg_loop *loop) {
  struct mcpgw_link *link = calloc(1, sizeof *link);
  if (!link) abort();
  link->loop = loop;
  link->result_bytes = 1 << 20;
  return link;
}

void fake_host_free(struct mcpgw_link *link) {
  for (int i = 0; i < link->n; i++) free(link->ev[i].text);
  free(link);
}

static void nothing(void *arg) {
  (void)arg;
}

int fake_host_count(const struct mcpgw_link *link, int kind, uint64_t call) {
  int n = 0;
  for (int i = 0; i < link->n; i++) n += link->ev[i].kind == kind && (!call || link->ev[i].call == call);
  return n;
}

const struct host_event *fake_host_event(const struct mcpgw_link *link, int kind, uint64_t call, int n) {
  for (int i = 0; i < link->n; i++)
    if (link->ev[i].kind == kind && (!call || link->ev[i].call == call) && !n--) return &link->ev[i];
  return NULL;
}

int fake_host_wait(struct mcpgw_link *link, int kind, uint64_t call, int n, int ms) {
  uint64_t end = mg_now_ms() + (uint64_t)ms;
  struct mg_timer *t;
  if (mg_timer_new(link->loop, nothing, NULL, &t) != MCPGW_OK) return 0;
  while ((!kind || fake_host_count(link, kind, call) < n) && mg_now_ms() < end) {
    mg_timer_set(t, 5);
    if (mg_loop_run(link->loop, MG_RUN_ONCE) != MCPGW_OK) break;
  }
  mg_timer_free(t);
  return fake_host_count(link, kind, call) >= n;
}

void fake_host_turn(struct mcpgw_link *link, int ms) {
  (void)fake_host_wait(link, 0, 0, 1, ms);
}

mcpgw_bytes *fake_host_bytes(struct mcpgw_link *link, const char *text) {
  return mg_blob_copy(&link->budget, text, strlen(text));
}

static void record(struct mcpgw_link *link, struct host_event ev, const char *text, size_t len) {
  if (link->closed) link->after_close++;
  if (link->n == HOST_EVENTS) abort();
  ev.text = malloc(len + 1);
  if (len) memcpy(ev.text, text, len);
  ev.text[len] = '\0';
  ev.len = len;
  link->ev[link->n++] = ev;
  if (link->react) link->react(link, &link->ev[link->n - 1]);
}

/* ---- messages ----------------------------------------------------------------------------------- */
int mcpgw_bytes_new(mcpgw_link *link, size_t max, mcpgw_bytes **out) {
  mcpgw_bytes *b = mg_blob_new(&link->budget, 0, max);
  if (!b) return MCPGW_E_NOMEM;
  *out = b;
  return MCPGW_OK;
}
int mcpgw_bytes_append(mcpgw_bytes *bytes, const void *data, size_t len) {
  return mg_blob_append(bytes, data, len);
}
const char *mcpgw_bytes_data(const mcpgw_bytes *bytes) {
  return mg_blob_slice(bytes).ptr;
}
size_t mcpgw_bytes_len(const mcpgw_bytes *bytes) {
  return mg_blob_len(bytes);
}
mcpgw_bytes *mcpgw_bytes_ref(mcpgw_bytes *bytes) {
  return mg_blob_ref(bytes);
}
void mcpgw_bytes_unref(mcpgw_bytes *bytes) {
  mg_blob_unref(bytes);
}

/* ---- events ------------------------------------------------------------------------------------- */
void mcpgw_link_sent(mcpgw_link *link, uint64_t call) {
  record(link, (struct host_event){.kind = HOST_SENT, .call = call}, "", 0);
}
void mcpgw_link_alive(mcpgw_link *link, uint64_t call) {
  link->alive++;
  link->alive_call = call;
}
void mcpgw_link_gap(mcpgw_link *link) {
  link->gaps++;
}
void mcpgw_link_streaming(mcpgw_link *link, uint64_t call) {
  record(link, (struct host_event){.kind = HOST_STREAMING, .call = call}, "", 0);
}
void mcpgw_link_message(mcpgw_link *link, uint64_t call, mcpgw_bytes *bytes, uint32_t http_status) {
  struct mg_slice s = mg_blob_slice(bytes);
  record(link, (struct host_event){.kind = HOST_MESSAGE, .call = call, .status = http_status}, s.ptr, s.len);
  mg_blob_unref(bytes);
}
static void record_failure(mcpgw_link *link, int kind, uint64_t call, const mcpgw_failure *why) {
  struct host_event ev = {.kind = kind, .call = call, .why = *why};
  const char *text = why->text ? why->text : "";
  ev.why.text = NULL;
  record(link, ev, text, strlen(text));
}
void mcpgw_link_failed(mcpgw_link *link, uint64_t call, const mcpgw_failure *why) {
  record_failure(link, HOST_FAILED, call, why);
}
void mcpgw_link_closed(mcpgw_link *link, const mcpgw_failure *why) {
  record_failure(link, HOST_CLOSED, 0, why);
}

/* ---- services ----------------------------------------------------------------------------------- */
int mcpgw_watch_new(mcpgw_link *link, int fd, void (*cb)(void *arg, int events), void *arg,
                    mcpgw_watch **out) {
  return mg_watch_new(link->loop, fd, cb, arg, (struct mg_watch **)out);
}
int mcpgw_watch_set(mcpgw_watch *watch, int events) {
  return mg_watch_set((struct mg_watch *)watch, events);
}
void mcpgw_watch_free(mcpgw_watch *watch) {
  mg_watch_free((struct mg_watch *)watch);
}
int mcpgw_timer_new(mcpgw_link *link, void (*cb)(void *arg), void *arg, mcpgw_timer **out) {
  return mg_timer_new(link->loop, cb, arg, (struct mg_timer **)out);
}
void mcpgw_timer_set(mcpgw_timer *timer, uint64_t delay_ms) {
  mg_timer_set((struct mg_timer *)timer, delay_ms);
}
void mcpgw_timer_free(mcpgw_timer *timer) {
  mg_timer_free((struct mg_timer *)timer);
}
int mcpgw_link_post(mcpgw_link *link, void (*cb)(void *arg), void *arg) {
  return mg_loop_post(link->loop, cb, arg);
}
void mcpgw_link_log(mcpgw_link *link, int level, const char *event, const char *text, size_t len) {
  link->logs++;
  if (link->on_log) link->on_log(link, level, event, text, len);
  snprintf(link->last_log, sizeof link->last_log, "%s %.*s", event, (int)len, text);
}
const char *mcpgw_link_name(const mcpgw_link *link) {
  (void)link;
  return "fake";
}
size_t mcpgw_link_result_bytes(const mcpgw_link *link) {
  return link->result_bytes;
}
void *mcpgw_alloc(size_t size) {
  return mg_alloc(size);
}
void mcpgw_free(void *ptr) {
  mg_free(ptr);
}
