/* What hangs on what: a table for the first slots of a day, and what holds for all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "efs/repo/ruler.h"

enum { DAY = 1795507200 }; /* 2026-11-24T08:00:00Z */
static time_t slot(int number) { return DAY + 900 * (time_t)number; }

static void each_slot_hangs_on_the_one_with_its_lowest_bit_cleared(void **state)
{
    static const int above[] = {-1, 0, 0, 2, 0, 4, 4, 6, 0, 8, 8, 10, 8, 12, 12, 14, 0};
    (void)state;
    for (int i = 0; i < (int)(sizeof above / sizeof *above); i++)
        assert_int_equal(ruler_above(slot(i)), above[i] < 0 ? 0 : slot(above[i]));
    assert_int_equal(ruler_above(slot(95)), slot(94));
    assert_int_equal(ruler_above(slot(96)), 0); /* the next day's whole */
    assert_int_equal(ruler_above(slot(-1)), slot(-2));
}

static void a_chain_needs_seven_others_at_most_and_an_hour_only_hours(void **state)
{
    (void)state;
    for (int i = 0; i < 96; i++) {
        int steps = 0;
        for (time_t at = ruler_above(slot(i)); at; at = ruler_above(at), steps++)
            if (i % 4 == 0)
                assert_int_equal((at - DAY) % 3600, 0);
        assert_in_range(steps, i > 0, 6);
    }
}

static void what_hangs_on_what(void **state)
{
    (void)state;
    for (int i = 0; i < 96; i++)
        for (int j = 0; j < 96; j++) {
            bool hangs = false;
            for (time_t at = ruler_above(slot(i)); at; at = ruler_above(at))
                hangs = hangs || at == slot(j);
            assert_int_equal(ruler_hangs(slot(i), slot(j)), i == j || hangs);
        }
    assert_false(ruler_hangs(slot(97), slot(95)));
}

static struct backup named(const char *data, time_t at)
{
    struct backup b = {.frequency = FREQUENCY_15MIN};
    (void)strcpy(b.data, data);
    b.m.slot = at;
    return b;
}

static void names_tell_which_backups_a_delta_may_need(void **state)
{
    (void)state;
    struct backup delta = named("x.snapshot.delta", slot(7));
    struct {
        const char *data;
        int number;
        bool may;
    } table[] = {{"a.snapshot.zst", 0, true},    {"a.snapshot.delta", 4, true},
                 {"a.snapshot.delta", 6, true},  {"a.snapshot.delta", 5, false},
                 {"a.snapshot.delta", 3, false}, {"a.snapshot.zst", 5, true},
                 {"a.snapshot.zst", 7, false},   {"a.snapshot.zst", 8, false},
                 {"a.snapshot.zst", -180, true}, {"a.snapshot.zst", -200, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct backup b = named(table[i].data, slot(table[i].number));
        assert_int_equal(ruler_may_need(&delta, &b), table[i].may);
    }
    struct backup whole = named("x.snapshot.zst", slot(7)), older = named("a.snapshot.zst", slot(0));
    assert_false(ruler_may_need(&whole, &older));
}

static void what_others_are_made_of_is_counted_once_for_each_of_them(void **state)
{
    (void)state;
    struct backup v[] = {named("a.snapshot.zst", slot(0)), named("b.snapshot.delta", slot(4)),
                         named("c.snapshot.delta", slot(6)), named("d.snapshot.delta", slot(7)),
                         named("e.snapshot.zst", slot(8))};
    struct backup_list list = {.v = v, .n = sizeof v / sizeof *v};
    for (size_t i = 1; i < 4; i++)
        assert_true(ruler_bases(&v[i - 1], &v[i].m.bases));
    for (int twice = 0; twice < 2; twice++) { /* it counts anew */
        static const unsigned by[] = {3, 2, 1, 0, 0};
        ruler_count(&list);
        for (size_t i = 0; i < list.n; i++)
            assert_int_equal(v[i].needed_by, by[i]);
    }
}

static void a_chain_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct bases bases = {0};
    struct base one = {.frequency = FREQUENCY_HOURLY};
    char name[230];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    int n = 0;
    while (bases_add(&bases, &one, name))
        n++;
    assert_int_equal(n, BASES_NAMES / (int)sizeof name);
    bases = (struct bases){0};
    for (n = 0; bases_add(&bases, &one, "short"); n++)
        assert_string_equal(base_data(&bases, (unsigned)n), "short");
    assert_int_equal(n, BASES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_slot_hangs_on_the_one_with_its_lowest_bit_cleared),
        cmocka_unit_test(a_chain_needs_seven_others_at_most_and_an_hour_only_hours),
        cmocka_unit_test(what_hangs_on_what),
        cmocka_unit_test(names_tell_which_backups_a_delta_may_need),
        cmocka_unit_test(what_others_are_made_of_is_counted_once_for_each_of_them),
        cmocka_unit_test(a_chain_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
