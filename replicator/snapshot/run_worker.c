#include "common/base/clock.h"
#include "common/log.h"
#include "common/base/text.h"
#include "qdrant/cluster.h"
#include "qdrant/marks.h"
#include "replicator/snapshot/run_state.h"
#include "replicator/status/state.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Milliseconds. ROOM: until what is published, or is being published, has gone from the local disk.
 * BUSY: until a stop looks again whether somebody else's snapshot is made; Qdrant names them by the second.
 */
enum { TRY_FIRST = 5000, TRY_MAX = 300000, ROOM_WANT_MS = 30000, ROOM_WAITS = 70, BUSY_MS = 1100 };

int64_t runner_backoff(unsigned tries)
{
    int64_t wait = (int64_t)TRY_FIRST << (tries < 7 ? tries : 7);
    return wait < TRY_MAX ? wait : TRY_MAX;
}

const char *runner_shown(const struct target *it, char out[300])
{
    return it->name ? text_printable(it->name, out, 300) : "the whole storage";
}

/* Does it still count for the run that is going? */
static bool in_run_locked(const struct runner *m, const struct target *it)
{
    return m->run && it->run == m->run_number;
}

/* For whoever watches by hand. With the mutex held. */
static void tell_failure_locked(const struct runner *m, const struct target *it, const char *why)
{
    const struct runner_progress *p = m->run && it->run == m->run_number ? m->run->progress : NULL;
    status_snapshot_failed(m->o.status, it->name ? it->name : "", why, time(NULL));
    if (p)
        p->failed(it->name, why, p->arg);
}

static cJSON *about(const struct target *it, const struct qdrant_snapshot *s, double seconds)
{
    cJSON *f = cJSON_CreateObject();
    if (!f)
        return NULL;
    if (it->name) /* a member that finds no memory is left out */
        (void)cJSON_AddStringToObject(f, "collection", it->name);
    if (!s)
        return f;
    (void)cJSON_AddStringToObject(f, "snapshot", s->name);
    (void)cJSON_AddNumberToObject(f, "size", (double)s->size);
    (void)cJSON_AddNumberToObject(f, "seconds", seconds);
    return f;
}

/* What it will take of the disk while it is made. Lets go of the mutex while it looks. */
static void estimate(struct runner *m, struct target *it, uint64_t floor)
{
    (void)pthread_mutex_unlock(&m->mutex);
    int64_t on_disk = disk_of_collection(m->o.disk, it->name);
    int64_t on_efs = it->name ? status_newest_size(m->o.status, it->name) : -1;
    (void)pthread_mutex_lock(&m->mutex);
    struct disk_known known = {.on_disk = on_disk, .last = it->size, .last_had = it->had, .on_efs = on_efs};
    it->has = on_disk;
    it->need = disk_estimate(&known, floor);
    if (!it->name)
        it->need = disk_whole(it->need);
}

/* The disk must hold it beside those that are being made, and it is Qdrant's disk, too. Lets go of the mutex
 * while it looks: SNAPSHOTS_DIR may be on a mount that hangs. */
static enum disk_answer ask_disk_locked(struct runner *m, struct target *it, struct disk_question *q)
{
    *q = (struct disk_question){.floor = disk_marks_of(m->o.disk).floor,
                                .unpublished = disk_unpublished(m->o.disk, it->name),
                                .releasable = disk_releasable(m->o.disk)};
    estimate(m, it, q->floor);
    (void)pthread_mutex_unlock(&m->mutex);
    bool told = disk_left_for(m->o.disk, !it->name, &q->free);
    (void)pthread_mutex_lock(&m->mutex);
    q->need = targets_making_need(&m->targets); /* with this one */
    if (!told)
        q->free = UINT64_MAX; /* no folder yet: nothing can be said */
    return disk_may_make(q);
}

static void tell_watcher_locked(struct runner *m, const struct target *it, const char *why)
{
    if (in_run_locked(m, it) && m->run->progress)
        m->run->progress->failed(it->name, why, m->run->progress->arg);
}

static void say_low_locked(struct runner *m, const struct target *it, const struct disk_question *q)
{
    char name[300], text[600];
    (void)snprintf(
        text, sizeof text,
        "no snapshot of %s is made: the local disk has %llu MiB free, this and those that are being made "
        "would take %llu MiB, and %llu MiB are kept for Qdrant (MIN_FREE). "
        "Give the task more ephemeral storage, free some space, or lower MIN_FREE",
        runner_shown(it, name), (unsigned long long)q->free >> 20, (unsigned long long)q->need >> 20,
        (unsigned long long)q->floor >> 20);
    log_fields(LOG_ERROR, "disk_low", about(it, NULL, 0), "%s", text);
    tell_failure_locked(m, it, text);
}

/* Once, until one of it is made again. */
static void say_held_locked(struct runner *m, struct target *it, const struct disk_question *q)
{
    char name[300], text[500];
    (void)snprintf(
        text, sizeof text,
        "no more snapshots of %s are made: %u of it are on the local disk alone, since EFS has not "
        "taken them; they would fill Qdrant's disk. It goes on when one of them is on EFS",
        runner_shown(it, name), q->unpublished);
    status_held(m->o.status, it->name ? it->name : "", q->unpublished); /* who reads the line finds it there */
    if (!it->held)
        log_fields(LOG_ERROR, "snapshots_held", about(it, NULL, 0), "%s", text);
    it->held = true;
    tell_watcher_locked(m, it, text);
}

/* True: it is not begun now. Room that published snapshots take is made within seconds, and what is on its
 * way to EFS is published in some minutes. */
static bool lacks_room_locked(struct runner *m, struct target *it, bool *again)
{
    struct disk_question q;
    enum disk_answer answer = ask_disk_locked(m, it, &q);
    int64_t now = clock_ms();
    *again = answer == DISK_SOON && in_run_locked(m, it) && m->run->end && it->waits++ < ROOM_WAITS;
    if (*again) {
        it->due = now + (it->waits < 10 ? 1000 : 10000);
        disk_want(m->o.disk, q.need, now + ROOM_WANT_MS);
        return true;
    }
    if (it->waits > 0)
        disk_want(m->o.disk, 0, 0);
    if (answer == DISK_HELD)
        say_held_locked(m, it, &q);
    else if (answer != DISK_MAKE)
        say_low_locked(m, it, &q);
    return answer != DISK_MAKE;
}

/* Is somebody else at it? Lets go of the mutex while it asks. */
static bool being_made_locked(struct runner *m, const struct target *it)
{
    struct qdrant_state state = {0};
    struct err e = {0};
    if (clock_ms() >= m->state_due) {
        m->state_due = clock_ms() + RUNNER_STATE_LATER; /* the others need not ask meanwhile */
        (void)pthread_mutex_unlock(&m->mutex);
        int rc = qdrant_state(m->o.qdrant, &state, &e);
        (void)pthread_mutex_lock(&m->mutex);
        m->state_due = clock_ms() + (rc == 0 ? RUNNER_STATE_MS : RUNNER_STATE_LATER);
        qdrant_names_free(&m->state.making);
        m->state = state;
        if (rc != 0)
            log_line(LOG_DEBUG, "no_metrics", "%s", e.text);
    }
    return it->name && qdrant_names_have(&m->state.making, it->name);
}

static void made_locked(struct runner *m, struct target *it, const struct qdrant_snapshot *s, double seconds)
{
    char name[300];
    targets_made(it, s);
    memcpy(it->mark, it->mark_begun, sizeof it->mark);
    it->seconds = seconds;
    it->last_made += in_run_locked(m, it);
    m->pauses = 0;
    log_fields(LOG_INFO, "snapshot_made", about(it, s, seconds), "%s: %s", runner_shown(it, name), s->name);
    if (in_run_locked(m, it)) {
        m->report.made++;
        m->report.bytes += s->size;
        if (m->run->progress)
            m->run->progress->made(it->name, s, seconds, m->run->progress->arg);
    }
    targets_settle(it, TARGET_OUT);
}

bool runner_concerns_all(const struct err *e)
{
    return e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY || e->code == ECONNREFUSED ||
           e->code == EKEYREJECTED;
}

static void not_made_locked(struct runner *m, struct target *it, const struct err *e)
{
    char name[300];
    int64_t now = clock_ms();
    bool here = in_run_locked(m, it), all = runner_concerns_all(e), last = here && m->run->last,
         again = here && m->run->end && !last && e->code != QDRANT_MISSING;
    if (e->code == ECANCELED) {
        targets_settle(it, TARGET_OUT);
        return;
    }
    it->due = now + runner_backoff(it->tries++);
    m->report.failed += here && !again;
    m->cut = m->cut || (all && last); /* there is no time to wait until it is back */
    if (all)
        m->pause = now + runner_backoff(m->pauses++);
    if (!all || m->refused_said != e->code)
        log_fields(LOG_ERROR,
                   e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY ? "qdrant_unauthorized"
                                                                         : "snapshot_failed",
                   about(it, NULL, 0), "no snapshot of %s: %s%s", runner_shown(it, name), e->text,
                   again ? "; it is tried again" : "");
    m->refused_said = all ? e->code : m->refused_said;
    tell_failure_locked(m, it, e->text);
    targets_settle(it, again ? TARGET_PENDING : TARGET_OUT);
}

/* Before the snapshot, since Qdrant may have gone when it is published. Asked once: the snapshot itself has
 * none, and one that moves meanwhile is as good before as after. */
static void look_at_aliases(struct runner *m, const struct target *it, struct aliases *out)
{
    struct err e = {0};
    *out = (struct aliases){0};
    if (!it->name || (!m->o.last_aliases && !m->o.fingerprints))
        return;
    if (aliases_take(m->o.qdrant, it->name, out, &e) != 0)
        log_line(LOG_DEBUG, "no_aliases", "%s", e.text);
    else if (m->o.last_aliases)
        last_aliases_put(m->o.last_aliases, it->name, out);
}

/* With a look at what it holds before and after, where that is wanted. */
static int ask_for(struct runner *m, const struct target *it, struct qdrant_snapshot *s, double *seconds,
                   struct err *e)
{
    struct content_digest_pair *pair =
        m->o.fingerprints && it->name ? snapshot_fingerprints_begin(m->o.fingerprints, m->o.qdrant, it->name)
                                      : NULL;
    struct aliases aliases;
    look_at_aliases(m, it, &aliases);
    int64_t begin = clock_ms();
    int rc = qdrant_snapshot_make(m->o.qdrant, it->name, (long)m->o.options->timeout * 1000, s, e);
    *seconds = (double)(clock_ms() - begin) / 1000;
    snapshot_fingerprints_end(m->o.fingerprints, m->o.qdrant, pair, &aliases, rc == 0 ? s : NULL);
    return rc;
}

/* A collection that was deleted since the run began is no failure. */
static bool deleted_meanwhile(struct runner *m, const struct target *it, const struct err *e)
{
    cleanup_names struct qdrant_names names = {0};
    struct err ignored;
    return e->code == QDRANT_MISSING && it->name && qdrant_collections(m->o.qdrant, &names, &ignored) == 0 &&
           !qdrant_names_have(&names, it->name);
}

/* A snapshot of a replica that is not Active looks whole, and lacks points. Lets go of the mutex while it
 * asks; where Qdrant does not tell, what is in the snapshot does (publishable.h). */
static bool not_active_locked(struct runner *m, const struct target *it)
{
    struct cluster_shards shards = {0};
    struct err e = {0};
    if (!m->clustered || !it->name)
        return false;
    (void)pthread_mutex_unlock(&m->mutex);
    int rc = cluster_shards(m->o.qdrant, it->name, &shards, &e);
    (void)pthread_mutex_lock(&m->mutex);
    if (rc != 0 || !shards.trouble[0])
        return false;
    if (status_doubt(m->o.status, STATUS_NOT_ACTIVE, "", it->name, shards.trouble, time(NULL)))
        log_fields(
            LOG_ERROR, "replica_not_active", about(it, NULL, 0),
            "no snapshot of %s: %s; only replicas in state Active are a backup. It is tried again in the "
            "next slot",
            it->name, shards.trouble);
    tell_watcher_locked(m, it, shards.trouble);
    return true;
}

/* At a stop that one may lack the last writes: its end is waited for. */
static bool waits_for_end_locked(struct runner *m, struct target *it)
{
    if (!in_run_locked(m, it) || !m->run->last)
        return false;
    it->due = m->state_due = clock_ms() + BUSY_MS;
    it->busy = true;
    return true;
}

/* Not begun, for a reason that another try would not change; or not yet. */
static bool skipped_locked(struct runner *m, struct target *it)
{
    char name[300], text[400];
    bool running = being_made_locked(m, it), again = false;
    if (running && !it->busy) {
        (void)snprintf(text, sizeof text, "a snapshot of %s is being made already", runner_shown(it, name));
        log_fields(LOG_INFO, "already_running", about(it, NULL, 0), "%s", text);
        tell_watcher_locked(m, it, text);
    }
    if (running)
        again = waits_for_end_locked(m, it);
    else
        it->busy = false;
    if (!running && !not_active_locked(m, it) && !lacks_room_locked(m, it, &again))
        return false;
    m->report.skipped += in_run_locked(m, it) && !again;
    targets_settle(it, again ? TARGET_PENDING : TARGET_OUT);
    return true;
}

static void skip_deleted_locked(struct runner *m, struct target *it)
{
    char name[300], text[400];
    (void)snprintf(text, sizeof text, "%s was deleted before its snapshot was made", runner_shown(it, name));
    log_fields(LOG_INFO, "collection_gone", about(it, NULL, 0), "%s", text);
    const struct runner_progress *p = in_run_locked(m, it) ? m->run->progress : NULL;
    if (p && p->gone)
        p->gone(it->name, p->arg);
    else
        tell_watcher_locked(m, it, text);
    m->report.skipped += in_run_locked(m, it);
    targets_settle(it, TARGET_OUT);
}

/* Qdrant says that it has made one: is its file here, where it is looked for? A Qdrant that keeps its
 * snapshots in S3, or in another folder, would never get a backup, and nobody would say so. Without the
 * mutex; `it` is the caller's. */
static void look_for_file(struct runner *m, const struct target *it, const struct qdrant_snapshot *s)
{
    char path[PATH_MAX], why[700];
    struct stat st;
    if (!m->o.files_here || !it->name ||
        (size_t)snprintf(path, sizeof path, "%s/%s/%s", m->o.snapshots_dir, it->name, s->name) >= sizeof path)
        return;
    if (lstat(path, &st) == 0 || errno != ENOENT ||
        status_newest(m->o.status, it->name) >= targets_taken(it, s)) {
        atomic_store(&m->away_said, 0);
        status_here(m->o.status, it->name);
        return; /* or it is on EFS, and was let go already */
    }
    (void)snprintf(why, sizeof why, "Qdrant made %.200s, and there is no such file in %.400s", s->name,
                   m->o.snapshots_dir);
    /* One cause for all, most likely: the first ones say it. */
    bool news = status_doubt(m->o.status, STATUS_NOT_HERE, "", it->name, why, time(NULL));
    if (news && atomic_fetch_add(&m->away_said, 1) < RUNNER_AWAY_SAID)
        log_fields(
            LOG_ERROR, "snapshot_not_here", about(it, NULL, 0),
            "%s: %s. It is NOT backed up: set SNAPSHOTS_DIR to the folder of Qdrant's snapshots; those that "
            "Qdrant itself keeps in S3 (storage.snapshots_config) are never seen here",
            it->name, why);
}

/* After a second snapshot at a stop it is told what was written since: what was written while that one waited
 * is in it. Lets go of the mutex while it asks; what one knew before errs on the safe side. */
static void look_at_mark_locked(struct runner *m, struct target *it)
{
    cleanup_marks struct qdrant_marks marks = {0};
    struct err e = {0};
    if (!m->o.marks || !in_run_locked(m, it) || !m->run->last || it->last_tries < 2)
        return;
    (void)pthread_mutex_unlock(&m->mutex);
    int rc = qdrant_marks(m->o.qdrant, &marks, &e);
    (void)pthread_mutex_lock(&m->mutex);
    if (rc == 0)
        (void)snprintf(it->mark_begun, sizeof it->mark_begun, "%s", qdrant_marks_of(&marks, it->name));
}

/* Gives the mutex back while Qdrant is at work. */
static void make_locked(struct runner *m, struct target *it)
{
    struct qdrant_snapshot s = {0};
    struct err e = {0};
    double seconds = 0;
    it->state = TARGET_MAKING; /* from here on it stays, whatever Qdrant has */
    it->run = m->run_number;
    memcpy(it->mark_begun, it->mark_now, sizeof it->mark_begun);
    if (skipped_locked(m, it))
        return;
    look_at_mark_locked(m, it);
    (void)pthread_mutex_unlock(&m->mutex);
    int rc = ask_for(m, it, &s, &seconds, &e);
    if (rc == 0)
        look_for_file(m, it, &s);
    bool deleted = rc != 0 && deleted_meanwhile(m, it, &e);
    (void)pthread_mutex_lock(&m->mutex);
    if (deleted) {
        skip_deleted_locked(m, it);
    } else if (rc == 0)
        made_locked(m, it, &s, seconds);
    else
        not_made_locked(m, it, &e);
}

static void wait_for_work_locked(struct runner *m, int64_t until)
{
    if (until < 0) {
        (void)pthread_cond_wait(&m->work, &m->mutex);
        return;
    }
    struct timespec end = clock_spec(until);
    (void)pthread_cond_timedwait(&m->work, &m->mutex, &end);
}

void *runner_work(void *arg)
{
    struct runner *m = arg;
    (void)pthread_mutex_lock(&m->mutex);
    while (!m->quit) {
        int64_t now = clock_ms(), wait;
        struct target *it = targets_next(&m->targets, now, &wait);
        if (it && m->pause > now) {
            it = NULL;
            wait = m->pause;
        }
        if (!it) {
            wait_for_work_locked(m, wait);
            continue;
        }
        make_locked(m, it);
        (void)pthread_cond_broadcast(&m->done);
    }
    (void)pthread_mutex_unlock(&m->mutex);
    return NULL;
}
