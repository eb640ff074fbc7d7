#include "efs/cli/cmd_sets.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/base/utc.h"
#include "efs/cli/cmd_table.h"
#include "efs/repo/readers.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void set_world_free(struct set_world *w)
{
    sets_free(&w->sets);
    for (size_t i = 0; w->shards && i < w->list.n; i++)
        shards_free(&w->shards[i]);
    free(w->shards);
    free(w->members);
    backup_list_free(&w->list);
    *w = (struct set_world){0};
}

static int read_shards(size_t i, void *arg, struct err *e)
{
    struct set_world *w = arg;
    struct backup *b = &w->list.v[i];
    if (b->state == ENTRY_UNREADABLE || backup_shards(b, &w->shards[i], e) == 0)
        return 0;
    cmd_complain("%s; its shards are not known", e->text);
    *e = (struct err){0};
    return 0;
}

/* What nobody vouches for must not say what is whole. */
static void trust(struct set_world *w)
{
    for (size_t i = 0; i < w->list.n; i++)
        if (w->list.v[i].signature == SIGNATURE_BAD || !backup_trusted(&w->list.v[i]))
            shards_free(&w->shards[i]);
}

int set_filters_check(const struct options *o)
{
    const char *flag = o->restore.node     ? "--node"
                       : o->frequency >= 0 ? "--frequency"
                       : o->state >= 0     ? "--state"
                       : o->pinned         ? "--pinned"
                                           : NULL;
    if (!flag)
        return 0;
    cmd_complain("a set is of all nodes and frequencies, in whatever state their backups are: no %s", flag);
    return EXIT_SETTING;
}

int set_world_again(struct set_world *w)
{
    struct err e = {0};
    for (size_t i = 0; i < w->list.n; i++)
        w->members[i] = (struct set_member){&w->list.v[i], &w->shards[i]};
    sets_free(&w->sets);
    if (sets_make(w->members, w->list.n, &w->sets, &e) == 0)
        return 0;
    cmd_complain("%s", e.text);
    return EXIT_DEFECT;
}

struct backup *set_world_condemn(struct set_world *w, const struct backup *which, const char *why)
{
    struct backup *b = &w->list.v[which - w->list.v];
    b->state = ENTRY_CORRUPT;
    free(b->reason);
    b->reason = strdup(why); /* without memory the state must do */
    return b;
}

int set_world_gather(const struct options *o, struct set_world *w)
{
    struct err e = {0};
    if (set_filters_check(o) != 0)
        return EXIT_SETTING;
    if (cmd_gather(o, &w->list) != 0)
        return EXIT_DEFECT;
    w->shards = calloc(w->list.n + 1, sizeof *w->shards);
    w->members = calloc(w->list.n + 1, sizeof *w->members);
    if (!w->shards || !w->members)
        return cmd_complain("no memory"), EXIT_DEFECT;
    if (readers_each(w->list.n, read_shards, w, &e) != 0)
        return cmd_complain("%s", e.text), EXIT_DEFECT;
    trust(w);
    return set_world_again(w);
}

const char *set_peer_name(const char *peer, void *arg)
{
    const struct set_world *w = arg;
    const struct manifest *newest = NULL;
    for (size_t i = 0; i < w->list.n; i++) {
        const struct manifest *m = &w->list.v[i].m;
        bool own = strcmp(m->source.peer, peer) == 0 || strcmp(w->shards[i].peer, peer) == 0;
        if (own && m->node[0] && (!newest || m->slot > newest->slot))
            newest = m;
    }
    return newest ? newest->node : peer;
}

void set_reasons(const struct set_world *w, const struct set *s, char *out, size_t size)
{
    char one[400], safe[600];
    size_t n = 0;
    *out = 0;
    if (s->n_shards == 0)
        (void)snprintf(out, size, "%s",
                       s->by_itself ? "the backup is not complete"
                                    : "no backup tells which shards there are");
    for (size_t i = 0; i < s->n_shards && n < size; i++) {
        if (s->shards[i].lack == SET_HERE)
            continue;
        (void)set_lack_text(&s->shards[i], set_peer_name, (void *)w, one, sizeof one);
        n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "; " : "",
                              text_printable(one, safe, sizeof safe));
    }
}

const char *set_collection(const struct set *s, char *out, size_t size)
{
    return table_source(&s->v[0].b->m.source, out, size);
}

/* When the last of its snapshots was made. */
static time_t last_of(const struct set *s)
{
    time_t last = 0;
    for (size_t i = 0; i < s->n; i++)
        last = s->v[i].b->m.created > last ? s->v[i].b->m.created : last;
    return last;
}

void set_none(const struct set_world *w, const struct set *one, time_t at, char *out, size_t size)
{
    const struct set *next = NULL;
    char until[UTC_TEXT], slot[UTC_TEXT], made[UTC_TEXT];
    for (size_t i = 0; i < w->sets.n && at; i++) {
        const struct set *s = &w->sets.v[i];
        if (s->complete && sets_same_place(s, one) && last_of(s) > at && (!next || s->slot < next->slot))
            next = s;
    }
    if (!next) {
        (void)snprintf(out, size, "there is no complete set of it");
        return;
    }
    utc_text(at, until);
    utc_text(next->slot, slot);
    utc_text(last_of(next), made);
    (void)snprintf(out, size,
                   "no complete set of it was made until %s (--at); that of the slot %s was complete at %s: "
                   "give that time",
                   until, slot, made);
}

bool set_several_trees(const struct sets *s)
{
    for (size_t i = 1; i < s->n; i++) {
        size_t n, m;
        (void)cmd_folder_of(s->v[i].v[0].b, &n);
        (void)cmd_folder_of(s->v[0].v[0].b, &m);
        if (n != m || strncmp(s->v[i].v[0].b->dir, s->v[0].v[0].b->dir, n) != 0)
            return true;
    }
    return false;
}
