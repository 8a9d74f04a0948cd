/* store: records on disk. The room's functions are <mcpgw/store.h>'s with slices; the doors check arguments.
 * LMDB is behind a table (mcpgw_store_ops), so that another backend is another table. */
#ifndef MG_STORE_STORE_H
#define MG_STORE_STORE_H
#include "base/err.h"
#include "base/slice.h"
#include "mcpgw/store.h"

int mg_store_new(mcpgw_store **out);
mcpgw_store *mg_store_ref(mcpgw_store *s);
void mg_store_unref(mcpgw_store *s);
int mg_store_open(mcpgw_store *s, struct mg_slice path, const mcpgw_store_options *o);
int mg_store_open_custom(mcpgw_store *s, const mcpgw_store_ops *ops, void *backend);
const char *mg_store_error(const mcpgw_store *s);
int mg_store_get(mcpgw_store *s, uint32_t kind, struct mg_slice key, mcpgw_store_cb cb, void *arg);
int mg_store_scan(mcpgw_store *s, uint32_t kind, struct mg_slice prefix, mcpgw_store_cb cb, void *arg);
/* op: MCPGW_STORE_PUT …; cb NULL: nobody waits. */
int mg_store_write(mcpgw_store *s, uint32_t op, uint32_t flags, const mcpgw_record *r, mcpgw_store_cb cb, void *arg);
const void *mg_store_identity(const mcpgw_store *s); /* the same for handles on the same records */
int mg_store_stats(mcpgw_store *s, char **out);
int mg_store_check(mcpgw_store *s, char **out);
int mg_store_compact(mcpgw_store *s, struct mg_slice path);
#endif
