#include "efs/repo/forget.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "efs/repo/index_tsv.h"
#include "efs/repo/remove.h"
#include "efs/repo/ruler.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The first error is kept, and the rest is done. */
static int worse(int before, int rc, const struct err *why, struct err *e)
{
    if (rc != 0 && before == 0)
        *e = *why;
    return before != 0 ? before : rc;
}

/* What cannot be made out is of whoever its name says; without a name of a node, of every node. */
static bool concerns(const struct forget *f, const struct backup *b)
{
    const char *node = b->m.node[0] ? b->m.node : b->m.source.peer;
    if (f->node && strcmp(node, f->node) != 0 && strcmp(b->m.source.peer, f->node) != 0)
        return false;
    return !f->until || !b->m.content.sha256[0] || b->m.created <= f->until;
}

/* Without ".upload" behind it, which ours is: such as Qdrant names a snapshot, with its time at the end? Of a
 * shard and of the whole storage alike. */
static bool is_stem(const char *name, size_t n)
{
    char path[NAME_MAX + 32];
    struct source source;
    if (n > 7 && strncmp(name + n - 7, ".upload", 7) == 0)
        n -= 7;
    (void)snprintf(path, sizeof path, "c/%.*s.snapshot", (int)n, name);
    return name_source(path, &source) == NAME_SOURCE && source.taken != 0;
}

/* The names of files that our programs write; a listing of backups has seen those with data or a manifest. */
static bool is_ours(const char *name)
{
    static const char *const tail[] = {".snapshot.delta.sha256",
                                       ".snapshot.zst.sha256",
                                       ".snapshot.sha256",
                                       ".snapshot.delta.s3",
                                       ".snapshot.zst.s3",
                                       ".snapshot.s3",
                                       ".snapshot.delta",
                                       ".snapshot.zst",
                                       ".snapshot",
                                       ".json.sig.next",
                                       ".json.sig",
                                       ".json",
                                       ".pin",
                                       ".note"};
    if (strncmp(name, FILES_PARTIAL, strlen(FILES_PARTIAL)) == 0)
        return true;
    for (size_t i = 0; i < sizeof tail / sizeof *tail; i++)
        if (text_ends(name, tail[i]))
            return is_stem(name, strlen(name) - strlen(tail[i]));
    return false;
}

/* By its manifest, or where that cannot be made out by its name. */
static bool is_our_backup(const struct backup *b)
{
    return b->m.content.sha256[0] || is_stem(b->stem, strlen(b->stem));
}

static void leave(const struct forget *f, const char *path, const char *why)
{
    if (f->left)
        f->left(path, why, f->arg);
}

/* Told, and true, when one that stays is made of it. */
static bool stays_for_others(const struct forget *f, struct backup_list *list, const struct backup *b)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < list->n; i++) {
        struct backup *other = &list->v[i];
        if (!ruler_may_need(other, b))
            continue;
        bool unread = backup_load(other, NULL) != 0; /* then it may be */
        if (unread ? !f->node && !f->until : concerns(f, other) || !ruler_needs(other, b))
            continue;
        if (files_join(path, sizeof path, b->dir, b->data, NULL) == 0)
            leave(f, path, "what newer backups that stay are made of; forget once more when these are gone");
        return true;
    }
    return false;
}

/* What lay beside its data, and was it before (efs/repo/compact.h). */
static int remove_beside(const struct forget *f, struct backup_list *list, const struct backup *b,
                         struct err *e)
{
    struct backup as = *b;
    char name[NAME_MAX + 1];
    for (unsigned next = 0; backup_beside(b, &next, name);) {
        (void)snprintf(as.data, sizeof as.data, "%s", name);
        if (!stays_for_others(f, list, &as) && remove_data_file(b->dir, name, e) != 0)
            return -1;
    }
    return 0;
}

static int forget_folder_backups(const struct forget *f, const char *folder, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    int rc = 0;
    if (backup_list_folder(f->base, folder, &list, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        struct backup *b = &list.v[i];
        struct err why = {0};
        /* One that cannot be read is deleted as well when all of them are. */
        int loaded = backup_load(b, &why);
        if (loaded == 0 && !is_our_backup(b))
            continue; /* the sweep tells of it */
        if (loaded != 0 && (f->node || f->until)) {
            rc = worse(rc, -1, &why, e);
            continue;
        }
        if (!concerns(f, b) || stays_for_others(f, &list, b))
            continue;
        if (f->gone)
            f->gone(b, f->arg);
        if (!f->dry_run)
            rc = worse(rc, remove_backup(b, &why), &why, e);
        if (!f->dry_run)
            rc = worse(rc, remove_beside(f, &list, b, &why), &why, e);
    }
    return rc;
}

/* One file or folder of a collection's folder, after its backups are gone. `others`: backups of other nodes,
 * or newer ones, stay there, so that only what no backup has is deleted. */
static int sweep_one(const struct forget *f, int dirfd, const char *dir, const char *name, bool others,
                     struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot look at", path, NULL);
    if (S_ISDIR(st.st_mode) && name_is_shard(name))
        return 0; /* in its turn */
    if (!S_ISREG(st.st_mode) || !is_ours(name))
        return others ? 0 : (leave(f, path, S_ISREG(st.st_mode) ? "no file of ours" : "no file"), 0);
    if (others && strncmp(name, FILES_PARTIAL, strlen(FILES_PARTIAL)) != 0)
        return 0;
    if (f->dry_run || unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    return err_set(e, errno, "cannot delete", path, "check who may write to EFS");
}

static int sweep(const struct forget *f, const char *folder, enum frequency t, bool others, struct err *e)
{
    char rel[NAME_MAX * 2 + 32], dir[PATH_MAX];
    struct stat st;
    int rc = 0;
    (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text(t), folder);
    if (files_join(dir, sizeof dir, f->base, rel, e) != 0)
        return -1;
    files_refresh(f->base, rel);
    if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
        return leave(f, dir, "a link"), 0;
    cleanup_dir DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot list", dir, "check who owns it");
    for (struct dirent *de; (de = readdir(d));) {
        struct err why = {0};
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            rc = worse(rc, sweep_one(f, dirfd(d), dir, de->d_name, others, &why), &why, e);
    }
    if (!f->dry_run && rmdir(dir) != 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        return err_set(e, errno, "cannot delete", dir, NULL);
    return rc;
}

/* Are there backups that stay? */
static int stays(const struct forget *f, const char *folder, bool *any, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    *any = false;
    if (backup_list_folder(f->base, folder, &list, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n && !*any; i++)
        *any = list.v[i].has_manifest && backup_load(&list.v[i], e) == 0 && is_our_backup(&list.v[i]) &&
               (!f->dry_run || !concerns(f, &list.v[i]));
    return 0;
}

static int forget_folder(const struct forget *f, const char *folder, struct err *e)
{
    struct err why = {0};
    bool others = false;
    int rc = worse(0, forget_folder_backups(f, folder, &why), &why, e);
    rc = worse(rc, stays(f, folder, &others, &why), &why, e);
    for (int t = 0; rc == 0 && t < FREQUENCY_COUNT; t++)
        rc = worse(rc, sweep(f, folder, (enum frequency)t, others, &why), &why, e);
    if (!f->dry_run) /* it still names what is gone; that of those which stay is written anew */
        rc = worse(rc, index_tsv_remove(f->base, folder, &why), &why, e);
    return rc;
}

/* A collection's folder in a tier may be somebody's link to elsewhere: what is there is not ours to delete.
 */
static bool is_link(const struct forget *f, const char *folder)
{
    char rel[NAME_MAX * 2 + 32], dir[PATH_MAX];
    struct stat st;
    bool link = false;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text((enum frequency)t), folder);
        if (files_join(dir, sizeof dir, f->base, rel, NULL) == 0 && lstat(dir, &st) == 0 &&
            S_ISLNK(st.st_mode)) {
            leave(f, dir, "a link");
            link = true;
        }
    }
    return link;
}

static bool is_of(const char *folder, const char *escaped)
{
    size_t n = strlen(escaped);
    return strncmp(folder, escaped, n) == 0 && (!folder[n] || folder[n] == '/');
}

int forget_backups(const struct forget *f, struct err *e)
{
    char escaped[NAME_MAX + 1], **folders = NULL;
    size_t n = 0;
    int rc = 0;
    (void)snprintf(escaped, sizeof escaped, "%%storage");
    if (!f->storage && !name_escape(f->collection, escaped, sizeof escaped))
        return err_set(e, EINVAL, "no collection can have this name:", f->collection, NULL);
    if (backup_folders(f->base, &folders, &n, e) != 0)
        return -1;
    if (is_link(f, escaped))
        rc = err_set(e, 0, "a folder is a link, and nothing of this collection was deleted in", f->base,
                     "delete the link");
    for (size_t i = n; i > 0 && rc == 0; i--) { /* shards first: they are folders in the collection's */
        struct err why = {0};
        if (is_of(folders[i - 1], escaped))
            rc = worse(rc, forget_folder(f, folders[i - 1], &why), &why, e);
    }
    backup_folders_free(folders, n);
    return rc;
}

int forget_one(const char *base, const struct manifest *m, struct err *e)
{
    char folder[NAME_MAX * 2], rel[NAME_MAX * 2 + 32], dir[PATH_MAX];
    struct backup b = {.frequency = m->frequency, .dir = dir};
    if (!name_folder(&m->source, folder, sizeof folder))
        return err_set(e, EINVAL, "no place for", m->source.stem, NULL);
    (void)snprintf(rel, sizeof rel, "%s/%s", frequency_text(m->frequency), folder);
    if (files_join(dir, sizeof dir, base, rel, e) != 0)
        return -1;
    name_stored(m->source.stem, b.stem);
    memcpy(b.data, m->data, sizeof b.data);
    return remove_backup(&b, e);
}
