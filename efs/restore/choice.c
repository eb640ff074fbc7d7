#include "efs/restore/choice.h"
#include "common/base/cleanup.h"
#include "common/base/utc.h"
#include "efs/repo/readers.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The backups of one peer in one tree. */
struct group {
    const struct backup *one; /* has its tree and its peer */
    const char *node;         /* whose they are, when one of them says so */
    bool alike;               /* its newest and its oldest say the same: so do those between */
    bool looked;              /* at both */
};
struct candidate {
    struct backup *b;
    size_t rank, group;
    time_t when; /* restore_moment, or of one that was not read, what that is at most */
    bool read, out;
};
/* In their order, the one that is taken first at the end. */
struct line {
    struct candidate *v;
    size_t n;
    bool uploads_last;
};
struct restore_choice {
    struct backup_list *list;
    struct restore_selector w;
    struct restore_look look;
    const struct backup *beside; /* only those of its tree; NULL: all */
    struct line line;
    struct group *group;
    size_t groups, added, given;
    bool looked_behind; /* for names that are too old */
};

/* --- what is read */

static int read_file(struct backup *b, void *arg, struct err *e)
{
    (void)arg;
    if (backup_read(b, e) != 0)
        return -1;
    backup_trust(b);
    return 0;
}

static void date_file(struct backup *b, void *arg)
{
    (void)arg;
    backup_date(b);
}

static time_t folder_changed(const struct backup *b, void *arg)
{
    struct stat st;
    (void)arg;
    return stat(b->dir, &st) == 0 ? st.st_mtime : INT64_MAX - BACKUP_AHEAD;
}

const struct restore_look restore_look_files = {
    .read = read_file, .date = date_file, .changed = folder_changed};

/* --- what fits */

static bool named(const char *wish, const char *stem)
{
    size_t n = strlen(stem);
    return strncmp(wish, stem, n) == 0 &&
           (!wish[n] || strcmp(wish + n, ".snapshot") == 0 || strcmp(wish + n, ".snapshot.zst") == 0 ||
            strcmp(wish + n, ".snapshot.delta") == 0);
}

/* Whose it is; a defective one may not tell. */
static const char *node_of(const struct backup *b) { return b->m.node[0] ? b->m.node : b->m.source.peer; }

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

/* As far as folder and name tell. */
static bool name_fits(const struct restore_choice *c, const struct backup *b)
{
    const struct restore_selector *w = &c->w;
    const struct source *s = &b->m.source;
    return s->kind == w->kind && (w->kind == KIND_STORAGE || strcmp(s->collection, w->collection) == 0) &&
           (!w->snapshot || named(w->snapshot, s->stem) || named(w->snapshot, b->stem)) &&
           (w->frequency < 0 || b->frequency == (enum frequency)w->frequency) &&
           (!c->beside || same_tree(b, c->beside));
}

static bool node_fits(const struct restore_selector *w, const struct backup *b)
{
    const char *node = node_of(b);
    return !w->node || !*node || strcmp(node, w->node) == 0 || strcmp(b->m.source.peer, w->node) == 0;
}

/* By its moment, which is known. */
static bool time_fits(const struct restore_choice *c, const struct backup *b)
{
    time_t moment = restore_moment(b, c->w.now);
    return (!c->w.at || (moment && moment <= c->w.at)) && (!c->look.may || c->look.may(b, c->look.arg));
}

/* Of one that was read. */
static bool fits(const struct restore_choice *c, const struct backup *b)
{
    const struct restore_selector *w = &c->w;
    return name_fits(c, b) &&
           (w->kind != KIND_SHARD || !w->shard || strcmp(b->m.source.shard, w->shard) == 0) &&
           node_fits(w, b) && time_fits(c, b);
}

/* --- their order */

static int by_number(time_t a, time_t b) { return (a > b) - (a < b); }

/* Of one moment what was not read comes first: once it is read, it may turn out to be older. */
static int order(const struct candidate *a, const struct candidate *b, bool uploads_last)
{
    bool up = uploads_last && a->read && a->b->m.upload, other = uploads_last && b->read && b->b->m.upload;
    if (up != other) /* whatever somebody has laid into Qdrant's folder comes after what Qdrant has made */
        return other - up;
    if (a->when != b->when)
        return by_number(a->when, b->when);
    if (a->read != b->read)
        return b->read - a->read;
    return by_number((time_t)b->rank, (time_t)a->rank);
}

static int by_order(const void *a, const void *b, void *line)
{
    return order(a, b, ((const struct line *)line)->uploads_last);
}

static void sort(struct line *l)
{
    if (l->n > 0)
        qsort_r(l->v, l->n, sizeof *l->v, by_order, l);
}

static time_t when_of(const struct restore_choice *c, const struct backup *b)
{
    return restore_beyond(b, c->w.now) ? backup_time(b) : restore_moment(b, c->w.now);
}

static void settle(const struct restore_choice *c, struct candidate *one)
{
    one->read = true;
    one->out = one->out || !fits(c, one->b);
    one->when = when_of(c, one->b);
}

static int read_one(const struct restore_choice *c, struct candidate *one, struct err *e)
{
    one->b->written = 0; /* reading tells */
    if (c->look.read(one->b, c->look.arg, e) != 0)
        return -1;
    settle(c, one);
    return 0;
}

/* Read number `i`, which then has the place that is its own. Those that go on from there downward meet all.
 */
static int read_at(const struct restore_choice *c, struct line *l, size_t i, struct err *e)
{
    if (read_one(c, &l->v[i], e) != 0)
        return -1;
    for (; i > 0 && order(&l->v[i], &l->v[i - 1], l->uploads_last) < 0; i--) {
        struct candidate lower = l->v[i - 1];
        l->v[i - 1] = l->v[i];
        l->v[i] = lower;
    }
    return 0;
}

/* Several at once. */
struct many {
    const struct restore_choice *c;
    struct candidate **v;
    size_t n;
};

static int read_of_many(size_t i, void *arg, struct err *e)
{
    const struct many *m = arg;
    return read_one(m->c, m->v[i], e);
}

static int date_of_many(size_t i, void *arg, struct err *e)
{
    const struct many *m = arg;
    (void)e;
    m->c->look.date(m->v[i]->b, m->c->look.arg);
    return 0;
}

typedef bool among(const struct restore_choice *c, const struct candidate *one, size_t group);

static int each(const struct restore_choice *c, struct line *l, among *is, size_t group, readers_one *one,
                struct many *m, struct err *e)
{
    *m = (struct many){.c = c, .v = calloc(l->n + 1, sizeof(struct candidate *))};
    if (!m->v)
        return err_set(e, ENOMEM, "cannot choose among", "backups", NULL);
    for (size_t i = 0; i < l->n; i++)
        if (!l->v[i].read && !l->v[i].out && is(c, &l->v[i], group))
            m->v[m->n++] = &l->v[i];
    return readers_each(m->n, one, m, e);
}

static bool of_group(const struct restore_choice *c, const struct candidate *one, size_t group)
{
    (void)c;
    return one->group == group;
}

static bool without_peer(const struct restore_choice *c, const struct candidate *one, size_t group)
{
    (void)c;
    (void)group;
    return !*one->b->m.source.peer;
}

/* By the time in its name, which is the right one of nearly all. */
static bool ruled_out(const struct restore_choice *c, const struct candidate *one, size_t group)
{
    (void)group;
    return !time_fits(c, one->b);
}

static int read_many(const struct restore_choice *c, struct line *l, among *is, size_t group, struct err *e)
{
    struct many m;
    int rc = each(c, l, is, group, read_of_many, &m, e);
    free(m.v);
    sort(l);
    return rc;
}

/* A manifest is written soon after its snapshot is taken. Where it was not, the node's clock may have been
 * wrong, and publishing has put that right in the manifest. */
static bool clock_agrees(const struct backup *b)
{
    time_t named = backup_time(b);
    return !b->written || (b->written + BACKUP_AHEAD >= named && b->written <= named + BACKUP_AHEAD);
}

/* What its name rules out stays in where that may be wrong. */
static int rule_out(const struct restore_choice *c, struct line *l, struct err *e)
{
    struct many m;
    if (!c->w.at && !c->look.may)
        return 0;
    int rc = each(c, l, ruled_out, 0, date_of_many, &m, e);
    for (size_t i = 0; rc == 0 && i < m.n; i++)
        m.v[i]->out = !c->w.now || (!restore_ahead(m.v[i]->b, c->w.now) && clock_agrees(m.v[i]->b));
    free(m.v);
    return rc;
}

static bool anything(const struct restore_choice *c, const struct candidate *one, size_t group)
{
    (void)c;
    (void)one;
    (void)group;
    return true;
}

/* Did anything change in these folders well after that time? */
static bool changed_since(const struct restore_choice *c, const struct line *l, time_t when)
{
    const char *last = NULL;
    bool seen[FREQUENCY_COUNT] = {false};
    for (size_t i = 0; i < l->n; i++) {
        const struct backup *b = l->v[i].b;
        if (l->v[i].read || l->v[i].out || (b->dir == last && seen[b->frequency]))
            continue;
        last = b->dir;
        seen[b->frequency] = true;
        if (c->look.changed(b, c->look.arg) > when + BACKUP_AHEAD)
            return true;
    }
    return false;
}

/* A clock that was behind made names that are too old. Those that may have one are read. */
static int read_behind(const struct restore_choice *c, struct line *l, struct err *e)
{
    struct many m;
    int rc = each(c, l, anything, 0, date_of_many, &m, e);
    size_t kept = 0;
    for (size_t i = 0; i < m.n; i++)
        if (!clock_agrees(m.v[i]->b))
            m.v[kept++] = m.v[i];
    m.n = kept;
    if (rc == 0)
        rc = readers_each(m.n, read_of_many, &m, e);
    free(m.v);
    sort(l);
    return rc;
}

/* --- whose they are */

static bool tells(const struct candidate *one)
{
    return one->read && !one->out && one->b->m.node[0] && backup_trusted(one->b);
}

static const char *node_of_candidate(const struct restore_choice *c, const struct candidate *one)
{
    const char *node = c->group[one->group].node;
    return one->read && one->b->m.node[0] ? one->b->m.node : node ? node : one->b->m.source.peer;
}

static const struct candidate *newest_that_tells(const struct restore_choice *c, struct line *l, size_t group,
                                                 struct err *e)
{
    for (size_t i = l->n; i-- > 0;) {
        while (l->v[i].group == group && !l->v[i].read && !l->v[i].out)
            if (read_at(c, l, i, e) != 0)
                return NULL;
        if (l->v[i].group == group && tells(&l->v[i]))
            return &l->v[i];
    }
    return NULL;
}

/* The node of the oldest that tells; what is read goes further down, to those that were met. */
static const char *oldest_node(const struct restore_choice *c, struct line *l, size_t group, struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        struct backup *b = l->v[i].b;
        if (l->v[i].group != group || l->v[i].out)
            continue;
        bool was_read = l->v[i].read;
        if (!was_read && read_at(c, l, i, e) != 0)
            return NULL;
        for (size_t k = 0; k <= i; k++)
            if (l->v[k].b == b && tells(&l->v[k]))
                return b->m.node;
    }
    return NULL;
}

/* All of a peer are mostly of one node. A node that was given another name on the disk that it had has some
 * of both. */
static int look_at_group(const struct restore_choice *c, struct line *l, size_t group, struct err *e)
{
    struct group *g = &c->group[group];
    struct err why = {0};
    if (g->looked)
        return 0;
    g->looked = true;
    const struct candidate *newest = newest_that_tells(c, l, group, &why);
    g->node = newest ? newest->b->m.node : NULL;
    const char *oldest = why.text[0] || !newest ? NULL : oldest_node(c, l, group, &why);
    if (why.text[0])
        return e ? (*e = why, -1) : -1;
    g->alike = g->node && oldest && strcmp(g->node, oldest) == 0;
    return 0;
}

/* Of each that is not read its group tells the node. */
static int find_nodes(const struct restore_choice *c, struct line *l, size_t first_group, struct err *e)
{
    if (read_many(c, l, without_peer, 0, e) != 0)
        return -1;
    for (size_t g = first_group; g < c->groups; g++) {
        if (look_at_group(c, l, g, e) != 0)
            return -1;
        if (!c->group[g].alike && read_many(c, l, of_group, g, e) != 0)
            return -1;
    }
    return 0;
}

static bool is_peer(const struct restore_choice *c, const struct candidate *one)
{
    return strcmp(node_of_candidate(c, one), one->b->m.source.peer) == 0;
}

/* One that was not read is taken at the word of its group. */
static bool counts(const struct restore_choice *c, const struct candidate *one)
{
    return !one->out && (!one->read || backup_trusted(one->b)) && !restore_beyond(one->b, c->w.now);
}

static time_t moment_of(const struct restore_choice *c, const struct candidate *one)
{
    return one->read ? restore_moment(one->b, c->w.now) : one->when;
}

static time_t end_of(const struct restore_choice *c, const struct line *l, const char *node, bool newest)
{
    time_t when = 0;
    for (size_t i = l->n; i-- > 0 && !(newest && when);)
        if (counts(c, &l->v[i]) && strcmp(node_of_candidate(c, &l->v[i]), node) == 0)
            when = moment_of(c, &l->v[i]);
    return when;
}

/* Does the node of `one` live beside that of `newest`? */
static bool lives_beside(const struct restore_choice *c, const struct line *l, const struct candidate *one,
                         const struct candidate *newest)
{
    const char *node = node_of_candidate(c, one), *other = node_of_candidate(c, newest);
    if (!*node || !*other || strcmp(node, other) == 0)
        return false;
    if (!is_peer(c, one) && !is_peer(c, newest))
        return true; /* both have a NODE_NAME, which outlives a task */
    time_t last = end_of(c, l, node, true);
    return last >= end_of(c, l, other, false) + RESTORE_OVERLAP &&
           last > moment_of(c, newest) - RESTORE_APART;
}

static int ambiguous(const struct restore_choice *c, const struct candidate *one,
                     const struct candidate *newest, bool trees, struct err *e)
{
    char what[900];
    if (trees)
        (void)snprintf(what, sizeof what, "backups that fit are in several trees, such as %.300s and %.300s",
                       newest->b->dir, one->b->dir);
    else
        (void)snprintf(
            what, sizeof what,
            "several nodes have backups that fit, such as %.128s and %.128s, each with shards of its "
            "own",
            node_of_candidate(c, newest), node_of_candidate(c, one));
    return err_set(e, 0, what, NULL,
                   trees ? "choose one with --tier and --cpu-arch"
                         : "--set restores all of them, --node NAME one node's");
}

/* The first of each tree whose word counts is enough. */
static int one_tree(const struct restore_choice *c, struct line *l, struct err *e)
{
    const struct backup *newest = NULL;
    for (size_t i = l->n; i-- > 0;) {
        while (!l->v[i].read && !l->v[i].out && !(newest && same_tree(newest, l->v[i].b)))
            if (read_at(c, l, i, e) != 0)
                return -1;
        if (!counts(c, &l->v[i]) || (newest && same_tree(newest, l->v[i].b)))
            continue; /* what one without a signature says must not keep anyone from the others */
        if (newest)
            return ambiguous(c, &l->v[i], &(struct candidate){.b = (struct backup *)newest}, true, e);
        newest = l->v[i].b;
    }
    return 0;
}

static int one_node(const struct restore_choice *c, struct line *l, size_t first_group, struct err *e)
{
    const struct candidate *newest = NULL;
    if (find_nodes(c, l, first_group, e) != 0)
        return -1;
    for (size_t i = l->n; i-- > 0;) {
        const struct candidate *one = &l->v[i];
        if (!counts(c, one))
            continue;
        newest = newest ? newest : one;
        if (lives_beside(c, l, one, newest))
            return ambiguous(c, one, newest, false, e);
    }
    return 0;
}

static bool several_trees(const struct line *l)
{
    for (size_t i = 1; i < l->n; i++)
        if (!same_tree(l->v[0].b, l->v[i].b))
            return true;
    return false;
}

static int one_source(const struct restore_choice *c, struct line *l, size_t first_group, struct err *e)
{
    const struct restore_selector *w = &c->w;
    if (!w->any_tree && several_trees(l) && one_tree(c, l, e) != 0)
        return -1;
    return w->node || w->any_node || w->kind == KIND_STORAGE ? 0 : one_node(c, l, first_group, e);
}

/* --- the choice */

struct restore_choice *restore_choice_new(struct backup_list *list, const struct restore_selector *w,
                                          const struct restore_look *look, struct err *e)
{
    struct restore_choice *c = calloc(1, sizeof *c);
    if (!c)
        return (void)err_set(e, ENOMEM, "cannot choose among", "backups", NULL), NULL;
    *c = (struct restore_choice){.list = list, .w = *w, .look = *look, .line.uploads_last = !w->snapshot};
    return c;
}

void restore_choice_free(struct restore_choice *c)
{
    if (!c)
        return;
    free(c->line.v);
    free(c->group);
    free(c);
}

static bool find_group(struct restore_choice *c, const struct backup *b, size_t *out)
{
    for (*out = c->groups; *out > 0; --*out) {
        const struct backup *one = c->group[*out - 1].one;
        if (strcmp(one->m.source.peer, b->m.source.peer) == 0 && same_tree(one, b))
            return --*out, true;
    }
    struct group *more = realloc(c->group, (c->groups + 1) * sizeof *more);
    if (!more)
        return false;
    c->group = more;
    more[c->groups] = (struct group){.one = b};
    *out = c->groups++;
    return true;
}

static bool collect(struct restore_choice *c, struct line *l, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        struct backup *b = &c->list->v[i];
        struct candidate one = {.b = b, .rank = c->added + i - begin, .read = b->state != ENTRY_UNREAD};
        if (!(one.read ? fits(c, b) : name_fits(c, b)))
            continue;
        one.when = one.read ? when_of(c, b) : backup_time(b);
        if (!find_group(c, b, &one.group))
            return false;
        l->v[l->n++] = one;
    }
    c->added += end - begin;
    return true;
}

/* The names of shards do not tell whose they are. */
static int prepare(struct restore_choice *c, struct line *l, size_t first_group, struct err *e)
{
    sort(l);
    if (rule_out(c, l, e) != 0 || (c->w.kind == KIND_SHARD && read_many(c, l, without_peer, 0, e) != 0))
        return -1;
    return one_source(c, l, first_group, e);
}

static int join(struct line *to, const struct line *from, struct err *e)
{
    if (from->n == 0)
        return 0;
    struct candidate *more = realloc(to->v, (to->n + from->n) * sizeof *more);
    if (!more)
        return err_set(e, ENOMEM, "cannot choose among", "backups", NULL);
    memcpy(more + to->n, from->v, from->n * sizeof *more);
    to->v = more;
    to->n += from->n;
    sort(to);
    return 0;
}

int restore_choice_add(struct restore_choice *c, size_t begin, size_t end, struct err *e)
{
    size_t first_group = c->groups;
    cleanup_free struct candidate *v = calloc(end - begin + 1, sizeof *v);
    struct line l = {.v = v}; /* uploads count as others where nodes are told apart */
    if (!v || !collect(c, &l, begin, end))
        return err_set(e, ENOMEM, "cannot choose among", "backups", NULL);
    if (prepare(c, &l, first_group, e) != 0)
        return -1;
    return join(&c->line, &l, e);
}

/* With --node, or NODE_NAME: those of another node, of which there may be hundreds, are not all read. */
static int leave_others(struct restore_choice *c, size_t group, struct err *e)
{
    const struct restore_selector *w = &c->w;
    struct group *g = &c->group[group];
    if (g->looked)
        return 0;
    g->looked = true;
    const struct backup *newest = NULL, *oldest = NULL;
    for (size_t i = 0; i < c->line.n; i++) /* one is not out for its time alone, but for its node */
        if (c->line.v[i].group == group && c->line.v[i].read && c->line.v[i].b->m.node[0])
            newest = c->line.v[i].b;
    for (size_t i = 0; i < c->line.n && newest; i++) {
        struct candidate *one = &c->line.v[i];
        if (one->group != group || one->read || one->out)
            continue;
        if (read_one(c, one, e) != 0)
            return -1;
        oldest = one->b;
        break;
    }
    sort(&c->line);
    g->alike = oldest && backup_trusted(newest) && backup_trusted(oldest) && !node_fits(w, newest) &&
               strcmp(newest->m.node, oldest->m.node) == 0;
    for (size_t i = 0; i < c->line.n && g->alike; i++)
        c->line.v[i].out = c->line.v[i].out || (c->line.v[i].group == group && !c->line.v[i].read);
    return 0;
}

/* May one that was taken later have an older name? Mostly the folders tell that nothing came later. Whoever
 * goes on after the first wants the right order of all. */
static bool may_be_behind(const struct restore_choice *c, time_t when)
{
    return !c->looked_behind && c->w.now && (c->given > 0 || changed_since(c, &c->line, when));
}

int restore_choice_peek(struct restore_choice *c, struct backup **out, struct err *e)
{
    struct line *l = &c->line;
    *out = NULL;
    while (l->n > 0 && !*out) {
        struct candidate *top = &l->v[l->n - 1];
        const struct backup *b = top->b;
        size_t group = top->group;
        if (top->out) {
            l->n--;
        } else if (top->read && may_be_behind(c, top->when)) {
            c->looked_behind = true;
            if (read_behind(c, l, e) != 0)
                return -1;
        } else if (top->read)
            *out = top->b;
        else if (read_at(c, l, l->n - 1, e) != 0 || (c->w.node && *b->m.node && *b->m.source.peer &&
                                                     !node_fits(&c->w, b) && leave_others(c, group, e) != 0))
            return -1;
    }
    return 0;
}

int restore_choice_next(struct restore_choice *c, struct backup **out, struct err *e)
{
    if (restore_choice_peek(c, out, e) != 0)
        return -1;
    c->line.n -= *out != NULL;
    c->given += *out != NULL;
    return 0;
}

const struct backup *restore_choice_first_of(const struct restore_choice *c, size_t begin, size_t end)
{
    for (size_t i = c->line.n; i-- > 0;) {
        const struct backup *b = c->line.v[i].b, *v = c->list->v;
        if (!c->line.v[i].out && !restore_beyond(b, c->w.now) && b >= v + begin && b < v + end)
            return b;
    }
    return NULL;
}

bool restore_choice_refuses(const struct restore_choice *c, const struct backup *b, char *why, size_t size)
{
    char when[32];
    utc_text(backup_time(b), when);
    if (b->state != ENTRY_COMPLETE)
        (void)snprintf(why, size, "%s: %.900s", entry_state_text(b->state), b->reason ? b->reason : "");
    else if (!c->w.snapshot && restore_beyond(b, c->w.now))
        (void)snprintf(
            why, size,
            "it says that it was taken at %s, which lies in the future or after it was written; it "
            "is taken only by its name",
            when);
    else
        return false;
    return true;
}

enum restore_outcome restore_first_good(struct restore_choice *c, const struct restore_attempt *a,
                                        struct backup **which, struct err *e)
{
    struct backup *b = NULL, *last = NULL;
    for (;; last = b) {
        struct err why = {0};
        enum restore_outcome outcome = RESTORE_DEFECT;
        if (which)
            *which = last;
        if (restore_choice_next(c, &b, e) != 0)
            return RESTORE_FAILED;
        if (!b)
            break;
        if (which)
            *which = b;
        if (!restore_choice_refuses(c, b, why.text, sizeof why.text))
            outcome = a->with(b, a->arg, &why);
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

/* --- aliases */

/* What is let through, from the newest on, until one tells. Where several do not, none may: then all are read
 * at once. */
static int last_that_tells(struct restore_choice *c, const struct backup *b, const struct backup **out,
                           struct err *e)
{
    enum { ONE_BY_ONE = 4 };
    struct backup *one = NULL;
    *out = NULL;
    for (int i = 0; restore_choice_next(c, &one, e) == 0; i++) {
        if (!one)
            return 0;
        if (one != b && one->m.aliases.known && !one->aliases_at && restore_moment(one, c->w.now)) {
            *out = one;
            return 0;
        }
        if (i == ONE_BY_ONE && read_many(c, &c->line, anything, 0, e) != 0)
            return -1;
    }
    return -1;
}

int restore_inherit_aliases(struct backup_list *list, struct backup *b, time_t now,
                            const struct restore_look *look, struct err *e)
{
    const struct backup *from = NULL;
    struct restore_selector w = {.kind = KIND_COLLECTION,
                                 .collection = b->m.source.collection,
                                 .at = restore_moment(b, now),
                                 .frequency = -1,
                                 .any_node = true,
                                 .any_tree = true,
                                 .now = now};
    if (b->m.source.kind != KIND_COLLECTION || b->m.aliases.known || b->m.upload || !w.at)
        return 0;
    struct restore_look by_time = *look;
    by_time.may = NULL;
    cleanup_choice struct restore_choice *c = restore_choice_new(list, &w, &by_time, e);
    if (!c)
        return -1;
    c->beside = b;
    c->line.uploads_last = false;
    if (restore_choice_add(c, 0, list->n, e) != 0 || last_that_tells(c, b, &from, e) != 0)
        return -1;
    if (from) {
        b->m.aliases = from->m.aliases;
        b->aliases_at = restore_moment(from, now);
    }
    return 0;
}
