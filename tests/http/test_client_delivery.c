/* What the client knows of a request that failed: whether it may have been carried out. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/client_fix.h"

static struct client_fix f;

/* Resolving "slow.test" takes two seconds; the executable's symbol comes before libc's. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
      (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT,
                                                                                              "getaddrinfo");
  if (node && !strcmp(node, "slow.test")) {
    raw_sleep(2000);
    return EAI_NONAME;
  }
  return real(node, service, hints, out);
}

static int closed_port(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  getsockname(fd, (struct sockaddr *)&a, &len);
  close(fd);
  return ntohs(a.sin_port);
}

START_TEST(refused_is_not_delivered) {
  char url[64];
  struct got g = {0};
  client_fix_up(&f, NULL, NULL);
  snprintf(url, sizeof url, "http://127.0.0.1:%d/", closed_port());
  ck_assert_int_eq(client_start(&f, &g, "POST", url, NULL, "{}"), MCPGW_OK);
  client_wait(&f, &g.dones, 1, 5000);
  ck_assert(g.faulty);
  ck_assert_int_eq(g.fault.rc, MCPGW_E_IO);
  ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_NO);
  ck_assert(strstr(g.fault.text, "onnect"));
  ck_assert_int_eq(g.sents, 0);
  client_fix_down(&f);
}
END_TEST

START_TEST(an_unknown_name_is_not_delivered_and_stalls_nobody) {
  struct got slow = {0}, quick = {0}, cancelled = {0};
  struct raw_server *up;
  uint64_t start = mg_now_ms();
  up = raw_server_new(client_echo, NULL);
  client_fix_up(&f, NULL, NULL);
  f.up = up;
  ck_assert_int_eq(client_start(&f, &slow, "POST", "http://slow.test/", NULL, "{}"), MCPGW_OK);
  ck_assert_int_eq(client_start(&f, &cancelled, "POST", "http://slow.test/", NULL, "{}"), MCPGW_OK);
  client_turn(&f, 50);
  client_post(&f, &quick, "{}");
  ck_assert(!quick.faulty);
  ck_assert_int_lt((int)(mg_now_ms() - start), 1000);
  mg_http_call_cancel(cancelled.call); /* must not wait for the resolver's thread */
  ck_assert_int_lt((int)(mg_now_ms() - start), 1000);
  client_wait(&f, &slow.dones, 1, 5000);
  ck_assert(slow.faulty);
  ck_assert_int_eq(slow.fault.delivered, MG_DELIVERED_NO);
  ck_assert_int_eq(cancelled.dones, 0);
  got_done(&quick);
  client_fix_down(&f);
}
END_TEST

void client_echo(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    raw_reply(c, 200, "", r.body);
    raw_request_done(&r);
  }
}

/* A listening socket with a full backlog answers no SYN: connecting takes for ever. */
struct deaf {
  struct sockaddr_in at;
  int fd, fill[4];
};
static void deaf_open(struct deaf *d, char url[64]) {
  socklen_t len = sizeof d->at;
  d->at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  d->fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(d->fd, (struct sockaddr *)&d->at, sizeof d->at), 0);
  listen(d->fd, 0);
  getsockname(d->fd, (struct sockaddr *)&d->at, &len);
  snprintf(url, 64, "http://127.0.0.1:%d/", ntohs(d->at.sin_port));
}
static void deaf_fill(struct deaf *d) {
  for (int i = 0; i < 4; i++) {
    d->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)connect(d->fill[i], (struct sockaddr *)&d->at, sizeof d->at);
  }
}
static void deaf_close(struct deaf *d) {
  for (int i = 0; i < 4; i++) close(d->fill[i]);
  close(d->fd);
}

START_TEST(a_connect_that_hangs_ends_in_time_and_is_not_delivered) {
  struct deaf d;
  char url[64];
  struct got g = {0};
  uint64_t start;
  deaf_open(&d, url);
  deaf_fill(&d);
  client_fix_up(&f, NULL, NULL);
  start = mg_now_ms();
  ck_assert_int_eq(client_start(&f, &g, "POST", url, NULL, "{}"), MCPGW_OK);
  client_wait(&f, &g.dones, 1, 6000);
  ck_assert_int_eq(g.fault.rc, MCPGW_E_TIMEOUT);
  ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_NO);
  ck_assert_int_ge((int)(mg_now_ms() - start), 1990);
  ck_assert_int_lt((int)(mg_now_ms() - start), 3000);
  ck_assert_str_eq(g.fault.text, "no connection within 2000 ms");
  deaf_close(&d);
  client_fix_down(&f);
}
END_TEST

/* What has come on fd while the loop turns; waits for something. */
static size_t turn_until_read(int fd, char *to, size_t cap) {
  ssize_t n = -1;
  for (int i = 0; i < 400 && (n = recv(fd, to, cap, MSG_DONTWAIT)) < 0; i++) client_turn(&f, 5);
  ck_assert_int_gt(n, 0);
  return (size_t)n;
}

/* The peer resets between libcurl's look at a pooled connection and its write. */
static void reset_now(void *arg) {
  struct linger now = {1, 0};
  setsockopt(*(int *)arg, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(*(int *)arg);
}

static void never_done(void *arg, const struct mg_http_fault *fault) {
  (void)arg;
  ck_abort_msg("it ended: %s", fault ? fault->text : "well");
}

static void cancel_it(void *arg) {
  mg_http_call_cancel(*(struct mg_http_call **)arg);
}

/* Its connection dies under the write, and libcurl opens another one, which never comes up: what it closes then,
 * without a word, must not stay watched. */
START_TEST(a_second_connection_that_hangs_can_be_left) {
  static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
  struct deaf d;
  static const struct mg_http_call_events ev = {.sent = reset_now, .done = never_done};
  struct got first = {0}, other = {0};
  struct mg_http_call *second = NULL;
  struct mg_soon leave = {.cb = cancel_it, .arg = &second};
  char url[64], in[4096];
  int fd;
  deaf_open(&d, url);
  client_fix_up(&f, client_echo, NULL);
  ck_assert_int_eq(client_start(&f, &first, "POST", url, NULL, "{}"), MCPGW_OK);
  client_turn(&f, 20);
  ck_assert_int_ge(fd = accept(d.fd, NULL, NULL), 0);
  turn_until_read(fd, in, sizeof in);
  ck_assert_int_eq(send(fd, reply, sizeof reply - 1, 0), (ssize_t)sizeof reply - 1);
  client_wait(&f, &first.dones, 1, 3000);
  deaf_fill(&d);
  mg_blob *body = mg_blob_copy(NULL, "{}", 2);
  struct mg_http_call_opts o = {.method = "POST", .url = url, .body = body};
  ck_assert_int_eq(mg_http_call_start(f.client, &o, &ev, &fd, &second), MCPGW_OK);
  mg_blob_unref(body);
  mg_soon(f.loop, &leave); /* in the same turn: the loop has not looked at the new descriptor yet */
  client_turn(&f, 50);
  client_post(&f, &other, "{}");
  ck_assert(!other.faulty);
  got_done(&first);
  got_done(&other);
  deaf_close(&d);
  client_fix_down(&f);
}
END_TEST

static void no_tls(struct raw_conn *c, void *arg) {
  (void)arg;
  raw_send(c, "HTTP/1.1 400 this is no tls\r\n\r\n");
  raw_peer_closed(c, 1000);
}

START_TEST(a_failed_tls_handshake_is_not_delivered) {
  char url[64];
  struct got g = {0};
  client_fix_up(&f, no_tls, NULL);
  snprintf(url, sizeof url, "https://127.0.0.1:%d/", f.up->port);
  ck_assert_int_eq(client_start(&f, &g, "POST", url, NULL, "{}"), MCPGW_OK);
  client_wait(&f, &g.dones, 1, 5000);
  ck_assert(g.faulty);
  ck_assert_int_eq(g.fault.rc, MCPGW_E_IO);
  ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_NO);
  client_fix_down(&f);
}
END_TEST

/* The trap: the upstream acts on a POST of a reused connection and closes without a byte of reply. */
static void trap(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  while (raw_read(c, &r)) {
    int act = strstr(r.body, "act") != NULL;
    raw_request_done(&r);
    if (act) {
      atomic_fetch_add((atomic_int *)arg, 1);
      return;
    }
    raw_reply(c, 200, "", "{}");
  }
}

START_TEST(a_post_on_a_reused_connection_that_dies_runs_once) {
  static char big[300000];
  for (int size = 0; size < 2; size++) {
    atomic_int acted = 0;
    struct got warm = {0}, g = {0};
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "act", 3);
    client_fix_up(&f, trap, &acted);
    client_post(&f, &warm, "{}");
    client_post(&f, &g, size ? big : "act");
    client_turn(&f, 100);
    ck_assert_int_eq(acted, 1);
    ck_assert_int_eq(g.sents, 1);
    ck_assert(g.faulty);
    ck_assert_int_eq(g.fault.rc, MCPGW_E_CLOSED);
    ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_UNKNOWN);
    ck_assert_str_eq(g.fault.text, "connection closed before a reply came; not sent again");
    got_done(&warm);
    client_fix_down(&f);
  }
}
END_TEST

START_TEST(a_fresh_connection_that_dies_is_unknown) {
  atomic_int acted = 0;
  struct got g = {0};
  client_fix_up(&f, trap, &acted);
  client_post(&f, &g, "act");
  ck_assert_int_eq(acted, 1);
  ck_assert_int_eq(g.fault.rc, MCPGW_E_CLOSED);
  ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_UNKNOWN);
  client_fix_down(&f);
}
END_TEST

/* Closes the idle connection, or resets it: the next POST goes out on a fresh one, without a fault. */
static void closes_idle(struct raw_conn *c, void *arg) {
  struct raw_request r;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_reply(c, 200, "", "{}");
  if (arg != NULL) raw_reset(c);
}

START_TEST(an_idle_connection_that_was_closed_is_replaced_silently) {
  client_fix_up(&f, closes_idle, _i ? &f : NULL);
  for (int i = 0; i < 5; i++) {
    struct got g = {0};
    client_post(&f, &g, "{}");
    ck_assert(!g.faulty);
    got_done(&g);
    client_turn(&f, 30);
  }
  ck_assert_int_eq(f.up->connections, 5);
  ck_assert_int_eq(f.up->requests, 5);
  client_fix_down(&f);
}
END_TEST

struct bad {
  const char *reply;
  int rc; /* expected; 0: any */
  int reset, heads;
};
static void bad_script(struct raw_conn *c, void *arg) {
  const struct bad *b = arg;
  struct raw_request r;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  raw_send(c, b->reply);
  raw_sleep(30);
  if (b->reset) raw_reset(c);
}
static const struct bad bads[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", MCPGW_E_CLOSED, 0, 1},
    {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", MCPGW_E_CLOSED, 1, 1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", MCPGW_E_CLOSED, 0, 1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabcde\r\n", 0, 0, 1},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", MCPGW_E_PARSE, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Le", MCPGW_E_CLOSED, 1, 0},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", MCPGW_E_PARSE, 0, 0},
    {"HTTP/1.1 100 Continue\r\n\r\n", 0, 0, 0},
    {"", MCPGW_E_CLOSED, 0, 0},
    {"", MCPGW_E_CLOSED, 1, 0},
};

START_TEST(a_reply_that_breaks_off_is_a_fault) {
  const struct bad *b = &bads[_i];
  struct got g = {0};
  client_fix_up(&f, bad_script, (void *)b);
  client_post(&f, &g, "{}");
  ck_assert(g.faulty);
  if (b->rc) ck_assert_int_eq(g.fault.rc, b->rc);
  ck_assert_int_lt(g.fault.rc, 0);
  ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_UNKNOWN);
  ck_assert_int_eq(g.heads, b->heads);
  ck_assert(g.fault.text[0]);
  ck_assert_int_eq(f.up->requests, 1);
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

static void huge_headers(struct raw_conn *c, void *arg) {
  struct raw_request r;
  char line[1100];
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  memset(line, 'h', sizeof line);
  memcpy(line, "X-Much: ", 8);
  memcpy(line + 1000, "\r\n", 3);
  raw_send(c, "HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 1000 && raw_send(c, line); i++) {
  }
}

START_TEST(endless_headers_are_cut_off) {
  struct got g = {0};
  client_fix_up(&f, huge_headers, NULL);
  client_post(&f, &g, "{}");
  ck_assert_int_eq(g.fault.rc, MCPGW_E_LIMIT);
  ck_assert_int_eq(g.heads, 0);
  client_fix_down(&f);
}
END_TEST

static void drip(struct raw_conn *c, void *arg) {
  struct raw_request r;
  const char *reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  (void)arg;
  if (!raw_read(c, &r)) return;
  raw_request_done(&r);
  for (const char *p = reply; *p; p++) {
    char one[2] = {*p, 0};
    raw_send(c, one);
    raw_sleep(2);
  }
  raw_read(c, &r);
}

START_TEST(a_dripping_reply_is_put_together) {
  struct got g = {0};
  client_fix_up(&f, drip, NULL);
  client_post(&f, &g, "{}");
  ck_assert(!g.faulty);
  ck_assert_str_eq(g.body, "hello");
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

static void early(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  if (!raw_read_head(c, &r)) return;
  raw_send(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
  raw_peer_closed(c, 200);
  for (int i = 0; i < 200 && c->fd >= 0; i++) {
    char sink[65536];
    if (recv(c->fd, sink, sizeof sink, 0) <= 0) break;
  }
}

START_TEST(an_answer_before_the_body_was_read_is_an_answer) {
  static char big[8 << 20];
  struct got g = {0};
  memset(big, 'x', sizeof big - 1);
  client_fix_up(&f, early, NULL);
  client_post(&f, &g, big);
  ck_assert_int_eq(g.status, 413);
  got_done(&g);
  client_fix_down(&f);
}
END_TEST

START_TEST(a_refusal_by_the_caller_carries_its_code) {
  struct got head = {.head_rc = MCPGW_E_DENIED}, body = {.body_rc = MCPGW_E_LIMIT};
  client_fix_up(&f, client_echo, NULL);
  client_post(&f, &head, "{}");
  ck_assert_int_eq(head.fault.rc, MCPGW_E_DENIED);
  client_post(&f, &body, "{}");
  ck_assert_int_eq(body.fault.rc, MCPGW_E_LIMIT);
  ck_assert_int_eq(body.dones, 1);
  client_fix_down(&f);
}
END_TEST

static void hold(struct raw_conn *c, void *arg) {
  struct raw_request r;
  (void)arg;
  if (raw_read(c, &r)) raw_request_done(&r);
  raw_peer_closed(c, 3000);
}

static void done_fault(void *arg, const struct mg_http_fault *fault) {
  ((struct got *)arg)->dones++;
  if (fault) ((struct got *)arg)->fault = *fault;
}

START_TEST(total_ms_ends_an_exchange) {
  static const struct mg_http_call_events ev = {.done = done_fault};
  struct got g = {0};
  uint64_t start = mg_now_ms();
  client_fix_up(&f, hold, NULL);
  struct mg_http_call_opts o = {.method = "DELETE", .url = f.up->url, .total_ms = 150};
  ck_assert_int_eq(mg_http_call_start(f.client, &o, &ev, &g, &g.call), MCPGW_OK);
  client_wait(&f, &g.dones, 1, 3000);
  ck_assert_int_eq(g.fault.rc, MCPGW_E_TIMEOUT);
  ck_assert_int_eq(g.fault.delivered, MG_DELIVERED_UNKNOWN);
  ck_assert_int_ge((int)(mg_now_ms() - start), 149);
  ck_assert_int_lt((int)(mg_now_ms() - start), 1000);
  client_fix_down(&f);
}
END_TEST

void client_tests_delivery(Suite *s) {
  TCase *t = tcase_create("delivery");
  tcase_set_timeout(t, 30);
  tcase_add_test(t, refused_is_not_delivered);
  tcase_add_test(t, an_unknown_name_is_not_delivered_and_stalls_nobody);
  tcase_add_test(t, a_connect_that_hangs_ends_in_time_and_is_not_delivered);
  tcase_add_test(t, a_second_connection_that_hangs_can_be_left);
  tcase_add_test(t, a_failed_tls_handshake_is_not_delivered);
  tcase_add_test(t, a_post_on_a_reused_connection_that_dies_runs_once);
  tcase_add_test(t, a_fresh_connection_that_dies_is_unknown);
  tcase_add_loop_test(t, an_idle_connection_that_was_closed_is_replaced_silently, 0, 2);
  tcase_add_loop_test(t, a_reply_that_breaks_off_is_a_fault, 0, (int)(sizeof bads / sizeof *bads));
  tcase_add_test(t, endless_headers_are_cut_off);
  tcase_add_test(t, a_dripping_reply_is_put_together);
  tcase_add_test(t, an_answer_before_the_body_was_read_is_an_answer);
  tcase_add_test(t, a_refusal_by_the_caller_carries_its_code);
  tcase_add_test(t, total_ms_ends_an_exchange);
  suite_add_tcase(s, t);
}
