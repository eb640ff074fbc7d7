/* Several readers: each number once, the first failure by number; folders by name, and lists put together. */
#include "common/base/string_list.h"
#include "efs/repo/readers.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { MANY = 1000 };

static atomic_uint called[MANY];

static int count(size_t i, void *arg, struct err *e)
{
    (void)arg;
    (void)e;
    (void)atomic_fetch_add(&called[i], 1);
    return 0;
}

static void each_number_once(void **state)
{
    (void)state;
    for (size_t n = 0; n <= MANY; n += n < 20 ? 1 : 490) {
        memset(called, 0, sizeof called);
        assert_int_equal(readers_each(n, count, NULL, NULL), 0);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(atomic_load(&called[i]), i < n);
    }
}

static int fail_some(size_t i, void *arg, struct err *e)
{
    (void)arg;
    (void)atomic_fetch_add(&called[i], 1);
    return i < 5 ? 0 : err_set(e, EIO, i == 5 ? "five" : "later", NULL, NULL);
}

static void a_failure_ends_it_and_is_told(void **state)
{
    struct err e = {0};
    size_t n = 0;
    (void)state;
    memset(called, 0, sizeof called);
    assert_int_equal(readers_each(MANY, fail_some, NULL, &e), -1);
    assert_int_equal(e.code, EIO);
    assert_non_null(strstr(e.text, "five")); /* begun before all that fail after it, so always done */
    for (size_t i = 0; i < MANY; i++)
        n += atomic_load(&called[i]);
    assert_in_range(n, 6, MANY / 2); /* the others were not begun */
}

static void make(const char *base, const char *relative)
{
    char command[600];
    (void)snprintf(command, sizeof command, "mkdir -p '%s/%s'", base, relative);
    assert_int_equal(system(command), 0);
}

static void folders_of_some_collections(void **state)
{
    char base[] = "/tmp/readers-XXXXXX", command[100];
    static const char *const wanted[] = {"docs", "a/b", "%storage", "not there", "..", "", ".hidden"};
    static const char *const found[] = {"%2Ehidden", "%storage", "a%2Fb", "docs", "docs/%shard-1"};
    char **v = NULL;
    size_t n = 0;
    (void)state;
    assert_non_null(mkdtemp(base));
    make(base, "15min/docs/%shard-1");
    make(base, "15min/docs/other");
    make(base, "hourly/docs");
    make(base, "daily/a%2Fb");
    make(base, "monthly/%storage");
    make(base, "monthly/%2Ehidden");
    make(base, "15min/docs-2");
    assert_int_equal(backup_folders_of(base, wanted, 7, NULL, &v, &n, NULL), 0);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(v[i], found[i]);
    backup_folders_free(v, n);
    (void)snprintf(command, sizeof command, "rm -r '%s'", base);
    assert_int_equal(system(command), 0);
}

static void fill(struct backup_list *list, unsigned n, unsigned dirs)
{
    char name[16];
    *list = (struct backup_list){.v = calloc(n + 1, sizeof *list->v), .n = n, .size = n + 1};
    assert_non_null(list->v);
    for (unsigned i = 0; i < dirs; i++) {
        (void)snprintf(name, sizeof name, "d%u", i);
        assert_true(string_list_add(&list->dirs, &list->n_dirs, name));
    }
    for (unsigned i = 0; i < n; i++) {
        list->v[i].dir = list->dirs[i % dirs];
        list->v[i].m.slot = (time_t)i;
    }
}

static void lists_are_put_together(void **state)
{
    cleanup_backup_list struct backup_list all = {0};
    unsigned k = 0;
    (void)state;
    for (unsigned n = 1; n < 40; n++) {
        struct backup_list one;
        fill(&one, n, n % 4 + 1);
        assert_true(backup_list_move(&all, &one));
        assert_int_equal(one.n + one.n_dirs, 0);
    }
    assert_int_equal(all.n, 39 * 40 / 2);
    for (unsigned n = 1; n < 40; n++)
        for (unsigned i = 0; i < n; i++, k++) {
            char name[16];
            (void)snprintf(name, sizeof name, "d%u", i % (n % 4 + 1));
            assert_string_equal(all.v[k].dir, name);
            assert_int_equal(all.v[k].m.slot, i);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_once), cmocka_unit_test(a_failure_ends_it_and_is_told),
        cmocka_unit_test(folders_of_some_collections), cmocka_unit_test(lists_are_put_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
