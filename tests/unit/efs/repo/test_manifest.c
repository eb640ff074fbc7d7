/* The manifest: what is printed reads the same; whatever else stands there is told apart, never believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include "efs/repo/manifest.h"

static const char HASH[] = "53c234e5e8472b6ac51c1ae1cab3fe06fad053beb8ebfd8977b010655bfdd3c3";

static struct manifest sample(void)
{
    struct manifest m = {
        .source = {.kind = KIND_SHARD, .collection = "emoji 🎉", .shard = "3", .stem = "a\"b\\c", .peer = "7"},
        .node = "node-a",
        .frequency = FREQUENCY_DAILY,
        .slot = 1795507200,
        .created = 1795507163,
        .data = "x.snapshot.zst",
        .codec = "zstd:3",
        .qdrant_checksum = true,
        .upload = true,
        .points_of_node = true,
        .qdrant_version = "1.18.2",
        .points = 5,
        .written_by = "qdrant-replicator@h",
        .seconds = 1.5};
    m.content = (struct copy_result){.size = 1ULL << 45, .stored_size = 3};
    memcpy(m.content.sha256, HASH, sizeof HASH);
    memcpy(m.content.stored_sha256, HASH, sizeof HASH);
    return m;
}

static void what_is_printed_reads_the_same(void **st)
{
    struct manifest m = sample(), back;
    struct err e;
    (void)st;
    for (int i = 0; i < 2; i++, m.points = -1) {
        char *text = manifest_print(&m, NULL);
        assert_non_null(text);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_int_equal(manifest_parse(text, "x", &back, &e), 0);
        free(text);
        assert_string_equal(back.source.collection, m.source.collection);
        assert_string_equal(back.source.stem, m.source.stem);
        assert_string_equal(back.source.shard, m.source.shard);
        assert_string_equal(back.source.peer, m.source.peer);
        assert_string_equal(back.node, m.node);
        assert_string_equal(back.data, m.data);
        assert_string_equal(back.codec, m.codec);
        assert_string_equal(back.content.sha256, HASH);
        assert_string_equal(back.content.stored_sha256, HASH);
        assert_int_equal(back.source.kind, m.source.kind);
        assert_int_equal(back.frequency, m.frequency);
        assert_int_equal(back.slot, m.slot);
        assert_int_equal(back.created, m.created);
        assert_int_equal(back.content.size, m.content.size);
        assert_int_equal(back.points, m.points);
        assert_true(back.qdrant_checksum && back.upload && back.points_of_node);
    }
}

static void refused(cJSON *o)
{
    struct manifest m;
    struct err e = {0};
    char *text = cJSON_Print(o);
    assert_int_equal(manifest_parse(text, "/efs/x.json", &m, &e), -1);
    assert_non_null(strstr(e.text, "/efs/x.json"));
    cJSON_free(text);
}

static struct manifest with_fingerprint(void)
{
    struct manifest m = sample();
    struct content_digest p = {.points = 7, .counted = true, .looked_at = 7, .all = true};
    memcpy(p.config, HASH, sizeof HASH);
    memcpy(p.content, HASH, sizeof HASH);
    fingerprint_join(&m.fingerprint, &(struct fingerprint_plan){.seeded = true, .seed = UINT64_MAX - 1}, &p,
                     &p);
    m.fingerprint.after.points = 9;
    m.aliases = (struct aliases){.known = true, .left_out = 3};
    assert_true(aliases_add(&m.aliases, "prod"));
    assert_true(aliases_add(&m.aliases, "\xc3\xa4lias"));
    return m;
}

static void fingerprint_and_aliases_read_the_same(void **st)
{
    struct manifest m = with_fingerprint(), back;
    struct err e;
    char *text = manifest_print(&m, NULL);
    const char *name;
    (void)st;
    assert_int_equal(manifest_parse(text, "x", &back, &e), 0);
    free(text);
    assert_true(back.fingerprint.known && back.fingerprint.exact);
    assert_true(back.fingerprint.plan.seeded && back.fingerprint.plan.seed == UINT64_MAX - 1);
    assert_int_equal(back.fingerprint.before.points, 7);
    assert_int_equal(back.fingerprint.after.points, 9);
    assert_true(back.fingerprint.after.counted && back.fingerprint.after.all);
    assert_int_equal(back.fingerprint.after.looked_at, 7);
    assert_string_equal(back.fingerprint.before.content, HASH);
    assert_string_equal(back.fingerprint.after.config, HASH);
    assert_true(back.aliases.known);
    assert_int_equal(back.aliases.n, 2);
    assert_int_equal(back.aliases.left_out, 3);
    name = aliases_next(&back.aliases, NULL);
    assert_string_equal(name, "prod");
    assert_string_equal(aliases_next(&back.aliases, name), "\xc3\xa4lias");
}

static void places_read_the_same_and_nothing_else_is_one(void **st)
{
    struct manifest m = with_fingerprint(), back;
    struct fingerprint_plan plan = {
        .made = true,
        .count = true,
        .each = 40,
        .n = 3,
        .at = {"", "18446744073709551615", "01234567-89ab-cdef-0123-456789abcdef"}};
    struct err e;
    (void)st;
    m.fingerprint.plan = plan;
    char *text = manifest_print(&m, NULL), *number = strstr(text, "18446744073709551615");
    assert_null(strstr(text, "seed")); /* older programs take it for none, in place of looking elsewhere */
    assert_int_equal(manifest_parse(text, "x", &back, &e), 0);
    assert_true(back.fingerprint.known);
    assert_memory_equal(&back.fingerprint.plan, &plan, sizeof plan);
    assert_non_null(number);
    number[0] = '-';
    assert_int_equal(manifest_parse(text, "x", &back, &e), 0);
    assert_false(back.fingerprint.known);
    free(text);
}

/* Those of before there were any: the members are not there, and the manifest is as good as ever. */
static void an_old_manifest_has_neither(void **st)
{
    struct manifest m = sample(), back;
    struct err e;
    char *text = manifest_print(&m, NULL);
    (void)st;
    assert_null(strstr(text, "fingerprint"));
    assert_null(strstr(text, "aliases"));
    assert_int_equal(manifest_parse(text, "x", &back, &e), 0);
    assert_false(back.fingerprint.known || back.aliases.known);
    free(text);
}

static void a_garbled_fingerprint_is_none_and_no_harm(void **st)
{
    static const struct {
        const char *key, *value;
    } bad[] = {{"seed", "5"},      {"seed", "\"xyz\""}, {"seed", "\"000000000000000g\""},
               {"before", "null"}, {"after", "{}"},     {"after", "{\"points\":1,\"config\":\"\"}"}};
    struct manifest m = with_fingerprint(), back;
    struct err e;
    char *text = manifest_print(&m, NULL);
    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *o = cJSON_Parse(text);
        assert_true(cJSON_ReplaceItemInObject(cJSON_GetObjectItem(o, "fingerprint"), bad[i].key,
                                              cJSON_Parse(bad[i].value)));
        char *json = cJSON_Print(o);
        assert_int_equal(manifest_parse(json, "x", &back, &e), 0);
        assert_false(back.fingerprint.known);
        cJSON_free(json);
        cJSON_Delete(o);
    }
    free(text);
}

static void each_field_that_a_restore_needs_is_required(void **st)
{
    static const char *const needed[] = {"format", "collection", "snapshot", "kind",        "shard",
                                         "node",   "frequency",  "slot",     "created",     "data",
                                         "codec",  "size",       "sha256",   "stored_size", "stored_sha256"};
    struct manifest m = sample();
    char *text = manifest_print(&m, NULL);
    (void)st;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        cJSON *o = cJSON_Parse(text);
        cJSON_DeleteItemFromObject(o, needed[i]);
        refused(o);
        cJSON_AddItemToObject(o, needed[i], cJSON_CreateTrue());
        refused(o);
        cJSON_Delete(o);
    }
    free(text);
}

static void wrong_values_are_refused(void **st)
{
    static const struct {
        const char *key, *value;
    } bad[] = {{"format", "2"},
               {"data", "\"../x\""},
               {"data", "\"/x\""},
               {"data", "\".x\""},
               {"data", "\"\""},
               {"size", "-1"},
               {"size", "1e300"},
               {"size", "\"5\""},
               {"sha256", "\"00\""},
               {"slot", "\"yesterday\""},
               {"kind", "\"thing\""},
               {"frequency", "\"weekly\""},
               {"stored_sha256", "\"53C234e5e8472b6ac51c1ae1cab3fe06fad053beb8ebfd8977b010655bfdd3c3\""}};
    struct manifest m = sample();
    char *text = manifest_print(&m, NULL);
    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *o = cJSON_Parse(text);
        assert_true(cJSON_ReplaceItemInObject(o, bad[i].key, cJSON_Parse(bad[i].value)));
        refused(o);
        cJSON_Delete(o);
    }
    free(text);
}

static void any_cut_of_it_is_refused(void **st)
{
    struct manifest m = sample(), back;
    struct err e;
    char *text = manifest_print(&m, NULL);
    (void)st;
    for (size_t n = strlen(text) - 2; n > 0; n--) {
        text[n] = 0;
        assert_int_equal(manifest_parse(text, "x", &back, &e), -1);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_printed_reads_the_same),
                                       cmocka_unit_test(fingerprint_and_aliases_read_the_same),
                                       cmocka_unit_test(places_read_the_same_and_nothing_else_is_one),
                                       cmocka_unit_test(places_read_the_same_and_nothing_else_is_one),
                                       cmocka_unit_test(an_old_manifest_has_neither),
                                       cmocka_unit_test(a_garbled_fingerprint_is_none_and_no_harm),
                                       cmocka_unit_test(each_field_that_a_restore_needs_is_required),
                                       cmocka_unit_test(wrong_values_are_refused),
                                       cmocka_unit_test(any_cut_of_it_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
