/* crypt/seal: owns the use of libsodium for seals, hashes and secret memory. Must never let a length or
 * a missing randomness reach libsodium that would make it abort, never tell why a seal did not open,
 * and never leave key bytes on the stack or in freed memory. Randomness comes from base/clock. */
#include "crypt/seal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "mcpgw/types.h"

#define NONCE_LEN ((size_t)crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
#define TAG_LEN ((size_t)crypto_aead_xchacha20poly1305_ietf_ABYTES)
#define AD_MAX ((size_t)1024 * 1024)
#define TEXT_MAX ((MG_SEAL_MAX + NONCE_LEN + TAG_LEN) / 3 * 4 + 4)

_Static_assert(MG_SEAL_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key length");
_Static_assert(MG_HASH_LEN == crypto_auth_hmacsha256_BYTES, "hash length");

struct mg_seal_key {
  unsigned char bytes[MG_SEAL_KEY_LEN];
};

int mg_crypt_init(void) {
  unsigned char probe[1];
  ssize_t n;
  do n = getrandom(probe, sizeof probe, 0); /* sodium_init aborts without it */
  while (n < 0 && errno == EINTR);
  return n == 1 && sodium_init() >= 0 ? MCPGW_OK : MCPGW_E_IO;
}

/* ---- secret memory ---- */

/* In front of the bytes the caller sees; keeps them aligned for anything. */
union secret_head {
  size_t mapped;
  max_align_t align;
};

void *mg_secret_alloc(size_t len) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (len > SIZE_MAX / 2) return NULL;
  size_t mapped = (sizeof(union secret_head) + len + page - 1) / page * page;
  union secret_head *head = mg_pages_new(mapped);
  if (head == NULL) return NULL;
  if (madvise(head, mapped, MADV_DONTDUMP) != 0) {
    mg_pages_free(head, mapped);
    return NULL;
  }
  head->mapped = mapped;
  return head + 1;
}

void mg_secret_free(void *secret) {
  if (secret == NULL) return;
  union secret_head *head = (union secret_head *)secret - 1;
  size_t mapped = head->mapped;
  sodium_memzero(head, mapped);
  mg_pages_free(head, mapped);
}

void mg_secret_wipe(void *ptr, size_t len) {
  if (len) sodium_memzero(ptr, len);
}

int mg_secret_eq(struct mg_slice a, struct mg_slice b) {
  if (a.len != b.len) return 0;
  return a.len == 0 || sodium_memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* ---- keys ---- */

int mg_seal_key_generate(struct mg_seal_key **out) {
  int rc = mg_crypt_init();
  if (rc != MCPGW_OK) return rc;
  struct mg_seal_key *key = mg_secret_alloc(sizeof *key);
  if (key == NULL) return MCPGW_E_NOMEM;
  rc = mg_random(key->bytes, sizeof key->bytes);
  if (rc != MCPGW_OK) goto out;
  *out = key;
  key = NULL;
out:
  mg_seal_key_free(key);
  return rc;
}

int mg_seal_key_import(struct mg_slice raw, struct mg_seal_key **out) {
  if (raw.len != MG_SEAL_KEY_LEN) return MCPGW_E_INVALID;
  int rc = mg_crypt_init();
  if (rc != MCPGW_OK) return rc;
  struct mg_seal_key *key = mg_secret_alloc(sizeof *key);
  if (key == NULL) return MCPGW_E_NOMEM;
  memcpy(key->bytes, raw.ptr, sizeof key->bytes);
  *out = key;
  return MCPGW_OK;
}

struct mg_slice mg_seal_key_raw(const struct mg_seal_key *key) {
  return mg_slice(key->bytes, sizeof key->bytes);
}

void mg_seal_key_free(struct mg_seal_key *key) {
  mg_secret_free(key);
}

/* ---- seals: base64url(nonce || ciphertext || tag) ---- */

static const unsigned char *bytes_of(struct mg_slice s) {
  return (const unsigned char *)(s.ptr ? s.ptr : "");
}

int mg_seal_new(const struct mg_seal_key *key, struct mg_slice plain, struct mg_slice ad,
                struct mg_buf *out) {
  struct mg_buf raw;
  int rc = MCPGW_E_INTERNAL;
  if (plain.len > MG_SEAL_MAX || ad.len > AD_MAX) return MCPGW_E_LIMIT;
  mg_buf_init(&raw, NONCE_LEN + plain.len + TAG_LEN);
  if ((rc = mg_buf_reserve(&raw, raw.max)) != MCPGW_OK) goto out;
  unsigned char *nonce = (unsigned char *)raw.ptr;
  if ((rc = mg_random(nonce, NONCE_LEN)) != MCPGW_OK) goto out;
  crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_LEN, NULL, bytes_of(plain), plain.len,
                                             bytes_of(ad), ad.len, NULL, nonce, key->bytes);
  raw.len = raw.max;
  rc = mg_base64_encode(out, mg_buf_slice(&raw), 1);
out:
  mg_buf_done(&raw);
  return rc;
}

int mg_seal_open(const struct mg_seal_key *key, struct mg_slice text, struct mg_slice ad,
                 struct mg_buf *out) {
  struct mg_buf raw;
  int rc = MCPGW_E_INTERNAL;
  if (text.len > TEXT_MAX || ad.len > AD_MAX) return MCPGW_E_DENIED;
  mg_buf_init(&raw, TEXT_MAX);
  rc = mg_base64_decode(&raw, text, 1);
  if (rc == MCPGW_E_PARSE || (rc == MCPGW_OK && raw.len < NONCE_LEN + TAG_LEN)) rc = MCPGW_E_DENIED;
  if (rc != MCPGW_OK) goto out;
  size_t len = raw.len - NONCE_LEN - TAG_LEN;
  if ((rc = mg_buf_reserve(out, len)) != MCPGW_OK) goto out;
  unsigned char none[1], *plain = len ? (unsigned char *)out->ptr + out->len : none;
  const unsigned char *nonce = bytes_of(mg_buf_slice(&raw));
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, nonce + NONCE_LEN, len + TAG_LEN,
                                                 bytes_of(ad), ad.len, nonce, key->bytes) != 0) {
    rc = MCPGW_E_DENIED;
    goto out;
  }
  out->len += len;
out:
  mg_buf_done(&raw);
  return rc;
}

/* ---- hashes ---- */

void mg_hash(struct mg_slice key, struct mg_slice data, unsigned char out[MG_HASH_LEN]) {
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, bytes_of(key), key.len);
  crypto_auth_hmacsha256_update(&state, bytes_of(data), data.len);
  crypto_auth_hmacsha256_final(&state, out);
  sodium_memzero(&state, sizeof state);
}

void mg_sha256(struct mg_slice data, unsigned char out[MG_HASH_LEN]) {
  crypto_hash_sha256(out, bytes_of(data), data.len);
}
