/* The read-once pipeline: sizes around its buffers, errors of either side, and reading back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <unistd.h>
#include "efs/data/copy.h"

static int file_of(const char *data, size_t n)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), (ssize_t)n);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static char *noise(size_t n)
{
    char *data = malloc(n + 1);
    uint32_t x = 1;
    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(i / 4096 % 2 ? x >> 24 : 'a');
    }
    return data;
}

static void round_trip(size_t n, int level, int threads)
{
    char *data = noise(n), hex[65];
    unsigned char raw[SHA256_DIGEST_LENGTH];
    struct copy_result r, back;
    struct err e = {0};
    int in = file_of(data, n), out = file_of("", 0), again = file_of("", 0);
    assert_int_equal(
        copy_store(in, "in", out, "out", &(struct copy_options){.level = level, .threads = threads}, &r, &e),
        0);
    (void)SHA256((unsigned char *)data, n, raw);
    for (int i = 0; i < 32; i++)
        (void)snprintf(hex + i * 2, 3, "%02x", raw[i]);
    assert_string_equal(r.sha256, hex);
    assert_int_equal(r.size, n);
    assert_int_equal(r.stored_size, lseek(out, 0, SEEK_END));
    assert_int_equal(lseek(out, 0, SEEK_SET), 0);
    assert_int_equal(copy_check(out, "out", again, level > 0, COPY_ANY, NULL, &back, &e), 0);
    assert_string_equal(back.sha256, r.sha256);
    assert_string_equal(back.stored_sha256, r.stored_sha256);
    assert_int_equal(back.size, n);
    char *got = malloc(n + 1);
    assert_int_equal(pread(again, got, n + 1, 0), (ssize_t)n);
    assert_memory_equal(got, data, n);
    free(got);
    free(data);
    (void)close(in);
    (void)close(out);
    (void)close(again);
}

static void sizes_around_the_buffers_come_back(void **st)
{
    static const size_t sizes[] = {
        0, 1, 511, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 * (1 << 20) + 7, 70 << 20};
    (void)st;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int level = 0; level < 4; level++)
            round_trip(sizes[i], level, level == 2 ? 0 : 2);
}

static void a_full_disk_is_an_error_with_its_path(void **st)
{
    struct copy_result r;
    struct err e = {0};
    char *data = noise(3 << 20);
    int in = file_of(data, 3 << 20), out = open("/dev/full", O_WRONLY | O_CLOEXEC);
    (void)st;
    for (int level = 0; level < 2; level++) {
        assert_int_equal(lseek(in, 0, SEEK_SET), 0);
        assert_int_equal(
            copy_store(in, "in", out, "/efs/out", &(struct copy_options){.level = level}, &r, &e), -1);
        assert_int_equal(e.code, ENOSPC);
        assert_non_null(strstr(e.text, "/efs/out"));
    }
    free(data);
    (void)close(in);
    (void)close(out);
}

static void an_unreadable_source_is_an_error_with_its_path(void **st)
{
    struct copy_result r;
    struct err e = {0};
    int in = open("/", O_RDONLY | O_CLOEXEC), out = file_of("", 0);
    (void)st;
    assert_int_equal(copy_store(in, "/snapshots/in", out, "out", &(struct copy_options){.level = 1}, &r, &e),
                     -1);
    assert_int_equal(e.code, EISDIR);
    assert_non_null(strstr(e.text, "/snapshots/in"));
    (void)close(in);
    (void)close(out);
}

static void a_stop_is_obeyed(void **st)
{
    atomic_bool stop = true;
    struct copy_result r;
    struct err e = {0};
    int in = file_of("x", 1), out = file_of("", 0);
    (void)st;
    assert_int_equal(
        copy_store(in, "in", out, "out", &(struct copy_options){.level = 1, .stop = &stop}, &r, &e), -1);
    assert_int_equal(e.code, ECANCELED);
    (void)close(in);
    (void)close(out);
}

/* What a half-done replication leaves: each length but the whole one is no snapshot. */
static void every_cut_of_the_stored_bytes_is_found(void **st)
{
    struct copy_result r;
    struct err e;
    char *data = noise(20000), *cut = malloc(40000);
    int in = file_of(data, 20000), out = file_of("", 0);
    (void)st;
    assert_int_equal(copy_store(in, "in", out, "out", &(struct copy_options){.level = 1}, &r, &e), 0);
    ssize_t n = pread(out, cut, 40000, 0);
    assert_true(n > 0);
    for (ssize_t i = 0; i < n; i += 97) {
        int part = file_of(cut, (size_t)i);
        assert_int_equal(copy_check(part, "part", -1, true, COPY_ANY, NULL, &r, &e), -1);
        (void)close(part);
    }
    free(data);
    free(cut);
    (void)close(in);
    (void)close(out);
}

/* 64 MiB of nothing in a few stored bytes. */
static void a_bomb_is_read_no_further_than_its_manifest_says(void **st)
{
    enum { BOMB = 64 << 20, SAID = 100 };
    struct copy_result r;
    struct err e = {0};
    char *data = calloc(1, BOMB);
    int in = file_of(data, BOMB), out = file_of("", 0);
    (void)st;
    assert_int_equal(copy_store(in, "in", out, "out", &(struct copy_options){.level = 1}, &r, &e), 0);
    assert_true(r.stored_size < BOMB / 1000);
    for (uint64_t most = SAID; most <= BOMB; most += BOMB - SAID) {
        assert_int_equal(lseek(out, 0, SEEK_SET), 0);
        bool whole = most == BOMB;
        assert_int_equal(copy_check(out, "out", -1, true, most, NULL, &r, &e), whole ? 0 : -1);
        assert_true(whole || (r.size <= 2 << 20 && strstr(e.text, "more bytes than the manifest says")));
    }
    free(data);
    (void)close(in);
    (void)close(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes_around_the_buffers_come_back),
                                       cmocka_unit_test(a_full_disk_is_an_error_with_its_path),
                                       cmocka_unit_test(an_unreadable_source_is_an_error_with_its_path),
                                       cmocka_unit_test(a_stop_is_obeyed),
                                       cmocka_unit_test(every_cut_of_the_stored_bytes_is_found),
                                       cmocka_unit_test(a_bomb_is_read_no_further_than_its_manifest_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
