/* tests/gateway/admin: the admin door and the answers to probes: who may come in, what is told (and what never
 * is), pages, revocation. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/rig.h"
#include "gateway/suites.h"

#define TOKEN "0123456789abcdef-token"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"

static struct gwt g;
static char path[64];

/* more: members of gateway.admin behind listen, or "". */
static void up(const char *more, int n_servers) {
  char text[512];
  snprintf(path, sizeof path, "/tmp/mcpgw-admin-%d.sock", (int)getpid());
  snprintf(text, sizeof text, "\"admin\":{\"listen\":\"unix:%s\"%s},", path, more);
  gwt_up(&g, text, n_servers);
}

static void knock(struct gwt_http *c) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
  memset(c, 0, sizeof *c);
  c->g = &g;
  c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&a, sizeof a), 0);
  ck_assert_int_eq(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

/* The status; *out malloc'ed, when not NULL. */
static int door(const char *method, const char *what, const char *headers, const char *body, char **out) {
  struct gwt_http c;
  char *text = NULL;
  knock(&c);
  gwt_request(&c, method, what, headers, body);
  int status = gwt_response(&c, &text, NULL, 3000);
  if (out) *out = strdup(text ? text : "");
  gwt_close(&c);
  return status;
}

static char *get(const char *what) {
  char *text;
  int status = door("GET", what, "", "", &text);
  ck_assert_msg(status == 200, "%s: %d %s", what, status, text);
  return text;
}

static int counts(const char *text, const char *part) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, part)); p++) n++;
  return n;
}

START_TEST(the_socket_is_private) {
  struct stat st;
  up("", 1);
  ck_assert_int_eq(stat(path, &st), 0);
  ck_assert(S_ISSOCK(st.st_mode));
  ck_assert_int_eq(st.st_mode & 0777, 0600);
  ck_assert_int_eq(door("GET", "/stats", "", "", NULL), 200);
  ck_assert_int_eq(door("GET", "/stats", "Origin: http://127.0.0.1\r\n", "", NULL), 403);
  gwt_down(&g);
  ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

/* Even where somebody opened the file to all. */
START_TEST(another_user_is_refused) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  char text[512] = "";
  int answer[2], status = 0;
  if (geteuid() != 0) return; /* only root can become somebody else */
  up("", 1);
  snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
  ck_assert_int_eq(chmod(path, 0666), 0);
  ck_assert_int_eq(pipe(answer), 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (setuid(65534) != 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) _exit(1);
    if (write(fd, "GET /contexts HTTP/1.1\r\nHost: x\r\n\r\n", 36) < 0) _exit(2);
    ssize_t n = read(fd, text, sizeof text);
    _exit(n > 0 && write(answer[1], text, (size_t)n) == n ? 0 : 3);
  }
  uint64_t end = gwt_ms() + 10000;
  while (waitpid(child, &status, WNOHANG) == 0 && gwt_ms() < end) gwt_turn(&g, 5);
  ck_assert_int_eq(status, 0);
  ck_assert_int_gt(read(answer[0], text, sizeof text - 1), 0);
  gwt_has(text, "HTTP/1.1 403 ");
  gwt_lacks(text, "items");
  close(answer[0]);
  close(answer[1]);
  gwt_down(&g);
}
END_TEST

START_TEST(a_living_door_or_a_file_is_not_replaced) {
  struct gwt h;
  char text[256];
  struct stat st;
  up("", 1);
  struct gwt first = g;
  snprintf(text, sizeof text, "\"admin\":{\"listen\":\"unix:%s\"},", path);
  ck_assert_int_eq(gwt_try_up(&h, text, 1), MCPGW_E_IO);
  gwt_has(mcpgw_gateway_error(h.gw), "address in use");
  gwt_down(&h);
  ck_assert_int_eq(stat(path, &st), 0); /* the other one's door is still there */
  g = first;
  for (int i = 0; i < 3; i++) g.servers[i].g = &g;
  gwt_down(&g);
  FILE *f = fopen(path, "w"); /* somebody's file: it stays */
  fputs("precious", f);
  fclose(f);
  ck_assert_int_eq(gwt_try_up(&h, text, 1), MCPGW_E_IO);
  gwt_down(&h);
  ck_assert_int_eq(stat(path, &st), 0);
  ck_assert_int_eq(st.st_size, 8);
  unlink(path);
}
END_TEST

START_TEST(a_token_is_asked_of_everybody) {
  static const char *const wrong[] = {"", "Authorization: Bearer \r\n", "Authorization: Bearer 0123456789abcdef-tokeN\r\n",
                                      "Authorization: Basic " TOKEN "\r\n", "Authorization: Bearer " TOKEN "x\r\n",
                                      BEARER BEARER};
  char *text;
  up(",\"token\":\"" TOKEN "\"", 1);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    ck_assert_int_eq(door("GET", "/contexts", wrong[i], "", &text), 401);
    gwt_lacks(text, TOKEN);
    free(text);
    ck_assert_int_eq(door("POST", "/revoke", wrong[i], "{\"principal\":\"local\"}", NULL), 401);
  }
  ck_assert_int_eq(door("GET", "/contexts", BEARER, "", NULL), 200);
  ck_assert_int_eq(door("GET", "/contexts", "authorization: bearer " TOKEN "\r\n", "", NULL), 200);
  ck_assert_int_eq(door("GET", "/livez", "", "", NULL), 200);
  ck_assert_int_eq(door("GET", "/readyz", "", "", &text), 200);
  ck_assert_str_eq(text, "ok\n"); /* no detail without the token */
  free(text);
  ck_assert_int_eq(door("GET", "/readyz", BEARER, "", &text), 200);
  gwt_has(text, "\"ready\":true");
  free(text);
  gwt_lacks(g.log, TOKEN);
  gwt_down(&g);
}
END_TEST

START_TEST(what_is_told) {
  char id[80], *text;
  up("", 2);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  text = get("/contexts");
  gwt_has(text, "\"principal\":\"local\"");
  gwt_has(text, "\"links\":2");
  gwt_has(text, "\"total\":1,\"next\":null}");
  id[strcspn(id, "\r")] = 0;
  const char *whole = strchr(id, ' ') + 1;
  gwt_lacks(text, whole);            /* never what opens the session */
  gwt_has(text, "\"id\":\"1-"); /* but the tag of the log */
  free(text);
  text = get("/links?upstream=b");
  gwt_has(text, "\"upstream\":\"b\"");
  gwt_has(text, "\"era\":\"legacy\"");
  gwt_has(text, "\"state\":\"ready\"");
  gwt_has(text, "\"total\":1");
  free(text);
  text = get("/upstreams");
  ck_assert_int_eq(counts(text, "\"state\":\"up\""), 2);
  gwt_has(text, "\"counters\":{\"requests\":1,\"replies\":1,\"failed\":0");
  free(text);
  text = get("/children");
  gwt_has(text, "{\"items\":[],\"total\":0");
  free(text);
  text = get("/contexts?principal=nobody");
  gwt_has(text, "\"total\":0");
  free(text);
  ck_assert_int_eq(door("GET", "/nothing", "", "", NULL), 404);
  ck_assert_int_eq(door("GET", "/", "", "", NULL), 404);
  ck_assert_int_eq(door("GET", "/contexts?limit=0", "", "", NULL), 400);
  ck_assert_int_eq(door("GET", "/contexts?limit=1001", "", "", NULL), 400);
  ck_assert_int_eq(door("GET", "/contexts?principal=%4", "", "", NULL), 400);
  ck_assert_int_eq(door("GET", "/contexts?nonsense=1", "", "", NULL), 400);
  ck_assert_int_eq(door("POST", "/contexts", "", "", NULL), 405);
  ck_assert_int_eq(door("GET", "/revoke", "", "", NULL), 405);
  ck_assert_int_eq(door("GET", "/contexts?principal=l%6fcal&limit=1", "", "", &text), 200);
  gwt_has(text, "\"total\":1");
  free(text);
  gwt_down(&g);
}
END_TEST

/* Every context is on exactly one page, whatever ends and begins meanwhile. */
START_TEST(pages) {
  char id[80], what[64] = "/contexts?limit=7", seen[200] = {0};
  int n = 0;
  long last = 0;
  up("", 1);
  for (int i = 0; i < 40; i++) gwt_session(&g, "/mcp", "2025-11-25", id);
  for (int page = 0; page < 10; page++) {
    char *text = get(what);
    for (const char *p = text; (p = strstr(p, "\"id\":\"")); p++) {
      long number = strtol(p + 6, NULL, 10);
      ck_assert_int_lt(number, 200);
      ck_assert_msg(!seen[number], "%ld twice", number);
      ck_assert_int_gt(number, last); /* oldest first */
      last = number;
      seen[number] = 1;
      n++;
    }
    const char *next = strstr(text, "\"next\":");
    ck_assert_ptr_nonnull(next);
    int over = strncmp(next + 7, "null", 4) == 0;
    snprintf(what, sizeof what, "/contexts?limit=7&after=%ld", strtol(next + 7, NULL, 10));
    free(text);
    if (over) break;
    gwt_session(&g, "/mcp", "2025-11-25", id); /* a new one while we turn the page */
  }
  ck_assert_int_ge(n, 40);
  gwt_down(&g);
}
END_TEST

START_TEST(revocation) {
  char a[80], b[80], order[128], *text;
  struct gwt_http c;
  up("", 1);
  gwt_session(&g, "/mcp", "2025-11-25", a);
  gwt_session(&g, "/mcp", "2025-11-25", b);
  gwt_connect(&g, &c);
  gwt_post(&c, "/mcp", a, GWT_CALL("7", "hold"));
  ck_assert_int_eq(gwt_wait(&g, &g.servers[0].calls, 1, 3000), 1);
  text = get("/contexts?limit=1"); /* the older one */
  const char *id = strstr(text, "\"id\":\"") + 6;
  snprintf(order, sizeof order, "{\"session\":\"%.*s\"}", (int)strcspn(id, "\""), id);
  free(text);
  ck_assert_int_eq(door("POST", "/revoke", "", order, &text), 200);
  ck_assert_str_eq(text, "{\"ended\":1}");
  free(text);
  ck_assert_int_eq(gwt_response(&c, &text, NULL, 3000), 404); /* the call under way is told */
  gwt_has(text, "CONTEXT_ENDED");
  gwt_close(&c);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", a, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}", NULL), 404);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", b, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}", NULL), 200);
  ck_assert_int_eq(door("POST", "/revoke", "", order, NULL), 404); /* it is gone */
  ck_assert_int_eq(door("POST", "/revoke", "", "{\"principal\":\"nobody\"}", NULL), 404);
  ck_assert_int_eq(door("POST", "/revoke", "", "{}", NULL), 400);
  ck_assert_int_eq(door("POST", "/revoke", "", "{\"session\":1}", NULL), 400);
  ck_assert_int_eq(door("POST", "/revoke", "", "{\"session\":\"\"}", NULL), 400);
  ck_assert_int_eq(door("POST", "/revoke", "", "{\"session\":\"a\",\"principal\":\"b\"}", NULL), 400);
  ck_assert_int_eq(door("POST", "/revoke", "", "[", NULL), 400);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", b, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}", NULL), 200);
  ck_assert_int_eq(door("POST", "/revoke", "", "{\"principal\":\"local\"}", NULL), 200);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", b, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}", NULL), 404);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 0);
  gwt_down(&g);
}
END_TEST

static int probe(const char *what, const char *host) {
  struct gwt_http c;
  char text[256];
  gwt_connect(&g, &c);
  snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", what, host);
  gwt_write(&c, text, strlen(text));
  int status = gwt_response(&c, NULL, NULL, 3000);
  gwt_close(&c);
  return status;
}

/* On the listener of the clients: any Host, one word. */
START_TEST(probes) {
  char id[80], *text = NULL;
  struct gwt_http c;
  up("", 1);
  ck_assert_int_eq(probe("/livez", "10.2.3.4:8808"), 200);
  ck_assert_int_eq(probe("/readyz", "balancer.example"), 200);
  gwt_connect(&g, &c);
  gwt_request(&c, "POST", "/readyz", "", "{}");
  ck_assert_int_eq(gwt_response(&c, NULL, NULL, 3000), 405);
  gwt_close(&c);
  gwt_session(&g, "/mcp", "2025-11-25", id);
  ck_assert_int_eq(mcpgw_gateway_stop(g.gw, 5000), MCPGW_OK);
  ck_assert_int_eq(door("GET", "/readyz", "", "", &text), 503); /* it can be watched until the last call is over */
  gwt_has(text, "draining");
  free(text);
  gwt_down(&g);
}
END_TEST

/* One upstream that fails leaves the gateway ready; all of them do not. */
START_TEST(ready_while_one_upstream_is_there) {
  char *text;
  up("", 2);
  g.servers[0].mute = g.servers[1].mute = 0;
  mcpgw_client *one, *other;
  ck_assert_int_eq(mcpgw_client_open(&one, g.gw, "a", 1, MCPGW_CLIENT_LEGACY), MCPGW_OK);
  g.servers[0].mute = 1;
  for (int i = 0; i < 50 && !g.servers[0].last; i++) gwt_turn(&g, 5);
  ck_assert_ptr_nonnull(g.servers[0].last);
  mg_memory_end(g.servers[0].last, "the disk is full");
  for (int i = 0; i < 5; i++) gwt_turn(&g, 5);
  text = get("/readyz");
  gwt_has(text, "\"ready\":true");
  gwt_has(text, "the disk is full");
  free(text);
  ck_assert_int_eq(mcpgw_client_open(&other, g.gw, "b", 1, MCPGW_CLIENT_LEGACY), MCPGW_OK);
  g.servers[1].mute = 1;
  for (int i = 0; i < 50 && !g.servers[1].last; i++) gwt_turn(&g, 5);
  mg_memory_end(g.servers[1].last, "the disk is full");
  ck_assert_int_eq(mcpgw_gateway_report(g.gw, "ready", 5, NULL, 0, &text), MCPGW_OK);
  for (int i = 0; i < 20 && !strstr(text, "all upstreams"); i++) {
    mcpgw_free(text);
    gwt_turn(&g, 5);
    ck_assert_int_eq(mcpgw_gateway_report(g.gw, "ready", 5, NULL, 0, &text), MCPGW_OK);
  }
  gwt_has(text, "\"ready\":false,\"reason\":\"all upstreams are down\"");
  mcpgw_free(text);
  mcpgw_client_close(one);
  mcpgw_client_close(other);
  gwt_down(&g);
}
END_TEST

START_TEST(the_hosts_own_report) {
  char *text = NULL;
  size_t n = 7;
  up("", 1);
  ck_assert_int_eq(mcpgw_gateway_report(g.gw, "upstreams", 9, "limit=1", 7, &text), MCPGW_OK);
  gwt_has(text, "\"name\":\"a\"");
  gwt_has(text, "\"state\":\"idle\"");
  mcpgw_free(text);
  text = NULL;
  ck_assert_int_eq(mcpgw_gateway_report(g.gw, "nothing", 7, NULL, 0, &text), MCPGW_E_NOT_FOUND);
  ck_assert_int_eq(mcpgw_gateway_report(g.gw, "stats", 5, "a", 1, &text), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_report(NULL, "stats", 5, NULL, 0, &text), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_revoke(g.gw, "nothing", 7, "x", 1, &n), MCPGW_E_INVALID);
  ck_assert_int_eq(mcpgw_gateway_revoke(g.gw, "session", 7, "", 0, &n), MCPGW_E_INVALID);
  ck_assert_ptr_null(text);
  ck_assert_uint_eq(n, 7);
  ck_assert_int_eq(mcpgw_gateway_revoke(g.gw, "principal", 9, "x", 1, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 0);
  gwt_down(&g);
}
END_TEST

Suite *gateway_admin_suite(void) {
  Suite *s = suite_create("gateway/admin");
  TCase *t = tcase_create("door");
  tcase_add_test(t, the_socket_is_private);
  tcase_add_test(t, another_user_is_refused);
  tcase_add_test(t, a_living_door_or_a_file_is_not_replaced);
  tcase_add_test(t, a_token_is_asked_of_everybody);
  tcase_add_test(t, what_is_told);
  tcase_add_test(t, pages);
  tcase_add_test(t, revocation);
  tcase_add_test(t, probes);
  tcase_add_test(t, ready_while_one_upstream_is_there);
  tcase_add_test(t, the_hosts_own_report);
  tcase_set_timeout(t, 60);
  suite_add_tcase(s, t);
  return s;
}
