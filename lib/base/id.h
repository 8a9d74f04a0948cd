/* base/id: opaque 128-bit random ids as 32 lower-case hex digits, and base64url/base64. */
#ifndef MG_BASE_ID_H
#define MG_BASE_ID_H
#include "base/buf.h"

#define MG_ID_LEN 32
int mg_id_new(char out[MG_ID_LEN + 1]); /* MCPGW_E_IO: no randomness */
int mg_base64_encode(struct mg_buf *out, struct mg_slice in, int url);
/* Strict: right alphabet, right padding (none for url), zero trailing bits. MCPGW_E_PARSE else. */
int mg_base64_decode(struct mg_buf *out, struct mg_slice in, int url);
int mg_utf8_valid(struct mg_slice s); /* 1 or 0; RFC 3629 */
#endif
