/* What Qdrant tells of a cluster (1.18.2): which shards of a collection this node has, and how the cluster
 * is.
 */
#ifndef QDRANT_CLUSTER_H
#define QDRANT_CLUSTER_H
#include "qdrant/client.h"

struct cluster_shards { /* of one collection */
    unsigned local;     /* on this node ... */
    unsigned elsewhere; /* ... and on other nodes alone, so that no snapshot of this node has them */
    int64_t points;     /* of the local ones; -1: it does not tell */
    char trouble[200];  /* the first local replica that is no backup of its shard, or empty */
};
/* QDRANT_MISSING: there is no such collection, or this Qdrant does not tell. */
int cluster_shards(struct qdrant *q, const char *collection, struct cluster_shards *out, struct err *e);
/* The same; `tell` hears how many points each local shard has, as far as Qdrant says. */
struct cluster_hear {
    void (*tell)(unsigned shard, int64_t points, void *arg);
    void *arg;
};
int cluster_shards_heard(struct qdrant *q, const char *collection, const struct cluster_hear *hear,
                         struct cluster_shards *out, struct err *e);
/* Which shards of the collection this node has. */
struct cluster_place {
    unsigned *shards; /* to be freed */
    size_t n;
    bool settled; /* all of these are Active, or a Listener's, and no shard moves */
};
int cluster_place(struct qdrant *q, const char *collection, struct cluster_place *out, struct err *e);
/* Points of one shard on this node, -1 when it does not tell. */
int cluster_shard_points(struct qdrant *q, const char *collection, const char *shard, int64_t *out,
                         struct err *e);
/* Is a replica in this state a backup of its shard? Active and Listener are, and ReshardingScaleDown, which
 * Qdrant takes for active; any other lacks points, or may (replica_set_state.rs). */
bool cluster_is_active(const char *state);

/* Parts of the answer to GET /cluster, its "result". A peer's id as people and our files have it; false, and
 * empty, where it is no number. */
bool cluster_id_text(const struct cJSON *id, char out[24]);
/* Has the peer with that address not taken this node's last messages, several in a row? */
bool cluster_unreached(const struct cJSON *result, const char *uri);
/* Why consensus has stopped on this node; empty: it works. */
void cluster_consensus(const struct cJSON *result, char *out, size_t size);

struct cluster_state {
    bool enabled;
    unsigned members; /* peers, with this one; 0 without a cluster */
    char peer_id[24];
    char consensus[300];  /* why consensus has stopped on this node; empty: it works */
    bool leaderless;      /* it knows of no leader: for a moment that is an election */
    unsigned unreachable; /* peers that this node's last message did not reach */
    char peers[400];      /* the first of these, each with its id, address, and since when */
};
int cluster_state(struct qdrant *q, struct cluster_state *out, struct err *e);

/* A node as another one meets it that would join its cluster. */
struct cluster_meeting {
    char id[24];
    bool joinable;     /* it is of a cluster that has a leader, works, and counts it as a member */
    char trouble[200]; /* why it is not, to be read behind its address */
    char uri[300];     /* where its peers reach it */
    bool same;         /* that is `own` */
    char taken[24];    /* another peer that has the address `own`; empty: none */
};
/* `own`: where others are to reach whoever asks, and `own_id` its peer id; either may be empty. */
int cluster_meet(struct qdrant *q, const char *own, const char *own_id, struct cluster_meeting *out,
                 struct err *e);
/* How many replicas of shards that peer has. Asks once for each collection. */
int cluster_replicas(struct qdrant *q, const char *peer, unsigned *out, struct err *e);

struct cluster_peer {
    char id[24];
    char uri[300]; /* where the other peers reach it, which is not its REST API */
};
struct cluster_peers {
    struct cluster_peer *v; /* to be freed */
    size_t n;               /* 0 without a cluster */
};
int cluster_peers(struct qdrant *q, struct cluster_peers *out, struct err *e);
#endif
