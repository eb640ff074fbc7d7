/* The thread that has restores proven on schedule (DRILL_SCHEDULE), by `qdrant-efs drill` as a child process.
 * Tells the ledger and the log, and keeps a record on EFS. Never while Qdrant is not ready or has snapshots
 * made; one that was missed is caught up with. */
#ifndef REPLICATOR_DRILLS_H
#define REPLICATOR_DRILLS_H
#include "replicator/context.h"

struct drills;
/* NULL with errno. With DRILL_SCHEDULE=never there is nothing to start. */
struct drills *drills_start(struct context *x);
/* After the context's stop was set. Waits until the monotonic millisecond `end`. False: it hangs. */
bool drills_stop(struct drills *d, int64_t end);
void drills_free(struct drills *d); /* only after drills_stop was true; NULL is fine */
#endif
