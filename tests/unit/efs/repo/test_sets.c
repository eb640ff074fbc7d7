/* Which backups make a whole: a table of what nodes may have left behind, each in every order of arrival. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "efs/repo/sets.h"

enum { BEGIN = 1795507200, /* 2026-11-24T08:00:00Z */ MOST = 6, TEXT = 600 };

/* A backup of node A, B … of some minute. "0:AB 1:Bp": shard 0 has replicas on A and B, shard 1 one on B that
 * is Partial (p) or Dead (d); what the node itself has is in its snapshot. NULL: its manifest does not tell;
 * "": it names no other node. `state`: c complete, x corrupt, i incomplete, n not even its manifest. */
struct row {
    char node;
    int minute;
    char state;
    const char *shards;
    const char *uuid; /* NULL: u */
};

static struct shards shards_of(const struct row *r)
{
    struct shards s = {0};
    struct shard_info *shard = NULL;
    (void)snprintf(s.peer, sizeof s.peer, "%c", r->node);
    (void)snprintf(s.uuid, sizeof s.uuid, "%s", r->uuid ? r->uuid : "u");
    for (const char *p = r->shards; p && *p; p++) {
        if (p[1] == ':') {
            shard = shards_get(&s, (unsigned)(*p - '0'));
            shard->points = 10;
            p++;
        } else if (*p == '=') {
            shard->key = calloc(4, 1);
            (void)snprintf(shard->key, 4, "\"%c\"", *++p);
        } else if (*p >= 'A' && *p <= 'Z') {
            shard->peers = realloc(shard->peers, (shard->n + 1) * sizeof *shard->peers);
            struct shard_peer *peer = &shard->peers[shard->n++];
            (void)snprintf(peer->id, sizeof peer->id, "%c", *p);
            (void)snprintf(peer->state, sizeof peer->state, "%s",
                           p[1] == 'p'   ? "Partial"
                           : p[1] == 'd' ? "Dead"
                                         : "Active");
            shard->local = shard->local || *p == r->node;
        }
    }
    return s;
}

static struct backup backup_of(const struct row *r)
{
    struct backup b = {.dir = r->node < 'a' ? "/efs/prod-x/hourly/docs" : "/efs/dev-x/hourly/docs"};
    time_t at = BEGIN + 60 * (time_t)r->minute;
    b.state = r->state == 'c' ? ENTRY_COMPLETE : r->state == 'x' ? ENTRY_CORRUPT : ENTRY_INCOMPLETE;
    b.has_manifest = r->state != 'n';
    b.m = (struct manifest){.source = {.kind = KIND_COLLECTION, .collection = "docs", .taken = at},
                            .slot = frequency_slot(at),
                            .points = 7};
    b.m.source.peer[0] = r->node;
    (void)snprintf(b.stem, sizeof b.stem, "docs-%c-%d", r->node, r->minute);
    if (!b.has_manifest)
        return b;
    b.m.created = at;
    b.m.node[0] = (char)(r->node | 0x20);
    memset(b.m.content.sha256, 'a', 64);
    b.m.clustered = r->shards && *r->shards;
    b.m.points_of_node = !r->shards || *r->shards;
    return b;
}

static const char *same(const char *peer, void *arg)
{
    (void)arg;
    return peer;
}

/* "0 complete 0A 1B 2C skew 60; 15 incomplete 2:no backup of this slot" */
static void tell(const struct sets *s, char *out)
{
    char text[200];
    *out = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct set *one = &s->v[i];
        size_t n = strlen(out);
        n += (size_t)snprintf(out + n, TEXT - n, "%s%ld %s%s", i ? "; " : "", (long)(one->slot - BEGIN) / 60,
                              one->complete ? "complete" : "incomplete", one->by_itself ? " itself" : "");
        for (size_t k = 0; k < one->n_shards; k++) {
            const struct set_shard *shard = &one->shards[k];
            if (shard->from)
                n += (size_t)snprintf(out + n, TEXT - n, " %u%s", shard->id, shard->from->b->m.source.peer);
            else
                n += (size_t)snprintf(out + n, TEXT - n, " [%s]",
                                      set_lack_text(shard, same, NULL, text, sizeof text));
        }
        if (one->complete && one->skew)
            n += (size_t)snprintf(out + n, TEXT - n, " skew %ld", (long)one->skew);
        if (one->in_motion)
            (void)snprintf(out + n, TEXT - n, " in motion");
    }
}

static const char ONE[] = "0:A 1:B 2:C", TWO[] = "0:AB 1:BC 2:CA";

static const struct {
    struct row rows[MOST];
    const char *sets;
} table[] = {
    {{{0}}, ""},
    {{{'A', 0, 'c', ONE, 0}, {'B', 0, 'c', ONE, 0}, {'C', 0, 'c', ONE, 0}}, "0 complete 0A 1B 2C"},
    {{{'A', 0, 'c', ONE, 0}, {'B', 1, 'c', ONE, 0}, {'C', 3, 'c', ONE, 0}}, "0 complete 0A 1B 2C skew 180"},
    /* Each a slot for itself, and the older one stays whole when the newer one is not. */
    {{{'A', 0, 'c', ONE, 0},
      {'B', 0, 'c', ONE, 0},
      {'C', 0, 'c', ONE, 0},
      {'A', 15, 'c', ONE, 0},
      {'B', 15, 'c', ONE, 0}},
     "0 complete 0A 1B 2C; 15 incomplete 0A 1B [shard 2: C has no backup of this slot]"},
    /* A slot late is another slot. */
    {{{'A', 0, 'c', ONE, 0}, {'B', 15, 'c', ONE, 0}, {'C', 0, 'c', ONE, 0}},
     "0 incomplete 0A [shard 1: B has no backup of this slot] 2C; 15 incomplete [shard 0: A has no backup of "
     "this "
     "slot] 1B [shard 2: C has no backup of this slot]"},
    {{{'A', 0, 'c', ONE, 0}, {'B', 0, 'x', ONE, 0}, {'C', 0, 'c', ONE, 0}},
     "0 incomplete 0A [shard 1: the backup of B is corrupt] 2C"},
    {{{'A', 0, 'c', ONE, 0}, {'B', 0, 'i', ONE, 0}, {'C', 0, 'c', ONE, 0}},
     "0 incomplete 0A [shard 1: the backup of B is incomplete] 2C"},
    /* Nothing is read of it but its name. */
    {{{'A', 0, 'c', ONE, 0}, {'B', 0, 'n', NULL, 0}, {'C', 0, 'c', ONE, 0}},
     "0 incomplete 0A [shard 1: the backup of B is incomplete] 2C"},
    /* Two replicas of each: one node may be missing, but not two. */
    {{{'A', 0, 'c', TWO, 0}, {'B', 1, 'c', TWO, 0}, {'C', 2, 'c', TWO, 0}}, "0 complete 0A 1B 2A skew 60"},
    {{{'A', 0, 'c', TWO, 0}, {'C', 2, 'c', TWO, 0}}, "0 complete 0A 1C 2A skew 120"},
    {{{'A', 0, 'x', TWO, 0}, {'B', 1, 'c', TWO, 0}, {'C', 2, 'c', TWO, 0}}, "0 complete 0B 1B 2C skew 60"},
    {{{'A', 0, 'c', TWO, 0}}, "0 incomplete 0A [shard 1: B has no backup of this slot] 2A"},
    /* What is not Active is no backup, and an Active one elsewhere does. */
    {{{'A', 0, 'c', "0:AB 1:ApB", 0}, {'B', 0, 'c', "0:AB 1:ApB", 0}}, "0 complete 0A 1B in motion"},
    {{{'A', 0, 'c', "0:A 1:Bp", 0}, {'B', 0, 'c', "0:A 1:Bp", 0}},
     "0 incomplete 0A [shard 1: the replica on B is not Active] in motion"},
    {{{'A', 0, 'c', "0:A 1:Bd", 0}}, "0 incomplete 0A [shard 1: the replica on B is not Active] in motion"},
    /* The nodes do not agree, since it was moved meanwhile: B had not got it yet, A had it no more. */
    {{{'A', 5, 'c', "0:A 1:B", 0}, {'B', 1, 'c', "0:A 1:A", 0}},
     "0 incomplete 0A [shard 1: no backup has an Active replica of it]"},
    /* Two of one node in a slot: the one that was first, which the other nodes' are nearest to. */
    {{{'A', 0, 'c', ONE, 0}, {'A', 9, 'c', ONE, 0}, {'B', 0, 'c', ONE, 0}, {'C', 0, 'c', ONE, 0}},
     "0 complete 0A 1B 2C"},
    {{{'A', 0, 'x', ONE, 0}, {'A', 9, 'c', ONE, 0}, {'B', 0, 'c', ONE, 0}, {'C', 0, 'c', ONE, 0}},
     "0 complete 0A 1B 2C skew 540"},
    /* A shard that one of them does not know yet is a shard of the set. */
    {{{'A', 0, 'c', "1:=xA 2:=yB", 0}, {'B', 0, 'c', "1:=xA 2:=yB 3:=zB", 0}}, "0 complete 1A 2B 3B"},
    {{{'A', 0, 'c', "1:=xA 2:=yB", 0}, {'B', 0, 'c', "1:=yA 2:=yB", 0}},
     "0 incomplete [shard 1 (key \"x\"): the nodes name different shard keys for it] 2B"},
    /* A collection that was deleted and made anew is another one, and so is that of another cluster. */
    {{{'A', 0, 'c', "0:A 1:B", "u"}, {'B', 0, 'c', "0:A 1:B", "v"}},
     "0 incomplete 0A [shard 1: B has no backup of this slot]; 0 incomplete [shard 0: A has no backup of "
     "this slot] 1B"},
    /* Before collections had a uuid, the peers tell. */
    {{{'A', 0, 'c', "0:A 1:B", ""},
      {'B', 0, 'c', "0:A 1:B", ""},
      {'C', 0, 'c', "0:C 1:D", ""},
      {'D', 0, 'c', "0:C 1:D", ""}},
     "0 complete 0A 1B; 0 complete 0C 1D"},
    /* A node without a cluster, or one that has all shards, is whole by itself. */
    {{{'A', 0, 'c', "", 0}}, "0 complete itself"},
    {{{'A', 0, 'i', "", 0}}, "0 incomplete itself"},
    {{{'A', 0, 'c', "", 0}, {'B', 0, 'c', "", 0}}, "0 complete itself; 0 complete itself"},
    /* An older version made it: nobody knows. */
    {{{'A', 0, 'c', NULL, 0}, {'B', 0, 'c', NULL, 0}}, "0 incomplete"},
    {{{'A', 0, 'c', "0:A 1:B", 0}, {'B', 0, 'c', NULL, 0}},
     "0 incomplete 0A [shard 1: the backup of B does not tell its shards]"},
};

/* The next order of n things; false after the last one. */
static bool next_order(size_t *v, size_t n)
{
    size_t i = n, j = n;
    while (i > 1 && v[i - 2] >= v[i - 1])
        i--;
    if (i <= 1)
        return false;
    while (v[j - 1] <= v[i - 2])
        j--;
    size_t swap = v[i - 2];
    v[i - 2] = v[j - 1];
    v[j - 1] = swap;
    for (size_t a = i - 1, b = n - 1; a < b; a++, b--) {
        swap = v[a];
        v[a] = v[b];
        v[b] = swap;
    }
    return true;
}

static void each_row_of_the_table_in_each_order(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        struct backup backups[MOST];
        struct shards shards[MOST];
        size_t order[MOST] = {0, 1, 2, 3, 4, 5}, n = 0;
        for (; n < MOST && table[t].rows[n].node; n++) {
            backups[n] = backup_of(&table[t].rows[n]);
            shards[n] = shards_of(&table[t].rows[n]);
        }
        do {
            struct set_member members[MOST];
            struct sets sets;
            struct err e = {0};
            char text[TEXT];
            for (size_t i = 0; i < n; i++)
                members[i] = (struct set_member){&backups[order[i]], &shards[order[i]]};
            assert_int_equal(sets_make(members, n, &sets, &e), 0);
            tell(&sets, text);
            assert_string_equal(text, table[t].sets);
            sets_free(&sets);
        } while (next_order(order, n));
        for (size_t i = 0; i < n; i++)
            shards_free(&shards[i]);
    }
}

struct world {
    struct backup backups[MOST];
    struct shards shards[MOST];
    struct set_member members[MOST];
    struct sets sets;
    size_t n;
};
static void make(struct world *w, const struct row *rows, size_t n)
{
    struct err e = {0};
    w->n = n;
    for (size_t i = 0; i < n; i++) {
        w->backups[i] = backup_of(&rows[i]);
        w->shards[i] = shards_of(&rows[i]);
        w->members[i] = (struct set_member){&w->backups[i], &w->shards[i]};
    }
    assert_int_equal(sets_make(w->members, n, &w->sets, &e), 0);
}
static void unmake(struct world *w)
{
    sets_free(&w->sets);
    for (size_t i = 0; i < w->n; i++)
        shards_free(&w->shards[i]);
}

static void the_newest_complete_one_is_chosen(void **state)
{
    static const struct row rows[] = {{'A', 0, 'c', "0:A 1:B", 0},  {'B', 0, 'c', "0:A 1:B", 0},
                                      {'A', 15, 'c', "0:A 1:B", 0}, {'B', 16, 'c', "0:A 1:B", 0},
                                      {'A', 30, 'c', "0:A 1:B", 0}, {'B', 30, 'x', "0:A 1:B", 0}};
    static const struct {
        int until, slot; /* minutes; -1: any, none */
    } chosen[] = {{-1, 15}, {30, 15}, {16, 15}, {15, 0}, {0, 0}, {-2, -1}};
    struct world w;
    bool several;
    (void)state;
    make(&w, rows, sizeof rows / sizeof *rows);
    assert_int_equal(w.sets.n, 3);
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        time_t at = chosen[i].until == -1 ? 0 : BEGIN + 60 * (time_t)chosen[i].until;
        const struct set *s = sets_newest(&w.sets, &w.sets.v[0], at, &several);
        assert_false(several);
        if (chosen[i].slot < 0)
            assert_null(s);
        else
            assert_int_equal(s->slot, BEGIN + 60 * chosen[i].slot);
    }
    const struct set *s = sets_newest(&w.sets, &w.sets.v[0], 0, &several);
    assert_int_equal(s->points, 20);
    for (size_t i = 0; i < w.n; i++)
        assert_int_equal(set_needs(s, &w.backups[i]), i == 2 || i == 3);
    unmake(&w);
}

static void two_clusters_of_one_slot_are_several_and_two_of_one_node_are_not(void **state)
{
    static const struct row clusters[] = {{'A', 0, 'c', "0:A 1:B", "u"},
                                          {'B', 0, 'c', "0:A 1:B", "u"},
                                          {'C', 0, 'c', "0:C 1:D", "v"},
                                          {'D', 0, 'c', "0:C 1:D", "v"}};
    static const struct row nodes[] = {{'A', 0, 'c', "", 0}, {'B', 0, 'c', "", 0}};
    static const struct row one[] = {{'A', 0, 'c', "", 0}, {'A', 5, 'c', "", 0}};
    const struct {
        const struct row *rows;
        size_t n;
        bool several;
    } all[] = {{clusters, 4, true}, {nodes, 2, true}, {one, 2, false}};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct world w;
        bool several;
        make(&w, all[i].rows, all[i].n);
        const struct set *s = sets_newest(&w.sets, &w.sets.v[0], 0, &several);
        assert_non_null(s);
        assert_int_equal(several, all[i].several);
        if (!several)
            assert_ptr_equal(s->v[0].b, &w.backups[1]); /* the later one */
        unmake(&w);
    }
}

static void uploads_shards_and_the_whole_storage_are_no_part_of_a_set(void **state)
{
    static const struct row row = {'A', 0, 'c', "", 0};
    struct backup b = backup_of(&row);
    struct set_member m = {&b, NULL};
    struct sets sets;
    struct err e = {0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        b = backup_of(&row);
        b.m.upload = i == 0;
        b.m.source.kind = i == 1 ? KIND_SHARD : i == 2 ? KIND_STORAGE : KIND_COLLECTION;
        assert_int_equal(sets_make(&m, 1, &sets, &e), 0);
        assert_int_equal(sets.n, i == 3);
        sets_free(&sets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_of_the_table_in_each_order),
        cmocka_unit_test(the_newest_complete_one_is_chosen),
        cmocka_unit_test(two_clusters_of_one_slot_are_several_and_two_of_one_node_are_not),
        cmocka_unit_test(uploads_shards_and_the_whole_storage_are_no_part_of_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
