/* base/buf: a growing byte buffer born with a ceiling. After a failed append the buffer is sticky:
 * later appends do nothing and mg_buf_rc tells the first failure, so that call chains need one check. */
#ifndef MG_BASE_BUF_H
#define MG_BASE_BUF_H
#include "base/slice.h"

struct mg_buf {
  char *ptr;
  size_t len, cap, max;
  int rc; /* MCPGW_OK, MCPGW_E_NOMEM or MCPGW_E_LIMIT */
};
void mg_buf_init(struct mg_buf *b, size_t max); /* no allocation */
void mg_buf_done(struct mg_buf *b);             /* frees; b may be NULL or zeroed */
void mg_buf_reset(struct mg_buf *b);            /* len 0, rc OK, keeps memory */
int mg_buf_reserve(struct mg_buf *b, size_t extra); /* room for extra bytes more */
int mg_buf_add(struct mg_buf *b, const void *data, size_t len);
static inline int mg_buf_adds(struct mg_buf *b, struct mg_slice s) {
  return mg_buf_add(b, s.ptr, s.len);
}
static inline int mg_buf_addz(struct mg_buf *b, const char *text) {
  return mg_buf_adds(b, mg_slice_z(text));
}
int mg_buf_addc(struct mg_buf *b, char c);
int mg_buf_addu(struct mg_buf *b, uint64_t n); /* decimal */
int mg_buf_addi(struct mg_buf *b, int64_t n);
int mg_buf_json_str(struct mg_buf *b, struct mg_slice s); /* quoted and escaped JSON string; '?' for bytes that are no UTF-8 */
int mg_buf_rc(const struct mg_buf *b);
void mg_buf_drop(struct mg_buf *b, size_t n); /* removes n bytes from the front */
struct mg_slice mg_buf_slice(const struct mg_buf *b);
#endif
