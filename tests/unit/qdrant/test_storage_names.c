/* What a snapshot of the whole storage may name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/json.h"
#include "qdrant/storage_names.h"

static void a_name_is_one_component_of_a_path(void **st)
{
    static const struct {
        const char *name;
        bool fits;
    } table[] = {
        {"docs", true},   {"docs-1-2026-11-24-07-59-31.snapshot", true},
        {"...", true},    {".hidden", true},
        {"a b\\c", true}, {"\xc3\xa9", true},
        {"", false},      {".", false},
        {"..", false},    {"a/b", false},
        {"/", false},     {"/etc/passwd", false},
        {"../x", false},  {"a:b", false},
        {":", false},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (storage_name_fits(table[i].name) != table[i].fits)
            fail_msg("%s", table[i].name);
}

static void members_are_files_in_one_folder_with_one_config(void **st)
{
    struct storage_names s = {0};
    struct err e = {0};
    (void)st;
    assert_int_equal(storage_names_member(&s, "docs-1.snapshot", &e), 0);
    assert_int_equal(storage_names_member(&s, "././config.json", &e), STORAGE_CONFIG);
    assert_int_equal(storage_names_member(&s, "config.json", &e), -1);
    assert_non_null(strstr(e.text, "second config.json"));
    static const char *const bad[] = {"a/config.json",  "./a/b.snapshot", "..", ".", "", "./",
                                      ".//config.json", "c:d.snapshot"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (storage_names_member(&s, bad[i], &e) != -1)
            fail_msg("%s", bad[i]);
}

static void there_is_an_end_to_members(void **st)
{
    struct storage_names s = {.n = STORAGE_MEMBERS_MAX - 1};
    struct err e;
    (void)st;
    assert_int_equal(storage_names_member(&s, "a", &e), 0);
    assert_int_equal(storage_names_member(&s, "a", &e), -1);
}

static void a_mapping_has_names_that_fit(void **st)
{
    static const struct {
        const char *json;
        int rc;
    } table[] = {
        {"{\"collections_mapping\":{}}", 0},
        {"{\"collections_mapping\":{\"c\":\"c-1.snapshot\"},\"collections_aliases\":{\"a/b\":\"c\"}}", 0},
        {"{\"collections_mapping\":{\"c\":\"c-1.snapshot\"},\"collections_aliases\":null}", 0},
        {"{}", -1},
        {"null", -1},
        {"{\"collections_mapping\":[]}", -1},
        {"{\"collections_mapping\":{\"c\":7}}", -1},
        {"{\"collections_mapping\":{\"c\":\"\"}}", -1},
        {"{\"collections_mapping\":{\"c\":\"/tmp/x\"}}", -1},
        {"{\"collections_mapping\":{\"c\":\"../x\"}}", -1},
        {"{\"collections_mapping\":{\"c\":\"..\"}}", -1},
        {"{\"collections_mapping\":{\"c\":\"x:y\"}}", -1},
        {"{\"collections_mapping\":{\"\":\"x\"}}", -1},
        {"{\"collections_mapping\":{\"..\":\"x\"}}", -1},
        {"{\"collections_mapping\":{\"../../efs\":\"x\"}}", -1},
        {"{\"collections_mapping\":{\"good\":\"x\",\"a:b\":\"x\"}}", -1},
        {"{\"collections_mapping\":{},\"collections_aliases\":[]}", -1},
        {"{\"collections_mapping\":{},\"collections_aliases\":{\"a\":{}}}", -1},
    };
    struct err e;
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        cleanup_json cJSON *o = cJSON_Parse(table[i].json);
        assert_non_null(o);
        if (storage_names_check(o, &e) != table[i].rc)
            fail_msg("%s", table[i].json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_name_is_one_component_of_a_path),
                                       cmocka_unit_test(members_are_files_in_one_folder_with_one_config),
                                       cmocka_unit_test(there_is_an_end_to_members),
                                       cmocka_unit_test(a_mapping_has_names_that_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
