/* What a 401 or 403 of Qdrant's means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "qdrant/denial.h"

static void a_403_is_not_always_the_keys(void **st)
{
    static const struct {
        long status;
        const char *said;
        enum denial is;
    } table[] = {
        {401, "Must provide an API key or an Authorization bearer token", DENIAL_KEY},
        {401, "Invalid API key or JWT", DENIAL_KEY},
        {403, "Invalid JWT, stateful validation failed", DENIAL_KEY},
        {403, "ExpiredSignature", DENIAL_KEY},
        {403, "", DENIAL_KEY},
        {403, "{\"status\":{\"error\":\"Forbidden: Global manage access is required\"}}", DENIAL_RIGHTS},
        {403, "{\"status\":{\"error\":\"Forbidden: Global access is required\"}}", DENIAL_RIGHTS},
        {403, "{\"status\":{\"error\":\"Forbidden: Access to collection docs is required\"}}", DENIAL_RIGHTS},
        {403,
         "{\"status\":{\"error\":\"Forbidden: Limit exceeded 1001 > 1000 for \\\"limit\\\". Help: Reduce the "
         "\\\"limit\\\" parameter to or below 1000.\"}}",
         DENIAL_STRICT},
        {403, "{\"status\":{\"error\":\"Storage locked: maintenance\"}}", DENIAL_LOCKED},
        {400, "Bad request: Exact search disabled!. Help: Set exact=false.", DENIAL_NONE},
        {500, "Invalid API key or JWT", DENIAL_NONE},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (denial_of(table[i].status, table[i].said) != table[i].is)
            fail_msg("row %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_403_is_not_always_the_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
