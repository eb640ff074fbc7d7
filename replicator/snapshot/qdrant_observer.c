#include "replicator/snapshot/qdrant_observer.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/log.h"
#include "replicator/core/worker.h"
#include "common/json.h"
#include "qdrant/cluster.h"
#include "replicator/core/disk.h"
#include "replicator/snapshot/presence.h"
#include "replicator/status/state.h"
#include "efs/restore/swap_name.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOOK_SECONDS = 60, LEADERLESS = 2 };

struct qdrant_observer {
    struct context *x;
    struct jobs *workers;
    struct presence *presence;
    int64_t every; /* milliseconds */
    bool consensus_said, peers_said;
    unsigned leaderless; /* looks in a row: after one it may be an election */
    struct worker_thread worker;
};

/* --- the cluster */

static void say(const struct cluster_state *c, struct qdrant_observer *o)
{
    if (c->consensus[0] && !o->consensus_said)
        log_line(LOG_ERROR, "consensus_stopped", "consensus has stopped on this node: %s; see Qdrant's log",
                 c->consensus);
    if (c->unreachable > 0 && !o->peers_said)
        log_line(LOG_WARN, "peer_unreachable", "%u peers of the cluster cannot be reached: %s",
                 c->unreachable, c->peers);
    if (o->leaderless == LEADERLESS)
        log_line(
            LOG_ERROR, "no_leader",
            "the cluster has no leader, as this node sees it: collections cannot be made or changed, and "
            "no node can join; more than half of its %u peers must run and reach each other",
            c->members);
    o->consensus_said = c->consensus[0];
    o->peers_said = c->unreachable > 0;
}

static void look_at_cluster(struct qdrant_observer *o)
{
    struct cluster_state c;
    struct err e = {0};
    if (cluster_state(o->x->qdrant, &c, &e) != 0)
        return; /* whether Qdrant answers is told elsewhere; the last state stays */
    o->leaderless = c.leaderless ? o->leaderless + 1 : 0;
    status_cluster(o->x->status, c.consensus, o->leaderless >= LEADERLESS, c.unreachable, c.peers);
    say(&c, o);
}

/* --- the collections */

/* Each process of Qdrant has its own (src/common/telemetry.rs). Empty: it does not tell. */
static void process_of(const struct qdrant_observer *o, char *out, size_t size)
{
    struct qdrant_ask ask = {.method = "GET", .path = "/telemetry"};
    struct err ignored;
    cleanup_json cJSON *whole = qdrant_ask(o->x->qdrant, &ask, &ignored);
    const char *id = json_string(json_member(whole, "result"), "id");
    (void)snprintf(out, size, "%s", id ? id : "");
}

static bool is_alias(const struct qdrant_observer *o, const char *name)
{
    struct qdrant_ask ask = {.method = "GET", .path = "/aliases"};
    struct err ignored;
    cleanup_json cJSON *whole = qdrant_ask(o->x->qdrant, &ask, &ignored);
    const cJSON *a, *list = json_member(json_member(whole, "result"), "aliases");
    bool alias = !cJSON_IsArray(list); /* in doubt */
    cJSON_ArrayForEach(a, list)
    {
        const char *s = json_string(a, "alias_name");
        alias = alias || (s && strcmp(s, name) == 0);
    }
    return alias;
}

/* Its snapshots are here: then the Qdrant that was asked is that of this node. */
static bool is_ours(const char *name, void *arg)
{
    const struct qdrant_observer *o = arg;
    char path[PATH_MAX];
    struct stat st;
    return files_join(path, sizeof path, o->x->settings.snapshots_dir, name, NULL) == 0 &&
           lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What is there has no tombstone. Takes the names. */
static void push_present(struct qdrant_observer *o, struct qdrant_names *names)
{
    struct job *j = job_new(JOB_TOMBSTONES, NULL, "");
    if (!j)
        return; /* at the next start of the replicator */
    j->present = *names;
    *names = (struct qdrant_names){0};
    jobs_push(o->workers, j);
}

/* `qdrant-efs restore --swap` deletes a collection, and then gives its name to what it has restored beside
 * it. Killed between the two it has deleted nothing on purpose. */
static bool is_swapped(const struct qdrant_observer *o, const char *name)
{
    cleanup_names struct qdrant_names names = {0};
    struct err ignored;
    if (qdrant_collections(o->x->qdrant, &names, &ignored) != 0)
        return true; /* in doubt */
    for (size_t i = 0; i < names.n; i++)
        if (swap_name_is(names.v[i], name))
            return true;
    return false;
}

static void gone(const char *name, time_t seen, time_t missing, void *arg)
{
    struct qdrant_observer *o = arg;
    struct source source = {.kind = KIND_COLLECTION};
    if (is_alias(o, name) || is_swapped(o, name))
        return; /* the name is still in use */
    (void)snprintf(source.collection, sizeof source.collection, "%s", name);
    struct job *j = job_new(JOB_TOMBSTONE, &source, "");
    if (!j)
        return; /* without memory it is not told */
    j->seen = seen;
    j->deleted = missing;
    jobs_push(o->workers, j);
}

/* An upload is under way, for which `qdrant-efs restore --recreate` may have deleted a collection: Qdrant
 * tells of it only when all of it is there. It keeps what arrives in upload/ of its folder for temporary
 * files (temp_directories.rs, 1.18.2), which it empties at its start. */
static bool is_uploading_to(const char *folder, const char *upload)
{
    char dir[PATH_MAX];
    if (files_join(dir, sizeof dir, folder, upload, NULL) != 0)
        return false;
    cleanup_dir DIR *d = opendir(dir);
    for (const struct dirent *de; d && (de = readdir(d));)
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            return true;
    return false;
}

static bool is_uploading(const struct qdrant_observer *o)
{
    const char *temp = getenv("QDRANT__STORAGE__TEMP_PATH");
    return is_uploading_to(o->x->settings.snapshots_dir, "tmp/upload") ||
           (temp && *temp && is_uploading_to(temp, "tmp/upload"));
}

/* Ready, and neither in recovery nor restoring: then a list is all that it has. */
static bool is_settled(const struct qdrant_observer *o)
{
    struct qdrant_state state = {0};
    struct err ignored;
    bool settled = qdrant_ready(o->x->qdrant, &ignored) == 0 &&
                   qdrant_state(o->x->qdrant, &state, &ignored) == 0 && !state.recovery_mode &&
                   !state.recovering && !is_uploading(o);
    qdrant_names_free(&state.making);
    return settled;
}

/* EFS did not take note of a deletion: once more, when nothing hangs there. */
static void try_again(struct qdrant_observer *o, const struct qdrant_names *names)
{
    struct source source = {.kind = KIND_COLLECTION};
    time_t deleted;
    for (unsigned i = 0; status_deletion(o->x->status, i, source.collection, &deleted); i++) {
        if (qdrant_names_have(names, source.collection)) {
            status_no_doubt(o->x->status, "", source.collection);
            return; /* the rest at the next look */
        }
        struct job *j = jobs_idle(o->workers) ? job_new(JOB_TOMBSTONE, &source, "") : NULL;
        if (!j)
            return;
        j->deleted = deleted;
        jobs_push(o->workers, j);
    }
}

/* False: what Qdrant tells now says nothing about deletions. The process is the same before and after, else
 * the list may be another's. */
static bool look_at_collections(struct qdrant_observer *o)
{
    cleanup_names struct qdrant_names names = {0};
    struct err ignored;
    char process[64], again[64];
    if (atomic_load(&o->x->restore_pending) || o->x->qdrant_settings.shared)
        return false;
    time_t asked = time(NULL);
    process_of(o, process, sizeof process);
    if (!*process || !is_settled(o) || qdrant_collections(o->x->qdrant, &names, &ignored) != 0 ||
        names.odd > 0)
        return false;
    process_of(o, again, sizeof again);
    if (strcmp(process, again) != 0)
        return false;
    struct presence_look look = {.process = process,
                                 .names = &names,
                                 .now_ms = clock_ms(),
                                 .now = time(NULL),
                                 .settle_ms = o->every,
                                 .ours = is_ours,
                                 .gone = gone,
                                 .arg = o};
    disk_present(o->x->disk, &names, asked);
    try_again(o, &names);
    if (presence_look(o->presence, &look))
        push_present(o, &names);
    return true;
}

/* --- the thread */

static void *loop(void *arg)
{
    struct qdrant_observer *o = arg;
    while (!atomic_load(&o->x->stop)) {
        look_at_cluster(o);
        if (!look_at_collections(o))
            presence_doubt(o->presence);
        worker_rest(&o->worker, clock_ms() + o->every);
    }
    return NULL;
}

struct qdrant_observer *qdrant_observer_start(struct context *x, struct jobs *w)
{
    struct qdrant_observer *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    unsigned every =
        x->options.interval > 0 && x->options.interval < LOOK_SECONDS ? x->options.interval : LOOK_SECONDS;
    *o = (struct qdrant_observer){
        .x = x, .workers = w, .every = (int64_t)every * 1000, .presence = presence_new()};
    if (o->presence && worker_start(&o->worker, "qdrant-observer", loop, o, &x->stop))
        return o;
    presence_free(o->presence);
    free(o);
    return NULL;
}

bool qdrant_observer_stop(struct qdrant_observer *o, int64_t end) { return worker_stop(&o->worker, end); }

void qdrant_observer_free(struct qdrant_observer *o)
{
    if (!o)
        return;
    presence_free(o->presence);
    worker_free(&o->worker);
    free(o);
}
