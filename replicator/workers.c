#include "replicator/workers.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "replicator/publisher.h"
#include "replicator/pulse.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 2 }; /* one client does not reach EFS's throughput with one stream */

struct worker {
    struct workers *all;
    pthread_t thread;
    const char *folder; /* the one it works in, or NULL */
    bool started;
};
struct workers {
    struct publisher publisher;
    int wake_fd;
    atomic_bool stop;
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t more;
    struct worker worker[THREADS];
    struct job *head, **tail; /* queued, oldest first */
    struct job *done;
    size_t open;    /* queued or running */
    size_t surveys; /* folders that are still to be looked at since the last look at EFS */
    bool efs_bad;
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
    if (j)
        free(j->folder);
    free(j);
}

static bool folder_busy(const struct workers *w, const char *folder)
{
    for (int i = 0; i < THREADS; i++)
        if (*folder && w->worker[i].folder && strcmp(w->worker[i].folder, folder) == 0)
            return true;
    return false;
}

/* Take the oldest job whose folder nobody works in. With the mutex held. */
static struct job *pick(struct workers *w)
{
    for (struct job **at = &w->head; *at; at = &(*at)->next) {
        struct job *j = *at;
        if (folder_busy(w, j->folder))
            continue;
        *at = j->next;
        if (!*at)
            w->tail = at;
        return j;
    }
    return NULL;
}

static struct job *next_job(struct worker *me)
{
    struct workers *w = me->all;
    struct job *j = NULL;
    (void)pthread_mutex_lock(&w->mutex);
    while (!atomic_load(&w->stop) && !(j = pick(w)))
        (void)pthread_cond_wait(&w->more, &w->mutex);
    me->folder = j ? j->folder : NULL;
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
    to->failed += c->failed;
    to->pruned += c->pruned;
    to->deleted += c->deleted;
}

/* Housekeeping counts as one itself, so that none is done before all of its folders are queued. */
static void survey_done(struct workers *w)
{
    if (--w->surveys == 0 && !w->efs_bad)
        atomic_store(&w->publisher.context->surveyed, true);
}

static void finish_job(struct worker *me, struct job *j, const struct counts *c)
{
    struct workers *w = me->all;
    bool comes_back = j->kind == JOB_PUBLISH || j->kind == JOB_DELETE_LOCAL;
    (void)pthread_mutex_lock(&w->mutex);
    me->folder = NULL;
    if (j->kind == JOB_PRUNE || j->kind == JOB_HOUSEKEEP)
        survey_done(w);
    add_counts(&w->counts, c);
    ledger_counts(w->publisher.context->ledger, &w->counts);
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

static void housekeep(struct workers *w)
{
    char **folders = NULL;
    size_t n = 0;
    bool good = publisher_probe(&w->publisher, &folders, &n);
    (void)pthread_mutex_lock(&w->mutex);
    w->efs_bad = !good;
    (void)pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < n; i++) {
        struct job *j = job_new(JOB_PRUNE, NULL, "");
        char *folder = strdup(folders[i]);
        if (j && folder) {
            free(j->folder);
            j->folder = folder;
            workers_push(w, j);
        } else {
            free(folder);
            job_free(j);
        }
    }
    store_folders_free(folders, n);
}

/* A job that goes on and on is how a hung EFS shows. */
static void tell_busy(const struct worker *me, struct job *j)
{
    static const char *const doing[] = {"publish", "delete locally", "prune", "look at EFS", "heartbeat"};
    struct workers *w = me->all;
    unsigned number = (unsigned)(me - w->worker);
    if (j) {
        j->worker = number;
        (void)snprintf(j->busy, sizeof j->busy, "%s %.250s", doing[j->kind],
                       j->relative[0] ? j->relative : j->folder);
    }
    ledger_busy(w->publisher.context->ledger, number, j ? j->busy : NULL, time(NULL));
}

static void *run(void *arg)
{
    struct worker *me = arg;
    struct workers *w = me->all;
    for (struct job *j; (j = next_job(me));) {
        struct counts c = {0};
        tell_busy(me, j);
        if (j->kind == JOB_PUBLISH)
            publisher_publish(&w->publisher, j, &c);
        else if (j->kind == JOB_PRUNE)
            publisher_survey(&w->publisher, j->folder, &c);
        else if (j->kind == JOB_DELETE_LOCAL)
            publisher_delete_local(&w->publisher, j, &c);
        else if (j->kind == JOB_HEARTBEAT)
            pulse_write(w->publisher.context->pulse);
        else
            housekeep(w);
        tell_busy(me, NULL);
        finish_job(me, j, &c);
    }
    return NULL;
}

struct workers *workers_start(struct context *x, int wake_fd)
{
    struct workers *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->publisher = (struct publisher){.context = x, .stop = &w->stop};
    w->wake_fd = wake_fd;
    w->tail = &w->head;
    if (pthread_mutex_init(&w->mutex, NULL) != 0 || pthread_cond_init(&w->more, NULL) != 0)
        return free(w), NULL;
    for (int i = 0; i < THREADS; i++) {
        struct worker *me = &w->worker[i];
        me->all = w;
        me->started = pthread_create(&me->thread, NULL, run, me) == 0;
        if (!me->started) {
            if (workers_stop(w, clock_ms() + 1000))
                free(w);
            return NULL;
        }
    }
    return w;
}

void workers_push(struct workers *w, struct job *j)
{
    j->next = NULL;
    (void)pthread_mutex_lock(&w->mutex);
    *w->tail = j;
    w->tail = &j->next;
    w->surveys += j->kind == JOB_PRUNE || j->kind == JOB_HOUSEKEEP;
    w->open++;
    (void)pthread_cond_signal(&w->more);
    (void)pthread_mutex_unlock(&w->mutex);
}

struct job *workers_take_done(struct workers *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    struct job *j = w->done;
    if (j)
        w->done = j->next;
    (void)pthread_mutex_unlock(&w->mutex);
    return j;
}

bool workers_idle(struct workers *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool idle = w->open == 0 && !w->done;
    (void)pthread_mutex_unlock(&w->mutex);
    return idle;
}

bool workers_surveying(struct workers *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool open = w->surveys > 0;
    (void)pthread_mutex_unlock(&w->mutex);
    return open;
}

bool workers_efs_bad(struct workers *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool bad = w->efs_bad;
    (void)pthread_mutex_unlock(&w->mutex);
    return bad;
}

struct counts workers_counts(struct workers *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    struct counts c = w->counts;
    (void)pthread_mutex_unlock(&w->mutex);
    return c;
}

bool workers_stop(struct workers *w, int64_t end)
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

void workers_free(struct workers *w)
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
