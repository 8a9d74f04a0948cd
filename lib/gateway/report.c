/* gateway/report: owns what the gateway tells about itself: which question asks for what, and whether it is
 * ready. The same text goes to the admin door and to the host. It changes nothing. */
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"
#include "transport/stdio.h"

#define REPORT_MAX ((size_t)16 << 20)
#define LIMIT_DEFAULT 100
#define VALUE_MAX 2048

static int pid_of(void *port) {
  const struct mcpgw_link *l = port;
  return l->ops == &mg_transport_stdio_ops ? mg_transport_stdio_pid(l->impl) : 0;
}

/* ---- the question: kind?after=17&limit=100&principal=…&upstream=… ------------------------------------------ */

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(struct mg_slice in, struct mg_buf *out) {
  for (size_t i = 0; i < in.len; i++) {
    if (in.ptr[i] != '%') {
      mg_buf_addc(out, in.ptr[i]);
      continue;
    }
    int hi = in.len - i > 2 ? hex(in.ptr[i + 1]) : -1, lo = in.len - i > 2 ? hex(in.ptr[i + 2]) : -1;
    if (hi < 0 || lo < 0) return MCPGW_E_INVALID;
    mg_buf_addc(out, (char)(hi * 16 + lo));
    i += 2;
  }
  return mg_buf_rc(out);
}

struct question {
  struct mg_page page;
  struct mg_buf principal, upstream; /* decoded */
};

static int read_one(struct question *q, struct mg_slice name, struct mg_slice value) {
  uint64_t n;
  if (mg_slice_eqz(name, "principal")) return decode(value, &q->principal);
  if (mg_slice_eqz(name, "upstream")) return decode(value, &q->upstream);
  if (mg_slice_u64(value, &n) != MCPGW_OK) return MCPGW_E_INVALID;
  if (mg_slice_eqz(name, "after")) q->page.after = n;
  else if (mg_slice_eqz(name, "limit") && n >= 1 && n <= MG_PAGE_MAX) q->page.limit = (size_t)n;
  else return MCPGW_E_INVALID;
  return MCPGW_OK;
}

static int read_query(struct question *q, struct mg_slice query) {
  struct mg_slice one, name;
  int rc = MCPGW_OK;
  while (rc == MCPGW_OK && mg_slice_cut(&query, '&', &one)) {
    if (!one.len) continue;
    mg_slice_cut(&one, '=', &name);
    rc = read_one(q, name, one);
  }
  q->page.principal = mg_buf_slice(&q->principal);
  q->page.upstream = mg_buf_slice(&q->upstream);
  return rc;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

const char *mg_gw_unready(struct mcpgw_gateway *gw) {
  size_t n = mg_core_upstreams(gw->core);
  if (gw->stopping) return "the gateway is draining";
  if (!gw->listening) return "the gateway does not listen yet";
  if (n && mg_core_report_down(gw->core, mg_gw_now(gw), NULL) == n) return "all upstreams are down";
  return NULL;
}

static int report_ready(struct mcpgw_gateway *gw, struct mg_buf *b) {
  const char *why = mg_gw_unready(gw);
  mg_buf_addz(b, why ? "{\"ready\":false,\"reason\":" : "{\"ready\":true,\"reason\":");
  if (why) mg_buf_json_str(b, mg_slice_z(why));
  else mg_buf_addz(b, "null");
  mg_buf_addz(b, ",\"upstreams\":");
  mg_buf_addu(b, mg_core_upstreams(gw->core));
  mg_buf_addz(b, ",\"down\":");
  mg_core_report_down(gw->core, mg_gw_now(gw), b);
  mg_buf_addc(b, '}');
  return mg_buf_rc(b);
}

static int report_stats(struct mcpgw_gateway *gw, struct mg_buf *b) {
  char *text;
  int rc = mg_gw_stats(gw, &text);
  if (rc != MCPGW_OK) return rc;
  rc = mg_buf_addz(b, text);
  mg_free(text);
  return rc;
}

static int answer(struct mcpgw_gateway *gw, struct mg_slice kind, const struct mg_page *page) {
  if (mg_slice_eqz(kind, "contexts")) return mg_core_report_contexts(gw->core, page);
  if (mg_slice_eqz(kind, "links")) return mg_core_report_links(gw->core, page, 0);
  if (mg_slice_eqz(kind, "children")) return mg_core_report_links(gw->core, page, 1);
  if (mg_slice_eqz(kind, "upstreams")) return mg_core_report_upstreams(gw->core, page);
  if (mg_slice_eqz(kind, "stats")) return report_stats(gw, page->out);
  if (mg_slice_eqz(kind, "ready")) return report_ready(gw, page->out);
  return MCPGW_E_NOT_FOUND;
}

int mg_gw_report(struct mcpgw_gateway *gw, struct mg_slice kind, struct mg_slice query, char **out, size_t *len) {
  struct mg_buf b;
  struct question q = {.page = {.limit = LIMIT_DEFAULT, .now_ms = mg_gw_now(gw), .out = &b, .pid_of = pid_of}};
  mg_buf_init(&b, REPORT_MAX);
  mg_buf_init(&q.principal, VALUE_MAX);
  mg_buf_init(&q.upstream, VALUE_MAX);
  int rc = read_query(&q, query);
  if (rc == MCPGW_OK) rc = answer(gw, kind, &q.page);
  if (rc == MCPGW_OK) rc = mg_buf_addc(&b, 0);
  mg_buf_done(&q.principal);
  mg_buf_done(&q.upstream);
  if (rc != MCPGW_OK) {
    mg_buf_done(&b);
    return rc;
  }
  *out = b.ptr; /* the buffer's memory is the caller's now */
  *len = b.len - 1;
  return MCPGW_OK;
}
