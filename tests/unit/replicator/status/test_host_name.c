/* Under which names the status server may be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "replicator/status/host_name.h"

struct row {
    const char *host;
    bool ours;
};

static void check(const struct host_names *names, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (host_name_is_ours(names, rows[i].host) != rows[i].ours)
            fail_msg("%s", rows[i].host);
}
#define CHECK(names, rows) check(&(names), rows, sizeof(rows) / sizeof *(rows))

static void on_the_loopback_only_its_own(void **st)
{
    static const struct host_names names = {.loopback = true, .bound = "127.0.0.5", .node = "node.example"};
    static const struct row rows[] = {
        {"localhost", true},  {"LOCALHOST:1", true},   {"localhost.:1", true}, {"127.0.0.1:8080", true},
        {"[::1]:6336", true}, {"127.0.0.5", true},     {"127.0.0.6", false},   {"10.0.0.1", false},
        {"node", false},      {"node.example", false}, {"a.internal", false},  {"", false},
        {":6336", false},     {"[::1", false},         {".", false},
    };
    (void)st;
    CHECK(names, rows);
}

static void elsewhere_none_that_can_be_registered(void **st)
{
    static const struct host_names names = {.bound = "0.0.0.0", .node = "node.example"};
    static const struct row rows[] = {
        {"10.0.0.1", true},
        {"10.0.0.1:6336", true},
        {"[fd00::1%25eth0]", false},
        {"[fd00::1]", true},
        {"fd00::1", true}, /* a name of one word, and a port: no browser sends that */
        {"[10.0.0.1]", false},
        {"[]", false},
        {"[", false},
        {"node", true},
        {"node.:6336", true},
        {"node.example", true},
        {"x.node.example", false},
        {"a.internal", true},
        {"a.internal.", true},
        {".internal", false},
        {"internal", true},
        {"a.internal.com", false},
        {"ainternal.com", false},
        {"a.local", true},
        {"a.localhost", true},
        {"10.0.0", false},
        {"1.2.3.4.5", false},
        {"evil.example", false},
        {"", false},
    };
    (void)st;
    CHECK(names, rows);
}

static void more_by_patterns(void **st)
{
    static const struct host_names names = {
        .loopback = true, .bound = "127.0.0.1", .more = " a.example , *.b.example,,c?.example"};
    static const struct row rows[] = {
        {"a.example", true},   {"A.EXAMPLE:443", true}, {"xa.example", false},
        {"x.b.example", true}, {"b.example", false},    {"c1.example", true},
        {"c.example", false},  {"x.b.example.", true},  {"x.b.example.com", false},
        {"", false},
    };
    static const struct host_names all = {.bound = "0.0.0.0", .more = "*"};
    (void)st;
    CHECK(names, rows);
    assert_true(host_name_is_ours(&all, "evil.example"));
}

static void a_name_has_an_end(void **st)
{
    static const struct host_names all = {.bound = "0.0.0.0", .more = "*"};
    char host[400];
    (void)st;
    memset(host, 'a', sizeof host);
    host[253] = 0;
    assert_true(host_name_is_ours(&all, host));
    host[253] = 'a';
    host[254] = 0;
    assert_false(host_name_is_ours(&all, host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_the_loopback_only_its_own),
                                       cmocka_unit_test(elsewhere_none_that_can_be_registered),
                                       cmocka_unit_test(more_by_patterns),
                                       cmocka_unit_test(a_name_has_an_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
