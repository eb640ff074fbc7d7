/* Who is who in a cluster: what is written is read, and what is odd is nobody's word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>
#include "common/base/files.h"
#include "efs/repo/cluster_nodes.h"
#include "scratch.h"

static struct scratch s;
static struct cluster_place_of at;

static int begin(void **state)
{
    (void)state;
    scratch_make(&s, "cluster_nodes");
    at = (struct cluster_place_of){s.root, "test"};
    return 0;
}

static int end(void **state)
{
    (void)state;
    scratch_delete(&s);
    return 0;
}

static struct cluster_nodes read_all(void)
{
    struct cluster_nodes all;
    struct err e = {0};
    if (cluster_nodes_read(&at, &all, &e) != 0)
        fail_msg("%s", e.text);
    return all;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct err e;
    struct cluster_node a = {"11", "node-0", "http://q-0:6335", 1000, 2000},
                        w = {"12", "a/b %", "u", 3000, 4000};
    assert_int_equal(cluster_nodes_put_peer(&at, &a, &e), 0);
    assert_int_equal(cluster_nodes_put_waiting(&at, &w, &e), 0);
    struct cluster_nodes all = read_all();
    assert_int_equal(all.n_peers, 1);
    assert_int_equal(all.n_waiting, 1);
    assert_memory_equal(&all.peers[0], &a, sizeof a);
    assert_string_equal(all.waiting[0].node, "a/b %");
    assert_true(cluster_nodes_peer(&all, "11") == &all.peers[0] && !cluster_nodes_peer(&all, "12"));
    cluster_nodes_free(&all);
    assert_int_equal(cluster_nodes_take_waiting(&at, "a/b %", &e), 0);
    assert_int_equal(cluster_nodes_take_waiting(&at, "a/b %", &e), 0);
    all = read_all();
    assert_int_equal(all.n_waiting, 0);
    cluster_nodes_free(&all);
}

static void the_first_time_stays(void **state)
{
    (void)state;
    struct err e;
    struct cluster_node a = {"11", "node-0", "u", 1000, 1000}, later = {"11", "node-0", "u", 5000, 5000};
    assert_int_equal(cluster_nodes_put_peer(&at, &a, &e), 0);
    assert_int_equal(cluster_nodes_put_peer(&at, &later, &e), 0);
    struct cluster_nodes all = read_all();
    assert_true(all.n_peers == 1 && all.peers[0].first == 1000 && all.peers[0].last == 5000);
    cluster_nodes_free(&all);
}

static void what_is_odd_is_counted_and_told(void **state)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"11.json", "no JSON"},
        {"12.json", "{\"format\": 2, \"peer_id\": \"12\", \"node\": \"a\", \"uri\": \"\", \"first\": "
                    "\"2026-11-24T08:00:00Z\", \"last\": \"2026-11-24T08:00:00Z\"}"},
        {"13.json", "{\"format\": 1, \"peer_id\": \"14\", \"node\": \"a\", \"uri\": \"\", \"first\": "
                    "\"2026-11-24T08:00:00Z\", \"last\": \"2026-11-24T08:00:00Z\"}"},
        {"15.json", "{\"format\": 1, \"peer_id\": \"15\", \"node\": \"a\", \"uri\": \"\"}"},
        {"x.json", "{\"format\": 1, \"peer_id\": \"../x\", \"node\": \"a\", \"uri\": \"\", \"first\": "
                   "\"2026-11-24T08:00:00Z\", \"last\": \"2026-11-24T08:00:00Z\"}"},
    };
    (void)state;
    struct err e;
    char dir[200];
    assert_int_equal(files_mkdirs(s.root, "clusters/test/peers", &e), 0);
    (void)snprintf(dir, sizeof dir, "%s/clusters/test/peers", s.root);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_int_equal(files_put(dir, files[i].name, files[i].text, &e), 0);
    assert_int_equal(files_put(dir, "README", "is passed over", &e), 0);
    struct cluster_nodes all = read_all();
    assert_int_equal(all.n_peers, 0);
    assert_int_equal(all.unreadable, sizeof files / sizeof *files);
    assert_true(all.why[0]);
    cluster_nodes_free(&all);
}

static void who_was_not_seen_for_long_is_swept(void **state)
{
    (void)state;
    struct err e;
    struct cluster_node old = {"11", "node-0", "u", 1000, 2000}, young = {"12", "node-0", "u", 1000, 3000};
    assert_int_equal(cluster_nodes_put_peer(&at, &old, &e), 0);
    assert_int_equal(cluster_nodes_put_peer(&at, &young, &e), 0);
    assert_int_equal(cluster_nodes_sweep(&at, 2500 + CLUSTER_NODE_OLD, &e), 0);
    struct cluster_nodes all = read_all();
    assert_true(all.n_peers == 1 && strcmp(all.peers[0].peer, "12") == 0);
    cluster_nodes_free(&all);
}

static void the_root_is_not_made(void **state)
{
    (void)state;
    struct err e;
    struct cluster_place_of nowhere = {"/tmp/there-is-no-such-folder", "test"};
    struct cluster_node a = {"11", "node-0", "u", 1, 1};
    assert_int_equal(cluster_nodes_put_peer(&nowhere, &a, &e), -1);
    assert_int_not_equal(access("/tmp/there-is-no-such-folder", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, begin, end),
        cmocka_unit_test_setup_teardown(the_first_time_stays, begin, end),
        cmocka_unit_test_setup_teardown(what_is_odd_is_counted_and_told, begin, end),
        cmocka_unit_test_setup_teardown(who_was_not_seen_for_long_is_swept, begin, end),
        cmocka_unit_test_setup_teardown(the_root_is_not_made, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
