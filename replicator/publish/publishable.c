#include "replicator/publish/publishable.h"
#include "common/base/cleanup.h"
#include "common/log.h"
#include "common/json.h"
#include "efs/verify/archive.h"
#include "efs/repo/tombstone.h"
#include "qdrant/cluster.h"
#include "qdrant/collection_shape.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char ADVICE[] =
    "it is neither published nor deleted; have Qdrant make a snapshot, and delete this file";

static enum publish_outcome refuse(const struct publishable *p, const char *why, struct err *e)
{
    char what[600];
    (void)snprintf(what, sizeof what, "no backup, %.500s:", why);
    return err_set(e, 0, what, p->path, p->made ? NULL : ADVICE), PUBLISH_REFUSED;
}

/* Whoever has Qdrant's key can put any file into the folder of snapshots, and a checksum beside it. */
static enum publish_outcome not_qdrants(const struct publishable *p, const char *why, struct err *e)
{
    char what[600];
    (void)snprintf(what, sizeof what, "no snapshot of Qdrant's, %.500s:", why);
    (void)err_set(e, 0, what, p->path, ADVICE);
    e->code = PUBLISHABLE_NOT_QDRANTS;
    return PUBLISH_REFUSED;
}

/* --- forgotten */

static const struct tombstone *forgotten_in(const struct tombstones *all, const struct manifest *m)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i].forgotten && strcmp(all->v[i].collection, m->source.collection) == 0 &&
            tombstone_covers(&all->v[i], m->created))
            return &all->v[i];
    return NULL;
}

/* Of a node without a NODE_NAME the peer id is the name by which its backups are forgotten. */
static bool forgotten_by(const struct context *x, const char *node, const struct manifest *m, struct err *e)
{
    cleanup_tombstones struct tombstones all = {0};
    struct err why = {0};
    if (tombstones_load(x->settings.base, node, &all, &why) != 0 || all.unreadable > 0)
        log_line(LOG_WARN, "tombstones_unreadable", "%s", why.text[0] ? why.text : all.why);
    const struct tombstone *t = forgotten_in(&all, m);
    if (t)
        (void)err_set(e, 0, "forgotten (qdrant-efs forget), and not published:", m->source.stem, NULL);
    return t;
}

bool publishable_forgotten(const struct context *x, const struct manifest *m, struct err *e)
{
    if (m->source.kind == KIND_STORAGE)
        return false;
    return forgotten_by(x, x->settings.node, m, e) ||
           (!x->settings.node[0] && m->source.peer[0] && forgotten_by(x, m->source.peer, m, e));
}

/* --- made by Qdrant */

/* A file that cannot be made out is Qdrant's all the same: its checksum is compared while it is copied. */
static enum publish_outcome prove_made(const struct publishable *p, int fd, struct manifest *m, struct err *e)
{
    cleanup_found struct archive_found found = {0};
    struct err ignored;
    if (archive_look(fd, p->path, m->source.kind, false, p->stop, &found, &ignored) != 0)
        return PUBLISHED;
    if (found.hostile.text[0])
        return not_qdrants(p, found.hostile.text, e);
    for (size_t i = 0; i < found.n; i++)
        if (found.v[i].trouble[0])
            return refuse(p, found.v[i].trouble, e);
    if (m->source.kind != KIND_COLLECTION || found.n != 1 || found.v[0].shards == 0)
        return PUBLISHED;
    m->points_of_node = found.v[0].local < found.v[0].shards;
    shards_free(p->shards);
    *p->shards = found.v[0].told;
    found.v[0].told = (struct shards){0};
    if (found.v[0].local == 0)
        return err_set(e, 0, "this node holds no shard of the collection, so there is nothing to back up in",
                       p->path, NULL),
               PUBLISH_NOTHING;
    return PUBLISHED;
}

/* --- whatever else */

/* The live collection's parameters; `*whole` is to be freed. */
static const cJSON *live_params(const struct publishable *p, const char *collection, cJSON **whole,
                                struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = collection, .path = ""};
    *whole = qdrant_ask(p->context->qdrant, &ask, e);
    const cJSON *result = json_member(*whole, "result");
    return json_member(json_member(result, "config"), "params");
}

static enum publish_outcome waits(const struct publishable *p, const char *why, struct err *e)
{
    char what[900];
    (void)snprintf(what, sizeof what, "it has no checksum of Qdrant's, and %.800s. Not published yet:", why);
    return err_set(e, 0, what, p->path, "it is tried again"), PUBLISH_WAITS;
}

/* By its own name: an alias is no collection. While an upload is being restored there may be none yet. */
static enum publish_outcome is_there(const struct publishable *p, const char *collection, struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct err why = {0};
    char text[400];
    if (qdrant_collections(p->context->qdrant, &names, &why) != 0)
        return waits(p, why.text, e);
    if (qdrant_names_have(&names, collection))
        return PUBLISHED;
    (void)snprintf(text, sizeof text, "Qdrant has no collection \"%.255s\" to compare it with", collection);
    return waits(p, text, e);
}

static enum publish_outcome prove_part(const struct publishable *p, const struct archive_part *part,
                                       const char *collection, bool shard, struct err *e)
{
    cleanup_json cJSON *whole = NULL;
    struct err why = {0};
    char text[500];
    enum publish_outcome rc = is_there(p, collection, e);
    if (rc != PUBLISHED)
        return rc;
    const cJSON *live = live_params(p, collection, &whole, &why);
    if (!live)
        return waits(p, why.text[0] ? why.text : "Qdrant does not tell the collection's configuration", e);
    const cJSON *there = json_member(shard ? part->segment : part->config, shard ? "config" : "params");
    bool fits = shard ? shape_fits_segment(there, live, text, sizeof text)
                      : shape_fits(there, live, text, sizeof text);
    if (!fits)
        return refuse(p, text, e);
    if (part->trouble[0])
        return refuse(p, part->trouble, e);
    return shard || part->local > 0 ? PUBLISHED : refuse(p, "it holds no shard of the collection", e);
}

static enum publish_outcome prove_upload(const struct publishable *p, int fd, const struct manifest *m,
                                         struct err *e)
{
    cleanup_found struct archive_found found = {0};
    if (m->source.kind == KIND_STORAGE)
        return refuse(p, "Qdrant takes no upload of the whole storage, and its own have a checksum", e);
    if (archive_look(fd, p->path, m->source.kind, true, p->stop, &found, e) != 0)
        return PUBLISH_FAILED;
    if (found.defects) {
        found.defects[strcspn(found.defects, "\n")] = 0;
        return refuse(p, found.defects, e);
    }
    if (found.n == 0)
        return refuse(p, "there is no collection in it", e);
    enum publish_outcome rc = PUBLISHED;
    for (size_t i = 0; rc == PUBLISHED && i < found.n; i++)
        rc = prove_part(p, &found.v[i], m->source.collection, m->source.kind == KIND_SHARD, e);
    return rc;
}

enum publish_outcome publishable_judge(const struct publishable *p, struct manifest *m, struct err *e)
{
    if (publishable_forgotten(p->context, m, e))
        return PUBLISH_NOTHING;
    cleanup_close int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? PUBLISH_VANISHED
                               : (err_set(e, errno, "cannot open", p->path, NULL), PUBLISH_FAILED);
    return p->made ? prove_made(p, fd, m, e) : prove_upload(p, fd, m, e);
}

/* --- points */

/* As below: 0 may mean that it could not be counted. */
static void hear_points(unsigned id, int64_t points, void *arg)
{
    struct shards *told = arg;
    for (size_t i = 0; i < told->n; i++)
        if (told->v[i].id == id && told->v[i].local)
            told->v[i].points = points > 0 ? points : -1;
}

/* Qdrant's own counting of a shard gives 0 when it fails (collection_ops.rs): then it is not known. */
static void count_here(const struct context *x, struct manifest *m, struct shards *told)
{
    struct cluster_shards shards;
    struct cluster_hear hear = {hear_points, told};
    struct err e = {0};
    int rc = cluster_shards_heard(x->qdrant, m->source.collection, &hear, &shards, &e);
    if (rc == 0 && (shards.elsewhere > 0 || m->points_of_node)) {
        m->points_of_node = true;
        m->points = shards.points > 0 ? shards.points : -1;
    } else if ((rc == 0 || e.code == QDRANT_MISSING) && !m->points_of_node &&
               qdrant_points(x->qdrant, m->source.collection, &m->points, &e) != 0) {
        log_line(LOG_DEBUG, "no_points", "%s", e.text);
    }
}

static void count_shard(const struct context *x, struct manifest *m)
{
    struct err e = {0};
    int rc = cluster_shard_points(x->qdrant, m->source.collection, m->source.shard, &m->points, &e);
    if (rc == 0)
        m->points = m->points > 0 ? m->points : -1;
    else if (e.code == QDRANT_MISSING)
        (void)qdrant_points(x->qdrant, m->source.collection, &m->points, &e);
}

void publishable_count(const struct context *x, struct manifest *m, struct shards *shards)
{
    m->points = -1;
    if (m->upload || m->source.kind == KIND_STORAGE)
        m->points_of_node = false;
    else if (m->source.kind == KIND_SHARD)
        count_shard(x, m);
    else
        count_here(x, m, shards);
}
