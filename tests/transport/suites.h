/* The suites of room transport; main.c runs them all. */
#ifndef TEST_TRANSPORT_SUITES_H
#define TEST_TRANSPORT_SUITES_H
#include <check.h>
Suite *transport_http_suite(void);
Suite *transport_stdio_suite(void);
Suite *transport_stdio_life_suite(void);
Suite *transport_stdio_flood_suite(void);
Suite *transport_memory_suite(void);
Suite *transport_peek_suite(void);
#endif
