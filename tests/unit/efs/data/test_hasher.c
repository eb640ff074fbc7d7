/* SHA-256 in pieces of any size: what libcrypto makes of the whole in one call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "efs/data/hasher.h"

enum { SIZE = 5 << 20 };
static unsigned char whole[SIZE];

static void fill(void)
{
    uint32_t x = 1;
    for (size_t i = 0; i < SIZE; i++)
        whole[i] = (unsigned char)((x = x * 1664525u + 1013904223u) >> 24);
}

static void expected(size_t n, char hex[65])
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    (void)SHA256(whole, n, raw);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

/* Two buffers in turn, as whoever reads has them: each is written to again as soon as that is allowed. */
static void in_pieces(const size_t *sizes, size_t n)
{
    struct hasher *h = hasher_new();
    unsigned char *two[2] = {malloc(SIZE), malloc(SIZE)};
    char have[65], want[65];
    size_t at = 0;
    assert_true(h && two[0] && two[1]);
    for (size_t i = 0; i < n; i++) {
        memcpy(two[i % 2], whole + at, sizes[i]);
        assert_true(hasher_add(h, two[i % 2], sizes[i]));
        memset(two[(i + 1) % 2], 0xff, SIZE); /* the one before is free now */
        at += sizes[i];
    }
    assert_true(hasher_hex(h, have));
    expected(at, want);
    assert_string_equal(have, want);
    hasher_free(h);
    free(two[0]);
    free(two[1]);
}
#define PIECES(...)                                                                                          \
    in_pieces((const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))

static void pieces_of_any_size_are_hashed_as_one(void **s)
{
    (void)s;
    PIECES(0);
    PIECES(1);
    PIECES(1, 0, 2);
    PIECES(1 << 20, 1 << 20, 1 << 20);
    PIECES(7, 1 << 20, 9, 300000, 262144, 262143, 0, 1 << 20);
}

static void what_was_waited_for_may_change(void **s)
{
    struct hasher *h = hasher_new();
    char have[65], want[65];
    unsigned char *one = malloc(SIZE);
    (void)s;
    assert_true(h && one);
    memcpy(one, whole, SIZE);
    assert_true(hasher_add(h, one, SIZE) && hasher_wait(h));
    memset(one, 0, SIZE);
    assert_true(hasher_hex(h, have));
    expected(SIZE, want);
    assert_string_equal(have, want);
    hasher_free(h);
    free(one);
}

static void one_that_nobody_wants_any_more_is_freed_with_its_thread(void **s)
{
    (void)s;
    for (int i = 0; i < 50; i++) {
        struct hasher *h = hasher_new();
        assert_non_null(h);
        assert_true(hasher_add(h, whole, 1 << 20));
        hasher_free(h);
    }
    hasher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_are_hashed_as_one),
        cmocka_unit_test(what_was_waited_for_may_change),
        cmocka_unit_test(one_that_nobody_wants_any_more_is_freed_with_its_thread),
    };
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
