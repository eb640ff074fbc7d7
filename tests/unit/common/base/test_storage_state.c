/* What Qdrant's storage folder says about itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/files.h"
#include "common/base/storage_state.h"

static char dir[] = "/tmp/storage-XXXXXX";

static int make(void **st)
{
    (void)st;
    return mkdtemp(dir) ? 0 : -1;
}

static int drop(void **st)
{
    (void)st;
    return files_remove_dir(dir, NULL);
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[200];
    struct err e = {0};
    (void)snprintf(path, sizeof path, "%s/%s", dir, folder);
    assert_int_equal(files_mkdirs(dir, folder, &e), 0);
    if (name)
        assert_int_equal(files_put(path, name, text, &e), 0);
}

static void only_a_collection_with_its_configuration_is_data(void **st)
{
    (void)st;
    assert_int_equal(storage_look("/nonexistent/storage"), STORAGE_EMPTY);
    assert_int_equal(storage_look(dir), STORAGE_EMPTY);
    put(".", "raft_state.json", "{}"); /* Qdrant ran here, and had none */
    put("aliases", "data.json", "{}");
    put("collections", NULL, NULL);
    assert_int_equal(storage_look(dir), STORAGE_EMPTY);
    put("collections/docs.tmp", NULL, NULL); /* a restore at Qdrant's start that did not come to its end */
    put("collections", "stray", "");
    assert_int_equal(storage_look(dir), STORAGE_EMPTY);
    put("collections/.hidden", "config.json", "{}"); /* a collection's name may begin with a dot */
    assert_int_equal(storage_look(dir), STORAGE_DATA);
}

static void the_marker_says_more_than_the_collections(void **st)
{
    static const struct {
        const char *text;
        enum storage_state is;
    } table[] = {{"{\"state\":\"restoring\",\"at\":0", STORAGE_RESTORING},
                 {"{\"state\":\"committing\"", STORAGE_RESTORING},
                 {"{\"state\":\"done\"", STORAGE_SETTLED},
                 {"", STORAGE_RESTORING}, /* cut short: nobody can tell, so Qdrant is held back until somebody
                                             has looked */
                 {"garbage", STORAGE_RESTORING}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        put(".", STORAGE_MARKER, table[i].text);
        assert_int_equal(storage_look(dir), table[i].is);
    }
}

static void what_cannot_be_read_is_not_taken_for_empty(void **st)
{
    char path[200];
    (void)st;
    (void)snprintf(path, sizeof path, "%s/file", dir);
    put(".", "file", "");
    assert_int_equal(storage_look(path), STORAGE_UNKNOWN);
    assert_int_equal(errno, ENOTDIR);
    (void)snprintf(path, sizeof path, "%s/loop", dir);
    put("loop", NULL, NULL);
    (void)snprintf(path, sizeof path, "%s/loop/collections", dir);
    assert_int_equal(symlink(path, path), 0);
    (void)snprintf(path, sizeof path, "%s/loop", dir);
    assert_int_equal(storage_look(path), STORAGE_UNKNOWN);
    assert_int_equal(errno, ELOOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_collection_with_its_configuration_is_data),
        cmocka_unit_test(the_marker_says_more_than_the_collections),
        cmocka_unit_test(what_cannot_be_read_is_not_taken_for_empty),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
