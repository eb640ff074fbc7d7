/* Shards that lost peers alone had, from the newest good backups that have them. */
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/storage_state.h"
#include "common/json.h"
#include "efs/cli/cmd_heal.h"
#include "efs/cli/cmd_sets.h"
#include "efs/restore/heal_shards.h"
#include "qdrant/cluster.h"
#include "qdrant/raft_state.h"

enum { CONFIG_MAX = 4 << 20 };
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that one step needs. */
struct plan {
    const struct healing *h;
    const struct map_collection *of;
    struct set_world world;
    bool said;                     /* by what the uuid is known */
    char uuid[40];                 /* of the collection that the living nodes have; empty: not told */
    char missing[200];             /* shards that no good backup has; empty: none */
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

/* Does the Qdrant whose disk is here belong to the cluster? Then its folder of the collection tells. */
static bool look_on_disk(struct plan *p)
{
    const char *given = getenv("QDRANT__STORAGE__STORAGE_PATH");
    const char *storage = given && *given ? given : STORAGE_STANDARD;
    char dir[PATH_MAX], folder[PATH_MAX], path[PATH_MAX];
    struct raft_state raft;
    struct err ignored;
    if (raft_state_read(storage, &raft, &ignored) != 0 || !raft.there ||
        cluster_map_peer(&p->h->map, raft.peer_id) == CLUSTER_NOBODY ||
        files_join(dir, sizeof dir, storage, "collections", NULL) != 0 ||
        files_join(folder, sizeof folder, dir, p->of->name, NULL) != 0 ||
        files_join(path, sizeof path, folder, "config.json", NULL) != 0)
        return false;
    cleanup_free char *text = files_get(path, CONFIG_MAX, &ignored);
    cleanup_json cJSON *config = text ? cJSON_Parse(text) : NULL;
    return json_copy(config, "uuid", p->uuid, sizeof p->uuid) && *p->uuid;
}

/* A collection that was deleted and made anew has the same name, and other points. Qdrant's API does not tell
 * which it is, its disk does; else what a living node backed up last is most likely that which is there. */
static int find_uuid(struct plan *p, struct err *e)
{
    time_t newest = 0;
    *p->uuid = 0;
    if (look_on_disk(p))
        return 0;
    for (size_t i = 0; i < p->world.list.n; i++) {
        const struct shards *s = &p->world.shards[i];
        size_t peer = cluster_map_peer(&p->h->map, s->peer);
        bool living = peer != CLUSTER_NOBODY && p->h->how[peer] == HEAL_ALIVE;
        if (is_good(p, i) && living && *s->uuid && p->world.list.v[i].m.created > newest) {
            newest = p->world.list.v[i].m.created;
            (void)snprintf(p->uuid, sizeof p->uuid, "%s", s->uuid);
        }
    }
    if (!*p->uuid)
        return err_set(
            e, 0,
            "nothing tells that the backups are of the collection that is there, and not of one of "
            "that name before it:",
            p->of->name, "heal in the container of a living node, where Qdrant's disk tells");
    if (!p->said)
        cmd_complain("warning: that the backups are of the %s that is there, and not of one of that name "
                     "before it, is "
                     "known by a living node's last backup alone; in its container Qdrant's disk tells",
                     p->of->name);
    p->said = true;
    return 0;
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
            strcmp(p->uuid, told->uuid) != 0 || (best && best->m.created >= b->m.created))
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

static int none(const struct plan *p, struct err *e)
{
    char what[600];
    (void)snprintf(what, sizeof what,
                   "no good backup of it below %.200s has shard %s, which lost peers alone had",
                   p->h->o->root, p->missing);
    return err_set(e, 0, what, NULL,
                   "see that EFS_ROOT and TIER are right; `qdrant-efs ls --sets` tells what there is");
}

static void note_missing(struct plan *p, unsigned shard)
{
    size_t n = strlen(p->missing);
    (void)snprintf(p->missing + n, sizeof p->missing - n, "%s%u", n ? ", " : "", shard);
}

static int choose(struct plan *p, struct err *e)
{
    struct heal_case c = {.map = &p->h->map, .how = p->h->how, .replace = p->h->o->heal.replace};
    p->n = p->n_had = p->n_others = 0;
    *p->missing = 0;
    if (find_uuid(p, e) != 0)
        return -1;
    for (size_t k = 0; k < p->of->n; k++) {
        const struct map_shard *s = &p->of->v[k];
        int64_t points = -1;
        bool lost = heal_is_lost(&c, s);
        const struct backup *b = lost ? newest_of(p, s->id, &points) : NULL;
        if (!b)
            p->others[p->n_others++] = s->id;
        if (lost && !b)
            note_missing(p, s->id);
        if (!b)
            continue;
        add_source(p, b, s->id);
        p->had[p->n_had++] = (struct heal_had){s->id, points};
    }
    return p->n > 0 ? 0 : none(p, e);
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

/* Without memory it is shorter. */
static void list(const struct plan *p, cJSON *out)
{
    for (size_t i = 0; out && i < p->n; i++) {
        const struct manifest *m = &p->sources[i].b->m;
        cJSON *o = json_append_object(out);
        cJSON *shards = o && cmd_json_text(o, "snapshot", m->source.stem) &&
                                cmd_json_text(o, "node", m->node) && json_add_time(o, "created", m->created)
                            ? cJSON_AddArrayToObject(o, "shards")
                            : NULL;
        for (size_t k = 0; shards && k < p->sources[i].n; k++) {
            cJSON *id = cJSON_CreateNumber(p->sources[i].shards[k]);
            if (!id || !cJSON_AddItemToArray(shards, id))
                cJSON_Delete(id);
        }
    }
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
    if (rc == 0)
        list(&p, out);
    if (rc == 0 && *p.missing)
        rc = none(&p, e); /* the others are there again */
    qdrant_free(q);
    explicit_bzero(&settings, sizeof settings);
    return rc;
}
