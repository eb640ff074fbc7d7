/* Which shards of which backup each node of a cluster gets. */
#include "efs/restore/spread.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { SOURCES = 3, MOST = 8 };
static const struct backup backups[SOURCES];
static const unsigned of_0[] = {0, 3}, of_1[] = {1}, of_2[] = {7, 2};
static const struct splice_source sources[SOURCES] = {
    {&backups[0], of_0, 2}, {&backups[1], of_1, 1}, {&backups[2], of_2, 2}};

/* "0:0,3 2:2" */
static void told(const struct spread *s, const unsigned *place, size_t n, char out[64])
{
    struct splice_source chosen[SOURCES + 1];
    unsigned ids[MOST];
    size_t used = 0, k = spread_choose(s, place, n, chosen, ids);
    *out = 0;
    for (size_t i = 0; i < k; i++) {
        used += (size_t)snprintf(out + used, 64 - used, "%s%td:", i ? " " : "", chosen[i].b - backups);
        for (size_t j = 0; j < chosen[i].n; j++)
            used += (size_t)snprintf(out + used, 64 - used, "%s%u", j ? "," : "", chosen[i].shards[j]);
    }
}

static void test_a_node_gets_its_own_shards_each_from_the_backup_that_has_it(void **state)
{
    static const struct {
        unsigned place[MOST];
        size_t n;
        const char *gets;
    } table[] = {
        {{0, 1, 2, 3, 7}, 5, "0:0,3 1:1 2:2,7"},
        {{1}, 1, "1:1"},
        {{2, 3}, 2, "0:3 2:2"},
        {{7}, 1, "2:7"},
        {{0}, 0, ""},
        {{5}, 1, ""}, /* of none of them */
        {{0, 5}, 2, "0:0"},
    };
    struct spread s = {.sources = sources, .n_sources = SOURCES};
    char out[64];
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        told(&s, table[i].place, table[i].n, out);
        assert_string_equal(out, table[i].gets);
    }
}

static void test_a_backup_that_is_whole_by_itself_gives_whatever_a_node_has(void **state)
{
    static const struct splice_source whole = {.b = &backups[1]};
    static const unsigned place[] = {2, 9};
    struct spread s = {.sources = &whole, .n_sources = 1};
    char out[64];
    (void)state;
    told(&s, place, 2, out);
    assert_string_equal(out, "1:2,9");
}

static void test_all_other_shards_are_stubs(void **state)
{
    static const unsigned all[] = {0, 1, 2, 3}, some[] = {1, 3};
    unsigned out[4];
    (void)state;
    assert_int_equal(spread_rest(all, 4, some, 2, out), 2);
    assert_true(out[0] == 0 && out[1] == 2);
    assert_int_equal(spread_rest(all, 4, all, 4, out), 0);
    assert_int_equal(spread_rest(all, 4, some, 0, out), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_gets_its_own_shards_each_from_the_backup_that_has_it),
        cmocka_unit_test(test_a_backup_that_is_whole_by_itself_gives_whatever_a_node_has),
        cmocka_unit_test(test_all_other_shards_are_stubs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
