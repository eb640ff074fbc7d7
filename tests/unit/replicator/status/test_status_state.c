/* The status document: what it says of what the status was told. */
#include "efs/repo/backup.h"
#include "tests/unit/replicator/status/status_kit.h"
#include <pthread.h>
#include "common/log.h"
#include "common/base/text.h"
#include "tests/unit/replicator/status/memory.h"

static void before_anything_is_known_nothing_is_claimed(void **st)
{
    (void)st;
    cJSON *o = document(NOW - DAY + 60);
    assert_true(cJSON_IsNull(at(o, "efs.usable")));
    assert_true(cJSON_IsNull(at(o, "qdrant.reachable")));
    assert_true(cJSON_IsNull(at(o, "schedule.next")));
    assert_true(cJSON_IsNull(at(o, "schedule.running")));
    assert_true(cJSON_IsNull(at(o, "schedule.last")));
    assert_true(cJSON_IsNull(at(o, "drill")));
    assert_true(cJSON_IsNull(at(o, "drill_next")));
    assert_true(cJSON_IsNull(at(o, "s3.ok")));
    assert_int_equal(cJSON_GetArraySize(at(o, "backups")), 0);
    assert_string_equal(text(o, "health.status"), "ok");
    assert_string_equal(text(o, "now"), "2026-11-24T10:01:00Z");
    assert_int_equal(number(o, "uptime_seconds"), 60);
    cJSON_Delete(o);
}

static void a_published_backup_is_its_collections_newest(void **st)
{
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_HOURLY, NOW - HOUR, 1000);
    publish("docs", FREQUENCY_15MIN, NOW - 10 * MINUTE, 2000);
    const struct manifest late = backup("docs", FREQUENCY_15MIN, NOW - 20 * MINUTE, 500);
    status_published(l, &late, 1.5, NOW);
    cJSON *o = document(NOW);
    const cJSON *b = at(o, "backups.0");
    assert_int_equal(number(b, "age_seconds"), 10 * MINUTE);
    assert_string_equal(text(b, "newest.taken"), "2026-11-25T09:50:00Z");
    assert_string_equal(text(b, "newest.slot"), "2026-11-25T09:45:00Z");
    assert_string_equal(text(b, "newest.frequency"), "15min");
    assert_int_equal(number(b, "newest.size"), 2000);
    assert_int_equal(number(b, "newest.ratio"), 2);
    assert_int_equal(number(b, "tiers.15min.count"), 2);
    assert_int_equal(number(b, "tiers.15min.stored_bytes"), 1250);
    assert_int_equal(number(b, "tiers.hourly.age_seconds"), HOUR);
    assert_true(cJSON_IsNull(at(b, "tiers.daily.age_seconds")));
    assert_false(cJSON_IsTrue(at(b, "late")));
    assert_int_equal(number(o, "counts.tiers.15min.published"), 2);
    assert_int_equal(number(o, "published.0.n"), 3);
    assert_int_equal(status_newest(l, "docs"), NOW - 10 * MINUTE);
    assert_int_equal(status_newest(l, "other"), 0);
    cJSON_Delete(o);
}

/* At minute 0 the snapshot goes to hourly: the newest of 15min itself is then half an hour old by rights. */
static void a_higher_tier_serves_the_lower_ones(void **st)
{
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_MONTHLY, NOW - 5 * MINUTE, 1000);
    cJSON *o = document(NOW);
    assert_int_equal(number(o, "backups.0.tiers.15min.age_seconds"), 5 * MINUTE);
    assert_int_equal(number(o, "backups.0.tiers.15min.count"), 0);
    assert_int_equal(number(o, "backups.0.tiers.15min.objective_seconds"), RPO);
    assert_int_equal(number(o, "backups.0.tiers.hourly.objective_seconds"), 2 * HOUR);
    assert_int_equal(number(o, "backups.0.tiers.daily.objective_seconds"), 26 * HOUR);
    assert_int_equal(number(o, "backups.0.tiers.monthly.objective_seconds"), 33 * DAY);
    cJSON_Delete(o);
}

static void a_clock_that_ran_ahead_makes_no_backup_newer_than_now(void **st)
{
    struct status_tier tiers[FREQUENCY_COUNT] = {{3, NOW + DAY, NOW + DAY, 10},
                                                 {2, NOW - HOUR, NOW - HOUR, 10}};
    struct source of = {.collection = "docs"};
    (void)st;
    want("docs", NOW - DAY);
    const struct manifest ahead = backup("docs", FREQUENCY_15MIN, NOW + DAY, 5);
    status_published(l, &ahead, 1, NOW - 40 * MINUTE);
    assert_int_equal(status_newest(l, "docs"), NOW - 40 * MINUTE);
    assert_string_equal(reasons(NOW), "backup_late:failing:docs");
    status_found(l, &of, tiers); /* after a restart, EFS shows it again */
    assert_string_equal(reasons(NOW), "backup_late:failing:docs");
    assert_true(status_newest(l, "docs") < NOW);
}

/* For 25 seconds. The time of EFS's server is in `written`; the file of a node's own clock has none. */
static void after_a_clock_that_ran_ahead_the_real_backups_are_the_newest(void **st)
{
    struct status_tier tiers[FREQUENCY_COUNT] = {{9, NOW + 2 * HOUR, NOW + 2 * HOUR, 10}};
    struct source of = {.collection = "docs"};
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_15MIN, NOW + 2 * HOUR, 1);
    publish("docs", FREQUENCY_15MIN, NOW - 2, 2);
    for (int again = 0; again < 2; again++) { /* and once more when EFS was looked at */
        cJSON *o = document(NOW);
        assert_int_equal(number(o, "backups.0.age_seconds"), 2);
        assert_int_equal(number(o, "backups.0.tiers.15min.age_seconds"), 2);
        assert_string_equal(text(o, "health.status"), "ok");
        cJSON_Delete(o);
        status_found(l, &of, tiers);
        const struct manifest ahead = backup("docs", FREQUENCY_15MIN, NOW + 2 * HOUR, 1);
        status_found_backup(l, &ahead);
    }
}

/* While it is wrong ages are told by it all the same. */
static void under_a_wrong_clock_a_backup_is_as_old_as_by_the_servers(void **st)
{
    static const time_t off[] = {2 * HOUR, -2 * DAY, 5 * 366 * DAY};
    (void)st;
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "c%zu", i);
        const char *const wanted = name;
        status_collections(l, &wanted, 1, NOW + off[i] - HOUR);
        struct manifest m = backup(name, FREQUENCY_15MIN, NOW - 20, 1);
        m.written = NOW;
        status_published(l, &m, 1, NOW + off[i]);
        cJSON *o = document(NOW + off[i] + 5);
        assert_int_equal(number(at(o, "backups"), i == 0   ? "0.age_seconds"
                                                  : i == 1 ? "1.age_seconds"
                                                           : "2.age_seconds"),
                         25);
        cJSON_Delete(o);
    }
}

static void what_is_found_on_efs_replaces_what_was_known(void **st)
{
    struct status_tier tiers[FREQUENCY_COUNT] = {{96, NOW - 900, NOW - 890, 4000},
                                                 {7, NOW - HOUR, NOW - HOUR, 700}};
    struct source of = {.collection = "docs"};
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_15MIN, NOW - 60, 99);
    status_found(l, &of, tiers); /* someone deleted the newest there */
    cJSON *o = document(NOW);
    assert_int_equal(number(o, "backups.0.age_seconds"), 890);
    assert_int_equal(number(o, "backups.0.tiers.15min.count"), 96);
    assert_true(cJSON_IsNull(at(o, "backups.0.newest.snapshot"))); /* its name is not known yet */
    cJSON_Delete(o);
    struct manifest m = backup("docs", FREQUENCY_15MIN, NOW - 890, 640);
    status_found_backup(l, &m);
    status_found_backup(l, &m); /* told again */
    o = document(NOW);
    assert_int_equal(number(o, "backups.0.newest.size"), 640);
    assert_int_equal(number(o, "backups.0.tiers.15min.count"), 96);
    assert_int_equal(cJSON_GetArraySize(at(o, "backups.0.sizes")), 2);
    cJSON_Delete(o);
}

static void what_is_pruned_is_not_counted(void **st)
{
    struct backup b = {.frequency = FREQUENCY_15MIN, .has_manifest = true};
    (void)st;
    publish("docs", FREQUENCY_15MIN, NOW - 900, 1000);
    publish("docs", FREQUENCY_15MIN, NOW - 60, 1000);
    b.m = backup("docs", FREQUENCY_15MIN, NOW - 900, 1000);
    status_pruned(l, &b);
    cJSON *o = document(NOW);
    assert_int_equal(number(o, "backups.0.tiers.15min.count"), 1);
    assert_int_equal(number(o, "backups.0.tiers.15min.stored_bytes"), 500);
    cJSON_Delete(o);
    for (int i = 0; i < 5; i++)
        status_pruned(l, &b); /* more than there are */
    o = document(NOW);
    assert_int_equal(number(o, "backups.0.tiers.15min.count"), 0);
    assert_int_equal(number(o, "backups.0.tiers.15min.stored_bytes"), 0);
    cJSON_Delete(o);
}

static void the_last_96_sizes_are_kept_in_order_of_their_slots(void **st)
{
    (void)st;
    for (int i = 0; i < 120; i++) /* in a mixed order, each once */
        publish("docs", FREQUENCY_15MIN, NOW - (time_t)(i * 37 % 120) * 900, 1000 + (uint64_t)(i * 37 % 120));
    cJSON *o = document(NOW);
    const cJSON *sizes = at(o, "backups.0.sizes");
    assert_int_equal(cJSON_GetArraySize(sizes), STATUS_SIZES);
    for (int i = 0; i < STATUS_SIZES; i++) {
        const cJSON *one = cJSON_GetArrayItem(sizes, i);
        int back = STATUS_SIZES - 1 - i;
        assert_int_equal(number(one, "0"), NOW - back * 900);
        assert_int_equal(number(one, "1"), 1000 + back);
        assert_int_equal(number(one, "2"), (1000 + back) / 2);
    }
    cJSON_Delete(o);
}

static void each_kind_of_folder_has_a_line_of_its_own(void **st)
{
    static const char *const shards[] = {"10", "9"};
    struct manifest m = backup("docs", FREQUENCY_DAILY, NOW - 5, 7);
    (void)st;
    publish("docs", FREQUENCY_DAILY, NOW - 5, 7);
    for (int i = 0; i < 2; i++) {
        m.source.kind = KIND_SHARD;
        (void)snprintf(m.source.shard, sizeof m.source.shard, "%s", shards[i]);
        status_published(l, &m, 1, NOW);
    }
    m = backup("", FREQUENCY_DAILY, NOW - 5, 7);
    m.source.kind = KIND_STORAGE;
    status_published(l, &m, 1, NOW);
    cJSON *o = document(NOW);
    assert_int_equal(cJSON_GetArraySize(at(o, "backups")), 4);
    assert_string_equal(text(o, "backups.0.kind"), "storage");
    assert_string_equal(text(o, "backups.1.kind"), "collection");
    assert_string_equal(text(o, "backups.2.shard"), "9");
    assert_string_equal(text(o, "backups.3.shard"), "10");
    cJSON_Delete(o);
}

static void runs_and_counters_add_up(void **st)
{
    struct status_run r = {.slot = NOW - 900, .begun = NOW - 890, .collections = 3};
    const struct counts c = {.published = 7, .bytes = 1ULL << 40, .pruned = 2};
    const struct status_queue q = {.waiting = 1, .publishing = 2, .s3 = 3, .oldest = 4.5};
    (void)st;
    status_run(l, &r);
    status_next_run(l, NOW + 900);
    status_slots_missed(l, 2);
    status_slots_missed(l, 1);
    status_counts(l, &c);
    status_queue(l, &q);
    status_s3_queue(l, 5);
    cJSON *o = document(NOW);
    assert_int_equal(number(o, "schedule.running.collections"), 3);
    assert_true(cJSON_IsNull(at(o, "schedule.last")));
    assert_string_equal(text(o, "schedule.next"), "2026-11-25T10:15:00Z");
    assert_int_equal(number(o, "queue.publishing"), 2);
    assert_int_equal(number(o, "queue.s3"), 5);
    assert_true(number(o, "counts.bytes") == (double)(1ULL << 40));
    cJSON_Delete(o);
    r.ended = NOW - 800;
    r.made = 3;
    r.bytes = 77;
    status_run(l, &r);
    status_run(l, &r);
    o = document(NOW);
    assert_true(cJSON_IsNull(at(o, "schedule.running")));
    assert_int_equal(number(o, "schedule.last.made"), 3);
    assert_int_equal(number(o, "schedule.slots_missed"), 3);
    assert_int_equal(number(o, "counts.runs"), 2);
    assert_int_equal(number(o, "counts.snapshots_made"), 6);
    assert_int_equal(number(o, "counts.snapshot_bytes"), 154);
    cJSON_Delete(o);
}

static void text_from_outside_is_cut_and_made_utf8(void **st)
{
    char longer[5000];
    (void)st;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    memcpy(longer, "\xff\xc3", 2);
    want(longer, NOW);
    status_snapshot_failed(l, longer, longer, NOW);
    status_efs(l, false, longer, NOW);
    status_task(l, longer, longer, longer);
    status_drill(l, longer, longer, 1, longer, NOW);
    status_s3(l, NULL, longer, NOW);
    status_busy(l, 0, longer, NOW);
    status_task(l, NULL, NULL, NULL);
    cJSON *o = status_document(l, NOW + DAY);
    char *printed = cJSON_PrintUnformatted(o);
    assert_non_null(printed);
    assert_true(text_is_utf8(printed));
    assert_true(strlen(printed) < 60000);
    free(printed);
    cJSON_Delete(o);
}

static void there_is_an_end_to_what_is_remembered(void **st)
{
    (void)st;
    want(NULL, NOW);
    for (int i = 0; i < STATUS_FOLDERS + 50; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "c%d", i);
        publish(name, FREQUENCY_15MIN, NOW - 60, 1);
    }
    cJSON *o = status_document(l, NOW);
    assert_non_null(o);
    assert_int_equal(cJSON_GetArraySize(at(o, "backups")), STATUS_FOLDERS);
    assert_int_equal(cJSON_GetArraySize(at(o, "published")), STATUS_PUBLICATIONS);
    assert_string_equal(text(o, "health.reasons.0.code"), "ledger_full");
    cJSON_Delete(o);
}

static void the_log_keeps_the_last_warnings_and_errors(void **st)
{
    char message[32], longer[4000];
    (void)st;
    memset(longer, 0xc3, sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    log_line(LOG_DEBUG, "published", "nothing to keep");
    for (int i = 0; i < LOG_RECENT + 7; i++) {
        cJSON *fields = cJSON_CreateObject();
        (void)snprintf(message, sizeof message, "number %d", i);
        assert_non_null(cJSON_AddStringToObject(fields, "collection", i % 2 ? "docs" : ""));
        log_fields(i % 2 ? LOG_ERROR : LOG_WARN, "mismatch", fields, "%s", message);
    }
    cJSON *o = document(NOW);
    assert_int_equal(cJSON_GetArraySize(at(o, "errors")), LOG_RECENT);
    assert_string_equal(text(o, "errors.0.message"), "number 56");
    assert_string_equal(text(o, "errors.0.level"), "warn");
    assert_null(cJSON_GetObjectItem(at(o, "errors.0"), "collection"));
    assert_string_equal(text(o, "errors.1.level"), "error");
    assert_string_equal(text(o, "errors.1.event"), "mismatch");
    assert_string_equal(text(o, "errors.1.collection"), "docs");
    assert_string_equal(text(o, "errors.49.message"), "number 7");
    assert_int_equal(strlen(text(o, "errors.0.time")), strlen("2026-11-25T10:00:00Z"));
    cJSON_Delete(o);
    log_line(LOG_ERROR, "odd", "%s", longer);
    o = document(NOW);
    assert_true(text_is_utf8(text(o, "errors.0.message")));
    cJSON_Delete(o);
}

static void without_memory_there_is_no_document_and_no_crash(void **st)
{
    const struct status_run run = {.slot = NOW, .begun = NOW, .ended = NOW, .failed = 1};
    long n = 0;
    cJSON *o = NULL;
    (void)st;
    want("docs", NOW - DAY);
    publish("docs", FREQUENCY_15MIN, NOW - DAY, 10);
    status_run(l, &run);
    status_busy(l, 0, "publish", NOW - DAY);
    status_drill(l, "docs", "docs-1", 1, "bad", NOW);
    for (; !o; n++) {
        memory_fail_after(n);
        o = status_document(l, NOW);
        memory_fail_after(-1);
    }
    assert_true(n > 200);
    cJSON_Delete(o);
    for (o = NULL, n = 0; !o; n++) {
        memory_fail_after(n);
        o = status_health(l, NOW);
        memory_fail_after(-1);
    }
    cJSON_Delete(o);
    memory_fail_after(0);
    publish("new", FREQUENCY_15MIN, NOW, 10); /* no room for its line: counted, and the rest goes on */
    publish("docs", FREQUENCY_15MIN, NOW, 10);
    want("newer", NOW);
    want("docs", NOW);
    memory_fail_after(-1);
    assert_int_equal(status_newest(l, "docs"), NOW);
    o = document(NOW);
    assert_int_equal(number(o, "counts.tiers.15min.published"), 3);
    cJSON_Delete(o);
}

static void *hammer(void *arg)
{
    const char *name = arg;
    for (int i = 0; i < 300; i++) {
        publish(name, FREQUENCY_15MIN, NOW + i, 10);
        status_busy(l, (unsigned)*name % STATUS_WORKERS, i % 2 ? name : NULL, NOW + i);
        want(i % 3 ? name : NULL, NOW + i);
        status_snapshot_failed(l, name, "why", NOW + i);
        log_line(LOG_DEBUG, "not_told", "below the level");
        (void)status_newest(l, name);
        if (i % 10 == 0)
            cJSON_Delete(status_document(l, NOW + i));
    }
    return NULL;
}

static void any_thread_may_tell_and_ask(void **st)
{
    static char names[4][8] = {"a", "b", "c", "d"};
    pthread_t t[4];
    (void)st;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, names[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    cJSON *o = document(NOW + 300);
    assert_int_equal(number(o, "counts.tiers.15min.published"), 1200);
    cJSON_Delete(o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(before_anything_is_known_nothing_is_claimed),
        TEST(a_published_backup_is_its_collections_newest),
        TEST(a_higher_tier_serves_the_lower_ones),
        TEST(a_clock_that_ran_ahead_makes_no_backup_newer_than_now),
        TEST(after_a_clock_that_ran_ahead_the_real_backups_are_the_newest),
        TEST(under_a_wrong_clock_a_backup_is_as_old_as_by_the_servers),
        TEST(what_is_found_on_efs_replaces_what_was_known),
        TEST(what_is_pruned_is_not_counted),
        TEST(the_last_96_sizes_are_kept_in_order_of_their_slots),
        TEST(each_kind_of_folder_has_a_line_of_its_own),
        TEST(runs_and_counters_add_up),
        TEST(text_from_outside_is_cut_and_made_utf8),
        TEST(there_is_an_end_to_what_is_remembered),
        TEST(the_log_keeps_the_last_warnings_and_errors),
        TEST(without_memory_there_is_no_document_and_no_crash),
        TEST(any_thread_may_tell_and_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
