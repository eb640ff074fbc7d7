#include "efs/repo/sweep.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "efs/repo/pin.h"
#include "efs/repo/remove.h"
#include "efs/repo/ruler.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RESTARTED = 600 }; /* a live writer of this host has touched its file in that time */

bool sweep_older(const struct stat *st, time_t limit, const char *dir, struct sweep_clock *c)
{
    struct err ignored;
    time_t now = time(NULL);
    if (now - st->st_mtime <= limit)
        return false;
    if (c->ask && !c->known)
        c->known = files_server_time(dir, &c->now, &ignored) == 0;
    return c->known ? c->now - st->st_mtime > limit : !c->ask;
}

static bool abandoned(int dirfd, const char *dir, const char *name, struct sweep_clock *c)
{
    struct stat st;
    if (files_partial_orphan(name))
        return true;
    time_t limit = files_partial_before_restart(name) ? RESTARTED : SWEEP_ABANDONED;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && sweep_older(&st, limit, dir, c);
}

/* The receipt of a second target whose backup was pruned or moved away. */
static bool lone_receipt(int dirfd, const char *dir, const char *name, struct sweep_clock *c)
{
    char data[NAME_MAX + 1];
    struct stat st;
    size_t n = strlen(name);
    if (n < 4 || strcmp(name + n - 3, ".s3") != 0 || name[0] == '.')
        return false;
    (void)snprintf(data, sizeof data, "%.*s", (int)(n - 3), name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && sweep_older(&st, SWEEP_ABANDONED, dir, c) &&
           fstatat(dirfd, data, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

/* The signature of a manifest that was pruned by an older program, moved away, or never written. */
static bool lone_signature(int dirfd, const char *dir, const char *name, struct sweep_clock *c)
{
    char manifest[NAME_MAX + 8];
    struct stat st;
    size_t n = text_stem(name, ".json" SIGNATURE_SUFFIX);
    if (n == 0)
        n = text_stem(name, ".json" SIGNATURE_NEXT);
    if (n == 0 || name[0] == '.')
        return false;
    (void)snprintf(manifest, sizeof manifest, "%.*s.json", (int)n, name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && sweep_older(&st, SWEEP_ABANDONED, dir, c) &&
           fstatat(dirfd, manifest, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

/* A pin or a note whose backup was pruned by an older program, or moved away. */
static bool lone_pin(int dirfd, const char *dir, const char *name, struct sweep_clock *c)
{
    char manifest[NAME_MAX + 8];
    struct stat st;
    size_t n;
    bool pin;
    if (!pin_is_name(name, &n, &pin))
        return false;
    (void)snprintf(manifest, sizeof manifest, "%.*s.json", (int)n, name);
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && sweep_older(&st, SWEEP_ABANDONED, dir, c) &&
           fstatat(dirfd, manifest, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static int sweep_one(const char *base, const char *folder, enum frequency t, struct sweep_clock *c,
                     struct err *e)
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

int sweep_folder(const char *base, const char *folder, struct sweep_clock *c, struct err *e)
{
    for (int t = 0; t < FREQUENCY_COUNT; t++)
        if (sweep_one(base, folder, (enum frequency)t, c, e) != 0)
            return -1;
    return 0;
}

/* Is a delta of that list made of `name`, which lies beside `b`, or may one be that cannot be read now? */
static bool is_needed(struct backup_list *list, const struct backup *b, const char *name)
{
    struct backup as = *b;
    struct err ignored;
    (void)snprintf(as.data, sizeof as.data, "%s", name);
    for (size_t i = 0; i < list->n; i++) {
        struct backup *delta = &list->v[i];
        if (delta->has_manifest && ruler_may_need(delta, &as) &&
            (backup_load(delta, &ignored) != 0 || backup_broken(delta) || ruler_needs(delta, &as)))
            return true;
    }
    return false;
}

/* Opened: an NFS client then asks the server for its time. */
static bool is_old(const struct backup *b, const char *name, struct sweep_clock *c)
{
    const struct stat manifest = {.st_mtime = b->written};
    char path[PATH_MAX];
    struct stat st;
    if (files_join(path, sizeof path, b->dir, name, NULL) != 0)
        return false;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           sweep_older(&st, SWEEP_ABANDONED, b->dir, c) && sweep_older(&manifest, SWEEP_ABANDONED, b->dir, c);
}

/* Whoever makes a whole of it now may take what lies there (efs/repo/compact.c), which he touches first. */
static bool is_beside_still(const struct backup *b, const char *name, struct sweep_clock *c)
{
    struct backup again = {.frequency = b->frequency, .dir = b->dir, .m = {.source = b->m.source}};
    struct err ignored;
    memcpy(again.stem, b->stem, sizeof again.stem);
    bool still =
        backup_load(&again, &ignored) == 0 && again.state == ENTRY_COMPLETE && strcmp(again.data, name) != 0;
    free(again.reason);
    return still && is_old(&again, name, c);
}

int sweep_was_delta(struct backup_list *list, const struct backup *b, struct err *e)
{
    char name[NAME_MAX + 1];
    for (unsigned next = 0; b->m.compacted && backup_beside(b, &next, name);)
        if (text_ends(name, ".snapshot.delta") && !is_needed(list, b, name) &&
            remove_data_file(b->dir, name, e) != 0)
            return -1;
    return 0;
}

int sweep_beside(struct backup_list *list, struct sweep_clock *c, struct err *e)
{
    for (size_t i = 0; i < list->n; i++) {
        struct backup *b = &list->v[i];
        char name[NAME_MAX + 1];
        struct err ignored;
        if (!b->has_manifest || !backup_has_beside(b) || backup_load(b, &ignored) != 0 ||
            b->state != ENTRY_COMPLETE)
            continue;
        for (unsigned next = 0; backup_beside(b, &next, name);)
            if (is_old(b, name, c) && !is_needed(list, b, name) && is_beside_still(b, name, c) &&
                remove_data_file(b->dir, name, e) != 0)
                return -1;
    }
    return 0;
}
