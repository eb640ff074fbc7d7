/* Heartbeats: when they are due, what they name, and that what was printed is read again. */
#include "efs/repo/heartbeat.h"
#include "replicator/status/state.h"
#include "replicator/status/ecs_task.h"
#include "replicator/publish/heartbeat_writer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct context x;
static struct heartbeat_writer *p;
enum { START = 1000000 };
static const time_t T = 1764000000;

static int make(void **state)
{
    char dir[] = "/tmp/pulse-XXXXXX";
    struct status_options l = {.base = "", .node = "", .qdrant_url = ""};
    (void)state;
    memset(&x, 0, sizeof x);
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(x.settings.base, sizeof x.settings.base, "%s/test-cpu", dir);
    (void)snprintf(x.settings.node, sizeof x.settings.node, "n0");
    x.options.rpo = 1800;
    x.status = status_new(&l, T);
    x.ecs_task = ecs_task_new();
    p = x.heartbeat_writer = heartbeat_writer_new(&x, START);
    atomic_store(&x.efs_scanned, true);
    return x.status && x.ecs_task && p ? 0 : -1;
}
static int sweep(void **state)
{
    char command[PATH_MAX + 16], *base = x.settings.base;
    (void)state;
    heartbeat_writer_free(p);
    ecs_task_free(x.ecs_task);
    status_free(x.status);
    (void)snprintf(command, sizeof command, "rm -rf '%.*s'", (int)(strrchr(base, '/') - base), base);
    return system(command);
}

static struct manifest backup(const char *collection, enum frequency frequency, time_t taken)
{
    struct manifest m = {.frequency = frequency, .slot = frequency_slot(taken), .created = taken};
    (void)snprintf(m.source.collection, sizeof m.source.collection, "%s", collection);
    (void)snprintf(m.source.stem, sizeof m.source.stem, "%.100s-%d-%ld", collection, (int)frequency,
                   (long)taken);
    m.content.stored_size = 7;
    memset(m.content.stored_sha256, 'a', 64);
    return m;
}
static void publish(const char *collection, enum frequency frequency, time_t taken, int64_t now)
{
    struct manifest m = backup(collection, frequency, taken);
    heartbeat_writer_published(p, &m, now);
}
static bool due(bool busy, int64_t now)
{
    bool is;
    (void)heartbeat_writer_due(p, busy, now, &is);
    return is;
}
static int64_t next(bool busy, int64_t now)
{
    bool is;
    int64_t at = heartbeat_writer_due(p, busy, now, &is);
    assert_false(is);
    return at;
}

/* What the newest one on EFS says. */
static struct heartbeat read_back(void)
{
    struct heartbeat h;
    struct err e = {0};
    char path[PATH_MAX];
    time_t last = history_last(x.settings.base, &history_heartbeats, "n0");
    assert_true(last > 0);
    assert_int_equal(history_path(x.settings.base, &history_heartbeats, "n0", last, path, &e), 0);
    assert_int_equal(heartbeat_load(path, &h, &e), 0);
    return h;
}

static void one_comes_after_a_run_and_every_five_minutes_otherwise(void **state)
{
    (void)state;
    assert_int_equal(next(false, START), START + HEARTBEAT_WRITER_FIRST);
    publish("docs", FREQUENCY_15MIN, T, START + 1000);
    assert_int_equal(next(false, START + 2000), START + 1000 + HEARTBEAT_WRITER_SETTLE);
    assert_false(due(true, START + 1000 + HEARTBEAT_WRITER_SETTLE)); /* more is coming */
    assert_true(due(false, START + 1000 + HEARTBEAT_WRITER_SETTLE));
    assert_int_equal(next(false, START + 9000), -1); /* one at a time */
    heartbeat_writer_write(p);
    int64_t then = START + 1000 + HEARTBEAT_WRITER_SETTLE;
    assert_int_equal(next(false, then + 1), then + HEARTBEAT_WRITER_REST);
    publish("docs", FREQUENCY_15MIN, T + 900, then + 10000);
    assert_int_equal(next(false, then + 10000), then + HEARTBEAT_WRITER_APART); /* a long run has no more */
    assert_true(due(false, then + HEARTBEAT_WRITER_APART));
    heartbeat_writer_write(p);
    publish("docs", FREQUENCY_15MIN, T + 1800, then + HEARTBEAT_WRITER_APART + 1);
    assert_true(due(true, then + HEARTBEAT_WRITER_APART + HEARTBEAT_WRITER_REST)); /* however busy */
}

static void none_comes_before_efs_was_looked_at_nor_while_a_restore_is_pending(void **state)
{
    (void)state;
    publish("docs", FREQUENCY_15MIN, T, START);
    atomic_store(&x.efs_scanned, false);
    assert_int_equal(next(false, START + 2 * HEARTBEAT_WRITER_REST),
                     START + 2 * HEARTBEAT_WRITER_REST + HEARTBEAT_WRITER_LOOK);
    atomic_store(&x.efs_scanned, true);
    atomic_store(&x.restore_pending, true);
    assert_false(due(false, START + 2 * HEARTBEAT_WRITER_REST));
    atomic_store(&x.restore_pending, false);
    assert_true(due(false, START + 2 * HEARTBEAT_WRITER_REST));
}

static void none_makes_a_tree_where_there_is_no_backup(void **state)
{
    (void)state;
    assert_false(due(false, START + HEARTBEAT_WRITER_FIRST));
    assert_false(due(false, START + 10 * HEARTBEAT_WRITER_REST));
}

static void one_that_could_not_be_written_is_tried_again_a_minute_later(void **state)
{
    (void)state;
    publish("docs", FREQUENCY_15MIN, T, START);
    assert_true(due(false, START + HEARTBEAT_WRITER_SETTLE));
    heartbeat_writer_later(p);
    bool is;
    int64_t at = heartbeat_writer_due(p, false, START + HEARTBEAT_WRITER_SETTLE, &is); /* by the real clock */
    assert_true(!is && at >= 0 && at <= START + HEARTBEAT_WRITER_SETTLE + HEARTBEAT_WRITER_REST);
}

static void it_names_the_newest_of_each_tier_and_forgets_what_is_gone(void **state)
{
    struct inventory s = {
        .frequency[FREQUENCY_DAILY] = {.any = true, .newest = backup("docs", FREQUENCY_DAILY, T)}};
    struct inventory none = {0};
    char *left[] = {"docs"};
    const char *wanted[] = {"docs"};
    (void)state;
    heartbeat_writer_found(p, "docs", &s);
    heartbeat_writer_found(p, "old", &s);
    unsigned long long mark = heartbeat_writer_mark(p);
    publish("new", FREQUENCY_15MIN, T + 100, START); /* while EFS is listed */
    publish("docs", FREQUENCY_15MIN, T + 900, START);
    publish("docs", FREQUENCY_15MIN, T, START); /* found late */
    heartbeat_writer_only(p, mark, left, 1);
    status_collections(x.status, wanted, 1, T);
    heartbeat_writer_write(p);
    struct heartbeat h = read_back();
    assert_int_equal(h.folders, 2);
    assert_string_equal(h.folder[0].source.collection, "docs"); /* the newest first */
    assert_string_equal(h.folder[1].source.collection, "new");
    assert_true(h.folder[0].wanted == HEARTBEAT_WANTED && h.folder[1].wanted == HEARTBEAT_UNWANTED);
    assert_true(h.folder[0].frequency[FREQUENCY_15MIN].taken == T + 900 &&
                h.folder[0].frequency[FREQUENCY_DAILY].taken == T);
    assert_int_equal(h.folder[0].frequency[FREQUENCY_15MIN].stored_size, 7);
    assert_true(h.rpo_seconds == 1800 && h.left_out == 0 && strcmp(h.node, "n0") == 0);
    heartbeat_free(&h);
    heartbeat_writer_found(p, "docs", &none); /* somebody moved all of them away */
    heartbeat_writer_write(p);
    h = read_back();
    assert_int_equal(h.folders, 1);
    heartbeat_free(&h);
}

static void its_size_is_bounded_and_the_newest_have_their_place(void **state)
{
    char name[240], *text;
    enum { MANY = HEARTBEAT_FOLDERS };
    struct heartbeat h = {.folder = calloc(MANY, sizeof *h.folder), .folders = MANY}, back;
    struct err e = {0};
    (void)state;
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "%0200d", i); /* what a path holds at most */
        memset(name, 7, 15);                            /* six bytes each in JSON */
        struct manifest m = backup(name, FREQUENCY_15MIN, T);
        h.folder[i].source = m.source;
        for (int t = 0; t < FREQUENCY_COUNT; t++) {
            memcpy(h.folder[i].frequency[t].snapshot, m.source.stem, 256);
            h.folder[i].frequency[t].taken = T - i;
            memcpy(h.folder[i].frequency[t].stored_sha256, m.content.stored_sha256, 65);
        }
    }
    text = heartbeat_print(&h);
    assert_non_null(text);
    assert_in_range(strlen(text), HEARTBEAT_MAX / 2, HEARTBEAT_MAX);
    assert_int_equal(heartbeat_parse(text, "text", &back, &e), 0);
    assert_in_range(back.folders, 100, MANY - 1);
    assert_int_equal(back.folders + back.left_out, MANY);
    assert_true(heartbeat_newest_taken(&back.folder[0]) == T);
    text[strlen(text) / 2] = 0;
    heartbeat_free(&back);
    assert_int_equal(heartbeat_parse(text, "text", &back, &e), -1);
    free(text);
    free(h.folder);
}

static size_t backups_of(const struct heartbeat_folder *f)
{
    size_t n = 0;
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        n += f->frequency[t].snapshot[0] != 0;
    return n;
}

static void of_ten_thousand_collections_each_has_its_newest_in_it(void **state)
{
    struct heartbeat h = {.folder = calloc(HEARTBEAT_FOLDERS, sizeof *h.folder),
                          .folders = HEARTBEAT_FOLDERS},
                     back;
    struct err e = {0};
    (void)state;
    for (int i = 0; i < HEARTBEAT_FOLDERS; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "collection-%05d", i);
        struct manifest m = backup(name, FREQUENCY_15MIN, T);
        h.folder[i].source = m.source;
        for (int t = 0; t < FREQUENCY_COUNT; t++) {
            struct heartbeat_backup *b = &h.folder[i].frequency[t];
            (void)snprintf(b->snapshot, sizeof b->snapshot, "%s-1234567890123456-2026-11-24-08-00-00", name);
            b->slot = b->published = b->taken = T - i - (t == FREQUENCY_HOURLY ? 0 : 1000);
            b->stored_size = 123456789;
            memcpy(b->stored_sha256, m.content.stored_sha256, 65);
        }
    }
    char *text = heartbeat_print(&h);
    assert_non_null(text);
    assert_in_range(strlen(text), HEARTBEAT_MAX - 20000, HEARTBEAT_MAX);
    assert_int_equal(heartbeat_parse(text, "text", &back, &e), 0);
    assert_int_equal(back.folders, HEARTBEAT_FOLDERS);
    assert_int_equal(back.left_out, 0);
    assert_int_equal(backups_of(&back.folder[0]), FREQUENCY_COUNT);
    assert_int_equal(backups_of(&back.folder[HEARTBEAT_FOLDERS - 1]), 1);
    for (int i = 0; i < HEARTBEAT_FOLDERS; i++)
        assert_true(heartbeat_newest_taken(&back.folder[i]) == T - i);
    heartbeat_free(&back);
    free(text);
    free(h.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, sweep)
        TEST(one_comes_after_a_run_and_every_five_minutes_otherwise),
        TEST(none_comes_before_efs_was_looked_at_nor_while_a_restore_is_pending),
        TEST(none_makes_a_tree_where_there_is_no_backup),
        TEST(one_that_could_not_be_written_is_tried_again_a_minute_later),
        TEST(it_names_the_newest_of_each_tier_and_forgets_what_is_gone),
        TEST(of_ten_thousand_collections_each_has_its_newest_in_it),
        TEST(its_size_is_bounded_and_the_newest_have_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
