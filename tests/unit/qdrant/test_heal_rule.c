/* How a cluster gets over a lost node: single steps as a table, and whole heals of random clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "qdrant/heal_rule.h"

/* A collection as text: for each shard its replicas, "0A1D" is one of peer 0, Active, and one of peer 1,
 * Dead; shards are separated by blanks. */
static struct map_collection collection(const char *text, unsigned factor, bool moving)
{
    struct map_collection c = {.name = strdup("c"), .factor = factor, .moving = moving};
    unsigned id = 0;
    c.v = calloc(strlen(text) + 1, sizeof *c.v);
    c.v[c.n++].id = id++;
    for (const char *p = text; *p; p++) {
        if (*p == ' ') {
            c.v[c.n++].id = id++;
            continue;
        }
        const char *state = p[1] == 'A' ? "Active" : p[1] == 'D' ? "Dead" : "Partial";
        assert_true(cluster_map_add(&c.v[c.n - 1], (size_t)(*p++ - '0'), state));
    }
    return c;
}

static struct cluster_map map_of(unsigned peers, struct map_collection c)
{
    struct cluster_map m = {.n_peers = peers, .peers = calloc(peers, sizeof *m.peers), .n = 1};
    m.v = calloc(1, sizeof *m.v);
    m.v[0] = c;
    for (unsigned i = 0; i < peers; i++)
        (void)snprintf(m.peers[i].id, sizeof m.peers[i].id, "%u", 100 + i);
    return m;
}

static const struct row {
    const char *when, *shards;
    unsigned factor;
    const char *how; /* of each peer: a(live), s(ilent), l(ost) */
    bool restore, moving;
    enum heal_what what;
    unsigned shard;
    size_t peer, from;
} rows[] = {
    {"nothing is lost", "0A1A 1A2A", 2, "aaa", true, false, HEAL_NONE, 0, 0, 0},
    {"another has it: that of the lost goes", "0A2A 1A2A", 2, "aal", false, false, HEAL_DROP, 0, 2, 0},
    {"also when it is not active", "0A2D", 2, "aal", false, false, HEAL_DROP, 0, 2, 0},
    {"also while something moves", "0A2A", 2, "aal", false, true, HEAL_DROP, 0, 2, 0},
    {"it alone has it", "0A 2A", 1, "aal", true, false, HEAL_RESTORE, 0, 1, 0},
    {"into the emptiest", "0A 0A 2A", 1, "aal", true, false, HEAL_RESTORE, 0, 1, 0},
    {"and without leave nothing", "0A 2A", 1, "aal", false, false, HEAL_NONE, 0, 0, 0},
    {"not while something moves", "0A 2A", 1, "aal", true, true, HEAL_WAIT, 0, 0, 0},
    {"a broken copy elsewhere may be newer than any backup", "0D2A", 2, "aal", true, false, HEAL_NONE, 0, 0,
     0},
    {"a silent one may have it", "1A2A", 2, "asl", true, false, HEAL_NONE, 0, 0, 0},
    {"also a silent one's", "1D2A", 2, "asl", true, false, HEAL_NONE, 0, 0, 0},
    {"what has nothing is removed", "0A1A", 2, "aal", false, false, HEAL_REMOVE, 0, 2, 0},
    {"a silent one is not", "0A1A", 2, "aas", true, false, HEAL_NONE, 0, 0, 0},
    {"too few copies", "0A 1A2A", 2, "aaa", false, false, HEAL_REPLICATE, 0, 1, 0},
    {"to the emptiest", "0A 0A1A 0A1A", 2, "aaa", false, false, HEAL_REPLICATE, 0, 2, 0},
    {"not to a silent one", "0A", 2, "as", false, false, HEAL_NONE, 0, 0, 0},
    {"a silent one's copy counts", "0A1A", 2, "asa", false, false, HEAL_NONE, 0, 0, 0},
    {"a copy that is being made counts", "0A1P", 2, "aaa", false, false, HEAL_NONE, 0, 0, 0},
    {"one after the other", "0A 0A", 2, "aa", false, true, HEAL_WAIT, 0, 1, 0},
    {"a factor that is not told asks for nothing", "0A", 0, "aa", false, false, HEAL_NONE, 0, 0, 0},
    {"first what is lost goes, then copies are made", "0A 0A2A", 2, "aal", false, false, HEAL_DROP, 1, 2, 0},
};

static void hows(const char *text, enum heal_how *out)
{
    for (; *text; text++)
        *out++ = *text == 'a' ? HEAL_ALIVE : *text == 's' ? HEAL_SILENT : HEAL_LOST;
}

static void the_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        enum heal_how how[8];
        bool left[1] = {false};
        struct cluster_map m = map_of((unsigned)strlen(r->how), collection(r->shards, r->factor, r->moving));
        hows(r->how, how);
        struct heal_case c = {.map = &m, .how = how, .restore = r->restore, .left = left};
        struct heal_step s = heal_next(&c);
        bool of_shard = s.what == HEAL_DROP || s.what == HEAL_REPLICATE;
        bool of_peer = s.what < HEAL_WAIT;
        if (s.what != r->what || (of_shard && s.shard != r->shard) || (of_peer && s.peer != r->peer) ||
            (s.what == HEAL_REPLICATE && s.from != r->from))
            fail_msg("%s: %d, shard %u, peer %zu", r->when, (int)s.what, s.shard, s.peer);
        cluster_map_free(&m);
    }
}

static void what_has_failed_is_left_alone(void **state)
{
    (void)state;
    enum heal_how how[3] = {HEAL_ALIVE, HEAL_ALIVE, HEAL_LOST};
    bool left[1] = {true};
    struct cluster_map m = map_of(3, collection("0A2A 0A", 2, false));
    struct heal_case c = {.map = &m, .how = how, .restore = true, .left = left};
    assert_int_equal(heal_next(&c).what, HEAL_NONE);
    struct heal_rest rest = heal_left(&c);
    assert_int_equal(rest.peers, 1);
    assert_int_equal(rest.few, 2);
    cluster_map_free(&m);
}

static void nobody_takes_a_restore_whose_other_copies_would_miss_what_is_written(void **state)
{
    (void)state;
    enum heal_how how[3] = {HEAL_ALIVE, HEAL_ALIVE, HEAL_LOST};
    bool left[1] = {false};
    struct cluster_map m = map_of(3, collection("0A1A 2A", 2, false));
    struct heal_case c = {.map = &m, .how = how, .restore = true, .left = left};
    struct heal_step s = heal_next(&c);
    assert_int_equal(s.what, HEAL_RESTORE);
    assert_true(s.peer == CLUSTER_NOBODY);
    c.quiet = true;
    assert_true(heal_next(&c).peer != CLUSTER_NOBODY);
    cluster_map_free(&m);
}

static void a_broken_copy_is_told_and_replaced_only_when_asked_to(void **state)
{
    (void)state;
    enum heal_how how[3] = {HEAL_ALIVE, HEAL_ALIVE, HEAL_LOST};
    bool left[1] = {false};
    struct cluster_map m = map_of(3, collection("0D2A 0A1A", 2, false));
    struct heal_case c = {.map = &m, .how = how, .restore = true, .quiet = true, .left = left};
    assert_int_equal(heal_next(&c).what, HEAL_NONE);
    assert_true(heal_left(&c).broken == 1 && heal_left(&c).lost == 0 && heal_left(&c).peers == 1);
    c.replace = true;
    assert_int_equal(heal_next(&c).what, HEAL_RESTORE);
    assert_true(heal_left(&c).broken == 0 && heal_left(&c).lost == 1);
    cluster_map_free(&m);
}

static void what_is_not_known_or_not_there_is_not_healed(void **state)
{
    (void)state;
    enum heal_how how[2] = {HEAL_ALIVE, HEAL_ALIVE};
    bool left[1] = {false};
    struct cluster_map m = map_of(2, collection("0A1D 0A1A", 2, false));
    struct heal_case c = {.map = &m, .how = how, .left = left};
    m.v[0].count = 4;
    assert_true(heal_left(&c).bare == 2 && heal_left(&c).few == 1 && heal_left(&c).untold == 0);
    m.v[0].factor = 0;
    assert_int_equal(heal_left(&c).untold, 1);
    cluster_map_free(&m);
}

static unsigned draw(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245U + 12345U;
    return (*seed >> 16) % n;
}

static struct map_collection any_collection(unsigned *seed, unsigned peers)
{
    struct map_collection c = {.name = strdup("c"), .factor = 1 + draw(seed, 3), .n = 1 + draw(seed, 6)};
    static const char *const states[] = {"Active", "Active", "Active", "Dead", "Partial"};
    c.v = calloc(c.n, sizeof *c.v);
    for (size_t k = 0; k < c.n; k++) {
        c.v[k].id = (unsigned)k;
        for (unsigned p = 0; p < peers; p++)
            if (draw(seed, 2))
                assert_true(cluster_map_add(&c.v[k], p, states[draw(seed, 5)]));
        if (c.v[k].n == 0)
            assert_true(cluster_map_add(&c.v[k], draw(seed, peers), "Active"));
    }
    return c;
}

/* Would Qdrant refuse it, or points be lost? */
static void check(const struct cluster_map *m, const enum heal_how *how, const struct heal_step *s)
{
    if (s->what == HEAL_DROP) {
        const struct map_shard *shard = &m->v[s->collection].v[s->shard];
        bool other = false;
        for (size_t i = 0; i < shard->n; i++)
            other = other || (shard->v[i].peer != s->peer && how[shard->v[i].peer] == HEAL_ALIVE &&
                              strcmp(shard->v[i].state, "Active") == 0);
        assert_true(other && how[s->peer] == HEAL_LOST);
    }
    if (s->what == HEAL_REMOVE)
        for (size_t k = 0; k < m->v[0].n; k++)
            assert_null(cluster_map_replica(&m->v[0].v[k], s->peer));
    if (s->what == HEAL_REMOVE)
        assert_int_equal(how[s->peer], HEAL_LOST);
    if (s->what == HEAL_REPLICATE)
        assert_true(how[s->peer] == HEAL_ALIVE && how[s->from] == HEAL_ALIVE && s->peer != s->from);
}

static void whole_heals_end_and_take_no_last_copy(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20000; seed++) {
        unsigned s = seed, peers = 2 + draw(&s, 5);
        enum heal_how how[8];
        bool left[1] = {false}, restore = draw(&s, 2);
        struct cluster_map m = map_of(peers, any_collection(&s, peers));
        for (unsigned p = 0; p < peers; p++)
            how[p] = p == 0 ? HEAL_ALIVE : (enum heal_how)draw(&s, 3);
        struct heal_case c = {
            .map = &m, .how = how, .restore = restore, .quiet = true, .replace = draw(&s, 2), .left = left};
        unsigned n = 0;
        for (struct heal_step step; (step = heal_next(&c)).what != HEAL_NONE; n++) {
            assert_true(n < 100);
            assert_int_not_equal(step.what, HEAL_WAIT);
            check(&m, how, &step);
            assert_true(heal_apply(&m, how, &step));
        }
        struct heal_rest rest = heal_left(&c);
        assert_true(!restore || rest.lost == 0);
        assert_true(!restore || rest.silent > 0 || rest.broken > 0 || rest.peers == 0);
        cluster_map_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(what_has_failed_is_left_alone),
        cmocka_unit_test(nobody_takes_a_restore_whose_other_copies_would_miss_what_is_written),
        cmocka_unit_test(a_broken_copy_is_told_and_replaced_only_when_asked_to),
        cmocka_unit_test(what_is_not_known_or_not_there_is_not_healed),
        cmocka_unit_test(whole_heals_end_and_take_no_last_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
