/* transport/stdio.c owns the life of a link to a child process: open, the child's end, close. Rules: an
 * event reaches the link only from a callback of the loop, never from inside open, send, cancel or close
 * (log lines of open excepted); after close none does; and since the link may close us from inside any
 * event, the memory goes when the last callback of ours has returned. */
#include "transport/stdio.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "transport/stdio_priv.h"

#define GOODBYE_MS 1000 /* from a closed stdin or stdout to the end, if the end is not seen before */

/* ---- the transport: a copy of the config ----------------------------------------------------------- */

static void free_list(char **list) {
  size_t i;
  for (i = 0; list && list[i]; i++) mg_free(list[i]);
  mg_free(list);
}

static char **copy_list(const char *const *list) {
  size_t n = 0, i;
  while (list && list[n]) n++;
  char **copy = mg_calloc(n + 1, sizeof *copy);
  for (i = 0; copy && i < n; i++) {
    if (!(copy[i] = mg_strdup(list[i]))) {
      free_list(copy);
      return NULL;
    }
  }
  return copy;
}

static int copy_text(const char *from, const char **to) {
  *to = from ? mg_strdup(from) : NULL;
  return from && !*to ? MCPGW_E_NOMEM : MCPGW_OK;
}

void mg_transport_stdio_free(void *transport) {
  struct stdio_transport *t = transport;
  if (!t) return;
  free_list((char **)t->config.argv);
  free_list((char **)t->config.env);
  mg_free((char *)t->config.cwd);
  mg_free((char *)t->config.launcher);
  mg_free((char *)t->config.user);
  mg_free(t);
}

int mg_transport_stdio_new(const struct mg_stdio_config *config, void **transport) {
  if (!config->loop || !config->argv || !config->argv[0]) return MCPGW_E_INVALID;
  struct stdio_transport *t = mg_calloc(1, sizeof *t);
  if (!t) return MCPGW_E_NOMEM;
  struct mg_stdio_config *c = &t->config;
  *c = *config;
  c->cwd = c->launcher = c->user = NULL;
  c->argv = (const char *const *)copy_list(config->argv);
  c->env = (const char *const *)copy_list(config->env);
  if (!c->argv || !c->env || copy_text(config->cwd, &c->cwd) || copy_text(config->launcher, &c->launcher) ||
      copy_text(config->user, &c->user)) {
    mg_transport_stdio_free(t);
    return MCPGW_E_NOMEM;
  }
  *transport = t;
  return MCPGW_OK;
}

const struct mg_stdio_stats *mg_transport_stdio_stats(const void *transport) {
  return &((const struct stdio_transport *)transport)->stats;
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* Watches go before the descriptors they watch. */
static void unwatch(struct stdio *s) {
  mcpgw_watch_free(s->in_watch);
  mcpgw_watch_free(s->out_watch);
  mcpgw_watch_free(s->err_watch);
  mcpgw_timer_free(s->flush);
  mcpgw_timer_free(s->second);
  mcpgw_timer_free(s->goodbye);
  s->in_watch = s->out_watch = s->err_watch = NULL;
  s->flush = s->second = s->goodbye = NULL;
}

static void destroy(struct stdio *s) {
  mg_stdio_out_done(s);
  mg_stdio_in_done(s);
  close_fd(&s->in_fd);
  close_fd(&s->out_fd);
  close_fd(&s->err_fd);
  mg_free(s);
}

void mg_stdio_enter(struct stdio *s) {
  s->busy++;
}

void mg_stdio_leave(struct stdio *s) {
  if (--s->busy == 0 && s->closed) destroy(s);
}

/* ---- the end --------------------------------------------------------------------------------------- */

void mg_stdio_over(struct stdio *s, int code, const char *text) {
  mcpgw_failure why = {sizeof why, code, MCPGW_DELIVERED_UNKNOWN, 0, 0, text};
  if (s->over || s->closed) return;
  mg_stdio_tell_hidden(s);
  s->over = 1;
  unwatch(s);
  mg_stdio_fail_unsent(s, code, text);
  if (!s->closed) mcpgw_link_closed(s->link, &why);
}

/* Its end mostly follows at once and says more than "closed". */
void mg_stdio_half_closed(struct stdio *s, const char *side) {
  if (s->half || s->over || s->closed) return;
  s->half = side;
  mcpgw_timer_set(s->goodbye, GOODBYE_MS);
}

static void on_goodbye(void *arg) {
  struct stdio *s = arg;
  mg_stdio_enter(s);
  mg_stdio_over(s, MCPGW_E_CLOSED, s->half);
  mg_stdio_leave(s);
}

static void end_text(int status, char *out, size_t cap) {
  if (status == MG_CHILD_STOLEN) (void)snprintf(out, cap, "child ended; its status was taken by the host");
  else if (WIFSIGNALED(status)) (void)snprintf(out, cap, "child killed by signal %d", WTERMSIG(status));
  else (void)snprintf(out, cap, "child ended with status %d", WEXITSTATUS(status));
}

static void on_child_end(void *arg, int status) {
  struct stdio *s = arg;
  char text[64];
  end_text(status, text, sizeof text);
  mg_stdio_enter(s);
  mg_stdio_read_out(s, 1);
  mg_stdio_read_err(s, 1);
  mg_stdio_over(s, MCPGW_E_CLOSED, text);
  mg_stdio_leave(s);
}

/* ---- events of the loop ---------------------------------------------------------------------------- */

static void on_out(void *arg, int events) {
  struct stdio *s = arg;
  (void)events;
  mg_stdio_enter(s);
  mg_stdio_read_out(s, 0);
  mg_stdio_leave(s);
}

static void on_err(void *arg, int events) {
  struct stdio *s = arg;
  (void)events;
  mg_stdio_enter(s);
  mg_stdio_read_err(s, 0);
  mg_stdio_leave(s);
}

static void write_now(struct stdio *s) {
  mg_stdio_enter(s);
  mg_stdio_write(s, 1);
  mg_stdio_leave(s);
}

static void on_in(void *arg, int events) {
  (void)events;
  write_now(arg);
}

static void on_flush(void *arg) {
  write_now(arg);
}

static void on_second(void *arg) {
  struct stdio *s = arg;
  mg_stdio_enter(s);
  mg_stdio_second_over(s);
  mg_stdio_leave(s);
}

/* ---- the vtable ------------------------------------------------------------------------------------ */

static void say_error(struct stdio *s, const char *event, const char *text) {
  mcpgw_link_log(s->link, MCPGW_LOG_ERROR, event, text, mg_slice_z(text).len);
}

/* Those which are ending do not count, or a new one could not take the place of an old one, but they
 * have the same ceiling. */
static int has_room(struct stdio *s) {
  uint64_t most = s->transport->config.children;
  int ending, all = mg_child_count_of(s->transport->config.loop, &s->transport->config, &ending);
  char text[128];
  if (s->transport->config.leaving) ending += (int)*s->transport->config.leaving;
  if (!most || ((uint64_t)(all - ending) < most && (uint64_t)ending < most)) return 1;
  s->transport->stats.refused++;
  (void)snprintf(text, sizeof text, "%d processes of it run and %d are ending; limits.children is %llu",
                 all - ending, ending, (unsigned long long)most);
  say_error(s, "stdio.children", text);
  return 0;
}

static int start(struct stdio *s) {
  const struct mg_stdio_config *t = &s->transport->config;
  struct mg_child_opts o = {.argv = t->argv,
                            .env = t->env,
                            .cwd = t->cwd,
                            .launcher = t->launcher,
                            .term_ms = t->term_ms,
                            .kill_ms = t->kill_ms,
                            .memory_bytes = t->memory_bytes,
                            .cpu_s = t->cpu_s,
                            .files = t->files,
                            .user = t->user,
                            .owner = t};
  struct mg_err err;
  mg_err_clear(&err);
  if (!has_room(s)) return MCPGW_E_LIMIT;
  int rc = mg_child_spawn(t->loop, &o, on_child_end, s, &s->child, &s->in_fd, &s->out_fd, &s->err_fd, &err);
  if (rc != MCPGW_OK) {
    say_error(s, "stdio.spawn", mg_err_text(&err));
    return rc == MCPGW_E_NOMEM || rc == MCPGW_E_LIMIT ? rc : MCPGW_E_IO;
  }
  s->transport->stats.started++;
  return MCPGW_OK;
}

static int watch(struct stdio *s) {
  int rc = mcpgw_timer_new(s->link, on_flush, s, &s->flush);
  if (!rc) rc = mcpgw_timer_new(s->link, on_second, s, &s->second);
  if (!rc) rc = mcpgw_timer_new(s->link, on_goodbye, s, &s->goodbye);
  if (!rc) rc = mcpgw_watch_new(s->link, s->in_fd, on_in, s, &s->in_watch);
  if (!rc) rc = mcpgw_watch_new(s->link, s->out_fd, on_out, s, &s->out_watch);
  if (!rc) rc = mcpgw_watch_new(s->link, s->err_fd, on_err, s, &s->err_watch);
  if (!rc) rc = mcpgw_watch_set(s->out_watch, MCPGW_READ);
  if (!rc) rc = mcpgw_watch_set(s->err_watch, MCPGW_READ);
  return rc;
}

static int stdio_open(void *transport, mcpgw_link *link, void **impl) {
  struct stdio *s = mg_calloc(1, sizeof *s);
  if (!s) return MCPGW_E_NOMEM;
  s->transport = transport;
  s->link = link;
  s->in_fd = s->out_fd = s->err_fd = -1;
  mg_stdio_in_init(s);
  int rc = start(s);
  if (!rc && (rc = watch(s))) {
    unwatch(s);
    mg_child_free(s->child);
  }
  if (rc) {
    destroy(s);
    return rc;
  }
  *impl = s;
  return MCPGW_OK;
}

static int stdio_send(void *impl, const mcpgw_message *msg) {
  struct stdio *s = impl;
  if (s->over || s->closed || s->half) return MCPGW_E_CLOSED;
  int rc = mg_stdio_queue(s, msg);
  if (rc == MCPGW_OK && !s->blocked) mcpgw_timer_set(s->flush, 0);
  return rc;
}

static void stdio_cancel(void *impl, uint64_t call) {
  mg_stdio_forget(impl, call);
}

/* What is queued (a last notification, say) gets its chance if stdin takes it without waiting. */
static void stdio_close(void *impl, uint32_t flags) {
  struct stdio *s = impl;
  unwatch(s);
  s->closed = 1;
  if (flags & MCPGW_CLOSE_GRACEFUL) {
    if (!s->over) mg_stdio_write(s, 0);
    close_fd(&s->in_fd);
    mg_child_release(s->child, s->out_fd, s->err_fd);
    s->out_fd = s->err_fd = -1;
  } else {
    mg_child_free(s->child);
  }
  s->child = NULL;
  if (s->busy == 0) destroy(s);
}

int mg_transport_stdio_pid(const void *link) {
  const struct stdio *s = link;
  return s->child ? mg_child_pid(s->child) : 0;
}

const mcpgw_transport_ops mg_transport_stdio_ops = {
    .struct_size = sizeof(mcpgw_transport_ops),
    .name = "stdio",
    .open = stdio_open,
    .send = stdio_send,
    .cancel = stdio_cancel,
    .close = stdio_close,
};
