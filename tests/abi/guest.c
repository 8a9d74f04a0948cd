/* guest: is the library a polite guest? The state of this process that a library could disturb is written
 * down before the first call and compared while a gateway lives and after it is gone: signal dispositions,
 * signal mask, locale, working directory, environment, descriptors, children. And: a fork, arguments that
 * are wrong, option structs of another size, a server that dies, a wake-up from another thread.
 *
 *   guest /path/to/notes [/path/to/mcpgw-launch]
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FDS 256
#define ADD_NOTE "{\"name\":\"add_note\",\"arguments\":{\"text\":\"x\"}}"
#define SLOW "{\"name\":\"slow\",\"arguments\":{\"ms\":60000}}"

extern char **environ;

struct state { /* what belongs to the host */
  struct sigaction actions[NSIG];
  sigset_t mask;
  char locale[256], cwd[PATH_MAX];
  mode_t umask;
  char **env, *env0;
  char open[FDS];
};

static const char *notes, *launcher;

static void read_fds(char *open_fds) {
  for (int fd = 0; fd < FDS; fd++) open_fds[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void read_state(struct state *s) {
  memset(s, 0, sizeof *s);
  for (int sig = 1; sig < NSIG; sig++) sigaction(sig, NULL, &s->actions[sig]);
  pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
  snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
  if (getcwd(s->cwd, sizeof s->cwd) == NULL) s->cwd[0] = '\0';
  s->umask = umask(0);
  umask(s->umask);
  s->env = environ;
  s->env0 = environ ? environ[0] : NULL;
  read_fds(s->open);
}

static int same_signals(const struct state *a, const struct state *b) {
  for (int sig = 1; sig < NSIG; sig++) {
    if (a->actions[sig].sa_handler != b->actions[sig].sa_handler ||
        a->actions[sig].sa_flags != b->actions[sig].sa_flags || sigismember(&a->mask, sig) != sigismember(&b->mask, sig))
      return 0;
  }
  return 1;
}

static int same_rest(const struct state *a, const struct state *b) {
  return strcmp(a->locale, b->locale) == 0 && strcmp(a->cwd, b->cwd) == 0 && a->umask == b->umask &&
         a->env == b->env && a->env0 == b->env0;
}

/* libcurl's multi handle has a socket pair to itself that lacks FD_CLOEXEC (curl issue 13618, mended after
 * 7.88); nobody else gives it away. Ours: both ends are in this process. */
static int is_libcurls(int fd) {
  struct ucred peer;
  socklen_t len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid();
}

/* Descriptors in now that were not in before; *leaky: how many of them survive an exec, but for the four of
 * libcurl's two multi handles. */
static int new_fds(const struct state *before, const struct state *now, int *leaky) {
  int n = 0, curls = 4;
  *leaky = 0;
  for (int fd = 0; fd < FDS; fd++) {
    if (!now->open[fd] || before->open[fd]) continue;
    n++;
    if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) && !(is_libcurls(fd) && curls-- > 0)) (*leaky)++;
  }
  return n;
}

static int no_children(void) {
  return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static int no_threads(void) {
  DIR *tasks = opendir("/proc/self/task");
  int n = 0;
  while (tasks && readdir(tasks)) n++;
  if (tasks) closedir(tasks);
  return n == 3; /* ".", ".." and this one */
}

static int open_gateway(const char *command, mcpgw_gateway **gateway, mcpgw_client **client) {
  const char *const argv[] = {command, NULL}, *const env[] = {NULL};
  mcpgw_gateway_options options;
  mcpgw_config *config = NULL;
  int rc = mcpgw_config_new(&config);
  if (rc == MCPGW_OK) rc = mcpgw_config_add_stdio(config, "notes", 5, argv, env, NULL);
  mcpgw_gateway_options_init(&options);
  options.launcher = launcher;
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(gateway, config, &options);
  mcpgw_config_free(config); /* a gateway lives on without it */
  if (rc == MCPGW_OK) rc = mcpgw_client_open(client, *gateway, NULL, 0, MCPGW_CLIENT_AUTO);
  return rc;
}

/* One whole life: calls, and an end while a call is under way. */
static void life(const struct state *before, int talk) {
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;
  struct state during;
  uint64_t id;
  int rc = open_gateway(notes, &gateway, &client), leaky;
  const char *reply = rc == MCPGW_OK ? ask(gateway, client, "tools/call", ADD_NOTE) : NULL;
  if (rc == MCPGW_OK) rc = mcpgw_client_request(client, "tools/call", 10, SLOW, strlen(SLOW), &id);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_dispatch(gateway);
  read_state(&during);
  if (talk) {
    check(rc == MCPGW_OK && reply && strstr(reply, "note 1"), "a call started outside a dispatch is answered");
    check(same_signals(before, &during), "a running gateway leaves signal dispositions and mask alone");
    check(same_rest(before, &during), "a running gateway leaves locale, cwd, umask and environment alone");
    check(new_fds(before, &during, &leaky) > 0 && leaky == 0, "all descriptors of a running gateway are CLOEXEC, but for two pairs of libcurl's");
    check(mcpgw_gateway_endpoints(gateway) == 0, "an embedded gateway listens nowhere by itself");
  }
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway);
}

static void test_lives(void) {
  struct state before, after, later;
  int leaky, kept;
  read_state(&before);
  life(&before, 1);
  read_state(&after);
  check(same_signals(&before, &after) && same_rest(&before, &after), "nothing of the host is changed when it is gone");
  check(no_children(), "no child is left, not even a zombie");
  check(no_threads(), "no thread is left");
  kept = new_fds(&before, &after, &leaky);
  if (kept > 0) printf("# %d descriptors stay with the process (once, CLOEXEC)\n", kept);
  check(kept <= 2 && leaky == 0, "no descriptor is left but what libuv keeps once a process");
  for (int i = 0; i < 3; i++) life(&before, 0);
  read_state(&later);
  check(new_fds(&after, &later, &leaky) == 0 && no_children(), "three more lives leave nothing at all");
}

/* Runs in the forked child: every door says no, and freeing the copy harms nobody. */
static int in_child(mcpgw_gateway *gateway, mcpgw_client *client) {
  uint64_t id = 77;
  mcpgw_event *event = NULL;
  mcpgw_client *second = NULL;
  char *stats = NULL;
  int good = mcpgw_gateway_dispatch(gateway) == MCPGW_E_STATE && mcpgw_gateway_wait(gateway, 0) == MCPGW_E_STATE &&
             mcpgw_gateway_run(gateway) == MCPGW_E_STATE && mcpgw_gateway_listen(gateway) == MCPGW_E_STATE &&
             mcpgw_gateway_stop(gateway, 0) == MCPGW_E_STATE && mcpgw_gateway_stats(gateway, &stats) == MCPGW_E_STATE &&
             mcpgw_gateway_next_event(gateway, &event) == MCPGW_E_STATE &&
             mcpgw_client_open(&second, gateway, NULL, 0, MCPGW_CLIENT_AUTO) == MCPGW_E_STATE &&
             mcpgw_client_send(client, "{}", 2) == MCPGW_E_STATE &&
             mcpgw_client_request(client, "ping", 4, NULL, 0, &id) == MCPGW_E_STATE &&
             mcpgw_client_cancel(client, 1) == MCPGW_E_STATE;
  mcpgw_gateway_wakeup(gateway);
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway);
  return good && id == 77 && !event && !second && !stats;
}

static void test_fork(void) {
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;
  const char *reply;
  int status = -1, rc = open_gateway(notes, &gateway, &client);
  reply = rc == MCPGW_OK ? ask(gateway, client, "tools/call", ADD_NOTE) : NULL;
  if (!reply) {
    check(0, "a gateway for the fork");
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    alarm(10);
    _exit(in_child(gateway, client) ? 0 : 1);
  }
  waitpid(pid, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "in a forked child every call returns MCPGW_E_STATE");
  reply = ask(gateway, client, "tools/call", ADD_NOTE);
  check(reply && strstr(reply, "note 2"), "the parent's gateway does not notice the fork, nor the copy's end");
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway);
  check(no_children(), "and its child ends with it");
}

/* An options struct of an older header, at the very end of a page: one byte read too far is a fault. */
static void *at_page_end(size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) != 0) return NULL;
  return pages + page - size;
}

static struct {
  int lines, bad, said;
} logged;

/* One JSON object a line, and what a server writes to its stderr among them. */
static void on_log(void *data, int level, const char *line, size_t len) {
  (void)level;
  logged.lines++;
  if (data != &logged || len < 2 || line[0] != '{' || line[len - 1] != '}' || memchr(line, '\n', len)) logged.bad++;
  if (memmem(line, len, "\"notes\"", 7) && memmem(line, len, "dear log", 8)) logged.said++;
}

static int try_options(const mcpgw_gateway_options *options) {
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  int rc = mcpgw_config_new(&config);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&gateway, config, options);
  mcpgw_gateway_free(gateway);
  mcpgw_config_free(config);
  return rc;
}

static void test_sizes(void) {
  static const size_t old[] = {offsetof(mcpgw_gateway_options, log), offsetof(mcpgw_gateway_options, launcher)};
  mcpgw_gateway_options now;
  memset(&now, 0xff, sizeof now);
  mcpgw_gateway_options_init(&now);
  check(now.struct_size == sizeof now && !now.log && !now.launcher && try_options(&now) == MCPGW_OK,
        "mcpgw_gateway_options_init fills in size and defaults");
  check(try_options(NULL) == MCPGW_OK, "no options are the defaults");
  for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
    mcpgw_gateway_options *o = at_page_end(old[i]);
    char what[80];
    snprintf(what, sizeof what, "options of %zu bytes are accepted, and not read beyond", old[i]);
    if (o) {
      memcpy(o, &now, old[i]);
      o->struct_size = (uint32_t)old[i];
    }
    check(o && try_options(o) == MCPGW_OK, what);
  }
  struct {
    mcpgw_gateway_options known;
    char later[64];
  } bigger;
  memset(&bigger, 0, sizeof bigger);
  bigger.known = now;
  bigger.known.struct_size = sizeof bigger;
  check(try_options(&bigger.known) == MCPGW_OK, "options of a later header, zero where unknown, are accepted");
  now.struct_size = 0;
  check(try_options(&now) == MCPGW_E_INVALID, "options without a size are refused");
}

/* What is wrong is returned, never asserted; outputs stay as they were. */
static void test_arguments(void) {
  mcpgw_config *config = NULL, *untouched = NULL;
  mcpgw_gateway *gateway = NULL;
  const char *const none[] = {NULL}, *const argv[] = {"/bin/true", NULL};
  check(mcpgw_config_new(NULL) == MCPGW_E_INVALID, "mcpgw_config_new without an out is invalid");
  check(mcpgw_config_new(&config) == MCPGW_OK && config, "mcpgw_config_new");
  check(mcpgw_config_load_mem(config, "{\"gateway\":{\"lisen\":[]}}", 24, NULL) == MCPGW_E_CONFIG &&
            strstr(mcpgw_config_error(config), "gateway.lisen") && !strchr(mcpgw_config_error(config), '\n'),
        "a bad document is MCPGW_E_CONFIG, and the error names the path in one line");
  check(mcpgw_config_add_stdio(config, "a", 1, none, NULL, NULL) < 0 && mcpgw_config_servers(config) == 0,
        "a server without a command is refused");
  check(mcpgw_config_add_stdio(config, "a", 1, argv, NULL, NULL) == MCPGW_OK &&
            mcpgw_config_error(config)[0] == '\0' && mcpgw_config_servers(config) == 1,
        "a success clears the error text");
  check(mcpgw_config_add_stdio(config, "a", 1, argv, NULL, NULL) == MCPGW_E_EXISTS ||
            mcpgw_config_error(config)[0] != '\0',
        "the same name twice is refused");
  check(strcmp(mcpgw_config_server_name(config, 0), "a") == 0 && mcpgw_config_server_name(config, 1) == NULL,
        "an index out of range is NULL");
  check(mcpgw_gateway_new(&gateway, NULL, NULL) == MCPGW_E_INVALID && !gateway, "no configuration is invalid");
  check(mcpgw_config_set_listen(config, "nonsense") < 0, "an address that is none is refused");
  mcpgw_config_free(config);
  mcpgw_config_free(untouched);
  mcpgw_gateway_free(NULL);
  mcpgw_event_free(NULL);
  mcpgw_client_close(NULL);
  mcpgw_free(NULL);
  check(1, "NULL is freed without harm");
  check(mcpgw_strerror(12345) && mcpgw_strerror(INT_MIN) && mcpgw_strerror(MCPGW_OK), "every code has a phrase");
}

static void test_open_world(void) {
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  int rc = mcpgw_config_new(&config);
  if (rc == MCPGW_OK) rc = mcpgw_config_set_listen(config, "0.0.0.0:0");
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&gateway, config, NULL);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_listen(gateway);
  check(rc == MCPGW_E_CONFIG && (!gateway || mcpgw_gateway_endpoints(gateway) == 0),
        "an address that other machines reach is refused without set_insecure_plain_http");
  mcpgw_gateway_free(gateway);
  mcpgw_config_free(config);
}

/* A server that ends at once, with SIGPIPE at its default: an error with a name, and we live. */
static void test_dying_server(void) {
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;
  mcpgw_event *event = NULL;
  int told = 0;
  uint64_t id = 0;
  int rc = open_gateway("/bin/true", &gateway, &client);
  if (rc == MCPGW_OK) rc = mcpgw_client_request(client, "tools/call", 10, ADD_NOTE, strlen(ADD_NOTE), &id);
  while (rc == MCPGW_OK && !told && (event = next_event(gateway)) != NULL) {
    told = mcpgw_event_kind(event) == MCPGW_EVENT_CLOSED || strstr(mcpgw_event_data(event), "\"error\"") != NULL;
    mcpgw_event_free(event);
  }
  check(told, "a server that dies at once is an error, not a signal");
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway);
}

static void *ring(void *arg) {
  struct timespec t = {0, 50000000};
  nanosleep(&t, NULL);
  mcpgw_gateway_wakeup(arg);
  return NULL;
}

static void test_three_ways(void) {
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;
  pthread_t thread;
  char *stats = NULL;
  int rc = open_gateway(notes, &gateway, &client), started;
  if (rc != MCPGW_OK || !ask(gateway, client, "ping", NULL)) {
    check(0, "a gateway for the three ways in");
    return;
  }
  check(mcpgw_gateway_stats(gateway, &stats) == MCPGW_OK && stats && stats[0] == '{', "stats are one JSON object");
  mcpgw_free(stats);
  alarm(30);
  started = pthread_create(&thread, NULL, ring, gateway) == 0;
  check(started && mcpgw_gateway_run(gateway) == MCPGW_E_AGAIN, "run returns MCPGW_E_AGAIN on a wake-up from a thread");
  if (started) pthread_join(thread, NULL);
  started = pthread_create(&thread, NULL, ring, gateway) == 0;
  rc = mcpgw_gateway_wait(gateway, -1);
  check(started && (rc == MCPGW_OK || rc == MCPGW_E_AGAIN), "and so does a wait without end");
  if (started) pthread_join(thread, NULL);
  mcpgw_client_close(client);
  rc = mcpgw_gateway_stop(gateway, 1000);
  if (rc == MCPGW_OK) {
    while ((rc = mcpgw_gateway_run(gateway)) == MCPGW_E_AGAIN) continue; /* the last wake-up may still be there */
  }
  check(rc == MCPGW_OK && mcpgw_gateway_stopped(gateway) == 1, "stop, then run: MCPGW_OK, stopped");
  alarm(0);
  check(no_children(), "a stopped gateway has no child");
  mcpgw_gateway_free(gateway);
}

static void test_endpoint(void) {
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  int rc = mcpgw_config_new(&config);
  if (rc == MCPGW_OK) rc = mcpgw_config_set_listen(config, "127.0.0.1:0");
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&gateway, config, NULL);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_listen(gateway);
  check(rc == MCPGW_OK && mcpgw_gateway_endpoints(gateway) == 1 &&
            strncmp(mcpgw_gateway_endpoint(gateway, 0), "http://127.0.0.1:", 17) == 0 &&
            !strstr(mcpgw_gateway_endpoint(gateway, 0), ":0/") && !mcpgw_gateway_endpoint(gateway, 1),
        "port 0 becomes a real one in the endpoint's URL");
  mcpgw_gateway_free(gateway);
  mcpgw_config_free(config);
}

static void test_log(void) {
  const char *const argv[] = {"/bin/sh", "-c", "echo dear log >&2", NULL}, *const env[] = {NULL};
  mcpgw_config *config = NULL;
  mcpgw_gateway *gateway = NULL;
  mcpgw_client *client = NULL;
  mcpgw_gateway_options options;
  mcpgw_gateway_options_init(&options);
  options.log = on_log;
  options.log_data = &logged;
  int rc = mcpgw_config_new(&config);
  if (rc == MCPGW_OK) rc = mcpgw_config_set_log_level(config, MCPGW_LOG_DEBUG);
  if (rc == MCPGW_OK) rc = mcpgw_config_add_stdio(config, "notes", 5, argv, env, NULL);
  if (rc == MCPGW_OK) rc = mcpgw_gateway_new(&gateway, config, &options);
  if (rc == MCPGW_OK) rc = mcpgw_client_open(&client, gateway, NULL, 0, MCPGW_CLIENT_LEGACY);
  if (rc == MCPGW_OK) mcpgw_event_free(next_event(gateway));
  check(rc == MCPGW_OK && logged.said > 0 && logged.bad == 0,
        "the log function gets one JSON object a line, a server's stderr under its name");
  mcpgw_client_close(client);
  mcpgw_gateway_free(gateway);
  mcpgw_config_free(config);
}

int main(int argc, char **argv) {
  notes = argc > 1 ? argv[1] : "build/examples/notes";
  launcher = argc > 2 ? argv[2] : NULL;
  signal(SIGPIPE, SIG_DFL);
  test_lives();
  test_fork();
  test_sizes();
  test_arguments();
  test_open_world();
  test_dying_server();
  test_three_ways();
  test_endpoint();
  test_log();
  return checks_failed() != 0;
}
