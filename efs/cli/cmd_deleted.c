/* Which backups are of collections that were deleted in Qdrant, for those who list them. */
#include "efs/cli/cli.h"
#include "efs/repo/tombstone.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tree {
    char base[PATH_MAX];
    struct tombstones all;
};
struct deleted {
    struct tree *v;
    size_t n;
};

static int load(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct deleted *d = arg;
    struct err why = {0};
    struct tree *v = realloc(d->v, (d->n + 1) * sizeof *v);
    (void)o;
    if (!v)
        return err_set(e, ENOMEM, "cannot read the tombstones in", base, NULL);
    d->v = v;
    struct tree *t = &v[d->n++];
    (void)snprintf(t->base, sizeof t->base, "%s/", base);
    if (tombstones_load(base, NULL, &t->all, &why) != 0 || t->all.unreadable > 0)
        cmd_complain("which collections were deleted is not known: %s", why.text[0] ? why.text : t->all.why);
    return 0;
}

struct deleted *deleted_load(const struct options *o)
{
    struct deleted *d = calloc(1, sizeof *d);
    struct err e = {0};
    if (d && cmd_each_tree(o, load, d, &e) != 0)
        cmd_complain("%s", e.text);
    return d;
}

void deleted_free(struct deleted *d)
{
    for (size_t i = 0; d && i < d->n; i++)
        tombstones_free(&d->v[i].all);
    if (d)
        free(d->v);
    free(d);
}

time_t deleted_when(const struct deleted *d, const struct backup *b)
{
    const char *node = strcmp(b->m.node, b->m.source.peer) == 0 ? "" : b->m.node;
    time_t taken = b->m.created > 0 ? b->m.created : b->m.slot;
    for (size_t i = 0; d && i < d->n; i++) {
        const struct tree *t = &d->v[i];
        for (size_t k = 0; strncmp(b->dir, t->base, strlen(t->base)) == 0 && k < t->all.n; k++) {
            const struct tombstone *s = &t->all.v[k];
            if (b->m.source.kind != KIND_STORAGE && strcmp(s->collection, b->m.source.collection) == 0 &&
                (strcmp(s->node, TOMBSTONE_ALL) == 0 || strcmp(s->node, node) == 0) &&
                tombstone_covers(s, taken))
                return s->deleted;
        }
    }
    return 0;
}
