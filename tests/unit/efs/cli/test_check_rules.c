/* What `qdrant-efs check` makes of what it finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/cli/cmd_check.h"

/* What is not good has something to do, and what is good has not. */
static void fits(enum check_state is, enum check_state wanted, const char *remedy)
{
    assert_int_equal(is, wanted);
    assert_int_equal(remedy != NULL, wanted != CHECK_OK);
}

static void numbers(void **state)
{
    static const struct {
        enum check_state (*rule)(long, const char **);
        long n;
        enum check_state wanted;
    } rows[] = {
        {check_rights_rule, 404, CHECK_OK},     {check_rights_rule, 200, CHECK_OK},
        {check_rights_rule, 403, CHECK_FAILED}, {check_rights_rule, 401, CHECK_FAILED},
        {check_rights_rule, 0, CHECK_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *remedy = "?";
        enum check_state is = rows[i].rule(rows[i].n, &remedy);
        fits(is, rows[i].wanted, remedy);
    }
}

static void drills(void **state)
{
    static const struct {
        const char *verdict;
        time_t age;
        enum check_state wanted;
    } rows[] = {
        {"proven", 3600, CHECK_OK},      {"partly_proven", 3600, CHECK_OK},
        {"nothing", 3600, CHECK_OK},     {"proven", 9 * 86400, CHECK_WARNING},
        {"failed", 3600, CHECK_FAILED},  {"refused", 3600, CHECK_FAILED},
        {"stopped", 3600, CHECK_FAILED}, {"", 3600, CHECK_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *remedy = "?";
        enum check_state is = check_drill_rule(rows[i].verdict, rows[i].age, &remedy);
        fits(is, rows[i].wanted, remedy);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(drills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
