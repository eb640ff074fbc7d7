/* Prometheus' text of a document. That promtool takes all of it is tested in tests/product/status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "tests/unit/replicator/status/memory.h"
#include "replicator/status/prometheus.h"

static const char DOCUMENT[] =
    "{\"version\":\"1.2\",\"started\":\"2026-11-25T10:00:00Z\",\"rpo_seconds\":1800,"
    "\"health\":{\"status\":\"failing\",\"reasons\":[{\"severity\":\"failing\"},{\"severity\":\"warning\"}]},"
    "\"efs\":{\"usable\":null,\"hangs\":true},\"s3\":null,\"drill\":null,\"queue\":{\"waiting\":3},"
    "\"counts\":{\"published\":12,\"bytes\":1234567890123,\"tiers\":{\"daily\":{\"published\":5}}},"
    "\"backups\":[{\"kind\":\"collection\",\"collection\":\"a\\\"b\\\\c\\nd{}\",\"shard\":\"\",\"wanted\":"
    "true,"
    "\"late\":false,\"age_seconds\":60,\"newest\":{\"size\":10,\"ratio\":2.5},"
    "\"tiers\":{\"hourly\":{\"count\":4,\"age_seconds\":null}}},"
    "{\"kind\":\"shard\",\"collection\":\"x\",\"shard\":\"7\",\"wanted\":false,\"age_seconds\":null,"
    "\"newest\":null,\"tiers\":{}}]}";

static char *print(const char *json)
{
    size_t size = 0;
    cJSON *o = cJSON_Parse(json);
    assert_non_null(o);
    char *text = prometheus_write(o, &size);
    cJSON_Delete(o);
    assert_non_null(text);
    assert_int_equal(size, strlen(text));
    return text;
}

static void has(const char *text, const char *line)
{
    const char *at = text;
    while ((at = strstr(at, line)) && ((at != text && at[-1] != '\n') || at[strlen(line)] != '\n'))
        at++;
    if (!at)
        fail_msg("no line %s", line);
}

static void numbers_times_and_booleans_become_samples(void **st)
{
    (void)st;
    char *text = print(DOCUMENT);
    has(text, "qdrant_backup_build_info{version=\"1.2\",qdrant_version=\"\"} 1");
    has(text, "qdrant_backup_start_time_seconds 1795600800");
    has(text, "qdrant_backup_rpo_seconds 1800");
    has(text, "qdrant_backup_efs_hangs 1");
    has(text, "qdrant_backup_healthy 0");
    has(text, "qdrant_backup_health_reasons{severity=\"warning\"} 1");
    has(text, "qdrant_backup_published_total 12");
    has(text, "qdrant_backup_published_bytes_total 1234567890123");
    has(text, "qdrant_backup_queue_length{queue=\"waiting\"} 3");
    has(text, "qdrant_backup_tier_published_total{frequency=\"daily\"} 5");
    has(text, "# TYPE qdrant_backup_published_total counter");
    has(text, "# TYPE qdrant_backup_age_seconds gauge");
    free(text);
}

static void a_label_cannot_break_out_of_its_quotes(void **st)
{
    (void)st;
    char *text = print(DOCUMENT);
    has(text,
        "qdrant_backup_age_seconds{collection=\"a\\\"b\\\\c\\nd{}\",kind=\"collection\",shard=\"\"} 60");
    has(text, "qdrant_backup_tier_backups{collection=\"a\\\"b\\\\c\\nd{}\",kind=\"collection\",shard=\"\","
              "frequency=\"hourly\"} 4");
    has(text, "qdrant_backup_wanted{collection=\"x\",kind=\"shard\",shard=\"7\"} 0");
    free(text);
}

static void what_is_not_known_has_no_sample(void **st)
{
    (void)st;
    char *text = print(DOCUMENT);
    assert_null(strstr(text, "efs_usable"));
    assert_null(strstr(text, "drill_ok"));
    assert_null(strstr(text, "s3_ok"));
    assert_null(strstr(text, "qdrant_backup_age_seconds{collection=\"x\""));
    assert_null(strstr(text, "qdrant_backup_tier_age_seconds{"));
    free(text);
    text = print("{}"); /* a document of nothing is still a text */
    has(text, "qdrant_backup_healthy 0");
    free(text);
}

static void without_memory_there_is_no_text_and_no_crash(void **st)
{
    size_t size;
    char *text = NULL;
    cJSON *o = cJSON_Parse(DOCUMENT);
    (void)st;
    for (long n = 0; !text; n++) {
        memory_fail_after(n);
        text = prometheus_write(o, &size);
        memory_fail_after(-1);
    }
    has(text, "qdrant_backup_published_total 12");
    free(text);
    cJSON_Delete(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_times_and_booleans_become_samples),
                                       cmocka_unit_test(a_label_cannot_break_out_of_its_quotes),
                                       cmocka_unit_test(what_is_not_known_has_no_sample),
                                       cmocka_unit_test(without_memory_there_is_no_text_and_no_crash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
