#include "replicator/cluster/healer.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "qdrant/cluster_map.h"
#include "replicator/cluster/gone_rule.h"
#include "replicator/core/subprocess.h"
#include "replicator/core/worker.h"
#include "replicator/status/state.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    LOOK_MS = 5000,     /* in a cluster */
    WAIT_MS = 10000,    /* until Qdrant has told whether it is in one */
    ALONE_MS = 60000,   /* when it is not */
    RECORD_MS = 60000,  /* how often EFS is told that this node is there */
    ASK_MS = 10000,     /* whether it still leads, while it heals */
    AGAIN_MS = 300000,  /* between two tries that came to nothing ... */
    CLAIMED_MS = 20000, /* ... since another node heals */
    CHILD_MS = 24 * 3600 * 1000,
    OUTPUT_MAX = 16 << 20,
    PEERS_MOST = 1024,
};

struct watched { /* a peer that does not answer */
    char id[CLUSTER_ID];
    int64_t since;       /* clock_ms */
    enum gone_what said; /* GONE_NO: nothing yet */
    bool seen;           /* in the last look */
};
struct healer {
    struct context *x;
    int64_t every; /* milliseconds between two looks */
    struct watched silent[PEERS_MOST];
    size_t n;
    char members[PEERS_MOST][CLUSTER_ID]; /* as they were in the last look ... */
    int64_t same_since;                   /* ... and since when */
    bool copies_due;                      /* members have changed: shards may have too few copies */
    int64_t recorded, not_before;         /* clock_ms; 0: never */
    bool record_said, read_said, swept, others_said;
    time_t first; /* when this peer was there first, also where its record is lost meanwhile */
    char peer[CLUSTER_ID];
    bool claimed;    /* another node has the claim */
    bool incomplete; /* the last heal left something, as status tells */
    int64_t asked;
    struct worker_thread worker;
};

static struct cluster_place_of place(const struct healer *h)
{
    return (struct cluster_place_of){h->x->settings.efs_root, h->x->settings.tier};
}

/* For so long a peer is silent, or members are the same, before anything is done. */
static int64_t settle_ms(const struct healer *h) { return (int64_t)h->x->options.heal_after * 1000; }

static bool has_efs(const struct healer *h)
{
    return h->x->settings.efs_root[0] && h->x->settings.node[0] && !atomic_load(&h->x->efs_local);
}

/* --- who this node is */

static void leave_record(struct healer *h, const struct cluster_map *m)
{
    struct cluster_node own = {.last = time(NULL)};
    struct cluster_place_of at = place(h);
    struct err e = {0};
    int64_t now = clock_ms();
    if (!has_efs(h) || (h->recorded && now < h->recorded + RECORD_MS))
        return;
    (void)snprintf(own.peer, sizeof own.peer, "%s", m->peers[m->own].id);
    (void)snprintf(own.uri, sizeof own.uri, "%s", m->peers[m->own].uri);
    (void)snprintf(own.node, sizeof own.node, "%s", h->x->settings.node);
    if (strcmp(h->peer, own.peer) != 0)
        h->first = own.last;
    memcpy(h->peer, own.peer, sizeof h->peer);
    own.first = h->first;
    if (cluster_nodes_put_peer(&at, &own, &e) != 0) {
        if (!h->record_said)
            log_line(LOG_WARN, "cluster_record", "EFS does not take who this node is: %s; it is tried again",
                     e.text);
        h->record_said = true;
        return;
    }
    h->record_said = false;
    h->first = own.first;
    h->recorded = now;
    if (!h->swept)
        (void)cluster_nodes_sweep(&at, own.last, &e); /* what stays is swept at the next start */
    h->swept = true;
}

/* --- who does not answer */

static struct watched *watched_of(struct healer *h, const char *id)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->silent[i].id, id) == 0)
            return &h->silent[i];
    if (h->n == PEERS_MOST)
        return NULL;
    struct watched *w = &h->silent[h->n++];
    *w = (struct watched){.since = clock_ms(), .said = GONE_NO};
    (void)snprintf(w->id, sizeof w->id, "%s", id);
    return w;
}

static int by_id(const void *a, const void *b) { return strcmp(a, b); }

/* Qdrant tells them in another order each time. */
static void sort_members(const struct cluster_map *m, char out[PEERS_MOST][CLUSTER_ID])
{
    size_t n = m->n_peers < PEERS_MOST ? m->n_peers : PEERS_MOST;
    memset(out, 0, PEERS_MOST * CLUSTER_ID);
    for (size_t i = 0; i < n; i++)
        memcpy(out[i], m->peers[i].id, strlen(m->peers[i].id)); /* the rest is 0: they are compared whole */
    qsort(out, n, CLUSTER_ID, by_id);
}

static void watch(struct healer *h, const struct cluster_map *m)
{
    static char members[PEERS_MOST][CLUSTER_ID]; /* this thread's */
    sort_members(m, members);
    for (size_t i = 0; i < h->n; i++)
        h->silent[i].seen = false;
    for (size_t i = 0; i < m->n_peers; i++) {
        struct watched *w = m->peers[i].unreached ? watched_of(h, m->peers[i].id) : NULL;
        if (w)
            w->seen = true;
    }
    for (size_t i = h->n; i-- > 0;)
        if (!h->silent[i].seen)
            h->silent[i] = h->silent[--h->n];
    if (memcmp(members, h->members, sizeof members) == 0)
        return;
    memcpy(h->members, members, sizeof members);
    h->same_since = clock_ms();
    h->copies_due = true;
    h->not_before = 0;
}

/* Whoever leads sees all of them; the others only whom they vote for. */
static bool leads(const struct cluster_map *m)
{
    return m->n_peers > 0 && m->leader == m->own && !m->consensus[0];
}

/* --- what is told */

static void say_unsure(struct healer *h, struct watched *w, enum gone_what what, const char *node)
{
    char text[900];
    const char *why =
        what == GONE_UNKNOWN ? "nothing on EFS that can be read and trusted says which node it was"
        : what == GONE_TWO   ? "two nodes go by its NODE_NAME, so that which one is lost is not known"
                             : "no node of its name has come in its place: it may come back with "
                               "its disk";
    (void)snprintf(text, sizeof text,
                   "the peer %s%s%s does not answer, and is left alone: %s. If its disk is lost for good: "
                   "qdrant-efs heal --peer %s --restore",
                   w->id, *node ? ", node " : "", node, why, w->id);
    if (w->said != what)
        log_line(LOG_WARN, "heal_unsure", "%s", text);
    w->said = what;
    status_heal(h->x->status, STATUS_HEAL_UNSURE, text);
}

/* --- healing */

/* Another node leads by now: the child ends, and that one goes on. */
static bool must_end(void *arg)
{
    struct healer *h = arg;
    cleanup_cluster_map struct cluster_map m = {0};
    struct err ignored;
    int64_t now = clock_ms();
    if (now < h->asked + ASK_MS)
        return false;
    h->asked = now;
    return cluster_map_peers(h->x->qdrant, &m, &ignored) == 0 && m.n_peers > 0 &&
           m.leader != CLUSTER_NOBODY && m.leader != m.own;
}

static void tell_step(const cJSON *step)
{
    const char *error = json_text(step, "error"), *collection = json_text(step, "collection"),
               *peer = json_text(step, "peer_id");
    char shard[40] = "";
    if (cJSON_IsNumber(json_member(step, "shard")))
        (void)snprintf(shard, sizeof shard, " shard %.0f,", json_number(step, "shard"));
    cJSON *f = cJSON_Duplicate(step, 1); /* without memory the text must do */
    log_fields(*error ? LOG_ERROR : LOG_INFO, *error ? "heal_step_failed" : "heal_step", f,
               "%s %s%s%s%s%s%s%s", json_text(step, "step"), collection, *collection ? "," : "", shard,
               *peer ? " peer " : "", peer, *error ? ": " : "", error);
}

/* What is left, for people. */
static void left_text(const struct healer *h, const cJSON *whole, const struct subprocess_result *r,
                      const struct err *e, char out[900])
{
    double lost = json_number(whole, "shards_lost"), few = json_number(whole, "shards_short"),
           broken = json_number(whole, "shards_broken"), bare = json_number(whole, "shards_bare");
    const char *error = json_text(whole, "error");
    if (!whole || *error)
        (void)snprintf(out, 900, "the cluster is not healed: %.700s",
                       *error         ? error
                       : e->text[0]   ? e->text
                       : r->errors[0] ? r->errors
                                      : "qdrant-efs heal gave no report");
    else if (lost > 0)
        (void)snprintf(
            out, 900,
            "%.0f shards are left that lost peers alone had, so that their collections cannot be read as "
            "a whole: %s. `qdrant-efs heal --dry-run` tells the peers",
            lost,
            h->x->options.heal == HEAL_WITH_RESTORE
                ? "they did not come back from backups; the log has why"
                : "with HEAL=restore, or by `qdrant-efs heal --restore --peer` and the peer's id, "
                  "they come back from backups");
    else if (broken + bare > 0)
        (void)snprintf(
            out, 900,
            "%.0f shards of lost peers have a copy that is not active on a living one, and %.0f none at "
            "all: that is for a person. `qdrant-efs heal --dry-run` tells what can be done",
            broken, bare);
    else if (few > 0)
        (void)snprintf(
            out, 900,
            "%.0f shards have fewer active copies than their collection asks for: there are not enough "
            "nodes, a step failed, or Qdrant is making one",
            few);
    else
        (void)snprintf(out, 900, "the cluster is not healed; the log has which step failed");
}

/* True: all is well again. */
static bool tell_end(struct healer *h, const struct subprocess_result *r, const struct err *e)
{
    cleanup_json cJSON *whole = e->text[0] ? NULL : cJSON_Parse(r->output);
    const cJSON *step;
    char text[900];
    const char *other = json_string(whole, "claimed_by");
    h->claimed = other != NULL;
    if (other && !h->others_said)
        log_line(LOG_INFO, "heal_waits", "%s heals the cluster, or has begun to", other);
    h->others_said = other != NULL;
    if (other)
        return status_heal(h->x->status, STATUS_HEAL_NONE, ""), false;
    cJSON_ArrayForEach(step, json_member(whole, "steps")) { tell_step(step); }
    h->incomplete = !json_true(whole, "healed");
    if (!h->incomplete) {
        if (cJSON_GetArraySize(json_member(whole, "steps")) > 0)
            log_line(LOG_INFO, "healed", "every shard of the cluster has its copies");
        status_heal(h->x->status, STATUS_HEAL_NONE, "");
        return true;
    }
    left_text(h, whole, r, e, text);
    bool only_few = whole && !*json_text(whole, "error") && json_number(whole, "shards_short") > 0 &&
                    !(json_number(whole, "shards_lost") + json_number(whole, "shards_broken") +
                          json_number(whole, "shards_bare") >
                      0);
    log_line(only_few ? LOG_WARN : LOG_ERROR, "heal_incomplete", "%s", text);
    status_heal(h->x->status, only_few ? STATUS_HEAL_UNSURE : STATUS_HEAL_FAILED, text);
    return false;
}

/* `ids`: who is gone, to whom NULL follows. */
static bool run(struct healer *h, char *const *ids)
{
    static char program[] = "qdrant-efs", verb[] = "heal", json[] = "--json", restore[] = "--restore",
                peer[] = "--peer";
    static char *argv[2 * PEERS_MOST + 8]; /* this thread's */
    char *const more[] = {NULL};
    const char *const without[] = {NULL};
    size_t n = 0;
    struct context *x = h->x;
    struct subprocess_result r = {0};
    struct err e = {0};
    argv[n++] = program;
    argv[n++] = verb;
    argv[n++] = json;
    if (x->options.heal == HEAL_WITH_RESTORE)
        argv[n++] = restore;
    for (; *ids; ids++) {
        argv[n++] = peer;
        argv[n++] = *ids;
    }
    argv[n] = NULL;
    cleanup_free char **env = subprocess_environment(without, more);
    struct subprocess_options o = {.program = "qdrant-efs",
                                   .argv = argv,
                                   .environment = env,
                                   .end = clock_ms() + CHILD_MS,
                                   .output_max = OUTPUT_MAX,
                                   .stop = &x->stop,
                                   .give_up = must_end,
                                   .arg = h};
    if (!env)
        (void)err_set(&e, ENOMEM, "cannot start", argv[0], NULL);
    else
        (void)subprocess_run(&o, &r, &e);
    bool left = e.code == EBUSY || atomic_load(&x->stop), good = left || tell_end(h, &r, &e);
    if (e.code == EBUSY)
        log_line(LOG_INFO, "heal_left", "another node leads the cluster, and heals it from here on");
    free(r.output);
    return good && !left;
}

static void heal(struct healer *h, char *const *ids)
{
    if (clock_ms() < h->not_before || atomic_load(&h->x->restore_pending))
        return;
    if (*ids && !h->others_said)
        log_line(LOG_WARN, "heal_begins", "the peer %s%s is gone for good: its place is filled%s", ids[0],
                 ids[1] ? " and others" : "",
                 h->x->options.heal == HEAL_WITH_RESTORE ? ", from backups where it alone had something"
                                                         : "");
    status_heal(h->x->status, STATUS_HEAL_RUNS,
                "the cluster is being healed; its steps are in the log when it is over");
    atomic_store(&h->x->healing, true);
    h->asked = clock_ms();
    h->copies_due = !run(h, ids);
    atomic_store(&h->x->healing, false);
    if (h->copies_due)
        h->not_before = clock_ms() + (h->claimed ? CLAIMED_MS : AGAIN_MS);
    h->same_since = clock_ms();
}

/* --- the look */

static size_t judge(struct healer *h, const struct cluster_map *m, const struct cluster_nodes *known,
                    char **ids)
{
    static const char *alive[PEERS_MOST]; /* this thread's */
    size_t n_alive = 0, n = 0;
    char node[128];
    for (size_t i = 0; i < m->n_peers && n_alive < PEERS_MOST; i++)
        if (!m->peers[i].unreached)
            alive[n_alive++] = m->peers[i].id;
    for (size_t i = 0; i < h->n; i++) {
        struct watched *w = &h->silent[i];
        struct gone_facts f = {.peer = w->id,
                               .silent_ms = clock_ms() - w->since,
                               .settle_ms = settle_ms(h),
                               .known = known,
                               .alive = alive,
                               .n_alive = n_alive,
                               .now = time(NULL)};
        enum gone_what what = gone_decide(&f, node);
        if (what == GONE_YES)
            ids[n++] = w->id;
        else if (what != GONE_SETTLING)
            say_unsure(h, w, what, node);
    }
    ids[n] = NULL;
    return n;
}

static void look_at_silent(struct healer *h, const struct cluster_map *m)
{
    cleanup_cluster_nodes struct cluster_nodes known = {0};
    struct cluster_place_of at = place(h);
    struct err e = {0};
    static char *ids[PEERS_MOST + 1]; /* this thread's */
    /* What cannot be read may be what tells that two nodes go by one name. */
    bool read = cluster_nodes_read(&at, &known, &e) == 0 && known.unreadable == 0;
    if (!read && !h->read_said)
        log_line(LOG_WARN, "heal_unsure", "what EFS says of the cluster's nodes cannot be read: %s",
                 e.text[0] ? e.text : known.why);
    h->read_said = !read;
    if (!read)
        cluster_nodes_free(&known);
    if (judge(h, m, &known, ids) > 0)
        heal(h, ids);
}

static void look(struct healer *h)
{
    cleanup_cluster_map struct cluster_map m = {0};
    struct err e = {0};
    if (cluster_map_peers(h->x->qdrant, &m, &e) != 0) { /* told elsewhere */
        bool answered = e.code >= QDRANT_REFUSED && e.code != QDRANT_NO_KEY;
        h->every = answered && h->every != LOOK_MS ? ALONE_MS : h->every;
        return;
    }
    h->every = m.n_peers > 0 ? LOOK_MS : ALONE_MS;
    if (m.n_peers == 0 || h->x->qdrant_settings.shared)
        return;
    leave_record(h, &m);
    watch(h, &m);
    if (h->x->options.heal == HEAL_OFF || !leads(&m) || !has_efs(h)) {
        status_heal(h->x->status, STATUS_HEAL_NONE, "");
        return;
    }
    if (h->n > 0) {
        look_at_silent(h, &m);
        return;
    }
    char *const nobody[] = {NULL};
    if (!h->incomplete)
        status_heal(h->x->status, STATUS_HEAL_NONE, "");
    if (h->copies_due && clock_ms() >= h->same_since + settle_ms(h))
        heal(h, nobody);
}

static void *loop(void *arg)
{
    struct healer *h = arg;
    while (!atomic_load(&h->x->stop)) {
        look(h);
        worker_rest(&h->worker, clock_ms() + h->every);
    }
    return NULL;
}

struct healer *healer_start(struct context *x)
{
    struct healer *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->x = x;
    h->every = WAIT_MS;
    if (worker_start(&h->worker, "heal", loop, h, &x->stop))
        return h;
    free(h);
    return NULL;
}

bool healer_stop(struct healer *h, int64_t end) { return worker_stop(&h->worker, end); }

void healer_free(struct healer *h)
{
    if (!h)
        return;
    worker_free(&h->worker);
    free(h);
}
