/* Is a snapshot a backup of its collection? Of one that Qdrant has made (its checksum says so) the replicas
 * on this node must be Active: one taken in the middle of a transfer looks whole and is not. Whatever else
 * lies in the folder may be anything, also a snapshot of another collection that Qdrant refused: it is read
 * to the last byte, and its shape must be that of the collection that Qdrant has now. A snapshot of the whole
 * storage must have a checksum, and name no file but its own. And what was forgotten
 * (qdrant-efs forget) is not made again. Reads the local file; asks Qdrant and EFS, and may hang with EFS. */
#ifndef REPLICATOR_PUBLISH_PUBLISHABLE_H
#define REPLICATOR_PUBLISH_PUBLISHABLE_H
#include "efs/repo/backup.h"
#include "replicator/core/context.h"

struct publishable {
    struct context *context;
    const char *path;
    bool made; /* by Qdrant: its checksum is there */
    const atomic_bool *stop;
    struct shards *shards; /* out: what the snapshot of a collection says of its shards; to be freed */
};
/* The code of an error with REFUSED: it has a checksum, and names that Qdrant never writes. Else it is 0. */
enum { PUBLISHABLE_NOT_QDRANTS = 2100 };
/* PUBLISHED: it is one. REFUSED, WAITS (Qdrant cannot be asked), NOTHING (no shard of it is on this node, or
 * it was forgotten), VANISHED or FAILED with `e`. Sets m->points and m->points_of_node as far as the file
 * tells.
 */
enum publish_outcome publishable_judge(const struct publishable *p, struct manifest *m, struct err *e);
/* Was it forgotten? False as well when that cannot be read, which is said. */
bool publishable_forgotten(const struct context *x, const struct manifest *m, struct err *e);
/* For the manifest: how many points it holds, as Qdrant counts them now; -1 where nobody can say. An upload's
 * are not asked for: they are not what Qdrant has. `shards`, as publishable_judge has filled them, get the
 * points of each. */
void publishable_count(const struct context *x, struct manifest *m, struct shards *shards);
#endif
