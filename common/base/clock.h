/* Waiting by the monotonic clock: the wall clock may step at any time, and a deadline by it would then come
 * at once or never. */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static inline struct timespec clock_spec(int64_t ms)
{
    return (struct timespec){ms / 1000, ms % 1000 * 1000000};
}
static inline void clock_sleep(int64_t ms)
{
    struct timespec t = clock_spec(ms);
    (void)nanosleep(&t, NULL); /* callers look at their clock again: an early end does no harm */
}
/* A condition whose timed waits take clock_spec of clock_ms. */
static inline bool clock_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    bool good = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(c, &attr) == 0;
    (void)pthread_condattr_destroy(&attr); /* cannot fail on an initialized one */
    return good;
}
/* Wait for a thread until `end`. False: it still runs. */
static inline bool clock_join(pthread_t thread, int64_t end)
{
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        if (clock_ms() >= end)
            return false;
        clock_sleep(10);
    }
    return true;
}
#endif
