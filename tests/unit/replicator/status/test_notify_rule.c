/* When NOTIFY_URL is told, and what; and the address for a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "replicator/core/notify_url.h"
#include "replicator/status/notify_rule.h"

enum { T = 1000000, SLOT = 900 };

/* Steps in time, each after the one before. */
struct step {
    struct notify_seen seen;
    enum notify_what wanted;
};

static void walk(const struct step *steps, size_t n)
{
    struct notify_told told = {0};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(notify_rule(&steps[i].seen, &told), steps[i].wanted);
}
#define WALK(...)                                                                                            \
    do {                                                                                                     \
        static const struct step steps[] = {__VA_ARGS__};                                                    \
        walk(steps, sizeof steps / sizeof *steps);                                                           \
    } while (0)

static void a_good_run_is_told_once_when_nothing_of_it_waits(void **state)
{
    (void)state;
    WALK({{.now = T, .interval = SLOT}, NOTIFY_NOTHING},
         {{.now = T + 10, .interval = SLOT, .running = true}, NOTIFY_NOTHING},
         {{.now = T + 20, .interval = SLOT, .slot = T, .ended = T + 19, .waiting = 2}, NOTIFY_NOTHING},
         {{.now = T + 30, .interval = SLOT, .slot = T, .ended = T + 19, .waiting = 1}, NOTIFY_NOTHING},
         {{.now = T + 32, .interval = SLOT, .slot = T, .ended = T + 19}, NOTIFY_GOOD},
         {{.now = T + 34, .interval = SLOT, .slot = T, .ended = T + 19}, NOTIFY_NOTHING},
         {{.now = T + 910, .interval = SLOT, .slot = T + SLOT, .ended = T + 909},
          NOTIFY_NOTHING}, /* settles */
         {{.now = T + 915, .interval = SLOT, .slot = T + SLOT, .ended = T + 909}, NOTIFY_GOOD});
}

static void a_run_that_made_less_or_while_it_fails_is_none(void **state)
{
    (void)state;
    WALK(
        {{.now = T, .interval = SLOT, .slot = T, .ended = T - 9, .not_made = 1}, NOTIFY_BAD},
        {{.now = T + 2, .interval = SLOT, .slot = T, .ended = T - 9, .not_made = 1}, NOTIFY_NOTHING},
        {{.now = T + 900, .interval = SLOT, .slot = T + SLOT, .ended = T + 890, .failing = true}, NOTIFY_BAD},
        {{.now = T + 990, .interval = SLOT, .slot = T + SLOT, .ended = T + 890, .failing = true},
         NOTIFY_NOTHING},
        {{.now = T + 1800, .interval = SLOT, .slot = T + 1800, .ended = T + 1790}, NOTIFY_GOOD});
}

static void a_failure_is_told_when_it_lasts_and_once(void **state)
{
    (void)state;
    WALK({{.now = T, .interval = SLOT, .failing = true}, NOTIFY_NOTHING},
         {{.now = T + 59, .interval = SLOT, .failing = true}, NOTIFY_NOTHING},
         {{.now = T + 60, .interval = SLOT, .failing = true}, NOTIFY_BAD},
         {{.now = T + 5000, .interval = SLOT, .failing = true}, NOTIFY_NOTHING},
         {{.now = T + 5002, .interval = SLOT}, NOTIFY_GOOD},                     /* no run for so long */
         {{.now = T + 5004, .interval = SLOT, .failing = true}, NOTIFY_NOTHING}, /* anew */
         {{.now = T + 5064, .interval = SLOT, .failing = true}, NOTIFY_BAD});
    /* As everything starts. */
    WALK({{.now = T, .failing = true}, NOTIFY_NOTHING}, {{.now = T + 40}, NOTIFY_NOTHING},
         {{.now = T + 100, .failing = true}, NOTIFY_NOTHING});
}

static void where_there_are_no_runs_that_nothing_fails_is_told(void **state)
{
    (void)state;
    WALK({{.now = T}, NOTIFY_NOTHING}, {{.now = T + 959}, NOTIFY_NOTHING}, {{.now = T + 960}, NOTIFY_GOOD},
         {{.now = T + 962}, NOTIFY_NOTHING}, {{.now = T + 1920, .waiting = 1}, NOTIFY_NOTHING},
         {{.now = T + 1922, .failing = true}, NOTIFY_NOTHING}, {{.now = T + 1924}, NOTIFY_GOOD});
    /* No collection yet: no run. */
    WALK({{.now = T, .interval = 3600}, NOTIFY_NOTHING},
         {{.now = T + 3600, .interval = 3600}, NOTIFY_NOTHING},
         {{.now = T + 3660, .interval = 3600}, NOTIFY_GOOD});
    /* Qdrant is held back, or a run goes on. */
    WALK({{.now = T, .restore_pending = true}, NOTIFY_NOTHING},
         {{.now = T + 9000, .restore_pending = true}, NOTIFY_NOTHING},
         {{.now = T + 9002, .running = true}, NOTIFY_NOTHING}, {{.now = T + 9004}, NOTIFY_GOOD});
}

static void addresses(void **state)
{
    static const struct {
        const char *url, *fail, *host; /* fail NULL: it is none */
    } rows[] = {
        {"https://hc-ping.com/5d3c", "https://hc-ping.com/5d3c/fail", "hc-ping.com"},
        {"https://hc-ping.com/5d3c/", "https://hc-ping.com/5d3c/fail", "hc-ping.com"},
        {"http://127.0.0.1:8000/a/b?create=1", "http://127.0.0.1:8000/a/b/fail?create=1", "127.0.0.1"},
        {"https://example.com", "https://example.com/fail", "example.com"},
        {"ftp://example.com/x", NULL, NULL},
        {"file:///etc/passwd", NULL, NULL},
        {"hc-ping.com/5d3c", NULL, NULL},
        {"https://example.com/a b", NULL, NULL},
        {"https:///x\n", NULL, NULL},
        {"", NULL, NULL},
    };
    char out[NOTIFY_URL_MAX], longest[NOTIFY_URL_MAX + 20] = "https://example.com/";
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(notify_url_fits(rows[i].url), rows[i].fail != NULL);
        assert_int_equal(notify_url_fail(rows[i].url, out), rows[i].fail != NULL);
        if (!rows[i].fail)
            continue;
        assert_string_equal(out, rows[i].fail);
        notify_url_host(rows[i].url, out, sizeof out);
        assert_string_equal(out, rows[i].host);
    }
    memset(longest + 20, 'x', sizeof longest - 21);
    assert_false(notify_url_fits(longest));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_run_is_told_once_when_nothing_of_it_waits),
        cmocka_unit_test(a_run_that_made_less_or_while_it_fails_is_none),
        cmocka_unit_test(a_failure_is_told_when_it_lasts_and_once),
        cmocka_unit_test(where_there_are_no_runs_that_nothing_fails_is_told),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
