#include "replicator/roster.h"
#include "efs/name.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void item_free(struct item *it)
{
    free(it->name);
    free(it);
}

static void let_go(struct item *it)
{
    if (it->state == ITEM_MAKING)
        it->gone = true;
    else
        item_free(it);
}

void roster_settle(struct item *it, enum item_state state)
{
    it->state = state;
    if (it->gone)
        item_free(it);
}

static struct item *item_new(char **name)
{
    struct item *it = calloc(1, sizeof *it);
    if (it) {
        it->name = *name;
        *name = NULL;
    }
    return it;
}

/* The new ones first, so that a failure changes nothing. Both lists are sorted. */
static bool add_new(const struct roster *r, struct qdrant_names *names, struct item **v)
{
    size_t old = 0;
    for (size_t i = 0; i < names->n; i++) {
        while (old < r->n && strcmp(r->v[old]->name, names->v[i]) < 0)
            old++;
        bool known = old < r->n && strcmp(r->v[old]->name, names->v[i]) == 0;
        v[i] = known ? r->v[old] : item_new(&names->v[i]);
        if (v[i])
            continue;
        for (size_t k = 0; k < i; k++)
            if (!names->v[k])
                item_free(v[k]);
        return false;
    }
    return true;
}

bool roster_take(struct roster *r, struct qdrant_names *names)
{
    struct item **v = calloc(names->n + 1, sizeof(struct item *));
    if (!v || !add_new(r, names, v))
        return free(v), false;
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        while (kept < names->n && strcmp(v[kept]->name, r->v[i]->name) < 0)
            kept++;
        if (kept == names->n || v[kept] != r->v[i])
            let_go(r->v[i]);
    }
    free(r->v);
    r->v = v;
    r->n = names->n;
    return true;
}

void roster_free(struct roster *r)
{
    for (size_t i = 0; i < r->n; i++)
        item_free(r->v[i]);
    free(r->v);
    *r = (struct roster){0};
}

static struct item *at(struct roster *r, size_t i) { return i < r->n ? r->v[i] : &r->storage; }

struct item *roster_next(struct roster *r, int64_t now, int64_t *wait)
{
    struct item *best = NULL;
    *wait = -1;
    for (size_t i = 0; i <= r->n; i++) {
        struct item *it = at(r, i);
        if (it->state != ITEM_PENDING)
            continue;
        if (it->due > now) {
            if (*wait < 0 || it->due < *wait)
                *wait = it->due;
        } else if (!best || it->tries < best->tries ||
                   (it->tries == best->tries && it->newest < best->newest)) {
            best = it;
        }
    }
    return best;
}

struct roster_left roster_left(const struct roster *r)
{
    struct roster_left left = {0};
    for (size_t i = 0; i <= r->n; i++) {
        const struct item *it = i < r->n ? r->v[i] : &r->storage;
        left.pending += it->state == ITEM_PENDING;
        left.tried += it->state == ITEM_PENDING && it->tries > 0;
        left.making += it->state == ITEM_MAKING;
    }
    return left;
}

uint64_t roster_making_size(const struct roster *r)
{
    uint64_t size = 0;
    for (size_t i = 0; i <= r->n; i++) {
        const struct item *it = i < r->n ? r->v[i] : &r->storage;
        size += it->state == ITEM_MAKING ? it->size : 0;
    }
    return size;
}

time_t roster_taken(const struct item *it, const struct qdrant_snapshot *s)
{
    char path[600];
    struct source src;
    (void)snprintf(path, sizeof path, "%s%s", it->name ? "x/" : "", s->name);
    return name_source(path, &src) == NAME_SOURCE && src.taken ? src.taken : s->created;
}

void roster_made(struct item *it, const struct qdrant_snapshot *s)
{
    time_t when = roster_taken(it, s);
    it->newest = when ? when : time(NULL);
    it->size = s->size;
}
