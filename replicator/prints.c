#include "replicator/prints.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { LOOK_MS = 250, NAME = 256 };

struct kept { /* in the order in which they came */
    struct kept *next;
    char collection[NAME], stem[NAME];
    struct fingerprint fingerprint;
    struct aliases *aliases; /* NULL: none, or not known */
    bool aliases_known;
};
struct print_pair { /* one that is being made */
    struct print_pair *next;
    char collection[NAME];
    uint64_t seed;
    bool good;
    struct print before;
};
struct prints {
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t ended;
    struct kept *oldest, **end;
    unsigned n;
    struct print_pair *running;
    bool failure_said;
};

struct prints *prints_new(void)
{
    struct prints *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->end = &p->oldest;
    if (pthread_mutex_init(&p->mutex, NULL) == 0 && clock_cond_init(&p->ended))
        return p;
    free(p);
    return NULL;
}

static void kept_free(struct kept *k)
{
    if (k)
        free(k->aliases);
    free(k);
}

/* Unlink and return the one at *at. With the mutex held. */
static struct kept *unlink_kept(struct prints *p, struct kept **at)
{
    struct kept *k = *at;
    *at = k->next;
    if (p->end == &k->next)
        p->end = at;
    p->n--;
    return k;
}

void prints_free(struct prints *p)
{
    if (!p)
        return;
    while (p->oldest)
        kept_free(unlink_kept(p, &p->oldest));
    (void)pthread_cond_destroy(&p->ended);
    (void)pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* One line until it works again: the next collection would most likely say the same. */
static void failed(struct prints *p, const char *collection, const char *why)
{
    (void)pthread_mutex_lock(&p->mutex);
    bool said = p->failure_said;
    p->failure_said = true;
    (void)pthread_mutex_unlock(&p->mutex);
    log_line(said ? LOG_DEBUG : LOG_WARN, "no_fingerprint",
             "%s is backed up without a fingerprint, so that a drill can prove less of it: %s", collection,
             why);
}

static bool look(struct prints *p, struct qdrant *q, const char *collection, uint64_t seed, struct print *out)
{
    struct err e = {0};
    int rc = print_take(q, collection, seed, out, &e);
    if (rc == PRINT_ELSEWHERE)
        log_line(LOG_DEBUG, "no_fingerprint", "%s has shards on other nodes alone", collection);
    else if (rc != 0 && e.code != ECANCELED && e.code != QDRANT_MISSING) /* stopped, or deleted meanwhile */
        failed(p, collection, e.text);
    return rc == 0;
}

struct print_pair *prints_begin(struct prints *p, struct qdrant *q, const char *collection)
{
    struct print_pair *pair = calloc(1, sizeof *pair);
    if (!pair)
        return NULL;
    (void)snprintf(pair->collection, sizeof pair->collection, "%s", collection);
    if (getrandom(&pair->seed, sizeof pair->seed, GRND_NONBLOCK) != (ssize_t)sizeof pair->seed)
        pair->seed = (uint64_t)clock_ms(); /* any will do: it only makes each look at other points */
    pair->good = look(p, q, collection, pair->seed, &pair->before);
    (void)pthread_mutex_lock(&p->mutex);
    pair->next = p->running;
    p->running = pair;
    (void)pthread_mutex_unlock(&p->mutex);
    return pair;
}

static struct kept *seen(struct prints *p, struct qdrant *q, const struct print_pair *pair, const char *name)
{
    struct print after;
    struct aliases aliases;
    struct err e = {0};
    const char *dot = strrchr(name, '.');
    if (!pair->good || !look(p, q, pair->collection, pair->seed, &after))
        return NULL;
    struct kept *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    memcpy(k->collection, pair->collection, sizeof k->collection);
    (void)snprintf(k->stem, sizeof k->stem, "%.*s", dot ? (int)(dot - name) : NAME - 1, name);
    fingerprint_join(&k->fingerprint, pair->seed, &pair->before, &after);
    if (aliases_take(q, pair->collection, &aliases, &e) != 0)
        log_line(LOG_DEBUG, "no_aliases", "%s", e.text);
    k->aliases_known = aliases.known;
    if (aliases.n + aliases.left_out > 0 && (k->aliases = malloc(sizeof *k->aliases)))
        *k->aliases = aliases;
    return k;
}

static void keep(struct prints *p, struct kept *k)
{
    *p->end = k;
    p->end = &k->next;
    if (++p->n > PRINTS_MAX)
        kept_free(unlink_kept(p, &p->oldest));
    p->failure_said = false;
}

void prints_end(struct prints *p, struct qdrant *q, struct print_pair *pair, const char *name)
{
    if (!pair)
        return;
    struct kept *k = name ? seen(p, q, pair, name) : NULL;
    struct print_pair **at = &p->running;
    (void)pthread_mutex_lock(&p->mutex);
    if (k)
        keep(p, k);
    while (*at != pair)
        at = &(*at)->next;
    *at = pair->next;
    (void)pthread_cond_broadcast(&p->ended);
    (void)pthread_mutex_unlock(&p->mutex);
    free(pair);
}

/* With the mutex held. */
static struct kept *find(struct prints *p, const char *collection, const char *stem)
{
    for (struct kept **at = &p->oldest; *at; at = &(*at)->next)
        if (strcmp((*at)->stem, stem) == 0 && strcmp((*at)->collection, collection) == 0)
            return unlink_kept(p, at);
    return NULL;
}

static bool runs(const struct prints *p, const char *collection)
{
    for (const struct print_pair *r = p->running; r; r = r->next)
        if (strcmp(r->collection, collection) == 0)
            return true;
    return false;
}

bool prints_take(struct prints *p, const char *collection, const char *stem, const atomic_bool *stop,
                 struct content *out)
{
    int64_t end = clock_ms() + PRINTS_WAIT_MS;
    struct kept *k;
    (void)pthread_mutex_lock(&p->mutex);
    while (!(k = find(p, collection, stem)) && runs(p, collection) && clock_ms() < end &&
           !(stop && atomic_load(stop))) {
        struct timespec until = clock_spec(clock_ms() + LOOK_MS);
        (void)pthread_cond_timedwait(&p->ended, &p->mutex, &until);
    }
    (void)pthread_mutex_unlock(&p->mutex);
    if (!k)
        return false;
    *out = (struct content){.fingerprint = k->fingerprint};
    if (k->aliases)
        out->aliases = *k->aliases;
    out->aliases.known = k->aliases_known;
    kept_free(k);
    return true;
}
