#include "common/base/clock.h"
#include "common/log.h"
#include "replicator/cluster/start_state.h"
#include <stdio.h>

/* What nobody answers to, for people. */
static void silence(const struct starter *s, char out[400])
{
    int n = snprintf(out, 400, "none of %u addresses answers", s->asked);
    if (s->addresses.unknown[0])
        (void)snprintf(out + n, 400 - (size_t)n, ", and nobody knows the name %.255s", s->addresses.unknown);
}

static const char ALL_LOST[] = "docker/RUNBOOK.md, \"All nodes of a cluster are lost\"";

static void say_record(const struct starter *s, enum start_what what, const struct founding *f,
                       const char *nobody)
{
    const char *node = f->node[0] ? f->node : "a node";
    if (what == START_WAIT_USED)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: %s, and QDRANT_CLUSTER_FOUND=%s was used before: it founds "
                 "nothing more. If the cluster is lost, set another word, on all nodes: %s",
                 nobody, s->word, ALL_LOST);
    else if (what == START_WAIT_MAYBE)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: %s. %s (%s) was to found the cluster, number %u, at %s, and "
                 "nobody has left that it did. If it did not, or its cluster is lost, set "
                 "QDRANT_CLUSTER_FOUND to a new word, on all nodes: %s",
                 nobody, node, f->uri, f->n, f->when, ALL_LOST);
    else if (f->n > 0)
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: %s, and a cluster is on record (number %u, founded by %s at "
                 "%s), beside which no second one is founded. Its nodes may be starting. If all of them are "
                 "lost, set QDRANT_CLUSTER_FOUND to a new word, on all nodes: %s",
                 nobody, f->n, node, f->when, ALL_LOST);
    else
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: %s, and EFS has backups of a cluster or node of TIER %s, beside "
                 "which none is founded by itself. If this is to be the first cluster of it, or all nodes "
                 "are lost, set QDRANT_CLUSTER_FOUND to a word, on all nodes: %s",
                 nobody, s->settings.tier, ALL_LOST);
}

static void say_peer(const struct starter *s, enum start_what what)
{
    const char *own = s->addresses.own;
    if (what == START_WAIT_TAKEN)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: the cluster's peer %s has this node's address %s and %u "
                 "replicas of shards; it is a node that was lost. This node joins when that peer has none: "
                 "docker/RUNBOOK.md, \"A node of a cluster is lost\"",
                 s->meeting.taken, own, s->replicas);
    else if (what == START_WAIT_ALONE)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started: its disk has collections of a Qdrant without a cluster, and there "
                 "is a cluster at %s already, which would not have them. Back them up, empty %s, and restore "
                 "them into the cluster; or take this node out of QDRANT_CLUSTER_DNS",
                 s->meeting.uri, s->storage);
    else if (what == START_WAIT_SAME)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started: %s (%s). Each node needs an address of its own, at which the others "
                 "reach it: set QDRANT_URI on each",
                 s->trouble, own);
    else
        log_line(LOG_WARN, "cluster_waits", "Qdrant is not started yet: %s", s->trouble);
}

void start_say_wait(struct starter *s, enum start_what what, const struct founding *found, const char *efs)
{
    char nobody[400];
    int64_t now = clock_ms();
    if (what == START_WAIT_MAYBE && found->young)
        what = START_WAIT_FOUNDER; /* at each first start; it is an error only once nothing comes of it */
    bool soon = what == START_WAIT_SETTLE || what < START_WAIT_ADDRESS ||
                (what == START_WAIT_ADDRESS && s->addresses.own[0]);
    if (soon || (what == s->said && now < s->said_at + START_SAY_AGAIN_MS))
        return;
    s->said = what;
    s->said_at = now;
    silence(s, nobody);
    if (what == START_WAIT_ADDRESS)
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: this machine has no address that other nodes could reach; set "
                 "QDRANT_URI to this node's, such as http://qdrant-0:6335");
    else if (what == START_WAIT_EFS)
        log_line(
            LOG_ERROR, "cluster_waits",
            "Qdrant is not started yet: %s, and EFS, which has who may found a cluster, does not tell: %s",
            nobody, efs);
    else if (what == START_WAIT_FOUNDER)
        log_line(LOG_INFO, "cluster_waits", "Qdrant is not started yet: %s founds the cluster (%s)",
                 found->node[0] ? found->node : "another node", found->uri);
    else if (what == START_WAIT_PEERS || what == START_WAIT_MAYBE || what == START_WAIT_USED)
        say_record(s, what, found, nobody);
    else
        say_peer(s, what);
}
