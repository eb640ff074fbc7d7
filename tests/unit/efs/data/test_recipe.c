/* Recipes: what is written is read back; what is damaged is refused, and never leads outside a file or a
 * base. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "efs/data/recipe.h"

#define HASH "00000000000000000000000000000000000000000000000000000000000000"
#define A HASH "aa"
#define B HASH "bb"
#define C HASH "cc"

static const char whole[] = "+ 0 0 0 10 100 " A " 0000000000000001\n"
                            "+ 0 0 10 20 200 " B " -\n";

struct base {
    struct pieces pieces;
    struct piece *own;
};
static struct base base_of(const char *text)
{
    struct base b;
    struct err e = {0};
    assert_int_equal(recipe_apply(text, 0, 1000, NULL, &b.pieces, &b.own, "whole", &e), 0);
    return b;
}
static void base_free(struct base *b)
{
    pieces_free(&b->pieces);
    free(b->own);
}

static void a_whole_is_its_frames_one_after_the_other(void **state)
{
    (void)state;
    struct base b = base_of(whole);
    assert_int_equal(b.pieces.n, 2);
    assert_int_equal(b.pieces.size, 300);
    assert_int_equal(b.pieces.v[1].start, 100);
    assert_int_equal(b.pieces.v[1].piece->at, 10);
    assert_int_equal(b.pieces.v[0].piece->key, 1);
    assert_int_equal(b.pieces.v[1].piece->key, 0);
    assert_int_equal(b.pieces.v[0].piece->sha256[31], 0xaa);
    base_free(&b);
}

static void a_delta_takes_pieces_of_its_base_and_frames_of_its_own(void **state)
{
    (void)state;
    struct base b = base_of(whole);
    struct pieces p;
    struct piece *own;
    struct err e = {0};
    const char *text = "= 100 200\n~ 0 100 0 5 90 " C " -\n= 0 300\n";
    assert_int_equal(recipe_apply(text, 1, 5, &b.pieces, &p, &own, "delta", &e), 0);
    assert_int_equal(p.n, 4);
    assert_int_equal(p.size, 200 + 90 + 300);
    assert_ptr_equal(p.v[0].piece, b.pieces.v[1].piece);
    assert_ptr_equal(p.v[1].piece->prefix, b.pieces.v[0].piece);
    assert_int_equal(p.v[1].piece->layer, 1);
    assert_ptr_equal(p.v[3].piece, b.pieces.v[1].piece);
    pieces_free(&p);
    free(own);
    base_free(&b);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct base b = base_of(whole);
    char *text = NULL;
    size_t n = 0;
    struct recipe_writer w = {.to = open_memstream(&text, &n)};
    struct piece frame = {.key = UINT64_C(0xfedcba9876543210), .at = 0, .size = 7, .length = 70};
    frame.sha256[0] = 0xcc;
    recipe_copy(&w, 0, 100);
    recipe_copy(&w, 100, 200); /* one line with the one before */
    recipe_frame(&w, &frame, 0);
    frame.at = 7;
    frame.prefix = b.pieces.v[1].piece;
    recipe_frame(&w, &frame, 100);
    recipe_copy(&w, 0, 100);
    recipe_end(&w);
    assert_int_equal(fclose(w.to), 0);
    struct pieces p;
    struct piece *own;
    struct err e = {0};
    assert_int_equal(strncmp(text, "= 0 300\n+ 0 0 0 7 70 cc00", 24), 0);
    assert_int_equal(recipe_apply(text, 1, 14, &b.pieces, &p, &own, "delta", &e), 0);
    assert_int_equal(p.n, 5);
    assert_true(p.v[2].piece->key == frame.key);
    assert_ptr_equal(p.v[3].piece->prefix, b.pieces.v[1].piece);
    pieces_free(&p);
    free(own);
    free(text);
    base_free(&b);
}

static void damaged_ones_are_refused(void **state)
{
    static const char *const bad[] = {
        "x",
        "= 0 100",  /* cut short */
        "= 0 50\n", /* within a piece */
        "= 50 50\n",
        "= 100 201\n", /* behind the end */
        "= 18446744073709551615 2\n",
        "= 0 18446744073709551615\n",
        "= 0 0\n",
        "= -1 100\n",
        "= 0 100 \n",
        "? 0 0 0 5 90 " C " -\n",
        "+ 0 0 0 5 90 " C "\n", /* no key */
        "+ 0 0 0 5 90 " C " 12\n",
        "+ 0 0 0 5 90 " C " 000000000000000g\n",
        "+ 0 0 0 5 90 " HASH "CC -\n",
        "+ 0 0 0 5 0 " C " -\n",       /* an empty piece */
        "+ 0 0 0 5 1048577 " C " -\n", /* too long a piece */
        "+ 0 0 0 0 90 " C " -\n",
        "+ 0 0 96 5 90 " C " -\n", /* behind the frames */
        "+ 0 0 18446744073709551615 5 90 " C " -\n",
        "+ 0 0 0 99999999999999999999 90 " C " -\n",
        "~ 0 300 0 5 90 " C " -\n", /* two pieces as one prefix */
        "~ 0 50 0 5 90 " C " -\n",
        "= 0 100\n\n",
    };
    (void)state;
    struct base b = base_of(whole);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pieces p;
        struct piece *own;
        struct err e = {0};
        if (recipe_apply(bad[i], 1, 100, &b.pieces, &p, &own, "delta", &e) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(e.code, 0);
        assert_non_null(strstr(e.text, "delta"));
        assert_null(own);
    }
    base_free(&b);
}

static void a_few_lines_do_not_make_a_snapshot_without_end(void **state)
{
    enum { BITS = 7 }; /* each layer is the one before it 128 times */
    char line[64];
    struct base b = base_of(whole);
    struct err e = {0};
    int layer = 1;
    (void)state;
    for (; layer < LAYERS_MAX; layer++) {
        struct pieces p;
        struct piece *own;
        char *big = calloc(1 << BITS, sizeof line);
        (void)snprintf(line, sizeof line, "= 0 %llu\n", (unsigned long long)b.pieces.size);
        for (int i = 0; i < 1 << BITS; i++)
            (void)strcat(big, line);
        int rc = recipe_apply(big, (unsigned)layer, 0, &b.pieces, &p, &own, "delta", &e);
        free(big);
        if (rc != 0)
            break;
        free(own);
        pieces_free(&b.pieces);
        b.pieces = p;
    }
    assert_int_equal(layer, 3); /* 2 pieces, 256, 32,768, and no more */
    assert_non_null(strstr(e.text, "damaged"));
    base_free(&b);
}

static void a_whole_has_no_base_to_copy_from(void **state)
{
    (void)state;
    struct pieces p;
    struct piece *own;
    struct err e = {0};
    assert_int_equal(recipe_apply("= 0 100\n", 0, 100, NULL, &p, &own, "whole", &e), -1);
    assert_int_equal(recipe_apply("~ 0 100 0 5 90 " C " -\n", 0, 100, NULL, &p, &own, "whole", &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_is_its_frames_one_after_the_other),
        cmocka_unit_test(a_delta_takes_pieces_of_its_base_and_frames_of_its_own),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(damaged_ones_are_refused),
        cmocka_unit_test(a_few_lines_do_not_make_a_snapshot_without_end),
        cmocka_unit_test(a_whole_has_no_base_to_copy_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
