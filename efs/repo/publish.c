/* Publishing: partial name, one stream, fsync, close, then the final name, fsync of the folder; then the
 * .sha256 and the manifest in the same way, last. Another task may do the same at the same time, behind
 * caches of its own: a name is only ever taken when it is free. */
#include "common/base/beneath.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "efs/repo/backup.h"
#include "efs/data/delta.h"
#include "efs/repo/remove.h"
#include "efs/repo/ruler.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    ABANDONED_DATA = 600, /* seconds; between its data and its manifest a writer takes a moment */
    PATIENCE = 5,
    STEM_ROOM = 234, /* of a name and its NUL: what efs/repo/name.c allows, less what an escaped '.' takes */
};

/* Not by a name from the future: that peer would seem to live on. */
static time_t newest_of(const struct backup_list *list, const char *peer)
{
    time_t slot = 0, end = time(NULL) + BACKUP_AHEAD;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].m.slot > slot && list->v[i].m.slot <= end &&
            strcmp(list->v[i].m.source.peer, peer) == 0)
            slot = list->v[i].m.slot;
    return slot;
}
static time_t oldest_of(const struct backup_list *list, const char *peer, time_t own)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].m.slot && list->v[i].m.slot < own && strcmp(list->v[i].m.source.peer, peer) == 0)
            own = list->v[i].m.slot;
    return own;
}

/* Does that backup speak for the node of ours? The same node's does. And on Fargate a replaced task comes
 * back with a new peer id: a peer whose last backup is older than our first was our predecessor, else each
 * deployment would make one more monthly backup. A peer that lives beside us holds other shards. */
static bool same_node(const struct backup_list *list, const struct backup *b, const struct manifest *m)
{
    const char *peer = b->m.source.peer, *own = m->source.peer;
    if (strcmp(b->m.node, m->node) == 0)
        return true;
    if (!*peer || !*own || strcmp(b->m.node, peer) != 0 || strcmp(m->node, own) != 0)
        return false; /* NODE_NAME was given: then it alone counts */
    return newest_of(list, peer) < oldest_of(list, own, m->slot);
}

/* Would retention let it go at once? Only what was read decides: neither a backup that may be broken nor one
 * from the future keeps a good one from being copied, nor one that cannot be read. */
static bool expired(const struct publish *p, struct backup_list *list, const struct manifest *m,
                    struct frequency_item *items)
{
    struct err ignored;
    struct frequency_item *own = &items[list->n];
    for (bool changed = true; changed;) {
        changed = false;
        backup_items(list, items);
        *own = (struct frequency_item){.frequency = m->frequency, .slot = m->slot, .good = true};
        if (backup_nodes(list, m, items, &changed, &ignored) != 0)
            return false;
        if (changed)
            continue;
        retention_select(p->retention, items, list->n + 1);
        if (!own->drop)
            return false;
        for (size_t i = 0; i < list->n; i++) {
            if (!items[i].newest || items[i].node != own->node || list->v[i].state != ENTRY_UNREAD)
                continue;
            changed = true;
            if (backup_load(&list->v[i], &ignored) != 0)
                return false;
        }
    }
    return true;
}

/* By its name. Under a clock that runs ahead or behind the others' names are as wrong as its own. */
static bool may_matter(const struct backup *b, const struct manifest *m, time_t named)
{
    return frequency_matters(b->frequency, b->m.slot, m->slot) ||
           frequency_matters(b->frequency, b->m.slot, frequency_slot(named));
}

/* Sets m->tier. Returns PUBLISHED when the copy is worth while, PUBLISH_EXPIRED when it was found late, or
 * kept locally for longer than on EFS. A backup that cannot be read serves no period: better one monthly too
 * many than none at all, and a local disk that fills up. */
static enum publish_outcome choose(const struct publish *p, struct backup_list *list, time_t named,
                                   struct manifest *m, struct err *e)
{
    cleanup_free struct frequency_item *items = calloc(list->n + 1, sizeof *items);
    if (!items)
        return err_set(e, ENOMEM, "cannot choose a frequency", NULL, NULL), PUBLISH_FAILED;
    for (size_t i = 0; i < list->n; i++)
        if (may_matter(&list->v[i], m, named) && backup_read(&list->v[i], e) != 0)
            return PUBLISH_FAILED;
    backup_items(list, items);
    for (size_t i = 0; i < list->n; i++)
        items[i].good = list->v[i].state == ENTRY_COMPLETE && same_node(list, &list->v[i], m);
    m->frequency = p->checksum ? frequency_choose(m->slot, items, list->n) : FREQUENCY_15MIN;
    return expired(p, list, m, items) ? PUBLISH_EXPIRED : PUBLISHED;
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

static void name_data_file(const struct publish *p, struct manifest *m)
{
    char stored[NAME_STORED];
    name_stored(m->source.stem, stored);
    (void)snprintf(m->data, sizeof m->data, "%.235s.snapshot%s", stored,
                   m->bases.n > 0      ? ".delta"
                   : p->copy.level > 0 ? ".zst"
                                       : "");
}

/* What is stored of it, and how: m->bases say whether it is a delta. */
static void name_codec(const struct publish *p, struct manifest *m)
{
    if (m->bases.n > 0)
        (void)snprintf(m->codec, sizeof m->codec, "delta");
    else
        (void)snprintf(m->codec, sizeof m->codec, p->copy.level ? "zstd:%d" : "none", p->copy.level);
    name_data_file(p, m);
}

/* Empty, to begin anew. */
static int empty(int out, const char *path, struct err *e)
{
    return ftruncate(out, 0) == 0 && lseek(out, 0, SEEK_SET) == 0
               ? 0
               : err_set(e, errno, "cannot empty", path, NULL);
}

/* Its local copy, if that is still there: reading it takes no time of EFS. */
static void find_original(const struct publish *p, const struct backup *base, struct layers *layers)
{
    char path[PATH_MAX + NAME_MAX];
    struct stat st;
    const char *name = strrchr(p->path, '/');
    (void)snprintf(path, sizeof path, "%.*s%s.snapshot", name ? (int)(name + 1 - p->path) : 0, p->path,
                   base->m.source.stem);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == base->m.content.size)
        layers_original(layers, fd);
    else if (fd >= 0)
        (void)close(fd); /* only read */
}

/* As a delta of `base`. DELTA_TOO_LARGE and DELTA_NO_BASE: nothing is kept of it. */
static enum delta_outcome copy_delta(const struct publish *p, int in, int out, const char *partial,
                                     const struct backup *base, struct manifest *m, struct err *e)
{
    cleanup_layers struct layers *layers = NULL;
    struct err why = {0};
    if (!ruler_bases(base, &m->bases))
        return DELTA_NO_BASE;
    enum delta_outcome rc = DELTA_NO_BASE;
    if (backup_open_layers(base, &layers, &why) == 0) {
        find_original(p, base, layers);
        rc = delta_store(in, p->path, out, partial, layers, m->bases.v[0].stored_size / 2, &p->copy,
                         &m->content, &m->recipe, &why);
    }
    if (rc == DELTA_FAILED)
        *e = why;
    if (rc == DELTA_STORED || rc == DELTA_FAILED)
        return rc;
    m->bases = (struct bases){0};
    return empty(out, partial, e) == 0 ? rc : DELTA_FAILED;
}

/* A whole: in pieces, on which deltas can be made, where these are not too many. */
static enum delta_outcome copy_whole_data(const struct publish *p, int in, int out, const char *partial,
                                          struct manifest *m, struct err *e)
{
    if (p->delta && !m->upload) {
        enum delta_outcome rc =
            delta_store(in, p->path, out, partial, NULL, UINT64_MAX, &p->copy, &m->content, &m->recipe, e);
        if (rc != DELTA_TOO_LARGE)
            return rc;
    }
    return copy_store(in, p->path, out, partial, &p->copy, &m->content, e) == 0 ? DELTA_STORED : DELTA_FAILED;
}

/* A delta where there is a base (NULL: none) and it is worth while, else a whole. */
static int copy_data(const struct publish *p, int in, int out, const char *partial, const struct backup *base,
                     struct manifest *m, struct err *e)
{
    m->recipe = (struct recipe_place){0};
    m->bases = (struct bases){0};
    enum delta_outcome rc = base ? copy_delta(p, in, out, partial, base, m, e) : DELTA_NO_BASE;
    if (rc == DELTA_TOO_LARGE || rc == DELTA_NO_BASE)
        rc = copy_whole_data(p, in, out, partial, m, e);
    name_codec(p, m);
    return rc == DELTA_STORED ? 0 : -1;
}

/* Copy into a partial file of `dir`; its name comes back in `partial`, and in `written` when that was, by the
 * clock of EFS's server. */
static enum publish_outcome copy_partial(const struct publish *p, int in, const char *dir,
                                         const struct backup *base, char *partial, struct manifest *m,
                                         time_t *written, struct err *e)
{
    struct timespec a, b;
    struct stat before, stored;
    if (files_partial(dir, partial, PATH_MAX, e) != 0)
        return PUBLISH_FAILED;
    if (fstat(in, &before) != 0)
        return err_set(e, errno, "cannot look at", p->path, NULL), PUBLISH_FAILED;
    cleanup_close int out = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, files_data_mode());
    if (out < 0)
        return err_set(e, errno, "cannot create", partial, "check who may write to EFS"), PUBLISH_FAILED;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    if (copy_data(p, in, out, partial, base, m, e) != 0)
        return PUBLISH_FAILED;
    enum publish_outcome rc = source_ok(p, in, &before, m, e);
    if (rc != PUBLISHED)
        return rc;
    if (files_sync_close(&out, partial, e) != 0)
        return PUBLISH_FAILED;
    if (stat(partial, &stored) != 0)
        return err_set(e, errno, "cannot look at", partial, NULL), PUBLISH_FAILED;
    *written = stored.st_mtime;
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    m->seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    return PUBLISHED;
}

/* Read it from its beginning, whoever has read from it before, and leave it there. */
static int hash_source(const struct publish *p, int in, struct copy_result *r, struct err *e)
{
    if (lseek(in, 0, SEEK_SET) != 0)
        return err_set(e, errno, "cannot read", p->path, NULL);
    int rc = copy_check(in, p->path, -1, false, COPY_ANY, NULL, r, e);
    return lseek(in, 0, SEEK_SET) == 0 ? rc : err_set(e, errno, "cannot read", p->path, NULL);
}

/* Qdrant writes it when the data are there. An older one is that of a snapshot made in the same second, whose
 * name this one has taken: it says nothing of these bytes. */
static bool checksum_is_older(const struct publish *p, int in)
{
    char path[PATH_MAX + 16];
    struct stat data, sum;
    (void)snprintf(path, sizeof path, "%s.checksum", p->path);
    if (fstat(in, &data) != 0 || stat(path, &sum) != 0)
        return true;
    return sum.st_mtim.tv_sec != data.st_mtim.tv_sec ? sum.st_mtim.tv_sec < data.st_mtim.tv_sec
                                                     : sum.st_mtim.tv_nsec < data.st_mtim.tv_nsec;
}

/* A good backup of that name is there: is it this one? */
static enum publish_outcome compare(const struct publish *p, int in, const struct backup *b,
                                    struct manifest *m, struct err *e)
{
    struct copy_result r;
    const char *hash = p->checksum ? p->checksum : p->known;
    if (!hash || (p->checksum && checksum_is_older(p, in))) {
        if (hash_source(p, in, &r, e) != 0)
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

static bool same_bytes(const struct publish *p, int in, const struct backup *b)
{
    struct copy_result r;
    struct err ignored;
    if (b->state != ENTRY_COMPLETE)
        return false;
    if (p->known)
        return strcmp(p->known, b->m.content.sha256) == 0;
    return hash_source(p, in, &r, &ignored) == 0 && strcmp(r.sha256, b->m.content.sha256) == 0;
}

/* What EFS has under this name, in any tier. PUBLISHED when there is nothing that keeps us from writing; then
 * *mend is set to the entry whose place to take, if its data was lost. */
static enum publish_outcome same_name(const struct publish *p, int in, struct backup_list *list,
                                      struct manifest *m, const struct backup **mend, struct err *e)
{
    char stored[NAME_STORED], plain[NAME_STORED];
    name_stored(m->source.stem, stored);
    name_stored(p->source.stem, plain);
    for (size_t i = 0; i < list->n; i++) {
        struct backup *b = &list->v[i];
        bool named_so = strcmp(b->stem, stored) == 0;
        if (!named_so && strcmp(b->stem, plain) != 0)
            continue;
        if (backup_load(b, e) != 0)
            return PUBLISH_FAILED;
        if (b->state == ENTRY_UNREADABLE)
            return err_set(e, EIO, "cannot read what EFS has under this name:", b->reason,
                           "it is tried again"),
                   PUBLISH_FAILED;
        if (!named_so) { /* under the name that it had: by an older program, or of another snapshot */
            if (same_bytes(p, in, b))
                return *m = b->m, PUBLISH_SAME;
            continue;
        }
        if (b->state == ENTRY_COMPLETE)
            return compare(p, in, b, m, e);
        if (backup_broken(b)) {
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
    cleanup_close int fd = open(final, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &theirs) != 0 || stat(partial, &ours) != 0)
        return err_set(e, errno, "cannot read", final, NULL), PUBLISH_FAILED;
    if (copy_check(fd, final, -1, false, COPY_ANY, NULL, &there, e) != 0)
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
static int make_room(const char *dir, const struct manifest *m, const struct backup *mend, struct err *e)
{
    char name[NAME_STORED + 8], path[PATH_MAX];
    manifest_name(m, name);
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, NULL);
    /* Stored in another way than this time, what is left of its data would lie there for ever. */
    if (*mend->data && strcmp(mend->data, m->data) != 0 &&
        (remove_file(dir, mend->data, ".sha256", e) != 0 || remove_file(dir, mend->data, "", e) != 0))
        return -1;
    return remove_file(dir, name, SIGNATURE_SUFFIX, e) != 0 ? -1 : files_sync_dir(dir, e);
}

/* A signature of our name and no manifest: of another task that is about to write it, or of one that crashed
 * there, even under other settings. Both times are the server's: that of the .sha256 is of a moment ago. */
static int drop_abandoned(const char *dir, const struct manifest *m, const char *name, struct err *e)
{
    char sums[NAME_STORED + 32], path[PATH_MAX];
    struct stat ours, theirs;
    (void)snprintf(sums, sizeof sums, "%s.sha256", m->data);
    if (files_join(path, sizeof path, dir, sums, e) != 0)
        return -1;
    if (stat(path, &ours) != 0)
        return err_set(e, errno, "cannot look at", path, NULL);
    if (files_join(path, sizeof path, dir, name, e) != 0)
        return -1;
    if (lstat(path, &theirs) != 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot look at", path, NULL);
    if (ours.st_mtime - theirs.st_mtime < ABANDONED_DATA)
        return err_set(e, EEXIST, "another task seems to be publishing", path, "it is tried again");
    return remove_file(dir, name, "", e);
}

/* Before the manifest: with that the backup is there. Without a key, too, none may be left that would be
 * taken for this manifest's. */
static int put_signature(const struct signing_key *key, const char *dir, const struct manifest *m,
                         const char *json, struct err *e)
{
    char name[NAME_STORED + 32];
    unsigned char signature[SIGNATURE_SIZE];
    manifest_name(m, name);
    (void)snprintf(name + strlen(name), sizeof name - strlen(name), "%s", SIGNATURE_SUFFIX);
    if (drop_abandoned(dir, m, name, e) != 0)
        return -1;
    if (!key)
        return 0;
    if (signature_make(key, json, strlen(json), signature, e) != 0)
        return -1;
    int put = files_put_new_bytes(dir, name, signature, sizeof signature, e);
    return put > 0 ? err_set(e, EEXIST, "another task seems to be publishing", name, "it is tried again")
                   : put;
}

static enum publish_outcome name_data(const char *dir, const char *partial, const struct manifest *m,
                                      const struct backup *mend, struct err *e)
{
    char final[PATH_MAX];
    if (files_join(final, sizeof final, dir, m->data, e) != 0 || (mend && make_room(dir, m, mend, e) != 0))
        return PUBLISH_FAILED;
    int rc = mend ? files_rename(partial, final, e) : files_name_new(partial, final, e);
    if (rc < 0)
        return PUBLISH_FAILED;
    enum publish_outcome out = rc == 0 ? PUBLISHED : take_over(partial, final, m, e);
    return out == PUBLISHED && files_sync_dir(dir, e) != 0 ? PUBLISH_FAILED : out;
}

static enum publish_outcome finish(const struct publish *p, const char *dir, const char *partial,
                                   const struct manifest *m, const struct backup *mend, struct err *e)
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
    cleanup_free char *json = manifest_print(m, p->shards);
    if (!json)
        return err_set(e, ENOMEM, "cannot write the manifest in", dir, NULL), PUBLISH_FAILED;
    if (put_signature(p->sign, dir, m, json, e) != 0)
        return PUBLISH_FAILED;
    manifest_name(m, name);
    int put = files_put_new(dir, name, json, e);
    if (put > 0) /* the next try compares the two */
        (void)err_set(e, EEXIST, "another task has just published", m->source.stem, "it is tried again");
    return put == 0 ? PUBLISHED : PUBLISH_FAILED;
}

static void keep_fault(const struct err *why, void *arg)
{
    struct err *e = arg;
    if (!e->text[0])
        *e = *why;
}

/* All that is there. A folder that cannot be listed may hold this very snapshot; a manifest that cannot be
 * read says nothing of it. */
static int list_all(const struct publish *p, const char *folder, struct backup_list *list, struct err *e)
{
    struct err why = {0};
    struct backup_faults faults = {keep_fault, &why};
    if (backup_list_found(p->base, folder, &faults, list, e) != 0)
        return -1;
    if (why.text[0])
        *e = why;
    return why.text[0] ? -1 : 0;
}

/* Copying may have taken minutes: did another task publish this snapshot meanwhile? */
static enum publish_outcome look_again(const struct publish *p, int in, const char *folder,
                                       struct manifest *m, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    struct manifest there = *m;
    const struct backup *mend = NULL;
    if (list_all(p, folder, &list, e) != 0)
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

/* Where a backup of that tier belongs; made if it is not there. */
static int make_dir(const struct publish *p, const char *folder, enum frequency t, char dir[PATH_MAX],
                    struct err *e)
{
    char root[PATH_MAX], rel[PATH_MAX];
    /* The root itself is never made: when it is missing, EFS is not mounted. */
    const char *tree = strrchr(p->base, '/');
    (void)snprintf(root, sizeof root, "%.*s", (int)(tree - p->base), p->base);
    int n = snprintf(rel, sizeof rel, "%s/%s/%s", tree + 1, frequency_text(t), folder);
    if (n < 0 || (size_t)n >= sizeof rel)
        return err_set(e, ENAMETOOLONG, "no place for", folder, NULL);
    /* With a link on the way the backup would be written elsewhere, and go with what is there. */
    return files_mkdirs(root, rel, e) != 0 || beneath_folder(root, rel, e) != 0
               ? -1
               : files_join(dir, PATH_MAX, root, rel, e);
}

struct draft {
    const struct publish *p;
    int in;
    const char *folder;
    struct backup_list *list;
    time_t named;              /* when it was taken, by the clock of its node */
    const struct backup *mend; /* in whose place, or NULL */
};

/* By the clock of EFS's server, which is none of the node's: manifest and retention go by that time. True: it
 * is another one than before. */
static bool set_right(const struct draft *d, struct manifest *m, time_t server)
{
    time_t taken;
    bool known = frequency_taken(d->named, time(NULL), server, &taken);
    if (taken == m->created)
        return false;
    m->created = taken;
    m->slot =
        frequency_slot(known ? taken : d->named); /* by which retention sees that it may push out nothing */
    m->source.taken = 0;                          /* its name's is wrong */
    m->known_late = !known;
    m->written = server;
    return true;
}

/* As its own time is known now. */
static enum publish_outcome choose_again(const struct draft *d, struct manifest *m, struct err *e)
{
    enum publish_outcome rc = choose(d->p, d->list, d->named, m, e);
    if (m->known_late)
        m->frequency = FREQUENCY_15MIN; /* it takes no other's place */
    return rc;
}

/* Is the newest backup there newer than this one by its name, and was that right by the server's clock? Then
 * either this one was found late, or the clock runs behind since. */
static bool looks_late(const struct draft *d)
{
    struct err ignored;
    for (size_t i = d->list->n; i > 0; i--) { /* oldest first in the list */
        struct backup *b = &d->list->v[i - 1];
        if (!b->has_manifest || backup_load(b, &ignored) != 0 || b->state != ENTRY_COMPLETE)
            continue;
        time_t late = b->written - b->m.created;
        return b->m.created > d->named && late >= -BACKUP_AHEAD && late <= FREQUENCY_YOUNG;
    }
    return false;
}

/* Before its name puts it behind others, or lets it go for its age: is it the clock that runs behind? */
static enum publish_outcome choose_first(const struct draft *d, struct manifest *m, struct err *e)
{
    struct err ignored;
    char dir[PATH_MAX];
    time_t server;
    enum publish_outcome rc = choose(d->p, d->list, d->named, m, e);
    if (rc != PUBLISH_EXPIRED && !(rc == PUBLISHED && looks_late(d)))
        return rc;
    if (make_dir(d->p, d->folder, FREQUENCY_15MIN, dir, e) != 0)
        return PUBLISH_FAILED;
    return files_server_time(dir, &server, &ignored) == 0 && set_right(d, m, server) ? choose_again(d, m, e)
                                                                                     : rc;
}

/* The backup that this one may be a delta of, or NULL. Its name has to tell its slot: whoever prunes goes by
 * names. */
static const struct backup *choose_base(const struct draft *d, const struct manifest *m)
{
    enum { DELTA_ROOM = NAME_MAX - (int)sizeof ".snapshot.delta.sha256" };
    char stored[NAME_STORED];
    name_stored(m->source.stem, stored);
    if (!d->p->delta || m->upload || d->mend || m->frequency > FREQUENCY_HOURLY || !m->source.taken ||
        frequency_slot(m->source.taken) != m->slot || strlen(stored) > DELTA_ROOM)
        return NULL;
    return ruler_base(d->list, m);
}

/* Its name tells a wrong time, as only the copy has shown: once more, as a whole. */
static enum publish_outcome copy_whole(const struct draft *d, const char *dir, char *partial,
                                       struct manifest *m, struct err *e)
{
    time_t written;
    (void)unlink(partial); /* else the sweep finds it */
    *partial = 0;
    if (lseek(d->in, 0, SEEK_SET) != 0)
        return err_set(e, errno, "cannot read", d->p->path, NULL), PUBLISH_FAILED;
    return copy_partial(d->p, d->in, dir, NULL, partial, m, &written, e);
}

/* Another task may have let a base go while we copied: then the delta would be there without it. Whoever
 * prunes takes the base's manifest first and looks for our manifest then (efs/repo/prune.c). */
static enum publish_outcome check_bases(const struct draft *d, const char *dir, const struct manifest *m,
                                        struct err *e)
{
    struct backup own = {.frequency = m->frequency, .dir = dir};
    if (ruler_bases_stay(d->p->base, d->folder, m))
        return PUBLISHED;
    name_stored(m->source.stem, own.stem);
    memcpy(own.data, m->data, sizeof own.data);
    if (remove_backup(&own, e) == 0)
        (void)err_set(e, EAGAIN, "what it is made of was let go meanwhile:", d->p->path, "it is tried again");
    return PUBLISH_FAILED;
}

static enum publish_outcome write_backup(const struct draft *d, struct manifest *m, struct err *e)
{
    const struct publish *p = d->p;
    char dir[PATH_MAX], partial[PATH_MAX] = "";
    enum frequency frequency = m->frequency;
    if (make_dir(p, d->folder, m->frequency, dir, e) != 0)
        return PUBLISH_FAILED;
    time_t written = 0;
    enum publish_outcome rc = copy_partial(p, d->in, dir, choose_base(d, m), partial, m, &written, e);
    /* One that runs behind was looked at before. */
    if (rc == PUBLISHED && !d->mend && m->created > written + BACKUP_AHEAD && set_right(d, m, written))
        rc = choose_again(d, m, e) == PUBLISH_FAILED ? PUBLISH_FAILED : PUBLISHED;
    if (rc == PUBLISHED && m->frequency != frequency && make_dir(p, d->folder, m->frequency, dir, e) != 0)
        rc = PUBLISH_FAILED;
    if (rc == PUBLISHED && m->bases.n > 0 && m->source.taken == 0)
        rc = copy_whole(d, dir, partial, m, e);
    if (rc == PUBLISHED && !d->mend)
        rc = look_again(p, d->in, d->folder, m, e);
    if (rc == PUBLISHED)
        rc = finish(p, dir, partial, m, d->mend, e);
    if (rc == PUBLISHED)
        rc = check_bases(d, dir, m, e);
    if (rc != PUBLISHED && *partial)
        (void)unlink(partial); /* may have its final name already; the sweep finds the rest */
    return rc == PUBLISH_FAILED && e->code == EEXIST ? wait_for_other(p, d->in, d->folder, m, e) : rc;
}

/* The name of an upload is its uploader's choice: a time in it would be taken for the snapshot's wherever
 * only names are read. With this behind it, it has none, and its manifest is read. */
static const char UPLOADED[] = ".upload";

static void describe_upload(const struct stat *st, struct manifest *m)
{
    time_t now = time(NULL);
    m->upload = true;
    if (m->source.taken)
        (void)snprintf(m->source.stem + strlen(m->source.stem),
                       sizeof m->source.stem - strlen(m->source.stem), "%s", UPLOADED);
    m->source.taken = 0;
    m->source.peer[0] = 0;
    m->created = st->st_mtime < now ? st->st_mtime : now;
}

/* Another upload has its name: people call each one "docs.snapshot". With its own time behind it, it finds
 * itself again. */
static void rename_upload(const struct publish *p, const struct stat *st, struct manifest *m)
{
    enum { KEPT = 200 };
    char when[32];
    struct tm tm;
    if (!gmtime_r(&st->st_mtime, &tm) || strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm) == 0)
        (void)snprintf(when, sizeof when, "%lld", (long long)st->st_mtime);
    (void)snprintf(m->source.stem, sizeof m->source.stem, "%.*s.%s%s", KEPT, p->source.stem, when, UPLOADED);
    text_make_utf8(m->source.stem); /* may be cut in a character */
    name_data_file(p, m);
}

static void describe(const struct publish *p, const struct stat *st, struct manifest *m)
{
    memset(m, 0, sizeof *m);
    m->source = p->source;
    m->created = p->source.taken ? p->source.taken : st->st_mtime;
    if (!p->checksum)
        describe_upload(st, m);
    m->slot = frequency_slot(m->created);
    m->qdrant_checksum = p->checksum != NULL;
    m->points = -1;
    (void)snprintf(m->node, sizeof m->node, "%s", p->node && *p->node ? p->node : m->source.peer);
    (void)snprintf(m->written_by, sizeof m->written_by, "%s", p->written_by);
    name_codec(p, m);
}

enum publish_outcome backup_publish(const struct publish *p, struct manifest *m, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
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
    if (!p->checksum && p->source.taken && strlen(p->source.stem) + sizeof UPLOADED > STEM_ROOM)
        return err_set(e, ENAMETOOLONG, "the name is too long for an upload:", p->path,
                       "give it a shorter one"),
               PUBLISH_REFUSED;
    describe(p, &st, m);
    if (list_all(p, folder, &list, e) != 0)
        return PUBLISH_FAILED;
    enum publish_outcome rc = same_name(p, in, &list, m, &mend, e);
    if (rc == PUBLISH_CONFLICT && m->upload) {
        rename_upload(p, &st, m);
        rc = same_name(p, in, &list, m, &mend, e);
    }
    if (rc != PUBLISHED)
        return rc;
    if (mend && m->upload && mend->frequency != FREQUENCY_15MIN)
        mend = NULL; /* an older program put it there */
    struct draft d = {.p = p, .in = in, .folder = folder, .list = &list, .named = m->created, .mend = mend};
    if (mend)
        m->frequency = mend->frequency;
    else if ((rc = choose_first(&d, m, e)) != PUBLISHED)
        return rc;
    if (p->prove && (rc = p->prove(m, p->prove_arg, e)) != PUBLISHED)
        return rc;
    if (p->checksum) /* what it must come to, for whoever knows more of that one snapshot */
        (void)snprintf(m->content.sha256, sizeof m->content.sha256, "%s", p->checksum);
    if (p->about)
        p->about(m, p->about_arg);
    return write_backup(&d, m, e);
}
