/* The heartbeats of a tree. */
#include "common/base/cleanup.h"
#include "common/base/string_list.h"
#include "efs/replica/replica.h"
#include "efs/restore/restore.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void replica_beats_free(struct replica_beats *b)
{
    for (size_t i = 0; i < b->n; i++) {
        heartbeat_free(&b->v[i].h);
        string_list_free(b->v[i].passed, b->v[i].n_passed);
    }
    free(b->v);
    *b = (struct replica_beats){0};
}

static void pass_over(struct replica_beat *one, const struct err *why)
{
    (void)string_list_add(&one->passed, &one->n_passed,
                          why->text); /* without memory it is told of one less */
}

/* One that was taken back meanwhile, as the oldest are, is none that was passed over. */
static void try_one(const char *base, time_t when, struct replica_beat *one)
{
    struct err e = {0};
    bool named = history_path(base, &history_heartbeats, one->name, when, one->path, &e) == 0;
    if (named && when > time(NULL) + HISTORY_AHEAD) {
        (void)err_set(&e, 0, "from the future, by a wrong clock:", one->path, NULL);
    } else if (named && heartbeat_load(one->path, &one->h, &e) == 0) {
        one->read = strcmp(one->h.node, one->node) == 0 && one->h.written <= time(NULL) + HISTORY_AHEAD;
        if (one->read)
            return;
        heartbeat_free(&one->h);
        (void)err_set(&e, 0, "heartbeat of another node, or from the future:", one->path, NULL);
    }
    if (e.code != ENOENT)
        pass_over(one, &e);
}

static int read_newest(const char *base, struct replica_beat *one, struct err *e)
{
    cleanup_free time_t *times = NULL;
    size_t n = 0;
    if (history_times(base, &history_heartbeats, one->name, &times, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n && !one->read; i++)
        try_one(base, times[i], one);
    return 0;
}

static bool node_of(const char *name, char node[128])
{
    char whole[NAME_MAX + 1] = "";
    bool good = strcmp(name, HISTORY_UNNAMED) == 0 || name_unescape(name, whole, sizeof whole);
    return good && snprintf(node, 128, "%s", whole) < 128;
}

int replica_beats_read(const char *base, struct replica_beats *out, struct err *e)
{
    char **names;
    size_t n;
    if (history_nodes(base, &history_heartbeats, &names, &n, e) != 0)
        return -1;
    out->v = calloc(n + 1, sizeof *out->v);
    int rc = out->v ? 0 : err_set(e, ENOMEM, "cannot read the heartbeats in", base, NULL);
    for (size_t i = 0; out->v && rc == 0 && i < n; i++) {
        struct replica_beat *one = &out->v[out->n];
        if (!node_of(names[i], one->node))
            continue; /* nobody of ours has made it */
        (void)snprintf(one->name, sizeof one->name, "%s", names[i]);
        out->n++;
        rc = read_newest(base, one, e);
    }
    history_nodes_free(names, n);
    return rc;
}

const struct replica_beat *replica_beat_of(const struct replica_beats *b, const char *node)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->v[i].node, node) == 0)
            return &b->v[i];
    return NULL;
}

time_t replica_objective(time_t asked, const struct replica_beat *beat, time_t standard)
{
    return asked                                           ? asked
           : beat && beat->read && beat->h.rpo_seconds > 0 ? (time_t)beat->h.rpo_seconds
                                                           : standard;
}

bool replica_beat_gone(const struct replica_beats *b, const struct replica_beat *one)
{
    time_t newest = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].read && b->v[i].h.written > newest)
            newest = b->v[i].h.written;
    return one->read && one->h.written < newest - RESTORE_APART;
}
