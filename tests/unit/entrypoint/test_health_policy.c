/* The health check's decisions: what is asked where, what the answers mean, what the lines say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "entrypoint/health_policy.h"

enum { GOOD = HEALTH_GOOD, BAD = HEALTH_BAD };

/* The environment of the test that runs: names and values in turn, NULL at the end. */
static const char *const *environment;

static const char *look_up(const char *name)
{
    for (const char *const *e = environment; *e; e += 2)
        if (strcmp(e[0], name) == 0)
            return e[1];
    return NULL;
}

#define ENV(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct health_plan plan(const char *const *env)
{
    struct health_plan p;
    char error[256] = "";
    environment = env;
    if (!health_plan(&p, look_up, error, sizeof error))
        fail_msg("%s", error);
    return p;
}

static const char *error_of(const char *const *env)
{
    static char error[256];
    struct health_plan p;
    environment = env;
    error[0] = '\0';
    assert_false(health_plan(&p, look_up, error, sizeof error));
    return error;
}

/* An answer of the server at this plan's address. */
static struct probe answer(const struct address *at, enum probe_end end, int number)
{
    struct probe a = {.at = *at, .end = end, .ms = 4};
    if (end == PROBE_ANSWERED)
        a.status = number;
    else
        a.error = number;
    return a;
}

static void says(struct probe *a, const char *reply)
{
    a->length = strlen(reply);
    memcpy(a->reply, reply, a->length);
}

static void nothing_set_asks_qdrant_at_its_standard_port_and_not_the_replicator(void **st)
{
    struct health_plan p = plan(ENV());
    (void)st;
    assert_string_equal(p.qdrant.text, "127.0.0.1:6333");
    assert_false(p.qdrant_tls || p.ask_replicator || p.replicator_lost || p.strict);
    assert_int_equal(p.start_seconds, 0);
    assert_string_equal(p.why_not, "not asked: EFS_ROOT is not set, no backups are made");
}

static void efs_root_has_the_replicator_asked_at_its_standard_port(void **st)
{
    (void)st;
    assert_string_equal(plan(ENV("EFS_ROOT", "/efs")).replicator.text, "127.0.0.1:6336");
    assert_true(plan(ENV("EFS_ROOT", "/efs")).ask_replicator);
    assert_string_equal(plan(ENV("EFS_ROOT", "/efs", "STATUS_LISTEN", "")).replicator.text, "127.0.0.1:6336");
    assert_false(plan(ENV("EFS_ROOT", "/efs", "STATUS_LISTEN", "off")).ask_replicator);
}

static void an_empty_variable_counts_as_unset(void **st)
{
    struct health_plan p = plan(ENV("HEALTH_QDRANT", "", "HEALTH_STRICT", "", "HEALTH_START_SECONDS", "",
                                    "QDRANT__SERVICE__HOST", "", "QDRANT__SERVICE__HTTP_PORT", "",
                                    "QDRANT__SERVICE__ENABLE_TLS", "", "EFS_ROOT", ""));
    (void)st;
    assert_string_equal(p.qdrant.text, "127.0.0.1:6333");
    assert_false(p.qdrant_tls || p.ask_replicator || p.strict);
}

static void addresses_are_numbers_and_wildcards_mean_loopback(void **st)
{
    static const struct {
        const char *text, *is;
    } table[] = {{"127.0.0.1:1", "127.0.0.1:1"},
                 {"10.1.2.3:65535", "10.1.2.3:65535"},
                 {"0.0.0.0:80", "127.0.0.1:80"},
                 {"localhost:80", "127.0.0.1:80"},
                 {"[::1]:80", "[::1]:80"},
                 {"[::]:80", "[::1]:80"},
                 {"[0:0::0]:80", "[::1]:80"},
                 {"[fd00:ec2::254]:80", "[fd00:ec2::254]:80"},
                 {"[::ffff:255.255.255.255]:65535", "[::ffff:255.255.255.255]:65535"},
                 {"", NULL},
                 {":", NULL},
                 {":80", "127.0.0.1:80"},
                 {"LocalHost:80", "127.0.0.1:80"},
                 {"::80", NULL},
                 {"80", NULL},
                 {"::1:80", NULL},
                 {"[::1]", NULL},
                 {"[::1]80", NULL},
                 {"[]:80", NULL},
                 {"[127.0.0.1]:80", NULL},
                 {"[localhost]:80", NULL},
                 {"127.0.0.1:", NULL},
                 {"127.0.0.1:0", NULL},
                 {"127.0.0.1:65536", NULL},
                 {"127.0.0.1:99999999999999999999999", NULL},
                 {"127.0.0.1:-1", NULL},
                 {"127.0.0.1:8x", NULL},
                 {"127.1:80", NULL},
                 {"0x7f000001:80", NULL},
                 {"name:80", NULL},
                 {"[fe80::1%lo]:80", NULL}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct address a;
        bool good = address_parse(&a, table[i].text);
        if (good != (table[i].is != NULL) || (good && strcmp(a.text, table[i].is) != 0))
            fail_msg("%s became %s", table[i].text, good ? a.text : "nothing");
    }
}

static void only_two_colons_stand_for_ipv4_as_well(void **st)
{
    struct address a;
    (void)st;
    assert_true(address_make(&a, "::", 1) && a.dual);
    assert_true(address_make(&a, "[::]", 1) && a.dual);
    assert_true(address_make(&a, "::1", 1) && !a.dual);
    assert_true(address_make(&a, "0.0.0.0", 1) && !a.dual);
}

static void the_scheme_of_health_qdrant_wins_over_qdrants_tls_setting(void **st)
{
    (void)st;
    assert_true(plan(ENV("QDRANT__SERVICE__ENABLE_TLS", "True")).qdrant_tls);
    assert_true(plan(ENV("QDRANT__SERVICE__ENABLE_TLS", "true", "HEALTH_QDRANT", "127.0.0.1:1")).qdrant_tls);
    assert_false(
        plan(ENV("QDRANT__SERVICE__ENABLE_TLS", "true", "HEALTH_QDRANT", "http://127.0.0.1:1")).qdrant_tls);
    assert_true(plan(ENV("HEALTH_QDRANT", "https://127.0.0.1:1/")).qdrant_tls);
}

static void a_wrong_setting_is_named_with_its_value_and_what_is_allowed(void **st)
{
    (void)st;
    assert_string_equal(error_of(ENV("HEALTH_STRICT", "yes")),
                        "HEALTH_STRICT=yes is not allowed; use 0 or 1");
    assert_string_equal(error_of(ENV("HEALTH_START_SECONDS", "86401")),
                        "HEALTH_START_SECONDS=86401 is not allowed; use a whole number from 0 to 86400");
    assert_string_equal(error_of(ENV("HEALTH_TIMEOUT_SECONDS", "0")),
                        "HEALTH_TIMEOUT_SECONDS=0 is not allowed; use a whole number from 1 to 60");
    assert_string_equal(error_of(ENV("HEALTH_TIMEOUT_SECONDS", "61")),
                        "HEALTH_TIMEOUT_SECONDS=61 is not allowed; use a whole number from 1 to 60");
    assert_string_equal(error_of(ENV("QDRANT__SERVICE__HTTP_PORT", "0")),
                        "QDRANT__SERVICE__HTTP_PORT=0 is not allowed; use a number from 1 to 65535");
    assert_non_null(strstr(error_of(ENV("QDRANT__SERVICE__HOST", "a.name")), "HEALTH_QDRANT=host:port"));
    assert_non_null(strstr(error_of(ENV("HEALTH_QDRANT", "\033[2J")), "HEALTH_QDRANT=?[2J is not allowed"));
}

static void the_answers_get_the_whole_budget_but_for_a_fifth_of_a_second(void **st)
{
    (void)st;
    assert_int_equal(plan(ENV()).within_ms, 9800);
    assert_int_equal(plan(ENV("HEALTH_TIMEOUT_SECONDS", "")).within_ms, 9800);
    assert_int_equal(plan(ENV("HEALTH_TIMEOUT_SECONDS", "1")).within_ms, 800);
    assert_int_equal(plan(ENV("HEALTH_TIMEOUT_SECONDS", "60")).within_ms, 59800);
}

static void a_wrong_setting_of_the_backups_is_not_qdrants_fault(void **st)
{
    struct health_plan p = plan(ENV("EFS_ROOT", "/efs", "STATUS_LISTEN", "a.name:6336"));
    (void)st;
    assert_true(p.replicator_lost && !p.ask_replicator);
    assert_non_null(strstr(p.why_not, "STATUS_LISTEN=a.name:6336 is not allowed"));
}

static int judge(const char *const *env, struct probe qdrant, struct probe replicator, int64_t age,
                 char *lines)
{
    struct health_plan p = plan(env);
    qdrant.at = p.qdrant;
    replicator.at = p.replicator;
    return health_judge(&p, &qdrant, &replicator, age, lines, HEALTH_LINES_MAX);
}

/* Every pair of answers, with and without HEALTH_STRICT. */
static void qdrant_decides_and_the_replicator_only_when_strict(void **st)
{
    static const struct {
        enum probe_end end;
        int number;
        bool good;
    } answers[] = {{PROBE_ANSWERED, 200, true},
                   {PROBE_ANSWERED, 503, false},
                   {PROBE_ANSWERED, 201, false},
                   {PROBE_FAILED, ECONNREFUSED, false},
                   {PROBE_FAILED, EHOSTUNREACH, false},
                   {PROBE_NO_PEER, 0, false},
                   {PROBE_SILENT, 0, false},
                   {PROBE_CLOSED, 0, false},
                   {PROBE_NOT_HTTP, 0, false}};
    enum { N = sizeof answers / sizeof *answers };
    (void)st;
    for (size_t i = 0; i < (size_t)N * N; i++) {
        char lines[HEALTH_LINES_MAX];
        const size_t q = i / N, r = i % N;
        struct probe qdrant = answer(&(struct address){0}, answers[q].end, answers[q].number);
        struct probe replicator = answer(&(struct address){0}, answers[r].end, answers[r].number);
        assert_int_equal(judge(ENV("EFS_ROOT", "/efs"), qdrant, replicator, -1, lines),
                         answers[q].good ? GOOD : BAD);
        assert_int_equal(judge(ENV("EFS_ROOT", "/efs", "HEALTH_STRICT", "1"), qdrant, replicator, -1, lines),
                         answers[q].good && answers[r].good ? GOOD : BAD);
        assert_int_equal(judge(ENV("HEALTH_STRICT", "1"), qdrant, replicator, -1, lines),
                         answers[q].good ? GOOD : BAD);
    }
}

static void a_start_is_a_refused_connection_or_a_503_within_health_start_seconds(void **st)
{
    static const struct {
        enum probe_end end;
        int number;
        const char *seconds;
        int64_t age;
        int code;
    } table[] = {{PROBE_FAILED, ECONNREFUSED, "60", 0, GOOD},
                 {PROBE_FAILED, ECONNREFUSED, "60", 59, GOOD},
                 {PROBE_FAILED, ECONNREFUSED, "60", 60, BAD},
                 {PROBE_FAILED, ECONNREFUSED, "60", -1, BAD},
                 {PROBE_FAILED, ECONNREFUSED, "0", 0, BAD},
                 {PROBE_ANSWERED, 503, "60", 59, GOOD},
                 {PROBE_ANSWERED, 503, "60", 60, BAD},
                 {PROBE_ANSWERED, 503, "0", 0, BAD},
                 {PROBE_ANSWERED, 500, "60", 0, BAD},
                 {PROBE_FAILED, ECONNRESET, "60", 0, BAD},
                 {PROBE_NO_PEER, 0, "60", 0, BAD},
                 {PROBE_SILENT, 0, "60", 0, BAD},
                 {PROBE_CLOSED, 0, "60", 0, BAD},
                 {PROBE_ANSWERED, 200, "60", 600, GOOD}};
    (void)st;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char lines[HEALTH_LINES_MAX];
        struct probe qdrant = answer(&(struct address){0}, table[i].end, table[i].number);
        int code = judge(ENV("HEALTH_START_SECONDS", table[i].seconds), qdrant, qdrant, table[i].age, lines);
        if (code != table[i].code)
            fail_msg("row %zu: %d, %s", i, code, lines);
    }
}

static void the_lines_say_what_was_found(void **st)
{
    char lines[HEALTH_LINES_MAX];
    struct address none = {0};
    struct probe qdrant = answer(&none, PROBE_ANSWERED, 200), replicator = answer(&none, PROBE_ANSWERED, 503);
    (void)st;
    says(&replicator, "HTTP/1.1 503 x\r\na: b\r\n\r\n{\"status\":\"failing\"}\n");
    (void)judge(ENV("EFS_ROOT", "/efs"), qdrant, replicator, -1, lines);
    assert_string_equal(
        lines, "qdrant: ready (4 ms)\n"
               "replicator: failing: 127.0.0.1:6336 answered 503 (4 ms): {\"status\":\"failing\"}\n");
    qdrant = answer(&none, PROBE_FAILED, ECONNREFUSED);
    replicator = answer(&none, PROBE_SILENT, 0);
    (void)judge(ENV("EFS_ROOT", "/efs", "HEALTH_START_SECONDS", "60"), qdrant, replicator, 7, lines);
    assert_string_equal(lines, "qdrant: starting: nothing listens at 127.0.0.1:6333 (connection refused); "
                               "for 7 s of HEALTH_START_SECONDS=60\n"
                               "replicator: not answering: no answer from 127.0.0.1:6336 within 4 ms; its "
                               "lines in the container's log say whether it runs\n");
}

static void whatever_is_answered_the_lines_are_two_and_fit_a_pipe(void **st)
{
    static const char head[] = "HTTP/1.1 503 x\r\n\r\n";
    char lines[HEALTH_LINES_MAX];
    struct probe a = answer(&(struct address){0}, PROBE_ANSWERED, 503);
    (void)st;
    for (int byte = 0; byte < 256; byte++) {
        memset(a.reply, byte, sizeof a.reply);
        memcpy(a.reply, head, sizeof head - 1);
        a.length = sizeof a.reply;
        (void)judge(ENV("EFS_ROOT", "/efs", "HEALTH_START_SECONDS", "86400"), a, a, 86399, lines);
        size_t n = strlen(lines), newlines = 0;
        for (size_t i = 0; i < n; i++) {
            newlines += lines[i] == '\n';
            assert_true(lines[i] == '\n' || (lines[i] >= 0x20 && lines[i] < 0x7f));
        }
        assert_true(newlines == 2 && lines[n - 1] == '\n' && n < sizeof lines - 1);
    }
}

static void lines_without_room_are_cut_not_overrun(void **st)
{
    struct health_plan p = plan(ENV());
    struct probe a = answer(&p.qdrant, PROBE_ANSWERED, 200);
    (void)st;
    for (size_t room = 1; room < 100; room++) {
        char lines[101];
        memset(lines, 'x', sizeof lines);
        (void)health_judge(&p, &a, &a, -1, lines, room);
        assert_true(strlen(lines) < room);
        assert_int_equal(lines[room], 'x');
    }
}

static void a_status_line_is_known_as_soon_as_it_is_complete_and_not_before(void **st)
{
    static const char line[] = "HTTP/1.1 503 Service Unavailable\r\nServer: x\r\n";
    const size_t complete = (size_t)(strchr(line, '\n') - line) + 1;
    (void)st;
    for (size_t n = 0; n < sizeof line; n++)
        assert_int_equal(probe_status(line, n), n < complete ? 0 : 503);
}

static void what_is_no_status_line_is_known_at_the_first_byte_that_differs(void **st)
{
    static const char *const wrong[] = {"HTTP/1.x",      "HTTP/2.0",      "HTTP/1.1 20x", "HTTP/1.1200",
                                        "HTTP/1.1 2000", "HTTP/1.1 200x", "http",         "\r"};
    char endless[300];
    (void)st;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(probe_status(wrong[i], strlen(wrong[i])), -1);
    assert_int_equal(probe_status("HTTP/1.1 099 x\r\n", 16), -1);
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "HTTP/1.1 200 ", 13);
    assert_int_equal(probe_status(endless, 255), 0);
    assert_int_equal(probe_status(endless, 256), -1);
}

static void the_body_is_what_follows_the_empty_line(void **st)
{
    struct probe a = {0};
    size_t n = 99;
    (void)st;
    says(&a, "HTTP/1.1 200 OK\r\na: b\r\n");
    assert_null(probe_body(&a, &n));
    says(&a, "HTTP/1.1 200 OK\r\na: b\r\n\r\n");
    assert_non_null(probe_body(&a, &n));
    assert_int_equal(n, 0);
    says(&a, "HTTP/1.1 200 OK\r\na: b\r\n\r\nx\r\n\r\ny");
    assert_memory_equal(probe_body(&a, &n), "x\r\n\r\ny", 6);
    assert_int_equal(n, 6);
}

static void the_start_of_a_process_is_found_whatever_its_name(void **st)
{
    static const char rest[] =
        " S 0 1 1 0 -1 4194560 3 4 5 6 7 8 9 10 20 0 1 0 4711 99999 12 18446744073709551615\n";
    static const char *const names[] = {"qdrant-entrypoi", "a b", ") R 1 2", "((", "", ")))"};
    char stat[256];
    (void)st;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(stat, sizeof stat, "1 (%s)%s", names[i], rest);
        assert_int_equal(health_start_ticks(stat), 4711);
    }
    assert_int_equal(health_start_ticks(""), -1);
    assert_int_equal(health_start_ticks("1 (x) S 0 1 1"), -1);
    assert_int_equal(health_start_ticks("1 (x) S 0 1 1 0 -1 4194560 3 4 5 6 7 8 9 10 20 0 1 0 "), -1);
}

/* --- a restore at boot */

#define RESTORE "EFS_ROOT", "/efs", "RESTORE_ON_EMPTY", "latest"

static void a_restore_is_asked_for_when_an_empty_disk_is_to_be_restored(void **st)
{
    (void)st;
    assert_true(plan(ENV(RESTORE)).restore);
    assert_true(plan(ENV("EFS_ROOT", "/efs", "RESTORE_ON_EMPTY", "2h")).restore);
    assert_false(plan(ENV("EFS_ROOT", "/efs")).restore);
    assert_false(plan(ENV("EFS_ROOT", "/efs", "RESTORE_ON_EMPTY", "")).restore);
    assert_false(plan(ENV("EFS_ROOT", "/efs", "RESTORE_ON_EMPTY", "never")).restore);
    assert_false(plan(ENV("RESTORE_ON_EMPTY", "latest")).restore);
}

/* What the check comes to, and its line. */
static enum health_restore judged(const char *const *env, const struct probe *qdrant,
                                  const struct probe *restored, int64_t age, char line[HEALTH_LINES_MAX])
{
    struct health_plan p = plan(env);
    (void)strcpy(line, "before\n");
    enum health_restore is = health_judge_restore(&p, qdrant, restored, age, line, HEALTH_LINES_MAX);
    assert_int_equal(strncmp(line, "before\n", 7), 0);
    memmove(line, line + 7, strlen(line + 7) + 1);
    return is;
}

static void a_restore_that_works_is_healthy_without_qdrant_and_one_that_waits_is_not(void **st)
{
    struct health_plan p = plan(ENV(RESTORE));
    struct address at = p.replicator;
    struct probe good = answer(&at, PROBE_ANSWERED, 200), works = answer(&at, PROBE_ANSWERED, 503),
                 waits = works, gone = answer(&at, PROBE_FAILED, ECONNREFUSED),
                 silent = answer(&at, PROBE_SILENT, 0), none = answer(&p.qdrant, PROBE_FAILED, ECONNREFUSED),
                 in = answer(&p.qdrant, PROBE_ANSWERED, 200);
    const struct {
        const struct probe *qdrant, *restored;
        enum health_restore is;
    } table[] = {
        {&none, &good, HEALTH_RESTORE_OVER},
        {&in, &good, HEALTH_RESTORE_OVER},
        {&none, &works, HEALTH_RESTORE_UNDER_WAY},
        {&in, &works, HEALTH_RESTORE_UNDER_WAY},
        {&none, &waits, HEALTH_RESTORE_BAD},
        {&in, &waits, HEALTH_RESTORE_BAD},
        {&none, &gone, HEALTH_RESTORE_BAD},
        {&in, &gone, HEALTH_RESTORE_OVER}, /* it was let in: all is there */
        {&none, &silent, HEALTH_RESTORE_BAD},
        {&in, &silent, HEALTH_RESTORE_OVER},
    };
    char line[HEALTH_LINES_MAX];
    (void)st;
    says(&works, "HTTP/1.1 503 x\r\n\r\n{\"state\":\"restoring\",\"progressing\":true}");
    says(&waits,
         "HTTP/1.1 503 "
         "x\r\n\r\n{\"state\":\"waiting\",\"reason\":\"\\\"progressing\\\":true\",\"progressing\":false}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (judged(ENV(RESTORE), table[i].qdrant, table[i].restored, -1, line) != table[i].is)
            fail_msg("row %zu: %s", i, line);
    (void)judged(ENV(RESTORE), &none, &good, -1, line);
    assert_string_equal(line, "restore: not pending (4 ms)\n");
    (void)judged(ENV(RESTORE), &none, &gone, -1, line);
    assert_string_equal(line, "restore: not done: nothing listens at 127.0.0.1:6336 (connection refused)\n");
    (void)judged(ENV(RESTORE), &in, &gone, -1, line);
    assert_string_equal(
        line, "restore: over, Qdrant was let in: nothing listens at 127.0.0.1:6336 (connection refused)\n");
    assert_int_equal(judged(ENV("EFS_ROOT", "/efs"), &none, &waits, -1, line), HEALTH_RESTORE_OVER);
    assert_string_equal(line, "");
}

static void without_a_status_server_only_qdrant_tells_that_it_was_let_in(void **st)
{
    struct health_plan p = plan(ENV(RESTORE));
    struct probe none = {0}, in = answer(&p.qdrant, PROBE_ANSWERED, 200),
                 out = answer(&p.qdrant, PROBE_FAILED, ECONNREFUSED);
    char line[HEALTH_LINES_MAX];
    (void)st;
    assert_int_equal(judged(ENV(RESTORE, "STATUS_LISTEN", "off"), &in, &none, -1, line), HEALTH_RESTORE_OVER);
    assert_int_equal(judged(ENV(RESTORE, "STATUS_LISTEN", "off"), &out, &none, -1, line), HEALTH_RESTORE_BAD);
    assert_int_equal(judged(ENV(RESTORE, "STATUS_LISTEN", "name:1"), &out, &none, -1, line),
                     HEALTH_RESTORE_BAD);
}

static void health_start_seconds_covers_a_restore_that_waits_but_none_that_failed(void **st)
{
    static const char *const env[] = {RESTORE, "HEALTH_START_SECONDS", "600", NULL};
    struct health_plan p = plan(env);
    struct address at = p.replicator;
    struct probe pending = answer(&at, PROBE_ANSWERED, 503), failed = pending,
                 gone = answer(&at, PROBE_FAILED, ECONNREFUSED),
                 out = answer(&p.qdrant, PROBE_FAILED, ECONNREFUSED);
    char line[HEALTH_LINES_MAX];
    (void)st;
    says(&pending,
         "HTTP/1.1 503 x\r\n\r\n{\"state\":\"waiting\",\"reason\":\"\\\"state\\\":\\\"failed\\\"\"}");
    says(&failed, "HTTP/1.1 503 x\r\n\r\n{\"state\":\"failed\",\"done\":1}");
    assert_int_equal(judged(env, &out, &pending, 599, line), HEALTH_RESTORE_UNDER_WAY);
    assert_non_null(strstr(line, "restore: under way: 127.0.0.1:6336 answered 503 (4 ms): {"));
    assert_non_null(strstr(line, "; for 599 s of HEALTH_START_SECONDS=600\n"));
    assert_int_equal(judged(env, &out, &pending, 600, line), HEALTH_RESTORE_BAD);
    assert_int_equal(judged(env, &out, &pending, -1, line), HEALTH_RESTORE_BAD);
    assert_int_equal(judged(env, &out, &failed, 1, line), HEALTH_RESTORE_BAD);
    assert_int_equal(judged(env, &out, &gone, 1, line), HEALTH_RESTORE_UNDER_WAY);
    assert_int_equal(judged(ENV(RESTORE), &out, &pending, 1, line), HEALTH_RESTORE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_asks_qdrant_at_its_standard_port_and_not_the_replicator),
        cmocka_unit_test(efs_root_has_the_replicator_asked_at_its_standard_port),
        cmocka_unit_test(an_empty_variable_counts_as_unset),
        cmocka_unit_test(addresses_are_numbers_and_wildcards_mean_loopback),
        cmocka_unit_test(only_two_colons_stand_for_ipv4_as_well),
        cmocka_unit_test(the_scheme_of_health_qdrant_wins_over_qdrants_tls_setting),
        cmocka_unit_test(a_wrong_setting_is_named_with_its_value_and_what_is_allowed),
        cmocka_unit_test(the_answers_get_the_whole_budget_but_for_a_fifth_of_a_second),
        cmocka_unit_test(a_wrong_setting_of_the_backups_is_not_qdrants_fault),
        cmocka_unit_test(qdrant_decides_and_the_replicator_only_when_strict),
        cmocka_unit_test(a_start_is_a_refused_connection_or_a_503_within_health_start_seconds),
        cmocka_unit_test(the_lines_say_what_was_found),
        cmocka_unit_test(whatever_is_answered_the_lines_are_two_and_fit_a_pipe),
        cmocka_unit_test(lines_without_room_are_cut_not_overrun),
        cmocka_unit_test(a_status_line_is_known_as_soon_as_it_is_complete_and_not_before),
        cmocka_unit_test(what_is_no_status_line_is_known_at_the_first_byte_that_differs),
        cmocka_unit_test(the_body_is_what_follows_the_empty_line),
        cmocka_unit_test(the_start_of_a_process_is_found_whatever_its_name),
        cmocka_unit_test(a_restore_is_asked_for_when_an_empty_disk_is_to_be_restored),
        cmocka_unit_test(a_restore_that_works_is_healthy_without_qdrant_and_one_that_waits_is_not),
        cmocka_unit_test(without_a_status_server_only_qdrant_tells_that_it_was_let_in),
        cmocka_unit_test(health_start_seconds_covers_a_restore_that_waits_but_none_that_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
