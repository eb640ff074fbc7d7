/* Pruning: never the last good one, manifest first, then the data. */
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "efs/repo/remove.h"
#include "efs/repo/backup.h"
#include "efs/repo/pin.h"
#include "efs/repo/ruler.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    RESTARTED = 600,   /* a live writer of this host has touched its file in that time */
    ABANDONED = 86400, /* a writer that has not touched its file for a day is gone */
};

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

/* The clock of EFS's server, by which files have their times: ours may run ahead, and another task's file,
 * which it has just begun, would look abandoned. */
struct clock {
    bool known, ask; /* nothing is written to ask it in a dry run */
    time_t now;
};

static bool older(const struct stat *st, time_t limit, const char *dir, struct clock *c)
{
    struct err ignored;
    time_t now = time(NULL);
    if (now - st->st_mtime <= limit)
        return false;
    if (c->ask && !c->known)
        c->known = files_server_time(dir, &c->now, &ignored) == 0;
    return c->known ? c->now - st->st_mtime > limit : !c->ask;
}

/* Data without a manifest: it may be another task's, about to be finished, or have lost its manifest on the
 * way to a second Region. It goes after a day, if a newer good backup is there. */
static bool leftover(const struct backup *b, const struct frequency_item *own,
                     const struct frequency_item *items, size_t n, struct clock *c)
{
    char path[PATH_MAX];
    struct stat st;
    size_t i = 0;
    if (b->state != ENTRY_INCOMPLETE || b->has_manifest || !*b->data)
        return false;
    while (i < n && !(items[i].newest && items[i].frequency == own->frequency && items[i].node == own->node))
        i++;
    return i < n && items[i].slot > b->m.slot && files_join(path, sizeof path, b->dir, b->data, NULL) == 0 &&
           stat(path, &st) == 0 && older(&st, ABANDONED, b->dir, c);
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

static bool abandoned(int dirfd, const char *dir, const char *name, struct clock *c)
{
    struct stat st;
    if (files_partial_orphan(name))
        return true;
    time_t limit = files_partial_before_restart(name) ? RESTARTED : ABANDONED;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && older(&st, limit, dir, c);
}

/* The receipt of a second target whose backup was pruned or moved away. */
static bool lone_receipt(int dirfd, const char *dir, const char *name, struct clock *c)
{
    char data[NAME_MAX + 1];
    struct stat st;
    size_t n = strlen(name);
    if (n < 4 || strcmp(name + n - 3, ".s3") != 0 || name[0] == '.')
        return false;
    (void)snprintf(data, sizeof data, "%.*s", (int)(n - 3), name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && older(&st, ABANDONED, dir, c) &&
           fstatat(dirfd, data, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

/* The signature of a manifest that was pruned by an older program, moved away, or never written. */
static bool lone_signature(int dirfd, const char *dir, const char *name, struct clock *c)
{
    static const char tail[] = ".json" SIGNATURE_SUFFIX;
    char manifest[NAME_MAX + 1];
    struct stat st;
    size_t n = strlen(name), m = sizeof tail - 1;
    if (n <= m || strcmp(name + n - m, tail) != 0 || name[0] == '.')
        return false;
    (void)snprintf(manifest, sizeof manifest, "%.*s", (int)(n - strlen(SIGNATURE_SUFFIX)), name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && older(&st, ABANDONED, dir, c) &&
           fstatat(dirfd, manifest, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

/* A pin or a note whose backup was pruned by an older program, or moved away. */
static bool lone_pin(int dirfd, const char *dir, const char *name, struct clock *c)
{
    char manifest[NAME_MAX + 8];
    struct stat st;
    size_t n;
    bool pin;
    if (!pin_is_name(name, &n, &pin))
        return false;
    (void)snprintf(manifest, sizeof manifest, "%.*s.json", (int)n, name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && older(&st, ABANDONED, dir, c) &&
           fstatat(dirfd, manifest, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static int sweep(const char *base, const char *folder, enum frequency t, struct clock *c, struct err *e)
{
    char rel[NAME_MAX * 2 + 32], dir[PATH_MAX];
    (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text(t), folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot list", dir, NULL);
    for (struct dirent *de; (de = readdir(d));) {
        bool partial = strncmp(de->d_name, FILES_PARTIAL, strlen(FILES_PARTIAL)) == 0;
        if ((partial ? abandoned(dirfd(d), dir, de->d_name, c)
                     : lone_receipt(dirfd(d), dir, de->d_name, c) ||
                           lone_signature(dirfd(d), dir, de->d_name, c) ||
                           lone_pin(dirfd(d), dir, de->d_name, c)) &&
            remove_file(dir, de->d_name, "", e) != 0)
            return -1;
    }
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
    return 0;
}

/* What retention lets go, and what crashed writers left, but for what a set or a delta that stays needs. */
static int choose(struct backup_list *list, const struct prune *p, bool *go, struct err *e)
{
    struct clock clock = {.ask = !p->dry_run};
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
    struct clock clock = {.ask = !p->dry_run};
    for (int t = 0; !p->dry_run && !p->no_sweep && t < FREQUENCY_COUNT; t++)
        if (sweep(base, folder, (enum frequency)t, &clock, e) != 0)
            return -1;
    if (backup_list_folder(base, folder, &list, e) != 0 || load_without_manifest(&list, e) != 0)
        return -1;
    cleanup_free bool *go = calloc(list.n + 1, sizeof *go);
    if (!go)
        return err_set(e, ENOMEM, "cannot prune", base, NULL);
    return choose(&list, p, go, e) != 0 ? -1 : delete_all(base, folder, &list, go, p, e);
}
