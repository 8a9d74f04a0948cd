/* The suites of room transport; main.c runs them all. */
#ifndef TEST_TRANSPORT_SUITES_H
#define TEST_TRANSPORT_SUITES_H
#include <check.h>
Suite *transport_http_suite(void);
#endif
