/* Between the first look and the last piece of an upload minutes or hours go by: what is there is looked at
 * again, when nothing is left to do but to let go of that piece. */
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/json.h"
#include "efs/restore/internal.h"
#include "efs/restore/shape.h"
#include "efs/restore/shard_keys.h"
#include "qdrant/collection_shape.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum restore_outcome refuse(struct err *e, const char *what, const char *advice)
{
    (void)err_set(e, 0, what, NULL, advice);
    return RESTORE_REFUSED;
}

static enum restore_outcome failed(struct err *e, const struct err *why)
{
    if (e)
        *e = *why;
    return RESTORE_FAILED;
}

void restore_remember(const struct restore *r, const char *collection, struct restore_report *out)
{
    struct err ignored;
    out->had_plan = (struct fingerprint_plan){.seed = (uint64_t)clock_ms()};
    out->had_known = content_digest_take(r->qdrant, collection, &out->had_plan, &out->had, &ignored) == 0;
}

enum restore_outcome restore_changed(const struct restore *r, const char *collection,
                                     const struct restore_report *seen, struct err *e)
{
    struct err why = {0};
    struct content_digest now;
    struct fingerprint_plan plan = seen->had_plan;
    char what[500];
    int rc = seen->had_known ? content_digest_take(r->qdrant, collection, &plan, &now, &why) : 1;
    if (rc < 0)
        return why.code == QDRANT_MISSING ? RESTORE_DONE : failed(e, &why);
    if (rc > 0 || (strcmp(now.content, seen->had.content) == 0 && strcmp(now.config, seen->had.config) == 0))
        return RESTORE_DONE;
    (void)snprintf(
        what, sizeof what,
        "somebody writes to %.255s: its %s changed since the restore began, so that new data would "
        "be lost",
        collection, strcmp(now.content, seen->had.content) != 0 ? "points have" : "configuration has");
    return refuse(e, what, "nothing was changed: stop what writes, and restore again");
}

/* Points that were not there at the first look, or are not any more. */
static enum restore_outcome written(const struct restore_target_check *g, struct err *e)
{
    int64_t now, before = g->seen->existed ? g->seen->points_before : 0;
    struct err why = {0};
    char what[500];
    if (before < 0 && g->r->force)
        return RESTORE_DONE; /* "Dirty shard": it could not be counted */
    if (qdrant_count(g->r->qdrant, g->r->target, &now, &why) != 0)
        return why.code == QDRANT_MISSING ? RESTORE_DONE : failed(e, &why);
    if (now == before)
        return g->seen->existed ? restore_changed(g->r, g->r->target, g->seen, e) : RESTORE_DONE;
    if (g->seen->existed)
        (void)snprintf(what, sizeof what,
                       "somebody writes to %.255s: it has %" PRId64 " points, and had %" PRId64
                       " when the restore began, so that new points would be lost",
                       g->r->target, now, before);
    else
        (void)snprintf(what, sizeof what,
                       "somebody has made a collection %.255s meanwhile, with %" PRId64
                       " points, which would be lost",
                       g->r->target, now);
    return refuse(e, what, "nothing was changed: stop what writes, and restore again");
}

static const char WAYS_OUT[] =
    "--recreate deletes it and restores it as it was; --swap restores it beside and switches to that";

static enum restore_outcome same_shape(const struct restore_target_check *g, const struct inside_says *says,
                                       struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = g->r->target, .path = ""};
    char differs[SHAPE_TEXT], what[SHAPE_TEXT + 400];
    struct err why = {0};
    cleanup_json cJSON *whole = qdrant_ask(g->r->qdrant, &ask, &why);
    if (!whole && why.code == QDRANT_ANSWERED && g->r->force)
        return RESTORE_DONE; /* it cannot be read now; it is compared afterwards */
    if (!whole)
        return failed(e, &why);
    if (shape_differs(says, json_member(whole, "result"), differs) == 0)
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what,
                   "%.255s is there and configured otherwise than the backup, and Qdrant would keep that: %s",
                   g->r->target, differs);
    return refuse(e, what, WAYS_OUT);
}

/* A shard's snapshot has no configuration of its collection, and Qdrant (1.18.2) takes one with other
 * vectors: then searches fail, or it does not start any more. */
static enum restore_outcome same_vectors(const struct restore_target_check *g, const struct inside_says *says,
                                         struct err *e)
{
    struct qdrant_ask ask = {.method = "GET", .collection = g->r->target, .path = ""};
    char differs[SHAPE_TEXT], what[SHAPE_TEXT + 400];
    struct err why = {0};
    const cJSON *segment = says ? json_member(says->segment, "config") : NULL;
    if (!segment)
        return refuse(e, "the shard's snapshot does not tell its vectors, so that these cannot be compared",
                      "take another backup (--snapshot)");
    cleanup_json cJSON *whole = qdrant_ask(g->r->qdrant, &ask, &why);
    if (!whole && why.code == QDRANT_ANSWERED && g->r->force)
        return RESTORE_DONE; /* "Dirty shard" */
    if (!whole)
        return failed(e, &why);
    const cJSON *config = json_member(json_member(whole, "result"), "config");
    if (shape_fits_segment(segment, json_member(config, "params"), differs, sizeof differs))
        return RESTORE_DONE;
    (void)snprintf(what, sizeof what, "the shard is of another collection than the %.255s that is there: %s",
                   g->r->target, differs);
    return refuse(e, what, "restore it into a collection that is made as the shard's was");
}

static enum restore_outcome same_keys(const struct restore_target_check *g, const struct inside_says *says,
                                      struct err *e)
{
    char differs[300], what[700];
    int are = says->custom ? shard_keys_are(g->r->qdrant, g->r->target, says->keys, differs, e) : 1;
    if (are != 0)
        return are > 0 ? RESTORE_DONE : RESTORE_FAILED;
    (void)snprintf(what, sizeof what,
                   "%.255s is there with other shard keys than the backup, and points would come back under "
                   "another key: %s",
                   g->r->target, differs);
    return refuse(e, what, WAYS_OUT);
}

/* Only a cluster has shard keys, and Qdrant alone takes the snapshot all the same, and keeps no point. */
static enum restore_outcome can_have_keys(const struct restore_target_check *g,
                                          const struct inside_says *says, struct err *e)
{
    char names[200], what[500], name[1100], advice[1400];
    int possible = shard_keys_possible(g->r->qdrant, e);
    if (possible != 0)
        return possible > 0 ? RESTORE_DONE : RESTORE_FAILED;
    key_names(says->keys, names);
    (void)snprintf(
        what, sizeof what,
        "the backup has custom sharding (keys %s), and this Qdrant runs without a cluster: it would "
        "take the snapshot and keep no point",
        names);
    (void)snprintf(advice, sizeof advice,
                   "`qdrant-efs restore --collection %s --as-storage --to FILE` writes what Qdrant takes "
                   "at its start (`qdrant --storage-snapshot FILE`); or turn the cluster on "
                   "(QDRANT__CLUSTER__ENABLED=true)",
                   text_shell(g->b ? g->b->m.source.collection : g->r->target, name, sizeof name));
    return refuse(e, what, advice);
}

/* A collection is deleted on all nodes of a cluster, and this brings back the shards of one. */
static bool would_lose_shards(const struct restore_target_check *g, const struct inside_says *says)
{
    return (g->r->whole || (g->r->recreate && g->seen->existed)) && says && says->config &&
           says->local < says->shards;
}

static enum restore_outcome lose_shards(const struct inside_says *says, struct err *e)
{
    char what[300];
    (void)snprintf(what, sizeof what,
                   "the backup has %u of the collection's %u shards, and those of the other nodes would be "
                   "deleted with the collection",
                   (unsigned)says->local, (unsigned)says->shards);
    return refuse(e, what,
                  "restore it into the collection that is there (--force), node after node (--node)");
}

enum restore_outcome restore_target_check(const struct restore_target_check *g,
                                          const struct inside_says *says, enum restore_keys *keys,
                                          struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    *keys = KEYS_THERE;
    if (qdrant_collections(g->r->qdrant, &names, e) != 0)
        return RESTORE_FAILED;
    if (would_lose_shards(g, says))
        return lose_shards(says, e);
    bool there = qdrant_names_have(&names, g->r->target);
    enum restore_outcome outcome = there ? written(g, e) : RESTORE_DONE;
    if (outcome == RESTORE_DONE && there && g->b && g->b->m.source.kind == KIND_SHARD)
        return same_vectors(g, says, e);
    if (outcome != RESTORE_DONE || !says || !says->config)
        return outcome;
    bool anew = !there || (g->r->recreate && g->seen->existed); /* it is about to be deleted */
    if (anew && !says->custom)
        return RESTORE_DONE;
    if (!anew) {
        outcome = same_shape(g, says, e);
        return outcome == RESTORE_DONE ? same_keys(g, says, e) : outcome;
    }
    outcome = can_have_keys(g, says, e);
    *keys = outcome == RESTORE_REFUSED ? KEYS_IMPOSSIBLE : KEYS_MAKE;
    return outcome;
}
