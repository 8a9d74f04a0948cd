/* tests/crypt/seal: what is sealed opens only whole, under its key and with its associated data; known
 * answers from the RFCs and the XChaCha draft; secret memory; failures of memory and of chance. */
#include "crypt/seal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "mcpgw/types.h"
#include "suites.h"

#define Z(text) mg_slice_z(text)

static struct mg_seal_key *new_key(void) {
  struct mg_seal_key *key = NULL;
  ck_assert_int_eq(mg_seal_key_generate(&key), MCPGW_OK);
  return key;
}

static void unhex(const char *hex, struct mg_buf *out) {
  for (; hex[0] && hex[1]; hex += 2) {
    unsigned byte = 0;
    ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
    mg_buf_addc(out, (char)byte);
  }
}

START_TEST(init_may_be_repeated) {
  ck_assert_int_eq(mg_crypt_init(), MCPGW_OK);
  ck_assert_int_eq(mg_crypt_init(), MCPGW_OK);
}
END_TEST

START_TEST(what_is_sealed_opens) {
  static const size_t lens[] = {0, 1, 2, 3, 31, 1000, MG_SEAL_MAX};
  static char plain[MG_SEAL_MAX];
  int64_t before = mg_mem_live();
  struct mg_seal_key *key = new_key();
  memset(plain, 'p', sizeof plain);
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
    struct mg_buf text, back;
    mg_buf_init(&text, 2 * MG_SEAL_MAX);
    mg_buf_init(&back, lens[i] + 4); /* fits exactly */
    mg_buf_addz(&back, "keep");
    ck_assert_int_eq(mg_seal_new(key, mg_slice(plain, lens[i]), Z("ad"), &text), MCPGW_OK);
    ck_assert_uint_eq(text.len, ((lens[i] + 40) * 4 + 2) / 3);
    for (size_t c = 0; c < text.len; c++)
      ck_assert_ptr_nonnull(
          memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text.ptr[c], 64));
    ck_assert_int_eq(mg_seal_open(key, mg_buf_slice(&text), Z("ad"), &back), MCPGW_OK);
    ck_assert_uint_eq(back.len, lens[i] + 4);
    ck_assert_mem_eq(back.ptr, "keep", 4);
    if (lens[i]) ck_assert_mem_eq(back.ptr + 4, plain, lens[i]);
    mg_buf_done(&text);
    mg_buf_done(&back);
  }
  struct mg_buf text;
  mg_buf_init(&text, 2 * MG_SEAL_MAX);
  ck_assert_int_eq(mg_seal_new(key, mg_slice(plain, MG_SEAL_MAX + 1), Z(""), &text), MCPGW_E_LIMIT);
  ck_assert_int_eq(mg_seal_new(key, mg_slice(plain, SIZE_MAX), Z(""), &text), MCPGW_E_LIMIT);
  mg_buf_done(&text);
  mg_seal_key_free(key);
  ck_assert_int_eq(mg_mem_live(), before);
}
END_TEST

START_TEST(seals_of_one_text_differ) {
  struct mg_seal_key *key = new_key();
  struct mg_buf a, b;
  mg_buf_init(&a, 4096);
  mg_buf_init(&b, 4096);
  ck_assert_int_eq(mg_seal_new(key, Z("same"), Z(""), &a), MCPGW_OK);
  ck_assert_int_eq(mg_seal_new(key, Z("same"), Z(""), &b), MCPGW_OK);
  ck_assert(!mg_slice_eq(mg_buf_slice(&a), mg_buf_slice(&b)));
  mg_buf_done(&a);
  mg_buf_done(&b);
  mg_seal_key_free(key);
}
END_TEST

static void stays_shut(const struct mg_seal_key *key, struct mg_slice text, const char *ad) {
  struct mg_buf out;
  mg_buf_init(&out, 4096);
  mg_buf_addz(&out, "keep");
  ck_assert_msg(mg_seal_open(key, text, Z(ad), &out) == MCPGW_E_DENIED, "%.*s", (int)text.len, text.ptr);
  ck_assert(mg_slice_eqz(mg_buf_slice(&out), "keep"));
  mg_buf_done(&out);
}

START_TEST(nothing_else_opens) {
  struct mg_seal_key *key = new_key(), *other = new_key();
  struct mg_buf text;
  mg_buf_init(&text, 4096);
  ck_assert_int_eq(mg_seal_new(key, Z("context 17 of principal 4"), Z("context"), &text), MCPGW_OK);
  stays_shut(other, mg_buf_slice(&text), "context");
  stays_shut(key, mg_buf_slice(&text), "requestState");
  stays_shut(key, mg_buf_slice(&text), "");
  for (size_t i = 0; i < text.len; i++) { /* every character changed, every shorter text */
    char was = text.ptr[i];
    text.ptr[i] = was == 'A' ? 'B' : 'A';
    stays_shut(key, mg_buf_slice(&text), "context");
    text.ptr[i] = '=';
    stays_shut(key, mg_buf_slice(&text), "context");
    text.ptr[i] = was;
    stays_shut(key, mg_slice(text.ptr, i), "context");
  }
  stays_shut(key, mg_slice(NULL, 0), "context");
  mg_buf_addc(&text, 'A');
  stays_shut(key, mg_buf_slice(&text), "context");
  mg_buf_done(&text);
  mg_seal_key_free(key);
  mg_seal_key_free(other);
}
END_TEST

START_TEST(text_of_any_length_is_only_denied) {
  static char text[2 * MG_SEAL_MAX];
  struct mg_seal_key *key = new_key();
  memset(text, 'A', sizeof text);
  stays_shut(key, mg_slice(text, sizeof text), "");
  stays_shut(key, mg_slice(text, SIZE_MAX), "");
  for (size_t n = 0; n < 80; n++) stays_shut(key, mg_slice(text, n), "");
  mg_seal_key_free(key);
}
END_TEST

/* draft-irtf-cfrg-xchacha-03, A.3.1: nonce, ciphertext and tag, opened under its key. */
START_TEST(opens_the_published_vector) {
  struct mg_buf raw, key_raw, ad, text, plain;
  struct mg_seal_key *key = NULL;
  mg_buf_init(&raw, 4096);
  mg_buf_init(&key_raw, 64);
  mg_buf_init(&ad, 64);
  mg_buf_init(&text, 4096);
  mg_buf_init(&plain, 4096);
  unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", &key_raw);
  unhex("50515253c0c1c2c3c4c5c6c7", &ad);
  unhex("404142434445464748494a4b4c4d4e4f5051525354555657", &raw);
  unhex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e",
        &raw);
  unhex("c0875924c1c7987947deafd8780acf49", &raw);
  ck_assert_int_eq(mg_seal_key_import(mg_buf_slice(&key_raw), &key), MCPGW_OK);
  ck_assert(mg_slice_eq(mg_seal_key_raw(key), mg_buf_slice(&key_raw)));
  ck_assert_int_eq(mg_base64_encode(&text, mg_buf_slice(&raw), 1), MCPGW_OK);
  ck_assert_int_eq(mg_seal_open(key, mg_buf_slice(&text), mg_buf_slice(&ad), &plain), MCPGW_OK);
  ck_assert(mg_slice_starts(mg_buf_slice(&plain), MG_LIT("Ladies and Gentlemen of the class of '99")));
  ck_assert_uint_eq(plain.len, 114);
  mg_seal_key_free(key);
  mg_buf_done(&raw);
  mg_buf_done(&key_raw);
  mg_buf_done(&ad);
  mg_buf_done(&text);
  mg_buf_done(&plain);
}
END_TEST

START_TEST(keys_have_one_length) {
  struct mg_seal_key *key = (struct mg_seal_key *)&key;
  ck_assert_int_eq(mg_seal_key_import(mg_slice("0123456789012345678901234567890", 31), &key),
                   MCPGW_E_INVALID);
  ck_assert_int_eq(mg_seal_key_import(mg_slice(NULL, 0), &key), MCPGW_E_INVALID);
  ck_assert_ptr_eq(key, &key); /* untouched */
  struct mg_seal_key *a = new_key(), *b = new_key();
  ck_assert(!mg_slice_eq(mg_seal_key_raw(a), mg_seal_key_raw(b)));
  mg_seal_key_free(a);
  mg_seal_key_free(b);
  mg_seal_key_free(NULL);
}
END_TEST

static void hash_is(struct mg_slice key, struct mg_slice data, const char *hex) {
  unsigned char out[MG_HASH_LEN];
  struct mg_buf want;
  mg_buf_init(&want, 64);
  unhex(hex, &want);
  mg_hash(key, data, out);
  ck_assert_mem_eq(out, want.ptr, MG_HASH_LEN);
  mg_buf_done(&want);
}

/* RFC 4231, cases 1, 2 and 6 (a key longer than a block); FIPS 180-4's "abc". */
START_TEST(hashes_known_answers) {
  char long_key[131], short_key[20];
  memset(long_key, 0xaa, sizeof long_key);
  memset(short_key, 0x0b, sizeof short_key);
  hash_is(mg_slice(short_key, 20), Z("Hi There"),
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  hash_is(Z("Jefe"), Z("what do ya want for nothing?"),
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  hash_is(mg_slice(long_key, 131), Z("Test Using Larger Than Block-Size Key - Hash Key First"),
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  hash_is(mg_slice(NULL, 0), mg_slice(NULL, 0),
          "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  unsigned char out[MG_HASH_LEN];
  struct mg_buf want;
  mg_buf_init(&want, 64);
  unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &want);
  mg_sha256(Z("abc"), out);
  ck_assert_mem_eq(out, want.ptr, MG_HASH_LEN);
  mg_buf_done(&want);
}
END_TEST

START_TEST(secrets_compare) {
  ck_assert_int_eq(mg_secret_eq(Z("abc"), MG_LIT("abc")), 1);
  ck_assert_int_eq(mg_secret_eq(Z("abc"), Z("abd")), 0);
  ck_assert_int_eq(mg_secret_eq(Z("abc"), Z("bbc")), 0);
  ck_assert_int_eq(mg_secret_eq(Z("abc"), Z("ab")), 0);
  ck_assert_int_eq(mg_secret_eq(mg_slice(NULL, 0), Z("")), 1);
}
END_TEST

/* Whether the mapping that holds p says "dd" (do not dump) in /proc/self/smaps. */
static int kept_from_dumps(const void *p) {
  FILE *f = fopen("/proc/self/smaps", "r");
  char line[512];
  unsigned long long from, to, at = (uintptr_t)p;
  int inside = 0, found = 0;
  ck_assert_ptr_nonnull(f);
  while (!found && fgets(line, sizeof line, f)) {
    if (sscanf(line, "%llx-%llx ", &from, &to) == 2) inside = at >= from && at < to;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) found = strstr(line, " dd") ? 1 : -1;
  }
  fclose(f);
  return found == 1;
}

START_TEST(secret_memory) {
  int64_t before = mg_mem_live();
  unsigned char *p = mg_secret_alloc(5000);
  ck_assert_ptr_nonnull(p);
  ck_assert_uint_eq((uintptr_t)p % _Alignof(max_align_t), 0);
  for (size_t i = 0; i < 5000; i++) ck_assert_uint_eq(p[i], 0);
  memset(p, 's', 5000);
  ck_assert(kept_from_dumps(p));
  ck_assert(!kept_from_dumps(&before)); /* the check can fail */
  mg_secret_wipe(p, 100);
  ck_assert(p[0] == 0 && p[99] == 0 && p[100] == 's');
  mg_secret_wipe(NULL, 0);
  mg_secret_free(p);
  mg_secret_free(NULL);
  mg_secret_free(mg_secret_alloc(0));
  ck_assert_ptr_null(mg_secret_alloc(SIZE_MAX));
  ck_assert_int_eq(mg_mem_live(), before);
}
END_TEST

START_TEST(every_allocation_fails_in_turn) {
  int64_t before = mg_mem_live();
  uint64_t nth = 1;
  for (int over = 0; !over; nth++) {
    struct mg_seal_key *key = NULL;
    struct mg_buf text, back;
    mg_buf_init(&text, 4096);
    mg_buf_init(&back, 4096);
    mg_mem_fail_after(nth, 0);
    int rc = mg_seal_key_generate(&key);
    ck_assert((rc == MCPGW_OK) == (key != NULL));
    if (rc == MCPGW_OK) rc = mg_seal_new(key, Z("plain"), Z("ad"), &text);
    if (rc == MCPGW_OK) rc = mg_seal_open(key, mg_buf_slice(&text), Z("ad"), &back);
    over = mg_mem_failed() == 0;
    mg_mem_fail_after(0, 0);
    ck_assert_int_eq(rc, over ? MCPGW_OK : MCPGW_E_NOMEM);
    ck_assert_uint_eq(back.len, over ? 5 : 0);
    mg_buf_done(&text);
    mg_buf_done(&back);
    mg_seal_key_free(key);
    ck_assert_int_eq(mg_mem_live(), before);
  }
  ck_assert_uint_gt(nth, 5);
}
END_TEST

static int no_chance(void *out, size_t len) {
  (void)out;
  (void)len;
  return MCPGW_E_IO;
}

START_TEST(no_randomness_no_seal) {
  struct mg_seal_key *key = new_key(), *none = NULL;
  struct mg_buf text;
  mg_buf_init(&text, 4096);
  int64_t before = mg_mem_live();
  mg_clock_hooks(NULL, NULL, no_chance);
  ck_assert_int_eq(mg_seal_new(key, Z("plain"), Z(""), &text), MCPGW_E_IO);
  ck_assert_int_eq(mg_seal_key_generate(&none), MCPGW_E_IO);
  ck_assert_ptr_null(none);
  ck_assert_uint_eq(text.len, 0);
  ck_assert_int_eq(mg_mem_live(), before);
  mg_buf_done(&text);
  mg_seal_key_free(key);
}
END_TEST

START_TEST(a_full_buffer_is_a_limit) {
  struct mg_seal_key *key = new_key();
  struct mg_buf text, back;
  mg_buf_init(&text, 20);
  ck_assert_int_eq(mg_seal_new(key, Z("plain"), Z(""), &text), MCPGW_E_LIMIT);
  mg_buf_done(&text);
  mg_buf_init(&text, 4096);
  ck_assert_int_eq(mg_seal_new(key, Z("plain"), Z(""), &text), MCPGW_OK);
  mg_buf_init(&back, 4);
  ck_assert_int_eq(mg_seal_open(key, mg_buf_slice(&text), Z(""), &back), MCPGW_E_LIMIT);
  ck_assert_uint_eq(back.len, 0);
  mg_buf_done(&text);
  mg_buf_done(&back);
  mg_seal_key_free(key);
}
END_TEST

Suite *crypt_seal_suite(void) {
  Suite *s = suite_create("crypt/seal");
  TCase *t = tcase_create("seal");
  tcase_add_test(t, init_may_be_repeated);
  tcase_add_test(t, what_is_sealed_opens);
  tcase_add_test(t, seals_of_one_text_differ);
  tcase_add_test(t, nothing_else_opens);
  tcase_add_test(t, text_of_any_length_is_only_denied);
  tcase_add_test(t, opens_the_published_vector);
  tcase_add_test(t, keys_have_one_length);
  tcase_add_test(t, hashes_known_answers);
  tcase_add_test(t, secrets_compare);
  tcase_add_test(t, secret_memory);
  tcase_add_test(t, every_allocation_fails_in_turn);
  tcase_add_test(t, no_randomness_no_seal);
  tcase_add_test(t, a_full_buffer_is_a_limit);
  suite_add_tcase(s, t);
  return s;
}
