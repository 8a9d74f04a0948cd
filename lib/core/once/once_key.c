/* core/once/once_key: owns where a key is looked for: params.idempotencyKey, the header Idempotency-Key (a structured-field
 * string; a bare token is tolerated), _meta["dev.mcpgw/idempotency-key"]. Must never take one place's word against
 * another's: those that are there agree, or the call is refused. */
#include "core/once/once_key.h"

#define ESCAPED 6 /* bytes that one byte of a key may take in JSON, and more than in a header */
static const char length[] = "an idempotency key has 1 to 255 bytes";

static int bad(const char **why, const char *text) {
  *why = text;
  return MCPGW_E_INVALID;
}

/* All of it at once: what has been found must not move. */
static int room(struct mg_buf *text) {
  return text->cap ? MCPGW_OK : mg_buf_reserve(text, text->max);
}

/* RFC 8941, section 4.2.5, without parameters. */
static int quoted(struct mg_slice v, struct mg_buf *text) {
  size_t i = 1;
  for (; i < v.len && v.ptr[i] != '"'; i++) {
    if (v.ptr[i] == '\\' && (++i == v.len || (v.ptr[i] != '"' && v.ptr[i] != '\\'))) return MCPGW_E_PARSE;
    if ((unsigned char)v.ptr[i] < 0x20 || (unsigned char)v.ptr[i] > 0x7E) return MCPGW_E_PARSE;
    mg_buf_addc(text, v.ptr[i]);
  }
  if (i + 1 != v.len) return MCPGW_E_PARSE;
  return mg_buf_rc(text);
}

static int bare(struct mg_slice v) {
  for (size_t i = 0; i < v.len; i++)
    if ((unsigned char)v.ptr[i] < 0x21 || (unsigned char)v.ptr[i] > 0x7E || v.ptr[i] == '"' || v.ptr[i] == ',' || v.ptr[i] == ';') return 0;
  return v.len > 0;
}

static int from_header(const struct mg_call *call, struct mg_buf *text, struct mg_slice *key, const char **why) {
  size_t count = 0, start = text->len;
  struct mg_slice v = call->header ? call->header(call->header_arg, "Idempotency-Key", &count) : mg_slice(NULL, 0);
  if (!count) return MCPGW_E_NOT_FOUND;
  if (count > 1) return bad(why, "the header Idempotency-Key stands there twice");
  if (v.len > ESCAPED * MCPGW_IDEMPOTENCY_KEY_MAX) return bad(why, length);
  if (v.len && v.ptr[0] == '"') {
    if (room(text) != MCPGW_OK) return bad(why, "out of memory");
    if (quoted(v, text) != MCPGW_OK) return bad(why, "the header Idempotency-Key is no structured-field string");
    *key = mg_slice_sub(mg_buf_slice(text), start, text->len);
    return MCPGW_OK;
  }
  *key = v;
  return bare(v) ? MCPGW_OK : bad(why, "the header Idempotency-Key is no structured-field string and no token");
}

static int from_slot(const struct mg_msg *m, int slot, struct mg_buf *text, struct mg_slice *key, const char **why) {
  if (m->s[slot].type == MG_JSON_NONE) return MCPGW_E_NOT_FOUND;
  if (m->s[slot].type == MG_JSON_STRING && mg_msg_inner(m, slot).len > ESCAPED * MCPGW_IDEMPOTENCY_KEY_MAX) return bad(why, length);
  if (m->s[slot].escaped && room(text) != MCPGW_OK) return bad(why, "out of memory");
  if (mg_msg_text(m, slot, text, key) != MCPGW_OK) return bad(why, "an idempotency key is a string");
  return MCPGW_OK;
}

int mg_once_find_key(const struct mg_call *call, const struct mg_msg *m, struct mg_buf *text, struct mg_slice *key, const char **why) {
  struct mg_slice v;
  int found = 0, slots[] = {MG_S_IDEMPOTENCY, -1, MG_S_META_IDEMPOTENCY};
  for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
    int rc = slots[i] < 0 ? from_header(call, text, &v, why) : from_slot(m, slots[i], text, &v, why);
    if (rc == MCPGW_E_NOT_FOUND) continue;
    if (rc != MCPGW_OK) return rc;
    if (!v.len || v.len > MCPGW_IDEMPOTENCY_KEY_MAX) return bad(why, length);
    if (found && !mg_slice_eq(v, *key)) return bad(why, "the idempotency keys of header and body differ");
    *key = v;
    found = 1;
  }
  return found ? MCPGW_OK : MCPGW_E_NOT_FOUND;
}
