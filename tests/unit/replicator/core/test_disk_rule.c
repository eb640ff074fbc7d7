/* "Qdrant first, on the disk too": what a snapshot takes, whether one is made, and what goes when the disk is
 * low. */
#include "replicator/core/disk_rule.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
enum { FILES = 8 };

static void what_qdrant_needs_for_its_writes_stays_free_whatever_MIN_FREE_says(void **state)
{
    static const struct {
        uint64_t min_free, wal_mib, stops, last, floor;
    } table[] = {{1024 * MIB, 32, 64 * MIB, 544 * MIB, 1024 * MIB},
                 {0, 32, 64 * MIB, 128 * MIB, 192 * MIB},
                 {64 * MIB, 32, 64 * MIB, 128 * MIB, 192 * MIB},
                 {1024 * MIB, 512, 1024 * MIB, 2048 * MIB, 3072 * MIB},
                 {0, 0, 64 * MIB, 128 * MIB, 192 * MIB},
                 {0, UINT64_MAX, 64 * MIB, 128 * MIB, 192 * MIB},
                 {UINT64_MAX, 32, 64 * MIB, 64 * MIB + (UINT64_MAX - 64 * MIB) / 2, UINT64_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct disk_marks m = disk_marks(table[i].min_free, table[i].wal_mib);
        assert_int_equal(m.stops, table[i].stops);
        assert_int_equal(m.last, table[i].last);
        assert_int_equal(m.floor, table[i].floor);
    }
}

static void a_snapshot_is_never_taken_for_nothing(void **state)
{
    static const struct {
        const char *what;
        struct disk_known known;
        uint64_t expected;
    } table[] = {
        {"the first one, by what is on the disk", {80 * (1 << 20), -1, -1, -1}, 94 * (1 << 20)},
        {"grown since the last one", {160 * (1 << 20), 20 * (1 << 20), 30 * (1 << 20), -1}, 184 * (1 << 20)},
        {"shrunk since the last one", {8 << 20, 500 << 20, 600 << 20, -1}, 13 << 20},
        {"the last one had more than the disk", {80 << 20, 100 << 20, 80 << 20, -1}, 114 << 20},
        {"the disk was not known then", {80 << 20, 100 << 20, -1, -1}, 94 << 20},
        {"the disk is not known: the last one", {-1, 100 << 20, -1, 7 << 20}, 100 << 20},
        {"nor is that: the newest backup", {-1, -1, -1, 7 << 20}, 7 << 20},
        {"nothing is known", {-1, -1, -1, -1}, 333},
        {"an empty collection", {0, -1, -1, -1}, 4 << 20},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (disk_estimate(&table[i].known, 333) != table[i].expected)
            fail_msg("%s: %llu", table[i].what, (unsigned long long)disk_estimate(&table[i].known, 333));
    assert_int_equal(disk_whole(100), 200);
    assert_int_equal(disk_whole(UINT64_MAX), UINT64_MAX);
}

static void one_is_made_only_where_qdrants_part_stays_free(void **state)
{
    static const struct {
        struct disk_question q;
        enum disk_answer expected;
    } table[] = {{{0, 300, 100, 0, 200}, DISK_MAKE},
                 {{1, 300, 100, 0, 200}, DISK_MAKE},
                 {{2, 9000, 100, 0, 200}, DISK_HELD}, /* whatever room there is */
                 {{9, 0, 100, 0, 200}, DISK_HELD},
                 {{0, 299, 100, 0, 200}, DISK_NO_ROOM},
                 {{0, 299, 100, 1, 200}, DISK_SOON},
                 {{0, 0, 100, 299, 200}, DISK_NO_ROOM},
                 {{0, 0, 0, 0, 0}, DISK_MAKE},
                 {{0, UINT64_MAX, UINT64_MAX, 0, 200}, DISK_MAKE},
                 {{0, 5, UINT64_MAX, UINT64_MAX, 200}, DISK_SOON}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(disk_may_make(&table[i].q), table[i].expected);
}

/* A file of 100 bytes for each letter, oldest last in its folder; a space begins the next folder. S: safe.
 * s: safe, of a deleted collection. U: stuck. x: neither. d: being deleted. All of the first folder are older
 * than all of the second. */
static void choose(const char *files, const struct disk_need *need, const char *going)
{
    struct disk_file file[FILES] = {0}, *list[FILES] = {0};
    char found[FILES + 1] = "";
    size_t n = 0;
    unsigned folder = 0;
    for (const char *f = files; *f; f++) {
        if (*f == ' ') {
            folder++;
            continue;
        }
        assert_true(n < FILES);
        file[n] = (struct disk_file){.folder = folder,
                                     .taken = (time_t)(1000 * folder + 100 - n),
                                     .size = 100,
                                     .safe = *f == 'S' || *f == 's',
                                     .gone = *f == 's',
                                     .stuck = *f == 'U',
                                     .going = *f == 'd'};
        list[n] = &file[n];
        n++;
    }
    assert_true(disk_choose(list, n, need));
    for (size_t i = 0; i < n; i++)
        found[i] = file[i].going ? 'x' : '-';
    if (strcmp(found, going) != 0)
        fail_msg("%s: %s go, and not %s", files, found, going);
}

static void published_ones_beyond_LOCAL_KEEP_go_when_it_is_tidied(void **state)
{
    (void)state;
    struct disk_need need = {.free = UINT64_MAX, .keep = 1, .tidy = true};
    choose("SSS S", &need, "-xx-");
    choose("USS", &need, "--x"); /* one that is not published is none of those that are kept */
    choose("xxU", &need, "---");
    choose("sss SS", &need, "xxx-x"); /* of a deleted collection none is kept */
    choose("dSS", &need, "x-x");
    need.keep = 0;
    choose("SS S", &need, "xxx");
    need.keep = 100;
    choose("SS sU", &need, "--x-");
    need.tidy = false;
    choose("SS ss", &need, "----");
    choose("", &need, "");
}

static void with_too_little_room_what_is_safe_goes_whatever_LOCAL_KEEP_says(void **state)
{
    (void)state;
    struct disk_need need = {.marks = {1000, 2000, 3000}, .free = 3000, .keep = 100};
    choose("SS SS", &need, "----");
    need.free = 2999;
    choose("SS SS", &need, "-x--"); /* the oldest one, no more than needed */
    need.free = 2800;
    choose("SS SS", &need, "xx--");
    choose("dSS SS", &need, "x-x--"); /* one that is on its way counts */
    need.free = 2000;
    choose("SS SS", &need, "xxxx");
    need.free = 3000;
    need.wanted = 150;
    choose("SS SS", &need, "xx--");
    choose("UUU U", &need, "----"); /* for a new one none goes that is not safe */
}

static void what_EFS_does_not_take_goes_last_and_its_newest_only_near_the_end(void **state)
{
    (void)state;
    struct disk_need need = {.marks = {1000, 2000, 3000}, .free = 2950, .keep = 1};
    choose("UUU U", &need, "--x-");
    choose("USU S", &need, "-x--"); /* safe ones first */
    need.free = 2500;
    choose("UUU UU", &need, "-xx-x");
    choose("xxx xx", &need, "-----"); /* what EFS was not tried with, or somebody must look at */
    need.free = 2000;
    choose("UU U", &need, "-x-");
    need.free = 1850;
    choose("UU U", &need, "xx-"); /* 100 of the older one, and still below */
    need.free = 1000;
    choose("UU U", &need, "xxx");
}

static void a_disk_that_fills_is_looked_at_every_second(void **state)
{
    (void)state;
    assert_int_equal(disk_next_look(0, GIB), 1000);
    assert_int_equal(disk_next_look(GIB, GIB), 1000);
    assert_int_equal(disk_next_look(2 * GIB, GIB), 2000);
    assert_int_equal(disk_next_look(9 * GIB, GIB), 16000);
    assert_int_equal(disk_next_look(UINT64_MAX, GIB), 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_qdrant_needs_for_its_writes_stays_free_whatever_MIN_FREE_says),
        cmocka_unit_test(a_snapshot_is_never_taken_for_nothing),
        cmocka_unit_test(one_is_made_only_where_qdrants_part_stays_free),
        cmocka_unit_test(published_ones_beyond_LOCAL_KEEP_go_when_it_is_tidied),
        cmocka_unit_test(with_too_little_room_what_is_safe_goes_whatever_LOCAL_KEEP_says),
        cmocka_unit_test(what_EFS_does_not_take_goes_last_and_its_newest_only_near_the_end),
        cmocka_unit_test(a_disk_that_fills_is_looked_at_every_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
