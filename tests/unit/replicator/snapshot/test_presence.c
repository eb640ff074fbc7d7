/* Which collections somebody has deleted, from lists of names: tables of looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "replicator/snapshot/presence.h"

static char told[200];
static const char *not_ours;

static bool ours(const char *name, void *arg)
{
    (void)arg;
    return !not_ours || strcmp(name, not_ours) != 0;
}
static void gone(const char *name, time_t seen, time_t missing, void *arg)
{
    (void)arg;
    size_t n = strlen(told);
    (void)snprintf(told + n, sizeof told - n, "%s%s seen %ld missing %ld", n ? "; " : "", name, (long)seen,
                   (long)missing);
}

/* `names`: a letter for each collection, sorted. "?": the look failed. */
struct look {
    const char *process, *names;
    time_t now;
};
static const char *after(const struct look *looks, size_t n)
{
    struct presence *p = presence_new();
    assert_non_null(p);
    told[0] = 0;
    for (size_t i = 0; i < n; i++) {
        char text[10][2] = {{0}}, *v[10];
        struct qdrant_names names = {.v = v};
        if (strcmp(looks[i].names, "?") == 0) {
            presence_doubt(p);
            continue;
        }
        for (; looks[i].names[names.n]; names.n++) {
            text[names.n][0] = looks[i].names[names.n];
            v[names.n] = text[names.n];
        }
        struct presence_look l = {.process = looks[i].process,
                                  .names = &names,
                                  .now_ms = (int64_t)looks[i].now * 1000,
                                  .now = looks[i].now,
                                  .settle_ms = 60000,
                                  .ours = ours,
                                  .gone = gone};
        (void)presence_look(p, &l);
    }
    presence_free(p);
    return told;
}
#define AFTER(...)                                                                                           \
    after((const struct look[]){__VA_ARGS__},                                                                \
          sizeof((const struct look[]){__VA_ARGS__}) / sizeof(struct look))

static void a_collection_is_gone_after_two_looks_in_a_row_without_it(void **s)
{
    (void)s;
    assert_string_equal(AFTER({"p", "ab", 100}, {"p", "a", 160}), "");
    assert_string_equal(AFTER({"p", "ab", 100}, {"p", "a", 160}, {"p", "a", 219}), "");
    assert_string_equal(AFTER({"p", "ab", 100}, {"p", "a", 160}, {"p", "a", 220}), "b seen 100 missing 160");
    assert_string_equal(AFTER({"p", "ab", 100}, {"p", "", 160}, {"p", "", 220}, {"p", "", 280}),
                        "b seen 100 missing 160; a seen 100 missing 160");
    assert_string_equal(AFTER({"p", "ab", 100}, {"p", "a", 160}, {"p", "ab", 220}, {"p", "a", 280}), "");
}

static void a_look_that_failed_breaks_the_row(void **s)
{
    (void)s;
    assert_string_equal(AFTER({"p", "ab", 100}, {"p", "a", 160}, {"p", "?", 0}, {"p", "a", 280}), "");
    assert_string_equal(
        AFTER({"p", "ab", 100}, {"p", "a", 160}, {"p", "?", 0}, {"p", "a", 280}, {"p", "a", 340}),
        "b seen 100 missing 280");
}

static void another_process_of_qdrant_has_lost_nothing(void **s)
{
    (void)s;
    assert_string_equal(AFTER({"p", "ab", 100}, {"q", "", 160}, {"q", "", 220}, {"q", "", 280}), "");
    assert_string_equal(
        AFTER({"p", "ab", 100}, {"q", "a", 160}, {"p", "a", 220}, {"q", "a", 280}, {"p", "a", 340}), "");
    assert_string_equal(AFTER({"", "ab", 100}, {"", "a", 160}, {"", "a", 220}), "");
    assert_string_equal(AFTER({"p", "ab", 100}, {"q", "ab", 160}, {"q", "a", 220}, {"q", "a", 280}),
                        "b seen 160 missing 220");
}

static void what_has_left_nothing_on_this_node_is_not_told(void **s)
{
    (void)s;
    not_ours = "b";
    assert_string_equal(AFTER({"p", "abc", 100}, {"p", "", 160}, {"p", "", 220}),
                        "c seen 100 missing 160; a seen 100 missing 160");
    not_ours = NULL;
}

static void a_collection_that_was_made_anew_can_be_deleted_anew(void **s)
{
    (void)s;
    assert_string_equal(
        AFTER({"p", "a", 0}, {"p", "", 60}, {"p", "", 120}, {"p", "a", 180}, {"p", "", 240}, {"p", "", 300}),
        "a seen 0 missing 60; a seen 180 missing 240");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_is_gone_after_two_looks_in_a_row_without_it),
        cmocka_unit_test(a_look_that_failed_breaks_the_row),
        cmocka_unit_test(another_process_of_qdrant_has_lost_nothing),
        cmocka_unit_test(what_has_left_nothing_on_this_node_is_not_told),
        cmocka_unit_test(a_collection_that_was_made_anew_can_be_deleted_anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
