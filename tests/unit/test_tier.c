/* The seed's rule with catch-up, and retention, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/tier.h"

static time_t at(int y, int mo, int d, int h, int mi)
{
    struct tm tm = {.tm_year = y - 1900, .tm_mon = mo - 1, .tm_mday = d, .tm_hour = h, .tm_min = mi};
    return timegm(&tm);
}

static void periods_begin_at_eight(void **s)
{
    (void)s;
    assert_int_equal(tier_period(TIER_DAILY, at(2026, 3, 5, 7, 45)), at(2026, 3, 4, 8, 0));
    assert_int_equal(tier_period(TIER_MONTHLY, at(2026, 3, 1, 7, 45)), at(2026, 2, 1, 8, 0));
    assert_int_equal(tier_period(TIER_MONTHLY, at(2026, 3, 1, 8, 0)), at(2026, 3, 1, 8, 0));
    assert_int_equal(tier_period(TIER_MONTHLY, at(2026, 1, 1, 0, 0)), at(2025, 12, 1, 8, 0));
}

/* Sixty days of slots: after the first, exactly the seed's rule. */
static void on_the_clock_it_is_the_seeds_rule(void **s)
{
    static struct tier_item items[60 * 96];
    size_t n = 0;
    (void)s;
    for (time_t t = at(2026, 1, 1, 8, 0); n < 60 * 96; t += 900, n++) {
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        enum tier want = tm.tm_min >= 15   ? TIER_15MIN
                         : tm.tm_hour != 8 ? TIER_HOURLY
                         : tm.tm_mday != 1 ? TIER_DAILY
                                           : TIER_MONTHLY;
        enum tier got = tier_choose(t, items + (n > 3000 ? n - 3000 : 0), n > 3000 ? 3000 : n);
        assert_int_equal(got, want);
        items[n] = (struct tier_item){.tier = got, .slot = t, .good = true};
    }
}

static void a_missed_eight_is_caught_up(void **s)
{
    (void)s;
    struct tier_item items[] = {{TIER_MONTHLY, at(2026, 3, 1, 8, 0), true, false, false},
                                {TIER_DAILY, at(2026, 3, 4, 8, 0), true, false, false}};
    assert_int_equal(tier_choose(at(2026, 3, 5, 9, 30), items, 2), TIER_DAILY);
    assert_int_equal(tier_choose(at(2026, 3, 5, 7, 45), items, 2), TIER_HOURLY);
    items[1].good = false;
    assert_int_equal(tier_choose(at(2026, 3, 5, 7, 45), items, 2), TIER_DAILY);
}

static void retention_keeps_by_age_and_count(void **s)
{
    struct retention r;
    char wrong[64];
    (void)s;
    assert_true(retention_parse("15min=1h,monthly=2", &r, wrong, sizeof wrong));
    struct tier_item items[] = {{TIER_15MIN, at(2026, 3, 5, 9, 0), true, false, false},
                                {TIER_15MIN, at(2026, 3, 5, 9, 15), true, false, false},
                                {TIER_15MIN, at(2026, 3, 5, 10, 0), true, false, false},
                                {TIER_MONTHLY, at(2026, 1, 1, 8, 0), true, false, false},
                                {TIER_MONTHLY, at(2026, 2, 1, 8, 0), true, false, false},
                                {TIER_MONTHLY, at(2026, 2, 2, 8, 0), true, false, false},
                                {TIER_MONTHLY, at(2026, 3, 1, 8, 0), true, false, false},
                                {TIER_DAILY, at(2020, 3, 1, 8, 0), true, false, false}};
    const bool want[] = {true, false, false, true, false, false, false, false, false};
    retention_select(&r, items, 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(items[i].drop, want[i]);
}

static void the_last_good_one_stays(void **s)
{
    struct retention r;
    char wrong[64];
    (void)s;
    assert_true(retention_parse("15min=1", &r, wrong, sizeof wrong));
    struct tier_item items[] = {{TIER_15MIN, 900, true, false, false},
                                {TIER_15MIN, 9000, false, false, false}};
    retention_select(&r, items, 2);
    assert_false(items[0].drop);
    items[0].good = false;
    retention_select(&r, items, 2);
    assert_false(items[0].drop || items[1].drop);
}

/* One snapshot under a clock that ran ahead must not let go of a whole history. */
static void a_slot_from_the_future_pushes_nothing_out(void **s)
{
    struct retention r;
    char wrong[64];
    struct tier_item items[97];
    (void)s;
    assert_true(retention_parse("15min=24h", &r, wrong, sizeof wrong));
    for (int i = 0; i < 96; i++)
        items[i] = (struct tier_item){TIER_15MIN, at(2026, 3, 5, 9, 0) + i * 900, true, false, false};
    items[96] = (struct tier_item){TIER_15MIN, at(2031, 3, 5, 9, 0), true, true, false};
    retention_select(&r, items, 97);
    for (int i = 0; i < 97; i++)
        assert_false(items[i].drop);
    assert_true(retention_parse("15min=96", &r, wrong, sizeof wrong));
    retention_select(&r, items, 97);
    for (int i = 0; i < 97; i++)
        assert_false(items[i].drop);
    assert_true(retention_parse("15min=24h", &r, wrong, sizeof wrong));
    items[96].future = false;
    retention_select(&r, items, 97);
    for (int i = 0; i < 96; i++)
        assert_true(items[i].drop);
}

static void wrong_policies_are_refused(void **s)
{
    static const char *const bad[] = {"weekly=3", "daily",     "daily=0", "daily=-1",
                                      "daily=5y", "daily=5d5", "daily="};
    struct retention r;
    char wrong[64];
    (void)s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(retention_parse(bad[i], &r, wrong, sizeof wrong));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(periods_begin_at_eight),
                                       cmocka_unit_test(on_the_clock_it_is_the_seeds_rule),
                                       cmocka_unit_test(a_missed_eight_is_caught_up),
                                       cmocka_unit_test(retention_keeps_by_age_and_count),
                                       cmocka_unit_test(the_last_good_one_stays),
                                       cmocka_unit_test(a_slot_from_the_future_pushes_nothing_out),
                                       cmocka_unit_test(wrong_policies_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
