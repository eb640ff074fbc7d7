/* When the schedule makes a run: slots on the UTC clock, across steps of the clock, and each once. */
#include "replicator/core/options.h"
#include "replicator/snapshot/slots.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { M = 60, H = 3600, T = 1764057600 /* 2025-11-25 08:00:00 UTC */ };

static struct slots quarters(void) { return (struct slots){.interval = 15 * M}; }

static void a_slot_is_utc_time_cut_to_the_interval_and_shifted(void **state)
{
    (void)state;
    struct slots s = quarters();
    assert_int_equal(slots_of(&s, T), T);
    assert_int_equal(slots_of(&s, T + 15 * M - 1), T);
    assert_int_equal(slots_of(&s, T + 15 * M), T + 15 * M);
    s.offset = 5 * M;
    assert_int_equal(slots_of(&s, T), T - 10 * M);
    assert_int_equal(slots_of(&s, T + 5 * M), T + 5 * M);
    assert_int_equal(slots_of(&s, -1), -10 * M); /* a clock that starts in 1970 */
}

static void each_slot_is_served_once(void **state)
{
    (void)state;
    struct slots s = quarters();
    struct slot at;
    unsigned runs = 0;
    for (time_t now = T + 7 * M; now < T + 24 * H; now += 2) {
        bool due = slots_due(&s, now, &at);
        runs += due;
        assert_int_equal(at.missed, 0);
        if (due)
            assert_int_equal(at.in_doubt, runs == 1);
    }
    assert_int_equal(runs, 96);
}

static void missed_slots_are_counted_but_not_before_the_first(void **state)
{
    (void)state;
    struct slots s = quarters();
    struct slot at;
    assert_true(slots_due(&s, T, &at));
    assert_int_equal(at.missed, 0);
    assert_true(slots_due(&s, T + 45 * M + 3, &at));
    assert_int_equal(at.missed, 2);
    assert_int_equal(at.begin, T + 45 * M);
    assert_int_equal(at.end, T + H);
    assert_true(slots_due(&s, T + 400 * H, &at));
    assert_int_equal(at.missed, 400 * 4 - 4);
}

static void a_small_step_back_serves_no_slot_twice(void **state)
{
    (void)state;
    struct slots s = quarters();
    struct slot at;
    assert_true(slots_due(&s, T - 15 * M, &at));
    assert_true(slots_due(&s, T, &at));
    assert_false(slots_due(&s, T - 2, &at));
    assert_false(slots_due(&s, T - 15 * M, &at));
    assert_false(slots_due(&s, T + 2, &at));
    assert_true(slots_due(&s, T - 30 * M, &at)); /* one that was never served */
    assert_true(at.in_doubt);
    assert_true(slots_due(&s, T + 15 * M, &at));
    assert_int_equal(at.missed, 0);
}

static void after_a_clock_that_ran_ahead_the_real_slots_are_served(void **state)
{
    (void)state;
    struct slots s = quarters();
    struct slot at;
    unsigned runs = 0;
    for (time_t now = T + 24 * H; now < T + 26 * H; now += 15 * M)
        assert_true(slots_due(&s, now, &at));
    for (time_t now = T; now < T + 26 * H; now += M)
        runs += slots_due(&s, now, &at);
    assert_int_equal(runs, 26 * 4);
}

static void collections_are_chosen_by_patterns(void **state)
{
    (void)state;
    assert_true(options_wanted("*", "docs"));
    assert_true(options_wanted("docs, pics", "pics"));
    assert_false(options_wanted("docs,pics", "doc"));
    assert_true(options_wanted("docs*,!docs_tmp", "docs_2"));
    assert_false(options_wanted("docs*,!docs_tmp", "docs_tmp"));
    assert_false(options_wanted("!*_tmp", "a_tmp"));
    assert_true(options_wanted("!*_tmp", "a"));
    assert_true(options_wanted(" , ", "a")); /* nothing said: all */
    assert_true(options_wanted("*", ".hidden"));
}

static void a_whole_name_that_is_not_there_is_most_likely_mistyped(void **state)
{
    static const char *const names[] = {"docs", "pics"};
    static const struct {
        const char *patterns, *missing; /* NULL: none */
    } table[] = {{"*", NULL},       {"", NULL},
                 {"docs", NULL},    {"docs, pics", NULL},
                 {"dosc", "dosc"},  {"dosc*", NULL},
                 {"!other", NULL},  {"d?cs,p[ix]cs", NULL},
                 {" , ", NULL},     {"docs,Pics", "Pics"},
                 {"!x, a , b", "a"}};
    char out[256];
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(options_missing(table[i].patterns, names, 2, out), table[i].missing != NULL);
        if (table[i].missing)
            assert_string_equal(out, table[i].missing);
    }
    assert_true(options_missing("docs", NULL, 0, out));
}

static void the_first_seconds_of_a_slot_are_left_to_others(void **state)
{
    static const struct {
        unsigned interval, offset;
        time_t now;
        bool early;
    } table[] = {{900, 0, 900, true},  {900, 0, 902, true},   {900, 0, 903, false}, {900, 0, 899, false},
                 {900, 60, 960, true}, {900, 60, 900, false}, {60, 0, 121, true},   {30, 0, 30, false},
                 {86400, 0, 2, true},  {1, 0, 7, false}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct slots s = {.interval = table[i].interval, .offset = table[i].offset};
        if (slots_early(&s, table[i].now) != table[i].early)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_utc_time_cut_to_the_interval_and_shifted),
        cmocka_unit_test(the_first_seconds_of_a_slot_are_left_to_others),
        cmocka_unit_test(each_slot_is_served_once),
        cmocka_unit_test(missed_slots_are_counted_but_not_before_the_first),
        cmocka_unit_test(a_small_step_back_serves_no_slot_twice),
        cmocka_unit_test(after_a_clock_that_ran_ahead_the_real_slots_are_served),
        cmocka_unit_test(collections_are_chosen_by_patterns),
        cmocka_unit_test(a_whole_name_that_is_not_there_is_most_likely_mistyped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
