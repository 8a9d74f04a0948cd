/* tests/base: one suite a noun of lib/base. */
#ifndef TESTS_BASE_H
#define TESTS_BASE_H
#include <check.h>
#include <stdint.h>

Suite *base_mem_suite(void);
Suite *base_slice_suite(void);
Suite *base_buf_suite(void);
Suite *base_blob_suite(void);
Suite *base_map_suite(void);
Suite *base_heap_suite(void);
Suite *base_text_suite(void);
Suite *base_id_suite(void);

/* A repeatable stream of numbers; *state is not 0. */
uint64_t base_next(uint64_t *state);
/* Fails the test unless as many allocations are alive as when `before` was read. */
void base_no_leak(int64_t before);
#endif
