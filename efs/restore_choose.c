#include "efs/restore.h"
#include <stdio.h>
#include <string.h>

bool restore_when(const char *text, time_t now, time_t *out)
{
    static const char *const shape[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M"};
    struct tm tm = {0};
    time_t age;
    if (retention_age(text, &age)) {
        *out = now - age;
        return age <= now;
    }
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && !*end) {
        tm.tm_hour = 23;
        tm.tm_min = tm.tm_sec = 59;
    } else {
        size_t i = 0;
        for (end = NULL; i < sizeof shape / sizeof *shape && (!end || (*end && strcmp(end, "Z") != 0)); i++) {
            tm = (struct tm){0};
            end = strptime(text, shape[i], &tm);
        }
        if (!end || (*end && strcmp(end, "Z") != 0))
            return false;
    }
    struct tm check = tm;
    *out = timegm(&check); /* makes 2 March of 30 February */
    return *out > 0 && check.tm_mday == tm.tm_mday && check.tm_mon == tm.tm_mon;
}

time_t restore_taken(const struct backup *b)
{
    return b->m.source.taken ? b->m.source.taken : b->m.created > 0 ? b->m.created : b->m.slot;
}

static bool named(const char *wish, const char *stem)
{
    size_t n = strlen(stem);
    return strncmp(wish, stem, n) == 0 &&
           (!wish[n] || strcmp(wish + n, ".snapshot") == 0 || strcmp(wish + n, ".snapshot.zst") == 0);
}

/* Whose it is; a defective one may not tell. */
static const char *node_of(const struct backup *b) { return b->m.node[0] ? b->m.node : b->m.source.peer; }

static bool fits(const struct backup *b, const struct restore_wish *w)
{
    const struct source *s = &b->m.source;
    if (s->kind != w->kind || (w->kind != KIND_STORAGE && strcmp(s->collection, w->collection) != 0) ||
        (w->kind == KIND_SHARD && w->shard && strcmp(s->shard, w->shard) != 0) ||
        (w->snapshot && !named(w->snapshot, s->stem) && !named(w->snapshot, b->stem)))
        return false;
    const char *node = node_of(b);
    return (w->tier < 0 || b->tier == (enum tier)w->tier) &&
           (!w->node || !*node || strcmp(node, w->node) == 0 || strcmp(s->peer, w->node) == 0) &&
           (!w->at || (restore_taken(b) && restore_taken(b) <= w->at));
}

/* The part of an entry's folder that is its tree: without "/{frequency}/{folder}", which for a shard is a
 * folder in a folder. */
static size_t tree_of(const struct backup *b)
{
    size_t n = strlen(b->dir);
    for (int parts = b->m.source.kind == KIND_SHARD ? 3 : 2; n > 0 && parts > 0; parts--)
        while (n > 0 && b->dir[--n] != '/')
            ;
    return n;
}

static bool same_tree(const struct backup *a, const struct backup *b)
{
    size_t n = tree_of(a);
    return n == tree_of(b) && strncmp(a->dir, b->dir, n) == 0;
}

/* By insertion: both the lists of a tier and what a caller puts together are nearly sorted. */
static void put(const struct entries *list, size_t *order, size_t n, size_t i)
{
    time_t when = restore_taken(&list->v[i]);
    for (; n > 0 && restore_taken(&list->v[order[n - 1]]) < when; n--)
        order[n] = order[n - 1];
    order[n] = i;
}

static time_t end_of(const struct entries *list, const size_t *order, size_t n, const char *node, bool newest)
{
    time_t when = 0;
    for (size_t i = 0; i < n && !(newest && when); i++)
        if (strcmp(node_of(&list->v[order[i]]), node) == 0)
            when = restore_taken(&list->v[order[i]]);
    return when;
}

static bool is_peer(const struct backup *b) { return strcmp(node_of(b), b->m.source.peer) == 0; }

/* Does the node of `b` live beside that of `newest`? */
static bool beside(const struct entries *list, const size_t *order, size_t n, const struct backup *b,
                   const struct backup *newest)
{
    const char *one = node_of(b), *other = node_of(newest);
    if (!*one || !*other || strcmp(one, other) == 0)
        return false;
    if (!is_peer(b) && !is_peer(newest))
        return true; /* both have a NODE_NAME, which outlives a task */
    time_t last = end_of(list, order, n, one, true);
    return last >= end_of(list, order, n, other, false) + RESTORE_OVERLAP &&
           last > restore_taken(newest) - RESTORE_APART;
}

static int ambiguous(const struct backup *b, const struct backup *newest, bool trees, struct err *e)
{
    char what[900];
    if (trees)
        (void)snprintf(what, sizeof what, "backups that fit are in several trees, such as %.300s and %.300s",
                       newest->dir, b->dir);
    else
        (void)snprintf(
            what, sizeof what,
            "several nodes have backups that fit, such as %.128s and %.128s, each with shards of its "
            "own",
            node_of(newest), node_of(b));
    return err_set(e, 0, what, NULL,
                   trees ? "choose one with --tier and --cpu-arch" : "choose one with --node");
}

static int one_source(const struct entries *list, const struct restore_wish *w, const size_t *order, size_t n,
                      struct err *e)
{
    for (size_t i = 1; i < n; i++) {
        const struct backup *newest = &list->v[order[0]], *b = &list->v[order[i]];
        if (!same_tree(b, newest))
            return ambiguous(b, newest, true, e);
        if (!w->node && !w->any_node && w->kind != KIND_STORAGE && beside(list, order, n, b, newest))
            return ambiguous(b, newest, false, e);
    }
    return 0;
}

size_t restore_choose(const struct entries *list, const struct restore_wish *w, size_t *order, struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (fits(&list->v[i], w))
            put(list, order, n++, i);
    return one_source(list, w, order, n, e) == 0 ? n : 0;
}

enum restore_outcome restore_first_good(struct entries *list, const size_t *order, size_t n,
                                        const struct restore_attempt *a, size_t *which, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct backup *b = &list->v[order[i]];
        struct err why = {0};
        enum restore_outcome outcome = RESTORE_DEFECT;
        if (which)
            *which = order[i];
        if (b->state == ENTRY_COMPLETE)
            outcome = a->with(b, a->arg, &why);
        else
            (void)snprintf(why.text, sizeof why.text, "%s: %.900s", entry_state_text(b->state),
                           b->reason ? b->reason : "");
        if (outcome != RESTORE_DEFECT || a->strict) {
            if (outcome != RESTORE_DONE && e)
                *e = why;
            return outcome;
        }
        if (a->skipped)
            a->skipped(b, why.text, a->arg);
    }
    (void)err_set(e, 0, "no good backup is left to take", NULL, NULL);
    return RESTORE_FAILED;
}
