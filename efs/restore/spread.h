/* A restore into a cluster of several nodes. An upload to one of them would bring all shards there, and take
 * them from the others. So the collection is there first, or is made; Qdrant has placed its shards; each node
 * gets a snapshot spliced for it, which has the shards that it has, and no others; and no replica is asked to
 * sync (`priority=no_sync`). Each replica of a shard gets the same bytes, so that nothing has to be
 * re-replicated afterwards. All of it was proven on Qdrant 1.18.2.
 *
 * The nodes get theirs one after the other. Somebody who writes meanwhile writes to replicas that are about
 * to be replaced: the collection is looked at again before the first one is sent. */
#ifndef EFS_RESTORE_SPREAD_H
#define EFS_RESTORE_SPREAD_H
#include "efs/restore/splice.h"

struct spread_node {
    struct qdrant *qdrant; /* its REST API */
    char name[300];        /* for messages: where that is */
    char peer[24];         /* who answers there */
};
struct spread {
    const struct spread_node *v; /* all nodes of the cluster; the first one is that of struct restore */
    size_t n;
    /* Where each shard comes from. One source that names no shards has all of them. */
    const struct splice_source *sources;
    size_t n_sources;
};
/* Pure. Into out[], what a node that has these shards gets: of each source those that it is to
 * give. `ids` has room for `n_place`, and `out` for all sources. Returns how many sources give any. */
size_t spread_choose(const struct spread *s, const unsigned *place, size_t n_place, struct splice_source *out,
                     unsigned *ids);
/* Pure. The ids of `all` that `some` does not have, into `out`, which has room for all. Returns
 * how many. */
size_t spread_rest(const unsigned *all, size_t n_all, const unsigned *some, size_t n_some, unsigned *out);
#endif
