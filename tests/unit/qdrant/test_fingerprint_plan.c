/* What a fingerprint may take of a collection's reads, and where it looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include "qdrant/fingerprint_plan.h"

static void the_limits_are_those_of_strict_mode(void **st)
{
    static const struct {
        const char *strict;
        int64_t reads, page;
        bool no_exact;
    } table[] = {
        {"null", -1, -1, false},
        {"{\"enabled\":true,\"read_rate_limit\":60,\"max_query_limit\":7,\"search_allow_exact\":false}", 60,
         7, true},
        {"{\"enabled\":true,\"search_allow_exact\":true}", -1, -1, false},
        /* The rate counts also where it is off: see the code. */
        {"{\"enabled\":false,\"read_rate_limit\":60,\"max_query_limit\":7,\"search_allow_exact\":false}", 60,
         -1, false},
        {"{\"read_rate_limit\":\"60\"}", -1, -1, false},
        {"{\"read_rate_limit\":-1}", -1, -1, false},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char json[300];
        (void)snprintf(json, sizeof json, "{\"config\":{\"strict_mode_config\":%s}}", table[i].strict);
        cJSON *o = cJSON_Parse(json);
        struct fingerprint_limits l = fingerprint_limits_of(o);
        assert_non_null(o);
        if (l.reads != table[i].reads || l.page != table[i].page || l.no_exact != table[i].no_exact)
            fail_msg("row %zu", i);
        cJSON_Delete(o);
    }
}

static void what_it_takes_is_below_a_tenth(void **st)
{
    static const struct {
        struct fingerprint_limits limits;
        int64_t points;
        double width;
        bool dear, all, count;
        unsigned each;
    } table[] = {
        {{-1, -1, false}, 0, 4, false, true, false, 1001},
        {{-1, -1, false}, 1000, 4, false, true, false, 1001},
        {{-1, -1, false}, 1001, 4, false, false, true, 40},
        {{-1, -1, false}, 1000, 1024, false, false, true, 11}, /* too many numbers */
        {{-1, -1, false}, 2000000, 4, false, false, false, 40},
        {{-1, -1, false}, 50, 100000, false, false, true, 1},
        {{-1, 1000, false}, 999, 4, false, true, false, 1000},
        {{-1, 1000, false}, 1000, 4, false, true, false, 1000}, /* two pages */
        {{-1, 200, false}, 1000, 4, false, true, false, 200},
        {{-1, 100, false}, 1000, 4, false, false, true, 40}, /* eleven pages are too many */
        {{-1, 10, false}, 1001, 4, false, false, true, 10},
        {{-1, 0, false}, 10, 4, true, false, false, 0},
        {{60, -1, false}, 1000, 4, false, true, false, 1001},
        {{60, -1, false}, 5000, 4, false, false, true, 40},
        {{60, 100, false}, 250, 4, false, true, false, 100},
        {{60, 100, false}, 350, 4, false, false, true, 40},
        {{60, -1, true}, 5000, 4, false, false, false, 40},
        {{30, -1, false}, 5000, 4, false, false, false, 40},
        {{20, -1, false}, 1000, 4, false, true, false, 1001},
        {{20, -1, false}, 5000, 4, false, false, false, 40},
        {{19, -1, false}, 10, 4, true, false, false, 0},
        {{0, -1, false}, 10, 4, true, false, false, 0},
        {{100000, -1, false}, 5000, 4, false, false, true, 40},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fingerprint_reads r = fingerprint_reads_of(&table[i].limits, table[i].points, table[i].width);
        unsigned pages = r.all ? (unsigned)table[i].points / r.each + 1 : 0;
        unsigned reads = 2 * pages + (r.count ? 2 : 0) + r.probes + r.rest;
        if (r.dear != table[i].dear || r.all != table[i].all || r.count != table[i].count ||
            (!r.dear && r.each != table[i].each))
            fail_msg("row %zu: %d %d %d %u", i, r.dear, r.all, r.count, r.each);
        if (reads > PLAN_READS || (table[i].limits.reads >= 0 && (int64_t)reads * 10 > table[i].limits.reads))
            fail_msg("row %zu: %u reads", i, reads);
        if (!r.dear && !r.all && r.rest < 2)
            fail_msg("row %zu: no place", i);
    }
}

/* Replies that stay too large, however small they are asked for. */
static void smaller_replies_are_asked_for_within_the_same_reads_until_there_are_none(void **st)
{
    static const struct {
        struct fingerprint_limits limits;
        int64_t points;
        double width;
    } table[] = {{{-1, -1, false}, 1000, 4},  {{-1, -1, false}, 24, 4},   {{-1, 7, false}, 5, 4},
                 {{60, -1, false}, 1000, 4},  {{20, -1, false}, 10, 4},   {{120, 100, true}, 300, 4},
                 {{-1, -1, false}, 90000, 4}, {{-1, -1, false}, 9, 90000}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fingerprint_reads r = fingerprint_reads_of(&table[i].limits, table[i].points, table[i].width);
        unsigned max = fingerprint_reads_max(&table[i].limits), asked = r.probes + r.count + 1, tries = 0;
        while (!r.dear) {
            struct fingerprint_plan plan = {.count = r.count, .each = r.each, .n = r.all ? 0 : 1};
            unsigned left = max > asked ? max - asked : 0;
            r = fingerprint_reads_smaller(&table[i].limits, &plan, left, table[i].points, table[i].width);
            unsigned pages = r.all ? (unsigned)table[i].points / r.each + 1 : 0;
            if (2 * pages + (r.count ? 2 : 0) + r.probes + r.rest > left)
                fail_msg("row %zu: more than the %u that are left", i, left);
            if (!r.dear && (r.each == 0 || r.each >= plan.each || (!r.all && r.rest < 2)))
                fail_msg("row %zu: %u after %u", i, r.each, plan.each);
            asked += r.probes + 1;
            if (++tries > PLAN_READS)
                fail_msg("row %zu: no end", i);
        }
        assert_true(asked <= max + 1);
    }
}

static void places_are_ids_of_the_kinds_that_there_are(void **st)
{
    static const struct {
        struct fingerprint_ids ids;
        unsigned reads, n, uuids;
    } table[] = {{{true, false, 10}, 10, 5, 0}, {{false, true, 0}, 11, 5, 5},  {{true, true, 64}, 8, 4, 2},
                 {{false, false, 0}, 2, 1, 0},  {{true, false, 1}, 100, 8, 0}, {{true, false, 64}, 16, 8, 0}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fingerprint_plan plan = {.seed = i}, again = plan;
        unsigned uuids = 0;
        fingerprint_plan_places(&plan, &table[i].ids, table[i].reads);
        fingerprint_plan_places(&again, &table[i].ids, table[i].reads);
        assert_memory_equal(&plan, &again, sizeof plan);
        assert_int_equal(plan.n, table[i].n);
        for (unsigned p = 0; p < plan.n; p++) {
            assert_true(fingerprint_place_good(plan.at[p]));
            uuids += strchr(plan.at[p], '-') != NULL;
            if (table[i].ids.bits == 10)
                assert_true(strtoull(plan.at[p], NULL, 10) < 1024);
        }
        assert_int_equal(uuids, table[i].uuids);
    }
}

static void nothing_else_is_a_place(void **st)
{
    static const char *const good[] = {"", "0", "7", "18446744073709551615",
                                       "01234567-89ab-cdef-0123-456789abcdef"},
                             *const bad[] = {"01",
                                             "-1",
                                             "1,\"limit\":9",
                                             " 1",
                                             "18446744073709551616",
                                             "x",
                                             "01234567-89ab-cdef-0123-456789abcdeg",
                                             "01234567-89AB-cdef-0123-456789abcdef",
                                             "0123456789-ab-cdef-0123-456789abcdef"};
    (void)st;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(fingerprint_place_good(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (fingerprint_place_good(bad[i]))
            fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limits_are_those_of_strict_mode),
        cmocka_unit_test(what_it_takes_is_below_a_tenth),
        cmocka_unit_test(smaller_replies_are_asked_for_within_the_same_reads_until_there_are_none),
        cmocka_unit_test(places_are_ids_of_the_kinds_that_there_are),
        cmocka_unit_test(nothing_else_is_a_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
