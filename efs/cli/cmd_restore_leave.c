/* Which collections a restore of everything leaves out: what was deleted on purpose, and what an alias of a
 * newer collection has the name of. Qdrant lets no alias have the name of a collection: when the alias was
 * made, the collection was gone, and restored it would stand in the alias's way. */
#include "common/base/cleanup.h"
#include "common/base/utc.h"
#include "efs/cli/cmd_restore.h"
#include "efs/repo/readers.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct leaving {
    const struct job *j;
    char **names;
    size_t n;
    bool choose;
    bool *any;
    struct backup **chosen; /* of each name: what would be taken; NULL: none is good */
    time_t *deleted;        /* when it was, 0: it was not */
    time_t now;
};

static void forget(struct backup *b)
{
    if (b)
        free((char *)b->dir);
    free(b);
}

/* The list goes. */
static struct backup *copy_of(const struct backup *b)
{
    struct backup *copy = malloc(sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *b;
    copy->reason = NULL;
    copy->dir = strdup(b->dir);
    return copy->dir ? copy : (forget(copy), NULL);
}

static int first_good(struct backup_list *list, const struct restore_selector *wish, struct backup **out,
                      struct err *e)
{
    struct err ignored = {0};
    struct backup *b = NULL;
    char why[1200];
    cleanup_choice struct restore_choice *c = restore_choice_new(list, wish, &restore_look_files, e);
    if (!c)
        return -1;
    if (restore_choice_add(c, 0, list->n, &ignored) != 0)
        return 0; /* its own restore says why */
    do {
        if (restore_choice_next(c, &b, e) != 0)
            return -1;
    } while (b && restore_choice_refuses(c, b, why, sizeof why));
    if (!b)
        return 0;
    if (restore_inherit_aliases(list, b, wish->now, &restore_look_files, e) != 0)
        return -1;
    *out = copy_of(b);
    return *out ? 0 : err_set(e, ENOMEM, "cannot choose among", "backups", NULL);
}

static int look(size_t i, void *arg, struct err *e)
{
    struct leaving *l = arg;
    cleanup_backup_list struct backup_list list = {0};
    struct restore_selector wish = l->j->wish;
    wish.collection = l->names[i];
    if (cmd_gather_names_of(l->j->o, l->names[i], &list, e) != 0)
        return -1;
    for (size_t k = 0; k < list.n; k++)
        l->any[i] = l->any[i] || (list.v[k].m.source.kind == wish.kind &&
                                  strcmp(list.v[k].m.source.collection, wish.collection) == 0);
    return l->choose && l->any[i] ? first_good(&list, &wish, &l->chosen[i], e) : 0;
}

static void drop_empty(struct leaving *l, size_t *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (!l->any[i]) {
            free(l->names[i]);
            continue;
        }
        l->names[kept] = l->names[i];
        l->chosen[kept++] = l->chosen[i];
    }
    *n = l->n = kept;
}

struct leaving *leaving_new(const struct job *j, char **names, size_t *n, bool choose, struct err *e)
{
    struct leaving *l = calloc(1, sizeof *l);
    if (!l)
        return (void)err_set(e, ENOMEM, "cannot choose among", "backups", NULL), NULL;
    *l = (struct leaving){.j = j,
                          .names = names,
                          .n = *n,
                          .choose = choose,
                          .now = j->wish.now,
                          .any = calloc(*n + 1, sizeof *l->any),
                          .chosen = calloc(*n + 1, sizeof(struct backup *)),
                          .deleted = calloc(*n + 1, sizeof *l->deleted)};
    if (!l->any || !l->chosen || !l->deleted) {
        (void)err_set(e, ENOMEM, "cannot choose among", "backups", NULL);
        return leaving_free(l), NULL;
    }
    if (readers_each(*n, look, l, e) != 0)
        return leaving_free(l), NULL;
    drop_empty(l, n);
    struct deleted *d =
        choose && !j->wish.at ? deleted_load(j->o) : NULL; /* a time brings back what was there then */
    for (size_t i = 0; i < l->n; i++)
        l->deleted[i] = l->chosen[i] ? deleted_when(d, l->chosen[i]) : 0;
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

static void keep_own_aliases(const struct leaving *l, size_t i, struct backup *b, bool tell)
{
    struct aliases kept = {.known = b->m.aliases.known, .left_out = b->m.aliases.left_out};
    for (const char *alias = NULL; (alias = aliases_next(&b->m.aliases, alias));)
        if (!newer_has(l, i, alias))
            (void)aliases_add(&kept, alias); /* it fitted before */
        else if (tell)
            cmd_complain(
                "the alias %.255s is not that of %.255s: a newer backup of another collection has it", alias,
                b->m.source.collection);
    if (!tell)
        b->m.aliases = kept;
}

void leaving_aliases(const struct leaving *l, size_t i, struct backup *b)
{
    if (l && l->chosen[i])
        keep_own_aliases(l, i, b, false);
}

void leaving_tell(const struct leaving *l)
{
    for (size_t i = 0; l && i < l->n; i++)
        if (l->chosen[i])
            keep_own_aliases(l, i, l->chosen[i], true);
}

void leaving_free(struct leaving *l)
{
    if (!l)
        return;
    for (size_t i = 0; l->chosen && i < l->n; i++)
        forget(l->chosen[i]);
    free(l->any);
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

/* --- a name that no collection has */

struct owners {
    const struct options *o;
    const char *alias;
    char **names;
    time_t *slot; /* of the newest backup that tells its aliases, and has that one; else 0 */
};

static int look_for_alias(size_t i, void *arg, struct err *e)
{
    struct owners *all = arg;
    cleanup_backup_list struct backup_list list = {0};
    struct backup *b = NULL;
    struct restore_selector w = {.kind = KIND_COLLECTION,
                                 .collection = all->names[i],
                                 .frequency = -1,
                                 .any_node = true,
                                 .any_tree = true,
                                 .now = time(NULL)};
    if (cmd_gather_names_of(all->o, all->names[i], &list, e) != 0)
        return -1;
    cleanup_choice struct restore_choice *c = restore_choice_new(&list, &w, &restore_look_files, e);
    if (!c || restore_choice_add(c, 0, list.n, e) != 0)
        return -1;
    do {
        if (restore_choice_next(c, &b, e) != 0)
            return -1;
    } while (b && !b->m.aliases.known);
    all->slot[i] = b && has_alias(b, all->alias) ? b->m.slot : 0;
    return 0;
}

bool alias_collection(const struct options *o, const char *alias, char owner[NAME_MAX + 1])
{
    struct owners all = {.o = o, .alias = alias};
    struct err ignored = {0};
    size_t n = 0, newest = 0;
    if (cmd_collection_names(o, &all.names, &n, &ignored) != 0)
        return false;
    cleanup_free time_t *slot = all.slot = calloc(n + 1, sizeof *slot);
    bool found = slot && readers_each(n, look_for_alias, &all, &ignored) == 0;
    for (size_t i = 0; found && i < n; i++)
        newest = slot[i] > slot[newest] ? i : newest;
    found = found && n > 0 && slot[newest] > 0;
    if (found)
        (void)snprintf(owner, NAME_MAX + 1, "%s", all.names[newest]);
    backup_folders_free(all.names, n);
    return found;
}
