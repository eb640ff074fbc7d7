/* Which deltas are worth to be made wholes: a table of folders, each entry with what it is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "efs/repo/compact_plan.h"

enum { MOST = 6, WHOLE = 100, DELTA = 5 };

/* '0' to '5': made of that entry, the whole first; '!': it is incomplete. */
struct entry {
    const char *made_of;
    enum compact_role role;
};
struct row {
    const char *what;
    struct entry entry[MOST];
    const char *group; /* a digit for each entry: its group, 0 for none */
    size_t groups, bases;
    uint64_t costs, frees; /* of the first group */
    bool pays;
};

static const struct row rows[] = {
    {"wholes alone", {{"", COMPACT_STAYS}, {"", COMPACT_GOES}}, "00", 0, 0, 0, 0, false},
    {"nothing stays for others", {{"", COMPACT_STAYS}, {"0", COMPACT_STAYS}}, "00", 0, 0, 0, 0, false},
    {"a whole stays for one delta", {{"", COMPACT_KEPT}, {"0", COMPACT_STAYS}}, "01", 1, 1, 95, 100, true},
    {"a whole and a delta for another",
     {{"", COMPACT_KEPT}, {"0", COMPACT_KEPT}, {"01", COMPACT_STAYS}},
     "001",
     1,
     2,
     95,
     105,
     true},
    {"a whole for two deltas: they take more",
     {{"", COMPACT_KEPT}, {"0", COMPACT_STAYS}, {"0", COMPACT_STAYS}},
     "011",
     1,
     1,
     190,
     100,
     false},
    {"a delta alone frees next to nothing",
     {{"", COMPACT_STAYS}, {"0", COMPACT_KEPT}, {"01", COMPACT_STAYS}},
     "001",
     1,
     1,
     95,
     5,
     false},
    {"one that cannot be read needs it, too: nothing goes",
     {{"", COMPACT_KEPT}, {"0", COMPACT_STAYS}, {"!0", COMPACT_STAYS}},
     "010",
     1,
     0,
     95,
     0,
     false},
    {"two wholes, each for a delta of its own",
     {{"", COMPACT_KEPT}, {"", COMPACT_KEPT}, {"0", COMPACT_STAYS}, {"1", COMPACT_STAYS}},
     "0012",
     2,
     1,
     95,
     100,
     true},
    {"what goes by itself is nobody's reason",
     {{"", COMPACT_KEPT}, {"0", COMPACT_GOES}, {"0", COMPACT_STAYS}},
     "001",
     1,
     1,
     95,
     100,
     true},
};

static size_t fill(const struct row *r, struct backup *v, enum compact_role *role)
{
    size_t n = 0;
    for (; n < MOST && r->entry[n].made_of; n++) {
        const struct entry *of = &r->entry[n];
        v[n] = (struct backup){.has_manifest = true,
                               .state = *of->made_of == '!' ? ENTRY_INCOMPLETE : ENTRY_COMPLETE};
        (void)snprintf(v[n].data, sizeof v[n].data, "%zu.snapshot.%s", n, *of->made_of ? "delta" : "zst");
        v[n].m.content.size = WHOLE * 2;
        v[n].m.content.stored_size = *of->made_of ? DELTA : WHOLE;
        for (const char *c = of->made_of + (*of->made_of == '!'); *c; c++) {
            const struct base one = {.stored_size = 1};
            assert_true(bases_add(&v[n].m.bases, &one, v[*c - '0'].data));
        }
        role[n] = of->role;
    }
    return n;
}

static void each_folder_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct backup v[MOST] = {0};
        enum compact_role role[MOST];
        struct backup_list list = {.v = v};
        struct compact_plan plan;
        list.n = fill(r, v, role);
        print_message("%s\n", r->what);
        assert_int_equal(compact_plan_make(&list, role, &plan), 0);
        assert_int_equal(plan.n_groups, r->groups);
        for (size_t j = 0; j < list.n; j++)
            assert_int_equal(plan.of[j], r->group[j] - '0');
        if (r->groups > 0) {
            assert_int_equal(plan.group[0].bases, r->bases);
            assert_int_equal(plan.group[0].costs, r->costs);
            assert_int_equal(plan.group[0].frees, r->frees);
            assert_int_equal(compact_pays(&plan.group[0]), r->pays);
        }
        compact_plan_free(&plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_folder_of_the_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
