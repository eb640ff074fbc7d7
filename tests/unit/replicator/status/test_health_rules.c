/* What the status calls a failure, what a warning, and what neither. */
#include "tests/unit/replicator/status/status_kit.h"

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
    publish("docs", FREQUENCY_15MIN, NOW - RPO, 1);
    assert_string_equal(reasons(NOW), "");
    assert_string_equal(reasons(NOW + 1), "backup_late:failing:docs");
    publish("docs", FREQUENCY_15MIN, NOW, 1);
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
    struct status_tier tiers[FREQUENCY_COUNT] = {{1, NOW - 5 * DAY, NOW - 5 * DAY, 10}};
    struct source of = {.collection = "docs"};
    (void)st;
    status_found(l, &of, tiers);
    (void)snprintf(of.collection, sizeof of.collection, "again");
    status_found(l, &of, tiers);
    want("docs", NOW - HOUR);
    status_collections(l, both, 2, NOW - 60);
    assert_string_equal(reasons(NOW), "backup_late:failing:docs");
    assert_string_equal(reasons(NOW + RPO), "backup_late:failing:again backup_late:failing:docs");
}

static void a_collection_that_nobody_wants_any_more_alarms_nobody(void **st)
{
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_15MIN, NOW - 5 * HOUR, 1);
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
    struct status_tier none[FREQUENCY_COUNT] = {{0}};
    struct source of = {.collection = "docs"};
    (void)st;
    want("docs", NOW - DAY);
    want("other", NOW - HOUR);
    publish("docs", FREQUENCY_15MIN, NOW - 60, 1);
    want(NULL, NOW);
    status_found(l, &of, none);
    cJSON *o = document(NOW);
    assert_int_equal(cJSON_GetArraySize(at(o, "backups")), 0);
    cJSON_Delete(o);
}

static const char *status(void)
{
    static char out[20];
    cJSON *health = status_health(l, NOW);
    (void)snprintf(out, sizeof out, "%s", text(health, "status"));
    cJSON_Delete(health);
    return out;
}

/* Each is told until it is good, or gone; and /health stays 200: killing the node would help nobody. */
static void a_snapshot_that_is_no_backup_degrades_health_until_it_is_good_or_gone(void **st)
{
    (void)st;
    want("docs", NOW - 60);
    assert_true(
        status_doubt(l, STATUS_UPLOAD_WAITS, "docs/x.snapshot", "docs", "Qdrant does not answer", NOW));
    assert_false(
        status_doubt(l, STATUS_UPLOAD_WAITS, "docs/x.snapshot", "docs", "Qdrant does not answer", NOW));
    assert_string_equal(reasons(NOW), "upload_waits:warning:docs");
    assert_true(
        status_doubt(l, STATUS_UPLOAD_REFUSED, "docs/x.snapshot", "docs", "its vectors are others", NOW));
    assert_string_equal(reasons(NOW), "upload_refused:warning:docs");
    assert_string_equal(status(), "degraded");
    assert_true(status_doubt(l, STATUS_NOT_ACTIVE, "", "docs", "shard 1 is Partial", NOW));
    assert_string_equal(reasons(NOW), "upload_refused:warning:docs replica_not_active:warning:docs");
    publish("docs", FREQUENCY_15MIN, NOW - 30, 1); /* Qdrant's own: the replica is Active again */
    assert_string_equal(reasons(NOW), "upload_refused:warning:docs");
    status_no_doubt(l, "docs/x.snapshot", "docs");
    assert_string_equal(reasons(NOW), "");
    assert_string_equal(status(), "ok");
}

static void a_cluster_in_trouble_degrades_health(void **st)
{
    (void)st;
    want("docs", NOW - 60);
    status_cluster(l, "", false, 1, "7 (http://b:6335/)");
    assert_string_equal(reasons(NOW), "peer_unreachable:warning:");
    status_cluster(l, "stopped", false, 0, "");
    assert_string_equal(reasons(NOW), "consensus_stopped:warning:");
    assert_string_equal(status(), "degraded");
    status_cluster(l, "", true, 0, "");
    assert_string_equal(reasons(NOW), "no_leader:warning:");
    status_cluster(l, "", false, 0, "");
    assert_string_equal(reasons(NOW), "");
}

static void health_names_what_endangers_the_recovery_point_first(void **st)
{
    const struct status_run run = {
        .slot = NOW - 900, .begun = NOW - 890, .ended = NOW - 800, .made = 2, .failed = 1};
    const struct manifest m = backup("docs", FREQUENCY_15MIN, NOW, 5);
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_15MIN, NOW - 60, 1);
    status_qdrant(l, true, true, "1.18.2", NOW);
    status_run(l, &run);
    status_snapshot_failed(l, "docs", "no space", NOW);
    status_s3(l, &m, "403", NOW);
    assert_string_equal(reasons(NOW),
                        "recovery_mode:warning: run_failed:warning: snapshot_failed:warning:docs "
                        "s3_failing:warning:");
    status_qdrant(l, false, false, NULL, NOW);
    status_efs(l, false, "read-only", NOW);
    status_drill(l, "docs", "docs-1", 3, "no points", NOW);
    assert_string_equal(reasons(NOW),
                        "efs_unusable:failing: qdrant_unreachable:failing: drill_failed:failing:docs "
                        "run_failed:warning: snapshot_failed:warning:docs s3_failing:warning:");
    status_qdrant(l, true, false, NULL, NOW);
    status_efs(l, true, NULL, NOW);
    status_drill(l, "docs", "docs-1", 3, NULL, NOW);
    status_s3(l, &m, NULL, NOW);
    publish("docs", FREQUENCY_15MIN, NOW + 60, 1);
    assert_string_equal(reasons(NOW + 60), "run_failed:warning:");
}

static void a_good_drill_of_one_collection_does_not_hide_anothers_failure(void **st)
{
    static const char *const both[] = {"docs", "images"};
    (void)st;
    status_collections(l, both, 2, NOW);
    status_drill(l, "docs", "docs-1", 3, "no points", NOW);
    status_drill(l, "images", "images-1", 3, NULL, NOW);
    assert_string_equal(reasons(NOW), "drill_failed:failing:docs");
    want("images", NOW); /* docs is gone */
    assert_string_equal(reasons(NOW), "");
    status_drill(l, "docs", "docs-1", 3, "no points", NOW);
    assert_string_equal(reasons(NOW), "drill_failed:warning:docs");
}

static void a_job_without_a_sign_of_life_is_a_hung_efs(void **st)
{
    (void)st;
    want(NULL, NOW);
    status_busy(l, 0, "publish docs-1", NOW);
    status_busy(l, 1, "prune docs", NOW);
    assert_string_equal(reasons(NOW + 119), "");
    assert_string_equal(reasons(NOW + 120), "efs_hangs:failing:");
    status_busy(l, 0, "publish docs-1", NOW + 110); /* a long one that goes on */
    status_busy(l, 1, NULL, NOW + 110);
    assert_string_equal(reasons(NOW + 229), "");
    cJSON *o = document(NOW + 230);
    assert_true(cJSON_IsTrue(at(o, "efs.hangs")));
    assert_int_equal(cJSON_GetArraySize(at(o, "efs.busy")), 1);
    assert_int_equal(number(o, "efs.busy.0.seconds"), 230);
    assert_int_equal(number(o, "efs.busy.0.silent_seconds"), 120);
    cJSON_Delete(o);
    status_busy(l, 0, NULL, NOW + 231);
    assert_string_equal(reasons(NOW + 500), "");
    status_busy(l, STATUS_WORKERS, "no such worker", NOW); /* must not write past the end */
}

/* Whoever publishes may not tell how far it is: then a big backup is given the time that it may need. */
static void a_job_that_gives_no_signs_has_time_for_the_largest_backup(void **st)
{
    (void)st;
    want(NULL, NOW);
    publish("docs", FREQUENCY_15MIN, NOW - 60, 100ULL * STATUS_SLOW_BYTES);
    status_busy(l, 0, "publish docs-2", NOW);
    assert_string_equal(reasons(NOW + 219), "");
    assert_string_equal(reasons(NOW + 220), "efs_hangs:failing:");
    status_busy(l, 0, "publish docs-2", NOW + 1); /* it does tell */
    assert_string_equal(reasons(NOW + 121), "efs_hangs:failing:");
}

/* The newest fact counts: what was tried last, and how it went. */
static void what_efs_refused_fails_health_until_it_takes_it(void **st)
{
    const struct status_queue refused = {.waiting = 6, .failing = 6, .oldest = 578, .why = "Read-only \xff"};
    const struct status_queue taken = {.publishing = 1};
    (void)st;
    want(NULL, NOW);
    assert_true(status_efs(l, true, NULL, NOW - HOUR));
    status_queue(l, &refused);
    assert_string_equal(reasons(NOW), "publish_failing:failing:");
    cJSON *o = document(NOW);
    assert_non_null(strstr(text(o, "health.reasons.0.message"), "6 finished snapshots"));
    assert_non_null(strstr(text(o, "health.reasons.0.message"), "9 min old"));
    assert_int_equal(number(o, "queue.failing"), 6);
    assert_string_equal(text(o, "queue.why"), "Read-only ?");
    cJSON_Delete(o);
    status_heartbeat_failed(l, "Read-only", NOW);
    status_heartbeat_failed(l, "Read-only", NOW + 60);
    assert_true(status_efs(l, false, "Read-only", NOW + 60));
    assert_false(status_efs(l, false, "Read-only", NOW + 75));
    assert_string_equal(reasons(NOW + 75),
                        "efs_unusable:failing: publish_failing:failing: heartbeat_failing:failing:");
    status_queue(l, &taken);
    status_heartbeat(l, NOW + 120);
    assert_true(status_efs(l, true, NULL, NOW + 120));
    assert_string_equal(reasons(NOW + 120), "");
}

static void an_efs_that_is_not_mounted_fails_health_whatever_it_takes(void **st)
{
    (void)st;
    want("docs", NOW);
    assert_true(status_efs_local(l, true));
    assert_false(status_efs_local(l, true));
    (void)status_efs(l, true, NULL, NOW);
    publish("docs", FREQUENCY_15MIN, NOW - 60, 1);
    assert_string_equal(reasons(NOW), "efs_is_local:failing:");
    assert_true(status_efs_local(l, false));
    assert_string_equal(reasons(NOW), "");
}

static void a_tier_that_newer_backups_did_not_serve_is_a_warning(void **st)
{
    struct status_tier tiers[FREQUENCY_COUNT] = {{4, NOW - 60, NOW - 60, 1},
                                                 {1, NOW - 3 * HOUR, NOW - 3 * HOUR, 1},
                                                 {0},
                                                 {1, NOW - 40 * DAY, NOW - 40 * DAY, 1}};
    struct source of = {.collection = "docs"};
    (void)st;
    status_found(l, &of, tiers);
    want("docs", NOW - DAY);
    assert_string_equal(reasons(NOW), "tier_late:warning:docs tier_late:warning:docs tier_late:warning:docs");
}

static void collections_that_nobody_chose_fail_health(void **st)
{
    (void)st;
    want(NULL, NOW);
    assert_false(status_chosen(l, "*", 0, 0, NULL)); /* Qdrant has none */
    assert_string_equal(reasons(NOW), "");
    assert_true(status_chosen(l, "dosc", 0, 2, "dosc"));
    assert_false(status_chosen(l, "dosc", 0, 2, "dosc"));
    assert_string_equal(reasons(NOW), "collections_none:failing: collection_not_there:warning:dosc");
    assert_true(status_chosen(l, "docs,pix", 1, 2, "pix"));
    assert_string_equal(reasons(NOW), "collection_not_there:warning:pix");
    assert_false(status_chosen(l, "docs", 1, 2, NULL));
    assert_string_equal(reasons(NOW), "");
}

static void a_snapshot_whose_file_never_came_fails_health_until_the_next_good_backup(void **st)
{
    (void)st;
    want("docs", NOW - 60);
    assert_true(status_doubt(l, STATUS_NOT_HERE, "", "docs", "there is no such file", NOW));
    assert_string_equal(reasons(NOW), "snapshot_not_here:failing:docs");
    publish("docs", FREQUENCY_15MIN, NOW, 1);
    assert_string_equal(reasons(NOW), "");
    assert_true(status_doubt(l, STATUS_NOT_HERE, "", "docs", "there is no such file", NOW));
    status_here(l, "other");
    assert_string_equal(reasons(NOW), "snapshot_not_here:failing:docs");
    status_here(l, "docs");
    assert_string_equal(reasons(NOW), "");
}

/* Only where FULL_SNAPSHOT promises them. */
static void snapshots_of_the_whole_storage_grow_stale(void **st)
{
    struct status_tier tiers[FREQUENCY_COUNT] = {{1, NOW, NOW, 1}};
    const struct source whole = {.kind = KIND_STORAGE};
    const struct status_options o = {.base = "/efs",
                                     .node = "",
                                     .qdrant_url = "",
                                     .rpo_seconds = RPO,
                                     .full = true,
                                     .full_tier = FREQUENCY_DAILY};
    (void)st;
    status_found(l, &whole, tiers);
    want(NULL, NOW);
    assert_string_equal(reasons(NOW + 9 * DAY), "");
    status_free(l);
    l = status_new(&o, NOW);
    assert_string_equal(reasons(NOW + RPO), "");
    want(NULL, NOW);
    assert_string_equal(reasons(NOW + DAY + 2 * HOUR), "");
    assert_string_equal(reasons(NOW + DAY + 2 * HOUR + 1), "full_late:warning:");
    tiers[0].newest_slot = tiers[0].newest_taken = NOW + DAY;
    status_found(l, &whole, tiers);
    assert_string_equal(reasons(NOW + 2 * DAY + 2 * HOUR), "");
    assert_string_equal(reasons(NOW + 2 * DAY + 2 * HOUR + 1), "full_late:warning:");
    cJSON *health = status_health(l, NOW + 9 * DAY);
    assert_string_equal(text(health, "status"), "degraded");
    cJSON_Delete(health);
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
    status_collections(l, list, 200, NOW - DAY);
    cJSON *health = status_health(l, NOW);
    const cJSON *all = at(health, "reasons");
    assert_int_equal(cJSON_GetArraySize(all), 21);
    assert_non_null(strstr(text(all, "20.message"), "180 more"));
    cJSON_Delete(health);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
static void a_local_disk_without_room_is_degraded_until_it_has_some(void **state)
{
    (void)state;
    want("c", NOW - DAY);
    publish("c", FREQUENCY_MONTHLY, NOW - MINUTE, 100);
    assert_string_equal(reasons(NOW), "");
    status_disk(l, 100 << 20, 200 << 20);
    status_held(l, "c", 2);
    status_held(l, "", 2);
    status_unpublished(l, 4);
    assert_string_equal(reasons(NOW), "disk_low:warning: snapshots_held:warning: snapshots_held:warning:c");
    cJSON *o = document(NOW);
    assert_string_equal(text(o, "health.status"), "degraded");
    assert_int_equal(number(o, "disk.free_bytes"), 100 << 20);
    assert_int_equal(number(o, "disk.floor_bytes"), 200 << 20);
    assert_int_equal(number(o, "disk.unpublished"), 4);
    assert_int_equal(number(o, "disk.held"), 2);
    cJSON_Delete(o);
    status_disk(l, 200 << 20, 200 << 20);
    publish("c", FREQUENCY_15MIN, NOW, 100);
    assert_string_equal(reasons(NOW), "snapshots_held:warning:");
    status_held(l, "c", 2);
    want(NULL, NOW); /* it was deleted */
    assert_string_equal(reasons(NOW), "snapshots_held:warning:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(not_knowing_the_collections_is_no_excuse),
        TEST(a_collection_is_late_when_its_newest_backup_is_older_than_the_objective),
        TEST(a_new_collection_has_the_objectives_time_for_its_first_backup),
        TEST(old_backups_are_no_excuse_but_of_a_collection_made_anew),
        TEST(a_collection_that_nobody_wants_any_more_alarms_nobody),
        TEST(what_is_empty_and_not_wanted_is_forgotten),
        TEST(a_snapshot_that_is_no_backup_degrades_health_until_it_is_good_or_gone),
        TEST(a_cluster_in_trouble_degrades_health),
        TEST(health_names_what_endangers_the_recovery_point_first),
        TEST(a_good_drill_of_one_collection_does_not_hide_anothers_failure),
        TEST(a_job_without_a_sign_of_life_is_a_hung_efs),
        TEST(a_job_that_gives_no_signs_has_time_for_the_largest_backup),
        TEST(what_efs_refused_fails_health_until_it_takes_it),
        TEST(an_efs_that_is_not_mounted_fails_health_whatever_it_takes),
        TEST(a_tier_that_newer_backups_did_not_serve_is_a_warning),
        TEST(collections_that_nobody_chose_fail_health),
        TEST(a_snapshot_whose_file_never_came_fails_health_until_the_next_good_backup),
        TEST(snapshots_of_the_whole_storage_grow_stale),
        TEST(reasons_stay_few_whatever_is_late),
        TEST(a_local_disk_without_room_is_degraded_until_it_has_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
