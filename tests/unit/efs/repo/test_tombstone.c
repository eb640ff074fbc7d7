/* Tombstones: what is covered, what is written reads the same, and one bad entry hides no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "efs/repo/tombstone.h"

static char root[] = "/tmp/test-tombstone-XXXXXX", base[64];

static int make(void **s)
{
    (void)s;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    if (!mkdtemp(root))
        return -1;
    (void)snprintf(base, sizeof base, "%s/test-cpu", root);
    return 0;
}
static int clear(void **s)
{
    char command[128];
    (void)s;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command); /* NOLINT(cert-env33-c): a test's own folder */
}

static struct tombstone of(const char *collection, const char *node, time_t deleted)
{
    struct tombstone t = {.deleted = deleted, .seen = deleted - 60, .by = "qdrant-replicator@h"};
    (void)snprintf(t.collection, sizeof t.collection, "%s", collection);
    (void)snprintf(t.node, sizeof t.node, "%s", node);
    return t;
}
static void put(const char *collection, const char *node, time_t deleted)
{
    struct tombstone t = of(collection, node, deleted);
    struct err e = {0};
    assert_int_equal(tombstone_put(base, &t, &e), 0);
}
static void write_file(const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", base, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void what_was_taken_until_the_deletion_is_covered_and_nothing_newer(void **s)
{
    static const struct {
        time_t deleted, taken;
        bool covered;
    } table[] = {{1000, 999, true}, {1000, 1000, true}, {1000, 1001, false}, {1000, 0, true}};
    (void)s;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tombstone t = of("docs", "", table[i].deleted);
        assert_int_equal(tombstone_covers(&t, table[i].taken), table[i].covered);
    }
}

static void what_is_written_reads_the_same_and_goes_away(void **s)
{
    static const char *const names[] = {"docs", ".hidden", "-x", "a%b", "emoji 🎉"};
    cleanup_tombstones struct tombstones all = {0};
    struct err e = {0};
    (void)s;
    for (size_t i = 0; i < 5; i++)
        put(names[i], "node/1", 1795507200);
    assert_int_equal(tombstones_load(base, "node/1", &all, &e), 0);
    assert_int_equal(all.n, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct tombstone *t = tombstones_find(&all, names[i], false);
        assert_non_null(t);
        assert_int_equal(t->deleted, 1795507200);
        assert_int_equal(t->seen, 1795507140);
        assert_string_equal(t->node, "node/1");
        assert_int_equal(tombstone_remove(base, "node/1", names[i], &e), 0);
        assert_int_equal(tombstone_remove(base, "node/1", names[i], &e), 0); /* again */
    }
    tombstones_free(&all);
    assert_int_equal(tombstones_load(base, "node/1", &all, &e), 0);
    assert_int_equal(all.n, 0);
}

static void a_node_has_its_own_and_those_for_all(void **s)
{
    struct tombstones all;
    struct err e = {0};
    (void)s;
    put("a", "", 1000);
    put("b", "n1", 1000);
    put("c", TOMBSTONE_ALL, 1000);
    put("d", "-", 1000); /* a node of that name is not the one without */
    static const struct {
        const char *node, *has;
    } table[] = {{"", "ac"}, {"n1", "bc"}, {"n2", "c"}, {"-", "cd"}, {NULL, "abcd"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(tombstones_load(base, table[i].node, &all, &e), 0);
        assert_int_equal(all.n, strlen(table[i].has));
        for (size_t k = 0; k < all.n; k++)
            assert_int_equal(all.v[k].collection[0], table[i].has[k]);
        tombstones_free(&all);
    }
}

static void one_that_cannot_be_read_is_told_and_hides_no_other(void **s)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"format\":2}",
        "{\"format\":1,\"collection\":\"x\",\"node\":\"\"}",
        "{\"format\":1,\"collection\":\"other\",\"node\":\"\",\"deleted\":\"2026-11-24T08:00:00Z\"}",
        "{\"format\":1,\"collection\":\"x\",\"node\":\"n2\",\"deleted\":\"2026-11-24T08:00:00Z\"}",
        "{\"format\":1,\"collection\":\"x\",\"node\":\"\",\"deleted\":\"yesterday\"}"};
    struct tombstones all;
    struct err e = {0};
    (void)s;
    put("docs", "", 1000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("deleted/-/x.json", bad[i]);
        assert_int_equal(tombstones_load(base, "", &all, &e), 0);
        assert_int_equal(all.n, 1);
        assert_int_equal(all.unreadable, 1);
        assert_non_null(strstr(all.why, "deleted/-/x.json"));
        assert_non_null(tombstones_cover(&all, "docs", 1000));
        assert_null(tombstones_cover(&all, "docs", 1001));
        assert_null(tombstones_cover(&all, "x", 1));
        tombstones_free(&all);
    }
}

static void a_tree_without_any_has_none_and_efs_that_is_not_there_takes_none(void **s)
{
    struct tombstones all;
    struct tombstone t = of("docs", "", 1000);
    struct err e = {0};
    (void)s;
    assert_int_equal(tombstones_load(base, "", &all, &e), 0);
    assert_int_equal(all.n, 0);
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(tombstone_put(base, &t, &e), -1);
    assert_int_equal(mkdir(root, 0755), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_taken_until_the_deletion_is_covered_and_nothing_newer),
        cmocka_unit_test_setup_teardown(what_is_written_reads_the_same_and_goes_away, make, clear),
        cmocka_unit_test_setup_teardown(a_node_has_its_own_and_those_for_all, make, clear),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_read_is_told_and_hides_no_other, make, clear),
        cmocka_unit_test_setup_teardown(a_tree_without_any_has_none_and_efs_that_is_not_there_takes_none,
                                        make, clear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
