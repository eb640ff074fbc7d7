/* Which peers without a NODE_NAME are one node after another, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "efs/repo/node.h"

enum { H = 3600, D = 86400, PEERS = 4 };

static void peers_that_live_side_by_side_are_different_nodes(void **state)
{
    static const struct {
        const char *what;
        struct {
            int first, last; /* hours; none: both 0 */
        } peer[PEERS];
        unsigned chain[PEERS];
    } table[] = {
        {"one", {{1, 9}}, {0}},
        {"a task that was replaced", {{1, 9}, {10, 20}, {21, 30}}, {0, 0, 0}},
        {"a deployment runs both for a while", {{1, 9}, {8, 20}, {19, 30}}, {0, 0, 0}},
        {"two that live side by side", {{1, 90}, {2, 91}}, {1, 0}},
        {"one of two has stopped for eight days", {{1, 90}, {2, 282}}, {1, 0}},
        {"one of two was replaced", {{1, 90}, {2, 282}, {92, 280}}, {1, 0, 1}},
        {"both were replaced at once", {{1, 90}, {2, 91}, {92, 150}, {92, 151}}, {0, 1, 1, 0}},
        {"three at once", {{1, 90}, {1, 91}, {1, 92}}, {2, 1, 0}},
        {"a lone old one beside nobody", {{1, 1}, {500, 600}}, {0, 0}},
    };
    static const char *const id[PEERS] = {"a", "b", "c", "d"};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct node_peer v[PEERS];
        size_t n = 0;
        for (size_t k = 0; k < PEERS && table[i].peer[k].first; k++)
            v[n++] = (struct node_peer){.peer = id[PEERS - 1 - k],
                                        .first = table[i].peer[k].first * H,
                                        .last = table[i].peer[k].last * H};
        node_chains(v, n);
        unsigned chain[PEERS] = {0};
        for (size_t k = 0; k < n; k++)
            chain[PEERS - 1 - (size_t)(v[k].peer[0] - 'a')] = v[k].chain;
        for (size_t k = 0; k < n; k++)
            for (size_t m = 0; m < n; m++)
                if ((chain[k] == chain[m]) != (table[i].chain[k] == table[i].chain[m]) ||
                    (chain[k] == 0) != (table[i].chain[k] == 0))
                    fail_msg("%s: peers %zu and %zu", table[i].what, k, m);
    }
}

static void four_hundred_deployments_are_one_node(void **state)
{
    struct node_peer v[400];
    (void)state;
    for (int i = 0; i < 400; i++)
        v[i] = (struct node_peer){.peer = "x", .first = D * (i + 1), .last = D * (i + 2) + H};
    node_chains(v, 400);
    for (int i = 0; i < 400; i++)
        assert_int_equal(v[i].chain, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(peers_that_live_side_by_side_are_different_nodes),
                                       cmocka_unit_test(four_hundred_deployments_are_one_node)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
