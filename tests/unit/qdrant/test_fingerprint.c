/* Fingerprints as values: one form for the same content, what fits and what does not, aliases within bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include "qdrant/canonical.h"
#include "qdrant/fingerprint.h"

static const struct fingerprint_plan plan = {.made = true};

static void digest(const char *json, char out[65])
{
    cJSON *v = cJSON_Parse(json);
    struct canonical *c = canonical_new();
    assert_non_null(v);
    assert_non_null(c);
    assert_true(canonical_add(c, v));
    assert_true(canonical_end(c, out));
    canonical_free(c);
    cJSON_Delete(v);
}

static void the_form_is_what_the_header_says(void **st)
{
    /* sha256 of: { s 01000000 a [ n 0000000000000440 t 0 ] s 01000000 b s 02000000 c3bc } made by hand */
    static const char expected[] = "0be62e9ec3f9ae4018739ee12f0904e091fbc0faa575d09d1dab2b175c6502b4";
    char out[65];
    (void)st;
    digest("{\"b\":\"\xc3\xbc\",\"a\":[2.5,true,null]}", out);
    assert_string_equal(out, expected);
}

static void the_order_of_members_and_the_spelling_do_not_count(void **st)
{
    static const char *const same[][2] = {
        {"{\"a\":1,\"b\":{\"x\":1,\"y\":[]}}", "{\"b\":{\"y\":[],\"x\":1},\"a\":1}"},
        {"1.0", "1"},
        {"[0.1]", "[1e-1]"},
        {"\"\\u00fc\"", "\"\xc3\xbc\""},
        {"[ 1 , 2 ]", "[1,2]"}};
    char a[65], b[65];
    (void)st;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        digest(same[i][0], a);
        digest(same[i][1], b);
        assert_string_equal(a, b);
    }
}

static void all_else_counts(void **st)
{
    static const char *const other[][2] = {{"[1,2]", "[2,1]"},
                                           {"[[1],2]", "[[1,2]]"},
                                           {"[]", "{}"},
                                           {"null", "false"},
                                           {"true", "false"},
                                           {"\"1\"", "1"},
                                           {"{\"a\":null}", "{}"},
                                           {"[\"ab\",\"c\"]", "[\"a\",\"bc\"]"},
                                           {"0.1", "0.10000000000000002"},
                                           {"0", "-0.0"},
                                           {"{\"a\":{\"b\":1}}", "{\"a\":1,\"b\":1}"},
                                           {"\"\"", "null"}};
    char a[65], b[65];
    (void)st;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        digest(other[i][0], a);
        digest(other[i][1], b);
        if (strcmp(a, b) == 0)
            fail_msg("%s and %s", other[i][0], other[i][1]);
    }
}

static void long_strings_are_hashed_whole(void **st)
{
    static char json[20003];
    char a[65], b[65];
    (void)st;
    memset(json, 'x', sizeof json);
    json[0] = json[20001] = '"';
    json[20002] = 0;
    digest(json, a);
    json[20000] = 'y';
    digest(json, b);
    assert_string_not_equal(a, b);
}

static struct content_digest print(int64_t points, const char *content)
{
    struct content_digest p = {.points = points, .counted = true, .looked_at = 10, .all = true};
    (void)snprintf(p.config, sizeof p.config, "config");
    (void)snprintf(p.content, sizeof p.content, "%s", content);
    return p;
}

static void what_fits_and_what_does_not(void **st)
{
    static const struct {
        int64_t before, after;
        const char *content_before, *content_after;
        int64_t now;
        const char *content;
        bool exact, fits;
    } table[] = {
        {10, 10, "a", "a", 10, "a", true, true},
        {10, 10, "a", "a", 11, "a", true, false},
        {10, 10, "a", "a", 9, "a", true, false},
        {10, 10, "a", "a", 10, "b", true, false},
        {10, 10, "a", "b", 10, "c", false, true},
        {10, 12, "a", "b", 11, "c", false, true},
        {12, 10, "a", "b", 11, "c", false, true},
        {10, 12, "a", "b", 14, "c", false, true}, /* came and went */
        {10, 12, "a", "b", 15, "c", false, false},
        {10, 12, "a", "b", 0, "c", false, false},
        {1000, 1000, "a", "b", 989, "c", false, false},
        {1000, 1000, "a", "b", 990, "c", false, true},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct content_digest before = print(table[i].before, table[i].content_before),
                              after = print(table[i].after, table[i].content_after),
                              now = print(table[i].now, table[i].content);
        struct fingerprint f;
        char why[FINGERPRINT_TEXT], note[FINGERPRINT_TEXT];
        fingerprint_join(&f, &plan, &before, &after);
        assert_true(f.known);
        assert_int_equal(f.exact, table[i].exact);
        if (fingerprint_fits(&f, &now, why, note) != table[i].fits)
            fail_msg("row %zu: %s %s", i, why, note);
        assert_int_equal(*why != 0, !table[i].fits);
    }
}

static void another_configuration_never_fits(void **st)
{
    struct content_digest before = print(1, "a"), after = before, now = before;
    struct fingerprint f;
    char why[FINGERPRINT_TEXT], note[FINGERPRINT_TEXT];
    (void)st;
    after.config[0] = 'C'; /* changed meanwhile: either is fine */
    fingerprint_join(&f, &plan, &before, &after);
    assert_false(f.exact);
    assert_true(fingerprint_fits(&f, &now, why, note));
    now.config[0] = 'C';
    assert_true(fingerprint_fits(&f, &now, why, note));
    now.config[0] = 'X';
    assert_false(fingerprint_fits(&f, &now, why, note));
    assert_non_null(strstr(why, "configured otherwise"));
}

static void an_estimate_may_be_off(void **st)
{
    struct content_digest before = print(5000000, "a"), now = print(4600000, "a");
    struct fingerprint f;
    char why[FINGERPRINT_TEXT], note[FINGERPRINT_TEXT];
    (void)st;
    before.counted = now.counted = false;
    fingerprint_join(&f, &plan, &before, &before);
    assert_true(fingerprint_fits(&f, &now, why, note));
    now.points = 4000000;
    assert_false(fingerprint_fits(&f, &now, why, note));
}

static void aliases_that_do_not_fit_are_counted(void **st)
{
    struct aliases a = {.known = true};
    char name[256];
    unsigned n = 0;
    (void)st;
    memset(name, 'a', sizeof name);
    name[255] = 0;
    assert_null(aliases_next(&a, NULL));
    for (int i = 0; i < 8; i++)
        assert_true(aliases_add(&a, name)); /* 8 of 256 bytes fill it to the last one */
    assert_false(aliases_add(&a, "b"));
    assert_false(aliases_add(&a, ""));
    for (const char *p = NULL; (p = aliases_next(&a, p)); n++)
        assert_string_equal(p, name);
    assert_int_equal(n, 8);
    assert_int_equal(a.n, 8);
    assert_int_equal(a.left_out, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_form_is_what_the_header_says),
                                       cmocka_unit_test(the_order_of_members_and_the_spelling_do_not_count),
                                       cmocka_unit_test(all_else_counts),
                                       cmocka_unit_test(long_strings_are_hashed_whole),
                                       cmocka_unit_test(what_fits_and_what_does_not),
                                       cmocka_unit_test(another_configuration_never_fits),
                                       cmocka_unit_test(an_estimate_may_be_off),
                                       cmocka_unit_test(aliases_that_do_not_fit_are_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
