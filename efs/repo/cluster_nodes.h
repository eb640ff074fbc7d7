/* Who is who in a cluster, below {EFS_ROOT}/clusters/{TIER}/, so that the others can tell whether a peer that
 * does not answer is lost for good:
 *
 *     peers/{peer id}.json      a member: which node it is, and when it was there first and last
 *     waiting/{node}.json       a node without a disk that waits to take a lost one's address
 *
 * A peer's id is on its disk. So a node (NODE_NAME) that is there with another peer id, or waits without any,
 * has lost the disk of the peer that it was; unless two nodes have one name, which their times betray. These
 * files are signed where manifests are. Every call may hang with EFS. */
#ifndef EFS_REPO_CLUSTER_NODES_H
#define EFS_REPO_CLUSTER_NODES_H
#include "common/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Seconds: without a word for so long a file is deleted; and within so many a node says that it is there. */
enum { CLUSTER_NODE_OLD = 30 * 86400, CLUSTER_NODE_FRESH = 180 };
struct cluster_node {
    char peer[24]; /* its id; of one that waits, that of the lost peer at its address */
    char node[128];
    char uri[300];
    time_t first, last; /* by its own clock */
};
struct cluster_nodes {
    struct cluster_node *peers, *waiting;
    size_t n_peers, n_waiting;
    unsigned unreadable; /* files that cannot be read or made out, or are not vouched for ... */
    char why[1024];      /* ... the first one of them */
};
struct cluster_place_of {    /* where these files are */
    const char *root, *tier; /* EFS_ROOT, TIER */
};
/* `first` of a peer that was on record stays. */
int cluster_nodes_put_peer(const struct cluster_place_of *at, struct cluster_node *n, struct err *e);
int cluster_nodes_put_waiting(const struct cluster_place_of *at, const struct cluster_node *n, struct err *e);
/* It waits no more. */
int cluster_nodes_take_waiting(const struct cluster_place_of *at, const char *node, struct err *e);
int cluster_nodes_read(const struct cluster_place_of *at, struct cluster_nodes *out, struct err *e);
void cluster_nodes_free(struct cluster_nodes *n);
#define cleanup_cluster_nodes __attribute__((cleanup(cluster_nodes_free)))
/* NULL: it is not on record. */
const struct cluster_node *cluster_nodes_peer(const struct cluster_nodes *n, const char *peer);
/* Delete files of peers that have not been seen for CLUSTER_NODE_OLD. */
int cluster_nodes_sweep(const struct cluster_place_of *at, time_t now, struct err *e);
#endif
