/* Pruning: never the last good one, manifest first, then the data. */
#include "common/cleanup.h"
#include "common/files.h"
#include "efs/store.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { ABANDONED = 86400 }; /* a writer that has not touched its file for a day is gone */

static void list_free(struct entries *l) { entries_free(l); }

static struct tier_item *select_items(const struct entries *list, const struct retention *r, struct err *e)
{
    struct tier_item *items = calloc(list->n + 1, sizeof *items);
    if (!items)
        return (void)err_set(e, ENOMEM, "cannot prune", NULL, NULL), NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *en = &list->v[i];
        items[i] = (struct tier_item){.tier = en->tier, .slot = en->m.slot,
                                      .good = en->state == ENTRY_COMPLETE || en->state == ENTRY_UNREAD};
    }
    retention_select(r, items, list->n);
    return items;
}

static bool any_drop(const struct tier_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].drop)
            return true;
    return false;
}

static bool by_name_only(enum tier t, time_t slot, const void *arg)
{
    (void)t, (void)slot, (void)arg;
    return false;
}

static int gone(const char *dir, const char *name, const char *suffix, struct err *e)
{
    char full[600], path[PATH_MAX];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    if (files_join(path, sizeof path, dir, full, e) != 0)
        return -1;
    /* ENOENT: done already, maybe by our own retried RPC (no reply cache on EFS). */
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, "check who may write to EFS");
    return 0;
}

static int delete_entry(const struct backup *en, struct err *e)
{
    if (gone(en->dir, en->stem, ".json", e) != 0)
        return -1;
    if (files_sync_dir(en->dir, e) != 0)
        return -1;
    return *en->data && (gone(en->dir, en->data, ".sha256", e) != 0 || gone(en->dir, en->data, "", e) != 0) ? -1 : 0;
}

/* A partial file of a process of this host that is no more, or of anyone after a day. */
static bool abandoned(int dirfd, const char *name)
{
    char host[65] = "", mine[100];
    struct stat st;
    if (gethostname(host, sizeof host - 1) == 0) {
        int n = snprintf(mine, sizeof mine, ".partial-%s-", host);
        if (n > 0 && strncmp(name, mine, (size_t)n) == 0) {
            long pid = strtol(name + n, NULL, 10);
            if (pid > 0 && pid != getpid() && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
                return true;
        }
    }
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > ABANDONED;
}

static int sweep(const char *base, const char *folder, enum tier t, struct err *e)
{
    char rel[600], dir[PATH_MAX];
    (void)snprintf(rel, sizeof rel, "%s/%s", tier_text(t), folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot list", dir, NULL);
    for (struct dirent *de; (de = readdir(d));)
        if (strncmp(de->d_name, ".partial-", 9) == 0 && abandoned(dirfd(d), de->d_name) &&
            gone(dir, de->d_name, "", e) != 0)
            return -1;
    return 0;
}

int store_prune(const char *base, const char *folder, const struct retention *r, bool dry_run, store_pruned *on,
                void *arg, struct err *e)
{
    __attribute__((cleanup(list_free))) struct entries list = {0};
    for (int t = 0; !dry_run && t < TIER_COUNT; t++)
        if (sweep(base, folder, (enum tier)t, e) != 0)
            return -1;
    if (store_list(base, folder, by_name_only, NULL, &list, e) != 0)
        return -1;
    cleanup_free struct tier_item *quick = select_items(&list, r, e);
    if (!quick || !any_drop(quick, list.n))
        return quick ? 0 : -1;
    entries_free(&list);
    if (store_list(base, folder, NULL, NULL, &list, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n; i++)
        if (list.v[i].state == ENTRY_CORRUPT)
            return err_set(e, 0, list.v[i].reason, NULL, "nothing is pruned in this folder until it is moved away");
    cleanup_free struct tier_item *items = select_items(&list, r, e);
    if (!items)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        /* Data without a manifest may be another task's, about to be finished. */
        if (!items[i].drop || !list.v[i].has_manifest)
            continue;
        if (!dry_run && delete_entry(&list.v[i], e) != 0)
            return -1;
        if (on)
            on(&list.v[i], arg);
    }
    return 0;
}
