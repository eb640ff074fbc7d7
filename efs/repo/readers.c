#include "efs/repo/readers.h"
#include "common/base/thread.h"
#include <stdatomic.h>

enum { READERS = 16 };

struct readers {
    size_t n;
    readers_one *one;
    void *arg;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t mutex; /* for all below */
    size_t worst;          /* the least number that failed */
    struct err e;
};

static void note_failed(struct readers *r, size_t i, const struct err *e)
{
    (void)pthread_mutex_lock(&r->mutex);
    if (!atomic_load(&r->failed) || i < r->worst) {
        r->worst = i;
        r->e = *e;
    }
    atomic_store(&r->failed, true);
    (void)pthread_mutex_unlock(&r->mutex);
}

static void *run(void *arg)
{
    struct readers *r = arg;
    for (size_t i; !atomic_load(&r->failed) && (i = atomic_fetch_add(&r->next, 1)) < r->n;) {
        struct err e = {0};
        if (r->one(i, r->arg, &e) != 0)
            note_failed(r, i, &e);
    }
    return NULL;
}

int readers_each(size_t n, readers_one *one, void *arg, struct err *e)
{
    struct readers r = {.n = n, .one = one, .arg = arg, .mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread[READERS - 1];
    size_t started = 0;
    while (started < READERS - 1 && started + 1 < n &&
           thread_start(&thread[started], "reader", run, &r) == 0) /* without more of them it takes longer */
        started++;
    (void)run(&r);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(thread[i], NULL);
    (void)pthread_mutex_destroy(&r.mutex);
    if (!atomic_load(&r.failed))
        return 0;
    if (e)
        *e = r.e;
    return -1;
}

static int read_one(size_t i, void *arg, struct err *e)
{
    struct backup_list *list = arg;
    if (backup_read(&list->v[i], e) != 0)
        return -1;
    backup_trust(&list->v[i]);
    return 0;
}

int readers_read(struct backup_list *list, struct err *e) { return readers_each(list->n, read_one, list, e); }

static int size_one_up(size_t i, void *arg, struct err *e)
{
    struct backup_list *list = arg;
    return backup_size_up(&list->v[i], e);
}

int readers_size_up(struct backup_list *list, struct err *e)
{
    return readers_each(list->n, size_one_up, list, e);
}
