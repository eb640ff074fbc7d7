/* CloudWatch's lines: what happened between two documents, and that writing them delays nobody. That they fit
 * the specification's schema is tested in tests/product/status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/unit/replicator/status/memory.h"
#include "common/base/clock.h"
#include "replicator/status/emf.h"

static const struct emf_options options = {"Qdrant/Backups", "prod", "x86_64"};

#define COUNTS(published, bytes, failed, drills)                                                             \
    "\"counts\":{\"published\":" #published ",\"bytes\":" #bytes ",\"failed\":" #failed                      \
    ",\"mismatch\":1,\"conflict\":0,\"snapshots_failed\":2,\"pruned\":4,\"slots_missed\":0,"                 \
    "\"drills\":" #drills ",\"drills_failed\":0,\"s3_failed\":0,\"tiers\":{\"hourly\":{\"bytes\":" #bytes    \
    ",\"stored\":100}}}"
#define BACKUPS                                                                                              \
    "\"backups\":[{\"collection\":\"docs\",\"wanted\":true,\"age_seconds\":300,\"tiers\":{\"hourly\":{"      \
    "\"age_seconds\""                                                                                        \
    ":400},\"daily\":{\"age_seconds\":null}},\"wanted_since\":\"2026-11-25T09:00:00Z\"},{\"collection\":"    \
    "\"old\","                                                                                               \
    "\"wanted\":false,\"age_seconds\":999999,\"tiers\":{}}]"
#define HEAD                                                                                                 \
    "{\"now\":\"2026-11-25T10:00:00Z\",\"version\":\"1\",\"health\":{\"status\":\"ok\",\"reasons\":[]},"     \
    "\"node\":{\"name\":\"n\",\"task_arn\":\"arn\",\"zone\":\"z\"},\"drill\":{\"seconds\":7},"               \
    "\"queue\":{\"waiting\":1,\"publishing\":2,\"s3\":0},\"s3\":null,"
static const char FIRST[] =
    HEAD BACKUPS "," COUNTS(10, 1000, 3, 1) ",\"published\":[{\"n\":10,\"frequency\":\"hourly\""
                                            ",\"seconds\":1}]}";
static const char SECOND[] = HEAD BACKUPS
    "," COUNTS(12, 1250, 3, 1) ",\"published\":[{\"n\":12,\"frequency\":\"hourly\",\"seconds\":3},{\"n\":11,"
                               "\"frequency\":\"daily\",\"seconds\":2},{\"n\":10,\"frequency\":\"hourly\","
                               "\"seconds\":1}]}";

/* The lines between two documents, parsed. */
static cJSON *lines_of(const char *now, const char *before)
{
    cJSON *a = cJSON_Parse(now), *b = before ? cJSON_Parse(before) : NULL, *list = cJSON_CreateArray();
    char **lines = emf_lines(&options, a, b);
    assert_non_null(lines);
    for (char **at = lines; *at; at++) {
        cJSON *o = cJSON_Parse(*at);
        assert_non_null(o);
        assert_true(strlen(*at) < PIPE_BUF);
        assert_string_equal(strchr(*at, '\n'), "\n"); /* one, at the end */
        (void)cJSON_AddItemToArray(list, o);
    }
    emf_lines_free(lines);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return list;
}

/* A metric's value in a line; fails when the line does not define it. */
static double value(const cJSON *line, const char *name)
{
    const cJSON *d, *m;
    cJSON_ArrayForEach(d, cJSON_GetObjectItem(cJSON_GetObjectItem(line, "_aws"), "CloudWatchMetrics"))
        cJSON_ArrayForEach(
            m, cJSON_GetObjectItem(
                   d, "Metrics")) if (strcmp(cJSON_GetObjectItem(m, "Name")->valuestring, name) ==
                                      0) return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(line,
                                                                                                      name));
    fail_msg("no metric %s", name);
    return 0;
}

static void counters_are_told_as_what_was_added(void **st)
{
    (void)st;
    cJSON *list = lines_of(SECOND, FIRST);
    const cJSON *all = cJSON_GetArrayItem(list, 0);
    assert_int_equal(value(all, "SnapshotsCreated"), 2);
    assert_int_equal(value(all, "TotalSnapshotSize"), 250);
    assert_int_equal(value(all, "SnapshotError"), 0);
    assert_int_equal(value(all, "OldestBackupAgeSeconds"), 300); /* "old" is not wanted */
    assert_int_equal(value(all, "QueueDepth"), 3);
    assert_null(cJSON_GetObjectItem(all, "DrillFailed")); /* none was made */
    assert_null(cJSON_GetObjectItem(all, "S3Errors"));    /* there is no S3 */
    cJSON_Delete(list);
}

static void the_first_lines_tell_all_since_the_start(void **st)
{
    (void)st;
    cJSON *list = lines_of(FIRST, NULL);
    const cJSON *all = cJSON_GetArrayItem(list, 0);
    assert_int_equal(value(all, "SnapshotsCreated"), 10);
    assert_int_equal(value(all, "SnapshotError"), 6);
    assert_int_equal(value(all, "DrillFailed"), 0);
    assert_int_equal(value(all, "DrillSeconds"), 7);
    cJSON_Delete(list);
    list = lines_of(FIRST, SECOND); /* what counts less than before has begun anew */
    assert_int_equal(value(cJSON_GetArrayItem(list, 0), "SnapshotsCreated"), 10);
    cJSON_Delete(list);
}

static void each_frequency_has_its_own_line(void **st)
{
    (void)st;
    cJSON *list = lines_of(SECOND, FIRST);
    const cJSON *hourly = cJSON_GetArrayItem(list, 2), *daily = cJSON_GetArrayItem(list, 3);
    assert_int_equal(cJSON_GetArraySize(list), 5);
    assert_string_equal(cJSON_GetObjectItem(hourly, "Frequency")->valuestring, "hourly");
    assert_int_equal(value(hourly, "BackupAgeSeconds"), 400);
    assert_int_equal(value(daily, "BackupAgeSeconds"), 3600); /* none at all since it is wanted */
    assert_int_equal(value(hourly, "BytesStored"), 0);
    assert_null(cJSON_GetObjectItem(hourly, "CompressionRatio"));
    const cJSON *seconds = cJSON_GetObjectItem(hourly, "PublishSeconds");
    assert_int_equal(cJSON_GetArraySize(seconds), 1);
    assert_int_equal(cJSON_GetArrayItem(seconds, 0)->valuedouble, 3);
    cJSON_Delete(list);
    list = lines_of(FIRST, NULL);
    assert_int_equal(value(cJSON_GetArrayItem(list, 2), "BytesStored"), 100);
    assert_int_equal(value(cJSON_GetArrayItem(list, 2), "CompressionRatio"), 10);
    cJSON_Delete(list);
}

static void without_memory_there_are_no_lines_and_no_crash(void **st)
{
    char **lines = NULL;
    cJSON *a = cJSON_Parse(SECOND), *b = cJSON_Parse(FIRST);
    (void)st;
    for (long n = 0; !lines; n++) {
        memory_fail_after(n);
        lines = emf_lines(&options, a, b);
        memory_fail_after(-1);
    }
    emf_lines_free(lines);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* ---- writing ---- */

static char **some_lines(unsigned n, size_t length)
{
    char **lines = calloc(n + 1, sizeof *lines);
    for (unsigned i = 0; lines && i < n; i++) {
        lines[i] = malloc(length + 1);
        assert_non_null(lines[i]);
        memset(lines[i], 'a' + (int)(i % 26), length - 1);
        lines[i][length - 1] = '\n';
        lines[i][length] = 0;
    }
    return lines;
}

static double seconds(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void lines_arrive_whole_and_in_order(void **st)
{
    int ends[2];
    char got[2048] = "";
    (void)st;
    assert_int_equal(pipe(ends), 0);
    struct emf *e = emf_open(ends[1]);
    emf_write(e, some_lines(3, 100));
    emf_write(e, NULL);
    assert_true(emf_close(e, clock_ms() + 5000));
    assert_int_equal(read(ends[0], got, sizeof got), 300);
    assert_memory_equal(got + 98, "a\nb", 3);
    assert_memory_equal(got + 298, "c\n", 2);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void nobody_waits_for_a_pipe_that_is_not_read(void **st)
{
    static char full[65536];
    int ends[2];
    ssize_t n, all = 0;
    (void)st;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, sizeof full), sizeof full);
    assert_int_equal(write(ends[1], full, sizeof full), sizeof full);
    struct emf *e = emf_open(ends[1]);
    double begin = seconds();
    for (int i = 0; i < 100; i++)
        emf_write(e, some_lines(5, 820));
    assert_true(seconds() - begin < 1);
    assert_in_range(emf_dropped(e), 500 - 65, 500 - 64); /* the queue, and one that is being written */
    ssize_t kept = 500 - (ssize_t)emf_dropped(e);
    assert_false(emf_close(e, clock_ms())); /* it hangs, and says so */
    assert_true(seconds() - begin < 2);
    /* Once it is read again, what was queued comes. */
    while (all < (ssize_t)sizeof full + kept * 820 && (n = read(ends[0], full, sizeof full)) > 0)
        all += n;
    assert_true(emf_close(e, clock_ms() + 5000));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* It may be Qdrant's pipe too, and whoever has it may have made it non-blocking for all. */
static void a_pipe_that_does_not_block_loses_nothing(void **st)
{
    int ends[2];
    char got[4096];
    ssize_t n, all = 0;
    (void)st;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    struct emf *e = emf_open(ends[1]);
    emf_write(e, some_lines(20, 1000));
    while (all < 20000 && (n = read(ends[0], got, sizeof got)) > 0)
        all += n;
    assert_true(emf_close(e, clock_ms() + 5000));
    assert_int_equal(all, 20000);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counters_are_told_as_what_was_added),
                                       cmocka_unit_test(the_first_lines_tell_all_since_the_start),
                                       cmocka_unit_test(each_frequency_has_its_own_line),
                                       cmocka_unit_test(without_memory_there_are_no_lines_and_no_crash),
                                       cmocka_unit_test(lines_arrive_whole_and_in_order),
                                       cmocka_unit_test(nobody_waits_for_a_pipe_that_is_not_read),
                                       cmocka_unit_test(a_pipe_that_does_not_block_loses_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
