/* Pruning: never the last good one, manifest first, then the data. */
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/repo/remove.h"
#include "efs/repo/backup.h"
#include "efs/repo/pin.h"
#include "efs/repo/ruler.h"
#include "efs/repo/sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int refuse_broken(const struct backup *b, struct err *e)
{
    char where[PATH_MAX + NAME_MAX];
    if (b->state == ENTRY_UNREAD || !backup_broken(b))
        return 0;
    (void)snprintf(where, sizeof where, "%s/%s (%s)", b->dir, b->stem, b->reason ? b->reason : "no memory");
    return err_set(e, 0, "corrupt backup", where, "nothing is pruned in this folder until it is moved away");
}

static int load(struct backup *b, bool *changed, struct err *e)
{
    if (b->state != ENTRY_UNREAD)
        return 0;
    *changed = true;
    return backup_load(b, e);
}

/* Decide by name, then read just what the decision rests on: those to go, and the newest of each tier and
 * node that are to stay in their place. What that shows may change the decision: repeat until nothing is new.
 */
static int decide(struct backup_list *list, const struct retention *r, struct frequency_item *items,
                  struct err *e)
{
    for (bool changed = true; changed;) {
        changed = false;
        backup_items(list, items);
        if (backup_nodes(list, NULL, items, &changed, e) != 0)
            return -1;
        for (size_t i = 0; i < list->n; i++)
            if (refuse_broken(&list->v[i], e) != 0)
                return -1;
        if (changed)
            continue; /* what was read may have other times than its name */
        retention_select(r, items, list->n);
        for (size_t i = 0; i < list->n; i++)
            if ((items[i].drop || items[i].newest) && load(&list->v[i], &changed, e) != 0)
                return -1;
    }
    return 0;
}

/* Data without a manifest: it may be another task's, about to be finished, or have lost its manifest on the
 * way to a second Region. It goes after a day, if a newer good backup is there. */
static bool leftover(const struct backup *b, const struct frequency_item *own,
                     const struct frequency_item *items, size_t n, struct sweep_clock *c)
{
    char path[PATH_MAX];
    struct stat st;
    size_t i = 0;
    if (b->state != ENTRY_INCOMPLETE || b->has_manifest || !*b->data)
        return false;
    while (i < n && !(items[i].newest && items[i].frequency == own->frequency && items[i].node == own->node))
        i++;
    return i < n && items[i].slot > b->m.slot && files_join(path, sizeof path, b->dir, b->data, NULL) == 0 &&
           stat(path, &st) == 0 && sweep_older(&st, SWEEP_ABANDONED, b->dir, c);
}

/* A delta that stays needs what it is made of: 1 when one does, -1 when one cannot be read. Only those are
 * read whose names say that they may. */
static int needed(struct backup_list *list, const bool *go, size_t i, struct err *e)
{
    for (size_t j = 0; j < list->n; j++) {
        struct backup *b = &list->v[j];
        if (go[j] || !b->has_manifest || !ruler_may_need(b, &list->v[i]))
            continue;
        if (backup_load(b, e) != 0 || refuse_broken(b, e) != 0)
            return -1;
        if (ruler_needs(b, &list->v[i]))
            return 1;
    }
    return 0;
}

/* Newest first: one that stays for a newer one keeps what it needs itself. */
static int keep_bases(struct backup_list *list, const struct prune *p, bool *go, struct err *e)
{
    for (size_t i = list->n; i > 0; i--) {
        int rc = go[i - 1] ? needed(list, go, i - 1, e) : 0;
        if (rc < 0)
            return -1;
        if (rc > 0 && p->needed)
            p->needed(&list->v[i - 1], p->arg);
        go[i - 1] = go[i - 1] && rc == 0;
    }
    return 0;
}

static bool of_cluster(const struct backup *b) { return b->state == ENTRY_COMPLETE && b->m.clustered; }

/* The set of a slot (efs/repo/sets.h) stays whole for as long as the highest frequency that one of its nodes
 * gave it: a node whose backup of that period is another one would let its own of this slot go earlier. Not
 * for one of the same frequency: of a node that is gone for good everything stays, and would keep what all
 * others had then. 1: it is kept for that, -1: one cannot be read. */
static int kept_by_set(struct backup_list *list, const struct frequency_item *items, size_t i, struct err *e)
{
    for (size_t j = 0; of_cluster(&list->v[i]) && j < list->n; j++) {
        struct backup *b = &list->v[j];
        if (items[j].drop || items[j].slot != items[i].slot || items[j].node == items[i].node ||
            items[j].frequency <= items[i].frequency || !b->has_manifest)
            continue;
        if (backup_load(b, e) != 0 || refuse_broken(b, e) != 0)
            return -1;
        if (of_cluster(b))
            return 1;
    }
    return 0;
}

static int keep_sets(struct backup_list *list, const struct frequency_item *items, bool *go, struct err *e)
{
    for (size_t i = 0; i < list->n; i++) {
        int rc = go[i] && items[i].drop ? kept_by_set(list, items, i, e) : 0;
        if (rc < 0)
            return -1;
        go[i] = go[i] && rc == 0;
    }
    return 0;
}

static int load_without_manifest(struct backup_list *list, struct err *e)
{
    for (size_t i = 0; i < list->n; i++)
        if (!list->v[i].has_manifest && backup_load(&list->v[i], e) != 0)
            return -1;
    return 0;
}

static const struct backup *same_entry(const struct backup_list *list, const struct backup *b)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].has_manifest && list->v[i].frequency == b->frequency &&
            strcmp(list->v[i].stem, b->stem) == 0)
            return &list->v[i];
    return NULL;
}

/* Another task may have made a delta of one of them since the folder was read: the data of that one stays, as
 * long as the delta does. Their manifests are gone by now, and a writer whose bases have lost theirs takes
 * its delta back (efs/repo/publish.c): so either it sees that, or we see its delta. */
static int keep_data(const char *base, const char *folder, const struct backup_list *before, bool *go,
                     struct err *e)
{
    cleanup_backup_list struct backup_list now = {0};
    if (backup_list_folder(base, folder, &now, e) != 0)
        return -1;
    for (size_t j = 0; j < now.n; j++) {
        struct backup *b = &now.v[j];
        if (!b->has_manifest || !ruler_is_delta(b) || same_entry(before, b))
            continue;
        if (backup_load(b, e) != 0)
            return -1;
        for (size_t i = 0; i < before->n; i++)
            go[i] = go[i] && !ruler_needs(b, &before->v[i]);
    }
    return 0;
}

/* Has somebody pinned one of them since the folder was read? Then that stays, and what it is made of. */
static int keep_pinned(const char *base, const char *folder, struct backup_list *list, const struct prune *p,
                       bool *go, struct err *e)
{
    bool refreshed[FREQUENCY_COUNT] = {false}, any = false;
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        char rel[NAME_MAX * 2 + 32];
        if (!go[i])
            continue;
        (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text(b->frequency), folder);
        if (!refreshed[b->frequency])
            files_refresh(base, rel);
        refreshed[b->frequency] = true;
        go[i] = !pin_there(b);
        any = any || !go[i];
    }
    return any ? keep_bases(list, p, go, e) : 0;
}

/* Of wholes that were deltas: theirs would lie there as data that lost its manifest. */
static int delete_deltas(const char *base, const char *folder, const struct backup_list *before,
                         const bool *go, struct err *e)
{
    cleanup_backup_list struct backup_list now = {0};
    bool listed = false;
    for (size_t i = 0; i < before->n; i++) {
        const struct backup *b = &before->v[i];
        if (!go[i] || !b->has_manifest || !b->m.compacted)
            continue;
        if (!listed && backup_list_folder(base, folder, &now, e) != 0)
            return -1;
        listed = true;
        if (sweep_was_delta(&now, b, e) != 0)
            return -1;
    }
    return 0;
}

/* All manifests first: from then on nobody makes a delta of one of them. */
static int delete_all(const char *base, const char *folder, struct backup_list *list, bool *go,
                      const struct prune *p, struct err *e)
{
    bool may_be_bases = false;
    if (!p->dry_run && keep_pinned(base, folder, list, p, go, e) != 0)
        return -1;
    for (size_t i = list->n; i > 0; i--) { /* newest first: what is made of others before these */
        const struct backup *b = &list->v[i - 1];
        if (!go[i - 1])
            continue;
        if (!p->dry_run && remove_manifest(b, e) != 0)
            return -1;
        may_be_bases = may_be_bases || b->m.recipe.size > 0;
        if (p->gone)
            p->gone(b, p->arg);
    }
    if (p->dry_run)
        return 0;
    if (may_be_bases && keep_data(base, folder, list, go, e) != 0)
        return -1;
    for (size_t i = list->n; i > 0; i--)
        if (go[i - 1] && remove_data(&list->v[i - 1], e) != 0)
            return -1;
    return delete_deltas(base, folder, list, go, e);
}

/* What retention lets go, and what crashed writers left, but for what a set or a delta that stays needs. */
static int choose(struct backup_list *list, const struct prune *p, bool *go, struct err *e)
{
    struct sweep_clock clock = {.ask = !p->dry_run};
    cleanup_free struct frequency_item *items = calloc(list->n + 1, sizeof *items);
    if (!items)
        return err_set(e, ENOMEM, "cannot choose what to prune", NULL, NULL);
    if (decide(list, p->retention, items, e) != 0)
        return -1;
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *b = &list->v[i];
        go[i] = (b->has_manifest ? items[i].drop : leftover(b, &items[i], items, list->n, &clock)) &&
                (!p->may || p->may(b, p->arg));
        if (go[i] && b->pinned && b->has_manifest) {
            go[i] = false;
            if (p->pinned)
                p->pinned(b, p->arg);
        }
    }
    return keep_sets(list, items, go, e) != 0 ? -1 : keep_bases(list, p, go, e);
}

int backup_prune(const char *base, const char *folder, const struct prune *p, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    struct sweep_clock clock = {.ask = !p->dry_run};
    bool sweep = !p->dry_run && !p->no_sweep;
    if (sweep && sweep_folder(base, folder, &clock, e) != 0)
        return -1;
    if (backup_list_folder(base, folder, &list, e) != 0 || load_without_manifest(&list, e) != 0 ||
        (sweep && sweep_beside(&list, &clock, e) != 0))
        return -1;
    cleanup_free bool *go = calloc(list.n + 1, sizeof *go);
    if (!go)
        return err_set(e, ENOMEM, "cannot prune", base, NULL);
    return choose(&list, p, go, e) != 0 ? -1 : delete_all(base, folder, &list, go, p, e);
}
