/* DRILL_SCHEDULE: what it may be, and when a drill is due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "efs/repo/manifest.h"
#include "common/base/utc.h"
#include "replicator/core/drill_schedule.h"

static time_t at(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return timegm(&tm);
}

static void the_newest_time_that_was_due_is_found(void **st)
{
    static const struct {
        const char *plan, *now, *due;
    } table[] = {
        {"hourly", "2026-11-25 10:29:59", "2026-11-25 09:30:00"},
        {"hourly", "2026-11-25 10:30:00", "2026-11-25 10:30:00"},
        {"hourly@:05", "2026-11-25 00:04:59", "2026-11-24 23:05:00"},
        {"hourly@:00", "2026-11-25 00:00:00", "2026-11-25 00:00:00"},
        {"daily", "2026-11-25 03:29:59", "2026-11-24 03:30:00"},
        {"daily", "2026-11-25 03:30:00", "2026-11-25 03:30:00"},
        {"daily@23:59", "2026-11-25 23:58:00", "2026-11-24 23:59:00"},
        {"daily@00:00", "2026-03-01 00:00:00", "2026-03-01 00:00:00"},
        {"weekly", "2026-11-25 10:00:00", "2026-11-23 03:30:00"}, /* a Monday */
        {"weekly", "2026-11-23 03:29:59", "2026-11-16 03:30:00"},
        {"weekly@12:00", "2026-11-23 12:00:01", "2026-11-23 12:00:00"},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct drill_schedule p;
        char found[32], wanted[32];
        assert_true(drill_schedule_parse(table[i].plan, &p));
        utc_text(drill_schedule_last(&p, at(table[i].now)), found);
        utc_text(at(table[i].due), wanted);
        assert_string_equal(found, wanted);
    }
}

static void never_is_never_due(void **st)
{
    struct drill_schedule p;
    (void)st;
    assert_true(drill_schedule_parse("never", &p));
    assert_int_equal(p.period, 0);
    assert_int_equal(drill_schedule_last(&p, at("2026-11-25 10:00:00")), 0);
}

static void nothing_is_due_before_the_first_period(void **st)
{
    struct drill_schedule p;
    (void)st;
    assert_true(drill_schedule_parse("weekly", &p));
    assert_int_equal(drill_schedule_last(&p, 0), 0);
    assert_int_equal(drill_schedule_last(&p, -5), 0);
}

static void the_next_is_the_one_that_was_missed_or_a_period_later(void **st)
{
    struct drill_schedule p;
    (void)st;
    assert_true(drill_schedule_parse("daily@03:30", &p));
    time_t now = at("2026-11-25 10:00:00"), today = at("2026-11-25 03:30:00");
    assert_int_equal(drill_schedule_next(&p, today + 60, now), today + 86400);
    assert_int_equal(drill_schedule_next(&p, now, now), today + 86400);
    assert_int_equal(drill_schedule_next(&p, today - 60, now), today); /* it waits for a quiet moment */
    assert_true(drill_schedule_parse("never", &p));
    assert_int_equal(drill_schedule_next(&p, 0, now), 0);
}

static void anything_else_is_refused(void **st)
{
    static const char *const wrong[] = {
        "",           "Daily",       "day",         "dailyy",       "daily@",
        "daily@3:30", "daily@24:00", "daily@03:60", "daily@03:30Z", "daily@03-30",
        "hourly@30",  "hourly@:60",  "hourly@:5",   "never@03:30",  "weekly@Mon",
        "@03:30",     "daily@-1:30"};
    struct drill_schedule p;
    (void)st;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (drill_schedule_parse(wrong[i], &p))
            fail_msg("%s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_time_that_was_due_is_found), cmocka_unit_test(never_is_never_due),
        cmocka_unit_test(nothing_is_due_before_the_first_period),
        cmocka_unit_test(the_next_is_the_one_that_was_missed_or_a_period_later),
        cmocka_unit_test(anything_else_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
