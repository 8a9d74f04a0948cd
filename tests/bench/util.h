/* bench/util: what the bench programs share: sockets, HTTP heads, clocks and a look into /proc.
 * They are tools that run for seconds on loopback: whatever goes wrong ends them with a line on stderr. */
#ifndef MG_BENCH_UTIL_H
#define MG_BENCH_UTIL_H
#include <stddef.h>
#include <stdint.h>

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t now_us(void);
void raise_files(void); /* as many descriptors as the hard limit allows */
const char *option(int argc, char **argv, const char *name, const char *otherwise); /* "--name value" */

/* 127.0.0.1:port, 0 = any; *port gets the real one. Non-blocking. */
int listen_on(int *port);
int accept_one(int listener); /* non-blocking, without delay; -1: none left */

struct url {
  char host[64], path[192];
  int port;
};
void parse_url(const char *text, struct url *u); /* http://a.b.c.d:port/path */
int connect_to(const struct url *u);             /* blocking, 10 s time-outs, without delay */
void set_nonblocking(int fd);

/* The head of a request or response. */
struct head {
  size_t len;  /* with the blank line; the body follows */
  size_t body; /* Content-Length, 0 when absent */
  int status;  /* of a response */
  int chunked;
};
int parse_head(const char *p, size_t n, struct head *h); /* 1: it is whole; 0: more is needed */
/* A header's trimmed value inside a whole head; NULL: absent. name in lower case. */
const char *find_header(const char *p, const struct head *h, const char *name, size_t *len);

/* Where the value of the first `"key":` starts in a JSON text, blanks skipped; NULL: absent. Good enough for
 * messages that we or the gateway wrote. */
const char *find_key(const char *p, size_t n, const char *key);

/* Blocking: sends it all, then reads one whole response into buf. Returns the body; exits on any fault. */
const char *ask(int fd, const char *request, size_t len, char *buf, size_t room, struct head *h);
/* Like ask, up to the end of the head only; for streams. */
void ask_head(int fd, const char *request, size_t len, char *buf, size_t room, struct head *h);
/* Opens a legacy session; session gets its id, "" when the server has none. */
void open_session(int fd, const struct url *u, char session[128]);

/* Of a process. */
uint64_t cpu_us(int pid);                        /* user + system so far, children not counted */
uint64_t memory_kib(int pid, const char *field); /* "VmRSS", "RssAnon" of status; "Pss" of smaps_rollup */
size_t count_fds(int pid);
#endif
