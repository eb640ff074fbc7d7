/* What is told of a restore at boot: /restored, the document, health. */
#include "ledger_kit.h"

static bool is_pending(const char *state, double done, double total)
{
    bool pending;
    cJSON *o = ledger_restored(l, &pending);
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
    publish("docs", TIER_15MIN, NOW, 1000);
    ledger_restore(l, LEDGER_RESTORE_WAITING, "EFS is not there", 0, 0, NOW);
    assert_true(is_pending("waiting", 0, 0));
    assert_string_equal(reasons(NOW), "restoring:failing:");
    ledger_restore(l, LEDGER_RESTORING, "restoring docs", 1, 3, NOW);
    assert_true(is_pending("restoring", 1, 3));
    assert_string_equal(reasons(NOW), "restoring:failing:");
    ledger_restore(l, LEDGER_RESTORE_FAILED, "no good backup", 2, 3, NOW);
    assert_true(is_pending("failed", 2, 3));
    assert_string_equal(reasons(NOW), "restore_failed:failing:");
    ledger_restore(l, LEDGER_RESTORE_DONE, "", 3, 3, NOW);
    assert_false(is_pending("done", 3, 3));
    assert_string_equal(reasons(NOW), "");
    ledger_restore(l, LEDGER_RESTORE_NOT_NEEDED, "", 0, 0, NOW);
    assert_false(is_pending("not_needed", 0, 0));
    assert_string_equal(reasons(NOW), "");
}

static void the_document_says_since_when(void **st)
{
    (void)st;
    ledger_restore(l, LEDGER_RESTORING, "a", 0, 2, NOW - 60);
    ledger_restore(l, LEDGER_RESTORING, "b", 1, 2, NOW - 10);
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
        cmocka_unit_test_setup_teardown(the_document_says_since_when, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
