#include "common/ca_bundle.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define DEBIAN "/etc/ssl/certs/ca-certificates.crt"
#define REDHAT "/etc/pki/tls/certs/ca-bundle.crt"
static const char *there[3];

static bool is_there(const char *path)
{
    for (size_t i = 0; i < 3; i++)
        if (there[i] && strcmp(there[i], path) == 0)
            return true;
    return false;
}

static void chosen(void **state)
{
    (void)state;
    static const struct {
        const char *name, *given, *built_in, *there[3], *chosen;
    } CASES[] = {
        {"the library's own", NULL, DEBIAN, {DEBIAN, REDHAT}, NULL},
        {"an empty variable is none", "", DEBIAN, {DEBIAN}, NULL},
        {"the library's own, of another place", NULL, "/opt/ca.pem", {"/opt/ca.pem", DEBIAN}, NULL},
        {"another distribution", NULL, DEBIAN, {REDHAT, "/etc/ssl/cert.pem"}, REDHAT},
        {"a library that knows none", NULL, NULL, {"/etc/ssl/ca-bundle.pem"}, "/etc/ssl/ca-bundle.pem"},
        {"nothing is there", NULL, DEBIAN, {NULL}, NULL},
        {"what is given comes first", "/own.pem", DEBIAN, {DEBIAN, "/own.pem"}, "/own.pem"},
        {"also when it is not there", "/own.pem", DEBIAN, {DEBIAN}, "/own.pem"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        print_message("%s\n", CASES[i].name);
        memcpy(there, CASES[i].there, sizeof there);
        const char *out = ca_bundle_choose(CASES[i].given, CASES[i].built_in, is_there);
        assert_true(out ? CASES[i].chosen && strcmp(out, CASES[i].chosen) == 0 : !CASES[i].chosen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chosen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
