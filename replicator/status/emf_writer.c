/* The thread that writes EMF lines. poll(2) first would not do: between it and the write, Qdrant may fill the
 * pipe that both have, and O_NONBLOCK would be Qdrant's too. */
#include "common/log.h"
#include "replicator/status/emf.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_MAX = 64 }; /* some ten minutes: older numbers are of no use to an alarm */

struct emf {
    int fd;
    pthread_t thread;
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t more;
    char *line[QUEUE_MAX];
    unsigned head, count;
    unsigned long long dropped;
    bool stop, complained;
};

/* In one write, as a rule: a pipe takes up to PIPE_BUF as a whole, so that nobody else's output gets in
 * between. */
static bool write_line(int fd, const char *s)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    size_t left = strlen(s);
    while (left > 0) {
        ssize_t n = write(fd, s, left);
        if (n < 0 && (errno == EINTR || (errno == EAGAIN && poll(&room, 1, -1) >= 0)))
            continue; /* EAGAIN: someone else who has it made it O_NONBLOCK */
        if (n <= 0)
            return false;
        s += n;
        left -= (size_t)n;
    }
    return true;
}

static void *run(void *arg)
{
    struct emf *e = arg;
    (void)pthread_mutex_lock(&e->mutex);
    for (;;) {
        while (e->count == 0 && !e->stop)
            (void)pthread_cond_wait(&e->more, &e->mutex);
        if (e->count == 0)
            break;
        char *line = e->line[e->head];
        e->head = (e->head + 1) % QUEUE_MAX;
        e->count--;
        (void)pthread_mutex_unlock(&e->mutex);
        bool written = write_line(e->fd, line);
        free(line);
        (void)pthread_mutex_lock(&e->mutex);
        e->dropped += !written;
        e->complained = false;
    }
    (void)pthread_mutex_unlock(&e->mutex);
    return NULL;
}

struct emf *emf_open(int fd)
{
    struct emf *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->fd = fd;
    if (pthread_mutex_init(&e->mutex, NULL) != 0 || pthread_cond_init(&e->more, NULL) != 0 ||
        thread_start(&e->thread, "emf", run, e) != 0)
        return free(e), NULL;
    return e;
}

void emf_write(struct emf *e, char **lines)
{
    bool complain = false;
    unsigned long long dropped;
    (void)pthread_mutex_lock(&e->mutex);
    for (char **at = lines; at && *at; at++) {
        if (e->count < QUEUE_MAX) {
            e->line[(e->head + e->count++) % QUEUE_MAX] = *at;
        } else {
            free(*at);
            e->dropped++;
            complain = !e->complained;
            e->complained = true;
        }
    }
    dropped = e->dropped;
    (void)pthread_cond_signal(&e->more);
    (void)pthread_mutex_unlock(&e->mutex);
    free(lines);
    if (complain) /* once for each time that it gets stuck */
        log_line(LOG_WARN, "emf_dropped",
                 "CloudWatch metrics are dropped (%llu lines so far): nobody reads stdout; backups go on",
                 dropped);
}

unsigned long long emf_dropped(struct emf *e)
{
    (void)pthread_mutex_lock(&e->mutex);
    unsigned long long n = e->dropped;
    (void)pthread_mutex_unlock(&e->mutex);
    return n;
}

bool emf_close(struct emf *e, int64_t end)
{
    if (!e)
        return true;
    (void)pthread_mutex_lock(&e->mutex);
    e->stop = true;
    (void)pthread_cond_signal(&e->more);
    (void)pthread_mutex_unlock(&e->mutex);
    if (!clock_join(e->thread, end))
        return false; /* it holds the mutex never while writing, but nobody can end it: the process may only
                         exit */
    (void)pthread_cond_destroy(&e->more);
    (void)pthread_mutex_destroy(&e->mutex);
    free(e);
    return true;
}
