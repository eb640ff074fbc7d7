/* The claim on EFS: names, and who has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/base/files.h"
#include "efs/repo/founding.h"

static void names_are_taken_apart(void **state)
{
    static const struct {
        const char *name;
        unsigned n; /* 0: it is none */
        enum founding_file what;
    } rows[] = {
        {"1.json", 1, FOUNDING_CLAIM},
        {"12.telling.json", 12, FOUNDING_TOLD_FILE},
        {"12.founded.json", 12, FOUNDING_FOUNDED_FILE},
        {"0.json", 0, 0},
        {"01.json", 0, 0},
        {"1234567.json", 0, 0},
        {"1.jsonx", 0, 0},
        {"1.told.json", 0, 0},
        {"used-1.json", 0, 0},
        {".json", 0, 0},
        {"", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum founding_file what = FOUNDING_CLAIM;
        unsigned n = 0;
        bool ok = founding_name(rows[i].name, &n, &what);
        if (ok != (rows[i].n > 0) || (ok && (n != rows[i].n || what != rows[i].what)))
            fail_msg("%s: %d %u %d", rows[i].name, ok, n, (int)what);
    }
}

static char root[64], folder[96];
static void begin(void)
{
    (void)snprintf(root, sizeof root, "/tmp/founding-XXXXXX");
    assert_non_null(mkdtemp(root));
    (void)snprintf(folder, sizeof folder, "%s/clusters/test", root);
}
static void end(void)
{
    struct err e;
    assert_int_equal(files_remove_dir(root, &e), 0);
}
static struct founder node(const char *token, const char *word)
{
    return (struct founder){
        .root = root, .tier = "test", .word = word, .token = token, .node = token, .uri = "http://n:6335"};
}
static struct founding look(const char *token, const char *word)
{
    struct founder me = node(token, word);
    struct founding out;
    struct err e;
    assert_int_equal(founding_look(&me, &out, &e), 0);
    return out;
}
static enum founding_state state_of(const char *token, const char *word) { return look(token, word).state; }
static int claim(const char *token, const char *word)
{
    struct founder me = node(token, word);
    struct founding at = look(token, word);
    struct err e;
    return founding_claim(&me, &at, &e);
}
static void tell(const char *token, unsigned n)
{
    struct founder me = node(token, "");
    struct founding at = {.state = FOUNDING_OURS, .n = n};
    struct err e;
    assert_int_equal(founding_tell(&me, &at, &e), 0);
}
static void seen(const char *token, const char *word)
{
    struct founder me = node(token, word);
    struct err e;
    assert_int_equal(founding_seen(&me, "123", &e), 0);
}
static void make_older(const char *name, time_t seconds)
{
    char path[256];
    struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void a_claim_is_given_once(void **state)
{
    (void)state;
    begin();
    struct founder b = node("b", "");
    struct founding free_then = look("b", "");
    struct err e;
    assert_int_equal(free_then.state, FOUNDING_FREE);
    assert_int_equal(claim("a", ""), 0);
    assert_int_equal(founding_claim(&b, &free_then, &e), 1);
    assert_int_equal(state_of("a", ""), FOUNDING_OURS);
    assert_int_equal(state_of("b", ""), FOUNDING_OTHERS);
    assert_string_equal(look("b", "").node, "a");
    assert_int_equal(state_of("", ""), FOUNDING_OTHERS);
    end();
}

static void words_are_no_way_round_the_claim_of_another(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", "w1"), 0);
    assert_int_equal(state_of("b", "w2"), FOUNDING_OTHERS);
    assert_int_equal(state_of("b", ""), FOUNDING_OTHERS);
    end();
}

static void it_is_told_before_it_is_used(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", ""), 0);
    tell("a", 1);
    assert_int_equal(state_of("a", ""), FOUNDING_TELLING);
    assert_int_equal(state_of("b", ""), FOUNDING_MAYBE);
    assert_true(look("b", "").young);
    make_older("1.telling.json", FOUNDING_YOUNG + 5);
    assert_false(look("b", "").young);
    make_older("1.json", 1000000);
    assert_int_equal(state_of("a", ""), FOUNDING_TELLING); /* it restarts with its disk */
    assert_int_equal(state_of("b", ""), FOUNDING_MAYBE);   /* age is no proof that nothing came of it */
    assert_int_equal(state_of("b", "lost"), FOUNDING_FREE);
    end();
}

static void one_that_was_left_is_taken_over_by_the_next_number_and_its_holder_sees_that(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", ""), 0);
    make_older("1.json", FOUNDING_STALE / 2 + 5);
    assert_int_equal(state_of("a", ""), FOUNDING_LEFT); /* its holder leaves off first */
    assert_int_equal(state_of("b", ""), FOUNDING_OTHERS);
    make_older("1.json", FOUNDING_STALE + 5);
    assert_int_equal(state_of("b", ""), FOUNDING_LEFT);
    assert_int_equal(claim("b", ""), 0);
    assert_int_equal(state_of("b", ""), FOUNDING_OURS);
    assert_int_equal(look("b", "").n, 2);
    assert_int_equal(state_of("a", ""), FOUNDING_OTHERS);
    end();
}

/* One that hung in EFS tells after it was taken over. */
static void of_two_that_pass_each_other_at_most_one_goes_on(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", ""), 0);
    make_older("1.json", FOUNDING_STALE + 5);
    assert_int_equal(claim("b", ""), 0);
    tell("a", 1); /* it had looked before */
    assert_int_equal(state_of("a", ""), FOUNDING_OTHERS);
    tell("b", 2);
    assert_int_equal(state_of("b", ""), FOUNDING_MAYBE);
    assert_int_equal(state_of("a", ""), FOUNDING_MAYBE);
    assert_int_equal(state_of("c", "lost"), FOUNDING_FREE);
    assert_int_equal(claim("c", "lost"), 0);
    tell("c", 3);
    assert_int_equal(state_of("c", "lost"), FOUNDING_TELLING); /* a word says that both are gone */
    end();
}

static void what_was_founded_takes_a_word_and_each_word_founds_once(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", ""), 0);
    seen("b", "");
    seen("c", "");
    make_older("1.json", 1000000);
    assert_int_equal(state_of("a", ""), FOUNDING_DONE);
    assert_int_equal(state_of("b", "again"), FOUNDING_FREE);
    assert_int_equal(claim("b", "again"), 0);
    assert_int_equal(look("b", "again").n, 2);
    seen("b", "again");
    assert_int_equal(state_of("a", "again"), FOUNDING_USED);
    assert_int_equal(state_of("a", ""), FOUNDING_DONE);
    assert_int_equal(state_of("a", "third"), FOUNDING_FREE);
    end();
}

static void a_word_that_was_not_needed_is_used_all_the_same(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", ""), 0);
    seen("b", "lost");
    assert_int_equal(state_of("b", "lost"), FOUNDING_USED);
    end();
    begin(); /* and where there never was a claim */
    seen("b", "lost");
    assert_int_equal(state_of("b", "lost"), FOUNDING_USED);
    end();
}

static void backups_of_any_tree_of_the_tier_are_of_something_earlier(void **state)
{
    struct err e;
    (void)state;
    begin();
    assert_int_equal(files_mkdirs(root, "test-aarch64/hourly", &e), 0);
    assert_int_equal(files_mkdirs(root, "testing-x86_64/hourly/docs", &e), 0);
    assert_int_equal(state_of("a", ""), FOUNDING_FREE);
    assert_int_equal(files_mkdirs(root, "test-aarch64/hourly/docs", &e), 0);
    assert_int_equal(state_of("a", ""), FOUNDING_EARLIER);
    assert_int_equal(state_of("a", "again"), FOUNDING_FREE);
    end();
}

static void what_cannot_be_made_out_is_anothers(void **state)
{
    struct err e;
    (void)state;
    begin();
    assert_int_equal(files_mkdirs(root, "clusters/test", &e), 0);
    assert_int_equal(files_put(folder, "1.json", "{", &e), 0);
    assert_int_equal(state_of("a", ""), FOUNDING_OTHERS);
    assert_string_equal(look("a", "").when, "?");
    assert_int_equal(files_put(folder, "1.telling.json", "{", &e), 0);
    assert_int_equal(state_of("a", ""), FOUNDING_MAYBE);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart),
        cmocka_unit_test(a_claim_is_given_once),
        cmocka_unit_test(words_are_no_way_round_the_claim_of_another),
        cmocka_unit_test(it_is_told_before_it_is_used),
        cmocka_unit_test(one_that_was_left_is_taken_over_by_the_next_number_and_its_holder_sees_that),
        cmocka_unit_test(of_two_that_pass_each_other_at_most_one_goes_on),
        cmocka_unit_test(what_was_founded_takes_a_word_and_each_word_founds_once),
        cmocka_unit_test(a_word_that_was_not_needed_is_used_all_the_same),
        cmocka_unit_test(backups_of_any_tree_of_the_tier_are_of_something_earlier),
        cmocka_unit_test(what_cannot_be_made_out_is_anothers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
