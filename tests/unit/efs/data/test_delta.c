/* Storing in pieces and reading them back: whole, against a base, against a delta; and what is done when a
 * base is not what it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "efs/data/delta.h"
#include "efs/data/tar_cuts.h"

enum { MIB = 1 << 20, SIZE = 3 * MIB + 4321 };

static int file_of(const void *data, size_t n)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), (ssize_t)n);
    return fd;
}

static unsigned char *noise(size_t n, uint32_t seed)
{
    unsigned char *data = malloc(n);
    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (unsigned char)(seed >> 24);
    }
    return data;
}

/* One file of a chain. */
struct stored {
    int fd;
    struct copy_result result;
    struct recipe_place place;
};

static enum delta_outcome store(const void *data, size_t n, struct layers *base, uint64_t most,
                                struct stored *out)
{
    struct err e = {0};
    struct copy_options o = {.level = 1};
    int in = file_of(data, n);
    out->fd = file_of("", 0);
    enum delta_outcome rc =
        delta_store(in, "in", out->fd, "out", base, most, &o, &out->result, &out->place, &e);
    assert_int_equal(rc == DELTA_FAILED || rc == DELTA_NO_BASE, e.text[0] != 0);
    assert_int_equal(close(in), 0);
    return rc;
}

static struct layers *chain(const struct stored *v, size_t n)
{
    struct layers *l = layers_new();
    struct err e = {0};
    assert_non_null(l);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(layers_add(l, dup(v[i].fd), "file", &v[i].place, &e), 0);
    return l;
}

static void gives(struct layers *l, const unsigned char *data, size_t n)
{
    struct err e = {0};
    unsigned char *got = malloc(n + 1);
    size_t done = 0;
    for (ssize_t r; (r = layers_read(l, got + done, n + 1 - done, &e)) != 0; done += (size_t)r)
        assert_true(r > 0);
    assert_int_equal(done, n);
    assert_memory_equal(got, data, n);
    free(got);
}

static void a_chain_gives_back_what_each_was_made_of(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 1);
    struct stored v[LAYERS_MAX];
    for (size_t i = 0; i < LAYERS_MAX; i++) {
        struct layers *base = i > 0 ? chain(v, i) : NULL;
        data[i * 400000 + 7] ^= 1; /* one place in each */
        assert_int_equal(store(data, SIZE, base, UINT64_MAX, &v[i]), DELTA_STORED);
        layers_free(base);
        assert_int_equal(v[i].result.size, SIZE);
        if (i > 0)
            assert_in_range(v[i].result.stored_size, 100, 4000);
        struct layers *all = chain(v, i + 1);
        gives(all, data, SIZE);
        layers_free(all);
    }
    for (size_t i = 0; i < LAYERS_MAX; i++)
        (void)close(v[i].fd);
    free(data);
}

static void nothing_changed_is_one_line(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 2);
    struct stored v[2];
    assert_int_equal(store(data, SIZE, NULL, UINT64_MAX, &v[0]), DELTA_STORED);
    struct layers *base = chain(v, 1);
    assert_int_equal(store(data, SIZE, base, UINT64_MAX, &v[1]), DELTA_STORED);
    char want[64];
    assert_int_equal(v[1].place.size, snprintf(want, sizeof want, "= 0 %d\n", SIZE));
    assert_string_equal(v[0].result.sha256, v[1].result.sha256);
    layers_free(base);
    free(data);
}

static void a_limit_is_kept(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 3), *other = noise(SIZE, 4);
    struct stored v[2];
    assert_int_equal(store(data, SIZE, NULL, UINT64_MAX, &v[0]), DELTA_STORED);
    struct layers *base = chain(v, 1);
    assert_int_equal(store(other, SIZE, base, SIZE / 2, &v[1]), DELTA_TOO_LARGE);
    layers_free(base);
    free(data);
    free(other);
}

/* The first frame is read as the counterpart of the first piece, which has changed. */
static void a_base_that_is_not_what_it_was_is_none(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 5);
    struct stored v[2];
    assert_int_equal(store(data, SIZE, NULL, UINT64_MAX, &v[0]), DELTA_STORED);
    struct layers *base = chain(v, 1);
    assert_int_equal(pwrite(v[0].fd, "spoilt", 6, 5000), 6);
    data[7] ^= 1;
    assert_int_equal(store(data, SIZE, base, UINT64_MAX, &v[1]), DELTA_NO_BASE);
    struct err e = {0};
    char *piece = malloc(PIECE_MAX);
    assert_int_equal(layers_piece(base, layers_pieces(base)->v[0].piece, piece, &e), -1);
    assert_int_equal(e.code, 0);
    assert_non_null(strstr(e.text, "file"));
    layers_free(base);
    free(piece);
    free(data);
}

/* The local copy of the base is read in place of what is stored, unless it is another one. */
static void an_original_spares_the_stored_bytes(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 8), *other = noise(SIZE, 9);
    struct stored v, delta;
    assert_int_equal(store(data, SIZE, NULL, UINT64_MAX, &v), DELTA_STORED);
    struct layers *base = chain(&v, 1);
    int same = file_of(data, SIZE), wrong = file_of(other, SIZE), cut = file_of(data, SIZE / 9);
    unsigned char *changed = noise(SIZE, 8);
    changed[7] ^= 1;
    const struct {
        int original;
        bool spoilt;
        enum delta_outcome outcome;
        bool stays;
    } table[] = {{same, false, DELTA_STORED, true},   {wrong, false, DELTA_STORED, false},
                 {cut, false, DELTA_STORED, false},   {same, true, DELTA_STORED, true},
                 {wrong, true, DELTA_NO_BASE, false}, {cut, true, DELTA_NO_BASE, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].spoilt)
            assert_int_equal(pwrite(v.fd, "spoilt", 6, 5000), 6);
        layers_original(base, dup(table[i].original));
        assert_int_equal(store(changed, SIZE, base, UINT64_MAX, &delta), table[i].outcome);
        assert_int_equal(layers_drop_original(base), table[i].stays);
        (void)close(delta.fd);
    }
    assert_int_equal(close(same) + close(wrong) + close(cut), 0);
    layers_free(base);
    free(changed);
    free(other);
    free(data);
}

static void a_recipe_that_is_not_what_it_was_is_refused(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 6);
    struct stored v;
    struct err e = {0};
    assert_int_equal(store(data, SIZE, NULL, UINT64_MAX, &v), DELTA_STORED);
    assert_int_equal(pwrite(v.fd, "=", 1, (off_t)v.place.at), 1);
    struct layers *l = layers_new();
    assert_int_equal(layers_add(l, dup(v.fd), "file", &v.place, &e), -1);
    assert_non_null(strstr(e.text, "recipe differs"));
    layers_free(l);
    v.place.at += 100000;
    l = layers_new();
    assert_int_equal(layers_add(l, dup(v.fd), "file", &v.place, &e), -1);
    assert_non_null(strstr(e.text, "cut short"));
    layers_free(l);
    free(data);
}

static void what_is_no_tar_is_cut_at_each_mib(void **state)
{
    (void)state;
    unsigned char *data = noise(SIZE, 7);
    struct cuts cuts;
    struct err e = {0};
    int fd = file_of(data, SIZE);
    assert_int_equal(tar_cuts(fd, SIZE, NULL, &cuts, &e), 0);
    assert_int_equal(cuts.n, 4);
    for (size_t i = 0; i < cuts.n; i++) {
        assert_int_equal(cuts.v[i].at, i * MIB);
        assert_true(cuts.v[i].key != 0);
    }
    cuts_free(&cuts);
    atomic_bool stop = true;
    assert_int_equal(tar_cuts(fd, SIZE, &stop, &cuts, &e), -1);
    (void)close(fd);
    free(data);
}

static void an_empty_file_has_no_piece(void **state)
{
    (void)state;
    struct cuts cuts;
    struct err e = {0};
    int fd = file_of("", 0);
    assert_int_equal(tar_cuts(fd, 0, NULL, &cuts, &e), 0);
    assert_int_equal(cuts.n, 0);
    cuts_free(&cuts);
    (void)close(fd);
}

/* Half a terabyte of hole: a recipe of so many lines would be too long to read. */
static void of_too_many_pieces_nothing_is_stored(void **state)
{
    (void)state;
    struct err e = {0};
    struct copy_options o = {.level = 1};
    struct stored v = {.fd = file_of("", 0)};
    int in = file_of("", 0);
    assert_int_equal(ftruncate(in, ((off_t)PIECES_WRITTEN + 1) * PIECE_MAX), 0);
    assert_int_equal(delta_store(in, "in", v.fd, "out", NULL, UINT64_MAX, &o, &v.result, &v.place, &e),
                     DELTA_TOO_LARGE);
    assert_int_equal(v.place.size, 0);
    assert_int_equal(lseek(v.fd, 0, SEEK_END), 0);
    assert_int_equal(close(in) + close(v.fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_gives_back_what_each_was_made_of),
        cmocka_unit_test(nothing_changed_is_one_line),
        cmocka_unit_test(a_limit_is_kept),
        cmocka_unit_test(a_base_that_is_not_what_it_was_is_none),
        cmocka_unit_test(an_original_spares_the_stored_bytes),
        cmocka_unit_test(a_recipe_that_is_not_what_it_was_is_refused),
        cmocka_unit_test(what_is_no_tar_is_cut_at_each_mib),
        cmocka_unit_test(an_empty_file_has_no_piece),
        cmocka_unit_test(of_too_many_pieces_nothing_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
