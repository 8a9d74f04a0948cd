/* fuzz_config: any bytes as a configuration, or, when they begin with '#', as an envFile. What is taken must
 * hold every promise of config.h; what is refused must say why in one line; nothing may stay alive. A fault
 * is a trap. Build with clang -fsanitize=fuzzer,address, or with replay.c over corpus/config. */
#include "base/id.h"
#include "base/mem.h"
#include "config/build.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const env[] = {"HOME=/home/u", "PATH=/bin", "LC_ALL=C", "TOKEN=a b",
                                  "EMPTY=",       "LINE=a\nb", NULL};

static void must(int ok) {
  if (!ok) __builtin_trap();
}

static void clean(const char *text) {
  for (; *text; text++) must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void one_line(const char *text) {
  must(text != NULL && mg_utf8_valid(mg_slice_z(text)));
  clean(text);
}

static size_t count(const char *const *list) {
  size_t n = 0;
  must(list != NULL);
  while (list[n]) n++;
  return n;
}

static void check_env(const char *const *list) {
  size_t n = count(list);
  must(n <= MG_CFG_ENV);
  for (size_t i = 0; i < n; i++) {
    const char *eq = strchr(list[i], '=');
    must(eq && eq > list[i]);
    for (size_t k = 0; k < i; k++) must(strncmp(list[k], list[i], (size_t)(eq - list[i]) + 1) != 0);
  }
}

static void check_server(const struct mg_cfg_server *s) {
  must(s->name && s->slug && s->slug[0] && strlen(s->slug) <= strlen(s->name));
  must(s->slug[strspn(s->slug, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0');
  must(s->timeouts.total_ms > 0 && s->timeouts.connect_ms > 0 && s->limits.concurrency > 0);
  must(s->n_tools == 0 || s->tools != NULL);
  for (size_t i = 0; i < s->n_tools; i++) must(s->tools[i].glob && s->tools[i].glob[0]);
  if (s->kind == MG_SERVER_STDIO) {
    must(count(s->argv) >= 1 && s->argv[0][0] && !s->url);
    check_env(s->env);
    return;
  }
  must((s->kind == MG_SERVER_HTTP || s->kind == MG_SERVER_SSE) && !s->argv);
  must(s->url && !mg_config_bad_url(mg_slice_z(s->url)));
  for (size_t i = 0, n = count(s->headers); i < n; i++) clean(s->headers[i]);
}

static void check(const struct mg_config *c) {
  must(c->n_servers <= MG_CFG_SERVERS && c->n_notes <= MG_CFG_NOTES);
  for (size_t i = 0; i < c->n_servers; i++) {
    check_server(&c->servers[i]);
    for (size_t k = 0; k < i; k++) must(strcmp(c->servers[i].slug, c->servers[k].slug) != 0);
  }
  for (size_t i = 0; i < c->n_notes; i++) one_line(c->notes[i].path), one_line(c->notes[i].text);
  for (size_t i = 0, n = count(c->listen); i < n; i++) must(!mg_config_bad_listen(mg_slice_z(c->listen[i])));
  must(count(c->allowed_hosts) <= 1000 && count(c->allowed_origins) <= 1000);
  must(c->heartbeat_ms >= 10 && c->limits.body_bytes >= 1024 && c->contexts.max >= 1);
  must(c->separator[0] && strlen(c->separator) <= 8);
  must(!c->insecure_plain_http);
}

static void parse(struct mg_slice text) {
  struct mg_config *c = NULL;
  struct mg_err err;
  mg_err_clear(&err);
  int rc = mg_config_parse(text, env, "tests/config/data", &c, &err);
  one_line(mg_err_text(&err));
  if (rc == MCPGW_OK) {
    check(c);
    int open = mg_config_check_listen(c, &err);
    must(open == MCPGW_OK || open == MCPGW_E_CONFIG);
  } else {
    must(rc == MCPGW_E_CONFIG && !c && mg_err_text(&err)[0]);
  }
  mg_config_unref(c);
}

static void dotenv(struct mg_slice text) {
  struct mg_config *c = NULL;
  struct mg_cfg_list l = {NULL, 0, 0};
  struct mg_err err;
  if (text.len > MG_CFG_ENVFILE_BYTES) return;
  mg_err_clear(&err);
  must(mg_config_new(&c) == MCPGW_OK);
  struct mg_cfg_build b;
  mg_config_build_init(&b, c, &err);
  int rc = mg_config_dotenv(&b, NULL, text, &l);
  must(rc == MCPGW_OK || (rc == MCPGW_E_CONFIG && mg_err_text(&err)[0]));
  check_env(mg_config_list_v(&l));
  mg_config_build_done(&b);
  mg_config_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct mg_slice text = mg_slice(data, len);
  int64_t before = mg_mem_live();
  if (len > 0 && data[0] == '#') dotenv(text);
  else parse(text);
  must(mg_mem_live() == before);
  return 0;
}
