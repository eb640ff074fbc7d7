/* Which collections are snapshotted at a stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "replicator/snapshot/stop_plan.h"

#define GB 1000000000ULL
#define MB 1000000ULL

/* The names of `v` in the order of their ranks. */
static const char *order(struct stop_item *v, size_t n, double seconds, unsigned parallel)
{
    static char out[256];
    size_t fit = stop_plan(v, n, seconds, parallel);
    out[0] = 0;
    for (unsigned rank = 1; rank <= fit; rank++)
        for (size_t i = 0; i < n; i++)
            if (v[i].rank == rank)
                (void)snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", *out ? " " : "",
                               v[i].name);
    return out;
}
#define ORDER(v, seconds, parallel) order(v, sizeof(v) / sizeof *(v), seconds, parallel)

static void what_has_no_backup_comes_first_then_the_quickest_then_the_oldest(void **st)
{
    struct stop_item v[] = {
        {"large", true, 100, 200 * MB, 0, 0},
        {"small", true, 900, 10 * MB, 0, 0},
        {"same", false, 100, 10 * MB, 0, 0},
        {"older", true, 100, 10 * MB, 0, 0},
        {"new", true, 0, 0, 0, 0},
        {"measured", true, 900, 200 * MB, 0.1, 0},
        {"alike-a", true, 100, 300 * MB, 0, 0},
        {"alike-b", true, 100, 300 * MB, 0, 0},
    };
    (void)st;
    assert_string_equal(ORDER(v, 1000, 1), "new measured older small large alike-a alike-b");
    assert_int_equal(v[2].rank, 0);
}

static void what_does_not_fit_is_left_out_and_smaller_ones_are_not(void **st)
{
    struct stop_item v[] = {{"slow", true, 100, MB, 60, 0},
                            {"a", true, 100, 90 * MB, 0, 0},
                            {"b", true, 200, 90 * MB, 0, 0},
                            {"new", true, 0, 9 * GB, 0, 0}};
    (void)st;
    assert_string_equal(ORDER(v, 10, 1), "a b");
    assert_string_equal(ORDER(v, 3, 1), "a");
    assert_string_equal(ORDER(v, 3, 2), "a b");
    assert_string_equal(ORDER(v, 1, 4), "");
    assert_string_equal(ORDER(v, 0, 1), "");
    assert_string_equal(ORDER(v, 200, 4), "new a b slow");
}

static void nothing_changed_is_nothing_to_do(void **st)
{
    struct stop_item v[] = {{"a", false, 100, MB, 1, 7}, {"b", false, 0, 0, 0, 7}};
    (void)st;
    assert_string_equal(ORDER(v, 10, 1), "");
    assert_int_equal(v[0].rank, 0);
    assert_int_equal(stop_plan(NULL, 0, 10, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_no_backup_comes_first_then_the_quickest_then_the_oldest),
        cmocka_unit_test(what_does_not_fit_is_left_out_and_smaller_ones_are_not),
        cmocka_unit_test(nothing_changed_is_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
