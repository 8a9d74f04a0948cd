/* Documents that must be taken: the defaults of DESIGN section 15, every key, and the files of the programs
 * people already have (tests/config/data). */
#include "base/log.h"
#include "config/config_tests.h"

static const struct mg_cfg_server *server(const struct mg_config *c, const char *name) {
  for (size_t i = 0; i < c->n_servers; i++)
    if (strcmp(c->servers[i].name, name) == 0) return &c->servers[i];
  ck_abort_msg("no server %s", name);
  return NULL;
}

static void list_is(const char *const *list, const char *const *want) {
  size_t i = 0;
  ck_assert_ptr_nonnull(list);
  for (; want[i]; i++) {
    ck_assert_msg(list[i] != NULL, "item %zu of the list is missing: %s", i, want[i]);
    ck_assert_str_eq(list[i], want[i]);
  }
  ck_assert_msg(list[i] == NULL, "one too many: %s", list[i]);
}
#define LIST_IS(list, ...) list_is(list, (const char *const[]){__VA_ARGS__, NULL})

static struct mg_config *load(const char *path) {
  struct mg_config *c = NULL;
  struct mg_err err;
  mg_err_clear(&err);
  int rc = mg_config_load(path, config_env, &c, &err);
  ck_assert_msg(rc == MCPGW_OK, "%s: %s", path, mg_err_text(&err));
  return c;
}

START_TEST(defaults_of_a_gateway) {
  struct mg_config *c = config_good("{}");
  ck_assert_uint_eq(c->n_servers, 0);
  ck_assert_uint_eq(c->n_notes, 0);
  LIST_IS(c->listen, "127.0.0.1:8808");
  ck_assert_ptr_null(c->public_url);
  ck_assert_ptr_null(c->state_dir);
  ck_assert_ptr_null(c->admin_listen);
  ck_assert_str_eq(c->separator, "__");
  ck_assert_ptr_null(c->allowed_hosts[0]);
  ck_assert_ptr_null(c->allowed_origins[0]);
  ck_assert_uint_eq(c->heartbeat_ms, 15000);
  ck_assert_uint_eq(c->sse_after_ms, 1000);
  ck_assert_uint_eq(c->sse_poll_ms, 0);
  ck_assert_uint_eq(c->resume_ms, 60000);
  ck_assert_uint_eq(c->limits.body_bytes, 4194304);
  ck_assert_uint_eq(c->limits.header_bytes, 32768);
  ck_assert_uint_eq(c->limits.connections, 20000);
  ck_assert_uint_eq(c->limits.memory_bytes, 268435456);
  ck_assert_uint_eq(c->contexts.idle_ms, 1800000);
  ck_assert_uint_eq(c->contexts.absolute_ms, 43200000);
  ck_assert_uint_eq(c->contexts.max, 100000);
  ck_assert_int_eq(c->contexts.no_handle, MG_NO_HANDLE_PRINCIPAL);
  ck_assert_int_eq(c->idempotency.sync, 1);
  ck_assert_uint_eq(c->idempotency.ttl_ms, 86400000);
  ck_assert_uint_eq(c->idempotency.max_bytes, 1048576);
  ck_assert_uint_eq(c->store_quota_bytes, UINT64_C(4294967296));
  ck_assert_int_eq(c->log_level, MG_LOG_INFO);
  ck_assert_int_eq(c->insecure_plain_http, 0);
  mg_config_unref(c);
}
END_TEST

START_TEST(defaults_of_a_server) {
  struct mg_config *c = config_good("\xef\xbb\xbf {\"mcpServers\":{\"a.b c\":{\"command\":\"true\"}}}");
  const struct mg_cfg_server *s = c->servers;
  ck_assert_uint_eq(c->n_servers, 1);
  ck_assert_str_eq(s->name, "a.b c");
  ck_assert_str_eq(s->slug, "abc");
  ck_assert_int_eq(s->kind, MG_SERVER_STDIO);
  LIST_IS(s->argv, "true");
  ck_assert_ptr_null(s->cwd);
  ck_assert_ptr_null(s->url);
  ck_assert_int_eq(s->era, MG_ERA_AUTO);
  ck_assert_int_eq(s->isolation, MG_ISO_DEFAULT);
  ck_assert_int_eq(s->stateful, 1);
  ck_assert_int_eq(s->trust_annotations, 0);
  ck_assert_uint_eq(s->timeouts.connect_ms, 5000);
  ck_assert_uint_eq(s->timeouts.list_ms, 15000);
  ck_assert_uint_eq(s->timeouts.first_byte_ms, 0);
  ck_assert_uint_eq(s->timeouts.idle_ms, 0);
  ck_assert_uint_eq(s->timeouts.total_ms, 300000);
  ck_assert_uint_eq(s->limits.concurrency, 16);
  ck_assert_uint_eq(s->limits.queue, 64);
  ck_assert_uint_eq(s->limits.children, 32);
  ck_assert_uint_eq(s->limits.result_bytes, 33554432);
  ck_assert_uint_eq(s->n_tools, 0);
  mg_config_unref(c);
}
END_TEST

START_TEST(every_key_of_a_gateway) {
  struct mg_config *c = config_good(
      "{\"gateway\":{\"listen\":[\"[::1]:0\",\"unix:/run/x.sock\",\"localhost:80\"],\"public_url\":\"https://"
      "m.example/mcp\","
      "\"state_dir\":\"${HOME}/"
      "state\",\"separator\":\".\",\"allowed_hosts\":[\"a.example\",\"b:8443\",\"[::1]:1\"],"
      "\"allowed_origins\":[\"https://a.example\",\"vscode-webview://"
      "x\"],\"heartbeat_ms\":10,\"sse_after_ms\":0,\"sse_poll_ms\":7,"
      "\"resume_ms\":0,\"limits\":{\"body_bytes\":1024,\"header_bytes\":1048576,\"connections\":1,"
      "\"memory_bytes\":1099511627776,\"rate\":{\"burst\":8,\"per_s\":9}},\"contexts\":{\"idle_ms\":1,\"absolute_ms\":2,\"max\":3,"
      "\"no_handle\":\"refuse\"},\"idempotency\":{\"durability\":\"async\",\"ttl_ms\":5,\"max_bytes\":0},"
      "\"store\":{\"quota_bytes\":1048576},\"admin\":{\"listen\":\"unix:/run/"
      "a.sock\",\"token\":\"0123456789abcdef\"},\"log\":{\"level\":\"debug\"},"
      "\"auth\":{},\"policy\":{},\"trace\":{}}}");
  LIST_IS(c->listen, "[::1]:0", "unix:/run/x.sock", "localhost:80");
  ck_assert_str_eq(c->public_url, "https://m.example/mcp");
  ck_assert_str_eq(c->state_dir, "/home/u/state");
  ck_assert_str_eq(c->separator, ".");
  LIST_IS(c->allowed_hosts, "a.example", "b:8443", "[::1]:1");
  LIST_IS(c->allowed_origins, "https://a.example", "vscode-webview://x");
  ck_assert_uint_eq(c->heartbeat_ms, 10);
  ck_assert_uint_eq(c->sse_after_ms, 0);
  ck_assert_uint_eq(c->sse_poll_ms, 7);
  ck_assert_uint_eq(c->resume_ms, 0);
  ck_assert_uint_eq(c->limits.body_bytes, 1024);
  ck_assert_uint_eq(c->limits.header_bytes, 1048576);
  ck_assert_uint_eq(c->limits.connections, 1);
  ck_assert_uint_eq(c->limits.memory_bytes, UINT64_C(1099511627776));
  ck_assert_uint_eq(c->limits.rate.burst, 8);
  ck_assert_uint_eq(c->limits.rate.per_s, 9);
  ck_assert_uint_eq(c->contexts.idle_ms, 1);
  ck_assert_uint_eq(c->contexts.absolute_ms, 2);
  ck_assert_uint_eq(c->contexts.max, 3);
  ck_assert_int_eq(c->contexts.no_handle, MG_NO_HANDLE_REFUSE);
  ck_assert_int_eq(c->idempotency.sync, 0);
  ck_assert_uint_eq(c->idempotency.ttl_ms, 5);
  ck_assert_uint_eq(c->idempotency.max_bytes, 0);
  ck_assert_uint_eq(c->store_quota_bytes, 1048576);
  ck_assert_str_eq(c->admin_listen, "unix:/run/a.sock");
  ck_assert_str_eq(c->admin_token, "0123456789abcdef");
  ck_assert_int_eq(c->log_level, MG_LOG_DEBUG);
  ck_assert_uint_eq(c->n_notes, 0);
  mg_config_unref(c);
}
END_TEST

START_TEST(every_key_of_a_server) {
  struct mg_config *c = config_good(
      "{\"mcpServers\":{\"x\":{\"url\":\"http://[::1]:80/"
      "m\",\"gateway\":{\"era\":\"modern\",\"isolation\":\"shared\","
      "\"stateful\":false,\"trust_annotations\":true,\"timeouts\":{\"connect_ms\":1,\"list_ms\":2,"
      "\"first_byte_ms\":3,\"idle_ms\":4,\"total_ms\":5},\"limits\":{\"concurrency\":6,\"queue\":0,"
      "\"children\":8,"
      "\"result_bytes\":1024},\"breaker\":{\"enabled\":false,\"window_ms\":100,\"min_calls\":2,\"failure_percent\":3,"
      "\"open_ms\":10},\"retries\":{\"attempts\":7,\"budget_percent\":0,\"base_ms\":9},\"tools\":{\"z_*\":{\"effect\":\"idempotent\",\"timeouts\":{\"total_ms\":9},"
      "\"limits\":{\"concurrency\":1}},\"a_?\":{\"effect\":\"read\"},\"*\":{}},\"auth\":{}}}}}");
  const struct mg_cfg_server *s = c->servers;
  ck_assert_int_eq(s->kind, MG_SERVER_HTTP);
  ck_assert_int_eq(s->era, MG_ERA_MODERN);
  ck_assert_int_eq(s->isolation, MG_ISO_SHARED);
  ck_assert_int_eq(s->stateful, 0);
  ck_assert_int_eq(s->trust_annotations, 1);
  ck_assert_uint_eq(s->timeouts.connect_ms, 1);
  ck_assert_uint_eq(s->timeouts.list_ms, 2);
  ck_assert_uint_eq(s->timeouts.first_byte_ms, 3);
  ck_assert_uint_eq(s->timeouts.idle_ms, 4);
  ck_assert_uint_eq(s->timeouts.total_ms, 5);
  ck_assert_uint_eq(s->limits.concurrency, 6);
  ck_assert_uint_eq(s->limits.queue, 0);
  ck_assert_uint_eq(s->limits.children, 8);
  ck_assert_uint_eq(s->limits.result_bytes, 1024);
  ck_assert_int_eq(s->breaker.enabled, 0);
  ck_assert_uint_eq(s->breaker.window_ms, 100);
  ck_assert_uint_eq(s->breaker.min_calls, 2);
  ck_assert_uint_eq(s->breaker.failure_percent, 3);
  ck_assert_uint_eq(s->breaker.open_ms, 10);
  ck_assert_uint_eq(s->retries.attempts, 7);
  ck_assert_uint_eq(s->retries.budget_percent, 0);
  ck_assert_uint_eq(s->retries.base_ms, 9);
  ck_assert_uint_eq(s->n_tools, 3);
  ck_assert_str_eq(s->tools[0].glob, "z_*"); /* the order of the file: the first that matches wins */
  ck_assert_str_eq(s->tools[1].glob, "a_?");
  ck_assert_str_eq(s->tools[2].glob, "*");
  ck_assert_int_eq(s->tools[0].effect, MG_EFFECT_IDEMPOTENT);
  ck_assert_int_eq(s->tools[1].effect, MG_EFFECT_READ);
  ck_assert_int_eq(s->tools[2].effect, MG_EFFECT_UNSET);
  ck_assert_uint_eq(s->tools[0].timeouts.total_ms, 9);
  ck_assert_uint_eq(s->tools[0].timeouts.connect_ms, 0); /* inherits */
  ck_assert_uint_eq(s->tools[0].limits.concurrency, 1);
  mg_config_unref(c);
}
END_TEST

START_TEST(claude_desktop) {
  struct mg_config *c = load("tests/config/data/claude_desktop.json");
  ck_assert_uint_eq(c->n_servers, 3);
  ck_assert_str_eq(c->servers[0].name, "filesystem"); /* in the order of the file */
  ck_assert_str_eq(c->servers[2].name, "sqlite");
  LIST_IS(server(c, "sqlite")->argv, "uvx", "mcp-server-sqlite", "--db-path", "C:\\data\\test.db");
  ck_assert_str_eq(config_find_note(c, "globalShortcut"), "foreign key, ignored");
  ck_assert_uint_eq(c->n_notes, 2);
  mg_config_unref(c);
}
END_TEST

START_TEST(cursor) {
  char *text = config_read_file("tests/config/data/cursor.json", NULL);
  struct mg_config *c = NULL;
  ck_assert_int_eq(mg_config_parse(mg_slice(text, strlen(text)), config_env, NULL, &c, NULL), MCPGW_OK);
  const struct mg_cfg_server *s = server(c, "local tools"), *r = server(c, "remote");
  ck_assert_str_eq(s->slug, "localtools");
  LIST_IS(s->argv, "/home/u/bin/server");
  ck_assert_int_eq(r->kind, MG_SERVER_HTTP);
  ck_assert_str_eq(r->url, "https://api.example.com:8443/mcp?team=a%20b");
  LIST_IS(r->headers, "Authorization: Bearer s3cret");
  ck_assert_ptr_nonnull(config_find_note(c, "mcpServers.remote.auth"));
  mg_free(text);
  mg_config_unref(c);
}
END_TEST

START_TEST(vscode) {
  struct mg_config *c = load("tests/config/data/vscode.json");
  ck_assert_uint_eq(c->n_servers, 3);
  ck_assert_str_eq(server(c, "playwright")->cwd, "/srv");
  ck_assert_int_eq(server(c, "github")->kind, MG_SERVER_HTTP);
  ck_assert_int_eq(server(c, "legacy")->kind, MG_SERVER_SSE);
  LIST_IS(server(c, "legacy")->headers, "X-Version: 1");
  ck_assert_ptr_nonnull(config_find_note(c, "inputs"));
  ck_assert_ptr_nonnull(config_find_note(c, "servers.playwright.dev"));
  mg_config_unref(c);
}
END_TEST

START_TEST(cline) {
  struct mg_config *c = load("tests/config/data/cline.json");
  ck_assert_uint_eq(c->n_servers, 2);
  ck_assert_int_eq(server(c, "weather")->kind, MG_SERVER_STDIO);
  ck_assert_int_eq(server(c, "linear")->kind, MG_SERVER_HTTP);
  ck_assert_str_eq(config_find_note(c, "mcpServers.tavily"), "disabled; not started");
  ck_assert_ptr_nonnull(config_find_note(c, "mcpServers.weather.autoApprove"));
  ck_assert_ptr_nonnull(config_find_note(c, "mcpServers.weather.timeout"));
  mg_config_unref(c);
}
END_TEST

START_TEST(windsurf_and_gemini) {
  struct mg_config *c = load("tests/config/data/windsurf.json");
  ck_assert_int_eq(server(c, "figma")->kind, MG_SERVER_SSE);
  ck_assert_str_eq(server(c, "figma")->url, "http://127.0.0.1:3845/sse");
  ck_assert_str_eq(server(c, "gem")->url, "https://gem.example.com/mcp");
  ck_assert_str_eq(config_find_note(c, "mcpServers.gem.url"), "ignored: \"httpUrl\" is used");
  mg_config_unref(c);
}
END_TEST

START_TEST(servers_in_an_array) {
  struct mg_config *c = load("tests/config/data/array.json");
  ck_assert_uint_eq(c->n_servers, 2);
  ck_assert_int_eq(server(c, "one")->kind, MG_SERVER_STDIO);
  ck_assert_int_eq(server(c, "two")->kind, MG_SERVER_HTTP);
  ck_assert_str_eq(config_find_note(c, "mcpServers[2]"), "disabled; not started");
  mg_config_unref(c);
}
END_TEST

/* Every spelling of a kind, in every case the ecosystem writes it. */
static const struct {
  const char *member;
  int kind;
} kinds[] = {{"\"type\":\"stdio\"", MG_SERVER_STDIO},
             {"\"type\":\"STDIO\"", MG_SERVER_STDIO},
             {"\"transportType\":\"stdio\"", MG_SERVER_STDIO},
             {"\"type\":\"http\"", MG_SERVER_HTTP},
             {"\"transport\":\"HTTP\"", MG_SERVER_HTTP},
             {"\"type\":\"streamable-http\"", MG_SERVER_HTTP},
             {"\"type\":\"streamableHttp\"", MG_SERVER_HTTP},
             {"\"transport\":\"streamable_http\"", MG_SERVER_HTTP},
             {"\"protocol\":\"sse\"", MG_SERVER_SSE},
             {"\"type\":\"SSE\",\"transport\":\"sse\"", MG_SERVER_SSE}};

START_TEST(kind_spellings) {
  char text[256];
  snprintf(text, sizeof text, "{\"mcpServers\":{\"x\":{\"command\":\"c\",\"url\":\"http://h/\",%s}}}",
           kinds[_i].member);
  struct mg_config *c = config_good(text);
  ck_assert_int_eq(c->servers[0].kind, kinds[_i].kind);
  const char *ignored = kinds[_i].kind == MG_SERVER_STDIO ? "mcpServers.x.url" : "mcpServers.x.command";
  ck_assert_ptr_nonnull(config_find_note(c, ignored));
  mg_config_unref(c);
}
END_TEST

START_TEST(notes_help_with_slips) {
  struct mg_config *c =
      config_good("{\"$schema\":\"x\",\"gatway\":{},\"mcpServers\":{\"x\":{\"command\":\"c\",\"comand\":1,"
                  "\"Args\":[],\"zebra\":1}}}");
  ck_assert_str_eq(config_find_note(c, "gatway"), "foreign key, ignored; did you mean \"gateway\"?");
  ck_assert_str_eq(config_find_note(c, "mcpServers.x.comand"),
                   "foreign key, ignored; did you mean \"command\"?");
  ck_assert_str_eq(config_find_note(c, "mcpServers.x.Args"), "foreign key, ignored; did you mean \"args\"?");
  ck_assert_str_eq(config_find_note(c, "mcpServers.x.zebra"), "foreign key, ignored");
  ck_assert_uint_eq(c->n_notes, 4);
  mg_config_unref(c);
}
END_TEST

/* Keys come from the file, notes go to terminals and logs: one line of UTF-8, cut between characters. */
START_TEST(paths_of_notes_are_clean) {
  struct mg_config *c =
      config_good("{\"a\\nb\\u001b[2J\\u007f\":1,\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                  "xxxxxxxxxx\u00e4\u00e4\":1}");
  ck_assert_str_eq(c->notes[0].path, "[\"a?b?[2J?\"]");
  ck_assert_str_eq(c->notes[1].path, "[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]");
  mg_config_unref(c);
}
END_TEST

/* What is switched off must not get in the way, nor must its name. */
START_TEST(disabled_servers_may_be_half_done) {
  struct mg_config *c = config_good(
      "{\"mcpServers\":{\"a b\":{\"disabled\":true,\"command\":\"${UNSET_VAR}\",\"envFile\":\"/no/such\","
      "\"headers\":{\"Host\":\"h\"}},\"e\":{\"disabled\":true},\"ab\":{\"command\":\"c\",\"disabled\":false,"
      "\"enabled\":true},\"off\":{\"enabled\":false,\"disabled\":false}}}");
  ck_assert_uint_eq(c->n_servers, 1);
  ck_assert_uint_eq(c->n_notes, 3);
  ck_assert_str_eq(config_find_note(c, "mcpServers[\"a b\"]"), "disabled; not started");
  mg_config_unref(c);
}
END_TEST

START_TEST(paths_start_at_the_base) {
  struct mg_config *c =
      config_good("{\"gateway\":{\"state_dir\":\"s\"},\"mcpServers\":{\"x\":{\"command\":\"./c\","
                  "\"cwd\":\"d/${USER}\"},\"y\":{\"command\":\"c\",\"cwd\":\"/abs\"}}}");
  ck_assert_str_eq(c->servers[0].argv[0], "./c"); /* a command is not ours to resolve */
  ck_assert_str_eq(c->servers[0].cwd, "/base/d/u");
  ck_assert_str_eq(c->servers[1].cwd, "/abs");
  ck_assert_str_eq(c->state_dir, "/base/s");
  mg_config_unref(c);
}
END_TEST

START_TEST(little_memory_is_noted) {
  struct mg_config *c = config_good("{\"gateway\":{\"limits\":{\"memory_bytes\":1048576}}}");
  ck_assert_str_eq(config_find_note(c, "gateway.limits.memory_bytes"),
                   "smaller than body_bytes: messages above it will be refused");
  mg_config_unref(c);
  c = config_good("{\"gateway\":{\"limits\":{\"memory_bytes\":1048576,\"body_bytes\":1048576}}}");
  ck_assert_uint_eq(c->n_notes, 0);
  mg_config_unref(c);
}
END_TEST

START_TEST(notes_have_a_ceiling) {
  struct mg_buf b;
  mg_buf_init(&b, 1024 * 1024);
  mg_buf_addz(&b, "{\"a\":0");
  for (uint64_t i = 0; i < 1500; i++) {
    mg_buf_addz(&b, ",\"k");
    mg_buf_addu(&b, i);
    mg_buf_addz(&b, "\":1");
  }
  mg_buf_add(&b, "}", 2);
  ck_assert_int_eq(mg_buf_rc(&b), MCPGW_OK);
  struct mg_config *c = config_good(b.ptr);
  ck_assert_uint_eq(c->n_notes, MG_CFG_NOTES);
  ck_assert_str_eq(c->notes[MG_CFG_NOTES - 1].text, "more than 1000 notes; the rest is left out");
  ck_assert_str_eq(c->notes[MG_CFG_NOTES - 2].path, "k997");
  mg_buf_done(&b);
  mg_config_unref(c);
}
END_TEST

START_TEST(a_thousand_servers) {
  struct mg_buf b;
  mg_buf_init(&b, 1024 * 1024);
  mg_buf_addz(&b, "{\"mcpServers\":{\"s\":{\"command\":\"c\"}");
  for (uint64_t i = 1; i < MG_CFG_SERVERS; i++) {
    mg_buf_addz(&b, ",\"s");
    mg_buf_addu(&b, i);
    mg_buf_addz(&b, "\":{\"command\":\"c\"}");
  }
  size_t at = b.len;
  mg_buf_add(&b, "}}", 3);
  struct mg_config *c = config_good(b.ptr);
  ck_assert_uint_eq(c->n_servers, MG_CFG_SERVERS);
  ck_assert_str_eq(c->servers[999].name, "s999");
  mg_config_unref(c);
  b.len = at;
  mg_buf_addz(&b, ",\"last\":{\"command\":\"c\"}");
  mg_buf_add(&b, "}}", 3);
  config_bad(b.ptr, "mcpServers.last: more than 1000 servers");
  mg_buf_done(&b);
}
END_TEST

Suite *config_good_suite(void) {
  Suite *s = suite_create("config good");
  TCase *t = tcase_create("documents");
  tcase_add_test(t, defaults_of_a_gateway);
  tcase_add_test(t, defaults_of_a_server);
  tcase_add_test(t, every_key_of_a_gateway);
  tcase_add_test(t, every_key_of_a_server);
  tcase_add_test(t, claude_desktop);
  tcase_add_test(t, cursor);
  tcase_add_test(t, vscode);
  tcase_add_test(t, cline);
  tcase_add_test(t, windsurf_and_gemini);
  tcase_add_test(t, servers_in_an_array);
  tcase_add_loop_test(t, kind_spellings, 0, (int)(sizeof kinds / sizeof *kinds));
  tcase_add_test(t, notes_help_with_slips);
  tcase_add_test(t, paths_of_notes_are_clean);
  tcase_add_test(t, disabled_servers_may_be_half_done);
  tcase_add_test(t, paths_start_at_the_base);
  tcase_add_test(t, little_memory_is_noted);
  tcase_add_test(t, notes_have_a_ceiling);
  tcase_add_test(t, a_thousand_servers);
  suite_add_tcase(s, t);
  return s;
}
