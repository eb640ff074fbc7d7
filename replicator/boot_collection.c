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

/* What there is, tree after tree, and where each ends. */
struct found {
    struct entries list;
    size_t end[2]; /* of what may be chosen ... */
    size_t all[2]; /* ... and of what is there */
};

static size_t begin_of(const struct found *f, size_t tree) { return tree ? f->all[0] : 0; }

/* Those of nodes with a NODE_NAME are not chosen any more; what is left is of tasks that had none. */
static void leave_named_out(struct found *f)
{
    for (size_t t = 0; t < 2; t++) {
        size_t kept = begin_of(f, t);
        struct backup *v = f->list.v;
        for (size_t i = kept; i < f->all[t]; i++)
            if (!is_named(&v[i])) {
                struct backup one = v[i];
                memmove(v + kept + 1, v + kept, (i - kept) * sizeof *v);
                v[kept++] = one;
            }
        f->end[t] = kept;
    }
}

static size_t tree_of(const struct found *f, size_t i) { return i >= f->all[0]; }

static bool goes_first(const struct boot_collection *c, const struct found *f, size_t a, size_t b)
{
    const char *x = c->trees->base[tree_of(f, a)], *y = c->trees->base[tree_of(f, b)];
    time_t s = restore_taken(&f->list.v[a]), t = restore_taken(&f->list.v[b]);
    return s != t ? s > t : c->prefer && strcmp(x, y) != 0 && strcmp(x, c->prefer) == 0;
}

/* As restore_choose of each tree; of both, the newest first. */
static size_t choose_all(const struct boot_collection *c, const struct found *f, const struct restore_wish *w,
                         size_t *order, struct err *e)
{
    size_t n = 0;
    for (size_t t = c->trees->n; t-- > 0;) { /* of two that are alike our own one */
        size_t begin = begin_of(f, t), k = 0;
        struct entries view = {.v = f->list.v + begin, .n = f->end[t] - begin};
        cleanup_free size_t *some = calloc(view.n + 1, sizeof *some);
        size_t m = some ? restore_choose(&view, w, some, e) : 0;
        if (e->text[0])
            return 0;
        for (; k < m; k++) {
            size_t i = begin + some[k], at = n++;
            for (; at > 0 && goes_first(c, f, i, order[at - 1]); at--)
                order[at] = order[at - 1];
            order[at] = i;
        }
    }
    return n;
}

static size_t choose(const struct boot_collection *c, struct found *f, struct restore_wish *w, size_t *order)
{
    struct err e = {0};
    size_t n = choose_all(c, f, w, order, &e);
    if (n == 0 && !e.text[0] && w->node) { /* the name is new: what was there before it is this node's, too */
        leave_named_out(f);
        w->node = NULL;
        n = choose_all(c, f, w, order, &e);
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
    e = (struct err){0};
    return choose_all(c, f, w, order, &e);
}

/* Both trees have some: people should know which one counted. */
static void tell_source(const struct boot_collection *c, const struct found *f, const size_t *order, size_t n)
{
    size_t tree = tree_of(f, order[0]), k = 1;
    while (k < n && tree_of(f, order[k]) == tree)
        k++;
    if (k < n)
        log_fields(LOG_WARN, "boot_restore_source", about(c, f->list.v[order[0]].m.source.stem),
                   "%s comes back from %s, whose newest backup is %s; the newest in %s is %s", c->collection,
                   c->trees->base[tree], f->list.v[order[0]].m.source.stem, c->trees->base[!tree],
                   f->list.v[order[k]].m.source.stem);
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
static int gather(const struct boot_collection *c, struct found *f, struct err *e)
{
    for (size_t t = 0; t < 2; t++) {
        if (t < c->trees->n && store_list(c->trees->base[t], c->folder, &f->list, e) != 0)
            return -1;
        f->end[t] = f->all[t] = f->list.n;
    }
    for (size_t i = 0; i < f->list.n; i++)
        if (store_load(&f->list.v[i], e) != 0)
            return -1;
    return 0;
}

/* --- into Qdrant */

struct sending {
    struct boot_collection *c;
    const struct found *found;
};

static void passed_over(struct backup *b, const char *why, void *arg)
{
    const struct boot_collection *c = ((const struct sending *)arg)->c;
    log_fields(LOG_WARN, "boot_restore_passed_over", about(c, b->m.source.stem),
               "%s is not what it should be (%s); the next older one is taken", b->m.source.stem, why);
}

static struct restore into(const struct boot_collection *c)
{
    return (struct restore){.qdrant = c->qdrant,
                            .target = c->collection,
                            .force = c->force,
                            .any_version = true, /* a node with old data is better than none */
                            .aliases = true,
                            .green_ms = GREEN_MS,
                            .stop = c->stop};
}

static enum restore_outcome restore_one(struct backup *b, void *arg, struct err *e)
{
    const struct sending *s = arg;
    struct boot_collection *c = s->c;
    struct restore r = into(c);
    c->from = c->trees->base[tree_of(s->found, (size_t)(b - s->found->list.v))];
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

static enum boot_outcome send(struct boot_collection *c, struct found *f, const size_t *order, size_t n)
{
    struct sending sending = {c, f};
    const struct restore_attempt a = {.with = restore_one, .skipped = passed_over, .arg = &sending};
    enum boot_outcome outcome = look(c);
    if (outcome != BOOT_RESTORED)
        return outcome;
    if (!c->prefer)
        tell_source(c, f, order, n);
    if (!c->begin(c->trees->base[tree_of(f, order[0])], c->arg))
        return BOOT_LATER;
    c->begun = true;
    switch (restore_first_good(&f->list, order, n, &a, NULL, &c->why)) {
    case RESTORE_DONE: return BOOT_RESTORED;
    case RESTORE_REFUSED: return BOOT_LEFT;
    default: return may_pass(&c->why) ? BOOT_LATER : BOOT_FAILED;
    }
}

static void found_free(struct found *f) { entries_free(&f->list); }

enum boot_outcome boot_collection(struct boot_collection *c)
{
    __attribute__((cleanup(found_free))) struct found found = {0};
    struct restore_wish wish = {.kind = KIND_COLLECTION,
                                .collection = c->collection,
                                .node = *c->node ? c->node : NULL,
                                .at = c->at,
                                .tier = -1};
    c->report = (struct restore_report){.points_before = -1, .points = -1};
    if (gather(c, &found, &c->why) != 0)
        return BOOT_LATER;
    cleanup_free size_t *order = calloc(found.list.n + 1, sizeof *order);
    if (!order) {
        (void)err_set(&c->why, ENOMEM, "cannot choose a backup of", c->collection, NULL);
        return BOOT_LATER;
    }
    size_t n = found.list.n > 0 ? choose(c, &found, &wish, order) : 0;
    return n > 0 ? send(c, &found, order, n) : none(c, &found.list);
}
