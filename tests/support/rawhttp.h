/* support/rawhttp: an upstream that does exactly what a test's script says, byte by byte, over loopback.
 * Each connection runs the script in a thread of its own. No main, no Check. */
#ifndef TEST_RAWHTTP_H
#define TEST_RAWHTTP_H
#include <stdatomic.h>
#include <stddef.h>

struct raw_server;
struct raw_conn {
  struct raw_server *server;
  int fd, nth;     /* 0, 1, …: order of acceptance */
  char buf[65536]; /* what was read beyond the last request */
  size_t have;
};
struct raw_request {
  char head[32768]; /* request line and headers, NUL-terminated */
  char *body;       /* NUL-terminated; free with raw_request_done */
  size_t body_len;
};
typedef void (*raw_script)(struct raw_conn *c, void *arg);
struct raw_server {
  int fd, port;
  char url[64]; /* http://127.0.0.1:PORT/mcp */
  raw_script script;
  void *arg;
  atomic_int connections, requests, stop;
  void *inside;
};
struct raw_server *raw_server_new(raw_script script, void *arg);
void raw_server_free(struct raw_server *s); /* ends all connections, joins all threads */

int raw_read(struct raw_conn *c, struct raw_request *r); /* 1: a whole request; 0: the peer is gone */
int raw_read_head(struct raw_conn *c, struct raw_request *r);
void raw_request_done(struct raw_request *r);
int raw_has(const struct raw_request *r, const char *line); /* a header line, exactly */
int raw_has_name(const struct raw_request *r, const char *name);
int raw_send(struct raw_conn *c, const char *text);
int raw_sendf(struct raw_conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
int raw_reply(struct raw_conn *c, int status, const char *headers,
              const char *body);    /* with Content-Length */
void raw_reset(struct raw_conn *c); /* closes with RST */
void raw_sleep(int ms);
int raw_peer_closed(struct raw_conn *c, int ms); /* 1: EOF or error came within ms */
int raw_open_fds(void);                          /* descriptors of this process */
#endif
