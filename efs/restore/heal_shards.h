/* Shards that a lost node alone had, from backups into a living node of the cluster, which gets a snapshot
 * spliced of these shards and of stubs for all others, so that Qdrant (1.18.2) leaves those alone. The lost
 * node has to be a member still: then Qdrant takes its replicas away, or for dead. */
#ifndef EFS_RESTORE_HEAL_SHARDS_H
#define EFS_RESTORE_HEAL_SHARDS_H
#include "efs/restore/splice.h"

struct heal_had { /* what the manifest says of a shard */
    unsigned id;
    int64_t points; /* -1: nothing */
};
struct heal_shards {
    struct qdrant *qdrant; /* of the node that is to have them */
    const char *collection;
    const struct splice_source *sources; /* which backup gives which shard */
    size_t n;
    const struct heal_had *had; /* of each of these shards */
    size_t n_had;
    const unsigned *others; /* all shards of the collection but these */
    size_t n_others;
    struct copy_watch watch; /* of what is sent */
    const atomic_bool *stop;
};
/* Proves all of it first, and compares the collection's shard keys with the backup's; its configuration
 * afterwards, when it can be read. Comes back when the shards are Active there, with not much fewer points
 * than the manifests say. RESTORE_DEFECT: the source number *bad is not what its manifest says, and nothing
 * was sent. */
enum restore_outcome heal_shards_restore(const struct heal_shards *h, size_t *bad, struct err *e);
#endif
