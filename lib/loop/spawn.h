/* loop/spawn: starts one process with its four descriptors. Only child.c includes it. */
#ifndef MG_LOOP_SPAWN_H
#define MG_LOOP_SPAWN_H
#include "loop/child.h"
#include "loop/process.h"

struct mg_spawned {
  struct mg_process process;
  int lifeline;              /* -1 without launcher */
  int in_fd, out_fd, err_fd; /* our ends: non-blocking, CLOEXEC */
};
/* On success everything in *out is OWNED by the caller. */
int mg_spawn(const struct mg_child_opts *o, struct mg_spawned *out, struct mg_err *err);
void mg_spawn_undo(struct mg_spawned *s); /* KILLs, reaps, closes */
/* Where argv0 is found: a path to run, in out; relative ones count from cwd (NULL: ours). */
int mg_spawn_find(const char *argv0, const char *const *env, const char *cwd, char *out, size_t cap,
                  struct mg_err *err);
#endif
