/* Records on EFS: the newest of each node stay, whole, and nothing else. */
#include "common/base/files.h"
#include "efs/repo/history.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[PATH_MAX];
static const time_t T = 1764000000;
static const struct history_folder three = {"drills", 3, false};

static int make(void **state)
{
    char dir[] = "/tmp/record-XXXXXX";
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    return snprintf(base, sizeof base, "%s/test-cpu", dir) > 0 ? 0 : -1;
}
static int sweep(void **state)
{
    char command[PATH_MAX + 16];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%.*s'", (int)(strrchr(base, '/') - base), base);
    return system(command);
}

static size_t times_of(const char *name, time_t **times)
{
    size_t n = 0;
    struct err e = {0};
    assert_int_equal(history_times(base, &three, name, times, &n, &e), 0);
    return n;
}

static void the_newest_of_each_node_stay(void **state)
{
    time_t *times = NULL;
    char path[PATH_MAX];
    struct err e = {0};
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(history_add(base, &three, "a", T + i * 60, "{}\n", &e), 0);
    assert_int_equal(history_add(base, &three, "b/../c", T, "{}\n", &e), 0);
    assert_int_equal(times_of("a", &times), 3);
    assert_true(times[0] == T + 300 && times[2] == T + 180);
    free(times);
    assert_int_equal(times_of("b%2F..%2Fc", &times), 1);
    free(times);
    assert_true(history_last(base, &three, NULL) == T + 300 && history_last(base, &three, "b/../c") == T);
    assert_int_equal(history_last(base, &three, "none"), 0);
    assert_int_equal(history_path(base, &three, "a", T + 300, path, &e), 0);
    char *text = files_get(path, 100, &e);
    assert_string_equal(text, "{}\n");
    free(text);
}

static void two_of_one_second_are_two(void **state)
{
    time_t *times = NULL;
    struct err e = {0};
    (void)state;
    assert_int_equal(history_add(base, &three, "", T, "1", &e), 0);
    assert_int_equal(history_add(base, &three, "", T, "2", &e), 0);
    assert_int_equal(times_of(HISTORY_UNNAMED, &times), 2);
    assert_true(times[0] == T + 1 && history_last(base, &three, "") == T + 1);
    free(times);
}

static void a_record_is_replaced_by_its_writer_under_the_name_that_it_got(void **state)
{
    char path[PATH_MAX];
    time_t when = T, *times = NULL;
    struct err e = {0};
    (void)state;
    assert_int_equal(history_add(base, &three, "a", T, "1", &e), 0);
    assert_int_equal(history_add_at(base, &three, "a", &when, "2", &e), 0);
    assert_true(when == T + 1);
    assert_int_equal(history_replace(base, &three, "a", when, "3", &e), 0);
    assert_int_equal(times_of("a", &times), 2);
    free(times);
    assert_int_equal(history_path(base, &three, "a", when, path, &e), 0);
    char *text = files_get(path, 100, &e);
    assert_string_equal(text, "3");
    free(text);
}

static void other_files_are_no_records_and_what_a_dead_writer_left_goes(void **state)
{
    static const char *const odd[] = {"2026-1-2T03-04-05Z.json", "2026-02-30T00-00-00Z.json", "x.json",
                                      "2025-11-24T16-00-00Z.json.tmp", ".hidden"};
    char dir[PATH_MAX + 16], partial[PATH_MAX];
    char **names = NULL;
    time_t *times = NULL;
    size_t n = 0;
    struct err e = {0};
    (void)state;
    assert_int_equal(history_add(base, &three, "a", T, "{}", &e), 0);
    (void)snprintf(dir, sizeof dir, "%s/drills/a", base);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(files_put(dir, odd[i], "{}", &e), 0);
    assert_int_equal(files_partial(dir, partial, sizeof partial, &e), 0);
    char *pid = strstr(partial, FILES_PARTIAL); /* ours, alive: stays until it is old */
    assert_non_null(pid);
    FILE *f = fopen(partial, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(history_add(base, &three, "a", T + 60, "{}", &e), 0);
    assert_int_equal(access(partial, F_OK), 0);
    struct timespec old[2] = {{.tv_sec = T}, {.tv_sec = T}};
    assert_int_equal(utimensat(AT_FDCWD, partial, old, 0), 0);
    assert_int_equal(history_add(base, &three, "a", T + 120, "{}", &e), 0);
    assert_int_not_equal(access(partial, F_OK), 0);
    assert_int_equal(times_of("a", &times), 3);
    free(times);
    assert_int_equal(history_nodes(base, &three, &names, &n, &e), 0);
    assert_int_equal(n, 1);
    assert_string_equal(names[0], "a");
    history_nodes_free(names, n);
}

static void where_there_is_nothing_there_are_none(void **state)
{
    char **names = NULL;
    time_t *times = NULL;
    size_t n = 1;
    struct err e = {0};
    (void)state;
    assert_int_equal(history_nodes(base, &history_heartbeats, &names, &n, &e), 0);
    assert_true(n == 0 && times_of("a", &times) == 0 && history_last(base, &history_drills, NULL) == 0);
    history_nodes_free(names, n);
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
    struct err e = {0};
    char root[PATH_MAX];
    (void)state;
    (void)snprintf(root, sizeof root, "%.*s", (int)(strrchr(base, '/') - base), base);
    assert_int_equal(files_put(root, "test-cpu", "in the way", &e), 0);
    assert_int_equal(history_add(base, &three, "a", T, "{}", &e), -1);
    assert_non_null(strstr(e.text, base));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, sweep)
        TEST(the_newest_of_each_node_stay),
        TEST(two_of_one_second_are_two),
        TEST(a_record_is_replaced_by_its_writer_under_the_name_that_it_got),
        TEST(other_files_are_no_records_and_what_a_dead_writer_left_goes),
        TEST(where_there_is_nothing_there_are_none),
        TEST(a_folder_that_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
