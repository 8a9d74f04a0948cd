/* json/doc: the jansson fence. A small read-only tree for documents the gateway owns (config, JWT
 * claims, key sets), never for payload: numbers are read, not kept. No json_t leaves doc.c. */
#ifndef MG_JSON_DOC_H
#define MG_JSON_DOC_H
#include "base/err.h"
#include "json/scan.h"

#define MG_DOC_MAX ((size_t)8 * 1024 * 1024) /* longest text accepted, bytes */

struct mg_doc;  /* owns the tree */
struct mg_node; /* a value inside; BORROWED from its mg_doc until mg_doc_free */

/* Parses text, whose root must be an object or an array. Refused besides bad JSON: a key twice in one
 * object, nesting beyond MG_JSON_DEPTH, integers outside int64, reals outside double, NUL in strings.
 * MCPGW_E_PARSE with err "line 3, column 7: ..." (columns count bytes from 1; the document's text is never
 * quoted: it may hold secrets), MCPGW_E_LIMIT or MCPGW_E_NOMEM. err may be NULL. */
int mg_doc_parse(struct mg_doc **out, struct mg_slice text, struct mg_err *err);
void mg_doc_free(struct mg_doc *d); /* NULL is fine */
const struct mg_node *mg_doc_root(const struct mg_doc *d);

/* Every accessor takes a NULL node (it is of type MG_JSON_NONE), so that lookups can be chained. */
int mg_node_type(const struct mg_node *v);     /* enum mg_json_type */
size_t mg_node_count(const struct mg_node *v); /* members or items; 0 of anything else */
const struct mg_node *mg_node_get(const struct mg_node *object, const char *key); /* NULL: not there */
const struct mg_node *mg_node_at(const struct mg_node *array, size_t index);      /* NULL: past the end */
/* Members in the order of the text: `void *it = NULL; while (mg_node_next(obj, &it, &key, &value)) ...`.
 * The key is BORROWED like the node and NUL-terminated. Returns 1, or 0 at the end (it is NULL again). */
int mg_node_next(const struct mg_node *object, void **it, struct mg_slice *key, const struct mg_node **value);

/* MCPGW_OK, or MCPGW_E_INVALID when the node is not of that type (*out untouched). */
int mg_node_str(const struct mg_node *v, struct mg_slice *out); /* unescaped; BORROWED; NUL-terminated */
int mg_node_i64(const struct mg_node *v, int64_t *out);         /* 1.0 is not an integer */
int mg_node_real(const struct mg_node *v, double *out);         /* any number */
int mg_node_bool(const struct mg_node *v, int *out);            /* 1 or 0 */
#endif
