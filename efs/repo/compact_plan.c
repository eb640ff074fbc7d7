#include "efs/repo/compact_plan.h"
#include "efs/repo/ruler.h"
#include <stdlib.h>
#include <string.h>

struct look {
    const struct backup_list *list;
    const enum compact_role *role;
    struct compact_plan *plan;
};

bool compact_pays(const struct compact_group *g) { return g->frees > g->costs; }

void compact_plan_free(struct compact_plan *p)
{
    free(p->group);
    free(p->of);
    *p = (struct compact_plan){0};
}

/* One that cannot be read now is none: what it needs stays. */
static bool can_be_whole(const struct look *l, size_t i)
{
    const struct backup *b = &l->list->v[i];
    return l->role[i] == COMPACT_STAYS && b->has_manifest && b->m.bases.n > 0 && b->state == ENTRY_COMPLETE;
}

static bool needs_kept(const struct look *l, size_t i)
{
    for (size_t j = 0; j < l->list->n; j++)
        if (l->role[j] == COMPACT_KEPT && ruler_needs(&l->list->v[i], &l->list->v[j]))
            return true;
    return false;
}

/* Of the same whole? */
static bool same_root(const struct backup *a, const struct backup *b)
{
    return a->m.bases.v[0].frequency == b->m.bases.v[0].frequency &&
           strcmp(base_data(&a->m.bases, 0), base_data(&b->m.bases, 0)) == 0;
}

static size_t group_of(const struct look *l, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (l->plan->of[j] && same_root(&l->list->v[i], &l->list->v[j]))
            return l->plan->of[j];
    return ++l->plan->n_groups;
}

/* As a whole it is likely to be compressed as well as the one that it hangs on. */
static uint64_t as_whole(const struct look *l, const struct backup *delta)
{
    for (size_t i = 0; i < l->list->n; i++) {
        const struct backup *b = &l->list->v[i];
        if (b->m.bases.n == 0 && b->m.content.size > 0 && ruler_needs(delta, b))
            return (uint64_t)((double)delta->m.content.size * (double)b->m.content.stored_size /
                              (double)b->m.content.size);
    }
    return delta->m.content.size;
}

static void add_cost(const struct look *l, size_t i)
{
    const struct backup *b = &l->list->v[i];
    struct compact_group *g = &l->plan->group[l->plan->of[i] - 1];
    uint64_t whole = as_whole(l, b);
    g->deltas++;
    g->costs += whole > b->m.content.stored_size ? whole - b->m.content.stored_size : 0;
}

/* The group that frees it; 0: one that is in none needs it, too. */
static size_t freed_by(const struct look *l, size_t j)
{
    size_t group = 0;
    for (size_t i = 0; i < l->list->n; i++) {
        if (l->role[i] != COMPACT_STAYS || !ruler_needs(&l->list->v[i], &l->list->v[j]))
            continue;
        if (!l->plan->of[i])
            return 0;
        group = l->plan->of[i];
    }
    return group;
}

int compact_plan_make(const struct backup_list *list, const enum compact_role *role, struct compact_plan *out)
{
    struct look l = {list, role, out};
    *out = (struct compact_plan){.of = calloc(list->n + 1, sizeof *out->of),
                                 .group = calloc(list->n + 1, sizeof *out->group)};
    if (!out->of || !out->group)
        return compact_plan_free(out), -1;
    for (size_t i = 0; i < list->n; i++)
        if (can_be_whole(&l, i) && needs_kept(&l, i))
            out->of[i] = group_of(&l, i);
    for (size_t i = 0; i < list->n; i++) {
        size_t group = role[i] == COMPACT_KEPT ? freed_by(&l, i) : 0;
        if (out->of[i])
            add_cost(&l, i);
        if (group) {
            out->group[group - 1].bases++;
            out->group[group - 1].frees += list->v[i].m.content.stored_size;
        }
    }
    return 0;
}
