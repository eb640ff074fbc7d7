/* Which filter is named when none is left, and what it is told beside it. */
#include "efs/cli/cmd_why_none.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { T0 = 1795536000 }; /* 2026-11-24T16:00:00Z */

static void add(struct backup_list *list, const char *collection, const char *node, enum frequency f,
                time_t taken)
{
    struct backup *b = &list->v[list->n++];
    memset(b, 0, sizeof *b);
    b->frequency = f;
    b->written = b->m.created = b->m.source.taken = taken;
    b->m.slot = frequency_slot(taken);
    (void)snprintf(b->m.source.collection, sizeof b->m.source.collection, "%s", collection);
    (void)snprintf(b->m.source.stem, sizeof b->m.source.stem, "%s-%lld", collection, (long long)(taken - T0));
    (void)snprintf(b->stem, sizeof b->stem, "%s", b->m.source.stem);
    (void)snprintf(b->m.node, sizeof b->m.node, "%s", node);
}

static void the_filter_that_leaves_nothing_is_named_with_what_there_is(void **state)
{
    const struct {
        const char *collection, *node, *snapshot;
        int frequency;
        time_t at;
        const char *text; /* NULL: something is left */
    } t[] = {
        {NULL, NULL, NULL, -1, 0, NULL},
        {"docs", "a", "docs-0", FREQUENCY_DAILY, T0, NULL},
        {"dosc", NULL, NULL, -1, 0, "no backup of dosc below /efs; collections that have some: docs, films"},
        {"docs", "c", NULL, -1, 0, "no backup of docs by node c below /efs; nodes that have some: a, b"},
        {"films", "a", NULL, -1, 0, "no backup of films by node a below /efs; nodes that have some: b"},
        {"films", NULL, NULL, FREQUENCY_HOURLY, 0,
         "no backup of films of frequency hourly below /efs; frequencies that have some: monthly"},
        {NULL, NULL, "nix", -1, 0,
         "no backup named nix below /efs; the newest is docs-7200 of 2026-11-24T18:00:00Z, "
         "the oldest docs-0 of 2026-11-24T16:00:00Z; `qdrant-efs ls` lists them"},
        {NULL, NULL, "films", -1, 0,
         "no backup named films below /efs; that is a collection: `qdrant-efs ls --collection films` lists "
         "its backups"},
        {"docs", "b", NULL, -1, T0 + 3600,
         "no backup of docs by node b of 2026-11-24T17:00:00Z or before (--at) below /efs; the only one is "
         "docs-7200 "
         "of 2026-11-24T18:00:00Z"},
    };
    struct backup v[3];
    struct backup_list list = {.v = v};
    (void)state;
    add(&list, "docs", "a", FREQUENCY_DAILY, T0);
    add(&list, "docs", "b", FREQUENCY_HOURLY, T0 + 7200);
    add(&list, "films", "b", FREQUENCY_MONTHLY, T0 + 60);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        static struct options o;
        struct err e = {0};
        const char *collections[] = {t[i].collection};
        o = (struct options){.collections = collections,
                             .n_collections = t[i].collection != NULL,
                             .frequency = t[i].frequency};
        const struct filters w = {.o = &o,
                                  .any_kind = true,
                                  .node = t[i].node,
                                  .snapshot = t[i].snapshot,
                                  .at = t[i].at,
                                  .now = T0 + 86400};
        assert_int_equal(why_none(&w, &list, "/efs", &e), t[i].text != NULL);
        assert_string_equal(e.text, t[i].text ? t[i].text : "");
    }
}

static void many_names_are_cut(void **state)
{
    struct backup v[20];
    struct backup_list list = {.v = v};
    struct err e = {0};
    static struct options o;
    const char *wanted[] = {"nope"};
    (void)state;
    for (int i = 0; i < 20; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "c%02d", i);
        add(&list, name, "a", FREQUENCY_DAILY, T0);
    }
    o = (struct options){.collections = wanted, .n_collections = 1, .frequency = -1};
    const struct filters w = {.o = &o, .any_kind = true, .now = T0};
    assert_true(why_none(&w, &list, "/efs", &e));
    assert_string_equal(e.text,
                        "no backup of nope below /efs; collections that have some: c00, c01, c02, c03, c04, "
                        "c05, c06, c07 and more");
    list.n = 0;
    assert_true(why_none(&w, &list, "/efs", &e));
    assert_string_equal(e.text, "no backup below /efs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_filter_that_leaves_nothing_is_named_with_what_there_is),
        cmocka_unit_test(many_names_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
