/* What is made of a mount, of clocks that are apart, and of slow writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/repo/local_check.h"

/* What is not good has something to do, and what is good has not. */
static void fits(enum check_state is, enum check_state wanted, const char *remedy)
{
    assert_int_equal(is, wanted);
    assert_int_equal(remedy != NULL, wanted != CHECK_OK);
}

static void mounts(void **state)
{
    static const struct {
        struct check_mount m;
        enum check_state wanted;
    } rows[] = {
        {{.network = true}, CHECK_OK},
        {{.network = true, .read_only = true}, CHECK_OK},
        {{.network = true, .soft = true}, CHECK_WARNING},
        {{.network = false}, CHECK_FAILED},
        {{.network = false, .soft = true}, CHECK_FAILED},
        {{.allowed_local = true}, CHECK_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *remedy = "?";
        enum check_state is = check_mount_rule(&rows[i].m, &remedy);
        fits(is, rows[i].wanted, remedy);
    }
}

static void numbers(void **state)
{
    static const struct {
        enum check_state (*rule)(long, const char **);
        long n;
        enum check_state wanted;
    } rows[] = {
        {check_clock_rule, 0, CHECK_OK},        {check_clock_rule, -60, CHECK_OK},
        {check_clock_rule, 61, CHECK_WARNING},  {check_clock_rule, -600, CHECK_WARNING},
        {check_clock_rule, 601, CHECK_FAILED},  {check_clock_rule, -90000, CHECK_FAILED},
        {check_write_rule, 0, CHECK_OK},        {check_write_rule, 200, CHECK_OK},
        {check_write_rule, 201, CHECK_WARNING},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *remedy = "?";
        enum check_state is = rows[i].rule(rows[i].n, &remedy);
        fits(is, rows[i].wanted, remedy);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
