/* The seed's rule with catch-up, and retention, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/repo/retention.h"

static time_t at(int y, int mo, int d, int h, int mi)
{
    struct tm tm = {.tm_year = y - 1900, .tm_mon = mo - 1, .tm_mday = d, .tm_hour = h, .tm_min = mi};
    return timegm(&tm);
}

static void periods_begin_at_eight(void **s)
{
    (void)s;
    assert_int_equal(frequency_period(FREQUENCY_DAILY, at(2026, 3, 5, 7, 45)), at(2026, 3, 4, 8, 0));
    assert_int_equal(frequency_period(FREQUENCY_MONTHLY, at(2026, 3, 1, 7, 45)), at(2026, 2, 1, 8, 0));
    assert_int_equal(frequency_period(FREQUENCY_MONTHLY, at(2026, 3, 1, 8, 0)), at(2026, 3, 1, 8, 0));
    assert_int_equal(frequency_period(FREQUENCY_MONTHLY, at(2026, 1, 1, 0, 0)), at(2025, 12, 1, 8, 0));
}

/* Sixty days of slots: after the first, exactly the seed's rule. */
static void on_the_clock_it_is_the_seeds_rule(void **s)
{
    static struct frequency_item items[60 * 96];
    size_t n = 0;
    (void)s;
    for (time_t t = at(2026, 1, 1, 8, 0); n < 60 * 96; t += 900, n++) {
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        enum frequency want = tm.tm_min >= 15   ? FREQUENCY_15MIN
                              : tm.tm_hour != 8 ? FREQUENCY_HOURLY
                              : tm.tm_mday != 1 ? FREQUENCY_DAILY
                                                : FREQUENCY_MONTHLY;
        enum frequency got = frequency_choose(t, items + (n > 3000 ? n - 3000 : 0), n > 3000 ? 3000 : n);
        assert_int_equal(got, want);
        items[n] = (struct frequency_item){.frequency = got, .slot = t, .good = true};
    }
}

static void a_missed_eight_is_caught_up(void **s)
{
    (void)s;
    struct frequency_item items[] = {{FREQUENCY_MONTHLY, at(2026, 3, 1, 8, 0), true, false, false, 0, false},
                                     {FREQUENCY_DAILY, at(2026, 3, 4, 8, 0), true, false, false, 0, false}};
    assert_int_equal(frequency_choose(at(2026, 3, 5, 9, 30), items, 2), FREQUENCY_DAILY);
    assert_int_equal(frequency_choose(at(2026, 3, 5, 7, 45), items, 2), FREQUENCY_HOURLY);
    items[1].good = false;
    assert_int_equal(frequency_choose(at(2026, 3, 5, 7, 45), items, 2), FREQUENCY_DAILY);
}

static void retention_keeps_by_age_and_count(void **s)
{
    struct retention r;
    char wrong[64];
    (void)s;
    assert_true(retention_parse("15min=1h,monthly=2", &r, wrong, sizeof wrong));
    struct frequency_item items[] = {{FREQUENCY_15MIN, at(2026, 3, 5, 9, 0), true, false, false, 0, false},
                                     {FREQUENCY_15MIN, at(2026, 3, 5, 9, 15), true, false, false, 0, false},
                                     {FREQUENCY_15MIN, at(2026, 3, 5, 10, 0), true, false, false, 0, false},
                                     {FREQUENCY_MONTHLY, at(2026, 1, 1, 8, 0), true, false, false, 0, false},
                                     {FREQUENCY_MONTHLY, at(2026, 2, 1, 8, 0), true, false, false, 0, false},
                                     {FREQUENCY_MONTHLY, at(2026, 2, 2, 8, 0), true, false, false, 0, false},
                                     {FREQUENCY_MONTHLY, at(2026, 3, 1, 8, 0), true, false, false, 0, false},
                                     {FREQUENCY_DAILY, at(2020, 3, 1, 8, 0), true, false, false, 0, false}};
    const bool want[] = {true, false, false, true, false, false, false, false, false};
    retention_select(&r, items, 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(items[i].drop, want[i]);
}

/* One good backup in each period from `slot` to `last`. */
static bool goes(const struct retention *r, enum frequency t, time_t slot, time_t last)
{
    struct frequency_item items[200] = {{t, slot, true, false, false, 0, false}};
    size_t n = 1;
    for (time_t at = slot + 900; at <= last; at += 900)
        if (frequency_period(t, at) != frequency_period(t, items[n - 1].slot))
            items[n++] = (struct frequency_item){t, at, true, false, false, 0, false};
    if (items[n - 1].slot < last)
        items[n++] = (struct frequency_item){t, last, true, false, false, 0, false};
    retention_select(r, items, n);
    return items[0].drop;
}

static void until_when_one_is_kept_is_when_the_next_ones_let_it_go(void **s)
{
    static const char *const policies[] = {"15min=1,hourly=1,daily=1,monthly=1",
                                           "15min=96,hourly=24,daily=7,monthly=13",
                                           "15min=1d,hourly=2d,daily=35d,monthly=90d"};
    const time_t slots[] = {at(2026, 3, 5, 9, 15), at(2026, 1, 31, 7, 45), at(2026, 12, 1, 8, 0)};
    char wrong[64];
    struct retention r;
    (void)s;
    for (size_t p = 0; p < 3; p++)
        for (int t = 0; t < FREQUENCY_COUNT; t++)
            for (size_t i = 0; i < 3; i++) {
                assert_true(retention_parse(policies[p], &r, wrong, sizeof wrong));
                time_t until = retention_until(&r, (enum frequency)t, slots[i]);
                assert_false(goes(&r, (enum frequency)t, slots[i], until - 900));
                assert_true(goes(&r, (enum frequency)t, slots[i], until));
            }
}

static void the_last_good_one_stays(void **s)
{
    struct retention r;
    char wrong[64];
    (void)s;
    assert_true(retention_parse("15min=1", &r, wrong, sizeof wrong));
    struct frequency_item items[] = {{FREQUENCY_15MIN, 900, true, false, false, 0, false},
                                     {FREQUENCY_15MIN, 9000, false, false, false, 0, false}};
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
    struct frequency_item items[97];
    (void)s;
    assert_true(retention_parse("15min=24h", &r, wrong, sizeof wrong));
    for (int i = 0; i < 96; i++)
        items[i] = (struct frequency_item){
            FREQUENCY_15MIN, at(2026, 3, 5, 9, 0) + i * 900, true, false, false, 0, false};
    items[96] = (struct frequency_item){FREQUENCY_15MIN, at(2031, 3, 5, 9, 0), true, true, false, 0, false};
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

/* A node that was away for a month, and one for more than a year, beside one that went on. */
static void ages_and_counts_of_a_node_are_its_own(void **s)
{
    struct retention r;
    char wrong[64];
    struct frequency_item items[400];
    size_t n = 0;
    (void)s;
    assert_true(retention_parse("15min=24h,hourly=7d,daily=35d,monthly=13", &r, wrong, sizeof wrong));
    const time_t now = at(2026, 3, 5, 9, 0), left[] = {now, now - 30 * 86400, now - 430 * 86400};
    for (unsigned node = 0; node < 3; node++)
        for (int i = 0; i < 20; i++) {
            items[n++] = (struct frequency_item){
                .frequency = FREQUENCY_15MIN, .slot = left[node] - i * 900, .good = true, .node = node};
            items[n++] = (struct frequency_item){
                .frequency = FREQUENCY_HOURLY, .slot = left[node] - i * 3600, .good = true, .node = node};
            items[n++] = (struct frequency_item){
                .frequency = FREQUENCY_DAILY, .slot = left[node] - i * 86400, .good = true, .node = node};
        }
    retention_select(&r, items, n);
    for (size_t i = 0; i < n; i++)
        assert_false(items[i].drop);
    for (unsigned node = 0; node < 3; node++) { /* and in each what is old in it goes */
        items[n] = (struct frequency_item){
            .frequency = FREQUENCY_15MIN, .slot = left[node] - 86400, .good = true, .node = node};
        retention_select(&r, items, n + 1);
        assert_true(items[n].drop);
    }
    for (unsigned i = 0; i < 13; i++) /* thirteen months of one node push out none of another */
        items[i] = (struct frequency_item){
            .frequency = FREQUENCY_MONTHLY, .slot = at(2025, 1, 1, 8, 0) + i * 31 * 86400, .good = true};
    items[13] = (struct frequency_item){
        .frequency = FREQUENCY_MONTHLY, .slot = at(2024, 1, 1, 8, 0), .good = true, .node = 1};
    items[14] = (struct frequency_item){
        .frequency = FREQUENCY_MONTHLY, .slot = at(2024, 2, 1, 8, 0), .good = true, .node = 1};
    retention_select(&r, items, 15);
    for (size_t i = 0; i < 15; i++)
        assert_false(items[i].drop);
}

/* Else the real first backup of that month would find its place taken. */
static void a_slot_from_the_future_serves_no_period(void **s)
{
    (void)s;
    struct frequency_item items[] = {
        {.frequency = FREQUENCY_MONTHLY, .slot = at(2026, 4, 2, 10, 0), .good = true, .future = true},
        {.frequency = FREQUENCY_MONTHLY, .slot = at(2026, 3, 1, 8, 0), .good = true}};
    assert_int_equal(frequency_choose(at(2026, 4, 1, 8, 0), items, 2), FREQUENCY_MONTHLY);
    items[0].future = false;
    assert_int_equal(frequency_choose(at(2026, 4, 1, 8, 0), items, 2), FREQUENCY_DAILY);
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

/* `node` and `server`: what the two clocks show at the publication. */
static void when_a_snapshot_was_taken_is_told_by_the_servers_clock(void **s)
{
    enum { S = 1, H = 3600, D = 86400 };
    static const struct {
        const char *what;
        long long named, node, server, taken;
        bool known;
    } table[] = {
        {"both clocks agree", -30, 0, 0, -30, true},
        {"found three days late", -3 * D, 0, 0, -3 * D, true},
        {"nine minutes ahead is within what clocks may differ", 9 * 60, 9 * 60 + 5, 0, 9 * 60, true},
        {"set back two days", -2 * D - 30, -2 * D, 0, -30, true},
        {"since 1970", -56 * 365LL * D, -56 * 365LL * D + 20, 0, -20, true},
        {"set back, and EFS was away for five hours", -2 * D - 5 * H, -2 * D, 0, -5 * H, true},
        {"set back, and found from before that", -5 * D, -2 * D, 0, -5 * D, true},
        {"five years ahead", 5 * 365LL * D - 40, 5 * 365LL * D, 0, -40, true},
        {"was ahead, and is right again", 2 * D, 0, 0, 0, false},
        {"made under a right clock that was set back then", -20, -2 * D, 0, -20, true},
        {"made ahead, published behind", 2 * D, -2 * D, 0, 0, false},
    };
    (void)s;
    const time_t t = at(2026, 11, 28, 12, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        time_t taken = 0;
        bool known = frequency_taken(t + (time_t)table[i].named, t + (time_t)table[i].node,
                                     t + (time_t)table[i].server, &taken);
        if (known != table[i].known || taken != t + (time_t)table[i].taken)
            fail_msg("%s: %s, %lld s", table[i].what, known ? "known" : "not known", (long long)(taken - t));
    }
}

/* By count, of a month of quarters: this took minutes when each looked at all the others. */
static void thousands_of_periods_take_no_time(void **s)
{
    enum { N = 30000, KEEP = 28800 };
    static struct frequency_item items[N];
    struct retention r;
    char wrong[64];
    (void)s;
    assert_true(retention_parse("15min=28800", &r, wrong, sizeof wrong));
    for (int i = 0; i < N; i++)
        items[i] = (struct frequency_item){.slot = 900 * (time_t)(1 + (i * 7919LL) % N), .good = true};
    retention_select(&r, items, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(items[i].drop, items[i].slot <= 900 * (N - KEEP));
        assert_int_equal(items[i].newest, items[i].slot == 900 * N);
    }
}

static void a_policy_reads_as_it_was_written(void **s)
{
    static const char *const same[] = {"15min=24h,hourly=7d,daily=35d,monthly=13",
                                       "15min=2880,hourly=1,daily=90m,monthly=53w",
                                       "15min=100000,hourly=100000d,daily=100000w,monthly=100000"};
    (void)s;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct retention r, again;
        char text[RETENTION_TEXT], wrong[64];
        assert_true(retention_parse(same[i], &r, wrong, sizeof wrong));
        retention_text(&r, text);
        assert_true(retention_parse(text, &again, wrong, sizeof wrong) && retention_same(&r, &again));
        if (i == 0)
            assert_string_equal(text, "15min=1d,hourly=7d,daily=35d,monthly=13");
    }
}

static void the_default_that_help_shows_is_the_one_that_counts(void **state)
{
    struct retention unset, given;
    char wrong[64];
    (void)state;
    assert_true(retention_parse("", &unset, wrong, sizeof wrong));
    assert_true(retention_parse(RETENTION_STANDARD, &given, wrong, sizeof wrong));
    assert_true(retention_same(&unset, &given));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_begin_at_eight),
        cmocka_unit_test(on_the_clock_it_is_the_seeds_rule),
        cmocka_unit_test(a_missed_eight_is_caught_up),
        cmocka_unit_test(until_when_one_is_kept_is_when_the_next_ones_let_it_go),
        cmocka_unit_test(retention_keeps_by_age_and_count),
        cmocka_unit_test(the_last_good_one_stays),
        cmocka_unit_test(a_slot_from_the_future_pushes_nothing_out),
        cmocka_unit_test(ages_and_counts_of_a_node_are_its_own),
        cmocka_unit_test(a_slot_from_the_future_serves_no_period),
        cmocka_unit_test(wrong_policies_are_refused),
        cmocka_unit_test(the_default_that_help_shows_is_the_one_that_counts),
        cmocka_unit_test(when_a_snapshot_was_taken_is_told_by_the_servers_clock),
        cmocka_unit_test(thousands_of_periods_take_no_time),
        cmocka_unit_test(a_policy_reads_as_it_was_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
