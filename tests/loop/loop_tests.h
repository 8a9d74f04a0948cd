/* What the files of tests/loop share. */
#ifndef TESTS_LOOP_TESTS_H
#define TESTS_LOOP_TESTS_H
#include <check.h>

#include "base/mem.h"
#include "loop/child.h"

Suite *loop_turn_suite(void);
Suite *loop_child_suite(void);
Suite *loop_launch_suite(void);

/* A spawned child with everything it said. */
struct kid {
  struct mg_loop *loop;
  struct mg_child *child;
  int in, out, err;
  int ended, status;
  char *text; /* stdout and stderr so far, NUL-terminated */
  size_t len;
};
struct mg_loop *loop_new(void);
void loop_free(struct mg_loop *l);                                    /* also checks that nothing leaks */
struct mg_child_opts kid_opts(const char *const *argv, int launcher); /* term 100, kill 200, a sane env */
void kid_spawn(struct kid *k, struct mg_loop *l, const struct mg_child_opts *o);
/* argv by words: kid_sh(k, l, launcher, "echo hi", mark): sh -c script mark */
void kid_sh(struct kid *k, struct mg_loop *l, int launcher, const char *script, const char *mark);
void kid_close(struct kid *k, int *fd);
void kid_read(struct kid *k); /* what is there now */
int kid_wait_text(struct kid *k, const char *text, unsigned ms);
int kid_wait_end(struct kid *k, unsigned ms); /* 1: ended; reads meanwhile */
void kid_done(struct kid *k);                 /* frees child and descriptors */
void loop_turn_for(struct mg_loop *l, unsigned ms);
#endif
