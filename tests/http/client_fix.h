/* What the client's tests share: a loop, a client, a raw upstream, and exchanges that remember. */
#ifndef TEST_HTTP_CLIENT_FIX_H
#define TEST_HTTP_CLIENT_FIX_H
#include <check.h>

#include "http/client.h"
#include "support/rawhttp.h"

struct got {
  struct mg_http_call *call;
  int heads, dones, sents, status;
  char type[64], session[64], retry_after[64], www[64];
  int n_session;
  char *body;
  size_t len, cap;
  struct mg_http_fault fault;
  int faulty;
  int head_rc, body_rc; /* what to answer */
  int pause_times;      /* answer AGAIN this often */
  int cancel_in;        /* 'h' head, 'b' body, 's' sent, 'd' done */
  struct got *then;     /* start this one in done */
  size_t seen_max;      /* longest piece */
};
struct client_fix {
  struct mg_loop *loop;
  struct mg_http_client *client;
  struct raw_server *up;
};
void client_fix_up(struct client_fix *f, raw_script script, void *arg);
void client_fix_down(struct client_fix *f);
int client_start(struct client_fix *f, struct got *g, const char *method, const char *url,
                 const char *const *headers, const char *body);
void client_post(struct client_fix *f, struct got *g, const char *body);   /* to up; waits for the end */
void client_wait(struct client_fix *f, const int *flag, int want, int ms); /* fails the test when late */
void client_turn(struct client_fix *f, int ms);                            /* lets the loop run */
void got_done(struct got *g);
void client_echo(struct raw_conn *c, void *arg); /* a script: the body comes back */
void client_tests_delivery(Suite *s);
void client_tests_load(Suite *s);
#endif
