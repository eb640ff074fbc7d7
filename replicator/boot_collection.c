#include "replicator/boot_collection.h"
#include "common/cleanup.h"
#include "common/log.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { GREEN_MS = 60000 };

static cJSON *about(const struct boot_collection *c, const char *snapshot)
{
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", c->collection);
        if (snapshot)
            (void)cJSON_AddStringToObject(f, "snapshot", snapshot);
    }
    return f;
}

static enum boot_outcome skip(struct boot_collection *c, const char *why)
{
    (void)err_set(&c->why, 0, why, NULL, NULL);
    return BOOT_SKIPPED;
}

/* --- which backup */

static bool is_named(const struct backup *b)
{
    return *b->m.node && strcmp(b->m.node, b->m.source.peer) != 0;
}

/* Those of nodes with a NODE_NAME; what is left is of tasks that had none. */
static void drop_named(struct entries *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->n; i++)
        if (is_named(&list->v[i]))
            free(list->v[i].reason);
        else
            list->v[kept++] = list->v[i];
    list->n = kept;
}

static size_t choose(const struct boot_collection *c, struct entries *list, struct restore_wish *w,
                     size_t *order)
{
    struct err e = {0};
    size_t n = restore_choose(list, w, order, &e);
    if (n == 0 && !e.text[0] && w->node) { /* the name is new: what was there before it is this node's, too */
        drop_named(list);
        w->node = NULL;
        n = restore_choose(list, w, order, &e);
        if (n > 0 || e.text[0])
            log_fields(
                LOG_WARN, "boot_restore_node", about(c, NULL),
                "%s has no backup of NODE_NAME=%s: those of tasks without a NODE_NAME are taken for its own",
                c->collection, c->node);
    }
    if (n > 0 || !e.text[0])
        return n;
    log_fields(
        LOG_WARN, "boot_restore_node", about(c, NULL),
        "%s: %s; they are taken for tasks that followed each other, and the newest counts. If they are "
        "several nodes, give each a NODE_NAME",
        c->collection, e.text);
    w->any_node = true;
    return restore_choose(list, w, order, &e);
}

static enum boot_outcome none(struct boot_collection *c, const struct entries *list)
{
    bool whole = false;
    for (size_t i = 0; i < list->n; i++)
        whole = whole || list->v[i].m.source.kind == KIND_COLLECTION;
    if (whole || list->n == 0)
        return skip(c, c->at ? "it has no backup that old" : "it has no backup of this node");
    (void)err_set(&c->why, 0, "there are backups of its shards alone", NULL,
                  "create it and restore them by hand: qdrant-efs restore --shard");
    return BOOT_FAILED;
}

/* All that is there, read. */
static int gather(const struct boot_collection *c, struct entries *list, struct err *e)
{
    if (store_list(c->base, c->folder, list, e) != 0)
        return -1;
    for (size_t i = 0; i < list->n; i++)
        if (store_load(&list->v[i], e) != 0)
            return -1;
    return 0;
}

/* --- into Qdrant */

static void passed_over(struct backup *b, const char *why, void *arg)
{
    const struct boot_collection *c = arg;
    log_fields(LOG_WARN, "boot_restore_passed_over", about(c, b->m.source.stem),
               "%s is not what it should be (%s); the next older one is taken", b->m.source.stem, why);
}

static struct restore into(const struct boot_collection *c)
{
    return (struct restore){.qdrant = c->qdrant,
                            .target = c->collection,
                            .force = c->force,
                            .aliases = true,
                            .green_ms = GREEN_MS,
                            .stop = c->stop};
}

static enum restore_outcome restore_one(struct backup *b, void *arg, struct err *e)
{
    struct boot_collection *c = arg;
    struct restore r = into(c);
    (void)snprintf(c->snapshot, sizeof c->snapshot, "%s", b->m.source.stem);
    return restore_run(&r, b, &c->report, e);
}

/* Where an alias has the name of a collection, that had been deleted before the alias was made: Qdrant takes
 * no two of one name. Newer collections come back first, and their aliases with them. */
static bool is_alias(const struct boot_collection *c, const struct qdrant_names *names)
{
    char status[16];
    struct err ignored = {0};
    return !qdrant_names_have(names, c->collection) &&
           qdrant_status(c->qdrant, c->collection, status, sizeof status, &ignored) == 0;
}

/* BOOT_RESTORED to go on. */
static enum boot_outcome look(struct boot_collection *c)
{
    cleanup_names struct qdrant_names names = {0};
    struct restore r = into(c);
    if (qdrant_collections(c->qdrant, &names, &c->why) != 0)
        return BOOT_LATER;
    if (is_alias(c, &names))
        return skip(c, "an alias of a newer collection has its name: it had been deleted");
    switch (restore_look(&r, NULL, &c->report, &c->why)) {
    case RESTORE_DONE: return BOOT_RESTORED;
    case RESTORE_REFUSED: return BOOT_LEFT;
    default: return BOOT_LATER;
    }
}

/* Qdrant went away, or a read from EFS failed. What Qdrant says itself, it would say again. */
static bool may_pass(const struct err *e) { return e->code != 0 && e->code < QDRANT_REFUSED; }

static enum boot_outcome send(struct boot_collection *c, struct entries *list, const size_t *order, size_t n)
{
    const struct restore_attempt a = {.with = restore_one, .skipped = passed_over, .arg = c};
    enum boot_outcome outcome = look(c);
    if (outcome != BOOT_RESTORED)
        return outcome;
    if (!c->begin(c->arg))
        return BOOT_LATER;
    c->begun = true;
    switch (restore_first_good(list, order, n, &a, NULL, &c->why)) {
    case RESTORE_DONE: return BOOT_RESTORED;
    case RESTORE_REFUSED: return BOOT_LEFT;
    default: return may_pass(&c->why) ? BOOT_LATER : BOOT_FAILED;
    }
}

enum boot_outcome boot_collection(struct boot_collection *c)
{
    cleanup_entries struct entries list = {0};
    struct restore_wish wish = {.kind = KIND_COLLECTION,
                                .collection = c->collection,
                                .node = *c->node ? c->node : NULL,
                                .at = c->at,
                                .tier = -1};
    c->report = (struct restore_report){.points_before = -1, .points = -1};
    if (gather(c, &list, &c->why) != 0)
        return BOOT_LATER;
    cleanup_free size_t *order = calloc(list.n + 1, sizeof *order);
    if (!order) {
        (void)err_set(&c->why, ENOMEM, "cannot choose a backup of", c->collection, NULL);
        return BOOT_LATER;
    }
    size_t n = choose(c, &list, &wish, order);
    return n > 0 ? send(c, &list, order, n) : none(c, &list);
}
