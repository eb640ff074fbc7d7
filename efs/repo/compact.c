#include "efs/repo/compact.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include "efs/repo/reader.h"
#include "efs/repo/remove.h"
#include "efs/repo/ruler.h"
#include "efs/repo/tombstone.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One level for all, so that two who do the same at the same time write the same bytes. */
enum { LEVEL = 3, ABANDONED = 600 /* seconds: whoever named data alone writes its manifest in a moment */ };

struct work {
    const struct compact *c;
    struct backup *b;
    char *was; /* the delta's manifest, byte for byte */
    size_t was_size;
    bool is_signed;
    bool whole;                                 /* somebody else was faster */
    bool named;                                 /* the whole has its name */
    bool forgotten;                             /* it was before we began */
    struct stat delta, manifest;                /* its data; its manifest, as whose owner and mode ours has */
    char partial[PATH_MAX], name[NAME_MAX + 1]; /* the whole's */
    struct copy_result r;
};

static int path_of(const struct work *w, const char *suffix, char path[PATH_MAX], struct err *e)
{
    char name[NAME_STORED + 32];
    (void)snprintf(name, sizeof name, "%s%s", w->b->stem, suffix);
    return files_join(path, PATH_MAX, w->b->dir, name, e);
}

/* --- before */

/* Since it was read, hours may have passed: it may be another one by now, or a whole. */
static int look_at_manifest(struct work *w, struct err *e)
{
    char path[PATH_MAX];
    struct manifest now;
    const struct manifest *m = &w->b->m;
    if (path_of(w, ".json", path, e) != 0)
        return -1;
    w->was = files_get_sized(path, MANIFEST_MAX, &w->was_size, e);
    if (!w->was || manifest_parse(w->was, path, &now, e) != 0)
        return -1;
    if (stat(path, &w->manifest) != 0)
        return err_set(e, errno, "cannot look at", path, NULL);
    bool same = strcmp(now.content.sha256, m->content.sha256) == 0;
    w->whole = same && now.compacted && now.bases.n == 0;
    if (w->whole || (same && strcmp(now.data, m->data) == 0 && now.bases.n == m->bases.n &&
                     strcmp(now.content.stored_sha256, m->content.stored_sha256) == 0))
        return 0;
    return err_set(e, EEXIST, "another program has just changed", path, "try again");
}

/* Would nobody know our signature? */
static bool is_unknown_key(const struct work *w, struct err *e)
{
    unsigned char ours[SIGNATURE_SIZE];
    struct backup as = *w->b;
    if (signature_make(w->c->key, w->was, w->was_size, ours, e) != 0)
        return true;
    backup_check(&as, w->was, w->was_size, ours, sizeof ours);
    if (as.signature != SIGNATURE_BAD)
        return false;
    return (void)err_set(e, 0, "SIGNING_KEY_FILE is none of VERIFY_KEYS, for a whole of", w->b->data,
                         "nothing was changed"),
           true;
}

/* What was vouched for is vouched for again by us, and by nobody else: of the very bytes that are changed. */
static int look_at_signature(struct work *w, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    struct backup as = *w->b;
    size_t n = 0;
    if (path_of(w, ".json" SIGNATURE_SUFFIX, path, e) != 0)
        return -1;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "cannot look at", path, NULL);
    w->is_signed = true;
    if (!w->c->key)
        return err_set(e, 0, "it is signed, and SIGNING_KEY_FILE is not set:", path,
                       "a whole would be without a signature; set it as the tasks have it");
    if (is_unknown_key(w, e))
        return -1;
    cleanup_free char *signature = files_get_sized(path, SIGNATURE_SIZE, &n, e);
    if (!signature && e->code != EFBIG && e->code != EINVAL)
        return -1;
    if (signature)
        backup_check(&as, w->was, w->was_size, signature, n);
    if (signature &&
        (as.signature == SIGNATURE_GOOD || signature_is_by(w->c->key, w->was, w->was_size, signature, n)))
        return 0;
    return err_set(e, 0,
                   "the signature is not by SIGNING_KEY_FILE, nor known to be good by VERIFY_KEYS:", path,
                   "nothing was changed");
}

static int look_at_data(struct work *w, struct err *e)
{
    char path[PATH_MAX];
    if (files_join(path, sizeof path, w->b->dir, w->b->data, e) != 0)
        return -1;
    return lstat(path, &w->delta) == 0 ? 0 : err_set(e, errno, "cannot look at", path, NULL);
}

/* --- the whole's data */

static ssize_t read_snapshot(void *arg, void *buf, size_t n, struct err *e)
{
    return backup_reader_read(arg, buf, n, e);
}

/* The reader hands out the last byte only once all is proven. Whoever reads and prunes this tree must be able
 * to as before. */
static int write_whole(struct work *w, struct err *e)
{
    const struct copy_options how = {.level = LEVEL, .stop = w->c->stop};
    if (files_partial(w->b->dir, w->partial, sizeof w->partial, e) != 0)
        return -1;
    cleanup_close int out = open(w->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, files_data_mode());
    if (out < 0)
        return err_set(e, errno, "cannot create", w->partial, "check who may write to EFS");
    cleanup_reader struct backup_reader *reader = backup_reader_open(w->b, w->c->watch, w->c->stop, e);
    if (!reader)
        return -1;
    const struct copy_source source = {read_snapshot, reader, w->b->data};
    if (copy_store_from(&source, out, w->partial, &how, &w->r, e) != 0 ||
        files_give(out, w->partial, &w->delta, e) != 0)
        return -1;
    return files_sync_close(&out, w->partial, e);
}

/* Is its manifest still the one that was read? IS_OURS: it is `ours` (may be NULL) by now, IS_GONE: there is
 * none any more. */
enum now { IS_SAME, IS_OURS, IS_OTHER, IS_GONE, IS_UNKNOWN };
static enum now look_again(const struct work *w, const char *ours, struct err *e)
{
    char path[PATH_MAX];
    size_t n = 0;
    if (path_of(w, ".json", path, e) != 0)
        return IS_UNKNOWN;
    cleanup_free char *now = files_get_sized(path, MANIFEST_MAX, &n, e);
    if (!now)
        return e->code == ENOENT ? IS_GONE : IS_UNKNOWN;
    if (ours && n == strlen(ours) && memcmp(now, ours, n) == 0)
        return IS_OURS;
    return n == w->was_size && memcmp(now, w->was, n) == 0 ? IS_SAME : IS_OTHER;
}

/* There are data of its name, of somebody who does the same or was killed at it. */
static int take_over(struct work *w, const char *final, struct err *e)
{
    struct copy_result there;
    struct stat ours, theirs;
    cleanup_close int fd = open(final, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &theirs) != 0 || stat(w->partial, &ours) != 0)
        return err_set(e, errno, "cannot read", final, NULL);
    if (!S_ISREG(theirs.st_mode))
        return err_set(e, 0, "not a file:", final, "move it away");
    if (copy_check(fd, final, -1, false, COPY_ANY, NULL, &there, e) != 0)
        return -1;
    if (strcmp(there.stored_sha256, w->r.stored_sha256) == 0) {
        /* As old as they are, a sweep would take them from under us: either ours do, or they are touched. */
        if (futimens(fd, NULL) != 0)
            return files_rename(w->partial, final, e);
        return unlink(w->partial) == 0 || errno == ENOENT
                   ? 0
                   : err_set(e, errno, "cannot delete", w->partial, NULL);
    }
    /* Not under a manifest that names them by now. */
    if (ours.st_mtime - theirs.st_mtime < ABANDONED || look_again(w, NULL, e) != IS_SAME)
        return err_set(e, EEXIST, "another program seems to be writing", final, "try again in ten minutes");
    return files_rename(w->partial, final, e);
}

static int name_whole(struct work *w, struct err *e)
{
    char final[PATH_MAX], sums[NAME_MAX + 16], line[NAME_MAX * 2 + 80];
    (void)snprintf(w->name, sizeof w->name, "%.230s.snapshot.zst", w->b->stem);
    if (files_join(final, sizeof final, w->b->dir, w->name, e) != 0)
        return -1;
    int rc = files_name_new(w->partial, final, e);
    if (rc < 0 || (rc > 0 && take_over(w, final, e) != 0) || files_sync_dir(w->b->dir, e) != 0)
        return -1;
    *w->partial = 0;
    w->named = true;
    (void)snprintf(sums, sizeof sums, "%s.sha256", w->name);
    if (!name_sum_line(w->r.stored_sha256, w->name, line, sizeof line))
        return err_set(e, ENAMETOOLONG, "cannot write the .sha256 in", w->b->dir, NULL);
    return files_put_like(w->b->dir, sums, line, strlen(line), &w->manifest, e);
}

/* What is in S3 is the snapshot, however it is stored here. */
static int keep_receipt(const struct work *w, struct err *e)
{
    enum { RECEIPT_MAX = 1 << 16 };
    char path[PATH_MAX], name[NAME_MAX + 16];
    size_t n = 0;
    struct err why = {0};
    (void)snprintf(name, sizeof name, "%s.s3", w->b->data);
    if (files_join(path, sizeof path, w->b->dir, name, e) != 0)
        return -1;
    cleanup_free char *receipt = files_get_sized(path, RECEIPT_MAX, &n, &why);
    if (!receipt)
        return why.code == ENOENT ? 0 : (*e = why, -1);
    (void)snprintf(name, sizeof name, "%s.s3", w->name);
    return files_put_like(w->b->dir, name, receipt, n, &w->manifest, e);
}

/* --- its manifest */

static bool put_text(cJSON *o, const char *key, const char *value)
{
    cJSON *item = cJSON_CreateString(value);
    return item && cJSON_ReplaceItemInObjectCaseSensitive(o, key, item);
}

static bool put_number(cJSON *o, const char *key, double value)
{
    cJSON *item = cJSON_CreateNumber(value);
    return item && cJSON_ReplaceItemInObjectCaseSensitive(o, key, item);
}

/* All else as it was, also what a newer program may have written there; and no time of ours, so that two who
 * do the same write the same bytes, with the same signature. NULL without memory. */
static char *manifest_of_whole(const struct work *w)
{
    char codec[16], *line = NULL;
    cleanup_json cJSON *o = cJSON_Parse(w->was);
    (void)snprintf(codec, sizeof codec, "zstd:%d", LEVEL);
    if (!o || !put_number(o, "format", MANIFEST_FORMAT) || !put_text(o, "data", w->name) ||
        !put_text(o, "codec", codec) || !put_number(o, "stored_size", (double)w->r.stored_size) ||
        !put_text(o, "stored_sha256", w->r.stored_sha256))
        return NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(o, "recipe");
    cJSON_DeleteItemFromObjectCaseSensitive(o, "bases");
    cJSON_DeleteItemFromObjectCaseSensitive(o, "compacted");
    if (!cJSON_AddTrueToObject(o, "compacted"))
        return NULL;
    cleanup_json_text char *json = cJSON_Print(o);
    return json && asprintf(&line, "%s\n", json) > 0 ? line : NULL;
}

static int put_next_signature(const struct work *w, const char *json, struct err *e)
{
    char name[NAME_STORED + 32];
    unsigned char signature[SIGNATURE_SIZE];
    if (!w->is_signed)
        return 0;
    (void)snprintf(name, sizeof name, "%s.json%s", w->b->stem, SIGNATURE_NEXT);
    if (signature_make(w->c->key, json, strlen(json), signature, e) != 0)
        return -1;
    /* One that is there is the same, or of somebody who was killed before the manifest's turn. It is never
     * missing in between: the manifest may be ours by now. */
    return files_put_like(w->b->dir, name, signature, sizeof signature, &w->manifest, e);
}

/* --- afterwards */

static int name_signature(const struct backup *b, struct err *e)
{
    char next[NAME_STORED + 32], name[NAME_STORED + 32], from[PATH_MAX], to[PATH_MAX];
    (void)snprintf(next, sizeof next, "%s.json%s", b->stem, SIGNATURE_NEXT);
    (void)snprintf(name, sizeof name, "%s.json%s", b->stem, SIGNATURE_SUFFIX);
    if (files_join(from, sizeof from, b->dir, next, e) != 0 ||
        files_join(to, sizeof to, b->dir, name, e) != 0)
        return -1;
    if (files_rename(from, to, e) != 0)
        return e->code == ENOENT ? 0 : -1; /* somebody who does the same was faster */
    return files_sync_dir(b->dir, e);
}

/* By a tombstone that covers it. */
static bool is_forgotten(const struct work *w)
{
    const struct manifest *m = &w->b->m;
    cleanup_tombstones struct tombstones all = {0};
    struct err ignored;
    bool found = false;
    if (tombstones_load(w->c->base, NULL, &all, &ignored) != 0)
        return false;
    for (size_t i = 0; i < all.n && !found; i++) {
        const struct tombstone *t = &all.v[i];
        found = t->forgotten && strcmp(t->collection, m->source.collection) == 0 &&
                (strcmp(t->node, TOMBSTONE_ALL) == 0 || strcmp(t->node, m->node) == 0 ||
                 strcmp(t->node, m->source.peer) == 0) &&
                tombstone_covers(t, m->created);
    }
    return found;
}

/* Whoever prunes takes the manifest, then the data; whoever forgets puts a tombstone first. Either he sees
 * our manifest, or we see what he did. */
static bool was_let_go(const struct work *w)
{
    char path[PATH_MAX];
    struct stat st;
    bool gone = files_join(path, sizeof path, w->b->dir, w->b->data, NULL) == 0 && lstat(path, &st) != 0 &&
                errno == ENOENT;
    return gone || (!w->forgotten && is_forgotten(w));
}

/* With its name it may be of somebody who does the same: only with the manifest gone it is nobody's. */
static void remove_whole(const struct work *w, bool gone)
{
    struct err ignored; /* the sweep finds it */
    if (*w->partial)
        (void)unlink(w->partial);
    if (!gone)
        return;
    if (w->named)
        (void)remove_data_file(w->b->dir, w->name, &ignored);
    if (w->is_signed)
        (void)remove_file(w->b->dir, w->b->stem, ".json" SIGNATURE_NEXT, &ignored);
}

static enum compact_outcome finish(struct work *w, struct err *e)
{
    struct backup whole = *w->b;
    if (w->is_signed && name_signature(w->b, e) != 0)
        return COMPACT_HALF;
    if (was_let_go(w)) {
        (void)snprintf(whole.data, sizeof whole.data, "%s", w->name);
        return remove_backup(&whole, e) == 0 ? COMPACT_GONE : COMPACT_HALF;
    }
    w->b->state = ENTRY_UNREAD;
    if (backup_load(w->b, e) != 0)
        return COMPACT_HALF;
    if (!w->b->has_manifest) { /* whoever prunes has taken it, and is about to take the delta's data */
        remove_whole(w, true);
        return COMPACT_GONE;
    }
    return COMPACT_DONE;
}

/* An error may come after the moment itself. */
static enum compact_outcome put_manifest(struct work *w, const char *name, const char *json, struct err *e)
{
    struct err ignored;
    if (files_put_like(w->b->dir, name, json, strlen(json), &w->manifest, e) == 0)
        return finish(w, e);
    return look_again(w, json, &ignored) == IS_OURS ? COMPACT_HALF : COMPACT_FAILED;
}

static enum compact_outcome swap(struct work *w, struct err *e)
{
    char name[NAME_STORED + 8];
    cleanup_free char *json = manifest_of_whole(w);
    if (!json)
        return err_set(e, ENOMEM, "cannot write the manifest in", w->b->dir, NULL), COMPACT_FAILED;
    (void)snprintf(name, sizeof name, "%s.json", w->b->stem);
    enum now now = put_next_signature(w, json, e) != 0 ? IS_UNKNOWN : look_again(w, json, e);
    if (now == IS_SAME)
        return put_manifest(w, name, json, e);
    if (now == IS_OURS) /* of somebody who does the same */
        return finish(w, e);
    remove_whole(w, now == IS_GONE);
    return now == IS_OTHER
               ? (err_set(e, EEXIST, "another program has just changed", name, "try again"), COMPACT_FAILED)
           : now == IS_GONE ? COMPACT_GONE
                            : COMPACT_FAILED;
}

static bool is_gone(const struct work *w)
{
    char path[PATH_MAX];
    struct stat st;
    return path_of(w, ".json", path, NULL) == 0 && lstat(path, &st) != 0 && errno == ENOENT;
}

enum compact_outcome backup_compact(const struct compact *c, struct backup *b, struct err *e)
{
    struct work w = {.c = c, .b = b};
    enum compact_outcome rc = COMPACT_FAILED;
    w.forgotten = is_forgotten(&w);
    bool there = look_at_manifest(&w, e) == 0;
    if (there && w.whole) {
        b->state = ENTRY_UNREAD;
        rc = backup_load(b, e) == 0 && backup_compact_finish(c, b, e) >= 0 ? COMPACT_DONE : COMPACT_HALF;
    } else if (!there) {
        rc = e->code == ENOENT ? COMPACT_GONE : COMPACT_FAILED;
    } else if (look_at_signature(&w, e) == 0 && look_at_data(&w, e) == 0) {
        if (write_whole(&w, e) == 0 && name_whole(&w, e) == 0 && keep_receipt(&w, e) == 0)
            rc = swap(&w, e);
        else
            remove_whole(&w, false);
    }
    free(w.was);
    if (rc == COMPACT_FAILED && is_gone(&w)) { /* and with it what we needed */
        remove_whole(&w, true);
        return COMPACT_GONE;
    }
    return rc;
}

int backup_compact_finish(const struct compact *c, struct backup *b, struct err *e)
{
    char path[PATH_MAX];
    struct work w = {.c = c, .b = b};
    struct err ignored;
    size_t n = 0, size = 0;
    if (!b->m.compacted || path_of(&w, ".json" SIGNATURE_NEXT, path, e) != 0)
        return 0;
    cleanup_free char *next = files_get_sized(path, SIGNATURE_SIZE, &size, &ignored);
    if (!next || path_of(&w, ".json", path, e) != 0)
        return 0;
    cleanup_free char *json = files_get_sized(path, MANIFEST_MAX, &n, e);
    if (!json)
        return -1;
    if (b->signature != SIGNATURE_GOOD && !(c->key && signature_is_by(c->key, json, n, next, size)))
        return 0;
    return name_signature(b, e) == 0 ? 1 : -1;
}
