/* How a cluster gets over a lost node: which step is next, by what is there now. Pure functions with a table
 * of tests. Nothing is kept from one step to the next, so that whoever begins in the middle goes on.
 *
 * The order is that which Qdrant (1.18.2) takes without force: first the lost node's replicas go that another
 * node has, too; then what was only there comes back from backups, while the lost one is still known; then it
 * has nothing, and is removed; then shards that have too few replicas get more. A removal by force checks
 * nothing: a shard without a replica makes each read of its collection fail on every node. */
#ifndef QDRANT_HEAL_RULE_H
#define QDRANT_HEAL_RULE_H
#include "qdrant/cluster_map.h"

enum heal_how {
    HEAL_ALIVE,
    HEAL_SILENT, /* it cannot be reached, and nobody has said that it is lost: its replicas stay */
    HEAL_LOST,   /* somebody vouches for that: its disk will not come back */
};
enum heal_what {
    HEAL_DROP,      /* the lost `peer`'s replica of `shard`, which another one has */
    HEAL_RESTORE,   /* from backups, into `peer`: all shards of the collection that are lost */
    HEAL_REMOVE,    /* the lost `peer`, which has nothing any more */
    HEAL_REPLICATE, /* `shard` from `from` to `peer` */
    /* Nothing to do: */
    HEAL_WAIT, /* until nothing moves any more */
    HEAL_NONE,
};
struct heal_step {
    enum heal_what what;
    size_t collection;
    unsigned shard;
    size_t peer, from;
    bool replace; /* of HEAL_RESTORE: as in the case */
};
struct heal_case {
    const struct cluster_map *map;
    const enum heal_how *how; /* of each peer */
    bool restore;             /* may shards come back from backups? */
    bool replace;             /* also those of which a living node has a copy that is not active? */
    const bool *deaf;         /* of each peer: its REST API is not to be found, so that it takes none; NULL */
    bool quiet;               /* and nobody writes, as somebody vouches for: any node may take them */
    const bool *left;         /* of each collection: it is left as it is, since a step of it failed */
};
struct heal_step heal_next(const struct heal_case *c);
/* What the map is after that step, for whoever only tells what would be done. False without memory. */
bool heal_apply(struct cluster_map *m, const enum heal_how *how, const struct heal_step *step);
/* Is there a replica of it on a lost peer, and none on another one? One that is not active may have newer
 * points than any backup: with `replace` it counts as none. */
bool heal_is_lost(const struct heal_case *c, const struct map_shard *s);

/* What is left when nothing more can be done. */
struct heal_rest {
    unsigned lost;   /* shards that only a lost peer had */
    unsigned broken; /* shards that a lost peer has, and others only in a state that is not active */
    unsigned bare;   /* shards of which no member has a replica at all */
    unsigned few;    /* shards with fewer active replicas than their collection asks for */
    unsigned untold; /* collections that do not tell how many they ask for */
    unsigned peers;  /* lost peers that are still members */
    unsigned silent; /* peers that cannot be reached, and keep what they have */
};
struct heal_rest heal_left(const struct heal_case *c);
#endif
