#include "replicator/core/snapshot_fingerprints.h"
#include "common/base/clock.h"
#include "common/log.h"
#include <cjson/cJSON.h>
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
    char sha256[65];
};
struct content_digest_pair { /* one that is being made */
    struct content_digest_pair *next;
    char collection[NAME];
    struct fingerprint_plan plan;
    bool good;
    struct content_digest before;
};
struct told { /* a collection that has none, and it was said */
    struct told *next;
    char collection[NAME];
};
struct snapshot_fingerprints {
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t ended;
    struct kept *oldest, **end;
    unsigned n;
    struct content_digest_pair *running;
    struct told *told;
    bool trouble_said; /* which is not one collection's */
};

struct snapshot_fingerprints *snapshot_fingerprints_new(void)
{
    struct snapshot_fingerprints *p = calloc(1, sizeof *p);
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
static struct kept *unlink_kept_locked(struct snapshot_fingerprints *p, struct kept **at)
{
    struct kept *k = *at;
    *at = k->next;
    if (p->end == &k->next)
        p->end = at;
    p->n--;
    return k;
}

/* The place that points at it, or at the list's end. */
static struct told **told_find(struct snapshot_fingerprints *p, const char *collection)
{
    struct told **at = &p->told;
    while (*at && strcmp((*at)->collection, collection) != 0)
        at = &(*at)->next;
    return at;
}

static void told_forget(struct told **at)
{
    struct told *t = *at;
    if (t)
        *at = t->next;
    free(t);
}

void snapshot_fingerprints_free(struct snapshot_fingerprints *p)
{
    if (!p)
        return;
    while (p->oldest)
        kept_free(unlink_kept_locked(p, &p->oldest));
    while (p->told)
        told_forget(&p->told);
    (void)pthread_cond_destroy(&p->ended);
    (void)pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* Once for each collection until it has one again; what concerns the others as well, once for all. */
static bool first_told(struct snapshot_fingerprints *p, const char *collection, const struct err *e)
{
    bool all = e->code == QDRANT_REFUSED || e->code == QDRANT_NO_KEY || e->code == ECONNREFUSED ||
               e->code == EKEYREJECTED;
    (void)pthread_mutex_lock(&p->mutex);
    bool first = all ? !p->trouble_said : !*told_find(p, collection);
    struct told *t = first && !all ? calloc(1, sizeof *t) : NULL;
    if (t) {
        (void)snprintf(t->collection, sizeof t->collection, "%s", collection);
        t->next = p->told;
        p->told = t;
    }
    p->trouble_said = p->trouble_said || all;
    (void)pthread_mutex_unlock(&p->mutex);
    return first;
}

static void failed(struct snapshot_fingerprints *p, const char *collection, const struct err *e)
{
    cJSON *f = cJSON_CreateObject();
    if (f)
        (void)cJSON_AddStringToObject(f, "collection", collection);
    log_fields(first_told(p, collection, e) ? LOG_WARN : LOG_DEBUG, "no_fingerprint", f,
               "%s is backed up without a fingerprint, so that a drill can prove less of it: %s", collection,
               e->text);
}

static bool look(struct snapshot_fingerprints *p, struct qdrant *q, struct content_digest_pair *pair,
                 struct content_digest *out)
{
    struct err e = {0};
    int rc = content_digest_take(q, pair->collection, &pair->plan, out, &e);
    if (rc == FINGERPRINT_ELSEWHERE)
        log_line(LOG_DEBUG, "no_fingerprint", "%s has shards on other nodes alone", pair->collection);
    else if (rc != 0 && e.code != ECANCELED && e.code != QDRANT_MISSING) /* stopped, or deleted meanwhile */
        failed(p, pair->collection, &e);
    return rc == 0;
}

struct content_digest_pair *snapshot_fingerprints_begin(struct snapshot_fingerprints *p, struct qdrant *q,
                                                        const char *collection)
{
    struct content_digest_pair *pair = calloc(1, sizeof *pair);
    if (!pair)
        return NULL;
    (void)snprintf(pair->collection, sizeof pair->collection, "%s", collection);
    if (getrandom(&pair->plan.seed, sizeof pair->plan.seed, GRND_NONBLOCK) != (ssize_t)sizeof pair->plan.seed)
        pair->plan.seed = (uint64_t)clock_ms(); /* any will do: it only makes each look at other points */
    pair->good = look(p, q, pair, &pair->before);
    (void)pthread_mutex_lock(&p->mutex);
    pair->next = p->running;
    p->running = pair;
    (void)pthread_mutex_unlock(&p->mutex);
    return pair;
}

static struct kept *seen(struct snapshot_fingerprints *p, struct qdrant *q, struct content_digest_pair *pair,
                         const struct aliases *aliases, const struct qdrant_snapshot *made)
{
    struct content_digest after;
    const char *name = made->name, *dot = strrchr(name, '.');
    if (!pair->good || !look(p, q, pair, &after))
        return NULL;
    struct kept *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    memcpy(k->collection, pair->collection, sizeof k->collection);
    (void)snprintf(k->stem, sizeof k->stem, "%.*s", dot ? (int)(dot - name) : NAME - 1, name);
    memcpy(k->sha256, made->sha256, sizeof k->sha256);
    fingerprint_join(&k->fingerprint, &pair->plan, &pair->before, &after);
    if (aliases->n + aliases->left_out > 0 && (k->aliases = malloc(sizeof *k->aliases)))
        *k->aliases = *aliases;
    k->aliases_known = aliases->known && (k->aliases || aliases->n + aliases->left_out == 0);
    return k;
}

static void keep_locked(struct snapshot_fingerprints *p, struct kept *k)
{
    *p->end = k;
    p->end = &k->next;
    told_forget(told_find(p, k->collection));
    if (++p->n > SNAPSHOT_FINGERPRINTS_MAX)
        kept_free(unlink_kept_locked(p, &p->oldest));
    p->trouble_said = false;
}

void snapshot_fingerprints_end(struct snapshot_fingerprints *p, struct qdrant *q,
                               struct content_digest_pair *pair, const struct aliases *aliases,
                               const struct qdrant_snapshot *made)
{
    if (!pair)
        return;
    struct kept *k = made ? seen(p, q, pair, aliases, made) : NULL;
    struct content_digest_pair **at = &p->running;
    (void)pthread_mutex_lock(&p->mutex);
    if (k)
        keep_locked(p, k);
    while (*at != pair)
        at = &(*at)->next;
    *at = pair->next;
    (void)pthread_cond_broadcast(&p->ended);
    (void)pthread_mutex_unlock(&p->mutex);
    free(pair);
}

/* With the mutex held. */
static struct kept *find_locked(struct snapshot_fingerprints *p, const char *collection, const char *stem)
{
    for (struct kept **at = &p->oldest; *at; at = &(*at)->next)
        if (strcmp((*at)->stem, stem) == 0 && strcmp((*at)->collection, collection) == 0)
            return unlink_kept_locked(p, at);
    return NULL;
}

static bool runs_locked(const struct snapshot_fingerprints *p, const char *collection)
{
    for (const struct content_digest_pair *r = p->running; r; r = r->next)
        if (strcmp(r->collection, collection) == 0)
            return true;
    return false;
}

bool snapshot_fingerprints_take(struct snapshot_fingerprints *p, const char *collection, const char *stem,
                                const atomic_bool *stop, struct content *out)
{
    int64_t end = clock_ms() + SNAPSHOT_FINGERPRINTS_WAIT_MS;
    struct kept *k;
    (void)pthread_mutex_lock(&p->mutex);
    while (!(k = find_locked(p, collection, stem)) && runs_locked(p, collection) && clock_ms() < end &&
           !(stop && atomic_load(stop))) {
        struct timespec until = clock_spec(clock_ms() + LOOK_MS);
        (void)pthread_cond_timedwait(&p->ended, &p->mutex, &until);
    }
    (void)pthread_mutex_unlock(&p->mutex);
    if (!k)
        return false;
    *out = (struct content){.fingerprint = k->fingerprint};
    memcpy(out->sha256, k->sha256, sizeof out->sha256);
    if (k->aliases)
        out->aliases = *k->aliases;
    out->aliases.known = k->aliases_known;
    kept_free(k);
    return true;
}
