/* Who of the cluster is lost. A peer that does not answer may be a node that restarts, or one behind a broken
 * network; that its disk is gone nobody can see from here. So somebody has to name it, and what is named must
 * not contradict what can be seen. */
#include "efs/cli/cmd_heal.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 1000, AGAIN_MS = 15000 };

/* --- other nodes */

static struct qdrant *at(const struct healing *h, const char *url, struct qdrant_settings *settings)
{
    *settings = h->settings;
    if ((size_t)snprintf(settings->url, sizeof settings->url, "%s", url) >= sizeof settings->url)
        return NULL;
    return qdrant_new(settings, h->key, h->stop);
}

/* 1: that peer answers there; 0: another one does, or something that does not say who it is; -1: nobody. */
static int is_at(struct qdrant *q, const char *id, struct err *e)
{
    cleanup_cluster_map struct cluster_map m = {0};
    if (cluster_map_peers(q, &m, e) == 0)
        return m.n_peers > 0 && strcmp(m.peers[m.own].id, id) == 0;
    return e->code >= QDRANT_REFUSED && e->code != QDRANT_NO_KEY ? 0 : -1;
}

static struct qdrant *try(const struct healing *h, const char *url, const char *id,
                          struct qdrant_settings *settings, int *rc, struct err *e)
{
    struct qdrant *q = at(h, url, settings);
    int is = q ? is_at(q, id, e) : -1;
    *rc = is > *rc ? is : *rc;
    if (is > 0)
        return q;
    qdrant_free(q);
    return NULL;
}

/* *rc as is_at, of all addresses that may be its. */
static struct qdrant *find(const struct healing *h, size_t peer, struct qdrant_settings *settings, int *rc,
                           struct err *e)
{
    char url[512];
    const struct map_peer *p = &h->map.peers[peer];
    struct qdrant *q = NULL;
    *rc = -1;
    for (size_t i = 0; i < h->o->restore.n_peers && !q; i++) {
        struct err ignored = {0};
        int is = -1;
        q = try(h, h->o->restore.peers[i], p->id, settings, &is, &ignored);
        *rc = is > 0 ? is : *rc; /* somebody else's is no word of this one */
    }
    if (!q && h->o->restore.n_peers == 0 && qdrant_url_at(h->settings.url, p->uri, url, sizeof url))
        q = try(h, url, p->id, settings, rc, e);
    return q;
}

struct qdrant *heal_node(const struct healing *h, size_t peer, struct qdrant_settings *settings,
                         struct err *e)
{
    int rc;
    char what[500];
    struct err why = {0};
    if (peer == h->map.own)
        return at(h, h->settings.url, settings);
    struct qdrant *q = find(h, peer, settings, &rc, &why);
    if (q)
        return q;
    (void)snprintf(what, sizeof what,
                   "the peer %.20s (%.200s) does not answer at its host and the port of --url",
                   h->map.peers[peer].id, h->map.peers[peer].uri);
    (void)err_set(e, 0, what, NULL, "give the address of its REST API with --peer-url");
    e->code = EHOSTUNREACH;
    return NULL;
}

/* --- who is lost */

static bool is_named(const struct healing *h, const char *id)
{
    for (size_t i = 0; i < h->o->heal.n_peers; i++)
        if (strcmp(h->o->heal.peers[i], id) == 0)
            return true;
    return false;
}

static int refuse(struct healing *h, size_t peer, const char *why)
{
    char name[160];
    return heal_fail(h, "the peer %s%s (%s) is not lost: %s; %s", h->map.peers[peer].id,
                     heal_name(h, peer, name), h->map.peers[peer].uri, why,
                     h->begun ? "what was done stays" : "nothing was changed");
}

/* Whom the leader does not reach. Its word alone counts: a node that once led, and has not written to a peer
 * since, remembers what failed then. */
static int ask_leader(struct healing *h, struct err *e)
{
    struct qdrant_settings settings;
    cleanup_cluster_map struct cluster_map now = {0}, m = {0};
    if (cluster_map_peers(h->qdrant, &now, e) != 0)
        return -1;
    size_t leader =
        now.leader == CLUSTER_NOBODY ? CLUSTER_NOBODY : cluster_map_peer(&h->map, now.peers[now.leader].id);
    if (leader == CLUSTER_NOBODY)
        return err_set(e, 0, "the cluster has none just now", NULL, "heal again");
    struct qdrant *q = heal_node(h, leader, &settings, e);
    int rc = q ? cluster_map_peers(q, &m, e) : -1;
    if (rc == 0 && (m.n_peers == 0 || m.leader != m.own))
        rc = err_set(e, 0, "another one is chosen just now", NULL, "heal again");
    for (size_t i = 0; rc == 0 && i < h->map.n_peers; i++) {
        size_t there = cluster_map_peer(&m, h->map.peers[i].id);
        h->map.peers[i].unreached = there != CLUSTER_NOBODY && m.peers[there].unreached;
    }
    qdrant_free(q);
    explicit_bzero(&settings, sizeof settings);
    return rc;
}

bool heal_still_lost(struct healing *h, size_t peer, char why[HEAL_ERROR])
{
    struct qdrant_settings settings;
    int rc;
    *why = 0;
    for (int64_t end = clock_ms() + AGAIN_MS; !atomic_load(h->stop); clock_sleep(POLL_MS)) {
        struct err e = {0};
        struct qdrant *q = find(h, peer, &settings, &rc, &e);
        qdrant_free(q);
        explicit_bzero(&settings, sizeof settings);
        *why = 0;
        if (q)
            return (void)snprintf(why, HEAL_ERROR, "it answers again"), false;
        if (ask_leader(h, &e) != 0)
            (void)snprintf(why, HEAL_ERROR, "the leader does not tell whom it reaches: %.500s", e.text);
        else if (!h->map.peers[peer].unreached)
            (void)snprintf(why, HEAL_ERROR, "the leader reaches it again");
        if (!*why || clock_ms() >= end)
            break; /* a new leader has to try first */
    }
    return !*why;
}

static int judge_named(struct healing *h, size_t peer)
{
    struct qdrant_settings settings;
    struct err ignored = {0};
    int rc;
    if (peer == h->map.own)
        return refuse(h, peer, "it is the node at --url");
    struct qdrant *q = find(h, peer, &settings, &rc, &ignored);
    bool answers = q != NULL;
    qdrant_free(q);
    explicit_bzero(&settings, sizeof settings);
    if (answers)
        return refuse(h, peer, "it answers");
    if (!h->map.peers[peer].unreached)
        return refuse(h, peer, "the leader's last messages to it arrived");
    h->how[peer] = HEAL_LOST;
    return 0;
}

static int judge_again(struct healing *h, size_t peer)
{
    char why[HEAL_ERROR];
    h->how[peer] = HEAL_LOST;
    return heal_still_lost(h, peer, why) ? 0 : refuse(h, peer, why);
}

static int all_are_members(struct healing *h)
{
    for (size_t i = 0; i < h->o->heal.n_peers; i++)
        if (cluster_map_peer(&h->map, h->o->heal.peers[i]) == CLUSTER_NOBODY)
            return heal_fail(h,
                             "the peer %.24s is no member of the cluster, or no more; `qdrant-efs heal "
                             "--dry-run` lists the members",
                             h->o->heal.peers[i]);
    return 0;
}

static int can_change(struct healing *h)
{
    if (h->map.consensus[0])
        return heal_fail(h, "consensus has stopped on the node at %s: %s; see Qdrant's log", h->settings.url,
                         h->map.consensus);
    if (h->map.leader == CLUSTER_NOBODY)
        return heal_fail(h,
                         "the cluster has no leader: half of its nodes or more are not there, or they choose "
                         "one just now. Start those that have their disks; if they are lost, see "
                         "docker/RUNBOOK.md, \"Half of the nodes of a cluster are lost\"");
    return 0;
}

int heal_judge_peers(struct healing *h)
{
    int rc = can_change(h);
    if (rc == 0 && !h->begun) /* later one that was named has been removed */
        rc = all_are_members(h);
    struct err e = {0};
    if (rc != 0)
        return rc;
    if (h->map.leader != h->map.own && ask_leader(h, &e) != 0)
        return heal_fail(h, "the leader, peer %s (%s), does not tell whom it reaches: %s",
                         h->map.peers[h->map.leader].id, h->map.peers[h->map.leader].uri, e.text);
    for (size_t i = 0; i < h->map.n_peers && rc == 0; i++) {
        h->how[i] = h->map.peers[i].unreached ? HEAL_SILENT : HEAL_ALIVE;
        if (is_named(h, h->map.peers[i].id))
            rc = h->begun ? judge_again(h, i) : judge_named(h, i);
    }
    return rc;
}
