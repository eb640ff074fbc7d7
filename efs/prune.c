/* Pruning: never the last good one, manifest first, then the data. */
#include "common/cleanup.h"
#include "common/files.h"
#include "efs/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    RESTARTED = 600,   /* a live writer of this host has touched its file in that time */
    ABANDONED = 86400, /* a writer that has not touched its file for a day is gone */
};

static int load(struct backup *b, bool *changed, struct err *e)
{
    if (b->state == ENTRY_UNREAD) {
        *changed = true;
        if (store_load(b, e) != 0)
            return -1;
    }
    if (store_broken(b)) {
        char where[PATH_MAX + NAME_MAX];
        (void)snprintf(where, sizeof where, "%s/%s (%s)", b->dir, b->stem,
                       b->reason ? b->reason : "no memory");
        return err_set(e, 0, "corrupt backup", where,
                       "nothing is pruned in this folder until it is moved away");
    }
    return 0;
}

/* Decide by name, then read just what the decision rests on: those to go, and the newest of each tier that
 * are to stay in their place. What that shows may change the decision: repeat until nothing is new. */
static int decide(struct entries *list, const struct retention *r, struct tier_item *items, struct err *e)
{
    for (bool changed = true; changed;) {
        changed = false;
        store_items(list, items);
        retention_select(r, items, list->n);
        for (size_t i = 0; i < list->n; i++)
            if (items[i].drop && load(&list->v[i], &changed, e) != 0)
                return -1;
        for (int t = 0; t < TIER_COUNT; t++) {
            size_t at = retention_newest((enum tier)t, items, list->n);
            if (at < list->n && load(&list->v[at], &changed, e) != 0)
                return -1;
        }
    }
    return 0;
}

static int gone(const char *dir, const char *name, const char *suffix, struct err *e)
{
    char full[NAME_MAX + 32], path[PATH_MAX];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    if (files_join(path, sizeof path, dir, full, e) != 0)
        return -1;
    /* ENOENT: done already, maybe by our own retried RPC (no reply cache on EFS). */
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, "check who may write to EFS");
    return 0;
}

static int delete_entry(const struct backup *b, struct err *e)
{
    if (gone(b->dir, b->stem, ".json", e) != 0 || files_sync_dir(b->dir, e) != 0)
        return -1;
    return *b->data && (gone(b->dir, b->data, ".s3", e) != 0 || gone(b->dir, b->data, ".sha256", e) != 0 ||
                        gone(b->dir, b->data, "", e) != 0)
               ? -1
               : 0;
}

/* Data without a manifest: it may be another task's, about to be finished, or have lost its manifest on the
 * way to a second Region. It goes after a day, if a newer good backup is there. */
static bool leftover(const struct backup *b, const struct tier_item *items, size_t n)
{
    char path[PATH_MAX];
    struct stat st;
    size_t newest = retention_newest(b->tier, items, n);
    return b->state == ENTRY_INCOMPLETE && !b->has_manifest && *b->data && newest < n &&
           items[newest].slot > b->m.slot && files_join(path, sizeof path, b->dir, b->data, NULL) == 0 &&
           stat(path, &st) == 0 && time(NULL) - st.st_mtime > ABANDONED;
}

static int load_without_manifest(struct entries *list, struct err *e)
{
    for (size_t i = 0; i < list->n; i++)
        if (!list->v[i].has_manifest && store_load(&list->v[i], e) != 0)
            return -1;
    return 0;
}

static bool abandoned(int dirfd, const char *name)
{
    struct stat st;
    if (files_partial_orphan(name))
        return true;
    time_t limit = files_partial_before_restart(name) ? RESTARTED : ABANDONED;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > limit;
}

/* The receipt of a second target whose backup was pruned or moved away. */
static bool lone_receipt(int dirfd, const char *name)
{
    char data[NAME_MAX + 1];
    struct stat st;
    size_t n = strlen(name);
    if (n < 4 || strcmp(name + n - 3, ".s3") != 0 || name[0] == '.')
        return false;
    (void)snprintf(data, sizeof data, "%.*s", (int)(n - 3), name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > ABANDONED &&
           fstatat(dirfd, data, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static int sweep(const char *base, const char *folder, enum tier t, struct err *e)
{
    char rel[NAME_MAX * 2 + 32], dir[PATH_MAX];
    (void)snprintf(rel, sizeof rel, "%s/%s", tier_text(t), folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot list", dir, NULL);
    for (struct dirent *de; (de = readdir(d));) {
        bool partial = strncmp(de->d_name, FILES_PARTIAL, strlen(FILES_PARTIAL)) == 0;
        if ((partial ? abandoned(dirfd(d), de->d_name) : lone_receipt(dirfd(d), de->d_name)) &&
            gone(dir, de->d_name, "", e) != 0)
            return -1;
    }
    return 0;
}

int store_prune(const char *base, const char *folder, const struct prune *p, struct err *e)
{
    cleanup_entries struct entries list = {0};
    for (int t = 0; !p->dry_run && t < TIER_COUNT; t++)
        if (sweep(base, folder, (enum tier)t, e) != 0)
            return -1;
    if (store_list(base, folder, &list, e) != 0 || load_without_manifest(&list, e) != 0)
        return -1;
    cleanup_free struct tier_item *items = calloc(list.n + 1, sizeof *items);
    if (!items)
        return err_set(e, ENOMEM, "cannot prune", base, NULL);
    if (decide(&list, p->retention, items, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        const struct backup *b = &list.v[i];
        if (!(b->has_manifest ? items[i].drop : leftover(b, items, list.n)) || (p->may && !p->may(b, p->arg)))
            continue;
        if (!p->dry_run && delete_entry(b, e) != 0)
            return -1;
        if (p->gone)
            p->gone(b, p->arg);
    }
    return 0;
}
