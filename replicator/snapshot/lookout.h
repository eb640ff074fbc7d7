/* A look at Qdrant each minute (each slot, when these are shorter), beside the schedule: which collections
 * somebody has deleted, so that a restore of an empty disk does not bring these back (efs/repo/tombstone.h);
 * and how the cluster is. What touches EFS is handed to the workers. A Qdrant that is not ready, in recovery,
 * or restoring a snapshot is not believed to have lost a collection, nor one that may be another node's. */
#ifndef REPLICATOR_SNAPSHOT_LOOKOUT_H
#define REPLICATOR_SNAPSHOT_LOOKOUT_H
#include "replicator/core/context.h"
#include "replicator/publish/jobs.h"

struct lookout;
struct lookout *lookout_start(struct context *x, struct jobs *w); /* NULL with errno */
/* After the context's stop was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool lookout_stop(struct lookout *l, int64_t end);
void lookout_free(struct lookout *l); /* only after lookout_stop was true */
#endif
