/* gateway/health: owns the answers to probes. A probe comes from a kubelet or a balancer by address, with any
 * Host and no credentials, so it learns one word and nothing about who is served here. It opens no session
 * and asks no upstream. */
#include "gateway/admin.h"

int mg_health_is(const struct mg_http_request *r) {
  return mg_slice_eqz(r->path, "/livez") || mg_slice_eqz(r->path, "/readyz");
}

void mg_health_reply(struct mcpgw_gateway *gw, struct mg_exchange *x, const struct mg_http_request *r) {
  static const char plain[] = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n";
  int reads = mg_slice_eqz(r->method, "GET") || mg_slice_eqz(r->method, "HEAD");
  int well = mg_slice_eqz(r->path, "/livez") || !mg_gw_unready(gw);
  struct mg_seg seg = {NULL, well ? "ok\n" : "not ready\n", well ? 3 : 10}; /* constants need no blob */
  if (!reads) {
    seg = (struct mg_seg){NULL, "use GET\n", 8};
    mg_exchange_reply(x, 405, MG_LIT("Allow: GET, HEAD\r\nContent-Type: text/plain; charset=utf-8\r\n"), &seg, 1);
    return;
  }
  mg_exchange_reply(x, well ? 200 : 503, mg_slice_z(plain), &seg, 1);
}
