/* The line that says where Qdrant is placed in its cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "entrypoint/place.h"

static void lines_are_understood_or_not(void **state)
{
    static const struct {
        const char *line;
        bool good;
        const char *uri, *peer;
    } rows[] = {
        {"run", true, "", ""},
        {"run http://a:6335", true, "http://a:6335", ""},
        {"found http://a:6335", true, "http://a:6335", ""},
        {"join https://a:6335 https://b:6335/", true, "https://a:6335", "https://b:6335/"},
        {"join http://a:6335", false, NULL, NULL},
        {"join http://a:6335 http://a:6335/", false, NULL, NULL}, /* Qdrant would found */
        {"join http://a:6335 HTTP://A:6335", false, NULL, NULL},
        {"join http://a:6335 http://A:6335", false, NULL, NULL},
        {"found", false, NULL, NULL},
        {"found http://a:6335 http://b:6335", false, NULL, NULL},
        {"found --bootstrap", false, NULL, NULL},
        {"run http://a:6335 more", false, NULL, NULL},
        {"join  http://b:6335", false, NULL, NULL},
        {"stop", false, NULL, NULL},
        {"", false, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct place p;
        bool good = place_parse(rows[i].line, &p);
        if (good != rows[i].good ||
            (good && (strcmp(p.uri, rows[i].uri) != 0 || strcmp(p.peer, rows[i].peer) != 0)))
            fail_msg("%s: %d %s %s", rows[i].line, good, p.uri, p.peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_are_understood_or_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
