#include "replicator/snapshot/targets.h"
#include "efs/repo/name.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void item_free(struct target *it)
{
    free(it->name);
    free(it);
}

static void let_go(struct target *it)
{
    if (it->state == TARGET_MAKING)
        it->gone = true;
    else
        item_free(it);
}

void targets_settle(struct target *it, enum target_state state)
{
    it->state = state;
    if (it->gone)
        item_free(it);
}

static struct target *item_new(char **name)
{
    struct target *it = calloc(1, sizeof *it);
    if (it) {
        it->name = *name;
        it->size = it->had = it->has = -1;
        *name = NULL;
    }
    return it;
}

/* The new ones first, so that a failure changes nothing. Both lists are sorted. */
static bool add_new(const struct targets *r, struct qdrant_names *names, struct target **v)
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

bool targets_take(struct targets *r, struct qdrant_names *names)
{
    struct target **v = calloc(names->n + 1, sizeof(struct target *));
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

void targets_free(struct targets *r)
{
    for (size_t i = 0; i < r->n; i++)
        item_free(r->v[i]);
    free(r->v);
    *r = (struct targets){0};
}

static struct target *at(struct targets *r, size_t i) { return i < r->n ? r->v[i] : &r->storage; }

static bool comes_before(const struct target *a, const struct target *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    return a->tries != b->tries ? a->tries < b->tries : a->newest < b->newest;
}

struct target *targets_next(struct targets *r, int64_t now, int64_t *wait)
{
    struct target *best = NULL;
    *wait = -1;
    for (size_t i = 0; i <= r->n; i++) {
        struct target *it = at(r, i);
        if (it->state != TARGET_PENDING)
            continue;
        if (it->due > now) {
            if (*wait < 0 || it->due < *wait)
                *wait = it->due;
        } else if (!best || comes_before(it, best)) {
            best = it;
        }
    }
    return best;
}

struct targets_left targets_left(const struct targets *r)
{
    struct targets_left left = {0};
    for (size_t i = 0; i <= r->n; i++) {
        const struct target *it = i < r->n ? r->v[i] : &r->storage;
        left.pending += it->state == TARGET_PENDING;
        left.making += it->state == TARGET_MAKING;
    }
    return left;
}

uint64_t targets_making_need(const struct targets *r)
{
    uint64_t all = 0;
    for (size_t i = 0; i <= r->n; i++) {
        const struct target *it = i < r->n ? r->v[i] : &r->storage;
        if (it->state == TARGET_MAKING)
            all = it->need > UINT64_MAX - all ? UINT64_MAX : all + it->need;
    }
    return all;
}

time_t targets_taken(const struct target *it, const struct qdrant_snapshot *s)
{
    char path[600];
    struct source src;
    (void)snprintf(path, sizeof path, "%s%s", it->name ? "x/" : "", s->name);
    return name_source(path, &src) == NAME_SOURCE && src.taken ? src.taken : s->created;
}

void targets_made(struct target *it, const struct qdrant_snapshot *s)
{
    time_t when = targets_taken(it, s);
    it->newest = when ? when : time(NULL);
    it->size = (int64_t)s->size;
    it->had = it->has;
    it->held = false;
}
