/* status: what there is of each collection, how old, how well proven, and what is not as promised. */
#include "efs/cli/cmd_status.h"
#include "common/base/cleanup.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DAY = 86400 };

/* --- trees */

/* Of a node none of whose heartbeats can be read nobody knows what is promised: the defaults count. */
static void tell_silent(const struct replica_beats *beats)
{
    for (size_t i = 0; i < beats->n; i++)
        if (!beats->v[i].read && beats->v[i].n_passed > 0)
            cmd_complain("%s; how old its backups may be is not known, and RPO_SECONDS counts",
                         beats->v[i].passed[0]);
}

static int add_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct status *s = arg;
    struct err why = {0};
    (void)o;
    struct status_tree *more = realloc(s->tree, (s->trees + 1) * sizeof *more);
    if (!more)
        return err_set(e, ENOMEM, "cannot look at", base, NULL);
    s->tree = more; /* no row points at one yet */
    struct status_tree *t = memset(&more[s->trees++], 0, sizeof *more);
    (void)snprintf(t->name, sizeof t->name, "%.159s", strrchr(base, '/') + 1);
    (void)snprintf(t->base, sizeof t->base, "%s", base);
    if (replica_beats_read(base, &t->beats, &why) != 0) {
        cmd_complain("%s", why.text); /* the backups tell the rest */
        s->failed = true;
    }
    tell_silent(&t->beats);
    return 0;
}

/* --- rows: the list comes folder by folder, and each folder is of one collection, shard, or the storage */

static const struct status_tree *tree_of(const struct status *s, const struct backup *b)
{
    size_t n;
    (void)cmd_folder_of(b, &n);
    for (size_t i = 0; i < s->trees; i++)
        if (strlen(s->tree[i].base) == n && strncmp(s->tree[i].base, b->dir, n) == 0)
            return &s->tree[i];
    return NULL;
}

static struct status_row *append(struct status *s)
{
    struct status_row *more = realloc(s->row, (s->rows + 1) * sizeof *more);
    if (!more)
        return NULL;
    s->row = more;
    return memset(&more[s->rows++], 0, sizeof *more);
}

static enum restore_outcome take(struct backup *b, void *arg, struct err *e)
{
    (void)b;
    (void)arg;
    (void)e;
    return RESTORE_DONE;
}

static void pass_over(struct backup *b, const char *why, void *arg)
{
    struct status_row *row = arg;
    (void)why;
    if (row->passed++ == 0)
        row->first = b;
}

/* As a restore chooses. 1: of several nodes that live side by side. */
static int choose(const struct status *s, struct status_row *row, bool any_node, struct err *e)
{
    struct backup_list list = {.v = row->v, .n = row->n};
    struct restore_selector w = {.kind = row->source.kind,
                                 .collection = row->source.collection,
                                 .frequency = -1,
                                 .any_node = any_node,
                                 .now = s->now};
    struct restore_attempt a = {.with = take, .skipped = pass_over, .arg = row};
    struct err why = {0};
    struct backup *which = NULL;
    cleanup_choice struct restore_choice *c = restore_choice_new(&list, &w, &restore_look_files, e);
    if (!c)
        return -1;
    if (restore_choice_add(c, 0, list.n, &why) != 0)
        return why.code == ENOMEM ? (e ? (*e = why, -1) : -1) : 1;
    if (restore_first_good(c, &a, &which, &why) == RESTORE_DONE)
        row->good = which;
    return 0;
}

static void name_node(struct status_row *row)
{
    const struct backup *b = row->good ? row->good : row->first ? row->first : row->v;
    const char *node = b->m.node[0] ? b->m.node : b->m.source.peer;
    (void)snprintf(row->node, sizeof row->node, "%s", node);
}

static int add_row(struct status *s, struct backup *v, size_t n, bool several, struct err *e)
{
    size_t tree;
    const char *folder = cmd_folder_of(v, &tree), *shard = strchr(folder, '/');
    struct status_row *row = append(s);
    if (!row)
        return err_set(e, ENOMEM, "cannot look at", v->dir, NULL);
    row->tree = tree_of(s, v);
    row->source = v->m.source;
    if (shard) /* also where no manifest tells it */
        (void)snprintf(row->source.shard, sizeof row->source.shard, "%.15s", shard + strlen("/%shard-"));
    row->v = v;
    row->n = n;
    row->several = several;
    int rc = choose(s, row, several, e);
    if (rc != 0)
        s->rows--;
    else
        name_node(row);
    return rc;
}

/* --- several nodes: their backups one after the other */

struct of_node {
    unsigned node;
    size_t at;
};

static int by_node(const void *pa, const void *pb)
{
    const struct of_node *a = pa, *b = pb;
    return a->node != b->node ? (a->node > b->node) - (a->node < b->node) : (a->at > b->at) - (a->at < b->at);
}

static int reorder(struct backup *v, size_t n, const struct of_node *order, struct err *e)
{
    cleanup_free struct backup *copy = calloc(n + 1, sizeof *copy);
    if (!copy)
        return err_set(e, ENOMEM, "cannot tell whose the backups are in", v->dir, NULL);
    for (size_t i = 0; i < n; i++)
        copy[i] = v[order[i].at];
    memcpy(v, copy, n * sizeof *v);
    return 0;
}

static int sort_by_node(struct backup *v, size_t n, struct of_node *order, struct err *e)
{
    struct backup_list list = {.v = v, .n = n};
    bool changed = false;
    cleanup_free struct frequency_item *item = calloc(n + 1, sizeof *item);
    if (!item)
        return err_set(e, ENOMEM, "cannot tell whose the backups are in", v->dir, NULL);
    backup_items(&list, item);
    if (backup_nodes(&list, NULL, item, &changed, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        order[i] = (struct of_node){item[i].node, i};
    qsort(order, n, sizeof *order, by_node);
    return reorder(v, n, order, e);
}

static int add_nodes(struct status *s, struct backup *v, size_t n, struct err *e)
{
    cleanup_free struct of_node *order = calloc(n + 1, sizeof *order);
    if (!order)
        return err_set(e, ENOMEM, "cannot look at", v->dir, NULL);
    int rc = sort_by_node(v, n, order, e);
    for (size_t i = 0, k; rc == 0 && i < n; i = k) {
        for (k = i + 1; k < n && order[k].node == order[i].node; k++)
            ;
        rc = add_row(s, v + i, k - i, true, e);
    }
    return rc;
}

static int add_rows(struct status *s, struct backup_list *list, struct err *e)
{
    int rc = 0;
    for (size_t i = 0, k; rc == 0 && i < list->n; i = k) {
        for (k = i + 1; k < list->n && cmd_same_folder(&list->v[i], &list->v[k]); k++)
            ;
        rc = add_row(s, list->v + i, k - i, false, e);
        if (rc == 1)
            rc = add_nodes(s, list->v + i, k - i, e);
    }
    return rc;
}

/* --- what a heartbeat names, and of which nothing is here */

/* The name that outlives a task. */
static const char *name_of(const struct status_row *row)
{
    const struct backup *b = row->good ? row->good : row->first ? row->first : row->v;
    return b ? replica_node(&b->m) : row->node;
}

static bool same_source(const struct source *a, const struct source *b)
{
    return a->kind == b->kind && strcmp(a->collection, b->collection) == 0 && strcmp(a->shard, b->shard) == 0;
}

static bool has_row(const struct status *s, const struct status_tree *t, const struct heartbeat *h,
                    const struct source *source)
{
    for (size_t i = 0; i < s->rows; i++)
        if (s->row[i].tree == t && same_source(&s->row[i].source, source) &&
            (!s->row[i].good || strcmp(name_of(&s->row[i]), h->node) == 0))
            return true;
    return false;
}

/* Was it deleted, or forgotten, since the heartbeat? */
static bool gone_since(const struct deleted *deleted, const struct status_tree *t, const struct heartbeat *h,
                       const struct source *source)
{
    char dir[PATH_MAX + 2];
    struct backup b = {.dir = dir, .m = {.source = *source, .created = h->written}};
    (void)snprintf(dir, sizeof dir, "%s/", t->base);
    (void)snprintf(b.m.node, sizeof b.m.node, "%s", h->node);
    return deleted_when(deleted, &b) != 0;
}

static int add_missing(struct status *s, const struct status_tree *t, const struct heartbeat *h,
                       const struct deleted *deleted, struct err *e)
{
    const char *node = s->o->restore.node;
    for (size_t i = 0; i < h->folders; i++) {
        const struct heartbeat_folder *f = &h->folder[i];
        if (f->wanted != HEARTBEAT_WANTED || !cmd_collection_wanted(s->o, f->source.collection) ||
            (node && strcmp(node, h->node) != 0) || has_row(s, t, h, &f->source) ||
            gone_since(deleted, t, h, &f->source))
            continue;
        struct status_row *row = append(s);
        if (!row)
            return err_set(e, ENOMEM, "cannot look at", t->base, NULL);
        row->tree = t;
        row->source = f->source;
        row->several = *h->node != 0;
        (void)snprintf(row->node, sizeof row->node, "%s", h->node);
    }
    return 0;
}

static int add_all_missing(struct status *s, const struct deleted *deleted, struct err *e)
{
    for (size_t i = 0; i < s->trees; i++) {
        const struct replica_beats *b = &s->tree[i].beats;
        for (size_t k = 0; k < b->n; k++)
            if (b->v[k].read && !replica_beat_gone(b, &b->v[k]) &&
                add_missing(s, &s->tree[i], &b->v[k].h, deleted, e) != 0)
                return -1;
    }
    return 0;
}

/* --- judging */

static void find_day(struct status_row *row, time_t now)
{
    time_t best = 0;
    for (size_t i = 0; i < row->n; i++) {
        const struct backup *b = &row->v[i];
        time_t before = row->taken - restore_moment(b, now), off = before > DAY ? before - DAY : DAY - before;
        if (b->state == ENTRY_COMPLETE && restore_moment(b, now) && off <= DAY / 2 &&
            (!row->day || off < best)) {
            row->day = b;
            best = off;
        }
    }
}

static const struct replica_beat *beat_of(const struct status_row *row)
{
    const struct replica_beats *b = &row->tree->beats;
    const struct replica_beat *own = replica_beat_of(b, name_of(row));
    return own ? own : !row->good && b->n == 1 ? b->v : NULL;
}

static enum heartbeat_wanted wanted(const struct replica_beat *beat, const struct source *source)
{
    for (size_t i = 0; beat && beat->read && i < beat->h.folders; i++)
        if (same_source(&beat->h.folder[i].source, source))
            return beat->h.folder[i].wanted;
    return HEARTBEAT_UNKNOWN;
}

static time_t newest_of(const struct status *s, const struct status_tree *tree)
{
    time_t newest = 0;
    for (size_t i = 0; i < s->rows; i++)
        if (s->row[i].tree == tree && s->row[i].taken > newest)
            newest = s->row[i].taken;
    return newest;
}

static void hold(const struct status *s, struct status_row *row, const struct deleted *deleted,
                 time_t of_tree)
{
    const struct backup *b = row->good ? row->good : row->v;
    const struct replica_beat *beat = beat_of(row);
    row->rpo = replica_objective(s->o->replica.rpo, beat, s->rpo);
    row->deleted = b ? deleted_when(deleted, b) : 0;
    row->gone = beat && replica_beat_gone(&row->tree->beats, beat);
    row->held = !row->deleted && !row->gone &&
                replica_held(wanted(beat, &row->source), row->source.kind, row->taken, of_tree);
}

/* What is incomplete may be on its way, for as long as the objective gives it. */
static bool arriving(const struct status *s, const struct status_row *row)
{
    return row->first && row->first->state == ENTRY_INCOMPLETE &&
           replica_age(restore_moment(row->first, s->now), s->now) <= row->rpo;
}

/* A newer one than the good one is not whole. */
static unsigned of_newest(const struct status_row *row)
{
    if (!row->first || row->arriving)
        return 0;
    return 1U << (row->first->state == ENTRY_INCOMPLETE ? STATUS_INCOMPLETE
                  : row->first->state == ENTRY_CORRUPT  ? STATUS_CORRUPT
                  : row->first->state == ENTRY_UNSIGNED ? STATUS_UNSIGNED
                                                        : STATUS_UNREADABLE);
}

static void judge(const struct status *s, struct status_row *row)
{
    bool late = row->held && row->good && replica_age(row->taken, s->now) > row->rpo;
    row->arriving = arriving(s, row);
    if (row->deleted || row->gone)
        return;
    row->problems = (row->good ? 0 : 1U << STATUS_NOTHING) | (late ? 1U << STATUS_LATE : 0) | of_newest(row) |
                    (row->last.when && row->last.failed ? 1U << STATUS_UNPROVEN : 0);
}

int status_order(const struct status_tree *tree, const struct source *a, const struct status_row *row)
{
    const struct source *b = &row->source;
    int c = strcmp(tree->name, row->tree->name);
    c = c ? c : (a->kind == KIND_STORAGE) - (b->kind == KIND_STORAGE);
    c = c ? c : strcmp(a->collection, b->collection);
    c = c ? c : (int)a->kind - (int)b->kind;
    c = c ? c : (int)strlen(a->shard) - (int)strlen(b->shard); /* digits: 2 before 10 */
    return c ? c : strcmp(a->shard, b->shard);
}

static int by_order(const void *pa, const void *pb)
{
    const struct status_row *a = pa, *b = pb;
    int c = status_order(a->tree, &a->source, b);
    return c ? c : strcmp(a->node, b->node);
}

static void judge_all(struct status *s, const struct deleted *deleted)
{
    for (size_t i = 0; i < s->rows; i++) {
        struct status_row *row = &s->row[i];
        row->taken = row->good ? restore_moment(row->good, s->now) : 0;
        find_day(row, s->now);
    }
    for (size_t i = 0, k; i < s->rows; i = k) {
        const struct status_tree *t = s->row[i].tree;
        time_t newest = newest_of(s, t);
        for (k = i; k < s->rows && s->row[k].tree == t; k++)
            hold(s, &s->row[k], deleted, newest);
        for (size_t n = 0; n < s->trees; n++)
            if (&s->tree[n] == t)
                status_drills(s, &s->tree[n], &s->row[i], k - i);
    }
    for (size_t i = 0; i < s->rows; i++)
        judge(s, &s->row[i]);
}

int64_t status_loss(const struct status *s, const struct status_row *row)
{
    return row->good && row->taken ? (int64_t)replica_age(row->taken, s->now) : -1;
}

bool status_good(const struct status *s)
{
    bool good = s->rows > 0 && !s->failed && cmd_unread() == 0;
    for (size_t i = 0; i < s->rows; i++)
        good = good && s->row[i].problems == 0;
    for (size_t i = 0; i < s->trees; i++)
        good = good && !s->tree[i].crashed;
    return good;
}

/* --- the command */

static int look(struct status *s, struct backup_list *list, const struct deleted *deleted, struct err *e)
{
    if (cmd_each_tree(s->o, add_tree, s, e) != 0 || add_rows(s, list, e) != 0 ||
        add_all_missing(s, deleted, e) != 0)
        return -1;
    if (s->rows > 1)
        qsort(s->row, s->rows, sizeof *s->row, by_order);
    judge_all(s, deleted);
    return 0;
}

static void release(struct status *s)
{
    for (size_t i = 0; i < s->trees; i++)
        replica_beats_free(&s->tree[i].beats);
    free(s->tree);
    free(s->row);
}

int cmd_status(const struct options *o)
{
    cleanup_backup_list struct backup_list list = {0};
    struct status s = {.o = o, .now = time(NULL)};
    struct err e = {0};
    int rc = cmd_rpo(&s.rpo);
    if (rc != 0)
        return rc;
    if (cmd_gather_quietly(o, &list) != 0)
        return EXIT_DEFECT;
    cmd_keep_node(o, &list);
    struct deleted *deleted = deleted_load(o);
    if (look(&s, &list, deleted, &e) != 0) {
        cmd_complain("%s", e.text);
        rc = EXIT_DEFECT;
    } else {
        rc = o->json ? status_say_json(&s) : status_say(&s);
    }
    bool good = status_good(&s);
    deleted_free(deleted);
    release(&s);
    return rc == 0 && !good ? EXIT_DEFECT : rc;
}
