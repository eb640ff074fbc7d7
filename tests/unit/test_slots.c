/* When the schedule makes a run: slots on the UTC clock, across steps of the clock, and each once. */
#include "replicator/options.h"
#include "replicator/slots.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_utc_time_cut_to_the_interval_and_shifted),
        cmocka_unit_test(each_slot_is_served_once),
        cmocka_unit_test(missed_slots_are_counted_but_not_before_the_first),
        cmocka_unit_test(a_small_step_back_serves_no_slot_twice),
        cmocka_unit_test(after_a_clock_that_ran_ahead_the_real_slots_are_served),
        cmocka_unit_test(collections_are_chosen_by_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
