#include "qdrant/heal_rule.h"
#include "qdrant/cluster.h"

static enum heal_how how_of(const struct heal_case *c, size_t peer)
{
    return peer == CLUSTER_NOBODY ? HEAL_LOST : c->how[peer];
}

static const struct map_replica *active_copy(const struct heal_case *c, const struct map_shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (how_of(c, s->v[i].peer) == HEAL_ALIVE && cluster_is_active(s->v[i].state))
            return &s->v[i];
    return NULL;
}

static const struct map_replica *lost_copy(const struct heal_case *c, const struct map_shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].peer != CLUSTER_NOBODY && how_of(c, s->v[i].peer) == HEAL_LOST)
            return &s->v[i];
    return NULL;
}

/* A silent one may come back with what it has. */
static bool silent_copy(const struct heal_case *c, const struct map_shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (how_of(c, s->v[i].peer) == HEAL_SILENT && cluster_is_active(s->v[i].state))
            return true;
    return false;
}

/* On a peer that is not lost, in whatever state. */
static bool other_copy(const struct heal_case *c, const struct map_shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (how_of(c, s->v[i].peer) != HEAL_LOST)
            return true;
    return false;
}

bool heal_is_lost(const struct heal_case *c, const struct map_shard *s)
{
    return lost_copy(c, s) && !active_copy(c, s) && !silent_copy(c, s) && (c->replace || !other_copy(c, s));
}

static bool is_broken(const struct heal_case *c, const struct map_shard *s)
{
    return lost_copy(c, s) && !active_copy(c, s) && !silent_copy(c, s) && !heal_is_lost(c, s);
}

/* --- the steps */

static bool next_drop(const struct heal_case *c, struct heal_step *out)
{
    for (size_t i = 0; i < c->map->n; i++)
        for (size_t k = 0; !c->left[i] && k < c->map->v[i].n; k++) {
            const struct map_shard *s = &c->map->v[i].v[k];
            const struct map_replica *r = lost_copy(c, s);
            if (r && active_copy(c, s)) {
                *out = (struct heal_step){HEAL_DROP, i, s->id, r->peer, CLUSTER_NOBODY, false};
                return true;
            }
        }
    return false;
}

/* While Qdrant restores a collection on a node, it puts aside all replicas of it there, and afterwards takes
 * those for active again that the snapshot does not have: one that others go on writing to would miss that
 * (recover.rs). So none of its shards there may have a replica elsewhere. */
static bool may_take(const struct heal_case *c, const struct map_collection *of, size_t peer)
{
    if (how_of(c, peer) != HEAL_ALIVE || (c->deaf && c->deaf[peer]))
        return false;
    for (size_t k = 0; !c->quiet && k < of->n; k++) {
        const struct map_shard *s = &of->v[k];
        if (!cluster_map_replica(s, peer) || heal_is_lost(c, s))
            continue;
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].peer != peer)
                return false;
    }
    return true;
}

/* The one with the fewest replicas: a new node has none. */
static size_t emptiest(const struct heal_case *c,
                       bool (*fits)(const struct heal_case *, const void *, size_t), const void *arg)
{
    size_t best = CLUSTER_NOBODY;
    unsigned has = 0;
    for (size_t p = 0; p < c->map->n_peers; p++) {
        if (!fits(c, arg, p))
            continue;
        unsigned n = cluster_map_replicas(c->map, p);
        if (best == CLUSTER_NOBODY || n < has) {
            best = p;
            has = n;
        }
    }
    return best;
}

static bool takes_restore(const struct heal_case *c, const void *collection, size_t peer)
{
    return may_take(c, collection, peer);
}

static bool next_restore(const struct heal_case *c, struct heal_step *out)
{
    for (size_t i = 0; i < c->map->n; i++) {
        const struct map_collection *of = &c->map->v[i];
        bool lost = false;
        for (size_t k = 0; k < of->n && !lost; k++)
            lost = heal_is_lost(c, &of->v[k]);
        if (!lost || c->left[i])
            continue;
        *out = (struct heal_step){.what = of->moving ? HEAL_WAIT : HEAL_RESTORE,
                                  .collection = i,
                                  .peer = emptiest(c, takes_restore, of),
                                  .from = CLUSTER_NOBODY,
                                  .replace = c->replace};
        return true;
    }
    return false;
}

static bool next_remove(const struct heal_case *c, struct heal_step *out)
{
    for (size_t p = 0; p < c->map->n_peers; p++)
        if (c->how[p] == HEAL_LOST && c->map->peers[p].id[0] && cluster_map_replicas(c->map, p) == 0) {
            *out = (struct heal_step){HEAL_REMOVE, 0, 0, p, CLUSTER_NOBODY, false};
            return true;
        }
    return false;
}

static bool takes_replica(const struct heal_case *c, const void *shard, size_t peer)
{
    return c->how[peer] == HEAL_ALIVE && !cluster_map_replica(shard, peer);
}

/* `active`: those alone; else one that is being made, or mends itself, counts, too. */
static bool has_few(const struct heal_case *c, const struct map_collection *of, const struct map_shard *s,
                    bool active)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += how_of(c, s->v[i].peer) != HEAL_LOST && (!active || cluster_is_active(s->v[i].state));
    return n < of->factor;
}

static bool next_replicate(const struct heal_case *c, struct heal_step *out)
{
    bool waits = false;
    for (size_t i = 0; i < c->map->n; i++)
        for (size_t k = 0; !c->left[i] && k < c->map->v[i].n; k++) {
            const struct map_collection *of = &c->map->v[i];
            const struct map_shard *s = &of->v[k];
            const struct map_replica *from = active_copy(c, s);
            if (!from || !has_few(c, of, s, false))
                continue;
            size_t to = emptiest(c, takes_replica, s);
            if (to == CLUSTER_NOBODY)
                continue;
            waits = waits || of->moving;
            *out =
                (struct heal_step){of->moving ? HEAL_WAIT : HEAL_REPLICATE, i, s->id, to, from->peer, false};
            if (!of->moving)
                return true;
        }
    return waits;
}

struct heal_step heal_next(const struct heal_case *c)
{
    struct heal_step step = {.what = HEAL_NONE};
    if (next_drop(c, &step) || (c->restore && next_restore(c, &step)) || next_remove(c, &step) ||
        next_replicate(c, &step))
        return step;
    return (struct heal_step){.what = HEAL_NONE};
}

/* --- what would be there */

static void remove_peer(struct cluster_map *m, size_t peer)
{
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->v[i].n; k++)
            cluster_map_drop(&m->v[i].v[k], peer);
    m->peers[peer].id[0] = 0;
}

static bool restore_all(struct cluster_map *m, const enum heal_how *how, const struct heal_step *step)
{
    struct heal_case c = {.map = m, .how = how, .replace = step->replace};
    struct map_collection *of = &m->v[step->collection];
    for (size_t k = 0; k < of->n; k++) {
        struct map_shard *s = &of->v[k];
        if (!heal_is_lost(&c, s))
            continue;
        for (size_t p = 0; p < m->n_peers; p++)
            if (how[p] == HEAL_LOST)
                cluster_map_drop(s, p);
        cluster_map_drop(s, step->peer); /* a broken one */
        if (!cluster_map_add(s, step->peer, "Active"))
            return false;
    }
    return true;
}

bool heal_apply(struct cluster_map *m, const enum heal_how *how, const struct heal_step *step)
{
    struct map_shard *s = step->what == HEAL_DROP || step->what == HEAL_REPLICATE
                              ? cluster_map_shard(&m->v[step->collection], step->shard)
                              : NULL;
    if (step->what == HEAL_RESTORE)
        return restore_all(m, how, step);
    if (step->what == HEAL_REMOVE)
        remove_peer(m, step->peer);
    if (s && step->what == HEAL_DROP)
        cluster_map_drop(s, step->peer);
    return !s || step->what != HEAL_REPLICATE || cluster_map_add(s, step->peer, "Active");
}

struct heal_rest heal_left(const struct heal_case *c)
{
    struct heal_rest rest = {0};
    for (size_t p = 0; p < c->map->n_peers; p++) {
        rest.peers += c->how[p] == HEAL_LOST && c->map->peers[p].id[0];
        rest.silent += c->how[p] == HEAL_SILENT;
    }
    for (size_t i = 0; i < c->map->n; i++) {
        const struct map_collection *of = &c->map->v[i];
        rest.untold += of->factor == 0;
        rest.bare += of->count > of->n ? of->count - (unsigned)of->n : 0;
        for (size_t k = 0; k < of->n; k++) {
            const struct map_shard *s = &of->v[k];
            bool lost = heal_is_lost(c, s), broken = is_broken(c, s);
            rest.lost += lost;
            rest.broken += broken;
            rest.few += has_few(c, of, s, true) && !lost && !broken;
        }
    }
    return rest;
}
