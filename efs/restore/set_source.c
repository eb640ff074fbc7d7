#include "efs/restore/set_source.h"
#include "common/base/cleanup.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- which backup gives what */

static void choose(const struct set *s, struct set_source *out)
{
    unsigned *next = out->shards;
    for (size_t i = 0; i < s->n; i++) {
        struct splice_source *to = &out->sources[out->n];
        *to = (struct splice_source){.b = s->v[i].b, .shards = next};
        for (size_t k = 0; k < s->n_shards; k++)
            if (s->shards[k].from == &s->v[i]) {
                *next++ = s->shards[k].id;
                to->n++;
            }
        out->n += to->n > 0;
    }
}

/* Its time is that of its first snapshot: what was written from then on may be missing. */
static void describe(const struct set *s, struct set_source *out)
{
    const struct backup *first = out->sources[0].b;
    struct backup *b = &out->b;
    char when[32] = "";
    struct tm tm;
    *b = (struct backup){.state = ENTRY_COMPLETE,
                         .frequency = first->frequency,
                         .dir = first->dir,
                         .m = first->m,
                         .has_manifest = true,
                         .signature = first->signature,
                         .written = first->written,
                         .aliases_at = first->aliases_at};
    for (size_t i = 0; i < out->n; i++)
        if (!b->m.aliases.known && out->sources[i].b->m.aliases.known) {
            b->m.aliases = out->sources[i].b->m.aliases;
            b->aliases_at = out->sources[i].b->aliases_at;
        }
    if (gmtime_r(&s->slot, &tm))
        (void)strftime(when, sizeof when, "%Y-%m-%d-%H-%M-%S", &tm);
    (void)snprintf(b->m.source.stem, sizeof b->m.source.stem, "%.200s-set-%s", first->m.source.collection,
                   when);
    name_stored(b->m.source.stem, b->stem);
    (void)snprintf(b->data, sizeof b->data, "%.240s.snapshot", b->stem);
    b->m.node[0] = b->m.source.peer[0] = 0;
    b->m.fingerprint = (struct fingerprint){0};
    b->m.points_of_node = b->m.clustered = false;
    b->m.points = s->points;
    splice_form(&b->m);
}

int set_source_make(const struct set *s, struct set_source *out)
{
    *out = (struct set_source){.set = s,
                               .sources = calloc(s->n + 1, sizeof *out->sources),
                               .shards = calloc(s->n_shards + 1, sizeof *out->shards)};
    if (out->sources && out->shards) {
        choose(s, out);
        if (out->n > 0)
            return describe(s, out), 0;
    }
    set_source_free(out);
    return -1;
}

void set_source_free(struct set_source *s)
{
    free(s->sources);
    free(s->shards);
    *s = (struct set_source){0};
}

/* --- what came back */

struct counting {
    const struct set *set;
    bool *found; /* of each shard of the set: it is there */
    char *why;
};

static void count_one(unsigned id, int64_t points, void *arg)
{
    struct counting *c = arg;
    for (size_t i = 0; i < c->set->n_shards; i++) {
        const struct set_shard *s = &c->set->shards[i];
        int64_t slack = s->points / 10 + 1;
        if (s->id != id)
            continue;
        c->found[i] = true;
        if (s->points > 0 && !*c->why && (points < s->points - slack || points > s->points + slack))
            (void)snprintf(c->why, SET_WHY,
                           "%" PRId64 " points came back in shard %u, and it had about %" PRId64, points, id,
                           s->points);
    }
}

int set_source_count(const struct set *s, struct qdrant *const *nodes, size_t n, const char *collection,
                     char why[SET_WHY], struct err *e)
{
    size_t there = 0;
    cleanup_free bool *found = calloc(s->n_shards + 1, sizeof *found);
    struct counting c = {s, found, why};
    struct cluster_hear hear = {count_one, &c};
    struct cluster_shards shards;
    *why = 0;
    if (!found)
        return err_set(e, ENOMEM, "cannot count the shards of", collection, NULL);
    for (size_t i = 0; i < n; i++)
        if (cluster_shards_heard(nodes[i], collection, &hear, &shards, e) != 0)
            return -1;
    for (size_t i = 0; i < s->n_shards; i++)
        there += found[i];
    if (!*why && there < s->n_shards)
        (void)snprintf(why, SET_WHY, "%zu of %zu shards are there", there, s->n_shards);
    return !*why;
}
