/* What drills have found, from their records on EFS: the newest first, until all is known. */
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/json.h"
#include "efs/cli/cmd_status.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 16 << 20 }; /* a drill of 10,000 collections */

struct record {
    const char *node; /* its folder */
    time_t when;
};
struct records {
    char **nodes;
    size_t n_nodes;
    struct record *v;
    size_t n;
};
struct reading {
    struct status *s;
    struct status_tree *tree;
    struct status_row *row;
    size_t rows;
};

static void tell(const struct reading *r, const struct err *why)
{
    (void)r;
    cmd_complain("%s; what drills found is not all known", why->text);
}

/* --- which there are */

static void records_free(struct records *all)
{
    history_nodes_free(all->nodes, all->n_nodes);
    free(all->v);
}

static int newest_first(const void *pa, const void *pb)
{
    const struct record *a = pa, *b = pb;
    return (a->when < b->when) - (a->when > b->when);
}

/* Of a clock that ran ahead nobody knows when it was. */
static bool add_records(struct records *all, const char *node, const time_t *times, size_t n, time_t now)
{
    struct record *more = realloc(all->v, (all->n + n + 1) * sizeof *more);
    if (!more)
        return false;
    all->v = more;
    for (size_t i = 0; i < n; i++)
        if (times[i] <= now + HISTORY_AHEAD)
            more[all->n++] = (struct record){node, times[i]};
    return true;
}

static void find_records(const struct reading *r, struct records *all)
{
    struct err e = {0};
    if (history_nodes(r->tree->base, &history_drills, &all->nodes, &all->n_nodes, &e) != 0) {
        tell(r, &e);
        r->s->failed = true;
        return;
    }
    for (size_t i = 0; i < all->n_nodes; i++) {
        cleanup_free time_t *times = NULL;
        size_t n = 0;
        e = (struct err){0};
        if (history_times(r->tree->base, &history_drills, all->nodes[i], &times, &n, &e) != 0 ||
            !add_records(all, all->nodes[i], times, n, r->s->now)) {
            tell(r, &e);
            r->s->failed = true;
        }
    }
    if (all->n > 1)
        qsort(all->v, all->n, sizeof *all->v, newest_first);
}

/* --- what one says of a row */

static bool is_of(const struct status_row *row, const char *node)
{
    if (!row->several || strcmp(row->node, node) == 0)
        return true;
    for (size_t i = 0; i < row->n; i++)
        if (strcmp(row->v[i].m.node, node) == 0)
            return true;
    return false;
}

/* Of a set: it is of each node that has a backup in it. */
static bool is_drilled(const struct status_row *row, const cJSON *o)
{
    const cJSON *nodes = json_member(o, "nodes"), *node;
    bool any = !cJSON_IsArray(nodes) && is_of(row, json_text(o, "node"));
    cJSON_ArrayForEach(node, nodes) { any = any || (cJSON_IsString(node) && is_of(row, node->valuestring)); }
    return any;
}

/* Of one record a failure counts, although the next older backup may have come back, too. */
static void note(struct status_row *row, const cJSON *o, time_t when)
{
    const char *verdict = json_text(o, "verdict");
    struct status_drill d = {.when = when,
                             .failed = strcmp(verdict, "failed") == 0,
                             .partly = strcmp(verdict, "partly_proven") == 0,
                             .seconds = json_number(o, "restore_seconds")};
    if (!d.failed && !d.partly && strcmp(verdict, "proven") != 0)
        return; /* refused says nothing */
    (void)snprintf(d.snapshot, sizeof d.snapshot, "%.255s", json_text(o, "snapshot"));
    (void)snprintf(d.why, sizeof d.why, "%.299s", json_text(o, "why"));
    if (!row->last.when || (row->last.when == when && d.failed && !row->last.failed))
        row->last = d;
    if (!d.failed && !row->proven.when)
        row->proven = d;
}

/* The first row that does not stand before it. */
static size_t first_row(const struct reading *r, const struct source *source)
{
    size_t low = 0, high = r->rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (status_order(r->tree, source, &r->row[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void note_one(struct reading *r, const cJSON *o, time_t when)
{
    struct source source = {0};
    if (!kind_parse(json_text(o, "kind"), &source.kind) ||
        !json_copy(o, "collection", source.collection, sizeof source.collection) ||
        !json_copy(o, "shard", source.shard, sizeof source.shard))
        return;
    for (size_t i = first_row(r, &source); i < r->rows && status_order(r->tree, &source, &r->row[i]) == 0;
         i++)
        if (is_drilled(&r->row[i], o))
            note(&r->row[i], o, when);
}

static bool all_known(const struct reading *r)
{
    for (size_t i = 0; i < r->rows; i++)
        if (!r->row[i].last.when || !r->row[i].proven.when)
            return false;
    return true;
}

/* It came to no report: as the newest of its node, if that still drills, a failure of all. */
static void note_crash(struct reading *r, const cJSON *whole, const struct record *of, bool last)
{
    if (!last || strcmp(json_text(whole, "verdict"), "failed") != 0 ||
        cJSON_GetArraySize(json_member(whole, "drills")) > 0)
        return;
    r->tree->crashed = of->when;
    (void)snprintf(r->tree->why, sizeof r->tree->why, "%.299s", json_text(whole, "why"));
}

static bool is_last(const struct records *all, size_t i)
{
    if (all->v[i].when < all->v[0].when - RESTORE_APART)
        return false;
    for (size_t k = 0; k < i; k++)
        if (all->v[k].node == all->v[i].node)
            return false;
    return true;
}

/* One that was deleted meanwhile, as the oldest are, is none. On a replica one may be cut short. */
static void read_record(struct reading *r, const struct records *all, size_t i)
{
    char path[PATH_MAX];
    struct err e = {0};
    const struct record *of = &all->v[i];
    cleanup_free char *text = NULL;
    if (history_path(r->tree->base, &history_drills, of->node, of->when, path, &e) == 0)
        text = files_get(path, RECORD_MAX, &e);
    cleanup_json cJSON *whole = text ? cJSON_Parse(text) : NULL;
    const cJSON *one;
    if (text && !cJSON_IsObject(whole))
        (void)err_set(&e, 0, "no record of a drill, or cut short:", path, NULL);
    if (e.text[0]) {
        if (e.code != ENOENT)
            tell(r, &e);
        return;
    }
    note_crash(r, whole, of, is_last(all, i));
    cJSON_ArrayForEach(one, json_member(whole, "drills")) { note_one(r, one, of->when); }
}

void status_drills(struct status *s, struct status_tree *tree, struct status_row *first, size_t n)
{
    struct records all = {0};
    struct reading r = {.s = s, .tree = tree, .row = first, .rows = n};
    find_records(&r, &all);
    for (size_t i = 0; i < all.n && !(i > 0 && all_known(&r)); i++)
        read_record(&r, &all, i);
    records_free(&all);
}
