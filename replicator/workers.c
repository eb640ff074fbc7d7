#include "replicator/workers.h"
#include "common/cleanup.h"
#include "common/files.h"
#include "common/log.h"
#include "replicator/qdrant.h"
#include "replicator/tarcheck.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 2 }; /* one client does not reach EFS's throughput with one stream */

struct line {
    struct workers *all;
    struct job *head, **tail;
    pthread_t thread;
    bool started;
};
struct workers {
    const struct settings *settings;
    int wake_fd;
    atomic_bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct line line[THREADS];
    struct job *done;
    size_t open; /* queued or running */
};

static void count_pruned(const struct backup *gone, void *arg)
{
    (void)arg;
    char slot[32];
    manifest_time(gone->m.slot, slot);
    log_line(LOG_INFO, "pruned", "%s/%s of slot %s", gone->dir, gone->stem, slot);
}

static void prune(const struct settings *s, const struct source *src)
{
    char folder[512];
    struct err e = {0};
    if (name_folder(src, folder, sizeof folder) &&
        store_prune(s->base, folder, &s->retention, false, count_pruned, NULL, &e) != 0)
        log_line(LOG_ERROR, "prune_failed", "%s", e.text);
}

static void report(const struct job *j, const struct manifest *m, const struct err *e)
{
    switch (j->outcome) {
    case PUBLISHED:
        log_line(LOG_INFO, "published", "%s to %s/%s: %llu bytes stored as %llu in %.3f s", j->relative,
                 tier_text(m->tier), m->data, (unsigned long long)m->content.size,
                 (unsigned long long)m->content.stored_size, m->seconds);
        break;
    case PUBLISH_SAME:
        log_line(LOG_DEBUG, "already_there", "%s is in %s", j->relative, tier_text(m->tier));
        break;
    case PUBLISH_VANISHED:
        log_line(LOG_INFO, "vanished", "%s went away before it was copied", j->relative);
        break;
    case PUBLISH_MISMATCH:
        log_line(LOG_ERROR, "mismatch", "%s", e->text);
        break;
    case PUBLISH_CONFLICT:
        log_line(LOG_ERROR, "conflict", "%s", e->text);
        break;
    case PUBLISH_FAILED:
        log_line(e->code == ECANCELED ? LOG_INFO : LOG_ERROR, "publish_failed", "%s", e->text);
        break;
    }
}

static void publish(struct workers *w, struct job *j)
{
    char path[PATH_MAX];
    struct err e = {0};
    struct manifest m;
    const struct settings *s = w->settings;
    j->outcome = PUBLISH_FAILED;
    if (files_join(path, sizeof path, s->snapshots_dir, j->relative, &e) == 0) {
        if (!j->checksum[0] && tarcheck(path, &e) != 0) {
            j->outcome = access(path, F_OK) == 0 ? PUBLISH_MISMATCH : PUBLISH_VANISHED;
        } else {
            struct publish p = {.base = s->base, .path = path, .source = j->source,
                                .checksum = j->checksum[0] ? j->checksum : NULL, .node = s->node,
                                .written_by = s->written_by, .copy = {s->level, s->threads, &w->stop}};
            j->outcome = store_publish(&p, &m, &e);
        }
    }
    report(j, &m, &e);
    if (j->outcome == PUBLISHED)
        prune(s, &j->source);
}

/* Only published snapshots come here. Qdrant deletes its own, so that its listing stays true. */
static void delete_local(const struct settings *s, const struct job *j)
{
    char path[PATH_MAX], checksum[PATH_MAX + 16];
    struct err e = {0};
    if (files_join(path, sizeof path, s->snapshots_dir, j->relative, &e) != 0)
        return;
    (void)snprintf(checksum, sizeof checksum, "%s.checksum", path);
    long status = qdrant_delete_snapshot(s, &j->source);
    if (status >= 200 && status < 300)
        log_line(LOG_INFO, "deleted_locally", "%s, by Qdrant", j->relative);
    if (access(path, F_OK) != 0)
        return;
    /* Not reachable, no right, or a folder that is no collection's: then it is a file like any other. */
    if ((unlink(path) != 0 || unlink(checksum) != 0) && errno != ENOENT)
        log_line(LOG_ERROR, "delete_failed", "cannot delete %s: %s", path, strerror(errno));
    else
        log_line(LOG_INFO, "deleted_locally", "%s, directly (Qdrant answered %ld)", j->relative, status);
}

static struct job *next_job(struct workers *w, struct line *l)
{
    struct job *j = NULL;
    (void)pthread_mutex_lock(&w->mutex);
    while (!l->head && !atomic_load(&w->stop))
        (void)pthread_cond_wait(&w->more, &w->mutex);
    if (!atomic_load(&w->stop)) {
        j = l->head;
        l->head = j->next;
        if (!l->head)
            l->tail = &l->head;
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return j;
}

static void finish_job(struct workers *w, struct job *j)
{
    (void)pthread_mutex_lock(&w->mutex);
    w->open--;
    if (j->kind == JOB_PUBLISH) {
        j->next = w->done;
        w->done = j;
        j = NULL;
    }
    (void)pthread_mutex_unlock(&w->mutex);
    free(j);
    uint64_t one = 1;
    if (write(w->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        log_line(LOG_ERROR, "internal", "cannot wake the watcher: %s", strerror(errno));
}

static void *run(void *arg)
{
    struct line *l = arg;
    for (struct job *j; (j = next_job(l->all, l));) {
        if (j->kind == JOB_PUBLISH)
            publish(l->all, j);
        else if (j->kind == JOB_PRUNE)
            prune(l->all->settings, &j->source);
        else
            delete_local(l->all->settings, j);
        finish_job(l->all, j);
    }
    return NULL;
}

struct workers *workers_start(const struct settings *s, int wake_fd)
{
    struct workers *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->settings = s;
    w->wake_fd = wake_fd;
    if (pthread_mutex_init(&w->mutex, NULL) != 0 || pthread_cond_init(&w->more, NULL) != 0)
        return free(w), NULL;
    for (int i = 0; i < THREADS; i++) {
        struct line *l = &w->line[i];
        l->all = w;
        l->tail = &l->head;
        l->started = pthread_create(&l->thread, NULL, run, l) == 0;
        if (!l->started) {
            (void)workers_stop(w, 1);
            return free(w), NULL;
        }
    }
    return w;
}

void workers_push(struct workers *w, struct job *j)
{
    char folder[512] = "";
    unsigned hash = 5381;
    (void)name_folder(&j->source, folder, sizeof folder);
    for (const char *p = folder; *p; p++)
        hash = hash * 33 + (unsigned char)*p;
    struct line *l = &w->line[hash % THREADS];
    j->next = NULL;
    (void)pthread_mutex_lock(&w->mutex);
    *l->tail = j;
    l->tail = &j->next;
    w->open++;
    (void)pthread_cond_broadcast(&w->more);
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

bool workers_stop(struct workers *w, unsigned seconds)
{
    struct timespec end;
    bool all = true;
    (void)pthread_mutex_lock(&w->mutex);
    atomic_store(&w->stop, true);
    (void)pthread_cond_broadcast(&w->more);
    (void)pthread_mutex_unlock(&w->mutex);
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += seconds;
    for (int i = 0; i < THREADS; i++)
        if (w->line[i].started && pthread_timedjoin_np(w->line[i].thread, NULL, &end) != 0)
            all = false;
    return all;
}
