/* Is a peer of the cluster gone for good? That it does not answer says little: a node that restarts does not
 * either, and comes back with its disk. What says it is that the same node (NODE_NAME) is there anew without
 * that disk. A pure function with a table of tests; in doubt nothing is done. */
#ifndef REPLICATOR_CLUSTER_GONE_RULE_H
#define REPLICATOR_CLUSTER_GONE_RULE_H
#include "efs/repo/cluster_nodes.h"
#include <stdint.h>

enum gone_what {
    GONE_NO,       /* it answers */
    GONE_SETTLING, /* it has not been silent for long enough */
    GONE_YES,
    /* It cannot be told: */
    GONE_UNKNOWN, /* nothing on EFS says which node it was */
    GONE_NOBODY,  /* no new node of its name has come: it may come back with its disk */
    GONE_TWO,     /* two nodes go by that name, or did at the same time */
};
struct gone_facts {
    const char *peer;
    int64_t silent_ms; /* for so long; -1: it answers */
    int64_t settle_ms; /* HEAL_AFTER */
    const struct cluster_nodes *known;
    const char *const *alive; /* ids of the members that answer */
    size_t n_alive;
    time_t now;
};
/* `node`: its name, where that is on record, else empty. */
enum gone_what gone_decide(const struct gone_facts *f, char node[128]);
#endif
