/* The suites of room core; main.c runs them all. */
#ifndef TEST_CORE_SUITES_H
#define TEST_CORE_SUITES_H
#include <check.h>
Suite *core_legacy_suite(void);
Suite *core_links_suite(void);
Suite *core_lists_suite(void);
Suite *core_cache_suite(void);
Suite *core_known_suite(void);
Suite *core_fresh_suite(void);
Suite *core_modern_suite(void);
Suite *core_listen_suite(void);
Suite *core_feeds_suite(void);
Suite *core_contexts_suite(void);
Suite *core_limits_suite(void);
Suite *core_retry_suite(void);
Suite *core_keyed_suite(void);
Suite *core_random_suite(void);
Suite *core_suspect_suite(void);
Suite *core_registry_suite(void);
Suite *core_handles_suite(void);
Suite *core_sharing_suite(void);
#endif
