/* A thread that works, rests, and ends soon after a stop was asked for. */
#ifndef REPLICATOR_CORE_WORKER_H
#define REPLICATOR_CORE_WORKER_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct worker_thread {
    pthread_t thread;
    pthread_mutex_t mutex; /* of `wake`; a worker may guard by it what it shares with others */
    pthread_cond_t wake;
    const atomic_bool *stop;
};
/* `stop` is set by whoever calls worker_stop, before. False: the thread does not run. */
bool worker_start(struct worker_thread *w, const char *name, void *(*run)(void *), void *arg,
                  const atomic_bool *stop);
/* Until `until` by clock_ms, or a stop. */
void worker_rest(struct worker_thread *w, int64_t until);
void worker_wake(struct worker_thread *w);
/* Wakes it and waits for its end, until `end`. False: it still runs, and nothing of it may be freed. */
bool worker_stop(struct worker_thread *w, int64_t end);
/* After worker_stop. */
void worker_free(struct worker_thread *w);
#endif
