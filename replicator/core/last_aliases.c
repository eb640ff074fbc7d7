#include "replicator/core/last_aliases.h"
#include "common/log.h"
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct last {
    const char *collection;  /* of the tree's order; points behind the struct */
    struct aliases *aliases; /* NULL: none */
};
struct last_aliases {
    pthread_mutex_t mutex; /* for all below */
    void *tree;
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct last *)a)->collection, ((const struct last *)b)->collection);
}

static void entry_free(void *p)
{
    struct last *it = p;
    free(it->aliases);
    free(it);
}

struct last_aliases *last_aliases_new(void)
{
    struct last_aliases *l = calloc(1, sizeof *l);
    if (l && pthread_mutex_init(&l->mutex, NULL) == 0)
        return l;
    free(l);
    return NULL;
}

void last_aliases_free(struct last_aliases *l)
{
    if (!l)
        return;
    tdestroy(l->tree, entry_free);
    (void)pthread_mutex_destroy(&l->mutex);
    free(l);
}

/* With the mutex held. */
static struct last *find_locked(struct last_aliases *l, const char *collection)
{
    struct last key = {.collection = collection};
    struct last **at = tfind(&key, &l->tree, by_name);
    return at ? *at : NULL;
}

static void forget_locked(struct last_aliases *l, struct last *it)
{
    (void)tdelete(it, &l->tree, by_name);
    entry_free(it);
    l->n--;
}

static struct last *add_locked(struct last_aliases *l, const char *collection)
{
    size_t size = strlen(collection) + 1;
    struct last *it = l->n < LAST_ALIASES_MAX ? calloc(1, sizeof *it + size) : NULL;
    if (!it)
        return NULL;
    it->collection = memcpy(it + 1, collection, size);
    if (!tsearch(it, &l->tree, by_name))
        return entry_free(it), NULL;
    l->n++;
    return it;
}

void last_aliases_put(struct last_aliases *l, const char *collection, const struct aliases *a)
{
    struct aliases *copy = NULL;
    bool some = a->n + a->left_out > 0;
    if (!a->known)
        return;
    if (some && (copy = malloc(sizeof *copy)))
        *copy = *a;
    (void)pthread_mutex_lock(&l->mutex);
    struct last *it = find_locked(l, collection);
    if (!it && (copy || !some))
        it = add_locked(l, collection);
    if (it) {
        free(it->aliases);
        it->aliases = copy;
        copy = NULL;
        if (some && !it->aliases)
            forget_locked(l, it);
    }
    (void)pthread_mutex_unlock(&l->mutex);
    free(copy);
}

bool last_aliases_look(struct last_aliases *l, struct qdrant *q, const char *collection)
{
    struct aliases now;
    struct err e = {0};
    if (aliases_take(q, collection, &now, &e) != 0) {
        log_line(LOG_DEBUG, "no_aliases", "%s", e.text);
        return false;
    }
    last_aliases_put(l, collection, &now);
    return true;
}

bool last_aliases_get(struct last_aliases *l, const char *collection, struct aliases *out)
{
    (void)pthread_mutex_lock(&l->mutex);
    struct last *it = find_locked(l, collection);
    if (it && it->aliases)
        *out = *it->aliases;
    else if (it)
        *out = (struct aliases){.known = true};
    (void)pthread_mutex_unlock(&l->mutex);
    return it != NULL;
}
