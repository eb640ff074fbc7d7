/* Marks of how far collections were written to, from Qdrant's telemetry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include "qdrant/marks.h"

#define SHARD(id, op, length)                                                                                \
    "{\"id\":" id ",\"local\":{\"num_points\":3,\"update_queue\":{\"length\":" length ",\"op_num\":" op      \
    "}},"                                                                                                    \
    "\"remote\":[]}"
#define ONE(name, config, shards) "{\"id\":\"" name "\",\"config\":" config ",\"shards\":[" shards "]}"
#define ALL(process, list) "{\"id\":\"" process "\",\"collections\":{\"collections\":[" list "]}}"

static const char *mark(const char *json)
{
    static char out[4][65];
    static unsigned at;
    struct qdrant_marks m;
    struct err e = {0};
    cJSON *o = cJSON_Parse(json);
    char *to = out[at++ % 4];
    assert_non_null(o);
    assert_int_equal(qdrant_marks_read(o, &m, &e), 0);
    (void)snprintf(to, 65, "%s", qdrant_marks_of(&m, "c"));
    qdrant_marks_free(&m);
    cJSON_Delete(o);
    return to;
}

static void each_write_and_each_change_of_the_configuration_makes_another_one(void **st)
{
    static const char *const other[] = {
        ALL("p", ONE("c", "{\"a\":1}", SHARD("0", "6", "0"))),
        ALL("p", ONE("c", "{\"a\":1}", SHARD("0", "5", "1"))),
        ALL("p", ONE("c", "{\"a\":2}", SHARD("0", "5", "0"))),
        ALL("q", ONE("c", "{\"a\":1}", SHARD("0", "5", "0"))),
        ALL("p", ONE("c", "{\"a\":1}", SHARD("1", "5", "0"))),
        ALL("p", ONE("c", "{\"a\":1}", SHARD("0", "5", "0") "," SHARD("1", "0", "0")))};
    (void)st;
    char now[65];
    (void)snprintf(now, sizeof now, "%s", mark(ALL("p", ONE("c", "{\"a\":1}", SHARD("0", "5", "0")))));
    assert_int_equal(strlen(now), 64);
    assert_string_equal(now,
                        mark(ALL("p", ONE("b", "{}", "") "," ONE("c", "{\"a\":1}", SHARD("0", "5", "0")))));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_string_not_equal(mark(other[i]), now);
}

static void shards_of_other_nodes_count_for_nothing(void **st)
{
    (void)st;
    assert_string_equal(
        mark(ALL("p", ONE("c", "{}", SHARD("0", "5", "0") ",{\"id\":1,\"local\":null,\"remote\":[{}]}"))),
        mark(ALL("p", ONE("c", "{}", SHARD("0", "5", "0")))));
}

static void what_qdrant_does_not_tell_has_no_mark(void **st)
{
    static const char *const odd[] = {
        ALL("p", ONE("other", "{}", SHARD("0", "5", "0"))),
        ALL("p", ONE("c", "{}", SHARD("0", "null", "0"))),
        ALL("p", ONE("c", "{}", "{\"id\":0,\"local\":{}}")),
        ALL("p", "{\"id\":\"c\"}"),
        ALL("p", "{\"vectors\":7}"),
        "{\"collections\":{\"collections\":[" ONE("c", "{}", SHARD("0", "5", "0")) "]}}"};
    struct qdrant_marks m;
    struct err e = {0};
    (void)st;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_string_equal(mark(odd[i]), "");
    cJSON *o = cJSON_Parse("{\"id\":\"p\",\"collections\":{\"number_of_collections\":3}}");
    assert_int_equal(qdrant_marks_read(o, &m, &e), -1);
    assert_string_equal(qdrant_marks_of(&m, "c"), "");
    cJSON_Delete(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_write_and_each_change_of_the_configuration_makes_another_one),
        cmocka_unit_test(shards_of_other_nodes_count_for_nothing),
        cmocka_unit_test(what_qdrant_does_not_tell_has_no_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
