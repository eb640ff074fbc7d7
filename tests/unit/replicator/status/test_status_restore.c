/* What is told of a restore at boot: /restored, the document, health. */
#include "tests/unit/replicator/status/status_kit.h"

static bool is_pending(const char *state, double done, double total)
{
    bool pending;
    cJSON *o = status_restored(l, NOW, &pending);
    assert_non_null(o);
    assert_string_equal(text(o, "state"), state);
    assert_true(number(o, "done") == done && number(o, "total") == total);
    assert_true(cJSON_IsString(at(o, "reason")));
    cJSON_Delete(o);
    return pending;
}

static void nothing_is_pending_where_no_restore_is_asked_for(void **st)
{
    (void)st;
    assert_false(is_pending("never", 0, 0));
    assert_null(strstr(reasons(NOW), "restor"));
    cJSON *status = document(NOW);
    assert_true(cJSON_IsNull(at(status, "restore")));
    cJSON_Delete(status);
}

static void it_is_pending_and_unhealthy_until_it_is_done_or_not_needed(void **st)
{
    (void)st;
    want("docs", NOW);
    publish("docs", FREQUENCY_15MIN, NOW, 1000);
    status_restore(l, STATUS_RESTORE_WAITING, "EFS is not there", 0, 0, NOW);
    assert_true(is_pending("waiting", 0, 0));
    assert_string_equal(reasons(NOW), "restoring:failing:");
    status_restore(l, STATUS_RESTORING, "restoring docs", 1, 3, NOW);
    assert_true(is_pending("restoring", 1, 3));
    assert_string_equal(reasons(NOW), "restoring:failing:");
    status_restore(l, STATUS_RESTORE_FAILED, "no good backup", 2, 3, NOW);
    assert_true(is_pending("failed", 2, 3));
    assert_string_equal(reasons(NOW), "restore_failed:failing:");
    status_restore(l, STATUS_RESTORE_DONE, "", 3, 3, NOW);
    assert_false(is_pending("done", 3, 3));
    assert_string_equal(reasons(NOW), "");
    status_restore(l, STATUS_RESTORE_NOT_NEEDED, "", 0, 0, NOW);
    assert_false(is_pending("not_needed", 0, 0));
    assert_string_equal(reasons(NOW), "");
}

static void what_did_not_come_back_is_failing_though_the_rest_is_served(void **st)
{
    (void)st;
    want("docs", NOW);
    publish("docs", FREQUENCY_15MIN, NOW, 1000);
    status_restore(l, STATUS_RESTORE_DONE, "other: no good backup is left to take", 2, 3, NOW);
    assert_false(is_pending("done", 2, 3));
    assert_string_equal(reasons(NOW), "restore_incomplete:failing:");
}

static void it_progresses_while_there_are_signs_of_life(void **st)
{
    bool pending;
    (void)st;
    status_restore(l, STATUS_RESTORING, "", 0, 3, NOW - 600);
    for (int i = 0; i < 2; i++) {
        cJSON *o = status_restored(l, NOW, &pending);
        assert_int_equal(cJSON_IsTrue(at(o, "progressing")), i == 1);
        cJSON_Delete(o);
        status_restore_works(l, NOW - 299);
    }
    status_restore(l, STATUS_RESTORE_WAITING, "EFS hangs", 0, 3, NOW);
    cJSON *o = status_restored(l, NOW, &pending);
    assert_true(cJSON_IsFalse(at(o, "progressing")));
    cJSON_Delete(o);
}

static void the_document_says_since_when(void **st)
{
    (void)st;
    status_restore(l, STATUS_RESTORING, "a", 0, 2, NOW - 60);
    status_restore(l, STATUS_RESTORING, "b", 1, 2, NOW - 10);
    cJSON *status = document(NOW);
    assert_string_equal(text(status, "restore.reason"), "b");
    assert_true(cJSON_IsTrue(at(status, "restore.pending")));
    assert_true(number(status, "restore.age_seconds") == 60);
    cJSON_Delete(status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_pending_where_no_restore_is_asked_for, begin, end),
        cmocka_unit_test_setup_teardown(it_is_pending_and_unhealthy_until_it_is_done_or_not_needed, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_did_not_come_back_is_failing_though_the_rest_is_served, begin,
                                        end),
        cmocka_unit_test_setup_teardown(it_progresses_while_there_are_signs_of_life, begin, end),
        cmocka_unit_test_setup_teardown(the_document_says_since_when, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
