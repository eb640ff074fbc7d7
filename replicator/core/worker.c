#include "replicator/core/worker.h"
#include "common/base/clock.h"
#include "common/base/thread.h"

bool worker_start(struct worker_thread *w, const char *name, void *(*run)(void *), void *arg,
                  const atomic_bool *stop)
{
    w->stop = stop;
    return pthread_mutex_init(&w->mutex, NULL) == 0 && clock_cond_init(&w->wake) &&
           thread_start(&w->thread, name, run, arg) == 0;
}

void worker_rest(struct worker_thread *w, int64_t until)
{
    struct timespec end = clock_spec(until);
    (void)pthread_mutex_lock(&w->mutex);
    for (int rc = 0; rc == 0 && !atomic_load(w->stop);)
        rc = pthread_cond_timedwait(&w->wake, &w->mutex, &end);
    (void)pthread_mutex_unlock(&w->mutex);
}

void worker_wake(struct worker_thread *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    (void)pthread_cond_broadcast(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
}

bool worker_stop(struct worker_thread *w, int64_t end)
{
    worker_wake(w);
    return clock_join(w->thread, end);
}

void worker_free(struct worker_thread *w)
{
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->mutex);
}
