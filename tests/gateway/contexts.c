/* tests/gateway/contexts: contexts over real sockets: handles, whose state it is, what is told when it is lost, how
 * fast a revocation cuts; the files that keys are kept in, with several processes at them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "crypt/seal.h"
#include "gateway/gateway.h"
#include "gateway/rig.h"
#include "gateway/suites.h"

#define CTX(value) "\"_meta\":{\"dev.mcpgw/context\":" value ",\"" GWT_NS "protocolVersion\":\"2026-07-28\",\"" GWT_NS "clientCapabilities\":{}}"

/* A modern tools/call under a handle (a JSON value). *out: the reply, malloc'ed. */
static int ask(struct gwt *g, const char *tool, const char *handle, char **out) {
  char body[2000], headers[200];
  snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\",\"arguments\":{}," CTX("%s") "}}", tool, handle);
  snprintf(headers, sizeof headers, GWT_CALL_HEADERS("%s"), tool);
  return gwt_ask(g, "/mcp", headers, body, out);
}

static void handle_of(const char *text, char out[300]) {
  const char *at = strstr(text, "\"dev.mcpgw/context\":\"");
  ck_assert_msg(at != NULL, "no handle in %s", text);
  at += strlen("\"dev.mcpgw/context\":");
  snprintf(out, 300, "%.*s", (int)(strchr(at + 1, '"') + 1 - at), at);
}

START_TEST(a_handle_keeps_its_workflow) {
  struct gwt g;
  char *text, h[300];
  gwt_isolate(MG_ISO_SESSION);
  gwt_up(&g, "", 1);
  g.servers[0].modern = 1;
  ck_assert_int_eq(ask(&g, "echo", "\"new\"", &text), 200);
  handle_of(text, h);
  free(text);
  ck_assert_int_eq(g.servers[0].conns, 1);
  ck_assert_int_eq(ask(&g, "echo", h, &text), 200);
  gwt_has(text, "\"result\"");
  free(text);
  ck_assert_int_eq(g.servers[0].conns, 1);
  gwt_lacks(g.servers[0].last_call, "dev.mcpgw");
  ck_assert_int_eq(ask(&g, "echo", "\"new\"", &text), 200);
  free(text);
  ck_assert_int_eq(g.servers[0].conns, 2);
  h[10] = h[10] == 'x' ? 'y' : 'x';
  ck_assert_int_eq(ask(&g, "echo", h, &text), 200); /* read from 2xx by the official SDKs */
  gwt_has(text, "\"code\":-31008");
  gwt_has(text, "\"reason\":\"CONTEXT_ENDED\"");
  free(text);
  ck_assert_int_eq(gwt_stat(&g, "handles_refused"), 1);
  gwt_down(&g);
}
END_TEST

START_TEST(revocation_cuts_at_once) {
  struct gwt g;
  struct gwt_http post, get, modern;
  char id[80];
  size_t n = 0;
  gwt_isolate(MG_ISO_SESSION);
  gwt_up(&g, "\"sse_after_ms\":20,", 1);
  g.servers[0].modern = 1;
  gwt_session(&g, "/mcp", "2025-11-25", id);
  gwt_connect(&g, &post);
  gwt_connect(&g, &get);
  gwt_connect(&g, &modern);
  gwt_post(&post, "/mcp", id, GWT_CALL("1", "hold"));
  gwt_request(&get, "GET", "/mcp", id, "");
  gwt_post(&modern, "/mcp", GWT_CALL_HEADERS("hold"), GWT_MODERN_CALL("2", "hold"));
  ck_assert(gwt_until(&get, "text/event-stream", 5000));
  ck_assert(gwt_until(&post, "text/event-stream", 5000));
  ck_assert(gwt_until(&modern, "text/event-stream", 5000));
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 2);
  uint64_t start = gwt_ms();
  ck_assert_int_eq(mcpgw_gateway_revoke(g.gw, "principal", 9, "local", 5, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 2);
  ck_assert(gwt_stream_has(&post, "CONTEXT_ENDED", 5000));
  ck_assert(gwt_stream_over(&post, 5000));
  ck_assert(gwt_stream_over(&get, 5000));
  ck_assert(gwt_stream_has(&modern, "CONTEXT_ENDED", 5000));
  ck_assert(gwt_stream_over(&modern, 5000));
  printf("revocation: three streams cut within %llu ms\n", (unsigned long long)(gwt_ms() - start));
  ck_assert(gwt_wait(&g, &g.servers[0].cancelled, 2, 5000)); /* the upstream was told */
  ck_assert_ptr_null(g.servers[0].last);                     /* and its sessions are closed */
  char *text;
  ck_assert_int_eq(gwt_ask(&g, "/mcp", id, GWT_CALL("3", "echo"), &text), 404);
  gwt_has(text, "CONTEXT_ENDED");
  free(text);
  gwt_close(&post);
  gwt_close(&get);
  gwt_close(&modern);
  ck_assert_int_eq(gwt_stat(&g, "contexts_revoked"), 2);
  gwt_down(&g);
}
END_TEST

/* Each message goes to one stream, and the newer GET stream is the one. */
START_TEST(a_new_get_stream_replaces_the_old) {
  struct gwt g;
  struct gwt_http old, next;
  char id[80];
  gwt_up(&g, "", 1);
  gwt_session(&g, "/mcp", "2025-06-18", id);
  gwt_connect(&g, &old);
  gwt_connect(&g, &next);
  gwt_request(&old, "GET", "/mcp", id, "");
  ck_assert(gwt_until(&old, "text/event-stream", 5000));
  gwt_say(&g.servers[0], "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
  ck_assert(gwt_stream_has(&old, "list_changed", 5000));
  gwt_request(&next, "GET", "/mcp", id, "");
  ck_assert(gwt_until(&next, "text/event-stream", 5000));
  ck_assert(gwt_stream_over(&old, 5000));
  gwt_say(&g.servers[0], "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}");
  ck_assert(gwt_stream_has(&next, "prompts/list_changed", 5000));
  int over;
  char *text = gwt_stream(&next, &over);
  gwt_lacks(text, "tools/list_changed"); /* once was enough */
  free(text);
  gwt_close(&old);
  gwt_close(&next);
  gwt_down(&g);
}
END_TEST

/* The client resets its connection before it has read the error: it has not been told. */
START_TEST(lost_state_is_told_to_who_listens) {
  struct gwt g;
  struct gwt_http c;
  char id[80], *text;
  gwt_up(&g, "\"resume_ms\":50,", 1);
  gwt_session(&g, "/mcp", "2025-06-18", id);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", id, GWT_CALL("1", "echo"), &text), 200);
  free(text);
  mg_memory_end(g.servers[0].last, "it crashed");
  gwt_turn(&g, 20);
  ck_assert_int_eq(gwt_ask(&g, "/mcp", id, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", &text), 200);
  gwt_has(text, "\"result\"");
  free(text);
  for (int i = 0; i < 3; i++) { /* in parallel: all are told until one was written */
    gwt_connect(&g, &c);
    gwt_post(&c, "/mcp", id, i ? GWT_CALL("4", "echo") : GWT_CALL("3", "echo"));
    char *body;
    ck_assert_int_eq(gwt_response(&c, &body, NULL, 5000), 200);
    if (i == 0) gwt_has(body, "\"code\":-31007");
    if (i == 2) gwt_has(body, "\"result\"");
    gwt_close(&c);
  }
  ck_assert_int_eq(g.servers[0].conns, 2);
  gwt_down(&g);
}
END_TEST

/* Twenty callers in parallel, each with a counter at the server: nobody ever sees another's. */
static const int modes[] = {MG_ISO_SESSION, MG_ISO_PRINCIPAL};

START_TEST(callers_do_not_meet) {
  struct gwt g;
  mcpgw_client *c[20];
  gwt_isolate(modes[_i]);
  gwt_up(&g, "", 1);
  for (int i = 0; i < 20; i++) {
    char name[20];
    mcpgw_client_options o;
    mcpgw_client_options_init(&o);
    o.mode = MCPGW_CLIENT_LEGACY;
    o.principal = name;
    o.principal_len = (size_t)snprintf(name, sizeof name, "user-%d", i % 10);
    ck_assert_int_eq(mcpgw_client_open_with(&c[i], g.gw, &o), MCPGW_OK);
  }
  for (int ready = 0; ready < 20;) {
    mcpgw_event *e = gwt_event(&g, 5000);
    ck_assert_ptr_nonnull(e);
    ready += mcpgw_event_kind(e) == MCPGW_EVENT_READY;
    mcpgw_event_free(e);
  }
  ck_assert_int_eq(g.servers[0].conns, modes[_i] == MG_ISO_SESSION ? 20 : 10);
  size_t n = 0;
  ck_assert_int_eq(mcpgw_gateway_revoke(g.gw, "principal", 9, "user-3", 6, &n), MCPGW_OK);
  ck_assert_uint_eq(n, 2);
  for (int closed = 0; closed < 2;) {
    mcpgw_event *e = gwt_event(&g, 5000);
    ck_assert_ptr_nonnull(e);
    if (mcpgw_event_kind(e) == MCPGW_EVENT_CLOSED) {
      ck_assert(mcpgw_event_client(e) == c[3] || mcpgw_event_client(e) == c[13]);
      closed++;
    }
    mcpgw_event_free(e);
  }
  for (int i = 0; i < 20; i++) mcpgw_client_close(c[i]);
  ck_assert_int_eq(gwt_stat(&g, "contexts"), 0);
  gwt_down(&g);
}
END_TEST

/* A process is one workflow, whatever is asked of those who come over the network. */
START_TEST(in_process_nobody_needs_a_handle) {
  struct gwt g;
  mcpgw_client *c;
  uint64_t id;
  char *text;
  gwt_up(&g, "\"contexts\":{\"no_handle\":\"refuse\"},", 1);
  g.servers[0].modern = 1;
  ck_assert_int_eq(gwt_ask(&g, "/mcp", GWT_CALL_HEADERS("echo"), GWT_MODERN_CALL("1", "echo"), &text), 200);
  gwt_has(text, "\"code\":-32602");
  free(text);
  ck_assert_int_eq(mcpgw_client_open(&c, g.gw, NULL, 0, MCPGW_CLIENT_AUTO), MCPGW_OK);
  ck_assert_int_eq(mcpgw_client_request(c, "tools/call", 10, "{\"name\":\"echo\"}", 15, &id), MCPGW_OK);
  for (int replied = 0; !replied;) {
    mcpgw_event *e = gwt_event(&g, 5000);
    ck_assert_ptr_nonnull(e);
    if (mcpgw_event_kind(e) == MCPGW_EVENT_REPLY) {
      gwt_has(mcpgw_event_data(e), "\"result\"");
      replied = 1;
    }
    mcpgw_event_free(e);
  }
  mcpgw_client_close(c);
  gwt_down(&g);
}
END_TEST

START_TEST(client_options_of_any_age) {
  struct gwt g;
  mcpgw_client *c = NULL;
  mcpgw_client_options o;
  gwt_up(&g, "", 1);
  memset(&o, 0xff, sizeof o);
  o.struct_size = 8; /* nothing but the mode */
  o.mode = MCPGW_CLIENT_RAW;
  ck_assert_int_eq(mcpgw_client_open_with(&c, g.gw, &o), MCPGW_OK);
  mcpgw_client_close(c);
  o.struct_size = 4;
  ck_assert_int_eq(mcpgw_client_open_with(&c, g.gw, &o), MCPGW_E_INVALID);
  mcpgw_client_options_init(&o);
  o.principal = "";
  ck_assert_int_eq(mcpgw_client_open_with(&c, g.gw, &o), MCPGW_E_INVALID);
  o.principal = "x";
  o.principal_len = 513;
  ck_assert_int_eq(mcpgw_client_open_with(&c, g.gw, &o), MCPGW_E_INVALID);
  gwt_down(&g);
}
END_TEST

/* ---- key files -------------------------------------------------------------------------------------------- */

static void temporary(char dir[64]) {
  snprintf(dir, 64, "/tmp/mcpgw-keys.XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(const char *dir) {
  char path[400];
  DIR *d = opendir(dir);
  for (struct dirent *e; d && (e = readdir(d));) {
    snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    if (e->d_name[0] != '.') unlink(path);
  }
  closedir(d);
  rmdir(dir);
}

static void up_in(struct gwt *g, const char *dir) {
  char member[200];
  snprintf(member, sizeof member, "\"state_dir\":\"%s\",", dir);
  gwt_up(g, member, 1);
}

static struct mg_slice raw(const struct gwt *g, int i) {
  ck_assert_ptr_nonnull(g->gw->keys[i]);
  return mg_seal_key_raw(g->gw->keys[i]);
}

START_TEST(keys_are_kept_for_us_alone) {
  struct gwt a, b;
  struct stat st;
  char top[64], dir[100], file[120];
  temporary(top);
  snprintf(dir, sizeof dir, "%s/deep", top);
  snprintf(file, sizeof file, "%s/keys", dir);
  umask(0);
  up_in(&a, dir);
  ck_assert_int_eq(stat(dir, &st), 0);
  ck_assert_int_eq(st.st_mode & 07777, 0700);
  ck_assert_int_eq(stat(file, &st), 0);
  ck_assert_int_eq(st.st_mode & 07777, 0600);
  unsigned char kept[MG_SEAL_KEY_LEN];
  memcpy(kept, raw(&a, 0).ptr, sizeof kept);
  gwt_down(&a);
  up_in(&b, dir);
  ck_assert_mem_eq(raw(&b, 0).ptr, kept, sizeof kept); /* the next process has them again */
  ck_assert_ptr_null(b.gw->keys[1]);
  gwt_down(&b);
  remove_dir(dir);
  rmdir(top);
}
END_TEST

START_TEST(bad_key_files_are_not_trusted) {
  static const struct {
    const char *text, *why;
    int mode;
  } bad[] = {{"mcpgw keys 1\n1 00\n", "damaged", 0600},
             {"mcpgw keys 1\n", "damaged", 0600},
             {"mcpgw keys 2\nwhatever\n", "another version", 0600},
             {"", "another version", 0600},
             {"mcpgw keys 1\n1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", "others can read", 0644}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct gwt g;
    char dir[64], file[100];
    temporary(dir);
    snprintf(file, sizeof file, "%s/keys", dir);
    int fd = open(file, O_WRONLY | O_CREAT, bad[i].mode);
    ck_assert_int_eq(write(fd, bad[i].text, strlen(bad[i].text)), (ssize_t)strlen(bad[i].text));
    fchmod(fd, (mode_t)bad[i].mode);
    close(fd);
    up_in(&g, dir);
    gwt_has(g.log, bad[i].why);
    gwt_has(g.log, "keys.ephemeral");
    ck_assert_ptr_null(g.gw->keys[0]);
    char *text;
    g.servers[0].modern = 1;
    ck_assert_int_eq(ask(&g, "echo", "\"new\"", &text), 200); /* it serves all the same */
    gwt_has(text, "dev.mcpgw/context");
    free(text);
    gwt_down(&g);
    remove_dir(dir);
  }
}
END_TEST

START_TEST(old_keys_make_way_and_stay_for_a_while) {
  struct gwt g;
  char dir[64], file[100];
  temporary(dir);
  snprintf(file, sizeof file, "%s/keys", dir);
  int fd = open(file, O_WRONLY | O_CREAT, 0600);
  dprintf(fd, "mcpgw keys 1\n1000 %s\n", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  close(fd);
  up_in(&g, dir);
  ck_assert_int_eq(raw(&g, 1).ptr[31], 31);
  ck_assert_int_ne(memcmp(raw(&g, 0).ptr, raw(&g, 1).ptr, MG_SEAL_KEY_LEN), 0);
  gwt_down(&g);
  remove_dir(dir);
}
END_TEST

/* Another process has made new keys: a handle sealed with them is known at once, not within the hour. */
START_TEST(new_keys_of_another_process_are_found) {
  struct gwt g;
  char dir[64], file[100], *text;
  temporary(dir);
  snprintf(file, sizeof file, "%s/keys", dir);
  up_in(&g, dir);
  unsigned char before[MG_SEAL_KEY_LEN];
  memcpy(before, raw(&g, 0).ptr, sizeof before);
  int fd = open(file, O_WRONLY | O_TRUNC);
  dprintf(fd, "mcpgw keys 1\n99000000000000 %s\n", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  close(fd);
  ck_assert_int_eq(ask(&g, "echo", "\"nobody-knows-this\"", &text), 200);
  gwt_has(text, "CONTEXT_ENDED");
  free(text);
  ck_assert_int_eq(raw(&g, 0).ptr[31], 31);
  gwt_down(&g);
  remove_dir(dir);
}
END_TEST

/* Ten processes start at once in an empty directory: they agree. */
START_TEST(processes_race_and_agree) {
  char dir[64], file[100], path[100];
  unsigned char first[MG_SEAL_KEY_LEN], other[MG_SEAL_KEY_LEN];
  pid_t pid[10];
  temporary(dir);
  for (int i = 0; i < 10; i++) {
    ck_assert_int_ge(pid[i] = fork(), 0);
    if (pid[i]) continue;
    struct gwt g;
    up_in(&g, dir);
    snprintf(path, sizeof path, "%s/saw.%d", dir, i);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    _exit(write(fd, raw(&g, 0).ptr, MG_SEAL_KEY_LEN) == MG_SEAL_KEY_LEN ? 0 : 1);
  }
  for (int i = 0, status; i < 10; i++) {
    waitpid(pid[i], &status, 0);
    ck_assert_int_eq(status, 0);
    snprintf(file, sizeof file, "%s/saw.%d", dir, i);
    int fd = open(file, O_RDONLY);
    ck_assert_int_eq(read(fd, i ? other : first, MG_SEAL_KEY_LEN), MG_SEAL_KEY_LEN);
    close(fd);
    if (i) ck_assert_mem_eq(first, other, MG_SEAL_KEY_LEN);
  }
  size_t left = 0;
  DIR *d = opendir(dir);
  for (struct dirent *e; (e = readdir(d));) left += !strncmp(e->d_name, "keys.", 5) && strcmp(e->d_name, "keys.lock");
  closedir(d);
  ck_assert_uint_eq(left, 0); /* nothing half written is left */
  remove_dir(dir);
}
END_TEST

Suite *gateway_contexts_suite(void) {
  Suite *s = suite_create("gateway/contexts");
  TCase *t = tcase_create("contexts");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, a_handle_keeps_its_workflow);
  tcase_add_test(t, revocation_cuts_at_once);
  tcase_add_test(t, a_new_get_stream_replaces_the_old);
  tcase_add_test(t, lost_state_is_told_to_who_listens);
  tcase_add_loop_test(t, callers_do_not_meet, 0, 2);
  tcase_add_test(t, in_process_nobody_needs_a_handle);
  tcase_add_test(t, client_options_of_any_age);
  suite_add_tcase(s, t);
  t = tcase_create("keys");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, keys_are_kept_for_us_alone);
  tcase_add_test(t, bad_key_files_are_not_trusted);
  tcase_add_test(t, old_keys_make_way_and_stay_for_a_while);
  tcase_add_test(t, new_keys_of_another_process_are_found);
  tcase_add_test(t, processes_race_and_agree);
  suite_add_tcase(s, t);
  return s;
}
