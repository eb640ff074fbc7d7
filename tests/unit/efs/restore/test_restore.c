/* Which backup a restore takes, over lists that no file system has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "efs/restore/restore.h"
#include <stdio.h>
#include <string.h>

static struct backup v[16];
static struct backup_list list;

static void none(void)
{
    memset(v, 0, sizeof v);
    list = (struct backup_list){.v = v};
}

static time_t at(const char *text)
{
    time_t when = 0;
    assert_true(time_parse(text, 0, &when));
    return when;
}

/* A backup of collection "c". `node` NULL: its peer is its name. */
static struct backup *add(const char *peer, const char *node, const char *when)
{
    struct backup *b = &v[list.n++];
    b->state = ENTRY_COMPLETE;
    b->frequency = FREQUENCY_DAILY;
    b->dir = "/efs/prod-x86_64/daily/c";
    b->m.source = (struct source){.kind = KIND_COLLECTION, .collection = "c", .taken = at(when)};
    (void)snprintf(b->m.source.peer, sizeof b->m.source.peer, "%s", peer);
    (void)snprintf(b->m.source.stem, sizeof b->m.source.stem, "c-%s-%zu", peer, list.n);
    memcpy(b->stem, b->m.source.stem, sizeof b->stem);
    (void)snprintf(b->m.node, sizeof b->m.node, "%s", node ? node : peer);
    return b;
}

static struct restore_selector wish(void)
{
    return (struct restore_selector){.kind = KIND_COLLECTION, .collection = "c", .frequency = -1};
}

/* Indices into the list, in the order of the choice. Returns how many; 0 where nothing can be chosen. */
static size_t choose(const struct restore_selector *w, size_t order[16], struct err *e)
{
    *e = (struct err){0};
    cleanup_choice struct restore_choice *c = restore_choice_new(&list, w, &restore_look_files, e);
    struct backup *b = NULL;
    size_t n = 0;
    if (!c || restore_choice_add(c, 0, list.n, e) != 0)
        return 0;
    while (restore_choice_next(c, &b, e) == 0 && b)
        order[n++] = (size_t)(b - list.v);
    return n;
}

static void the_newest_comes_first_whatever_the_order_of_the_list(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    (void)add("1", NULL, "2026-11-24T08:15:00Z");
    (void)add("1", NULL, "2026-11-24T08:45:00Z");
    (void)add("1", NULL, "2026-11-24T08:30:00Z");
    assert_int_equal(choose(&w, order, &e), 3);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 0);
}

static void uploads_come_after_all_that_qdrant_has_made_unless_one_is_named(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    (void)add("1", NULL, "2026-11-24T08:15:00Z");
    add("1", NULL, "2026-11-24T09:00:00Z")->m.upload = true;
    (void)add("1", NULL, "2026-11-24T08:45:00Z");
    add("1", NULL, "2026-11-24T08:30:00Z")->m.upload = true;
    assert_int_equal(choose(&w, order, &e), 4);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 0);
    assert_int_equal(order[2], 1);
    assert_int_equal(order[3], 3);
    w.snapshot = "c-1-2";
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 1);
}

static void each_wish_narrows_the_choice(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    (void)add("1", NULL, "2026-11-24T08:15:00Z");
    add("1", NULL, "2026-11-24T08:30:00Z")->frequency = FREQUENCY_HOURLY;
    add("1", NULL, "2026-11-24T08:45:00Z")->m.source.kind = KIND_SHARD;
    (void)snprintf(add("1", NULL, "2026-11-24T09:00:00Z")->m.source.collection, 4, "d");
    v[1].dir = "/efs/prod-x86_64/hourly/c";
    assert_int_equal(choose(&w, order, &e), 2);
    w.frequency = FREQUENCY_HOURLY;
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 1);
    w = wish();
    w.at = at("2026-11-24T08:29:59Z");
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 0);
    w = wish();
    w.snapshot = "c-1-2.snapshot";
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 1);
    w.snapshot = "c-1";
    assert_int_equal(choose(&w, order, &e), 0);
    assert_int_equal(e.text[0], 0);
}

static void what_was_taken_by_a_clock_that_ran_ahead_is_chosen_by_the_time_at_which_it_was_written(void **s)
{
    static const struct {
        const char *name, *created, *written; /* NULL: not known */
        const char *now, *moment;             /* NULL: last of all */
        bool ahead;
    } t[] = {
        {"2026-11-24T08:00:00Z", NULL, NULL, "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z", false},
        {"2026-11-24T08:05:00Z", NULL, NULL, "2026-11-24T08:00:00Z", "2026-11-24T08:05:00Z", false},
        {"2026-11-24T08:05:01Z", NULL, NULL, "2026-11-24T08:00:00Z", NULL, true},
        {"2026-11-25T08:00:00Z", "2026-11-24T07:00:00Z", NULL, "2026-11-24T08:00:00Z", "2026-11-24T07:00:00Z",
         true},
        {"2026-11-25T08:00:00Z", "2026-11-25T08:00:00Z", "2026-11-24T07:00:00Z", "2026-11-24T08:00:00Z", NULL,
         true},
        {"2026-11-25T08:00:00Z", "2026-11-25T08:00:00Z", "2026-11-26T07:00:00Z", "2026-11-24T08:00:00Z", NULL,
         true},
        /* Its date has passed, and still its time was not that. */
        {"2026-11-25T08:00:00Z", "2026-11-25T08:00:00Z", "2026-11-24T07:00:00Z", "2026-12-24T08:00:00Z", NULL,
         true},
        {"2026-11-25T08:00:00Z", "2026-11-24T07:00:00Z", "2026-11-24T07:00:00Z", "2026-12-24T08:00:00Z",
         "2026-11-24T07:00:00Z", true},
        /* An hour is what clocks may be apart. */
        {"2026-11-24T08:00:00Z", NULL, "2026-11-24T06:59:59Z", "2026-12-24T08:00:00Z", NULL, true},
        {"2026-11-24T08:00:00Z", NULL, "2026-11-24T07:00:00Z", "2026-12-24T08:00:00Z", "2026-11-24T08:00:00Z",
         false},
        {"2026-11-25T08:00:00Z", NULL, NULL, NULL, "2026-11-25T08:00:00Z", false}, /* without a clock */
    };
    (void)s;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        none();
        struct backup *b = add("1", NULL, t[i].name);
        time_t now = t[i].now ? at(t[i].now) : 0;
        b->m.created = t[i].created ? at(t[i].created) : 0;
        b->written = t[i].written ? at(t[i].written) : 0;
        if (restore_ahead(b, now) != t[i].ahead ||
            restore_moment(b, now) != (t[i].moment ? at(t[i].moment) : 0))
            fail_msg("%zu: %s", i, t[i].name);
        char note[200];
        restore_clock_note(b, now, note, sizeof note);
        assert_int_equal(restore_beyond(b, now), t[i].ahead && !t[i].moment);
        assert_int_equal(*note != 0, t[i].ahead);
    }
}

static void a_time_in_the_future_is_not_the_newest(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    w.now = at("2026-11-24T09:00:00Z");
    (void)add("1", NULL, "2026-11-24T08:00:00Z");
    (void)add("1", NULL, "2030-01-01T00:00:00Z");
    add("1", NULL, "2029-01-01T00:00:00Z")->m.created = at("2026-11-24T08:30:00Z");
    assert_int_equal(choose(&w, order, &e), 3);
    assert_int_equal(order[0], 1); /* nothing tells: the first, to be passed over */
    assert_int_equal(order[1], 2); /* by the clock of who published it */
    assert_int_equal(order[2], 0);
    w.at = at("2026-11-24T08:10:00Z");
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 0);
}

static void named_nodes_are_never_mixed(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    (void)add("1", "a", "2026-01-01T08:15:00Z");
    (void)add("2", "b", "2026-11-24T08:45:00Z");
    assert_int_equal(choose(&w, order, &e), 0);
    assert_non_null(strstr(e.text, "--node"));
    w.node = "a";
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 0);
    w.node = "2";
    assert_int_equal(choose(&w, order, &e), 1);
    assert_int_equal(order[0], 1);
}

static void a_predecessor_is_the_same_node_and_a_neighbour_is_not(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    (void)add("1", NULL, "2026-11-20T08:00:00Z");
    (void)add("1", NULL, "2026-11-21T08:00:00Z");
    (void)add("2", NULL, "2026-11-21T08:15:00Z");
    assert_int_equal(choose(&w, order, &e), 3);
    (void)add("1", NULL, "2026-11-21T08:30:00Z"); /* a deployment that ran both for a moment */
    (void)add("2", NULL, "2026-11-21T08:45:00Z");
    assert_int_equal(choose(&w, order, &e), 5);
    (void)add("1", NULL, "2026-11-21T10:30:00Z"); /* lives on */
    (void)add("2", NULL, "2026-11-21T10:45:00Z");
    assert_int_equal(choose(&w, order, &e), 0);
    (void)add("2", NULL, "2026-11-23T10:45:00Z"); /* it was a deployment, and is over */
    assert_int_equal(choose(&w, order, &e), 8);
    assert_int_equal(order[0], 7);
}

static void trees_are_never_mixed(void **s)
{
    size_t order[16];
    struct err e;
    struct restore_selector w = wish();
    (void)s;
    none();
    (void)add("1", NULL, "2026-11-20T08:00:00Z");
    add("1", NULL, "2026-11-21T08:00:00Z")->dir = "/efs/dev-x86_64/daily/c";
    assert_int_equal(choose(&w, order, &e), 0);
    assert_non_null(strstr(e.text, "--tier"));
}

static void times_are_utc_or_an_age(void **s)
{
    time_t t = 0;
    (void)s;
    assert_true(time_parse("2026-11-24T08:00:00Z", 0, &t));
    assert_int_equal(t, 1795507200);
    assert_true(time_parse("2026-11-24", 0, &t));
    assert_int_equal(t, at("2026-11-24T23:59:59"));
    assert_true(time_parse("2h", 10000, &t));
    assert_int_equal(t, 2800);
    const char *const bad[] = {"",
                               "now",
                               "2026",
                               "2026-02-30",
                               "2026-11-24T",
                               "2h30m",
                               "-2h",
                               "2026-11-24Z",
                               "2026-11-24T08:00:00z",
                               "2026-13-01",
                               "2026-11-24T08:00:00+01:00",
                               "2026-11-24T25:00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(time_parse(bad[i], 10000, &t));
}

static void a_time_in_the_future_is_refused_and_today_is_not(void **s)
{
    static const struct {
        const char *text;
        bool good;
    } table[] = {{"2099-11-24T08:00Z", false},        {"2099-11-24", false},          {"2026-11-25", false},
                 {"2026-11-24T12:05:01Z", false},     {"2026-11-24T12:05:00Z", true}, {"2026-11-24", true},
                 {"2026-11-24T12:00:00Z", true},      {"2026-11-23", true},           {"2h", true},
                 {"2026-11-24T08:00:00+02:00", false}};
    time_t now = at("2026-11-24T12:00:00"), t = 0;
    (void)s;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(time_parse(table[i].text, now, &t), table[i].good);
    assert_non_null(strstr(restore_when_use("2099-11-24T08:00Z", now), "not in the future"));
    assert_non_null(strstr(restore_when_use("2026-11-24T08:00:00+02:00", now), "UTC"));
    assert_non_null(strstr(restore_when_use("2026-11-24 08:00-05:00", now), "UTC"));
    assert_non_null(strstr(restore_when_use("yesterday", now), "2h"));
}

struct script {
    enum restore_outcome next[4];
    size_t tried, skipped;
};
static enum restore_outcome with(struct backup *b, void *arg, struct err *e)
{
    struct script *t = arg;
    (void)b;
    (void)err_set(e, 0, "as told", NULL, NULL);
    return t->next[t->tried++];
}
static void skipped(struct backup *b, const char *why, void *arg)
{
    assert_true(*why && b->m.source.taken);
    ((struct script *)arg)->skipped++;
}

static enum restore_outcome first_good_of(const struct restore_selector *w, const struct restore_attempt *a,
                                          struct backup **which, struct err *e)
{
    cleanup_choice struct restore_choice *c = restore_choice_new(&list, w, &restore_look_files, e);
    assert_non_null(c);
    assert_int_equal(restore_choice_add(c, 0, list.n, e), 0);
    return restore_first_good(c, a, which, e);
}

static enum restore_outcome first_good(const struct restore_attempt *a, struct backup **which, struct err *e)
{
    struct restore_selector w = wish();
    return first_good_of(&w, a, which, e);
}

static void only_a_defect_lets_the_next_older_be_tried(void **s)
{
    struct backup *which = NULL;
    struct err e = {0};
    struct script t = {.next = {RESTORE_DEFECT, RESTORE_DONE}};
    struct restore_attempt a = {.with = with, .skipped = skipped, .arg = &t};
    (void)s;
    none();
    for (int i = 0; i < 3; i++)
        (void)add("1", NULL, "2026-11-20T08:00:00Z");
    assert_int_equal(first_good(&a, &which, &e), RESTORE_DONE);
    assert_ptr_equal(which, &v[1]);
    assert_int_equal(t.skipped, 1);
    t = (struct script){.next = {RESTORE_FAILED}};
    assert_int_equal(first_good(&a, NULL, &e), RESTORE_FAILED);
    assert_int_equal(t.tried, 1);
    assert_string_equal(e.text, "as told");
    v[0].state = ENTRY_INCOMPLETE;
    t = (struct script){.next = {RESTORE_REFUSED}};
    assert_int_equal(first_good(&a, NULL, &e), RESTORE_REFUSED);
    assert_int_equal(t.skipped, 1);
    a.strict = true;
    t = (struct script){.next = {RESTORE_DONE}};
    assert_int_equal(first_good(&a, NULL, &e), RESTORE_DEFECT);
    assert_int_equal(t.tried + t.skipped, 0);
    none();
    assert_int_equal(first_good(&a, &which, &e), RESTORE_FAILED);
    assert_null(which);
}

static void remember(struct backup *b, const char *why, void *arg)
{
    (void)b;
    (void)snprintf(arg, 300, "%s", why);
}

static enum restore_outcome take(struct backup *b, void *arg, struct err *e)
{
    (void)b;
    (void)arg;
    (void)e;
    return RESTORE_DONE;
}

static void what_lies_in_the_year_2099_by_all_its_times_is_passed_over_aloud_unless_it_is_named(void **s)
{
    char said[300] = "";
    struct restore_attempt a = {.with = take, .skipped = remember, .arg = said};
    struct restore_selector w = wish();
    struct backup *which = NULL;
    struct err e = {0};
    (void)s;
    none();
    w.now = at("2026-11-24T09:00:00Z");
    (void)add("1", NULL, "2026-11-24T08:00:00Z");
    struct backup *forged = add("1", NULL, "2099-01-01T00:00:00Z");
    forged->m.created = forged->written = at("2099-01-01T00:00:00Z");
    assert_int_equal(first_good_of(&w, &a, &which, &e), RESTORE_DONE);
    assert_ptr_equal(which, &v[0]);
    assert_non_null(strstr(said, "2099-01-01T00:00:00Z"));
    forged->written = at("2026-11-24T08:30:00Z"); /* as the server's clock says */
    *said = 0;
    assert_int_equal(first_good_of(&w, &a, &which, &e), RESTORE_DONE);
    assert_ptr_equal(which, &v[0]);
    assert_non_null(strstr(said, "2099-01-01T00:00:00Z"));
    w.snapshot = forged->m.source.stem;
    assert_int_equal(first_good_of(&w, &a, &which, &e), RESTORE_DONE);
    assert_ptr_equal(which, forged);
    none();
    forged = add("1", NULL, "2099-01-01T00:00:00Z"); /* also where there is no other one */
    forged->m.created = at("2099-01-01T00:00:00Z");
    w.snapshot = NULL;
    assert_int_equal(first_good_of(&w, &a, &which, &e), RESTORE_FAILED);
}

/* One letter for each backup, in the order of their times: "?" does not tell its aliases, "-" has none, any
 * other is its alias. Comes back with what each is restored with. */
static const char *inherited(const char *aliases)
{
    static char out[16];
    none();
    for (size_t i = 0; aliases[i]; i++) {
        char when[32];
        (void)snprintf(when, sizeof when, "2026-11-20T0%c:00:00Z", (char)('0' + i));
        struct aliases *a = &add("1", NULL, when)->m.aliases;
        a->known = aliases[i] != '?';
        if (a->known && aliases[i] != '-')
            assert_true(aliases_add(a, (const char[]){aliases[i], 0}));
    }
    for (size_t i = list.n; i-- > 0;)
        assert_int_equal(restore_inherit_aliases(&list, &v[i], 0, &restore_look_files, NULL), 0);
    for (size_t i = 0; i < list.n; i++) {
        const struct aliases *a = &v[i].m.aliases;
        out[i] = !a->known ? '?' : a->n == 0 ? '-' : *aliases_next(a, NULL);
        assert_true(aliases[i] != '?' ? v[i].aliases_at == 0 : a->known == (v[i].aliases_at != 0));
    }
    out[list.n] = 0;
    return out;
}

static void aliases_that_a_manifest_does_not_tell_are_those_of_the_one_before(void **s)
{
    (void)s;
    assert_string_equal(inherited("a?"), "aa");
    assert_string_equal(inherited("a??b?"), "aaabb");
    assert_string_equal(inherited("?a"), "?a"); /* what came later may not have been there yet */
    assert_string_equal(inherited("a-?"), "a--");
    (void)inherited("a?");
    v[1].m.aliases = (struct aliases){0};
    v[1].aliases_at = 0;
    v[1].dir = "/efs/test-x86_64/daily/c"; /* another tree */
    assert_int_equal(restore_inherit_aliases(&list, &v[1], 0, &restore_look_files, NULL), 0);
    assert_false(v[1].m.aliases.known);
    v[1].dir = v[0].dir;
    v[1].m.upload = true; /* nobody knows of when it is */
    assert_int_equal(restore_inherit_aliases(&list, &v[1], 0, &restore_look_files, NULL), 0);
    assert_false(v[1].m.aliases.known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_comes_first_whatever_the_order_of_the_list),
        cmocka_unit_test(uploads_come_after_all_that_qdrant_has_made_unless_one_is_named),
        cmocka_unit_test(each_wish_narrows_the_choice),
        cmocka_unit_test(
            what_was_taken_by_a_clock_that_ran_ahead_is_chosen_by_the_time_at_which_it_was_written),
        cmocka_unit_test(a_time_in_the_future_is_not_the_newest),
        cmocka_unit_test(named_nodes_are_never_mixed),
        cmocka_unit_test(a_predecessor_is_the_same_node_and_a_neighbour_is_not),
        cmocka_unit_test(trees_are_never_mixed),
        cmocka_unit_test(times_are_utc_or_an_age),
        cmocka_unit_test(a_time_in_the_future_is_refused_and_today_is_not),
        cmocka_unit_test(only_a_defect_lets_the_next_older_be_tried),
        cmocka_unit_test(what_lies_in_the_year_2099_by_all_its_times_is_passed_over_aloud_unless_it_is_named),
        cmocka_unit_test(aliases_that_a_manifest_does_not_tell_are_those_of_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
