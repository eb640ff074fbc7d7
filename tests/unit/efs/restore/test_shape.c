/* Is a collection made as the one of a snapshot, and in which order are shard keys made? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/restore/shape.h"
#include "efs/restore/shard_keys.h"
#include <cjson/cJSON.h>
#include <string.h>

static cJSON *json(const char *text)
{
    cJSON *o = cJSON_Parse(text);
    if (!o)
        fail_msg("no JSON: %s", text);
    return o;
}

static void each_difference_in_the_configuration_is_found_and_named(void **st)
{
    static const struct {
        const char *config, *indexes, *now, *says; /* "": there is none */
    } t[] = {
        {"{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}}", "{\"schema\":{}}",
         "{\"config\":{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}},\"payload_schema\":{}}",
         ""},
        {"{\"params\":{\"vectors\":{\"size\":4}}}", "{}",
         "{\"config\":{\"params\":{\"vectors\":{\"size\":5}}}}", "vectors.size is 5, in the backup 4"},
        {"{\"params\":{\"replication_factor\":1,\"write_consistency_factor\":1}}", "{}",
         "{\"config\":{\"params\":{\"replication_factor\":2,\"read_fan_out_factor\":3}}}", ""},
        {"{\"params\":{\"sparse_vectors\":{}}}", "{}", "{\"config\":{\"params\":{}}}", ""},
        {"{\"params\":{\"sparse_vectors\":{\"w\":{}}}}", "{}", "{\"config\":{\"params\":{}}}",
         "sparse_vectors is missing"},
        {"{\"params\":{\"sparse_vectors\":{\"w\":{},\"x\":{}}}}", "{}",
         "{\"config\":{\"params\":{\"sparse_vectors\":{\"w\":{}}}}}", "sparse_vectors.x is missing"},
        {"{\"params\":{\"sparse_vectors\":{\"w\":{\"modifier\":\"idf\"}}}}", "{}",
         "{\"config\":{\"params\":{}}}", "sparse_vectors is missing"},
        {"{\"params\":{}}", "{}", "{\"config\":{\"params\":{\"on_disk_payload\":true}}}",
         "on_disk_payload is not in the backup"},
        {"{\"params\":{\"x\":null,\"y\":false}}", "{}", "{\"config\":{\"params\":{}}}", ""},
        {"{\"params\":{}}", "{}", "{\"config\":{\"params\":{\"sharding_method\":\"auto\"}}}", ""},
        {"{\"params\":{\"sharding_method\":\"custom\"}}", "{}", "{\"config\":{\"params\":{}}}",
         "sharding_method is missing"},
        {"{\"params\":{},\"strict_mode_config\":{\"enabled\":true,\"max_query_limit\":9}}", "{}",
         "{\"config\":{\"params\":{},\"strict_mode_config\":{\"enabled\":true,\"max_query_limit\":8}}}",
         "strict_mode_config.max_query_limit is 8, in the backup 9"},
        {"{\"params\":{},\"strict_mode_config\":{\"enabled\":false}}", "{}", "{\"config\":{\"params\":{}}}",
         ""},
        {"{\"params\":{},\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}", "{}",
         "{\"config\":{\"params\":{},\"quantization_config\":null}}", "quantization_config is missing"},
        {"{\"params\":{},\"hnsw_config\":{\"m\":16}}", "{}",
         "{\"config\":{\"params\":{},\"hnsw_config\":{\"m\":8}}}", "hnsw_config.m is 8, in the backup 16"},
        {"{\"params\":{}}", "{\"schema\":{\"city\":\"keyword\"}}",
         "{\"config\":{\"params\":{}},\"payload_schema\":{\"city\":{\"data_type\":\"keyword\",\"points\":9}}"
         "}",
         ""},
        {"{\"params\":{}}", "{\"schema\":{\"n\":{\"type\":\"integer\",\"lookup\":true}}}",
         "{\"config\":{\"params\":{}},\"payload_schema\":{\"n\":{\"data_type\":\"integer\",\"params\":{"
         "\"type\":\"integer\","
         "\"lookup\":true,\"range\":false},\"points\":9}}}",
         ""},
        {"{\"params\":{}}", "{\"schema\":{\"city\":\"keyword\"}}",
         "{\"config\":{\"params\":{}},\"payload_schema\":{}}", "payload index city is missing"},
        {"{\"params\":{}}", "{\"schema\":{\"city\":\"keyword\"}}",
         "{\"config\":{\"params\":{}},\"payload_schema\":{\"city\":{\"data_type\":\"text\",\"points\":9}}}",
         "payload index city.type is \"text\", in the backup \"keyword\""},
        {"{\"params\":{}}", "{\"schema\":{}}",
         "{\"config\":{\"params\":{}},\"payload_schema\":{\"city\":{\"data_type\":\"text\",\"points\":9}}}",
         "payload index city is not in the backup"},
    };
    (void)st;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char out[SHAPE_TEXT];
        struct inside_says says = {.config = json(t[i].config), .indexes = json(t[i].indexes)};
        cJSON *now = json(t[i].now);
        size_t n = shape_differs(&says, now, out);
        if ((n == 0) != !*t[i].says || (n > 0 && !strstr(out, t[i].says)))
            fail_msg("%zu %s: %s", i, t[i].says, out);
        cJSON_Delete(says.config);
        cJSON_Delete(says.indexes);
        cJSON_Delete(now);
    }
}

static void shard_keys_are_made_in_the_order_of_their_numbers_with_fillers_between(void **st)
{
    cJSON *m = json("[{\"key\":\"c\",\"shard_ids\":[7,6]},{\"key\":\"a\",\"shard_ids\":[1]},{\"key\":9,"
                    "\"shard_ids\":[4]}]");
    struct key_plan p = {0};
    struct err e = {0};
    (void)st;
    assert_int_equal(key_plan_make(m, &p, &e), 0);
    static const struct {
        const char *key; /* NULL: a filler */
        unsigned first, n;
    } want[] = {{"\"a\"", 1, 1}, {NULL, 2, 2}, {"9", 4, 1}, {NULL, 5, 1}, {"\"c\"", 6, 2}};
    assert_int_equal(p.n, sizeof want / sizeof *want);
    for (size_t i = 0; i < p.n; i++) {
        char *key = p.v[i].key ? cJSON_PrintUnformatted(p.v[i].key) : NULL;
        assert_int_equal(!key, !want[i].key);
        if (key)
            assert_string_equal(key, want[i].key);
        assert_int_equal(p.v[i].first, want[i].first);
        assert_int_equal(p.v[i].n, want[i].n);
        cJSON_free(key);
    }
    key_plan_free(&p);
    cJSON_Delete(m);
}

static void numbers_that_no_order_gives_are_refused_with_the_way_out(void **st)
{
    static const char *const bad[] = {
        "[{\"key\":\"a\",\"shard_ids\":[0]}]",
        "[{\"key\":\"a\",\"shard_ids\":[1,3]},{\"key\":\"b\",\"shard_ids\":[2]}]",
        "[{\"key\":\"a\",\"shard_ids\":[1]},{\"key\":\"b\",\"shard_ids\":[1]}]",
        "[{\"key\":\"a\",\"shard_ids\":[]}]",
        "[{\"shard_ids\":[1]}]",
        "[{\"key\":{},\"shard_ids\":[1]}]",
        "[{\"key\":\"a\",\"shard_ids\":[1e99]}]",
        "[{\"key\":\"a\",\"shard_ids\":[-1]}]",
        "[{\"key\":\"a\",\"shard_ids\":[\"1\"]}]",
        "{\"a\":[1]}",
        "7"};
    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *m = json(bad[i]);
        struct key_plan p = {0};
        struct err e = {0};
        if (key_plan_make(m, &p, &e) == 0 || !strstr(e.text, "--as-storage"))
            fail_msg("%s: %s", bad[i], e.text);
        key_plan_free(&p);
        cJSON_Delete(m);
    }
}

static void the_keys_that_are_there_must_have_the_numbers_of_the_backup(void **st)
{
    static const struct {
        const char *cluster, *why;
    } t[] = {
        {"{\"shard_count\":2,\"local_shards\":[{\"shard_id\":1,\"shard_key\":\"a\"},{\"shard_id\":2,\"shard_"
         "key\":7}]}",
         ""},
        {"{\"shard_count\":2,\"local_shards\":[{\"shard_id\":1,\"shard_key\":\"a\"}],\"remote_shards\":[{"
         "\"shard_id\":2,"
         "\"shard_key\":7}]}",
         ""},
        {"{\"shard_count\":2,\"local_shards\":[{\"shard_id\":2,\"shard_key\":\"a\"},{\"shard_id\":1,\"shard_"
         "key\":7}]}",
         "shard 1 is of the key \"a\" in the backup, and of 7 in Qdrant"},
        {"{\"shard_count\":2,\"local_shards\":[{\"shard_id\":1,\"shard_key\":\"a\"},{\"shard_id\":2,\"shard_"
         "key\":\"7\"}]}",
         "shard 2 is of the key 7"},
        {"{\"shard_count\":1,\"local_shards\":[{\"shard_id\":1,\"shard_key\":\"a\"}]}", "not there"},
        {"{\"shard_count\":3,\"local_shards\":[{\"shard_id\":1,\"shard_key\":\"a\"},{\"shard_id\":2,\"shard_"
         "key\":7},"
         "{\"shard_id\":3,\"shard_key\":\"c\"}]}",
         "3 shards are in Qdrant, and 2 in the backup"},
        {"{\"shard_count\":0}", "not there"},
    };
    cJSON *m = json("[{\"key\":\"a\",\"shard_ids\":[1]},{\"key\":7,\"shard_ids\":[2]}]");
    (void)st;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char why[300];
        cJSON *c = json(t[i].cluster);
        bool same = key_mapping_is(m, c, why);
        if (same != !*t[i].why || !strstr(why, t[i].why))
            fail_msg("%zu: %s", i, why);
        cJSON_Delete(c);
    }
    cJSON_Delete(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_difference_in_the_configuration_is_found_and_named),
        cmocka_unit_test(shard_keys_are_made_in_the_order_of_their_numbers_with_fillers_between),
        cmocka_unit_test(numbers_that_no_order_gives_are_refused_with_the_way_out),
        cmocka_unit_test(the_keys_that_are_there_must_have_the_numbers_of_the_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
