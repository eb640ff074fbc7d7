/* Is a peer gone for good? A table; in doubt it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "replicator/cluster/gone_rule.h"

enum { NOW = 1000000, SETTLE = 120000 };
static const struct row {
    const char *when;
    struct cluster_node peers[3], waiting[2];
    const char *alive[3];
    int64_t silent_ms;
    enum gone_what what;
} rows[] = {
    {"it answers", {{"7", "a", "", 100, 900}}, {{.peer = ""}}, {NULL}, -1, GONE_NO},
    {"not long enough",
     {{"7", "a", "", 100, 900}, {"8", "a", "", 950, 990}},
     {{.peer = ""}},
     {"8"},
     SETTLE - 1,
     GONE_SETTLING},
    {"nobody knows it", {{"8", "a", "", 950, 990}}, {{.peer = ""}}, {"8"}, SETTLE, GONE_UNKNOWN},
    {"it has no name",
     {{"7", "", "", 100, 900}, {"8", "", "", 950, 990}},
     {{.peer = ""}},
     {"8"},
     SETTLE,
     GONE_UNKNOWN},
    {"nobody has come",
     {{"7", "a", "", 100, 900}, {"8", "b", "", 100, 990}},
     {{.peer = ""}},
     {"8"},
     1 << 30,
     GONE_NOBODY},
    {"its name has another peer",
     {{"7", "a", "", 100, 900}, {"8", "a", "", 950, 990}},
     {{.peer = ""}},
     {"8"},
     SETTLE,
     GONE_YES},
    {"which does not answer either",
     {{"7", "a", "", 100, 900}, {"8", "a", "", 950, 990}},
     {{.peer = ""}},
     {"9"},
     SETTLE,
     GONE_NOBODY},
    {"which was there before its last word",
     {{"7", "a", "", 100, 900}, {"8", "a", "", 850, 990}},
     {{.peer = ""}},
     {"8"},
     SETTLE,
     GONE_TWO},
    {"one of two was there before",
     {{"7", "a", "", 100, 900}, {"8", "a", "", 950, 990}, {"9", "a", "", 100, 990}},
     {{.peer = ""}},
     {"8", "9"},
     SETTLE,
     GONE_TWO},
    {"one waits in its place",
     {{"7", "a", "", 100, 900}},
     {{"7", "a", "", 950, NOW - 10}},
     {NULL},
     SETTLE,
     GONE_YES},
    {"one of another name does",
     {{"7", "a", "", 100, 900}},
     {{"7", "b", "", 950, NOW - 10}},
     {NULL},
     SETTLE,
     GONE_NOBODY},
    {"in another's place",
     {{"7", "a", "", 100, 900}},
     {{"6", "a", "", 950, NOW - 10}},
     {NULL},
     SETTLE,
     GONE_NOBODY},
    {"it did, and says no more",
     {{"7", "a", "", 100, 900}},
     {{"7", "a", "", 950, NOW - CLUSTER_NODE_FRESH - 1}},
     {NULL},
     SETTLE,
     GONE_NOBODY},
    {"it will, by a clock that runs ahead",
     {{"7", "a", "", 100, 900}},
     {{"7", "a", "", 950, NOW + CLUSTER_NODE_FRESH + 1}},
     {NULL},
     SETTLE,
     GONE_NOBODY},
    {"it waited while the other was there",
     {{"7", "a", "", 100, 960}},
     {{"7", "a", "", 950, NOW - 10}},
     {NULL},
     SETTLE,
     GONE_TWO},
};

static size_t count(const struct cluster_node *v, size_t most)
{
    size_t n = 0;
    while (n < most && v[n].peer[0])
        n++;
    return n;
}

static void the_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct cluster_nodes known = {.peers = (struct cluster_node *)r->peers,
                                      .n_peers = count(r->peers, 3),
                                      .waiting = (struct cluster_node *)r->waiting,
                                      .n_waiting = count(r->waiting, 2)};
        struct gone_facts f = {.peer = "7",
                               .silent_ms = r->silent_ms,
                               .settle_ms = SETTLE,
                               .known = &known,
                               .alive = r->alive,
                               .now = NOW};
        char node[128];
        while (f.n_alive < 3 && r->alive[f.n_alive])
            f.n_alive++;
        if (gone_decide(&f, node) != r->what)
            fail_msg("%s: %d", r->when, (int)gone_decide(&f, node));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
