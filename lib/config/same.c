/* config/same: owns the question whether two snapshots say the same about a server, which decides what a reload
 * leaves alone. It reads the table of keys, so that a new key counts without being named here. */
#include <string.h>

#include "config/build.h"

static int same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static int same_list(const char *const *a, const char *const *b) {
  if (!a || !b) return a == b;
  while (*a && *b && strcmp(*a, *b) == 0) a++, b++;
  return !*a && !*b;
}

#define AT(type, base, key) (*(type *)(void *)((char *)(uintptr_t)(base) + (key)->off))

static int same_tools(const struct mg_cfg_table *t, const struct mg_cfg_server *a, const struct mg_cfg_server *b) {
  if (a->n_tools != b->n_tools) return 0;
  for (size_t i = 0; i < a->n_tools; i++)
    if (!same_text(a->tools[i].glob, b->tools[i].glob) || !mg_config_same(t, &a->tools[i], &b->tools[i])) return 0;
  return 1;
}

static int same_value(const struct mg_cfg_key *k, const void *a, const void *b) {
  switch (k->kind) {
  case MG_KEY_UINT: return AT(uint64_t, a, k) == AT(uint64_t, b, k);
  case MG_KEY_BOOL:
  case MG_KEY_WORD: return AT(int, a, k) == AT(int, b, k);
  case MG_KEY_TEXT: return same_text(AT(const char *, a, k), AT(const char *, b, k));
  case MG_KEY_LIST: return same_list(AT(const char *const *, a, k), AT(const char *const *, b, k));
  case MG_KEY_OBJECT: return mg_config_same(k->inner, (const char *)a + k->off, (const char *)b + k->off);
  case MG_KEY_TOOLS: return same_tools(k->inner, a, b);
  default: return 1; /* an empty object */
  }
}

int mg_config_same(const struct mg_cfg_table *t, const void *a, const void *b) {
  for (size_t i = 0; i < t->n; i++)
    if (!same_value(&t->keys[i], a, b)) return 0;
  return 1;
}

int mg_config_same_server(const struct mg_cfg_server *a, const struct mg_cfg_server *b) {
  return same_text(a->name, b->name) && same_text(a->slug, b->slug) && a->kind == b->kind && same_list(a->argv, b->argv) &&
         same_list(a->env, b->env) && same_text(a->cwd, b->cwd) && same_text(a->url, b->url) &&
         same_list(a->headers, b->headers) && mg_config_same(&mg_config_server_keys, a, b);
}

int mg_config_same_key(const struct mg_config *a, const struct mg_config *b, const char *name) {
  const struct mg_cfg_key *k = mg_config_find(&mg_config_gateway_keys, mg_slice_z(name));
  return k && same_value(k, a, b);
}
