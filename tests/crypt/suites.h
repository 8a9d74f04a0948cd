/* tests/crypt: one suite a noun of lib/crypt. */
#ifndef TESTS_CRYPT_H
#define TESTS_CRYPT_H
#include <check.h>

Suite *crypt_seal_suite(void);
#endif
