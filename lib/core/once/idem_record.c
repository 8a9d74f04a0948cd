/* core/once/idem_record: owns the bytes of an idempotency record and the hash that names a call's scope. Must never keep
 * what a client called itself or its key in the clear. All numbers little-endian:
 *   version 1, state 1, outcome 1, 0, owner 36, instance 8, begun 8, fingerprint 32, 0 8 = 96 bytes, then the result */
#include <string.h>

#include "core/once/idem_priv.h"

#define VERSION 1

static void put64(unsigned char *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get64(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

void mg_idem_encode(const struct mg_idem_record *r, unsigned char out[MG_IDEM_HEAD]) {
  memset(out, 0, MG_IDEM_HEAD);
  out[0] = VERSION;
  out[1] = (unsigned char)r->state;
  out[2] = (unsigned char)r->outcome;
  mg_owner_encode(&r->owner, out + 4);
  put64(out + 40, r->instance);
  put64(out + 48, r->begun_ms);
  memcpy(out + 56, r->print, MG_HASH_LEN);
}

int mg_idem_decode(struct mg_slice value, struct mg_idem_record *out) {
  const unsigned char *p = (const unsigned char *)value.ptr;
  if (value.len < MG_IDEM_HEAD || p[0] != VERSION || p[1] < MG_REC_RUNNING || p[1] > MG_REC_NOT_KEPT) return MCPGW_E_PARSE;
  out->state = p[1];
  out->outcome = p[2];
  mg_owner_decode(p + 4, &out->owner);
  out->instance = get64(p + 40);
  out->begun_ms = get64(p + 48);
  memcpy(out->print, p + 56, MG_HASH_LEN);
  out->bytes = mg_slice_sub(value, MG_IDEM_HEAD, value.len);
  return MCPGW_OK;
}

/* Each part with its length in front: no two scopes have the same bytes. */
void mg_idem_scope(const mcpgw_idempotency_request *rq, unsigned char out[MG_HASH_LEN], int *rc) {
  const struct mg_slice parts[] = {mg_slice(rq->principal, rq->principal_len), mg_slice(rq->upstream, rq->upstream_len),
                                   mg_slice(rq->tool, rq->tool_len), mg_slice(rq->key, rq->key_len)};
  struct mg_buf b;
  mg_buf_init(&b, (size_t)1 << 20);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    mg_buf_addu(&b, parts[i].len);
    mg_buf_addc(&b, ':');
    mg_buf_adds(&b, parts[i]);
  }
  *rc = mg_buf_rc(&b);
  if (*rc == MCPGW_OK) mg_sha256(mg_buf_slice(&b), out);
  mg_buf_done(&b);
}
