/* api/transport: the doors of <mcpgw/transport.h>: what a transport may ask of its host, and what it
 * reports. Watches, timers and bytes are the loop's and base's own objects under public names. */
#include "base/mem.h"
#include "gateway/gateway.h"

/* ---- messages --------------------------------------------------------------------------------------------- */

enum { FIRST_BYTES = 1536 }; /* most messages are shorter: they never grow */

int mcpgw_bytes_new(mcpgw_link *link, size_t max, mcpgw_bytes **out) {
  if (!link || !out) return MCPGW_E_INVALID;
  mg_blob *b = mg_blob_new(&link->gw->budget, FIRST_BYTES, max);
  if (!b) return MCPGW_E_NOMEM;
  *out = b;
  return MCPGW_OK;
}

int mcpgw_bytes_append(mcpgw_bytes *bytes, const void *data, size_t len) {
  return bytes ? mg_blob_append(bytes, data, len) : MCPGW_E_INVALID;
}

const char *mcpgw_bytes_data(const mcpgw_bytes *bytes) {
  return bytes ? mg_blob_slice(bytes).ptr : NULL;
}

size_t mcpgw_bytes_len(const mcpgw_bytes *bytes) {
  return bytes ? mg_blob_len(bytes) : 0;
}

mcpgw_bytes *mcpgw_bytes_ref(mcpgw_bytes *bytes) {
  return bytes ? mg_blob_ref(bytes) : NULL;
}

void mcpgw_bytes_unref(mcpgw_bytes *bytes) {
  mg_blob_unref(bytes);
}

/* ---- reports ------------------------------------------------------------------------------------------------ */

void mcpgw_link_sent(mcpgw_link *link, uint64_t call) {
  if (link && link->core) mg_link_on_sent(link->core, call);
}

void mcpgw_link_streaming(mcpgw_link *link, uint64_t call) {
  if (link && link->core) mg_link_on_streaming(link->core, call);
}

void mcpgw_link_alive(mcpgw_link *link, uint64_t call) {
  if (link && link->core) mg_link_on_alive(link->core, call, mg_gw_now(link->gw));
}

/* The brain is in the middle of something that the report could take away from under it. */
static int may_report(const mcpgw_link *link) {
  if (!link || !link->core) return 0;
  if (!link->inside) return 1;
  mg_log(&link->gw->log, MG_LOG_ERROR, "transport.reentered", "upstream", link->up->cfg->name, "text",
         "the transport reported from inside open, send, cancel or listen; the report was dropped", (char *)0);
  return 0;
}

void mcpgw_link_message(mcpgw_link *link, uint64_t call, mcpgw_bytes *bytes, uint32_t http_status) {
  if (may_report(link)) {
    struct mcpgw_gateway *gw = link->gw;
    mg_link_on_message(link->core, call, bytes, (int)http_status, mg_gw_now(gw));
    mg_gw_settle(gw);
  } else {
    mg_blob_unref(bytes);
  }
}

void mcpgw_link_gap(mcpgw_link *link) {
  if (!may_report(link)) return;
  struct mcpgw_gateway *gw = link->gw;
  mg_link_on_gap(link->core);
  mg_gw_settle(gw);
}

void mcpgw_link_failed(mcpgw_link *link, uint64_t call, const mcpgw_failure *why) {
  if (!why || !may_report(link)) return;
  struct mcpgw_gateway *gw = link->gw;
  mg_link_on_failed(link->core, call, why, mg_gw_now(gw));
  mg_gw_settle(gw);
}

void mcpgw_link_closed(mcpgw_link *link, const mcpgw_failure *why) {
  if (!why || !may_report(link)) return;
  struct mcpgw_gateway *gw = link->gw;
  mg_link_on_closed(link->core, why, mg_gw_now(gw));
  mg_gw_settle(gw);
}

/* ---- services ------------------------------------------------------------------------------------------------- */

int mcpgw_watch_new(mcpgw_link *link, int fd, void (*cb)(void *arg, int events), void *arg, mcpgw_watch **out) {
  if (!link || !cb || !out) return MCPGW_E_INVALID;
  return mg_watch_new(link->gw->loop, fd, cb, arg, (struct mg_watch **)out);
}

int mcpgw_watch_set(mcpgw_watch *watch, int events) {
  return watch ? mg_watch_set((struct mg_watch *)watch, events) : MCPGW_E_INVALID;
}

void mcpgw_watch_free(mcpgw_watch *watch) {
  mg_watch_free((struct mg_watch *)watch);
}

int mcpgw_timer_new(mcpgw_link *link, void (*cb)(void *arg), void *arg, mcpgw_timer **out) {
  if (!link || !cb || !out) return MCPGW_E_INVALID;
  return mg_timer_new(link->gw->loop, cb, arg, (struct mg_timer **)out);
}

void mcpgw_timer_set(mcpgw_timer *timer, uint64_t delay_ms) {
  if (timer) mg_timer_set((struct mg_timer *)timer, delay_ms);
}

void mcpgw_timer_free(mcpgw_timer *timer) {
  mg_timer_free((struct mg_timer *)timer);
}

int mcpgw_link_post(mcpgw_link *link, void (*cb)(void *arg), void *arg) {
  return link && cb ? mg_loop_post(link->gw->loop, cb, arg) : MCPGW_E_INVALID;
}

void mcpgw_link_log(mcpgw_link *link, int level, const char *event, const char *text, size_t len) {
  if (!link || !event) return;
  if (link->why && level == MCPGW_LOG_ERROR && text)
    mg_err_set(link->why, MCPGW_E_IO, "%.*s", (int)(len < MG_ERR_MAX ? len : MG_ERR_MAX), text);
  if (level > link->gw->log.level) return;
  char *z = mg_memdup(text ? text : "", text ? len : 0);
  if (z) mg_log(&link->gw->log, level, event, "upstream", link->up->cfg->name, "text", z, (char *)0);
  mg_free(z);
}

const char *mcpgw_link_name(const mcpgw_link *link) {
  return link ? link->up->cfg->name : "";
}

size_t mcpgw_link_result_bytes(const mcpgw_link *link) {
  return link ? (size_t)link->up->cfg->limits.result_bytes : 0;
}

void *mcpgw_alloc(size_t size) {
  return mg_alloc(size);
}

void mcpgw_free(void *ptr) {
  mg_free(ptr);
}
