/* Names of Qdrant's files, and collection names that must not climb out of the root. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "efs/repo/name.h"

static void sources_are_told_apart(void **st)
{
    struct source s;
    (void)st;
    assert_int_equal(NAME_SOURCE, name_source("c/c-1235153728432657-2026-11-24-07-59-23.snapshot", &s));
    assert_int_equal(s.kind, KIND_COLLECTION);
    assert_string_equal(s.peer, "1235153728432657");
    assert_int_equal(s.taken, 1795507163);
    assert_int_equal(NAME_SOURCE, name_source("c/shards/0/c-shard-0-2026-11-24-07-59-26.snapshot", &s));
    assert_int_equal(s.kind, KIND_SHARD);
    assert_string_equal(s.shard, "0");
    assert_int_equal(NAME_SOURCE, name_source("full-snapshot-2026-11-24-07-59-36.snapshot", &s));
    assert_int_equal(s.kind, KIND_STORAGE);
    assert_int_equal(NAME_SOURCE, name_source("up/anything.snapshot", &s));
    assert_int_equal(s.taken, 0);
    assert_int_equal(NAME_SOURCE, name_source("c/c-1-2026-02-31-07-59-23.snapshot", &s));
    assert_int_equal(s.taken, 0);
}

static void what_is_never_a_source(void **st)
{
    static const char *const no[] = {"tmp/x.snapshot",
                                     "c/x.tmp",
                                     "c/x.snapshot.checksum",
                                     "c/.snapshot",
                                     "../x.snapshot",
                                     "c/shards/a/x.snapshot",
                                     "c/d/x.snapshot",
                                     "a/b/c/d/x.snapshot",
                                     "c/.x.snapshot",
                                     "",
                                     ".snapshot",
                                     "/x.snapshot"};
    struct source s;
    (void)st;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_int_equal(NAME_NOT_SOURCE, name_source(no[i], &s));
}

static void what_cannot_be_stored_is_told_apart(void **st)
{
    char path[300] = "c/";
    struct source s;
    (void)st;
    memset(path + 2, 'x', 235);
    strcpy(path + 2 + 235, ".snapshot");
    assert_int_equal(NAME_SOURCE, name_source(path, &s));
    memset(path + 2, 'x', 236);
    strcpy(path + 2 + 236, ".snapshot");
    assert_int_equal(NAME_UNFIT, name_source(path, &s));
    assert_int_equal(NAME_UNFIT, name_source("c/\xff-1.snapshot", &s));
    assert_int_equal(NAME_UNFIT, name_source("\xc0\xaf/x.snapshot", &s));
}

static void a_leading_dot_hides_nothing_on_efs(void **st)
{
    static const char *const stems[] = {".x-1", "..x-1", "%2E", "%25", "%2", "%2E.x", "x", "%41", "-rf", ""};
    char stored[NAME_STORED], back[NAME_STORED];
    struct source s;
    (void)st;
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        name_stored(stems[i], stored);
        assert_true(stored[0] != '.');
        name_from_stored(stored, back);
        assert_string_equal(back, stems[i]);
    }
    assert_int_equal(NAME_SOURCE, name_source(".x/.x-1-2026-11-24-07-59-23.snapshot", &s));
    assert_int_equal(NAME_SOURCE, name_source("..x/..x-1-2026-11-24-07-59-23.snapshot", &s));
    assert_int_equal(NAME_NOT_SOURCE, name_source(".x/.y-1-2026-11-24-07-59-23.snapshot", &s));
    assert_int_equal(NAME_NOT_SOURCE, name_source(".hidden.snapshot", &s));
}

/* As GNU coreutils' sha256sum writes and reads it. */
static void sums_are_in_the_form_of_coreutils(void **st)
{
    char line[200];
    (void)st;
    assert_true(name_sum_line("ab", "x.snapshot", line, sizeof line));
    assert_string_equal(line, "ab  x.snapshot\n");
    assert_true(name_sum_line("ab", "x\ny\\z", line, sizeof line));
    assert_string_equal(line, "\\ab  x\\ny\\\\z\n");
    assert_false(name_sum_line("ab", "longer than there is room for", line, 20));
}

static void escaping_is_reversible_and_stays_inside(void **st)
{
    static const char *const raw[] = {"docs", "../../etc", "a/b",    ".",       "..",
                                      "-rf",  "100%",      "a\\b\n", "emoji 🎉", "%storage"};
    char e[256], back[256];
    (void)st;
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        assert_true(name_escape(raw[i], e, sizeof e));
        assert_null(strchr(e, '/'));
        assert_true(e[0] != '.' && e[0] != '-' && strncmp(e, "%s", 2) != 0);
        assert_true(name_unescape(e, back, sizeof back));
        assert_string_equal(back, raw[i]);
    }
    assert_false(name_escape("", e, sizeof e));
    assert_false(name_unescape("a/b", back, sizeof back));
    assert_false(name_unescape("%00", back, sizeof back));
    assert_false(name_unescape("%2", back, sizeof back));
    assert_false(name_unescape("%41", back, sizeof back));
}

static void what_no_folder_can_be_called_is_no_escaped_name(void **st)
{
    char escaped[NAME_MAX + 2], raw[NAME_MAX + 2], e[NAME_MAX + 2];
    (void)st;
    memset(escaped, 'a', NAME_MAX + 1);
    memcpy(escaped, "%2F", 3); /* so that the raw name is two bytes shorter */
    escaped[NAME_MAX + 1] = 0;
    assert_false(name_unescape(escaped, raw, sizeof raw));
    escaped[NAME_MAX] = 0;
    assert_true(name_unescape(escaped, raw, sizeof raw));
    assert_true(name_escape(raw, e, sizeof e));
    assert_string_equal(e, escaped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sources_are_told_apart),
                                       cmocka_unit_test(what_is_never_a_source),
                                       cmocka_unit_test(what_cannot_be_stored_is_told_apart),
                                       cmocka_unit_test(a_leading_dot_hides_nothing_on_efs),
                                       cmocka_unit_test(sums_are_in_the_form_of_coreutils),
                                       cmocka_unit_test(escaping_is_reversible_and_stays_inside),
                                       cmocka_unit_test(what_no_folder_can_be_called_is_no_escaped_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
