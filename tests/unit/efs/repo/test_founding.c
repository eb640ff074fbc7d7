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
        const char *name, *word;
        unsigned n;
        bool founded;
    } rows[] = {
        {"first-1.json", "first", 1, false},
        {"first-12.founded.json", "first", 12, true},
        {"2026-11-30-3.json", "2026-11-30", 3, false},
        {"x.founded-1.json", "x.founded", 1, false},
        {"first-0.json", NULL, 0, false},
        {"first-01.json", NULL, 0, false},
        {"first-1234567.json", NULL, 0, false},
        {"first.json", NULL, 0, false},
        {"-1.json", NULL, 0, false},
        {"first-1.jsonx", NULL, 0, false},
        {".json", NULL, 0, false},
        {"", NULL, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char word[72] = "";
        unsigned n = 0;
        bool founded = false, ok = founding_name(rows[i].name, word, &n, &founded);
        if (ok != (rows[i].word != NULL) ||
            (ok && (strcmp(word, rows[i].word) != 0 || n != rows[i].n || founded != rows[i].founded)))
            fail_msg("%s: %d %s %u %d", rows[i].name, ok, word, n, founded);
    }
}

static char root[64], base[96];
static void begin(void)
{
    (void)snprintf(root, sizeof root, "/tmp/founding-XXXXXX");
    assert_non_null(mkdtemp(root));
    (void)snprintf(base, sizeof base, "%s/test-cpu", root);
}
static void end(void)
{
    struct err e;
    assert_int_equal(files_remove_dir(root, &e), 0);
}
static struct founder node(const char *token, const char *word)
{
    return (struct founder){
        .root = root, .base = base, .word = word, .token = token, .node = token, .uri = "http://n:6335"};
}
static struct founding look(const char *token, const char *word)
{
    struct founder me = node(token, word);
    struct founding out;
    struct err e;
    assert_int_equal(founding_look(&me, &out, &e), 0);
    return out;
}
static int claim(const char *token, const char *word)
{
    struct founder me = node(token, word);
    struct founding at = look(token, word);
    struct err e;
    return founding_claim(&me, &at, &e);
}
static void make_older(const char *name, time_t seconds)
{
    char path[256];
    struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    (void)snprintf(path, sizeof path, "%s/cluster/%s", base, name);
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void a_claim_is_given_once(void **state)
{
    (void)state;
    begin();
    struct founder b = node("b", FOUNDING_FIRST);
    struct founding free_then = look("b", FOUNDING_FIRST);
    struct err e;
    assert_int_equal(free_then.state, FOUNDING_FREE);
    assert_int_equal(claim("a", FOUNDING_FIRST), 0);
    assert_int_equal(founding_claim(&b, &free_then, &e), 1);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_OURS);
    assert_int_equal(look("b", FOUNDING_FIRST).state, FOUNDING_OTHERS);
    assert_string_equal(look("b", FOUNDING_FIRST).node, "a");
    assert_int_equal(look("", FOUNDING_FIRST).state, FOUNDING_OTHERS);
    end();
}

static void one_that_was_left_is_taken_over_by_a_new_number_and_its_holder_sees_that(void **state)
{
    (void)state;
    begin();
    assert_int_equal(claim("a", FOUNDING_FIRST), 0);
    make_older("first-1.json", FOUNDING_STALE / 2 + 5);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_LEFT); /* its holder leaves off first */
    assert_int_equal(look("b", FOUNDING_FIRST).state, FOUNDING_OTHERS);
    make_older("first-1.json", FOUNDING_STALE + 5);
    assert_int_equal(look("b", FOUNDING_FIRST).state, FOUNDING_LEFT);
    assert_int_equal(claim("b", FOUNDING_FIRST), 0);
    assert_int_equal(look("b", FOUNDING_FIRST).state, FOUNDING_OURS);
    assert_int_equal(look("b", FOUNDING_FIRST).n, 2);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_OTHERS);
    end();
}

static void what_was_founded_takes_a_word_and_each_word_founds_once(void **state)
{
    struct err e;
    (void)state;
    begin();
    assert_int_equal(claim("a", FOUNDING_FIRST), 0);
    assert_int_equal(founding_seen(root, base, "b", "123", &e), 0);
    assert_int_equal(founding_seen(root, base, "c", "456", &e), 0);
    make_older("first-1.json", 1000000);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_DONE);
    assert_int_equal(look("b", "again").state, FOUNDING_FREE);
    assert_int_equal(claim("b", "again"), 0);
    assert_int_equal(look("a", "again").state, FOUNDING_OTHERS);
    assert_int_equal(founding_seen(root, base, "b", "123", &e), 0);
    assert_int_equal(look("a", "again").state, FOUNDING_DONE);
    assert_int_equal(look("a", "third").state, FOUNDING_FREE);
    end();
}

static void backups_are_of_something_earlier(void **state)
{
    char path[160];
    (void)state;
    begin();
    (void)snprintf(path, sizeof path, "%s/hourly", base);
    assert_int_equal(mkdir(base, 0755), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_FREE);
    (void)snprintf(path, sizeof path, "%s/hourly/docs", base);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_EARLIER);
    assert_int_equal(look("a", "again").state, FOUNDING_FREE);
    end();
}

static void what_cannot_be_made_out_is_anothers(void **state)
{
    struct err e;
    char dir[160];
    (void)state;
    begin();
    assert_int_equal(files_mkdirs(root, "test-cpu/cluster", &e), 0);
    (void)snprintf(dir, sizeof dir, "%s/cluster", base);
    assert_int_equal(files_put(dir, "first-1.json", "{", &e), 0);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_OTHERS);
    assert_int_equal(files_put(dir, "other-1.json", "{", &e), 0);
    assert_int_equal(unlink(strcat(dir, "/first-1.json")), 0);
    assert_int_equal(look("a", FOUNDING_FIRST).state, FOUNDING_EARLIER);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart),
        cmocka_unit_test(a_claim_is_given_once),
        cmocka_unit_test(one_that_was_left_is_taken_over_by_a_new_number_and_its_holder_sees_that),
        cmocka_unit_test(what_was_founded_takes_a_word_and_each_word_founds_once),
        cmocka_unit_test(backups_are_of_something_earlier),
        cmocka_unit_test(what_cannot_be_made_out_is_anothers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
