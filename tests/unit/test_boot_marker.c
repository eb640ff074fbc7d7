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
#include "common/files.h"
#include "replicator/boot_marker.h"

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
    (void)snprintf(path, sizeof path, "%s/%s", dir, MARKER_NAME);
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
    cleanup_marker struct marker m = {.state = MARKER_FAILED,
                                      .restored = true,
                                      .setting = "2h",
                                      .at = 1764000000},
                                 n;
    struct err e = {0};
    (void)st;
    assert_true(marker_add(&m, "a \"b\"\n") && marker_add(&m, "größe 🎉") && marker_add(&m, "c") &&
                marker_add(&m, "d"));
    m.v[0].state = PART_DONE;
    m.v[1].state = PART_FAILED;
    m.v[1].begun = true;
    m.v[1].left = 4711;
    m.v[2].state = PART_BEGUN;
    assert_true(marker_from(&m.v[2], "/replica/x") && marker_from(&m.v[2], "/replica/prod-\"ü\""));
    assert_int_equal(marker_save(dir, &m, &e), 0);
    assert_int_equal(marker_load(dir, &n, &e), 0);
    assert_true(n.state == MARKER_FAILED && n.restored && n.at == 1764000000 && n.n == 4);
    assert_string_equal(n.setting, "2h");
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(n.v[i].collection, m.v[i].collection);
        assert_true(n.v[i].state == m.v[i].state && n.v[i].begun == m.v[i].begun &&
                    n.v[i].left == m.v[i].left);
    }
    assert_string_equal(n.v[2].from, m.v[2].from);
    assert_null(n.v[0].from); /* as in one of an older version */
    assert_int_equal(marker_count(&n, PART_DONE), 1);
    marker_free(&n);
}

static void a_finished_one_begins_with_what_the_health_check_looks_for(void **st)
{
    static const char begin[] = "{\"state\":\"done\"";
    struct marker m = {.state = MARKER_DONE};
    struct err e = {0};
    char path[100];
    (void)st;
    assert_int_equal(marker_save(dir, &m, &e), 0);
    (void)snprintf(path, sizeof path, "%s/%s", dir, MARKER_NAME);
    char *text = files_get(path, 1000, &e);
    assert_non_null(text);
    assert_int_equal(strncmp(text, begin, sizeof begin - 1), 0);
    free(text);
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
        assert_int_equal(files_put(dir, MARKER_NAME, wrong[i], &e), 0);
        if (marker_load(dir, &m, &e) != -1)
            fail_msg("taken: %s", wrong[i]);
        assert_non_null(strstr(e.text, MARKER_NAME));
        assert_int_equal(m.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_finished_one_begins_with_what_the_health_check_looks_for),
        cmocka_unit_test(what_is_no_marker_is_refused_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
