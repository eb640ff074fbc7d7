/* What a key of the bucket says, and what an object's labels carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/restore/s3.h"
#include <stdio.h>
#include <string.h>

static void a_key_says_what_the_replicator_put_there(void **s)
{
    static const struct {
        const char *key;
        enum kind kind;
        const char *collection, *shard, *peer;
        enum frequency frequency;
    } good[] = {
        {"prod-x/daily/docs/docs-7-2026-11-24-08-00-00.snapshot", KIND_COLLECTION, "docs", "", "7",
         FREQUENCY_DAILY},
        {"p-x/15min/%storage/full-snapshot-2026-11-24-08-00-00.snapshot", KIND_STORAGE, "", "", "",
         FREQUENCY_15MIN},
        {"p-x/15min/%storage/%storage-7-2026-11-24-08-00-00.snapshot", KIND_COLLECTION, "%storage", "", "7",
         FREQUENCY_15MIN},
        {"p-x/hourly/docs/%shard-3/docs-shard-3-2026-11-24-08-00-00.snapshot", KIND_SHARD, "docs", "3", "",
         FREQUENCY_HOURLY},
        {"p-x/hourly/%2Eh/%shard-3/.h-shard-3-2026-11-24-08-00-00.snapshot", KIND_SHARD, ".h", "3", "",
         FREQUENCY_HOURLY},
        {"p-x/monthly/.h/.h-7-2026-11-24-08-00-00.snapshot", KIND_COLLECTION, ".h", "", "7",
         FREQUENCY_MONTHLY},
        {"p-x/monthly/per%cent/per%cent-7-2026-11-24-08-00-00.snapshot", KIND_COLLECTION, "per%cent", "", "7",
         FREQUENCY_MONTHLY},
    };
    struct backup b;
    (void)s;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(restore_s3_name(good[i].key, 5, 1, &b));
        assert_int_equal(b.m.source.kind, good[i].kind);
        assert_string_equal(b.m.source.collection, good[i].collection);
        assert_string_equal(b.m.source.shard, good[i].shard);
        assert_string_equal(b.m.source.peer, good[i].peer);
        assert_int_equal(b.frequency, good[i].frequency);
        assert_int_equal(backup_time(&b), 1795507200);
        assert_int_equal(b.m.content.size, 5);
        assert_string_equal(b.data, strrchr(good[i].key, '/') + 1);
    }
}

static void other_keys_are_nobodys(void **s)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "a",
                                      "docs.snapshot",
                                      "p-x/daily",
                                      "p-x/daily/",
                                      "p-x/daily/docs",
                                      "p-x/daily/docs.snapshot/",
                                      "p-x/weekly/docs/docs-7-2026-11-24-08-00-00.snapshot",
                                      "/daily/docs/docs-7-2026-11-24-08-00-00.snapshot",
                                      "p-x/daily//docs-7-2026-11-24-08-00-00.snapshot",
                                      "p-x/daily/../docs-7-2026-11-24-08-00-00.snapshot",
                                      "p-x/daily/./docs-7-2026-11-24-08-00-00.snapshot",
                                      "p-x/daily/docs/../../docs-7-2026-11-24-08-00-00.snapshot",
                                      "p-x/daily/docs/docs-7-2026-11-24-08-00-00.json",
                                      "p-x/daily/docs/.snapshot",
                                      "p-x/daily/tmp/x.snapshot",
                                      "p-x/daily/docs/shards/docs-shard-3.snapshot",
                                      "p-x/daily/docs/%shard-/docs-shard-3.snapshot",
                                      "p-x/daily/docs/%shard-x/docs-shard-3.snapshot",
                                      "p-x/daily/%2F..%2F/%shard-3/docs-shard-3.snapshot",
                                      "p-x/daily/%zz/%shard-3/docs-shard-3.snapshot",
                                      "p-x/daily/docs/\xff.snapshot"};
    char name[2000];
    struct backup b;
    (void)s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (restore_s3_name(bad[i], 5, 1, &b))
            fail_msg("taken: %s", bad[i]);
    for (int n = 1; n < 1900; n++) { /* no length breaks a buffer */
        (void)snprintf(name, sizeof name, "p-x/daily/%0*d/d.snapshot", n, 0);
        assert_int_equal(restore_s3_name(name, 5, 1, &b), n <= 255);
        (void)snprintf(name, sizeof name, "p-x/daily/d/%0*d.snapshot", n, 0);
        assert_int_equal(restore_s3_name(name, 5, 1, &b), n <= 235);
    }
}

static void a_name_without_a_time_has_that_of_its_object(void **s)
{
    struct backup b;
    (void)s;
    assert_true(restore_s3_name("p-x/daily/docs/uploaded.snapshot", 5, 1795507260, &b));
    assert_int_equal(backup_time(&b), 1795507260);
    assert_int_equal(b.m.slot, 1795507200);
}

static struct manifest manifest(void)
{
    struct manifest m = {.points = 42, .aliases.known = true};
    (void)snprintf(m.node, sizeof m.node, "node-0");
    (void)snprintf(m.qdrant_version, sizeof m.qdrant_version, "1.18.2");
    return m;
}

static void labels_are_lines_of_ascii(void **s)
{
    struct restore_s3_labels l;
    struct manifest m = manifest();
    (void)s;
    assert_true(aliases_add(&m.aliases, "live"));
    assert_true(aliases_add(&m.aliases, "a,b +\xc3\xbc\n"));
    restore_s3_labels(&m, &l);
    assert_string_equal(l.line[0], "node: node-0");
    assert_string_equal(l.line[1], "points: 42");
    assert_string_equal(l.line[2], "qdrant-version: 1.18.2");
    assert_string_equal(l.line[3], "aliases: live,a%2Cb%20%2B%C3%BC%0A");
    assert_null(l.line[4]);
}

static void what_a_header_cannot_carry_is_left_out(void **s)
{
    struct restore_s3_labels l;
    struct manifest m = {.points = -1};
    (void)s;
    (void)snprintf(m.node, sizeof m.node, "a\r\nx-amz-acl: public-read");
    (void)snprintf(m.qdrant_version, sizeof m.qdrant_version, "1 \xc3\xbc");
    restore_s3_labels(&m, &l);
    assert_null(l.line[0]);
}

static void aliases_come_back_and_those_without_room_are_counted(void **s)
{
    struct restore_s3_labels l;
    struct manifest m = manifest();
    struct aliases back;
    char name[300];
    (void)s;
    for (int i = 0; i < 9; i++) {
        (void)snprintf(name, sizeof name, "%0200d", i);
        assert_true(aliases_add(&m.aliases, name));
    }
    m.aliases.left_out = 3;
    restore_s3_labels(&m, &l);
    restore_s3_aliases(l.aliases + strlen("aliases: "), &back);
    assert_true(back.known);
    assert_int_equal(back.n, 4);
    assert_int_equal(back.left_out, 5 + 3);
    assert_string_equal(aliases_next(&back, aliases_next(&back, NULL)),
                        aliases_next(&m.aliases, m.aliases.names));
    restore_s3_aliases("a%2Cb,\x63", &back);
    assert_string_equal(aliases_next(&back, NULL), "a,b");
}

static void a_label_that_is_no_list_of_aliases_says_nothing(void **s)
{
    static const char *const bad[] = {"", ",", "a,,b", "a,%00", "%FF", ",a"};
    struct aliases back;
    (void)s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        restore_s3_aliases(bad[i], &back);
        assert_false(back.known);
        assert_int_equal(back.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_says_what_the_replicator_put_there),
        cmocka_unit_test(other_keys_are_nobodys),
        cmocka_unit_test(a_name_without_a_time_has_that_of_its_object),
        cmocka_unit_test(labels_are_lines_of_ascii),
        cmocka_unit_test(what_a_header_cannot_carry_is_left_out),
        cmocka_unit_test(aliases_come_back_and_those_without_room_are_counted),
        cmocka_unit_test(a_label_that_is_no_list_of_aliases_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
