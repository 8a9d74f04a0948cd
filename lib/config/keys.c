/* config/keys: the one table of what a "gateway" object may hold: names, ranges, defaults. The parser, the
 * defaults, the JSON Schema's test and the manual's test all read it. A key that is not here is an error
 * with the nearest known name; nothing else may read gateway objects. */
#include "base/log.h"
#include "config/build.h"
#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)
#define HOUR_MS ((uint64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)

#define AT(type, member) .off = offsetof(struct type, member)
#define UINT(n, type, member, lo, hi, ...) \
  { .name = n, .kind = MG_KEY_UINT, AT(type, member), .min = lo, .max = hi, .def = __VA_ARGS__ }
#define BOOL(n, type, member, ...) \
  { .name = n, .kind = MG_KEY_BOOL, AT(type, member), .def = __VA_ARGS__ }
#define WORD(n, type, member, w, ...) \
  { .name = n, .kind = MG_KEY_WORD, AT(type, member), .words = w, .def = __VA_ARGS__ }
#define TEXT(n, type, member, check, ...) \
  { .name = n, .kind = MG_KEY_TEXT, AT(type, member), .bad = check, .text = __VA_ARGS__ }
#define LIST(n, type, member, check, items, d) \
  { .name = n, .kind = MG_KEY_LIST, AT(type, member), .bad = check, .max = items, .text = d }
#define TABLE(name, keys) static const struct mg_cfg_table name = {keys, sizeof keys / sizeof *keys}

/* ---- a server's "gateway" --------------------------------------------------------------------------- */
static const struct mg_cfg_word era_words[] = {
    {"auto", MG_ERA_AUTO}, {"legacy", MG_ERA_LEGACY}, {"modern", MG_ERA_MODERN}, {NULL, 0}};
static const struct mg_cfg_word isolation_words[] = {
    {"session", MG_ISO_SESSION}, {"principal", MG_ISO_PRINCIPAL}, {"shared", MG_ISO_SHARED}, {NULL, 0}};
static const struct mg_cfg_word effect_words[] = {
    {"once", MG_EFFECT_ONCE}, {"idempotent", MG_EFFECT_IDEMPOTENT}, {"read", MG_EFFECT_READ}, {NULL, 0}};

static const struct mg_cfg_key timeouts_keys[] = {
    UINT("connect_ms", mg_cfg_timeouts, connect_ms, 1, HOUR_MS, 5000),
    UINT("list_ms", mg_cfg_timeouts, list_ms, 1, HOUR_MS, 15000),
    UINT("first_byte_ms", mg_cfg_timeouts, first_byte_ms, 0, DAY_MS, 0),
    UINT("idle_ms", mg_cfg_timeouts, idle_ms, 0, DAY_MS, 0),
    UINT("total_ms", mg_cfg_timeouts, total_ms, 1, DAY_MS, 300000)};
TABLE(timeouts, timeouts_keys);
static const struct mg_cfg_key limits_keys[] = {
    UINT("concurrency", mg_cfg_limits, concurrency, 1, 10000, 16),
    UINT("queue", mg_cfg_limits, queue, 0, 100000, 64),
    UINT("children", mg_cfg_limits, children, 1, 10000, 32),
    UINT("links", mg_cfg_limits, links, 1, 1000000, 20000),
    UINT("result_bytes", mg_cfg_limits, result_bytes, 1024, GIB, 32 * MIB),
    UINT("memory_bytes", mg_cfg_limits, memory_bytes, 0, 1024 * GIB, 0),
    UINT("cpu_s", mg_cfg_limits, cpu_s, 0, 31 * DAY_MS / 1000, 0),
    UINT("files", mg_cfg_limits, files, 0, 1048576, 0)};
TABLE(limits, limits_keys);
static const struct mg_cfg_key breaker_keys[] = {
    BOOL("enabled", mg_cfg_breaker, enabled, 1),
    UINT("window_ms", mg_cfg_breaker, window_ms, 100, HOUR_MS, 30000),
    UINT("min_calls", mg_cfg_breaker, min_calls, 1, 1000000, 20),
    UINT("failure_percent", mg_cfg_breaker, failure_percent, 1, 100, 50),
    UINT("open_ms", mg_cfg_breaker, open_ms, 10, HOUR_MS, 5000)};
TABLE(breaker, breaker_keys);
static const struct mg_cfg_key retries_keys[] = {
    UINT("attempts", mg_cfg_retries, attempts, 1, 10, 3),
    UINT("budget_percent", mg_cfg_retries, budget_percent, 0, 100, 20),
    UINT("base_ms", mg_cfg_retries, base_ms, 1, 60000, 100)};
TABLE(retries, retries_keys);
/* Of one tool: 0 stands for "as the server", so it cannot be written. */
static const struct mg_cfg_key tool_timeouts_keys[] = {
    UINT("connect_ms", mg_cfg_timeouts, connect_ms, 1, HOUR_MS, 0),
    UINT("first_byte_ms", mg_cfg_timeouts, first_byte_ms, 1, DAY_MS, 0),
    UINT("idle_ms", mg_cfg_timeouts, idle_ms, 1, DAY_MS, 0),
    UINT("total_ms", mg_cfg_timeouts, total_ms, 1, DAY_MS, 0)};
TABLE(tool_timeouts, tool_timeouts_keys);
static const struct mg_cfg_key tool_limits_keys[] = {
    UINT("concurrency", mg_cfg_limits, concurrency, 1, 10000, 0),
    UINT("queue", mg_cfg_limits, queue, 1, 100000, 0),
    UINT("result_bytes", mg_cfg_limits, result_bytes, 1024, GIB, 0)};
TABLE(tool_limits, tool_limits_keys);

static const struct mg_cfg_key tool_keys[] = {
    WORD("effect", mg_cfg_tool, effect, effect_words, MG_EFFECT_UNSET),
    {.name = "timeouts", .kind = MG_KEY_OBJECT, AT(mg_cfg_tool, timeouts), .inner = &tool_timeouts},
    {.name = "limits", .kind = MG_KEY_OBJECT, AT(mg_cfg_tool, limits), .inner = &tool_limits}};
const struct mg_cfg_table mg_config_tool_keys = {tool_keys, sizeof tool_keys / sizeof *tool_keys};

static const struct mg_cfg_key server_keys[] = {
    WORD("era", mg_cfg_server, era, era_words, MG_ERA_AUTO),
    WORD("isolation", mg_cfg_server, isolation, isolation_words, MG_ISO_DEFAULT),
    BOOL("stateful", mg_cfg_server, stateful, 1),
    TEXT("user", mg_cfg_server, user, mg_config_bad_user, NULL),
    BOOL("trust_annotations", mg_cfg_server, trust_annotations, 0),
    {.name = "timeouts", .kind = MG_KEY_OBJECT, AT(mg_cfg_server, timeouts), .inner = &timeouts},
    {.name = "limits", .kind = MG_KEY_OBJECT, AT(mg_cfg_server, limits), .inner = &limits},
    {.name = "breaker", .kind = MG_KEY_OBJECT, AT(mg_cfg_server, breaker), .inner = &breaker},
    {.name = "retries", .kind = MG_KEY_OBJECT, AT(mg_cfg_server, retries), .inner = &retries},
    {.name = "tools", .kind = MG_KEY_TOOLS, AT(mg_cfg_server, tools), .inner = &mg_config_tool_keys},
    {.name = "auth", .kind = MG_KEY_EMPTY}};
const struct mg_cfg_table mg_config_server_keys = {server_keys, sizeof server_keys / sizeof *server_keys};

/* ---- the "gateway" object --------------------------------------------------------------------------- */
static const struct mg_cfg_word no_handle_words[] = {{"principal", MG_NO_HANDLE_PRINCIPAL},
                                                     {"fresh", MG_NO_HANDLE_FRESH},
                                                     {"refuse", MG_NO_HANDLE_REFUSE},
                                                     {NULL, 0}};
static const struct mg_cfg_word durability_words[] = {{"sync", 1}, {"async", 0}, {NULL, 0}};
static const struct mg_cfg_word level_words[] = {{"error", MG_LOG_ERROR},
                                                 {"warn", MG_LOG_WARN},
                                                 {"info", MG_LOG_INFO},
                                                 {"debug", MG_LOG_DEBUG},
                                                 {NULL, 0}};

/* These tables' offsets count from struct mg_config, whose inner structs have no names of their own. */
static const struct mg_cfg_key rate_keys[] = {
    UINT("burst", mg_config, limits.rate.burst, 1, 1000000, 50),
    UINT("per_s", mg_config, limits.rate.per_s, 0, 1000000, 0)};
TABLE(rate, rate_keys);
static const struct mg_cfg_key gateway_limits_keys[] = {
    UINT("body_bytes", mg_config, limits.body_bytes, 1024, GIB, 4 * MIB),
    UINT("header_bytes", mg_config, limits.header_bytes, 1024, MIB, 32768),
    UINT("connections", mg_config, limits.connections, 1, 1000000, 20000),
    UINT("memory_bytes", mg_config, limits.memory_bytes, MIB, 1024 * GIB, 256 * MIB),
    {.name = "rate", .kind = MG_KEY_OBJECT, .inner = &rate}};
TABLE(gateway_limits, gateway_limits_keys);
static const struct mg_cfg_key contexts_keys[] = {
    UINT("idle_ms", mg_config, contexts.idle_ms, 1, 31 * DAY_MS, 30 * 60 * 1000),
    UINT("absolute_ms", mg_config, contexts.absolute_ms, 1, 31 * DAY_MS, 12 * HOUR_MS),
    UINT("max", mg_config, contexts.max, 1, 10000000, 100000),
    UINT("max_per_principal", mg_config, contexts.max_per_principal, 1, 10000000, 20000),
    WORD("no_handle", mg_config, contexts.no_handle, no_handle_words, MG_NO_HANDLE_PRINCIPAL)};
TABLE(contexts, contexts_keys);
static const struct mg_cfg_key idempotency_keys[] = {
    WORD("durability", mg_config, idempotency.sync, durability_words, 1),
    UINT("ttl_ms", mg_config, idempotency.ttl_ms, 1, 31 * DAY_MS, DAY_MS),
    UINT("max_bytes", mg_config, idempotency.max_bytes, 0, 64 * MIB, MIB)};
TABLE(idempotency, idempotency_keys);
static const struct mg_cfg_key store_keys[] = {
    UINT("quota_bytes", mg_config, store_quota_bytes, MIB, 64 * GIB, 4 * GIB)};
TABLE(store, store_keys);
static const struct mg_cfg_word pin_words[] = {
    {"off", MG_PIN_OFF}, {"warn", MG_PIN_WARN}, {"block", MG_PIN_BLOCK}, {NULL, 0}};
static const struct mg_cfg_key pin_keys[] = {
    TEXT("file", mg_config, pin.file, mg_config_bad_path, NULL),
    WORD("mode", mg_config, pin.mode, pin_words, MG_PIN_WARN)};
TABLE(pin, pin_keys);
static const struct mg_cfg_key admin_keys[] = {
    TEXT("listen", mg_config, admin_listen, mg_config_bad_listen, NULL),
    TEXT("token", mg_config, admin_token, mg_config_bad_token, NULL),
    TEXT("token_file", mg_config, admin_token_file, mg_config_bad_path, NULL)};
TABLE(admin, admin_keys);
static const struct mg_cfg_key log_keys[] = {WORD("level", mg_config, log_level, level_words, MG_LOG_INFO)};
TABLE(logging, log_keys);

static const struct mg_cfg_key gateway_keys[] = {
    LIST("listen", mg_config, listen, mg_config_bad_listen, 16, "127.0.0.1:8808"),
    TEXT("public_url", mg_config, public_url, mg_config_bad_public_url, NULL),
    TEXT("state_dir", mg_config, state_dir, mg_config_bad_path, NULL),
    TEXT("separator", mg_config, separator, mg_config_bad_separator, "__"),
    LIST("allowed_hosts", mg_config, allowed_hosts, mg_config_bad_host, 1000, NULL),
    LIST("allowed_origins", mg_config, allowed_origins, mg_config_bad_origin, 1000, NULL),
    UINT("heartbeat_ms", mg_config, heartbeat_ms, 10, HOUR_MS, 15000),
    UINT("sse_after_ms", mg_config, sse_after_ms, 0, HOUR_MS, 1000),
    UINT("sse_poll_ms", mg_config, sse_poll_ms, 0, HOUR_MS, 0),
    UINT("resume_ms", mg_config, resume_ms, 0, HOUR_MS, 60000),
    {.name = "limits", .kind = MG_KEY_OBJECT, .inner = &gateway_limits},
    {.name = "contexts", .kind = MG_KEY_OBJECT, .inner = &contexts},
    {.name = "idempotency", .kind = MG_KEY_OBJECT, .inner = &idempotency},
    {.name = "store", .kind = MG_KEY_OBJECT, .inner = &store},
    {.name = "pin", .kind = MG_KEY_OBJECT, .inner = &pin},
    {.name = "admin", .kind = MG_KEY_OBJECT, .inner = &admin},
    {.name = "log", .kind = MG_KEY_OBJECT, .inner = &logging},
    {.name = "auth", .kind = MG_KEY_EMPTY},
    {.name = "policy", .kind = MG_KEY_EMPTY},
    {.name = "trace", .kind = MG_KEY_EMPTY}};
const struct mg_cfg_table mg_config_gateway_keys = {gateway_keys, sizeof gateway_keys / sizeof *gateway_keys};

const char *const mg_config_entry_keys[] = {
    "name", "type", "transportType", "transport", "protocol", "command",  "args",    "env",     "envFile",
    "cwd",  "url",  "serverUrl",     "httpUrl",   "headers",  "disabled", "enabled", "gateway", NULL};

/* ---- names ------------------------------------------------------------------------------------------ */
const struct mg_cfg_key *mg_config_find(const struct mg_cfg_table *t, struct mg_slice name) {
  for (size_t i = 0; i < t->n; i++)
    if (mg_slice_eqz(name, t->keys[i].name)) return &t->keys[i];
  return NULL;
}

#define NAME_MAX_LEN 32 /* longer words are nowhere near a key of ours */

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

size_t mg_config_distance(struct mg_slice a, const char *b) {
  size_t n = strlen(b), row[3][NAME_MAX_LEN + 1];
  if (a.len > NAME_MAX_LEN || n > NAME_MAX_LEN) return a.len > n ? a.len : n;
  for (size_t j = 0; j <= n; j++) row[0][j] = j;
  for (size_t i = 1; i <= a.len; i++) {
    size_t *now = row[i % 3], *one = row[(i - 1) % 3], *two = row[(i + 1) % 3]; /* two rows back */
    now[0] = i;
    for (size_t j = 1; j <= n; j++) {
      size_t same = lower(a.ptr[i - 1]) == lower(b[j - 1]);
      size_t best = one[j - 1] + !same;
      if (one[j] + 1 < best) best = one[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      if (i > 1 && j > 1 && lower(a.ptr[i - 1]) == lower(b[j - 2]) &&
          lower(a.ptr[i - 2]) == lower(b[j - 1]) && two[j - 2] + 1 < best)
        best = two[j - 2] + 1;
      now[j] = best;
    }
  }
  return row[a.len % 3][n];
}

int mg_config_nearer(struct mg_slice name, const char *candidate, size_t *best) {
  size_t len = strlen(candidate), far = len / 3 > 2 ? len / 3 : 2;
  size_t d = mg_config_distance(name, candidate);
  if (d > far || d >= len || d >= *best) return 0;
  *best = d;
  return 1;
}

/* The nearest known name, or all of them when none is near. */
static int unknown_key(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_table *t) {
  const char *near = NULL;
  char all[256];
  size_t best = SIZE_MAX, used = 0;
  for (size_t i = 0; i < t->n; i++) {
    if (mg_config_nearer(at->key, t->keys[i].name, &best)) near = t->keys[i].name;
    int n = snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", t->keys[i].name);
    if (n > 0 && used + (size_t)n < sizeof all) used += (size_t)n;
  }
  if (near) return mg_config_fail(b, at, "unknown key; did you mean \"%s\"?", near);
  return mg_config_fail(b, at, "unknown key; known here: %.*s", (int)used, all);
}

/* ---- defaults --------------------------------------------------------------------------------------- */
static void put_int(void *base, const struct mg_cfg_key *k, int value) {
  *(int *)(void *)((char *)base + k->off) = value;
}

static void put_uint(void *base, const struct mg_cfg_key *k, uint64_t value) {
  *(uint64_t *)(void *)((char *)base + k->off) = value;
}

static void put_text(void *base, const struct mg_cfg_key *k, const char *value) {
  *(const char **)(void *)((char *)base + k->off) = value;
}

static void put_list(void *base, const struct mg_cfg_key *k, const struct mg_cfg_list *l) {
  *(const char *const **)(void *)((char *)base + k->off) = mg_config_list_v(l);
}

static int default_of(struct mg_cfg_snap *s, const struct mg_cfg_key *k, void *base) {
  struct mg_cfg_list l = {NULL, 0, 0};
  switch (k->kind) {
  case MG_KEY_UINT:
    put_uint(base, k, k->def);
    break;
  case MG_KEY_BOOL:
  case MG_KEY_WORD:
    put_int(base, k, (int)k->def);
    break;
  case MG_KEY_TEXT:
    put_text(base, k, k->text);
    break;
  case MG_KEY_LIST:
    if (k->text && mg_config_list_add(s, &l, k->text) != MCPGW_OK) return MCPGW_E_NOMEM;
    put_list(base, k, &l);
    break;
  case MG_KEY_OBJECT:
    return mg_config_defaults(s, k->inner, (char *)base + k->off);
  default:
    break;
  }
  return MCPGW_OK;
}

int mg_config_defaults(struct mg_cfg_snap *s, const struct mg_cfg_table *t, void *base) {
  int rc = MCPGW_OK;
  for (size_t i = 0; i < t->n && rc == MCPGW_OK; i++) rc = default_of(s, &t->keys[i], base);
  return rc;
}

/* ---- values ----------------------------------------------------------------------------------------- */
static const char *unit_of(const char *name) {
  size_t n = strlen(name);
  if (n > 3 && strcmp(name + n - 3, "_ms") == 0) return " of milliseconds";
  if (n > 6 && strcmp(name + n - 6, "_bytes") == 0) return " of bytes";
  return "";
}

static int read_uint(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                     const struct mg_node *node, void *base) {
  int64_t n = 0;
  if (mg_node_i64(node, &n) != MCPGW_OK || n < 0 || (uint64_t)n < k->min || (uint64_t)n > k->max)
    return mg_config_fail(b, at, "must be a whole number%s from %llu to %llu%s", unit_of(k->name),
                          (unsigned long long)k->min, (unsigned long long)k->max,
                          mg_node_type(node) == MG_JSON_STRING ? ", without quotes or unit" : "");
  put_uint(base, k, (uint64_t)n);
  return MCPGW_OK;
}

static int read_bool(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                     const struct mg_node *node, void *base) {
  int value = 0;
  if (mg_node_bool(node, &value) != MCPGW_OK) return mg_config_fail(b, at, "must be true or false");
  put_int(base, k, value);
  return MCPGW_OK;
}

static int read_word(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                     const struct mg_node *node, void *base) {
  struct mg_slice word;
  char all[128];
  size_t used = 0;
  int is_text = mg_node_str(node, &word) == MCPGW_OK;
  for (const struct mg_cfg_word *w = k->words; w->text; w++) {
    if (is_text && mg_slice_eqz(word, w->text)) {
      put_int(base, k, w->value);
      return MCPGW_OK;
    }
    int n = snprintf(all + used, sizeof all - used, "%s\"%s\"", w == k->words ? "" : ", ", w->text);
    if (n > 0 && used + (size_t)n < sizeof all) used += (size_t)n;
  }
  return mg_config_fail(b, at, "must be one of %.*s", (int)used, all);
}

static int read_text(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                     const struct mg_node *node, const char **out) {
  const char *text = NULL;
  int rc = mg_config_text(b, at, node, &text);
  if (rc != MCPGW_OK) return rc;
  const char *bad = k->bad ? k->bad(mg_slice_z(text)) : NULL;
  if (bad) return mg_config_fail(b, at, "%s", bad);
  *out = text;
  return MCPGW_OK;
}

static int read_list(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                     const struct mg_node *node, void *base) {
  struct mg_cfg_list l = {NULL, 0, 0};
  if (mg_node_type(node) != MG_JSON_ARRAY) return mg_config_fail(b, at, "must be an array of strings");
  if (mg_node_count(node) > k->max)
    return mg_config_fail(b, at, "must have at most %llu items", (unsigned long long)k->max);
  for (size_t i = 0; i < mg_node_count(node); i++) {
    struct mg_cfg_at item = mg_config_at_item(at, i);
    const char *text = NULL;
    int rc = read_text(b, &item, k, mg_node_at(node, i), &text);
    if (rc != MCPGW_OK) return rc;
    if (mg_config_list_add(b->snap, &l, text) != MCPGW_OK) return mg_config_fail_mem(b, &item);
  }
  put_list(base, k, &l);
  return MCPGW_OK;
}

static int read_empty(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_node *node) {
  if (mg_node_type(node) != MG_JSON_OBJECT) return mg_config_fail(b, at, "must be an object");
  if (mg_node_count(node) > 0)
    return mg_config_fail(b, at, "not supported by this version yet; leave it out or empty ({})");
  return MCPGW_OK;
}

static int read_tools(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                      const struct mg_node *node, struct mg_cfg_server *sv) {
  struct mg_slice glob;
  const struct mg_node *value;
  void *it = NULL;
  size_t n = mg_node_count(node), i = 0;
  if (mg_node_type(node) != MG_JSON_OBJECT)
    return mg_config_fail(b, at, "must be an object of tool names (* and ? match) to settings");
  if (n > MG_CFG_TOOLS) return mg_config_fail(b, at, "must have at most %d members", MG_CFG_TOOLS);
  struct mg_cfg_tool *tools = mg_config_alloc(b->snap, (n + 1) * sizeof *tools);
  if (!tools) return mg_config_fail_mem(b, at);
  for (; mg_node_next(node, &it, &glob, &value); i++) {
    struct mg_cfg_at tool = mg_config_at_key(at, glob);
    if (glob.len == 0 || glob.len > MG_CFG_GLOB_BYTES)
      return mg_config_fail(b, &tool, "must be 1 to %d bytes long", MG_CFG_GLOB_BYTES);
    tools[i].glob = mg_config_dup(b->snap, glob);
    if (!tools[i].glob) return mg_config_fail_mem(b, &tool);
    int rc = mg_config_read(b, &tool, k->inner, value, &tools[i]);
    if (rc != MCPGW_OK) return rc;
  }
  sv->tools = tools;
  sv->n_tools = n;
  return MCPGW_OK;
}

static int read_value(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_key *k,
                      const struct mg_node *node, void *base) {
  switch (k->kind) {
  case MG_KEY_UINT:
    return read_uint(b, at, k, node, base);
  case MG_KEY_BOOL:
    return read_bool(b, at, k, node, base);
  case MG_KEY_WORD:
    return read_word(b, at, k, node, base);
  case MG_KEY_TEXT:
    return read_text(b, at, k, node, (const char **)(void *)((char *)base + k->off));
  case MG_KEY_LIST:
    return read_list(b, at, k, node, base);
  case MG_KEY_OBJECT:
    return mg_config_read(b, at, k->inner, node, (char *)base + k->off);
  case MG_KEY_TOOLS:
    return read_tools(b, at, k, node, base);
  default:
    return read_empty(b, at, node);
  }
}

int mg_config_read(struct mg_cfg_build *b, const struct mg_cfg_at *at, const struct mg_cfg_table *t,
                   const struct mg_node *node, void *base) {
  struct mg_slice name;
  const struct mg_node *value;
  void *it = NULL;
  int rc = MCPGW_OK;
  if (mg_node_type(node) != MG_JSON_OBJECT) return mg_config_fail(b, at, "must be an object");
  while (rc == MCPGW_OK && mg_node_next(node, &it, &name, &value)) {
    struct mg_cfg_at here = mg_config_at_key(at, name);
    const struct mg_cfg_key *k = mg_config_find(t, name);
    if (!k) return unknown_key(b, &here, t);
    rc = read_value(b, &here, k, value, base);
    if (rc == MCPGW_OK && k->later && (k->kind != MG_KEY_OBJECT || mg_node_count(value) > 0))
      rc = mg_config_note(b, &here, "read and checked, but this version does not use it yet");
  }
  return rc;
}
