/* What the ledger calls a failure, what a warning, and what neither. */
#include "ledger_kit.h"

/* Else a wrong API key would look like a Qdrant without collections: nothing to back up, nothing late. */
static void not_knowing_the_collections_is_no_excuse(void **st)
{
    (void)st;
    assert_string_equal(reasons(NOW - DAY + RPO), "");
    assert_string_equal(reasons(NOW - DAY + RPO + 1), "collections_unknown:failing:");
    want(NULL, NOW); /* it has none */
    assert_string_equal(reasons(NOW + DAY), "");
}

static void a_collection_is_late_when_its_newest_backup_is_older_than_the_objective(void **st)
{
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", TIER_15MIN, NOW - RPO, 1);
    assert_string_equal(reasons(NOW), "");
    assert_string_equal(reasons(NOW + 1), "backup_late:failing:docs");
    publish("docs", TIER_15MIN, NOW, 1);
    assert_string_equal(reasons(NOW + 1), "");
}

static void a_new_collection_has_the_objectives_time_for_its_first_backup(void **st)
{
    (void)st;
    want("docs", NOW);
    assert_string_equal(reasons(NOW + RPO), "");
    assert_string_equal(reasons(NOW + RPO + 1), "backup_missing:failing:docs");
    want("docs", NOW + RPO); /* told again: its time goes on */
    assert_string_equal(reasons(NOW + RPO + 1), "backup_missing:failing:docs");
}

/* After a restart the truth is that the recovery point is old; a collection made anew is another matter. */
static void old_backups_are_no_excuse_but_of_a_collection_made_anew(void **st)
{
    static const char *const both[] = {"docs", "again"};
    struct ledger_tier tiers[TIER_COUNT] = {{1, NOW - 5 * DAY, NOW - 5 * DAY, 10}};
    struct source of = {.collection = "docs"};
    (void)st;
    ledger_found(l, &of, tiers);
    (void)snprintf(of.collection, sizeof of.collection, "again");
    ledger_found(l, &of, tiers);
    want("docs", NOW - HOUR);
    ledger_collections(l, both, 2, NOW - 60);
    assert_string_equal(reasons(NOW), "backup_late:failing:docs");
    assert_string_equal(reasons(NOW + RPO), "backup_late:failing:again backup_late:failing:docs");
}

static void a_collection_that_nobody_wants_any_more_alarms_nobody(void **st)
{
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", TIER_15MIN, NOW - 5 * HOUR, 1);
    assert_string_equal(reasons(NOW), "backup_late:failing:docs");
    want(NULL, NOW);
    assert_string_equal(reasons(NOW), "");
    cJSON *o = document(NOW);
    assert_int_equal(cJSON_GetArraySize(at(o, "backups")), 1); /* but its backups show */
    assert_false(cJSON_IsTrue(at(o, "backups.0.wanted")));
    cJSON_Delete(o);
}

static void what_is_empty_and_not_wanted_is_forgotten(void **st)
{
    struct ledger_tier none[TIER_COUNT] = {{0}};
    struct source of = {.collection = "docs"};
    (void)st;
    want("docs", NOW - DAY);
    want("other", NOW - HOUR);
    publish("docs", TIER_15MIN, NOW - 60, 1);
    want(NULL, NOW);
    ledger_found(l, &of, none);
    cJSON *o = document(NOW);
    assert_int_equal(cJSON_GetArraySize(at(o, "backups")), 0);
    cJSON_Delete(o);
}

static void health_names_what_endangers_the_recovery_point_first(void **st)
{
    const struct ledger_run run = {
        .slot = NOW - 900, .begun = NOW - 890, .ended = NOW - 800, .made = 2, .failed = 1};
    const struct manifest m = backup("docs", TIER_15MIN, NOW, 5);
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", TIER_15MIN, NOW - 60, 1);
    ledger_qdrant(l, true, true, "1.18.2", NOW);
    ledger_run(l, &run);
    ledger_snapshot_failed(l, "docs", "no space", NOW);
    ledger_s3(l, &m, "403", NOW);
    assert_string_equal(reasons(NOW),
                        "recovery_mode:warning: run_failed:warning: snapshot_failed:warning:docs "
                        "s3_failing:warning:");
    ledger_qdrant(l, false, false, NULL, NOW);
    ledger_efs(l, false, "read-only", NOW);
    ledger_drill(l, "docs", "docs-1", 3, "no points", NOW);
    assert_string_equal(reasons(NOW),
                        "efs_unusable:failing: qdrant_unreachable:failing: drill_failed:failing:docs "
                        "run_failed:warning: snapshot_failed:warning:docs s3_failing:warning:");
    ledger_qdrant(l, true, false, NULL, NOW);
    ledger_efs(l, true, NULL, NOW);
    ledger_drill(l, "docs", "docs-1", 3, NULL, NOW);
    ledger_s3(l, &m, NULL, NOW);
    publish("docs", TIER_15MIN, NOW + 60, 1);
    assert_string_equal(reasons(NOW + 60), "run_failed:warning:");
}

static void a_good_drill_of_one_collection_does_not_hide_anothers_failure(void **st)
{
    static const char *const both[] = {"docs", "images"};
    (void)st;
    ledger_collections(l, both, 2, NOW);
    ledger_drill(l, "docs", "docs-1", 3, "no points", NOW);
    ledger_drill(l, "images", "images-1", 3, NULL, NOW);
    assert_string_equal(reasons(NOW), "drill_failed:failing:docs");
    want("images", NOW); /* docs is gone */
    assert_string_equal(reasons(NOW), "");
    ledger_drill(l, "docs", "docs-1", 3, "no points", NOW);
    assert_string_equal(reasons(NOW), "drill_failed:warning:docs");
}

static void a_job_without_a_sign_of_life_is_a_hung_efs(void **st)
{
    (void)st;
    want(NULL, NOW);
    ledger_busy(l, 0, "publish docs-1", NOW);
    ledger_busy(l, 1, "prune docs", NOW);
    assert_string_equal(reasons(NOW + 119), "");
    assert_string_equal(reasons(NOW + 120), "efs_hangs:failing:");
    ledger_busy(l, 0, "publish docs-1", NOW + 110); /* a long one that goes on */
    ledger_busy(l, 1, NULL, NOW + 110);
    assert_string_equal(reasons(NOW + 229), "");
    cJSON *o = document(NOW + 230);
    assert_true(cJSON_IsTrue(at(o, "efs.hangs")));
    assert_int_equal(cJSON_GetArraySize(at(o, "efs.busy")), 1);
    assert_int_equal(number(o, "efs.busy.0.seconds"), 230);
    assert_int_equal(number(o, "efs.busy.0.silent_seconds"), 120);
    cJSON_Delete(o);
    ledger_busy(l, 0, NULL, NOW + 231);
    assert_string_equal(reasons(NOW + 500), "");
    ledger_busy(l, LEDGER_WORKERS, "no such worker", NOW); /* must not write past the end */
}

/* Whoever publishes may not tell how far it is: then a big backup is given the time that it may need. */
static void a_job_that_gives_no_signs_has_time_for_the_largest_backup(void **st)
{
    (void)st;
    want(NULL, NOW);
    publish("docs", TIER_15MIN, NOW - 60, 100ULL * LEDGER_SLOW_BYTES);
    ledger_busy(l, 0, "publish docs-2", NOW);
    assert_string_equal(reasons(NOW + 219), "");
    assert_string_equal(reasons(NOW + 220), "efs_hangs:failing:");
    ledger_busy(l, 0, "publish docs-2", NOW + 1); /* it does tell */
    assert_string_equal(reasons(NOW + 121), "efs_hangs:failing:");
}

static void a_tier_that_newer_backups_did_not_serve_is_a_warning(void **st)
{
    struct ledger_tier tiers[TIER_COUNT] = {{4, NOW - 60, NOW - 60, 1},
                                            {1, NOW - 3 * HOUR, NOW - 3 * HOUR, 1},
                                            {0},
                                            {1, NOW - 40 * DAY, NOW - 40 * DAY, 1}};
    struct source of = {.collection = "docs"};
    (void)st;
    ledger_found(l, &of, tiers);
    want("docs", NOW - DAY);
    assert_string_equal(reasons(NOW), "tier_late:warning:docs tier_late:warning:docs tier_late:warning:docs");
}

static void reasons_stay_few_whatever_is_late(void **st)
{
    static char names[200][16];
    const char *list[200];
    (void)st;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(names[i], sizeof names[i], "c%03d", i);
        list[i] = names[i];
    }
    ledger_collections(l, list, 200, NOW - DAY);
    cJSON *health = ledger_health(l, NOW);
    const cJSON *all = at(health, "reasons");
    assert_int_equal(cJSON_GetArraySize(all), 21);
    assert_non_null(strstr(text(all, "20.message"), "180 more"));
    cJSON_Delete(health);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(not_knowing_the_collections_is_no_excuse),
        TEST(a_collection_is_late_when_its_newest_backup_is_older_than_the_objective),
        TEST(a_new_collection_has_the_objectives_time_for_its_first_backup),
        TEST(old_backups_are_no_excuse_but_of_a_collection_made_anew),
        TEST(a_collection_that_nobody_wants_any_more_alarms_nobody),
        TEST(what_is_empty_and_not_wanted_is_forgotten),
        TEST(health_names_what_endangers_the_recovery_point_first),
        TEST(a_good_drill_of_one_collection_does_not_hide_anothers_failure),
        TEST(a_job_without_a_sign_of_life_is_a_hung_efs),
        TEST(a_job_that_gives_no_signs_has_time_for_the_largest_backup),
        TEST(a_tier_that_newer_backups_did_not_serve_is_a_warning),
        TEST(reasons_stay_few_whatever_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
