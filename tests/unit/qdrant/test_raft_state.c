/* What the storage of a Qdrant 1.18.2 says of its part in a cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "qdrant/raft_state.h"

#define STATE(term, voters, uris)                                                                            \
    "{\"state\":{\"hard_state\":{\"term\":" term                                                             \
    ",\"vote\":0,\"commit\":0},\"conf_state\":{\"voters\":[" voters                                          \
    "],\"learners\":[]}},\"latest_snapshot_meta\":{\"term\":0,\"index\":0},\"apply_progress_queue\":null,"   \
    "\"first_voter\":null,\"peer_address_by_id\":{" uris "},\"this_peer_id\":8741264569174664}"

static void a_node_is_a_member_from_its_first_term_on(void **state)
{
    static const struct {
        const char *text;
        bool member, alone;
        const char *uri;
    } rows[] = {
        {STATE("0", "", ""), false, false, ""},
        {STATE("0", "8741264569174664", ""), false, true, ""},
        {STATE("3", "8741264569174664,1",
               "\"8741264569174664\":\"http://qdrant-0:6335/\",\"1\":\"http://b:1/\""),
         true, false, "http://qdrant-0:6335/"},
        {STATE("1", "", ""), true, false, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct raft_state s;
        struct err e = {0};
        assert_int_equal(raft_state_parse(rows[i].text, "x", &s, &e), 0);
        assert_true(s.there && s.member == rows[i].member && s.alone == rows[i].alone);
        assert_string_equal(s.uri, rows[i].uri);
    }
}

static void anything_else_is_said(void **state)
{
    static const char *const texts[] = {"", "{", "{}", "{\"state\":{}}", "[]", "{\"this_peer_id\":1}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct raft_state s;
        struct err e = {0};
        assert_int_equal(raft_state_parse(texts[i], "/disk/raft_state.json", &s, &e), -1);
        assert_non_null(strstr(e.text, "/disk/raft_state.json"));
    }
}

static void none_is_no_error(void **state)
{
    struct raft_state s = {.member = true};
    struct err e = {0};
    (void)state;
    assert_int_equal(raft_state_read("/nowhere", &s, &e), 0);
    assert_false(s.there || s.member || s.alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_node_is_a_member_from_its_first_term_on),
                                       cmocka_unit_test(anything_else_is_said),
                                       cmocka_unit_test(none_is_no_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
