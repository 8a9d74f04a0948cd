/* json/doc: the jansson fence. Owns the only json_t of the library and hands out read-only views of it.
 * It must never see payload, never quote a document in an error, and never let a json_t out.
 * jansson allocates with malloc, not by base/mem: json_set_alloc_funcs is one setting for the whole
 * process, and the host that links us may use jansson itself. So the size and depth of what goes in are
 * bounded here before jansson sees it, and its running out of memory is an error code like any other. */
#include "json/doc.h"

#include <jansson.h>

#include "base/mem.h"

struct mg_doc {
  json_t *root; /* OWNED */
};

static const json_t *tree(const struct mg_node *v) {
  return (const json_t *)v;
}

static const struct mg_node *node(const json_t *v) {
  return (const struct mg_node *)v;
}

/* jansson's accessors want a json_t they may write to, though these do not. */
static json_t *loose(const struct mg_node *v) {
  return (json_t *)(uintptr_t)v;
}

/* ---- parsing ----------------------------------------------------------------------------------------- */

static int fault(struct mg_err *err, struct mg_slice text, size_t at, const char *what) {
  unsigned long line = 1, column = 1;
  for (size_t i = 0; i < at && i < text.len; i++) {
    column = text.ptr[i] == '\n' ? 1 : column + 1;
    line += text.ptr[i] == '\n';
  }
  return mg_err_set(err, MCPGW_E_PARSE, "line %lu, column %lu: %s", line, column, what);
}

/* What jansson can still object to in text that the scanner passed. Where it names a position, that is
 * behind the token; its text quotes the document and stays here. */
static int jansson_fault(struct mg_err *err, struct mg_slice text, const json_error_t *e) {
  size_t at = e->position > 0 ? (size_t)e->position - 1 : 0;
  switch (json_error_code(e)) {
  case json_error_out_of_memory:
    return mg_err_set(err, MCPGW_E_NOMEM, "out of memory while reading the document");
  case json_error_duplicate_key:
    return fault(err, text, at, "this key occurs twice in its object; remove one");
  case json_error_numeric_overflow:
    return fault(err, text, at, "number out of range");
  case json_error_null_character:
  case json_error_null_byte_in_key:
    return fault(err, text, at, "a string must not contain \\u0000");
  case json_error_invalid_utf8:
    return fault(err, text, at, mg_scan_strerror(MG_SCAN_UTF8));
  default:
    return fault(err, text, at, mg_scan_strerror(MG_SCAN_SYNTAX)); /* a lone surrogate */
  }
}

static int check(struct mg_slice text, struct mg_err *err) {
  struct mg_scan_result why;
  if (text.len > MG_DOC_MAX)
    return mg_err_set(err, MCPGW_E_LIMIT, "the document is longer than %zu bytes", MG_DOC_MAX);
  if (mg_json_scan(text, NULL, NULL, 0, NULL, &why) == MCPGW_OK) return MCPGW_OK;
  return fault(err, text, why.at, mg_scan_strerror(why.error));
}

int mg_doc_parse(struct mg_doc **out, struct mg_slice text, struct mg_err *err) {
  json_error_t e;
  int rc = check(text, err);
  if (rc != MCPGW_OK) return rc;
  struct mg_doc *d = mg_calloc(1, sizeof *d);
  if (!d) return mg_err_set(err, MCPGW_E_NOMEM, "out of memory while reading the document");
  d->root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &e);
  if (!d->root) {
    rc = jansson_fault(err, text, &e);
    mg_free(d);
    return rc;
  }
  *out = d;
  return MCPGW_OK;
}

void mg_doc_free(struct mg_doc *d) {
  if (!d) return;
  json_decref(d->root);
  mg_free(d);
}

const struct mg_node *mg_doc_root(const struct mg_doc *d) {
  return d ? node(d->root) : NULL;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

int mg_node_type(const struct mg_node *v) {
  if (!v) return MG_JSON_NONE;
  switch (json_typeof(tree(v))) {
  case JSON_OBJECT:
    return MG_JSON_OBJECT;
  case JSON_ARRAY:
    return MG_JSON_ARRAY;
  case JSON_STRING:
    return MG_JSON_STRING;
  case JSON_INTEGER:
  case JSON_REAL:
    return MG_JSON_NUMBER;
  case JSON_TRUE:
    return MG_JSON_TRUE;
  case JSON_FALSE:
    return MG_JSON_FALSE;
  case JSON_NULL:
    return MG_JSON_NULL;
  }
  return MG_JSON_NONE;
}

size_t mg_node_count(const struct mg_node *v) {
  /* Both give 0 for NULL and for other types. */
  return json_is_object(tree(v)) ? json_object_size(tree(v)) : json_array_size(tree(v));
}

const struct mg_node *mg_node_get(const struct mg_node *object, const char *key) {
  return node(json_object_get(tree(object), key));
}

const struct mg_node *mg_node_at(const struct mg_node *array, size_t index) {
  return node(json_array_get(tree(array), index));
}

int mg_node_next(const struct mg_node *object, void **it, struct mg_slice *key,
                 const struct mg_node **value) {
  if (!json_is_object(tree(object))) return 0;
  *it = *it ? json_object_iter_next(loose(object), *it) : json_object_iter(loose(object));
  if (!*it) return 0;
  *key = mg_slice_z(json_object_iter_key(*it));
  *value = node(json_object_iter_value(*it));
  return 1;
}

int mg_node_str(const struct mg_node *v, struct mg_slice *out) {
  if (!json_is_string(tree(v))) return MCPGW_E_INVALID;
  *out = mg_slice(json_string_value(tree(v)), json_string_length(tree(v)));
  return MCPGW_OK;
}

int mg_node_i64(const struct mg_node *v, int64_t *out) {
  if (!json_is_integer(tree(v))) return MCPGW_E_INVALID;
  *out = json_integer_value(tree(v));
  return MCPGW_OK;
}

int mg_node_real(const struct mg_node *v, double *out) {
  if (!json_is_number(tree(v))) return MCPGW_E_INVALID;
  *out = json_number_value(tree(v));
  return MCPGW_OK;
}

int mg_node_bool(const struct mg_node *v, int *out) {
  if (!json_is_boolean(tree(v))) return MCPGW_E_INVALID;
  *out = json_is_true(tree(v));
  return MCPGW_OK;
}
