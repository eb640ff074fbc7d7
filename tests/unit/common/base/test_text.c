/* Text from outside, for JSON and for terminals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/text.h"

static void utf8_is_told_from_other_bytes(void **st)
{
    static const char *const good[] = {"", "a", "é", "東京", "🎉", "\x7f", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xff", "a\xc3",    "\xe6\x9d"};
    (void)st;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(text_is_utf8(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char copy[16];
        assert_false(text_is_utf8(bad[i]));
        strcpy(copy, bad[i]);
        text_make_utf8(copy);
        assert_true(text_is_utf8(copy));
        assert_int_equal(strlen(copy), strlen(bad[i]));
    }
}

static void nothing_that_moves_a_cursor_reaches_a_terminal(void **st)
{
    char out[64];
    (void)st;
    assert_string_equal(text_printable("a\033[31m\r\n\tb\x7f\xc2\x9b"
                                       "c\xff",
                                       out, sizeof out),
                        "a?[31m???b??c?");
    assert_string_equal(text_printable("日本", out, 5), "日");
    assert_string_equal(text_printable("abc", out, 1), "");
}

static void what_turns_a_text_around_or_has_no_width_is_shown_by_its_number(void **st)
{
    char out[64];
    (void)st;
    assert_string_equal(text_printable("a\u202Eb\u200Bc", out, sizeof out),
                        "a\u2039U+202E\u203Ab\u2039U+200B\u203Ac");
    assert_string_equal(text_printable("\u2066\uFEFF", out, sizeof out),
                        "\u2039U+2066\u203A\u2039U+FEFF\u203A");
    assert_string_equal(text_printable("a\u202Eb", out, 13), "a"); /* all of it, or nothing */
    assert_string_equal(text_printable("\u200D\u200C", out, sizeof out), "\u200D\u200C"); /* join letters */
    char *json = text_json("{\"a\u202E\":\"\u200B\u6771\u2028\"}");
    assert_string_equal(json, "{\"a\\u202e\":\"\\u200b\u6771\\u2028\"}");
    free(json);
}

static void a_word_for_the_shell_is_one_word_and_closed_where_it_is_cut(void **st)
{
    char out[64], small[8];
    (void)st;
    assert_string_equal(text_shell("", out, sizeof out), "''");
    assert_string_equal(text_shell("a b;$c", out, sizeof out), "'a b;$c'");
    assert_string_equal(text_shell("it's", out, sizeof out), "'it'\\''s'");
    assert_string_equal(text_shell("abcdefghi", small, sizeof small), "'abcde'");
    assert_string_equal(text_shell("ab'c", small, sizeof small), "'ab'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(what_turns_a_text_around_or_has_no_width_is_shown_by_its_number),
        cmocka_unit_test(nothing_that_moves_a_cursor_reaches_a_terminal),
        cmocka_unit_test(a_word_for_the_shell_is_one_word_and_closed_where_it_is_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
