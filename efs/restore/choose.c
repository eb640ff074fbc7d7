#include "efs/restore/restore.h"
#include "common/base/cleanup.h"
#include "common/base/utc.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_SECONDS = 86400 };

static bool read_when(const char *text, time_t now, time_t *out, time_t *begins)
{
    static const char *const shape[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M"};
    struct tm tm = {0};
    time_t age;
    if (retention_age(text, &age)) {
        *begins = *out = now - age;
        return age <= now;
    }
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    bool day = end && !*end;
    if (day) {
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
    *begins = day ? *out - (DAY_SECONDS - 1) : *out;
    return *out > 0 && check.tm_mday == tm.tm_mday && check.tm_mon == tm.tm_mon;
}

bool time_parse(const char *text, time_t now, time_t *out)
{
    time_t begins = 0;
    return read_when(text, now, out, &begins) && (!now || begins <= now + RESTORE_TOLERANCE);
}

const char *restore_when_use(const char *text, time_t now)
{
    time_t out = 0, begins = 0;
    if (read_when(text, now, &out, &begins))
        return "a time that is not in the future (UTC)";
    const char *clock = strpbrk(text, "T ");
    if (clock && strpbrk(clock, "+-"))
        return "UTC, such as 2026-11-24T06:00Z for 2026-11-24T08:00+02:00";
    return "a time (UTC) such as 2026-11-24T08:00Z, a day such as 2026-11-24, or an age such as 2h";
}

time_t backup_time(const struct backup *b)
{
    return b->m.source.taken ? b->m.source.taken : b->m.created > 0 ? b->m.created : b->m.slot;
}

/* Without a server's clock only ours can tell. */
static bool is_future(const struct backup *b, time_t when, time_t now)
{
    return now && (when > now + RESTORE_TOLERANCE || (b->written && when > b->written + RESTORE_SKEW));
}

bool restore_ahead(const struct backup *b, time_t now) { return is_future(b, backup_time(b), now); }

time_t restore_moment(const struct backup *b, time_t now)
{
    if (!restore_ahead(b, now))
        return backup_time(b);
    if (b->m.created > 0 && !is_future(b, b->m.created, now))
        return b->m.created;
    return b->written && !is_future(b, b->written, now) ? b->written : 0;
}

void restore_clock_note(const struct backup *b, time_t now, char *out, size_t size)
{
    char name[32], when[64] = "older than all others";
    time_t moment = restore_moment(b, now);
    *out = 0;
    if (!restore_ahead(b, now))
        return;
    utc_text(backup_time(b), name);
    if (moment) {
        (void)snprintf(when, sizeof when, "taken at ");
        utc_text(moment, when + strlen(when));
    }
    (void)snprintf(out, size,
                   "it says that it was taken at %s: its node's clock ran ahead, and it counts as %s", name,
                   when);
}

static bool named(const char *wish, const char *stem)
{
    size_t n = strlen(stem);
    return strncmp(wish, stem, n) == 0 &&
           (!wish[n] || strcmp(wish + n, ".snapshot") == 0 || strcmp(wish + n, ".snapshot.zst") == 0 ||
            strcmp(wish + n, ".snapshot.delta") == 0);
}

/* Whose it is; a defective one may not tell. */
static const char *node_of(const struct backup *b) { return b->m.node[0] ? b->m.node : b->m.source.peer; }

static bool fits(const struct backup *b, const struct restore_selector *w)
{
    const struct source *s = &b->m.source;
    if (s->kind != w->kind || (w->kind != KIND_STORAGE && strcmp(s->collection, w->collection) != 0) ||
        (w->kind == KIND_SHARD && w->shard && strcmp(s->shard, w->shard) != 0) ||
        (w->snapshot && !named(w->snapshot, s->stem) && !named(w->snapshot, b->stem)))
        return false;
    const char *node = node_of(b);
    return (w->frequency < 0 || b->frequency == (enum frequency)w->frequency) &&
           (!w->node || !*node || strcmp(node, w->node) == 0 || strcmp(s->peer, w->node) == 0) &&
           (!w->at || (restore_moment(b, w->now) && restore_moment(b, w->now) <= w->at));
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

static int tree_order(const struct backup *a, const struct backup *b)
{
    size_t n = tree_of(a), m = tree_of(b);
    return n != m ? (n > m) - (n < m) : strncmp(a->dir, b->dir, n);
}

static bool same_tree(const struct backup *a, const struct backup *b) { return tree_order(a, b) == 0; }

/* Trees and collections one after the other, each from its oldest backup to its newest; of one moment those
 * first that tell their aliases. */
static int by_age(const void *pa, const void *pb, void *now)
{
    const struct backup *a = *(struct backup *const *)pa, *b = *(struct backup *const *)pb;
    int order = strcmp(a->m.source.collection, b->m.source.collection);
    if (order == 0)
        order = tree_order(a, b);
    if (order != 0)
        return order;
    time_t then = restore_moment(a, *(time_t *)now), later = restore_moment(b, *(time_t *)now);
    return then != later ? (then > later) - (then < later) : b->m.aliases.known - a->m.aliases.known;
}

int restore_inherit_aliases(struct backup_list *list, time_t now, struct err *e)
{
    size_t n = 0;
    cleanup_free struct backup **v = calloc(list->n + 1, sizeof(struct backup *));
    const struct backup *from = NULL;
    if (!v)
        return err_set(e, ENOMEM, "cannot tell the aliases of", "backups", NULL);
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].m.source.kind == KIND_COLLECTION)
            v[n++] = &list->v[i];
    qsort_r(v, n, sizeof(struct backup *), by_age, &now);
    for (size_t i = 0; i < n; i++) {
        struct backup *b = v[i];
        if (from && (strcmp(from->m.source.collection, b->m.source.collection) != 0 || !same_tree(from, b)))
            from = NULL;
        if (b->m.aliases.known) {
            from = !b->aliases_at && restore_moment(b, now) ? b : from;
        } else if (from && !b->m.upload) {
            b->m.aliases = from->m.aliases;
            b->aliases_at = restore_moment(from, now);
        }
    }
    return 0;
}

struct choice {
    const struct backup_list *list;
    const struct restore_selector *w;
    const size_t *order;
    size_t n;
};

/* By insertion: both the lists of a tier and what a caller puts together are nearly sorted. */
static void put(const struct backup_list *list, const struct restore_selector *w, size_t *order, size_t n,
                size_t i)
{
    time_t when = restore_moment(&list->v[i], w->now);
    for (; n > 0 && restore_moment(&list->v[order[n - 1]], w->now) < when; n--)
        order[n] = order[n - 1];
    order[n] = i;
}

static time_t end_of(const struct choice *c, const char *node, bool newest)
{
    const struct backup_list *list = c->list;
    const size_t *order = c->order;
    size_t n = c->n;
    time_t when = 0;
    for (size_t i = 0; i < n && !(newest && when); i++)
        if (backup_trusted(&list->v[order[i]]) && strcmp(node_of(&list->v[order[i]]), node) == 0)
            when = restore_moment(&list->v[order[i]], c->w->now);
    return when;
}

static bool is_peer(const struct backup *b) { return strcmp(node_of(b), b->m.source.peer) == 0; }

/* Does the node of `b` live beside that of `newest`? */
static bool beside(const struct choice *c, const struct backup *b, const struct backup *newest)
{
    const char *one = node_of(b), *other = node_of(newest);
    if (!*one || !*other || strcmp(one, other) == 0)
        return false;
    if (!is_peer(b) && !is_peer(newest))
        return true; /* both have a NODE_NAME, which outlives a task */
    time_t last = end_of(c, one, true);
    return last >= end_of(c, other, false) + RESTORE_OVERLAP &&
           last > restore_moment(newest, c->w->now) - RESTORE_APART;
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

static int one_source(const struct choice *c, struct err *e)
{
    const struct restore_selector *w = c->w;
    const struct backup *newest = NULL;
    for (size_t i = 0; i < c->n; i++) {
        const struct backup *b = &c->list->v[c->order[i]];
        if (!backup_trusted(b))
            continue; /* what it says of its node must not keep anyone from the others */
        newest = newest ? newest : b;
        if (!same_tree(b, newest))
            return ambiguous(b, newest, true, e);
        if (!w->node && !w->any_node && w->kind != KIND_STORAGE && beside(c, b, newest))
            return ambiguous(b, newest, false, e);
    }
    return 0;
}

static bool is_upload(const struct backup_list *list, size_t i) { return list->v[i].m.upload; }

/* Whatever somebody has laid into Qdrant's folder comes after all that Qdrant has made itself. */
static void uploads_last(const struct backup_list *list, size_t *order, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_upload(list, order[i])) {
            size_t one = order[i];
            memmove(order + kept + 1, order + kept, (i - kept) * sizeof *order);
            order[kept++] = one;
        }
}

size_t restore_choose(const struct backup_list *list, const struct restore_selector *w, size_t *order,
                      struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (fits(&list->v[i], w))
            put(list, w, order, n++, i);
    if (one_source(&(struct choice){list, w, order, n}, e) != 0)
        return 0;
    if (!w->snapshot)
        uploads_last(list, order, n);
    return n;
}

enum restore_outcome restore_first_good(struct backup_list *list, const size_t *order, size_t n,
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
