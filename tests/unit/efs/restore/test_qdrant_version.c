/* Which Qdrant may be given what another one wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/restore/version.h"

static void only_a_newer_minor_version_must_not_be_restored(void **st)
{
    static const struct {
        const char *made_by, *here;
        enum qdrant_version_order want;
    } t[] = {
        {"1.18.2", "1.18.2", QDRANT_VERSION_READS},
        {"1.17.9", "1.18.0", QDRANT_VERSION_READS},
        {"1.9.9", "1.18.0", QDRANT_VERSION_READS},
        {"1.18.1", "1.18.2", QDRANT_VERSION_READS},
        {"0.11.9", "1.0.0", QDRANT_VERSION_READS},
        {"1.18.10", "1.18.9", QDRANT_VERSION_NEWER_PATCH},
        {"1.18.3-dev", "1.18.2", QDRANT_VERSION_NEWER_PATCH},
        {"1.19.0", "1.18.9", QDRANT_VERSION_NEWER},
        {"1.19.0-dev", "1.18.2", QDRANT_VERSION_NEWER},
        {"2.0.0", "1.99.99", QDRANT_VERSION_NEWER},
        {"", "1.18.2", QDRANT_VERSION_UNKNOWN},
        {"1.18.2", "", QDRANT_VERSION_UNKNOWN},
        {"1.18", "1.18.2", QDRANT_VERSION_UNKNOWN},
        {"new", "1.18.2", QDRANT_VERSION_UNKNOWN},
        {"-1.1.1", "1.18.2", QDRANT_VERSION_UNKNOWN},
        {"1.18.x", "1.18.2", QDRANT_VERSION_UNKNOWN},
    };
    (void)st;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (qdrant_version_compare(t[i].made_by, t[i].here) != t[i].want)
            fail_msg("%s into %s", t[i].made_by, t[i].here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_a_newer_minor_version_must_not_be_restored)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
