/* Which files are pins and notes, what a note may be, and a pin that comes while it is decided what goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>
#include "efs/repo/pin.h"
#include "tests/unit/efs/repo/scratch.h"

static void names(void **state)
{
    static const struct {
        const char *name;
        size_t stem;
        bool is, pin;
    } rows[] = {
        {"docs-1-2026-11-24-08-00-00.pin", 26, true, true},
        {"docs-1-2026-11-24-08-00-00.note", 26, true, false},
        {"a.pin.note", 5, true, false},
        {".pin", 0, false, false},
        {".partial-a.pin", 0, false, false},
        {"a.json", 0, false, false},
        {"a.snapshot.zst", 0, false, false},
        {"pin", 0, false, false},
        {"", 0, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = 0;
        bool pin = false, is = pin_is_name(rows[i].name, &n, &pin);
        assert_int_equal(is, rows[i].is);
        if (is) {
            assert_int_equal(pin, rows[i].pin);
            assert_int_equal(n, rows[i].stem);
        }
    }
}

static void notes(void **state)
{
    char longest[NOTE_MAX + 2];
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[NOTE_MAX] = 0;
    assert_true(pin_note_fits(longest));
    longest[NOTE_MAX] = 'x';
    longest[NOTE_MAX + 1] = 0;
    assert_false(pin_note_fits(longest));
    assert_true(pin_note_fits("before the migration, größe"));
    assert_false(pin_note_fits(""));
    assert_false(pin_note_fits("two\nlines"));
    assert_false(pin_note_fits("\033[31mred"));
    assert_false(pin_note_fits("\xff"));
}

static int set_up(void **state)
{
    struct scratch *p = calloc(1, sizeof *p);
    scratch_make(p, "pin");
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct scratch *p = *state;
    scratch_delete(p);
    free(p);
    return 0;
}

static void publish(struct scratch *p, const char *name, const struct retention *all)
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    char checksum[65];
    struct manifest m;
    struct err e = {0};
    struct publish what = {.base = p->base,
                           .path = p->local,
                           .checksum = checksum,
                           .node = "n1",
                           .written_by = "test",
                           .retention = all,
                           .copy = {.level = 1}};
    assert_int_equal(name_source(name, &what.source), NAME_SOURCE);
    FILE *f = fopen(p->local, "wb");
    assert_non_null(f);
    assert_true(fputs(name, f) >= 0);
    assert_int_equal(fclose(f), 0);
    (void)SHA256((const unsigned char *)name, strlen(name), raw);
    for (int i = 0; i < 32; i++)
        (void)snprintf(checksum + i * 2, 3, "%02x", raw[i]);
    assert_int_equal(backup_publish(&what, &m, &e), PUBLISHED);
}

struct racing {
    unsigned asked, pinned, gone;
};

/* What may go is pinned by another task at that very moment, but for the first. */
static bool pin_meanwhile(const struct backup *b, void *arg)
{
    struct racing *r = arg;
    struct err e = {0};
    if (r->asked++ > 0) {
        assert_int_equal(pin_put(b, &e), PIN_DONE);
        r->pinned++;
    }
    return true;
}

static void count_gone(const struct backup *b, void *arg)
{
    assert_false(pin_there(b));
    ((struct racing *)arg)->gone++;
}

static void a_pin_that_comes_while_it_is_decided_what_goes_counts(void **state)
{
    struct scratch *p = *state;
    struct retention all, one;
    struct racing r = {0};
    struct err e = {0};
    char wrong[64], name[80];
    struct backup_list list = {0};
    size_t pinned = 0;
    assert_true(retention_parse("15min=100", &all, wrong, sizeof wrong));
    assert_true(retention_parse("15min=1", &one, wrong, sizeof wrong));
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "docs/docs-1-2026-11-24-08-%02d-00.snapshot", i * 12);
        publish(p, name, &all);
    }
    struct prune what = {.retention = &one, .may = pin_meanwhile, .gone = count_gone, .arg = &r};
    assert_int_equal(backup_prune(p->base, "docs", &what, &e), 0);
    assert_true(r.pinned > 0);
    assert_int_equal(r.gone, 1);
    assert_int_equal(backup_list_folder(p->base, "docs", &list, &e), 0);
    for (size_t i = 0; i < list.n; i++) {
        assert_int_equal(backup_load(&list.v[i], &e), 0);
        assert_int_equal(list.v[i].state, ENTRY_COMPLETE);
        pinned += list.v[i].pinned;
    }
    assert_int_equal(list.n, 4);
    assert_int_equal(pinned, r.pinned);
    backup_list_free(&list);
}

static void one_that_is_gone_is_not_pinned_and_nothing_is_left(void **state)
{
    struct scratch *p = *state;
    struct retention all;
    struct err e = {0};
    char wrong[64], path[PATH_MAX];
    struct backup_list list = {0};
    struct stat st;
    assert_true(retention_parse("15min=100", &all, wrong, sizeof wrong));
    publish(p, "docs/docs-1-2026-11-24-08-00-00.snapshot", &all);
    assert_int_equal(backup_list_folder(p->base, "docs", &list, &e), 0);
    assert_int_equal(list.n, 1);
    (void)snprintf(path, sizeof path, "%s/%s.json", list.v[0].dir, list.v[0].stem);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pin_put(&list.v[0], &e), PIN_GONE);
    assert_int_equal(pin_put_note(&list.v[0], "why", &e), PIN_GONE);
    (void)snprintf(path, sizeof path, "%s/%s.pin", list.v[0].dir, list.v[0].stem);
    assert_int_not_equal(stat(path, &st), 0);
    assert_false(pin_there(&list.v[0]));
    backup_list_free(&list);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(notes),
        cmocka_unit_test_setup_teardown(a_pin_that_comes_while_it_is_decided_what_goes_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_gone_is_not_pinned_and_nothing_is_left, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
