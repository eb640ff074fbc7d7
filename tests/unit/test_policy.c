/* The supervisor's decisions: waits of the replicator, the steps of a stop, the recovery run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "entrypoint/policy.h"

enum { NOW = 1000000, GRACE = 25000 };

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

static void other_signals_are_passed_on_and_start_nothing(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    assert_int_equal(stop_on_signal(&s, SIGHUP, NOW), TODO_PASS_ON);
    assert_int_equal(stop_on_signal(&s, SIGUSR1, NOW), TODO_PASS_ON);
    assert_int_equal(stop_on_signal(&s, SIGUSR2, NOW), TODO_PASS_ON);
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
        assert_int_equal(s.at, NOW + GRACE - LAST_CALL_MS);
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
        assert_int_equal(s.at, NOW + GRACE - LAST_CALL_MS);
    }
}

static void the_budget_ends_in_kill_and_then_in_leaving(void **st)
{
    struct stop s = {.grace_ms = GRACE};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - LAST_CALL_MS - 1), 0);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - LAST_CALL_MS), TODO_LAST_CALL);
    assert_int_equal(stop_on_time(&s, NOW + GRACE - 1), 0);
    assert_int_equal(stop_on_time(&s, NOW + GRACE), TODO_KILL_QDRANT | TODO_KILL_REPLICATOR);
    assert_int_equal(stop_on_time(&s, NOW + GRACE), 0);
    assert_int_equal(stop_on_replicator_end(&s), 0);
    struct stop hangs = s;
    assert_int_equal(stop_on_qdrant_end(&s, true, NOW + GRACE + 1), TODO_LEAVE);
    assert_int_equal(stop_on_time(&hangs, NOW + GRACE + LAST_WORDS_MS - 1), 0);
    assert_int_equal(stop_on_time(&hangs, NOW + GRACE + LAST_WORDS_MS), TODO_LEAVE);
}

static void a_short_budget_has_no_last_call(void **st)
{
    struct stop s = {.grace_ms = 2 * LAST_CALL_MS - 1};
    (void)st;
    (void)stop_on_signal(&s, SIGTERM, NOW);
    assert_int_equal(stop_on_time(&s, NOW + s.grace_ms - 1), 0);
    assert_int_equal(stop_on_time(&s, NOW + 2 * LAST_CALL_MS - 1), TODO_KILL_QDRANT | TODO_KILL_REPLICATOR);
}

static void with_qdrant_gone_the_replicator_gets_two_seconds_but_never_beyond_the_budget(void **st)
{
    static const struct {
        int64_t ended, kill_at;
    } table[] = {{1000, 3000}, {GRACE - 2000, GRACE}, {GRACE - 500, GRACE}, {GRACE - 1, GRACE}};
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

static void a_qdrant_that_ends_by_itself_takes_the_replicator_along_in_two_seconds(void **st)
{
    struct stop s = {.grace_ms = 1000};
    (void)st;
    assert_int_equal(stop_on_qdrant_end(&s, true, NOW), TODO_TERM_REPLICATOR);
    assert_int_equal(s.at, NOW + LAST_WORDS_MS);
    assert_int_equal(stop_on_signal(&s, SIGTERM, NOW + 10), 0);
    assert_int_equal(s.at, NOW + LAST_WORDS_MS);
    assert_int_equal(stop_on_replicator_end(&s), TODO_LEAVE);
    assert_int_equal(stop_on_time(&s, NOW + 10 * LAST_WORDS_MS), 0);
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

static void a_first_137_gets_one_recovery_run_and_nothing_else_does(void **st)
{
    (void)st;
    for (int code = 0; code < 256; code++)
        for (int bits = 0; bits < 8; bits++) {
            struct recovery r = {.allowed = bits & 1, .used = bits & 2, .stop_asked = bits & 4};
            assert_int_equal(recovery_wanted(&r, code), code == 137 && bits == 1);
        }
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
        cmocka_unit_test(other_signals_are_passed_on_and_start_nothing),
        cmocka_unit_test(the_first_stop_signal_tells_both_and_starts_the_budget),
        cmocka_unit_test(a_second_signal_does_nothing_and_moves_no_deadline),
        cmocka_unit_test(the_budget_ends_in_kill_and_then_in_leaving),
        cmocka_unit_test(a_short_budget_has_no_last_call),
        cmocka_unit_test(with_qdrant_gone_the_replicator_gets_two_seconds_but_never_beyond_the_budget),
        cmocka_unit_test(a_qdrant_that_ends_by_itself_takes_the_replicator_along_in_two_seconds),
        cmocka_unit_test(nothing_is_waited_for_once_nobody_runs),
        cmocka_unit_test(a_replicator_that_ends_while_all_is_well_changes_no_stop),
        cmocka_unit_test(a_first_137_gets_one_recovery_run_and_nothing_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
