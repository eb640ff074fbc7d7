/* The supervisor's decisions: waits of the replicator, the steps of a stop, the recovery run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "entrypoint/supervise_policy.h"

enum { NOW = 1000000, GRACE = 25000, LAST = GRACE - KILLING_MS };

static void waits_double_from_one_second_and_stay_within_sixty(void **st)
{
    static const int64_t shortest[] = {1000, 2000, 4000, 8000, 16000, 32000, 48000, 48000, 48000};
    static const int64_t longest[] = {1250, 2500, 5000, 10000, 20000, 40000, 60000, 60000, 60000};
    struct backoff low = {0}, high = {0};
    (void)st;
    for (size_t i = 0; i < sizeof shortest / sizeof *shortest; i++) {
        uint32_t most = (uint32_t)(shortest[i] / 4);
        assert_int_equal(backoff_wait(&low, 0, 0), shortest[i]);
        assert_int_equal(backoff_wait(&high, 0, most), longest[i]);
    }
}

static void no_random_number_leads_out_of_the_window(void **st)
{
    (void)st;
    for (uint64_t n = 0; n <= UINT32_MAX; n += 7919) {
        struct backoff first = {0}, late = {.failures = 6};
        int64_t wait = backoff_wait(&first, 0, (uint32_t)n);
        assert_true(wait >= 1000 && wait <= 1250);
        wait = backoff_wait(&late, 0, (uint32_t)n);
        assert_true(wait >= 48000 && wait <= 60000);
    }
}

static void jitter_tells_the_tasks_of_a_service_apart_at_every_step(void **st)
{
    (void)st;
    for (unsigned failures = 0; failures < 10; failures++) {
        struct backoff a = {failures}, b = {failures};
        assert_int_not_equal(backoff_wait(&a, 0, 17), backoff_wait(&b, 0, 200));
    }
}

static void years_of_failures_do_not_wrap_around_to_a_short_wait(void **st)
{
    struct backoff b = {0};
    (void)st;
    for (int i = 0; i < 1000000; i++)
        (void)backoff_wait(&b, 0, 0);
    assert_int_equal(backoff_wait(&b, 0, 0), 48000);
    b.failures = UINT32_MAX;
    assert_int_equal(backoff_wait(&b, 0, 0), 48000);
}

static void five_stable_minutes_make_the_next_wait_a_first_one(void **st)
{
    struct backoff b = {0};
    (void)st;
    for (int i = 0; i < 6; i++)
        (void)backoff_wait(&b, 0, 0);
    assert_int_equal(backoff_wait(&b, STABLE_MS - 1, 0), 48000);
    assert_int_equal(backoff_wait(&b, STABLE_MS, 0), 1000);
    assert_int_equal(backoff_wait(&b, 0, 0), 2000);
}

static void only_term_int_and_quit_ask_for_a_stop(void **st)
{
    (void)st;
    for (int sig = 1; sig < 65; sig++)
        assert_int_equal(stop_signal(sig), sig == SIGTERM || sig == SIGINT || sig == SIGQUIT);
}

static void signals_for_which_qdrant_has_no_handler_are_not_passed_on_and_start_nothing(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    assert_int_equal(stop_on_signal(&s, SIGHUP, NOW), 0);
    assert_int_equal(stop_on_signal(&s, SIGUSR1, NOW), 0);
    assert_int_equal(stop_on_signal(&s, SIGUSR2, NOW), 0);
    assert_int_equal(stop_on_time(&s, NOW + 1000 * GRACE), 0);
    assert_int_equal(s.phase, STOP_NONE);
}

static void the_first_stop_signal_tells_both_and_starts_the_budget(void **st)
{
    static const int sigs[] = {SIGTERM, SIGINT, SIGQUIT};
    (void)st;
    for (size_t i = 0; i < 3; i++) {
        struct stop s = {.grace_ms = GRACE};
        assert_int_equal(stop_on_signal(&s, sigs[i], NOW), TODO_PASS_ON | TODO_TERM_REPLICATOR);
        assert_int_equal(s.at, NOW + GRACE - SECOND_TERM_MS);
    }
}

static void a_second_signal_does_nothing_and_moves_no_deadline(void **st)
{
    static const int sigs[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
        assert_int_equal(stop_on_signal(&s, sigs[i], NOW + 5000), 0);
        assert_int_equal(s.at, NOW + GRACE - SECOND_TERM_MS);
    }
}

static void the_budget_ends_in_kill_and_then_in_leaving(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - SECOND_TERM_MS - 1), 0);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - SECOND_TERM_MS), TODO_SECOND_TERM);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - 1), 0);
    assert_int_equal(stop_on_time(&s, NOW + GRACE), TODO_KILL_QDRANT | TODO_KILL_REPLICATOR);
    assert_int_equal(stop_on_time(&s, NOW + GRACE), 0);
    assert_int_equal(stop_on_replicator_end(&s), 0);
    struct stop hangs = s;
    assert_int_equal(stop_on_qdrant_end(&s, true, NOW + GRACE + 1), TODO_LEAVE);
    assert_int_equal(stop_on_time(&hangs, NOW + GRACE + REPLICATOR_GRACE_MS - 1), 0);
    assert_int_equal(stop_on_time(&hangs, NOW + GRACE + REPLICATOR_GRACE_MS), TODO_LEAVE);
}

static void a_short_budget_has_no_last_call(void **st)
{
    struct stop s = {.grace_ms = 2 * SECOND_TERM_MS - 1};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    assert_int_equal(stop_on_time(&s, NOW + s.grace_ms - 1), 0);
    assert_int_equal(stop_on_time(&s, NOW + 2 * SECOND_TERM_MS - 1), TODO_KILL_QDRANT | TODO_KILL_REPLICATOR);
}

static void with_qdrant_gone_the_replicator_gets_two_seconds_but_never_beyond_the_budget(void **st)
{
    static const struct {
        int64_t ended, kill_at;
    } table[] = {{1000, 3000}, {GRACE - 2000, LAST}, {GRACE - 500, LAST}, {GRACE - 1, LAST}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stop s = {.grace_ms = GRACE};
        (void)stop_on_signal(&s, SIGTERM, NOW);
        assert_int_equal(stop_on_qdrant_end(&s, true, NOW + table[i].ended), 0); /* it was told already */
        assert_int_equal(s.at, NOW + table[i].kill_at);
        assert_int_equal(stop_on_time(&s, s.at - 1), 0);
        assert_int_equal(stop_on_time(&s, s.at), TODO_KILL_REPLICATOR | TODO_LEAVE);
        assert_int_equal(stop_on_time(&s, s.at + 1), 0);
    }
}

static void a_replicator_that_publishes_gets_what_is_left_of_the_budget_and_never_more(void **st)
{
    static const struct {
        int64_t said, qdrant_ended, kill_at;
    } table[] = {{10, 400, LAST},          {400, 10, LAST}, {2009, 10, LAST},
                 {10, GRACE - 1000, LAST}, {-1, 400, 2400}, {-1, GRACE - 1000, LAST}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stop s = {.grace_ms = GRACE};
        (void)stop_on_signal(&s, SIGTERM, NOW);
        if (table[i].said >= 0 && table[i].said < table[i].qdrant_ended)
            stop_on_publishing(&s);
        assert_int_equal(stop_on_qdrant_end(&s, true, NOW + table[i].qdrant_ended), 0);
        if (table[i].said > table[i].qdrant_ended)
            stop_on_publishing(&s);
        assert_int_equal(s.at, NOW + table[i].kill_at);
        assert_int_equal(stop_on_time(&s, s.at - 1), 0);
        assert_int_equal(stop_on_time(&s, s.at), TODO_KILL_REPLICATOR | TODO_LEAVE);
    }
}

static void publishing_delays_no_step_of_qdrants_own_stop(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    stop_on_publishing(&s);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - SECOND_TERM_MS), TODO_SECOND_TERM);
    assert_int_equal(stop_on_time(&s, NOW + GRACE), TODO_KILL_QDRANT | TODO_KILL_REPLICATOR);
}

static void a_replicator_that_publishes_and_ends_is_waited_for_no_longer(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    stop_on_publishing(&s);
    (void)stop_on_qdrant_end(&s, true, NOW + 100);
    assert_int_equal(stop_on_replicator_end(&s), TODO_LEAVE);
}

static void a_qdrant_that_goes_while_its_snapshots_are_made_leaves_the_replicator_the_budget(void **st)
{
    struct stop s = {.grace_ms = GRACE, .hold_ms = 10000};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    (void)stop_on_snapshots(&s, false);
    (void)stop_on_qdrant_end(&s, true, NOW + 1000);
    assert_int_equal(s.at, NOW + LAST);
    assert_int_equal(stop_on_replicator_end(&s), TODO_LEAVE);
}

static void after_an_end_of_qdrants_own_the_budget_begins_there(void **st)
{
    struct stop s = {.grace_ms = GRACE}, tiny = {.grace_ms = 1000};
    (void)st;
    (void)stop_on_qdrant_end(&s, true, NOW);
    stop_on_publishing(&s);
    assert_int_equal(s.at, NOW + LAST);
    (void)stop_on_qdrant_end(&tiny, true, NOW);
    stop_on_publishing(&tiny);
    assert_int_equal(tiny.at, NOW + REPLICATOR_GRACE_MS - KILLING_MS);
}

static void the_word_of_a_replicator_counts_for_nothing_before_a_stop(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    stop_on_publishing(&s);
    (void)stop_on_signal(&s, SIGTERM, NOW);
    (void)stop_on_qdrant_end(&s, true, NOW + 100);
    assert_int_equal(s.at, NOW + 100 + REPLICATOR_GRACE_MS);
}

static void a_qdrant_that_ends_by_itself_takes_the_replicator_along_in_two_seconds(void **st)
{
    struct stop s = {.grace_ms = 1000};
    (void)st;
    assert_int_equal(stop_on_qdrant_end(&s, true, NOW), TODO_TERM_REPLICATOR);
    assert_int_equal(s.at, NOW + REPLICATOR_GRACE_MS - KILLING_MS);
    assert_int_equal(stop_on_signal(&s, SIGTERM, NOW + 10), 0);
    assert_int_equal(s.at, NOW + REPLICATOR_GRACE_MS - KILLING_MS);
    assert_int_equal(stop_on_replicator_end(&s), TODO_LEAVE);
    assert_int_equal(stop_on_time(&s, NOW + 10 * REPLICATOR_GRACE_MS), 0);
}

static void nothing_is_waited_for_once_nobody_runs(void **st)
{
    struct stop alone = {.grace_ms = GRACE}, stopped = {.grace_ms = GRACE};
    (void)st;
    assert_int_equal(stop_on_qdrant_end(&alone, false, NOW), TODO_LEAVE);
    (void)stop_on_signal(&stopped, SIGTERM, NOW);
    assert_int_equal(stop_on_replicator_end(&stopped), 0); /* Qdrant still flushes */
    assert_int_equal(stop_on_qdrant_end(&stopped, false, NOW), TODO_LEAVE);
}

static void a_replicator_that_ends_while_all_is_well_changes_no_stop(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    assert_int_equal(stop_on_replicator_end(&s), 0);
    assert_int_equal(s.phase, STOP_NONE);
}

/* --- SNAPSHOT_ON_STOP: Qdrant is held back while its last snapshots are made */

static void qdrants_own_stop_comes_first_in_the_budget(void **st)
{
    static const struct {
        int64_t grace, restore_pending;
    } table[] = {{0, 0},         {1000, 0},      {9999, 0},      {10000, 4000},  {25000, 10000},
                 {50000, 20000}, {52000, 21000}, {60000, 29000}, {120000, 89000}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(stop_hold(table[i].grace), table[i].restore_pending);
}

enum { HOLD = 10000 };

static struct stop held_stop(void)
{
    struct stop s = {.grace_ms = GRACE, .hold_ms = HOLD};
    assert_int_equal(stop_on_signal(&s, SIGTERM, NOW), TODO_TERM_REPLICATOR);
    assert_int_equal(s.phase, STOP_HELD);
    assert_int_equal(s.end, NOW + GRACE);
    return s;
}

/* However it is let go, the rest of the stop is as ever, and ends when it would have. */
static void is_let_go(struct stop *s, unsigned todo)
{
    assert_int_equal(todo, TODO_PASS_ON);
    assert_int_equal(s->sig, SIGTERM);
    assert_int_equal(s->phase, STOP_ASKED);
    assert_int_equal(s->at, NOW + GRACE - SECOND_TERM_MS);
    assert_int_equal(s->end, NOW + GRACE);
    assert_int_equal(stop_on_snapshots(s, true), 0);
    assert_int_equal(stop_on_signal(s, SIGTERM, NOW + 11000), 0);
    assert_int_equal(stop_on_time(s, NOW + GRACE - SECOND_TERM_MS), TODO_SECOND_TERM);
    assert_int_equal(stop_on_time(s, NOW + GRACE), TODO_KILL_QDRANT | TODO_KILL_REPLICATOR);
}

static void qdrant_is_told_when_its_snapshots_are_made_or_the_time_for_them_is_over(void **st)
{
    struct stop nothing = held_stop(), made = nothing, late = nothing, hangs = nothing, gone = nothing,
                hurry = nothing;
    (void)st;
    is_let_go(&nothing, stop_on_snapshots(&nothing, true));
    assert_int_equal(stop_on_snapshots(&made, false), 0);
    assert_int_equal(stop_on_time(&made, NOW + HOLD - 1), 0);
    is_let_go(&made, stop_on_snapshots(&made, true));
    assert_int_equal(stop_on_snapshots(&late, false), 0);
    is_let_go(&late, stop_on_time(&late, NOW + HOLD));
    assert_int_equal(stop_on_time(&hangs, NOW + HOLD_ANSWER_MS - 1), 0);
    is_let_go(&hangs, stop_on_time(&hangs, NOW + HOLD_ANSWER_MS));
    is_let_go(&gone, stop_on_replicator_end(&gone));
    assert_int_equal(stop_on_signal(&hurry, SIGHUP, NOW + 10), 0);
    is_let_go(&hurry, stop_on_signal(&hurry, SIGINT, NOW + 10));
}

static void a_qdrant_that_ends_while_it_is_held_back_is_waited_for_no_longer(void **st)
{
    struct stop s = held_stop(), alone = s;
    (void)st;
    assert_int_equal(stop_on_qdrant_end(&s, true, NOW + 100), 0);
    assert_int_equal(s.phase, STOP_REPLICATOR_GRACE);
    assert_int_equal(s.at, NOW + 100 + REPLICATOR_GRACE_MS);
    assert_int_equal(stop_on_qdrant_end(&alone, false, NOW + 100), TODO_LEAVE);
}

static void the_last_snapshots_are_owed_until_the_replicator_says_that_they_are_made(void **st)
{
    struct stop s = held_stop(), told = {.grace_ms = GRACE};
    (void)st;
    assert_true(s.owed);
    assert_int_equal(stop_on_snapshots(&s, false), 0);
    assert_true(s.owed);
    assert_int_equal(stop_on_time(&s, NOW + HOLD), TODO_PASS_ON);
    assert_true(s.owed);
    assert_int_equal(stop_on_snapshots(&s, true), 0); /* too late for Qdrant, and it has said why */
    assert_false(s.owed);
    assert_int_equal(stop_on_signal(&told, SIGTERM, NOW), TODO_PASS_ON | TODO_TERM_REPLICATOR);
    assert_false(told.owed);
}

static void words_of_snapshots_count_for_nothing_at_another_time(void **st)
{
    struct stop none = {.grace_ms = GRACE}, told = {.grace_ms = GRACE};
    (void)st;
    assert_int_equal(stop_on_snapshots(&none, true), 0);
    assert_int_equal(none.phase, STOP_NONE);
    assert_int_equal(stop_on_signal(&told, SIGTERM, NOW), TODO_PASS_ON | TODO_TERM_REPLICATOR);
    assert_int_equal(stop_on_snapshots(&told, false), 0);
    assert_int_equal(told.at, NOW + GRACE - SECOND_TERM_MS);
}

static void a_first_137_gets_one_recovery_run_and_nothing_else_does(void **st)
{
    (void)st;
    for (int code = 0; code < 256; code++)
        for (int bits = 0; bits < 8; bits++) {
            struct recovery r = {.allowed = bits & 1, .used = bits & 2, .stop_asked = bits & 4};
            assert_int_equal(recovery_wanted(&r, code), code == 137 && bits == 1);
        }
}

static void qdrant_is_held_back_only_where_an_empty_disk_is_to_be_restored_and_can_be(void **st)
{
    (void)st;
    for (int bits = 0; bits < 16; bits++) {
        struct gate_facts f = {
            .restore = bits & 1, .empty = bits & 2, .efs = bits & 4, .clustered = bits & 8};
        enum gate is = GATE_OPEN;
        if (f.restore && f.empty)
            is = !f.efs ? GATE_NO_EFS : f.clustered ? GATE_NO_CLUSTER : GATE_CLOSED;
        assert_int_equal(gate_decide(&f), is);
    }
}

static void a_place_that_was_not_taken_is_looked_for_again(void **state)
{
    (void)state;
    assert_true(place_wanted_again(false, EXIT_PANIC, 0, 0));
    assert_true(place_wanted_again(false, EXIT_PANIC, PLACE_TAKEN_MS - 1, PLACE_TRIES - 1));
    assert_false(place_wanted_again(true, EXIT_PANIC, 0, 0));
    assert_false(place_wanted_again(false, 1, 0, 0));
    assert_false(place_wanted_again(false, EXIT_OOM, 0, 0));
    assert_false(place_wanted_again(false, EXIT_PANIC, PLACE_TAKEN_MS, 0));
    assert_false(place_wanted_again(false, EXIT_PANIC, 0, PLACE_TRIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_from_one_second_and_stay_within_sixty),
        cmocka_unit_test(no_random_number_leads_out_of_the_window),
        cmocka_unit_test(jitter_tells_the_tasks_of_a_service_apart_at_every_step),
        cmocka_unit_test(years_of_failures_do_not_wrap_around_to_a_short_wait),
        cmocka_unit_test(five_stable_minutes_make_the_next_wait_a_first_one),
        cmocka_unit_test(only_term_int_and_quit_ask_for_a_stop),
        cmocka_unit_test(signals_for_which_qdrant_has_no_handler_are_not_passed_on_and_start_nothing),
        cmocka_unit_test(the_first_stop_signal_tells_both_and_starts_the_budget),
        cmocka_unit_test(a_second_signal_does_nothing_and_moves_no_deadline),
        cmocka_unit_test(the_budget_ends_in_kill_and_then_in_leaving),
        cmocka_unit_test(a_short_budget_has_no_last_call),
        cmocka_unit_test(with_qdrant_gone_the_replicator_gets_two_seconds_but_never_beyond_the_budget),
        cmocka_unit_test(a_qdrant_that_ends_by_itself_takes_the_replicator_along_in_two_seconds),
        cmocka_unit_test(a_replicator_that_publishes_gets_what_is_left_of_the_budget_and_never_more),
        cmocka_unit_test(publishing_delays_no_step_of_qdrants_own_stop),
        cmocka_unit_test(a_replicator_that_publishes_and_ends_is_waited_for_no_longer),
        cmocka_unit_test(a_qdrant_that_goes_while_its_snapshots_are_made_leaves_the_replicator_the_budget),
        cmocka_unit_test(after_an_end_of_qdrants_own_the_budget_begins_there),
        cmocka_unit_test(the_word_of_a_replicator_counts_for_nothing_before_a_stop),
        cmocka_unit_test(nothing_is_waited_for_once_nobody_runs),
        cmocka_unit_test(a_replicator_that_ends_while_all_is_well_changes_no_stop),
        cmocka_unit_test(qdrants_own_stop_comes_first_in_the_budget),
        cmocka_unit_test(qdrant_is_told_when_its_snapshots_are_made_or_the_time_for_them_is_over),
        cmocka_unit_test(a_qdrant_that_ends_while_it_is_held_back_is_waited_for_no_longer),
        cmocka_unit_test(the_last_snapshots_are_owed_until_the_replicator_says_that_they_are_made),
        cmocka_unit_test(words_of_snapshots_count_for_nothing_at_another_time),
        cmocka_unit_test(qdrant_is_held_back_only_where_an_empty_disk_is_to_be_restored_and_can_be),
        cmocka_unit_test(a_place_that_was_not_taken_is_looked_for_again),
        cmocka_unit_test(a_first_137_gets_one_recovery_run_and_nothing_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
