/* Which snapshots fit a collection: a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "qdrant/collection_shape.h"

#define ONE "\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"shard_number\":1"
static const struct {
    const char *there, *live;
    const char *why; /* a part of what is said; NULL: it fits */
} table[] = {
    {"{" ONE "}", "{" ONE "}", NULL},
    {"{" ONE ",\"on_disk_payload\":true,\"replication_factor\":1}", "{" ONE ",\"replication_factor\":2}",
     NULL},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"on_disk\":true},\"shard_number\":1}", "{" ONE "}",
     NULL},
    {"{\"vectors\":{\"size\":8,\"distance\":\"Dot\"},\"shard_number\":1}", "{" ONE "}", "of 8 Dot"},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"},\"shard_number\":1}", "{" ONE "}", "Cosine"},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"uint8\"},\"shard_number\":1}", "{" ONE "}",
     "uint8"},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"float32\"},\"shard_number\":1}",
     "{" ONE "}", NULL},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}},"
     "\"shard_number\":1}",
     "{" ONE "}", "several"},
    {"{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"},\"b\":{\"size\":2,\"distance\":\"Dot\"}},\"shard_"
     "number\":1}",
     "{\"vectors\":{\"b\":{\"size\":2,\"distance\":\"Dot\"},\"a\":{\"size\":4,\"distance\":\"Dot\"}},\"shard_"
     "number\":1}",
     NULL},
    {"{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"}},\"shard_number\":1}", "{" ONE "}",
     "\"a\" of 4 Dot"},
    {"{" ONE "}", "{" ONE ",\"sparse_vectors\":{\"s\":{}}}", "sparse \"s\""},
    {"{" ONE ",\"sparse_vectors\":{\"s\":{}}}", "{" ONE ",\"sparse_vectors\":{\"s\":{\"index\":{}}}}", NULL},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"shard_number\":2}", "{" ONE "}", "it has 2 shards"},
    {"{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", "{" ONE "}", "it has 0 shards"},
    {"{" ONE ",\"sharding_method\":\"custom\"}", "{" ONE "}", "sharding is custom"},
    {"{" ONE ",\"sharding_method\":\"auto\"}", "{" ONE "}", NULL},
    {"[]", "{" ONE "}", "cannot be made out"},
    {"{\"vectors\":{\"size\":\"4\"},\"shard_number\":1}", "{" ONE "}", "cannot be made out"},
    {"{\"vectors\":{},\"shard_number\":1}", "{" ONE "}", "its vectors are none"},
};

static void a_snapshot_fits_a_collection_of_its_shape_and_no_other(void **s)
{
    (void)s;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char why[400] = "";
        cJSON *there = cJSON_Parse(table[i].there), *live = cJSON_Parse(table[i].live);
        assert_true(there && live);
        bool fits = shape_fits(there, live, why, sizeof why);
        if (fits != !table[i].why || (table[i].why && !strstr(why, table[i].why)))
            fail_msg("row %zu: %d, %s", i, fits, why);
        cJSON_Delete(there);
        cJSON_Delete(live);
    }
}

static void a_segment_tells_the_vectors_of_its_shard(void **s)
{
    char why[400] = "";
    cJSON *live = cJSON_Parse("{" ONE ",\"sparse_vectors\":{\"s\":{}}}"),
          *good = cJSON_Parse(
              "{\"vector_data\":{\"\":{\"size\":4,\"distance\":\"Dot\",\"storage_type\":\"Memory\"}},"
              "\"sparse_vector_data\":{\"s\":{}}}"),
          *bad = cJSON_Parse(
              "{\"vector_data\":{\"\":{\"size\":5,\"distance\":\"Dot\"}},\"sparse_vector_data\":{\"s\":{}}}");
    (void)s;
    assert_true(shape_fits_segment(good, live, why, sizeof why));
    assert_false(shape_fits_segment(bad, live, why, sizeof why));
    assert_non_null(strstr(why, "of 5 Dot"));
    cJSON_Delete(live);
    cJSON_Delete(good);
    cJSON_Delete(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_fits_a_collection_of_its_shape_and_no_other),
        cmocka_unit_test(a_segment_tells_the_vectors_of_its_shard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
