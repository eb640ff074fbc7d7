/* Which folders share a disk. */
#include "efs/drill/resources.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void mounts_of_one_disk_are_told_by_their_size(void **state)
{
    static const struct {
        struct resources_id a, b;
        bool same;
    } table[] = {{{1, 100}, {1, 100}, true},
                 {{1, 100}, {2, 100}, true}, /* a container's layer and a volume on one disk */
                 {{1, 100}, {1, 300}, true}, /* a quota */
                 {{1, 100}, {2, 300}, false}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(resources_is_same(&table[i].a, &table[i].b), table[i].same);
}

static void what_cannot_be_looked_at_counts_as_the_same_disk(void **state)
{
    (void)state;
    assert_true(resources_shared("/", "/"));
    assert_true(resources_shared("/", "/no-such-folder"));
    assert_true(resources_shared("/no-such-folder", "/"));
    assert_false(resources_shared("/proc", "/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts_of_one_disk_are_told_by_their_size),
        cmocka_unit_test(what_cannot_be_looked_at_counts_as_the_same_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
