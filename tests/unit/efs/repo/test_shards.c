/* What the manifest keeps of a cluster's shards: as the snapshot says, and the same when it is read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include "efs/repo/shards.h"

static void take(struct shards *s, unsigned id, const char *state)
{
    cJSON *o = cJSON_Parse(state);
    assert_non_null(o);
    assert_true(shards_take_state(s, id, o));
    cJSON_Delete(o);
}

static void take_keys(struct shards *s, const char *keys)
{
    cJSON *o = cJSON_Parse(keys);
    assert_true(shards_take_keys(s, o));
    cJSON_Delete(o);
}

/* As Qdrant 1.18.2 writes them. */
static struct shards sample(void)
{
    struct shards s = {.uuid = "7fdd5915-d175-4449-aa67-122c2db73c43"};
    take(
        &s, 1,
        "{\"is_local\":false,\"this_peer_id\":8741264569174664,\"peers\":{\"2638745970980541\":\"Active\"}}");
    take(&s, 2,
         "{\"is_local\":true,\"this_peer_id\":8741264569174664,\"peers\":{\"8741264569174664\":\"Active\","
         "\"2638745970980541\":\"Partial\"}}");
    take_keys(&s, "[{\"key\":\"b\",\"shard_ids\":[2]},{\"key\":7,\"shard_ids\":[1]}]");
    s.v[1].points = 1LL << 52;
    return s;
}

static void what_is_written_reads_the_same(void **state)
{
    struct shards s = sample(), back;
    cJSON *o = cJSON_CreateObject();
    (void)state;
    assert_true(shards_spread(&s));
    assert_true(shards_add(o, &s));
    assert_true(shards_parse(o, &back));
    assert_string_equal(back.peer, "8741264569174664");
    assert_string_equal(back.uuid, s.uuid);
    assert_int_equal(back.n, 2);
    assert_string_equal(back.v[0].key, "7");
    assert_string_equal(back.v[1].key, "\"b\"");
    assert_true(!back.v[0].local && back.v[1].local);
    assert_int_equal(back.v[0].points, -1);
    assert_int_equal(back.v[1].points, 1LL << 52);
    assert_string_equal(shard_state(&back.v[1], "2638745970980541"), "Partial");
    assert_string_equal(shard_state(&back.v[0], "8741264569174664"), "");
    assert_true(shards_have_peer(&back, "2638745970980541"));
    assert_false(shards_have_peer(&back, "1"));
    assert_null(shards_find(&back, 3));
    shards_free(&back);
    shards_free(&s);
    cJSON_Delete(o);
}

static void one_node_has_nothing_to_tell(void **state)
{
    static const char *const alone[] = {
        "{\"is_local\":true,\"this_peer_id\":7,\"peers\":{\"7\":\"Active\"}}",
        "{\"is_local\":true,\"this_peer_id\":7,\"peers\":{}}",
        "{\"is_local\":true,\"peers\":{\"7\":\"Active\"}}",
        "[]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        struct shards s = {0};
        cJSON *o = cJSON_CreateObject();
        take(&s, 0, alone[i]);
        assert_false(shards_spread(&s));
        assert_true(shards_add(o, &s) && !o->child);
        assert_true(shards_add(o, NULL) && !o->child);
        shards_free(&s);
        cJSON_Delete(o);
    }
}

static void so_many_that_no_manifest_has_room_are_left_out(void **state)
{
    struct shards s = {.peer = "7"};
    cJSON *o = cJSON_CreateObject();
    (void)state;
    for (unsigned i = 0; i < 20000; i++)
        take(&s, i, "{\"is_local\":false,\"peers\":{\"1234567890123456\":\"Active\"}}");
    assert_true(shards_spread(&s));
    assert_true(shards_add(o, &s) && !o->child);
    shards_free(&s);
    cJSON_Delete(o);
}

static void they_are_in_the_order_of_their_numbers(void **state)
{
    static const unsigned ids[] = {7, 3, 9, 3, 0, 65535, 7, 8};
    struct shards s = {0};
    (void)state;
    assert_null(shards_find(&s, 0));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_int_equal(shards_get(&s, ids[i])->id, ids[i]);
    assert_int_equal(s.n, 6);
    for (size_t i = 1; i < s.n; i++)
        assert_true(s.v[i - 1].id < s.v[i].id);
    assert_ptr_equal(shards_find(&s, 65535), &s.v[5]);
    assert_null(shards_find(&s, 4));
    shards_free(&s);
}

static void whatever_else_stands_there_is_not_taken_for_it(void **state)
{
    static const char *const not [] = {
        "{}",
        "{\"cluster\":7}",
        "{\"cluster\":{\"peer_id\":\"7\"}}",
        "{\"cluster\":{\"peer_id\":\"7\",\"shards\":[]}}",
        "{\"cluster\":{\"peer_id\":7,\"shards\":[{\"id\":1}]}}",
        "{\"cluster\":{\"peer_id\":\"\",\"shards\":[{\"id\":1}]}}",
        "{\"cluster\":{\"peer_id\":\"7\",\"shards\":[{\"id\":-1}]}}",
        "{\"cluster\":{\"peer_id\":\"7\",\"shards\":[{\"id\":1e9}]}}",
        "{\"cluster\":{\"peer_id\":\"7\",\"shards\":[{\"id\":\"1\"}]}}",
        "{\"cluster\":{\"peer_id\":\"7\",\"shards\":[7]}}",
        "{\"cluster\":{\"peer_id\":\"7\",\"shards\":[{\"id\":1,\"key\":[1]}]}}",
        "{\"cluster\":{\"peer_id\":\"1234567890123456789012345\",\"shards\":[{\"id\":1}]}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++) {
        struct shards s;
        cJSON *o = cJSON_Parse(not [i]);
        assert_non_null(o);
        assert_false(shards_parse(o, &s));
        shards_free(&s);
        cJSON_Delete(o);
    }
}

static void a_state_that_is_no_text_is_none(void **state)
{
    struct shards s = {0};
    (void)state;
    take(&s, 0,
         "{\"is_local\":true,\"this_peer_id\":7,\"peers\":{\"7\":3,\"8\":\"Active\",\"\":\"Active\"}}");
    assert_string_equal(shard_state(&s.v[0], "7"), "");
    assert_int_equal(s.v[0].n, 1);
    take_keys(&s, "{\"a\":[0]}"); /* before 1.12 */
    assert_null(s.v[0].key);
    shards_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(one_node_has_nothing_to_tell),
        cmocka_unit_test(so_many_that_no_manifest_has_room_are_left_out),
        cmocka_unit_test(they_are_in_the_order_of_their_numbers),
        cmocka_unit_test(whatever_else_stands_there_is_not_taken_for_it),
        cmocka_unit_test(a_state_that_is_no_text_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
