#include "replicator/restore/plan.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/log.h"
#include "common/base/text.h"
#include "efs/repo/mount.h"
#include "efs/repo/readers.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { OLD_SECONDS = 2 * 86400, LOOK_AT_MOST = 8 };

/* --- the tree */

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_tree(const char *path)
{
    char frequency[PATH_MAX];
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (files_join(frequency, sizeof frequency, path, frequency_text((enum frequency)t), NULL) == 0 &&
            is_folder(frequency))
            return true;
    return false;
}

static bool is_bare(const char *path)
{
    cleanup_dir DIR *d = opendir(path);
    for (const struct dirent *de; d && (de = readdir(d));)
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            return false;
    return true;
}

/* An empty folder that nothing is mounted at is most likely a mount point without its mount. A kernel before
 * 5.8 does not say: then it counts as one. */
static bool is_unmounted(const char *root)
{
    struct statx st;
    return !mount_on_network(root, NULL) && statx(AT_FDCWD, root, 0, STATX_TYPE, &st) == 0 &&
           !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT) && is_bare(root);
}

bool restore_plan_on_efs(const struct settings *s, const char *storage)
{
    size_t n = strlen(s->efs_root);
    return (strncmp(storage, s->efs_root, n) == 0 && (!storage[n] || storage[n] == '/')) ||
           mount_on_network(storage, NULL);
}

static enum plan_outcome later(struct err *e, int code, const char *what, const char *path,
                               const char *advice)
{
    (void)err_set(e, code, what, path, advice);
    return PLAN_LATER;
}

static bool has_backups(const char *tree)
{
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        char frequency[PATH_MAX];
        if (files_join(frequency, sizeof frequency, tree, frequency_text((enum frequency)t), NULL) == 0 &&
            is_folder(frequency) && !is_bare(frequency))
            return true;
    }
    return false;
}

/* Adds to `out` the trees with backups at `path`, and `levels` folders further down. */
static void name_trees(const char *path, int levels, char *out, size_t size)
{
    cleanup_dir DIR *d = opendir(path);
    for (const struct dirent *de; d && (de = readdir(d));) {
        char below[PATH_MAX];
        size_t n = strlen(out);
        if (de->d_name[0] == '.' || files_join(below, sizeof below, path, de->d_name, NULL) != 0 ||
            !is_folder(below))
            continue;
        if (strchr(de->d_name, '-') && has_backups(below))
            (void)snprintf(out + n, size - n, "%s%s", n ? ", " : "", below);
        else if (levels > 0)
            name_trees(below, levels - 1, out, size);
    }
}

/* This node has no backups. A TIER that is mistyped, or an EFS_ROOT one folder off, looks like a first start:
 * the trees that are there are named. */
static void note_others(const struct settings *s, struct restore_roots *t)
{
    char trees[PATH_MAX] = "";
    name_trees(s->efs_root, 1, trees, sizeof trees);
    if (has_backups(s->efs_root))
        (void)snprintf(t->note, sizeof t->note,
                       "no backups below %.2000s, but EFS_ROOT is such a tree itself: the node starts empty; "
                       "is EFS_ROOT the folder above it?",
                       s->base);
    else if (*trees)
        (void)snprintf(t->note, sizeof t->note,
                       "no backups below %.2000s (trees there: %.4000s): the node starts empty; are TIER and "
                       "EFS_ROOT right?",
                       s->base, trees);
}

/* EFS is there, and this node has no backups on it. Are there some of the same TIER for another processor? A
 * task definition that changed its processor would start empty, and say that all is well. */
static enum plan_outcome no_backups(const struct settings *s, struct err *e)
{
    char path[PATH_MAX], what[PATH_MAX + 200], advice[PATH_MAX + 200];
    size_t n = strlen(s->tier);
    cleanup_dir DIR *d = opendir(s->efs_root);
    if (!d)
        return later(e, errno, "cannot list", s->efs_root, "check who owns it");
    for (const struct dirent *de; (de = readdir(d));) {
        if (strncmp(de->d_name, s->tier, n) != 0 || de->d_name[n] != '-' ||
            files_join(path, sizeof path, s->efs_root, de->d_name, NULL) != 0 || !has_backups(path))
            continue;
        (void)snprintf(what, sizeof what,
                       "there are no backups for CPU_ARCH=%s, but some of the same TIER in %s", s->cpu_arch,
                       path);
        (void)snprintf(advice, sizeof advice,
                       "RESTORE_FROM=%s restores those; RESTORE_ON_EMPTY=never lets the node start empty",
                       path);
        return later(e, 0, what, NULL, advice);
    }
    return PLAN_EMPTY;
}

/* EFS_ROOT is there, and has no tree of ours. */
static enum plan_outcome no_own_tree(const struct settings *s, const char *base, struct err *e)
{
    char advice[PATH_MAX + 200];
    if (!is_unmounted(s->efs_root))
        return PLAN_EMPTY;
    (void)snprintf(
        advice, sizeof advice,
        "mount EFS there; if it is meant to be a local folder, make %.3000s in it, and the node starts "
        "empty",
        base);
    return later(e, 0, "EFS is not mounted: an empty folder on the task's own disk is at", s->efs_root,
                 advice);
}

/* The folder `leaf` of `root`. PLAN_EMPTY: there is no such folder in a root that is there. */
static enum plan_outcome find_tree(const char *name, const char *root, const char *leaf, char base[PATH_MAX],
                                   struct err *e)
{
    struct stat st;
    if (stat(root, &st) != 0)
        return later(e, errno, name, root, "mount EFS there");
    if (!S_ISDIR(st.st_mode))
        return later(e, ENOTDIR, name, root, "mount EFS there");
    if (files_join(base, PATH_MAX, strcmp(root, "/") == 0 ? "" : root, leaf, e) != 0)
        return PLAN_LATER;
    files_refresh(root, leaf);
    int code = stat(base, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (code == 0)
        return PLAN_FOUND;
    return code == ENOENT ? PLAN_EMPTY
                          : later(e, code, "cannot use", base, "check the mount and who owns it");
}

static enum plan_outcome find_own(const struct settings *s, char base[PATH_MAX], struct err *e)
{
    enum plan_outcome outcome =
        find_tree("cannot use EFS_ROOT", s->efs_root, strrchr(s->base, '/') + 1, base, e);
    return outcome == PLAN_EMPTY ? no_own_tree(s, base, e) : outcome;
}

/* RESTORE_FROM is a root, or a tree itself. */
static enum plan_outcome find_other(const struct settings *s, const char *from, char base[PATH_MAX],
                                    struct err *e)
{
    enum plan_outcome outcome =
        find_tree("cannot use RESTORE_FROM", from, strrchr(s->base, '/') + 1, base, e);
    if (outcome != PLAN_EMPTY || !is_tree(from))
        return outcome;
    (void)snprintf(base, PATH_MAX, "%s", from);
    return PLAN_FOUND;
}

/* --- what is in it */

struct found {
    char collection[NAME_MAX + 1];
    time_t newest;
};
struct search {
    struct found *v;
    size_t n;
    bool storage; /* there are snapshots of the whole storage */
};

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->newest != y->newest ? (x->newest < y->newest ? 1 : -1) : strcmp(x->collection, y->collection);
}

static bool add(struct search *s, const char *collection, time_t newest)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].collection, collection) == 0) {
            s->v[i].newest = newest > s->v[i].newest ? newest : s->v[i].newest;
            return true;
        }
    struct found *grown = realloc(s->v, (s->n + 1) * sizeof *grown);
    if (!grown)
        return false;
    s->v = grown;
    s->v[s->n].newest = newest;
    (void)snprintf(s->v[s->n++].collection, sizeof s->v->collection, "%s", collection);
    return true;
}

bool restore_plan_is_slip(const struct err *e)
{
    return e->code == EACCES || e->code == EPERM || e->code == ENOTDIR || e->code == ELOOP;
}

/* When the newest was taken that a restore might begin with: which collection comes first decides whose an
 * alias is, and a name alone says nothing of that. Uploads come last in a restore, and so do not count. */
static int newest_taken(struct backup_list *list, time_t *newest, struct err *e)
{
    time_t now = time(NULL);
    for (size_t i = list->n, read = 0; i > 0 && read < LOOK_AT_MOST; i--) { /* oldest first in the list */
        struct backup *b = &list->v[i - 1];
        if (!b->has_manifest)
            continue;
        read++;
        if (backup_read(b, e) != 0)
            return -1;
        backup_trust(b);
        if (b->state == ENTRY_COMPLETE && !b->m.upload && !restore_beyond(b, now)) {
            *newest = restore_moment(b, now);
            return 0;
        }
    }
    return 0;
}

/* A shard's counts for its collection: somebody has to be told when there is nothing else. */
static int look(struct search *s, const char *base, const char *folder, struct err *e)
{
    char first[NAME_MAX + 1], collection[NAME_MAX + 1];
    cleanup_backup_list struct backup_list list = {0};
    time_t newest = 0;
    struct err why = {0};
    if (backup_list_folder(base, folder, &list, &why) != 0 && !restore_plan_is_slip(&why))
        return e ? (*e = why, -1) : -1;
    if (why.text[0])
        log_line(LOG_ERROR, "boot_restore_folder", "%s", why.text);
    if (name_is_storage(folder))
        return s->storage = s->storage || list.n > 0, 0;
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(folder, "/"), folder);
    bool unknown = why.text[0] && why.code != ENOTDIR;
    if ((list.n == 0 && !unknown) || !name_unescape(first, collection, sizeof collection) ||
        !text_is_utf8(collection))
        return 0;
    if (newest_taken(&list, &newest, e) != 0)
        return -1;
    return add(s, collection, newest) ? 0 : err_set(e, ENOMEM, "cannot list the backups in", base, NULL);
}

/* Each folder by itself: a thousand of them wait for EFS at the same time. */
struct looks {
    const char *base;
    char **folder;
    struct search *each;
};

static int look_at_one(size_t i, void *arg, struct err *e)
{
    const struct looks *l = arg;
    return look(&l->each[i], l->base, l->folder[i], e);
}

static int look_at_folders(struct search *s, const char *base, char **folders, size_t n, struct err *e)
{
    cleanup_free struct search *each = calloc(n + 1, sizeof *each);
    struct looks l = {.base = base, .folder = folders, .each = each};
    int rc = each ? readers_each(n, look_at_one, &l, e)
                  : err_set(e, ENOMEM, "cannot list the backups in", base, NULL);
    for (size_t i = 0; each && i < n; i++) {
        s->storage = s->storage || each[i].storage;
        if (rc == 0 && each[i].n > 0 && !add(s, each[i].v->collection, each[i].v->newest))
            rc = err_set(e, ENOMEM, "cannot list the backups in", base, NULL);
        free(each[i].v);
    }
    return rc;
}

/* One broken folder must not hold up the others; its own restore will say what is wrong. */
static void tell_folder(const struct err *why, void *arg)
{
    struct err *trouble = arg;
    if (restore_plan_is_slip(why))
        log_line(LOG_ERROR, "boot_restore_folder", "%s", why->text);
    else
        *trouble = *why;
}

static int look_at_all(struct search *s, const char *base, struct err *e)
{
    char **folders = NULL;
    size_t n = 0;
    struct err trouble = {0};
    const struct backup_faults faults = {.tell = tell_folder, .arg = &trouble};
    int rc = backup_folders_found(base, &faults, &folders, &n, e);
    if (rc == 0 && trouble.text[0]) {
        *e = trouble;
        rc = -1;
    }
    if (rc == 0)
        rc = look_at_folders(s, base, folders, n, e);
    backup_folders_free(folders, n);
    return rc;
}

/* Nothing on EFS says that a collection was deleted; its last backups stay. */
static void warn_of_old(const struct search *s)
{
    for (size_t i = 1; i < s->n; i++)
        if (s->v[i].newest < s->v[0].newest - OLD_SECONDS)
            log_line(
                LOG_WARN, "boot_restore_old",
                "the newest backup of %s is %ld days older than that of %s: it may have been deleted, and "
                "comes back; delete its folders on EFS when it must not",
                s->v[i].collection, (long)((s->v[0].newest - s->v[i].newest) / 86400), s->v[0].collection);
}

static enum plan_outcome result(struct search *s, struct marker *out, struct err *e)
{
    if (s->n == 0 && !s->storage)
        return PLAN_EMPTY;
    if (s->n == 0) {
        (void)err_set(
            e, 0,
            "there are only snapshots of the whole storage, which Qdrant restores at its own start alone",
            NULL,
            "write one to a file (qdrant-efs restore --storage-snapshot --to FILE) and start Qdrant with it");
        return PLAN_NEVER;
    }
    qsort(s->v, s->n, sizeof *s->v, newest_first);
    warn_of_old(s);
    for (size_t i = 0; i < s->n; i++)
        if (!marker_add(out, s->v[i].collection))
            return later(e, ENOMEM, "cannot plan the restore", NULL, NULL);
    return PLAN_FOUND;
}

/* --- both */

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* PLAN_EMPTY for a tree without any folder of a collection. It is asked before each collection: no more than
 * a look. */
static enum plan_outcome has_any(const char *base, struct err *e)
{
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        char frequency[PATH_MAX];
        if (files_join(frequency, sizeof frequency, base, frequency_text((enum frequency)t), e) != 0)
            return PLAN_LATER;
        files_refresh(frequency, ".");
        cleanup_dir DIR *d = opendir(frequency);
        if (!d && errno != ENOENT)
            return later(e, errno, "cannot list", frequency, "check who owns it");
        for (const struct dirent *de; d && (de = readdir(d));)
            if (de->d_name[0] != '.')
                return PLAN_FOUND;
    }
    return PLAN_EMPTY;
}

static enum plan_outcome take_own(const struct settings *s, struct restore_roots *t, struct err *e)
{
    char *base = t->base[t->n];
    enum plan_outcome outcome = find_own(s, base, e);
    if (outcome == PLAN_FOUND)
        outcome = has_any(base, e);
    if (outcome == PLAN_EMPTY && t->n == 0)
        outcome = no_backups(s, e);
    if (outcome == PLAN_EMPTY && t->n == 0)
        note_others(s, t);
    t->n += outcome == PLAN_FOUND && !(t->n > 0 && same_folder(t->base[0], base));
    return outcome;
}

static enum plan_outcome nothing_below(const char *from, struct err *e)
{
    return later(
        e, 0, "there are no backups to restore below RESTORE_FROM", from,
        "check TIER, CPU_ARCH and the mount, or name the tree itself; a replica may still be on its way");
}

/* A replica that is gone for good, or has none of ours, must not keep a node from its own backups. One that
 * is only not mounted yet may have newer ones. */
static enum plan_outcome own_alone(const struct settings *s, const char *from, bool gone,
                                   struct restore_roots *t, struct err *e)
{
    struct err ignored = {0};
    if ((gone || !is_unmounted(from)) && take_own(s, t, &ignored) == PLAN_FOUND) {
        (void)snprintf(t->note, sizeof t->note, "RESTORE_FROM %s %s: all comes back from %s", from,
                       gone ? "is not there" : "has no backups of this tree", t->base[0]);
        return PLAN_FOUND;
    }
    return gone ? PLAN_LATER : nothing_below(from, e);
}

static enum plan_outcome find_trees(const struct settings *s, const char *from, struct restore_roots *t,
                                    struct err *e)
{
    *t = (struct restore_roots){.n = 0};
    if (!*from)
        return take_own(s, t, e);
    enum plan_outcome outcome = find_other(s, from, t->base[0], e);
    if (outcome == PLAN_FOUND)
        outcome = has_any(t->base[0], e);
    if (outcome == PLAN_EMPTY)
        return own_alone(s, from, false, t, e);
    if (outcome == PLAN_LATER)
        return e->code == ENOENT && access(from, F_OK) != 0 ? own_alone(s, from, true, t, e) : PLAN_LATER;
    t->n = 1;
    return take_own(s, t, e) == PLAN_LATER ? PLAN_LATER : PLAN_FOUND;
}

enum plan_outcome restore_plan(const struct settings *s, const char *from, struct restore_roots *trees,
                               struct marker *out, struct err *e)
{
    struct search search = {0};
    enum plan_outcome outcome = find_trees(s, from, trees, e);
    if (outcome != PLAN_FOUND || !out)
        return outcome;
    for (size_t i = 0; outcome == PLAN_FOUND && i < trees->n; i++)
        if (look_at_all(&search, trees->base[i], e) != 0)
            outcome = PLAN_LATER;
    if (outcome == PLAN_FOUND)
        outcome = result(&search, out, e);
    free(search.v);
    return outcome == PLAN_EMPTY && *from ? nothing_below(from, e) : outcome;
}
