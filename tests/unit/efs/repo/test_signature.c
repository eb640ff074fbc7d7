/* Signatures: what was signed is good, and nothing else is; a file that holds no key is told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include "efs/repo/signature.h"

static const char TEXT[] = "{\"format\":1}\n";
enum { LENGTH = sizeof TEXT - 1 };
static char folder[] = "/tmp/test-signature-XXXXXX";

static void path_of(char out[128], const char *name) { (void)snprintf(out, 128, "%s/%s", folder, name); }

static void write_key(const char *name, const char *public_name, int type)
{
    char path[128];
    EVP_PKEY *key = EVP_PKEY_new();
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(type, NULL);
    assert_int_equal(EVP_PKEY_keygen_init(c), 1);
    assert_int_equal(EVP_PKEY_keygen(c, &key), 1);
    path_of(path, name);
    FILE *f = fopen(path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    path_of(path, public_name);
    f = fopen(path, "w");
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
    assert_int_equal(fclose(f), 0);
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(key);
}

static int make_keys(void **state)
{
    char path[128];
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_key("one.key", "one.pem", EVP_PKEY_ED25519);
    write_key("two.key", "two.pem", EVP_PKEY_ED25519);
    write_key("x.key", "x.pub", EVP_PKEY_X25519);
    path_of(path, "empty");
    FILE *f = fopen(path, "w");
    return f ? fclose(f) : -1;
}

static int remove_keys(void **state)
{
    static const char *const name[] = {"one.key", "one.pem", "two.key", "two.pem", "x.key", "x.pub", "empty"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        path_of(path, name[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static struct verify_keys *keys(const char *one, const char *two)
{
    char list[300];
    struct err e = {0};
    (void)snprintf(list, sizeof list, "%s/%s:%s/%s", folder, one, folder, two);
    struct verify_keys *k = verify_keys_load(list, &e);
    assert_non_null(k);
    return k;
}

static void sign(const char *name, unsigned char out[SIGNATURE_SIZE])
{
    char path[128];
    struct err e = {0};
    path_of(path, name);
    struct signing_key *k = signing_key_load(path, &e);
    assert_non_null(k);
    assert_int_equal(signature_make(k, TEXT, LENGTH, out, &e), 0);
    signing_key_free(k);
}

static void what_was_signed_is_good_by_any_of_the_keys(void **state)
{
    unsigned char signature[SIGNATURE_SIZE];
    struct err e = {0};
    struct verify_keys *one = keys("one.pem", "one.pem"), *both = keys("one.pem", "two.pem"),
                       *all = verify_keys_load(folder, &e);
    (void)state;
    assert_non_null(all);
    sign("two.key", signature);
    assert_int_equal(signature_check(both, TEXT, LENGTH, signature, sizeof signature), SIGNATURE_GOOD);
    assert_int_equal(signature_check(all, TEXT, LENGTH, signature, sizeof signature), SIGNATURE_GOOD);
    assert_int_equal(signature_check(one, TEXT, LENGTH, signature, sizeof signature), SIGNATURE_BAD);
    assert_int_equal(signature_check(one, TEXT, LENGTH, NULL, 0), SIGNATURE_MISSING);
    assert_int_equal(signature_check(NULL, TEXT, LENGTH, signature, sizeof signature), SIGNATURE_UNCHECKED);
    verify_keys_free(one);
    verify_keys_free(both);
    verify_keys_free(all);
}

static void each_flipped_bit_and_each_other_length_is_bad(void **state)
{
    unsigned char signature[SIGNATURE_SIZE + 1] = {0};
    char text[LENGTH];
    struct verify_keys *k = keys("one.pem", "two.pem");
    (void)state;
    memcpy(text, TEXT, LENGTH);
    sign("one.key", signature);
    for (size_t i = 0; i < SIGNATURE_SIZE * 8; i++) {
        signature[i / 8] ^= (unsigned char)(1U << i % 8);
        assert_int_equal(signature_check(k, text, LENGTH, signature, SIGNATURE_SIZE), SIGNATURE_BAD);
        signature[i / 8] ^= (unsigned char)(1U << i % 8);
    }
    for (size_t i = 0; i < (size_t)LENGTH * 8; i++) {
        text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
        assert_int_equal(signature_check(k, text, LENGTH, signature, SIGNATURE_SIZE), SIGNATURE_BAD);
        text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
    }
    for (size_t n = 0; n <= SIGNATURE_SIZE + 1; n++)
        assert_int_equal(signature_check(k, text, LENGTH, signature, n),
                         n == SIGNATURE_SIZE ? SIGNATURE_GOOD : SIGNATURE_BAD);
    for (size_t n = 0; n < LENGTH; n++)
        assert_int_equal(signature_check(k, text, n, signature, SIGNATURE_SIZE), SIGNATURE_BAD);
    verify_keys_free(k);
}

static void a_file_that_holds_no_such_key_is_an_error(void **state)
{
    static const char *const no_private[] = {"one.pem", "x.key", "empty", "nowhere"};
    static const char *const no_public[] = {"one.key", "x.pub", "empty", "nowhere"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof no_private / sizeof *no_private; i++) {
        struct err e = {0};
        path_of(path, no_private[i]);
        assert_null(signing_key_load(path, &e));
        assert_non_null(strstr(e.text, path));
    }
    for (size_t i = 0; i < sizeof no_public / sizeof *no_public; i++) {
        struct err e = {0};
        path_of(path, no_public[i]);
        assert_null(verify_keys_load(path, &e));
        assert_non_null(strstr(e.text, path));
    }
    struct err e = {0};
    assert_null(verify_keys_load("", &e));
    assert_null(verify_keys_load("::", &e));
    assert_true(e.text[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_signed_is_good_by_any_of_the_keys),
                                       cmocka_unit_test(each_flipped_bit_and_each_other_length_is_bad),
                                       cmocka_unit_test(a_file_that_holds_no_such_key_is_an_error)};
    return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
