/* Shards that lost peers alone had, from the newest good backups that have them. */
#include "common/base/cleanup.h"
#include "common/json.h"
#include "efs/cli/cmd_heal.h"
#include "efs/cli/cmd_sets.h"
#include "efs/restore/heal_shards.h"
#include "qdrant/cluster.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that one step needs. */
struct plan {
    const struct healing *h;
    const struct map_collection *of;
    struct set_world world;
    const char *uuid;              /* of the collection that the living nodes have; NULL: not told */
    struct splice_source *sources; /* each backup once */
    size_t n;
    unsigned *ids, *others; /* what the sources point into; shards that are not lost */
    struct heal_had *had;
    size_t n_had, n_others;
};

static void plan_free(struct plan *p)
{
    set_world_free(&p->world);
    free(p->sources);
    free(p->ids);
    free(p->others);
    free(p->had);
}
#define cleanup_plan_of_heal __attribute__((cleanup(plan_free)))

/* --- which backup */

static bool is_good(const struct plan *p, size_t i)
{
    const struct backup *b = &p->world.list.v[i];
    return b->state == ENTRY_COMPLETE && b->m.source.kind == KIND_COLLECTION && !b->m.upload &&
           b->m.created <= time(NULL) + RESTORE_TOLERANCE && p->world.shards[i].n > 0;
}

/* A collection that was deleted and made anew has the same name, and other points. What a living node backed
 * up last is that which is there. */
static void find_uuid(struct plan *p)
{
    time_t newest = 0;
    for (size_t i = 0; i < p->world.list.n; i++) {
        const struct shards *s = &p->world.shards[i];
        size_t peer = cluster_map_peer(&p->h->map, s->peer);
        bool living = peer != CLUSTER_NOBODY && p->h->how[peer] == HEAL_ALIVE;
        if (is_good(p, i) && living && *s->uuid && p->world.list.v[i].m.created > newest) {
            newest = p->world.list.v[i].m.created;
            p->uuid = s->uuid;
        }
    }
}

/* The newest one whose replica of it was Active; NULL: there is none. */
static const struct backup *newest_of(const struct plan *p, unsigned shard, int64_t *points)
{
    const struct backup *best = NULL;
    for (size_t i = 0; i < p->world.list.n; i++) {
        const struct backup *b = &p->world.list.v[i];
        const struct shards *told = &p->world.shards[i];
        const struct shard_info *s = is_good(p, i) ? shards_find(told, shard) : NULL;
        if (!s || !s->local || !cluster_is_active(shard_state(s, told->peer)) ||
            (p->uuid && *told->uuid && strcmp(p->uuid, told->uuid) != 0) ||
            (best && best->m.created >= b->m.created))
            continue;
        best = b;
        *points = s->points;
    }
    return best;
}

static void add_source(struct plan *p, const struct backup *b, unsigned shard)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->sources[i].b == b) {
            ((unsigned *)p->sources[i].shards)[p->sources[i].n++] = shard;
            return;
        }
    p->sources[p->n] = (struct splice_source){b, p->ids + p->n * (p->of->n + 1), 1};
    p->ids[p->n++ * (p->of->n + 1)] = shard;
}

static int none(const struct plan *p, unsigned shard, struct err *e)
{
    char what[400];
    (void)snprintf(what, sizeof what, "no good backup has shard %u of %.255s, which lost peers alone had",
                   shard, p->of->name);
    return err_set(e, 0, what, NULL,
                   "`qdrant-efs ls --sets` tells what there is. What is not in a backup is gone: delete the "
                   "collection, or restore an older set of all of it");
}

static int choose(struct plan *p, struct err *e)
{
    struct heal_case c = {.map = &p->h->map, .how = p->h->how};
    p->n = p->n_had = p->n_others = 0;
    find_uuid(p);
    for (size_t k = 0; k < p->of->n; k++) {
        const struct map_shard *s = &p->of->v[k];
        int64_t points = -1;
        if (!heal_is_lost(&c, s)) {
            p->others[p->n_others++] = s->id;
            continue;
        }
        const struct backup *b = newest_of(p, s->id, &points);
        if (!b)
            return none(p, s->id, e);
        add_source(p, b, s->id);
        p->had[p->n_had++] = (struct heal_had){s->id, points};
    }
    return 0;
}

/* --- and in */

static int gather(struct plan *p, struct err *e)
{
    struct options o = *p->h->o;
    const char *name = p->of->name;
    o.collections = &name;
    o.n_collections = 1;
    if (set_world_gather(&o, &p->world) != 0)
        return err_set(e, 0, "its backups cannot be listed, as was told", NULL, NULL);
    if (set_several_trees(&p->world.sets))
        return err_set(e, 0, "there are backups of it in several trees", NULL,
                       "choose one with --tier and --cpu-arch");
    size_t n = p->of->n + 1;
    p->sources = calloc(n, sizeof *p->sources);
    p->ids = calloc(n * n, sizeof *p->ids);
    p->others = calloc(n, sizeof *p->others);
    p->had = calloc(n, sizeof *p->had);
    return p->sources && p->ids && p->others && p->had
               ? 0
               : err_set(e, ENOMEM, "cannot choose the backups of", name, NULL);
}

static void list(const struct plan *p, cJSON *out)
{
    while (cJSON_GetArraySize(out) > 0)
        cJSON_DeleteItemFromArray(out, 0);
    for (size_t i = 0; out && i < p->n; i++)
        (void)json_append_text(out, p->sources[i].b->m.source.stem); /* without memory it is shorter */
}

static enum restore_outcome send(struct plan *p, struct qdrant *q, size_t *bad, struct err *e)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->n; i++)
        bytes += backup_work(&p->sources[i].b->m);
    struct progress *bar = progress_new(bytes);
    progress_name(bar, p->of->name);
    struct heal_shards h = {.qdrant = q,
                            .collection = p->of->name,
                            .sources = p->sources,
                            .n = p->n,
                            .had = p->had,
                            .n_had = p->n_had,
                            .others = p->others,
                            .n_others = p->n_others,
                            .watch = {progress_bytes, bar},
                            .stop = p->h->stop};
    enum restore_outcome outcome = heal_shards_restore(&h, bad, e);
    progress_end(bar);
    return outcome;
}

int heal_from_backups(const struct healing *h, const struct heal_step *step, cJSON *out, struct err *e)
{
    cleanup_plan_of_heal struct plan p = {.h = h, .of = &h->map.v[step->collection]};
    struct qdrant_settings settings;
    if (gather(&p, e) != 0)
        return -1;
    struct qdrant *q = heal_node(h, step->peer, &settings, e);
    int rc = q ? choose(&p, e) : -1;
    while (!h->o->dry_run && rc == 0) {
        size_t bad = 0;
        enum restore_outcome outcome = send(&p, q, &bad, e);
        if (outcome == RESTORE_DONE)
            break;
        rc = -1;
        if (outcome != RESTORE_DEFECT)
            break;
        cmd_complain("%s is passed over: %s", p.sources[bad].b->m.source.stem, e->text);
        (void)set_world_condemn(&p.world, p.sources[bad].b, e->text);
        rc = choose(&p, e);
    }
    list(&p, out);
    qdrant_free(q);
    explicit_bzero(&settings, sizeof settings);
    return rc;
}
