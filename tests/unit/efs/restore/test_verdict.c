/* What is said of a restore, in a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/restore/verdict.h"
#include <stdio.h>
#include <string.h>

static const struct fingerprint_plan plan = {.made = true};

static struct content_digest print(int64_t points, char config, char content)
{
    struct content_digest p = {.points = points, .counted = true, .looked_at = 20, .all = true};
    memset(p.config, config, 64);
    memset(p.content, content, 64);
    return p;
}

static struct fingerprint taken(int64_t before, int64_t after)
{
    struct fingerprint f;
    struct content_digest a = print(before, 'c', 'd'), b = print(after, 'c', before == after ? 'd' : 'e');
    fingerprint_join(&f, &plan, &a, &b);
    return f;
}

static void each_of_what_was_there_and_what_came_back_has_its_verdict(void **st)
{
    struct fingerprint exact = taken(100, 100), range = taken(100, 110), zero = taken(0, 0),
                       large = taken(100, 100);
    large.before.counted = large.after.counted = false;
    const struct {
        const char *what;
        enum verdict_count count;
        int64_t was;
        const struct fingerprint *fingerprint;
        bool some, other;
        int64_t points;
        const char *status, *config;
        char now_config, now_content; /* of its print; 0: none was taken */
        bool left;
        enum verdict want;
    } t[] = {
        {"all of it", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", "", 'c', 'd', 0, VERDICT_EQUAL},
        {"all of it, yellow", COUNT_EXACT, 100, &exact, 0, 0, 100, "yellow", "", 'c', 'd', 0, VERDICT_EQUAL},
        {"no point of none", COUNT_EXACT, 0, &zero, 0, 0, 0, "green", "", 'c', 'd', 0, VERDICT_EQUAL},
        {"its snapshot was not compared", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", NULL, 'c', 'd', 0,
         VERDICT_EQUAL},
        {"red", COUNT_EXACT, 100, &exact, 0, 0, 100, "red", "", 'c', 'd', 0, VERDICT_RED},
        {"0 of 100", COUNT_EXACT, 100, &exact, 0, 0, 0, "green", "", 'c', 'd', 0, VERDICT_EMPTY},
        {"0 of an estimate", COUNT_ESTIMATE, 100, NULL, 0, 0, 0, "green", "", 0, 0, 0, VERDICT_EMPTY},
        {"0 of a number of later", COUNT_LATER, 100, NULL, 0, 0, 0, "green", "", 0, 0, 0, VERDICT_EMPTY},
        {"0 of some shards", COUNT_ESTIMATE, 100, NULL, 1, 0, 0, "green", "", 0, 0, 0, VERDICT_EMPTY},
        {"one point less", COUNT_EXACT, 100, &exact, 0, 0, 99, "green", "", 'c', 'd', 0, VERDICT_POINTS},
        {"one point more", COUNT_EXACT, 100, &exact, 0, 0, 101, "green", "", 'c', 'd', 0, VERDICT_POINTS},
        {"other contents", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", "", 'c', 'x', 0, VERDICT_CONTENT},
        {"an index is missing", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", "payload index a is missing",
         'c', 'd', 0, VERDICT_CONFIG},
        {"an index is missing, no fingerprint", COUNT_ESTIMATE, 100, NULL, 0, 0, 100, "green",
         "payload index a is missing", 0, 0, 0, VERDICT_CONFIG},
        {"the digest of its configuration", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", "", 'x', 'd', 0,
         VERDICT_CONFIG},
        {"that digest, of another version", COUNT_EXACT, 100, &exact, 0, 1, 100, "green", "", 'x', 'd', 0,
         VERDICT_UNPROVEN},
        {"that digest, not compared otherwise", COUNT_EXACT, 100, &exact, 0, 1, 100, "green", NULL, 'x', 'd',
         0, VERDICT_CONFIG},
        {"written meanwhile, within", COUNT_RANGE, 110, &range, 0, 0, 105, "green", "", 'c', 'x', 0,
         VERDICT_UNPROVEN},
        {"written meanwhile, as before", COUNT_RANGE, 110, &range, 0, 0, 100, "green", "", 'c', 'd', 0,
         VERDICT_UNPROVEN},
        {"written meanwhile, beyond", COUNT_RANGE, 110, &range, 0, 0, 50, "green", "", 'c', 'd', 0,
         VERDICT_POINTS},
        {"over a million, the same", COUNT_ESTIMATE, 100, &large, 0, 0, 100, "green", "", 'c', 'd', 0,
         VERDICT_UNPROVEN},
        {"over a million, other contents", COUNT_ESTIMATE, 100, &large, 0, 0, 100, "green", "", 'c', 'x', 0,
         VERDICT_CONTENT},
        {"over a million, half of it", COUNT_ESTIMATE, 100, &large, 0, 0, 50, "green", "", 'c', 'd', 0,
         VERDICT_POINTS},
        {"an estimate that is right", COUNT_ESTIMATE, 100, NULL, 0, 0, 100, "green", "", 0, 0, 0,
         VERDICT_UNPROVEN},
        {"an estimate that is a little off", COUNT_ESTIMATE, 6, NULL, 0, 0, 5, "green", "", 0, 0, 0,
         VERDICT_UNPROVEN},
        {"an estimate that is far off", COUNT_ESTIMATE, 17, NULL, 0, 0, 6, "green", "", 0, 0, 0,
         VERDICT_POINTS},
        {"an estimate of later", COUNT_LATER, 17, NULL, 0, 0, 6, "green", "", 0, 0, 0, VERDICT_UNPROVEN},
        {"no number", COUNT_NONE, -1, NULL, 0, 0, 6, "green", "", 0, 0, 0, VERDICT_UNPROVEN},
        {"no print could be taken", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", "", 0, 0, 0,
         VERDICT_UNPROVEN},
        {"no print, another number", COUNT_EXACT, 100, &exact, 0, 0, 99, "green", "", 0, 0, 0,
         VERDICT_POINTS},
        {"the part of one node", COUNT_ESTIMATE, 900, NULL, 1, 0, 400, "green", "", 0, 0, 0, VERDICT_PARTLY},
        {"aliases are left alone", COUNT_EXACT, 100, &exact, 0, 0, 100, "green", "", 'c', 'd', 1,
         VERDICT_PARTLY},
        {"it was not counted", COUNT_EXACT, 100, &exact, 0, 0, -1, "green", "", 'c', 'd', 0, VERDICT_UNKNOWN},
    };
    (void)st;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char why[VERDICT_TEXT];
        struct content_digest now = print(t[i].points, t[i].now_config, t[i].now_content);
        struct verdict_was was = {t[i].count, t[i].was, t[i].fingerprint, t[i].some, t[i].other};
        struct verdict_is is = {t[i].points, t[i].status, t[i].now_config ? &now : NULL, t[i].config,
                                t[i].left};
        enum verdict v = verdict_of(&was, &is, why);
        if (v != t[i].want)
            fail_msg("%s: %s (%s), not %s", t[i].what, verdict_row(v)->token, why,
                     verdict_row(t[i].want)->token);
        if (!*why != (v == VERDICT_EQUAL))
            fail_msg("%s: %s says \"%s\"", t[i].what, verdict_row(v)->token, why);
    }
}

static void only_three_verdicts_are_a_success_and_only_one_of_them_a_proof(void **st)
{
    (void)st;
    for (int v = 0; v < VERDICTS; v++) {
        const struct verdict_row *row = verdict_row((enum verdict)v);
        bool good = v == VERDICT_EQUAL || v == VERDICT_UNPROVEN || v == VERDICT_PARTLY;
        assert_non_null(row->word);
        assert_int_equal(row->exit_code == 0, good);
        assert_int_equal(row->healthy, good);
        assert_int_equal(strcmp(row->token, "proven") == 0, v == VERDICT_EQUAL);
        for (int k = 0; k < v; k++)
            assert_string_not_equal(row->token, verdict_row((enum verdict)k)->token);
    }
}

static void the_manifest_says_how_good_its_number_is(void **st)
{
    struct backup b = {.m = {.source = {.kind = KIND_COLLECTION}, .points = 7, .created = 1000}};
    (void)st;
    assert_int_equal(verdict_was(&b).count, COUNT_ESTIMATE);
    b.written = 1000 + 301;
    assert_int_equal(verdict_was(&b).count, COUNT_LATER);
    b.m.seconds = 60; /* of which the copy took one minute */
    assert_int_equal(verdict_was(&b).count, COUNT_ESTIMATE);
    b.m.fingerprint = taken(5, 5);
    assert_int_equal(verdict_was(&b).count, COUNT_EXACT);
    assert_int_equal(verdict_was(&b).points, 5);
    b.m.fingerprint = taken(5, 6);
    assert_int_equal(verdict_was(&b).count, COUNT_RANGE);
    b.m.fingerprint.after.counted = false;
    assert_int_equal(verdict_was(&b).count, COUNT_ESTIMATE);
    b.m.fingerprint.known = false;
    b.m.points = -1;
    assert_int_equal(verdict_was(&b).count, COUNT_NONE);
    b.m.points = 7;
    b.m.source.kind = KIND_SHARD;
    assert_int_equal(verdict_was(&b).count, COUNT_ESTIMATE);
    b.m.source.kind = KIND_STORAGE;
    assert_int_equal(verdict_was(&b).count, COUNT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_what_was_there_and_what_came_back_has_its_verdict),
        cmocka_unit_test(only_three_verdicts_are_a_success_and_only_one_of_them_a_proof),
        cmocka_unit_test(the_manifest_says_how_good_its_number_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
