#include "replicator/publish/jobs.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/log.h"
#include "common/base/thread.h"
#include "replicator/publish/job_order.h"
#include "replicator/publish/publish_job.h"
#include "replicator/publish/heartbeat_writer.h"
#include "replicator/publish/start_check.h"
#include "replicator/status/state.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Eight for EFS, which answers many as fast as one: small backups are all round trips. The last is for the
 * local disk. */
enum { THREADS = 9, LOCAL = THREADS - 1 };
_Static_assert((int)THREADS < (int)STATUS_WORKERS, "each is told, and a restore has the last place");

struct worker {
    struct jobs *all;
    pthread_t thread;
    const char *folder; /* the one it works in, or NULL */
    bool started;
};
struct jobs {
    struct publish_job publish_job;
    int wake_fd;
    atomic_bool stop;
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t more;
    struct worker worker[THREADS];
    struct job *head, **tail; /* queued, oldest first */
    struct job *done;
    size_t open;    /* queued or running */
    size_t unseen;  /* folders that are still to be looked at since the last look at EFS */
    unsigned large; /* copies that are large and running */
    bool efs_bad, hurry;
    struct counts counts;
};

struct job *job_new(enum job_kind kind, const struct source *source, const char *relative)
{
    char folder[NAME_MAX * 2] = "";
    struct job *j = calloc(1, sizeof *j + strlen(relative) + 1);
    if (!j)
        return NULL;
    j->kind = kind;
    strcpy(j->relative, relative); /* sized above */
    if (source) {
        j->source = *source;
        (void)name_folder(source, folder, sizeof folder);
    }
    j->folder = strdup(folder);
    if (!j->folder) {
        free(j);
        return NULL;
    }
    return j;
}

void job_free(struct job *j)
{
    if (!j)
        return;
    qdrant_names_free(&j->present);
    free(j->folder);
    free(j);
}

static bool folder_busy_locked(const char *folder, const void *arg)
{
    const struct jobs *w = arg;
    for (int i = 0; i < THREADS; i++)
        if (*folder && w->worker[i].folder && strcmp(w->worker[i].folder, folder) == 0)
            return true;
    return false;
}

/* Take the next job. With the mutex held. */
static struct job *pick_locked(struct jobs *w, bool local)
{
    struct job_order order = {.local = local,
                              .hurry = w->hurry,
                              .large = w->large,
                              .now = clock_ms(),
                              .busy = folder_busy_locked,
                              .arg = w};
    struct job **at = job_order_next(&w->head, &order), *j = at ? *at : NULL;
    if (!j)
        return NULL;
    *at = j->next;
    if (!*at)
        w->tail = at;
    w->large += job_order_is_large(j);
    return j;
}

static struct job *next_job(struct worker *me)
{
    struct jobs *w = me->all;
    bool local = me == &w->worker[LOCAL];
    struct job *j = NULL;
    (void)pthread_mutex_lock(&w->mutex);
    while (!atomic_load(&w->stop) && !(j = pick_locked(w, local)))
        (void)pthread_cond_wait(&w->more, &w->mutex);
    me->folder = j && !local ? j->folder : NULL;
    (void)pthread_mutex_unlock(&w->mutex);
    return j;
}

static void add_counts(struct counts *to, const struct counts *c)
{
    to->published += c->published;
    to->bytes += c->bytes;
    to->stored += c->stored;
    to->same += c->same;
    to->expired += c->expired;
    to->vanished += c->vanished;
    to->mismatch += c->mismatch;
    to->conflict += c->conflict;
    to->refused += c->refused;
    to->failed += c->failed;
    to->pruned += c->pruned;
    to->deleted += c->deleted;
}

/* Housekeeping counts as one itself, so that none is done before all of its folders are queued. */
static void folder_seen(struct jobs *w)
{
    if (--w->unseen == 0 && !w->efs_bad)
        atomic_store(&w->publish_job.context->efs_scanned, true);
}

static void finish_job(struct worker *me, struct job *j, const struct counts *c)
{
    struct jobs *w = me->all;
    bool comes_back = j->kind == JOB_PUBLISH || j->kind == JOB_DELETE_LOCAL;
    (void)pthread_mutex_lock(&w->mutex);
    me->folder = NULL;
    if (j->kind == JOB_REFRESH_FOLDER || j->kind == JOB_SCAN_EFS)
        folder_seen(w);
    w->large -= job_order_is_large(j);
    add_counts(&w->counts, c);
    status_counts(w->publish_job.context->status, &w->counts);
    w->open--;
    if (comes_back) {
        j->next = w->done;
        w->done = j;
    }
    (void)pthread_cond_broadcast(&w->more); /* the folder is free again */
    (void)pthread_mutex_unlock(&w->mutex);
    if (!comes_back)
        job_free(j);
    uint64_t one = 1;
    if (write(w->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        log_line(LOG_ERROR, "internal", "cannot wake the watcher: %s", strerror(errno));
}

static void housekeep(struct jobs *w, const struct job *this)
{
    char **folders = NULL;
    size_t n = 0;
    bool good = efs_look(&w->publish_job, this->aloud, &folders, &n);
    (void)pthread_mutex_lock(&w->mutex);
    w->efs_bad = !good;
    (void)pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < n; i++) {
        struct job *j = job_new(JOB_REFRESH_FOLDER, NULL, "");
        char *folder = strdup(folders[i]);
        if (j && folder) {
            free(j->folder);
            j->folder = folder;
            jobs_push(w, j);
        } else {
            free(folder);
            job_free(j);
        }
    }
    backup_folders_free(folders, n);
    if (this->first)
        start_check(w->publish_job.context);
    if (good)
        publish_job_tombstones(&w->publish_job, NULL);
}

/* A job that goes on and on is how a hung EFS shows. */
static void tell_busy(const struct worker *me, struct job *j)
{
    static const char *const doing[] = {"publish",
                                        "delete locally",
                                        "prune",
                                        "look at EFS",
                                        "heartbeat",
                                        "note the deletion of",
                                        "see to the tombstones"};
    struct jobs *w = me->all;
    unsigned number = (unsigned)(me - w->worker);
    if (j) {
        j->worker = number;
        (void)snprintf(j->busy, sizeof j->busy, "%s %.250s", doing[j->kind],
                       j->relative[0] ? j->relative : j->folder);
    }
    status_busy(w->publish_job.context->status, number, j ? j->busy : NULL, time(NULL));
}

static void publish(struct jobs *w, struct job *j, struct counts *c)
{
    publish_job_publish(&w->publish_job, j, c);
    (void)pthread_mutex_lock(&w->mutex);
    w->efs_bad = w->efs_bad || j->efs_bad; /* until the next look finds it well */
    (void)pthread_mutex_unlock(&w->mutex);
}

static void *run(void *arg)
{
    struct worker *me = arg;
    struct jobs *w = me->all;
    for (struct job *j; (j = next_job(me));) {
        struct counts c = {0};
        tell_busy(me, j);
        if (j->kind == JOB_PUBLISH)
            publish(w, j, &c);
        else if (j->kind == JOB_REFRESH_FOLDER)
            folder_refresh(&w->publish_job, j->folder, &c);
        else if (j->kind == JOB_DELETE_LOCAL)
            local_delete(&w->publish_job, j, &c);
        else if (j->kind == JOB_HEARTBEAT)
            heartbeat_writer_write(w->publish_job.context->heartbeat_writer);
        else if (j->kind == JOB_TOMBSTONE)
            publish_job_tombstone(&w->publish_job, j);
        else if (j->kind == JOB_TOMBSTONES)
            publish_job_tombstones(&w->publish_job, &j->present);
        else
            housekeep(w, j);
        tell_busy(me, NULL);
        finish_job(me, j, &c);
    }
    return NULL;
}

struct jobs *jobs_start(struct context *x, int wake_fd)
{
    struct jobs *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->publish_job = (struct publish_job){.context = x, .stop = &w->stop};
    w->wake_fd = wake_fd;
    w->tail = &w->head;
    if (pthread_mutex_init(&w->mutex, NULL) != 0 || pthread_cond_init(&w->more, NULL) != 0)
        return free(w), NULL;
    for (int i = 0; i < THREADS; i++) {
        struct worker *me = &w->worker[i];
        me->all = w;
        me->started = thread_start(&me->thread, i == LOCAL ? "local-delete" : "publish", run, me) == 0;
        if (!me->started) {
            if (jobs_stop(w, clock_ms() + 1000))
                free(w);
            return NULL;
        }
    }
    return w;
}

void jobs_push(struct jobs *w, struct job *j)
{
    j->next = NULL;
    j->pushed = clock_ms();
    (void)pthread_mutex_lock(&w->mutex);
    *w->tail = j;
    w->tail = &j->next;
    w->unseen += j->kind == JOB_REFRESH_FOLDER || j->kind == JOB_SCAN_EFS;
    w->open++;
    (void)pthread_cond_broadcast(&w->more); /* not each of them takes each */
    (void)pthread_mutex_unlock(&w->mutex);
}

bool jobs_take_back(struct jobs *w, const char *relative)
{
    (void)pthread_mutex_lock(&w->mutex);
    struct job **at = &w->head;
    while (*at && ((*at)->kind != JOB_PUBLISH || strcmp((*at)->relative, relative) != 0))
        at = &(*at)->next;
    struct job *found = *at;
    if (found) {
        *at = found->next;
        if (!*at)
            w->tail = at;
        w->open--;
    }
    (void)pthread_mutex_unlock(&w->mutex);
    bool was_there = found != NULL;
    job_free(found);
    return was_there;
}

struct job *jobs_take_done(struct jobs *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    struct job *j = w->done;
    if (j)
        w->done = j->next;
    (void)pthread_mutex_unlock(&w->mutex);
    return j;
}

void jobs_snapshot_event(struct jobs *w) { (void)atomic_fetch_add(&w->publish_job.snapshot_events, 1); }

bool jobs_idle(struct jobs *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool idle = w->open == 0 && !w->done;
    (void)pthread_mutex_unlock(&w->mutex);
    return idle;
}

bool jobs_surveying(struct jobs *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool open = w->unseen > 0;
    (void)pthread_mutex_unlock(&w->mutex);
    return open;
}

bool jobs_efs_bad(struct jobs *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool bad = w->efs_bad;
    (void)pthread_mutex_unlock(&w->mutex);
    return bad;
}

struct counts jobs_counts(struct jobs *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    struct counts c = w->counts;
    (void)pthread_mutex_unlock(&w->mutex);
    return c;
}

void jobs_hurry(struct jobs *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    w->hurry = true;
    atomic_store(&w->publish_job.hurry, true);
    (void)pthread_mutex_unlock(&w->mutex);
}

bool jobs_stop(struct jobs *w, int64_t end)
{
    bool all = true;
    (void)pthread_mutex_lock(&w->mutex);
    atomic_store(&w->stop, true);
    (void)pthread_cond_broadcast(&w->more);
    (void)pthread_mutex_unlock(&w->mutex);
    for (int i = 0; i < THREADS; i++)
        if (w->worker[i].started && !clock_join(w->worker[i].thread, end))
            all = false;
    return all;
}

void jobs_free(struct jobs *w)
{
    while (w->head || w->done) {
        struct job **at = w->head ? &w->head : &w->done, *j = *at;
        *at = j->next;
        job_free(j);
    }
    (void)pthread_cond_destroy(&w->more);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w);
}
