/* What a whole drill says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "efs/drill/drill_result.h"

static void a_drill_is_called_proven_when_each_backup_was(void **st)
{
    static const struct {
        struct drill_result sum;
        const char *verdict;
        bool good;
    } table[] = {
        {{3, 3, 0, 0, false, false}, "proven", true},
        {{3, 0, 3, 0, false, false}, "partly_proven", true},
        {{3, 2, 1, 0, false, false}, "partly_proven", true},
        {{3, 2, 0, 1, false, false}, "refused", false},
        {{3, 0, 0, 3, false, false}, "refused", false},
        {{3, 1, 1, 1, true, false}, "refused", false},
        {{3, 1, 1, 0, false, false}, "failed", false},
        {{3, 1, 0, 1, true, false}, "failed", false},
        {{3, 3, 0, 0, true, false}, "stopped", false},
        {{0, 0, 0, 0, true, false}, "stopped", false},
        {{0, 0, 0, 0, false, false}, "nothing", false},
        {{1, 1, 0, 0, false, true}, "failed", false},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(drill_result_verdict(&table[i].sum), table[i].verdict) != 0 ||
            drill_result_good(&table[i].sum) != table[i].good)
            fail_msg("row %zu: %s", i, drill_result_verdict(&table[i].sum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_drill_is_called_proven_when_each_backup_was)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
