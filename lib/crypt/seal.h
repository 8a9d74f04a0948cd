/* crypt/seal: the libsodium fence: sealed texts, keyed hashes, secret memory. No type of libsodium
 * leaves it. All functions [any]; a key may be read by several threads at once.
 * libsodium calls abort() after its misuse handler returns, so setting that handler would save nobody
 * (and would take the host's): instead every length and the kernel's randomness are checked here first,
 * and no call that can end in misuse is made. */
#ifndef MG_CRYPT_SEAL_H
#define MG_CRYPT_SEAL_H
#include "base/buf.h"

#define MG_SEAL_KEY_LEN 32
#define MG_SEAL_MAX ((size_t)64 * 1024) /* the longest plain text (bytes) */
#define MG_HASH_LEN 32

int mg_crypt_init(void); /* once a process, more do nothing; MCPGW_E_IO: no randomness, no libsodium */

/* Memory for secrets: pages of its own, kept out of core dumps, zero at first, wiped when freed. One
 * costs a page at least: for keys, not for messages. NULL: no memory. NULL may be freed. */
void *mg_secret_alloc(size_t len);
void mg_secret_free(void *secret);
void mg_secret_wipe(void *ptr, size_t len);             /* the compiler may not drop it */
int mg_secret_eq(struct mg_slice a, struct mg_slice b); /* 1 or 0, in a time that tells only the length */

struct mg_seal_key;                                 /* opaque, in secret memory */
int mg_seal_key_generate(struct mg_seal_key **out); /* *out OWNED */
int mg_seal_key_import(struct mg_slice raw,
                       struct mg_seal_key **out);               /* MG_SEAL_KEY_LEN bytes, COPIED; INVALID */
struct mg_slice mg_seal_key_raw(const struct mg_seal_key *key); /* to keep it in a file; BORROWED */
void mg_seal_key_free(struct mg_seal_key *key);                 /* wipes; NULL is fine */

/* Appends to out the base64url text of (nonce, XChaCha20-Poly1305 of plain bound to ad). ad is not in
 * the text: whoever opens it must say it again. LIMIT: plain over MG_SEAL_MAX, ad over 1 MiB
 * or out full; NOMEM, IO. */
int mg_seal_new(const struct mg_seal_key *key, struct mg_slice plain, struct mg_slice ad, struct mg_buf *out);
/* Appends the plain text to out. MCPGW_E_DENIED whatever is wrong with the text, the key or ad: an
 * attacker learns no more. out is unchanged on failure. */
int mg_seal_open(const struct mg_seal_key *key, struct mg_slice text, struct mg_slice ad, struct mg_buf *out);

/* HMAC-SHA-256 of data under a key of any length; plain SHA-256. */
void mg_hash(struct mg_slice key, struct mg_slice data, unsigned char out[MG_HASH_LEN]);
void mg_sha256(struct mg_slice data, unsigned char out[MG_HASH_LEN]);
#endif
