#include "replicator/publish/publish_job.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/utc.h"
#include "common/log.h"
#include "efs/repo/forget.h"
#include "efs/repo/index_tsv.h"
#include "efs/repo/inventory.h"
#include "efs/repo/readme.h"
#include "replicator/publish/efs_check.h"
#include "replicator/core/hand_fingerprints.h"
#include "replicator/core/last_aliases.h"
#include "replicator/status/ecs_task.h"
#include "replicator/publish/s3_upload.h"
#include "replicator/core/snapshot_fingerprints.h"
#include "replicator/publish/publishable.h"
#include "replicator/publish/heartbeat_writer.h"
#include "replicator/publish/tar_check.h"
#include "replicator/status/state.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROBE_AGAIN = 60000, YOUNG = 3600, FAILURES_SAID = 10, MAKING_MS = 2000, MAKING_SHARE = 10 };

/* Not for an upload, or a snapshot that somebody else had made. */
static void about_content(struct publish_job *p, struct manifest *m)
{
    struct content found;
    const char *collection = m->source.collection, *stem = m->source.stem;
    if (!p->context->fingerprints || m->source.kind != KIND_COLLECTION || m->upload ||
        (!snapshot_fingerprints_take(p->context->fingerprints, collection, stem, p->stop, &found) &&
         !hand_fingerprints_take(p->context->settings.snapshots_dir, collection, stem, p->stop, &found)))
        return;
    if (*found.sha256 && *m->content.sha256 && strcmp(found.sha256, m->content.sha256) != 0)
        return; /* of another snapshot, of the same second and so of the same name: this file took its place
                 */
    m->fingerprint = found.fingerprint;
    m->aliases = found.aliases;
}

/* Of a snapshot whose own are not known: as they are now, if it is not from long ago, or as they were when
 * Qdrant last answered. */
static void about_aliases(struct publish_job *p, bool ask, struct manifest *m)
{
    struct last_aliases *last = p->context->last_aliases;
    const char *collection = m->source.collection;
    if (m->source.kind != KIND_COLLECTION || m->upload || m->aliases.known ||
        time(NULL) - m->created >= YOUNG)
        return;
    if (ask)
        (void)last_aliases_look(last, p->context->qdrant, collection);
    (void)last_aliases_get(last, collection, &m->aliases);
}

struct asking {
    struct publish_job *job;
    struct publishable about;
    struct shards shards;
};

/* A Qdrant that does not answer must not slow down each backup by a time-out. */
static void about(struct manifest *m, void *arg)
{
    struct asking *asking = arg;
    struct publish_job *p = asking->job;
    struct err e = {0};
    ecs_task_fill(p->context->ecs_task, m);
    about_content(p, m);
    /* nobody knows which Qdrant made an upload, nor what it held then */
    bool ask = clock_ms() >= atomic_load(&p->ask_after) && !m->upload;
    bool answers =
        ask && qdrant_version(p->context->qdrant, m->qdrant_version, sizeof m->qdrant_version, &e) == 0;
    if (ask && !answers)
        atomic_store(&p->ask_after, clock_ms() + PROBE_AGAIN);
    if (answers && m->source.kind != KIND_STORAGE)
        publishable_count(p->context, m, &asking->shards);
    about_aliases(p, answers, m);
}

static void log_published(const struct job *j, const struct manifest *m)
{
    char slot[32];
    utc_text(m->slot, slot);
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", m->source.collection);
        (void)cJSON_AddStringToObject(f, "kind", kind_text(m->source.kind));
        (void)cJSON_AddStringToObject(f, "frequency", frequency_text(m->frequency));
        (void)cJSON_AddStringToObject(f, "slot", slot);
        (void)cJSON_AddNumberToObject(f, "size", (double)m->content.size);
        (void)cJSON_AddNumberToObject(f, "stored_size", (double)m->content.stored_size);
        (void)cJSON_AddStringToObject(f, "codec", m->codec);
        (void)cJSON_AddNumberToObject(f, "seconds", m->seconds);
    }
    log_fields(LOG_INFO, "published", f, "%s is in %s now", j->relative, frequency_text(m->frequency));
}

/* For a line about it; NULL for the whole storage, and without memory. */
static cJSON *of_collection(const struct job *j)
{
    cJSON *f = j->source.collection[0] ? cJSON_CreateObject() : NULL;
    if (f)
        (void)cJSON_AddStringToObject(f, "collection", j->source.collection);
    return f;
}

/* Said when it is news: the file stays where it is, and is looked at again. */
static void report_doubt(const struct publish_job *p, const struct job *j, const struct err *e,
                         struct counts *c)
{
    bool upload = !j->checksum[0] || e->code == PUBLISHABLE_NOT_QDRANTS,
         refused = j->outcome == PUBLISH_REFUSED;
    enum status_doubt what = !refused ? STATUS_UPLOAD_WAITS
                             : upload ? STATUS_UPLOAD_REFUSED
                                      : STATUS_NOT_ACTIVE;
    static const char *const event[] = {"upload_refused", "upload_waits", "replica_not_active"};
    c->refused += refused;
    if (!status_doubt(p->context->status, what, j->relative, j->source.collection, e->text, time(NULL)))
        return;
    log_fields(refused ? LOG_ERROR : LOG_WARN, event[what], of_collection(j), "%s", e->text);
}

/* With EFS gone every snapshot that waits fails for the same reason, again and again: the first ones say it,
 * and then every hundredth. Health and /status (queue.failing) have their number. */
static enum log_level level_of_failure(struct publish_job *p, const struct err *e)
{
    if (e->code == ECANCELED)
        return LOG_INFO;
    unsigned n = atomic_fetch_add(&p->failures, 1);
    return n < FAILURES_SAID || n % 100 == 0 ? LOG_ERROR : LOG_DEBUG;
}

static void report(struct publish_job *p, const struct job *j, const struct manifest *m, const struct err *e,
                   struct counts *c)
{
    if (j->outcome != PUBLISH_REFUSED && j->outcome != PUBLISH_WAITS && j->outcome != PUBLISH_FAILED)
        status_no_doubt(p->context->status, j->relative, j->source.collection);
    switch (j->outcome) {
    case PUBLISHED:
        atomic_store(&p->failures, 0);
        c->published++;
        c->bytes += m->content.size;
        c->stored += m->content.stored_size;
        log_published(j, m);
        break;
    case PUBLISH_SAME:
        c->same++;
        log_line(LOG_DEBUG, "already_there", "%s is in %s", j->relative, frequency_text(m->frequency));
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
        log_fields(LOG_ERROR, "mismatch", of_collection(j), "%s", e->text);
        break;
    case PUBLISH_CONFLICT:
        c->conflict++;
        log_fields(LOG_ERROR, "conflict", of_collection(j), "%s", e->text);
        break;
    case PUBLISH_REFUSED:
    case PUBLISH_WAITS: report_doubt(p, j, e, c); break;
    case PUBLISH_NOTHING: log_line(LOG_INFO, "not_published", "%s", e->text); break;
    case PUBLISH_FAILED:
        c->failed += e->code != ECANCELED;
        log_fields(level_of_failure(p, e), "publish_failed", of_collection(j), "%s", e->text);
        break;
    }
}

struct life {
    struct status *status;
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
        status_busy(l->status, l->job->worker, l->job->busy, now);
    l->said = now;
}

static enum publish_outcome prove(struct manifest *m, void *arg, struct err *e)
{
    struct asking *asking = arg;
    return publishable_judge(&asking->about, m, e);
}

static enum publish_outcome publish(struct publish_job *p, struct job *j, struct manifest *m, struct err *e)
{
    char path[PATH_MAX];
    const struct settings *s = &p->context->settings;
    struct life life = {.status = p->context->status, .job = j};
    struct copy_watch watch = {alive, &life};
    if (files_join(path, sizeof path, s->snapshots_dir, j->relative, e) != 0)
        return PUBLISH_FAILED;
    if (!j->checksum[0] && !j->sha256[0] && tar_check(path, p->stop, e) != 0)
        return e->code == ECANCELED      ? PUBLISH_FAILED
               : access(path, F_OK) == 0 ? PUBLISH_MISMATCH
                                         : PUBLISH_VANISHED;
    struct asking asked = {
        .job = p,
        .about = {.context = p->context, .path = path, .made = j->checksum[0] != 0, .stop = p->stop}};
    asked.about.shards = &asked.shards;
    struct publish what = {.base = s->base,
                           .path = path,
                           .stamp = &j->stamp,
                           .source = j->source,
                           .checksum = j->checksum[0] ? j->checksum : NULL,
                           .known = j->sha256[0] ? j->sha256 : NULL,
                           .node = s->node,
                           .written_by = s->written_by,
                           .sign = s->sign,
                           .about = about,
                           .about_arg = &asked,
                           .prove = prove,
                           .prove_arg = &asked,
                           .shards = &asked.shards,
                           .retention = &s->retention,
                           .copy = {s->level, s->threads, p->stop, &watch},
                           .delta = s->delta};
    enum publish_outcome outcome = backup_publish(&what, m, e);
    shards_free(&asked.shards);
    return outcome;
}

/* It was forgotten while it was copied: whoever forgot it may not have seen it. */
static enum publish_outcome forget_again(struct publish_job *p, const struct manifest *m, struct err *e)
{
    return forget_one(p->context->settings.base, m, e) == 0 ? PUBLISH_NOTHING : PUBLISH_FAILED;
}

/* From the finished snapshot until now, by the clock that wrote its time. */
static double delay(const struct job *j)
{
    double seconds = difftime(time(NULL), j->stamp.mtime.tv_sec);
    return seconds > 0 ? seconds : 0;
}

/* Is it EFS, and not this one snapshot? */
static void tell_failed(const struct publish_job *p, struct job *j, const struct err *why)
{
    struct err e = {0};
    (void)snprintf(j->why, sizeof j->why, "%.511s", why->text);
    j->efs_bad = !efs_check(p->context, false, &e);
}

struct pruning {
    struct counts *counts;
    struct status *status;
};

static void pruned(const struct backup *b, void *arg)
{
    struct pruning *what = arg;
    char slot[32];
    utc_text(b->m.slot, slot);
    what->counts->pruned++;
    status_pruned(what->status, b);
    log_line(LOG_INFO, "pruned", "%s/%s of slot %s", b->dir, b->stem, slot);
}

static void prune(struct publish_job *p, const char *folder, bool sweep, struct counts *c)
{
    struct err e = {0};
    struct pruning arg = {c, p->context->status};
    struct prune what = {
        .retention = &p->context->settings.retention, .no_sweep = !sweep, .gone = pruned, .arg = &arg};
    if (atomic_load(&p->context->restore_pending))
        return; /* what a half-restored node has may push out nothing */
    if (backup_prune(p->context->settings.base, folder, &what, &e) != 0)
        log_line(LOG_ERROR, "prune_failed", "%s", e.text);
}

/* Once, when there is a tree. */
static void put_readme(struct publish_job *p)
{
    struct err e = {0};
    if (!atomic_exchange(&p->readme, true) && readme_put(p->context->settings.base, &e) != 0)
        log_line(LOG_WARN, "readme_failed", "%s", e.text);
}

/* Of what is for people alone the first failure is said, until one works again. */
static void told_index(struct publish_job *p, int rc, const struct err *e)
{
    bool failed = rc != 0 && e->code != ECANCELED;
    if (failed && !atomic_exchange(&p->index_failed, true))
        log_line(LOG_WARN, "index_failed", "%s", e->text);
    else if (rc == 0)
        atomic_store(&p->index_failed, false);
}

/* `list` as of now. */
static void put_index(struct publish_job *p, const char *folder, const struct backup_list *list)
{
    struct err e = {0};
    if (index_tsv_due(p->context->settings.base, folder))
        told_index(p, index_tsv_put(p->context->settings.base, folder, list, p->stop, &e), &e);
}

/* The first backup of each hour brings it up to date; at a stop there is no time for it. */
static void put_index_after(struct publish_job *p, const char *folder)
{
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    const char *base = p->context->settings.base;
    if (!atomic_load(&p->hurry) && index_tsv_due(base, folder) &&
        backup_list_folder(base, folder, &list, &e) == 0)
        put_index(p, folder, &list);
}

void publish_job_publish(struct publish_job *p, struct job *j, struct counts *c)
{
    struct err e = {0};
    struct manifest m = {0};
    j->outcome = publish(p, j, &m, &e);
    if (j->outcome == PUBLISHED && publishable_forgotten(p->context, &m, &e))
        j->outcome = forget_again(p, &m, &e);
    report(p, j, &m, &e, c);
    j->local = efs_check_local(p->context, false);
    if (j->outcome == PUBLISHED)
        efs_check_works(p->context);
    else if (j->outcome == PUBLISH_FAILED && e.code != ECANCELED)
        tell_failed(p, j, &e);
    if (j->outcome == PUBLISHED || j->outcome == PUBLISH_SAME)
        memcpy(j->sha256, m.content.sha256, sizeof j->sha256);
    if (j->outcome != PUBLISHED)
        return;
    put_readme(p);
    status_published(p->context->status, &m, delay(j), time(NULL));
    heartbeat_writer_published(p->context->heartbeat_writer, &m, clock_ms());
    s3_upload_add(p->context->s3_upload, &m, j->relative, &j->stamp);
    /* What is swept is minutes to a day old: the hourly housekeeping is soon enough. */
    prune(p, j->folder, false, c);
    put_index_after(p, j->folder);
}

void folder_refresh(struct publish_job *p, const char *folder, struct counts *c)
{
    const struct settings *s = &p->context->settings;
    struct inventory *found = calloc(1, sizeof *found);
    struct status_tier tiers[FREQUENCY_COUNT] = {0};
    cleanup_backup_list struct backup_list list = {0};
    struct err e = {0};
    if (!atomic_exchange(&p->swept, true)) /* of a README.txt whose writer was killed */
        files_sweep_small(s->base);
    prune(p, folder, true, c);
    if (!found || backup_list_folder(s->base, folder, &list, &e) != 0 ||
        inventory_take(&list, s->node, found, &e) != 0) {
        log_line(LOG_WARN, "survey_failed", "%s", found ? e.text : "no memory");
        heartbeat_writer_blind(p->context->heartbeat_writer, folder);
        free(found);
        return;
    }
    heartbeat_writer_found(p->context->heartbeat_writer, folder, found);
    const struct manifest *any = NULL, *newest = NULL;
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        const struct inventory_frequency *from = &found->frequency[t];
        tiers[t] = (struct status_tier){.count = from->count, .stored_bytes = from->stored_bytes};
        if (!from->any)
            continue;
        any = &from->newest;
        if (!newest || newest->created < any->created)
            newest = any;
        tiers[t].newest_slot = any->slot;
        tiers[t].newest_taken = any->created;
    }
    if (any) {
        status_found(p->context->status, &any->source, tiers);
        status_found_backup(p->context->status, newest);
    }
    free(found);
    s3_upload_look(p->context->s3_upload, folder);
    put_index(p, folder, &list);
}

/* A file that took its place is somebody else's. */
static bool is_still(const char *path, const struct stamp *stamp)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && stamp_is(stamp, &st);
}

/* Is Qdrant making a snapshot of anything? False also when it does not tell. */
static bool ask_making(struct qdrant *q)
{
    struct qdrant_state state;
    struct err e = {0};
    if (qdrant_state(q, &state, &e) != 0)
        return false;
    bool running = state.making.n > 0;
    qdrant_names_free(&state.making);
    return running;
}

/* A full-storage snapshot first makes those of all collections, one after the other, and needs them all at
 * its end. Qdrant's answer grows with its collections, so that one serves all files that were chosen before
 * it was given: a full-storage snapshot that begins later needs only files that are made later. It serves no
 * longer once anything has happened to a snapshot: Qdrant may have been asked between two of a full-storage
 * one. */
static bool snapshot_running(struct publish_job *p, int64_t chosen)
{
    struct making *m = &p->making;
    unsigned events = atomic_load(&p->snapshot_events);
    int64_t now = clock_ms();
    if (m->known && m->events == events && m->asked >= chosen && now < m->end)
        return m->running;
    *m = (struct making){.known = true, .events = events, .asked = now};
    m->running = ask_making(p->context->qdrant);
    int64_t answered = clock_ms();
    m->end = answered + MAKING_MS + MAKING_SHARE * (answered - now);
    return m->running;
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

static void log_urgent(const struct job *j)
{
    if (j->given_up)
        log_fields(LOG_ERROR, "snapshot_given_up", of_collection(j),
                   "%s is deleted and is NOT on EFS, which does not take it: without that the local disk "
                   "would run full, and Qdrant refuse writes. Qdrant has its data. Get EFS to work, or give "
                   "the task more ephemeral storage",
                   j->relative);
    else
        log_line(LOG_INFO, "deleted_locally", "%s, since Qdrant needs the room; it is safe on EFS",
                 j->relative);
}

void local_delete(struct publish_job *p, struct job *j, struct counts *c)
{
    char path[PATH_MAX], checksum[PATH_MAX + 16];
    struct err e = {0};
    if (files_join(path, sizeof path, p->context->settings.snapshots_dir, j->relative, &e) != 0 ||
        !is_still(path, &j->stamp))
        return;
    (void)snprintf(checksum, sizeof checksum, "%s.checksum", path);
    if (!j->urgent && snapshot_running(p, j->chosen)) {
        j->postponed = true;
        return;
    }
    long status = j->urgent ? 0 : delete_by_qdrant(p->context, &j->source);
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
    if (j->urgent)
        log_urgent(j);
    else if (status == 0)
        log_line(LOG_INFO, "deleted_locally", "%s, directly: Qdrant cannot be reached at %s", j->relative,
                 p->context->qdrant_settings.url);
    else
        log_line(status == 401 || status == 403 ? LOG_WARN : LOG_INFO, "deleted_locally",
                 "%s, directly: Qdrant answered %ld%s", j->relative, status,
                 status == 401 || status == 403 ? "; check QDRANT_API_KEY, its file, or AK_ARN" : "");
}

bool efs_look(struct publish_job *p, bool aloud, char ***folders, size_t *n)
{
    struct context *x = p->context;
    struct err e = {0};
    unsigned long long mark = heartbeat_writer_mark(x->heartbeat_writer);
    *folders = NULL;
    *n = 0;
    if (!efs_check(x, aloud, &e))
        return false;
    (void)efs_check_local(x, aloud);
    if (backup_folders(x->settings.base, folders, n, &e) == 0) {
        heartbeat_writer_only(x->heartbeat_writer, mark, *folders, *n);
        told_index(p, index_tsv_sweep(x->settings.base, *folders, *n, &e), &e);
        return true;
    }
    if (status_efs(x->status, false, e.text, time(NULL)) || aloud)
        log_line(LOG_ERROR, "efs_unusable", "%s", e.text);
    return false;
}
