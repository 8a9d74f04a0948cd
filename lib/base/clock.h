/* base/clock: time and chance come in through here, so that tests can hold them still. */
#ifndef MG_BASE_CLOCK_H
#define MG_BASE_CLOCK_H
#include <stddef.h>
#include <stdint.h>

uint64_t mg_now_ms(void);  /* monotonic, for deadlines */
uint64_t mg_now_us(void);  /* monotonic, for stage times */
uint64_t mg_unix_ms(void); /* wall clock, for token lifetimes and logs */
int mg_random(void *out, size_t len); /* kernel randomness (getrandom); MCPGW_E_IO when it fails */
uint64_t mg_jitter(uint64_t max);     /* 0..max, for backoff */

/* Tests only. NULL restores the real thing. */
void mg_clock_hooks(uint64_t (*now_us)(void), uint64_t (*unix_ms)(void), int (*random)(void *, size_t));
#endif
