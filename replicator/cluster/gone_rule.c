#include "replicator/cluster/gone_rule.h"
#include <stdio.h>
#include <string.h>

static bool is_alive(const struct gone_facts *f, const char *peer)
{
    for (size_t i = 0; i < f->n_alive; i++)
        if (strcmp(f->alive[i], peer) == 0)
            return true;
    return false;
}

/* A later one of the same name, which began after the last word of `was`. */
static enum gone_what by_member(const struct gone_facts *f, const struct cluster_node *was)
{
    enum gone_what what = GONE_NOBODY;
    for (size_t i = 0; i < f->known->n_peers; i++) {
        const struct cluster_node *other = &f->known->peers[i];
        if (other == was || strcmp(other->node, was->node) != 0 || !is_alive(f, other->peer))
            continue;
        if (other->first <= was->last)
            return GONE_TWO;
        what = GONE_YES;
    }
    return what;
}

static enum gone_what by_waiting(const struct gone_facts *f, const struct cluster_node *was)
{
    for (size_t i = 0; i < f->known->n_waiting; i++) {
        const struct cluster_node *w = &f->known->waiting[i];
        if (strcmp(w->node, was->node) != 0 || strcmp(w->peer, was->peer) != 0 ||
            w->last < f->now - CLUSTER_NODE_FRESH || w->last > f->now + CLUSTER_NODE_FRESH)
            continue;
        return w->first <= was->last ? GONE_TWO : GONE_YES;
    }
    return GONE_NOBODY;
}

enum gone_what gone_decide(const struct gone_facts *f, char node[128])
{
    const struct cluster_node *was = cluster_nodes_peer(f->known, f->peer);
    (void)snprintf(node, 128, "%s", was ? was->node : "");
    if (f->silent_ms < 0)
        return GONE_NO;
    if (f->silent_ms < f->settle_ms)
        return GONE_SETTLING;
    if (!was || !*was->node)
        return GONE_UNKNOWN;
    enum gone_what member = by_member(f, was), waiting = by_waiting(f, was);
    if (member == GONE_TWO || waiting == GONE_TWO)
        return GONE_TWO;
    return member == GONE_YES || waiting == GONE_YES ? GONE_YES : GONE_NOBODY;
}
