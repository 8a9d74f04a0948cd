/* store/record: owns the bytes of keys and values in the database, all numbers little-endian but in the expiry
 * index, whose keys sort. Must never trust a byte it decodes, and never refuse a file because of a record of
 * another version: that one is skipped.
 *
 *   records: kind, key (or 478 bytes of it and its SHA-256)  ->  head, [whole key when hashed], value
 *   expiry:  when (8, big-endian), version (8)               ->  key in records
 *   head:    format 1, flags 1, 0 2, key length 4, version 8, expires 8, written 8, checksum 8 */
#include <string.h>

#include "crypt/seal.h"
#include "store/priv.h"

#define FORMAT 1
#define FLAG_HASHED 1

static void put64(unsigned char *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get64(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

uint64_t mg_be64(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 0; i < 8; i++) v = v << 8 | p[i];
  return v;
}

void mg_expiry_key(unsigned char out[16], uint64_t expires_ms, uint64_t version) {
  for (int i = 0; i < 8; i++) out[i] = (unsigned char)(expires_ms >> (56 - 8 * i));
  for (int i = 0; i < 8; i++) out[8 + i] = (unsigned char)(version >> (56 - 8 * i));
}

void mg_inner_key(struct mg_inner_key *out, uint32_t kind, struct mg_slice key) {
  out->bytes[0] = (unsigned char)kind;
  out->hashed = key.len > KEY_PLAIN_MAX;
  if (!out->hashed) {
    memcpy(out->bytes + 1, key.ptr, key.len);
    out->len = 1 + key.len;
    return;
  }
  memcpy(out->bytes + 1, key.ptr, KEY_INNER_MAX - 1 - MG_HASH_LEN); /* the prefix, so that scans find it */
  mg_sha256(key, out->bytes + KEY_INNER_MAX - MG_HASH_LEN);
  out->len = KEY_INNER_MAX;
}

size_t mg_record_len(const mcpgw_record *r) {
  return HEAD_LEN + (r->key_len > KEY_PLAIN_MAX ? r->key_len : 0) + r->value_len;
}

/* Finds what rots on a disk, not what is forged. */
static uint64_t checksum(const unsigned char *head, const unsigned char *body, size_t len) {
  const uint64_t k = 0x9E3779B97F4A7C15u;
  uint64_t h = len * k, w;
  for (int i = 0; i < 32; i += 8) h = ((h ^ get64(head + i)) * k) ^ (h >> 29);
  for (; len >= 8; body += 8, len -= 8) {
    memcpy(&w, body, 8);
    h = ((h ^ w) * k) ^ (h >> 29);
  }
  for (; len; body++, len--) h = ((h ^ *body) * k) ^ (h >> 29);
  return h;
}

void mg_record_encode(const mcpgw_record *r, unsigned char *out) {
  size_t key_len = r->key_len > KEY_PLAIN_MAX ? r->key_len : 0;
  memset(out, 0, HEAD_LEN);
  out[0] = FORMAT;
  out[1] = key_len ? FLAG_HASHED : 0;
  for (int i = 0; i < 4; i++) out[4 + i] = (unsigned char)(key_len >> (8 * i));
  put64(out + 8, r->version);
  put64(out + 16, r->expires_ms);
  put64(out + 24, r->written_ms);
  if (key_len) memcpy(out + HEAD_LEN, r->key, key_len);
  if (r->value_len) memcpy(out + HEAD_LEN + key_len, r->value, r->value_len);
  put64(out + 32, checksum(out, out + HEAD_LEN, key_len + r->value_len));
}

int mg_record_intact(MDB_val value) {
  const unsigned char *p = value.mv_data;
  return value.mv_size >= HEAD_LEN && get64(p + 32) == checksum(p, p + HEAD_LEN, value.mv_size - HEAD_LEN);
}

int mg_record_decode(MDB_val key, MDB_val value, mcpgw_record *out) {
  const unsigned char *k = key.mv_data, *v = value.mv_data;
  if (key.mv_size < 2 || value.mv_size < 1) return MCPGW_E_PARSE;
  memset(out, 0, sizeof *out);
  out->struct_size = sizeof *out;
  out->kind = k[0];
  out->key = (const char *)k + 1;
  out->key_len = key.mv_size - 1;
  if (v[0] != FORMAT) return MCPGW_E_UNSUPPORTED;
  if (value.mv_size < HEAD_LEN) return MCPGW_E_PARSE;
  size_t body = value.mv_size - HEAD_LEN, key_len = 0;
  if (v[1] & FLAG_HASHED) {
    key_len = (size_t)(get64(v + 4) & 0xFFFFFFFFu);
    if (key_len <= KEY_PLAIN_MAX || key_len > body) return MCPGW_E_PARSE;
    out->key = (const char *)v + HEAD_LEN;
    out->key_len = key_len;
  }
  out->version = get64(v + 8);
  out->expires_ms = get64(v + 16);
  out->written_ms = get64(v + 24);
  out->value = (const char *)v + HEAD_LEN + key_len;
  out->value_len = body - key_len;
  return MCPGW_OK;
}
