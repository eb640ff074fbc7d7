#include "efs/restore/heal_shards.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/json.h"
#include "efs/restore/internal.h"
#include "efs/restore/shape.h"
#include "efs/restore/shard_keys.h"
#include "qdrant/cluster.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MS = 120000, POLL_MS = 500, SHAPE_MS = 60000 };

/* --- what came back */

static bool has(const struct cluster_place *place, unsigned id)
{
    for (size_t i = 0; i < place->n; i++)
        if (place->shards[i] == id)
            return true;
    return false;
}

/* The first of these that is not there; NULL: all are. */
static const struct heal_had *missing(const struct heal_shards *h, const struct cluster_place *place)
{
    for (size_t i = 0; i < h->n_had; i++)
        if (!has(place, h->had[i].id))
            return &h->had[i];
    return NULL;
}

/* 1: all are there, Active, and nothing moves; 0 with `why`; -1 with `why`: Qdrant does not tell. */
static int look(const struct heal_shards *h, struct err *why)
{
    struct cluster_place place;
    char what[200];
    if (cluster_place(h->qdrant, h->collection, &place, why) != 0)
        return -1;
    const struct heal_had *not_there = missing(h, &place);
    free(place.shards);
    if (not_there) {
        (void)snprintf(what, sizeof what, "shard %u is not there after it was restored", not_there->id);
        (void)err_set(why, 0, what, NULL, "see Qdrant's log");
        return 0;
    }
    if (place.settled)
        return 1;
    (void)err_set(why, 0, "restored, and a shard is not Active, or moves, on", h->collection,
                  "wait until GET /collections/NAME/cluster tells of none, and heal again");
    return 0;
}

static enum restore_outcome settle(const struct heal_shards *h, struct err *e)
{
    int64_t end = clock_ms() + SETTLE_MS;
    for (;;) {
        struct err why = {0};
        if (look(h, &why) > 0)
            return RESTORE_DONE;
        if (h->stop && atomic_load(h->stop))
            return restore_fail(e, "stopped while Qdrant took the shards", NULL);
        if (clock_ms() >= end) {
            if (e)
                *e = why;
            return RESTORE_FAILED;
        }
        clock_sleep(POLL_MS);
    }
}

struct counting {
    const struct heal_shards *h;
    char why[200];
};

static void count_one(unsigned id, int64_t points, void *arg)
{
    struct counting *c = arg;
    for (size_t i = 0; i < c->h->n_had; i++) {
        int64_t had = c->h->had[i].points, slack = had / 10 + 1;
        if (c->h->had[i].id != id || had <= 0 || c->why[0])
            continue;
        if (points < had - slack) /* more: somebody writes again */
            (void)snprintf(c->why, sizeof c->why,
                           "%" PRId64 " points came back in shard %u, and it had about %" PRId64, points, id,
                           had);
    }
}

static enum restore_outcome count(const struct heal_shards *h, struct err *e)
{
    struct counting c = {.h = h};
    struct cluster_hear hear = {count_one, &c};
    struct cluster_shards ignored;
    if (cluster_shards_heard(h->qdrant, h->collection, &hear, &ignored, e) != 0)
        return RESTORE_FAILED;
    return c.why[0] ? restore_fail(e, c.why, "look at the collection before anybody uses it") : RESTORE_DONE;
}

/* --- all of it */

/* Of the collection as it is there, which cannot be read as a whole: its shard keys alone. Vectors and the
 * number of shards Qdrant compares itself (recover.rs). */
static enum restore_outcome same_keys(const struct heal_shards *h, const struct inside_says *says,
                                      struct err *e)
{
    char differs[300], what[700];
    int are = says && says->custom ? shard_keys_are(h->qdrant, h->collection, says->keys, differs, e) : 1;
    if (are != 0)
        return are > 0 ? RESTORE_DONE : RESTORE_FAILED;
    (void)snprintf(what, sizeof what, "%.255s has other shard keys than the backup: %s", h->collection,
                   differs);
    return restore_fail(e, what, "nothing was sent: points would come back under another key");
}

/* Afterwards, when it can be read. */
static enum restore_outcome same_shape(const struct heal_shards *h, const struct inside_says *says,
                                       struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = h->collection, .path = "", .total_ms = SHAPE_MS};
    char differs[SHAPE_TEXT], what[SHAPE_TEXT + 400];
    struct err ignored;
    cleanup_json cJSON *whole = qdrant_ask(h->qdrant, &ask, &ignored);
    if (!whole || !says || !says->config || shape_differs(says, json_member(whole, "result"), differs) == 0)
        return RESTORE_DONE; /* with other shards that are lost, nobody can tell */
    (void)snprintf(what, sizeof what,
                   "restored, and %.255s is configured otherwise than the backup, which Qdrant keeps: %s",
                   h->collection, differs);
    return restore_fail(e, what, "look at the collection before anybody uses it");
}

static enum restore_outcome send(struct restore_target_check *g, struct restore_report *out, struct err *e)
{
    cleanup_inside struct inside *ignored = NULL;
    struct restore_passed passed = {0};
    g->looked = true;
    enum restore_outcome outcome = restore_pass(g, &ignored, &passed, out, e);
    /* What is proven, and Qdrant does not like, is no defect that another backup would mend by itself. */
    return outcome == RESTORE_DEFECT ? RESTORE_FAILED : outcome;
}

enum restore_outcome heal_shards_restore(const struct heal_shards *h, size_t *bad, struct err *e)
{
    struct splice_of of = {.v = h->sources, .n = h->n, .stubs = h->others, .n_stubs = h->n_others};
    cleanup_splice struct splice *splice = splice_new(&of, h->stop, e);
    if (!splice)
        return RESTORE_FAILED;
    struct backup b = *h->sources[0].b;
    b.m.fingerprint = (struct fingerprint){0};
    b.m.aliases.known = false;
    b.m.points = -1;
    splice_form(&b.m);
    enum restore_outcome outcome = splice_measure(splice, NULL, &b.m.content, bad, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    /* A collection with a lost shard cannot be counted, and is written to all the same. */
    struct restore_report out = {.existed = true, .points_before = -1, .points = -1};
    struct restore r = {.qdrant = h->qdrant,
                        .target = h->collection,
                        .force = true,
                        .watch = h->watch,
                        .stop = h->stop,
                        .origin = splice_origin(splice)};
    struct restore_target_check g = {.r = &r, .b = &b, .seen = &out};
    struct restore quiet = r; /* the bar is of what is sent */
    quiet.watch = (struct copy_watch){0};
    cleanup_inside struct inside *inside = NULL;
    outcome = restore_survey(&quiet, &b, &inside, e);
    const struct inside_says *says = outcome == RESTORE_DONE ? inside_end(inside) : NULL;
    if (outcome == RESTORE_DONE)
        outcome = same_keys(h, says, e);
    if (outcome == RESTORE_DONE)
        outcome = send(&g, &out, e);
    if (outcome == RESTORE_DONE)
        outcome = settle(h, e);
    if (outcome == RESTORE_DONE)
        outcome = count(h, e);
    return outcome == RESTORE_DONE ? same_shape(h, says, e) : outcome;
}
