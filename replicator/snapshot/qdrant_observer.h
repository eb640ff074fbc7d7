/* A look at Qdrant each minute (each slot, when these are shorter), beside the schedule: which collections
 * somebody has deleted, so that a restore of an empty disk does not bring these back (efs/repo/tombstone.h);
 * and how the cluster is. What touches EFS is handed to the workers. A Qdrant that is not ready, in recovery,
 * or restoring a snapshot is not believed to have lost a collection, nor one that may be another node's. */
#ifndef REPLICATOR_SNAPSHOT_QDRANT_OBSERVER_H
#define REPLICATOR_SNAPSHOT_QDRANT_OBSERVER_H
#include "replicator/core/context.h"
#include "replicator/publish/jobs.h"

struct qdrant_observer;
struct qdrant_observer *qdrant_observer_start(struct context *x, struct jobs *w); /* NULL with errno */
/* After the context's stop was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool qdrant_observer_stop(struct qdrant_observer *o, int64_t end);
void qdrant_observer_free(struct qdrant_observer *o); /* only after qdrant_observer_stop was true */
#endif
