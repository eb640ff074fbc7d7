/* When an index is written, what of the old one is taken over, and which ones are swept. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/files.h"
#include "efs/repo/index_tsv.h"
#include "tests/unit/efs/repo/scratch.h"

static struct scratch s;
static struct err e;

static int set_up(void **state)
{
    (void)state;
    scratch_make(&s, "index");
    return mkdir(s.base, 0700);
}

static int tear_down(void **state)
{
    (void)state;
    scratch_delete(&s);
    return 0;
}

static char *index_path(const char *folder)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/index/%s/index.tsv", s.base, folder);
    return path;
}

/* As a listing has it whose manifests were read: nothing else is on the file system. */
static struct backup backup(time_t slot, const char *node)
{
    struct backup b = {.state = ENTRY_COMPLETE, .dir = "/nowhere", .has_manifest = true, .frequency = 1};
    (void)snprintf(b.stem, sizeof b.stem, "docs-%lld", (long long)slot);
    (void)snprintf(b.data, sizeof b.data, "docs-%lld.snapshot", (long long)slot);
    b.m.slot = slot;
    b.m.frequency = 1;
    b.m.points = -1;
    b.m.content.size = 7;
    memcpy(b.m.data, b.data, sizeof b.m.data);
    memset(b.m.content.sha256, 'a', 64);
    (void)snprintf(b.m.node, sizeof b.m.node, "%s", node);
    return b;
}

static char *put(struct backup *v, size_t n)
{
    struct backup_list list = {.v = v, .n = n};
    assert_int_equal(index_tsv_put(s.base, "docs", &list, NULL, &e), 0);
    return files_get(index_path("docs"), 1 << 20, &e);
}

static void a_row_for_each(void **state)
{
    struct backup two[] = {backup(0, "a"), backup(3600, "")};
    (void)state;
    char *text = put(two, 2);
    assert_non_null(text);
    static const char want[] =
        "slot\tfrequency\tnode\tsize\tkind\tbase\tsha256\tpoints\tnote\tfile\n"
        "1970-01-01T00:00:00Z\thourly\ta\t7\tcollection\t-\t"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\t-\t-\thourly/docs/"
        "docs-0.snapshot\n"
        "1970-01-01T01:00:00Z\thourly\t-\t7\tcollection\t-\t"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\t-\t-\thourly/docs/"
        "docs-3600.snapshot\n# 2 backups at ";
    assert_memory_equal(text, want, strlen(want));
    free(text);
}

/* What it has a row for is not asked again: that row stays, also where nobody has read the manifest. */
static void rows_are_taken_over(void **state)
{
    struct backup b[] = {backup(0, "a"), backup(3600, "b")};
    (void)state;
    free(put(b, 1));
    b[0].state = ENTRY_UNREAD;
    b[0].m.content.sha256[0] = 0;
    char *text = put(b, 2);
    assert_non_null(strstr(text, "\thourly\ta\t7\t"));
    assert_non_null(strstr(text, "\thourly\tb\t7\t"));
    /* but not from one that somebody has edited */
    *strstr(text, "\ta\t") = 'x';
    char dir[256];
    (void)snprintf(dir, sizeof dir, "%s/index/docs", s.base);
    assert_int_equal(files_put(dir, "index.tsv", text, &e), 0);
    free(text);
    text = put(b, 2);
    assert_null(strstr(text, "docs-0."));
    assert_non_null(strstr(text, "docs-3600."));
    free(text);
}

static void without_a_row_there_is_none(void **state)
{
    struct backup b = backup(0, "a");
    (void)state;
    free(put(&b, 1));
    b.has_manifest = false;
    assert_null(put(&b, 1));
    assert_int_equal(access(index_path(""), F_OK), -1);
}

static void a_stop_leaves_it_as_it_is(void **state)
{
    struct backup b = backup(0, "a");
    struct backup_list list = {.v = &b, .n = 1};
    atomic_bool stop = true;
    (void)state;
    assert_int_equal(index_tsv_put(s.base, "docs", &list, &stop, &e), -1);
    assert_int_equal(e.code, ECANCELED);
    assert_int_equal(access(index_path("docs"), F_OK), -1);
}

/* `age` seconds old, of `size` bytes. */
static bool due(time_t age, off_t size)
{
    struct timespec when = {time(NULL) - age, 0}, times[] = {when, when};
    assert_int_equal(truncate(index_path("docs"), size), 0);
    assert_int_equal(utimensat(AT_FDCWD, index_path("docs"), times, 0), 0);
    return index_tsv_due(s.base, "docs");
}

static void when_it_is_due(void **state)
{
    struct backup b = backup(0, "a");
    (void)state;
    assert_true(index_tsv_due(s.base, "docs"));
    free(put(&b, 1));
    assert_true(due(0, INDEX_TSV_SMALL - 1));
    assert_false(due(0, INDEX_TSV_SMALL));
    assert_false(due(INDEX_TSV_AGE - 5, INDEX_TSV_SMALL));
    assert_true(due(INDEX_TSV_AGE, INDEX_TSV_SMALL));
    assert_false(due(-300, INDEX_TSV_SMALL)); /* clocks may be apart */
    assert_true(due(-3600, INDEX_TSV_SMALL));
}

static void sweep(void **state)
{
    struct backup b = backup(0, "a");
    struct backup_list list = {.v = &b, .n = 1};
    static const char *const made[] = {"docs", "docs/%shard-0", "docs/%shard-1", "gone", "gone/%shard-0"};
    char docs[] = "docs", shard[] = "docs/%shard-1", *folders[] = {docs, shard};
    (void)state;
    assert_int_equal(index_tsv_sweep(s.base, folders, 2, &e), 0); /* nothing is there */
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        assert_int_equal(index_tsv_put(s.base, made[i], &list, NULL, &e), 0);
    assert_int_equal(index_tsv_sweep(s.base, folders, 2, &e), 0);
    static const bool stays[] = {true, true, true, false, false};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        assert_int_equal(access(index_path(made[i]), F_OK), stays[i] ? 0 : -1);
    char gone[256];
    (void)snprintf(gone, sizeof gone, "%s/index/gone", s.base);
    assert_int_equal(access(gone, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_row_for_each, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_are_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_row_there_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_leaves_it_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(when_it_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sweep, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
