#include "replicator/snapshot/lookout.h"
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

enum { LOOK_SECONDS = 60 };

struct lookout {
    struct context *x;
    struct jobs *workers;
    struct presence *presence;
    int64_t every; /* milliseconds */
    bool consensus_said, peers_said;
    struct worker_thread worker;
};

/* --- the cluster */

static void say(const struct cluster_state *c, struct lookout *l)
{
    if (c->consensus[0] && !l->consensus_said)
        log_line(LOG_ERROR, "consensus_stopped", "consensus has stopped on this node: %s; see Qdrant's log",
                 c->consensus);
    if (c->unreachable > 0 && !l->peers_said)
        log_line(LOG_WARN, "peer_unreachable", "%u peers of the cluster cannot be reached: %s",
                 c->unreachable, c->peers);
    l->consensus_said = c->consensus[0];
    l->peers_said = c->unreachable > 0;
}

static void look_at_cluster(struct lookout *l)
{
    struct cluster_state c;
    struct err e = {0};
    if (cluster_state(l->x->qdrant, &c, &e) != 0)
        return; /* whether Qdrant answers is told elsewhere; the last state stays */
    say(&c, l);
    status_cluster(l->x->status, c.consensus, c.unreachable, c.peers);
}

/* --- the collections */

/* Each process of Qdrant has its own (src/common/telemetry.rs). Empty: it does not tell. */
static void process_of(const struct lookout *l, char *out, size_t size)
{
    struct qdrant_ask ask = {.method = "GET", .path = "/telemetry"};
    struct err ignored;
    cleanup_json cJSON *whole = qdrant_ask(l->x->qdrant, &ask, &ignored);
    const char *id = json_string(json_member(whole, "result"), "id");
    (void)snprintf(out, size, "%s", id ? id : "");
}

static bool is_alias(const struct lookout *l, const char *name)
{
    struct qdrant_ask ask = {.method = "GET", .path = "/aliases"};
    struct err ignored;
    cleanup_json cJSON *whole = qdrant_ask(l->x->qdrant, &ask, &ignored);
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
    const struct lookout *l = arg;
    char path[PATH_MAX];
    struct stat st;
    return files_join(path, sizeof path, l->x->settings.snapshots_dir, name, NULL) == 0 &&
           lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What is there has no tombstone. Takes the names. */
static void push_present(struct lookout *l, struct qdrant_names *names)
{
    struct job *j = job_new(JOB_TOMBSTONES, NULL, "");
    if (!j)
        return; /* at the next start of the replicator */
    j->present = *names;
    *names = (struct qdrant_names){0};
    jobs_push(l->workers, j);
}

/* `qdrant-efs restore --swap` deletes a collection, and then gives its name to what it has restored beside
 * it. Killed between the two it has deleted nothing on purpose. */
static bool is_swapped(const struct lookout *l, const char *name)
{
    cleanup_names struct qdrant_names names = {0};
    struct err ignored;
    if (qdrant_collections(l->x->qdrant, &names, &ignored) != 0)
        return true; /* in doubt */
    for (size_t i = 0; i < names.n; i++)
        if (swap_name_is(names.v[i], name))
            return true;
    return false;
}

static void gone(const char *name, time_t seen, time_t missing, void *arg)
{
    struct lookout *l = arg;
    struct source source = {.kind = KIND_COLLECTION};
    if (is_alias(l, name) || is_swapped(l, name))
        return; /* the name is still in use */
    (void)snprintf(source.collection, sizeof source.collection, "%s", name);
    struct job *j = job_new(JOB_TOMBSTONE, &source, "");
    if (!j)
        return; /* without memory it is not told */
    j->seen = seen;
    j->deleted = missing;
    jobs_push(l->workers, j);
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

static bool is_uploading(const struct lookout *l)
{
    const char *temp = getenv("QDRANT__STORAGE__TEMP_PATH");
    return is_uploading_to(l->x->settings.snapshots_dir, "tmp/upload") ||
           (temp && *temp && is_uploading_to(temp, "tmp/upload"));
}

/* Ready, and neither in recovery nor restoring: then a list is all that it has. */
static bool is_settled(const struct lookout *l)
{
    struct qdrant_state state = {0};
    struct err ignored;
    bool settled = qdrant_ready(l->x->qdrant, &ignored) == 0 &&
                   qdrant_state(l->x->qdrant, &state, &ignored) == 0 && !state.recovery_mode &&
                   !state.recovering && !is_uploading(l);
    qdrant_names_free(&state.making);
    return settled;
}

/* EFS did not take note of a deletion: once more, when nothing hangs there. */
static void try_again(struct lookout *l, const struct qdrant_names *names)
{
    struct source source = {.kind = KIND_COLLECTION};
    time_t deleted;
    for (unsigned i = 0; status_deletion(l->x->status, i, source.collection, &deleted); i++) {
        if (qdrant_names_have(names, source.collection)) {
            status_no_doubt(l->x->status, "", source.collection);
            return; /* the rest at the next look */
        }
        struct job *j = jobs_idle(l->workers) ? job_new(JOB_TOMBSTONE, &source, "") : NULL;
        if (!j)
            return;
        j->deleted = deleted;
        jobs_push(l->workers, j);
    }
}

/* False: what Qdrant tells now says nothing about deletions. The process is the same before and after, else
 * the list may be another's. */
static bool look_at_collections(struct lookout *l)
{
    cleanup_names struct qdrant_names names = {0};
    struct err ignored;
    char process[64], again[64];
    if (atomic_load(&l->x->restore_pending) || l->x->qdrant_settings.shared)
        return false;
    time_t asked = time(NULL);
    process_of(l, process, sizeof process);
    if (!*process || !is_settled(l) || qdrant_collections(l->x->qdrant, &names, &ignored) != 0 ||
        names.odd > 0)
        return false;
    process_of(l, again, sizeof again);
    if (strcmp(process, again) != 0)
        return false;
    struct presence_look look = {.process = process,
                                 .names = &names,
                                 .now_ms = clock_ms(),
                                 .now = time(NULL),
                                 .settle_ms = l->every,
                                 .ours = is_ours,
                                 .gone = gone,
                                 .arg = l};
    disk_present(l->x->disk, &names, asked);
    try_again(l, &names);
    if (presence_look(l->presence, &look))
        push_present(l, &names);
    return true;
}

/* --- the thread */

static void *loop(void *arg)
{
    struct lookout *l = arg;
    while (!atomic_load(&l->x->stop)) {
        look_at_cluster(l);
        if (!look_at_collections(l))
            presence_doubt(l->presence);
        worker_rest(&l->worker, clock_ms() + l->every);
    }
    return NULL;
}

struct lookout *lookout_start(struct context *x, struct jobs *w)
{
    struct lookout *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    unsigned every =
        x->options.interval > 0 && x->options.interval < LOOK_SECONDS ? x->options.interval : LOOK_SECONDS;
    *l = (struct lookout){.x = x, .workers = w, .every = (int64_t)every * 1000, .presence = presence_new()};
    if (l->presence && worker_start(&l->worker, "lookout", loop, l, &x->stop))
        return l;
    presence_free(l->presence);
    free(l);
    return NULL;
}

bool lookout_stop(struct lookout *l, int64_t end) { return worker_stop(&l->worker, end); }

void lookout_free(struct lookout *l)
{
    if (!l)
        return;
    presence_free(l->presence);
    worker_free(&l->worker);
    free(l);
}
