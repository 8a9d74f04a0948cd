/* The suites of room http; main.c runs them all. */
#ifndef TEST_HTTP_SUITES_H
#define TEST_HTTP_SUITES_H
#include <check.h>
Suite *http_server_suite(void);
Suite *http_sse_suite(void);
Suite *http_client_suite(void);
#endif
