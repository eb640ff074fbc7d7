#include "efs/restore/spread.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "efs/restore/internal.h"
#include "efs/restore/shard_keys.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MS = 120000, POLL_MS = 250 };

/* --- which shards where */

static bool has(const unsigned *v, size_t n, unsigned id)
{
    size_t i = 0;
    while (i < n && v[i] != id)
        i++;
    return i < n;
}

static bool has_all_shards(const struct spread *s) { return s->n_sources == 1 && s->sources[0].n == 0; }

size_t spread_choose(const struct spread *s, const unsigned *place, size_t n_place, struct splice_source *out,
                     unsigned *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct splice_source *from = &s->sources[i];
        out[n] = (struct splice_source){.b = from->b, .shards = ids};
        for (size_t k = 0; k < n_place; k++)
            if (has_all_shards(s) || has(from->shards, from->n, place[k]))
                ids[out[n].n++] = place[k];
        ids += out[n].n;
        n += out[n].n > 0;
    }
    return n;
}

size_t spread_rest(const unsigned *all, size_t n_all, const unsigned *some, size_t n_some, unsigned *out)
{
    size_t n = 0;
    for (size_t i = 0; i < n_all; i++)
        if (!has(some, n_some, all[i]))
            out[n++] = all[i];
    return n;
}

/* --- one restore */

struct part { /* of a node */
    struct cluster_place place;
    struct splice_source *sources;
    unsigned *ids, *stubs;
    struct splice *splice;
    struct backup b; /* what a manifest would say of its splice */
};
struct spreading {
    struct restore_target_check *g;
    const struct restore *r;
    const struct spread *s;
    const struct backup *b;
    const struct inside_says *says;
    struct restore_report *out;
    struct part *parts; /* one of each node */
    unsigned *all;      /* shards of the collection, each once */
    size_t n_all;
};

static void part_free(struct part *p)
{
    splice_free(p->splice);
    free(p->place.shards);
    free(p->sources);
    free(p->ids);
    free(p->stubs);
    *p = (struct part){0};
}

static void spreading_free(struct spreading *w)
{
    for (size_t i = 0; w->parts && i < w->s->n; i++)
        part_free(&w->parts[i]);
    free(w->parts);
    free(w->all);
}

static enum restore_outcome no_memory(struct err *e)
{
    (void)err_set(e, ENOMEM, "cannot spread the shards among the nodes", NULL, NULL);
    return RESTORE_FAILED;
}

static enum restore_outcome pass_on(struct err *e, const struct err *why, enum restore_outcome outcome)
{
    if (e)
        *e = *why;
    return outcome;
}

/* --- where Qdrant has them */

/* 1: all its shards are Active and none moves; 0 with `why`: not yet; -1 with `why`. */
static int look_at_node(struct spreading *w, size_t i, struct err *why)
{
    char what[400];
    struct cluster_place place;
    const struct spread_node *node = &w->s->v[i];
    if (cluster_place(node->qdrant, w->r->target, &place, why) != 0)
        return why->code == QDRANT_MISSING ? 0 : -1; /* it hears of a new collection a moment later */
    free(w->parts[i].place.shards);
    w->parts[i].place = place;
    if (place.settled)
        return 1;
    (void)snprintf(what, sizeof what, "a shard moves, or has a replica that is not Active, on %.300s",
                   node->name);
    (void)err_set(why, 0, what, NULL,
                  "wait until GET /collections/NAME/cluster tells of none, and restore again");
    return 0;
}

static enum restore_outcome settle(struct spreading *w, struct err *e)
{
    int64_t end = clock_ms() + SETTLE_MS;
    for (;;) {
        struct err why = {0};
        int rc = 1;
        for (size_t i = 0; i < w->s->n && rc > 0; i++)
            rc = look_at_node(w, i, &why);
        if (rc > 0)
            return RESTORE_DONE;
        if (rc < 0 || clock_ms() >= end)
            return pass_on(e, &why, RESTORE_FAILED);
        if (w->r->stop && atomic_load(w->r->stop))
            return restore_fail(e, "stopped while the nodes of the cluster agreed", NULL);
        clock_sleep(POLL_MS);
    }
}

/* Each shard once. */
static bool join_places(struct spreading *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->s->n; i++)
        n += w->parts[i].place.n;
    w->all = calloc(n + 1, sizeof *w->all);
    for (size_t i = 0; w->all && i < w->s->n; i++) {
        const struct cluster_place *place = &w->parts[i].place;
        w->n_all += spread_rest(place->shards, place->n, w->all, w->n_all, w->all + w->n_all);
    }
    return w->all != NULL;
}

static enum restore_outcome other_shards(const struct spreading *w, const char *which, unsigned id,
                                         struct err *e)
{
    char what[700];
    (void)snprintf(what, sizeof what,
                   "the collection %.255s of this cluster has other shards than the backup: shard %u is %s",
                   w->r->target, id, which);
    (void)err_set(e, 0, what, NULL,
                  "--recreate deletes it and restores it as it was; --swap restores it beside");
    return RESTORE_REFUSED;
}

/* Each shard of the backup has a place, and there is none that would keep what it has. */
static enum restore_outcome same_shards(const struct spreading *w, struct err *e)
{
    char what[200];
    const struct spread *s = w->s;
    size_t told = has_all_shards(s) ? w->says->shards : 0;
    for (size_t i = 0; i < s->n_sources; i++)
        for (size_t k = 0; k < s->sources[i].n; k++, told++)
            if (!has(w->all, w->n_all, s->sources[i].shards[k]))
                return other_shards(w, "in the backup alone", s->sources[i].shards[k], e);
    for (size_t i = 0; i < w->n_all; i++) {
        bool known = has_all_shards(s);
        for (size_t k = 0; k < s->n_sources && !known; k++)
            known = has(s->sources[k].shards, s->sources[k].n, w->all[i]);
        if (!known)
            return other_shards(w, "in the cluster alone", w->all[i], e);
    }
    if (told == w->n_all)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "the backup has %zu shards, and the collection of this cluster %zu",
                   told, w->n_all);
    (void)err_set(e, 0, what, NULL,
                  "--recreate deletes it and restores it as it was; --swap restores it beside");
    return RESTORE_REFUSED;
}

/* --- what each node gets */

static bool part_room(struct spreading *w, struct part *p)
{
    p->sources = calloc(w->s->n_sources + 1, sizeof *p->sources);
    p->ids = calloc(p->place.n + 1, sizeof *p->ids);
    p->stubs = calloc(w->n_all + 1, sizeof *p->stubs);
    return p->sources && p->ids && p->stubs;
}

static enum restore_outcome measure(struct spreading *w, struct part *p, struct err *e)
{
    size_t bad;
    if (!part_room(w, p))
        return no_memory(e);
    size_t n = spread_choose(w->s, p->place.shards, p->place.n, p->sources, p->ids);
    struct splice_of of = {.v = p->sources, .n = n, .stubs = p->stubs};
    of.n_stubs = spread_rest(w->all, w->n_all, p->place.shards, p->place.n, p->stubs);
    p->splice = splice_new(&of, w->r->stop, e);
    if (!p->splice)
        return RESTORE_FAILED;
    p->b = *w->b;
    splice_form(&p->b.m);
    return splice_measure(p->splice, NULL, &p->b.m.content, &bad, e);
}

static enum restore_outcome measure_all(struct spreading *w, struct err *e)
{
    enum restore_outcome outcome = RESTORE_DONE;
    for (size_t i = 0; i < w->s->n && outcome == RESTORE_DONE; i++)
        if (w->parts[i].place.n > 0)
            outcome = measure(w, &w->parts[i], e);
    return outcome;
}

static void say_how_far(const struct spreading *w, size_t done, size_t i, struct err *e)
{
    char more[700];
    (void)snprintf(more, sizeof more, "at the node %.300s%s", w->s->v[i].name,
                   done > 0 ? "; others have their shards already: restore again, with --force" : "");
    if (e)
        restore_add(e->text, sizeof e->text, more);
}

/* An address that several nodes share, or that another one has now, would get the shards of this one. */
static enum restore_outcome is_still(const struct spread_node *node, struct err *e)
{
    struct cluster_state state;
    char what[500];
    if (cluster_state(node->qdrant, &state, e) != 0)
        return RESTORE_FAILED;
    if (strcmp(state.peer_id, node->peer) == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "at %.300s the peer %.20s answers, and it was %.20s", node->name,
                   *state.peer_id ? state.peer_id : "of no cluster", node->peer);
    return restore_fail(e, what, "give an address that is one node's alone (--url, --peer-url)");
}

static enum restore_outcome send_one(struct spreading *w, size_t i, bool *all, struct err *e)
{
    if (is_still(&w->s->v[i], e) != RESTORE_DONE)
        return RESTORE_FAILED;
    struct part *p = &w->parts[i];
    struct restore r = *w->r;
    struct restore_passed passed = {0};
    cleanup_inside struct inside *ignored = NULL;
    r.qdrant = w->s->v[i].qdrant;
    r.origin = splice_origin(p->splice);
    r.spread = NULL;
    r.placed = true;
    struct restore_target_check g = {.r = &r, .b = &p->b, .seen = w->out, .looked = true};
    enum restore_outcome outcome = restore_pass(&g, &ignored, &passed, w->out, e);
    *all = *all || passed.all;
    return outcome;
}

static enum restore_outcome send_each(struct spreading *w, bool *all, struct err *e)
{
    enum restore_outcome outcome = RESTORE_DONE;
    size_t done = 0;
    for (size_t i = 0; i < w->s->n && outcome == RESTORE_DONE; i++) {
        if (w->parts[i].place.n == 0)
            continue;
        outcome = send_one(w, i, all, e);
        if (outcome != RESTORE_DONE)
            say_how_far(w, done, i, e);
        if (outcome == RESTORE_DEFECT && done > 0) /* too late for another one: there would be two halves */
            outcome = RESTORE_FAILED;
        done++;
    }
    return outcome;
}

/* --- all of it */

/* Made where it is not there; then it is looked at as one that is. */
static enum restore_outcome have_collection(struct spreading *w, struct restore_passed *passed, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    enum restore_outcome outcome = restore_target_check(w->g, w->says, &passed->keys, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    if (qdrant_collections(w->r->qdrant, &names, e) != 0)
        return RESTORE_FAILED;
    if (qdrant_names_have(&names, w->r->target))
        return RESTORE_DONE;
    if (!w->says->config) {
        (void)err_set(e, 0, "the snapshot does not tell how its collection is made:", w->b->data,
                      "take another backup");
        return RESTORE_DEFECT;
    }
    if (shard_keys_make(w->r->qdrant, w->r->target, w->says, e) != 0)
        return RESTORE_FAILED;
    w->g->made = true;
    return RESTORE_DONE;
}

static enum restore_outcome spread_all(struct spreading *w, struct inside **inside,
                                       struct restore_passed *passed, struct err *e)
{
    struct restore quiet = *w->r; /* the bar is of what is sent */
    quiet.watch = (struct copy_watch){0};
    enum restore_outcome outcome = restore_survey(&quiet, w->b, inside, e);
    if (outcome != RESTORE_DONE)
        return outcome;
    w->says = inside_end(*inside);
    outcome = have_collection(w, passed, e);
    if (outcome == RESTORE_DONE)
        outcome = settle(w, e);
    if (outcome == RESTORE_DONE && !join_places(w))
        outcome = no_memory(e);
    if (outcome == RESTORE_DONE)
        outcome = same_shards(w, e);
    if (outcome == RESTORE_DONE)
        outcome = measure_all(w, e);
    if (outcome == RESTORE_DONE)
        outcome = restore_target_check(w->g, w->says, &passed->keys, e);
    if (outcome == RESTORE_DONE)
        outcome = send_each(w, &passed->all, e);
    return outcome == RESTORE_DONE ? settle(w, e) : outcome;
}

enum restore_outcome restore_spread(struct restore_target_check *g, struct inside **inside,
                                    struct restore_passed *passed, struct restore_report *out, struct err *e)
{
    const struct spread *s = g->r->spread;
    struct spreading w = {.g = g, .r = g->r, .s = s, .b = g->b, .out = out};
    w.parts = calloc(s->n + 1, sizeof *w.parts);
    enum restore_outcome outcome = w.parts ? spread_all(&w, inside, passed, e) : no_memory(e);
    spreading_free(&w);
    return outcome;
}
