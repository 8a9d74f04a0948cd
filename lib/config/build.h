/* config/build: private to the room. What a snapshot is made with: its arena, where in the document we
 * are, what to say when something is wrong, and the table of keys. Tests read the table too. */
#ifndef MG_CONFIG_BUILD_H
#define MG_CONFIG_BUILD_H
#include "base/buf.h"
#include "base/map.h"
#include "config/config.h"
#include "json/doc.h"
#include <stdatomic.h>

/* Ceilings. They are documented in mcpgw.conf(5). */
#define MG_CFG_DOC_BYTES ((size_t)1024 * 1024)
#define MG_CFG_ENVFILE_BYTES ((size_t)64 * 1024)
#define MG_CFG_TEXT_BYTES ((size_t)64 * 1024) /* one string after expansion */
#define MG_CFG_ARENA_BYTES ((size_t)64 * 1024 * 1024)
#define MG_CFG_SERVERS 1000
#define MG_CFG_NAME_BYTES 128 /* a server's key */
#define MG_CFG_ARGS 1000
#define MG_CFG_ENV 1000
#define MG_CFG_HEADERS 100
#define MG_CFG_TOOLS 1000
#define MG_CFG_GLOB_BYTES 256
#define MG_CFG_NOTES 1000
#define MG_CFG_PATH_TEXT 200
#define MG_CFG_LOCK_BYTES ((size_t)16 * 1024 * 1024)
#define MG_CFG_PINS 100000

/* ---- the snapshot and its arena (build.c) ----------------------------------------------------------- */
struct mg_cfg_chunk;
struct mg_cfg_snap {
  struct mg_config pub; /* first member: a struct mg_config * is a struct mg_cfg_snap * */
  atomic_uint refs;
  struct mg_cfg_chunk *chunks; /* newest first; every string and array of pub lives in one of them */
  size_t arena_bytes;
  struct mg_cfg_server *servers; /* what pub.servers points to, while it may still grow */
  struct mg_cfg_note *notes;
  size_t cap_servers, cap_notes;
  struct mg_map *pins; /* see pin.c; NULL: no lock file */
};
struct mg_cfg_snap *mg_config_snap(struct mg_config *c);
void *mg_config_alloc(struct mg_cfg_snap *s,
                      size_t size); /* zeroed; NULL: no memory, or the arena's ceiling */
char *mg_config_dup(struct mg_cfg_snap *s, struct mg_slice text);
char *mg_config_join(struct mg_cfg_snap *s, struct mg_slice a, const char *mid, struct mg_slice b);
void mg_config_release(struct mg_cfg_snap *s); /* wipes (secrets may be inside) and frees */
int mg_config_add_server(struct mg_cfg_snap *s, struct mg_cfg_server **out); /* with defaults; nameless */

/* A NULL-terminated list in the arena. v is never NULL once something was added. */
struct mg_cfg_list {
  const char **v;
  size_t n, cap;
};
int mg_config_list_add(struct mg_cfg_snap *s, struct mg_cfg_list *l, const char *text);
const char *const *mg_config_list_v(const struct mg_cfg_list *l); /* an empty list when nothing was added */

/* ---- one parse -------------------------------------------------------------------------------------- */
struct mg_cfg_build {
  struct mg_cfg_snap *snap;
  const char *const *env; /* NAME=value for ${VAR}; may be NULL */
  const char *base_dir;   /* or NULL */
  struct mg_err *err;
  struct mg_buf scratch; /* where strings are expanded; wiped at the end */
};
/* env and base_dir stay NULL. done wipes the scratch, not the snapshot. */
void mg_config_build_init(struct mg_cfg_build *b, struct mg_config *c, struct mg_err *err);
void mg_config_build_done(struct mg_cfg_build *b);
/* Where we are in the document: a chain of frames on the C stack, printed only when needed. */
struct mg_cfg_at {
  const struct mg_cfg_at *up;
  struct mg_slice key; /* NULL ptr: an array item */
  size_t index;
};
struct mg_cfg_at mg_config_at_key(const struct mg_cfg_at *up, struct mg_slice key);
struct mg_cfg_at mg_config_at_item(const struct mg_cfg_at *up, size_t index);
void mg_config_at_text(const struct mg_cfg_at *at, char out[MG_CFG_PATH_TEXT]);
/* Sets "path: text" and returns MCPGW_E_CONFIG. Never pass a value that may be a secret. */
int mg_config_fail(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Out of memory, or the arena is full: says which. */
int mg_config_fail_mem(struct mg_cfg_build *b, const struct mg_cfg_at *at);
int mg_config_note(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- keys (keys.c) ---------------------------------------------------------------------------------- */
enum mg_cfg_kind {
  MG_KEY_UINT = 1, /* uint64_t, min..max */
  MG_KEY_BOOL,     /* int */
  MG_KEY_WORD,     /* int, one of words */
  MG_KEY_TEXT,     /* const char *, expanded, checked by bad */
  MG_KEY_LIST,     /* const char *const *, at most max items, each like TEXT */
  MG_KEY_OBJECT,   /* inner keys, at off */
  MG_KEY_TOOLS,    /* mg_cfg_tool array of a server */
  MG_KEY_EMPTY     /* belongs to a later version: must be an empty object */
};
struct mg_cfg_word {
  const char *text;
  int value;
};
struct mg_cfg_table;
struct mg_cfg_key {
  const char *name;
  int kind;
  size_t off; /* in the struct the table describes */
  uint64_t min, max, def;
  const char *text;                /* default of TEXT and LIST (one item), or NULL */
  const struct mg_cfg_word *words; /* ends with a NULL text */
  const struct mg_cfg_table *inner;
  const char *(*bad)(struct mg_slice value); /* NULL: fine, else what is wrong */
  int later;                                 /* read and checked, but nothing uses it yet: a note says so */
};
struct mg_cfg_table {
  const struct mg_cfg_key *keys;
  size_t n;
};
extern const struct mg_cfg_table mg_config_gateway_keys; /* struct mg_config */
extern const struct mg_cfg_table mg_config_server_keys;  /* struct mg_cfg_server: its "gateway" object */
extern const struct mg_cfg_table mg_config_tool_keys;    /* struct mg_cfg_tool */
extern const char *const mg_config_entry_keys[]; /* the ecosystem's keys of a server; NULL-terminated */

int mg_config_defaults(struct mg_cfg_snap *s, const struct mg_cfg_table *t, void *base);
int mg_config_read(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_table *t,
                   const struct mg_node *node, void *base);
int mg_config_same(const struct mg_cfg_table *t, const void *a, const void *b); /* same.c: 1 or 0 */
const struct mg_cfg_key *mg_config_find(const struct mg_cfg_table *t, struct mg_slice name);
/* How many edits (insert, drop, replace, swap neighbours; case folded) lead from a to b. */
size_t mg_config_distance(struct mg_slice a, const char *b);
/* 1 when candidate is so near to name that it was probably meant; best is lowered to its distance. */
int mg_config_nearer(struct mg_slice name, const char *candidate, size_t *best);

/* ---- servers (server.c), environment (env.c), ${VAR} (expand.c) -------------------------------------- */
int mg_config_read_servers(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node);
void mg_config_set_kind(struct mg_cfg_server *sv, int kind); /* and the limits that are its kind's */
int mg_config_name_server(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_server *sv,
                          struct mg_slice name);
int mg_config_add_header(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_cfg_list *l,
                         struct mg_slice name, struct mg_slice value);

const char *mg_config_getenv(const char *const *env, struct mg_slice name); /* the value, or NULL */
int mg_config_child_env(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *entry,
                        struct mg_cfg_server *sv);
/* The lines of an envFile set (or replace) entries of l. */
int mg_config_dotenv(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice text,
                     struct mg_cfg_list *l);
/* A file of at most max bytes appended to out; regular: nothing but a regular file. On failure *why is a
 * short text (a constant or in text). */
int mg_config_slurp(const char *path, size_t max, int regular, struct mg_buf *out, char why[128]);

/* Expands ${VAR}, ${VAR:-default}, ${env:VAR} into the arena. */
int mg_config_expand(struct mg_cfg_build *b, const struct mg_cfg_at *at, struct mg_slice text,
                     const char **out);
/* The same for a node that must be a string, and for one that must be a path (relative to base_dir). */
int mg_config_text(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node,
                   const char **out);
int mg_config_file_name(struct mg_cfg_build *b, const struct mg_cfg_at *at, const char *name,
                        const char **out);

/* gateway.admin, once it has been read (admin.c) */
int mg_config_settle_admin(struct mg_cfg_build *b, const struct mg_cfg_at *gateway);
const char *mg_config_bad_token(struct mg_slice token);

/* ---- checks (check.c): NULL when fine, else what is wrong and what to do ----------------------------- */
const char *mg_config_bad_url(struct mg_slice url);
const char *mg_config_bad_public_url(struct mg_slice url);
const char *mg_config_bad_listen(struct mg_slice addr);
const char *mg_config_bad_host(struct mg_slice host);
const char *mg_config_bad_origin(struct mg_slice origin);
const char *mg_config_bad_separator(struct mg_slice text);
const char *mg_config_bad_user(struct mg_slice user);
const char *mg_config_bad_path(struct mg_slice path);
const char *mg_config_bad_header(struct mg_slice name, struct mg_slice value);
int mg_config_loopback(struct mg_slice addr); /* of a listen address that is not bad */
#endif
