/* support/procs: real processes for tests: the launcher's path, who is alive, what is open, patience. */
#ifndef SUPPORT_PROCS_H
#define SUPPORT_PROCS_H
#include <stddef.h>
#include <stdint.h>

/* $MCPGW_LAUNCH, or mcpgw-launch two directories above the test program; fails the test without one. */
const char *procs_launcher(void);
/* A word no other test uses, to be put on command lines. BORROWED until the next call. */
const char *procs_mark(void);
/* How many processes (not zombies) have word on their command line, ourselves and our parent excepted. */
int procs_with(const char *word);
/* Waits until at most (least) n of them are there; returns how many there are at the end. */
int procs_wait_most(const char *word, int n, unsigned ms);
int procs_wait_least(const char *word, int n, unsigned ms);
int procs_open_fds(void);
uint64_t procs_now_ms(void);
void procs_sleep_ms(unsigned ms);
#endif
