/* Publishing: partial name, one stream, fsync, close, then the final name, fsync of the folder; then the
 * .sha256 and the manifest in the same way, last. Another task may do the same at the same time, behind
 * caches of its own: a name is only ever taken when it is free. */
#include "common/cleanup.h"
#include "common/files.h"
#include "efs/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    ABANDONED_DATA = 600, /* seconds; between its data and its manifest a writer takes a moment */
    PATIENCE = 5,
};

static time_t newest_of(const struct entries *list, const char *peer)
{
    time_t slot = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].m.slot > slot && strcmp(list->v[i].m.source.peer, peer) == 0)
            slot = list->v[i].m.slot;
    return slot;
}
static time_t oldest_of(const struct entries *list, const char *peer, time_t own)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].m.slot && list->v[i].m.slot < own && strcmp(list->v[i].m.source.peer, peer) == 0)
            own = list->v[i].m.slot;
    return own;
}

/* Does that backup speak for the node of ours? The same node's does. And on Fargate a replaced task comes
 * back with a new peer id: a peer whose last backup is older than our first was our predecessor, else each
 * deployment would make one more monthly backup. A peer that lives beside us holds other shards. */
static bool same_node(const struct entries *list, const struct backup *b, const struct manifest *m)
{
    const char *peer = b->m.source.peer, *own = m->source.peer;
    if (strcmp(b->m.node, m->node) == 0)
        return true;
    if (!*peer || !*own || strcmp(b->m.node, peer) != 0 || strcmp(m->node, own) != 0)
        return false; /* NODE_NAME was given: then it alone counts */
    return newest_of(list, peer) < oldest_of(list, own, m->slot);
}

/* Would retention let it go at once? Only what was read decides: neither a backup that may be broken nor one
 * from the future keeps a good one from being copied. */
static enum publish_outcome expired(const struct publish *p, struct entries *list, const struct manifest *m,
                                    struct tier_item *items, struct err *e)
{
    for (bool changed = true; changed;) {
        changed = false;
        store_items(list, items);
        items[list->n] = (struct tier_item){.tier = m->tier, .slot = m->slot, .good = true};
        retention_select(p->retention, items, list->n + 1);
        if (!items[list->n].drop)
            return PUBLISHED;
        for (int t = 0; t < TIER_COUNT; t++) {
            size_t at = retention_newest((enum tier)t, items, list->n);
            if (at == list->n || list->v[at].state != ENTRY_UNREAD)
                continue;
            changed = true;
            if (store_load(&list->v[at], e) != 0)
                return PUBLISH_FAILED;
        }
    }
    return PUBLISH_EXPIRED;
}

/* Sets m->tier. Returns PUBLISHED when the copy is worth while, PUBLISH_EXPIRED when it was found late, or
 * kept locally for longer than on EFS. */
static enum publish_outcome choose(const struct publish *p, struct entries *list, struct manifest *m,
                                   struct err *e)
{
    cleanup_free struct tier_item *items = calloc(list->n + 1, sizeof *items);
    if (!items)
        return err_set(e, ENOMEM, "cannot choose a tier", NULL, NULL), PUBLISH_FAILED;
    for (size_t i = 0; i < list->n; i++)
        if (tier_matters(list->v[i].tier, list->v[i].m.slot, m->slot) && store_load(&list->v[i], e) != 0)
            return PUBLISH_FAILED;
    store_items(list, items);
    for (size_t i = 0; i < list->n; i++)
        items[i].good = list->v[i].state == ENTRY_COMPLETE && same_node(list, &list->v[i], m);
    m->tier = tier_choose(m->slot, items, list->n);
    return expired(p, list, m, items, e);
}

static bool still_there(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && stat(path, &named) == 0 && open_one.st_ino == named.st_ino &&
           open_one.st_dev == named.st_dev;
}

/* Was what was read the whole file, and did nobody write to it meanwhile? */
static enum publish_outcome source_ok(const struct publish *p, int in, const struct stat *before,
                                      const struct manifest *m, struct err *e)
{
    struct stat after;
    if (!still_there(in, p->path))
        return PUBLISH_VANISHED;
    if (fstat(in, &after) != 0)
        return err_set(e, errno, "cannot look at", p->path, NULL), PUBLISH_FAILED;
    if (p->checksum && strcmp(p->checksum, m->content.sha256) != 0)
        return err_set(e, 0, "bytes differ from Qdrant's .checksum in", p->path,
                       "it is not published and not deleted; have a new snapshot made, and check the disk"),
               PUBLISH_MISMATCH;
    if (!p->checksum &&
        ((uint64_t)after.st_size != m->content.size || after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
         after.st_mtim.tv_nsec != before->st_mtim.tv_nsec))
        return err_set(e, 0, "still being written:", p->path, "it is tried again"), PUBLISH_FAILED;
    return PUBLISHED;
}

/* Copy into a partial file of `dir`; its name comes back in `partial`. */
static enum publish_outcome copy_partial(const struct publish *p, int in, const char *dir, char *partial,
                                         struct manifest *m, struct err *e)
{
    struct timespec a, b;
    struct stat before;
    if (files_partial(dir, partial, PATH_MAX, e) != 0)
        return PUBLISH_FAILED;
    if (fstat(in, &before) != 0)
        return err_set(e, errno, "cannot look at", p->path, NULL), PUBLISH_FAILED;
    cleanup_close int out = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out < 0)
        return err_set(e, errno, "cannot create", partial, "check who may write to EFS"), PUBLISH_FAILED;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    if (copy_store(in, p->path, out, partial, &p->copy, &m->content, e) != 0)
        return PUBLISH_FAILED;
    enum publish_outcome rc = source_ok(p, in, &before, m, e);
    if (rc != PUBLISHED)
        return rc;
    if (files_sync_close(&out, partial, e) != 0)
        return PUBLISH_FAILED;
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    m->seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    return PUBLISHED;
}

/* A good backup of that name is there: is it this one? */
static enum publish_outcome compare(const struct publish *p, int in, const struct backup *b,
                                    struct manifest *m, struct err *e)
{
    struct copy_result r;
    const char *hash = p->checksum ? p->checksum : p->known;
    if (!hash) {
        if (copy_check(in, p->path, -1, false, NULL, &r, e) != 0)
            return PUBLISH_FAILED;
        hash = r.sha256;
    }
    if (strcmp(hash, b->m.content.sha256) != 0) {
        char both[PATH_MAX * 2];
        (void)snprintf(both, sizeof both, "%s, backup %s/%s", p->path, b->dir, b->data);
        return err_set(e, 0, "EFS has a different snapshot of this name:", both,
                       "nothing was overwritten; move one of the two away"),
               PUBLISH_CONFLICT;
    }
    *m = b->m;
    return PUBLISH_SAME;
}

/* What EFS has under this name, in any tier. PUBLISHED when there is nothing that keeps us from writing; then
 * *mend is set to the entry whose place to take, if its data was lost. */
static enum publish_outcome same_name(const struct publish *p, int in, struct entries *list,
                                      struct manifest *m, const struct backup **mend, struct err *e)
{
    char stored[NAME_STORED];
    name_stored(p->source.stem, stored);
    for (size_t i = 0; i < list->n; i++) {
        struct backup *b = &list->v[i];
        if (strcmp(b->stem, stored) != 0)
            continue;
        if (store_load(b, e) != 0)
            return PUBLISH_FAILED;
        if (b->state == ENTRY_COMPLETE)
            return compare(p, in, b, m, e);
        if (store_broken(b)) {
            char where[PATH_MAX + NAME_MAX];
            (void)snprintf(where, sizeof where, "%s/%s", b->dir, b->stem);
            return err_set(e, 0, b->reason ? b->reason : "corrupt", where,
                           "move it away, then this snapshot is published again"),
                   PUBLISH_CONFLICT;
        }
        if (b->has_manifest && p->checksum && strcmp(p->checksum, b->m.content.sha256) != 0)
            return compare(p, in, b, m, e);
        if (b->has_manifest)
            *mend = b;
    }
    return PUBLISHED;
}

/* Data of our name and no manifest: of another task that is about to write it, or of one that crashed there.
 */
static enum publish_outcome take_over(const char *partial, const char *final, const struct manifest *m,
                                      struct err *e)
{
    struct copy_result there;
    struct stat ours, theirs;
    cleanup_close int fd = open(final, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &theirs) != 0 || stat(partial, &ours) != 0)
        return err_set(e, errno, "cannot read", final, NULL), PUBLISH_FAILED;
    if (copy_check(fd, final, -1, false, NULL, &there, e) != 0)
        return PUBLISH_FAILED;
    if (strcmp(there.stored_sha256, m->content.stored_sha256) == 0)
        return unlink(partial) == 0 || errno == ENOENT
                   ? PUBLISHED
                   : (err_set(e, errno, "cannot delete", partial, NULL), PUBLISH_FAILED);
    /* Both times are the server's: the clocks of two tasks may differ. */
    if (ours.st_mtime - theirs.st_mtime < ABANDONED_DATA)
        return err_set(e, EEXIST, "another task seems to be publishing", final, "it is tried again"),
               PUBLISH_FAILED;
    return files_rename(partial, final, e) == 0 ? PUBLISHED : PUBLISH_FAILED;
}

static void manifest_name(const struct manifest *m, char name[NAME_STORED + 8])
{
    char stored[NAME_STORED];
    name_stored(m->source.stem, stored);
    (void)snprintf(name, NAME_STORED + 8, "%s.json", stored);
}

/* In place of data that was lost, or is only part of what its manifest says: that manifest goes first, or a
 * crash would leave it beside data that is not its own. */
static int make_room(const char *dir, const struct manifest *m, struct err *e)
{
    char name[NAME_STORED + 8], path[PATH_MAX];
    manifest_name(m, name);
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, NULL);
    return files_sync_dir(dir, e);
}

static enum publish_outcome name_data(const char *dir, const char *partial, const struct manifest *m,
                                      bool mend, struct err *e)
{
    char final[PATH_MAX];
    if (files_join(final, sizeof final, dir, m->data, e) != 0 || (mend && make_room(dir, m, e) != 0))
        return PUBLISH_FAILED;
    int rc = mend ? files_rename(partial, final, e) : files_name_new(partial, final, e);
    if (rc < 0)
        return PUBLISH_FAILED;
    enum publish_outcome out = rc == 0 ? PUBLISHED : take_over(partial, final, m, e);
    return out == PUBLISHED && files_sync_dir(dir, e) != 0 ? PUBLISH_FAILED : out;
}

static enum publish_outcome finish(const char *dir, const char *partial, const struct manifest *m, bool mend,
                                   struct err *e)
{
    char name[NAME_STORED + 32], line[NAME_MAX * 2 + 80];
    enum publish_outcome rc = name_data(dir, partial, m, mend, e);
    if (rc != PUBLISHED)
        return rc;
    if (!name_sum_line(m->content.stored_sha256, m->data, line, sizeof line))
        return err_set(e, ENAMETOOLONG, "cannot write the .sha256 in", dir, NULL), PUBLISH_FAILED;
    (void)snprintf(name, sizeof name, "%s.sha256", m->data);
    if (files_put(dir, name, line, e) != 0)
        return PUBLISH_FAILED;
    cleanup_free char *json = manifest_print(m);
    if (!json)
        return err_set(e, ENOMEM, "cannot write the manifest in", dir, NULL), PUBLISH_FAILED;
    manifest_name(m, name);
    int put = files_put_new(dir, name, json, e);
    if (put > 0) /* the next try compares the two */
        (void)err_set(e, EEXIST, "another task has just published", m->source.stem, "it is tried again");
    return put == 0 ? PUBLISHED : PUBLISH_FAILED;
}

/* Copying may have taken minutes: did another task publish this snapshot meanwhile? */
static enum publish_outcome look_again(const struct publish *p, int in, const char *folder,
                                       struct manifest *m, struct err *e)
{
    cleanup_entries struct entries list = {0};
    struct manifest there = *m;
    const struct backup *mend = NULL;
    if (store_list(p->base, folder, &list, e) != 0)
        return PUBLISH_FAILED;
    enum publish_outcome rc = same_name(p, in, &list, &there, &mend, e);
    if (rc == PUBLISH_SAME)
        *m = there;
    return rc;
}

/* Another task has the name. It is done in a moment, unless it crashed there: then the next try takes over.
 */
static enum publish_outcome wait_for_other(const struct publish *p, int in, const char *folder,
                                           struct manifest *m, struct err *e)
{
    enum publish_outcome rc = PUBLISHED;
    for (int i = 0; rc == PUBLISHED && i < PATIENCE && !(p->copy.stop && atomic_load(p->copy.stop)); i++) {
        (void)nanosleep(&(struct timespec){.tv_sec = i > 0}, NULL); /* cut short by a signal: one look more */
        rc = look_again(p, in, folder, m, e);
    }
    return rc == PUBLISHED ? PUBLISH_FAILED : rc;
}

static enum publish_outcome write_backup(const struct publish *p, int in, const char *folder, bool mend,
                                         struct manifest *m, struct err *e)
{
    char root[PATH_MAX], rel[PATH_MAX], dir[PATH_MAX], partial[PATH_MAX] = "";
    /* The root itself is never made: when it is missing, EFS is not mounted. */
    const char *tree = strrchr(p->base, '/');
    (void)snprintf(root, sizeof root, "%.*s", (int)(tree - p->base), p->base);
    int n = snprintf(rel, sizeof rel, "%s/%s/%s", tree + 1, tier_text(m->tier), folder);
    if (n < 0 || (size_t)n >= sizeof rel || files_mkdirs(root, rel, e) != 0 ||
        files_join(dir, sizeof dir, root, rel, e) != 0)
        return PUBLISH_FAILED;
    enum publish_outcome rc = copy_partial(p, in, dir, partial, m, e);
    if (rc == PUBLISHED && !mend)
        rc = look_again(p, in, folder, m, e);
    if (rc == PUBLISHED)
        rc = finish(dir, partial, m, mend, e);
    if (rc != PUBLISHED && *partial)
        (void)unlink(partial); /* may have its final name already; the sweep finds the rest */
    return rc == PUBLISH_FAILED && e->code == EEXIST ? wait_for_other(p, in, folder, m, e) : rc;
}

static void describe(const struct publish *p, const struct stat *st, struct manifest *m)
{
    memset(m, 0, sizeof *m);
    m->source = p->source;
    m->created = p->source.taken ? p->source.taken : st->st_mtime;
    m->slot = tier_slot(m->created);
    m->qdrant_checksum = p->checksum != NULL;
    m->points = -1;
    (void)snprintf(m->node, sizeof m->node, "%s", p->node && *p->node ? p->node : p->source.peer);
    (void)snprintf(m->written_by, sizeof m->written_by, "%s", p->written_by);
    (void)snprintf(m->codec, sizeof m->codec, p->copy.level ? "zstd:%d" : "none", p->copy.level);
    char stored[NAME_STORED];
    name_stored(p->source.stem, stored);
    (void)snprintf(m->data, sizeof m->data, "%.235s.snapshot%s", stored, p->copy.level ? ".zst" : "");
}

enum publish_outcome store_publish(const struct publish *p, struct manifest *m, struct err *e)
{
    cleanup_entries struct entries list = {0};
    const struct backup *mend = NULL;
    char folder[NAME_MAX * 2];
    struct stat st;
    cleanup_close int in = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (in < 0 || fstat(in, &st) != 0)
        return errno == ENOENT ? PUBLISH_VANISHED
                               : (err_set(e, errno, "cannot open", p->path, NULL), PUBLISH_FAILED);
    if (!S_ISREG(st.st_mode) || !name_folder(&p->source, folder, sizeof folder))
        return err_set(e, 0, "not a file with a usable name:", p->path, NULL), PUBLISH_FAILED;
    if (p->stamp && !stamp_is(p->stamp, &st))
        return PUBLISH_VANISHED; /* another took its place: it is looked at anew */
    describe(p, &st, m);
    if (store_list(p->base, folder, &list, e) != 0)
        return PUBLISH_FAILED;
    enum publish_outcome rc = same_name(p, in, &list, m, &mend, e);
    if (rc != PUBLISHED)
        return rc;
    if (mend)
        m->tier = mend->tier;
    else if ((rc = choose(p, &list, m, e)) != PUBLISHED)
        return rc;
    if (p->about)
        p->about(m, p->about_arg);
    return write_backup(p, in, folder, mend != NULL, m, e);
}
