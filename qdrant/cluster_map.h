/* Where all shards of all collections are, as one node of a cluster sees it (1.18.2): the peers, and of each
 * shard which of them have a replica, in which state. */
#ifndef QDRANT_CLUSTER_MAP_H
#define QDRANT_CLUSTER_MAP_H
#include "qdrant/client.h"

enum { CLUSTER_ID = 24, CLUSTER_URI = 300, CLUSTER_STATE = 24 };
struct map_replica {
    size_t peer;               /* index of map_peer; CLUSTER_NOBODY: of a peer that is no member any more */
    char state[CLUSTER_STATE]; /* "Active", "Dead", "Partial", ... */
};
#define CLUSTER_NOBODY ((size_t)-1)
struct map_shard {
    unsigned id;
    struct map_replica *v;
    size_t n;
};
struct map_collection {
    char *name;
    unsigned factor; /* its replication_factor: how many replicas each shard is to have; 0: not told */
    bool moving;     /* a shard is being transferred */
    unsigned count;  /* how many shards it has, also those of which no node has a replica */
    struct map_shard *v;
    size_t n;
};
struct map_peer {
    char id[CLUSTER_ID], uri[CLUSTER_URI];
    bool unreached; /* it did not take this node's last messages, several in a row */
};
struct cluster_map {
    size_t own;          /* who was asked, as an index of the peers */
    size_t leader;       /* CLUSTER_NOBODY: there is none */
    char consensus[300]; /* why it has stopped on this node; empty: it works */
    struct map_peer *peers;
    size_t n_peers; /* 0: it is no cluster */
    struct map_collection *v;
    size_t n;
};
/* The peers alone. */
int cluster_map_peers(struct qdrant *q, struct cluster_map *out, struct err *e);
/* And all collections: two questions for each. One that is deleted meanwhile is left out. */
int cluster_map_read(struct qdrant *q, struct cluster_map *out, struct err *e);
/* One collection anew; no error is trusted that another node gave: one address is to be one node's. */
int cluster_map_again(struct qdrant *q, struct cluster_map *m, size_t collection, struct err *e);
/* It was deleted: it has no shards any more. */
void cluster_map_forget(struct cluster_map *m, size_t collection);
void cluster_map_free(struct cluster_map *m);
#define cleanup_cluster_map __attribute__((cleanup(cluster_map_free)))
/* CLUSTER_NOBODY: there is no such peer. */
size_t cluster_map_peer(const struct cluster_map *m, const char *id);
/* NULL: there is no such shard. */
struct map_shard *cluster_map_shard(const struct map_collection *c, unsigned id);
/* How many replicas that peer has, of all collections. */
unsigned cluster_map_replicas(const struct cluster_map *m, size_t peer);
/* The replica of that peer; NULL: it has none. */
struct map_replica *cluster_map_replica(const struct map_shard *s, size_t peer);
/* One more replica; false without memory. */
bool cluster_map_add(struct map_shard *s, size_t peer, const char *state);
void cluster_map_drop(struct map_shard *s, size_t peer);
#endif
