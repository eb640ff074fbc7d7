#include "replicator/snapshot/presence.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    char *name;
    time_t last, missing;
    int64_t missing_ms; /* -1: it is there */
};
struct presence {
    char process[64];
    struct seen *v;
    size_t n;
};

struct presence *presence_new(void) { return calloc(1, sizeof(struct presence)); }

static void forget(struct presence *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].name);
    free(p->v);
    p->v = NULL;
    p->n = 0;
}

void presence_free(struct presence *p)
{
    if (p)
        forget(p);
    free(p);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->name, ((const struct seen *)b)->name);
}

/* Among the first `n`, which are sorted. */
static struct seen *find(const struct presence *p, size_t n, char *name)
{
    struct seen key = {.name = name};
    return n > 0 ? bsearch(&key, p->v, n, sizeof key, by_name) : NULL;
}

/* Without memory it was not seen, and its deletion is not told. */
static void add(struct presence *p, const char *name, const struct presence_look *l)
{
    struct seen *v = realloc(p->v, (p->n + 1) * sizeof *v);
    char *copy = v ? strdup(name) : NULL;
    if (v)
        p->v = v;
    if (copy)
        v[p->n++] = (struct seen){.name = copy, .last = l->now, .missing_ms = -1};
}

static void drop(struct presence *p, size_t at)
{
    free(p->v[at].name);
    memmove(&p->v[at], &p->v[at + 1], (--p->n - at) * sizeof *p->v);
}

static bool look_for_new(struct presence *p, const struct presence_look *l)
{
    bool news = false;
    size_t before = p->n;
    for (size_t i = 0; i < l->names->n; i++) {
        const struct seen *s = find(p, before, l->names->v[i]);
        news = news || !s || s->missing_ms >= 0;
        if (!s)
            add(p, l->names->v[i], l);
    }
    if (p->n > before)
        qsort(p->v, p->n, sizeof *p->v, by_name);
    return news;
}

static void look_for_gone(struct presence *p, const struct presence_look *l)
{
    for (size_t i = p->n; i > 0; i--) {
        struct seen *s = &p->v[i - 1];
        if (qdrant_names_have(l->names, s->name)) {
            s->last = l->now;
            s->missing_ms = -1;
        } else if (s->missing_ms < 0) {
            s->missing = l->now;
            s->missing_ms = l->now_ms;
        } else if (l->now_ms - s->missing_ms >= l->settle_ms) {
            if (l->ours(s->name, l->arg))
                l->gone(s->name, s->last, s->missing, l->arg);
            drop(p, i - 1);
        }
    }
}

bool presence_look(struct presence *p, const struct presence_look *l)
{
    bool other = !*l->process || strcmp(l->process, p->process) != 0;
    if (other) {
        forget(p);
        (void)snprintf(p->process, sizeof p->process, "%s", l->process);
    }
    bool news = look_for_new(p, l);
    look_for_gone(p, l);
    return news || other;
}

void presence_doubt(struct presence *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].missing_ms >= 0)
            p->v[i].missing_ms = -1;
}

bool presence_has(const struct presence *p, const char *name)
{
    const struct seen *s = find(p, p->n, (char *)name); /* only compared */
    return s && s->missing_ms < 0;
}
