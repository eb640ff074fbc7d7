/* Where the replicator asks Qdrant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "qdrant/settings.h"

static const char *const names[] = {"QDRANT_URL", "QDRANT_FQDN", "QDRANT__SERVICE__HOST",
                                    "QDRANT__SERVICE__HTTP_PORT", "QDRANT__SERVICE__ENABLE_TLS"};
static const struct {
    const char *value[5];
    const char *url; /* NULL: a wrong setting */
} table[] = {
    {{"", "", "", "", ""}, "http://127.0.0.1:6333"},
    {{"", "", "", "7101", ""}, "http://127.0.0.1:7101"},
    {{"", "", "", "", "true"}, "https://127.0.0.1:6333"},
    {{"", "", "", "", "YES"}, "https://127.0.0.1:6333"},
    {{"", "", "", "", "false"}, "http://127.0.0.1:6333"},
    {{"", "", "10.0.0.7", "7101", "1"}, "https://10.0.0.7:7101"},
    {{"", "", "0.0.0.0", "", ""}, "http://127.0.0.1:6333"},
    {{"", "", "::", "", ""}, "http://127.0.0.1:6333"},
    {{"", "", "[::]", "", ""}, "http://127.0.0.1:6333"},
    {{"", "", "::1", "", ""}, "http://[::1]:6333"},
    {{"", "", "[::1]", "7101", ""}, "http://[::1]:7101"},
    {{"", "", "localhost", "", ""}, "http://localhost:6333"},
    {{"", "", "", "0", ""}, NULL},
    {{"", "", "", "65536", ""}, NULL},
    {{"", "", "", "6333x", ""}, NULL},
    {{"", "", "a b", "", ""}, NULL},
    {{"", "", "user@host", "", ""}, NULL},
    {{"", "node.internal", "10.0.0.7", "7101", "true"}, "http://node.internal:6333"},
    {{"https://x:1/", "node.internal", "10.0.0.7", "7101", "true"}, "https://x:1"},
    {{"https://x:1/", "", "", "no port", ""}, "https://x:1"},
};

static void without_an_address_qdrant_is_asked_where_its_own_variables_have_it_listen(void **st)
{
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct qdrant_settings s;
        struct err e = {0};
        for (size_t k = 0; k < 5; k++)
            assert_int_equal(setenv(names[k], table[i].value[k], 1), 0);
        assert_int_equal(qdrant_settings_read(&s, &e), table[i].url ? 0 : -1);
        if (table[i].url)
            assert_string_equal(s.url, table[i].url);
        else
            assert_non_null(strstr(e.text, "QDRANT__SERVICE__"));
    }
}

static void a_key_goes_to_another_machine_as_it_is(void **st)
{
    static const struct {
        const char *url;
        bool clear;
    } rows[] = {
        {"http://127.0.0.1:6333", false}, {"http://127.8.9.1", false},
        {"http://localhost:6333", false}, {"http://LOCALHOST", false},
        {"http://[::1]:6333", false},     {"https://qdrant:6333", false},
        {"http://qdrant:6333", true},     {"http://10.0.0.7:6333", true},
        {"http://127.example.org", true}, {"http://localhost.example.org", true},
        {"http://[::2]:6333", true},
    };
    (void)st;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct qdrant_settings s = {.key = "k"};
        strcpy(s.url, rows[i].url);
        if (qdrant_key_in_clear(&s) != rows[i].clear)
            fail_msg("%s", rows[i].url);
        s.key[0] = 0;
        assert_false(qdrant_key_in_clear(&s));
        strcpy(s.key_file, "/run/key");
        assert_int_equal(qdrant_key_in_clear(&s), rows[i].clear);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_address_qdrant_is_asked_where_its_own_variables_have_it_listen),
        cmocka_unit_test(a_key_goes_to_another_machine_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
