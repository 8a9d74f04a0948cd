/* Documents that must be refused, each with the exact text a user sees: the path, what is wrong, what to do.
 */
#include "config/config_tests.h"

#define SERVER(members) "{\"mcpServers\":{\"x\":{" members "}}}"
#define GATEWAY(members) "{\"gateway\":{" members "}}"
#define OWN(members) SERVER("\"command\":\"c\",\"gateway\":{" members "}")
#define HEADER(name, value) SERVER("\"url\":\"http://h/\",\"headers\":{\"" name "\":\"" value "\"}")
#define URL(url) SERVER("\"url\":\"" url "\"")
#define LISTEN(a) GATEWAY("\"listen\":[\"" a "\"]")
#define BAD_LISTEN \
  "gateway.listen[0]: must be an IP address with a port, as 127.0.0.1:8808 or [::1]:8808, or unix:/path"
#define BAD_KIND ": must be one of \"stdio\", \"http\" (streamable-http), \"sse\""

static const struct {
  const char *text, *error;
} cases[] = {
    /* the document */
    {"[]", "the document must be an object with \"mcpServers\""},
    {"{\"a\":1,\"a\":2}", "line 1, column 10: this key occurs twice in its object; remove one"},
    {"{\"mcpServers\":{},\"servers\":{}}", "\"mcpServers\" and \"servers\" are both there; keep one"},
    {"{\"mcpServers\":1}", "mcpServers: must be an object of servers by name, or an array of them"},
    {"{\"servers\":null}", "servers: must be an object of servers by name, or an array of them"},
    {"{\"gateway\":[]}", "gateway: must be an object"},
    {"{\"mcpServers\":{\"x\":1}}", "mcpServers.x: must be an object"},
    {"{\"mcpServers\":[{\"command\":\"c\"}]}",
     "mcpServers[0]: needs a \"name\" (a string), since the servers are an array"},
    {"{\"mcpServers\":[{\"name\":\"a\",\"command\":\"c\"},7]}",
     "mcpServers[1]: needs a \"name\" (a string), since the servers are an array"},
    /* unknown keys of ours, with the nearest */
    {GATEWAY("\"lisen\":[]"), "gateway.lisen: unknown key; did you mean \"listen\"?"},
    {GATEWAY("\"hearbeat_ms\":1"), "gateway.hearbeat_ms: unknown key; did you mean \"heartbeat_ms\"?"},
    {GATEWAY("\"allowedOrigins\":[]"),
     "gateway.allowedOrigins: unknown key; did you mean \"allowed_origins\"?"},
    {GATEWAY("\"lgo\":{}"), "gateway.lgo: unknown key; did you mean \"log\"?"},
    {GATEWAY("\"limits\":{\"memory\":1}"),
     "gateway.limits.memory: unknown key; known here: body_bytes, header_bytes, connections, memory_bytes, rate"},
    {GATEWAY("\"q q\":1"),
     "gateway[\"q q\"]: unknown key; known here: listen, public_url, state_dir, separator, allowed_hosts, "
     "allowed_origins, heartbeat_ms, sse_after_ms, sse_poll_ms, resume_ms, limits, contexts, idempotency, store, pin, admin, "
     "log, "
     "auth, policy, trace"},
    {OWN("\"timeouts\":{\"total\":1}"), "mcpServers.x.gateway.timeouts.total: unknown key; known here: "
                                        "connect_ms, list_ms, first_byte_ms, idle_ms, "
                                        "total_ms"},
    {OWN("\"timeouts\":{\"totl_ms\":1}"),
     "mcpServers.x.gateway.timeouts.totl_ms: unknown key; did you mean \"total_ms\"?"},
    {OWN("\"tools\":{\"a_*\":{\"efect\":\"once\"}}"),
     "mcpServers.x.gateway.tools[\"a_*\"].efect: unknown key; did you mean \"effect\"?"},
    {OWN("\"tools\":{\"t\":{\"limits\":{\"children\":1}}}"),
     "mcpServers.x.gateway.tools.t.limits.children: unknown key; known here: concurrency, queue, "
     "result_bytes"},
    {SERVER("\"disabled\":true,\"gateway\":{\"eras\":1}"),
     "mcpServers.x.gateway.eras: unknown key; did you mean \"era\"?"},
    /* numbers */
    {GATEWAY("\"heartbeat_ms\":\"15s\""), "gateway.heartbeat_ms: must be a whole number of milliseconds from "
                                          "10 to 3600000, without quotes or unit"},
    {GATEWAY("\"heartbeat_ms\":-1"),
     "gateway.heartbeat_ms: must be a whole number of milliseconds from 10 to 3600000"},
    {GATEWAY("\"heartbeat_ms\":9"),
     "gateway.heartbeat_ms: must be a whole number of milliseconds from 10 to 3600000"},
    {GATEWAY("\"resume_ms\":1.5"),
     "gateway.resume_ms: must be a whole number of milliseconds from 0 to 3600000"},
    {GATEWAY("\"resume_ms\":true"),
     "gateway.resume_ms: must be a whole number of milliseconds from 0 to 3600000"},
    {GATEWAY("\"limits\":{\"body_bytes\":1073741825}"),
     "gateway.limits.body_bytes: must be a whole number of bytes from 1024 to 1073741824"},
    {GATEWAY("\"limits\":{\"connections\":0}"),
     "gateway.limits.connections: must be a whole number from 1 to 1000000"},
    {GATEWAY("\"contexts\":{\"max\":null}"),
     "gateway.contexts.max: must be a whole number from 1 to 10000000"},
    {GATEWAY("\"idempotency\":{\"ttl_ms\":0}"),
     "gateway.idempotency.ttl_ms: must be a whole number of milliseconds from 1 to 2678400000"},
    {GATEWAY("\"store\":{\"quota_bytes\":68719476737}"),
     "gateway.store.quota_bytes: must be a whole number of bytes from 1048576 to 68719476736"},
    {OWN("\"timeouts\":{\"total_ms\":0}"),
     "mcpServers.x.gateway.timeouts.total_ms: must be a whole number of milliseconds from 1 to 86400000"},
    {OWN("\"tools\":{\"t\":{\"timeouts\":{\"idle_ms\":0}}}"),
     "mcpServers.x.gateway.tools.t.timeouts.idle_ms: must be a whole number of milliseconds from 1 to "
     "86400000"},
    /* words, truth, texts */
    {OWN("\"era\":\"old\""), "mcpServers.x.gateway.era: must be one of \"auto\", \"legacy\", \"modern\""},
    {OWN("\"isolation\":1"),
     "mcpServers.x.gateway.isolation: must be one of \"session\", \"principal\", \"shared\""},
    {OWN("\"stateful\":\"no\""), "mcpServers.x.gateway.stateful: must be true or false"},
    {OWN("\"tools\":[]"),
     "mcpServers.x.gateway.tools: must be an object of tool names (* and ? match) to settings"},
    {OWN("\"tools\":{\"\":{}}"), "mcpServers.x.gateway.tools[\"\"]: must be 1 to 256 bytes long"},
    {OWN("\"tools\":{\"t\":1}"), "mcpServers.x.gateway.tools.t: must be an object"},
    {GATEWAY("\"log\":{\"level\":\"all\"}"),
     "gateway.log.level: must be one of \"error\", \"warn\", \"info\", \"debug\""},
    {GATEWAY("\"idempotency\":{\"durability\":\"none\"}"),
     "gateway.idempotency.durability: must be one of \"sync\", \"async\""},
    {GATEWAY("\"separator\":\"\""), "gateway.separator: must be 1 to 8 of A-Z a-z 0-9 _ - ."},
    {GATEWAY("\"separator\":\"/\""), "gateway.separator: must be 1 to 8 of A-Z a-z 0-9 _ - ."},
    {GATEWAY("\"state_dir\":\"\""), "gateway.state_dir: must not be empty; leave the key out instead"},
    {GATEWAY("\"state_dir\":null"), "gateway.state_dir: must be a string"},
    /* what belongs to later versions is never silently ignored */
    {GATEWAY("\"auth\":{\"type\":\"jwt\"}"),
     "gateway.auth: not supported by this version yet; leave it out or empty ({})"},
    {GATEWAY("\"policy\":{\"rules\":[]}"),
     "gateway.policy: not supported by this version yet; leave it out or empty ({})"},
    {GATEWAY("\"trace\":{\"otlp\":1}"),
     "gateway.trace: not supported by this version yet; leave it out or empty ({})"},
    {GATEWAY("\"auth\":false"), "gateway.auth: must be an object"},
    {OWN("\"auth\":{\"type\":\"delegated\"}"),
     "mcpServers.x.gateway.auth: not supported by this version yet; leave it out or empty ({})"},
    /* addresses */
    {GATEWAY("\"listen\":\"127.0.0.1:1\""), "gateway.listen: must be an array of strings"},
    {GATEWAY("\"listen\":[1]"), "gateway.listen[0]: must be a string"},
    {LISTEN(""), BAD_LISTEN},
    {LISTEN("8808"), BAD_LISTEN},
    {LISTEN(":8808"), BAD_LISTEN},
    {LISTEN("127.0.0.1"), BAD_LISTEN},
    {LISTEN("127.0.0.1:"), BAD_LISTEN},
    {LISTEN("127.0.0.1:65536"), BAD_LISTEN},
    {LISTEN("127.0.0.1:+1"), BAD_LISTEN},
    {LISTEN("::1:8808"), BAD_LISTEN},
    {LISTEN("[::1]8808"), BAD_LISTEN},
    {LISTEN("[::1"), BAD_LISTEN},
    {LISTEN("[]:1"), BAD_LISTEN},
    {LISTEN("example.com:80"), BAD_LISTEN},
    {LISTEN("256.0.0.1:80"), BAD_LISTEN},
    {LISTEN("LocalHost:80"), BAD_LISTEN},
    {LISTEN("unix:x.sock"), "gateway.listen[0]: must give an absolute path after unix:"},
    {GATEWAY("\"admin\":{\"listen\":\"unix:\"}"),
     "gateway.admin.listen: must give an absolute path after unix:"},
    {GATEWAY("\"admin\":{\"listen\":\"127.0.0.1:1\"}"), "gateway.admin.listen: any user of this machine could "
                                                        "connect: it needs token or token_file, or be unix:/path"},
    {GATEWAY("\"admin\":{\"token\":\"short\"}"),
     "gateway.admin.token: must be 16 to 512 bytes long; openssl rand -hex 32 makes a good one"},
    {GATEWAY("\"admin\":{\"token\":\"0123456789 abcdef\"}"), "gateway.admin.token: must be visible ASCII without blanks"},
    {GATEWAY("\"admin\":{\"token\":\"0123456789abcdef\",\"token_file\":\"/x\"}"),
     "gateway.admin: has token and token_file; keep one"},
    {GATEWAY("\"admin\":{\"token_file\":\"/nonexistent/token\"}"),
     "gateway.admin.token_file: the file cannot be opened: No such file or directory"},
    {GATEWAY("\"admin\":{\"token_file\":\"/etc/hostname\"}"), "gateway.admin.token_file: what the file holds "
                                                          "must be 16 to 512 bytes long; openssl rand -hex 32 makes a good one"},
    {GATEWAY("\"allowed_hosts\":[\"https://a\"]"),
     "gateway.allowed_hosts[0]: must be a host, as example.com, example.com:8443 or [::1]"},
    {GATEWAY("\"allowed_hosts\":[\"\"]"),
     "gateway.allowed_hosts[0]: must be a host, as example.com, example.com:8443 or [::1]"},
    {GATEWAY("\"allowed_origins\":[\"*\"]"),
     "gateway.allowed_origins[0]: must name each origin; * would let every web site in"},
    {GATEWAY("\"allowed_origins\":[\"https://a/\"]"),
     "gateway.allowed_origins[0]: must be an origin, as https://app.example.com (scheme, host, no path)"},
    {GATEWAY("\"allowed_origins\":[\"a.example\"]"),
     "gateway.allowed_origins[0]: must be an origin, as https://app.example.com (scheme, host, no path)"},
    {GATEWAY("\"public_url\":\"mcp.example.com\""),
     "gateway.public_url: must be an absolute http or https URL"},
    {GATEWAY("\"public_url\":\"https://a/?q\""), "gateway.public_url: must not have a query (?...)"},
    /* which kind */
    {SERVER(""), "mcpServers.x: needs a \"command\" (a program to start) or a \"url\""},
    {SERVER("\"command\":\"c\",\"url\":\"http://h/\""),
     "mcpServers.x: has a command and a URL; say which with \"type\": \"stdio\" or \"http\""},
    {SERVER("\"type\":\"stdio\",\"url\":\"http://h/\""), "mcpServers.x: is stdio but has no \"command\""},
    {SERVER("\"type\":\"sse\",\"command\":\"c\""), "mcpServers.x: is http or sse but has no \"url\""},
    {SERVER("\"type\":\"websocket\",\"url\":\"http://h/\""), "mcpServers.x.type" BAD_KIND},
    {SERVER("\"type\":\"streamable-http-and-more-than-20\",\"url\":\"http://h/\""),
     "mcpServers.x.type" BAD_KIND},
    {SERVER("\"transport\":{\"type\":\"stdio\"},\"command\":\"c\""), "mcpServers.x.transport" BAD_KIND},
    {SERVER("\"type\":\"http\",\"transport\":\"sse\",\"url\":\"http://h/\""),
     "mcpServers.x.transport: contradicts what stands before; keep only \"type\""},
    /* stdio */
    {SERVER("\"command\":[\"npx\"]"), "mcpServers.x.command: must be a string"},
    {SERVER("\"command\":\"\""), "mcpServers.x.command: must not be empty"},
    {SERVER("\"command\":\"${EMPTY}\""), "mcpServers.x.command: must not be empty"},
    {SERVER("\"command\":\"c\",\"args\":\"-y\""), "mcpServers.x.args: must be an array of strings"},
    {SERVER("\"command\":\"c\",\"args\":[\"-p\",80]"), "mcpServers.x.args[1]: must be a string"},
    {SERVER("\"command\":\"c\",\"cwd\":\"\""),
     "mcpServers.x.cwd: must not be empty; leave the key out instead"},
    {SERVER("\"command\":\"c\",\"env\":[]"), "mcpServers.x.env: must be an object of NAME: value"},
    {SERVER("\"command\":\"c\",\"env\":{\"A=B\":\"c\"}"),
     "mcpServers.x.env[\"A=B\"]: is not the name of a variable"},
    {SERVER("\"command\":\"c\",\"env\":{\"\":\"c\"}"),
     "mcpServers.x.env[\"\"]: is not the name of a variable"},
    {SERVER("\"command\":\"c\",\"env\":{\"A\":[]}"),
     "mcpServers.x.env.A: must be a string, a number, true, false, or null to leave it out"},
    {SERVER("\"command\":\"c\",\"envFile\":\"no.such\""),
     "mcpServers.x.envFile: the file cannot be opened: No such file or directory"},
    {SERVER("\"command\":\"c\",\"envFile\":\"/dev\""), "mcpServers.x.envFile: the file is a directory"},
    {SERVER("\"command\":\"c\",\"envFile\":\"/dev/null\""),
     "mcpServers.x.envFile: the file is not a regular file"},
    {SERVER("\"command\":\"c\",\"disabled\":\"yes\""), "mcpServers.x.disabled: must be true or false"},
    {SERVER("\"command\":\"c\",\"enabled\":1"), "mcpServers.x.enabled: must be true or false"},
    /* ${VAR} */
    {SERVER("\"command\":\"${NO_SUCH}\""),
     "mcpServers.x.command: ${NO_SUCH} is not set in the environment; set it or write ${NO_SUCH:-default}"},
    {SERVER("\"command\":\"c\",\"args\":[\"a\",\"x${env:NO_SUCH}\"]"),
     "mcpServers.x.args[1]: ${NO_SUCH} is not set in the environment; set it or write ${NO_SUCH:-default}"},
    {SERVER("\"command\":\"c\",\"env\":{\"K\":\"${TOKE}\"}"),
     "mcpServers.x.env.K: ${TOKE} is not set in the environment; set it or write ${TOKE:-default}"},
    {SERVER("\"command\":\"c\",\"env\":{\"K\":\"${input:key}\"}"),
     "mcpServers.x.env.K: ${input:...} asks a person, which a gateway cannot; use ${env:NAME}"},
    {SERVER("\"command\":\"c\",\"cwd\":\"${workspaceFolder}/x\""),
     "mcpServers.x.cwd: ${workspaceFolder} is not set in the environment; set it or write "
     "${workspaceFolder:-default}"},
    {SERVER("\"command\":\"c\",\"args\":[\"${A:-${B}}\"]"),
     "mcpServers.x.args[0]: the default of ${A} holds another ${; defaults cannot nest"},
    /* URLs; a text never repeats them */
    {URL(""), "mcpServers.x.url: must be an absolute http or https URL"},
    {URL("example.com/mcp"), "mcpServers.x.url: must be an absolute http or https URL"},
    {URL("http:/h/"), "mcpServers.x.url: must be an absolute http or https URL"},
    {URL("ws://h/"), "mcpServers.x.url: must begin with http:// or https://"},
    {URL("file:///etc/passwd"), "mcpServers.x.url: must begin with http:// or https://"},
    {URL("https:///mcp"), "mcpServers.x.url: must name a host"},
    {URL("https://?q"), "mcpServers.x.url: must name a host"},
    {URL("https://u:p@h/"), "mcpServers.x.url: must not hold a user or password; put secrets in headers"},
    {URL("https://${TOKEN}@h/"),
     "mcpServers.x.url: must not hold a user or password; put secrets in headers"},
    {URL("https://h:0/"), "mcpServers.x.url: must name a valid host and, if any, a port from 1 to 65535"},
    {URL("https://h:99999/"), "mcpServers.x.url: must name a valid host and, if any, a port from 1 to 65535"},
    {URL("https://h:/"), "mcpServers.x.url: must name a valid host and, if any, a port from 1 to 65535"},
    {URL("https://[::g]/"), "mcpServers.x.url: must name a valid host and, if any, a port from 1 to 65535"},
    {URL("https://a\\\\b/"), "mcpServers.x.url: must name a valid host and, if any, a port from 1 to 65535"},
    {URL("https://h/#f"), "mcpServers.x.url: must not have a fragment (#...)"},
    {URL("https://h/a b"),
     "mcpServers.x.url: must be printable ASCII without blanks; percent-encode the rest"},
    {URL("https://h/\\r\\nX: y"),
     "mcpServers.x.url: must be printable ASCII without blanks; percent-encode the rest"},
    {URL("https://h\xc3\xa4/"),
     "mcpServers.x.url: must be printable ASCII without blanks; percent-encode the rest"},
    {SERVER("\"serverUrl\":7"), "mcpServers.x.serverUrl: must be a string"},
    /* headers */
    {SERVER("\"url\":\"http://h/\",\"headers\":[\"A: b\"]"),
     "mcpServers.x.headers: must be an object of Name: \"value\""},
    {SERVER("\"url\":\"http://h/\",\"headers\":{\"A\":1}"), "mcpServers.x.headers.A: must be a string"},
    {HEADER("A b", "c"), "mcpServers.x.headers[\"A b\"]: is not a header name; use letters, digits and -"},
    {HEADER("", "c"), "mcpServers.x.headers[\"\"]: is not a header name; use letters, digits and -"},
    {HEADER("A:", "c"), "mcpServers.x.headers[\"A:\"]: is not a header name; use letters, digits and -"},
    {HEADER("A", "b\\r\\nC: d"),
     "mcpServers.x.headers.A: holds a control byte (a line break at its end?); remove it"},
    {HEADER("A", "${LINE}"),
     "mcpServers.x.headers.A: holds a control byte (a line break at its end?); remove it"},
    {HEADER("A", "\\u007f"),
     "mcpServers.x.headers.A: holds a control byte (a line break at its end?); remove it"},
    {HEADER("A\":\"1\",\"a", "2"),
     "mcpServers.x.headers.a: is there twice; header names are the same in any case"},
    /* names */
    {"{\"mcpServers\":{\"\":{\"command\":\"c\"}}}",
     "mcpServers[\"\"]: the name of a server must be 1 to 128 bytes long"},
    {"{\"mcpServers\":{\"./.\":{\"command\":\"c\"}}}",
     "mcpServers[\"./.\"]: the name of a server needs at least one of A-Z a-z 0-9 _ -"},
    {"{\"mcpServers\":{\"a b\":{\"command\":\"c\"},\"a.b\":{\"command\":\"c\"}}}",
     "mcpServers[\"a.b\"]: the name reduces to \"ab\", as that of server \"a b\" does; rename one"},
    {"{\"mcpServers\":[{\"name\":\"a\",\"command\":\"c\"},{\"name\":\"a\",\"command\":\"c\"}]}",
     "mcpServers[1]: the name reduces to \"a\", as that of server \"a\" does; rename one"},
    {"{\"mcpServers\":{\"a\":{\"command\":\"c\"},\"a__b\":{\"command\":\"c\"}}}",
     "mcpServers.a__b: its tools could have the names of those of server \"a\"; rename one, or choose another gateway.separator"},
    {"{\"gateway\":{\"separator\":\"-\"},\"mcpServers\":{\"a-b\":{\"command\":\"c\"},\"a\":{\"command\":\"c\"}}}",
     "mcpServers.a: its tools could have the names of those of server \"a-b\"; rename one, or choose another gateway.separator"},
};

START_TEST(refused) {
  config_bad(cases[_i].text, cases[_i].error);
}
END_TEST

static const char *const reserved[] = {
    "Host",           "Content-Length",   "Transfer-Encoding", "Connection",      "HOST",
    "Mcp-Session-Id", "Mcp-Method",       "mcp-name",          "Accept",          "MCP-Protocol-Version",
    "Content-Type",   "Mcp-Param-Region", "Keep-Alive",        "Accept-Encoding", "TE",
    "Last-Event-ID"};

START_TEST(reserved_headers) {
  char text[256], error[256];
  snprintf(text, sizeof text, HEADER("%s", "v"), reserved[_i]);
  snprintf(error, sizeof error, "mcpServers.x.headers.%s: is set by the gateway itself; remove it",
           reserved[_i]);
  config_bad(text, error);
}
END_TEST

/* Truncated at every byte, a document is refused with a place and nothing is left over. */
START_TEST(truncated_everywhere) {
  size_t len = 0;
  char *text = config_read_file("examples/full.json", &len);
  int64_t before = mg_mem_live();
  while (len > 0 && text[len - 1] != '}') len--;
  for (size_t n = 0; n < len; n++) {
    struct mg_config *c = NULL;
    struct mg_err err;
    mg_err_clear(&err);
    ck_assert_int_eq(mg_config_parse(mg_slice(text, n), config_env, NULL, &c, &err), MCPGW_E_CONFIG);
    ck_assert_msg(strncmp(mg_err_text(&err), "line ", 5) == 0, "at %zu: %s", n, mg_err_text(&err));
    ck_assert_ptr_null(c);
  }
  ck_assert_int_eq(mg_mem_live(), before);
  mg_free(text);
}
END_TEST

static char *repeated(const char *head, const char *item, size_t n, const char *tail) {
  struct mg_buf b;
  mg_buf_init(&b, 4 * 1024 * 1024);
  mg_buf_addz(&b, head);
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && item[1]) mg_buf_addz(&b, ",");
    mg_buf_addz(&b, item);
  }
  mg_buf_add(&b, tail, strlen(tail) + 1);
  ck_assert_int_eq(mg_buf_rc(&b), MCPGW_OK);
  return b.ptr;
}

#define GATEWAY_OPEN(key) "{\"gateway\":{\"" key "\":"

START_TEST(ceilings) {
  static const struct {
    const char *head, *item;
    size_t fits;
    const char *tail, *error;
  } c[] = {
      {"{\"a\":\"", "a", 1024 * 1024 - 8, "\"}", "the document is longer than 1048576 bytes"},
      {"{\"mcpServers\":{\"x\":{\"command\":\"c\",\"args\":[", "\"\"", 1000, "]}}}",
       "mcpServers.x.args: must have at most 1000 items"},
      {"{\"mcpServers\":{\"x\":{\"command\":\"", "c", 65536, "\"}}}",
       "mcpServers.x.command: longer than 65536 bytes after expansion; make it shorter"},
      {"{\"mcpServers\":{\"", "n", 128, "\":{\"command\":\"c\"}}}",
       "mcpServers.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: the name of a server "
       "must be 1 "
       "to 128 bytes long"},
      {GATEWAY_OPEN("listen") "[\"unix:/", "a", 106, "\"]}}",
       "gateway.listen[0]: must give a path of at most 107 bytes after unix:"},
      {GATEWAY_OPEN("state_dir") "\"/", "a", 4094, "\"}}",
       "gateway.state_dir: must be at most 4095 bytes long"},
      {GATEWAY_OPEN("allowed_hosts") "[\"", "a", 253, "\"]}}",
       "gateway.allowed_hosts[0]: must be a host, as example.com, example.com:8443 or [::1]"},
      {GATEWAY_OPEN("separator") "\"", "_", 8, "\"}}",
       "gateway.separator: must be 1 to 8 of A-Z a-z 0-9 _ - ."},
      {"{\"mcpServers\":{\"x\":{\"url\":\"http://h/", "a", 8192 - 9, "\"}}}",
       "mcpServers.x.url: must be at most 8192 bytes long"},
      {"{\"mcpServers\":{\"x\":{\"url\":\"http://h/\",\"headers\":{\"", "n", 128, "\":\"v\"}}}}",
       "mcpServers.x.headers.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: is "
       "not a header name; use letters, digits and -"},
      {"{\"gateway\":{\"listen\":[", "\"127.0.0.1:0\"", 16, "]}}",
       "gateway.listen: must have at most 16 items"},
  };
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char *text = repeated(c[i].head, c[i].item, c[i].fits, c[i].tail);
    mg_config_unref(config_good(text));
    mg_free(text);
    text = repeated(c[i].head, c[i].item, c[i].fits + 1, c[i].tail);
    config_bad(text, c[i].error);
    mg_free(text);
  }
}
END_TEST

/* n members "P1": value … between head and tail. */
static char *members(const char *head, const char *prefix, const char *value, uint64_t n, const char *tail) {
  struct mg_buf b;
  mg_buf_init(&b, 1024 * 1024);
  mg_buf_addz(&b, head);
  for (uint64_t i = 1; i <= n; i++) {
    mg_buf_addz(&b, i > 1 ? ",\"" : "\"");
    mg_buf_addz(&b, prefix);
    mg_buf_addu(&b, i);
    mg_buf_addz(&b, "\":");
    mg_buf_addz(&b, value);
  }
  mg_buf_add(&b, tail, strlen(tail) + 1);
  ck_assert_int_eq(mg_buf_rc(&b), MCPGW_OK);
  return b.ptr;
}

START_TEST(ceilings_of_members) {
  static const struct {
    const char *head, *prefix, *value;
    uint64_t fits;
    const char *tail, *error;
  } c[] = {{"{\"mcpServers\":{\"x\":{\"url\":\"http://h/\",\"headers\":{", "H", "\"v\"", 100, "}}}}",
            "mcpServers.x.headers.H101: more than 100 headers"},
           {"{\"mcpServers\":{\"x\":{\"command\":\"c\",\"gateway\":{\"tools\":{", "t", "{}", 1000, "}}}}}",
            "mcpServers.x.gateway.tools: must have at most 1000 members"},
           {"{\"mcpServers\":{\"x\":{\"command\":\"c\",\"env\":{", "V", "\"\"", 1000 - 11, "}}}}",
            "mcpServers.x.env.V990: more than 1000 variables for one server"}}; /* 11 are inherited */
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char *text = members(c[i].head, c[i].prefix, c[i].value, c[i].fits, c[i].tail);
    mg_config_unref(config_good(text));
    mg_free(text);
    text = members(c[i].head, c[i].prefix, c[i].value, c[i].fits + 1, c[i].tail);
    config_bad(text, c[i].error);
    mg_free(text);
  }
}
END_TEST

START_TEST(nul_bytes) {
  struct mg_config *c = NULL;
  struct mg_err err;
  mg_err_clear(&err);
  struct mg_slice text = MG_LIT(GATEWAY("\"state_dir\":\"a\\u0000b\""));
  ck_assert_int_eq(mg_config_parse(text, NULL, NULL, &c, &err), MCPGW_E_CONFIG);
  ck_assert_ptr_nonnull(strstr(mg_err_text(&err), "a string must not contain \\u0000"));
  ck_assert_ptr_null(c);
}
END_TEST

/* No value of a secret may come back in a text: the errors above were exact; here the notes. */
START_TEST(secrets_stay_out_of_notes) {
  struct mg_config *c = config_good(SERVER("\"command\":\"c\",\"url\":\"http://h/${TOKEN}\",\"x\":\"s3cret\","
                                           "\"env\":{\"A\":\"${TOKEN}\",\"B\":\"${NO:-s3cret}\"}"
                                           ",\"type\":\"stdio\""));
  ck_assert_uint_gt(c->n_notes, 0);
  for (size_t i = 0; i < c->n_notes; i++) {
    ck_assert_ptr_null(strstr(c->notes[i].text, "s3cret"));
    ck_assert_ptr_null(strstr(c->notes[i].path, "s3cret"));
  }
  mg_config_unref(c);
}
END_TEST

Suite *config_bad_suite(void) {
  Suite *s = suite_create("config bad");
  TCase *t = tcase_create("documents");
  tcase_add_loop_test(t, refused, 0, (int)(sizeof cases / sizeof *cases));
  tcase_add_loop_test(t, reserved_headers, 0, (int)(sizeof reserved / sizeof *reserved));
  tcase_add_test(t, truncated_everywhere);
  tcase_add_test(t, ceilings);
  tcase_add_test(t, ceilings_of_members);
  tcase_add_test(t, nul_bytes);
  tcase_add_test(t, secrets_stay_out_of_notes);
  tcase_set_timeout(t, 30);
  suite_add_tcase(s, t);
  return s;
}
