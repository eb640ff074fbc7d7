/* Which collections a restore of everything leaves out: what was deleted on purpose, and what an alias of a
 * newer collection has the name of. Qdrant lets no alias have the name of a collection: when the alias was
 * made, the collection was gone, and restored it would stand in the alias's way. */
#include "common/base/cleanup.h"
#include "common/base/utc.h"
#include "efs/cli/cmd_restore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct leaving {
    size_t n;
    const struct backup **chosen; /* of each name: what would be taken; NULL: none is good */
    time_t *deleted;              /* when it was, 0: it was not */
    time_t now;
};

static const struct backup *first_good(const struct job *j, const struct backup_list *list, const char *name)
{
    struct err ignored = {0};
    struct restore_selector wish = j->wish;
    cleanup_free size_t *order = calloc(list->n + 1, sizeof *order);
    wish.collection = name;
    size_t n = order ? restore_choose(list, &wish, order, &ignored) : 0;
    for (size_t i = 0; i < n; i++)
        if (list->v[order[i]].state == ENTRY_COMPLETE)
            return &list->v[order[i]];
    return NULL;
}

struct leaving *leaving_new(const struct job *j, const struct backup_list *list, const char *const *names,
                            size_t n)
{
    struct leaving *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    *l = (struct leaving){.n = n,
                          .now = j->wish.now,
                          .chosen = calloc(n + 1, sizeof(void *)),
                          .deleted = calloc(n + 1, sizeof *l->deleted)};
    if (!l->chosen || !l->deleted)
        return leaving_free(l), NULL;
    struct deleted *d = j->wish.at ? NULL : deleted_load(j->o); /* a time brings back what was there then */
    for (size_t i = 0; i < n; i++) {
        l->chosen[i] = first_good(j, list, names[i]);
        l->deleted[i] = l->chosen[i] ? deleted_when(d, l->chosen[i]) : 0;
    }
    deleted_free(d);
    return l;
}

static bool has_alias(const struct backup *b, const char *name)
{
    for (const char *alias = NULL; (alias = aliases_next(&b->m.aliases, alias));)
        if (strcmp(alias, name) == 0)
            return true;
    return false;
}

/* Of an alias that several have, the newest backup is right: the others lose it. */
static bool newer_has(const struct leaving *l, size_t i, const char *alias)
{
    for (size_t k = 0; k < l->n; k++)
        if (k != i && l->chosen[k] && !l->deleted[k] && has_alias(l->chosen[k], alias) &&
            restore_moment(l->chosen[k], l->now) > restore_moment(l->chosen[i], l->now))
            return true;
    return false;
}

static void keep_own_aliases(const struct leaving *l, size_t i, struct backup *b)
{
    struct aliases kept = {.known = b->m.aliases.known, .left_out = b->m.aliases.left_out};
    for (const char *alias = NULL; (alias = aliases_next(&b->m.aliases, alias));)
        if (!newer_has(l, i, alias))
            (void)aliases_add(&kept, alias); /* it fitted before */
        else if (b == l->chosen[i])
            cmd_complain(
                "the alias %.255s is not that of %.255s: a newer backup of another collection has it", alias,
                b->m.source.collection);
    b->m.aliases = kept;
}

void leaving_aliases(const struct leaving *l, struct backup_list *list, const char *const *names)
{
    for (size_t i = 0; l && i < l->n; i++)
        for (size_t k = 0; l->chosen[i] && k < list->n; k++)
            if (strcmp(list->v[k].m.source.collection, names[i]) == 0)
                keep_own_aliases(l, i, &list->v[k]);
}

void leaving_free(struct leaving *l)
{
    if (!l)
        return;
    free(l->chosen);
    free(l->deleted);
    free(l);
}

bool leaving_is(const struct leaving *l, size_t i, char *why, size_t size)
{
    char when[32];
    const struct backup *b = l ? l->chosen[i] : NULL;
    if (!b)
        return false;
    if (l->deleted[i]) {
        utc_text(l->deleted[i], when);
        return (void)snprintf(why, size, "it was deleted on purpose, seen at %s", when), true;
    }
    for (size_t k = 0; k < l->n; k++) {
        const struct backup *other = l->chosen[k];
        if (k != i && other && !l->deleted[k] && has_alias(other, b->m.source.collection) &&
            restore_moment(other, l->now) > restore_moment(b, l->now))
            return (void)snprintf(why, size, "its name is an alias of %.255s in the newer backup %.255s",
                                  other->m.source.collection, other->m.source.stem),
                   true;
    }
    return false;
}
