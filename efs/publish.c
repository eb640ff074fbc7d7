/* Publishing: partial name, one stream, fsync, close, rename, fsync of the folder; then the .sha256 and
 * the manifest in the same way, last. */
#include "common/cleanup.h"
#include "common/files.h"
#include "efs/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void list_free(struct entries *l) { entries_free(l); }

/* Only backups in a period around the new slot can take its place in a tier. */
static bool needed(enum tier t, time_t slot, const void *arg)
{
    time_t own = *(const time_t *)arg;
    if (slot == own)
        return true;
    for (int i = TIER_HOURLY; i <= (int)t; i++)
        if (tier_period((enum tier)i, slot) == tier_period((enum tier)i, own))
            return true;
    return false;
}

static enum tier choose(const struct entries *list, const char *node, time_t slot, struct err *e)
{
    cleanup_free struct tier_item *items = calloc(list->n + 1, sizeof *items);
    if (!items)
        return (void)err_set(e, ENOMEM, "cannot choose a tier", NULL, NULL), TIER_COUNT;
    for (size_t i = 0; i < list->n; i++)
        items[i] = (struct tier_item){.tier = list->v[i].tier, .slot = list->v[i].m.slot,
                                      .good = list->v[i].state == ENTRY_COMPLETE &&
                                              strcmp(list->v[i].m.node, node) == 0};
    return tier_choose(slot, items, list->n);
}

static bool still_there(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && stat(path, &named) == 0 && open_one.st_ino == named.st_ino &&
           open_one.st_dev == named.st_dev;
}

/* Copy into a partial file of `dir`; its name comes back in `partial`. */
static enum publish_outcome copy_partial(const struct publish *p, int in, const char *dir, char *partial,
                                         struct manifest *m, struct err *e)
{
    struct timespec a, b;
    if (files_partial(dir, partial, PATH_MAX, e) != 0)
        return PUBLISH_FAILED;
    cleanup_close int out = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out < 0)
        return err_set(e, errno, "cannot create", partial, "check who may write to EFS"), PUBLISH_FAILED;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    if (copy_store(in, p->path, out, partial, &p->copy, &m->content, e) != 0)
        return PUBLISH_FAILED;
    if (p->checksum && strcmp(p->checksum, m->content.sha256) != 0) {
        if (!still_there(in, p->path))
            return PUBLISH_VANISHED;
        return err_set(e, 0, "bytes differ from Qdrant's .checksum in", p->path,
                       "it is not published and not deleted; have a new snapshot made, and check the disk"),
               PUBLISH_MISMATCH;
    }
    if (files_sync_close(&out, partial, e) != 0)
        return PUBLISH_FAILED;
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    m->seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    return still_there(in, p->path) ? PUBLISHED : PUBLISH_VANISHED;
}

static int finish(const char *dir, const char *partial, struct manifest *m, struct err *e)
{
    char final[PATH_MAX], name[300], line[400];
    if (files_join(final, sizeof final, dir, m->data, e) != 0 || files_rename(partial, final, e) != 0 ||
        files_sync_dir(dir, e) != 0)
        return -1;
    (void)snprintf(name, sizeof name, "%s.sha256", m->data);
    (void)snprintf(line, sizeof line, "%s  %s\n", m->content.stored_sha256, m->data);
    if (files_put(dir, name, line, e) != 0)
        return -1;
    cleanup_free char *json = manifest_print(m);
    (void)snprintf(name, sizeof name, "%s.json", m->source.stem);
    return json ? files_put(dir, name, json, e) : err_set(e, ENOMEM, "cannot write the manifest in", dir, NULL);
}

static enum publish_outcome write_backup(const struct publish *p, int in, const char *folder, struct manifest *m,
                                         struct err *e)
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
    if (rc == PUBLISHED && finish(dir, partial, m, e) != 0)
        rc = PUBLISH_FAILED;
    if (rc != PUBLISHED && *partial)
        (void)unlink(partial); /* may be renamed already; the sweep finds the rest */
    return rc;
}

/* A backup of that name is there: is it this one? */
static enum publish_outcome compare(const struct publish *p, int in, const struct backup *en, struct manifest *m,
                                    struct err *e)
{
    struct copy_result r;
    const char *hash = p->checksum;
    if (en->state == ENTRY_CORRUPT)
        return err_set(e, 0, en->reason, NULL, "move it away, then this snapshot is published again"), PUBLISH_CONFLICT;
    if (!hash) {
        if (copy_check(in, p->path, -1, false, &r, e) != 0)
            return PUBLISH_FAILED;
        hash = r.sha256;
    }
    if (strcmp(hash, en->m.content.sha256) != 0)
        return err_set(e, 0, "EFS has a different snapshot of this name:", p->path,
                       "nothing was overwritten; rename one of the two"), PUBLISH_CONFLICT;
    *m = en->m;
    return PUBLISH_SAME;
}

enum publish_outcome store_publish(const struct publish *p, struct manifest *m, struct err *e)
{
    __attribute__((cleanup(list_free))) struct entries list = {0};
    char folder[512];
    struct stat st;
    cleanup_close int in = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (in < 0 || fstat(in, &st) != 0)
        return errno == ENOENT ? PUBLISH_VANISHED : (err_set(e, errno, "cannot open", p->path, NULL), PUBLISH_FAILED);
    if (!S_ISREG(st.st_mode) || !name_folder(&p->source, folder, sizeof folder))
        return err_set(e, 0, "not a file with a usable name:", p->path, NULL), PUBLISH_FAILED;
    memset(m, 0, sizeof *m);
    m->source = p->source;
    m->created = p->source.taken ? p->source.taken : st.st_mtime;
    m->slot = tier_slot(m->created);
    m->qdrant_checksum = p->checksum != NULL;
    (void)snprintf(m->node, sizeof m->node, "%s", p->node && *p->node ? p->node : p->source.peer);
    (void)snprintf(m->written_by, sizeof m->written_by, "%s", p->written_by);
    (void)snprintf(m->codec, sizeof m->codec, p->copy.level ? "zstd:%d" : "none", p->copy.level);
    (void)snprintf(m->data, sizeof m->data, "%.235s.snapshot%s", p->source.stem, p->copy.level ? ".zst" : "");
    if (store_list(p->base, folder, needed, &m->slot, &list, e) != 0)
        return PUBLISH_FAILED;
    m->tier = choose(&list, m->node, m->slot, e);
    if (m->tier == TIER_COUNT)
        return PUBLISH_FAILED;
    for (size_t i = 0; i < list.n; i++)
        if (strcmp(list.v[i].stem, p->source.stem) == 0 && list.v[i].has_manifest) {
            if (list.v[i].state == ENTRY_COMPLETE || list.v[i].state == ENTRY_CORRUPT ||
                (p->checksum && strcmp(p->checksum, list.v[i].m.content.sha256) != 0))
                return compare(p, in, &list.v[i], m, e);
            m->tier = list.v[i].tier; /* its data was lost: mend it in place */
        }
    return write_backup(p, in, folder, m, e);
}
