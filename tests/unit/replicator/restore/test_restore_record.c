/* What a later restore at boot makes of the records of earlier ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/files.h"
#include "replicator/restore/record.h"

static char dir[] = "/tmp/boot-record-XXXXXX";

static int make(void **st)
{
    (void)st;
    return mkdtemp(dir) ? 0 : -1;
}

static int drop(void **st)
{
    (void)st;
    return files_remove_dir(dir, NULL);
}

static void a_time_is_obeyed_once_and_latest_always(void **st)
{
    struct restore_past v[] = {{.when = 100, .at = 50, .setting = "2026-11-24"},
                               {.when = 200, .setting = "latest"},
                               {.when = 300, .setting = "2h"}};
    struct restore_history h = {.v = v, .n = 3};
    (void)st;
    assert_true(restore_history_obeyed(&h, "2026-11-24"));
    assert_true(restore_history_obeyed(&h, "2h")); /* recorded again after the first record was pruned */
    assert_false(restore_history_obeyed(&h, "2026-11-25"));
    assert_false(restore_history_obeyed(&h, "latest"));
    h.unreadable = 1; /* it may be of any: going back a second time would lose more than not going back */
    assert_true(restore_history_obeyed(&h, "2026-11-25"));
    assert_false(restore_history_obeyed(&h, "latest"));
}

static void what_a_restore_to_a_time_threw_away_stays_away_unless_a_time_is_asked_for(void **st)
{
    struct restore_past v[] = {{.when = 1000, .at = 500, .own = true, .setting = "t"}};
    struct restore_history h = {.v = v, .n = 1};
    static const struct {
        time_t taken;
        bool allowed;
    } table[] = {{499, true}, {500, true}, {501, false}, {999, false}, {1000, true}, {1001, true}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(restore_history_forbids(&h, true, table[i].taken, false) == NULL, table[i].allowed);
        assert_null(restore_history_forbids(&h, true, table[i].taken, true));
    }
}

/* 1000: this Region's node took over from the replica. 2000: the other one took back. */
static void after_a_failover_the_past_that_was_left_does_not_win_by_being_newer(void **st)
{
    struct restore_past v[] = {
        {.when = 500, .own = false, .setting = "latest"}, /* an ordinary one of the other Region */
        {.when = 1000, .crossed = true, .own = true, .setting = "latest"},
        {.when = 1500, .own = false, .setting = "latest"}, /* it came back by itself */
        {.when = 2000, .crossed = true, .own = false, .setting = "latest"}};
    static const struct {
        size_t n;
        bool own;
        time_t taken;
        bool allowed;
    } table[] = {
        {0, true, 100, true},    {0, false, 100, true}, /* no record, no rule */
        {2, false, 999, true},   {2, true, 999, true},  /* before it: both */
        {2, false, 1001, false}, {2, true, 1001, true}, /* after it: ours alone */
        {3, false, 1600, false},                        /* though it came back by itself */
        {4, false, 1999, false}, {4, false, 2001, true},
        {4, true, 2001, false},  {4, true, 1999, true}, /* failed back */
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct restore_history h = {.v = v, .n = table[i].n};
        if ((restore_history_forbids(&h, table[i].own, table[i].taken, false) == NULL) != table[i].allowed)
            fail_msg("row %zu", i);
    }
}

static void what_is_recorded_is_read_again_and_what_is_garbled_is_left_out(void **st)
{
    cleanup_marker struct marker m = {.state = MARKER_DONE, .setting = "2026-11-24", .at = 1764000000};
    struct restore_history h = {0};
    struct err e = {0};
    char path[200];
    (void)st;
    assert_true(marker_add(&m, "größe 🎉"));
    m.v[0].state = PART_STAGED;
    assert_true(marker_set(&m.v[0].from, "/replica/prod-x"));
    assert_int_equal(restore_record_add(dir, "node/1", &m, 1764010000, &e), 0);
    m.at = 0;
    (void)strcpy(m.setting, "latest");
    assert_true(marker_set(&m.v[0].from, dir));
    assert_int_equal(restore_record_add(dir, "node/1", &m, 1764020000, &e), 0);
    assert_int_equal(restore_record_add(dir, "", &m, 1764030000, &e), 0);
    (void)snprintf(path, sizeof path, "%s/restores/node%%2F1", dir);
    assert_int_equal(files_put(path, "2025-11-25T00-00-00Z.json", "{\"format\":1", &e), 0);
    assert_int_equal(restore_history_read(&h, dir, true, "node/1", &e), 0);
    assert_true(h.n == 2 && h.unreadable == 1);
    assert_true(h.v[0].when == 1764010000 && h.v[0].at == 1764000000 && h.v[0].crossed && h.v[0].own);
    assert_string_equal(h.v[0].setting, "2026-11-24");
    assert_true(h.v[1].when == 1764020000 && h.v[1].at == 0 && !h.v[1].crossed);
    restore_history_free(&h);
    assert_int_equal(restore_history_read(&h, dir, false, "", &e), 0);
    assert_true(h.n == 1 && !h.v[0].own);
    restore_history_free(&h);
    assert_int_equal(restore_history_read(&h, dir, false, "another", &e), 0);
    assert_int_equal(h.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_obeyed_once_and_latest_always),
        cmocka_unit_test(what_a_restore_to_a_time_threw_away_stays_away_unless_a_time_is_asked_for),
        cmocka_unit_test(after_a_failover_the_past_that_was_left_does_not_win_by_being_newer),
        cmocka_unit_test(what_is_recorded_is_read_again_and_what_is_garbled_is_left_out),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
