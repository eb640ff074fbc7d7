/* Which word is taken for the one that was meant. */
#include "efs/cli/suggest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char *const commands[] = {"status",  "ls",    "du",      "show",   "verify",
                                       "restore", "drill", "replica", "forget", "prune"};
static const char *const flags[] = {"--root", "--collection", "--node", "--newer", "--older", "--json"};

static void the_nearest_word_is_meant_and_none_that_is_far(void **state)
{
    static const struct {
        const char *written, *meant; /* NULL: nobody knows */
        const char *const *words;
        size_t n;
    } t[] = {
        {"statsu", "status", commands, 10},
        {"stat", "status", commands, 10},
        {"restroe", "restore", commands, 10},
        {"rstore", "restore", commands, 10},
        {"prnue", "prune", commands, 10},
        {"sl", "ls", commands, 10},
        {"lss", "ls", commands, 10},
        {"re", NULL, commands, 10}, /* restore, or replica */
        {"list", NULL, commands, 10},
        {"frobnicate", NULL, commands, 10},
        {"", NULL, commands, 10},
        {"--colection", "--collection", flags, 6},
        {"--colllections", "--collection", flags, 6},
        {"--coll", "--collection", flags, 6},
        {"--nodes", "--node", flags, 6},
        {"--ndoe", "--node", flags, 6},
        {"--bogus", NULL, flags, 6},
        {"--", NULL, flags, 6},
        {"--n", NULL, flags, 6},
        {"a-word-that-is-longer-than-any-other-one-could-ever-be", NULL, flags, 6},
    };
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        const char *meant = suggest(t[i].written, t[i].words, t[i].n);
        if (!t[i].meant && meant)
            fail_msg("%s: %s", t[i].written, meant);
        if (t[i].meant)
            assert_string_equal(meant ? meant : "none", t[i].meant);
    }
    assert_null(suggest("ls", commands, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_nearest_word_is_meant_and_none_that_is_far)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
