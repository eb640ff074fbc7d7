/* Qdrant's configuration files: what they say, and which one wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "qdrant/config_files.h"

static void the_last_one_that_says_it_counts(void **st)
{
    static const struct {
        const char *first, *second, *variable, *value;
    } table[] = {
        {"service:\n  http_port: 7000\n", "", "QDRANT__SERVICE__HTTP_PORT", "7000"},
        {"service:\n  http_port: 7000\n", "service: {http_port: '7001'}", "QDRANT__SERVICE__HTTP_PORT",
         "7001"},
        {"service:\n  http_port: 7000\n  host: h\n", "service:\n  http_port: null\n",
         "QDRANT__SERVICE__HTTP_PORT", NULL},
        {"service:\n  host: \"::\"\n", "service:\n  http_port: 1\n", "QDRANT__SERVICE__HOST", "::"},
        {"storage:\n  snapshots_config:\n    snapshots_storage: s3\n", "log_level: INFO\n",
         "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE", "s3"},
        {"a: &a {enable_tls: true}\nservice: *a\n", "", "QDRANT__SERVICE__ENABLE_TLS", "true"},
        {"service:\n  api_key: \"null\"\n", "", "QDRANT__SERVICE__API_KEY", "null"},
        {"service:\n  - http_port: 1\n", "[1, 2]", "QDRANT__SERVICE__HTTP_PORT", NULL},
        {"storage: {temp_path: ~}", "# nothing", "QDRANT__STORAGE__TEMP_PATH", NULL},
        {"{\"cluster\": {\"enabled\": true}}", "---\n", "QDRANT__CLUSTER__ENABLED", "true"},
        {"service.http_port: 1\n", "", "QDRANT__SERVICE__HTTP_PORT", "1"},
        {"service: {http_port: 1}\n", "\"service.http_port\": 2\n", "QDRANT__SERVICE__HTTP_PORT", "2"},
        {"service: {host: h}\nservice.http_port: 1\n", "", "QDRANT__SERVICE__HOST", "h"},
        {"storage.snapshots_config: {snapshots_storage: s3}\n", "storage.temp_path: t\n",
         "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE", "s3"},
        {"storage.snapshots_config.snapshots_storage: s3\n", "",
         "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE", "s3"},
        {"storage: {snapshots_config.snapshots_storage: s3}\n", "service.: 1\n",
         "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE", NULL},
        {"service.http_port.x: 1\n", "service_http_port: 1\n", "QDRANT__SERVICE__HTTP_PORT", NULL},
        {"service.http_port: 1\n", "service.http_port: ~\n", "QDRANT__SERVICE__HTTP_PORT", NULL},
        {"service: {http_port: 0x43b5}", "", "QDRANT__SERVICE__HTTP_PORT", "17333"},
        {"service: {http_port: 0o17}", "", "QDRANT__SERVICE__HTTP_PORT", "15"},
        {"service: {api_key: 007}", "", "QDRANT__SERVICE__API_KEY", "7"},
        {"service: {api_key: '0x43b5'}", "", "QDRANT__SERVICE__API_KEY", "0x43b5"},
        {"service: {api_key: 0x43b5g}", "", "QDRANT__SERVICE__API_KEY", "0x43b5g"},
        {"service: {api_key: 99999999999999999999}", "", "QDRANT__SERVICE__API_KEY", "99999999999999999999"},
    };
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct config_values c = {0};
        struct err e = {0};
        if (config_values_add(&c, table[i].first, strlen(table[i].first), &e) != 0 ||
            config_values_add(&c, table[i].second, strlen(table[i].second), &e) != 0)
            fail_msg("row %zu: %s", i, e.text);
        const char *is = config_values_get(&c, table[i].variable);
        if ((is == NULL) != (table[i].value == NULL) || (is && strcmp(is, table[i].value) != 0))
            fail_msg("row %zu: %s", i, is ? is : "none");
        config_values_free(&c);
    }
}

static void what_is_no_yaml_is_named_by_its_line(void **st)
{
    static const char *const bad[] = {"service:\n  http_port: [1\n", "a: b: c", "\t- x", "x: *nobody"};
    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config_values c = {0};
        struct err e = {0};
        assert_int_equal(config_values_add(&c, bad[i], strlen(bad[i]), &e), -1);
        assert_non_null(strstr(e.text, "line "));
        config_values_free(&c);
    }
}

enum { LONG = 900000 };
static char *many(const char *piece)
{
    size_t n = strlen(piece);
    char *text = malloc(LONG + 8);
    assert_non_null(text);
    memcpy(text, "x: ", 3);
    for (size_t i = 3; i < LONG; i++)
        text[i] = piece[(i - 3) % n];
    text[LONG] = '\0';
    return text;
}

static void what_would_keep_the_loader_busy_is_refused_at_once(void **st)
{
    static const char *const bad[] = {"[", "{a: ", "- ", "[&a x, &b y,\n"};
    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config_values c = {0};
        struct err e = {0};
        char *text = many(bad[i]);
        text[0] = i == 2 ? '-' : text[0];
        text[1] = i == 2 ? ' ' : text[1];
        clock_t begun = clock();
        assert_int_equal(config_values_add(&c, text, LONG, &e), -1);
        assert_true(clock() - begun < CLOCKS_PER_SEC);
        assert_non_null(strstr(e.text, "nested too deep"));
        free(text);
        config_values_free(&c);
    }
}

static void many_anchors_are_refused_and_much_that_is_flat_is_read(void **st)
{
    struct config_values c = {0};
    struct err e = {0};
    size_t n = 0;
    char *text = malloc(LONG);
    (void)st;
    assert_non_null(text);
    for (int i = 0; n < LONG - 40; i++)
        n += (size_t)snprintf(text + n, LONG - n, "k%d: &n%d v\n", i, i);
    assert_int_equal(config_values_add(&c, text, n, &e), -1);
    assert_non_null(strstr(e.text, "too many anchors"));
    n = (size_t)snprintf(text, LONG, "service.host: h\n");
    for (int i = 0; n < LONG - 40; i++)
        n += (size_t)snprintf(text + n, LONG - n, "k%d: [v]\n", i);
    assert_int_equal(config_values_add(&c, text, n, &e), 0);
    assert_string_equal(config_values_get(&c, "QDRANT__SERVICE__HOST"), "h");
    free(text);
    config_values_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_that_says_it_counts),
        cmocka_unit_test(what_is_no_yaml_is_named_by_its_line),
        cmocka_unit_test(what_would_keep_the_loader_busy_is_refused_at_once),
        cmocka_unit_test(many_anchors_are_refused_and_much_that_is_flat_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
