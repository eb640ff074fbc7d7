/* The name of the collection that a swap makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/restore/swap_name.h"
#include <string.h>

static void it_is_the_targets_with_the_time_and_no_longer_than_qdrant_can_snapshot(void **s)
{
    char out[256], target[256];
    (void)s;
    swap_name("docs", 1795680000, out);
    assert_string_equal(out, "docs-20261126080000");
    memset(target, 'y', 200);
    target[200] = 0;
    swap_name(target, 1795680000, out);
    assert_int_equal(strlen(out), SWAP_NAME);
    memset(target, 'y', 164);
    memcpy(target + 164, "\xc3\xa9z", 4); /* a character of two bytes, of which one has room */
    swap_name(target, 1795680000, out);
    assert_int_equal(strlen(out), SWAP_NAME - 1);
    assert_true(swap_name_is(out, target));
}

static void only_such_a_name_is_one(void **s)
{
    (void)s;
    assert_true(swap_name_is("docs-20261126080000", "docs"));
    assert_false(swap_name_is("docs", "docs"));
    assert_false(swap_name_is("docs-2026112608000", "docs"));
    assert_false(swap_name_is("docs-202611260800001", "docs"));
    assert_false(swap_name_is("docs-2026112608000x", "docs"));
    assert_false(swap_name_is("doc-20261126080000", "docs"));
    assert_false(swap_name_is("docs2-20261126080000", "docs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_targets_with_the_time_and_no_longer_than_qdrant_can_snapshot),
        cmocka_unit_test(only_such_a_name_is_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
