/* core/once/once_key: where a client may put its idempotency key. Only once.c includes it. */
#ifndef MG_CORE_ONCE_KEY_H
#define MG_CORE_ONCE_KEY_H
#include "core/brain.h"

/* MCPGW_OK; NOT_FOUND: there is none; INVALID: *why says what is wrong with it. *key lies in the message or in text. */
int mg_once_find_key(const struct mg_call *call, const struct mg_msg *m, struct mg_buf *text, struct mg_slice *key, const char **why);
#endif
