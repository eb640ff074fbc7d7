/* The note of a restore at boot: what is written is read again, what is garbled is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/files.h"
#include "common/base/storage_state.h"
#include "replicator/restore/marker.h"

static char dir[] = "/tmp/boot-marker-XXXXXX";

static int make(void **st)
{
    (void)st;
    return mkdtemp(dir) ? 0 : -1;
}

static int drop(void **st)
{
    char path[100];
    (void)st;
    (void)snprintf(path, sizeof path, "%s/raft_state.json", dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/%s", dir, STORAGE_MARKER);
    (void)unlink(path);
    return rmdir(dir);
}

static void none_is_none(void **st)
{
    struct marker m;
    struct err e = {0};
    (void)st;
    assert_int_equal(marker_load(dir, &m, &e), 0);
    assert_int_equal(m.state, MARKER_NONE);
    marker_free(&m);
}

static void what_is_written_is_read_again(void **st)
{
    cleanup_marker struct marker m = {.state = MARKER_RESTORING,
                                      .restored = true,
                                      .recorded = true,
                                      .alone = true,
                                      .ended = 1764000900,
                                      .setting = "2h",
                                      .at = 1764000000},
                                 n;
    struct err e = {0};
    (void)st;
    assert_true(marker_add(&m, "a \"b\"\n") && marker_add(&m, "größe 🎉") && marker_add(&m, "c") &&
                marker_add(&m, "d"));
    m.v[0].state = PART_STAGED;
    m.v[0].points = 4711;
    m.v[0].taken = 1763999999;
    assert_true(marker_set(&m.v[0].from, "/replica/x") && marker_set(&m.v[0].from, "/replica/prod-\"ü\"") &&
                marker_set(&m.v[0].snapshot, "a-1-2026"));
    m.v[1].state = PART_FAILED;
    m.v[1].kills = 3;
    assert_true(marker_set(&m.v[1].why, "no good backup") && marker_pass(&m.v[1], "x-1") &&
                marker_pass(&m.v[1], "x-2"));
    m.v[2].state = PART_SKIPPED;
    assert_int_equal(marker_save(dir, &m, &e), 0);
    assert_int_equal(marker_load(dir, &n, &e), 0);
    assert_true(n.state == MARKER_RESTORING && n.restored && n.recorded && n.alone && n.ended == m.ended &&
                n.at == 1764000000 && n.n == 4);
    assert_string_equal(n.setting, "2h");
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(n.v[i].collection, m.v[i].collection);
        assert_true(n.v[i].state == m.v[i].state && n.v[i].points == m.v[i].points &&
                    n.v[i].taken == m.v[i].taken && n.v[i].kills == m.v[i].kills &&
                    n.v[i].n_passed == m.v[i].n_passed);
    }
    assert_string_equal(n.v[0].from, m.v[0].from);
    assert_string_equal(n.v[0].snapshot, "a-1-2026");
    assert_string_equal(n.v[1].why, "no good backup");
    assert_true(marker_passed(&n.v[1], "x-2") && !marker_passed(&n.v[1], "x-3") &&
                !marker_passed(&n.v[0], "x-2"));
    assert_null(n.v[3].from);
    assert_int_equal(marker_count(&n, PART_STAGED), 1);
    marker_free(&n);
}

static void a_finished_one_begins_with_what_the_entrypoint_looks_for(void **st)
{
    static const char begin[] = "{\"state\":\"done\"";
    struct marker m = {.state = MARKER_DONE};
    struct err e = {0};
    char path[100];
    (void)st;
    assert_int_equal(marker_save(dir, &m, &e), 0);
    (void)snprintf(path, sizeof path, "%s/%s", dir, STORAGE_MARKER);
    char *text = files_get(path, 1000, &e);
    assert_non_null(text);
    assert_int_equal(strncmp(text, begin, sizeof begin - 1), 0);
    free(text);
    assert_int_equal(storage_look(dir),
                     STORAGE_EMPTY); /* of a storage that is gone: no Qdrant has run in this one */
    assert_int_equal(files_put(dir, "raft_state.json", "{}", &e), 0);
    assert_int_equal(storage_look(dir), STORAGE_SETTLED);
    m.state = MARKER_RESTORING;
    assert_int_equal(marker_save(dir, &m, &e), 0);
    assert_int_equal(storage_look(dir), STORAGE_RESTORING);
}

static void what_is_no_marker_is_refused_with_what_to_do(void **st)
{
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"state\":\"done\"}",
        "{\"state\":\"none\",\"setting\":\"\",\"at\":0,\"collections\":[]}",
        "{\"state\":\"done\",\"setting\":\"\",\"at\":0,\"collections\":[{\"collection\":\"a\",\"state\":\"?"
        "\"}]}",
        "{\"state\":\"done\",\"setting\":\"\",\"at\":0,\"collections\":[{\"state\":\"done\"}]}",
        "{\"state\":\"x\",\"setting\":\"\",\"at\":0,\"collections\":[]}"};
    struct marker m;
    (void)st;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = {0};
        assert_int_equal(files_put(dir, STORAGE_MARKER, wrong[i], &e), 0);
        if (marker_load(dir, &m, &e) != -1)
            fail_msg("taken: %s", wrong[i]);
        assert_non_null(strstr(e.text, STORAGE_MARKER));
        assert_int_equal(m.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_finished_one_begins_with_what_the_entrypoint_looks_for),
        cmocka_unit_test(what_is_no_marker_is_refused_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
