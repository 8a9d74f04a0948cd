/* The suites of room gateway; main.c runs them all. */
#ifndef TEST_GATEWAY_SUITES_H
#define TEST_GATEWAY_SUITES_H
#include <check.h>
Suite *gateway_endpoint_suite(void);
Suite *gateway_streams_suite(void);
Suite *gateway_bytes_suite(void);
Suite *gateway_clients_suite(void);
Suite *gateway_guest_suite(void);
Suite *gateway_admin_suite(void);
Suite *gateway_contexts_suite(void);
Suite *gateway_many_suite(void);
Suite *gateway_keyed_suite(void);
Suite *gateway_reload_suite(void);
#endif
