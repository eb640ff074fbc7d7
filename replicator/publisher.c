#include "replicator/publisher.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "efs/survey.h"
#include "replicator/identity.h"
#include "replicator/offsite.h"
#include "replicator/prints.h"
#include "replicator/pulse.h"
#include "replicator/tarcheck.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { ASK_AGAIN = 60000, YOUNG = 3600 };

/* Not for an upload, or a snapshot that somebody else had made. */
static void about_content(struct publisher *p, struct manifest *m)
{
    struct content found;
    if (!p->context->prints || m->source.kind != KIND_COLLECTION ||
        !prints_take(p->context->prints, m->source.collection, m->source.stem, p->stop, &found))
        return;
    m->fingerprint = found.fingerprint;
    m->aliases = found.aliases;
}

/* Of a snapshot that somebody else had made: as they are now, if it is not from long ago. */
static void about_aliases(struct publisher *p, struct manifest *m)
{
    struct err e = {0};
    if (m->source.kind == KIND_COLLECTION && !m->aliases.known && time(NULL) - m->created < YOUNG &&
        aliases_take(p->context->qdrant, m->source.collection, &m->aliases, &e) != 0)
        log_line(LOG_DEBUG, "no_aliases", "%s", e.text);
}

/* A Qdrant that does not answer must not slow down each backup by a time-out. */
static void about(struct manifest *m, void *arg)
{
    struct publisher *p = arg;
    struct err e = {0};
    identity_fill(p->context->identity, m);
    about_content(p, m);
    if (clock_ms() < atomic_load(&p->ask_after))
        return;
    if (qdrant_version(p->context->qdrant, m->qdrant_version, sizeof m->qdrant_version, &e) != 0)
        atomic_store(&p->ask_after, clock_ms() + ASK_AGAIN);
    else if (m->source.kind != KIND_STORAGE) {
        if (qdrant_points(p->context->qdrant, m->source.collection, &m->points, &e) != 0)
            log_line(LOG_DEBUG, "no_points", "%s", e.text);
        about_aliases(p, m);
    }
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

struct life {
    struct ledger *ledger;
    const struct job *job;
    time_t said;
};

/* A copy that goes on is no hung EFS, however long it takes. */
static void alive(size_t n, void *arg)
{
    struct life *l = arg;
    time_t now = time(NULL);
    (void)n;
    if (now != l->said)
        ledger_busy(l->ledger, l->job->worker, l->job->busy, now);
    l->said = now;
}

static enum publish_outcome publish(struct publisher *p, struct job *j, struct manifest *m, struct err *e)
{
    char path[PATH_MAX];
    const struct settings *s = &p->context->settings;
    struct life life = {.ledger = p->context->ledger, .job = j};
    struct copy_watch watch = {alive, &life};
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
                           .copy = {s->level, s->threads, p->stop, &watch}};
    return store_publish(&what, m, e);
}

/* From the finished snapshot until now, by the clock that wrote its time. */
static double delay(const struct job *j)
{
    double seconds = difftime(time(NULL), j->stamp.mtime.tv_sec);
    return seconds > 0 ? seconds : 0;
}

void publisher_publish(struct publisher *p, struct job *j, struct counts *c)
{
    struct err e = {0};
    struct manifest m = {0};
    j->outcome = publish(p, j, &m, &e);
    report(j, &m, &e, c);
    if (j->outcome == PUBLISHED || j->outcome == PUBLISH_SAME)
        memcpy(j->sha256, m.content.sha256, sizeof j->sha256);
    if (j->outcome != PUBLISHED)
        return;
    ledger_published(p->context->ledger, &m, delay(j), time(NULL));
    pulse_published(p->context->pulse, &m, clock_ms());
    offsite_add(p->context->offsite, &m, j->relative, &j->stamp);
    publisher_prune(p, j->folder, c);
}

struct pruning {
    struct counts *counts;
    struct ledger *ledger;
};

static void pruned(const struct backup *b, void *arg)
{
    struct pruning *what = arg;
    char slot[32];
    manifest_time(b->m.slot, slot);
    what->counts->pruned++;
    ledger_pruned(what->ledger, b);
    log_line(LOG_INFO, "pruned", "%s/%s of slot %s", b->dir, b->stem, slot);
}

void publisher_prune(struct publisher *p, const char *folder, struct counts *c)
{
    struct err e = {0};
    struct pruning arg = {c, p->context->ledger};
    struct prune what = {.retention = &p->context->settings.retention, .gone = pruned, .arg = &arg};
    if (atomic_load(&p->context->hold))
        return; /* what a half-restored node has may push out nothing */
    if (store_prune(p->context->settings.base, folder, &what, &e) != 0)
        log_line(LOG_ERROR, "prune_failed", "%s", e.text);
}

void publisher_survey(struct publisher *p, const char *folder, struct counts *c)
{
    const struct settings *s = &p->context->settings;
    struct survey *found = calloc(1, sizeof *found);
    struct ledger_tier tiers[TIER_COUNT] = {0};
    struct err e = {0};
    publisher_prune(p, folder, c);
    if (!found || survey_folder(s->base, folder, s->node, found, &e) != 0) {
        log_line(LOG_WARN, "survey_failed", "%s", found ? e.text : "no memory");
        pulse_blind(p->context->pulse, folder);
        free(found);
        return;
    }
    pulse_found(p->context->pulse, folder, found);
    const struct manifest *any = NULL, *newest = NULL;
    for (int t = 0; t < TIER_COUNT; t++) {
        const struct survey_tier *from = &found->tier[t];
        tiers[t] = (struct ledger_tier){.count = from->count, .stored_bytes = from->stored_bytes};
        if (!from->any)
            continue;
        any = &from->newest;
        if (!newest || newest->created < any->created)
            newest = any;
        tiers[t].newest_slot = any->slot;
        tiers[t].newest_taken = any->created;
    }
    if (any) {
        ledger_found(p->context->ledger, &any->source, tiers);
        ledger_found_backup(p->context->ledger, newest);
    }
    free(found);
    offsite_look(p->context->offsite, folder);
}

/* A file that took its place is somebody else's. */
static bool is_still(const char *path, const struct stamp *stamp)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && stamp_is(stamp, &st);
}

/* Is Qdrant making a snapshot of anything? A full-storage snapshot first makes those of all collections, one
 * after the other, and needs them all at its end. False also when it does not tell. */
static bool snapshot_running(struct qdrant *q)
{
    struct qdrant_state state;
    struct err e = {0};
    if (qdrant_state(q, &state, &e) != 0)
        return false;
    bool running = state.making.n > 0;
    qdrant_names_free(&state.making);
    return running;
}

/* Names of shard and storage snapshots have no peer id: behind a shared address another node may have one of
 * the same name that is not backed up yet. */
static long delete_by_qdrant(const struct context *x, const struct source *src)
{
    char name[sizeof src->stem + 16];
    if (x->qdrant_settings.shared && src->kind != KIND_COLLECTION)
        return 0;
    (void)snprintf(name, sizeof name, "%s.snapshot", src->stem);
    return qdrant_snapshot_delete(x->qdrant, src->kind == KIND_STORAGE ? NULL : src->collection,
                                  src->kind == KIND_SHARD ? src->shard : NULL, name);
}

void publisher_delete_local(struct publisher *p, struct job *j, struct counts *c)
{
    char path[PATH_MAX], checksum[PATH_MAX + 16];
    struct err e = {0};
    if (files_join(path, sizeof path, p->context->settings.snapshots_dir, j->relative, &e) != 0 ||
        !is_still(path, &j->stamp))
        return;
    (void)snprintf(checksum, sizeof checksum, "%s.checksum", path);
    if (snapshot_running(p->context->qdrant)) {
        j->postponed = true;
        return;
    }
    long status = delete_by_qdrant(p->context, &j->source);
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
                 p->context->qdrant_settings.url);
    else
        log_line(status == 401 || status == 403 ? LOG_WARN : LOG_INFO, "deleted_locally",
                 "%s, directly: Qdrant answered %ld%s", j->relative, status,
                 status == 401 || status == 403 ? "; check QDRANT_API_KEY, its file, or AK_ARN" : "");
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
    const struct settings *s = &p->context->settings;
    struct err e = {0};
    struct stat st;
    unsigned long long mark = pulse_mark(p->context->pulse);
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
    ledger_efs(p->context->ledger, !e.text[0], e.text[0] ? e.text : NULL, time(NULL));
    if (!e.text[0]) {
        pulse_only(p->context->pulse, mark, *folders, *n);
        return true;
    }
    log_line(LOG_ERROR, "efs_unusable", "%s", e.text);
    return false;
}
