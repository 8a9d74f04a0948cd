/* door.c owns the way to a running gateway's admin door: finding it and asking over HTTP/1.1, one request a
 * connection. Must never print a token. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "door.h"

#define REPLY_MAX ((size_t)32 << 20)
#define TIMEOUT_MS 10000
#define PAGE "?limit=1000"

extern char **environ;

/* ---- finding it ------------------------------------------------------------------------------ */

static int no_door(const char *config) {
  return say_fail(EXIT_CONFIG,
                  "%s: no admin door; put \"gateway\": {\"admin\": {\"listen\": \"unix:/run/mcpgw/admin.sock\"}} "
                  "there and restart the gateway",
                  config);
}

static int from_config(struct door *d, const char *path) {
  if (mcpgw_config_new(&d->config) != MCPGW_OK) return say_fail(EXIT_IO, "out of memory");
  (void)mcpgw_config_set_pins(d->config, MCPGW_PINS_IGNORE);
  int rc = mcpgw_config_load_file(d->config, path, strlen(path), (const char *const *)environ);
  if (rc != MCPGW_OK) {
    const char *why = mcpgw_config_error(d->config);
    const char *prefix = strstr(why, path) ? "" : path, *sep = *prefix ? ": " : "";
    return say_fail(rc == MCPGW_E_NOMEM ? EXIT_IO : EXIT_CONFIG, "%s%s%s; --admin ADDRESS needs no configuration", prefix, sep, why);
  }
  d->address = mcpgw_config_admin_listen(d->config);
  d->token = mcpgw_config_admin_token(d->config);
  return d->address ? EXIT_OK : no_door(path);
}

int door_find(struct door *d, const struct args *a, size_t at, size_t *next) {
  memset(d, 0, sizeof *d);
  d->timeout_ms = a->given & OPT_TIMEOUT ? a->timeout_ms : TIMEOUT_MS;
  *next = at;
  if (a->command) return say_fail(EXIT_USAGE, "a running gateway is asked, not a command behind --");
  if (a->given & OPT_ADMIN) {
    d->address = a->admin;
    d->token = getenv("MCPGW_ADMIN_TOKEN");
    return EXIT_OK;
  }
  if (a->n_operands <= at) return say_fail(EXIT_USAGE, "which gateway? give its configuration file, or --admin ADDRESS");
  *next = at + 1;
  return from_config(d, a->operands[at]);
}

void door_done(struct door *d) {
  mcpgw_config_free(d->config);
  memset(d, 0, sizeof *d);
}

/* ---- connecting -------------------------------------------------------------------------------- */

static int unreachable(const struct door *d, const char *why) {
  if (loop_interrupts()) return EXIT_INTERRUPTED;
  return say_fail(EXIT_UPSTREAM, "no gateway answers at %s: %s", d->address, why);
}

static int open_socket(const struct door *d, int family) {
  struct timeval limit = {(time_t)(d->timeout_ms / 1000), (suseconds_t)(d->timeout_ms % 1000 * 1000)};
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

static int connect_unix(const struct door *d, int *fd) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  const char *path = d->address + 5;
  if (!*path || strlen(path) >= sizeof a.sun_path) return say_fail(EXIT_USAGE, "\"%s\" is no path of a socket", d->address);
  memcpy(a.sun_path, path, strlen(path) + 1);
  *fd = open_socket(d, AF_UNIX);
  if (*fd >= 0 && connect(*fd, (struct sockaddr *)&a, sizeof a) == 0) return EXIT_OK;
  if (errno == EACCES) return say_fail(EXIT_IO, "%s belongs to another user; become that user", d->address);
  return unreachable(d, strerror(errno));
}

/* host:port, [ipv6]:port */
static int connect_tcp(const struct door *d, int *fd) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
  char host[256];
  const char *colon = strrchr(d->address, ':');
  size_t len = colon ? (size_t)(colon - d->address) : 0;
  if (!len || !colon[1] || len >= sizeof host)
    return say_fail(EXIT_USAGE, "--admin is unix:PATH or HOST:PORT, not \"%s\"", d->address);
  int bracketed = d->address[0] == '[' && d->address[len - 1] == ']';
  memcpy(host, d->address + bracketed, len - 2 * (size_t)bracketed);
  host[len - 2 * (size_t)bracketed] = '\0';
  int rc = getaddrinfo(host, colon + 1, &hints, &list);
  if (rc != 0) return unreachable(d, gai_strerror(rc));
  *fd = open_socket(d, list->ai_family);
  rc = *fd >= 0 && connect(*fd, list->ai_addr, list->ai_addrlen) == 0 ? EXIT_OK : unreachable(d, strerror(errno));
  freeaddrinfo(list);
  return rc;
}

/* ---- one request ---------------------------------------------------------------------------------- */

static int put(const struct door *d, int fd, const char *path, const char *body) {
  char head[4096];
  int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", body ? "POST" : "GET", path);
  if (n > 0 && d->token) n += snprintf(head + n, sizeof head - (size_t)n, "Authorization: Bearer %s\r\n", d->token);
  if (n > 0 && (size_t)n < sizeof head && body)
    n += snprintf(head + n, sizeof head - (size_t)n, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
  if (n > 0 && (size_t)n < sizeof head) n += snprintf(head + n, sizeof head - (size_t)n, "\r\n%s", body ? body : "");
  if (n < 0 || (size_t)n >= sizeof head) return say_fail(EXIT_USAGE, "the name is too long");
  for (size_t at = 0; at < (size_t)n;) {
    ssize_t sent = send(fd, head + at, (size_t)n - at, MSG_NOSIGNAL);
    if (sent < 0) return unreachable(d, strerror(errno));
    at += (size_t)sent;
  }
  return EXIT_OK;
}

/* Until the gateway closes: we asked it to. */
static int take(const struct door *d, int fd, struct door_reply *r) {
  size_t cap = 0;
  for (;;) {
    if (cap - r->len < 2) {
      cap = cap ? cap * 2 : 16384;
      char *more = cap <= REPLY_MAX ? realloc(r->text, cap) : NULL;
      if (more == NULL) return say_fail(EXIT_IO, "the reply is too long");
      r->text = more;
    }
    ssize_t n = recv(fd, r->text + r->len, cap - r->len - 1, 0);
    if (n < 0) return unreachable(d, errno == EAGAIN ? "it took too long" : strerror(errno));
    r->len += (size_t)n;
    r->text[r->len] = '\0';
    if (n == 0) return EXIT_OK;
  }
}

/* Keeps the body alone. */
static int cut_head(const struct door *d, struct door_reply *r) {
  char *body = r->text ? strstr(r->text, "\r\n\r\n") : NULL;
  if (body == NULL || strncmp(r->text, "HTTP/1.", 7) != 0) return unreachable(d, "what answers there is no admin door");
  r->status = (int)strtol(r->text + 9, NULL, 10);
  body += 4;
  r->len -= (size_t)(body - r->text);
  memmove(r->text, body, r->len + 1);
  return EXIT_OK;
}

static int denied(const struct door *d, const struct door_reply *r) {
  if (r->status == 403) return say_fail(EXIT_CONFIG, "%s serves its own user and root alone", d->address);
  if (d->token) return say_fail(EXIT_CONFIG, "%s does not know this token; has the gateway been restarted since it changed?", d->address);
  return say_fail(EXIT_CONFIG, "%s wants a token; set MCPGW_ADMIN_TOKEN, or give the configuration instead of --admin", d->address);
}

int door_ask(const struct door *d, const char *path, const char *body, struct door_reply *r) {
  int fd = -1, rc;
  memset(r, 0, sizeof *r);
  if (strncmp(d->address, "unix:", 5) == 0) rc = connect_unix(d, &fd);
  else rc = connect_tcp(d, &fd);
  if (rc == EXIT_OK) rc = put(d, fd, path, body);
  if (rc == EXIT_OK) rc = take(d, fd, r);
  if (rc == EXIT_OK) rc = cut_head(d, r);
  if (rc == EXIT_OK && (r->status == 401 || r->status == 403)) rc = denied(d, r);
  if (fd >= 0) close(fd);
  if (rc != EXIT_OK) door_reply_done(r);
  return rc;
}

void door_reply_done(struct door_reply *r) {
  free(r->text);
  memset(r, 0, sizeof *r);
}

/* ---- listings ---------------------------------------------------------------------------------------- */

int door_filter(char *to, size_t cap, const char *name, const char *value) {
  static const char digits[] = "0123456789ABCDEF";
  size_t at = strlen(to);
  int n = snprintf(to + at, cap - at, "&%s=", name);
  if (n < 0 || (size_t)n >= cap - at) return -1;
  at += (size_t)n;
  for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
    if (at + 4 > cap) return -1;
    to[at++] = '%';
    to[at++] = digits[*p >> 4];
    to[at++] = digits[*p & 15];
  }
  to[at] = '\0';
  return 0;
}

static int bad_reply(const struct door *d, const struct door_reply *r) {
  return say_fail(EXIT_UPSTREAM, "%s answered %d: %s", d->address, r->status, r->text);
}

int door_list(const struct door *d, const char *kind, const char *filter, void (*each)(void *arg, struct json item), void *arg) {
  struct door_reply r;
  struct json whole, item;
  char path[4096];
  long long after = 0;
  int rc = EXIT_OK;
  while (rc == EXIT_OK && after >= 0) {
    size_t pos = 0;
    snprintf(path, sizeof path, "/%s" PAGE "&after=%lld%s", kind, after, filter);
    rc = door_ask(d, path, NULL, &r);
    if (rc != EXIT_OK) return rc;
    if (r.status != 200 || !json_read(r.text, r.len, &whole, NULL)) rc = bad_reply(d, &r);
    else while (json_next(json_get(whole, "items"), &pos, NULL, &item)) each(arg, item);
    if (rc == EXIT_OK) after = json_int(json_get(whole, "next"), -1);
    door_reply_done(&r);
  }
  return rc;
}
