/* How a node of a cluster starts: by the disk that it has, by joining the cluster that is there, or by
 * founding one. What it cannot reach may be there all the same, so that silence alone never founds. A pure
 * function with a table of tests. */
#ifndef REPLICATOR_CLUSTER_START_RULE_H
#define REPLICATOR_CLUSTER_START_RULE_H
#include "efs/repo/founding.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    START_SETTLE_MS = 3000, /* nobody has answered for so long before a claim is taken ... */
    START_SETTLE_LONG_MS =
        30000, /* ... or so long, where an earlier cluster or claim is on record; half of it
                  by a node that has collections, so that an empty one does not come first */
};
enum start_disk {
    START_DISK_EMPTY,  /* no part in a cluster, and no collections */
    START_DISK_ALONE,  /* collections of a Qdrant without a cluster */
    START_DISK_MEMBER, /* it has been in a cluster */
};
struct start_facts {
    enum start_disk disk;
    bool leader;       /* a peer answers that takes members: its cluster has a leader */
    bool same;         /* one says that it is at our address: Qdrant would take joining it for founding */
    bool taken;        /* that cluster has a member at our address, which has shards */
    bool answers;      /* one answers that cannot take us: without a leader or a cluster, or it refuses us */
    bool addressed;    /* we know an address of ours that others can reach */
    int64_t silent_ms; /* nobody has answered for so long */
    enum founding_state claim;
    bool word; /* an operator's: QDRANT_CLUSTER_FOUND */
};
enum start_what {
    START_RUN,   /* with the disk; Qdrant finds its peers itself, and tells them of a new address */
    START_JOIN,  /* the peer that was found */
    START_CLAIM, /* ask for the right to found */
    START_TELL,  /* leave a mark that it is about to be used */
    START_FOUND,
    /* Wait, and look again. */
    START_WAIT_ADDRESS, /* we have no address that others can reach */
    START_WAIT_SAME,    /* another node is at the address that we take for ours */
    START_WAIT_TAKEN,   /* a lost node's shards are still assigned to our address: heal the cluster first */
    START_WAIT_ALONE,   /* there is a cluster, and this disk has collections of its own: they would be lost */
    START_WAIT_LEADER,  /* who answers has no leader, or does not take us */
    START_WAIT_EFS,     /* nobody answers, and EFS does not tell who may found */
    START_WAIT_FOUNDER, /* another node has the claim */
    START_WAIT_PEERS,   /* a cluster is on record, and nobody of it answers: it takes time, or a word */
    START_WAIT_MAYBE,   /* somebody was about to found one, and nobody knows what came of it: likewise */
    START_WAIT_USED,    /* the same, and the word that there is was used before */
    START_WAIT_SETTLE,  /* in a moment */
    START_WHATS,
};
enum start_what start_decide(const struct start_facts *f);
#endif
