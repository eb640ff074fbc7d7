#include "replicator/publisher.h"
#include "common/cleanup.h"
#include "common/files.h"
#include "common/log.h"
#include "replicator/qdrant.h"
#include "replicator/tarcheck.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum { ASK_AGAIN = 60 };

static int64_t now_s(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return t.tv_sec;
}

/* A Qdrant that does not answer must not slow down each backup by a time-out. */
static void about(struct manifest *m, void *arg)
{
    struct publisher *p = arg;
    if (now_s() >= atomic_load(&p->ask_after) && !qdrant_describe(p->settings, m))
        atomic_store(&p->ask_after, now_s() + ASK_AGAIN);
}

static void log_published(const struct job *j, const struct manifest *m)
{
    char slot[32];
    manifest_time(m->slot, slot);
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", m->source.collection);
        (void)cJSON_AddStringToObject(f, "kind", kind_text(m->source.kind));
        (void)cJSON_AddStringToObject(f, "frequency", tier_text(m->tier));
        (void)cJSON_AddStringToObject(f, "slot", slot);
        (void)cJSON_AddNumberToObject(f, "size", (double)m->content.size);
        (void)cJSON_AddNumberToObject(f, "stored_size", (double)m->content.stored_size);
        (void)cJSON_AddNumberToObject(f, "seconds", m->seconds);
    }
    log_fields(LOG_INFO, "published", f, "%s is in %s now", j->relative, tier_text(m->tier));
}

static void report(const struct job *j, const struct manifest *m, const struct err *e, struct counts *c)
{
    switch (j->outcome) {
    case PUBLISHED:
        c->published++;
        c->bytes += m->content.size;
        c->stored += m->content.stored_size;
        log_published(j, m);
        break;
    case PUBLISH_SAME:
        c->same++;
        log_line(LOG_DEBUG, "already_there", "%s is in %s", j->relative, tier_text(m->tier));
        break;
    case PUBLISH_EXPIRED:
        c->expired++;
        log_line(LOG_INFO, "expired",
                 "%s is not copied: newer ones are on EFS and RETENTION would let it go at once",
                 j->relative);
        break;
    case PUBLISH_VANISHED:
        c->vanished++;
        log_line(LOG_INFO, "vanished", "%s went away before it was on EFS", j->relative);
        break;
    case PUBLISH_MISMATCH:
        c->mismatch++;
        log_line(LOG_ERROR, "mismatch", "%s", e->text);
        break;
    case PUBLISH_CONFLICT:
        c->conflict++;
        log_line(LOG_ERROR, "conflict", "%s", e->text);
        break;
    case PUBLISH_FAILED:
        c->failed += e->code != ECANCELED;
        log_line(e->code == ECANCELED ? LOG_INFO : LOG_ERROR, "publish_failed", "%s", e->text);
        break;
    }
}

static enum publish_outcome publish(struct publisher *p, struct job *j, struct manifest *m, struct err *e)
{
    char path[PATH_MAX];
    const struct settings *s = p->settings;
    if (files_join(path, sizeof path, s->snapshots_dir, j->relative, e) != 0)
        return PUBLISH_FAILED;
    if (!j->checksum[0] && !j->sha256[0] && tarcheck(path, p->stop, e) != 0)
        return e->code == ECANCELED      ? PUBLISH_FAILED
               : access(path, F_OK) == 0 ? PUBLISH_MISMATCH
                                         : PUBLISH_VANISHED;
    struct publish what = {.base = s->base,
                           .path = path,
                           .stamp = &j->stamp,
                           .source = j->source,
                           .checksum = j->checksum[0] ? j->checksum : NULL,
                           .known = j->sha256[0] ? j->sha256 : NULL,
                           .node = s->node,
                           .written_by = s->written_by,
                           .about = about,
                           .about_arg = p,
                           .retention = &s->retention,
                           .copy = {s->level, s->threads, p->stop}};
    return store_publish(&what, m, e);
}

void publisher_publish(struct publisher *p, struct job *j, struct counts *c)
{
    struct err e = {0};
    struct manifest m = {0};
    j->outcome = publish(p, j, &m, &e);
    report(j, &m, &e, c);
    if (j->outcome == PUBLISHED || j->outcome == PUBLISH_SAME)
        memcpy(j->sha256, m.content.sha256, sizeof j->sha256);
    if (j->outcome == PUBLISHED)
        publisher_prune(p, j->folder, c);
}

static void pruned(const struct backup *b, void *arg)
{
    struct counts *c = arg;
    char slot[32];
    manifest_time(b->m.slot, slot);
    c->pruned++;
    log_line(LOG_INFO, "pruned", "%s/%s of slot %s", b->dir, b->stem, slot);
}

void publisher_prune(struct publisher *p, const char *folder, struct counts *c)
{
    struct err e = {0};
    struct prune what = {.retention = &p->settings->retention, .gone = pruned, .arg = c};
    if (store_prune(p->settings->base, folder, &what, &e) != 0)
        log_line(LOG_ERROR, "prune_failed", "%s", e.text);
}

/* A file that took its place is somebody else's. */
static bool is_still(const char *path, const struct stamp *stamp)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && stamp_is(stamp, &st);
}

void publisher_delete_local(struct publisher *p, struct job *j, struct counts *c)
{
    char path[PATH_MAX], checksum[PATH_MAX + 16];
    struct err e = {0};
    if (files_join(path, sizeof path, p->settings->snapshots_dir, j->relative, &e) != 0 ||
        !is_still(path, &j->stamp))
        return;
    (void)snprintf(checksum, sizeof checksum, "%s.checksum", path);
    if (qdrant_snapshot_running(p->settings)) {
        j->postponed = true;
        return;
    }
    long status = qdrant_delete_snapshot(p->settings, &j->source);
    if (!is_still(path, &j->stamp)) {
        c->deleted++;
        log_line(LOG_INFO, "deleted_locally", "%s, by Qdrant", j->relative);
        return;
    }
    /* Not reachable, no right, or a folder that is no collection's: then it is a file like any other. */
    if (unlink(path) != 0 || (unlink(checksum) != 0 && errno != ENOENT)) {
        log_line(LOG_ERROR, "delete_failed", "cannot delete %s: %s; the local disk will fill up", path,
                 strerror(errno));
        return;
    }
    c->deleted++;
    if (status == 0)
        log_line(LOG_INFO, "deleted_locally", "%s, directly: Qdrant cannot be reached at %s", j->relative,
                 p->settings->qdrant_url);
    else
        log_line(status == 401 || status == 403 ? LOG_WARN : LOG_INFO, "deleted_locally",
                 "%s, directly: Qdrant answered %ld%s", j->relative, status,
                 status == 401 || status == 403 ? "; check QDRANT_API_KEY" : "");
}

/* Backups on the task's own disk would be gone with it. A file system that both folders share is fine only
 * when it is a network's. */
static void warn_if_local(const struct settings *s)
{
    struct statfs fs;
    struct stat efs, local;
    if (statfs(s->efs_root, &fs) == 0 && fs.f_type != NFS_SUPER_MAGIC && stat(s->efs_root, &efs) == 0 &&
        stat(s->snapshots_dir, &local) == 0 && efs.st_dev == local.st_dev)
        log_line(LOG_WARN, "efs_is_local", "EFS_ROOT %s is on the same local disk as %s: is EFS mounted?",
                 s->efs_root, s->snapshots_dir);
}

bool publisher_probe(struct publisher *p, char ***folders, size_t *n)
{
    const struct settings *s = p->settings;
    struct err e = {0};
    struct stat st;
    *folders = NULL;
    *n = 0;
    if (stat(s->efs_root, &st) != 0)
        (void)err_set(&e, errno, "cannot use EFS_ROOT", s->efs_root,
                      "mount EFS there; nothing is backed up until then");
    else if (!S_ISDIR(st.st_mode))
        (void)err_set(&e, ENOTDIR, "cannot use EFS_ROOT", s->efs_root,
                      "mount EFS there; nothing is backed up until then");
    else if (access(stat(s->base, &st) == 0 ? s->base : s->efs_root, W_OK | X_OK) != 0)
        (void)err_set(
            &e, errno, "cannot write to EFS_ROOT", s->efs_root,
            "check the mount, the access point's user and the file system policy; nothing is backed up");
    else if (store_folders(s->base, folders, n, &e) == 0)
        warn_if_local(s);
    if (!e.text[0])
        return true;
    log_line(LOG_ERROR, "efs_unusable", "%s", e.text);
    return false;
}
